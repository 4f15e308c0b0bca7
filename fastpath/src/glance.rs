//! The few fields that an established connection needs, read at fixed places.
//!
//! A glance takes the common form of a packet only: IPv4 without options or IPv6 without extension headers, no
//! fragment, TCP, UDP or echo, with or without one VLAN tag; outside it Geneve with OVN's option or none, or VXLAN. It
//! checks what [`sluice_net::parse()`] checks of such a packet, so whatever it accepts, parsing accepts with the same
//! fields; everything else is parsed.

use std::net::IpAddr;

use sluice_net::checksum::ones_complement_sum;
use sluice_net::wire::ethernet::ETHERTYPE_IPV4;
use sluice_net::wire::{icmpv4, icmpv6, ip_proto, ipv6, udp};
use sluice_net::{Fragment, Headers, L4, Mac, flow_hash_v4, flow_hash_v6};

use crate::connections::{Address, FlowKey4, FlowKey6, Rewrite, TcpFlags};
use crate::ids::Zone;

mod tunnel;

pub use tunnel::{Origin, Outer, outer};

const ETH: usize = 14;
const TAG: usize = 4;
const IP: usize = 20;
/// Ethernet, IPv4 and the first eight bytes above.
const HEAD: usize = ETH + IP + 8;
/// Ethernet and IPv6.
const HEAD_V6: usize = ETH + ipv6::LEN;
/// Where the TCP checksum is in an untagged packet.
const TCP_CHECKSUM: usize = ETH + IP + 16;

/// The Ethernet addresses of a frame as they are on the wire, to be compared and written as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macs {
    /// The destination, then two bytes of the source; the first on the wire is the lowest.
    head: u64,
    /// The rest of the source.
    tail: u32,
}

impl Macs {
    /// All zeroes: of no frame.
    pub const NONE: Macs = Macs { head: 0, tail: 0 };

    /// Of these two.
    pub const fn new(dst: Mac, src: Mac) -> Macs {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (dst.0, src.0);
        Macs {
            head: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            tail: u32::from_le_bytes([i, j, k, l]),
        }
    }

    #[inline]
    fn of(ethernet: &[u8; ETH]) -> Macs {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *ethernet;
        Macs {
            head: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            tail: u32::from_le_bytes([i, j, k, l]),
        }
    }

    #[inline]
    fn write(self, ethernet: &mut [u8; 12]) {
        let (head, tail) = ethernet.split_at_mut(8);
        head.copy_from_slice(&self.head.to_le_bytes());
        tail.copy_from_slice(&self.tail.to_le_bytes());
    }

    /// Sum of their words, in the arithmetic of [`sluice_net::checksum::ones_complement_sum`].
    #[inline]
    pub const fn sum(self) -> u32 {
        let sum = (self.head >> 32) + (self.head & 0xffff_ffff) + self.tail as u64;
        let sum = (sum >> 32) as u32 + (sum >> 16 & 0xffff) as u32 + (sum & 0xffff) as u32;
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        (sum as u16).swap_bytes() as u32
    }

    /// Destination and source.
    pub const fn pair(self) -> (Mac, Mac) {
        let [a, b, c, d, e, f, g, h] = self.head.to_le_bytes();
        let [i, j, k, l] = self.tail.to_le_bytes();
        (Mac([a, b, c, d, e, f]), Mac([g, h, i, j, k, l]))
    }

    /// The destination as a number of 48 bits; the first byte on the wire is the lowest.
    #[inline]
    pub const fn dst(self) -> u64 {
        self.head & 0xffff_ffff_ffff
    }

    /// The source as a number of 48 bits; the first byte on the wire is the lowest.
    #[inline]
    pub const fn src(self) -> u64 {
        self.head >> 48 | (self.tail as u64) << 16
    }
}

/// Source and destination address of a packet, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4(Both),
    /// IPv6.
    V6(u128, u128),
}

/// Two words side by side, of source and destination. They are written as one, because a read of both that follows
/// two writes waits until these have left the store buffer (16 cycles a packet when it was measured).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both<W = u64>(W);

