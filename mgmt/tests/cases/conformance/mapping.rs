//! Which address and port a flow has outside.

use hashbrown::HashSet;

use super::bed::*;
use crate::cases::nat;
use crate::support::NodeOptions;

const KINDS: [Kind; 4] = [Kind::Udp, Kind::Tcp, Kind::Sctp, Kind::Echo];

/// All flows of a host, whatever their protocol and destination, have one address outside.
#[test]
pub fn a_host_has_one_address_outside() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        for kind in KINDS {
            for remote in 1..20 {
                let to = format!("198.51.100.{remote}");
                let (address, _) = bed.out(kind, (A, 4000 + remote), (&to, 80)).unwrap();
                assert_eq!(address, EXTERNAL, "{} {kind:?}", mode.name);
            }
        }
    }
}

/// Several addresses that need not be neighbors: each client keeps its own.
#[test]
pub fn addresses_outside_need_not_be_contiguous() {
    for mode in MODES {
        let rules = [
            rule(mode.keys),
            rule(mode.keys)
                .replace("10.0.0.0/8", B)
                .replace(EXTERNAL, "203.0.113.77"),
        ];
        let mut bed = Bed::of(&rules.concat(), &NodeOptions::default());
        for remote in ["8.8.8.8", "8.8.4.4", "198.51.100.1"] {
            for (client, external) in [(A, EXTERNAL), (B, "203.0.113.77")] {
                let (address, _) = bed.out(Kind::Udp, (client, 4000), (remote, 53)).unwrap();
                assert_eq!(address, external, "{}", mode.name);
            }
        }
    }
}

/// Two clients with one port: each flow has an end of its own outside, and answers find the right client.
#[test]
pub fn no_two_flows_share_an_end() {
    for mode in MODES {
        for kind in KINDS {
            let mut bed = Bed::new(*mode);
            let remote = ("8.8.8.8", 80);
            let first = bed.out(kind, (A, 4000), remote).unwrap();
            let second = bed.out(kind, (B, 4000), remote).unwrap();
            assert_ne!(first, second, "{} {kind:?}", mode.name);
            for (external, client) in [(&first, A), (&second, B)] {
                let end = bed.back(kind, remote, (&external.0, external.1));
                assert_eq!(end, Some((client.into(), 4000)), "{} {kind:?}", mode.name);
            }
        }
    }
}

/// A port is kept when it is free, else one of its class is taken: below 1024 below, above above.
#[test]
pub fn a_port_is_kept_or_changed_within_its_class() {
    for mode in MODES {
        for kind in [Kind::Udp, Kind::Tcp] {
            let mut bed = Bed::new(*mode);
            for port in [1, 80, 1023, 1024, 4000, 65_535] {
                let remote = ("8.8.8.8", 7);
                let kept = bed.out(kind, (A, port), remote).unwrap();
                assert_eq!(kept.1, port, "{} {kind:?}", mode.name);
                let changed = bed.out(kind, (B, port), remote).unwrap().1;
                assert_ne!(changed, port);
                assert_eq!(changed < 1024, port < 1024, "{port} became {changed}");
            }
        }
    }
}

/// Nobody outside can tell from some ports which comes next.
#[test]
pub fn chosen_ports_are_unpredictable() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let mut chosen = Vec::new();
        for port in 10_000..10_100 {
            bed.out(Kind::Udp, (A, port), ("8.8.8.8", 53)).unwrap();
            chosen.push(bed.out(Kind::Udp, (B, port), ("8.8.8.8", 53)).unwrap().1);
        }
        let steps = chosen.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
        let different: HashSet<u16> = steps.collect();
        assert!(different.len() > 90, "{}: {chosen:?}", mode.name);
        let high = chosen.iter().filter(|port| **port >= 1 << 15).count();
        assert!((25..75).contains(&high), "{}: {high}", mode.name);
    }
}

/// What a flow is called outside does not change while it lives, nor does who may answer.
#[test]
pub fn the_translation_does_not_change() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let remote = ("8.8.8.8", 53);
        bed.out(Kind::Udp, (B, 4000), remote).unwrap();
        let external = bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        for round in 0..50 {
            bed.out(Kind::Udp, (B, 5000 + round), remote).unwrap();
            bed.net.run(1000);
            assert_eq!(
                bed.out(Kind::Udp, (A, 4000), remote).as_ref(),
                Some(&external)
            );
            let end = bed.back(Kind::Udp, remote, (EXTERNAL, external.1));
            assert_eq!(end, Some((A.into(), 4000)), "{} {round}", mode.name);
        }
    }
}

/// The default: an end of a client is called one thing by each remote, another where that is taken.
#[test]
pub fn by_default_a_mapping_is_for_one_remote() {
    let mut bed = Bed::new(PLAIN);
    bed.out(Kind::Udp, (A, 4000), ("8.8.8.8", 53)).unwrap();
    let taken = bed.out(Kind::Udp, (B, 4000), ("8.8.8.8", 53)).unwrap();
    let free = bed.out(Kind::Udp, (B, 4000), ("8.8.4.4", 53)).unwrap();
    assert_ne!(taken.1, 4000);
    assert_eq!(free.1, 4000);
    // As many flows as one likes have a port, towards different places.
    for remote in 0..2000u16 {
        let to = format!("198.51.{}.{}", 100 + remote / 250, remote % 250 + 1);
        assert!(bed.out(Kind::Udp, (A, 4001), (&to, 53)).is_some());
    }
}

