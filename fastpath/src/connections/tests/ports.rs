use std::collections::BTreeSet;

use super::*;
use crate::connections::address::Width;

const EXTERNAL: Addr = at(0x0a14_0064);

fn request(proto: u8, original: u16) -> PortRequest {
    PortRequest {
        proto,
        external: EXTERNAL,
        original,
        remote: at(0xc633_6407),
        remote_port: 443,
        zone: OUTSIDE,
        source: at(0x0a00_0001),
        now: START,
    }
}

/// Opens a connection of client `n` by the chosen port.
fn open(
    worker: &mut Writer<Addr>,
    chooser: &mut PortChooser,
    request: &PortRequest,
    n: u32,
) -> Option<u16> {
    let port = chooser.choose(worker.table(), request, |_| true)?.port;
    let new = NewConnection {
        original: FlowKey {
            src: at(n),
            src_port: request.original,
            ..request.reply_key(0).reversed(INSIDE)
        },
        reply: request.reply_key(port),
        ..snat(n, State::UdpAssured)
    };
    worker.insert(&new, START).expect("a chosen port is free");
    Some(port)
}

#[test]
fn the_port_is_kept_while_free_and_else_unpredictable() {
    let table = table(100, 1);
    let mut worker = worker(&table, 0);
    let mut chooser = PortChooser::new([1, 2]);
    assert_eq!(
        open(&mut worker, &mut chooser, &request(key::UDP, 40_000), 0),
        Some(40_000)
    );
    let mut others = BTreeSet::new();
    for seed in 0..20 {
        let port = PortChooser::new([seed, 2])
            .choose(&table, &request(key::UDP, 40_000), |_| true)
            .unwrap()
            .port;
        assert!(port >= 1024 && port != 40_000);
        others.insert(port);
    }
    assert!(
        others.len() > 15,
        "seeds lead to different ports: {others:?}"
    );
    let drawn: BTreeSet<Option<u16>> = (0..20)
        .map(|_| {
            chooser
                .choose(&table, &request(key::UDP, 40_000), |_| true)
                .map(|choice| choice.port)
        })
        .collect();
    assert!(drawn.len() > 15, "and so does asking again: {drawn:?}");

    // The same port serves another destination, protocol, address or zone.
    let same = request(key::UDP, 40_000);
    for other in [
        PortRequest { remote: 1, ..same },
        PortRequest {
            remote_port: 444,
            ..same
        },
        PortRequest {
            proto: key::TCP,
            ..same
        },
        PortRequest {
            external: EXTERNAL + 1,
            ..same
        },
        PortRequest {
            zone: INSIDE,
            ..same
        },
    ] {
        let choice = chooser.choose(&table, &other, |_| true).unwrap();
        assert_eq!(choice.port, 40_000);
        assert_eq!(choice.reply, other.reply_key(40_000));
        assert_eq!(choice.hash, table.hash(&choice.reply));
    }
}

#[test]
fn every_port_is_used_once_and_then_there_is_none() {
    let table = table(70_000, 1);
    let mut worker = worker(&table, 0);
    let mut chooser = PortChooser::new([3, 4]);
    let mut ports = BTreeSet::new();
    let mut fill = |worker: &mut Writer<Addr>, original: u16, count: usize| {
        let mut calls_in_vain = 0;
        while calls_in_vain < 256 {
            let n = ports.len() as u32;
            match open(worker, &mut chooser, &request(key::UDP, original), n) {
                Some(port) => {
                    assert!(port != 0 && ports.insert(port), "{port} twice");
                    assert!(original < 1024 || port >= 1024, "{port} is trusted by some");
                    calls_in_vain = 0;
                }
                None => calls_in_vain += 1,
            }
        }
        assert_eq!(ports.len(), count);
    };
    fill(&mut worker, 40_000, 64_512);
    fill(&mut worker, 80, 65_535);

    let freed = request(key::UDP, 80).reply_key(2_222);
    let conn = find(&table, &freed).unwrap().conn;
    worker.close(conn).unwrap();
    let again = (0..256).find_map(|_| chooser.choose(&table, &request(key::UDP, 80), |_| true));
    assert_eq!(
        again.map(|choice| choice.port),
        Some(2_222),
        "the one that came back is found"
    );
}

