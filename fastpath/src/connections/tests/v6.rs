//! Of IPv6.
#![allow(clippy::duplicate_mod)] // The same questions as of the other family.

#[path = "burst.rs"]
mod burst;
#[path = "concurrency.rs"]
mod concurrency;
#[path = "eviction.rs"]
mod eviction;
#[path = "expiry.rs"]
mod expiry;
#[path = "hashing.rs"]
mod hashing;
#[path = "interleaving.rs"]
mod interleaving;
#[path = "lifecycle.rs"]
mod lifecycle;
#[path = "mapping.rs"]
mod mapping;
#[path = "model.rs"]
mod model;
#[path = "ports.rs"]
mod ports;
#[path = "sample.rs"]
mod sample;
#[path = "segments.rs"]
mod segments;

use super::*;
use sample::*;

type Addr = u128;
type Connection = crate::connections::Connection<Addr>;
type Hit = crate::connections::Hit<Addr>;
type NewConnection = crate::connections::NewConnection<Addr>;
type PortRequest = crate::connections::PortRequest<Addr>;

/// Bytes of Ethernet, IP and TCP headers.
const HEADERS: u32 = 74;
/// Bytes that a connection takes: entry, side record, index.
const BYTES: [usize; 3] = [256, 24, 32];

/// The address with this number, in a network of its own.
const fn at(n: u32) -> u128 {
    0x2001_0db8 << 96 | (n as u128) << 64 | n as u128
}

#[test]
fn all_hosts_of_a_network_of_64_bits_are_one_source() {
    let table = table(10, 1);
    let mut worker = worker(&table, 0);
    table.set_source_limit(2);
    let mut from = |src: Addr, n: u32| {
        let mut new = snat(n, State::UdpNew);
        new.original.src = src;
        worker.insert(&new, START).map(|_| ())
    };
    let network = at(5) >> 64 << 64;
    assert_eq!(from(network | 1, 1), Ok(()));
    assert_eq!(from(network | 0xffff << 48, 2), Ok(()));
    assert_eq!(from(network | 3, 3), Err(InsertError::SourceLimit));
    assert_eq!(from(network + (1 << 64), 4), Ok(()));
}
