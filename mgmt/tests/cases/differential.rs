//! Cached ways decide nothing: of two equal networks one forgets all its ways before every turn, so that every packet
//! walks; what comes out, what is counted and what is remembered of connections is the same in both.
//!
//! More and longer runs: `SLUICE_DIFFERENTIAL_CASES=5000`, another sequence: `SLUICE_DIFFERENTIAL_SEED=7`.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use sluice_fastpath::connections::{Connection, Timeouts};
use sluice_fastpath::counters::Work;
use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::UNDERLAY_PORT;
use sluice_fastpath::verdict::{DropReason, PuntClass};
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::tcp;
use sluice_net::{Builder, Vni, show};
use sluice_slowpath::{AgentRequest, Alive, Settings};

use super::differential_traffic::{self as traffic, Sent, WIRES};
use crate::support::{Host, Network, Node, NodeFile, NodeOptions, device_mac, ip, mac, packet, v4};

/// Two sides, each with switches, routers in a row and other chassis.
///
/// ```text
///  without state                                   with state
///    e  e1 (secured) e2 e3 (unknown)                 a  a1 (secured) a2 a4 (unknown)
///       e4 at hv, e5 (secured) e6 at vx                 a3 at hv, a5 at hv2, a6 (secured) at vx
///    n  10.4.0.1 ── 10.5.0.1                        r1  10.0.0.1, 10.1.0.1 (b: b1, b2 at hv) ── 10.8.0.1
///    f  f1, f2 at hv, f3 f4 (unknown), VLAN 42       g  10.8.0.2 ── 203.0.113.1  SNAT 10.0.0.0/25, 10.1.0.0/24
///    m  linked to n; h: h1                         out  wire, o1 (unknown)
///                                                    d  10.2.0.1 (c: c1, c2 at hv) ── 198.18.0.1 SNAT, held by gw2 or gw
///                                                  ext  phys
/// ```
const TOPOLOGY: &str = r#"
[chassis.gw]
encap = [{ type = "geneve", ip = "172.16.0.1" }, { type = "vxlan", ip = "172.16.0.1" }]
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[chassis.hv2]
encap = { type = "geneve", ip = "172.16.0.3", checksum = false }
[chassis.vx]
encap = { type = "vxlan", ip = "172.16.0.4" }
[chassis.gw2]
encap = { type = "geneve", ip = "172.16.0.5" }

[switch.e]
key = 4
[switch.e.port.e-n]
key = 1
type = "router"
router_port = "n-e"
[switch.e.port.e1]
key = 10
addresses = ["02:00:00:00:04:10 10.4.0.10 fd00:4::10"]
port_security = ["02:00:00:00:04:10 10.4.0.10 fd00:4::10", "02:00:00:00:04:1f 10.4.0.10 10.4.0.99"]
chassis = "gw"
[switch.e.port.e2]
key = 11
addresses = ["02:00:00:00:04:11 10.4.0.11 fd00:4::11"]
chassis = "gw"
[switch.e.port.e3]
key = 12
addresses = ["unknown"]
chassis = "gw"
[switch.e.port.e4]
key = 13
addresses = ["02:00:00:00:04:13 10.4.0.13 fd00:4::13"]
chassis = "hv"
[switch.e.port.e5]
key = 14
addresses = ["02:00:00:00:04:14 10.4.0.14"]
port_security = ["02:00:00:00:04:14 10.4.0.14"]
chassis = "vx"
[switch.e.port.e6]
key = 15
addresses = ["unknown"]
chassis = "vx"

