//! Threads that open, use and close connections with the same keys, and others that only read.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use super::*;

const KEYS: u32 = 48;

/// The connection of `original` key n in version `m`: everything about it is a function of the two, so that
/// a reader notices a mixture of tenants.
fn version(n: u32, m: u32) -> NewConnection {
    let tag = n << 16 | m;
    NewConnection {
        original: snat(n, State::UdpAssured).original,
        reply: key(
            key::UDP,
            tag ^ 0x5555_5555,
            n as u16,
            tag,
            m as u16,
            OUTSIDE,
        ),
        paths: [PathId(tag), PathId(!tag)],
        state: State::UdpAssured,
        flags: Flags(m as u8),
    }
}

/// What a hit must look like; how it was found does not matter.
fn check(key: &FlowKey<Addr>, hit: &Hit) {
    let (n, m) = match hit.direction {
        Direction::Original => (hit.path.0 >> 16, hit.path.0 & 0xffff),
        Direction::Reply => (!hit.path.0 >> 16, !hit.path.0 & 0xffff),
    };
    let expected = version(n, m);
    let (own, other) = match hit.direction {
        Direction::Original => (expected.original, expected.reply),
        Direction::Reply => (expected.reply, expected.original),
    };
    assert_eq!((own, hit.rewrite), (*key, Rewrite::towards(&other)));
}

fn writer(mut worker: Writer<Addr>, holders: &[AtomicU32], id: u64, rounds: u32) -> u32 {
    let table = worker.table().clone();
    let mut dice = Dice(id);
    let mut held: Vec<(u32, u32, ConnRef)> = Vec::new();
    let mut opened = 0;
    for round in 0..rounds {
        let (n, m) = (dice.roll(KEYS), dice.roll(4) << 8 | id as u32);
        let new = version(n, m);
        match worker.insert(&new, Tick(round)) {
            Ok(Inserted { conn, .. }) => {
                assert_eq!(
                    holders[n as usize].fetch_add(1, SeqCst),
                    0,
                    "two connections of one key"
                );
                for (key, direction) in [
                    (new.original, Direction::Original),
                    (new.reply, Direction::Reply),
                ] {
                    let hit = find(&table, &key).expect("the owner finds what it opened");
                    assert_eq!(
                        (hit.conn, hit.direction, hit.owner.is_some()),
                        (conn, direction, true)
                    );
                }
                held.push((n, m, conn));
                opened += 1;
            }
            Err(
                InsertError::DuplicateOriginal
                | InsertError::DuplicateReply
                | InsertError::TableFull,
            ) => {}
            Err(error) => panic!("{error}"),
        }
        let enough = held.len() as u32 > 4 + dice.roll(8);
        for (at, (_, _, conn)) in held.iter().enumerate() {
            let touch = worker.touch(
                *conn,
                Direction::Original,
                at as u32,
                TcpFlags::NONE,
                Tick(round),
            );
            assert_eq!(touch, Touch::Same, "nobody else ends it");
        }
        if enough {
            let (n, m, conn) = held.swap_remove(dice.roll(held.len() as u32) as usize);
            holders[n as usize].fetch_sub(1, SeqCst);
            let gone = worker.close(conn).expect("it was this worker's");
            assert_eq!(
                (gone.original, gone.reply),
                (version(n, m).original, version(n, m).reply)
            );
        }
    }
    for (n, _, conn) in held {
        holders[n as usize].fetch_sub(1, SeqCst);
        worker.close(conn).unwrap();
    }
    opened
}

fn reader(table: &Table<Addr>, stop: &AtomicBool, seed: u64) -> u32 {
    let mut dice = Dice(seed);
    let mut found = 0;
    while !stop.load(SeqCst) {
        let news: Vec<NewConnection> = (0..40)
            .map(|_| version(dice.roll(KEYS), dice.roll(4) << 8 | dice.roll(3)))
            .collect();
        let keys: Vec<FlowKey<Addr>> = news
            .iter()
            .flat_map(|new| [new.original, new.reply])
            .collect();
        let mut hits = vec![None; keys.len()];
        table.lookup_burst(&keys, &mut vec![0; keys.len()], &mut hits, |_| {});
        for (key, hit) in keys.iter().zip(&hits) {
            let Some(hit) = hit else { continue };
            check(key, hit);
            found += 1;
            if let Some(copy) = table.read(hit.conn) {
                let expected = version(copy.paths[0].0 >> 16, copy.paths[0].0 & 0xffff);
                assert_eq!(
                    (copy.original, copy.reply, copy.paths, copy.flags),
                    (
                        expected.original,
                        expected.reply,
                        expected.paths,
                        expected.flags
                    )
                );
            }
        }
        assert!(table.len() <= table.capacity());
    }
    found
}

/// One key is never in two connections, an owner always finds its own, and a reader never sees a mixture;
/// the table is small, so that slots, buckets and keys are fought for.
#[test]
fn threads_fight_for_the_same_keys() {
    for capacity in [24, 1000] {
        let table = table(capacity, 3);
        let holders: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|n| {
                    scope.spawn({
                        let (t, s) = (&*table, &stop);
                        move || reader(t, s, 50 + n)
                    })
                })
                .collect();
            let writers: Vec<_> = (0..3u8)
                .map(|id| {
                    let (worker, holders) = (worker(&table, id), &*holders);
                    scope.spawn(move || writer(worker, holders, u64::from(id), 60_000))
                })
                .collect();
            let opened: Vec<u32> = writers
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            stop.store(true, SeqCst);
            let found: Vec<u32> = readers
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect();
            assert!(opened.iter().sum::<u32>() > 10_000, "{opened:?}");
            assert!(
                found.iter().all(|count| *count > 100),
                "readers met connections: {found:?}"
            );
        });
        assert!(table.is_empty());
        assert_eq!(table.index.spilled(), (0, 0));
        let mut worker = worker(&table, 0);
        for n in 0..capacity as u32 {
            worker
                .insert(&snat(n, State::UdpAssured), START)
                .expect("no slot was lost");
        }
    }
}
