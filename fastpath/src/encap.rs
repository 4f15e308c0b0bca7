//! Outer headers: Ethernet, IPv4, UDP, Geneve (RFC 8926) or VXLAN (RFC 7348).
//!
//! A [`Head`] is made once for a tunnel and its keys; a packet needs its lengths, source port, ECN field and
//! checksums only.

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4, udp_nonzero};
use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Mac, Vni, geneve_source_port};

use crate::glance::Macs;
use crate::io::{DeviceId, Frame};
use crate::tables::{EncapKind, Tunnel, Underlay};
use crate::verdict::DropReason;

const ETH: usize = 14;
const TAG: usize = 4;
const IP: usize = 20;
/// The longest head, the shortest, and what OVN's option adds to that.
const LONGEST: usize = PLAIN + TAG + OPTION;
const PLAIN: usize = ETH + IP + udp::LEN + geneve::LEN;
const OPTION: usize = geneve::OVN_LEN - geneve::LEN;

/// Outer headers with all that the packets of one way have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; LONGEST],
    device: DeviceId,
    len: u8,
    /// Where IP begins.
    l3: u8,
    /// The UDP checksum is filled in.
    checksum: bool,
    /// Sum of the IP header.
    ip_sum: u32,
    /// Sum of the pseudo-header, the UDP header and the tunnel header.
    udp_sum: u32,
    /// MACs that most inner frames have, and their sum.
    inner: (Macs, u32),
}

impl Default for Head {
    fn default() -> Head {
        Head {
            bytes: [0; LONGEST],
            device: DeviceId(0),
            len: 0,
            l3: 0,
            checksum: false,
            ip_sum: 0,
            udp_sum: 0,
            inner: (Macs::NONE, 0),
        }
    }
}

