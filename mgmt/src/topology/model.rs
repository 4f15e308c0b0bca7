//! The declared intent: what an operator wrote, nothing derived, everything keyed by name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_net::addr::Mac;
use sluice_net::ids::{PortKey, Vni};

use super::acl::{Acl, PortGroup};
use super::balancer::{LoadBalancer, SourceIps};
use super::expression::Addresses;

/// A whole network: the same on every node, whoever feeds it (a file, later a database).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// Nodes with a tunnel address, by chassis name.
    pub chassis: BTreeMap<String, Chassis>,
    /// Logical switches, by name.
    pub switches: BTreeMap<String, Switch>,
    /// Logical routers, by name.
    pub routers: BTreeMap<String, Router>,
    /// Load balancers, by name.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Groups of switch ports, by name.
    pub port_groups: BTreeMap<String, PortGroup>,
    /// Sets of addresses that expressions may refer to, by name.
    pub address_sets: BTreeMap<String, Addresses>,
    /// In switches with ACLs, what no ACL is for is dropped; else it passes.
    pub default_acl_drop: bool,
}

/// A node of the overlay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chassis {
    /// Ways to reach it; the first one that the sender also speaks is used.
    pub encaps: Vec<Encap>,
}

/// One tunnel end of a chassis.
#[derive(Clone, Debug, PartialEq)]
pub struct Encap {
    /// The tunnel protocol.
    pub kind: EncapKind,
    /// The address in the underlay; unique in the topology.
    pub ip: IpAddr,
    /// UDP destination port; `None` is the protocol's own (6081 or 4789).
    pub port: Option<u16>,
    /// Whether packets carry OVN's option with input and output port keys (Geneve only).
    pub port_keys: bool,
    /// Whether the outer UDP checksum is filled when sending to this chassis.
    pub checksum: bool,
}

/// A tunnel protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EncapKind {
    /// RFC 8926.
    Geneve,
    /// RFC 7348.
    Vxlan,
}

impl EncapKind {
    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Geneve => "geneve",
            Self::Vxlan => "vxlan",
        }
    }

    /// The UDP port that IANA gave the protocol.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Geneve => 6081,
            Self::Vxlan => 4789,
        }
    }
}

/// A logical switch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switch {
    /// Declared datapath key (the VNI); `None` derives it from the name.
    pub key: Option<Vni>,
    /// Where `dynamic` addresses are taken from.
    pub subnet: Option<IpNet>,
    /// Inclusive ranges of the subnet that dynamic addresses leave out.
    pub exclude_ips: Vec<(IpAddr, IpAddr)>,
    /// Ports, by name; port names are unique in the whole topology.
    pub ports: BTreeMap<String, SwitchPort>,
    /// Most MACs the switch may learn; `None` is the default.
    pub mac_limit: Option<u32>,
    /// Seconds after which an unused learned MAC is forgotten; `None` is the default.
    pub mac_age_seconds: Option<u32>,
    /// Names of the load balancers for what its VIFs send.
    pub load_balancers: Vec<String>,
    /// Rules of who may send what to whom.
    pub acls: Arc<[Acl]>,
}

/// A port of a logical switch.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchPort {
    /// Declared port key; `None` derives it from the name.
    pub key: Option<PortKey>,
    /// What is behind the port.
    pub kind: SwitchPortKind,
    /// Who is behind the port.
    pub addresses: Vec<PortAddress>,
    /// Source addresses the port may use; empty means any.
    pub port_security: Vec<SecurityAddresses>,
    /// Where others find a VIF; `None` means that only the node that binds it knows.
    pub chassis: Option<String>,
    /// A disabled port neither sends nor receives.
    pub enabled: bool,
    /// Access VLAN inside the switch, 1 to 4094 (VIF only).
    pub vlan: Option<u16>,
}

impl Default for SwitchPort {
    fn default() -> Self {
        Self {
            key: None,
            kind: SwitchPortKind::Vif,
            addresses: Vec::new(),
            port_security: Vec::new(),
            chassis: None,
            enabled: true,
            vlan: None,
        }
    }
}

