//! ICMP, ICMPv6, the packets they quote, and neighbor discovery.

use std::net::{IpAddr, Ipv6Addr};

use zerocopy::FromBytes;

use super::chain::Chain;
use super::{Upper, station};
use crate::checksum::{checksum, finish, ones_complement_sum, pseudo_v6};
use crate::headers::{Inner, Ip, L4, ParseError, is_icmpv4_error};
use crate::wire::icmpv4::{self, IcmpHeader};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::nd::{self, MacOptions, NeighborMessage};
use crate::wire::{icmpv6, ip_proto};

/// Every error quotes at least this much of the upper layer (RFC 792).
const QUOTED_UPPER: usize = 8;

pub(super) const fn is_discovery(kind: u8) -> bool {
    matches!(kind, icmpv6::ROUTER_SOLICIT..=icmpv6::REDIRECT)
}

pub(super) fn parse_v4(upper: &Upper<'_>) -> Result<L4, ParseError> {
    let (header, rest) =
        IcmpHeader::ref_from_prefix(upper.bytes).map_err(|_| ParseError::IcmpTruncated)?;
    let &IcmpHeader {
        kind,
        code,
        rest: [a, b, ..],
        ..
    } = header;
    Ok(match kind {
        icmpv4::ECHO_REQUEST => L4::Echo {
            reply: false,
            id: u16::from_be_bytes([a, b]),
        },
        icmpv4::ECHO_REPLY => L4::Echo {
            reply: true,
            id: u16::from_be_bytes([a, b]),
        },
        _ if is_icmpv4_error(kind) => {
            // RFC 4884: the second byte counts the words of the quotation when more follows it.
            let extensible = matches!(
                kind,
                icmpv4::UNREACHABLE | icmpv4::TIME_EXCEEDED | icmpv4::PARAMETER_PROBLEM
            );
            let units = if extensible { usize::from(b) } else { 0 };
            let quotation = bounded(rest, units * 4);
            let inner = parse_inner_v4(quotation, upper.offset + icmpv4::LEN);
            L4::IcmpError { kind, code, inner }
        }
        _ => L4::Icmp { kind, code },
    })
}

pub(super) fn parse_v6(ip: &Ip, upper: &Upper<'_>) -> Result<L4, ParseError> {
    let (header, rest) =
        IcmpHeader::ref_from_prefix(upper.bytes).map_err(|_| ParseError::IcmpTruncated)?;
    let &IcmpHeader {
        kind,
        code,
        rest: [a, b, ..],
        ..
    } = header;
    Ok(match kind {
        icmpv6::ECHO_REQUEST => L4::Echo {
            reply: false,
            id: u16::from_be_bytes([a, b]),
        },
        icmpv6::ECHO_REPLY => L4::Echo {
            reply: true,
            id: u16::from_be_bytes([a, b]),
        },
        _ if kind < icmpv6::FIRST_INFORMATIONAL => {
            let extensible = matches!(kind, icmpv6::UNREACHABLE | icmpv6::TIME_EXCEEDED);
            let units = if extensible { usize::from(a) } else { 0 };
            let quotation = bounded(rest, units * 8);
            let inner = parse_inner_v6(quotation, upper.offset + icmpv4::LEN);
            L4::IcmpError { kind, code, inner }
        }
        _ if is_discovery(kind) => {
            parse_discovery(ip, header, upper.bytes).ok_or(ParseError::NdInvalid)?
        }
        _ => L4::Icmp { kind, code },
    })
}

/// At most `limit` bytes, where 0 means no limit.
fn bounded(bytes: &[u8], limit: usize) -> &[u8] {
    if limit == 0 {
        bytes
    } else {
        bytes.get(..limit).unwrap_or(bytes)
    }
}

/// The quoted header's checksum must hold (RFC 5508 requirement 3).
fn parse_inner_v4(quotation: &[u8], offset: usize) -> Option<Inner> {
    let (header, _) = Ipv4Header::ref_from_prefix(quotation).ok()?;
    let header_len = header.header_len();
    if header.version() != 4 || header_len < ipv4::LEN || header.fragment_offset() != 0 {
        return None;
    }
    if checksum(quotation.get(..header_len)?) != 0 {
        return None;
    }
    let end = quotation.len().min(header.total_len.get().into());
    Quoted {
        src: header.src_addr().into(),
        dst: header.dst_addr().into(),
        proto: header.proto,
        upper: quotation.get(header_len..end)?,
    }
    .inner(offset, offset + header_len)
}

