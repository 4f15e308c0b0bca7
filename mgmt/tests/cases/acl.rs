//! ACLs of switches in the packet's way.
//!
//! ```text
//!   one 10.0.0.0/24: a .10, b .11, far .13 (on hv)      two 10.1.0.0/24: c .20
//!        |  10.0.0.1                                          |  10.1.0.1
//!        +------------------------- r ------------------------+
//!                                   | 203.0.113.1: source of one and two
//!                                  up 203.0.113.254
//! ```

use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, parse};

use crate::support::family::{self, Error, both_families};
use crate::support::{Host, Network, NodeFile, device_mac, mac, packet, v4};

const NETWORK: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.one]
key = 1
[switch.one.port.a]
key = 10
addresses = ["02:00:00:00:00:10 10.0.0.10 fd00::10"]
chassis = "gw"
[switch.one.port.b]
key = 11
addresses = ["02:00:00:00:00:11 10.0.0.11 fd00::11"]
chassis = "gw"
[switch.one.port.far]
key = 13
addresses = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.one.port.one-r]
key = 1
type = "router"
router_port = "r-one"
[switch.two.port.c]
addresses = ["02:00:00:00:01:20 10.1.0.20"]
chassis = "gw"
[switch.two.port.two-r]
type = "router"
router_port = "r-two"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-r]
type = "router"
router_port = "r-out"
[router.r]
chassis = "gw"
[router.r.port.r-one]
mac = "02:00:00:00:02:01"
networks = ["10.0.0.1/24"]
[router.r.port.r-two]
mac = "02:00:00:00:02:02"
networks = ["10.1.0.1/24"]
[router.r.port.r-out]
mac = "02:00:00:00:02:03"
networks = ["203.0.113.1/24"]
[[router.r.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[[router.r.nat]]
type = "snat"
logical_ip = "10.0.0.0/15"
external_ip = "203.0.113.1"
"#;

const A: &str = "02:00:00:00:00:10";
const B: &str = "02:00:00:00:00:11";
const FAR: &str = "02:00:00:00:00:13";
const C: &str = "02:00:00:00:01:20";
const UP: &str = "02:00:00:00:00:fe";
const R_ONE: &str = "02:00:00:00:02:01";
const R_TWO: &str = "02:00:00:00:02:02";
const R_OUT: &str = "02:00:00:00:02:03";

/// A rule, in OVN's order of columns.
fn acl(owner: &str, direction: &str, priority: u16, matches: &str, action: &str) -> String {
    format!(
        "[[{owner}.acl]]\ndirection = \"{direction}\"\npriority = {priority}\nmatch = '{matches}'\naction = \"{action}\"\n"
    )
}

/// What goes to `b` is dropped, but for what these rules of higher priority say.
fn guarded(rules: &[(&str, &str)]) -> String {
    let mut text = acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"b\" && ip",
        "drop",
    );
    for (matches, action) in rules {
        text += &acl("switch.one", "to-lport", 10, matches, action);
    }
    text
}

/// The network with these rules. In the terms of IPv6 all its addresses are routed.
fn topology(rules: &str) -> String {
    let network = match family::is_v6() {
        true => NETWORK.replace(" fd00::10", "").replace(" fd00::11", ""),
        false => NETWORK.to_owned(),
    };
    network + rules
}

fn network(rules: &str) -> Network {
    network_of(&topology(rules))
}

fn network_of(topology: &str) -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["a", "b", "c"])
        .network("wire", "eth1");
    let mut net = Network::new(topology, &[node]);
    net.chassis("hv", "172.16.0.2/24");
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

fn a_to_b() -> Builder {
    packet((A, B), ("10.0.0.10", "10.0.0.11"))
}

fn b_to_a() -> Builder {
    packet((B, A), ("10.0.0.11", "10.0.0.10"))
}

