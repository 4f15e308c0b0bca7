//! What a frame says, in a form that can be copied and compared. Filled by [`crate::parse()`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::addr::Mac;
use crate::wire::{icmpv4, icmpv6, ip_proto};

/// Everything the pipeline asks about one frame. Offsets count from the start of the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Ethernet destination.
    pub eth_dst: Mac,
    /// Ethernet source.
    pub eth_src: Mac,
    /// Tag control information of the 802.1Q tag, if there is one.
    pub vlan: Option<u16>,
    /// EtherType, after at most one 802.1Q tag.
    pub ethertype: u16,
    /// Where the network layer begins.
    pub l3_offset: u16,
    /// The network layer.
    pub l3: L3,
}

/// The network layer of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L3 {
    /// ARP for IPv4 over Ethernet.
    Arp(Arp),
    /// IPv4 or IPv6.
    Ip(Ip),
    /// Any other EtherType, among them a second VLAN tag; not looked into.
    Other,
}

/// An ARP packet (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Operation: 1 request, 2 reply.
    pub op: u16,
    /// Sender's hardware address.
    pub sender_mac: Mac,
    /// Sender's protocol address; 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Target's hardware address; meaningless in a request.
    pub target_mac: Mac,
    /// Target's protocol address.
    pub target_ip: Ipv4Addr,
}

/// An IPv4 or IPv6 packet. Both addresses are of the same family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol, after IPv6 extension headers.
    pub proto: u8,
    /// DSCP and ECN: the TOS byte or the traffic class.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The whole IP packet in bytes; padding after it does not count.
    pub total_len: u16,
    /// Where the upper layer begins; in a later fragment, where its payload begins.
    pub l4_offset: u16,
    /// Is this a piece of a larger packet?
    pub fragment: Fragment,
    /// Which bytes of the datagram's payload this packet has.
    pub extent: Extent,
    /// Identification for reassembly: 16 bits in IPv4, 32 in IPv6, 0 in an IPv6 packet without fragment header.
    pub fragment_id: u32,
    /// The DF bit; always true for IPv6, whose routers never fragment.
    pub dont_fragment: bool,
    /// The upper layer.
    pub l4: L4,
}

/// Which piece of a fragmented packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// Whole; an IPv6 "atomic" fragment (RFC 6946) counts as whole.
    None,
    /// The first piece, which has the upper-layer header.
    First,
    /// A later piece; no upper-layer header.
    Later,
}

/// The bytes of a datagram's payload that one of its packets has. In IPv6 the payload is all that follows the fragment
/// header (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where they begin, in bytes; 0 in a whole packet.
    pub offset: u16,
    /// How many they are.
    pub len: u16,
    /// Others follow.
    pub more: bool,
}

impl Extent {
    /// Where they end. At most 65535 in what [`crate::parse()`] lets pass.
    #[must_use]
    pub const fn end(&self) -> u32 {
        self.offset as u32 + self.len as u32
    }
}

/// The upper layer of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4 {
    /// Not parsed: another protocol, or a later fragment.
    None,
    /// TCP.
    Tcp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// The eight flags of header byte 13, FIN lowest; see [`crate::wire::tcp`].
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// SCTP.
    Sctp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        /// Reply or request.
        reply: bool,
        /// Identifier, which plays the part of both ports.
        id: u16,
    },
    /// An ICMP or ICMPv6 error about another packet.
    IcmpError {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The packet it is about; `None` when the quotation is damaged or too short to name a flow.
        inner: Option<Inner>,
    },
    /// Another ICMP or ICMPv6 message, IPv6 redirect included.
    Icmp {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
    /// Neighbor solicitation, valid by RFC 4861 section 7.1.1.
    NeighborSolicit {
        /// The address asked for.
        target: Ipv6Addr,
        /// Source link-layer address option.
        source_mac: Option<Mac>,
    },
    /// Neighbor advertisement, valid by RFC 4861 section 7.1.2.
    NeighborAdvert {
        /// The address spoken for.
        target: Ipv6Addr,
        /// Target link-layer address option.
        target_mac: Option<Mac>,
        /// Router, solicited and override bits; see [`crate::wire::nd`].
        flags: u8,
    },
    /// Router solicitation, valid by RFC 4861 section 6.1.1.
    RouterSolicit,
    /// Router advertisement, valid by RFC 4861 section 6.1.2.
    RouterAdvert,
}

/// The packet quoted in an ICMP error, as far as it is needed to find and translate its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol.
    pub proto: u8,
    /// Source port, or the identifier of an echo; 0 for a protocol without ports.
    pub src_port: u16,
    /// Destination port; 0 for an echo or a protocol without ports.
    pub dst_port: u16,
    /// Where the quoted IP header begins.
    pub l3_offset: u16,
    /// Where the quoted upper layer begins.
    pub l4_offset: u16,
    /// How many bytes of the upper layer are quoted, at least 8.
    pub l4_len: u16,
}

impl Headers {
    /// The VLAN the tag names; `None` without a tag and for a priority tag (VLAN 0).
    #[must_use]
    pub const fn vlan_id(&self) -> Option<u16> {
        match self.vlan {
            Some(tci) if tci & 0x0fff != 0 => Some(tci & 0x0fff),
            _ => None,
        }
    }

