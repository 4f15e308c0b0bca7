//! The checksum of SCTP, CRC32c (RFC 9260 section 6.8 and appendix A): whole and incremental.

/// Castagnoli's polynomial, lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The remainder after one more bit of zero.
const fn shifted(remainder: u32) -> u32 {
    remainder >> 1 ^ if remainder & 1 == 1 { POLYNOMIAL } else { 0 }
}

/// The remainder after one more byte.
const fn with_byte(remainder: u32, byte: u8) -> u32 {
    let mut remainder = remainder ^ byte as u32;
    let mut bit = 0;
    while bit < 8 {
        remainder = shifted(remainder);
        bit += 1;
    }
    remainder
}

/// What a run of zero bytes makes of each bit of a remainder.
type Run = [u32; 32];

/// By the logarithm of their length: runs of 1, 2, 4 ... 32,768 bytes.
const RUNS: [Run; 16] = {
    let mut runs = [[0; 32]; 16];
    let mut bit = 0;
    while bit < 32 {
        runs[0][bit] = with_byte(1 << bit, 0);
        bit += 1;
    }
    let mut power = 1;
    while power < 16 {
        let mut bit = 0;
        while bit < 32 {
            runs[power][bit] = after(&runs[power - 1], runs[power - 1][bit]);
            bit += 1;
        }
        power += 1;
    }
    runs
};

/// The remainder after a run of zero bytes: a sum over its bits.
const fn after(run: &Run, remainder: u32) -> u32 {
    let (mut sum, mut bit) = (0, 0);
    while bit < 32 {
        if remainder >> bit & 1 == 1 {
            sum ^= run[bit];
        }
        bit += 1;
    }
    sum
}

/// The CRC32c of `data`. SCTP packets carry it lowest byte first, computed with zero in its place.
#[must_use]
pub fn crc32c(data: &[u8]) -> u32 {
    !data
        .iter()
        .fold(u32::MAX, |remainder, byte| with_byte(remainder, *byte))
}

/// The CRC32c of a message after `old` became `new`, with `rest` bytes (65,535 at most) behind that stay. A sum that was
/// wrong is as wrong as before.
#[must_use]
pub fn update_crc32c(sum: u32, old: [u8; 4], new: [u8; 4], rest: u16) -> u32 {
    // The code is linear: the difference of two sums is the remainder of the difference.
    let changed = old.into_iter().zip(new).map(|(old, new)| old ^ new);
    let start = changed.fold(0, with_byte);
    let runs = RUNS.iter().enumerate();
    let runs = runs.filter(|(power, _)| rest >> power & 1 == 1);
    sum ^ runs.fold(start, |remainder, (_, run)| after(run, remainder))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 3720 appendix B.4.
    #[test]
    fn known_sums() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    proptest! {
        #[test]
        fn incremental_equals_whole(mut data in prop::collection::vec(any::<u8>(), 4..3000), new: [u8; 4]) {
            let sum = crc32c(&data);
            let old = *data.first_chunk::<4>().unwrap();
            data[..4].copy_from_slice(&new);
            let rest = (data.len() - 4) as u16;
            prop_assert_eq!(update_crc32c(sum, old, new, rest), crc32c(&data));
        }
    }
}
