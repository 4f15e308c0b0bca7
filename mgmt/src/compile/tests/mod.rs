//! Compiled tables, read back by name.

mod acl;
mod component;
mod links;
mod networks;
mod places;
mod properties;
mod reload;
mod routes;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::{
    DeviceEntry, FloodMember, Piece, Place, RouteSource, Router, RouterPort, Switch, SwitchPort,
    Tables,
};
use sluice_net::Mac;

use super::{Compiler, DeviceView, NodeView, UnderlayView};
use crate::config::{Host, load_on, parse_topology};
use crate::topology::{Problem, Resolved};

/// The MAC of every device in these tests.
const DEVICE_MAC: Mac = Mac([0x0e, 0, 0, 0, 0, 1]);

/// A node of the reference networks.
fn reference(network: &str, node: &str) -> (Resolved, NodeView) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let file = root.join(network).join(format!("{node}.toml"));
    let host = Host {
        cpus: (0..8).collect(),
    };
    let loaded = load_on(&file, &host).unwrap_or_else(|errors| panic!("{errors}"));
    let view = NodeView::new(&loaded.node, |_| DEVICE_MAC).unwrap();
    (loaded.topology, view)
}

/// The tables of a node of the reference networks.
fn reference_tables(network: &str, node: &str) -> Built {
    let (resolved, view) = reference(network, node);
    build(&resolved, &view)
}