impl Both<u64> {
    /// These two addresses.
    #[inline]
    pub const fn new(src: u32, dst: u32) -> Self {
        Both((src as u64) << 32 | dst as u64)
    }

    /// The source address.
    #[inline]
    pub const fn src(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The destination address.
    #[inline]
    pub const fn dst(self) -> u32 {
        self.0 as u32
    }
}

impl Both<u32> {
    /// These two ports.
    #[inline]
    pub const fn new(src: u16, dst: u16) -> Self {
        Both((src as u32) << 16 | dst as u32)
    }

    /// The source port.
    #[inline]
    pub const fn src(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The destination port.
    #[inline]
    pub const fn dst(self) -> u16 {
        self.0 as u16
    }
}

impl Default for Addresses {
    fn default() -> Addresses {
        Addresses::V4(Both(0))
    }
}

/// A packet at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Ethernet addresses.
    pub macs: Macs,
    /// Source and destination.
    pub addresses: Addresses,
    /// Ports; of an echo, its identifier twice.
    pub ports: Both<u32>,
    /// Bytes of IP.
    pub total_len: u16,
    /// IP protocol.
    pub proto: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Flags of a TCP segment.
    pub flags: TcpFlags,
}

/// The IP version of a frame at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What the Ethernet header of an IP packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagging {
    /// The version of the packet.
    pub version: Version,
    /// The VLAN, 0 for none.
    pub vlan: u16,
    /// Bytes of the tag: the packet begins so much later than usual.
    pub tag: usize,
}

/// The tagging of a frame. `None` when the payload is not IP.
#[inline]
pub fn tagging(frame: &[u8]) -> Option<Tagging> {
    let (version, vlan, tag) = match *frame.get(12..14)?.first_chunk::<2>()? {
        [0x08, 0x00] => (Version::V4, 0, 0),
        [0x86, 0xdd] => (Version::V6, 0, 0),
        [0x81, 0x00] => match *frame.get(14..18)?.first_chunk::<4>()? {
            [hi, lo, 0x08, 0x00] => (Version::V4, u16::from_be_bytes([hi, lo]), TAG),
            [hi, lo, 0x86, 0xdd] => (Version::V6, u16::from_be_bytes([hi, lo]), TAG),
            _ => return None,
        },
        _ => return None,
    };
    Some(Tagging {
        version,
        vlan: vlan & 0x0fff,
        tag,
    })
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => u16::from_be_bytes(*bytes),
        None => 0,
    }
}

#[inline]
fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => u32::from_be_bytes(*bytes),
        None => 0,
    }
}

#[inline]
fn mac(bytes: &[u8; ETH]) -> Mac {
    let [a, b, c, d, e, f, ..] = *bytes;
    Mac([a, b, c, d, e, f])
}

#[inline]
fn be64(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|bytes| bytes.first_chunk()) {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => 0,
    }
}

/// The words of an IPv4 header, as they are in memory: eight bytes, eight bytes, four bytes.
#[inline]
fn words(ip: &[u8; IP]) -> (u64, u64, u32) {
    let [a @ .., _, _, _, _, _, _, _, _, _, _, _, _] = ip;
    let [_, _, _, _, _, _, _, _, b @ .., _, _, _, _] = ip;
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, c @ ..] = ip;
    let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
    (a, b, u32::from_le_bytes(*c))
}

/// The length of an IPv4 packet whose header has no options, is not of a fragment and has a right checksum, and which is
/// whole.
#[inline]
fn plain(ip: &[u8; IP], room: usize) -> Option<u16> {
    /// Version, header length; more fragments, fragment offset.
    const FORM: u64 = u64::from_le_bytes([0xff, 0, 0, 0, 0, 0, 0x3f, 0xff]);
    const PLAIN: u64 = u64::from_le_bytes([0x45, 0, 0, 0, 0, 0, 0, 0]);
    let words = words(ip);
    let total = ((words.0 >> 16) as u16).swap_bytes();
    let whole = (IP + 8..=room).contains(&usize::from(total));
    (words.0 & FORM == PLAIN && whole && holds(words)).then_some(total)
}

