//! Routers: TTL, MTU, routes, errors, neighbors.

use sluice_net::builder::Echo;
use sluice_net::wire::{ip_proto, nd, tcp};
use sluice_net::{Builder, Fragment, parse};

use super::lab::*;
use crate::support::{BROADCAST, Host, Network, NodeFile, mac, packet, v4, v6};

#[test]
fn between_two_switches_in_both_families() {
    let mut net = lab();
    net.probe("a", from_a("10.2.0.10")).expect(
        "IPv4",
        &["d: 02:00:00:00:01:02 > 02:00:00:00:00:0d 10.1.0.10.1000 > 10.2.0.10.2000 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
    let v6 = packet((A, R_LEFT), ("fd00:1::10", "fd00:2::10")).tcp(1, 2, tcp::SYN);
    net.probe("a", v6).expect(
        "IPv6",
        &["d: 02:00:00:00:01:02 > 02:00:00:00:00:0d fd00:1::10.1 > fd00:2::10.2 tcp [S] ttl 63 len 60"],
        &["gw: walk 1"],
    );
}

#[test]
fn echo_to_router_addresses() {
    let mut net = lab();
    for (from, to) in [
        ("10.1.0.10", "10.1.0.1"),
        ("10.1.0.10", "10.2.0.1"),
        ("fd00:1::10", "fd00:1::1"),
        ("fd00:1::10", "fd00:2::1"),
    ] {
        let icmp = if from.contains(':') { "icmp6" } else { "icmp" };
        let len = if from.contains(':') { 1348 } else { 1328 };
        // A hop away from its own address, the reply starts at 255.
        let reply =
            format!("a: {R_LEFT} > {A} {to} > {from} {icmp} echo reply id 9 ttl 254 len {len}");
        net.probe(
            "a",
            packet((A, R_LEFT), (from, to))
                .icmp_echo(Echo::Request, 9, 1)
                .payload(&[3; 1300]),
        )
        .expect(
            to,
            &[&reply],
            &["gw: injected 1, punt:icmp 1, slow:echo-replies 1, slow:punts 1, walk 2"],
        );
    }
}

#[test]
fn link_local_addresses_of_a_router_answer_on_their_link() {
    let mut net = lab();
    // Made of the MACs of the port and of the VM (RFC 4291 appendix A).
    let own = "fe80::ff:fe00:101";
    for (from, to) in [
        ("fe80::ff:fe00:a", own),
        ("fe80::ff:fe00:a", "fd00:1::1"),
        ("fd00:1::10", own),
    ] {
        let reply = format!("a: {R_LEFT} > {A} {to} > {from} icmp6 echo reply id 9 ttl 255 len 56");
        net.probe(
            "a",
            packet((A, R_LEFT), (from, to))
                .icmp_echo(Echo::Request, 9, 1)
                .payload(&[3; 8]),
        )
        .expect(
            to,
            &[&reply],
            &["gw: injected 1, punt:icmp 1, slow:echo-replies 1, slow:punts 1, walk 2"],
        );
    }
}

/// Name, frame, what the sender is told, and the reason counted.
type Told = (&'static str, Builder, String, &'static str);

#[test]
fn errors_come_from_the_port_the_packet_came_in_by() {
    let v4_error = |code: &str, about: &str, len: usize| {
        format!(
            "a: {R_LEFT} > {A} 10.1.0.1 > 10.1.0.10 icmp error {code} about 10.1.0.10.1000 > {about}.2000 udp ttl 254 tos 0xc0 len {len}"
        )
    };
    let v6_error = |code: &str, about: &str, len: usize| {
        format!(
            "a: {R_LEFT} > {A} fd00:1::1 > fd00:1::10 icmp6 error {code} about fd00:1::10.1000 > {about}.2000 udp ttl 254 tos 0xc0 len {len}"
        )
    };
    let v6 = |to: &str| packet((A, R_LEFT), ("fd00:1::10", to)).udp(1000, 2000);
    let cases: Vec<Told> = vec![
        (
            "TTL 1",
            from_a("10.2.0.10").ttl(1),
            v4_error("11/0", "10.2.0.10", 56),
            "ttl-exceeded",
        ),
        (
            "TTL 0",
            from_a("10.2.0.10").ttl(0),
            v4_error("11/0", "10.2.0.10", 56),
            "ttl-exceeded",
        ),
        (
            "hop limit 1",
            v6("fd00:2::10").ttl(1),
            v6_error("3/0", "fd00:2::10", 96),
            "ttl-exceeded",
        ),
        (
            "no route",
            from_a("203.0.113.1"),
            v4_error("3/0", "203.0.113.1", 56),
            "no-route",
        ),
        (
            "no IPv6 route",
            v6("2001:db8::1"),
            v6_error("1/0", "2001:db8::1", 96),
            "no-route",
        ),
        (
            "no service",
            from_a("10.1.0.1"),
            v4_error("3/3", "10.1.0.1", 56),
            "router-local",
        ),
        (
            "no service at the other port",
            from_a("10.2.0.1"),
            v4_error("3/3", "10.2.0.1", 56),
            "router-local",
        ),
        (
            "too big, DF",
            from_a("10.2.0.10").dont_fragment(true).payload(&[0; 1373]),
            v4_error("3/4", "10.2.0.10", 576),
            "too-big",
        ),
        (
            "too big, IPv6",
            v6("fd00:2::10").payload(&[0; 1353]),
            v6_error("2/0", "fd00:2::10", 1280),
            "too-big",
        ),
    ];
    let mut net = lab();
    for (name, frame, told, reason) in cases {
        let moved = format!(
            "gw: drop:{reason} 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"
        );
        net.forget();
        net.send("a", frame);
        let error = net.take_one("a");
        assert_eq!(format!("a: {}", sluice_net::show(&error)), told, "{name}");
        assert_eq!(net.moved(), [moved], "{name}");
        if reason == "too-big" {
            let at = usize::from(parse(&error).unwrap().ip().unwrap().l4_offset);
            assert_eq!(
                error[at + 4..at + 8],
                [0, 0, 0x05, 0x78],
                "{name}: the MTU is 1400"
            );
        }
    }
    // The largest that fits.
    let fits = from_a("10.2.0.10").dont_fragment(true).payload(&[0; 1372]);
    assert_eq!(net.probe("a", fits).moved, ["gw: walk 1"]);
}

#[test]
pub fn nobody_is_told_about_these() {
    let mut net = lab();
    let quoted = from_a("10.2.0.10").build();
    let error = packet((B, R_LEFT), ("10.1.0.11", "203.0.113.1"))
        .icmp(3, 3, [0; 4])
        .payload(&quoted[14..]);
    let later = packet((B, R_LEFT), ("10.1.0.11", "203.0.113.1"))
        .protocol(ip_proto::UDP)
        .fragment(64, false)
        .payload(&[0; 64]);
    for (name, frame) in [("about an error", error), ("about a later fragment", later)] {
        net.probe("b", frame).expect(
            name,
            &[],
            &["gw: drop:no-route 1, slow:icmp-errors-withheld 1, slow:punts 1, walk 1"],
        );
    }
}

#[test]
pub fn errors_are_limited() {
    let mut net = lab();
    for _ in 0..100 {
        net.send_later("a", from_a("203.0.113.1"));
    }
    net.settle();
    let told = net.take("a").len();
    assert!(
        (10..=30).contains(&told),
        "{told} errors to one source at once"
    );
    net.run(1000);
    net.send("a", from_a("203.0.113.1"));
    assert_eq!(net.take("a").len(), 1, "a second later there is room again");
}

#[test]
fn fragments_of_a_packet_without_df() {
    let mut net = lab();
    let payload: Vec<u8> = (0..3000u16).map(|n| n as u8).collect();
    net.send("a", from_a("10.2.0.10").ip_id(77).payload(&payload));
    let pieces = net.take("d");
    assert_eq!(
        net.moved(),
        [
            "gw: injected 3, punt:icmp 1, slow:fragmented 1, slow:fragments-sent 3, slow:punts 1, walk 4"
        ]
    );
    let mut whole = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let headers = parse(piece).unwrap();
        let ip = headers.ip().unwrap();
        assert_eq!(
            (ip.ttl, ip.fragment_id, headers.eth_src),
            (63, 77, mac(R_RIGHT))
        );
        assert!(ip.total_len <= 1400);
        assert_eq!(ip.fragment == Fragment::First, number == 0);
        let offset = usize::from(u16::from_be_bytes([piece[20], piece[21]]) & 0x1fff) * 8;
        assert_eq!(offset, whole.len());
        whole.extend_from_slice(&piece[34..14 + usize::from(ip.total_len)]);
    }
    assert_eq!(whole[8..], payload);
    net.assert_no_buffer_lost();
}

/// A gateway router with an external wire on which nothing is known before it is asked for.
const OUTSIDE: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.in.port.vm]
addresses = ["02:00:00:00:00:10 10.0.0.10 fd00::10"]
chassis = "gw"
[switch.in.port.in-g]
type = "router"
router_port = "g-in"
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
networks = ["10.0.0.1/24", "fd00::1/64"]
[router.g.port.g-out]
mac = "02:00:00:00:01:02"
networks = ["203.0.113.1/24", "2001:db8::1/64"]
[[router.g.route]]
ip_prefix = "198.51.100.0/24"
nexthop = "203.0.113.51"
[[router.g.route]]
ip_prefix = "198.51.100.0/24"
nexthop = "203.0.113.52"
[[router.g.route]]
ip_prefix = "10.0.0.64/26"
nexthop = "203.0.113.51"
policy = "src-ip"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.52"
[[router.g.neighbor]]
port = "g-out"
ip = "203.0.113.51"
mac = "02:00:00:00:00:51"
[[router.g.neighbor]]
port = "g-out"
ip = "203.0.113.52"
mac = "02:00:00:00:00:52"
"#;

