//! All counters as text that Prometheus reads (text exposition format 0.0.4).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashSet;
use sluice_fastpath::counters::Work;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::{Backend, Vip};
use sluice_fastpath::verdict::{DropReason, PuntClass};

use crate::runtime::{State, limits};
use crate::show::device_traffic;
use crate::show::query::protocol_name;

/// The text.
#[must_use]
pub fn render(state: &State) -> String {
    let mut text = Text::default();
    node(state, &mut text);
    workers(state, &mut text);
    fragments(state, &mut text);
    interfaces(state, &mut text);
    backends(state, &mut text);
    text.family(
        "sluice_slowpath_total",
        "counter",
        "What the slow path did.",
    );
    for (name, _, count) in state.agent.iter() {
        text.sample(&[("event", name)], count);
    }
    text.out
}

fn node(state: &State, text: &mut Text) {
    let tables = state.tables.current();
    text.family("sluice_info", "gauge", "Version and chassis.");
    text.sample(
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("chassis", &state.chassis),
        ],
        1,
    );
    let gauges = [
        (
            "sluice_uptime_seconds",
            "Seconds since the start.",
            state.uptime().as_secs(),
        ),
        (
            "sluice_generation",
            "Generation of the compiled tables.",
            tables.generation,
        ),
        (
            "sluice_connections",
            "Connections of IPv4 open.",
            state.connections.of::<u32>().len() as u64,
        ),
        (
            "sluice_connections_capacity",
            "Connections of IPv4 at most.",
            state.connections.of::<u32>().capacity() as u64,
        ),
        (
            "sluice_connections_ipv6",
            "Connections of IPv6 open.",
            state.connections.of::<u128>().len() as u64,
        ),
        (
            "sluice_connections_ipv6_capacity",
            "Connections of IPv6 at most.",
            state.connections.of::<u128>().capacity() as u64,
        ),
        (
            "sluice_neighbors",
            "Neighbors held.",
            state.learned.neighbors.iter().count() as u64,
        ),
        (
            "sluice_learned_macs",
            "MACs learned.",
            state.learned.fdb.iter().count() as u64,
        ),
    ];
    for (name, help, value) in gauges {
        text.family(name, "gauge", help);
        text.sample(&[], value);
    }
}

fn workers(state: &State, text: &mut Text) {
    text.family(
        "sluice_drops_total",
        "counter",
        "Packets dropped, by reason.",
    );
    for reason in DropReason::ALL {
        text.sample(
            &[("reason", reason.name())],
            state.sum(|counters| counters.drops(*reason)),
        );
    }
    text.family(
        "sluice_punts_total",
        "counter",
        "Frames given to the slow path, by class.",
    );
    for class in PuntClass::ALL {
        text.sample(
            &[("class", class.name())],
            state.sum(|counters| counters.punts(class)),
        );
    }
    text.family(
        "sluice_worker_events_total",
        "counter",
        "Events of each worker's loop.",
    );
    for worker in &state.workers {
        let id = worker.id.0.to_string();
        for work in Work::ALL {
            text.sample(
                &[("worker", &id), ("event", work.name())],
                worker.counters.work(work),
            );
        }
    }
    text.family(
        "sluice_worker_stalled",
        "gauge",
        "1 when the worker has not polled for over a second.",
    );
    for worker in &state.workers {
        let stalled = worker.stalled.load(Ordering::Acquire);
        text.sample(&[("worker", &worker.id.0.to_string())], stalled.into());
    }
}

/// Fragments under way, and the bounds of their memory.
fn fragments(state: &State, text: &mut Text) {
    let limits = limits::fragments(&state.configuration().node);
    let gauges = [
        (
            "sluice_fragment_datagrams",
            "Datagrams of which fragments are under way.",
        ),
        (
            "sluice_fragment_datagrams_capacity",
            "Datagrams of which fragments are under way, at most.",
        ),
        (
            "sluice_fragments_held",
            "Fragments that wait for the first of their datagram.",
        ),
        (
            "sluice_fragments_held_capacity",
            "Fragments that wait for the first of their datagram, at most.",
        ),
        (
            "sluice_fragment_memory_bytes",
            "Memory of the table of fragments at most, buffers of held ones not counted.",
        ),
    ];
    for (at, (name, help)) in gauges.into_iter().enumerate() {
        text.family(name, "gauge", help);
        for worker in &state.workers {
            let (datagrams, held) = worker.counters.fragments();
            let values = [
                datagrams.into(),
                limits.datagrams.into(),
                held.into(),
                limits.held.into(),
                limits.memory(),
            ];
            text.sample(&[("worker", &worker.id.0.to_string())], values[at]);
        }
    }
}

