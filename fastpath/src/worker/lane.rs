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
use std::ops::Range;

use arrayvec::ArrayVec;

mod hops;

use super::Worker;
use super::door::Door;
use super::memory::{Edition, Key, Memory, mix};
use super::places::Places;
use super::seen::Seen;
use crate::glance::{Addresses, Glance};
use crate::ids::{PathId, PortId, Tick};
use crate::io::{BURST, FramePool, Ports};
use crate::learned::Learned;
use crate::path::{FdbUse, Gate, MARK};
use crate::pipeline::Outcome;
use crate::stage::enter::{Entered, Entry};
use crate::stage::steer;
use crate::tables::{SwitchPort, Tables};
use crate::trace::{Event, Recorder};
use crate::verdict::Verdict;
use hops::{Doorway, Hops, hop_of};

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

impl Key for MacKey {
    #[inline]
    fn hash(&self) -> u64 {
        mix(self.0, self.1)
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
    /// Of the moment when it was last there.
    stamp: u32,
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
    hops: Hops,
    /// Of this burst.
    routed: Routed,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Lanes {
            sources: Memory::new(),
            targets: Memory::new(),
            hops: Hops::new(),
            routed: Routed::default(),
        }
    }

    /// May this packet's source send it? The number of the port it is behind.
    fn source(&mut self, glance: &Glance, door: &Door, now: &Now<'_>) -> Option<u16> {
        let key = MacKey::new(door.gate, 0, glance.macs.src());
        let source = self.sources.get_mut(&key, now.edition)?;
        let fresh = source.stamp == now.stamp && now.tick.since(source.marked) < MARK;
        if !fresh && !source.renew(now) {
            return None;
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

impl Source {
    /// Looks whether it is still where it was learned, and marks that entry as used from time to time.
    #[cold]
    fn renew(&mut self, now: &Now<'_>) -> bool {
        if let Some(fdb) = &self.fdb {
            let table = &now.learned.fdb;
            if self.stamp != now.stamp
                && !table.slot_matches(fdb.slot, fdb.domain, fdb.mac, fdb.port)
            {
                return false;
            }
            if now.tick.since(self.marked) >= MARK {
                table.mark_used(fdb.slot, now.tick);
            }
        }
        if now.tick.since(self.marked) >= MARK {
            self.marked = now.tick;
        }
        self.stamp = now.stamp;
        true
    }
}

/// What memos are judged by.
struct Now<'a> {
    tables: &'a Tables,
    learned: &'a Learned,
    edition: Edition,
    tick: Tick,
    stamp: u32,
}

/// What the last packets entered a router by, at a gate that does not mind the source: packets in a row often do the same.
struct LastTarget {
    mac: u64,
    gate: Gate,
}

impl LastTarget {
    /// No MAC is that long.
    const NONE: LastTarget = LastTarget {
        mac: u64::MAX,
        gate: Gate(0),
    };
}

/// The packets of a burst that enter routers.
#[derive(Debug, Default)]
struct Routed {
    v4: Flows<u32>,
    v6: Flows<u128>,
    /// Router ports that packets in a row enter by, with the first of each family among them.
    ports: ArrayVec<(PortId, usize, usize), BURST>,
}

/// Addresses of one family, one packet after the other, and their places in the burst.
#[derive(Debug)]
struct Flows<A> {
    len: usize,
    addresses: [(A, A); BURST],
    places: [u8; BURST],
}

impl<A: Copy + Default> Default for Flows<A> {
    fn default() -> Self {
        Flows {
            len: 0,
            addresses: [(A::default(), A::default()); BURST],
            places: [0; BURST],
        }
    }
}

impl<A> Flows<A> {
    #[inline]
    fn add(&mut self, at: usize, addresses: (A, A)) {
        if let (Some(last), Some(place)) = (
            self.addresses.get_mut(self.len),
            self.places.get_mut(self.len),
        ) {
            (*last, *place) = (addresses, at as u8);
            self.len += 1;
        }
    }

    #[inline]
    fn part(&self, range: Range<usize>) -> (&[(A, A)], &[u8]) {
        let addresses = self.addresses.get(range.clone()).unwrap_or_default();
        (addresses, self.places.get(range).unwrap_or_default())
    }
}

impl Routed {
    fn clear(&mut self) {
        (self.v4.len, self.v6.len) = (0, 0);
        self.ports.clear();
    }

    /// The packets from here on enter by this router port.
    fn begin(&mut self, port: PortId) {
        if self.ports.last().is_none_or(|last| last.0 != port) {
            self.ports.push((port, self.v4.len, self.v6.len));
        }
    }

    #[inline]
    fn add(&mut self, at: usize, addresses: &Addresses) {
        match addresses {
            Addresses::V4(both) => self.v4.add(at, (both.src(), both.dst())),
            Addresses::V6(src, dst) => self.v6.add(at, (*src, *dst)),
        }
    }
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Finds the cached ways of the packets at these places; [`PathId::NONE`] for those that must walk. Those that enter
    /// routers are looked up together, so that their cache misses overlap.
    #[inline(never)]
    pub(super) fn find_lanes(&mut self, places: Places, seen: &mut [Seen; BURST]) {
        self.lanes.routed.clear();
        let mut last = LastTarget::NONE;
        for at in places {
            let Some(seen) = seen.get_mut(at) else { break };
            let (to, from) = (seen.glance.macs.dst(), seen.glance.macs.src());
            seen.way = PathId::NONE;
            let again = to == last.mac && seen.door.gate == last.gate && from & 1 == 0;
            if again {
                self.lanes.routed.add(at, &seen.glance.addresses);
            } else {
                self.find_lane(at, seen, &mut last);
            }
        }
        let tables = self.tables.tables();
        self.lanes.route(tables, self.edition, seen);
    }

    #[inline(never)]
    fn find_lane(&mut self, at: usize, seen: &mut Seen, last: &mut LastTarget) {
        let macs = &seen.glance.macs;
        let port = if seen.door.minds_source {
            let now = Now {
                tables: self.tables.tables(),
                learned: &self.learned,
                edition: self.edition,
                tick: self.now,
                stamp: self.stamp,
            };
            self.lanes.source(&seen.glance, &seen.door, &now)
        } else {
            (macs.src() & 1 == 0).then_some(0)
        };
        let Some(port) = port else {
            return;
        };
        let key = MacKey::new(seen.door.gate, port, macs.dst());
        match self.lanes.targets.get(&key, self.edition) {
            Some(Target::Bridged(path)) => seen.way = *path,
            Some(Target::Routed(port)) => {
                self.lanes.routed.begin(*port);
                self.lanes.routed.add(at, &seen.glance.addresses);
                *last = match seen.door.minds_source {
                    true => LastTarget::NONE,
                    false => LastTarget {
                        mac: macs.dst(),
                        gate: seen.door.gate,
                    },
                };
            }
            None => {}
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
        let source = source_of(tables, entered, outcome.source, self.stamp, self.now);
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
        let gone = hop.and_then(|(_, hop)| self.lanes.hops.put(hop, self.edition, path));
        if let Some(gone) = gone {
            self.paths.release(gone);
        }
    }
}

impl Lanes {
    /// Routes the packets that enter routers, those in a row together.
    fn route(&mut self, tables: &Tables, edition: Edition, seen: &mut [Seen; BURST]) {
        let ports = std::mem::take(&mut self.routed.ports);
        let ends = ports.iter().skip(1).map(|&(_, v4, v6)| (v4, v6));
        let ends = ends.chain([(self.routed.v4.len, self.routed.v6.len)]);
        let mut groups = [steer::WALK; BURST];
        for (&(id, v4_from, v6_from), (v4_to, v6_to)) in ports.iter().zip(ends) {
            let Some((_, router, port)) = tables.router_port(id) else {
                continue;
            };
            let doorway = Doorway::new(router, id);
            let v4 = v4_from..v4_to;
            if !v4.is_empty() {
                let (flows, places) = self.routed.v4.part(v4);
                router.steer_v4(port, flows, &mut groups);
                self.hops.take(&doorway, places, &groups, seen, edition);
            }
            let v6 = v6_from..v6_to;
            if !v6.is_empty() {
                let (flows, places) = self.routed.v6.part(v6);
                router.steer_v6(port, flows, &mut groups);
                self.hops.take(&doorway, places, &groups, seen, edition);
            }
        }
        self.routed.ports = ports;
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
    stamp: u32,
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
        stamp,
        marked: now,
        port,
    }
}
