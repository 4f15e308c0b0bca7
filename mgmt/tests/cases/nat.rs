//! Source NAT and connection tracking on a gateway router.
//!
//! ```text
//!   in 10.0.0.0/24: vm .10, vm2 .11 (local), far .12 (on hv)
//!        |
//!   10.0.0.1  g  203.0.113.1      SNAT 10.0.0.0/8 -> 203.0.113.1, 10.0.0.11 -> 203.0.113.11
//!                     |
//!                    up 203.0.113.254, the rest of the world behind it
//! ```

use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, L4, parse};

use crate::support::family::{self, Error, both_families};
use crate::support::{Host, Network, NodeFile, NodeOptions, mac, packet};

pub const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }

[switch.in]
key = 1
[switch.in.port.vm]
key = 10
addresses = ["02:00:00:00:00:10 10.0.0.10"]
chassis = "gw"
[switch.in.port.vm2]
key = 11
addresses = ["02:00:00:00:00:11 10.0.0.11"]
chassis = "gw"
[switch.in.port.far]
key = 12
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "hv"
[switch.in.port.in-g]
key = 1
type = "router"
router_port = "g-in"

[switch.out]
key = 2
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-g]
type = "router"
router_port = "g-out"

[router.g]
chassis = "gw"
[router.g.port.g-in]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.g.port.g-out]
mac = "02:00:00:00:01:02"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
"#;

const SNAT: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "203.0.113.1"
"#;

const SNAT_OF_VM2: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
"#;

pub const VM: &str = "02:00:00:00:00:10";
pub const VM2: &str = "02:00:00:00:00:11";
pub const G_IN: &str = "02:00:00:00:01:01";
pub const G_OUT: &str = "02:00:00:00:01:02";
pub const UP: &str = "02:00:00:00:00:fe";

pub fn gw() -> NodeFile {
    NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["vm", "vm2"])
        .network("wire", "eth1")
}

pub fn both_rules() -> String {
    [TOPOLOGY, SNAT, SNAT_OF_VM2].concat()
}

/// The network, quiet, with the upstream router known.
pub fn nat() -> Network {
    nat_with(&NodeOptions::default())
}

pub fn nat_with(options: &NodeOptions) -> Network {
    nat_on(&both_rules(), gw(), options)
}

pub fn nat_on(topology: &str, node: NodeFile, options: &NodeOptions) -> Network {
    let mut net = Network::with(topology, &[node], options);
    net.chassis("hv", "172.16.0.2/24");
    net.host(
        "up",
        "wire",
        Host::station(mac(UP), &["203.0.113.254/24"], Some("203.0.113.1")),
    );
    net.run(20_000);
    assert_eq!(net.ping("up", "203.0.113.1"), Some(254));
    net.forget();
    net
}

/// From a VM to the world.
pub fn out(dst: &str) -> Builder {
    packet((VM, G_IN), ("10.0.0.10", dst))
}

/// From the world to the external address.
pub fn back(src: &str, dst: &str) -> Builder {
    packet((UP, G_OUT), (src, dst))
}

fn udp_goes_out_and_comes_back_and_then_takes_one_look_up() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53).payload(b"ask")).expect(
        "first",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 63 len 31"],
        &["gw: opened 1, walk 1"],
    );
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000)).expect(
        "first reply",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.53 > 10.0.0.10.4000 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
    net.probe("vm", out("8.8.8.8").udp(4000, 53).ttl(9)).expect(
        "second",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 8 len 28"],
        &["gw: established 1"],
    );
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000).ttl(255)).expect(
        "second reply",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.53 > 10.0.0.10.4000 udp ttl 254 len 28"],
        &["gw: established 1"],
    );
    net.assert_no_buffer_lost();
}

fn a_taken_port_is_changed_and_the_longest_rule_wins() {
    let mut net = nat();
    let mut from = |host: &str, its_mac: &str, ip: &str| {
        net.send(host, packet((its_mac, G_IN), (ip, "8.8.8.8")).udp(4000, 53));
        let frame = net.take_one("up");
        let ip = *parse(&frame).unwrap().ip().unwrap();
        (family::text(ip.src), ip.ports().unwrap().0)
    };
    assert_eq!(from("vm", VM, "10.0.0.10"), ("203.0.113.1".into(), 4000));
    assert_eq!(from("vm2", VM2, "10.0.0.11"), ("203.0.113.11".into(), 4000));
    let (external, port) = from("vm2", VM2, "10.0.0.99");
    assert_eq!(external, "203.0.113.1");
    assert!(port != 4000 && port >= 1024, "port {port}");
    // Both are known by their own ports when the answers come.
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000)).expect(
        "answer to the first",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.53 > 10.0.0.10.4000 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
}

