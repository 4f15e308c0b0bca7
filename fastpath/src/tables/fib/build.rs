//! Building a trie from sorted prefixes.
//!
//! Sorted by bits and then by length, a prefix stands before all that lie inside it, and what lies below
//! one slot of a node is one stretch of the list. So a node is made in one pass over its stretch: short
//! prefixes are painted over the slots they hold, longer ones found after them make a child, which
//! inherits the colour of its slot.

use super::RouteId;
use super::trie::{DIRECT_BITS, Entry, Key, Node, RUN_BITS, STRIDE, Trie};

/// More IPv4 routes than this get the direct root: 256 KiB is then small beside the nodes.
const DIRECT_ABOVE: usize = 4_000;

/// A route before it is built in; `bits` past `len` are zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix<K> {
    pub(super) bits: K,
    pub(super) len: u8,
    pub(super) route: RouteId,
}

impl<K: Key> Trie<K> {
    /// The trie of `prefixes`, in any order; of equal ones the last counts.
    pub(super) fn build(mut prefixes: Vec<Prefix<K>>) -> Trie<K> {
        // Stable, so that equal prefixes keep their order.
        prefixes.sort_by_key(|p| (p.bits, p.len));
        prefixes.dedup_by(|later, kept| {
            let equal = later.bits == kept.bits && later.len == kept.len;
            if equal {
                kept.route = later.route;
            }
            equal
        });
        let mut builder = Builder::default();
        let mut direct = Vec::new();
        let mut root = Entry::NONE;
        if K::BITS == u32::BITS && prefixes.len() > DIRECT_ABOVE {
            direct = vec![Entry::NONE; 1 << DIRECT_BITS];
            builder.slots(&prefixes, 0, DIRECT_BITS, &mut direct);
        } else {
            root = builder.whole(&prefixes);
        }
        Trie {
            direct: direct.into_boxed_slice(),
            root,
            nodes: builder.nodes.into_boxed_slice(),
            answers: builder.answers.into_boxed_slice(),
            key: std::marker::PhantomData,
        }
    }
}

/// The arrays as they grow.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    answers: Vec<Entry>,
}

impl Builder {
    /// The entry for the whole key space.
    fn whole<K: Key>(&mut self, prefixes: &[Prefix<K>]) -> Entry {
        let (inherited, below) = match prefixes {
            [first, below @ ..] if first.len == 0 => (Entry::answer(first.route), below),
            all => (Entry::NONE, all),
        };
        if below.is_empty() {
            return inherited;
        }
        let index = self.reserve(1);
        self.fill(index, below, 0, inherited);
        Entry::node(index)
    }

    /// Fills `entries`, one for each value of the first `count` bits, with answers and nodes of their own.
    fn slots<K: Key>(
        &mut self,
        prefixes: &[Prefix<K>],
        depth: u32,
        count: u32,
        entries: &mut [Entry],
    ) {
        let groups = paint(prefixes, depth, count, entries);
        for (slot, group) in groups {
            let index = self.reserve(1);
            self.fill(index, group, depth + count, entries[slot]);
            entries[slot] = Entry::node(index);
        }
    }

    /// Makes node `index` for `prefixes`, all longer than `depth` and equal in their first `depth` bits.
    fn fill<K: Key>(&mut self, index: u32, prefixes: &[Prefix<K>], depth: u32, inherited: Entry) {
        let count = shared(prefixes, depth);
        if count > STRIDE {
            let child = self.reserve(1);
            let bits = prefixes[0].bits.slice(depth, count);
            self.nodes[index as usize] = Node::run(bits, count, child, inherited);
            return self.fill(child, prefixes, depth + count, inherited);
        }
        let mut entries = [inherited; 1 << STRIDE];
        let groups = paint(prefixes, depth, STRIDE, &mut entries);
        let children = groups.iter().fold(0, |map, (slot, _)| map | 1 << slot);
        let child = self.reserve(groups.len());
        let other = self.answers.len() as u32;
        let runs = self.push_runs(&entries, children);
        self.nodes[index as usize] = Node {
            first: children,
            second: runs,
            child,
            other,
        };
        for ((slot, group), child) in groups.into_iter().zip(child..) {
            self.fill(child, group, depth + STRIDE, entries[slot]);
        }
    }

    /// Appends the answers of all slots without a child, neighbors with the same answer once; returns
    /// the slots where each begins.
    fn push_runs(&mut self, entries: &[Entry], children: u64) -> u64 {
        let mut runs = 0;
        let mut last = None;
        for (slot, entry) in entries.iter().enumerate() {
            if children & 1 << slot == 0 && last != Some(*entry) {
                runs |= 1 << slot;
                self.answers.push(*entry);
                last = Some(*entry);
            }
        }
        runs
    }

    fn reserve(&mut self, count: usize) -> u32 {
        let index = self.nodes.len();
        self.nodes.resize(index + count, Node::default());
        assert!(self.nodes.len() < 1 << 31, "too many routes for one router");
        index as u32
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
    let mut groups = Vec::new();
    let mut rest = prefixes;
    while let Some(prefix) = rest.first() {
        let slot = prefix.bits.slice(depth, count) as usize;
        let end = depth + count;
        if u32::from(prefix.len) <= end {
            let width = 1 << (end - u32::from(prefix.len));
            entries[slot..slot + width].fill(Entry::answer(prefix.route));
            rest = &rest[1..];
        } else {
            let same = |p: &Prefix<K>| p.bits.slice(depth, count) as usize == slot;
            let (group, after) = rest.split_at(rest.partition_point(same));
            groups.push((slot, group));
            rest = after;
        }
    }
    groups
}

/// How many bits from `depth` on, in whole strides, all `prefixes` share without one of them ending there.
fn shared<K: Key>(prefixes: &[Prefix<K>], depth: u32) -> u32 {
    let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else {
        return 0;
    };
    // Sorted: the ends differ the most. A prefix that ended inside the shared bits would hold all the
    // others and stand first.
    let bits = first.bits.common(last.bits).min(u32::from(first.len) - 1) - depth;
    (bits - bits % STRIDE).min(RUN_BITS)
}
