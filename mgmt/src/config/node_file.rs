//! The node file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::host::Host;
use super::node::{
    Connections, Control, Dataplane, Fragments, Hugepages, Idle, Interface, Log, LogFormat,
    LogLevel, Node, Timeout, Underlay,
};
use super::section::{Findings, Section};
use super::values::Size;

const ROOT: &[&str] = &[
    "chassis",
    "topology",
    "dataplane",
    "timeouts",
    "connections",
    "fragments",
    "interface",
    "bridge_mappings",
    "underlay",
    "control",
    "log",
];
const DATAPLANE: &[&str] = &[
    "workers",
    "idle",
    "hugepages",
    "memory",
    "connections",
    "connections_ipv6",
    "neighbors",
    "fdb",
];
const TIMEOUTS: &[&str] = &[
    "tcp_syn_sent",
    "tcp_syn_received",
    "tcp_established",
    "tcp_fin_wait",
    "tcp_last_ack",
    "tcp_time_wait",
    "tcp_reset",
    "udp",
    "udp_unreplied",
    "icmp",
    "icmp_unreplied",
    "other",
    "other_unreplied",
];
const CONNECTIONS: &[&str] = &["per_source", "port_hold_down", "pick_up"];
const FRAGMENTS: &[&str] = &["datagrams", "held", "timeout"];
const INTERFACE: &[&str] = &["device", "mtu", "iface_id"];
const UNDERLAY: &[&str] = &["interface", "address", "gateway", "mtu", "vlan"];
const CONTROL: &[&str] = &["socket"];
const LOG: &[&str] = &["level", "format"];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[
    ROOT,
    DATAPLANE,
    TIMEOUTS,
    CONNECTIONS,
    FRAGMENTS,
    INTERFACE,
    UNDERLAY,
    CONTROL,
    LOG,
];

const DEFAULT_MTU: u16 = 1500;
const DEFAULT_CONNECTIONS: u32 = 1 << 20;
const DEFAULT_CONNECTIONS_IPV6: u32 = 1 << 18;
const DEFAULT_NEIGHBORS: u32 = 1 << 16;
const DEFAULT_FDB: u32 = 1 << 16;
/// Least MTU every IPv4 host takes a whole packet of (RFC 1122 3.3.2).
const LEAST_MTU: u64 = 576;
/// Largest jumbo frame in use, less its headers.
const LARGEST_MTU: u64 = 9216;
/// Table sizes are allocated at start; a wrong zero too many should not take all memory.
const LARGEST_TABLE: u64 = 1 << 27;
/// Longest idle time and hold-down, in seconds: a week, which the clock of the packet path can tell from less.
const LONGEST_TIME: u64 = 7 * 24 * 3600;

/// Datagrams under way in fragments; they take 400 bytes each.
const MOST_DATAGRAMS: u64 = 1 << 17;
/// Fragments that wait: half of the buffers that are not in use by devices and workers.
const MOST_HELD: u64 = 4096;
/// Seconds that the first fragment is waited for: RFC 6146 section 3.4, and what hosts do (RFC 8200 section 4.5).
const LEAST_REASSEMBLY: u64 = 2;
const LONGEST_REASSEMBLY: u64 = 60;

/// Reads a node file; `directory` is where it is. Without chassis or topology there is no node,
/// and errors have been noted.
pub(super) fn read<'d>(
    table: &'d DeTable<'d>,
    source: usize,
    directory: &Path,
    host: &Host,
    findings: &Findings<'d>,
) -> Option<Node> {
    let root = Section::root(table, source, ROOT, findings);
    root.require("chassis", "\"gw1\"");
    root.require("topology", "\"topology.toml\"");
    let chassis = root.value::<String>("chassis");
    let topology = root.value::<String>("topology");
    let dataplane = dataplane(root.table("dataplane", "[dataplane]", DATAPLANE), host);
    let timeouts = timeouts(root.table("timeouts", "[timeouts]", TIMEOUTS));
    let connections = connections(root.table("connections", "[connections]", CONNECTIONS));
    let fragments = fragments(root.table("fragments", "[fragments]", FRAGMENTS));
    let interfaces: BTreeMap<_, _> = root
        .named("interface", "an interface", INTERFACE)
        .filter_map(|(name, section)| Some((name.to_owned(), interface(section)?)))
        .collect();
    let mappings = root.map(
        "bridge_mappings",
        "[bridge_mappings]",
        |section, network| section.value(network),
    );
    let mappings = mappings
        .map(|(network, name)| (network.to_owned(), name))
        .collect();
    let underlay = root.table("underlay", "[underlay]", UNDERLAY);
    let underlay = underlay.and_then(|section| underlay_of(section, &interfaces));
    let socket = root.table("control", "[control]", CONTROL);
    let socket = socket.and_then(|section| section.value::<String>("socket"));
    let log = log(root.table("log", "[log]", LOG));
    let chassis = chassis?;
    Some(Node {
        topology: directory.join(topology?),
        control: Control {
            socket: socket.map_or_else(|| default_socket(&chassis), PathBuf::from),
        },
        chassis,
        dataplane,
        timeouts,
        connections,
        fragments,
        interfaces,
        bridge_mappings: mappings,
        underlay,
        log,
    })
}

fn default_socket(chassis: &str) -> PathBuf {
    PathBuf::from(format!("/run/sluice/{chassis}.sock"))
}

