//! Frames from small pools, so that they repeat and collide.

use std::net::IpAddr;

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::tcp;
use sluice_net::{Builder, L4, Mac, Vni};

use crate::support::{device_mac, ip, mac, v4};

/// Where frames come from: VIFs, physical networks, chassis.
pub const WIRES: [&str; 18] = [
    "e1", "e2", "e3", "f1", "f3", "f4", "h1", "a1", "a2", "a4", "b1", "o1", "c1", "wire", "phys",
    "hv", "hv2", "vx",
];

/// A sender: MAC, IPv4 address, IPv6 address, and the MAC of its router.
type Station = (&'static str, &'static str, &'static str, &'static str);

const N_E: &str = "02:00:00:00:03:01";
const N_F: &str = "02:00:00:00:03:02";
const R1_A: &str = "02:00:00:00:01:01";
const R1_B: &str = "02:00:00:00:01:02";
const G_OUT: &str = "02:00:00:00:01:05";
const D_C: &str = "02:00:00:00:02:01";
const D_EXT: &str = "02:00:00:00:02:02";

/// Those behind a wire; of a chassis, with tunnel key, input and output key.
fn stations(wire: usize) -> &'static [(Station, (u32, u16, u16))] {
    const NONE: (u32, u16, u16) = (0, 0, 0);
    const E: [(Station, (u32, u16, u16)); 4] = [
        (("02:00:00:00:04:10", "10.4.0.10", "fd00:4::10", N_E), NONE),
        (("02:00:00:00:04:1f", "10.4.0.99", "fd00:4::99", N_E), NONE),
        (("02:00:00:00:04:11", "10.4.0.11", "fd00:4::11", N_E), NONE),
        (("02:00:00:00:04:12", "10.4.0.12", "fd00:4::12", N_E), NONE),
    ];
    const F: [(Station, (u32, u16, u16)); 4] = [
        (("02:00:00:00:05:10", "10.5.0.10", "fd00:5::10", N_F), NONE),
        (("02:00:00:00:05:20", "10.5.0.20", "fd00:5::20", N_F), NONE),
        (("02:00:00:00:05:21", "10.5.0.21", "fd00:5::21", N_F), NONE),
        (("02:00:00:00:05:21", "10.6.0.7", "fd00:6::7", N_F), NONE),
    ];
    const A: [(Station, (u32, u16, u16)); 4] = [
        (("02:00:00:00:0a:10", "10.0.0.10", "fd00:a::10", R1_A), NONE),
        (
            ("02:00:00:00:0a:10", "10.0.0.110", "fd00:a::10", R1_A),
            NONE,
        ),
        (("02:00:00:00:0a:11", "10.0.0.11", "fd00:a::11", R1_A), NONE),
        (
            ("02:00:00:00:0a:13", "10.0.0.200", "fd00:a::13", R1_A),
            NONE,
        ),
    ];
    match WIRES[wire] {
        "e1" => &E[..2],
        "e2" => &E[1..3],
        "e3" => &E[2..],
        "f1" => &F[..2],
        "f3" => &F[1..3],
        "f4" => &F[2..],
        "h1" => &[(
            (
                "02:00:00:00:07:10",
                "10.7.0.10",
                "fd00:7::10",
                "02:00:00:00:03:05",
            ),
            NONE,
        )],
        "a1" => &A[..2],
        "a2" => &A[1..3],
        "a4" => &A[2..],
        "b1" => &[(("02:00:00:00:0b:10", "10.1.0.10", "fd00:b::10", R1_B), NONE)],
        "c1" => &[(("02:00:00:00:0c:10", "10.2.0.10", "fd00:c::10", D_C), NONE)],
        "o1" => &[
            (
                ("02:00:00:00:00:f1", "203.0.113.51", "fd00:f::51", G_OUT),
                NONE,
            ),
            (
                ("02:00:00:00:00:fe", "203.0.113.254", "fd00:f::fe", G_OUT),
                NONE,
            ),
        ],
        "wire" => &[
            (("02:00:00:00:00:fe", "8.8.8.8", "fd00:88::8", G_OUT), NONE),
            (
                ("02:00:00:00:00:fe", "203.0.113.254", "fd00:f::fe", G_OUT),
                NONE,
            ),
            (
                ("02:00:00:00:00:f1", "203.0.113.51", "fd00:f::51", G_OUT),
                NONE,
            ),
            (("02:00:00:00:05:21", "10.5.0.21", "fd00:5::21", N_F), NONE),
            (("02:00:00:00:05:77", "10.5.0.77", "fd00:5::77", N_F), NONE),
        ],
        "phys" => &[(("02:00:00:00:00:fd", "8.8.8.8", "fd00:88::8", D_EXT), NONE)],
        "hv" => &[
            (
                ("02:00:00:00:04:13", "10.4.0.13", "fd00:4::13", N_E),
                (4, 13, 1),
            ),
            (
                (
                    "02:00:00:00:04:13",
                    "10.4.0.13",
                    "fd00:4::13",
                    "02:00:00:00:04:11",
                ),
                (4, 13, 11),
            ),
            (
                ("02:00:00:00:05:11", "10.5.0.11", "fd00:5::11", N_F),
                (5, 11, 1),
            ),
            (
                (
                    "02:00:00:00:05:11",
                    "10.5.0.11",
                    "fd00:5::11",
                    "02:00:00:00:05:20",
                ),
                (5, 11, 12),
            ),
            (
                ("02:00:00:00:0a:12", "10.0.0.12", "fd00:a::12", R1_A),
                (1, 12, 1),
            ),
            (
                (
                    "02:00:00:00:0a:12",
                    "10.0.0.12",
                    "fd00:a::12",
                    "02:00:00:00:0a:11",
                ),
                (1, 12, 11),
            ),
            (
                ("02:00:00:00:0b:11", "10.1.0.11", "fd00:b::11", R1_B),
                (2, 11, 1),
            ),
            ((D_EXT, "10.2.0.11", "fd00:c::11", D_EXT), (102, 1, 20)),
            (
                ("02:00:00:00:0c:11", "10.2.0.11", "fd00:c::11", D_C),
                (3, 11, 1),
            ),
        ],
        "hv2" => &[
            (
                ("02:00:00:00:0a:14", "10.0.0.14", "fd00:a::14", R1_A),
                (1, 14, 1),
            ),
            (
                (
                    "02:00:00:00:0a:14",
                    "10.0.0.14",
                    "fd00:a::14",
                    "02:00:00:00:0a:10",
                ),
                (1, 14, 10),
            ),
            (
                (D_EXT, "10.2.0.11", "fd00:c::11", "02:00:00:00:00:fd"),
                (102, 1, 20),
            ),
        ],
        _ => &[
            (
                ("02:00:00:00:04:14", "10.4.0.14", "fd00:4::14", N_E),
                (4, 0, 0),
            ),
            (
                ("02:00:00:00:04:15", "10.4.0.15", "fd00:4::15", N_E),
                (4, 0, 0),
            ),
            (
                ("02:00:00:00:0a:15", "10.0.0.15", "fd00:a::15", R1_A),
                (1, 0, 0),
            ),
        ],
    }
}

