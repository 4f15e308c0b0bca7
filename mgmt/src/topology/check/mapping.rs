//! Endpoint-independent mapping: whose ports are given out for good must be given out in one way.

use std::net::IpAddr;

use super::super::model::{Nat, NatFiltering, NatKind, NatMapping, Router, Topology};
use super::super::problem::{Place, Problem};

pub(super) fn check(topology: &Topology, problems: &mut Vec<Problem>) {
    for (name, router) in &topology.routers {
        for (index, nat) in router.nat.iter().enumerate() {
            let place = |field: &str| Place::at(["router", name, "nat", field]).nth(index);
            check_columns(nat, place, problems);
            if nat.mapping == NatMapping::EndpointIndependent && nat.kind == NatKind::Snat {
                check_rules((name, router), (index, nat), problems);
                check_balancers(topology, router, nat.external_ip, place, problems);
            }
        }
    }
}

fn check_columns(nat: &Nat, place: impl Fn(&str) -> Place, problems: &mut Vec<Problem>) {
    let independent = nat.mapping == NatMapping::EndpointIndependent;
    let given = [
        ("mapping", independent),
        ("filtering", nat.filtering != NatFiltering::default()),
        ("port_parity", nat.port_parity),
    ];
    if nat.kind != NatKind::Snat {
        for (field, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = format!("type {} does not choose ports", nat.kind.name());
            problems.push(Problem::new(place(field), message).mend("remove it, or use type snat"));
        }
    } else if !independent && nat.filtering != NatFiltering::default() {
        problems.push(
            Problem::new(
                place("filtering"),
                "a port that is one thing to each remote end lets in that remote end alone",
            )
            .mend("add mapping = \"endpoint-independent\", or remove this"),
        );
    }
}

/// Other rules of the router with the same address outside.
fn check_rules(
    (name, router): (&str, &Router),
    (index, nat): (usize, &Nat),
    problems: &mut Vec<Problem>,
) {
    let ip = nat.external_ip;
    let others = router.nat.iter().enumerate();
    for (at, other) in others.filter(|(at, other)| *at != index && other.external_ip == ip) {
        let message = match other.kind {
            NatKind::Snat if other.mapping == nat.mapping => continue,
            NatKind::Snat => format!("ports of {ip} are mapped in two ways"),
            NatKind::Dnat | NatKind::DnatAndSnat => {
                format!("all packets to {ip} go to {}", other.logical_ip)
            }
        };
        let place = |at| Place::at(["router", name, "nat", "external_ip"]).nth(at);
        problems.push(
            Problem::new(place(index), message)
                .mend("give one of the rules another external_ip")
                .also(place(at), "the other rule"),
        );
    }
    if router.lb_force_snat_ip.iter().any(|forced| forced == ip) {
        problems.push(
            Problem::new(
                Place::at(["router", name, "lb_force_snat_ip"]),
                format!("ports of {ip} are mapped in two ways"),
            )
            .mend("use an address of its own")
            .also(
                Place::at(["router", name, "nat", "external_ip"]).nth(index),
                "the rule that maps them too",
            ),
        );
    }
}

/// A virtual IP with a port leaves the others to the rule, one without leaves none.
fn check_balancers(
    topology: &Topology,
    router: &Router,
    ip: IpAddr,
    place: impl Fn(&str) -> Place,
    problems: &mut Vec<Problem>,
) {
    for balancer in &router.load_balancers {
        let declared = topology.load_balancers.get(balancer);
        let mut vips = declared
            .into_iter()
            .flat_map(|declared| declared.vips.keys());
        if vips.any(|vip| vip.ip == ip && vip.port.is_none()) {
            problems.push(
                Problem::new(
                    place("external_ip"),
                    format!("load balancer `{balancer}` takes all packets to {ip}"),
                )
                .mend("choose another address, or give its virtual IP a port"),
            );
        }
    }
}
