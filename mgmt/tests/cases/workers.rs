//! Several workers: frames go to the worker that owns their connection, and out by the one that has the queue.

use std::sync::Arc;

use sluice_fastpath::connections::FlowKey;
use sluice_fastpath::ids::Zone;
use sluice_fastpath::spread::Spread;
use sluice_net::wire::tcp;
use sluice_net::{Builder, L3, parse};

use super::nat::{self, back, nat_with, out};
use crate::support::{Network, NodeOptions, packet};

/// Odd source ports of a packet (the low byte of the port field) arrive on queue 1.
fn by_port(frame: &[u8]) -> u16 {
    match parse(frame).map(|headers| headers.l3) {
        Ok(L3::Ip(ip)) => ip.ports().map_or(0, |(src, _)| src & 1),
        _ => 0,
    }
}

fn two(queues: Option<(u16, u16)>, depth: usize) -> Network {
    let options = NodeOptions {
        workers: 2,
        queues,
        depth,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.queue = by_port;
    net
}

#[test]
fn an_answer_on_another_queue_is_handed_to_the_owner() {
    let mut net = two(None, 1024);
    // Port 4000: worker 0. The answer comes from port 53: worker 1.
    let outcome = net.probe("vm", out("8.8.8.8").udp(4000, 53));
    assert_eq!(outcome.moved, ["gw: opened 1, walk 1"]);
    let reply =
        ["vm: 02:00:00:00:01:01 > 02:00:00:00:00:10 8.8.8.8.53 > 10.0.0.10.4000 udp ttl 63 len 28"];
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000))
        .expect("first", &reply, &["gw: hand-off 1, walk 1"]);
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000))
        .expect("second", &reply, &["gw: established 1, hand-off 1"]);
    // Both on one queue: no hand-off.
    net.probe("vm", out("8.8.8.8").udp(4001, 53));
    let outcome = net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4001));
    assert_eq!(outcome.moved, ["gw: walk 1"]);
    net.assert_no_buffer_lost();
}

/// As a card with this key and table would spread them.
fn spread() -> Arc<Spread> {
    let key: Vec<u8> = [0x6d, 0x5a].into_iter().cycle().take(40).collect();
    let table: Vec<u16> = (0..128).map(|slot| slot % 2).collect();
    Arc::new(Spread::new(&key, &table, (true, true)).unwrap())
}

fn by_spread(frame: &[u8]) -> u16 {
    thread_local!(static SPREAD: Arc<Spread> = spread());
    let Ok(headers) = parse(frame) else { return 0 };
    let key = headers
        .ip()
        .map(|ip| FlowKey::of(&sluice_net::FlowKey::of(ip), Zone(1)));
    key.map_or(0, |key| {
        SPREAD.with(|spread| match (key.narrow::<u32>(), key.narrow::<u128>()) {
            (Some(key), _) => spread.queue(&key),
            (_, Some(key)) => spread.queue(&key),
            (None, None) => 0,
        })
    })
}

