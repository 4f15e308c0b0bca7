//! Where a received frame enters: a port of this node, or a datapath behind a tunnel.

use std::net::IpAddr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::checksum::{finish, ones_complement_sum, pseudo_v4};
use sluice_net::wire::ethernet::ETHERTYPE_TEB;
use sluice_net::wire::{geneve, ip_proto, udp, vxlan};
use sluice_net::{Fragment, Headers, Ip, L3, L4, ParseError, Vni};

use crate::fragments::First;
use crate::ids::{DatapathId, PortId, TunnelId, Zone};
use crate::io::DeviceId;
use crate::tables::{DeviceEntry, EncapKind, Piece, PieceKind, Place, Tables, Underlay};
use crate::verdict::{DropReason, Punt, Step, Verdict};

/// How a frame came into the logical network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A VIF or localnet of this node.
    Port(PortId),
    /// From another chassis with the keys of its decision: switch or router egress.
    Keyed {
        /// The chassis.
        tunnel: TunnelId,
        /// The datapath of the VNI.
        datapath: DatapathId,
        /// Logical input port key.
        in_key: u16,
        /// Logical output port key or multicast group.
        out_key: u16,
    },
    /// From a chassis that sends no port keys: the switch decides.
    Keyless {
        /// The chassis.
        tunnel: TunnelId,
        /// The switch of the VNI.
        switch: DatapathId,
    },
    /// From the slow path in the name of a switch port.
    Owner(PortId),
    /// From the slow path in nobody's name, for a station of the switch.
    Made(DatapathId),
    /// From the slow path in the name of a router.
    Originated(DatapathId),
}

/// A frame that has entered.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// How.
    pub entry: Entry,
    /// Bytes before the logical frame: the outer headers.
    pub inner: u16,
    /// The logical frame's headers, offsets from its start.
    pub headers: Headers,
    /// Bytes of the logical frame.
    pub len: u16,
    /// ECN field that the packet gets from its outer header (RFC 6040 section 4.2), if another than its own.
    pub ecn: Option<u8>,
    /// What the first fragment of its datagram says, if it is a fragment and has been told. Then its headers say it too.
    pub first: Option<First>,
}

impl Entered {
    /// TOS or traffic class to write into its packet, when it came with another.
    pub fn tos(&self, ip: &Ip) -> Option<u8> {
        Some(ip.tos & !0b11 | self.ecn?)
    }

    /// Tells a fragment what the first of its datagram says.
    pub fn tell(&mut self, first: First) {
        if let L3::Ip(ip) = &mut self.headers.l3 {
            first.tell(ip);
        }
        self.first = Some(first);
    }

    /// Its packet, unless that is a fragment that has not been told of its first and needs to be.
    pub fn datagram(&self) -> Option<&Ip> {
        let told = |ip: &&Ip| ip.tells_flow() || self.first.is_some();
        self.headers.ip().filter(told)
    }

    /// Bytes behind the Ethernet header, padding of an IP packet not counted.
    pub fn packet_len(&self) -> u16 {
        match self.headers.ip() {
            Some(ip) => ip.total_len,
            None => self.len.saturating_sub(self.headers.l3_offset),
        }
    }
}

/// The drop reason for a frame that cannot be parsed.
pub fn parse_failure(error: ParseError) -> DropReason {
    use ParseError::*;
    match error {
        FrameTooLong | EthernetTruncated | VlanTruncated | ArpMalformed => DropReason::MalformedL2,
        Ipv4Checksum => DropReason::Ipv4Checksum,
        Ipv4Truncated | Ipv4Version | Ipv4HeaderLength | Ipv4TotalLength | Ipv6Truncated
        | Ipv6Version | Ipv6Jumbogram | Ipv6ExtensionChain | FragmentLength | FragmentOverlap => {
            DropReason::MalformedIp
        }
        TcpHeader | UdpLength | SctpTruncated | IcmpTruncated | NdInvalid => {
            DropReason::MalformedL4
        }
    }
}

fn parse(frame: &[u8]) -> Step<Headers> {
    match sluice_net::parse(frame) {
        Ok(headers) => Continue(headers),
        Err(error) => Break(Verdict::Drop(parse_failure(error))),
    }
}

