//! Reloads of a node in memory, with files that are right and files that are not.

use std::sync::Arc;

use super::{ReloadReport, compare, in_effect, needs_restart};
use crate::config::load;
use crate::runtime::testing::{Bench, Scratch};

const TOPOLOGY: &str = r#"
[chassis.n1]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.s1.port.vm1]
addresses = ["02:00:00:00:01:01 10.0.0.2"]
[switch.s1.port.s1-r1]
type = "router"
router_port = "r1-s1"
[switch.s2.port.vm2]
addresses = ["02:00:00:00:01:02 10.0.1.2"]
[switch.s2.port.s2-r1]
type = "router"
router_port = "r1-s2"
[router.r1.port.r1-s1]
networks = ["10.0.0.1/24"]
[router.r1.port.r1-s2]
networks = ["10.0.1.1/24"]
"#;

const NODE: &str = r#"
chassis = "n1"
topology = "topology.toml"
[dataplane]
connections = 1024
neighbors = 1024
fdb = 1024
[interface.tap1]
device = "net_null0"
iface_id = "vm1"
[interface.tap2]
device = "net_null1"
iface_id = "vm2"
"#;

struct Files {
    scratch: Scratch,
    bench: Bench,
}

impl Files {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("topology.toml", TOPOLOGY);
        let node = scratch.write("node.toml", NODE);
        let bench = Bench::new(&node);
        Self { scratch, bench }
    }

    /// Writes both files and reloads.
    fn reload(&mut self, topology: &str, node: &str) -> ReloadReport {
        self.scratch.write("topology.toml", topology);
        self.scratch.write("node.toml", node);
        self.bench.reload()
    }
}

fn with_route(prefix: &str) -> String {
    format!("{TOPOLOGY}\n[[router.r1.route]]\nip_prefix = \"{prefix}\"\nnexthop = \"10.0.1.2\"\n")
}

#[test]
fn a_right_file_is_published_and_told() {
    let mut files = Files::new();
    let before = files.bench.state.tables.current();
    let report = files.reload(&with_route("10.9.0.0/16"), NODE);
    assert_eq!(report.errors, None);
    assert_eq!(report.changes, ["~ router r1: routes: 1 added"]);
    assert_eq!(report.summary(), "0 added, 0 removed, 1 changed");
    let after = files.bench.state.tables.current();
    assert_eq!(after.generation, report.generation);
    assert!(after.generation > before.generation);
    assert_eq!(
        files.bench.state.configuration().topology.routers["r1"]
            .routes
            .len(),
        1
    );
    assert_ne!(files.bench.state.configuration().digest, 0);
    // Untouched pieces are the same ones.
    let piece = |tables: &sluice_fastpath::tables::Tables, name: &str| {
        tables
            .datapaths
            .iter()
            .flatten()
            .find(|piece| piece.name == name)
            .cloned()
            .expect("there")
    };
    assert!(Arc::ptr_eq(&piece(&before, "s1"), &piece(&after, "s1")));
    assert!(!Arc::ptr_eq(&piece(&before, "r1"), &piece(&after, "r1")));
}

#[test]
fn times_and_limits_of_connections_take_effect() {
    let mut files = Files::new();
    let table = Arc::clone(&files.bench.state.connections);
    let before = table.timeouts();
    let more = "[timeouts]\nudp = 200\ntcp_established = 60\n[connections]\nper_source = 9\n";
    let report = files.reload(TOPOLOGY, &format!("{NODE}{more}"));
    assert_eq!(report.errors, None);
    assert!(report.restart.is_empty(), "{:?}", report.restart);
    assert_eq!(
        report.warnings,
        ["`tcp_established` is 60 seconds: RFC 5382 REQ-5 asks for 7440 at least"]
    );
    let after = table.timeouts();
    assert_eq!((after.udp, after.tcp_established), (200_000, 60_000));
    assert_eq!(after.icmp, before.icmp);
    let orders = table.orders();
    files.reload(TOPOLOGY, &format!("{NODE}{more}"));
    assert_eq!(table.orders(), orders, "nothing new is not told again");
    files.reload(TOPOLOGY, NODE);
    assert_eq!(
        table.timeouts(),
        before,
        "what is left out is the default again"
    );
}

#[test]
fn nothing_new_changes_nothing() {
    let mut files = Files::new();
    let report = files.reload(TOPOLOGY, NODE);
    assert_eq!(
        (report.errors.clone(), report.summary()),
        (None, "nothing changes".to_owned())
    );
    assert!(report.changes.is_empty() && report.restart.is_empty());
}

