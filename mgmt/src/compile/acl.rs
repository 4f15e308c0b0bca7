//! ACLs: the rules that hold in a switch, in the order in which they are asked.
//!
//! In a direction rules come by tier, then by falling priority, then the switch's own before those of port groups, which
//! come by name, then in the order of their list. OVN leaves it open which of two equal priorities holds; here every
//! node finds the same one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use sluice_fastpath::tables::classifier::TooComplex;
use sluice_fastpath::tables::{Acl, AclAction, AclDirection, AclList, AclLog, Acls, Hits};

use super::View;
use super::clauses::MOST_CLAUSES;
use super::matches::{Matches, Referred, Refused};
use super::reach::Owner;
use super::registry::Registry;
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
    /// What all these rules refer to.
    referred: Referred,
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
        let groups: BTreeMap<_, _> = groups.collect();
        let lists = groups.values().chain([&switch.acls]);
        let expressions = lists.flat_map(|list| list.iter());
        let mut port = |port: &str| {
            let here = switch.ports.contains_key(port);
            here.then(|| registry.port(Owner::Switch(name), port))
        };
        Self {
            default_drop: resolved.default_acl_drop,
            referred: Referred::by(
                expressions.map(|acl| &acl.expression),
                resolved,
                name,
                &mut port,
            ),
            groups,
        }
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
        let list = List {
            switch: name,
            direction,
        };
        list.compile(&rows, &facts.referred, &rules, problems)
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

/// The rules of one direction.
struct List<'t> {
    switch: &'t str,
    direction: topology::AclDirection,
}

impl List<'_> {
    fn compile(
        &self,
        rows: &[Row<'_>],
        referred: &Referred,
        rules: &[Acl],
        problems: &mut Vec<Problem>,
    ) -> AclList {
        let mut matches = Matches::new(referred);
        let mut acls = Vec::new();
        for (index, row) in (0..).zip(rows) {
            if row.resolved.acl.direction != self.direction {
                continue;
            }
            match matches.add(&row.resolved.expression) {
                Ok(taken) => acls.extend(std::iter::repeat_n(index, taken)),
                Err(Refused::Alternatives) => {
                    let message = format!("the match has more than {MOST_CLAUSES} alternatives");
                    problems.push(
                        Problem::new(row.place(self.switch), message)
                            .mend("write values of one field as a set: field == {...}"),
                    );
                }
                Err(Refused::Complex(error)) => {
                    problems.push(self.too_complex(error));
                    return AclList::default();
                }
            }
        }
        match matches.build() {
            Ok(classifier) => AclList::new(classifier, acls, rules),
            Err(error) => {
                problems.push(self.too_complex(error));
                AclList::default()
            }
        }
    }

    fn too_complex(&self, error: TooComplex) -> Problem {
        let message = format!(
            "the {} ACLs of switch `{}`: {error}",
            self.direction.name(),
            self.switch
        );
        Problem::new(Place::at(["switch", self.switch]), message)
            .mend("use address sets, port groups and fewer different parts of packets")
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
