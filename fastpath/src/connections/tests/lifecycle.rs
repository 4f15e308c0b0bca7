use super::*;

#[test]
fn both_keys_lead_to_the_connection_with_the_rewrite_of_their_direction() {
    let table = table(16, 1);
    let mut worker = worker(&table, 0);
    let new = snat(9, State::UdpNew);
    let conn = worker.insert(&new, START).unwrap().conn;

    let there = find(&table, &new.original).unwrap();
    assert_eq!(
        (there.conn, there.direction, there.path),
        (conn, Direction::Original, PathId(18))
    );
    assert_eq!(
        (there.owner, table.read(conn).unwrap().state),
        (Some(WorkerId(0)), State::UdpNew)
    );
    let expected = Rewrite {
        src: at(0x0a14_0064),
        dst: at(0xc633_6407),
        src_port: 9,
        dst_port: 53,
    };
    assert_eq!(there.rewrite, expected);

    let back = find(&table, &new.reply).unwrap();
    assert_eq!(
        (back.conn, back.direction, back.path),
        (conn, Direction::Reply, PathId(19))
    );
    let expected = Rewrite {
        src: at(0xc633_6407),
        dst: at(0x0a00_0009),
        src_port: 53,
        dst_port: 5000,
    };
    assert_eq!(back.rewrite, expected);

    assert!(
        find(
            &table,
            &FlowKey {
                zone: OUTSIDE,
                ..new.original
            }
        )
        .is_none(),
        "the zone is part of the key"
    );
    assert!(
        find(
            &table,
            &FlowKey {
                proto: key::TCP,
                ..new.original
            }
        )
        .is_none()
    );
    assert_eq!(
        find(
            &table,
            &FlowKey {
                zone: Zone(0xff00_0007),
                ..new.original
            }
        ),
        Some(there)
    );
}

#[test]
fn a_reply_key_is_the_mirror_of_what_the_original_becomes() {
    let echo = key(key::ICMP, 1, 77, 2, 77, INSIDE);
    let mirror = echo.reversed(OUTSIDE);
    assert_eq!(mirror, key(key::ICMP, 2, 77, 1, 77, OUTSIDE));
    assert_eq!(mirror.reversed(INSIDE), echo);
    let Rewrite {
        src,
        dst,
        src_port,
        dst_port,
    } = Rewrite::towards(&mirror);
    assert_eq!(
        (src, src_port, dst, dst_port),
        (at(1), 77, at(2), 77),
        "without translation nothing changes"
    );
}

#[test]
fn copies_carry_everything_and_end_with_the_connection() {
    let table = table(16, 1);
    let mut worker = worker(&table, 0);
    let new = snat(300, State::TcpSynSent);
    let conn = worker.insert(&new, START).unwrap().conn;
    assert_eq!(
        touch(
            &mut worker,
            conn,
            Direction::Original,
            60,
            TcpFlags::SYN,
            START.plus(1)
        ),
        Touch::Same
    );
    let synack = TcpFlags::SYN.and(TcpFlags::ACK);
    assert_eq!(
        touch(
            &mut worker,
            conn,
            Direction::Reply,
            64,
            synack,
            START.plus(20)
        ),
        Touch::Changed {
            from: State::TcpSynSent,
            to: State::TcpSynReceived
        }
    );
    assert!(worker.set_path(conn, Direction::Reply, PathId(u32::MAX)));
    assert_eq!(worker.path(conn, Direction::Reply), Some(PathId(u32::MAX)));
    assert_eq!(worker.path(conn, Direction::Original), Some(PathId(600)));

    let copy = table.read(conn).unwrap();
    let expected = Connection {
        conn,
        original: new.original,
        reply: new.reply,
        state: State::TcpSynReceived,
        owner: Some(WorkerId(0)),
        flags: Flags(44),
        paths: [PathId(600), PathId(u32::MAX)],
        packets: [1, 1],
        bytes: [60, 64],
        last_seen: [START.plus(1), START.plus(20)],
        created: START,
    };
    assert_eq!(copy, expected);
    assert!(copy.is_snat() && !copy.is_dnat());
    assert_eq!(copy.remaining(worker.timeouts(), START.plus(21)), 239_999);

    assert_eq!(worker.close(conn), Some(copy));
    assert_eq!(table.read(conn), None);
    assert_eq!(worker.path(conn, Direction::Original), None);
    assert_eq!(
        touch(
            &mut worker,
            conn,
            Direction::Original,
            1,
            TcpFlags::NONE,
            START
        ),
        Touch::Gone
    );
    assert!(!worker.set_path(conn, Direction::Original, PathId(0)));
    assert_eq!(worker.close(conn), None);
    assert!(find(&table, &new.original).is_none() && find(&table, &new.reply).is_none());
    assert!(table.is_empty());
}