const MACS: [&str; 24] = [
    "ff:ff:ff:ff:ff:ff",
    "01:00:5e:00:00:05",
    "33:33:00:00:00:01",
    "01:80:c2:00:00:02",
    N_E,
    N_F,
    R1_A,
    R1_B,
    G_OUT,
    D_C,
    D_EXT,
    "02:00:00:00:04:10",
    "02:00:00:00:04:11",
    "02:00:00:00:04:12",
    "02:00:00:00:04:13",
    "02:00:00:00:04:14",
    "02:00:00:00:05:20",
    "02:00:00:00:05:21",
    "02:00:00:00:0a:10",
    "02:00:00:00:0a:13",
    "02:00:00:00:0a:15",
    "02:00:00:00:00:fe",
    "02:00:00:00:00:f1",
    "02:00:00:00:99:99",
];

const V4: [&str; 41] = [
    "10.4.0.10",
    "10.4.0.11",
    "10.4.0.13",
    "10.4.0.14",
    "10.5.0.10",
    "10.5.0.11",
    "10.5.0.20",
    "10.5.0.21",
    "10.5.0.77",
    "10.6.0.7",
    "10.6.0.8",
    "10.66.0.1",
    "10.7.0.10",
    "10.0.0.10",
    "10.0.0.11",
    "10.0.0.12",
    "10.0.0.14",
    "10.0.0.200",
    "10.1.0.10",
    "10.1.0.11",
    "10.2.0.10",
    "10.2.0.11",
    "8.8.8.8",
    "9.9.9.9",
    "198.51.100.7",
    "203.0.113.254",
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.10",
    "203.0.113.11",
    "203.0.113.30",
    "203.0.113.31",
    "192.0.2.1",
    "192.0.2.2",
    "198.18.0.30",
    "198.18.0.1",
    "198.18.0.20",
    "198.18.0.21",
    "127.0.0.1",
    "10.4.0.1",
    "224.0.0.5",
];

