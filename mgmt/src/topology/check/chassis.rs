//! Chassis: somewhere to send to, and nobody else there.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::super::model::{Encap, EncapKind, Topology};
use super::super::problem::{Place, Problem};

pub(super) fn check(topology: &Topology, problems: &mut Vec<Problem>) {
    let mut holders: HashMap<(EncapKind, IpAddr), &str> = HashMap::new();
    for (name, chassis) in &topology.chassis {
        if chassis.encaps.is_empty() {
            problems.push(
                Problem::new(
                    Place::at(["chassis", name]),
                    format!("chassis `{name}` has no encap, so nobody can reach it"),
                )
                .mend("add encap = { type = \"geneve\", ip = \"...\" }"),
            );
        }
        for (index, encap) in chassis.encaps.iter().enumerate() {
            let place = |field| Place::at(["chassis", name, "encap", field]).nth(index);
            check_encap(encap, place, problems);
            if let Some(other) = holders.insert((encap.kind, encap.ip), name) {
                problems.push(
                    Problem::new(
                        place("ip"),
                        format!(
                            "chassis `{name}` and `{other}` have the same {} address {}",
                            encap.kind.name(),
                            encap.ip
                        ),
                    )
                    .mend("every chassis has its own address in the underlay")
                    .also(Place::at(["chassis", other, "encap"]), "the other one"),
                );
            }
        }
    }
}

fn check_encap(encap: &Encap, place: impl Fn(&'static str) -> Place, problems: &mut Vec<Problem>) {
    if encap.ip.is_unspecified() || encap.ip.is_multicast() {
        problems.push(Problem::new(
            place("ip"),
            format!("{} is not the address of one node", encap.ip),
        ));
    }
    if encap.port == Some(0) {
        problems.push(
            Problem::new(place("port"), "UDP port 0 cannot be used")
                .mend(format!("{} is usual", encap.kind.default_port())),
        );
    }
    if encap.kind == EncapKind::Vxlan && encap.port_keys {
        problems.push(
            Problem::new(place("port_keys"), "VXLAN has no room for port keys")
                .mend("leave port_keys out, or use type = \"geneve\""),
        );
    }
}
