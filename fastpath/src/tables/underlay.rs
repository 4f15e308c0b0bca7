//! What enters by a device, and the ends of tunnels.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sluice_net::Mac;

use crate::ids::PortId;
use crate::io::DeviceId;

/// The key under which underlay next hops stand in the neighbor table.
pub const UNDERLAY_PORT: PortId = PortId(u32::MAX);

/// What a device is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// Name of the interface in the node file.
    pub name: String,
    /// Meaning of frames by VLAN: few entries, searched in order.
    pub entries: Vec<(Option<u16>, DeviceEntry)>,
}

/// What a frame of a device and VLAN enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEntry {
    /// A switch port: a VIF bound here or a localnet.
    Port(PortId),
    /// The underlay.
    Underlay,
}

impl Device {
    /// What a frame with this VLAN enters.
    #[inline]
    pub fn entry(&self, vlan: Option<u16>) -> Option<DeviceEntry> {
        self.entries
            .iter()
            .find(|(tag, _)| *tag == vlan)
            .map(|(_, entry)| *entry)
    }
}

/// Encapsulation on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EncapKind {
    /// RFC 8926.
    Geneve,
    /// RFC 7348.
    Vxlan,
}

/// This node's tunnel end.
#[derive(Clone, Debug, PartialEq)]
pub struct Underlay {
    /// The device it is on.
    pub device: DeviceId,
    /// 802.1Q VLAN of the underlay.
    pub vlan: Option<u16>,
    /// MAC of the device.
    pub mac: Mac,
    /// Tunnel address and the network on the link.
    pub address: Ipv4Net,
    /// Next hop towards peers off the link.
    pub gateway: Option<Ipv4Addr>,
    /// Bytes of IP that the underlay carries.
    pub mtu: u16,
    /// UDP port Geneve is received on.
    pub geneve_port: u16,
    /// UDP port VXLAN is received on.
    pub vxlan_port: u16,
}

/// Another chassis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunnel {
    /// Name of the chassis.
    pub chassis: String,
    /// Encapsulation.
    pub kind: EncapKind,
    /// Its tunnel address.
    pub remote: Ipv4Addr,
    /// UDP port it listens on.
    pub port: u16,
    /// Logical port keys travel with each packet (OVN's Geneve option).
    pub port_keys: bool,
    /// Fill the outer UDP checksum.
    pub checksum: bool,
    /// Underlay next hop: the peer itself or the gateway.
    pub next_hop: Ipv4Addr,
    /// Bytes of inner IP packet that fit.
    pub inner_mtu: u16,
}

impl Tunnel {
    /// Bytes put before the inner Ethernet frame from the outer IP header on.
    pub const fn overhead(kind: EncapKind, port_keys: bool) -> u16 {
        match (kind, port_keys) {
            (EncapKind::Geneve, true) => 20 + 8 + 16,
            (EncapKind::Geneve, false) | (EncapKind::Vxlan, _) => 20 + 8 + 8,
        }
    }
}
