//! Fragmentation: of IPv4 (RFC 791 section 3.2, RFC 1812 section 4.2.2.7), and of IPv6 where it is sent (RFC 8200 section 4.5).

use sluice_net::checksum::checksum;
use sluice_net::wire::ip_proto;
use sluice_net::wire::ipv4::{self, Ipv4Header};
use sluice_net::wire::ipv6::{self, FragmentHeader};
use sluice_net::{Fragment, Headers, L3};
use zerocopy::{FromBytes, IntoBytes};

/// Why a frame is not fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no IPv4 packet, or its header is damaged.
    NotIpv4,
    /// It is no whole IPv6 packet without extension headers.
    NotIpv6,
    /// Its sender forbids it.
    DontFragment,
    /// Not even 8 bytes of data fit beside the header.
    MtuTooSmall,
}

/// Splits the IPv4 packet in `frame` into frames whose packets have `mtu` bytes at most, in order. What stands
/// before the packet (Ethernet header, VLAN tag) stands before each of them; padding after it is left out. A packet
/// that fits comes back alone; a fragment is split further.
///
/// # Errors
/// When it cannot or must not be split.
pub fn fragment(frame: &[u8], headers: &Headers, mtu: u16) -> Result<Vec<Vec<u8>>, Refusal> {
    let L3::Ip(ip) = &headers.l3 else {
        return Err(Refusal::NotIpv4);
    };
    let (link, rest) = frame
        .split_at_checked(headers.l3_offset.into())
        .ok_or(Refusal::NotIpv4)?;
    let packet = rest.get(..ip.total_len.into()).ok_or(Refusal::NotIpv4)?;
    let header = Ipv4Header::read_from_prefix(packet)
        .map_err(|_| Refusal::NotIpv4)?
        .0;
    if ip.is_v6() || header.version() != 4 {
        return Err(Refusal::NotIpv4);
    }
    if ip.total_len <= mtu {
        return Ok(vec![[link, packet].concat()]);
    }
    if ip.dont_fragment {
        return Err(Refusal::DontFragment);
    }
    let (all, data) = packet
        .split_at_checked(header.header_len())
        .ok_or(Refusal::NotIpv4)?;
    let options = all.get(ipv4::LEN..).ok_or(Refusal::NotIpv4)?;
    // Every piece has room for the longest header: the first one's.
    let room = usize::from(mtu).saturating_sub(all.len()) & !7;
    if room == 0 {
        return Err(Refusal::MtuTooSmall);
    }
    let copied = copied_options(options);
    let last = data.len().div_ceil(room).saturating_sub(1);
    let pieces = data.chunks(room).enumerate().map(|(index, data)| {
        let options = if index == 0 { options } else { &copied };
        [
            link,
            &piece_header(header, options, index * room, data.len(), index == last),
            options,
            data,
        ]
        .concat()
    });
    Ok(pieces.collect())
}

/// Splits an IPv6 packet of this node's own, without extension headers, into frames whose packets have `mtu` bytes at most,
/// in order, with this identification. A packet that fits comes back alone.
///
/// # Errors
/// When it is none of ours, or nothing fits beside the headers.
pub fn fragment_own_v6(
    frame: &[u8],
    headers: &Headers,
    mtu: u16,
    id: u32,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let ip = headers.ip().ok_or(Refusal::NotIpv6)?;
    let l3 = usize::from(headers.l3_offset);
    let packet = frame.get(..l3 + usize::from(ip.total_len));
    let (head, data) = packet
        .and_then(|packet| packet.split_at_checked(l3 + ipv6::LEN))
        .ok_or(Refusal::NotIpv6)?;
    if !ip.is_v6() || usize::from(ip.l4_offset) != head.len() || ip.fragment != Fragment::None {
        return Err(Refusal::NotIpv6);
    }
    if ip.total_len <= mtu {
        return Ok(vec![[head, data].concat()]);
    }
    let room = usize::from(mtu).saturating_sub(ipv6::LEN + size_of::<FragmentHeader>()) & !7;
    if room == 0 {
        return Err(Refusal::MtuTooSmall);
    }
    let last = data.len().div_ceil(room).saturating_sub(1);
    let pieces = data.chunks(room).enumerate().map(|(index, data)| {
        let more = if index == last {
            0
        } else {
            ipv6::MORE_FRAGMENTS
        };
        let header = FragmentHeader {
            next_header: ip.proto,
            reserved: 0,
            offset_flags: ((index * room) as u16 | more).into(),
            id: id.into(),
        };
        let mut piece = [head, header.as_bytes(), data].concat();
        let len = (size_of::<FragmentHeader>() + data.len()) as u16;
        if let Some(fixed) = piece.get_mut(l3 + 4..l3 + 7) {
            let [high, low] = len.to_be_bytes();
            fixed.copy_from_slice(&[high, low, ip_proto::FRAGMENT]);
        }
        piece
    });
    Ok(pieces.collect())
}

