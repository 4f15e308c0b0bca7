//! Sets of numbers as sorted ranges.

/// The numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The least.
    pub first: u128,
    /// The greatest.
    pub last: u128,
}

impl Range {
    /// One number.
    pub const fn one(value: u128) -> Self {
        Self {
            first: value,
            last: value,
        }
    }

    /// All numbers of so many bits (0 to 128).
    pub const fn all(bits: u8) -> Self {
        Self {
            first: 0,
            last: ones(bits),
        }
    }
}

/// The greatest number of so many bits (0 to 128).
pub const fn ones(bits: u8) -> u128 {
    match 128_u32.checked_sub(bits as u32) {
        Some(0) | None => u128::MAX,
        Some(128) => 0,
        Some(rest) => u128::MAX >> rest,
    }
}

/// A set of numbers: ranges in order, with at least one number between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// The numbers that are in any of the ranges; a range that ends before it begins has none.
    pub fn of(ranges: impl IntoIterator<Item = Range>) -> Self {
        let mut ranges: Vec<Range> = ranges.into_iter().filter(|r| r.first <= r.last).collect();
        ranges.sort_unstable();
        let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(before) if range.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(range.last);
                }
                _ => joined.push(range),
            }
        }
        Self(joined)
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = &Range> {
        self.0.iter()
    }

    /// There is no number in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number is in the set.
    pub fn contains(&self, value: u128) -> bool {
        let after = self.0.partition_point(|range| range.first <= value);
        let range = after.checked_sub(1).and_then(|at| self.0.get(at));
        range.is_some_and(|range| value <= range.last)
    }

    /// The numbers that are in one of the two.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }

    /// The numbers of so many bits that are not in it.
    #[must_use]
    pub fn complement(&self, bits: u8) -> Self {
        let last = ones(bits);
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(0);
        for range in &self.0 {
            if let (Some(first), Some(before)) = (from, range.first.checked_sub(1)) {
                gaps.push(Range {
                    first,
                    last: before.min(last),
                });
            }
            from = range.last.checked_add(1).filter(|first| *first <= last);
        }
        if let Some(first) = from {
            gaps.push(Range { first, last });
        }
        Self::of(gaps)
    }

    /// The numbers that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            both.push(Range {
                first: left.first.max(right.first),
                last: left.last.min(right.last),
            });
            if left.last < right.last {
                a.next();
            } else {
                b.next();
            }
        }
        Self::of(both)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Ranges> {
        let range = (0_u128..64, 0_u128..12);
        let range = range.prop_map(|(first, more)| Range {
            first,
            last: (first + more).min(63),
        });
        prop::collection::vec(range, 0..6).prop_map(Ranges::of)
    }

    #[test]
    fn neighbors_join_and_the_last_number_has_no_next() {
        let set = Ranges::of([
            Range { first: 5, last: 6 },
            Range { first: 7, last: 7 },
            Range::one(u128::MAX),
            Range { first: 9, last: 8 },
        ]);
        let expected = [Range { first: 5, last: 7 }, Range::one(u128::MAX)];
        assert_eq!(set.0, expected);
        assert_eq!(set.complement(128).complement(128), set);
        assert_eq!(Ranges::default().complement(0).0, [Range::one(0)]);
        assert_eq!(Ranges::of([Range::all(8)]).complement(8), Ranges::default());
    }

    proptest! {
        #[test]
        fn they_are_sets(a in ranges(), b in ranges(), value in 0_u128..64) {
            let (in_a, in_b) = (a.contains(value), b.contains(value));
            prop_assert_eq!(a.union(&b).contains(value), in_a || in_b);
            prop_assert_eq!(a.intersection(&b).contains(value), in_a && in_b);
            prop_assert_eq!(a.complement(6).contains(value), !in_a);
        }
    }
}
