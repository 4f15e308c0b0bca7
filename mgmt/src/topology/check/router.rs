//! Routers: ports that lead somewhere, networks that do not overlap, neighbors that can be there.

use std::net::IpAddr;

use hashbrown::HashSet;
use ipnet::IpNet;

use super::super::dynamic::bounds;
use super::super::model::{Router, RouterPort, Topology};
use super::super::names::{Names, push_missing};
use super::super::problem::{Place, Problem};
use super::port::{check_host, check_mac, check_network, is_link_local};
use super::{check_chassis_reference, routes};

/// Least IP packet size every host takes (RFC 791) and every IPv6 link carries (RFC 8200 5).
const LEAST_MTU_V4: u16 = 68;
const LEAST_MTU_V6: u16 = 1280;
/// OVN's highest gateway priority.
const HIGHEST_PRIORITY: u16 = 32767;

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    for (name, router) in &topology.routers {
        if let Some(chassis) = &router.chassis {
            let place = || Place::at(["router", name, "chassis"]);
            check_chassis_reference(topology, chassis, place, problems);
        }
        for (port_name, port) in &router.ports {
            let port = Port {
                router_name: name,
                router,
                name: port_name,
                port,
            };
            port.check_addresses(problems);
            port.check_peer(names, problems);
            port.check_gateway(topology, problems);
        }
        check_overlap(name, router, problems);
        check_neighbors(name, router, problems);
        routes::check(name, router, problems);
    }
}

/// One port with its surroundings.
#[derive(Clone, Copy)]
struct Port<'t> {
    router_name: &'t str,
    router: &'t Router,
    name: &'t str,
    port: &'t RouterPort,
}

impl Port<'_> {
    fn place(self, field: &str) -> Place {
        Place::at(["router", self.router_name, "port", self.name, field])
    }

    fn check_addresses(self, problems: &mut Vec<Problem>) {
        if let Some(mac) = self.port.mac {
            check_mac(mac, || self.place("mac"), problems);
        }
        if self.port.networks.is_empty() {
            problems.push(
                Problem::new(self.place("networks"), "a router port needs an address")
                    .mend("networks = [\"192.168.1.1/24\"], with the length of the prefix"),
            );
        }
        for (index, network) in self.port.networks.iter().enumerate() {
            check_network(network, || self.place("networks").nth(index), problems);
        }
        if let Some(mtu) = self.port.gateway_mtu {
            let v6 = self.port.networks.iter().any(|n| matches!(n, IpNet::V6(_)));
            let least = if v6 { LEAST_MTU_V6 } else { LEAST_MTU_V4 };
            if mtu < least {
                problems.push(Problem::new(
                    self.place("gateway_mtu"),
                    format!("{mtu} is less than the least MTU here, {least}"),
                ));
            }
        }
    }

    fn check_peer(self, names: &Names<'_>, problems: &mut Vec<Problem>) {
        let Some(peer) = &self.port.peer else { return };
        let place = || self.place("peer");
        if peer == self.name {
            problems.push(Problem::new(place(), "a port cannot be its own peer"));
            return;
        }
        let Some((router, body)) = names.router_port(peer) else {
            let otherwise = match names.owner(peer) {
                Some(_) => format!(
                    "`{peer}` is a port of a switch: give it type = \"router\" and \
                     router_port = \"{}\", and remove peer here",
                    self.name
                ),
                None => "declare it under the router it belongs to".to_owned(),
            };
            let problem =
                Problem::new(place(), format!("there is no router port `{peer}`")).mend(otherwise);
            push_missing(problem, peer, names.router_port_names(), problems);
            return;
        };
        if body.peer.as_deref() != Some(self.name) {
            let theirs = match &body.peer {
                Some(other) => format!("`{peer}` names `{other}` as its peer"),
                None => format!("`{peer}` does not name `{}` as its peer", self.name),
            };
            problems.push(
                Problem::new(place(), theirs)
                    .mend(format!(
                        "peers name each other: peer = \"{}\" there",
                        self.name
                    ))
                    .also(
                        Place::at(["router", router, "port", peer, "peer"]),
                        "the other end",
                    ),
            );
        }
    }

    fn check_gateway(self, topology: &Topology, problems: &mut Vec<Problem>) {
        if self.port.redirect_key.is_some() && self.port.gateway_chassis.is_empty() {
            problems.push(
                Problem::new(
                    self.place("redirect_key"),
                    "only a port with gateway_chassis has a redirect key",
                )
                .mend("remove redirect_key, or add gateway_chassis"),
            );
        }
        if self.port.gateway_chassis.is_empty() {
            return;
        }
        if let Some(chassis) = &self.router.chassis {
            problems.push(
                Problem::new(
                    self.place("gateway_chassis"),
                    format!(
                        "router `{}` lives wholly on chassis `{chassis}`, so its ports cannot move",
                        self.router_name
                    ),
                )
                .mend("remove gateway_chassis here, or chassis from the router")
                .also(
                    Place::at(["router", self.router_name, "chassis"]),
                    "makes it a gateway router",
                ),
            );
        }
        for (chassis, priority) in &self.port.gateway_chassis {
            let place = || {
                let mut place = self.place("gateway_chassis");
                place.path.push(chassis.clone());
                place
            };
            check_chassis_reference(topology, chassis, place, problems);
            if *priority > HIGHEST_PRIORITY {
                problems.push(Problem::new(
                    place(),
                    format!("priority {priority} is above {HIGHEST_PRIORITY}"),
                ));
            }
        }
    }
}

