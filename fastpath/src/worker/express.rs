//! Packets of the common form: glanced at, looked up together, edited at fixed places.
//!
//! ```text
//!  glance at all ─► connections of those in a zone, openings of those without one ─► edit
//!                ─► lanes of the others                                            ─► edit ─► send, or walk
//! ```
//! Nothing is decided here that the walk does not decide: a packet goes this way only along a fresh cached way
//! that a walk has found for its connection, or for its lane. Whatever is out of the ordinary is parsed and walks.

use std::ops::ControlFlow::Continue;

use arrayvec::ArrayVec;

use super::Worker;
use super::door::Behind;
use super::opening::{Newcomer, Plan};
use super::places::Places;
use super::seen::{Fate, Seen, Taken, glance_all, glance_inside, look};
use crate::connections::{FlowKey4, FlowKey6, Hit, Rewrite, Touch};
use crate::counters::{Traffic, Work};
use crate::exchange::{HandedTo, Origin};
use crate::glance::{Editable, Glance, Macs};
use crate::ids::{PathId, PortId};
use crate::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports, prefetch};
use crate::path::{Leg, Legs, Moment};
use crate::stage::enter::{self, Entered, Entry};
use crate::tables::Tables;
use crate::verdict::{DropReason, Egress};

/// Whom a burst comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// A device.
    Device,
    /// Another worker, which has counted it.
    Worker,
}

