//! Ethernet, ARP, IPv4, IPv6 and transport headers: what is accepted, and each reason to refuse.

mod frames;

use std::net::IpAddr;

use frames::*;
use sluice_net::builder::Echo;
use sluice_net::wire::{ip_proto, ipv4, tcp};
use sluice_net::{
    Arp, Builder, Extent, Fragment, Headers, Ip, L3 as Layer3, L4, Mac, ParseError, parse,
};

fn ip(frame: &[u8]) -> Ip {
    *parse(frame).unwrap().ip().unwrap()
}

#[test]
fn ethernet_and_tags() {
    let plain = ether().payload(&[0; 46]).build();
    let expected = Headers {
        eth_dst: MAC_B,
        eth_src: MAC_A,
        vlan: None,
        ethertype: 0x88b5,
        l3_offset: 14,
        l3: Layer3::Other,
    };
    assert_eq!(parse(&plain), Ok(expected));
    assert_eq!(parse(&plain[..13]), Err(ParseError::EthernetTruncated));
    assert_eq!(parse(&plain[..14]), Ok(expected));

    let tagged = ether().vlan(0xa064).payload(&[0; 46]).build();
    assert_eq!(
        parse(&tagged),
        Ok(Headers {
            vlan: Some(0xa064),
            l3_offset: 18,
            ..expected
        })
    );
    assert_eq!(parse(&tagged).unwrap().vlan_id(), Some(100));
    assert_eq!(parse(&tagged[..17]), Err(ParseError::VlanTruncated));
    let priority = ether().vlan(0xa000).build();
    assert_eq!(
        parse(&priority).unwrap().vlan_id(),
        None,
        "a priority tag names no VLAN"
    );

    // A second tag is not looked into, even when an IP packet follows.
    let mut double = ether()
        .vlan(100)
        .ethertype(0x8100)
        .payload(&[0, 7, 8, 0])
        .build();
    double.extend_from_slice(&v4().udp(1, 2).build()[14..]);
    let headers = parse(&double).unwrap();
    assert_eq!((headers.ethertype, headers.l3), (0x8100, Layer3::Other));

    assert_eq!(parse(&vec![0; 65536]), Err(ParseError::FrameTooLong));
    assert!(parse(&vec![0; 65535]).is_ok());
}

#[test]
fn arp() {
    let frame = Builder::ethernet(MAC_A, Mac::BROADCAST)
        .arp_request(IP_A, IP_B)
        .build();
    let expected = Arp {
        op: 1,
        sender_mac: MAC_A,
        sender_ip: IP_A,
        target_mac: Mac::ZERO,
        target_ip: IP_B,
    };
    assert_eq!(parse(&frame).unwrap().arp(), Some(&expected));
    assert_eq!(parse(&frame[..41]), Err(ParseError::ArpMalformed));
    for (at, value) in [(15, 6), (17, 1), (18, 8), (19, 16)] {
        let mut other = frame.clone();
        other[at] = value;
        assert_eq!(parse(&other), Err(ParseError::ArpMalformed), "byte {at}");
    }
    let reply = ether().arp_reply(IP_A, IP_B).build();
    let expected = Arp {
        op: 2,
        target_mac: MAC_B,
        ..expected
    };
    assert_eq!(parse(&reply).unwrap().arp(), Some(&expected));
}