const VM: &str = "02:00:00:00:00:10";
const G_IN: &str = "02:00:00:00:01:01";
const G_OUT: &str = "02:00:00:00:01:02";

fn outside() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["vm"])
        .network("wire", "eth1");
    let mut net = Network::new(OUTSIDE, &[node]);
    net.host("up", "wire", Host::hands(mac("02:00:00:00:00:fe")));
    net.quiet()
}

fn to(dst: &str) -> Builder {
    packet((VM, G_IN), ("10.0.0.10", dst)).udp(1, 2)
}

#[test]
fn packets_wait_for_their_neighbor() {
    let mut net = outside();
    for port in 1..=3 {
        net.send(
            "vm",
            packet((VM, G_IN), ("10.0.0.10", "203.0.113.9")).udp(port, 2),
        );
    }
    let ask = net.take_one("up");
    assert_eq!(
        sluice_net::show(&ask),
        "02:00:00:00:01:02 > ff:ff:ff:ff:ff:ff arp who-has 203.0.113.9 tell 203.0.113.1 sender 02:00:00:00:01:02"
    );
    assert_eq!(
        net.moved(),
        ["gw: copy 1, flood 1, injected 1, punt:resolve 3, slow:asked 1, slow:punts 3, walk 4"]
    );
    let reply = Builder::ethernet(mac("02:00:00:00:00:09"), mac(G_OUT))
        .arp_reply(v4("203.0.113.9"), v4("203.0.113.1"));
    net.probe("up", reply).expect(
        "answered: all go, in order",
        &[1, 2, 3].map(|port| format!("up: {G_OUT} > 02:00:00:00:00:09 10.0.0.10.{port} > 203.0.113.9.2 udp ttl 63 len 28")).each_ref().map(String::as_str),
        &["gw: injected 3, punt:neighbor 1, slow:macs-learned 1, slow:neighbors-learned 1, slow:punts 1, slow:resolved 3, walk 4"],
    );
    assert_eq!(net.probe("vm", to("203.0.113.9")).moved, ["gw: walk 1"]);
    net.assert_no_buffer_lost();
}

