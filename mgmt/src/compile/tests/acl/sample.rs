//! Random packets of which everything is known without parsing them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::{Builder, Headers, Mac, parse};

/// A packet, of which everything is known without parsing it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) in_port: Option<usize>,
    pub(super) out_port: usize,
    src_mac: u64,
    dst_mac: u64,
    tci: Option<u16>,
    kind: Kind,
    /// Added to the first address of a kind.
    src: u8,
    dst: u8,
    tos: u8,
    ttl: u8,
    frag: u8,
    upper: Upper,
    ports: (u16, u16),
    flags: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Arp,
    V4,
    V6,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Upper {
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

pub(super) const MAC: u64 = 0x0200_0000_0000;
const GROUP: u64 = 0x3333_0000_0000;
pub(super) const V4: u128 = 0x0a00_0000;
const V4_GROUP: u128 = 0xe000_0000;
pub(super) const V6: u128 = 0xfd00 << 112;

pub(super) fn sample() -> impl Strategy<Value = Sample> {
    let ports = (prop::option::weighted(0.9, 0..4_usize), 0..4_usize);
    let macs = (
        0..4_u64,
        prop::sample::select(vec![MAC, MAC + 1, GROUP, 0xffff_ffff_ffff]),
    );
    let tci = prop::option::of((0..4_u16, 0..8_u16).prop_map(|(pcp, vid)| pcp << 13 | vid));
    let kind = prop::sample::select(vec![
        Kind::V4,
        Kind::V4,
        Kind::V4,
        Kind::V6,
        Kind::V6,
        Kind::Arp,
        Kind::Other,
    ]);
    let upper = prop::sample::select(vec![
        Upper::Tcp,
        Upper::Tcp,
        Upper::Udp,
        Upper::Sctp,
        Upper::Icmp,
    ]);
    let frag = prop::sample::select(vec![0, 0, 0, 0, 1, 3]);
    let ip = (0..8_u8, 0..10_u8, 0..16_u8, 1..8_u8, frag);
    let l4 = (upper, (0..8_u16, 0..8_u16), 0..64_u8);
    (ports, macs, tci, kind, ip, l4).prop_map(|(ports, macs, tci, kind, ip, l4)| Sample {
        in_port: ports.0,
        out_port: ports.1,
        src_mac: MAC + macs.0,
        dst_mac: macs.1,
        tci,
        kind,
        src: ip.0,
        dst: ip.1,
        tos: ip.2,
        ttl: ip.3,
        frag: ip.4,
        upper: l4.0,
        ports: l4.1,
        flags: l4.2,
    })
}

impl Sample {
    pub(super) fn is_ip(&self) -> bool {
        matches!(self.kind, Kind::V4 | Kind::V6)
    }

    fn ip(&self, last: u8) -> IpAddr {
        // Beyond the eight hosts there are groups.
        match self.kind {
            Kind::V6 => Ipv6Addr::from_bits(V6 + u128::from(last)).into(),
            _ if last >= 8 => Ipv4Addr::from_bits((V4_GROUP + u128::from(last)) as u32).into(),
            _ => Ipv4Addr::from_bits((V4 + u128::from(last)) as u32).into(),
        }
    }

    fn address(&self, last: u8) -> u128 {
        match self.ip(last) {
            IpAddr::V4(ip) => ip.to_bits().into(),
            IpAddr::V6(ip) => ip.to_bits(),
        }
    }

    pub(super) fn headers(&self) -> Headers {
        let mut frame = Builder::ethernet(Mac::from_u64(self.src_mac), Mac::from_u64(self.dst_mac));
        if let Some(tci) = self.tci {
            frame = frame.vlan(tci);
        }
        let frame = match self.kind {
            Kind::Other => frame.ethertype(0x88b5),
            Kind::Arp => frame.arp_request(
                Ipv4Addr::from_bits((V4 + u128::from(self.src)) as u32),
                Ipv4Addr::from_bits((V4 + u128::from(self.dst)) as u32),
            ),
            Kind::V4 | Kind::V6 => self.upper_of(
                frame
                    .ip(self.ip(self.src), self.ip(self.dst))
                    .ttl(self.ttl)
                    .tos(self.tos),
            ),
        };
        parse(&frame.build()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn upper_of(&self, frame: Builder) -> Builder {
        if self.frag == 3 {
            return frame
                .protocol(self.proto())
                .payload(&[7; 32])
                .fragment(64, false);
        }
        let (src, dst) = self.ports;
        let frame = match self.upper {
            Upper::Tcp => frame.tcp(src, dst, self.flags),
            Upper::Udp => frame.udp(src, dst),
            Upper::Sctp => frame.sctp(src, dst),
            Upper::Icmp if self.flags.is_multiple_of(2) => frame.icmp_echo(Echo::Request, 1, 1),
            Upper::Icmp => frame.icmp(self.icmp_kind(), dst as u8, [0; 4]),
        };
        let frame = frame.payload(&[0; 32]);
        if self.frag == 1 {
            frame.fragment(0, true)
        } else {
            frame
        }
    }

    fn icmp_kind(&self) -> u8 {
        match (self.flags.is_multiple_of(2), self.kind == Kind::V6) {
            (true, false) => 8,
            (true, true) => 128,
            (false, false) => 13,
            (false, true) => 200,
        }
    }

    fn proto(&self) -> u8 {
        match self.upper {
            Upper::Tcp => 6,
            Upper::Udp => 17,
            Upper::Sctp => 132,
            Upper::Icmp if self.kind == Kind::V6 => 58,
            Upper::Icmp => 1,
        }
    }

    /// An upper-layer number of this protocol: zero in later fragments.
    fn of(&self, upper: Upper, number: u16) -> Option<u128> {
        let here = self.is_ip() && self.upper == upper;
        here.then(|| if self.frag == 3 { 0 } else { number.into() })
    }

    fn icmp(&self, kind: Kind, number: u8) -> Option<u128> {
        self.of(Upper::Icmp, number.into())
            .filter(|_| self.kind == kind)
    }

    /// What a field has, `None` where its prerequisites do not hold.
    pub(super) fn read(&self, field: &str) -> Option<u128> {
        let ip = |number: u128| self.is_ip().then_some(number);
        let of = |kind: Kind, number: u128| (self.kind == kind).then_some(number);
        let tci = self.tci.unwrap_or(0);
        match field {
            "eth.src" => Some(self.src_mac.into()),
            "eth.dst" => Some(self.dst_mac.into()),
            "vlan.tci" => Some(self.tci.map_or(0, |tci| u128::from(tci) | 0x1000)),
            "vlan.vid" => self.tci.map(|_| u128::from(tci & 0xfff)),
            "vlan.pcp" => self.tci.map(|_| u128::from(tci >> 13)),
            "ip.dscp" => ip((self.tos >> 2).into()),
            "ip.ecn" => ip((self.tos & 3).into()),
            "ip.ttl" => ip(self.ttl.into()),
            "ip.frag" => ip(self.frag.into()),
            "ip4.src" => of(Kind::V4, self.address(self.src)),
            "ip4.dst" => of(Kind::V4, self.address(self.dst)),
            "ip6.src" => of(Kind::V6, self.address(self.src)),
            "ip6.dst" => of(Kind::V6, self.address(self.dst)),
            "arp.op" => of(Kind::Arp, 1),
            "arp.spa" => of(Kind::Arp, V4 + u128::from(self.src)),
            "arp.tpa" => of(Kind::Arp, V4 + u128::from(self.dst)),
            "arp.sha" => of(Kind::Arp, self.src_mac.into()),
            "tcp.src" => self.of(Upper::Tcp, self.ports.0),
            "tcp.dst" => self.of(Upper::Tcp, self.ports.1),
            "tcp.flags" => self.of(Upper::Tcp, self.flags.into()),
            "udp.src" => self.of(Upper::Udp, self.ports.0),
            "udp.dst" => self.of(Upper::Udp, self.ports.1),
            "sctp.src" => self.of(Upper::Sctp, self.ports.0),
            "sctp.dst" => self.of(Upper::Sctp, self.ports.1),
            "icmp4.type" => self.icmp(Kind::V4, self.icmp_kind()),
            "icmp4.code" => {
                let code = if self.flags.is_multiple_of(2) {
                    0
                } else {
                    self.ports.1 as u8
                };
                self.icmp(Kind::V4, code)
            }
            "icmp6.type" => self.icmp(Kind::V6, self.icmp_kind()),
            "ip.proto" => ip(self.proto().into()),
            "eth.type" => Some(match self.kind {
                Kind::Arp => 0x806,
                Kind::V4 => 0x800,
                Kind::V6 => 0x86dd,
                Kind::Other => 0x88b5,
            }),
            _ => unreachable!("{field}"),
        }
    }

    /// Whether a predicate is true of it.
    pub(super) fn holds(&self, predicate: &str) -> bool {
        let (v4, v6) = (self.kind == Kind::V4, self.kind == Kind::V6);
        let upper = |upper| self.is_ip() && self.upper == upper;
        let group = self.dst_mac >> 40 & 1 == 1;
        match predicate {
            "ip4" => v4,
            "ip6" => v6,
            "ip" => self.is_ip(),
            "arp" => self.kind == Kind::Arp,
            "tcp" => upper(Upper::Tcp),
            "udp" => upper(Upper::Udp),
            "sctp" => upper(Upper::Sctp),
            "icmp4" => v4 && upper(Upper::Icmp),
            "icmp6" => v6 && upper(Upper::Icmp),
            "icmp" => upper(Upper::Icmp),
            "nd" | "rarp" | "igmp" => false,
            "eth.bcast" => self.dst_mac == 0xffff_ffff_ffff,
            "eth.mcast" => group,
            "eth.mcastv6" => self.dst_mac >> 32 == 0x3333,
            "vlan.present" => self.tci.is_some(),
            "ip.is_frag" => self.is_ip() && self.frag != 0,
            "ip.later_frag" => self.is_ip() && self.frag == 3,
            "ip.first_frag" => self.is_ip() && self.frag == 1,
            "ip4.mcast" => v4 && group && self.dst >= 8,
            "ip4.src_mcast" => false,
            "ip6.mcast" => false,
            _ => unreachable!("{predicate}"),
        }
    }
}
