//! Of routers, and what holds for both.

use std::collections::BTreeMap;

use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, tcp};

use super::*;
use crate::support::family::{self, Error, both_families};
use crate::support::ip;
use crate::support::{device_mac, v4};

fn connections_are_shared_and_stay_where_they_are() {
    let mut net = network(&topology(""));
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    for port in 1..=2000 {
        let (backend, ports) =
            reached(&mut net, "up", ask("203.0.113.5").tcp(port, 8000, tcp::SYN));
        assert_eq!(ports, (port, 8000));
        *shares.entry(backend.0).or_default() += 1;
    }
    assert!(
        shares.values().all(|share| (900..=1100).contains(share)),
        "{shares:?}"
    );
    net.forget();
    for port in [1, 1000, 2000] {
        let syn = ask("203.0.113.5").tcp(port, 8000, tcp::SYN);
        let (backend, _) = reached(&mut net, "up", syn);
        let answer = from(backend, "8.8.8.8").tcp(8000, port, tcp::SYN | tcp::ACK);
        let wanted =
            format!("up: {G_OUT} > {UP} 203.0.113.5.8000 > 8.8.8.8.{port} tcp [S.] ttl 62 len 40");
        net.moved();
        for moved in ["gw: walk 1", "gw: established 1"] {
            net.probe(backend.0, answer.clone())
                .expect("answer", &[&wanted], &[moved]);
        }
        let ack = ask("203.0.113.5").tcp(port, 8000, tcp::ACK);
        assert_eq!(reached(&mut net, "up", ack).0, backend);
        assert_eq!(net.moved(), ["gw: established 1"]);
    }
}

fn ports_change_and_a_backend_on_another_chassis_answers() {
    let mut net = network(&topology(""));
    let mut far = None;
    let mut near = 0;
    for port in 1..60 {
        let frame = ask("203.0.113.6").udp(port, 53);
        let outcome = net.probe("up", frame);
        let [got] = &outcome.got[..] else {
            panic!("{outcome:?}")
        };
        if got.starts_with("b1") {
            assert!(
                got.contains(&format!("8.8.8.8.{port} > 10.0.0.11.5353 udp ttl 62")),
                "{got}"
            );
            near += 1;
        } else {
            assert!(
                got.contains(&format!("8.8.8.8.{port} > 10.0.0.13.5353 udp ttl 62")),
                "{got}"
            );
            far = Some(port);
        }
    }
    let port = far.expect("one of sixty");
    assert!(near > 10, "{near}");
    // Its host routes the answer and sends it to the router's chassis over the switch between the routers.
    let (vni, out_key) = net.node("gw").keys("join", "join-g");
    let (_, in_key) = net.node("gw").keys("join", "join-r");
    let answer = packet(
        ("02:00:00:00:02:03", "02:00:00:00:02:04"),
        ("10.0.0.13", "8.8.8.8"),
    )
    .ttl(63)
    .udp(5353, port);
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    let frame = answer.encap_geneve(outer, vni, Some(OvnOption { in_key, out_key }));
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("hv", frame.clone()).expect(
            "from far",
            &[&format!(
                "up: {G_OUT} > {UP} 203.0.113.6.53 > 8.8.8.8.{port} udp ttl 62 len 28"
            )],
            &[moved],
        );
    }
    // Another port of the address is nobody's.
    net.probe("up", ask("203.0.113.6").tcp(1, 53, tcp::SYN))
        .expect("tcp", &[], &["gw: drop:router-local 1, walk 1"]);
}

fn an_address_without_ports_takes_everything() {
    let mut net = network(&topology(""));
    let (backend, _) = reached(
        &mut net,
        "up",
        ask("203.0.113.5").icmp_echo(Echo::Request, 77, 1),
    );
    net.probe(
        backend.0,
        from(backend, "8.8.8.8").icmp_echo(Echo::Reply, 77, 1),
    )
    .expect(
        "echo",
        &[&format!(
            "up: {G_OUT} > {UP} 203.0.113.5 > 8.8.8.8 icmp echo reply id 77 ttl 62 len 28"
        )],
        &["gw: walk 1"],
    );
    let ask_mac = family::question(mac(UP), ip("203.0.113.254"), ip("203.0.113.5"));
    let outcome = net.probe("up", ask_mac);
    assert_eq!(
        outcome.got,
        [format!(
            "up: {G_OUT} > {UP} arp reply 203.0.113.5 to 203.0.113.254 sender {G_OUT}"
        )]
    );
}

