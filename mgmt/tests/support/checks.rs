//! Checksums of a frame, computed anew, byte by byte and without the code under test.

use std::net::IpAddr;

use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Fragment, Headers, Ip, L3, L4};

/// Every checksum of a frame, those inside tunnels and of quoted packets included.
///
/// # Errors
/// Which one is wrong.
pub fn verify(frame: &[u8]) -> Result<(), String> {
    let headers = sluice_net::parse(frame).map_err(|error| format!("does not parse: {error}"))?;
    let L3::Ip(ip) = &headers.l3 else {
        return Ok(());
    };
    if ip.fragment != Fragment::None {
        return Ok(());
    }
    let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
    let upper = &frame[usize::from(ip.l4_offset)..end];
    upper_layer(ip, upper)?;
    if let L4::IcmpError { .. } = ip.l4 {
        quotation(ip, &upper[8..])?;
    }
    match ip.l4 {
        L4::Udp {
            dst: udp::PORT_GENEVE,
            ..
        } => match geneve::parse(&upper[udp::LEN..]) {
            Ok(header) => verify(&upper[udp::LEN + header.header_len..]),
            Err(error) => Err(format!("Geneve: {error}")),
        },
        L4::Udp {
            dst: udp::PORT_VXLAN,
            ..
        } => match upper.get(udp::LEN + vxlan::LEN..) {
            // A port that was chosen by chance is no tunnel.
            Some(inner) if upper[udp::LEN] == vxlan::FLAG_VNI => verify(inner),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
    .map_err(|error| format!("{error} ({})", where_from(&headers)))
}

fn where_from(headers: &Headers) -> String {
    headers
        .ip()
        .map_or_else(String::new, |ip| format!("{} > {}", ip.src, ip.dst))
}

fn upper_layer(ip: &Ip, upper: &[u8]) -> Result<(), String> {
    let (name, at, with_pseudo) = match ip.proto {
        ip_proto::TCP => ("TCP", 16, true),
        ip_proto::UDP => ("UDP", 6, true),
        ip_proto::ICMP => ("ICMP", 2, false),
        ip_proto::ICMPV6 => ("ICMPv6", 2, true),
        ip_proto::SCTP => return sctp(upper),
        _ => return Ok(()),
    };
    if name == "UDP" && upper.get(at..at + 2) == Some(&[0, 0]) {
        return if ip.is_v6() {
            Err("no UDP checksum in IPv6".to_owned())
        } else {
            Ok(())
        };
    }
    let mut bytes = if with_pseudo {
        pseudo(ip, upper.len())
    } else {
        Vec::new()
    };
    bytes.extend_from_slice(upper);
    match fold(&bytes) {
        0xffff => Ok(()),
        _ => Err(format!("wrong {name} checksum")),
    }
}

/// RFC 9260 section 6.8.
fn sctp(packet: &[u8]) -> Result<(), String> {
    let mut blank = packet.to_vec();
    blank[8..12].fill(0);
    let mut remainder = u32::MAX;
    for byte in blank {
        remainder ^= u32::from(byte);
        for _ in 0..8 {
            let odd = remainder & 1 == 1;
            remainder = remainder >> 1 ^ if odd { 0x82f6_3b78 } else { 0 };
        }
    }
    match (!remainder).to_le_bytes() == packet[8..12] {
        true => Ok(()),
        false => Err("wrong SCTP checksum".to_owned()),
    }
}

/// The IPv4 header that an ICMP error quotes.
fn quotation(ip: &Ip, quoted: &[u8]) -> Result<(), String> {
    let Some(&first) = quoted.first() else {
        return Ok(());
    };
    let header = usize::from(first & 0xf) * 4;
    match quoted.get(..header) {
        Some(header) if !ip.is_v6() && fold(header) != 0xffff => {
            Err("wrong header checksum of the quoted packet".to_owned())
        }
        _ => Ok(()),
    }
}

fn pseudo(ip: &Ip, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for address in [ip.src, ip.dst] {
        match address {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
    }
    bytes.extend_from_slice(&(len as u32).to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, ip.proto]);
    bytes
}

/// The ones' complement sum of 16-bit words (RFC 1071), the plain way.
fn fold(bytes: &[u8]) -> u16 {
    let mut sum: u64 = bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