/// What is found out about the frames of a burst, by their place in it; kept from burst to burst, so that nothing
/// has to be made or moved.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    seen: [Seen; BURST],
    taken: Taken,
    /// Connections of those that have a flow, one after the other.
    hits: [Option<Hit<u32>>; BURST],
    hits_v6: [Option<Hit<u128>>; BURST],
    /// What is to be done with those that have a flow but no connection.
    plans: [Option<Plan>; BURST],
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Deals with a burst of a device: finds cached ways, edits along them, then sends, hands over or walks in the order of the
    /// burst.
    pub(super) fn receive(
        &mut self,
        device: DeviceId,
        frames: &mut Burst<P::Frame>,
        receipt: Receipt,
    ) {
        let mut sheet = self.sheet.take().unwrap_or_default();
        self.inspect(device, frames, receipt, &mut sheet);
        if !sheet.taken.flows.is_empty() {
            self.look_up_flows(&mut sheet);
            self.edit_flows(frames, &mut sheet);
        }
        if !sheet.taken.flows_v6.is_empty() {
            self.edit_flows_v6(frames, &mut sheet);
        }
        let mut sent = false;
        if !sheet.taken.lanes.is_empty() {
            self.find_lanes(sheet.taken.lanes, &mut sheet.seen);
            sent = self.edit_lanes(frames, &mut sheet);
        }
        if !sent {
            self.forward(device, frames, receipt, &sheet);
        }
        self.sheet = Some(sheet);
    }

    /// Finds out which frames of a burst may have a flow, and which a lane.
    fn inspect(
        &mut self,
        device: DeviceId,
        frames: &Burst<P::Frame>,
        receipt: Receipt,
        sheet: &mut Sheet,
    ) {
        let counts = receipt == Receipt::Device;
        if counts {
            let bytes = frames.iter().map(|frame| frame.data().len() as u64).sum();
            self.counters.device_rx(device, frames.len() as u64, bytes);
        }
        let tables = self.tables.tables();
        let taken = match self.doors.device(tables, device, 0) {
            Some(Behind::Door(door)) => {
                let taken = glance_all(frames, &mut sheet.seen, &door);
                if let Some(port) = door.port.filter(|_| counts) {
                    let (packets, bytes) = (taken.all().len().into(), taken.bytes);
                    self.counters.port_rx(port, Traffic { packets, bytes });
                }
                taken
            }
            Some(Behind::Underlay) => {
                glance_inside(frames, &mut sheet.seen, &mut self.doors, tables)
            }
            None => {
                sheet
                    .seen
                    .iter_mut()
                    .for_each(|seen| seen.fate = Fate::Walks);
                Taken::default()
            }
        };
        sheet.taken = taken;
        for at in Places::first(frames.len()).without(taken.all()) {
            let (Some(frame), Some(seen)) = (frames.get(at), sheet.seen.get_mut(at)) else {
                continue;
            };
            let tables = self.tables.tables();
            if look(&mut self.doors, tables, device, frame.data(), seen).is_none() {
                continue;
            }
            sheet.taken.add(at, seen);
            if let Some(port) = seen.door.port.filter(|_| counts) {
                self.count_entry(port, seen.len);
            }
        }
    }

    /// Finds the connections of the packets that have a flow, and what is to be done with those without one.
    fn look_up_flows(&mut self, sheet: &mut Sheet) {
        let mut keys: ArrayVec<FlowKey4, BURST> = ArrayVec::new();
        for at in sheet.taken.flows {
            let seen = sheet.seen.get(at);
            keys.extend(seen.and_then(|seen| seen.glance.key(seen.door.zone)));
        }
        let mut hashes = [0; BURST];
        let table = self.connections.table().of::<u32>();
        table.lookup_burst(&keys, &mut hashes, &mut sheet.hits, prefetch);
        let hits = sheet.hits.get(..keys.len()).unwrap_or_default();
        if hits.iter().all(Option::is_some) {
            return;
        }
        let mut newcomers: ArrayVec<Newcomer, BURST> = ArrayVec::new();
        for ((at, hit), (&key, &hash)) in sheet
            .taken
            .flows
            .into_iter()
            .zip(hits)
            .zip(keys.iter().zip(&hashes))
        {
            if let (None, Some(plan)) = (hit, sheet.plans.get_mut(at)) {
                *plan = None;
                newcomers.push(Newcomer { at, key, hash });
            }
        }
        self.plan(&newcomers, &sheet.seen, &mut sheet.plans);
    }

    /// Edits the packets that have a connection, or may have one.
    #[inline(never)]
    fn edit_flows(&mut self, frames: &mut Burst<P::Frame>, sheet: &mut Sheet) {
        let (mut established, mut laned) = (0, 0);
        let opened = self.openings.opened();
        let Sheet {
            seen,
            taken,
            hits,
            plans,
            ..
        } = sheet;
        for (at, hit) in taken.flows.into_iter().zip(hits.iter()) {
            let (Some(frame), Some(seen)) = (frames.get_mut(at), seen.get_mut(at)) else {
                continue;
            };
            if let Some(hit) = hit {
                seen.fate = self.express(frame, seen, hit);
                established += u64::from(!matches!(seen.fate, Fate::Walks | Fate::Handed(_)));
            } else {
                seen.fate = match plans.get(at) {
                    Some(Some(Plan::Pass(way))) => self.pass_by(frame, seen, *way, opened),
                    Some(Some(Plan::Open(opening))) => self.begin(frame, seen, opening),
                    _ => Fate::Walks,
                };
                laned += u64::from(seen.fate != Fate::Walks);
            }
        }
        self.counters.count(Work::Established, established);
        self.counters.count(Work::Lane, laned);
    }

    /// Edits the packets of IPv6 that have a connection; those without one go by lane, if there is one.
    #[inline(never)]
    fn edit_flows_v6(&mut self, frames: &mut Burst<P::Frame>, sheet: &mut Sheet) {
        let Sheet {
            seen,
            taken,
            hits_v6: hits,
            ..
        } = sheet;
        let mut keys: ArrayVec<FlowKey6, BURST> = ArrayVec::new();
        for at in taken.flows_v6 {
            let seen = seen.get(at);
            keys.extend(seen.and_then(|seen| seen.glance.key_v6(seen.door.zone)));
        }
        let table = self.connections.table().of::<u128>();
        if table.is_empty() {
            hits.fill(None);
        } else {
            table.lookup_burst(&keys, &mut [0; BURST], hits, prefetch);
        }
        let mut established = 0;
        for ((at, hit), key) in taken.flows_v6.into_iter().zip(hits.iter()).zip(&keys) {
            let (Some(frame), Some(seen)) = (frames.get_mut(at), seen.get_mut(at)) else {
                continue;
            };
            if let Some(hit) = hit {
                seen.fate = self.express(frame, seen, hit);
                established += u64::from(!matches!(seen.fate, Fate::Walks | Fate::Handed(_)));
            } else if !is_balanced(self.tables.tables(), seen.door.port, key) {
                taken.lanes.add(at);
            }
        }
        self.counters.count(Work::Established, established);
    }

    /// Edits the packets that go by lane. `true` when these were all, and are sent.
    fn edit_lanes(&mut self, frames: &mut Burst<P::Frame>, sheet: &mut Sheet) -> bool {
        // Packets in a row often leave by the same port: these first, in few steps.
        let first = sheet.taken.lanes.into_iter().next();
        let first = first.and_then(|at| self.paths.leg(sheet.seen.get(at)?.way));
        let exit = first.map(|leg| leg.egress);
        let mut others = sheet.taken.lanes;
        let mut laned = 0;
        if let Some(Egress::Device {
            device,
            vlan: None,
            port,
        }) = exit
        {
            let legs = self.paths.legs(self.stamp, self.now);
            let (done, bytes) = edit_all(frames, &sheet.seen, sheet.taken.lanes, legs, port);
            laned = done.len() as u64;
            let packets = laned;
            self.counters.port_tx(port, Traffic { packets, bytes });
            if done == Places::first(frames.len()) {
                self.counters.count(Work::Lane, laned);
                self.send_all(device, frames);
                return true;
            }
            for at in done {
                if let Some(seen) = sheet.seen.get_mut(at) {
                    seen.fate = Fate::Leaves(device);
                }
            }
            others = sheet.taken.lanes.without(done);
        }
        for at in others {
            if let (Some(frame), Some(seen)) = (frames.get_mut(at), sheet.seen.get_mut(at)) {
                seen.fate = self.lane(frame, seen, seen.way);
                laned += u64::from(seen.fate != Fate::Walks);
            }
        }
        self.counters.count(Work::Lane, laned);
        false
    }

    /// Sends the frames of a burst that are edited; the others walk, or belong to another worker.
    fn forward(
        &mut self,
        device: DeviceId,
        frames: &mut Burst<P::Frame>,
        receipt: Receipt,
        sheet: &Sheet,
    ) {
        let fates = sheet.seen.iter().map(|seen| seen.fate).take(frames.len());
        let first = fates.clone().next().unwrap_or_default();
        if let Fate::Leaves(device) = first
            && fates.clone().all(|fate| fate == first)
        {
            return self.send_all(device, frames);
        }
        for (at, (frame, fate)) in frames.drain(..).zip(fates).enumerate() {
            match fate {
                Fate::Leaves(device) => self.send(device, frame),
                Fate::Walks => {
                    let counted = receipt == Receipt::Worker || sheet.taken.all().has(at);
                    self.admit_received(frame, device, counted);
                }
                Fate::Handed(owner) => {
                    let to = HandedTo::Owner(Origin::Device(device));
                    self.hand_over(owner, frame, to);
                }
                Fate::Dropped => {}
            }
        }
    }

    /// `counted`: at the port that it came in by.
    #[cold]
    fn admit_received(&mut self, frame: P::Frame, device: DeviceId, counted: bool) {
        let entered = enter::from_device(self.tables.tables(), device, frame.data());
        if !counted
            && let Continue(Entered {
                entry: Entry::Port(port),
                len,
                ..
            }) = &entered
        {
            self.count_entry(*port, *len);
        }
        self.admit(frame, Origin::Device(device), entered);
    }

    /// The leg of a path is of now. `false` when what the path rests on does not hold any more.
    #[inline]
    pub(super) fn ready(&mut self, path: PathId) -> bool {
        self.paths.ready(path, self.stamp, self.now) || self.renew(path)
    }

    #[cold]
    fn renew(&mut self, path: PathId) -> bool {
        let moment = Moment {
            tables: self.tables.tables(),
            learned: &self.learned,
            gates: self.doors.gates(),
            changes: self.changes,
            now: self.now,
            stamp: self.stamp,
        };
        self.paths.renew(path, &moment).is_some()
    }

    /// Edits a packet along the cached way of its connection.
    #[inline(always)]
    fn express<A: Editable>(&mut self, frame: &mut P::Frame, seen: &Seen, hit: &Hit<A>) -> Fate {
        let glance = &seen.glance;
        match hit.owner {
            Some(owner) if owner == self.id => {}
            Some(owner) => return Fate::Handed(owner),
            None => return Fate::Walks,
        }
        if !self.ready(hit.path) {
            return Fate::Walks;
        }
        let Some(leg) = self.paths.leg(hit.path) else {
            return Fate::Walks;
        };
        let expected = leg.gate == seen.door.gate && leg.macs == glance.macs;
        if !expected || !leg.carries(glance.ttl, glance.total_len) {
            return Fate::Walks;
        }
        let exit = Exit::by(leg, hit.path, glance);
        let bytes = u32::from(seen.len);
        match self.connections.of::<A>().touch(
            hit.conn,
            hit.direction,
            bytes,
            glance.flags,
            self.now,
        ) {
            Touch::Same | Touch::Changed { .. } | Touch::Disbelieved => {}
            Touch::Unread if self.touch_glanced(frame, seen, hit) => {}
            Touch::Unread | Touch::NotOwner | Touch::Gone => return Fate::Walks,
        }
        self.depart(frame, seen, exit, Some(&hit.rewrite))
    }

    /// Edits a packet without a connection along a cached way.
    #[inline(always)]
    pub(super) fn lane(&mut self, frame: &mut P::Frame, seen: &Seen, path: PathId) -> Fate {
        let glance = &seen.glance;
        if !self.ready(path) {
            return Fate::Walks;
        }
        let leg = match self.paths.leg(path) {
            Some(leg) if leg.carries(glance.ttl, glance.total_len) => leg,
            _ => return Fate::Walks,
        };
        let mut exit = Exit::by(leg, path, glance);
        if leg.bridged {
            // The way is that of all who send to the destination, their MACs are their own.
            exit.macs = glance.macs;
        }
        self.depart::<u32>(frame, seen, exit, None)
    }

    /// Edits a packet, so that it can be sent.
    #[inline(always)]
    pub(super) fn depart<A: Editable>(
        &mut self,
        frame: &mut P::Frame,
        seen: &Seen,
        exit: Exit,
        to: Option<&Rewrite<A>>,
    ) -> Fate {
        if seen.skip > 0 {
            seen.strip(frame);
        }
        let glance = &seen.glance;
        match exit.egress {
            Egress::Device { device, vlan, port } => {
                let data = frame.data_mut();
                let bytes = data.len() as u64;
                let edited = match to {
                    Some(to) => A::edit(glance, data, exit.macs, exit.ttl, to),
                    None => glance.forward(data, exit.macs, exit.ttl),
                };
                if edited.is_none() {
                    return self.unedited();
                }
                self.count_exit(port, bytes);
                match vlan {
                    None => Fate::Leaves(device),
                    Some(vlan) => self.tag(frame, vlan, device),
                }
            }
            Egress::Tunnel { .. } => self.depart_by_tunnel(frame, seen, &exit, to),
        }
    }

    /// It was as long when it was glanced at.
    #[cold]
    fn unedited(&mut self) -> Fate {
        self.counters.dropped(DropReason::MalformedL2);
        Fate::Dropped
    }

    /// Edits a packet and puts outer headers before it.
    fn depart_by_tunnel<A: Editable>(
        &mut self,
        frame: &mut P::Frame,
        seen: &Seen,
        exit: &Exit,
        to: Option<&Rewrite<A>>,
    ) -> Fate {
        let Some(head) = self.paths.head(exit.path) else {
            return self.unedited();
        };
        let glance = &seen.glance;
        let data = frame.data_mut();
        // Summed before it is written to: a wide read after narrow writes would wait for them.
        let sum = match head.sums() {
            true => glance.sum(data, head.macs_sum(exit.macs)),
            false => 0,
        };
        let edited = match to {
            Some(to) => A::edit(glance, data, exit.macs, exit.ttl, to),
            None => glance.forward(data, exit.macs, exit.ttl),
        };
        let Some(added) = edited else {
            return self.unedited();
        };
        match head.push_summed(frame, glance.flow_hash(), glance.tos, sum + added) {
            Ok(()) => Fate::Leaves(head.device()),
            Err(reason) => {
                self.counters.dropped(reason);
                Fate::Dropped
            }
        }
    }
}

