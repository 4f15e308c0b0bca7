//! Building a trie from sorted prefixes.
//!
//! Sorted by bits and then by length, a prefix stands before all that lie inside it, and what lies below
//! one slot of a node is one stretch of the list. So a node is made in one pass over its stretch: short
//! prefixes are painted over the slots they hold, longer ones found after them make a child, which
//! inherits the colour of its slot.

use super::trie::{
    Entry, HALF, HALF_BITS, PACKED, ROOT, RUN, RUN_BITS, STRIDE, Trie, UNIT, WIDEST,
};

/// Tables of at most this many routes are small: they may take [`ROOMY`] slots a route to save steps.
const SMALL: usize = 4_096;
/// Slots of an array for each prefix below it, in small tables.
const ROOMY: usize = 16;
/// Slots of the root for each route.
const ROOT_ROOM: usize = 8;
/// A node of 64 slots with more runs than this is an array: that is hardly larger and needs no counting.
const DENSE: u32 = 40;

/// A key of the trie: an address in host order whose first bit is the top one.
pub(super) trait Key: Copy + Ord {
    /// The root of a large table resolves at most this many bits.
    const ROOT: u32;
    /// Slots of an array for each prefix below it, in large tables: beyond it packing saves memory, and with it
    /// cache misses. Measured: what is fastest with tables as long as those of the internet.
    const TIGHT: usize;
    /// `count` bits (1 to 64) that follow the first `depth`; past the end, zeros.
    fn slice(self, depth: u32, count: u32) -> u64;
    /// How many leading bits `self` and `other` share.
    fn common(self, other: Self) -> u32;
}

impl Key for u32 {
    // With /24 routes in mind: they are one packed node away.
    const ROOT: u32 = 18;
    const TIGHT: usize = 16;

