use super::*;

fn fill(
    worker: &mut Writer<Addr>,
    numbers: std::ops::Range<u32>,
    state: State,
    now: Tick,
) -> Vec<ConnRef> {
    numbers
        .map(|n| worker.insert(&snat(n, state), now).unwrap().conn)
        .collect()
}

#[test]
fn confirmed_connections_never_go() {
    let table = table(64, 1);
    let mut worker = worker(&table, 0);
    let conns = fill(&mut worker, 0..64, State::TcpEstablished, START);
    for n in 100..200 {
        let refused = worker
            .insert(&snat(n, State::TcpSynSent), START.plus(n))
            .unwrap_err();
        assert_eq!(refused, InsertError::TableFull);
    }
    assert!(conns.iter().all(|conn| table.read(*conn).is_some()));
    worker.close(conns[3]).unwrap();
    worker.insert(&snat(100, State::TcpSynSent), START).unwrap();
}

#[test]
fn the_oldest_of_the_most_numerous_half_open_goes_first_and_then_the_ended() {
    let table = table(10, 1);
    let mut worker = worker(&table, 0);
    let ended = fill(&mut worker, 0..3, State::TcpTimeWait, START);
    let flood = fill(&mut worker, 10..14, State::TcpSynSent, START.plus(10));
    let udp = fill(&mut worker, 20..22, State::UdpNew, START.plus(20));
    let confirmed = fill(&mut worker, 30..31, State::UdpAssured, START.plus(30));
    let now = START.plus(5_000);
    let victims: Vec<ConnRef> = (40..49)
        .map(|n| {
            worker
                .insert(&snat(n, State::EchoReplied), now.plus(n))
                .unwrap()
                .evicted
                .unwrap()
                .conn
        })
        .collect();
    // SYNs until none is left over the two of UDP; of equally many the last kind.
    let expected = [
        flood[0], flood[1], udp[0], flood[2], udp[1], flood[3], ended[0], ended[1], ended[2],
    ];
    let mut sorted = (victims.clone(), expected.to_vec());
    sorted.0.sort_by_key(|conn| conn.slot::<Addr>());
    sorted.1.sort_by_key(|conn| conn.slot::<Addr>());
    assert_eq!(sorted.0, sorted.1);
    assert_eq!(
        victims[..2],
        flood[..2],
        "the longest queue, its oldest first"
    );
    assert_eq!(
        victims[6..],
        ended,
        "the ended only when nothing is half-open"
    );
    assert!(table.read(confirmed[0]).is_some());
    assert_eq!(
        worker
            .insert(&snat(50, State::UdpNew), now.plus(50))
            .unwrap_err(),
        InsertError::TableFull
    );
}

#[test]
fn what_was_confirmed_is_out_of_the_queue_and_a_stream_in_use_is_passed_over() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    let conns = fill(&mut worker, 0..4, State::UdpNew, START);
    let now = START.plus(10_000);
    worker.touch(conns[0], Direction::Reply, 1, TcpFlags::NONE, now);
    worker.touch(conns[1], Direction::Original, 1, TcpFlags::NONE, now);
    let evicted = |worker: &mut Writer<Addr>, n| {
        worker
            .insert(&snat(n, State::UdpAssured), now.plus(n))
            .unwrap()
            .evicted
    };
    let first = evicted(&mut worker, 10).unwrap();
    assert_eq!(
        (first.conn, first.original),
        (conns[2], snat(2, State::UdpNew).original)
    );
    assert_eq!(evicted(&mut worker, 11).unwrap().conn, conns[3]);
    assert_eq!(
        evicted(&mut worker, 12).unwrap().conn,
        conns[1],
        "fresh, but the only one"
    );
    assert_eq!(
        worker
            .insert(&snat(13, State::UdpNew), now.plus(13))
            .unwrap_err(),
        InsertError::TableFull
    );
}

