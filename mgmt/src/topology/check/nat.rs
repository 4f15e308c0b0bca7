//! Address translation: where it can happen, and addresses outside that are one router's alone.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use sluice_net::addr::Mac;

use super::super::model::{
    Nat, NatKind, PortAddress, Router, RouterPort, SwitchPortKind, Topology,
};
use super::super::names::{Names, Owner, push_missing};
use super::super::problem::{Place, Problem};
use super::port::{check_host, check_mac, check_prefix, check_routed, family};

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
    let mut macs = router_macs(topology);
    for (name, router) in &topology.routers {
        check_placement(name, router, problems);
        let mut inside: HashSet<(bool, IpNet, Option<&str>)> = HashSet::new();
        let mut external: HashSet<IpAddr> = HashSet::new();
        for (index, nat) in router.nat.iter().enumerate() {
            let rule = Rule {
                router_name: name,
                router,
                index,
                nat,
            };
            rule.check_addresses(problems);
            rule.check_gateway_port(problems);
            rule.check_columns(problems);
            rule.check_distributed(topology, names, &mut macs, problems);
            let source = (
                nat.kind == NatKind::DnatAndSnat,
                nat.logical_ip,
                nat.gateway_port.as_deref(),
            );
            let translates_all = nat.kind != NatKind::Dnat && nat.allowed_ext_ips.is_empty();
            if translates_all && !inside.insert(source) {
                problems.push(
                    Problem::new(
                        rule.place("logical_ip"),
                        format!("{} is translated twice", nat.logical_ip),
                    )
                    .mend("remove one rule"),
                );
            }
            if nat.kind != NatKind::Snat && !external.insert(nat.external_ip) {
                let message = format!("{} leads to two addresses", nat.external_ip);
                problems.push(
                    Problem::new(rule.place("external_ip"), message).mend(
                        "remove one rule, or balance the load between both by a load balancer",
                    ),
                );
            }
            for switch in outside(router, nat.external_ip, nat.gateway_port.as_deref(), names) {
                rule.check_unique(switch, &holders, &mut claims, problems);
            }
        }
    }
}

/// MACs of router ports, and where they are declared.
fn router_macs(topology: &Topology) -> HashMap<Mac, Place> {
    let routers = topology.routers.iter().flat_map(|(name, router)| {
        let ports = router.ports.iter();
        ports.filter_map(move |(port, body)| {
            Some((body.mac?, Place::at(["router", name, "port", port, "mac"])))
        })
    });
    routers.collect()
}

/// Where a MAC is declared in a switch.
fn station(topology: &Topology, switch: &str, mac: Mac) -> Option<Place> {
    let ports = topology.switches.get(switch)?.ports.iter();
    let has = |address: &PortAddress| matches!(address, PortAddress::Static { mac: own, .. } if *own == mac);
    let mut holding = ports.filter(|(_, port)| port.addresses.iter().any(has));
    let (port, _) = holding.next()?;
    Some(Place::at(["switch", switch, "port", port, "addresses"]))
}

/// Ports at which the router translates.
fn gateway_ports(router: &Router) -> impl Iterator<Item = (&str, &RouterPort)> {
    let whole = router.chassis.is_some();
    let ports = router.ports.iter();
    ports
        .filter(move |(_, port)| whole || !port.gateway_chassis.is_empty())
        .map(|(name, port)| (name.as_str(), port))
}

fn holds(port: &RouterPort, ip: IpAddr) -> bool {
    port.networks.iter().any(|network| network.contains(&ip))
}

/// The switches in which others see an outer address of a router.
pub(super) fn outside<'n>(
    router: &Router,
    ip: IpAddr,
    gateway_port: Option<&str>,
    names: &Names<'n>,
) -> Vec<&'n str> {
    let attached = |name| names.attachment(name).map(|(switch, _)| switch);
    if let Some(port) = gateway_port {
        return attached(port).into_iter().collect();
    }
    let holding: Vec<_> = gateway_ports(router)
        .filter(|(_, port)| holds(port, ip))
        .filter_map(|(name, _)| attached(name))
        .collect();
    if holding.is_empty() {
        gateway_ports(router)
            .filter_map(|(name, _)| attached(name))
            .collect()
    } else {
        holding
    }
}

