//! Outlines of all switches that matter, and what an operator should know about ports that go nowhere.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::node::NodeView;
use super::outline::Outline;
use super::reach::{Owner, Reach};
use super::tunnels::Tunnels;
use crate::topology::{Attachment, Peer, Resolved, ResolvedSwitch};

/// Names told of one kind of warning; the rest is a number.
const NAMES_TOLD: usize = 5;

/// Outlines the switches of this node and those its routers are attached to.
pub(super) fn outline_all<'t>(
    resolved: &'t Resolved,
    node: &NodeView,
    tunnels: &Tunnels,
    reach: &Reach<'_>,
) -> (HashMap<&'t str, Outline<'t>>, Vec<String>) {
    let here = resolved
        .switches
        .keys()
        .map(String::as_str)
        .filter(|name| reach.contains(Owner::Switch(name)));
    let routers = resolved
        .routers
        .iter()
        .filter(|(name, _)| reach.contains(Owner::Router(name)));
    let links = routers
        .flat_map(|(_, router)| router.ports.values())
        .filter_map(|port| match &port.peer {
            Some(Peer::Switch { switch, .. }) => Some(switch.as_str()),
            _ => None,
        });
    let mut outlines = HashMap::new();
    let mut unreachable = BTreeMap::new();
    for name in here.chain(links) {
        if let Some(switch) = resolved.switches.get(name)
            && !outlines.contains_key(name)
        {
            let outline = Outline::of(resolved, node, tunnels, switch, &mut unreachable);
            outlines.insert(name, outline);
        }
    }
    let mut warnings: Vec<String> = not_bound(resolved, node).into_iter().collect();
    warnings.extend(not_reached(node, unreachable));
    (outlines, warnings)
}

/// VIFs that others look for on this node, without an interface.
fn not_bound(resolved: &Resolved, node: &NodeView) -> Option<String> {
    let missing = |switch: &'_ ResolvedSwitch| -> Vec<String> {
        let ports = switch.ports.iter().filter(|(name, port)| {
            port.attachment == Attachment::Vif
                && port.chassis.as_ref() == Some(&node.chassis)
                && !node.iface_id.contains_key(*name)
        });
        ports.map(|(name, _)| format!("`{name}`")).collect()
    };
    let names: Vec<String> = resolved.switches.values().flat_map(missing).collect();
    let told = names
        .get(..names.len().min(NAMES_TOLD))
        .unwrap_or_default()
        .join(", ");
    let rest = names.len().saturating_sub(NAMES_TOLD);
    match (names.len(), rest) {
        (0, _) => None,
        (1, _) => Some(format!(
            "port {told} is bound to this chassis in the topology, but no interface has it as iface_id"
        )),
        (_, 0) => Some(format!(
            "ports {told} are bound to this chassis in the topology, but no interface has them as iface_id"
        )),
        _ => Some(format!(
            "ports {told} and {rest} more are bound to this chassis in the topology, but no interface has them as iface_id"
        )),
    }
}

/// Ports on chassis that no tunnel leads to.
fn not_reached(node: &NodeView, unreachable: BTreeMap<&str, usize>) -> Vec<String> {
    if node.underlay.is_none() {
        let ports: usize = unreachable.values().sum();
        let warning =
            format!("this node has no underlay: {ports} ports on other chassis cannot be reached");
        return if ports == 0 {
            Vec::new()
        } else {
            vec![warning]
        };
    }
    let warnings = unreachable.into_iter().map(|(chassis, ports)| {
        format!("no encapsulation in common with chassis `{chassis}`: {ports} of its ports cannot be reached")
    });
    warnings.collect()
}
