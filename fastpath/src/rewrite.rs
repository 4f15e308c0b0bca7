//! What changes in a frame between its entry and its exit, and writing it.
//!
//! The walk changes a copy of the headers; the difference is an [`Edit`], applied once. Established
//! connections make their edit from the path and the connection instead. Checksums are updated
//! incrementally (RFC 1624), so a frame that came in with a wrong one leaves with a wrong one.

use std::net::IpAddr;

use sluice_net::checksum::{checksum, udp_nonzero, update_addr, update16, update32};
use sluice_net::crc32c::update_crc32c;
use sluice_net::wire::{icmpv4, ip_proto, sctp};
use sluice_net::{Fragment, Headers, Inner, Ip, L3, L4, Mac};

use crate::connections::Rewrite;
use crate::connections::key::is_echo;

/// All changes to one frame, but for VLAN tag and outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Ethernet destination to write.
    pub eth_dst: Mac,
    /// Ethernet source to write.
    pub eth_src: Mac,
    /// TTL or hop limit to write, when it changes.
    pub ttl: Option<u8>,
    /// TOS or traffic class to write, when it changes.
    pub tos: Option<u8>,
    /// Tuple to write, of the packet's family, when it is translated.
    pub tuple: Option<Rewrite>,
    /// Tuple to write into the packet that an ICMP error quotes.
    pub quoted: Option<Rewrite>,
}

impl Edit {
    /// The difference between the headers that came in and those at the end of the walk.
    pub fn between(before: &Headers, after: &Headers, quoted: Option<Rewrite>) -> Edit {
        let mut edit = Edit {
            eth_dst: after.eth_dst,
            eth_src: after.eth_src,
            ttl: None,
            tos: None,
            tuple: None,
            quoted,
        };
        if let (L3::Ip(old), L3::Ip(new)) = (&before.l3, &after.l3) {
            edit.ttl = (old.ttl != new.ttl).then_some(new.ttl);
            edit.tos = (old.tos != new.tos).then_some(new.tos);
            let was = tuple_of(old);
            let is = tuple_of(new);
            edit.tuple = (was != is).then_some(is);
        }
        edit
    }
}

/// The frame is one of which the checksum cannot be made right: that of SCTP is over a whole packet, and what a changed port
/// does to it depends on the bytes that follow.
#[inline]
pub fn is_beyond_repair(headers: &Headers, edit: &Edit) -> bool {
    let (Some(ip), Some(tuple)) = (headers.ip(), &edit.tuple) else {
        return false;
    };
    ip.fragment == Fragment::First
        && matches!(ip.l4, L4::Sctp { .. })
        && ip.ports() != Some((tuple.src_port, tuple.dst_port))
}

/// The tuple of a packet; ports are 0 where there are none.
fn tuple_of(ip: &Ip) -> Rewrite {
    let (src_port, dst_port) = ip.ports().unwrap_or((0, 0));
    Rewrite {
        src: ip.src,
        dst: ip.dst,
        src_port,
        dst_port,
    }
}

/// Writes `edit` into `frame`, whose parsed headers are `headers`. `None` when the frame is shorter than
/// its headers say, which parsing rules out.
#[inline]
pub fn apply(frame: &mut [u8], headers: &Headers, edit: &Edit) -> Option<()> {
    frame.get_mut(0..6)?.copy_from_slice(&edit.eth_dst.0);
    frame.get_mut(6..12)?.copy_from_slice(&edit.eth_src.0);
    let L3::Ip(ip) = &headers.l3 else {
        return Some(());
    };
    let l3 = usize::from(headers.l3_offset);
    edit_header(frame.get_mut(l3..)?, ip.is_v6(), edit)?;
    if let Some(tuple) = &edit.tuple
        && ip.fragment != Fragment::Later
    {
        edit_l4(frame, headers.l3_offset, ip, tuple)?;
    }
    if let (
        Some(quoted),
        L4::IcmpError {
            inner: Some(inner), ..
        },
    ) = (&edit.quoted, &ip.l4)
    {
        edit_quoted(frame, ip, inner, quoted)?;
    }
    Some(())
}

