//! What this node is and has, as the compiler sees it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use sluice_fastpath::io::DeviceId;
use sluice_net::Mac;

use crate::config::{self, Node};
use crate::topology::{Place, Problem};

/// This node: its name, its devices with their real MACs, and what is bound to them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Its chassis name in the topology.
    pub chassis: String,
    /// Its devices, in the order of [`DeviceId`].
    pub devices: Vec<DeviceView>,
    /// Logical switch ports bound here (OVS's `external_ids:iface-id`), and the device of each.
    pub iface_id: BTreeMap<String, DeviceId>,
    /// Physical networks, and the device that each is reached by.
    pub bridge_mappings: BTreeMap<String, DeviceId>,
    /// This node's tunnel end; `None` on a node without tunnels.
    pub underlay: Option<UnderlayView>,
}

/// A device of this node.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceView {
    /// Name of the interface in the node file.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// Largest IP packet, in bytes, that it carries.
    pub mtu: u16,
}

/// This node's tunnel end.
#[derive(Clone, Debug, PartialEq)]
pub struct UnderlayView {
    /// The device it is on.
    pub device: DeviceId,
    /// 802.1Q VLAN of the underlay, 1 to 4094.
    pub vlan: Option<u16>,
    /// Tunnel address and the network on the link.
    pub address: Ipv4Net,
    /// Next hop towards chassis off the link.
    pub gateway: Option<Ipv4Addr>,
    /// Largest IP packet, in bytes, that the underlay carries.
    pub mtu: u16,
}

impl NodeView {
    /// The view of a node file. Devices are numbered in the order of the interfaces' names; `mac` gives the
    /// MAC of an interface's device.
    ///
    /// # Errors
    /// What the node file asks for and this version does not do.
    pub fn new(node: &Node, mac: impl Fn(&str) -> Mac) -> Result<Self, Vec<Problem>> {
        let ids: BTreeMap<&str, DeviceId> = node
            .interfaces
            .keys()
            .map(String::as_str)
            .zip((0..).map(DeviceId))
            .collect();
        let devices = node.interfaces.iter().map(|(name, interface)| DeviceView {
            name: name.clone(),
            mac: mac(name),
            mtu: interface.mtu,
        });
        let bound = node.interfaces.iter().filter_map(|(name, interface)| {
            Some((interface.iface_id.clone()?, *ids.get(name.as_str())?))
        });
        let mapped = node
            .bridge_mappings
            .iter()
            .filter_map(|(network, interface)| {
                Some((network.clone(), *ids.get(interface.as_str())?))
            });
        Ok(Self {
            chassis: node.chassis.clone(),
            devices: devices.collect(),
            iface_id: bound.collect(),
            bridge_mappings: mapped.collect(),
            underlay: node
                .underlay
                .as_ref()
                .map(|underlay| UnderlayView::new(underlay, &ids))
                .transpose()?,
        })
    }

    /// The device with this index.
    pub fn device(&self, id: DeviceId) -> Option<&DeviceView> {
        self.devices.get(id.index())
    }
}

impl UnderlayView {
    fn new(
        underlay: &config::Underlay,
        ids: &BTreeMap<&str, DeviceId>,
    ) -> Result<Self, Vec<Problem>> {
        let unsupported = |key: &str| {
            let problem = Problem::new(
                Place::at(["underlay", key]),
                "tunnels over IPv6 are not supported",
            );
            vec![problem.mend("give an IPv4 address")]
        };
        let IpNet::V4(address) = underlay.address else {
            return Err(unsupported("address"));
        };
        let gateway = match underlay.gateway {
            Some(IpAddr::V4(gateway)) => Some(gateway),
            Some(IpAddr::V6(_)) => return Err(unsupported("gateway")),
            None => None,
        };
        let Some(device) = ids.get(underlay.interface.as_str()) else {
            let message = format!("there is no interface `{}`", underlay.interface);
            return Err(vec![Problem::new(
                Place::at(["underlay", "interface"]),
                message,
            )]);
        };
        Ok(Self {
            device: *device,
            vlan: underlay.vlan,
            address,
            gateway,
            mtu: underlay.mtu,
        })
    }
}
