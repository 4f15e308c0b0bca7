//! The reference networks, end to end.

use crate::support::{Host, Network, mac};

/// N1 as its README tells it, with the outside host.
pub fn n1() -> Network {
    let mut net = Network::reference("n1", &["node1", "node2", "node3"]);
    for (vm, its_mac, address, gateway) in [
        (
            "vm1",
            "02:ac:10:ff:00:10",
            "172.18.100.10/24",
            "172.18.100.1",
        ),
        (
            "vm2",
            "02:ac:10:ff:00:20",
            "172.18.100.20/24",
            "172.18.100.1",
        ),
        (
            "vm3",
            "02:ac:10:ff:10:10",
            "172.18.200.10/24",
            "172.18.200.1",
        ),
        (
            "vm4",
            "02:ac:10:ff:10:20",
            "172.18.200.20/24",
            "172.18.200.1",
        ),
    ] {
        net.host(
            vm,
            vm,
            Host::station(mac(its_mac), &[address], Some(gateway)),
        );
    }
    let outside = Host::station(
        mac("02:00:00:00:01:61"),
        &["192.168.209.161/19", "8.8.8.8/32"],
        Some("192.168.209.120"),
    );
    net.host("outside", "outside", outside);
    net.quiet()
}

#[test]
fn n1_has_the_ttls_of_its_readme() {
    let mut net = n1();
    for (from, to, ttl) in [
        ("vm3", "172.18.100.10", 63),
        ("vm2", "172.18.200.20", 63),
        ("vm1", "192.168.209.120", 253),
        ("outside", "192.168.209.120", 254),
        ("outside", "172.18.100.10", 62),
        ("vm1", "192.168.209.161", 62),
        ("vm1", "8.8.8.8", 62),
        ("vm4", "8.8.8.8", 62),
        ("vm1", "172.18.100.20", 64),
    ] {
        assert_eq!(net.ping(from, to), Some(ttl), "{from} -> {to}");
    }
    net.assert_no_buffer_lost();
}

/// traceroute from a VM to the world: both routers, in the names of the ports it came in by.
#[test]
fn n1_traceroute() {
    use crate::support::packet;
    let mut net = n1();
    net.ping("vm1", "8.8.8.8");
    net.hosts.get_mut("vm1").unwrap().answers = false;
    for (ttl, router) in [(1, "172.18.100.1"), (2, "172.19.255.1")] {
        let probe = packet(
            ("02:ac:10:ff:00:10", "02:ac:10:ff:00:01"),
            ("172.18.100.10", "8.8.8.8"),
        )
        .ttl(ttl)
        .udp(33_434, 33_434);
        let outcome = net.probe("vm1", probe);
        assert_eq!(outcome.got.len(), 1, "{outcome:#?}");
        let wanted = format!(
            "{router} > 172.18.100.10 icmp error 11/0 about 172.18.100.10.33434 > 8.8.8.8.33434 udp"
        );
        assert!(outcome.got[0].contains(&wanted), "{outcome:#?}");
    }
}

/// A node that comes back knows nothing; the others go on, and it heals by itself.
#[test]
fn n1_heals_when_a_node_comes_back() {
    for lost in ["node1", "node2", "node3"] {
        let mut net = n1();
        assert_eq!(net.ping("vm1", "8.8.8.8"), Some(62));
        net.kill(lost);
        net.run(60_000);
        net.restart("n1", lost);
        net.run(10_000);
        for (from, to, ttl) in [
            ("vm1", "8.8.8.8", 62),
            ("vm3", "8.8.8.8", 62),
            ("vm3", "172.18.100.10", 63),
            ("outside", "172.18.100.10", 62),
        ] {
            assert_eq!(
                net.ping(from, to),
                Some(ttl),
                "{from} -> {to} after {lost} was lost"
            );
        }
    }
}
