//! What passes a switch with ACLs.

use std::sync::Arc;

use sluice_net::{Builder as Frame, parse};

use super::*;
use crate::ids::PortId;
use crate::tables::classifier::{Builder, Condition, Part, Range, Ranges, Subject};
use crate::tables::{Acl, AclAction, AclList, Acls, Hits, Place};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn port(id: u32, router: bool, localnet: bool) -> SwitchPort {
    SwitchPort {
        id: PortId(id),
        name: format!("p{id}"),
        key: 1,
        place: Place::Unbound,
        domain: 0,
        security: None,
        learning: false,
        localnet,
        router,
        enabled: true,
    }
}

/// A rule for UDP to a port, or for everything.
#[derive(Clone, Copy)]
struct Rule {
    tier: u8,
    udp: Option<u16>,
    action: AclAction,
}

const fn rule(tier: u8, udp: Option<u16>, action: AclAction) -> Rule {
    Rule { tier, udp, action }
}

/// A switch with these rules in both directions, in their order.
fn switch(rules: &[Rule], default_drop: bool) -> Switch {
    let acls: Box<[Acl]> = (0..)
        .zip(rules)
        .map(|(position, rule)| Acl {
            port_group: None,
            position,
            direction: AclDirection::FromLport,
            name: None,
            tier: rule.tier,
            priority: 1,
            matches: String::new(),
            action: rule.action,
            label: 0,
            log: None,
            hits: Hits::default(),
        })
        .collect();
    let list = || {
        let mut builder = Builder::new();
        for rule in rules {
            let conditions = rule.udp.map(|port| {
                let mut is = |field, value| Condition {
                    part: Part::whole(Subject::Header(field)),
                    sets: vec![builder.set(Ranges::of([Range::one(value)]))],
                    negated: false,
                };
                vec![is(Field::IpProto, 17), is(Field::UdpDst, port.into())]
            });
            builder.rule(&conditions.unwrap_or_default()).unwrap();
        }
        let indices = (0..rules.len() as u32).collect();
        AclList::new(builder.build().unwrap(), indices, &acls)
    };
    let stateful = rules.iter().any(|r| r.action == AclAction::AllowRelated);
    Switch {
        acls: Some(Arc::new(Acls {
            from_lport: list(),
            from_lport_after_lb: AclList::default(),
            to_lport: list(),
            rules: acls,
            stateful,
            default_drop,
            unmatched: Hits::default(),
        })),
        ..Switch::default()
    }
}

fn udp(to: u16) -> Headers {
    let ip = |last| std::net::IpAddr::from([10, 0, 0, last]);
    let frame = Frame::ethernet(MAC, OTHER).ip(ip(1), ip(2)).udp(1, to);
    parse(&frame.build()).unwrap()
}

fn ask(switch: &Switch, headers: &Headers) -> Decision {
    let vif = port(1, false, false);
    decide(switch, AclDirection::FromLport, Some(&vif), None, headers).unwrap()
}