const V6: [&str; 34] = [
    "fd00:4::10",
    "fd00:4::11",
    "fd00:4::13",
    "fd00:5::10",
    "fd00:5::11",
    "fd00:5::20",
    "fd00:6::7",
    "fd00:7::10",
    "fd00:a::10",
    "fd00:4::1",
    "fe80::1",
    "ff02::1",
    "fd00:a::11",
    "fd00:a::12",
    "fd00:a::14",
    "fd00:a::15",
    "fd00:b::10",
    "fd00:b::11",
    "fd00:c::10",
    "fd00:c::11",
    "fd00:88::8",
    "fd00:f::fe",
    "fd00:f::1",
    "fd00:f::2",
    "fd00:f::10",
    "fd00:f::11",
    "fd00:f::30",
    "fd00:f::31",
    "fd00:99::1",
    "fd00:99::2",
    "fd00:d::30",
    "fd00:d::1",
    "fd00:d::20",
    "fd00:d::21",
];

/// What is above IP.
#[derive(Clone, Copy, Debug)]
enum Upper {
    Udp,
    UdpWithoutChecksum,
    Tcp(u8),
    Echo(bool),
    Error,
    Sctp,
}

/// A frame, by places in the pools.
#[derive(Clone, Debug)]
pub struct Sent {
    station: usize,
    src_mac: Option<usize>,
    dst_mac: Option<usize>,
    src: Option<usize>,
    dst: usize,
    v6: bool,
    upper: Upper,
    ports: (u16, u16),
    ttl: u8,
    tos: u8,
    outer_tos: u8,
    len: usize,
    dont_fragment: bool,
    fragment: Option<u16>,
    vlan: Option<u16>,
    arp: Option<bool>,
    keys: Option<(u32, u16, u16)>,
    spoil: Option<usize>,
    padding: usize,
}

fn rarely<T: std::fmt::Debug + Clone>(
    weight: f64,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(weight, value)
}

fn upper() -> impl Strategy<Value = Upper> {
    let flags = prop_oneof![
        4 => Just(tcp::SYN),
        4 => Just(tcp::ACK),
        2 => Just(tcp::SYN | tcp::ACK),
        1 => Just(tcp::FIN | tcp::ACK),
        1 => Just(tcp::RST),
        1 => any::<u8>()
    ];
    prop_oneof![
        8 => Just(Upper::Udp),
        2 => Just(Upper::UdpWithoutChecksum),
        8 => flags.prop_map(Upper::Tcp),
        3 => any::<bool>().prop_map(Upper::Echo),
        1 => Just(Upper::Error),
        1 => Just(Upper::Sctp),
    ]
}

