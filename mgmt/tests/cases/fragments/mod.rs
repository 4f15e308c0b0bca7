//! Fragments whose ports somebody looks at: translated, balanced, judged as the datagram they are pieces of.

pub mod attacks;
mod echoes;
mod rules;

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::wire::icmpv4;
use sluice_net::{Builder, Fragment, L4, parse, show};

use super::nat::{self, back, both_rules, gw, nat, nat_on, nat_with, out};
use crate::support::family::{both_families, is_v6, told, with_v6};
use crate::support::{Network, NodeOptions, cut, join, packet};

both_families!(
    later_pieces_wait_for_the_first,
    what_waits_in_vain_is_dropped_by_name,
    whole_packets_and_pieces_share_a_connection,
    destinations_are_translated_in_pieces,
    the_worker_of_a_datagram_knows_it_wherever_its_pieces_come,
    a_datagram_goes_out_in_pieces_and_its_answer_comes_back,
    echoes_keep_their_identifier_in_the_first_piece_only,
    sctp_passes_where_its_ports_stay,
);

const SIZES: &[usize] = &[1440, 2880, 4320];

fn udp(from: Builder, ports: (u16, u16), len: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|n| (n * 7 / 3) as u8).collect();
    from.udp(ports.0, ports.1).payload(&data).build()
}

/// What a host gets when another sends these, as the packet that they make.
fn carried(net: &mut Network, from: &str, to: &str, frames: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    for frame in frames {
        net.send_later(from, frame.clone());
    }
    net.settle();
    join(&net.take(to))
}

fn line(frame: &[u8]) -> String {
    told(show(frame))
}

fn a_datagram_goes_out_in_pieces_and_its_answer_comes_back() {
    let mut net = nat();
    let whole = udp(out("8.8.8.8"), (4000, 53), 5000);
    let pieces = cut(&whole, 77, SIZES);
    for piece in &pieces {
        net.send_later("vm", piece.clone());
    }
    net.settle();
    let sent = net.take("up");
    let lens: Vec<usize> = sent.iter().map(Vec::len).collect();
    assert_eq!(
        lens,
        pieces.iter().map(Vec::len).collect::<Vec<_>>(),
        "each with its own size"
    );
    assert_eq!(
        net.moved(),
        ["gw: established 3, fragment 4, opened 1, walk 1"]
    );
    assert_eq!(
        line(&join(&sent).unwrap()),
        "02:00:00:00:01:02 > 02:00:00:00:00:fe 203.0.113.1.4000 > 8.8.8.8.53 udp ttl 63 len 5028"
    );
    // As the whole datagram would have left, later ones with nothing changed but addresses, TTL and header checksum.
    let as_whole = udp(
        packet((nat::G_OUT, nat::UP), ("203.0.113.1", "8.8.8.8")).ttl(63),
        (4000, 53),
        5000,
    );
    assert_eq!(join(&sent), join(&cut(&as_whole, 0, &[])));
    let upper = |frame: &[u8]| usize::from(parse(frame).unwrap().ip().unwrap().l4_offset);
    let said = |frame: &[u8]| {
        let ip = *parse(frame).unwrap().ip().unwrap();
        (ip.fragment_id, ip.extent, ip.total_len)
    };
    for (before, after) in pieces.iter().zip(&sent).skip(1) {
        assert_eq!(before[upper(before)..], after[upper(after)..]);
        assert_eq!(said(before), said(after));
    }

    let answer = udp(back("8.8.8.8", "203.0.113.1"), (53, 4000), 4000);
    let got = carried(&mut net, "up", "vm", &cut(&answer, 5, SIZES)).unwrap();
    let as_whole = udp(
        packet((nat::G_IN, nat::VM), ("8.8.8.8", "10.0.0.10")).ttl(63),
        (53, 4000),
        4000,
    );
    assert_eq!(Ok(got), join(&cut(&as_whole, 0, &[])));
    net.assert_no_buffer_lost();
}

