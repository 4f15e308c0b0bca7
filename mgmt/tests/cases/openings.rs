//! First packets of connections that take the way of an earlier first packet: what comes of them is what the walk decides.

use proptest::prelude::*;
use sluice_fastpath::connections::Connection;
use sluice_fastpath::counters::Work;
use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::tcp;
use sluice_net::{Builder, Vni};

use crate::support::{Host, Network, NodeFile, NodeOptions, device_mac, mac, packet, v4};

/// ```text
///  inner: vm .10 (secured)  vm2 .11  far .12 on hv      deep: vm3 .10
///    10.0.0.1 |                                           | 10.2.0.1
///             |       10.9.0.1 --- 10.9.0.2 ------------- r2
///             g  SNAT 10.0.0.0/24 -> 203.0.113.1, 10.2.0.0/24 -> 203.0.113.2, not 10.0.0.128/25
///             | 203.0.113.1        two next hops, 198.51.100.0/24 on a third
///           up .254, .253, .51
/// ```
const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.inner]
key = 1
[switch.inner.port.vm]
key = 10
addresses = ["02:00:00:00:00:10 10.0.0.10"]
port_security = ["02:00:00:00:00:10 10.0.0.10 10.0.0.110"]
chassis = "gw"
[switch.inner.port.vm2]
key = 11
addresses = ["02:00:00:00:00:11 10.0.0.11"]
chassis = "gw"
[switch.inner.port.far]
key = 12
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "hv"
[switch.inner.port.inner-g]
key = 1
type = "router"
router_port = "g-inner"
[switch.deep.port.vm3]
addresses = ["02:00:00:00:00:13 10.2.0.10"]
chassis = "gw"
[switch.deep.port.deep-r2]
type = "router"
router_port = "r2-deep"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-g]
type = "router"
router_port = "g-out"
[router.g]
chassis = "gw"
[router.g.port.g-inner]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.g.port.g-r2]
networks = ["10.9.0.1/30"]
peer = "r2-g"
[router.g.port.g-out]
mac = "02:00:00:00:01:02"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.253"
[[router.g.route]]
ip_prefix = "198.51.100.0/24"
nexthop = "203.0.113.51"
[[router.g.route]]
ip_prefix = "10.2.0.0/24"
nexthop = "10.9.0.2"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/25"
external_ip = "203.0.113.1"
[[router.g.nat]]
type = "snat"
logical_ip = "10.2.0.0/24"
external_ip = "203.0.113.2"
[router.r2]
chassis = "gw"
[router.r2.port.r2-g]
networks = ["10.9.0.2/30"]
peer = "g-r2"
[router.r2.port.r2-deep]
mac = "02:00:00:00:01:03"
networks = ["10.2.0.1/24"]
[[router.r2.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.9.0.1"
"#;

const G_INNER: &str = "02:00:00:00:01:01";
const G_OUT: &str = "02:00:00:00:01:02";
const R2: &str = "02:00:00:00:01:03";
const UP: &str = "02:00:00:00:00:fe";

fn network() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["vm", "vm2", "vm3"])
        .network("wire", "eth1");
    let options = NodeOptions {
        pick_up: 0,
        ..NodeOptions::default()
    };
    let mut net = Network::with(TOPOLOGY, &[node], &options);
    net.chassis("hv", "172.16.0.2/24");
    let addresses = ["203.0.113.254/24", "203.0.113.253/24", "203.0.113.51/24"];
    net.host(
        "up",
        "wire",
        Host::station(mac(UP), &addresses, Some("203.0.113.1")),
    );
    net.run(20_000);
    // Both sides know each other's MACs from now on.
    for (host, vm, src, gateway) in [
        ("vm", "02:00:00:00:00:10", "10.0.0.10", G_INNER),
        ("vm2", "02:00:00:00:00:11", "10.0.0.11", G_INNER),
        ("vm3", "02:00:00:00:00:13", "10.2.0.10", R2),
    ] {
        for port in 60_000..60_008 {
            net.send(
                host,
                packet((vm, gateway), (src, "198.51.100.99")).udp(port, 9),
            );
            net.send(
                host,
                packet((vm, gateway), (src, "192.0.2.99")).udp(port, 9),
            );
        }
    }
    net.forget();
    net
}

