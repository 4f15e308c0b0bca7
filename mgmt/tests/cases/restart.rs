//! A gateway that has just started goes on with the TCP connections it translated before.

use sluice_net::wire::tcp;

use super::nat::{VM, back, nat_with, out};
use crate::support::NodeOptions;
use crate::support::family::both_families;

fn tcp_goes_on_through_a_restarted_gateway_for_a_while() {
    let options = NodeOptions {
        pick_up: 60_000,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.probe("vm", out("8.8.8.8").tcp(4000, 80, tcp::ACK | tcp::PSH).payload(b"more")).expect(
        "in the middle, with the port it has",
        &["up: 02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.80 tcp [P.] ttl 63 len 44"],
        &["gw: opened 1, walk 1"],
    );
    let answer = net.probe("up", back("8.8.8.8", "203.0.113.1").tcp(80, 4000, tcp::ACK));
    assert_eq!(answer.got.len(), 1, "{answer:?}");
    assert!(answer.got[0].contains(VM), "{answer:?}");
    // From outside nobody may begin in the middle, and a reset begins nothing.
    for (host, frame) in [
        ("up", back("8.8.8.8", "203.0.113.1").tcp(80, 4001, tcp::ACK)),
        ("vm", out("8.8.8.8").tcp(4001, 80, tcp::RST)),
    ] {
        assert_eq!(net.probe(host, frame).got, Vec::<String>::new());
    }
    net.run(60_000);
    net.probe("vm", out("8.8.8.8").tcp(4002, 80, tcp::ACK))
        .expect("later", &[], &["gw: drop:tcp-no-syn 1, walk 1"]);
}

both_families! {
    tcp_goes_on_through_a_restarted_gateway_for_a_while,
}
