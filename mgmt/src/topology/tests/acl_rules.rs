//! ACLs, port groups and address sets.

use super::super::expression::{Constant, Form};
use super::*;

fn acl(direction: AclDirection, matches: &str) -> Acl {
    Acl {
        direction,
        tier: 0,
        priority: 1,
        matches: matches.to_owned(),
        action: AclAction::Drop,
        name: None,
        label: None,
        log: None,
    }
}

fn to(matches: &str) -> Acl {
    acl(AclDirection::ToLport, matches)
}

fn group(t: &mut Topology, name: &str, ports: &[&str], acls: Vec<Acl>) {
    let group = PortGroup {
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        acls: acls.into(),
    };
    t.port_groups.insert(name.to_owned(), group);
}

fn rules(t: &mut Topology, acls: Vec<Acl>) {
    switch(t, "in").acls = acls.into();
}

fn set(t: &mut Topology, name: &str, addresses: &[&str]) {
    let addresses = addresses.iter().map(|text| Constant::read(text).unwrap());
    t.address_sets.insert(name.to_owned(), addresses.collect());
}

const CASES: &[Case] = &[
    (
        "name of a set",
        |t| set(t, "a-b", &[]),
        "address_set.a-b",
        "could not refer",
    ),
    (
        "name of a group",
        |t| group(t, "1a", &[], vec![]),
        "port_group.1a",
        "could not refer",
    ),
    (
        "generated set",
        |t| {
            group(t, "g", &["vm"], vec![]);
            set(t, "g_ip6", &[]);
        },
        "address_set.g_ip6",
        "addresses of port group `g`",
    ),
    (
        "kinds of addresses",
        |t| set(t, "s", &["10.0.0.1", "10.0.0.2", "02:00:00:00:00:01"]),
        "address_set.s.addresses[2]",
        "a MAC address among",
    ),
    (
        "unknown member",
        |t| group(t, "g", &["vm", "vn"], vec![]),
        "port_group.g.ports[1]",
        "no port `vn`",
    ),
    (
        "router's port as a member",
        |t| group(t, "g", &["r-in"], vec![]),
        "port_group.g.ports[0]",
        "a port of router `r`",
    ),
    (
        "port to a router as a member",
        |t| group(t, "g", &["in-r"], vec![]),
        "port_group.g.ports[0]",
        "in no group",
    ),
    (
        "member twice",
        |t| group(t, "g", &["vm", "vm"], vec![]),
        "port_group.g.ports[1]",
        "twice",
    ),
    (
        "match",
        |t| rules(t, vec![to("ip4"), to("ip4 &&")]),
        "switch.in.acl.match[1]",
        "a condition expected",
    ),
    (
        "match of a group",
        |t| group(t, "g", &["vm"], vec![to("ip4.src == $none")]),
        "port_group.g.acl.match[0]",
        "no address set `none`",
    ),
    (
        "port of another switch",
        |t| {
            add(t, "new", "x", vif(9, &[]));
            rules(t, vec![to("outport == \"x\"")]);
        },
        "switch.in.acl.match[0]",
        "is in switch `new`",
    ),
    (
        "port of a router",
        |t| rules(t, vec![to("outport == \"r-in\"")]),
        "switch.in.acl.match[0]",
        "is a port of router `r`",
    ),
    (
        "port to a router",
        |t| rules(t, vec![to("outport == \"in-r\"")]),
        "switch.in.acl.match[0]",
        "of type router",
    ),
    (
        "port outside the group's switches",
        |t| {
            add(t, "new", "x", vif(9, &[]));
            group(t, "g", &["vm"], vec![to("outport == \"x\"")]);
        },
        "port_group.g.acl.match[0]",
        "where group `g` has no port",
    ),
    (
        "outport where a packet comes from",
        |t| rules(t, vec![acl(AclDirection::FromLport, "outport == \"vm\"")]),
        "switch.in.acl.match[0]",
        "to-lport only",
    ),
    (
        "the same match",
        |t| rules(t, vec![to("ip4"), to("ip4")]),
        "switch.in.acl.match[1]",
        "has the same match",
    ),
    (
        "label of a drop",
        |t| {
            let labelled = Acl {
                label: Some(7),
                ..to("ip4")
            };
            rules(t, vec![labelled]);
        },
        "switch.in.acl.label[0]",
        "action drop opens no connection",
    ),
];

#[test]
fn every_rule_is_kept() {
    check_cases(CASES);
}

#[test]
fn groups_are_sorted_by_switch_and_bring_their_addresses() {
    let mut topology = network();
    add(&mut topology, "in", "b", vif(3, &["10.0.0.7"]));
    add(&mut topology, "new", "a", vif(4, &["10.9.0.1"]));
    group(
        &mut topology,
        "g",
        &["vm", "a", "b"],
        vec![to("outport == @g")],
    );
    rules(
        &mut topology,
        vec![to("ip4.src == $g_ip4 || ip6.src == $g_ip6")],
    );
    let resolved = resolve(&topology).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let group = &resolved.port_groups["g"];
    assert_eq!(group.ports["in"], ["b", "vm"]);
    assert_eq!(group.ports["new"], ["a"]);
    assert_eq!(group.acls.len(), 1);
    assert_eq!(resolved.switches["in"].acls.len(), 1);
    let texts = |name: &str| -> Vec<String> {
        let addresses = resolved.address_sets[name].iter();
        addresses.map(ToString::to_string).collect()
    };
    assert_eq!(texts("g_ip4"), ["10.0.0.7", "10.0.0.9", "10.9.0.1"]);
    assert_eq!(texts("g_ip6"), ["fd00::9"]);
    assert_eq!(resolved.address_sets["g_ip6"][0].form, Form::Ipv6);
}

#[test]
fn where_in_the_match_it_is() {
    let mut topology = network();
    rules(&mut topology, vec![to("ip4 &&\n ipp.ttl == 3")]);
    let problems = resolve(&topology).unwrap_err();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "switch.in.acl.match[0], line 2 column 2: `match`: there is no field `ipp.ttl` (did you mean `ip.ttl`?)"
        ]
    );
}

#[test]
fn everything_counts_for_the_digest() {
    let digest = |change: &dyn Fn(&mut Topology)| {
        let mut topology = network();
        set(&mut topology, "s", &["10.0.0.1"]);
        group(&mut topology, "g", &["vm"], vec![to("outport == @g")]);
        rules(&mut topology, vec![to("ip4.src == $s")]);
        change(&mut topology);
        resolve(&topology).unwrap().digest()
    };
    let same = digest(&|_| {});
    let changes: [&dyn Fn(&mut Topology); 9] = [
        &|t| t.default_acl_drop = true,
        &|t| set(t, "s", &["10.0.0.2"]),
        &|t| set(t, "s", &["10.0.0.1/32"]),
        &|t| group(t, "g", &["vm"], vec![to("outport == @g && ip")]),
        &|t| group(t, "g", &[], vec![to("outport == @g")]),
        &|t| rules(t, vec![]),
        &|t| rules(t, vec![acl(AclDirection::FromLport, "ip4.src == $s")]),
        &|t| {
            let action = AclAction::Reject;
            rules(
                t,
                vec![Acl {
                    action,
                    ..to("ip4.src == $s")
                }],
            );
        },
        &|t| {
            let log = Some(AclLog::default());
            rules(
                t,
                vec![Acl {
                    log,
                    ..to("ip4.src == $s")
                }],
            );
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        assert_ne!(digest(*change), same, "{index}");
    }
}
