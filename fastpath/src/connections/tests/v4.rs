//! Of IPv4.
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

type Addr = u32;
type Connection = crate::connections::Connection<Addr>;
type Hit = crate::connections::Hit<Addr>;
type NewConnection = crate::connections::NewConnection<Addr>;
type PortRequest = crate::connections::PortRequest<Addr>;

/// Bytes of Ethernet, IP and TCP headers.
const HEADERS: u32 = 54;
/// Bytes that a connection takes: entry, side record, index.
const BYTES: [usize; 3] = [128, 24, 32];

/// The address with this number.
const fn at(n: u32) -> u32 {
    n
}
