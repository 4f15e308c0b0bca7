use super::*;
use crate::fragment::{fragment, fragment_own_v6};
use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::wire::ip_proto;
use sluice_net::{Builder, Mac, parse};
use std::net::{Ipv4Addr, Ipv6Addr};

const NOW: Time = Time(1_000);
/// Offset, bytes, whether others follow.
type Fragmented = (u16, usize, bool);
const SMALL: Settings = Settings {
    datagrams: 4,
    of_source: 2,
    bytes: 4_096,
    lifetime: 5_000,
};

fn link() -> Builder {
    Builder::ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]))
}

fn v4(host: u8) -> Builder {
    link().ipv4(Ipv4Addr::new(10, 0, 0, host), Ipv4Addr::new(10, 0, 0, 254))
}

fn v6(host: u16) -> Builder {
    link().ipv6(
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host),
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe),
    )
}

/// The pieces of a packet.
fn pieces(whole: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let headers = parse(whole).unwrap();
    match headers.ip().unwrap().is_v6() {
        false => fragment(whole, &headers, mtu),
        true => fragment_own_v6(whole, &headers, mtu, 77),
    }
    .unwrap()
}

fn feed(machine: &mut Reassembler<u8>, frame: &[u8]) -> Outcome {
    machine.receive(1, frame, &parse(frame).unwrap(), NOW)
}

fn later(host: u8, id: u32, offset: u16, len: usize, more: bool) -> Vec<u8> {
    let builder = v4(host).ip_id(id).protocol(ip_proto::ICMP);
    builder
        .fragment(offset, more)
        .payload(&vec![0; len])
        .build()
}

#[test]
fn what_overlaps_or_cannot_be_is_refused() {
    let cases: &[(&[Fragmented], Fragmented, Option<Refusal>)] = &[
        (&[(16, 16, true)], (24, 16, true), Some(Refusal::Overlap)),
        (&[(16, 16, true)], (8, 16, true), Some(Refusal::Overlap)),
        (&[(16, 16, true)], (16, 16, true), None),
        (&[(16, 16, false)], (16, 16, true), Some(Refusal::Overlap)),
        (&[(16, 16, true)], (16, 16, false), Some(Refusal::Overlap)),
        (&[(16, 16, false)], (40, 8, true), Some(Refusal::Overlap)),
        (&[(40, 8, true)], (16, 16, false), Some(Refusal::Overlap)),
        (&[(16, 16, false)], (8, 8, true), None),
        (&[], (8, 7, true), Some(Refusal::Malformed)),
        (&[], (8, 0, false), Some(Refusal::Malformed)),
    ];
    for (before, (offset, len, more), refused) in cases {
        let mut machine = Reassembler::new(SMALL);
        for (offset, len, more) in *before {
            let frame = later(1, 1, *offset, *len, *more);
            assert_eq!(feed(&mut machine, &frame), Outcome::Waiting);
        }
        let expected = refused.map_or(Outcome::Waiting, Outcome::Refused);
        let frame = later(1, 1, *offset, *len, *more);
        let outcome = feed(&mut machine, &frame);
        assert_eq!(outcome, expected, "{before:?} {offset} {len} {more}");
        if *refused == Some(Refusal::Overlap) {
            assert_eq!(machine.bytes(), 0);
            let fits = later(1, 1, 1_000, 8, true);
            assert_eq!(
                feed(&mut machine, &fits),
                Outcome::Refused(Refusal::Overlap)
            );
        }
    }
    let whole = v4(1).icmp_echo(Echo::Request, 1, 1).build();
    assert_eq!(
        feed(&mut Reassembler::new(SMALL), &whole),
        Outcome::Refused(Refusal::Malformed)
    );
}

#[test]
fn a_copy_with_other_bytes_is_no_copy() {
    let mut machine = Reassembler::new(SMALL);
    let mut frame = later(1, 1, 16, 16, true);
    assert_eq!(feed(&mut machine, &frame), Outcome::Waiting);
    *frame.last_mut().unwrap() = 1;
    assert_eq!(
        feed(&mut machine, &frame),
        Outcome::Refused(Refusal::Overlap)
    );
}

#[test]
fn time_bytes_and_sources_are_bounded() {
    let mut machine = Reassembler::new(SMALL);
    assert_eq!(machine.next_deadline(), None);
    for id in 0..2 {
        assert_eq!(
            feed(&mut machine, &later(1, id, 8, 8, true)),
            Outcome::Waiting
        );
    }
    assert_eq!(
        feed(&mut machine, &later(1, 2, 8, 8, true)),
        Outcome::Refused(Refusal::SourceLimit)
    );
    // Four datagrams at most: the oldest gives way.
    for host in 2..10 {
        assert_eq!(
            feed(&mut machine, &later(host, 0, 8, 8, true)),
            Outcome::Waiting
        );
        assert!(machine.bytes() <= 4 * 8);
    }
    // So many bytes at most.
    for host in 20..40 {
        assert_eq!(
            feed(&mut machine, &later(host, 0, 8, 1_400, true)),
            Outcome::Waiting
        );
        assert!(machine.bytes() <= SMALL.bytes);
    }
    for n in 0..10u16 {
        let outcome = feed(&mut machine, &later(50, 0, 8 + n * 1_400, 1_400, true));
        let fits = n < 2;
        assert_eq!(outcome == Outcome::Waiting, fits, "{n}: {outcome:?}");
        assert!(machine.bytes() <= SMALL.bytes);
    }
    assert_eq!(machine.next_deadline(), Some(NOW.plus(SMALL.lifetime)));
    assert_eq!(machine.expire(NOW.plus(SMALL.lifetime - 1)), 0);
    assert!(machine.expire(NOW.plus(SMALL.lifetime)) > 0);
    assert_eq!((machine.bytes(), machine.next_deadline()), (0, None));
}

