//! Cached ways for packets that no connection is made for.
//!
//! ```text
//!  source   by entry and source MAC: may it send? is it still where it was?     (only where that matters)
//!  target   by entry and destination MAC: a way, or a router port
//!  hop      by router port and next hop (or host on the link): a way            (after the router's routes)
//! ```
//! A bridged packet goes where the last one to the same MAC went. A routed one is looked up in the router's routes,
//! then goes where the last one by the same next hop went; so the number of routes and destinations does not
//! matter, only that of next hops (and of hosts on the link). Nothing is decided here that the walk does not decide: every
//! memo is of a packet that walked, and what depends on the packet itself (its addresses, port security, TTL,
//! length, the route) is checked for each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use super::Worker;
use super::door::Door;
use super::express::{Kind, Seen, moment};
use super::memory::{Edition, Key, Memory, mix};
use crate::glance::{Addresses, Glance};
use crate::ids::{PathId, PortId, Tick};
use crate::io::{BURST, FramePool, Ports};
use crate::learned::Learned;
use crate::path::{FdbUse, Gate, MARK, Moment};
use crate::pipeline::Outcome;
use crate::stage::enter::{Entered, Entry};
use crate::stage::{route, steer};
use crate::tables::{GroupKind, NextHop, Router, RouterPort, SwitchPort, Tables};
use crate::trace::{Event, Recorder};
use crate::verdict::Verdict;

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

/// A MAC at an entry, as two words: the MAC, and the gate with the number of the port that the source tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MacKey(u64, u64);

impl MacKey {
    #[inline]
    fn new(gate: Gate, port: u16, mac: u64) -> MacKey {
        MacKey(mac, u64::from(gate.0) << 16 | u64::from(port))
    }
}

/// A next hop: router port that the packet came in by and group; hop, and the IPv4 host when that is on the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HopKey(u64, u64);

impl HopKey {
    #[inline]
    fn new(in_port: PortId, group: u32, hop: u32, host: u32) -> HopKey {
        let place = u64::from(in_port.0) << 32 | u64::from(group);
        HopKey(place, u64::from(hop) << 32 | u64::from(host))
    }
}

/// An IPv6 host on a link: how a router sends to the link, and the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HostKey(HopKey, (u64, u64));

/// One of both.
enum Hop {
    Shared(HopKey),
    Host(HostKey),
}

impl Key for MacKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0, self.1)
    }
}

impl Key for HopKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0, self.1)
    }
}

impl Key for HostKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0.hash() ^ self.1.0, self.1.1)
    }
}

/// Which addresses a source MAC may use.
#[derive(Clone, Copy, Debug, Default)]
enum Rule {
    /// All.
    #[default]
    Any,
    /// This IPv4 address.
    Only(u32),
    /// The port's rules tell.
    Listed(PortId),
}

/// A source MAC that may send.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    rule: Rule,
    /// Where it was learned, if it was.
    fdb: Option<FdbUse>,
    /// Count of learned changes when it was last there.
    changes: u64,
    /// When its entry was last marked as used.
    marked: Tick,
    /// The port that the sender is behind, where all senders share an entry.
    port: u16,
}

/// What becomes of packets to a MAC.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// They go this way.
    Bridged(PathId),
    /// They enter a router by this port.
    Routed(PortId),
}

impl Default for Target {
    fn default() -> Target {
        Target::Bridged(PathId::NONE)
    }
}