#[test]
fn every_field_of_an_ipv4_packet() {
    let frame = v4()
        .tos(0xb9)
        .ttl(3)
        .dont_fragment(true)
        .ip_id(0xbeef)
        .ip_options(&[0x94, 4, 0, 0])
        .tcp(40000, 443, tcp::SYN | tcp::ECE | tcp::CWR)
        .payload(b"abc")
        .build();
    let expected = Ip {
        src: IP_A.into(),
        dst: IP_B.into(),
        proto: ip_proto::TCP,
        tos: 0xb9,
        ttl: 3,
        total_len: 24 + 20 + 3,
        l4_offset: 14 + 24,
        fragment: Fragment::None,
        extent: Extent {
            offset: 0,
            len: 20 + 3,
            more: false,
        },
        fragment_id: 0xbeef,
        dont_fragment: true,
        l4: L4::Tcp {
            src: 40000,
            dst: 443,
            flags: 0xc2,
        },
    };
    assert_eq!(ip(&frame), expected);
    let mut padded = frame.clone();
    padded.extend_from_slice(&[0xee; 9]);
    assert_eq!(ip(&padded), expected, "padding is not the packet's");
    let tagged = frame[..12]
        .iter()
        .chain(&[0x81, 0, 0, 5])
        .chain(&frame[12..]);
    let tagged: Vec<u8> = tagged.copied().collect();
    assert_eq!(
        ip(&tagged),
        Ip {
            l4_offset: 18 + 24,
            ..expected
        }
    );
}

#[test]
fn every_field_of_an_ipv6_packet() {
    let frame = v6()
        .tos(0xb9)
        .ttl(3)
        .flow_label(0xf_ffff)
        .udp(40000, 443)
        .payload(b"abc")
        .build();
    let expected = Ip {
        src: IP6_A.into(),
        dst: IP6_B.into(),
        proto: ip_proto::UDP,
        tos: 0xb9,
        ttl: 3,
        total_len: 40 + 8 + 3,
        l4_offset: 14 + 40,
        fragment: Fragment::None,
        extent: Extent {
            offset: 0,
            len: 8 + 3,
            more: false,
        },
        fragment_id: 0,
        dont_fragment: true,
        l4: L4::Udp {
            src: 40000,
            dst: 443,
        },
    };
    assert_eq!(ip(&frame), expected);
    assert!(expected.is_v6());
}

#[test]
fn refused_ipv4_headers() {
    let good = v4().udp(1, 2).payload(&[0; 20]).build();
    let broken = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[L3 + at] = value;
        mend_ipv4(&mut frame);
        parse(&frame).map(|_| ())
    };
    assert_eq!(broken(0, 0x45), Ok(()));
    assert_eq!(broken(0, 0x65), Err(ParseError::Ipv4Version));
    assert_eq!(broken(0, 0x05), Err(ParseError::Ipv4Version));
    assert_eq!(broken(0, 0x44), Err(ParseError::Ipv4HeaderLength));
    assert_eq!(
        broken(0, 0x4f),
        Err(ParseError::Ipv4HeaderLength),
        "60 bytes of header in 48"
    );
    assert_eq!(broken(3, 19), Err(ParseError::Ipv4TotalLength));
    assert_eq!(
        broken(3, 27),
        Err(ParseError::UdpLength),
        "no room for a UDP header"
    );
    assert_eq!(broken(3, 49), Err(ParseError::Ipv4Truncated));
    assert_eq!(broken(2, 0xff), Err(ParseError::Ipv4Truncated));
    assert_eq!(parse(&good[..33]), Err(ParseError::Ipv4Truncated));
    let mut options = v4().ip_options(&[1; 8]).udp(1, 2).build();
    set_ipv4_u16(&mut options, 2, 27);
    assert_eq!(
        parse(&options),
        Err(ParseError::Ipv4TotalLength),
        "ends inside its options"
    );
    for bit in 0..160 {
        // Any one bit of the header: the checksum, or a check before it.
        let mut frame = good.clone();
        frame[L3 + bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&frame).is_err(), "bit {bit}");
    }
}

#[test]
fn refused_ipv6_headers() {
    let good = v6().udp(1, 2).payload(&[0; 20]).build();
    let broken = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[L3 + at] = value;
        parse(&frame).map(|_| ())
    };
    assert_eq!(broken(0, 0x45), Err(ParseError::Ipv6Version));
    assert_eq!(broken(5, 29), Err(ParseError::Ipv6Truncated));
    assert_eq!(broken(5, 27), Err(ParseError::UdpLength));
    assert_eq!(parse(&good[..53]), Err(ParseError::Ipv6Truncated));
    let mut jumbo = v6()
        .extension(ip_proto::HOP_BY_HOP, &[0xc2, 4, 0, 1, 0, 0])
        .build();
    jumbo[L3 + 4..L3 + 6].fill(0);
    assert_eq!(parse(&jumbo), Err(ParseError::Ipv6Jumbogram));
    let mut frame = good.clone();
    frame[L3 + 4..L3 + 6].copy_from_slice(&65496u16.to_be_bytes());
    assert_eq!(
        parse(&frame),
        Err(ParseError::Ipv6Jumbogram),
        "packet of 65536 bytes"
    );
    frame[L3 + 5] -= 1;
    assert_eq!(parse(&frame), Err(ParseError::Ipv6Truncated));
}

