//! Which datapaths this node needs, and which of them can meet a NAT or anything else that keeps connections.
//!
//! A node needs what a packet can walk into from where it enters: from the VIFs bound here, the localnets of
//! mapped networks, and the routers and gateway ports that may be this node's. The walk ends where another
//! chassis takes over: at a gateway router elsewhere, and behind a gateway port that this chassis is no
//! candidate of (OVN prunes its local datapaths in the same places). What is not needed is not compiled, and
//! its VNI is unknown here.

use hashbrown::{HashMap, HashSet};

use super::distributed::any_here;
use super::node::NodeView;
use crate::topology::{
    AclAction, Attachment, Peer, Resolved, ResolvedAcl, ResolvedRouter, ResolvedRouterPort,
    ResolvedSwitch, ResolvedSwitchPort,
};

/// A switch or a router, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner<'t> {
    Switch(&'t str),
    Router(&'t str),
}

/// The datapaths of this node, each with its `stateful` mark.
#[derive(Debug, Default)]
pub(super) struct Reach<'t> {
    stateful: HashMap<Owner<'t>, bool>,
}

impl<'t> Reach<'t> {
    pub(super) fn compute(resolved: &'t Resolved, node: &NodeView) -> Self {
        let mut reached = HashSet::new();
        let mut open: Vec<Owner<'t>> = seeds(resolved, node);
        while let Some(owner) = open.pop() {
            if reached.insert(owner) {
                for_each_neighbor(resolved, owner, |next, port| {
                    if !reached.contains(&next) && leads_on(resolved, node, next, port) {
                        open.push(next);
                    }
                });
            }
        }
        let stateful = spread(resolved, node, &reached);
        Self {
            stateful: reached
                .into_iter()
                .map(|owner| (owner, stateful.contains(&owner)))
                .collect(),
        }
    }

    /// True when this node needs the datapath.
    pub(super) fn contains(&self, owner: Owner<'_>) -> bool {
        self.stateful.contains_key(&owner)
    }

    /// True when a packet in the datapath can meet a NAT, load balancer or stateful ACL of this node.
    pub(super) fn stateful(&self, owner: Owner<'_>) -> bool {
        self.stateful.get(&owner).copied().unwrap_or(false)
    }
}

/// True when the gateway port or router may be processed on this node.
pub(super) fn may_be_here(node: &NodeView, router: &ResolvedRouter) -> bool {
    router.chassis.as_deref() == Some(&node.chassis)
        || router.ports.values().any(|port| is_candidate(node, port))
}

/// True when this chassis is in the list of a gateway port.
pub(super) fn is_candidate(node: &NodeView, port: &ResolvedRouterPort) -> bool {
    port.gateway_chassis
        .iter()
        .any(|(chassis, _)| *chassis == node.chassis)
}

/// True when a gateway router lives on another chassis.
pub(super) fn is_elsewhere(node: &NodeView, router: &ResolvedRouter) -> bool {
    router
        .chassis
        .as_ref()
        .is_some_and(|chassis| *chassis != node.chassis)
}

fn seeds<'t>(resolved: &'t Resolved, node: &NodeView) -> Vec<Owner<'t>> {
    let switches = resolved.switches.iter().filter(|(_, switch)| {
        switch
            .ports
            .iter()
            .any(|(name, port)| match &port.attachment {
                Attachment::Vif => node.iface_id.contains_key(name),
                Attachment::Localnet { network, .. } => node.bridge_mappings.contains_key(network),
                Attachment::Router { .. } => false,
            })
    });
    let routers = resolved
        .routers
        .iter()
        .filter(|(_, router)| may_be_here(node, router));
    let switches = switches.map(|(name, _)| Owner::Switch(name));
    switches
        .chain(routers.map(|(name, _)| Owner::Router(name)))
        .collect()
}

