//! Destination NAT and floating IPs on a gateway router; the network is that of [`super::nat`].

use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, parse};

use super::nat::{self, G_IN, G_OUT, UP, VM, VM2, back, out};
use crate::support::family::{self, Error, both_families};
use crate::support::{Network, NodeOptions, ip, mac, packet};

/// vm2 has a floating IP; port by port nothing changes.
const FLOATING: &str = r#"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
"#;

/// vm is reached by an address of which it does not send.
const DNAT: &str = r#"
[[router.g.nat]]
type = "dnat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.20"
"#;

const SNAT: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "203.0.113.1"
"#;

fn with(rules: &[&str]) -> Network {
    nat::nat_on(&topology(rules), nat::gw(), &NodeOptions::default())
}

fn topology(rules: &[&str]) -> String {
    [&[nat::TOPOLOGY][..], rules].concat().concat()
}

pub fn all() -> Network {
    with(&[SNAT, FLOATING, DNAT])
}

/// From vm2 to the world.
fn out2(dst: &str) -> Builder {
    packet((VM2, G_IN), ("10.0.0.11", dst))
}

fn what_comes_for_an_address_goes_inside_and_the_answers_come_from_it() {
    let mut net = all();
    let cases = [
        ("203.0.113.20", "vm", VM, "10.0.0.10"),
        ("203.0.113.11", "vm2", VM2, "10.0.0.11"),
    ];
    for (external, host, its_mac, inside) in cases {
        let answer = packet((its_mac, G_IN), (inside, "8.8.8.8"));
        let there = format!("{host}: {G_IN} > {its_mac} 8.8.8.8.5000 > {inside}.80 tcp");
        let again = format!("up: {G_OUT} > {UP} {external}.80 > 8.8.8.8.5000 tcp");
        net.probe("up", back("8.8.8.8", external).tcp(5000, 80, tcp::SYN))
            .expect(
                external,
                &[&format!("{there} [S] ttl 63 len 40")],
                &["gw: opened 1, walk 1"],
            );
        for moved in ["gw: walk 1", "gw: established 1"] {
            let answer = answer.clone().tcp(80, 5000, tcp::SYN | tcp::ACK);
            net.probe(host, answer).expect(
                external,
                &[&format!("{again} [S.] ttl 63 len 40")],
                &[moved],
            );
        }
        net.probe("up", back("8.8.8.8", external).tcp(5000, 80, tcp::ACK))
            .expect(
                external,
                &[&format!("{there} [.] ttl 63 len 40")],
                &["gw: established 1"],
            );
        net.probe("up", back("8.8.8.8", external).udp(7, 9).ttl(9))
            .expect(
                external,
                &[&format!(
                    "{host}: {G_IN} > {its_mac} 8.8.8.8.7 > {inside}.9 udp ttl 8 len 28"
                )],
                &["gw: opened 1, walk 1"],
            );
        let ping = back("8.8.8.8", external).icmp_echo(Echo::Request, 77, 1);
        net.probe("up", ping).expect(
            external,
            &[&format!("{host}: {G_IN} > {its_mac} 8.8.8.8 > {inside} icmp echo request id 77 ttl 63 len 28")],
            &["gw: opened 1, walk 1"],
        );
        net.probe(host, answer.icmp_echo(Echo::Reply, 77, 1))
            .expect(
                external,
                &[&format!(
                    "up: {G_OUT} > {UP} {external} > 8.8.8.8 icmp echo reply id 77 ttl 63 len 28"
                )],
                &["gw: walk 1"],
            );
    }
    net.assert_no_buffer_lost();
}

/// A floating IP is also what its host sends from; its ports stay, and what was not sent to is not let back in.
fn a_floating_ip_goes_before_other_rules_and_keeps_ports() {
    let mut net = all();
    for port in [53, 4000, 65535] {
        net.probe("vm2", out2("8.8.8.8").udp(port, 53)).expect(
            "out",
            &[&format!(
                "up: {G_OUT} > {UP} 203.0.113.11.{port} > 8.8.8.8.53 udp ttl 63 len 28"
            )],
            &["gw: opened 1, walk 1"],
        );
        net.probe("up", back("8.8.8.8", "203.0.113.11").udp(53, port))
            .expect(
                "back",
                &[&format!(
                    "vm2: {G_IN} > {VM2} 8.8.8.8.53 > 10.0.0.11.{port} udp ttl 63 len 28"
                )],
                &["gw: walk 1"],
            );
    }
    // Another host goes out by the shared address.
    net.probe("vm", out("8.8.8.8").udp(4000, 53)).expect(
        "shared",
        &[&format!(
            "up: {G_OUT} > {UP} 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 63 len 28"
        )],
        &["gw: opened 1, walk 1"],
    );
}

