//! Whatever is rewritten, a full recomputation of all checksums must agree, and translating back must give
//! the first frame again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::checksum::{checksum, finish, ones_complement_sum, pseudo};
use sluice_net::{Builder, Headers, L3, L4, Mac, parse};

use super::{Edit, apply};
use crate::connections::Rewrite;

const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    Udp,
    UdpWithout,
    Echo,
}

fn frame(kind: Kind, tuple: Rewrite, payload: &[u8]) -> Vec<u8> {
    let base = Builder::ethernet(A, B)
        .ip(tuple.src, tuple.dst)
        .ttl(64)
        .payload(payload);
    match kind {
        Kind::Tcp => base.tcp(tuple.src_port, tuple.dst_port, 0x18),
        Kind::Udp => base.udp(tuple.src_port, tuple.dst_port),
        Kind::UdpWithout => base
            .udp(tuple.src_port, tuple.dst_port)
            .without_udp_checksum(),
        Kind::Echo => base.icmp_echo(Echo::Request, tuple.src_port, 7),
    }
    .build()
}

/// All checksums of the frame hold; those of a quoted packet too.
fn verify(frame: &[u8]) -> Headers {
    let headers = parse(frame).expect("parses, so the header checksum holds");
    let L3::Ip(ip) = &headers.l3 else {
        panic!("not IP")
    };
    let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
    let l4 = &frame[usize::from(ip.l4_offset)..end];
    match ip.l4 {
        L4::Udp { .. } if l4[6..8] == [0, 0] => {}
        L4::Udp { .. } | L4::Tcp { .. } => {
            let sum = pseudo(ip.src, ip.dst, ip.proto, l4.len() as u32);
            assert_eq!(
                finish(ones_complement_sum(l4, sum)),
                0,
                "transport checksum"
            );
        }
        L4::Sctp { .. } => {}
        _ => {
            let sum = match ip.is_v6() {
                true => pseudo(ip.src, ip.dst, ip.proto, l4.len() as u32),
                false => 0,
            };
            assert_eq!(finish(ones_complement_sum(l4, sum)), 0, "ICMP checksum");
        }
    }
    if let L4::IcmpError {
        inner: Some(inner), ..
    } = ip.l4
    {
        let quoted = &frame[usize::from(inner.l3_offset)..usize::from(inner.l4_offset)];
        if !ip.is_v6() {
            assert_eq!(checksum(quoted), 0, "quoted header checksum");
        }
    }
    headers
}

fn edit(tuple: Rewrite, ttl: Option<u8>, tos: Option<u8>) -> Edit {
    Edit {
        eth_dst: B,
        eth_src: A,
        ttl,
        tos,
        tuple: Some(tuple),
        quoted: None,
    }
}

/// Some address of a family.
fn address(v6: bool, n: u128) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from_bits(n as u32).into(),
        true => Ipv6Addr::from_bits(n).into(),
    }
}

prop_compose! {
    fn tuple(v6: bool)(src: u128, dst: u128, src_port: u16, dst_port: u16) -> Rewrite {
        Rewrite { src: address(v6, src), dst: address(v6, dst), src_port, dst_port }
    }
}

/// Before and after, of one family.
fn tuples() -> impl Strategy<Value = (Rewrite, Rewrite)> {
    any::<bool>().prop_flat_map(|v6| (tuple(v6), tuple(v6)))
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Tcp),
        Just(Kind::Udp),
        Just(Kind::UdpWithout),
        Just(Kind::Echo)
    ]
}