/// What is sent to others than the router has nothing to do with the connection that has its addresses.
fn a_bridged_packet_with_the_addresses_of_a_connection() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    for to in ["ff:ff:ff:ff:ff:ff", VM2] {
        let beside = packet((VM, to), ("10.0.0.10", "8.8.8.8")).udp(4000, 53);
        let outcome = net.probe("vm", beside);
        assert!(
            outcome
                .got
                .iter()
                .any(|got| got.starts_with("vm2: ") && got.contains("10.0.0.10.4000 > 8.8.8.8.53")),
            "{outcome:?}"
        );
        let outcome = net.probe("vm", out("8.8.8.8").udp(4000, 53));
        assert_eq!(outcome.moved, ["gw: established 1"]);
    }
    assert_eq!(net.node("gw").connections.len(), 1);
}

fn sctp_and_its_checksum() {
    let mut net = nat();
    let chunk = [1; 20];
    net.probe(
        "vm2",
        packet((VM2, G_IN), ("10.0.0.99", "8.8.8.8")).sctp(4000, 80),
    );
    net.send("vm", out("8.8.8.8").sctp(4000, 80).payload(&chunk));
    let frame = net.take_one("up");
    let (port, _) = parse(&frame).unwrap().ip().unwrap().ports().unwrap();
    assert_ne!(port, 4000, "the port is taken");
    net.probe("up", back("8.8.8.8", "203.0.113.1").sctp(80, port).payload(&chunk)).expect(
        "answer",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.80 > 10.0.0.10.4000 sctp ttl 63 len 52"],
        &["gw: walk 1"],
    );
    let outcome = net.probe("vm", out("8.8.8.8").sctp(4000, 80).payload(&chunk));
    assert_eq!(outcome.moved, ["gw: established 1"]);
}

pub fn echo_and_its_identifier() {
    let mut net = nat();
    let ask = |seq| out("8.8.8.8").icmp_echo(Echo::Request, 77, seq);
    net.probe("vm", ask(1)).expect(
        "request",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1 > 8.8.8.8 icmp echo request id 77 ttl 63 len 28"],
        &["gw: opened 1, walk 1"],
    );
    net.probe(
        "vm2",
        packet((VM2, G_IN), ("10.0.0.99", "8.8.8.8")).icmp_echo(Echo::Request, 77, 1),
    );
    net.probe(
        "up",
        back("8.8.8.8", "203.0.113.1").icmp_echo(Echo::Reply, 77, 1),
    )
    .expect(
        "reply",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8 > 10.0.0.10 icmp echo reply id 77 ttl 63 len 28"],
        &["gw: walk 1"],
    );
    net.probe("vm", ask(2)).expect(
        "second request",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1 > 8.8.8.8 icmp echo request id 77 ttl 63 len 28"],
        &["gw: established 1"],
    );
}

/// What a router on the way says about a packet from inside, and what the client says about an answer.
fn icmp_errors_are_translated_both_ways() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53).payload(&[7; 40]));
    // A router behind the upstream one: quotes what it saw, with one TTL left.
    let seen = packet((UP, UP), ("203.0.113.1", "8.8.8.8"))
        .ttl(1)
        .udp(4000, 53)
        .payload(&[7; 40])
        .build();
    let time_exceeded = packet((UP, G_OUT), ("198.51.100.7", "203.0.113.1"))
        .error(icmpv4::TIME_EXCEEDED, 0)
        .payload(&seen[14..]);
    net.probe("up", time_exceeded).expect(
        "from the way",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 198.51.100.7 > 10.0.0.10 icmp error 11/0 about 10.0.0.10.4000 > 8.8.8.8.53 udp ttl 63 len 96"],
        &["gw: walk 1"],
    );
    // The client refuses the answer.
    let answer = packet((VM, VM), ("8.8.8.8", "10.0.0.10"))
        .udp(53, 4000)
        .build();
    let unreachable = packet((VM, G_IN), ("10.0.0.10", "8.8.8.8"))
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&answer[14..]);
    net.probe("vm", unreachable).expect(
        "from the client",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1 > 8.8.8.8 icmp error 3/3 about 8.8.8.8.53 > 203.0.113.1.4000 udp ttl 63 len 56"],
        &["gw: walk 1"],
    );
}

