//! Memories of what walks decided: of fixed size, four memos to a set, forgotten when the tables change.

/// Sets of each memory, a power of two, and memos a set.
const SETS: usize = 4096;
const WAYS: usize = 4;

/// Which generation a memo is of; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition(u32);

impl Edition {
    pub(super) const FIRST: Edition = Edition(1);

    /// The one after.
    pub(super) fn next(self) -> Edition {
        Edition(self.0.wrapping_add(1).max(1))
    }
}

/// What is remembered by.
pub(super) trait Key: Copy + Default + Eq {
    /// A number whose low bits choose the set.
    fn hash(&self) -> u64;
}

/// Numbers that differ little end up far apart (multiplicative hashing: the high bits are the good ones).
#[inline]
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let word = a.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) ^ b;
    (word ^ word >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32
}

#[derive(Clone, Copy, Debug, Default)]
struct Memo<K, V> {
    key: K,
    edition: Edition,
    value: V,
}

/// A set-associative memory of fixed size. Values that it gives back may hold a path.
#[derive(Debug)]
pub(super) struct Memory<K, V> {
    sets: Box<[[Memo<K, V>; WAYS]]>,
    turn: usize,
}

impl<K: Key, V: Copy + Default> Memory<K, V> {
    pub(super) fn new() -> Self {
        Memory {
            sets: vec![[Memo::default(); WAYS]; SETS].into(),
            turn: 0,
        }
    }

    /// What is remembered of a key in this edition.
    #[inline]
    pub(super) fn get(&self, key: &K, edition: Edition) -> Option<&V> {
        let set = self.sets.get(key.hash() as usize % SETS)?;
        let found = set
            .iter()
            .find(|memo| memo.edition == edition && memo.key == *key)?;
        Some(&found.value)
    }

    /// The same, to be kept up to date.
    #[inline]
    pub(super) fn get_mut(&mut self, key: &K, edition: Edition) -> Option<&mut V> {
        let set = self.sets.get_mut(key.hash() as usize % SETS)?;
        let found = set
            .iter_mut()
            .find(|memo| memo.edition == edition && memo.key == *key)?;
        Some(&mut found.value)
    }

    /// Puts a memo in; returns the value that had to go.
    pub(super) fn put(&mut self, key: K, edition: Edition, value: V) -> Option<V> {
        self.replace(key, edition, value).map(|(_, value)| value)
    }

    /// Puts a memo in; returns the one that had to go, under this key or another.
    pub(super) fn replace(&mut self, key: K, edition: Edition, value: V) -> Option<(K, V)> {
        self.turn = self.turn.wrapping_add(1);
        let set = self.sets.get_mut(key.hash() as usize % SETS)?;
        let old = |memo: &Memo<K, V>| memo.edition != edition || memo.key == key;
        let at = set.iter().position(old).unwrap_or(self.turn % WAYS);
        let slot = set.get_mut(at)?;
        let gone = std::mem::replace(
            slot,
            Memo {
                key,
                edition,
                value,
            },
        );
        (gone.edition != Edition::default()).then_some((gone.key, gone.value))
    }
}
