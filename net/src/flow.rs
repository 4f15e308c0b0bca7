//! Which flow a frame belongs to, as a key and as a hash.

use std::net::IpAddr;

use crate::headers::{Fragment, Headers, Ip, L3};

/// The 5-tuple of one direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol.
    pub proto: u8,
    /// Source port; the identifier of an echo; 0 where there are no ports.
    pub src_port: u16,
    /// Destination port; the identifier of an echo; 0 where there are no ports.
    pub dst_port: u16,
}

impl FlowKey {
    /// The key of an IP packet. Fragments have no ports, the first one included, so that all pieces of a
    /// packet have the same key.
    #[must_use]
    pub fn of(ip: &Ip) -> FlowKey {
        let whole = FlowKey::of_datagram(ip);
        if ip.fragment == Fragment::None {
            return whole;
        }
        FlowKey {
            src_port: 0,
            dst_port: 0,
            ..whole
        }
    }

    /// The key of the datagram that an IP packet is a piece of, where the packet's upper layer is that of the first piece: the
    /// same as that of whole packets.
    #[must_use]
    pub fn of_datagram(ip: &Ip) -> FlowKey {
        let (src_port, dst_port) = ip.ports().unwrap_or((0, 0));
        FlowKey {
            src: ip.src,
            dst: ip.dst,
            proto: ip.proto,
            src_port,
            dst_port,
        }
    }

    /// The key of the other direction.
    #[must_use]
    pub const fn reversed(&self) -> FlowKey {
        FlowKey {
            src: self.dst,
            dst: self.src,
            proto: self.proto,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }
}

// Odd, with about as many ones as zeroes: the first digits of pi, e, and the square root of 2.
const PI: u64 = 0x243f_6a88_85a3_08d3;
const E: u64 = 0xb7e1_5162_8aed_2a6b;
const ROOT: u64 = 0x6a09_e667_f3bc_c909;

/// A hash of the flow: for the source port of tunnels and for choosing among equal routes.
///
/// The same for every packet of a flow and for all pieces of a packet; different for the two directions.
/// It has no key, so it must not choose places in a table that an attacker could fill.
/// A packet that is not IP hashes by its MACs and EtherType.
#[must_use]
pub fn flow_hash(headers: &Headers) -> u32 {
    match &headers.l3 {
        L3::Ip(ip) => hash_ip(ip),
        _ => {
            let first = headers.eth_dst.to_u64() << 16 | u64::from(headers.ethertype);
            finalize(mix(mix(PI, first), headers.eth_src.to_u64()))
        }
    }
}

fn hash_ip(ip: &Ip) -> u32 {
    let key = FlowKey::of(ip);
    let hash = mix_address(mix_address(PI, key.src), key.dst);
    finish_hash(hash, key.proto, (key.src_port, key.dst_port))
}

/// [`flow_hash`] of an IPv4 packet that is no fragment, from its tuple; an echo has its identifier in both
/// ports.
#[inline]
#[must_use]
pub fn flow_hash_v4(src: u32, dst: u32, proto: u8, ports: (u16, u16)) -> u32 {
    finish_hash(mix(mix(PI, src.into()), dst.into()), proto, ports)
}

/// [`flow_hash_v4`] for IPv6.
#[inline]
#[must_use]
pub fn flow_hash_v6(src: u128, dst: u128, proto: u8, ports: (u16, u16)) -> u32 {
    finish_hash(mix_v6(mix_v6(PI, src), dst), proto, ports)
}

#[inline]
fn mix_v6(hash: u64, bits: u128) -> u64 {
    mix(mix(hash, (bits >> 64) as u64), bits as u64)
}

#[inline]
fn finish_hash(hash: u64, proto: u8, (src_port, dst_port): (u16, u16)) -> u32 {
    let ports = u64::from(src_port) << 16 | u64::from(dst_port);
    finalize(mix(hash, u64::from(proto) << 32 | ports))
}

fn mix_address(hash: u64, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(a) => mix(hash, a.to_bits().into()),
        IpAddr::V6(a) => mix_v6(hash, a.to_bits()),
    }
}

/// A full multiplication folded in half spreads every bit of the word over the result.
const fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word.wrapping_mul(ROOT)) as u128 * E as u128;
    (product >> 64) as u64 ^ product as u64 ^ word
}

const fn finalize(hash: u64) -> u32 {
    let product = (hash ^ PI) as u128 * ROOT as u128;
    let folded = (product >> 64) as u64 ^ product as u64;
    (folded >> 32) as u32 ^ folded as u32
}

/// The UDP source port of a tunnel packet (RFC 8926 section 3.3), 32768 to 61000 like OVS and Linux.
#[must_use]
pub const fn geneve_source_port(hash: u32) -> u16 {
    const FIRST: u64 = 32768;
    const COUNT: u64 = 61000 - FIRST + 1;
    (FIRST + ((hash as u64 * COUNT) >> 32)) as u16
}
