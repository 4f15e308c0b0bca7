//! What a router itself has to say: echo replies, ICMP errors, and the pieces of packets that are too large.

use std::net::IpAddr;

use sluice_fastpath::exchange::{InjectTo, Origin, Punted};
use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::{Frame, FramePool};
use sluice_fastpath::tables::{Choice, Router, RouterPort, Tables};
use sluice_fastpath::verdict::IcmpError;
use sluice_net::checksum::checksum;
use sluice_net::wire::udp::UdpHeader;
use sluice_net::wire::{ethernet, ipv4::Ipv4Header, vlan};
use sluice_net::{L4, Mac};
use zerocopy::FromBytes;

use super::Agent;
use super::counters::count;
use super::resolve::switch_side;
use crate::fragment::fragment;
use crate::icmp::{self, Reporter, Trouble};
use crate::refusal;

impl<P: FramePool> Agent<P> {
    /// An echo request to an address of the router.
    pub(super) fn echo(&mut self, tables: &Tables, punted: &Punted<P::Frame>, port: PortId) {
        let Some((frame, headers)) = self.inner(punted) else {
            return;
        };
        let Some((router, _, port)) = tables.router_port(port) else {
            return count(&self.counters.stale);
        };
        let asked = headers.ip().map_or(0, |ip| ip.fragment_id);
        let Some((whole, headers)) = self.collect(port.id, frame, &headers) else {
            return;
        };
        let Ok(mut reply) = icmp::echo_reply(&whole.frame, &headers) else {
            return count(&self.counters.echo_refused);
        };
        let origin = if headers
            .ip()
            .is_some_and(|ip| on_link(ip.src) || on_link(ip.dst))
        {
            // A link-local address says nothing about its link, so routes cannot lead back (RFC 4291 section 2.5.6).
            let Some(via) = switch_side(tables, port) else {
                return count(&self.counters.echo_refused);
            };
            if let Some(source) = reply.get_mut(6..12) {
                source.copy_from_slice(&port.mac.0);
            }
            Origin::SwitchPort(via)
        } else {
            Origin::Router(punted.home.unwrap_or(router.id))
        };
        let to = (punted.worker, InjectTo::Walk(origin));
        // What came in fragments may go back in such.
        let mtu = match whole.largest {
            u16::MAX => u16::MAX,
            largest => largest.min(port.mtu),
        };
        self.send_in_pieces(to, &reply, (asked, mtu), &self.counters.echo_replies);
    }

    /// A dropped packet whose sender is to be told; it came in by router port `port`.
    pub(super) fn error(
        &mut self,
        tables: &Tables,
        punted: &Punted<P::Frame>,
        error: IcmpError,
        port: PortId,
    ) {
        if error == IcmpError::Refused && self.reset(tables, punted, port) {
            return;
        }
        let trouble = match error {
            IcmpError::TimeExceeded => Trouble::TimeExceeded,
            IcmpError::NetUnreachable => Trouble::NetUnreachable,
            IcmpError::HostUnreachable => Trouble::HostUnreachable,
            IcmpError::PortUnreachable | IcmpError::Refused => Trouble::PortUnreachable,
            IcmpError::TooBig(mtu) => Trouble::TooBig { mtu },
        };
        match tables.router_port(port) {
            Some((_, _, port)) => self.report(tables, punted, trouble, port),
            None => count(&self.counters.stale),
        }
    }

    /// Refuses what has a way to be refused of its own, in the name of whom it was sent to; false when it has none.
    fn reset(&mut self, tables: &Tables, punted: &Punted<P::Frame>, port: PortId) -> bool {
        let Some((frame, headers)) = self.inner(punted) else {
            return true;
        };
        let (Some(ip), Some(seat)) = (headers.ip(), tables.seat(port)) else {
            return false;
        };
        if !matches!(ip.l4, L4::Tcp { .. } | L4::Sctp { .. }) {
            return false;
        }
        let Ok(answer) = refusal::refusal(frame, &headers) else {
            count(&self.counters.errors_withheld);
            return true;
        };
        if !self.limit.take(port, ip.src, self.now) {
            count(&self.counters.errors_limited);
            return true;
        }
        let to = InjectTo::Walk(Origin::Router(punted.home.unwrap_or(seat.datapath)));
        self.send(punted.worker, &answer, to, &self.counters.refusals_sent);
        true
    }

    /// A packet that an ACL rejects: its sender is told in the name of a switch port, by the port where it had these
    /// Ethernet addresses (destination, source).
    pub(super) fn refuse(
        &mut self,
        tables: &Tables,
        punted: &Punted<P::Frame>,
        port: PortId,
        (by, macs): (PortId, (Mac, Mac)),
    ) {
        let Some((frame, mut headers)) = self.inner(punted) else {
            return;
        };
        if tables.switch_port(by).is_none() {
            return count(&self.counters.stale);
        }
        (headers.eth_dst, headers.eth_src) = macs;
        let (Some(source), Ok(answer)) = (
            headers.ip().map(|ip| ip.src),
            refusal::refusal(frame, &headers),
        ) else {
            return count(&self.counters.errors_withheld);
        };
        if !self.limit.take(port, source, self.now) {
            return count(&self.counters.errors_limited);
        }
        let to = InjectTo::Walk(Origin::SwitchPort(by));
        self.send(punted.worker, &answer, to, &self.counters.refusals_sent);
    }

