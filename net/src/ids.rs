//! Tunnel keys: which datapath, which port, which multicast group.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The 24-bit virtual network identifier of a tunnel header; between chassis it is the datapath's tunnel key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Vni(u32);

impl Vni {
    /// The largest value, 2^24 - 1.
    pub const MAX: u32 = 0x00ff_ffff;

    /// Checks that the value fits 24 bits. Zero is allowed: BFD between chassis uses it.
    #[must_use]
    pub const fn new(value: u32) -> Option<Vni> {
        if value <= Self::MAX {
            Some(Vni(value))
        } else {
            None
        }
    }

    /// The value, at most [`Vni::MAX`].
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// From the three bytes of a tunnel header.
    #[must_use]
    pub const fn from_bytes([a, b, c]: [u8; 3]) -> Vni {
        Vni(u32::from_be_bytes([0, a, b, c]))
    }

    /// To the three bytes of a tunnel header.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

impl<'de> Deserialize<'de> for Vni {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        Vni::new(value).ok_or_else(|| {
            serde::de::Error::custom(format_args!("{value} is not a VNI: at most {}", Self::MAX))
        })
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The 15-bit key of a port inside its datapath, 1 to 32767.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PortKey(u16);

impl PortKey {
    /// The largest key of a single port.
    pub const MAX: u16 = FIRST_MULTICAST_KEY - 1;

    /// Checks that the value is a port's: neither 0 nor a multicast group's.
    #[must_use]
    pub const fn new(value: u16) -> Option<PortKey> {
        if value >= 1 && value <= Self::MAX {
            Some(PortKey(value))
        } else {
            None
        }
    }

    /// The value, 1 to [`PortKey::MAX`].
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for PortKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u16::deserialize(deserializer)?;
        PortKey::new(value).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{value} is not a port key: 1 to {}",
                Self::MAX
            ))
        })
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An output key from here on names a multicast group, below it a port.
pub const FIRST_MULTICAST_KEY: u16 = 32768;
/// OVN's `_MC_flood`: every port of the switch.
pub const MC_FLOOD: u16 = 32768;
/// OVN's `_MC_unknown`: ports whose addresses are `unknown`.
pub const MC_UNKNOWN: u16 = 32769;
/// OVN's flood to ports with a multicast router behind them.
pub const MC_MROUTER_FLOOD: u16 = 32770;
/// OVN's group of ports that always get multicast.
pub const MC_STATIC: u16 = 32771;
/// OVN's `_MC_flood_l2`: every port that is not a router's.
pub const MC_FLOOD_L2: u16 = 32772;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(Vni::new(0).map(Vni::get), Some(0));
        assert_eq!(Vni::new(0xff_ffff).map(Vni::to_bytes), Some([0xff; 3]));
        assert_eq!(Vni::new(0x100_0000), None);
        assert_eq!(Vni::from_bytes([1, 2, 3]).get(), 0x01_0203);
        assert_eq!(PortKey::new(0), None);
        assert_eq!(PortKey::new(1).map(PortKey::get), Some(1));
        assert_eq!(PortKey::new(32767).map(PortKey::get), Some(32767));
        assert_eq!(PortKey::new(MC_FLOOD), None);
    }

    #[test]
    fn deserializing_checks_the_range() {
        use serde::de::value::{Error, U32Deserializer};
        let vni = |value| Vni::deserialize(U32Deserializer::<Error>::new(value)).ok();
        assert_eq!(vni(7), Vni::new(7));
        assert_eq!(vni(Vni::MAX + 1), None);
        let key = |value| PortKey::deserialize(U32Deserializer::<Error>::new(value)).ok();
        assert_eq!(key(7), PortKey::new(7));
        assert_eq!((key(0), key(32768), key(70000)), (None, None, None));
    }
}
