//! Rules of routers, their ports, routes, translation and neighbors.

use super::*;

const CASES: &[Case] = &[
    (
        "long name",
        |t| _ = t.routers.insert("x".repeat(64), Router::default()),
        LONG_ROUTER,
        "at most 63",
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
        "zero router MAC",
        |t| port(t, "r-in").mac = Some(Mac::ZERO),
        "router.r.port.r-in.mac",
        "nobody's MAC",
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
        "dnat to a network",
        |t| r(t).nat[0].kind = NatKind::Dnat,
        "router.r.nat.logical_ip[0]",
        "type dnat has one address inside",
    ),
    (
        "one address outside for two inside",
        |t| {
            for inside in ["10.0.0.8/32", "10.0.0.9/32"] {
                r(t).nat.push(floating(inside, "203.0.113.9"));
            }
        },
        "router.r.nat.external_ip[2]",
        "leads to two addresses",
    ),
    (
        "a distributed floating IP",
        |t| {
            let mut nat = floating("10.0.0.9/32", "203.0.113.9");
            nat.logical_port = Some("vm".to_owned());
            r(t).nat.push(nat);
        },
        "router.r.nat.logical_port[1]",
        "only with external_mac",
    ),
    (
        "stateless snat",
        |t| r(t).nat[0].stateless = true,
        "router.r.nat.stateless[0]",
        "cannot be stateless",
    ),
    (
        "ports that do not change",
        |t| {
            let mut nat = floating("10.0.0.9/32", "203.0.113.9");
            nat.stateless = true;
            nat.external_port_range = Some((1, 2));
            r(t).nat.push(nat);
        },
        "router.r.nat.external_port_range[1]",
        "no port changes",
    ),
    (
        "allowed and exempted",
        |t| {
            r(t).nat[0].allowed_ext_ips = vec![net("9.9.9.0/24")];
            r(t).nat[0].exempted_ext_ips = vec![net("8.8.8.0/24")];
        },
        "router.r.nat.exempted_ext_ips[0]",
        "either allowed_ext_ips or",
    ),
    (
        "exempted of another family",
        |t| r(t).nat[0].exempted_ext_ips = vec![net("fd00::/8")],
        "router.r.nat.exempted_ext_ips[0]",
        "not of the family",
    ),
    (
        "allowed with host bits",
        |t| r(t).nat[0].allowed_ext_ips = vec![net("9.9.9.9/24")],
        "router.r.nat.allowed_ext_ips[0]",
        "host bits",
    ),
    (
        "a gateway port that is none",
        |t| r(t).nat[0].gateway_port = Some("r-in".to_owned()),
        "router.r.nat.gateway_port[0]",
        "no gateway port `r-in`",
    ),
    (
        "nat from IPv6 to IPv4",
        |t| r(t).nat.push(snat("fd00::/64", "203.0.113.2")),
        "router.r.nat.logical_ip[1]",
        "fd00::/64 is of IPv6, 203.0.113.2 of IPv4",
    ),
    (
        "nat from IPv4 to IPv6",
        |t| r(t).nat.push(snat("10.9.0.0/24", "2001:db8::2")),
        "router.r.nat.logical_ip[1]",
        "10.9.0.0/24 is of IPv4, 2001:db8::2 of IPv6",
    ),
    (
        "nat to an address of one link",
        |t| r(t).nat.push(snat("fd00::/64", "fe80::2")),
        "router.r.nat.external_ip[1]",
        "fe80::2 is of one link",
    ),
    (
        "allowed addresses of another family",
        |t| r(t).nat[0].allowed_ext_ips = vec![net("2001:db8::/32")],
        "router.r.nat.allowed_ext_ips[0]",
        "2001:db8::/32 is not of the family of 203.0.113.2",
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
        "a virtual IP that is another's address",
        |t| {
            balancer(t, "203.0.113.7:80");
            add(t, "out", "x", vif(7, &["203.0.113.7"]));
        },
        "router.r.load_balancers[0]",
        "address of port `x`",
    ),
    (
        "a virtual IP that is another router's",
        |t| {
            balancer(t, "203.0.113.7:80");
            second_router(t);
        },
        "router.r.load_balancers[0]",
        "routers `r2` and `r` both have 203.0.113.7",
    ),
    (
        "a virtual IP among its own backends",
        |t| {
            balancer(t, "203.0.113.7:80");
            let vips = &mut t.load_balancers.get_mut("lb").unwrap().vips;
            *vips.values_mut().next().unwrap() = vec!["203.0.113.7:81".parse().unwrap()];
        },
        "load_balancer.lb.vips.203.0.113.7:80[0]",
        "is the virtual IP itself",
    ),
    (
        "a virtual IP that a rule wants",
        |t| {
            balancer(t, "203.0.113.7");
            let vips = &mut t.load_balancers.get_mut("lb").unwrap().vips;
            *vips.values_mut().next().unwrap() = vec!["10.0.0.9".parse().unwrap()];
            r(t).nat.push(floating("10.0.0.9/32", "203.0.113.7"));
        },
        "router.r.load_balancers[0]",
        "takes all packets to 203.0.113.7",
    ),
    (
        "a forced source of one link",
        |t| r(t).lb_force_snat_ip = "10.0.0.9 fe80::9".parse().unwrap(),
        "router.r.lb_force_snat_ip",
        "fe80::9 is of one link",
    ),
    (
        "filtering without mapping",
        |t| r(t).nat[0].filtering = NatFiltering::EndpointIndependent,
        "router.r.nat.filtering[0]",
        "lets in that remote end alone",
    ),
    (
        "mapping of a floating IP",
        |t| {
            r(t).nat.push(floating("10.0.0.9/32", "203.0.113.7"));
            independent(t, 1);
        },
        "router.r.nat.mapping[1]",
        "dnat_and_snat does not choose ports",
    ),
    (
        "parity of a rule of destinations",
        |t| {
            r(t).nat.push(Nat {
                port_parity: true,
                ..Nat::new(NatKind::Dnat, ip("203.0.113.7"), net("10.0.0.9/32"))
            });
        },
        "router.r.nat.port_parity[1]",
        "dnat does not choose ports",
    ),
    (
        "two ways to map one address",
        |t| {
            let external = r(t).nat[0].external_ip;
            r(t).nat.push(snat("10.0.7.0/24", &external.to_string()));
            independent(t, 0);
        },
        "router.r.nat.external_ip[0]",
        "mapped in two ways",
    ),
    (
        "mapping at an address that leads elsewhere",
        |t| {
            let external = r(t).nat[0].external_ip;
            r(t).nat
                .push(floating("10.0.0.9/32", &external.to_string()));
            independent(t, 0);
        },
        "router.r.nat.external_ip[0]",
        "go to 10.0.0.9",
    ),
    (
        "mapping at the address of balanced sources",
        |t| {
            r(t).lb_force_snat_ip = r(t).nat[0].external_ip.to_string().parse().unwrap();
            independent(t, 0);
        },
        "router.r.lb_force_snat_ip",
        "mapped in two ways",
    ),
    (
        "mapping at a virtual IP",
        |t| {
            let external = r(t).nat[0].external_ip.to_string();
            balancer(t, &external);
            let vips = &mut t.load_balancers.get_mut("lb").unwrap().vips;
            *vips.values_mut().next().unwrap() = vec!["10.0.0.9".parse().unwrap()];
            independent(t, 0);
        },
        "router.r.nat.external_ip[0]",
        "`lb` takes all packets",
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

/// A load balancer of the router.
fn balancer(t: &mut Topology, vip: &str) {
    let mut balancer = LoadBalancer::default();
    let backend = "10.0.0.9:80".parse().unwrap();
    balancer.vips.insert(vip.parse().unwrap(), vec![backend]);
    t.load_balancers.insert("lb".to_owned(), balancer);
    r(t).load_balancers.push("lb".to_owned());
}

/// The rule maps whatever the remote end.
fn independent(t: &mut Topology, rule: usize) {
    r(t).nat[rule].mapping = NatMapping::EndpointIndependent;
}

fn floating(inside: &str, outside: &str) -> Nat {
    Nat::new(NatKind::DnatAndSnat, ip(outside), net(inside))
}

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
    check_cases(CASES);
}
