//! Outer headers: Ethernet, IPv4, UDP, Geneve (RFC 8926) or VXLAN (RFC 7348).

use sluice_net::checksum::{checksum, finish, ones_complement_sum, pseudo_v4, udp_nonzero};
use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Mac, Vni, geneve_source_port};

use crate::io::Frame;
use crate::tables::{EncapKind, Tunnel, Underlay};
use crate::verdict::DropReason;

/// What an outer header says beyond the tunnel itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    /// MAC of the underlay next hop.
    pub(super) mac: Mac,
    /// Tunnel key of the datapath.
    pub(super) vni: Vni,
    /// Input and output port key.
    pub(super) keys: Option<(u16, u16)>,
    /// Hash of the inner flow.
    pub(super) hash: u32,
    /// ECN field of the inner packet (RFC 6040 section 4.1, normal mode); the DSCP is not copied.
    pub(super) ecn: u8,
}

const ETH: usize = 14;
const TAG: usize = 4;
const IP: usize = 20;

/// Puts the outer headers before a frame.
pub(super) fn push<F: Frame>(
    frame: &mut F,
    underlay: &Underlay,
    tunnel: &Tunnel,
    outer: &Outer,
) -> Result<(), DropReason> {
    let payload = frame.data().len();
    let header = match (tunnel.kind, outer.keys) {
        (EncapKind::Geneve, Some(_)) => geneve::OVN_LEN,
        (EncapKind::Geneve, None) => geneve::LEN,
        (EncapKind::Vxlan, _) => vxlan::LEN,
    };
    let tag = if underlay.vlan.is_some() { TAG } else { 0 };
    let l3 = ETH + tag;
    let total = IP + udp::LEN + header + payload;
    let (Ok(ip_len), Ok(udp_len)) = (u16::try_from(total), u16::try_from(total - IP)) else {
        return Err(DropReason::TunnelMtu);
    };
    if frame.push(l3 + IP + udp::LEN + header).is_none() {
        return Err(DropReason::NoHeadroom);
    }
    let bytes = frame.data_mut();
    write(bytes, underlay, tunnel, outer, l3, (ip_len, udp_len)).ok_or(DropReason::NoHeadroom)
}

fn write(
    bytes: &mut [u8],
    underlay: &Underlay,
    tunnel: &Tunnel,
    outer: &Outer,
    l3: usize,
    (ip_len, udp_len): (u16, u16),
) -> Option<()> {
    let (ethernet, packet) = bytes.split_at_mut_checked(l3)?;
    ethernet.get_mut(0..6)?.copy_from_slice(&outer.mac.0);
    ethernet.get_mut(6..12)?.copy_from_slice(&underlay.mac.0);
    if let Some(vlan) = underlay.vlan {
        ethernet.get_mut(12..14)?.copy_from_slice(&[0x81, 0x00]);
        ethernet
            .get_mut(14..16)?
            .copy_from_slice(&vlan.to_be_bytes());
    }
    ethernet
        .last_chunk_mut::<2>()?
        .copy_from_slice(&[0x08, 0x00]);
    let (ip, datagram) = packet.split_first_chunk_mut::<IP>()?;
    write_ip(ip, underlay, tunnel, outer.ecn, ip_len);
    let source = geneve_source_port(outer.hash);
    datagram
        .get_mut(0..2)?
        .copy_from_slice(&source.to_be_bytes());
    datagram
        .get_mut(2..4)?
        .copy_from_slice(&tunnel.port.to_be_bytes());
    datagram
        .get_mut(4..6)?
        .copy_from_slice(&udp_len.to_be_bytes());
    datagram.get_mut(6..8)?.copy_from_slice(&[0, 0]);
    let header = datagram.get_mut(udp::LEN..)?;
    match (tunnel.kind, outer.keys) {
        (EncapKind::Geneve, Some((in_key, out_key))) => {
            geneve::write_ovn(header.first_chunk_mut()?, outer.vni, in_key, out_key);
        }
        (EncapKind::Geneve, None) => geneve::write_plain(header.first_chunk_mut()?, outer.vni),
        (EncapKind::Vxlan, _) => vxlan::write(header.first_chunk_mut()?, outer.vni),
    }
    if tunnel.checksum {
        let pseudo = pseudo_v4(
            underlay.address.addr(),
            tunnel.remote,
            ip_proto::UDP,
            u32::from(udp_len),
        );
        let sum = udp_nonzero(finish(ones_complement_sum(datagram, pseudo)));
        datagram.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    }
    Some(())
}