    /// A packet waited in vain for a next hop behind `out`. Which port it came in by is not known any more; the
    /// error is told from the port that leads back to its source (RFC 1812 section 4.3.2.4).
    pub(super) fn unreachable(&mut self, tables: &Tables, punted: &Punted<P::Frame>, out: PortId) {
        let Some((_, router, out)) = tables.router_port(out) else {
            return;
        };
        let Some((_, headers)) = self.inner(punted) else {
            return;
        };
        let Some(ip) = headers.ip() else { return };
        let back = way_back(router, ip.dst, ip.src).unwrap_or(out);
        self.report(tables, punted, Trouble::HostUnreachable, back);
    }

    fn report(
        &mut self,
        tables: &Tables,
        punted: &Punted<P::Frame>,
        trouble: Trouble,
        port: &RouterPort,
    ) {
        let Some((frame, headers)) = self.inner(punted) else {
            return;
        };
        let Some(seat) = tables.seat(port.id) else {
            return count(&self.counters.stale);
        };
        let Some(source) = headers.ip().map(|ip| ip.src) else {
            return count(&self.counters.errors_withheld);
        };
        let Some(address) = port.address_for(source) else {
            return count(&self.counters.errors_withheld);
        };
        let from = Reporter {
            address,
            networks: &port.networks,
        };
        let Ok(error) = icmp::error(frame, &headers, trouble, from) else {
            return count(&self.counters.errors_withheld);
        };
        if !self.limit.take(port.id, source, self.now) {
            return count(&self.counters.errors_limited);
        }
        let to = InjectTo::Walk(Origin::Router(punted.home.unwrap_or(seat.datapath)));
        self.send(punted.worker, &error, to, &self.counters.errors_sent);
    }

    /// A packet larger than its next link takes. Its pieces enter as it did, tunnel headers included, so that they
    /// meet the same ports, rules and TTL steps.
    pub(super) fn fragment(&mut self, punted: &Punted<P::Frame>, mtu: u16) {
        let Some((frame, headers)) = self.inner(punted) else {
            return;
        };
        let Ok(pieces) = fragment(frame, &headers, mtu) else {
            return count(&self.counters.fragment_refused);
        };
        let outer = punted
            .frame
            .data()
            .get(..usize::from(punted.inner))
            .unwrap_or_default();
        count(&self.counters.fragmented);
        for piece in pieces {
            let bytes = if outer.is_empty() {
                Some(piece)
            } else {
                encapsulate(outer, &piece)
            };
            match bytes.and_then(|bytes| self.pool.alloc(&bytes)) {
                Some(piece) => self.inject_piece(punted, piece),
                None => count(&self.counters.no_buffer),
            }
        }
    }

    fn inject_piece(&self, punted: &Punted<P::Frame>, piece: P::Frame) {
        self.inject(punted.worker, piece, punted.again(), &self.counters.pieces);
    }
}

/// Is the address one of a single link?
fn on_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The port by which the router reaches the source of a packet from `src` to `dst` again.
fn way_back(router: &Router, dst: IpAddr, src: IpAddr) -> Option<&RouterPort> {
    let Choice::Group(group) = router.routing.choose(dst, src) else {
        return None;
    };
    let hop = router.hops(group).first()?;
    router.ports.get(usize::from(hop.port))
}

/// `inner` behind the IPv4 and UDP headers of a tunnel packet, which had another length. The UDP checksum is
/// left out, as RFC 8926 section 3.3 and RFC 7348 section 5 allow.
fn encapsulate(outer: &[u8], inner: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = [outer, inner].concat();
    let tagged = bytes.get(12..14)? == ethernet::ETHERTYPE_VLAN.to_be_bytes();
    let start = ethernet::LEN + if tagged { vlan::LEN } else { 0 };
    let packet = bytes.get_mut(start..)?;
    let packet_len = u16::try_from(packet.len()).ok()?;
    let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
    let header_len = header.header_len();
    header.total_len = packet_len.into();
    header.checksum = 0.into();
    let (ip, upper) = packet.split_at_mut_checked(header_len)?;
    let sum = checksum(ip);
    Ipv4Header::mut_from_prefix(ip).ok()?.0.checksum = sum.into();
    let (udp, _) = UdpHeader::mut_from_prefix(upper).ok()?;
    udp.len = packet_len.checked_sub(header_len as u16)?.into();
    udp.checksum = 0.into();
    Some(bytes)
}
