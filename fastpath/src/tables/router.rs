//! A compiled logical router.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_net::Mac;

use crate::connections::{Connection, Flags};
use crate::ids::{DatapathId, PortId};
use crate::tables::balancer::Balancers;
use crate::tables::distributed::Distributed;
use crate::tables::nat::{Filtering, Nat};
use crate::tables::routing::{Route, RouteId, Routing};
use crate::tables::suspects::{Suspects, broadcast};

/// A logical router as this node sees it.
#[derive(Debug, Default, PartialEq)]
pub struct Router {
    /// All ports.
    pub ports: Vec<RouterPort>,
    /// Tunnel key to port: its own, or the redirect key of a gateway port.
    pub by_key: HashMap<u16, RouterKey>,
    /// Its routes.
    pub routing: Arc<Routing>,
    /// The router's own addresses and those of its NAT rules.
    pub local: HashMap<IpAddr, Local>,
    /// What [`Router::suspicious`] says, or nothing: then every packet is looked at closely.
    pub suspects: Suspects,
    /// NAT rules.
    pub nat: Nat,
    /// Floating IPs that are translated here, whoever holds the gateway port.
    pub distributed: Distributed,
    /// Load balancers.
    pub balancers: Balancers,
    /// Sources of balanced connections become this of their family, whoever they are (OVN's lb_force_snat_ip).
    pub lb_force_snat: Vec<IpAddr>,
    /// They become the address of the port that the packet leaves by.
    pub lb_force_router_ip: bool,
    /// Neighbors given in the topology, and the ends of router-to-router links.
    pub neighbors: HashMap<(u16, IpAddr), Mac>,
    /// A gateway router, bound to this node.
    pub bound: bool,
    /// Administrative state.
    pub enabled: bool,
    /// A NAT or load balancer is reachable from here, so connections are looked up.
    pub stateful: bool,
}

/// What a tunnel key of a router names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterKey {
    /// Index of the port.
    pub port: u16,
    /// It is the key of the gateway port's chassisredirect port.
    pub redirect: bool,
}

/// A logical router port.
#[derive(Debug, PartialEq)]
pub struct RouterPort {
    /// Its index in the node.
    pub id: PortId,
    /// Name in the topology.
    pub name: String,
    /// Tunnel key.
    pub key: u16,
    /// Its MAC.
    pub mac: Mac,
    /// Addresses with prefix length, the IPv6 link-local one included.
    pub networks: Vec<IpNet>,
    /// What it is attached to.
    pub peer: Peer,
    /// Set on a distributed gateway port.
    pub gateway: Option<Gateway>,
    /// IP packets up to this many bytes leave by this port.
    pub mtu: u16,
    /// Administrative state.
    pub enabled: bool,
}

/// What a router port is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Nothing.
    None,
    /// A switch port (index in the switch).
    Switch {
        /// The switch.
        switch: DatapathId,
        /// Index of the switch port.
        port: u16,
    },
    /// A port of another router (index in it).
    Router {
        /// The router.
        router: DatapathId,
        /// Index of its port.
        port: u16,
    },
}

/// Index of a gateway port's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleId(pub u32);

/// A distributed gateway port.
#[derive(Debug, PartialEq)]
pub struct Gateway {
    /// Tunnel key of its chassisredirect port.
    pub redirect_key: u16,
    /// Where the role is read.
    pub role: RoleId,
    /// Chassis by falling priority, equal ones by falling name: name, and tunnel (`None`: this node).
    pub candidates: Vec<(String, Option<crate::ids::TunnelId>)>,
}

/// An address that is the router's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Index of the port that has it (a NAT address: whose network holds it), if one does.
    pub port: Option<u16>,
    /// It is the external address of a NAT rule or load balancer.
    pub nat: bool,
    /// A rule or load balancer translates all packets to it.
    pub dnat: bool,
    /// It is an address of a port.
    pub own: bool,
}