/// Forgets all cached first ways, and nothing else: a generation in which no datapath changed.
fn forget_ways(net: &mut Network, odd: bool) {
    let spare = if odd { "[switch.spare]\n" } else { "" };
    net.reload(&format!("{TOPOLOGY}{spare}"));
}

pub fn work(net: &Network, work: Work) -> u64 {
    let workers = net.node("gw").counters.iter();
    workers.map(|worker| worker.work(work)).sum()
}

fn connections(net: &Network) -> Vec<String> {
    let mut all = Vec::new();
    net.node("gw")
        .connections
        .scan(0, usize::MAX, |connection: Connection| {
            all.push(format!(
                "{:?} {:?} {:?} {:?} {:?} {:?}",
                connection.original,
                connection.reply,
                connection.state,
                connection.flags,
                connection.packets,
                connection.bytes,
            ));
        });
    all.sort();
    all
}

#[test]
fn the_second_connection_takes_the_way_of_the_first() {
    let mut net = network();
    let host = |net: &mut Network, name: &str, frame: Builder| {
        let before = (
            work(net, Work::Lane),
            work(net, Work::Walk),
            work(net, Work::Opened),
        );
        let got = net.probe(name, frame).got;
        let moved = (
            work(net, Work::Lane) - before.0,
            work(net, Work::Walk) - before.1,
            work(net, Work::Opened) - before.2,
        );
        (got, moved)
    };
    let vm = |src: &str, port| {
        packet(("02:00:00:00:00:10", G_INNER), (src, "198.51.100.7")).udp(port, 53)
    };
    forget_ways(&mut net, true);
    assert_eq!(host(&mut net, "vm", vm("10.0.0.10", 1000)).1, (0, 1, 1));
    let (got, moved) = host(&mut net, "vm", vm("10.0.0.110", 1001));
    assert_eq!(moved, (1, 0, 1));
    assert_eq!(got.len(), 1, "{got:?}");
    // Its port is taken now.
    let (got, moved) = host(
        &mut net,
        "vm2",
        packet(
            ("02:00:00:00:00:11", G_INNER),
            ("10.0.0.11", "198.51.100.7"),
        )
        .udp(1001, 53),
    );
    assert_eq!(moved, (0, 1, 1), "another door");
    assert!(!got[0].contains("203.0.113.1.1001"), "{got:?}");
    // A source that port security refuses.
    let (got, moved) = host(&mut net, "vm", vm("10.0.0.11", 1002));
    assert_eq!((got.len(), moved), (0, (0, 1, 0)));
    // Through two routers, the second of which translates.
    let vm3 = |port| {
        packet(("02:00:00:00:00:13", R2), ("10.2.0.10", "198.51.100.7")).tcp(port, 80, tcp::SYN)
    };
    assert_eq!(host(&mut net, "vm3", vm3(1)).1, (0, 1, 1));
    let (got, moved) = host(&mut net, "vm3", vm3(2));
    assert_eq!(moved, (1, 0, 1));
    assert!(
        got[0].contains("203.0.113.2.2 > 198.51.100.7.80"),
        "{got:?}"
    );
    net.assert_no_buffer_lost();
}

#[test]
fn packets_of_one_new_flow_in_one_burst_open_one_connection() {
    let mut net = network();
    let vm = |port| {
        packet(
            ("02:00:00:00:00:11", G_INNER),
            ("10.0.0.11", "198.51.100.7"),
        )
        .udp(port, 53)
    };
    net.send("vm2", vm(1));
    let opened = work(&net, Work::Opened);
    for port in [7, 7, 8, 7, 8] {
        net.send_later("vm2", vm(port));
    }
    net.settle();
    assert_eq!(work(&net, Work::Opened) - opened, 2);
    let ports: Vec<_> = net.take("up").iter().map(|frame| frame[35]).collect();
    assert_eq!(ports, [1, 7, 7, 8, 7, 8]);
}