/// A frame received on a device.
pub fn from_device(tables: &Tables, device: DeviceId, frame: &[u8]) -> Step<Entered> {
    let headers = parse(frame)?;
    let entry = tables
        .devices
        .get(device.index())
        .and_then(|device| device.entry(headers.vlan_id()));
    match entry {
        Some(DeviceEntry::Port(port)) => Continue(Entered {
            entry: Entry::Port(port),
            inner: 0,
            headers,
            len: frame.len() as u16,
            ecn: None,
            first: None,
        }),
        Some(DeviceEntry::Underlay) => match &tables.underlay {
            Some(underlay) => from_underlay(tables, underlay, frame, &headers),
            None => drop(DropReason::UnderlayNotForUs),
        },
        None => drop(DropReason::NoPortForVlan),
    }
}

/// A frame made by the slow path.
pub fn from_slow_path(entry: Entry, frame: &[u8]) -> Step<Entered> {
    let headers = parse(frame)?;
    Continue(Entered {
        entry,
        inner: 0,
        headers,
        len: frame.len() as u16,
        ecn: None,
        first: None,
    })
}

fn drop<T>(reason: DropReason) -> Step<T> {
    Break(Verdict::Drop(reason))
}

/// A frame of the underlay: a tunnel packet, or something for this node itself.
fn from_underlay(
    tables: &Tables,
    underlay: &Underlay,
    frame: &[u8],
    outer: &Headers,
) -> Step<Entered> {
    if outer.eth_dst != underlay.mac && !outer.eth_dst.is_multicast() {
        return drop(DropReason::UnderlayNotForUs);
    }
    let ip = match &outer.l3 {
        // What is asked of us, and what peers announce of themselves (RFC 5227 section 3).
        L3::Arp(arp)
            if arp.target_ip == underlay.address.addr() || arp.target_ip == arp.sender_ip =>
        {
            return Break(Verdict::Punt(Punt::Underlay));
        }
        L3::Arp(_) | L3::Other => return drop(DropReason::UnderlayNotForUs),
        L3::Ip(ip) => ip,
    };
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst) else {
        return drop(DropReason::UnderlayNotForUs);
    };
    if dst != underlay.address.addr() {
        return drop(DropReason::UnderlayNotForUs);
    }
    let kind = match ip.l4 {
        L4::Udp { dst, .. } if dst == underlay.geneve_port => EncapKind::Geneve,
        L4::Udp { dst, .. } if dst == underlay.vxlan_port => EncapKind::Vxlan,
        L4::Echo { .. } | L4::Icmp { .. } | L4::IcmpError { .. } => {
            return Break(Verdict::Punt(Punt::Underlay));
        }
        // The slow path puts them together.
        L4::None if ip.fragment != Fragment::None && ip.proto == ip_proto::ICMP => {
            return Break(Verdict::Punt(Punt::Underlay));
        }
        L4::None if ip.fragment != Fragment::None && ip.proto == ip_proto::UDP => {
            return drop(DropReason::TunnelFragment);
        }
        _ => return drop(DropReason::UnderlayUnknownProtocol),
    };
    if ip.fragment != Fragment::None {
        return drop(DropReason::TunnelFragment);
    }
    let Some(tunnel) = tables.peers.get(&(kind, src)) else {
        return drop(DropReason::TunnelUnknownPeer);
    };
    let l4 = usize::from(ip.l4_offset);
    let end = usize::from(outer.l3_offset) + usize::from(ip.total_len);
    let Some(datagram) = frame.get(l4..end) else {
        return drop(DropReason::TunnelMalformed);
    };
    if !checksum_holds(datagram, src, dst) {
        return drop(DropReason::TunnelChecksum);
    }
    let keys = parse_tunnel(kind, datagram.get(udp::LEN..).unwrap_or_default())?;
    let inner_at = l4 + udp::LEN + keys.header_len;
    let Some(inner) = frame.get(inner_at..end) else {
        return drop(DropReason::TunnelMalformed);
    };
    let headers = parse(inner)?;
    let ecn = carry_congestion(ip, &headers)?;
    let entry = resolve_keys(tables, *tunnel, keys.vni, keys.ports)?;
    Continue(Entered {
        entry,
        inner: inner_at as u16,
        headers,
        len: inner.len() as u16,
        ecn,
        first: None,
    })
}

/// RFC 768: a checksum of zero was not computed; RFC 8926 section 3.2: any other must hold.
fn checksum_holds(datagram: &[u8], src: std::net::Ipv4Addr, dst: std::net::Ipv4Addr) -> bool {
    let Some(field) = datagram.get(udp::CHECKSUM_OFFSET..udp::CHECKSUM_OFFSET + 2) else {
        return false;
    };
    field == [0, 0] || {
        let pseudo = pseudo_v4(src, dst, ip_proto::UDP, datagram.len() as u32);
        finish(ones_complement_sum(datagram, pseudo)) == 0
    }
}

