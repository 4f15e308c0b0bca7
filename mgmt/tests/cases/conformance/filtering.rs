//! Who may send to an end outside.

use super::bed::*;

/// The default: who was sent to may answer, from the port that was sent to, and nobody else may.
#[test]
pub fn by_default_only_who_was_sent_to_answers() {
    for kind in [Kind::Udp, Kind::Tcp, Kind::Sctp] {
        let mut bed = Bed::new(PLAIN);
        let (_, port) = bed.out(kind, (A, 4000), ("8.8.8.8", 53)).unwrap();
        for (from, passes) in [
            (("8.8.8.8", 53), true),
            (("8.8.8.8", 54), false),
            (("8.8.4.4", 53), false),
        ] {
            let end = bed.back_as(from, (EXTERNAL, port), |frame| {
                first(kind, frame, from.1, port)
            });
            let reached = end == Some((A.to_owned(), 4000));
            assert_eq!(reached, passes, "{kind:?} from {from:?}: {end:?}");
        }
    }
}

/// A port that had to be changed is filtered as one that was kept.
#[test]
pub fn a_changed_port_is_filtered_as_a_kept_one() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let remote = ("8.8.8.8", 53);
        let kept = bed.out(Kind::Udp, (A, 4000), remote).unwrap();
        let changed = bed.out(Kind::Udp, (B, 4000), remote).unwrap();
        for other in [("8.8.8.8", 54), ("8.8.4.4", 53), ("192.0.2.9", 9)] {
            let passes =
                |bed: &mut Bed, port| bed.back(Kind::Udp, other, (EXTERNAL, port)).is_some();
            assert_eq!(
                passes(&mut bed, kept.1),
                passes(&mut bed, changed.1),
                "{} {other:?}",
                mode.name
            );
        }
    }
}

/// What is meant for no client gets no answer but by ICMP's own rules, and opens nothing.
#[test]
pub fn what_nobody_asked_for_reaches_nobody() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        for kind in [Kind::Udp, Kind::Tcp, Kind::Sctp] {
            let end = bed.back_as(("8.8.8.8", 53), (EXTERNAL, 4000), |frame| {
                first(kind, frame, 53, 4000)
            });
            assert_eq!(end, None, "{} {kind:?}", mode.name);
        }
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}
