//! Every rule of a topology, broken once.

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
    Nat {
        kind: NatKind::Snat,
        external_ip: ip(outside),
        logical_ip: net(inside),
    }
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

type Case = (&'static str, fn(&mut Topology), &'static str, &'static str);

/// What is broken, how, where it is reported, and a part of the message.
const CASES: &[Case] = &[
    (
        "no encap",
        |t| t.chassis.get_mut("gw1").unwrap().encaps.clear(),
        "chassis.gw1",
        "has no encap",
    ),
    (
        "same encap ip",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].ip = ip("172.16.0.1"),
        "chassis.gw2.encap.ip[0]",
        "same geneve address",
    ),
    (
        "encap multicast",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].ip = ip("224.0.0.1"),
        "chassis.gw2.encap.ip[0]",
        "not the address of one node",
    ),
    (
        "encap port 0",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].port = Some(0),
        "chassis.gw2.encap.port[0]",
        "port 0",
    ),
    (
        "vxlan port keys",
        |t| t.chassis.get_mut("gw2").unwrap().encaps[0].kind = EncapKind::Vxlan,
        "chassis.gw2.encap.port_keys[0]",
        "no room",
    ),
    (
        "empty name",
        |t| _ = t.switches.insert(String::new(), Switch::default()),
        "switch.",
        "empty",
    ),
    (
        "slash in a name",
        |t| add(t, "in", "a/b", vif(3, &[])),
        "switch.in.port.a/b",
        "may not contain '/'",
    ),
    (
        "long name",
        |t| _ = t.routers.insert("x".repeat(64), Router::default()),
        LONG_ROUTER,
        "at most 63",
    ),
    (
        "key 0",
        |t| switch(t, "in").key = Vni::new(0),
        "switch.in.key",
        "outside 1 to 16777215",
    ),
    (
        "switch and router key",
        |t| {
            switch(t, "in").key = Vni::new(5);
            r(t).key = Vni::new(5);
        },
        "router.r.key",
        "switch `in`",
    ),
    (
        "port and redirect key",
        |t| {
            port(t, "r-in").key = PortKey::new(5);
            port(t, "r-out").redirect_key = PortKey::new(5);
        },
        "router.r.port.r-out.redirect_key",
        "same key 5",
    ),
    (
        "port name twice",
        |t| add(t, "out", "vm", vif(3, &[])),
        "switch.out.port.vm",
        "also declared on switch `in`",
    ),
    (
        "port name of switch and router",
        |t| add(t, "in", "r-in", vif(3, &[])),
        "switch.in.port.r-in",
        "also declared on router `r`",
    ),
    (
        "chassisredirect name",
        |t| add(t, "in", "cr-r-out", vif(3, &[])),
        "switch.in.port.cr-r-out",
        "chassisredirect port of `r-out`",
    ),
    (
        "no such router port",
        |t| add(t, "in", "x", to_router("r-inn")),
        "switch.in.port.x.router_port",
        "no router port `r-inn`",
    ),
    (
        "a switch port as router port",
        |t| add(t, "in", "x", to_router("vm")),
        "switch.in.port.x.router_port",
        "no router port `vm`",
    ),
    (
        "attached twice",
        |t| add(t, "out", "x", to_router("r-in")),
        "switch.out.port.x.router_port",
        "already attached",
    ),
    (
        "attached and peered",
        |t| port(t, "r-in").peer = Some("r-out".to_owned()),
        "switch.in.port.in-r.router_port",
        "already linked",
    ),
    (
        "peer is itself",
        |t| port(t, "r-in").peer = Some("r-in".to_owned()),
        "router.r.port.r-in.peer",
        "its own peer",
    ),
    (
        "peer is a switch port",
        |t| port(t, "r-in").peer = Some("vm".to_owned()),
        "router.r.port.r-in.peer",
        "no router port `vm`",
    ),
    (
        "peer is one-sided",
        |t| port(t, "r-in").peer = Some("r-out".to_owned()),
        "router.r.port.r-in.peer",
        "does not name `r-in`",
    ),
    (
        "vif chassis",
        |t| vm(t).chassis = Some("gw3".to_owned()),
        "switch.in.port.vm.chassis",
        "no chassis `gw3`",
    ),
    (
        "localnet chassis",
        |t| switch(t, "out").ports.get_mut("out-net").unwrap().chassis = Some("gw1".to_owned()),
        "switch.out.port.out-net.chassis",
        "only a VIF",
    ),
    (
        "router chassis",
        |t| r(t).chassis = Some("gw3".to_owned()),
        "router.r.chassis",
        "no chassis `gw3`",
    ),
    (
        "gateway chassis",
        |t| _ = port(t, "r-out").gateway_chassis.insert("gw3".to_owned(), 1),
        "router.r.port.r-out.gateway_chassis.gw3",
        "no chassis `gw3`",
    ),
    (
        "gateway priority",
        |t| {
            _ = port(t, "r-out")
                .gateway_chassis
                .insert("gw1".to_owned(), 32768)
        },
        "router.r.port.r-out.gateway_chassis.gw1",
        "above 32767",
    ),
    (
        "gateway port on a gateway router",
        |t| r(t).chassis = Some("gw1".to_owned()),
        "router.r.port.r-out.gateway_chassis",
        "lives wholly on",
    ),
    (
        "redirect key without gateways",
        |t| port(t, "r-in").redirect_key = PortKey::new(3),
        "router.r.port.r-in.redirect_key",
        "only a port with gateway_chassis",
    ),
    (
        "router address on a vif",
        |t| vm(t).addresses.push(PortAddress::Router),
        "switch.in.port.vm.addresses[1]",
        "port of type router",
    ),
    (
        "addresses on a router port",
        |t| {
            switch(t, "in")
                .ports
                .get_mut("in-r")
                .unwrap()
                .addresses
                .push(PortAddress::Unknown)
        },
        "switch.in.port.in-r.addresses[0]",
        "addresses of its router port",
    ),
    (
        "addresses on a localnet",
        |t| {
            switch(t, "out")
                .ports
                .get_mut("out-net")
                .unwrap()
                .addresses
                .push(PortAddress::Router)
        },
        "switch.out.port.out-net.addresses[0]",
        "always unknown",
    ),
    (
        "port security on a localnet",
        |t| {
            switch(t, "out")
                .ports
                .get_mut("out-net")
                .unwrap()
                .port_security
                .push(AddressSet {
                    mac: mac(1),
                    ips: vec![],
                })
        },
        "switch.out.port.out-net.port_security",
        "only a VIF",
    ),
    (
        "vlan on a router port",
        |t| switch(t, "in").ports.get_mut("in-r").unwrap().vlan = Some(3),
        "switch.in.port.in-r.vlan",
        "only a VIF",
    ),
    (
        "vlan 4095",
        |t| vm(t).vlan = Some(4095),
        "switch.in.port.vm.vlan",
        "4095 is not a VLAN",
    ),
    (
        "tag 0",
        |t| add(t, "in", "x", localnet("p", Some(0))),
        "switch.in.port.x.tag",
        "0 is not a VLAN",
    ),
    (
        "same localnet",
        |t| add(t, "in", "x", localnet("phys", None)),
        "switch.out.port.out-net.network",
        "both stand for network `phys`",
    ),
    (
        "multicast MAC",
        |t| {
            vm(t).addresses[0] = PortAddress::Static {
                mac: Mac([1, 0, 0, 0, 0, 1]),
                ips: vec![],
            }
        },
        "switch.in.port.vm.addresses[0]",
        "multicast MAC",
    ),
    (
        "zero router MAC",
        |t| port(t, "r-in").mac = Some(Mac::ZERO),
        "router.r.port.r-in.mac",
        "nobody's MAC",
    ),
    (
        "MAC in port security",
        |t| {
            vm(t).port_security.push(AddressSet {
                mac: Mac::BROADCAST,
                ips: vec![],
            })
        },
        "switch.in.port.vm.port_security[0]",
        "multicast MAC",
    ),
    (
        "MAC twice",
        |t| add(t, "in", "x", vif(1, &[])),
        "switch.in.port.x.addresses[0]",
        "already that of port `vm`",
    ),
    (
        "MAC twice on a port",
        |t| {
            vm(t).addresses.push(PortAddress::Static {
                mac: mac(1),
                ips: vec![],
            })
        },
        "switch.in.port.vm.addresses[1]",
        "given twice",
    ),
    (
        "router's MAC",
        |t| port(t, "r-in").mac = Some(mac(1)),
        "switch.in.port.vm.addresses[0]",
        "already that of port `in-r`",
    ),
    (
        "address twice",
        |t| add(t, "in", "x", vif(3, &["10.0.0.9"])),
        "switch.in.port.x.addresses[0]",
        "10.0.0.9 is already that of port `vm`",
    ),
    (
        "router's address",
        |t| add(t, "in", "x", vif(3, &["10.0.0.1"])),
        "switch.in.port.x.addresses[0]",
        "already that of port `in-r`",
    ),
    (
        "foreign address",
        |t| add(t, "in", "x", vif(3, &["10.0.1.9"])),
        "switch.in.port.x.addresses[0]",
        "in no network of a router",
    ),
    (
        "multicast address",
        |t| add(t, "new", "x", vif(3, &["ff02::1"])),
        "switch.new.port.x.addresses[0]",
        "multicast address",
    ),
    (
        "loopback address",
        |t| add(t, "new", "x", vif(3, &["127.0.0.1"])),
        "switch.new.port.x.addresses[0]",
        "loopback",
    ),
    (
        "dynamic without subnet",
        |t| vm(t).addresses = vec![PortAddress::Dynamic { mac: None }],
        "switch.in.port.vm.addresses[0]",
        "has no subnet",
    ),
    (
        "two dynamic",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            vm(t).addresses = vec![
                PortAddress::Dynamic { mac: Some(mac(1)) },
                PortAddress::Dynamic { mac: None },
            ];
        },
        "switch.in.port.vm.addresses[1]",
        "at most one dynamic",
    ),
    (
        "subnet host bits",
        |t| switch(t, "in").subnet = Some(net("10.0.0.1/24")),
        "switch.in.subnet",
        "host bits",
    ),
    (
        "exclude without subnet",
        |t| {
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.2"), ip("10.0.0.2")))
        },
        "switch.in.exclude_ips[0]",
        "without a subnet",
    ),
    (
        "exclude outside",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.2"), ip("10.0.1.2")));
        },
        "switch.in.exclude_ips[0]",
        "not inside",
    ),
    (
        "exclude backwards",
        |t| {
            switch(t, "in").subnet = Some(net("10.0.0.0/24"));
            switch(t, "in")
                .exclude_ips
                .push((ip("10.0.0.3"), ip("10.0.0.2")));
        },
        "switch.in.exclude_ips[0]",
        "ends before it begins",
    ),
    (
        "no networks",
        |t| port(t, "r-in").networks.clear(),
        "router.r.port.r-in.networks",
        "needs an address",
    ),
    (
        "network address",
        |t| port(t, "r-out").networks[0] = net("203.0.113.0/24"),
        "router.r.port.r-out.networks[0]",
        "network address",
    ),
    (
        "broadcast address",
        |t| port(t, "r-out").networks[0] = net("203.0.113.255/24"),
        "router.r.port.r-out.networks[0]",
        "broadcast address",
    ),
    (
        "overlap",
        |t| port(t, "r-out").networks.push(net("10.0.0.128/25")),
        "router.r.port.r-out.networks[1]",
        "overlaps 10.0.0.0/24",
    ),
    (
        "overlap with an outer one",
        |t| {
            port(t, "r-out")
                .networks
                .extend([net("10.0.0.2/30"), net("10.0.0.9/30")])
        },
        "router.r.port.r-out.networks[2]",
        "overlaps 10.0.0.0/24",
    ),
    (
        "same network",
        |t| port(t, "r-out").networks.push(net("fd00::2/64")),
        "router.r.port.r-out.networks[1]",
        "overlaps fd00::/64",
    ),
    (
        "small IPv6 MTU",
        |t| port(t, "r-in").gateway_mtu = Some(1279),
        "router.r.port.r-in.gateway_mtu",
        "1280",
    ),
    (
        "route host bits",
        |t| r(t).routes = Arc::new([route("10.5.0.1/16", "10.0.0.7")]),
        "router.r.route.ip_prefix[0]",
        "host bits",
    ),
    (
        "route twice",
        |t| {
            r(t).routes = Arc::new([
                route("10.5.0.0/16", "10.0.0.7"),
                route("10.5.0.0/16", "10.0.0.7"),
            ])
        },
        "router.r.route.ip_prefix[1]",
        "there twice",
    ),
    (
        "route off link",
        |t| r(t).routes = Arc::new([route("10.5.0.0/16", "10.0.1.0")]),
        "router.r.route.nexthop[0]",
        "in no connected network",
    ),
    (
        "route to itself",
        |t| r(t).routes = Arc::new([route("10.5.0.0/16", "10.0.0.1")]),
        "router.r.route.nexthop[0]",
        "of router `r` itself",
    ),
    (
        "route to multicast",
        |t| r(t).routes = Arc::new([route("10.5.0.0/16", "224.0.0.5")]),
        "router.r.route.nexthop[0]",
        "not a host's",
    ),
    (
        "route of mixed families",
        |t| r(t).routes = Arc::new([route("10.5.0.0/16", "fd00::7")]),
        "router.r.route.nexthop[0]",
        "not of the family",
    ),
    (
        "route link-local",
        |t| r(t).routes = Arc::new([route("2001:db8::/32", "fe80::7")]),
        "router.r.route.nexthop[0]",
        "any link",
    ),
    (
        "route port",
        |t| {
            r(t).routes = Arc::new([Route {
                output_port: Some("r-inn".to_owned()),
                ..route("10.5.0.0/16", "10.0.0.7")
            }])
        },
        "router.r.route.output_port[0]",
        "no port `r-inn`",
    ),
    (
        "discard with a port",
        |t| {
            r(t).routes = Arc::new([Route {
                output_port: Some("r-in".to_owned()),
                nexthop: Nexthop::Discard,
                ..route("10.5.0.0/16", "10.0.0.7")
            }])
        },
        "router.r.route.output_port[0]",
        "leaves by no port",
    ),
    (
        "neighbor port",
        |t| {
            r(t).neighbors.push(StaticNeighbor {
                port: "x".to_owned(),
                ip: ip("10.0.0.8"),
                mac: mac(8),
            })
        },
        "router.r.neighbor.port[0]",
        "no port `x`",
    ),
    (
        "neighbor outside",
        |t| {
            r(t).neighbors.push(StaticNeighbor {
                port: "r-in".to_owned(),
                ip: ip("10.0.1.8"),
                mac: mac(8),
            })
        },
        "router.r.neighbor.ip[0]",
        "in no network",
    ),
    (
        "neighbor is itself",
        |t| {
            r(t).neighbors.push(StaticNeighbor {
                port: "r-in".to_owned(),
                ip: ip("10.0.0.1"),
                mac: mac(8),
            })
        },
        "router.r.neighbor.ip[0]",
        "own address",
    ),
    (
        "neighbor twice",
        |t| {
            r(t).neighbors = vec![
                StaticNeighbor {
                    port: "r-in".to_owned(),
                    ip: ip("10.0.0.8"),
                    mac: mac(8)
                };
                2
            ]
        },
        "router.r.neighbor.ip[1]",
        "given twice",
    ),
    (
        "nat nowhere",
        |t| port(t, "r-out").gateway_chassis.clear(),
        "router.r.nat.type[0]",
        "no chassis where",
    ),
    (
        "dnat",
        |t| r(t).nat[0].kind = NatKind::Dnat,
        "router.r.nat.type[0]",
        "nat type dnat is not supported",
    ),
    (
        "nat of IPv6",
        |t| r(t).nat.push(snat("fd00::/64", "203.0.113.2")),
        "router.r.nat.logical_ip[1]",
        "IPv6 is not supported",
    ),
    (
        "nat host bits",
        |t| r(t).nat[0].logical_ip = net("10.0.0.1/24"),
        "router.r.nat.logical_ip[0]",
        "host bits",
    ),
    (
        "nat twice",
        |t| r(t).nat.push(snat("10.0.0.0/24", "203.0.113.3")),
        "router.r.nat.logical_ip[1]",
        "translated twice",
    ),
    (
        "nat to another's address",
        |t| {
            r(t).nat[0].external_ip = ip("203.0.113.7");
            add(t, "out", "x", vif(7, &["203.0.113.7"]));
        },
        "router.r.nat.external_ip[0]",
        "address of port `x`",
    ),
    (
        "nat of two routers",
        |t| {
            r(t).nat[0].external_ip = ip("203.0.113.7");
            second_router(t);
        },
        "router.r2.nat.external_ip[0]",
        "both translate to 203.0.113.7",
    ),
    (
        "nat between gateway ports",
        |t| {
            port(t, "r-in").gateway_chassis = [("gw1".to_owned(), 1)].into();
            r(t).nat[0].external_ip = ip("198.51.100.1");
        },
        "router.r.nat.external_ip[0]",
        "several gateway ports",
    ),
];

const LONG_ROUTER: &str = "router.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// A gateway router on the same outer switch.
fn second_router(t: &mut Topology) {
    let mut router = Router {
        chassis: Some("gw2".to_owned()),
        nat: vec![snat("10.8.0.0/24", "203.0.113.7")],
        ..Router::default()
    };
    router
        .ports
        .insert("r2-out".to_owned(), router_port(&["203.0.113.3/24"]));
    t.routers.insert("r2".to_owned(), router);
    add(t, "out", "out-r2", to_router("r2-out"));
}

#[test]
fn every_rule_is_kept() {
    for (what, damage, place, message) in CASES {
        let mut topology = network();
        damage(&mut topology);
        let problems = resolve(&topology).expect_err(what);
        let hit = |problem: &&Problem| {
            problem.place().to_string() == *place && problem.message.contains(message)
        };
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            problems.iter().any(|problem| hit(&problem)),
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
