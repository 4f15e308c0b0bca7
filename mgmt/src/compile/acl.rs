//! ACLs: the rules that hold in a switch, in the order in which they are asked.
//!
//! In a direction rules come by tier, then by falling priority, then the switch's own before those of port groups, which
//! come by name, then in the order of their list. OVN leaves it open which of two equal priorities holds; here every
//! node finds the same one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use sluice_fastpath::ids::PortId;
use sluice_fastpath::tables::classifier::{Builder, Condition, Range, Ranges, SetId, TooComplex};
use sluice_fastpath::tables::{Acl, AclAction, AclDirection, AclList, AclLog, Acls, Hits};

use super::View;
use super::clauses::{self, Clause, MOST_CLAUSES, Named};
use super::reach::Owner;
use super::registry::Registry;
use crate::topology::expression::{Addresses, Value};
use crate::topology::{self, Place, Problem, Resolved, ResolvedAcl, ResolvedSwitch};

/// Port groups with rules, by the switches in which they hold.
#[derive(Debug, Default)]
pub(super) struct GroupsOf<'t>(HashMap<&'t str, Vec<&'t str>>);

impl<'t> GroupsOf<'t> {
    pub(super) fn compute(resolved: &'t Resolved) -> Self {
        let mut groups: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, group) in &resolved.port_groups {
            if group.acls.is_empty() {
                continue;
            }
            for switch in group.ports.keys() {
                groups.entry(switch).or_default().push(name);
            }
        }
        Self(groups)
    }
}

/// What the ACLs of a switch rest on besides its own declaration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AclFacts {
    default_drop: bool,
    /// The rules of port groups that have a port here, by the group's name.
    groups: BTreeMap<String, Arc<[ResolvedAcl]>>,
    /// Of the groups that are named, the ports here.
    members: BTreeMap<String, Vec<PortId>>,
    /// The ports that are named.
    ports: BTreeMap<String, PortId>,
    /// The address sets that are named.
    sets: BTreeMap<String, Addresses>,
}

impl AclFacts {
    pub(super) fn gather(
        view: &View<'_>,
        registry: &mut Registry,
        name: &str,
        switch: &ResolvedSwitch,
    ) -> Self {
        let groups = view.groups.0.get(name).map_or(&[][..], Vec::as_slice);
        if switch.acls.is_empty() && groups.is_empty() {
            return Self::default();
        }
        let resolved = view.resolved;
        let groups = groups.iter().filter_map(|group| {
            let declared = resolved.port_groups.get(*group)?;
            Some(((*group).to_owned(), Arc::clone(&declared.acls)))
        });
        let mut facts = Self {
            default_drop: resolved.default_acl_drop,
            groups: groups.collect(),
            ..Self::default()
        };
        let mut named = BTreeSet::new();
        let lists = facts.groups.values().chain([&switch.acls]);
        for acl in lists.flat_map(|list| list.iter()) {
            acl.expression.values(&mut |value| match value {
                Value::Number { .. } => {}
                Value::Port(name) => _ = named.insert((0, name.clone())),
                Value::PortGroup(name) => _ = named.insert((1, name.clone())),
                Value::AddressSet(name) => _ = named.insert((2, name.clone())),
            });
        }
        let mut id = |port: &str| registry.port(Owner::Switch(name), port);
        for (kind, named) in named {
            match kind {
                0 if switch.ports.contains_key(&named) => {
                    let port = id(&named);
                    facts.ports.insert(named, port);
                }
                0 => {}
                1 => {
                    let group = resolved.port_groups.get(&named);
                    let here = group.and_then(|group| group.ports.get(name));
                    let here = here.into_iter().flatten();
                    let here = here.map(|port| id(port)).collect();
                    facts.members.insert(named, here);
                }
                _ => {
                    let set = resolved.address_sets.get(&named).cloned();
                    facts.sets.insert(named, set.unwrap_or_default());
                }
            }
        }
        facts
    }
}

/// A rule with where it comes from.
struct Row<'t> {
    group: Option<&'t Arc<str>>,
    position: usize,
    resolved: &'t ResolvedAcl,
}

impl Row<'_> {
    fn place(&self, switch: &str) -> Place {
        let place = match self.group {
            Some(group) => Place::at(["port_group", group, "acl", "match"]),
            None => Place::at(["switch", switch, "acl", "match"]),
        };
        place.nth(self.position)
    }

    fn compiled(&self) -> Acl {
        let acl = &self.resolved.acl;
        Acl {
            port_group: self.group.cloned(),
            position: self.position as u32,
            name: acl.name.clone(),
            direction: direction(acl.direction),
            tier: acl.tier,
            priority: acl.priority,
            matches: acl.matches.clone(),
            action: action(acl.action),
            label: acl.label.unwrap_or(0),
            log: acl.log.map(|log| AclLog {
                severity: log.severity.name(),
                meter: log.meter,
            }),
            hits: Hits::default(),
        }
    }
}

