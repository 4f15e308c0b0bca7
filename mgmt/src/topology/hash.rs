//! The fixed hash behind every key, MAC and address that a topology leaves out.
//!
//! It is part of the wire format: nodes of different versions must agree on it, so it may never
//! change. FNV-1a over 64 bits, then MurmurHash3's final mix so that all bits depend on all input.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// An FNV-1a state.
#[derive(Clone, Copy)]
pub(super) struct Fnv(u64);

impl Fnv {
    pub(super) fn new() -> Self {
        Self(OFFSET)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// The mixed result.
    pub(super) fn finish(self) -> u64 {
        let mut h = self.0;
        h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^ (h >> 33)
    }
}

/// The hash of a name in its role; `attempt` gives further values for one name.
pub(super) fn name_hash(role: &str, name: &str, attempt: u32) -> u64 {
    let mut fnv = Fnv::new();
    fnv.bytes(role.as_bytes());
    fnv.bytes(&[0]);
    fnv.bytes(name.as_bytes());
    fnv.bytes(&[0]);
    fnv.bytes(&attempt.to_be_bytes());
    fnv.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are on the wire of running networks.
    #[test]
    fn never_changes() {
        assert_eq!(Fnv::new().finish(), 0xefd0_1f60_ba99_2926);
        assert_eq!(name_hash("switch", "ls1", 0), 0xd6c1_afcf_3acf_957a);
        assert_eq!(name_hash("switch", "ls1", 1), 0x7931_694b_d62f_6928);
        assert_eq!(name_hash("router", "ls1", 0), 0x5cc5_4ab8_5567_e156);
    }

    #[test]
    fn boundaries_between_parts_count() {
        assert_ne!(name_hash("a", "bc", 0), name_hash("ab", "c", 0));
    }
}
