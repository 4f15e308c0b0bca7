//! What happens when something is full, used up or gone.

use super::lab::*;
use super::nat::{G_IN, VM, VM2, back, nat_with, out};
use crate::support::family::{self, both_families};
use crate::support::{BROADCAST, Network, NodeFile, NodeOptions, mac, packet, v4};
use sluice_fastpath::counters::Work;
use sluice_net::Builder;

#[test]
fn connections_full() {
    let options = NodeOptions {
        connections: 1,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    // Half open: it makes room.
    net.probe("vm", out("8.8.8.8").udp(4001, 53)).expect(
        "half open",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4001 > 8.8.8.8.53 udp ttl 63 len 28"],
        &["gw: closed 1, opened 1, walk 1"],
    );
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4001));
    net.probe("vm", out("8.8.8.8").udp(4001, 53));
    net.probe("vm", out("8.8.8.8").udp(4002, 53)).expect(
        "established ones stay",
        &[&told(4002)],
        &["gw: drop:connections-full 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
}

/// All hosts of a network of 64 bits count as one.
#[test]
fn source_limit_of_ipv6() {
    family::with_v6(|| {
        let mut net = nat_with(&NodeOptions::default());
        net.node("gw").connections.set_source_limit(1);
        let first = net.probe("vm", out("8.8.8.8").udp(4000, 53));
        assert_eq!(first.moved, ["gw: opened 1, walk 1"]);
        let neighbor = packet((VM2, G_IN), ("10.0.0.11", "8.8.8.8"));
        let second = net.probe("vm2", neighbor.udp(4000, 53));
        assert!(
            second.moved[0].contains("drop:source-limit 1"),
            "{second:?}"
        );
    });
}

/// IPv6 has a table of its own, which is full by itself.
#[test]
fn connections_full_of_one_family() {
    let options = NodeOptions {
        connections: 1,
        ..NodeOptions::default()
    };
    family::with_v6(|| {
        let mut net = nat_with(&options);
        for port in [4000, 4001] {
            net.probe("vm", out("8.8.8.8").udp(port, 53));
            net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, port));
            net.probe("vm", out("8.8.8.8").udp(port, 53));
        }
        let table = net.node("gw").connections.of::<u128>();
        assert_eq!((table.len(), table.capacity()), (1, 1));
        let refused = net.probe("vm", out("8.8.8.8").udp(4001, 53));
        assert!(
            refused.moved[0].contains("drop:connections-full 1"),
            "{refused:?}"
        );
        assert!(net.node("gw").connections.of::<u32>().is_empty());
    });
}

