//! The few fields that an established connection needs, read at fixed places.
//!
//! A glance takes the common form of a packet only: IPv4 without options, no fragment, TCP, UDP or echo, with or
//! without one VLAN tag; outside it Geneve with OVN's option or none, or VXLAN. It checks what [`sluice_net::parse()`] checks of
//! such a packet, so whatever it accepts, parsing accepts with the same fields; everything else is parsed.

use std::net::{IpAddr, Ipv4Addr};

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::{geneve, icmpv4, ip_proto, udp, vxlan};
use sluice_net::{Fragment, Headers, L4, Mac, Vni};

use crate::connections::{FlowKey4, Rewrite, TcpFlags};
use crate::ids::Zone;
use crate::tables::EncapKind;

const ETH: usize = 14;
const TAG: usize = 4;
const IP: usize = 20;
/// Ethernet, IPv4 and the first eight bytes above.
const HEAD: usize = ETH + IP + 8;
/// Where the TCP checksum is in an untagged packet.
const TCP_CHECKSUM: usize = ETH + IP + 16;

/// An IPv4 packet at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Ethernet destination and source.
    pub macs: (Mac, Mac),
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port or identifier.
    pub src_port: u16,
    /// Destination port or identifier.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// TTL.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes of IP.
    pub total_len: u16,
    /// Flags of a TCP segment.
    pub flags: TcpFlags,
}

/// The outer headers of a tunnel packet at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Ethernet destination.
    pub mac: Mac,
    /// Who sent it.
    pub src: Ipv4Addr,
    /// Whom it is for.
    pub dst: Ipv4Addr,
    /// DSCP and ECN.
    pub tos: u8,
    /// Geneve or VXLAN.
    pub kind: EncapKind,
    /// Tunnel key of the datapath.
    pub vni: Vni,
    /// Input and output port key.
    pub keys: Option<(u16, u16)>,
    /// Where the inner frame begins, from where the outer one does.
    pub inner: usize,
    /// Where it ends.
    pub end: usize,
}

/// The VLAN of a frame and where its tag ends: before the EtherType of the payload. `None` when the payload is
/// not IPv4.
#[inline]
pub fn ipv4_behind(frame: &[u8]) -> Option<(Option<u16>, usize)> {
    match *frame.get(12..18)?.first_chunk::<6>()? {
        [0x08, 0x00, ..] => Some((None, 0)),
        [0x81, 0x00, hi, lo, 0x08, 0x00] => {
            let vlan = u16::from_be_bytes([hi, lo]) & 0x0fff;
            Some(((vlan != 0).then_some(vlan), TAG))
        }
        _ => None,
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => u16::from_be_bytes(*bytes),
        None => 0,
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => u32::from_be_bytes(*bytes),
        None => 0,
    }
}

fn mac(bytes: &[u8; ETH], at: usize) -> Mac {
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    Mac(mac)
}

/// An IPv4 header without options and not of a fragment, whose checksum holds and whose packet is whole.
#[inline]
fn plain(ip: &[u8; IP], room: usize) -> Option<u16> {
    let total = be16(ip, 2);
    let whole = usize::from(total) <= room && usize::from(total) >= IP + 8;
    let fragment = be16(ip, 6) & 0x3fff != 0;
    (ip[0] == 0x45 && whole && !fragment && finish(ones_complement_sum(ip, 0)) == 0)
        .then_some(total)
}

