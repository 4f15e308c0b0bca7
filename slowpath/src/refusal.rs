//! What the sender of a packet that an ACL rejects is told, in the name of whom it was sent to.
//!
//! | packet | answer |
//! |---|---|
//! | TCP | a reset (RFC 9293 section 3.10.7.1) |
//! | SCTP | an abort (RFC 9260 section 8.4) |
//! | UDP | port unreachable |
//! | other | IPv4: host unreachable; IPv6: administratively prohibited, as OVN has it |

use sluice_net::crc32c::crc32c;
use sluice_net::wire::ip_proto;
use sluice_net::wire::sctp::{self, SctpHeader};
use sluice_net::wire::tcp::{self, TcpHeader};
use sluice_net::{Builder, Fragment, Headers, Ip, L4};
use zerocopy::{FromBytes, IntoBytes};

use crate::icmp::{self, Reporter, Silence, Trouble};

/// TTL of answers.
const TTL: u8 = 255;
/// Chunk type of an initiation (RFC 9260 section 3.2).
const SCTP_INIT: u8 = 1;
/// Chunk type of an abort.
const SCTP_ABORT: u8 = 6;
/// Flag of an abort: the verification tag is that of the packet it answers (section 3.3.7).
const SCTP_REFLECTED: u8 = 1;

/// The answer to the packet in `frame`, whose Ethernet addresses are those in `headers`. Untagged.
///
/// # Errors
/// When nothing may be said.
pub fn refusal(frame: &[u8], headers: &Headers) -> Result<Vec<u8>, Silence> {
    let ip = headers.ip().ok_or(Silence::NotIp)?;
    let from = Reporter {
        address: ip.dst,
        networks: &[],
    };
    match ip.l4 {
        L4::Tcp { src, dst, flags } if ip.fragment == Fragment::None => {
            icmp::admit(headers, ip, from.networks)?;
            let segment = upper(frame, headers, ip).ok_or(Silence::NotIp)?;
            reset(answer(headers, ip), segment, (src, dst), flags)
        }
        L4::Sctp { src, dst } if ip.fragment == Fragment::None => {
            icmp::admit(headers, ip, from.networks)?;
            let packet = upper(frame, headers, ip).ok_or(Silence::NotIp)?;
            abort(answer(headers, ip), packet, (src, dst))
        }
        L4::Udp { .. } => icmp::error(frame, headers, Trouble::PortUnreachable, from),
        _ if ip.is_v6() => icmp::error(frame, headers, Trouble::Prohibited, from),
        _ => icmp::error(frame, headers, Trouble::HostUnreachable, from),
    }
}

fn answer(headers: &Headers, ip: &Ip) -> Builder {
    Builder::ethernet(headers.eth_dst, headers.eth_src)
        .ip(ip.dst, ip.src)
        .ttl(TTL)
        .tos(ip.tos)
}

/// What follows the IP header, without padding.
fn upper<'f>(frame: &'f [u8], headers: &Headers, ip: &Ip) -> Option<&'f [u8]> {
    let end = usize::from(headers.l3_offset).checked_add(ip.total_len.into())?;
    frame.get(usize::from(ip.l4_offset)..end)
}

/// Without an acknowledgment the reset acknowledges all that the segment holds; else it has the number that is expected.
fn reset(
    answer: Builder,
    segment: &[u8],
    (src, dst): (u16, u16),
    flags: u8,
) -> Result<Vec<u8>, Silence> {
    if flags & tcp::RST != 0 {
        return Err(Silence::AboutError);
    }
    let (header, _) = TcpHeader::ref_from_prefix(segment).map_err(|_| Silence::NotIp)?;
    let data = segment.len().saturating_sub(header.header_len()) as u32;
    let one = |flag| u32::from(flags & flag != 0);
    let (flags, seq, ack) = if flags & tcp::ACK != 0 {
        (tcp::RST, header.ack.get(), 0)
    } else {
        let len = data.wrapping_add(one(tcp::SYN)).wrapping_add(one(tcp::FIN));
        (tcp::RST | tcp::ACK, 0, header.seq.get().wrapping_add(len))
    };
    Ok(answer.tcp(dst, src, flags).tcp_state(seq, ack, 0).build())
}

/// With the tag that an initiation asks for, else with that of the packet.
fn abort(answer: Builder, packet: &[u8], (src, dst): (u16, u16)) -> Result<Vec<u8>, Silence> {
    let (header, chunks) = SctpHeader::ref_from_prefix(packet).map_err(|_| Silence::NotIp)?;
    let [kind, _, _, _, rest @ ..] = chunks else {
        return Err(Silence::NotIp);
    };
    let (tag, flags) = match (*kind, rest.first_chunk::<4>()) {
        (SCTP_ABORT, _) => return Err(Silence::AboutError),
        (SCTP_INIT, Some(initiate)) => (u32::from_be_bytes(*initiate), 0),
        _ => (header.tag.get(), SCTP_REFLECTED),
    };
    let header = SctpHeader {
        src: dst.into(),
        dst: src.into(),
        tag: tag.into(),
        checksum: 0.into(),
    };
    let mut bytes = [header.as_bytes(), &[SCTP_ABORT, flags, 0, 4]].concat();
    let sum = crc32c(&bytes).to_le_bytes();
    if let Some(field) = bytes.get_mut(sctp::CHECKSUM_OFFSET..sctp::LEN) {
        field.copy_from_slice(&sum);
    }
    Ok(answer.protocol(ip_proto::SCTP).payload(&bytes).build())
}

#[cfg(test)]
mod tests;
