//! A frame in one line, for logs, traces and failing tests.

use std::fmt::{self, Write};

use crate::headers::{Arp, Fragment, Headers, Ip, L3, L4, ParseError};
use crate::wire::{arp, geneve, ip_proto, nd, tcp, udp, vxlan};

/// One line in the manner of tcpdump; a frame inside Geneve or VXLAN follows in brackets.
///
/// ```text
/// 02:..:01 > 02:..:02 172.16.0.1.40000 > 172.16.0.2.6081 udp ttl 64 len 142 geneve vni 4 in 1 out 4 [...]
/// ```
#[must_use]
pub fn show(frame: &[u8]) -> String {
    let mut line = String::new();
    // A String takes everything.
    let _ = write_frame(&mut line, frame, MAX_DEPTH);
    line
}

/// How many tunnels inside each other are followed.
const MAX_DEPTH: u8 = 3;

fn write_frame(line: &mut String, frame: &[u8], depth: u8) -> fmt::Result {
    let headers = match crate::parse(frame) {
        Ok(headers) => headers,
        Err(error) => return write_refused(line, frame, error),
    };
    write!(line, "{} > {}", headers.eth_src, headers.eth_dst)?;
    if let Some(tci) = headers.vlan {
        write!(line, " vlan {}", tci & 0x0fff)?;
        if tci >> 13 != 0 {
            write!(line, " prio {}", tci >> 13)?;
        }
    }
    match &headers.l3 {
        L3::Arp(arp) => write_arp(line, arp),
        L3::Other => write!(
            line,
            " ethertype {:#06x} len {}",
            headers.ethertype,
            frame.len()
        ),
        L3::Ip(ip) => {
            write_ip(line, ip)?;
            write_tunnel(line, frame, &headers, ip, depth)
        }
    }
}

fn write_refused(line: &mut String, frame: &[u8], error: ParseError) -> fmt::Result {
    write!(line, "bad frame of {} bytes: {error}", frame.len())
}

fn write_arp(line: &mut String, arp: &Arp) -> fmt::Result {
    match arp.op {
        arp::REQUEST => {
            write!(
                line,
                " arp who-has {} tell {}",
                arp.target_ip, arp.sender_ip
            )?;
        }
        arp::REPLY => write!(line, " arp reply {} to {}", arp.sender_ip, arp.target_ip)?,
        op => write!(line, " arp op {op} {} {}", arp.sender_ip, arp.target_ip)?,
    }
    write!(line, " sender {}", arp.sender_mac)
}

fn write_ip(line: &mut String, ip: &Ip) -> fmt::Result {
    match ip.l4 {
        L4::Tcp { src, dst, flags } => {
            write!(line, " {}.{src} > {}.{dst} tcp ", ip.src, ip.dst)?;
            write_tcp_flags(line, flags)?;
        }
        L4::Udp { src, dst } => write!(line, " {}.{src} > {}.{dst} udp", ip.src, ip.dst)?,
        L4::Sctp { src, dst } => write!(line, " {}.{src} > {}.{dst} sctp", ip.src, ip.dst)?,
        _ => {
            write!(line, " {} > {} ", ip.src, ip.dst)?;
            write_message(line, ip)?;
        }
    }
    write!(line, " ttl {}", ip.ttl)?;
    if ip.tos != 0 {
        write!(line, " tos {:#04x}", ip.tos)?;
    }
    if ip.dont_fragment && !ip.is_v6() {
        line.push_str(" df");
    }
    match ip.fragment {
        Fragment::None => {}
        Fragment::First => write!(line, " first fragment of {:#x}", ip.fragment_id)?,
        Fragment::Later => write!(line, " later fragment of {:#x}", ip.fragment_id)?,
    }
    write!(line, " len {}", ip.total_len)
}

