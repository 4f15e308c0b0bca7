//! A glance agrees with the parser on everything it accepts, and its edit with the general one.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, FlowKey, L3, L4, Mac, Vni, flow_hash, parse};

use super::*;
use crate::rewrite::{self, Edit};
use crate::tables::EncapKind;

const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

prop_compose! {
    fn frames()(
        kind in 0u8..5, src in any::<u32>(), dst in any::<u32>(), ports in any::<(u16, u16)>(),
        payload in proptest::collection::vec(any::<u8>(), 0..40), vlan in proptest::option::of(any::<u16>()),
        fragment in prop_oneof![9 => Just(None), 1 => Just(Some(8u16))], flags in any::<u8>(),
        six in proptest::option::of(any::<(u128, u128)>()),
    ) -> Vec<u8> {
        let mut frame = match six {
            Some((src, dst)) => Builder::ethernet(A, B).ipv6(Ipv6Addr::from_bits(src), Ipv6Addr::from_bits(dst)),
            None => Builder::ethernet(A, B).ipv4(Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst)),
        };
        if let Some(vlan) = vlan {
            frame = frame.vlan(vlan);
        }
        if let Some(offset) = fragment {
            frame = frame.fragment(offset, true);
        }
        let frame = frame.payload(&payload);
        match kind {
            0 => frame.tcp(ports.0, ports.1, flags),
            1 => frame.udp(ports.0, ports.1),
            2 => frame.udp(ports.0, ports.1).without_udp_checksum(),
            3 => frame.icmp_echo(Echo::Request, ports.0, 1),
            _ => frame.icmp(3, 1, [0; 4]),
        }
        .build()
    }
}

/// What was glanced at is what the parser says, and may be looked up.
fn agrees(frame: &[u8], glance: &Glance) {
    let headers = parse(frame).expect("accepted at a glance");
    let L3::Ip(ip) = headers.l3 else {
        panic!("not IP")
    };
    assert_eq!(
        glance.key(Zone(1)),
        crate::connections::FlowKey::of(&FlowKey::of(&ip), Zone(1)).narrow::<u32>()
    );
    assert_eq!(glance.macs.pair(), (headers.eth_dst, headers.eth_src));
    assert_eq!(glance.macs, Macs::new(headers.eth_dst, headers.eth_src));
    assert_eq!(
        (glance.ttl, glance.tos, glance.total_len),
        (ip.ttl, ip.tos, ip.total_len)
    );
    let flags = match ip.l4 {
        L4::Tcp { flags, .. } => TcpFlags(flags),
        L4::Udp { .. } | L4::Echo { .. } => TcpFlags::NONE,
        other => panic!("{other:?} is not for the express way"),
    };
    assert_eq!(glance.flags, flags);
    assert_eq!(Glance::of(&headers), Some(*glance));
    assert_eq!(glance.flow_hash(), flow_hash(&headers));
}

fn look(frame: &[u8]) -> Option<(Glance, usize)> {
    let tagging = tagging(frame)?;
    Some((glance(frame, tagging)?, tagging.tag))
}

/// The sum of a frame after an edit, told from the frame before it.
fn sum_after(before: &[u8], macs: Macs, added: u32) -> u16 {
    finish(ones_complement_sum(&before[12..], macs.sum()) + added)
}

