//! Switches: ports that make sense, every MAC and address once.

use std::net::IpAddr;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_net::addr::Mac;

use super::super::dynamic::derived_mac;
use super::super::model::{PortAddress, Switch, SwitchPort, SwitchPortKind, Topology};
use super::super::names::{Names, push_missing};
use super::super::problem::{Place, Problem};
use super::check_chassis_reference;
use super::port::{check_host, check_mac, check_prefix, check_vlan, is_link_local};

/// Ports by the physical network and tag they stand for: (switch, port).
type Localnets<'t> = HashMap<(&'t str, Option<u16>), (&'t str, &'t str)>;

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let mut localnets = Localnets::new();
    for (name, switch) in &topology.switches {
        check_subnet(name, switch, problems);
        let mut seen = Seen::default();
        let ports = switch.ports.iter().map(|(port_name, port)| Port {
            switch_name: name,
            switch,
            name: port_name,
            port,
        });
        // Routers first: a VM that takes the router's address is the one to blame.
        for port in ports.clone() {
            port.claim_for_router(names, &mut seen, problems);
        }
        for port in ports {
            port.check_kind(topology, names, problems);
            port.check_addresses(&mut seen, problems);
            port.check_security(problems);
            port.check_localnet(&mut localnets, problems);
        }
    }
}

fn check_subnet(name: &str, switch: &Switch, problems: &mut Vec<Problem>) {
    let place = || Place::at(["switch", name, "subnet"]);
    if let Some(subnet) = &switch.subnet {
        check_prefix(subnet, place, problems);
    }
    for (index, (from, to)) in switch.exclude_ips.iter().enumerate() {
        let place = || Place::at(["switch", name, "exclude_ips"]).nth(index);
        let Some(subnet) = &switch.subnet else {
            problems.push(
                Problem::new(place(), "exclude_ips without a subnet excludes nothing")
                    .mend("add subnet = \"...\", or remove exclude_ips"),
            );
            return;
        };
        if !subnet.contains(from) || !subnet.contains(to) {
            problems.push(Problem::new(
                place(),
                format!("the excluded range is not inside the subnet {subnet}"),
            ));
        } else if from > to {
            problems.push(
                Problem::new(place(), "the range ends before it begins")
                    .mend(format!("\"{to}..{from}\"")),
            );
        }
    }
}

/// Who holds which MAC and address in a switch; each access VLAN is a segment of its own.
#[derive(Default)]
struct Seen<'t> {
    macs: HashMap<(Option<u16>, Mac), &'t str>,
    ips: HashMap<(Option<u16>, IpAddr), &'t str>,
    /// Networks of the routers' ports.
    networks: Vec<IpNet>,
}

/// One port with its surroundings.
#[derive(Clone, Copy)]
struct Port<'t> {
    switch_name: &'t str,
    switch: &'t Switch,
    name: &'t str,
    port: &'t SwitchPort,
}

impl<'t> Port<'t> {
    fn place(self, field: &str) -> Place {
        Place::at(["switch", self.switch_name, "port", self.name, field])
    }

    fn check_kind(self, topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
        let vif = self.port.kind == SwitchPortKind::Vif;
        if let Some(chassis) = &self.port.chassis {
            if vif {
                check_chassis_reference(topology, chassis, || self.place("chassis"), problems);
            } else {
                problems.push(
                    Problem::new(self.place("chassis"), "only a VIF is bound to a chassis")
                        .mend("remove chassis: the port is on every node"),
                );
            }
        }
        if !vif && !self.port.port_security.is_empty() {
            problems.push(
                Problem::new(self.place("port_security"), "only a VIF has port security")
                    .mend("remove port_security"),
            );
        }
        if !vif && self.port.vlan.is_some() {
            problems.push(
                Problem::new(self.place("vlan"), "only a VIF has an access VLAN")
                    .mend("remove vlan; the tag of a localnet port is called `tag`"),
            );
        }
        check_vlan(self.port.vlan, || self.place("vlan"), problems);
        if let SwitchPortKind::Router { router_port } = &self.port.kind {
            self.check_router_port(router_port, names, problems);
        }
    }