struct TunnelKeys {
    vni: Vni,
    ports: Option<(u16, u16)>,
    header_len: usize,
}

fn parse_tunnel(kind: EncapKind, payload: &[u8]) -> Step<TunnelKeys> {
    match kind {
        EncapKind::Geneve => match geneve::parse(payload) {
            Ok(header) if header.protocol != ETHERTYPE_TEB => drop(DropReason::TunnelProtocol),
            Ok(header) => Continue(TunnelKeys {
                vni: header.vni,
                ports: header.ovn.map(|option| (option.in_key, option.out_key)),
                header_len: header.header_len,
            }),
            Err(geneve::GeneveError::UnknownCriticalOption) => {
                drop(DropReason::TunnelUnknownOption)
            }
            Err(_) => drop(DropReason::TunnelMalformed),
        },
        EncapKind::Vxlan => match vxlan::parse(payload) {
            Ok(header) => Continue(TunnelKeys {
                vni: header.vni,
                ports: None,
                header_len: vxlan::LEN,
            }),
            Err(_) => drop(DropReason::TunnelMalformed),
        },
    }
}

/// RFC 6040 section 4.2, figure 4: what the outer header says of congestion goes into an inner packet that
/// knows ECN; one that does not is dropped when there was congestion. The field to write, if it changes.
fn carry_congestion(outer: &Ip, inner: &Headers) -> Step<Option<u8>> {
    const NOT_CAPABLE: u8 = 0b00;
    const ECT_1: u8 = 0b01;
    const ECT_0: u8 = 0b10;
    const CE: u8 = 0b11;
    let L3::Ip(ip) = &inner.l3 else {
        return Continue(None);
    };
    match (ip.tos & CE, outer.tos & CE) {
        (NOT_CAPABLE, CE) => drop(DropReason::TunnelEcn),
        (ECT_0 | ECT_1, CE) => Continue(Some(CE)),
        (ECT_0, ECT_1) => Continue(Some(ECT_1)),
        _ => Continue(None),
    }
}

/// What the keys of a tunnel packet of a known peer enter.
pub fn resolve_keys(
    tables: &Tables,
    tunnel: TunnelId,
    vni: Vni,
    ports: Option<(u16, u16)>,
) -> Step<Entry> {
    let Some(&datapath) = tables.by_vni.get(&vni) else {
        return drop(DropReason::TunnelUnknownVni);
    };
    match (
        ports,
        tables.tunnel(tunnel).is_some_and(|tunnel| tunnel.port_keys),
    ) {
        (Some((in_key, out_key)), true) => Continue(Entry::Keyed {
            tunnel,
            datapath,
            in_key,
            out_key,
        }),
        (None, true) => drop(DropReason::TunnelNoKeys),
        (_, false) => match tables.switch(datapath) {
            Some(_) => Continue(Entry::Keyless {
                tunnel,
                switch: datapath,
            }),
            None => drop(DropReason::TunnelUnknownVni),
        },
    }
}

/// The zone in which the connections of what enters here are found.
///
/// Keys that name a router (or a switch port whose router is on this node) mean that router's zone; all else
/// enters the zone of its switch.
pub fn zone(tables: &Tables, entry: &Entry) -> Zone {
    let of = |id: DatapathId| tables.piece(id).map_or(Zone::NONE, Piece::zone);
    match *entry {
        Entry::Port(port) | Entry::Owner(port) => tables
            .seat(port)
            .map_or(Zone::NONE, |seat| of(seat.datapath)),
        Entry::Keyless { switch, .. } => of(switch),
        Entry::Originated(router) => of(router),
        // It is no part of any connection.
        Entry::Made(_) => Zone::NONE,
        Entry::Keyed {
            datapath, out_key, ..
        } => {
            let Some(piece) = tables.piece(datapath) else {
                return Zone::NONE;
            };
            match &piece.kind {
                PieceKind::Router(_) => piece.zone(),
                PieceKind::Switch(switch) => {
                    let port = switch
                        .by_key
                        .get(&out_key)
                        .and_then(|&index| switch.ports.get(usize::from(index)));
                    match port.map(|port| port.place) {
                        Some(Place::Router(router) | Place::Gateway { port: router, .. }) => tables
                            .seat(router)
                            .map_or(Zone::NONE, |seat| of(seat.datapath)),
                        // It may be an answer to a client of the switch's balancers, or one that its ACLs let pass.
                        Some(Place::Device { .. }) if switch.tracks() => piece.zone(),
                        _ => Zone::NONE,
                    }
                }
            }
        }
    }
}
