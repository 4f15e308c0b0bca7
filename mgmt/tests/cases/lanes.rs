//! Cached ways of packets without a connection: used where nothing differs, and for nothing else.

use sluice_fastpath::counters::Work;
use sluice_net::Builder;

use super::lab::*;
use crate::support::{Network, packet};

/// Sends a packet and says how many took a lane, and who got what.
fn lanes(net: &mut Network, host: &str, frame: Builder) -> (u64, Vec<String>) {
    let count = |net: &Network| -> u64 {
        let workers = net.node("gw").counters.iter();
        workers.map(|worker| worker.work(Work::Lane)).sum()
    };
    let before = count(net);
    let outcome = net.probe(host, frame);
    (count(net) - before, outcome.got)
}

#[test]
fn the_second_packet_takes_the_lane_and_leaves_as_the_first_did() {
    let mut net = lab();
    for frame in [
        || from_a("10.2.0.10"),
        || packet((A, B), ("10.1.0.10", "10.1.0.11")).udp(7, 8),
        || packet((A, FAR), ("10.1.0.10", "10.1.0.14")).udp(7, 8),
    ] {
        let (first, walked) = lanes(&mut net, "a", frame());
        let (second, repeated) = lanes(&mut net, "a", frame());
        assert_eq!((first, second), (0, 1));
        assert_eq!(walked, repeated);
        assert_eq!(walked.len(), 1, "{walked:?}");
    }
}

#[test]
fn those_who_send_to_one_station_share_the_lane_and_keep_their_macs() {
    let mut net = lab();
    let macs = [B, "02:00:00:00:00:71", "02:00:00:00:00:72", B];
    for (number, mac) in macs.into_iter().enumerate() {
        let frame = || packet((mac, A), ("10.1.0.77", "10.1.0.10")).udp(7, 8);
        let (first, got) = lanes(&mut net, "b", frame());
        assert_eq!((first, got.len()), (u64::from(number > 0), 1), "{mac}");
        assert!(got[0].starts_with(&format!("a: {mac} > {A} ")), "{got:?}");
    }
}

#[test]
fn both_families_take_lanes() {
    let mut net = lab();
    for to in ["fd00:2::10", "fd00:1::14"] {
        let frame = || match to {
            "fd00:1::14" => packet((A, FAR), ("fd00:1::10", to)).udp(7, 8),
            _ => packet((A, R_LEFT), ("fd00:1::10", to)).tcp(1, 2, 0x10),
        };
        let (first, walked) = lanes(&mut net, "a", frame());
        let (second, repeated) = lanes(&mut net, "a", frame());
        assert_eq!((first, second), (0, 1), "{to}");
        assert_eq!((&walked, walked.len()), (&repeated, 1), "{to}");
    }
    let (lanes, _) = lanes(
        &mut net,
        "a",
        packet((A, R_LEFT), ("fd00:1::99", "fd00:2::10")).udp(1, 2),
    );
    assert_eq!(lanes, 0, "port security");
}

#[test]
fn what_depends_on_the_packet_is_checked_for_each() {
    let mut net = lab();
    lanes(&mut net, "a", from_a("10.2.0.10"));
    assert_eq!(lanes(&mut net, "a", from_a("10.2.0.10")).0, 1);
    let secured = net.probe(
        "a",
        packet((A, R_LEFT), ("10.1.0.99", "10.2.0.10")).udp(1, 2),
    );
    secured.expect(
        "port security",
        &[],
        &["gw: drop:port-security-ip 1, walk 1"],
    );
    let blackhole = net.probe("a", from_a("10.66.1.1"));
    blackhole.expect("another route", &[], &["gw: drop:blackhole 1, walk 1"]);
    for (case, frame) in [
        ("TTL", from_a("10.2.0.10").ttl(1)),
        (
            "too big",
            from_a("10.2.0.10").dont_fragment(true).payload(&[0; 1400]),
        ),
        ("to the router itself", from_a("10.1.0.1")),
        ("no route", from_a("192.0.2.1")),
    ] {
        let (lanes, got) = lanes(&mut net, "a", frame);
        assert_eq!(lanes, 0, "{case}");
        assert!(
            got.iter().all(|line| line.starts_with("a: ")),
            "{case}: only an error goes back: {got:?}"
        );
    }
}

#[test]
fn a_reload_ends_a_lane() {
    let mut net = lab();
    for _ in 0..2 {
        lanes(&mut net, "a", from_a("10.2.0.10"));
    }
    net.reload(&TOPOLOGY.replace("10.66.0.0/16", "10.2.0.10/32"));
    let outcome = net.probe("a", from_a("10.2.0.10"));
    outcome.expect("now a blackhole", &[], &["gw: drop:blackhole 1, walk 1"]);
    net.reload(TOPOLOGY);
    let (first, got) = lanes(&mut net, "a", from_a("10.2.0.10"));
    assert_eq!((first, got.len()), (0, 1));
    assert_eq!(lanes(&mut net, "a", from_a("10.2.0.10")).0, 1);
}
