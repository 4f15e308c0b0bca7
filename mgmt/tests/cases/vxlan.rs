//! Tunnels without port keys: N3's three pairings.

use sluice_net::{Builder, Vni, parse, show};

use crate::support::{BROADCAST, Host, Network, device_mac, mac, v4};

fn station(net: &mut Network, vm: &str, last: u8) {
    let address = format!("192.168.0.{last}/24");
    let its_mac = mac(&format!("02:00:00:00:03:{last:02x}"));
    net.host(vm, vm, Host::station(its_mac, &[&address], None));
}

#[test]
fn n3_between_two_of_ours() {
    let mut net = Network::reference("n3", &["node1", "node2"]);
    for (vm, last) in [("vm1", 11), ("vm2", 12), ("vm3", 13), ("vm4", 14)] {
        station(&mut net, vm, last);
    }
    let mut net = net.quiet();
    for (from, to) in [
        ("vm1", 12),
        ("vm1", 13),
        ("vm2", 14),
        ("vm3", 11),
        ("vm4", 13),
        ("vm4", 12),
    ] {
        assert_eq!(
            net.ping(from, &format!("192.168.0.{to}")),
            Some(64),
            "{from} -> .{to}"
        );
    }
    // Learned: nothing is flooded any more.
    net.forget();
    assert_eq!(net.ping("vm1", "192.168.0.13"), Some(64));
    assert_eq!(net.moved(), ["node1: walk 2", "node2: walk 2"]);
    let plain = net
        .frames()
        .filter(|(wire, _)| *wire == "underlay")
        .filter_map(|(_, frame)| {
            let headers = parse(frame).ok()?;
            (headers.ip()?.ports()?.1 == 4789).then(|| frame[42..50].to_vec())
        });
    let headers: Vec<_> = plain.collect();
    assert!(
        !headers.is_empty()
            && headers
                .iter()
                .all(|header| header[..] == [8, 0, 0, 0, 0, 0, 42, 0])
    );
    net.assert_no_buffer_lost();
}

/// A peer that is no Sluice: it sends and floods by MAC alone.
#[test]
fn n3_with_a_foreign_peer() {
    let mut net = Network::reference("n3", &["node1-peer"]);
    let peer = net.chassis("peer", "172.16.3.2/24");
    let mut net = net.quiet();
    let (vm1, vm3) = (mac("02:00:00:00:03:0b"), mac("02:00:00:00:03:0d"));
    let outer = || {
        Builder::ethernet(peer, device_mac("node1", "eth0"))
            .ipv4(v4("172.16.3.2"), v4("172.16.3.1"))
    };
    let vni = |number| Vni::new(number).unwrap();
    let frame = |src, dst| Builder::ethernet(src, dst).payload(&[0; 46]);
    let broadcast = frame(vm3, mac(BROADCAST));
    net.probe("peer", broadcast.clone().encap_vxlan(outer(), vni(42)))
        .expect(
            "a flood of the peer reaches local ports, and is learned",
            &[
                "vm1: 02:00:00:00:03:0d > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
                "vm2: 02:00:00:00:03:0d > ff:ff:ff:ff:ff:ff ethertype 0x88b5 len 60",
            ],
            &["node1: copy 2, flood 1, slow:macs-learned 1, walk 1"],
        );
    let outcome = net.probe("vm1", frame(vm1, vm3));
    assert_eq!(outcome.got.len(), 1);
    assert!(
        outcome.got[0].starts_with("peer: ")
            && outcome.got[0].ends_with(
                "vxlan vni 42 [02:00:00:00:03:0b > 02:00:00:00:03:0d ethertype 0x88b5 len 60]"
            ),
        "{outcome:#?}"
    );
    net.probe("peer", frame(vm3, vm1).encap_vxlan(outer(), vni(42)))
        .expect(
            "unicast",
            &["vm1: 02:00:00:00:03:0d > 02:00:00:00:03:0b ethertype 0x88b5 len 60"],
            &["node1: walk 1"],
        );
    // An unknown destination out of the tunnel is never sent back into one.
    net.probe(
        "peer",
        frame(vm3, mac("02:00:00:00:03:77")).encap_vxlan(outer(), vni(42)),
    )
    .expect(
        "unknown",
        &[
            "vm1: 02:00:00:00:03:0d > 02:00:00:00:03:77 ethertype 0x88b5 len 60",
            "vm2: 02:00:00:00:03:0d > 02:00:00:00:03:77 ethertype 0x88b5 len 60",
        ],
        &["node1: copy 2, flood 1, walk 1"],
    );
    // Back to where it came from.
    net.probe(
        "peer",
        frame(mac("02:00:00:00:03:0e"), vm3).encap_vxlan(outer(), vni(42)),
    )
    .expect(
        "hairpin",
        &[],
        &["node1: drop:hairpin 1, slow:macs-learned 1, walk 1"],
    );
    for (name, frame) in [
        (
            "tunnel-unknown-vni",
            frame(vm3, vm1).encap_vxlan(outer(), vni(43)).build(),
        ),
        ("tunnel-malformed", {
            let mut frame = frame(vm3, vm1).encap_vxlan(outer(), vni(42)).build();
            frame[42] = 0;
            frame[40..42].copy_from_slice(&[0, 0]);
            frame
        }),
        (
            "tunnel-unknown-peer",
            frame(vm3, vm1).encap_geneve(outer(), vni(42), None).build(),
        ),
    ] {
        let moved = format!("node1: drop:{name} 1");
        let outcome = net.probe("peer", frame.clone());
        assert_eq!(outcome.moved, [moved], "{}", show(&frame));
    }
}
