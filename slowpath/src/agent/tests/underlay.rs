use super::lab::*;
use crate::agent::Settings;
use sluice_fastpath::exchange::{InjectTo, Origin, Work};
use sluice_fastpath::tables::UNDERLAY_PORT;
use sluice_fastpath::tables::neighbors::NeighborState;
use sluice_fastpath::verdict::Punt;
use sluice_net::builder::Echo;
use sluice_net::{Arp, Builder, L4, Mac};

fn lab() -> Lab {
    Lab::with(
        tables(1, inner_switch(), router(), outer_switch()),
        Settings::default(),
    )
}

/// What went out of the underlay device, each frame tagged.
fn on_the_underlay(lab: &mut Lab) -> Vec<Sent> {
    let mut sent = lab.sent();
    sent.retain(|sent| sent.to == InjectTo::Device(UNDERLAY_DEVICE));
    assert!(sent.iter().all(|sent| sent.headers().vlan_id() == Some(30)));
    sent
}

/// Addresses asked for, and of which MAC (`None`: everyone).
fn asked(lab: &mut Lab) -> Vec<(String, Option<Mac>)> {
    let question = |sent: Sent| {
        let headers = sent.headers();
        let arp = *headers.arp()?;
        assert_eq!(
            (arp.op, arp.sender_mac, arp.sender_ip),
            (1, UNDERLAY, v4("172.16.0.1"))
        );
        let to = (!headers.eth_dst.is_broadcast()).then_some(headers.eth_dst);
        (arp.target_ip != arp.sender_ip).then(|| (arp.target_ip.to_string(), to))
    };
    let mut asked: Vec<_> = on_the_underlay(lab)
        .into_iter()
        .filter_map(question)
        .collect();
    asked.sort();
    asked
}

fn reply(lab: &mut Lab, address: &str, mac: Mac) {
    let frame = Builder::ethernet(mac, UNDERLAY)
        .vlan(30)
        .arp_reply(v4(address), v4("172.16.0.1"))
        .build();
    lab.hand(
        &frame,
        Origin::Device(UNDERLAY_DEVICE),
        Work::Punt(Punt::Underlay),
    );
}

fn hops(to: Option<Mac>) -> Vec<(String, Option<Mac>)> {
    ["172.16.0.2", "172.16.0.254"]
        .map(|hop| (hop.to_owned(), to))
        .into()
}

#[test]
fn next_hops_of_tunnels_are_resolved_before_traffic_and_kept() {
    let mut lab = lab();
    lab.step();
    assert_eq!(asked(&mut lab), hops(None));
    for hop in ["172.16.0.2", "172.16.0.254"] {
        reply(&mut lab, hop, PEER);
        assert_eq!(lab.mac(UNDERLAY_PORT, hop), Some(PEER));
    }
    lab.sleep(29_999);
    assert_eq!(asked(&mut lab), []);
    lab.sleep(1);
    assert_eq!(
        asked(&mut lab),
        hops(Some(PEER)),
        "confirmed without any traffic"
    );
    for hop in ["172.16.0.2", "172.16.0.254"] {
        reply(&mut lab, hop, PEER);
        let slot = lab
            .learned
            .neighbors
            .lookup(UNDERLAY_PORT, ip(hop))
            .unwrap();
        assert_eq!(
            lab.learned.neighbors.state(slot),
            Some(NeighborState::Reachable)
        );
    }
}

#[test]
fn a_silent_next_hop_is_asked_for_again_and_again() {
    let mut lab = lab();
    lab.step();
    asked(&mut lab);
    // Three questions, five seconds of rest, and anew.
    lab.sleep(2_999);
    assert_eq!(asked(&mut lab).len(), 4);
    lab.sleep(5_000);
    assert_eq!(asked(&mut lab), []);
    lab.sleep(1);
    assert_eq!(asked(&mut lab), hops(None));
}

