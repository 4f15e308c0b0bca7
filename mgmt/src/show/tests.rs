//! Tables of a node in memory.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::pipeline::View;
use sluice_fastpath::spread::Homes;
use sluice_fastpath::tables::{AclVerdict, Decision, PieceKind};
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::tcp;
use sluice_net::{Builder, Mac};

use super::columns::{Layout, layout};
use super::{Filter, Query, What, show};
use crate::control::Reply;
use crate::runtime::testing::{Bench, Scratch};
use crate::trace::{PacketSpec, Start, TraceRequest, trace};

const OUTSIDE: DeviceId = DeviceId(1);

fn ask(bench: &Bench, query: &Query) -> Result<(Vec<Value>, Option<String>), String> {
    let (mut rows, mut end) = (Vec::new(), None);
    let written = show(&bench.state, query, &mut |reply| {
        match reply {
            Reply::Rows { rows: more } => rows.extend(more),
            last => end = Some(last),
        }
        Ok(())
    });
    written.expect("nothing fails to write");
    match end.expect("an end") {
        Reply::Done { note } => Ok((rows, note)),
        Reply::Error { message, .. } => Err(message),
        other => panic!("{other:?} is no end"),
    }
}

fn rows(bench: &Bench, what: What, filter: Filter) -> Vec<Value> {
    ask(
        bench,
        &Query {
            what,
            filter,
            limit: None,
        },
    )
    .unwrap_or_else(|e| panic!("{e}"))
    .0
}

const UNDERLAY: DeviceId = DeviceId(0);
const NODE2: Mac = Mac([2, 0, 0, 0, 1, 0x11]);

/// The MAC of a device of the bench.
fn own(device: DeviceId) -> Mac {
    Mac::from_u64(0x0200_0000_0001 + u64::from(device.0))
}

/// Lets a neighbor ask and answer, so that it is known.
fn meet(bench: &mut Bench, device: DeviceId, mac: Mac, ip: [u8; 4], target: [u8; 4]) {
    let ask = Builder::ethernet(mac, Mac::BROADCAST).arp_request(ip.into(), target.into());
    let reply = Builder::ethernet(mac, own(device)).arp_reply(ip.into(), target.into());
    for frame in [ask, reply] {
        bench.devices.feed(device, &frame.build());
        bench.settle();
    }
}

/// vm1's SYN to the outside, as node2 sends it: from router1 to gw1, on ls3.
fn open(bench: &mut Bench, sport: u16) {
    let tables = bench.state.tables.current();
    let named = |name: &str| {
        let mut pieces = tables.datapaths.iter().flatten();
        pieces
            .find(|piece| piece.name == name)
            .map(|piece| piece.id)
    };
    let (piece, switch) = tables.switch(named("ls3").expect("ls3")).expect("a switch");
    let key = |name: &str| {
        let port = switch.ports.iter().find(|port| port.name == name);
        port.map_or(0, |port| port.key)
    };
    let option = OvnOption {
        in_key: key("ls3-router1"),
        out_key: key("ls3-gw1"),
    };
    let [router1, gw1] = [0x02ac_10ff_ff02, 0x02ac_10ff_ff01].map(Mac::from_u64);
    let inner = Builder::ethernet(router1, gw1)
        .ip([172, 18, 100, 10].into(), [192, 168, 209, 161].into())
        .ttl(63)
        .tcp(sport, 80, tcp::SYN);
    let outer = Builder::ethernet(NODE2, own(UNDERLAY))
        .ip([192, 168, 209, 111].into(), [192, 168, 209, 110].into());
    let frame = inner.encap_geneve(outer, piece.vni, Some(option)).build();
    bench.devices.feed(UNDERLAY, &frame);
    bench.settle();
}

/// N1's gateway with one translated connection and one drop.
fn gateway() -> Bench {
    used(Bench::example("n1/node1.toml"))
}

/// The same with a rule that maps sources for all remote ends.
fn mapping_gateway() -> Bench {
    let files = Scratch::new();
    let n1 = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/n1");
    let text = |name: &str| std::fs::read_to_string(n1.join(name)).unwrap();
    let rule = "type = \"snat\"\nmapping = \"endpoint-independent\"";
    let topology = text("topology.toml").replace("type = \"snat\"", rule);
    files.write("topology.toml", &topology);
    used(Bench::new(&files.write("node1.toml", &text("node1.toml"))))
}

