//! From what was declared to what holds: checks, then everything that was left out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_net::addr::eui64_link_local;
use sluice_net::ids::{PortKey, Vni};

use super::check::check;
use super::dynamic::{Pool, derived_mac};
use super::keys::{Claim, LAST_DATAPATH_KEY, LAST_PORT_KEY, assign};
use super::model::{PortAddress, Router, RouterPort, Switch, SwitchPort, SwitchPortKind, Topology};
use super::names::Names;
use super::problem::{Place, Problem};
use super::resolve_acl;
use super::resolved::{
    Attachment, DEFAULT_MAC_AGE_SECONDS, DEFAULT_MAC_LIMIT, KnownAddress, Peer, Resolved,
    ResolvedRouter, ResolvedRouterPort, ResolvedSwitch, ResolvedSwitchPort,
};

/// Checks a topology and fills in what it leaves out: tunnel keys, MACs, dynamic and link-local
/// addresses.
///
/// # Errors
/// Everything that is wrong, not only the first thing; order is not significant.
pub fn resolve(topology: &Topology) -> Result<Resolved, Vec<Problem>> {
    let mut problems = Vec::new();
    let names = Names::index(topology, &mut problems);
    check(topology, &names, &mut problems);
    let resolver = Resolver { names };
    let mut resolved = resolver.topology(topology, &mut problems);
    resolve_acl::resolve(topology, &resolver.names, &mut resolved, &mut problems);
    if problems.is_empty() {
        Ok(resolved)
    } else {
        Err(problems)
    }
}

struct Resolver<'t> {
    names: Names<'t>,
}

