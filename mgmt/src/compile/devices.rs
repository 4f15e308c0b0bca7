//! What enters by each device of this node, by VLAN.

use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::{Device, DeviceEntry};

use super::View;
use super::reach::Owner;
use super::registry::Registry;
use crate::topology::{Attachment, Place, Problem};

/// Devices under construction.
struct Entries<'p> {
    devices: Vec<Device>,
    /// Who has each entry, for messages.
    holders: Vec<Vec<String>>,
    problems: &'p mut Vec<Problem>,
}

/// The devices in the order of their ids.
pub(super) fn compile(
    view: &View<'_>,
    registry: &mut Registry,
    problems: &mut Vec<Problem>,
) -> Vec<Device> {
    let named = view.node.devices.iter().map(|device| Device {
        name: device.name.clone(),
        entries: Vec::new(),
    });
    let devices: Vec<Device> = named.collect();
    let mut entries = Entries {
        holders: vec![Vec::new(); devices.len()],
        devices,
        problems,
    };
    if let Some(underlay) = &view.node.underlay {
        let place = Place::at(["chassis", &view.node.chassis, "encap"]);
        entries.add(
            underlay.device,
            underlay.vlan,
            DeviceEntry::Underlay,
            "the underlay",
            place,
        );
    }
    for (switch_name, switch) in &view.resolved.switches {
        let owner = Owner::Switch(switch_name);
        if !view.reach.contains(owner) {
            continue;
        }
        for (name, port) in &switch.ports {
            let (device, vlan, field) = match &port.attachment {
                Attachment::Vif => (view.node.iface_id.get(name), None, "type"),
                Attachment::Localnet { network, tag } => {
                    (view.node.bridge_mappings.get(network), *tag, "network")
                }
                Attachment::Router { .. } => continue,
            };
            if let Some(device) = device {
                let entry = DeviceEntry::Port(registry.port(owner, name));
                let place = Place::at(["switch", switch_name, "port", name, field]);
                entries.add(*device, vlan, entry, &format!("port `{name}`"), place);
            }
        }
    }
    for device in &mut entries.devices {
        device.entries.sort_by_key(|(vlan, _)| *vlan);
    }
    entries.devices
}

impl Entries<'_> {
    fn add(
        &mut self,
        id: DeviceId,
        vlan: Option<u16>,
        entry: DeviceEntry,
        who: &str,
        place: Place,
    ) {
        let Some((device, holders)) = self
            .devices
            .get_mut(id.index())
            .zip(self.holders.get_mut(id.index()))
        else {
            self.problems.push(Problem::new(
                place,
                format!("{who} is bound to a device this node does not have"),
            ));
            return;
        };
        if let Some(at) = device.entries.iter().position(|(other, _)| *other == vlan) {
            let other = holders.get(at).map_or("something else", String::as_str);
            let frames = vlan.map_or("untagged frames".to_owned(), |vlan| {
                format!("frames of VLAN {vlan}")
            });
            self.problems.push(
                Problem::new(
                    place,
                    format!(
                        "{frames} of interface `{}` are those of {other} and of {who}",
                        device.name
                    ),
                )
                .mend("give one of them another VLAN or another interface"),
            );
            return;
        }
        device.entries.push((vlan, entry));
        holders.push(who.to_owned());
    }
}
