//! Load balancers: endpoints that fit each other, and routers where they can take place.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::super::balancer::{Endpoint, LoadBalancer, MOST_BACKENDS};
use super::super::model::{NatKind, Router, Topology};
use super::super::names::{Names, push_missing};
use super::super::problem::{Place, Problem};
use super::nat::{Holders, outside, takes_place};
use super::port::{check_host, check_routed, family};

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    for (name, balancer) in &topology.load_balancers {
        Declared { name, balancer }.check(problems);
    }
    for (name, switch) in &topology.switches {
        check_names("switch", name, &switch.load_balancers, topology, problems);
    }
    for (name, router) in &topology.routers {
        check_names("router", name, &router.load_balancers, topology, problems);
        check_router(name, router, problems);
        check_rules(name, router, topology, problems);
    }
    if topology
        .routers
        .values()
        .any(|router| !router.load_balancers.is_empty())
    {
        check_outside(topology, names, problems);
    }
}

#[derive(Clone, Copy)]
struct Declared<'t> {
    name: &'t str,
    balancer: &'t LoadBalancer,
}

impl Declared<'_> {
    fn place(self, field: &str) -> Place {
        Place::at(["load_balancer", self.name, field])
    }

    fn check(self, problems: &mut Vec<Problem>) {
        for (vip, backends) in &self.balancer.vips {
            let place = || Place::at(["load_balancer", self.name, "vips", &vip.to_string()]);
            check_endpoint(vip, place, problems);
            self.check_backends(vip, backends, problems);
        }
        for ip in self.balancer.hairpin_snat_ip.iter() {
            check_host(ip, || self.place("hairpin_snat_ip"), problems);
        }
        for backend in self.balancer.backends.keys() {
            let mut lists = self.balancer.vips.values();
            if !lists.any(|backends| backends.contains(backend)) {
                let place =
                    Place::at(["load_balancer", self.name, "backend", &backend.to_string()]);
                problems.push(
                    Problem::new(place, format!("no virtual IP has the backend {backend}"))
                        .mend("write it as in vips, or remove this"),
                );
            }
        }
    }

    fn check_backends(self, vip: &Endpoint, backends: &[Endpoint], problems: &mut Vec<Problem>) {
        let place = |index: usize| {
            Place::at(["load_balancer", self.name, "vips", &vip.to_string()]).nth(index)
        };
        if backends.len() > MOST_BACKENDS {
            let message = format!(
                "{vip} has {} backends, more than {MOST_BACKENDS}",
                backends.len()
            );
            problems.push(Problem::new(place(0), message).mend("use several virtual IPs"));
        }
        let mut seen = HashSet::new();
        for (index, backend) in backends.iter().enumerate() {
            check_endpoint(backend, || place(index), problems);
            if backend.ip.is_ipv6() != vip.ip.is_ipv6() {
                let (own, other) = (family(vip.ip), family(backend.ip));
                let message = format!("{vip} is of {own} and its backend {backend} of {other}");
                let problem = Problem::new(place(index), message);
                problems.push(problem.mend(format!("name its address of {own}")));
            }
            if backend.port.is_some() != vip.port.is_some() {
                let (message, mend) = match vip.port {
                    Some(port) => (
                        format!("{vip} has a port and its backend {backend} has none"),
                        format!("\"{}:{port}\"", backend.ip),
                    ),
                    None => (
                        format!("{vip} has no port and its backend {backend} has one"),
                        format!("\"{}\", or give the virtual IP a port", backend.ip),
                    ),
                };
                problems.push(Problem::new(place(index), message).mend(mend));
            }
            if backend.ip == vip.ip {
                let message = format!("{backend} is the virtual IP itself");
                problems.push(Problem::new(place(index), message).mend("name who serves"));
            }
            if !seen.insert(backend) {
                let message = format!("{backend} is given twice");
                let mend = format!(
                    "give it a weight in [load_balancer.{}.backend.\"{backend}\"]",
                    self.name
                );
                problems.push(Problem::new(place(index), message).mend(mend));
            }
        }
    }
}

fn check_endpoint(endpoint: &Endpoint, place: impl Fn() -> Place, problems: &mut Vec<Problem>) {
    check_host(endpoint.ip, &place, problems);
    check_routed(endpoint.ip, place, problems);
}