/// A packet of another chassis to a port of switch `one`.
fn from_far(inner: Builder, to: &str, net: &Network) -> Builder {
    let (vni, out_key) = net.node("gw").keys("one", to);
    let (_, in_key) = net.node("gw").keys("one", "far");
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    inner.encap_geneve(outer, vni, Some(OvnOption { in_key, out_key }))
}

/// It gets to its end, three times, so that no cached way may carry what the rules drop, nor the other way round.
fn passes(net: &mut Network, host: &str, frame: Builder, to: &str) {
    for _ in 0..3 {
        net.forget();
        net.send(host, frame.clone());
        assert_eq!(net.take(to).len(), 1, "{:?}", net.moved());
    }
}

fn stops(net: &mut Network, host: &str, frame: Builder, reason: &str) {
    for _ in 0..3 {
        let moved = format!("gw: drop:{reason} 1, walk 1");
        net.probe(host, frame.clone())
            .expect(reason, &[], &[&moved]);
    }
}

fn every_action_without_connections() {
    let mut rules = guarded(&[
        ("tcp.dst == 1", "allow"),
        ("tcp.dst == 2", "drop"),
        ("tcp.dst == 3", "allow-stateless"),
        ("tcp.dst == 4", "pass"),
        ("tcp.dst == 5", "pass"),
    ]);
    let second = |matches, action| acl("switch.one", "to-lport", 1, matches, action) + "tier = 1\n";
    rules += &second("tcp.dst == 4", "allow");
    rules += &second("tcp.dst == 5", "drop");
    rules += &acl(
        "switch.one",
        "from-lport",
        5,
        "inport == \"a\" && udp.dst == 9",
        "drop",
    );
    let mut net = network(&rules);
    let syn = |port| a_to_b().tcp(4000, port, tcp::SYN);
    for (port, allowed) in [
        (1, true),
        (2, false),
        (3, true),
        (4, true),
        (5, false),
        (6, false),
    ] {
        match allowed {
            true => passes(&mut net, "a", syn(port), "b"),
            false => stops(&mut net, "a", syn(port), "acl-drop"),
        }
    }
    // Of the same stations: what is not for `b`, and what `a` sends.
    passes(&mut net, "b", b_to_a().tcp(2, 4000, tcp::ACK), "a");
    stops(
        &mut net,
        "a",
        packet((A, FAR), ("10.0.0.10", "10.0.0.13")).udp(1, 9),
        "acl-drop",
    );
    // To another switch, and from a chassis: the rules of the end where it is.
    stops(
        &mut net,
        "c",
        packet((C, R_TWO), ("10.1.0.20", "10.0.0.11")).tcp(7, 2, tcp::SYN),
        "acl-drop",
    );
    let c = packet((C, R_TWO), ("10.1.0.20", "10.0.0.11"));
    passes(&mut net, "c", c.tcp(7, 1, tcp::SYN), "b");
    let far = packet((FAR, B), ("10.0.0.13", "10.0.0.11"));
    let frame = from_far(far.clone().tcp(7, 2, tcp::SYN), "b", &net);
    stops(&mut net, "hv", frame, "acl-drop");
    let frame = from_far(far.tcp(7, 1, tcp::SYN), "b", &net);
    passes(&mut net, "hv", frame, "b");
}

#[test]
fn what_no_rule_is_for_is_dropped_where_that_is_said() {
    let rules = acl(
        "switch.one",
        "from-lport",
        1,
        "arp || ip4.dst == 10.0.0.11",
        "allow",
    ) + &acl(
        "switch.one",
        "to-lport",
        1,
        "arp || outport == \"b\"",
        "allow",
    );
    let text = format!("default_acl_drop = true\n{NETWORK}{rules}");
    let mut net = network(&rules);
    net.reload(&text);
    net.forget();
    passes(&mut net, "a", a_to_b().udp(1, 2), "b");
    stops(&mut net, "b", b_to_a().udp(1, 2), "acl-default");
    // Switches without ACLs let pass.
    let c = packet((C, R_TWO), ("10.1.0.20", "203.0.113.254"));
    passes(&mut net, "c", c.udp(1, 2), "up");
}

