//! Packets as scenarios describe them, before and behind a router.

use std::net::{IpAddr, Ipv4Addr};

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::geneve::{self, OvnOption};
use sluice_net::wire::{ip_proto, udp, vxlan};
use sluice_net::{Builder, Headers, Ip, L4, Mac, Vni, parse};

use crate::traffic::body;

/// Bytes of an Ethernet header.
const ETH: usize = 14;

/// A UDP packet in one Ethernet frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Ethernet source.
    pub eth_src: Mac,
    /// Ethernet destination.
    pub eth_dst: Mac,
    /// IP source.
    pub src: IpAddr,
    /// IP destination.
    pub dst: IpAddr,
    /// Source and destination port.
    pub ports: (u16, u16),
    /// TTL or hop limit.
    pub ttl: u8,
    /// Whether UDP has a checksum.
    pub checksum: bool,
}

impl Packet {
    /// Bytes before the payload.
    pub fn headers(&self) -> usize {
        let ip = if self.src.is_ipv6() { 40 } else { 20 };
        ETH + ip + udp::LEN
    }

    fn builder(&self, payload: &[u8]) -> Builder {
        let builder = Builder::ethernet(self.eth_src, self.eth_dst)
            .ip(self.src, self.dst)
            .ttl(self.ttl)
            .udp(self.ports.0, self.ports.1)
            .payload(payload);
        if self.checksum {
            builder
        } else {
            builder.without_udp_checksum()
        }
    }

    /// A frame of `length` bytes that carries the flow's number.
    pub fn frame(&self, flow: u32, length: usize) -> Vec<u8> {
        self.frame_beside(flow, length, 0)
    }

    /// The same where the other side's frames have `beside` bytes of headers, which are more.
    pub fn frame_beside(&self, flow: u32, length: usize, beside: usize) -> Vec<u8> {
        self.builder(&body(flow, self.headers(), beside, length))
            .build()
    }

    /// The same in a tunnel; `length` counts the outer headers too.
    pub fn tunnelled(&self, outer: &Outer, flow: u32, length: usize) -> Vec<u8> {
        let inner = self.builder(&body(flow, outer.headers() + self.headers(), 0, length));
        let around = Builder::ethernet(outer.eth_src, outer.eth_dst)
            .ipv4(outer.src, outer.dst)
            .dont_fragment(true);
        match outer.keys {
            Keys::Vxlan => inner.encap_vxlan(around, outer.vni),
            Keys::Geneve(keys) => inner.encap_geneve(around, outer.vni, Some(keys)),
        }
        .build()
    }
}

/// How a tunnel names the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Geneve with OVN's option.
    Geneve(OvnOption),
    /// VXLAN, which has none.
    Vxlan,
}

/// The outer headers of a tunnel packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Ethernet source.
    pub eth_src: Mac,
    /// Ethernet destination.
    pub eth_dst: Mac,
    /// Sending chassis.
    pub src: Ipv4Addr,
    /// Receiving chassis.
    pub dst: Ipv4Addr,
    /// Datapath.
    pub vni: Vni,
    /// Ports.
    pub keys: Keys,
}

impl Outer {
    /// Bytes that it puts before a frame.
    pub fn headers(&self) -> usize {
        ETH + 20 + udp::LEN + self.tunnel_header()
    }

    fn tunnel_header(&self) -> usize {
        match self.keys {
            Keys::Geneve(_) => geneve::OVN_LEN,
            Keys::Vxlan => vxlan::LEN,
        }
    }

    /// The UDP port and the tunnel header.
    fn announced(&self) -> (u16, Vec<u8>) {
        match self.keys {
            Keys::Geneve(keys) => {
                let mut header = [0; geneve::OVN_LEN];
                geneve::write_ovn(&mut header, self.vni, keys.in_key, keys.out_key);
                (udp::PORT_GENEVE, header.to_vec())
            }
            Keys::Vxlan => {
                let mut header = [0; vxlan::LEN];
                vxlan::write(&mut header, self.vni);
                (udp::PORT_VXLAN, header.to_vec())
            }
        }
    }

    /// Compares all but what the sender may choose: identification, TTL, source port. Returns the inner frame.
    fn strip<'a>(&self, frame: &'a [u8]) -> Result<&'a [u8], String> {
        let headers = parsed(frame)?;
        let ip = headers.ip().ok_or("no IP packet came out")?;
        let ends = (headers.eth_src, headers.eth_dst, ip.src, ip.dst);
        let wanted = (
            self.eth_src,
            self.eth_dst,
            IpAddr::V4(self.src),
            IpAddr::V4(self.dst),
        );
        if ends != wanted {
            return Err(format!("outer addresses {ends:?} instead of {wanted:?}"));
        }
        let (port, header) = self.announced();
        if !matches!(ip.l4, L4::Udp { dst, .. } if dst == port) {
            return Err("in no such tunnel".into());
        }
        let at = usize::from(ip.l4_offset) + udp::LEN;
        let found = frame.get(at..at + header.len()).unwrap_or_default();
        if found != header {
            return Err(format!(
                "tunnel header {found:02x?} instead of {header:02x?}"
            ));
        }
        let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
        if end != frame.len() {
            return Err(format!("outer length says {end} of {} bytes", frame.len()));
        }
        outer_checksum(ip, frame)?;
        Ok(frame.get(at + header.len()..).unwrap_or_default())
    }
}