/// Compiles the ACLs that hold in a switch; `None` without any.
pub(super) fn compile(
    name: &str,
    switch: &ResolvedSwitch,
    facts: &AclFacts,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Acls>> {
    let groups: Vec<(Arc<str>, &Arc<[ResolvedAcl]>)> = facts
        .groups
        .iter()
        .map(|(name, acls)| (Arc::from(name.as_str()), acls))
        .collect();
    let own = [(None, &switch.acls)];
    let lists = own
        .into_iter()
        .chain(groups.iter().map(|(name, acls)| (Some(name), *acls)));
    let mut rows: Vec<Row<'_>> = lists
        .flat_map(|(group, acls)| {
            let rows = acls.iter().enumerate();
            rows.map(move |(position, resolved)| Row {
                group,
                position,
                resolved,
            })
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    // Stable: among equals the order above stays.
    rows.sort_by_key(|row| (row.resolved.acl.tier, Reverse(row.resolved.acl.priority)));
    let rules: Box<[Acl]> = rows.iter().map(Row::compiled).collect();
    let mut list = |direction| {
        let mut list = List::new(name, facts);
        list.gather(direction, &rows, problems);
        list.compile(&rules, problems)
    };
    Some(Arc::new(Acls {
        from_lport: list(topology::AclDirection::FromLport),
        from_lport_after_lb: list(topology::AclDirection::FromLportAfterLb),
        to_lport: list(topology::AclDirection::ToLport),
        stateful: rules
            .iter()
            .any(|acl| acl.action == AclAction::AllowRelated),
        default_drop: facts.default_drop,
        unmatched: Hits::default(),
        rules,
    }))
}

/// One direction on its way into a classifier.
struct List<'t> {
    switch: &'t str,
    facts: &'t AclFacts,
    builder: Builder,
    sets: HashMap<Named<'t>, SetId>,
    /// The rule of each clause.
    acls: Vec<u32>,
    failed: Option<TooComplex>,
}

impl<'t> List<'t> {
    fn new(switch: &'t str, facts: &'t AclFacts) -> Self {
        Self {
            switch,
            facts,
            builder: Builder::new(),
            sets: HashMap::new(),
            acls: Vec::new(),
            failed: None,
        }
    }

    fn gather(
        &mut self,
        direction: topology::AclDirection,
        rows: &[Row<'t>],
        problems: &mut Vec<Problem>,
    ) {
        let facts = self.facts;
        let port = |name: &str| facts.ports.get(name).map(|id| id.0);
        for (index, row) in (0..).zip(rows) {
            if row.resolved.acl.direction != direction {
                continue;
            }
            let Ok(clauses) = clauses::clauses(&row.resolved.expression, &port) else {
                let message = format!("the match has more than {MOST_CLAUSES} alternatives");
                let problem = Problem::new(row.place(self.switch), message);
                problems.push(problem.mend("write values of one field as a set: field == {...}"));
                continue;
            };
            for clause in clauses {
                let conditions = self.conditions(clause);
                match self.builder.rule(&conditions) {
                    Ok(()) => self.acls.push(index),
                    Err(error) => {
                        self.failed = self.failed.or(Some(error));
                        return;
                    }
                }
            }
        }
    }

    fn conditions(&mut self, clause: Clause<'t>) -> Vec<Condition> {
        let conditions = clause.0.into_iter().map(|condition| {
            let mut sets: Vec<SetId> = condition
                .named
                .iter()
                .map(|named| self.named(*named))
                .collect();
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
        let ranges = match named {
            Named::Ports(group) => {
                let ports = self.facts.members.get(group).into_iter().flatten();
                Ranges::of(ports.map(|port| Range::one(port.0.into())))
            }
            Named::Addresses(set) => {
                let addresses = self.facts.sets.get(set).into_iter();
                let addresses = addresses.flat_map(|set| set.iter());
                Ranges::of(addresses.filter_map(|address| {
                    let (first, last) = address.prefix(address.width())?;
                    Some(Range { first, last })
                }))
            }
        };
        let id = self.builder.set(ranges);
        self.sets.insert(named, id);
        id
    }

    fn compile(self, rules: &[Acl], problems: &mut Vec<Problem>) -> AclList {
        let built = match self.failed {
            Some(error) => Err(error),
            None => self.builder.build(),
        };
        match built {
            Ok(classifier) => AclList::new(classifier, self.acls, rules),
            Err(error) => {
                let place = Place::at(["switch", self.switch]);
                let message = format!(
                    "the ACLs of switch `{}` in one direction: {error}",
                    self.switch
                );
                problems
                    .push(Problem::new(place, message).mend(
                        "use address sets, port groups and fewer different parts of packets",
                    ));
                AclList::default()
            }
        }
    }
}

/// Counts go on with the rules that stay.
pub(super) fn go_on(acls: &Acls, before: &Acls) {
    acls.unmatched.go_on_from(&before.unmatched);
    let key = |acl: &'_ Acl| {
        (
            acl.direction,
            acl.tier,
            acl.priority,
            acl.port_group.clone(),
        )
    };
    let mut known: HashMap<_, Vec<&Acl>> = HashMap::with_capacity(before.rules.len());
    for acl in &before.rules {
        known.entry(key(acl)).or_default().push(acl);
    }
    for acl in &acls.rules {
        let same = |other: &&&Acl| other.matches == acl.matches && other.action == acl.action;
        let before = known.get(&key(acl)).into_iter().flatten().find(same);
        if let Some(before) = before {
            acl.hits.go_on_from(&before.hits);
        }
    }
}

fn direction(direction: topology::AclDirection) -> AclDirection {
    match direction {
        topology::AclDirection::FromLport => AclDirection::FromLport,
        topology::AclDirection::FromLportAfterLb => AclDirection::FromLportAfterLb,
        topology::AclDirection::ToLport => AclDirection::ToLport,
    }
}

fn action(action: topology::AclAction) -> AclAction {
    match action {
        topology::AclAction::Allow => AclAction::Allow,
        topology::AclAction::AllowRelated => AclAction::AllowRelated,
        topology::AclAction::AllowStateless => AclAction::AllowStateless,
        topology::AclAction::Drop => AclAction::Drop,
        topology::AclAction::Reject => AclAction::Reject,
        topology::AclAction::Pass => AclAction::Pass,
    }
}