/// Glances at a frame whose Ethernet payload begins `tag` bytes later than usual.
#[inline]
pub fn glance(frame: &[u8], tag: usize) -> Option<Glance> {
    let ethernet = frame.first_chunk::<ETH>()?;
    let packet = frame.get(ETH + tag..)?;
    let (ip, upper) = packet.split_first_chunk::<IP>()?;
    let total_len = plain(ip, packet.len())?;
    let upper = upper.get(..usize::from(total_len) - IP)?;
    let head = upper.first_chunk::<8>()?;
    let (src_port, dst_port, flags) = match ip[9] {
        ip_proto::UDP => {
            let len = usize::from(be16(head, 4));
            if len < udp::LEN || len > upper.len() {
                return None;
            }
            (be16(head, 0), be16(head, 2), TcpFlags::NONE)
        }
        ip_proto::TCP => {
            let [offset, flags] = *upper.get(12..20)?.first_chunk::<2>()?;
            let header = usize::from(offset >> 4) * 4;
            if header < 20 || header > upper.len() {
                return None;
            }
            (be16(head, 0), be16(head, 2), TcpFlags(flags))
        }
        ip_proto::ICMP => {
            let echo = matches!(head[0], icmpv4::ECHO_REQUEST | icmpv4::ECHO_REPLY);
            if !echo || head[1] != 0 {
                return None;
            }
            let id = be16(head, icmpv4::ECHO_ID_OFFSET);
            (id, id, TcpFlags::NONE)
        }
        _ => return None,
    };
    Some(Glance {
        macs: (mac(ethernet, 0), mac(ethernet, 6)),
        src: be32(ip, 12),
        dst: be32(ip, 16),
        src_port,
        dst_port,
        proto: ip[9],
        ttl: ip[8],
        tos: ip[1],
        total_len,
        flags,
    })
}

/// Glances at the outer headers of a tunnel packet that is received on these UDP ports. Its UDP checksum holds or
/// is zero.
#[inline]
pub fn outer(frame: &[u8], tag: usize, geneve_port: u16, vxlan_port: u16) -> Option<Outer> {
    let ethernet = frame.first_chunk::<ETH>()?;
    let start = ETH + tag;
    let packet = frame.get(start..)?;
    let (ip, upper) = packet.split_first_chunk::<IP>()?;
    let total = usize::from(plain(ip, packet.len())?);
    let datagram = upper.get(..total - IP)?;
    if ip[9] != ip_proto::UDP || usize::from(be16(datagram, 4)) != datagram.len() {
        return None;
    }
    let kind = match be16(datagram, 2) {
        port if port == geneve_port => EncapKind::Geneve,
        port if port == vxlan_port => EncapKind::Vxlan,
        _ => return None,
    };
    let (src, dst) = (
        Ipv4Addr::from_bits(be32(ip, 12)),
        Ipv4Addr::from_bits(be32(ip, 16)),
    );
    if be16(datagram, udp::CHECKSUM_OFFSET) != 0 {
        let pseudo = pseudo_v4(src, dst, ip_proto::UDP, datagram.len() as u32);
        if finish(ones_complement_sum(datagram, pseudo)) != 0 {
            return None;
        }
    }
    let header = datagram.get(udp::LEN..)?;
    let (vni, keys, len) = match kind {
        EncapKind::Geneve => geneve_header(header)?,
        EncapKind::Vxlan => match *header.first_chunk::<{ vxlan::LEN }>()? {
            [vxlan::FLAG_VNI, 0, 0, 0, a, b, c, 0] => {
                (Vni::from_bytes([a, b, c]), None, vxlan::LEN)
            }
            _ => return None,
        },
    };
    Some(Outer {
        mac: mac(ethernet, 0),
        src,
        dst,
        tos: ip[1],
        kind,
        vni,
        keys,
        inner: start + IP + udp::LEN + len,
        end: start + total,
    })
}

/// Tunnel key, port keys, and bytes of a tunnel header.
type TunnelHeader = (Vni, Option<(u16, u16)>, usize);

/// No option, or OVN's alone.
#[inline]
fn geneve_header(header: &[u8]) -> Option<TunnelHeader> {
    match *header.first_chunk::<{ geneve::LEN }>()? {
        [0, 0, 0x65, 0x58, a, b, c, 0] => Some((Vni::from_bytes([a, b, c]), None, geneve::LEN)),
        [0x02, 0x40, 0x65, 0x58, a, b, c, 0] => {
            let option = header.get(geneve::LEN..)?.first_chunk::<8>()?;
            let [0x01, 0x02, geneve::OVN_TYPE, 0x01, _, _, _, _] = option else {
                return None;
            };
            // The highest bit of the input key is reserved.
            let keys = (be16(option, 4) & 0x7fff, be16(option, 6));
            Some((Vni::from_bytes([a, b, c]), Some(keys), geneve::OVN_LEN))
        }
        _ => None,
    }
}

