//! The Internet checksum: whole (RFC 1071) and incremental (RFC 1624).
//!
//! Sums are kept as ordinary `u32` numbers of 16-bit words in host order, so that partial sums simply add.
//! A sum takes at least 64 KiB of data on top of any earlier partial sum of headers without overflow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Adds `data` as big-endian 16-bit words (an odd last byte is padded with zero) to `initial`.
///
/// Partial sums may be chained as long as every part but the last has even length. The result is
/// reduced to at most 17 bits, so the chain may be of any length.
#[inline]
#[must_use]
pub fn ones_complement_sum(data: &[u8], initial: u32) -> u32 {
    // RFC 1071 section 2 (B): summed in the machine's order, swapped once at the end. Two chains of additions, so that
    // one does not wait for the other; a carry out of the highest word comes back at the lowest.
    let (pairs, rest) = data.as_chunks::<16>();
    let mut chains = [0_u64; 2];
    for pair in pairs {
        let word = u128::from_le_bytes(*pair);
        chains = [
            end_around(chains[0], word as u64),
            end_around(chains[1], (word >> 64) as u64),
        ];
    }
    let (word, rest) = match rest.split_first_chunk::<8>() {
        Some((word, rest)) => (u64::from_le_bytes(*word), rest),
        None => (0, rest),
    };
    let last = match (data.last_chunk::<8>(), rest.len()) {
        (_, 0) => 0,
        // The bytes before were summed already: they are shifted out.
        (Some(last), left) => u64::from_le_bytes(*last) >> (64 - 8 * left),
        (None, _) => rest
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    let sum = end_around(end_around(chains[0], chains[1]), end_around(word, last));
    // 2^16 = 1 in this arithmetic, so halves just add up.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) as u32 + (sum >> 16 & 0xffff) as u32 + (sum & 0xffff) as u32;
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = u32::from((sum as u16).swap_bytes()) + (initial >> 16) + (initial & 0xffff);
    (sum >> 16) + (sum & 0xffff)
}

#[inline]
fn end_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // After a carry the sum is below the highest value.
    sum + u64::from(carry)
}

/// Folds a sum to 16 bits and complements it: the value for the checksum field.
/// Over data that already holds a right checksum the result is 0.
#[inline]
#[must_use]
pub const fn finish(sum: u32) -> u16 {
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u16)
}

/// The checksum over `data` alone, as IPv4 headers and ICMP use it.
#[must_use]
pub fn checksum(data: &[u8]) -> u16 {
    finish(ones_complement_sum(data, 0))
}

/// Partial sum of the IPv4 pseudo-header (RFC 9293 section 3.1); `len` is header plus payload of the upper layer, in bytes.
#[inline]
#[must_use]
pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: u32) -> u32 {
    let (src, dst) = (src.to_bits(), dst.to_bits());
    halves(src) + halves(dst) + u32::from(proto) + halves(len)
}

/// Partial sum of the IPv6 pseudo-header (RFC 8200 section 8.1); `len` as for [`pseudo_v4`].
#[must_use]
pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: u8, len: u32) -> u32 {
    let sum = ones_complement_sum(&src.octets(), u32::from(proto) + halves(len));
    ones_complement_sum(&dst.octets(), sum)
}

/// Partial sum of the pseudo-header of either family. Addresses of different families are summed as they
/// are; no packet has such a pair.
#[must_use]
pub fn pseudo(src: IpAddr, dst: IpAddr, proto: u8, len: u32) -> u32 {
    address_sum(src) + address_sum(dst) + u32::from(proto) + halves(len)
}

/// The checksum after a 16-bit word of the covered data changed (RFC 1624 equation 3).
///
/// The word must lie at an even offset. The result equals a full recomputation except that data whose
/// words are all zero is not told from data that sums to 0xffff; no packet is all zeroes.
#[inline]
#[must_use]
pub const fn update16(sum: u16, old: u16, new: u16) -> u16 {
    finish(!sum as u32 + !old as u32 + new as u32)
}

/// The checksum after a 32-bit word of the covered data changed.
#[inline]
#[must_use]
pub const fn update32(sum: u16, old: u32, new: u32) -> u16 {
    finish(!sum as u32 + halves(!old) + halves(new))
}

/// The checksum after an address, in the data or in the pseudo-header, changed. Works across families.
#[must_use]
pub fn update_addr(sum: u16, old: IpAddr, new: IpAddr) -> u16 {
    // Complement of a folded sum is the sum of the complements.
    finish(u32::from(!sum) + u32::from(finish(address_sum(old))) + address_sum(new))
}

