use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use sluice_net::{Builder, Extent, Fragment, Headers, Mac, parse};

use super::pieces::Piece;
use super::*;
use crate::ids::{PortId, Tick};
use crate::stage::enter::Entry;
use crate::verdict::DropReason;

const LIMITS: Limits = Limits {
    datagrams: 16,
    held: 64,
    timeout: 2000,
};
const START: Tick = Tick(u32::MAX - 500);

fn extent(offset: u16, len: u16, more: bool) -> Extent {
    Extent { offset, len, more }
}

fn first(src: u16) -> First {
    First {
        proto: 17,
        upper: Upper::Udp { src, dst: 53 },
    }
}

fn headers(host: u8, id: u16) -> Headers {
    let (src, dst) = (Ipv4Addr::new(10, 0, 0, host), Ipv4Addr::new(8, 8, 8, 8));
    let frame = Builder::ethernet(Mac::ZERO, Mac::ZERO)
        .ipv4(src, dst)
        .ip_id(id.into())
        .udp(1, 2)
        .fragment(0, true);
    parse(&frame.build()).expect("a packet")
}

fn key(host: u8, id: u16) -> Key {
    Key::of(&Entry::Port(PortId(7)), &headers(host, id)).expect("IP")
}

/// A table and what it dropped.
struct Bench {
    table: Fragments<u32>,
    lost: Vec<DropReason>,
    now: Tick,
}

/// What came of a fragment: those that go on, the last one first, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    On(First, Vec<u32>),
    Held,
    Refused(DropReason),
}

impl Bench {
    fn new(limits: Limits) -> Bench {
        Bench {
            table: Fragments::new(limits, Secret(9)),
            lost: Vec::new(),
            now: START,
        }
    }

    fn comes(&mut self, key: &Key, extent: Extent, first: Option<First>, item: u32) -> Came {
        self.comes_trusted(key, extent, first, item, false)
    }

    fn comes_trusted(
        &mut self,
        key: &Key,
        extent: Extent,
        first: Option<First>,
        item: u32,
        trusted: bool,
    ) -> Came {
        let lost = &mut self.lost;
        let first = first.map(|first| (first, trusted));
        let arrival = self
            .table
            .arrive(key, &extent, first, item, self.now, |reason| {
                lost.push(reason)
            });
        match arrival {
            Arrival::Held => Came::Held,
            Arrival::Refused(reason) => Came::Refused(reason),
            Arrival::Goes(item, mut released) => {
                let mut all = vec![item];
                while let Some(item) = self.table.release(&mut released) {
                    all.push(item);
                }
                Came::On(released.first, all)
            }
        }
    }

    fn after(&mut self, ms: u32) {
        self.now = self.now.plus(ms);
        let lost = &mut self.lost;
        self.table.expire(self.now, |reason| lost.push(reason));
    }
}

#[test]
fn in_order_each_goes_on_as_it_comes_and_the_last_ends_it() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    let f = first(4000);
    assert_eq!(
        bench.comes(&one, extent(0, 1480, true), Some(f), 1),
        Came::On(f, vec![1])
    );
    assert_eq!(
        bench.comes(&one, extent(1480, 1480, true), None, 2),
        Came::On(f, vec![2])
    );
    assert_eq!(bench.table.len(), 1);
    assert_eq!(
        bench.comes(&one, extent(2960, 7, false), None, 3),
        Came::On(f, vec![3])
    );
    assert!(bench.table.is_empty());
}

#[test]
fn those_before_the_first_wait_and_go_on_in_order() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    assert_eq!(bench.comes(&one, extent(16, 4, false), None, 3), Came::Held);
    assert_eq!(bench.comes(&one, extent(8, 8, true), None, 2), Came::Held);
    assert_eq!(
        bench.comes(&one, extent(8, 8, true), None, 9),
        Came::Refused(DropReason::FragmentDuplicate)
    );
    assert_eq!(bench.table.held(), 2);
    let f = first(1);
    assert_eq!(
        bench.comes(&one, extent(0, 8, true), Some(f), 1),
        Came::On(f, vec![1, 3, 2])
    );
    assert_eq!((bench.table.len(), bench.table.held()), (0, 0));
    assert_eq!(bench.lost, []);
}

