//! The networks that are compared, and what is changed about them.

/// Two sides, each with switches, routers in a row and other chassis.
///
/// ```text
///  without state                                   with state
///    e  e1 (secured) e2 e3 (unknown)                 a  a1 (secured) a2 a4 (unknown)
///       e4 at hv, e5 (secured) e6 at vx                 a3 at hv, a5 at hv2, a6 (secured) at vx; balancers 192.0.2.1, .2
///    n  10.4.0.1 ── 10.5.0.1                        r1  10.0.0.1, 10.1.0.1 (b: b1, b2 at hv) ── 10.8.0.1
///    f  f1, f2 at hv, f3 f4 (unknown), VLAN 42       g  10.8.0.2 ── 203.0.113.1  SNAT 10.0.0.0/25, 10.1.0.0/24; DNAT .10 a2; floating .11 a3; balancers .30, .31
///    m  linked to n; h: h1                         out  wire, o1 (unknown)
///                                                    d  10.2.0.1 (c: c1, c2 at hv) ── 198.18.0.1 SNAT, held by gw2 or gw; floating .20 c1, stateless .21 c2, balancer .30
///                                                  ext  phys
///    ACLs: h; with state: b1 and c1; if changed, a
/// ```
pub const TOPOLOGY: &str = r#"
[chassis.gw]
encap = [{ type = "geneve", ip = "172.16.0.1" }, { type = "vxlan", ip = "172.16.0.1" }]
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[chassis.hv2]
encap = { type = "geneve", ip = "172.16.0.3", checksum = false }
[chassis.vx]
encap = { type = "vxlan", ip = "172.16.0.4" }
[chassis.gw2]
encap = { type = "geneve", ip = "172.16.0.5" }

[load_balancer.outer]
vips = { "203.0.113.30" = ["10.0.0.10", "10.0.0.12", "10.1.0.10"], "203.0.113.31:1" = ["10.0.0.11:2", "10.0.0.14:1"], "fd00:f::30" = ["fd00:a::10", "fd00:a::12", "fd00:b::10"], "[fd00:f::31]:1" = ["[fd00:a::11]:2", "[fd00:a::14]:1"] }
[load_balancer.single]
protocol = "udp"
affinity_timeout = 2
vips = { "198.18.0.30:1" = ["10.2.0.10:2", "10.2.0.11:2"], "[fd00:d::30]:1" = ["[fd00:c::10]:2", "[fd00:c::11]:2"] }
[load_balancer.inner]
protocol = "udp"
vips = { "192.0.2.1" = ["10.0.0.10", "10.0.0.11", "10.0.0.14"], "192.0.2.2:2" = ["10.1.0.10:1", "8.8.8.8:1"], "fd00:99::1" = ["fd00:a::10", "fd00:a::11", "fd00:a::14"], "[fd00:99::2]:2" = ["[fd00:b::10]:1", "[fd00:88::8]:1"] }
[load_balancer.inner.backend."10.0.0.11"]
weight = 2

[switch.e]
key = 4
[switch.e.port.e-n]
key = 1
type = "router"
router_port = "n-e"
[switch.e.port.e1]
key = 10
addresses = ["02:00:00:00:04:10 10.4.0.10 fd00:4::10"]
port_security = ["02:00:00:00:04:10 10.4.0.10 fd00:4::10", "02:00:00:00:04:1f 10.4.0.10 10.4.0.99"]
chassis = "gw"
[switch.e.port.e2]
key = 11
addresses = ["02:00:00:00:04:11 10.4.0.11 fd00:4::11"]
chassis = "gw"
[switch.e.port.e3]
key = 12
addresses = ["unknown"]
chassis = "gw"
[switch.e.port.e4]
key = 13
addresses = ["02:00:00:00:04:13 10.4.0.13 fd00:4::13"]
chassis = "hv"
[switch.e.port.e5]
key = 14
addresses = ["02:00:00:00:04:14 10.4.0.14"]
port_security = ["02:00:00:00:04:14 10.4.0.14"]
chassis = "vx"
[switch.e.port.e6]
key = 15
addresses = ["unknown"]
chassis = "vx"

