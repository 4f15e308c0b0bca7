//! Where packets without a connection come by, and how they go on from there.

use sluice_net::flow_hash_v4;

use super::super::memory::{Key, mix};
use super::destination::Led;
use crate::connections::{Address, FlowKey4};
use crate::glance::{Glance, Macs};
use crate::ids::{DatapathId, PathId, Zone};
use crate::learned::Learned;
use crate::path::Gate;
use crate::pipeline::TranslatedBy;
use crate::stage::gateway::{self, Seat};
use crate::stage::route;
use crate::tables::{RouterPort, Tables};

/// Routers of a way at most; longer ones walk.
pub(super) const STOPS: usize = 8;

/// A router on the way, as it is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) router: DatapathId,
    /// The port it is entered by; of a redirected packet the one that it entered elsewhere, if that is known.
    pub(super) in_index: Option<u16>,
    /// The gateway port that a redirected packet is to leave by.
    pub(super) bound_for: Option<u16>,
}

/// A place on ways that have a door and all steps so far in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) id: u64,
    pub(super) place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Stop(Stop),
    /// A way, and for those that were led elsewhere the zone of their answers.
    Way(PathId, Zone),
}

impl Default for Next {
    fn default() -> Next {
        Next::Way(PathId::NONE, Zone::NONE)
    }
}

/// How packets come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DoorKey {
    pub(super) gate: Gate,
    pub(super) macs: Macs,
}

impl Key for DoorKey {
    #[inline]
    fn hash(&self) -> u64 {
        let gate = u64::from(self.gate.0);
        mix(self.macs.dst() ^ gate << 48, self.macs.src() ^ gate << 32)
    }
}

/// How they leave a stop: next hop, and the host when that is on the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StepKey {
    pub(super) from: u64,
    pub(super) group: u32,
    pub(super) hop: u32,
    pub(super) host: u32,
    /// What was translated: of others nothing can be known about these.
    pub(super) translated: Part,
}

/// A part of packets that is translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    None,
    /// The source, here.
    Source,
    /// The destination, here or before.
    Destination,
}

impl Key for StepKey {
    #[inline]
    fn hash(&self) -> u64 {
        let host = u64::from(self.host) << 32 | u64::from(self.hop);
        let translated = (self.translated as u64) << 38;
        mix(self.from ^ translated ^ u64::from(self.group) << 40, host)
    }
}

/// What the last router does to a packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// The rule.
    pub(super) by: TranslatedBy,
    pub(super) external: u32,
    /// Zone of the router: a connection may be known there.
    pub(super) inside: Zone,
    /// Zone of the answers.
    pub(super) outside: Zone,
}

/// A packet on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// As it came in.
    pub(super) glance: &'a Glance,
    /// Its flow as it is now.
    pub(super) flow: FlowKey4,
    /// Where its destination has become another one.
    pub(super) led: Option<Led>,
}

impl Packet<'_> {
    /// The hash by which routers choose a next hop.
    fn hash(&self) -> u32 {
        let FlowKey4 {
            src,
            dst,
            src_port,
            dst_port,
            proto,
            ..
        } = self.flow;
        match self.led {
            None => self.glance.flow_hash(),
            Some(_) => flow_hash_v4(src, dst, proto, (src_port, dst_port)),
        }
    }
}

impl Place {
    /// The port whose networks a packet's addresses are compared with.
    pub(super) fn port(self, tables: &Tables) -> Option<&RouterPort> {
        let (_, router) = tables.router(self.router)?;
        let index = self.bound_for.or(self.in_index)?;
        router.ports.get(usize::from(index))
    }
}

impl Stop {
    /// What the router does with an ordinary packet that it routes by `group`; `None` when it must walk.
    pub(super) fn leave(
        self,
        tables: &Tables,
        learned: &Learned,
        packet: &Packet<'_>,
        group: u32,
    ) -> Option<(StepKey, Option<Translation>)> {
        let Place {
            router,
            in_index,
            bound_for,
        } = self.place;
        let FlowKey4 { src, dst, .. } = packet.flow;
        let (piece, router) = tables.router(router)?;
        let (hop, next) = route::choose(router.hops(group), || packet.hash())?;
        if bound_for.is_some_and(|gateway| gateway != next.port) {
            return None;
        }
        let out = router.ports.get(usize::from(next.port))?;
        let key = StepKey {
            from: self.id,
            group,
            hop,
            host: next.via.map_or(dst, |_| 0),
            translated: packet.led.map_or(Part::None, |_| Part::Destination),
        };
        if let Some(led) = packet.led {
            let stays = led.leaves(router, piece.id, packet.flow, in_index, next.port);
            let here = gateway::egress(learned, out).continue_value()? == Seat::Here;
            return (stays && here).then_some((key, None));
        }
        if router.nat.is_empty() {
            return Some((key, None));
        }
        if let Seat::At(_) = gateway::egress(learned, out).continue_value()? {
            // It is translated there.
            return Some((key, None));
        }
        let (src, dst) = (src.ip(), dst.ip());
        let nat = &router.nat;
        let Some((index, rule)) = nat.source_rule(src, dst, in_index, next.port) else {
            // An answer to it would be translated: it is tracked.
            let answered = |index| nat.source_rule(dst, src, Some(next.port), index).is_some();
            return (!in_index.is_some_and(answered)).then_some((key, None));
        };
        if !rule.is_plain() {
            return None;
        }
        let outside = tables.outside_zone(piece, out);
        let translation = Translation {
            by: TranslatedBy {
                source: Some((piece.id, index as u32)),
                destination: None,
            },
            external: u32::of(rule.external)?,
            inside: piece.zone(),
            outside,
        };
        let key = StepKey {
            translated: Part::Source,
            ..key
        };
        (outside != Zone::NONE).then_some((key, Some(translation)))
    }
}