/// RFC 8926 section 4.4 and what OVN chassis send: DF, identification 0, TTL 64.
fn write_ip(ip: &mut [u8; IP], underlay: &Underlay, tunnel: &Tunnel, ecn: u8, len: u16) {
    let [hi, lo] = len.to_be_bytes();
    *ip = [
        0x45,
        ecn & 0b11,
        hi,
        lo,
        0,
        0,
        0x40,
        0,
        64,
        ip_proto::UDP,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    ip[12..16].copy_from_slice(&underlay.address.addr().octets());
    ip[16..20].copy_from_slice(&tunnel.remote.octets());
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sluice_net::{Builder, L4, parse};

    use super::*;
    use crate::io::DeviceId;
    use crate::io::memory::VecFrame;

    fn underlay(vlan: Option<u16>) -> Underlay {
        Underlay {
            device: DeviceId(0),
            vlan,
            mac: Mac([2, 0xaa, 0, 0, 2, 0x11]),
            address: "172.16.0.11/24".parse().unwrap(),
            gateway: None,
            mtu: 1558,
            geneve_port: 6081,
            vxlan_port: 4789,
        }
    }

    fn tunnel(kind: EncapKind, checksum: bool) -> Tunnel {
        Tunnel {
            chassis: "gw1".into(),
            kind,
            remote: Ipv4Addr::new(172, 16, 0, 21),
            port: if kind == EncapKind::Geneve {
                6081
            } else {
                4789
            },
            port_keys: kind == EncapKind::Geneve,
            checksum,
            next_hop: Ipv4Addr::new(172, 16, 0, 21),
            inner_mtu: 1500,
        }
    }

    fn inner() -> Vec<u8> {
        Builder::ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
            .ipv4(Ipv4Addr::new(192, 168, 1, 10), Ipv4Addr::new(8, 8, 8, 8))
            .udp(1000, 53)
            .payload(&[0; 56])
            .build()
    }

    fn outer(keys: Option<(u16, u16)>, ecn: u8) -> Outer {
        Outer {
            mac: Mac([2, 0xaa, 0, 0, 2, 0x21]),
            vni: Vni::new(4).unwrap(),
            keys,
            hash: 0x1234_5678,
            ecn,
        }
    }

    #[test]
    fn geneve_is_byte_for_byte_what_an_ovn_chassis_sends() {
        let mut frame = VecFrame::new(&inner());
        push(
            &mut frame,
            &underlay(None),
            &tunnel(EncapKind::Geneve, true),
            &outer(Some((1, 4)), 0),
        )
        .unwrap();
        let bytes = frame.data();
        assert_eq!(
            bytes[..14],
            [2, 0xaa, 0, 0, 2, 0x21, 2, 0xaa, 0, 0, 2, 0x11, 8, 0]
        );
        // version, TOS, length; identification 0, DF; TTL 64, UDP
        assert_eq!(bytes[14..16], [0x45, 0]);
        assert_eq!(bytes[18..24], [0, 0, 0x40, 0, 64, 17]);
        assert_eq!(bytes[36..38], [0x17, 0xc1]);
        assert_eq!(
            bytes[42..58],
            [
                0x02, 0x40, 0x65, 0x58, 0, 0, 4, 0, 0x01, 0x02, 0x80, 0x01, 0, 1, 0, 4
            ]
        );
        assert_eq!(bytes[58..], inner()[..]);
        let headers = parse(bytes).expect("outer header checksum holds");
        let ip = headers.ip().unwrap();
        assert_eq!(usize::from(ip.total_len), bytes.len() - 14);
        let L4::Udp { src, .. } = ip.l4 else {
            panic!("not UDP")
        };
        assert!((32_768..=61_000).contains(&src), "source port {src}");
        let datagram = &bytes[34..];
        let sum = pseudo_v4(
            Ipv4Addr::new(172, 16, 0, 11),
            Ipv4Addr::new(172, 16, 0, 21),
            17,
            datagram.len() as u32,
        );
        assert_ne!(datagram[6..8], [0, 0]);
        assert_eq!(finish(ones_complement_sum(datagram, sum)), 0);
    }

    #[test]
    fn vxlan_has_its_own_header_and_the_vlan_of_the_underlay() {
        let mut frame = VecFrame::new(&inner());
        push(
            &mut frame,
            &underlay(Some(300)),
            &tunnel(EncapKind::Vxlan, false),
            &outer(None, 0b10),
        )
        .unwrap();
        let bytes = frame.data();
        assert_eq!(bytes[12..18], [0x81, 0, 0x01, 0x2c, 8, 0]);
        assert_eq!(bytes[19], 0b10, "ECN is copied, DSCP is not");
        assert_eq!(bytes[40..42], 4789u16.to_be_bytes());
        assert_eq!(bytes[44..46], [0, 0], "no checksum asked for");
        assert_eq!(bytes[46..54], [8, 0, 0, 0, 0, 0, 4, 0]);
        assert_eq!(bytes[54..], inner()[..]);
    }

    #[test]
    fn without_headroom_it_says_so() {
        let mut frame = VecFrame::new(&inner());
        while frame.push(16).is_some() {}
        let refused = push(
            &mut frame,
            &underlay(None),
            &tunnel(EncapKind::Geneve, true),
            &outer(None, 0),
        );
        assert_eq!(refused, Err(DropReason::NoHeadroom));
    }
}