/// Two connected networks that overlap would make the route to a host a matter of luck.
fn check_overlap(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    let mut networks: Vec<(bool, u128, u128, &str, usize, &IpNet)> = Vec::new();
    for (port_name, port) in &router.ports {
        for (index, network) in port.networks.iter().enumerate() {
            // Every link has the same link-local prefix.
            if !is_link_local(network.addr()) {
                let (first, last) = bounds(network);
                let v4 = matches!(network, IpNet::V4(_));
                networks.push((v4, first, last, port_name, index, network));
            }
        }
    }
    networks.sort_unstable_by_key(|(v4, first, _, port, index, _)| (*v4, *first, *port, *index));
    // Networks nest or are apart: the widest seen so far is the one that can hold the next.
    let mut widest: Option<(bool, u128, &str, usize, &IpNet)> = None;
    for (v4, first, last, port, index, network) in networks {
        if let Some((other_v4, other_last, other_port, other_index, other)) = widest
            && other_v4 == v4
            && first <= other_last
        {
            problems.push(
                Problem::new(
                    Place::at(["router", name, "port", port, "networks"]).nth(index),
                    format!(
                        "{} overlaps {} of router `{name}`",
                        network.trunc(),
                        other.trunc()
                    ),
                )
                .mend("the networks of a router are apart")
                .also(
                    Place::at(["router", name, "port", other_port, "networks"]).nth(other_index),
                    format!("port `{other_port}`"),
                ),
            );
            if last <= other_last {
                continue;
            }
        }
        widest = Some((v4, last, port, index, network));
    }
}

fn check_neighbors(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    let mut seen: HashSet<(&str, IpAddr)> = HashSet::new();
    for (index, neighbor) in router.neighbors.iter().enumerate() {
        let place = |field| Place::at(["router", name, "neighbor", field]).nth(index);
        check_mac(neighbor.mac, || place("mac"), problems);
        check_host(neighbor.ip, || place("ip"), problems);
        let Some(port) = router.ports.get(&neighbor.port) else {
            let message = format!("router `{name}` has no port `{}`", neighbor.port);
            let ports = router.ports.keys().map(String::as_str);
            let problem = Problem::new(place("port"), message);
            push_missing(problem, &neighbor.port, ports, problems);
            continue;
        };
        if port.networks.iter().any(|own| own.addr() == neighbor.ip) {
            problems.push(Problem::new(
                place("ip"),
                format!("{} is the router's own address", neighbor.ip),
            ));
        } else if !is_link_local(neighbor.ip)
            && !port.networks.iter().any(|own| own.contains(&neighbor.ip))
        {
            problems.push(Problem::new(
                place("ip"),
                format!(
                    "{} is in no network of port `{}`",
                    neighbor.ip, neighbor.port
                ),
            ));
        }
        if !seen.insert((neighbor.port.as_str(), neighbor.ip)) {
            problems.push(
                Problem::new(place("ip"), format!("{} is given twice", neighbor.ip))
                    .mend("remove one"),
            );
        }
    }
}
