//! Packets of the common form: glanced at, looked up together, edited at fixed places.
//!
//! ```text
//!  glance at all ─► connections of those in a zone, openings of those without one
//!                ─► lanes of the others                        ─► one by one: leg, edit, send
//! ```
//! Nothing is decided here that the walk does not decide: a packet goes this way only along a fresh cached way
//! that a walk has found for its connection, or for its lane. Whatever is out of the ordinary is parsed and walks.

use arrayvec::ArrayVec;
use sluice_net::checksum::ones_complement_sum;

use super::Worker;
use super::door::{Behind, Door};
use super::opening::{Newcomer, Plan};
use crate::connections::{FlowKey4, Hit, Rewrite, Touch};
use crate::counters::{Counters, Work};
use crate::exchange::Origin;
use crate::glance::{self, Glance, Macs, Tagging, Version};
use crate::ids::{PathId, Zone};
use crate::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports, prefetch};
use crate::path::{Leg, Moment};
use crate::stage::enter;
use crate::verdict::{DropReason, Egress};

/// The moment of this burst; a macro, because the fields that it borrows are not all of the worker's.
macro_rules! moment {
    ($worker:expr) => {
        Moment {
            tables: $worker.tables.tables(),
            learned: &$worker.learned,
            gates: $worker.doors.gates(),
            changes: $worker.changes,
            now: $worker.now,
            stamp: $worker.stamp,
        }
    };
}

pub(super) use moment;

/// A packet that may go on a cached way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) glance: Glance,
    pub(super) door: Door,
    /// Bytes to take off the front: outer headers, or the VLAN tag (the MACs before it are written anew).
    skip: u16,
    /// Bytes of the logical frame as it came in.
    pub(super) len: u16,
    /// Where it ends in the received one.
    end: u16,
}

/// How a frame of a burst goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is parsed and walks.
    #[default]
    Other,
    /// Its connection tells.
    Flow,
    /// Its lane tells.
    Lane,
}