pub fn sent() -> impl Strategy<Value = Sent> {
    let ttl = prop_oneof![12 => Just(64u8), 1 => 0u8..5];
    let len = prop_oneof![8 => Just(20usize), 2 => 0usize..64, 1 => 1250usize..1280, 1 => 1350usize..1380, 1 => 1440usize..1600];
    let tos = || prop_oneof![6 => Just(0u8), 1 => 1u8..4, 1 => any::<u8>()];
    let place = (
        0usize..16,
        rarely(0.3, 0..MACS.len()),
        rarely(0.25, 0..MACS.len()),
        rarely(0.3, 0usize..V4.len()),
        0usize..V4.len(),
        prop::bool::weighted(0.4),
        rarely(
            0.06,
            prop_oneof![Just(42u16), Just(0), Just(7), Just(0x6000 | 42)],
        ),
        rarely(0.15, any::<bool>()),
        rarely(
            0.1,
            (
                prop_oneof![1u32..10, 100u32..105],
                0u16..21,
                prop_oneof![0u16..21, 32_768u16..32_773],
            ),
        ),
    );
    let packet = (
        upper(),
        (1u16..4, 1u16..3),
        ttl,
        tos(),
        tos(),
        len,
        any::<bool>(),
        rarely(0.04, 0u16..3),
        rarely(0.04, 14usize..64),
        prop_oneof![12 => Just(0usize), 1 => 1usize..24],
    );
    (place, packet).prop_map(|(place, packet)| {
        let (station, src_mac, dst_mac, src, dst, v6, vlan, arp, keys) = place;
        let (upper, ports, ttl, tos, outer_tos, len, dont_fragment, fragment, spoil, padding) =
            packet;
        Sent {
            station,
            src_mac,
            dst_mac,
            src,
            dst,
            v6,
            upper,
            ports,
            ttl,
            tos,
            outer_tos,
            len,
            dont_fragment,
            fragment,
            vlan,
            arp,
            keys,
            spoil,
            padding,
        }
    })
}

/// A frame that is sent again and again: most are such as go through.
pub fn card() -> impl Strategy<Value = Sent> {
    (sent(), prop::bool::weighted(0.85)).prop_map(|(sent, plain)| match plain {
        false => sent,
        true => Sent {
            src_mac: None,
            dst_mac: sent.dst_mac.filter(|at| at % 2 == 0),
            src: None,
            ttl: 64,
            fragment: None,
            vlan: None,
            arp: None,
            keys: None,
            spoil: None,
            padding: 0,
            ..sent
        },
    })
}

impl Sent {
    /// The same but for what the bits of `what` say, which is as in `other`.
    pub fn varied(&self, other: &Sent, what: u16) -> Sent {
        let mut sent = self.clone();
        let bit = |at: u16| what >> at & 1 == 1;
        if bit(0) {
            sent.ports = other.ports;
        }
        if bit(1) {
            sent.upper = other.upper;
        }
        if bit(2) {
            sent.dst = other.dst;
        }
        if bit(3) {
            (sent.ttl, sent.tos, sent.outer_tos) = (other.ttl, other.tos, other.outer_tos);
        }
        if bit(4) {
            (sent.len, sent.dont_fragment) = (other.len, other.dont_fragment);
        }
        if bit(5) {
            sent.station = other.station;
        }
        if bit(6) {
            (sent.src_mac, sent.dst_mac, sent.src) = (other.src_mac, other.dst_mac, other.src);
        }
        if bit(7) {
            (sent.fragment, sent.vlan, sent.arp) = (other.fragment, other.vlan, other.arp);
        }
        if bit(8) {
            (sent.keys, sent.spoil, sent.padding) = (other.keys, other.spoil, other.padding);
        }
        sent
    }
}

/// What the receiver of a UDP or TCP packet answers, with these TCP flags.
pub fn answer(frame: &[u8], flags: u8) -> Option<Vec<u8>> {
    let headers = sluice_net::parse(frame).ok()?;
    let ip = headers.ip()?;
    let back = Builder::ethernet(headers.eth_dst, headers.eth_src);
    let back = match headers.vlan {
        Some(tag) => back.vlan(tag),
        None => back,
    };
    let back = back.ip(ip.dst, ip.src);
    match ip.l4 {
        L4::Udp { src, dst } => Some(back.udp(dst, src).payload(&[7; 20]).build()),
        L4::Tcp { src, dst, .. } => Some(back.tcp(dst, src, flags).build()),
        _ => None,
    }
}