#[test]
fn an_old_reference_does_not_reach_the_next_tenant_of_its_slot() {
    let table = table(1, 1);
    let mut worker = worker(&table, 0);
    let first = worker.insert(&snat(1, State::UdpNew), START).unwrap().conn;
    worker.close(first).unwrap();
    let second = worker.insert(&snat(2, State::UdpNew), START).unwrap().conn;
    assert_eq!(second.slot::<Addr>(), first.slot::<Addr>());
    assert_eq!(table.read(first), None);
    assert_eq!(
        touch(
            &mut worker,
            first,
            Direction::Reply,
            1,
            TcpFlags::NONE,
            START
        ),
        Touch::Gone
    );
    assert_eq!(worker.close(first), None);
    assert!(!worker.claim(first, START));
    assert!(table.read(second).is_some());
}

#[test]
fn a_conflict_leaves_nothing_behind() {
    let table = table(16, 1);
    let mut worker = worker(&table, 0);
    let first = snat(1, State::UdpNew);
    worker.insert(&first, START).unwrap();

    let same_reply = NewConnection {
        reply: first.reply,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&same_reply, START).unwrap_err(),
        InsertError::DuplicateReply
    );
    let same_original = NewConnection {
        original: first.original,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&same_original, START).unwrap_err(),
        InsertError::DuplicateOriginal
    );
    // A key is unique whichever direction it is of.
    let crossed = NewConnection {
        original: first.reply,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&crossed, START).unwrap_err(),
        InsertError::DuplicateOriginal
    );
    let itself = NewConnection {
        reply: snat(2, State::UdpNew).original,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&itself, START).unwrap_err(),
        InsertError::DuplicateOriginal
    );

    assert_eq!(table.len(), 1);
    assert!(
        !table.contains(&snat(2, State::UdpNew).reply)
            && !table.contains(&snat(2, State::UdpNew).original)
    );
    worker
        .insert(&snat(2, State::UdpNew), START)
        .expect("nothing of the refused ones is in the way");
}

#[test]
fn only_the_owner_writes_and_what_nobody_owns_can_be_claimed_once() {
    let table = table(16, 2);
    let (mut a, mut b) = (worker(&table, 0), worker(&table, 1));
    assert!(
        table
            .writer(WorkerId(1), Timeouts::default(), START)
            .is_none(),
        "its end is out"
    );
    assert!(
        table
            .writer(WorkerId(2), Timeouts::default(), START)
            .is_none(),
        "there is no such worker"
    );

    let owned = a.insert(&snat(1, State::UdpNew), START).unwrap().conn;
    assert_eq!(
        b.touch(owned, Direction::Original, 1, TcpFlags::NONE, START),
        Touch::NotOwner
    );
    assert_eq!(b.close(owned), None);
    assert!(!b.set_path(owned, Direction::Original, PathId(0)) && !b.claim(owned, START));
    assert_eq!(table.read(owned).unwrap().packets, [0, 0]);

    let synced = a
        .insert_unowned(&snat(2, State::TcpEstablished), START)
        .unwrap()
        .conn;
    assert_eq!(
        find(&table, &snat(2, State::TcpEstablished).reply)
            .unwrap()
            .owner,
        None
    );
    let late = START.plus(24 * 3_600_000);
    assert_eq!(
        b.expire(late, 100, |_, _| ()),
        0,
        "a backup never expires entries"
    );
    assert_eq!(
        a.expire(late, 100, |gone, _| assert_eq!(gone.conn, owned)),
        1
    );
    assert!(b.claim(synced, late) && !a.claim(synced, late));
    assert_eq!(table.read(synced).unwrap().owner, Some(WorkerId(1)));
    assert_eq!(table.read(synced).unwrap().paths, [PathId::NONE; 2]);
    assert_eq!(
        find(&table, &snat(2, State::TcpEstablished).reply)
            .unwrap()
            .owner,
        Some(WorkerId(1))
    );
    let idle = Timeouts::default().tcp_established;
    assert_eq!(
        b.expire(late.plus(idle - 1), 100, |_, _| ()),
        0,
        "its time began with the claim"
    );
    assert_eq!(b.expire(late.plus(idle + 128), 100, |_, _| ()), 1);
}