#[test]
fn those_that_came_in_elsewhere_are_others() {
    let mut machine = Reassembler::new(SMALL);
    let whole = v4(1)
        .icmp_echo(Echo::Request, 1, 1)
        .payload(&[7; 1_000])
        .build();
    let pieces = pieces(&whole, 576);
    let headers: Vec<_> = pieces.iter().map(|piece| parse(piece).unwrap()).collect();
    for at in 0..2u8 {
        let outcome = machine.receive(at, &pieces[usize::from(at)], &headers[usize::from(at)], NOW);
        assert_eq!(outcome, Outcome::Waiting);
    }
    let outcome = machine.receive(0, &pieces[1], &headers[1], NOW);
    let Outcome::Whole(joined) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(joined.largest, 572);
}

#[test]
fn extension_headers_before_the_fragment_header_stay() {
    let whole = |more: bool| {
        let builder = v6(1)
            .ip_id(5)
            .extension(ip_proto::HOP_BY_HOP, &[1, 4, 0, 0, 0, 0])
            .extension(ip_proto::DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0]);
        match more {
            true => builder.udp(1, 2).fragment(0, true).payload(&[3; 8]).build(),
            false => builder
                .protocol(ip_proto::UDP)
                .fragment(16, false)
                .payload(&[4; 4])
                .build(),
        }
    };
    let mut machine = Reassembler::new(SMALL);
    assert_eq!(feed(&mut machine, &whole(true)), Outcome::Waiting);
    let Outcome::Whole(joined) = feed(&mut machine, &whole(false)) else {
        panic!("not whole");
    };
    let link = 14 + 40 + 16;
    assert_eq!(joined.frame.len(), link + 16 + 4);
    assert_eq!(joined.frame[14 + 6], ip_proto::HOP_BY_HOP);
    assert_eq!(joined.frame[link - 8], ip_proto::UDP);
    assert_eq!(&joined.frame[link + 16..], [4; 4]);
}

#[test]
fn more_than_a_frame_can_hold() {
    let mut machine = Reassembler::new(Settings::default());
    let mut frames: Vec<_> = (0..46u16)
        .map(|n| later(1, 1, n * 1_400 + 8, 1_400, true))
        .collect();
    frames.push(
        v4(1)
            .ip_id(1)
            .icmp_echo(Echo::Request, 1, 1)
            .fragment(0, true)
            .build(),
    );
    frames.push(later(1, 1, 46 * 1_400 + 8, 1_100, false));
    let last = frames.len() - 1;
    for (n, frame) in frames.iter().enumerate() {
        let outcome = feed(&mut machine, frame);
        match n == last {
            true => assert_eq!(outcome, Outcome::Refused(Refusal::TooLong)),
            false => assert_eq!(outcome, Outcome::Waiting),
        }
    }
    assert_eq!(machine.bytes(), 0);
}

proptest! {
    /// Whatever was cut is whole again, in any order, with copies.
    #[test]
    fn cut_and_joined_is_the_same(
        len in 1_500usize..9_000, mtu in 256u16..1_500, is_v6 in any::<bool>(), tagged in any::<bool>(),
        order in prop::collection::vec((any::<u32>(), 1u8..3), 60),
    ) {
        let base = if is_v6 { v6(1) } else { v4(1).ip_id(9) };
        let base = if tagged { base.vlan(7) } else { base };
        let data: Vec<u8> = (0..len).map(|n| (n * 7 / 3) as u8).collect();
        let whole = base.icmp_echo(Echo::Request, 1, 2).payload(&data).build();
        let mut queue: Vec<(u32, Vec<u8>)> = Vec::new();
        for (piece, (place, copies)) in pieces(&whole, mtu).iter().zip(order.iter().cycle()) {
            for copy in 0..*copies {
                queue.push((place.rotate_left(u32::from(copy) * 7), piece.clone()));
            }
        }
        queue.sort_by_key(|(place, _)| *place);
        let mut machine = Reassembler::new(Settings::default());
        let mut joined = None;
        for (_, piece) in queue {
            match feed(&mut machine, &piece) {
                Outcome::Whole(whole) => { joined.get_or_insert(whole); }
                Outcome::Waiting => {}
                Outcome::Refused(refusal) => prop_assert!(false, "{:?}", refusal),
            }
        }
        let joined = joined.expect("whole");
        prop_assert!(joined.largest <= mtu);
        prop_assert_eq!(joined.frame, whole);
    }

    /// Anything may come.
    #[test]
    fn bounds_hold_whatever_comes(
        came in prop::collection::vec((1u8..9, 0u32..3, 0u16..40, 0usize..200, any::<bool>(), 0u32..2_000), 0..300),
    ) {
        let mut machine = Reassembler::new(SMALL);
        let mut now = NOW;
        for (host, id, offset, len, more, wait) in came {
            now = now.plus(wait);
            let frame = later(host, id, offset * 8 + 8, len, more);
            machine.receive(1, &frame, &parse(&frame).unwrap(), now);
            prop_assert!(machine.bytes() <= SMALL.bytes);
            let kept: usize = machine.under_way.values().map(|datagram| datagram.bytes).sum();
            prop_assert_eq!(kept, machine.bytes());
            prop_assert!(machine.under_way.len() <= SMALL.datagrams);
        }
        machine.expire(now.plus(SMALL.lifetime));
        prop_assert_eq!(machine.bytes(), 0);
    }
}