/// Zero, or right by full computation.
fn outer_checksum(ip: &Ip, frame: &[u8]) -> Result<(), String> {
    let datagram = frame.get(usize::from(ip.l4_offset)..).unwrap_or_default();
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst) else {
        return Err("outer header of another family".into());
    };
    let pseudo = pseudo_v4(src, dst, ip_proto::UDP, datagram.len() as u32);
    let none = datagram.get(6..8) == Some(&[0, 0]);
    if none || finish(ones_complement_sum(datagram, pseudo)) == 0 {
        Ok(())
    } else {
        Err("wrong outer UDP checksum".into())
    }
}

/// What a translation may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// Nothing.
    Nothing,
    /// The source port.
    SourcePort,
    /// Which of so many addresses from this one on it sends to.
    Destination(Ipv4Addr, u32),
}

impl Free {
    /// Takes over what was chosen.
    fn take(self, packet: &mut Packet, chosen: &Headers) -> Result<(), String> {
        let ip = chosen.ip().ok_or("no IP packet came out")?;
        match self {
            Free::Nothing => {}
            Free::SourcePort => packet.ports.0 = ip.ports().ok_or("no ports")?.0,
            Free::Destination(first, count) => match ip.dst {
                IpAddr::V4(dst) if dst.to_bits().wrapping_sub(first.to_bits()) < count => {
                    packet.dst = ip.dst;
                }
                other => return Err(format!("{other} is none of {count} from {first} on")),
            },
        }
        Ok(())
    }
}

/// What must come out for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The packet.
    pub packet: Packet,
    /// Its tunnel.
    pub outer: Option<Outer>,
    /// What of it is for the translation to choose.
    pub free: Free,
    /// Bytes before the payload when the packet came in.
    pub entered: usize,
    /// The same of what enters by the other side, when that has more; else 0.
    pub beside: usize,
}

impl Expected {
    /// This packet as what became of `before`, in no tunnel then or now.
    pub fn of(packet: Packet, before: &Packet) -> Self {
        Self {
            packet,
            outer: None,
            free: Free::Nothing,
            entered: before.headers(),
            beside: 0,
        }
    }

    /// Compares a frame that came out with what should have: every byte, with all checksums computed anew.
    ///
    /// # Errors
    /// What is different.
    pub fn compare(&self, flow: u32, frame: &[u8]) -> Result<(), String> {
        let inner = match &self.outer {
            Some(outer) => outer.strip(frame)?,
            None => frame,
        };
        let mut packet = self.packet;
        self.free.take(&mut packet, &parsed(inner)?)?;
        let payload = inner.len().saturating_sub(packet.headers());
        let entered = body(flow, self.entered, self.beside, self.entered + payload);
        let wanted = packet.builder(&entered).build();
        if wanted == inner {
            return Ok(());
        }
        let at = wanted.iter().zip(inner).take_while(|(a, b)| a == b).count();
        let byte = |frame: &[u8]| {
            frame
                .get(at)
                .map_or("nothing".to_owned(), |byte| format!("{byte:02x}"))
        };
        Err(format!(
            "flow {flow}: byte {at} is {} instead of {} in\n{}\ninstead of\n{}",
            byte(inner),
            byte(&wanted),
            sluice_net::show(inner),
            sluice_net::show(&wanted),
        ))
    }
}

/// The number of the flow that a frame carries; of one in a tunnel, the inner frame's.
///
/// # Errors
/// When it carries none.
pub fn flow_of(frame: &[u8]) -> Result<u32, String> {
    let payload = |frame: &[u8]| -> Result<(usize, Option<usize>), String> {
        let headers = parsed(frame)?;
        let ip = headers.ip().ok_or("no IP packet came out")?;
        let at = usize::from(ip.l4_offset) + udp::LEN;
        let rest = frame.get(at..).unwrap_or_default();
        let inner = match ip.l4 {
            L4::Udp {
                dst: udp::PORT_GENEVE,
                ..
            } => geneve::parse(rest)
                .ok()
                .map(|header| at + header.header_len),
            L4::Udp {
                dst: udp::PORT_VXLAN,
                ..
            } => Some(at + vxlan::LEN),
            _ => None,
        };
        Ok((at, inner))
    };
    let mut at = payload(frame)?;
    let mut rest = frame;
    if let (_, Some(inner)) = at {
        rest = frame.get(inner..).unwrap_or_default();
        at = payload(rest)?;
    }
    let number = rest.get(at.0..).and_then(|rest| rest.first_chunk());
    number
        .map(|bytes| u32::from_be_bytes(*bytes))
        .ok_or_else(|| "no payload".into())
}

fn parsed(frame: &[u8]) -> Result<Headers, String> {
    parse(frame).map_err(|error| format!("what came out does not parse: {error:?}"))
}
