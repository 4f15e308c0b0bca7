//! The index: cache-line buckets of references, found by a 32-bit hash. It knows no keys, so it serves every
//! width of them.
//!
//! A key lives in its primary bucket, else in its secondary, else in one of the [`FAR`] buckets behind that.
//! The control word of the *primary* bucket counts how many of its keys live elsewhere, so a look-up reads one
//! line unless a key of this very bucket has spilled.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::key::Direction;
use super::memory::Slab;

/// References a bucket: with the control word one cache line.
const PLACES: usize = 7;
/// Keys a bucket is sized for: a fill of 4/7 spills about one key of fifty.
const KEYS_A_BUCKET: usize = 4;
/// Buckets behind the secondary that a key may spill into.
const FAR: usize = 8;
/// Fewer buckets could fill by bad luck alone.
const LEAST_BUCKETS: usize = 16;
/// Rounds of an insertion that keeps losing against others in the same bucket.
const ATTEMPTS: usize = 64;

/// A reference to one direction of the entry in a slot: what the index stores beside the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) slot: u32,
    pub(super) direction: Direction,
}

impl Reference {
    /// Tag in the high half; slot + 1 and direction in the low one, so that a used word is never 0.
    #[inline]
    fn word(self, hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from((self.slot + 1) << 1 | self.direction as u32)
    }

    #[inline]
    fn of(word: u64) -> Reference {
        let low = word as u32;
        let direction = if low & 1 == 0 {
            Direction::Original
        } else {
            Direction::Reply
        };
        Reference {
            slot: (low >> 1).wrapping_sub(1),
            direction,
        }
    }
}

/// Why a key could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An equal key is there.
    Duplicate,
    /// No place in any bucket of the key, or others were faster too many times.
    Full,
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
struct Bucket {
    /// Insertions so far (32 bits), keys of this bucket far away (16), keys of it in their secondary (16).
    control: AtomicU64,
    places: [AtomicU64; PLACES],
}

/// How far from home a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Primary,
    Secondary,
    Far,
}

impl Level {
    /// What one key at this level adds to the control word of its primary bucket.
    const fn weight(self) -> u64 {
        match self {
            Level::Primary => 0,
            Level::Secondary => 1,
            Level::Far => 1 << 16,
        }
    }
}

const INSERTION: u64 = 1 << 32;
const SPILLED_FAR: u64 = 0xffff << 16;
const SPILLED: u64 = 0xffff_ffff;

#[derive(Debug)]
pub(super) struct Index {
    buckets: Slab<Bucket>,
}

