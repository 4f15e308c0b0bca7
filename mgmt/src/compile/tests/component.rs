//! Which chassis run the routers of a switch.

use std::sync::Arc;

use sluice_fastpath::tables::Tables;

use super::super::Compiler;
use super::{build, node, strings, topology};
use crate::topology::Resolved;

/// Two networks of distributed routers on one external switch. `one` is s1 - r1 - s2 - r2 - s3, where r1 and r2 are
/// linked to each other by s2; `two` is t1 - q. A gateway router g joins `one` to a network of its own.
const TEXT: &str = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
[chassis.b]
encap = { type = "geneve", ip = "10.0.0.2" }
[chassis.c]
encap = { type = "geneve", ip = "10.0.0.3", port_keys = false }
[chassis.d]
encap = { type = "geneve", ip = "10.0.0.4" }
[chassis.e]
encap = { type = "geneve", ip = "10.0.0.5" }
[chassis.f]
encap = { type = "geneve", ip = "10.0.0.6" }
[chassis.alien]
encap = { type = "vxlan", ip = "10.0.0.7" }

[switch.s1.port.v1]
addresses = ["02:00:00:00:00:01"]
chassis = "a"
[switch.s1.port.s1-r1]
type = "router"
router_port = "r1-s1"
[switch.s2.port.s2-r1]
type = "router"
router_port = "r1-s2"
[switch.s2.port.s2-r2]
type = "router"
router_port = "r2-s2"
[switch.s2.port.s2-g]
type = "router"
router_port = "g-s2"
[switch.s3.port.s3-r2]
type = "router"
router_port = "r2-s3"
[switch.s3.port.v2]
addresses = ["02:00:00:00:00:02"]
chassis = "b"
[switch.s3.port.v3]
addresses = ["02:00:00:00:00:03"]
chassis = "c"
[switch.s3.port.v4]
addresses = ["02:00:00:00:00:04"]
chassis = "alien"
[switch.far.port.far-g]
type = "router"
router_port = "g-far"
[switch.far.port.v5]
addresses = ["02:00:00:00:00:05"]
chassis = "f"
[switch.t1.port.t1-q]
type = "router"
router_port = "q-t1"
[switch.t1.port.v6]
addresses = ["02:00:00:00:00:06"]
chassis = "f"
[switch.ext.port.ext-r1]
type = "router"
router_port = "r1-ext"
[switch.ext.port.ext-q]
type = "router"
router_port = "q-ext"
[switch.alone.port.v7]
addresses = ["02:00:00:00:00:07"]
chassis = "a"
[switch.alone.port.v8]
addresses = ["02:00:00:00:00:08"]
chassis = "f"

[router.r1.port.r1-s1]
networks = ["10.1.0.1/24"]
[router.r1.port.r1-s2]
networks = ["10.2.0.1/24"]
[router.r1.port.r1-ext]
networks = ["198.51.100.1/24"]
gateway_chassis = { d = 2, a = 1 }
[router.r2.port.r2-s2]
networks = ["10.2.0.2/24"]
[router.r2.port.r2-s3]
networks = ["10.3.0.1/24"]
[router.g]
chassis = "e"
[router.g.port.g-s2]
networks = ["10.2.0.3/24"]
[router.g.port.g-far]
networks = ["10.4.0.1/24"]
[router.q.port.q-t1]
networks = ["10.5.0.1/24"]
[router.q.port.q-ext]
networks = ["198.51.100.2/24"]
gateway_chassis = { f = 1 }
"#;

#[test]
fn a_network_ends_at_gateways_and_their_chassis_belong_to_it() {
    let resolved = topology(TEXT);
    let a = build(&resolved, &node("a", Some("10.0.0.1/24")).bind("v1"));
    // VMs, the other candidate of the gateway port, the gateway router; not f, which is behind it, nor the alien,
    // to which no tunnel leads.
    let one = strings(["b group 32768", "c", "d group 32768", "e group 32768"]);
    for switch in ["s1", "s2", "s3"] {
        assert_eq!(a.routers_at(switch), one, "{switch}");
    }
    // Behind gateway ports there is nothing distributed.
    assert_eq!(a.routers_at("ext"), Vec::<String>::new());
    assert_eq!(a.floods("s1", 0).0, ["v1 by vm"], "none has ports of s1");
    let alone = build(&resolved, &node("a", Some("10.0.0.1/24")).bind("v7"));
    assert_eq!(alone.routers_at("alone"), Vec::<String>::new());

    let d = build(&resolved, &node("d", Some("10.0.0.4/24")));
    let seen_by_d = strings(["a group 32768", "b group 32768", "c", "e group 32768"]);
    assert_eq!(d.routers_at("s1"), seen_by_d);
    let e = build(&resolved, &node("e", Some("10.0.0.5/24")));
    let seen_by_e = strings(["a group 32768", "b group 32768", "c", "d group 32768"]);
    assert_eq!(e.routers_at("s2"), seen_by_e);
    assert_eq!(
        e.routers_at("far"),
        Vec::<String>::new(),
        "a gateway router is in one place"
    );
    let f = build(&resolved, &node("f", Some("10.0.0.6/24")).bind("v6"));
    assert_eq!(f.routers_at("t1"), Vec::<String>::new());
    let lonely = build(&resolved, &node("a", None).bind("v1"));
    assert_eq!(lonely.routers_at("s1"), Vec::<String>::new(), "no tunnels");
}

#[test]
fn a_reload_touches_the_network_whose_chassis_changed() {
    let view = node("d", Some("10.0.0.4/24"));
    let mut compiler = Compiler::new();
    let mut next = |resolved: &Resolved| {
        let compiled = compiler.compile(resolved, &view).unwrap();
        let told = compiled.changes.to_string();
        (compiler.commit(compiled), told)
    };
    let mut resolved = topology(TEXT);
    let (first, _) = next(&resolved);
    let mut move_vm = |switch: &str, vm: &str, chassis: &str| {
        let switch = resolved.switches.get_mut(switch).unwrap();
        switch.ports.get_mut(vm).unwrap().chassis = Some(chassis.to_owned());
        next(&resolved)
    };
    // Of another network: d compiles it for the external switch's sake.
    let (second, told) = move_vm("t1", "v6", "b");
    assert_eq!(told, "~ switch t1: port v6 changed\n");
    let switches = ["s1", "s2", "s3"];
    let kept = |tables: &Tables| {
        let pieces = tables.datapaths.iter().flatten();
        let ours = pieces.filter(|piece| switches.contains(&piece.name.as_str()));
        ours.map(Arc::as_ptr).collect::<Vec<_>>()
    };
    assert_eq!(kept(&first), kept(&second));
    assert_eq!(kept(&first).len(), switches.len());
    // To a chassis that is in the network already.
    assert_eq!(move_vm("s3", "v4", "b").1, "~ switch s3: port v4 changed\n");
    // To one that is new in it.
    assert_eq!(
        move_vm("s3", "v4", "f").1,
        "~ switch s1: chassis that run its routers changed\n\
         ~ switch s2: chassis that run its routers changed\n\
         ~ switch s3: port v4 changed\n"
    );
}
