//! What a packet that walked leaves behind for those that follow.

use arrayvec::ArrayVec;

use super::super::lane::{self, Landmarks};
use super::super::memory::Edition;
use super::super::{Pending, Worker};
use super::Openings;
use super::destination::{Arrival, Led};
use super::place::{DoorKey, Next, Packet, Place, STOPS, StepKey, Stop};
use crate::connections::Address;
use crate::glance::Glance;
use crate::ids::{DatapathId, PathId, PortId, Zone};
use crate::io::{FramePool, Ports};
use crate::pipeline::Outcome;
use crate::stage::enter::Entry;
use crate::stage::steer;
use crate::tables::{SwitchPort, Tables};
use crate::trace::{Event, Recorder};
use crate::verdict::Verdict;

/// The part of a walk that says which routers a packet crossed.
#[derive(Debug, Default)]
pub(in crate::worker) struct Trail {
    pub(in crate::worker) landmarks: Landmarks,
    routers: ArrayVec<PortId, STOPS>,
    redirected: bool,
    /// Too many routers.
    lost: bool,
}

impl Recorder for Trail {
    #[inline]
    fn record(&mut self, event: Event) {
        match event {
            Event::RouterIngress { port } => self.lost |= self.routers.try_push(port).is_err(),
            Event::RouterEgress { port } => {
                self.redirected = true;
                self.lost |= self.routers.try_push(port).is_err();
            }
            _ => {}
        }
        self.landmarks.record(event);
    }
}

impl Trail {
    /// The routers, as they were come to.
    fn places(&self, tables: &Tables, entry: Entry) -> Option<ArrayVec<Place, STOPS>> {
        if self.lost {
            return None;
        }
        let place = |(number, &port): (usize, &PortId)| {
            let seat = tables.seat(port)?;
            if number > 0 || !self.redirected {
                return Some(Place {
                    router: seat.datapath,
                    in_index: Some(seat.index),
                    bound_for: None,
                });
            }
            let Entry::Keyed { in_key, .. } = entry else {
                return None;
            };
            let (_, router) = tables.router(seat.datapath)?;
            Some(Place {
                router: seat.datapath,
                in_index: router.by_key.get(&in_key).map(|key| key.port),
                bound_for: Some(seat.index),
            })
        };
        self.routers.iter().enumerate().map(place).collect()
    }
}

/// The switch chooses other destinations for some of what its VIFs send.
fn balances(tables: &Tables, switch: DatapathId) -> bool {
    tables
        .switch(switch)
        .is_some_and(|(_, switch)| !switch.balancers.is_empty())
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Remembers the way of a packet of a zone that belonged to no connection.
    pub(in crate::worker) fn remember_opening(
        &mut self,
        pending: &Pending<P::Frame>,
        outcome: &Outcome,
        trail: &Trail,
    ) {
        let entered = &pending.entered;
        let cacheable = matches!(outcome.verdict, Verdict::Transmit(_))
            && outcome.sightings.is_empty()
            && outcome.quoted.is_none()
            && !outcome.close;
        let gate = self.doors.gates().get(&entered.entry);
        let (true, Some(gate), Some(glance)) = (cacheable, gate, Glance::of(&entered.headers))
        else {
            return;
        };
        let secured = |port: &SwitchPort| port.security.is_some();
        if let Entry::Keyless { switch, .. } = entered.entry
            && (lane::entry_port(self.tables.tables(), entered).is_some_and(secured)
                || balances(self.tables.tables(), switch))
        {
            // The door does not tell which port: its rules are for the walk.
            return;
        }
        let Some((steps, zone)) = self.retrace(pending, outcome, trail, &glance) else {
            return;
        };
        let (generation, changes, now) = (self.tables.tables().generation, self.changes, self.now);
        let path = outcome
            .way(entered)
            .and_then(|way| self.paths.take(way, generation, changes, now));
        let Some(path) = path else { return };
        let door = DoorKey {
            gate,
            macs: glance.macs,
        };
        let gone = self
            .openings
            .learn(door, &steps, Next::Way(path, zone), self.edition);
        for path in gone {
            self.paths.release(path);
        }
    }

    /// The steps of a packet that walked, if they are what [`Worker::plan`] would find; the stops have no numbers yet. With
    /// them the zone of its answers, if its destination has become another one.
    fn retrace(
        &self,
        pending: &Pending<P::Frame>,
        outcome: &Outcome,
        trail: &Trail,
        glance: &Glance,
    ) -> Option<(ArrayVec<(Place, StepKey), STOPS>, Zone)> {
        let tables = self.tables.tables();
        let original = glance.key(pending.zone)?;
        let places = trail.places(tables, pending.entered.entry)?;
        let mut steps = ArrayVec::new();
        let mut translation = None;
        let mut led: Option<Led> = None;
        for place in places {
            if translation.is_some() {
                return None;
            }
            let (_, router) = tables.router(place.router)?;
            match place.arrival(tables, &original, self.now) {
                Arrival::Stays => {}
                Arrival::Led(here) if led.is_none() => led = Some(here),
                Arrival::Led(_) | Arrival::Walks => return None,
            }
            let flow = led.map_or(original, |led| led.of(original));
            let mut group = [steer::WALK];
            router.steer_v4(place.port(tables)?, &[(flow.src, flow.dst)], &mut group);
            let [group] = group;
            if group == steer::WALK {
                return None;
            }
            let stop = Stop { id: 0, place };
            let packet = Packet { glance, flow, led };
            let (key, found) = stop.leave(tables, &self.learned, &packet, group)?;
            translation = found;
            steps.push((place, key));
        }
        let proposal = outcome.proposal.as_ref();
        let assigned = led.and_then(|led| led.assigned);
        let zone = match (translation, led, proposal) {
            (None, None, None) => Zone::NONE,
            (Some(to), None, Some(proposal)) if !proposal.reply_open => {
                (to.external.ip() == proposal.reply.dst).then_some(Zone::NONE)?
            }
            (None, Some(led), Some(proposal)) => led.zone(&original, proposal)?,
            _ => return None,
        };
        (assigned == outcome.assigned).then_some((steps, zone))
    }
}

impl Openings {
    /// Puts the memos of a way in place; returns the paths that had to go.
    fn learn(
        &mut self,
        door: DoorKey,
        steps: &[(Place, StepKey)],
        way: Next,
        edition: Edition,
    ) -> ArrayVec<PathId, { STOPS + 1 }> {
        let mut gone = ArrayVec::new();
        let mut lost = |old: Option<Next>| {
            if let Some(Next::Way(path, _)) = old {
                gone.push(path);
            }
        };
        // Where the next memo hangs: at the door first, then at a step.
        let mut last: Option<StepKey> = None;
        for (place, key) in steps {
            let held = match &last {
                None => self.doors.get(&door, edition),
                Some(step) => self.steps.get(step, edition),
            };
            let id = match held {
                Some(Next::Stop(stop)) if stop.place == *place => stop.id,
                _ => {
                    self.stops += 1;
                    let stop = Next::Stop(Stop {
                        id: self.stops,
                        place: *place,
                    });
                    lost(match last {
                        None => self.doors.put(door, edition, stop),
                        Some(step) => self.steps.put(step, edition, stop),
                    });
                    self.stops
                }
            };
            last = Some(StepKey { from: id, ..*key });
        }
        lost(match last {
            None => self.doors.put(door, edition, way),
            Some(step) => self.steps.put(step, edition, way),
        });
        gone
    }
}