#[test]
fn transport_lengths() {
    for (src, dst) in both() {
        let base = ether().ip(src, dst);
        let l4 = L3 + if src.is_ipv4() { 20 } else { 40 };

        let tcp = base.clone().tcp(1, 2, 0).payload(&[0; 4]).build();
        for (offset, expected) in [
            (0x40, Err(ParseError::TcpHeader)),
            (0x50, Ok(())),
            (0x60, Ok(())),
            (0x70, Err(ParseError::TcpHeader)),
        ] {
            let mut frame = tcp.clone();
            frame[l4 + 12] = offset;
            assert_eq!(
                parse(&frame).map(|_| ()),
                expected,
                "data offset {offset:#x}"
            );
        }

        let mut short = base.clone().tcp(1, 2, 0).payload(&[0; 3]).build();
        short[l4 + 12] = 0x60;
        assert_eq!(
            parse(&short),
            Err(ParseError::TcpHeader),
            "one byte of the options is missing"
        );

        let udp = base.clone().udp(1, 2).payload(&[0; 4]).build();
        for (len, expected) in [
            (0, Err(ParseError::UdpLength)),
            (7, Err(ParseError::UdpLength)),
            (8, Ok(())),
            (12, Ok(())),
            (13, Err(ParseError::UdpLength)),
        ] {
            let mut frame = udp.clone();
            frame[l4 + 5] = len;
            assert_eq!(parse(&frame).map(|_| ()), expected, "UDP length {len}");
        }

        let short = |proto, len| {
            parse(&base.clone().protocol(proto).payload(&vec![0; len]).build()).map(|_| ())
        };
        assert_eq!(short(ip_proto::TCP, 19), Err(ParseError::TcpHeader));
        assert_eq!(short(ip_proto::UDP, 7), Err(ParseError::UdpLength));
        assert_eq!(short(ip_proto::SCTP, 11), Err(ParseError::SctpTruncated));
        assert_eq!(short(ip_proto::SCTP, 12), Ok(()));
        let icmp = if src.is_ipv4() {
            ip_proto::ICMP
        } else {
            ip_proto::ICMPV6
        };
        assert_eq!(short(icmp, 7), Err(ParseError::IcmpTruncated));
        assert_eq!(short(47, 0), Ok(()), "GRE is not looked into");
    }
}

#[test]
fn ports_of_every_protocol() {
    for (src, dst) in both() {
        let base = ether().ip(src, dst);
        let cases = [
            (base.clone().tcp(1, 2, 0), Some((1, 2))),
            (base.clone().udp(3, 4), Some((3, 4))),
            (base.clone().sctp(5, 6), Some((5, 6))),
            (base.clone().icmp_echo(Echo::Request, 7, 1), Some((7, 7))),
            (base.clone().icmp_echo(Echo::Reply, 8, 1), Some((8, 8))),
            (base.clone().protocol(47), None),
        ];
        for (builder, ports) in cases {
            assert_eq!(ip(&builder.build()).ports(), ports);
        }
    }
    // Each family's ICMP means nothing in the other family.
    let crossed = v4()
        .protocol(ip_proto::ICMPV6)
        .payload(&[128, 0, 0, 0, 0, 7, 0, 0])
        .build();
    assert_eq!(ip(&crossed).l4, L4::None);
    let crossed = v6()
        .protocol(ip_proto::ICMP)
        .payload(&[8, 0, 0, 0, 0, 7, 0, 0])
        .build();
    assert_eq!(ip(&crossed).l4, L4::None);
}

