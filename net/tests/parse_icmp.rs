//! ICMP errors with what they quote, and neighbor discovery.

mod frames;

use std::net::{IpAddr, Ipv6Addr};

use frames::*;
use sluice_net::addr::{mac_for_ipv6_multicast, solicited_node};
use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, icmpv6, ip_proto, nd, tcp};
use sluice_net::{Builder, Inner, L4, Mac, ParseError, parse};

fn l4(frame: &[u8]) -> L4 {
    parse(frame).unwrap().ip().unwrap().l4
}

fn inner(frame: &[u8]) -> Option<Inner> {
    match l4(frame) {
        L4::IcmpError { inner, .. } => inner,
        other => panic!("no ICMP error: {other:?}"),
    }
}

fn error(about: &[u8]) -> Builder {
    let ipv4 = about[0] >> 4 == 4;
    let base = if ipv4 { v4() } else { v6() };
    let kind = if ipv4 {
        icmpv4::UNREACHABLE
    } else {
        icmpv6::UNREACHABLE
    };
    base.icmp(kind, 1, [0; 4]).payload(about)
}

#[test]
fn quotations_of_both_families() {
    for (src, dst) in both() {
        let header = if src.is_ipv4() { 20 } else { 40 };
        let echo_proto = if src.is_ipv4() {
            ip_proto::ICMP
        } else {
            ip_proto::ICMPV6
        };
        let l3_offset = 14 + header + 8;
        // The quoted packet went the other way.
        let base = ether().ip(dst, src);
        let cases = [
            (base.clone().tcp(1, 2, tcp::SYN), ip_proto::TCP, (1, 2), 20),
            (
                base.clone().udp(3, 4).payload(&[0; 5]),
                ip_proto::UDP,
                (3, 4),
                13,
            ),
            (base.clone().sctp(5, 6), ip_proto::SCTP, (5, 6), 12),
            (
                base.clone().icmp_echo(Echo::Request, 7, 9),
                echo_proto,
                (7, 0),
                8,
            ),
            (
                base.clone().icmp_echo(Echo::Reply, 8, 9),
                echo_proto,
                (8, 0),
                8,
            ),
            (base.clone().protocol(47).payload(&[1; 8]), 47, (0, 0), 8),
        ];
        for (about, proto, (src_port, dst_port), l4_len) in cases {
            let frame = error(quote(&about.build())).build();
            let expected = Inner {
                src: dst,
                dst: src,
                proto,
                src_port,
                dst_port,
                l3_offset,
                l4_offset: l3_offset + header,
                l4_len,
            };
            assert_eq!(inner(&frame), Some(expected));
            assert!(parse(&frame).unwrap().ip().unwrap().is_icmp_error());
            let at = usize::from(expected.l3_offset);
            assert_eq!(frame[at] >> 4, if src.is_ipv4() { 4 } else { 6 });
        }
    }
}

#[test]
fn shortened_quotations() {
    for (src, dst) in both() {
        let header = if src.is_ipv4() { 20 } else { 40 };
        let about = ether().ip(dst, src).udp(3, 4).payload(&[0; 500]).build();
        let about = quote(&about);
        let part = |len: usize| inner(&error(&about[..len]).build()).map(|i| i.l4_len);
        assert_eq!(part(header + 8), Some(8), "the least that RFC 792 promises");
        assert_eq!(part(header + 100), Some(100));
        assert_eq!(part(header + 7), None);
        assert_eq!(part(header - 1), None);
        assert_eq!(part(1), None);

        // RFC 4884: the quotation has 128 bytes, and then there are objects.
        let units = if src.is_ipv4() {
            [0, 32, 0, 0]
        } else {
            [16, 0, 0, 0]
        };
        let kind = if src.is_ipv4() {
            icmpv4::TIME_EXCEEDED
        } else {
            icmpv6::TIME_EXCEEDED
        };
        let frame = ether()
            .ip(src, dst)
            .icmp(kind, 0, units)
            .payload(&about[..300])
            .build();
        assert_eq!(inner(&frame).map(|i| i.l4_len), Some(128 - header as u16));
    }
    // Those words mean an MTU here, not a length.
    let about = v6().udp(3, 4).payload(&[0; 500]).build();
    let frame = v6()
        .icmp(icmpv6::PACKET_TOO_BIG, 0, [1, 0, 5, 0])
        .payload(quote(&about))
        .build();
    assert_eq!(inner(&frame).map(|i| i.l4_len), Some(508));
    // The quoted packet ends before the quotation does.
    let about = v4().udp(3, 4).payload(&[0; 3]).build();
    let padded = [quote(&about), &[0; 9]].concat();
    assert_eq!(inner(&error(&padded).build()).map(|i| i.l4_len), Some(11));
}

