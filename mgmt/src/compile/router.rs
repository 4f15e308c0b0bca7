//! Logical routers: ports and what they lead to, own addresses, translations.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::{IpNet, Ipv6Net};
use sluice_fastpath::tables::{
    Balancers, Gateway, Peer, Router, RouterKey, RouterPort, Suspects, Vip,
};
use sluice_net::Mac;

use super::View;
use super::distributed;
use super::nat;
use super::reach::Owner;
use super::registry::Registry;
use super::routes::Plan;
use crate::topology::{self, Place, Problem, ResolvedRouter, ResolvedRouterPort};

/// Bytes of IP on a link that says nothing else: Ethernet's.
const DEFAULT_MTU: u16 = 1500;
/// Prefix length of IPv6 link-local addresses (RFC 4291 section 2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;

/// What a compiled router rests on besides its own declaration, this node and the chassis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouterFacts {
    stateful: bool,
    /// Virtual IPs of its load balancers.
    vips: Vec<Arc<Vip>>,
    /// In order of the ports' names.
    links: Vec<Link>,
}

/// The other end of a router port.
#[derive(Clone, Debug, PartialEq)]
struct Link {
    peer: Peer,
    mtu: u16,
    /// Addresses of the router at the other end.
    neighbors: Vec<(IpAddr, Mac)>,
}

impl RouterFacts {
    pub(super) fn gather(
        view: &View<'_>,
        registry: &mut Registry,
        name: &str,
        router: &ResolvedRouter,
    ) -> Self {
        let links = router
            .ports
            .values()
            .map(|port| Link::gather(view, registry, port));
        Self {
            links: links.collect(),
            stateful: view.reach.stateful(Owner::Router(name)),
            vips: view.balancers.of(&router.load_balancers),
        }
    }
}

impl Link {
    fn gather(view: &View<'_>, registry: &mut Registry, port: &ResolvedRouterPort) -> Self {
        let mtu = mtu(view, port);
        let mut neighbors = Vec::new();
        let peer = match &port.peer {
            None => None,
            Some(topology::Peer::Switch { switch, port }) => {
                let index = view
                    .outlines
                    .get(switch.as_str())
                    .and_then(|outline| outline.index(port));
                let switch = registry.datapath(Owner::Switch(switch));
                index.map(|port| Peer::Switch { switch, port })
            }
            Some(topology::Peer::Router { router, port }) => {
                let far = view.resolved.routers.get(router);
                if let Some(far) = far.and_then(|far| far.ports.get(port)) {
                    neighbors = addresses(far).map(|net| (net.addr(), far.mac)).collect();
                }
                let index = far.and_then(|far| index_of(far, port));
                let router = registry.datapath(Owner::Router(router));
                index.map(|port| Peer::Router { router, port })
            }
        };
        Self {
            peer: peer.unwrap_or(Peer::None),
            mtu,
            neighbors,
        }
    }
}

/// The largest packet that leaves by a port: what was declared; what the physical network carries where this
/// node bridges into it; else Ethernet's 1500 bytes, or less when the way to another chassis carries less.
fn mtu(view: &View<'_>, port: &ResolvedRouterPort) -> u16 {
    if let Some(mtu) = port.gateway_mtu {
        return mtu;
    }
    let outline = match &port.peer {
        Some(topology::Peer::Switch { switch, .. }) => view.outlines.get(switch.as_str()),
        _ => None,
    };
    let wire = outline.and_then(|outline| view.node.device(outline.localnet?.device));
    if let Some(device) = wire {
        return device.mtu;
    }
    // What leaves by a gateway port is tunnelled to the chassis that holds it.
    let candidates = port
        .gateway_chassis
        .iter()
        .filter(|(chassis, _)| *chassis != view.node.chassis);
    let candidates = candidates.filter_map(|(chassis, _)| view.tunnels.inner_mtu(chassis));
    let members = outline.and_then(|outline| outline.remote_mtu);
    candidates
        .chain(members)
        .chain([DEFAULT_MTU])
        .min()
        .unwrap_or(DEFAULT_MTU)
}

/// Compiles a router. `facts` were gathered from the same view; `before` is the last compiled form, whose
/// FIB is taken when the routes are the same.
pub(super) fn compile(
    view: &View<'_>,
    registry: &mut Registry,
    name: &str,
    router: &ResolvedRouter,
    facts: &RouterFacts,
    before: Option<&Router>,
    problems: &mut Vec<Problem>,
) -> Router {
    let declared = router.ports.iter().zip(&facts.links);
    let ports = declared.map(|((port, body), link)| RouterPort {
        id: registry.port(Owner::Router(name), port),
        name: port.clone(),
        key: body.key.get(),
        mac: body.mac,
        networks: addresses(body).collect(),
        peer: link.peer,
        gateway: gateway(view, registry, name, port, body),
        mtu: link.mtu,
        enabled: body.enabled,
    });
    let ports = ports.collect();
    let plan = Plan::of(name, router, problems);
    let mut compiled = Router {
        ports,
        by_key: by_key(router),
        routing: plan.routing(before),
        local: nat::local(view.node, router, &facts.vips),
        nat: nat::compile(view.node, router, before.map(|before| &before.nat)),
        distributed: distributed::compile(view.node, router),
        balancers: Balancers::new(facts.vips.clone()),
        lb_force_router_ip: router.lb_force_router_ip,
        lb_force_snat: router.lb_force_snat_ip.iter().collect(),
        neighbors: neighbors(view, router, facts),
        bound: router.chassis.as_ref() == Some(&view.node.chassis),
        enabled: router.enabled,
        stateful: facts.stateful,
        suspects: Suspects::default(),
    };
    compiled.suspects = compiled.suspicious();
    compiled
}

