//! Distributed floating IPs: translated where their logical port is bound, not where the gateway port is held.

use std::net::IpAddr;

use sluice_fastpath::tables::{Distributed, FloatingIp};
use sluice_net::Mac;

use super::View;
use super::nat::port_of;
use super::node::NodeView;
use super::router::indexed;
use crate::topology::{self, Nat, Place, Problem, ResolvedRouter};

/// Who carries out a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Who holds the gateway port.
    ToGateway,
    /// This node; the address outside has this MAC.
    Here(Mac),
    /// The chassis of its logical port; the address outside has this MAC.
    Elsewhere(Mac),
}

/// Who carries out a rule, as this node sees it.
pub(super) fn bound(node: &NodeView, nat: &Nat) -> Bound {
    match (nat.external_mac, &nat.logical_port) {
        (Some(mac), Some(port)) if node.iface_id.contains_key(port) => Bound::Here(mac),
        (Some(mac), Some(_)) => Bound::Elsewhere(mac),
        _ => Bound::ToGateway,
    }
}

/// Some distributed floating IP of the router is this node's.
pub(super) fn any_here(node: &NodeView, router: &ResolvedRouter) -> bool {
    let mut rules = router.nat.iter();
    rules.any(|nat| matches!(bound(node, nat), Bound::Here(_)))
}

/// Those that are this node's.
pub(super) fn compile(node: &NodeView, router: &ResolvedRouter) -> Distributed {
    let here = router.nat.iter().filter_map(|nat| {
        let Bound::Here(mac) = bound(node, nat) else {
            return None;
        };
        Some(FloatingIp {
            inside: nat.logical_ip.addr(),
            outside: nat.external_ip,
            mac,
            port: port_of(router, nat)?,
        })
    });
    Distributed::new(&here.collect::<Vec<_>>())
}

/// Addresses outside that another chassis has, with their MACs: neighbors of the gateway port.
pub(super) fn neighbors(
    node: &NodeView,
    router: &ResolvedRouter,
) -> impl Iterator<Item = ((u16, IpAddr), Mac)> {
    router.nat.iter().filter_map(move |nat| {
        let Bound::Elsewhere(mac) = bound(node, nat) else {
            return None;
        };
        Some(((port_of(router, nat)?, nat.external_ip), mac))
    })
}

/// Addresses outside that this node has on the link of a router port, with their MACs.
pub(super) fn on_link(node: &NodeView, router: &ResolvedRouter, port: &str) -> Vec<(IpAddr, Mac)> {
    let number = indexed(router).find(|(_, name, _)| *name == port);
    let number = number.map(|(number, _, _)| number);
    let here = router.nat.iter().filter_map(|nat| {
        let Bound::Here(mac) = bound(node, nat) else {
            return None;
        };
        (number.is_some() && port_of(router, nat) == number).then_some((nat.external_ip, mac))
    });
    here.collect()
}

/// What leaves from here needs the wire here.
pub(super) fn check(
    view: &View<'_>,
    name: &str,
    router: &ResolvedRouter,
    problems: &mut Vec<Problem>,
) {
    for (index, nat) in router.nat.iter().enumerate() {
        let (Bound::Here(_), Some(logical_port)) = (bound(view.node, nat), &nat.logical_port)
        else {
            continue;
        };
        let port = port_of(router, nat);
        let body = indexed(router).find(|(number, _, _)| Some(*number) == port);
        let switch = body.and_then(|(_, _, body)| match &body.peer {
            Some(topology::Peer::Switch { switch, .. }) => Some(switch.as_str()),
            _ => None,
        });
        let outline = switch.and_then(|switch| view.outlines.get(switch));
        if outline.is_some_and(|outline| outline.localnet.is_some()) {
            continue;
        }
        let place = Place::at(["router", name, "nat", "logical_port"]).nth(index);
        let message = format!(
            "port `{logical_port}` is bound on this node, which has no way to the physical network of {}",
            nat.external_ip
        );
        let network = switch.and_then(|switch| localnet(view, switch));
        let mend = match network {
            Some(network) => format!("bridge_mappings = {{ {network} = ... }} in the node file"),
            None => "give the switch of the gateway port a port of type localnet".to_owned(),
        };
        problems.push(Problem::new(place, message).mend(mend));
    }
}

/// Name of the physical network of a switch.
fn localnet<'v>(view: &View<'v>, switch: &str) -> Option<&'v str> {
    let ports = view.resolved.switches.get(switch)?.ports.values();
    let mut networks = ports.filter_map(|port| match &port.attachment {
        topology::Attachment::Localnet { network, .. } => Some(network.as_str()),
        _ => None,
    });
    networks.next()
}