impl Glance {
    /// What a glance at a parsed packet would have told, whether or not its form is the common one; `None` for
    /// packets that it never takes.
    pub fn of(headers: &Headers) -> Option<Glance> {
        let ip = headers.ip()?;
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst) else {
            return None;
        };
        let flags = match ip.l4 {
            L4::Tcp { flags, .. } => TcpFlags(flags),
            L4::Udp { .. } | L4::Echo { .. } => TcpFlags::NONE,
            _ => return None,
        };
        if ip.fragment != Fragment::None {
            return None;
        }
        let (src_port, dst_port) = ip.ports()?;
        Some(Glance {
            macs: (headers.eth_dst, headers.eth_src),
            src: src.to_bits(),
            dst: dst.to_bits(),
            src_port,
            dst_port,
            proto: ip.proto,
            ttl: ip.ttl,
            tos: ip.tos,
            total_len: ip.total_len,
            flags,
        })
    }

    /// The tuple as it is: what is written when nothing is translated.
    #[inline]
    pub fn rewrite(&self) -> Rewrite {
        Rewrite {
            src: self.src,
            dst: self.dst,
            src_port: self.src_port,
            dst_port: self.dst_port,
        }
    }

    /// The key of the packet's flow in `zone`.
    #[inline]
    pub fn key(&self, zone: Zone) -> FlowKey4 {
        FlowKey4 {
            src: self.src,
            dst: self.dst,
            src_port: self.src_port,
            dst_port: self.dst_port,
            proto: self.proto,
            zone,
        }
    }

    /// Writes MACs, TTL and tuple into the packet this was glanced at, untagged by now, and updates its checksums
    /// incrementally (RFC 1624 equation 3). `None` when it is shorter than it was.
    #[inline]
    pub fn edit(&self, frame: &mut [u8], macs: (Mac, Mac), ttl: u8, to: &Rewrite) -> Option<()> {
        let head = frame.first_chunk_mut::<HEAD>()?;
        head[0..6].copy_from_slice(&macs.0.0);
        head[6..12].copy_from_slice(&macs.1.0);
        let addresses = delta32(self.src, to.src) + delta32(self.dst, to.dst);
        let was = u16::from_be_bytes([self.ttl, self.proto]);
        let is = u16::from_be_bytes([ttl, self.proto]);
        let sum = u16::from_be_bytes([head[24], head[25]]);
        head[22] = ttl;
        head[24..26].copy_from_slice(&apply(sum, addresses + delta16(was, is)).to_be_bytes());
        head[26..30].copy_from_slice(&to.src.to_be_bytes());
        head[30..34].copy_from_slice(&to.dst.to_be_bytes());
        let source = delta16(self.src_port, to.src_port);
        match self.proto {
            ip_proto::ICMP => {
                let sum = u16::from_be_bytes([head[36], head[37]]);
                head[36..38].copy_from_slice(&apply(sum, source).to_be_bytes());
                head[38..40].copy_from_slice(&to.src_port.to_be_bytes());
                return Some(());
            }
            ip_proto::UDP => {
                let sum = u16::from_be_bytes([head[40], head[41]]);
                let delta = addresses + source + delta16(self.dst_port, to.dst_port);
                if sum != 0 {
                    let sum = sluice_net::checksum::udp_nonzero(apply(sum, delta));
                    head[40..42].copy_from_slice(&sum.to_be_bytes());
                }
            }
            _ => {}
        }
        head[34..36].copy_from_slice(&to.src_port.to_be_bytes());
        head[36..38].copy_from_slice(&to.dst_port.to_be_bytes());
        if self.proto == ip_proto::TCP {
            let delta = addresses + source + delta16(self.dst_port, to.dst_port);
            let field = frame.get_mut(TCP_CHECKSUM..)?.first_chunk_mut::<2>()?;
            *field = apply(u16::from_be_bytes(*field), delta).to_be_bytes();
        }
        Some(())
    }
}

/// What replacing a word adds to the complement of a checksum.
#[inline]
fn delta16(old: u16, new: u16) -> u32 {
    u32::from(!old) + u32::from(new)
}

#[inline]
fn delta32(old: u32, new: u32) -> u32 {
    (!old >> 16) + (!old & 0xffff) + (new >> 16) + (new & 0xffff)
}

/// The checksum after replacements that add up to `delta`: at most fourteen words, so no carry is lost.
#[inline]
fn apply(sum: u16, delta: u32) -> u16 {
    let sum = u32::from(!sum) + delta;
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u16)
}

#[cfg(test)]
mod tests;
