//! Switches, ports and MACs.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use sluice_fastpath::counters::Traffic;
use sluice_fastpath::ids::{PortId, Tick};
use sluice_fastpath::tables::{
    Peer, Piece, PieceKind, Place, Router, RouterPort, Switch, SwitchPort, Tables,
};

use super::node::pieces;
use super::query::{Filter, fits};
use super::rows::Rows;
use crate::runtime::State;

pub(super) fn switches(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let mut learned: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in state.learned.fdb.iter() {
        *learned.entry(entry.domain).or_default() += 1;
    }
    let switches = pieces(&tables)
        .into_iter()
        .filter_map(|piece| Some((piece, as_switch(piece)?)));
    rows.extend(switches.filter(|(piece, _)| fits(&filter.switch, piece.name.as_str())).map(|(piece, switch)| {
        let local = switch.ports.iter().filter(|port| matches!(port.place, Place::Device { .. })).count();
        let learned: u64 = switch.domains.iter().filter_map(|domain| learned.get(&domain.id)).sum();
        json!({
            "name": piece.name,
            "key": piece.vni.get(),
            "ports": switch.ports.len(),
            "local_ports": local,
            "vlans": switch.domains.iter().map(|domain| domain.vlan).filter(|vlan| *vlan > 0).collect::<Vec<_>>(),
            "static_macs": switch.by_mac.len(),
            "learned_macs": learned,
            "mac_limit": switch.mac_limit,
            "mac_age_seconds": switch.mac_age / 1000,
            "tracked": switch.stateful,
            "epoch": piece.epoch,
        })
    }))
}

pub(super) fn as_switch(piece: &Piece) -> Option<&Switch> {
    match &piece.kind {
        PieceKind::Switch(switch) => Some(switch),
        PieceKind::Router(_) => None,
    }
}