fn used(mut bench: Bench) -> Bench {
    let outside = Mac::from_u64(0x0200_0000_0161);
    meet(
        &mut bench,
        UNDERLAY,
        NODE2,
        [192, 168, 209, 111],
        [192, 168, 209, 110],
    );
    meet(
        &mut bench,
        OUTSIDE,
        outside,
        [192, 168, 209, 161],
        [192, 168, 209, 120],
    );
    open(&mut bench, 4000);
    bench.devices.feed(UNDERLAY, &[0; 10]);
    bench.settle();
    bench
}

#[test]
fn every_column_is_a_field_of_every_row() {
    let (gateway, guarded) = (gateway(), Bench::example("examples/acl/node.toml"));
    let mapping = mapping_gateway();
    for what in What::ALL {
        let bench = match what {
            What::Acl => &guarded,
            What::Mappings => &mapping,
            _ => &gateway,
        };
        let rows = rows(bench, what, Filter::default());
        assert!(!rows.is_empty(), "{} shows something", what.name());
        let (Layout::Table(columns) | Layout::Record(columns)) = layout(what);
        let fields: BTreeSet<&str> = columns.iter().map(|(_, field)| *field).collect();
        assert_eq!(
            fields.len(),
            columns.len(),
            "{}: a field is shown once",
            what.name()
        );
        for row in &rows {
            for field in &fields {
                assert!(
                    row.get(field).is_some(),
                    "{}: {field} in {row}",
                    what.name()
                );
            }
        }
    }
}

#[test]
fn mappings_are_shown_and_are_no_connections() {
    let bench = mapping_gateway();
    let [mapping] = &mut rows(&bench, What::Mappings, Filter::default())[..] else {
        panic!("one mapping")
    };
    mapping["age_seconds"] = json!(0);
    let expected = json!({
        "router": "gw1", "proto": "tcp", "inside": "172.18.100.10:4000", "outside": "192.168.209.120:4000",
        "filtering": "address-and-port-dependent", "connections": 1, "age_seconds": 0,
    });
    assert_eq!(*mapping, expected);
    for (ip, router, proto, count) in [
        (Some("172.18.100.10"), Some("gw1"), Some("tcp"), 1),
        (Some("172.18.100.11"), None, None, 0),
        (None, Some("router1"), None, 0),
        (None, None, Some("udp"), 0),
    ] {
        let filter = Filter {
            ip: ip.map(|ip| ip.parse().unwrap()),
            router: router.map(str::to_owned),
            proto: proto.map(str::to_owned),
            ..Filter::default()
        };
        let found = rows(&bench, What::Mappings, filter).len();
        assert_eq!(found, count, "{ip:?} {router:?} {proto:?}");
    }
    let connections = rows(&bench, What::Connections, Filter::default());
    assert_eq!(connections.len(), 1, "{connections:?}");
    let rules = rows(&bench, What::Nat, Filter::default());
    assert_eq!(rules[0]["connections"], json!(1));
}

#[test]
fn a_connection_and_its_rule_are_shown() {
    let bench = gateway();
    let [connection] = &rows(&bench, What::Connections, Filter::default())[..] else {
        panic!("one connection")
    };
    let expected = [
        ("proto", json!("tcp")),
        ("state", json!("syn-sent")),
        ("src", json!("172.18.100.10:4000")),
        ("dst", json!("192.168.209.161:80")),
        ("reply_src", json!("192.168.209.161:80")),
        ("reply_dst", json!("192.168.209.120:4000")),
        ("translation", json!("snat")),
        ("zone", json!("gw1")),
        ("reply_zone", json!("outside")),
        ("worker", json!(0)),
    ];
    for (field, value) in expected {
        assert_eq!(connection[field], value, "{field} of {connection}");
    }
    let [rule] = &rows(&bench, What::Nat, Filter::default())[..] else {
        panic!("one rule")
    };
    assert_eq!(
        *rule,
        json!({
            "router": "gw1", "type": "snat", "logical_ip": "172.18.0.0/16", "external_ip": "192.168.209.120",
            "port": "gw1-outside", "stateless": false, "distributed": null, "connections": 1, "hits": 1,
        })
    );
    let pools = rows(&bench, What::Pools, Filter::default());
    let [tcp, udp] = &pools[..] else {
        panic!("{pools:?}")
    };
    let remote = connection["dst"].as_str().unwrap();
    assert_eq!(
        *tcp,
        json!({
            "router": "gw1", "external_ip": "192.168.209.120", "proto": "tcp", "ports": 65535, "used": 1,
            "free": 65534, "connections": 1, "fullest": remote, "fullest_used": 1, "held_down": null,
        })
    );
    assert_eq!((&udp["used"], &udp["fullest"]), (&json!(0), &json!(null)));
}

