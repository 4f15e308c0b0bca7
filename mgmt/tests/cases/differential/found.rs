//! What the comparison found: packets that a cached way treated otherwise than the walk.

use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, Vni};

use super::network::network;
use super::seen::{differences, seen, ways};
use super::{Step, take};
use crate::support::{Node, device_mac, ip, packet, v4};

/// Takes these bursts in both networks: wire and frames of each.
#[track_caller]
fn agree(bursts: &[(&str, Vec<Builder>)]) {
    let (mut quick, mut walking) = (network(), network());
    quick.before_turn = Node::wake;
    walking.before_turn = Node::forget_ways;
    for (number, (wire, frames)) in bursts.iter().enumerate() {
        let [found, walked] = [&mut quick, &mut walking].map(|net| {
            for frame in frames {
                net.send_later(wire, frame.clone());
            }
            net.settle();
            seen(net)
        });
        let differences = differences(&found, &walked);
        assert!(
            differences.is_empty(),
            "burst {number}: {}",
            differences.join("\n")
        );
    }
}

const C1: (&str, &str) = ("02:00:00:00:0c:10", "02:00:00:00:02:01");
const E1: (&str, &str) = ("02:00:00:00:04:10", "02:00:00:00:03:01");
const A1: (&str, &str) = ("02:00:00:00:0a:10", "02:00:00:00:01:01");

#[test]
fn a_redirected_packet_is_translated_by_who_holds_the_port() {
    let from = |src| packet(C1, (src, "8.8.8.8")).udp(1, 2);
    let stranger = || vec![from("10.4.0.10")];
    let tenant = || vec![from("10.2.0.10")];
    agree(&[
        ("c1", stranger()),
        ("c1", stranger()),
        ("c1", tenant()),
        ("c1", tenant()),
    ]);
}

