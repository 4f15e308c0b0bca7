//! Health checks of backends: how, and which other chassis may do them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::tables::{self, FloodMember, Mapping, Monitored};
use sluice_net::ids::MC_FLOOD;

use super::tunnels::Tunnels;
use crate::topology::{
    Attachment, Endpoint, HealthCheck, LoadBalancer, PortMapping, Probe, Resolved,
};

/// What the switches need to know of the backends that are checked behind their ports.
#[derive(Debug, Default)]
pub(super) struct Checked<'t> {
    by_switch: HashMap<&'t str, Arc<Monitored>>,
}

/// What is known of one switch while it is gathered: sources of checks, chassis that check.
type Gathered<'t> = (BTreeSet<IpAddr>, BTreeSet<&'t str>);

impl<'t> Checked<'t> {
    pub(super) fn compute(resolved: &'t Resolved, tunnels: &Tunnels) -> Self {
        let balancers = resolved.load_balancers.iter();
        let checked: Vec<(&str, &LoadBalancer)> = balancers
            .filter(|(_, balancer)| !balancer.health_checks.is_empty())
            .map(|(name, balancer)| (name.as_str(), balancer))
            .collect();
        if checked.is_empty() {
            return Self::default();
        }
        let switch_of = switches_by_port(resolved);
        let mut gathered: HashMap<&str, Gathered<'t>> = HashMap::new();
        for (name, balancer) in checked {
            let users = users(resolved, name);
            for mapping in balancer.ip_port_mappings.values() {
                if let Some(switch) = switch_of.get(mapping.logical_port.as_str()) {
                    let (sources, chassis) = gathered.entry(switch).or_default();
                    sources.insert(mapping.source_ip);
                    chassis.extend(&users);
                }
            }
        }
        let monitored = |(sources, chassis): Gathered<'_>| Monitored {
            sources,
            nodes: members(tunnels, &chassis).into(),
        };
        let switches = gathered.into_iter();
        Self {
            by_switch: switches
                .map(|(switch, gathered)| (switch, Arc::new(monitored(gathered))))
                .collect(),
        }
    }

    /// What a switch needs to know; `None` when nothing is checked behind its ports.
    pub(super) fn of(&self, switch: &str) -> Option<Arc<Monitored>> {
        self.by_switch.get(switch).cloned()
    }
}

fn switches_by_port(resolved: &Resolved) -> HashMap<&str, &str> {
    let switches = resolved.switches.iter();
    let ports = switches.flat_map(|(switch, body)| {
        let names = body.ports.keys();
        names.map(move |port| (port.as_str(), switch.as_str()))
    });
    ports.collect()
}

/// The chassis that give new connections of a load balancer to backends.
fn users<'t>(resolved: &'t Resolved, balancer: &str) -> BTreeSet<&'t str> {
    let has = |names: &[String]| names.iter().any(|name| name == balancer);
    let mut users = BTreeSet::new();
    for router in resolved.routers.values() {
        if has(&router.load_balancers) {
            users.extend(router.chassis.as_deref());
            let gateways = router.ports.values();
            let candidates = gateways.flat_map(|port| &port.gateway_chassis);
            users.extend(candidates.map(|(chassis, _)| chassis.as_str()));
        }
    }
    for switch in resolved.switches.values() {
        if has(&switch.load_balancers) {
            let vifs = switch.ports.values();
            let vifs = vifs.filter(|port| port.attachment == Attachment::Vif);
            users.extend(vifs.filter_map(|port| port.chassis.as_deref()));
        }
    }
    users
}

fn members(tunnels: &Tunnels, chassis: &BTreeSet<&str>) -> Vec<FloodMember> {
    let ids: BTreeSet<TunnelId> = chassis.iter().filter_map(|name| tunnels.to(name)).collect();
    let keyed = |tunnel| {
        let tunnel = tunnels.get(tunnel);
        tunnel.is_some_and(|tunnel| tunnel.port_keys)
    };
    let member = |tunnel| FloodMember::Chassis {
        tunnel,
        group: keyed(tunnel).then_some(MC_FLOOD),
    };
    ids.into_iter().map(member).collect()
}

/// How the backends of a virtual IP are checked.
pub(super) fn check(declared: &LoadBalancer, vip: &Endpoint) -> Option<tables::HealthCheck> {
    let HealthCheck {
        probe,
        interval,
        timeout,
        success_count,
        failure_count,
    } = declared.health_checks.get(vip)?;
    Some(tables::HealthCheck {
        probe: match probe {
            Probe::Tcp => tables::Probe::Tcp,
            Probe::Http { path, status } => tables::Probe::Http {
                path: path.clone(),
                status: *status,
            },
            Probe::Udp => tables::Probe::Udp,
            Probe::Icmp => tables::Probe::Icmp,
        },
        interval: u32::from(*interval) * 1000,
        timeout: u32::from(*timeout) * 1000,
        success_count: *success_count,
        failure_count: *failure_count,
    })
}

/// Where a backend of a virtual IP is checked, if it is.
pub(super) fn mapping(declared: &LoadBalancer, vip: &Endpoint, ip: IpAddr) -> Option<Mapping> {
    declared.health_checks.get(vip)?;
    let PortMapping {
        logical_port,
        source_ip,
    } = declared.ip_port_mappings.get(&ip)?;
    Some(Mapping {
        logical_port: logical_port.clone(),
        source: *source_ip,
    })
}