/// Clients inside go through the gateway both ways, since it translates their source too; a backend that is its own
/// client as well.
fn clients_inside_reach_a_routers_virtual_ip() {
    let mut net = network(&topology(""));
    let mut seen = [false; 2];
    for port in 4000..4020 {
        for (host, frame) in [
            ("c", from_c("203.0.113.5").tcp(port, 80, tcp::SYN)),
            ("b1", from(B1, "203.0.113.5").tcp(port, 80, tcp::SYN)),
        ] {
            let client = if host == "c" { "10.1.0.20" } else { B1.2 };
            let (backend, (src, dst)) = reached(&mut net, host, frame);
            assert_eq!(dst, 80);
            seen[usize::from(backend == B2)] = true;
            let answer = from(backend, "203.0.113.1").tcp(80, src, tcp::SYN | tcp::ACK);
            let outcome = net.probe(backend.0, answer);
            let wanted = format!("203.0.113.5.80 > {client}.{port} tcp [S.] ttl 61 len 40");
            assert!(outcome.got[0].ends_with(&wanted), "{outcome:?}");
        }
    }
    assert_eq!(seen, [true, true]);
}

fn sources_forced_skipped_and_to_themselves() {
    // Whoever asks, the backend sees the router.
    let forced = topology("").replace(
        "chassis = \"gw\"\nload_b",
        "chassis = \"gw\"\nlb_force_snat_ip = \"10.9.0.2\"\nload_b",
    );
    let mut net = network(&forced);
    net.send("up", ask("203.0.113.5").tcp(5000, 80, tcp::SYN));
    let (backend, frame) = [B1, B2]
        .into_iter()
        .find_map(|backend| Some((backend, net.take(backend.0).pop()?)))
        .unwrap();
    let ip = *parse(&frame).unwrap().ip().unwrap();
    assert_eq!(
        (family::text(ip.src), ip.ports()),
        ("10.9.0.2".to_owned(), Some((5000, 80)))
    );
    let answer = from(backend, "10.9.0.2").tcp(80, 5000, tcp::SYN | tcp::ACK);
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.moved();
        net.probe(backend.0, answer.clone()).expect(
            "forced",
            &[&format!(
                "up: {G_OUT} > {UP} 203.0.113.5.80 > 8.8.8.8.5000 tcp [S.] ttl 62 len 40"
            )],
            &[moved],
        );
    }
    // Skipped: the client inside is seen as it is; to itself it must seem to be the virtual IP.
    let skipped = forced.replace(
        "[load_balancer.web]\n",
        "[load_balancer.web]\nskip_snat = true\nhairpin_snat_ip = \"203.0.113.77\"\n",
    );
    let mut net = network(&skipped);
    let mut sources: BTreeMap<(&str, String), u32> = BTreeMap::new();
    for port in 4000..4040 {
        net.send("b1", from(B1, "203.0.113.5").tcp(port, 80, tcp::SYN));
        for backend in [B1, B2] {
            for frame in net.take(backend.0) {
                let ip = *parse(&frame).unwrap().ip().unwrap();
                *sources
                    .entry((backend.0, family::text(ip.src)))
                    .or_default() += 1;
                if backend == B1 {
                    let answer = from(B1, "203.0.113.77").tcp(
                        80,
                        ip.ports().unwrap().0,
                        tcp::SYN | tcp::ACK,
                    );
                    let outcome = net.probe("b1", answer);
                    let wanted =
                        format!("203.0.113.5.80 > 10.0.0.11.{port} tcp [S.] ttl 61 len 40");
                    assert!(outcome.got[0].ends_with(&wanted), "{outcome:?}");
                }
            }
        }
    }
    let who: Vec<_> = sources
        .keys()
        .map(|(at, from)| (*at, from.as_str()))
        .collect();
    assert_eq!(who, [("b1", "203.0.113.77"), ("b2", "10.0.0.11")]);
}

/// The address of the port that a packet leaves by, whatever that is.
#[test]
fn sources_forced_to_the_routers_own() {
    let forced = topology("").replace(
        "chassis = \"gw\"\nload_b",
        "chassis = \"gw\"\nlb_force_snat_ip = \"router_ip\"\nload_b",
    );
    let mut net = network(&forced);
    net.send("up", ask("203.0.113.5").tcp(5000, 80, tcp::SYN));
    let (backend, frame) = [B1, B2]
        .into_iter()
        .find_map(|backend| Some((backend, net.take(backend.0).pop()?)))
        .unwrap();
    let ip = *parse(&frame).unwrap().ip().unwrap();
    assert_eq!(
        (ip.src.to_string(), ip.ports()),
        ("10.9.0.2".to_owned(), Some((5000, 80)))
    );
    let answer = from(backend, "10.9.0.2").tcp(80, 5000, tcp::SYN | tcp::ACK);
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.moved();
        net.probe(backend.0, answer.clone()).expect(
            "forced",
            &[&format!(
                "up: {G_OUT} > {UP} 203.0.113.5.80 > 8.8.8.8.5000 tcp [S.] ttl 62 len 40"
            )],
            &[moved],
        );
    }
    // The router itself still answers at it.
    net.hosts.get_mut("up").unwrap().answers = true;
    assert_eq!(net.ping("up", "203.0.113.1"), Some(254));
    // Another reload without it ends the connection.
    net.reload(&topology(""));
    for _ in 0..300 {
        net.run(1);
    }
    assert_eq!(net.node("gw").connections.len(), 0);
}

