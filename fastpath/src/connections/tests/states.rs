use super::*;
use State::*;

const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;

const SYN: TcpFlags = TcpFlags::SYN;

fn segments() -> [TcpFlags; 5] {
    [SYN, SYN.and(ACK), ACK, TcpFlags::FIN.and(ACK), RST]
}

/// State; what it becomes by SYN, SYN+ACK, ACK, FIN+ACK, RST of the opener; then of the other side.
#[rustfmt::skip]
const TRANSITIONS: [(State, [State; 5], [State; 5]); 11] = [
    (TcpSynSent,
        [TcpSynSent, TcpSynSent, TcpSynSent, TcpSynSent, TcpRefused],
        [TcpSynReceived, TcpSynReceived, TcpSynSent, TcpSynSent, TcpRefused]),
    (TcpSynReceived,
        [TcpSynReceived, TcpEstablished, TcpEstablished, TcpFinOriginal, TcpRefused],
        [TcpSynReceived, TcpSynReceived, TcpSynReceived, TcpFinReply, TcpRefused]),
    (TcpEstablished,
        [TcpEstablished, TcpEstablished, TcpEstablished, TcpFinOriginal, TcpResetOriginal],
        [TcpEstablished, TcpEstablished, TcpEstablished, TcpFinReply, TcpResetReply]),
    (TcpFinOriginal,
        [TcpFinOriginal, TcpFinOriginal, TcpFinOriginal, TcpFinOriginal, TcpResetOriginal],
        [TcpFinOriginal, TcpFinOriginal, TcpFinOriginal, TcpLastAckOriginal, TcpResetReply]),
    (TcpFinReply,
        [TcpFinReply, TcpFinReply, TcpFinReply, TcpLastAckReply, TcpResetOriginal],
        [TcpFinReply, TcpFinReply, TcpFinReply, TcpFinReply, TcpResetReply]),
    (TcpLastAckOriginal,
        [TcpLastAckOriginal, TcpTimeWait, TcpTimeWait, TcpLastAckOriginal, TcpResetOriginal],
        [TcpLastAckOriginal, TcpLastAckOriginal, TcpLastAckOriginal, TcpLastAckOriginal, TcpResetReply]),
    (TcpLastAckReply,
        [TcpLastAckReply, TcpLastAckReply, TcpLastAckReply, TcpLastAckReply, TcpResetOriginal],
        [TcpLastAckReply, TcpTimeWait, TcpTimeWait, TcpLastAckReply, TcpResetReply]),
    (TcpTimeWait,
        [TcpSynSent, TcpTimeWait, TcpTimeWait, TcpTimeWait, TcpTimeWait],
        [TcpTimeWait, TcpTimeWait, TcpTimeWait, TcpTimeWait, TcpTimeWait]),
    (TcpResetOriginal,
        [TcpSynSent, TcpResetOriginal, TcpEstablished, TcpFinOriginal, TcpResetOriginal],
        [TcpResetOriginal, TcpResetOriginal, TcpResetOriginal, TcpResetOriginal, TcpResetOriginal]),
    (TcpResetReply,
        [TcpSynSent, TcpResetReply, TcpResetReply, TcpResetReply, TcpResetReply],
        [TcpResetReply, TcpResetReply, TcpEstablished, TcpFinReply, TcpResetReply]),
    (TcpRefused,
        [TcpSynSent, TcpRefused, TcpRefused, TcpRefused, TcpRefused],
        [TcpRefused, TcpRefused, TcpRefused, TcpRefused, TcpRefused]),
];

#[test]
fn every_transition_of_tcp() {
    for (state, original, reply) in TRANSITIONS {
        for (direction, row) in [(Direction::Original, original), (Direction::Reply, reply)] {
            for (segment, expected) in segments().into_iter().zip(row) {
                assert_eq!(
                    state.next(direction, segment),
                    expected,
                    "{state:?} {direction:?} {segment:?}"
                );
            }
        }
    }
}