fn edit_header(packet: &mut [u8], v6: bool, edit: &Edit) -> Option<()> {
    if v6 {
        edit_v6_header(packet.first_chunk_mut()?, edit);
    } else {
        edit_v4_header(packet.first_chunk_mut()?, edit);
    }
    Some(())
}

fn edit_v6_header(header: &mut [u8; 40], edit: &Edit) {
    if let Some(ttl) = edit.ttl {
        header[7] = ttl;
    }
    if let Some(tos) = edit.tos {
        header[0] = (header[0] & 0xf0) | (tos >> 4);
        header[1] = (header[1] & 0x0f) | (tos << 4);
    }
    if let Some(Rewrite {
        src: IpAddr::V6(src),
        dst: IpAddr::V6(dst),
        ..
    }) = &edit.tuple
    {
        header[8..24].copy_from_slice(&src.octets());
        header[24..40].copy_from_slice(&dst.octets());
    }
}

fn edit_v4_header(header: &mut [u8; 20], edit: &Edit) {
    let mut sum = u16::from_be_bytes([header[10], header[11]]);
    if let Some(ttl) = edit.ttl {
        let old = u16::from_be_bytes([header[8], header[9]]);
        header[8] = ttl;
        sum = update16(sum, old, u16::from_be_bytes([ttl, header[9]]));
    }
    if let Some(tos) = edit.tos {
        let old = u16::from_be_bytes([header[0], header[1]]);
        header[1] = tos;
        sum = update16(sum, old, u16::from_be_bytes([header[0], tos]));
    }
    if let Some(Rewrite {
        src: IpAddr::V4(src),
        dst: IpAddr::V4(dst),
        ..
    }) = &edit.tuple
    {
        sum = update32(sum, be32(header, 12), src.to_bits());
        sum = update32(sum, be32(header, 16), dst.to_bits());
        header[12..16].copy_from_slice(&src.octets());
        header[16..20].copy_from_slice(&dst.octets());
    }
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn be32(header: &[u8; 20], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

fn put16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    bytes
        .get_mut(at..at + 2)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

/// Ports (or the echo identifier) and the checksum of the upper layer.
fn edit_l4(frame: &mut [u8], l3_offset: u16, ip: &Ip, new: &Rewrite) -> Option<()> {
    let l4 = frame.get_mut(usize::from(ip.l4_offset)..)?;
    let old = tuple_of(ip);
    if let L4::Sctp { .. } = ip.l4 {
        // Behind the IP packet there may be padding.
        let header = ip.l4_offset.checked_sub(l3_offset)?;
        return edit_sctp(l4, ip.total_len.checked_sub(header)?, new);
    }
    edit_transport(l4, ip.proto, &ip.l4, &old, new)
}

/// The ports of an SCTP packet of `len` bytes, and its CRC32c, which no address is part of.
fn edit_sctp(l4: &mut [u8], len: u16, new: &Rewrite) -> Option<()> {
    let old = *l4.first_chunk::<4>()?;
    put16(l4, 0, new.src_port)?;
    put16(l4, 2, new.dst_port)?;
    let ports = *l4.first_chunk::<4>()?;
    let checksum = l4.get_mut(sctp::CHECKSUM_OFFSET..sctp::LEN)?;
    let sum = u32::from_le_bytes(*checksum.first_chunk::<4>()?);
    // Linear, so that the field itself may be one of the bytes that stay.
    let sum = update_crc32c(sum, old, ports, len.checked_sub(4)?);
    checksum.copy_from_slice(&sum.to_le_bytes());
    Some(())
}

/// Shared by packets and by what ICMP errors quote: `old` becomes `new` in the transport header.
fn edit_transport(l4: &mut [u8], proto: u8, kind: &L4, old: &Rewrite, new: &Rewrite) -> Option<()> {
    let (checksum_at, optional) = match (proto, kind) {
        (ip_proto::TCP, L4::Tcp { .. }) => (16, false),
        (ip_proto::UDP, L4::Udp { .. }) => (6, true),
        (ip_proto::SCTP, L4::Sctp { .. }) => {
            // Of a quotation: it ends too early for its CRC32c.
            put16(l4, 0, new.src_port)?;
            return put16(l4, 2, new.dst_port);
        }
        (ip_proto::UDPLITE | ip_proto::DCCP, L4::None) => {
            // Told apart by address; the checksum is over those (RFC 3828 section 3.1, RFC 4340 section 9.1).
            let Some(sum) = be16(l4, 6) else {
                return Some(());
            };
            return put16(l4, 6, udp_nonzero(with_addresses(sum, old, new)));
        }
        (ip_proto::ICMP, L4::Echo { .. }) => {
            let sum = update16(be16(l4, 2)?, old.src_port, new.src_port);
            put16(l4, 4, new.src_port)?;
            return put16(l4, 2, sum);
        }
        (ip_proto::ICMPV6, L4::None) => return Some(()),
        (ip_proto::ICMPV6, kind) => {
            let mut sum = with_addresses(be16(l4, 2)?, old, new);
            if let L4::Echo { .. } = kind {
                sum = update16(sum, old.src_port, new.src_port);
                put16(l4, 4, new.src_port)?;
            }
            return put16(l4, 2, sum);
        }
        _ => return Some(()),
    };
    put16(l4, 0, new.src_port)?;
    put16(l4, 2, new.dst_port)?;
    // A quotation may end before the checksum.
    let Some(sum) = be16(l4, checksum_at) else {
        return Some(());
    };
    if optional && sum == 0 {
        return Some(());
    }
    let sum = with_addresses(sum, old, new);
    let sum = update16(
        update16(sum, old.src_port, new.src_port),
        old.dst_port,
        new.dst_port,
    );
    put16(
        l4,
        checksum_at,
        if optional { udp_nonzero(sum) } else { sum },
    )
}

/// A checksum over a pseudo header after its addresses have changed.
fn with_addresses(sum: u16, old: &Rewrite, new: &Rewrite) -> u16 {
    update_addr(update_addr(sum, old.src, new.src), old.dst, new.dst)
}

/// The packet quoted in an ICMP error: its addresses, ports and checksums, then the ICMP checksum.
fn edit_quoted(frame: &mut [u8], ip: &Ip, inner: &Inner, new: &Rewrite) -> Option<()> {
    let echo = is_echo(inner.proto);
    let old = Rewrite {
        src: inner.src,
        dst: inner.dst,
        src_port: inner.src_port,
        dst_port: if echo { inner.src_port } else { inner.dst_port },
    };
    let icmp_at = usize::from(ip.l4_offset);
    let end = usize::from(inner.l4_offset) + usize::from(inner.l4_len);
    let l3 = usize::from(inner.l3_offset);
    let before = !checksum(frame.get(l3..end)?);
    let only_tuple = Edit {
        eth_dst: Mac::ZERO,
        eth_src: Mac::ZERO,
        ttl: None,
        tos: None,
        tuple: Some(*new),
        quoted: None,
    };
    edit_header(frame.get_mut(l3..)?, inner.src.is_ipv6(), &only_tuple)?;
    let kind = match inner.proto {
        ip_proto::TCP => L4::Tcp {
            src: 0,
            dst: 0,
            flags: 0,
        },
        ip_proto::UDP => L4::Udp { src: 0, dst: 0 },
        ip_proto::SCTP => L4::Sctp { src: 0, dst: 0 },
        ip_proto::ICMP | ip_proto::ICMPV6 => L4::Echo {
            reply: false,
            id: 0,
        },
        _ => L4::None,
    };
    edit_transport(
        frame.get_mut(usize::from(inner.l4_offset)..end)?,
        inner.proto,
        &kind,
        &old,
        new,
    )?;
    let after = !checksum(frame.get(l3..end)?);
    let checksum_at = icmp_at + icmpv4::CHECKSUM_OFFSET;
    let sum = update16(be16(frame, checksum_at)?, before, after);
    put16(frame, checksum_at, sum)
}

#[cfg(test)]
mod tests;
