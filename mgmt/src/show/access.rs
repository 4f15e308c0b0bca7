//! Rows of ACLs: what is asked, and how often it decided.

use std::io;

use serde_json::{Value, json};
use sluice_fastpath::tables::{Acl, AclDirection, Acls};

use super::node::pieces;
use super::query::{Filter, fits};
use super::rows::Rows;
use super::switching::as_switch;
use crate::runtime::State;

const DIRECTIONS: [AclDirection; 3] = [
    AclDirection::FromLport,
    AclDirection::FromLportAfterLb,
    AclDirection::ToLport,
];

/// By switch, direction, and then as they are asked. What no ACL was for comes last.
pub(super) fn acls(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    for piece in pieces(&tables) {
        let name = piece.name.as_str();
        let Some(acls) = as_switch(piece).and_then(|switch| switch.acls.as_deref()) else {
            continue;
        };
        if !fits(&filter.switch, name) {
            continue;
        }
        for direction in DIRECTIONS {
            let here = acls.rules.iter().filter(|acl| acl.direction == direction);
            rows.extend(here.map(|acl| row(name, acl)))?;
        }
        rows.extend([rest(name, acls)])?;
    }
    Ok(())
}

fn row(switch: &str, acl: &Acl) -> Value {
    json!({
        "switch": switch,
        "direction": acl.direction.name(),
        "tier": acl.tier,
        "priority": acl.priority,
        "action": acl.action.name(),
        "match": acl.matches,
        "name": acl.name,
        "port_group": acl.port_group.as_deref(),
        "position": acl.position,
        "label": (acl.label != 0).then_some(acl.label),
        "log": acl.log.map(|log| log.severity),
        "hits": acl.hits.get(),
    })
}

fn rest(switch: &str, acls: &Acls) -> Value {
    json!({
        "switch": switch,
        "direction": "any",
        "tier": null,
        "priority": null,
        "action": if acls.default_drop { "drop" } else { "allow" },
        "match": "",
        "name": "no ACL",
        "port_group": null,
        "position": null,
        "label": null,
        "log": null,
        "hits": acls.unmatched.get(),
    })
}