/// UDP sends 0xffff for a computed zero, because zero means "no checksum" (RFC 768).
#[inline]
#[must_use]
pub const fn udp_nonzero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

const fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

fn address_sum(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(a) => halves(a.to_bits()),
        IpAddr::V6(a) => ones_complement_sum(&a.octets(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word by word.
    fn naive(data: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in data.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn known_values() {
        // The example of RFC 1071 section 3.
        assert_eq!(
            checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]),
            !0xddf2
        );
        // The example of RFC 1624 section 4, where the method of RFC 1141 gives 0xffff.
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
        assert_eq!(checksum(&[]), 0xffff);
        assert_eq!(udp_nonzero(0), 0xffff);
        assert_eq!(udp_nonzero(1), 1);
    }

    #[test]
    fn the_longest_packet_does_not_overflow() {
        let all_ones = vec![0xff; 65536];
        assert_eq!(finish(ones_complement_sum(&all_ones, u32::MAX)), 0);
    }

    proptest! {
        #[test]
        fn sum_equals_definition(data: Vec<u8>) {
            prop_assert_eq!(checksum(&data), naive(&data));
        }

        #[test]
        fn sums_chain(mut first: Vec<u8>, second: Vec<u8>) {
            if first.len() % 2 == 1 { first.push(7); }
            let chained = ones_complement_sum(&second, ones_complement_sum(&first, 0));
            first.extend_from_slice(&second);
            prop_assert_eq!(finish(chained), naive(&first));
        }

        #[test]
        fn incremental_equals_full(mut data in proptest::collection::vec(any::<u8>(), 8..200), at: u16, new: [u8; 4]) {
            data[7] |= 1; // never all zero
            let at = usize::from(at) % ((data.len() - 4) / 2) * 2;
            let before = checksum(&data);
            let old: [u8; 4] = data[at..at + 4].try_into().unwrap();

            let mut changed = data.clone();
            changed[at..at + 2].copy_from_slice(&new[..2]);
            let expected = changed.iter().any(|b| *b != 0).then(|| checksum(&changed));
            if let Some(expected) = expected {
                let got = update16(before, u16::from_be_bytes([old[0], old[1]]), u16::from_be_bytes([new[0], new[1]]));
                prop_assert_eq!(got, expected);
            }
            changed[at..at + 4].copy_from_slice(&new);
            let expected = changed.iter().any(|b| *b != 0).then(|| checksum(&changed));
            if let Some(expected) = expected {
                prop_assert_eq!(update32(before, u32::from_be_bytes(old), u32::from_be_bytes(new)), expected);
                let got = update_addr(before, Ipv4Addr::from(old).into(), Ipv4Addr::from(new).into());
                prop_assert_eq!(got, expected);
            }
        }

        #[test]
        fn address_change_in_pseudo_header(a: [u8; 16], b: [u8; 16], c: [u8; 16], proto in 1u8.., data: Vec<u8>) {
            let [a, b, c] = [a, b, c].map(Ipv6Addr::from);
            let len = data.len() as u32;
            let before = finish(ones_complement_sum(&data, pseudo(a.into(), b.into(), proto, len)));
            let after = finish(ones_complement_sum(&data, pseudo(a.into(), c.into(), proto, len)));
            prop_assert_eq!(update_addr(before, b.into(), c.into()), after);
            let there_and_back = update_addr(after, c.into(), b.into());
            prop_assert_eq!(there_and_back, before);
        }

        #[test]
        fn pseudo_headers_by_definition(a: [u8; 4], b: [u8; 4], c: [u8; 16], d: [u8; 16], proto: u8, len: u16) {
            let len4 = len.to_be_bytes();
            let v4 = [&a[..], &b, &[0, proto], &len4].concat();
            prop_assert_eq!(finish(pseudo_v4(a.into(), b.into(), proto, len.into())), naive(&v4));
            prop_assert_eq!(finish(pseudo(IpAddr::from(a), IpAddr::from(b), proto, len.into())), naive(&v4));
            let v6 = [&c[..], &d, &[0, 0], &len4, &[0, 0, 0, proto]].concat();
            prop_assert_eq!(finish(pseudo_v6(c.into(), d.into(), proto, len.into())), naive(&v6));
            prop_assert_eq!(finish(pseudo(IpAddr::from(c), IpAddr::from(d), proto, len.into())), naive(&v6));
        }
    }
}