fn addresses_are_answered_and_announced() {
    let mut net = all();
    for address in ["203.0.113.11", "203.0.113.20"] {
        let ask = family::question(mac(UP), ip("203.0.113.254"), ip(address));
        let outcome = net.probe("up", ask);
        assert_eq!(
            outcome.got,
            [format!(
                "up: {G_OUT} > {UP} arp reply {address} to 203.0.113.254 sender {G_OUT}"
            )]
        );
    }
    net.forget();
    net.reload(&topology(&[
        SNAT,
        FLOATING,
        DNAT,
        &DNAT.replace(".20", ".21"),
    ]));
    net.run(100);
    let heard = net.take("up");
    let heard: Vec<String> = heard
        .iter()
        .map(|f| family::told(sluice_net::show(f)))
        .collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("203.0.113.21"), "{heard:?}");
}

/// From inside to an address outside of another host inside, or of itself: there and back through the router, in one
/// connection that translates both addresses.
fn from_inside_to_an_outer_address_and_back() {
    let mut net = all();
    // By the shared address to a floating one.
    net.probe("vm", out("203.0.113.11").udp(4000, 53)).expect(
        "first",
        &[&format!(
            "vm2: {G_IN} > {VM2} 203.0.113.1.4000 > 10.0.0.11.53 udp ttl 63 len 28"
        )],
        &["gw: opened 1, walk 1"],
    );
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("vm2", out2("203.0.113.1").udp(53, 4000)).expect(
            "answer",
            &[&format!(
                "vm: {G_IN} > {VM} 203.0.113.11.53 > 10.0.0.10.4000 udp ttl 63 len 28"
            )],
            &[moved],
        );
    }
    net.probe("vm", out("203.0.113.11").udp(4000, 53)).expect(
        "then",
        &[&format!(
            "vm2: {G_IN} > {VM2} 203.0.113.1.4000 > 10.0.0.11.53 udp ttl 63 len 28"
        )],
        &["gw: established 1"],
    );
    // From the floating one to the other.
    net.probe("vm2", out2("203.0.113.20").tcp(4000, 80, tcp::SYN))
        .expect(
            "from the floating one",
            &[&format!(
                "vm: {G_IN} > {VM} 203.0.113.11.4000 > 10.0.0.10.80 tcp [S] ttl 63 len 40"
            )],
            &["gw: opened 1, walk 1"],
        );
    net.probe("vm", out("203.0.113.11").tcp(80, 4000, tcp::SYN | tcp::ACK))
        .expect(
            "its answer",
            &[&format!(
                "vm2: {G_IN} > {VM2} 203.0.113.20.80 > 10.0.0.11.4000 tcp [S.] ttl 63 len 40"
            )],
            &["gw: walk 1"],
        );
}

pub fn from_a_host_to_its_own_outer_address() {
    let mut net = all();
    // Ports apart: they stay.
    net.probe("vm2", out2("203.0.113.11").udp(4000, 53)).expect(
        "first",
        &[&format!(
            "vm2: {G_IN} > {VM2} 203.0.113.11.4000 > 10.0.0.11.53 udp ttl 63 len 28"
        )],
        &["gw: opened 1, walk 1"],
    );
    net.probe("vm2", out2("203.0.113.11").udp(53, 4000)).expect(
        "answer",
        &[&format!(
            "vm2: {G_IN} > {VM2} 203.0.113.11.53 > 10.0.0.11.4000 udp ttl 63 len 28"
        )],
        &["gw: walk 1"],
    );
    // An echo would be its own answer: its identifier changes.
    net.send("vm2", out2("203.0.113.11").icmp_echo(Echo::Request, 77, 1));
    let frame = net.take_one("vm2");
    let ip = *parse(&frame).unwrap().ip().unwrap();
    let id = ip.ports().unwrap().0;
    assert_eq!(
        (family::text(ip.src), family::text(ip.dst)),
        ("203.0.113.11".into(), "10.0.0.11".into())
    );
    assert_ne!(id, 77);
    net.probe("vm2", out2("203.0.113.11").icmp_echo(Echo::Reply, id, 1))
        .expect(
            "echo",
            &[&format!(
                "vm2: {G_IN} > {VM2} 203.0.113.11 > 10.0.0.11 icmp echo reply id 77 ttl 63 len 28"
            )],
            &["gw: walk 1"],
        );
}

