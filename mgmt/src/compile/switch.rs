//! Logical switches: where each port is, whose addresses are known, who gets a flood.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ipnet::IpNet;
use sluice_fastpath::ids::{PortId, TunnelId};
use sluice_fastpath::tables::{
    Balancers, FloodMember, Known, Monitored, Place, PortSecurity, RoleId, SecurityRule, Switch,
    SwitchPort, Vip,
};
use sluice_net::Mac;

use super::View;
use super::acl::AclFacts;
use super::distributed::{self, Bound, bound};
use super::flood::domains;
use super::outline::{Localnet, Outline, bridged, remote_chassis};
use super::reach::{Owner, balances, is_elsewhere};
use super::registry::Registry;
use crate::topology::{Attachment, ResolvedSwitch, ResolvedSwitchPort, SecurityAddresses};

/// What a compiled switch rests on besides its own declaration, this node and the chassis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SwitchFacts {
    stateful: bool,
    /// Virtual IPs of its load balancers, where clients of them are.
    vips: Vec<Arc<Vip>>,
    pub(super) acls: AclFacts,
    /// Backends that are checked behind its ports.
    monitored: Option<Arc<Monitored>>,
    /// The other chassis that run its distributed routers.
    routers_at: Arc<[FloodMember]>,
    /// Of the ports of type router, in order of their names.
    attached: Vec<Attached>,
}

/// What stands behind a port of type router.
#[derive(Clone, Debug, PartialEq)]
struct Attached {
    behind: Behind,
    /// Addresses of NAT rules and load balancers that live on the link.
    nat: Vec<IpAddr>,
    /// Distributed floating IPs of this node on the link, with their MACs.
    floating: Vec<(IpAddr, Mac)>,
}

/// Where the router port is processed.
#[derive(Clone, Debug, PartialEq)]
enum Behind {
    /// A distributed router, or a gateway router of this node.
    Here(PortId),
    /// A gateway router of another chassis.
    Elsewhere(String),
    /// A gateway port.
    Gateway(PortId, RoleId),
    /// No such router port.
    Nothing,
}

impl SwitchFacts {
    pub(super) fn gather(
        view: &View<'_>,
        registry: &mut Registry,
        name: &str,
        switch: &ResolvedSwitch,
    ) -> Self {
        let attached = switch
            .ports
            .values()
            .filter_map(|port| match &port.attachment {
                Attachment::Router { router, port } => {
                    Some(Attached::gather(view, registry, switch, (router, port)))
                }
                _ => None,
            });
        Self {
            attached: attached.collect(),
            stateful: view.reach.stateful(Owner::Switch(name)),
            vips: match balances(view.resolved, view.node, switch) {
                true => view.balancers.of(&switch.load_balancers),
                false => Vec::new(),
            },
            monitored: view.checked.of(name),
            acls: AclFacts::gather(view, registry, name, switch),
            routers_at: view.components.chassis(name),
        }
    }
}

impl Attached {
    fn gather(
        view: &View<'_>,
        registry: &mut Registry,
        switch: &ResolvedSwitch,
        (router_name, port_name): (&str, &str),
    ) -> Self {
        let router = view.resolved.routers.get(router_name);
        let Some((router, port)) =
            router.and_then(|router| Some((router, router.ports.get(port_name)?)))
        else {
            return Self {
                behind: Behind::Nothing,
                nat: Vec::new(),
                floating: Vec::new(),
            };
        };
        let behind = match &router.chassis {
            Some(chassis) if is_elsewhere(view.node, router) => Behind::Elsewhere(chassis.clone()),
            _ => {
                let id = registry.port(Owner::Router(router_name), port_name);
                if port.gateway_chassis.is_empty() {
                    Behind::Here(id)
                } else {
                    Behind::Gateway(id, registry.role(router_name, port_name))
                }
            }
        };
        // Virtual IPs of the switch itself are behind its routers: they send to whom a client's packet is changed for.
        let balancers = router.load_balancers.iter().chain(&switch.load_balancers);
        let vips = balancers
            .filter_map(|name| view.resolved.load_balancers.get(name))
            .flat_map(|balancer| balancer.vips.keys().map(|vip| vip.ip));
        let rules = router.nat.iter();
        let rules = rules.filter(|nat| bound(view.node, nat) == Bound::ToGateway);
        let rules = rules.map(|nat| nat.external_ip);
        let mut nat: Vec<IpAddr> = rules.chain(vips).collect();
        nat.retain(|ip| port.networks.iter().any(|network| network.contains(ip)));
        nat.sort_unstable();
        nat.dedup();
        Self {
            behind,
            nat,
            floating: distributed::on_link(view.node, router, port_name),
        }
    }
}

