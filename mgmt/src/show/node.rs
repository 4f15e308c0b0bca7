//! The node itself: version, topology, devices, workers, drops.

use std::io;
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use sluice_fastpath::counters::{Counters, Traffic, Work};
use sluice_fastpath::ids::Tick;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::{DeviceEntry, PieceKind, Tables};
use sluice_fastpath::verdict::{DropReason, PuntClass};

use super::query::{Filter, fits};
use super::rows::Rows;
use crate::control::PROTOCOL;
use crate::runtime::{InterfaceStatus, State};
use crate::topology::{Attachment, ResolvedRouter};

pub(super) fn version(state: &State, rows: &mut Rows<'_>) -> io::Result<()> {
    let configuration = state.configuration();
    let seconds = |time: std::time::SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    rows.extend([json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
        "pid": std::process::id(),
        "chassis": state.chassis,
        "config": configuration.file.display().to_string(),
        "topology": configuration.node.topology.display().to_string(),
        "digest": format!("{:016x}", configuration.digest),
        "generation": state.tables.current().generation,
        "started": seconds(state.started),
        "configured": seconds(configuration.since),
        "uptime_seconds": state.uptime().as_secs(),
        "connections": state.connections.of::<u32>().len(),
        "connections_capacity": state.connections.of::<u32>().capacity(),
        "connections_ipv6": state.connections.of::<u128>().len(),
        "connections_ipv6_capacity": state.connections.of::<u128>().capacity(),
    })])
}

pub(super) fn topology(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let configuration = state.configuration();
    let tables = state.tables.current();
    let here = |vni: sluice_net::Vni| tables.by_vni.contains_key(&vni);
    let topology = &configuration.topology;
    let any = filter.switch.is_none() && filter.router.is_none() && filter.chassis.is_none();
    let chassis = topology
        .chassis
        .iter()
        .filter(|(name, _)| any || filter.chassis.as_ref() == Some(name));
    rows.extend(chassis.map(|(name, chassis)| {
        let encaps = chassis
            .encaps
            .iter()
            .map(|encap| format!("{} {}", encap.kind.name(), encap.ip));
        json!({
            "noun": "chassis", "name": name, "key": null, "here": *name == state.chassis,
            "ports": null, "detail": encaps.collect::<Vec<_>>().join(", "),
        })
    }))?;
    let switches = topology
        .switches
        .iter()
        .filter(|(name, _)| any || filter.switch.as_ref() == Some(name));
    rows.extend(switches.map(|(name, switch)| {
        let localnets = switch
            .ports
            .values()
            .filter_map(|port| match &port.attachment {
                Attachment::Localnet { network, tag: None } => Some(format!("localnet {network}")),
                Attachment::Localnet {
                    network,
                    tag: Some(tag),
                } => Some(format!("localnet {network} tag {tag}")),
                _ => None,
            });
        json!({
            "noun": "switch", "name": name, "key": switch.key.get(), "here": here(switch.key),
            "ports": switch.ports.len(), "detail": localnets.collect::<Vec<_>>().join(", "),
        })
    }))?;
    let routers = topology
        .routers
        .iter()
        .filter(|(name, _)| any || filter.router.as_ref() == Some(name));
    rows.extend(routers.map(|(name, router)| {
        json!({
            "noun": "router", "name": name, "key": router.key.get(), "here": here(router.key),
            "ports": router.ports.len(), "detail": router_kind(router),
        })
    }))
}

fn router_kind(router: &ResolvedRouter) -> String {
    let gateways = router
        .ports
        .iter()
        .filter(|(_, port)| !port.gateway_chassis.is_empty());
    let gateways: Vec<String> = gateways
        .map(|(name, port)| {
            let chassis: Vec<String> = port
                .gateway_chassis
                .iter()
                .map(|(chassis, priority)| format!("{chassis}={priority}"))
                .collect();
            format!("gateway port {name} on {}", chassis.join(" "))
        })
        .collect();
    match &router.chassis {
        Some(chassis) => format!("gateway router on {chassis}"),
        None if gateways.is_empty() => "distributed".to_owned(),
        None => gateways.join(", "),
    }
}

pub(super) fn interfaces(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let configuration = state.configuration();
    let tables = state.tables.current();
    let status = state.interfaces.status();
    let declared = configuration.node.interfaces.iter().zip(0..).zip(status);
    rows.extend(
        declared
            .filter(|(((name, _), _), _)| fits(&filter.interface, *name))
            .map(|(((name, interface), id), status)| {
                let (rx, tx) = device_traffic(state, DeviceId(id));
                interface_row(
                    name,
                    &interface.device,
                    interface.mtu,
                    &uses(&tables, DeviceId(id)),
                    &status,
                    (rx, tx),
                )
            }),
    )
}