/// The names are those of load balancers, and no two of these want the same packets.
fn check_names(
    noun: &str,
    name: &str,
    wanted: &[String],
    topology: &Topology,
    problems: &mut Vec<Problem>,
) {
    let mut services: HashMap<(Endpoint, &str), &str> = HashMap::new();
    for (index, balancer) in wanted.iter().enumerate() {
        let place = || Place::at([noun, name, "load_balancers"]).nth(index);
        let Some(declared) = topology.load_balancers.get(balancer) else {
            let problem = Problem::new(place(), format!("there is no load balancer `{balancer}`"))
                .mend(format!("declare [load_balancer.{balancer}] with its vips"));
            let names = topology.load_balancers.keys().map(String::as_str);
            push_missing(problem, balancer, names, problems);
            continue;
        };
        for vip in declared.vips.keys() {
            let protocol = vip.port.map_or("", |_| declared.protocol.name());
            if let Some(other) = services.insert((*vip, protocol), balancer) {
                let message = match other == balancer {
                    true => format!("`{balancer}` is given twice"),
                    false => format!("`{other}` and `{balancer}` both have {vip}"),
                };
                problems.push(Problem::new(place(), message).mend("remove one"));
                break;
            }
        }
    }
}

fn check_router(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    for ip in router.lb_force_snat_ip.iter() {
        let place = || Place::at(["router", name, "lb_force_snat_ip"]);
        check_host(ip, place, problems);
        check_routed(ip, place, problems);
    }
    if router.lb_force_router_ip && router.chassis.is_none() {
        let place = Place::at(["router", name, "lb_force_snat_ip"]);
        let message = "router_ip is for routers that live wholly on a chassis";
        let problem = Problem::new(place, message.to_owned());
        problems
            .push(problem.mend("name an address, such as that of the port towards the backends"));
    }
    if !router.load_balancers.is_empty() && !takes_place(router) {
        problems.push(
            Problem::new(
                Place::at(["router", name, "load_balancers"]).nth(0),
                format!(
                    "router `{name}` has load balancers, but no chassis where they could take place"
                ),
            )
            .mend("give the outer port gateway_chassis = { ... }, or the router a chassis"),
        );
    }
}

/// A virtual IP without a port leaves nothing to a rule that translates all packets to its address.
fn check_rules(name: &str, router: &Router, topology: &Topology, problems: &mut Vec<Problem>) {
    for (index, balancer) in router.load_balancers.iter().enumerate() {
        let Some(declared) = topology.load_balancers.get(balancer) else {
            continue;
        };
        let whole = |ip: IpAddr| declared.vips.contains_key(&Endpoint { ip, port: None });
        let mut rules = router.nat.iter().enumerate();
        let found = rules.find(|(_, nat)| nat.kind != NatKind::Snat && whole(nat.external_ip));
        if let Some((rule, nat)) = found {
            problems.push(
                Problem::new(
                    Place::at(["router", name, "load_balancers"]).nth(index),
                    format!(
                        "`{balancer}` takes all packets to {}, which a nat rule wants too",
                        nat.external_ip
                    ),
                )
                .mend("give the virtual IP ports, or one of the two another address")
                .also(
                    Place::at(["router", name, "nat", "external_ip"]).nth(rule),
                    "the rule",
                ),
            );
        }
    }
}

/// In a switch outside a virtual IP is one router's alone.
fn check_outside(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let holders = Holders::of(topology, names);
    let mut claims: HashMap<(&str, IpAddr), &str> = HashMap::new();
    for (name, router) in &topology.routers {
        for nat in &router.nat {
            for switch in outside(router, nat.external_ip, nat.gateway_port.as_deref(), names) {
                claims.entry((switch, nat.external_ip)).or_insert(name);
            }
        }
    }
    for (name, router) in &topology.routers {
        for (index, balancer) in router.load_balancers.iter().enumerate() {
            let declared = topology.load_balancers.get(balancer);
            let vips = declared
                .into_iter()
                .flat_map(|declared| declared.vips.keys());
            let ips: HashSet<IpAddr> = vips.map(|vip| vip.ip).collect();
            for ip in ips {
                let place = || Place::at(["router", name, "load_balancers"]).nth(index);
                for switch in outside(router, ip, None, names) {
                    let other = *claims.entry((switch, ip)).or_insert(name);
                    if other != name {
                        let message = format!(
                            "routers `{other}` and `{name}` both have {ip} in switch `{switch}`"
                        );
                        problems.push(
                            Problem::new(place(), message)
                                .mend("a virtual IP belongs to one router"),
                        );
                    }
                    if let Some((port, owner)) = holders.0.get(&(switch, ip))
                        && *owner != Some(name.as_str())
                    {
                        let message =
                            format!("{ip} is the address of port `{port}` in switch `{switch}`");
                        problems.push(
                            Problem::new(place(), message)
                                .mend("choose a virtual IP that is nobody's address")
                                .also(
                                    Place::at(["switch", switch, "port", port]),
                                    "has the address",
                                ),
                        );
                    }
                }
            }
        }
    }
}
