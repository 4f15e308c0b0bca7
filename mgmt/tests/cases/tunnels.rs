//! Geneve with port keys: bytes, ECN, floods, underlay.

use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, Vni, parse, show};

use super::lab::*;
use crate::support::{BROADCAST, Network, NodeFile, device_mac, mac, packet, v4};

#[test]
fn a_tunnel_packet_byte_for_byte() {
    let mut net = lab();
    net.send(
        "b",
        packet((B, FAR), ("10.1.0.11", "10.1.0.14"))
            .tos(0xb8)
            .udp(1000, 2000)
            .payload(b"abc"),
    );
    let frame = net.take_one("hv");
    let inner = packet((B, FAR), ("10.1.0.11", "10.1.0.14"))
        .tos(0xb8)
        .udp(1000, 2000)
        .payload(b"abc")
        .build();
    assert_eq!(frame[..6], device_mac("hv", "underlay").0);
    assert_eq!(frame[6..12], gw_mac().0);
    // IPv4, DSCP not copied; length; identification 0 and DF; TTL 64, UDP.
    let len = (20 + 8 + 16 + inner.len()) as u16;
    assert_eq!(frame[12..16], [0x08, 0x00, 0x45, 0x00]);
    assert_eq!(frame[16..18], len.to_be_bytes());
    assert_eq!(frame[18..24], [0, 0, 0x40, 0, 64, 17]);
    assert_eq!(frame[26..34], [172, 16, 0, 1, 172, 16, 0, 2]);
    assert_eq!(frame[36..38], [0x17, 0xc1]);
    assert_eq!(frame[38..40], (len - 20).to_be_bytes());
    assert_ne!(frame[40..42], [0, 0], "the checksum is filled");
    assert_eq!(
        frame[42..58],
        [
            0x02, 0x40, 0x65, 0x58, 0, 0, 1, 0, 0x01, 0x02, 0x80, 0x01, 0, 11, 0, 14
        ]
    );
    assert_eq!(frame[58..], inner);
}

#[test]
fn the_source_port_is_that_of_the_flow() {
    let mut net = lab();
    let mut port = |src: u16, ttl: u8| {
        net.send(
            "b",
            packet((B, FAR), ("10.1.0.11", "10.1.0.14"))
                .ttl(ttl)
                .udp(src, 2000),
        );
        parse(&net.take_one("hv"))
            .unwrap()
            .ip()
            .unwrap()
            .ports()
            .unwrap()
            .0
    };
    let ports: std::collections::BTreeSet<u16> = (0..50).map(|src| port(src, 64)).collect();
    assert!(
        ports.len() > 45 && ports.iter().all(|port| (32_768..=61_000).contains(port)),
        "{ports:?}"
    );
    assert_eq!(port(7, 64), port(7, 9));
}

#[test]
fn what_comes_out_of_a_tunnel() {
    let mut net = lab();
    let delivered = "b: 02:00:00:00:00:0e > 02:00:00:00:00:0b 10.1.0.14.1000 > 10.1.0.11.2000 udp ttl 64 len 28";
    net.probe("hv", tunneled(from_far(), 1, 14, 11)).expect(
        "delivered",
        &[delivered],
        &["gw: walk 1"],
    );
    let zero = tunneled(from_far(), 1, 14, 11).without_udp_checksum_after();
    net.probe("hv", zero)
        .expect("checksum zero", &[delivered], &["gw: walk 1"]);
    // The sending host has decided: what its pipeline let pass is not asked for its source again.
    net.probe(
        "hv",
        tunneled(
            packet((FAR, A), ("10.99.0.1", "10.1.0.10")).udp(1, 2),
            1,
            14,
            10,
        ),
    )
    .expect(
        "no port security behind a tunnel",
        &["a: 02:00:00:00:00:0e > 02:00:00:00:00:0a 10.99.0.1.1 > 10.1.0.10.2 udp ttl 64 len 28"],
        &["gw: walk 1"],
    );
    // To the router: from there on it is routed here.
    let routed = packet((FAR, R_LEFT), ("10.1.0.14", "10.2.0.10")).udp(1, 2);
    net.probe("hv", tunneled(routed, 1, 14, 1)).expect(
        "routed",
        &["d: 02:00:00:00:01:02 > 02:00:00:00:00:0d 10.1.0.14.1 > 10.2.0.10.2 udp ttl 63 len 28"],
        &["gw: walk 1"],
    );
    let echo = packet((FAR, R_LEFT), ("10.1.0.14", "10.1.0.1")).icmp_echo(Echo::Request, 5, 1);
    let outcome = net.probe("hv", tunneled(echo, 1, 14, 1));
    assert_eq!(outcome.got.len(), 1);
    assert!(outcome.got[0].ends_with("geneve vni 1 in 1 out 14 [02:00:00:00:01:01 > 02:00:00:00:00:0e 10.1.0.1 > 10.1.0.14 icmp echo reply id 5 ttl 254 len 28]"), "{outcome:#?}");
}