fn interface_row(
    name: &str,
    device: &str,
    mtu: u16,
    uses: &[String],
    status: &InterfaceStatus,
    (rx, tx): (Traffic, Traffic),
) -> Value {
    json!({
        "name": name,
        "device": device,
        "driver": status.driver,
        "mac": status.mac,
        "mtu": mtu,
        "link": if status.up { "up" } else { "down" },
        "speed_mbps": status.speed_mbps,
        "rx_queues": status.rx_queues,
        "tx_queues": status.tx_queues,
        "use": uses,
        "rx_packets": rx.packets,
        "rx_bytes": rx.bytes,
        "tx_packets": tx.packets,
        "tx_bytes": tx.bytes,
        "rx_missed": status.rx_missed,
        "rx_errors": status.rx_errors,
        "rx_no_buffer": status.rx_no_buffer,
        "rx_unjoined": status.rx_unjoined,
        "tx_errors": status.tx_errors,
    })
}

/// Received and sent by a device, over all workers.
pub(crate) fn device_traffic(state: &State, device: DeviceId) -> (Traffic, Traffic) {
    let zero = (Traffic::default(), Traffic::default());
    state
        .workers
        .iter()
        .map(|worker| worker.counters.device(device))
        .fold(zero, |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// What a device is for.
fn uses(tables: &Tables, device: DeviceId) -> Vec<String> {
    let Some(device) = tables.devices.get(device.index()) else {
        return Vec::new();
    };
    let text = |(vlan, entry): &(Option<u16>, DeviceEntry)| {
        let what = match entry {
            DeviceEntry::Underlay => "underlay".to_owned(),
            DeviceEntry::Port(port) => format!("port {}", tables.port_name(*port)),
        };
        vlan.map_or(what.clone(), |vlan| format!("{what} vlan {vlan}"))
    };
    device.entries.iter().map(text).collect()
}

pub(super) fn workers(state: &State, rows: &mut Rows<'_>) -> io::Result<()> {
    let now = state.now();
    rows.extend(state.workers.iter().map(|worker| {
        let counters = &worker.counters;
        let stalled = worker.stalled.load(std::sync::atomic::Ordering::Acquire);
        let mut row = json!({
            "worker": worker.id.0,
            "cpu": worker.cpu,
            "state": if stalled { "stalled" } else { "running" },
            "heartbeat_ms": since_beat(now, counters.heartbeat()),
        });
        if let Value::Object(row) = &mut row {
            for work in Work::ALL {
                row.insert(work.name().replace('-', "_"), counters.work(work).into());
            }
            for class in PuntClass::ALL {
                row.insert(
                    format!("punts_{}", class.name()),
                    counters.punts(class).into(),
                );
            }
            let dropped: u64 = DropReason::ALL
                .iter()
                .map(|reason| counters.drops(*reason))
                .sum();
            row.insert("dropped".to_owned(), dropped.into());
        }
        row
    }))
}

/// Milliseconds since a worker's last beat. Its clock may be read a little after ours, so a beat ahead of now is
/// one that was just made.
fn since_beat(now: Tick, beat: Tick) -> u32 {
    let since = now.since(beat);
    if since > u32::MAX / 2 { 0 } else { since }
}

pub(super) fn drops(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let wanted = DropReason::ALL
        .iter()
        .filter(|reason| fits(&filter.reason, reason.name()));
    let counted = wanted.map(|reason| {
        (
            reason,
            state.sum(|counters: &Counters| counters.drops(*reason)),
        )
    });
    let listed =
        counted.filter(|(_, packets)| *packets > 0 || filter.all || filter.reason.is_some());
    rows.extend(listed.map(|(reason, packets)| {
        json!({ "reason": reason.name(), "packets": packets, "description": reason.description() })
    }))
}

pub(super) fn slow_path(state: &State, rows: &mut Rows<'_>) -> io::Result<()> {
    rows.extend(state.agent.iter().map(
        |(name, meaning, count)| json!({ "name": name, "count": count, "description": meaning }),
    ))
}

/// Switches and routers of this node, in the order of their names.
pub(super) fn pieces(tables: &Tables) -> Vec<&sluice_fastpath::tables::Piece> {
    let mut pieces: Vec<_> = tables
        .datapaths
        .iter()
        .flatten()
        .map(std::sync::Arc::as_ref)
        .collect();
    pieces.sort_by_key(|piece| {
        (
            matches!(piece.kind, PieceKind::Router(_)),
            piece.name.as_str(),
        )
    });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_ahead_of_now_is_a_fresh_one() {
        assert_eq!(since_beat(Tick(5), Tick(7)), 0);
        assert_eq!(since_beat(Tick(7), Tick(7)), 0);
        assert_eq!(since_beat(Tick(7), Tick(5)), 2);
        assert_eq!(since_beat(Tick(1), Tick(u32::MAX)), 2, "ticks wrap");
        assert_eq!(since_beat(Tick(u32::MAX), Tick(1)), 0, "ticks wrap");
    }
}
