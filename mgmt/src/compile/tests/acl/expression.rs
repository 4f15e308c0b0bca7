//! Random expressions, and what they say of packets: read from OVN's definitions, by hand.

use proptest::prelude::*;

use super::PORTS;
use super::sample::{MAC, Sample, V4, V6};

/// Name, bits, and a number near which packets have theirs.
const NUMBERS: [(&str, u8, u128); 25] = [
    ("eth.src", 48, MAC as u128),
    ("eth.dst", 48, MAC as u128),
    ("vlan.tci", 16, 0x1000),
    ("vlan.vid", 12, 0),
    ("vlan.pcp", 3, 0),
    ("ip.dscp", 6, 0),
    ("ip.ecn", 2, 0),
    ("ip.ttl", 8, 0),
    ("ip.frag", 2, 0),
    ("ip4.src", 32, V4),
    ("ip4.dst", 32, V4),
    ("ip6.src", 128, V6),
    ("ip6.dst", 128, V6),
    ("arp.op", 16, 0),
    ("arp.spa", 32, V4),
    ("arp.tpa", 32, V4),
    ("arp.sha", 48, MAC as u128),
    ("tcp.src", 16, 0),
    ("tcp.dst", 16, 0),
    ("tcp.flags", 8, 0),
    ("udp.src", 16, 0),
    ("udp.dst", 16, 0),
    ("sctp.dst", 16, 0),
    ("icmp4.type", 8, 8),
    ("icmp4.code", 8, 0),
];
/// Predicates that may be negated.
const FLAGS: [&str; 10] = [
    "eth.bcast",
    "eth.mcast",
    "eth.mcastv6",
    "vlan.present",
    "ip.is_frag",
    "ip.later_frag",
    "ip.first_frag",
    "ip4.mcast",
    "ip4.src_mcast",
    "ip6.mcast",
];
/// Predicates that may not.
const KINDS: [&str; 13] = [
    "ip4", "ip6", "ip", "arp", "tcp", "udp", "sctp", "icmp4", "icmp6", "icmp", "nd", "rarp", "igmp",
];
const NOMINALS: [(&str, [u128; 4]); 3] = [
    ("eth.type", [0x800, 0x806, 0x86dd, 0x88b5]),
    ("ip.proto", [1, 6, 17, 58]),
    ("icmp6.type", [128, 200, 135, 0]),
];
const OPERATORS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
/// Sets that a field may be compared with: the field, the set, first and last addresses.
type Set = (&'static str, &'static str, &'static [(u128, u128)]);
const SETS: [Set; 6] = [
    ("ip4.src", "$a4", &[(V4 + 1, V4 + 1), (V4 + 4, V4 + 7)]),
    ("ip4.dst", "$a4", &[(V4 + 1, V4 + 1), (V4 + 4, V4 + 7)]),
    ("ip4.src", "$g1_ip4", &[(V4 + 1, V4 + 2), (V4 + 5, V4 + 5)]),
    ("ip6.src", "$a6", &[(V6 + 1, V6 + 1), (V6 + 4, V6 + 7)]),
    ("ip6.dst", "$g1_ip6", &[(V6 + 1, V6 + 1)]),
    ("eth.src", "$am", &[(MAC as u128 + 1, MAC as u128 + 1)]),
];

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Truth(bool),
    Number {
        name: &'static str,
        /// Lowest bit and how many, when they are named.
        bits: Option<(u8, u8)>,
        operator: usize,
        values: Vec<(u128, Option<u128>)>,
        turned: bool,
    },
    Range(&'static str, u128, u128),
    Set(usize, bool, Vec<u128>),
    Flag(&'static str),
    Kind(&'static str),
    Nominal(usize, Vec<usize>),
    Port {
        out: bool,
        port: Option<usize>,
        group: Option<bool>,
    },
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
}

fn number() -> impl Strategy<Value = Node> {
    let value = (0..10_u128, prop::option::weighted(0.3, 0..16_u128));
    let bits = prop::option::weighted(0.3, (any::<u8>(), any::<u8>()));
    let values = prop::collection::vec(value, 1..4);
    (0..NUMBERS.len(), bits, 0..6_usize, values, any::<bool>()).prop_map(
        |(field, bits, operator, values, turned)| {
            let (name, width, near) = NUMBERS[field];
            let bits = bits.map(|(a, b)| {
                let (a, b) = (a % width, b % width);
                (a.min(b), a.max(b) - a.min(b) + 1)
            });
            let (low, count) = bits.unwrap_or((0, width));
            let all = u128::MAX >> (128 - u32::from(count));
            let mut values: Vec<(u128, Option<u128>)> = values
                .into_iter()
                .map(|(value, mask)| {
                    // Of some bits, what packets have there or near.
                    let value = ((near >> low) ^ value) & all;
                    // Scattered bits, a prefix, or all of them.
                    let mask = mask.filter(|_| operator < 2).map(|mask| match mask {
                        0..8 => all & !(all >> (mask % 4)) | mask & all,
                        _ => all & !(mask >> 1),
                    });
                    (value & mask.unwrap_or(all), mask)
                })
                .collect();
            if operator >= 2 {
                values.truncate(1);
            }
            Node::Number {
                name,
                bits,
                operator,
                values,
                turned,
            }
        },
    )
}

fn leaf(to_lport: bool) -> impl Strategy<Value = Node> {
    let port = (
        any::<bool>(),
        prop::option::of(0..4_usize),
        prop::option::of(any::<bool>()),
    );
    prop_oneof![
        1 => any::<bool>().prop_map(Node::Truth),
        8 => number(),
        2 => (0..NUMBERS.len(), 0..8_u128, 0..8_u128).prop_map(|(field, a, b)| {
            let (name, width, near) = NUMBERS[field];
            let all = u128::MAX >> (128 - u32::from(width));
            Node::Range(name, (near + a.min(b)).min(all), (near + a.max(b)).min(all))
        }),
        3 => (0..SETS.len(), any::<bool>(), prop::collection::vec(0..8_u128, 0..3))
            .prop_map(|(set, equal, more)| Node::Set(set, equal, more)),
        3 => prop::sample::select(FLAGS.to_vec()).prop_map(Node::Flag),
        4 => prop::sample::select(KINDS.to_vec()).prop_map(Node::Kind),
        2 => (0..NOMINALS.len(), prop::collection::vec(0..4_usize, 1..3))
            .prop_map(|(field, values)| Node::Nominal(field, values)),
        3 => port.prop_map(move |(out, port, group)| Node::Port {
            out: out && to_lport,
            // At least one of them.
            port: port.or(group.is_none().then_some(0)),
            group,
        }),
    ]
}

pub(super) fn node(to_lport: bool) -> impl Strategy<Value = Node> {
    leaf(to_lport).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|node| Node::Not(Box::new(node))),
            2 => prop::collection::vec(inner.clone(), 2..4).prop_map(Node::All),
            1 => prop::collection::vec(inner, 2..4).prop_map(Node::Any),
        ]
    })
}