#[test]
fn quotations_not_to_be_trusted() {
    let about = v4().udp(3, 4).build();
    for (at, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (8, 63), (12, 1)] {
        let mut broken = quote(&about).to_vec();
        broken[at] = value;
        // The outer packet must stay IPv4 whatever the quoted version says.
        let frame = v4()
            .icmp(icmpv4::UNREACHABLE, 1, [0; 4])
            .payload(&broken)
            .build();
        assert_eq!(inner(&frame), None, "byte {at} = {value:#x}");
    }
    let later = v4()
        .protocol(ip_proto::UDP)
        .fragment(8, false)
        .payload(&[0; 8])
        .build();
    assert_eq!(inner(&error(quote(&later)).build()), None);
    let first = v4().udp(3, 4).fragment(0, true).payload(&[0; 8]).build();
    assert_eq!(
        inner(&error(quote(&first)).build()).map(|i| i.src_port),
        Some(3)
    );
    let later = v6()
        .protocol(ip_proto::UDP)
        .fragment(8, false)
        .payload(&[0; 8])
        .build();
    assert_eq!(inner(&error(quote(&later)).build()), None);
    // An error about an error names no flow.
    let nested = error(quote(&error(quote(&about)).build())).build();
    assert_eq!(inner(&nested), None);
    let crossed = v4()
        .protocol(ip_proto::ICMPV6)
        .payload(&[128, 0, 0, 0, 0, 1, 0, 1])
        .build();
    assert_eq!(inner(&error(quote(&crossed)).build()), None);
    // IPv6 in ICMP of IPv4.
    let v6_about = v6().udp(3, 4).build();
    let frame = v4()
        .icmp(icmpv4::UNREACHABLE, 1, [0; 4])
        .payload(quote(&v6_about))
        .build();
    assert_eq!(inner(&frame), None);
    let chained = v6().extension(ip_proto::HOP_BY_HOP, &[]).udp(3, 4).build();
    let found = inner(&error(quote(&chained)).build()).unwrap();
    assert_eq!((found.src_port, found.l4_offset), (3, 14 + 40 + 8 + 40 + 8));
}

#[test]
fn which_types_are_errors() {
    for kind in 0..=255 {
        let v4_error = matches!(kind, 3 | 4 | 5 | 11 | 12);
        let parsed = l4(&v4().icmp(kind, 2, [0, 7, 0, 1]).build());
        match parsed {
            L4::IcmpError {
                code: 2,
                inner: None,
                kind: k,
            } => assert!(v4_error && k == kind),
            L4::Icmp { code: 2, kind: k } => assert!(!v4_error && k == kind),
            L4::Echo { reply, id: 7 } => assert_eq!(kind, if reply { 0 } else { 8 }),
            other => panic!("type {kind}: {other:?}"),
        }
        match parse(&v6().icmp(kind, 2, [0, 7, 0, 1]).build()).map(|h| h.ip().unwrap().l4) {
            Ok(L4::IcmpError { inner: None, .. }) => assert!(kind < 128),
            Ok(L4::Icmp { .. }) => assert!(kind > 129 && !(133..=137).contains(&kind)),
            Ok(L4::Echo { reply, id: 7 }) => assert_eq!(kind, if reply { 129 } else { 128 }),
            Err(ParseError::NdInvalid) => assert!((133..=137).contains(&kind)),
            other => panic!("type {kind}: {other:?}"),
        }
    }
}