#[test]
fn source_limit() {
    let mut net = nat_with(&NodeOptions::default());
    net.node("gw").connections.set_source_limit(1);
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.probe("vm", out("8.8.8.8").udp(4001, 53)).expect(
        "second",
        &[&told(4001)],
        &["gw: drop:source-limit 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
}

/// What vm hears of a packet that opens no connection.
fn told(port: u16) -> String {
    format!(
        "vm: {G_IN} > {VM} 10.0.0.1 > 10.0.0.10 icmp error 3/1 about 10.0.0.10.{port} > 8.8.8.8.53 udp ttl 254 tos 0xc0 len 56"
    )
}

/// First packets that take the way of an earlier one walk to be refused, as long as anybody may be told: so many in a moment
/// and no more.
#[test]
fn a_flood_of_refused_first_packets_does_not_walk() {
    let mut net = nat_with(&NodeOptions::default());
    net.node("gw").connections.set_source_limit(1);
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    let walked = |net: &Network| net.node("gw").counters[0].work(Work::Walk);
    let before = walked(&net);
    for port in 0..3000 {
        net.send_later("vm", out("8.8.8.8").udp(10_000 + port, 53));
    }
    net.settle();
    let counters = &net.node("gw").counters[0];
    // Some find no room in the queue to the slow path.
    assert!(counters.work(Work::ErrorPoliced) >= 2000);
    let injected = counters.work(Work::Injected);
    assert_eq!(walked(&net) - before - injected, 1000);
    assert!(net.moved()[0].contains("drop:source-limit 3000"));
}

/// A port that one client gave back goes to no other for a while, but to the same one again.
pub fn ports_are_held_down() {
    let mut net = nat_with(&NodeOptions::default());
    net.node("gw").connections.set_hold_down(60_000);
    let port = |net: &mut Network, client: &str| {
        let sent = packet((VM, G_IN), (client, "8.8.8.8")).udp(4000, 53);
        let outcome = net.probe("vm", sent);
        let kept = outcome.got[0].contains(" 203.0.113.1.4000 > ");
        net.run(121_000);
        assert_eq!(net.node("gw").connections.len(), 0, "it has ended");
        kept
    };
    assert!(port(&mut net, "10.0.0.10"));
    net.run(30_000);
    assert!(port(&mut net, "10.0.0.10"), "its own");
    net.run(30_000);
    assert!(!port(&mut net, "10.0.0.13"), "held");
    net.run(60_000);
    assert!(port(&mut net, "10.0.0.13"), "free again");
    net.node("gw").connections.set_hold_down(0);
    assert!(port(&mut net, "10.0.0.14"), "nothing is held any more");
}

/// 65,536 identifiers of echoes to one destination, from many clients.
fn nat_ports_exhausted() {
    use sluice_net::builder::Echo;
    let options = NodeOptions {
        connections: 100_000,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.record = false;
    for high in 0..64u16 {
        for low in 0..1024u16 {
            let echo = out("8.8.8.8").icmp_echo(Echo::Request, high << 10 | low, 1);
            net.send_later("vm", echo);
        }
        net.settle();
        assert_eq!(net.take("up").len(), 1024);
    }
    assert_eq!(net.node("gw").connections.len(), 65_536);
    let asked = net.probe("vm", out("8.8.8.8").icmp_echo(Echo::Request, 5, 1));
    assert_eq!(
        asked.moved,
        ["gw: established 1"],
        "one that has its identifier"
    );
    let other = packet(
        ("02:00:00:00:00:11", "02:00:00:00:01:01"),
        ("10.0.0.11", "8.8.8.8"),
    );
    net.reload(&super::nat::both_rules().replace("\"10.0.0.11\"", "\"10.0.0.12\""));
    net.run(100);
    net.probe("vm2", other.icmp_echo(Echo::Request, 5, 1))
        .expect(
            "one too many",
            &["vm2: 02:00:00:00:01:01 > 02:00:00:00:00:11 10.0.0.1 > 10.0.0.11 icmp error 3/1 about 10.0.0.11.5 > 8.8.8.8.0 icmp ttl 254 tos 0xc0 len 56"],
            &["gw: drop:nat-ports-exhausted 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
        );
}

#[test]
fn punts_are_policed() {
    let mut net = lab();
    for _ in 0..1100 {
        net.send_later(
            "b",
            Builder::ethernet(mac(B), mac(BROADCAST)).arp_request(v4("10.1.0.11"), v4("10.1.0.1")),
        );
    }
    net.settle();
    assert_eq!(net.take("b").len(), 1000);
    assert_eq!(
        net.moved(),
        [
            "gw: drop:punt-policed 100, injected 1000, punt:neighbor 1000, slow:answered 1000, slow:punts 1000, walk 2100"
        ]
    );
}

fn a_full_driver() {
    let mut net = lab();
    let device = net.node("gw").device("b");
    net.node("gw").devices.limit_tx(device, 0);
    net.probe("a", packet((A, B), ("10.1.0.10", "10.1.0.11")).udp(1, 2))
        .expect("full", &[], &["gw: drop:tx-full 1, walk 1"]);
}

fn no_buffer_for_a_copy() {
    let options = NodeOptions {
        buffers: 1,
        ..NodeOptions::default()
    };
    let mut net = lab_with(&options);
    // The frame itself has the only buffer; two ports and a chassis want copies.
    net.probe(
        "a",
        Builder::ethernet(mac(A), mac(BROADCAST)).payload(&[0; 46]),
    )
    .expect(
        "flood",
        &[],
        &["gw: copy 2, drop:no-buffer 2, flood 1, walk 1"],
    );
    net.assert_no_buffer_lost();
}

fn a_chassis_whose_address_does_not_answer() {
    let mut net = lab();
    let broadcast = Builder::ethernet(mac("02:00:00:00:00:f1"), mac(BROADCAST)).payload(&[0; 46]);
    net.probe("f", broadcast).expect(
        "a flood does not wait",
        &[],
        &["gw: copy 1, drop:neighbor-failed 1, flood 1, walk 1"],
    );
}

fn floods_are_bounded_in_a_burst() {
    let names: Vec<String> = (0..140).map(|number| format!("p{number}")).collect();
    let mut topology =
        "[chassis.gw]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    for (number, name) in names.iter().enumerate() {
        topology += &format!(
            "[switch.wide.port.{name}]\naddresses = [\"02:00:00:00:00:{number:02x}\"]\nchassis = \"gw\"\n"
        );
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut net = Network::new(&topology, &[NodeFile::new("gw").vifs(&names)]).quiet();
    for _ in 0..32 {
        net.send_later(
            "p0",
            Builder::ethernet(mac("02:00:00:00:00:00"), mac(BROADCAST)).payload(&[0; 46]),
        );
    }
    net.settle();
    // 32 frames to 139 ports each, of which 4096 copies are made.
    assert_eq!(
        net.moved(),
        ["gw: copy 4448, drop:flood-budget 352, flood 32, walk 32"]
    );
    net.assert_no_buffer_lost();
}

fn routers_that_send_in_a_circle() {
    let topology = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.s.port.vm]
addresses = ["02:00:00:00:00:10 10.0.0.10"]
[switch.s.port.s-r1]
type = "router"
router_port = "r1-s"
[router.r1.port.r1-s]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.r1.port.r1-r2]
mac = "02:00:00:00:01:02"
networks = ["10.255.0.1/30"]
peer = "r2-r1"
[[router.r1.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.255.0.2"
[router.r2.port.r2-r1]
mac = "02:00:00:00:02:01"
networks = ["10.255.0.2/30"]
peer = "r1-r2"
[[router.r2.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.255.0.1"
"#;
    let mut net = Network::new(topology, &[NodeFile::new("gw").vifs(&["vm"])]).quiet();
    let frame = packet(
        ("02:00:00:00:00:10", "02:00:00:00:01:01"),
        ("10.0.0.10", "8.8.8.8"),
    )
    .udp(1, 2);
    net.probe("vm", frame.clone())
        .expect("long", &[], &["gw: drop:too-many-hops 1, walk 1"]);
    // A short life ends first, and is told so by the router it ended at.
    net.probe("vm", frame.ttl(3)).expect(
        "short",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 10.255.0.1 > 10.0.0.10 icmp error 11/0 about 10.0.0.10.1 > 8.8.8.8.2 udp ttl 254 tos 0xc0 len 56"],
        &["gw: drop:ttl-exceeded 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
}

fn two_routers_that_would_translate() {
    let topology = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.s.port.vm]
addresses = ["02:00:00:00:00:10 10.0.0.10"]
[switch.s.port.s-r1]
type = "router"
router_port = "r1-s"
[switch.t.port.far]
addresses = ["02:00:00:00:00:20 198.51.100.20"]
[switch.t.port.t-r2]
type = "router"
router_port = "r2-t"
[router.r1]
chassis = "gw"
[router.r1.port.r1-s]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.r1.port.r1-r2]
mac = "02:00:00:00:01:02"
networks = ["100.64.0.1/30"]
peer = "r2-r1"
[[router.r1.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "100.64.0.2"
[[router.r1.nat]]
type = "snat"
logical_ip = "10.0.0.0/24"
external_ip = "100.64.0.1"
[router.r2]
chassis = "gw"
[router.r2.port.r2-r1]
mac = "02:00:00:00:02:01"
networks = ["100.64.0.2/30"]
peer = "r1-r2"
[router.r2.port.r2-t]
mac = "02:00:00:00:02:02"
networks = ["198.51.100.1/24"]
[[router.r2.nat]]
type = "snat"
logical_ip = "100.64.0.0/10"
external_ip = "198.51.100.1"
"#;
    let mut net = Network::new(topology, &[NodeFile::new("gw").vifs(&["vm", "far"])]).quiet();
    let frame = packet(
        ("02:00:00:00:00:10", "02:00:00:00:01:01"),
        ("10.0.0.10", "198.51.100.20"),
    );
    net.probe("vm", frame.udp(1, 2))
        .expect("twice", &[], &["gw: drop:nat-twice 1, walk 1"]);
    assert!(net.node("gw").connections.is_empty());
}

/// A frame of the slow path whose port goes with a reload while the frame waits for the worker.
#[test]
fn an_injected_frame_whose_port_is_gone() {
    let mut net = lab();
    let ask =
        Builder::ethernet(mac(B), mac(BROADCAST)).arp_request(v4("10.1.0.11"), v4("10.1.0.14"));
    let now = net.now;
    let node = net.nodes.get_mut("gw").unwrap();
    let device = node.device("b");
    node.feed(device, 0, &ask.build());
    assert!(
        node.turn(now),
        "handed over, and answered in the name of `far`"
    );
    net.reload(&TOPOLOGY.replace("[switch.left.port.far]", "[switch.left.port.gone]"));
    assert_eq!(
        net.moved(),
        [
            "gw: drop:inject-stale 1, injected 1, punt:neighbor 1, slow:answered 1, slow:punts 1, walk 2"
        ]
    );
    net.assert_no_buffer_lost();
}

both_families! {
    ports_are_held_down,
    nat_ports_exhausted,
    a_full_driver,
    no_buffer_for_a_copy,
    a_chassis_whose_address_does_not_answer,
    floods_are_bounded_in_a_burst,
    routers_that_send_in_a_circle,
    two_routers_that_would_translate,
}
