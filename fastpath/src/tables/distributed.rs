//! Floating IPs that this node translates wherever the gateway port is held (OVN: external_mac and logical_port).

use std::net::IpAddr;

use hashbrown::HashMap;
use sluice_net::Mac;

/// The distributed floating IPs of a router whose logical port is bound here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Distributed {
    by_inside: HashMap<IpAddr, FloatingIp>,
    by_outside: HashMap<IpAddr, FloatingIp>,
}

/// A distributed floating IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatingIp {
    /// The address inside.
    pub inside: IpAddr,
    /// The address outside.
    pub outside: IpAddr,
    /// The MAC that has it there.
    pub mac: Mac,
    /// Index of the gateway port.
    pub port: u16,
}

impl Distributed {
    /// Those that are bound here.
    pub fn new(all: &[FloatingIp]) -> Self {
        Distributed {
            by_inside: all.iter().map(|one| (one.inside, *one)).collect(),
            by_outside: all.iter().map(|one| (one.outside, *one)).collect(),
        }
    }

    /// There is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.by_inside.is_empty()
    }

    /// The one of an address inside.
    #[inline]
    pub fn inside(&self, ip: IpAddr) -> Option<&FloatingIp> {
        self.by_inside.get(&ip)
    }

    /// The one of an address outside.
    #[inline]
    pub fn outside(&self, ip: IpAddr) -> Option<&FloatingIp> {
        self.by_outside.get(&ip)
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = &FloatingIp> {
        let mut all: Vec<&FloatingIp> = self.by_outside.values().collect();
        all.sort_unstable_by_key(|one| one.outside);
        all.into_iter()
    }

    /// The addresses inside.
    pub fn insides(&self) -> impl Iterator<Item = IpAddr> {
        self.by_inside.keys().copied()
    }
}