[router.n]
key = 103
[router.n.port.n-e]
key = 1
mac = "02:00:00:00:03:01"
networks = ["10.4.0.1/24", "fd00:4::1/64"]
[router.n.port.n-f]
key = 2
mac = "02:00:00:00:03:02"
networks = ["10.5.0.1/24", "fd00:5::1/64"]
gateway_mtu = 1400
[router.n.port.n-m]
key = 3
mac = "02:00:00:00:03:03"
networks = ["10.9.0.1/30", "fd00:9::1/64"]
peer = "m-n"
[[router.n.route]]
ip_prefix = "10.6.0.0/16"
nexthop = "10.5.0.20"
[[router.n.route]]
ip_prefix = "10.6.0.0/16"
nexthop = "10.5.0.21"
[[router.n.route]]
ip_prefix = "10.66.0.0/16"
nexthop = "discard"
[[router.n.route]]
ip_prefix = "10.7.0.0/24"
nexthop = "10.9.0.2"
[[router.n.route]]
ip_prefix = "fd00:7::/64"
nexthop = "fd00:9::2"
[[router.n.route]]
ip_prefix = "fd00:6::/64"
nexthop = "fd00:5::20"
[[router.n.route]]
ip_prefix = "10.4.0.11/32"
nexthop = "10.5.0.21"
policy = "src-ip"
[router.m]
key = 104
[router.m.port.m-n]
key = 1
mac = "02:00:00:00:03:04"
networks = ["10.9.0.2/30", "fd00:9::2/64"]
peer = "n-m"
[router.m.port.m-h]
key = 2
mac = "02:00:00:00:03:05"
networks = ["10.7.0.1/24", "fd00:7::1/64"]
[[router.m.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.9.0.1"
[[router.m.route]]
ip_prefix = "fd00::/16"
nexthop = "fd00:9::1"

[switch.f]
key = 5
[switch.f.port.f-n]
key = 1
type = "router"
router_port = "n-f"
[switch.f.port.f1]
key = 10
addresses = ["02:00:00:00:05:10 10.5.0.10 fd00:5::10"]
chassis = "gw"
[switch.f.port.f2]
key = 11
addresses = ["02:00:00:00:05:11 10.5.0.11 fd00:5::11"]
chassis = "hv"
[switch.f.port.f3]
key = 12
addresses = ["unknown"]
chassis = "gw"
[switch.f.port.f4]
key = 13
addresses = ["unknown"]
chassis = "gw"
[switch.f.port.f-ln]
key = 14
type = "localnet"
network = "wire"
tag = 42
[switch.h.port.h-m]
type = "router"
router_port = "m-h"
[switch.h.port.h1]
addresses = ["02:00:00:00:07:10 10.7.0.10 fd00:7::10"]
chassis = "gw"

[switch.a]
key = 1
[switch.a.port.a-r1]
key = 1
type = "router"
router_port = "r1-a"
[switch.a.port.a1]
key = 10
addresses = ["02:00:00:00:0a:10 10.0.0.10 fd00:a::10"]
port_security = ["02:00:00:00:0a:10 10.0.0.10 10.0.0.110 fd00:a::10"]
chassis = "gw"
[switch.a.port.a2]
key = 11
addresses = ["02:00:00:00:0a:11 10.0.0.11"]
chassis = "gw"
[switch.a.port.a3]
key = 12
addresses = ["02:00:00:00:0a:12 10.0.0.12"]
chassis = "hv"
[switch.a.port.a4]
key = 13
addresses = ["unknown"]
chassis = "gw"
[switch.a.port.a5]
key = 14
addresses = ["02:00:00:00:0a:14 10.0.0.14"]
chassis = "hv2"
[switch.a.port.a6]
key = 15
addresses = ["02:00:00:00:0a:15 10.0.0.15"]
port_security = ["02:00:00:00:0a:15 10.0.0.15"]
chassis = "vx"
[switch.b]
key = 2
[switch.b.port.b-r1]
key = 1
type = "router"
router_port = "r1-b"
[switch.b.port.b1]
key = 10
addresses = ["02:00:00:00:0b:10 10.1.0.10"]
chassis = "gw"
[switch.b.port.b2]
key = 11
addresses = ["02:00:00:00:0b:11 10.1.0.11"]
chassis = "hv"
[switch.t.port.t-r1]
type = "router"
router_port = "r1-t"
[switch.t.port.t-g]
type = "router"
router_port = "g-t"

[router.r1]
key = 100
[router.r1.port.r1-a]
key = 1
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24", "fd00:a::1/64"]
[router.r1.port.r1-b]
key = 2
mac = "02:00:00:00:01:02"
networks = ["10.1.0.1/24"]
gateway_mtu = 1400
[router.r1.port.r1-t]
key = 3
mac = "02:00:00:00:01:03"
networks = ["10.8.0.1/24"]
[[router.r1.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "10.8.0.2"
[router.g]
key = 101
chassis = "gw"
[router.g.port.g-t]
key = 1
mac = "02:00:00:00:01:04"
networks = ["10.8.0.2/24"]
[router.g.port.g-out]
key = 2
mac = "02:00:00:00:01:05"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "10.0.0.0/14"
nexthop = "10.8.0.1"
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
ip_prefix = "10.1.0.10/32"
nexthop = "203.0.113.253"
policy = "src-ip"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/25"
external_ip = "203.0.113.1"
[[router.g.nat]]
type = "snat"
logical_ip = "10.1.0.0/24"
external_ip = "203.0.113.2"
[switch.out]
key = 8
[switch.out.port.out-g]
key = 1
type = "router"
router_port = "g-out"
[switch.out.port.out-ln]
key = 2
type = "localnet"
network = "wire"
[switch.out.port.o1]
key = 10
addresses = ["unknown"]
chassis = "gw"

[switch.c]
key = 3
[switch.c.port.c-d]
key = 1
type = "router"
router_port = "d-c"
[switch.c.port.c1]
key = 10
addresses = ["02:00:00:00:0c:10 10.2.0.10"]
chassis = "gw"
[switch.c.port.c2]
key = 11
addresses = ["02:00:00:00:0c:11 10.2.0.11"]
chassis = "hv"
[router.d]
key = 102
[router.d.port.d-c]
key = 1
mac = "02:00:00:00:02:01"
networks = ["10.2.0.1/24"]
[router.d.port.d-ext]
key = 2
redirect_key = 20
mac = "02:00:00:00:02:02"
networks = ["198.18.0.1/24"]
gateway_chassis = { gw2 = 20, gw = 10 }
[[router.d.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "198.18.0.254"
[[router.d.nat]]
type = "snat"
logical_ip = "10.2.0.0/24"
external_ip = "198.18.0.1"
[switch.ext]
key = 9
[switch.ext.port.ext-d]
key = 1
type = "router"
router_port = "d-ext"
[switch.ext.port.ext-ln]
key = 2
type = "localnet"
network = "phys"
"#;

/// Changes of the topology: what is replaced by what.
const CHANGES: [(&str, &str); 8] = [
    ("10.66.0.0/16", "10.6.0.0/20"),
    (
        "logical_ip = \"10.1.0.0/24\"",
        "logical_ip = \"10.1.0.0/29\"",
    ),
    (
        "external_ip = \"203.0.113.2\"",
        "external_ip = \"203.0.113.3\"",
    ),
    ("[router.m]\n", "[router.m]\nenabled = false\n"),
    (
        "[switch.e.port.e2]\n",
        "[switch.e.port.e2]\nenabled = false\n",
    ),
    ("gateway_mtu = 1400", "gateway_mtu = 1300"),
    ("10.0.0.10 10.0.0.110 fd00:a::10", "10.0.0.110"),
    (
        "networks = [\"203.0.113.1/24\"]",
        "networks = [\"203.0.113.1/24\"]\nenabled = false",
    ),
];

/// Learned neighbors, by router port; the first is of the underlay.
const NEIGHBORS: [(&str, &str); 6] = [
    ("", "172.16.0.2"),
    ("n-f", "10.5.0.20"),
    ("n-f", "10.5.0.21"),
    ("g-out", "203.0.113.254"),
    ("g-out", "203.0.113.253"),
    ("d-ext", "198.18.0.254"),
];

fn network() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&[
            "e1", "e2", "e3", "f1", "f3", "f4", "h1", "a1", "a2", "a4", "b1", "o1", "c1",
        ])
        .network("wire", "eth1")
        .network("phys", "eth2");
    let mut settings = Settings::default();
    // Which source is refused an error first is a matter of hashes.
    settings.port_errors.burst = 1_000_000;
    settings.source_errors.burst = 1_000_000;
    let options = NodeOptions {
        settings,
        // As many as a sweep goes over in one turn: it begins anew with each generation.
        connections: 64,
        timeouts: Timeouts {
            tcp_established: 9_000,
            tcp_transitory: 4_000,
            tcp_reset: 1_000,
            udp: 5_000,
            udp_unreplied: 3_000,
            icmp: 2_000,
            ..Timeouts::default()
        },
        ..NodeOptions::default()
    };
    let mut net = Network::with(TOPOLOGY, &[node], &options);
    net.wrong_checksums = true;
    for (name, address) in [("hv", 2), ("hv2", 3), ("vx", 4), ("gw2", 5)] {
        net.chassis(name, &format!("172.16.0.{address}/24"));
    }
    let stations: [(&str, &str, &[&str]); 14] = [
        (
            "e1",
            "02:00:00:00:04:10",
            &["10.4.0.10/24", "fd00:4::10/64"],
        ),
        (
            "e2",
            "02:00:00:00:04:11",
            &["10.4.0.11/24", "fd00:4::11/64"],
        ),
        (
            "e3",
            "02:00:00:00:04:12",
            &["10.4.0.12/24", "fd00:4::12/64"],
        ),
        (
            "f1",
            "02:00:00:00:05:10",
            &["10.5.0.10/24", "fd00:5::10/64"],
        ),
        (
            "f3",
            "02:00:00:00:05:20",
            &["10.5.0.20/24", "fd00:5::20/64"],
        ),
        (
            "f4",
            "02:00:00:00:05:21",
            &["10.5.0.21/24", "fd00:5::21/64"],
        ),
        (
            "h1",
            "02:00:00:00:07:10",
            &["10.7.0.10/24", "fd00:7::10/64"],
        ),
        (
            "a1",
            "02:00:00:00:0a:10",
            &["10.0.0.10/24", "fd00:a::10/64"],
        ),
        ("a2", "02:00:00:00:0a:11", &["10.0.0.11/24"]),
        ("a4", "02:00:00:00:0a:13", &["10.0.0.13/24"]),
        ("b1", "02:00:00:00:0b:10", &["10.1.0.10/24"]),
        ("c1", "02:00:00:00:0c:10", &["10.2.0.10/24"]),
        (
            "wire",
            "02:00:00:00:00:fe",
            &["203.0.113.254/24", "203.0.113.253/24", "8.8.8.8/32"],
        ),
        (
            "phys",
            "02:00:00:00:00:fd",
            &["198.18.0.254/24", "9.9.9.9/32"],
        ),
    ];
    for (name, its_mac, addresses) in stations {
        net.host(name, name, Host::station(mac(its_mac), addresses, None));
    }
    net.run(3_000);
    net.forget();
    net
}

/// A frame: which one of the deck, varied in what by which.
type Frame = (usize, u16, Sent);

/// Frames that are sent again and again, each with its wire.
type Deck = Vec<(usize, Sent)>;

/// What is done to both networks.
#[derive(Clone, Debug)]
enum Step {
    /// Frames on one wire at once, that of the first: each one of those that are sent again and again, varied.
    Burst(Vec<Frame>),
    /// The last burst again.
    Again,
    /// The receiver of the last UDP or TCP packets answers, with these TCP flags.
    Answer(u8),
    /// Time passes, in units of 250 ms.
    Wait(u32),
    /// The other gateway lives, or not.
    Alive(bool),
    /// Another topology: which changes are in force.
    Reload(u8),
    /// A neighbor is forgotten, or all learned MACs are. One neighbor, since the order in which several are asked for
    /// again is that of a hash table.
    Flush(Option<usize>),
    /// All connections are asked to close.
    Close,
    /// A host answers nothing any more, or does again.
    Silence(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        20 => Just(0u16),
        6 => (0u16..9).prop_map(|bit| 1 << bit),
        1 => 0u16..512,
    ];
    let frame = || (any::<usize>(), what.clone(), traffic::sent());
    let one = frame().prop_map(|frame| vec![frame]);
    let several = prop::collection::vec(frame(), 2..32);
    let flags = prop_oneof![
        Just(tcp::SYN | tcp::ACK),
        Just(tcp::ACK),
        Just(tcp::FIN | tcp::ACK),
        Just(tcp::RST),
    ];
    let changes = prop_oneof![Just(0u8), (0u8..8).prop_map(|bit| 1 << bit), any::<u8>(),];
    prop_oneof![
        60 => one.prop_map(Step::Burst),
        12 => several.prop_map(Step::Burst),
        40 => Just(Step::Again),
        20 => flags.prop_map(Step::Answer),
        3 => (1u32..20).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(Step::Alive),
        1 => changes.prop_map(Step::Reload),
        1 => prop::option::of(0..NEIGHBORS.len()).prop_map(Step::Flush),
        1 => Just(Step::Close),
        1 => (0..WIRES.len(), any::<bool>()).prop_map(|(wire, silent)| Step::Silence(wire, silent)),
    ]
}

/// The wire and the frames of a burst.
fn burst(deck: &Deck, frames: &[Frame]) -> (usize, Vec<Vec<u8>>) {
    let card = |at: usize| &deck[at % deck.len()];
    let wire = card(frames[0].0).0;
    // Of those of this wire, if not of it then what its stations would make of it.
    let frame = |(at, what, other): &Frame| traffic::frame(wire, &card(*at).1.varied(other, *what));
    (wire, frames.iter().map(frame).collect())
}

fn take(net: &mut Network, deck: &Deck, last: &[(String, Vec<u8>)], step: &Step) {
    match step {
        // There was none.
        Step::Again => {}
        Step::Answer(flags) => {
            for (host, frame) in last {
                // One wire after the other: what one brings in may not be known when the next comes.
                if let Some(answer) = traffic::answer(frame, *flags) {
                    net.send(host, answer);
                }
            }
        }
        Step::Burst(frames) => {
            let (wire, frames) = burst(deck, frames);
            for frame in frames {
                net.send_later(WIRES[wire], frame);
            }
            net.settle();
        }
        Step::Wait(quarters) => net.run(quarters * 250),
        Step::Alive(other) => {
            let names = ["hv", "hv2", "vx"]
                .into_iter()
                .chain(other.then_some("gw2"));
            let alive = Alive::Only(names.map(str::to_owned).collect());
            net.node("gw").request(AgentRequest::Alive(alive));
            net.settle();
            // A sweep closes what the node translates no more.
            let before_turn = std::mem::replace(&mut net.before_turn, Node::forget_ways);
            net.settle();
            net.before_turn = before_turn;
        }
        Step::Reload(changes) => {
            let in_force = CHANGES.iter().enumerate();
            let in_force = in_force.filter(|(bit, _)| changes >> bit & 1 == 1);
            let text = in_force.fold(TOPOLOGY.to_owned(), |text, (_, (from, to))| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            });
            net.reload(&text);
        }
        Step::Flush(neighbor) => {
            let request = match neighbor {
                Some(at) => {
                    let (port, address) = NEIGHBORS[*at];
                    let port = match port {
                        "" => UNDERLAY_PORT,
                        name => net.node("gw").port(name),
                    };
                    AgentRequest::FlushNeighbors {
                        port: Some(port),
                        ip: Some(ip(address)),
                        done: None,
                    }
                }
                None => AgentRequest::FlushFdb {
                    domain: None,
                    done: None,
                },
            };
            net.node("gw").request(request);
            net.settle();
        }
        Step::Close => {
            net.node("gw").connections.ask_to_close_all();
            // What is opened in the same moment is closed too; both are to be through with it.
            let before_turn = std::mem::replace(&mut net.before_turn, Node::wake);
            net.settle();
            net.settle();
            net.before_turn = before_turn;
        }
        Step::Silence(wire, silent) => {
            net.hosts.get_mut(WIRES[*wire]).unwrap().answers = !silent;
        }
    }
}

/// Packets that took a cached way, without and with a connection, and those that walked.
fn ways(net: &Network) -> [u64; 3] {
    [Work::Lane, Work::Established, Work::Walk].map(|work| work_done(net, work))
}

fn work_done(net: &Network, work: Work) -> u64 {
    net.node("gw").counters[0].work(work)
}

/// All that may not differ: frames at hosts, counters, connections.
struct Seen {
    got: Vec<(String, Vec<u8>)>,
    counts: BTreeMap<String, u64>,
    connections: Vec<String>,
}

fn seen(net: &mut Network) -> Seen {
    let hosts: Vec<String> = net.hosts.keys().cloned().collect();
    let mut got = Vec::new();
    for name in hosts {
        got.extend(
            net.take(&name)
                .into_iter()
                .map(|frame| (name.clone(), frame)),
        );
    }
    Seen {
        got,
        counts: counts(net.node("gw")),
        connections: connections(net.node("gw")),
    }
}

/// What differs between what was seen of a network and of one in which every packet walked.
fn differences(found: &Seen, walked: &Seen) -> Vec<String> {
    let mut all = Vec::new();
    if found.got != walked.got {
        let lines = |seen: &Seen| -> Vec<String> {
            let line = |(host, frame): &(String, Vec<u8>)| {
                let mut line = format!("{host}: {} ", show(frame));
                frame
                    .iter()
                    .for_each(|byte| write!(line, "{byte:02x}").unwrap());
                line
            };
            seen.got.iter().map(line).collect()
        };
        all.push(format!(
            "frames {:#?}\nwalked {:#?}",
            lines(found),
            lines(walked)
        ));
    }
    for (name, value) in &walked.counts {
        let found = found.counts.get(name);
        if found != Some(value) {
            all.push(format!("{name} {found:?}, walked {value}"));
        }
    }
    if found.connections != walked.connections {
        let (found, walked) = (&found.connections, &walked.connections);
        let only = |some: &[String], others: &[String]| -> Vec<String> {
            some.iter()
                .filter(|one| !others.contains(one))
                .cloned()
                .collect()
        };
        let both = (only(found, walked), only(walked, found));
        all.push(format!("connections {:#?}\nwalked {:#?}", both.0, both.1));
    }
    all
}

fn counts(node: &Node) -> BTreeMap<String, u64> {
    let counters = &node.counters[0];
    let mut all = BTreeMap::new();
    let mut count = |name: String, value| *all.entry(name).or_insert(0) += value;
    for &reason in DropReason::ALL {
        count(format!("drop:{}", reason.name()), counters.drops(reason));
    }
    for class in PuntClass::ALL {
        count(format!("punt:{}", class.name()), counters.punts(class));
    }
    for work in Work::ALL {
        let name = match work {
            Work::Busy | Work::Empty | Work::Sleep => continue,
            Work::Walk | Work::Lane | Work::Established => "by a way",
            _ => work.name(),
        };
        count(name.to_owned(), counters.work(work));
    }
    for device in 0..node.view.devices.len() {
        let (rx, tx) = counters.device(DeviceId(device as u16));
        for (name, value) in [("in", rx), ("out", tx)] {
            count(format!("device {device} {name}"), value.packets);
            count(format!("device {device} {name} bytes"), value.bytes);
        }
    }
    let tables = node.cell.current();
    for port in (0..tables.ports.len() as u32).map(PortId) {
        let (rx, tx) = counters.port(port);
        let name = tables.port_name(port);
        for (way, value) in [("in", rx), ("out", tx)] {
            count(format!("port {name} {way}"), value.packets);
            count(format!("port {name} {way} bytes"), value.bytes);
        }
    }
    for (name, _, value) in node.agent_counters.iter() {
        count(format!("slow:{name}"), value);
    }
    all
}

fn connections(node: &Node) -> Vec<String> {
    let mut all = Vec::new();
    node.connections
        .scan(0, usize::MAX, |connection: Connection| {
            all.push(format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                connection.original,
                connection.reply,
                connection.state,
                connection.flags,
                connection.packets,
                connection.bytes,
                connection.last_seen,
            ));
        });
    all.sort();
    all
}

/// Takes the steps in both networks; an error names the first step after which they differ. Returns how many packets
/// took which way in the one that remembers.
fn compare(deck: &Deck, steps: &[Step]) -> Result<[u64; 3], String> {
    let (mut quick, mut walking) = (network(), network());
    quick.before_turn = Node::wake;
    walking.before_turn = Node::forget_ways;
    let start = ways(&quick);
    let mut last = Vec::new();
    let mut sent = None;
    for step in steps {
        let step = match (step, sent) {
            (Step::Again, Some(burst)) => burst,
            _ => step,
        };
        if let Step::Burst(_) = step {
            sent = Some(step);
        }
        let before = ways(&walking);
        let injected = work_done(&walking, Work::Injected);
        take(&mut quick, deck, &last, step);
        take(&mut walking, deck, &last, step);
        let [lane, established, _] = ways(&walking);
        // Packets that waited for a neighbor come together.
        let alone = matches!(step, Step::Burst(frames) if frames.len() == 1)
            && injected == work_done(&walking, Work::Injected);
        if lane != before[0] || alone && established != before[1] {
            return Err("a packet did not walk".to_owned());
        }
        let (found, walked) = (seen(&mut quick), seen(&mut walking));
        let differences = differences(&found, &walked);
        if !differences.is_empty() {
            return Err(differences.join("\n"));
        }
        if matches!(step, Step::Burst(_)) && !found.got.is_empty() {
            last = found.got;
        }
    }
    let end = ways(&quick);
    Ok([0, 1, 2].map(|way| end[way] - start[way]))
}

/// The steps, one a line, with the frames as they are sent.
fn tell(deck: &Deck, steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Burst(frames) => {
                let (wire, frames) = burst(deck, frames);
                writeln!(text, "{} frames at {}", frames.len(), WIRES[wire]).unwrap();
                for frame in frames {
                    writeln!(text, "  {} ({} bytes)", show(&frame), frame.len()).unwrap();
                }
            }
            step => writeln!(text, "{step:?}").unwrap(),
        }
    }
    text
}

