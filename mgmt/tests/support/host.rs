//! A station on a wire: a test's hands, or something that answers ARP, ND and ping like a simple host.

use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_net::builder::Echo;
use sluice_net::wire::tcp;
use sluice_net::wire::{arp, nd};
use sluice_net::{Builder, Fragment, Headers, L3, L4, Mac};

/// A station.
#[derive(Debug, Default)]
pub struct Host {
    /// Its MAC.
    pub mac: Mac,
    /// Its addresses with their networks.
    pub addresses: Vec<IpNet>,
    /// Where it sends what is not on its link.
    pub gateway: Option<IpAddr>,
    /// Answers by itself. Without, it only takes frames.
    pub answers: bool,
    /// TCP ports on which it accepts connections; all others it resets. `None`: it has no TCP.
    pub listens: Option<Vec<u16>>,
    /// MACs it learned.
    pub neighbors: HashMap<IpAddr, Mac>,
    /// Frames that reached it since they were last taken.
    pub inbox: Vec<Vec<u8>>,
    /// Packets that wait for a neighbor.
    waiting: Vec<(IpAddr, Vec<u8>)>,
    /// Frames to send.
    pub outbox: Vec<Vec<u8>>,
}

impl Host {
    /// A station that takes frames and does nothing else.
    pub fn hands(mac: Mac) -> Self {
        Self {
            mac,
            ..Self::default()
        }
    }

    /// A station that answers.
    pub fn station(mac: Mac, addresses: &[&str], gateway: Option<&str>) -> Self {
        Self {
            mac,
            addresses: addresses
                .iter()
                .map(|text| super::family::network(text.parse().unwrap()))
                .collect(),
            gateway: gateway.map(super::ip),
            answers: true,
            ..Self::default()
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|net| net.addr() == address)
    }

    /// Its own address for packets to `to`.
    pub fn address_for(&self, to: IpAddr) -> IpAddr {
        let same = |net: &&IpNet| net.addr().is_ipv4() == to.is_ipv4();
        let on_link = self
            .addresses
            .iter()
            .filter(same)
            .find(|net| net.contains(&to));
        let any = || self.addresses.iter().find(same);
        on_link
            .or_else(any)
            .expect("an address of the family")
            .addr()
    }

    /// A frame reached it.
    pub(super) fn receive(&mut self, frame: Vec<u8>) {
        if let Ok(headers) = sluice_net::parse(&frame)
            && self.answers
            && (headers.eth_dst == self.mac || headers.eth_dst.is_multicast())
        {
            self.learn(&headers);
            self.answer(&frame, &headers);
        }
        self.inbox.push(frame);
    }

    fn learn(&mut self, headers: &Headers) {
        let lesson = match &headers.l3 {
            L3::Arp(arp) if !arp.sender_ip.is_unspecified() => {
                Some((IpAddr::V4(arp.sender_ip), arp.sender_mac))
            }
            L3::Ip(ip) => match ip.l4 {
                L4::NeighborAdvert {
                    target,
                    target_mac: Some(mac),
                    ..
                } => Some((IpAddr::V6(target), mac)),
                L4::NeighborSolicit {
                    source_mac: Some(mac),
                    ..
                } => Some((ip.src, mac)),
                _ => None,
            },
            _ => None,
        };
        let Some((ip, mac)) = lesson else { return };
        self.neighbors.insert(ip, mac);
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(hop, _)| *hop == ip);
        self.waiting = waiting;
        let ready: Vec<(IpAddr, Vec<u8>)> = ready;
        for (_, mut frame) in ready {
            frame[..6].copy_from_slice(&mac.0);
            self.outbox.push(frame);
        }
    }

    fn answer(&mut self, frame: &[u8], headers: &Headers) {
        let back = Builder::ethernet(self.mac, headers.eth_src);
        match &headers.l3 {
            L3::Arp(question)
                if question.op == arp::REQUEST && self.has(question.target_ip.into()) =>
            {
                self.outbox.push(
                    back.arp_reply(question.target_ip, question.sender_ip)
                        .build(),
                );
            }
            L3::Ip(ip) => match ip.l4 {
                L4::NeighborSolicit { target, .. } if self.has(target.into()) => {
                    let IpAddr::V6(asker) = ip.src else { return };
                    let flags = nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE;
                    self.outbox.push(
                        back.ipv6(target, asker)
                            .neighbor_advert(target, Some(self.mac), flags)
                            .build(),
                    );
                }
                L4::Echo { reply: false, id }
                    if self.has(ip.dst) && ip.fragment == Fragment::None =>
                {
                    let at = usize::from(ip.l4_offset);
                    let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
                    let seq = u16::from_be_bytes([frame[at + 6], frame[at + 7]]);
                    self.outbox.push(
                        back.ip(ip.dst, ip.src)
                            .icmp_echo(Echo::Reply, id, seq)
                            .payload(&frame[at + 8..end])
                            .build(),
                    );
                }
                L4::Tcp { src, dst, flags } if self.has(ip.dst) && flags & tcp::RST == 0 => {
                    let Some(listens) = &self.listens else { return };
                    let at = usize::from(ip.l4_offset) + 4;
                    let seq = frame[at..].first_chunk().copied().map(u32::from_be_bytes);
                    let (flags, own) = match (listens.contains(&dst), flags & tcp::SYN != 0) {
                        (true, true) => (tcp::SYN | tcp::ACK, 77),
                        (true, false) => return,
                        (false, _) => (tcp::RST | tcp::ACK, 0),
                    };
                    let segment = back.ip(ip.dst, ip.src).tcp(dst, src, flags);
                    let ack = seq.unwrap().wrapping_add(1);
                    self.outbox.push(segment.tcp_state(own, ack, 9).build());
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Sends an IP packet the way a host does: to its neighbor or its gateway, asking for the MAC first.
    pub fn send_ip(&mut self, to: IpAddr, make: impl FnOnce(Builder) -> Builder) {
        let on_link = self.addresses.iter().any(|net| net.contains(&to));
        let hop = if on_link {
            to
        } else {
            self.gateway.expect("a gateway for what is off the link")
        };
        let from = self.address_for(to);
        let known = self.neighbors.get(&hop).copied();
        let frame =
            make(Builder::ethernet(self.mac, known.unwrap_or(Mac::ZERO)).ip(from, to)).build();
        match known {
            Some(_) => self.outbox.push(frame),
            None => {
                self.waiting.push((hop, frame));
                self.outbox.push(self.question(hop));
            }
        }
    }

    fn question(&self, hop: IpAddr) -> Vec<u8> {
        super::family::question(self.mac, self.address_for(hop), hop).build()
    }
}
