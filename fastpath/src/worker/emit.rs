//! Sending: the edit, the VLAN tag, the outer headers, the buffer of the device; and copies for floods.

use std::ops::ControlFlow::Break;
use std::sync::Arc;

use sluice_net::flow_hash;

use super::Worker;
use super::seen::Fate;
use crate::counters::Work;
use crate::encap::Head;
use crate::exchange::{HandedOff, HandedTo};
use crate::ids::{PortId, WorkerId};
use crate::io::{Burst, DeviceId, Frame, FramePool, Ports};
use crate::rewrite::{self, Edit};
use crate::stage::acl;
use crate::stage::enter::{Entered, Entry};
use crate::tables::{AclDirection, FloodMember, Switch, Tables, UNDERLAY_PORT};
use crate::verdict::{DropReason, Egress, Flood, Verdict};

/// Copies that one loop makes at most.
pub(super) const FLOOD_COPIES: u32 = 4096;

/// Frames on their way out of a device.
#[derive(Debug)]
pub(super) struct Outbox<F> {
    frames: Burst<F>,
    bytes: u64,
    /// This worker has a transmit queue of the device.
    ours: bool,
}

impl<F> Outbox<F> {
    pub(super) fn new(ours: bool) -> Self {
        Outbox {
            frames: Burst::new(),
            bytes: 0,
            ours,
        }
    }
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Rewrites a frame and sends it.
    pub(super) fn emit(
        &mut self,
        mut frame: P::Frame,
        entered: &Entered,
        edit: &Edit,
        egress: Egress,
    ) {
        if let Err(reason) = self.prepare(&mut frame, entered, edit) {
            return self.counters.dropped(reason);
        }
        match egress {
            Egress::Device { .. } => self.emit_device(frame, egress),
            Egress::Tunnel { .. } => {
                let headers = &entered.headers;
                let tos = headers.ip().map_or(0, |ip| edit.tos.unwrap_or(ip.tos));
                let hash = flow_hash(headers);
                self.emit_tunnel(frame, hash, tos, egress);
            }
        }
    }

    /// Sends a rewritten frame out of a device.
    fn emit_device(&mut self, mut frame: P::Frame, egress: Egress) {
        let Egress::Device { device, vlan, port } = egress else {
            return;
        };
        self.count_exit(port, frame.data().len() as u64);
        let fate = match vlan {
            None => Fate::Leaves(device),
            Some(vlan) => self.tag(&mut frame, vlan, device),
        };
        if fate != Fate::Dropped {
            self.send(device, frame);
        }
    }

    /// Counts a frame of so many bytes at the port it came in by.
    #[inline]
    pub(super) fn count_entry(&mut self, port: PortId, bytes: u16) {
        self.received.add(port, bytes.into(), |port, traffic| {
            self.counters.port_rx(port, traffic);
        });
    }

    /// Counts a frame at the port it leaves by.
    #[inline]
    pub(super) fn count_exit(&mut self, port: PortId, bytes: u64) {
        self.sent.add(port, bytes, |port, traffic| {
            self.counters.port_tx(port, traffic);
        });
    }

    /// Puts the VLAN tag into a frame that leaves by a device.
    pub(super) fn tag(&mut self, frame: &mut P::Frame, vlan: u16, device: DeviceId) -> Fate {
        match push_tag(frame, vlan) {
            Ok(()) => Fate::Leaves(device),
            Err(reason) => {
                self.counters.dropped(reason);
                Fate::Dropped
            }
        }
    }

    fn prepare(
        &self,
        frame: &mut P::Frame,
        entered: &Entered,
        edit: &Edit,
    ) -> Result<(), DropReason> {
        if entered.inner > 0 {
            // What follows the outer packet is no part of the inner one.
            frame.truncate(usize::from(entered.inner) + usize::from(entered.len));
            if !frame.pull(usize::from(entered.inner)) {
                return Err(DropReason::MalformedL2);
            }
        }
        if rewrite::is_beyond_repair(&entered.headers, edit) {
            return Err(DropReason::NatFragment);
        }
        rewrite::apply(frame.data_mut(), &entered.headers, edit).ok_or(DropReason::MalformedL2)?;
        if entered.headers.vlan.is_some() {
            pull_tag(frame).ok_or(DropReason::MalformedL2)?;
        }
        Ok(())
    }

