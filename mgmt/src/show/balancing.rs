//! Rows of load balancers: who serves what, and how much of it.

use std::io;

use hashbrown::HashMap;
use serde_json::{Value, json};
use sluice_fastpath::connections::{Connection, Flags};
use sluice_fastpath::tables::{Backend, Piece, PieceKind, Service, Tables, Vip};

use super::flows::end;
use super::node::pieces;
use super::query::{Filter, fits, protocol_name};
use super::rows::Rows;
use crate::runtime::State;

/// Connections copied at a time.
const SCAN: usize = 1024;

/// A backend at one place: datapath, virtual IP, backend, each by its index.
type At = (usize, usize, usize);

pub(super) fn balancers(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let places: Vec<&Piece> = pieces(&tables)
        .into_iter()
        .filter(|piece| !piece.balancers().is_empty() && wanted(piece, filter))
        .collect();
    let mut connections: HashMap<At, u64> = HashMap::new();
    let mut next = (!places.is_empty()).then_some(0);
    while let Some(from) = next {
        next = state.connections.scan(from, SCAN, |connection| {
            for (index, piece) in places.iter().enumerate() {
                if let Some((vip, backend)) = serves(&tables, piece, &connection) {
                    *connections.entry((index, vip, backend)).or_default() += 1;
                }
            }
        });
    }
    let uptime = state.uptime().as_secs();
    let mut all = Vec::new();
    for (place, piece) in places.iter().enumerate() {
        for (number, vip) in piece.balancers().vips().iter().enumerate() {
            if vip.backends.is_empty() {
                all.push(row((piece, vip), None, 0, uptime));
            }
            for (index, backend) in vip.backends.iter().enumerate() {
                let count = connections.get(&(place, number, index));
                let count = count.copied().unwrap_or(0);
                all.push(row((piece, vip), Some(backend), count, uptime));
            }
        }
    }
    rows.extend(all)
}

fn wanted(piece: &Piece, filter: &Filter) -> bool {
    let name = piece.name.as_str();
    match piece.kind {
        PieceKind::Switch(_) => filter.router.is_none() && fits(&filter.switch, name),
        PieceKind::Router(_) => filter.switch.is_none() && fits(&filter.router, name),
    }
}

/// The virtual IP and backend that a connection has at this switch or router.
fn serves(tables: &Tables, piece: &Piece, connection: &Connection) -> Option<(usize, usize)> {
    let by_switch = connection.flags.has(Flags::BY_SWITCH);
    let here = match &piece.kind {
        PieceKind::Switch(_) => by_switch && connection.original.zone == piece.zone(),
        // Clients come by the switches around it, or by tunnel.
        PieceKind::Router(router) => {
            let zone = connection.original.zone;
            let outside = |port| tables.outside_zone(piece, port);
            let near = router.ports.iter().any(|port| outside(port) == zone);
            !by_switch && (near || zone == piece.zone() || !elsewhere(tables, piece, connection))
        }
    };
    if !here || !connection.flags.has(Flags::BALANCED) {
        return None;
    }
    let original = &connection.original;
    let (vip, found) = piece
        .balancers()
        .find(original.dst, original.proto, original.dst_port)?;
    let (backend, _) = found.backend(connection.reply.src, connection.reply.src_port)?;
    Some((vip as usize, backend))
}

/// Another router has the same virtual IP and backend: tenants may use the same addresses.
fn elsewhere(tables: &Tables, piece: &Piece, connection: &Connection) -> bool {
    pieces(tables).into_iter().any(|other| {
        let router = matches!(other.kind, PieceKind::Router(_));
        router && other.id != piece.id && other.balancers().of_connection(connection).is_some()
    })
}

fn row(
    (piece, vip): (&Piece, &Vip),
    backend: Option<&Backend>,
    connections: u64,
    uptime: u64,
) -> Value {
    let (noun, name) = match piece.kind {
        PieceKind::Switch(_) => ("switch", &piece.name),
        PieceKind::Router(_) => ("router", &piece.name),
    };
    let condition = backend
        .filter(|backend| vip.check.is_some() && backend.mapping.is_some())
        .map(|backend| backend.liveness.get());
    let state = backend.map(|backend| match (backend.draining, condition) {
        (true, _) => "draining",
        (false, Some(condition)) => condition.health.name(),
        (false, None) => "serving",
    });
    let endpoint = backend.map(|backend| match backend.port {
        Some(port) => end(backend.ip, port),
        None => backend.ip.to_string(),
    });
    let Service { ip, port } = vip.service;
    json!({
        "load_balancer": vip.balancer,
        "at": format!("{noun} {name}"),
        "proto": port.map(|(proto, _)| protocol_name(proto)),
        "vip": port.map_or(ip.to_string(), |(_, port)| end(ip, port)),
        "backend": endpoint,
        "weight": backend.map(|backend| backend.weight),
        "state": state.unwrap_or("nobody"),
        "health": condition.map(|condition| condition.health.name()),
        "since_seconds": condition.map(|condition| uptime.saturating_sub(condition.since.into())),
        "failure": condition.and_then(|condition| Some(condition.ailment?.to_string())),
        "connections": connections,
        "hits": backend.map_or(0, |backend| backend.hits.get()),
    })
}