/// Answers pass by the connection, which takes one look-up each way; a packet that answers nothing does not.
fn answers_pass_and_established_packets_take_one_look_up() {
    let rules = guarded(&[
        ("tcp.dst == 80", "allow-related"),
        ("icmp4", "allow-related"),
    ]) + &acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"a\" && ip",
        "drop",
    ) + &acl(
        "switch.one",
        "from-lport",
        1,
        "inport == \"a\" && ip",
        "allow-related",
    );
    let mut net = network(&rules);
    stops(
        &mut net,
        "b",
        b_to_a().tcp(80, 4000, tcp::SYN | tcp::ACK),
        "acl-drop",
    );
    let syn = a_to_b().tcp(4000, 80, tcp::SYN);
    let there =
        |flags| format!("b: {A} > {B} 10.0.0.10.4000 > 10.0.0.11.80 tcp [{flags}] ttl 64 len 40");
    let back = format!("a: {B} > {A} 10.0.0.11.80 > 10.0.0.10.4000 tcp [S.] ttl 64 len 40");
    net.probe("a", syn)
        .expect("first", &[&there("S")], &["gw: opened 1, walk 1"]);
    for moved in ["gw: walk 1", "gw: established 1"] {
        let answer = b_to_a().tcp(80, 4000, tcp::SYN | tcp::ACK);
        net.probe("b", answer).expect("answer", &[&back], &[moved]);
    }
    let ack = a_to_b().tcp(4000, 80, tcp::ACK);
    net.probe("a", ack)
        .expect("ack", &[&there(".")], &["gw: established 1"]);
    // Of other ports of the two, nothing is known.
    stops(&mut net, "b", b_to_a().tcp(81, 4000, tcp::ACK), "acl-drop");
    stops(&mut net, "b", b_to_a().tcp(80, 4001, tcp::ACK), "acl-drop");
    passes(&mut net, "a", a_to_b().icmp_echo(Echo::Request, 5, 1), "b");
    passes(&mut net, "b", b_to_a().icmp_echo(Echo::Reply, 5, 1), "a");
}

/// Protocols without ports are tracked by address.
fn answers_of_other_protocols_pass() {
    let gre = "outport == \"b\" && ip.proto == 47";
    let rules = guarded(&[(gre, "allow-related")])
        + &acl(
            "switch.one",
            "to-lport",
            1,
            "outport == \"a\" && ip",
            "drop",
        )
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"a\" && ip",
            "allow-related",
        );
    let mut net = network(&rules);
    let of = |base: Builder, proto| base.protocol(proto).payload(&[0; 32]);
    stops(&mut net, "b", of(b_to_a(), 47), "acl-drop");
    stops(&mut net, "a", of(a_to_b(), 50), "acl-drop");
    let there = format!("b: {A} > {B} 10.0.0.10 > 10.0.0.11 proto 47 ttl 64 len 52");
    let back = format!("a: {B} > {A} 10.0.0.11 > 10.0.0.10 proto 47 ttl 64 len 52");
    for moved in ["gw: opened 1, walk 1", "gw: established 1"] {
        net.probe("a", of(a_to_b(), 47))
            .expect("there", &[&there], &[moved]);
    }
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("b", of(b_to_a(), 47))
            .expect("back", &[&back], &[moved]);
    }
    stops(&mut net, "b", of(b_to_a(), 50), "acl-drop");
}

