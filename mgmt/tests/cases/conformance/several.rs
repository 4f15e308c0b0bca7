//! Mappings and several workers: any of them finds what another has made.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sluice_net::{L3, parse};

use super::bed::*;
use crate::support::NodeOptions;

/// One packet: from which client by which port, to or from which remote end, and what of it.
#[derive(Clone, Debug)]
struct Sent {
    kind: Kind,
    client: u8,
    port: u16,
    remote: u8,
    remote_port: u16,
    /// To a mapped end, of those that there are, instead.
    inbound: Option<usize>,
    /// Seconds later.
    after: u32,
}

fn sent() -> impl Strategy<Value = Sent> {
    let kind = prop_oneof![Just(Kind::Udp), Just(Kind::Tcp), Just(Kind::Echo)];
    let inbound = prop_oneof![3 => Just(None), 1 => (0_usize..64).prop_map(Some)];
    let after = prop_oneof![8 => Just(0_u32), 1 => 0..200_u32];
    (
        kind,
        10_u8..12,
        4000_u16..4006,
        1_u8..5,
        50_u16..53,
        inbound,
        after,
    )
        .prop_map(
            |(kind, client, port, remote, remote_port, inbound, after)| Sent {
                kind,
                client,
                port,
                remote,
                remote_port,
                inbound,
                after,
            },
        )
}

/// Spreads by the sum of all ports and addresses: both directions of a flow often differ.
fn anyhow(frame: &[u8]) -> u16 {
    match parse(frame).map(|headers| headers.l3) {
        Ok(L3::Ip(ip)) => {
            let (src, dst) = ip.ports().unwrap_or((0, 0));
            let addresses: u32 = frame[26..34].iter().map(|byte| u32::from(*byte)).sum();
            ((addresses + 3 * u32::from(src) + u32::from(dst)) % 3) as u16
        }
        _ => 0,
    }
}

/// A source of a protocol.
type Source = (u8, String, u16);

fn play(mode: Mode, all: &[Sent]) {
    let options = NodeOptions {
        workers: 3,
        ..NodeOptions::default()
    };
    let mut bed = Bed::with(mode, &options);
    bed.net.queue = anyhow;
    bed.net.record = false;
    let proto = |kind| match kind {
        Kind::Udp => 17,
        Kind::Tcp => 6,
        Kind::Sctp => 132,
        Kind::Echo => 1,
    };
    for sent in all {
        bed.net.run(sent.after * 1000);
        let (client, remote) = (
            format!("10.0.0.{}", sent.client),
            format!("198.51.100.{}", sent.remote),
        );
        // What is mapped now is what everybody must see.
        let mut named: BTreeMap<Source, u16> = BTreeMap::new();
        let mut ends: BTreeMap<(u8, u16), Source> = BTreeMap::new();
        for mapping in bed.mappings() {
            let source = (
                mapping.proto,
                mapping.inside.0.to_string(),
                mapping.inside.1,
            );
            let end = (mapping.proto, mapping.outside.1);
            let twice = named.insert(source.clone(), mapping.outside.1);
            assert_eq!(twice, None, "{source:?} has two ends");
            let shared = ends.insert(end, source);
            assert_eq!(shared, None, "{end:?} is shared");
        }
        match sent.inbound {
            Some(index) if !ends.is_empty() && sent.kind != Kind::Echo => {
                let mut of_kind = ends.iter().filter(|((of, _), _)| *of == proto(sent.kind));
                let chosen = of_kind.clone().count();
                let Some(((_, port), source)) = of_kind.nth(index % chosen.max(1)) else {
                    continue;
                };
                let from = (&*remote, sent.remote_port);
                let end = bed.back_as(from, (EXTERNAL, *port), |frame| {
                    first(sent.kind, frame, from.1, *port)
                });
                let (_, address, inside) = source;
                match end {
                    Some(end) => assert_eq!(end, (address.clone(), *inside)),
                    None => assert_ne!(mode, OPEN, "open to all"),
                }
            }
            _ => {
                let from = (&*client, sent.port);
                let end = bed.out(sent.kind, from, (&remote, sent.remote_port));
                let (_, port) = end.expect("a port is free");
                let source = (proto(sent.kind), client.clone(), sent.port);
                if let Some(known) = named.get(&source) {
                    assert_eq!(port, *known, "{source:?} got another end");
                }
                let mapped = bed
                    .mappings()
                    .into_iter()
                    .find(|mapping| (mapping.proto, mapping.outside.1) == (source.0, port));
                let mapped = mapped.expect("what it is called is mapped");
                assert_eq!(
                    (mapped.inside.0.to_string(), mapped.inside.1),
                    (client, sent.port)
                );
            }
        }
    }
    bed.net.run(15 * 60_000);
    assert_eq!(bed.connections(), 0, "everything ends");
    bed.net.assert_no_buffer_lost();
}

/// Random traffic of clients and the world over three workers: no two sources share an end outside, none has two, and
/// who sends to an end reaches its source.
#[test]
pub fn no_end_is_shared_whatever_the_workers() {
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    for mode in INDEPENDENT {
        let mut runner = TestRunner::new(config.clone());
        let all = prop::collection::vec(sent(), 1..60);
        let result = runner.run(&all, |all| {
            play(*mode, &all);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{}: {error}", mode.name);
        }
    }
}

/// Answers that come to another worker than the one that opened the connection are handed over, and counted.
#[test]
pub fn hand_offs_are_counted() {
    let options = NodeOptions {
        workers: 2,
        ..NodeOptions::default()
    };
    let mut bed = Bed::with(OPEN, &options);
    bed.net.queue = |frame| match parse(frame).map(|headers| headers.l3) {
        Ok(L3::Ip(ip)) => ip.ports().map_or(0, |(src, _)| src & 1),
        _ => 0,
    };
    let remotes: Vec<(String, u16)> = (1..=20_u16)
        .map(|n| (format!("198.51.100.{n}"), 50 + n))
        .collect();
    for (address, port) in &remotes {
        let end = bed.out(Kind::Udp, (A, 4000), (address, *port));
        assert_eq!(end, Some((EXTERNAL.into(), 4000)));
    }
    bed.net.forget();
    for (address, port) in &remotes {
        let end = bed.back(Kind::Udp, (address, *port), (EXTERNAL, 4000));
        assert_eq!(end, Some((A.into(), 4000)));
    }
    let moved = bed.net.moved().concat();
    // Every second answer comes from an odd port, to the worker that does not own the connection.
    assert!(moved.contains("hand-off 10,"), "{moved}");
    // From outside, either worker opens; the client's answers are handed to the one that did.
    bed.net.forget();
    for port in [7000, 7001] {
        let peer = ("198.51.100.99", port);
        let end = bed.back(Kind::Udp, peer, (EXTERNAL, 4000));
        assert_eq!(end, Some((A.into(), 4000)));
        let end = bed.out(Kind::Udp, (A, 4000), peer);
        assert_eq!(end, Some((EXTERNAL.into(), 4000)));
    }
    let moved = bed.net.moved().concat();
    assert!(moved.contains("hand-off 1,"), "{moved}");
}