pub(super) fn ports(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    for piece in pieces(&tables) {
        match &piece.kind {
            PieceKind::Switch(switch)
                if filter.router.is_none() && fits(&filter.switch, piece.name.as_str()) =>
            {
                let addresses = addresses(switch);
                let ports = switch
                    .ports
                    .iter()
                    .enumerate()
                    .filter(|(_, port)| fits(&filter.port, port.name.as_str()));
                rows.extend(ports.map(|(index, port)| {
                    switch_port(state, &tables, piece, port, addresses.get(&index))
                }))?;
            }
            PieceKind::Router(router)
                if filter.switch.is_none() && fits(&filter.router, piece.name.as_str()) =>
            {
                let ports = router
                    .ports
                    .iter()
                    .filter(|port| fits(&filter.port, port.name.as_str()));
                rows.extend(ports.map(|port| router_port(state, &tables, piece, router, port)))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// MACs and addresses by index of the port.
fn addresses(switch: &Switch) -> BTreeMap<usize, (Vec<String>, Vec<String>)> {
    let mut found: BTreeMap<usize, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (mac, port) in &switch.by_mac {
        found
            .entry(usize::from(*port))
            .or_default()
            .0
            .push(mac.to_string());
    }
    let mut known: Vec<_> = switch
        .known
        .iter()
        .map(|(ip, known)| (*ip, known.port))
        .collect();
    known.sort_unstable();
    for (ip, port) in known {
        found
            .entry(usize::from(port))
            .or_default()
            .1
            .push(ip.to_string());
    }
    found
        .values_mut()
        .for_each(|(macs, _)| macs.sort_unstable());
    found
}

fn switch_port(
    state: &State,
    tables: &Tables,
    piece: &Piece,
    port: &SwitchPort,
    addresses: Option<&(Vec<String>, Vec<String>)>,
) -> Value {
    let (macs, ips) = addresses.cloned().unwrap_or_default();
    let kind = match () {
        () if port.localnet => "localnet",
        () if port.router => "router",
        () => "vif",
    };
    let (rx, tx) = traffic(state, port.id);
    json!({
        "datapath": piece.name,
        "name": port.name,
        "key": port.key,
        "kind": kind,
        "place": place(tables, port.place),
        "macs": macs,
        "addresses": ips,
        "enabled": port.enabled,
        "port_security": port.security.is_some(),
        "learning": port.learning,
        "rx_packets": rx.packets,
        "rx_bytes": rx.bytes,
        "tx_packets": tx.packets,
        "tx_bytes": tx.bytes,
    })
}

fn router_port(
    state: &State,
    tables: &Tables,
    piece: &Piece,
    router: &Router,
    port: &RouterPort,
) -> Value {
    let peer = match port.peer {
        Peer::None => "attached to nothing".to_owned(),
        Peer::Switch { switch, .. } => format!("switch {}", name(tables, switch)),
        Peer::Router { router, .. } => format!("router {}", name(tables, router)),
    };
    let place = match &port.gateway {
        Some(gateway) => format!(
            "{peer}, gateway {}",
            super::routing::role(&state.learned, tables, gateway.role)
        ),
        None => peer,
    };
    let (rx, tx) = traffic(state, port.id);
    json!({
        "datapath": piece.name,
        "name": port.name,
        "key": port.key,
        "kind": if port.gateway.is_some() { "gateway" } else { "router-port" },
        "place": place,
        "macs": [port.mac],
        "addresses": port.networks,
        "enabled": port.enabled && router.enabled,
        "port_security": false,
        "learning": false,
        "rx_packets": rx.packets,
        "rx_bytes": rx.bytes,
        "tx_packets": tx.packets,
        "tx_bytes": tx.bytes,
    })
}

/// Name of a datapath.
pub(super) fn name(tables: &Tables, id: sluice_fastpath::ids::DatapathId) -> &str {
    tables.piece(id).map_or("?", |piece| &piece.name)
}

/// In from a logical port and out to it, over all workers.
fn traffic(state: &State, port: PortId) -> (Traffic, Traffic) {
    let zero = (Traffic::default(), Traffic::default());
    state
        .workers
        .iter()
        .map(|worker| worker.counters.port(port))
        .fold(zero, |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Where the packets of a switch port go, in words.
pub(crate) fn place(tables: &Tables, place: Place) -> String {
    match place {
        Place::Unbound => "not bound".to_owned(),
        Place::Device { device, vlan } => {
            let name = tables
                .devices
                .get(device.index())
                .map_or("?", |device| &device.name);
            vlan.map_or(format!("interface {name}"), |vlan| {
                format!("interface {name} vlan {vlan}")
            })
        }
        Place::Chassis(tunnel) => {
            format!(
                "chassis {}",
                tables.tunnel(tunnel).map_or("?", |tunnel| &tunnel.chassis)
            )
        }
        Place::Router(port) | Place::Gateway { port, .. } => match tables.router_port(port) {
            Some((piece, _, router_port)) => {
                format!("router {} port {}", piece.name, router_port.name)
            }
            None => "a router that has gone".to_owned(),
        },
    }
}

pub(super) fn fdb(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let now = state.now();
    let mut domains: BTreeMap<u32, (&Piece, u16)> = BTreeMap::new();
    for piece in pieces(&tables) {
        let Some(switch) = as_switch(piece) else {
            continue;
        };
        domains.extend(
            switch
                .domains
                .iter()
                .map(|domain| (domain.id, (piece, domain.vlan))),
        );
        if !fits(&filter.switch, piece.name.as_str()) {
            continue;
        }
        let mut declared: Vec<_> = switch.by_mac.iter().collect();
        declared.sort_unstable();
        let named = declared
            .into_iter()
            .filter_map(|(mac, port)| Some((mac, switch.ports.get(usize::from(*port))?)));
        let wanted = named.filter(|(mac, port)| {
            fits(&filter.mac, *mac) && fits(&filter.port, port.name.as_str())
        });
        rows.extend(wanted.map(|(mac, port)| {
            let vlan = switch
                .domains
                .get(usize::from(port.domain))
                .map_or(0, |domain| domain.vlan);
            fdb_row(&piece.name, vlan, &mac.to_string(), &port.name, None, now)
        }))?;
    }
    let learned = state.learned.fdb.iter().filter_map(|entry| {
        let (piece, vlan) = domains.get(&entry.domain)?;
        let port = tables.port_name(entry.port);
        let wanted = fits(&filter.switch, piece.name.as_str())
            && fits(&filter.mac, &entry.mac)
            && fits(&filter.port, port);
        let times = Some((entry.since, entry.used));
        wanted.then(|| fdb_row(&piece.name, *vlan, &entry.mac.to_string(), port, times, now))
    });
    rows.extend(learned)
}

fn fdb_row(
    switch: &str,
    vlan: u16,
    mac: &str,
    port: &str,
    times: Option<(Tick, Tick)>,
    now: Tick,
) -> Value {
    json!({
        "switch": switch,
        "vlan": (vlan > 0).then_some(vlan),
        "mac": mac,
        "port": port,
        "kind": if times.is_some() { "learned" } else { "static" },
        "age_seconds": times.map(|(since, _)| seconds(since, now)),
        "idle_seconds": times.map(|(_, used)| seconds(used, now)),
    })
}

/// Whole seconds from `then` to `now`; a moment ahead counts as now.
pub(super) fn seconds(then: Tick, now: Tick) -> u32 {
    let age = now.since(then);
    if age > u32::MAX / 2 { 0 } else { age / 1000 }
}
