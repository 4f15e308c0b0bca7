//! Destinations of packets without a connection: what a router makes of them when they come in.

use super::place::Place;
use crate::connections::{Address, Flags, FlowKey4};
use crate::ids::{DatapathId, Tick, Zone};
use crate::pipeline::{Assigned, TranslatedBy};
use crate::stage::nat::Proposal;
use crate::tables::{DnatKind, Router, Tables, Vip};

/// What becomes of the destination of a packet that comes to a router.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    /// It stays.
    Stays,
    /// It becomes another one.
    Led(Led),
    /// The packet must walk.
    Walks,
}

/// A destination that has become another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Led {
    /// Where.
    pub(super) router: DatapathId,
    /// Zone of the router: a connection may be known there.
    pub(super) inside: Zone,
    /// The address and port that it has become.
    pub(super) to: (u32, u16),
    /// Kept with the connection.
    pub(super) flags: Flags,
    /// The rule, if one did that.
    pub(super) by: TranslatedBy,
    /// The backend that it is, if a balancer chose it.
    pub(super) assigned: Option<Assigned>,
}

impl Led {
    /// No router on the way does more to its packets: `flow` comes to a router by one of its ports and leaves by another.
    pub(super) fn leaves(
        self,
        router: &Router,
        id: DatapathId,
        flow: FlowKey4,
        in_index: Option<u16>,
        out: u16,
    ) -> bool {
        let nat = &router.nat;
        if nat.is_empty() {
            return true;
        }
        let (src, dst) = (flow.src.ip(), flow.dst.ip());
        if id == self.router {
            return nat.turning_rule(src, dst, in_index).is_none();
        }
        let answered = |index| nat.source_rule(dst, src, Some(out), index).is_some();
        nat.source_rule(src, dst, in_index, out).is_none() && !in_index.is_some_and(answered)
    }

    /// The zone of the answers to a packet that walked and opened a connection; `None` when that is not the one that would be
    /// opened here.
    pub(super) fn zone(self, original: &FlowKey4, proposal: &Proposal) -> Option<Zone> {
        let reply = &proposal.reply;
        let same = (reply.src, reply.src_port) == (self.to.0.ip(), self.to.1)
            && reply.dst == original.src.ip()
            && proposal.original == original.widen()
            && proposal.flags == self.flags;
        (same && proposal.reply_open && reply.zone != Zone::NONE).then_some(reply.zone)
    }

    /// The flow from here on.
    pub(super) fn of(self, key: FlowKey4) -> FlowKey4 {
        let (dst, dst_port) = self.to;
        FlowKey4 {
            dst,
            dst_port,
            ..key
        }
    }
}

impl Place {
    /// What the router makes of the destination of a packet that belongs to no connection and was not led before.
    pub(super) fn arrival(self, tables: &Tables, key: &FlowKey4, now: Tick) -> Arrival {
        let Some((piece, router)) = tables.router(self.router) else {
            return Arrival::Walks;
        };
        // What is redirected here is on its way out.
        let (Some(index), None, true) = (
            self.in_index,
            self.bound_for,
            router.suspects.hold_v4(key.dst),
        ) else {
            return Arrival::Stays;
        };
        let external = key.dst.ip();
        let local = router.local.get(&external);
        if !local.is_some_and(|local| local.nat) {
            return Arrival::Stays;
        }
        let port = router.ports.get(usize::from(index));
        let (Some(port), None) = (port, router.distributed.outside(external)) else {
            return Arrival::Walks;
        };
        // An answer to a translated source would be found in the zone outside, which is where the packet was looked for.
        if !router.translates_at(port) || tables.outside_zone(piece, port) != key.zone {
            return Arrival::Walks;
        }
        let led = Led {
            router: piece.id,
            inside: piece.zone(),
            to: (0, key.dst_port),
            flags: Flags::default(),
            by: TranslatedBy::default(),
            assigned: None,
        };
        let led = match router.balancers.find(external, key.proto, key.dst_port) {
            Some(vip) => led.to_backend(router, vip, key, now),
            None => led.by_rule(router, index, key),
        };
        led.map_or(Arrival::Walks, Arrival::Led)
    }
}

impl Led {
    /// To the backend that a balancer gives it; `None` when there is none, or more has to be done than that.
    fn to_backend(
        self,
        router: &Router,
        (index, vip): (u32, &Vip),
        key: &FlowKey4,
        now: Tick,
    ) -> Option<Led> {
        let forced = !router.lb_force_snat.is_empty() && !vip.skip_snat;
        if forced || vip.affinity.is_some() {
            return None;
        }
        // As the walk looks for it, in the zone of the router.
        let flow = FlowKey4 {
            zone: self.inside,
            ..*key
        };
        let (backend, chosen, _) = vip.choose(&flow.widen(), now)?;
        let ip = u32::of(chosen.ip)?;
        // Its own packets come back to it from another address.
        (ip != key.src).then_some(Led {
            to: (ip, chosen.port.unwrap_or(key.dst_port)),
            flags: Flags::BALANCED,
            assigned: Some(Assigned {
                datapath: self.router,
                vip: index,
                backend,
            }),
            ..self
        })
    }

    fn by_rule(self, router: &Router, index: u16, key: &FlowKey4) -> Option<Led> {
        let (src, external) = (key.src.ip(), key.dst.ip());
        let rule = router.nat.destination_rule(external, src, index)?;
        (rule.kind != DnatKind::Stateless).then_some(Led {
            to: (u32::of(rule.logical)?, key.dst_port),
            by: TranslatedBy {
                source: None,
                destination: Some((self.router, rule.external)),
            },
            ..self
        })
    }
}