#[test]
fn datagrams_are_told_apart() {
    let frame = |builder: Builder| parse(&builder.build()).unwrap();
    let base = || Builder::ethernet(Mac::ZERO, Mac::ZERO);
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let v4 = |src, dst, id| {
        frame(
            base()
                .ipv4(src, dst)
                .ip_id(id)
                .protocol(17)
                .fragment(8, false)
                .payload(&[1]),
        )
    };
    let port = Entry::Port(PortId(1));
    let of = |entry: &Entry, headers: &Headers| Key::of(entry, headers).unwrap();
    let one = of(&port, &v4(a, b, 1));
    assert_eq!(one, of(&port, &v4(a, b, 1)));
    let tcp = frame(
        base()
            .ipv4(a, b)
            .ip_id(1)
            .protocol(6)
            .fragment(16, false)
            .payload(&[1]),
    );
    for other in [
        of(&Entry::Port(PortId(2)), &v4(a, b, 1)),
        of(&Entry::Owner(PortId(1)), &v4(a, b, 1)),
        of(&port, &v4(b, a, 1)),
        of(&port, &v4(a, b, 2)),
        of(&port, &tcp),
    ] {
        assert_ne!(one, other);
    }
    // Of IPv6 the protocol is no part of it (RFC 8200 section 4.5).
    let v6 = |proto| {
        let (a, b) = (a.to_ipv6_mapped(), b.to_ipv6_mapped());
        let builder = base().ipv6(a, b).ip_id(0x1234_5678).protocol(proto);
        frame(builder.fragment(8, false).payload(&[1]))
    };
    assert_eq!(of(&port, &v6(17)), of(&port, &v6(60)));
    assert_eq!(Key::of(&port, &frame(base().arp_request(a, b))), None);
}

#[test]
fn what_overlaps_spoils_the_datagram() {
    let f = first(1);
    // What came, what comes, and whether that is held against the datagram.
    let cases: &[(&[Extent], Extent, bool)] = &[
        (&[extent(0, 16, true)], extent(8, 8, true), true),
        (&[extent(0, 16, true)], extent(0, 8, true), true),
        (
            &[extent(0, 8, true), extent(16, 8, true)],
            extent(8, 16, true),
            true,
        ),
        (
            &[extent(0, 8, true), extent(16, 8, true)],
            extent(8, 8, true),
            false,
        ),
        // Two ends, an end before what has come, more after the end.
        (
            &[extent(0, 8, true), extent(16, 8, false)],
            extent(8, 4, false),
            true,
        ),
        (
            &[extent(0, 8, true), extent(16, 8, true)],
            extent(8, 8, false),
            true,
        ),
        (
            &[extent(0, 8, true), extent(16, 8, false)],
            extent(24, 8, true),
            true,
        ),
        (
            &[extent(0, 8, true), extent(16, 8, false)],
            extent(16, 8, true),
            true,
        ),
        (
            &[extent(0, 8, true), extent(16, 8, true)],
            extent(16, 8, false),
            true,
        ),
        // Copies are none.
        (
            &[extent(0, 8, true), extent(16, 8, false)],
            extent(16, 8, false),
            false,
        ),
    ];
    for (before, next, spoils) in cases {
        let mut bench = Bench::new(LIMITS);
        let one = key(1, 5);
        for piece in *before {
            let said = (piece.offset == 0).then_some(f);
            assert!(matches!(bench.comes(&one, *piece, said, 0), Came::On(..)));
        }
        let said = (next.offset == 0).then_some(f);
        let came = bench.comes(&one, *next, said, 0);
        let refused = came == Came::Refused(DropReason::FragmentOverlap);
        assert_eq!(refused, *spoils, "{before:?} {next:?}: {came:?}");
        if *spoils {
            // Those that would fit do not pass any more, until the time is over.
            let fits = extent(4000, 8, true);
            assert_eq!(
                bench.comes(&one, fits, None, 0),
                Came::Refused(DropReason::FragmentOverlap)
            );
            bench.after(LIMITS.timeout);
            assert_eq!(bench.comes(&one, fits, None, 0), Came::Held);
        }
    }
}

#[test]
fn another_first_with_other_ports_spoils_the_datagram() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    let _ = bench.comes(&one, extent(0, 8, true), Some(first(1)), 0);
    assert_eq!(
        bench.comes(&one, extent(0, 8, true), Some(first(1)), 1),
        Came::On(first(1), vec![1])
    );
    assert_eq!(
        bench.comes(&one, extent(0, 8, true), Some(first(2)), 2),
        Came::Refused(DropReason::FragmentOverlap)
    );
    assert_eq!(
        bench.comes(&one, extent(8, 8, false), None, 3),
        Came::Refused(DropReason::FragmentOverlap)
    );
}

