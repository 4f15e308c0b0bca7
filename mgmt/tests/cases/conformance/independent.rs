//! What is so only where a source has one end outside for all remote ends.

use sluice_net::wire::tcp;

use super::bed::*;
use crate::cases::nat::{self, back};
use crate::support::NodeOptions;

const KINDS: [Kind; 4] = [Kind::Udp, Kind::Tcp, Kind::Sctp, Kind::Echo];
const MINUTE: u32 = 60_000;

/// A source is called the same by all, though its own port was taken; and each remote end finds it.
#[test]
pub fn one_end_for_all_remotes() {
    for mode in INDEPENDENT {
        for kind in KINDS {
            let mut bed = Bed::new(*mode);
            bed.out(kind, (A, 4000), ("8.8.8.8", 80)).unwrap();
            let end = bed.out(kind, (B, 4000), ("8.8.8.8", 80)).unwrap();
            assert_ne!(end.1, 4000, "{} {kind:?}", mode.name);
            for remote in [("8.8.8.8", 81), ("8.8.4.4", 80), ("198.51.100.9", 9)] {
                let again = bed.out(kind, (B, 4000), remote).unwrap();
                assert_eq!(again, end, "{} {kind:?} to {remote:?}", mode.name);
                let inside = bed.back(kind, remote, (&end.0, end.1));
                assert_eq!(inside, Some((B.into(), 4000)), "{} {kind:?}", mode.name);
            }
            assert_eq!(bed.mappings().len(), 2, "{} {kind:?}", mode.name);
        }
    }
}

/// Who may send to a mapped port that it was not used for: nobody, hosts that were sent to, anybody.
#[test]
pub fn who_may_send_to_a_mapped_port() {
    for (mode, same_end, same_address, others) in [
        (FILTERED, true, false, false),
        (RESTRICTED, true, true, false),
        (OPEN, true, true, true),
    ] {
        for kind in [Kind::Udp, Kind::Tcp, Kind::Sctp] {
            let mut bed = Bed::new(mode);
            let (_, port) = bed.out(kind, (A, 4000), ("8.8.8.8", 53)).unwrap();
            for (from, passes) in [
                (("8.8.8.8", 53), same_end),
                (("8.8.8.8", 54), same_address),
                (("8.8.4.4", 53), others),
            ] {
                bed.net.forget();
                let end = bed.back_as(from, (EXTERNAL, port), |frame| {
                    first(kind, frame, from.1, port)
                });
                let reached = end == Some((A.to_owned(), 4000));
                assert_eq!(reached, passes, "{} {kind:?} from {from:?}", mode.name);
                let moved = bed.net.moved().concat();
                assert_eq!(moved.contains("drop:nat-filtered 1"), !passes, "{moved}");
            }
            let other_port = bed.back_as(("8.8.8.8", 53), (EXTERNAL, port + 1), |frame| {
                first(kind, frame, 53, port + 1)
            });
            assert_eq!(other_port, None, "{} {kind:?}", mode.name);
        }
    }
}

/// A whole TCP connection that somebody outside opens to a mapped port.
#[test]
pub fn tcp_from_outside() {
    let mut bed = Bed::new(OPEN);
    let (_, port) = bed.out(Kind::Tcp, (A, 4000), ("8.8.8.8", 80)).unwrap();
    let peer = ("198.51.100.9", 6000);
    let inside = Some((A.to_owned(), 4000));
    let outside = Some((EXTERNAL.to_owned(), port));
    for (from_peer, flags) in [
        (true, tcp::SYN),
        (false, tcp::SYN | tcp::ACK),
        (true, tcp::ACK),
        (false, tcp::ACK | tcp::PSH),
        (true, tcp::FIN | tcp::ACK),
        (false, tcp::FIN | tcp::ACK),
        (true, tcp::ACK),
    ] {
        if from_peer {
            let end = bed.back_as(peer, (EXTERNAL, port), |f| f.tcp(peer.1, port, flags));
            assert_eq!(end, inside, "{flags:#x}");
        } else {
            let end = bed.out_as((A, 4000), peer, |f| f.tcp(4000, peer.1, flags));
            assert_eq!(end, outside, "{flags:#x}");
        }
    }
    let states = bed.entries(|entry| Some(entry.state.name()));
    assert!(states.contains(&"time-wait"), "{states:?}");
}

