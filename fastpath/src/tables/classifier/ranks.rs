//! How many of a sorted list of numbers are not above a given one.
//!
//! A static tree of nodes of sixteen keys. A level has the first key of every node of the next one, so one
//! node is read a level, and a node is counted without a branch. Ten thousand keys take four levels.

/// Keys of a node: a cache line of `u32`.
const NODE: usize = 16;

/// A number that lists are made of.
pub(super) trait Key: Copy + Ord {
    /// The greatest one, which fills the last node.
    const MAX: Self;
}

impl Key for u32 {
    const MAX: Self = u32::MAX;
}

impl Key for u64 {
    const MAX: Self = u64::MAX;
}

impl Key for u128 {
    const MAX: Self = u128::MAX;
}

/// A sorted list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ranks<K> {
    /// From the top, which is one node, to the list itself.
    levels: Box<[Box<[[K; NODE]]>]>,
    len: usize,
}

impl<K: Key> Ranks<K> {
    /// Of keys in ascending order.
    pub(super) fn of(keys: &[K]) -> Self {
        let mut levels = Vec::new();
        let mut level = keys.to_vec();
        while !level.is_empty() {
            let nodes: Box<[[K; NODE]]> = level.chunks(NODE).map(filled).collect();
            let firsts = nodes.iter().map(|[first, ..]| *first).collect();
            let top = nodes.len() == 1;
            levels.push(nodes);
            if top {
                break;
            }
            level = firsts;
        }
        levels.reverse();
        Self {
            levels: levels.into(),
            len: keys.len(),
        }
    }

    /// How many keys are at most `value`.
    #[inline]
    pub(super) fn rank(&self, value: K) -> usize {
        let mut node = 0;
        let mut rank = 0;
        for level in &self.levels {
            // What fills up a level has the greatest key: then the last node is the one.
            let at = node.min(level.len().saturating_sub(1));
            let Some(keys) = level.get(at) else { break };
            let below: u32 = keys.iter().map(|key| u32::from(*key <= value)).sum();
            rank = at * NODE + below as usize;
            node = rank.saturating_sub(1);
        }
        rank.min(self.len)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum()
    }
}

fn filled<K: Key>(keys: &[K]) -> [K; NODE] {
    let mut node = [K::MAX; NODE];
    for (slot, key) in node.iter_mut().zip(keys) {
        *slot = *key;
    }
    node
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_list_ranks_nothing() {
        assert_eq!(Ranks::<u32>::of(&[]).rank(7), 0);
        assert_eq!(Ranks::<u128>::of(&[]).rank(u128::MAX), 0);
    }

    #[test]
    fn lists_around_the_sizes_of_nodes() {
        for len in [1, 15, 16, 17, 255, 256, 257, 300, 4095, 4096, 4097, 10_000] {
            let keys: Vec<u32> = (0..len).map(|key| key * 3 + 1).collect();
            let ranks = Ranks::of(&keys);
            for value in (0..len * 3 + 4).chain([u32::MAX - 1, u32::MAX]) {
                let expected = keys.partition_point(|key| *key <= value);
                assert_eq!(ranks.rank(value), expected, "{value} of {len}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_rank_is_what_counting_gives(
            mut keys in prop::collection::vec(prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX)], 0..600),
            value in prop_oneof![any::<u64>(), 0..100_u64, Just(u64::MAX)],
        ) {
            keys.sort_unstable();
            keys.dedup();
            let expected = keys.iter().filter(|key| **key <= value).count();
            prop_assert_eq!(Ranks::of(&keys).rank(value), expected);
        }
    }
}
