//! Cached ways for packets that no connection is made for.
//!
//! A bridged packet goes where the last one between the same MACs went. A routed one is looked up in the
//! router's routes, then goes where the last one by the same next hop went; so the number of routes and
//! destinations does not matter, only that of next hops (and of hosts on the link). Nothing is decided here that the
//! walk does not decide: every memo is the way of a packet that walked, and what depends on the packet itself (its
//! addresses, port security, TTL, length, the route) is checked for each.

use std::net::{IpAddr, Ipv4Addr};

use sluice_net::{Mac, flow_hash_v4};

use super::Worker;
use super::express::Candidate;
use crate::counters::Work;
use crate::glance::Glance;
use crate::ids::{DatapathId, PathId, PortId};
use crate::io::{FramePool, Ports};
use crate::path::FdbUse;
use crate::pipeline::Outcome;
use crate::stage::enter::{Entered, Entry};
use crate::stage::{admission, route};
use crate::tables::{Peer, SwitchPort, Tables};
use crate::trace::{Event, Recorder};
use crate::verdict::Verdict;

/// Sets of each memo, a power of two, and memos a set.
const SETS: usize = 2048;
const WAYS: usize = 4;

/// The part of a walk that tells what its way depends on.
#[derive(Debug, Default)]
pub(super) struct Landmarks {
    router: Option<PortId>,
    routers: u8,
}

impl Recorder for Landmarks {
    fn record(&mut self, event: Event) {
        match event {
            Event::RouterIngress { port } => {
                self.router.get_or_insert(port);
                self.routers = self.routers.saturating_add(1);
            }
            Event::RouterEgress { .. } => self.routers = u8::MAX,
            _ => {}
        }
    }
}

/// How packets come in: entry and MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LaneKey {
    entry: Entry,
    macs: (Mac, Mac),
}

/// What becomes of them.
#[derive(Clone, Copy, Debug)]
enum Lane {
    /// They are bridged along this way.
    Bridged(PathId),
    /// They enter a router by this port; the FDB slot of their source is in use.
    Routed { port: PortId, source: Option<u32> },
}

/// Where a router sends packets: in by a port, out by one hop of a group, to a host when that is on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HopKey {
    router: DatapathId,
    in_port: PortId,
    group: u32,
    hop: u32,
    host: u32,
}

#[derive(Clone, Copy, Debug)]
struct Memo<K, V> {
    key: K,
    value: V,
    generation: u64,
    changes: u64,
}

/// Memos that share a place.
type Set<K, V> = [Option<Memo<K, V>>; WAYS];

/// A set-associative memory of fixed size.
#[derive(Debug)]
struct Memory<K, V> {
    sets: Box<[Set<K, V>]>,
    turn: usize,
}

impl<K: Copy + Eq, V: Copy> Memory<K, V> {
    fn new() -> Self {
        Memory {
            sets: vec![[None; WAYS]; SETS].into(),
            turn: 0,
        }
    }

    #[inline]
    fn get(&self, hash: u64, key: &K) -> Option<&Memo<K, V>> {
        let set = self.sets.get(hash as usize % SETS)?;
        set.iter().flatten().find(|memo| memo.key == *key)
    }

    /// Puts a memo in; returns the one that had to go.
    fn put(&mut self, hash: u64, memo: Memo<K, V>) -> Option<Memo<K, V>> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn % WAYS;
        let set = self.sets.get_mut(hash as usize % SETS)?;
        let same = |slot: &Option<Memo<K, V>>| slot.is_none_or(|old| old.key == memo.key);
        let at = set.iter().position(same).unwrap_or(turn);
        set.get_mut(at)?.replace(memo)
    }
}

/// All memos of a worker.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Memory<LaneKey, Lane>,
    hops: Memory<HopKey, PathId>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Lanes {
            lanes: Memory::new(),
            hops: Memory::new(),
        }
    }
}

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd6e8_feb8_6659_fd93);
    (product >> 64) as u64 ^ product as u64
}

impl LaneKey {
    #[inline]
    fn hash(&self) -> u64 {
        let (entry, tunnel) = match self.entry {
            Entry::Port(port) | Entry::Owner(port) => (u64::from(port.0), 0),
            Entry::Keyless { tunnel, switch } => (u64::from(switch.0), tunnel.0),
            // All chassis send one router's packets with the same keys and MACs.
            Entry::Keyed {
                tunnel,
                datapath,
                in_key,
                out_key,
            } => {
                let keys = u64::from(in_key) << 16 | u64::from(out_key);
                (u64::from(datapath.0) << 32 | keys, tunnel.0)
            }
            Entry::Originated(router) => (u64::from(router.0), 0),
        };
        let macs = (self.macs.0.to_u64(), self.macs.1.to_u64());
        mix(macs.0 ^ entry << 17, macs.1 ^ u64::from(tunnel) << 40)
    }
}

impl HopKey {
    #[inline]
    fn hash(&self) -> u64 {
        let place = u64::from(self.router.0) << 32 | u64::from(self.in_port.0);
        mix(
            place ^ u64::from(self.host) << 8,
            u64::from(self.group) << 16 | u64::from(self.hop),
        )
    }
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Sends a packet without a connection along a cached way; gives it back when it must walk.
    #[inline]
    pub(super) fn lane(&mut self, frame: P::Frame, candidate: &Candidate) -> Option<P::Frame> {
        let Some(path) = self.lane_path(candidate) else {
            return Some(frame);
        };
        let tables = self.tables.tables();
        let fresh = self
            .paths
            .fresh(path, tables, &self.learned, self.changes, self.now);
        let Some(way) = fresh else { return Some(frame) };
        let glance = &candidate.glance;
        if !way.carries(glance.ttl, glance.total_len) {
            return Some(frame);
        }
        let Some(eth_dst) = way.destination(&self.learned) else {
            return Some(frame);
        };
        let macs = (eth_dst, way.eth_src);
        let (ttl, egress) = (glance.ttl - way.ttl_steps, way.egress);
        self.counters.count(Work::Lane, 1);
        self.depart(frame, candidate, macs, ttl, &glance.rewrite(), egress);
        None
    }

