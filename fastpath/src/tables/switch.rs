//! A compiled logical switch.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_net::Mac;

use crate::ids::{PortId, TunnelId};
use crate::io::DeviceId;
use crate::tables::balancer::Balancers;
use crate::tables::{Acls, Monitored, RoleId};

/// A logical switch as this node sees it.
#[derive(Debug, Default, PartialEq)]
pub struct Switch {
    /// All ports, wherever they are bound.
    pub ports: Vec<SwitchPort>,
    /// Static unicast MACs, router ports included: index into `ports`.
    pub by_mac: HashMap<Mac, u16>,
    /// Tunnel key to index into `ports`.
    pub by_key: HashMap<u16, u16>,
    /// Addresses whose MAC is known from the topology.
    pub known: HashMap<IpAddr, Known>,
    /// Bridging domains: one for untagged ports and one for every access VLAN.
    pub domains: Vec<Domain>,
    /// Router ports attached to this switch that this node may process: they learn from ARP and ND.
    pub router_ports: Vec<PortId>,
    /// The other chassis that run the distributed routers of this switch, with or without ports of it. Each of
    /// them asks for MACs by itself, and hears the answer only when it is sent a copy.
    pub routers_at: Arc<[FloodMember]>,
    /// A NAT or load balancer is reachable from here, so connections are looked up.
    pub stateful: bool,
    /// The device of its localnet port.
    pub wire: Option<DeviceId>,
    /// Load balancers for what its VIFs send.
    pub balancers: Balancers,
    /// The learning port of each chassis without port keys.
    pub keyless: Vec<(TunnelId, u16)>,
    /// Learned MACs per domain at most.
    pub mac_limit: u32,
    /// Milliseconds a learned MAC lives without traffic.
    pub mac_age: u32,
    /// MACs of floating IPs that routers translate on this node.
    pub distributed: Vec<Mac>,
    /// Backends of load balancers are checked behind ports of it.
    pub monitored: Option<Arc<Monitored>>,
    /// Who may send what to whom; `None` when no rule holds here.
    pub acls: Option<Arc<Acls>>,
}

/// One VLAN of a switch.
#[derive(Debug, Default, PartialEq)]
pub struct Domain {
    /// Node-wide number of the domain, key of the FDB.
    pub id: u32,
    /// Access VLAN of the ports in it, 0 for none.
    pub vlan: u16,
    /// Who gets broadcasts: local ports and localnet first, then one entry a chassis.
    pub flood: Vec<FloodMember>,
    /// Who gets frames to unknown MACs.
    pub unknown: Vec<FloodMember>,
}

/// Whom a flood is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everyone in the domain.
    All,
    /// The ports with `unknown` addresses (unknown unicast).
    Unknown,
    /// The other chassis that run the switch's routers.
    Nodes,
    /// The other chassis that may check backends behind ports of the switch.
    Checkers,
}

/// One receiver of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodMember {
    /// A VIF or localnet of this node.
    Device {
        /// The switch port.
        port: PortId,
        /// The device.
        device: DeviceId,
        /// VLAN to send with.
        vlan: Option<u16>,
    },
    /// Another chassis that has ports of the switch.
    Chassis {
        /// The chassis.
        tunnel: TunnelId,
        /// Multicast group key it fans out by; `None` towards a peer without port keys.
        group: Option<u16>,
    },
}

/// A logical switch port.
#[derive(Debug, PartialEq)]
pub struct SwitchPort {
    /// Its index in the node.
    pub id: PortId,
    /// Name in the topology.
    pub name: String,
    /// Tunnel key.
    pub key: u16,
    /// Where its packets go.
    pub place: Place,
    /// Index into the switch's domains.
    pub domain: u16,
    /// Source addresses it may use; `None` lets all pass.
    pub security: Option<PortSecurity>,
    /// It takes frames to unknown MACs and learns the MACs behind it.
    pub learning: bool,
    /// A localnet port.
    pub localnet: bool,
    /// A port of type router.
    pub router: bool,
    /// Administrative state.
    pub enabled: bool,
}

