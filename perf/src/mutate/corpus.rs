//! Right frames of all kinds, each with the device it belongs to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, icmpv6, ip_proto, nd, tcp};
use sluice_net::{Builder, Mac, Vni};

use super::node::UNDERLAY_MAC;

const UNDERLAY: u64 = 0;
const WIRE: u64 = 1;
const A: u64 = 2;
const B: u64 = 3;
const V: u64 = 4;
const W: u64 = 5;

const MAC_A: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const MAC_B: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const MAC_FAR: Mac = Mac([2, 0, 0, 0, 0, 0x0c]);
const MAC_E: Mac = Mac([2, 0, 0, 0, 0, 0x0e]);
const MAC_UP: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
const R_LEFT: Mac = Mac([2, 0, 0, 0, 1, 1]);
const G_MID: Mac = Mac([2, 0, 0, 0, 2, 1]);
const G_OUT: Mac = Mac([2, 0, 0, 0, 2, 2]);
const D_EXT: Mac = Mac([2, 0, 0, 0, 3, 2]);

/// The frames.
pub(super) struct Corpus {
    /// Device and frame.
    pub(super) frames: Vec<(u64, Vec<u8>)>,
    /// Outer headers up to the inner frame.
    pub(super) outer: Vec<Vec<u8>>,
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().expect("an address of the corpus")
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address of the corpus")
}

fn ip(macs: (Mac, Mac), src: &str, dst: &str) -> Builder {
    let address = |text: &str| text.parse::<IpAddr>().expect("an address of the corpus");
    Builder::ethernet(macs.0, macs.1).ip(address(src), address(dst))
}

impl Corpus {
    pub(super) fn new() -> Self {
        let inner = inner();
        let mut frames: Vec<(u64, Builder)> = inner.clone();
        frames.extend(wire());
        frames.extend(vifs());
        frames.extend(underlay());
        frames.extend(tunneled(&inner));
        let build = |frame: &Builder| frame.build();
        let empty = Builder::ethernet(MAC_FAR, MAC_B).ethertype(0x88b5);
        let cut = |frame: Builder| {
            let whole = frame.build();
            whole[..whole.len() - 14].to_vec()
        };
        Self {
            frames: frames
                .iter()
                .map(|(device, frame)| (*device, build(frame)))
                .collect(),
            outer: vec![
                cut(geneve(empty.clone(), 1, 12, 11)),
                cut(geneve(empty.clone(), 1, 12, 1)),
                cut(geneve(empty.clone(), 102, 1, 3)),
                cut(vxlan(empty, 42)),
            ],
        }
    }
}