/// All memos of a worker.
#[derive(Debug)]
pub(super) struct Lanes {
    sources: Memory<MacKey, Source>,
    targets: Memory<MacKey, Target>,
    hops: Memory<HopKey, PathId>,
    hosts: Memory<HostKey, PathId>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Lanes {
            sources: Memory::new(),
            targets: Memory::new(),
            hops: Memory::new(),
            hosts: Memory::new(),
        }
    }

    /// May this packet's source send it? The number of the port it is behind, where that matters.
    #[inline]
    fn source(&mut self, glance: &Glance, door: &Door, now: &Now<'_>) -> Option<u16> {
        if !door.minds_source {
            return (glance.macs.src() & 1 == 0).then_some(0);
        }
        let key = MacKey::new(door.gate, 0, glance.macs.src());
        let source = self.sources.get_mut(&key, now.edition)?;
        if let Some(fdb) = &source.fdb {
            let table = &now.learned.fdb;
            if source.changes != now.changes {
                if !table.slot_matches(fdb.slot, fdb.domain, fdb.mac, fdb.port) {
                    return None;
                }
                source.changes = now.changes;
            }
            if now.tick.since(source.marked) >= MARK {
                source.marked = now.tick;
                table.mark_used(fdb.slot, now.tick);
            }
        }
        let may = match (source.rule, glance.addresses) {
            (Rule::Any, _) => true,
            (Rule::Only(only), Addresses::V4(both)) => both.src() == only,
            (Rule::Only(_), Addresses::V6(..)) => false,
            (Rule::Listed(port), _) => allows(now.tables, port, glance),
        };
        may.then_some(source.port)
    }
}

/// What memos are judged by.
struct Now<'a> {
    tables: &'a Tables,
    learned: &'a Learned,
    changes: u64,
    edition: Edition,
    tick: Tick,
}

/// Cached ways by place in the burst.
type Ways = [PathId; BURST];

/// Where packets that enter a router by the same port go next, one after the other.
struct Run<'a> {
    router: &'a Router,
    id: PortId,
    port: &'a RouterPort,
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Finds the cached ways of the packets of a burst that go by lane; [`PathId::NONE`] for those that must walk.
    /// They are looked up together, so that their cache misses overlap.
    pub(super) fn lanes(&mut self, kinds: &[Kind], seen: &[Seen; BURST], ways: &mut Ways) {
        let now = Now {
            tables: self.tables.tables(),
            learned: &self.learned,
            changes: self.changes,
            edition: self.edition,
            tick: self.now,
        };
        let mut routed: ArrayVec<(usize, PortId), BURST> = ArrayVec::new();
        // Packets in a row often go to one router.
        let mut last = (MacKey::default(), None);
        let burst = kinds.iter().zip(seen).zip(ways.iter_mut());
        for (at, ((kind, seen), way)) in burst.enumerate() {
            if *kind != Kind::Lane {
                continue;
            }
            *way = PathId::NONE;
            let glance = &seen.glance;
            let Some(port) = self.lanes.source(glance, &seen.door, &now) else {
                continue;
            };
            let key = MacKey::new(seen.door.gate, port, glance.macs.dst());
            if last.1.is_none() || last.0 != key {
                last = (key, self.lanes.targets.get(&key, now.edition).copied());
            }
            match last.1 {
                Some(Target::Bridged(path)) => *way = path,
                Some(Target::Routed(port)) => routed.push((at, port)),
                None => {}
            }
        }
        for run in routed.chunk_by(|a, b| a.1 == b.1) {
            let Some(&(_, id)) = run.first() else {
                continue;
            };
            let Some((_, router, port)) = now.tables.router_port(id) else {
                continue;
            };
            let place = Run { router, id, port };
            self.lanes.route(&place, run, seen, ways, now.edition);
        }
        // All legs are asked for before the first is needed.
        let moment = moment!(self);
        for (way, _) in ways
            .iter_mut()
            .zip(kinds)
            .filter(|(_, kind)| **kind == Kind::Lane)
        {
            if self.paths.leg(*way, &moment).is_none() {
                *way = PathId::NONE;
            }
        }
    }

    /// Remembers the way of a packet that walked without a connection.
    pub(super) fn remember(&mut self, entered: &Entered, outcome: &Outcome, landmarks: &Landmarks) {
        let cacheable = matches!(outcome.verdict, Verdict::Transmit(_))
            && outcome.proposal.is_none()
            && outcome.sightings.is_empty()
            && outcome.quoted.is_none();
        let gate = self.doors.gates().get(&entered.entry);
        let (true, Some(gate)) = (cacheable, gate) else {
            return;
        };
        let Some(glance) = Glance::of(&entered.headers) else {
            return;
        };
        let tables = self.tables.tables();
        let hop = match (landmarks.router, landmarks.routers) {
            (None, 0) => None,
            (Some(port), 1) => match hop_of(tables, port, &glance) {
                Some(hop) => Some((port, hop)),
                None => return,
            },
            _ => return,
        };
        let Some(mut way) = outcome.way(entered) else {
            return;
        };
        let source = source_of(tables, entered, outcome.source, self.changes, self.now);
        // The way from here on is everyone's; the MAC of who came first is not. It may be where the way leads, too.
        let fdb = &mut way.deps.fdb;
        if let Some(at) = fdb.iter().position(|fdb| Some(*fdb) == outcome.source) {
            fdb.remove(at);
        }
        let generation = tables.generation;
        let Some(path) = self.paths.take(way, generation, self.changes, self.now) else {
            return;
        };
        let target = match &hop {
            None => Target::Bridged(path),
            Some((port, _)) => Target::Routed(*port),
        };
        let to = MacKey::new(gate, source.port, glance.macs.dst());
        let from = MacKey::new(gate, 0, glance.macs.src());
        self.lanes.sources.put(from, self.edition, source);
        if let Some(Target::Bridged(gone)) = self.lanes.targets.put(to, self.edition, target) {
            self.paths.release(gone);
        }
        let gone = match hop {
            None => None,
            Some((_, Hop::Shared(key))) => self.lanes.hops.put(key, self.edition, path),
            Some((_, Hop::Host(key))) => self.lanes.hosts.put(key, self.edition, path),
        };
        if let Some(gone) = gone {
            self.paths.release(gone);
        }
    }
}