fn icmp_errors_about_a_translated_echo() {
    let mut net = nat();
    net.probe(
        "vm2",
        packet((VM2, G_IN), ("10.0.0.99", "8.8.8.8")).icmp_echo(Echo::Request, 77, 1),
    );
    net.send(
        "vm",
        out("8.8.8.8")
            .ttl(5)
            .icmp_echo(Echo::Request, 77, 1)
            .payload(&[1; 32]),
    );
    let seen = net.take_one("up");
    let L4::Echo { id, .. } = parse(&seen).unwrap().ip().unwrap().l4 else {
        panic!("no echo")
    };
    assert_ne!(id, 77, "the identifier is taken");
    let error = packet((UP, G_OUT), ("198.51.100.7", "203.0.113.1"))
        .error(icmpv4::TIME_EXCEEDED, 0)
        .payload(&seen[14..]);
    net.probe("up", error).expect(
        "traceroute",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 198.51.100.7 > 10.0.0.10 icmp error 11/0 about 10.0.0.10.77 > 8.8.8.8.0 icmp ttl 63 len 88"],
        &["gw: walk 1"],
    );
}

/// The gateway's own errors: towards the client in the name of its inner side, towards the world of its outer one.
pub fn the_gateways_own_errors() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").ttl(1).udp(4000, 53)).expect(
        "first hop of a traceroute",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 10.0.0.1 > 10.0.0.10 icmp error 11/0 about 10.0.0.10.4000 > 8.8.8.8.53 udp ttl 254 tos 0xc0 len 56"],
        &["gw: drop:ttl-exceeded 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.probe("up", back("8.8.8.8", "203.0.113.1").ttl(1).udp(53, 4000)).expect(
        "an answer that lived too long",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1 > 8.8.8.8 icmp error 11/0 about 8.8.8.8.53 > 203.0.113.1.4000 udp ttl 254 tos 0xc0 len 56"],
        &["gw: drop:ttl-exceeded 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
}

/// A connection from outside to an inner address: its answers must not be translated.
fn direct_connections_from_outside_stay_untranslated() {
    let mut net = nat();
    net.probe("up", back("198.51.100.9", "10.0.0.10").tcp(5000, 22, tcp::SYN)).expect(
        "in",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 198.51.100.9.5000 > 10.0.0.10.22 tcp [S] ttl 63 len 40"],
        &["gw: opened 1, walk 1"],
    );
    for what in ["first", "second"] {
        let moved = if what == "first" {
            "gw: walk 1"
        } else {
            "gw: established 1"
        };
        net.probe("vm", out("198.51.100.9").tcp(22, 5000, tcp::SYN | tcp::ACK)).expect(
            what,
            &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 10.0.0.10.22 > 198.51.100.9.5000 tcp [S.] ttl 63 len 40"],
            &[moved],
        );
    }
    net.probe("up", back("198.51.100.9", "10.0.0.10").tcp(5000, 22, tcp::ACK)).expect(
        "then",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 198.51.100.9.5000 > 10.0.0.10.22 tcp [.] ttl 63 len 40"],
        &["gw: established 1"],
    );
    // Picked up in the middle: the first packet seen need not be a SYN.
    net.probe("up", back("198.51.100.9", "10.0.0.10").tcp(5001, 22, tcp::ACK)).expect(
        "picked up",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 198.51.100.9.5001 > 10.0.0.10.22 tcp [.] ttl 63 len 40"],
        &["gw: opened 1, walk 1"],
    );
}

fn what_cannot_be_translated_is_dropped_by_name() {
    let mut net = nat();
    let quoted = packet((UP, UP), ("203.0.113.1", "8.8.8.8"))
        .udp(4000, 53)
        .build();
    let cases = [
        (
            "nat-protocol",
            "vm",
            family::information(out("8.8.8.8")).payload(&[0; 32]),
        ),
        (
            "nat-protocol",
            "vm",
            out("8.8.8.8").icmp_echo(Echo::Reply, 1, 1),
        ),
        ("tcp-no-syn", "vm", out("8.8.8.8").tcp(4000, 80, tcp::ACK)),
        ("tcp-no-syn", "vm", out("8.8.8.8").tcp(4000, 80, tcp::RST)),
        (
            "tcp-no-syn",
            "vm",
            out("8.8.8.8").tcp(4000, 80, tcp::SYN | tcp::FIN),
        ),
        (
            "icmp-error-unrelated",
            "up",
            back("8.8.8.8", "203.0.113.1")
                .error(icmpv4::UNREACHABLE, 3)
                .payload(&quoted[14..]),
        ),
        (
            "router-local",
            "up",
            back("8.8.8.8", "203.0.113.1").tcp(80, 4000, tcp::ACK),
        ),
        // Hairpin to the NAT address, not supported: refused, never looped.
        (
            "router-local",
            "vm",
            out("203.0.113.11").tcp(4000, 80, tcp::SYN),
        ),
    ];
    for (reason, host, frame) in cases {
        let moved = format!("gw: drop:{reason} 1, walk 1");
        net.probe(host, frame).expect(reason, &[], &[&moved]);
    }
    assert!(net.node("gw").connections.is_empty());
    net.assert_no_buffer_lost();
}

fn a_client_behind_a_tunnel() {
    use sluice_net::Vni;
    use sluice_net::wire::geneve::OvnOption;
    let mut net = nat();
    let from_far = || {
        let option = OvnOption {
            in_key: 12,
            out_key: 1,
        };
        packet(("02:00:00:00:00:12", G_IN), ("10.0.0.12", "8.8.8.8"))
            .udp(4000, 53)
            .encap_geneve(super::lab::outer(), Vni::new(1).unwrap(), Some(option))
    };
    net.probe("hv", from_far()).expect(
        "out",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 63 len 28"],
        &["gw: opened 1, walk 1"],
    );
    for moved in ["gw: walk 1", "gw: established 1"] {
        let outcome = net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000));
        assert_eq!(outcome.moved, [moved]);
        let inner = "geneve vni 1 in 1 out 12 [02:00:00:00:01:01 > 02:00:00:00:00:12 8.8.8.8.53 > 10.0.0.12.4000 udp ttl 63 len 28]";
        assert!(
            outcome.got.len() == 1 && outcome.got[0].ends_with(inner),
            "{outcome:#?}"
        );
    }
    let outcome = net.probe("hv", from_far());
    assert_eq!(outcome.moved, ["gw: established 1"]);
}

