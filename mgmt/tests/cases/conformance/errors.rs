//! ICMP errors: what becomes of them, and what they do to the flows they are about.

use sluice_net::builder::Echo;
use sluice_net::wire::icmpv4;
use sluice_net::{L4, parse};

use super::bed::*;
use crate::cases::nat::{self, G_OUT, UP};
use crate::support::{NodeOptions, cut, join, packet};

const REMOTE: (&str, u16) = ("8.8.8.8", 80);
const KINDS: [Kind; 3] = [Kind::Udp, Kind::Tcp, Kind::Echo];

/// The end that a quoted packet came from, and the one it went to.
fn quoted_ends(seen: &Seen) -> ((String, u16), (String, u16)) {
    let (_, _, inner) = seen.error().expect("an error that quotes");
    (
        (inner.src.to_string(), inner.src_port),
        (inner.dst.to_string(), inner.dst_port),
    )
}

/// From anybody on the way outside: to the client, about the client's own packet, type and code as they were.
#[test]
pub fn from_outside_they_reach_the_client_as_about_its_own_packet() {
    for mode in MODES {
        for kind in KINDS {
            let mut bed = Bed::new(*mode);
            bed.out(kind, (B, 4000), REMOTE);
            let (_, port) = bed.out(kind, (A, 4000), REMOTE).unwrap();
            assert_ne!(port, 4000);
            for (error, code) in ERRORS {
                let about = quoted((EXTERNAL, port), REMOTE, kind);
                let seen = bed.error_from_outside(("198.51.100.7", error, code), &about);
                assert_eq!(seen.len(), 1, "{} {kind:?} {error}/{code}", mode.name);
                assert_eq!(seen[0].host, "vm");
                assert_eq!((&*seen[0].src.0, &*seen[0].dst.0), ("198.51.100.7", A));
                let (from, to) = quoted_ends(&seen[0]);
                assert_eq!(from, (A.to_owned(), 4000), "{kind:?} {error}/{code}");
                assert_eq!(to.0, REMOTE.0);
                let (got, its_code, _) = seen[0].error().unwrap();
                assert_eq!((got, its_code), (error, code));
            }
        }
    }
}

/// From inside: their source becomes the address outside, what they quote what the other side sent.
#[test]
pub fn from_inside_they_come_from_the_outer_address() {
    for mode in MODES {
        for kind in [Kind::Udp, Kind::Tcp] {
            let mut bed = Bed::new(*mode);
            bed.out(kind, (B, 4000), REMOTE);
            let (_, port) = bed.out(kind, (A, 4000), REMOTE).unwrap();
            for (error, code) in ERRORS {
                // Of the client itself, and of a router between it and the gateway.
                for reporter in [A, "10.0.0.99"] {
                    let answer = packet((UP, UP), (REMOTE.0, A));
                    let about = answer.udp(REMOTE.1, 4000).payload(&[7; 24]);
                    let about = match kind {
                        Kind::Tcp => packet((UP, UP), (REMOTE.0, A)).tcp(REMOTE.1, 4000, 0x12),
                        _ => about,
                    };
                    let (host, frame) = from_client(reporter, REMOTE.0);
                    let frame = frame
                        .icmp(error, code, [0; 4])
                        .payload(&about.build()[14..]);
                    let seen = bed.send(host, frame);
                    assert_eq!(
                        seen.len(),
                        1,
                        "{} {kind:?} {error}/{code} of {reporter}",
                        mode.name
                    );
                    assert_eq!((&*seen[0].host, &*seen[0].src.0), ("up", EXTERNAL));
                    let (from, to) = quoted_ends(&seen[0]);
                    assert_eq!(from, (REMOTE.0.to_owned(), REMOTE.1));
                    assert_eq!(to, (EXTERNAL.to_owned(), port));
                    let (got, its_code, _) = seen[0].error().unwrap();
                    assert_eq!((got, its_code), (error, code));
                }
            }
        }
    }
}

