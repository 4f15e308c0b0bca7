//! Token buckets that bound how much a router says (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f).

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::time::Time;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Messages per second.
    pub per_second: u32,
    /// Messages at once.
    pub burst: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Thousandths of a message.
    tokens: u64,
    filled: Time,
}

const MESSAGE: u64 = 1_000;

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(rate: Rate, now: Time) -> Self {
        Self {
            rate,
            tokens: rate.burst as u64 * MESSAGE,
            filled: now,
        }
    }

    /// Is there a message left? Does not take it.
    pub fn has(&mut self, now: Time) -> bool {
        let gained = now
            .since(self.filled)
            .saturating_mul(self.rate.per_second.into());
        self.filled = self.filled.max(now);
        self.tokens = self
            .tokens
            .saturating_add(gained)
            .min(u64::from(self.rate.burst) * MESSAGE);
        self.tokens >= MESSAGE
    }

    /// Takes a message; `false` when none is left.
    pub fn take(&mut self, now: Time) -> bool {
        let has = self.has(now);
        if has {
            self.tokens -= MESSAGE;
        }
        has
    }

    /// When the next message may go, if none may now.
    #[must_use]
    pub fn next(&self) -> Time {
        let missing = MESSAGE.saturating_sub(self.tokens);
        let wait = missing.div_ceil(u64::from(self.rate.per_second).max(1));
        Time(self.filled.0.saturating_add(wait))
    }
}

/// Buckets of sources; two sources may share one. A fixed number, so that a flood of sources costs nothing.
const SOURCES: usize = 1_024;

/// Bounds errors by router port and by the source they go to.
#[derive(Debug)]
pub struct ErrorLimit<P> {
    port_rate: Rate,
    ports: HashMap<P, Bucket>,
    sources: Box<[Bucket]>,
    hash: DefaultHashBuilder,
}

impl<P: Copy + Eq + Hash> ErrorLimit<P> {
    /// Full buckets.
    #[must_use]
    pub fn new(port_rate: Rate, source_rate: Rate, now: Time) -> Self {
        Self {
            port_rate,
            ports: HashMap::new(),
            sources: vec![Bucket::new(source_rate, now); SOURCES].into_boxed_slice(),
            hash: DefaultHashBuilder::default(),
        }
    }

    /// May port `port` send an error to `source` now? Takes it from both buckets or from none, so that a source
    /// over its limit does not use up the port's.
    pub fn take(&mut self, port: P, source: IpAddr, now: Time) -> bool {
        // Keyed hashing: nobody can choose addresses that share a victim's bucket.
        let index = self.hash.hash_one((port, source)) as usize % SOURCES;
        let Some(of_source) = self.sources.get_mut(index) else {
            return false;
        };
        let of_port = self
            .ports
            .entry(port)
            .or_insert_with(|| Bucket::new(self.port_rate, now));
        of_port.has(now) && of_source.take(now) && of_port.take(now)
    }

    /// Forgets the ports that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(P) -> bool) {
        self.ports.retain(|port, _| keep(*port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = Bucket::new(RATE, Time(0));
        let given: Vec<bool> = [
            0, 0, 0, 0, 99, 100, 101, 200, 10_000, 10_000, 10_000, 10_000,
        ]
        .iter()
        .map(|ms| bucket.take(Time(*ms)))
        .collect();
        let (y, n) = (true, false);
        assert_eq!(given, [y, y, y, n, n, y, n, y, y, y, y, n]);
        assert_eq!(bucket.next(), Time(10_100));
    }

    #[test]
    fn a_source_over_its_limit_leaves_the_port_to_others() {
        let port_rate = Rate {
            per_second: 1,
            burst: 5,
        };
        let mut limit = ErrorLimit::new(
            port_rate,
            Rate {
                per_second: 1,
                burst: 2,
            },
            Time(0),
        );
        let loud = IpAddr::from([10, 0, 0, 1]);
        let sent = (0..100).filter(|_| limit.take(1u32, loud, Time(0))).count();
        assert_eq!(sent, 2);
        // Of the port's five, three are left; some other source has a bucket of its own.
        let sent = (2..250u8)
            .filter(|n| limit.take(1u32, IpAddr::from([10, 0, 0, *n]), Time(0)))
            .count();
        assert_eq!(sent, 3);
        assert!(
            (2..250u8).any(|n| limit.take(2u32, IpAddr::from([10, 0, 1, n]), Time(0))),
            "another port"
        );
    }

    proptest! {
        /// In no span of time does more go than burst and rate allow.
        #[test]
        fn never_more_than_the_rate(steps in prop::collection::vec(0u64..400, 1..200)) {
            let mut bucket = Bucket::new(RATE, Time(0));
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(Time(now)));
                prop_assert!(taken <= 3 + now * 10 / 1_000);
            }
        }

        /// `next` is the first moment at which something goes.
        #[test]
        fn next_is_exact(steps in prop::collection::vec(0u64..150, 1..50)) {
            let mut bucket = Bucket::new(RATE, Time(0));
            let mut now = 0;
            for step in steps {
                now += step;
                if !bucket.take(Time(now)) {
                    let next = bucket.next();
                    prop_assert!(next > Time(now));
                    prop_assert!(!bucket.clone().take(Time(next.0 - 1)));
                    prop_assert!(bucket.clone().take(next));
                }
            }
        }
    }
}