trait Unchecked {
    fn without_udp_checksum_after(self) -> Vec<u8>;
}

impl Unchecked for Builder {
    /// The tunnel packet with a checksum of zero.
    fn without_udp_checksum_after(self) -> Vec<u8> {
        let mut frame = self.build();
        frame[40..42].copy_from_slice(&[0, 0]);
        frame
    }
}

#[test]
fn a_flood_out_of_a_tunnel_goes_to_local_ports_only() {
    let mut net = lab();
    let broadcast = Builder::ethernet(mac(FAR), mac(BROADCAST)).payload(&[0; 46]);
    net.probe("hv", tunneled(broadcast, 1, 14, 32768)).expect(
        "flood",
        &[
            "a: 02:00:00:00:00:0e > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
            "b: 02:00:00:00:00:0e > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
        ],
        &["gw: copy 2, flood 1, walk 1"],
    );
    // Unknown destinations: nobody here takes such.
    let unknown = Builder::ethernet(mac(FAR), mac("02:00:00:00:00:77")).payload(&[0; 46]);
    net.probe("hv", tunneled(unknown, 1, 14, 32769)).expect(
        "unknown",
        &[],
        &["gw: drop:flood-empty 1, walk 1"],
    );
}

/// RFC 6040 section 4.2, figure 4, in the compatible variant: outer across, inner down.
#[test]
fn ecn_of_both_headers() {
    const NOT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let mut net = lab();
    for (inner, row) in [
        (NOT, [Some(NOT), Some(NOT), Some(NOT), None]),
        (ECT0, [Some(ECT0), Some(ECT1), Some(ECT0), Some(CE)]),
        (ECT1, [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ] {
        for (outer, wanted) in row.into_iter().enumerate() {
            net.send(
                "hv",
                tunneled(from_far().tos(0x28 | inner), 1, 14, 11).tos(outer as u8),
            );
            let got = net.take("b");
            let ecn = got
                .first()
                .map(|frame| parse(frame).unwrap().ip().unwrap().tos);
            assert_eq!(
                ecn,
                wanted.map(|ecn| 0x28 | ecn),
                "inner {inner}, outer {outer}"
            );
        }
    }
    // On the way in the outer header gets the inner ECN and no DSCP.
    for ecn in [NOT, ECT1, ECT0, CE] {
        net.send(
            "b",
            packet((B, FAR), ("10.1.0.11", "10.1.0.14"))
                .tos(0x28 | ecn)
                .udp(1, 2),
        );
        assert_eq!(parse(&net.take_one("hv")).unwrap().ip().unwrap().tos, ecn);
    }
}

#[test]
fn the_underlay_address_answers_arp_and_ping_and_nothing_else() {
    let mut net = lab();
    let hv = device_mac("hv", "underlay");
    let ask = Builder::ethernet(hv, mac(BROADCAST)).arp_request(v4("172.16.0.2"), v4("172.16.0.1"));
    let outcome = net.probe("hv", ask);
    assert_eq!(
        outcome.got,
        [format!(
            "hv: {} > {hv} arp reply 172.16.0.1 to 172.16.0.2 sender {}",
            gw_mac(),
            gw_mac()
        )]
    );
    assert_eq!(
        outcome.moved,
        ["gw: injected 1, punt:underlay 1, slow:answered 1, slow:punts 1"]
    );
    let outcome = net.probe("hv", outer().icmp_echo(Echo::Request, 3, 1));
    assert_eq!(
        outcome.moved,
        ["gw: injected 1, punt:underlay 1, slow:echo-replies 1, slow:punts 1"]
    );
    let outcome = net.probe("hv", outer().icmp(13, 0, [0; 4]).payload(&[0; 12]));
    assert_eq!(outcome.got, Vec::<String>::new());
    assert_eq!(
        outcome.moved,
        ["gw: punt:underlay 1, slow:punts 1, slow:underlay-ignored 1"]
    );
}

/// The MTU of the tunnel: routed packets are told, bridged ones dropped, floods included.
#[test]
fn what_does_not_fit_the_tunnel() {
    // 1600 less Geneve with option and Ethernet.
    let mut net = lab();
    let bridged = |len: usize| {
        packet((B, FAR), ("10.1.0.11", "10.1.0.14"))
            .dont_fragment(true)
            .udp(1, 2)
            .payload(&vec![0; len - 28])
    };
    net.probe("b", bridged(1543))
        .expect("bridged", &[], &["gw: drop:tunnel-mtu 1, walk 1"]);
    assert_eq!(net.probe("b", bridged(1542)).moved, ["gw: walk 1"]);
    net.forget();
    net.send(
        "b",
        Builder::ethernet(mac(B), mac(BROADCAST)).payload(&[0; 1560]),
    );
    assert_eq!(net.take("a").len(), 1);
    assert_eq!(net.take("hv").len(), 0);
    assert_eq!(
        net.moved(),
        ["gw: copy 2, drop:tunnel-mtu 1, flood 1, walk 1"]
    );
}

/// A tagged underlay, with a gateway towards chassis that are not on the link.
#[test]
fn an_underlay_with_a_tag_and_a_gateway() {
    let topology = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.17.0.2", checksum = false }
[switch.s]
key = 1
[switch.s.port.p]
key = 1
addresses = ["02:00:00:00:00:01 10.0.0.1"]
chassis = "gw"
[switch.s.port.q]
key = 2
addresses = ["02:00:00:00:00:02 10.0.0.2"]
chassis = "hv"
"#;
    let node = NodeFile::new("gw")
        .underlay_with(
            "172.16.0.1/24",
            "mtu = 1590\nvlan = 7\ngateway = \"172.16.0.254\"",
        )
        .vifs(&["p"]);
    let mut net = Network::new(topology, &[node]);
    net.host(
        "router",
        "underlay",
        crate::support::Host::hands(mac("02:00:00:00:00:fe")),
    );
    net.settle();
    let asked: Vec<String> = net.take("router").iter().map(|frame| show(frame)).collect();
    let own = device_mac("gw", "eth0");
    assert!(
        asked.contains(&format!(
            "{own} > {BROADCAST} vlan 7 arp who-has 172.16.0.254 tell 172.16.0.1 sender {own}"
        )),
        "{asked:#?}"
    );
    let reply = Builder::ethernet(mac("02:00:00:00:00:fe"), own)
        .vlan(7)
        .arp_reply(v4("172.16.0.254"), v4("172.16.0.1"));
    net.send("router", reply);
    net.forget();
    let inner = packet(
        ("02:00:00:00:00:01", "02:00:00:00:00:02"),
        ("10.0.0.1", "10.0.0.2"),
    )
    .udp(1, 2);
    net.send("p", inner.clone());
    let frame = net.take_one("router");
    assert_eq!(
        frame[..18],
        [
            &mac("02:00:00:00:00:fe").0[..],
            &own.0,
            &[0x81, 0, 0, 7, 8, 0]
        ]
        .concat()
    );
    assert_eq!(frame[44..46], [0, 0], "the peer wants no checksum");
    assert_eq!(frame[62..], inner.build());
    let back = packet(
        ("02:00:00:00:00:02", "02:00:00:00:00:01"),
        ("10.0.0.2", "10.0.0.1"),
    )
    .udp(2, 1)
    .encap_geneve(
        Builder::ethernet(mac("02:00:00:00:00:fe"), own)
            .vlan(7)
            .ipv4(v4("172.17.0.2"), v4("172.16.0.1")),
        Vni::new(1).unwrap(),
        Some(OvnOption {
            in_key: 2,
            out_key: 1,
        }),
    );
    net.probe("router", back.clone()).expect(
        "back",
        &["p: 02:00:00:00:00:02 > 02:00:00:00:00:01 10.0.0.2.2 > 10.0.0.1.1 udp ttl 64 len 28"],
        &["gw: walk 1"],
    );
    let untagged = {
        let mut frame = back.build();
        frame.drain(12..16);
        frame
    };
    net.probe("router", untagged)
        .expect("without the tag", &[], &["gw: drop:no-port-for-vlan 1"]);
}

/// An underlay of 1358 bytes: what is routed into its tunnels is told of 1300, or goes in pieces.
#[test]
fn routed_packets_that_do_not_fit_a_tunnel() {
    let node = NodeFile::new("gw")
        .underlay_with("172.16.0.1/24", "mtu = 1358")
        .vifs(&["a", "b", "d", "e", "f", "off", "v1", "v2", "v3"]);
    let mut net = Network::new(TOPOLOGY, &[node]);
    net.chassis("hv", "172.16.0.2/24");
    let mut net = net.quiet();
    let to_far = |len: usize| {
        packet((D, R_RIGHT), ("10.2.0.10", "10.1.0.14"))
            .dont_fragment(true)
            .udp(1, 2)
            .payload(&vec![0; len - 28])
    };
    assert_eq!(net.probe("d", to_far(1300)).moved, ["gw: walk 1"]);
    net.forget();
    net.send("d", to_far(1301));
    let error = net.take_one("d");
    assert_eq!(
        show(&error),
        "02:00:00:00:01:02 > 02:00:00:00:00:0d 10.2.0.1 > 10.2.0.10 icmp error 3/4 about 10.2.0.10.1 > 10.1.0.14.2 udp ttl 254 tos 0xc0 len 576"
    );
    assert_eq!(error[38..42], [0, 0, 0x05, 0x14], "the MTU is 1300");
    let pieces = net.probe("d", to_far(1400).dont_fragment(false));
    assert_eq!(pieces.got.len(), 2, "{pieces:#?}");
    assert!(
        pieces
            .got
            .iter()
            .all(|got| got.starts_with("hv: ") && got.contains("fragment of"))
    );
    net.assert_no_buffer_lost();
}