    fn check_router_port(self, target: &str, names: &Names<'_>, problems: &mut Vec<Problem>) {
        let place = || self.place("router_port");
        let Some((router, body)) = names.router_port(target) else {
            let otherwise = match names.owner(target) {
                Some(_) => format!("`{target}` is a port of a switch; name the router's"),
                None => "declare it under the router it belongs to".to_owned(),
            };
            let message = format!("there is no router port `{target}`");
            let problem = Problem::new(place(), message).mend(otherwise);
            push_missing(problem, target, names.router_port_names(), problems);
            return;
        };
        if let Some(peer) = &body.peer {
            problems.push(
                Problem::new(
                    place(),
                    format!("router port `{target}` is already linked to router port `{peer}`"),
                )
                .mend("a router port has one other end: remove `peer` there, or this port")
                .also(
                    Place::at(["router", router, "port", target, "peer"]),
                    "linked here",
                ),
            );
        }
    }

    fn check_localnet(self, localnets: &mut Localnets<'t>, problems: &mut Vec<Problem>) {
        let SwitchPortKind::Localnet { network, tag } = &self.port.kind else {
            return;
        };
        check_vlan(*tag, || self.place("tag"), problems);
        if let Some((switch, port)) =
            localnets.insert((network.as_str(), *tag), (self.switch_name, self.name))
        {
            let tagged = tag.map_or("untagged".to_owned(), |tag| format!("tag {tag}"));
            problems.push(
                Problem::new(
                    self.place("network"),
                    format!(
                        "ports `{port}` and `{}` both stand for network `{network}`, {tagged}: \
                         a frame from there could not be told apart",
                        self.name
                    ),
                )
                .mend("give one of them another tag")
                .also(
                    Place::at(["switch", switch, "port", port, "network"]),
                    "the other port",
                ),
            );
        }
    }

    fn check_addresses(self, seen: &mut Seen<'t>, problems: &mut Vec<Problem>) {
        for (index, address) in self.port.addresses.iter().enumerate() {
            let place = || self.place("addresses").nth(index);
            if !self.fits_kind(address) {
                problems.push(self.misfit(place()));
                continue;
            }
            match address {
                PortAddress::Static { mac, ips } => {
                    check_mac(*mac, place, problems);
                    self.claim_mac(*mac, place, seen, problems);
                    for ip in ips {
                        check_host(*ip, place, problems);
                        self.claim_ip(*ip, place, seen, problems);
                        check_reachable(*ip, place, &seen.networks, problems);
                    }
                }
                PortAddress::Dynamic { mac } => {
                    if let Some(mac) = mac {
                        check_mac(*mac, place, problems);
                    }
                    let mac = mac.unwrap_or_else(|| derived_mac(self.name));
                    self.claim_mac(mac, place, seen, problems);
                    self.check_dynamic(place, problems);
                }
                PortAddress::Unknown | PortAddress::Router => {}
            }
        }
    }

    fn fits_kind(self, address: &PortAddress) -> bool {
        match self.port.kind {
            SwitchPortKind::Vif => *address != PortAddress::Router,
            SwitchPortKind::Router { .. } => *address == PortAddress::Router,
            SwitchPortKind::Localnet { .. } => *address == PortAddress::Unknown,
        }
    }

    fn misfit(self, place: Place) -> Problem {
        let (message, mend) = match self.port.kind {
            SwitchPortKind::Vif => (
                "\"router\" is the address of a port of type router",
                "add type = \"router\" and router_port, or give a MAC",
            ),
            SwitchPortKind::Router { .. } => (
                "a port of type router has the addresses of its router port",
                "remove addresses",
            ),
            SwitchPortKind::Localnet { .. } => (
                "the addresses behind a localnet port are always unknown",
                "remove addresses",
            ),
        };
        Problem::new(place, message).mend(mend)
    }