fn dataplane(section: Option<Section<'_, '_>>, host: &Host) -> Dataplane {
    let size = |key, default| {
        let number = section.and_then(|section| section.number(key, 1024..=LARGEST_TABLE));
        number.unwrap_or(default)
    };
    let workers = section.and_then(|section| workers(section, host));
    let idle = [("poll", Idle::Poll), ("adaptive", Idle::Adaptive)];
    let hugepages = [
        ("auto", Hugepages::Auto),
        ("on", Hugepages::On),
        ("off", Hugepages::Off),
    ];
    let memory = section.and_then(|section| section.value::<Size>("memory"));
    let idle = section.and_then(|section| section.choice("idle", &idle));
    let hugepages = section.and_then(|section| section.choice("hugepages", &hugepages));
    Dataplane {
        // The last CPU: the first ones serve interrupts and everybody else.
        workers: workers.unwrap_or_else(|| host.cpus.last().copied().into_iter().collect()),
        idle: idle.unwrap_or_default(),
        hugepages: hugepages.unwrap_or_default(),
        memory: memory.map(|size| size.0),
        connections: size("connections", DEFAULT_CONNECTIONS),
        connections_ipv6: size("connections_ipv6", DEFAULT_CONNECTIONS_IPV6),
        neighbors: size("neighbors", DEFAULT_NEIGHBORS),
        fdb: size("fdb", DEFAULT_FDB),
    }
}

fn timeouts(section: Option<Section<'_, '_>>) -> BTreeMap<Timeout, u32> {
    let written = |timeout: Timeout| {
        let seconds = section?.number(timeout.key(), 1..=LONGEST_TIME)?;
        Some((timeout, seconds))
    };
    Timeout::ALL.into_iter().filter_map(written).collect()
}

fn connections(section: Option<Section<'_, '_>>) -> Connections {
    let number = |key, most| section.and_then(|section| section.number(key, 0..=most));
    let default = Connections::default();
    Connections {
        per_source: number("per_source", LARGEST_TABLE).unwrap_or(default.per_source),
        port_hold_down: number("port_hold_down", LONGEST_TIME).unwrap_or(default.port_hold_down),
        pick_up: number("pick_up", LONGEST_TIME).unwrap_or(default.pick_up),
    }
}

fn fragments(section: Option<Section<'_, '_>>) -> Fragments {
    let number = |key, range| section.and_then(|section| section.number(key, range));
    let default = Fragments::default();
    Fragments {
        datagrams: number("datagrams", 64..=MOST_DATAGRAMS).unwrap_or(default.datagrams),
        held: number("held", 64..=MOST_HELD).unwrap_or(default.held),
        timeout: number("timeout", LEAST_REASSEMBLY..=LONGEST_REASSEMBLY)
            .unwrap_or(default.timeout),
    }
}

fn workers(section: Section<'_, '_>, host: &Host) -> Option<Vec<usize>> {
    let listed = section.numbers("workers", 0..=u64::from(u16::MAX))?;
    let mut workers: Vec<usize> = Vec::with_capacity(listed.len());
    let complain = |message: String, help: &str| {
        section.error(section.span_of("workers"), message, Some(help.to_owned()));
    };
    if listed.is_empty() && section.has("workers") {
        complain(
            "there is no worker".to_owned(),
            "list the CPU of each worker",
        );
    }
    for cpu in listed
        .into_iter()
        .filter_map(|cpu| usize::try_from(cpu).ok())
    {
        if !host.cpus.contains(&cpu) {
            let usable: Vec<_> = host.cpus.iter().map(usize::to_string).collect();
            let help = format!("CPUs we may use: {}", usable.join(", "));
            complain(format!("there is no CPU {cpu} for a worker"), &help);
        } else if workers.contains(&cpu) {
            complain(format!("CPU {cpu} has two workers"), "one worker a CPU");
        } else {
            workers.push(cpu);
        }
    }
    Some(workers)
}

fn interface(section: Section<'_, '_>) -> Option<Interface> {
    section.require("device", "\"0000:01:00.0\"");
    let mtu = section.number("mtu", LEAST_MTU..=LARGEST_MTU);
    let iface_id = section.value("iface_id");
    Some(Interface {
        device: section.value("device")?,
        mtu: mtu.unwrap_or(DEFAULT_MTU),
        iface_id,
    })
}

fn underlay_of(
    section: Section<'_, '_>,
    interfaces: &BTreeMap<String, Interface>,
) -> Option<Underlay> {
    section.require("interface", "\"eth0\"");
    section.require("address", "\"172.16.0.1/24\"");
    let interface = section.value::<String>("interface");
    let address = section.value("address");
    let gateway = section.value("gateway");
    let mtu = section.number("mtu", LEAST_MTU..=LARGEST_MTU);
    let vlan = section.number("vlan", 1..=4094);
    let interface = interface?;
    let device_mtu = interfaces
        .get(&interface)
        .map_or(DEFAULT_MTU, |device| device.mtu);
    Some(Underlay {
        interface,
        address: address?,
        gateway,
        mtu: mtu.unwrap_or(device_mtu),
        vlan,
    })
}

fn log(section: Option<Section<'_, '_>>) -> Log {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let level = section.and_then(|section| section.choice("level", &levels));
    let format = section.and_then(|section| section.choice("format", &formats));
    Log {
        level: level.unwrap_or_default(),
        format: format.unwrap_or_default(),
    }
}