proptest! {
    #[test]
    fn checksums_hold_and_the_way_back_is_the_identity(
        kind in kinds(),
        (was, becomes) in tuples(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
        ttl in 2u8..,
        tos in any::<u8>(),
    ) {
        let one_port = |t: Rewrite| match kind {
            Kind::Echo => Rewrite { dst_port: t.src_port, ..t },
            _ => t,
        };
        let (was, becomes) = (one_port(was), one_port(becomes));
        let first = frame(kind, was, &payload);
        let mut bytes = first.clone();
        let headers = verify(&bytes);
        apply(&mut bytes, &headers, &edit(becomes, Some(ttl), Some(tos))).unwrap();
        let changed = verify(&bytes);
        let ip = changed.ip().unwrap();
        prop_assert_eq!((ip.ttl, ip.tos), (ttl, tos));
        prop_assert_eq!(ip.src, becomes.src);
        prop_assert_eq!(ip.dst, becomes.dst);
        prop_assert_eq!(ip.ports(), Some((becomes.src_port, becomes.dst_port)));
        apply(&mut bytes, &changed, &Edit { eth_dst: B, eth_src: A, ..edit(was, Some(64), Some(0)) }).unwrap();
        verify(&bytes);
        // A UDP checksum of 0xffff and of 0 are the same number; 0 is never written.
        if !matches!(kind, Kind::Udp) {
            prop_assert_eq!(&bytes, &first);
        }
    }

    #[test]
    fn quoted_packets_are_translated_with_their_checksums(
        kind in kinds(),
        (was, becomes) in tuples(),
        cut in 0usize..40,
        outer: u128,
    ) {
        let one_port = |t: Rewrite| match kind {
            Kind::Echo => Rewrite { dst_port: t.src_port, ..t },
            _ => t,
        };
        let (was, becomes) = (one_port(was), one_port(becomes));
        let quoted = frame(kind, was, &[0x5a; 40]);
        let quoted = &quoted[14..quoted.len() - cut];
        let v6 = was.src.is_ipv6();
        let router = address(v6, 0x2001_0db8 << 96 | 0xc633_6401);
        // Port unreachable.
        let kind = if v6 { (1, 4) } else { (3, 3) };
        let mut bytes = Builder::ethernet(A, B)
            .ip(router, was.src)
            .icmp(kind.0, kind.1, [0; 4])
            .payload(quoted)
            .build();
        let headers = verify(&bytes);
        let to = Rewrite { src: router, dst: address(v6, outer), src_port: 0, dst_port: 0 };
        let edit = Edit { quoted: Some(becomes), ..edit(to, None, None) };
        apply(&mut bytes, &headers, &edit).unwrap();
        let changed = verify(&bytes);
        let L4::IcmpError { inner: Some(inner), .. } = changed.ip().unwrap().l4 else { panic!("quotation lost") };
        prop_assert_eq!(inner.src, becomes.src);
        prop_assert_eq!(inner.dst, becomes.dst);
        prop_assert_eq!(inner.src_port, becomes.src_port);
    }

    #[test]
    fn bytes_that_do_not_fit_their_headers_are_refused_not_overrun(
        kind in kinds(), (was, becomes) in tuples(), keep in 0usize..60,
    ) {
        let whole = frame(kind, was, &[1, 2, 3]);
        let headers = parse(&whole).unwrap();
        let mut cut = whole[..keep.min(whole.len())].to_vec();
        let _ = apply(&mut cut, &headers, &edit(becomes, Some(9), None));
    }
}

proptest! {
    /// Nobody looks at the ports of UDP-Lite and DCCP, but their checksum is over the addresses too.
    #[test]
    fn checksums_over_addresses_hold_though_ports_are_not_known(
        proto in prop::sample::select(vec![33, 136]),
        (was, becomes) in tuples(),
        mut upper in proptest::collection::vec(any::<u8>(), 8..64),
    ) {
        let sum_of = |upper: &[u8], tuple: &Rewrite| {
            let sum = pseudo(tuple.src, tuple.dst, proto, upper.len() as u32);
            finish(ones_complement_sum(upper, sum))
        };
        upper[6..8].fill(0);
        let sum = sum_of(&upper, &was);
        upper[6..8].copy_from_slice(&sum.to_be_bytes());
        let mut bytes = Builder::ethernet(A, B)
            .ip(was.src, was.dst)
            .protocol(proto)
            .payload(&upper)
            .build();
        let headers = parse(&bytes).unwrap();
        let ports = |tuple: Rewrite| Rewrite { src_port: 0, dst_port: 0, ..tuple };
        apply(&mut bytes, &headers, &edit(ports(becomes), None, None)).unwrap();
        let changed = parse(&bytes).unwrap();
        let ip = changed.ip().unwrap();
        prop_assert_eq!((ip.src, ip.dst), (becomes.src, becomes.dst));
        let start = usize::from(ip.l4_offset);
        prop_assert_eq!(sum_of(&bytes[start..start + upper.len()], &becomes), 0);
        prop_assert_eq!(&bytes[start..start + 6], &upper[..6]);
    }
}

#[test]
fn ipv6_changes_hop_limit_and_traffic_class_only() {
    let mut bytes = Builder::ethernet(A, B)
        .ipv6(
            "2001:db8::1".parse().unwrap(),
            "2001:db8::2".parse().unwrap(),
        )
        .ttl(9)
        .tos(0x01)
        .flow_label(0xabcde)
        .udp(1, 2)
        .build();
    let before = bytes.clone();
    let headers = parse(&bytes).unwrap();
    let edit = Edit {
        eth_dst: A,
        eth_src: B,
        ttl: Some(8),
        tos: Some(0x03),
        tuple: None,
        quoted: None,
    };
    apply(&mut bytes, &headers, &edit).unwrap();
    let changed = parse(&bytes).unwrap();
    let ip = changed.ip().unwrap();
    assert_eq!(
        (ip.ttl, ip.tos, changed.eth_dst, changed.eth_src),
        (8, 3, A, B)
    );
    assert_eq!(bytes[16..21], before[16..21], "flow label and length stay");
    assert_eq!(bytes[22..], before[22..]);
}