impl Node {
    /// As it is written inside an odd number of negations, or not.
    pub(super) fn text(&self, negated: bool) -> String {
        let equality = if negated { "!=" } else { "==" };
        match self {
            Self::Truth(truth) => u8::from(*truth).to_string(),
            Self::Number {
                name,
                bits,
                operator,
                values,
                turned,
            } => {
                let bits = bits.map(|(low, count)| match count {
                    1 => format!("[{low}]"),
                    _ => format!("[{low}..{}]", low + count - 1),
                });
                let field = format!("{name}{}", bits.unwrap_or_default());
                let value = |(value, mask): &(u128, Option<u128>)| match mask {
                    Some(mask) => format!("{value:#x}/{mask:#x}"),
                    None => value.to_string(),
                };
                let values: Vec<String> = values.iter().map(value).collect();
                let values = match values.as_slice() {
                    [one] => one.clone(),
                    many => format!("{{{}}}", many.join(", ")),
                };
                // The same from the other side.
                let opposite = ["==", "!=", ">", ">=", "<", "<="][*operator];
                match turned {
                    true => format!("{values} {opposite} {field}"),
                    false => format!("{field} {} {values}", OPERATORS[*operator]),
                }
            }
            Self::Range(name, low, high) => format!("{low} <= {name} <= {high}"),
            Self::Set(set, equal, more) => {
                let (name, set, ranges) = SETS[*set];
                let more = more.iter().map(|n| format!(", {}", ranges[0].0 + n));
                let operator = if *equal { "==" } else { "!=" };
                format!("{name} {operator} {{{set}{}}}", more.collect::<String>())
            }
            Self::Flag(name) => (*name).to_owned(),
            Self::Kind(name) if negated => format!("{name} == 0"),
            Self::Kind(name) => (*name).to_owned(),
            Self::Nominal(field, values) => {
                let (name, all) = NOMINALS[*field];
                let values = values.iter().map(|value| all[*value].to_string());
                format!(
                    "{name} {equality} {{{}}}",
                    values.collect::<Vec<_>>().join(" ")
                )
            }
            Self::Port { out, port, group } => {
                let name = if *out { "outport" } else { "inport" };
                let port = port.map(|port| format!("\"{}\"", PORTS[port]));
                let group = group.map(|first| if first { "@g1" } else { "@g2" }.to_owned());
                let values: Vec<String> = port.into_iter().chain(group).collect();
                format!("{name} {equality} {{{}}}", values.join(", "))
            }
            Self::Not(inner) => format!("!({})", inner.text(!negated)),
            Self::All(parts) => joined(parts, " && ", negated),
            Self::Any(parts) => joined(parts, " || ", negated),
        }
    }