    /// Puts outer headers before a rewritten frame and sends it. `hash` is that of the flow as it came in, `tos` that of
    /// the packet as it leaves.
    fn emit_tunnel(&mut self, mut frame: P::Frame, hash: u32, tos: u8, egress: Egress) {
        let Egress::Tunnel { tunnel, vni, keys } = egress else {
            return;
        };
        let tables = self.tables.tables();
        let (Some(underlay), Some(tunnel)) = (&tables.underlay, tables.tunnel(tunnel)) else {
            return self.counters.dropped(DropReason::InjectStale);
        };
        let Some((_, mac)) = self
            .learned
            .neighbors
            .resolve(UNDERLAY_PORT, tunnel.next_hop.into())
        else {
            return self.counters.dropped(DropReason::NeighborFailed);
        };
        let head = Head::new(underlay, tunnel, mac, vni, keys);
        match head.push(&mut frame, hash, tos) {
            Ok(()) => self.send(head.device(), frame),
            Err(reason) => self.counters.dropped(reason),
        }
    }

    /// Puts a finished frame into the device's buffer, or hands it to the worker that can send there.
    #[inline]
    pub(super) fn send(&mut self, device: DeviceId, frame: P::Frame) {
        let Some(outbox) = self.out.get_mut(device.index()) else {
            return self.counters.dropped(DropReason::TxFull);
        };
        if !outbox.ours {
            return self.send_by_another(device, frame);
        }
        outbox.bytes += frame.data().len() as u64;
        outbox.frames.push(frame);
        if outbox.frames.is_full() {
            self.flush_device(device);
        }
    }

    /// Puts finished frames into the device's buffer, as [`Worker::send`] does.
    pub(super) fn send_all(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>) {
        match self.out.get_mut(device.index()) {
            Some(outbox) if outbox.ours && outbox.frames.is_empty() => {
                outbox.bytes = frames.iter().map(|frame| frame.data().len() as u64).sum();
                std::mem::swap(&mut outbox.frames, frames);
                if outbox.frames.is_full() {
                    self.flush_device(device);
                }
            }
            _ => {
                for frame in frames.drain(..) {
                    self.send(device, frame);
                }
            }
        }
    }

    #[cold]
    fn send_by_another(&mut self, device: DeviceId, frame: P::Frame) {
        let to = self
            .tx_workers
            .get(device.index())
            .copied()
            .filter(|&worker| worker != self.id);
        let Some(worker) = to else {
            return self.counters.dropped(DropReason::TxFull);
        };
        self.counters.count(Work::TxHandOff, 1);
        self.hand(worker, frame, HandedTo::Transmit(device));
    }

    /// Sends all buffers, and writes what was counted at ports.
    pub(super) fn flush(&mut self) {
        self.received
            .end(|port, traffic| self.counters.port_rx(port, traffic));
        self.sent
            .end(|port, traffic| self.counters.port_tx(port, traffic));
        for device in 0..self.devices {
            self.flush_device(DeviceId(device));
        }
    }

    fn flush_device(&mut self, device: DeviceId) {
        let Some(Outbox { frames, bytes, .. }) = self.out.get_mut(device.index()) else {
            return;
        };
        // A driver may take less than a whole burst at a time; as long as it takes some, go on.
        while !frames.is_empty() {
            let sent = self.ports.tx_burst(device, frames);
            let left: u64 = frames.iter().map(|frame| frame.data().len() as u64).sum();
            self.counters.device_tx(device, sent as u64, *bytes - left);
            *bytes = left;
            if sent == 0 {
                break;
            }
        }
        *bytes = 0;
        for _ in frames.drain(..) {
            self.counters.dropped(DropReason::TxFull);
        }
    }

    /// Gives a frame to the worker that owns its connection.
    pub(super) fn hand_over(&mut self, owner: WorkerId, frame: P::Frame, to: HandedTo) {
        self.counters.count(Work::HandOff, 1);
        self.hand(owner, frame, to);
    }

    fn hand(&mut self, worker: WorkerId, frame: P::Frame, to: HandedTo) {
        let taken = match self.exchanges.get(usize::from(worker.0)) {
            Some(exchange) => exchange.hand_over(HandedOff { frame, to }).is_ok(),
            None => false,
        };
        if !taken {
            self.counters.dropped(DropReason::HandOffFull);
        }
    }