impl Index {
    /// An index that holds `keys` keys.
    pub(super) fn new(keys: usize) -> Index {
        let buckets = keys.div_ceil(KEYS_A_BUCKET).max(LEAST_BUCKETS);
        let buckets = Slab::<Bucket>::zeroed(buckets);
        for bucket in buckets.iter() {
            bucket.control.store(0, Relaxed);
        }
        Index { buckets }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    /// Scales a hash to the number of buckets without a division.
    #[inline]
    fn scale(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The bucket of a position; positions come from [`Index::scale`] and a remainder, so one always exists.
    #[inline]
    fn bucket(&self, position: usize) -> Option<&Bucket> {
        self.buckets.get(position)
    }

    #[inline]
    fn primary(&self, hash: u32) -> usize {
        self.scale(hash)
    }

    #[inline]
    fn secondary(&self, hash: u32) -> usize {
        // The high bits chose the primary; mix so that all bits choose the secondary.
        let mixed = (hash ^ hash >> 15).wrapping_mul(0x9e37_79b1);
        let position = self.scale(mixed ^ mixed >> 13);
        // Another bucket than the primary: a place has one level only.
        if position == self.primary(hash) {
            (position + 1) % self.buckets.len()
        } else {
            position
        }
    }

    fn far(&self, hash: u32) -> impl Iterator<Item = &Bucket> {
        let (home, start) = (self.primary(hash), self.secondary(hash));
        (1..=FAR)
            .map(move |step| (start + step) % self.buckets.len())
            .filter(move |position| *position != home)
            .filter_map(|position| self.bucket(position))
    }

    /// A word in the line of the primary bucket.
    #[inline]
    pub(super) fn home(&self, hash: u32) -> Option<&AtomicU64> {
        Some(&self.bucket(self.primary(hash))?.control)
    }

    /// Starts the load of the primary bucket's line.
    #[inline]
    pub(super) fn warm(&self, hash: u32) {
        if let Some(word) = self.home(hash) {
            // Loads stronger than relaxed are never removed, and nothing waits for this one.
            word.load(Acquire);
        }
    }

    /// Second stage of a burst: the references of the primary bucket with this tag, and the first of them.
    #[inline]
    pub(super) fn candidates(&self, hash: u32) -> (Tagged, Option<Reference>) {
        let Some(bucket) = self.bucket(self.primary(hash)) else {
            return (Tagged(0), None);
        };
        let tagged = bucket.tagged(hash);
        (tagged, bucket.reference(tagged))
    }

    /// The first answer of `look` among all references with this tag.
    #[inline]
    pub(super) fn find<T>(&self, hash: u32, look: impl FnMut(Reference) -> Option<T>) -> Option<T> {
        let tagged = self.bucket(self.primary(hash))?.tagged(hash);
        self.find_among(hash, tagged, look)
    }

    /// Last stage of a burst: as [`Index::find`], when [`Index::candidates`] has told the references.
    #[inline]
    pub(super) fn find_among<T>(
        &self,
        hash: u32,
        tagged: Tagged,
        mut look: impl FnMut(Reference) -> Option<T>,
    ) -> Option<T> {
        let primary = self.bucket(self.primary(hash))?;
        if let Some(found) = primary.references(tagged).find_map(&mut look) {
            return Some(found);
        }
        let spilled = primary.control.load(Acquire) & SPILLED;
        if spilled == 0 {
            return None;
        }
        self.find_spilled(hash, spilled, look)
    }

    #[cold]
    fn find_spilled<T>(
        &self,
        hash: u32,
        spilled: u64,
        mut look: impl FnMut(Reference) -> Option<T>,
    ) -> Option<T> {
        let secondary = self.bucket(self.secondary(hash))?;
        if let Some(found) = secondary
            .references(secondary.tagged(hash))
            .find_map(&mut look)
        {
            return Some(found);
        }
        if spilled & SPILLED_FAR == 0 {
            return None;
        }
        self.far(hash)
            .find_map(|bucket| bucket.references(bucket.tagged(hash)).find_map(&mut look))
    }

    /// Enters a reference unless `same` knows an equal key already.
    ///
    /// Of two threads that enter equal keys at the same time, at most one succeeds: both must change the
    /// control word of the one primary bucket from what they saw before they searched, and the second to
    /// do so searches again and finds the first.
    pub(super) fn insert(
        &self,
        hash: u32,
        reference: Reference,
        same: impl Fn(Reference) -> bool,
    ) -> Result<(), Refusal> {
        let home = self.bucket(self.primary(hash)).ok_or(Refusal::Full)?;
        let word = reference.word(hash);
        for _ in 0..ATTEMPTS {
            let seen = home.control.load(Acquire);
            let (place, level) = self.free_place(hash, home, seen, &same)?;
            if place.compare_exchange(0, word, AcqRel, Relaxed).is_err() {
                continue;
            }
            let counted = seen.wrapping_add(INSERTION + level.weight());
            if home
                .control
                .compare_exchange(seen, counted, AcqRel, Relaxed)
                .is_ok()
            {
                return Ok(());
            }
            place.store(0, Release);
        }
        Err(Refusal::Full)
    }

    fn free_place<'a>(
        &'a self,
        hash: u32,
        home: &'a Bucket,
        seen: u64,
        same: &impl Fn(Reference) -> bool,
    ) -> Result<(&'a AtomicU64, Level), Refusal> {
        let mut free = home
            .free_unless(hash, same)?
            .map(|place| (place, Level::Primary));
        if free.is_some() && seen & SPILLED == 0 {
            return free.ok_or(Refusal::Full);
        }
        let secondary = self.bucket(self.secondary(hash)).ok_or(Refusal::Full)?;
        let place = secondary.free_unless(hash, same)?;
        free = free.or(place.map(|place| (place, Level::Secondary)));
        if free.is_some() && seen & SPILLED_FAR == 0 {
            return free.ok_or(Refusal::Full);
        }
        for bucket in self.far(hash) {
            let place = bucket.free_unless(hash, same)?;
            free = free.or(place.map(|place| (place, Level::Far)));
        }
        free.ok_or(Refusal::Full)
    }

    /// Takes out exactly this reference; false when it is not there.
    pub(super) fn remove(&self, hash: u32, reference: Reference) -> bool {
        let word = reference.word(hash);
        let Some(home) = self.bucket(self.primary(hash)) else {
            return false;
        };
        if home.clear(word) {
            return true;
        }
        let secondary = self.bucket(self.secondary(hash));
        let level = if secondary.is_some_and(|bucket| bucket.clear(word)) {
            Level::Secondary
        } else if self.far(hash).any(|bucket| bucket.clear(word)) {
            Level::Far
        } else {
            return false;
        };
        // The place is empty before the count says so: a reader may look in vain, never miss.
        home.control.fetch_sub(level.weight(), AcqRel);
        true
    }

    /// How many keys live outside their primary bucket: (secondary, far).
    #[cfg(test)]
    pub(super) fn spilled(&self) -> (u64, u64) {
        self.buckets
            .iter()
            .map(|b| b.control.load(Acquire))
            .fold((0, 0), |(near, far), control| {
                (
                    near + (control & 0xffff),
                    far + ((control & SPILLED_FAR) >> 16),
                )
            })
    }
}

/// Places of a bucket, one bit each, whose tag is the one looked for. An empty place passes for tag 0; its
/// reference leads to no slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tagged(u32);

impl Tagged {
    /// All but the first.
    #[inline]
    pub(super) const fn rest(self) -> Tagged {
        Tagged(self.0 & self.0.wrapping_sub(1))
    }
}

impl Bucket {
    /// Without branches, since which place it is cannot be foretold.
    #[inline]
    fn tagged(&self, hash: u32) -> Tagged {
        let tagged = |place: &AtomicU64| u32::from((place.load(Acquire) >> 32) as u32 == hash);
        let places = self.places.iter().rev();
        Tagged(places.fold(0, |bits, place| bits << 1 | tagged(place)))
    }

