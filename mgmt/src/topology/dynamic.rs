//! MACs and addresses that were left to us.
//!
//! A dynamic address is a hash of the port's name into the subnet. When that one is taken or
//! excluded, further hashes of the same name follow, ports in order of their names: the result
//! depends on the set of names, never on the order in which they were written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashSet;
use ipnet::IpNet;
use sluice_net::addr::Mac;

use super::hash::name_hash;

/// How many hashes are tried before walking the subnet for a free address.
const HASHED_ATTEMPTS: u32 = 64;

/// The MAC of a port that declares none: locally administered, unicast, 40 bits of hash.
pub(super) fn derived_mac(port: &str) -> Mac {
    let hash = name_hash("mac", port, 0).to_be_bytes();
    let [_, _, _, a, b, c, d, e] = hash;
    Mac([0x0a, a, b, c, d, e])
}

/// The number behind an address, for arithmetic in its own family.
pub(super) fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// First and last number of a network.
pub(super) fn bounds(net: &IpNet) -> (u128, u128) {
    (number(net.network()), number(net.broadcast()))
}

/// The free addresses of a subnet.
pub(super) struct Pool {
    v4: bool,
    first: u128,
    last: u128,
    /// Inclusive, sorted by start.
    excluded: Vec<(u128, u128)>,
    taken: HashSet<u128>,
}

impl Pool {
    /// The subnet less its network and broadcast address, its first usable address (by OVN's
    /// convention the router's) and the excluded ranges.
    pub(super) fn new(subnet: &IpNet, exclude: &[(IpAddr, IpAddr)]) -> Self {
        let (network, broadcast) = bounds(subnet);
        let v4 = matches!(subnet, IpNet::V4(_));
        // IPv6 has no broadcast address.
        let last = if v4 {
            broadcast.saturating_sub(1)
        } else {
            broadcast
        };
        let mut excluded: Vec<_> = exclude
            .iter()
            .map(|(from, to)| (number(*from), number(*to)))
            .collect();
        excluded.sort_unstable();
        Self {
            v4,
            first: network.saturating_add(2),
            last,
            excluded,
            taken: HashSet::new(),
        }
    }

    /// Takes an address that somebody already has.
    pub(super) fn reserve(&mut self, ip: IpAddr) {
        if ip.is_ipv4() == self.v4 {
            self.taken.insert(number(ip));
        }
    }

    /// The address of a port; `None` when the subnet is full.
    pub(super) fn take(&mut self, port: &str) -> Option<IpAddr> {
        let size = self.last.checked_sub(self.first)?.checked_add(1)?;
        let hashed = (0..HASHED_ATTEMPTS)
            .map(|attempt| self.first + u128::from(name_hash("address", port, attempt)) % size)
            .find(|candidate| self.blocked_until(*candidate).is_none());
        let found = match hashed {
            Some(found) => found,
            None => self.walk(self.first + u128::from(name_hash("address", port, 0)) % size)?,
        };
        self.taken.insert(found);
        Some(if self.v4 {
            IpAddr::V4(Ipv4Addr::from(u32::try_from(found).ok()?))
        } else {
            IpAddr::V6(Ipv6Addr::from(found))
        })
    }

    /// The last number of what blocks a candidate; `None` when it is free.
    fn blocked_until(&self, candidate: u128) -> Option<u128> {
        let before = self
            .excluded
            .partition_point(|(from, _)| *from <= candidate);
        let range = self.excluded.iter().take(before);
        let range = range.map(|(_, to)| *to).filter(|to| *to >= candidate).max();
        range.or_else(|| self.taken.contains(&candidate).then_some(candidate))
    }

    /// The first free address from `start` on, around the end once. Steps over whole excluded
    /// ranges, so it ends after as many steps as there are ranges and addresses taken.
    fn walk(&self, start: u128) -> Option<u128> {
        self.walk_between(start, self.last)
            .or_else(|| self.walk_between(self.first, start))
    }

    fn walk_between(&self, start: u128, end: u128) -> Option<u128> {
        let mut candidate = start;
        while candidate <= end {
            match self.blocked_until(candidate) {
                None => return Some(candidate),
                Some(to) => candidate = to.checked_add(1)?,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn derived_macs_are_local_unicast() {
        for name in ["a", "b", "router1-ls1"] {
            let mac = derived_mac(name);
            assert_eq!(mac.0[0], 0x0a);
            assert!(!mac.is_multicast());
        }
        assert_ne!(derived_mac("a"), derived_mac("b"));
    }

    #[test]
    fn a_small_subnet_fills_completely_and_then_says_so() {
        let mut pool = Pool::new(&net("10.0.0.0/29"), &[(ip("10.0.0.4"), ip("10.0.0.5"))]);
        let mut got: Vec<_> = ["a", "b", "c"].map(|name| pool.take(name).unwrap()).into();
        got.sort();
        assert_eq!(got, [ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.6")]);
        assert_eq!(pool.take("d"), None);
    }

    #[test]
    fn subnets_without_room_give_nothing() {
        for subnet in [
            "10.0.0.0/30",
            "10.0.0.0/31",
            "10.0.0.0/32",
            "fd00::/127",
            "255.255.255.255/32",
        ] {
            let mut pool = Pool::new(&net(subnet), &[]);
            let first = pool.take("a");
            assert_eq!(first.is_some(), subnet.ends_with("/30"), "{subnet}");
            assert_eq!(pool.take("b"), None, "{subnet}");
        }
    }

    #[test]
    fn excluding_something_else_moves_nobody() {
        let alone = Pool::new(&net("10.0.0.0/16"), &[]).take("vm").unwrap();
        let mut excluded = Pool::new(&net("10.0.0.0/16"), &[(ip("10.0.0.2"), ip("10.0.0.9"))]);
        assert_eq!(excluded.take("vm"), Some(alone));
        let mut other = Pool::new(&net("10.0.0.0/16"), &[(alone, alone)]);
        assert_ne!(other.take("vm"), Some(alone));
    }

    #[test]
    fn nested_ranges_block_to_the_longer_end() {
        let ranges = [
            (ip("10.0.0.2"), ip("10.0.0.250")),
            (ip("10.0.0.5"), ip("10.0.0.6")),
        ];
        let mut pool = Pool::new(&net("10.0.0.0/24"), &ranges);
        let mut got: Vec<_> = ["a", "b", "c", "d"].map(|n| pool.take(n).unwrap()).into();
        got.sort();
        assert_eq!(
            got,
            ["10.0.0.251", "10.0.0.252", "10.0.0.253", "10.0.0.254"].map(ip)
        );
    }

    #[test]
    fn huge_exclusions_cost_nothing() {
        let mut pool = Pool::new(
            &net("fd00::/64"),
            &[(ip("fd00::"), ip("fd00::ffff:ffff:ffff:fffe"))],
        );
        assert_eq!(pool.take("a"), Some(ip("fd00::ffff:ffff:ffff:ffff")));
        assert_eq!(pool.take("b"), None);
    }

    #[test]
    fn reserved_addresses_stay_reserved() {
        let mut pool = Pool::new(&net("10.0.0.0/29"), &[]);
        for address in ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6", "fd00::1"] {
            pool.reserve(ip(address));
        }
        assert_eq!(pool.take("a"), Some(ip("10.0.0.3")));
        assert_eq!(pool.take("a"), None);
    }
}
