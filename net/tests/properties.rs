//! What holds for every frame.

mod frames;

use std::collections::HashSet;
use std::net::IpAddr;

use frames::*;
use proptest::collection::vec;
use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::checksum::{
    finish, ones_complement_sum, pseudo, udp_nonzero, update_addr, update16,
};
use sluice_net::wire::{geneve, ip_proto, vxlan};
use sluice_net::{
    Builder, FlowKey, Fragment, Headers, Inner, L3 as Layer3, L4, Mac, flow_hash,
    geneve_source_port, parse, show,
};

/// Where a stage may look without checking again.
fn offsets_are_inside(frame: &[u8], headers: &Headers) {
    let l3 = usize::from(headers.l3_offset);
    assert!(l3 <= frame.len());
    let Layer3::Ip(ip) = headers.l3 else {
        return;
    };
    let end = l3 + usize::from(ip.total_len);
    assert!(end <= frame.len());
    let l4 = usize::from(ip.l4_offset);
    let least = match ip.l4 {
        L4::None => 0,
        L4::Tcp { .. } => 20,
        L4::Sctp { .. } => 12,
        L4::NeighborSolicit { .. } | L4::NeighborAdvert { .. } => 24,
        _ => 8,
    };
    assert!(l3 + 20 <= l4 && l4 + least <= end);
    assert_eq!(ip.src.is_ipv4(), ip.dst.is_ipv4());
    if let L4::IcmpError {
        inner: Some(inner), ..
    } = ip.l4
    {
        let Inner {
            l3_offset,
            l4_offset,
            l4_len,
            ..
        } = inner;
        assert!(l4 + 8 == usize::from(l3_offset) && l4_len >= 8);
        assert!(l3_offset < l4_offset && usize::from(l4_offset + l4_len) <= end);
    }
}

fn try_everything(frame: &[u8]) {
    if let Ok(headers) = parse(frame) {
        offsets_are_inside(frame, &headers);
        let _ = flow_hash(&headers);
    }
    assert!(!show(frame).is_empty());
    let _ = geneve::parse(frame);
    let _ = vxlan::parse(frame);
}

#[test]
fn good_frames_survive_being_cut_anywhere() {
    for frame in every_kind() {
        let whole = parse(&frame).unwrap();
        for len in 0..frame.len() {
            try_everything(&frame[..len]);
            if whole.ip().is_some() {
                assert!(parse(&frame[..len]).is_err(), "{len} of {}", frame.len());
            }
        }
    }
}

#[test]
fn good_frames_survive_every_change_of_one_byte() {
    for frame in every_kind() {
        for at in 0..frame.len().min(120) {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = value;
                try_everything(&changed);
                mend_ipv4(&mut changed);
                try_everything(&changed);
            }
        }
    }
}

fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (a.into(), b.into())),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (a.into(), b.into())),
    ]
}

fn transports() -> impl Strategy<Value = L4> {
    prop_oneof![
        any::<(u16, u16, u8)>().prop_map(|(src, dst, flags)| L4::Tcp { src, dst, flags }),
        any::<(u16, u16)>().prop_map(|(src, dst)| L4::Udp { src, dst }),
        any::<(u16, u16)>().prop_map(|(src, dst)| L4::Sctp { src, dst }),
        any::<(bool, u16)>().prop_map(|(reply, id)| L4::Echo { reply, id }),
    ]
}

fn with_transport(builder: Builder, l4: L4) -> Builder {
    match l4 {
        L4::Tcp { src, dst, flags } => builder.tcp(src, dst, flags),
        L4::Udp { src, dst } => builder.udp(src, dst),
        L4::Sctp { src, dst } => builder.sctp(src, dst),
        L4::Echo { reply, id } => {
            builder.icmp_echo(if reply { Echo::Reply } else { Echo::Request }, id, 1)
        }
        other => panic!("not generated: {other:?}"),
    }
}

/// The checksum field of the upper layer, or `None` where there is none.
fn checksum_at(frame: &[u8]) -> Option<usize> {
    let headers = parse(frame).unwrap();
    let ip = headers.ip().unwrap();
    let within = match ip.proto {
        ip_proto::TCP => 16,
        ip_proto::UDP => 6,
        ip_proto::ICMP | ip_proto::ICMPV6 => 2,
        _ => return None,
    };
    Some(usize::from(ip.l4_offset) + within)
}