/// The header's checksum is right: its words add up to a multiple of 0xffff, in either byte order (RFC 1071 section 2).
/// Carries out of the highest word come back at the lowest.
#[inline]
fn holds((a, b, c): (u64, u64, u32)) -> bool {
    let (sum, carry) = a.overflowing_add(b);
    let (sum, carry) = (sum + u64::from(carry)).overflowing_add(u64::from(c));
    (sum + u64::from(carry)).is_multiple_of(0xffff)
}

/// Glances at a frame of this tagging.
pub fn glance(frame: &[u8], tagging: Tagging) -> Option<Glance> {
    let mut glance = Glance::default();
    glance.read(frame, tagging)?;
    Some(glance)
}

impl Glance {
    /// Glances at a frame of this tagging, in place: a burst of them is not copied about. After `None` there is
    /// nothing in it.
    #[inline(always)]
    pub fn read(&mut self, frame: &[u8], tagging: Tagging) -> Option<()> {
        self.macs = Macs::of(frame.first_chunk::<ETH>()?);
        let packet = frame.get(ETH + tagging.tag..)?;
        match tagging.version {
            Version::V4 => self.read_v4(packet),
            Version::V6 => self.read_v6(packet),
        }
    }

    /// Glances at a frame without a tag; as [`Glance::read`].
    #[inline(always)]
    pub fn read_untagged(&mut self, frame: &[u8]) -> Option<()> {
        let (ethernet, packet) = frame.split_first_chunk::<ETH>()?;
        self.macs = Macs::of(ethernet);
        match ethernet[12..] {
            [0x08, 0x00] => self.read_v4(packet),
            [0x86, 0xdd] => self.read_v6(packet),
            _ => None,
        }
    }

    #[inline(always)]
    fn read_v4(&mut self, packet: &[u8]) -> Option<()> {
        let head = packet.first_chunk::<{ IP + 8 }>()?;
        let (ip, upper) = head.split_first_chunk::<IP>()?;
        let upper = upper.first_chunk::<8>()?;
        self.total_len = plain(ip, packet.len())?;
        self.addresses = Addresses::V4(Both(be64(ip, 12)));
        [self.tos, self.ttl, self.proto] = [ip[1], ip[8], ip[9]];
        self.transport(packet, IP, upper, ip_proto::ICMP)
    }

    #[inline(never)]
    fn read_v6(&mut self, packet: &[u8]) -> Option<()> {
        let (ip, upper) = packet.split_first_chunk::<{ ipv6::LEN }>()?;
        let payload = be16(ip, 4);
        self.total_len = payload.checked_add(ipv6::LEN as u16)?;
        let head = upper.first_chunk::<8>()?;
        if ip[0] >> 4 != 6 || !(8..=upper.len()).contains(&usize::from(payload)) {
            return None;
        }
        let address = |at: usize| {
            let bytes = ip.get(at..).and_then(|bytes| bytes.first_chunk::<16>());
            bytes.map_or(0, |bytes| u128::from_be_bytes(*bytes))
        };
        self.addresses = Addresses::V6(address(8), address(24));
        [self.tos, self.ttl, self.proto] = [ip[0] << 4 | ip[1] >> 4, ip[7], ip[6]];
        self.transport(packet, ipv6::LEN, head, ip_proto::ICMPV6)
    }