fn a_reload_keeps_connections_and_closes_those_whose_rule_is_gone() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.probe(
        "vm2",
        packet((VM2, G_IN), ("10.0.0.11", "8.8.8.8")).udp(4000, 53),
    );
    net.probe("vm", out("8.8.8.8").udp(4001, 53));
    assert_eq!(net.node("gw").connections.len(), 3);
    // A switch more: nothing that they rest on.
    let more = "\n[switch.more.port.p]\naddresses = [\"02:00:00:00:00:77 10.9.0.1\"]\n";
    net.forget();
    net.reload(&(both_rules() + more));
    net.run(100);
    assert_eq!(net.moved(), Vec::<String>::new());
    let outcome = net.probe("vm", out("8.8.8.8").udp(4000, 53));
    assert_eq!(outcome.moved, ["gw: established 1"]);
    // One rule less: the sweep finds the silent connection.
    net.forget();
    net.reload(&[TOPOLOGY, SNAT].concat());
    net.run(1000);
    assert_eq!(net.moved(), ["gw: closed 1"]);
    assert_eq!(net.node("gw").connections.len(), 2);
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000)).expect(
        "kept",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.53 > 10.0.0.10.4000 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
    // Another rule for the same client: its next packet finds out, whichever way it goes.
    net.forget();
    let another = SNAT.replace("203.0.113.1", "203.0.113.9");
    net.send_later("vm", out("8.8.8.8").udp(4000, 53));
    net.reload(&[TOPOLOGY, &another].concat());
    net.run(1000);
    // The new external address is announced at once and after a second.
    assert_eq!(
        net.moved(),
        [
            "gw: closed 2, copy 2, drop:nat-rule-gone 1, flood 2, injected 2, slow:announced 2, walk 3"
        ]
    );
    assert!(net.node("gw").connections.is_empty());
    // No rule at all: nothing is looked up any more, so all go.
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.probe("vm", out("8.8.8.8").udp(4001, 53));
    assert_eq!(net.node("gw").connections.len(), 2);
    net.forget();
    net.reload(TOPOLOGY);
    net.run(1000);
    assert_eq!(net.moved(), ["gw: closed 2"]);
    net.probe("vm", out("8.8.8.8").udp(4000, 53)).expect(
        "without translation",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 10.0.0.10.4000 > 8.8.8.8.53 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
}

fn connections_end_by_time_and_by_reset() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.run(121_000);
    assert_eq!(
        net.node("gw").connections.len(),
        0,
        "unreplied UDP lives two minutes"
    );
    net.probe("vm", out("8.8.8.8").tcp(4000, 80, tcp::SYN));
    net.probe(
        "up",
        back("8.8.8.8", "203.0.113.1").tcp(80, 4000, tcp::SYN | tcp::ACK),
    );
    net.probe("vm", out("8.8.8.8").tcp(4000, 80, tcp::ACK));
    net.run(3_600_000);
    assert_eq!(
        net.node("gw").connections.len(),
        1,
        "established TCP lives more than two hours"
    );
    net.probe("up", back("8.8.8.8", "203.0.113.1").tcp(80, 4000, tcp::RST));
    net.run(300_000);
    assert_eq!(net.node("gw").connections.len(), 0);
}

