//! Distributed floating IPs: translated on the chassis of their VM, which has the wire too.
//!
//! ```text
//!   in 10.0.0.0/24: here .10 (gw), far .12 (hv), far2 .13 (hv)
//!        |
//!   10.0.0.1  d  203.0.113.1, held by gw      SNAT 10.0.0.0/24 -> 203.0.113.1
//!                     |                       distributed: far .22, at hv, 02:00:00:00:0f:22
//!                    up 203.0.113.254         both gw and hv are on the wire
//! ```

use sluice_net::wire::tcp;
use sluice_net::{Builder, Mac, parse, show};

use crate::support::{Host, Network, NodeFile, mac, packet, v4};

const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.in.port.here]
addresses = ["02:00:00:00:00:10 10.0.0.10"]
chassis = "gw"
[switch.in.port.far]
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "hv"
[switch.in.port.far2]
addresses = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.in.port.in-d]
type = "router"
router_port = "d-in"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-d]
type = "router"
router_port = "d-out"
[router.d.port.d-in]
mac = "02:00:00:00:01:01"
networks = ["10.0.0.1/24"]
[router.d.port.d-out]
mac = "02:00:00:00:01:02"
networks = ["203.0.113.1/24"]
gateway_chassis = { gw = 1 }
[[router.d.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[[router.d.nat]]
type = "snat"
logical_ip = "10.0.0.0/24"
external_ip = "203.0.113.1"
[[router.d.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.12"
external_ip = "203.0.113.22"
external_mac = "02:00:00:00:0f:22"
logical_port = "far"
"#;

const D_IN: &str = "02:00:00:00:01:01";
const D_OUT: &str = "02:00:00:00:01:02";
const UP: &str = "02:00:00:00:00:fe";
const FLOATING: &str = "02:00:00:00:0f:22";

fn network_of(topology: &str) -> Network {
    let nodes = [
        NodeFile::new("gw")
            .underlay("172.16.0.1/24")
            .vifs(&["here"])
            .network("wire", "eth1"),
        NodeFile::new("hv")
            .underlay("172.16.0.2/24")
            .vifs(&["far", "far2"])
            .network("wire", "eth1"),
    ];
    let mut net = Network::new(topology, &nodes);
    net.host(
        "up",
        "wire",
        Host::station(mac(UP), &["203.0.113.254/24"], Some("203.0.113.1")),
    );
    for (name, address, ip) in [
        ("here", "02:00:00:00:00:10", "10.0.0.10/24"),
        ("far", "02:00:00:00:00:12", "10.0.0.12/24"),
        ("far2", "02:00:00:00:00:13", "10.0.0.13/24"),
    ] {
        let station = Host::station(mac(address), &[ip], Some("10.0.0.1"));
        net.hosts.insert(name.to_owned(), station);
    }
    net.run(20_000);
    net
}

/// What passed the wire since it was forgotten, ARP and announcements left out.
fn wire(net: &Network) -> Vec<String> {
    let frames = net.frames().filter(|(wire, _)| *wire == "wire");
    let packets = frames.filter(|(_, frame)| {
        let headers = parse(frame).unwrap();
        headers.ip().is_some_and(|ip| !ip.is_v6())
    });
    packets.map(|(_, frame)| show(frame).to_string()).collect()
}

#[test]
fn its_chassis_alone_answers_and_announces() {
    let mut net = network_of(TOPOLOGY);
    let announced: Vec<Mac> = net
        .frames()
        .filter(|(wire, _)| *wire == "wire")
        .filter_map(|(_, frame)| {
            let headers = parse(frame).unwrap();
            let arp = *headers.arp()?;
            let itself = arp.sender_ip == v4("203.0.113.22") && arp.target_ip == arp.sender_ip;
            itself.then_some(arp.sender_mac)
        })
        .collect();
    assert_eq!(announced, [mac(FLOATING); 5]);
    let ask = Builder::ethernet(mac(UP), Mac::BROADCAST)
        .arp_request(v4("203.0.113.254"), v4("203.0.113.22"));
    net.hosts.get_mut("up").unwrap().answers = false;
    let outcome = net.probe("up", ask);
    let wanted =
        format!("up: {FLOATING} > {UP} arp reply 203.0.113.22 to 203.0.113.254 sender {FLOATING}");
    assert_eq!(outcome.got, [wanted]);
}

#[test]
fn packets_pass_by_the_chassis_of_the_vm() {
    let mut net = network_of(TOPOLOGY);
    assert_eq!(net.ping("up", "203.0.113.22"), Some(63));
    assert_eq!(net.ping("far", "203.0.113.254"), Some(63));
    net.moved();
    net.forget();
    for n in 0..3 {
        let syn = packet((UP, FLOATING), ("8.8.8.8", "203.0.113.22"));
        net.send("up", syn.tcp(1000 + n, 80, tcp::SYN));
        let got = net.take("far");
        let last = parse(got.last().unwrap()).unwrap();
        assert_eq!(last.ip().unwrap().dst.to_string(), "10.0.0.12");
        let answer = packet(("02:00:00:00:00:12", D_IN), ("10.0.0.12", "8.8.8.8"));
        net.send("far", answer.tcp(80, 1000 + n, tcp::SYN | tcp::ACK));
    }
    let moved = net.moved();
    assert!(
        moved.iter().all(|moved| !moved.starts_with("gw")),
        "{moved:?}"
    );
    for line in wire(&net)
        .iter()
        .filter(|line| line.contains("203.0.113.22.80 >"))
    {
        assert!(line.starts_with(&format!("{FLOATING} > {UP}")), "{line}");
    }
    // Established packets take the cached way, both ways.
    let ack = packet((UP, FLOATING), ("8.8.8.8", "203.0.113.22")).tcp(1000, 80, tcp::ACK);
    net.send("up", ack.clone());
    net.moved();
    net.send("up", ack);
    assert_eq!(net.moved(), ["hv: established 1"]);
}

#[test]
fn it_needs_no_gateway() {
    let mut net = network_of(TOPOLOGY);
    net.kill("gw");
    net.run(60_000);
    assert_eq!(net.ping("up", "203.0.113.22"), Some(63));
    assert_eq!(net.ping("far", "203.0.113.254"), Some(63));
}

#[test]
fn others_go_by_the_gateway() {
    let mut net = network_of(TOPOLOGY);
    let before = wire(&net).len();
    assert_eq!(net.ping("far2", "203.0.113.254"), Some(63));
    assert_eq!(net.ping("here", "203.0.113.254"), Some(63));
    let seen = wire(&net);
    assert!(seen.len() > before);
    for line in &seen[before..] {
        assert!(
            line.contains(D_OUT) && !line.contains("203.0.113.22"),
            "{line}"
        );
    }
    // From inside it is reached over the wire, sources translated by the gateway.
    let before = seen.len();
    assert_eq!(net.ping("here", "203.0.113.22"), Some(62));
    assert_eq!(net.ping("far2", "203.0.113.22"), Some(62));
    let seen = &wire(&net)[before..];
    for line in seen {
        assert!(
            line.contains("203.0.113.1") && line.contains("203.0.113.22"),
            "{line}"
        );
    }
    assert_eq!(seen.len(), 4, "{seen:#?}");
    assert_eq!(net.ping("far", "203.0.113.22"), Some(62));
}

/// The gateway carries floating IPs of its own VMs out too, each with its MAC.
#[test]
fn on_the_gateway_itself() {
    let moved = TOPOLOGY
        .replace("10.0.0.12\"\nexternal_ip", "10.0.0.10\"\nexternal_ip")
        .replace("logical_port = \"far\"", "logical_port = \"here\"");
    let mut net = network_of(&moved);
    let before = wire(&net).len();
    assert_eq!(net.ping("up", "203.0.113.22"), Some(63));
    assert_eq!(net.ping("here", "203.0.113.254"), Some(63));
    for line in &wire(&net)[before..] {
        assert!(line.contains(FLOATING) && !line.contains(D_OUT), "{line}");
    }
    // Inside it goes the same ways as any other's.
    for host in ["far", "far2", "here"] {
        assert_eq!(net.ping(host, "203.0.113.22"), Some(62), "{host}");
    }
}

#[test]
fn a_rule_that_goes_ends_its_connections() {
    let mut net = network_of(TOPOLOGY);
    assert_eq!(net.ping("up", "203.0.113.22"), Some(63));
    let without = TOPOLOGY.rsplit_once("[[router.d.nat]]").unwrap().0;
    net.reload(without);
    net.run(2_000);
    assert_eq!(net.ping("up", "203.0.113.22"), None);
    assert_eq!(net.node("hv").connections.len(), 0);
    net.reload(TOPOLOGY);
    net.run(20_000);
    assert_eq!(net.ping("up", "203.0.113.22"), Some(63));
}
