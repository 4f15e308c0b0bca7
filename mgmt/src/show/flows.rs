//! Connections and the rules that translate them.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use sluice_fastpath::connections::{Connection, FlowKey, State as FlowState};
use sluice_fastpath::ids::{DatapathId, Zone};
use sluice_fastpath::tables::{Dnat, DnatKind, Piece, PieceKind, Router, Snat, SnatKind, Tables};

use super::node::pieces;
use super::query::{Filter, fits, protocol_name};
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
        "src": end(connection.original.src, connection.original.src_port),
        "dst": end(connection.original.dst, connection.original.dst_port),
        "reply_src": end(connection.reply.src, connection.reply.src_port),
        "reply_dst": end(connection.reply.dst, connection.reply.dst_port),
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
    }
}

/// A rule of a router, and how many connections it translates.
struct Used<'t> {
    router: (&'t Piece, &'t Router),
    snat: Option<&'t Snat>,
    dnat: Option<&'t Dnat>,
    connections: u64,
}

pub(super) fn nat(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let mut rules = Vec::new();
    for piece in pieces(&tables) {
        if let PieceKind::Router(router) = &piece.kind
            && fits(&filter.router, piece.name.as_str())
        {
            rules.extend(rules_of(piece, router));
        }
    }
    let mut next = (!rules.is_empty()).then_some(0);
    while let Some(from) = next {
        next = state.connections.scan(from, SCAN, |connection| {
            for used in &mut rules {
                if used.translates(&connection.original, &connection.reply) {
                    used.connections += 1;
                }
            }
        });
    }
    rows.extend(rules.iter().map(Used::row))
}

/// The rules of a router; the two halves of a floating IP are one.
fn rules_of<'t>(piece: &'t Piece, router: &'t Router) -> Vec<Used<'t>> {
    let used = |snat, dnat| Used {
        router: (piece, router),
        snat,
        dnat,
        connections: 0,
    };
    let mut halves: Vec<&Dnat> = router.nat.dnat().collect();
    let mut rules = Vec::new();
    for snat in router.nat.snat() {
        let other = halves.iter().position(|dnat| {
            dnat.kind != DnatKind::Dnat
                && dnat.external == snat.external
                && dnat.logical == snat.logical.addr()
        });
        rules.push(used(Some(snat), other.map(|at| halves.remove(at))));
    }
    rules.extend(halves.into_iter().map(|dnat| used(None, Some(dnat))));
    rules
}

impl Used<'_> {
    fn translates(&self, original: &FlowKey, reply: &FlowKey) -> bool {
        let source = self.snat.is_some_and(|rule| {
            rule.external == reply.dst
                && rule.logical.contains(&original.src)
                && original.src != reply.dst
        });
        let destination = self
            .dnat
            .is_some_and(|rule| rule.external == original.dst && rule.logical == reply.src);
        source || destination
    }

    fn row(&self) -> Value {
        let (piece, router) = self.router;
        let stateless = self
            .snat
            .is_some_and(|rule| rule.kind == SnatKind::Stateless);
        let (kind, logical, external, port) = match (self.snat, self.dnat) {
            (Some(rule), dnat) => {
                let kind = match dnat {
                    Some(_) => "dnat_and_snat",
                    None => "snat",
                };
                (kind, rule.logical.to_string(), rule.external, rule.port)
            }
            (None, Some(rule)) => ("dnat", rule.logical.to_string(), rule.external, rule.port),
            (None, None) => return Value::Null,
        };
        let single = |logical: &str| logical.split_once('/').map(|(host, _)| host.to_owned());
        let host = single(&logical).filter(|_| self.snat.is_some_and(Snat::is_of_host));
        let port = port.and_then(|port| router.ports.get(usize::from(port)));
        json!({
            "router": piece.name,
            "type": kind,
            "logical_ip": host.unwrap_or(logical),
            "external_ip": external,
            "port": port.map(|port| port.name.as_str()),
            "stateless": stateless,
            "connections": self.connections,
        })
    }
}