    /// A copy, rewritten, to every member of the flood but the one it came from.
    pub(super) fn flood(&mut self, frame: &P::Frame, entered: &Entered, edit: &Edit, flood: Flood) {
        let tables = Arc::clone(self.tables.tables());
        let members = tables.switch(flood.switch).and_then(|(piece, switch)| {
            let members = switch.members(flood.domain, flood.audience)?;
            Some((piece.vni, switch, members))
        });
        let Some((vni, switch, members)) = members else {
            return self.counters.dropped(DropReason::InjectStale);
        };
        let mut copies = 0;
        for member in members {
            let egress = match *member {
                FloodMember::Device { port, .. } if Some(port) == flood.except => continue,
                FloodMember::Device { port, device, vlan } => Egress::Device { device, vlan, port },
                FloodMember::Chassis { .. } if flood.local_only => continue,
                FloodMember::Chassis { tunnel, group } => Egress::Tunnel {
                    tunnel,
                    vni,
                    keys: group.map(|group| (flood.in_key, group)),
                },
            };
            copies += 1;
            if switch.acls.is_some()
                && let Err(reason) = self.may_leave(&tables, switch, entered, &flood, egress)
            {
                self.counters.dropped(reason);
                continue;
            }
            if !fits(&tables, entered, egress) {
                self.counters.dropped(DropReason::TunnelMtu);
                continue;
            }
            if self.flood_budget == 0 {
                self.counters.dropped(DropReason::FloodBudget);
                continue;
            }
            self.flood_budget -= 1;
            match self.pool.alloc(frame.data()) {
                Some(copy) => self.emit(copy, entered, edit, egress),
                None => self.counters.dropped(DropReason::NoBuffer),
            }
        }
        if copies == 0 {
            return self.counters.dropped(DropReason::FloodEmpty);
        }
        self.counters.count(Work::Flood, 1);
        self.counters.count(Work::Copy, copies);
    }

    /// What the ACLs of the switch say of a copy that leaves by one of its ports. The sender is not told of a copy.
    #[cold]
    fn may_leave(
        &self,
        tables: &Tables,
        switch: &Switch,
        entered: &Entered,
        flood: &Flood,
        egress: Egress,
    ) -> Result<(), DropReason> {
        let (Egress::Device { port, .. }, Some(acls)) = (egress, &switch.acls) else {
            return Ok(());
        };
        let seat = |port| tables.switch_port(port).map(|(_, _, port)| port);
        let (from, to) = (flood.except.and_then(seat), seat(port));
        if matches!(entered.entry, Entry::Owner(_)) {
            return Ok(());
        }
        let to_lport = AclDirection::ToLport;
        let Some(decision) = acl::decide(switch, to_lport, from, to, &entered.headers) else {
            return Ok(());
        };
        acls.count(decision);
        self.log(acls, flood.switch, decision, &entered.headers);
        match acl::admit(decision) {
            Break(Verdict::Drop(reason)) => Err(reason),
            _ => Ok(()),
        }
    }
}

/// The frame is not larger than the tunnel carries.
fn fits(tables: &Tables, entered: &Entered, egress: Egress) -> bool {
    let Egress::Tunnel { tunnel, .. } = egress else {
        return true;
    };
    let bytes = entered.packet_len();
    tables
        .tunnel(tunnel)
        .is_some_and(|tunnel| bytes <= tunnel.inner_mtu)
}

/// Takes the 802.1Q tag out of a frame.
fn pull_tag<F: Frame>(frame: &mut F) -> Option<()> {
    let macs = *frame.data().first_chunk::<12>()?;
    if !frame.pull(4) {
        return None;
    }
    *frame.data_mut().first_chunk_mut::<12>()? = macs;
    Some(())
}

/// Puts an 802.1Q tag into an untagged frame.
fn push_tag<F: Frame>(frame: &mut F, vlan: u16) -> Result<(), DropReason> {
    let write = |frame: &mut F| {
        let macs = *frame.data().first_chunk::<12>()?;
        frame.push(4)?;
        let header = frame.data_mut().first_chunk_mut::<16>()?;
        header[..12].copy_from_slice(&macs);
        header[12..14].copy_from_slice(&[0x81, 0x00]);
        header[14..].copy_from_slice(&vlan.to_be_bytes());
        Some(())
    };
    write(frame).ok_or(DropReason::NoHeadroom)
}