/// About packets of both directions, from hosts and routers on both sides.
fn icmp_errors_are_translated_both_ways() {
    let mut net = all();
    net.probe("up", back("8.8.8.8", "203.0.113.20").udp(5000, 80));
    // The host inside refuses; what it quotes is what the client sent.
    let seen = packet((G_IN, VM), ("8.8.8.8", "10.0.0.10"))
        .udp(5000, 80)
        .build();
    let refused = out("8.8.8.8")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("vm", refused).expect(
        "from the host",
        &[&format!("up: {G_OUT} > {UP} 203.0.113.20 > 8.8.8.8 icmp error 3/3 about 8.8.8.8.5000 > 203.0.113.20.80 udp ttl 63 len 56")],
        &["gw: walk 1"],
    );
    // A router on the client's side, about an answer.
    net.probe("vm", out("8.8.8.8").udp(80, 5000));
    let seen = packet((UP, UP), ("203.0.113.20", "8.8.8.8"))
        .udp(80, 5000)
        .build();
    let expired = back("198.51.100.7", "203.0.113.20")
        .error(icmpv4::TIME_EXCEEDED, 0)
        .payload(&seen[14..]);
    net.probe("up", expired).expect(
        "from the way",
        &[&format!("vm: {G_IN} > {VM} 198.51.100.7 > 10.0.0.10 icmp error 11/0 about 10.0.0.10.80 > 8.8.8.8.5000 udp ttl 63 len 56")],
        &["gw: walk 1"],
    );
    // Between two hosts inside that know each other by outer addresses only.
    net.probe("vm", out("203.0.113.11").udp(4000, 53));
    let seen = packet((G_IN, VM2), ("203.0.113.1", "10.0.0.11"))
        .udp(4000, 53)
        .build();
    let refused = out2("203.0.113.1")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("vm2", refused).expect(
        "hairpin",
        &[&format!("vm: {G_IN} > {VM} 203.0.113.11 > 10.0.0.10 icmp error 3/3 about 10.0.0.10.4000 > 203.0.113.11.53 udp ttl 63 len 56")],
        &["gw: walk 1"],
    );
    let seen = packet((G_IN, VM), ("203.0.113.11", "10.0.0.10"))
        .udp(53, 4000)
        .build();
    let refused = out("203.0.113.11")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("vm", refused).expect(
        "hairpin, the other way",
        &[&format!("vm2: {G_IN} > {VM2} 203.0.113.1 > 10.0.0.11 icmp error 3/3 about 10.0.0.11.53 > 203.0.113.1.4000 udp ttl 63 len 56")],
        &["gw: walk 1"],
    );
    // About nothing that is known.
    let seen = packet((UP, UP), ("203.0.113.20", "8.8.8.8"))
        .udp(81, 5000)
        .build();
    let forged = back("198.51.100.7", "203.0.113.20")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("up", forged)
        .expect("forged", &[], &["gw: drop:icmp-error-unrelated 1, walk 1"]);
}

