//! Ports that were given back and are not given to others yet (RFC 6888 REQ-8).
//!
//! What is held is the key of answers, so a port is held towards the place it was used for. Of the key there is
//! a part of its hash, of the source that had the port another; a free port that looks like a held one is passed
//! over, which costs nothing but another try. When more ports are given back than there is room for, those that
//! would be free first are free sooner.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use super::state::Timeouts;
use crate::ids::Tick;

/// Ports in a set: one cache line.
const WAYS: usize = 8;
/// Bits of a mark that tell the source.
const SOURCE: u32 = 12;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// The ports that are held.
#[derive(Debug)]
pub(super) struct Holds {
    /// Milliseconds; 0 holds nothing.
    time: AtomicU32,
    count: usize,
    /// Made when a time is first set: most tables never hold.
    sets: OnceLock<Box<[Set]>>,
}

impl Holds {
    /// For a table of `capacity` connections: room for half as many ports, 4 bytes for each connection.
    pub(super) fn new(capacity: usize) -> Holds {
        Holds {
            time: AtomicU32::new(0),
            count: (capacity / (2 * WAYS)).max(128),
            sets: OnceLock::new(),
        }
    }

    pub(super) fn set_time(&self, time: u32) {
        if time > 0 {
            self.sets
                .get_or_init(|| (0..self.count).map(|_| Set::default()).collect());
        }
        self.time.store(time.min(Timeouts::LONGEST), Relaxed);
    }

    /// Ports are held at all.
    #[inline]
    pub(super) fn on(&self) -> bool {
        self.time.load(Relaxed) != 0
    }

    fn set(&self, hash: u32) -> Option<&Set> {
        let at = (u64::from(hash) * self.count as u64) >> 32;
        self.sets.get()?.get(at as usize)
    }

    /// Holds the port whose answers have a key of this hash, for the source that had it.
    pub(super) fn hold(&self, hash: u32, source: u64, now: Tick) {
        let Some(Set(cells)) = self.set(hash) else {
            return;
        };
        let until = now.plus(self.time.load(Relaxed));
        let mark = mark(hash, source);
        // The same again, else the one that is free first; what is free already has waited longest.
        let left = |cell: &&AtomicU64| {
            let word = cell.load(Relaxed);
            let same = word >> 32 == u64::from(mark);
            let until = Tick(word as u32);
            match same || word == 0 || now.reached(until) {
                true => 0,
                false => until.since(now),
            }
        };
        if let Some(cell) = cells.iter().min_by_key(left) {
            cell.store(u64::from(mark) << 32 | u64::from(until.0), Relaxed);
        }
    }

    /// Ports held at `now`.
    pub(super) fn count(&self, now: Tick) -> usize {
        let sets = self.sets.get().into_iter().flatten();
        let cells = sets.flat_map(|Set(cells)| cells);
        let words = cells.map(|cell| cell.load(Relaxed));
        words
            .filter(|word| *word != 0 && !now.reached(Tick(*word as u32)))
            .count()
    }

    /// The port is held, and not for this source.
    pub(super) fn holds(&self, hash: u32, source: u64, now: Tick) -> bool {
        let Some(Set(cells)) = self.set(hash) else {
            return false;
        };
        let own = mark(hash, source);
        cells.iter().any(|cell| {
            let word = cell.load(Relaxed);
            let mark = (word >> 32) as u32;
            mark >> SOURCE == own >> SOURCE
                && mark != own
                && word != 0
                && !now.reached(Tick(word as u32))
        })
    }
}

/// Low bits of the hash, whose high bits choose the set, and some of the source's.
fn mark(hash: u32, source: u64) -> u32 {
    let source = source.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SOURCE);
    // Never 0, so that no mark looks like an empty cell.
    hash << SOURCE | (source as u32).max(1)
}