#[test]
fn tunnel_packets_wait_for_their_next_hop() {
    let mut lab = lab();
    lab.sleep(60_000 - 1_000);
    lab.sent();
    let frame = packet("10.0.0.10", "10.0.1.9").build();
    lab.hand(
        &frame,
        Origin::SwitchPort(VM_PORT),
        Work::Punt(Punt::ResolveUnderlay {
            next_hop: ip("172.16.0.77"),
        }),
    );
    assert_eq!(asked(&mut lab), [("172.16.0.77".to_owned(), None)]);
    reply(&mut lab, "172.16.0.77", PEER);
    let sent = lab.only_sent();
    assert_eq!(
        (sent.worker, sent.to, sent.bytes),
        (WORKER, from_switch(VM_PORT), frame)
    );
}

#[test]
fn our_address_is_answered() {
    let mut lab = lab();
    lab.sleep(60_000);
    lab.sent();
    lab.moved();
    let question = Builder::ethernet(OTHER, Mac::BROADCAST)
        .vlan(30)
        .arp_request(v4("172.16.0.5"), v4("172.16.0.1"));
    lab.hand(
        &question.build(),
        Origin::Device(UNDERLAY_DEVICE),
        Work::Punt(Punt::Underlay),
    );
    let sent = on_the_underlay(&mut lab);
    let expected = Arp {
        op: 2,
        sender_mac: UNDERLAY,
        sender_ip: v4("172.16.0.1"),
        target_mac: OTHER,
        target_ip: v4("172.16.0.5"),
    };
    assert_eq!(
        sent.iter()
            .map(|sent| sent.headers().arp().copied())
            .collect::<Vec<_>>(),
        [Some(expected)]
    );
    assert_eq!(lab.mac(UNDERLAY_PORT, "172.16.0.5"), Some(OTHER));
    assert_eq!(lab.moved(), [("answered", 1), ("neighbors-learned", 1)]);
}

#[test]
fn our_address_answers_pings_to_the_sender() {
    let mut lab = lab();
    lab.sleep(60_000);
    lab.sent();
    lab.moved();
    let echo = |dst: &str| {
        Builder::ethernet(PEER, UNDERLAY)
            .vlan(30)
            .ip(ip("192.0.2.7"), ip(dst))
            .icmp_echo(Echo::Request, 1, 2)
            .build()
    };
    let punt = Work::Punt(Punt::Underlay);
    lab.hand(&echo("172.16.0.1"), Origin::Device(UNDERLAY_DEVICE), punt);
    let sent = on_the_underlay(&mut lab);
    let headers = sent.first().expect("a reply").headers();
    assert_eq!((headers.eth_dst, headers.eth_src), (PEER, UNDERLAY));
    assert_eq!(
        headers.ip().map(|ip| (ip.dst, ip.l4)),
        Some((ip("192.0.2.7"), L4::Echo { reply: true, id: 1 }))
    );
    lab.hand(&echo("172.16.0.9"), Origin::Device(UNDERLAY_DEVICE), punt);
    lab.hand(
        &packet("192.0.2.7", "172.16.0.1").build(),
        Origin::Device(UNDERLAY_DEVICE),
        punt,
    );
    lab.hand(&[0; 10], Origin::Device(UNDERLAY_DEVICE), punt);
    assert_eq!(
        lab.moved(),
        [
            ("echo-replies", 1),
            ("malformed", 1),
            ("underlay-ignored", 2)
        ]
    );
}

#[test]
fn another_with_our_underlay_address_is_a_conflict() {
    let mut lab = lab();
    lab.sleep(60_000);
    lab.moved();
    reply(&mut lab, "172.16.0.1", OTHER);
    assert_eq!(lab.moved(), [("address-conflicts", 1)]);
    assert_eq!(lab.mac(UNDERLAY_PORT, "172.16.0.1"), None);
}

#[test]
fn a_next_hop_that_is_needed_no_more_ages_out() {
    let mut lab = lab();
    lab.step();
    for hop in ["172.16.0.2", "172.16.0.254"] {
        reply(&mut lab, hop, PEER);
    }
    let mut next = tables(2, inner_switch(), router(), outer_switch());
    next.tunnels[2] = None;
    lab.publish(next);
    lab.sent();
    lab.sleep(30_000);
    assert_eq!(asked(&mut lab), [("172.16.0.2".to_owned(), Some(PEER))]);
    lab.sleep(1_300_000);
    assert_eq!(lab.mac(UNDERLAY_PORT, "172.16.0.254"), None);
}
