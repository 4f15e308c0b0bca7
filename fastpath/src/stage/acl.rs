//! Access control lists, OVN's `from-lport` and `to-lport` ACLs.
//!
//! What OVN lets pass beside the rules, by its own flows of higher priority (ovn-northd(8), tables `from-lport ACLs` and
//! `to-lport ACLs`):
//!
//! | traffic | here |
//! |---|---|
//! | neighbor and router discovery of IPv6, MLD | rules are not asked |
//! | answers of a connection, and errors about it | whoever keeps the connections lets them pass and does not come here |
//! | packets from the node's own DHCP server to a port with DHCP options | do not come here: they are the node's own |
//! | health checks, to and from the monitor's MAC | do not come here: they are the node's own |

use std::net::Ipv6Addr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::wire::ip_proto;
use sluice_net::{Field, Headers, L4, Mac};

use crate::tables::classifier::Packet;
use crate::tables::{AclDirection, AclVerdict, Decision, Switch, SwitchPort};
use crate::verdict::{DropReason, Step, Verdict};

/// Types of multicast listener discovery, version 1 (RFC 2710 section 3).
const MLD_V1: std::ops::RangeInclusive<u128> = 130..=132;
/// Type of a report of version 2 (RFC 3810 section 5.2).
const MLD_V2_REPORT: u128 = 143;
/// All MLDv2-capable routers (RFC 3810 section 5.2.14).
const MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Asks the ACLs of a switch about a packet that came by `from` and, in direction `to-lport`, goes to `to`. `None` when
/// none are asked, because the switch has none or because the packet passes anyway; it is not tracked then.
#[inline]
pub fn decide(
    switch: &Switch,
    direction: AclDirection,
    from: Option<&SwitchPort>,
    to: Option<&SwitchPort>,
    headers: &Headers,
) -> Option<Decision> {
    let acls = switch.acls.as_deref()?;
    if always_passes(headers) {
        return None;
    }
    let packet = Packet {
        headers,
        in_port: from.map(|port| port.id),
        out_port: to.map(|port| port.id),
    };
    let mut decision = acls.decide(direction, &packet);
    let port = match direction {
        AclDirection::ToLport => to,
        AclDirection::FromLport | AclDirection::FromLportAfterLb => from,
    };
    // Ports to routers and to the wire have no connections of their own, groups neither (OVN's Pre-ACLs).
    let untracked = port.is_some_and(|port| port.router || port.localnet);
    decision.tracked &= !untracked && !headers.eth_dst.is_multicast();
    Some(decision)
}

/// What a decision means for the walk: it goes on, or the packet is dropped by name. Whoever sends answers to rejected
/// packets does so on [`DropReason::AclReject`].
#[inline]
pub fn admit(decision: Decision) -> Step<Decision> {
    let reason = match (decision.verdict, decision.acl) {
        (AclVerdict::Allow, _) => return Continue(decision),
        (AclVerdict::Drop, Some(_)) => DropReason::AclDrop,
        (AclVerdict::Drop, None) => DropReason::AclDefault,
        (AclVerdict::Reject, _) => DropReason::AclReject,
    };
    Break(Verdict::Drop(reason))
}

/// Discovery and multicast listeners of IPv6, without which no rule could be reached (OVN's flows of priority 65532).
fn always_passes(headers: &Headers) -> bool {
    let Some(ip) = headers.ip() else {
        return false;
    };
    if ip.proto != ip_proto::ICMPV6 {
        return false;
    }
    match ip.l4 {
        L4::NeighborSolicit { .. }
        | L4::NeighborAdvert { .. }
        | L4::RouterSolicit
        | L4::RouterAdvert => ip.ttl == 255,
        L4::Icmp { .. } => is_listener_report(headers),
        _ => false,
    }
}

fn is_listener_report(headers: &Headers) -> bool {
    let Mac([0x33, 0x33, ..]) = headers.eth_dst else {
        return false;
    };
    let read = |field: Field| field.read(headers).unwrap_or(0);
    let kind = read(Field::Icmp6Type);
    let link_local = read(Field::Ip6Src) >> 118 == 0xfe80 >> 6;
    MLD_V1.contains(&kind) && link_local
        || kind == MLD_V2_REPORT && read(Field::Ip6Dst) == MLD_ROUTERS.to_bits()
}

#[cfg(test)]
mod tests;