/// Compiles a switch, but its ACLs. `facts` were gathered from the same view.
pub(super) fn compile(
    view: &View<'_>,
    registry: &mut Registry,
    name: &str,
    switch: &ResolvedSwitch,
    outline: &Outline<'_>,
    facts: &SwitchFacts,
) -> Switch {
    let ordered = in_order(switch, facts);
    let vlans = vlans(switch);
    let seats = Seats {
        view,
        localnet: outline.localnet,
    };
    let ports = ordered.iter().map(|port| {
        let place = seats.place(port);
        let domain = vlans
            .binary_search(&port.declared.vlan.unwrap_or(0))
            .unwrap_or(0);
        SwitchPort {
            id: registry.port(Owner::Switch(name), port.name),
            name: port.name.to_owned(),
            key: port.declared.key.get(),
            place,
            domain: u16::try_from(domain).unwrap_or(0),
            security: security(&port.declared.port_security),
            learning: port.declared.unknown,
            localnet: matches!(port.declared.attachment, Attachment::Localnet { .. }),
            router: matches!(port.declared.attachment, Attachment::Router { .. }),
            enabled: port.declared.enabled,
        }
    });
    let mut ports: Vec<SwitchPort> = ports.collect();
    let by_mac = by_mac(&ordered, &mut ports);
    let by_key = ports
        .iter()
        .zip(0..)
        .map(|(port, index)| (port.key, index))
        .collect();
    let router_ports = ports.iter().filter_map(|port| match port.place {
        Place::Router(id) | Place::Gateway { port: id, .. } => Some(id),
        _ => None,
    });
    let wire = ports.iter().filter(|port| port.localnet);
    let wire = wire.map(|port| match port.place {
        Place::Device { device, .. } => Some(device),
        _ => None,
    });
    Switch {
        wire: wire.flatten().next(),
        router_ports: router_ports.collect(),
        by_mac,
        by_key,
        known: known(&ordered),
        domains: domains(view, registry, name, &vlans, &ordered, &ports, outline),
        stateful: facts.stateful,
        balancers: Balancers::new(facts.vips.clone()),
        routers_at: Arc::clone(&facts.routers_at),
        keyless: keyless(view, &ports),
        mac_limit: switch.mac_limit,
        mac_age: switch.mac_age_seconds.saturating_mul(1000),
        distributed: ordered
            .iter()
            .flat_map(|port| port.floating().iter().map(|(_, mac)| *mac))
            .collect(),
        monitored: facts.monitored.clone(),
        acls: None,
        ports,
    }
}

/// A port with what stands behind it.
#[derive(Clone, Copy)]
pub(super) struct Port<'t> {
    pub(super) name: &'t str,
    pub(super) declared: &'t ResolvedSwitchPort,
    attached: Option<&'t Attached>,
}

impl<'t> Port<'t> {
    /// Distributed floating IPs of this node on the link of the router behind it.
    fn floating(&self) -> &'t [(IpAddr, Mac)] {
        self.attached.map_or(&[], |attached| &attached.floating)
    }
}

/// Ports of type router and localnet by name, then VIFs by name; see [`Outline`].
fn in_order<'t>(switch: &'t ResolvedSwitch, facts: &'t SwitchFacts) -> Vec<Port<'t>> {
    let mut attached = facts.attached.iter();
    let mut fixed = Vec::new();
    let mut vifs = Vec::with_capacity(switch.ports.len());
    for (name, declared) in &switch.ports {
        match declared.attachment {
            Attachment::Vif => vifs.push(Port {
                name,
                declared,
                attached: None,
            }),
            Attachment::Localnet { .. } => fixed.push(Port {
                name,
                declared,
                attached: None,
            }),
            Attachment::Router { .. } => {
                fixed.push(Port {
                    name,
                    declared,
                    attached: attached.next(),
                });
            }
        }
    }
    fixed.append(&mut vifs);
    fixed
}

/// The access VLANs of the switch, 0 first.
fn vlans(switch: &ResolvedSwitch) -> Vec<u16> {
    let mut vlans: Vec<u16> = switch.ports.values().filter_map(|port| port.vlan).collect();
    vlans.push(0);
    vlans.sort_unstable();
    vlans.dedup();
    vlans
}

/// Says where ports are.
struct Seats<'v> {
    view: &'v View<'v>,
    localnet: Option<Localnet<'v>>,
}

