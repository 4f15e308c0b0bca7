//! Choice of the route and of one among equal next hops; TTL and MTU.

use std::net::IpAddr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::{Headers, Ip};

use crate::ids::PortId;
use crate::tables::{Choice, NextHop, Router, RouterPort};
use crate::verdict::{DropReason, IcmpError, Punt, Step, Verdict};

/// The way out of a router.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'r> {
    /// The port it leaves by.
    pub port: &'r RouterPort,
    /// Index of that port.
    pub index: u16,
    /// The address on the link: the next router or the destination itself.
    pub next_hop: IpAddr,
}

/// Refuses with an ICMP error when the packet came in by a port, drops otherwise.
pub fn refuse<T>(in_port: Option<PortId>, reason: DropReason, error: IcmpError) -> Step<T> {
    Break(match in_port {
        Some(port) => Verdict::Reject {
            reason,
            error,
            port,
        },
        None => Verdict::Drop(reason),
    })
}

/// Destinations that are never routed: RFC 1812 section 5.3.7, RFC 4291 section 2.5.6.
fn routable(dst: IpAddr) -> bool {
    match dst {
        IpAddr::V4(dst) => {
            !(dst.is_multicast() || dst.is_loopback() || dst.is_broadcast() || dst.octets()[0] == 0)
        }
        IpAddr::V6(dst) => {
            !(dst.is_multicast()
                || dst.is_loopback()
                || dst.is_unspecified()
                || dst.segments()[0] & 0xffc0 == 0xfe80)
        }
    }
}

/// Sources that stay on their link: RFC 4291 section 2.5.6. They may talk to the router, not through it.
fn confined(src: IpAddr) -> bool {
    matches!(src, IpAddr::V6(src) if src.is_unicast_link_local())
}

/// Looks the destination up. Equal next hops are chosen by the hash of the flow, so a flow keeps its way.
#[inline]
pub fn lookup<'r>(
    router: &'r Router,
    ip: &Ip,
    headers: &Headers,
    in_port: Option<PortId>,
) -> Step<Routed<'r>> {
    if !routable(ip.dst) {
        return Break(Verdict::Drop(DropReason::MartianDestination));
    }
    if confined(ip.src) {
        return Break(Verdict::Drop(DropReason::MartianSource));
    }
    let group = match router.routing.choose(ip.src, ip.dst) {
        Choice::Group(group) => group,
        Choice::Discard => return Break(Verdict::Drop(DropReason::Blackhole)),
        Choice::Nothing => return refuse(in_port, DropReason::NoRoute, IcmpError::NetUnreachable),
    };
    let hops = router.routing.hops(group);
    let Some((_, hop)) = choose(hops, || sluice_net::flow_hash(headers)) else {
        return refuse(in_port, DropReason::NoRoute, IcmpError::NetUnreachable);
    };
    let Some(port) = router
        .ports
        .get(usize::from(hop.port))
        .filter(|port| port.enabled)
    else {
        return refuse(in_port, DropReason::NoRoute, IcmpError::NetUnreachable);
    };
    Continue(Routed {
        port,
        index: hop.port,
        next_hop: hop.via.unwrap_or(ip.dst),
    })
}

/// One of the hops with its index, the same for all packets of a flow (RFC 2992 section 2: hash threshold).
/// The hash is asked for only where there is a choice; `None` when there is no hop.
#[inline]
pub fn choose(hops: &[NextHop], hash: impl FnOnce() -> u32) -> Option<(u32, &NextHop)> {
    let index = match hops {
        [] | [_] => 0,
        _ => (u64::from(hash()) * hops.len() as u64) >> 32,
    };
    Some((index as u32, hops.get(index as usize)?))
}

/// The group and hop that [`lookup`] would choose, by the hash of the flow; `None` where it would refuse.
#[inline]
pub fn select(
    router: &Router,
    src: IpAddr,
    dst: IpAddr,
    hash: impl FnOnce() -> u32,
) -> Option<(u32, u32, &NextHop)> {
    if !routable(dst) || confined(src) {
        return None;
    }
    let Choice::Group(group) = router.routing.choose(src, dst) else {
        return None;
    };
    let (index, hop) = choose(router.routing.hops(group), hash)?;
    Some((group, index, hop))
}

/// One hop less to live; the new TTL (RFC 1812 section 5.3.1).
#[inline]
pub fn step_ttl(ip: &Ip, in_port: Option<PortId>) -> Step<u8> {
    match ip.ttl {
        0 | 1 => refuse(in_port, DropReason::TtlExceeded, IcmpError::TimeExceeded),
        ttl => Continue(ttl - 1),
    }
}

/// A packet must fit the link; one that may be fragmented goes to the slow path for it.
#[inline]
pub fn fit(ip: &Ip, mtu: u16, in_port: Option<PortId>) -> Step<()> {
    if ip.total_len <= mtu {
        return Continue(());
    }
    match in_port {
        Some(port) if !ip.dont_fragment => Break(Verdict::Punt(Punt::Fragment { port, mtu })),
        _ => refuse(in_port, DropReason::TooBig, IcmpError::TooBig(mtu)),
    }
}