/// What goes through the routers and the NAT, both ways.
fn inner() -> Vec<(u64, Builder)> {
    let out = || ip((MAC_A, R_LEFT), "10.1.0.10", "8.8.8.8");
    let out6 = || ip((MAC_A, R_LEFT), "fd00:1::10", "2001:db8:9::1");
    let back = || ip((MAC_UP, G_OUT), "8.8.8.8", "203.0.113.1");
    let seen = ip((MAC_UP, MAC_UP), "203.0.113.1", "8.8.8.8")
        .ttl(1)
        .udp(4000, 53)
        .payload(&[7; 40])
        .build();
    let got = ip((MAC_UP, MAC_UP), "8.8.8.8", "10.1.0.10")
        .udp(53, 4000)
        .build();
    vec![
        (A, out().udp(4000, 53).payload(b"question")),
        (A, out().tcp(4001, 80, tcp::SYN)),
        (A, out().tcp(4001, 80, tcp::ACK).payload(&[1; 700])),
        (A, out().tcp(4001, 80, tcp::FIN | tcp::ACK)),
        (A, out().icmp_echo(Echo::Request, 7, 1).payload(&[2; 56])),
        (A, out().ttl(1).udp(33_434, 33_434)),
        (A, out().udp(4002, 53).ip_options(&[7, 7, 4, 0, 0, 0, 0, 0])),
        (A, out().sctp(1, 2)),
        (A, out().protocol(47).payload(&[0; 40])),
        (A, out().udp(4003, 53).fragment(0, true).payload(&[3; 64])),
        (
            A,
            out()
                .protocol(ip_proto::UDP)
                .fragment(72, false)
                .payload(&[3; 64]),
        ),
        (A, out().udp(4004, 53).payload(&[4; 1450])),
        (
            A,
            out().dont_fragment(true).udp(4004, 53).payload(&[4; 1450]),
        ),
        (
            A,
            out()
                .icmp(icmpv4::UNREACHABLE, 3, [0; 4])
                .payload(&got[14..]),
        ),
        (A, ip((MAC_A, R_LEFT), "10.1.0.10", "10.66.0.1").udp(1, 2)),
        (
            A,
            ip((MAC_A, R_LEFT), "10.1.0.10", "10.1.0.1").icmp_echo(Echo::Request, 8, 1),
        ),
        (A, ip((MAC_A, R_LEFT), "10.1.0.10", "10.2.0.1").udp(1, 2)),
        (A, out6().udp(4000, 53).payload(b"question")),
        (A, out6().tcp(4000, 80, tcp::SYN)),
        (A, out6().ttl(1).icmp_echo(Echo::Request, 7, 1)),
        (
            A,
            out6()
                .extension(ip_proto::HOP_BY_HOP, &[1, 4, 0, 0, 0, 0])
                .udp(1, 2),
        ),
        (
            A,
            out6()
                .extension(ip_proto::DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .udp(1, 2)
                .fragment(0, true)
                .payload(&[1; 64]),
        ),
        (A, out6().udp(1, 2).payload(&[5; 1400])),
        (
            A,
            ip((MAC_A, R_LEFT), "fd00:1::10", "fd00:1::1").icmp_echo(Echo::Request, 8, 1),
        ),
        (WIRE, back().udp(53, 4000).payload(b"answer")),
        (WIRE, back().tcp(80, 4001, tcp::SYN | tcp::ACK)),
        (WIRE, back().tcp(80, 4001, tcp::RST)),
        (WIRE, back().icmp_echo(Echo::Reply, 7, 1).payload(&[2; 56])),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "198.51.100.7", "203.0.113.1")
                .icmp(icmpv4::TIME_EXCEEDED, 0, [0; 4])
                .payload(&seen[14..]),
        ),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "8.8.8.8", "203.0.113.1")
                .icmp(icmpv4::UNREACHABLE, 4, [0, 0, 5, 0])
                .payload(&seen[14..]),
        ),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "203.0.113.254", "10.1.0.10").tcp(5000, 22, tcp::SYN),
        ),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "203.0.113.254", "10.1.0.12").udp(5000, 22),
        ),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "2001:db8::fe", "fd00:1::10").udp(1, 2),
        ),
        (
            WIRE,
            ip((MAC_UP, G_OUT), "2001:db8::fe", "fd00:1::12")
                .icmp(icmpv6::PACKET_TOO_BIG, 0, [0, 0, 5, 0])
                .payload(&[0x60; 60]),
        ),
    ]
}

