//! A classifier against trying one rule after the other.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use sluice_net::wire::tcp;
use sluice_net::{Builder as Frame, Field, Headers, Mac, parse};

use super::*;

const SRC: Part = Part::whole(Subject::Header(Field::Ip4Src));
const DST: Part = Part::whole(Subject::Header(Field::TcpDst));
const IN: Part = Part::whole(Subject::InPort);
/// The lowest byte of the destination.
const LAST: Part = Part {
    subject: Subject::Header(Field::Ip4Dst),
    mask: 0xff,
};
/// Bits that are not next to each other.
const FLAGS: Part = Part {
    subject: Subject::Header(Field::TcpFlags),
    mask: 0b1_0010,
};
const PARTS: [Part; 5] = [SRC, DST, IN, LAST, FLAGS];

fn headers(src: u32, last: u8, port: u16, flags: u8) -> Headers {
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::new(10, 0, 0, last));
    let frame = Frame::ethernet(mac, mac).ip(IpAddr::V4(src), IpAddr::V4(dst));
    parse(&frame.tcp(1000, port, flags).build()).unwrap()
}

fn range(first: u128, last: u128) -> Ranges {
    Ranges::of([Range { first, last }])
}

/// A rule as it was meant.
#[derive(Clone, Debug)]
struct Rule(Vec<(Part, Vec<Ranges>, bool)>);

impl Rule {
    fn fits(&self, packet: &Packet<'_>) -> bool {
        self.0.iter().all(|(part, sets, negated)| {
            let value = part.of(packet.read(part.subject).unwrap());
            sets.iter().any(|set| set.contains(value)) != *negated
        })
    }
}

fn build(rules: &[Rule]) -> Classifier {
    let mut builder = Builder::new();
    for rule in rules {
        let conditions: Vec<Condition> = rule
            .0
            .iter()
            .map(|(part, sets, negated)| Condition {
                part: *part,
                sets: sets.iter().map(|set| builder.set(set.clone())).collect(),
                negated: *negated,
            })
            .collect();
        builder.rule(&conditions).unwrap();
    }
    builder.build().unwrap()
}

fn rule() -> impl Strategy<Value = Rule> {
    // Few different numbers, so that rules meet packets and each other.
    let set = prop::collection::vec((0_u128..24, 0_u128..6), 0..4).prop_map(|ranges| {
        let ranges = ranges.into_iter();
        Ranges::of(ranges.map(|(first, more)| Range {
            first,
            last: first + more,
        }))
    });
    let condition = (
        prop::sample::select(PARTS.to_vec()),
        prop::collection::vec(set, 0..3),
        any::<bool>(),
    );
    prop::collection::vec(condition, 0..4).prop_map(Rule)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_first_rule_is_the_one_that_trying_them_all_finds(
        rules in prop::collection::vec(rule(), 0..40),
        // Many times over, so that there are many blocks and more than one word of a summary.
        copies in prop_oneof![9 => 1..30_usize, 1 => 900..1100_usize],
        src in 0..32_u32, last in 0..32_u8, port in 0..32_u16, flags in 0..32_u8, in_port in 0..32_u32,
        from in 0..40_usize,
    ) {
        let headers = headers(src, last, port, flags);
        let packet = Packet { headers: &headers, in_port: Some(PortId(in_port)), out_port: None };
        let all: Vec<Rule> = std::iter::repeat_n(&rules, copies).flatten().cloned().collect();
        let classifier = build(&all);
        prop_assert_eq!(classifier.rules(), all.len());
        let fits: Vec<bool> = rules.iter().map(|rule| rule.fits(&packet)).collect();
        let look = classifier.look(&packet);
        let expected = |from: usize| (from..all.len()).find(|at| fits[at % rules.len()]);
        prop_assert_eq!(look.first(0), expected(0));
        let from = from * copies * rules.len() / 40;
        prop_assert_eq!(look.first(from), expected(from));
        let mut wanted = vec![0_u64; all.len().div_ceil(64)];
        let marked: Vec<usize> = (0..all.len()).filter(|at| at % 7 == 3).collect();
        marked.iter().for_each(|at| wanted[at / 64] |= 1 << (at % 64));
        let found = marked.into_iter().find(|at| fits[at % rules.len()]);
        prop_assert_eq!(look.first_of(&wanted), found);
    }

    #[test]
    fn equal_rules_make_equal_classifiers(rules in prop::collection::vec(rule(), 0..12)) {
        prop_assert_eq!(build(&rules), build(&rules));
    }
}

