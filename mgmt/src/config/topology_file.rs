//! The topology file: chassis and switches. Routers, load balancers and ACLs are next door.

use std::path::Path;

use sluice_net::ids::{PortKey, Vni};

use super::acl_file;
use super::balancer_file::{LOAD_BALANCER, load_balancer};
use super::router_file::{self, FileRoutes};
use super::section::{Findings, Section};
use super::values::AddressRange;
use crate::topology::{Chassis, Encap, EncapKind, Switch, SwitchPort, SwitchPortKind, Topology};
use toml::de::DeTable;

const ROOT: &[&str] = &[
    "chassis",
    "switch",
    "router",
    "load_balancer",
    "port_group",
    "address_set",
    "default_acl_drop",
];
/// Rules of a switch or a port group.
pub(super) const ACL_LIST: &str = "acl";
const CHASSIS: &[&str] = &["encap"];
const ENCAP: &[&str] = &["type", "ip", "port", "port_keys", "checksum"];
const SWITCH: &[&str] = &[
    "key",
    "subnet",
    "exclude_ips",
    "mac_limit",
    "mac_age",
    "load_balancers",
    "port",
    ACL_LIST,
];
const SWITCH_PORT: &[&str] = &[
    "type",
    "addresses",
    "port_security",
    "chassis",
    "key",
    "router_port",
    "network",
    "tag",
    "vlan",
    "enabled",
];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[ROOT, CHASSIS, ENCAP, SWITCH, SWITCH_PORT];

/// Most MACs a switch may be allowed to learn.
const LARGEST_MAC_LIMIT: u64 = 1 << 24;
/// A day, the longest a learned MAC may be kept.
const LONGEST_MAC_AGE: u64 = 86_400;

/// What a topology file says, with the routes that came from further files.
pub(super) struct TopologyFile {
    pub topology: Topology,
    pub routes: Vec<FileRoutes>,
}

/// Reads the tables of a topology file; `directory` is where its routes files are.
pub(super) fn read<'d>(
    table: &'d DeTable<'d>,
    source: usize,
    directory: &Path,
    findings: &Findings<'d>,
) -> TopologyFile {
    let root = Section::root(table, source, ROOT, findings);
    let mut topology = Topology::default();
    for (name, section) in root.named("chassis", "a chassis", CHASSIS) {
        topology.chassis.insert(name.to_owned(), chassis(section));
    }
    for (name, section) in root.named("switch", "a switch", SWITCH) {
        topology.switches.insert(name.to_owned(), switch(section));
    }
    let balancers = root.named("load_balancer", "a load balancer", LOAD_BALANCER);
    for (name, section) in balancers {
        let balancer = load_balancer(section);
        topology.load_balancers.insert(name.to_owned(), balancer);
    }
    let mut routes = Vec::new();
    for (name, section) in root.named("router", "a router", router_file::ROUTER) {
        let (router, from_file) = router_file::router(name, section, directory);
        topology.routers.insert(name.to_owned(), router);
        routes.extend(from_file);
    }
    for (name, section) in root.named("port_group", "a port group", acl_file::PORT_GROUP) {
        let group = acl_file::port_group(section);
        topology.port_groups.insert(name.to_owned(), group);
    }
    for (name, section) in root.named("address_set", "an address set", acl_file::ADDRESS_SET) {
        let addresses = acl_file::address_set(section);
        topology.address_sets.insert(name.to_owned(), addresses);
    }
    topology.default_acl_drop = root.flag("default_acl_drop", false);
    TopologyFile { topology, routes }
}

fn chassis(section: Section<'_, '_>) -> Chassis {
    section.require("encap", "{ type = \"geneve\", ip = \"172.16.0.1\" }");
    let encaps = section.one_or_more("encap", "an encap", ENCAP);
    Chassis {
        encaps: encaps.into_iter().filter_map(encap).collect(),
    }
}

fn encap(section: Section<'_, '_>) -> Option<Encap> {
    section.require("type", "\"geneve\"");
    section.require("ip", "\"172.16.0.1\"");
    let words = [EncapKind::Geneve, EncapKind::Vxlan].map(|kind| (kind.name(), kind));
    let kind = section.choice("type", &words);
    if kind == Some(EncapKind::Vxlan) {
        section.refuse(&["port_keys"], "VXLAN has no room for them");
    }
    let port = section.number("port", 1..=65535);
    let port_keys = section.flag("port_keys", kind == Some(EncapKind::Geneve));
    let checksum = section.flag("checksum", true);
    Some(Encap {
        kind: kind?,
        ip: section.value("ip")?,
        port,
        port_keys,
        checksum,
    })
}

/// The datapath key of a switch or router.
pub(super) fn datapath_key(section: Section<'_, '_>) -> Option<Vni> {
    Vni::new(section.number("key", 1..=u64::from(Vni::MAX))?)
}

/// A port key.
pub(super) fn port_key(section: Section<'_, '_>, key: &str) -> Option<PortKey> {
    PortKey::new(section.number(key, 1..=u64::from(PortKey::MAX))?)
}

fn switch(section: Section<'_, '_>) -> Switch {
    let exclude_ips = section.list::<AddressRange>("exclude_ips");
    let ports = section.named("port", "a switch port", SWITCH_PORT);
    Switch {
        key: datapath_key(section),
        subnet: section.value("subnet"),
        exclude_ips: exclude_ips.into_iter().map(|range| range.0).collect(),
        ports: ports
            .map(|(name, section)| (name.to_owned(), switch_port(section)))
            .collect(),
        mac_limit: section.number("mac_limit", 1..=LARGEST_MAC_LIMIT),
        mac_age_seconds: section.number("mac_age", 1..=LONGEST_MAC_AGE),
        load_balancers: section.list("load_balancers"),
        acls: acl_file::acls(section),
    }
}

#[derive(Clone, Copy)]
enum PortType {
    Vif,
    Router,
    Localnet,
}

fn switch_port(section: Section<'_, '_>) -> SwitchPort {
    let words = [
        ("vif", PortType::Vif),
        ("router", PortType::Router),
        ("localnet", PortType::Localnet),
    ];
    let kind = if section.has("type") {
        section.choice("type", &words)
    } else {
        Some(PortType::Vif)
    };
    let tag = section.number("tag", 1..=4094);
    // The semantic checks know what a misread type does not have; a VIF has least to miss.
    let kind = match kind {
        Some(PortType::Router) => {
            section.require("router_port", "\"the port's name\"");
            section.refuse(&["network", "tag"], "only a port of type localnet has it");
            let router_port = section.value("router_port");
            router_port.map(|router_port| SwitchPortKind::Router { router_port })
        }
        Some(PortType::Localnet) => {
            section.require("network", "\"a name of the nodes' bridge_mappings\"");
            section.refuse(&["router_port"], "only a port of type router has it");
            let network = section.value("network");
            network.map(|network| SwitchPortKind::Localnet { network, tag })
        }
        Some(PortType::Vif) => {
            section.refuse(&["router_port"], "only a port of type router has it");
            section.refuse(&["network", "tag"], "only a port of type localnet has it");
            None
        }
        None => None,
    };
    SwitchPort {
        key: port_key(section, "key"),
        kind: kind.unwrap_or(SwitchPortKind::Vif),
        addresses: section.list("addresses"),
        port_security: section.list("port_security"),
        chassis: section.value("chassis"),
        enabled: section.flag("enabled", true),
        vlan: section.number("vlan", 1..=4094),
    }
}
