//! The MAC of a next hop: from the topology, from the attached switch, or learned.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::Mac;

use crate::learned::Learned;
use crate::tables::neighbors::Slot;
use crate::tables::{Peer, Router, RouterPort, Tables, UNDERLAY_PORT};
use crate::verdict::{Punt, Step, Verdict};

/// A resolved next hop: its MAC, and the slot when it was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacent {
    /// The MAC.
    pub mac: Mac,
    /// Slot in the neighbor table; `None` for what the topology says.
    pub slot: Option<Slot>,
}

/// The MAC of `next_hop` on the link of router port `port` (index `index`).
#[inline]
pub fn resolve(
    tables: &Tables,
    learned: &Learned,
    router: &Router,
    index: u16,
    port: &RouterPort,
    next_hop: IpAddr,
) -> Step<Adjacent> {
    if let Some(&mac) = router.neighbors.get(&(index, next_hop)) {
        return Continue(Adjacent { mac, slot: None });
    }
    if let Peer::Switch { switch, .. } = port.peer
        && let Some((_, switch)) = tables.switch(switch)
        && let Some(known) = switch.known.get(&next_hop)
    {
        return Continue(Adjacent {
            mac: known.mac,
            slot: None,
        });
    }
    match learned.neighbors.resolve(port.id, next_hop) {
        Some((slot, mac)) => Continue(Adjacent {
            mac,
            slot: Some(slot),
        }),
        None => Break(Verdict::Punt(Punt::ResolveNeighbor {
            port: port.id,
            next_hop,
        })),
    }
}

/// The MAC of an underlay next hop.
#[inline]
pub fn resolve_underlay(learned: &Learned, next_hop: Ipv4Addr) -> Step<Adjacent> {
    match learned
        .neighbors
        .resolve(UNDERLAY_PORT, IpAddr::V4(next_hop))
    {
        Some((slot, mac)) => Continue(Adjacent {
            mac,
            slot: Some(slot),
        }),
        None => Break(Verdict::Punt(Punt::ResolveUnderlay {
            next_hop: IpAddr::V4(next_hop),
        })),
    }
}