    /// Ports (of an echo, its identifier twice) and TCP flags of what is above IP, which begins at `start` with `head`
    /// and ends with the packet. `icmp` is the family's ICMP.
    #[inline(always)]
    fn transport(&mut self, packet: &[u8], start: usize, head: &[u8; 8], icmp: u8) -> Option<()> {
        let room = usize::from(self.total_len) - start;
        self.ports = Both(be32(head, 0));
        self.flags = TcpFlags::NONE;
        let whole = match self.proto {
            ip_proto::UDP => (udp::LEN..=room).contains(&usize::from(be16(head, 4))),
            ip_proto::TCP => {
                let [offset, flags] = *packet.get(start + 12..)?.first_chunk::<2>()?;
                self.flags = TcpFlags(flags);
                (20..=room).contains(&(usize::from(offset >> 4) * 4))
            }
            proto if proto == icmp => {
                let id = be16(head, icmpv4::ECHO_ID_OFFSET);
                self.ports = Both::<u32>::new(id, id);
                if icmp == ip_proto::ICMP {
                    // A code other than 0 is left to the parser.
                    head[1] == 0 && matches!(head[0], icmpv4::ECHO_REQUEST | icmpv4::ECHO_REPLY)
                } else {
                    matches!(head[0], icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY)
                }
            }
            _ => false,
        };
        whole.then_some(())
    }