#[test]
fn held_ones_of_a_spoiled_datagram_are_dropped_with_it() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    assert_eq!(bench.comes(&one, extent(8, 16, true), None, 1), Came::Held);
    assert_eq!(
        bench.comes(&one, extent(16, 16, true), None, 2),
        Came::Refused(DropReason::FragmentOverlap)
    );
    assert_eq!(bench.lost, [DropReason::FragmentOverlap]);
    assert_eq!(bench.table.held(), 0);
}

#[test]
fn impossible_pieces_are_refused_and_leave_nothing() {
    let mut bench = Bench::new(LIMITS);
    for piece in [extent(8, 7, true), extent(8, 0, true), extent(8, 0, false)] {
        assert_eq!(
            bench.comes(&key(1, 5), piece, None, 0),
            Came::Refused(DropReason::FragmentMalformed)
        );
    }
    assert!(bench.table.is_empty());
}

#[test]
fn a_datagram_has_so_many_pieces() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    for n in 0..MOST_PIECES as u16 {
        let said = (n == 0).then(|| first(1));
        let came = bench.comes(&one, extent(n * 8, 8, true), said, 0);
        assert!(matches!(came, Came::On(..)), "{n}");
    }
    assert_eq!(
        bench.comes(&one, extent(MOST_PIECES as u16 * 8, 8, true), None, 0),
        Came::Refused(DropReason::FragmentPieces)
    );
    // The largest datagram, by the smallest MTU of IPv6.
    let mut pieces = Pieces::default();
    let size = (1280 - 40 - 8) / 8 * 8;
    for offset in (0..65_535u32).step_by(size) {
        let len = (65_535 - offset).min(size as u32);
        let more = offset + len < 65_535;
        let piece = extent(offset as u16, len as u16, more);
        assert_eq!(pieces.add(&piece), Piece::New);
    }
    assert!(pieces.is_whole());
}

#[test]
fn the_time_of_the_first_and_that_of_the_others() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    assert_eq!(bench.comes(&one, extent(8, 8, true), None, 1), Came::Held);
    bench.after(LIMITS.timeout - 1);
    assert_eq!(bench.table.held(), 1);
    let f = first(1);
    assert_eq!(
        bench.comes(&one, extent(0, 8, true), Some(f), 2),
        Came::On(f, vec![2, 1])
    );
    bench.after(LIMITS.timeout - 1);
    assert_eq!(
        bench.comes(&one, extent(16, 8, true), None, 3),
        Came::On(f, vec![3])
    );
    // Copies of the first do not lengthen it.
    let _ = bench.comes(&one, extent(0, 8, true), Some(f), 2);
    bench.after(1);
    assert!(bench.table.is_empty());
    assert_eq!(bench.comes(&one, extent(24, 8, true), None, 4), Came::Held);
    bench.after(LIMITS.timeout);
    assert_eq!(bench.lost, [DropReason::FragmentTimeout]);
    assert_eq!((bench.table.len(), bench.table.held()), (0, 0));
}

#[test]
fn what_is_late_counts_as_gone_before_it_is_swept() {
    let mut bench = Bench::new(LIMITS);
    let one = key(1, 5);
    let _ = bench.comes(&one, extent(8, 8, true), None, 1);
    bench.now = bench.now.plus(LIMITS.timeout);
    let f = first(1);
    assert_eq!(
        bench.comes(&one, extent(0, 8, true), Some(f), 2),
        Came::On(f, vec![2])
    );
    assert_eq!(bench.lost, [DropReason::FragmentTimeout]);
}

#[test]
fn a_source_has_its_share() {
    let mut bench = Bench::new(LIMITS);
    let share = (LIMITS.datagrams / SOURCE_SHARE) as u16;
    for id in 0..share {
        assert!(matches!(
            bench.comes(&key(1, id), extent(0, 8, true), Some(first(1)), 0),
            Came::On(..)
        ));
    }
    assert_eq!(
        bench.comes(&key(1, share), extent(0, 8, true), Some(first(1)), 0),
        Came::Refused(DropReason::FragmentSourceLimit)
    );
    // What is held is shared, too.
    let mut bench = Bench::new(LIMITS);
    let share = (LIMITS.held / SOURCE_SHARE) as u16;
    for n in 1..=share {
        assert_eq!(
            bench.comes(&key(1, 0), extent(n * 8, 8, true), None, 0),
            Came::Held
        );
    }
    assert_eq!(
        bench.comes(&key(1, 0), extent((share + 1) * 8, 8, true), None, 0),
        Came::Refused(DropReason::FragmentSourceLimit)
    );
    assert_eq!(bench.lost.len(), usize::from(share));
    assert_eq!((bench.table.len(), bench.table.held()), (0, 0));
    assert_eq!(
        bench.comes(&key(1, 0), extent(8, 8, true), None, 0),
        Came::Held
    );
}

