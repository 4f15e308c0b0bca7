//! What ties connections to the mappings that they rest on: a word for each slot, in memory that is taken when rules first make
//! mappings. Nodes without such rules do not have it.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::memory::Slab;

/// The ties of all slots of a table.
#[derive(Debug)]
pub(super) struct Ties {
    capacity: usize,
    words: OnceLock<Slab<Tie>>,
}

impl Ties {
    pub(super) fn new(capacity: usize) -> Ties {
        Ties {
            capacity,
            words: OnceLock::new(),
        }
    }

    /// Takes the memory, and touches it, so that no packet waits for a page.
    pub(super) fn make(&self) {
        self.words.get_or_init(|| {
            let words = Slab::<Tie>::zeroed(self.capacity);
            for word in words.iter() {
                word.set(0);
            }
            words
        });
    }

    /// There may be mappings.
    pub(super) fn made(&self) -> bool {
        self.words.get().is_some()
    }

    #[inline]
    pub(super) fn of(&self, slot: u32) -> Option<&Tie> {
        self.words.get()?.get(slot as usize)
    }

    /// Bytes of memory taken.
    pub(super) fn bytes(&self) -> usize {
        self.words.get().map_or(0, |words| size_of_val(&**words))
    }
}

/// Of a connection that rests on mappings: these. Of a mapping, or of leave to use one: whether it may be used, whose it is,
/// how many use it.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub(super) struct Tie(AtomicU64);

impl Tie {
    /// May be used; no slot has a number as high.
    const USABLE: u64 = 1 << 63;

    /// What a mapping begins with that is published with this generation and has one user.
    pub(super) const fn held(generation: u32) -> u64 {
        Self::usable(generation) | 1
    }

    /// The high half of its word while it may be used: it tells tenants of the slot apart, so that nobody is counted who means
    /// another.
    const fn usable(generation: u32) -> u64 {
        Self::USABLE | (generation as u64 >> 1) << 32
    }

    pub(super) fn set(&self, word: u64) {
        self.0.store(word, Relaxed);
    }

    pub(super) fn set_rests(&self, [source, destination]: [Option<u32>; 2]) {
        self.set(numbered(source) << 32 | numbered(destination));
    }

    pub(super) fn rests(&self) -> [Option<u32>; 2] {
        let word = self.0.load(Relaxed);
        [slot_of(word >> 32), slot_of(word)]
    }

    /// Users; of what cannot be used, none.
    pub(super) fn users(&self) -> u32 {
        let word = self.0.load(Acquire);
        if word & Self::USABLE == 0 {
            return 0;
        }
        word as u32
    }

    /// One more of what was published with this generation, unless it has ended.
    pub(super) fn add_user(&self, generation: u32, tries: usize) -> bool {
        let usable = Self::usable(generation) >> 32;
        (0..tries).any(|_| {
            let word = self.0.load(Acquire);
            word >> 32 == usable
                && self
                    .0
                    .compare_exchange(word, word + 1, AcqRel, Relaxed)
                    .is_ok()
        })
    }

    /// One less, of those that were added.
    pub(super) fn drop_user(&self) {
        self.0.fetch_sub(1, AcqRel);
    }

    /// Without a user nobody gets to be one any more; false when there is one.
    pub(super) fn end_unused(&self) -> bool {
        let word = self.0.load(Acquire);
        let ended = word & !Self::USABLE;
        word as u32 == 0
            && self
                .0
                .compare_exchange(word, ended, AcqRel, Relaxed)
                .is_ok()
    }
}

/// A slot as 32 bits of which none is the absence of one.
fn numbered(slot: Option<u32>) -> u64 {
    slot.map_or(0, |slot| u64::from(slot) + 1)
}

/// Undoes [`numbered`].
fn slot_of(word: u64) -> Option<u32> {
    (word as u32).checked_sub(1)
}