/// Errors about a connection pass in both directions; errors about anything else do not.
fn related_errors_pass() {
    let rules = guarded(&[("udp.dst == 53", "allow-related")])
        + &acl(
            "switch.one",
            "to-lport",
            1,
            "outport == \"a\" && ip",
            "drop",
        )
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"a\" && udp",
            "allow-related",
        )
        + &acl(
            "switch.one",
            "from-lport",
            0,
            "inport == \"a\" && ip",
            "drop",
        );
    let mut net = network(&rules);
    let question = a_to_b().udp(4000, 53);
    let answer = b_to_a().udp(53, 4000);
    passes(&mut net, "a", question.clone(), "b");
    passes(&mut net, "b", answer.clone(), "a");
    let about = |packet: Builder| packet.build()[14..].to_vec();
    let error = |carrier: Builder, quoted: Vec<u8>| {
        let code = icmpv4::CODE_PORT_UNREACHABLE;
        carrier.error(icmpv4::UNREACHABLE, code).payload(&quoted)
    };
    passes(&mut net, "b", error(b_to_a(), about(question)), "a");
    passes(&mut net, "a", error(a_to_b(), about(answer)), "b");
    let other = about(a_to_b().udp(4001, 53));
    stops(&mut net, "b", error(b_to_a(), other), "acl-drop");
}

/// A tunnel packet was asked about where it comes from; here the other end is, with a connection of its own.
fn connections_to_and_from_another_chassis() {
    let rules = guarded(&[("tcp.dst == 80", "allow-related")])
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"b\" && ip && tcp.dst != 25",
            "drop",
        )
        + &acl(
            "switch.one",
            "from-lport",
            2,
            "inport == \"b\" && tcp.dst == 25",
            "allow-related",
        );
    let mut net = network(&rules);
    let far_to_b = || packet((FAR, B), ("10.0.0.13", "10.0.0.11"));
    let b_to_far = || packet((B, FAR), ("10.0.0.11", "10.0.0.13"));
    stops(
        &mut net,
        "b",
        b_to_far().tcp(80, 7, tcp::SYN | tcp::ACK),
        "acl-drop",
    );
    let syn = from_far(far_to_b().tcp(7, 80, tcp::SYN), "b", &net);
    passes(&mut net, "hv", syn, "b");
    passes(
        &mut net,
        "b",
        b_to_far().tcp(80, 7, tcp::SYN | tcp::ACK),
        "hv",
    );
    // And from here.
    let answer = from_far(far_to_b().tcp(25, 9, tcp::SYN | tcp::ACK), "b", &net);
    stops(&mut net, "hv", answer.clone(), "acl-drop");
    passes(&mut net, "b", b_to_far().tcp(9, 25, tcp::SYN), "hv");
    passes(&mut net, "hv", answer.clone(), "b");
    net.probe("hv", answer).expect(
        "by the connection",
        &[&format!(
            "b: {FAR} > {B} 10.0.0.13.25 > 10.0.0.11.9 tcp [S.] ttl 64 len 40"
        )],
        &["gw: established 1"],
    );
}

/// What goes to a port of another chassis is asked about there: only there its connections are known.
fn ports_of_other_chassis_have_their_acls_there() {
    let rules = acl(
        "switch.one",
        "to-lport",
        9,
        "outport == \"far\" && tcp.dst == 80",
        "allow-related",
    ) + &acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"far\" && ip",
        "drop",
    );
    let mut net = network(&rules);
    let answer = packet((C, R_TWO), ("10.1.0.20", "10.0.0.13")).tcp(443, 9, tcp::SYN | tcp::ACK);
    passes(&mut net, "c", answer, "hv");
    let answer = packet((A, FAR), ("10.0.0.10", "10.0.0.13")).tcp(443, 9, tcp::SYN | tcp::ACK);
    passes(&mut net, "a", answer, "hv");
}

