//! Where packets without a connection come by, and how they go on from there.

use super::super::memory::{Key, mix};
use crate::connections::Address;
use crate::glance::{Addresses, Glance, Macs};
use crate::ids::{DatapathId, PathId, Zone};
use crate::learned::Learned;
use crate::path::Gate;
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
    Way(PathId),
}

impl Default for Next {
    fn default() -> Next {
        Next::Way(PathId::NONE)
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
    /// Their source is translated here: of those whose is not, nothing can be known about these.
    pub(super) translated: bool,
}

impl Key for StepKey {
    #[inline]
    fn hash(&self) -> u64 {
        let host = u64::from(self.host) << 32 | u64::from(self.hop);
        let translated = u64::from(self.translated) << 39;
        mix(self.from ^ translated ^ u64::from(self.group) << 40, host)
    }
}

/// What the last router does to a packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Translation {
    /// The router, and the index of its rule.
    pub(super) rule: (DatapathId, u32),
    pub(super) external: u32,
    /// Zone of the router: a connection may be known there.
    pub(super) inside: Zone,
    /// Zone of the answers.
    pub(super) outside: Zone,
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
        glance: &Glance,
        group: u32,
    ) -> Option<(StepKey, Option<Translation>)> {
        let Place {
            router,
            in_index,
            bound_for,
        } = self.place;
        let Addresses::V4(both) = glance.addresses else {
            return None;
        };
        let (src, dst) = (both.src(), both.dst());
        let (piece, router) = tables.router(router)?;
        let (hop, next) = route::choose(router.hops(group), || glance.flow_hash())?;
        if bound_for.is_some_and(|gateway| gateway != next.port) {
            return None;
        }
        let out = router.ports.get(usize::from(next.port))?;
        let key = StepKey {
            from: self.id,
            group,
            hop,
            host: next.via.map_or(dst, |_| 0),
            translated: false,
        };
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
            rule: (piece.id, index as u32),
            external: u32::of(rule.external)?,
            inside: piece.zone(),
            outside,
        };
        let key = StepKey {
            translated: true,
            ..key
        };
        (outside != Zone::NONE).then_some((key, Some(translation)))
    }
}
