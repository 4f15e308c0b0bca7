//! What a walk decided.

use arrayvec::ArrayVec;
use sluice_net::Headers;

use crate::connections::Rewrite;
use crate::exchange::Sighting;
use crate::ids::{DatapathId, PortId, Tick};
use crate::learned::Learned;
use crate::path::{Deps, FdbUse, NeighborUse, Way};
use crate::pipeline::{Asked, Assigned, TranslatedBy};
use crate::stage::enter::Entered;
use crate::stage::nat::Proposal;
use crate::verdict::{DropReason, Verdict};

/// What a walk decided.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The packet's fate.
    pub verdict: Verdict,
    /// Its headers at the end.
    pub headers: Headers,
    /// What the packet quoted in an ICMP error must say.
    pub quoted: Option<Rewrite>,
    /// A connection to open.
    pub proposal: Option<Proposal>,
    /// The backend that a load balancer gave it.
    pub assigned: Option<Assigned>,
    /// The rules that translate the proposed connection.
    pub translated: TranslatedBy,
    /// What ACLs said of it.
    pub asked: Asked,
    /// The router that translated its source: see [`Punted::home`](crate::exchange::Punted).
    pub home: Option<DatapathId>,
    /// The connection it belongs to must end: its rule is gone.
    pub close: bool,
    /// It has the addresses of the connection and does not belong to it.
    pub aside: bool,
    /// The router port it last came in by: in its name a sender is told that no connection can be opened.
    pub last_in: Option<PortId>,
    /// Routers crossed.
    pub ttl_steps: u8,
    /// Bytes of IP that fit all the way.
    pub mtu: u16,
    /// Learned neighbor written as destination.
    pub neighbor: Option<NeighborUse>,
    /// Learned underlay neighbor.
    pub underlay: Option<NeighborUse>,
    /// Where its source MAC was learned, if it was; the decision rests on that too.
    pub source: Option<FdbUse>,
    /// What the decision rests on.
    pub deps: Deps,
    /// What the slow path may learn from it.
    pub sightings: ArrayVec<Sighting, 2>,
}

impl Outcome {
    /// Nothing decided yet, for a frame with these headers.
    pub(super) fn new(headers: Headers) -> Self {
        Outcome {
            verdict: Verdict::Drop(DropReason::TooManyHops),
            headers,
            quoted: None,
            proposal: None,
            assigned: None,
            translated: TranslatedBy::default(),
            asked: Asked::default(),
            home: None,
            close: false,
            aside: false,
            last_in: None,
            ttl_steps: 0,
            mtu: u16::MAX,
            neighbor: None,
            underlay: None,
            source: None,
            deps: Deps::default(),
            sightings: ArrayVec::new(),
        }
    }

    /// Notes that a packet goes to its neighbors, from and to its learned MACs.
    pub fn mark_used(&self, learned: &Learned, now: Tick) {
        self.deps
            .mark_used([&self.neighbor, &self.underlay], learned, now);
    }

    /// The way to cache for the connection, when the packet leaves by one.
    pub fn way(&self, entered: &Entered) -> Option<Way> {
        let Verdict::Transmit(egress) = self.verdict else {
            return None;
        };
        Some(Way {
            entry: entered.entry,
            macs: (entered.headers.eth_dst, entered.headers.eth_src),
            eth_dst: self.headers.eth_dst,
            eth_src: self.headers.eth_src,
            ttl_steps: self.ttl_steps,
            mtu: self.mtu,
            each: self.asked.each,
            egress,
            neighbor: self.neighbor,
            underlay: self.underlay,
            deps: self.deps.clone(),
        })
    }
}
