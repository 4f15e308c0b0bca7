//! Mappings: one port a source, one source a port, for as long as something rests on it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::*;

const MINUTE: u32 = 60_000;

/// A table with room for mappings.
fn table(capacity: usize, workers: usize) -> Arc<Table<Addr>> {
    let table = super::table(capacity, workers);
    table.keep_mappings();
    table
}

#[test]
fn without_memory_for_mappings_there_are_none_and_it_is_taken_once() {
    let table = super::table(1 << 16, 1);
    let mut worker = worker(&table, 0);
    let before = table.memory();
    let rests = by(mapping(1, 7000));
    assert_eq!(worker.hold(&rests, START), Err(InsertError::TableFull));
    let plain = worker.insert(&snat(1, State::UdpNew), START).unwrap();
    for _ in 0..2 {
        table.keep_mappings();
        assert_eq!(table.memory() - before, 8 << 16);
    }
    open(&mut worker, &rests, &flow(1, 8, 7000), START);
    assert!(worker.close(plain.conn).is_some());
}

/// Source `n` by the port `outside`.
fn mapping(n: u32, outside: u16) -> Mapping<Addr> {
    Mapping {
        inside: (at(n), 4000),
        outside: (at(99), outside),
        proto: key::UDP,
        zone: INSIDE,
    }
}

fn by(mapping: Mapping<Addr>) -> Rests<Addr> {
    Rests {
        source: Some(mapping),
        ..Rests::default()
    }
}

/// A connection of source `n` to `remote`.
fn flow(n: u32, remote: u32, outside: u16) -> NewConnection {
    NewConnection {
        original: key(key::UDP, n, 4000, remote, 53, INSIDE),
        reply: key(key::UDP, remote, 53, 99, outside, OUTSIDE),
        paths: [PathId::NONE; 2],
        state: State::UdpNew,
        flags: Flags::MAPPED_FROM,
    }
}

/// Opens it with what it rests on.
fn open(worker: &mut Writer<Addr>, rests: &Rests<Addr>, new: &NewConnection, now: Tick) -> ConnRef {
    let held = worker.hold(rests, now).unwrap();
    let conn = worker.insert(new, now).unwrap().conn;
    worker.rest(conn, held);
    conn
}

fn mappings(table: &Table<Addr>) -> Vec<Connection> {
    let mut found = Vec::new();
    table.scan(0, table.capacity(), |entry| {
        if entry.is_apart() {
            found.push(entry);
        }
    });
    found
}

fn pass(worker: &mut Writer<Addr>, from: Tick, time: u32) -> Tick {
    let end = from.plus(time);
    let mut now = from;
    while now != end {
        now = now.plus(1000.min(end.since(now)));
        worker.expire(now, 64, |_, _| {});
    }
    end
}

#[test]
fn found_from_both_sides_by_keys_that_no_packet_has() {
    let table = table(100, 1);
    let mut worker = worker(&table, 0);
    open(&mut worker, &by(mapping(1, 7000)), &flow(1, 8, 7000), START);
    let of = Mapping::key_of((at(1), 4000), at(99), key::UDP, INSIDE);
    let hit = find(&table, &of).unwrap();
    assert_eq!((hit.rewrite.src, hit.rewrite.src_port), (at(99), 7000));
    let seen = Mapping::key_at((at(99), 7000), key::UDP, INSIDE);
    let hit = find(&table, &seen).unwrap();
    assert_eq!((hit.rewrite.dst, hit.rewrite.dst_port), (at(1), 4000));
    let entry = table.read(hit.conn).unwrap();
    assert_eq!(entry.mapping(), Some(mapping(1, 7000)));
    assert_eq!(table.users(hit.conn), 1);
    for key in [of, seen] {
        let zone = INSIDE;
        assert_eq!(find(&table, &FlowKey { zone, ..key }), None);
    }
}

#[test]
fn a_source_has_one_port_and_a_port_one_source() {
    let table = table(100, 2);
    let (mut first, mut second) = (worker(&table, 0), worker(&table, 1));
    open(&mut first, &by(mapping(1, 7000)), &flow(1, 8, 7000), START);
    for (n, port) in [(1, 7001), (2, 7000)] {
        let refused = second.hold(&by(mapping(n, port)), START);
        assert_eq!(refused, Err(InsertError::DuplicateReply), "{n} {port}");
    }
    open(&mut second, &by(mapping(1, 7000)), &flow(1, 9, 7000), START);
    open(&mut second, &by(mapping(2, 7001)), &flow(2, 8, 7001), START);
    let users: Vec<u32> = mappings(&table)
        .iter()
        .map(|m| table.users(m.conn))
        .collect();
    assert_eq!(users, [2, 1]);
    assert_eq!(table.len(), 5);
}

