//! The reference networks, node by node.

use sluice_fastpath::tables::{EncapKind, Local, Peer, Remotes, Snat, SnatKind, Tunnel};

use super::{build, ip, mac, net, reference, reference_tables, strings};

fn words<const N: usize>(pairs: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
    pairs.map(|(name, place)| (name, place.to_owned())).into()
}

#[track_caller]
fn assert_places<const N: usize>(
    built: &super::Built,
    switch: &str,
    expected: [(&'static str, &str); N],
) {
    let places: Vec<_> = built.places(switch).into_iter().collect();
    assert_eq!(places, words(expected));
}

/// The tables of a node whose underlay carries only 1500 bytes.
fn on_a_small_underlay(network: &str, name: &str) -> super::Built {
    let (resolved, mut view) = reference(network, name);
    if let Some(underlay) = &mut view.underlay {
        underlay.mtu = 1500;
    }
    build(&resolved, &view)
}

#[test]
fn every_node_of_every_network_compiles_without_a_warning() {
    let nodes = [
        ("n0", "gw1"),
        ("n0", "gw2"),
        ("n0", "hv1"),
        ("n0", "hv2"),
        ("n1", "node1"),
        ("n1", "node2"),
        ("n1", "node3"),
        ("n2", "gw1"),
        ("n2", "gw2"),
        ("n2", "gw3"),
        ("n2", "hv1"),
        ("n3", "node1"),
        ("n3", "node2"),
        ("n3", "node1-peer"),
    ];
    for (network, name) in nodes {
        let built = reference_tables(network, name);
        assert_eq!(built.warnings, Vec::<String>::new(), "{network} {name}");
    }
}

#[test]
fn keys_are_the_topologys_on_every_node() {
    for name in ["gw1", "gw2", "hv1", "hv2"] {
        let (resolved, _) = reference("n0", name);
        let built = reference_tables("n0", name);
        for piece in built.pieces() {
            let (key, ports) = match resolved.switches.get(&piece.name) {
                Some(switch) => {
                    let ports = switch
                        .ports
                        .iter()
                        .map(|(name, port)| (name.clone(), port.key.get()));
                    (switch.key, ports.collect::<Vec<_>>())
                }
                None => {
                    let router = &resolved.routers[&piece.name];
                    let ports = router
                        .ports
                        .iter()
                        .map(|(name, port)| (name.clone(), port.key.get()));
                    (router.key, ports.collect())
                }
            };
            assert_eq!(piece.vni, key);
            assert_eq!(built.tables.by_vni.get(&key), Some(&piece.id));
            for (port, key) in ports {
                let by_key = match built.tables.switch(piece.id) {
                    Some((_, switch)) => &switch.ports[usize::from(switch.by_key[&key])].name,
                    None => {
                        let router = built.tables.router(piece.id).unwrap().1;
                        assert!(!router.by_key[&key].redirect);
                        &router.ports[usize::from(router.by_key[&key].port)].name
                    }
                };
                assert_eq!(*by_key, port);
            }
        }
    }
}

#[test]
fn n0_a_gateway() {
    let built = reference_tables("n0", "gw1");
    assert_eq!(built.names(), ["R1", "ext", "sw1", "sw2"]);
    assert_places(
        &built,
        "sw1",
        [
            ("sw1-R1", "router R1-sw1"),
            ("vm1", "chassis hv1"),
            ("vm3", "chassis hv2"),
        ],
    );
    assert_places(
        &built,
        "ext",
        [("ext-R1", "gateway R1-ext"), ("ext-ln", "device eth1")],
    );
    assert_eq!(
        built.floods("sw1", 0),
        (strings(["hv1 group 32768", "hv2 group 32768"]), vec![])
    );
    assert_eq!(
        built.floods("ext", 0),
        (strings(["ext-ln by eth1"]), strings(["ext-ln by eth1"]))
    );
    assert_eq!(built.entries("eth0"), [(None, "underlay")]);
    assert_eq!(built.entries("eth1"), [(None, "ext-ln")]);
    assert!(
        ["ext", "sw1", "sw2"]
            .iter()
            .all(|name| built.switch(name).stateful)
    );
    assert!(built.router("R1").stateful);

    let gateway = built.router_port("R1-ext").gateway.as_ref().unwrap();
    let candidates: Vec<_> = gateway
        .candidates
        .iter()
        .map(|(name, tunnel)| (name.as_str(), tunnel.map(|id| built.chassis(id))))
        .collect();
    assert_eq!(candidates, [("gw1", None), ("gw2", Some("gw2"))]);
    let redirect = built.router("R1").by_key[&gateway.redirect_key];
    assert!(redirect.redirect);
    assert_eq!(
        built.router("R1").ports[usize::from(redirect.port)].name,
        "R1-ext"
    );

    assert_eq!(
        built.route("R1", "192.168.1.10", "8.8.8.8"),
        "0.0.0.0/0 static R1-ext via 10.20.0.1"
    );
    assert_eq!(
        built.route("R1", "8.8.8.8", "192.168.2.20"),
        "192.168.2.0/24 connected R1-sw2"
    );
    let external = built.router("R1").by_key[&built.router_port("R1-ext").key].port;
    let rule = Snat {
        logical: "192.168.0.0/16".parse().unwrap(),
        external: "10.20.0.100".parse().unwrap(),
        port: Some(external),
        kind: SnatKind::Snat,
        ports: None,
        remotes: Remotes::All,
        hits: Default::default(),
    };
    assert_eq!(built.router("R1").nat.snat(), [rule]);
    assert_eq!(
        built.router("R1").local[&ip("10.20.0.100")],
        Local {
            port: Some(external),
            nat: true,
            dnat: false,
            own: true
        }
    );
    let port = ("ext-R1", mac("00:00:01:01:02:05"));
    assert_eq!(built.known("ext", "10.20.0.100"), Some(port));
    assert_eq!(built.known("ext", "fe80::200:1ff:fe01:205"), Some(port));
    assert_eq!(
        built.known("sw1", "192.168.1.30"),
        Some(("vm3", mac("02:ac:10:ff:00:03")))
    );
    assert_eq!(built.known("sw1", "192.168.1.99"), None);
}

#[test]
fn n0_a_host_needs_not_the_external_switch() {
    let built = reference_tables("n0", "hv1");
    assert_eq!(built.names(), ["R1", "sw1", "sw2"]);
    assert_places(
        &built,
        "sw1",
        [
            ("sw1-R1", "router R1-sw1"),
            ("vm1", "device vm1"),
            ("vm3", "chassis hv2"),
        ],
    );
    assert_eq!(built.floods("sw1", 0).0, ["vm1 by vm1", "hv2 group 32768"]);
    assert_eq!(built.entries("vm2"), [(None, "vm2")]);
    let gateway = built.router_port("R1-ext").gateway.as_ref().unwrap();
    let candidates: Vec<_> = gateway
        .candidates
        .iter()
        .map(|(_, tunnel)| built.chassis(tunnel.unwrap()))
        .collect();
    assert_eq!(candidates, ["gw1", "gw2"]);
    assert!(
        !built.router("R1").stateful,
        "the gateways translate, not this host"
    );
    assert!(!built.switch("sw1").stateful);
}

#[test]
fn n0_tunnels() {
    let built = on_a_small_underlay("n0", "hv1");
    let tunnels: Vec<&Tunnel> = built.tables.tunnels.iter().flatten().collect();
    let names: Vec<&str> = tunnels
        .iter()
        .map(|tunnel| tunnel.chassis.as_str())
        .collect();
    assert_eq!(names, ["gw1", "gw2", "hv2"]);
    let gw1 = tunnels[0];
    assert_eq!(
        (gw1.kind, gw1.port, gw1.port_keys),
        (EncapKind::Geneve, 6081, true)
    );
    assert_eq!(gw1.next_hop, gw1.remote);
    // 20 IP + 8 UDP + 16 Geneve with its option + 14 Ethernet.
    assert_eq!(gw1.inner_mtu, 1500 - 58);
    let id = built.tables.peers[&(EncapKind::Geneve, "172.16.0.21".parse().unwrap())];
    assert_eq!(built.chassis(id), "gw1");
    let underlay = built.tables.underlay.as_ref().unwrap();
    assert_eq!((underlay.geneve_port, underlay.vxlan_port), (6081, 4789));
    assert_eq!(underlay.mac, super::DEVICE_MAC);
}

#[test]
fn n1_the_gateway_router_is_on_node1() {
    let built = reference_tables("n1", "node1");
    assert_eq!(
        built.names(),
        ["gw1", "ls1", "ls2", "ls3", "outside", "router1"]
    );
    assert_places(
        &built,
        "ls3",
        [
            ("ls3-gw1", "router gw1-ls3"),
            ("ls3-router1", "router router1-ls3"),
        ],
    );
    assert_places(
        &built,
        "outside",
        [
            ("outside-gw1", "router gw1-outside"),
            ("outside-localnet", "device eth1"),
        ],
    );
    assert_places(
        &built,
        "ls1",
        [
            ("ls1-router1", "router router1-ls1"),
            ("vm1", "chassis node2"),
            ("vm2", "chassis node3"),
        ],
    );
    assert_eq!(
        built.route("gw1", "192.168.209.161", "172.18.200.10"),
        "172.18.0.0/16 static gw1-ls3 via 172.19.255.2"
    );
    assert_eq!(
        built.route("router1", "172.18.100.10", "1.1.1.1"),
        "0.0.0.0/0 static router1-ls3 via 172.19.255.1"
    );
    assert!(
        built.pieces().all(|piece| piece.zone().0 == piece.id.0 + 1),
        "all can meet gw1's NAT"
    );
    assert!(built.router("gw1").bound && !built.router("router1").bound);
}

#[test]
fn n1_elsewhere_the_gateway_router_is_behind_a_tunnel() {
    let built = reference_tables("n1", "node2");
    assert_eq!(built.names(), ["ls1", "ls2", "ls3", "router1"]);
    assert_places(
        &built,
        "ls3",
        [
            ("ls3-gw1", "chassis node1"),
            ("ls3-router1", "router router1-ls3"),
        ],
    );
    assert_eq!(built.floods("ls3", 0).0, ["node1 group 32768"]);
    assert_eq!(
        built.known("ls3", "172.19.255.1"),
        Some(("ls3-gw1", mac("02:ac:10:ff:ff:01")))
    );
    let rules = &built.port("vm1").security.as_ref().unwrap().rules;
    assert_eq!((rules.len(), rules[0].mac), (1, mac("02:ac:10:ff:00:10")));
    assert_eq!(rules[0].addresses, [net("172.18.100.10/32")]);
    // No NAT on this node, but clients of a balancer: of one of its switches only.
    assert!(built.pieces().all(|piece| piece.zone().0 != 0));
    let balancing = built.pieces().filter(|piece| !piece.balancers().is_empty());
    let balancing: Vec<_> = balancing.map(|piece| piece.name.as_str()).collect();
    assert_eq!(balancing, ["ls2"]);
}

#[test]
fn n1_router_ports_lead_where_the_switch_ports_say() {
    let built = reference_tables("n1", "node1");
    for router in ["gw1", "router1"] {
        for port in &built.router(router).ports {
            let Peer::Switch {
                switch,
                port: index,
            } = port.peer
            else {
                panic!("{}", port.name)
            };
            let far = &built.tables.switch(switch).unwrap().1.ports[usize::from(index)];
            assert_eq!(built.place(&far.name), format!("router {}", port.name));
        }
    }
}

#[test]
fn mtus_follow_the_wire_and_the_tunnels() {
    let node1 = on_a_small_underlay("n1", "node1");
    assert_eq!(node1.router_port("gw1-outside").mtu, 1500, "the device's");
    assert_eq!(node1.router_port("gw1-ls3").mtu, 1500, "both ends are here");
    assert_eq!(
        node1.router_port("router1-ls1").mtu,
        1442,
        "VMs are behind tunnels"
    );
    let node2 = on_a_small_underlay("n1", "node2");
    assert_eq!(
        node2.router_port("router1-ls3").mtu,
        1442,
        "the gateway router is behind a tunnel"
    );
    let hv1 = on_a_small_underlay("n0", "hv1");
    assert_eq!(
        hv1.router_port("R1-ext").mtu,
        1442,
        "the gateways are behind tunnels"
    );
}

#[test]
fn an_underlay_with_room_leaves_the_tenants_1500_bytes() {
    let hv1 = reference_tables("n0", "hv1");
    for port in ["R1-sw1", "R1-sw2", "R1-ext"] {
        assert_eq!(hv1.router_port(port).mtu, 1500, "{port}");
    }
}

#[test]
fn n2_the_order_of_the_gateways_is_that_of_their_priorities() {
    for name in ["gw1", "gw2", "gw3", "hv1"] {
        let built = reference_tables("n2", name);
        let gateway = built.router_port("lr0-public").gateway.as_ref().unwrap();
        let names: Vec<&str> = gateway
            .candidates
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["gw2", "gw3", "gw1"], "on {name}");
        let here = gateway
            .candidates
            .iter()
            .position(|(_, tunnel)| tunnel.is_none());
        assert_eq!(
            here,
            names.iter().position(|candidate| *candidate == name),
            "on {name}"
        );
    }
}

#[test]
fn n2_a_network_of_its_own_is_compiled_only_where_it_is_used() {
    assert_eq!(
        reference_tables("n2", "hv1").names(),
        ["lr0", "net0", "sw0", "sw1"]
    );
    assert_eq!(
        reference_tables("n2", "gw1").names(),
        ["lr0", "public", "sw0", "sw1"]
    );
}

#[test]
fn n3_plain_vxlan_learns() {
    let built = on_a_small_underlay("n3", "node1");
    assert_places(
        &built,
        "lan",
        [
            ("vm1", "device vm1"),
            ("vm2", "device vm2"),
            ("vm3", "chassis node2"),
            ("vm4", "chassis node2"),
        ],
    );
    let all = strings(["vm1 by vm1", "vm2 by vm2", "node2"]);
    assert_eq!(built.floods("lan", 0), (all.clone(), all));
    let lan = built.switch("lan");
    assert!(lan.ports.iter().all(|port| port.learning));
    assert!(lan.by_mac.is_empty() && lan.known.is_empty());
    let tunnel = built.tables.tunnel(lan.keyless[0].0).unwrap();
    assert_eq!(
        (tunnel.chassis.as_str(), tunnel.kind, tunnel.port),
        ("node2", EncapKind::Vxlan, 4789)
    );
    assert_eq!(tunnel.inner_mtu, 1500 - 50);
    let keyless: Vec<&str> = lan
        .keyless
        .iter()
        .map(|(_, port)| lan.ports[usize::from(*port)].name.as_str())
        .collect();
    assert_eq!(keyless, ["vm3"], "the first learning port of the chassis");
}