pub fn later_pieces_wait_for_the_first() {
    let mut net = nat();
    let pieces = cut(&udp(out("8.8.8.8"), (4000, 53), 5000), 77, SIZES);
    for at in [3, 1, 2] {
        net.send("vm", pieces[at].clone());
        assert!(net.take("up").is_empty());
    }
    assert_eq!(net.moved(), ["gw: fragment 3, fragment-held 3"]);
    assert_eq!(net.node("gw").counters[0].fragments(), (1, 3));
    net.forget();
    net.send("vm", pieces[0].clone());
    let offsets: Vec<u16> = net
        .take("up")
        .iter()
        .map(|frame| parse(frame).unwrap().ip().unwrap().extent.offset)
        .collect();
    assert_eq!(
        offsets,
        [0, 4320, 1440, 2880],
        "the first, then in order of arrival"
    );
    assert_eq!(
        net.moved(),
        ["gw: established 3, fragment 1, opened 1, walk 1"]
    );
    assert_eq!(net.node("gw").counters[0].fragments(), (0, 0));
    net.assert_no_buffer_lost();
}

fn what_waits_in_vain_is_dropped_by_name() {
    let mut net = nat();
    let pieces = cut(&udp(out("8.8.8.8"), (4000, 53), 5000), 77, SIZES);
    net.send("vm", pieces[1].clone());
    net.send("vm", pieces[2].clone());
    net.send("vm", pieces[2].clone());
    net.run(3_000);
    let counts = net.moved().join(" ");
    assert!(
        counts.contains(
            "drop:fragment-duplicate 1, drop:fragment-timeout 2, fragment 3, fragment-held 2"
        ),
        "{counts}"
    );
    // The first comes too late for these, and is no worse off.
    net.forget();
    net.send("vm", pieces[0].clone());
    assert_eq!(net.take("up").len(), 1);
    net.assert_no_buffer_lost();
}

fn echoes_keep_their_identifier_in_the_first_piece_only() {
    let mut net = nat();
    let echo = |from: Builder, kind| from.icmp_echo(kind, 9, 1).payload(&[0x5a; 3000]).build();
    let request = echo(out("8.8.8.8"), Echo::Request);
    let sent = carried(&mut net, "vm", "up", &cut(&request, 1, SIZES)).unwrap();
    let L4::Echo { reply: false, id } = parse(&sent).unwrap().ip().unwrap().l4 else {
        panic!("{}", line(&sent));
    };
    let answer = back("8.8.8.8", "203.0.113.1")
        .icmp_echo(Echo::Reply, id, 1)
        .payload(&[0x5a; 3000]);
    let mut pieces = cut(&answer.build(), 2, SIZES);
    pieces.reverse();
    let got = carried(&mut net, "up", "vm", &pieces).unwrap();
    let as_sent = echo(
        packet((nat::G_IN, nat::VM), ("8.8.8.8", "10.0.0.10")).ttl(63),
        Echo::Reply,
    );
    assert_eq!(Ok(got), join(&cut(&as_sent, 0, &[])));
}

#[test]
fn a_datagram_without_checksum_gets_none() {
    let mut net = nat();
    let mut whole = udp(out("8.8.8.8"), (4000, 53), 3000);
    whole[40..42].fill(0);
    let sent = carried(&mut net, "vm", "up", &cut(&whole, 1, SIZES)).unwrap();
    assert_eq!(sent[40..42], [0, 0]);
}

fn whole_packets_and_pieces_share_a_connection() {
    let mut net = nat();
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    net.forget();
    let pieces = cut(&udp(out("8.8.8.8"), (4000, 53), 3000), 1, SIZES);
    assert!(carried(&mut net, "vm", "up", &pieces).is_ok());
    assert_eq!(net.moved(), ["gw: established 3, fragment 3"]);
    assert_eq!(net.node("gw").connections.len(), 1);
}