#[derive(Clone, Debug)]
struct Sent {
    from: usize,
    to: usize,
    src_port: u16,
    dst_port: u16,
    kind: u8,
    ttl: u8,
    len: usize,
    spoofed: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let ttl = prop_oneof![6 => Just(64u8), 1 => 0u8..4];
    let len = prop_oneof![6 => 0usize..64, 1 => 1300usize..1600];
    let spoofed = prop::bool::weighted(0.1);
    (
        0usize..5,
        0usize..9,
        1u16..5,
        1u16..3,
        0u8..6,
        ttl,
        len,
        spoofed,
    )
        .prop_map(
            |(from, to, src_port, dst_port, kind, ttl, len, spoofed)| Sent {
                from,
                to,
                src_port,
                dst_port,
                kind,
                ttl,
                len,
                spoofed,
            },
        )
}

/// The world by three next hops, inner hosts, addresses of the routers, nowhere.
const TARGETS: [&str; 9] = [
    "8.8.8.8",
    "9.9.9.9",
    "198.51.100.7",
    "203.0.113.51",
    "10.0.0.11",
    "10.2.0.10",
    "203.0.113.1",
    "203.0.113.2",
    "127.0.0.1",
];

fn frame(sent: &Sent) -> (&'static str, Vec<u8>) {
    let (host, macs, src) = [
        ("vm", ("02:00:00:00:00:10", G_INNER), "10.0.0.10"),
        ("vm2", ("02:00:00:00:00:11", G_INNER), "10.0.0.11"),
        ("vm3", ("02:00:00:00:00:13", R2), "10.2.0.10"),
        ("hv", ("02:00:00:00:00:12", G_INNER), "10.0.0.12"),
        ("up", (UP, G_OUT), "8.8.8.8"),
    ][sent.from];
    let src = if sent.spoofed { "10.0.0.200" } else { src };
    let base = packet(macs, (src, TARGETS[sent.to])).ttl(sent.ttl);
    let ports = (sent.src_port, sent.dst_port);
    let inner = match sent.kind {
        0 | 1 => base.udp(ports.0, ports.1),
        2 => base.tcp(ports.0, ports.1, tcp::SYN),
        3 => base.tcp(ports.0, ports.1, tcp::ACK),
        4 => base.tcp(ports.0, ports.1, tcp::RST | tcp::ACK),
        _ => base.icmp_echo(Echo::Request, ports.0, 1),
    };
    let inner = inner.payload(&vec![0x5a; sent.len & !7]);
    if host != "hv" {
        return (host, inner.build());
    }
    // The chassis of `far` sends to the router's port.
    let option = OvnOption {
        in_key: 12,
        out_key: 1,
    };
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "underlay"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    let tunnelled = inner.encap_geneve(outer, Vni::new(1).unwrap(), Some(option));
    (host, tunnelled.build())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Of two equal networks one forgets its ways before each packet, so that every first packet walks.
    #[test]
    fn nothing_comes_of_a_packet_that_the_walk_would_not_decide(
        traffic in prop::collection::vec(sent(), 1..60)
    ) {
        let (mut quick, mut walking) = (network(), network());
        for (number, sent) in traffic.iter().enumerate() {
            forget_ways(&mut walking, number % 2 == 0);
            let (host, frame) = frame(sent);
            let before = work(&walking, Work::Lane);
            let expected = walking.probe(host, frame.clone());
            prop_assert_eq!(work(&walking, Work::Lane), before);
            prop_assert_eq!(quick.probe(host, frame), expected, "packet {}", number);
        }
        prop_assert_eq!(connections(&quick), connections(&walking));
    }
}
