//! Texts with a meaning: addresses, prefixes, next hops, sizes.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_net::addr::Mac;

use crate::topology::expression::Constant;
use crate::topology::{Nexthop, PortAddress, SecurityAddresses};

/// Why a text does not mean what it should.
#[derive(Debug)]
pub(super) struct Fault {
    pub message: String,
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn new(message: String) -> Self {
        Self {
            message,
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Something written as a string.
pub(super) trait Value: Sized {
    fn read(text: &str) -> Result<Self, Fault>;
}

impl Value for String {
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("the text is empty".to_owned()));
        }
        Ok(text.to_owned())
    }
}

impl Value for Mac {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            Fault::new(format!("`{text}` is not a MAC address"))
                .help("six pairs of hex digits, such as \"02:ac:10:ff:00:10\"")
        })
    }
}

impl Value for IpAddr {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            let fault = Fault::new(format!("`{text}` is not an IP address"));
            match text.split_once('/') {
                Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                    fault.help(format!("without the prefix: \"{address}\""))
                }
                _ => fault.help("such as \"192.168.1.1\" or \"fd00::1\""),
            }
        })
    }
}

/// An address with the length of its network's prefix, or a prefix: the length is required.
impl Value for IpNet {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            let fault = Fault::new(format!("`{text}` is not an address with a prefix length"));
            match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => fault.help(format!("such as \"{text}/24\"")),
                Ok(IpAddr::V6(_)) => fault.help(format!("such as \"{text}/64\"")),
                Err(_) => fault.help("such as \"192.168.1.1/24\" or \"fd00::1/64\""),
            }
        })
    }
}

/// A prefix, where a bare address means that one host.
pub(super) struct Prefix(pub IpNet);

impl Value for Prefix {
    fn read(text: &str) -> Result<Self, Fault> {
        if let Ok(host) = text.parse::<IpAddr>() {
            return Ok(Self(IpNet::from(host)));
        }
        text.parse().map(Self).map_err(|_| {
            Fault::new(format!("`{text}` is neither a prefix nor an address"))
                .help("such as \"192.168.0.0/16\" or \"fd00::/48\"")
        })
    }
}

/// Ports from the first to the last: `"1024-2047"`, or one, `"1024"`. Port 0 is none.
pub(super) struct PortRange(pub (u16, u16));

impl Value for PortRange {
    fn read(text: &str) -> Result<Self, Fault> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self((first, last))),
            _ => Err(Fault::new(format!("`{text}` is not a range of ports"))
                .help("first and last, such as \"1024-65535\"")),
        }
    }
}

impl Value for Nexthop {
    fn read(text: &str) -> Result<Self, Fault> {
        if text == "discard" {
            return Ok(Self::Discard);
        }
        text.parse().map(Self::Ip).map_err(|_| {
            Fault::new(format!("`{text}` is not a next hop"))
                .help("the address of a router, or \"discard\" to drop what matches")
        })
    }
}

impl Value for PortAddress {
    fn read(text: &str) -> Result<Self, Fault> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["dynamic"] => return Ok(Self::Dynamic { mac: None }),
            ["unknown"] => return Ok(Self::Unknown),
            ["router"] => return Ok(Self::Router),
            [mac, "dynamic"] => {
                return Ok(Self::Dynamic {
                    mac: Some(Mac::read(mac)?),
                });
            }
            _ => {}
        }
        let (mac, rest) = mac_first(text, &words)?;
        let ips = rest
            .iter()
            .map(|ip| IpAddr::read(ip))
            .collect::<Result<_, _>>()?;
        Ok(Self::Static { mac, ips })
    }
}

impl Value for SecurityAddresses {
    fn read(text: &str) -> Result<Self, Fault> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (mac, rest) = mac_first(text, &words)?;
        let ips = rest
            .iter()
            .map(|ip| Prefix::read(ip).map(|prefix| prefix.0));
        Ok(Self {
            mac,
            ips: ips.collect::<Result<_, _>>()?,
        })
    }
}

/// An address of an address set, or a prefix of addresses.
impl Value for Constant {
    fn read(text: &str) -> Result<Self, Fault> {
        let constant =
            Self::read(text).map_err(|error| Fault::new(error.message).help(error.mend))?;
        let Some(bits) = constant.form.bits() else {
            return Err(Fault::new(format!("`{text}` is not an address")).help(
                "such as \"10.0.0.1\", \"10.1.0.0/16\", \"fd00::/8\" or \"02:00:00:00:00:01\"",
            ));
        };
        if constant.prefix(bits).is_none() {
            return Err(Fault::new(format!("the mask of `{text}` is no prefix"))
                .help("write it into the match of the ACL"));
        }
        Ok(constant)
    }
}