/// Where the packets of a switch port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bound to no chassis.
    Unbound,
    /// A device of this node.
    Device {
        /// The device.
        device: DeviceId,
        /// VLAN to send with.
        vlan: Option<u16>,
    },
    /// Another chassis.
    Chassis(TunnelId),
    /// A router port processed on this node.
    Router(PortId),
    /// A gateway port: here or on another chassis, as the role says.
    Gateway {
        /// The router port.
        port: PortId,
        /// Its role.
        role: RoleId,
    },
}

/// An address known from the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The MAC that has it.
    pub mac: Mac,
    /// Index of the switch port that owns it.
    pub port: u16,
    /// A distributed floating IP: it is answered for here, whoever holds the router's port.
    pub here: bool,
}

/// Port security of a switch port, OVN's `port_security`.
#[derive(Debug, Default, PartialEq)]
pub struct PortSecurity {
    /// One rule per allowed MAC.
    pub rules: Vec<SecurityRule>,
}

/// A MAC and the addresses it may use.
#[derive(Debug, PartialEq)]
pub struct SecurityRule {
    /// The allowed source MAC.
    pub mac: Mac,
    /// Allowed source addresses; empty lets any address pass with this MAC.
    pub addresses: Vec<IpNet>,
}

impl Switch {
    /// Connections of its VIFs are kept: it has load balancers, or ACLs that let answers pass.
    #[inline]
    pub fn tracks(&self) -> bool {
        !self.balancers.is_empty() || self.acls.as_ref().is_some_and(|acls| acls.stateful)
    }

    /// Who gets a flood in the domain with this index; `None` when there is no such domain.
    #[inline]
    pub fn members(&self, domain: u16, audience: Audience) -> Option<&[FloodMember]> {
        let domain = self.domains.get(usize::from(domain))?;
        Some(match audience {
            Audience::All => &domain.flood,
            Audience::Unknown => &domain.unknown,
            Audience::Nodes => &self.routers_at,
            Audience::Checkers => self.monitored.as_ref().map_or(&[][..], |all| &all.nodes),
        })
    }

    /// The port a frame of a chassis without port keys came in by: the one that has the source MAC, else
    /// the learning port of that chassis.
    #[inline]
    pub fn keyless_port(&self, tunnel: TunnelId, src: Mac) -> Option<u16> {
        let has = |&index: &u16| {
            self.ports
                .get(usize::from(index))
                .is_some_and(|port| port.place == Place::Chassis(tunnel))
        };
        let learning = || {
            self.keyless
                .iter()
                .find(|(peer, _)| *peer == tunnel)
                .map(|(_, port)| *port)
        };
        self.by_mac.get(&src).copied().filter(has).or_else(learning)
    }
}

impl PortSecurity {
    /// The rule for a source MAC.
    #[inline]
    pub fn rule(&self, mac: Mac) -> Option<&SecurityRule> {
        self.rules.iter().find(|rule| rule.mac == mac)
    }
}

impl SecurityRule {
    /// True when `ip` may be the source. IPv6 link-local addresses formed from the MAC are
    /// allowed wherever the rule names an IPv6 address, the unspecified address for DAD too
    /// (as OVN does).
    pub fn allows(&self, ip: IpAddr) -> bool {
        if self.addresses.is_empty() {
            return true;
        }
        if self.addresses.iter().any(|net| net.contains(&ip)) {
            return true;
        }
        match ip {
            IpAddr::V4(v4) => v4.is_unspecified() && self.names_family(false),
            IpAddr::V6(v6) => {
                self.names_family(true)
                    && (v6.is_unspecified() || v6 == sluice_net::addr::eui64_link_local(self.mac))
            }
        }
    }

    fn names_family(&self, v6: bool) -> bool {
        self.addresses.iter().any(|net| net.addr().is_ipv6() == v6)
    }
}