    #[inline]
    fn lane_path(&self, candidate: &Candidate) -> Option<PathId> {
        let glance = &candidate.glance;
        let key = LaneKey {
            entry: candidate.entry,
            macs: glance.macs,
        };
        let memo = self.lanes.lanes.get(key.hash(), &key)?;
        let tables = self.tables.tables();
        if memo.generation != tables.generation || memo.changes != self.changes {
            return None;
        }
        let src = IpAddr::V4(Ipv4Addr::from_bits(glance.src));
        if let Entry::Port(port) = candidate.entry
            && !allowed(tables, port, glance.macs.1, src)
        {
            return None;
        }
        match memo.value {
            Lane::Bridged(path) => Some(path),
            Lane::Routed { port, source } => {
                if let Some(slot) = source {
                    self.learned.fdb.mark_used(slot, self.now);
                }
                let hop = hop_key(tables, port, glance)?;
                let memo = self.lanes.hops.get(hop.hash(), &hop)?;
                Some(memo.value)
            }
        }
    }

    /// Remembers the way of a packet that walked without a connection.
    pub(super) fn remember(&mut self, entered: &Entered, outcome: &Outcome, landmarks: &Landmarks) {
        let cacheable = matches!(outcome.verdict, Verdict::Transmit(_))
            && outcome.proposal.is_none()
            && outcome.sightings.is_empty()
            && outcome.quoted.is_none();
        let Some(glance) = cacheable.then(|| Glance::of(&entered.headers)).flatten() else {
            return;
        };
        let tables = self.tables.tables();
        let (generation, changes) = (tables.generation, self.changes);
        let key = LaneKey {
            entry: entered.entry,
            macs: glance.macs,
        };
        let hop = match landmarks {
            Landmarks {
                router: None,
                routers: 0,
            } => None,
            Landmarks {
                router: Some(port),
                routers: 1,
            } => match hop_key(tables, *port, &glance) {
                Some(hop) => Some((*port, hop)),
                None => return,
            },
            _ => return,
        };
        let Some(mut way) = outcome.way(entered) else {
            return;
        };
        let of_source = |fdb: &FdbUse| fdb.mac == glance.macs.1;
        let source = way
            .deps
            .fdb
            .iter()
            .find(|fdb| of_source(fdb))
            .map(|fdb| fdb.slot);
        if hop.is_some() {
            // The way from the router on is everyone's; the MAC of who came first is not.
            way.deps.fdb.retain(|fdb| !of_source(fdb));
        }
        let Some(path) = self.paths.take(way, generation, changes, self.now) else {
            return;
        };
        let gone = match hop {
            None => {
                let memo = Memo {
                    key,
                    value: Lane::Bridged(path),
                    generation,
                    changes,
                };
                self.lanes
                    .lanes
                    .put(key.hash(), memo)
                    .and_then(|old| match old.value {
                        Lane::Bridged(path) => Some(path),
                        Lane::Routed { .. } => None,
                    })
            }
            Some((port, hop)) => {
                let memo = Memo {
                    key: hop,
                    value: path,
                    generation,
                    changes,
                };
                let gone = self.lanes.hops.put(hop.hash(), memo).map(|old| old.value);
                let memo = Memo {
                    key,
                    value: Lane::Routed { port, source },
                    generation,
                    changes,
                };
                if let Some(Memo {
                    value: Lane::Bridged(path),
                    ..
                }) = self.lanes.lanes.put(key.hash(), memo)
                {
                    self.paths.release(path);
                }
                gone
            }
        };
        if let Some(path) = gone {
            self.paths.release(path);
        }
    }
}

/// Port security, which depends on each packet's source address; the MAC's rule was found by the walk.
#[inline]
fn allowed(tables: &Tables, port: PortId, mac: Mac, src: IpAddr) -> bool {
    let port: Option<&SwitchPort> = tables.switch_port(port).map(|(_, _, port)| port);
    match port.map(|port| &port.security) {
        None => false,
        Some(None) => true,
        Some(Some(security)) => security.rule(mac).is_some_and(|rule| rule.allows(src)),
    }
}

/// The next hop of a packet that a router takes in by `port`; `None` when the packet is not simply routed.
#[inline]
fn hop_key(tables: &Tables, port: PortId, glance: &Glance) -> Option<HopKey> {
    let (piece, router, in_port) = tables.router_port(port)?;
    let src = IpAddr::V4(Ipv4Addr::from_bits(glance.src));
    let dst = IpAddr::V4(Ipv4Addr::from_bits(glance.dst));
    if !admission::ordinary(router, in_port, src, dst) {
        return None;
    }
    let ports = (glance.src_port, glance.dst_port);
    let hash = || flow_hash_v4(glance.src, glance.dst, glance.proto, ports);
    let (group, hop, next) = route::select(router, src, dst, hash)?;
    // Out of which port is in the group; a port attached to nothing has no way.
    let out = router.ports.get(usize::from(next.port))?;
    if matches!(out.peer, Peer::None) {
        return None;
    }
    let host = if next.via.is_some() { 0 } else { glance.dst };
    Some(HopKey {
        router: piece.id,
        in_port: port,
        group,
        hop,
        host,
    })
}
