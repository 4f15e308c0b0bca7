//! A small network on one node, with another chassis played by the test.
//!
//! ```text
//!   left 10.1.0.0/24, fd00:1::/64           right 10.2.0.0/24, fd00:2::/64
//!     a .10 (secured)  b .11                   d .10
//!     off .15 (disabled)  lost .16 (unbound)
//!     far .14 (on hv)
//!        |                                       |
//!       .1 +----------------- r -----------------+ .1
//!   left too: `down` .2, a disabled router      alone: e      vlans: v1 in 100, v2 in 200
//! ```

use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, Mac, Vni};

use crate::support::{Network, NodeFile, NodeOptions, device_mac, mac, packet, v4};

pub const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[chassis.mute]
encap = { type = "geneve", ip = "172.16.0.3" }

[switch.left]
key = 1
[switch.left.port.a]
key = 10
addresses = ["02:00:00:00:00:0a 10.1.0.10 fd00:1::10"]
port_security = ["02:00:00:00:00:0a 10.1.0.10 fd00:1::10"]
chassis = "gw"
[switch.left.port.b]
key = 11
addresses = ["02:00:00:00:00:0b 10.1.0.11"]
chassis = "gw"
[switch.left.port.off]
key = 15
addresses = ["02:00:00:00:00:0f 10.1.0.15"]
enabled = false
chassis = "gw"
[switch.left.port.lost]
key = 16
addresses = ["02:00:00:00:00:1f 10.1.0.16"]
[switch.left.port.far]
key = 14
addresses = ["02:00:00:00:00:0e 10.1.0.14"]
chassis = "hv"
[switch.left.port.left-r]
key = 1
type = "router"
router_port = "r-left"
[switch.left.port.left-down]
key = 2
type = "router"
router_port = "down-left"

[switch.right]
key = 2
[switch.right.port.d]
key = 10
addresses = ["02:00:00:00:00:0d 10.2.0.10 fd00:2::10"]
chassis = "gw"
[switch.right.port.right-r]
key = 1
type = "router"
router_port = "r-right"

[switch.alone]
key = 3
[switch.alone.port.e]
key = 10
addresses = ["02:00:00:00:00:e1 10.3.0.1"]
chassis = "gw"

[switch.vlans]
key = 4
[switch.vlans.port.v1]
addresses = ["02:00:00:00:00:a1 10.4.0.1"]
vlan = 100
chassis = "gw"
[switch.vlans.port.v2]
addresses = ["02:00:00:00:00:a2 10.4.0.2"]
vlan = 200
chassis = "gw"
[switch.vlans.port.v3]
addresses = ["02:00:00:00:00:a3 10.4.0.3"]
vlan = 100
chassis = "gw"

[switch.lonely]
key = 5
[switch.lonely.port.f]
key = 10
addresses = ["02:00:00:00:00:f1 10.5.0.1"]
chassis = "gw"
[switch.lonely.port.silent]
key = 11
addresses = ["02:00:00:00:00:f2 10.5.0.2"]
chassis = "mute"

[router.r]
key = 100
[router.r.port.r-left]
key = 1
mac = "02:00:00:00:01:01"
networks = ["10.1.0.1/24", "fd00:1::1/64"]
[router.r.port.r-right]
key = 2
mac = "02:00:00:00:01:02"
networks = ["10.2.0.1/24", "fd00:2::1/64"]
gateway_mtu = 1400
[[router.r.route]]
ip_prefix = "10.66.0.0/16"
nexthop = "discard"

[router.down]
key = 101
enabled = false
[router.down.port.down-left]
mac = "02:00:00:00:02:01"
networks = ["10.1.0.2/24"]
"#;

pub const A: &str = "02:00:00:00:00:0a";
pub const B: &str = "02:00:00:00:00:0b";
pub const D: &str = "02:00:00:00:00:0d";
pub const FAR: &str = "02:00:00:00:00:0e";
pub const R_LEFT: &str = "02:00:00:00:01:01";
pub const R_RIGHT: &str = "02:00:00:00:01:02";

pub fn gw() -> NodeFile {
    NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["a", "b", "d", "e", "f", "off", "v1", "v2", "v3"])
}

/// The network, quiet.
pub fn lab() -> Network {
    lab_with(&NodeOptions::default())
}

pub fn lab_with(options: &NodeOptions) -> Network {
    let mut net = Network::with(TOPOLOGY, &[gw()], options);
    net.chassis("hv", "172.16.0.2/24");
    net.quiet()
}

/// A UDP packet from `a` to an address, sent to the router.
pub fn from_a(to: &str) -> Builder {
    packet((A, R_LEFT), ("10.1.0.10", to)).udp(1000, 2000)
}

/// Ethernet and IPv4 of a tunnel packet from chassis `hv` to the node.
pub fn outer() -> Builder {
    Builder::ethernet(device_mac("hv", "underlay"), gw_mac())
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"))
        .dont_fragment(true)
}

pub fn gw_mac() -> Mac {
    device_mac("gw", "eth0")
}

/// What chassis `hv` sends for a packet with these keys.
pub fn tunneled(inner: Builder, vni: u32, in_key: u16, out_key: u16) -> Builder {
    let option = OvnOption { in_key, out_key };
    inner.encap_geneve(outer(), Vni::new(vni).unwrap(), Some(option))
}

/// A UDP packet from `far` to `b`, as `far` sends it.
pub fn from_far() -> Builder {
    Builder::ethernet(mac(FAR), mac(B))
        .ipv4(v4("10.1.0.14"), v4("10.1.0.11"))
        .udp(1000, 2000)
}