/// Two clients by each other's ends outside, whatever the filter, and one by its own.
#[test]
pub fn hairpin_between_mapped_ends() {
    for mode in INDEPENDENT {
        for kind in [Kind::Udp, Kind::Tcp, Kind::Sctp] {
            let mut bed = Bed::new(*mode);
            // B's own port is taken.
            bed.out(kind, (A, 5000), ("8.8.8.8", 80)).unwrap();
            let (_, b) = bed.out(kind, (B, 5000), ("8.8.8.8", 80)).unwrap();
            let (host, frame) = from_client(A, EXTERNAL);
            let seen = bed.send(host, first(kind, frame, 4000, b));
            let there = seen.iter().find(|seen| seen.host == "vm2");
            let there = there.unwrap_or_else(|| panic!("{} {kind:?}: {seen:?}", mode.name));
            assert_eq!(there.dst, (B.to_owned(), 5000));
            assert_eq!(there.src, (EXTERNAL.to_owned(), 4000), "its end outside");
            let (host, frame) = from_client(B, EXTERNAL);
            let seen = bed.send(host, answer(kind, frame, 5000, 4000));
            let here = seen
                .iter()
                .find(|seen| seen.host == "vm")
                .expect("the answer");
            assert_eq!(here.dst, (A.to_owned(), 4000));
            assert_eq!(here.src, (EXTERNAL.to_owned(), b), "{} {kind:?}", mode.name);
            // The world knows A by the same end.
            let end = bed.out(kind, (A, 4000), ("8.8.4.4", 80)).unwrap();
            assert_eq!(end, (EXTERNAL.to_owned(), 4000));
            // To itself.
            let (host, frame) = from_client(A, EXTERNAL);
            let seen = bed.send(host, first(kind, frame, 4000, 4000));
            let own = seen
                .iter()
                .find(|seen| seen.host == "vm")
                .expect("its own packet");
            assert_eq!(own.dst, (A.to_owned(), 4000), "{} {kind:?}", mode.name);
            assert_eq!(own.src, (EXTERNAL.to_owned(), 4000));
        }
    }
}

/// A port that is open to all for UDP is not for TCP.
#[test]
pub fn filters_of_protocols_are_apart() {
    let mut bed = Bed::new(OPEN);
    bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
    for (kind, passes) in [(Kind::Udp, true), (Kind::Tcp, false), (Kind::Sctp, false)] {
        let peer = ("198.51.100.9", 6000);
        let end = bed.back_as(peer, (EXTERNAL, 4000), |f| first(kind, f, 6000, 4000));
        assert_eq!(end.is_some(), passes, "{kind:?}");
    }
}

