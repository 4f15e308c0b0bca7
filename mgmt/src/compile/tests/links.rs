//! Tunnels to other chassis, and links between routers.

use sluice_fastpath::tables::{EncapKind, Peer};

use super::{build, ip, node, refused, topology};

#[test]
fn geneve_goes_before_vxlan_and_both_ends_decide_on_port_keys() {
    let text = r#"
[chassis.a]
encap = [{ type = "vxlan", ip = "10.0.0.1" }, { type = "geneve", ip = "10.0.0.3" }]
[chassis.b]
encap = [{ type = "vxlan", ip = "10.0.0.2" }, { type = "geneve", ip = "10.0.0.4", port = 6000, checksum = false }]
[chassis.c]
encap = { type = "vxlan", ip = "10.0.0.5" }
[chassis.d]
encap = { type = "geneve", ip = "10.0.0.6", port_keys = false }
[switch.s.port.p]
addresses = ["unknown"]
"#;
    let built = build(&topology(text), &node("a", Some("10.0.0.3/24")).bind("p"));
    let told: Vec<_> = built.tables.tunnels.iter().flatten().collect();
    let told: Vec<_> = told
        .iter()
        .map(|t| (t.chassis.as_str(), t.kind, t.port, t.port_keys, t.checksum))
        .collect();
    assert_eq!(
        told,
        [
            ("b", EncapKind::Geneve, 6000, true, false),
            ("c", EncapKind::Vxlan, 4789, false, true),
            ("d", EncapKind::Geneve, 6081, false, true),
        ]
    );
}

#[test]
fn a_peer_off_the_link_needs_the_gateway() {
    let text = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "10.9.0.1" }
"#;
    let mut view = node("a", Some("10.0.0.1/24"));
    let problems = refused(&topology(text), &view);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].place().to_string(), "chassis.b.encap");
    if let Some(underlay) = &mut view.underlay {
        underlay.gateway = Some("10.0.0.254".parse().unwrap());
    }
    let built = build(&topology(text), &view);
    let tunnel = built.tables.tunnels.iter().flatten().next().unwrap();
    assert_eq!(tunnel.next_hop.to_string(), "10.0.0.254");
    assert_eq!(tunnel.remote.to_string(), "10.9.0.1");
}

#[test]
fn a_peer_that_speaks_ipv6_only_is_refused() {
    let text = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "fd00::2" }
"#;
    let problems = refused(&topology(text), &node("a", Some("10.0.0.1/24")));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "tunnels over IPv6 are not supported");
}

#[test]
fn no_common_encapsulation_is_a_warning_with_a_number() {
    let text = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "vxlan", ip = "10.0.0.2" }
[switch.s.port.p]
addresses = ["unknown"]
[switch.s.port.q]
addresses = ["unknown"]
chassis = "b"
"#;
    let built = build(&topology(text), &node("a", Some("10.0.0.1/24")).bind("p"));
    assert_eq!(
        built.warnings,
        ["no encapsulation in common with chassis `b`: 1 of its ports cannot be reached"]
    );
    assert_eq!(built.place("q"), "unbound");
}

#[test]
fn an_underlay_too_small_for_the_headers_is_refused() {
    let text = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "10.0.0.2" }
"#;
    let mut view = node("a", Some("10.0.0.1/24"));
    if let Some(underlay) = &mut view.underlay {
        underlay.mtu = 58;
    }
    assert_eq!(refused(&topology(text), &view).len(), 1);
}

const LINKED: &str = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[switch.s.port.p]
addresses = ["02:00:00:00:00:01 192.0.2.2"]
[switch.s.port.s-r]
type = "router"
router_port = "r-s"
[router.r.port.r-s]
networks = ["192.0.2.1/24"]
[router.r.port.r-t]
networks = ["198.51.100.1/30"]
mac = "02:00:00:00:01:01"
peer = "t-r"
[router.t.port.t-r]
networks = ["198.51.100.2/30"]
mac = "02:00:00:00:01:02"
peer = "r-t"
"#;

