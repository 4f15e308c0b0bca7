//! Some frames of a burst.

use crate::io::BURST;

/// Places in a burst, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u32);

const _: () = assert!(BURST == 32, "a bit for each");

impl Places {
    pub(super) const NONE: Places = Places(0);

    /// The first `len`, at most a burst.
    #[inline]
    pub(super) fn first(len: usize) -> Places {
        Places(((1_u64 << len.min(BURST)) - 1) as u32)
    }

    #[inline]
    pub(super) fn add(&mut self, at: usize) {
        self.0 |= 1 << (at % BURST);
    }

    #[inline]
    pub(super) fn has(self, at: usize) -> bool {
        self.0 >> (at % BURST) & 1 != 0
    }

    #[inline]
    pub(super) fn without(self, others: Places) -> Places {
        Places(self.0 & !others.0)
    }

    #[inline]
    pub(super) fn and(self, others: Places) -> Places {
        Places(self.0 | others.0)
    }

    #[inline]
    pub(super) fn len(self) -> u32 {
        self.0.count_ones()
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl IntoIterator for Places {
    type Item = usize;
    type IntoIter = Each;

    #[inline]
    fn into_iter(self) -> Each {
        Each(self.0)
    }
}

/// The places, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Each(u32);

impl Iterator for Each {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let at = self.0.trailing_zeros() as usize;
        let left = self.0 & self.0.wrapping_sub(1);
        (std::mem::replace(&mut self.0, left) != 0).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_places() {
        let mut places = Places::NONE;
        assert!(places.is_empty());
        for at in [31, 0, 7] {
            places.add(at);
        }
        assert_eq!(places.into_iter().collect::<Vec<_>>(), [0, 7, 31]);
        assert_eq!(places.len(), 3);
        assert!(places.has(31) && !places.has(30));
        let first = Places::first(8);
        assert_eq!(
            first.into_iter().collect::<Vec<_>>(),
            (0..8).collect::<Vec<_>>()
        );
        assert_eq!(places.without(first).into_iter().collect::<Vec<_>>(), [31]);
        assert_eq!(places.and(first).len(), 9);
        assert_eq!(Places::first(BURST).len(), 32);
        assert!(Places::first(0).is_empty());
    }
}
