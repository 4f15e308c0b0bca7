//! How much a worker gives the slow path: a token bucket for each class, so that a flood of one starves
//! no other.

use crate::ids::Tick;
use crate::verdict::PuntClass;

/// Frames a second and frames at once, by class.
const RATES: [(u32, u32); PuntClass::ALL.len()] = [
    (20_000, 2_000), // underlay: BFD of many peers
    (5_000, 1_000),  // neighbor
    (10_000, 2_000), // resolve: bounded again by the slow path's own queues
    (5_000, 1_000),  // icmp
    (10_000, 2_000), // health: some packets a check
];

/// Token buckets in thousandths of a frame.
#[derive(Debug)]
pub(super) struct Police {
    buckets: [u64; PuntClass::ALL.len()],
    last: Tick,
}

impl Police {
    pub(super) fn new() -> Self {
        Police {
            buckets: RATES.map(|(_, burst)| u64::from(burst) * 1000),
            last: Tick(0),
        }
    }

    /// Takes a token of the class; false when there is none.
    pub(super) fn pass(&mut self, class: PuntClass, now: Tick) -> bool {
        let has = self.would_pass(class, now);
        if has && let Some(bucket) = self.buckets.get_mut(class as usize) {
            *bucket -= 1000;
        }
        has
    }

    /// There is a token of the class; it stays.
    pub(super) fn would_pass(&mut self, class: PuntClass, now: Tick) -> bool {
        let elapsed = u64::from(now.since(self.last));
        if elapsed > 0 {
            self.last = now;
            for (bucket, (rate, burst)) in self.buckets.iter_mut().zip(RATES) {
                // frames a second are thousandths of a frame a millisecond
                *bucket = (*bucket + elapsed * u64::from(rate)).min(u64::from(burst) * 1000);
            }
        }
        let bucket = self.buckets.get(class as usize);
        bucket.is_some_and(|bucket| *bucket >= 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_class_leaves_the_others_alone() {
        let mut police = Police::new();
        let passed = (0..10_000)
            .filter(|_| police.pass(PuntClass::Icmp, Tick(0)))
            .count();
        assert_eq!(passed, 1_000);
        assert!(police.pass(PuntClass::Underlay, Tick(0)));
        assert!(!police.would_pass(PuntClass::Icmp, Tick(0)));
        assert!((0..10_000).all(|_| police.would_pass(PuntClass::Icmp, Tick(100))));
        let refilled = (0..10_000)
            .filter(|_| police.pass(PuntClass::Icmp, Tick(100)))
            .count();
        assert_eq!(refilled, 500);
    }
}