/// About nothing that is translated here: dropped, from either side, and nobody is told.
#[test]
pub fn about_nothing_known_they_are_dropped_silently() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let about = quoted((EXTERNAL, 4001), REMOTE, Kind::Udp);
        let seen = bed.error_from_outside(("198.51.100.7", 3, 1), &about);
        assert!(seen.is_empty(), "{}: {seen:?}", mode.name);
        let answer = packet((UP, UP), (REMOTE.0, A)).udp(REMOTE.1, 4001).build();
        let (host, frame) = from_client(A, REMOTE.0);
        let seen = bed.send(host, frame.icmp(3, 3, [0; 4]).payload(&answer[14..]));
        assert!(seen.is_empty(), "{}: {seen:?}", mode.name);
    }
}

/// No ICMP message ends the flow that it is about.
#[test]
pub fn they_end_no_flow() {
    for mode in MODES {
        for kind in KINDS {
            let mut bed = Bed::new(*mode);
            let (_, port) = bed.out(kind, (A, 4000), REMOTE).unwrap();
            assert!(bed.back(kind, REMOTE, (EXTERNAL, port)).is_some());
            let before = bed.connections();
            let others = [(icmpv4::SOURCE_QUENCH, 0), (icmpv4::REDIRECT, 1)];
            for (error, code) in ERRORS.into_iter().chain(others) {
                let about = quoted((EXTERNAL, port), REMOTE, kind);
                bed.error_from_outside((REMOTE.0, error, code), &about);
                assert_eq!(bed.connections(), before, "{} {kind:?}", mode.name);
            }
            let end = bed.back(kind, REMOTE, (EXTERNAL, port));
            assert_eq!(end, Some((A.into(), 4000)), "{} {kind:?}", mode.name);
        }
    }
}

/// An error about a query does not keep the query's mapping alive.
#[test]
pub fn they_refresh_nothing() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let (_, port) = bed.out(Kind::Echo, (A, 4000), REMOTE).unwrap();
        for _ in 0..10 {
            bed.net.run(20_000);
            let about = quoted((EXTERNAL, port), REMOTE, Kind::Echo);
            bed.error_from_outside((REMOTE.0, 3, 1), &about);
        }
        bed.net.run(100_000);
        assert_eq!(bed.connections(), 0, "{}", mode.name);
        // Nor do those that a client sends about what comes to it.
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        for _ in 0..20 {
            bed.net.run(20_000);
            let answer = packet((UP, UP), (REMOTE.0, A)).udp(REMOTE.1, port).build();
            let (host, frame) = from_client(A, REMOTE.0);
            bed.send(host, frame.icmp(3, 3, [0; 4]).payload(&answer[14..]));
        }
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}

/// The quoted header may have options; the transport header is behind them.
#[test]
pub fn quoted_options_are_stepped_over() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let about = packet((UP, UP), (EXTERNAL, REMOTE.0))
            .ip_options(&[7, 7, 4, 0, 0, 0, 0, 0])
            .udp(port, REMOTE.1)
            .payload(&[7; 24])
            .build();
        let seen = bed.error_from_outside(("198.51.100.7", 11, 0), &about[14..]);
        assert_eq!(seen.len(), 1, "{}", mode.name);
        assert_eq!(quoted_ends(&seen[0]).0, (A.to_owned(), 4000));
    }
}

/// A quotation may be cut in the middle of the transport header, or carry a checksum that is not right: neither is held
/// against it.
#[test]
pub fn quoted_transport_checksums_are_not_checked() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let (_, port) = bed.out(Kind::Tcp, (A, 4000), REMOTE).unwrap();
        let whole = quoted((EXTERNAL, port), REMOTE, Kind::Tcp);
        let mut wrong = whole.clone();
        wrong[20 + 16] ^= 0x55;
        for about in [&whole[..28], &wrong[..]] {
            let seen = bed.error_from_outside(("198.51.100.7", 3, 1), about);
            assert_eq!(seen.len(), 1, "{} of {} bytes", mode.name, about.len());
            assert_eq!(quoted_ends(&seen[0]).0, (A.to_owned(), 4000));
        }
    }
}

