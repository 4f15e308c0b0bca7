//! Switches: port security, answers, floods, learning, VLANs, localnet.

use sluice_net::wire::nd;
use sluice_net::{Builder, Mac, parse, show};

use super::lab::*;
use crate::support::{BROADCAST, Host, Network, NodeFile, mac, packet, v4, v6};

#[test]
fn what_port_security_lets_pass() {
    let mut net = lab();
    let frames = [
        (
            "its IPv4 address",
            packet((A, B), ("10.1.0.10", "10.1.0.11")).udp(1, 2),
        ),
        (
            "its IPv6 address",
            packet((A, B), ("fd00:1::10", "fd00:1::11")).udp(1, 2),
        ),
        (
            "its link-local address",
            packet((A, B), ("fe80::ff:fe00:a", "fe80::1")).udp(1, 2),
        ),
        (
            "DHCP",
            packet((A, B), ("0.0.0.0", "255.255.255.255")).udp(68, 67),
        ),
        (
            "another EtherType",
            Builder::ethernet(mac(A), mac(B)).payload(&[0; 46]),
        ),
        (
            "its ARP",
            Builder::ethernet(mac(A), mac(B)).arp_reply(v4("10.1.0.10"), v4("10.1.0.11")),
        ),
        (
            "an ARP probe",
            Builder::ethernet(mac(A), mac(B)).arp_request(v4("0.0.0.0"), v4("10.1.0.99")),
        ),
        (
            "its advertisement",
            packet((A, B), ("fd00:1::10", "fd00:1::11")).neighbor_advert(
                v6("fd00:1::10"),
                Some(mac(A)),
                nd::FLAG_OVERRIDE,
            ),
        ),
    ];
    for (name, frame) in frames {
        let got = format!("b: {}", show(&frame.build()));
        net.probe("a", frame).expect(name, &[&got], &["gw: walk 1"]);
    }
}

#[test]
fn what_port_security_of_nd_holds_back() {
    let mut net = lab();
    let advert = |src: &str, target: &str, its_mac: &str| {
        packet((A, B), (src, "fd00:1::11")).neighbor_advert(v6(target), Some(mac(its_mac)), 0)
    };
    let frames = [
        ("another's address", advert("fd00:1::10", "fd00:1::66", A)),
        ("another's MAC", advert("fd00:1::10", "fd00:1::10", B)),
        (
            "a question from another",
            packet((A, B), ("fd00:1::66", "fd00:1::11"))
                .neighbor_solicit(v6("fd00:1::11"), Some(mac(A))),
        ),
    ];
    for (name, frame) in frames {
        net.probe("a", frame)
            .expect(name, &[], &["gw: drop:port-security-neighbor 1, walk 1"]);
    }
}

#[test]
fn known_addresses_are_answered_here() {
    let mut net = lab();
    let arp = |target: &str| {
        Builder::ethernet(mac(B), mac(BROADCAST)).arp_request(v4("10.1.0.11"), v4(target))
    };
    let answered = ["gw: injected 1, punt:neighbor 1, slow:answered 1, slow:punts 1, walk 2"];
    for (target, owner) in [("10.1.0.10", A), ("10.1.0.14", FAR), ("10.1.0.1", R_LEFT)] {
        let reply = format!("b: {owner} > {B} arp reply {target} to 10.1.0.11 sender {owner}");
        net.probe("b", arp(target))
            .expect(target, &[&reply], &answered);
    }
    // Asked of one, not of all: the same.
    let unicast = Builder::ethernet(mac(B), mac(A)).arp_request(v4("10.1.0.11"), v4("10.1.0.10"));
    assert_eq!(net.probe("b", unicast).moved, answered);
    let solicit = packet((B, "33:33:ff:00:00:10"), ("fd00:1::11", "ff02::1:ff00:10"))
        .neighbor_solicit(v6("fd00:1::10"), Some(mac(B)));
    net.probe("b", solicit).expect(
        "ND",
        &["b: 02:00:00:00:00:0a > 02:00:00:00:00:0b fd00:1::10 > fd00:1::11 icmp6 neighbor fd00:1::10 is 02:00:00:00:00:0a solicited override ttl 255 len 72"],
        // b's IPv6 address was not known before.
        &["gw: injected 1, punt:neighbor 1, slow:answered 1, slow:neighbors-learned 1, slow:punts 1, walk 2"],
    );
    let solicit = packet((B, "33:33:ff:00:00:01"), ("fd00:1::11", "ff02::1:ff00:1"))
        .neighbor_solicit(v6("fd00:1::1"), Some(mac(B)));
    let outcome = net.probe("b", solicit);
    assert_eq!(
        outcome.got,
        [
            "b: 02:00:00:00:01:01 > 02:00:00:00:00:0b fd00:1::1 > fd00:1::11 icmp6 neighbor fd00:1::1 is 02:00:00:00:01:01 router solicited override ttl 255 len 72"
        ]
    );
}

