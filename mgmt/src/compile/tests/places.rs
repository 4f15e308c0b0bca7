//! Where switch ports are, who gets floods, what is known.

use super::{build, ip, mac, node, refused, strings, topology};

const CHASSIS: &str = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "10.0.0.2" }
"#;

fn with_chassis(text: &str) -> crate::topology::Resolved {
    topology(&format!("{CHASSIS}{text}"))
}

const BRIDGED: &str = r#"
[switch.s.port.local]
addresses = ["02:00:00:00:00:01 192.0.2.1"]
[switch.s.port.remote]
addresses = ["02:00:00:00:00:02 192.0.2.2"]
chassis = "b"
[switch.s.port.remote-vlan]
addresses = ["02:00:00:00:00:03"]
chassis = "b"
vlan = 7
[switch.s.port.nowhere]
addresses = ["02:00:00:00:00:04"]
[switch.s.port.wire]
type = "localnet"
network = "phys"
tag = 100
"#;

#[test]
fn a_usable_localnet_carries_what_a_tunnel_would() {
    let built = build(
        &with_chassis(BRIDGED),
        &node("a", Some("10.0.0.1/24")).bind("local").map("phys"),
    );
    assert_eq!(built.place("local"), "device vm");
    assert_eq!(built.place("remote"), "device eth1.100");
    assert_eq!(built.place("wire"), "device eth1.100");
    assert_eq!(built.place("nowhere"), "unbound");
    assert_eq!(
        built.place("remote-vlan"),
        "chassis b",
        "the localnet is no part of an access VLAN"
    );
    let wire = strings(["wire by eth1.100"]);
    assert_eq!(
        built.floods("s", 0),
        (strings(["wire by eth1.100", "local by vm"]), wire)
    );
    assert_eq!(built.floods("s", 7), (strings(["b group 32768"]), vec![]));
    assert_eq!(built.entries("eth1"), [(Some(100), "wire")]);
}

#[test]
fn without_the_mapping_the_tunnel_does_it() {
    let built = build(
        &with_chassis(BRIDGED),
        &node("a", Some("10.0.0.1/24")).bind("local"),
    );
    assert_eq!(built.place("remote"), "chassis b");
    assert_eq!(built.place("wire"), "unbound");
    assert_eq!(built.floods("s", 0).0, ["local by vm", "b group 32768"]);
}

#[test]
fn nothing_bound_here_means_nothing_compiled() {
    let built = build(&with_chassis(BRIDGED), &node("a", Some("10.0.0.1/24")));
    assert!(built.names().is_empty());
    assert!(built.tables.by_vni.is_empty());
    assert!(built.entries("vm").is_empty());
}

#[test]
fn a_node_without_an_underlay_says_what_it_cannot_reach() {
    let built = build(&with_chassis(BRIDGED), &node("a", None).bind("local"));
    assert_eq!(built.place("remote"), "unbound");
    assert!(built.tables.tunnels.iter().all(Option::is_none));
    assert_eq!(
        built.warnings,
        ["this node has no underlay: 2 ports on other chassis cannot be reached"]
    );
}

#[test]
fn a_port_of_this_chassis_without_an_interface_is_unbound_and_told() {
    let text = r#"
[switch.s.port.local]
addresses = ["02:00:00:00:00:01"]
[switch.s.port.missing]
addresses = ["02:00:00:00:00:02"]
chassis = "a"
"#;
    let built = build(
        &with_chassis(text),
        &node("a", Some("10.0.0.1/24")).bind("local"),
    );
    assert_eq!(built.place("missing"), "unbound");
    assert_eq!(
        built.warnings,
        [
            "port `missing` is bound to this chassis in the topology, but no interface has it as iface_id"
        ]
    );
}

#[test]
fn disabled_ports_get_no_floods_and_answer_for_nothing() {
    let text = r#"
[switch.s.port.on]
addresses = ["02:00:00:00:00:01 192.0.2.1", "unknown"]
[switch.s.port.off]
addresses = ["02:00:00:00:00:02 192.0.2.2", "unknown"]
chassis = "b"
enabled = false
"#;
    let built = build(
        &with_chassis(text),
        &node("a", Some("10.0.0.1/24")).bind("on"),
    );
    let on = strings(["on by vm"]);
    assert_eq!(built.floods("s", 0), (on.clone(), on));
    assert_eq!(built.known("s", "192.0.2.2"), None);
    assert!(!built.port("off").enabled);
    assert_eq!(
        built.place("off"),
        "chassis b",
        "so that the drop has the right name"
    );
}

