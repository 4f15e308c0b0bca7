//! One generation after another.

use std::sync::Arc;

use sluice_fastpath::tables::{Piece, Tables};

use super::super::{Action, Compiler, NodeView, Noun};
use super::{node, reference, topology};
use crate::topology::Resolved;

fn next(
    compiler: &mut Compiler,
    resolved: &Resolved,
    view: &NodeView,
) -> (Arc<Tables>, Vec<String>) {
    let compiled = compiler.compile(resolved, view).unwrap();
    let told = compiled
        .changes
        .items
        .iter()
        .map(ToString::to_string)
        .collect();
    (compiler.commit(compiled), told)
}

fn piece<'t>(tables: &'t Tables, name: &str) -> &'t Arc<Piece> {
    tables
        .datapaths
        .iter()
        .flatten()
        .find(|piece| piece.name == name)
        .expect(name)
}

/// Everything that has an index, with its name.
fn indices(tables: &Tables) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    for piece in tables.datapaths.iter().flatten() {
        all.push((piece.name.clone(), piece.id.0));
        if let Some((_, switch)) = tables.switch(piece.id) {
            all.extend(
                switch
                    .ports
                    .iter()
                    .map(|port| (port.name.clone(), port.id.0)),
            );
            all.extend(
                switch
                    .domains
                    .iter()
                    .map(|domain| (format!("{} {}", piece.name, domain.vlan), domain.id)),
            );
        }
        if let Some((_, router)) = tables.router(piece.id) {
            for port in &router.ports {
                all.push((port.name.clone(), port.id.0));
                all.extend(
                    port.gateway
                        .iter()
                        .map(|gateway| (format!("role of {}", port.name), gateway.role.0)),
                );
            }
        }
    }
    all.sort();
    all
}

