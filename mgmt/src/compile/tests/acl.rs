//! ACLs from text to decision, against a naive reading of OVN's semantics; and when they are compiled anew.

mod expression;
mod sample;

use std::sync::Arc;

use proptest::prelude::*;
use sluice_fastpath::tables::classifier::Packet;
use sluice_fastpath::tables::{AclDirection, AclVerdict, Acls, Decision};

use super::*;
use expression::Node;
use sample::Sample;

/// Two switches, groups and sets that the expressions name. `p0` to `p3` are in `ls`, `q0` is not.
const NETWORK: &str = "
[chassis.here]
encap = { type = \"geneve\", ip = \"172.16.0.1\" }
[switch.ls.port.p0]
addresses = [\"02:00:00:00:00:00 10.0.0.1 fd00::1\"]
[switch.ls.port.p1]
addresses = [\"02:00:00:00:00:01 10.0.0.2\"]
[switch.ls.port.p2]
[switch.ls.port.p3]
[switch.other.port.q0]
addresses = [\"02:00:00:00:00:05 10.0.0.5\"]
[port_group.g1]
ports = [\"p0\", \"p1\", \"q0\"]
[port_group.g2]
ports = [\"p2\"]
[address_set.a4]
addresses = [\"10.0.0.1\", \"10.0.0.4/30\"]
[address_set.a6]
addresses = [\"fd00::1\", \"fd00::4/126\"]
[address_set.am]
addresses = [\"02:00:00:00:00:01\"]
";

const PORTS: [&str; 4] = ["p0", "p1", "p2", "p3"];
const DIRECTIONS: [(AclDirection, &str); 3] = [
    (AclDirection::FromLport, "direction = \"from-lport\""),
    (
        AclDirection::FromLportAfterLb,
        "direction = \"from-lport\"\napply_after_lb = true",
    ),
    (AclDirection::ToLport, "direction = \"to-lport\""),
];
const ACTIONS: [&str; 6] = [
    "allow",
    "allow-related",
    "allow-stateless",
    "drop",
    "reject",
    "pass",
];

/// A rule as it was meant.
#[derive(Clone, Debug)]
struct Rule {
    direction: usize,
    tier: u8,
    priority: u16,
    action: &'static str,
    in_group: bool,
    node: Node,
}

impl Rule {
    fn text(&self) -> String {
        let list = if self.in_group {
            "port_group.g1"
        } else {
            "switch.ls"
        };
        format!(
            "[[{list}.acl]]\n{}\ntier = {}\npriority = {}\naction = \"{}\"\nmatch = '''{}'''\n",
            DIRECTIONS[self.direction].1,
            self.tier,
            self.priority,
            self.action,
            self.node.text(false),
        )
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let action = prop::sample::select(ACTIONS.to_vec());
    let place = (0..3_usize, 0..4_u8, 0..4_u16, any::<bool>());
    place.prop_flat_map(move |(direction, tier, priority, in_group)| {
        let node = expression::node(direction == 2);
        (action.clone(), node).prop_map(move |(action, node)| Rule {
            direction,
            tier,
            priority,
            action,
            in_group,
            node,
        })
    })
}

/// Two equal matches of one priority in a list are refused.
fn distinct(rules: Vec<Rule>) -> Vec<Rule> {
    let mut seen = std::collections::BTreeSet::new();
    let key = |rule: &Rule| {
        let match_ = rule.node.text(false);
        (
            rule.direction,
            rule.tier,
            rule.priority,
            rule.in_group,
            match_,
        )
    };
    rules
        .into_iter()
        .filter(|rule| seen.insert(key(rule)))
        .collect()
}

/// What OVN does, rule by rule.
fn naive(
    rules: &[Rule],
    default_drop: bool,
    direction: usize,
    sample: &Sample,
) -> (AclVerdict, bool, Option<usize>) {
    let mut order: Vec<usize> = (0..rules.len())
        .filter(|at| rules[*at].direction == direction)
        .collect();
    order.sort_by_key(|at| {
        let rule = &rules[*at];
        (
            rule.tier,
            std::cmp::Reverse(rule.priority),
            rule.in_group,
            *at,
        )
    });
    let holds = |at: &usize| rules[*at].node.holds(sample, false);
    let mut decided = None;
    for tier in 0..4 {
        let found = order
            .iter()
            .find(|at| rules[**at].tier == tier && holds(at));
        decided = found.copied().filter(|at| rules[*at].action != "pass");
        if decided.is_some() {
            break;
        }
    }
    let action = decided.map(|at| rules[at].action);
    let verdict = match action {
        Some("drop") => AclVerdict::Drop,
        Some("reject") => AclVerdict::Reject,
        None if default_drop => AclVerdict::Drop,
        _ => AclVerdict::Allow,
    };
    let stateful = rules.iter().any(|rule| rule.action == "allow-related");
    let from = |d: usize| d < 2;
    let stateless = (0..rules.len()).any(|at| {
        let rule = &rules[at];
        rule.action == "allow-stateless" && from(rule.direction) == from(direction) && holds(&at)
    });
    let tracked = stateful && verdict == AclVerdict::Allow && sample.is_ip() && !stateless;
    (verdict, tracked, decided)
}

fn compiled(text: &str) -> (Built, Arc<Acls>) {
    let view = node("here", None).bind("p0");
    let built = build(&topology(text), &view);
    let acls = built.switch("ls").acls.clone().unwrap();
    (built, acls)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decisions_are_those_of_a_naive_reading(
        rules in prop::collection::vec(rule(), 1..12).prop_map(distinct),
        samples in prop::collection::vec(sample::sample(), 24),
        default_drop in any::<bool>(),
    ) {
        let rows: String = rules.iter().map(Rule::text).collect();
        let text = format!("default_acl_drop = {default_drop}\n{NETWORK}{rows}");
        let (built, acls) = compiled(&text);
        let switch = built.switch("ls");
        let id = |name: &str| switch.ports.iter().find(|port| port.name == name).unwrap().id;
        for sample in &samples {
            let headers = sample.headers();
            for (direction, (compiled, _)) in DIRECTIONS.iter().enumerate() {
                let packet = Packet {
                    headers: &headers,
                    in_port: sample.in_port.map(|port| id(PORTS[port])),
                    out_port: (direction == 2).then(|| id(PORTS[sample.out_port])),
                };
                let Decision { acl, verdict, tracked } = acls.decide(*compiled, &packet);
                let (expected, expected_tracked, by) = naive(&rules, default_drop, direction, sample);
                prop_assert_eq!((verdict, tracked), (expected, expected_tracked), "{:?}\n{}", headers, text);
                let by_text = by.map(|at| rules[at].node.text(false));
                let acl = acl.map(|acl| acls.rules[acl as usize].matches.clone());
                prop_assert_eq!(acl, by_text, "{:?}\n{}", headers, text);
            }
        }
    }
}

const RULES: &str = "
[[switch.ls.acl]]
direction = \"to-lport\"
priority = 1
match = 'outport == @g1 && ip4.src == $a4'
action = \"drop\"
[[port_group.g2.acl]]
direction = \"from-lport\"
priority = 2
match = 'inport == \"p2\"'
action = \"allow-related\"
name = \"two\"
label = 5
log = true
meter = 3
";

#[test]
fn rules_of_the_switch_and_of_its_groups_hold() {
    let (built, acls) = compiled(&format!("{NETWORK}{RULES}"));
    let told: Vec<_> = acls
        .rules
        .iter()
        .map(|acl| {
            (
                acl.port_group.as_deref(),
                acl.position,
                acl.name.as_deref(),
                acl.label,
            )
        })
        .collect();
    assert_eq!(told, [(Some("g2"), 0, Some("two"), 5), (None, 0, None, 0)]);
    let log = acls.rules[0].log.unwrap();
    assert_eq!((log.severity, log.meter), ("info", Some(3)));
    assert!(acls.stateful && !acls.default_drop);
    assert_eq!(acls.from_lport.classifier().rules(), 1);
    assert_eq!(acls.from_lport_after_lb.classifier().rules(), 0);
    assert_eq!(acls.to_lport.classifier().rules(), 1);
    // The switch of no group with rules has none.
    assert!(built.names().contains(&"ls"));
    let view = node("here", None).bind("q0");
    let other = build(&topology(&format!("{NETWORK}{RULES}")), &view);
    assert!(other.switch("other").acls.is_none());
}

/// What changes in the text, and whether the ACLs of `ls` are compiled anew.
#[test]
fn they_are_compiled_anew_only_when_they_rest_on_something_else() {
    let first = format!("{NETWORK}{RULES}");
    let cases = [
        ("", "", false),
        // Another port of the switch.
        (
            "[switch.ls.port.p3]",
            "[switch.ls.port.p3]\n[switch.ls.port.p4]",
            false,
        ),
        // An address set that no rule names, and a member in another switch.
        (
            "[address_set.am]\naddresses = [",
            "[address_set.am]\naddresses = [\"02:00:00:00:00:02\", ",
            false,
        ),
        ("\"p1\", \"q0\"]", "\"p1\"]", false),
        // What rules name.
        ("\"p1\", \"q0\"]", "\"q0\"]", true),
        ("\"10.0.0.1\", \"10.0.0.4/30\"", "\"10.0.0.1\"", true),
        ("priority = 1", "priority = 3", true),
        (
            "match = 'inport == \"p2\"'",
            "match = 'inport == \"p3\"'",
            true,
        ),
        ("\n[chassis", "default_acl_drop = true\n[chassis", true),
    ];
    let view = node("here", None).bind("p0");
    for (from, to, anew) in cases {
        let mut compiler = Compiler::new();
        let tables = |compiler: &mut Compiler, text: &str| {
            let compiled = compiler.compile(&topology(text), &view).unwrap();
            let changes = compiled.changes.to_string();
            let tables = compiler.commit(compiled);
            let pieces = tables.datapaths.iter().flatten();
            let piece = pieces
                .into_iter()
                .find(|piece| piece.name == "ls")
                .unwrap()
                .clone();
            (piece, changes)
        };
        let acls = |piece: &Piece| match &piece.kind {
            sluice_fastpath::tables::PieceKind::Switch(switch) => switch.acls.clone().unwrap(),
            sluice_fastpath::tables::PieceKind::Router(_) => unreachable!(),
        };
        let (before, _) = tables(&mut compiler, &first);
        let both = |acl| Decision {
            acl,
            verdict: AclVerdict::Allow,
            tracked: false,
        };
        for acl in [Some(0), Some(1), Some(1), None] {
            acls(&before).count(both(acl));
        }
        let changed = first.replacen(from, to, 1);
        assert!(from.is_empty() || changed != first, "{from}");
        let (after, changes) = tables(&mut compiler, &changed);
        assert_eq!(!Arc::ptr_eq(&acls(&before), &acls(&after)), anew, "{to}");
        // Counts go on, but of a rule that is another one now.
        let now = acls(&after);
        let hits: Vec<u64> = now.rules.iter().map(|acl| acl.hits.get()).collect();
        let expected = match to {
            "priority = 3" => vec![0, 1],
            "match = 'inport == \"p3\"'" => vec![0, 2],
            _ => vec![1, 2],
        };
        assert_eq!((hits, now.unmatched.get()), (expected, 1), "{to}");
        assert_eq!(changes.contains("acls changed"), anew, "{to}: {changes}");
        assert_eq!(
            before.epoch != after.epoch,
            anew || to.contains("p4"),
            "{to}"
        );
    }
}

#[test]
fn what_is_too_much_is_told_where_it_is() {
    let view = node("here", None).bind("p0");
    let told = |acl: &str| {
        let text = format!(
            "{NETWORK}[[switch.ls.acl]]\ndirection = \"to-lport\"\npriority = 1\naction = \"drop\"\nmatch = '{acl}'\n"
        );
        let problems = refused(&topology(&text), &view);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    };
    // Alternatives that differ in two parts each, multiplied out.
    let pairs = |a: &str, b: &str| {
        let pairs = (0..24).map(|n| format!("({a} == {n} && {b} == {n})"));
        format!("({})", pairs.collect::<Vec<_>>().join(" || "))
    };
    let many = format!(
        "{} && {}",
        pairs("tcp.src", "ip.ttl"),
        pairs("tcp.dst", "ip.dscp")
    );
    let message = told(&many);
    assert!(
        message.starts_with("switch.ls.acl.match[0]: the match has more than 512 alternatives"),
        "{message}"
    );
    let bits = (0..40).map(|bit| format!("ip6.dst[{bit}] == 1"));
    let message = told(&bits.collect::<Vec<_>>().join(" && "));
    assert!(
        message.contains("more than 32 different parts"),
        "{message}"
    );
}
