//! Where the table lives: memory that is taken once, in huge pages where the kernel has them.
//!
//! A table is read at random, so with pages of 4 KiB nearly every access also misses the processor's cache of
//! page addresses. How much that costs is in `README.md`.

use std::ops::Deref;

use memmap2::{Advice, MmapMut};
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// Smaller tables are ordinary memory: they fit into the caches anyway.
const LARGE: usize = 2 << 20;

/// A fixed number of elements, all zero at first.
#[derive(Debug)]
pub(super) enum Slab<T: 'static> {
    /// On the heap.
    Small(Box<[T]>),
    /// Mapped for the rest of the process' life: a node makes one table and keeps it, and borrowing from a
    /// mapping that can go away is not possible in safe code.
    Large(&'static [T]),
}

impl<T: FromBytes + IntoBytes + KnownLayout> Slab<T> {
    /// Takes the memory of `count` elements.
    pub(super) fn zeroed(count: usize) -> Slab<T> {
        match mapped(count) {
            Some(mapped) => Slab::Large(mapped),
            None => Slab::Small((0..count).map(|_| T::new_zeroed()).collect()),
        }
    }
}

impl<T> Deref for Slab<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Slab::Small(small) => small,
            Slab::Large(large) => large,
        }
    }
}

/// `None` when that is not worth it, or the kernel has no memory to map.
fn mapped<T: FromBytes + IntoBytes + KnownLayout>(count: usize) -> Option<&'static [T]> {
    let bytes = count.checked_mul(size_of::<T>()).filter(|&b| b >= LARGE)?;
    let map = MmapMut::map_anon(bytes).ok()?;
    // A kernel without huge pages refuses; then the memory is as good as any.
    let _ = map.advise(Advice::HugePage);
    let map: &'static mut MmapMut = Box::leak(Box::new(map));
    Some(<[T]>::mut_from_bytes(map.get_mut(..bytes)?).ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;

    #[test]
    fn small_and_large_hold_what_they_should() {
        for (count, large) in [(0, false), (7, false), (LARGE / 8, true)] {
            let slab = Slab::<AtomicU64>::zeroed(count);
            assert_eq!(slab.len(), count);
            assert_eq!(matches!(slab, Slab::Large(_)), large);
            assert!(slab.iter().all(|word| word.load(Relaxed) == 0));
            if let (Some(first), Some(last)) = (slab.first(), slab.last()) {
                first.store(1, Relaxed);
                last.store(2, Relaxed);
                assert_eq!(slab.iter().map(|word| word.load(Relaxed)).sum::<u64>(), 3);
            }
        }
    }
}
