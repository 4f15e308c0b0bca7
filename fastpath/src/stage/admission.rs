//! What a router lets in: frames to its MAC, packets with possible addresses (RFC 1812 section 5.3.7).

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::wire::ip_proto;
use sluice_net::{Fragment, Headers, Ip, L3, L4};

use crate::tables::{Local, Router, RouterPort, broadcast};
use crate::verdict::{DropReason, Punt, Step, Verdict};

fn drop<T>(reason: DropReason) -> Step<T> {
    Break(Verdict::Drop(reason))
}

/// Lets a frame into a router by one of its ports and returns the packet.
#[inline]
pub fn admit<'h>(router: &Router, port: &RouterPort, headers: &'h Headers) -> Step<&'h Ip> {
    if !router.enabled || !port.enabled {
        return drop(DropReason::RouterDisabled);
    }
    if headers.eth_dst != port.mac && !headers.eth_dst.is_multicast() && !floats(router, headers) {
        return drop(DropReason::RouterNotForUs);
    }
    let ip = match &headers.l3 {
        L3::Ip(ip) => ip,
        L3::Arp(_) => return Break(Verdict::Punt(Punt::LearnNeighbor { port: port.id })),
        L3::Other => return drop(DropReason::RouterNotIp),
    };
    match ip.l4 {
        L4::NeighborSolicit { .. } | L4::NeighborAdvert { .. } => {
            return Break(Verdict::Punt(Punt::LearnNeighbor { port: port.id }));
        }
        _ => {}
    }
    if headers.eth_dst.is_multicast() {
        // Nothing but ARP and ND is taken from a link-layer multicast (RFC 1812 section 5.3.4).
        return drop(DropReason::RouterNotForUs);
    }
    check_source(router, port, ip.src)?;
    Continue(ip)
}

/// The frame is to the MAC of a floating IP that is translated here, and so is what is in it.
fn floats(router: &Router, headers: &Headers) -> bool {
    let floating = |ip| {
        let floating = router.distributed.outside(ip);
        floating.is_some_and(|floating| floating.mac == headers.eth_dst)
    };
    match &headers.l3 {
        L3::Ip(ip) => floating(ip.dst),
        L3::Arp(arp) => floating(arp.target_ip.into()),
        L3::Other => false,
    }
}

/// Sources that no packet may have. A SNAT address is let in by the port that it belongs to: the packet may be a
/// reflected answer that is yet to be translated.
fn check_source(router: &Router, port: &RouterPort, src: IpAddr) -> Step<()> {
    let impossible = match src {
        IpAddr::V4(src) => {
            src.is_multicast()
                || src.is_loopback()
                || src.octets()[0] == 0
                || src == Ipv4Addr::BROADCAST
                || port
                    .networks
                    .iter()
                    .any(|network| broadcast(network) == Some(src))
        }
        IpAddr::V6(src) => src.is_multicast() || src.is_loopback() || src.is_unspecified(),
    };
    let at_home = |local: &Local| {
        let home = local
            .port
            .and_then(|index| router.ports.get(usize::from(index)));
        local.nat && home.is_none_or(|home| home.id == port.id)
    };
    let own = router.local.get(&src).is_some_and(|local| !at_home(local));
    if impossible || own {
        drop(DropReason::MartianSource)
    } else {
        Continue(())
    }
}

/// A packet between these addresses is neither refused by [`admit`] nor for the router itself, and leaves by the port
/// of its route as all others do.
#[inline]
pub fn ordinary(router: &Router, port: &RouterPort, src: IpAddr, dst: IpAddr) -> bool {
    !router.local.contains_key(&dst)
        && check_source(router, port, src).is_continue()
        && router.distributed.inside(src).is_none()
}

/// A packet to one of the router's own addresses: answered, refused, or dropped by name. Continues for all
/// others.
#[inline]
pub fn local(router: &Router, port: &RouterPort, ip: &Ip) -> Step<()> {
    if !router.local.contains_key(&ip.dst) {
        return Continue(());
    }
    if ip.fragment != Fragment::None && matches!(ip.proto, ip_proto::ICMP | ip_proto::ICMPV6) {
        // The slow path puts them together and sees what they are.
        return Break(Verdict::Punt(Punt::Echo { port: port.id }));
    }
    match ip.l4 {
        L4::Echo { reply: false, .. } => Break(Verdict::Punt(Punt::Echo { port: port.id })),
        L4::Udp { .. } => Break(Verdict::Reject {
            reason: DropReason::RouterLocal,
            error: crate::verdict::IcmpError::PortUnreachable,
            port: port.id,
        }),
        _ => drop(DropReason::RouterLocal),
    }
}