#[test]
fn rules_of_all_types_are_shown() {
    let bench = Bench::example("examples/floating-ips/node.toml");
    let rows = rows(&bench, What::Nat, Filter::default());
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let text = |field: &str| row[field].as_str().unwrap_or("?").to_owned();
            let stateless = row["stateless"] == true;
            (
                text("type"),
                text("logical_ip"),
                text("external_ip"),
                stateless,
            )
        })
        .collect();
    let rule = |kind: &str, inside: &str, outside: &str, stateless| {
        (
            kind.to_owned(),
            inside.to_owned(),
            outside.to_owned(),
            stateless,
        )
    };
    assert_eq!(
        told,
        [
            rule("dnat_and_snat", "10.0.0.10", "203.0.113.10", false),
            rule("dnat_and_snat", "10.0.0.30", "203.0.113.30", true),
            rule("snat", "10.0.0.0/24", "203.0.113.1", false),
            rule("dnat", "10.0.0.20", "203.0.113.20", false),
        ]
    );
    assert!(rows.iter().all(|row| row["port"] == "r1-outside"));
}

#[test]
fn backends_and_what_they_were_given_are_shown() {
    let mut bench = gateway();
    let node3 = Mac::from_u64(0x0200_0000_0112);
    let (its, ours) = ([192, 168, 209, 112], [192, 168, 209, 110]);
    meet(&mut bench, UNDERLAY, node3, its, ours);
    let own = Mac::from_u64(0x020a_7f18_0102);
    for port in 0..20 {
        let frame = Builder::ethernet(Mac::from_u64(0x0200_0000_0161), own)
            .ip([192, 168, 209, 161].into(), [192, 168, 209, 55].into())
            .tcp(5000 + port, 8000, tcp::SYN);
        bench.devices.feed(OUTSIDE, &frame.build());
        bench.settle();
    }
    let rows = rows(&bench, What::Lb, Filter::default());
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row["at"].as_str(),
                row["vip"].as_str(),
                row["backend"].as_str(),
            )
        })
        .collect();
    // The balancer of a switch is where its clients are.
    let at = |backend| (Some("router gw1"), Some("192.168.209.55"), Some(backend));
    assert_eq!(told, [at("172.18.100.10"), at("172.18.200.10")]);
    let total = |field: &str| -> u64 { rows.iter().filter_map(|row| row[field].as_u64()).sum() };
    assert_eq!((total("connections"), total("hits")), (20, 20));
    assert!(
        rows.iter()
            .all(|row| row["state"] == "serving" && row["hits"] != 0),
        "{rows:?}"
    );
}

#[test]
fn connections_are_filtered_before_and_after_translation() {
    let bench = gateway();
    let ip = |text: &str| Some(text.parse().expect("an address"));
    let cases = [
        (
            Filter {
                src: ip("172.18.100.10"),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                src: ip("192.168.209.120"),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                src: ip("192.168.209.161"),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                dst: ip("192.168.209.161"),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                dst: ip("::1"),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                proto: Some("tcp".to_owned()),
                dport: Some(80),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                proto: Some("6".to_owned()),
                sport: Some(4000),
                ..Filter::default()
            },
            1,
        ),
        (
            Filter {
                proto: Some("udp".to_owned()),
                ..Filter::default()
            },
            0,
        ),
        (
            Filter {
                dport: Some(81),
                ..Filter::default()
            },
            0,
        ),
        (of_state("syn-sent"), 1),
        (of_state("established"), 0),
        (of_zone("gw1"), 1),
        (of_zone("outside"), 1),
        (of_zone("ls1"), 0),
    ];
    for (filter, count) in cases {
        assert_eq!(
            rows(&bench, What::Connections, filter.clone()).len(),
            count,
            "{filter:?}"
        );
    }
}

fn of_state(state: &str) -> Filter {
    Filter {
        state: Some(state.to_owned()),
        ..Filter::default()
    }
}

fn of_zone(zone: &str) -> Filter {
    Filter {
        zone: Some(zone.to_owned()),
        ..Filter::default()
    }
}