fn number(variable: &str, otherwise: u32) -> u32 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: no number"))
    })
}

#[test]
fn nothing_is_decided_that_the_walk_would_not_decide() {
    let config = ProptestConfig {
        cases: number("SLUICE_DIFFERENTIAL_CASES", 20),
        failure_persistence: None,
        max_shrink_iters: 3_000,
        ..ProptestConfig::default()
    };
    let seed = [number("SLUICE_DIFFERENTIAL_SEED", 1) as u8; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let total = std::cell::Cell::new([0; 3]);
    let card = (0..WIRES.len(), traffic::card());
    let deck = prop::collection::vec(card, 1..7);
    let steps = prop::collection::vec(step(), 1..160);
    let result = runner.run(&(deck, steps), |(deck, steps)| {
        let ways = compare(&deck, &steps).map_err(TestCaseError::fail)?;
        let before = total.get();
        total.set([0, 1, 2].map(|way| before[way] + ways[way]));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, (deck, steps))) => {
            panic!("{reason}\nafter\n{}", tell(&deck, &steps))
        }
    }
    let [lane, established, walk] = total.get();
    println!("{lane} by lane, {established} by connection, {walk} walked");
    // Otherwise the traffic is so mixed that nothing is compared.
    let cached = lane + established;
    assert!(cached * 10 > walk && established > 0, "{:?}", total.get());
}

