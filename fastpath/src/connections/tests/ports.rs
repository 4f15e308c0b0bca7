use std::collections::BTreeSet;

use super::*;

const EXTERNAL: u32 = 0x0a14_0064;

fn request(proto: u8, original: u16) -> PortRequest {
    PortRequest {
        proto,
        external: EXTERNAL,
        original,
        remote: 0xc633_6407,
        remote_port: 443,
        zone: OUTSIDE,
    }
}

/// Opens a connection of client `n` by the chosen port.
fn open(
    worker: &mut WorkerConnections,
    chooser: &mut PortChooser,
    request: &PortRequest,
    n: u32,
) -> Option<u16> {
    let port = chooser.choose(worker.table(), request, |_| true)?.port;
    let new = NewConnection {
        original: key(
            request.proto,
            n,
            request.original,
            request.remote,
            request.remote_port,
            INSIDE,
        ),
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
    let mut fill = |worker: &mut WorkerConnections, original: u16, count: usize| {
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
        key(key::ICMP, echo.remote, 9, EXTERNAL, 9, OUTSIDE)
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
