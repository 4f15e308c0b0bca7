//! ICMP and ICMPv6 of a router: echo replies and errors (RFC 792, RFC 1122 section 3.2.2, RFC 1812 section 4.3,
//! RFC 4443).

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_net::builder::Echo;
use sluice_net::checksum::{finish, ones_complement_sum, pseudo};
use sluice_net::wire::{icmpv4, icmpv6, ipv4, ipv6};
use sluice_net::{Builder, Fragment, Headers, Ip, L4};

/// TTL of what a router sends itself.
const TTL: u8 = 255;
/// An ICMP error is not longer than this (RFC 1812 section 4.3.2.3).
const ERROR_MAX_V4: usize = 576;
/// An ICMPv6 error is not longer than the smallest MTU (RFC 4443 section 2.4 c).
const ERROR_MAX_V6: usize = 1_280;
/// Precedence of errors: internetwork control (RFC 1812 section 4.3.2.5).
const ERROR_TOS: u8 = 0xc0;

/// Why an echo request gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EchoRefusal {
    /// It is no echo request.
    NotAnEcho,
    /// It is a fragment.
    Fragment,
    /// Its checksum is wrong.
    Checksum,
    /// Its source or destination is no single station (RFC 1122 section 3.2.2.6 leaves it open; amplification).
    Address,
}

/// The reply to an echo request, with the same data, TTL 255, and Ethernet addresses exchanged. Untagged.
///
/// # Errors
/// When there is nothing to reply to.
pub fn echo_reply(frame: &[u8], headers: &Headers) -> Result<Vec<u8>, EchoRefusal> {
    let ip = headers.ip().ok_or(EchoRefusal::NotAnEcho)?;
    if ip.fragment != Fragment::None {
        return Err(EchoRefusal::Fragment);
    }
    let L4::Echo { reply: false, id } = ip.l4 else {
        return Err(EchoRefusal::NotAnEcho);
    };
    if !is_single(ip.src) || !is_single(ip.dst) {
        return Err(EchoRefusal::Address);
    }
    let message = packet(frame, headers, ip)
        .and_then(|packet| packet.get(usize::from(ip.l4_offset.checked_sub(headers.l3_offset)?)..));
    let message = message.ok_or(EchoRefusal::NotAnEcho)?;
    let (header, data) = message
        .split_at_checked(icmpv4::LEN)
        .ok_or(EchoRefusal::NotAnEcho)?;
    let initial = if ip.is_v6() {
        pseudo(ip.src, ip.dst, ip.proto, message.len() as u32)
    } else {
        0
    };
    if finish(ones_complement_sum(message, initial)) != 0 {
        return Err(EchoRefusal::Checksum);
    }
    let seq = header.last_chunk().copied().map_or(0, u16::from_be_bytes);
    Ok(Builder::ethernet(headers.eth_dst, headers.eth_src)
        .ip(ip.dst, ip.src)
        .ttl(TTL)
        .tos(ip.tos)
        .ip_id(ip.fragment_id)
        .dont_fragment(ip.dont_fragment)
        .icmp_echo(Echo::Reply, id, seq)
        .payload(data)
        .build())
}

/// What an error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// TTL or hop limit ran out in transit.
    TimeExceeded,
    /// No route to the destination.
    NetUnreachable,
    /// The next hop does not answer.
    HostUnreachable,
    /// No one listens there.
    PortUnreachable,
    /// A rule forbids it.
    Prohibited,
    /// Larger than the next link takes (RFC 1191, RFC 8201).
    TooBig {
        /// Bytes of IP it takes.
        mtu: u16,
    },
}

/// Who sends an error.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// The error's source, of the packet's family.
    pub address: IpAddr,
    /// Networks of the link, whose broadcast addresses are no stations.
    pub networks: &'a [IpNet],
}

/// Why nothing is said about a packet (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 e).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It is no IP packet of the reporter's family.
    NotIp,
    /// It is an ICMP error itself.
    AboutError,
    /// It is not the first fragment.
    LaterFragment,
    /// It was sent to many, on the link or by its destination address.
    ToMany,
    /// Its source address is no single station.
    Source,
}

/// The error about the packet in `frame`. Ethernet addresses are exchanged, it is untagged.
///
/// # Errors
/// When nothing may be said.
pub fn error(
    frame: &[u8],
    headers: &Headers,
    trouble: Trouble,
    from: Reporter<'_>,
) -> Result<Vec<u8>, Silence> {
    let ip = headers
        .ip()
        .filter(|ip| ip.src.is_ipv4() == from.address.is_ipv4())
        .ok_or(Silence::NotIp)?;
    admit(headers, ip, from.networks)?;
    let (kind, code, rest) = trouble.header(ip.is_v6());
    let (limit, overhead) = if ip.is_v6() {
        (ERROR_MAX_V6, ipv6::LEN + icmpv4::LEN)
    } else {
        (ERROR_MAX_V4, ipv4::LEN + icmpv4::LEN)
    };
    let packet = packet(frame, headers, ip).ok_or(Silence::NotIp)?;
    let quotation = packet.get(..limit - overhead).unwrap_or(packet);
    Ok(Builder::ethernet(headers.eth_dst, headers.eth_src)
        .ip(from.address, ip.src)
        .ttl(TTL)
        .tos(ERROR_TOS)
        .icmp(kind, code, rest)
        .payload(quotation)
        .build())
}