fn parse_inner_v6(quotation: &[u8], offset: usize) -> Option<Inner> {
    let (header, rest) = Ipv6Header::ref_from_prefix(quotation).ok()?;
    if header.version() != 6 {
        return None;
    }
    let payload = bounded_by(rest, header.payload_len.get());
    let chain = Chain::walk(header.next_header, payload)?;
    if chain.fragment.is_some_and(|f| f.offset != 0) {
        return None;
    }
    Quoted {
        src: header.src_addr().into(),
        dst: header.dst_addr().into(),
        proto: chain.proto,
        upper: payload.get(chain.len..)?,
    }
    .inner(offset, offset + ipv6::LEN + chain.len)
}

fn bounded_by(bytes: &[u8], limit: u16) -> &[u8] {
    bytes.get(..limit.into()).unwrap_or(bytes)
}

struct Quoted<'a> {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    upper: &'a [u8],
}

impl Quoted<'_> {
    fn inner(&self, l3_offset: usize, l4_offset: usize) -> Option<Inner> {
        let &[a, b, c, d, e, f, _, _] = self.upper.first_chunk::<QUOTED_UPPER>()?;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (src_port, dst_port) = match self.proto {
            ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP => (first, second),
            ip_proto::ICMP | ip_proto::ICMPV6 => {
                let v6 = self.proto == ip_proto::ICMPV6;
                let echo = match a {
                    icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY => v6,
                    icmpv4::ECHO_REQUEST | icmpv4::ECHO_REPLY => !v6,
                    _ => false,
                };
                if !echo || v6 != self.src.is_ipv6() {
                    return None;
                }
                (u16::from_be_bytes([e, f]), 0)
            }
            _ => (0, 0),
        };
        Some(Inner {
            src: self.src,
            dst: self.dst,
            proto: self.proto,
            src_port,
            dst_port,
            l3_offset: l3_offset as u16,
            l4_offset: l4_offset as u16,
            l4_len: self.upper.len() as u16,
        })
    }
}

/// RFC 4861: section 6.1.1 router solicitation, 6.1.2 router advertisement, 7.1.1 neighbor solicitation,
/// 7.1.2 neighbor advertisement, 8.1 redirect. `None` for a message to discard.
fn parse_discovery(ip: &Ip, header: &IcmpHeader, message: &[u8]) -> Option<L4> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (ip.src, ip.dst) else {
        return None;
    };
    let sum = pseudo_v6(src, dst, ip_proto::ICMPV6, message.len() as u32);
    if ip.ttl != nd::HOP_LIMIT || header.code != 0 || finish(ones_complement_sum(message, sum)) != 0
    {
        return None;
    }
    match header.kind {
        icmpv6::ROUTER_SOLICIT => {
            let options = nd::mac_options(message.get(8..)?)?;
            (!src.is_unspecified() || options.source.is_none()).then_some(L4::RouterSolicit)
        }
        icmpv6::ROUTER_ADVERT => {
            nd::mac_options(message.get(16..)?)?;
            src.is_unicast_link_local().then_some(L4::RouterAdvert)
        }
        icmpv6::NEIGHBOR_SOLICIT => {
            let (target, options) = parse_neighbor(message)?;
            let valid =
                !src.is_unspecified() || (options.source.is_none() && is_solicited_node(dst));
            valid.then_some(L4::NeighborSolicit {
                target,
                source_mac: station(options.source),
            })
        }
        icmpv6::NEIGHBOR_ADVERT => {
            let (target, options) = parse_neighbor(message)?;
            let flags = header.rest[0];
            if dst.is_multicast() && flags & nd::FLAG_SOLICITED != 0 {
                return None;
            }
            Some(L4::NeighborAdvert {
                target,
                target_mac: station(options.target),
                flags,
            })
        }
        _ => {
            nd::mac_options(message.get(40..)?)?;
            src.is_unicast_link_local().then_some(L4::Icmp {
                kind: header.kind,
                code: 0,
            })
        }
    }
}

fn parse_neighbor(message: &[u8]) -> Option<(Ipv6Addr, MacOptions)> {
    let (neighbor, options) = NeighborMessage::ref_from_prefix(message).ok()?;
    let target = neighbor.target_addr();
    let options = nd::mac_options(options)?;
    (!target.is_multicast()).then_some((target, options))
}

fn is_solicited_node(address: Ipv6Addr) -> bool {
    crate::addr::solicited_node(address) == address
}