impl Resolver<'_> {
    fn topology(&self, topology: &Topology, problems: &mut Vec<Problem>) -> Resolved {
        let claims: Vec<_> = topology
            .switches
            .iter()
            .map(|(name, switch)| ("switch", name, switch.key))
            .chain(
                topology
                    .routers
                    .iter()
                    .map(|(name, router)| ("router", name, router.key)),
            )
            .map(|(role, name, key)| Claim {
                role,
                name,
                declared: key.map(Vni::get),
            })
            .collect();
        let place = |claim: &Claim<'_>| Place::at([claim.role, claim.name, "key"]);
        let mut keys = assign(&claims, LAST_DATAPATH_KEY, place, problems)
            .into_iter()
            .map(|key| Vni::new(key).unwrap_or_default());
        let mut key = || keys.next().unwrap_or_default();
        let switches = topology
            .switches
            .iter()
            .map(|(name, switch)| (name.clone(), self.switch(name, switch, key(), problems)))
            .collect();
        let routers = topology
            .routers
            .iter()
            .map(|(name, router)| (name.clone(), self.router(name, router, key(), problems)))
            .collect();
        Resolved {
            chassis: topology.chassis.clone(),
            switches,
            routers,
            load_balancers: topology.load_balancers.clone(),
            default_acl_drop: topology.default_acl_drop,
            ..Resolved::default()
        }
    }

    fn switch(
        &self,
        name: &str,
        switch: &Switch,
        key: Vni,
        problems: &mut Vec<Problem>,
    ) -> ResolvedSwitch {
        let claims: Vec<_> = switch
            .ports
            .iter()
            .map(|(port, body)| port_claim("port", port, body.key))
            .collect();
        let place = |claim: &Claim<'_>| Place::at(["switch", name, "port", claim.name, "key"]);
        let keys = assign(&claims, LAST_PORT_KEY, place, problems);
        let mut dynamic = self.dynamic(name, switch, problems);
        let ports = switch.ports.iter().zip(keys);
        let ports = ports.filter_map(|((port, body), key)| {
            let chosen = dynamic.remove(port.as_str());
            let resolved = self.switch_port(port, body, port_key(key)?, chosen)?;
            Some((port.clone(), resolved))
        });
        ResolvedSwitch {
            key,
            subnet: switch.subnet,
            ports: ports.collect(),
            mac_limit: switch.mac_limit.unwrap_or(DEFAULT_MAC_LIMIT),
            mac_age_seconds: switch.mac_age_seconds.unwrap_or(DEFAULT_MAC_AGE_SECONDS),
            load_balancers: switch.load_balancers.clone(),
            acls: Arc::default(),
        }
    }

    /// The addresses of the ports that have a dynamic one.
    fn dynamic<'s>(
        &self,
        name: &str,
        switch: &'s Switch,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<&'s str, IpAddr> {
        let wants = |port: &SwitchPort| {
            let mut addresses = port.addresses.iter();
            addresses.position(|address| matches!(address, PortAddress::Dynamic { .. }))
        };
        let mut chosen = BTreeMap::new();
        let Some(subnet) = &switch.subnet else {
            return chosen;
        };
        if !switch.ports.values().any(|port| wants(port).is_some()) {
            return chosen;
        }
        let mut pool = Pool::new(subnet, &switch.exclude_ips);
        for port in switch.ports.values() {
            self.reserve(port, &mut pool);
        }
        for (port_name, port) in &switch.ports {
            let Some(index) = wants(port) else { continue };
            if let Some(ip) = pool.take(port_name) {
                chosen.insert(port_name.as_str(), ip);
            } else {
                problems.push(
                    Problem::new(
                        Place::at(["switch", name, "port", port_name, "addresses"]).nth(index),
                        format!("subnet {subnet} of switch `{name}` has no free address left"),
                    )
                    .mend("use a larger subnet, or exclude less"),
                );
            }
        }
        chosen
    }

    fn reserve(&self, port: &SwitchPort, pool: &mut Pool) {
        if let SwitchPortKind::Router { router_port } = &port.kind
            && let Some((_, body)) = self.names.router_port(router_port)
        {
            body.networks
                .iter()
                .for_each(|network| pool.reserve(network.addr()));
        }
        for address in &port.addresses {
            if let PortAddress::Static { ips, .. } = address {
                ips.iter().for_each(|ip| pool.reserve(*ip));
            }
        }
    }

    fn switch_port(
        &self,
        name: &str,
        port: &SwitchPort,
        key: PortKey,
        chosen: Option<IpAddr>,
    ) -> Option<ResolvedSwitchPort> {
        let (attachment, addresses) = match &port.kind {
            SwitchPortKind::Vif => (Attachment::Vif, known_addresses(name, port, chosen)),
            SwitchPortKind::Router { router_port } => {
                let (router, body) = self.names.router_port(router_port)?;
                let attachment = Attachment::Router {
                    router: router.to_owned(),
                    port: router_port.clone(),
                };
                (attachment, vec![router_addresses(router_port, body)])
            }
            SwitchPortKind::Localnet { network, tag } => {
                let network = network.clone();
                (Attachment::Localnet { network, tag: *tag }, Vec::new())
            }
        };
        let localnet = matches!(attachment, Attachment::Localnet { .. });
        Some(ResolvedSwitchPort {
            key,
            attachment,
            addresses,
            unknown: localnet || port.addresses.contains(&PortAddress::Unknown),
            port_security: port.port_security.clone(),
            chassis: port.chassis.clone(),
            enabled: port.enabled,
            vlan: port.vlan,
        })
    }

    fn router(
        &self,
        name: &str,
        router: &Router,
        key: Vni,
        problems: &mut Vec<Problem>,
    ) -> ResolvedRouter {
        let gateways = router
            .ports
            .iter()
            .filter(|(_, body)| !body.gateway_chassis.is_empty());
        let claims: Vec<_> = router
            .ports
            .iter()
            .map(|(port, body)| port_claim("port", port, body.key))
            .chain(gateways.map(|(port, body)| port_claim(REDIRECT, port, body.redirect_key)))
            .collect();
        let place = |claim: &Claim<'_>| {
            let field = if claim.role == REDIRECT {
                "redirect_key"
            } else {
                "key"
            };
            Place::at(["router", name, "port", claim.name, field])
        };
        let keys = assign(&claims, LAST_PORT_KEY, place, problems);
        let (own, redirect) = keys.split_at(router.ports.len());
        let mut redirect = redirect.iter();
        let ports = router.ports.iter().zip(own);
        let ports = ports.filter_map(|((port, body), key)| {
            let gateway = !body.gateway_chassis.is_empty();
            let redirect_key = if gateway { redirect.next() } else { None };
            let redirect_key = redirect_key.and_then(|key| port_key(*key));
            let resolved = self.router_port(port, body, port_key(*key)?, redirect_key);
            Some((port.clone(), resolved))
        });
        ResolvedRouter {
            key,
            chassis: router.chassis.clone(),
            enabled: router.enabled,
            ports: ports.collect(),
            routes: router.routes.clone(),
            nat: router.nat.clone(),
            load_balancers: router.load_balancers.clone(),
            lb_force_snat_ip: router.lb_force_snat_ip,
            lb_force_router_ip: router.lb_force_router_ip,
            neighbors: router.neighbors.clone(),
        }
    }

    fn router_port(
        &self,
        name: &str,
        port: &RouterPort,
        key: PortKey,
        redirect_key: Option<PortKey>,
    ) -> ResolvedRouterPort {
        let mac = port.mac.unwrap_or_else(|| derived_mac(name));
        let mut gateway_chassis: Vec<_> = port
            .gateway_chassis
            .iter()
            .map(|(chassis, priority)| (chassis.clone(), *priority))
            .collect();
        gateway_chassis.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        ResolvedRouterPort {
            key,
            mac,
            networks: port.networks.clone(),
            link_local: eui64_link_local(mac),
            peer: self.peer(name, port),
            gateway_chassis,
            redirect_key,
            gateway_mtu: port.gateway_mtu,
            enabled: port.enabled,
        }
    }

    fn peer(&self, name: &str, port: &RouterPort) -> Option<Peer> {
        if let Some(peer) = &port.peer {
            let (router, _) = self.names.router_port(peer)?;
            return Some(Peer::Router {
                router: router.to_owned(),
                port: peer.clone(),
            });
        }
        let (switch, port) = self.names.attachment(name)?;
        Some(Peer::Switch {
            switch: switch.to_owned(),
            port: port.to_owned(),
        })
    }
}

