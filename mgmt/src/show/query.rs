//! What can be asked, and how it can be narrowed down.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sluice_net::Mac;

/// A table to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The daemon: version, chassis, generation, time since the start.
    Version,
    /// Chassis, switches and routers of the whole topology.
    Topology,
    /// Devices: driver, link, traffic, losses.
    Interfaces,
    /// Packet workers: CPU, state, what they did.
    Workers,
    /// Logical switches of this node.
    Switches,
    /// Logical ports of this node's switches and routers, with traffic.
    Ports,
    /// MACs: declared and learned.
    Fdb,
    /// Logical routers of this node.
    Routers,
    /// Routes of this node's routers.
    Routes,
    /// Next hops and their MACs.
    Neighbors,
    /// Other chassis.
    Tunnels,
    /// Tracked and translated connections.
    Connections,
    /// Who opened most of the connections that are open.
    Talkers,
    /// How many connections there are of each protocol and state.
    Totals,
    /// Translation rules and how many connections use them.
    Nat,
    /// Ports of the addresses that source NAT shares: how many are in use, and free.
    Pools,
    /// What sources are called outside, where that is the same for all remote ends.
    Mappings,
    /// Load balancers: who serves, how many connections, and how many new ones so far.
    Lb,
    /// ACLs of this node's switches, in the order in which they are asked.
    Acl,
    /// Datagrams of which fragments are under way, and what became of others.
    Fragments,
    /// Dropped packets by reason.
    Drops,
    /// What the slow path did.
    Slowpath,
}

impl What {
    /// All of them.
    pub const ALL: [What; 22] = [
        What::Version,
        What::Topology,
        What::Interfaces,
        What::Workers,
        What::Switches,
        What::Ports,
        What::Fdb,
        What::Routers,
        What::Routes,
        What::Neighbors,
        What::Tunnels,
        What::Connections,
        What::Talkers,
        What::Totals,
        What::Nat,
        What::Pools,
        What::Mappings,
        What::Lb,
        What::Acl,
        What::Fragments,
        What::Drops,
        What::Slowpath,
    ];

    /// Name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            What::Version => "version",
            What::Topology => "topology",
            What::Interfaces => "interfaces",
            What::Workers => "workers",
            What::Switches => "switches",
            What::Ports => "ports",
            What::Fdb => "fdb",
            What::Routers => "routers",
            What::Routes => "routes",
            What::Neighbors => "neighbors",
            What::Tunnels => "tunnels",
            What::Connections => "connections",
            What::Talkers => "talkers",
            What::Totals => "totals",
            What::Nat => "nat",
            What::Pools => "pools",
            What::Mappings => "mappings",
            What::Lb => "lb",
            What::Acl => "acl",
            What::Fragments => "fragments",
            What::Drops => "drops",
            What::Slowpath => "slowpath",
        }
    }

    /// The filters it knows.
    const fn filters(self) -> &'static [&'static str] {
        match self {
            What::Version | What::Workers | What::Fragments | What::Slowpath => &[],
            What::Topology => &["switch", "router", "chassis"],
            What::Interfaces => &["interface"],
            What::Switches | What::Acl => &["switch"],
            What::Ports => &["switch", "router", "port"],
            What::Fdb => &["switch", "port", "mac"],
            What::Routers => &["router"],
            What::Routes => &["router", "port", "dst"],
            What::Neighbors => &["router", "port", "ip", "mac"],
            What::Tunnels => &["chassis"],
            What::Connections | What::Talkers | What::Totals => {
                &["src", "dst", "proto", "sport", "dport", "state", "zone"]
            }
            What::Nat | What::Pools => &["router"],
            What::Mappings => &["router", "ip", "proto"],
            What::Lb => &["switch", "router"],
            What::Drops => &["reason", "all"],
        }
    }
}

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Of this logical switch.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch: Option<String>,
    /// Of this logical router.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<String>,
    /// Of this logical port.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Of this interface of the node.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Of this chassis.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis: Option<String>,
    /// With this MAC.
    #[arg(long, value_name = "MAC")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// With this address.
    #[arg(long, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Connections from this address, before or after translation.
    #[arg(long, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Routes that hold this address; connections to it.
    #[arg(long, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
    /// tcp, udp, icmp or a number.
    #[arg(long, value_name = "PROTOCOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// Connections from this port, before or after translation.
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Connections to this port.
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// Connections in this state, as `show connections` names it.
    #[arg(long, value_name = "STATE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Connections of this zone: a switch or router, on either side.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Dropped for this reason.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Reasons that have not happened too.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// A table, which rows of it, and how many at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The table.
    pub what: What,
    /// Which rows.
    #[serde(default)]
    pub filter: Filter,
    /// How many at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Query {
    /// All rows of a table.
    #[must_use]
    pub fn all(what: What) -> Self {
        Self {
            what,
            filter: Filter::default(),
            limit: None,
        }
    }

    /// Is every filter that is set one that the table knows?
    ///
    /// # Errors
    /// A sentence that names the first that is not, and those that are.
    pub fn check(&self) -> Result<(), String> {
        let known = self.what.filters();
        let Some(wrong) = self.filter.set().find(|name| !known.contains(name)) else {
            return Ok(());
        };
        let name = self.what.name();
        let options: Vec<String> = known.iter().map(|filter| format!("--{filter}")).collect();
        Err(match options.is_empty() {
            true => format!("`show {name}` has no filter --{wrong}, nor any other"),
            false => format!(
                "`show {name}` has no filter --{wrong}; it has {}",
                options.join(", ")
            ),
        })
    }
}

impl Filter {
    /// Names of the filters that are set.
    fn set(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("switch", self.switch.is_some()),
            ("router", self.router.is_some()),
            ("port", self.port.is_some()),
            ("interface", self.interface.is_some()),
            ("chassis", self.chassis.is_some()),
            ("mac", self.mac.is_some()),
            ("ip", self.ip.is_some()),
            ("src", self.src.is_some()),
            ("dst", self.dst.is_some()),
            ("proto", self.proto.is_some()),
            ("sport", self.sport.is_some()),
            ("dport", self.dport.is_some()),
            ("state", self.state.is_some()),
            ("zone", self.zone.is_some()),
            ("reason", self.reason.is_some()),
            ("all", self.all),
        ];
        all.into_iter()
            .filter(|(_, set)| *set)
            .map(|(name, _)| name)
    }
}

/// True when nothing is wanted in particular, or just this.
pub(super) fn fits<T: PartialEq + ?Sized, W: std::borrow::Borrow<T>>(
    wanted: &Option<W>,
    value: &T,
) -> bool {
    wanted
        .as_ref()
        .is_none_or(|wanted| wanted.borrow() == value)
}

/// Number of an IP protocol given by name or number.
#[must_use]
pub fn protocol(text: &str) -> Option<u8> {
    match text.to_ascii_lowercase().as_str() {
        "icmp" => Some(1),
        "ipip" => Some(4),
        "tcp" => Some(6),
        "udp" => Some(17),
        "gre" => Some(47),
        "esp" => Some(50),
        "ah" => Some(51),
        "icmp6" | "icmpv6" => Some(58),
        "sctp" => Some(132),
        number => number.parse().ok(),
    }
}

/// Name of an IP protocol, or its number.
#[must_use]
pub fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        4 => "ipip".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        47 => "gre".to_owned(),
        50 => "esp".to_owned(),
        51 => "ah".to_owned(),
        58 => "icmp6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}