    fn check_dynamic(self, place: impl Fn() -> Place, problems: &mut Vec<Problem>) {
        let dynamic = |a: &&PortAddress| matches!(a, PortAddress::Dynamic { .. });
        if self.port.addresses.iter().filter(dynamic).count() > 1 {
            problems.push(
                Problem::new(place(), "a port has at most one dynamic address")
                    .mend("remove the others"),
            );
        }
        if self.switch.subnet.is_none() {
            problems.push(
                Problem::new(
                    place(),
                    format!(
                        "switch `{}` has no subnet to take an address from",
                        self.switch_name
                    ),
                )
                .mend("add subnet = \"...\" to the switch"),
            );
        }
    }

    fn claim_for_router(self, names: &Names<'t>, seen: &mut Seen<'t>, problems: &mut Vec<Problem>) {
        let SwitchPortKind::Router { router_port } = &self.port.kind else {
            return;
        };
        let Some((router, body)) = names.router_port(router_port) else {
            return;
        };
        if names.attachment(router_port) != Some((self.switch_name, self.name)) {
            return;
        }
        let place = |field| Place::at(["router", router, "port", router_port, field]);
        let mac = body.mac.unwrap_or_else(|| derived_mac(router_port));
        self.claim_mac(mac, || place("mac"), seen, problems);
        for (index, network) in body.networks.iter().enumerate() {
            let place = || place("networks").nth(index);
            self.claim_ip(network.addr(), place, seen, problems);
            seen.networks.push(*network);
        }
    }

    fn claim_mac(
        self,
        mac: Mac,
        place: impl Fn() -> Place,
        seen: &mut Seen<'t>,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(other) = seen.macs.insert((self.port.vlan, mac), self.name) {
            problems.push(self.taken(place(), "MAC", &mac.to_string(), other));
        }
    }

    fn claim_ip(
        self,
        ip: IpAddr,
        place: impl Fn() -> Place,
        seen: &mut Seen<'t>,
        problems: &mut Vec<Problem>,
    ) {
        if let Some(other) = seen.ips.insert((self.port.vlan, ip), self.name) {
            problems.push(self.taken(place(), "address", &ip.to_string(), other));
        }
    }

    fn taken(self, place: Place, what: &str, value: &str, other: &str) -> Problem {
        if other == self.name {
            return Problem::new(place, format!("{what} {value} is given twice"))
                .mend("write a MAC once, with all its addresses: \"MAC IP IP ...\"");
        }
        Problem::new(
            place,
            format!(
                "{what} {value} is already that of port `{other}` in switch `{}`",
                self.switch_name
            ),
        )
        .mend("give one of them another")
        .also(
            Place::at(["switch", self.switch_name, "port", other, "addresses"]),
            "the other port",
        )
    }

    fn check_security(self, problems: &mut Vec<Problem>) {
        for (index, set) in self.port.port_security.iter().enumerate() {
            let place = || self.place("port_security").nth(index);
            check_mac(set.mac, place, problems);
            for ip in &set.ips {
                if ip.prefix_len() > 0 {
                    check_host(ip.addr(), place, problems);
                }
            }
        }
    }
}

/// A host whose address no router of its switch has a network for cannot be answered.
fn check_reachable(
    ip: IpAddr,
    place: impl Fn() -> Place,
    networks: &[IpNet],
    problems: &mut Vec<Problem>,
) {
    let mut same_family = networks
        .iter()
        .filter(|network| network.addr().is_ipv4() == ip.is_ipv4())
        .peekable();
    let Some(first) = same_family.peek().copied() else {
        return;
    };
    if !is_link_local(ip) && !same_family.any(|network| network.contains(&ip)) {
        problems.push(
            Problem::new(
                place(),
                format!("{ip} is in no network of a router on this switch"),
            )
            .mend(format!("the router has {first}")),
        );
    }
}