#[test]
fn a_filter_of_connections_names_what_there_is() {
    let bench = gateway();
    let refused = |filter| {
        let query = Query {
            filter,
            ..Query::all(What::Connections)
        };
        ask(&bench, &query).expect_err("refused")
    };
    assert_eq!(
        refused(of_state("wedged")),
        "there is no state of connections `wedged`"
    );
    assert_eq!(
        refused(of_zone("gw7")),
        "there is no switch or router `gw7`"
    );
    let proto = Some("tpc".to_owned());
    assert_eq!(
        refused(Filter {
            proto,
            ..Filter::default()
        }),
        "there is no protocol `tpc`"
    );
}

#[test]
fn talkers_and_totals_add_up() {
    let mut bench = gateway();
    for sport in 4001..4010 {
        open(&mut bench, sport);
    }
    bench.settle();
    let shown = rows(&bench, What::Talkers, Filter::default());
    let [talker] = &shown[..] else {
        panic!("{shown:?}")
    };
    for (field, value) in [
        ("src", json!("172.18.100.10")),
        ("zone", json!("gw1")),
        ("connections", json!(10)),
        ("half_open", json!(10)),
        ("packets", json!(10)),
    ] {
        assert_eq!(talker[field], value, "{field} of {talker}");
    }
    let shown = rows(&bench, What::Totals, of_zone("gw1"));
    let [total] = &shown[..] else {
        panic!("{shown:?}")
    };
    assert_eq!(
        (&total["proto"], &total["state"], &total["connections"]),
        (&json!("tcp"), &json!("syn-sent"), &json!(10))
    );
    assert!(rows(&bench, What::Totals, of_state("reset")).is_empty());
}

#[test]
fn exactly_the_connections_that_are_named_end() {
    let mut bench = gateway();
    for sport in 4001..4010 {
        open(&mut bench, sport);
    }
    bench.settle();
    assert_eq!(bench.connections(), 10);
    let flush = |bench: &mut Bench, filter| {
        let told = crate::control::flush::connections(&bench.state, filter);
        bench.settle();
        told
    };
    let one = Filter {
        sport: Some(4003),
        ..Filter::default()
    };
    let told = flush(&mut bench, one.clone());
    assert_eq!(told.as_deref(), Ok("1 connections are being closed"));
    assert_eq!(bench.connections(), 9);
    assert!(rows(&bench, What::Connections, one).is_empty());
    let told = flush(&mut bench, of_state("established"));
    assert_eq!(told.as_deref(), Ok("0 connections are being closed"));
    assert_eq!(bench.connections(), 9);
    assert!(flush(&mut bench, of_state("wedged")).is_err());
    let told = flush(&mut bench, of_state("syn-sent"));
    assert_eq!(told.as_deref(), Ok("9 connections are being closed"));
    assert_eq!(bench.connections(), 0);
}

#[test]
fn a_trace_tells_what_comes_after_the_walk() {
    let mut bench = gateway();
    bench.state.connections.set_source_limit(1);
    let notes = |bench: &Bench, sport: u16, flags: &str| {
        let tables = bench.state.tables.current();
        let view = View {
            tables: &tables,
            learned: &bench.state.learned,
            connections: &bench.state.connections,
            now: bench.state.now(),
            pick_up: false,
            homes: &Homes::NONE,
        };
        let start = Start::Tunnel {
            chassis: "node2".to_owned(),
            datapath: "ls3".to_owned(),
            in_port: Some("ls3-router1".to_owned()),
            out_port: Some("ls3-gw1".to_owned()),
        };
        let packet = PacketSpec {
            eth_dst: Some(Mac::from_u64(0x02ac_10ff_ff01)),
            src: "172.18.100.10".parse().ok(),
            dst: "192.168.209.161".parse().ok(),
            proto: Some("tcp".to_owned()),
            sport: Some(sport),
            dport: Some(80),
            flags: Some(flags.to_owned()),
            ..PacketSpec::default()
        };
        let trace = trace(view, &TraceRequest { start, packet }, [1, 2]).expect("a trace");
        assert_eq!(trace.verdict, "transmit", "{trace}");
        trace.notes
    };
    assert_eq!(notes(&bench, 4001, "syn"), [""; 0], "one may be opened");
    open(&mut bench, 4001);
    assert_eq!(
        notes(&bench, 4002, "syn"),
        [
            "its connection would not be opened now and the packet dropped as source-limit: \
          this source has too many connections"
        ]
    );
    assert_eq!(notes(&bench, 4001, "syn"), [""; 0], "it is open");
    let [note] = &notes(&bench, 4001, "rst")[..] else {
        panic!("one note")
    };
    assert!(
        note.contains("only if its sequence number is where the stream is"),
        "{note}"
    );
}