#[test]
fn the_oldest_gives_way_and_those_of_connections_last() {
    let mut bench = Bench::new(LIMITS);
    let f = first(1);
    let of_connection = key(250, 0);
    let _ = bench.comes_trusted(&of_connection, extent(0, 8, true), Some(f), 0, true);
    // A flood of firsts and of later ones, each from another source.
    for host in 0..200u8 {
        let piece = match host % 2 {
            0 => extent(0, 8, true),
            _ => extent(8, 8, true),
        };
        let said = (host % 2 == 0).then_some(f);
        let came = bench.comes(&key(host, 0), piece, said, u32::from(host));
        assert!(!matches!(came, Came::Refused(_)), "{host}: {came:?}");
        assert!(bench.table.len() <= LIMITS.datagrams);
    }
    assert_eq!(bench.table.len(), LIMITS.datagrams);
    assert!(
        bench
            .lost
            .iter()
            .all(|lost| *lost == DropReason::FragmentTableFull)
    );
    let displaced = bench.table.take_displaced();
    assert_eq!(displaced, 201 - u64::from(LIMITS.datagrams));
    // The flood's own oldest are gone, the connection's datagram stands.
    assert_eq!(
        bench.comes(&of_connection, extent(8, 8, false), None, 5),
        Came::On(f, vec![5])
    );
    assert_eq!(
        bench.comes(&key(198, 0), extent(8, 8, false), None, 6),
        Came::On(f, vec![6])
    );
    assert_eq!(
        bench.comes(&key(0, 0), extent(8, 8, false), None, 7),
        Came::Held
    );
}

#[test]
fn held_frames_have_a_bound_of_their_own() {
    let limits = Limits {
        datagrams: 1024,
        held: 8,
        timeout: 2000,
    };
    let mut bench = Bench::new(limits);
    for host in 0..100u8 {
        assert_eq!(
            bench.comes(&key(host, 0), extent(8, 8, true), None, host.into()),
            Came::Held
        );
        assert!(bench.table.held() <= limits.held);
    }
    assert_eq!(bench.table.held(), limits.held);
    assert_eq!(bench.lost.len(), 92);
    let f = first(3);
    assert_eq!(
        bench.comes(&key(99, 0), extent(0, 8, true), Some(f), 1),
        Came::On(f, vec![1, 99])
    );
}

#[test]
fn workers_agree_and_share() {
    let secret = Secret(77);
    let mut load = [0; 4];
    for id in 0..4000 {
        let worker = secret.worker(&key((id % 7) as u8, id), 4);
        assert_eq!(worker, secret.worker(&key((id % 7) as u8, id), 4));
        load[usize::from(worker.0)] += 1;
    }
    assert!(
        load.iter().all(|load| (850..1150).contains(load)),
        "{load:?}"
    );
    assert_eq!(secret.worker(&key(1, 1), 1).0, 0);
}

#[test]
fn memory_is_what_is_said() {
    let default = Limits::default();
    assert!(default.memory() < 2 << 20, "{}", default.memory());
    let twice = Limits {
        datagrams: 8192,
        ..default
    };
    assert!(twice.memory() > default.memory());
}

#[test]
fn later_fragments_are_told_and_first_ones_keep_theirs() {
    let base = Builder::ethernet(Mac::ZERO, Mac::ZERO)
        .ipv4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let ip = |builder: Builder| *parse(&builder.build()).unwrap().ip().unwrap();
    let start = ip(base.clone().tcp(1, 2, 2).fragment(0, true).payload(&[0; 4]));
    let mut later = ip(base.protocol(6).fragment(24, false).payload(&[0; 4]));
    let said = First::of(&start);
    said.tell(&mut later);
    assert_eq!((later.l4, later.fragment), (start.l4, Fragment::Later));
    let mut other = start;
    First {
        proto: 17,
        upper: Upper::Other,
    }
    .tell(&mut other);
    assert_eq!(other, start);
}

