//! Which chassis run the distributed routers of a switch.
//!
//! Every chassis with a VM, a gateway router or a candidate gateway port in a network runs all its distributed
//! routers, and asks for the MACs behind them by itself. A network ends where [`reach`](super::reach) ends: at
//! gateway routers and behind gateway ports, where one chassis does it for the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::tables::FloodMember;
use sluice_net::ids::MC_FLOOD;

use super::reach::{Owner, Reach};
use super::tunnels::Tunnels;
use crate::topology::{Attachment, Peer, Resolved, ResolvedRouterPort, ResolvedSwitch};

/// The other chassis of every switch with a distributed router, one list for all switches of a network.
#[derive(Debug)]
pub(super) struct Components<'t> {
    chassis: HashMap<&'t str, Arc<[FloodMember]>>,
}

impl<'t> Components<'t> {
    pub(super) fn compute(resolved: &'t Resolved, tunnels: &Tunnels, reach: &Reach<'_>) -> Self {
        let mut chassis = HashMap::new();
        for (name, switch) in &resolved.switches {
            let wanted = reach.contains(Owner::Switch(name))
                && !chassis.contains_key(name.as_str())
                && is_routed(resolved, switch);
            if wanted {
                let component = Component::around(resolved, name);
                let members: Arc<[FloodMember]> = component.members(tunnels).into();
                for switch in component.switches {
                    chassis.insert(switch, Arc::clone(&members));
                }
            }
        }
        Self { chassis }
    }

    /// The other chassis that run the distributed routers of a switch.
    pub(super) fn chassis(&self, switch: &str) -> Arc<[FloodMember]> {
        self.chassis.get(switch).cloned().unwrap_or_default()
    }
}

/// A distributed router is attached to the switch.
fn is_routed(resolved: &Resolved, switch: &ResolvedSwitch) -> bool {
    switch.ports.values().any(|port| {
        let Attachment::Router { router, port } = &port.attachment else {
            return false;
        };
        let router = resolved.routers.get(router);
        router.is_some_and(|router| {
            let port = router.ports.get(port);
            router.chassis.is_none() && port.is_some_and(|port| port.gateway_chassis.is_empty())
        })
    })
}

/// Switches and distributed routers that hang together, and the chassis that run them.
#[derive(Debug, Default)]
struct Component<'t> {
    switches: HashSet<&'t str>,
    routers: HashSet<&'t str>,
    chassis: HashSet<&'t str>,
    open: Vec<Owner<'t>>,
}

impl<'t> Component<'t> {
    fn around(resolved: &'t Resolved, switch: &'t str) -> Self {
        let mut component = Self::default();
        component.open.push(Owner::Switch(switch));
        while let Some(owner) = component.open.pop() {
            match owner {
                Owner::Switch(name) if component.switches.insert(name) => {
                    component.switch(resolved, name);
                }
                Owner::Router(name) if component.routers.insert(name) => {
                    component.router(resolved, name);
                }
                Owner::Switch(_) | Owner::Router(_) => {}
            }
        }
        component
    }

    fn switch(&mut self, resolved: &'t Resolved, name: &str) {
        let switch = resolved.switches.get(name);
        for port in switch.into_iter().flat_map(|switch| switch.ports.values()) {
            match &port.attachment {
                Attachment::Vif => self.chassis.extend(port.chassis.as_deref()),
                Attachment::Router { router: name, port } => {
                    let router = resolved.routers.get(name);
                    match router.and_then(|router| router.ports.get(port)) {
                        Some(port) if !port.gateway_chassis.is_empty() => self.candidates(port),
                        _ => self.enter(resolved, name),
                    }
                }
                // Which nodes are on a physical network is not in the topology.
                Attachment::Localnet { .. } => {}
            }
        }
    }

    fn router(&mut self, resolved: &'t Resolved, name: &str) {
        let router = resolved.routers.get(name);
        for port in router.into_iter().flat_map(|router| router.ports.values()) {
            self.candidates(port);
            match &port.peer {
                Some(Peer::Switch { switch, .. }) if port.gateway_chassis.is_empty() => {
                    self.open.push(Owner::Switch(switch));
                }
                Some(Peer::Router { router, .. }) => self.enter(resolved, router),
                Some(Peer::Switch { .. }) | None => {}
            }
        }
    }

    /// A gateway router ends the network and runs on its own chassis.
    fn enter(&mut self, resolved: &'t Resolved, name: &'t str) {
        match resolved.routers.get(name).map(|router| &router.chassis) {
            Some(Some(chassis)) => _ = self.chassis.insert(chassis),
            Some(None) => self.open.push(Owner::Router(name)),
            None => {}
        }
    }

    fn candidates(&mut self, port: &'t ResolvedRouterPort) {
        let candidates = port.gateway_chassis.iter();
        self.chassis
            .extend(candidates.map(|(name, _)| name.as_str()));
    }

    /// One copy a chassis that a tunnel leads to. One without port keys finds the router by its MAC.
    fn members(&self, tunnels: &Tunnels) -> Vec<FloodMember> {
        let ids: BTreeSet<TunnelId> = self
            .chassis
            .iter()
            .filter_map(|chassis| tunnels.to(chassis))
            .collect();
        let member = |tunnel| FloodMember::Chassis {
            tunnel,
            group: tunnels
                .get(tunnel)
                .is_some_and(|tunnel| tunnel.port_keys)
                .then_some(MC_FLOOD),
        };
        ids.into_iter().map(member).collect()
    }
}