fn write_message(line: &mut String, ip: &Ip) -> fmt::Result {
    let icmp = if ip.is_v6() { "icmp6" } else { "icmp" };
    match &ip.l4 {
        L4::Echo { reply, id } => {
            write!(
                line,
                "{icmp} echo {} id {id}",
                if *reply { "reply" } else { "request" }
            )
        }
        L4::IcmpError { kind, code, inner } => {
            write!(line, "{icmp} error {kind}/{code}")?;
            match inner {
                Some(i) => write!(
                    line,
                    " about {}.{} > {}.{} {}",
                    i.src,
                    i.src_port,
                    i.dst,
                    i.dst_port,
                    Proto(i.proto)
                ),
                None => Ok(()),
            }
        }
        L4::Icmp { kind, code } => write!(line, "{icmp} {kind}/{code}"),
        L4::NeighborSolicit { target, .. } => write!(line, "{icmp} neighbor who-has {target}"),
        L4::NeighborAdvert {
            target,
            target_mac,
            flags,
        } => {
            write!(line, "{icmp} neighbor {target} is ")?;
            match target_mac {
                Some(mac) => write!(line, "{mac}")?,
                None => write!(line, "there")?,
            }
            for (flag, name) in [
                (nd::FLAG_ROUTER, " router"),
                (nd::FLAG_SOLICITED, " solicited"),
                (nd::FLAG_OVERRIDE, " override"),
            ] {
                if flags & flag != 0 {
                    line.push_str(name);
                }
            }
            Ok(())
        }
        L4::RouterSolicit => write!(line, "{icmp} router solicitation"),
        L4::RouterAdvert => write!(line, "{icmp} router advertisement"),
        L4::None | L4::Tcp { .. } | L4::Udp { .. } | L4::Sctp { .. } => {
            write!(line, "{}", Proto(ip.proto))
        }
    }
}

fn write_tcp_flags(line: &mut String, flags: u8) -> fmt::Result {
    line.push('[');
    for (flag, name) in [
        (tcp::SYN, 'S'),
        (tcp::FIN, 'F'),
        (tcp::RST, 'R'),
        (tcp::PSH, 'P'),
        (tcp::ACK, '.'),
        (tcp::URG, 'U'),
        (tcp::ECE, 'E'),
        (tcp::CWR, 'W'),
    ] {
        if flags & flag != 0 {
            line.push(name);
        }
    }
    line.push(']');
    Ok(())
}

fn write_tunnel(
    line: &mut String,
    frame: &[u8],
    headers: &Headers,
    ip: &Ip,
    depth: u8,
) -> fmt::Result {
    let L4::Udp { dst, .. } = ip.l4 else {
        return Ok(());
    };
    let start = usize::from(ip.l4_offset) + udp::LEN;
    // Padding after the packet is not the inner frame's.
    let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
    let Some(payload) = frame.get(start..end) else {
        return Ok(());
    };
    let header_len = match dst {
        udp::PORT_GENEVE => match geneve::parse(payload) {
            Ok(tunnel) => {
                write!(line, " geneve vni {}", tunnel.vni)?;
                if let Some(ovn) = tunnel.ovn {
                    write!(line, " in {} out {}", ovn.in_key, ovn.out_key)?;
                }
                tunnel.header_len
            }
            Err(error) => return write!(line, " ({error})"),
        },
        udp::PORT_VXLAN => match vxlan::parse(payload) {
            Ok(tunnel) => {
                write!(line, " vxlan vni {}", tunnel.vni)?;
                vxlan::LEN
            }
            Err(error) => return write!(line, " ({error})"),
        },
        _ => return Ok(()),
    };
    if depth == 0 {
        line.push_str(" [..]");
        return Ok(());
    }
    line.push_str(" [");
    write_frame(
        line,
        payload.get(header_len..).unwrap_or_default(),
        depth - 1,
    )?;
    line.push(']');
    Ok(())
}

/// A protocol by name, or by number.
struct Proto(u8);

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ip_proto::ICMP => f.write_str("icmp"),
            ip_proto::TCP => f.write_str("tcp"),
            ip_proto::UDP => f.write_str("udp"),
            ip_proto::ICMPV6 => f.write_str("icmp6"),
            ip_proto::SCTP => f.write_str("sctp"),
            other => write!(f, "proto {other}"),
        }
    }
}