#[test]
fn an_ipv6_neighbor() {
    let mut net = outside();
    net.send(
        "vm",
        packet((VM, G_IN), ("fd00::10", "2001:db8::9")).udp(1, 2),
    );
    assert_eq!(
        sluice_net::show(&net.take_one("up")),
        "02:00:00:00:01:02 > 33:33:ff:00:00:09 2001:db8::1 > ff02::1:ff00:9 icmp6 neighbor who-has 2001:db8::9 ttl 255 len 72"
    );
    let advert = packet(("02:00:00:00:00:09", G_OUT), ("2001:db8::9", "2001:db8::1"))
        .neighbor_advert(
            v6("2001:db8::9"),
            Some(mac("02:00:00:00:00:09")),
            nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE,
        );
    net.send("up", advert);
    assert_eq!(
        sluice_net::show(&net.take_one("up")),
        "02:00:00:00:01:02 > 02:00:00:00:00:09 fd00::10.1 > 2001:db8::9.2 udp ttl 63 len 48"
    );
}

#[test]
fn a_neighbor_that_does_not_answer() {
    let mut net = outside();
    for port in 1..=20 {
        net.send(
            "vm",
            packet((VM, G_IN), ("10.0.0.10", "203.0.113.9")).udp(port, 2),
        );
    }
    net.run(3_500);
    assert_eq!(net.take("up").len(), 3, "asked three times");
    let told: Vec<String> = net
        .take("vm")
        .iter()
        .map(|frame| sluice_net::show(frame))
        .collect();
    let wanted: Vec<String> = (13..=20)
        .map(|port| format!("{G_IN} > {VM} 10.0.0.1 > 10.0.0.10 icmp error 3/1 about 10.0.0.10.{port} > 203.0.113.9.2 udp ttl 254 tos 0xc0 len 56"))
        .collect();
    assert_eq!(told, wanted, "the newest eight waited");
    net.assert_no_buffer_lost();
    // For a while it is not asked for again.
    net.forget();
    net.send("vm", to("203.0.113.9"));
    assert_eq!(net.take("up").len(), 0);
    net.run(6_000);
    net.send("vm", to("203.0.113.9"));
    assert!(
        !net.take("up").is_empty(),
        "asked for again after five seconds"
    );
}

