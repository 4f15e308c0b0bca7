//! Both families together: a table of each, the same slots in both.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

fn table(capacity: usize, workers: usize) -> Arc<ConnectionTable> {
    ConnectionTable::new(Capacity::of_each(capacity), workers, 1)
}

fn worker(table: &Arc<ConnectionTable>, id: u8) -> WorkerConnections {
    table
        .worker(WorkerId(id), Timeouts::default(), START)
        .expect("the end of this worker is free")
}

/// Connection `n`; every second one is of IPv6.
fn new(n: u8) -> NewConnection {
    let ip = |host: u8| match n % 2 {
        0 => Ipv4Addr::new(10, 0, 0, host).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()).into(),
    };
    let original = FlowKey {
        src: ip(n),
        dst: ip(200),
        src_port: 5000,
        dst_port: 53,
        proto: key::UDP,
        zone: INSIDE,
    };
    NewConnection {
        original,
        reply: original.reversed(OUTSIDE),
        paths: [PathId(n.into()), PathId::NONE],
        state: State::UdpNew,
        flags: Flags(n),
    }
}

#[test]
fn each_call_finds_the_family() {
    let table = table(8, 1);
    let mut worker = worker(&table, 0);
    let conns: Vec<ConnRef> = (0..8)
        .map(|n| worker.insert(&new(n), START).unwrap().conn)
        .collect();
    assert_eq!((table.len(), table.of::<u32>().len()), (8, 4));
    assert_eq!(table.of::<u128>().len(), 4);
    for (n, conn) in (0..8).zip(&conns) {
        let wanted = new(n);
        let copy = table.read(*conn).unwrap();
        assert_eq!((copy.original, copy.reply), (wanted.original, wanted.reply));
        assert_eq!(conn.is_v6(), n % 2 == 1);
        for key in [wanted.original, wanted.reply] {
            let hit = table.find(&key).unwrap();
            assert_eq!(hit.conn, *conn);
            assert_eq!(hit.rewrite, copy.rewrite(hit.direction));
        }
        let duplicate = worker.insert(&wanted, START).unwrap_err();
        assert_eq!(duplicate, InsertError::DuplicateReply);
        assert!(worker.set_flags(*conn, Flags(77)));
        assert!(worker.set_path(*conn, Direction::Reply, PathId(9)));
        assert!(!worker.claim(*conn, START), "it is claimed");
        let touch = worker.touch(*conn, Direction::Reply, 10, TcpFlags::NONE, START);
        assert!(matches!(touch, Touch::Changed { .. }));
        let copy = table.read(*conn).unwrap();
        assert_eq!((copy.flags, copy.packets), (Flags(77), [0, 1]));
        assert_eq!(copy.paths, [PathId(n.into()), PathId(9)]);
    }
    for from in 0..20 {
        for budget in [1, 3, 8, 100] {
            let (mut next, mut seen) = (Some(from), BTreeSet::new());
            while let Some(from) = next {
                next = table.scan(from, budget, |copy| assert!(seen.insert(copy.original)));
            }
            assert!(seen.len() <= 8 && (from > 0 || seen.len() == 8));
        }
    }
    for (n, conn) in (0..8).zip(conns) {
        assert_eq!(worker.close(conn).unwrap().original, new(n).original);
        assert!(worker.close(conn).is_none() && table.read(conn).is_none());
    }
    assert!(table.is_empty());
}

#[test]
fn keys_of_two_families_make_no_connection() {
    let table = table(8, 1);
    let mixed = NewConnection {
        reply: new(1).reply,
        ..new(0)
    };
    let refused = worker(&table, 0).insert(&mixed, START).unwrap_err();
    assert_eq!(refused, InsertError::Families);
}