fn topology(text: &str) -> Resolved {
    parse_topology("topology.toml", text, Path::new("."))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// A node with the devices `eth0` (the underlay), `eth1` and `vm`, with nothing bound to the last two.
fn node(chassis: &str, underlay: Option<&str>) -> NodeView {
    let device = |name: &str| DeviceView {
        name: name.to_owned(),
        mac: DEVICE_MAC,
        mtu: 1500,
    };
    NodeView {
        chassis: chassis.to_owned(),
        devices: ["eth0", "eth1", "vm"].map(device).into(),
        underlay: underlay.map(|address| UnderlayView {
            device: DeviceId(0),
            vlan: None,
            address: address.parse().unwrap(),
            gateway: None,
            mtu: 1600,
        }),
        ..NodeView::default()
    }
}

impl NodeView {
    /// With a VIF on the device `vm`.
    fn bind(mut self, port: &str) -> Self {
        self.iface_id.insert(port.to_owned(), DeviceId(2));
        self
    }

    /// With a physical network on the device `eth1`.
    fn map(mut self, network: &str) -> Self {
        self.bridge_mappings.insert(network.to_owned(), DeviceId(1));
        self
    }
}

fn build(resolved: &Resolved, view: &NodeView) -> Built {
    let mut compiler = Compiler::new();
    let compiled = compiler
        .compile(resolved, view)
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let warnings = compiled.changes.warnings.clone();
    let tables = compiler.commit(compiled);
    Built { tables, warnings }
}

fn refused(resolved: &Resolved, view: &NodeView) -> Vec<Problem> {
    Compiler::new()
        .compile(resolved, view)
        .expect_err("to be refused")
}

/// Tables, asked by name.
struct Built {
    tables: std::sync::Arc<Tables>,
    warnings: Vec<String>,
}

impl Built {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.tables.datapaths.iter().flatten().map(|piece| &**piece)
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.pieces().map(|piece| piece.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    fn switch(&self, name: &str) -> &Switch {
        let mut switches = self.pieces().filter(|piece| piece.name == name);
        switches
            .find_map(|piece| self.tables.switch(piece.id))
            .expect(name)
            .1
    }

    fn router(&self, name: &str) -> &Router {
        let mut routers = self.pieces().filter(|piece| piece.name == name);
        routers
            .find_map(|piece| self.tables.router(piece.id))
            .expect(name)
            .1
    }

    fn port(&self, name: &str) -> &SwitchPort {
        let mut ports = self
            .pieces()
            .filter_map(|piece| self.tables.switch(piece.id));
        ports
            .find_map(|(_, switch)| switch.ports.iter().find(|port| port.name == name))
            .expect(name)
    }

    fn router_port(&self, name: &str) -> &RouterPort {
        let mut ports = self
            .pieces()
            .filter_map(|piece| self.tables.router(piece.id));
        ports
            .find_map(|(_, router)| router.ports.iter().find(|port| port.name == name))
            .expect(name)
    }

    fn device(&self, id: DeviceId, vlan: Option<u16>) -> String {
        let name = &self.tables.devices[id.index()].name;
        vlan.map_or(name.clone(), |vlan| format!("{name}.{vlan}"))
    }

    fn chassis(&self, id: TunnelId) -> &str {
        &self.tables.tunnel(id).expect("a tunnel").chassis
    }

    fn place(&self, port: &str) -> String {
        match self.port(port).place {
            Place::Unbound => "unbound".to_owned(),
            Place::Device { device, vlan } => format!("device {}", self.device(device, vlan)),
            Place::Chassis(tunnel) => format!("chassis {}", self.chassis(tunnel)),
            Place::Router(id) => format!("router {}", self.tables.port_name(id)),
            Place::Gateway { port, .. } => format!("gateway {}", self.tables.port_name(port)),
        }
    }

    /// Places of all ports of a switch, by name.
    fn places(&self, switch: &str) -> BTreeMap<&str, String> {
        let ports = self.switch(switch).ports.iter();
        ports
            .map(|port| (port.name.as_str(), self.place(&port.name)))
            .collect()
    }

    fn members(&self, members: &[FloodMember]) -> Vec<String> {
        let member = |member: &FloodMember| match *member {
            FloodMember::Device { port, device, vlan } => {
                format!(
                    "{} by {}",
                    self.tables.port_name(port),
                    self.device(device, vlan)
                )
            }
            FloodMember::Chassis { tunnel, group } => match group {
                Some(group) => format!("{} group {group}", self.chassis(tunnel)),
                None => self.chassis(tunnel).to_owned(),
            },
        };
        members.iter().map(member).collect()
    }

    /// Who gets a broadcast, and a frame to an unknown MAC.
    fn floods(&self, switch: &str, vlan: u16) -> (Vec<String>, Vec<String>) {
        let domains = &self.switch(switch).domains;
        let domain = domains
            .iter()
            .find(|domain| domain.vlan == vlan)
            .expect("a domain");
        (self.members(&domain.flood), self.members(&domain.unknown))
    }

    /// Who else runs the routers of a switch.
    fn routers_at(&self, switch: &str) -> Vec<String> {
        self.members(&self.switch(switch).routers_at)
    }

    /// The route of a packet, in words.
    fn route(&self, router: &str, src: &str, dst: &str) -> String {
        let router = self.router(router);
        let Some((_, route)) = router.route(ip(src), ip(dst)) else {
            return "none".to_owned();
        };
        let source = match route.source {
            RouteSource::Connected => "connected",
            RouteSource::Static => "static",
            RouteSource::StaticBySource => "by source",
        };
        let Some(group) = route.group else {
            return format!("{} discard", route.prefix);
        };
        let hops = router.routing.hops(group).iter().map(|hop| {
            let port = &router.ports[usize::from(hop.port)].name;
            hop.via
                .map_or(port.clone(), |via| format!("{port} via {via}"))
        });
        format!(
            "{} {source} {}",
            route.prefix,
            hops.collect::<Vec<_>>().join(" | ")
        )
    }

    /// The port that answers for an address, and its MAC.
    fn known(&self, switch: &str, address: &str) -> Option<(&str, Mac)> {
        let switch = self.switch(switch);
        let known = switch.known.get(&ip(address))?;
        Some((&switch.ports[usize::from(known.port)].name, known.mac))
    }

    /// What enters by a device: VLAN and what it is.
    fn entries(&self, device: &str) -> Vec<(Option<u16>, &str)> {
        let device = self
            .tables
            .devices
            .iter()
            .find(|entry| entry.name == device)
            .expect(device);
        let entry = |(vlan, entry): &(Option<u16>, DeviceEntry)| match entry {
            DeviceEntry::Port(id) => (*vlan, self.tables.port_name(*id)),
            DeviceEntry::Underlay => (*vlan, "underlay"),
        };
        device.entries.iter().map(entry).collect()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).into()
}
