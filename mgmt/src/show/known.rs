//! Filters must name something that there is: an empty table would hide a slip of the pen.

use std::collections::BTreeSet;

use sluice_fastpath::connections::State;
use sluice_fastpath::verdict::DropReason;

use super::flows::state_name as connection_state;
use super::query::{Query, What, protocol};
use crate::runtime;
use crate::topology::Resolved;

/// Names that are suggested at most, and listed at most when none is alike.
const SUGGESTED: usize = 3;
const LISTED: usize = 8;

/// How much alike a suggestion must be, from 0 to 1.
const ALIKE: f64 = 0.75;

/// A name that nothing has, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Does every name in the filter belong to something of the topology, the node or the fast path? What the topology
/// has and this node has not is no error; the table is empty then.
///
/// # Errors
/// The first name that does not.
pub(crate) fn check(state: &runtime::State, query: &Query) -> Result<(), Unknown> {
    let filter = &query.filter;
    let configuration = state.configuration();
    let (node, topology) = (&configuration.node, &configuration.topology);
    let switches = || topology.switches.keys().map(String::as_str).collect();
    let routers = || topology.routers.keys().map(String::as_str).collect();
    let chassis = || topology.chassis.keys().map(String::as_str).collect();
    let interfaces = || node.interfaces.keys().map(String::as_str).collect();
    let reasons = || DropReason::ALL.iter().map(|reason| reason.name()).collect();
    let ports = || ports(query.what, topology);
    if let Some(wanted) = &filter.switch {
        find("switch", "show topology", wanted, switches())?;
    }
    if let Some(wanted) = &filter.router {
        find("router", "show topology", wanted, routers())?;
    }
    if let Some(wanted) = &filter.port {
        let noun = match query.what {
            What::Ports => "port",
            What::Fdb => "switch port",
            _ => "router port",
        };
        find(noun, "show ports", wanted, ports())?;
    }
    if let Some(wanted) = &filter.interface {
        find("interface", "show interfaces", wanted, interfaces())?;
    }
    if let Some(wanted) = &filter.chassis {
        find("chassis", "show topology", wanted, chassis())?;
    }
    if let Some(wanted) = &filter.zone {
        let datapaths = switches().into_iter().chain(routers()).collect();
        find("switch or router", "show topology", wanted, datapaths)?;
    }
    if let Some(wanted) = &filter.state {
        let states = State::ALL.map(connection_state).into_iter();
        let states: BTreeSet<&str> = states.collect();
        let states = states.into_iter().collect();
        find("state of connections", "show totals", wanted, states)?;
    }
    if let Some(wanted) = &filter.proto
        && protocol(wanted).is_none()
    {
        let message = format!("there is no protocol `{wanted}`");
        let help = "tcp, udp, icmp, sctp, or the number of another".to_owned();
        return Err(Unknown { message, help });
    }
    if let Some(wanted) = &filter.reason {
        find("drop reason", "show drops --all", wanted, reasons())?;
    }
    Ok(())
}

/// Names of the ports that a table can have.
fn ports(what: What, topology: &Resolved) -> Vec<&str> {
    let of_switches = topology.switches.values().flat_map(|own| own.ports.keys());
    let of_routers = topology.routers.values().flat_map(|own| own.ports.keys());
    let mut names: Vec<&str> = Vec::new();
    if matches!(what, What::Ports | What::Fdb) {
        names.extend(of_switches.map(String::as_str));
    }
    if what != What::Fdb {
        names.extend(of_routers.map(String::as_str));
    }
    if what == What::Neighbors {
        names.push("underlay");
    }
    names
}

fn find(noun: &str, list: &str, wanted: &str, names: Vec<&str>) -> Result<(), Unknown> {
    if names.contains(&wanted) {
        return Ok(());
    }
    let near = nearest(wanted, &names);
    let quoted = |names: &[&str]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let help = if !near.is_empty() {
        format!("did you mean {}?", quoted(&near))
    } else if (1..=LISTED).contains(&names.len()) {
        format!("there are {}", quoted(&names))
    } else {
        format!("`sluicectl {list}` lists them")
    };
    Err(Unknown {
        message: format!("there is no {noun} `{wanted}`"),
        help,
    })
}

/// The names most like a wrong one, best first.
fn nearest<'a>(wrong: &str, names: &[&'a str]) -> Vec<&'a str> {
    let scored = names
        .iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), *name));
    let mut alike: Vec<(f64, &str)> = scored.filter(|(score, _)| *score >= ALIKE).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    alike.truncate(SUGGESTED);
    alike.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_are_suggested_or_all_are_listed_or_where_to_look() {
        let help = |wanted: &str, names: Vec<&str>| {
            let unknown = find("router", "show topology", wanted, names).expect_err("unknown");
            assert_eq!(unknown.message, format!("there is no router `{wanted}`"));
            unknown.help
        };
        let names = vec!["router1", "router2", "router3", "router4", "edge"];
        assert_eq!(find("router", "", "edge", names.clone()), Ok(()));
        assert_eq!(
            help("router", names.clone()),
            "did you mean `router1`, `router2`, `router3`?"
        );
        assert_eq!(help("egde", names), "did you mean `edge`?");
        assert_eq!(help("zzz", vec!["a", "b"]), "there are `a`, `b`");
        let list = "`sluicectl show topology` lists them";
        assert_eq!(help("zzz", Vec::new()), list);
        assert_eq!(help("zzz", vec!["a"; LISTED + 1]), list);
    }
}
