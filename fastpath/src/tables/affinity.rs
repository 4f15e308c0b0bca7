//! Clients that stay with their backend for a while after their last new connection.

use std::net::Ipv4Addr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::balancer::mix;
use crate::ids::Tick;

/// Clients remembered at most, in buckets of a cache line; a power of two.
const BUCKETS: usize = 2048;
const WAYS: usize = 4;

/// Which backend each client had last. Of fixed size: among those that share a bucket the one longest unheard of makes
/// room. Any worker reads and writes, without locks; what it reads is a hint, to be found among the backends.
#[derive(Debug)]
pub struct Affinity {
    timeout: u32,
    buckets: Box<[Bucket]>,
}

/// Affinities are alike when they last equally long: what they know is no part of the topology.
impl PartialEq for Affinity {
    fn eq(&self, other: &Affinity) -> bool {
        self.timeout == other.timeout
    }
}

impl Eq for Affinity {}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([Slot; WAYS]);

#[derive(Debug, Default)]
struct Slot {
    /// Addresses of the client and its backend.
    pair: AtomicU64,
    /// Time (32 bits), the backend's port (16) and a check of the pair (16), for the two words are not written at once.
    rest: AtomicU64,
}

impl Slot {
    /// What stands here, if the words belong together: client, backend, its port, time.
    fn read(&self) -> Option<(u32, u32, u16, Tick)> {
        let rest = self.rest.load(Acquire);
        let pair = self.pair.load(Relaxed);
        let [client, backend] = [pair >> 32, pair].map(|word| word as u32);
        (check(pair) == rest as u16).then_some((
            client,
            backend,
            (rest >> 16) as u16,
            Tick((rest >> 32) as u32),
        ))
    }

    fn write(&self, client: u32, backend: u32, port: u16, now: Tick) {
        let pair = u64::from(client) << 32 | u64::from(backend);
        self.pair.store(pair, Relaxed);
        let rest = u64::from(now.0) << 32 | u64::from(port) << 16 | u64::from(check(pair));
        self.rest.store(rest, Release);
    }
}

/// Never that of an empty slot.
fn check(pair: u64) -> u16 {
    mix(pair) as u16 | 1
}

impl Affinity {
    /// Nobody is known yet; each client stays for `timeout` milliseconds.
    pub fn new(timeout: u32) -> Self {
        Affinity {
            timeout,
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }

    fn bucket(&self, client: u32) -> Option<&Bucket> {
        self.buckets.get(mix(client.into()) as usize % BUCKETS)
    }

    /// Address and port (0: any) of the backend that a client stays with.
    pub fn find(&self, client: u32, now: Tick) -> Option<(Ipv4Addr, u16)> {
        let slots = self.bucket(client)?.0.iter();
        slots
            .filter_map(Slot::read)
            .find_map(|(who, backend, port, last)| {
                let stays = who == client && now.since(last) < self.timeout;
                stays.then(|| (Ipv4Addr::from_bits(backend), port))
            })
    }

    /// A client has opened a connection to a backend.
    pub fn remember(&self, client: u32, backend: Ipv4Addr, port: u16, now: Tick) {
        let Some(Bucket(slots)) = self.bucket(client) else {
            return;
        };
        let age = |slot: &&Slot| match slot.read() {
            Some((who, ..)) if who == client => u64::MAX,
            Some((.., last)) => now.since(last).into(),
            None => u64::from(u32::MAX) + 1,
        };
        if let Some(slot) = slots.iter().max_by_key(age) {
            slot.write(client, backend.to_bits(), port, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn a_client_stays_until_its_time_is_over() {
        let affinity = Affinity::new(1000);
        assert_eq!(affinity.find(7, Tick(0)), None);
        assert_eq!(affinity.find(0, Tick(0)), None, "an empty slot is nobody's");
        affinity.remember(7, A, 80, Tick(100));
        assert_eq!(affinity.find(7, Tick(1099)), Some((A, 80)));
        assert_eq!(affinity.find(7, Tick(1100)), None);
        // Each new connection begins anew, with whom it is.
        affinity.remember(7, B, 0, Tick(1000));
        assert_eq!(affinity.find(7, Tick(1900)), Some((B, 0)));
        assert_eq!(affinity.find(8, Tick(1900)), None);
    }

    #[test]
    fn the_one_longest_unheard_of_makes_room() {
        let affinity = Affinity::new(u32::MAX);
        let first = |client: &u32| {
            let bucket = affinity.bucket(*client);
            bucket.is_some_and(|bucket| std::ptr::eq(bucket, &affinity.buckets[0]))
        };
        let clients: Vec<u32> = (0..).filter(first).take(WAYS + 1).collect();
        for (client, now) in clients.iter().zip(1..) {
            affinity.remember(*client, A, 80, Tick(now));
        }
        let known = clients
            .iter()
            .map(|client| affinity.find(*client, Tick(9)).is_some());
        let known: Vec<bool> = known.collect();
        assert_eq!(known, [false, true, true, true, true]);
        // Who is known keeps one place.
        affinity.remember(clients[2], B, 80, Tick(9));
        assert_eq!(affinity.find(clients[2], Tick(9)), Some((B, 80)));
        assert!(affinity.find(clients[1], Tick(9)).is_some());
    }
}