/// ARP, ND, and whatever else is on a physical network.
fn wire() -> Vec<(u64, Builder)> {
    let from_up = |dst| Builder::ethernet(MAC_UP, dst);
    let tagged = |frame: Builder| (WIRE, frame.vlan(200));
    vec![
        (
            WIRE,
            from_up(Mac::BROADCAST).arp_request(v4("203.0.113.254"), v4("203.0.113.1")),
        ),
        (
            WIRE,
            from_up(G_OUT).arp_reply(v4("203.0.113.254"), v4("203.0.113.1")),
        ),
        (
            WIRE,
            from_up(Mac::BROADCAST).arp_request(v4("203.0.113.9"), v4("203.0.113.9")),
        ),
        (
            WIRE,
            from_up(G_OUT)
                .ipv6(v6("2001:db8::fe"), v6("2001:db8::1"))
                .neighbor_advert(
                    v6("2001:db8::fe"),
                    Some(MAC_UP),
                    nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE,
                ),
        ),
        (
            WIRE,
            from_up(Mac([0x33, 0x33, 0xff, 0, 0, 1]))
                .ipv6(v6("2001:db8::fe"), v6("ff02::1:ff00:1"))
                .neighbor_solicit(v6("2001:db8::1"), Some(MAC_UP)),
        ),
        (
            WIRE,
            from_up(Mac([1, 0, 0x5e, 0, 0, 5]))
                .ipv4(v4("203.0.113.254"), v4("224.0.0.5"))
                .protocol(89)
                .payload(&[0; 44]),
        ),
        (
            WIRE,
            from_up(Mac([1, 0x80, 0xc2, 0, 0, 0]))
                .ethertype(0x0026)
                .payload(&[0; 40]),
        ),
        tagged(from_up(Mac::BROADCAST).arp_request(v4("198.51.100.254"), v4("198.51.100.1"))),
        tagged(from_up(D_EXT).arp_reply(v4("198.51.100.254"), v4("198.51.100.1"))),
        tagged(ip((MAC_UP, D_EXT), "9.9.9.9", "198.51.100.1").udp(53, 4000)),
        tagged(ip((MAC_UP, D_EXT), "198.51.100.254", "10.5.0.10").udp(53, 4000)),
        tagged(
            ip((MAC_UP, D_EXT), "198.51.100.254", "198.51.100.1").icmp_echo(Echo::Request, 1, 1),
        ),
    ]
}

fn vifs() -> Vec<(u64, Builder)> {
    let station = |last| Mac([6, 0, 0, 0, 0, last]);
    let mut frames = vec![
        (
            B,
            Builder::ethernet(MAC_B, Mac::BROADCAST).arp_request(v4("10.1.0.11"), v4("10.1.0.1")),
        ),
        (
            B,
            Builder::ethernet(MAC_B, Mac::BROADCAST).arp_request(v4("10.1.0.11"), v4("10.1.0.99")),
        ),
        (B, ip((MAC_B, MAC_A), "10.1.0.11", "10.1.0.10").udp(1, 2)),
        (
            B,
            ip((MAC_B, MAC_FAR), "10.1.0.11", "10.1.0.12")
                .tos(0b10)
                .udp(1, 2),
        ),
        (
            B,
            ip((MAC_B, MAC_FAR), "10.1.0.11", "10.1.0.12")
                .udp(1, 2)
                .payload(&[0; 1530]),
        ),
        (B, ip((MAC_B, R_LEFT), "10.1.0.11", "10.1.0.12").udp(1, 2)),
        (B, Builder::ethernet(MAC_B, station(1)).payload(&[0; 46])),
        (
            A,
            Builder::ethernet(MAC_A, Mac([0x33, 0x33, 0xff, 0, 0, 1]))
                .ipv6(v6("fd00:1::10"), v6("ff02::1:ff00:1"))
                .neighbor_solicit(v6("fd00:1::1"), Some(MAC_A)),
        ),
        (
            A,
            ip((MAC_A, Mac::BROADCAST), "0.0.0.0", "255.255.255.255")
                .udp(68, 67)
                .payload(&[1; 240]),
        ),
    ];
    for (device, own, other) in [(V, 2, 3), (W, 3, 4), (W, 5, 9)] {
        frames.push((
            device,
            Builder::ethernet(station(own), station(other)).payload(&[0; 46]),
        ));
        frames.push((
            device,
            Builder::ethernet(station(own), Mac::BROADCAST)
                .arp_request(v4("192.168.0.2"), v4("192.168.0.3")),
        ));
    }
    frames
}

fn outer(last: u8) -> Builder {
    Builder::ethernet(Mac([0x0e, 0, 0, 0, 1, last]), UNDERLAY_MAC)
        .ipv4(Ipv4Addr::new(172, 16, 0, last), v4("172.16.0.1"))
        .dont_fragment(true)
}

fn geneve(inner: Builder, vni: u32, in_key: u16, out_key: u16) -> Builder {
    let vni = Vni::new(vni).expect("a key of the corpus");
    inner.encap_geneve(outer(2), vni, Some(OvnOption { in_key, out_key }))
}

