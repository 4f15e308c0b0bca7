//! Ethernet addresses and the addresses derived from them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 48-bit Ethernet address, in the order it has on the wire.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Unaligned,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

/// Why a text is not an Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a MAC address: six pairs of hex digits with colons, as in 02:ac:10:ff:00:10"
)]
pub struct MacError {
    /// The text that was refused.
    pub text: String,
}

impl Mac {
    /// ff:ff:ff:ff:ff:ff, every station on the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// 00:00:00:00:00:00, "unknown" in an ARP request; never a sender.
    pub const ZERO: Mac = Mac([0; 6]);

    /// Is it ff:ff:ff:ff:ff:ff?
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// Is the group bit set? True for broadcast as well.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Is it all zeroes?
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// The address as a number: the first byte on the wire is the highest of the low 48 bits.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The inverse of [`Mac::to_u64`]; the high 16 bits are ignored.
    #[must_use]
    pub const fn from_u64(value: u64) -> Mac {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        Mac([a, b, c, d, e, f])
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || MacError {
            text: text.to_owned(),
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(refused)?;
            // from_str_radix alone would take "+f".
            if part.len() != 2 || !part.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(refused());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refused())?;
        }
        if parts.next().is_some() {
            return Err(refused());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        let mut text = [0; 17];
        for (slot, byte) in text.chunks_mut(3).zip([a, b, c, d, e, g]) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            slot[0] = DIGITS[usize::from(byte >> 4)];
            slot[1] = DIGITS[usize::from(byte & 15)];
            if let Some(colon) = slot.get_mut(2) {
                *colon = b':';
            }
        }
        // `pad` so that columns of a table line up.
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The group address that carries an IPv4 multicast destination (RFC 1112 section 6.4): the low 23 bits.
#[must_use]
pub const fn mac_for_ipv4_multicast(group: Ipv4Addr) -> Mac {
    let [_, b, c, d] = group.octets();
    Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// The group address that carries an IPv6 multicast destination (RFC 2464 section 7): the low 32 bits.
#[must_use]
pub const fn mac_for_ipv6_multicast(group: Ipv6Addr) -> Mac {
    let [.., c, d, e, f] = group.octets();
    Mac([0x33, 0x33, c, d, e, f])
}

/// The solicited-node multicast address of a target (RFC 4291 section 2.7.1).
#[must_use]
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(PREFIX | (target.to_bits() & 0x00ff_ffff))
}

/// The link-local address a station forms from its MAC (RFC 4291 appendix A, modified EUI-64).
#[must_use]
pub const fn eui64_link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits((0xfe80_u128 << 112) | identifier as u128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mac_text_has_exactly_one_form() {
        assert_eq!(
            "02:ac:10:FF:00:10".parse(),
            Ok(Mac([2, 0xac, 0x10, 0xff, 0, 0x10]))
        );
        for bad in [
            "",
            "02:ac:10:ff:00",
            "02:ac:10:ff:00:10:11",
            "02:ac:10:ff:00:10:",
            "2:ac:10:ff:0:10",
            "02-ac-10-ff-00-10",
            "02:ac:10:ff:00:1g",
            "02:ac:10:ff:00:+1",
            " 02:ac:10:ff:00:10",
            "02:ac:10:ff:00:1é",
        ] {
            assert_eq!(
                bad.parse::<Mac>(),
                Err(MacError {
                    text: bad.to_owned()
                }),
                "{bad}"
            );
        }
    }

    #[test]
    fn mac_deserializes_from_text_and_says_what_is_wrong() {
        use serde::de::value::{Error, StrDeserializer};
        let read = |text| Mac::deserialize(StrDeserializer::<Error>::new(text));
        assert_eq!(read("02:00:00:00:00:01"), Ok(Mac([2, 0, 0, 0, 0, 1])));
        let said = read("02:00").unwrap_err().to_string();
        assert!(said.starts_with("`02:00` is not a MAC address"), "{said}");
    }

    #[test]
    fn kinds_of_mac() {
        assert!(Mac::BROADCAST.is_broadcast() && Mac::BROADCAST.is_multicast());
        assert!(Mac::ZERO.is_zero() && !Mac::ZERO.is_multicast());
        let group = Mac([1, 0, 0x5e, 0, 0, 1]);
        assert!(group.is_multicast() && !group.is_broadcast());
        assert!(!Mac([2, 0, 0, 0, 0, 1]).is_multicast());
    }

    #[test]
    fn columns_line_up() {
        assert_eq!(format!("{:>19}|", Mac::ZERO), "  00:00:00:00:00:00|");
    }

    #[test]
    fn derived_addresses() {
        assert_eq!(
            mac_for_ipv4_multicast(Ipv4Addr::new(239, 255, 1, 2)),
            Mac([1, 0, 0x5e, 0x7f, 1, 2])
        );
        let target: Ipv6Addr = "2001:db8::1:2aa:bbcc".parse().unwrap();
        let node = solicited_node(target);
        assert_eq!(node, "ff02::1:ffaa:bbcc".parse::<Ipv6Addr>().unwrap());
        assert_eq!(
            mac_for_ipv6_multicast(node),
            Mac([0x33, 0x33, 0xff, 0xaa, 0xbb, 0xcc])
        );
        assert_eq!(
            eui64_link_local(Mac([0, 0xaa, 0, 0x3f, 0x2a, 0x1c])),
            "fe80::2aa:ff:fe3f:2a1c".parse::<Ipv6Addr>().unwrap()
        );
    }

    proptest! {
        #[test]
        fn mac_round_trips(bytes: [u8; 6], high: u16) {
            let mac = Mac(bytes);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            prop_assert_eq!(Mac::from_u64(mac.to_u64() | u64::from(high) << 48), mac);
        }
    }
}
