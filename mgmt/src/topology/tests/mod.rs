//! What a topology resolves to, and every rule of it broken once.

mod acl_rules;
mod router_rules;
mod switch_rules;

use std::sync::Arc;

use ipnet::IpNet;
use sluice_net::addr::Mac;
use sluice_net::ids::{PortKey, Vni};

use super::*;

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

fn vif(last: u8, ips: &[&str]) -> SwitchPort {
    SwitchPort {
        addresses: vec![PortAddress::Static {
            mac: mac(last),
            ips: ips.iter().map(|text| ip(text)).collect(),
        }],
        ..SwitchPort::default()
    }
}

fn to_router(router_port: &str) -> SwitchPort {
    SwitchPort {
        kind: SwitchPortKind::Router {
            router_port: router_port.to_owned(),
        },
        ..SwitchPort::default()
    }
}

fn localnet(network: &str, tag: Option<u16>) -> SwitchPort {
    SwitchPort {
        kind: SwitchPortKind::Localnet {
            network: network.to_owned(),
            tag,
        },
        ..SwitchPort::default()
    }
}

fn router_port(networks: &[&str]) -> RouterPort {
    RouterPort {
        networks: networks.iter().map(|text| net(text)).collect(),
        ..RouterPort::default()
    }
}

fn route(prefix: &str, nexthop: &str) -> Route {
    Route {
        prefix: net(prefix),
        nexthop: Nexthop::Ip(ip(nexthop)),
        output_port: None,
        policy: RoutePolicy::DstIp,
    }
}

fn snat(inside: &str, outside: &str) -> Nat {
    Nat::new(NatKind::Snat, ip(outside), net(inside))
}

/// Switch `in` with `vm`, router `r` with ports `r-in` and gateway port `r-out`, switch `out`.
fn network() -> Topology {
    let mut topology = Topology::default();
    for (name, address) in [("gw1", "172.16.0.1"), ("gw2", "172.16.0.2")] {
        let encap = Encap {
            kind: EncapKind::Geneve,
            ip: ip(address),
            port: None,
            port_keys: true,
            checksum: true,
        };
        topology.chassis.insert(
            name.to_owned(),
            Chassis {
                encaps: vec![encap],
            },
        );
    }
    let inside = topology.switches.entry("in".to_owned()).or_default();
    inside
        .ports
        .insert("vm".to_owned(), vif(1, &["10.0.0.9", "fd00::9"]));
    inside.ports.insert("in-r".to_owned(), to_router("r-in"));
    let outside = topology.switches.entry("out".to_owned()).or_default();
    outside
        .ports
        .insert("out-net".to_owned(), localnet("phys", None));
    outside.ports.insert("out-r".to_owned(), to_router("r-out"));
    let router = topology.routers.entry("r".to_owned()).or_default();
    router.ports.insert(
        "r-in".to_owned(),
        router_port(&["10.0.0.1/24", "fd00::1/64"]),
    );
    let mut gateway = router_port(&["203.0.113.2/24"]);
    gateway.gateway_chassis = [("gw1".to_owned(), 20), ("gw2".to_owned(), 10)].into();
    router.ports.insert("r-out".to_owned(), gateway);
    router.routes = Arc::new([route("0.0.0.0/0", "203.0.113.1")]);
    router.nat.push(snat("10.0.0.0/24", "203.0.113.2"));
    topology
}

fn vm(t: &mut Topology) -> &mut SwitchPort {
    t.switches
        .get_mut("in")
        .unwrap()
        .ports
        .get_mut("vm")
        .unwrap()
}

fn switch<'t>(t: &'t mut Topology, name: &str) -> &'t mut Switch {
    t.switches.entry(name.to_owned()).or_default()
}

fn r(t: &mut Topology) -> &mut Router {
    t.routers.get_mut("r").unwrap()
}

fn port<'t>(t: &'t mut Topology, name: &str) -> &'t mut RouterPort {
    r(t).ports.get_mut(name).unwrap()
}

fn add(t: &mut Topology, switch_name: &str, name: &str, body: SwitchPort) {
    switch(t, switch_name).ports.insert(name.to_owned(), body);
}

#[test]
fn the_unbroken_network_resolves() {
    let resolved = resolve(&network()).unwrap();
    let router = &resolved.routers["r"];
    let ports = &resolved.switches["in"].ports;
    assert_eq!(ports["vm"].addresses[0].mac, mac(1));
    assert!(!ports["vm"].unknown);
    assert!(resolved.switches["out"].ports["out-net"].unknown);
    assert_eq!(ports["in-r"].addresses[0].mac, router.ports["r-in"].mac);
    let keys = [router.ports["r-in"].key, router.ports["r-out"].key];
    let redirect = router.ports["r-out"].redirect_key.unwrap();
    assert!(keys[0] != keys[1] && !keys.contains(&redirect));
    assert_eq!(router.ports["r-in"].redirect_key, None);
    assert_ne!(resolved.switches["in"].key, resolved.switches["out"].key);
}

#[test]
fn declared_values_stay() {
    let mut topology = network();
    switch(&mut topology, "in").key = Vni::new(42);
    vm(&mut topology).key = PortKey::new(7);
    port(&mut topology, "r-out").redirect_key = PortKey::new(9);
    port(&mut topology, "r-in").mac = Some(mac(77));
    let resolved = resolve(&topology).unwrap();
    assert_eq!(resolved.switches["in"].key.get(), 42);
    assert_eq!(resolved.switches["in"].ports["vm"].key.get(), 7);
    let router = &resolved.routers["r"];
    assert_eq!(router.ports["r-out"].redirect_key.unwrap().get(), 9);
    assert_eq!(
        router.ports["r-in"].link_local,
        "fe80::ff:fe00:4d".parse::<std::net::Ipv6Addr>().unwrap()
    );
}