    /// What a glance at a parsed packet would have told, whether or not its form is the common one; `None` for
    /// packets that it never takes.
    pub fn of(headers: &Headers) -> Option<Glance> {
        let ip = headers.ip()?;
        let addresses = match (ip.src, ip.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                Addresses::V4(Both::<u64>::new(src.to_bits(), dst.to_bits()))
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => Addresses::V6(src.to_bits(), dst.to_bits()),
            _ => return None,
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
            macs: Macs::new(headers.eth_dst, headers.eth_src),
            addresses,
            ports: Both::<u32>::new(src_port, dst_port),
            proto: ip.proto,
            ttl: ip.ttl,
            tos: ip.tos,
            total_len: ip.total_len,
            flags,
        })
    }

    /// The hash of its flow, as [`sluice_net::flow_hash`] gives it.
    #[inline]
    pub fn flow_hash(&self) -> u32 {
        let ports = (self.ports.src(), self.ports.dst());
        match self.addresses {
            Addresses::V4(both) => flow_hash_v4(both.src(), both.dst(), self.proto, ports),
            Addresses::V6(src, dst) => flow_hash_v6(src, dst, self.proto, ports),
        }
    }

    /// The key of the packet's flow in `zone`, if it is of IPv4.
    #[inline]
    pub fn key(&self, zone: Zone) -> Option<FlowKey4> {
        let Addresses::V4(both) = self.addresses else {
            return None;
        };
        Some(FlowKey4 {
            src: both.src(),
            dst: both.dst(),
            src_port: self.ports.src(),
            dst_port: self.ports.dst(),
            proto: self.proto,
            zone,
        })
    }

    /// The same if it is of IPv6.
    #[inline]
    pub fn key_v6(&self, zone: Zone) -> Option<FlowKey6> {
        let Addresses::V6(src, dst) = self.addresses else {
            return None;
        };
        Some(FlowKey6 {
            src,
            dst,
            src_port: self.ports.src(),
            dst_port: self.ports.dst(),
            proto: self.proto,
            zone,
        })
    }

    /// The sum of the words of the frame this was glanced at, untagged by now, as it would be with MACs of this
    /// [sum](Macs::sum).
    #[inline]
    pub fn sum(&self, frame: &[u8], macs: u32) -> u32 {
        let (known, from) = match self.addresses {
            // The words of an IPv4 header whose checksum holds add up to nothing.
            Addresses::V4(..) => (macs + u32::from(ETHERTYPE_IPV4), ETH + IP),
            Addresses::V6(..) => (macs, 12),
        };
        ones_complement_sum(frame.get(from..).unwrap_or_default(), known)
    }

    /// Writes MACs and a TTL that is not above its own into the packet this was glanced at, untagged by now. `None` when it is shorter than it
    /// was; else what that adds to the sum of the frame's words behind the MACs.
    #[inline]
    pub fn forward(&self, frame: &mut [u8], macs: Macs, ttl: u8) -> Option<u32> {
        let head = frame.first_chunk_mut::<{ ETH + IP }>()?;
        macs.write(head.first_chunk_mut::<12>()?);
        if ttl == self.ttl {
            return Some(0);
        }
        Some(match self.addresses {
            Addresses::V4(..) => {
                let sum = u16::from_be_bytes([head[24], head[25]]);
                head[22] = ttl;
                let sum = lessened(sum, self.ttl.wrapping_sub(ttl));
                head[24..26].copy_from_slice(&sum.to_be_bytes());
                // The header's checksum makes up for it.
                0
            }
            Addresses::V6(..) => {
                head[21] = ttl;
                // Beside it stands the protocol.
                folded(replaced(u32::from(self.ttl), u32::from(ttl)))
            }
        })
    }

    /// Writes MACs, TTL and tuple into the IPv4 packet this was glanced at, untagged by now, and updates its checksums
    /// incrementally (RFC 1624 equation 3). `None` when it is shorter than it was, or not IPv4; else what that adds to the
    /// sum of the frame's words behind the MACs.
    #[inline(always)]
    pub fn edit(&self, frame: &mut [u8], macs: Macs, ttl: u8, to: &Rewrite<u32>) -> Option<u32> {
        let Addresses::V4(both) = self.addresses else {
            return None;
        };
        let (src, dst) = (both.src(), both.dst());
        let (src_port, dst_port) = (self.ports.src(), self.ports.dst());
        let head = frame.first_chunk_mut::<HEAD>()?;
        macs.write(head.first_chunk_mut::<12>()?);
        let addresses = replaced(src, to.src) + replaced(dst, to.dst);
        let steps = replaced(u32::from(self.ttl) << 8, u32::from(ttl) << 8);
        let sum = u16::from_be_bytes([head[24], head[25]]);
        head[22] = ttl;
        head[24..26].copy_from_slice(&apply(sum, addresses + steps).to_be_bytes());
        let is = u64::from(to.src) << 32 | u64::from(to.dst);
        head[26..34].copy_from_slice(&is.to_be_bytes());
        let source = replaced(u32::from(src_port), u32::from(to.src_port));
        let ports = source + replaced(u32::from(dst_port), u32::from(to.dst_port));
        let is = u32::from(to.src_port) << 16 | u32::from(to.dst_port);
        match self.proto {
            ip_proto::UDP => {
                let sum = u16::from_be_bytes([head[40], head[41]]);
                head[34..38].copy_from_slice(&is.to_be_bytes());
                if sum == 0 {
                    return Some(folded(ports));
                }
                let sum = sluice_net::checksum::udp_nonzero(apply(sum, addresses + ports));
                head[40..42].copy_from_slice(&sum.to_be_bytes());
            }
            ip_proto::TCP => {
                head[34..38].copy_from_slice(&is.to_be_bytes());
                let field = frame.get_mut(TCP_CHECKSUM..)?.first_chunk_mut::<2>()?;
                *field = apply(u16::from_be_bytes(*field), addresses + ports).to_be_bytes();
            }
            ip_proto::ICMP => {
                let sum = u16::from_be_bytes([head[36], head[37]]);
                head[36..38].copy_from_slice(&apply(sum, source).to_be_bytes());
                head[38..40].copy_from_slice(&to.src_port.to_be_bytes());
                return Some(0);
            }
            _ => return None,
        }
        // A checksum over ports and addresses makes up for both: what is left is that of the addresses, taken away.
        let taken = replaced(to.src, src) + replaced(to.dst, dst);
        Some(folded(taken))
    }

    /// As [`Glance::edit`], of an IPv6 packet. Its checksums cover its addresses, that of ICMPv6 too (RFC 4443 section 2.3).
    #[inline]
    pub fn edit_v6(
        &self,
        frame: &mut [u8],
        macs: Macs,
        ttl: u8,
        to: &Rewrite<u128>,
    ) -> Option<u32> {
        let Addresses::V6(src, dst) = self.addresses else {
            return None;
        };
        let (head, upper) = frame.split_first_chunk_mut::<HEAD_V6>()?;
        let checksum = match self.proto {
            ip_proto::UDP => upper.get_mut(6..8)?,
            ip_proto::TCP => upper.get_mut(16..18)?,
            ip_proto::ICMPV6 => upper.get_mut(2..4)?,
            _ => return None,
        };
        let checksum = checksum.first_chunk_mut::<2>()?;
        let old = u16::from_be_bytes(*checksum);
        let addresses = replaced_wide(src, to.src) + replaced_wide(dst, to.dst);
        let source = replaced(self.ports.src().into(), to.src_port.into());
        let echo = self.proto == ip_proto::ICMPV6;
        let ports = match echo {
            true => source,
            false => source + replaced(self.ports.dst().into(), to.dst_port.into()),
        };
        // A UDP packet of IPv6 without a checksum is for its receiver to refuse (RFC 8200 section 8.1).
        let without = old == 0 && self.proto == ip_proto::UDP;
        if !without {
            let sum = apply(old, addresses + ports);
            let sum = match self.proto {
                ip_proto::UDP => sluice_net::checksum::udp_nonzero(sum),
                _ => sum,
            };
            *checksum = sum.to_be_bytes();
        }
        macs.write(head.first_chunk_mut::<12>()?);
        head[21] = ttl;
        head[22..38].copy_from_slice(&to.src.to_be_bytes());
        head[38..54].copy_from_slice(&to.dst.to_be_bytes());
        let place = if echo { 4..6 } else { 0..2 };
        upper
            .get_mut(place)?
            .copy_from_slice(&to.src_port.to_be_bytes());
        if !echo {
            upper
                .get_mut(2..4)?
                .copy_from_slice(&to.dst_port.to_be_bytes());
        }
        // The hop limit is in no checksum; what else has changed the upper layer's makes up for.
        let step = replaced(self.ttl.into(), ttl.into());
        Some(folded(match without {
            true => step + addresses + ports,
            false => step,
        }))
    }
}