#[test]
fn a_neighbor_that_moves_is_followed_by_established_traffic() {
    let mut net = outside();
    net.send("vm", to("203.0.113.9"));
    let claim = |its_mac: &str| {
        Builder::ethernet(mac(its_mac), mac(BROADCAST))
            .arp_request(v4("203.0.113.9"), v4("203.0.113.9"))
    };
    net.send(
        "up",
        Builder::ethernet(mac("02:00:00:00:00:09"), mac(G_OUT))
            .arp_reply(v4("203.0.113.9"), v4("203.0.113.1")),
    );
    net.take("up");
    net.send("up", claim("02:00:00:00:00:0c"));
    let outcome = net.probe("vm", to("203.0.113.9"));
    assert_eq!(
        outcome.got,
        ["up: 02:00:00:00:01:02 > 02:00:00:00:00:0c 10.0.0.10.1 > 203.0.113.9.2 udp ttl 63 len 28"]
    );
}

#[test]
fn equal_routes_keep_a_flow_together_and_share_the_flows() {
    let mut net = outside();
    let mut shares = [0, 0];
    for port in 0..200 {
        let mut send = |ttl| {
            net.send(
                "vm",
                packet((VM, G_IN), ("10.0.0.10", "198.51.100.7"))
                    .ttl(ttl)
                    .udp(port, 53),
            );
            parse(&net.take_one("up")).unwrap().eth_dst
        };
        let hop = send(64);
        assert_eq!(send(7), hop, "port {port}");
        shares[usize::from(hop == mac("02:00:00:00:00:52"))] += 1;
    }
    assert!(shares.iter().all(|share| *share > 60), "{shares:?}");
}

