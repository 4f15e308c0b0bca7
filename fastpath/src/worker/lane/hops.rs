//! Cached ways by next hop.

use crate::glance::{Addresses, Glance};
use crate::ids::{PathId, PortId};
use crate::io::BURST;
use crate::stage::{route, steer};
use crate::tables::{GroupKind, NextHop, Router, Tables};
use crate::worker::memory::{Edition, Key, Memory, mix};
use crate::worker::seen::Seen;

/// Ways at hand, a power of two.
const AT_HAND: usize = 1024;

/// Router port and next-hop group in one word.
#[inline]
fn place(in_port: PortId, group: u32) -> u64 {
    u64::from(in_port.0) << 32 | u64::from(group)
}

/// A next hop: router port that the packet came in by and group; hop, and the IPv4 host when that is on the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HopKey(u64, u64);

impl HopKey {
    #[inline]
    fn new(in_port: PortId, group: u32, hop: u32, host: u32) -> HopKey {
        HopKey(
            place(in_port, group),
            u64::from(hop) << 32 | u64::from(host),
        )
    }
}

/// An IPv6 host on a link: how a router sends to the link, and the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostKey(HopKey, (u64, u64));

/// One of both.
pub(super) enum Hop {
    Shared(HopKey),
    Host(HostKey),
}

impl Key for HopKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0, self.1)
    }
}

impl Key for HostKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0.hash() ^ self.1.0, self.1.1)
    }
}

/// Where packets enter a router.
pub(super) struct Doorway<'a> {
    router: &'a Router,
    id: PortId,
}

impl<'a> Doorway<'a> {
    /// By this port of the router.
    pub(super) fn new(router: &'a Router, id: PortId) -> Self {
        Doorway { router, id }
    }
}

/// The way of a group with one next router, found without a hash.
#[derive(Clone, Copy, Debug, Default)]
struct AtHand {
    place: u64,
    edition: Edition,
    path: PathId,
}

/// Where a place may be at hand.
#[inline]
fn slot(place: u64) -> usize {
    (place ^ place >> 28) as usize % AT_HAND
}

/// Ways by next hop.
#[derive(Debug)]
pub(super) struct Hops {
    shared: Memory<HopKey, PathId>,
    hosts: Memory<HostKey, PathId>,
    /// Copies of what is in `shared`, as long as it is there.
    at_hand: Box<[AtHand; AT_HAND]>,
}

impl Hops {
    pub(super) fn new() -> Self {
        Hops {
            shared: Memory::new(),
            hosts: Memory::new(),
            at_hand: Box::new([AtHand::default(); AT_HAND]),
        }
    }

    /// Finds the way of each packet by its group; `places` tells which of the burst they are.
    pub(super) fn take(
        &mut self,
        doorway: &Doorway<'_>,
        places: &[u8],
        groups: &[u32; BURST],
        seen: &mut [Seen; BURST],
        edition: Edition,
    ) {
        for (&at, &group) in places.iter().zip(groups) {
            let Some(seen) = seen.get_mut(usize::from(at)) else {
                continue;
            };
            let place = place(doorway.id, group);
            let at_hand = &self.at_hand[slot(place)];
            seen.way = if at_hand.place == place && at_hand.edition == edition {
                at_hand.path
            } else {
                let path = self.look_up(doorway, &seen.glance, group, edition);
                path.unwrap_or(PathId::NONE)
            };
        }
    }

    #[inline(never)]
    fn look_up(
        &mut self,
        doorway: &Doorway<'_>,
        glance: &Glance,
        group: u32,
        edition: Edition,
    ) -> Option<PathId> {
        match hop(doorway, glance, group)? {
            Hop::Host(key) => self.hosts.get(&key, edition).copied(),
            Hop::Shared(key) => {
                let path = *self.shared.get(&key, edition)?;
                if doorway.router.routing.kind(group) == GroupKind::Via {
                    let place = key.0;
                    self.at_hand[slot(place)] = AtHand {
                        place,
                        edition,
                        path,
                    };
                }
                Some(path)
            }
        }
    }

    /// Puts the way of a hop in; returns the one that had to go.
    pub(super) fn put(&mut self, hop: Hop, edition: Edition, path: PathId) -> Option<PathId> {
        let key = match hop {
            Hop::Host(key) => return self.hosts.put(key, edition, path),
            Hop::Shared(key) => key,
        };
        let gone = self.shared.replace(key, edition, path);
        for place in [Some(key.0), gone.map(|(key, _)| key.0)]
            .into_iter()
            .flatten()
        {
            let at_hand = &mut self.at_hand[slot(place)];
            if at_hand.place == place {
                *at_hand = AtHand::default();
            }
        }
        gone.map(|(_, path)| path)
    }
}

/// The next hop of a packet that a router takes in by `port`; `None` when the packet is not simply routed.
pub(super) fn hop_of(tables: &Tables, port: PortId, glance: &Glance) -> Option<Hop> {
    let (_, router, in_port) = tables.router_port(port)?;
    let mut group = [steer::WALK];
    match glance.addresses {
        Addresses::V4(both) => {
            router.steer_v4(in_port, &[(both.src(), both.dst())], &mut group);
        }
        Addresses::V6(src, dst) => router.steer_v6(in_port, &[(src, dst)], &mut group),
    }
    hop(&Doorway::new(router, port), glance, group[0])
}

/// The hop that a packet takes of a group. Whether there is a way by it, the walk has found out.
#[inline]
fn hop(doorway: &Doorway<'_>, glance: &Glance, group: u32) -> Option<Hop> {
    let on_link = |hop| {
        let key = |host| HopKey::new(doorway.id, group, hop, host);
        match glance.addresses {
            Addresses::V4(both) => Hop::Shared(key(both.dst())),
            Addresses::V6(_, dst) => Hop::Host(HostKey(key(0), ((dst >> 64) as u64, dst as u64))),
        }
    };
    Some(match doorway.router.routing.kind(group) {
        GroupKind::Via => Hop::Shared(HopKey::new(doorway.id, group, 0, 0)),
        GroupKind::OnLink => on_link(0),
        GroupKind::Other => {
            let hops = doorway.router.hops(group);
            match route::choose(hops, || glance.flow_hash())? {
                (hop, NextHop { via: None, .. }) => on_link(hop),
                (hop, _) => Hop::Shared(HopKey::new(doorway.id, group, hop, 0)),
            }
        }
    })
}