fn upper_layer_sum(frame: &[u8]) -> u16 {
    let headers = parse(frame).unwrap();
    let ip = headers.ip().unwrap();
    let end = usize::from(headers.l3_offset + ip.total_len);
    let upper = &frame[usize::from(ip.l4_offset)..end];
    let initial = match ip.proto {
        ip_proto::ICMP => 0,
        _ => pseudo(ip.src, ip.dst, ip.proto, upper.len() as u32),
    };
    finish(ones_complement_sum(upper, initial))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parse_takes_any_bytes(mut frame in vec(any::<u8>(), 0..200), kind in 0usize..6) {
        try_everything(&frame);
        // Nearly all random frames are of no known protocol: help them in.
        let begin: &[u8] = [
            &[8, 0, 0x45][..], &[8, 0, 0x4f], &[0x86, 0xdd, 0x60], &[8, 6, 0, 1, 8, 0, 6, 4],
            &[0x81, 0, 0, 1, 8, 0, 0x45], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 40, 58, 255],
        ][kind];
        if let Some(place) = frame.get_mut(12..12 + begin.len()) {
            place.copy_from_slice(begin);
            mend_ipv4(&mut frame);
            try_everything(&frame);
        }
    }

    #[test]
    fn parse_takes_mutated_frames(
        kind: prop::sample::Index,
        changes in vec(any::<(prop::sample::Index, u8)>(), 1..8),
        cut: Option<prop::sample::Index>,
        mend: bool,
    ) {
        let kinds = every_kind();
        let mut frame = kind.get(&kinds).clone();
        for (at, value) in changes {
            let len = frame.len();
            frame[at.index(len)] = value;
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        if mend {
            mend_ipv4(&mut frame);
        }
        try_everything(&frame);
    }

    #[test]
    fn what_is_built_is_what_is_parsed(
        (src, dst) in addresses(), l4 in transports(), vlan: Option<u16>,
        (ttl, tos, id, df) in any::<(u8, u8, u16, bool)>(), payload in vec(any::<u8>(), 0..100),
        options in vec(any::<u8>(), 0..40), padding in 0usize..20,
    ) {
        let mut builder = ether().ip(src, dst).ttl(ttl).tos(tos).ip_id(id.into()).dont_fragment(df);
        if let Some(tci) = vlan {
            builder = builder.vlan(tci);
        }
        let header = if src.is_ipv4() {
            builder = builder.ip_options(&options);
            20 + options.len().next_multiple_of(4)
        } else {
            builder = builder.extension(ip_proto::DESTINATION_OPTIONS, &options);
            40 + (options.len() + 2).next_multiple_of(8)
        };
        let mut frame = with_transport(builder, l4).payload(&payload).build();
        prop_assert!(checksum_at(&frame).is_none() || upper_layer_sum(&frame) == 0);
        let frame_len = frame.len();
        frame.resize(frame_len + padding, 0xee);

        let headers = parse(&frame).unwrap();
        prop_assert_eq!((headers.eth_src, headers.eth_dst, headers.vlan), (MAC_A, MAC_B, vlan));
        let ip = headers.ip().unwrap();
        prop_assert_eq!((ip.src, ip.dst, ip.l4), (src, dst, l4));
        prop_assert_eq!((ip.ttl, ip.tos, ip.fragment), (ttl, tos, Fragment::None));
        prop_assert_eq!(ip.dont_fragment, df || ip.is_v6());
        prop_assert_eq!(ip.fragment_id, if ip.is_v6() { 0 } else { id.into() });
        prop_assert_eq!(usize::from(headers.l3_offset + ip.total_len), frame_len);
        prop_assert_eq!(usize::from(ip.l4_offset - headers.l3_offset), header);
    }

    /// What a translation does to a packet: address and port of one side, checksum incrementally.
    #[test]
    fn translated_checksum_equals_a_full_one(
        (src, dst) in addresses(), new: [u8; 16], sports: (u16, u16), tcp: bool,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let new_src = match src {
            IpAddr::V4(_) => IpAddr::from(*new.first_chunk::<4>().unwrap()),
            IpAddr::V6(_) => IpAddr::from(new),
        };
        let build = |src, port| {
            let base = ether().ip(src, dst).payload(&payload);
            if tcp { base.tcp(port, 80, 0x18) } else { base.udp(port, 80) }.build()
        };
        let (before, after) = (build(src, sports.0), build(new_src, sports.1));
        let at = checksum_at(&before).unwrap();
        let sum_of = |frame: &[u8]| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let sum = update_addr(sum_of(&before), src, new_src);
        let sum = update16(sum, sports.0, sports.1);
        let sum = if tcp { sum } else { udp_nonzero(sum) };
        prop_assert_eq!(sum, sum_of(&after));
    }

    #[test]
    fn one_flow_one_hash(
        (src, dst) in addresses(), l4 in transports(), ttls: (u8, u8), payload in vec(any::<u8>(), 0..60),
    ) {
        let hash = |ttl, payload: &[u8]| {
            let frame = with_transport(ether().ip(src, dst).ttl(ttl), l4).payload(payload).build();
            flow_hash(&parse(&frame).unwrap())
        };
        let first = hash(ttls.0, &payload);
        prop_assert_eq!(first, hash(ttls.1, &[]));
        prop_assert!((32768..=61000).contains(&geneve_source_port(first)));
    }

    #[test]
    fn all_pieces_of_a_packet_have_one_key(
        (src, dst) in addresses(), l4 in transports(), id: u16, offset in 1u16..1000,
    ) {
        let base = ether().ip(src, dst).ip_id(id.into());
        let whole = with_transport(base.clone(), l4).build();
        let first = with_transport(base.clone(), l4).fragment(0, true).payload(&[1; 16]).build();
        let proto = parse(&whole).unwrap().ip().unwrap().proto;
        let later = base.protocol(proto).fragment(offset * 8 + 8, false).payload(&[1; 8]).build();
        let [whole, first, later] = [whole, first, later].map(|frame| parse(&frame).unwrap());
        let [whole_key, first_key, later_key] =
            [&whole, &first, &later].map(|headers| FlowKey::of(headers.ip().unwrap()));
        prop_assert_eq!(first_key, later_key);
        prop_assert_eq!(flow_hash(&first), flow_hash(&later));
        prop_assert_eq!((first_key.src_port, first_key.dst_port), (0, 0));
        let ports = whole.ip().unwrap().ports().unwrap();
        prop_assert_eq!((whole_key.src_port, whole_key.dst_port), ports);
        prop_assert_eq!(whole_key.reversed().reversed(), whole_key);
        prop_assert_eq!((whole_key.reversed().src, whole_key.reversed().dst_port), (dst, ports.0));
    }
}

