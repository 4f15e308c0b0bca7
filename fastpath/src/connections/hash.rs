//! The keyed hash.

/// Keys of the hash; whoever knows them can choose collisions, so they are drawn at start.
#[derive(Clone, Copy, Debug)]
pub struct HashKeys([u64; 4], [u64; 4]);

impl HashKeys {
    /// Eight words from one seed.
    pub(super) fn new(seed: u64) -> HashKeys {
        let mut state = seed;
        let mut four = || std::array::from_fn(|_| split_mix(&mut state));
        HashKeys(four(), four())
    }

    /// Two rounds of a folded 128-bit product: keyed and non-linear, unlike a CRC.
    #[inline]
    pub(super) fn hash_pair(&self, [addresses, rest]: [u64; 2]) -> u32 {
        let [k0, k1, k2, k3] = self.0;
        let first = fold(addresses ^ k0, rest ^ k1);
        (fold(first ^ k2, addresses.wrapping_add(rest) ^ k3) >> 16) as u32
    }

    /// Two addresses in a word, for [`HashKeys::hash_pair`]; their order counts.
    #[inline]
    pub(super) fn fold_pairs(&self, [a, b]: [u64; 2], [c, d]: [u64; 2]) -> u64 {
        let [k0, k1, k2, k3] = self.1;
        fold(a ^ k0, b ^ k1) ^ fold(c ^ k2, d ^ k3).rotate_left(32)
    }
}

#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

/// One step of a sequence in which nearby seeds give unrelated words.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