/// Nothing is remembered: any packet goes through, in any order, fragments and other protocols too.
fn a_stateless_floating_ip_rewrites_addresses_and_nothing_else() {
    let mut net = with(&[SNAT, &(FLOATING.to_owned() + "stateless = true\n"), DNAT]);
    let there = format!("vm2: {G_IN} > {VM2} 8.8.8.8");
    let again = format!("up: {G_OUT} > {UP} 203.0.113.11");
    for _ in 0..2 {
        net.probe("vm2", out2("8.8.8.8").tcp(80, 5000, tcp::ACK))
            .expect(
                "out",
                &[&format!("{again}.80 > 8.8.8.8.5000 tcp [.] ttl 63 len 40")],
                &["gw: walk 1"],
            );
        net.probe(
            "up",
            back("8.8.8.8", "203.0.113.11").tcp(5000, 80, tcp::ACK),
        )
        .expect(
            "in",
            &[&format!(
                "{there}.5000 > 10.0.0.11.80 tcp [.] ttl 63 len 40"
            )],
            &["gw: walk 1"],
        );
    }
    net.probe(
        "up",
        back("8.8.8.8", "203.0.113.11")
            .protocol(47)
            .payload(&[0; 8]),
    )
    .expect(
        "another protocol",
        &[&format!("{there} > 10.0.0.11 proto 47 ttl 63 len 28")],
        &["gw: walk 1"],
    );
    let first = out2("8.8.8.8")
        .udp(1, 2)
        .fragment(0, true)
        .payload(&[0; 64]);
    let outcome = net.probe("vm2", first);
    assert_eq!(outcome.moved, ["gw: walk 1"]);
    let seen = packet((G_IN, VM2), ("8.8.8.8", "10.0.0.11"))
        .udp(5000, 81)
        .build();
    let refused = out2("8.8.8.8")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("vm2", refused).expect(
        "error out",
        &[&format!("{again} > 8.8.8.8 icmp error 3/3 about 8.8.8.8.5000 > 203.0.113.11.81 udp ttl 63 len 56")],
        &["gw: walk 1"],
    );
    let seen = packet((UP, UP), ("203.0.113.11", "8.8.8.8"))
        .udp(81, 5000)
        .build();
    let refused = back("8.8.8.8", "203.0.113.11")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.probe("up", refused).expect(
        "error in",
        &[&format!(
            "{there} > 10.0.0.11 icmp error 3/3 about 10.0.0.11.81 > 8.8.8.8.5000 udp ttl 63 len 56"
        )],
        &["gw: walk 1"],
    );
    assert!(net.node("gw").connections.is_empty());
    // To a host with state it is as any other outside; that one's answers are found by its connection.
    net.probe("vm2", out2("203.0.113.20").udp(4000, 53)).expect(
        "to one with state",
        &[&format!(
            "vm: {G_IN} > {VM} 203.0.113.11.4000 > 10.0.0.10.53 udp ttl 63 len 28"
        )],
        &["gw: opened 1, walk 1"],
    );
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("vm", out("203.0.113.11").udp(53, 4000)).expect(
            "and its answer",
            &[&format!(
                "vm2: {G_IN} > {VM2} 203.0.113.20.53 > 10.0.0.11.4000 udp ttl 63 len 28"
            )],
            &[moved],
        );
    }
}

pub fn rules_for_some_of_the_world() {
    let exempted = FLOATING.to_owned() + "exempted_ext_ips = [\"9.9.9.0/24\"]\n";
    let allowed = DNAT.to_owned() + "allowed_ext_ips = [\"9.9.9.9\"]\n";
    let mut net = with(&[SNAT, &exempted, &allowed]);
    net.probe("vm2", out2("9.9.9.9").udp(4000, 53)).expect(
        "exempted, out",
        &[&format!(
            "up: {G_OUT} > {UP} 10.0.0.11.4000 > 9.9.9.9.53 udp ttl 63 len 28"
        )],
        &["gw: walk 1"],
    );
    net.probe(
        "up",
        back("9.9.9.9", "203.0.113.11").tcp(53, 4000, tcp::SYN),
    )
    .expect("exempted, in", &[], &["gw: drop:router-local 1, walk 1"]);
    net.probe("up", back("9.9.9.9", "203.0.113.20").udp(53, 4000))
        .expect(
            "allowed",
            &[&format!(
                "vm: {G_IN} > {VM} 9.9.9.9.53 > 10.0.0.10.4000 udp ttl 63 len 28"
            )],
            &["gw: opened 1, walk 1"],
        );
    net.probe(
        "up",
        back("8.8.8.8", "203.0.113.20").tcp(53, 4000, tcp::SYN),
    )
    .expect("not allowed", &[], &["gw: drop:router-local 1, walk 1"]);
}