    /// The IP packet, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<&Ip> {
        match &self.l3 {
            L3::Ip(ip) => Some(ip),
            _ => None,
        }
    }

    /// The ARP packet, if it is one.
    #[must_use]
    pub const fn arp(&self) -> Option<&Arp> {
        match &self.l3 {
            L3::Arp(arp) => Some(arp),
            _ => None,
        }
    }
}

impl Ip {
    /// Source and destination port; the identifier twice for an echo.
    #[must_use]
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self.l4 {
            L4::Tcp { src, dst, .. } | L4::Udp { src, dst } | L4::Sctp { src, dst } => {
                Some((src, dst))
            }
            L4::Echo { id, .. } => Some((id, id)),
            _ => None,
        }
    }

    /// Which flow it belongs to can be told from itself: it is whole, or a fragment of a protocol without ports, all of which
    /// have its addresses. Of IPv6 only the first fragment says which protocol that is (RFC 8200 section 4.5).
    #[must_use]
    pub const fn tells_flow(&self) -> bool {
        matches!(self.fragment, Fragment::None)
            || !self.is_v6()
                && !matches!(
                    self.proto,
                    ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP | ip_proto::ICMP
                )
    }

    /// IPv6 rather than IPv4.
    #[must_use]
    pub const fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// An ICMP error or redirect of either family: never answer it with an error (RFC 1122 section 3.2.2,
    /// RFC 4443 section 2.4).
    #[must_use]
    pub const fn is_icmp_error(&self) -> bool {
        match self.l4 {
            L4::IcmpError { .. } => true,
            L4::Icmp { kind, .. } => self.proto == ip_proto::ICMPV6 && kind == icmpv6::REDIRECT,
            _ => false,
        }
    }
}

impl Inner {
    /// Is an echo quoted, so that `src_port` is its identifier?
    #[must_use]
    pub const fn is_echo(&self) -> bool {
        matches!(self.proto, ip_proto::ICMP | ip_proto::ICMPV6)
    }
}

/// Is an ICMP message of this type an error that quotes a packet (RFC 1122 section 3.2.2)?
#[must_use]
pub const fn is_icmpv4_error(kind: u8) -> bool {
    matches!(
        kind,
        icmpv4::UNREACHABLE
            | icmpv4::SOURCE_QUENCH
            | icmpv4::REDIRECT
            | icmpv4::TIME_EXCEEDED
            | icmpv4::PARAMETER_PROBLEM
    )
}

/// Why a frame is not acceptable. Each cause is one variant, so that each can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ParseError {
    /// More than 65535 bytes.
    #[error("frame longer than 65535 bytes")]
    FrameTooLong,
    /// Fewer than 14 bytes.
    #[error("frame shorter than an Ethernet header")]
    EthernetTruncated,
    /// EtherType 802.1Q without a whole tag.
    #[error("frame ends inside its VLAN tag")]
    VlanTruncated,
    /// Not an ARP packet for IPv4 over Ethernet of full length.
    #[error("malformed ARP packet")]
    ArpMalformed,
    /// The frame ends before the IPv4 packet does (RFC 1812 section 5.2.2 item 1).
    #[error("IPv4 packet longer than its frame")]
    Ipv4Truncated,
    /// EtherType IPv4 with another version number.
    #[error("IP version is not 4")]
    Ipv4Version,
    /// Header length below 20 bytes, or beyond the frame.
    #[error("impossible IPv4 header length")]
    Ipv4HeaderLength,
    /// Total length smaller than the header.
    #[error("impossible IPv4 total length")]
    Ipv4TotalLength,
    /// Wrong header checksum.
    #[error("wrong IPv4 header checksum")]
    Ipv4Checksum,
    /// The frame ends before the IPv6 packet does.
    #[error("IPv6 packet longer than its frame")]
    Ipv6Truncated,
    /// EtherType IPv6 with another version number.
    #[error("IP version is not 6")]
    Ipv6Version,
    /// A jumbogram (RFC 2675), or a payload whose packet would exceed 65535 bytes.
    #[error("IPv6 jumbogram")]
    Ipv6Jumbogram,
    /// Extension headers cut short, out of place, repeated where they may not be, or more than
    /// [`crate::parse::MAX_EXTENSIONS`].
    #[error("malformed IPv6 extension headers")]
    Ipv6ExtensionChain,
    /// A fragment that would end beyond 65535 bytes.
    #[error("fragment beyond the largest packet")]
    FragmentLength,
    /// A TCP fragment at offset 8, which would overwrite the flags (RFC 1858).
    #[error("fragment overlaps the TCP header")]
    FragmentOverlap,
    /// TCP header cut short or of impossible length.
    #[error("malformed TCP header")]
    TcpHeader,
    /// UDP header cut short, or a length that does not fit.
    #[error("malformed UDP length")]
    UdpLength,
    /// SCTP common header cut short.
    #[error("SCTP header cut short")]
    SctpTruncated,
    /// ICMP message cut short.
    #[error("ICMP message cut short")]
    IcmpTruncated,
    /// A neighbor discovery message that RFC 4861 or RFC 6980 has us discard.
    #[error("invalid neighbor discovery message")]
    NdInvalid,
}
