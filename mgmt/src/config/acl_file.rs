//! The topology file: ACLs, port groups, address sets.

use std::sync::Arc;

use super::section::Section;
use super::topology_file::ACL_LIST;
use crate::topology::expression::Addresses;
use crate::topology::{Acl, AclAction, AclDirection, AclLog, PortGroup, Severity};

pub(super) const PORT_GROUP: &[&str] = &["ports", ACL_LIST];
pub(super) const ADDRESS_SET: &[&str] = &["addresses"];
const ACL: &[&str] = &[
    "direction",
    "priority",
    "tier",
    "match",
    "action",
    "name",
    "label",
    "apply_after_lb",
    "log",
    "severity",
    "meter",
];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[PORT_GROUP, ADDRESS_SET, ACL];

/// The greatest priority, as in OVN.
const GREATEST_PRIORITY: u64 = 32_767;
/// The last tier, as in OVN.
const LAST_TIER: u64 = 3;
/// Most messages a second that a meter may let pass.
const GREATEST_METER: u64 = 1_000_000;

/// The rules of a switch or a port group.
pub(super) fn acls(section: Section<'_, '_>) -> Arc<[Acl]> {
    section
        .tables(ACL_LIST, "an ACL", ACL)
        .filter_map(acl)
        .collect()
}

fn acl(section: Section<'_, '_>) -> Option<Acl> {
    section.require("direction", "\"to-lport\"");
    section.require("priority", "1000");
    section.require("match", "'ip4 && tcp.dst == 22'");
    section.require("action", "\"allow-related\"");
    let directions = [AclDirection::FromLport, AclDirection::ToLport].map(|d| (d.name(), d));
    let direction = section.choice("direction", &directions);
    if direction == Some(AclDirection::ToLport) {
        let why = "load balancing comes before direction to-lport anyway";
        section.refuse(&["apply_after_lb"], why);
    }
    let after = section.flag("apply_after_lb", false);
    let direction = match direction {
        Some(AclDirection::FromLport) if after => Some(AclDirection::FromLportAfterLb),
        other => other,
    };
    let priority = section.number("priority", 0..=GREATEST_PRIORITY);
    let tier = section.number("tier", 0..=LAST_TIER);
    let action = section.choice("action", &AclAction::ALL.map(|a| (a.name(), a)));
    let matches = section.text("match");
    Some(Acl {
        name: section.value("name"),
        label: section.number("label", 1..=u64::from(u32::MAX)),
        log: log(section),
        direction: direction?,
        tier: tier.unwrap_or(0),
        priority: priority?,
        matches: matches?.to_owned(),
        action: action?,
    })
}

fn log(section: Section<'_, '_>) -> Option<AclLog> {
    if !section.flag("log", false) {
        let why = "only an ACL with log = true logs anything";
        section.refuse(&["severity", "meter"], why);
        return None;
    }
    let severity = section.choice("severity", &Severity::ALL.map(|s| (s.name(), s)));
    Some(AclLog {
        severity: severity.unwrap_or_default(),
        meter: section.number("meter", 1..=GREATEST_METER),
    })
}

pub(super) fn port_group(section: Section<'_, '_>) -> PortGroup {
    section.require("ports", "[\"vm1\", \"vm2\"]");
    PortGroup {
        ports: section.list("ports"),
        acls: acls(section),
    }
}

pub(super) fn address_set(section: Section<'_, '_>) -> Addresses {
    section.require("addresses", "[\"10.0.0.1\", \"10.1.0.0/16\"]");
    section.list("addresses").into()
}
