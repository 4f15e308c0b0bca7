//! Makes frames with right lengths and checksums: for tests, for the slow path and for traces.
//!
//! ```
//! use sluice_net::{Builder, Mac, parse};
//! use std::net::{IpAddr, Ipv4Addr};
//!
//! let (src, dst) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([8, 8, 8, 8]));
//! let frame = Builder::ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
//!     .ip(src, dst)
//!     .udp(4000, 53)
//!     .payload(b"hello")
//!     .build();
//! let headers = parse(&frame).unwrap();
//! assert_eq!(headers.ip().unwrap().ports(), Some((4000, 53)));
//! ```

mod serialize;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::IntoBytes;

use crate::addr::Mac;
use crate::flow::{flow_hash, geneve_source_port};
use crate::ids::Vni;
use crate::parse;
use crate::wire::arp::{self, ArpHeader};
use crate::wire::geneve::{self, OvnOption};
use crate::wire::nd::{self, MacOption};
use crate::wire::{ethernet, icmpv4, icmpv6, ip_proto, udp, vxlan};

/// Request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// Echo request.
    Request,
    /// Echo reply.
    Reply,
}

/// A frame being put together, outside in. [`Builder::build`] gives the bytes.
///
/// Every part has one place; naming it again replaces it. The order of calls matters only where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Builder {
    src: Mac,
    dst: Mac,
    vlan: Option<u16>,
    /// Of a frame that is neither IP nor ARP.
    ethertype: u16,
    l3: Layer3,
    l4: Layer4,
    payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Layer3 {
    None,
    Arp(ArpHeader),
    Ip(IpPart),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct IpPart {
    src: IpAddr,
    dst: IpAddr,
    proto: Option<u8>,
    tos: u8,
    ttl: Option<u8>,
    id: u32,
    dont_fragment: bool,
    flow_label: u32,
    /// Offset in bytes, and whether more follow.
    fragment: Option<(u16, bool)>,
    /// Of IPv4, padded to words.
    options: Vec<u8>,
    /// Of IPv6: kind and whole header except its first byte.
    extensions: Vec<(u8, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer4 {
    None,
    Tcp {
        src: u16,
        dst: u16,
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
    },
    Udp {
        src: u16,
        dst: u16,
        with_checksum: bool,
    },
    Sctp {
        src: u16,
        dst: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: [u8; 4],
    },
    Echo {
        kind: Echo,
        id: u16,
        seq: u16,
    },
}

impl Builder {
    /// Begins an Ethernet frame, **source first**. Without a network layer its EtherType is 0x88b5
    /// (IEEE 802 local experimental) unless [`Builder::ethertype`] says otherwise.
    pub const fn ethernet(src: Mac, dst: Mac) -> Builder {
        Builder {
            src,
            dst,
            vlan: None,
            ethertype: 0x88b5,
            l3: Layer3::None,
            l4: Layer4::None,
            payload: Vec::new(),
        }
    }

    /// Adds an 802.1Q tag with this tag control information.
    pub const fn vlan(mut self, tci: u16) -> Builder {
        self.vlan = Some(tci);
        self
    }

    /// The EtherType of a frame that is neither ARP nor IP; the payload follows it.
    pub const fn ethertype(mut self, ethertype: u16) -> Builder {
        self.ethertype = ethertype;
        self
    }

    /// IPv4 or IPv6, as the addresses say: TTL 64, TOS 0, id 0, not DF.
    ///
    /// # Panics
    /// When the addresses are of different families.
    pub fn ip(mut self, src: IpAddr, dst: IpAddr) -> Builder {
        assert_eq!(
            src.is_ipv4(),
            dst.is_ipv4(),
            "addresses of two families: {src}, {dst}"
        );
        self.l3 = Layer3::Ip(IpPart {
            src,
            dst,
            proto: None,
            tos: 0,
            ttl: None,
            id: 0,
            dont_fragment: false,
            flow_label: 0,
            fragment: None,
            options: Vec::new(),
            extensions: Vec::new(),
        });
        self
    }

    /// IPv4; see [`Builder::ip`].
    pub fn ipv4(self, src: Ipv4Addr, dst: Ipv4Addr) -> Builder {
        self.ip(src.into(), dst.into())
    }

    /// IPv6; see [`Builder::ip`].
    pub fn ipv6(self, src: Ipv6Addr, dst: Ipv6Addr) -> Builder {
        self.ip(src.into(), dst.into())
    }

    fn with_ip(mut self, change: impl FnOnce(&mut IpPart)) -> Builder {
        match &mut self.l3 {
            Layer3::Ip(ip) => change(ip),
            _ => panic!("name the IP addresses first"),
        }
        self
    }

    /// TTL or hop limit. After [`Builder::ip`], like every other part of the IP header.
    ///
    /// # Panics
    /// When the frame is not IP yet; the other parts of the IP header likewise.
    pub fn ttl(self, ttl: u8) -> Builder {
        self.with_ip(|ip| ip.ttl = Some(ttl))
    }

    /// DSCP and ECN: the TOS byte or the traffic class.
    pub fn tos(self, tos: u8) -> Builder {
        self.with_ip(|ip| ip.tos = tos)
    }

    /// The DF bit; without effect on IPv6.
    pub fn dont_fragment(self, dont_fragment: bool) -> Builder {
        self.with_ip(|ip| ip.dont_fragment = dont_fragment)
    }

    /// The identification; in IPv6 it is seen only in a fragment.
    pub fn ip_id(self, id: u32) -> Builder {
        self.with_ip(|ip| ip.id = id)
    }

    /// The IPv6 flow label; without effect on IPv4.
    pub fn flow_label(self, label: u32) -> Builder {
        self.with_ip(|ip| ip.flow_label = label & 0x000f_ffff)
    }

    /// Makes it a fragment. With an offset of zero the upper layer's header is written as if the payload
    /// were all there is; a later fragment has only [`Builder::payload`] and [`Builder::protocol`].
    ///
    /// # Panics
    /// When the offset in bytes is no multiple of 8.
    pub fn fragment(self, offset: u16, more: bool) -> Builder {
        assert_eq!(
            offset % 8,
            0,
            "fragment offset {offset} is no multiple of 8"
        );
        self.with_ip(|ip| ip.fragment = Some((offset, more)))
    }

    /// The upper-layer protocol, where no other call implies it.
    pub fn protocol(self, proto: u8) -> Builder {
        self.with_ip(|ip| ip.proto = Some(proto))
    }

    /// IPv4 options, padded to a multiple of 4 bytes.
    ///
    /// # Panics
    /// When there are more than 40 bytes.
    pub fn ip_options(self, options: &[u8]) -> Builder {
        assert!(options.len() <= 40, "at most 40 bytes of IPv4 options");
        self.with_ip(|ip| {
            ip.options = options.to_vec();
            ip.options.resize(options.len().next_multiple_of(4), 0);
        })
    }

    /// Appends an IPv6 extension header of this kind, before the fragment header if there is one.
    /// `body` is what follows next header and length; it is padded to the unit of the kind.
    ///
    /// # Panics
    /// When the body is longer than its length field can say.
    pub fn extension(self, kind: u8, body: &[u8]) -> Builder {
        let header = serialize::extension(kind, body);
        self.with_ip(|ip| ip.extensions.push((kind, header)))
    }

    /// UDP. The checksum is written unless [`Builder::without_udp_checksum`].
    pub const fn udp(mut self, src: u16, dst: u16) -> Builder {
        self.l4 = Layer4::Udp {
            src,
            dst,
            with_checksum: true,
        };
        self
    }

    /// Leaves the UDP checksum zero.
    ///
    /// # Panics
    /// When the frame is not UDP yet.
    pub const fn without_udp_checksum(mut self) -> Builder {
        match &mut self.l4 {
            Layer4::Udp { with_checksum, .. } => *with_checksum = false,
            _ => panic!("name the UDP ports first"),
        }
        self
    }

    /// TCP with the flags of [`crate::wire::tcp`], sequence and acknowledgment 0, window 65535.
    pub const fn tcp(mut self, src: u16, dst: u16, flags: u8) -> Builder {
        self.l4 = Layer4::Tcp {
            src,
            dst,
            flags,
            seq: 0,
            ack: 0,
            window: u16::MAX,
        };
        self
    }

    /// Sequence number, acknowledgment number and window of TCP.
    ///
    /// # Panics
    /// When the frame is not TCP yet.
    pub const fn tcp_state(mut self, seq: u32, ack: u32, window: u16) -> Builder {
        match &mut self.l4 {
            Layer4::Tcp {
                seq: s,
                ack: a,
                window: w,
                ..
            } => (*s, *a, *w) = (seq, ack, window),
            _ => panic!("name the TCP ports first"),
        }
        self
    }

    /// SCTP common header, with its CRC32c.
    pub const fn sctp(mut self, src: u16, dst: u16) -> Builder {
        self.l4 = Layer4::Sctp { src, dst };
        self
    }

    /// ICMP or ICMPv6 echo, as the family says.
    pub const fn icmp_echo(mut self, kind: Echo, id: u16, seq: u16) -> Builder {
        self.l4 = Layer4::Echo { kind, id, seq };
        self
    }

    /// Any ICMP or ICMPv6 message; an error quotes the packet given as payload.
    pub const fn icmp(mut self, kind: u8, code: u8, rest: [u8; 4]) -> Builder {
        self.l4 = Layer4::Icmp { kind, code, rest };
        self
    }

    /// An ARP packet with any content; the Ethernet header stays as it is.
    pub fn arp(
        mut self,
        op: u16,
        sender_mac: Mac,
        sender_ip: Ipv4Addr,
        target_mac: Mac,
        target_ip: Ipv4Addr,
    ) -> Builder {
        self.l3 = Layer3::Arp(ArpHeader::new(
            op, sender_mac, sender_ip, target_mac, target_ip,
        ));
        self
    }

    /// An ARP request from the frame's source for `target_ip`. The frame goes where [`Builder::ethernet`] said,
    /// so name [`Mac::BROADCAST`] there for an ordinary one.
    pub fn arp_request(self, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Builder {
        let src = self.src;
        self.arp(arp::REQUEST, src, sender_ip, Mac::ZERO, target_ip)
    }

    /// An ARP reply from the frame's source, which has `sender_ip`, to its destination, which has `target_ip`.
    pub fn arp_reply(self, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Builder {
        let (src, dst) = (self.src, self.dst);
        self.arp(arp::REPLY, src, sender_ip, dst, target_ip)
    }

    /// A neighbor solicitation, with hop limit 255 unless [`Builder::ttl`] says otherwise. After
    /// [`Builder::ip`]; replaces the payload.
    pub fn neighbor_solicit(self, target: Ipv6Addr, source_mac: Option<Mac>) -> Builder {
        let option = source_mac.map(|mac| (nd::OPTION_SOURCE_MAC, mac));
        self.neighbor(icmpv6::NEIGHBOR_SOLICIT, 0, target, option)
    }

    /// A neighbor advertisement with the flags of [`crate::wire::nd`]; see [`Builder::neighbor_solicit`].
    pub fn neighbor_advert(self, target: Ipv6Addr, target_mac: Option<Mac>, flags: u8) -> Builder {
        let option = target_mac.map(|mac| (nd::OPTION_TARGET_MAC, mac));
        self.neighbor(icmpv6::NEIGHBOR_ADVERT, flags, target, option)
    }

    fn neighbor(self, kind: u8, flags: u8, target: Ipv6Addr, option: Option<(u8, Mac)>) -> Builder {
        let mut body = target.octets().to_vec();
        if let Some((kind, mac)) = option {
            body.extend_from_slice(MacOption { kind, len: 1, mac }.as_bytes());
        }
        self.with_ip(|ip| ip.ttl = ip.ttl.or(Some(nd::HOP_LIMIT)))
            .icmp(kind, 0, [flags, 0, 0, 0])
            .payload(&body)
    }

    /// What follows the innermost header.
    pub fn payload(mut self, payload: &[u8]) -> Builder {
        self.payload = payload.to_vec();
        self
    }

    /// Puts this frame into Geneve: `outer` has Ethernet and IP, and may be changed further afterwards.
    /// With `ovn` the header is that of chassis, without it has no option. Unless `outer` names UDP ports,
    /// the source port is that of the inner flow and the destination 6081.
    pub fn encap_geneve(self, outer: Builder, vni: Vni, ovn: Option<OvnOption>) -> Builder {
        match ovn {
            Some(OvnOption { in_key, out_key }) => {
                let mut header = [0; geneve::OVN_LEN];
                geneve::write_ovn(&mut header, vni, in_key, out_key);
                self.encap(outer, &header, udp::PORT_GENEVE)
            }
            None => {
                let mut header = [0; geneve::LEN];
                geneve::write_plain(&mut header, vni);
                self.encap(outer, &header, udp::PORT_GENEVE)
            }
        }
    }

    /// Puts this frame into VXLAN, destination port 4789; otherwise as [`Builder::encap_geneve`].
    pub fn encap_vxlan(self, outer: Builder, vni: Vni) -> Builder {
        let mut header = [0; vxlan::LEN];
        vxlan::write(&mut header, vni);
        self.encap(outer, &header, udp::PORT_VXLAN)
    }

    fn encap(self, outer: Builder, header: &[u8], port: u16) -> Builder {
        let inner = self.build();
        let hash = parse(&inner).map_or(0, |headers| flow_hash(&headers));
        let outer = match outer.l4 {
            Layer4::Udp { .. } => outer,
            _ => outer.udp(geneve_source_port(hash), port),
        };
        outer.payload(&[header, &inner].concat())
    }

    /// The frame.
    ///
    /// # Panics
    /// When a TCP, UDP, SCTP or ICMP part has no IP part around it, or the packet exceeds 65535 bytes.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        serialize::frame(self)
    }
}

impl Layer4 {
    fn proto(&self, v6: bool) -> Option<u8> {
        Some(match self {
            Layer4::None => return None,
            Layer4::Tcp { .. } => ip_proto::TCP,
            Layer4::Udp { .. } => ip_proto::UDP,
            Layer4::Sctp { .. } => ip_proto::SCTP,
            Layer4::Icmp { .. } | Layer4::Echo { .. } if v6 => ip_proto::ICMPV6,
            Layer4::Icmp { .. } | Layer4::Echo { .. } => ip_proto::ICMP,
        })
    }
}

impl Echo {
    const fn kind(self, v6: bool) -> u8 {
        match (self, v6) {
            (Echo::Request, false) => icmpv4::ECHO_REQUEST,
            (Echo::Reply, false) => icmpv4::ECHO_REPLY,
            (Echo::Request, true) => icmpv6::ECHO_REQUEST,
            (Echo::Reply, true) => icmpv6::ECHO_REPLY,
        }
    }
}

impl Layer3 {
    const fn ethertype(&self) -> Option<u16> {
        match self {
            Layer3::None => None,
            Layer3::Arp(_) => Some(ethernet::ETHERTYPE_ARP),
            Layer3::Ip(IpPart {
                src: IpAddr::V4(_), ..
            }) => Some(ethernet::ETHERTYPE_IPV4),
            Layer3::Ip(IpPart {
                src: IpAddr::V6(_), ..
            }) => Some(ethernet::ETHERTYPE_IPV6),
        }
    }
}