/// The bytes of a frame on a wire.
pub fn frame(wire: usize, sent: &Sent) -> Vec<u8> {
    let stations = stations(wire);
    let (station, keys) = stations[sent.station % stations.len()];
    let mut frame = match WIRES[wire] {
        chassis @ ("hv" | "hv2" | "vx") => {
            let inner = logical(sent, station);
            let last = match chassis {
                "hv" => 2,
                "hv2" => 3,
                _ => 4,
            };
            let src = v4(&format!("172.16.0.{last}"));
            let outer =
                Builder::ethernet(device_mac(chassis, "underlay"), device_mac("gw", "eth0"))
                    .ipv4(src, v4("172.16.0.1"))
                    .tos(sent.outer_tos)
                    .dont_fragment(true);
            let (vni, in_key, out_key) = sent.keys.unwrap_or(keys);
            let vni = Vni::new(vni).unwrap();
            let tunneled = match (chassis, sent.keys) {
                ("vx", _) => inner.encap_vxlan(outer, vni),
                (_, Some((_, 0, 0))) => inner.encap_geneve(outer, vni, None),
                _ => inner.encap_geneve(outer, vni, Some(OvnOption { in_key, out_key })),
            };
            tunneled.build()
        }
        "wire" if station.3 == N_F && sent.vlan.is_none() => logical(
            &Sent {
                vlan: Some(42),
                ..sent.clone()
            },
            station,
        )
        .build(),
        _ => logical(sent, station).build(),
    };
    if let Some(at) = sent.spoil
        && let Some(byte) = frame.get_mut(at)
    {
        *byte ^= 0x41;
    }
    frame.resize(frame.len() + sent.padding, 0xee);
    frame
}

/// The frame as the logical network sees it.
fn logical(sent: &Sent, (its_mac, address4, address6, router): Station) -> Builder {
    let from = |at: Option<usize>, own| at.map_or(own, |at| MACS[at]);
    let macs = (
        mac(from(sent.src_mac, its_mac)),
        mac(from(sent.dst_mac, router)),
    );
    let base = Builder::ethernet(macs.0, macs.1);
    let base = match sent.vlan {
        Some(tci) => base.vlan(tci),
        None => base,
    };
    if let Some(reply) = sent.arp {
        let (own, other) = (v4(address4), v4(V4[sent.dst]));
        return match reply {
            true => base.arp_reply(sent.src.map_or(own, |at| v4(V4[at])), other),
            false => Builder::ethernet(macs.0, Mac::BROADCAST).arp_request(own, other),
        };
    }
    let pick = |own: &str, pool: &[&str], at: Option<usize>| {
        ip(at.map_or(own, |at| pool[at % pool.len()]))
    };
    let (src, dst) = match sent.v6 {
        true => (pick(address6, &V6, sent.src), ip(V6[sent.dst % V6.len()])),
        false => (pick(address4, &V4, sent.src), ip(V4[sent.dst])),
    };
    let base = base
        .ip(src, dst)
        .ttl(sent.ttl)
        .tos(sent.tos)
        .dont_fragment(sent.dont_fragment);
    let payload = vec![0x5a; sent.len];
    let (sport, dport) = sent.ports;
    let packet = match sent.upper {
        Upper::Udp => base.udp(sport, dport),
        Upper::UdpWithoutChecksum => base.udp(sport, dport).without_udp_checksum(),
        Upper::Tcp(flags) => base.tcp(sport, dport, flags),
        Upper::Echo(reply) => {
            base.icmp_echo(if reply { Echo::Reply } else { Echo::Request }, sport, 1)
        }
        Upper::Error => return error(base, (src, dst), sent.ports),
        Upper::Sctp => base.sctp(sport, dport),
    };
    match sent.fragment {
        Some(0) => packet.payload(&payload[..sent.len & !7]).fragment(0, true),
        Some(_) if !sent.v6 => base_fragment(&packet, &payload),
        _ => packet.payload(&payload),
    }
}

/// A later fragment.
fn base_fragment(packet: &Builder, payload: &[u8]) -> Builder {
    packet.clone().payload(payload).fragment(0, true)
}

/// Port unreachable, about a packet that goes the other way.
fn error(base: Builder, (src, dst): (IpAddr, IpAddr), (sport, dport): (u16, u16)) -> Builder {
    let about = Builder::ethernet(Mac::ZERO, Mac::ZERO)
        .ip(dst, src)
        .udp(dport, sport)
        .payload(&[1; 8]);
    let (kind, code) = if src.is_ipv4() { (3, 3) } else { (1, 4) };
    base.icmp(kind, code, [0; 4]).payload(&about.build()[14..])
}
