//! Forwarding inside a switch: addresses known from the topology, learned ones, floods.

use std::net::IpAddr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::wire::arp;
use sluice_net::{Headers, L3, L4, Mac};

use crate::exchange::Sighting;
use crate::ids::PortId;
use crate::learned::Learned;
use crate::tables::fdb::FdbHit;
use crate::tables::{Domain, FloodMember, Known, Switch, SwitchPort};
use crate::verdict::{DropReason, Step, Verdict};

/// How the switch sends a frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// To one port (index in the switch); with the FDB slot when the MAC was learned.
    Port {
        /// Index of the port.
        port: u16,
        /// FDB slot the decision rests on.
        slot: Option<u32>,
    },
    /// To all ports, or to those with unknown addresses.
    Flood {
        /// Only ports with `unknown` addresses.
        unknown_only: bool,
    },
}

/// 01:80:c2:00:00:00 to :0f: spanning tree, pause, link aggregation and discovery frames are between neighbors
/// on a wire; no bridge forwards them (IEEE 802.1Q table 8-1).
#[inline]
pub fn is_reserved(dst: Mac) -> bool {
    dst.to_u64() & !0x0f == 0x0180_c200_0000
}

/// An ARP request or neighbor solicitation: the address asked for and the one that asks.
pub fn question(headers: &Headers) -> Option<(IpAddr, IpAddr)> {
    match &headers.l3 {
        L3::Arp(arp) if arp.op == arp::REQUEST => {
            Some((IpAddr::V4(arp.target_ip), IpAddr::V4(arp.sender_ip)))
        }
        L3::Ip(ip) => match ip.l4 {
            L4::NeighborSolicit { target, .. } => Some((IpAddr::V6(target), ip.src)),
            _ => None,
        },
        _ => None,
    }
}

/// The owner of the address that `headers` ask for, when the topology knows it and it is another port than
/// the one that asks (a host probing its own address must not be told that it is taken).
pub fn known_answer<'s>(
    switch: &'s Switch,
    in_port: Option<u16>,
    headers: &Headers,
) -> Option<(&'s SwitchPort, Known)> {
    let (target, asker) = question(headers)?;
    if target == asker {
        return None;
    }
    let known = *switch.known.get(&target)?;
    if in_port == Some(known.port) || known.mac == headers.eth_src {
        return None;
    }
    Some((switch.ports.get(usize::from(known.port))?, known))
}

/// What an ARP or ND message tells about its sender, for the router ports of the switch.
pub fn sender(headers: &Headers) -> Option<(IpAddr, Mac, bool)> {
    let (ip, mac, reply) = match &headers.l3 {
        L3::Arp(arp) => (
            IpAddr::V4(arp.sender_ip),
            arp.sender_mac,
            arp.op == arp::REPLY,
        ),
        L3::Ip(ip) => match ip.l4 {
            L4::NeighborSolicit {
                source_mac: Some(mac),
                ..
            } => (ip.src, mac, false),
            L4::NeighborAdvert {
                target,
                target_mac: Some(mac),
                ..
            } => (IpAddr::V6(target), mac, true),
            _ => return None,
        },
        L3::Other => return None,
    };
    (!ip.is_unspecified() && !mac.is_multicast() && !mac.is_zero()).then_some((ip, mac, reply))
}

/// What is known of a source MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing is to be learned from it here.
    Static,
    /// Learned at this port, in this FDB slot.
    Learned(u32),
    /// New here, or seen at another port before.
    New(Sighting),
}

/// Looks at the source MAC of a frame that came in by `port`.
pub fn source(
    switch: &Switch,
    learned: &Learned,
    port: &SwitchPort,
    domain: u32,
    mac: Mac,
) -> Source {
    if !port.learning || switch.by_mac.contains_key(&mac) {
        return Source::Static;
    }
    match learned.fdb.lookup(domain, mac) {
        Some(FdbHit { port: at, slot }) if at == port.id => Source::Learned(slot),
        _ => Source::New(Sighting::Mac {
            domain,
            mac,
            port: port.id,
        }),
    }
}

/// Chooses where a frame goes by its destination MAC. `index_of` gives a port's index in the
/// switch; `from` is the port it came in by.
#[inline]
pub fn forward(
    switch: &Switch,
    learned: &Learned,
    index_of: impl Fn(PortId) -> Option<u16>,
    domain: &Domain,
    from: Option<PortId>,
    dst: Mac,
) -> Step<Forward> {
    if dst.is_multicast() {
        return Continue(Forward::Flood {
            unknown_only: false,
        });
    }
    if let Some(&port) = switch.by_mac.get(&dst) {
        return Continue(Forward::Port { port, slot: None });
    }
    if let Some(hit) = learned.fdb.lookup(domain.id, dst)
        && let Some(port) = index_of(hit.port)
    {
        return Continue(Forward::Port {
            port,
            slot: Some(hit.slot),
        });
    }
    match domain.unknown.as_slice() {
        [] => Break(Verdict::Drop(DropReason::UnknownDestination)),
        // There is only one place where it can be: no flood, and the way may be cached.
        [FloodMember::Device { port, .. }] if Some(*port) != from => match index_of(*port) {
            Some(port) => Continue(Forward::Port { port, slot: None }),
            None => Continue(Forward::Flood { unknown_only: true }),
        },
        _ => Continue(Forward::Flood { unknown_only: true }),
    }
}