#[test]
fn identifiers_of_echoes_stand_in_both_ports_of_the_key() {
    let table = table(70_000, 1);
    let mut worker = worker(&table, 0);
    let mut chooser = PortChooser::new([5, 6]);
    let echo = request(key::ICMP, 0);
    assert_eq!(
        echo.reply_key(9),
        FlowKey {
            src: echo.remote,
            ..key(key::ICMP, 0, 9, 0x0a14_0064, 9, OUTSIDE)
        }
    );
    let mut identifiers = BTreeSet::new();
    for n in 0..3000 {
        identifiers.insert(open(&mut worker, &mut chooser, &echo, n).unwrap());
    }
    assert_eq!(identifiers.len(), 3000);
    assert!(identifiers.contains(&0), "kept");
    assert!(
        identifiers.iter().any(|id| (1..1024).contains(id)),
        "small identifiers are not special"
    );
}

#[test]
fn only_accepted_ports_are_chosen() {
    let table = table(100, 1);
    let mut chooser = PortChooser::new([7, 8]);
    for original in 1000..1100 {
        let port = chooser
            .choose(&table, &request(key::TCP, original), |port| port % 16 == 3)
            .unwrap()
            .port;
        assert_eq!(port % 16, 3);
        if original % 16 == 3 {
            assert_eq!(port, original);
        }
    }
    assert_eq!(
        chooser.choose(&table, &request(key::TCP, 5), |_| false),
        None
    );
}

#[test]
fn a_clone_chooses_the_same_and_leaves_the_original_alone() {
    let table = table(100, 1);
    let mut chooser = PortChooser::new([9, 10]);
    let ports = |mut chooser: PortChooser| {
        (0..10)
            .map(|_| chooser.choose(&table, &request(key::UDP, 0), |_| true))
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(chooser.clone()), ports(chooser.clone()));
    let first = ports(chooser.clone())[0];
    assert_eq!(
        chooser.choose(&table, &request(key::UDP, 0), |_| true),
        first
    );
}

#[test]
fn a_port_that_is_held_down_goes_to_the_source_that_had_it() {
    let table = table(4096, 1);
    let mut worker = worker(&table, 0);
    let mut chooser = PortChooser::new([1, 2]);
    let own = request(key::UDP, 5000);
    let other = PortRequest {
        source: own.source + 1,
        ..own
    };
    let elsewhere = PortRequest {
        remote: own.remote + 1,
        ..other
    };
    let use_once = |worker: &mut Writer<Addr>, now: Tick| {
        let reply = own.reply_key(5000);
        let original = FlowKey {
            src: own.source,
            zone: INSIDE,
            ..reply.reversed(INSIDE)
        };
        let new = NewConnection {
            original,
            reply,
            ..snat(1, State::UdpNew)
        };
        worker.expire(now, 0, |_, _| ());
        let conn = worker.insert(&new, now).unwrap().conn;
        worker.close(conn).unwrap();
    };
    let mut given = |request: &PortRequest, now: Tick| {
        let request = PortRequest { now, ..*request };
        chooser.choose(&table, &request, |_| true).unwrap().port
    };
    use_once(&mut worker, START);
    assert_eq!(
        given(&other, START),
        5000,
        "nothing is held unless it is asked for"
    );
    table.set_hold_down(1000);
    use_once(&mut worker, START);
    let last = START.plus(999);
    assert_eq!(given(&own, last), 5000);
    assert_eq!(given(&elsewhere, last), 5000);
    assert_ne!(given(&other, last), 5000);
    assert_eq!(given(&other, START.plus(1000)), 5000);
    use_once(&mut worker, last);
    assert_ne!(
        given(&other, START.plus(1000)),
        5000,
        "used again, held again"
    );
    table.set_hold_down(0);
    assert_eq!(given(&other, START.plus(1000)), 5000);
}

/// More ports than there is room for: some are free too early, none for ever, and the table goes on.
#[test]
fn holds_are_bounded() {
    let table = table(1024, 1);
    let mut worker = worker(&table, 0);
    table.set_hold_down(10_000);
    let mut held = 0;
    for n in 0..10_000 {
        let new = snat(n, State::UdpNew);
        let conn = worker.insert(&new, START).unwrap().conn;
        worker.close(conn).unwrap();
        let hash = table.hash(&new.reply);
        assert!(
            !table.holds.holds(hash, new.original.src.host(), START),
            "its own"
        );
        held += u32::from(table.holds.holds(hash, at(n + 1).host(), START));
        assert!(
            !table
                .holds
                .holds(hash, at(n + 1).host(), START.plus(10_000))
        );
    }
    // The twelve bits of two sources are equal now and then.
    assert!(held > 9_900, "{held}");
}