#[test]
fn all_connections_can_be_closed_and_new_ones_stay() {
    let mut bench = gateway();
    assert_eq!(bench.connections(), 1);
    bench.state.connections.ask_to_close_all();
    bench.settle();
    assert_eq!(bench.connections(), 0);
    let closed = bench
        .state
        .sum(|counters| counters.work(sluice_fastpath::counters::Work::Closed));
    assert_eq!(closed, 1);
    open(&mut bench, 4001);
    bench.settle();
    assert_eq!(bench.connections(), 1, "asked once, closed once");
}

#[test]
fn routes_are_found_by_router_port_and_address() {
    let bench = gateway();
    let prefixes = |filter| -> Vec<Value> {
        rows(&bench, What::Routes, filter)
            .iter()
            .map(|row| row["prefix"].clone())
            .collect()
    };
    let gw1 = Filter {
        router: Some("gw1".to_owned()),
        ..Filter::default()
    };
    assert_eq!(prefixes(gw1.clone()).len(), 4);
    let dst = "172.18.1.1".parse().ok();
    assert_eq!(
        prefixes(Filter { dst, ..gw1.clone() }),
        ["0.0.0.0/0", "172.18.0.0/16"]
    );
    let port = Some("gw1-outside".to_owned());
    assert_eq!(
        prefixes(Filter { port, ..gw1 }),
        ["0.0.0.0/0", "192.168.192.0/19"]
    );
    let row = &rows(
        &bench,
        What::Routes,
        Filter {
            dst,
            router: Some("gw1".to_owned()),
            ..Filter::default()
        },
    )[1];
    let expected = json!({
        "router": "gw1", "prefix": "172.18.0.0/16", "source": "static", "via": ["172.19.255.2"], "ports": ["gw1-ls3"],
    });
    assert_eq!(*row, expected);
}

#[test]
fn a_limit_cuts_and_says_so() {
    let bench = gateway();
    let all = rows(&bench, What::Ports, Filter::default()).len() as u64;
    assert!(all > 3);
    let limited = |limit| {
        let query = Query {
            what: What::Ports,
            filter: Filter::default(),
            limit: Some(limit),
        };
        let (rows, note) = ask(&bench, &query).expect("rows");
        (rows.len() as u64, note.is_some())
    };
    assert_eq!(limited(3), (3, true));
    assert_eq!(limited(all), (all, false));
    assert_eq!(limited(0), (0, true));
}

#[test]
fn a_filter_that_a_table_does_not_know_is_refused() {
    let bench = gateway();
    let refused = |what, filter| {
        ask(
            &bench,
            &Query {
                what,
                filter,
                limit: None,
            },
        )
        .expect_err("refused")
    };
    let switch = Filter {
        switch: Some("s".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        refused(What::Routes, switch.clone()),
        "`show routes` has no filter --switch; it has --router, --port, --dst"
    );
    assert_eq!(
        refused(What::Version, switch),
        "`show version` has no filter --switch, nor any other"
    );
}

#[test]
fn acls_are_shown_as_they_are_asked() {
    let bench = Bench::example("examples/acl/node.toml");
    let tables = bench.state.tables.current();
    let piece = tables.datapaths.iter().flatten().next().unwrap();
    let PieceKind::Switch(switch) = &piece.kind else {
        panic!("a switch")
    };
    let acls = switch.acls.as_ref().unwrap();
    let web = acls
        .rules
        .iter()
        .position(|acl| acl.name.as_deref() == Some("web"));
    let decision = |acl| Decision {
        acl,
        verdict: AclVerdict::Allow,
        tracked: true,
    };
    for acl in [web.map(|at| at as u32), None, None] {
        acls.count(decision(acl));
    }
    let here = Filter {
        switch: Some("lan".to_owned()),
        ..Filter::default()
    };
    let rows = rows(&bench, What::Acl, here);
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |field: &str| match &row[field] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let fields = [
                "direction",
                "tier",
                "priority",
                "action",
                "port_group",
                "hits",
            ];
            fields.map(text).join(" ")
        })
        .collect();
    assert_eq!(
        told,
        [
            "from-lport 0 1000 allow-related web 0",
            "from-lport 0 900 allow-stateless null 0",
            "from-lport after load balancing 0 10 allow null 0",
            "to-lport 0 2000 drop null 0",
            "to-lport 0 1000 allow-related web 1",
            "to-lport 0 1000 allow-related web 0",
            "to-lport 0 900 allow-stateless null 0",
            "to-lport 0 100 pass null 0",
            "to-lport 1 20 allow-related null 0",
            "to-lport 1 10 reject null 0",
            "any null null drop null 2",
        ]
    );
    let admin = rows.iter().find(|row| row["name"] == "admin").unwrap();
    assert_eq!(
        (&admin["label"], &admin["log"]),
        (&json!(22), &json!("notice"))
    );
}

