//! Clients that stay with their backend for a while after their last new connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::balancer::{mix, short};
use crate::ids::Tick;

/// Clients remembered at most, in buckets, which are a cache line of IPv4; a power of two.
const BUCKETS: usize = 2048;
const WAYS: usize = 4;

/// Which backend each client had last. Of fixed size: among those that share a bucket the one longest unheard of makes
/// room. Any worker reads and writes, without locks; what it reads is a hint, to be found among the backends.
#[derive(Debug)]
pub struct Affinity {
    timeout: u32,
    buckets: Buckets,
}

/// Clients and their backends are of the family of the service.
#[derive(Debug)]
enum Buckets {
    V4(Box<[Bucket<1>]>),
    V6(Box<[Bucket<4>]>),
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
struct Bucket<const N: usize>([Slot<N>; WAYS]);

/// A client, its backend, and when that was, in `N` words and one.
#[derive(Debug)]
struct Slot<const N: usize> {
    /// Addresses of the client and its backend.
    pair: [AtomicU64; N],
    /// Time (32 bits), the backend's port (16) and a check of the pair (16), for the words are not written at once.
    rest: AtomicU64,
}

impl<const N: usize> Default for Slot<N> {
    fn default() -> Self {
        Slot {
            pair: std::array::from_fn(|_| AtomicU64::new(0)),
            rest: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Slot<N> {
    /// What stands here, if the words belong together: the pair, the backend's port, time.
    fn read(&self) -> Option<([u64; N], u16, Tick)> {
        let rest = self.rest.load(Acquire);
        let pair = self.pair.each_ref().map(|word| word.load(Relaxed));
        let whole = check(&pair) == rest as u16;
        whole.then_some((pair, (rest >> 16) as u16, Tick((rest >> 32) as u32)))
    }

    fn write(&self, pair: [u64; N], port: u16, now: Tick) {
        for (word, value) in self.pair.iter().zip(pair) {
            word.store(value, Relaxed);
        }
        let rest = u64::from(now.0) << 32 | u64::from(port) << 16 | u64::from(check(&pair));
        self.rest.store(rest, Release);
    }
}

/// Never that of an empty slot.
fn check(pair: &[u64]) -> u16 {
    pair.iter().fold(0, |sum, word| mix(sum ^ word)) as u16 | 1
}

/// Addresses of one family in the words of a slot.
trait Pair: Copy {
    /// Client and backend.
    fn of(client: IpAddr, backend: IpAddr) -> Option<Self>;
    /// They are of this client; the backend.
    fn backend_of(&self, client: IpAddr) -> Option<IpAddr>;
}

impl Pair for [u64; 1] {
    fn of(client: IpAddr, backend: IpAddr) -> Option<Self> {
        match (client, backend) {
            (IpAddr::V4(client), IpAddr::V4(backend)) => {
                Some([u64::from(client.to_bits()) << 32 | u64::from(backend.to_bits())])
            }
            _ => None,
        }
    }

    fn backend_of(&self, client: IpAddr) -> Option<IpAddr> {
        let [word] = self;
        let own = IpAddr::V4(Ipv4Addr::from_bits((word >> 32) as u32));
        (own == client).then_some(IpAddr::V4(Ipv4Addr::from_bits(*word as u32)))
    }
}

impl Pair for [u64; 4] {
    fn of(client: IpAddr, backend: IpAddr) -> Option<Self> {
        match (client, backend) {
            (IpAddr::V6(client), IpAddr::V6(backend)) => {
                let (client, backend) = (client.to_bits(), backend.to_bits());
                let high = |bits: u128| (bits >> 64) as u64;
                Some([high(client), client as u64, high(backend), backend as u64])
            }
            _ => None,
        }
    }

    fn backend_of(&self, client: IpAddr) -> Option<IpAddr> {
        let address = |high, low| Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let [a, b, c, d] = *self;
        (IpAddr::V6(address(a, b)) == client).then_some(IpAddr::V6(address(c, d)))
    }
}

impl Affinity {
    /// Nobody is known yet; each client of a service of this family stays for `timeout` milliseconds.
    pub fn new(timeout: u32, v6: bool) -> Self {
        let buckets = match v6 {
            false => Buckets::V4((0..BUCKETS).map(|_| Bucket::default()).collect()),
            true => Buckets::V6((0..BUCKETS).map(|_| Bucket::default()).collect()),
        };
        Affinity { timeout, buckets }
    }

    /// Address and port (0: any) of the backend that a client stays with.
    pub fn find(&self, client: IpAddr, now: Tick) -> Option<(IpAddr, u16)> {
        match &self.buckets {
            Buckets::V4(buckets) => self.find_in(buckets, client, now),
            Buckets::V6(buckets) => self.find_in(buckets, client, now),
        }
    }

    fn find_in<const N: usize>(
        &self,
        buckets: &[Bucket<N>],
        client: IpAddr,
        now: Tick,
    ) -> Option<(IpAddr, u16)>
    where
        [u64; N]: Pair,
    {
        let slots = bucket(buckets, client)?.0.iter();
        slots.filter_map(Slot::read).find_map(|(pair, port, last)| {
            let backend = pair.backend_of(client)?;
            (now.since(last) < self.timeout).then_some((backend, port))
        })
    }

    /// A client has opened a connection to a backend.
    pub fn remember(&self, client: IpAddr, backend: IpAddr, port: u16, now: Tick) {
        match &self.buckets {
            Buckets::V4(buckets) => remember_in(buckets, (client, backend), port, now),
            Buckets::V6(buckets) => remember_in(buckets, (client, backend), port, now),
        };
    }
}

fn bucket<const N: usize>(buckets: &[Bucket<N>], client: IpAddr) -> Option<&Bucket<N>> {
    buckets.get(mix(short(client)) as usize % BUCKETS)
}

fn remember_in<const N: usize>(
    buckets: &[Bucket<N>],
    (client, backend): (IpAddr, IpAddr),
    port: u16,
    now: Tick,
) -> Option<()>
where
    [u64; N]: Pair,
{
    let pair = Pair::of(client, backend)?;
    let Bucket(slots) = bucket(buckets, client)?;
    let age = |slot: &&Slot<N>| match slot.read() {
        Some((held, ..)) if held.backend_of(client).is_some() => u64::MAX,
        Some((.., last)) => now.since(last).into(),
        None => u64::from(u32::MAX) + 1,
    };
    slots.iter().max_by_key(age)?.write(pair, port, now);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody of this number.
    fn who(v6: bool, n: u32) -> IpAddr {
        match v6 {
            false => Ipv4Addr::from_bits(n).into(),
            true => Ipv6Addr::from_bits(u128::from(n) << 64 | u128::from(!n)).into(),
        }
    }

    #[test]
    fn a_client_stays_until_its_time_is_over() {
        for v6 in [false, true] {
            let affinity = Affinity::new(1000, v6);
            let [a, b, client] = [100, 101, 7].map(|n| who(v6, n));
            let nobody = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            assert_eq!(affinity.find(client, Tick(0)), None);
            for ip in nobody {
                assert_eq!(
                    affinity.find(ip, Tick(0)),
                    None,
                    "an empty slot is nobody's"
                );
            }
            affinity.remember(client, a, 80, Tick(100));
            assert_eq!(affinity.find(client, Tick(1099)), Some((a, 80)));
            assert_eq!(affinity.find(client, Tick(1100)), None);
            // Each new connection begins anew, with whom it is.
            affinity.remember(client, b, 0, Tick(1000));
            assert_eq!(affinity.find(client, Tick(1900)), Some((b, 0)));
            assert_eq!(affinity.find(who(v6, 8), Tick(1900)), None);
            affinity.remember(who(!v6, 9), who(!v6, 100), 0, Tick(1000));
            assert_eq!(
                affinity.find(who(!v6, 9), Tick(1000)),
                None,
                "another family"
            );
        }
    }

    #[test]
    fn the_one_longest_unheard_of_makes_room() {
        for v6 in [false, true] {
            let affinity = Affinity::new(u32::MAX, v6);
            let a = who(v6, 100);
            let first = |client: &IpAddr| (mix(short(*client)) as usize).is_multiple_of(BUCKETS);
            let clients = (0..).map(|n| who(v6, n)).filter(first);
            let clients: Vec<IpAddr> = clients.take(WAYS + 1).collect();
            for (client, now) in clients.iter().zip(1..) {
                affinity.remember(*client, a, 80, Tick(now));
            }
            let known = clients
                .iter()
                .map(|client| affinity.find(*client, Tick(9)).is_some());
            let known: Vec<bool> = known.collect();
            assert_eq!(known, [false, true, true, true, true]);
            // Who is known keeps one place.
            let b = who(v6, 101);
            affinity.remember(clients[2], b, 80, Tick(9));
            assert_eq!(affinity.find(clients[2], Tick(9)), Some((b, 80)));
            assert!(affinity.find(clients[1], Tick(9)).is_some());
        }
    }
}