/// A family that is not used costs nothing; when it is, after weeks, its connections end in time.
#[test]
fn a_family_may_be_used_late() {
    for (wait, n) in [(30 << 24, 1), (1 << 31, 1), (2_100_000_000, 0)] {
        let table = table(64, 2);
        let mut worker = worker(&table, 0);
        let late = START.plus(wait);
        worker.insert(&new(n), late).unwrap();
        let unreplied = Timeouts::default().udp_unreplied;
        assert_eq!(worker.expire(late.plus(unreplied - 1), 16, |_, _| ()), 0);
        assert_eq!(worker.expire(late.plus(unreplied + 128), 16, |_, _| ()), 1);
        // One that is taken over begins anew.
        let mut other = self::worker(&table, 1);
        let nobodys = new(3).narrow().unwrap();
        let conn = other.of::<u128>().insert_unowned(&nobodys, START).unwrap();
        assert!(other.claim(conn.conn, late));
        assert_eq!(other.expire(late.plus(unreplied + 128), 16, |_, _| ()), 1);
    }
}

#[test]
fn both_families_expire_in_time() {
    let table = table(64, 1);
    let mut worker = worker(&table, 0);
    for n in 0..128 {
        worker.insert(&new(n), START).unwrap();
    }
    let due = START.plus(Timeouts::default().udp_unreplied + 200);
    let mut ended = BTreeSet::new();
    // As often as it takes, at one moment.
    for _ in 0..128 / 16 + 1 {
        worker.expire(due, 16, |copy, why| {
            assert_eq!(why, Ending::Idle);
            assert!(ended.insert(copy.original));
        });
    }
    assert_eq!(ended.len(), 128);
    assert!(table.is_empty());
}

#[test]
fn times_set_for_all_workers_are_taken_over_by_each() {
    let table = table(4, 2);
    let mut workers = [worker(&table, 0), worker(&table, 1)];
    let (orders, own) = (
        table.orders(),
        Timeouts {
            udp: 7,
            ..Timeouts::default()
        },
    );
    workers[1].of::<u128>().set_timeouts(own);
    workers[1].heed();
    assert_eq!(*workers[1].of::<u128>().timeouts(), own, "nothing was set");
    let all = Timeouts {
        other_unreplied: 9,
        tcp_syn_sent: 3,
        ..Timeouts::default()
    };
    table.set_timeouts(&all);
    assert_eq!(table.timeouts(), all);
    assert_ne!(table.orders(), orders);
    for worker in &mut workers {
        worker.heed();
        assert_eq!(*worker.of::<u32>().timeouts(), all);
        assert_eq!(*worker.of::<u128>().timeouts(), all);
    }
}

#[test]
fn connections_are_closed_by_their_owners_when_they_are_named() {
    let table = table(8, 2);
    let [mut a, mut b] = [worker(&table, 0), worker(&table, 1)];
    let mine = a.insert(&new(1), START).unwrap().conn;
    let theirs = b.insert(&new(2), START).unwrap().conn;
    let nobodys = a
        .of::<u128>()
        .insert_unowned(&new(3).narrow().unwrap(), START)
        .unwrap()
        .conn;
    let gone = a.insert(&new(4), START).unwrap().conn;
    for conn in [mine, theirs, nobodys, gone] {
        assert!(table.ask_to_close(&table.read(conn).unwrap()));
    }
    a.close(gone).unwrap();
    let closed = |worker: &mut WorkerConnections| {
        let mut closed = Vec::new();
        while let Some(conn) = worker.next_condemned(START) {
            closed.extend(worker.close(conn).map(|copy| copy.conn));
        }
        closed
    };
    assert_eq!(closed(&mut b), [theirs]);
    assert_eq!(closed(&mut a), [mine, nobodys]);
    assert!(table.is_empty());
}

#[test]
fn no_more_wait_to_be_closed_than_there_is_room_for() {
    let table = table(1, 1);
    let mut worker = worker(&table, 0);
    let conn = worker.insert(&new(1), START).unwrap().conn;
    let copy = table.read(conn).unwrap();
    let asked = (0..100_000)
        .take_while(|_| table.ask_to_close(&copy))
        .count();
    assert!((1_000..10_000).contains(&asked), "{asked}");
    assert!(worker.next_condemned(START).is_some());
    assert!(table.ask_to_close(&copy));
}
