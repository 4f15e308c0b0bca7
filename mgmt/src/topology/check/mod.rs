//! What a topology must fulfil. Every check reports all it finds.

mod acl;
mod balancer;
mod chassis;
mod health;
mod mapping;
mod nat;
mod port;
mod router;
mod routes;
mod switch;

use super::model::Topology;
use super::names::{Names, push_missing};
use super::problem::{Place, Problem};

/// Runs every check.
pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    check_names(topology, problems);
    chassis::check(topology, problems);
    switch::check(topology, names, problems);
    router::check(topology, names, problems);
    nat::check(topology, names, problems);
    mapping::check(topology, problems);
    balancer::check(topology, names, problems);
    health::check(topology, names, problems);
    acl::check(topology, names, problems);
}

/// Longest name: it appears in socket paths, tables and trace lines.
const LONGEST_NAME: usize = 63;

fn check_names(topology: &Topology, problems: &mut Vec<Problem>) {
    let mut check = |place: &dyn Fn() -> Place, name: &str| {
        let wrong = if name.is_empty() {
            "a name may not be empty".to_owned()
        } else if name.len() > LONGEST_NAME {
            format!(
                "a name has at most {LONGEST_NAME} bytes, this one has {}",
                name.len()
            )
        } else if let Some(c) = name
            .chars()
            .find(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '"' | '`' | ','))
        {
            format!("a name may not contain {c:?}")
        } else {
            return;
        };
        problems.push(Problem::new(place(), wrong).mend("rename it"));
    };
    for name in topology.chassis.keys() {
        check(&|| Place::at(["chassis", name]), name);
    }
    for name in topology.load_balancers.keys() {
        check(&|| Place::at(["load_balancer", name]), name);
    }
    for (name, switch) in &topology.switches {
        check(&|| Place::at(["switch", name]), name);
        for port in switch.ports.keys() {
            check(&|| Place::at(["switch", name, "port", port]), port);
        }
    }
    for (name, router) in &topology.routers {
        check(&|| Place::at(["router", name]), name);
        for port in router.ports.keys() {
            check(&|| Place::at(["router", name, "port", port]), port);
        }
    }
}

/// Reports a chassis name that is not declared.
fn check_chassis_reference(
    topology: &Topology,
    name: &str,
    place: impl FnOnce() -> Place,
    problems: &mut Vec<Problem>,
) {
    if topology.chassis.contains_key(name) {
        return;
    }
    let problem = Problem::new(place(), format!("there is no chassis `{name}`"))
        .mend(format!("declare [chassis.{name}] with its encap"));
    push_missing(
        problem,
        name,
        topology.chassis.keys().map(String::as_str),
        problems,
    );
}
