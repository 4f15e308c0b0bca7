//! ACLs that look at ports, of both families.

use sluice_net::parse;

use super::{carried, udp};
use crate::support::{Network, NodeFile, cut, packet};

const V6: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.left]
[switch.left.port.a]
addresses = ["02:00:00:00:00:0a 10.1.0.10 fd00:1::a"]
chassis = "gw"
[switch.left.port.left-r]
type = "router"
router_port = "r-left"
[switch.right]
[switch.right.port.b]
addresses = ["02:00:00:00:00:0b 10.2.0.10 fd00:2::b"]
chassis = "gw"
[switch.right.port.right-r]
type = "router"
router_port = "r-right"
[router.r]
[router.r.port.r-left]
mac = "02:00:00:00:01:01"
networks = ["10.1.0.1/24", "fd00:1::1/64"]
[router.r.port.r-right]
mac = "02:00:00:00:01:02"
networks = ["10.2.0.1/24", "fd00:2::1/64"]
"#;

const ONLY_53: &str = r#"
[[switch.right.acl]]
direction = "to-lport"
priority = 1000
match = "udp.dst == 53"
action = "allow"
[[switch.right.acl]]
direction = "to-lport"
priority = 100
match = "ip"
action = "drop"
"#;

pub(super) fn two_switches(acls: &str) -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["a", "b"]);
    let mut net = Network::new(&[V6, acls].concat(), &[node]);
    net.run(20_000);
    net.forget();
    net
}

/// Rules look at ports: later pieces are judged as the first, in both families.
#[test]
fn rules_judge_later_pieces_as_the_first() {
    let from_a = |family: (&str, &str)| packet(("02:00:00:00:00:0a", "02:00:00:00:01:01"), family);
    for family in [("10.1.0.10", "10.2.0.10"), ("fd00:1::a", "fd00:2::b")] {
        for reversed in [false, true] {
            let mut net = two_switches(ONLY_53);
            let send = |net: &mut Network, port, id| {
                let mut pieces = cut(&udp(from_a(family), (4000, port), 4000), id, &[1400, 2800]);
                if reversed {
                    pieces.reverse();
                }
                carried(net, "a", "b", &pieces)
            };
            let got =
                send(&mut net, 53, 1).unwrap_or_else(|error| panic!("{error} {:?}", net.moved()));
            assert_eq!(parse(&got).unwrap().ip().unwrap().ports(), Some((4000, 53)));
            let held = if reversed { ", fragment-held 2" } else { "" };
            assert_eq!(
                net.moved(),
                [format!("gw: fragment 3{held}, walk 3")],
                "{family:?}"
            );
            net.forget();
            assert!(send(&mut net, 54, 2).is_err());
            assert_eq!(
                net.moved(),
                [format!("gw: drop:acl-drop 3, fragment 3{held}, walk 3")]
            );
            net.assert_no_buffer_lost();
        }
        // Nobody looks at ports: neither does the table.
        let mut net = two_switches("");
        let pieces = cut(&udp(from_a(family), (4000, 53), 4000), 1, &[1400, 2800]);
        net.send("a", pieces[2].clone());
        net.send("a", pieces[0].clone());
        assert_eq!(net.take("b").len(), 2);
        assert_eq!(net.moved(), ["gw: walk 2"]);
    }
}

/// RFC 6946: an atomic fragment is a whole packet.
#[test]
fn atomic_fragments_are_whole() {
    let mut net = two_switches(ONLY_53);
    let atomic = packet(
        ("02:00:00:00:00:0a", "02:00:00:00:01:01"),
        ("fd00:1::a", "fd00:2::b"),
    )
    .ip_id(9)
    .udp(4000, 53)
    .fragment(0, false);
    net.send("a", atomic);
    assert_eq!(net.take("b").len(), 1);
    assert_eq!(net.moved(), ["gw: walk 1"]);
}

const RELATED: &str = r#"
[[switch.left.acl]]
direction = "from-lport"
priority = 1000
match = "udp"
action = "allow-related"
[[switch.left.acl]]
direction = "to-lport"
priority = 100
match = "outport == \"a\" && ip"
action = "drop"
"#;

/// Answers in pieces belong to the connection, whichever piece comes first; others do not pass.
#[test]
fn answers_in_pieces_pass_where_connections_are_tracked() {
    let mut net = two_switches(RELATED);
    let a = ("02:00:00:00:00:0a", "02:00:00:00:01:01");
    let b = ("02:00:00:00:00:0b", "02:00:00:00:01:02");
    for (id, reversed, from, to) in [
        (1, false, "10.1.0.10", "10.2.0.10"),
        (2, true, "10.1.0.10", "10.2.0.10"),
        (3, false, "fd00:1::a", "fd00:2::b"),
        (4, true, "fd00:1::a", "fd00:2::b"),
    ] {
        let (ask, answer) = (packet(a, (from, to)), packet(b, (to, from)));
        let mut asked = cut(&udp(ask.clone(), (4000, 53), 4000), id, &[1400, 2800]);
        let mut told = cut(&udp(answer.clone(), (53, 4000), 4000), id, &[1400, 2800]);
        let mut other = cut(
            &udp(answer.clone(), (54, 4000), 4000),
            id + 10,
            &[1400, 2800],
        );
        if reversed {
            asked.reverse();
            told.reverse();
            other.reverse();
        }
        let got = carried(&mut net, "a", "b", &asked);
        assert!(got.is_ok(), "{got:?} {:?}", net.moved());
        assert!(carried(&mut net, "b", "a", &told).is_ok());
        net.forget();
        assert!(carried(&mut net, "b", "a", &other).is_err());
        let counts = net.moved().join(" ");
        assert!(counts.contains("drop:acl-drop 3"), "{counts}");
    }
    assert_eq!(net.node("gw").connections.len(), 2);
    net.assert_no_buffer_lost();
}
