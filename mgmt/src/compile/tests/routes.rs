//! FIBs, equal next hops, NAT rules and own addresses.

use sluice_fastpath::tables::{Local, RouteSource};

use super::{Built, build, ip, net, node, refused, topology};

/// A router with three ports on switches `a`, `b` and `c`, the last one a gateway router's wire.
fn router(extra: &str) -> Built {
    build(&topology(&text(extra)), &node("me", None).map("phys"))
}

fn text(extra: &str) -> String {
    let mut text = String::from(
        "[chassis.me]\nencap = { type = \"geneve\", ip = \"10.255.0.1\" }\n[router.r]\nchassis = \"me\"\n",
    );
    for (name, networks) in [
        ("a", "\"10.0.1.1/24\", \"fd00:1::1/64\""),
        ("b", "\"10.0.2.1/24\", \"fd00:2::1/64\""),
        ("c", "\"192.0.2.1/24\""),
    ] {
        text += &format!(
            "[router.r.port.r-{name}]\nnetworks = [{networks}]\n[switch.{name}.port.{name}-r]\ntype = \"router\"\nrouter_port = \"r-{name}\"\n"
        );
    }
    text += "[switch.c.port.wire]\ntype = \"localnet\"\nnetwork = \"phys\"\n";
    text += extra;
    text
}

fn route(prefix: &str, nexthop: &str, more: &str) -> String {
    format!("[[router.r.route]]\nip_prefix = \"{prefix}\"\nnexthop = \"{nexthop}\"\n{more}\n")
}

#[test]
fn connected_networks_of_both_families_but_no_link_local_ones() {
    let built = router("");
    assert_eq!(
        built.route("r", "10.9.9.9", "10.0.1.77"),
        "10.0.1.0/24 connected r-a"
    );
    assert_eq!(
        built.route("r", "fd00::9", "fd00:2::77"),
        "fd00:2::/64 connected r-b"
    );
    assert_eq!(built.route("r", "fd00::9", "fe80::1"), "none");
    assert_eq!(built.route("r", "10.9.9.9", "8.8.8.8"), "none");
    let port = built.router_port("r-a");
    assert_eq!(
        port.networks.len(),
        3,
        "the link-local address is the port's"
    );
    let link_local = port.networks[2];
    assert_eq!(link_local.trunc(), net("fe80::/64"));
    assert!(built.router("r").local[&link_local.addr()].own);
}

#[test]
fn equal_static_routes_are_one_sorted_set() {
    let hops = [
        ("172.16.0.0/12", "10.0.2.9"),
        ("172.16.0.0/12", "10.0.1.8"),
        ("172.16.0.0/12", "10.0.1.7"),
    ];
    let text: String = hops
        .iter()
        .map(|(prefix, hop)| route(prefix, hop, ""))
        .collect();
    let reversed: String = hops
        .iter()
        .rev()
        .map(|(prefix, hop)| route(prefix, hop, ""))
        .collect();
    let expected = "172.16.0.0/12 static r-a via 10.0.1.7 | r-a via 10.0.1.8 | r-b via 10.0.2.9";
    assert_eq!(router(&text).route("r", "10.0.1.2", "172.20.0.1"), expected);
    assert_eq!(
        router(&reversed).route("r", "10.0.1.2", "172.20.0.1"),
        expected
    );
}

#[test]
fn equal_sets_are_shared() {
    let prefixes = ["172.16.0.0/12", "172.17.0.0/16", "0.0.0.0/0"];
    let text: String = prefixes
        .iter()
        .flat_map(|prefix| [route(prefix, "10.0.1.8", ""), route(prefix, "10.0.1.7", "")])
        .collect();
    let built = router(&text);
    // One a connected network (a and b have two each, on one port), one for the three routes.
    assert_eq!(built.router("r").routing.groups().len(), 3 + 1);
}

#[test]
fn connected_wins_at_equal_length_and_discard_has_no_say_among_next_hops() {
    let text = route("10.0.1.0/24", "10.0.2.9", "")
        + &route("10.7.0.0/16", "discard", "")
        + &route("10.7.0.0/16", "10.0.2.9", "")
        + &route("10.8.0.0/16", "discard", "");
    let built = router(&text);
    assert_eq!(
        built.route("r", "10.0.2.2", "10.0.1.5"),
        "10.0.1.0/24 connected r-a"
    );
    assert_eq!(
        built.route("r", "10.0.2.2", "10.7.1.1"),
        "10.7.0.0/16 static r-b via 10.0.2.9"
    );
    assert_eq!(
        built.route("r", "10.0.2.2", "10.8.1.1"),
        "10.8.0.0/16 discard"
    );
}

#[test]
fn routes_by_source_lose_at_equal_length_and_win_when_longer() {
    let text = route("0.0.0.0/0", "192.0.2.9", "")
        + &route("10.0.1.0/24", "192.0.2.8", "policy = \"src-ip\"")
        + &route("10.9.0.0/24", "192.0.2.7", "");
    let built = router(&text);
    assert_eq!(
        built.route("r", "10.0.1.2", "8.8.8.8"),
        "10.0.1.0/24 by source r-c via 192.0.2.8"
    );
    assert_eq!(
        built.route("r", "10.0.2.2", "8.8.8.8"),
        "0.0.0.0/0 static r-c via 192.0.2.9"
    );
    assert_eq!(
        built.route("r", "10.0.1.2", "10.9.0.1"),
        "10.9.0.0/24 static r-c via 192.0.2.7"
    );
    let sources: Vec<RouteSource> = built
        .router("r")
        .routing
        .routes()
        .iter()
        .map(|route| route.source)
        .collect();
    assert!(sources.is_sorted_by_key(|source| *source == RouteSource::StaticBySource));
}