#[test]
fn a_flood_leaves_those_that_have_just_begun_some_time() {
    let table = table(1_024, 1);
    let mut worker = worker(&table, 0);
    let ended = fill(&mut worker, 0..2, State::TcpRefused, START);
    fill(&mut worker, 2..1_024, State::TcpSynSent, START);
    let mut numbers = 2_000..;
    let mut flood = |worker: &mut Writer<Addr>, now| {
        let insert = |n| worker.insert(&snat(n, State::TcpSynSent), now);
        let opened: Vec<_> = numbers.by_ref().take(100).map(insert).collect();
        let gone = opened.iter().flatten().filter_map(|new| new.evicted);
        gone.map(|gone| gone.conn).collect::<Vec<_>>()
    };
    let gone = flood(&mut worker, START.plus(1));
    // One of 256 half-open ones, and whoever has ended.
    assert_eq!(gone.len(), 4 + ended.len());
    assert!(ended.iter().all(|conn| gone.contains(conn)));
    assert!(!worker.has_room(START.plus(1)), "and it knows");
    assert!(worker.has_room(START.plus(2)), "until the next millisecond");
    // So one that has just begun has a quarter of a second to be answered, however great the flood.
    let client = worker
        .insert(&snat(1_500, State::TcpSynSent), START.plus(2))
        .unwrap();
    for ms in 2..250 {
        flood(&mut worker, START.plus(ms));
    }
    assert!(table.read(client.conn).is_some());
    worker.close(client.conn).unwrap();
    assert!(worker.has_room(START.plus(249)), "there is a place again");
}

#[test]
fn who_has_ended_goes_before_those_that_have_just_begun() {
    let table = table(8, 1);
    let mut worker = worker(&table, 0);
    let ended = fill(&mut worker, 0..4, State::TcpRefused, START);
    let begun = fill(&mut worker, 4..8, State::TcpSynSent, START.plus(5_000));
    let mut evicted = |n, now| {
        let inserted = worker.insert(&snat(n, State::TcpSynSent), now).unwrap();
        inserted.evicted.unwrap().conn
    };
    for (at, conn) in ended.iter().enumerate() {
        assert_eq!(
            evicted(10 + at as u32, START.plus(5_001 + at as u32)),
            *conn
        );
    }
    assert!(begun.iter().all(|conn| table.read(*conn).is_some()));
    let other = evicted(20, START.plus(5_010));
    assert!(!ended.contains(&other), "there is nobody else");
}

#[test]
fn nobody_goes_for_a_connection_that_cannot_be_opened() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    fill(&mut worker, 0..4, State::UdpNew, START);
    let same_reply = NewConnection {
        original: snat(9, State::UdpNew).original,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&same_reply, START).unwrap_err(),
        InsertError::DuplicateReply
    );
    let same_original = NewConnection {
        reply: snat(9, State::UdpNew).reply,
        ..snat(2, State::UdpNew)
    };
    assert_eq!(
        worker.insert(&same_original, START).unwrap_err(),
        InsertError::DuplicateOriginal
    );
    assert_eq!(table.len(), 4);
}

#[test]
fn half_open_ones_of_another_worker_give_way_at_its_next_expire() {
    let table = table(1000, 2);
    let (mut a, mut b) = (worker(&table, 0), worker(&table, 1));
    fill(&mut a, 0..1000, State::TcpSynSent, START);
    let now = START.plus(5_000);
    for n in 2000..2003 {
        assert_eq!(
            b.insert(&snat(n, State::UdpNew), now).unwrap_err(),
            InsertError::TableFull
        );
    }
    assert_eq!(b.expire(now, 100, |_, _| ()), 0, "it has none itself");
    let mut order = Vec::new();
    let count = a.expire(now, 100, |gone, why| order.push((gone.original, why)));
    assert_eq!(count, 3);
    let oldest: Vec<_> = (0..3)
        .map(|n| (snat(n, State::TcpSynSent).original, Ending::Evicted))
        .collect();
    assert_eq!(order, oldest);
    assert_eq!(a.expire(now, 100, |_, _| ()), 0, "no more than was wanted");
    fill(&mut b, 2000..2003, State::UdpNew, now);
    assert_eq!(table.len(), 1000);
}

#[test]
fn the_table_can_be_filled_from_one_worker_but_for_a_few_in_the_hands_of_others() {
    for capacity in [1usize, 2, 10, 100, 5_000, 40_000] {
        let table = table(capacity, 4);
        let mut others: Vec<Writer<Addr>> = (1..4).map(|id| worker(&table, id)).collect();
        for (n, other) in others.iter_mut().enumerate() {
            // Each has had one connection in its life, so it has slots in hand.
            if let Ok(inserted) = other.insert(&snat(n as u32, State::UdpNew), START) {
                other.close(inserted.conn).unwrap();
            }
        }
        let mut worker = worker(&table, 0);
        let opened = (0..capacity as u32)
            .take_while(|n| worker.insert(&snat(*n, State::UdpAssured), START).is_ok())
            .count();
        let lost = capacity - opened;
        assert!(
            lost <= (capacity / 50).max(3),
            "{lost} of {capacity} out of reach"
        );
        drop(others);
        let rest = (opened as u32..capacity as u32)
            .all(|n| worker.insert(&snat(n, State::UdpAssured), START).is_ok());
        assert!(rest && table.len() == capacity);
    }
}
