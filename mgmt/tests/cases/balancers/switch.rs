//! Of switches: where the client's packet enters, for its clients only.

use std::collections::BTreeMap;

use sluice_fastpath::counters::Work;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, tcp};

use super::*;
use crate::cases::openings::work;
use crate::support::family::{self, Error, both_families};
use crate::support::ip;
use crate::support::{device_mac, v4};

/// Where the client's packet enters the switch, and for its clients only.
fn a_switchs_virtual_ip() {
    let mut net = network(&topology(""));
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    for port in 4000..4200 {
        let (backend, (src, dst)) =
            reached(&mut net, "c", from_c("192.0.2.2").tcp(port, 80, tcp::SYN));
        assert_eq!((src, dst), (port, 8080));
        *shares.entry(backend.0).or_default() += 1;
        let answer = from(backend, "10.1.0.20").tcp(8080, port, tcp::SYN | tcp::ACK);
        let wanted =
            format!("c: {R_CLIENTS} > {C} 192.0.2.2.80 > 10.1.0.20.{port} tcp [S.] ttl 63 len 40");
        net.moved();
        let mut ways = vec!["gw: walk 1"];
        ways.extend((port == 4000).then_some("gw: established 1"));
        for moved in ways {
            net.probe(backend.0, answer.clone())
                .expect("answer", &[&wanted], &[moved]);
        }
        if port == 4000 {
            assert_eq!(
                reached(&mut net, "c", from_c("192.0.2.2").tcp(port, 80, tcp::ACK)).0,
                backend
            );
            assert_eq!(net.moved(), ["gw: established 1"]);
        }
    }
    assert!(
        shares.len() == 2 && shares.values().all(|share| *share > 60),
        "{shares:?}"
    );
    // Another port, and another switch's VIF: as if there were no balancer.
    let outcome = net.probe("c", from_c("192.0.2.2").tcp(4000, 81, tcp::SYN));
    assert!(outcome.got[0].starts_with("up:"), "{outcome:?}");
    let outcome = net.probe("b1", from(B1, "192.0.2.2").tcp(4000, 80, tcp::SYN));
    assert!(outcome.got[0].starts_with("up:"), "{outcome:?}");
    // What else the client sends is none of the balancer's business, and takes the cached way.
    net.probe("c", from_c("9.9.9.9").udp(7000, 53));
    let walked = work(&net, Work::Walk);
    let outcome = net.probe("c", from_c("9.9.9.9").udp(7001, 53));
    assert_eq!(outcome.got.len(), 1);
    if family::is_v6() {
        // Without a connection it has a cached way past one router, not past two.
        return;
    }
    assert_eq!(work(&net, Work::Walk), walked);
    // What it sends to the balancer does not, though the next hop is the same.
    reached(&mut net, "c", from_c("192.0.2.2").tcp(7001, 80, tcp::SYN));
    assert_eq!(work(&net, Work::Walk), walked + 1);
}

/// A backend on another chassis answers by the switch of the client, which that chassis has routed to.
fn a_switchs_backend_on_another_chassis() {
    let far = topology("").replace(
        "\"10.0.0.11:8080\", \"10.0.0.12:8080\"",
        "\"10.0.0.13:8080\"",
    );
    let mut net = network(&far);
    let outcome = net.probe("c", from_c("192.0.2.2").tcp(4000, 80, tcp::SYN));
    assert!(
        outcome.got[0].contains("10.1.0.20.4000 > 10.0.0.13.8080 tcp [S] ttl 63"),
        "{outcome:?}"
    );
    let (vni, out_key) = net.node("gw").keys("clients", "c");
    let (_, in_key) = net.node("gw").keys("clients", "clients-r");
    let send = |inner: Builder| {
        let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
            .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
        inner.encap_geneve(outer, vni, Some(OvnOption { in_key, out_key }))
    };
    let inner = packet((R_CLIENTS, C), ("10.0.0.13", "10.1.0.20")).ttl(63);
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe(
            "hv",
            send(inner.clone().tcp(8080, 4000, tcp::SYN | tcp::ACK)),
        )
        .expect(
            "answer",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.80 > 10.1.0.20.4000 tcp [S.] ttl 63 len 40"
            )],
            &[moved],
        );
    }
    // An error of the backend, and one of the client.
    let seen = packet((R_IN, R_IN), ("10.1.0.20", "10.0.0.13"))
        .tcp(4000, 8080, tcp::SYN)
        .build();
    let refused = inner.error(icmpv4::UNREACHABLE, 3).payload(&seen[14..]);
    net.probe("hv", send(refused)).expect(
        "error",
        &[&format!("c: {R_CLIENTS} > {C} 192.0.2.2 > 10.1.0.20 icmp error 3/3 about 10.1.0.20.4000 > 192.0.2.2.80 tcp ttl 63 len 68")],
        &["gw: walk 1"],
    );
    let seen = packet((R_CLIENTS, C), ("192.0.2.2", "10.1.0.20"))
        .tcp(80, 4000, tcp::ACK)
        .build();
    let refused = from_c("192.0.2.2")
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&seen[14..]);
    let outcome = net.probe("c", refused);
    assert!(
        outcome.got[0].contains(
            "10.1.0.20 > 10.0.0.13 icmp error 3/3 about 10.0.0.13.8080 > 10.1.0.20.4000 tcp"
        ),
        "{outcome:?}"
    );
}

