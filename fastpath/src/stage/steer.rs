//! Routing many packets at once: which of them are ordinary, and where those go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{admission, route};
use crate::tables::{Router, RouterPort};

/// In place of a group: the packet needs the walk.
pub const WALK: u32 = u32::MAX;

impl Router {
    /// The next-hop group for each IPv4 packet (source, destination; host order) that enters by `in_port`, or
    /// [`WALK`] for one that has no group or that the router would not simply route: to or from an address of its own, or
    /// one that no packet may have (RFC 1812 section 5.3.7). Groups that are told have a next hop.
    /// Fills as much of `groups` as there are flows.
    pub fn steer_v4(&self, in_port: &RouterPort, flows: &[(u32, u32)], groups: &mut [u32]) {
        for (&(src, dst), group) in flows.iter().zip(groups) {
            let src = IpAddr::V4(Ipv4Addr::from_bits(src));
            let dst = IpAddr::V4(Ipv4Addr::from_bits(dst));
            *group = self.steer(in_port, src, dst);
        }
    }

    /// As [`Router::steer_v4`], for IPv6 (RFC 4291 section 2.5.6: nor do link-local packets pass).
    pub fn steer_v6(&self, in_port: &RouterPort, flows: &[(u128, u128)], groups: &mut [u32]) {
        for (&(src, dst), group) in flows.iter().zip(groups) {
            let src = IpAddr::V6(Ipv6Addr::from_bits(src));
            let dst = IpAddr::V6(Ipv6Addr::from_bits(dst));
            *group = self.steer(in_port, src, dst);
        }
    }

    fn steer(&self, in_port: &RouterPort, src: IpAddr, dst: IpAddr) -> u32 {
        if !admission::ordinary(self, in_port, src, dst) {
            return WALK;
        }
        route::select(self, src, dst, || 0).map_or(WALK, |(group, _, _)| group)
    }

    /// The hops of a group: one, or several among which the hash of the flow chooses
    /// ([`route::choose`]). Empty when there is no such group.
    #[inline]
    pub fn hops(&self, group: u32) -> &[crate::tables::NextHop] {
        self.groups.get(group as usize).map_or(&[], Vec::as_slice)
    }
}