#[test]
fn bad_files_are_refused_whole() {
    let mut files = Files::new();
    let bad = [
        // Not TOML.
        (
            format!("{TOPOLOGY}\n[switch.s3"),
            NODE.to_owned(),
            "error: ",
        ),
        // An unknown key, with the nearest right one.
        (
            TOPOLOGY.replace(
                "networks = [\"10.0.0.1/24\"]",
                "network = [\"10.0.0.1/24\"]",
            ),
            NODE.to_owned(),
            "networks",
        ),
        // A reference that leads nowhere, together with a change that would be fine.
        (
            with_route("10.9.0.0/16").replace("router_port = \"r1-s2\"", "router_port = \"r1-s9\""),
            NODE.to_owned(),
            "r1-s9",
        ),
        // A node file that is not right.
        (
            with_route("10.9.0.0/16"),
            NODE.replace("iface_id = \"vm2\"", "iface_id = \"vm9\""),
            "vm9",
        ),
        (with_route("10.9.0.0/16"), String::new(), "chassis"),
    ];
    let (before, configuration) = (
        files.bench.state.tables.current(),
        files.bench.state.configuration(),
    );
    for (topology, node, says) in bad {
        let report = files.reload(&topology, &node);
        let errors = report.errors.expect("refused");
        assert!(errors.contains(says), "{says}: {errors}");
        assert!(report.changes.is_empty());
        assert!(
            Arc::ptr_eq(&before, &files.bench.state.tables.current()),
            "{says}"
        );
        assert!(
            Arc::ptr_eq(&configuration, &files.bench.state.configuration()),
            "{says}"
        );
    }
    // And it recovers.
    let report = files.reload(&with_route("10.9.0.0/16"), NODE);
    assert_eq!((report.errors, report.changes.len()), (None, 1));
}

