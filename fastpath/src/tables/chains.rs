//! Which slot holds a key: hash chains through the slots of a table, one writer, readers without locks.
//!
//! The table keeps keys and values in slots that never move; this index only says where to look. A reader
//! tests every slot that it is led to, so it can never be led to a wrong answer, only past the right one:
//! when a slot that it stands on is taken out and put into another chain. [`Chains::find`] sees that
//! something was taken out meanwhile and looks again.
//!
//! ```text
//!  heads:  [ 3 ] [ - ] [ 7 ] ...      by hash
//!            |           |
//!  next:   3 -> 5      7 -> -         by slot
//! ```
//!
//! The hash is keyed: who chooses addresses cannot choose collisions. Chains are bounded, and so is every
//! look-up.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// Longest chain. With two heads for each slot, one of this length does not come about by chance.
const MAX_CHAIN: u32 = 16;
/// How often a look-up that missed beside a removal is repeated.
const MAX_RETRIES: u32 = 4;

/// The index. Links are slot numbers plus one; zero ends a chain.
#[derive(Debug)]
pub(super) struct Chains {
    heads: Box<[AtomicU32]>,
    next: Box<[AtomicU32]>,
    /// Raised after every removal, before the slot is linked again.
    removals: AtomicU32,
    seed: [u64; 3],
}

impl Chains {
    /// An index for slots `0..slots`.
    pub(super) fn new(slots: usize) -> Chains {
        assert!(slots < 1 << 31, "table capacity out of range");
        let random = RandomState::new();
        let heads = (slots * 2).next_power_of_two();
        Chains {
            heads: (0..heads).map(|_| AtomicU32::new(0)).collect(),
            next: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            removals: AtomicU32::new(0),
            seed: [1u8, 2, 3].map(|part| random.hash_one(part)),
        }
    }

    /// The keyed hash of a key given as words.
    #[inline]
    pub(super) fn hash<const N: usize>(&self, key: [u64; N]) -> u64 {
        let [first, each, last] = self.seed;
        let mixed = key
            .iter()
            .fold(first, |hash, word| fold(hash ^ word, each | 1));
        fold(mixed ^ last, each | 1)
    }

    /// The slot in the chain of `hash` that `test` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut test: impl FnMut(u32) -> bool) -> Option<u32> {
        for _ in 0..MAX_RETRIES {
            let removals = self.removals.load(Ordering::Acquire);
            let found = self.walk(hash, &mut test);
            if found.is_some() || self.removals.load(Ordering::Relaxed) == removals {
                return found;
            }
        }
        None
    }

    #[inline]
    fn walk(&self, hash: u64, test: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        // Acquire on every link: what the writer put into a slot before linking it is then seen, and so is
        // the count of the removal that came before it was linked again.
        let mut link = self.head(hash)?.load(Ordering::Acquire);
        for _ in 0..MAX_CHAIN {
            let slot = link.checked_sub(1)?;
            if test(slot) {
                return Some(slot);
            }
            link = self.next.get(slot as usize)?.load(Ordering::Acquire);
        }
        None
    }

    #[inline]
    fn head(&self, hash: u64) -> Option<&AtomicU32> {
        self.heads.get(hash as usize & (self.heads.len() - 1))
    }

    /// Puts `slot`, which is in no chain, first. For the writer only. False when the chain is full.
    pub(super) fn link(&self, hash: u64, slot: u32) -> bool {
        let (Some(head), Some(next)) = (self.head(hash), self.next.get(slot as usize)) else {
            return false;
        };
        let first = head.load(Ordering::Relaxed);
        if self.chain_length(first) >= MAX_CHAIN {
            return false;
        }
        next.store(first, Ordering::Release);
        head.store(slot + 1, Ordering::Release);
        true
    }

    /// Takes `slot` out of the chain of `hash`. For the writer only.
    pub(super) fn unlink(&self, hash: u64, slot: u32) {
        let Some(mut link) = self.head(hash) else {
            return;
        };
        for _ in 0..MAX_CHAIN {
            let here = link.load(Ordering::Relaxed);
            let Some(next) = here.checked_sub(1).and_then(|s| self.next.get(s as usize)) else {
                return;
            };
            if here == slot + 1 {
                // The slot keeps its own link: a reader that stands on it gets to the rest of the chain.
                link.store(next.load(Ordering::Relaxed), Ordering::Release);
                self.removals.fetch_add(1, Ordering::Release);
                return;
            }
            link = next;
        }
    }

    fn chain_length(&self, mut link: u32) -> u32 {
        let mut length = 0;
        while let Some(slot) = link.checked_sub(1)
            && length < MAX_CHAIN
        {
            length += 1;
            let next = self.next.get(slot as usize);
            link = next.map_or(0, |next| next.load(Ordering::Relaxed));
        }
        length
    }
}

/// Both halves of the product: every bit of the result depends on all bits of both factors.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(chains: &Chains, hash: u64) -> Vec<u32> {
        let mut seen = Vec::new();
        chains.find(hash, |slot| {
            seen.push(slot);
            false
        });
        seen
    }

    #[test]
    fn links_first_and_unlinks_anywhere() {
        for gone in 0..4 {
            let chains = Chains::new(8);
            for slot in 0..4 {
                assert!(chains.link(5, slot));
            }
            assert_eq!(chain(&chains, 5), [3, 2, 1, 0]);
            chains.unlink(5, gone);
            let left: Vec<u32> = [3, 2, 1, 0].into_iter().filter(|s| *s != gone).collect();
            assert_eq!(chain(&chains, 5), left);
            assert_eq!(chain(&chains, 6), []);
        }
    }

    #[test]
    fn unlinking_what_is_not_there_changes_nothing() {
        let chains = Chains::new(8);
        assert!(chains.link(5, 0));
        chains.unlink(5, 1);
        chains.unlink(6, 0);
        assert_eq!(chain(&chains, 5), [0]);
    }

    #[test]
    fn chains_are_bounded() {
        let chains = Chains::new(64);
        for slot in 0..MAX_CHAIN {
            assert!(chains.link(9, slot));
        }
        assert!(!chains.link(9, MAX_CHAIN));
        assert_eq!(chain(&chains, 9).len(), MAX_CHAIN as usize);
        chains.unlink(9, 3);
        assert!(chains.link(9, MAX_CHAIN));
    }

    #[test]
    fn a_miss_beside_a_removal_is_looked_up_again() {
        let chains = Chains::new(8);
        for slot in [0, 1, 2] {
            assert!(chains.link(5, slot));
        }
        // While the reader stands on slot 1 it moves to another chain: slot 0 is missed at first.
        let mut moved = false;
        let found = chains.find(5, |slot| {
            if slot == 1 && !moved {
                moved = true;
                chains.unlink(5, 1);
                assert!(chains.link(6, 1));
            }
            slot == 0
        });
        assert!(moved);
        assert_eq!(found, Some(0));
    }

    #[test]
    fn an_index_without_slots_finds_nothing() {
        let chains = Chains::new(0);
        assert_eq!(chains.find(1, |_| true), None);
        assert!(!chains.link(1, 0));
    }

    #[test]
    fn every_word_counts_and_the_key_is_per_index() {
        let chains = Chains::new(8);
        let hash = chains.hash([1, 2, 3]);
        assert_eq!(chains.hash([1, 2, 3]), hash);
        for other in [[0, 2, 3], [1, 0, 3], [1, 2, 0], [2, 1, 3]] {
            assert_ne!(chains.hash(other), hash);
        }
        assert_ne!(Chains::new(8).hash([1, 2, 3]), hash);
    }
}