/// Index of a port in its router: the order of the names.
pub(super) fn index_of(router: &ResolvedRouter, port: &str) -> Option<u16> {
    u16::try_from(router.ports.keys().position(|name| name == port)?).ok()
}

/// The ports with their indices.
pub(super) fn indexed(
    router: &ResolvedRouter,
) -> impl Iterator<Item = (u16, &String, &ResolvedRouterPort)> {
    (0..)
        .zip(&router.ports)
        .map(|(index, (name, port))| (index, name, port))
}

/// The declared addresses of a port and its link-local one.
pub(super) fn addresses(port: &ResolvedRouterPort) -> impl Iterator<Item = IpNet> {
    let link_local = Ipv6Net::new(port.link_local, LINK_LOCAL_PREFIX)
        .ok()
        .map(IpNet::V6);
    let link_local = link_local.filter(|net| !port.networks.contains(net));
    port.networks.iter().copied().chain(link_local)
}

fn gateway(
    view: &View<'_>,
    registry: &mut Registry,
    router: &str,
    port: &str,
    body: &ResolvedRouterPort,
) -> Option<Gateway> {
    let redirect_key = body
        .redirect_key
        .filter(|_| !body.gateway_chassis.is_empty())?;
    // A chassis that cannot be reached is left out: no tunnel would read as "this node".
    let candidates = body.gateway_chassis.iter().filter_map(|(chassis, _)| {
        let tunnel = view.tunnels.to(chassis);
        (tunnel.is_some() || *chassis == view.node.chassis).then(|| (chassis.clone(), tunnel))
    });
    Some(Gateway {
        redirect_key: redirect_key.get(),
        role: registry.role(router, port),
        candidates: candidates.collect(),
    })
}

fn by_key(router: &ResolvedRouter) -> HashMap<u16, RouterKey> {
    let mut by_key = HashMap::new();
    for (port, _, body) in indexed(router) {
        by_key.insert(
            body.key.get(),
            RouterKey {
                port,
                redirect: false,
            },
        );
        if let Some(key) = body
            .redirect_key
            .filter(|_| !body.gateway_chassis.is_empty())
        {
            by_key.insert(
                key.get(),
                RouterKey {
                    port,
                    redirect: true,
                },
            );
        }
    }
    by_key
}

/// Given neighbors, the routers at the other ends of links between routers, and floating IPs of other chassis.
fn neighbors(
    view: &View<'_>,
    router: &ResolvedRouter,
    facts: &RouterFacts,
) -> HashMap<(u16, IpAddr), Mac> {
    let mut neighbors: HashMap<_, _> = distributed::neighbors(view.node, router).collect();
    for (port, link) in (0..).zip(&facts.links) {
        neighbors.extend(link.neighbors.iter().map(|(ip, mac)| ((port, *ip), *mac)));
    }
    for neighbor in &router.neighbors {
        if let Some(port) = index_of(router, &neighbor.port) {
            neighbors.insert((port, neighbor.ip), neighbor.mac);
        }
    }
    neighbors
}

/// A link between routers does not leave a node: a gateway router is reached by a switch in between.
pub(super) fn check_links(
    view: &View<'_>,
    name: &str,
    router: &ResolvedRouter,
    problems: &mut Vec<Problem>,
) {
    for (port, body) in &router.ports {
        let Some(topology::Peer::Router {
            router: far_name, ..
        }) = &body.peer
        else {
            continue;
        };
        let Some(far) = view.resolved.routers.get(far_name) else {
            continue;
        };
        let place = || Place::at(["router", name, "port", port, "peer"]);
        if far.chassis != router.chassis {
            problems.push(
                Problem::new(
                    place(),
                    format!("routers `{name}` and `{far_name}` are not on the same chassis: packets cannot cross this link"),
                )
                .mend("put a switch between them"),
            );
        }
        if !body.gateway_chassis.is_empty() {
            problems.push(
                Problem::new(
                    place(),
                    format!("gateway port `{port}` leads to a router, not to a switch"),
                )
                .mend("put a switch between them, or remove gateway_chassis"),
            );
        }
    }
}