#[test]
fn unknown_addresses_are_asked_for_everywhere() {
    let mut net = lab();
    let ask =
        Builder::ethernet(mac(B), mac(BROADCAST)).arp_request(v4("10.1.0.11"), v4("10.1.0.99"));
    let outcome = net.probe("b", ask);
    assert_eq!(
        outcome.got[0],
        "a: 02:00:00:00:00:0b > ff:ff:ff:ff:ff:ff arp who-has 10.1.0.99 tell 10.1.0.11 sender 02:00:00:00:00:0b"
    );
    assert!(outcome.got[1].ends_with(
        "geneve vni 1 in 11 out 32768 [02:00:00:00:00:0b > ff:ff:ff:ff:ff:ff arp who-has 10.1.0.99 tell 10.1.0.11 sender 02:00:00:00:00:0b]"
    ), "{outcome:#?}");
    assert_eq!(outcome.got.len(), 2);
    assert_eq!(outcome.moved, ["gw: copy 2, flood 1, walk 1"]);
}

#[test]
fn a_host_that_probes_its_own_address_is_not_told_that_it_is_taken() {
    let mut net = lab();
    let probe =
        Builder::ethernet(mac(A), mac(BROADCAST)).arp_request(v4("0.0.0.0"), v4("10.1.0.10"));
    let outcome = net.probe("a", probe);
    assert!(
        outcome.got.iter().all(|got| !got.contains("reply")),
        "{outcome:#?}"
    );
    let other =
        Builder::ethernet(mac(B), mac(BROADCAST)).arp_request(v4("0.0.0.0"), v4("10.1.0.10"));
    let outcome = net.probe("b", other);
    assert_eq!(
        outcome.got,
        [
            "b: 02:00:00:00:00:0a > 02:00:00:00:00:0b arp reply 10.1.0.10 to 0.0.0.0 sender 02:00:00:00:00:0a"
        ]
    );
}

#[test]
fn access_vlans_are_apart() {
    let mut net = lab();
    let from_v1 =
        |dst: &str| Builder::ethernet(mac("02:00:00:00:00:a1"), mac(dst)).payload(&[0; 46]);
    net.probe("v1", from_v1("02:00:00:00:00:a3")).expect(
        "same VLAN",
        &["v3: 02:00:00:00:00:a1 > 02:00:00:00:00:a3 ethertype 0x88b5 len 60"],
        &["gw: walk 1"],
    );
    net.probe("v1", from_v1(BROADCAST)).expect(
        "broadcast",
        &["v3: 02:00:00:00:00:a1 > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60"],
        &["gw: copy 1, flood 1, walk 1"],
    );
    net.probe(
        "v2",
        Builder::ethernet(mac("02:00:00:00:00:a2"), mac(BROADCAST)).payload(&[0; 46]),
    )
    .expect(
        "alone in its VLAN",
        &[],
        &["gw: drop:flood-empty 1, walk 1"],
    );
    let arp = Builder::ethernet(mac("02:00:00:00:00:a2"), mac(BROADCAST))
        .arp_request(v4("10.4.0.2"), v4("10.4.0.1"));
    net.probe("v2", arp)
        .expect("ARP across", &[], &["gw: drop:flood-empty 1, walk 1"]);
}