#[test]
fn ports_are_chosen_so_that_answers_come_to_the_owner() {
    let options = NodeOptions {
        workers: 2,
        connections: 32_768,
        spreads: vec![
            Some(spread()),
            Some(spread()),
            Some(spread()),
            Some(spread()),
        ],
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.queue = by_spread;
    net.record = false;
    const EACH: u16 = 5_000;
    // TCP: the checks of the network take UDP to port 4789 for VXLAN.
    for (host, from) in [("8.8.8.8", 1_000), ("8.8.4.4", 20_000)] {
        for port in from..from + EACH {
            net.send_later("vm", out(host).tcp(port, 80, tcp::SYN));
        }
        net.settle();
        let sent = net.take("up");
        assert_eq!(sent.len(), usize::from(EACH));
        for frame in &sent {
            let L3::Ip(ip) = parse(frame).unwrap().l3 else {
                panic!("not IP")
            };
            let (external, _) = ip.ports().unwrap();
            let answer = back(host, "203.0.113.1").tcp(80, external, tcp::SYN | tcp::ACK);
            net.send_later("up", answer);
        }
        net.settle();
        assert_eq!(net.take("vm").len(), usize::from(EACH));
        for port in from..from + EACH {
            net.send_later("vm", out(host).tcp(port, 80, tcp::ACK));
        }
        net.settle();
        assert_eq!(net.take("up").len(), usize::from(EACH));
    }
    let counts = net.moved().join(" ");
    assert!(!counts.contains("hand-off"), "{counts}");
    assert_eq!(net.node("gw").connections.len(), 2 * usize::from(EACH));
    net.assert_no_buffer_lost();
}

/// All answers come to one worker, whatever port is chosen: the other one still opens connections.
#[test]
fn a_worker_whose_answers_come_to_another_has_ports_too() {
    let key: Vec<u8> = [0x6d, 0x5a].into_iter().cycle().take(40).collect();
    let to_the_first = Arc::new(Spread::new(&key, &[0, 0], (true, true)).unwrap());
    let options = NodeOptions {
        workers: 2,
        spreads: vec![Some(to_the_first); 4],
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.queue = |frame| match parse(frame).map(|headers| headers.l3) {
        Ok(L3::Ip(ip)) => ip.ports().map_or(0, |(src, _)| u16::from(src != 53)),
        _ => 0,
    };
    for port in 1000..1100 {
        net.send_later("vm", out("8.8.8.8").udp(port, 53));
    }
    net.settle();
    assert_eq!(net.take("up").len(), 100);
    for port in 1000..1100 {
        net.send_later("up", back("8.8.8.8", "203.0.113.1").udp(53, port));
    }
    net.settle();
    assert_eq!(net.take("vm").len(), 100);
    let counts = net.moved().join(" ");
    assert!(counts.contains("hand-off 100,"), "{counts}");
    net.assert_no_buffer_lost();
}

/// Neither the address that is asked nor who answers changes whose connection it is: what comes to another worker is
/// handed over, and every packet gets where it should.
#[test]
fn answers_of_translated_destinations_find_their_owner() {
    const RULES: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5" = ["10.0.0.10"] }
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
"#;
    let balanced = "[router.g]\nload_balancers = [\"web\"]\n";
    let topology = [&nat::TOPOLOGY.replace("[router.g]\n", balanced), RULES].concat();
    let options = NodeOptions {
        workers: 2,
        ..NodeOptions::default()
    };
    let mut net = nat::nat_on(&topology, nat::gw(), &options);
    net.queue = by_port;
    const CONNECTIONS: u16 = 200;
    for (external, host, its_mac, inside) in [
        ("203.0.113.5", "vm", nat::VM, "10.0.0.10"),
        ("203.0.113.11", "vm2", nat::VM2, "10.0.0.11"),
    ] {
        for round in 0..3 {
            for port in 1000..1000 + CONNECTIONS {
                net.send_later("up", back("8.8.8.8", external).udp(port, 80));
            }
            net.settle();
            assert_eq!(
                net.take(host).len(),
                usize::from(CONNECTIONS),
                "{external} {round}"
            );
            for port in 1000..1000 + CONNECTIONS {
                let answer = packet((its_mac, nat::G_IN), (inside, "8.8.8.8")).udp(80, port);
                net.send_later(host, answer);
            }
            net.settle();
            assert_eq!(
                net.take("up").len(),
                usize::from(CONNECTIONS),
                "{external} {round}"
            );
        }
    }
    // The answers all come from one port, to the first worker; half of the connections are the second one's.
    let counts = net.moved().join(" ");
    let handed = 2 * 3 * u64::from(CONNECTIONS) / 2;
    assert!(counts.contains(&format!("hand-off {handed},")), "{counts}");
    assert_eq!(
        net.node("gw").connections.len(),
        2 * usize::from(CONNECTIONS)
    );
    net.assert_no_buffer_lost();
}

#[test]
fn the_ring_to_the_owner_is_full() {
    let mut net = two(None, 1);
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.forget();
    // Worker 1 hands over a burst of 32 before worker 0 takes any; the ring holds 8.
    for _ in 0..32 {
        net.send_later("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000));
    }
    net.settle();
    assert_eq!(net.take("vm").len(), 8);
    assert_eq!(
        net.moved(),
        ["gw: drop:hand-off-full 24, established 7, hand-off 32, walk 1"]
    );
    net.assert_no_buffer_lost();
}

#[test]
fn a_worker_without_a_transmit_queue_hands_its_frames_over() {
    let mut net = two(Some((2, 1)), 1024);
    for port in [4000, 4001] {
        net.probe("vm", out("8.8.8.8").udp(port, 53));
    }
    net.forget();
    for port in [4000, 4001] {
        net.send_later("vm", out("8.8.8.8").udp(port, 53));
    }
    net.settle();
    assert_eq!(net.take("up").len(), 2);
    assert_eq!(net.moved(), ["gw: established 2, tx-hand-off 1"]);
    net.assert_no_buffer_lost();
}

/// What a network does with connections from both sides, 10,000 of them over source NAT, a floating IP, a balancer and
/// endpoint-independent NAT, when the card spreads by nothing that has to do with connections.
fn ten_thousand(queue: fn(&[u8]) -> u16, spreads: Vec<Option<Arc<Spread>>>) -> [u64; 4] {
    const EACH: u16 = 2_500;
    let options = NodeOptions {
        workers: 2,
        connections: 65_536,
        spreads,
        ..NodeOptions::default()
    };
    let mut net = nat::nat_on(&all_kinds(), nat::gw(), &options);
    net.queue = queue;
    net.record = false;
    let mut handed = [0; 4];
    for (service, handed) in SERVICES.iter().zip(&mut handed) {
        net.forget();
        for chunk in (0..EACH).step_by(500) {
            for port in 10_000 + chunk..10_000 + chunk + 500 {
                net.send_later(service.asks, service.question(port, tcp::SYN));
            }
            net.settle();
            let ends: Vec<u16> = net
                .take(service.answers)
                .iter()
                .map(|f| source(f))
                .collect();
            assert_eq!(ends.len(), 500, "{}", service.name);
            for end in &ends {
                net.send_later(service.answers, service.answer(*end));
            }
            net.settle();
            assert_eq!(net.take(service.asks).len(), 500, "{}", service.name);
            for port in 10_000 + chunk..10_000 + chunk + 500 {
                net.send_later(service.asks, service.question(port, tcp::ACK));
            }
            net.settle();
            let again: Vec<u16> = net
                .take(service.answers)
                .iter()
                .map(|f| source(f))
                .collect();
            let sorted = |mut ports: Vec<u16>| {
                ports.sort_unstable();
                ports
            };
            // The same ends as before: every connection is one, whichever worker its packets come to.
            assert_eq!(sorted(again), sorted(ends), "{}", service.name);
        }
        let moved = net.moved().join(", ");
        assert!(!moved.contains("drop:"), "{}: {moved}", service.name);
        let counted = moved
            .split(", ")
            .find_map(|count| count.strip_prefix("hand-off "));
        *handed = counted.map_or(0, |count| count.parse().unwrap());
    }
    net.assert_no_buffer_lost();
    handed
}

/// A way through the gateway: who asks whom, and where the question comes out.
struct Service {
    name: &'static str,
    asks: &'static str,
    answers: &'static str,
    /// MACs and addresses of the question.
    question: [(&'static str, &'static str); 2],
    /// MACs and addresses of the answer.
    answer: [(&'static str, &'static str); 2],
}

const SERVICES: [Service; 4] = [
    Service {
        name: "source NAT",
        asks: "vm",
        answers: "up",
        question: [(nat::VM, nat::G_IN), ("10.0.0.10", "8.8.8.8")],
        answer: [(nat::UP, nat::G_OUT), ("8.8.8.8", "203.0.113.1")],
    },
    Service {
        name: "floating IP",
        asks: "up",
        answers: "vm2",
        question: [(nat::UP, nat::G_OUT), ("8.8.4.4", "203.0.113.11")],
        answer: [(nat::VM2, nat::G_IN), ("10.0.0.11", "8.8.4.4")],
    },
    Service {
        name: "balancer",
        asks: "up",
        answers: "vm",
        question: [(nat::UP, nat::G_OUT), ("8.8.4.4", "203.0.113.5")],
        answer: [(nat::VM, nat::G_IN), ("10.0.0.10", "8.8.4.4")],
    },
    Service {
        name: "endpoint-independent NAT",
        asks: "vm2",
        answers: "up",
        question: [(nat::VM2, nat::G_IN), ("10.0.0.99", "9.9.9.9")],
        answer: [(nat::UP, nat::G_OUT), ("9.9.9.9", "203.0.113.99")],
    },
];

impl Service {
    fn question(&self, port: u16, flags: u8) -> Builder {
        packet(self.question[0], self.question[1]).tcp(port, 80, flags)
    }

    fn answer(&self, port: u16) -> Builder {
        packet(self.answer[0], self.answer[1]).tcp(80, port, tcp::SYN | tcp::ACK)
    }
}

fn source(frame: &[u8]) -> u16 {
    match parse(frame).map(|headers| headers.l3) {
        Ok(L3::Ip(ip)) => ip.ports().unwrap().0,
        _ => panic!("{}", sluice_net::show(frame)),
    }
}

fn all_kinds() -> String {
    const RULES: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5" = ["10.0.0.10"] }
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.1"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.99"
external_ip = "203.0.113.99"
mapping = "endpoint-independent"
"#;
    let balanced = "[router.g]\nload_balancers = [\"web\"]\n";
    let topology = nat::TOPOLOGY
        .replace("[router.g]\n", balanced)
        .replace("10.0.0.11\"]", "10.0.0.11 10.0.0.99\"]");
    [&topology, RULES].concat()
}

/// A card that spreads as we know: source NAT needs no hand-off. Of the others the addresses decide, for all connections alike
/// as the hash is linear: the first answer to each of the balancer's comes to the other worker, and what follows to
/// its owner.
#[test]
fn ten_thousand_connections_over_a_card_that_hashes() {
    let handed = ten_thousand(by_spread, vec![Some(spread()); 4]);
    assert_eq!(handed, [0, 0, 2_500, 0]);
}

/// A card without a hash, which gives packets in turn to its queues: nothing is lost and nothing is mixed up.
#[test]
fn ten_thousand_connections_over_a_card_without_a_hash() {
    fn in_turn(_: &[u8]) -> u16 {
        thread_local!(static TURN: std::cell::Cell<u16> = const { std::cell::Cell::new(0) });
        TURN.with(|turn| {
            turn.set(turn.get() ^ 1);
            turn.get()
        })
    }
    for handed in ten_thousand(in_turn, Vec::new()) {
        assert!(handed > 0, "packets in turn come to the other worker too");
    }
}