#[test]
fn access_vlans_are_domains_of_their_own() {
    let text = r#"
[switch.s.port.p6]
addresses = ["02:00:00:00:00:06 192.168.1.2"]
vlan = 100
[switch.s.port.p7]
addresses = ["02:00:00:00:00:07 192.168.1.3"]
chassis = "b"
vlan = 200
[switch.s.port.p8]
addresses = ["02:00:00:00:00:08 192.168.1.4"]
"#;
    let built = build(
        &with_chassis(text),
        &node("a", Some("10.0.0.1/24")).bind("p6"),
    );
    let s = built.switch("s");
    assert_eq!(
        s.domains
            .iter()
            .map(|domain| domain.vlan)
            .collect::<Vec<_>>(),
        [0, 100, 200]
    );
    let ids: std::collections::BTreeSet<u32> = s.domains.iter().map(|domain| domain.id).collect();
    assert_eq!(ids.len(), 3);
    let domain = |port| s.domains[usize::from(built.port(port).domain)].vlan;
    assert_eq!([domain("p6"), domain("p7"), domain("p8")], [100, 200, 0]);
    assert_eq!(
        built.known("s", "192.168.1.2"),
        None,
        "asked for by flooding in its VLAN"
    );
    assert_eq!(
        built.known("s", "192.168.1.4").map(|(port, _)| port),
        Some("p8")
    );
}

#[test]
fn a_mac_in_two_vlans_is_learned() {
    let text = r#"
[switch.s.port.p6]
addresses = ["02:00:00:00:00:06"]
vlan = 100
[switch.s.port.p7]
addresses = ["02:00:00:00:00:06", "02:00:00:00:00:07"]
vlan = 200
[switch.s.port.p8]
addresses = ["02:00:00:00:00:08"]
"#;
    let built = build(&with_chassis(text), &node("a", None).bind("p6"));
    let s = built.switch("s");
    assert!(!s.by_mac.contains_key(&mac("02:00:00:00:00:06")));
    assert!(s.by_mac.contains_key(&mac("02:00:00:00:00:07")));
    assert!(built.port("p6").learning && built.port("p7").learning && !built.port("p8").learning);
    assert_eq!(built.floods("s", 100).1, ["p6 by vm"]);
}

#[test]
fn router_and_localnet_ports_keep_their_index_when_vms_come() {
    let text = |vms: &str| {
        with_chassis(&format!(
            r#"
[switch.s.port.wire]
type = "localnet"
network = "phys"
[switch.s.port.to-r]
type = "router"
router_port = "r-s"
[router.r.port.r-s]
networks = ["192.0.2.1/24"]
{vms}"#
        ))
    };
    let view = node("a", None).map("phys");
    let before = build(&text(""), &view);
    let after = build(
        &text("[switch.s.port.aaa]\naddresses = [\"02:00:00:00:00:01\"]\n"),
        &view,
    );
    assert_eq!(
        before.router_port("r-s").peer,
        after.router_port("r-s").peer
    );
    assert_eq!(
        after
            .switch("s")
            .ports
            .iter()
            .map(|port| port.name.as_str())
            .collect::<Vec<_>>(),
        ["to-r", "wire", "aaa"]
    );
}

#[test]
fn a_prefix_in_port_security_has_no_host_bits() {
    let text = r#"
[switch.s.port.p]
addresses = ["02:00:00:00:00:06"]
port_security = ["02:00:00:00:00:06 192.0.2.9/24 198.51.100.0/24"]
"#;
    let built = build(&with_chassis(text), &node("a", None).bind("p"));
    let rule = &built.port("p").security.as_ref().unwrap().rules[0];
    assert!(rule.allows(ip("192.0.2.9")) && !rule.allows(ip("192.0.2.10")));
    assert!(rule.allows(ip("198.51.100.10")));
}

#[test]
fn two_things_cannot_share_the_frames_of_a_device() {
    let text = r#"
[switch.s.port.wire]
type = "localnet"
network = "phys"
[switch.t.port.other]
type = "localnet"
network = "other"
"#;
    let view = node("a", Some("10.0.0.1/24")).map("phys").map("other");
    let problems = refused(&with_chassis(text), &view);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].place().to_string(),
        "switch.t.port.other.network"
    );
    assert_eq!(
        problems[0].message,
        "untagged frames of interface `eth1` are those of port `wire` and of port `other`"
    );
}

#[test]
fn limits_of_learned_macs_are_the_switchs() {
    let text =
        "[switch.s]\nmac_limit = 5\nmac_age = 60\n[switch.s.port.p]\naddresses = [\"unknown\"]\n";
    let built = build(&with_chassis(text), &node("a", None).bind("p"));
    assert_eq!(
        (built.switch("s").mac_limit, built.switch("s").mac_age),
        (5, 60_000)
    );
}
