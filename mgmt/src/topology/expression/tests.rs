//! What expressions mean, and what is said of wrong ones.

mod faults;

use std::collections::{BTreeMap, BTreeSet};

use sluice_net::Field;

use super::*;
use crate::topology::expression::symbols::{Meaning, SYMBOLS};

fn sets() -> BTreeMap<String, Addresses> {
    let of = |texts: &[&str]| -> Addresses {
        let texts = texts.iter();
        texts.map(|text| Constant::read(text).unwrap()).collect()
    };
    [
        ("web", of(&["10.0.0.1", "10.0.1.0/24"])),
        ("six", of(&["fd00::/8"])),
        ("macs", of(&["02:00:00:00:00:01"])),
        ("nobody", of(&[])),
    ]
    .map(|(name, addresses)| (name.to_owned(), addresses))
    .into()
}

fn read(text: &str) -> Result<Expression, Fault> {
    let check = |name: &str| match name {
        "vm1" | "vm \"2\"" => Ok(()),
        _ => Err((
            format!("there is no port `{name}`"),
            "declare it".to_owned(),
        )),
    };
    let scope = Scope {
        address_sets: &sets(),
        port_groups: &BTreeSet::from(["pg1"]),
        inport: Ports::Checked(&check),
        outport: Ports::None("no output port is known yet"),
    };
    Expression::parse(text, &scope)
}