/// A datagram cut at random, as extents.
fn cut(cuts: &[u16], len: u16) -> Vec<Extent> {
    let mut at: Vec<u16> = cuts.iter().map(|cut| cut % (len / 8).max(1) * 8).collect();
    at.extend([0, len]);
    at.sort_unstable();
    at.dedup();
    at.windows(2)
        .map(|pair| extent(pair[0], pair[1] - pair[0], pair[1] < len))
        .collect()
}

proptest! {
    /// Every piece of every datagram goes on, whatever the order and however many copies come, and bounds hold.
    #[test]
    fn nothing_is_lost_in_any_order(
        shapes in prop::collection::vec((prop::collection::vec(any::<u16>(), 0..12), 24u16..9000), 1..6),
        order in prop::collection::vec((any::<u32>(), 1u8..3), 128),
    ) {
        let mut bench = Bench::new(Limits { datagrams: 256, held: 2048, timeout: 2000 });
        let mut coming = Vec::new();
        for (id, (cuts, len)) in shapes.iter().enumerate() {
            let pieces = cut(cuts, *len);
            if pieces.len() > 1 {
                coming.extend(pieces.into_iter().map(|piece| (id as u16, piece)));
            }
        }
        let mut queue: Vec<(u32, u16, Extent)> = Vec::new();
        for ((id, piece), (place, copies)) in coming.iter().zip(&order) {
            for copy in 0..*copies {
                queue.push((place.rotate_left(copy.into()), *id, *piece));
            }
        }
        queue.sort_by_key(|(place, ..)| *place);
        let mut went = std::collections::HashSet::new();
        for (n, (_, id, piece)) in queue.iter().enumerate() {
            let said = (piece.offset == 0).then(|| first(*id));
            let came = bench.comes(&key((*id % 200) as u8, *id), *piece, said, n as u32);
            if let Came::On(said, items) = came {
                prop_assert_eq!(said, first(*id));
                for item in items {
                    let (_, id, piece) = queue[item as usize];
                    went.insert((id, piece.offset));
                }
            } else {
                let waits = came == Came::Held
                    || came == Came::Refused(DropReason::FragmentDuplicate);
                prop_assert!(waits, "{:?}", came);
            }
            prop_assert!(bench.table.held() <= 2048 && bench.table.len() <= 256);
        }
        // Copies that came after all of a datagram had may wait in vain; all others have gone on.
        for (id, piece) in &coming {
            prop_assert!(went.contains(&(*id, piece.offset)), "{} {:?}", id, piece);
        }
        bench.after(2000);
        bench.after(2000);
        prop_assert_eq!((bench.table.len(), bench.table.held()), (0, 0));
    }

    /// Anything may come: bounds hold, and all that is held is let go.
    #[test]
    fn bounds_hold_whatever_comes(
        came in prop::collection::vec((0u8..40, 0u16..4, 0u16..70, 0u16..40, any::<bool>(), 0u32..300), 0..600),
    ) {
        let mut bench = Bench::new(LIMITS);
        let (mut held, mut on) = (0usize, 0usize);
        for (host, id, offset, len, more, wait) in came {
            bench.after(wait);
            let piece = extent(offset * 8, len, more);
            let said = (offset == 0).then(|| first(len % 2));
            match bench.comes(&key(host, id), piece, said, 0) {
                Came::Held => held += 1,
                Came::On(_, items) => on += items.len() - 1,
                Came::Refused(_) => {}
            }
            prop_assert!(bench.table.len() <= LIMITS.datagrams);
            prop_assert!(bench.table.held() <= LIMITS.held);
            prop_assert_eq!(held, on + bench.lost.len() + bench.table.held() as usize);
        }
        for _ in 0..20 {
            bench.after(LIMITS.timeout);
        }
        prop_assert_eq!((bench.table.len(), bench.table.held()), (0, 0));
        prop_assert_eq!(held, on + bench.lost.len());
    }
}

#[test]
fn addresses_of_both_families_hash_apart() {
    let secret = Secret(1);
    let of = |ip: IpAddr| {
        let mut builder = Builder::ethernet(Mac::ZERO, Mac::ZERO).ip(ip, ip).ip_id(1);
        builder = builder.protocol(17).fragment(8, false).payload(&[1]);
        let headers = parse(&builder.build()).unwrap();
        secret.hash(&Key::of(&Entry::Port(PortId(0)), &headers).unwrap())
    };
    let v4 = Ipv4Addr::new(10, 0, 0, 1);
    assert_ne!(of(v4.into()), of(v4.to_ipv6_mapped().into()));
}