#[test]
fn it_ends_when_nothing_rests_on_it_and_its_time_is_over() {
    let table = table(100, 2);
    let (mut owner, mut other) = (worker(&table, 0), worker(&table, 1));
    open(&mut owner, &by(mapping(1, 7000)), &flow(1, 8, 7000), START);
    let long = NewConnection {
        state: State::UdpAssured,
        ..flow(1, 9, 7000)
    };
    open(&mut other, &by(mapping(1, 7000)), &long, START);
    // The owner's own has ended; the other worker's lives for five minutes.
    let now = pass(&mut owner, START, 4 * MINUTE);
    assert_eq!((mappings(&table).len(), table.len()), (1, 2));
    pass(&mut other, START, 5 * MINUTE + 1000);
    assert_eq!(table.len(), 1, "nothing rests on it");
    pass(&mut owner, now, 2 * MINUTE);
    assert!(table.is_empty());
}

/// One that made room, or was closed, leaves the mapping the least that a mapping lives.
#[test]
fn it_outlives_a_connection_that_was_ended() {
    let table = table(100, 1);
    let mut worker = worker(&table, 0);
    let conn = open(&mut worker, &by(mapping(1, 7000)), &flow(1, 8, 7000), START);
    worker.close(conn).unwrap();
    let now = pass(&mut worker, START, 2 * MINUTE - 1000);
    assert_eq!(mappings(&table).len(), 1);
    pass(&mut worker, now, 20_000);
    assert!(table.is_empty());
}

#[test]
fn a_condemned_one_ends_as_soon_as_it_can() {
    let table = table(100, 1);
    let mut worker = worker(&table, 0);
    let conn = open(&mut worker, &by(mapping(1, 7000)), &flow(1, 8, 7000), START);
    let [entry] = mappings(&table)[..] else {
        panic!("one")
    };
    assert_eq!(worker.close(entry.conn), None, "in use");
    let now = pass(&mut worker, START, 30_000);
    assert_eq!(mappings(&table).len(), 1);
    worker.close(conn).unwrap();
    let now = pass(&mut worker, now, 20_000);
    assert!(table.is_empty());
    // One that is not in use goes at once.
    let conn = open(&mut worker, &by(mapping(1, 7000)), &flow(1, 8, 7000), now);
    worker.close(conn).unwrap();
    let [entry] = mappings(&table)[..] else {
        panic!("one")
    };
    assert!(worker.close(entry.conn).is_some());
    assert!(table.is_empty());
}

/// Leave to send holds its mapping, and is held by the connections that gave it.
#[test]
fn leaves() {
    let table = table(100, 1);
    let mut worker = worker(&table, 0);
    let with = |remote| Rests {
        leave: Some(at(remote)),
        ..by(mapping(1, 7000))
    };
    open(&mut worker, &with(8), &flow(1, 8, 7000), START);
    let now = pass(&mut worker, START, MINUTE);
    open(&mut worker, &with(9), &flow(1, 9, 7000), now);
    let has = |remote| find(&table, &mapping(1, 7000).leave(at(remote))).is_some();
    assert!(has(8) && has(9) && !has(7));
    let now = pass(&mut worker, now, MINUTE + 20_000);
    assert!(!has(8) && has(9), "with the connection that gave it");
    assert_eq!(mappings(&table).len(), 2, "the mapping stays");
    pass(&mut worker, now, 3 * MINUTE);
    assert!(table.is_empty());
    // What is outside already needs none.
    open(&mut worker, &with(99), &flow(1, 99, 7000), START);
    assert_eq!(table.len(), 2);
}