/// What is behind a switch port.
#[derive(Clone, Debug, PartialEq)]
pub enum SwitchPortKind {
    /// A machine's interface.
    Vif,
    /// A port of a logical router.
    Router {
        /// Name of the router port.
        router_port: String,
    },
    /// A physical network, bridged in on every node that maps it.
    Localnet {
        /// Name of the network, mapped to an interface by each node's bridge mappings.
        network: String,
        /// 802.1Q tag on the wire, 1 to 4094; `None` is untagged.
        tag: Option<u16>,
    },
}

/// One entry of a port's addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum PortAddress {
    /// A known MAC with the IP addresses behind it (possibly none).
    Static {
        /// The MAC.
        mac: Mac,
        /// The addresses; ARP and ND for them are answered by the switch.
        ips: Vec<IpAddr>,
    },
    /// An address from the switch's subnet, chosen by a hash of the port's name.
    Dynamic {
        /// The MAC; `None` derives that too.
        mac: Option<Mac>,
    },
    /// Whoever speaks: MACs are learned, and frames for unknown MACs are sent here.
    Unknown,
    /// The addresses of the router port behind a router-type port.
    Router,
}

/// A MAC and the addresses it may use, as port security has it.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityAddresses {
    /// The MAC.
    pub mac: Mac,
    /// Addresses or, with host bits all zero, whole prefixes; empty allows any address.
    pub ips: Vec<IpNet>,
}

/// A logical router.
#[derive(Clone, Debug, PartialEq)]
pub struct Router {
    /// Declared datapath key (the VNI); `None` derives it from the name.
    pub key: Option<Vni>,
    /// Makes it a gateway router, which lives wholly on this chassis.
    pub chassis: Option<String>,
    /// A disabled router forwards nothing.
    pub enabled: bool,
    /// Ports, by name; port names are unique in the whole topology.
    pub ports: BTreeMap<String, RouterPort>,
    /// Static routes; several rows with one prefix are equal-cost paths.
    pub routes: Arc<[Route]>,
    /// Address translation rules.
    pub nat: Vec<Nat>,
    /// Names of its load balancers.
    pub load_balancers: Vec<String>,
    /// What the sources of balanced connections become, whoever they are.
    pub lb_force_snat_ip: SourceIps,
    /// They become the address of the port that the packet leaves by (OVN's lb_force_snat_ip = "router_ip").
    pub lb_force_router_ip: bool,
    /// Neighbors that are not to be resolved.
    pub neighbors: Vec<StaticNeighbor>,
}

impl Default for Router {
    fn default() -> Self {
        Self {
            key: None,
            chassis: None,
            enabled: true,
            ports: BTreeMap::new(),
            routes: Arc::default(),
            nat: Vec::new(),
            load_balancers: Vec::new(),
            lb_force_snat_ip: SourceIps::default(),
            lb_force_router_ip: false,
            neighbors: Vec::new(),
        }
    }
}

/// A port of a logical router.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterPort {
    /// Declared port key; `None` derives it from the name.
    pub key: Option<PortKey>,
    /// Declared MAC; `None` derives it from the name.
    pub mac: Option<Mac>,
    /// The port's addresses, each with the length of its network's prefix.
    pub networks: Vec<IpNet>,
    /// The router port at the other end of a router-to-router link.
    pub peer: Option<String>,
    /// Chassis that may hold the port, with priorities (the highest live one does); makes it a
    /// distributed gateway port.
    pub gateway_chassis: BTreeMap<String, u16>,
    /// Largest IP packet, in bytes, sent out of the port.
    pub gateway_mtu: Option<u16>,
    /// A disabled port neither sends nor receives.
    pub enabled: bool,
    /// Declared key of the port's chassisredirect port; `None` derives it from `cr-<port>`.
    pub redirect_key: Option<PortKey>,
}