    fn slice(self, depth: u32, count: u32) -> u64 {
        let spread = u64::from(self) << 32;
        spread.checked_shl(depth).unwrap_or(0) >> (64 - count)
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

impl Key for u128 {
    const ROOT: u32 = 20;
    const TIGHT: usize = 8;

    fn slice(self, depth: u32, count: u32) -> u64 {
        (self.checked_shl(depth).unwrap_or(0) >> (128 - count)) as u64
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

/// A route before it is built in; `bits` past `len` are zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix<K> {
    pub(super) bits: K,
    pub(super) len: u8,
    pub(super) answer: Entry,
}

impl Trie {
    /// The trie of `prefixes`, in any order; of equal ones the last counts.
    pub(super) fn build<K: Key>(mut prefixes: Vec<Prefix<K>>) -> Trie {
        // Stable, so that equal prefixes keep their order.
        prefixes.sort_by_key(|p| (p.bits, p.len));
        prefixes.dedup_by(|later, kept| {
            let equal = later.bits == kept.bits && later.len == kept.len;
            if equal {
                kept.answer = later.answer;
            }
            equal
        });
        let small = prefixes.len() <= SMALL;
        let mut builder = Builder {
            words: Vec::new(),
            room: if small { ROOMY } else { K::TIGHT },
            small,
            root_stride: None,
        };
        let root = builder.entry(&prefixes, 0, Entry::NONE);
        Trie {
            root,
            root_stride: builder.root_stride.unwrap_or_default(),
            words: builder.words.into_boxed_slice(),
        }
    }
}

/// The words as they grow.
struct Builder {
    words: Vec<u32>,
    /// Slots of an array for each prefix below it.
    room: usize,
    small: bool,
    root_stride: Option<u32>,
}

impl Builder {
    /// What leads to `prefixes`, all equal in their first `depth` bits, where shorter ones say `inherited`.
    fn entry<K: Key>(&mut self, prefixes: &[Prefix<K>], depth: u32, inherited: Entry) -> Entry {
        let (inherited, prefixes) = match prefixes {
            [first, below @ ..] if u32::from(first.len) <= depth => (first.answer, below),
            all => (inherited, all),
        };
        if prefixes.is_empty() {
            return inherited;
        }
        if depth == HALF_BITS {
            let child = self.below(prefixes, depth, inherited);
            return if child.is_node() {
                self.push(HALF, &[child.0])
            } else {
                child
            };
        }
        self.below(prefixes, depth, inherited)
    }

    /// As [`Builder::entry`], for prefixes that are longer than `depth`, one at least.
    fn below<K: Key>(&mut self, prefixes: &[Prefix<K>], depth: u32, inherited: Entry) -> Entry {
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
            return inherited;
        };
        let longest = prefixes.iter().map(|p| u32::from(p.len)).max().unwrap_or(0);
        // No node crosses the middle, unless nothing lies behind it.
        let end = if depth < HALF_BITS && longest > HALF_BITS {
            HALF_BITS
        } else {
            longest
        };
        // Sorted: the ends differ the most. A prefix that ends inside the shared bits holds all the others
        // and stands first.
        let shared = first
            .bits
            .common(last.bits)
            .min(u32::from(first.len))
            .min(end)
            - depth;
        if shared > STRIDE {
            return self.run(prefixes, depth, shared.min(RUN_BITS), inherited);
        }
        let (kind, stride) = self.shape::<K>(prefixes.len(), end - depth, end == longest);
        let mut entries = vec![inherited; 1 << stride];
        for (slot, group) in paint(prefixes, depth, stride, &mut entries) {
            entries[slot] = self.entry(group, depth + stride, entries[slot]);
        }
        match entries.as_slice() {
            [first, others @ ..] if !first.is_node() && others.iter().all(|e| e == first) => *first,
            entries => self.node(kind, entries),
        }
    }

    /// A kind of node for `count` prefixes of which `left` bits are left, and how many bits it resolves: no
    /// more than are left, unless it is `open` what follows.
    fn shape<K: Key>(&mut self, count: usize, left: u32, open: bool) -> (u32, u32) {
        if self.root_stride.is_none() && count > SMALL {
            let stride = (count * ROOT_ROOM).ilog2().min(K::ROOT).min(left);
            self.root_stride = Some(stride);
            return (ROOT, stride);
        }
        let fits = (count * self.room).ilog2().min(WIDEST);
        // A small table's nodes are arrays of 64 slots at least.
        let fits = if self.small { fits.max(STRIDE) } else { fits };
        if fits < STRIDE && fits < left && (open || left >= STRIDE) {
            (PACKED, STRIDE)
        } else {
            let stride = fits.min(left);
            (stride, stride)
        }
    }

    /// A node of its own for bits that all prefixes have, unless it would change nothing.
    fn run<K: Key>(
        &mut self,
        prefixes: &[Prefix<K>],
        depth: u32,
        count: u32,
        inherited: Entry,
    ) -> Entry {
        let child = self.entry(prefixes, depth + count, inherited);
        let bits = prefixes.first().map_or(0, |p| p.bits.slice(depth, count));
        if child == inherited {
            return inherited;
        }
        let words = [
            count,
            bits as u32,
            (bits >> 32) as u32,
            child.0,
            inherited.0,
        ];
        self.push(RUN, &words)
    }

    fn node(&mut self, kind: u32, entries: &[Entry]) -> Entry {
        let starts = |slot: usize| slot == 0 || entries.get(slot) != entries.get(slot - 1);
        let packable = kind == PACKED || kind == STRIDE && !self.small;
        let starts = |map, slot| map | u64::from(starts(slot)) << slot;
        let map: u64 = if packable {
            (0..entries.len()).fold(0, starts)
        } else {
            0
        };
        if packable && map.count_ones() <= DENSE {
            let mut words = vec![map as u32, (map >> 32) as u32];
            let runs = entries
                .iter()
                .enumerate()
                .filter(|(slot, _)| map >> slot & 1 != 0);
            words.extend(runs.map(|(_, entry)| entry.0));
            return self.push(PACKED, &words);
        }
        let words: Vec<u32> = entries.iter().map(|entry| entry.0).collect();
        self.push(if kind == PACKED { STRIDE } else { kind }, &words)
    }

    fn push(&mut self, kind: u32, words: &[u32]) -> Entry {
        let word = self.words.len();
        assert!(word / UNIT < Entry::UNITS, "too many routes for one router");
        self.words.extend_from_slice(words);
        self.words
            .resize(self.words.len().next_multiple_of(UNIT), Entry::NONE.0);
        Entry::node(kind, word)
    }
}

/// Writes the answers of prefixes that end within the next `count` bits over `entries`; returns the others
/// by slot. Parents come first in the list, so that children are painted over them.
fn paint<'a, K: Key>(
    prefixes: &'a [Prefix<K>],
    depth: u32,
    count: u32,
    entries: &mut [Entry],
) -> Vec<(usize, &'a [Prefix<K>])> {
    let slot_of = |prefix: &Prefix<K>| prefix.bits.slice(depth, count) as usize;
    let mut groups = Vec::new();
    let mut rest = prefixes;
    while let Some(prefix) = rest.first() {
        let slot = slot_of(prefix);
        let end = depth + count;
        if u32::from(prefix.len) <= end {
            let width = 1 << (end - u32::from(prefix.len));
            entries[slot..slot + width].fill(prefix.answer);
            rest = &rest[1..];
        } else {
            let (group, after) = rest.split_at(rest.partition_point(|p| slot_of(p) == slot));
            groups.push((slot, group));
            rest = after;
        }
    }
    groups
}
