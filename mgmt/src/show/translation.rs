//! NAT rules, how much they are used, and the ports that are left.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hashbrown::HashMap;
use serde_json::{Value, json};
use sluice_fastpath::connections::{Connection, FlowKey};
use sluice_fastpath::ids::Zone;
use sluice_fastpath::tables::{Dnat, DnatKind, Piece, PieceKind, Router, Snat, SnatKind, Tables};
use sluice_net::wire::ip_proto;

use super::node::pieces;
use super::query::{Filter, fits, protocol_name};
use super::rows::Rows;
use super::selection::SCAN;
use crate::runtime::State;

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
    for (piece, router) in routers(&tables, filter) {
        rules.extend(rules_of(piece, router));
    }
    let mut by_external: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for (index, used) in rules.iter().enumerate() {
        by_external.entry(used.external()).or_default().push(index);
    }
    let mut next = (!rules.is_empty()).then_some(0);
    while let Some(from) = next {
        next = state.connections.scan(from, SCAN, |connection| {
            if connection.is_apart() {
                return;
            }
            let (original, reply) = (&connection.original, &connection.reply);
            let outside = [
                Some(original.dst),
                Some(reply.dst).filter(|ip| *ip != original.dst),
            ];
            for external in outside.into_iter().flatten() {
                for index in by_external.get(&external).into_iter().flatten() {
                    if let Some(used) = rules.get_mut(*index)
                        && used.translates(original, reply)
                    {
                        used.connections += 1;
                    }
                }
            }
        });
    }
    rows.extend(rules.iter().map(|used| used.row()))
}

fn routers<'t>(
    tables: &'t Tables,
    filter: &Filter,
) -> impl Iterator<Item = (&'t Piece, &'t Router)> {
    pieces(tables).into_iter().filter_map(|piece| {
        let PieceKind::Router(router) = &piece.kind else {
            return None;
        };
        fits(&filter.router, piece.name.as_str()).then_some((piece, router))
    })
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
    fn external(&self) -> IpAddr {
        let source = self.snat.map(|rule| rule.external);
        let destination = self.dnat.map(|rule| rule.external);
        source
            .or(destination)
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

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
        let hits = self.snat.map(|rule| &rule.hits);
        let hits = hits.or(self.dnat.map(|rule| &rule.hits));
        let host = single(&logical).filter(|_| self.snat.is_some_and(Snat::is_of_host));
        let port = port.and_then(|port| router.ports.get(usize::from(port)));
        json!({
            "router": piece.name,
            "type": kind,
            "logical_ip": host.unwrap_or(logical),
            "external_ip": external,
            "port": port.map(|port| port.name.as_str()),
            "stateless": stateless,
            "distributed": router.distributed.outside(external).map(|one| one.mac.to_string()),
            "connections": self.connections,
            "hits": hits.map_or(0, |hits| hits.get()),
        })
    }
}

/// The ports of one address outside that rules of type snat share.
struct Pool<'t> {
    router: &'t Piece,
    external: IpAddr,
    /// Where answers to it arrive.
    zones: Vec<Zone>,
    /// Ports that rules choose from; empty is all.
    ranges: Vec<(u16, u16)>,
    /// By protocol.
    used: BTreeMap<u8, Usage>,
}

/// What one protocol uses of a pool.
#[derive(Default)]
struct Usage {
    /// A bit for each port, set when some connection has it.
    ports: Vec<u64>,
    connections: u64,
    /// Ports in use towards one place: one port serves many connections as long as they go to different places.
    towards: HashMap<(IpAddr, u16), u32>,
}

/// Words of 64 ports.
const WORDS: usize = 1 << 10;

impl Usage {
    fn take(&mut self, port: u16) {
        self.ports.resize(WORDS, 0);
        let port = usize::from(port);
        if let Some(word) = self.ports.get_mut(port / 64) {
            *word |= 1 << (port % 64);
        }
    }

    fn add(&mut self, reply: &FlowKey) {
        self.take(reply.dst_port);
        self.connections += 1;
        *self.towards.entry((reply.src, reply.src_port)).or_default() += 1;
    }

    fn ports(&self) -> u32 {
        self.ports.iter().map(|word| word.count_ones()).sum()
    }