#[test]
fn missing_files_are_refused_too() {
    let mut files = Files::new();
    let before = files.bench.state.tables.current();
    std::fs::remove_file(files.scratch.path("topology.toml")).expect("removed");
    let errors = files.bench.reload().errors.expect("refused");
    assert!(errors.contains("topology.toml"), "{errors}");
    std::fs::remove_file(files.scratch.path("node.toml")).expect("removed");
    let errors = files.bench.reload().errors.expect("refused");
    assert!(errors.contains("node.toml"), "{errors}");
    assert!(Arc::ptr_eq(&before, &files.bench.state.tables.current()));
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_applied() {
    let mut files = Files::new();
    let node = NODE
        .replace("net_null1", "net_null7")
        .replace("iface_id = \"vm2\"", "mtu = 9000")
        + "[interface.tap3]\ndevice = \"net_null2\"\niface_id = \"vm2\"\n\
           [connections]\npick_up = 0\nper_source = 7\n[log]\nlevel = \"debug\"\n";
    let node = node.replace("connections = 1024", "idle = \"poll\"\nconnections = 65536");
    let report = files.reload(&with_route("10.9.0.0/16"), &node);
    assert_eq!(report.errors, None);
    assert_eq!(
        report.restart,
        [
            "dataplane.idle",
            "dataplane.connections",
            "connections.pick_up",
            "log.level",
            "interface.tap2.device",
            "interface.tap2.mtu",
            "interface.tap3 (added)",
        ]
    );
    let route = report
        .changes
        .iter()
        .any(|line| line.starts_with("~ router r1: routes: 1 added"));
    assert!(route, "{:?}", report.changes);
    let running = &files.bench.state.configuration().node;
    let limits = &running.connections;
    assert_eq!((limits.pick_up, limits.per_source), (300, 7));
    assert_eq!(running.interfaces.len(), 2);
    assert_eq!(running.interfaces["tap2"].device, "net_null1");
    assert_eq!(
        running.interfaces["tap2"].iface_id, None,
        "bindings change at once"
    );
    // Asked again, the same is still waiting.
    assert_eq!(
        files.reload(&with_route("10.9.0.0/16"), &node).restart,
        report.restart
    );
}

#[test]
fn a_check_changes_nothing() {
    let mut files = Files::new();
    let before = files.bench.state.tables.current();
    let other = files.scratch.write(
        "other.toml",
        &NODE.replace("topology.toml", "other-topology.toml"),
    );
    files
        .scratch
        .write("other-topology.toml", &with_route("10.9.0.0/16"));
    let report = files.bench.check(Some(other));
    assert_eq!(
        (report.errors, report.changes),
        (None, vec!["~ router r1: routes: 1 added".to_owned()])
    );
    assert!(Arc::ptr_eq(&before, &files.bench.state.tables.current()));
    let own = files.bench.check(None);
    assert_eq!(own.summary(), "nothing changes");
    let none = files.bench.check(Some(files.scratch.path("nothing.toml")));
    assert!(
        none.errors
            .is_some_and(|errors| errors.contains("nothing.toml"))
    );
}

#[test]
fn old_tables_wait_for_the_workers() {
    let mut files = Files::new();
    let old = Arc::downgrade(&files.bench.state.tables.current());
    files.reload(&with_route("10.9.0.0/16"), NODE);
    assert!(old.upgrade().is_some(), "the worker has not passed");
    files.bench.settle();
    files.bench.reloader.serve_waiting(&files.bench.state);
    assert!(old.upgrade().is_none(), "all have passed");
}

#[test]
fn files_are_compared_without_a_daemon() {
    let scratch = Scratch::new();
    scratch.write("topology.toml", TOPOLOGY);
    let old = scratch.write("node.toml", NODE);
    scratch.write("new-topology.toml", &with_route("10.9.0.0/16"));
    let new = scratch.write(
        "new.toml",
        &format!(
            "{}\n[control]\nsocket = \"/run/other.sock\"\n",
            NODE.replace("topology.toml", "new-topology.toml")
        ),
    );
    let report = compare(&new, Some(&old)).expect("right");
    assert_eq!(report.changes, ["~ router r1: routes: 1 added"]);
    assert_eq!(report.restart, ["control.socket"]);
    let report = compare(&new, None).expect("right");
    let added = [
        "+ interface tap1",
        "+ interface tap2",
        "+ switch s1",
        "+ switch s2",
        "+ router r1",
    ];
    assert_eq!(report.changes, added);
    scratch.write("new-topology.toml", "[switch");
    assert!(
        compare(&new, Some(&old))
            .expect_err("wrong")
            .contains("new-topology.toml")
    );
}

#[test]
fn bindings_to_interfaces_that_are_not_open_wait() {
    let scratch = Scratch::new();
    let topology =
        format!("{TOPOLOGY}\n[switch.s2.port.wire]\ntype = \"localnet\"\nnetwork = \"phys\"\n");
    scratch.write("topology.toml", &topology);
    let old = load(&scratch.write("node.toml", NODE)).expect("right").node;
    let text = format!(
        "{NODE}\n[interface.eth0]\ndevice = \"net_null5\"\n[interface.eth1]\ndevice = \"net_null6\"\n\
         [bridge_mappings]\nphys = \"eth1\"\n[underlay]\ninterface = \"eth0\"\naddress = \"172.16.0.1/24\"\n"
    );
    let new = load(&scratch.write("new.toml", &text)).expect("right").node;
    let node = in_effect(&old, &new);
    assert_eq!(
        (
            node.underlay,
            node.bridge_mappings.len(),
            node.interfaces.len()
        ),
        (None, 0, 2)
    );
    assert_eq!(
        needs_restart(&old, &new),
        ["interface.eth0 (added)", "interface.eth1 (added)"]
    );
    assert_eq!(
        needs_restart(&new, &old),
        ["interface.eth0 (removed)", "interface.eth1 (removed)"]
    );
    assert!(needs_restart(&old, &old).is_empty());
}

#[test]
fn what_does_not_fit_this_node_is_pointed_at() {
    let scratch = Scratch::new();
    // Right by itself; only a node with an underlay cannot reach n2.
    let topology =
        format!("{TOPOLOGY}\n[chassis.n2]\nencap = {{ type = \"geneve\", ip = \"fd00::2\" }}\n");
    let node = format!(
        "{NODE}\n[interface.eth0]\ndevice = \"net_null5\"\n\
         [underlay]\ninterface = \"eth0\"\naddress = \"172.16.0.1/24\"\n"
    );
    let topology = scratch.write("topology.toml", &topology);
    let new = scratch.write("new.toml", &node);
    let errors = compare(&new, None).expect_err("no tunnels over IPv6");
    let line = 1 + TOPOLOGY.lines().count() + 2;
    let place = format!("--> {}:{line}:", topology.display());
    for part in [
        "error: tunnels over IPv6 are not supported",
        &place,
        "encap = { type = \"geneve\", ip = \"fd00::2\" }",
        "help: give the chassis an encap with an IPv4 address",
    ] {
        assert!(errors.contains(part), "{part}:\n{errors}");
    }
}