impl Lanes {
    /// Routes packets that enter by one router port.
    fn route(
        &self,
        place: &Run<'_>,
        run: &[(usize, PortId)],
        seen: &[Seen; BURST],
        ways: &mut Ways,
        edition: Edition,
    ) {
        let mut v4: ArrayVec<(u32, u32), BURST> = ArrayVec::new();
        let mut v6: ArrayVec<(u128, u128), BURST> = ArrayVec::new();
        let packets = || {
            run.iter()
                .filter_map(|&(at, _)| Some((at, &seen.get(at)?.glance)))
        };
        for (_, glance) in packets() {
            match glance.addresses {
                Addresses::V4(both) => v4.push((both.src(), both.dst())),
                Addresses::V6(src, dst) => v6.push((src, dst)),
            }
        }
        let mut groups = [steer::WALK; BURST];
        let (fours, sixes) = groups.split_at_mut(v4.len());
        if !v4.is_empty() {
            place.router.steer_v4(place.port, &v4, fours);
        }
        if !v6.is_empty() {
            place.router.steer_v6(place.port, &v6, sixes);
        }
        let (mut fours, mut sixes) = (fours.iter(), sixes.iter());
        for (at, glance) in packets() {
            let group = match glance.addresses {
                Addresses::V4(..) => fours.next(),
                Addresses::V6(..) => sixes.next(),
            };
            let path = match group.and_then(|&group| hop(place, glance, group)) {
                None => None,
                Some(Hop::Shared(key)) => self.hops.get(&key, edition),
                Some(Hop::Host(key)) => self.hosts.get(&key, edition),
            };
            if let (Some(path), Some(way)) = (path, ways.get_mut(at)) {
                *way = *path;
            }
        }
    }
}