/// Every datapath next to `owner`, with the router port between the two when `owner` is its router.
fn for_each_neighbor<'t>(
    resolved: &'t Resolved,
    owner: Owner<'t>,
    mut visit: impl FnMut(Owner<'t>, Option<&'t ResolvedRouterPort>),
) {
    match owner {
        Owner::Switch(name) => {
            let ports = resolved
                .switches
                .get(name)
                .into_iter()
                .flat_map(|switch| switch.ports.values());
            for port in ports {
                if let Attachment::Router { router, .. } = &port.attachment {
                    visit(Owner::Router(router), None);
                }
            }
        }
        Owner::Router(name) => {
            let ports = resolved
                .routers
                .get(name)
                .into_iter()
                .flat_map(|router| router.ports.values());
            for port in ports {
                match &port.peer {
                    Some(Peer::Switch { switch, .. }) => visit(Owner::Switch(switch), Some(port)),
                    Some(Peer::Router { router, .. }) => visit(Owner::Router(router), Some(port)),
                    None => {}
                }
            }
        }
    }
}

/// False where another chassis takes over.
fn leads_on(
    resolved: &Resolved,
    node: &NodeView,
    next: Owner<'_>,
    by: Option<&ResolvedRouterPort>,
) -> bool {
    if by.is_some_and(|port| !port.gateway_chassis.is_empty() && !is_candidate(node, port)) {
        return false;
    }
    match next {
        Owner::Switch(name) => resolved.switches.contains_key(name),
        Owner::Router(name) => resolved
            .routers
            .get(name)
            .is_some_and(|router| !is_elsewhere(node, router)),
    }
}

fn has_rules(router: &ResolvedRouter) -> bool {
    !router.nat.is_empty() || !router.load_balancers.is_empty()
}

/// The switch has load balancers, and what its VIFs send enters it on this node: that of VIFs bound here, and of those
/// whose chassis sends no port keys.
pub(super) fn balances(resolved: &Resolved, node: &NodeView, switch: &ResolvedSwitch) -> bool {
    let keyless = |chassis: &String| {
        let chassis = resolved.chassis.get(chassis);
        chassis.is_some_and(|chassis| chassis.encaps.iter().any(|encap| !encap.port_keys))
    };
    let enters = |(name, port): (&String, &ResolvedSwitchPort)| {
        port.attachment == Attachment::Vif
            && (node.iface_id.contains_key(name) || port.chassis.as_ref().is_some_and(keyless))
    };
    !switch.load_balancers.is_empty() && switch.ports.iter().any(enters)
}

/// Some ACL that holds in the switch lets answers pass, so connections are kept.
pub(super) fn tracks(resolved: &Resolved, name: &str, switch: &ResolvedSwitch) -> bool {
    let related = |acls: &[ResolvedAcl]| {
        let mut acls = acls.iter();
        acls.any(|acl| acl.acl.action == AclAction::AllowRelated)
    };
    let mut groups = resolved.port_groups.values();
    related(&switch.acls)
        || groups.any(|group| related(&group.acls) && group.ports.contains_key(name))
}

/// What hangs together with a router whose rules this node may carry out, or a switch whose load balancers or
/// stateful ACLs it does.
fn spread<'t>(
    resolved: &'t Resolved,
    node: &NodeView,
    reached: &HashSet<Owner<'t>>,
) -> HashSet<Owner<'t>> {
    let translates = |owner: &Owner<'t>| match owner {
        Owner::Router(name) => resolved.routers.get(*name).is_some_and(|router| {
            has_rules(router) && may_be_here(node, router) || any_here(node, router)
        }),
        Owner::Switch(name) => resolved.switches.get(*name).is_some_and(|switch| {
            balances(resolved, node, switch) || tracks(resolved, name, switch)
        }),
    };
    let mut open: Vec<Owner<'t>> = reached.iter().copied().filter(translates).collect();
    let mut stateful = HashSet::new();
    while let Some(owner) = open.pop() {
        if stateful.insert(owner) {
            for_each_neighbor(resolved, owner, |next, _| {
                if reached.contains(&next) && !stateful.contains(&next) {
                    open.push(next);
                }
            });
        }
    }
    stateful
}
