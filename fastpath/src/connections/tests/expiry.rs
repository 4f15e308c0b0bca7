use std::collections::HashMap;

use super::*;

const GRAIN: u32 = 128;

#[test]
fn each_state_ends_when_its_time_is_over_even_across_the_wrap() {
    for start in [
        Tick(0),
        Tick(5),
        Tick(u32::MAX - 100_000),
        Tick(u32::MAX),
        Tick(1 << 31),
    ] {
        for state in State::ALL {
            let table = table(4, 1);
            let mut worker = table
                .writer(WorkerId(0), Timeouts::default(), start)
                .unwrap();
            let conn = worker.insert(&snat(1, state), start).unwrap().conn;
            let idle = Timeouts::default().of(state);
            let mut at = 0;
            // Called every now and then, as a worker does.
            while at + 10_000 < idle {
                assert_eq!(
                    worker.expire(start.plus(at), 100, |_, _| ()),
                    0,
                    "{state:?} after {at}"
                );
                at += 10_000;
            }
            assert_eq!(
                worker.expire(start.plus(idle - 1), 100, |_, _| ()),
                0,
                "{state:?} of {start:?}"
            );
            let mut ended = Vec::new();
            worker.expire(start.plus(idle + GRAIN), 100, |gone, why| {
                ended.push((gone.conn, why))
            });
            assert_eq!(ended, [(conn, Ending::Idle)], "{state:?} of {start:?}");
            assert!(table.is_empty());
        }
    }
}

#[test]
fn packets_of_either_direction_prolong() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    let conn = worker
        .insert(&snat(1, State::UdpAssured), START)
        .unwrap()
        .conn;
    let idle = Timeouts::default().udp;
    let mut now = START;
    for direction in [
        Direction::Original,
        Direction::Reply,
        Direction::Reply,
        Direction::Original,
    ] {
        now = now.plus(idle - 1000);
        assert_eq!(worker.expire(now, 100, |_, _| ()), 0);
        assert_eq!(
            touch(&mut worker, conn, direction, 1, TcpFlags::NONE, now),
            Touch::Same
        );
    }
    assert_eq!(worker.expire(now.plus(idle - 1), 100, |_, _| ()), 0);
    assert_eq!(worker.expire(now.plus(idle + GRAIN), 100, |_, _| ()), 1);
}

#[test]
fn a_state_with_a_shorter_time_ends_by_that() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    let conn = worker
        .insert(&snat(1, State::TcpEstablished), START)
        .unwrap()
        .conn;
    let changed = Touch::Changed {
        from: State::TcpEstablished,
        to: State::TcpResetReply,
    };
    assert_eq!(
        touch(
            &mut worker,
            conn,
            Direction::Reply,
            54,
            TcpFlags::RST,
            START.plus(50)
        ),
        changed
    );
    let idle = Timeouts::default().tcp_reset;
    assert_eq!(worker.expire(START.plus(50 + idle - 1), 100, |_, _| ()), 0);
    assert_eq!(
        worker.expire(START.plus(50 + idle + GRAIN), 100, |_, _| ()),
        1
    );
}

#[test]
fn new_times_take_effect_within_a_turn_of_the_wheel() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    worker
        .insert(&snat(1, State::TcpEstablished), START)
        .unwrap();
    worker.set_timeouts(Timeouts {
        tcp_established: 10_000,
        ..Timeouts::default()
    });
    assert_eq!(worker.expire(START.plus(131_072), 100, |_, _| ()), 1);
}

#[test]
fn a_call_does_no_more_than_its_budget() {
    let table = table(1000, 1);
    let mut worker = worker(&table, 0);
    for n in 0..1000 {
        worker.insert(&snat(n, State::UdpNew), START).unwrap();
    }
    let late = START.plus(10_000_000);
    for round in 1..=10 {
        assert_eq!(worker.expire(late, 100, |_, _| ()), 100);
        assert_eq!(table.len(), 1000 - 100 * round);
    }
    assert_eq!(worker.expire(late, 0, |_, _| ()), 0);
}

#[test]
fn a_clock_that_steps_back_ends_nothing() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    worker.insert(&snat(1, State::UdpNew), START).unwrap();
    assert_eq!(worker.expire(Tick(START.0 - 500_000), 100, |_, _| ()), 0);
    assert_eq!(worker.expire(START.plus(1), 100, |_, _| ()), 0);
    assert_eq!(
        worker.expire(START.plus(120_000 + GRAIN), 100, |_, _| ()),
        1
    );
}

/// Random connections, random use, random steps of the clock, beginning shortly before it wraps: each ends
/// exactly once, at the first call at which its bucket is over, and never before its time.
#[test]
fn random_lives_end_on_time() {
    for seed in 0..8 {
        let mut dice = Dice(seed);
        let mut now = Tick(0u32.wrapping_sub(600_000));
        let table = table(512, 1);
        let mut worker = table.writer(WorkerId(0), Timeouts::default(), now).unwrap();
        let mut alive: HashMap<ConnRef, (State, Tick)> = HashMap::new();
        for n in 0..6_000u32 {
            let state = State::ALL[dice.roll(State::ALL.len() as u32) as usize];
            if alive.len() < 500 && dice.roll(2) == 0 {
                let conn = worker.insert(&snat(n, state), now).unwrap().conn;
                alive.insert(conn, (state, now));
            }
            for (conn, (state, seen)) in alive.iter_mut().take(dice.roll(4) as usize) {
                let flags = TcpFlags(dice.roll(32) as u8);
                let direction = [Direction::Original, Direction::Reply][dice.roll(2) as usize];
                let next = state.next(direction, flags);
                let expected = if next == *state {
                    Touch::Same
                } else {
                    Touch::Changed {
                        from: *state,
                        to: next,
                    }
                };
                assert_eq!(
                    touch(&mut worker, *conn, direction, 1, flags, now),
                    expected
                );
                (*state, *seen) = (next, now);
            }
            now = now.plus(match dice.roll(40) {
                0 => 400_000,
                1..10 => dice.roll(20_000),
                _ => dice.roll(300),
            });
            worker.expire(now, usize::MAX, |gone, why| {
                let (state, seen) = alive.remove(&gone.conn).expect("ends once");
                assert!(
                    now.since(seen) >= Timeouts::default().of(state),
                    "{state:?} too early"
                );
                assert_eq!((why, gone.state), (Ending::Idle, state));
            });
            for (state, seen) in alive.values() {
                assert!(
                    now.since(*seen) < Timeouts::default().of(*state) + GRAIN,
                    "{state:?} too late"
                );
            }
            assert_eq!(table.len(), alive.len());
        }
    }
}