/// A segment from 8.8.8.8 with these numbers; its headers are 54 bytes.
fn from_server(flags: u8, seq: u32, ack: u32) -> Builder {
    back("8.8.8.8", "203.0.113.1")
        .tcp(80, 4000, flags)
        .tcp_state(seq, ack, 1000)
}

pub fn a_rst_counts_only_from_where_the_stream_is() {
    let mut net = nat();
    let mine = |flags, seq, ack| {
        out("8.8.8.8")
            .tcp(4000, 80, flags)
            .tcp_state(seq, ack, 1000)
    };
    net.probe("vm", mine(tcp::SYN, 999, 0));
    net.probe("up", from_server(tcp::SYN | tcp::ACK, 0x8000_0000, 1000));
    net.probe("vm", mine(tcp::ACK, 1000, 0x8000_0001));
    net.probe(
        "up",
        from_server(tcp::ACK, 0x8000_0001, 1000).payload(&[7; 500]),
    );
    let state = |net: &Network| {
        let mut states = Vec::new();
        let table = &net.node("gw").connections;
        table.scan(0, usize::MAX, |connection| {
            states.push(connection.state.name())
        });
        states
    };
    let passes = "vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.80 > 10.0.0.10.4000 tcp";
    for seq in [0, 0x7000_0000, 0x9000_0000] {
        let seen = net.probe("up", from_server(tcp::RST, seq, 0));
        assert!(seen.got[0].starts_with(passes), "{seen:?}");
        assert_eq!(seen.moved, ["gw: established 1, rst-disbelieved 1"]);
        assert_eq!(state(&net), ["established"]);
    }
    net.probe("vm", mine(tcp::RST, 0x7000_0000, 0));
    assert_eq!(state(&net), ["established"], "nor from inside");
    // Forged FINs of both sides leave it as it was, for its time.
    net.probe("vm", mine(tcp::FIN | tcp::ACK, 0x7000_0000, 0));
    net.probe("up", from_server(tcp::FIN | tcp::ACK, 0x7000_0000, 0));
    assert_eq!(state(&net), ["fin-original"]);
    net.probe("up", from_server(tcp::RST, 0x8000_0001 + 500, 0));
    assert_eq!(state(&net), ["reset-reply"]);
    net.run(300_000);
    assert_eq!(net.node("gw").connections.len(), 0);
}