/// One connection for the source translation and both switches' ACLs.
fn connections_over_routers_and_through_nat() {
    let rules = guarded(&[("tcp.dst == 80", "allow-related")])
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"b\" && ip4.dst == 8.8.8.8",
            "allow-related",
        )
        + &acl(
            "switch.two",
            "from-lport",
            1,
            "inport == \"c\" && tcp",
            "allow-related",
        )
        + &acl(
            "switch.two",
            "to-lport",
            1,
            "outport == \"c\" && ip",
            "drop",
        );
    let mut net = network(&rules);
    let b_out = || packet((B, R_ONE), ("10.0.0.11", "8.8.8.8"));
    let answer =
        packet((UP, R_OUT), ("8.8.8.8", "203.0.113.1")).tcp(443, 4000, tcp::SYN | tcp::ACK);
    stops_somewhere(&mut net, "up", answer.clone());
    net.probe("b", b_out().tcp(4000, 443, tcp::SYN)).expect(
        "out",
        &[&format!(
            "up: {R_OUT} > {UP} 203.0.113.1.4000 > 8.8.8.8.443 tcp [S] ttl 63 len 40"
        )],
        &["gw: opened 1, walk 1"],
    );
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("up", answer.clone()).expect(
            "in",
            &[&format!(
                "b: {R_ONE} > {B} 8.8.8.8.443 > 10.0.0.11.4000 tcp [S.] ttl 63 len 40"
            )],
            &[moved],
        );
    }
    let c_to_b = packet((C, R_TWO), ("10.1.0.20", "10.0.0.11"));
    let b_to_c = packet((B, R_ONE), ("10.0.0.11", "10.1.0.20"));
    stops(
        &mut net,
        "b",
        b_to_c.clone().tcp(80, 5000, tcp::ACK),
        "acl-drop",
    );
    passes(&mut net, "c", c_to_b.tcp(5000, 80, tcp::SYN), "b");
    passes(
        &mut net,
        "b",
        b_to_c.clone().tcp(80, 5000, tcp::SYN | tcp::ACK),
        "c",
    );
    net.probe("b", b_to_c.tcp(80, 5000, tcp::ACK)).expect(
        "by the connection",
        &[&format!(
            "c: {R_TWO} > {C} 10.0.0.11.80 > 10.1.0.20.5000 tcp [.] ttl 63 len 40"
        )],
        &["gw: established 1"],
    );
}

/// Nothing of it gets anywhere.
fn stops_somewhere(net: &mut Network, host: &str, frame: Builder) {
    let outcome = net.probe(host, frame);
    assert_eq!(outcome.got, [] as [&str; 0], "{outcome:?}");
}

/// Rules that look at more than a flow are asked about each packet, cached ways or not.
fn rules_about_single_packets() {
    for action in ["allow", "allow-related"] {
        let mut net = network(&guarded(&[("ip.ttl == 64", action)]));
        let datagram = || a_to_b().udp(1, 2);
        passes(&mut net, "a", datagram(), "b");
        stops_somewhere(&mut net, "a", datagram().ttl(63));
        passes(&mut net, "a", datagram(), "b");
    }
}

/// A rule that goes ends the connections that it let in, idle ones too, and no others.
fn a_reload_ends_what_is_not_allowed_any_more() {
    const EACH: u16 = 200;
    let rules = |ports: &str| {
        guarded(&[(&format!("tcp.dst == {{{ports}}}"), "allow-related")])
            + &acl(
                "switch.one",
                "to-lport",
                1,
                "outport == \"a\" && ip",
                "drop",
            )
            + &acl(
                "switch.one",
                "from-lport",
                1,
                "inport == \"a\" && ip",
                "allow-related",
            )
    };
    let mut net = network(&rules("80, 443"));
    for port in 0..EACH {
        net.send("a", a_to_b().tcp(4000 + port, 80, tcp::SYN));
        net.send("a", a_to_b().tcp(4000 + port, 443, tcp::SYN));
    }
    assert_eq!(net.take("b").len(), usize::from(2 * EACH));
    net.moved();
    net.reload(&topology(&rules("80, 8080")));
    // A sweep looks at a few connections a turn.
    (0..100).for_each(|_| net.settle());
    assert_eq!(net.moved(), [format!("gw: closed {EACH}")]);
    net.forget();
    for port in 0..EACH {
        let answer = |from| b_to_a().tcp(from, 4000 + port, tcp::SYN | tcp::ACK);
        net.send("b", answer(80));
        net.send("b", answer(443));
    }
    assert_eq!(net.take("a").len(), usize::from(EACH));
    let moved = format!("gw: drop:acl-drop {EACH}, walk {}", 2 * EACH);
    assert_eq!(net.moved(), [moved]);
    // Without any ACL, all pass and nobody keeps connections.
    net.reload(&topology(""));
    net.run(1_000);
    net.forget();
    passes(&mut net, "b", b_to_a().tcp(443, 4000, tcp::ACK), "a");
}

