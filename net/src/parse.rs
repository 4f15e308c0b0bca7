//! From bytes to [`Headers`], once per frame.
//!
//! The checks are those that RFC 1812 section 5.2.2 and RFC 8200 ask of a router before it looks at anything
//! else, and those without which a later stage could be fooled. Upper-layer checksums are left to the end
//! hosts, except for neighbor discovery, whose end host we are.

mod chain;
mod icmp;

use std::net::IpAddr;

use zerocopy::FromBytes;

use crate::addr::Mac;
use crate::checksum::checksum;
use crate::headers::{Arp, Extent, Fragment, Headers, Ip, L3, L4, ParseError};
use crate::wire::arp::ArpHeader;
use crate::wire::ethernet::{self, EtherHeader};
use crate::wire::ip_proto;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::sctp::SctpHeader;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::udp::{self, UdpHeader};
use crate::wire::vlan::{self, VlanTag};

use chain::Chain;

/// The most IPv6 extension headers that are walked; a longer chain is refused (RFC 8504 section 5.3 allows it).
pub const MAX_EXTENSIONS: usize = 8;

/// Parses a frame. Never panics, never allocates; the work is bounded by the headers, and for ICMPv6
/// neighbor discovery by the message.
///
/// Bytes after the IP packet are padding and are ignored.
///
/// # Errors
/// One [`ParseError`] per cause. A frame of a protocol that is not known is no error.
pub fn parse(frame: &[u8]) -> Result<Headers, ParseError> {
    if frame.len() > usize::from(u16::MAX) {
        // From here on every offset fits 16 bits.
        return Err(ParseError::FrameTooLong);
    }
    let (ether, rest) =
        EtherHeader::ref_from_prefix(frame).map_err(|_| ParseError::EthernetTruncated)?;
    let mut headers = Headers {
        eth_dst: ether.dst,
        eth_src: ether.src,
        vlan: None,
        ethertype: ether.ethertype.get(),
        l3_offset: ethernet::LEN as u16,
        l3: L3::Other,
    };
    let mut packet = rest;
    if headers.ethertype == ethernet::ETHERTYPE_VLAN {
        let (tag, rest) = VlanTag::ref_from_prefix(rest).map_err(|_| ParseError::VlanTruncated)?;
        headers.vlan = Some(tag.tci.get());
        headers.ethertype = tag.ethertype.get();
        headers.l3_offset += vlan::LEN as u16;
        packet = rest;
    }
    let l3_offset = usize::from(headers.l3_offset);
    headers.l3 = match headers.ethertype {
        ethernet::ETHERTYPE_IPV4 => L3::Ip(parse_ipv4(packet, l3_offset)?),
        ethernet::ETHERTYPE_IPV6 => L3::Ip(parse_ipv6(packet, l3_offset)?),
        ethernet::ETHERTYPE_ARP => L3::Arp(parse_arp(packet)?),
        _ => L3::Other,
    };
    Ok(headers)
}

fn parse_arp(packet: &[u8]) -> Result<Arp, ParseError> {
    let (arp, _) = ArpHeader::ref_from_prefix(packet).map_err(|_| ParseError::ArpMalformed)?;
    if !arp.is_ipv4_over_ethernet() {
        return Err(ParseError::ArpMalformed);
    }
    Ok(Arp {
        op: arp.op.get(),
        sender_mac: arp.sender_mac,
        sender_ip: arp.sender_ip.into(),
        target_mac: arp.target_mac,
        target_ip: arp.target_ip.into(),
    })
}

/// The upper layer's bytes and where they begin, as both families hand them on.
struct Upper<'a> {
    bytes: &'a [u8],
    offset: usize,
}

fn parse_ipv4(packet: &[u8], l3_offset: usize) -> Result<Ip, ParseError> {
    let (header, _) = Ipv4Header::ref_from_prefix(packet).map_err(|_| ParseError::Ipv4Truncated)?;
    if header.version() != 4 {
        return Err(ParseError::Ipv4Version);
    }
    let header_len = header.header_len();
    if header_len < ipv4::LEN {
        return Err(ParseError::Ipv4HeaderLength);
    }
    let with_options = packet
        .get(..header_len)
        .ok_or(ParseError::Ipv4HeaderLength)?;
    if checksum(with_options) != 0 {
        return Err(ParseError::Ipv4Checksum);
    }
    let total_len = header.total_len.get();
    if usize::from(total_len) < header_len {
        return Err(ParseError::Ipv4TotalLength);
    }
    let bytes = packet
        .get(header_len..usize::from(total_len))
        .ok_or(ParseError::Ipv4Truncated)?;
    let flags = header.flags_offset.get();
    let fragment = classify_fragment(
        header.fragment_offset(),
        flags & ipv4::MORE_FRAGMENTS != 0,
        // The reassembled packet has the first fragment's header before the payload.
        total_len.into(),
        header.proto,
    )?;
    let mut ip = Ip {
        src: IpAddr::V4(header.src_addr()),
        dst: IpAddr::V4(header.dst_addr()),
        proto: header.proto,
        tos: header.tos,
        ttl: header.ttl,
        total_len,
        l4_offset: (l3_offset + header_len) as u16,
        fragment,
        extent: Extent {
            offset: header.fragment_offset() as u16,
            len: bytes.len() as u16,
            more: flags & ipv4::MORE_FRAGMENTS != 0,
        },
        fragment_id: header.id.get().into(),
        dont_fragment: flags & ipv4::DONT_FRAGMENT != 0,
        l4: L4::None,
    };
    ip.l4 = parse_upper(
        &ip,
        &Upper {
            bytes,
            offset: l3_offset + header_len,
        },
    )?;
    Ok(ip)
}

