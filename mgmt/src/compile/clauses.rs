//! Expressions as alternatives of conjunctions, which is what a classifier takes.
//!
//! A comparison with several values is one condition, and so are alternatives that differ in one part of the packet
//! only; sets of addresses and groups of ports stay names. So what is multiplied out is small.

use sluice_fastpath::tables::classifier::{Part, Range, Ranges, Subject, ones};

use crate::topology::expression::{self, Expression, Relation, Test, Value};

/// Most alternatives of one expression.
pub(super) const MOST_CLAUSES: usize = 512;

/// Conditions that must all hold, in order of their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clause<'e>(pub(super) Vec<Condition<'e>>);

/// What is asked of one part of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition<'e> {
    /// The part.
    pub(super) part: Part,
    /// Its number is one of these,
    pub(super) numbers: Ranges,
    /// or in one of these sets;
    pub(super) named: Vec<Named<'e>>,
    /// or, if this is set, none of all that. Only with named sets.
    pub(super) negated: bool,
}

/// A set that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Named<'e> {
    /// An address set.
    Addresses(&'e str),
    /// A port group.
    Ports(&'e str),
}

/// There are more than [`MOST_CLAUSES`] alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// The alternatives of an expression; none when it is true of no packet. `port` gives the number of a logical port;
/// a port without is in another switch, where no packet comes by.
pub(super) fn clauses<'e>(
    expression: &'e Expression,
    port: &dyn Fn(&str) -> Option<u32>,
) -> Result<Vec<Clause<'e>>, TooMany> {
    match expression {
        Expression::Constant(true) => Ok(vec![Clause::default()]),
        Expression::Constant(false) => Ok(Vec::new()),
        Expression::Test(test) => Ok(of_test(test, port)),
        Expression::Any(parts) => {
            let mut any = Vec::new();
            for part in parts {
                for clause in clauses(part, port)? {
                    add(&mut any, clause)?;
                }
            }
            Ok(any)
        }
        Expression::All(parts) => {
            let mut all = vec![Clause::default()];
            for part in parts {
                let right = clauses(part, port)?;
                let mut both = Vec::new();
                for left in &all {
                    for right in &right {
                        if let Some(clause) = left.and(right) {
                            add(&mut both, clause)?;
                        }
                    }
                }
                all = both;
            }
            Ok(all)
        }
    }
}

/// Adds an alternative; joins it with one that differs in the numbers of one part only.
fn add<'e>(clauses: &mut Vec<Clause<'e>>, clause: Clause<'e>) -> Result<(), TooMany> {
    for other in clauses.iter_mut() {
        if other.join(&clause) {
            return Ok(());
        }
    }
    if clauses.len() == MOST_CLAUSES {
        return Err(TooMany);
    }
    clauses.push(clause);
    Ok(())
}

impl<'e> Clause<'e> {
    /// Both; `None` when that cannot be.
    fn and(&self, other: &Self) -> Option<Self> {
        let mut all = self.0.clone();
        for condition in &other.0 {
            if all.contains(condition) {
                continue;
            }
            let plain = |c: &&mut Condition<'e>| c.part == condition.part && c.named.is_empty();
            if condition.named.is_empty()
                && let Some(same) = all.iter_mut().find(plain)
            {
                same.numbers = same.numbers.intersection(&condition.numbers);
                if same.numbers.is_empty() {
                    return None;
                }
                continue;
            }
            all.push(condition.clone());
        }
        all.sort_by_key(|condition| condition.part);
        Some(Self(all))
    }

    /// Takes in another clause when they differ in the numbers of one part only.
    fn join(&mut self, other: &Self) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        let mut differ = self.0.iter().zip(&other.0).enumerate();
        let mut differ = differ.by_ref().filter(|(_, (a, b))| a != b);
        let Some((at, (a, b))) = differ.next() else {
            return true;
        };
        let joinable = a.part == b.part && a.named.is_empty() && b.named.is_empty();
        if !joinable || differ.next().is_some() {
            return false;
        }
        let joined = a.numbers.union(&b.numbers);
        let all = joined.complement(a.part.bits()).is_empty();
        if all {
            self.0.remove(at);
        } else if let Some(condition) = self.0.get_mut(at) {
            condition.numbers = joined;
        }
        true
    }
}

