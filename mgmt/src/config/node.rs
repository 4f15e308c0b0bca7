//! What one node is and has: the node file, checked value by value.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// A node file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Which chassis of the topology this node is.
    pub chassis: String,
    /// The topology file, relative paths already resolved against the node file's directory.
    pub topology: PathBuf,
    /// The packet workers and their memory.
    pub dataplane: Dataplane,
    /// DPDK devices, by the name this node gives them.
    pub interfaces: BTreeMap<String, Interface>,
    /// Physical networks of localnet ports: network name to interface name.
    pub bridge_mappings: BTreeMap<String, String>,
    /// How long connections may be idle, in seconds, where the file says so.
    pub timeouts: BTreeMap<Timeout, u32>,
    /// What one source may have, and when ports are used again.
    pub connections: Connections,
    /// Fragments whose ports somebody looks at. A change takes a restart.
    pub fragments: Fragments,
    /// How tunnels leave this node; `None` is a node without tunnels.
    pub underlay: Option<Underlay>,
    /// The control socket.
    pub control: Control,
    /// What is logged, and how.
    pub log: Log,
}

/// The packet workers and their memory. A change takes a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataplane {
    /// The CPU of each worker; at least one, each at most once.
    pub workers: Vec<usize>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// Whether packet memory is in hugepages.
    pub hugepages: Hugepages,
    /// Bytes of packet memory; `None` lets the daemon choose by ports and workers.
    pub memory: Option<u64>,
    /// Most connections of IPv4 tracked at one time.
    pub connections: u32,
    /// Most of IPv6.
    pub connections_ipv6: u32,
    /// Most neighbors (ARP and ND entries) held.
    pub neighbors: u32,
    /// Most learned MACs held, over all switches.
    pub fdb: u32,
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Polls on: a whole core, the least latency.
    Poll,
    /// Sleeps a little longer the longer nothing comes.
    #[default]
    Adaptive,
}

/// Whether packet memory is in hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// When the system has free ones.
    #[default]
    Auto,
    /// Always: not to have them is an error.
    On,
    /// Never.
    Off,
}

/// What a connection is doing while it is idle for a time that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timeout {
    /// TCP: a SYN was sent.
    TcpSynSent,
    /// TCP: it was answered.
    TcpSynReceived,
    /// TCP: established.
    TcpEstablished,
    /// TCP: one side has finished.
    TcpFinWait,
    /// TCP: both have, the last FIN is not acknowledged.
    TcpLastAck,
    /// TCP: both have, and all is acknowledged.
    TcpTimeWait,
    /// TCP: a RST was seen.
    TcpReset,
    /// UDP with an answer.
    Udp,
    /// UDP without.
    UdpUnreplied,
    /// Echo with an answer.
    Icmp,
    /// Echo without.
    IcmpUnreplied,
    /// Another protocol with an answer.
    Other,
    /// Another protocol without.
    OtherUnreplied,
}

impl Timeout {
    /// All of them.
    pub const ALL: [Timeout; 13] = [
        Timeout::TcpSynSent,
        Timeout::TcpSynReceived,
        Timeout::TcpEstablished,
        Timeout::TcpFinWait,
        Timeout::TcpLastAck,
        Timeout::TcpTimeWait,
        Timeout::TcpReset,
        Timeout::Udp,
        Timeout::UdpUnreplied,
        Timeout::Icmp,
        Timeout::IcmpUnreplied,
        Timeout::Other,
        Timeout::OtherUnreplied,
    ];

    /// Its key in `[timeouts]`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Timeout::TcpSynSent => "tcp_syn_sent",
            Timeout::TcpSynReceived => "tcp_syn_received",
            Timeout::TcpEstablished => "tcp_established",
            Timeout::TcpFinWait => "tcp_fin_wait",
            Timeout::TcpLastAck => "tcp_last_ack",
            Timeout::TcpTimeWait => "tcp_time_wait",
            Timeout::TcpReset => "tcp_reset",
            Timeout::Udp => "udp",
            Timeout::UdpUnreplied => "udp_unreplied",
            Timeout::Icmp => "icmp",
            Timeout::IcmpUnreplied => "icmp_unreplied",
            Timeout::Other => "other",
            Timeout::OtherUnreplied => "other_unreplied",
        }
    }

    /// The least that an RFC asks of a NAT, in seconds, and which one; `None` where none does.
    #[must_use]
    pub const fn least(self) -> Option<(u32, &'static str)> {
        match self {
            Timeout::TcpSynSent
            | Timeout::TcpSynReceived
            | Timeout::TcpLastAck
            | Timeout::TcpTimeWait => Some((240, "RFC 5382 REQ-5")),
            Timeout::TcpEstablished | Timeout::TcpFinWait => Some((7440, "RFC 5382 REQ-5")),
            Timeout::TcpReset => Some((240, "RFC 7857 section 2.2")),
            Timeout::Udp | Timeout::UdpUnreplied => Some((120, "RFC 4787 REQ-5")),
            Timeout::Icmp | Timeout::IcmpUnreplied => Some((60, "RFC 5508 REQ-1")),
            Timeout::Other | Timeout::OtherUnreplied => None,
        }
    }
}

/// What one source may have, and when ports are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Most connections of one source address at one time; 0 is any number.
    pub per_source: u32,
    /// Seconds for which a source port that was given back goes to nobody else; 0 is not at all.
    pub port_hold_down: u32,
    /// Seconds after the start in which TCP connections are picked up in the middle.
    pub pick_up: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            per_source: 0,
            port_hold_down: 0,
            // Whoever retransmits after a restart does so within minutes.
            pick_up: 300,
        }
    }
}

/// Fragments whose ports somebody looks at, of the whole node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragments {
    /// Most datagrams of which fragments are under way.
    pub datagrams: u32,
    /// Most fragments that wait for the first of their datagram.
    pub held: u32,
    /// Seconds for which the first fragment is waited for, and after it for the others.
    pub timeout: u32,
}

impl Default for Fragments {
    fn default() -> Self {
        Self {
            datagrams: 4096,
            held: 512,
            // RFC 6146 section 3.4 asks for that much.
            timeout: 2,
        }
    }
}

/// A DPDK device.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// A PCI address, or the device arguments of a virtual device.
    pub device: String,
    /// Largest IP packet, in bytes, that it carries.
    pub mtu: u16,
    /// The logical switch port (a VIF) that is bound to it.
    pub iface_id: Option<String>,
}

/// How tunnels leave this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Underlay {
    /// Name of the interface.
    pub interface: String,
    /// The node's address with the prefix length of the network; the address is that of one of
    /// the chassis' encaps.
    pub address: IpNet,
    /// Where chassis outside the network are reached.
    pub gateway: Option<IpAddr>,
    /// Largest outer IP packet, in bytes; at most the interface's.
    pub mtu: u16,
    /// 802.1Q tag of the underlay on that interface.
    pub vlan: Option<u16>,
}

/// The control socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// Path of the unix socket.
    pub socket: PathBuf,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// The form of a line.
    pub format: LogFormat,
}

/// A severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something may not work.
    Warn,
    /// What an operator wants to know later.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