#[test]
fn neighbor_solicitations() {
    let good = v6().neighbor_solicit(IP6_B, Some(MAC_A));
    let expected = L4::NeighborSolicit {
        target: IP6_B,
        source_mac: Some(MAC_A),
    };
    assert_eq!(l4(&good.build()), expected);
    let bare = v6().neighbor_solicit(IP6_B, None).build();
    assert_eq!(
        l4(&bare),
        L4::NeighborSolicit {
            target: IP6_B,
            source_mac: None
        }
    );

    let refused = |builder: Builder| {
        assert_eq!(
            parse(&builder.build()),
            Err(ParseError::NdInvalid),
            "{builder:?}"
        );
    };
    refused(good.clone().ttl(254));
    refused(good.clone().fragment(0, true));
    refused(good.clone().fragment(0, false));
    refused(good.clone().icmp(icmpv6::NEIGHBOR_SOLICIT, 1, [0; 4]));
    refused(v6().neighbor_solicit("ff02::1".parse().unwrap(), Some(MAC_A)));
    refused(
        v6().neighbor_solicit(IP6_B, None)
            .payload(&IP6_B.octets()[..15]),
    );
    for options in [
        &[1u8, 0][..],
        &[1],
        &[9, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
    ] {
        let body = [&IP6_B.octets()[..], options].concat();
        refused(v6().neighbor_solicit(IP6_B, None).payload(&body));
    }
    for at in L3 + 40..good.build().len() {
        let mut frame = good.build();
        frame[at] ^= 0x10;
        assert!(
            !matches!(
                parse(&frame).map(|h| h.ip().unwrap().l4),
                Ok(L4::NeighborSolicit { .. })
            ),
            "byte {at} is covered by the checksum"
        );
    }
}

#[test]
fn neighbor_solicitation_of_a_node_without_address() {
    let none = Ipv6Addr::UNSPECIFIED;
    let probe = |dst: Ipv6Addr, mac| {
        Builder::ethernet(MAC_A, mac_for_ipv6_multicast(dst))
            .ipv6(none, dst)
            .neighbor_solicit(IP6_B, mac)
            .build()
    };
    assert!(parse(&probe(solicited_node(IP6_B), None)).is_ok());
    assert_eq!(
        parse(&probe(solicited_node(IP6_B), Some(MAC_A))),
        Err(ParseError::NdInvalid),
        "duplicate address detection gives no address"
    );
    assert_eq!(parse(&probe(IP6_B, None)), Err(ParseError::NdInvalid));
    assert_eq!(
        parse(&probe("ff02::1".parse().unwrap(), None)),
        Err(ParseError::NdInvalid)
    );
}

#[test]
fn neighbor_advertisements() {
    let good = v6().neighbor_advert(IP6_A, Some(MAC_A), nd::FLAG_SOLICITED);
    let expected = L4::NeighborAdvert {
        target: IP6_A,
        target_mac: Some(MAC_A),
        flags: nd::FLAG_SOLICITED,
    };
    assert_eq!(l4(&good.build()), expected);

    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    let to_all = |flags| {
        let builder = ether()
            .ipv6(IP6_A, all_nodes)
            .neighbor_advert(IP6_A, Some(MAC_A), flags);
        parse(&builder.build()).map(|_| ())
    };
    assert_eq!(to_all(nd::FLAG_OVERRIDE), Ok(()));
    assert_eq!(to_all(nd::FLAG_SOLICITED), Err(ParseError::NdInvalid));

    // Nobody lives at a group address; the advertisement then gives no address.
    let group = v6().neighbor_advert(IP6_A, Some(Mac::BROADCAST), 0).build();
    assert_eq!(
        l4(&group),
        L4::NeighborAdvert {
            target: IP6_A,
            target_mac: None,
            flags: 0
        }
    );

    // Other options are skipped, the first of a kind counts.
    let other = [14, 1, 0, 0, 0, 0, 0, 0];
    let first = [2, 1, 2, 0, 0, 0, 0, 1];
    let second = [2, 1, 2, 0, 0, 0, 0, 2];
    let body = [&IP6_A.octets()[..], &other, &first, &second].concat();
    let frame = v6().neighbor_advert(IP6_A, None, 0).payload(&body).build();
    let target_mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    assert_eq!(
        l4(&frame),
        L4::NeighborAdvert {
            target: IP6_A,
            target_mac,
            flags: 0
        }
    );
}

#[test]
fn router_discovery_and_redirect() {
    let local: IpAddr = "fe80::1".parse().unwrap();
    let message = |src: IpAddr, kind, body: &[u8]| {
        let frame = ether()
            .ip(src, IP6_B.into())
            .ttl(255)
            .icmp(kind, 0, [0; 4])
            .payload(body)
            .build();
        parse(&frame).map(|headers| headers.ip().unwrap().l4)
    };
    let global = IpAddr::from(IP6_A);
    let none = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    let source = [1, 1, 2, 0, 0, 0, 0, 1];
    let invalid = Err(ParseError::NdInvalid);
    assert_eq!(
        message(global, icmpv6::ROUTER_SOLICIT, &source),
        Ok(L4::RouterSolicit)
    );
    assert_eq!(
        message(none, icmpv6::ROUTER_SOLICIT, &[]),
        Ok(L4::RouterSolicit)
    );
    assert_eq!(message(none, icmpv6::ROUTER_SOLICIT, &source), invalid);
    assert_eq!(
        message(local, icmpv6::ROUTER_ADVERT, &[0; 8]),
        Ok(L4::RouterAdvert)
    );
    assert_eq!(message(local, icmpv6::ROUTER_ADVERT, &[0; 7]), invalid);
    assert_eq!(message(global, icmpv6::ROUTER_ADVERT, &[0; 8]), invalid);
    let redirect = Ok(L4::Icmp {
        kind: icmpv6::REDIRECT,
        code: 0,
    });
    assert_eq!(message(local, icmpv6::REDIRECT, &[0; 32]), redirect);
    assert_eq!(message(local, icmpv6::REDIRECT, &[0; 31]), invalid);
    assert_eq!(message(global, icmpv6::REDIRECT, &[0; 32]), invalid);
}