/// The switch that a packet enters by this port may choose another destination for it.
#[inline]
fn is_balanced(tables: &Tables, port: Option<PortId>, key: &FlowKey6) -> bool {
    port.and_then(|port| tables.switch_port(port))
        .is_some_and(|(_, switch, _)| switch.balancers.want(key))
}

/// How a packet leaves by a cached way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    macs: Macs,
    ttl: u8,
    path: PathId,
    egress: Egress,
}

impl Exit {
    /// By a leg that carries the packet.
    #[inline]
    pub(super) fn by(leg: &Leg, path: PathId, glance: &Glance) -> Exit {
        Exit {
            macs: leg.write,
            ttl: glance.ttl - leg.ttl_steps,
            path,
            egress: leg.egress,
        }
    }
}

/// Edits the packets at these places that leave without a tag by `port` along a ready leg; tells which these are, and how
/// many bytes. Apart from the worker, so that all that it needs stays in registers.
#[inline(never)]
fn edit_all<F: Frame>(
    frames: &mut [F],
    seen: &[Seen; BURST],
    places: Places,
    legs: Legs<'_>,
    port: PortId,
) -> (Places, u64) {
    let (mut done, mut bytes) = (Places::NONE, 0);
    for at in places {
        let (Some(frame), Some(seen)) = (frames.get_mut(at), seen.get(at)) else {
            break;
        };
        let glance = &seen.glance;
        let leg = match legs.ready(seen.way) {
            Some(leg) if leg.carries(glance.ttl, glance.total_len) => leg,
            _ => continue,
        };
        let here =
            matches!(leg.egress, Egress::Device { vlan: None, port: exit, .. } if exit == port);
        if !here {
            continue;
        }
        if seen.skip > 0 {
            seen.strip(frame);
        }
        let data = frame.data_mut();
        let macs = if leg.bridged { glance.macs } else { leg.write };
        let ttl = glance.ttl - leg.ttl_steps;
        if glance.forward(data, macs, ttl).is_some() {
            bytes += data.len() as u64;
            done.add(at);
        }
    }
    (done, bytes)
}