#[test]
fn disabled_ports_take_their_routes_along() {
    let text =
        text(&(route("10.7.0.0/16", "10.0.2.9", "") + &route("10.0.0.0/8", "192.0.2.9", "")));
    let text = text.replace(
        "[router.r.port.r-b]",
        "[router.r.port.r-b]\nenabled = false",
    );
    let built = build(&topology(&text), &node("me", None).map("phys"));
    assert_eq!(
        built.route("r", "10.0.1.2", "10.7.1.1"),
        "10.0.0.0/8 static r-c via 192.0.2.9"
    );
    assert_eq!(
        built.route("r", "10.0.1.2", "10.0.2.5"),
        "10.0.0.0/8 static r-c via 192.0.2.9"
    );
    assert!(!built.router("r").local.contains_key(&ip("10.0.2.1")));
    assert!(!built.router_port("r-b").enabled);
}

#[test]
fn an_output_port_decides() {
    let text = route("10.7.0.0/16", "10.0.2.9", "output_port = \"r-a\"")
        + &route("fd07::/16", "fe80::9", "output_port = \"r-b\"");
    let built = router(&text);
    assert_eq!(
        built.route("r", "10.0.1.2", "10.7.1.1"),
        "10.7.0.0/16 static r-a via 10.0.2.9"
    );
    assert_eq!(
        built.route("r", "fd00::2", "fd07::1"),
        "fd07::/16 static r-b via fe80::9"
    );
}

#[test]
fn a_next_hop_on_no_network_is_refused_with_its_row() {
    let mut resolved = topology(&text(
        &(route("10.7.0.0/16", "10.0.2.9", "") + &route("10.8.0.0/16", "10.0.2.8", "")),
    ));
    let r = resolved.routers.get_mut("r").unwrap();
    let mut routes = r.routes.to_vec();
    routes[1].nexthop = crate::topology::Nexthop::Ip(ip("203.0.113.1"));
    r.routes = routes.into();
    let problems = refused(&resolved, &node("me", None).map("phys"));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].index, Some(1));
    assert_eq!(
        problems[0].message,
        "next hop 203.0.113.1 is on no network of the router"
    );
}

#[test]
fn nat_rules_go_by_the_longest_prefix_and_belong_to_the_port_of_their_address() {
    let nat = |logical: &str, external: &str| {
        format!(
            "[[router.r.nat]]\ntype = \"snat\"\nlogical_ip = \"{logical}\"\nexternal_ip = \"{external}\"\n"
        )
    };
    let built = router(
        &(nat("10.0.0.0/16", "192.0.2.1")
            + &nat("10.0.1.0/24", "192.0.2.77")
            + &nat("10.0.1.5/32", "203.0.113.5")),
    );
    let r = built.router("r");
    let port = |name: &str| {
        r.ports
            .iter()
            .position(|port| port.name == name)
            .and_then(|at| u16::try_from(at).ok())
    };
    let told: Vec<_> = r
        .nat
        .snat()
        .iter()
        .map(|rule| {
            (
                rule.logical.to_string(),
                rule.external.to_string(),
                rule.port,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("10.0.1.5/32".to_owned(), "203.0.113.5".to_owned(), None),
            (
                "10.0.1.0/24".to_owned(),
                "192.0.2.77".to_owned(),
                port("r-c")
            ),
            (
                "10.0.0.0/16".to_owned(),
                "192.0.2.1".to_owned(),
                port("r-c")
            ),
        ]
    );
    assert_eq!(
        r.local[&ip("192.0.2.1")],
        Local {
            port: port("r-c"),
            nat: true,
            dnat: false,
            own: true
        }
    );
    assert_eq!(
        r.local[&ip("192.0.2.77")],
        Local {
            port: port("r-c"),
            nat: true,
            dnat: false,
            own: false
        }
    );
    assert_eq!(
        r.local[&ip("203.0.113.5")],
        Local {
            port: None,
            nat: true,
            dnat: false,
            own: false
        }
    );
    assert_eq!(
        built.known("c", "192.0.2.77").map(|(port, _)| port),
        Some("c-r")
    );
    assert_eq!(built.known("a", "192.0.2.77"), None);
}

#[test]
fn an_address_on_no_link_belongs_to_the_only_gateway_port() {
    let text = r#"
[chassis.me]
encap = { type = "geneve", ip = "10.255.0.1" }
[switch.c.port.wire]
type = "localnet"
network = "phys"
[switch.c.port.c-r]
type = "router"
router_port = "r-c"
[router.r.port.r-c]
networks = ["192.0.2.1/24"]
gateway_chassis = { me = 1 }
[[router.r.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "203.0.113.5"
"#;
    let built = build(&topology(text), &node("me", None).map("phys"));
    assert_eq!(built.router("r").nat.snat()[0].port, Some(0));
}

#[test]
fn given_neighbors_stand_at_their_port() {
    let built = router(
        "[[router.r.neighbor]]\nport = \"r-b\"\nip = \"10.0.2.9\"\nmac = \"02:00:00:00:00:09\"\n",
    );
    let port = built
        .router("r")
        .ports
        .iter()
        .position(|port| port.name == "r-b")
        .unwrap();
    let key = (u16::try_from(port).unwrap(), ip("10.0.2.9"));
    assert_eq!(
        built.router("r").neighbors.get(&key),
        Some(&super::mac("02:00:00:00:00:09"))
    );
}