/// All packets of a connection come by one chassis.
pub(super) fn takes_place(router: &Router) -> bool {
    let gateway = |port: &RouterPort| !port.gateway_chassis.is_empty();
    router.chassis.is_some() || router.ports.values().any(gateway)
}

/// Translation needs a place where all packets of a connection come by.
fn check_placement(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    if router.nat.is_empty() || takes_place(router) {
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

    /// A distributed floating IP has a MAC of its own, and a VIF where it is carried out.
    fn check_distributed(
        self,
        topology: &Topology,
        names: &Names<'_>,
        macs: &mut HashMap<Mac, Place>,
        problems: &mut Vec<Problem>,
    ) {
        let (mac, port) = match (self.nat.external_mac, &self.nat.logical_port) {
            (None, None) => return,
            (Some(mac), Some(port)) => (mac, port),
            (mac, _) => {
                let (has, lacks) = match mac {
                    Some(_) => ("external_mac", "logical_port"),
                    None => ("logical_port", "external_mac"),
                };
                problems.push(
                    Problem::new(
                        self.place(has),
                        format!("{has} makes a floating IP distributed only with {lacks}"),
                    )
                    .mend(format!(
                        "add {lacks}, or remove {has} and let the gateway translate"
                    )),
                );
                return;
            }
        };
        let mut report = |field: &str, message: String, mend: &str| {
            problems.push(Problem::new(self.place(field), message).mend(mend));
        };
        if self.nat.kind != NatKind::DnatAndSnat {
            let message = format!("type {} cannot be distributed", self.nat.kind.name());
            report("external_mac", message, "only dnat_and_snat can");
        }
        if let Some(chassis) = &self.router.chassis {
            let message = format!(
                "router `{}` lives wholly on chassis `{chassis}`, which translates for all",
                self.router_name
            );
            report(
                "external_mac",
                message,
                "remove external_mac and logical_port",
            );
        }
        check_mac(mac, || self.place("external_mac"), problems);
        let external = (self.nat.external_ip, self.nat.gateway_port.as_deref());
        let switches = outside(self.router, external.0, external.1, names);
        let stations = switches.iter();
        let mut stations = stations.filter_map(|switch| station(topology, switch, mac));
        let known = macs.insert(mac, self.place("external_mac"));
        if let Some(other) = known.or_else(|| stations.next()) {
            problems.push(
                Problem::new(
                    self.place("external_mac"),
                    format!("{mac} is not the only one"),
                )
                .mend("each floating IP has a MAC of its own")
                .also(other, "the same MAC"),
            );
        }
        let vif = match names.owner(port) {
            Some(Owner::Switch(switch)) => {
                let switch = topology.switches.get(switch);
                let port = switch.and_then(|switch| switch.ports.get(port));
                port.is_some_and(|port| port.kind == SwitchPortKind::Vif)
            }
            _ => false,
        };
        if !vif {
            let switches = topology.switches.values();
            let all = switches.flat_map(|switch| switch.ports.keys());
            let problem = Problem::new(
                self.place("logical_port"),
                format!("there is no VIF `{port}`"),
            )
            .mend(format!("the switch port of {}", self.nat.logical_ip.addr()));
            push_missing(problem, port, all.map(String::as_str), problems);
        }
    }

    /// Columns that not every type of rule has.
    fn check_columns(self, problems: &mut Vec<Problem>) {
        let kind = self.nat.kind;
        let mut report = |field: &str, message: String, mend: &str| {
            problems.push(Problem::new(self.place(field), message).mend(mend));
        };
        let host = self.nat.logical_ip.prefix_len() == self.nat.logical_ip.max_prefix_len();
        if kind != NatKind::Snat && !host {
            let message = format!("type {} has one address inside", kind.name());
            report("logical_ip", message, "a network is for type snat");
        }
        if self.nat.stateless && kind != NatKind::DnatAndSnat {
            let message = format!("type {} cannot be stateless", kind.name());
            report("stateless", message, "only dnat_and_snat can");
        }
        if self.nat.external_port_range.is_some() && (kind == NatKind::Dnat || self.nat.stateless) {
            let message =
                "external_port_range is what sources are translated to; here no port changes";
            report("external_port_range", message.to_owned(), "remove it");
        }
        if !self.nat.allowed_ext_ips.is_empty() && !self.nat.exempted_ext_ips.is_empty() {
            let message = "a rule has either allowed_ext_ips or exempted_ext_ips";
            report("exempted_ext_ips", message.to_owned(), "use two rules");
        }
        let remotes = [
            ("allowed_ext_ips", &self.nat.allowed_ext_ips),
            ("exempted_ext_ips", &self.nat.exempted_ext_ips),
        ];
        for (field, net) in remotes
            .into_iter()
            .flat_map(|(field, nets)| nets.iter().map(move |net| (field, net)))
        {
            if net.addr().is_ipv6() != self.nat.external_ip.is_ipv6() {
                let message = format!("{net} is not of the family of {}", self.nat.external_ip);
                let mend = format!("{} prefixes", family(self.nat.external_ip));
                report(field, message, &mend);
            } else if net.addr() != net.network() {
                let mend = format!("the network is {}", net.trunc());
                report(field, format!("{net} has host bits set"), &mend);
            }
        }
    }

    fn check_addresses(self, problems: &mut Vec<Problem>) {
        check_host(self.nat.external_ip, || self.place("external_ip"), problems);
        check_prefix(&self.nat.logical_ip, || self.place("logical_ip"), problems);
        let (external, logical) = (self.nat.external_ip, self.nat.logical_ip);
        if external.is_ipv6() != logical.addr().is_ipv6() {
            let message = format!(
                "{logical} is of {}, {external} of {}",
                family(logical.addr()),
                family(external)
            );
            problems.push(
                Problem::new(self.place("logical_ip"), message)
                    .mend("a rule translates within a family"),
            );
        }
        for (field, ip) in [("external_ip", external), ("logical_ip", logical.addr())] {
            check_routed(ip, || self.place(field), problems);
        }
    }

    fn gateway_ports(self) -> impl Iterator<Item = (&'t str, &'t RouterPort)> {
        gateway_ports(self.router)
    }

    fn holds_external(self, port: &RouterPort) -> bool {
        holds(port, self.nat.external_ip)
    }

    /// With several gateway ports the external address, or gateway_port, says which of them translates.
    fn check_gateway_port(self, problems: &mut Vec<Problem>) {
        if let Some(port) = &self.nat.gateway_port {
            return self.check_named_port(port, problems);
        }
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
                .mend("use an address of the network of the port that shall translate, or gateway_port"),
            );
        }
    }

    fn check_named_port(self, port: &str, problems: &mut Vec<Problem>) {
        let place = self.place("gateway_port");
        if let Some(chassis) = &self.router.chassis {
            let message = format!(
                "router `{}` lives wholly on chassis `{chassis}` and has no gateway ports",
                self.router_name
            );
            problems.push(Problem::new(place, message).mend("remove gateway_port"));
        } else if !self.gateway_ports().any(|(name, _)| name == port) {
            let message = format!("router `{}` has no gateway port `{port}`", self.router_name);
            let names = self.gateway_ports().map(|(name, _)| name);
            push_missing(Problem::new(place, message), port, names, problems);
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
pub(super) struct Holders<'t>(pub(super) HashMap<(&'t str, IpAddr), (&'t str, Option<&'t str>)>);

impl<'t> Holders<'t> {
    /// Only switches with a router are of interest.
    pub(super) fn of(topology: &'t Topology, names: &Names<'t>) -> Self {
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
