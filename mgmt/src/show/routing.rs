//! Routers, routes, neighbors and tunnels.

use std::io;
use std::net::IpAddr;

use serde_json::{Value, json};
use sluice_fastpath::learned::{Learned, Role};
use sluice_fastpath::tables::neighbors::NeighborState;
use sluice_fastpath::tables::{
    EncapKind, Piece, PieceKind, RoleId, Route, RouteSource, Router, Tables, Tunnel, UNDERLAY_PORT,
};

use super::node::pieces;
use super::query::{Filter, fits};
use super::rows::{More, Rows};
use super::switching::seconds;
use crate::runtime::State;

fn as_router(piece: &Piece) -> Option<&Router> {
    match &piece.kind {
        PieceKind::Router(router) => Some(router),
        PieceKind::Switch(_) => None,
    }
}

fn named<'t>(tables: &'t Tables, filter: &Filter) -> Vec<(&'t Piece, &'t Router)> {
    let routers = pieces(tables)
        .into_iter()
        .filter_map(|piece| Some((piece, as_router(piece)?)));
    routers
        .filter(|(piece, _)| fits(&filter.router, piece.name.as_str()))
        .collect()
}

pub(super) fn routers(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    rows.extend(named(&tables, filter).into_iter().map(|(piece, router)| {
        let gateways = router.ports.iter().filter_map(|port| {
            let gateway = port.gateway.as_ref()?;
            Some(format!(
                "{} {}",
                port.name,
                role(&state.learned, &tables, gateway.role)
            ))
        });
        json!({
            "name": piece.name,
            "key": piece.vni.get(),
            "ports": router.ports.len(),
            "routes": router.routing.routes().len(),
            "nat": router.nat.snat().len() + router.nat.dnat().count(),
            "gateways": gateways.collect::<Vec<_>>(),
            "enabled": router.enabled,
            "tracked": router.stateful,
            "fib_bytes": router.routing.fib_bytes(),
            "epoch": piece.epoch,
        })
    }))
}

/// Who holds a gateway port, in words.
pub(crate) fn role(learned: &Learned, tables: &Tables, role: RoleId) -> String {
    match learned.roles.get(role) {
        Role::Nobody => "held by nobody".to_owned(),
        Role::Active => "held by this chassis".to_owned(),
        Role::Backup(tunnel) => {
            format!(
                "held by {}",
                tables
                    .tunnel(tunnel)
                    .map_or("another chassis", |tunnel| &tunnel.chassis)
            )
        }
    }
}

pub(super) fn routes(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    for (piece, router) in named(&tables, filter) {
        for route in router.routing.routes() {
            if filter.dst.is_some_and(|dst| !route.prefix.contains(&dst)) {
                continue;
            }
            let row = route_row(piece, router, route);
            let through = |port: &str| row.ports.iter().any(|name| name == port);
            if filter.port.as_deref().is_some_and(|port| !through(port)) {
                continue;
            }
            if rows.push(row.value)? == More::Enough {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct RouteRow {
    value: Value,
    ports: Vec<String>,
}

fn route_row(piece: &Piece, router: &Router, route: &Route) -> RouteRow {
    let hops = route
        .group
        .map(|group| router.routing.hops(group))
        .unwrap_or_default();
    let port = |index: u16| {
        router
            .ports
            .get(usize::from(index))
            .map_or("?", |port| &port.name)
            .to_owned()
    };
    let ports: Vec<String> = hops.iter().map(|hop| port(hop.port)).collect();
    let via: Vec<String> = hops
        .iter()
        .map(|hop| {
            hop.via
                .map_or_else(|| "on the link".to_owned(), |via| via.to_string())
        })
        .collect();
    let value = json!({
        "router": piece.name,
        "prefix": route.prefix,
        "source": source(route.source),
        "via": if route.group.is_none() { vec!["discard".to_owned()] } else { via },
        "ports": ports,
    });
    RouteRow { value, ports }
}

/// Where a route comes from, in words.
pub(crate) fn source(source: RouteSource) -> &'static str {
    match source {
        RouteSource::Connected => "connected",
        RouteSource::Static => "static",
        RouteSource::StaticBySource => "static by source",
    }
}

pub(super) fn neighbors(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let now = state.now();
    for (piece, router) in named(&tables, filter) {
        let mut declared: Vec<_> = router.neighbors.iter().collect();
        declared.sort_unstable();
        let declared = declared.into_iter().filter_map(|((port, ip), mac)| {
            let port = router
                .ports
                .get(usize::from(*port))
                .map_or("?", |port| port.name.as_str());
            let wanted = fits(&filter.port, port) && fits(&filter.ip, ip) && fits(&filter.mac, mac);
            wanted.then(|| {
                json!({
                    "router": piece.name, "port": port, "ip": ip, "mac": mac, "state": "topology",
                    "age_seconds": null, "idle_seconds": null,
                })
            })
        });
        rows.extend(declared)?;
    }
    rows.extend(state.learned.neighbors.iter().filter_map(|(_, neighbor)| {
        let (router, port) = match tables.router_port(neighbor.port) {
            Some((piece, _, port)) => (piece.name.as_str(), port.name.as_str()),
            None if neighbor.port == UNDERLAY_PORT => ("-", "underlay"),
            None => return None,
        };
        let wanted = fits(&filter.router, router)
            && fits(&filter.port, port)
            && fits(&filter.ip, &neighbor.ip)
            && filter.mac.is_none_or(|mac| neighbor.mac == Some(mac));
        wanted.then(|| {
            json!({
                "router": router,
                "port": port,
                "ip": neighbor.ip,
                "mac": neighbor.mac,
                "state": state_name(neighbor.state),
                "age_seconds": seconds(neighbor.updated, now),
                "idle_seconds": seconds(neighbor.used, now),
            })
        })
    }))
}

fn state_name(state: NeighborState) -> &'static str {
    match state {
        NeighborState::Incomplete => "incomplete",
        NeighborState::Reachable => "reachable",
        NeighborState::Stale => "stale",
        NeighborState::Probe => "probe",
        NeighborState::Failed => "failed",
        NeighborState::Static => "static",
    }
}

pub(super) fn tunnels(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let mut tunnels: Vec<&Tunnel> = tables.tunnels.iter().flatten().collect();
    tunnels.sort_by_key(|tunnel| &tunnel.chassis);
    rows.extend(tunnels.into_iter().filter(|tunnel| fits(&filter.chassis, tunnel.chassis.as_str())).map(|tunnel| {
        let next_hop = IpAddr::V4(tunnel.next_hop);
        let slot = state.learned.neighbors.lookup(UNDERLAY_PORT, next_hop);
        let neighbor = slot.and_then(|slot| state.learned.neighbors.get(slot));
        json!({
            "chassis": tunnel.chassis,
            "kind": kind(tunnel.kind),
            "remote": tunnel.remote,
            "udp_port": tunnel.port,
            "port_keys": tunnel.port_keys,
            "checksum": tunnel.checksum,
            "inner_mtu": tunnel.inner_mtu,
            "next_hop": next_hop,
            "next_hop_mac": neighbor.and_then(|neighbor| neighbor.mac),
            "next_hop_state": neighbor.map_or("unknown", |neighbor| state_name(neighbor.state)),
        })
    }))
}

/// Name of an encapsulation.
pub(crate) fn kind(kind: EncapKind) -> &'static str {
    match kind {
        EncapKind::Geneve => "geneve",
        EncapKind::Vxlan => "vxlan",
    }
}
