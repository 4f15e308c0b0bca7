//! Free slots: a shared stack of batches, and a few slots in each worker's hand.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Release},
};

use super::entry::{Chain, Side};

/// No slot; the end of a chain.
pub(super) const NO_SLOT: u32 = u32::MAX;

/// Slots that go between a worker and the stack at once, in large tables.
const LARGEST_BATCH: usize = 64;

/// The shared stack. A batch is a chain through the `next` links of free slots; the first slot of a batch
/// has the batch below it in `previous`. The head carries a count that changes with every operation, so a
/// thread that slept between reading and swapping cannot be fooled by a slot that came back.
#[derive(Debug)]
pub(super) struct FreeStack {
    /// Operations (32 bits), first slot of the top batch (32 bits).
    head: AtomicU64,
    batch: usize,
}

impl FreeStack {
    /// A stack of all slots of `sides`. A batch is small enough that what all `workers` hold in hand is a
    /// few percent of the table.
    pub(super) fn new(sides: &[Side], workers: usize) -> FreeStack {
        let batch = (sides.len() / (workers.max(1) * 64)).clamp(1, LARGEST_BATCH);
        let stack = FreeStack {
            head: AtomicU64::new(u64::from(NO_SLOT)),
            batch,
        };
        let all: Vec<u32> = (0..sides.len() as u32).collect();
        for slots in all.chunks(batch).rev() {
            stack.push(sides, slots);
        }
        stack
    }

    fn push(&self, sides: &[Side], slots: &[u32]) {
        let Some((first, rest)) = slots.split_first() else {
            return;
        };
        let Some(top) = sides.get(*first as usize) else {
            return;
        };
        let mut next = NO_SLOT;
        for slot in rest.iter().rev() {
            if let Some(side) = sides.get(*slot as usize) {
                side.set_links(Chain::Wheel, NO_SLOT, next);
                next = *slot;
            }
        }
        let mut head = self.head.load(Acquire);
        loop {
            top.set_links(Chain::Wheel, head as u32, next);
            let new = stepped(head) | u64::from(*first);
            match self.head.compare_exchange_weak(head, new, Release, Acquire) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    /// Moves one batch into `hand`; false when there is none.
    fn pop(&self, sides: &[Side], hand: &mut Vec<u32>) -> bool {
        let mut head = self.head.load(Acquire);
        let first = loop {
            let first = head as u32;
            let Some(side) = sides.get(first as usize) else {
                return false;
            };
            let (below, _) = side.links(Chain::Wheel);
            let new = stepped(head) | u64::from(below);
            match self.head.compare_exchange_weak(head, new, AcqRel, Acquire) {
                Ok(_) => break first,
                Err(found) => head = found,
            }
        };
        let mut slot = first;
        while let Some(side) = sides.get(slot as usize) {
            hand.push(slot);
            (_, slot) = side.links(Chain::Wheel);
        }
        true
    }
}

const fn stepped(head: u64) -> u64 {
    (head >> 32).wrapping_add(1) << 32
}

/// The free slots in one worker's hand; never more than two batches, so nothing is allocated later.
#[derive(Debug)]
pub(super) struct Hand {
    slots: Vec<u32>,
}

impl Hand {
    pub(super) fn new(stack: &FreeStack) -> Hand {
        Hand {
            slots: Vec::with_capacity(2 * stack.batch),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, stack: &FreeStack, sides: &[Side]) -> Option<u32> {
        if self.slots.is_empty() {
            stack.pop(sides, &mut self.slots);
        }
        self.slots.pop()
    }

    #[inline]
    pub(super) fn give(&mut self, stack: &FreeStack, sides: &[Side], slot: u32) {
        if self.slots.len() >= 2 * stack.batch {
            // The oldest go; the newest are warm.
            if let Some(oldest) = self.slots.get(..stack.batch) {
                stack.push(sides, oldest);
            }
            self.slots.drain(..stack.batch);
        }
        self.slots.push(slot);
    }

    /// Everything back to the stack, for others to take.
    pub(super) fn give_all(&mut self, stack: &FreeStack, sides: &[Side]) {
        for slots in self.slots.chunks(stack.batch) {
            stack.push(sides, slots);
        }
        self.slots.clear();
    }
}