impl Seats<'_> {
    fn place(&self, port: &Port<'_>) -> Place {
        match &port.declared.attachment {
            Attachment::Vif => match self.view.node.iface_id.get(port.name) {
                Some(device) => Place::Device {
                    device: *device,
                    vlan: None,
                },
                None => self.remote(port),
            },
            Attachment::Localnet { network, tag } => {
                let device = self.view.node.bridge_mappings.get(network);
                device.map_or(Place::Unbound, |device| Place::Device {
                    device: *device,
                    vlan: *tag,
                })
            }
            Attachment::Router { .. } => match port.attached.map(|attached| &attached.behind) {
                Some(Behind::Here(id)) => Place::Router(*id),
                Some(Behind::Gateway(id, role)) => Place::Gateway {
                    port: *id,
                    role: *role,
                },
                Some(Behind::Elsewhere(_)) => self.remote(port),
                Some(Behind::Nothing) | None => Place::Unbound,
            },
        }
    }

    /// Bound on another chassis: over the physical network where the switch has one here, else by tunnel.
    fn remote(&self, port: &Port<'_>) -> Place {
        let View {
            resolved,
            node,
            tunnels,
            ..
        } = self.view;
        let Some(chassis) = remote_chassis(resolved, node, port.name, port.declared) else {
            return Place::Unbound;
        };
        match self.localnet {
            Some(Localnet { device, tag, .. }) if bridged(self.localnet, port.declared) => {
                Place::Device { device, vlan: tag }
            }
            _ => tunnels.to(chassis).map_or(Place::Unbound, Place::Chassis),
        }
    }
}

fn security(sets: &[SecurityAddresses]) -> Option<PortSecurity> {
    let rules = sets.iter().map(|set| SecurityRule {
        mac: set.mac,
        addresses: set.ips.iter().map(allowed).collect(),
    });
    (!sets.is_empty()).then(|| PortSecurity {
        rules: rules.collect(),
    })
}

/// An address with a prefix length allows that one address; only one whose host bits are all zero is a
/// prefix (OVN's rule).
fn allowed(net: &IpNet) -> IpNet {
    if *net == net.trunc() {
        *net
    } else {
        IpNet::from(net.addr())
    }
}

/// Static MACs. One that two access VLANs both have cannot be told by the MAC alone: its ports learn it.
fn by_mac(ordered: &[Port<'_>], ports: &mut [SwitchPort]) -> HashMap<Mac, u16> {
    let mut by_mac: HashMap<Mac, u16> = HashMap::with_capacity(ordered.len());
    let mut shared: Vec<(Mac, u16, u16)> = Vec::new();
    for (port, index) in ordered.iter().zip(0..) {
        for address in &port.declared.addresses {
            match by_mac.entry(address.mac) {
                Entry::Vacant(slot) => _ = slot.insert(index),
                Entry::Occupied(first) if *first.get() == index => {}
                Entry::Occupied(first) => shared.push((address.mac, *first.get(), index)),
            }
        }
    }
    for (port, index) in ordered.iter().zip(0..) {
        for (_, mac) in port.floating() {
            by_mac.entry(*mac).or_insert(index);
        }
    }
    for (mac, first, second) in shared {
        by_mac.remove(&mac);
        for index in [first, second] {
            if let Some(port) = ports.get_mut(usize::from(index)) {
                port.learning = true;
            }
        }
    }
    by_mac
}

/// Addresses the switch answers for. Those behind access VLANs are asked for by flooding in their VLAN: an
/// answer here would go to askers of all VLANs.
fn known(ordered: &[Port<'_>]) -> HashMap<IpAddr, Known> {
    let mut known = HashMap::with_capacity(ordered.len());
    for (port, index) in ordered.iter().zip(0..) {
        if !port.declared.enabled || port.declared.vlan.is_some() {
            continue;
        }
        for address in &port.declared.addresses {
            let nat = port.attached.map_or(&[][..], |attached| &attached.nat);
            for ip in address.ips.iter().chain(nat) {
                known.entry(*ip).or_insert(Known {
                    mac: address.mac,
                    port: index,
                    here: false,
                });
            }
        }
        for (ip, mac) in port.floating() {
            let floating = Known {
                mac: *mac,
                port: index,
                here: true,
            };
            known.insert(*ip, floating);
        }
    }
    known
}

/// Where frames of a chassis without port keys come in when their source MAC is not known: its first
/// learning port.
fn keyless(view: &View<'_>, ports: &[SwitchPort]) -> Vec<(TunnelId, u16)> {
    let mut keyless: Vec<(TunnelId, u16)> = Vec::new();
    for (port, index) in ports.iter().zip(0..) {
        let Place::Chassis(tunnel) = port.place else {
            continue;
        };
        let without_keys = view
            .tunnels
            .get(tunnel)
            .is_some_and(|tunnel| !tunnel.port_keys);
        let first = keyless.iter().all(|(other, _)| *other != tunnel);
        if port.enabled && port.learning && without_keys && first {
            keyless.push((tunnel, index));
        }
    }
    keyless.sort_unstable();
    keyless
}
