//! Two tenants of the same addresses behind routers of one node, each with source NAT to an address of its own.
//!
//! ```text
//!   in  10.0.0.0/24: vm .10 ── g ── 203.0.113.1 ─┐
//!                                                out ── up
//!   in2 10.0.0.0/24: x  .10 ── h ── 203.0.113.2 ─┘
//! ```

use sluice_net::Builder;
use sluice_net::builder::Echo;

use super::nat::{both_rules, nat_on};
use crate::support::{Network, NodeFile, NodeOptions, packet};

const SECOND: &str = r#"
[switch.in2.port.x]
addresses = ["02:00:00:00:02:10 10.0.0.10"]
chassis = "gw"
[switch.in2.port.in2-h]
type = "router"
router_port = "h-in"
[switch.out.port.out-h]
type = "router"
router_port = "h-out"
[router.h]
chassis = "gw"
[router.h.port.h-in]
mac = "02:00:00:00:03:01"
networks = ["10.0.0.1/24"]
[router.h.port.h-out]
mac = "02:00:00:00:03:02"
networks = ["203.0.113.2/24"]
[[router.h.nat]]
type = "snat"
logical_ip = "10.0.0.0/24"
external_ip = "203.0.113.2"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.20"
"#;

const X: &str = "02:00:00:00:02:10";
const H_IN: &str = "02:00:00:00:03:01";

fn tenants() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["vm", "vm2", "x"])
        .network("wire", "eth1");
    let topology = [&both_rules(), SECOND].concat();
    let mut net = nat_on(&topology, node, &NodeOptions::default());
    // Routers and VMs get to know each other.
    net.probe("x", from_x("203.0.113.20").udp(1, 1));
    net
}

fn from_x(dst: &str) -> Builder {
    packet((X, H_IN), ("10.0.0.10", dst))
}

#[test]
fn a_router_answers_who_another_router_translates() {
    let mut net = tenants();
    let asked = from_x("203.0.113.1").icmp_echo(Echo::Request, 7, 1);
    let outcome = net.probe("x", asked);
    assert_eq!(outcome.got.len(), 1, "{outcome:?}");
    let answer = &outcome.got[0];
    assert!(
        answer.starts_with("x: 02:00:00:00:03:01 > 02:00:00:00:02:10 203.0.113.1 > 10.0.0.10")
            && answer.contains("echo reply"),
        "{answer}"
    );
}

/// First packets and later ones, so that traceroute and path MTU discovery work between tenants; nobody else hears of it.
#[test]
fn errors_of_a_router_reach_who_another_router_translates() {
    let mut net = tenants();
    for (about, sent) in [
        ("first", from_x("203.0.113.20").ttl(2).udp(4000, 9)),
        ("known", from_x("203.0.113.20").ttl(2).udp(1, 1)),
    ] {
        let outcome = net.probe("x", sent);
        assert_eq!(outcome.got.len(), 1, "{about}: {outcome:?}");
        let error = &outcome.got[0];
        assert!(
            error.starts_with("x: 02:00:00:00:03:01 > 02:00:00:00:02:10 203.0.113.1 > 10.0.0.10"),
            "{about}: {error}"
        );
        assert!(error.contains("10.0.0.10"), "{about}: {error}");
    }
}