/// Where it is asked for, an even port becomes an even one, an odd one an odd one; else either.
#[test]
pub fn parity_is_kept_when_asked_for() {
    for mode in MODES {
        for (keys, kept) in [("port_parity = true", true), ("", false)] {
            let keys = format!("{}\n{keys}", mode.keys);
            let mut bed = Bed::of(&rule(&keys), &NodeOptions::default());
            let mut same = 0;
            for port in 10_000..10_040 {
                bed.out(Kind::Udp, (A, port), ("8.8.8.8", 53)).unwrap();
                let (_, other) = bed.out(Kind::Udp, (B, port), ("8.8.8.8", 53)).unwrap();
                same += usize::from((other ^ port) & 1 == 0);
            }
            assert_eq!(same == 40, kept, "{}: {same} of 40", mode.name);
        }
    }
}

/// Destinations that are exempt are not translated.
#[test]
pub fn translation_can_be_turned_off_for_destinations() {
    for mode in MODES {
        let keys = format!("{}\nexempted_ext_ips = [\"8.8.4.0/24\"]", mode.keys);
        let mut bed = Bed::of(&rule(&keys), &NodeOptions::default());
        let end = |bed: &mut Bed, to| bed.out(Kind::Udp, (A, 4000), (to, 53)).unwrap().0;
        assert_eq!(end(&mut bed, "8.8.4.4"), A, "{}", mode.name);
        assert_eq!(end(&mut bed, "8.8.8.8"), EXTERNAL, "{}", mode.name);
    }
}

/// A host behind a rule of destinations is reached from inside by its outer address, and sees the client's.
#[test]
pub fn hairpin_to_what_a_rule_leads_inside() {
    let dnat = "[[router.g.nat]]\ntype = \"dnat\"\nlogical_ip = \"10.0.0.11\"\nexternal_ip = \"203.0.113.20\"\n";
    for mode in MODES {
        for kind in KINDS {
            let mut bed = Bed::of(&(rule(mode.keys) + dnat), &NodeOptions::default());
            let (host, frame) = from_client(A, "203.0.113.20");
            let seen = bed.send(host, first(kind, frame, 4000, 80));
            let there = seen.iter().find(|seen| seen.host == "vm2").unwrap();
            assert_eq!(
                there.src,
                (EXTERNAL.to_owned(), 4000),
                "{} {kind:?}",
                mode.name
            );
            assert_eq!(there.dst.0, B);
            let (host, frame) = from_client(B, EXTERNAL);
            let seen = bed.send(host, answer(kind, frame, 80, 4000));
            let back = seen.iter().find(|seen| seen.host == "vm").unwrap();
            assert_eq!(back.src.0, "203.0.113.20", "{} {kind:?}", mode.name);
            assert_eq!(back.dst, (A.to_owned(), 4000));
        }
    }
}

/// A packet that passes has the identification it came with.
#[test]
pub fn identification_is_left_alone() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        for id in [1, 500, 65_535] {
            let (host, frame) = from_client(A, "8.8.8.8");
            let seen = bed.send(host, frame.ip_id(id).udp(4000, 53));
            let got = u16::from_be_bytes([seen[0].frame[18], seen[0].frame[19]]);
            assert_eq!(u32::from(got), id);
        }
    }
}

/// One protocol's ports are not another's.
#[test]
pub fn protocols_are_apart() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let remote = ("8.8.8.8", 53);
        for (kind, client) in [
            (Kind::Udp, A),
            (Kind::Tcp, B),
            (Kind::Sctp, A),
            (Kind::Echo, B),
        ] {
            assert_eq!(bed.out(kind, (client, 4000), remote).unwrap().1, 4000);
        }
        for (kind, client) in [
            (Kind::Udp, A),
            (Kind::Tcp, B),
            (Kind::Sctp, A),
            (Kind::Echo, B),
        ] {
            let end = bed.back(kind, remote, (EXTERNAL, 4000));
            assert_eq!(end, Some((client.into(), 4000)), "{} {kind:?}", mode.name);
        }
    }
}

/// A rule for destinations is how somebody asks for a mapping of his own making, and takes it back.
#[test]
pub fn mappings_can_be_declared() {
    let declared = "[[router.g.nat]]\ntype = \"dnat_and_snat\"\nlogical_ip = \"10.0.0.11\"\nexternal_ip = \"203.0.113.20\"\n";
    for mode in MODES {
        let mut bed = Bed::of(&(rule(mode.keys) + declared), &NodeOptions::default());
        let ask =
            |bed: &mut Bed| bed.back_as(("8.8.8.8", 7), ("203.0.113.20", 80), |f| f.udp(7, 80));
        assert_eq!(ask(&mut bed), Some((B.into(), 80)));
        bed.net.reload(&[nat::TOPOLOGY, &rule(mode.keys)].concat());
        bed.net.run(1000);
        assert_eq!(ask(&mut bed), None);
    }
}