fn mac_first<'a, 't>(text: &str, words: &'a [&'t str]) -> Result<(Mac, &'a [&'t str]), Fault> {
    let Some((mac, rest)) = words.split_first() else {
        return Err(Fault::new("the text is empty".to_owned())
            .help("\"MAC IP ...\", \"MAC\", \"MAC dynamic\", \"dynamic\" or \"unknown\""));
    };
    if mac.parse::<IpAddr>().is_ok() {
        return Err(Fault::new(format!("`{text}` has no MAC"))
            .help(format!("the MAC comes first: \"02:00:00:00:00:01 {text}\"")));
    }
    Ok((Mac::read(mac)?, rest))
}

/// One address, or `FIRST..LAST`.
pub(super) struct AddressRange(pub (IpAddr, IpAddr));

impl Value for AddressRange {
    fn read(text: &str) -> Result<Self, Fault> {
        match text.split_once("..") {
            Some((first, last)) => Ok(Self((IpAddr::read(first)?, IpAddr::read(last)?))),
            None => IpAddr::read(text).map(|ip| Self((ip, ip))),
        }
    }
}

/// Bytes, written with a unit: `512M`, `2G`.
pub(super) struct Size(pub u64);

impl Value for Size {
    fn read(text: &str) -> Result<Self, Fault> {
        let units = [('K', 10), ('M', 20), ('G', 30)];
        let size = units.iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
            number.checked_mul(1 << shift)
        });
        size.filter(|size| *size > 0).map(Self).ok_or_else(|| {
            Fault::new(format!("`{text}` is not a size"))
                .help("a whole number with K, M or G, such as \"256M\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_addresses() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let read = |text| PortAddress::read(text).unwrap();
        assert_eq!(read("dynamic"), PortAddress::Dynamic { mac: None });
        assert_eq!(
            read("02:00:00:00:00:01  dynamic"),
            PortAddress::Dynamic { mac: Some(mac) }
        );
        assert_eq!(read("unknown"), PortAddress::Unknown);
        assert_eq!(read("router"), PortAddress::Router);
        assert_eq!(
            read("02:00:00:00:00:01"),
            PortAddress::Static { mac, ips: vec![] }
        );
        let ips = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(
            read("02:00:00:00:00:01 10.0.0.1 fd00::1"),
            PortAddress::Static { mac, ips }
        );
    }

    #[test]
    fn wrong_port_addresses_say_what_is_meant() {
        let cases = [
            ("", "the text is empty", "\"MAC IP ...\""),
            ("10.0.0.1", "has no MAC", "\"02:00:00:00:00:01 10.0.0.1\""),
            (
                "02:00:00:00:00:01 10.0.0.1/24",
                "is not an IP address",
                "\"10.0.0.1\"",
            ),
            ("02:00:00:00:00 10.0.0.1", "is not a MAC", "six pairs"),
            (
                "02:00:00:00:00:01 dynamic dynamic",
                "is not an IP",
                "such as",
            ),
        ];
        for (text, message, help) in cases {
            let fault = PortAddress::read(text).unwrap_err();
            assert!(fault.message.contains(message), "{text}: {}", fault.message);
            assert!(
                fault.help.as_deref().unwrap().contains(help),
                "{text}: {:?}",
                fault.help
            );
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(Size::read("1K").unwrap().0, 1024);
        assert_eq!(Size::read("256M").unwrap().0, 256 << 20);
        assert_eq!(Size::read("3G").unwrap().0, 3 << 30);
        for wrong in [
            "",
            "1",
            "M",
            "0M",
            "-1M",
            "1.5G",
            "1MB",
            "99999999999999999999G",
            "18014398509481984G",
        ] {
            assert!(Size::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_and_prefixes() {
        let range = AddressRange::read("10.0.0.1..10.0.0.9").unwrap().0;
        assert_eq!(
            range,
            ("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap())
        );
        assert!(AddressRange::read("10.0.0.1-10.0.0.9").is_err());
        assert_eq!(Prefix::read("10.0.0.1").unwrap().0.prefix_len(), 32);
        assert_eq!(Prefix::read("fd00::/8").unwrap().0.prefix_len(), 8);
        assert!(
            IpNet::read("10.0.0.1")
                .unwrap_err()
                .help
                .unwrap()
                .contains("10.0.0.1/24")
        );
    }
}