/// A comparison as alternatives: values with different masks are in different parts of a packet.
fn of_test<'e>(test: &'e Test, port: &dyn Fn(&str) -> Option<u32>) -> Vec<Clause<'e>> {
    let subject = subject(test.subject);
    let selected = Selected {
        subject,
        low: test.low,
        bits: test.bits,
    };
    let mut parts: Vec<Condition<'e>> = Vec::new();
    let mut condition = |part: Part| -> usize {
        let known = parts.iter().position(|c| c.part == part);
        known.unwrap_or_else(|| {
            parts.push(Condition {
                part,
                numbers: Ranges::default(),
                named: Vec::new(),
                negated: false,
            });
            parts.len() - 1
        })
    };
    let mut numbers: Vec<(usize, Range)> = Vec::new();
    let mut named: Vec<(usize, Named<'e>)> = Vec::new();
    for value in &test.values {
        match value {
            Value::Number { value, mask } => {
                let (part, range) = selected.compared(test.relation, *value, *mask);
                numbers.push((condition(part), range));
            }
            Value::Port(name) => {
                let at = condition(Part::whole(subject));
                let number = port(name).map(|number| (at, Range::one(number.into())));
                numbers.extend(number);
            }
            Value::AddressSet(name) => {
                named.push((condition(Part::whole(subject)), Named::Addresses(name)));
            }
            Value::PortGroup(name) => {
                named.push((condition(Part::whole(subject)), Named::Ports(name)));
            }
        }
    }
    for (at, condition) in parts.iter_mut().enumerate() {
        let own = numbers.iter().filter(|(part, _)| *part == at);
        condition.numbers = Ranges::of(own.map(|(_, range)| *range));
        let own = named.iter().filter(|(part, _)| *part == at);
        condition.named = own.map(|(_, named)| *named).collect();
        condition.named.sort_unstable();
        condition.named.dedup();
    }
    parts.sort_by_key(|condition| condition.part);
    match test.relation {
        Relation::NotEqual => none_of(parts).into_iter().collect(),
        _ => parts.into_iter().filter_map(one).collect(),
    }
}

/// A clause of one condition; `None` when no packet fits.
fn one(condition: Condition<'_>) -> Option<Clause<'_>> {
    if !condition.named.is_empty() {
        return Some(Clause(vec![condition]));
    }
    if condition.numbers.is_empty() {
        return None;
    }
    let bits = condition.part.bits();
    let every = condition.numbers.complement(bits).is_empty();
    Some(Clause(if every { Vec::new() } else { vec![condition] }))
}

/// What fits none of the conditions; `None` when no packet does.
fn none_of(parts: Vec<Condition<'_>>) -> Option<Clause<'_>> {
    let mut all = Vec::new();
    for mut condition in parts {
        if condition.named.is_empty() {
            condition.numbers = condition.numbers.complement(condition.part.bits());
        } else {
            condition.negated = true;
        }
        all.extend(one(condition)?.0);
    }
    Some(Clause(all))
}

/// The bits of a subject that are compared.
struct Selected {
    subject: Subject,
    low: u8,
    bits: u8,
}

impl Selected {
    /// The part to look at, and its numbers that compare so with a value. For [`Relation::NotEqual`] those that are
    /// equal, since it is negated as a whole.
    fn compared(&self, relation: Relation, value: u128, mask: Option<u128>) -> (Part, Range) {
        let all = ones(self.bits);
        let free = !mask.unwrap_or(all) & all;
        if free & free.wrapping_add(1) != 0 {
            // Scattered bits: a part of their own.
            let part = self.part(all & !free);
            return (part, Range::one(part.of(value << self.low)));
        }
        let range = match relation {
            Relation::Equal | Relation::NotEqual => (value, value | free),
            Relation::Less => match value.checked_sub(1) {
                Some(last) => (0, last),
                None => (1, 0),
            },
            Relation::LessOrEqual => (0, value),
            Relation::Greater => match value {
                _ if value == all => (1, 0),
                _ => (value + 1, all),
            },
            Relation::GreaterOrEqual => (value, all),
        };
        let (first, last) = range;
        if self.low + self.bits < self.subject.bits() {
            return (self.part(all), Range { first, last });
        }
        // The upper bits: their numbers are ranges of the whole.
        let part = Part::whole(self.subject);
        if first > last {
            return (part, Range { first, last });
        }
        let below = ones(self.low);
        let range = Range {
            first: first << self.low,
            last: last << self.low | below,
        };
        (part, range)
    }

    fn part(&self, mask: u128) -> Part {
        Part {
            subject: self.subject,
            mask: mask << self.low,
        }
    }
}

fn subject(subject: expression::Subject) -> Subject {
    match subject {
        expression::Subject::InPort => Subject::InPort,
        expression::Subject::OutPort => Subject::OutPort,
        expression::Subject::Header(field) => Subject::Header(field),
    }
}
