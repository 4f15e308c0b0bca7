//! Flow keys, the two directions, what a translation writes, and the keyed hash.

use std::net::IpAddr;

use super::address::Address;
use crate::ids::Zone;

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// Packets of this protocol that have a connection are echoes: they have an identifier, not ports.
#[inline]
pub(crate) const fn is_echo(proto: u8) -> bool {
    matches!(proto, ICMP | ICMPV6)
}

/// Connections of this protocol are told apart by their addresses alone: both ports of their keys are 0. Those of UDP-Lite and
/// DCCP too, which have ports that are not looked at.
#[inline]
pub const fn is_by_address(proto: u8) -> bool {
    !matches!(proto, ICMP | TCP | UDP | ICMPV6 | SCTP)
}

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

/// The identity of one direction of a connection, ports in host byte order. `A` is the type of addresses: [`IpAddr`] where
/// both families are dealt with alike, numbers in the table of each ([`FlowKey4`], [`FlowKey6`]).
///
/// An ICMP echo has its identifier in *both* ports, so that swapping the tuple gives the key of the reply.
/// Protocols without ports have 0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey<A = IpAddr> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port, or the echo's identifier.
    pub src_port: u16,
    /// Destination port, or the echo's identifier.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// Where the state lives; only the low 24 bits count.
    pub zone: Zone,
}

/// A key of IPv4.
pub type FlowKey4 = FlowKey<u32>;
/// A key of IPv6.
pub type FlowKey6 = FlowKey<u128>;

impl<A: Copy> FlowKey<A> {
    /// The key under which the answer to this very packet arrives in `zone`.
    #[inline]
    #[must_use]
    pub const fn reversed(&self, zone: Zone) -> FlowKey<A> {
        FlowKey {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
            proto: self.proto,
            zone,
        }
    }

    #[inline]
    const fn with_addresses<B: Copy>(&self, src: B, dst: B) -> FlowKey<B> {
        FlowKey {
            src,
            dst,
            src_port: self.src_port,
            dst_port: self.dst_port,
            proto: self.proto,
            zone: self.zone,
        }
    }

    /// Ports, protocol and zone in a word.
    #[inline]
    pub(super) const fn rest(&self) -> u64 {
        let ports = (self.src_port as u64) << 48 | (self.dst_port as u64) << 32;
        ports | (self.proto as u64) << 24 | (self.zone.0 & 0x00ff_ffff) as u64
    }

    /// Of these addresses and [`FlowKey::rest`].
    #[inline]
    pub(super) const fn with_rest(src: A, dst: A, rest: u64) -> FlowKey<A> {
        FlowKey {
            src,
            dst,
            src_port: (rest >> 48) as u16,
            dst_port: (rest >> 32) as u16,
            proto: (rest >> 24) as u8,
            zone: Zone(rest as u32 & 0x00ff_ffff),
        }
    }
}

impl FlowKey {
    /// The key of a parsed packet's flow in `zone`.
    #[inline]
    #[must_use]
    pub fn of(flow: &sluice_net::FlowKey, zone: Zone) -> FlowKey {
        FlowKey {
            src: flow.src,
            dst: flow.dst,
            src_port: flow.src_port,
            dst_port: flow.dst_port,
            proto: flow.proto,
            zone,
        }
    }

    /// The same in the terms of a family; `None` when it is not of that.
    #[inline]
    #[must_use]
    pub fn narrow<A: Address>(&self) -> Option<FlowKey<A>> {
        Some(self.with_addresses(A::of(self.src)?, A::of(self.dst)?))
    }
}

impl<A: Address> FlowKey<A> {
    /// The same in the terms of both families.
    #[inline]
    #[must_use]
    pub fn widen(&self) -> FlowKey {
        self.with_addresses(self.src.ip(), self.dst.ip())
    }
}

/// What a packet of one direction carries when it leaves: the translated tuple.
///
/// Fields that the connection does not translate are equal to the packet's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rewrite<A = IpAddr> {
    /// Source address to write.
    pub src: A,
    /// Destination address to write.
    pub dst: A,
    /// Source port (or echo identifier) to write.
    pub src_port: u16,
    /// Destination port (or echo identifier) to write.
    pub dst_port: u16,
}

impl<A: Copy> Rewrite<A> {
    /// The rewrite that makes a packet answerable under `other`, the key of the opposite direction.
    ///
    /// A translation is wholly said by the two keys of a connection: the original packet leaves as the
    /// mirror of the reply key, and a reply leaves as the mirror of the original key.
    #[inline]
    #[must_use]
    pub const fn towards(other: &FlowKey<A>) -> Rewrite<A> {
        Rewrite {
            src: other.dst,
            dst: other.src,
            src_port: other.dst_port,
            dst_port: other.src_port,
        }
    }

    #[inline]
    const fn with_addresses<B: Copy>(&self, src: B, dst: B) -> Rewrite<B> {
        Rewrite {
            src,
            dst,
            src_port: self.src_port,
            dst_port: self.dst_port,
        }
    }
}

impl<A: Address> Rewrite<A> {
    /// The same in the terms of both families.
    #[inline]
    #[must_use]
    pub fn widen(&self) -> Rewrite {
        self.with_addresses(self.src.ip(), self.dst.ip())
    }
}

impl Rewrite {
    /// The same in the terms of a family; `None` when it is not of that.
    #[inline]
    #[must_use]
    pub fn narrow<A: Address>(&self) -> Option<Rewrite<A>> {
        Some(self.with_addresses(A::of(self.src)?, A::of(self.dst)?))
    }
}
