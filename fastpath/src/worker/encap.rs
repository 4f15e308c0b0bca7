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
pub(super) fn push<F: Frame>(frame: &mut F, underlay: &Underlay, tunnel: &Tunnel, outer: &Outer) -> Result<(), DropReason> {
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
        ethernet.get_mut(14..16)?.copy_from_slice(&vlan.to_be_bytes());
    }
    ethernet.last_chunk_mut::<2>()?.copy_from_slice(&[0x08, 0x00]);
    let (ip, datagram) = packet.split_first_chunk_mut::<IP>()?;
    write_ip(ip, underlay, tunnel, outer.ecn, ip_len);
    let source = geneve_source_port(outer.hash);
    datagram.get_mut(0..2)?.copy_from_slice(&source.to_be_bytes());
    datagram.get_mut(2..4)?.copy_from_slice(&tunnel.port.to_be_bytes());
    datagram.get_mut(4..6)?.copy_from_slice(&udp_len.to_be_bytes());
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
        let pseudo = pseudo_v4(underlay.address.addr(), tunnel.remote, ip_proto::UDP, u32::from(udp_len));
        let sum = udp_nonzero(finish(ones_complement_sum(datagram, pseudo)));
        datagram.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    }
    Some(())
}

/// RFC 8926 section 4.4 and what OVN chassis send: DF, identification 0, TTL 64.
fn write_ip(ip: &mut [u8; IP], underlay: &Underlay, tunnel: &Tunnel, ecn: u8, len: u16) {
    let [hi, lo] = len.to_be_bytes();
    *ip = [0x45, ecn & 0b11, hi, lo, 0, 0, 0x40, 0, 64, ip_proto::UDP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[12..16].copy_from_slice(&underlay.address.addr().octets());
    ip[16..20].copy_from_slice(&tunnel.remote.octets());
    let sum = checksum(ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}