    /// The first of these references.
    #[inline]
    fn reference(&self, tagged: Tagged) -> Option<Reference> {
        let place = self.places.get(tagged.0.trailing_zeros() as usize)?;
        Some(Reference::of(place.load(Acquire)))
    }

    #[inline]
    fn references(&self, mut tagged: Tagged) -> impl Iterator<Item = Reference> {
        std::iter::from_fn(move || {
            let reference = self.reference(tagged)?;
            tagged = tagged.rest();
            Some(reference)
        })
    }

    #[inline]
    fn free_unless(
        &self,
        hash: u32,
        same: &impl Fn(Reference) -> bool,
    ) -> Result<Option<&AtomicU64>, Refusal> {
        let mut free = None;
        for place in &self.places {
            let word = place.load(Acquire);
            if word == 0 {
                free = free.or(Some(place));
            } else if (word >> 32) as u32 == hash && same(Reference::of(word)) {
                return Err(Refusal::Duplicate);
            }
        }
        Ok(free)
    }

    /// Only the writer of a reference clears it, so a plain store after the match is enough.
    fn clear(&self, word: u64) -> bool {
        match self.places.iter().find(|place| place.load(Relaxed) == word) {
            Some(place) => {
                place.store(0, Release);
                true
            }
            None => false,
        }
    }
}