/// Extensions behind the quotation (RFC 4884) come through as they are.
#[test]
pub fn extensions_pass() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let mut payload = quoted((EXTERNAL, port), REMOTE, Kind::Udp);
        payload.resize(128, 0);
        // Version 2, a checksum, one object of MPLS labels.
        let extension = [0x20, 0, 0x9a, 0x6d, 0, 8, 1, 1, 0x3e, 0x81, 1, 0xff];
        payload.extend_from_slice(&extension);
        // The length of the padded quotation, in words.
        let frame = packet((UP, G_OUT), ("198.51.100.7", EXTERNAL)).icmp(11, 0, [0, 32, 0, 0]);
        let seen = bed.send("up", frame.payload(&payload));
        assert_eq!(seen.len(), 1, "{}", mode.name);
        assert_eq!(quoted_ends(&seen[0]).0, (A.to_owned(), 4000));
        assert!(seen[0].frame.ends_with(&extension), "{}", mode.name);
    }
}

/// An error whose own checksum is wrong is not made right on the way: no host takes it.
#[test]
pub fn a_wrong_checksum_stays_wrong() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.net.wrong_checksums = true;
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let about = quoted((EXTERNAL, port), REMOTE, Kind::Udp);
        let frame = packet((UP, G_OUT), ("198.51.100.7", EXTERNAL));
        let mut frame = frame.icmp(3, 1, [0; 4]).payload(&about).build();
        frame[14 + 20 + 2] ^= 0xff;
        for seen in bed.send("up", frame) {
            let message = &seen.frame[14 + 20..];
            let sum = sluice_net::checksum::checksum(message);
            assert_ne!(sum, 0, "{}: mended", mode.name);
        }
    }
}

/// Between two clients by outer addresses: queries, their answers, and errors about either.
#[test]
pub fn hairpinned_queries_and_errors() {
    let floating = "[[router.g.nat]]\ntype = \"dnat_and_snat\"\nlogical_ip = \"10.0.0.11\"\nexternal_ip = \"203.0.113.20\"\n";
    for mode in MODES {
        let mut bed = Bed::of(&(rule(mode.keys) + floating), &NodeOptions::default());
        let (host, frame) = from_client(A, "203.0.113.20");
        let seen = bed.send(host, frame.icmp_echo(Echo::Request, 77, 1));
        let query = seen
            .iter()
            .find(|seen| seen.host == "vm2")
            .expect("the query");
        assert_eq!((&*query.src.0, &*query.dst.0), (EXTERNAL, B));
        let L4::Echo { id, .. } = query.l4 else {
            panic!("no echo")
        };
        let (host, frame) = from_client(B, EXTERNAL);
        let seen = bed.send(host, frame.icmp_echo(Echo::Reply, id, 1));
        let reply = seen
            .iter()
            .find(|seen| seen.host == "vm")
            .expect("the reply");
        assert_eq!((&*reply.src.0, &*reply.dst.0), ("203.0.113.20", A));
        // B refuses a packet of A that came in by the gateway.
        let (host, frame) = from_client(A, "203.0.113.20");
        let seen = bed.send(host, frame.udp(4000, 53).payload(&[7; 24]));
        let packet_of_a = seen
            .iter()
            .find(|seen| seen.host == "vm2")
            .expect("the packet");
        let (host, frame) = from_client(B, EXTERNAL);
        let seen = bed.send(
            host,
            frame.icmp(3, 3, [0; 4]).payload(&packet_of_a.frame[14..]),
        );
        let error = seen
            .iter()
            .find(|seen| seen.host == "vm")
            .expect("the error");
        assert_eq!(
            (&*error.src.0, &*error.dst.0),
            ("203.0.113.20", A),
            "{}",
            mode.name
        );
        let (from, to) = quoted_ends(error);
        assert_eq!(from, (A.to_owned(), 4000));
        assert_eq!(to, ("203.0.113.20".to_owned(), 53));
    }
}

/// The way out takes 1000 bytes.
fn narrow(mode: Mode) -> Bed {
    let topology = [nat::TOPOLOGY, &rule(mode.keys)].concat().replace(
        "networks = [\"203.0.113.1/24\"]",
        "networks = [\"203.0.113.1/24\"]\ngateway_mtu = 1000",
    );
    Bed {
        net: nat::nat_on(&topology, nat::gw(), &NodeOptions::default()),
    }
}