/// An address of a family whose packets are edited at fixed places.
pub trait Editable: Address {
    /// [`Glance::edit`] or [`Glance::edit_v6`].
    fn edit(
        glance: &Glance,
        frame: &mut [u8],
        macs: Macs,
        ttl: u8,
        to: &Rewrite<Self>,
    ) -> Option<u32>;
}

impl Editable for u32 {
    #[inline(always)]
    fn edit(
        glance: &Glance,
        frame: &mut [u8],
        macs: Macs,
        ttl: u8,
        to: &Rewrite<u32>,
    ) -> Option<u32> {
        glance.edit(frame, macs, ttl, to)
    }
}

impl Editable for u128 {
    #[inline]
    fn edit(
        glance: &Glance,
        frame: &mut [u8],
        macs: Macs,
        ttl: u8,
        to: &Rewrite<u128>,
    ) -> Option<u32> {
        glance.edit_v6(frame, macs, ttl, to)
    }
}

/// What replacing words, up to two side by side, adds to the complement of a checksum: a number in which 2^16 counts as 1.
#[inline]
fn replaced(old: u32, new: u32) -> u64 {
    u64::from(!old) + u64::from(new)
}

/// The same of a word of 128 bits.
#[inline]
fn replaced_wide(old: u128, new: u128) -> u64 {
    let words = |number: u128| [96, 64, 32, 0].map(|shift| (number >> shift) as u32);
    let pairs = words(old).into_iter().zip(words(new));
    pairs.map(|(old, new)| replaced(old, new)).sum()
}

/// The number in 16 bits.
#[inline]
fn folded(sum: u64) -> u32 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u32
}

/// The checksum of an IPv4 header after its TTL has become less by `steps` (RFC 1141): what the sum of the words
/// loses, its complement gains. That of a header is never 0xffff, because no header's words are all zero.
#[inline]
fn lessened(sum: u16, steps: u8) -> u16 {
    let sum = u32::from(sum) + (u32::from(steps) << 8);
    (sum + u32::from(sum >= 0xffff)) as u16
}

/// The checksum after replacements that add up to `delta`, which is far below 2^48.
#[inline]
fn apply(sum: u16, delta: u64) -> u16 {
    !(folded(u64::from(!sum) + delta) as u16)
}

#[cfg(test)]
mod tests;