proptest! {
    #[test]
    fn agrees_with_the_parser(frame in frames(), flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..3), cut in 0usize..30) {
        if let Some((glance, _)) = look(&frame) {
            agrees(&frame, &glance);
        }
        let mut damaged = frame;
        for (at, bits) in flips {
            let at = at % damaged.len();
            damaged[at] ^= bits;
        }
        damaged.truncate(damaged.len() - cut.min(damaged.len()));
        if let Some((glance, _)) = look(&damaged) {
            agrees(&damaged, &glance);
        }
    }

    #[test]
    fn edits_as_the_general_rewrite_does(frame in frames(), src in any::<u32>(), dst in any::<u32>(), ports in any::<(u16, u16)>(), ttl in any::<u8>()) {
        let Some((glance, 0)) = look(&frame) else { return Ok(()) };
        let headers = parse(&frame).unwrap();
        let less = ttl.min(glance.ttl);
        let edit = Edit { eth_dst: B, eth_src: A, ttl: Some(less), tos: None, tuple: None, quoted: None };
        let mut general = frame.clone();
        rewrite::apply(&mut general, &headers, &edit).unwrap();
        let mut forwarded = frame.clone();
        let added = glance.forward(&mut forwarded, Macs::new(B, A), less).unwrap();
        prop_assert_eq!(sum_after(&frame, Macs::new(B, A), added), finish(ones_complement_sum(&forwarded, 0)));
        prop_assert_eq!(finish(glance.sum(&frame, Macs::new(B, A).sum())), finish(ones_complement_sum(&frame[12..], Macs::new(B, A).sum())));
        prop_assert_eq!(&forwarded[..14], &general[..14]);
        let (one, other) = (parse(&forwarded).expect("header checksum holds"), parse(&general).unwrap());
        prop_assert_eq!(one.ip(), other.ip());
        if let Addresses::V6(..) = glance.addresses {
            let wide = |address: u32| u128::from(address) << 96 | u128::from(!address);
            let to = Rewrite { src: wide(src), dst: wide(dst), src_port: ports.0, dst_port: if glance.proto == ip_proto::ICMPV6 { ports.0 } else { ports.1 } };
            let edit = Edit { eth_dst: A, eth_src: B, ttl: Some(ttl), tos: None, tuple: Some(to.widen()), quoted: None };
            let mut general = frame.clone();
            rewrite::apply(&mut general, &headers, &edit).unwrap();
            let mut express = frame.clone();
            let added = glance.edit_v6(&mut express, Macs::new(A, B), ttl, &to).unwrap();
            prop_assert_eq!(sum_after(&frame, Macs::new(A, B), added), finish(ones_complement_sum(&express, 0)));
            let (one, other) = (parse(&express).unwrap(), parse(&general).unwrap());
            prop_assert_eq!(one.ip(), other.ip());
            let upper = &express[54..14 + usize::from(glance.total_len)];
            let without = glance.proto == ip_proto::UDP && frame[60..62] == [0, 0];
            let sum = sluice_net::checksum::pseudo(to.src.ip(), to.dst.ip(), glance.proto, upper.len() as u32);
            prop_assert!(without && upper[6..8] == [0, 0] || finish(ones_complement_sum(upper, sum)) == 0);

            prop_assert_eq!(glance.edit(&mut forwarded, Macs::new(B, A), ttl, &Rewrite { src, dst, src_port: 0, dst_port: 0 }), None);
            return Ok(());
        }
        let dst_port = if glance.proto == ip_proto::ICMP { ports.0 } else { ports.1 };
        let to = Rewrite { src, dst, src_port: ports.0, dst_port };
        let edit = Edit { eth_dst: A, eth_src: B, ttl: Some(ttl), tos: None, tuple: Some(to.widen()), quoted: None };
        let mut general = frame.clone();
        rewrite::apply(&mut general, &headers, &edit).unwrap();
        let mut express = frame.clone();
        let added = glance.edit(&mut express, Macs::new(A, B), ttl, &to).unwrap();
        prop_assert_eq!(sum_after(&frame, Macs::new(A, B), added), finish(ones_complement_sum(&express, 0)));
        // 0 and 0xffff are the same sum; both forms verify.
        let after = parse(&express).expect("header checksum holds");
        prop_assert_eq!(FlowKey::of(after.ip().unwrap()), FlowKey::of(parse(&general).unwrap().ip().unwrap()));
        let total = usize::from(glance.total_len);
        let upper = &express[34..14 + total];
        let pseudo = pseudo_v4(Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst), glance.proto, upper.len() as u32);
        match glance.proto {
            ip_proto::ICMP => prop_assert_eq!(finish(ones_complement_sum(upper, 0)), 0),
            ip_proto::UDP if upper[6..8] == [0, 0] => prop_assert_eq!(&frame[40..42], &[0u8, 0]),
            _ => prop_assert_eq!(finish(ones_complement_sum(upper, pseudo)), 0),
        }
    }

    #[test]
    fn outer_headers_agree_with_the_parser(
        inner in frames(), vni in 0u32..1 << 24, keys in proptest::option::of((0u16..1 << 15, any::<u16>())),
        vxlan in any::<bool>(), flip in proptest::option::of((any::<usize>(), any::<u8>())),
    ) {
        let outer_frame = Builder::ethernet(A, B)
            .ipv4(Ipv4Addr::new(172, 16, 0, 1), Ipv4Addr::new(172, 16, 0, 2))
            .dont_fragment(true);
        let vni = Vni::new(vni).unwrap();
        let inner_bytes = inner.clone();
        let ethertype = u16::from_be_bytes([inner[12], inner[13]]);
        let builder = Builder::ethernet(A, B).ethertype(ethertype).payload(&inner[14..]);
        let mut frame = if vxlan {
            builder.encap_vxlan(outer_frame, vni).build()
        } else {
            let option = keys.map(|(in_key, out_key)| OvnOption { in_key, out_key });
            builder.encap_geneve(outer_frame, vni, option).build()
        };
        prop_assert_eq!(inner_bytes.len() + 14 + 28 + if vxlan || keys.is_none() { 8 } else { 16 }, frame.len());
        if let Some((at, bits)) = flip {
            let at = at % frame.len();
            frame[at] ^= bits;
        }
        let tag = tagging(&frame).filter(|seen| seen.version == Version::V4).map(|seen| seen.tag);
        let Some(found) = tag.and_then(|tag| outer(&frame, tag, (6081, 4789))) else {
            prop_assert!(flip.is_some(), "an undamaged packet is taken");
            return Ok(());
        };
        let headers = parse(&frame).expect("accepted at a glance");
        let ip = headers.ip().unwrap();
        let payload = &frame[usize::from(ip.l4_offset) + udp::LEN..];
        match found.origin.kind() {
            EncapKind::Geneve => {
                let header = sluice_net::wire::geneve::parse(payload).unwrap();
                prop_assert_eq!(header.vni, found.origin.vni());
                prop_assert_eq!(header.ovn.map(|o| (o.in_key, o.out_key)), found.origin.keys());
                prop_assert_eq!(usize::from(ip.l4_offset) + 8 + header.header_len, usize::from(found.inner));
            }
            EncapKind::Vxlan => {
                let header = sluice_net::wire::vxlan::parse(payload).unwrap();
                prop_assert_eq!(header.vni, found.origin.vni());
                prop_assert_eq!(usize::from(ip.l4_offset) + 16, usize::from(found.inner));
            }
        }
        prop_assert_eq!(found.origin.src(), Ipv4Addr::new(172, 16, 0, 1));
        prop_assert_eq!(usize::from(found.end), 14 + usize::from(ip.total_len));
    }
}
