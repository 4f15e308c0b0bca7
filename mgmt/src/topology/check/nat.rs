//! Address translation: where it can happen, and addresses outside that are one router's alone.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use super::super::model::{
    Nat, NatKind, PortAddress, Router, RouterPort, SwitchPortKind, Topology,
};
use super::super::names::Names;
use super::super::problem::{Place, Problem};
use super::port::{check_host, check_prefix};

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    if topology
        .routers
        .values()
        .all(|router| router.nat.is_empty())
    {
        return;
    }
    let holders = Holders::of(topology, names);
    let mut claims: HashMap<(&str, IpAddr), (&str, usize)> = HashMap::new();
    for (name, router) in &topology.routers {
        check_placement(name, router, problems);
        let mut inside: HashSet<(bool, IpNet)> = HashSet::new();
        for (index, nat) in router.nat.iter().enumerate() {
            let rule = Rule {
                router_name: name,
                router,
                index,
                nat,
            };
            rule.check_supported(problems);
            rule.check_addresses(problems);
            rule.check_gateway_port(problems);
            if !inside.insert((nat.kind == NatKind::Dnat, nat.logical_ip)) {
                problems.push(
                    Problem::new(
                        rule.place("logical_ip"),
                        format!("{} is translated twice", nat.logical_ip),
                    )
                    .mend("remove one rule"),
                );
            }
            for switch in rule.outside(names) {
                rule.check_unique(switch, &holders, &mut claims, problems);
            }
        }
    }
}

/// Translation needs a place where all packets of a connection come by.
fn check_placement(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    let gateway = |port: &RouterPort| !port.gateway_chassis.is_empty();
    if router.nat.is_empty() || router.chassis.is_some() || router.ports.values().any(gateway) {
        return;
    }
    problems.push(
        Problem::new(
            Place::at(["router", name, "nat", "type"]).nth(0),
            format!("router `{name}` has nat, but no chassis where it could take place"),
        )
        .mend("give the outer port gateway_chassis = { ... }, or the router a chassis"),
    );
}

/// One rule with its surroundings.
#[derive(Clone, Copy)]
struct Rule<'t> {
    router_name: &'t str,
    router: &'t Router,
    index: usize,
    nat: &'t Nat,
}

impl<'t> Rule<'t> {
    fn place(self, field: &str) -> Place {
        Place::at(["router", self.router_name, "nat", field]).nth(self.index)
    }

    fn check_supported(self, problems: &mut Vec<Problem>) {
        if self.nat.kind != NatKind::Snat {
            problems.push(
                Problem::new(
                    self.place("type"),
                    format!(
                        "nat type {} is not supported in this version",
                        self.nat.kind.name()
                    ),
                )
                .mend("supported: snat"),
            );
        }
        let v6 = [
            ("external_ip", self.nat.external_ip.is_ipv6()),
            ("logical_ip", self.nat.logical_ip.addr().is_ipv6()),
        ];
        for (field, _) in v6.iter().filter(|(_, v6)| *v6) {
            problems.push(
                Problem::new(
                    self.place(field),
                    "translation of IPv6 is not supported in this version",
                )
                .mend("supported: IPv4 addresses"),
            );
        }
    }

    fn check_addresses(self, problems: &mut Vec<Problem>) {
        check_host(self.nat.external_ip, || self.place("external_ip"), problems);
        check_prefix(&self.nat.logical_ip, || self.place("logical_ip"), problems);
    }

    fn gateway_ports(self) -> impl Iterator<Item = (&'t str, &'t RouterPort)> {
        let whole = self.router.chassis.is_some();
        let ports = self.router.ports.iter();
        ports
            .filter(move |(_, port)| whole || !port.gateway_chassis.is_empty())
            .map(|(name, port)| (name.as_str(), port))
    }

    fn holds_external(self, port: &RouterPort) -> bool {
        let mut networks = port.networks.iter();
        networks.any(|network| network.contains(&self.nat.external_ip))
    }

    /// With several gateway ports the external address says which of them translates.
    fn check_gateway_port(self, problems: &mut Vec<Problem>) {
        if self.router.chassis.is_some() || self.gateway_ports().count() < 2 {
            return;
        }
        if !self
            .gateway_ports()
            .any(|(_, port)| self.holds_external(port))
        {
            problems.push(
                Problem::new(
                    self.place("external_ip"),
                    format!(
                        "router `{}` has several gateway ports, and {} is in the network of none",
                        self.router_name, self.nat.external_ip
                    ),
                )
                .mend("use an address of the network of the port that shall translate"),
            );
        }
    }

    /// The switches in which others see the external address.
    fn outside<'n>(self, names: &Names<'n>) -> Vec<&'n str> {
        let attached = |name| names.attachment(name).map(|(switch, _)| switch);
        let holding: Vec<_> = self
            .gateway_ports()
            .filter(|(_, port)| self.holds_external(port))
            .filter_map(|(name, _)| attached(name))
            .collect();
        if holding.is_empty() {
            self.gateway_ports()
                .filter_map(|(name, _)| attached(name))
                .collect()
        } else {
            holding
        }
    }

    fn check_unique<'n: 't>(
        self,
        switch: &'n str,
        holders: &Holders<'n>,
        claims: &mut HashMap<(&'n str, IpAddr), (&'t str, usize)>,
        problems: &mut Vec<Problem>,
    ) {
        let ip = self.nat.external_ip;
        let (other, index) = *claims
            .entry((switch, ip))
            .or_insert((self.router_name, self.index));
        if other != self.router_name {
            problems.push(
                Problem::new(
                    self.place("external_ip"),
                    format!(
                        "routers `{other}` and `{}` both translate to {ip} in switch `{switch}`",
                        self.router_name
                    ),
                )
                .mend("an external address belongs to one router")
                .also(
                    Place::at(["router", other, "nat", "external_ip"]).nth(index),
                    "the other rule",
                ),
            );
        }
        if let Some((port, router)) = holders.0.get(&(switch, ip))
            && *router != Some(self.router_name)
        {
            problems.push(
                Problem::new(
                    self.place("external_ip"),
                    format!("{ip} is the address of port `{port}` in switch `{switch}`"),
                )
                .mend("choose an address that is nobody's")
                .also(
                    Place::at(["switch", switch, "port", port]),
                    "has the address",
                ),
            );
        }
    }
}

/// Who has which address in the switches: (switch, address) to the port, and the router behind it.
struct Holders<'t>(HashMap<(&'t str, IpAddr), (&'t str, Option<&'t str>)>);

impl<'t> Holders<'t> {
    /// Only switches with a router are of interest.
    fn of(topology: &'t Topology, names: &Names<'t>) -> Self {
        let mut holders = HashMap::new();
        for (switch_name, switch) in &topology.switches {
            for (port_name, port) in &switch.ports {
                if let SwitchPortKind::Router { router_port } = &port.kind
                    && let Some((router, body)) = names.router_port(router_port)
                {
                    for network in &body.networks {
                        let key = (switch_name.as_str(), network.addr());
                        holders.insert(key, (port_name.as_str(), Some(router)));
                    }
                }
                for address in &port.addresses {
                    let PortAddress::Static { ips, .. } = address else {
                        continue;
                    };
                    for ip in ips {
                        holders.insert((switch_name.as_str(), *ip), (port_name.as_str(), None));
                    }
                }
            }
        }
        Self(holders)
    }
}
