//! Decisions of ACLs in words.

use serde_json::{Value, json};
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::tables::{Acl, AclDirection, AclVerdict, Decision, Tables};

/// The ACL that decided.
fn decisive(tables: &Tables, switch: DatapathId, decision: Decision) -> Option<&Acl> {
    let (_, switch) = tables.switch(switch)?;
    switch.acls.as_ref()?.rules.get(decision.acl? as usize)
}

/// `ACL web of port group pg1 (priority 1000, "ip4"), drop`
fn text(acl: &Acl) -> String {
    let name = acl.name.as_deref().map(|name| format!(" {name}"));
    let group = (acl.port_group.as_deref()).map(|group| format!(" of port group {group}"));
    let tier = match acl.tier {
        0 => String::new(),
        tier => format!("tier {tier}, "),
    };
    format!(
        "ACL{}{} ({tier}priority {}, \"{}\"), {}",
        name.unwrap_or_default(),
        group.unwrap_or_default(),
        acl.priority,
        acl.matches,
        acl.action.name(),
    )
}

/// What ACLs said: a sentence, and its parts.
pub(super) fn told(
    tables: &Tables,
    id: DatapathId,
    direction: AclDirection,
    decision: Decision,
) -> (String, Value) {
    let switch = tables.piece(id).map_or("?", |piece| &piece.name);
    let acl = decisive(tables, id, decision);
    let verdict = match decision.verdict {
        AclVerdict::Allow => "allow",
        AclVerdict::Drop => "drop",
        AclVerdict::Reject => "reject",
    };
    let by = match acl {
        Some(acl) => text(acl),
        None => format!("no ACL is for it: {verdict}"),
    };
    let tracked = if decision.tracked { ", tracked" } else { "" };
    let fields = json!({
        "switch": switch,
        "direction": direction.name(),
        "acl": acl.map(|acl| acl.matches.as_str()),
        "name": acl.and_then(|acl| acl.name.as_deref()),
        "port_group": acl.and_then(|acl| acl.port_group.as_deref()),
        "position": acl.map(|acl| acl.position),
        "verdict": verdict,
        "tracked": decision.tracked,
    });
    let text = format!("switch {switch}, {}: {by}{tracked}", direction.name());
    (text, fields)
}

/// Why ACLs dropped a packet.
pub(super) fn refusal(
    tables: &Tables,
    (id, direction, decision): (DatapathId, AclDirection, Decision),
) -> String {
    told(tables, id, direction, decision).0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluice_fastpath::tables::{AclAction, Acls, Hits, Piece, PieceKind, Switch};
    use sluice_net::Vni;

    use super::*;

    fn tables(rules: Vec<Acl>) -> Tables {
        let acls = Acls {
            rules: rules.into(),
            ..Acls::default()
        };
        let switch = Switch {
            acls: Some(Arc::new(acls)),
            ..Switch::default()
        };
        let piece = Piece {
            epoch: 1,
            id: DatapathId(0),
            name: "ls1".to_owned(),
            vni: Vni::new(1).unwrap(),
            kind: PieceKind::Switch(switch),
        };
        Tables {
            datapaths: vec![Some(Arc::new(piece))],
            ..Tables::default()
        }
    }

    #[test]
    fn the_rule_is_named_with_its_place() {
        let acl = |action| Acl {
            port_group: None,
            position: 0,
            name: None,
            direction: AclDirection::ToLport,
            tier: 0,
            priority: 7,
            matches: "ip4".to_owned(),
            action,
            label: 0,
            log: None,
            hits: Hits::default(),
        };
        let named = Acl {
            port_group: Some(Arc::from("pg1")),
            position: 3,
            name: Some("web".to_owned()),
            tier: 2,
            ..acl(AclAction::Reject)
        };
        let tables = tables(vec![acl(AclAction::AllowRelated), named]);
        let say = |acl, verdict, tracked| {
            let decision = Decision {
                acl,
                verdict,
                tracked,
            };
            told(&tables, DatapathId(0), AclDirection::ToLport, decision)
        };
        assert_eq!(
            say(Some(0), AclVerdict::Allow, true).0,
            "switch ls1, to-lport: ACL (priority 7, \"ip4\"), allow-related, tracked"
        );
        let (text, fields) = say(Some(1), AclVerdict::Reject, false);
        assert_eq!(
            text,
            "switch ls1, to-lport: ACL web of port group pg1 (tier 2, priority 7, \"ip4\"), reject"
        );
        assert_eq!(fields["position"], 3);
        assert_eq!(fields["port_group"], "pg1");
        assert_eq!(
            say(None, AclVerdict::Drop, false).0,
            "switch ls1, to-lport: no ACL is for it: drop"
        );
    }
}