#[test]
fn fragments_of_both_families() {
    for (src, dst) in both() {
        let base = ether().ip(src, dst).ip_id(0x1234);
        let first = ip(&base
            .clone()
            .udp(1, 2)
            .fragment(0, true)
            .payload(&[0; 56])
            .build());
        assert_eq!(first.fragment, Fragment::First);
        assert_eq!(first.l4, L4::Udp { src: 1, dst: 2 });
        assert_eq!(first.fragment_id, 0x1234);
        let span = |offset, len, more| Extent { offset, len, more };
        assert_eq!(first.extent, span(0, 64, true));

        let later = base
            .clone()
            .protocol(ip_proto::UDP)
            .fragment(64, false)
            .payload(&[0; 3]);
        let later = ip(&later.build());
        assert_eq!((later.fragment, later.l4), (Fragment::Later, L4::None));
        assert_eq!((later.proto, later.fragment_id), (ip_proto::UDP, 0x1234));
        assert_eq!(later.extent, span(64, 3, false));
        assert_eq!(later.extent.end(), 67);

        // A first fragment announces the length of the whole datagram.
        let mut frame = base
            .clone()
            .udp(1, 2)
            .fragment(0, true)
            .payload(&[0; 56])
            .build();
        let at = usize::from(first.l4_offset) + 4;
        frame[at..at + 2].copy_from_slice(&3000u16.to_be_bytes());
        assert!(parse(&frame).is_ok());

        let tiny = base
            .clone()
            .protocol(ip_proto::TCP)
            .fragment(0, true)
            .payload(&[0; 16]);
        assert_eq!(parse(&tiny.build()), Err(ParseError::TcpHeader));
        let overlap = base
            .clone()
            .protocol(ip_proto::TCP)
            .fragment(8, false)
            .payload(&[0; 16]);
        assert_eq!(parse(&overlap.build()), Err(ParseError::FragmentOverlap));
        let udp = base
            .clone()
            .protocol(ip_proto::UDP)
            .fragment(8, false)
            .payload(&[0; 16]);
        assert!(parse(&udp.build()).is_ok());
        let beyond = base
            .clone()
            .protocol(ip_proto::UDP)
            .fragment(65528, false)
            .payload(&[0; 16]);
        assert_eq!(parse(&beyond.build()), Err(ParseError::FragmentLength));
    }
    // Exactly 65535 bytes may be reassembled from IPv4: 20 of header, 65512 of offset, 3 of payload.
    let edge = |len: usize| {
        let builder = v4().protocol(ip_proto::UDP).fragment(65512, false);
        parse(&builder.payload(&vec![0; len]).build()).map(|_| ())
    };
    assert_eq!(edge(3), Ok(()));
    assert_eq!(edge(4), Err(ParseError::FragmentLength));
    // And 65535 bytes of payload from IPv6: 65528 and 7.
    let edge = |len: usize| {
        let builder = v6().protocol(ip_proto::UDP).fragment(65528, false);
        parse(&builder.payload(&vec![0; len]).build()).map(|_| ())
    };
    assert_eq!(edge(7), Ok(()));
    assert_eq!(edge(8), Err(ParseError::FragmentLength));
    let atomic = ip(&v6().udp(1, 2).fragment(0, false).build());
    assert_eq!(
        (atomic.fragment, atomic.l4),
        (Fragment::None, L4::Udp { src: 1, dst: 2 })
    );
    // What follows the fragment header is cut, be it an extension header.
    let options = v6()
        .extension(ip_proto::DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
        .udp(1, 2)
        .payload(&[0; 8])
        .fragment(0, true);
    let extent = ip(&options.build()).extent;
    assert_eq!((extent.offset, extent.len, extent.more), (0, 16, true));
    // The reserved bit and DF do not make a fragment.
    let mut frame = v4().udp(1, 2).build();
    set_ipv4_u16(&mut frame, 6, 0x8000 | ipv4::DONT_FRAGMENT);
    assert_eq!(ip(&frame).fragment, Fragment::None);
}

#[test]
fn extension_headers() {
    let chain = v6()
        .extension(ip_proto::HOP_BY_HOP, &[5, 2, 0, 0, 1, 0])
        .extension(ip_proto::ROUTING, &[4, 0, 0, 0, 0, 0])
        .extension(ip_proto::AUTHENTICATION, &[0; 22])
        .extension(ip_proto::DESTINATION_OPTIONS, &[1; 14])
        .tcp(1, 2, tcp::ACK)
        .build();
    let parsed = ip(&chain);
    assert_eq!(
        parsed.l4,
        L4::Tcp {
            src: 1,
            dst: 2,
            flags: tcp::ACK
        }
    );
    assert_eq!(parsed.proto, ip_proto::TCP);
    assert_eq!(parsed.l4_offset, 14 + 40 + 8 + 8 + 24 + 16);

    let many = |n: usize| {
        let options = (0..n).fold(v6(), |b, _| b.extension(ip_proto::DESTINATION_OPTIONS, &[]));
        parse(&options.udp(1, 2).build()).map(|_| ())
    };
    assert_eq!(many(8), Ok(()));
    assert_eq!(many(9), Err(ParseError::Ipv6ExtensionChain));

    let misplaced = v6()
        .extension(ip_proto::DESTINATION_OPTIONS, &[])
        .extension(ip_proto::HOP_BY_HOP, &[])
        .udp(1, 2);
    assert_eq!(
        parse(&misplaced.build()),
        Err(ParseError::Ipv6ExtensionChain)
    );
    let twice = v6()
        .extension(ip_proto::FRAGMENT, &[0; 6])
        .udp(1, 2)
        .fragment(0, true);
    assert_eq!(parse(&twice.build()), Err(ParseError::Ipv6ExtensionChain));
    let mut overrun = v6()
        .extension(ip_proto::DESTINATION_OPTIONS, &[])
        .udp(1, 2)
        .build();
    overrun[L3 + 41] = 2;
    assert_eq!(parse(&overrun), Err(ParseError::Ipv6ExtensionChain));
    // RFC 7112: a first fragment must have the whole chain.
    let cut = v6()
        .protocol(ip_proto::DESTINATION_OPTIONS)
        .fragment(0, true);
    assert_eq!(parse(&cut.build()), Err(ParseError::Ipv6ExtensionChain));
    // A later fragment's payload is no chain, whatever it looks like.
    let later = v6()
        .protocol(ip_proto::DESTINATION_OPTIONS)
        .fragment(8, false)
        .payload(&[255; 8]);
    assert_eq!(ip(&later.build()).l4, L4::None);
    let nothing = ip(&v6().build());
    assert_eq!(
        (nothing.proto, nothing.l4),
        (ip_proto::NO_NEXT_HEADER, L4::None)
    );
}

#[test]
fn header_bytes_as_ovn_sends_them() {
    // Outer IPv4 header of a packet between two chassis, as captured.
    let outer = Builder::ethernet(Mac([2, 0xaa, 0, 0, 2, 0x11]), Mac([2, 0xaa, 0, 0, 2, 0x21]))
        .ip(
            IpAddr::from([172, 16, 0, 11]),
            IpAddr::from([172, 16, 0, 21]),
        )
        .dont_fragment(true)
        .udp(0xb0c4, 6081)
        .payload(&[0; 0x7a - 8])
        .build();
    let expected = [
        0x02, 0xaa, 0, 0, 2, 0x21, 0x02, 0xaa, 0, 0, 2, 0x11, 8, 0, 0x45, 0, 0, 0x8e, 0, 0, 0x40,
        0, 0x40, 0x11, 0xe2, 0x1e, 0xac, 0x10, 0, 0x0b, 0xac, 0x10, 0, 0x15, 0xb0, 0xc4, 0x17,
        0xc1, 0, 0x7a,
    ];
    assert_eq!(outer[..expected.len()], expected);
}
