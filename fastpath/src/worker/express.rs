//! Packets of the common form: glanced at, looked up together, edited at fixed places.
//!
//! Nothing is decided here that the walk does not decide: a packet goes this way only along a fresh cached way
//! that a walk has found for its connection, or, where there is none, for its [lane](super::lane). Whatever is out of the ordinary is parsed and walks.

use arrayvec::ArrayVec;
use sluice_net::Mac;

use super::{Worker, emit};
use crate::connections::{FlowKey4, Hit, Rewrite, Touch};
use crate::counters::Work;
use crate::exchange::Origin;
use crate::glance::{self, Glance};
use crate::ids::Zone;
use crate::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports};
use crate::stage::enter::{self, Entry};
use crate::tables::{DeviceEntry, Tables};
use crate::verdict::{DropReason, Egress};

/// What frames of one VLAN of a device, or with one set of tunnel keys, enter; kept from packet to packet.
#[derive(Clone, Copy, Debug)]
struct Door<K> {
    key: K,
    generation: u64,
    entry: Entry,
    zone: Zone,
}

type TunnelKey = (
    crate::tables::EncapKind,
    std::net::Ipv4Addr,
    sluice_net::Vni,
    Option<(u16, u16)>,
);

/// Tunnel doors kept; a power of two.
const TUNNEL_DOORS: usize = 256;

/// The doors that were last used.
#[derive(Debug)]
pub(super) struct Doors {
    devices: Vec<Option<Door<Option<u16>>>>,
    tunnels: Box<[Option<Door<TunnelKey>>]>,
}

impl Doors {
    pub(super) fn new(devices: u16) -> Self {
        Doors {
            devices: vec![None; usize::from(devices)],
            tunnels: vec![None; TUNNEL_DOORS].into(),
        }
    }

    /// The port behind a device and VLAN; `None` for the underlay and where there is nothing.
    #[inline]
    fn port(
        &mut self,
        tables: &Tables,
        device: DeviceId,
        vlan: Option<u16>,
    ) -> Option<(Entry, Zone)> {
        let slot = self.devices.get_mut(device.index())?;
        if let Some(door) = slot
            && door.key == vlan
            && door.generation == tables.generation
        {
            return Some((door.entry, door.zone));
        }
        let DeviceEntry::Port(port) = tables.devices.get(device.index())?.entry(vlan)? else {
            return None;
        };
        let entry = Entry::Port(port);
        let zone = enter::zone(tables, &entry);
        *slot = Some(Door {
            key: vlan,
            generation: tables.generation,
            entry,
            zone,
        });
        Some((entry, zone))
    }

    /// What tunnel keys of a peer enter; `None` when they are refused.
    #[inline]
    fn tunnel(&mut self, tables: &Tables, outer: &glance::Outer) -> Option<(Entry, Zone)> {
        let key = (outer.kind, outer.src, outer.vni, outer.keys);
        let (in_key, out_key) = outer.keys.unwrap_or_default();
        let mixed = outer.src.to_bits().wrapping_mul(0x9e37_79b1)
            ^ (outer.vni.get() << 8)
            ^ (u32::from(in_key) << 4)
            ^ u32::from(out_key);
        let index = (mixed.wrapping_mul(0x85eb_ca6b) >> 24) as usize % TUNNEL_DOORS;
        let slot = self.tunnels.get_mut(index)?;
        if let Some(door) = slot
            && door.key == key
            && door.generation == tables.generation
        {
            return Some((door.entry, door.zone));
        }
        let tunnel = *tables.peers.get(&(outer.kind, outer.src))?;
        let entry = enter::resolve_keys(tables, tunnel, outer.vni, outer.keys).continue_value()?;
        let zone = enter::zone(tables, &entry);
        *slot = Some(Door {
            key,
            generation: tables.generation,
            entry,
            zone,
        });
        Some((entry, zone))
    }
}