#[test]
fn rst_wins_over_whatever_comes_with_it_and_other_bits_say_nothing() {
    let other_bits = 0b1110_1000; // PSH, URG, ECE, CWR
    for (state, ..) in TRANSITIONS {
        for direction in [Direction::Original, Direction::Reply] {
            for bits in 0..=255u8 {
                let next = state.next(direction, TcpFlags(bits));
                assert_eq!(next, state.next(direction, TcpFlags(bits & !other_bits)));
                if bits & RST.0 != 0 {
                    assert_eq!(next, state.next(direction, RST), "{state:?} {bits:#x}");
                }
            }
        }
    }
}

#[test]
fn without_the_other_side_nobody_gets_past_half_open() {
    let mut reached = vec![TcpSynSent];
    let mut at = 0;
    while let Some(state) = reached.get(at).copied() {
        assert_ne!(state.standing(), state::Standing::Confirmed, "{state:?}");
        for bits in 0..=255 {
            let next = state.next(Direction::Original, TcpFlags(bits));
            if !reached.contains(&next) {
                reached.push(next);
            }
        }
        at += 1;
    }
    assert_eq!(reached, [TcpSynSent, TcpRefused]);
}

#[test]
fn only_a_bare_syn_opens_tcp() {
    for bits in 0..=255u8 {
        let flags = TcpFlags(bits);
        let bare = flags.any(SYN) && !flags.any(ACK.and(RST).and(TcpFlags::FIN));
        assert_eq!(
            State::open(key::TCP, flags, false),
            bare.then_some(TcpSynSent)
        );
        let picked = match () {
            () if bare => Some(TcpSynSent),
            () if flags.any(SYN.and(RST)) => None,
            () => Some(TcpEstablished),
        };
        assert_eq!(State::open(key::TCP, flags, true), picked, "{bits:#x}");
    }
}

#[test]
fn an_answer_confirms_what_has_no_flags() {
    for (proto, new, assured) in [
        (key::UDP, UdpNew, UdpAssured),
        (key::ICMP, EchoNew, EchoReplied),
        (132, OtherNew, OtherAssured),
    ] {
        assert_eq!(State::open(proto, TcpFlags::NONE, false), Some(new));
        for flags in [TcpFlags::NONE, RST, SYN] {
            assert_eq!(new.next(Direction::Original, flags), new);
            assert_eq!(new.next(Direction::Reply, flags), assured);
            assert_eq!(assured.next(Direction::Original, flags), assured);
            assert_eq!(assured.next(Direction::Reply, flags), assured);
        }
        assert_eq!(new.standing(), state::Standing::HalfOpen);
        assert_eq!(assured.standing(), state::Standing::Confirmed);
    }
}

#[test]
fn times_are_those_of_the_rfcs() {
    let timeouts = Timeouts::default();
    let minutes = |state| timeouts.of(state) / 60_000;
    let expected = [4, 4, 124, 124, 124, 4, 4, 4, 4, 4, 4, 2, 5, 1, 1, 10, 10];
    assert_eq!(State::ALL.map(minutes), expected);
    let endless = Timeouts {
        udp: u32::MAX,
        ..timeouts
    };
    assert_eq!(endless.of(UdpAssured), Timeouts::LONGEST);
}

#[test]
fn numbers_and_names_tell_states_apart() {
    let names: std::collections::BTreeSet<&str> =
        State::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(names.len(), State::ALL.len());
    for (number, state) in State::ALL.into_iter().enumerate() {
        assert_eq!(State::from_bits(number as u8), Some(state));
        assert_eq!(state as usize, number);
    }
    let last = State::ALL.len() as u8;
    assert_eq!(State::from_bits(last), Some(State::Mapping));
    assert_eq!(State::from_bits(last + 1), None);
}

#[test]
fn a_steady_state_is_changed_by_fin_and_rst_alone() {
    for state in State::ALL {
        let steady = State::STEADY & 1 << state as u32 != 0;
        let stays = [Direction::Original, Direction::Reply]
            .into_iter()
            .all(|direction| {
                (0..=u8::MAX)
                    .map(TcpFlags)
                    .filter(|flags| !flags.any(TcpFlags::FIN.and(TcpFlags::RST)))
                    .all(|flags| state.next(direction, flags) == state)
            });
        assert!(!steady || stays, "{state:?}");
        let confirmed = matches!(
            state,
            State::TcpEstablished | State::UdpAssured | State::EchoReplied | State::OtherAssured
        );
        assert_eq!(steady, confirmed, "{state:?}");
    }
}