impl Head {
    /// The outer headers of packets to `tunnel` by the underlay station `mac`, with the tunnel key of the datapath and,
    /// if they travel along, the input and output port key.
    pub fn new(
        underlay: &Underlay,
        tunnel: &Tunnel,
        mac: Mac,
        vni: Vni,
        keys: Option<(u16, u16)>,
    ) -> Head {
        let mut head = Head {
            checksum: tunnel.checksum,
            device: underlay.device,
            ..Head::default()
        };
        head.add(&mac.0);
        head.add(&underlay.mac.0);
        if let Some(vlan) = underlay.vlan {
            head.add(&[0x81, 0x00]);
            head.add(&vlan.to_be_bytes());
        }
        head.add(&[0x08, 0x00]);
        head.l3 = head.len;
        // RFC 8926 section 4.4 and what OVN chassis send: DF, identification 0, TTL 64.
        head.add(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, ip_proto::UDP, 0, 0]);
        head.add(&underlay.address.addr().octets());
        head.add(&tunnel.remote.octets());
        let l4 = head.len;
        head.add(&[0, 0]);
        head.add(&tunnel.port.to_be_bytes());
        head.add(&[0; 4]);
        match (tunnel.kind, keys) {
            (EncapKind::Geneve, Some((in_key, out_key))) => {
                let mut header = [0; geneve::OVN_LEN];
                geneve::write_ovn(&mut header, vni, in_key, out_key);
                head.add(&header);
            }
            (EncapKind::Geneve, None) => {
                let mut header = [0; geneve::LEN];
                geneve::write_plain(&mut header, vni);
                head.add(&header);
            }
            (EncapKind::Vxlan, _) => {
                let mut header = [0; vxlan::LEN];
                vxlan::write(&mut header, vni);
                head.add(&header);
            }
        }
        let part = |from: u8, to: u8| {
            head.bytes
                .get(usize::from(from)..usize::from(to))
                .unwrap_or_default()
        };
        let pseudo = pseudo_v4(underlay.address.addr(), tunnel.remote, ip_proto::UDP, 0);
        head.ip_sum = ones_complement_sum(part(head.l3, l4), 0);
        head.udp_sum = ones_complement_sum(part(l4, head.len), pseudo);
        head
    }

    /// The device of the underlay.
    #[inline]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// These headers, for inner frames most of which have these MACs.
    pub fn around(self, macs: Macs) -> Head {
        Head {
            inner: (macs, macs.sum()),
            ..self
        }
    }

    /// The [sum](Macs::sum) of an inner frame's MACs.
    #[inline]
    pub fn macs_sum(&self, macs: Macs) -> u32 {
        match self.inner {
            (known, sum) if known == macs => sum,
            _ => macs.sum(),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let at = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }

    /// Puts the headers before a frame. `hash` is that of the inner flow, `tos` the inner packet's: of it the ECN field is
    /// copied (RFC 6040 section 4.1, normal mode), the DSCP is not.
    ///
    /// # Errors
    /// [`DropReason::TunnelMtu`] for a frame that no UDP datagram holds, [`DropReason::NoHeadroom`] for one without
    /// room for the headers.
    pub fn push<F: Frame>(&self, frame: &mut F, hash: u32, tos: u8) -> Result<(), DropReason> {
        let sum = match self.checksum {
            true => ones_complement_sum(frame.data(), 0),
            false => 0,
        };
        self.push_summed(frame, hash, tos, sum)
    }

    /// The UDP checksum is filled in, so the sum of what is inside is needed.
    #[inline]
    pub fn sums(&self) -> bool {
        self.checksum
    }

    /// As [`Head::push`], with the [sum](ones_complement_sum) of the frame's words known.
    ///
    /// # Errors
    /// As [`Head::push`].
    #[inline]
    pub fn push_summed<F: Frame>(
        &self,
        frame: &mut F,
        hash: u32,
        tos: u8,
        sum: u32,
    ) -> Result<(), DropReason> {
        let (len, l3) = (usize::from(self.len), usize::from(self.l3));
        let Ok(ip_len) = u16::try_from(len - l3 + frame.data().len()) else {
            return Err(DropReason::TunnelMtu);
        };
        let udp_len = ip_len - IP as u16;
        let source = geneve_source_port(hash);
        let checksum = if self.checksum {
            let words = u32::from(source) + 2 * u32::from(udp_len);
            udp_nonzero(finish(self.udp_sum + words + sum))
        } else {
            0
        };
        let room = frame.push(len).ok_or(DropReason::NoHeadroom)?;
        self.write(room, l3, (ip_len, udp_len), source, checksum, tos)
            .ok_or(DropReason::NoHeadroom)
    }

    #[inline]
    fn write(
        &self,
        room: &mut [u8],
        l3: usize,
        (ip_len, udp_len): (u16, u16),
        source: u16,
        checksum: u16,
        tos: u8,
    ) -> Option<()> {
        // Of a known length, a copy is a few registers.
        let (most, rest) = room.split_first_chunk_mut::<PLAIN>()?;
        *most = *self.bytes.first_chunk()?;
        let left = self.bytes.get(PLAIN..)?;
        match <&mut [u8; OPTION]>::try_from(&mut *rest) {
            Ok(option) => *option = *left.first_chunk()?,
            Err(_) => rest.copy_from_slice(left.get(..rest.len())?),
        }
        let ecn = tos & 0b11;
        let ip_sum = finish(self.ip_sum + u32::from(ip_len) + u32::from(ecn));
        let header = room.get_mut(l3..)?.first_chunk_mut::<{ IP + udp::LEN }>()?;
        let [l0, l1] = ip_len.to_be_bytes();
        header[1] = ecn;
        header[2..4].copy_from_slice(&[l0, l1]);
        header[10..12].copy_from_slice(&ip_sum.to_be_bytes());
        header[20..22].copy_from_slice(&source.to_be_bytes());
        header[24..26].copy_from_slice(&udp_len.to_be_bytes());
        header[26..28].copy_from_slice(&checksum.to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sluice_net::{Builder, L4, parse};

    use super::*;
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

    fn push(
        frame: &mut VecFrame,
        vlan: Option<u16>,
        tunnel: &Tunnel,
        keys: Option<(u16, u16)>,
        tos: u8,
    ) -> Result<(), DropReason> {
        let mac = Mac([2, 0xaa, 0, 0, 2, 0x21]);
        let vni = Vni::new(4).unwrap();
        Head::new(&underlay(vlan), tunnel, mac, vni, keys).push(frame, 0x1234_5678, tos)
    }

    #[test]
    fn geneve_is_byte_for_byte_what_an_ovn_chassis_sends() {
        let mut frame = VecFrame::new(&inner());
        push(
            &mut frame,
            None,
            &tunnel(EncapKind::Geneve, true),
            Some((1, 4)),
            0,
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
            Some(300),
            &tunnel(EncapKind::Vxlan, false),
            None,
            0b10,
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
        let refused = push(&mut frame, None, &tunnel(EncapKind::Geneve, true), None, 0);
        assert_eq!(refused, Err(DropReason::NoHeadroom));
    }
}
