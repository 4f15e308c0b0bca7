//! Building a trie from sorted prefixes.
//!
//! Sorted by bits and then by length, a prefix stands before all that lie inside it, and what lies below
//! one slot of a node is one stretch of the list. So a node is made in one pass over its stretch: short
//! prefixes are painted over the slots they hold, longer ones found after them make a child, which
//! inherits the colour of its slot.

use super::trie::{Entry, Key, PACKED, ROOT, RUN, RUN_BITS, STRIDE, Trie, UNIT};

/// Tables of at most this many routes are small: they may take [`ROOMY`] slots a route to save steps.
const SMALL: usize = 4_096;
/// Slots of an array for each prefix below it, in small tables.
const ROOMY: usize = 16;
/// The same in large ones: beyond it packing saves memory, and with it cache misses.
const TIGHT: usize = 3;
/// Slots of the root for each route.
const ROOT_ROOM: usize = 4;
/// Largest stride of an array that is not the root.
const WIDEST: u32 = 14;
/// A node of 64 slots with more runs than this is an array: that is hardly larger and needs no counting.
const DENSE: u32 = 40;

/// A route before it is built in; `bits` past `len` are zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix<K> {
    pub(super) bits: K,
    pub(super) len: u8,
    pub(super) answer: Entry,
}

impl<K: Key> Trie<K> {
    /// The trie of `prefixes`, in any order; of equal ones the last counts.
    pub(super) fn build(mut prefixes: Vec<Prefix<K>>) -> Trie<K> {
        // Stable, so that equal prefixes keep their order.
        prefixes.sort_by_key(|p| (p.bits, p.len));
        prefixes.dedup_by(|later, kept| {
            let equal = later.bits == kept.bits && later.len == kept.len;
            if equal {
                kept.answer = later.answer;
            }
            equal
        });
        let mut builder = Builder {
            words: Vec::new(),
            room: if prefixes.len() > SMALL { TIGHT } else { ROOMY },
            root_stride: 0,
        };
        let root = builder.entry(&prefixes, 0, Entry::NONE);
        Trie {
            root,
            root_stride: builder.root_stride,
            words: builder.words.into_boxed_slice(),
            key: std::marker::PhantomData,
        }
    }
}

/// The words as they grow.
struct Builder {
    words: Vec<u32>,
    room: usize,
    root_stride: u32,
}

impl Builder {
    /// What leads to `prefixes`, all equal in their first `depth` bits, where shorter ones say `inherited`.
    fn entry<K: Key>(&mut self, prefixes: &[Prefix<K>], depth: u32, inherited: Entry) -> Entry {
        let (inherited, prefixes) = match prefixes {
            [first, below @ ..] if u32::from(first.len) <= depth => (first.answer, below),
            all => (inherited, all),
        };
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
            return inherited;
        };
        // Sorted: the ends differ the most. A prefix that ends inside the shared bits holds all the others
        // and stands first.
        let shared = first.bits.common(last.bits).min(u32::from(first.len)) - depth;
        if shared > STRIDE {
            return self.run(prefixes, depth, shared.min(RUN_BITS), inherited);
        }
        let (kind, stride) = self.shape(prefixes, depth);
        let mut entries = vec![inherited; 1 << stride];
        for (slot, group) in paint(prefixes, depth, stride, &mut entries) {
            entries[slot] = self.entry(group, depth + stride, entries[slot]);
        }
        match entries.as_slice() {
            [first, others @ ..] if !first.is_node() && others.iter().all(|e| e == first) => *first,
            entries => self.node(kind, entries),
        }
    }

    /// A kind of node for these prefixes, and how many bits it resolves.
    fn shape<K: Key>(&mut self, prefixes: &[Prefix<K>], depth: u32) -> (u32, u32) {
        let count = prefixes.len();
        let longest = prefixes.iter().map(|p| u32::from(p.len)).max();
        let left = longest.unwrap_or(K::BITS) - depth;
        if self.root_stride == 0 && count > SMALL {
            self.root_stride = (count * ROOT_ROOM)
                .ilog2()
                .min(K::ROOT)
                .min(left.max(STRIDE));
            return (ROOT, self.root_stride);
        }
        let fits = (count * self.room).ilog2().min(WIDEST);
        // A small table's nodes are arrays of 64 slots at least.
        let fits = if self.room == ROOMY {
            fits.max(STRIDE)
        } else {
            fits
        };
        if fits >= STRIDE || fits >= left {
            let stride = fits.min(left).max(RUN + 1);
            (stride, stride)
        } else {
            (PACKED, STRIDE)
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
        let bits = prefixes
            .first()
            .map_or(0, |p| p.bits.after(depth).top(count));
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
        let packable = kind == PACKED || kind == STRIDE && self.room == TIGHT;
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
    let slot_of = |prefix: &Prefix<K>| prefix.bits.after(depth).top(count) as usize;
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