/// The fixed header of the piece that begins `offset` bytes into the data of the packet with `header`.
fn piece_header(
    header: Ipv4Header,
    options: &[u8],
    offset: usize,
    len: usize,
    last: bool,
) -> [u8; ipv4::LEN] {
    let mut piece = header;
    let flags = header.flags_offset.get();
    // A piece of a fragment that is not the last one is followed by others.
    let more = if last {
        flags & ipv4::MORE_FRAGMENTS
    } else {
        ipv4::MORE_FRAGMENTS
    };
    let units = (flags & ipv4::OFFSET_MASK) + (offset / 8) as u16;
    let header_len = ipv4::LEN + options.len();
    piece.version_ihl = 0x40 | (header_len / 4) as u8;
    piece.flags_offset = ((flags & !(ipv4::OFFSET_MASK | ipv4::MORE_FRAGMENTS))
        | more
        | (units & ipv4::OFFSET_MASK))
        .into();
    piece.total_len = ((header_len + len) as u16).into();
    piece.checksum = 0.into();
    piece.checksum = checksum(&[piece.as_bytes(), options].concat()).into();
    let mut bytes = [0; ipv4::LEN];
    bytes.copy_from_slice(piece.as_bytes());
    bytes
}

/// The options that stand in every fragment: those whose type has the copied flag. Padded to words.
fn copied_options(mut options: &[u8]) -> Vec<u8> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut copied = Vec::new();
    loop {
        match *options {
            [] | [END, ..] => break,
            [NO_OPERATION, ref rest @ ..] => options = rest,
            [kind, len, ..] => {
                let Some((option, rest)) = options
                    .split_at_checked(len.into())
                    .filter(|(option, _)| option.len() >= 2)
                else {
                    break;
                };
                if kind & COPIED != 0 {
                    copied.extend_from_slice(option);
                }
                options = rest;
            }
            [_] => break,
        }
    }
    copied.resize(copied.len().next_multiple_of(4), END);
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sluice_net::{Builder, Mac, parse};
    use std::net::Ipv4Addr;

    fn packet(len: usize) -> Builder {
        let data: Vec<u8> = (0..len).map(|n| (n * 7 / 3) as u8).collect();
        Builder::ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
            .ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2))
            .ttl(9)
            .tos(0x28)
            .ip_id(0xbeef)
            .udp(1, 2)
            .payload(&data)
    }

    /// (fragment offset, more fragments, data) of each piece, headers checked by the parser.
    fn shape(pieces: &[Vec<u8>], mtu: u16) -> Vec<(u32, bool, Vec<u8>)> {
        let piece = |frame: &Vec<u8>| {
            let headers = parse(frame).expect("a piece parses");
            let ip = headers.ip().copied().expect("a piece is IP");
            assert!(ip.total_len <= mtu, "{} > {mtu}", ip.total_len);
            assert_eq!(
                frame.len(),
                usize::from(headers.l3_offset + ip.total_len),
                "no padding"
            );
            assert_eq!(
                (ip.ttl, ip.tos, ip.fragment_id, ip.proto),
                (9, 0x28, 0xbeef, 17)
            );
            let (header, _) =
                Ipv4Header::read_from_prefix(&frame[headers.l3_offset.into()..]).unwrap();
            let more = header.flags_offset.get() & ipv4::MORE_FRAGMENTS != 0;
            (
                header.fragment_offset(),
                more,
                frame[ip.l4_offset.into()..].to_vec(),
            )
        };
        pieces.iter().map(piece).collect()
    }

    fn split(frame: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, Refusal> {
        fragment(frame, &parse(frame).unwrap(), mtu)
    }

    #[test]
    fn sizes_at_the_edges() {
        // UDP header and 1,992 bytes: 2,000 bytes of data.
        let frame = packet(1_992).build();
        let lens = |mtu| {
            let pieces = split(&frame, mtu).unwrap();
            shape(&pieces, mtu)
                .into_iter()
                .map(|(offset, more, data)| (offset, more, data.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(lens(2_020), [(0, false, 2_000)]);
        assert_eq!(lens(2_019), [(0, true, 1_992), (1_992, false, 8)]);
        assert_eq!(lens(1_020), [(0, true, 1_000), (1_000, false, 1_000)]);
        assert_eq!(
            lens(1_019),
            [(0, true, 992), (992, true, 992), (1_984, false, 16)]
        );
        assert_eq!(split(&frame, 27), Err(Refusal::MtuTooSmall));
        assert_eq!(lens(28).len(), 250);
    }

    #[test]
    fn refusals() {
        assert_eq!(
            split(&packet(100).dont_fragment(true).build(), 68),
            Err(Refusal::DontFragment)
        );
        assert_eq!(
            split(&packet(100).dont_fragment(true).build(), 128).map(|pieces| pieces.len()),
            Ok(1)
        );
        let v6 = Builder::ethernet(Mac::ZERO, Mac::ZERO)
            .ipv6("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
        assert_eq!(
            split(&v6.udp(1, 2).payload(&[0; 100]).build(), 68),
            Err(Refusal::NotIpv4)
        );
        let arp = Builder::ethernet(Mac::ZERO, Mac::BROADCAST)
            .arp_request(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
        assert_eq!(split(&arp.build(), 68), Err(Refusal::NotIpv4));
    }

    #[test]
    fn a_fragment_is_split_further() {
        let data = [5; 1_000];
        for more in [true, false] {
            let frame = packet(0)
                .payload(&data)
                .protocol(17)
                .fragment(1_480, more)
                .build();
            let pieces = shape(&split(&frame, 576).unwrap(), 576);
            let shape: Vec<_> = pieces
                .iter()
                .map(|(offset, more, data)| (*offset, *more, data.len()))
                .collect();
            assert_eq!(shape, [(1_480, true, 552), (2_032, more, 448)]);
        }
    }

    #[test]
    fn only_marked_options_are_copied() {
        // Router alert (148: copied), no-op, record route (7: not copied), security (130: copied).
        let options = [148, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0, 130, 3, 9];
        let frame = packet(400).ip_options(&options).build();
        let pieces = split(&frame, 128).unwrap();
        shape(&pieces, 128);
        assert_eq!(pieces[0][34..34 + 16], frame[34..34 + 16]);
        for piece in &pieces[1..] {
            assert_eq!(piece[14], 0x47);
            assert_eq!(piece[34..34 + 8], [148, 4, 0, 0, 130, 3, 9, 0]);
        }
    }

    #[test]
    fn damaged_options_end_the_copy() {
        assert_eq!(copied_options(&[148, 0, 1, 1]), []);
        assert_eq!(copied_options(&[148, 9, 1, 1]), []);
        assert_eq!(copied_options(&[148]), []);
        assert_eq!(copied_options(&[0, 148, 4, 0, 0]), []);
        assert_eq!(copied_options(&[148, 4, 1, 2, 200, 1]), [148, 4, 1, 2]);
    }

    #[test]
    fn the_tag_stays_and_padding_goes() {
        let mut frame = packet(192).vlan(7).build();
        frame.extend_from_slice(&[0xee; 30]);
        let pieces = split(&frame, 120).unwrap();
        assert_eq!(
            shape(&pieces, 120)
                .iter()
                .map(|piece| piece.2.len())
                .sum::<usize>(),
            200
        );
        assert!(
            pieces
                .iter()
                .all(|piece| parse(piece).unwrap().vlan_id() == Some(7))
        );
    }

    proptest! {
        /// The pieces put together are the packet.
        #[test]
        fn pieces_make_the_whole(len in 0usize..9_000, mtu in 68u16..2_000, options in prop::collection::vec(any::<u8>(), 0..=40)) {
            let frame = packet(len).ip_options(&options).build();
            let headers = parse(&frame).unwrap();
            let whole = &frame[usize::from(headers.ip().unwrap().l4_offset)..];
            let pieces = shape(&split(&frame, mtu).unwrap(), mtu);
            let mut together = Vec::new();
            for (index, (offset, more, data)) in pieces.iter().enumerate() {
                prop_assert_eq!(*offset as usize, together.len());
                prop_assert_eq!(*more, index + 1 < pieces.len());
                together.extend_from_slice(data);
            }
            prop_assert_eq!(together.as_slice(), whole);
            let first = parse(&split(&frame, mtu).unwrap()[0]).unwrap().ip().unwrap().fragment;
            prop_assert_eq!(first, if pieces.len() > 1 { Fragment::First } else { Fragment::None });
        }
    }
}
