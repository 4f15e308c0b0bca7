//! The trie as a look-up sees it.
//!
//! All nodes lie in one array of words, each at a multiple of [`UNIT`]:
//!
//! ```text
//!  array   2^stride entries, one a slot
//!  packed  64 bits: slots where a run of equal entries begins; then one entry a run
//!  run     how many bits; the bits expected, two words; the entry if they are equal; the entry if not
//! ```

/// Key bits that a packed node resolves.
pub(super) const STRIDE: u32 = 6;
/// Most key bits that one run node can cover.
pub(super) const RUN_BITS: u32 = 60;
/// Words to which nodes are aligned.
pub(super) const UNIT: usize = 4;
/// Addresses that one round of a burst carries, a power of two.
const LANES: usize = 32;

/// A key of the trie: an address in host order whose first bit is the top one.
pub(super) trait Key: Copy + Ord + Default {
    /// Bits of an address.
    const BITS: u32;
    /// The root of a large table resolves at most this many bits.
    const ROOT: u32;
    /// The first `count` bits, 1 to 63.
    fn top(self, count: u32) -> u64;
    /// What follows the first `count` bits, 0 to 63.
    fn rest(self, count: u32) -> Self;
    /// What follows the first `count` bits, any number.
    fn after(self, count: u32) -> Self;
    /// How many leading bits `self` and `other` share.
    fn common(self, other: Self) -> u32;
}

impl Key for u64 {
    const BITS: u32 = u32::BITS;
    const ROOT: u32 = 18;

    #[inline]
    fn top(self, count: u32) -> u64 {
        self >> (64 - count)
    }

    #[inline]
    fn rest(self, count: u32) -> Self {
        self << count
    }

    fn after(self, count: u32) -> Self {
        self.checked_shl(count).unwrap_or(0)
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

impl Key for u128 {
    const BITS: u32 = u128::BITS;
    const ROOT: u32 = 20;

    #[inline]
    fn top(self, count: u32) -> u64 {
        (self >> 64) as u64 >> (64 - count)
    }

    #[inline]
    fn rest(self, count: u32) -> Self {
        self << count
    }

    fn after(self, count: u32) -> Self {
        self.checked_shl(count).unwrap_or(0)
    }

    fn common(self, other: Self) -> u32 {
        (self ^ other).leading_zeros()
    }
}

/// An answer; or, with the top bit set, a node: its kind (4 bits) and its place (27 bits, in units).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(pub(super) u32);

impl Entry {
    const NODE: u32 = 1 << 31;
    const KIND: u32 = 27;
    /// The answer "no route".
    pub(super) const NONE: Entry = Entry(Self::NODE - 1);
    /// Units that fit.
    pub(super) const UNITS: usize = 1 << Self::KIND;

    /// The node at this word, of [`PACKED`], [`RUN`], [`ROOT`], or an array with a stride in between.
    pub(super) fn node(kind: u32, word: usize) -> Entry {
        Entry(Self::NODE | kind << Self::KIND | (word / UNIT) as u32)
    }

    #[inline]
    pub(super) fn is_node(self) -> bool {
        self.0 & Self::NODE != 0
    }

    #[inline]
    fn kind(self) -> u32 {
        (self.0 & !Self::NODE) >> Self::KIND
    }

    #[inline]
    fn word(self) -> usize {
        (self.0 as usize & (Self::UNITS - 1)) * UNIT
    }
}

impl Default for Entry {
    fn default() -> Entry {
        Entry::NONE
    }
}

/// Kind of a packed node.
pub(super) const PACKED: u32 = 0;
/// Kind of a run.
pub(super) const RUN: u32 = 1;
/// Kind of an array whose stride the trie knows. The kinds between are arrays with the stride of that name.
pub(super) const ROOT: u32 = 15;

/// One family's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trie<K> {
    /// Where look-ups begin.
    pub(super) root: Entry,
    /// Stride of the array of kind [`ROOT`].
    pub(super) root_stride: u32,
    pub(super) words: Box<[u32]>,
    pub(super) key: std::marker::PhantomData<K>,
}

impl<K: Key> Trie<K> {
    #[inline]
    pub(super) fn lookup(&self, key: K) -> u32 {
        let (mut entry, mut key) = (self.root, key);
        // A step resolves a bit at least; the builder makes no longer way.
        for _ in 0..K::BITS {
            if !entry.is_node() {
                break;
            }
            (entry, key) = self.step(entry, key);
        }
        entry.0
    }

    #[inline]
    pub(super) fn lookup_burst<A: Copy>(
        &self,
        addrs: &[A],
        key: impl Fn(A) -> K,
        answers: &mut [u32],
    ) {
        for (addrs, answers) in addrs.chunks(LANES).zip(answers.chunks_mut(LANES)) {
            let mut keys = [K::default(); LANES];
            for (slot, addr) in keys.iter_mut().zip(addrs) {
                *slot = key(*addr);
            }
            let count = addrs.len().min(answers.len());
            self.lookup_lanes(&mut keys, answers.get_mut(..count).unwrap_or_default());
        }
    }

    /// Takes all lanes one step before any takes the next: the loads of a round do not wait for each other. Lanes that
    /// have not arrived are kept in a list, which branches on nothing.
    #[inline(never)]
    fn lookup_lanes(&self, keys: &mut [K; LANES], answers: &mut [u32]) {
        let mut entries = [self.root; LANES];
        let mut walking: [u8; LANES] = std::array::from_fn(|lane| lane as u8);
        let mut count = if self.root.is_node() {
            answers.len().min(LANES)
        } else {
            0
        };
        for _ in 0..K::BITS {
            if count == 0 {
                break;
            }
            let mut left = 0;
            for turn in 0..count {
                let lane = usize::from(walking[turn % LANES]) % LANES;
                let (entry, key) = self.step(entries[lane], keys[lane]);
                entries[lane] = entry;
                keys[lane] = key;
                walking[left % LANES] = lane as u8;
                left += usize::from(entry.is_node());
            }
            count = left;
        }
        for (answer, entry) in answers.iter_mut().zip(&entries) {
            *answer = entry.0;
        }
    }

    /// One node further: the entry found, and the key without the bits resolved.
    #[inline(always)]
    fn step(&self, entry: Entry, key: K) -> (Entry, K) {
        let node = self.words.get(entry.word()..).unwrap_or_default();
        let (found, bits) = match entry.kind() {
            PACKED => (packed(node, key), STRIDE),
            RUN => run(node, key),
            kind => {
                let stride = if kind == ROOT { self.root_stride } else { kind };
                (node.get(key.top(stride) as usize).copied(), stride)
            }
        };
        (found.map_or(Entry::NONE, Entry), key.rest(bits))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root == Entry::NONE
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

#[inline]
fn packed<K: Key>(node: &[u32], key: K) -> Option<u32> {
    let (&[low, high], entries) = node.split_first_chunk()?;
    let begins = u64::from(high) << 32 | u64::from(low);
    // The first slot begins a run; the one that holds this slot is the last to begin at or before it.
    let runs = (begins & (u64::MAX >> (63 - key.top(STRIDE)))).count_ones();
    entries.get(runs as usize - 1).copied()
}

#[inline]
fn run<K: Key>(node: &[u32], key: K) -> (Option<u32>, u32) {
    let Some((&[count, low, high, equal, other], _)) = node.split_first_chunk() else {
        return (None, 0);
    };
    let count = count.clamp(1, RUN_BITS);
    if key.top(count) == u64::from(high) << 32 | u64::from(low) {
        (Some(equal), count)
    } else {
        (Some(other), count)
    }
}
