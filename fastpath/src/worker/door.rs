//! What frames of a device's VLAN, or with certain tunnel keys, enter; kept from packet to packet.

use super::memory::mix;
use crate::glance::Origin;
use crate::ids::{PortId, Zone};
use crate::io::DeviceId;
use crate::path::{Gate, Gates};
use crate::stage::enter::{self, Entry};
use crate::tables::{DeviceEntry, Tables};

/// Doors kept for each device, by VLAN, and for tunnels, by key; powers of two.
const VLANS: usize = 64;
const KEYS: usize = 4096;

/// Where packets enter, and what all of them have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Door {
    /// The entry, by number.
    pub(super) gate: Gate,
    /// Zone of their connections.
    pub(super) zone: Zone,
    /// The port that counts them.
    pub(super) port: Option<PortId>,
    /// The source MAC matters: for port security, for learning, or to tell ports apart.
    pub(super) minds_source: bool,
}

/// What is behind a device and VLAN.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind {
    /// A port.
    Door(Door),
    /// The underlay.
    Underlay,
}

/// The doors of a generation that have been passed.
#[derive(Debug)]
pub(super) struct Doors {
    devices: Vec<[Option<(u16, Behind)>; VLANS]>,
    tunnels: Box<[Option<(Origin, Door)>]>,
    gates: Gates,
}

impl Doors {
    pub(super) fn new(devices: u16) -> Self {
        Doors {
            devices: vec![[None; VLANS]; usize::from(devices)],
            tunnels: vec![None; KEYS].into(),
            gates: Gates::default(),
        }
    }

    /// Another generation: everything may enter elsewhere.
    pub(super) fn close(&mut self) {
        self.devices.fill([None; VLANS]);
        self.tunnels.fill(None);
        self.gates.clear();
    }

    /// The entries that packets came by.
    #[inline]
    pub(super) fn gates(&self) -> &Gates {
        &self.gates
    }

    /// What is behind a device and VLAN, 0 for none.
    #[inline]
    pub(super) fn device(
        &mut self,
        tables: &Tables,
        device: DeviceId,
        vlan: u16,
    ) -> Option<Behind> {
        let (index, slot) = (device.index(), usize::from(vlan) % VLANS);
        match self.devices.get(index)?.get(slot)? {
            Some((held, behind)) if *held == vlan => Some(*behind),
            _ => self.open_device(tables, device, vlan),
        }
    }

    #[cold]
    fn open_device(&mut self, tables: &Tables, device: DeviceId, vlan: u16) -> Option<Behind> {
        let tag = (vlan != 0).then_some(vlan);
        let behind = match tables.devices.get(device.index())?.entry(tag)? {
            DeviceEntry::Port(port) => Behind::Door(self.open(tables, Entry::Port(port))),
            DeviceEntry::Underlay => Behind::Underlay,
        };
        let slots = self.devices.get_mut(device.index())?;
        *slots.get_mut(usize::from(vlan) % VLANS)? = Some((vlan, behind));
        Some(behind)
    }

    /// What tunnel keys of a peer enter; `None` when they are refused.
    #[inline]
    pub(super) fn tunnel(&mut self, tables: &Tables, origin: Origin) -> Option<&Door> {
        let (peer, keys) = origin.words();
        let index = mix(peer, keys) as usize % KEYS;
        let held = self.tunnels.get(index)?;
        if held.as_ref().is_none_or(|(held, _)| *held != origin) {
            self.open_tunnel(tables, origin, index)?;
        }
        let (_, door) = self.tunnels.get(index)?.as_ref()?;
        Some(door)
    }

    #[cold]
    fn open_tunnel(&mut self, tables: &Tables, origin: Origin, index: usize) -> Option<()> {
        let tunnel = *tables.peers.get(&(origin.kind(), origin.src()))?;
        let entry = enter::resolve_keys(tables, tunnel, origin.vni(), origin.keys());
        let door = self.open(tables, entry.continue_value()?);
        *self.tunnels.get_mut(index)? = Some((origin, door));
        Some(())
    }

    fn open(&mut self, tables: &Tables, entry: Entry) -> Door {
        let gate = self.gates.open(entry);
        let port = match entry {
            Entry::Port(port) => Some(port),
            _ => None,
        };
        let minds_source = match entry {
            // The sender has decided.
            Entry::Keyed { .. } => false,
            Entry::Port(port) => tables
                .switch_port(port)
                .is_none_or(|(_, _, port)| port.security.is_some() || port.learning),
            _ => true,
        };
        Door {
            gate,
            zone: enter::zone(tables, &entry),
            port,
            minds_source,
        }
    }
}