/// The role of a gateway port's second key.
const REDIRECT: &str = "chassisredirect port of";

fn port_claim<'t>(role: &'static str, name: &'t str, key: Option<PortKey>) -> Claim<'t> {
    let declared = key.map(|key| u32::from(key.get()));
    Claim {
        role,
        name,
        declared,
    }
}

fn port_key(key: u32) -> Option<PortKey> {
    PortKey::new(u16::try_from(key).ok()?)
}

fn known_addresses(name: &str, port: &SwitchPort, chosen: Option<IpAddr>) -> Vec<KnownAddress> {
    let known = port.addresses.iter().filter_map(|address| match address {
        PortAddress::Static { mac, ips } => Some(KnownAddress {
            mac: *mac,
            ips: ips.clone(),
        }),
        PortAddress::Dynamic { mac } => Some(KnownAddress {
            mac: mac.unwrap_or_else(|| derived_mac(name)),
            ips: chosen.into_iter().collect(),
        }),
        PortAddress::Unknown | PortAddress::Router => None,
    });
    known.collect()
}

fn router_addresses(name: &str, port: &RouterPort) -> KnownAddress {
    let mac = port.mac.unwrap_or_else(|| derived_mac(name));
    let declared = port.networks.iter().map(|network| network.addr());
    let link_local = IpAddr::V6(eui64_link_local(mac));
    KnownAddress {
        mac,
        ips: declared
            .filter(|ip| *ip != link_local)
            .chain([link_local])
            .collect(),
    }
}
