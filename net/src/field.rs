//! Fields of headers as numbers, for whoever compares packets with values from a configuration.
//!
//! The fields, their widths and what a field reads that a packet has no bits for are those of OVN's expressions
//! (ovn-sb(5), `match` of Logical_Flow), which in turn are those of OpenFlow.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::Mac;
use crate::headers::{Arp, Fragment, Headers, Ip, L3, L4};
use crate::wire::{icmpv4, icmpv6, ip_proto};

/// A field of a frame's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Ethernet source.
    EthSrc,
    /// Ethernet destination.
    EthDst,
    /// EtherType, after at most one 802.1Q tag.
    EthType,
    /// Tag control information with bit 12 set; 0 without a tag.
    VlanTci,
    /// Upper-layer protocol of an IP packet.
    IpProto,
    /// Differentiated services code point, the upper six bits of TOS or traffic class.
    IpDscp,
    /// Explicit congestion notification, the lower two bits.
    IpEcn,
    /// TTL or hop limit.
    IpTtl,
    /// Bit 0: a fragment; bit 1: a later one.
    IpFrag,
    /// IPv4 source.
    Ip4Src,
    /// IPv4 destination.
    Ip4Dst,
    /// IPv6 source.
    Ip6Src,
    /// IPv6 destination.
    Ip6Dst,
    /// ARP operation.
    ArpOp,
    /// ARP sender protocol address.
    ArpSpa,
    /// ARP target protocol address.
    ArpTpa,
    /// ARP sender hardware address.
    ArpSha,
    /// ARP target hardware address.
    ArpTha,
    /// TCP source port.
    TcpSrc,
    /// TCP destination port.
    TcpDst,
    /// TCP flags, FIN lowest. The flags of header byte 13; the bits above are not looked at.
    TcpFlags,
    /// UDP source port.
    UdpSrc,
    /// UDP destination port.
    UdpDst,
    /// SCTP source port.
    SctpSrc,
    /// SCTP destination port.
    SctpDst,
    /// ICMP type.
    Icmp4Type,
    /// ICMP code. That of an echo reads 0.
    Icmp4Code,
    /// ICMPv6 type.
    Icmp6Type,
    /// ICMPv6 code. That of an echo reads 0.
    Icmp6Code,
    /// Target of a neighbor solicitation or advertisement.
    NdTarget,
    /// Source link-layer address of a neighbor solicitation; 0 without the option.
    NdSll,
    /// Target link-layer address of a neighbor advertisement; 0 without the option.
    NdTll,
}

