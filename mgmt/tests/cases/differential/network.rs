//! The network, with the hosts around its node.

use sluice_fastpath::connections::Timeouts;
use sluice_slowpath::Settings;

use super::topology::TOPOLOGY;
use crate::support::{Host, Network, NodeFile, NodeOptions, mac};

/// The network, with everyone around it; the other gateway holds its port.
pub fn network() -> Network {
    let node = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&[
            "e1", "e2", "e3", "f1", "f3", "f4", "h1", "a1", "a2", "a4", "b1", "o1", "c1",
        ])
        .network("wire", "eth1")
        .network("phys", "eth2");
    let mut settings = Settings::default();
    // Which source is refused an error first is a matter of hashes.
    settings.port_errors.burst = 1_000_000;
    settings.source_errors.burst = 1_000_000;
    let options = NodeOptions {
        settings,
        // As many of both families as a sweep goes over in one turn: it begins anew with each generation.
        connections: 32,
        timeouts: Timeouts {
            tcp_established: 9_000,
            tcp_fin_wait: 9_000,
            tcp_syn_sent: 4_000,
            tcp_syn_received: 4_000,
            tcp_last_ack: 4_000,
            tcp_time_wait: 4_000,
            tcp_reset: 1_000,
            udp: 5_000,
            udp_unreplied: 3_000,
            icmp: 2_000,
            icmp_unreplied: 2_000,
            ..Timeouts::default()
        },
        ..NodeOptions::default()
    };
    let mut net = Network::with(TOPOLOGY, &[node], &options);
    net.wrong_checksums = true;
    for (name, address) in [("hv", 2), ("hv2", 3), ("vx", 4), ("gw2", 5)] {
        net.chassis(name, &format!("172.16.0.{address}/24"));
    }
    let stations: [(&str, &str, &[&str]); 14] = [
        (
            "e1",
            "02:00:00:00:04:10",
            &["10.4.0.10/24", "fd00:4::10/64"],
        ),
        (
            "e2",
            "02:00:00:00:04:11",
            &["10.4.0.11/24", "fd00:4::11/64"],
        ),
        (
            "e3",
            "02:00:00:00:04:12",
            &["10.4.0.12/24", "fd00:4::12/64"],
        ),
        (
            "f1",
            "02:00:00:00:05:10",
            &["10.5.0.10/24", "fd00:5::10/64"],
        ),
        (
            "f3",
            "02:00:00:00:05:20",
            &["10.5.0.20/24", "fd00:5::20/64"],
        ),
        (
            "f4",
            "02:00:00:00:05:21",
            &["10.5.0.21/24", "fd00:5::21/64"],
        ),
        (
            "h1",
            "02:00:00:00:07:10",
            &["10.7.0.10/24", "fd00:7::10/64"],
        ),
        (
            "a1",
            "02:00:00:00:0a:10",
            &["10.0.0.10/24", "fd00:a::10/64"],
        ),
        (
            "a2",
            "02:00:00:00:0a:11",
            &["10.0.0.11/24", "fd00:a::11/64"],
        ),
        (
            "a4",
            "02:00:00:00:0a:13",
            &["10.0.0.13/24", "fd00:a::13/64"],
        ),
        (
            "b1",
            "02:00:00:00:0b:10",
            &["10.1.0.10/24", "fd00:b::10/64"],
        ),
        (
            "c1",
            "02:00:00:00:0c:10",
            &["10.2.0.10/24", "fd00:c::10/64"],
        ),
        (
            "wire",
            "02:00:00:00:00:fe",
            &[
                "203.0.113.254/24",
                "203.0.113.253/24",
                "8.8.8.8/32",
                "fd00:f::fe/64",
                "fd00:88::8/128",
            ],
        ),
        (
            "phys",
            "02:00:00:00:00:fd",
            &["198.18.0.254/24", "9.9.9.9/32", "fd00:d::fe/64"],
        ),
    ];
    for (name, its_mac, addresses) in stations {
        net.host(name, name, Host::station(mac(its_mac), addresses, None));
    }
    net.run(3_000);
    net.forget();
    net
}
