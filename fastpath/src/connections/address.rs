//! The two families: what a table needs to know of the width of an address.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::families::{ConnectionTable, WorkerConnections};
use super::hash::HashKeys;
use super::key::FlowKey;
use super::line::{Line, Line4, Line6};
use super::table::Table;
use super::writer::Writer;

/// An address of one family as a number in host byte order: `u32` or `u128`. There is a table for each.
pub trait Address: Width {
    /// For display, and for those that deal with both families.
    fn ip(self) -> IpAddr;

    /// `None` for one of the other family.
    fn of(ip: IpAddr) -> Option<Self>;

    /// Its bytes as they are on the wire.
    fn octets(self) -> impl AsRef<[u8]>;

    /// The family's table of a node.
    fn table(all: &ConnectionTable) -> &Table<Self>;

    /// The family's end of a worker.
    fn writer(all: &WorkerConnections) -> &Writer<Self>;

    /// As [`Address::writer`], to write.
    fn writer_mut(all: &mut WorkerConnections) -> &mut Writer<Self>;
}

/// What of it only the table sees.
pub trait Width: Copy + Debug + Default + Eq + Ord + Hash + Send + Sync + 'static {
    /// A key as words: equal exactly when the keys are.
    type Words: Copy + Debug + Default + PartialEq;
    /// One direction in memory.
    type Line: Line<Addr = Self>
        + Debug
        + FromBytes
        + IntoBytes
        + KnownLayout
        + Send
        + Sync
        + 'static;

    /// The bit of a slot's number in references that tells the family.
    const MARK: u32;
    /// Bytes of Ethernet, IP and TCP headers without options.
    const HEADERS: u64;

    /// Addresses first, then ports, protocol and zone.
    fn pack(key: &FlowKey<Self>) -> Self::Words;

    /// Undoes [`Width::pack`].
    fn unpack(words: Self::Words) -> FlowKey<Self>;

    /// Keyed and not linear.
    fn hash_words(keys: &HashKeys, words: Self::Words) -> u32;

    /// Of IPv4 the address itself, of IPv6 what two hosts seldom have in common.
    fn host(self) -> u64;

    /// What counts as one source: the address, of IPv6 its /64, all of which one host may have (RFC 6177 section 2).
    fn source(self) -> u64;
}

impl Address for u32 {
    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self))
    }

    #[inline]
    fn of(ip: IpAddr) -> Option<u32> {
        match ip {
            IpAddr::V4(ip) => Some(ip.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn octets(self) -> impl AsRef<[u8]> {
        self.to_be_bytes()
    }

    #[inline]
    fn table(all: &ConnectionTable) -> &Table<u32> {
        &all.v4
    }

    #[inline]
    fn writer(all: &WorkerConnections) -> &Writer<u32> {
        &all.v4
    }

    #[inline]
    fn writer_mut(all: &mut WorkerConnections) -> &mut Writer<u32> {
        &mut all.v4
    }
}

impl Width for u32 {
    type Words = [u64; 2];
    type Line = Line4;

    const MARK: u32 = 0;
    const HEADERS: u64 = 54;

    #[inline]
    fn pack(key: &FlowKey<u32>) -> [u64; 2] {
        [u64::from(key.src) << 32 | u64::from(key.dst), key.rest()]
    }

    #[inline]
    fn unpack([addresses, rest]: [u64; 2]) -> FlowKey<u32> {
        FlowKey::with_rest((addresses >> 32) as u32, addresses as u32, rest)
    }

    #[inline]
    fn hash_words(keys: &HashKeys, words: [u64; 2]) -> u32 {
        keys.hash_pair(words)
    }

    #[inline]
    fn host(self) -> u64 {
        u64::from(self)
    }

    #[inline]
    fn source(self) -> u64 {
        u64::from(self)
    }
}

impl Address for u128 {
    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self))
    }

    #[inline]
    fn of(ip: IpAddr) -> Option<u128> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip.to_bits()),
        }
    }

    #[inline]
    fn octets(self) -> impl AsRef<[u8]> {
        self.to_be_bytes()
    }

    #[inline]
    fn table(all: &ConnectionTable) -> &Table<u128> {
        &all.v6
    }

    #[inline]
    fn writer(all: &WorkerConnections) -> &Writer<u128> {
        &all.v6
    }

    #[inline]
    fn writer_mut(all: &mut WorkerConnections) -> &mut Writer<u128> {
        &mut all.v6
    }
}

/// High half first.
#[inline]
pub(super) const fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

/// Undoes [`halves`].
#[inline]
pub(super) const fn joined([high, low]: [u64; 2]) -> u128 {
    (high as u128) << 64 | low as u128
}

impl Width for u128 {
    type Words = [u64; 5];
    type Line = Line6;

    const MARK: u32 = 1 << 31;
    const HEADERS: u64 = 74;

    #[inline]
    fn pack(key: &FlowKey<u128>) -> [u64; 5] {
        let ([a, b], [c, d]) = (halves(key.src), halves(key.dst));
        [a, b, c, d, key.rest()]
    }

    #[inline]
    fn unpack([a, b, c, d, rest]: [u64; 5]) -> FlowKey<u128> {
        FlowKey::with_rest(joined([a, b]), joined([c, d]), rest)
    }

    #[inline]
    fn hash_words(keys: &HashKeys, [a, b, c, d, rest]: [u64; 5]) -> u32 {
        keys.hash_pair([keys.fold_pairs([a, b], [c, d]), rest])
    }

    #[inline]
    fn host(self) -> u64 {
        let [network, host] = halves(self);
        network.rotate_left(32) ^ host
    }

    #[inline]
    fn source(self) -> u64 {
        let [network, _] = halves(self);
        network
    }
}
