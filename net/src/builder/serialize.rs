//! From a [`Builder`] to bytes, innermost part first.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use super::{Builder, IpPart, Layer3, Layer4};
use crate::checksum::{checksum, finish, ones_complement_sum, pseudo, udp_nonzero};
use crate::crc32c::crc32c;
use crate::wire::ethernet::{self, EtherHeader};
use crate::wire::icmpv4::{self, IcmpHeader};
use crate::wire::ip_proto;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{FragmentHeader, Ipv6Header, MORE_FRAGMENTS};
use crate::wire::sctp::{self, SctpHeader};
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::vlan::VlanTag;

pub(super) fn frame(builder: &Builder) -> Vec<u8> {
    let ethertype = builder.l3.ethertype().unwrap_or(builder.ethertype);
    let mut frame = Vec::with_capacity(128 + builder.payload.len());
    let first = if builder.vlan.is_some() {
        ethernet::ETHERTYPE_VLAN
    } else {
        ethertype
    };
    let header = EtherHeader {
        dst: builder.dst,
        src: builder.src,
        ethertype: first.into(),
    };
    frame.extend_from_slice(header.as_bytes());
    if let Some(tci) = builder.vlan {
        let tag = VlanTag {
            tci: tci.into(),
            ethertype: ethertype.into(),
        };
        frame.extend_from_slice(tag.as_bytes());
    }
    match &builder.l3 {
        Layer3::Ip(ip) => packet(&mut frame, ip, &builder.l4, &builder.payload),
        other => {
            assert_eq!(
                builder.l4,
                Layer4::None,
                "an upper layer needs IP addresses"
            );
            if let Layer3::Arp(arp) = other {
                frame.extend_from_slice(arp.as_bytes());
            }
            frame.extend_from_slice(&builder.payload);
        }
    }
    frame
}

fn packet(frame: &mut Vec<u8>, ip: &IpPart, l4: &Layer4, payload: &[u8]) {
    let later = ip.fragment.is_some_and(|(offset, _)| offset != 0);
    let upper = if later {
        payload.to_vec()
    } else {
        upper_layer(ip, l4, payload)
    };
    let proto = ip
        .proto
        .or(l4.proto(ip.src.is_ipv6()))
        .unwrap_or(ip_proto::NO_NEXT_HEADER);
    match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4_header(frame, ip, src, dst, proto, upper.len()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6_header(frame, ip, src, dst, proto, upper.len()),
        _ => unreachable!("Builder::ip refuses two families"),
    }
    frame.extend_from_slice(&upper);
}

fn ipv4_header(
    frame: &mut Vec<u8>,
    ip: &IpPart,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    proto: u8,
    upper_len: usize,
) {
    let header_len = ipv4::LEN + ip.options.len();
    let (offset, more) = ip.fragment.unwrap_or((0, false));
    let df = if ip.dont_fragment {
        ipv4::DONT_FRAGMENT
    } else {
        0
    };
    let mf = if more { ipv4::MORE_FRAGMENTS } else { 0 };
    let header = Ipv4Header {
        version_ihl: 0x40 | (header_len / 4) as u8,
        tos: ip.tos,
        total_len: length(header_len + upper_len).into(),
        id: (ip.id as u16).into(),
        flags_offset: (df | mf | (offset / 8)).into(),
        ttl: ip.ttl.unwrap_or(64),
        proto,
        checksum: 0.into(),
        src: src.octets(),
        dst: dst.octets(),
    };
    let mut bytes = [header.as_bytes(), &ip.options].concat();
    let sum = checksum(&bytes);
    put(&mut bytes, ipv4::CHECKSUM_OFFSET, sum);
    frame.extend_from_slice(&bytes);
}