fn outcome(decision: Decision) -> Result<bool, DropReason> {
    match admit(decision) {
        Continue(decision) => Ok(decision.tracked),
        Break(Verdict::Drop(reason)) => Err(reason),
        Break(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_switch_without_acls_is_not_asked() {
    let decision = decide(
        &Switch::default(),
        AclDirection::ToLport,
        None,
        None,
        &udp(53),
    );
    assert_eq!(decision, None);
}

#[test]
fn the_first_rule_decides_and_pass_asks_the_next_tier() {
    use AclAction::*;
    let any = None;
    let (dns, web) = (Some(53), Some(80));
    // Rules, what becomes of UDP to port 53, and by which rule.
    type Case<'c> = (&'c [Rule], bool, Result<bool, DropReason>, Option<u32>);
    let cases: [Case<'_>; 14] = [
        (
            &[rule(0, dns, Drop)],
            false,
            Err(DropReason::AclDrop),
            Some(0),
        ),
        (
            &[rule(0, dns, Reject)],
            false,
            Err(DropReason::AclReject),
            Some(0),
        ),
        (&[rule(0, dns, Allow)], true, Ok(false), Some(0)),
        (&[rule(0, web, Drop)], false, Ok(false), None),
        (
            &[rule(0, web, Allow)],
            true,
            Err(DropReason::AclDefault),
            None,
        ),
        // Plain allow tracks where some rule is allow-related, and so does the default.
        (&[rule(0, dns, AllowRelated)], false, Ok(true), Some(0)),
        (
            &[rule(0, dns, Allow), rule(0, web, AllowRelated)],
            false,
            Ok(true),
            Some(0),
        ),
        (&[rule(0, web, AllowRelated)], false, Ok(true), None),
        // Whatever allow-stateless is for is not tracked, also when another rule decides.
        (
            &[rule(0, dns, AllowRelated), rule(0, any, AllowStateless)],
            false,
            Ok(false),
            Some(0),
        ),
        (
            &[rule(0, dns, AllowRelated), rule(0, web, AllowStateless)],
            false,
            Ok(true),
            Some(0),
        ),
        (
            &[rule(0, dns, Drop), rule(0, any, AllowStateless)],
            false,
            Err(DropReason::AclDrop),
            Some(0),
        ),
        // Tiers.
        (
            &[rule(0, dns, Pass), rule(0, any, Allow), rule(1, any, Drop)],
            false,
            Err(DropReason::AclDrop),
            Some(2),
        ),
        (
            &[rule(0, dns, Pass), rule(2, dns, Pass), rule(3, dns, Pass)],
            true,
            Err(DropReason::AclDefault),
            None,
        ),
        (
            &[rule(0, web, Drop), rule(3, any, Allow)],
            true,
            Ok(false),
            Some(1),
        ),
    ];
    for (number, (rules, default_drop, expected, by)) in cases.into_iter().enumerate() {
        let decision = ask(&switch(rules, default_drop), &udp(53));
        assert_eq!(
            (outcome(decision), decision.acl),
            (expected, by),
            "case {number}"
        );
    }
}

#[test]
fn some_ports_and_groups_are_not_tracked() {
    let table = switch(&[rule(0, None, AclAction::AllowRelated)], false);
    let (vif, router, wire) = (
        port(1, false, false),
        port(2, true, false),
        port(3, false, true),
    );
    let headers = udp(53);
    let tracked = |direction, from, to, headers| {
        decide(&table, direction, Some(from), Some(to), headers)
            .unwrap()
            .tracked
    };
    use AclDirection::{FromLport, ToLport};
    assert!(tracked(FromLport, &vif, &router, &headers));
    assert!(!tracked(ToLport, &vif, &router, &headers));
    assert!(!tracked(FromLport, &router, &vif, &headers));
    assert!(tracked(ToLport, &router, &vif, &headers));
    assert!(!tracked(FromLport, &wire, &vif, &headers));
    assert!(!tracked(ToLport, &vif, &wire, &headers));
    let group = Headers {
        eth_dst: Mac::BROADCAST,
        ..headers
    };
    assert!(!tracked(FromLport, &vif, &vif, &group));
    let arp = Frame::ethernet(MAC, OTHER);
    let arp = arp.arp_request("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let arp = parse(&arp.build()).unwrap();
    assert!(!tracked(FromLport, &vif, &vif, &arp));
}

#[test]
fn discovery_and_listeners_always_pass() {
    let closed = switch(&[rule(0, None, AclAction::Drop)], true);
    let v6 = |src: &str, dst: &str, mac: Mac| {
        Frame::ethernet(MAC, mac).ip(src.parse().unwrap(), dst.parse().unwrap())
    };
    let all_nodes = Mac([0x33, 0x33, 0, 0, 0, 1]);
    let target = "fd00::9".parse().unwrap();
    let cases = [
        (
            v6("fd00::1", "fd00::9", OTHER).neighbor_solicit(target, None),
            true,
        ),
        (
            v6("fd00::9", "fd00::1", OTHER).neighbor_advert(target, None, 0),
            true,
        ),
        (
            v6("fe80::1", "ff02::2", all_nodes)
                .ttl(255)
                .icmp(133, 0, [0; 4]),
            true,
        ),
        (
            v6("fe80::1", "ff02::1", all_nodes).icmp(131, 0, [0; 4]),
            true,
        ),
        (
            v6("fd00::1", "ff02::1", all_nodes).icmp(131, 0, [0; 4]),
            false,
        ),
        (v6("fe80::1", "ff02::1", OTHER).icmp(131, 0, [0; 4]), false),
        (
            v6("fd00::1", "ff02::16", all_nodes).icmp(143, 0, [0; 4]),
            true,
        ),
        (
            v6("fd00::1", "ff02::1", all_nodes).icmp(143, 0, [0; 4]),
            false,
        ),
        (v6("fd00::1", "fd00::9", OTHER).icmp(128, 0, [0; 4]), false),
        (v6("fd00::1", "fd00::9", OTHER).udp(1, 53), false),
    ];
    for (number, (frame, passes)) in cases.into_iter().enumerate() {
        let headers = parse(&frame.build()).unwrap_or_else(|e| panic!("case {number}: {e}"));
        let vif = port(1, false, false);
        let asked = decide(&closed, AclDirection::FromLport, Some(&vif), None, &headers);
        assert_eq!(asked.is_none(), passes, "case {number}");
    }
}

#[test]
fn decisions_are_counted() {
    let table = switch(&[rule(0, Some(53), AclAction::Allow)], true);
    for port in [53, 53, 80] {
        let decision = ask(&table, &udp(port));
        table.acls.as_deref().unwrap().count(decision);
    }
    let acls = table.acls.unwrap();
    assert_eq!((acls.rules[0].hits.get(), acls.unmatched.get()), (2, 1));
}
