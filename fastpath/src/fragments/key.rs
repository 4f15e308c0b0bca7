//! Which datagram a fragment is of, and which worker knows about it.

use std::net::IpAddr;

use sluice_net::Headers;

use crate::connections::{fold, split_mix};
use crate::ids::WorkerId;
use crate::stage::enter::Entry;

/// The datagram that a fragment is a piece of: RFC 791 section 3.2, RFC 8200 section 4.5, and where it entered, since
/// tenants may use the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    entry: [u64; 2],
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// 0 for IPv6, whose later fragments need not say it.
    proto: u8,
}

impl Key {
    /// The key of a packet that came in so; `None` when it is not IP.
    pub fn of(entry: &Entry, headers: &Headers) -> Option<Key> {
        let ip = headers.ip()?;
        Some(Key {
            entry: entrance(entry),
            src: ip.src,
            dst: ip.dst,
            id: ip.fragment_id,
            proto: if ip.is_v6() { 0 } else { ip.proto },
        })
    }
}

/// The way in, but not where the packet goes.
fn entrance(entry: &Entry) -> [u64; 2] {
    match *entry {
        Entry::Port(port) => [1 << 32 | u64::from(port.0), 0],
        Entry::Owner(port) => [2 << 32 | u64::from(port.0), 0],
        Entry::Originated(router) => [3 << 32 | u64::from(router.0), 0],
        Entry::Made(switch) => [6 << 32 | u64::from(switch.0), 0],
        Entry::Keyless { tunnel, switch } => {
            [4 << 32 | u64::from(tunnel.0), u64::from(switch.0) << 16]
        }
        Entry::Keyed {
            tunnel,
            datapath,
            in_key,
            ..
        } => [
            5 << 32 | u64::from(tunnel.0),
            u64::from(datapath.0) << 16 | u64::from(in_key),
        ],
    }
}

/// What the hash of datagrams is keyed with, the same for all workers: who does not know it can choose neither collisions nor
/// the worker. Draw it from the system's entropy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secret(pub u64);

impl Secret {
    /// Hashes of the datagram and of its source.
    pub(super) fn hash(self, key: &Key) -> (u32, u32) {
        let mut state = self.0;
        let (k0, k1) = (split_mix(&mut state), split_mix(&mut state));
        let [src, src_low] = words(key.src);
        let [dst, dst_low] = words(key.dst);
        let step = |hash: u64, a: u64, b: u64| fold(hash ^ a ^ k0, b ^ k1).wrapping_add(hash);
        let source = step(step(k1, key.entry[0], key.entry[1]), src, src_low);
        let rest = u64::from(key.id) << 8 | u64::from(key.proto);
        let all = step(step(source, dst, dst_low), rest, k0.rotate_left(32));
        ((all >> 16) as u32, (source >> 16) as u32)
    }

    /// The one of so many workers that knows about the datagram.
    #[must_use]
    pub fn worker(self, key: &Key, workers: usize) -> WorkerId {
        let (hash, _) = self.hash(key);
        // Not the bits that choose a place in the worker's table.
        WorkerId(((u64::from(hash.reverse_bits()) * workers as u64) >> 32) as u8)
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [u64::from(address.to_bits()), 4],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}
