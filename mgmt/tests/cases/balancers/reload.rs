//! Backends, rules and virtual IPs that come and go.

use std::collections::BTreeMap;

use sluice_net::wire::tcp;

use super::*;
use crate::support::family::both_families;
use crate::support::ip;

/// All slots of the table are looked at, some each turn.
fn swept(net: &mut Network) {
    for _ in 0..300 {
        net.run(1);
    }
}

/// Ten thousand live connections: those of a backend, a rule and a virtual IP that go end, and no other.
fn a_reload_ends_exactly_what_it_forbids() {
    const EACH: u16 = 2500;
    const RULE: &str = "[[router.g.nat]]\ntype = \"dnat\"\nlogical_ip = \"10.0.0.12\"\nexternal_ip = \"203.0.113.9\"\n";
    let options = NodeOptions {
        connections: 16_384,
        ..NodeOptions::default()
    };
    let mut net = network_with(&topology(RULE), &options);
    net.record = false;
    let send = |net: &mut Network| {
        for port in 1..=EACH {
            net.send_later("up", ask("203.0.113.5").udp(port, 80));
            net.send_later("up", ask("203.0.113.9").udp(port, 80));
            net.send_later("c", from_c("192.0.2.2").tcp(port, 80, tcp::SYN));
            net.send_later("c", from_c("8.8.8.8").udp(port, 80));
            if port % 100 == 0 {
                net.settle();
            }
        }
        for host in ["up", "b1", "b2", "c"] {
            net.take(host);
        }
    };
    send(&mut net);
    let gw = net.node("gw");
    assert_eq!(gw.connections.len(), 4 * usize::from(EACH));
    let mut of_b2 = 0;
    let mut next = Some(0);
    while let Some(slot) = next {
        next = gw.connections.scan(slot, 1024, |connection| {
            let web = connection.original.dst == ip("203.0.113.5");
            of_b2 += usize::from(web && connection.reply.src == ip(B2.2));
        });
    }
    assert!(of_b2 > 1000, "{of_b2}");
    // A backend of one balancer.
    net.forget();
    let fewer = |text: String| text.replace("[\"10.0.0.11\", \"10.0.0.12\"]", "[\"10.0.0.11\"]");
    net.reload(&fewer(topology(RULE)));
    swept(&mut net);
    assert_eq!(net.moved(), [format!("gw: closed {of_b2}")]);
    // A rule.
    net.reload(&fewer(topology("")));
    swept(&mut net);
    assert_eq!(net.moved(), [format!("gw: closed {EACH}")]);
    // A virtual IP of the switch.
    net.reload(&fewer(topology("")).replace("192.0.2.2:80", "192.0.2.3:80"));
    swept(&mut net);
    assert_eq!(net.moved(), [format!("gw: closed {EACH}")]);
    // All others go on as they were: each walks once, for tables on its way are others.
    let left = 2 * usize::from(EACH) - of_b2;
    assert_eq!(net.node("gw").connections.len(), left);
    for round in ["gw: walk 2500", "gw: established 2500"] {
        for port in 1..=EACH {
            net.send_later("c", from_c("8.8.8.8").udp(port, 80));
            if port % 100 == 0 {
                net.settle();
            }
        }
        net.take("up");
        assert_eq!(net.moved(), [round]);
    }
    assert_eq!(net.node("gw").connections.len(), left);
}

/// A draining backend keeps what it has and gets nothing new; one that is taken away loses its own, and no other does.
fn draining_and_taking_away() {
    let mut net = network(&topology(""));
    let mut at: BTreeMap<u16, &str> = BTreeMap::new();
    for port in 1..=100 {
        at.insert(
            port,
            reached(&mut net, "up", ask("203.0.113.5").udp(port, 80))
                .0
                .0,
        );
    }
    let of_b1 = at.values().filter(|backend| **backend == "b1").count();
    assert!((20..80).contains(&of_b1), "{of_b1}");
    let draining = topology("[load_balancer.web.backend.\"10.0.0.11\"]\ndraining = true\n");
    net.reload(&draining);
    net.run(1000);
    assert_eq!(net.node("gw").connections.len(), 100);
    for port in 1..=100 {
        assert_eq!(
            reached(&mut net, "up", ask("203.0.113.5").udp(port, 80))
                .0
                .0,
            at[&port]
        );
    }
    for port in 101..=150 {
        assert_eq!(
            reached(&mut net, "up", ask("203.0.113.5").udp(port, 80)).0,
            B2
        );
    }
    net.forget();
    net.reload(&topology("").replace("[\"10.0.0.11\", \"10.0.0.12\"]", "[\"10.0.0.12\"]"));
    net.run(1000);
    assert_eq!(net.moved(), [format!("gw: closed {of_b1}")]);
    assert_eq!(net.node("gw").connections.len(), 150 - of_b1);
}

both_families! {
    a_reload_ends_exactly_what_it_forbids,
    draining_and_taking_away,
}
