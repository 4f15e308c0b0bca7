//! Fragmented echo requests to this node's own addresses.

use sluice_net::builder::Echo;
use sluice_net::parse;

use super::rules::two_switches;
use super::{SIZES, carried, line};
use crate::cases::nat::{self, nat};
use crate::support::{cut, device_mac, join, packet, verify};

/// Echo requests to the router itself, in pieces; the reply comes in pieces no larger.
#[test]
fn echoes_to_the_router_in_pieces_are_answered_in_pieces() {
    for reversed in [false, true] {
        let mut net = nat();
        for (host, from, to) in [
            ("vm", (nat::VM, nat::G_IN, "10.0.0.10"), "10.0.0.1"),
            ("up", (nat::UP, nat::G_OUT, "203.0.113.254"), "203.0.113.1"),
        ] {
            let request = packet((from.0, from.1), (from.2, to))
                .icmp_echo(Echo::Request, 7, 3)
                .payload(&[0x33; 4000])
                .build();
            let mut pieces = cut(&request, 21, SIZES);
            if reversed {
                pieces.reverse();
            }
            for piece in pieces {
                net.send_later(host, piece);
            }
            net.settle();
            let got = net.take(host);
            assert_eq!(got.len(), 3, "{to}");
            let reply = join(&got).unwrap();
            assert!(
                line(&reply).contains("icmp echo reply id 7"),
                "{}",
                line(&reply)
            );
            assert_eq!(parse(&reply).unwrap().ip().unwrap().total_len, 4028);
        }
        let counts = net.moved().join(" ");
        assert!(
            counts.contains("slow:echo-reassembled 2, slow:echo-replies 2, slow:fragments-sent 4"),
            "{counts}"
        );
        net.assert_no_buffer_lost();
    }
}

#[test]
fn echoes_to_the_underlay_address_in_pieces_are_answered() {
    let mut net = nat();
    let gw = device_mac("gw", "eth0").to_string();
    let hv = device_mac("hv", "underlay").to_string();
    let request = packet((&hv, &gw), ("172.16.0.2", "172.16.0.1"))
        .icmp_echo(Echo::Request, 7, 3)
        .payload(&[0x33; 4000])
        .build();
    let reply = carried(&mut net, "hv", "hv", &cut(&request, 21, SIZES)).unwrap();
    assert!(line(&reply).contains("172.16.0.1 > 172.16.0.2 icmp echo reply id 7"));
}

#[test]
fn echoes_of_both_families_to_a_distributed_router() {
    let mut net = two_switches("");
    for (src, dst) in [("10.1.0.10", "10.1.0.1"), ("fd00:1::a", "fd00:1::1")] {
        let request = packet(("02:00:00:00:00:0a", "02:00:00:00:01:01"), (src, dst))
            .icmp_echo(Echo::Request, 7, 3)
            .payload(&[0x33; 4000])
            .build();
        let mut pieces = cut(&request, 99_999, SIZES);
        pieces.swap(0, 2);
        let reply = carried(&mut net, "a", "a", &pieces).unwrap();
        assert!(line(&reply).contains("echo reply id 7"), "{}", line(&reply));
        verify(&reply).unwrap();
    }
}
