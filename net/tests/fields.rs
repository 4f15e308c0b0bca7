//! Fields as numbers, of frames as they are on the wire.

use std::net::IpAddr;

use sluice_net::builder::Echo;
use sluice_net::{Builder, Field, Headers, Mac, parse};

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ethernet() -> Builder {
    Builder::ethernet(A, B)
}

fn v4() -> Builder {
    ethernet()
        .ip(ip("10.0.0.1"), ip("10.0.0.2"))
        .ttl(7)
        .tos(0xb9)
}

fn v6() -> Builder {
    ethernet().ip(ip("fd00::1"), ip("fd00::2"))
}

fn parsed(frame: Builder) -> Headers {
    parse(&frame.build()).unwrap()
}

#[test]
fn every_field_reads_what_the_frame_says() {
    use Field::*;
    let arp = ethernet().arp_request("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap());
    let cases: Vec<(Builder, Vec<(Field, u128)>)> = vec![
        (
            v4().tcp(1000, 443, 0x12).vlan(0x2064),
            vec![
                (EthSrc, 0x0200_0000_000a),
                (EthDst, 0x0200_0000_000b),
                (EthType, 0x800),
                (VlanTci, 0x3064),
                (IpProto, 6),
                (IpDscp, 0x2e),
                (IpEcn, 1),
                (IpTtl, 7),
                (IpFrag, 0),
                (Ip4Src, 0x0a00_0001),
                (Ip4Dst, 0x0a00_0002),
                (TcpSrc, 1000),
                (TcpDst, 443),
                (TcpFlags, 0x12),
            ],
        ),
        (
            v4().udp(53, 5353),
            vec![(VlanTci, 0), (UdpSrc, 53), (UdpDst, 5353)],
        ),
        (v4().sctp(7, 8), vec![(SctpSrc, 7), (SctpDst, 8)]),
        (
            v4().icmp_echo(Echo::Request, 1, 1),
            vec![(Icmp4Type, 8), (Icmp4Code, 0)],
        ),
        (
            v4().icmp_echo(Echo::Reply, 1, 1),
            vec![(Icmp4Type, 0), (Icmp4Code, 0)],
        ),
        (
            v4().icmp(13, 5, [0; 4]),
            vec![(Icmp4Type, 13), (Icmp4Code, 5)],
        ),
        (
            v4().icmp(3, 1, [0; 4]),
            vec![(Icmp4Type, 3), (Icmp4Code, 1)],
        ),
        (
            v6().icmp_echo(Echo::Request, 1, 1),
            vec![
                (EthType, 0x86dd),
                (Ip6Src, 0xfd00 << 112 | 1),
                (Ip6Dst, 0xfd00 << 112 | 2),
                (Icmp6Type, 128),
                (Icmp6Code, 0),
            ],
        ),
        (
            v6().icmp_echo(Echo::Reply, 1, 1),
            vec![(Icmp6Type, 129), (Icmp6Code, 0)],
        ),
        (
            arp,
            vec![
                (EthType, 0x806),
                (ArpOp, 1),
                (ArpSpa, 0x0a00_0001),
                (ArpTpa, 0x0a00_0009),
                (ArpSha, 0x0200_0000_000a),
                (ArpTha, 0),
            ],
        ),
    ];
    for (frame, fields) in cases {
        let headers = parsed(frame);
        for (field, value) in fields {
            assert_eq!(
                field.read(&headers),
                Some(value),
                "{field:?} of {headers:?}"
            );
            assert!(
                field.bits() == 128 || value >> field.bits() == 0,
                "{field:?} is wider"
            );
        }
    }
}

#[test]
fn fragments_say_what_they_are_and_later_ones_have_no_ports() {
    let first = parsed(v4().udp(53, 5353).fragment(0, true));
    assert_eq!(Field::IpFrag.read(&first), Some(1));
    assert_eq!(Field::UdpDst.read(&first), Some(5353));
    let later = parsed(v4().protocol(17).payload(&[9; 16]).fragment(16, false));
    assert_eq!(Field::IpFrag.read(&later), Some(3));
    assert_eq!(Field::UdpDst.read(&later), Some(0));
    assert_eq!(Field::TcpDst.read(&later), None);
}

#[test]
fn other_protocols_have_nothing_there() {
    let udp = parsed(v4().udp(53, 5353));
    for field in [
        Field::ArpOp,
        Field::Ip6Src,
        Field::TcpSrc,
        Field::TcpFlags,
        Field::SctpDst,
        Field::Icmp4Type,
        Field::Icmp6Type,
        Field::NdTarget,
        Field::NdSll,
    ] {
        assert_eq!(field.read(&udp), None, "{field:?}");
    }
    // ICMP inside IPv6 is not ICMPv6.
    let stray = parsed(v6().protocol(1).payload(&[8; 8]));
    assert_eq!(Field::Icmp4Type.read(&stray), None);
    assert_eq!(Field::IpProto.read(&stray), Some(1));
}

#[test]
fn neighbor_discovery() {
    let target = "fd00::9".parse().unwrap();
    let solicit = parsed(v6().ttl(255).neighbor_solicit(target, Some(A)));
    assert_eq!(Field::Icmp6Type.read(&solicit), Some(135));
    assert_eq!(Field::NdTarget.read(&solicit), Some(0xfd00 << 112 | 9));
    assert_eq!(Field::NdSll.read(&solicit), Some(0x0200_0000_000a));
    assert_eq!(Field::NdTll.read(&solicit), None);
    let bare = parsed(v6().ttl(255).neighbor_solicit(target, None));
    assert_eq!(Field::NdSll.read(&bare), Some(0));
}