/// A rule that comes is for connections that are there, too: the next packet asks it.
fn a_reload_that_tracks_takes_known_flows_along() {
    let stateless = guarded(&[("tcp.dst == 80", "allow")]);
    let mut net = network(&stateless);
    passes(&mut net, "a", a_to_b().tcp(4000, 80, tcp::ACK), "b");
    passes(&mut net, "b", b_to_a().tcp(80, 4000, tcp::ACK), "a");
    let tracked = guarded(&[("tcp.dst == 80", "allow-related")])
        + &acl(
            "switch.one",
            "to-lport",
            1,
            "outport == \"a\" && ip",
            "drop",
        );
    net.reload(&topology(&tracked));
    net.forget();
    // In the middle of the stream, which is older than the rule; but its answers need the client's end tracked.
    passes(&mut net, "a", a_to_b().tcp(4000, 80, tcp::ACK), "b");
    let open = tracked
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"a\" && ip",
            "allow-related",
        );
    net.reload(&topology(&open));
    net.forget();
    passes(&mut net, "a", a_to_b().tcp(4000, 80, tcp::ACK), "b");
    passes(&mut net, "b", b_to_a().tcp(80, 4000, tcp::ACK), "a");
}

fn senders_of_rejected_packets_are_told() {
    let rules = guarded(&[("tcp.dst == 3 || udp.dst == 3 || icmp4", "reject")])
        + &acl(
            "switch.one",
            "from-lport",
            1,
            "inport == \"a\" && tcp.dst == 5",
            "reject",
        )
        + &acl(
            "switch.one",
            "to-lport",
            1,
            "outport == \"a\" && ip",
            "drop",
        );
    let mut net = network(&rules);
    let tcp_to = |packet: Builder, port| packet.tcp(4000, port, tcp::SYN).tcp_state(99, 0, 1);
    // By the port it goes to, and by the one that it comes from; what the rules say of the answer does not matter.
    for port in [3, 5] {
        let frame = tcp_to(a_to_b(), port);
        let reset =
            format!("a: {B} > {A} 10.0.0.11.{port} > 10.0.0.10.4000 tcp [R.] ttl 255 len 40");
        let outcome = net.probe("a", frame);
        assert_eq!(outcome.got, [reset]);
        assert!(
            outcome.moved[0].contains("drop:acl-reject 1"),
            "{:?}",
            outcome.moved
        );
    }
    let outcome = net.probe("a", a_to_b().udp(4000, 3));
    assert!(
        outcome.got[0].contains(&format!("a: {B} > {A} 10.0.0.11 > 10.0.0.10 icmp")),
        "{outcome:?}"
    );
    // Over a router, from that.
    let c_to_b = || packet((C, R_TWO), ("10.1.0.20", "10.0.0.11"));
    let outcome = net.probe("c", tcp_to(c_to_b(), 3));
    let reset = format!("c: {R_TWO} > {C} 10.0.0.11.3 > 10.1.0.20.4000 tcp [R.] ttl 255 len 40");
    assert_eq!(outcome.got, [reset]);
    // From another chassis, back to it.
    let far = tcp_to(packet((FAR, B), ("10.0.0.13", "10.0.0.11")), 3);
    net.forget();
    net.send("hv", from_far(far, "b", &net));
    let frames = net.take("hv");
    let [frame] = &frames[..] else {
        panic!("{frames:?}")
    };
    let inner = &frame[parse(frame).unwrap().ip().unwrap().l4_offset as usize + 8 + 16..];
    let shown = family::told(sluice_net::show::show(inner));
    assert_eq!(
        shown,
        format!("{B} > {FAR} 10.0.0.11.3 > 10.0.0.13.4000 tcp [R.] ttl 255 len 40")
    );
}