#[test]
fn a_name_that_nothing_has_is_refused() {
    let bench = gateway();
    type Set = fn(&mut Filter, Option<String>);
    let switch: Set = |filter, name| filter.switch = name;
    let router: Set = |filter, name| filter.router = name;
    let port: Set = |filter, name| filter.port = name;
    let interface: Set = |filter, name| filter.interface = name;
    let chassis: Set = |filter, name| filter.chassis = name;
    let reason: Set = |filter, name| filter.reason = name;
    let cases = [
        (What::Switches, switch, "switch", "ls3"),
        (What::Ports, switch, "switch", "ls3"),
        (What::Fdb, switch, "switch", "ls3"),
        (What::Topology, switch, "switch", "ls3"),
        (What::Routers, router, "router", "gw1"),
        (What::Routes, router, "router", "gw1"),
        (What::Neighbors, router, "router", "gw1"),
        (What::Nat, router, "router", "gw1"),
        (What::Lb, router, "router", "gw1"),
        (What::Ports, port, "port", "gw1-outside"),
        (What::Ports, port, "port", "ls3-gw1"),
        (What::Routes, port, "router port", "gw1-outside"),
        (What::Neighbors, port, "router port", "underlay"),
        (What::Fdb, port, "switch port", "ls3-gw1"),
        (What::Interfaces, interface, "interface", "eth0"),
        (What::Topology, chassis, "chassis", "node2"),
        (What::Drops, reason, "drop reason", "no-route"),
    ];
    for (what, set, noun, name) in cases {
        let asked = |name: &str| {
            let mut query = Query::all(what);
            set(&mut query.filter, Some(name.to_owned()));
            ask(&bench, &query)
        };
        let (rows, _) = asked(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!rows.is_empty(), "{} of {noun} {name}", what.name());
        let refusal = asked("nix").expect_err("refused");
        assert_eq!(refusal, format!("there is no {noun} `nix`"));
    }
    // A port of a switch is none that routes lead to.
    let mut query = Query::all(What::Routes);
    query.filter.port = Some("ls3-gw1".to_owned());
    assert_eq!(
        ask(&bench, &query).expect_err("refused"),
        "there is no router port `ls3-gw1`"
    );
}

#[test]
fn drops_are_those_that_happened_unless_all_are_wanted() {
    let bench = gateway();
    let names = |filter| -> Vec<String> {
        let rows = rows(&bench, What::Drops, filter);
        rows.iter()
            .map(|row| row["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let happened = names(Filter::default());
    // The neighbor's broadcast found nobody else on the wire.
    assert_eq!(happened, ["malformed-l2", "flood-empty"]);
    let all = names(Filter {
        all: true,
        ..Filter::default()
    });
    assert_eq!(all.len(), sluice_fastpath::verdict::DropReason::ALL.len());
    let one = rows(
        &bench,
        What::Drops,
        Filter {
            reason: Some("no-route".to_owned()),
            ..Filter::default()
        },
    );
    assert_eq!((one.len(), &one[0]["packets"]), (1, &json!(0)));
}

#[test]
fn metrics_have_each_family_once_and_every_reason() {
    let bench = gateway();
    let text = crate::metrics::render(&bench.state);
    let families: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let distinct: BTreeSet<&&str> = families.iter().collect();
    assert_eq!(distinct.len(), families.len());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("sluice_"), "{line}");
        value
            .parse::<u64>()
            .unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    for reason in sluice_fastpath::verdict::DropReason::ALL {
        assert!(text.contains(&format!(
            "sluice_drops_total{{reason=\"{}\"}} ",
            reason.name()
        )));
    }
    assert!(text.contains("sluice_connections 1\n"), "{text}");
    assert!(text.contains("sluice_interface_packets_total{interface=\"eth1\",direction=\"tx\"}"));
}