/// What was held for nothing is let go; a source at its limit gets no mapping.
#[test]
fn nothing_stays_of_what_was_not_opened() {
    let table = table(100, 1);
    table.set_source_limit(2);
    let mut worker = worker(&table, 0);
    let held = worker.hold(&by(mapping(1, 7000)), START).unwrap();
    worker.release(held, START);
    let users = |n: usize| table.users(mappings(&table)[n].conn);
    assert_eq!(users(0), 0);
    let other = |port| Mapping {
        inside: (at(1), port),
        ..mapping(1, port)
    };
    let second = worker.hold(&by(other(7001)), START).unwrap();
    let third = worker.hold(&by(other(7002)), START);
    assert_eq!(third, Err(InsertError::SourceLimit));
    worker.release(second, START);
    // Both ends, of which one is not what it should be.
    let wrong = Rests {
        destination: Some(mapping(1, 7000)),
        ..by(mapping(3, 7000))
    };
    assert_eq!(worker.hold(&wrong, START), Err(InsertError::DuplicateReply));
    assert_eq!((users(0), users(1)), (0, 0));
    pass(&mut worker, START, 3 * MINUTE);
    assert!(table.is_empty());
    assert!(worker.hold(&by(other(7002)), START).is_ok(), "room again");
}

/// Half-open connections make room for others; mappings do not.
#[test]
fn a_full_table_gives_up_no_mapping() {
    let table = table(8, 1);
    let mut worker = worker(&table, 0);
    for n in 0..4 {
        open(
            &mut worker,
            &by(mapping(n, 7000 + n as u16)),
            &flow(n, 8, 7000 + n as u16),
            START,
        );
    }
    for remote in 20..40 {
        let now = START.plus(2000 * (remote - 19));
        let held = worker.hold(&by(mapping(1, 7001)), now).unwrap();
        let inserted = worker.insert(&flow(1, remote, 7001), now).unwrap();
        assert!(inserted.evicted.is_some());
        worker.rest(inserted.conn, held);
    }
    assert_eq!(mappings(&table).len(), 4);
    let users: u32 = mappings(&table).iter().map(|m| table.users(m.conn)).sum();
    assert_eq!(users, 4, "as many as there are connections");
    let another = worker.hold(&by(mapping(9, 7009)), START.plus(50_000));
    assert!(another.is_ok(), "at the cost of a half-open one");
}

/// Workers map few sources to few ports, use and end them: what is mapped while somebody uses it is nobody else's.
#[test]
fn threads_fight_for_ports() {
    const SOURCES: u32 = 12;
    const PORTS: u32 = 8;
    for capacity in [40, 1000] {
        let table = table(capacity, 3);
        // By port: source + 1 in the high half, users in the low one.
        let taken: Vec<AtomicU32> = (0..PORTS).map(|_| AtomicU32::new(0)).collect();
        let used = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for id in 0..3_u8 {
                let (mut worker, taken, used) = (worker(&table, id), &taken, &used);
                let give_back = |worker: &mut Writer<Addr>, (port, hold): (u32, Held), now| {
                    let leave = |word: u32| {
                        let rest = word - 1;
                        Some(if rest & 0xffff == 0 { 0 } else { rest })
                    };
                    let left = taken[port as usize].fetch_update(SeqCst, SeqCst, leave);
                    left.expect("it was taken");
                    worker.release(hold, now);
                };
                scope.spawn(move || {
                    let mut dice = Dice(u64::from(id) + 77);
                    let mut held: Vec<(u32, Held)> = Vec::new();
                    let mut now = START;
                    for round in 0..40_000_u32 {
                        let (n, port) = (dice.roll(SOURCES), dice.roll(PORTS));
                        if let Ok(hold) = worker.hold(&by(mapping(n, 7000 + port as u16)), now) {
                            let owner = (n + 1) << 16;
                            let enter = |word: u32| {
                                (word == 0 || word & 0xffff_0000 == owner)
                                    .then_some((word | owner) + 1)
                            };
                            taken[port as usize]
                                .fetch_update(SeqCst, SeqCst, enter)
                                .expect("a port of two sources");
                            held.push((port, hold));
                            used.fetch_add(1, SeqCst);
                        }
                        if held.len() > 6 || round % 97 == 0 {
                            held.drain(..)
                                .for_each(|held| give_back(&mut worker, held, now));
                        }
                        if round % 16 == 0 {
                            now = now.plus(30_000);
                            worker.expire(now, 64, |_, _| {});
                        }
                    }
                    held.drain(..)
                        .for_each(|held| give_back(&mut worker, held, now));
                    pass(&mut worker, now, 5 * MINUTE);
                });
            }
        });
        assert!(used.into_inner() > 1_000, "some were mapped");
        for entry in mappings(&table) {
            assert_eq!(table.users(entry.conn), 0);
        }
    }
}