impl Default for RouterPort {
    fn default() -> Self {
        Self {
            key: None,
            mac: None,
            networks: Vec::new(),
            peer: None,
            gateway_chassis: BTreeMap::new(),
            gateway_mtu: None,
            enabled: true,
            redirect_key: None,
        }
    }
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// What it matches; host bits are zero.
    pub prefix: IpNet,
    /// Where it leads.
    pub nexthop: Nexthop,
    /// The router port to leave by; `None` is the one whose network holds the next hop.
    pub output_port: Option<String>,
    /// Which address of the packet is matched.
    pub policy: RoutePolicy,
}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nexthop {
    /// To this neighbor.
    Ip(IpAddr),
    /// Nowhere: the packet is dropped.
    Discard,
}

/// Which address a route matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RoutePolicy {
    /// The destination.
    #[default]
    DstIp,
    /// The source.
    SrcIp,
}

/// An address translation rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Nat {
    /// The direction(s) in which it starts connections.
    pub kind: NatKind,
    /// The address seen outside.
    pub external_ip: IpAddr,
    /// The address or network inside.
    pub logical_ip: IpNet,
    /// First and last of the ports that sources are translated to; `None` is any.
    pub external_port_range: Option<(u16, u16)>,
    /// Addresses at the other end for which the rule is; empty is all.
    pub allowed_ext_ips: Vec<IpNet>,
    /// Addresses at the other end for which nothing is translated.
    pub exempted_ext_ips: Vec<IpNet>,
    /// The gateway port that translates; `None` is the one whose network holds the external address, or the only one.
    pub gateway_port: Option<String>,
    /// Whether a source has one port outside for each remote end, or one for all.
    pub mapping: NatMapping,
    /// Who may send to that port.
    pub filtering: NatFiltering,
    /// An even port becomes an even one, an odd one an odd one (RFC 4787 REQ-4; off by default, RFC 7857 section 8).
    pub port_parity: bool,
    /// A floating IP that rewrites addresses and remembers nothing.
    pub stateless: bool,
    /// MAC of a distributed floating IP.
    pub external_mac: Option<Mac>,
    /// The port on whose chassis a distributed floating IP is translated.
    pub logical_port: Option<String>,
}

impl Nat {
    /// A rule with nothing but what every rule has.
    pub fn new(kind: NatKind, external_ip: IpAddr, logical_ip: IpNet) -> Self {
        Self {
            kind,
            external_ip,
            logical_ip,
            external_port_range: None,
            allowed_ext_ips: Vec::new(),
            exempted_ext_ips: Vec::new(),
            gateway_port: None,
            mapping: NatMapping::default(),
            filtering: NatFiltering::default(),
            port_parity: false,
            stateless: false,
            external_mac: None,
            logical_port: None,
        }
    }
}

/// The direction(s) in which a translation starts connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// Inside to outside: the source is rewritten.
    Snat,
    /// Outside to inside: the destination is rewritten.
    Dnat,
    /// Both: a floating IP.
    DnatAndSnat,
}

impl NatKind {
    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Dnat => "dnat",
            Self::DnatAndSnat => "dnat_and_snat",
        }
    }
}

/// What the port that a source has outside depends on (RFC 4787 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatMapping {
    /// On address and port of the remote end.
    #[default]
    AddressAndPortDependent,
    /// On the source alone.
    EndpointIndependent,
}

impl NatMapping {
    /// Each with its name in topology files.
    pub const NAMES: [(&str, Self); 2] = [
        ("address-and-port-dependent", Self::AddressAndPortDependent),
        ("endpoint-independent", Self::EndpointIndependent),
    ];
}

/// Who outside may send to a source's port (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatFiltering {
    /// The remote ends that the source has sent to.
    #[default]
    AddressAndPortDependent,
    /// The addresses that it has sent to, from any port.
    AddressDependent,
    /// Everybody.
    EndpointIndependent,
}

impl NatFiltering {
    /// Each with its name in topology files.
    pub const NAMES: [(&str, Self); 3] = [
        ("address-and-port-dependent", Self::AddressAndPortDependent),
        ("address-dependent", Self::AddressDependent),
        ("endpoint-independent", Self::EndpointIndependent),
    ];
}

/// A neighbor whose MAC is given.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticNeighbor {
    /// The router port behind which it is.
    pub port: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its MAC.
    pub mac: Mac,
}
