//! Expressions of ACLs are read, port groups sorted by switch, their address sets made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::acl::{Acl, AclDirection};
use super::expression::{Addresses, Constant, Expression, Form, PortCheck, Ports, Scope};
use super::model::{SwitchPortKind, Topology};
use super::names::{Names, Owner, nearest};
use super::problem::{Place, Problem, Within};
use super::resolved::{Resolved, ResolvedAcl, ResolvedPortGroup};

/// Fills in what a topology says about access. The rest of `resolved` is there.
pub(super) fn resolve(
    topology: &Topology,
    names: &Names<'_>,
    resolved: &mut Resolved,
    problems: &mut Vec<Problem>,
) {
    let mut lists = Lists {
        topology,
        names,
        groups: topology.port_groups.keys().map(String::as_str).collect(),
        sets: topology.address_sets.clone(),
        problems,
    };
    let members: BTreeMap<&str, BTreeMap<String, Vec<String>>> = topology
        .port_groups
        .iter()
        .map(|(name, group)| (name.as_str(), lists.by_switch(&group.ports)))
        .collect();
    for (name, ports) in &members {
        let (v4, v6) = addresses(resolved, ports);
        lists.sets.insert(format!("{name}_ip4"), v4);
        lists.sets.insert(format!("{name}_ip6"), v6);
    }
    for (name, switch) in &topology.switches {
        if !switch.acls.is_empty() {
            let read = lists.of_switch(name, &switch.acls);
            if let Some(switch) = resolved.switches.get_mut(name) {
                switch.acls = read;
            }
        }
    }
    for (name, ports) in members {
        let Some(group) = topology.port_groups.get(name) else {
            continue;
        };
        let acls = lists.of_group(name, &ports, &group.acls);
        let group = ResolvedPortGroup { ports, acls };
        resolved.port_groups.insert(name.to_owned(), group);
    }
    resolved.address_sets = lists.sets;
}

/// The addresses of the ports of a group, as far as they are known: IPv4, and IPv6.
fn addresses(resolved: &Resolved, ports: &BTreeMap<String, Vec<String>>) -> (Addresses, Addresses) {
    let ports = ports.iter().flat_map(|(switch, ports)| {
        let switch = resolved.switches.get(switch);
        ports.iter().filter_map(move |port| switch?.ports.get(port))
    });
    let known = ports.flat_map(|port| &port.addresses);
    let (v4, v6): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = known
        .flat_map(|known| known.ips.iter().copied())
        .partition(IpAddr::is_ipv4);
    let constants = |ips: BTreeSet<IpAddr>| ips.into_iter().map(host).collect();
    (constants(v4), constants(v6))
}

fn host(ip: IpAddr) -> Constant {
    let (value, form) = match ip {
        IpAddr::V4(ip) => (ip.to_bits().into(), Form::Ipv4),
        IpAddr::V6(ip) => (ip.to_bits(), Form::Ipv6),
    };
    Constant {
        value,
        mask: None,
        form,
    }
}

/// Reads lists of rules.
struct Lists<'t, 'p> {
    topology: &'t Topology,
    names: &'t Names<'t>,
    groups: BTreeSet<&'t str>,
    sets: BTreeMap<String, Addresses>,
    problems: &'p mut Vec<Problem>,
}

impl Lists<'_, '_> {
    /// Names of ports by switch; those that are none have been told already.
    fn by_switch(&self, ports: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut sorted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for port in ports {
            if let Some(Owner::Switch(switch)) = self.names.owner(port) {
                let ports = sorted.entry(switch.to_owned()).or_default();
                ports.push(port.clone());
            }
        }
        sorted.values_mut().for_each(|ports| ports.sort_unstable());
        sorted
    }

    fn of_switch(&mut self, name: &str, acls: &[Acl]) -> Arc<[ResolvedAcl]> {
        let (topology, names) = (self.topology, self.names);
        let here = |port: &str| {
            let owner = port_owner(topology, names, port)?;
            if owner == name {
                return Ok(());
            }
            let ports = topology.switches.get(name).into_iter();
            let ports = ports.flat_map(|switch| switch.ports.keys());
            let mend = nearest(port, ports.map(String::as_str)).map_or_else(
                || format!("name a port of switch `{name}`"),
                |near| format!("did you mean \"{near}\"?"),
            );
            Err((format!("port `{port}` is in switch `{owner}`"), mend))
        };
        self.read(["switch", name], acls, &here)
    }

    fn of_group(
        &mut self,
        name: &str,
        members: &BTreeMap<String, Vec<String>>,
        acls: &[Acl],
    ) -> Arc<[ResolvedAcl]> {
        let (topology, names) = (self.topology, self.names);
        let here = |port: &str| {
            let owner = port_owner(topology, names, port)?;
            if members.contains_key(owner) {
                return Ok(());
            }
            let mend = "name a port of a switch that has a port in the group".to_owned();
            let message =
                format!("port `{port}` is in switch `{owner}`, where group `{name}` has no port");
            Err((message, mend))
        };
        self.read(["port_group", name], acls, &here)
    }

    fn read(
        &mut self,
        [noun, name]: [&str; 2],
        acls: &[Acl],
        check: &PortCheck<'_>,
    ) -> Arc<[ResolvedAcl]> {
        let mut scope = Scope {
            address_sets: &self.sets,
            port_groups: &self.groups,
            inport: Ports::Checked(check),
            outport: Ports::Checked(check),
        };
        let mut read = Vec::with_capacity(acls.len());
        for (index, acl) in acls.iter().enumerate() {
            scope.outport = match acl.direction {
                AclDirection::ToLport => Ports::Checked(check),
                _ => Ports::None("where a packet leaves is known in direction to-lport only"),
            };
            match Expression::parse(&acl.matches, &scope) {
                Ok(expression) => read.push(ResolvedAcl {
                    acl: acl.clone(),
                    expression,
                }),
                Err(fault) => {
                    let (line, column) = fault.position(&acl.matches);
                    let within = Within {
                        span: fault.span,
                        line,
                        column,
                    };
                    let place = Place::at([noun, name, "acl", "match"]).nth(index);
                    let mut problem = Problem::new(place, format!("`match`: {}", fault.message));
                    problem.mend = fault.mend;
                    self.problems.push(problem.within(within));
                }
            }
        }
        read.into()
    }
}

/// The switch of a port that ACLs may match, which are VIFs, as in OVN.
fn port_owner<'n>(
    topology: &Topology,
    names: &Names<'n>,
    port: &str,
) -> Result<&'n str, (String, String)> {
    let owner = match names.owner(port) {
        Some(Owner::Switch(switch)) => switch,
        Some(Owner::Router(router)) => {
            return Err((
                format!("port `{port}` is a port of router `{router}`"),
                "name a port of a switch".to_owned(),
            ));
        }
        None => {
            let ports = topology.switches.values().flat_map(|s| s.ports.keys());
            let mend = nearest(port, ports.map(String::as_str)).map_or_else(
                || "declare it under the switch that it belongs to".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            return Err((format!("there is no port `{port}`"), mend));
        }
    };
    let kind = topology.switches.get(owner).and_then(|s| s.ports.get(port));
    let kind = match kind.map(|port| &port.kind) {
        Some(SwitchPortKind::Router { .. }) => "router",
        Some(SwitchPortKind::Localnet { .. }) => "localnet",
        _ => return Ok(owner),
    };
    Err((
        format!("port `{port}` is of type {kind}: ACLs match VIFs only"),
        "match the addresses behind it".to_owned(),
    ))
}