fn nobody_serves() {
    let none = topology("")
        .replace("[\"10.0.0.11\", \"10.0.0.12\"]", "[]")
        .replace("[\"10.0.0.11:8080\", \"10.0.0.12:8080\"]", "[]");
    let mut net = network(&none);
    net.probe("up", ask("203.0.113.5").tcp(5000, 80, tcp::SYN))
        .expect("dropped", &[], &["gw: drop:no-backend 1, walk 1"]);
    net.probe("c", from_c("192.0.2.2").tcp(5000, 80, tcp::SYN))
        .expect("dropped", &[], &["gw: drop:no-backend 1, walk 1"]);
    let told = none
        .replace(
            "[load_balancer.web]\n",
            "[load_balancer.web]\nreject = true\n",
        )
        .replace(
            "[load_balancer.inner]\n",
            "[load_balancer.inner]\nreject = true\n",
        );
    let mut net = network(&told);
    let outcome = net.probe("up", ask("203.0.113.5").udp(5000, 80));
    assert!(
        outcome.got[0].contains("icmp error 3/3 about 8.8.8.8.5000 > 203.0.113.5.80"),
        "{outcome:?}"
    );
    // TCP is reset in the name of the service, of a router and of a switch.
    net.probe("up", ask("203.0.113.5").tcp(5000, 80, tcp::SYN))
        .expect(
            "reset by the router",
            &[&format!(
                "up: {G_OUT} > {UP} 203.0.113.5.80 > 8.8.8.8.5000 tcp [R.] ttl 254 len 40"
            )],
            &["gw: drop:no-backend 1, injected 1, slow:punts 1, slow:refusals-sent 1, walk 2"],
        );
    net.probe("c", from_c("192.0.2.2").tcp(5000, 80, tcp::SYN))
        .expect(
            "reset at the switch",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.80 > 10.1.0.20.5000 tcp [R.] ttl 254 len 40"
            )],
            &["gw: drop:no-backend 1, injected 1, slow:punts 1, slow:refusals-sent 1, walk 2"],
        );
}

fn icmp_errors_about_balanced_connections() {
    let mut net = network(&topology(""));
    let (backend, _) = reached(&mut net, "up", ask("203.0.113.5").udp(5000, 80));
    let seen = packet((R_IN, backend.1), ("8.8.8.8", backend.2))
        .udp(5000, 80)
        .build();
    let refused = from(backend, "8.8.8.8")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    net.forget();
    net.probe(backend.0, refused).expect(
        "of the backend",
        &[&format!("up: {G_OUT} > {UP} 203.0.113.5 > 8.8.8.8 icmp error 3/3 about 8.8.8.8.5000 > 203.0.113.5.80 udp ttl 62 len 56")],
        &["gw: walk 1"],
    );
    let seen = packet((UP, UP), ("203.0.113.5", "8.8.8.8"))
        .udp(80, 5000)
        .build();
    let expired = packet((UP, G_OUT), ("198.51.100.7", "203.0.113.5"))
        .error(icmpv4::TIME_EXCEEDED, 0)
        .payload(&seen[14..]);
    net.probe("up", expired).expect(
        "of the way",
        &[&format!("{}: {R_IN} > {} 198.51.100.7 > {} icmp error 11/0 about {}.80 > 8.8.8.8.5000 udp ttl 62 len 56", backend.0, backend.1, backend.2, backend.2)],
        &["gw: walk 1"],
    );
}

/// For a minute from its last connection, whatever is added meanwhile; then it is as new.
fn a_client_stays_with_its_backend_for_a_while() {
    let affine = topology("").replace(
        "[load_balancer.web]\n",
        "[load_balancer.web]\naffinity_timeout = 60\n",
    );
    let mut net = network(&affine);
    let mut next = 1;
    let mut served = |net: &mut Network| {
        next += 1;
        let outcome = net.probe("up", ask("203.0.113.5").udp(next, 80));
        let (host, _) = outcome.got[0].split_once(':').unwrap();
        host.to_owned()
    };
    let first = served(&mut net);
    for _ in 0..50 {
        assert_eq!(served(&mut net), first);
    }
    net.reload(&affine.replace("\"10.0.0.12\"]", "\"10.0.0.12\", \"10.0.0.13\"]"));
    net.run(50_000);
    for _ in 0..50 {
        assert_eq!(served(&mut net), first);
    }
    let later = (0..20).filter(|_| {
        net.run(61_000);
        served(&mut net) != first
    });
    assert!(later.count() > 4);
}

both_families! {
    connections_are_shared_and_stay_where_they_are,
    ports_change_and_a_backend_on_another_chassis_answers,
    an_address_without_ports_takes_everything,
    clients_inside_reach_a_routers_virtual_ip,
    sources_forced_skipped_and_to_themselves,
    nobody_serves,
    icmp_errors_about_balanced_connections,
    a_client_stays_with_its_backend_for_a_while,
}