#[test]
fn a_worker_that_leaves_leaves_its_connections_to_others() {
    let table = table(400, 2);
    let mut a = worker(&table, 0);
    for n in 0..200 {
        a.insert(
            &snat(
                n,
                if n % 2 == 0 {
                    State::UdpNew
                } else {
                    State::UdpAssured
                },
            ),
            START,
        )
        .unwrap();
    }
    drop(a);
    assert_eq!(table.len(), 200);
    let mut b = worker(&table, 1);
    let mut claimed = 0;
    table.scan(0, usize::MAX, |connection| {
        assert_eq!(connection.owner, None);
        assert!(b.claim(connection.conn, START));
        claimed += 1;
    });
    assert_eq!(claimed, 200);
    for n in 200..400 {
        b.insert(&snat(n, State::UdpNew), START)
            .expect("free slots came back too");
    }
    assert_eq!(b.expire(START.plus(3_600_000), usize::MAX, |_, _| ()), 400);
    worker(&table, 0);
}

#[test]
fn a_scan_in_steps_sees_every_connection_once() {
    let table = table(1000, 1);
    let mut worker = worker(&table, 0);
    for n in 0..700 {
        worker.insert(&snat(n, State::UdpNew), START).unwrap();
    }
    for budget in [1, 7, 999, 1000, usize::MAX] {
        let (mut seen, mut from) = (std::collections::BTreeSet::new(), Some(0));
        while let Some(at) = from {
            from = table.scan(at, budget, |connection| {
                assert!(seen.insert(connection.original))
            });
        }
        assert_eq!(seen.len(), 700);
    }
    assert_eq!(table.scan(usize::MAX, 1, |_| panic!("past the end")), None);
}

#[test]
fn a_source_has_no_more_than_its_limit() {
    let table = table(1000, 1);
    let mut worker = worker(&table, 0);
    let of = |client: u32, n: u32| {
        let mut new = snat(n, State::UdpNew);
        (new.original.src, new.original.src_port) = (at(client), n as u16);
        new
    };
    let before = worker.insert(&of(1, 999), START).unwrap().conn;
    table.set_source_limit(3);
    let conns: Vec<ConnRef> = (0..3)
        .map(|n| worker.insert(&of(1, n), START).unwrap().conn)
        .collect();
    assert_eq!(
        worker.insert(&of(1, 3), START).unwrap_err(),
        InsertError::SourceLimit
    );
    worker
        .insert(&of(2, 4), START)
        .expect("another source is not concerned");
    let mut elsewhere = of(1, 5);
    elsewhere.original.zone = Zone(8);
    worker
        .insert(&elsewhere, START)
        .expect("nor is the same address in another zone");
    // A refused insertion takes its count back.
    let mut taken = of(3, 6);
    taken.reply = of(1, 0).reply;
    for _ in 0..5 {
        assert_eq!(
            worker.insert(&taken, START).unwrap_err(),
            InsertError::DuplicateReply
        );
    }
    worker.close(before).unwrap();
    assert_eq!(
        worker.insert(&of(1, 3), START).unwrap_err(),
        InsertError::SourceLimit,
        "it was not counted"
    );
    worker.close(conns[1]).unwrap();
    worker.insert(&of(1, 3), START).unwrap();
    table.set_source_limit(0);
    worker.insert(&of(1, 7), START).unwrap();
}

#[test]
fn sizes_are_what_the_readme_says() {
    use crate::connections::address::Width;
    use crate::connections::entry::Entry;
    let [entry, ..] = BYTES;
    type Line = <Addr as Width>::Line;
    assert_eq!(
        (size_of::<Line>(), align_of::<Line>()),
        (entry / 2, entry / 2)
    );
    assert_eq!(size_of::<Entry<Line>>(), entry);
    assert_eq!(
        table(1 << 16, 4).memory_by_part(),
        BYTES.map(|bytes| bytes << 16)
    );
}

#[test]
fn the_first_packet_counts_as_if_it_came_later() {
    let table = table(10, 1);
    let mut worker = worker(&table, 0);
    let states = [State::TcpSynSent, State::UdpNew, State::EchoNew];
    for (n, state) in states.into_iter().enumerate() {
        let (at_once, later) = (snat(n as u32, state), snat(100 + n as u32, state));
        let hashes = Hashes {
            original: table.hash(&at_once.original),
            reply: table.hash(&at_once.reply),
        };
        let first = First {
            packets: 1,
            bytes: 60,
        };
        let a = worker.open(&at_once, hashes, first, START).unwrap().conn;
        let b = worker.insert(&later, START).unwrap().conn;
        let flags = TcpFlags::SYN;
        let touched = touch(&mut worker, b, Direction::Original, 60, flags, START);
        assert_eq!(touched, Touch::Same);
        let (a, b) = (table.read(a).unwrap(), table.read(b).unwrap());
        assert_eq!((a.packets, a.bytes), ([1, 0], [60, 0]));
        assert_eq!((a.packets, a.bytes, a.state), (b.packets, b.bytes, b.state));
        assert_eq!(a.last_seen, b.last_seen);
        for key in [&at_once.original, &at_once.reply] {
            assert_eq!(find(&table, key).unwrap().conn, a.conn);
        }
    }
}
