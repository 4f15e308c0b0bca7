//! Address translation of a router: its rules, and the addresses that are the router's because of them.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ipnet::IpNet;
use sluice_fastpath::tables::{
    self, Dnat, DnatKind, Filtering, Hits, Local, PortRule, Remotes, Snat, SnatKind, Vip,
};

use super::distributed::{Bound, bound};
use super::node::NodeView;
use super::router::{addresses, index_of, indexed};
use crate::topology::{Nat, NatFiltering, NatKind, NatMapping, ResolvedRouter};

/// The router's own addresses, those of its NAT rules and those of its load balancers. Those of disabled ports are not
/// its own.
pub(super) fn local(
    node: &NodeView,
    router: &ResolvedRouter,
    vips: &[Arc<Vip>],
) -> HashMap<IpAddr, Local> {
    let mut local: HashMap<IpAddr, Local> = HashMap::new();
    for (port, _, body) in indexed(router).filter(|(_, _, body)| body.enabled) {
        for address in addresses(body) {
            match local.entry(address.addr()) {
                Entry::Vacant(slot) => {
                    slot.insert(Local {
                        port: Some(port),
                        nat: false,
                        dnat: false,
                        own: true,
                    });
                }
                // Two ports with one MAC have one link-local address, each on its link.
                Entry::Occupied(mut other) => other.get_mut().port = None,
            }
        }
    }
    if router.lb_force_router_ip {
        // Answers to what is given these addresses come back to them.
        local.values_mut().for_each(|own| own.nat = true);
    }
    let rules = router
        .nat
        .iter()
        .filter(|nat| !matches!(bound(node, nat), Bound::Elsewhere(_)))
        .map(|nat| (nat.external_ip, nat.kind != NatKind::Snat));
    let services = vips
        .iter()
        .map(|vip| (vip.service.ip, vip.service.port.is_none()));
    let hairpins = vips.iter().filter_map(|vip| Some((vip.hairpin?, false)));
    let forced = router.lb_force_snat_ip.iter().map(|ip| (ip, false));
    for (ip, dnat) in rules.chain(services).chain(hairpins).chain(forced) {
        let entry = local.entry(ip).or_insert_with(|| Local {
            port: port_holding(router, ip),
            nat: true,
            dnat: false,
            own: false,
        });
        entry.nat = true;
        entry.dnat |= dnat;
    }
    local
}

/// The enabled port whose network holds an address; with several, the longest prefix.
fn port_holding(router: &ResolvedRouter, ip: IpAddr) -> Option<u16> {
    let ports = indexed(router).filter(|(_, _, body)| body.enabled);
    let networks =
        ports.flat_map(|(port, _, body)| body.networks.iter().map(move |net| (net, port)));
    let holding = networks.filter(|(net, _)| net.contains(&ip));
    holding
        .max_by_key(|(net, _)| net.prefix_len())
        .map(|(_, port)| port)
}

/// The port that a rule belongs to: the one that it names, else that on whose link its address is; with an address that
/// is on no link, the gateway port if the router has exactly one.
pub(super) fn port_of(router: &ResolvedRouter, nat: &Nat) -> Option<u16> {
    let only_gateway = || {
        let mut gateways = indexed(router).filter(|(_, _, body)| !body.gateway_chassis.is_empty());
        match (gateways.next(), gateways.next()) {
            (Some((port, _, _)), None) => Some(port),
            _ => None,
        }
    };
    let named = nat
        .gateway_port
        .as_ref()
        .and_then(|port| index_of(router, port));
    named
        .or_else(|| port_holding(router, nat.external_ip))
        .or_else(only_gateway)
}

