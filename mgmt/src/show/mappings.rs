//! What sources are called outside where a rule calls them the same for all remote ends.

use std::io;
use std::net::IpAddr;

use serde_json::{Value, json};
use sluice_fastpath::connections::Connection;
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::tables::{Filtering, PieceKind, Tables};

use super::flows::{end, zone};
use super::query::{Filter, fits, protocol, protocol_name};
use super::rows::{More, Rows};
use super::selection::SCAN;
use super::switching::seconds;
use crate::runtime::State;

pub(super) fn mappings(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let proto = filter.proto.as_deref().map(protocol);
    let mut next = Some(0);
    while let Some(from) = next {
        let mut found = Vec::new();
        next = state.connections.scan(from, SCAN, |connection| {
            if let Some(mapping) = connection.mapping()
                && fits(&filter.ip, &mapping.inside.0)
                && proto.is_none_or(|proto| proto == Some(mapping.proto))
            {
                found.push(connection);
            }
        });
        for connection in found {
            if let Some(row) = row(state, &tables, &connection)
                && fits(&filter.router, row["router"].as_str().unwrap_or_default())
                && rows.push(row)? == More::Enough
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn row(state: &State, tables: &Tables, connection: &Connection) -> Option<Value> {
    let mapping = connection.mapping()?;
    let now = state.now();
    Some(json!({
        "router": zone(tables, mapping.zone),
        "proto": protocol_name(mapping.proto),
        "inside": end(mapping.inside.0, mapping.inside.1),
        "outside": end(mapping.outside.0, mapping.outside.1),
        "filtering": filtering(tables, mapping.zone.0, mapping.inside.0, mapping.outside.0),
        "connections": state.connections.users(connection.conn),
        "age_seconds": seconds(connection.created, now),
    }))
}

/// Who may send to it, in the words of the topology; nothing when the rule is gone.
fn filtering(tables: &Tables, zone: u32, inside: IpAddr, outside: IpAddr) -> Option<&'static str> {
    let piece = tables.piece(DatapathId(zone.checked_sub(1)?))?;
    let PieceKind::Router(router) = &piece.kind else {
        return None;
    };
    let (_, filtering) = router.nat.mapping_rule(inside, outside)?;
    Some(match filtering {
        Filtering::EndpointIndependent => "endpoint-independent",
        Filtering::AddressDependent => "address-dependent",
        Filtering::AddressAndPortDependent => "address-and-port-dependent",
    })
}