/// Takes these bursts in both networks: wire and frames of each.
#[track_caller]
fn agree(bursts: &[(&str, Vec<Builder>)]) {
    let (mut quick, mut walking) = (network(), network());
    quick.before_turn = Node::wake;
    walking.before_turn = Node::forget_ways;
    for (number, (wire, frames)) in bursts.iter().enumerate() {
        let [found, walked] = [&mut quick, &mut walking].map(|net| {
            for frame in frames {
                net.send_later(wire, frame.clone());
            }
            net.settle();
            seen(net)
        });
        let differences = differences(&found, &walked);
        assert!(
            differences.is_empty(),
            "burst {number}: {}",
            differences.join("\n")
        );
    }
}

const C1: (&str, &str) = ("02:00:00:00:0c:10", "02:00:00:00:02:01");
const E1: (&str, &str) = ("02:00:00:00:04:10", "02:00:00:00:03:01");
const A1: (&str, &str) = ("02:00:00:00:0a:10", "02:00:00:00:01:01");

#[test]
fn a_redirected_packet_is_translated_by_who_holds_the_port() {
    let from = |src| packet(C1, (src, "8.8.8.8")).udp(1, 2);
    let stranger = || vec![from("10.4.0.10")];
    let tenant = || vec![from("10.2.0.10")];
    agree(&[
        ("c1", stranger()),
        ("c1", stranger()),
        ("c1", tenant()),
        ("c1", tenant()),
    ]);
}