#[test]
fn a_redirected_packet_that_no_rule_wants_is_routed_without_a_step() {
    let outer = Builder::ethernet(device_mac("hv2", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.3"), v4("172.16.0.1"));
    let option = OvnOption {
        in_key: 1,
        out_key: 20,
    };
    let port = "02:00:00:00:02:02";
    let frame = packet((port, port), ("10.4.0.10", "9.9.9.9"))
        .udp(1, 2)
        .encap_geneve(outer, Vni::new(102).unwrap(), Some(option));
    let mut net = network();
    take(&mut net, &Vec::new(), &[], &Step::Alive(false));
    let resolving = net.probe("hv2", frame.clone());
    assert_eq!(resolving.got.len(), 2, "{resolving:?}");
    // The packet that waited for the next hop has walked.
    for _ in 0..2 {
        let before = ways(&net)[0];
        net.probe("hv2", frame.clone()).expect(
            "untranslated",
            &["phys: 02:00:00:00:02:02 > 02:00:00:00:00:fd 10.4.0.10.1 > 9.9.9.9.2 udp ttl 64 len 28"],
            &["gw: walk 1"],
        );
        assert_eq!(ways(&net)[0] - before, 1);
    }
}

#[test]
fn a_packet_belongs_to_the_connection_that_the_one_before_it_opened() {
    let to = |router| packet((A1.0, router), ("10.0.0.10", "8.8.8.8")).udp(1, 2);
    // To a MAC that can only be behind the port where it is unknown who is there.
    let bridged = || to("02:00:00:00:99:99");
    agree(&[
        ("a1", vec![bridged()]),
        ("a1", vec![to(A1.1).udp(3, 4)]),
        ("a1", vec![to(A1.1), bridged()]),
    ]);
}

#[test]
fn a_neighbor_with_another_mac_is_behind_another_port() {
    let out = || vec![packet(E1, ("10.4.0.10", "10.5.0.20")).udp(1, 2)];
    let moves = packet(
        ("02:00:00:00:05:21", "02:00:00:00:03:02"),
        ("10.5.0.20", "10.5.0.1"),
    )
    .arp_reply(v4("10.5.0.20"), v4("10.5.0.1"));
    agree(&[
        ("e1", out()),
        ("e1", out()),
        ("f4", vec![moves]),
        ("e1", out()),
    ]);
}

#[test]
fn a_way_through_a_router_back_to_its_sender_rests_on_the_learned_mac() {
    let its = "02:00:00:00:05:20";
    let back = packet((its, "02:00:00:00:03:02"), ("10.5.0.99", "10.5.0.20")).udp(1, 2);
    let back = || vec![back.clone()];
    let other = packet(
        ("02:00:00:00:05:10", "02:00:00:00:03:02"),
        ("10.5.0.10", "10.5.0.20"),
    );
    let other = || vec![other.clone().udp(1, 2)];
    let moves = packet((its, "02:00:00:00:05:10"), ("10.5.0.20", "10.5.0.10")).udp(1, 2);
    agree(&[
        ("f3", vec![moves.clone()]),
        ("f1", other()),
        ("f3", back()),
        ("f3", back()),
        ("f1", other()),
        ("f4", vec![moves]),
        ("f1", other()),
    ]);
}

#[test]
fn port_security_of_a_port_behind_a_chassis_without_keys() {
    let inner = |src, vni: u32| {
        let (its_mac, dst) = match vni {
            4 => ("02:00:00:00:04:14", "02:00:00:00:04:11"),
            _ => ("02:00:00:00:0a:15", "02:00:00:00:0a:11"),
        };
        let outer = Builder::ethernet(device_mac("vx", "underlay"), device_mac("gw", "eth0"))
            .ipv4(v4("172.16.0.4"), v4("172.16.0.1"));
        packet((its_mac, dst), (src, "9.9.9.9"))
            .udp(1, 2)
            .encap_vxlan(outer, Vni::new(vni).unwrap())
    };
    for (good, vni) in [("10.4.0.14", 4), ("10.0.0.15", 1)] {
        agree(&[
            ("vx", vec![inner(good, vni)]),
            ("vx", vec![inner(good, vni)]),
            ("vx", vec![inner("10.77.0.1", vni)]),
        ]);
    }
}

#[test]
fn padding_behind_a_tunnel_packet_is_cut_off_whether_or_not_it_walks() {
    let mut net = network();
    let inner = packet(
        ("02:00:00:00:0a:12", "02:00:00:00:0a:11"),
        ("10.0.0.12", "10.0.0.11"),
    )
    .udp(1, 2);
    let outer = Builder::ethernet(device_mac("hv", "underlay"), device_mac("gw", "eth0"))
        .ipv4(v4("172.16.0.2"), v4("172.16.0.1"));
    let option = OvnOption {
        in_key: 12,
        out_key: 11,
    };
    let tunneled = inner
        .clone()
        .encap_geneve(outer, Vni::new(1).unwrap(), Some(option));
    let mut padded = tunneled.build();
    padded.extend([0xee; 7]);
    for _ in 0..2 {
        net.send("hv", padded.clone());
        assert_eq!(net.take_one("a2"), inner.build());
    }
    assert_eq!(ways(&net)[0], 1);
}

#[test]
fn a_packet_that_walks_uses_its_neighbor() {
    let mut net = network();
    // Fragments take no cached way.
    let fragment = packet(E1, ("10.4.0.10", "10.5.0.20")).udp(1, 2);
    let fragment = fragment.payload(&[0; 16]).fragment(0, true);
    for _ in 0..2 {
        net.run(500);
        net.send("e1", fragment.clone());
        let mut neighbors = net.node("gw").learned.neighbors.iter();
        let used = neighbors.find(|(_, neighbor)| neighbor.ip == ip("10.5.0.20"));
        assert_eq!(used.map(|(_, neighbor)| neighbor.used), Some(net.now));
    }
    assert_eq!(ways(&net)[..2], [0, 0]);
}
