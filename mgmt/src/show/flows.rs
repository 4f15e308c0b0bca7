//! Tracked connections.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use sluice_fastpath::connections::key::is_by_address;
use sluice_fastpath::connections::{Connection, FlowKey, State as FlowState};
use sluice_fastpath::ids::{DatapathId, Zone};
use sluice_fastpath::tables::Tables;

use super::query::{Filter, protocol_name};
use super::rows::{More, Rows};
use super::selection::{SCAN, Selection};
use super::switching::seconds;
use crate::runtime::State;

pub(super) fn connections(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let selection = Selection::of(filter, &tables);
    let mut next = Some(0);
    while let Some(from) = next {
        let mut found = Vec::new();
        next = state.connections.scan(from, SCAN, |connection| {
            if selection.has(&connection) {
                found.push(connection);
            }
        });
        for connection in found {
            if rows.push(row(state, &tables, &connection))? == More::Enough {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn row(state: &State, tables: &Tables, connection: &Connection) -> Value {
    let now = state.now();
    let [packets, reply_packets] = connection.packets;
    let [bytes, reply_bytes] = connection.bytes;
    let [src, dst] = ends(&connection.original);
    let [reply_src, reply_dst] = ends(&connection.reply);
    let translation = match (connection.is_snat(), connection.is_dnat()) {
        (true, true) => "snat+dnat",
        (true, false) => "snat",
        (false, true) => "dnat",
        (false, false) => "none",
    };
    json!({
        "proto": protocol_name(connection.original.proto),
        "state": state_name(connection.state),
        "zone": zone(tables, connection.original.zone),
        "reply_zone": zone(tables, connection.reply.zone),
        "src": src,
        "dst": dst,
        "reply_src": reply_src,
        "reply_dst": reply_dst,
        "translation": translation,
        "worker": connection.owner.map(|worker| worker.0),
        "packets": packets,
        "bytes": bytes,
        "reply_packets": reply_packets,
        "reply_bytes": reply_bytes,
        "age_seconds": seconds(connection.created, now),
        "expires_seconds": connection.remaining(&state.connections.timeouts(), now) / 1000,
    })
}

/// Source and destination; without ports where the protocol has none.
fn ends(key: &FlowKey) -> [String; 2] {
    let end = |ip: IpAddr, port| match is_by_address(key.proto) {
        true => ip.to_string(),
        false => end(ip, port),
    };
    [end(key.src, key.src_port), end(key.dst, key.dst_port)]
}

pub(super) fn end(ip: IpAddr, port: u16) -> String {
    SocketAddr::new(ip, port).to_string()
}

/// A zone is that of a datapath.
pub(super) fn zone(tables: &Tables, zone: Zone) -> String {
    let piece = zone
        .0
        .checked_sub(1)
        .and_then(|id| tables.piece(DatapathId(id)));
    piece.map_or_else(|| "-".to_owned(), |piece| piece.name.clone())
}

/// A state in the words of conntrack, where it has one.
pub(crate) fn state_name(state: FlowState) -> &'static str {
    match state {
        FlowState::TcpSynSent => "syn-sent",
        FlowState::TcpSynReceived => "syn-received",
        FlowState::TcpEstablished => "established",
        FlowState::TcpFinOriginal | FlowState::TcpFinReply => "fin-wait",
        FlowState::TcpLastAckOriginal | FlowState::TcpLastAckReply => "last-ack",
        FlowState::TcpTimeWait => "time-wait",
        FlowState::TcpResetOriginal | FlowState::TcpResetReply => "reset",
        FlowState::TcpRefused => "refused",
        FlowState::UdpNew | FlowState::EchoNew | FlowState::OtherNew => "unreplied",
        FlowState::UdpAssured | FlowState::EchoReplied | FlowState::OtherAssured => "replied",
        FlowState::Mapping => "mapping",
    }
}
