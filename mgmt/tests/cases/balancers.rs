//! Load balancers of routers and switches.
//!
//! ```text
//!   in 10.0.0.0/24: b1 .11, b2 .12, far .13 (on hv)      clients 10.1.0.0/24: c .20, cx .22 (on vx, VXLAN)
//!        |  10.0.0.1                                            |  10.1.0.1
//!        +------------------------- r --------------------------+
//!                                   | 10.9.0.1
//!                                  join
//!                                   | 10.9.0.2
//!                                   g  203.0.113.1      web 203.0.113.5, all ports: b1, b2
//!                                   |                   dns 203.0.113.6:53: b1:5353, far:5353
//!                                  up 203.0.113.254
//! ```
//! `inner` 192.0.2.2:80 is a balancer of the clients' switch.

use std::collections::BTreeMap;

use sluice_fastpath::counters::Work;
use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, parse};

use super::openings::work;
use crate::support::{Host, Network, NodeFile, NodeOptions, device_mac, mac, packet, v4};

const NETWORK: &str = r#"
[chassis.gw]
encap = [{ type = "geneve", ip = "172.16.0.1" }, { type = "vxlan", ip = "172.16.0.1" }]
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[chassis.vx]
encap = { type = "vxlan", ip = "172.16.0.4" }
[switch.in]
key = 1
[switch.in.port.b1]
addresses = ["02:00:00:00:00:11 10.0.0.11"]
chassis = "gw"
[switch.in.port.b2]
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "gw"
[switch.in.port.far]
key = 13
addresses = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.in.port.in-r]
key = 1
type = "router"
router_port = "r-in"
[switch.clients.port.c]
key = 20
addresses = ["02:00:00:00:01:20 10.1.0.20"]
port_security = ["02:00:00:00:01:20 10.1.0.20"]
chassis = "gw"
[switch.clients.port.cx]
addresses = ["02:00:00:00:01:22 10.1.0.22"]
chassis = "vx"
[switch.clients.port.clients-r]
key = 1
type = "router"
router_port = "r-clients"
[switch.join.port.join-r]
type = "router"
router_port = "r-join"
[switch.join.port.join-g]
type = "router"
router_port = "g-join"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-g]
type = "router"
router_port = "g-out"
[router.r.port.r-in]
mac = "02:00:00:00:02:01"
networks = ["10.0.0.1/24"]
[router.r.port.r-clients]
mac = "02:00:00:00:02:02"
networks = ["10.1.0.1/24"]
[router.r.port.r-join]
mac = "02:00:00:00:02:03"
networks = ["10.9.0.1/24"]
[[router.r.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.9.0.2"
[router.g.port.g-join]
mac = "02:00:00:00:02:04"
networks = ["10.9.0.2/24"]
[router.g.port.g-out]
mac = "02:00:00:00:02:05"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "10.0.0.0/15"
nexthop = "10.9.0.1"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
"#;

const BALANCERS: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5" = ["10.0.0.11", "10.0.0.12"] }
[load_balancer.dns]
protocol = "udp"
vips = { "203.0.113.6:53" = ["10.0.0.11:5353", "10.0.0.13:5353"] }
[load_balancer.inner]
vips = { "192.0.2.2:80" = ["10.0.0.11:8080", "10.0.0.12:8080"] }
"#;

const SNAT: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/15"
external_ip = "203.0.113.1"
"#;

/// What the router and the switch say of themselves.
const ATTACHED: [(&str, &str); 2] = [
    (
        "[switch.clients.port.c]",
        "[switch.clients]\nkey = 2\nload_balancers = [\"inner\"]\n[switch.clients.port.c]",
    ),
    (
        "[router.g.port.g-join]",
        "[router.g]\nchassis = \"gw\"\nload_balancers = [\"web\", \"dns\"]\n[router.g.port.g-join]",
    ),
];

const UP: &str = "02:00:00:00:00:fe";
const R_IN: &str = "02:00:00:00:02:01";
const R_CLIENTS: &str = "02:00:00:00:02:02";
const G_OUT: &str = "02:00:00:00:02:05";
const B1: (&str, &str, &str) = ("b1", "02:00:00:00:00:11", "10.0.0.11");
const B2: (&str, &str, &str) = ("b2", "02:00:00:00:00:12", "10.0.0.12");
const C: &str = "02:00:00:00:01:20";

fn topology(more: &str) -> String {
    let text = [NETWORK, BALANCERS, SNAT, more].concat();
    ATTACHED
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

fn network(text: &str) -> Network {
    network_with(text, &NodeOptions::default())
}

fn network_with(text: &str, options: &NodeOptions) -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["b1", "b2", "c"])
        .network("wire", "eth1");
    let mut net = Network::with(text, &[node], options);
    net.chassis("hv", "172.16.0.2/24");
    net.chassis("vx", "172.16.0.4/24");
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

/// From the world to a virtual IP.
fn ask(dst: &str) -> Builder {
    packet((UP, G_OUT), ("8.8.8.8", dst))
}

/// From the client to whatever.
fn from_c(dst: &str) -> Builder {
    packet((C, R_CLIENTS), ("10.1.0.20", dst))
}

/// From a backend.
fn from(backend: (&str, &str, &str), dst: &str) -> Builder {
    packet((backend.1, R_IN), (backend.2, dst))
}

/// Which backend gets a packet, and the ports it has there.
fn reached(
    net: &mut Network,
    host: &str,
    frame: Builder,
) -> ((&'static str, &'static str, &'static str), (u16, u16)) {
    net.send(host, frame);
    for backend in [B1, B2] {
        if let [frame] = &net.take(backend.0)[..] {
            let ip = *parse(frame).unwrap().ip().unwrap();
            assert_eq!(ip.dst.to_string(), backend.2);
            return (backend, ip.ports().unwrap());
        }
    }
    panic!("nobody got it");
}

#[test]
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

#[test]
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

#[test]
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
    let ask_mac = Builder::ethernet(mac(UP), mac("ff:ff:ff:ff:ff:ff"))
        .arp_request(v4("203.0.113.254"), v4("203.0.113.5"));
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
#[test]
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

#[test]
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
                *sources.entry((backend.0, ip.src.to_string())).or_default() += 1;
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

/// Where the client's packet enters the switch, and for its clients only.
#[test]
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
    assert_eq!(work(&net, Work::Walk), walked);
    // What it sends to the balancer does not, though the next hop is the same.
    reached(&mut net, "c", from_c("192.0.2.2").tcp(7001, 80, tcp::SYN));
    assert_eq!(work(&net, Work::Walk), walked + 1);
}

/// A backend on another chassis answers by the switch of the client, which that chassis has routed to.
#[test]
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
    let refused = inner
        .icmp(icmpv4::UNREACHABLE, 3, [0; 4])
        .payload(&seen[14..]);
    net.probe("hv", send(refused)).expect(
        "error",
        &[&format!("c: {R_CLIENTS} > {C} 192.0.2.2 > 10.1.0.20 icmp error 3/3 about 10.1.0.20.4000 > 192.0.2.2.80 tcp ttl 63 len 68")],
        &["gw: walk 1"],
    );
    let seen = packet((R_CLIENTS, C), ("192.0.2.2", "10.1.0.20"))
        .tcp(80, 4000, tcp::ACK)
        .build();
    let refused = from_c("192.0.2.2")
        .icmp(icmpv4::UNREACHABLE, 3, [0; 4])
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
#[test]
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
#[test]
fn a_switchs_virtual_ip_in_its_subnet() {
    let near = topology("")
        .replace("192.0.2.2:80", "10.1.0.99:80")
        .replace("\"10.0.0.12:8080\"", "\"10.1.0.22:8080\"");
    let mut net = network(&near);
    let question = Builder::ethernet(mac(C), mac("ff:ff:ff:ff:ff:ff"))
        .arp_request(v4("10.1.0.20"), v4("10.1.0.99"));
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
#[test]
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
#[test]
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

#[test]
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
    let outcome = net.probe("c", from_c("192.0.2.2").tcp(5000, 80, tcp::SYN));
    assert!(
        outcome.got[0].contains("icmp error 3/3 about 10.1.0.20.5000 > 192.0.2.2.80"),
        "{outcome:?}"
    );
}

#[test]
fn icmp_errors_about_balanced_connections() {
    let mut net = network(&topology(""));
    let (backend, _) = reached(&mut net, "up", ask("203.0.113.5").udp(5000, 80));
    let seen = packet((R_IN, backend.1), ("8.8.8.8", backend.2))
        .udp(5000, 80)
        .build();
    let refused = from(backend, "8.8.8.8")
        .icmp(icmpv4::UNREACHABLE, 3, [0; 4])
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
        .icmp(icmpv4::TIME_EXCEEDED, 0, [0; 4])
        .payload(&seen[14..]);
    net.probe("up", expired).expect(
        "of the way",
        &[&format!("{}: {R_IN} > {} 198.51.100.7 > {} icmp error 11/0 about {}.80 > 8.8.8.8.5000 udp ttl 62 len 56", backend.0, backend.1, backend.2, backend.2)],
        &["gw: walk 1"],
    );
}

/// For a minute from its last connection, whatever is added meanwhile; then it is as new.
#[test]
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

/// All slots of the table are looked at, some each turn.
fn swept(net: &mut Network) {
    for _ in 0..300 {
        net.run(1);
    }
}

/// Ten thousand live connections: those of a backend, a rule and a virtual IP that go end, and no other.
#[test]
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
            let web = connection.original.destination() == v4("203.0.113.5");
            of_b2 += usize::from(web && connection.reply.source() == v4(B2.2));
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
#[test]
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
