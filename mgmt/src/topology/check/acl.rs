//! ACLs, port groups and address sets. What expressions say is read where they are resolved.

use hashbrown::HashMap;

use super::super::acl::{Acl, AclAction};
use super::super::expression::{Addresses, is_name};
use super::super::model::{SwitchPortKind, Topology};
use super::super::names::{Names, Owner, push_missing};
use super::super::problem::{Place, Problem};

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    for (name, addresses) in &topology.address_sets {
        check_name("address_set", name, problems);
        check_generated(topology, name, problems);
        check_kinds(name, addresses, problems);
    }
    for (name, group) in &topology.port_groups {
        check_name("port_group", name, problems);
        check_members(topology, names, name, &group.ports, problems);
        check_list(["port_group", name], &group.acls, problems);
    }
    for (name, switch) in &topology.switches {
        check_list(["switch", name], &switch.acls, problems);
    }
}

/// Names that expressions refer to have the form of OVN's identifiers.
fn check_name(noun: &str, name: &str, problems: &mut Vec<Problem>) {
    if is_name(name) {
        return;
    }
    let message = format!("expressions could not refer to `{name}`");
    problems.push(
        Problem::new(Place::at([noun, name]), message)
            .mend("letters, digits, `_` and `.`; no digit at the beginning"),
    );
}

/// Every port group brings two address sets.
fn check_generated(topology: &Topology, name: &str, problems: &mut Vec<Problem>) {
    let group = name.strip_suffix("_ip4").or(name.strip_suffix("_ip6"));
    let Some(group) = group.filter(|group| topology.port_groups.contains_key(*group)) else {
        return;
    };
    problems.push(
        Problem::new(
            Place::at(["address_set", name]),
            format!("`{name}` is the set of the addresses of port group `{group}`"),
        )
        .mend("rename this one")
        .also(Place::at(["port_group", group]), "brings the other"),
    );
}

fn check_kinds(name: &str, addresses: &Addresses, problems: &mut Vec<Problem>) {
    let Some(first) = addresses.first() else {
        return;
    };
    let other = addresses.iter().position(|a| a.form != first.form);
    if let Some(index) = other
        && let Some(address) = addresses.get(index)
    {
        let message = format!(
            "{} among addresses of which the first is {}",
            address.form.name(),
            first.form.name()
        );
        problems.push(
            Problem::new(
                Place::at(["address_set", name, "addresses"]).nth(index),
                message,
            )
            .mend("one set for each kind of address"),
        );
    }
}

fn check_members(
    topology: &Topology,
    names: &Names<'_>,
    name: &str,
    ports: &[String],
    problems: &mut Vec<Problem>,
) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, port) in ports.iter().enumerate() {
        let place = || Place::at(["port_group", name, "ports"]).nth(index);
        if seen.insert(port, index).is_some() {
            let problem = Problem::new(place(), format!("port `{port}` is in the group twice"));
            problems.push(problem.mend("remove one"));
        }
        match names.owner(port) {
            None => {
                let problem = Problem::new(place(), format!("there is no port `{port}`"))
                    .mend("declare it under the switch that it belongs to");
                let all = topology.switches.values().flat_map(|s| s.ports.keys());
                push_missing(problem, port, all.map(String::as_str), problems);
            }
            Some(Owner::Router(router)) => {
                let message = format!("`{port}` is a port of router `{router}`");
                problems.push(Problem::new(place(), message).mend("a group has ports of switches"));
            }
            Some(Owner::Switch(switch)) => {
                let port = topology
                    .switches
                    .get(switch)
                    .and_then(|s| s.ports.get(port));
                if port.is_some_and(|port| port.kind != SwitchPortKind::Vif) {
                    let message = "ports of type router or localnet are in no group";
                    problems.push(
                        Problem::new(place(), message)
                            .mend("remove it: ACLs match VIFs only, as in OVN"),
                    );
                }
            }
        }
    }
}

fn check_list([noun, name]: [&str; 2], acls: &[Acl], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<_, usize> = HashMap::with_capacity(acls.len());
    for (index, acl) in acls.iter().enumerate() {
        let place = |field| Place::at([noun, name, "acl", field]).nth(index);
        if acl.label.is_some() && !matches!(acl.action, AclAction::Allow | AclAction::AllowRelated)
        {
            let message = format!(
                "action {} opens no connection that a label could stay with",
                acl.action.name()
            );
            problems.push(Problem::new(place("label"), message).mend("remove label"));
        }
        let key = (acl.direction, acl.tier, acl.priority, acl.matches.as_str());
        if let Some(other) = seen.insert(key, index) {
            problems.push(
                Problem::new(
                    place("match"),
                    format!(
                        "another ACL of priority {} has the same match",
                        acl.priority
                    ),
                )
                .mend("remove one, or give them different priorities")
                .also(
                    Place::at([noun, name, "acl", "match"]).nth(other),
                    "the other one",
                ),
            );
        }
    }
}
