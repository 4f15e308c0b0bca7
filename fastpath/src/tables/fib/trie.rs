//! The trie as a look-up sees it.
//!
//! All nodes lie in one array of words, each at a multiple of [`UNIT`]:
//!
//! ```text
//!  array   2^stride entries, one a slot
//!  packed  64 bits: slots where a run of equal entries begins; then one entry a run
//!  run     how many bits; the bits expected, two words; the entry if they are equal; the entry if not
//!  half    the entry to go on with at bit 64
//! ```
//!
//! A look-up shifts the bits it has resolved out of one word. What is longer than 64 bits is rare and begins anew with the
//! lower half of the address.

/// Key bits that a packed node resolves.
pub(super) const STRIDE: u32 = 6;
/// Most key bits that one run node can cover.
pub(super) const RUN_BITS: u32 = 60;
/// Key bits before a [`HALF`].
pub(super) const HALF_BITS: u32 = 64;
/// Words to which nodes are aligned.
pub(super) const UNIT: usize = 4;
/// Addresses that one round of a burst carries.
const LANES: usize = 32;
/// More nodes than any way through a trie has: each but a half resolves a bit.
const STEPS: u32 = 130;

/// An address to look up: its first 64 bits, and the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Halves {
    pub(super) upper: u64,
    pub(super) lower: u64,
}

impl From<u32> for Halves {
    #[inline]
    fn from(address: u32) -> Halves {
        Halves {
            upper: u64::from(address) << 32,
            lower: 0,
        }
    }
}

impl From<u128> for Halves {
    #[inline]
    fn from(address: u128) -> Halves {
        Halves {
            upper: (address >> 64) as u64,
            lower: address as u64,
        }
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

    /// The node at this word.
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
/// Largest stride of an array that is not the root. Their kind is their stride.
pub(super) const WIDEST: u32 = 12;
/// Kind of a run.
pub(super) const RUN: u32 = 13;
/// Kind of the node between the halves of an address.
pub(super) const HALF: u32 = 14;
/// Kind of the one array whose stride the trie knows.
pub(super) const ROOT: u32 = 15;

/// One family's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trie {
    /// Where look-ups begin.
    pub(super) root: Entry,
    /// Stride of the array of kind [`ROOT`]; 0 where there is none.
    pub(super) root_stride: u32,
    pub(super) words: Box<[u32]>,
}

impl Trie {
    #[inline]
    pub(super) fn lookup(&self, address: Halves) -> u32 {
        self.finish(self.root, address.upper, address.lower)
    }

    /// Takes all addresses over the root, then each to its end: misses do not wait for each other, and after the root there
    /// is so little left to guess for the processor that it runs ahead into the next ones.
    #[inline]
    pub(super) fn lookup_burst<T>(
        &self,
        items: &[T],
        address: impl Fn(&T) -> Halves,
        answers: &mut [u32],
    ) {
        if self.root.kind() != ROOT || !self.root.is_node() {
            for (item, answer) in items.iter().zip(answers) {
                *answer = self.lookup(address(item));
            }
            return;
        }
        for (items, answers) in items.chunks(LANES).zip(answers.chunks_mut(LANES)) {
            self.lookup_lanes(items, &address, answers);
        }
    }

    #[inline]
    fn lookup_lanes<T>(&self, items: &[T], address: impl Fn(&T) -> Halves, answers: &mut [u32]) {
        let root = self.words.get(self.root.word()..).unwrap_or_default();
        let stride = self.root_stride;
        for (item, answer) in items.iter().zip(answers.iter_mut()) {
            let slot = top(address(item).upper, stride) as usize;
            *answer = root.get(slot).copied().unwrap_or(Entry::NONE.0);
        }
        for (item, answer) in items.iter().zip(answers) {
            let entry = Entry(*answer);
            if entry.is_node() {
                let address = address(item);
                *answer = self.finish(entry, address.upper << stride, address.lower);
            }
        }
    }

    /// The answer behind an entry: `key` is what is left of the half in hand.
    #[inline(always)]
    fn finish(&self, mut entry: Entry, mut key: u64, lower: u64) -> u32 {
        for _ in 0..STEPS {
            if !entry.is_node() {
                break;
            }
            let (word, kind) = (entry.word(), entry.kind());
            let (found, bits) = if (1..=WIDEST).contains(&kind) {
                (self.words.get(word + top(key, kind) as usize), kind)
            } else if kind == PACKED {
                (self.packed(word, key), STRIDE)
            } else if kind == RUN {
                self.run(word, key)
            } else if kind == HALF {
                key = lower;
                (self.words.get(word), 0)
            } else {
                let stride = self.root_stride;
                (self.words.get(word + top(key, stride) as usize), stride)
            };
            key <<= bits;
            entry = found.map_or(Entry::NONE, |found| Entry(*found));
        }
        entry.0
    }

    #[inline(always)]
    fn packed(&self, word: usize, key: u64) -> Option<&u32> {
        let (&[low, high], _) = self.words.get(word..word + 2)?.split_first_chunk()?;
        let begins = u64::from(high) << 32 | u64::from(low);
        // The first slot begins a run; the one that holds this slot is the last to begin at or before it.
        let runs = (begins << (63 - top(key, STRIDE))).count_ones();
        self.words.get(word + 1 + runs as usize)
    }

    #[inline(always)]
    fn run(&self, word: usize, key: u64) -> (Option<&u32>, u32) {
        let node = self.words.get(word..word + 5);
        let Some((&[count, low, high], ways)) = node.and_then(|node| node.split_first_chunk())
        else {
            return (None, 0);
        };
        let count = count.clamp(1, RUN_BITS);
        let differs = top(key, count) != u64::from(high) << 32 | u64::from(low);
        (ways.get(usize::from(differs)), count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root == Entry::NONE
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

/// The first `count` bits, 1 to 64.
#[inline]
fn top(key: u64, count: u32) -> u64 {
    key >> (64 - count)
}