    /// Whether a packet fits. What may only be asked positively is, whatever negations are around it.
    pub(super) fn holds(&self, sample: &Sample, negated: bool) -> bool {
        let compare = |name: &str, test: &dyn Fn(u128) -> bool| {
            // Prerequisites hold wherever the field is asked for, negated or not.
            sample
                .read(name)
                .is_some_and(|value| test(value) != negated)
        };
        match self {
            Self::Truth(truth) => *truth != negated,
            Self::Number {
                name,
                bits,
                operator,
                values,
                ..
            } => compare(name, &|value| {
                let (low, count) = bits.unwrap_or((0, 128));
                let value = value >> low & u128::MAX >> (128 - u32::from(count));
                let equal = |(other, mask): &(u128, Option<u128>)| {
                    value & mask.unwrap_or(u128::MAX) == *other
                };
                let first = values[0].0;
                match OPERATORS[*operator] {
                    "==" => values.iter().any(equal),
                    "!=" => !values.iter().any(equal),
                    "<" => value < first,
                    "<=" => value <= first,
                    ">" => value > first,
                    _ => value >= first,
                }
            }),
            Self::Range(name, low, high) => compare(name, &|value| (*low..=*high).contains(&value)),
            Self::Set(set, equal, more) => {
                let (name, _, ranges) = SETS[*set];
                compare(name, &|value| {
                    let listed = more.iter().any(|n| ranges[0].0 + n == value);
                    let inside = ranges.iter().any(|(a, b)| (*a..=*b).contains(&value));
                    (listed || inside) == *equal
                })
            }
            Self::Flag(name) => sample.holds(name) != negated,
            Self::Kind(name) => sample.holds(name),
            Self::Nominal(field, values) => {
                let (name, all) = NOMINALS[*field];
                let read = sample.read(name);
                read.is_some_and(|read| values.iter().any(|value| all[*value] == read))
            }
            Self::Port { out, port, group } => {
                let at = if *out {
                    Some(sample.out_port)
                } else {
                    sample.in_port
                };
                let in_group = |at: usize| match group {
                    Some(true) => at < 2,
                    Some(false) => at == 2,
                    None => false,
                };
                at.is_some_and(|at| *port == Some(at) || in_group(at))
            }
            Self::Not(inner) => inner.holds(sample, !negated),
            Self::All(parts) if negated => parts.iter().any(|part| part.holds(sample, true)),
            Self::All(parts) => parts.iter().all(|part| part.holds(sample, false)),
            Self::Any(parts) if negated => parts.iter().all(|part| part.holds(sample, true)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(sample, false)),
        }
    }
}

fn joined(parts: &[Node], by: &str, negated: bool) -> String {
    let parts = parts.iter().map(|part| match part {
        Node::All(_) | Node::Any(_) => format!("({})", part.text(negated)),
        _ => part.text(negated),
    });
    parts.collect::<Vec<_>>().join(by)
}