impl Router {
    /// What packets are looked at closely for: [`Router::local`], and as sources the broadcast addresses of the
    /// ports' networks and the insides of [`Router::distributed`].
    pub fn suspicious(&self) -> Suspects {
        let networks = self.ports.iter().flat_map(|port| &port.networks);
        let broadcasts = networks.filter_map(broadcast).map(IpAddr::V4);
        let insides = self.distributed.insides();
        Suspects::of(self.local.keys().copied().chain(broadcasts).chain(insides))
    }

    /// The route of a packet, for those who tell of it; packets go by [`Routing::choose`].
    pub fn route(&self, src: IpAddr, dst: IpAddr) -> Option<(RouteId, &Route)> {
        self.routing.route(src, dst)
    }

    /// Some packets that come in are led to another destination.
    #[inline]
    pub fn leads_elsewhere(&self) -> bool {
        self.nat.has_destinations() || !self.balancers.is_empty()
    }

    /// What translates the destination of this connection still does.
    pub fn leads(&self, connection: &Connection) -> bool {
        let (external, inside) = (connection.original.dst, connection.reply.src);
        let flags = connection.flags;
        if flags.has(Flags::MAPPED_TO) {
            let rule = self.nat.mapping_rule(inside, external);
            // Hosts inside are not filtered.
            return rule.is_some_and(|(_, filtering)| {
                filtering != Filtering::AddressAndPortDependent || flags.has(Flags::MAPPED_FROM)
            });
        }
        match flags.has(Flags::BALANCED) {
            true => self.balancers.of_connection(connection).is_some(),
            false => self.nat.has_destination(external, inside),
        }
    }

    /// The source that the balancer of this connection would give it now, where no rule does.
    pub fn source_of_balanced(&self, connection: &Connection) -> Option<IpAddr> {
        if !connection.flags.has(Flags::BALANCED) {
            return None;
        }
        let (vip, _) = self.balancers.of_connection(connection)?;
        let now = connection.reply.dst;
        let own = || self.local.get(&now).is_some_and(|local| local.own);
        let forced = match self.lb_force_router_ip {
            true => own().then_some(now),
            false => self.forced_source(now),
        };
        let forced = forced.filter(|_| !vip.skip_snat);
        let hairpin = || {
            let source = vip.hairpin_source();
            (connection.is_to_itself() && source == now).then_some(source)
        };
        forced.or_else(hairpin)
    }

    /// The source that all balanced connections of this address' family get.
    pub fn forced_source(&self, like: IpAddr) -> Option<IpAddr> {
        let same = |ip: &&IpAddr| ip.is_ipv6() == like.is_ipv6();
        self.lb_force_snat.iter().find(same).copied()
    }

    /// What makes `external` of the source of this connection still does.
    pub fn gives_source(&self, connection: &Connection, external: IpAddr) -> bool {
        let mapped = connection.flags.has(Flags::MAPPED_FROM);
        let original = &connection.original;
        self.nat
            .has_source(original.src, external, original.proto, mapped)
            || self.source_of_balanced(connection) == Some(external)
    }

    /// Packets that come in by `port` are translated here: all of a gateway router, those of a gateway port of another.
    #[inline]
    pub fn translates_at(&self, port: &RouterPort) -> bool {
        self.bound || port.gateway.is_some()
    }
}

impl RouterPort {
    /// The port's address for packets to `to`: of the network that holds it, else the first of the
    /// family (for IPv6 a global one before the link-local one).
    pub fn address_for(&self, to: IpAddr) -> Option<IpAddr> {
        let family = |net: &&IpNet| net.addr().is_ipv4() == to.is_ipv4();
        let networks = || self.networks.iter().filter(family);
        networks()
            .find(|net| net.contains(&to))
            .or_else(|| networks().find(|net| !is_link_local(net.addr())))
            .or_else(|| networks().next())
            .map(IpNet::addr)
    }
}

/// IPv6 link-local unicast, RFC 4291 section 2.5.6.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