/// A client behind a chassis that knows no port keys: its packets enter the switch here.
fn a_switchs_client_on_a_chassis_without_port_keys() {
    let mut net = network(&topology(""));
    let (vni, _) = net.node("gw").keys("clients", "cx");
    let send = |inner: Builder| {
        let outer = Builder::ethernet(device_mac("vx", "underlay"), device_mac("gw", "eth0"))
            .ipv4(v4("172.16.0.4"), v4("172.16.0.1"));
        inner.encap_vxlan(outer, vni)
    };
    const CX: &str = "02:00:00:00:01:22";
    let from_cx = |dst: &str| packet((CX, R_CLIENTS), ("10.1.0.22", dst));
    for port in [4000, 4001, 4002, 4003] {
        let syn = from_cx("192.0.2.2").tcp(port, 80, tcp::SYN);
        let (backend, (src, dst)) = reached(&mut net, "vx", send(syn));
        assert_eq!((src, dst), (port, 8080));
        net.moved();
        for moved in ["gw: walk 1", "gw: established 1"] {
            let answer = from(backend, "10.1.0.22").tcp(8080, port, tcp::SYN | tcp::ACK);
            let outcome = net.probe(backend.0, answer);
            let wanted = format!(
                "[{R_CLIENTS} > {CX} 192.0.2.2.80 > 10.1.0.22.{port} tcp [S.] ttl 63 len 40]"
            );
            assert!(outcome.got[0].ends_with(&wanted), "{outcome:?}");
            assert_eq!(outcome.moved, [moved]);
        }
        let ack = from_cx("192.0.2.2").tcp(port, 80, tcp::ACK);
        assert_eq!(reached(&mut net, "vx", send(ack)).0, backend);
        assert_eq!(net.moved(), ["gw: established 1"]);
    }
}

/// A virtual IP in the clients' own network: the router answers for it, and a backend may be beside the client.
fn a_switchs_virtual_ip_in_its_subnet() {
    let near = topology("")
        .replace("192.0.2.2:80", "10.1.0.99:80")
        .replace("\"10.0.0.12:8080\"", "\"10.1.0.22:8080\"");
    let mut net = network(&near);
    let question = family::question(mac(C), ip("10.1.0.20"), ip("10.1.0.99"));
    let outcome = net.probe("c", question);
    assert_eq!(
        outcome.got,
        [format!(
            "c: {R_CLIENTS} > {C} arp reply 10.1.0.99 to 10.1.0.20 sender {R_CLIENTS}"
        )]
    );
    let mut seen = [false; 2];
    for port in 4000..4020 {
        let outcome = net.probe("c", from_c("10.1.0.99").tcp(port, 80, tcp::SYN));
        let beside = outcome.got[0].contains("> 10.1.0.22.8080 tcp [S] ttl 63");
        assert!(
            beside || outcome.got[0].contains("> 10.0.0.11.8080 tcp [S] ttl 63"),
            "{outcome:?}"
        );
        seen[usize::from(beside)] = true;
        let outcome = if beside {
            // It answers by the switch alone.
            let (vni, _) = net.node("gw").keys("clients", "cx");
            let outer = Builder::ethernet(device_mac("vx", "underlay"), device_mac("gw", "eth0"))
                .ipv4(v4("172.16.0.4"), v4("172.16.0.1"));
            let inner = packet(("02:00:00:00:01:22", C), ("10.1.0.22", "10.1.0.20")).tcp(
                8080,
                port,
                tcp::SYN | tcp::ACK,
            );
            net.probe("vx", inner.encap_vxlan(outer, vni))
        } else {
            net.probe(
                "b1",
                from(B1, "10.1.0.20").tcp(8080, port, tcp::SYN | tcp::ACK),
            )
        };
        let wanted = format!("10.1.0.99.80 > 10.1.0.20.{port} tcp [S.]");
        assert!(outcome.got[0].contains(&wanted), "{outcome:?}");
    }
    assert_eq!(seen, [true, true]);
}