fn parse_ipv6(packet: &[u8], l3_offset: usize) -> Result<Ip, ParseError> {
    let (header, rest) =
        Ipv6Header::ref_from_prefix(packet).map_err(|_| ParseError::Ipv6Truncated)?;
    if header.version() != 6 {
        return Err(ParseError::Ipv6Version);
    }
    let payload_len = header.payload_len.get();
    if payload_len == 0 && header.next_header == ip_proto::HOP_BY_HOP {
        return Err(ParseError::Ipv6Jumbogram);
    }
    let total_len = payload_len
        .checked_add(ipv6::LEN as u16)
        .ok_or(ParseError::Ipv6Jumbogram)?;
    let payload = rest
        .get(..payload_len.into())
        .ok_or(ParseError::Ipv6Truncated)?;
    let chain = Chain::walk(header.next_header, payload).ok_or(ParseError::Ipv6ExtensionChain)?;
    let (fragment, extent, fragment_id) = match chain.fragment {
        Some(f) => {
            let counted = (total_len as usize).saturating_sub(f.header_end);
            let kind = classify_fragment(f.offset, f.more, counted as u32, chain.proto)?;
            let extent = Extent {
                offset: f.offset as u16,
                len: payload.len().saturating_sub(f.before) as u16,
                more: f.more,
            };
            (kind, extent, f.id)
        }
        None => {
            let extent = Extent {
                len: payload.len().saturating_sub(chain.len) as u16,
                ..Extent::default()
            };
            (Fragment::None, extent, 0)
        }
    };
    let bytes = payload
        .get(chain.len..)
        .ok_or(ParseError::Ipv6ExtensionChain)?;
    let offset = l3_offset + ipv6::LEN + chain.len;
    let mut ip = Ip {
        src: IpAddr::V6(header.src_addr()),
        dst: IpAddr::V6(header.dst_addr()),
        proto: chain.proto,
        tos: header.traffic_class(),
        ttl: header.hop_limit,
        total_len,
        l4_offset: offset as u16,
        fragment,
        extent,
        fragment_id,
        dont_fragment: true,
        l4: L4::None,
    };
    if chain.fragment.is_some() && is_neighbor_discovery(chain.proto, fragment, bytes) {
        // RFC 6980 section 5, atomic fragments included.
        return Err(ParseError::NdInvalid);
    }
    ip.l4 = parse_upper(&ip, &Upper { bytes, offset })?;
    Ok(ip)
}

fn is_neighbor_discovery(proto: u8, fragment: Fragment, bytes: &[u8]) -> bool {
    proto == ip_proto::ICMPV6
        && fragment != Fragment::Later
        && bytes.first().is_some_and(|kind| icmp::is_discovery(*kind))
}

/// `len` is what this fragment adds to the reassembled packet, counted with its headers.
fn classify_fragment(offset: u32, more: bool, len: u32, proto: u8) -> Result<Fragment, ParseError> {
    if offset == 0 {
        return Ok(if more {
            Fragment::First
        } else {
            Fragment::None
        });
    }
    if offset + len > u32::from(u16::MAX) {
        return Err(ParseError::FragmentLength);
    }
    if offset == 8 && proto == ip_proto::TCP {
        return Err(ParseError::FragmentOverlap);
    }
    Ok(Fragment::Later)
}

fn parse_upper(ip: &Ip, upper: &Upper<'_>) -> Result<L4, ParseError> {
    if ip.fragment == Fragment::Later {
        return Ok(L4::None);
    }
    match ip.proto {
        ip_proto::TCP => parse_tcp(upper.bytes, ip.fragment),
        ip_proto::UDP => parse_udp(upper.bytes, ip.fragment),
        ip_proto::SCTP => {
            let (sctp, _) =
                SctpHeader::ref_from_prefix(upper.bytes).map_err(|_| ParseError::SctpTruncated)?;
            Ok(L4::Sctp {
                src: sctp.src.get(),
                dst: sctp.dst.get(),
            })
        }
        ip_proto::ICMP if !ip.is_v6() => icmp::parse_v4(upper),
        ip_proto::ICMPV6 if ip.is_v6() => icmp::parse_v6(ip, upper),
        _ => Ok(L4::None),
    }
}

fn parse_tcp(bytes: &[u8], fragment: Fragment) -> Result<L4, ParseError> {
    let (header, _) = TcpHeader::ref_from_prefix(bytes).map_err(|_| ParseError::TcpHeader)?;
    let len = header.header_len();
    // The options of a first fragment may lie in the next one.
    if len < tcp::LEN || (len > bytes.len() && fragment == Fragment::None) {
        return Err(ParseError::TcpHeader);
    }
    Ok(L4::Tcp {
        src: header.src.get(),
        dst: header.dst.get(),
        flags: header.flags,
    })
}

fn parse_udp(bytes: &[u8], fragment: Fragment) -> Result<L4, ParseError> {
    let (header, _) = UdpHeader::ref_from_prefix(bytes).map_err(|_| ParseError::UdpLength)?;
    let len = usize::from(header.len.get());
    if len < udp::LEN || (len > bytes.len() && fragment == Fragment::None) {
        return Err(ParseError::UdpLength);
    }
    Ok(L4::Udp {
        src: header.src.get(),
        dst: header.dst.get(),
    })
}

/// The station of an address option, unless it is a group's: nobody receives at a group address alone.
fn station(mac: Option<Mac>) -> Option<Mac> {
    mac.filter(|mac| !mac.is_multicast() && !mac.is_zero())
}