/// Ways to b that translate: a floating IP, and balancers of the router and of the switches.
const TRANSLATED: &str = r#"
[[router.r.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
[load_balancer.web]
protocol = "tcp"
vips = { "203.0.113.5:3" = ["10.0.0.11:4"], "192.0.2.2:3" = ["10.0.0.11:4"] }
"#;

/// Who sent to another address than that of who refuses, or from one that is translated, is told as one who knows nothing of
/// that; nothing is remembered.
fn senders_of_rejected_packets_are_told_through_a_translation() {
    let refused = "tcp.dst == 3 || tcp.dst == 4 || udp.dst == 3";
    let only_answers = |port: &str| {
        let matches = format!("outport == \"{port}\" && ip");
        acl("switch.two", "to-lport", 1, &matches, "drop")
            + &acl(
                "switch.two",
                "from-lport",
                1,
                "inport == \"c\" && ip",
                "allow-related",
            )
    };
    let rules = guarded(&[(refused, "reject")])
        + &only_answers("c")
        + &acl(
            "switch.out",
            "to-lport",
            1,
            "ip4.dst == 8.8.8.8 && (tcp.dst == 3 || udp.dst == 3)",
            "reject",
        )
        + TRANSLATED;
    let rules = topology(&rules)
        .replace("[router.r]\n", "[router.r]\nload_balancers = [\"web\"]\n")
        .replace(
            "[switch.one]\n",
            "[switch.one]\nload_balancers = [\"web\"]\n",
        );
    let mut net = network_of(&rules);
    let hosts = [
        ("up", UP, R_OUT, "8.8.8.8"),
        ("a", A, R_ONE, "10.0.0.10"),
        ("c", C, R_TWO, "10.1.0.20"),
    ];
    let open = |net: &Network| net.node("gw").connections.len();
    let before = open(&net);
    for (host, its, router, src) in hosts {
        let mut known_to = vec!["203.0.113.11", "203.0.113.5", "192.0.2.2"];
        match host {
            "up" => known_to.extend(["10.0.0.11"]),
            // What leaves is refused, whatever its source has become.
            "a" => known_to.extend(["8.8.8.8"]),
            _ => known_to.extend(["10.0.0.11", "8.8.8.8"]),
        }
        for dst in known_to {
            let to = || packet((its, router), (src, dst));
            // A second SYN is answered as the first.
            for (seq, port) in [(99, 4000), (1_000_000, 4000), (7, 4001)] {
                let syn = to().tcp(port, 3, tcp::SYN).tcp_state(seq, 0, 1);
                let reset = format!(
                    "{host}: {router} > {its} {dst}.3 > {src}.{port} tcp [R.] ttl 255 len 40"
                );
                assert_eq!(net.probe(host, syn).got, [reset], "{host} {dst}");
            }
            if ["203.0.113.5", "192.0.2.2"].contains(&dst) {
                continue;
            }
            let outcome = net.probe(host, to().udp(4000, 3));
            let told = format!("{host}: {router} > {its} {dst} > {src} icmp");
            let about = format!("about {src}.4000 > {dst}.3 udp");
            let [got] = &outcome.got[..] else {
                panic!("{host} {dst}: {outcome:?}");
            };
            assert!(got.contains(&told) && got.contains(&about), "{got}");
        }
    }
    assert_eq!(open(&net), before);
    net.assert_no_buffer_lost();
}

/// Of a flood, those get a copy that may.
#[test]
fn floods_reach_whom_the_rules_let() {
    let arp = || {
        Builder::ethernet(mac(A), mac("ff:ff:ff:ff:ff:ff"))
            .arp_request(v4("10.0.0.10"), v4("10.0.0.99"))
    };
    let mut open = network(&guarded(&[]));
    passes(&mut open, "a", arp(), "b");
    let mut net = network(&acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"b\" && arp",
        "drop",
    ));
    let outcome = net.probe("a", arp());
    let to_b: Vec<_> = outcome
        .got
        .iter()
        .filter(|got| got.starts_with("b:"))
        .collect();
    assert_eq!(to_b, [] as [&String; 0], "{outcome:?}");
    assert!(outcome.moved[0].contains("drop:acl-drop 1"), "{outcome:?}");
    let mut silent = network(&acl(
        "switch.one",
        "from-lport",
        1,
        "inport == \"a\" && arp",
        "drop",
    ));
    stops(&mut silent, "a", arp(), "acl-drop");
}

/// Groups and sets are in the rules that packets meet.
fn port_groups_and_address_sets() {
    let group = r#"
[port_group.servers]
ports = ["b", "c"]
[address_set.friends]
addresses = ["10.0.0.10", "203.0.113.0/24"]
"#;
    let rules = [
        group,
        &acl(
            "port_group.servers",
            "to-lport",
            1,
            "outport == @servers && ip4",
            "drop",
        ),
        &acl(
            "port_group.servers",
            "to-lport",
            9,
            "outport == @servers && ip4.src == $friends",
            "allow",
        ),
    ];
    let mut net = network(&rules.concat());
    passes(&mut net, "a", a_to_b().udp(1, 2), "b");
    let far = packet((FAR, B), ("10.0.0.13", "10.0.0.11")).udp(1, 2);
    let frame = from_far(far, "b", &net);
    stops(&mut net, "hv", frame, "acl-drop");
    let a_to_c = packet((A, R_ONE), ("10.0.0.10", "10.1.0.20"));
    passes(&mut net, "a", a_to_c.udp(1, 2), "c");
    let b_to_c = packet((B, R_ONE), ("10.0.0.11", "10.1.0.20"));
    stops(&mut net, "b", b_to_c.udp(1, 2), "acl-drop");
}

/// What a rule that logs decides is told, within its meter; of a connection the first packet.
fn decisions_are_logged_within_their_meter() {
    const LOG: &str = "log = true\nseverity = \"warning\"\nmeter = 3\n";
    let dropped = acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"b\" && udp",
        "drop",
    ) + LOG;
    let allowed = acl(
        "switch.one",
        "to-lport",
        1,
        "outport == \"b\" && tcp",
        "allow-related",
    ) + LOG;
    let mut net = network(&[dropped, allowed].concat());
    for number in 0..5 {
        let told = if number < 3 {
            "acl-logged"
        } else {
            "acl-log-limited"
        };
        net.probe("a", a_to_b().udp(number, 2)).expect(
            "dropped",
            &[],
            &[&format!("gw: drop:acl-drop 1, slow:{told} 1, walk 1")],
        );
    }
    let syn = a_to_b().tcp(1, 2, tcp::SYN);
    let first = net.probe("a", syn.clone());
    assert_eq!(first.moved, ["gw: opened 1, slow:acl-logged 1, walk 1"]);
    assert_eq!(net.probe("a", syn).moved, ["gw: established 1"]);
}

both_families! {
    every_action_without_connections,
    answers_pass_and_established_packets_take_one_look_up,
    answers_of_other_protocols_pass,
    related_errors_pass,
    connections_to_and_from_another_chassis,
    ports_of_other_chassis_have_their_acls_there,
    connections_over_routers_and_through_nat,
    rules_about_single_packets,
    a_reload_ends_what_is_not_allowed_any_more,
    a_reload_that_tracks_takes_known_flows_along,
    senders_of_rejected_packets_are_told,
    senders_of_rejected_packets_are_told_through_a_translation,
    port_groups_and_address_sets,
    decisions_are_logged_within_their_meter,
}
