//! The outer headers of tunnel packets.

use std::net::Ipv4Addr;

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Mac, Vni};

use super::{ETH, IP, be16, be32, be64, mac, plain};
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

/// Bytes of IPv4, UDP and the fixed tunnel header, which is equally long in Geneve and VXLAN.
const FIXED: usize = IP + udp::LEN + geneve::LEN;

/// Glances at the outer headers of an IPv4 tunnel packet with a tag of so many bytes that is received on these UDP ports,
/// of Geneve and of VXLAN. Its UDP checksum holds or is zero.
#[inline(always)]
pub fn outer(frame: &[u8], tag: usize, ports: (u16, u16)) -> Option<Outer> {
    let ethernet = frame.first_chunk::<ETH>()?;
    let start = ETH + tag;
    let packet = frame.get(start..)?;
    if frame.get(start - 2..start)? != [0x08, 0x00] {
        return None;
    }
    let (head, rest) = packet.split_first_chunk::<FIXED>()?;
    let (ip, upper) = head.split_first_chunk::<IP>()?;
    let total = plain(ip, packet.len())?;
    let len = be16(upper, 4);
    if ip[9] != ip_proto::UDP || len != total - IP as u16 {
        return None;
    }
    if be16(upper, udp::CHECKSUM_OFFSET) != 0 {
        let datagram = packet.get(IP..usize::from(total))?;
        let addresses = (be32(ip, 12), be32(ip, 16));
        let pseudo = pseudo_v4(
            addresses.0.into(),
            addresses.1.into(),
            ip_proto::UDP,
            len.into(),
        );
        if finish(ones_complement_sum(datagram, pseudo)) != 0 {
            return None;
        }
    }
    let (kind, header) = (be16(upper, 2), be64(upper, udp::LEN));
    let (kind, keys, len) = if kind == ports.0 {
        let option = rest.first_chunk::<8>().map(|option| be64(option, 0));
        let (keys, len) = geneve_header(header, option)?;
        (EncapKind::Geneve, keys, len)
    } else if kind == ports.1 && header >> 32 == VXLAN && header as u8 == 0 {
        (EncapKind::Vxlan, None, vxlan::LEN)
    } else {
        return None;
    };
    let [_, _, _, _, a, b, c, _] = header.to_be_bytes();
    let end = start + usize::from(total);
    let inner = start + IP + udp::LEN + len;
    if inner > end {
        return None;
    }
    Some(Outer {
        mac: mac(ethernet),
        dst: be32(ip, 16),
        origin: Origin::new(kind, be32(ip, 12), Vni::from_bytes([a, b, c]), keys),
        inner: inner as u16,
        end: end as u16,
        tos: ip[1],
    })
}

/// The first half of a VXLAN header with a network identifier.
const VXLAN: u64 = u32::from_be_bytes([vxlan::FLAG_VNI, 0, 0, 0]) as u64;
/// The first half of a Geneve header around Ethernet, without an option and with a critical one of eight bytes.
const PLAIN: u64 = u32::from_be_bytes([0, 0, 0x65, 0x58]) as u64;
const WITH_OPTION: u64 = u32::from_be_bytes([0x02, 0x40, 0x65, 0x58]) as u64;
/// The first half of OVN's option.
const OVN: u64 = u32::from_be_bytes([0x01, 0x02, geneve::OVN_TYPE, 0x01]) as u64;

/// Port keys (the input one in the high half), and bytes of a Geneve header that has no option, or OVN's alone.
#[inline]
fn geneve_header(header: u64, option: Option<u64>) -> Option<(Option<u32>, usize)> {
    match (header >> 32, header as u8, option) {
        (PLAIN, 0, _) => Some((None, geneve::LEN)),
        // The highest bit of the input key is reserved.
        (WITH_OPTION, 0, Some(option)) if option >> 32 == OVN => {
            Some((Some(option as u32 & 0x7fff_ffff), geneve::OVN_LEN))
        }
        _ => None,
    }
}