#[test]
fn the_same_again_is_the_same_pieces() {
    let (resolved, view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let (first, told) = next(&mut compiler, &resolved, &view);
    assert_eq!(
        told,
        [
            "+ interface eth0",
            "+ interface eth1",
            "+ underlay 172.16.0.21/24",
            "+ tunnel gw2",
            "+ tunnel hv1",
            "+ tunnel hv2",
            "+ switch ext",
            "+ switch sw1",
            "+ switch sw2",
            "+ router R1"
        ]
    );
    let (second, told) = next(&mut compiler, &resolved, &view);
    assert_eq!(told, Vec::<String>::new());
    assert!(second.generation > first.generation);
    for (old, new) in first
        .datapaths
        .iter()
        .flatten()
        .zip(second.datapaths.iter().flatten())
    {
        assert!(Arc::ptr_eq(old, new), "{}", old.name);
    }
    assert_eq!(indices(&first), indices(&second));
}

#[test]
fn a_new_vm_changes_its_switch_and_nothing_else() {
    let (mut resolved, view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &resolved, &view);
    let switch = resolved.switches.get_mut("sw1").unwrap();
    let mut vm = switch.ports["vm1"].clone();
    vm.key = sluice_net::PortKey::new(77).unwrap();
    vm.addresses.clear();
    switch.ports.insert("a-new-one".to_owned(), vm);
    let (second, told) = next(&mut compiler, &resolved, &view);
    assert_eq!(told, ["~ switch sw1: port a-new-one added"]);
    assert!(!Arc::ptr_eq(piece(&first, "sw1"), piece(&second, "sw1")));
    assert_eq!(piece(&second, "sw1").epoch, second.generation);
    for name in ["R1", "sw2", "ext"] {
        assert!(
            Arc::ptr_eq(piece(&first, name), piece(&second, name)),
            "{name}"
        );
        assert_eq!(piece(&second, name).epoch, first.generation);
    }
    let before = indices(&first);
    assert!(before.iter().all(|entry| indices(&second).contains(entry)));
}

#[test]
fn nothing_is_taken_over_before_commit() {
    let (resolved, view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let tried = compiler.compile(&resolved, &view).unwrap();
    assert_eq!(compiler.tables().generation, 0);
    let compiled = compiler.compile(&resolved, &view).unwrap();
    assert_eq!(compiled.changes, tried.changes);
    assert_ne!(compiled.tables().generation, tried.tables().generation);
    assert_eq!(
        compiler.commit(compiled).generation,
        compiler.tables().generation
    );
}

#[test]
fn what_leaves_and_returns_has_its_index_again_and_nobody_else_has_it() {
    let (resolved, view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &resolved, &view);
    let mut smaller = resolved.clone();
    smaller.switches.remove("sw2");
    let router = smaller.routers.get_mut("R1").unwrap();
    router.ports.remove("R1-sw2");
    smaller.switches.get_mut("sw1").unwrap().ports.remove("vm3");
    let (second, told) = next(&mut compiler, &smaller, &view);
    assert_eq!(
        told,
        [
            "~ switch sw1: port vm3 removed",
            "- switch sw2",
            "~ router R1: port R1-sw2 removed; routes: 1 removed"
        ]
    );
    let gone = piece(&first, "sw2").id;
    assert!(second.piece(gone).is_none());
    assert!(!second.by_vni.values().any(|id| *id == gone));
    let mut other = smaller.clone();
    let mut another = other.switches["sw1"].clone();
    another.key = sluice_net::Vni::new(4242).unwrap();
    another.ports.retain(|name, _| name == "vm1");
    let vm = another.ports.remove("vm1").unwrap();
    another.ports.insert("vm9".to_owned(), vm);
    other.switches.insert("another".to_owned(), another);
    let (third, told) = next(&mut compiler, &other, &view.clone().bind_on_underlay("vm9"));
    assert!(told.contains(&"+ switch another".to_owned()));
    let known: Vec<u32> = first
        .datapaths
        .iter()
        .flatten()
        .map(|piece| piece.id.0)
        .collect();
    assert!(!known.contains(&piece(&third, "another").id.0));
    let (last, _) = next(&mut compiler, &resolved, &view);
    assert_eq!(indices(&first), indices(&last));
}

impl NodeView {
    /// With a VIF on the first device, which is the underlay's no longer.
    fn bind_on_underlay(mut self, port: &str) -> Self {
        self.iface_id
            .insert(port.to_owned(), sluice_fastpath::io::DeviceId(0));
        self.underlay = None;
        self
    }
}

#[test]
fn details_say_what_changed_in_a_router() {
    let (resolved, view) = reference("n1", "node1");
    let mut compiler = Compiler::new();
    next(&mut compiler, &resolved, &view);
    let mut changed = resolved.clone();
    let gw1 = changed.routers.get_mut("gw1").unwrap();
    let mut routes = gw1.routes.to_vec();
    let mut more = routes[0].clone();
    more.prefix = "203.0.113.0/24".parse().unwrap();
    routes.push(more);
    routes[0].nexthop = crate::topology::Nexthop::Discard;
    gw1.routes = routes.into();
    gw1.nat.clear();
    gw1.load_balancers.clear();
    let (tables, told) = next(&mut compiler, &changed, &view);
    assert_eq!(
        told.last().unwrap(),
        "~ router router1: connection tracking off",
        "what hangs together with it meets no NAT any more"
    );
    assert!(
        told.contains(
            &"~ router gw1: routes: 1 added, 1 changed; nat changed; load balancers changed; connection tracking off"
                .to_owned()
        )
    );
    assert!(
        tables
            .datapaths
            .iter()
            .flatten()
            .all(|piece| piece.zone().0 == 0)
    );
}

#[test]
fn a_router_keeps_its_fib_when_only_a_port_changed() {
    let (resolved, view) = reference("n1", "node1");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &resolved, &view);
    let mut changed = resolved.clone();
    changed
        .routers
        .get_mut("gw1")
        .unwrap()
        .ports
        .get_mut("gw1-ls3")
        .unwrap()
        .gateway_mtu = Some(1400);
    let (second, told) = next(&mut compiler, &changed, &view);
    assert_eq!(told, ["~ router gw1: port gw1-ls3 changed"]);
    let routing = |tables: &Tables| {
        tables
            .router(piece(tables, "gw1").id)
            .unwrap()
            .1
            .routing
            .clone()
    };
    assert!(Arc::ptr_eq(&routing(&first), &routing(&second)));
}

#[test]
fn a_changed_node_is_compiled_anew_but_equal_pieces_stay() {
    let (resolved, mut view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &resolved, &view);
    view.devices[1].mtu = 9000;
    let (second, told) = next(&mut compiler, &resolved, &view);
    assert_eq!(told, ["~ router R1: port R1-ext changed"]);
    assert!(Arc::ptr_eq(piece(&first, "ext"), piece(&second, "ext")));
}

#[test]
fn the_order_in_the_file_does_not_matter() {
    let lines = r#"
[chassis.a]
encap = { type = "geneve", ip = "10.0.0.1" }
--
[chassis.b]
encap = { type = "geneve", ip = "10.0.0.2" }
--
[switch.s.port.p]
addresses = ["unknown"]
--
[switch.s.port.q]
addresses = ["02:00:00:00:00:01 192.0.2.9"]
chassis = "b"
--
[switch.s.port.s-r]
type = "router"
router_port = "r-s"
--
[router.r.port.r-s]
networks = ["192.0.2.1/24"]
--
[[router.r.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "192.0.2.7"
--
[[router.r.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "192.0.2.8"
"#;
    let parts: Vec<&str> = lines.split("--\n").collect();
    let reversed: String = parts.iter().rev().copied().collect();
    let view = node("a", Some("10.0.0.1/24")).bind("p");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &topology(&parts.concat()), &view);
    let (second, told) = next(&mut compiler, &topology(&reversed), &view);
    assert_eq!(told, Vec::<String>::new());
    assert!(Arc::ptr_eq(piece(&first, "r"), piece(&second, "r")));
    let fresh = next(&mut Compiler::new(), &topology(&reversed), &view).0;
    assert_eq!(indices(&first), indices(&fresh));
    assert_eq!(piece(&first, "r").kind, piece(&fresh, "r").kind);
    assert_eq!(piece(&first, "s").kind, piece(&fresh, "s").kind);
}

#[test]
fn changes_tell_kinds_apart() {
    let (resolved, view) = reference("n1", "node2");
    let mut compiler = Compiler::new();
    let compiled = compiler.compile(&resolved, &view).unwrap();
    let routers: Vec<&str> = compiled
        .changes
        .items
        .iter()
        .filter(|change| change.noun == Noun::Router && change.action == Action::Added)
        .map(|change| change.name.as_str())
        .collect();
    assert_eq!(routers, ["router1"]);
    assert!(!compiled.changes.is_empty());
    assert_eq!(
        compiled.changes.to_string().lines().count(),
        compiled.changes.items.len()
    );
}

#[test]
fn the_wiring_is_as_old_as_its_last_change() {
    let (mut resolved, mut view) = reference("n0", "gw1");
    let mut compiler = Compiler::new();
    let (first, _) = next(&mut compiler, &resolved, &view);
    assert_eq!(first.wiring, first.generation);
    resolved
        .switches
        .get_mut("sw1")
        .unwrap()
        .ports
        .remove("vm3");
    let (second, _) = next(&mut compiler, &resolved, &view);
    assert_eq!(second.wiring, first.generation);
    if let Some(underlay) = &mut view.underlay {
        underlay.mtu -= 1;
    }
    let (third, _) = next(&mut compiler, &resolved, &view);
    assert_eq!(third.wiring, third.generation);
}