#[test]
fn errors_about_fragments() {
    let mut net = nat();
    let pieces = cut(&udp(out("8.8.8.8"), (4000, 53), 3000), 1, SIZES);
    for piece in &pieces {
        net.send("vm", piece.clone());
    }
    let sent = net.take("up");
    let error = |about: &[u8]| {
        back("192.0.2.1", "203.0.113.1")
            .icmp(icmpv4::TIME_EXCEEDED, 1, [0; 4])
            .payload(&about[14..14 + 28])
    };
    net.forget();
    // About the first: it has ports.
    net.send("up", error(&sent[0]));
    let got = net.take_one("vm");
    assert_eq!(&got[26..34], [192, 0, 2, 1, 10, 0, 0, 10]);
    assert_eq!(
        &got[14 + 28 + 12..14 + 28 + 16],
        [10, 0, 0, 10],
        "who sent it"
    );
    net.forget();
    // About another: whose it is nobody can tell.
    net.probe("up", error(&sent[1])).expect(
        "later",
        &[],
        &["gw: drop:icmp-error-unrelated 1, walk 1"],
    );
}

fn sctp_passes_where_its_ports_stay() {
    let frame = out("8.8.8.8").sctp(4000, 5000).payload(&[3; 2000]).build();
    let pieces = cut(&frame, 1, SIZES);
    let mut net = nat();
    let sent = carried(&mut net, "vm", "up", &pieces).unwrap();
    let as_whole = packet((nat::G_OUT, nat::UP), ("203.0.113.1", "8.8.8.8")).ttl(63);
    let as_whole = as_whole.sctp(4000, 5000).payload(&[3; 2000]).build();
    assert_eq!(Ok(sent), join(&cut(&as_whole, 0, &[])));
    // Its checksum is over all pieces: with another port it cannot be made right.
    let ranged = both_rules().replacen(
        "external_ip = \"203.0.113.1\"",
        "external_ip = \"203.0.113.1\"\nexternal_port_range = \"5000-5100\"",
        1,
    );
    let mut net = nat_on(&ranged, gw(), &NodeOptions::default());
    net.send("vm", pieces[0].clone());
    assert_eq!(
        net.moved(),
        ["gw: drop:nat-fragment 1, fragment 1, opened 1, walk 1"]
    );
}

/// Any order, any copies, there and back: what comes out is what the whole datagram would have become.
fn there_and_back(
    net: &mut Network,
    (port, id): (u16, u16),
    (len, cuts): (usize, &[usize]),
    order: &[(u32, u8)],
) -> Result<(), TestCaseError> {
    let shuffled = |whole: &[u8]| {
        let mut pieces: Vec<(u32, Vec<u8>)> = Vec::new();
        let all = cut(whole, id.into(), cuts);
        for (piece, (place, copies)) in all.iter().zip(order.iter().cycle()) {
            for copy in 0..*copies {
                pieces.push((place.rotate_left(u32::from(copy) * 5), piece.clone()));
            }
        }
        pieces.sort_by_key(|(place, _)| *place);
        pieces
            .into_iter()
            .map(|(_, piece)| piece)
            .collect::<Vec<_>>()
    };
    let request = udp(out("8.8.8.8"), (port, 53), len);
    let sent = carried(net, "vm", "up", &shuffled(&request)).map_err(TestCaseError::fail)?;
    let (external, _) = parse(&sent).unwrap().ip().unwrap().ports().unwrap();
    let as_whole = packet((nat::G_OUT, nat::UP), ("203.0.113.1", "8.8.8.8")).ttl(63);
    let as_whole = udp(as_whole, (external, 53), len);
    prop_assert_eq!(
        Ok(sent),
        join(&[as_whole]).and_then(|frame| join(&cut(&frame, 0, &[])))
    );

    let answer = udp(back("8.8.8.8", "203.0.113.1"), (53, external), len);
    let got = carried(net, "up", "vm", &shuffled(&answer)).map_err(TestCaseError::fail)?;
    let as_whole = packet((nat::G_IN, nat::VM), ("8.8.8.8", "10.0.0.10")).ttl(63);
    let as_whole = udp(as_whole, (53, port), len);
    prop_assert_eq!(Ok(got), join(&cut(&as_whole, 0, &[])));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn translated_in_pieces_is_translated_whole(
        datagrams in prop::collection::vec(
            (1024u16..60_000, any::<u16>(), 16usize..9_000, prop::collection::vec(8usize..9_000, 1..10)), 1..4),
        order in prop::collection::vec((any::<u32>(), 1u8..3), 24),
        workers in 1usize..=2,
        v6 in any::<bool>(),
    ) {
        let mut result = Ok(());
        let mut run = || result = all_there_and_back(&datagrams, &order, workers);
        match v6 {
            true => with_v6(run),
            false => run(),
        }
        result?;
    }
}