fn ipv6_header(
    frame: &mut Vec<u8>,
    ip: &IpPart,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    proto: u8,
    upper_len: usize,
) {
    let mut chain = ip.extensions.clone();
    if let Some((offset, more)) = ip.fragment {
        let header = FragmentHeader {
            next_header: 0,
            reserved: 0,
            offset_flags: (offset | if more { MORE_FRAGMENTS } else { 0 }).into(),
            id: ip.id.into(),
        };
        chain.push((ip_proto::FRAGMENT, header.as_bytes()[1..].to_vec()));
    }
    let chain_len: usize = chain.iter().map(|(_, rest)| 1 + rest.len()).sum();
    let first_of = |chain: &[(u8, Vec<u8>)]| chain.first().map_or(proto, |(kind, _)| *kind);
    let header = Ipv6Header {
        version_class_flow: (6 << 28 | u32::from(ip.tos) << 20 | ip.flow_label).into(),
        payload_len: length(chain_len + upper_len).into(),
        next_header: first_of(&chain),
        hop_limit: ip.ttl.unwrap_or(64),
        src: src.octets(),
        dst: dst.octets(),
    };
    frame.extend_from_slice(header.as_bytes());
    for (position, (_, rest)) in chain.iter().enumerate() {
        frame.push(first_of(&chain[position + 1..]));
        frame.extend_from_slice(rest);
    }
}

/// An extension header from its length byte on.
pub(super) fn extension(kind: u8, body: &[u8]) -> Vec<u8> {
    let unit = if kind == ip_proto::AUTHENTICATION {
        4
    } else {
        8
    };
    let len = (2 + body.len()).next_multiple_of(unit).max(8);
    let units = u8::try_from((len - 8) / unit).expect("extension header too long");
    let mut header = vec![units];
    header.extend_from_slice(body);
    header.resize(len - 1, 0);
    header
}

fn upper_layer(ip: &IpPart, l4: &Layer4, payload: &[u8]) -> Vec<u8> {
    let v6 = ip.src.is_ipv6();
    let (header, checksum_at) = match *l4 {
        Layer4::None => return payload.to_vec(),
        Layer4::Tcp {
            src,
            dst,
            flags,
            seq,
            ack,
            window,
        } => {
            let header = TcpHeader {
                src: src.into(),
                dst: dst.into(),
                seq: seq.into(),
                ack: ack.into(),
                data_offset: ((tcp::LEN / 4) << 4) as u8,
                flags,
                window: window.into(),
                checksum: 0.into(),
                urgent: 0.into(),
            };
            (header.as_bytes().to_vec(), Some(tcp::CHECKSUM_OFFSET))
        }
        Layer4::Udp {
            src,
            dst,
            with_checksum,
        } => {
            let len = length(udp::LEN + payload.len());
            let header = UdpHeader {
                src: src.into(),
                dst: dst.into(),
                len: len.into(),
                checksum: 0.into(),
            };
            (
                header.as_bytes().to_vec(),
                with_checksum.then_some(udp::CHECKSUM_OFFSET),
            )
        }
        Layer4::Sctp { src, dst } => {
            let header = SctpHeader {
                src: src.into(),
                dst: dst.into(),
                tag: 0.into(),
                checksum: 0.into(),
            };
            (header.as_bytes().to_vec(), None)
        }
        Layer4::Icmp { kind, code, rest } => icmp(kind, code, rest),
        Layer4::Echo { kind, id, seq } => {
            let [[a, b], [c, d]] = [id.to_be_bytes(), seq.to_be_bytes()];
            icmp(kind.kind(v6), 0, [a, b, c, d])
        }
    };
    let mut bytes = [&header, payload].concat();
    if let Layer4::Sctp { .. } = l4 {
        let sum = crc32c(&bytes).to_le_bytes();
        bytes[sctp::CHECKSUM_OFFSET..sctp::LEN].copy_from_slice(&sum);
    }
    if let Some(at) = checksum_at {
        let proto = l4.proto(v6).unwrap_or_default();
        // ICMP of IPv4 alone has no pseudo-header.
        let initial = match proto {
            ip_proto::ICMP => 0,
            _ => pseudo(ip.src, ip.dst, proto, bytes.len() as u32),
        };
        let sum = finish(ones_complement_sum(&bytes, initial));
        put(
            &mut bytes,
            at,
            if proto == ip_proto::UDP {
                udp_nonzero(sum)
            } else {
                sum
            },
        );
    }
    bytes
}

fn icmp(kind: u8, code: u8, rest: [u8; 4]) -> (Vec<u8>, Option<usize>) {
    let header = IcmpHeader {
        kind,
        code,
        checksum: 0.into(),
        rest,
    };
    (header.as_bytes().to_vec(), Some(icmpv4::CHECKSUM_OFFSET))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn length(len: usize) -> u16 {
    u16::try_from(len).expect("packet longer than 65535 bytes")
}
