//! Routing many packets at once: which of them are ordinary, and where those go.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::admission;
use crate::tables::{NextHop, Router, RouterPort, Routing};

/// In place of a group: the packet needs the walk.
pub const WALK: u32 = Routing::NO_GROUP;
/// Packets that go through together.
const ROUND: usize = 32;

impl Router {
    /// The next-hop group for each IPv4 packet (source, destination; host order) that enters by `in_port`, or
    /// [`WALK`] for one that has no group or that the router would not simply route: to or from an address of its
    /// own, or one that no packet may have (RFC 1812 section 5.3.7). Groups that are told have a next hop.
    /// Fills as much of `groups` as there are flows.
    pub fn steer_v4(&self, in_port: &RouterPort, flows: &[(u32, u32)], groups: &mut [u32]) {
        for (flows, groups) in flows.chunks(ROUND).zip(groups.chunks_mut(ROUND)) {
            let stays = |flow: &(_, _)| stays_v4(flow.0) | stays_v4(flow.1);
            // One that stays is rare, so that all are asked in one pass without lanes.
            let any = flows.iter().fold(false, |any, flow| any | stays(flow));
            let mut closely = if any { lanes(flows, stays) } else { 0 };
            if self.suspects.hold_any_v4(flows) {
                closely |= lanes(flows, |flow| {
                    self.suspects.hold_v4(flow.0) | self.suspects.hold_v4(flow.1)
                });
            }
            self.routing.groups_v4(flows, groups);
            self.look_closely(closely, groups, |lane| {
                let (src, dst) = *flows.get(lane)?;
                let stays = stays_v4(src) || stays_v4(dst);
                let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
                Some(!stays && admission::ordinary(self, in_port, src.into(), dst.into()))
            });
        }
    }

    /// As [`Router::steer_v4`], for IPv6 (RFC 4291 section 2.5.6: nor do link-local packets pass).
    pub fn steer_v6(&self, in_port: &RouterPort, flows: &[(u128, u128)], groups: &mut [u32]) {
        for (flows, groups) in flows.chunks(ROUND).zip(groups.chunks_mut(ROUND)) {
            let stays = |flow: &(_, _)| stays_v6(flow.0) | stays_v6(flow.1);
            // One that stays is rare, so that all are asked in one pass without lanes.
            let any = flows.iter().fold(false, |any, flow| any | stays(flow));
            let mut closely = if any { lanes(flows, stays) } else { 0 };
            closely |= lanes(flows, |flow| {
                self.suspects.hold_v6(flow.0) | self.suspects.hold_v6(flow.1)
            });
            self.routing.groups_v6(flows, groups);
            self.look_closely(closely, groups, |lane| {
                let (src, dst) = *flows.get(lane)?;
                let stays = stays_v6(src) || stays_v6(dst);
                let (src, dst) = (Ipv6Addr::from_bits(src), Ipv6Addr::from_bits(dst));
                Some(!stays && admission::ordinary(self, in_port, src.into(), dst.into()))
            });
        }
    }

    /// Lanes whose bit is set keep their group only if they are ordinary after all; there may be no flow in a lane.
    #[inline]
    fn look_closely(
        &self,
        mut lanes: u32,
        groups: &mut [u32],
        ordinary: impl Fn(usize) -> Option<bool>,
    ) {
        while lanes != 0 {
            let lane = lanes.trailing_zeros() as usize;
            lanes &= lanes - 1;
            if ordinary(lane) == Some(false)
                && let Some(group) = groups.get_mut(lane)
            {
                *group = WALK;
            }
        }
    }

    /// The hops of a group: one, or several of which the flow's hash takes one ([`choose`](super::route::choose)).
    /// Empty when there is no such group.
    #[inline]
    pub fn hops(&self, group: u32) -> &[NextHop] {
        self.routing.hops(group)
    }
}

/// A bit for each of the flows that are so.
#[inline(always)]
fn lanes<F>(flows: &[F], is_so: impl Fn(&F) -> bool) -> u32 {
    let flows = flows.iter().enumerate();
    flows.fold(0, |bits, (lane, flow)| {
        bits | u32::from(is_so(flow)) << lane
    })
}

/// Addresses that no router passes on, neither as a source nor as a destination: this network, loopback, multicast, the
/// limited broadcast (RFC 1812 section 5.3.7).
#[inline]
fn stays_v4(address: u32) -> bool {
    let first = address >> 24;
    (first == 0) | (first == 127) | (first >> 4 == 14) | (address == u32::MAX)
}

/// The same of IPv6: unspecified, loopback, multicast, link-local (RFC 4291 section 2.4).
#[inline]
fn stays_v6(address: u128) -> bool {
    let upper = (address >> 64) as u64;
    let none_or_loopback = (upper == 0) & (address as u64 <= 1);
    none_or_loopback | (upper >> 56 == 0xff) | (upper >> 54 == 0xfe80 >> 6)
}
