//! A worker's own lists of connections: by deadline (a timing wheel) and by age (for eviction).
//!
//! Both are rings of slots linked through the side records; the ends are private to the worker. Nothing
//! here allocates, and every operation is a few loads and stores.

use super::entry::{Chain, Side};
use crate::ids::Tick;

/// The ends of rings have numbers with this bit; slots are below it.
const END: u32 = 1 << 31;

/// A set of doubly linked rings over slots.
#[derive(Debug)]
pub(super) struct Rings {
    chain: Chain,
    /// (previous, next) of each ring's end: (last, first).
    ends: Box<[(u32, u32)]>,
}

impl Rings {
    pub(super) fn new(chain: Chain, count: usize) -> Rings {
        Rings {
            chain,
            ends: (0..count as u32)
                .map(|ring| (END | ring, END | ring))
                .collect(),
        }
    }

    fn links(&self, sides: &[Side], node: u32) -> (u32, u32) {
        if node & END != 0 {
            self.ends
                .get((node & !END) as usize)
                .copied()
                .unwrap_or((node, node))
        } else {
            sides
                .get(node as usize)
                .map_or((node, node), |side| side.links(self.chain))
        }
    }

    fn set_links(&mut self, sides: &[Side], node: u32, previous: u32, next: u32) {
        if node & END != 0 {
            if let Some(end) = self.ends.get_mut((node & !END) as usize) {
                *end = (previous, next);
            }
        } else if let Some(side) = sides.get(node as usize) {
            side.set_links(self.chain, previous, next);
        }
    }

    fn set_next(&mut self, sides: &[Side], node: u32, next: u32) {
        let (previous, _) = self.links(sides, node);
        self.set_links(sides, node, previous, next);
    }

    fn set_previous(&mut self, sides: &[Side], node: u32, previous: u32) {
        let (_, next) = self.links(sides, node);
        self.set_links(sides, node, previous, next);
    }

    /// Appends a slot that is in no ring.
    pub(super) fn push(&mut self, sides: &[Side], ring: usize, slot: u32) {
        let end = END | ring as u32;
        let (last, _) = self.links(sides, end);
        self.set_links(sides, slot, last, end);
        self.set_next(sides, last, slot);
        self.set_previous(sides, end, slot);
    }

    /// Takes a slot out of whatever ring it is in.
    pub(super) fn unlink(&mut self, sides: &[Side], slot: u32) {
        let (previous, next) = self.links(sides, slot);
        self.set_next(sides, previous, next);
        self.set_previous(sides, next, previous);
        self.set_links(sides, slot, slot, slot);
    }

    /// The slot that is longest in a ring.
    pub(super) fn first(&self, ring: usize) -> Option<u32> {
        self.ends
            .get(ring)
            .map(|(_, first)| *first)
            .filter(|first| first & END == 0)
    }
}

/// Milliseconds of one bucket, as a power of two: 128 ms.
const SHIFT: u32 = 7;
/// Buckets; the wheel turns once in 131 s. Later deadlines wait in the farthest bucket and are placed anew.
const BUCKETS: u32 = 1024;
/// Bucket numbers that exist before the clock wraps.
const NUMBERS: u32 = 1 << (32 - SHIFT);

/// Connections by deadline. A connection that was used in the meantime is found out when its bucket comes,
/// and placed anew, so packets never touch the wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    rings: Rings,
    /// The number of the last bucket that is done.
    done: u32,
}

impl Wheel {
    pub(super) fn new(now: Tick) -> Wheel {
        Wheel {
            rings: Rings::new(Chain::Wheel, BUCKETS as usize),
            done: now.0 >> SHIFT,
        }
    }

    /// Makes this the moment from which on an empty wheel turns.
    pub(super) fn begin(&mut self, now: Tick) {
        self.done = now.0 >> SHIFT;
    }

    /// Enters a slot that is not in the wheel. It comes up at `deadline` or less than one bucket later, or
    /// sooner when the deadline is more than a turn away.
    pub(super) fn place(&mut self, sides: &[Side], slot: u32, deadline: Tick) {
        let done = Tick(self.done << SHIFT);
        let ahead = if done.reached(deadline) {
            1
        } else {
            deadline.since(done).div_ceil(1 << SHIFT)
        };
        let bucket = self.done.wrapping_add(ahead.clamp(1, BUCKETS - 1)) % BUCKETS;
        self.rings.push(sides, bucket as usize, slot);
    }

    pub(super) fn remove(&mut self, sides: &[Side], slot: u32) {
        self.rings.unlink(sides, slot);
    }

    /// Takes out the next slot whose bucket has come; `None` when there is none up to `now`.
    ///
    /// Steps over at most one turn of empty buckets.
    pub(super) fn due(&mut self, sides: &[Side], now: Tick) -> Option<u32> {
        let target = now.0 >> SHIFT;
        let behind = target.wrapping_sub(self.done) % NUMBERS;
        if behind >= NUMBERS / 2 {
            // The clock went back a little: nothing is due.
            return None;
        }
        if behind >= BUCKETS {
            // More than a turn late: one turn sees every bucket.
            self.done = target.wrapping_sub(BUCKETS) % NUMBERS;
        }
        while self.done != target {
            let bucket = self.done.wrapping_add(1) % NUMBERS;
            if let Some(slot) = self.rings.first((bucket % BUCKETS) as usize) {
                self.rings.unlink(sides, slot);
                return Some(slot);
            }
            self.done = bucket;
        }
        None
    }

    /// Takes out all slots, for a worker that leaves.
    pub(super) fn drain(&mut self, sides: &[Side], mut each: impl FnMut(u32)) {
        for bucket in 0..BUCKETS as usize {
            while let Some(slot) = self.rings.first(bucket) {
                self.rings.unlink(sides, slot);
                each(slot);
            }
        }
    }
}

/// Rings of the eviction queues.
pub(super) const QUEUES: usize = 5;

/// Connections that may be asked to go, oldest first, by kind.
#[derive(Debug)]
pub(super) struct Queues {
    rings: Rings,
    lengths: [usize; QUEUES],
}

impl Queues {
    pub(super) fn new() -> Queues {
        Queues {
            rings: Rings::new(Chain::Eviction, QUEUES),
            lengths: [0; QUEUES],
        }
    }

    pub(super) fn push(&mut self, sides: &[Side], queue: usize, slot: u32) {
        self.rings.push(sides, queue, slot);
        if let Some(length) = self.lengths.get_mut(queue) {
            *length += 1;
        }
    }

    pub(super) fn remove(&mut self, sides: &[Side], queue: usize, slot: u32) {
        self.rings.unlink(sides, slot);
        if let Some(length) = self.lengths.get_mut(queue) {
            *length -= 1;
        }
    }

    pub(super) fn first(&self, queue: usize) -> Option<u32> {
        self.rings.first(queue)
    }

    /// The one behind a slot in the same queue.
    pub(super) fn after(&self, sides: &[Side], slot: u32) -> Option<u32> {
        let (_, next) = self.rings.links(sides, slot);
        (next & END == 0).then_some(next)
    }

    pub(super) fn length(&self, queue: usize) -> usize {
        self.lengths.get(queue).copied().unwrap_or(0)
    }
}