#[test]
fn linked_routers_know_each_other() {
    let built = build(&topology(LINKED), &node("a", None).bind("p"));
    assert_eq!(built.names(), ["r", "s", "t"]);
    let port = built.router("r").by_key[&built.router_port("r-t").key].port;
    let Peer::Router { router, port: far } = built.router_port("r-t").peer else {
        panic!("a router")
    };
    assert_eq!(
        built.tables.router(router).unwrap().1.ports[usize::from(far)].name,
        "t-r"
    );
    for address in ["198.51.100.2", "fe80::ff:fe00:102"] {
        let mac = built
            .router("r")
            .neighbors
            .get(&(port, ip(address)))
            .copied();
        assert_eq!(mac, Some(super::mac("02:00:00:00:01:02")), "{address}");
    }
}

#[test]
fn a_link_between_routers_stays_on_one_chassis() {
    let text = LINKED.replace(
        "[router.t.port.t-r]",
        "[router.t]\nchassis = \"a\"\n[router.t.port.t-r]",
    );
    let problems = refused(&topology(&text), &node("a", None).bind("p"));
    let places: Vec<String> = problems
        .iter()
        .map(|problem| problem.place().to_string())
        .collect();
    assert_eq!(places, ["router.r.port.r-t.peer", "router.t.port.t-r.peer"]);
}

#[test]
fn a_gateway_router_elsewhere_is_met_over_the_physical_network_where_there_is_one() {
    let text = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "10.0.0.2" }
[switch.s.port.wire]
type = "localnet"
network = "phys"
[switch.s.port.s-g]
type = "router"
router_port = "g-s"
[router.g]
chassis = "b"
[router.g.port.g-s]
networks = ["192.0.2.1/24"]
"#;
    let built = build(&topology(text), &node("a", Some("10.0.0.1/24")).map("phys"));
    assert_eq!(built.names(), ["s"]);
    assert_eq!(built.place("s-g"), "device eth1");
    assert!(built.switch("s").router_ports.is_empty());
    let there = build(&topology(text), &node("b", Some("10.0.0.2/24")).map("phys"));
    assert_eq!(there.names(), ["g", "s"]);
    assert_eq!(there.place("s-g"), "router g-s");
    assert_eq!(
        there.switch("s").router_ports,
        [there.router_port("g-s").id]
    );
}

const FLOATING: &str = r#"
[switch.in.port.vm1]
addresses = ["02:00:00:00:00:01 10.0.0.1"]
[switch.in.port.in-r]
type = "router"
router_port = "r-in"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-r]
type = "router"
router_port = "r-out"
[router.r.port.r-in]
networks = ["10.0.0.254/24"]
[router.r.port.r-out]
networks = ["203.0.113.1/24"]
gateway_chassis = { gw = 1 }
[[router.r.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.1"
external_ip = "203.0.113.9"
external_mac = "02:00:00:00:0f:09"
logical_port = "vm1"
[chassis.gw]
[chassis.a]
"#;

/// The chassis of its VM carries out a distributed floating IP, with the wire that it needs; to others it is a neighbor.
#[test]
fn distributed_floating_ips() {
    let text = FLOATING.replace(
        "[chassis.gw]",
        "[chassis.gw]\nencap = { type = \"geneve\", ip = \"10.9.0.1\" }",
    );
    let text = text.replace(
        "[chassis.a]",
        "[chassis.a]\nencap = { type = \"geneve\", ip = \"10.9.0.2\" }",
    );
    let outside = ip("203.0.113.9");
    let here = node("a", Some("10.9.0.2/24")).bind("vm1").map("wire");
    let built = build(&topology(&text), &here);
    assert_eq!(built.router("r").distributed.iter().count(), 1);
    assert!(built.router("r").stateful && built.router("r").local[&outside].nat);
    let known = built.switch("out").known[&outside];
    assert!(known.here && known.mac == super::mac("02:00:00:00:0f:09"));

    let gateway = node("gw", Some("10.9.0.1/24")).map("wire");
    let built = build(&topology(&text), &gateway);
    let router = built.router("r");
    assert!(router.distributed.is_empty() && router.nat.is_empty());
    assert!(!router.local.contains_key(&outside));
    let port = router.by_key[&built.router_port("r-out").key].port;
    assert_eq!(router.neighbors[&(port, outside)], known.mac);
    assert!(!built.switch("out").known.contains_key(&outside));

    let problems = refused(
        &topology(&text),
        &node("a", Some("10.9.0.2/24")).bind("vm1"),
    );
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert_eq!(problem.place().to_string(), "router.r.nat.logical_port[0]");
    assert!(
        problem
            .message
            .contains("no way to the physical network of 203.0.113.9")
    );
}
