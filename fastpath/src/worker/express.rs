//! Packets of the common form: glanced at, looked up together, edited at fixed places.
//!
//! ```text
//!  glance at all ─► connections of those in a zone ─► [lanes](super::lane) of the others ─► one by one: leg, edit, send
//! ```
//! Nothing is decided here that the walk does not decide: a packet goes this way only along a fresh cached way
//! that a walk has found for its connection, or for its lane. Whatever is out of the ordinary is parsed and walks.

use arrayvec::ArrayVec;

use super::Worker;
use super::door::{Behind, Door};
use crate::connections::{FlowKey4, Hit, Touch};
use crate::counters::Work;
use crate::exchange::Origin;
use crate::glance::{self, Glance, Tagging, Version};
use crate::ids::{PathId, Zone};
use crate::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports};
use crate::path::Moment;
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

/// A packet that may go on a cached way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) glance: Glance,
    pub(super) door: Door,
    /// Bytes to take off the front: outer headers, or the VLAN tag (the MACs before it are written anew).
    skip: u16,
    /// Bytes of the logical frame as it came in.
    len: u16,
    /// Where it ends in the received one.
    end: u16,
}

/// How a frame of a burst goes on.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// It is parsed and walks.
    Other,
    /// Its connection tells.
    Flow,
    /// Its lane tells.
    Lane,
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Deals with a burst of a device, in its order.
    pub(super) fn receive(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>) {
        let mut kinds: ArrayVec<Kind, BURST> = ArrayVec::new();
        let mut flows: ArrayVec<Seen, BURST> = ArrayVec::new();
        let mut lanes: ArrayVec<Seen, BURST> = ArrayVec::new();
        let mut keys: ArrayVec<FlowKey4, BURST> = ArrayVec::new();
        let mut hashes: ArrayVec<u32, BURST> = ArrayVec::new();
        let mut bytes = 0;
        for frame in frames.iter() {
            let data = frame.data();
            bytes += data.len() as u64;
            let Some(seen) = self.look(device, data) else {
                kinds.push(Kind::Other);
                continue;
            };
            let key = match seen.door.zone {
                Zone::NONE => None,
                zone => seen.glance.key(zone),
            };
            if let Some(key) = key {
                hashes.push(self.connections.table().hash(&key));
                keys.push(key);
                flows.push(seen);
                kinds.push(Kind::Flow);
            } else {
                lanes.push(seen);
                kinds.push(Kind::Lane);
            }
        }
        self.counters
            .device_rx(device, frames.len() as u64, bytes);
        let mut hits: [Option<Hit>; BURST] = [None; BURST];
        if !keys.is_empty() {
            self.connections
                .table()
                .lookup_burst(&keys, &hashes, &mut hits);
        }
        let mut ways = [PathId::NONE; BURST];
        if !lanes.is_empty() {
            self.lanes(&lanes, &mut ways);
        }
        let before = self.paths.gone();
        let mut flows = flows.iter().zip(hits);
        let mut lanes = lanes.iter().zip(ways);
        let (mut established, mut laned) = (0, 0);
        for (frame, kind) in frames.drain(..).zip(kinds) {
            // A path that went in this burst may have given its place to another one.
            let steady = self.paths.gone() == before;
            let left = match kind {
                Kind::Other => Some(frame),
                Kind::Flow => match flows.next() {
                    Some((seen, Some(hit))) if steady => {
                        let left = self.express(frame, seen, &hit);
                        established += u64::from(left.is_none());
                        left
                    }
                    _ => Some(frame),
                },
                Kind::Lane => match lanes.next() {
                    Some((seen, way)) if steady && way != PathId::NONE => {
                        let left = self.lane(frame, seen, way);
                        laned += u64::from(left.is_none());
                        left
                    }
                    _ => Some(frame),
                },
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
    fn look(&mut self, device: DeviceId, frame: &[u8]) -> Option<Seen> {
        let tables = self.tables.tables();
        let tagging = glance::tagging(frame)?;
        let len = frame.len() as u16;
        match self.doors.device(tables, device, tagging)? {
            Behind::Door(door) => Some(Seen {
                glance: glance::glance(frame, tagging)?,
                door,
                skip: tagging.tag as u16,
                len,
                end: len,
            }),
            Behind::Underlay => self.look_inside(frame, tagging),
        }
    }

    /// Glances at a tunnel packet and what is in it.
    #[inline]
    fn look_inside(&mut self, frame: &[u8], tagging: Tagging) -> Option<Seen> {
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
        if outer.mac != underlay.mac || outer.dst != underlay.address.addr() {
            return None;
        }
        let door = self.doors.tunnel(tables, &outer)?;
        let inner = frame.get(outer.inner..outer.end)?;
        let tagging = glance::tagging(inner)?;
        // An inner tag means something only to the switch; let it look.
        if tagging.tag != 0 {
            return None;
        }
        let glance = glance::glance(inner, tagging)?;
        // Congestion that is to be carried over changes the packet (RFC 6040 section 4.2).
        if outer.tos & 0b11 != 0 && outer.tos & 0b11 != glance.tos & 0b11 {
            return None;
        }
        Some(Seen {
            glance,
            door,
            skip: outer.inner as u16,
            len: inner.len() as u16,
            end: outer.end as u16,
        })
    }

    /// Sends a packet along the cached way of its connection; gives it back when it must walk.
    #[inline]
    fn express(&mut self, mut frame: P::Frame, seen: &Seen, hit: &Hit) -> Option<P::Frame> {
        let glance = &seen.glance;
        if hit.owner != Some(self.id) {
            return Some(frame);
        }
        let leg = match self.paths.leg(hit.path, &moment!(self)) {
            Some(leg) if leg.gate == seen.door.gate && leg.macs == glance.macs => *leg,
            _ => return Some(frame),
        };
        if !leg.carries(glance.ttl, glance.total_len) {
            return Some(frame);
        }
        let bytes = u32::from(seen.len);
        match self
            .connections
            .touch(hit.conn, hit.direction, bytes, glance.flags, self.now)
        {
            Touch::Same | Touch::Changed { .. } => {}
            Touch::NotOwner | Touch::Gone => return Some(frame),
        }
        seen.strip(&mut frame);
        let ttl = glance.ttl - leg.ttl_steps;
        let edited = glance.edit(frame.data_mut(), leg.write, ttl, &hit.rewrite);
        self.depart(frame, seen, edited, hit.path, leg.egress);
        None
    }

    /// Sends a packet without a connection along a cached way; gives it back when it must walk.
    #[inline]
    fn lane(&mut self, mut frame: P::Frame, seen: &Seen, path: PathId) -> Option<P::Frame> {
        let glance = &seen.glance;
        let leg = match self.paths.leg(path, &moment!(self)) {
            Some(leg) if leg.carries(glance.ttl, glance.total_len) => *leg,
            _ => return Some(frame),
        };
        seen.strip(&mut frame);
        let ttl = glance.ttl - leg.ttl_steps;
        let edited = glance.forward(frame.data_mut(), leg.write, ttl);
        self.depart(frame, seen, edited, path, leg.egress);
        None
    }

    /// Counts an edited packet and sends it.
    #[inline]
    fn depart(
        &mut self,
        mut frame: P::Frame,
        seen: &Seen,
        edited: Option<()>,
        path: PathId,
        egress: Egress,
    ) {
        if let Some(port) = seen.door.port {
            self.counters.port_rx(port, u64::from(seen.len));
        }
        if edited.is_none() {
            // It was as long when it was glanced at.
            return self.counters.dropped(DropReason::MalformedL2);
        }
        if let Egress::Device { .. } = egress {
            return self.emit_device(frame, egress);
        }
        let Some(head) = self.paths.head(path) else {
            return self.counters.dropped(DropReason::InjectStale);
        };
        let (glance, device) = (&seen.glance, head.device());
        match head.push(&mut frame, glance.flow_hash(), glance.tos) {
            Ok(()) => self.send(device, frame),
            Err(reason) => self.counters.dropped(reason),
        }
    }
}

impl Seen {
    /// Takes off what is around the logical frame.
    #[inline]
    fn strip<F: Frame>(&self, frame: &mut F) {
        frame.truncate(usize::from(self.end));
        if self.skip > 0 {
            frame.pull(usize::from(self.skip));
        }
    }
}