#[test]
fn routes_by_source_and_their_preference() {
    let mut net = outside();
    let mut hop = |src: &str, dst: &str| {
        net.send("vm", packet((VM, G_IN), (src, dst)).udp(1, 2));
        parse(&net.take_one("up")).unwrap().eth_dst
    };
    let (by_source, default) = (mac("02:00:00:00:00:51"), mac("02:00:00:00:00:52"));
    assert_eq!(
        hop("10.0.0.65", "8.8.8.8"),
        by_source,
        "/26 by source before /0"
    );
    assert_eq!(hop("10.0.0.10", "8.8.8.8"), default);
    // Longer by source than the /24 by destination.
    let hops: Vec<_> = (0..20)
        .map(|port| hop("10.0.0.65", &format!("198.51.100.{port}")))
        .collect();
    assert!(hops.iter().all(|hop| *hop == by_source));
}

/// A distributed router on two nodes that both have ports of a switch, and a VM whose addresses are not declared: the node that needs it asks
/// through the tunnel, and hears the answer although it goes to the router of the VM's own node.
#[test]
fn an_undeclared_vm_behind_a_distributed_router() {
    let topology = r#"
[chassis.n1]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.n2]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.s1.port.x]
addresses = ["unknown"]
chassis = "n1"
[switch.s1.port.z]
addresses = ["02:00:00:00:00:0f 10.1.0.15"]
chassis = "n2"
[switch.s1.port.s1-r]
type = "router"
router_port = "r-s1"
[switch.s2.port.y]
addresses = ["02:00:00:00:00:0e 10.2.0.10 fd00:2::10"]
chassis = "n2"
[switch.s2.port.s2-r]
type = "router"
router_port = "r-s2"
[router.r.port.r-s1]
mac = "02:00:00:00:01:01"
networks = ["10.1.0.1/24", "fd00:1::1/64"]
[router.r.port.r-s2]
mac = "02:00:00:00:01:02"
networks = ["10.2.0.1/24", "fd00:2::1/64"]
"#;
    let nodes = [
        NodeFile::new("n1").underlay("172.16.0.1/24").vifs(&["x"]),
        NodeFile::new("n2")
            .underlay("172.16.0.2/24")
            .vifs(&["y", "z"]),
    ];
    for (first, second) in [("y", "x"), ("x", "y")] {
        let mut net = Network::new(topology, &nodes);
        let gateways = |own| match own {
            "x" => ("10.1.0.10/24", "fd00:1::10/64", "10.1.0.1"),
            _ => ("10.2.0.10/24", "fd00:2::10/64", "10.2.0.1"),
        };
        for (vm, its_mac) in [("x", "02:00:00:00:00:0d"), ("y", "02:00:00:00:00:0e")] {
            let (v4, v6, gateway) = gateways(vm);
            net.host(
                vm,
                vm,
                Host::station(mac(its_mac), &[v4, v6], Some(gateway)),
            );
        }
        let mut net = net.quiet();
        let to = |vm| if vm == "x" { "10.1.0.10" } else { "10.2.0.10" };
        assert_eq!(net.ping(first, to(second)), Some(63), "{first} -> {second}");
        assert_eq!(net.ping(second, to(first)), Some(63), "{second} -> {first}");
        // Long after: the neighbor is asked again and is still there.
        net.run(120_000);
        assert_eq!(
            net.ping(first, to(second)),
            Some(63),
            "{first} -> {second} later"
        );
        for (vm, gateway) in [("x", "fd00:1::1"), ("y", "fd00:2::1")] {
            net.hosts.get_mut(vm).unwrap().gateway = Some(crate::support::ip(gateway));
        }
        let to = |vm| {
            if vm == "x" {
                "fd00:1::10"
            } else {
                "fd00:2::10"
            }
        };
        assert_eq!(
            net.ping(first, to(second)),
            Some(63),
            "{first} -> {second}, IPv6"
        );
        assert_eq!(
            net.ping(second, to(first)),
            Some(63),
            "{second} -> {first}, IPv6"
        );
    }
}