/// A router on the way that could translate and does not: the answer comes straight to the client's switch, since the
/// backend's chassis routes too.
fn a_switchs_balancer_beside_a_gateway_port() {
    let distributed = topology("")
        .replace("chassis = \"gw\"\nload_balancers", "load_balancers")
        .replace(
            "networks = [\"203.0.113.1/24\"]",
            "networks = [\"203.0.113.1/24\"]\ngateway_chassis = { gw = 1 }",
        )
        .replace("router_port = \"r-clients\"", "router_port = \"g-clients\"")
        .replace("router_port = \"r-in\"", "router_port = \"g-in\"")
        .replace("[router.r.port.r-clients]", "[router.g.port.g-clients]")
        .replace("[router.r.port.r-in]", "[router.g.port.g-in]")
        .replace(
            "ip_prefix = \"10.0.0.0/15\"",
            "ip_prefix = \"10.200.0.0/15\"",
        )
        .replace(
            "\"10.0.0.11:8080\", \"10.0.0.12:8080\"",
            "\"10.0.0.13:8080\"",
        );
    let mut net = network(&distributed);
    let outcome = net.probe("c", from_c("192.0.2.2").tcp(4000, 80, tcp::SYN));
    assert!(
        outcome.got[0].contains("10.1.0.20.4000 > 10.0.0.13.8080 tcp [S] ttl 63"),
        "{outcome:?}"
    );
    let (vni, out_key) = net.node("gw").keys("clients", "c");
    let (_, in_key) = net.node("gw").keys("clients", "clients-r");
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    let answer = packet((R_CLIENTS, C), ("10.0.0.13", "10.1.0.20"))
        .ttl(63)
        .tcp(8080, 4000, tcp::SYN | tcp::ACK)
        .encap_geneve(outer, vni, Some(OvnOption { in_key, out_key }));
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe("hv", answer.clone()).expect(
            "answer",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.80 > 10.1.0.20.4000 tcp [S.] ttl 63 len 40"
            )],
            &[moved],
        );
    }
}

/// A client that is the backend: its packets come back to it from the virtual IP, and so do its answers.
fn a_switchs_client_that_is_its_backend() {
    let own = topology("").replace(
        "\"10.0.0.11:8080\", \"10.0.0.12:8080\"",
        "\"10.1.0.20:8080\"",
    );
    let mut net = network(&own);
    net.probe("c", from_c("192.0.2.2").tcp(4000, 80, tcp::SYN))
        .expect(
            "there",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.4000 > 10.1.0.20.8080 tcp [S] ttl 63 len 40"
            )],
            &["gw: opened 1, walk 1"],
        );
    for moved in ["gw: walk 1", "gw: established 1"] {
        net.probe(
            "c",
            from_c("192.0.2.2").tcp(8080, 4000, tcp::SYN | tcp::ACK),
        )
        .expect(
            "and back",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.80 > 10.1.0.20.4000 tcp [S.] ttl 63 len 40"
            )],
            &[moved],
        );
    }
    net.probe("c", from_c("192.0.2.2").tcp(4000, 80, tcp::ACK))
        .expect(
            "then",
            &[&format!(
                "c: {R_CLIENTS} > {C} 192.0.2.2.4000 > 10.1.0.20.8080 tcp [.] ttl 63 len 40"
            )],
            &["gw: established 1"],
        );
}

both_families! {
    a_switchs_virtual_ip,
    a_switchs_backend_on_another_chassis,
    a_switchs_client_on_a_chassis_without_port_keys,
    a_switchs_virtual_ip_in_its_subnet,
    a_switchs_balancer_beside_a_gateway_port,
    a_switchs_client_that_is_its_backend,
}