fn interfaces(state: &State, text: &mut Text) {
    let configuration = state.configuration();
    let status = state.interfaces.status();
    let names: Vec<(&String, DeviceId)> = configuration
        .node
        .interfaces
        .keys()
        .zip((0..).map(DeviceId))
        .collect();
    text.family(
        "sluice_interface_packets_total",
        "counter",
        "Frames of each interface.",
    );
    for (name, id) in &names {
        let (rx, tx) = device_traffic(state, *id);
        text.sample(&[("interface", name), ("direction", "rx")], rx.packets);
        text.sample(&[("interface", name), ("direction", "tx")], tx.packets);
    }
    text.family(
        "sluice_interface_bytes_total",
        "counter",
        "Bytes of each interface.",
    );
    for (name, id) in &names {
        let (rx, tx) = device_traffic(state, *id);
        text.sample(&[("interface", name), ("direction", "rx")], rx.bytes);
        text.sample(&[("interface", name), ("direction", "tx")], tx.bytes);
    }
    text.family(
        "sluice_interface_lost_total",
        "counter",
        "Packets lost at each interface, by cause.",
    );
    for ((name, _), now) in names.iter().zip(&status) {
        let causes = [
            ("rx-missed", now.rx_missed),
            ("rx-error", now.rx_errors),
            ("rx-no-buffer", now.rx_no_buffer),
            ("rx-unjoined", now.rx_unjoined),
            ("tx-error", now.tx_errors),
        ];
        for (cause, count) in causes {
            text.sample(&[("interface", name), ("cause", cause)], count);
        }
    }
    text.family("sluice_interface_up", "gauge", "1 when packets can pass.");
    for ((name, _), now) in names.iter().zip(&status) {
        text.sample(&[("interface", name)], now.up.into());
    }
}

fn backends(state: &State, text: &mut Text) {
    let tables = state.tables.current();
    let mut seen = HashSet::new();
    let pieces = tables.datapaths.iter().flatten();
    let vips: Vec<&Arc<Vip>> = pieces
        .flat_map(|piece| piece.balancers().vips())
        .filter(|vip| seen.insert(Arc::as_ptr(vip)))
        .collect();
    let mut family = |name, kind, help, value: fn(&Vip, &Backend) -> Option<u64>| {
        text.family(name, kind, help);
        for vip in &vips {
            for backend in &vip.backends {
                let Some(value) = value(vip, backend) else {
                    continue;
                };
                let service = address(vip.service.ip, vip.service.port.map(|(_, port)| port));
                let proto = vip
                    .service
                    .port
                    .map_or("any".to_owned(), |(proto, _)| protocol_name(proto));
                let labels = [
                    ("load_balancer", vip.balancer.as_str()),
                    ("protocol", &proto),
                    ("vip", &service),
                    ("backend", &address(backend.ip, backend.port)),
                ];
                text.sample(&labels, value);
            }
        }
    };
    family(
        "sluice_lb_backend_up",
        "gauge",
        "1 when health checks find a backend online, or have not judged it yet.",
        |vip, backend| {
            let checked = vip.check.is_some() && backend.mapping.is_some();
            checked.then(|| backend.liveness.get().health.serves().into())
        },
    );
    family(
        "sluice_lb_backend_connections_total",
        "counter",
        "New connections given to a backend.",
        |_, backend| Some(backend.hits.get()),
    );
}

fn address(ip: impl Into<IpAddr>, port: Option<u16>) -> String {
    let ip = ip.into();
    match port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    }
}

/// The text under construction.
#[derive(Default)]
struct Text {
    out: String,
    name: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // A String takes everything.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: u64) {
        let quote = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", quote(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.out, "{}{labels} {value}", self.name);
    }
}