impl Field {
    /// How many bits it has, 2 to 128.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::IpEcn | Self::IpFrag => 2,
            Self::IpDscp => 6,
            Self::IpProto
            | Self::IpTtl
            | Self::TcpFlags
            | Self::Icmp4Type
            | Self::Icmp4Code
            | Self::Icmp6Type
            | Self::Icmp6Code => 8,
            Self::EthType
            | Self::VlanTci
            | Self::ArpOp
            | Self::TcpSrc
            | Self::TcpDst
            | Self::UdpSrc
            | Self::UdpDst
            | Self::SctpSrc
            | Self::SctpDst => 16,
            Self::Ip4Src | Self::Ip4Dst | Self::ArpSpa | Self::ArpTpa => 32,
            Self::EthSrc
            | Self::EthDst
            | Self::ArpSha
            | Self::ArpTha
            | Self::NdSll
            | Self::NdTll => 48,
            Self::Ip6Src | Self::Ip6Dst | Self::NdTarget => 128,
        }
    }

    /// What the packet has there; `None` when it is of another protocol than the field. A later fragment has
    /// no upper-layer header: its fields read 0.
    #[inline]
    #[must_use]
    pub fn read(self, headers: &Headers) -> Option<u128> {
        match self {
            Self::EthSrc => Some(mac(headers.eth_src)),
            Self::EthDst => Some(mac(headers.eth_dst)),
            Self::EthType => Some(headers.ethertype.into()),
            Self::VlanTci => Some(headers.vlan.map_or(0, |tci| u128::from(tci | 1 << 12))),
            Self::ArpOp | Self::ArpSpa | Self::ArpTpa | Self::ArpSha | Self::ArpTha => {
                match &headers.l3 {
                    L3::Arp(arp) => self.of_arp(arp),
                    _ => None,
                }
            }
            _ => match &headers.l3 {
                L3::Ip(ip) => self.of_ip(ip),
                _ => None,
            },
        }
    }

    fn of_arp(self, arp: &Arp) -> Option<u128> {
        match self {
            Self::ArpOp => Some(arp.op.into()),
            Self::ArpSpa => Some(v4(arp.sender_ip)),
            Self::ArpTpa => Some(v4(arp.target_ip)),
            Self::ArpSha => Some(mac(arp.sender_mac)),
            Self::ArpTha => Some(mac(arp.target_mac)),
            _ => None,
        }
    }

    #[inline]
    fn of_ip(self, ip: &Ip) -> Option<u128> {
        match self {
            Self::IpProto => Some(ip.proto.into()),
            Self::IpDscp => Some((ip.tos >> 2).into()),
            Self::IpEcn => Some((ip.tos & 3).into()),
            Self::IpTtl => Some(ip.ttl.into()),
            Self::IpFrag => Some(match ip.fragment {
                Fragment::None => 0,
                Fragment::First => 1,
                Fragment::Later => 3,
            }),
            Self::Ip4Src => address_v4(ip.src),
            Self::Ip4Dst => address_v4(ip.dst),
            Self::Ip6Src => address_v6(ip.src),
            Self::Ip6Dst => address_v6(ip.dst),
            _ => self.of_upper(ip),
        }
    }

    #[inline]
    fn of_upper(self, ip: &Ip) -> Option<u128> {
        match self {
            Self::TcpSrc | Self::TcpDst | Self::TcpFlags if ip.proto == ip_proto::TCP => {
                let (src, dst, flags) = match ip.l4 {
                    L4::Tcp { src, dst, flags } => (src, dst, flags),
                    _ => (0, 0, 0),
                };
                Some(match self {
                    Self::TcpSrc => src.into(),
                    Self::TcpDst => dst.into(),
                    _ => flags.into(),
                })
            }
            Self::UdpSrc if ip.proto == ip_proto::UDP => Some(ports(ip).0),
            Self::UdpDst if ip.proto == ip_proto::UDP => Some(ports(ip).1),
            Self::SctpSrc if ip.proto == ip_proto::SCTP => Some(ports(ip).0),
            Self::SctpDst if ip.proto == ip_proto::SCTP => Some(ports(ip).1),
            Self::Icmp4Type if is_icmpv4(ip) => Some(icmp(ip).0),
            Self::Icmp4Code if is_icmpv4(ip) => Some(icmp(ip).1),
            Self::Icmp6Type if is_icmpv6(ip) => Some(icmp(ip).0),
            Self::Icmp6Code if is_icmpv6(ip) => Some(icmp(ip).1),
            Self::NdTarget | Self::NdSll | Self::NdTll => self.of_discovery(&ip.l4),
            _ => None,
        }
    }

    fn of_discovery(self, l4: &L4) -> Option<u128> {
        match (self, *l4) {
            (
                Self::NdTarget,
                L4::NeighborSolicit { target, .. } | L4::NeighborAdvert { target, .. },
            ) => Some(v6(target)),
            (Self::NdSll, L4::NeighborSolicit { source_mac, .. }) => {
                Some(source_mac.map_or(0, mac))
            }
            (Self::NdTll, L4::NeighborAdvert { target_mac, .. }) => Some(target_mac.map_or(0, mac)),
            _ => None,
        }
    }
}

fn mac(mac: Mac) -> u128 {
    mac.to_u64().into()
}

fn v4(ip: Ipv4Addr) -> u128 {
    ip.to_bits().into()
}

fn v6(ip: Ipv6Addr) -> u128 {
    ip.to_bits()
}

fn address_v4(ip: IpAddr) -> Option<u128> {
    match ip {
        IpAddr::V4(ip) => Some(v4(ip)),
        IpAddr::V6(_) => None,
    }
}

fn address_v6(ip: IpAddr) -> Option<u128> {
    match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(v6(ip)),
    }
}

fn ports(ip: &Ip) -> (u128, u128) {
    match ip.l4 {
        L4::Udp { src, dst } | L4::Sctp { src, dst } => (src.into(), dst.into()),
        _ => (0, 0),
    }
}

fn is_icmpv4(ip: &Ip) -> bool {
    ip.proto == ip_proto::ICMP && !ip.is_v6()
}

fn is_icmpv6(ip: &Ip) -> bool {
    ip.proto == ip_proto::ICMPV6 && ip.is_v6()
}

/// Type and code.
fn icmp(ip: &Ip) -> (u128, u128) {
    let echo = |reply| match (ip.is_v6(), reply) {
        (false, false) => icmpv4::ECHO_REQUEST,
        (false, true) => icmpv4::ECHO_REPLY,
        (true, false) => icmpv6::ECHO_REQUEST,
        (true, true) => icmpv6::ECHO_REPLY,
    };
    let (kind, code) = match ip.l4 {
        L4::Echo { reply, .. } => (echo(reply), 0),
        L4::IcmpError { kind, code, .. } | L4::Icmp { kind, code } => (kind, code),
        L4::NeighborSolicit { .. } => (icmpv6::NEIGHBOR_SOLICIT, 0),
        L4::NeighborAdvert { .. } => (icmpv6::NEIGHBOR_ADVERT, 0),
        L4::RouterSolicit => (icmpv6::ROUTER_SOLICIT, 0),
        L4::RouterAdvert => (icmpv6::ROUTER_ADVERT, 0),
        _ => (0, 0),
    };
    (kind.into(), code.into())
}