/// A switch on the wire with two VIFs that learn, one of them in the trunk's VLAN, and a port on another chassis.
const WIRED: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.s]
key = 9
mac_limit = 3
mac_age = 60
[switch.s.port.p]
key = 1
addresses = ["unknown"]
chassis = "gw"
[switch.s.port.q]
key = 2
addresses = ["unknown"]
chassis = "gw"
[switch.s.port.ln]
key = 3
type = "localnet"
network = "wire"
tag = 300
[switch.s.port.away]
key = 4
addresses = ["02:00:00:00:00:04 10.9.0.4"]
chassis = "hv"
"#;

fn wired() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["p", "q"])
        .network("wire", "eth1");
    let mut net = Network::new(WIRED, &[node]);
    net.chassis("hv", "172.16.0.2/24");
    net.host("out", "wire", Host::hands(mac("02:00:00:00:00:99")));
    net.host("out2", "wire", Host::hands(mac("02:00:00:00:00:98")));
    net.quiet()
}

fn frame(src: &str, dst: &str) -> Builder {
    Builder::ethernet(mac(src), mac(dst)).payload(&[0; 46])
}

const P: &str = "02:00:00:00:00:01";
const Q: &str = "02:00:00:00:00:02";
const OUT: &str = "02:00:00:00:00:99";

#[test]
fn the_wire_has_its_tag_and_no_copies_go_into_tunnels() {
    let mut net = wired();
    net.probe("p", frame(P, BROADCAST)).expect(
        "broadcast",
        &[
            "out: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 300 ethertype 0x88b5 len 64",
            "out2: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 300 ethertype 0x88b5 len 64",
            "q: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
        ],
        &["gw: copy 2, flood 1, slow:macs-learned 1, walk 1"],
    );
    net.probe("out", frame(OUT, BROADCAST).vlan(300)).expect(
        "from the wire",
        &[
            "out2: 02:00:00:00:00:99 > ff:ff:ff:ff:ff:ff vlan 300 ethertype 0x88b5 len 64",
            "p: 02:00:00:00:00:99 > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
            "q: 02:00:00:00:00:99 > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
        ],
        &["gw: copy 2, flood 1, slow:macs-learned 1, walk 1"],
    );
    // A priority of the tag is no VLAN of its own.
    net.probe("out", frame(OUT, P).vlan(0xa000 | 300)).expect(
        "with a priority",
        &["p: 02:00:00:00:00:99 > 02:00:00:00:00:01 ethertype 0x88b5 len 60"],
        &["gw: walk 1"],
    );
    for other in [None, Some(301)] {
        let frame = match other {
            None => frame(OUT, P),
            Some(tag) => frame(OUT, P).vlan(tag),
        };
        assert_eq!(
            net.probe("out", frame).moved,
            ["gw: drop:no-port-for-vlan 1"]
        );
    }
    // A VIF of another chassis is behind the wire here.
    net.probe("p", frame(P, "02:00:00:00:00:04")).expect(
        "static address elsewhere",
        &[
            "out: 02:00:00:00:00:01 > 02:00:00:00:00:04 vlan 300 ethertype 0x88b5 len 64",
            "out2: 02:00:00:00:00:01 > 02:00:00:00:00:04 vlan 300 ethertype 0x88b5 len 64",
        ],
        &["gw: walk 1"],
    );
}

