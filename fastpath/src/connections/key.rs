//! Flow keys of IPv4, the two directions, what a translation writes, and the keyed hash.

use std::net::{IpAddr, Ipv4Addr};

use sluice_net::flow::FlowKey;

use crate::ids::Zone;

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// Which of the two flows of a connection a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The way of the packet that opened the connection.
    Original = 0,
    /// The way back.
    Reply = 1,
}

impl Direction {
    /// The other direction.
    #[inline]
    #[must_use]
    pub const fn opposite(self) -> Direction {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }

    /// 0 for the original direction, 1 for the reply: the place in arrays of two.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The identity of one direction of an IPv4 connection, in host byte order.
///
/// An ICMP echo has its identifier in *both* ports, so that swapping the tuple gives the key of the reply.
/// Protocols without ports have 0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey4 {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port, or the echo's identifier.
    pub src_port: u16,
    /// Destination port, or the echo's identifier.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// Where the state lives; only the low 24 bits count.
    pub zone: Zone,
}

impl FlowKey4 {
    /// The key of a parsed packet's flow in `zone`; `None` when it is not IPv4.
    #[must_use]
    pub fn of(flow: &FlowKey, zone: Zone) -> Option<FlowKey4> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (flow.src, flow.dst) else {
            return None;
        };
        Some(FlowKey4 {
            src: src.to_bits(),
            dst: dst.to_bits(),
            src_port: flow.src_port,
            dst_port: flow.dst_port,
            proto: flow.proto,
            zone,
        })
    }

    /// The key under which the answer to this very packet arrives in `zone`.
    #[inline]
    #[must_use]
    pub const fn reversed(&self, zone: Zone) -> FlowKey4 {
        FlowKey4 {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            proto: self.proto,
            zone,
        }
    }

    /// Source address for display.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.src)
    }

    /// Destination address for display.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.dst)
    }

    /// Both words of the key: addresses, then ports, protocol and zone. Equal exactly when the keys are.
    #[inline]
    #[must_use]
    pub(super) const fn pack(&self) -> [u64; 2] {
        let ports = (self.src_port as u64) << 48 | (self.dst_port as u64) << 32;
        let rest = (self.proto as u64) << 24 | (self.zone.0 & 0x00ff_ffff) as u64;
        [(self.src as u64) << 32 | self.dst as u64, ports | rest]
    }

    /// Undoes [`FlowKey4::pack`].
    #[inline]
    #[must_use]
    pub(super) const fn unpack(words: [u64; 2]) -> FlowKey4 {
        let [addresses, rest] = words;
        FlowKey4 {
            src: (addresses >> 32) as u32,
            dst: addresses as u32,
            src_port: (rest >> 48) as u16,
            dst_port: (rest >> 32) as u16,
            proto: (rest >> 24) as u8,
            zone: Zone(rest as u32 & 0x00ff_ffff),
        }
    }
}

/// What a packet of one direction carries when it leaves: the translated tuple.
///
/// Fields that the connection does not translate are equal to the packet's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// Source address to write.
    pub src: u32,
    /// Destination address to write.
    pub dst: u32,
    /// Source port (or echo identifier) to write.
    pub src_port: u16,
    /// Destination port (or echo identifier) to write.
    pub dst_port: u16,
}

impl Rewrite {
    /// The rewrite that makes a packet answerable under `other`, the key of the opposite direction.
    ///
    /// A translation is wholly said by the two keys of a connection: the original packet leaves as the
    /// mirror of the reply key, and a reply leaves as the mirror of the original key.
    #[inline]
    #[must_use]
    pub const fn towards(other: &FlowKey4) -> Rewrite {
        Rewrite {
            src: other.dst,
            dst: other.src,
            src_port: other.dst_port,
            dst_port: other.src_port,
        }
    }
}

/// Keys of the hash; whoever knows them can choose collisions, so they are drawn at start.
#[derive(Clone, Copy, Debug)]
pub(super) struct HashKeys([u64; 4]);

impl HashKeys {
    /// Four words from one seed.
    pub(super) fn new(seed: u64) -> HashKeys {
        let mut state = seed;
        HashKeys(std::array::from_fn(|_| split_mix(&mut state)))
    }

    /// Two rounds of a folded 128-bit product: keyed and non-linear, unlike a CRC.
    #[inline]
    pub(super) fn hash(&self, key: &FlowKey4) -> u32 {
        self.hash_words(key.pack())
    }

    /// The hash of a packed key.
    #[inline]
    pub(super) fn hash_words(&self, [addresses, rest]: [u64; 2]) -> u32 {
        let [k0, k1, k2, k3] = self.0;
        let first = fold(addresses ^ k0, rest ^ k1);
        (fold(first ^ k2, addresses.wrapping_add(rest) ^ k3) >> 16) as u32
    }
}

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// One step of a sequence in which nearby seeds give unrelated words.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
