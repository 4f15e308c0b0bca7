//! Load balancers of routers and switches.
//!
//! ```text
//!   in 10.0.0.0/24: b1 .11, b2 .12, far .13 (on hv)      clients 10.1.0.0/24: c .20, cx .22 (on vx, VXLAN)
//!        |  10.0.0.1                                            |  10.1.0.1
//!        +------------------------- r --------------------------+
//!                                   | 10.9.0.1
//!                                  join
//!                                   | 10.9.0.2
//!                                   g  203.0.113.1      web 203.0.113.5, all ports: b1, b2
//!                                   |                   dns 203.0.113.6:53: b1:5353, far:5353
//!                                  up 203.0.113.254
//! ```
//! `inner` 192.0.2.2:80 is a balancer of the clients' switch.

mod health;
mod reload;
mod router;
mod switch;

use sluice_net::{Builder, parse};

use crate::support::family;
use crate::support::{Host, Network, NodeFile, NodeOptions, mac, packet};

const NETWORK: &str = r#"
[chassis.gw]
encap = [{ type = "geneve", ip = "172.16.0.1" }, { type = "vxlan", ip = "172.16.0.1" }]
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[chassis.vx]
encap = { type = "vxlan", ip = "172.16.0.4" }
[switch.in]
key = 1
[switch.in.port.b1]
addresses = ["02:00:00:00:00:11 10.0.0.11"]
chassis = "gw"
[switch.in.port.b2]
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "gw"
[switch.in.port.far]
key = 13
addresses = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.in.port.in-r]
key = 1
type = "router"
router_port = "r-in"
[switch.clients.port.c]
key = 20
addresses = ["02:00:00:00:01:20 10.1.0.20"]
port_security = ["02:00:00:00:01:20 10.1.0.20"]
chassis = "gw"
[switch.clients.port.cx]
addresses = ["02:00:00:00:01:22 10.1.0.22"]
chassis = "vx"
[switch.clients.port.clients-r]
key = 1
type = "router"
router_port = "r-clients"
[switch.join.port.join-r]
type = "router"
router_port = "r-join"
[switch.join.port.join-g]
type = "router"
router_port = "g-join"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-g]
type = "router"
router_port = "g-out"
[router.r.port.r-in]
mac = "02:00:00:00:02:01"
networks = ["10.0.0.1/24"]
[router.r.port.r-clients]
mac = "02:00:00:00:02:02"
networks = ["10.1.0.1/24"]
[router.r.port.r-join]
mac = "02:00:00:00:02:03"
networks = ["10.9.0.1/24"]
[[router.r.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.9.0.2"
[router.g.port.g-join]
mac = "02:00:00:00:02:04"
networks = ["10.9.0.2/24"]
[router.g.port.g-out]
mac = "02:00:00:00:02:05"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "10.0.0.0/15"
nexthop = "10.9.0.1"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
"#;

const BALANCERS: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5" = ["10.0.0.11", "10.0.0.12"] }
[load_balancer.dns]
protocol = "udp"
vips = { "203.0.113.6:53" = ["10.0.0.11:5353", "10.0.0.13:5353"] }
[load_balancer.inner]
vips = { "192.0.2.2:80" = ["10.0.0.11:8080", "10.0.0.12:8080"] }
"#;

const SNAT: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/15"
external_ip = "203.0.113.1"
"#;

/// What the router and the switch say of themselves.
const ATTACHED: [(&str, &str); 2] = [
    (
        "[switch.clients.port.c]",
        "[switch.clients]\nkey = 2\nload_balancers = [\"inner\"]\n[switch.clients.port.c]",
    ),
    (
        "[router.g.port.g-join]",
        "[router.g]\nchassis = \"gw\"\nload_balancers = [\"web\", \"dns\"]\n[router.g.port.g-join]",
    ),
];

pub const UP: &str = "02:00:00:00:00:fe";
pub const R_IN: &str = "02:00:00:00:02:01";
pub const R_CLIENTS: &str = "02:00:00:00:02:02";
pub const G_OUT: &str = "02:00:00:00:02:05";
pub const B1: (&str, &str, &str) = ("b1", "02:00:00:00:00:11", "10.0.0.11");
pub const B2: (&str, &str, &str) = ("b2", "02:00:00:00:00:12", "10.0.0.12");
pub const C: &str = "02:00:00:00:01:20";

pub fn topology(more: &str) -> String {
    let text = [NETWORK, BALANCERS, SNAT, more].concat();
    ATTACHED
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

pub fn network(text: &str) -> Network {
    network_with(text, &NodeOptions::default())
}

pub fn network_with(text: &str, options: &NodeOptions) -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["b1", "b2", "c"])
        .network("wire", "eth1");
    let mut net = Network::with(text, &[node], options);
    net.chassis("hv", "172.16.0.2/24");
    net.chassis("vx", "172.16.0.4/24");
    net.host(
        "up",
        "wire",
        Host::station(mac(UP), &["203.0.113.254/24"], Some("203.0.113.1")),
    );
    net.run(20_000);
    assert_eq!(net.ping("up", "203.0.113.1"), Some(254));
    net.hosts.get_mut("up").unwrap().answers = false;
    net.forget();
    net
}

/// From the world to a virtual IP.
pub fn ask(dst: &str) -> Builder {
    packet((UP, G_OUT), ("8.8.8.8", dst))
}

/// From the client to whatever.
pub fn from_c(dst: &str) -> Builder {
    packet((C, R_CLIENTS), ("10.1.0.20", dst))
}

/// From a backend.
pub fn from(backend: (&str, &str, &str), dst: &str) -> Builder {
    packet((backend.1, R_IN), (backend.2, dst))
}

/// Which backend gets a packet, and the ports it has there.
pub fn reached(
    net: &mut Network,
    host: &str,
    frame: Builder,
) -> ((&'static str, &'static str, &'static str), (u16, u16)) {
    net.send(host, frame);
    for backend in [B1, B2] {
        if let [frame] = &net.take(backend.0)[..] {
            let ip = *parse(frame).unwrap().ip().unwrap();
            assert_eq!(family::text(ip.dst), backend.2);
            return (backend, ip.ports().unwrap());
        }
    }
    panic!("nobody got it");
}