fn parsed(text: &str) -> Expression {
    read(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn test(field: Field, relation: Relation, values: &[u128]) -> Expression {
    bits(field, 0, field.bits(), relation, values)
}

fn bits(field: Field, low: u8, bits: u8, relation: Relation, values: &[u128]) -> Expression {
    let number = |value: &u128| Value::Number {
        value: *value,
        mask: None,
    };
    Expression::Test(Test {
        subject: Subject::Header(field),
        low,
        bits,
        relation,
        values: values.iter().map(number).collect(),
    })
}

fn all<const N: usize>(parts: [Expression; N]) -> Expression {
    Expression::All(parts.into())
}

fn any<const N: usize>(parts: [Expression; N]) -> Expression {
    Expression::Any(parts.into())
}

fn ip4() -> Expression {
    test(Field::EthType, Relation::Equal, &[0x800])
}

fn ip6() -> Expression {
    test(Field::EthType, Relation::Equal, &[0x86dd])
}

fn ip() -> Expression {
    any([ip4(), ip6()])
}

fn tcp() -> Expression {
    all([ip(), test(Field::IpProto, Relation::Equal, &[6])])
}

#[test]
fn prerequisites_and_predicates_are_written_out() {
    let port = |relation, port| all([tcp(), test(Field::TcpDst, relation, &[port])]);
    let cases = [
        ("1", Expression::Constant(true)),
        ("0", Expression::Constant(false)),
        ("ip4", ip4()),
        ("ip", ip()),
        ("ip4 == 1", ip4()),
        ("tcp", tcp()),
        ("tcp.dst == 80", port(Relation::Equal, 80)),
        ("80 == tcp.dst", port(Relation::Equal, 80)),
        ("tcp.dst == 0x50", port(Relation::Equal, 80)),
        // Negation leaves the prerequisites as they are.
        ("!(tcp.dst == 80)", port(Relation::NotEqual, 80)),
        ("tcp.dst < 80", port(Relation::Less, 80)),
        ("80 < tcp.dst", port(Relation::Greater, 80)),
        ("!(80 < tcp.dst)", port(Relation::LessOrEqual, 80)),
        (
            "1 <= tcp.dst <= 9",
            all([
                port(Relation::GreaterOrEqual, 1),
                port(Relation::LessOrEqual, 9),
            ]),
        ),
        (
            "!(9 > tcp.dst >= 1)",
            any([port(Relation::GreaterOrEqual, 9), port(Relation::Less, 1)]),
        ),
        (
            "tcp.dst == {80, 443 8080,}",
            all([
                tcp(),
                test(Field::TcpDst, Relation::Equal, &[80, 443, 8080]),
            ]),
        ),
        (
            "eth.mcast",
            bits(Field::EthDst, 40, 1, Relation::NotEqual, &[0]),
        ),
        (
            "!eth.mcast",
            bits(Field::EthDst, 40, 1, Relation::Equal, &[0]),
        ),
        (
            "eth.src[0..7] == 3",
            bits(Field::EthSrc, 0, 8, Relation::Equal, &[3]),
        ),
        // Of a predicate the prerequisites are negated with it.
        (
            "!ip.is_frag",
            any([
                any_not_ip(),
                all([ip(), bits(Field::IpFrag, 0, 1, Relation::Equal, &[0])]),
            ]),
        ),
        ("ip4 && 1", all([ip4(), Expression::Constant(true)])),
        ("(ip4 && ip6) || 0", {
            any([all([ip4(), ip6()]), Expression::Constant(false)])
        }),
        ("// a\n ip4 /* b */ // c", ip4()),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

fn any_not_ip() -> Expression {
    all([
        test(Field::EthType, Relation::NotEqual, &[0x800]),
        test(Field::EthType, Relation::NotEqual, &[0x86dd]),
    ])
}

#[test]
fn sets_groups_and_ports_stay_names() {
    let value = |text: &str| {
        let mut values = Vec::new();
        let expression = parsed(text);
        expression.values(&mut |value| values.push(value.clone()));
        values.pop().unwrap()
    };
    let masked = |value, mask| Value::Number {
        value,
        mask: Some(mask),
    };
    let cases = [
        ("ip4.src == $web", Value::AddressSet("web".into())),
        (
            "ip6.dst != {fd00::1, $six}",
            Value::AddressSet("six".into()),
        ),
        ("eth.src == $macs", Value::AddressSet("macs".into())),
        ("ip6.src == $nobody", Value::AddressSet("nobody".into())),
        ("inport == \"vm1\"", Value::Port("vm1".into())),
        (r#"inport == "vm \"2\"""#, Value::Port("vm \"2\"".into())),
        ("inport == @pg1", Value::PortGroup("pg1".into())),
        ("!(inport != @pg1)", Value::PortGroup("pg1".into())),
        ("ip4.src == 10.1.0.0/16", masked(0x0a01_0000, 0xffff_0000)),
        (
            "ip4.src == 10.1.0.0/255.255.0.0",
            masked(0x0a01_0000, 0xffff_0000),
        ),
        ("ip4.src == 0.0.0.0/0", masked(0, 0)),
        ("ip6.src == fe80::/10", masked(0xfe80 << 112, 0xffc0 << 112)),
        ("tcp.flags == 2/0x12", masked(2, 0x12)),
        (
            "eth.dst == 01:00:00:00:00:00/01:00:00:00:00:00",
            masked(1 << 40, 1 << 40),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text), expected, "{text}");
    }
}

/// A predicate is nominal exactly when its own text has something nominal, by OVN's definition; and every
/// text of the table can be read.
#[test]
fn the_table_of_symbols_is_sound() {
    use super::parse::{Tree, tree};
    fn has_nominal(tree: &Tree) -> bool {
        match tree {
            Tree::Constant(_) => false,
            Tree::All(parts) | Tree::Any(parts) => parts.iter().any(has_nominal),
            Tree::Test(test) => test.symbol.nominal,
        }
    }
    let mut names = BTreeSet::new();
    for symbol in SYMBOLS {
        assert!(names.insert(symbol.name), "{} is there twice", symbol.name);
        if let Some(needs) = symbol.needs {
            assert!(tree(needs, None).is_ok(), "{}", symbol.name);
        }
        match symbol.meaning {
            Meaning::Predicate(text) => {
                let tree = tree(text, None).unwrap_or_else(|f| panic!("{}: {f}", symbol.name));
                assert_eq!(has_nominal(&tree), symbol.nominal, "{}", symbol.name);
            }
            Meaning::Bits { of, low, bits } => assert!(low + bits <= of.bits()),
        }
    }
}
