//! Port security of switch ports, OVN's `port_security`.

use std::net::IpAddr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::wire::ethernet::{ETHERTYPE_QINQ, ETHERTYPE_VLAN};
use sluice_net::{Headers, L3, L4, Mac};

use crate::tables::{SecurityRule, SwitchPort};
use crate::verdict::{DropReason, Step, Verdict};

/// Lets a frame from a port pass only with the MAC and addresses the port may use.
#[inline]
pub fn check(port: &SwitchPort, headers: &Headers) -> Step<()> {
    if !port.enabled {
        return Break(Verdict::Drop(DropReason::PortDisabled));
    }
    if headers.eth_src.is_multicast() {
        return Break(Verdict::Drop(DropReason::SourceMulticast));
    }
    let Some(security) = &port.security else {
        return Continue(());
    };
    let Some(rule) = security.rule(headers.eth_src) else {
        return Break(Verdict::Drop(DropReason::PortSecurityMac));
    };
    match refusal(rule, headers) {
        Some(reason) => Break(Verdict::Drop(reason)),
        None => Continue(()),
    }
}

fn refusal(rule: &SecurityRule, headers: &Headers) -> Option<DropReason> {
    let claims = |mac: Option<Mac>, ip: IpAddr| {
        let good = mac.is_none_or(|mac| mac == rule.mac) && rule.allows(ip);
        (!good).then_some(DropReason::PortSecurityNeighbor)
    };
    match &headers.l3 {
        L3::Arp(arp) => claims(Some(arp.sender_mac), IpAddr::V4(arp.sender_ip)),
        L3::Ip(ip) => match ip.l4 {
            L4::NeighborSolicit { source_mac, .. } => claims(source_mac, ip.src),
            L4::NeighborAdvert {
                target, target_mac, ..
            } => claims(target_mac, IpAddr::V6(target)),
            _ => (!rule.allows(ip.src)).then_some(DropReason::PortSecurityIp),
        },
        // Hosts take off a tag of VLAN 0 after another and read what is behind: it would pass unseen.
        L3::Other => match headers.ethertype {
            ETHERTYPE_VLAN | ETHERTYPE_QINQ => Some(DropReason::PortSecurityVlan),
            _ => None,
        },
    }
}