fn vxlan(inner: Builder, vni: u32) -> Builder {
    inner.encap_vxlan(outer(3), Vni::new(vni).expect("a key of the corpus"))
}

/// What the underlay has for the node itself.
fn underlay() -> Vec<(u64, Builder)> {
    let host = |last: u8, dst| Builder::ethernet(Mac([0x0e, 0, 0, 0, 1, last]), dst);
    let mut frames: Vec<(u64, Builder)> = (2..=4)
        .map(|last| {
            host(last, UNDERLAY_MAC).arp_reply(Ipv4Addr::new(172, 16, 0, last), v4("172.16.0.1"))
        })
        .map(|frame| (UNDERLAY, frame))
        .collect();
    frames.extend([
        (
            UNDERLAY,
            host(2, Mac::BROADCAST).arp_request(v4("172.16.0.2"), v4("172.16.0.1")),
        ),
        (
            UNDERLAY,
            outer(2).icmp_echo(Echo::Request, 1, 1).payload(&[0; 56]),
        ),
        (UNDERLAY, outer(2).udp(1, 2)),
        (UNDERLAY, outer(9).udp(1, 6081).payload(&[0; 30])),
    ]);
    frames
}

/// Frames of other chassis: to VIFs, routers, gateway ports, groups; and everything inside a tunnel that is not meant to be.
fn tunneled(inner: &[(u64, Builder)]) -> Vec<(u64, Builder)> {
    let far = |dst, to: &str| ip((MAC_FAR, dst), "10.1.0.12", to).tos(0b10).udp(4000, 53);
    let redirected = || ip((D_EXT, MAC_UP), "10.5.0.10", "9.9.9.9").udp(4000, 53);
    let broadcast =
        || Builder::ethernet(MAC_FAR, Mac::BROADCAST).arp_request(v4("10.1.0.12"), v4("10.1.0.1"));
    let plain = |dst| Builder::ethernet(Mac([6, 0, 0, 0, 0, 9]), dst).payload(&[0; 46]);
    let nested = geneve(far(MAC_B, "10.1.0.11"), 1, 12, 11);
    let mut frames = vec![
        geneve(far(MAC_B, "10.1.0.11"), 1, 12, 11),
        geneve(far(MAC_B, "10.1.0.11"), 1, 12, 11).tos(0b11),
        geneve(far(R_LEFT, "8.8.8.8"), 1, 12, 1),
        geneve(far(R_LEFT, "10.1.0.1"), 1, 12, 1),
        geneve(
            ip((MAC_FAR, R_LEFT), "fd00:1::12", "2001:db8:9::1").udp(1, 2),
            1,
            12,
            1,
        ),
        geneve(
            ip((Mac([2, 0, 0, 0, 1, 2]), G_MID), "10.1.0.12", "8.8.8.8").udp(4001, 53),
            2,
            1,
            2,
        ),
        geneve(broadcast(), 1, 12, 32_768),
        geneve(broadcast(), 1, 12, 32_769),
        geneve(redirected(), 102, 1, 3),
        geneve(redirected().ttl(1), 102, 1, 3),
        geneve(
            Builder::ethernet(D_EXT, Mac::BROADCAST)
                .arp_request(v4("198.51.100.1"), v4("198.51.100.254")),
            102,
            1,
            3,
        ),
        geneve(
            ip((MAC_E, MAC_E), "10.5.0.10", "10.5.0.1").udp(1, 2),
            5,
            10,
            1,
        ),
        geneve(nested, 1, 12, 11),
        vxlan(plain(Mac([6, 0, 0, 0, 0, 3])), 42),
        vxlan(plain(Mac::BROADCAST), 42),
        vxlan(plain(Mac::BROADCAST).vlan(100), 42),
    ];
    frames.extend(
        inner
            .iter()
            .map(|(_, frame)| geneve(frame.clone(), 1, 12, 1)),
    );
    frames.into_iter().map(|frame| (UNDERLAY, frame)).collect()
}
