//! The topology file: routers.

use std::path::Path;

use super::routes_file::{self, RouteLines};
use super::section::Section;
use super::topology_file::{datapath_key, port_key};
use super::values::{PortRange, Prefix};
use crate::topology::{
    Nat, NatFiltering, NatKind, NatMapping, Route, RoutePolicy, Router, RouterPort, SourceIps,
    StaticNeighbor,
};

pub(super) const ROUTER: &[&str] = &[
    "key",
    "chassis",
    "enabled",
    "routes_file",
    "load_balancers",
    "lb_force_snat_ip",
    "port",
    "nat",
    "route",
    "neighbor",
];
const ROUTER_PORT: &[&str] = &[
    "mac",
    "networks",
    "peer",
    "gateway_chassis",
    "gateway_mtu",
    "key",
    "redirect_key",
    "enabled",
];
const NAT: &[&str] = &[
    "type",
    "logical_ip",
    "external_ip",
    "external_port_range",
    "allowed_ext_ips",
    "exempted_ext_ips",
    "gateway_port",
    "mapping",
    "filtering",
    "port_parity",
    "stateless",
    "external_mac",
    "logical_port",
];
const ROUTE: &[&str] = &["ip_prefix", "nexthop", "output_port", "policy"];
const NEIGHBOR: &[&str] = &["port", "ip", "mac"];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[ROUTER, ROUTER_PORT, NAT, ROUTE, NEIGHBOR];

/// Which routes of a router came from a file.
pub(super) struct FileRoutes {
    pub router: String,
    /// How many of the router's routes come before them.
    pub inline: usize,
    pub lines: RouteLines,
}

pub(super) fn router(
    name: &str,
    section: Section<'_, '_>,
    directory: &Path,
) -> (Router, Option<FileRoutes>) {
    let force_router_ip = section.text("lb_force_snat_ip") == Some("router_ip");
    let ports = section.named("port", "a router port", ROUTER_PORT);
    let ports = ports
        .map(|(name, section)| (name.to_owned(), router_port(section)))
        .collect();
    let mut routes: Vec<Route> = section
        .tables("route", "a route", ROUTE)
        .filter_map(route)
        .collect();
    let inline = routes.len();
    let lines = section
        .value::<String>("routes_file")
        .map(|file| routes_file::read(&directory.join(&file), section, &mut routes));
    let router = Router {
        key: datapath_key(section),
        chassis: section.value("chassis"),
        enabled: section.flag("enabled", true),
        ports,
        routes: routes.into(),
        nat: section
            .tables("nat", "a nat rule", NAT)
            .filter_map(nat)
            .collect(),
        load_balancers: section.list("load_balancers"),
        lb_force_snat_ip: match force_router_ip {
            true => SourceIps::default(),
            false => section.value("lb_force_snat_ip").unwrap_or_default(),
        },
        lb_force_router_ip: force_router_ip,
        neighbors: section
            .tables("neighbor", "a neighbor", NEIGHBOR)
            .filter_map(neighbor)
            .collect(),
    };
    let from_file = lines.map(|lines| FileRoutes {
        router: name.to_owned(),
        inline,
        lines,
    });
    (router, from_file)
}

fn router_port(section: Section<'_, '_>) -> RouterPort {
    section.require("networks", "[\"192.168.1.1/24\"]");
    let priorities = section.map("gateway_chassis", "gateway_chassis", |section, chassis| {
        section.number(chassis, 0..=32767)
    });
    RouterPort {
        key: port_key(section, "key"),
        mac: section.value("mac"),
        networks: section.list("networks"),
        peer: section.value("peer"),
        gateway_chassis: priorities.map(|(name, p)| (name.to_owned(), p)).collect(),
        gateway_mtu: section.number("gateway_mtu", 68..=65535),
        enabled: section.flag("enabled", true),
        redirect_key: port_key(section, "redirect_key"),
    }
}

fn route(section: Section<'_, '_>) -> Option<Route> {
    section.require("ip_prefix", "\"0.0.0.0/0\"");
    section.require("nexthop", "\"192.168.1.254\"");
    let words = [
        ("dst-ip", RoutePolicy::DstIp),
        ("src-ip", RoutePolicy::SrcIp),
    ];
    let policy = section.choice("policy", &words).unwrap_or_default();
    let prefix = section.value::<Prefix>("ip_prefix");
    let nexthop = section.value("nexthop");
    Some(Route {
        prefix: prefix?.0,
        nexthop: nexthop?,
        output_port: section.value("output_port"),
        policy,
    })
}

fn nat(section: Section<'_, '_>) -> Option<Nat> {
    section.require("type", "\"snat\"");
    section.require("logical_ip", "\"192.168.0.0/16\"");
    section.require("external_ip", "\"203.0.113.1\"");
    let words =
        [NatKind::Snat, NatKind::Dnat, NatKind::DnatAndSnat].map(|kind| (kind.name(), kind));
    let kind = section.choice("type", &words);
    let logical_ip = section.value::<Prefix>("logical_ip");
    let external_ip = section.value("external_ip");
    let prefixes = |key| {
        let prefixes = section.list::<Prefix>(key);
        prefixes.into_iter().map(|prefix| prefix.0).collect()
    };
    let range = section.value::<PortRange>("external_port_range");
    let (allowed_ext_ips, exempted_ext_ips) =
        (prefixes("allowed_ext_ips"), prefixes("exempted_ext_ips"));
    let (gateway_port, stateless) = (
        section.value("gateway_port"),
        section.flag("stateless", false),
    );
    let mapping = section.choice("mapping", &NatMapping::NAMES);
    let filtering = section.choice("filtering", &NatFiltering::NAMES);
    let (external_mac, logical_port) =
        (section.value("external_mac"), section.value("logical_port"));
    Some(Nat {
        external_port_range: range.map(|range| range.0),
        allowed_ext_ips,
        exempted_ext_ips,
        gateway_port,
        mapping: mapping.unwrap_or_default(),
        filtering: filtering.unwrap_or_default(),
        port_parity: section.flag("port_parity", false),
        stateless,
        external_mac,
        logical_port,
        ..Nat::new(kind?, external_ip?, logical_ip?.0)
    })
}

fn neighbor(section: Section<'_, '_>) -> Option<StaticNeighbor> {
    section.require("port", "\"the router port's name\"");
    section.require("ip", "\"192.168.1.9\"");
    section.require("mac", "\"02:00:00:00:00:09\"");
    let port = section.value("port");
    let ip = section.value("ip");
    let mac = section.value("mac");
    Some(StaticNeighbor {
        port: port?,
        ip: ip?,
        mac: mac?,
    })
}