/// The rules, but those that another chassis carries out. Destinations are translated at gateway ports, or at all ports
/// of a gateway router.
pub(super) fn compile(
    node: &NodeView,
    router: &ResolvedRouter,
    before: Option<&tables::Nat>,
) -> tables::Nat {
    let counts = Counts::of(before);
    let (mut sources, mut destinations) = (Vec::new(), Vec::new());
    for nat in &router.nat {
        if let Bound::Elsewhere(_) = bound(node, nat) {
            continue;
        }
        let port = port_of(router, nat);
        let hits = counts.of_rule(nat.kind, nat.external_ip, nat.logical_ip.trunc());
        if nat.kind != NatKind::Dnat {
            let mut rule = source(nat, port);
            rule.hits = Arc::clone(&hits);
            sources.push(rule);
        }
        if nat.kind != NatKind::Snat {
            let port = port.filter(|_| router.chassis.is_none());
            let mut rule = destination(nat, port);
            rule.hits = hits;
            destinations.push(rule);
        }
    }
    tables::Nat::new(sources, destinations)
}

/// Counts of the rules of the last generation, which go on with rules of the same addresses.
struct Counts {
    known: HashMap<(IpAddr, IpNet, bool), Arc<Hits>>,
}

impl Counts {
    fn of(before: Option<&tables::Nat>) -> Self {
        let sources = before.into_iter().flat_map(|nat| nat.snat());
        let sources = sources.map(|rule| ((rule.external, rule.logical, true), &rule.hits));
        let destinations = before.into_iter().flat_map(|nat| nat.dnat());
        let destinations = destinations.map(|rule| {
            let inside = IpNet::from(rule.logical);
            (
                (rule.external, inside, rule.kind != DnatKind::Dnat),
                &rule.hits,
            )
        });
        let known = destinations.chain(sources);
        Self {
            known: known.map(|(key, hits)| (key, Arc::clone(hits))).collect(),
        }
    }

    fn of_rule(&self, kind: NatKind, external: IpAddr, logical: IpNet) -> Arc<Hits> {
        let key = (external, logical, kind != NatKind::Dnat);
        self.known.get(&key).cloned().unwrap_or_default()
    }
}

fn source(nat: &Nat, port: Option<u16>) -> Snat {
    Snat {
        logical: nat.logical_ip.trunc(),
        external: nat.external_ip,
        port,
        kind: match (nat.kind, nat.stateless) {
            (NatKind::DnatAndSnat, true) => SnatKind::Stateless,
            (NatKind::DnatAndSnat, false) if nat.external_port_range.is_none() => {
                SnatKind::Floating
            }
            _ => SnatKind::Snat,
        },
        ports: ports(nat),
        remotes: remotes(nat),
        hits: Arc::default(),
    }
}

fn ports(nat: &Nat) -> Option<PortRule> {
    let filtering = match nat.filtering {
        NatFiltering::EndpointIndependent => Filtering::EndpointIndependent,
        NatFiltering::AddressDependent => Filtering::AddressDependent,
        NatFiltering::AddressAndPortDependent => Filtering::AddressAndPortDependent,
    };
    let rule = PortRule {
        range: nat.external_port_range,
        parity: nat.port_parity,
        mapping: (nat.mapping == NatMapping::EndpointIndependent).then_some(filtering),
    };
    (rule != PortRule::default()).then_some(rule)
}

fn destination(nat: &Nat, port: Option<u16>) -> Dnat {
    Dnat {
        external: nat.external_ip,
        logical: nat.logical_ip.addr(),
        port,
        kind: match (nat.kind, nat.stateless) {
            (NatKind::DnatAndSnat, true) => DnatKind::Stateless,
            (NatKind::DnatAndSnat, false) => DnatKind::Floating,
            _ => DnatKind::Dnat,
        },
        remotes: remotes(nat),
        hits: Arc::default(),
    }
}

fn remotes(nat: &Nat) -> Remotes {
    if !nat.allowed_ext_ips.is_empty() {
        Remotes::Allowed(nat.allowed_ext_ips.clone())
    } else if !nat.exempted_ext_ips.is_empty() {
        Remotes::Exempted(nat.exempted_ext_ips.clone())
    } else {
        Remotes::All
    }
}