/// Adding others must not change what a name resolves to: nodes read the file at different times.
#[test]
fn derived_values_do_not_depend_on_the_others() {
    let before = resolve(&network()).unwrap();
    let mut topology = network();
    add(&mut topology, "aaa", "aaa-vm", vif(9, &[]));
    add(&mut topology, "in", "a-vm", vif(10, &[]));
    topology.routers.insert("aa".to_owned(), Router::default());
    let after = resolve(&topology).unwrap();
    assert_eq!(before.switches["out"], after.switches["out"]);
    assert_eq!(before.routers["r"], after.routers["r"]);
    assert_eq!(before.switches["in"].key, after.switches["in"].key);
    assert_eq!(
        before.switches["in"].ports["vm"],
        after.switches["in"].ports["vm"]
    );
}

/// What is broken, how, where it is reported, and a part of the message.
type Case = (&'static str, fn(&mut Topology), &'static str, &'static str);

/// Breaks the network in each way; the problem must be told, and at the right place.
fn check_cases(cases: &[Case]) {
    for (what, damage, place, message) in cases {
        let mut topology = network();
        damage(&mut topology);
        let problems = resolve(&topology).expect_err(what);
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let mut told = problems.iter();
        assert!(
            told.any(|p| p.place().to_string() == *place && p.message.contains(message)),
            "{what}: {all:#?}"
        );
    }
}

#[test]
fn what_is_allowed_stays_allowed() {
    let allowed: &[fn(&mut Topology)] = &[
        // The same MAC and address in another access VLAN is another station.
        |t| {
            add(
                t,
                "new",
                "a",
                SwitchPort {
                    vlan: Some(1),
                    ..vif(8, &["10.7.0.1"])
                },
            );
            add(
                t,
                "new",
                "b",
                SwitchPort {
                    vlan: Some(2),
                    ..vif(8, &["10.7.0.1"])
                },
            );
        },
        |t| add(t, "in", "x", vif(8, &["fe80::8"])),
        |t| add(t, "new", "x", localnet("phys", Some(7))),
        |t| vm(t).addresses.push(PortAddress::Unknown),
        |t| r(t).nat.push(snat("10.0.9.0/24", "203.0.113.2")),
        |t| {
            _ = port(t, "r-out")
                .gateway_chassis
                .insert("gw2".to_owned(), 20)
        },
        |t| {
            let off_link = route("10.5.0.0/16", "198.51.100.1");
            let with_port = Route {
                output_port: Some("r-out".to_owned()),
                ..off_link
            };
            let link_local = route("2001:db8::/32", "fe80::7");
            let through = Route {
                output_port: Some("r-in".to_owned()),
                ..link_local
            };
            let ecmp = [
                route("0.0.0.0/0", "203.0.113.1"),
                route("0.0.0.0/0", "203.0.113.9"),
            ];
            r(t).routes = [with_port, through].into_iter().chain(ecmp).collect();
        },
        |t| port(t, "r-in").networks.push(net("192.0.2.0/31")),
    ];
    for (index, change) in allowed.iter().enumerate() {
        let mut topology = network();
        change(&mut topology);
        if let Err(problems) = resolve(&topology) {
            panic!("{index}: {problems:#?}");
        }
    }
}

#[test]
fn all_problems_come_at_once_and_proposed_keys_differ() {
    let mut topology = Topology::default();
    for name in ["a", "b", "c", "d"] {
        switch(&mut topology, name).key = Vni::new(7);
    }
    let problems = resolve(&topology).unwrap_err();
    let mut mends: Vec<_> = problems.iter().map(|p| p.mend.clone().unwrap()).collect();
    assert_eq!(mends.len(), 3);
    mends.sort();
    mends.dedup();
    assert_eq!(mends.len(), 3, "{mends:?}");
}

#[test]
fn dynamic_addresses_spare_what_is_taken_and_follow_the_name() {
    let mut topology = Topology::default();
    let lan = switch(&mut topology, "lan");
    lan.subnet = Some(net("10.0.0.0/29"));
    lan.exclude_ips = vec![(ip("10.0.0.3"), ip("10.0.0.3"))];
    for name in ["a", "b"] {
        let dynamic = vec![PortAddress::Dynamic { mac: None }];
        add(
            &mut topology,
            "lan",
            name,
            SwitchPort {
                addresses: dynamic,
                ..SwitchPort::default()
            },
        );
    }
    add(&mut topology, "lan", "s", vif(1, &["10.0.0.4"]));
    add(&mut topology, "lan", "lan-r", to_router("r-lan"));
    let mut router = Router::default();
    router
        .ports
        .insert("r-lan".to_owned(), router_port(&["10.0.0.6/29"]));
    topology.routers.insert("r".to_owned(), router);
    let resolved = resolve(&topology).unwrap();
    let of = |name: &str| resolved.switches["lan"].ports[name].addresses[0].clone();
    let mut got = [of("a").ips[0], of("b").ips[0]];
    got.sort();
    assert_eq!(got, [ip("10.0.0.2"), ip("10.0.0.5")]);
    assert_ne!(of("a").mac, of("b").mac);
}