#[test]
fn without_conditions_every_packet_fits() {
    let headers = headers(1, 1, 1, tcp::SYN);
    let packet = Packet {
        headers: &headers,
        in_port: None,
        out_port: None,
    };
    assert_eq!(build(&[]).look(&packet).first(0), None);
    assert_eq!(build(&[Rule(vec![])]).look(&packet).first(0), Some(0));
    assert_eq!(Classifier::default().look(&packet).first(0), None);
}

#[test]
fn no_port_is_none_of_the_ports() {
    let headers = headers(1, 1, 1, tcp::SYN);
    let known = Rule(vec![(IN, vec![range(0, 1 << 20)], false)]);
    let classifier = build(&[known]);
    for (in_port, expected) in [(Some(PortId(7)), Some(0)), (None, None)] {
        let packet = Packet {
            headers: &headers,
            in_port,
            out_port: None,
        };
        assert_eq!(classifier.look(&packet).first(0), expected);
    }
}

#[test]
fn a_part_that_the_packet_does_not_have_is_passed_over() {
    let udp = Part::whole(Subject::Header(Field::UdpDst));
    let headers = headers(1, 1, 1, tcp::SYN);
    let packet = Packet {
        headers: &headers,
        in_port: None,
        out_port: None,
    };
    // The rule must name the protocol as well, as every expression does.
    let proto = Part::whole(Subject::Header(Field::IpProto));
    let rules = [
        Rule(vec![
            (udp, vec![range(1, 1)], false),
            (proto, vec![range(17, 17)], false),
        ]),
        Rule(vec![(SRC, vec![range(1, 1)], false)]),
    ];
    assert_eq!(build(&rules).look(&packet).first(0), Some(1));
}

#[test]
fn sets_are_shared_and_not_multiplied_out() {
    // One set of ten thousand addresses in each of a thousand rules.
    let scattered = Ranges::of((0..10_000).map(|n| Range::one(n * 3)));
    let rules: Vec<Rule> = (0..1000)
        .map(|port| {
            Rule(vec![
                (SRC, vec![scattered.clone()], false),
                (DST, vec![range(port, port)], false),
            ])
        })
        .collect();
    let classifier = build(&rules);
    // The borders of the set in a tree, a row number each, and a thousand rows of a port.
    assert!(
        classifier.memory() < 400_000,
        "{} bytes",
        classifier.memory()
    );
    let found = |src: u32, port: u16| {
        let headers = headers(src, 1, port, tcp::SYN);
        let packet = Packet {
            headers: &headers,
            in_port: None,
            out_port: None,
        };
        classifier.look(&packet).first(0)
    };
    assert_eq!(found(2997, 999), Some(999));
    assert_eq!(found(2998, 999), None);
    assert_eq!(found(2997, 1000), None);
}

#[test]
fn what_is_too_complex_is_refused() {
    let mut builder = Builder::new();
    let set = builder.set(range(1, 1));
    let bit = |bit: u32| Condition {
        part: Part {
            subject: Subject::Header(Field::Ip6Dst),
            mask: 1 << bit,
        },
        sets: vec![set],
        negated: false,
    };
    let enough: Vec<Condition> = (0..MAX_DIMENSIONS as u32).map(bit).collect();
    assert_eq!(builder.rule(&enough), Ok(()));
    assert_eq!(builder.rule(&[bit(100)]), Err(TooComplex::Dimensions));
    let mut builder = Builder::new();
    for _ in 0..MAX_RULES {
        assert_eq!(builder.rule(&[]), Ok(()));
    }
    assert_eq!(builder.rule(&[]), Err(TooComplex::Rules));
}