/// What is found out about the frames of a burst, by their place in it; kept from burst to burst, so that nothing
/// has to be made or moved.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    kinds: [Kind; BURST],
    seen: [Seen; BURST],
    /// Cached ways of those that go by lane.
    ways: [PathId; BURST],
    /// Connections of those that have a flow, one after the other.
    hits: [Option<Hit>; BURST],
    /// What is to be done with those that have a flow but no connection.
    plans: [Option<Plan>; BURST],
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Deals with a burst of a device, in its order.
    pub(super) fn receive(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>) {
        let mut sheet = self.sheet.take().unwrap_or_default();
        self.inspect(device, frames, &mut sheet);
        self.forward(device, frames, &sheet);
        self.sheet = Some(sheet);
    }

    /// Finds the connections and lanes of a burst.
    fn inspect(&mut self, device: DeviceId, frames: &Burst<P::Frame>, sheet: &mut Sheet) {
        let mut keys: ArrayVec<FlowKey4, BURST> = ArrayVec::new();
        let mut hashes = [0; BURST];
        let (mut bytes, mut lanes) = (0, 0);
        let places = sheet.seen.iter_mut().zip(&mut sheet.kinds);
        for (frame, (seen, kind)) in frames.iter().zip(places) {
            let data = frame.data();
            bytes += data.len() as u64;
            *kind = Kind::Other;
            if self.look(device, data, seen).is_none() {
                continue;
            }
            let key = match seen.door.zone {
                Zone::NONE => None,
                zone => seen.glance.key(zone),
            };
            if let Some(key) = key {
                keys.push(key);
                *kind = Kind::Flow;
            } else {
                lanes += 1;
                *kind = Kind::Lane;
            }
        }
        self.counters.device_rx(device, frames.len() as u64, bytes);
        if !keys.is_empty() {
            self.connections
                .table()
                .lookup_burst(&keys, &mut hashes, &mut sheet.hits, prefetch);
            self.receive_newcomers(&keys, &hashes, frames.len(), sheet);
        }
        if lanes > 0 {
            let kinds = sheet.kinds.get(..frames.len()).unwrap_or_default();
            self.lanes(kinds, &sheet.seen, &mut sheet.ways);
        }
    }

    /// Finds out what is to be done with packets that have a flow but no connection.
    fn receive_newcomers(
        &self,
        keys: &[FlowKey4],
        hashes: &[u32],
        frames: usize,
        sheet: &mut Sheet,
    ) {
        let hits = sheet.hits.get(..keys.len()).unwrap_or_default();
        if hits.iter().all(Option::is_some) {
            return;
        }
        let mut newcomers: ArrayVec<Newcomer, BURST> = ArrayVec::new();
        let kinds = sheet.kinds.iter().take(frames).enumerate();
        let flows = kinds.filter(|(_, kind)| **kind == Kind::Flow).zip(hits);
        for (((at, _), hit), (&key, &hash)) in flows.zip(keys.iter().zip(hashes)) {
            if let (None, Some(plan)) = (hit, sheet.plans.get_mut(at)) {
                *plan = None;
                newcomers.push(Newcomer { at, key, hash });
            }
        }
        self.plan(&newcomers, &sheet.seen, &mut sheet.plans);
    }

    /// Sends a burst on, one frame after the other.
    fn forward(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>, sheet: &Sheet) {
        let (mut established, mut laned) = (0, 0);
        let opened = self.openings.opened();
        let mut hits = sheet.hits.iter();
        let places = sheet.seen.iter().zip(&sheet.kinds);
        let found = places.zip(sheet.ways.iter().zip(&sheet.plans));
        for (frame, ((seen, kind), (way, plan))) in frames.drain(..).zip(found) {
            let left = match kind {
                Kind::Other => Some(frame),
                Kind::Flow => match hits.next() {
                    Some(Some(hit)) => {
                        let left = self.express(frame, seen, hit);
                        established += u64::from(left.is_none());
                        left
                    }
                    Some(None) => {
                        let left = match plan {
                            Some(Plan::Pass(way)) => self.pass_by(frame, seen, *way, opened),
                            Some(Plan::Open(opening)) => self.begin(frame, seen, opening),
                            None => Some(frame),
                        };
                        laned += u64::from(left.is_none());
                        left
                    }
                    _ => Some(frame),
                },
                Kind::Lane if *way != PathId::NONE => {
                    let left = self.lane(frame, seen, *way);
                    laned += u64::from(left.is_none());
                    left
                }
                Kind::Lane => Some(frame),
            };
            if let Some(frame) = left {
                let entered = enter::from_device(self.tables.tables(), device, frame.data());
                self.admit(frame, Origin::Device(device), entered);
            }
        }
        self.counters.count(Work::Established, established);
        self.counters.count(Work::Lane, laned);
    }

    /// Glances at a frame and finds what it enters.
    #[inline]
    fn look(&mut self, device: DeviceId, frame: &[u8], seen: &mut Seen) -> Option<()> {
        let tables = self.tables.tables();
        let tagging = glance::tagging(frame)?;
        match self.doors.device(tables, device, tagging)? {
            Behind::Door(door) => {
                seen.door = *door;
                let len = frame.len() as u16;
                (seen.skip, seen.len, seen.end) = (tagging.tag as u16, len, len);
                seen.glance.read(frame, tagging)
            }
            Behind::Underlay => self.look_inside(frame, tagging, seen),
        }
    }

    /// Glances at a tunnel packet and what is in it.
    #[inline]
    fn look_inside(&mut self, frame: &[u8], tagging: Tagging, seen: &mut Seen) -> Option<()> {
        let tables = self.tables.tables();
        let underlay = tables.underlay.as_ref()?;
        if tagging.version != Version::V4 {
            return None;
        }
        let outer = glance::outer(
            frame,
            tagging.tag,
            underlay.geneve_port,
            underlay.vxlan_port,
        )?;
        if outer.mac != underlay.mac || outer.dst != underlay.address.addr().to_bits() {
            return None;
        }
        seen.door = *self.doors.tunnel(tables, outer.origin)?;
        let inner = frame.get(usize::from(outer.inner)..usize::from(outer.end))?;
        let tagging = glance::tagging(inner)?;
        // An inner tag means something only to the switch; let it look.
        if tagging.tag != 0 {
            return None;
        }
        seen.len = inner.len() as u16;
        (seen.skip, seen.end) = (outer.inner, outer.end);
        seen.glance.read(inner, tagging)?;
        // Congestion that is to be carried over changes the packet (RFC 6040 section 4.2).
        let same = outer.tos & 0b11 == seen.glance.tos & 0b11;
        (outer.tos & 0b11 == 0 || same).then_some(())
    }

    /// Sends a packet along the cached way of its connection; gives it back when it must walk.
    #[inline]
    fn express(&mut self, frame: P::Frame, seen: &Seen, hit: &Hit) -> Option<P::Frame> {
        let glance = &seen.glance;
        if hit.owner != Some(self.id) {
            return Some(frame);
        }
        let Some(leg) = self.paths.leg(hit.path, &moment!(self)) else {
            return Some(frame);
        };
        let expected = leg.gate == seen.door.gate && leg.macs == glance.macs;
        if !expected || !leg.carries(glance.ttl, glance.total_len) {
            return Some(frame);
        }
        let exit = Exit::by(leg, hit.path, glance);
        let bytes = u32::from(seen.len);
        match self
            .connections
            .touch(hit.conn, hit.direction, bytes, glance.flags, self.now)
        {
            Touch::Same | Touch::Changed { .. } => {}
            Touch::NotOwner | Touch::Gone => return Some(frame),
        }
        self.depart(frame, seen, &exit, Some(&hit.rewrite));
        None
    }

    /// Sends a packet without a connection along a cached way; gives it back when it must walk.
    #[inline]
    pub(super) fn lane(&mut self, frame: P::Frame, seen: &Seen, path: PathId) -> Option<P::Frame> {
        let glance = &seen.glance;
        let leg = match self.paths.leg(path, &moment!(self)) {
            Some(leg) if leg.carries(glance.ttl, glance.total_len) => leg,
            _ => return Some(frame),
        };
        let mut exit = Exit::by(leg, path, glance);
        if leg.write == leg.macs {
            // Bridged: the way is that of all who send to the destination, their MACs are their own.
            exit.macs = glance.macs;
        }
        self.depart(frame, seen, &exit, None);
        None
    }

    /// Edits a packet and sends it.
    #[inline]
    pub(super) fn depart(
        &mut self,
        mut frame: P::Frame,
        seen: &Seen,
        exit: &Exit,
        to: Option<&Rewrite>,
    ) {
        seen.count(&self.counters);
        seen.strip(&mut frame);
        let glance = &seen.glance;
        let head = match exit.egress {
            Egress::Device { .. } => None,
            Egress::Tunnel { .. } => self.paths.head(exit.path),
        };
        let data = frame.data_mut();
        // Summed before it is written to: a wide read after narrow writes would wait for them.
        let sum = match (head, data.get(12..)) {
            (Some(head), Some(body)) if head.sums() => ones_complement_sum(body, exit.macs.sum()),
            _ => 0,
        };
        let edited = match to {
            Some(to) => glance.edit(data, exit.macs, exit.ttl, to),
            None => glance.forward(data, exit.macs, exit.ttl),
        };
        let Some(added) = edited else {
            // It was as long when it was glanced at.
            return self.counters.dropped(DropReason::MalformedL2);
        };
        let Some(head) = head else {
            return self.emit_device(frame, exit.egress);
        };
        let (hash, device) = (glance.flow_hash(), head.device());
        match head.push_summed(&mut frame, hash, glance.tos, sum + added) {
            Ok(()) => self.send(device, frame),
            Err(reason) => self.counters.dropped(reason),
        }
    }
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

impl Seen {
    /// Counts it at the port it came in by.
    #[inline]
    pub(super) fn count(&self, counters: &Counters) {
        if let Some(port) = self.door.port {
            counters.port_rx(port, u64::from(self.len));
        }
    }

    /// Takes off what is around the logical frame.
    #[inline]
    fn strip<F: Frame>(&self, frame: &mut F) {
        frame.truncate(usize::from(self.end));
        if self.skip > 0 {
            frame.pull(usize::from(self.skip));
        }
    }
}