fn all_there_and_back(
    datagrams: &[(u16, u16, usize, Vec<usize>)],
    order: &[(u32, u8)],
    workers: usize,
) -> Result<(), TestCaseError> {
    let options = NodeOptions {
        workers,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    if workers > 1 {
        // As a card that spreads fragments by anything.
        net.queue = |frame| u16::from(frame[frame.len() - 1] ^ frame[21]) & 1;
    }
    for (port, id, len, cuts) in datagrams {
        let mut cuts = cuts.clone();
        if is_v6() {
            // No router cuts those (RFC 8200 section 4.5).
            cuts.extend((1400..*len).step_by(1400));
        }
        there_and_back(&mut net, (*port, *id), (*len, &cuts), order)?;
        net.run(2_500);
    }
    for worker in &net.node("gw").counters {
        prop_assert_eq!(worker.fragments(), (0, 0));
    }
    net.assert_no_buffer_lost();
    Ok(())
}

fn destinations_are_translated_in_pieces() {
    const RULES: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5:80" = ["10.0.0.10:8080"] }
protocol = "udp"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.12"
"#;
    let balanced = "[router.g]\nload_balancers = [\"web\"]\n";
    let topology = [&nat::TOPOLOGY.replace("[router.g]\n", balanced), RULES].concat();
    for workers in [1, 2] {
        let options = NodeOptions {
            workers,
            ..NodeOptions::default()
        };
        let mut net = nat_on(&topology, gw(), &options);
        if workers > 1 {
            net.queue = |frame| u16::from(frame[21]) & 1;
        }
        for (external, host, its_mac, inside, port) in [
            ("203.0.113.5", "vm", nat::VM, "10.0.0.10", 8080),
            ("203.0.113.12", "vm2", nat::VM2, "10.0.0.11", 80),
        ] {
            for reversed in [false, true] {
                let mut pieces = cut(&udp(back("8.8.8.8", external), (4000, 80), 4000), 1, SIZES);
                if reversed {
                    pieces.reverse();
                }
                let got = carried(&mut net, "up", host, &pieces).unwrap();
                let as_whole = packet((nat::G_IN, its_mac), ("8.8.8.8", inside)).ttl(63);
                let as_whole = udp(as_whole, (4000, port), 4000);
                assert_eq!(Ok(got), join(&cut(&as_whole, 0, &[])), "{external}");

                let answer = packet((its_mac, nat::G_IN), (inside, "8.8.8.8"));
                let mut pieces = cut(&udp(answer, (port, 4000), 4000), 2, SIZES);
                if reversed {
                    pieces.reverse();
                }
                let got = carried(&mut net, host, "up", &pieces).unwrap();
                let as_whole = packet((nat::G_OUT, nat::UP), (external, "8.8.8.8")).ttl(63);
                let as_whole = udp(as_whole, (80, 4000), 4000);
                assert_eq!(Ok(got), join(&cut(&as_whole, 0, &[])), "{external}");
            }
        }
        net.assert_no_buffer_lost();
    }
}

fn the_worker_of_a_datagram_knows_it_wherever_its_pieces_come() {
    let options = NodeOptions {
        workers: 2,
        ..NodeOptions::default()
    };
    let mut net = nat_on(&both_rules(), gw(), &options);
    // Pieces come to any worker.
    net.queue = |frame| u16::from(frame[frame.len() - 1]) & 1;
    for id in 0..50 {
        let whole = udp(out("8.8.8.8"), (4000 + id, 53), 5000);
        let mut pieces = cut(&whole, id.into(), SIZES);
        if id % 2 == 0 {
            pieces.reverse();
        }
        assert!(carried(&mut net, "vm", "up", &pieces).is_ok(), "{id}");
    }
    let counts = net.moved().join(" ");
    assert!(
        counts.contains("fragment 200, ") && counts.contains("opened 50"),
        "{counts}"
    );
    assert!(counts.contains("hand-off"), "{counts}");
    assert!(!counts.contains("drop"), "{counts}");
    net.assert_no_buffer_lost();
}

#[test]
fn a_piece_that_must_be_cut_again_or_wait_for_a_neighbor() {
    // Into the tunnel less fits: each piece is cut once more, after its destination was translated.
    const FAR: &str = r#"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.12"
external_ip = "203.0.113.12"
"#;
    let mut net = nat_on(
        &[nat::TOPOLOGY, FAR].concat(),
        gw(),
        &NodeOptions::default(),
    );
    let whole = udp(back("8.8.8.8", "203.0.113.12"), (53, 4000), 4000);
    const LARGE: &[usize] = &[1600, 3200];
    for pieces in [
        cut(&whole, 5, LARGE),
        cut(&whole, 6, LARGE).into_iter().rev().collect(),
    ] {
        for piece in pieces {
            net.send_later("up", piece);
        }
        net.settle();
        // Outer Ethernet, IPv4, UDP, Geneve with OVN's option.
        let inner: Vec<Vec<u8>> = net
            .take("hv")
            .iter()
            .map(|frame| frame[14 + 20 + 8 + 16..].to_vec())
            .collect();
        assert_eq!(inner.len(), 5);
        let got = join(&inner).unwrap();
        assert_eq!(
            line(&got),
            "02:00:00:00:01:01 > 02:00:00:00:00:12 8.8.8.8.53 > 10.0.0.12.4000 udp ttl 63 len 4028"
        );
    }
    net.assert_no_buffer_lost();

    // Nobody knows yet where the upstream router is.
    let mut net = nat();
    net.run(3_600_000);
    let pieces = cut(&udp(out("8.8.8.8"), (4001, 53), 3000), 9, SIZES);
    for piece in &pieces {
        net.send_later("vm", piece.clone());
    }
    net.settle();
    let mut sent = net.take("up");
    sent.retain(|frame| parse(frame).is_ok_and(|headers| headers.ip().is_some()));
    assert!(join(&sent).is_ok());
}

#[test]
fn untold_pieces_of_plain_traffic_are_left_alone() {
    let mut net = nat_on(nat::TOPOLOGY, gw(), &NodeOptions::default());
    let pieces = cut(&udp(out("8.8.8.8"), (4000, 53), 3000), 1, SIZES);
    let later = &pieces[1];
    assert_eq!(
        parse(later).unwrap().ip().unwrap().fragment,
        Fragment::Later
    );
    net.send("vm", later.clone());
    assert_eq!(net.take("up").len(), 1);
    assert_eq!(net.moved(), ["gw: walk 1"]);
    // Of a protocol without ports neither.
    let esp = out("8.8.8.8")
        .protocol(50)
        .fragment(64, false)
        .payload(&[0; 40]);
    net.send("vm", esp);
    assert_eq!(net.take("up").len(), 1);
}

/// What does not fit behind the translation is cut, and what was cut is cut again (RFC 791); with DF the sender is told.
#[test]
fn what_does_not_fit_is_cut_and_translated() {
    let narrow = both_rules().replace(
        "networks = [\"203.0.113.1/24\"]",
        "networks = [\"203.0.113.1/24\"]\ngateway_mtu = 1400",
    );
    let mut net = nat_on(&narrow, gw(), &NodeOptions::default());
    for (len, pieces) in [(1472, 2), (4000, 5)] {
        let whole = udp(out("8.8.8.8"), (4000, 53), len);
        for piece in cut(&whole, 9, &[1480, 2960]) {
            net.send_later("vm", piece);
        }
        net.settle();
        let sent = net.take("up");
        assert_eq!(sent.len(), pieces, "{:?}", net.moved());
        let as_whole = packet((nat::G_OUT, nat::UP), ("203.0.113.1", "8.8.8.8")).ttl(63);
        let as_whole = udp(as_whole, (4000, 53), len);
        assert_eq!(join(&sent), join(&cut(&as_whole, 0, &[])));
    }
    net.forget();
    let whole = out("8.8.8.8")
        .dont_fragment(true)
        .udp(4000, 53)
        .payload(&[0; 1472]);
    net.send("vm", whole);
    let told = net.take_one("vm");
    assert!(line(&told).contains("icmp error 3/4"), "{}", line(&told));
    net.assert_no_buffer_lost();
}
