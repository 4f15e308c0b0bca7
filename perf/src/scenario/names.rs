//! Addresses and files that scenarios have in common.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sluice_net::Mac;

use super::Place;

/// MACs of the devices.
pub const SIDE_MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 0xde, 0xa]), Mac([2, 0, 0, 0, 0xde, 0xb])];

/// MAC of the router's port towards a side.
pub(super) const ROUTER_MACS: [Mac; 2] =
    [Mac([2, 0, 0, 0, 0xf0, 0xa]), Mac([2, 0, 0, 0, 0xf0, 0xb])];

/// This node in the underlay.
pub(super) const NODE_IP: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);

/// Bytes of IP that the devices take: 1500 of tenants and the outer headers.
const MTU: u16 = 1700;

/// A station's MAC behind a side.
pub(super) fn station(side: usize, number: u32) -> Mac {
    Mac::from_u64(0x0200_000a_0000 + ((side as u64) << 16) + u64::from(number))
}

/// The other side.
pub(super) const fn other(side: usize) -> usize {
    1 - side
}

/// The chassis that peers with this node.
pub(super) fn chassis_ip(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(NODE_IP.to_bits() + 1 + number)
}

/// The MAC by which the rig answers for an underlay address.
pub fn chassis_mac(ip: Ipv4Addr) -> Mac {
    let [a, b, c, d] = ip.octets();
    Mac([2, 0xaa, a, b, c, d])
}

/// What an interface is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The VIF of the side's name.
    Vif,
    /// The localnet network of the side's name.
    Localnet,
    /// The underlay.
    Underlay,
}

/// The name of a side's interface, VIF or network.
pub(super) const SIDES: [&str; 2] = ["a", "b"];

/// The node file.
pub(super) fn node(place: &Place, uses: [Use; 2]) -> String {
    let mut text = format!(
        "chassis = \"node\"\ntopology = \"topology.toml\"\n\
         [dataplane]\nidle = \"poll\"\nhugepages = \"on\"\nworkers = {:?}\nconnections = {}\n",
        place.cpus, place.connections
    );
    let mut mappings = String::new();
    for ((name, number), side) in SIDES.into_iter().zip(0..).zip(uses) {
        let _ = write!(
            text,
            "[interface.{name}]\ndevice = \"net_null{number}\"\nmtu = {MTU}\n"
        );
        let _ = match side {
            Use::Vif => writeln!(text, "iface_id = \"{name}\""),
            Use::Localnet => writeln!(mappings, "{name} = \"{name}\""),
            Use::Underlay => Ok(()),
        };
    }
    if !mappings.is_empty() {
        let _ = write!(text, "[bridge_mappings]\n{mappings}");
    }
    for (name, side) in SIDES.into_iter().zip(uses) {
        if side == Use::Underlay {
            let _ = write!(
                text,
                "[underlay]\ninterface = \"{name}\"\naddress = \"{NODE_IP}/16\"\n"
            );
        }
    }
    text
}

/// The chassis of this node and of `peers` others.
pub(super) fn chassis(kind: &str, peers: u32) -> String {
    let mut text = format!("[chassis.node]\nencap = {{ type = \"{kind}\", ip = \"{NODE_IP}\" }}\n");
    for number in 0..peers {
        let ip = chassis_ip(number);
        let _ = write!(
            text,
            "[chassis.c{number}]\nencap = {{ type = \"{kind}\", ip = \"{ip}\" }}\n"
        );
    }
    text
}

/// A list of strings in TOML.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| format!("\"{item}\""))
        .collect();
    format!("[{}]", items.join(", "))
}

/// The chassis that peer with this node, with their MACs in the underlay.
pub fn peers(count: u32) -> impl Iterator<Item = (Ipv4Addr, Mac)> {
    (0..count).map(chassis_ip).map(|ip| (ip, chassis_mac(ip)))
}

/// This node's address in the underlay with its prefix length.
pub fn underlay_address() -> String {
    format!("{NODE_IP}/16")
}