fn sources_get_ports_of_the_range() {
    let ranged = SNAT.to_owned() + "external_port_range = \"5000-5001\"\n";
    let mut net = with(&[&ranged]);
    let mut ports: Vec<u16> = (0..2u16)
        .map(|n| {
            net.send("vm", out("8.8.8.8").udp(4000 + n, 53));
            let frame = net.take_one("up");
            parse(&frame).unwrap().ip().unwrap().ports().unwrap().0
        })
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [5000, 5001]);
    net.probe("vm", out("8.8.8.8").udp(4002, 53)).expect(
        "exhausted",
        &["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 10.0.0.1 > 10.0.0.10 icmp error 3/1 about 10.0.0.10.4002 > 8.8.8.8.53 udp ttl 254 tos 0xc0 len 56"],
        &["gw: drop:nat-ports-exhausted 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
    // Towards another place both are free again.
    net.send("vm", out("8.8.4.4").udp(5001, 53));
    let frame = net.take_one("up");
    assert_eq!(
        parse(&frame).unwrap().ip().unwrap().ports().unwrap().0,
        5001
    );
}

/// A rule that is gone, or leads elsewhere, ends exactly the connections that it made.
fn a_reload_ends_what_it_forbids() {
    let mut net = all();
    net.probe("up", back("8.8.8.8", "203.0.113.20").udp(5000, 80));
    net.probe("up", back("8.8.8.8", "203.0.113.11").udp(5000, 80));
    net.probe("vm", out("203.0.113.11").udp(4000, 53));
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    assert_eq!(net.node("gw").connections.len(), 4);
    net.forget();
    net.reload(&topology(&[SNAT, FLOATING]));
    net.run(1000);
    assert_eq!(net.moved(), ["gw: closed 1"]);
    // To another host: its next packet from either side finds out.
    let moved = FLOATING.replace("10.0.0.11", "10.0.0.12");
    net.send_later("vm2", out2("8.8.8.8").udp(80, 5000));
    net.reload(&topology(&[SNAT, &moved]));
    net.run(1000);
    let counted = net.moved().join(" ");
    assert!(
        counted.contains("closed 2") && counted.contains("drop:nat-rule-gone 1"),
        "{counted}"
    );
    assert_eq!(net.node("gw").connections.len(), 1);
    let outcome = net.probe("vm", out("8.8.8.8").udp(4000, 53));
    assert_eq!(outcome.got.len(), 1);
}

/// A client whose port is the same towards two addresses that lead to one host: to that they would be one connection, so
/// one of them gets another port there.
fn two_addresses_of_one_host_and_one_port_of_a_client() {
    let other = DNAT.replace("203.0.113.20", "203.0.113.21");
    let mut net = with(&[SNAT, DNAT, &other]);
    net.send("up", back("8.8.8.8", "203.0.113.20").udp(5000, 80));
    assert_eq!(net.take("vm").len(), 1);
    net.send("up", back("8.8.8.8", "203.0.113.21").udp(5000, 80));
    let frame = net.take_one("vm");
    let (port, to) = parse(&frame).unwrap().ip().unwrap().ports().unwrap();
    assert!(port != 5000 && to == 80, "{port}");
    net.forget();
    for moved in ["gw: walk 1", "gw: established 1"] {
        for (at, external) in [(5000, "203.0.113.20"), (port, "203.0.113.21")] {
            net.probe("vm", out("8.8.8.8").udp(80, at)).expect(
                external,
                &[&format!(
                    "up: {G_OUT} > {UP} {external}.80 > 8.8.8.8.5000 udp ttl 63 len 28"
                )],
                &[moved],
            );
        }
    }
    // As recorded when it walks again, too.
    net.reload(&topology(&[SNAT, DNAT, &other, FLOATING]));
    net.run(100);
    net.forget();
    net.probe("up", back("8.8.8.8", "203.0.113.21").udp(5000, 80))
        .expect(
            "after a reload",
            &[&format!(
                "vm: {G_IN} > {VM} 8.8.8.8.{port} > 10.0.0.10.80 udp ttl 63 len 28"
            )],
            &["gw: walk 1"],
        );
}

fn what_opens_no_connection() {
    let mut net = all();
    let cases = [
        (
            "tcp-no-syn",
            back("8.8.8.8", "203.0.113.20").tcp(5000, 80, tcp::ACK),
        ),
        (
            "nat-protocol",
            family::information(back("8.8.8.8", "203.0.113.20")).payload(&[0; 8]),
        ),
        (
            "nat-protocol",
            back("8.8.8.8", "203.0.113.20").icmp_echo(Echo::Reply, 1, 1),
        ),
    ];
    for (reason, frame) in cases {
        net.probe("up", frame)
            .expect(reason, &[], &[&format!("gw: drop:{reason} 1, walk 1")]);
    }
    // A rule with an address of the router's own takes what is for it.
    let own = DNAT.replace("203.0.113.20", "203.0.113.1");
    net.reload(&topology(&[FLOATING, &own]));
    net.run(100);
    net.forget();
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(5000, 80))
        .expect(
            "own address",
            &[&format!(
                "vm: {G_IN} > {VM} 8.8.8.8.5000 > 10.0.0.10.80 udp ttl 63 len 28"
            )],
            &["gw: opened 1, walk 1"],
        );
}

both_families! {
    what_comes_for_an_address_goes_inside_and_the_answers_come_from_it,
    a_floating_ip_goes_before_other_rules_and_keeps_ports,
    addresses_are_answered_and_announced,
    from_inside_to_an_outer_address_and_back,
    from_a_host_to_its_own_outer_address,
    icmp_errors_are_translated_both_ways,
    a_stateless_floating_ip_rewrites_addresses_and_nothing_else,
    rules_for_some_of_the_world,
    sources_get_ports_of_the_range,
    a_reload_ends_what_it_forbids,
    two_addresses_of_one_host_and_one_port_of_a_client,
    what_opens_no_connection,
}