/// Neighboring flows must not crowd: every bit of the hash, and every equal share of its range, is used.
#[test]
fn hashes_spread() {
    let hash_of = |builder: Builder| flow_hash(&parse(&builder.build()).unwrap());
    let families: [(&str, Vec<u32>); 4] = [
        (
            "source ports",
            (0..4096).map(|p| hash_of(v4().udp(p, 80))).collect(),
        ),
        (
            "addresses",
            (0..4096u32)
                .map(|n| hash_of(ether().ip((0x0a00_0000 + n).to_be_bytes().into(), IP_B.into())))
                .collect(),
        ),
        (
            "IPv6 addresses",
            (0..4096u128)
                .map(|n| {
                    let src = std::net::Ipv6Addr::from_bits(IP6_A.to_bits() + (n << 64));
                    hash_of(ether().ipv6(src, IP6_B).tcp(1, 2, 0))
                })
                .collect(),
        ),
        (
            "MACs",
            (0..4096)
                .map(|n| {
                    hash_of(Builder::ethernet(
                        Mac::from_u64(0x0200_0000_0000 + n),
                        MAC_B,
                    ))
                })
                .collect(),
        ),
    ];
    for (name, hashes) in &families {
        let distinct: HashSet<_> = hashes.iter().collect();
        assert!(
            distinct.len() >= 4090,
            "{name}: {} distinct",
            distinct.len()
        );
        for bit in 0..32 {
            let ones = hashes.iter().filter(|hash| *hash >> bit & 1 == 1).count();
            // 2048 expected, standard deviation 32.
            assert!(
                (1848..2248).contains(&ones),
                "{name}: bit {bit} is one {ones} times"
            );
        }
        let shares = |choose: &dyn Fn(u32) -> usize| {
            let mut counts = [0; 16];
            hashes.iter().for_each(|hash| counts[choose(*hash)] += 1);
            counts
        };
        for counts in [
            shares(&|hash| (hash >> 28) as usize),
            shares(&|hash| hash as usize % 16),
            shares(&|hash| usize::from((geneve_source_port(hash) - 32768) / 1765).min(15)),
        ] {
            // 256 expected, standard deviation 15.5.
            assert!(
                counts.iter().all(|n| (170..345).contains(n)),
                "{name}: {counts:?}"
            );
        }
    }
    assert_eq!(geneve_source_port(0), 32768);
    assert_eq!(geneve_source_port(u32::MAX), 61000);
    assert_ne!(
        hash_of(v4().udp(1, 2)),
        hash_of(v4().udp(2, 1)),
        "directions differ"
    );
    assert_ne!(
        hash_of(v4().udp(1, 2)),
        hash_of(v4().tcp(1, 2, 0)),
        "protocols differ"
    );
}