/// Who is not let in keeps nothing alive.
#[test]
pub fn what_is_filtered_refreshes_nothing() {
    for mode in [FILTERED, RESTRICTED] {
        let mut bed = Bed::new(mode);
        bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
        for _ in 0..20 {
            bed.net.run(10_000);
            let peer = ("198.51.100.9", 6000);
            let end = bed.back(Kind::Udp, peer, (EXTERNAL, 4000));
            assert_eq!(end, None, "{}", mode.name);
        }
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}

/// A mapping lives as long as something rests on it, and no longer; and so does the leave to send to it.
#[test]
pub fn a_mapping_lives_as_long_as_its_connections() {
    for mode in INDEPENDENT {
        let mut bed = Bed::new(*mode);
        let end = bed.out(Kind::Tcp, (A, 4000), ("8.8.8.8", 80)).unwrap();
        bed.back(Kind::Tcp, ("8.8.8.8", 80), (EXTERNAL, end.1));
        bed.out_as((A, 4000), ("8.8.8.8", 80), |f| f.tcp(4000, 80, tcp::ACK));
        // Established; two hours without a packet.
        bed.net.run(120 * MINUTE);
        let other = bed.out(Kind::Tcp, (A, 4000), ("8.8.4.4", 80)).unwrap();
        assert_eq!(other, end, "{}", mode.name);
        bed.net.run(10 * MINUTE);
        assert_eq!(bed.mappings().len(), 0, "{}", mode.name);
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}

/// A table full of connections that were never answered: they make room for others, their mappings stay.
#[test]
pub fn a_full_table_ends_no_mapping() {
    for mode in INDEPENDENT {
        let options = NodeOptions {
            connections: 100,
            ..NodeOptions::default()
        };
        let mut bed = Bed::with(*mode, &options);
        let mut ends = Vec::new();
        for port in 4000..4010 {
            ends.push(bed.out(Kind::Udp, (A, port), ("8.8.8.8", 53)).unwrap());
        }
        let mut opened = 0;
        for remote in 1..100u16 {
            let to = format!("198.51.100.{remote}");
            opened += usize::from(bed.out(Kind::Udp, (A, 4000), (&to, 53)).is_some());
        }
        assert!(opened > 30, "{}: room was made for {opened}", mode.name);
        assert_eq!(bed.mappings().len(), 10, "{}", mode.name);
        bed.net.run(100_000);
        assert_eq!(bed.mappings().len(), 10, "{}", mode.name);
        for mapping in bed.mappings() {
            let at = usize::from(mapping.inside.1 - 4000);
            let end = (mapping.outside.0.to_string(), mapping.outside.1);
            assert_eq!(Some(&end), ends.get(at), "{}", mode.name);
        }
    }
}

/// Errors about what somebody outside opened, from both sides.
#[test]
pub fn errors_about_connections_from_outside() {
    let mut bed = Bed::new(OPEN);
    bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
    let peer = ("198.51.100.9", 6000);
    bed.back(Kind::Udp, peer, (EXTERNAL, 4000)).unwrap();
    // The client refuses it.
    let sent = crate::support::packet((nat::G_IN, nat::VM), (peer.0, A));
    let sent = sent.udp(peer.1, 4000).payload(&[7; 24]).build();
    let (host, frame) = from_client(A, peer.0);
    let seen = bed.send(host, frame.icmp(3, 3, [0; 4]).payload(&sent[14..]));
    let (_, _, inner) = seen[0].error().expect("an error");
    assert_eq!((&*seen[0].host, &*seen[0].src.0), ("up", EXTERNAL));
    assert_eq!(
        (inner.dst.to_string(), inner.dst_port),
        (EXTERNAL.into(), 4000)
    );
    // Its answer does not get there.
    let about = quoted((EXTERNAL, 4000), peer, Kind::Udp);
    let seen = bed.error_from_outside(("203.0.113.254", 3, 1), &about);
    let (_, _, inner) = seen[0].error().expect("an error");
    assert_eq!((&*seen[0].host, &*seen[0].dst.0), ("vm", A));
    assert_eq!((inner.src.to_string(), inner.src_port), (A.into(), 4000));
}

/// Another rule, or none: what was opened by the old one ends, and its mappings.
#[test]
pub fn a_reload_ends_what_it_forbids() {
    let with = |keys: &str| [nat::TOPOLOGY, &rule(keys)].concat();
    let peer = ("198.51.100.9", 6000);
    for (mode, to, opened_outside, opened_inside) in [
        (OPEN, with(OPEN.keys), true, true),
        (OPEN, with(FILTERED.keys), false, true),
        (OPEN, with(PLAIN.keys), false, false),
        (OPEN, nat::TOPOLOGY.to_owned(), false, false),
        (PLAIN, with(OPEN.keys), false, false),
    ] {
        let mut bed = Bed::new(mode);
        bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
        bed.back(Kind::Udp, ("8.8.8.8", 53), (EXTERNAL, 4000))
            .unwrap();
        let from_outside = bed.back(Kind::Udp, peer, (EXTERNAL, 4000));
        assert_eq!(from_outside.is_some(), mode == OPEN);
        bed.net.reload(&to);
        bed.net.run(20_000);
        let left = bed.entries(|entry| (!entry.is_apart()).then_some(entry.original.src));
        let count = |inside: bool| {
            left.iter()
                .filter(|src| (src.to_string() == A) == inside)
                .count()
        };
        assert_eq!(
            count(true),
            usize::from(opened_inside),
            "{} to {to}",
            mode.name
        );
        let stays = opened_outside && mode == OPEN;
        assert_eq!(count(false), usize::from(stays), "{} to {to}", mode.name);
        let maps = to.contains("mapping") && opened_inside;
        assert_eq!(
            bed.mappings().len(),
            usize::from(maps),
            "{} to {to}",
            mode.name
        );
    }
}

/// Packets of a mapped connection take one look-up, in both directions, whoever opened it.
#[test]
pub fn established_ones_take_one_look_up() {
    let mut bed = Bed::new(OPEN);
    bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
    let peer = ("198.51.100.9", 6000);
    for remote in [("8.8.8.8", 53), peer] {
        for _ in 0..2 {
            bed.back(Kind::Udp, remote, (EXTERNAL, 4000)).unwrap();
            bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        }
        bed.net.forget();
        bed.back(Kind::Udp, remote, (EXTERNAL, 4000)).unwrap();
        bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        assert_eq!(bed.net.moved(), ["gw: established 2"], "{remote:?}");
    }
    bed.net.assert_no_buffer_lost();
}

/// A port of the shared address that a balancer serves is given to no source.
#[test]
pub fn a_virtual_ip_keeps_its_port() {
    let balanced = "[router.g]\nload_balancers = [\"web\"]\n";
    let balancer =
        format!("[load_balancer.web]\nvips = {{ \"{EXTERNAL}:80\" = [\"10.0.0.11:8080\"] }}\n");
    let topology = nat::TOPOLOGY.replace("[router.g]\n", balanced);
    let mut bed = Bed {
        net: nat::nat_on(
            &[topology, rule(OPEN.keys), balancer].concat(),
            nat::gw(),
            &NodeOptions::default(),
        ),
    };
    let end = bed.out(Kind::Tcp, (A, 80), ("8.8.8.8", 443)).unwrap();
    assert_ne!(end.1, 80);
    let frame = back("8.8.8.8", EXTERNAL).tcp(5000, 80, tcp::SYN);
    let seen = bed.send("up", frame);
    assert_eq!(seen[0].dst, (B.to_owned(), 8080));
}