[router.n]
key = 103
[router.n.port.n-e]
key = 1
mac = "02:00:00:00:03:01"
networks = ["10.4.0.1/24", "fd00:4::1/64"]
[router.n.port.n-f]
key = 2
mac = "02:00:00:00:03:02"
networks = ["10.5.0.1/24", "fd00:5::1/64"]
gateway_mtu = 1400
[router.n.port.n-m]
key = 3
mac = "02:00:00:00:03:03"
networks = ["10.9.0.1/30", "fd00:9::1/64"]
peer = "m-n"
[[router.n.route]]
ip_prefix = "10.6.0.0/16"
nexthop = "10.5.0.20"
[[router.n.route]]
ip_prefix = "10.6.0.0/16"
nexthop = "10.5.0.21"
[[router.n.route]]
ip_prefix = "10.66.0.0/16"
nexthop = "discard"
[[router.n.route]]
ip_prefix = "10.7.0.0/24"
nexthop = "10.9.0.2"
[[router.n.route]]
ip_prefix = "fd00:7::/64"
nexthop = "fd00:9::2"
[[router.n.route]]
ip_prefix = "fd00:6::/64"
nexthop = "fd00:5::20"
[[router.n.route]]
ip_prefix = "10.4.0.11/32"
nexthop = "10.5.0.21"
policy = "src-ip"
[router.m]
key = 104
[router.m.port.m-n]
key = 1
mac = "02:00:00:00:03:04"
networks = ["10.9.0.2/30", "fd00:9::2/64"]
peer = "n-m"
[router.m.port.m-h]
key = 2
mac = "02:00:00:00:03:05"
networks = ["10.7.0.1/24", "fd00:7::1/64"]
[[router.m.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.9.0.1"
[[router.m.route]]
ip_prefix = "fd00::/16"
nexthop = "fd00:9::1"

[switch.f]
key = 5
[switch.f.port.f-n]
key = 1
type = "router"
router_port = "n-f"
[switch.f.port.f1]
key = 10
addresses = ["02:00:00:00:05:10 10.5.0.10 fd00:5::10"]
chassis = "gw"
[switch.f.port.f2]
key = 11
addresses = ["02:00:00:00:05:11 10.5.0.11 fd00:5::11"]
chassis = "hv"
[switch.f.port.f3]
key = 12
addresses = ["unknown"]
chassis = "gw"
[switch.f.port.f4]
key = 13
addresses = ["unknown"]
chassis = "gw"
[switch.f.port.f-ln]
key = 14
type = "localnet"
network = "wire"
tag = 42
[switch.h.port.h-m]
type = "router"
router_port = "m-h"
[switch.h.port.h1]
addresses = ["02:00:00:00:07:10 10.7.0.10 fd00:7::10"]
chassis = "gw"

[switch.a]
key = 1
load_balancers = ["inner"]
[switch.a.port.a-r1]
key = 1
type = "router"
router_port = "r1-a"
[switch.a.port.a1]
key = 10
addresses = ["02:00:00:00:0a:10 10.0.0.10 fd00:a::10"]
port_security = ["02:00:00:00:0a:10 10.0.0.10 10.0.0.110 fd00:a::10"]
chassis = "gw"
[switch.a.port.a2]
key = 11
addresses = ["02:00:00:00:0a:11 10.0.0.11 fd00:a::11"]
chassis = "gw"
[switch.a.port.a3]
key = 12
addresses = ["02:00:00:00:0a:12 10.0.0.12 fd00:a::12"]
chassis = "hv"
[switch.a.port.a4]
key = 13
addresses = ["unknown"]
chassis = "gw"
[switch.a.port.a5]
key = 14
addresses = ["02:00:00:00:0a:14 10.0.0.14 fd00:a::14"]
chassis = "hv2"
[switch.a.port.a6]
key = 15
addresses = ["02:00:00:00:0a:15 10.0.0.15 fd00:a::15"]
port_security = ["02:00:00:00:0a:15 10.0.0.15 fd00:a::15"]
chassis = "vx"
[switch.b]
key = 2
[switch.b.port.b-r1]
key = 1
type = "router"
router_port = "r1-b"
[switch.b.port.b1]
key = 10
addresses = ["02:00:00:00:0b:10 10.1.0.10 fd00:b::10"]
chassis = "gw"
[switch.b.port.b2]
key = 11
addresses = ["02:00:00:00:0b:11 10.1.0.11 fd00:b::11"]
chassis = "hv"
[switch.t.port.t-r1]
type = "router"
router_port = "r1-t"
[switch.t.port.t-g]
type = "router"
router_port = "g-t"

[router.r1]
key = 100
[router.r1.port.r1-a]
key = 1
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24", "fd00:a::1/64"]
[router.r1.port.r1-b]
key = 2
mac = "02:00:00:00:01:02"
networks = ["10.1.0.1/24", "fd00:b::1/64"]
gateway_mtu = 1400
[router.r1.port.r1-t]
key = 3
mac = "02:00:00:00:01:03"
networks = ["10.8.0.1/24", "fd00:8::1/64"]
[[router.r1.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.8.0.2"
[[router.r1.route]]
ip_prefix = "::/0"
nexthop = "fd00:8::2"
[router.g]
key = 101
chassis = "gw"
load_balancers = ["outer"]
[router.g.port.g-t]
key = 1
mac = "02:00:00:00:01:04"
networks = ["10.8.0.2/24", "fd00:8::2/64"]
[router.g.port.g-out]
key = 2
mac = "02:00:00:00:01:05"
networks = ["203.0.113.1/24", "fd00:f::1/64"]
[[router.g.route]]
ip_prefix = "10.0.0.0/14"
nexthop = "10.8.0.1"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.253"
[[router.g.route]]
ip_prefix = "198.51.100.0/24"
nexthop = "203.0.113.51"
[[router.g.route]]
ip_prefix = "10.1.0.10/32"
nexthop = "203.0.113.253"
policy = "src-ip"
[[router.g.route]]
ip_prefix = "fd00:a::/64"
nexthop = "fd00:8::1"
[[router.g.route]]
ip_prefix = "fd00:b::/64"
nexthop = "fd00:8::1"
[[router.g.route]]
ip_prefix = "::/0"
nexthop = "fd00:f::fe"
[[router.g.nat]]
type = "snat"
logical_ip = "fd00:a::/120"
external_ip = "fd00:f::1"
[[router.g.nat]]
type = "snat"
logical_ip = "fd00:b::/64"
external_ip = "fd00:f::2"
[[router.g.nat]]
type = "dnat"
logical_ip = "fd00:a::11"
external_ip = "fd00:f::10"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "fd00:a::12"
external_ip = "fd00:f::11"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/25"
external_ip = "203.0.113.1"
[[router.g.nat]]
type = "snat"
logical_ip = "10.1.0.0/24"
external_ip = "203.0.113.2"
[[router.g.nat]]
type = "dnat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.10"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.12"
external_ip = "203.0.113.11"
[switch.out]
key = 8
[switch.out.port.out-g]
key = 1
type = "router"
router_port = "g-out"
[switch.out.port.out-ln]
key = 2
type = "localnet"
network = "wire"
[switch.out.port.o1]
key = 10
addresses = ["unknown"]
chassis = "gw"

[switch.c]
key = 3
[switch.c.port.c-d]
key = 1
type = "router"
router_port = "d-c"
[switch.c.port.c1]
key = 10
addresses = ["02:00:00:00:0c:10 10.2.0.10 fd00:c::10"]
chassis = "gw"
[switch.c.port.c2]
key = 11
addresses = ["02:00:00:00:0c:11 10.2.0.11 fd00:c::11"]
chassis = "hv"
[router.d]
key = 102
load_balancers = ["single"]
[router.d.port.d-c]
key = 1
mac = "02:00:00:00:02:01"
networks = ["10.2.0.1/24", "fd00:c::1/64"]
[router.d.port.d-ext]
key = 2
redirect_key = 20
mac = "02:00:00:00:02:02"
networks = ["198.18.0.1/24", "fd00:d::1/64"]
gateway_chassis = { gw2 = 20, gw = 10 }
[[router.d.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "198.18.0.254"
[[router.d.route]]
ip_prefix = "::/0"
nexthop = "fd00:d::fe"
[[router.d.nat]]
type = "snat"
logical_ip = "fd00:c::/64"
external_ip = "fd00:d::1"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "fd00:c::10"
external_ip = "fd00:d::20"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "fd00:c::11"
external_ip = "fd00:d::21"
stateless = true
[[router.d.nat]]
type = "snat"
logical_ip = "10.2.0.0/24"
external_ip = "198.18.0.1"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "10.2.0.10"
external_ip = "198.18.0.20"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "10.2.0.11"
external_ip = "198.18.0.21"
stateless = true
[switch.ext]
key = 9
[switch.ext.port.ext-d]
key = 1
type = "router"
router_port = "d-ext"
[switch.ext.port.ext-ln]
key = 2
type = "localnet"
network = "phys"

[port_group.guarded]
ports = ["b1", "c1"]
[address_set.friends]
addresses = ["10.0.0.0/24", "8.8.8.8"]
[[port_group.guarded.acl]]
direction = "to-lport"
priority = 9
match = 'outport == @guarded && (ip4.src == $friends || tcp.dst == 1)'
action = "allow-related"
[[port_group.guarded.acl]]
direction = "to-lport"
priority = 8
match = 'outport == @guarded && tcp'
action = "reject"
[[port_group.guarded.acl]]
direction = "to-lport"
priority = 1
match = 'outport == @guarded && ip'
action = "drop"
[[switch.b.acl]]
direction = "from-lport"
priority = 1
match = 'inport == "b1" && (tcp || udp.dst == 2)'
action = "allow-related"
[[switch.c.acl]]
direction = "from-lport"
priority = 3
match = 'inport == "c1" && udp.src == 2'
action = "allow-stateless"
[[switch.c.acl]]
direction = "from-lport"
priority = 2
match = 'inport == "c1" && ip.ttl < 64'
action = "drop"
[[switch.h.acl]]
direction = "to-lport"
priority = 1
match = 'outport == "h1" && udp.dst == 2'
action = "drop"
[[switch.h.acl]]
direction = "from-lport"
priority = 1
match = 'inport == "h1" && ip6 && tcp'
action = "reject"
"#;

/// Changes of the topology: what is replaced by what.
pub const CHANGES: [(&str, &str); 19] = [
    ("10.66.0.0/16", "10.6.0.0/20"),
    (
        "logical_ip = \"10.1.0.0/24\"",
        "logical_ip = \"10.1.0.0/29\"",
    ),
    (
        "external_ip = \"203.0.113.2\"",
        "external_ip = \"203.0.113.3\"",
    ),
    ("[router.m]\n", "[router.m]\nenabled = false\n"),
    (
        "[switch.e.port.e2]\n",
        "[switch.e.port.e2]\nenabled = false\n",
    ),
    ("gateway_mtu = 1400", "gateway_mtu = 1300"),
    ("10.0.0.10 10.0.0.110 fd00:a::10", "10.0.0.110"),
    ("logical_ip = \"10.0.0.11\"", "logical_ip = \"10.0.0.200\""),
    ("stateless = true", "stateless = false"),
    ("weight = 2", "draining = true"),
    (
        "[\"10.0.0.10\", \"10.0.0.12\", \"10.1.0.10\"]",
        "[\"10.0.0.12\", \"10.1.0.11\"]",
    ),
    (
        "load_balancers = [\"outer\"]",
        "load_balancers = [\"outer\"]\nlb_force_snat_ip = \"10.8.0.2 fd00:8::2\"",
    ),
    (
        "networks = [\"203.0.113.1/24\", \"fd00:f::1/64\"]",
        "networks = [\"203.0.113.1/24\", \"fd00:f::1/64\"]\nenabled = false",
    ),
    (
        "\"10.0.0.0/24\", \"8.8.8.8\"",
        "\"10.0.0.10\", \"203.0.113.0/24\"",
    ),
    (
        "[switch.a.port.a-r1]\n",
        "[[switch.a.acl]]\ndirection = \"from-lport\"\npriority = 1\nmatch = 'inport == \"a1\" && udp.dst == 2'\n\
         action = \"drop\"\n[[switch.a.acl]]\ndirection = \"to-lport\"\npriority = 1\nmatch = 'outport == \"a2\" && tcp'\n\
         action = \"allow-related\"\n[[switch.a.acl]]\ndirection = \"from-lport\"\npriority = 1\napply_after_lb = true\n\
         match = 'ip4.dst == 10.0.0.11 && udp.dst == 1'\naction = \"drop\"\n[switch.a.port.a-r1]\n",
    ),
    (
        "logical_ip = \"fd00:b::/64\"",
        "logical_ip = \"fd00:b::/124\"",
    ),
    ("external_ip = \"fd00:f::2\"", "external_ip = \"fd00:f::3\""),
    ("logical_ip = \"fd00:a::11\"", "logical_ip = \"fd00:a::77\""),
    (
        "[\"fd00:a::10\", \"fd00:a::12\", \"fd00:b::10\"]",
        "[\"fd00:a::12\", \"fd00:b::11\"]",
    ),
];

/// Learned neighbors, by router port; the first is of the underlay.
pub const NEIGHBORS: [(&str, &str); 8] = [
    ("", "172.16.0.2"),
    ("n-f", "10.5.0.20"),
    ("n-f", "10.5.0.21"),
    ("g-out", "203.0.113.254"),
    ("g-out", "203.0.113.253"),
    ("d-ext", "198.18.0.254"),
    ("g-out", "fd00:f::fe"),
    ("d-ext", "fd00:d::fe"),
];