    /// Where most ports are in use, and how many.
    fn fullest(&self) -> Option<((IpAddr, u16), u32)> {
        let all = self.towards.iter().map(|(at, count)| (*at, *count));
        all.max_by_key(|(at, count)| (*count, std::cmp::Reverse(*at)))
    }
}

pub(super) fn pools(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let mut pools: Vec<Pool<'_>> = Vec::new();
    for (piece, router) in routers(&tables, filter) {
        pools_of(&tables, piece, router, &mut pools);
    }
    let mut by_external: HashMap<IpAddr, Vec<usize>> = HashMap::new();
    for (index, pool) in pools.iter().enumerate() {
        by_external.entry(pool.external).or_default().push(index);
    }
    let mut next = (!pools.is_empty()).then_some(0);
    while let Some(from) = next {
        next = state
            .connections
            .scan(from, SCAN, |connection: Connection| {
                let reply = &connection.reply;
                let mapping = connection.mapping();
                let zone = mapping.map_or(reply.zone, |mapping| mapping.zone);
                let found = by_external.get(&reply.dst).into_iter().flatten();
                let mut found = found.copied();
                let pool = found.find(|index| {
                    pools
                        .get(*index)
                        .is_some_and(|pool| pool.zones.contains(&zone))
                });
                if let Some(pool) = pool.and_then(|index| pools.get_mut(index))
                    && connection.is_snat()
                {
                    let usage = pool.used.entry(reply.proto).or_default();
                    match mapping {
                        Some(mapping) => usage.take(mapping.outside.1),
                        None => usage.add(reply),
                    }
                }
            });
    }
    rows.extend(pools.iter().flat_map(Pool::rows))?;
    let held = state.connections.held_down(state.now());
    // Whose they were is not kept.
    rows.extend((held > 0).then(|| {
        json!({
            "router": "all", "external_ip": null, "proto": null, "ports": null, "used": null, "free": null,
            "connections": null, "fullest": null, "fullest_used": null, "held_down": held,
        })
    }))
}

/// One for each address that rules of type snat give.
fn pools_of<'t>(tables: &Tables, piece: &'t Piece, router: &Router, pools: &mut Vec<Pool<'t>>) {
    let first = pools.len();
    for rule in router.nat.snat() {
        if rule.kind != SnatKind::Snat {
            continue;
        }
        let own = pools.iter().skip(first);
        let known = own
            .into_iter()
            .position(|pool| pool.external == rule.external);
        let index = known.map_or(pools.len(), |at| first + at);
        if known.is_none() {
            let ports = router.ports.iter();
            let outside = ports.map(|port| tables.outside_zone(piece, port));
            pools.push(Pool {
                router: piece,
                external: rule.external,
                zones: outside.chain([piece.zone()]).collect(),
                ranges: rule.range().into_iter().collect(),
                used: [ip_proto::TCP, ip_proto::UDP]
                    .map(|proto| (proto, Usage::default()))
                    .into(),
            });
        } else if let Some(pool) = pools.get_mut(index) {
            match rule.range() {
                Some(range) if !pool.ranges.is_empty() => pool.ranges.push(range),
                _ => pool.ranges.clear(),
            }
        }
    }
}

impl Pool<'_> {
    /// How many ports there are. Echo identifiers begin at 0, ports at 1.
    fn size(&self, proto: u8) -> u32 {
        if self.ranges.is_empty() {
            let echo = matches!(proto, ip_proto::ICMP | ip_proto::ICMPV6);
            return u32::from(u16::MAX) + u32::from(echo);
        }
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable();
        let (mut size, mut from) = (0, 0);
        for (first, last) in ranges {
            let (first, end) = (u32::from(first).max(from), u32::from(last) + 1);
            size += end.saturating_sub(first);
            from = from.max(end);
        }
        size
    }

    fn rows(&self) -> impl Iterator<Item = Value> {
        self.used.iter().map(|(proto, usage)| {
            let (size, used) = (self.size(*proto), usage.ports());
            let fullest = usage.fullest();
            json!({
                "router": self.router.name,
                "external_ip": self.external,
                "proto": protocol_name(*proto),
                "ports": size,
                "used": used,
                "free": size.saturating_sub(used),
                "connections": usage.connections,
                "fullest": fullest.map(|((ip, port), _)| SocketAddr::new(ip, port).to_string()),
                "fullest_used": fullest.map(|(_, count)| count),
                "held_down": Value::Null,
            })
        })
    }
}
