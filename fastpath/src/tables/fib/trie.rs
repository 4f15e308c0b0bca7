//! The trie as a look-up sees it.

use super::RouteId;

/// Key bits that one branching node resolves.
pub(super) const STRIDE: u32 = 6;
/// Key bits that the direct root resolves, where there is one.
pub(super) const DIRECT_BITS: u32 = 16;
/// Most key bits that one run node can cover: a multiple of the stride that fits a word.
pub(super) const RUN_BITS: u32 = 60;
/// Addresses that one round of a burst carries.
const LANES: usize = 16;

/// A key of the trie: an address in host order.
pub(super) trait Key: Copy + Ord + Default {
    /// Width in bits.
    const BITS: u32;
    /// `count` bits (1 to 64) that follow the first `depth` (below the width); past the end, zeros.
    fn slice(self, depth: u32, count: u32) -> u64;
    /// How many leading bits `self` and `other` share.
    fn common(self, other: Self) -> u32;
}

impl Key for u32 {
    const BITS: u32 = 32;

    #[inline]
    fn slice(self, depth: u32, count: u32) -> u64 {
        // By way of 64 bits, as `count` may be larger than 32.
        ((u64::from(self) << 32) << depth) >> (64 - count)
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

impl Key for u128 {
    const BITS: u32 = 128;

    #[inline]
    fn slice(self, depth: u32, count: u32) -> u64 {
        ((self << depth) >> (128 - count)) as u64
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

/// An answer, or the way on: the top bit tells, the rest is a route index or a node index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    const ANSWER: u32 = 1 << 31;
    /// The answer "no route".
    pub(super) const NONE: Entry = Entry(u32::MAX);

    pub(super) fn answer(route: RouteId) -> Entry {
        Entry(Self::ANSWER | route.0)
    }

    pub(super) fn node(index: u32) -> Entry {
        debug_assert!(index < Self::ANSWER);
        Entry(index)
    }

    #[inline]
    fn next(self) -> Option<u32> {
        (self.0 & Self::ANSWER == 0).then_some(self.0)
    }

    #[inline]
    fn route(self) -> Option<RouteId> {
        (self != Entry::NONE).then_some(RouteId(self.0 & !Self::ANSWER))
    }
}

impl Default for Entry {
    fn default() -> Entry {
        Entry::NONE
    }
}

/// A node of either kind; the top bit of `child` marks a run.
///
/// | field    | branch, one stride                          | run, several strides            |
/// |----------|---------------------------------------------|---------------------------------|
/// | `first`  | map of the slots with a child               | the key bits expected           |
/// | `second` | map of answer slots where a new answer begins | how many bits                 |
/// | `child`  | index of the first child                    | child when the bits are equal   |
/// | `other`  | index of the first answer                   | the answer when they are not    |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) first: u64,
    pub(super) second: u64,
    pub(super) child: u32,
    pub(super) other: u32,
}

impl Node {
    /// Marks a run in `child`; the low bits stay an index.
    const RUN: u32 = 1 << 31;

    pub(super) fn run(bits: u64, count: u32, child: u32, other: Entry) -> Node {
        Node {
            first: bits,
            second: u64::from(count),
            child: Node::RUN | child,
            other: other.0,
        }
    }
}

/// One family's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trie<K> {
    /// Entry per value of the first [`DIRECT_BITS`], or empty.
    pub(super) direct: Box<[Entry]>,
    /// Where look-ups begin without a direct root.
    pub(super) root: Entry,
    pub(super) nodes: Box<[Node]>,
    pub(super) answers: Box<[Entry]>,
    pub(super) key: std::marker::PhantomData<K>,
}

impl<K: Key> Trie<K> {
    #[inline]
    pub(super) fn lookup(&self, key: K) -> Option<RouteId> {
        let (mut entry, mut depth) = self.start(key);
        // Each step moves `depth` on, which bounds the loop.
        while let Some(index) = entry.next() {
            (entry, depth) = self.step(key, index, depth);
        }
        entry.route()
    }

    pub(super) fn lookup_burst(&self, keys: &[K], routes: &mut [Option<RouteId>]) {
        for (keys, routes) in keys.chunks(LANES).zip(routes.chunks_mut(LANES)) {
            self.lookup_lanes(keys, routes);
        }
    }

    /// Takes all lanes one step before any takes the next: the loads of a round do not wait for each other.
    fn lookup_lanes(&self, keys: &[K], routes: &mut [Option<RouteId>]) {
        let mut lanes = [(Entry::NONE, 0); LANES];
        for (lane, key) in lanes.iter_mut().zip(keys) {
            *lane = self.start(*key);
        }
        let mut walking = true;
        while walking {
            walking = false;
            for (lane, key) in lanes.iter_mut().zip(keys) {
                if let Some(index) = lane.0.next() {
                    *lane = self.step(*key, index, lane.1);
                    walking = true;
                }
            }
        }
        for (route, lane) in routes.iter_mut().zip(&lanes) {
            *route = lane.0.route();
        }
    }

    #[inline]
    fn start(&self, key: K) -> (Entry, u32) {
        match self.direct.get(key.slice(0, DIRECT_BITS) as usize) {
            Some(entry) => (*entry, DIRECT_BITS),
            None => (self.root, 0),
        }
    }

    /// One node further: the entry found and the depth it stands at.
    #[inline]
    fn step(&self, key: K, index: u32, depth: u32) -> (Entry, u32) {
        let node = match self.nodes.get(index as usize) {
            Some(node) if depth < K::BITS => node,
            _ => return (Entry::NONE, depth),
        };
        if node.child & Node::RUN != 0 {
            let count = node.second as u32;
            return if key.slice(depth, count) == node.first {
                (Entry(node.child & !Node::RUN), depth + count)
            } else {
                (Entry(node.other), depth)
            };
        }
        let slot = key.slice(depth, STRIDE);
        let bit = 1 << slot;
        if node.first & bit != 0 {
            let before = (node.first & (bit - 1)).count_ones();
            return (Entry(node.child + before), depth + STRIDE);
        }
        // The run that holds this slot is the last one to begin at or before it.
        let runs = (node.second & (bit | (bit - 1))).count_ones();
        let answer = node.other.wrapping_add(runs).wrapping_sub(1);
        let entry = self.answers.get(answer as usize).copied();
        (entry.unwrap_or(Entry::NONE), depth + STRIDE)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.root == Entry::NONE
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.direct) + size_of_val(&*self.nodes) + size_of_val(&*self.answers)
    }
}
