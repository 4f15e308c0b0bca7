//! Fragments that somebody forges.

use proptest::prelude::*;
use sluice_fastpath::fragments::Limits;
use sluice_net::Builder;
use sluice_net::checksum::checksum;

use super::{SIZES, cut, nat_with, udp};
use crate::cases::nat::{back, nat, out};
use crate::support::NodeOptions;

#[test]
fn fragments_that_are_attacks() {
    let later = |offset, more, len| {
        out("8.8.8.8")
            .ip_id(9)
            .protocol(17)
            .fragment(offset, more)
            .payload(&vec![0; len])
    };
    let first = || {
        out("8.8.8.8")
            .ip_id(9)
            .udp(1, 2)
            .fragment(0, true)
            .payload(&[0; 64])
    };
    // What was sent before; what is sent; the reason.
    let cases: Vec<(&str, Vec<Builder>, Builder)> = vec![
        ("fragment-malformed", vec![], later(64, true, 7)),
        ("fragment-malformed", vec![], later(64, false, 0)),
        ("fragment-overlap", vec![first()], later(64, false, 64)),
        (
            "fragment-overlap",
            vec![first()],
            out("8.8.8.8")
                .ip_id(9)
                .udp(1, 3)
                .fragment(0, true)
                .payload(&[0; 64]),
        ),
        (
            "fragment-overlap",
            vec![first(), later(80, false, 8)],
            later(72, false, 8),
        ),
        // RFC 1858: a first fragment without the ports, and one that would change the flags.
        (
            "malformed-l4",
            vec![],
            out("8.8.8.8")
                .protocol(6)
                .fragment(0, true)
                .payload(&[0; 8]),
        ),
        (
            "malformed-ip",
            vec![],
            out("8.8.8.8")
                .protocol(6)
                .fragment(8, false)
                .payload(&[0; 8]),
        ),
        // The ping of death.
        ("malformed-ip", vec![], later(65_528, false, 8)),
    ];
    for (reason, before, frame) in cases {
        let mut net = nat();
        for frame in before {
            net.send("vm", frame);
        }
        net.take("up");
        net.forget();
        let outcome = net.probe("vm", frame);
        let moved = match reason {
            "malformed-l4" | "malformed-ip" => format!("gw: drop:{reason} 1"),
            _ => format!("gw: drop:{reason} 1, fragment 1"),
        };
        outcome.expect(reason, &[], &[&moved]);
        net.assert_no_buffer_lost();
    }
}

#[test]
pub fn too_many_pieces_of_one_datagram() {
    let mut net = nat();
    let whole = udp(out("8.8.8.8"), (4000, 53), 8 * 79);
    let at: Vec<usize> = (0..80).map(|n| n * 8).collect();
    let pieces = cut(&whole, 3, &at);
    assert_eq!(pieces.len(), 80);
    for piece in pieces {
        net.send_later("vm", piece);
    }
    net.settle();
    assert_eq!(net.take("up").len(), 64);
    assert_eq!(
        net.moved(),
        ["gw: drop:fragment-pieces 16, established 63, fragment 80, opened 1, walk 1"]
    );
}

/// Forged fragments from everywhere fill the table; who has a connection does not notice.
#[test]
pub fn floods_of_fragments_hurt_nobody_who_is_connected() {
    let limits = Limits {
        datagrams: 32,
        held: 64,
        timeout: 2000,
    };
    let options = NodeOptions {
        fragments: limits,
        ..NodeOptions::default()
    };
    let mut net = nat_with(&options);
    net.probe("vm", out("8.8.8.8").udp(4000, 53));
    let answer = udp(back("8.8.8.8", "203.0.113.1"), (53, 4000), 4000);
    let pieces = cut(&answer, 5, SIZES);
    net.forget();
    net.send("up", pieces[0].clone());
    for n in 0..500u32 {
        let source = format!("198.51.{}.{}", n / 250, n % 250 + 1);
        let forged = back(&source, "203.0.113.1").ip_id(n);
        let forged = match n % 2 {
            0 => forged.protocol(17).fragment(64, true).payload(&[0; 64]),
            _ => forged.udp(53, 4000).fragment(0, true).payload(&[0; 64]),
        };
        net.send_later("up", forged);
    }
    net.settle();
    let counts = net.moved().join(" ");
    assert!(counts.contains("drop:fragment-table-full"), "{counts}");
    assert!(counts.contains("fragment-displaced"), "{counts}");
    let (datagrams, held) = net.node("gw").counters[0].fragments();
    assert!(
        datagrams <= limits.datagrams && held <= limits.held,
        "{datagrams} {held}"
    );
    net.probe("up", back("8.8.8.8", "203.0.113.1").udp(53, 4000));
    for piece in &pieces[1..] {
        net.send("up", piece.clone());
    }
    let got: Vec<Vec<u8>> = net.take("vm");
    assert!(got.len() >= pieces.len() - 1);

    // Of one source only a share is kept.
    let mut net = nat_with(&options);
    for id in 0..10u16 {
        net.send(
            "vm",
            out("8.8.8.8")
                .ip_id(id.into())
                .protocol(17)
                .fragment(64, true)
                .payload(&[0; 64]),
        );
    }
    assert_eq!(
        net.moved(),
        ["gw: drop:fragment-source-limit 6, fragment 10, fragment-held 4"]
    );
}

/// Bytes of the IP header behind which a fragment hides what it is: lengths, identification, flags, offset, protocol.
const TELLING: [usize; 8] = [2, 3, 4, 5, 6, 7, 8, 9];

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Headers of fragments changed at random: each packet goes on or is dropped by name (the network counts), bounds hold, and
    /// nothing stays.
    #[test]
    fn any_header_is_forwarded_or_dropped_by_name(
        came in prop::collection::vec(
            (0usize..4, any::<bool>(), 0usize..8, any::<u8>(), 0u8..3, any::<bool>(), 0u32..40), 1..120),
        workers in 1usize..=2,
    ) {
        let limits = Limits { datagrams: 32, held: 64, timeout: 2000 };
        let options = NodeOptions { fragments: limits, workers, ..NodeOptions::default() };
        let mut net = nat_with(&options);
        if workers > 1 {
            net.queue = |frame| u16::from(frame[frame.len() - 1] ^ frame[21]) & 1;
        }
        let sent = cut(&udp(out("8.8.8.8"), (4000, 53), 5000), 1, SIZES);
        let back = cut(&udp(back("8.8.8.8", "203.0.113.1"), (53, 4000), 5000), 1, SIZES);
        net.wrong_checksums = true;
        for (piece, outward, at, byte, flips, mend, wait) in came {
            let (host, pieces) = match outward {
                true => ("vm", &sent),
                false => ("up", &back),
            };
            let mut frame = pieces[piece].clone();
            for flip in 0..usize::from(flips) {
                frame[14 + TELLING[(at + flip) % 8]] ^= byte.rotate_left(flip as u32 * 3);
            }
            if mend {
                // As a sender would, so that more than the checksum is looked at.
                frame[24..26].fill(0);
                let sum = checksum(&frame[14..34]);
                frame[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            net.send(host, frame);
            net.run(wait);
            for worker in &net.node("gw").counters {
                let (datagrams, held) = worker.fragments();
                prop_assert!(datagrams <= limits.datagrams && held <= limits.held);
            }
        }
        net.run(5_000);
        for worker in &net.node("gw").counters {
            prop_assert_eq!(worker.fragments(), (0, 0));
        }
        net.assert_no_buffer_lost();
    }
}
