//! Destination NAT at a distributed gateway port, with hosts that redirect to it.
//!
//! ```text
//!   in 10.0.0.0/24: here .10 (gw), far .12 (hv), far2 .13 (hv)
//!        |
//!   10.0.0.1  d  203.0.113.1, held by gw      SNAT 10.0.0.0/24 -> 203.0.113.1
//!                     |                       floating: here .20, far .22
//!                    up 203.0.113.254
//! ```

use sluice_fastpath::tables::{DnatKind, PieceKind};
use sluice_net::builder::Echo;
use sluice_net::{Builder, show};

use crate::support::family::{self, both_families};
use crate::support::{Host, Network, NodeFile, ip, mac, packet};

const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.in.port.here]
addresses = ["02:00:00:00:00:10 10.0.0.10"]
chassis = "gw"
[switch.in.port.far]
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "hv"
[switch.in.port.far2]
addresses = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.in.port.in-d]
type = "router"
router_port = "d-in"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-d]
type = "router"
router_port = "d-out"
[router.d.port.d-in]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.d.port.d-out]
mac = "02:00:00:00:01:02"
networks = ["203.0.113.1/24"]
gateway_chassis = { gw = 1 }
[[router.d.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[[router.d.nat]]
type = "snat"
logical_ip = "10.0.0.0/24"
external_ip = "203.0.113.1"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.20"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.12"
external_ip = "203.0.113.22"
"#;

const D_IN: &str = "02:00:00:00:01:01";
const D_OUT: &str = "02:00:00:00:01:02";
const UP: &str = "02:00:00:00:00:fe";

/// Name, MAC, address inside, address outside.
type Vm = (&'static str, &'static str, &'static str, &'static str);

const HERE: Vm = ("here", "02:00:00:00:00:10", "10.0.0.10", "203.0.113.20");
const FAR: Vm = ("far", "02:00:00:00:00:12", "10.0.0.12", "203.0.113.22");
const FAR2: Vm = ("far2", "02:00:00:00:00:13", "10.0.0.13", "203.0.113.1");

fn network() -> Network {
    let nodes = [
        NodeFile::new("gw")
            .underlay("172.16.0.1/24")
            .vifs(&["here"])
            .network("wire", "eth1"),
        NodeFile::new("hv")
            .underlay("172.16.0.2/24")
            .vifs(&["far", "far2"]),
    ];
    let mut net = Network::new(TOPOLOGY, &nodes);
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

fn from(vm: Vm, dst: &str) -> Builder {
    packet((vm.1, D_IN), (vm.2, dst))
}

/// What `host` gets of it, and how.
fn got(net: &mut Network, from: &str, frame: Builder) -> (Vec<String>, Vec<String>) {
    let outcome = net.probe(from, frame);
    (outcome.got, outcome.moved)
}

/// From an address that has no floating IP.
fn other(dst: &str) -> Builder {
    packet((HERE.1, D_IN), ("10.0.0.11", dst))
}

/// New connections of each rule so far, by type, and external address.
fn hits(net: &Network) -> Vec<String> {
    let tables = net.node("gw").cell.current();
    let mut pieces = tables.datapaths.iter().flatten();
    let piece = pieces.find(|piece| piece.name == "d").unwrap();
    let PieceKind::Router(router) = &piece.kind else {
        panic!("a router")
    };
    let sources = router.nat.snat().iter();
    let sources =
        sources.map(|rule| format!("{:?} {} {}", rule.kind, rule.external, rule.hits.get()));
    let halves = router.nat.dnat().filter(|rule| rule.kind == DnatKind::Dnat);
    let halves = halves.map(|rule| format!("Dnat {} {}", rule.external, rule.hits.get()));
    sources.chain(halves).collect()
}

#[test]
fn new_connections_of_each_rule_are_counted() {
    let mut net = network();
    let zero = [
        "Floating 203.0.113.20 0",
        "Floating 203.0.113.22 0",
        "Snat 203.0.113.1 0",
    ];
    // Pings of the beginning, if any, were by no rule.
    assert_eq!(hits(&net), zero);
    // The first of a kind walks, others take its way; packets of known connections count no more.
    for port in 1..=10 {
        let frame = other("8.8.8.8").udp(port, 53);
        net.send("here", frame.clone());
        net.send("here", frame);
    }
    for port in 1..=3 {
        net.send("here", from(HERE, "8.8.8.8").udp(port, 53));
        let asks = packet((UP, D_OUT), ("8.8.4.4", "203.0.113.20"));
        net.send("up", asks.udp(port, 53));
    }
    let counted = [
        "Floating 203.0.113.20 6",
        "Floating 203.0.113.22 0",
        "Snat 203.0.113.1 10",
    ];
    assert_eq!(hits(&net), counted);
    // They go on with the rules that stay.
    let reloaded = TOPOLOGY.replace(
        "[[router.d.nat]]\ntype = \"snat\"",
        "[[router.d.nat]]\ntype = \"dnat\"\nlogical_ip = \"10.0.0.13\"\nexternal_ip = \"203.0.113.30\"\n\
         [[router.d.nat]]\ntype = \"snat\"",
    );
    net.reload(&reloaded);
    let asks = packet((UP, D_OUT), ("8.8.4.4", "203.0.113.30"));
    net.send("up", asks.udp(7, 53));
    net.send("here", other("8.8.8.8").udp(11, 53));
    let counted = [
        "Floating 203.0.113.20 6",
        "Floating 203.0.113.22 0",
        "Snat 203.0.113.1 11",
        "Dnat 203.0.113.30 1",
    ];
    assert_eq!(hits(&net), counted);
}

fn from_outside_and_to_the_outside() {
    let mut net = network();
    for vm in [HERE, FAR] {
        let (name, its_mac, inside, external) = vm;
        let (heard, _) = got(
            &mut net,
            "up",
            packet((UP, D_OUT), ("8.8.8.8", external)).udp(5000, 80),
        );
        let wanted =
            format!("{name}: {D_IN} > {its_mac} 8.8.8.8.5000 > {inside}.80 udp ttl 63 len 28");
        assert_eq!(heard, [wanted], "{name} in");
        for walked in [true, false] {
            let (heard, moved) = got(&mut net, name, from(vm, "8.8.8.8").udp(80, 5000));
            let wanted =
                format!("up: {D_OUT} > {UP} {external}.80 > 8.8.8.8.5000 udp ttl 63 len 28");
            assert_eq!(heard, [wanted], "{name} answers");
            let by = if walked {
                "gw: walk 1"
            } else {
                "gw: established 1"
            };
            assert!(moved.contains(&by.to_owned()), "{name}: {moved:?}");
        }
        let (heard, _) = got(&mut net, name, from(vm, "8.8.8.8").udp(4000, 53));
        let wanted = format!("up: {D_OUT} > {UP} {external}.4000 > 8.8.8.8.53 udp ttl 63 len 28");
        assert_eq!(heard, [wanted], "{name} out");
    }
}

/// All pairs, each of them by its address outside: through the gateway, there and back, two steps of the TTL.
fn from_inside_to_addresses_outside() {
    let mut net = network();
    for (port, a) in [HERE, FAR, FAR2].into_iter().enumerate() {
        for b in [HERE, FAR] {
            let port = 4000 + port as u16;
            for turn in ["first", "then"] {
                let (heard, moved) = got(&mut net, a.0, from(a, b.3).udp(port, 53));
                let wanted = format!(
                    "{}: {D_IN} > {} {}.{port} > {}.53 udp ttl 62 len 28",
                    b.0, b.1, a.3, b.2
                );
                assert_eq!(heard, [wanted], "{turn} {} to {}", a.0, b.0);
                if turn == "then" {
                    assert!(moved.contains(&"gw: established 1".to_owned()), "{moved:?}");
                }
                let (heard, moved) = got(&mut net, b.0, from(b, a.3).udp(53, port));
                let wanted = format!(
                    "{}: {D_IN} > {} {}.53 > {}.{port} udp ttl 62 len 28",
                    a.0, a.1, b.3, a.2
                );
                assert_eq!(heard, [wanted], "{turn} {} answers {}", b.0, a.0);
                if turn == "then" {
                    assert!(moved.contains(&"gw: established 1".to_owned()), "{moved:?}");
                }
            }
        }
    }
    assert_eq!(net.node("gw").connections.len(), 6);
    assert!(net.node("hv").connections.is_empty());
}

fn echoes_reach_a_floating_ip_and_stop_at_the_shared_address() {
    let mut net = network();
    for a in [HERE, FAR, FAR2] {
        let (heard, _) = got(
            &mut net,
            a.0,
            from(a, FAR.3).icmp_echo(Echo::Request, 77, 1),
        );
        assert!(
            heard[0].starts_with(&format!("far: {D_IN} > {}", FAR.1)),
            "{heard:?}"
        );
        // The router's own address answers wherever it is asked.
        let (heard, _) = got(
            &mut net,
            a.0,
            from(a, "203.0.113.1").icmp_echo(Echo::Request, 78, 1),
        );
        let wanted = format!(
            "{}: {D_IN} > {} 203.0.113.1 > {} icmp echo reply id 78 ttl 254 len 28",
            a.0, a.1, a.2
        );
        assert_eq!(heard, [wanted]);
        // But no service listens there: the gateway looks for a connection first.
        let (heard, moved) = got(&mut net, a.0, from(a, "203.0.113.1").udp(1, 2));
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("icmp error 3/3"), "{heard:?}");
        assert!(
            moved
                .iter()
                .any(|node| node.contains("drop:router-local 1")),
            "{moved:?}"
        );
    }
}

fn the_gateway_alone_answers_for_the_addresses() {
    let mut net = network();
    for address in ["203.0.113.20", "203.0.113.22"] {
        let ask = family::question(mac(UP), ip("203.0.113.254"), ip(address));
        net.send("up", ask);
        let answers = net.take("up");
        let answers: Vec<String> = answers
            .iter()
            .map(|frame| family::told(show(frame)))
            .collect();
        assert_eq!(
            answers,
            [format!(
                "{D_OUT} > {UP} arp reply {address} to 203.0.113.254 sender {D_OUT}"
            )]
        );
    }
}

both_families! {
    from_outside_and_to_the_outside,
    from_inside_to_addresses_outside,
    echoes_reach_a_floating_ip_and_stop_at_the_shared_address,
    the_gateway_alone_answers_for_the_addresses,
}