/// Port security, as far as it depends on each packet's source address; that the MAC is allowed a walk has found out.
pub(super) fn allows(tables: &Tables, port: PortId, glance: &Glance) -> bool {
    let Some((_, _, port)) = tables.switch_port(port) else {
        return false;
    };
    let Some(security) = &port.security else {
        return true;
    };
    let src = match glance.addresses {
        Addresses::V4(both) => IpAddr::V4(Ipv4Addr::from_bits(both.src())),
        Addresses::V6(src, _) => IpAddr::V6(Ipv6Addr::from_bits(src)),
    };
    let (_, mac) = glance.macs.pair();
    security.rule(mac).is_some_and(|rule| rule.allows(src))
}

/// The port that a packet entered by, behind a chassis that sends no port keys too; `None` where the sender has decided.
pub(super) fn entry_port<'t>(tables: &'t Tables, entered: &Entered) -> Option<&'t SwitchPort> {
    match entered.entry {
        Entry::Port(id) => tables.switch_port(id).map(|(_, _, port)| port),
        Entry::Keyless { tunnel, switch } => {
            let (_, switch) = tables.switch(switch)?;
            let index = switch.keyless_port(tunnel, entered.headers.eth_src)?;
            switch.ports.get(usize::from(index))
        }
        _ => None,
    }
}

/// What is remembered of the source of a packet that walked.
fn source_of(
    tables: &Tables,
    entered: &Entered,
    fdb: Option<FdbUse>,
    changes: u64,
    now: Tick,
) -> Source {
    let mac = entered.headers.eth_src;
    let rule = match entry_port(tables, entered).map(|port| (port.id, &port.security)) {
        None | Some((_, None)) => Rule::Any,
        Some((id, Some(security))) => {
            match security.rule(mac).map(|rule| rule.addresses.as_slice()) {
                Some([]) => Rule::Any,
                Some([ipnet::IpNet::V4(net)]) if net.prefix_len() == 32 => {
                    Rule::Only(net.addr().to_bits())
                }
                _ => Rule::Listed(id),
            }
        }
    };
    let port = match entered.entry {
        Entry::Keyless { tunnel, switch } => tables
            .switch(switch)
            .and_then(|(_, switch)| switch.keyless_port(tunnel, mac))
            .map_or(0, |port| port.saturating_add(1)),
        _ => 0,
    };
    Source {
        rule,
        fdb,
        changes,
        marked: now,
        port,
    }
}

/// The next hop of a packet that a router takes in by `port`; `None` when the packet is not simply routed.
fn hop_of(tables: &Tables, port: PortId, glance: &Glance) -> Option<Hop> {
    let (_, router, in_port) = tables.router_port(port)?;
    let mut group = [steer::WALK];
    match glance.addresses {
        Addresses::V4(both) => {
            router.steer_v4(in_port, &[(both.src(), both.dst())], &mut group);
        }
        Addresses::V6(src, dst) => router.steer_v6(in_port, &[(src, dst)], &mut group),
    }
    let place = Run {
        router,
        id: port,
        port: in_port,
    };
    hop(&place, glance, group[0])
}

/// The hop that a packet takes of a group. Whether there is a way by it, the walk has found out.
#[inline]
fn hop(place: &Run<'_>, glance: &Glance, group: u32) -> Option<Hop> {
    let on_link = |hop| {
        let key = |host| HopKey::new(place.id, group, hop, host);
        match glance.addresses {
            Addresses::V4(both) => Hop::Shared(key(both.dst())),
            Addresses::V6(_, dst) => Hop::Host(HostKey(key(0), ((dst >> 64) as u64, dst as u64))),
        }
    };
    Some(match place.router.routing.kind(group) {
        GroupKind::Via => Hop::Shared(HopKey::new(place.id, group, 0, 0)),
        GroupKind::OnLink => on_link(0),
        GroupKind::Other => {
            let hops = place.router.hops(group);
            match route::choose(hops, || glance.flow_hash())? {
                (hop, NextHop { via: None, .. }) => on_link(hop),
                (hop, _) => Hop::Shared(HopKey::new(place.id, group, hop, 0)),
            }
        }
    })
}