/// The upstream router's MAC has left the FDB while its address is still known: the packet goes to all that take
/// unknown MACs, translated all the same.
fn a_flooded_packet_is_translated_too() {
    let other = "[switch.out.port.other]\naddresses = [\"unknown\"]\nchassis = \"gw\"\n";
    let topology = both_rules() + other;
    let mut net = nat_on(&topology, gw().vifs(&["other"]), &NodeOptions::default());
    net.node("gw")
        .request(sluice_slowpath::AgentRequest::FlushFdb {
            domain: None,
            done: None,
        });
    net.settle();
    let sent =
        "02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 63 len 28";
    let [at_other, at_up] = ["other", "up"].map(|host| format!("{host}: {sent}"));
    for (name, moved) in [
        ("first", "gw: copy 2, flood 1, opened 1, walk 1"),
        ("second", "gw: copy 2, flood 1, walk 1"),
    ] {
        net.probe("vm", out("8.8.8.8").udp(4000, 53))
            .expect(name, &[&at_other, &at_up], &[moved]);
    }
    let answer = net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000));
    assert_eq!(answer.moved, ["gw: slow:macs-learned 1, walk 1"]);
    assert_eq!(answer.got.len(), 1);
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("vm", out("8.8.8.8").udp(4000, 53))
            .expect("known again", &[&at_up], &[moved]);
    }
}

/// What a direct connection's answers would look like is another connection already: one of the two must yield.
fn a_direct_connection_that_clashes_with_a_translated_one() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.probe("up", back("8.8.8.8", "10.0.0.10").udp(53, 4000))
        .expect("clash", &[], &["gw: drop:nat-race 1, walk 1"]);
    let outcome = net.probe("vm", out("8.8.8.8").udp(4000, 53));
    assert_eq!(outcome.moved, ["gw: established 1"]);
}

/// A reload that touches a router on the way lets each direction walk once; one that does not, not at all.
fn cached_ways_after_a_reload() {
    let mut net = nat();
    let there = |net: &mut Network| net.probe("vm", out("8.8.8.8").udp(4000, 53)).moved;
    let and_back = |net: &mut Network| {
        net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000))
            .moved
    };
    for _ in 0..2 {
        there(&mut net);
        and_back(&mut net);
    }
    assert_eq!(there(&mut net), ["gw: established 1"]);
    let route = "[[router.g.route]]\nip_prefix = \"192.0.2.0/24\"\nnexthop = \"203.0.113.254\"\n";
    net.reload(&(both_rules() + route));
    net.run(100);
    assert_eq!(there(&mut net), ["gw: walk 1"]);
    assert_eq!(there(&mut net), ["gw: established 1"]);
    assert_eq!(and_back(&mut net), ["gw: walk 1"]);
    assert_eq!(and_back(&mut net), ["gw: established 1"]);
    // A VIF of the client's switch goes to another chassis.
    let moved = both_rules().replace("chassis = \"hv\"", "chassis = \"gw\"");
    net.reload(&(moved + route));
    net.run(100);
    assert_eq!(there(&mut net), ["gw: walk 1"]);
    // What the route said is said by another one now.
    net.reload(
        &(both_rules()
            + route
            + "[[router.g.route]]\nip_prefix = \"8.8.8.0/24\"\nnexthop = \"discard\"\n"),
    );
    net.run(100);
    assert_eq!(there(&mut net), ["gw: drop:blackhole 1, walk 1"]);
}

both_families! {
    udp_goes_out_and_comes_back_and_then_takes_one_look_up,
    a_taken_port_is_changed_and_the_longest_rule_wins,
    a_bridged_packet_with_the_addresses_of_a_connection,
    sctp_and_its_checksum,
    echo_and_its_identifier,
    icmp_errors_are_translated_both_ways,
    icmp_errors_about_a_translated_echo,
    the_gateways_own_errors,
    direct_connections_from_outside_stay_untranslated,
    what_cannot_be_translated_is_dropped_by_name,
    a_client_behind_a_tunnel,
    a_reload_keeps_connections_and_closes_those_whose_rule_is_gone,
    connections_end_by_time_and_by_reset,
    a_rst_counts_only_from_where_the_stream_is,
    a_flooded_packet_is_translated_too,
    a_direct_connection_that_clashes_with_a_translated_one,
    cached_ways_after_a_reload,
}
