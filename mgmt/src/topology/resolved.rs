//! A topology with everything filled in and every reference followed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use sluice_net::addr::Mac;
use sluice_net::ids::{PortKey, Vni};

use super::acl::Acl;
use super::balancer::{LoadBalancer, SourceIps};
use super::expression::{Addresses, Expression};
use super::model::{Chassis, Nat, Route, SecurityAddresses, StaticNeighbor};

/// Most MACs a switch learns when its topology does not say.
pub const DEFAULT_MAC_LIMIT: u32 = 8192;
/// Seconds an unused learned MAC is kept when the topology does not say.
pub const DEFAULT_MAC_AGE_SECONDS: u32 = 300;

/// A checked topology: references hold, keys and addresses are unique where they must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Nodes, by chassis name.
    pub chassis: BTreeMap<String, Chassis>,
    /// Logical switches, by name.
    pub switches: BTreeMap<String, ResolvedSwitch>,
    /// Logical routers, by name.
    pub routers: BTreeMap<String, ResolvedRouter>,
    /// Load balancers, by name.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Groups of switch ports, by name.
    pub port_groups: BTreeMap<String, ResolvedPortGroup>,
    /// Sets of addresses by name, with `NAME_ip4` and `NAME_ip6` of every port group `NAME`.
    pub address_sets: BTreeMap<String, Addresses>,
    /// In switches with ACLs, what no ACL is for is dropped; else it passes.
    pub default_acl_drop: bool,
}

/// A group of switch ports with nothing left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPortGroup {
    /// Its ports, by the switch that they are in.
    pub ports: BTreeMap<String, Vec<String>>,
    /// Its rules.
    pub acls: Arc<[ResolvedAcl]>,
}

/// A rule whose expression was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedAcl {
    /// As it was declared.
    pub acl: Acl,
    /// What its `match` says.
    pub expression: Expression,
}

/// A logical switch with nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedSwitch {
    /// Datapath key: the VNI of its packets. Unique among switches and routers.
    pub key: Vni,
    /// Where dynamic addresses came from.
    pub subnet: Option<IpNet>,
    /// Ports, by name.
    pub ports: BTreeMap<String, ResolvedSwitchPort>,
    /// Most MACs the switch may learn.
    pub mac_limit: u32,
    /// Seconds after which an unused learned MAC is forgotten.
    pub mac_age_seconds: u32,
    /// Names of the load balancers for what its VIFs send.
    pub load_balancers: Vec<String>,
    /// Its own rules; those of port groups come on top.
    pub acls: Arc<[ResolvedAcl]>,
}

/// A switch port with nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedSwitchPort {
    /// Port key, unique in the switch.
    pub key: PortKey,
    /// What is behind the port.
    pub attachment: Attachment,
    /// Known MACs and their addresses; of a router-type port, those of the router port (its
    /// link-local address included).
    pub addresses: Vec<KnownAddress>,
    /// Frames for unknown MACs are sent here, and sources are learned. True for every localnet.
    pub unknown: bool,
    /// Source addresses the port may use; empty means any.
    pub port_security: Vec<SecurityAddresses>,
    /// Where others find a VIF.
    pub chassis: Option<String>,
    /// A disabled port neither sends nor receives.
    pub enabled: bool,
    /// Access VLAN inside the switch.
    pub vlan: Option<u16>,
}

/// What is behind a switch port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A machine's interface.
    Vif,
    /// A port of a logical router.
    Router {
        /// Name of the router.
        router: String,
        /// Name of its port.
        port: String,
    },
    /// A physical network.
    Localnet {
        /// Name of the network, as in the nodes' bridge mappings.
        network: String,
        /// 802.1Q tag on the wire.
        tag: Option<u16>,
    },
}

/// A MAC and the addresses behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAddress {
    /// The MAC.
    pub mac: Mac,
    /// The addresses, possibly none.
    pub ips: Vec<IpAddr>,
}

/// A logical router with nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedRouter {
    /// Datapath key: the VNI of its packets. Unique among switches and routers.
    pub key: Vni,
    /// Of a gateway router: the chassis it lives on.
    pub chassis: Option<String>,
    /// A disabled router forwards nothing.
    pub enabled: bool,
    /// Ports, by name.
    pub ports: BTreeMap<String, ResolvedRouterPort>,
    /// Static routes in the order given; several rows with one prefix are equal-cost paths.
    pub routes: Arc<[Route]>,
    /// Address translation rules.
    pub nat: Vec<Nat>,
    /// Names of its load balancers.
    pub load_balancers: Vec<String>,
    /// What the sources of balanced connections become, whoever they are.
    pub lb_force_snat_ip: SourceIps,
    /// They become the address of the port that the packet leaves by.
    pub lb_force_router_ip: bool,
    /// Neighbors that are not to be resolved.
    pub neighbors: Vec<StaticNeighbor>,
}

/// A router port with nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedRouterPort {
    /// Port key, unique in the router.
    pub key: PortKey,
    /// MAC.
    pub mac: Mac,
    /// Declared addresses, each with the length of its network's prefix.
    pub networks: Vec<IpNet>,
    /// The EUI-64 link-local address of the MAC (RFC 4291 2.5.1); every router port has it.
    pub link_local: Ipv6Addr,
    /// What the port is connected to; `None` is nothing.
    pub peer: Option<Peer>,
    /// Of a distributed gateway port: chassis and priority, the preferred first (higher priority,
    /// then the name greater in byte order, as OVN hosts choose). Empty otherwise.
    pub gateway_chassis: Vec<(String, u16)>,
    /// Of a distributed gateway port: the key of its chassisredirect port, unique in the router.
    pub redirect_key: Option<PortKey>,
    /// Largest IP packet, in bytes, sent out of the port.
    pub gateway_mtu: Option<u16>,
    /// A disabled port neither sends nor receives.
    pub enabled: bool,
}

/// What a router port is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A router-type port of a switch.
    Switch {
        /// Name of the switch.
        switch: String,
        /// Name of its port.
        port: String,
    },
    /// A port of another router (or of the same one).
    Router {
        /// Name of the router.
        router: String,
        /// Name of its port.
        port: String,
    },
}
