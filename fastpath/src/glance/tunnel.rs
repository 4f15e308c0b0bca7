//! The outer headers of tunnel packets.

use std::net::Ipv4Addr;

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Mac, Vni};

use super::{ETH, IP, be16, be32, mac, plain};
use crate::tables::EncapKind;

/// Who sent a tunnel packet, how, and with which keys, in two words: source, tunnel key of the datapath,
/// encapsulation; port keys and whether there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin(u64, u64);

impl Origin {
    const VXLAN: u64 = 1;
    const KEYS: u64 = 1 << 32;

    #[inline]
    fn new(kind: EncapKind, src: u32, vni: Vni, keys: Option<u32>) -> Origin {
        let kind = match kind {
            EncapKind::Geneve => 0,
            EncapKind::Vxlan => Origin::VXLAN,
        };
        let first = u64::from(src) << 32 | u64::from(vni.get()) << 8 | kind;
        Origin(first, keys.map_or(0, |keys| Origin::KEYS | u64::from(keys)))
    }

    /// Geneve or VXLAN.
    pub const fn kind(self) -> EncapKind {
        match self.0 & Origin::VXLAN {
            0 => EncapKind::Geneve,
            _ => EncapKind::Vxlan,
        }
    }

    /// Who sent it.
    pub const fn src(self) -> Ipv4Addr {
        Ipv4Addr::from_bits((self.0 >> 32) as u32)
    }

    /// Tunnel key of the datapath.
    pub fn vni(self) -> Vni {
        let [.., a, b, c, _] = self.0.to_be_bytes();
        Vni::from_bytes([a, b, c])
    }

    /// Input and output port key.
    pub const fn keys(self) -> Option<(u16, u16)> {
        match self.1 & Origin::KEYS {
            0 => None,
            _ => Some(((self.1 >> 16) as u16, self.1 as u16)),
        }
    }

    /// Both words.
    #[inline]
    pub const fn words(self) -> (u64, u64) {
        (self.0, self.1)
    }
}

/// The outer headers of a tunnel packet at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Ethernet destination.
    pub mac: Mac,
    /// Whom it is for.
    pub dst: u32,
    /// Whom it is from, and the keys.
    pub origin: Origin,
    /// Where the inner frame begins, from where the outer one does.
    pub inner: u16,
    /// Where it ends.
    pub end: u16,
    /// DSCP and ECN.
    pub tos: u8,
}

/// Glances at the outer headers of an IPv4 tunnel packet that is received on these UDP ports. Its UDP checksum
/// holds or is zero.
#[inline]
pub fn outer(frame: &[u8], tag: usize, geneve_port: u16, vxlan_port: u16) -> Option<Outer> {
    let ethernet = frame.first_chunk::<ETH>()?;
    let start = ETH + tag;
    let packet = frame.get(start..)?;
    let (ip, upper) = packet.split_first_chunk::<IP>()?;
    let total = usize::from(plain(ip, packet.len())?);
    let datagram = upper.get(..total - IP)?;
    if ip[9] != ip_proto::UDP || usize::from(be16(datagram, 4)) != datagram.len() {
        return None;
    }
    let kind = match be16(datagram, 2) {
        port if port == geneve_port => EncapKind::Geneve,
        port if port == vxlan_port => EncapKind::Vxlan,
        _ => return None,
    };
    let (src, dst) = (be32(ip, 12), be32(ip, 16));
    if be16(datagram, udp::CHECKSUM_OFFSET) != 0 {
        let addresses = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
        let pseudo = pseudo_v4(
            addresses.0,
            addresses.1,
            ip_proto::UDP,
            datagram.len() as u32,
        );
        if finish(ones_complement_sum(datagram, pseudo)) != 0 {
            return None;
        }
    }
    let header = datagram.get(udp::LEN..)?;
    let (vni, keys, len) = match kind {
        EncapKind::Geneve => geneve_header(header)?,
        EncapKind::Vxlan => match *header.first_chunk::<{ vxlan::LEN }>()? {
            [vxlan::FLAG_VNI, 0, 0, 0, a, b, c, 0] => {
                (Vni::from_bytes([a, b, c]), None, vxlan::LEN)
            }
            _ => return None,
        },
    };
    Some(Outer {
        mac: mac(ethernet),
        dst,
        origin: Origin::new(kind, src, vni, keys),
        inner: (start + IP + udp::LEN + len) as u16,
        end: (start + total) as u16,
        tos: ip[1],
    })
}

/// Tunnel key, port keys (the input one in the high half), and bytes of a tunnel header.
type TunnelHeader = (Vni, Option<u32>, usize);

/// No option, or OVN's alone.
#[inline]
fn geneve_header(header: &[u8]) -> Option<TunnelHeader> {
    match *header.first_chunk::<{ geneve::LEN }>()? {
        [0, 0, 0x65, 0x58, a, b, c, 0] => Some((Vni::from_bytes([a, b, c]), None, geneve::LEN)),
        [0x02, 0x40, 0x65, 0x58, a, b, c, 0] => {
            let option = header.get(geneve::LEN..)?.first_chunk::<8>()?;
            let [0x01, 0x02, geneve::OVN_TYPE, 0x01, ..] = option else {
                return None;
            };
            // The highest bit of the input key is reserved.
            let keys = be32(option, 4) & 0x7fff_ffff;
            Some((Vni::from_bytes([a, b, c]), Some(keys), geneve::OVN_LEN))
        }
        _ => None,
    }
}