/// A packet that may go on a cached way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) glance: Glance,
    pub(super) entry: Entry,
    /// Bytes to take off the front: outer headers, or the VLAN tag (the MACs before it are written anew).
    skip: usize,
    /// Bytes of the logical frame as it came in.
    len: usize,
    /// Where it ends in the received one.
    end: usize,
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Deals with a burst of a device, in its order.
    pub(super) fn receive(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>) {
        let mut candidates: ArrayVec<Option<(Candidate, Zone)>, BURST> = ArrayVec::new();
        let mut keys: ArrayVec<FlowKey4, BURST> = ArrayVec::new();
        let mut hashes: ArrayVec<u32, BURST> = ArrayVec::new();
        for frame in frames.iter() {
            let bytes = frame.data();
            self.counters.device_rx(device, bytes.len() as u64);
            let found = self.look(device, bytes);
            if let Some((candidate, zone)) = found
                && zone != Zone::NONE
            {
                let key = candidate.glance.key(zone);
                hashes.push(self.connections.table().hash(&key));
                keys.push(key);
            }
            candidates.push(found);
        }
        let mut hits: [Option<Hit>; BURST] = [None; BURST];
        if !keys.is_empty() {
            self.connections
                .table()
                .lookup_burst(&keys, &hashes, &mut hits);
        }
        let mut hits = hits.into_iter();
        for (frame, candidate) in frames.drain(..).zip(candidates) {
            let left = match &candidate {
                Some((candidate, Zone::NONE)) => self.lane(frame, candidate),
                Some((candidate, _)) => match hits.next().flatten() {
                    Some(hit) => self.express(frame, candidate, &hit),
                    None => Some(frame),
                },
                None => Some(frame),
            };
            if let Some(frame) = left {
                let entered = enter::from_device(self.tables.tables(), device, frame.data());
                self.admit(frame, Origin::Device(device), entered);
            }
        }
    }

    /// Glances at a frame and finds what it enters.
    #[inline]
    fn look(&mut self, device: DeviceId, frame: &[u8]) -> Option<(Candidate, Zone)> {
        let tables = self.tables.tables();
        let (vlan, tag) = glance::ipv4_behind(frame)?;
        if let Some((entry, zone)) = self.doors.port(tables, device, vlan) {
            let glance = glance::glance(frame, tag)?;
            let candidate = Candidate {
                glance,
                entry,
                skip: tag,
                len: frame.len(),
                end: frame.len(),
            };
            return Some((candidate, zone));
        }
        let underlay = tables.underlay.as_ref()?;
        if underlay.device != device || underlay.vlan != vlan {
            return None;
        }
        let outer = glance::outer(frame, tag, underlay.geneve_port, underlay.vxlan_port)?;
        if outer.mac != underlay.mac || outer.dst != underlay.address.addr() {
            return None;
        }
        let (entry, zone) = self.doors.tunnel(tables, &outer)?;
        let inner = frame.get(outer.inner..outer.end)?;
        // An inner tag means something only to the switch; let it look.
        let (None, 0) = glance::ipv4_behind(inner)? else {
            return None;
        };
        let glance = glance::glance(inner, 0)?;
        // Congestion that is to be carried over changes the packet (RFC 6040 section 4.2).
        if outer.tos & 0b11 != 0 && outer.tos & 0b11 != glance.tos & 0b11 {
            return None;
        }
        let candidate = Candidate {
            glance,
            entry,
            skip: outer.inner,
            len: inner.len(),
            end: outer.end,
        };
        Some((candidate, zone))
    }

    /// Sends a packet along the cached way of its connection; gives it back when it must walk.
    #[inline]
    fn express(&mut self, frame: P::Frame, candidate: &Candidate, hit: &Hit) -> Option<P::Frame> {
        let glance = &candidate.glance;
        if hit.owner != Some(self.id) {
            return Some(frame);
        }
        let tables = self.tables.tables();
        let fresh = self
            .paths
            .fresh(hit.path, tables, &self.learned, self.changes, self.now);
        let Some(way) = fresh else { return Some(frame) };
        let expected = way.entry == candidate.entry && way.macs == glance.macs;
        if !expected || !way.carries(glance.ttl, glance.total_len) {
            return Some(frame);
        }
        let Some(eth_dst) = way.destination(&self.learned) else {
            return Some(frame);
        };
        let (macs, ttl, egress) = (
            (eth_dst, way.eth_src),
            glance.ttl - way.ttl_steps,
            way.egress,
        );
        match self.connections.touch(
            hit.conn,
            hit.direction,
            candidate.len as u32,
            glance.flags,
            self.now,
        ) {
            Touch::Same | Touch::Changed { .. } => {}
            Touch::NotOwner | Touch::Gone => return Some(frame),
        }
        self.counters.count(Work::Established, 1);
        self.depart(frame, candidate, macs, ttl, &hit.rewrite, egress);
        None
    }

    /// Edits a packet at its fixed places and sends it.
    #[inline]
    pub(super) fn depart(
        &mut self,
        mut frame: P::Frame,
        candidate: &Candidate,
        macs: (Mac, Mac),
        ttl: u8,
        to: &Rewrite,
        egress: Egress,
    ) {
        let glance = &candidate.glance;
        if let Entry::Port(port) = candidate.entry {
            self.counters.port_rx(port, candidate.len as u64);
        }
        frame.truncate(candidate.end);
        if candidate.skip > 0 {
            frame.pull(candidate.skip);
        }
        if glance.edit(frame.data_mut(), macs, ttl, to).is_none() {
            // It was as long when it was glanced at.
            return self.counters.dropped(DropReason::MalformedL2);
        }
        match egress {
            Egress::Device { .. } => self.emit_device(frame, egress),
            Egress::Tunnel { .. } => {
                let ports = (glance.src_port, glance.dst_port);
                let hash = sluice_net::flow_hash_v4(glance.src, glance.dst, glance.proto, ports);
                self.emit_tunnel(
                    frame,
                    emit::Flow {
                        hash,
                        tos: glance.tos,
                    },
                    egress,
                );
            }
        }
    }
}
