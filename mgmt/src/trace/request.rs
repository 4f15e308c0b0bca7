//! What is traced.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sluice_net::Mac;

/// A packet and where it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// Where it starts.
    pub start: Start,
    /// The packet; without meaning for a given frame.
    #[serde(default)]
    pub packet: PacketSpec,
}

/// Where a traced packet starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Start {
    /// At a logical switch port, as if the machine behind it sent it.
    Port {
        /// Name of the port.
        name: String,
    },
    /// In a tunnel packet of another chassis.
    Tunnel {
        /// Name of the chassis.
        chassis: String,
        /// Tunnel key, or name, of a switch or router.
        datapath: String,
        /// Key, or name, of the logical input port.
        in_port: Option<String>,
        /// Key, or name, of the logical output port.
        out_port: Option<String>,
    },
    /// As a frame on an interface of the node.
    Frame {
        /// Name of the interface.
        interface: String,
        /// The bytes, in hex.
        hex: String,
    },
}

/// A packet; what is left out is filled in from the topology.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacketSpec {
    /// Ethernet source: by default that of the port.
    pub eth_src: Option<Mac>,
    /// Ethernet destination: by default what the sender would find out by ARP.
    pub eth_dst: Option<Mac>,
    /// 802.1Q tag.
    pub vlan: Option<u16>,
    /// Source address: by default that of the port.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// `icmp` (an echo request, the default), `tcp`, `udp`, `arp`, or the number of a protocol.
    pub proto: Option<String>,
    /// Source port, or identifier of an echo.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: Option<u16>,
    /// TTL or hop limit, 64 by default.
    pub ttl: Option<u8>,
    /// TCP flags by name, as in `syn` (the default) or `syn,ack`.
    pub flags: Option<String>,
    /// Bytes of the IP packet.
    pub len: Option<u16>,
    /// May not be fragmented.
    pub dont_fragment: bool,
    /// It is a fragment of the packet that the rest tells of.
    pub fragment: Option<FragmentSpec>,
}

/// Which fragment is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FragmentSpec {
    /// The first, with the header of the upper layer.
    First,
    /// A later one, after the first has come by.
    Later,
}