/// Whether anything may be said about a packet.
pub(crate) fn admit(headers: &Headers, ip: &Ip, networks: &[IpNet]) -> Result<(), Silence> {
    let broadcast = |address: IpAddr| networks.iter().any(|net| is_broadcast_of(net, address));
    if ip.is_icmp_error() {
        Err(Silence::AboutError)
    } else if ip.fragment == Fragment::Later {
        Err(Silence::LaterFragment)
    } else if headers.eth_dst.is_multicast() || is_group(ip.dst) || broadcast(ip.dst) {
        Err(Silence::ToMany)
    } else if !is_single(ip.src) || broadcast(ip.src) {
        Err(Silence::Source)
    } else {
        Ok(())
    }
}

/// The IP packet without padding.
fn packet<'a>(frame: &'a [u8], headers: &Headers, ip: &Ip) -> Option<&'a [u8]> {
    let start = usize::from(headers.l3_offset);
    frame.get(start..start.checked_add(ip.total_len.into())?)
}

impl Trouble {
    /// Type, code, and what follows the checksum.
    const fn header(self, v6: bool) -> (u8, u8, [u8; 4]) {
        const NONE: [u8; 4] = [0; 4];
        match (self, v6) {
            (Trouble::TimeExceeded, false) => {
                (icmpv4::TIME_EXCEEDED, icmpv4::CODE_TTL_EXCEEDED, NONE)
            }
            (Trouble::TimeExceeded, true) => {
                (icmpv6::TIME_EXCEEDED, icmpv6::CODE_HOP_LIMIT_EXCEEDED, NONE)
            }
            (Trouble::NetUnreachable, false) => {
                (icmpv4::UNREACHABLE, icmpv4::CODE_NET_UNREACHABLE, NONE)
            }
            (Trouble::NetUnreachable, true) => (icmpv6::UNREACHABLE, icmpv6::CODE_NO_ROUTE, NONE),
            (Trouble::HostUnreachable, false) => {
                (icmpv4::UNREACHABLE, icmpv4::CODE_HOST_UNREACHABLE, NONE)
            }
            (Trouble::HostUnreachable, true) => {
                (icmpv6::UNREACHABLE, icmpv6::CODE_ADDRESS_UNREACHABLE, NONE)
            }
            (Trouble::PortUnreachable, false) => {
                (icmpv4::UNREACHABLE, icmpv4::CODE_PORT_UNREACHABLE, NONE)
            }
            (Trouble::PortUnreachable, true) => {
                (icmpv6::UNREACHABLE, icmpv6::CODE_PORT_UNREACHABLE, NONE)
            }
            (Trouble::Prohibited, false) => (icmpv4::UNREACHABLE, icmpv4::CODE_PROHIBITED, NONE),
            (Trouble::Prohibited, true) => (icmpv6::UNREACHABLE, icmpv6::CODE_PROHIBITED, NONE),
            (Trouble::TooBig { mtu }, false) => {
                let [high, low] = mtu.to_be_bytes();
                (
                    icmpv4::UNREACHABLE,
                    icmpv4::CODE_FRAGMENTATION_NEEDED,
                    [0, 0, high, low],
                )
            }
            (Trouble::TooBig { mtu }, true) => {
                let [high, low] = mtu.to_be_bytes();
                (icmpv6::PACKET_TOO_BIG, 0, [0, 0, high, low])
            }
        }
    }
}

/// Can one station have this address?
fn is_single(address: IpAddr) -> bool {
    let reserved = match address {
        // 0.0.0.0/8 and 240.0.0.0/4, the broadcast address in it.
        IpAddr::V4(v4) => matches!(v4.octets(), [0 | 240.., ..]),
        IpAddr::V6(v6) => v6.is_unspecified(),
    };
    !reserved && !address.is_multicast() && !address.is_loopback()
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(v4) if v4.is_broadcast())
}

fn is_broadcast_of(net: &IpNet, address: IpAddr) -> bool {
    // RFC 3021: a /31 has no broadcast address; a /32 neither.
    matches!(net, IpNet::V4(net) if net.prefix_len() < 31 && address == net.broadcast())
}

#[cfg(test)]
mod tests;