/// A packet too large for the next link, which may not be cut: the sender is told.
#[test]
pub fn too_large_packets_are_refused() {
    for mode in MODES {
        let mut bed = narrow(*mode);
        let (host, frame) = from_client(A, REMOTE.0);
        let frame = frame.udp(4000, REMOTE.1).payload(&[7; 1200]);
        let seen = bed.send(host, frame.dont_fragment(true));
        assert_eq!(seen.len(), 1, "{}", mode.name);
        let (kind, code, inner) = seen[0].error().expect("an error");
        assert_eq!(
            (kind, code),
            (icmpv4::UNREACHABLE, icmpv4::CODE_FRAGMENTATION_NEEDED)
        );
        assert_eq!(inner.src.to_string(), A);
    }
}

/// Nor is the header checksum of the packet that it quotes.
#[test]
pub fn a_wrong_quoted_checksum_stays_wrong() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.net.wrong_checksums = true;
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let mut about = quoted((EXTERNAL, port), REMOTE, Kind::Udp);
        about[10] ^= 0x55;
        for seen in bed.error_from_outside(("198.51.100.7", 3, 1), &about) {
            let header = &seen.frame[14 + 20 + 8..][..20];
            let sum = sluice_net::checksum::checksum(header);
            assert_ne!(sum, 0, "{}: mended", mode.name);
        }
    }
}

/// Source quench and the like reach nobody.
#[test]
pub fn source_quench_does_not_pass() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let (_, port) = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        let about = quoted((EXTERNAL, port), REMOTE, Kind::Udp);
        for kind in [icmpv4::SOURCE_QUENCH, icmpv4::REDIRECT, 13, 15, 17] {
            let seen = bed.error_from_outside((REMOTE.0, kind, 0), &about);
            assert!(seen.is_empty(), "{} {kind}: {seen:?}", mode.name);
        }
    }
}

/// One that may be cut is, as it leaves, in order.
#[test]
pub fn too_large_packets_are_cut() {
    for mode in MODES {
        let mut bed = narrow(*mode);
        let (host, frame) = from_client(A, REMOTE.0);
        let frame = frame.udp(4000, REMOTE.1).payload(&[7; 1200]).ip_id(9);
        bed.net.send(host, frame.dont_fragment(false));
        let pieces = bed.net.take("up");
        assert!(pieces.len() > 1, "{}: {} pieces", mode.name, pieces.len());
        let offset = |frame: &Vec<u8>| u16::from_be_bytes([frame[20] & 0x1f, frame[21]]);
        assert!(pieces.iter().map(offset).is_sorted(), "{}", mode.name);
        let whole = join(&pieces).unwrap();
        let ip = *parse(&whole).unwrap().ip().unwrap();
        assert_eq!(
            (ip.src.to_string(), ip.ports()),
            (EXTERNAL.into(), Some((4000, REMOTE.1)))
        );
    }
}

/// Datagrams in pieces, in order and not, both ways.
#[test]
pub fn fragments_are_translated_in_any_order() {
    for mode in MODES {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut bed = Bed::new(*mode);
            bed.out(Kind::Udp, (B, 4000), REMOTE).unwrap();
            let (host, frame) = from_client(A, REMOTE.0);
            let datagram = frame.udp(4000, REMOTE.1).payload(&[7; 3000]).build();
            let pieces = cut(&datagram, 77, &[1000, 2000]);
            for at in order {
                bed.net.send_later(host, pieces[at].clone());
            }
            bed.net.settle();
            let whole = join(&bed.net.take("up")).unwrap();
            let ip = *parse(&whole).unwrap().ip().unwrap();
            let (port, _) = ip.ports().unwrap();
            assert_eq!(ip.src.to_string(), EXTERNAL, "{} {order:?}", mode.name);
            assert_ne!(port, 4000, "{} {order:?}", mode.name);
            let back = packet((UP, G_OUT), (REMOTE.0, EXTERNAL));
            let datagram = back.udp(REMOTE.1, port).payload(&[8; 3000]).build();
            let pieces = cut(&datagram, 78, &[1000, 2000]);
            for at in order {
                bed.net.send_later("up", pieces[at].clone());
            }
            bed.net.settle();
            let whole = join(&bed.net.take("vm")).unwrap();
            let ip = *parse(&whole).unwrap().ip().unwrap();
            assert_eq!(ip.dst.to_string(), A, "{} {order:?}", mode.name);
            assert_eq!(ip.ports(), Some((REMOTE.1, 4000)));
        }
    }
}