#[test]
fn macs_are_learned_move_age_and_are_limited() {
    let mut net = wired();
    net.probe("p", frame(P, BROADCAST));
    net.probe("q", frame(Q, P)).expect(
        "known",
        &["p: 02:00:00:00:00:02 > 02:00:00:00:00:01 ethertype 0x88b5 len 60"],
        &["gw: slow:macs-learned 1, walk 1"],
    );
    // P moves behind q, by a frame of its own.
    net.probe("q", frame(P, BROADCAST))
        .moved
        .iter()
        .for_each(|moved| {
            assert_eq!(moved, "gw: copy 2, flood 1, slow:macs-moved 1, walk 1");
        });
    net.probe("p", frame("02:00:00:00:00:03", P)).expect(
        "follows",
        &["q: 02:00:00:00:00:03 > 02:00:00:00:00:01 ethertype 0x88b5 len 60"],
        &["gw: slow:macs-learned 1, walk 1"],
    );
    // Three is the limit of this switch.
    let moved = net.probe("p", frame("02:00:00:00:00:06", P)).moved;
    assert_eq!(moved, ["gw: slow:macs-refused 1, walk 1"]);
    // Silent for a minute: forgotten, and flooded to again.
    net.run(70_000);
    let moved = net.probe("p", frame("02:00:00:00:00:06", P)).moved;
    assert_eq!(moved, ["gw: copy 2, flood 1, slow:macs-learned 1, walk 1"]);
}

#[test]
fn a_frame_to_its_own_port_is_not_sent_back() {
    let mut net = wired();
    net.probe("out", frame(OUT, BROADCAST).vlan(300));
    net.probe("out2", frame("02:00:00:00:00:98", BROADCAST).vlan(300));
    // The physical switch forgot: both are on the wire, nothing comes back out of it.
    let node = net.node("gw");
    node.feed(
        node.device("eth1"),
        0,
        &frame("02:00:00:00:00:98", OUT).vlan(300).build(),
    );
    net.settle();
    net.forget();
    let node = net.node("gw");
    node.feed(
        node.device("eth1"),
        0,
        &frame("02:00:00:00:00:98", OUT).vlan(300).build(),
    );
    net.settle();
    assert_eq!(net.moved(), ["gw: drop:hairpin 1, walk 1"]);
}

#[test]
fn an_inner_tag_of_a_vif_is_no_business_of_ours() {
    let mut net = wired();
    // A priority tag (VLAN 0) is the untagged VLAN.
    net.probe("p", frame(P, BROADCAST).vlan(0xe000))
        .got
        .iter()
        .for_each(|got| {
            assert!(
                got.starts_with("q: ") && got.ends_with("60") || got.starts_with("out"),
                "{got}"
            );
        });
    assert_eq!(
        net.probe("p", frame(P, Q).vlan(7)).moved,
        ["gw: drop:no-port-for-vlan 1"]
    );
    let parsed = parse(&frame(P, Q).build()).unwrap();
    assert_ne!(parsed.eth_src, Mac::ZERO);
}

#[test]
fn ports_and_devices_count_frames_and_bytes() {
    let mut net = lab();
    for len in [10, 20] {
        net.send(
            "a",
            packet((A, B), ("10.1.0.10", "10.1.0.11"))
                .udp(1, 2)
                .payload(&vec![0; len]),
        );
    }
    net.send("b", Builder::ethernet(mac(B), mac("02:00:00:00:00:77")));
    let node = net.node("gw");
    let port = |name: &str| {
        let (rx, tx) = node.counters[0].port(node.port(name));
        [rx.packets, rx.bytes, tx.packets, tx.bytes]
    };
    // 42 bytes of headers; a dropped frame came in all the same.
    assert_eq!(port("a"), [2, 42 + 10 + 42 + 20, 0, 0]);
    assert_eq!(port("b"), [1, 14, 2, 42 + 10 + 42 + 20]);
    let (rx, tx) = node.counters[0].device(node.device("b"));
    assert_eq!([rx.packets, rx.bytes, tx.packets, tx.bytes], port("b"));
}
