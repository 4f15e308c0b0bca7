//! How long it takes to build a classifier and to look packets up in it.
//!
//! ```text
//! cargo run --release -p sluice-fastpath --no-default-features --example classifier [RULES [ENTRIES]]
//! ```
//!
//! Prints nanoseconds, bytes and dimensions for a few shapes of rules. Packets are random among those that the rules
//! are about, and there are many, so that caches are as cold as under a scan. What is found is for the tests to say.

use std::hint::black_box;
use std::time::Instant;

use sluice_fastpath::ids::PortId;
use sluice_fastpath::tables::classifier::{
    Builder, Classifier, Condition, Packet, Part, Range, Ranges, SetId, Subject,
};
use sluice_net::{Builder as Frame, Field, Headers, Mac, parse};

const PACKETS: usize = 65_536;
/// Addresses are drawn from so many.
const ADDRESSES: u128 = 1 << 17;
const ROUNDS: usize = 8;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u128) -> u128 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u128::from(self.0 >> 8) % sides
    }
}

fn field(field: Field) -> Part {
    Part::whole(Subject::Header(field))
}

fn condition(part: Part, sets: &[SetId]) -> Condition {
    Condition {
        part,
        sets: sets.to_vec(),
        negated: false,
    }
}

/// Rules of one shape.
struct Shape<'d> {
    builder: Builder,
    dice: &'d mut Dice,
    entries: usize,
}

impl Shape<'_> {
    fn exactly(&mut self, part: Part, value: u128) -> Condition {
        self.between(part, value, value)
    }

    fn between(&mut self, part: Part, first: u128, last: u128) -> Condition {
        let set = self.builder.set(Ranges::of([Range { first, last }]));
        condition(part, &[set])
    }

    /// What `ip4 && tcp` asks.
    fn tcp4(&mut self) -> Vec<Condition> {
        vec![
            self.exactly(field(Field::EthType), 0x800),
            self.exactly(field(Field::IpProto), 6),
        ]
    }

    fn add(&mut self, more: Vec<Condition>) {
        let mut conditions = self.tcp4();
        conditions.extend(more);
        self.builder.rule(&conditions).expect("it fits");
    }

    /// Pairs of hosts and a port.
    fn hosts(&mut self, rules: usize) {
        for _ in 0..rules {
            let (src, dst) = (self.address(), self.address());
            let port = self.dice.roll(1 << 16);
            let all = vec![
                self.exactly(field(Field::Ip4Src), src),
                self.exactly(field(Field::Ip4Dst), dst),
                self.exactly(field(Field::TcpDst), port),
            ];
            self.add(all);
        }
    }

    /// Security groups: ports of a group, one of eight large sets, and a port.
    fn sets(&mut self, rules: usize) {
        let large: Vec<SetId> = (0..8)
            .map(|_| {
                let entries = (0..self.entries).map(|_| self.dice.roll(ADDRESSES) + (10 << 24));
                let entries = Ranges::of(entries.map(Range::one));
                self.builder.set(entries)
            })
            .collect();
        for rule in 0..rules {
            let group = self.dice.roll(16);
            let all = vec![
                self.between(Part::whole(Subject::OutPort), group, group + 16),
                condition(field(Field::Ip4Src), &large[rule % 8..][..1]),
                self.exactly(field(Field::TcpDst), rule as u128),
            ];
            self.add(all);
        }
    }

    /// Prefixes and ranges of ports that overlap at random: nothing is alike.
    fn overlaps(&mut self, rules: usize) {
        for _ in 0..rules {
            let (src, dst) = (self.prefix(), self.prefix());
            let (a, b) = (self.dice.roll(1 << 16), self.dice.roll(1 << 16));
            let all = vec![
                self.between(field(Field::Ip4Src), src.0, src.1),
                self.between(field(Field::Ip4Dst), dst.0, dst.1),
                self.between(field(Field::TcpDst), a.min(b), a.max(b)),
            ];
            self.add(all);
        }
    }

    fn address(&mut self) -> u128 {
        self.dice.roll(ADDRESSES) + (10 << 24)
    }

    fn prefix(&mut self) -> (u128, u128) {
        let rest = self.dice.roll(16);
        let first = self.address() >> rest << rest;
        (first, first | ((1 << rest) - 1))
    }
}

fn packets(dice: &mut Dice) -> Vec<(Headers, PortId)> {
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let packets = (0..PACKETS).map(|_| {
        let mut address =
            || std::net::Ipv4Addr::from_bits(dice.roll(ADDRESSES) as u32 + (10 << 24)).into();
        let frame = Frame::ethernet(mac, mac).ip(address(), address());
        let frame = frame.tcp(1000, dice.roll(10_000) as u16, 2).build();
        let headers = parse(&frame).expect("it is sound");
        (headers, PortId(dice.roll(32) as u32))
    });
    packets.collect()
}

fn measure(name: &str, shape: Shape<'_>, packets: &[(Headers, PortId)]) {
    let began = Instant::now();
    let classifier = shape.builder.build().expect("it fits");
    let built = began.elapsed();
    let (mut best, mut found) = (f64::MAX, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        found = packets
            .iter()
            .filter(|packet| look(&classifier, packet))
            .count();
        best = best.min(began.elapsed().as_nanos() as f64 / packets.len() as f64);
    }
    println!(
        "{name:<10} {:>6} rules, {:>2} dimensions: built in {:>6.1} ms, {:>8} KiB, {best:>5.0} ns a look-up, {:.1} % found",
        classifier.rules(),
        classifier.dimensions(),
        built.as_secs_f64() * 1e3,
        classifier.memory() / 1024,
        found as f64 * 100.0 / packets.len() as f64,
    );
}

fn look(classifier: &Classifier, (headers, port): &(Headers, PortId)) -> bool {
    let packet = Packet {
        headers,
        in_port: Some(*port),
        out_port: Some(*port),
    };
    black_box(classifier.look(&packet).first(0)).is_some()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (rules, entries) = (number(10_000), number(10_000));
    let mut dice = Dice(0x5eed_1234_5678_9abc);
    let packets = packets(&mut dice);
    for name in ["hosts", "sets", "overlaps"] {
        let mut shape = Shape {
            builder: Builder::new(),
            dice: &mut dice,
            entries,
        };
        match name {
            "hosts" => shape.hosts(rules),
            "sets" => shape.sets(rules),
            _ => shape.overlaps(rules),
        }
        measure(name, shape, &packets);
    }
}
