//! The tables as people see them: which fields, under which headings.

use super::What;

/// A column: its heading and the field of the row.
pub type Column = (&'static str, &'static str);

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A line a row.
    Table(&'static [Column]),
    /// A line a field; for a single row.
    Record(&'static [Column]),
}

/// The layout of a table.
#[must_use]
pub const fn layout(what: What) -> Layout {
    match what {
        What::Version => Layout::Record(VERSION),
        What::Topology => Layout::Table(TOPOLOGY),
        What::Interfaces => Layout::Table(INTERFACES),
        What::Workers => Layout::Table(WORKERS),
        What::Switches => Layout::Table(SWITCHES),
        What::Ports => Layout::Table(PORTS),
        What::Fdb => Layout::Table(FDB),
        What::Routers => Layout::Table(ROUTERS),
        What::Routes => Layout::Table(ROUTES),
        What::Neighbors => Layout::Table(NEIGHBORS),
        What::Tunnels => Layout::Table(TUNNELS),
        What::Connections => Layout::Table(CONNECTIONS),
        What::Talkers => Layout::Table(TALKERS),
        What::Totals => Layout::Table(TOTALS),
        What::Nat => Layout::Table(NAT),
        What::Pools => Layout::Table(POOLS),
        What::Mappings => Layout::Table(MAPPINGS),
        What::Lb => Layout::Table(LB),
        What::Acl => Layout::Table(ACL),
        What::Drops => Layout::Table(DROPS),
        What::Fragments => Layout::Table(FRAGMENTS),
        What::Slowpath => Layout::Table(SLOWPATH),
    }
}

const VERSION: &[Column] = &[
    ("sluiced", "version"),
    ("protocol", "protocol"),
    ("pid", "pid"),
    ("chassis", "chassis"),
    ("configuration", "config"),
    ("topology", "topology"),
    ("topology digest", "digest"),
    ("generation", "generation"),
    ("uptime (s)", "uptime_seconds"),
    ("connections", "connections"),
    ("connections at most", "connections_capacity"),
    ("connections of IPv6", "connections_ipv6"),
    ("of IPv6 at most", "connections_ipv6_capacity"),
];
const TOPOLOGY: &[Column] = &[
    ("NOUN", "noun"),
    ("NAME", "name"),
    ("KEY", "key"),
    ("HERE", "here"),
    ("PORTS", "ports"),
    ("DETAIL", "detail"),
];
const INTERFACES: &[Column] = &[
    ("NAME", "name"),
    ("DRIVER", "driver"),
    ("MAC", "mac"),
    ("MTU", "mtu"),
    ("LINK", "link"),
    ("USE", "use"),
    ("RX", "rx_packets"),
    ("TX", "tx_packets"),
    ("RX BYTES", "rx_bytes"),
    ("TX BYTES", "tx_bytes"),
    ("MISSED", "rx_missed"),
    ("NO BUFFER", "rx_no_buffer"),
    ("RX ERRORS", "rx_errors"),
    ("TX ERRORS", "tx_errors"),
];
const WORKERS: &[Column] = &[
    ("WORKER", "worker"),
    ("CPU", "cpu"),
    ("STATE", "state"),
    ("BUSY LOOPS", "busy"),
    ("EMPTY", "empty"),
    ("SLEEPS", "sleep"),
    ("ESTABLISHED", "established"),
    ("WALKED", "walk"),
    ("FLOODED", "flood"),
    ("OPENED", "opened"),
    ("CLOSED", "closed"),
    ("HANDED OFF", "hand_off"),
    ("TX HANDED OFF", "tx_hand_off"),
    ("DROPPED", "dropped"),
];
const SWITCHES: &[Column] = &[
    ("NAME", "name"),
    ("KEY", "key"),
    ("PORTS", "ports"),
    ("LOCAL", "local_ports"),
    ("VLANS", "vlans"),
    ("STATIC MACS", "static_macs"),
    ("LEARNED", "learned_macs"),
    ("LIMIT", "mac_limit"),
    ("TRACKED", "tracked"),
];
const PORTS: &[Column] = &[
    ("DATAPATH", "datapath"),
    ("PORT", "name"),
    ("KEY", "key"),
    ("KIND", "kind"),
    ("WHERE", "place"),
    ("MAC", "macs"),
    ("ADDRESSES", "addresses"),
    ("ENABLED", "enabled"),
    ("RX", "rx_packets"),
    ("TX", "tx_packets"),
];
const FDB: &[Column] = &[
    ("SWITCH", "switch"),
    ("VLAN", "vlan"),
    ("MAC", "mac"),
    ("PORT", "port"),
    ("KIND", "kind"),
    ("AGE (s)", "age_seconds"),
    ("IDLE (s)", "idle_seconds"),
];
const ROUTERS: &[Column] = &[
    ("NAME", "name"),
    ("KEY", "key"),
    ("PORTS", "ports"),
    ("ROUTES", "routes"),
    ("NAT RULES", "nat"),
    ("GATEWAY PORTS", "gateways"),
    ("ENABLED", "enabled"),
    ("TRACKED", "tracked"),
];
const ROUTES: &[Column] = &[
    ("ROUTER", "router"),
    ("PREFIX", "prefix"),
    ("SOURCE", "source"),
    ("VIA", "via"),
    ("PORT", "ports"),
];
const NEIGHBORS: &[Column] = &[
    ("ROUTER", "router"),
    ("PORT", "port"),
    ("ADDRESS", "ip"),
    ("MAC", "mac"),
    ("STATE", "state"),
    ("AGE (s)", "age_seconds"),
    ("IDLE (s)", "idle_seconds"),
];
const TUNNELS: &[Column] = &[
    ("CHASSIS", "chassis"),
    ("KIND", "kind"),
    ("REMOTE", "remote"),
    ("UDP", "udp_port"),
    ("KEYS", "port_keys"),
    ("INNER MTU", "inner_mtu"),
    ("NEXT HOP", "next_hop"),
    ("MAC", "next_hop_mac"),
    ("STATE", "next_hop_state"),
];
const CONNECTIONS: &[Column] = &[
    ("PROTO", "proto"),
    ("STATE", "state"),
    ("ZONE", "zone"),
    ("SOURCE", "src"),
    ("DESTINATION", "dst"),
    ("ANSWER FROM", "reply_src"),
    ("ANSWER TO", "reply_dst"),
    ("NAT", "translation"),
    ("PACKETS", "packets"),
    ("ANSWERS", "reply_packets"),
    ("EXPIRES (s)", "expires_seconds"),
    ("WORKER", "worker"),
];
const TALKERS: &[Column] = &[
    ("SOURCE", "src"),
    ("ZONE", "zone"),
    ("CONNECTIONS", "connections"),
    ("HALF-OPEN", "half_open"),
    ("PACKETS", "packets"),
    ("BYTES", "bytes"),
];
const TOTALS: &[Column] = &[
    ("PROTO", "proto"),
    ("STATE", "state"),
    ("CONNECTIONS", "connections"),
    ("PACKETS", "packets"),
    ("BYTES", "bytes"),
];
const NAT: &[Column] = &[
    ("ROUTER", "router"),
    ("TYPE", "type"),
    ("LOGICAL", "logical_ip"),
    ("EXTERNAL", "external_ip"),
    ("OUT OF", "port"),
    ("DISTRIBUTED", "distributed"),
    ("CONNECTIONS", "connections"),
    ("NEW SO FAR", "hits"),
];
const POOLS: &[Column] = &[
    ("ROUTER", "router"),
    ("EXTERNAL", "external_ip"),
    ("PROTO", "proto"),
    ("PORTS", "ports"),
    ("USED", "used"),
    ("FREE", "free"),
    ("CONNECTIONS", "connections"),
    ("FULLEST TOWARDS", "fullest"),
    ("USED THERE", "fullest_used"),
    ("HELD DOWN", "held_down"),
];
const MAPPINGS: &[Column] = &[
    ("ROUTER", "router"),
    ("PROTO", "proto"),
    ("INSIDE", "inside"),
    ("OUTSIDE", "outside"),
    ("FILTERING", "filtering"),
    ("CONNECTIONS", "connections"),
    ("AGE", "age_seconds"),
];
const LB: &[Column] = &[
    ("LOAD BALANCER", "load_balancer"),
    ("AT", "at"),
    ("PROTO", "proto"),
    ("VIP", "vip"),
    ("BACKEND", "backend"),
    ("WEIGHT", "weight"),
    ("STATE", "state"),
    ("SINCE (s)", "since_seconds"),
    ("LAST FAILURE", "failure"),
    ("CONNECTIONS", "connections"),
    ("NEW SO FAR", "hits"),
];
const ACL: &[Column] = &[
    ("SWITCH", "switch"),
    ("DIRECTION", "direction"),
    ("TIER", "tier"),
    ("PRIORITY", "priority"),
    ("ACTION", "action"),
    ("MATCH", "match"),
    ("NAME", "name"),
    ("PORT GROUP", "port_group"),
    ("LOG", "log"),
    ("HITS", "hits"),
];
const FRAGMENTS: &[Column] = &[
    ("WORKER", "worker"),
    ("DATAGRAMS", "datagrams"),
    ("OF", "datagrams_most"),
    ("HELD", "held"),
    ("OF", "held_most"),
    ("BYTES", "memory"),
    ("FRAGMENTS", "fragments"),
    ("WAITED", "waited"),
    ("IN VAIN", "timeout"),
    ("OVERLAPPED", "overlap"),
    ("DISPLACED", "displaced"),
];
const DROPS: &[Column] = &[
    ("REASON", "reason"),
    ("PACKETS", "packets"),
    ("MEANING", "description"),
];
const SLOWPATH: &[Column] = &[
    ("NAME", "name"),
    ("COUNT", "count"),
    ("MEANING", "description"),
];