#[test]
fn a_redirected_packet_that_no_rule_wants_is_routed_without_a_step() {
    let outer = Builder::ethernet(device_mac("hv2", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.3"), v4("172.16.0.1"));
    let option = OvnOption {
        in_key: 1,
        out_key: 20,
    };
    let port = "02:00:00:00:02:02";
    let frame = packet((port, port), ("10.4.0.10", "9.9.9.9"))
        .udp(1, 2)
        .encap_geneve(outer, Vni::new(102).unwrap(), Some(option));
    let mut net = network();
    take(&mut net, &Vec::new(), &[], &Step::Alive(false));
    let resolving = net.probe("hv2", frame.clone());
    assert_eq!(resolving.got.len(), 2, "{resolving:?}");
    // The packet that waited for the next hop has walked.
    for _ in 0..2 {
        let before = ways(&net)[0];
        net.probe("hv2", frame.clone()).expect(
            "untranslated",
            &["phys: 02:00:00:00:02:02 > 02:00:00:00:00:fd 10.4.0.10.1 > 9.9.9.9.2 udp ttl 64 len 28"],
            &["gw: walk 1"],
        );
        assert_eq!(ways(&net)[0] - before, 1);
    }
}

#[test]
fn a_packet_belongs_to_the_connection_that_the_one_before_it_opened() {
    let to = |router| packet((A1.0, router), ("10.0.0.10", "8.8.8.8")).udp(1, 2);
    // To a MAC that can only be behind the port where it is unknown who is there.
    let bridged = || to("02:00:00:00:99:99");
    agree(&[
        ("a1", vec![bridged()]),
        ("a1", vec![to(A1.1).udp(3, 4)]),
        ("a1", vec![to(A1.1), bridged()]),
    ]);
}

#[test]
fn a_neighbor_with_another_mac_is_behind_another_port() {
    let out = || vec![packet(E1, ("10.4.0.10", "10.5.0.20")).udp(1, 2)];
    let moves = packet(
        ("02:00:00:00:05:21", "02:00:00:00:03:02"),
        ("10.5.0.20", "10.5.0.1"),
    )
    .arp_reply(v4("10.5.0.20"), v4("10.5.0.1"));
    agree(&[
        ("e1", out()),
        ("e1", out()),
        ("f4", vec![moves]),
        ("e1", out()),
    ]);
}

#[test]
fn a_way_through_a_router_back_to_its_sender_rests_on_the_learned_mac() {
    let its = "02:00:00:00:05:20";
    let back = packet((its, "02:00:00:00:03:02"), ("10.5.0.99", "10.5.0.20")).udp(1, 2);
    let back = || vec![back.clone()];
    let other = packet(
        ("02:00:00:00:05:10", "02:00:00:00:03:02"),
        ("10.5.0.10", "10.5.0.20"),
    );
    let other = || vec![other.clone().udp(1, 2)];
    let moves = packet((its, "02:00:00:00:05:10"), ("10.5.0.20", "10.5.0.10")).udp(1, 2);
    agree(&[
        ("f3", vec![moves.clone()]),
        ("f1", other()),
        ("f3", back()),
        ("f3", back()),
        ("f1", other()),
        ("f4", vec![moves]),
        ("f1", other()),
    ]);
}

#[test]
fn port_security_of_a_port_behind_a_chassis_without_keys() {
    let inner = |src, vni: u32| {
        let (its_mac, dst) = match vni {
            4 => ("02:00:00:00:04:14", "02:00:00:00:04:11"),
            _ => ("02:00:00:00:0a:15", "02:00:00:00:0a:11"),
        };
        let outer = Builder::ethernet(device_mac("vx", "underlay"), device_mac("gw", "eth0"))
            .ipv4(v4("172.16.0.4"), v4("172.16.0.1"));
        packet((its_mac, dst), (src, "9.9.9.9"))
            .udp(1, 2)
            .encap_vxlan(outer, Vni::new(vni).unwrap())
    };
    for (good, vni) in [("10.4.0.14", 4), ("10.0.0.15", 1)] {
        agree(&[
            ("vx", vec![inner(good, vni)]),
            ("vx", vec![inner(good, vni)]),
            ("vx", vec![inner("10.77.0.1", vni)]),
        ]);
    }
}

#[test]
fn padding_behind_a_tunnel_packet_is_cut_off_whether_or_not_it_walks() {
    let mut net = network();
    let inner = packet(
        ("02:00:00:00:0a:12", "02:00:00:00:0a:11"),
        ("10.0.0.12", "10.0.0.11"),
    )
    .udp(1, 2);
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    let option = OvnOption {
        in_key: 12,
        out_key: 11,
    };
    let tunneled = inner
        .clone()
        .encap_geneve(outer, Vni::new(1).unwrap(), Some(option));
    let mut padded = tunneled.build();
    padded.extend([0xee; 7]);
    for _ in 0..2 {
        net.send("hv", padded.clone());
        assert_eq!(net.take_one("a2"), inner.build());
    }
    assert_eq!(ways(&net)[0], 1);
}

#[test]
fn a_packet_that_walks_uses_its_neighbor() {
    let mut net = network();
    // Fragments take no cached way.
    let fragment = packet(E1, ("10.4.0.10", "10.5.0.20")).udp(1, 2);
    let fragment = fragment.payload(&[0; 16]).fragment(0, true);
    for _ in 0..2 {
        net.run(500);
        net.send("e1", fragment.clone());
        let mut neighbors = net.node("gw").learned.neighbors.iter();
        let used = neighbors.find(|(_, neighbor)| neighbor.ip == ip("10.5.0.20"));
        assert_eq!(used.map(|(_, neighbor)| neighbor.used), Some(net.now));
    }
    assert_eq!(ways(&net)[..2], [0, 0]);
}
