//! Expressions into a classifier: of ACLs now, of whatever else has rules with a `match` later.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use sluice_fastpath::ids::PortId;
use sluice_fastpath::tables::classifier::{
    Builder, Classifier, Condition, Range, Ranges, SetId, TooComplex,
};

use super::clauses::{self, Clause, Named};
use crate::topology::Resolved;
use crate::topology::expression::{Addresses, Expression, Value};

/// What expressions refer to by name, as far as it is in one datapath. Equal ones make equal classifiers of equal
/// expressions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Referred {
    /// Ports of groups.
    groups: BTreeMap<String, Vec<PortId>>,
    ports: BTreeMap<String, PortId>,
    sets: BTreeMap<String, Addresses>,
}

impl Referred {
    /// What these expressions refer to in a datapath. `port` gives the index of a port of it; others have none.
    pub(super) fn by<'e>(
        expressions: impl Iterator<Item = &'e Expression>,
        resolved: &Resolved,
        datapath: &str,
        port: &mut dyn FnMut(&str) -> Option<PortId>,
    ) -> Self {
        let mut names: BTreeSet<Referring<'e>> = BTreeSet::new();
        for expression in expressions {
            expression.values(&mut |value| {
                names.extend(Referring::of(value));
            });
        }
        let mut referred = Self::default();
        for name in names {
            match name {
                Referring::Port(name) => {
                    let id = port(name).map(|id| (name.to_owned(), id));
                    referred.ports.extend(id);
                }
                Referring::Group(name) => {
                    let group = resolved.port_groups.get(name);
                    let here = group.and_then(|group| group.ports.get(datapath));
                    let here = here.into_iter().flatten();
                    let here = here.filter_map(|name| port(name)).collect();
                    referred.groups.insert(name.to_owned(), here);
                }
                Referring::Set(name) => {
                    let set = resolved.address_sets.get(name).cloned();
                    referred
                        .sets
                        .insert(name.to_owned(), set.unwrap_or_default());
                }
            }
        }
        referred
    }

    fn ranges(&self, named: Named<'_>) -> Ranges {
        match named {
            Named::Ports(group) => {
                let ports = self.groups.get(group).into_iter().flatten();
                Ranges::of(ports.map(|port| Range::one(port.0.into())))
            }
            Named::Addresses(set) => {
                let addresses = self.sets.get(set).into_iter();
                let addresses = addresses.flat_map(|set| set.iter());
                Ranges::of(addresses.filter_map(|address| {
                    let (first, last) = address.prefix(address.width())?;
                    Some(Range { first, last })
                }))
            }
        }
    }
}

/// A name in an expression.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Referring<'e> {
    Port(&'e str),
    Group(&'e str),
    Set(&'e str),
}

impl<'e> Referring<'e> {
    fn of(value: &'e Value) -> Option<Self> {
        Some(match value {
            Value::Number { .. } => return None,
            Value::Port(name) => Self::Port(name),
            Value::PortGroup(name) => Self::Group(name),
            Value::AddressSet(name) => Self::Set(name),
        })
    }
}

/// Why an expression cannot be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It has more than [`clauses::MOST_CLAUSES`] alternatives.
    Alternatives,
    /// It is too much together with those before it.
    Complex(TooComplex),
}

/// Expressions on their way into a classifier, in the order in which they are asked.
pub(super) struct Matches<'t> {
    referred: &'t Referred,
    builder: Builder,
    sets: HashMap<Named<'t>, SetId>,
}

impl<'t> Matches<'t> {
    pub(super) fn new(referred: &'t Referred) -> Self {
        Self {
            referred,
            builder: Builder::new(),
            sets: HashMap::new(),
        }
    }

    /// Adds an expression after all others, and returns how many rules of the classifier it takes: none when it is
    /// true of no packet.
    pub(super) fn add(&mut self, expression: &'t Expression) -> Result<usize, Refused> {
        let referred = self.referred;
        let port = |name: &str| referred.ports.get(name).map(|id| id.0);
        let clauses = clauses::clauses(expression, &port)
            .map_err(|clauses::TooMany| Refused::Alternatives)?;
        let rules = clauses.len();
        for clause in clauses {
            let conditions = self.conditions(clause);
            self.builder.rule(&conditions).map_err(Refused::Complex)?;
        }
        Ok(rules)
    }

    fn conditions(&mut self, clause: Clause<'t>) -> Vec<Condition> {
        let conditions = clause.0.into_iter().map(|condition| {
            let named = condition.named.iter();
            let mut sets: Vec<SetId> = named.map(|named| self.named(*named)).collect();
            if !condition.numbers.is_empty() {
                sets.push(self.builder.set(condition.numbers));
            }
            Condition {
                part: condition.part,
                sets,
                negated: condition.negated,
            }
        });
        conditions.collect()
    }

    fn named(&mut self, named: Named<'t>) -> SetId {
        if let Some(known) = self.sets.get(&named) {
            return *known;
        }
        let id = self.builder.set(self.referred.ranges(named));
        self.sets.insert(named, id);
        id
    }

    /// The classifier of all that was added.
    pub(super) fn build(self) -> Result<Classifier, TooComplex> {
        self.builder.build()
    }
}
