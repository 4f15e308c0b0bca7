//! When nothing is left.

use sluice_net::wire::icmpv4;

use super::bed::*;
use crate::support::NodeOptions;

/// Two ports for everybody.
const NARROW: &str = "external_port_range = \"5000-5001\"";

/// A packet that gets no port is dropped, its sender is told, and what others have stays theirs.
#[test]
pub fn without_a_port_the_sender_is_told() {
    for mode in MODES {
        let keys = format!("{}\n{NARROW}", mode.keys);
        let mut bed = Bed::of(&rule(&keys), &NodeOptions::default());
        let remote = ("8.8.8.8", 53);
        let first = bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        let second = bed.out(Kind::Udp, (A, 4001), remote).unwrap();
        let before = bed.connections();
        let (host, frame) = from_client(B, remote.0);
        let seen = bed.send(host, frame.udp(4002, remote.1));
        assert_eq!(seen.len(), 1, "{}: {seen:?}", mode.name);
        let (kind, code, inner) = seen[0].error().expect("an error");
        assert_eq!(
            (kind, code),
            (icmpv4::UNREACHABLE, icmpv4::CODE_HOST_UNREACHABLE)
        );
        assert_eq!((inner.src.to_string(), inner.src_port), (B.into(), 4002));
        assert_eq!(bed.connections(), before, "{}", mode.name);
        for (external, port) in [(first, 4000), (second, 4001)] {
            let end = bed.back(Kind::Udp, remote, (EXTERNAL, external.1));
            assert_eq!(end, Some((A.into(), port)), "{}", mode.name);
        }
    }
}

/// One who has as much as he may have is told so; others are not concerned.
#[test]
pub fn a_client_has_a_limit() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.net.node("gw").connections.set_source_limit(3);
        let remote = ("8.8.8.8", 53);
        for port in 4000..4003 {
            assert!(bed.out(Kind::Udp, (A, port), remote).is_some());
        }
        let (host, frame) = from_client(A, remote.0);
        let seen = bed.send(host, frame.udp(4003, remote.1));
        assert_eq!(seen.len(), 1, "{}: {seen:?}", mode.name);
        for seen in seen {
            let (kind, code, _) = seen.error().expect("an error");
            assert_eq!(
                (kind, code),
                (icmpv4::UNREACHABLE, icmpv4::CODE_HOST_UNREACHABLE)
            );
        }
        assert!(bed.out(Kind::Udp, (B, 4003), remote).is_some());
        for port in 4000..4003 {
            let end = bed.back(Kind::Udp, remote, (EXTERNAL, port));
            assert_eq!(end, Some((A.into(), port)), "{}", mode.name);
        }
    }
}

/// A port that was given back rests before another client gets it.
#[test]
pub fn a_port_that_was_given_back_rests() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.net.node("gw").connections.set_hold_down(120_000);
        let remote = ("8.8.8.8", 53);
        assert_eq!(bed.out(Kind::Udp, (A, 4000), remote).unwrap().1, 4000);
        let mut idle = 0;
        while bed.connections() > 0 {
            bed.net.run(1_000);
            idle += 1;
            assert!(idle < 900, "{}: it never ends", mode.name);
        }
        bed.net.run(100_000);
        let other = bed.out(Kind::Udp, (B, 4000), remote).unwrap();
        assert_ne!(other.1, 4000, "{}: held", mode.name);
        let same = bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        assert_eq!(same.1, 4000, "{}: its own", mode.name);
    }
}

/// Every port of a range is given out before anybody is refused.
#[test]
pub fn all_ports_are_used() {
    for mode in MODES {
        let keys = format!("{}\nexternal_port_range = \"5000-5199\"", mode.keys);
        let mut bed = Bed::of(&rule(&keys), &NodeOptions::default());
        let mut used = hashbrown::HashSet::new();
        for port in 10_000..10_200 {
            let end = bed.out(Kind::Udp, (A, port), ("8.8.8.8", 53));
            let end = end.unwrap_or_else(|| panic!("{}: refused with {}", mode.name, used.len()));
            assert!((5000..5200).contains(&end.1));
            assert!(used.insert(end.1), "{}: {} twice", mode.name, end.1);
        }
    }
}
