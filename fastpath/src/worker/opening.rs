//! Cached ways for packets of a zone that have no connection: those that open one, and those that want none.
//!
//! ```text
//!  door   by entry and both MACs: a way, or the first router                              (from the walk)
//!  stop   a router: ordinary? next hop, SNAT rule, connection known in its zone?          (for each packet)
//!  step   by stop and next hop (or host on the link): a way, or the next router           (from the walk)
//!  ─────► nothing to translate: along the way
//!         source NAT at the last router: choose a port, open the connection, along the way
//! ```
//! As with [lanes](super::lane) nothing is decided here that the walk does not decide. Each memo is of a packet that
//! walked; what depends on the packet itself is decided for each, by the functions that the walk calls. Whatever is
//! out of the ordinary walks: echoes, the middle of a TCP stream, packets from outside that are to be tracked.

use std::net::Ipv4Addr;

use arrayvec::ArrayVec;

use super::express::Exit;
use super::lane::{self, Landmarks};
use super::memory::{Edition, Key, Memory, mix};
use super::seen::{Fate, Seen};
use super::{Pending, Worker};
use crate::connections::{
    First, Flags, FlowKey4, Hashes, InsertError, NewConnection, PortRequest, Rewrite, State,
};
use crate::counters::Work;
use crate::glance::{Addresses, Glance, Macs};
use crate::ids::{DatapathId, PathId, PortId, Zone};
use crate::io::{BURST, FramePool, Ports, prefetch};
use crate::learned::Learned;
use crate::path::Gate;
use crate::pipeline::Outcome;
use crate::spread::Accept;
use crate::stage::enter::{Entered, Entry};
use crate::stage::gateway::{self, Seat};
use crate::stage::{nat, route, steer};
use crate::tables::{RouterPort, SwitchPort, Tables};
use crate::trace::{Event, Recorder};
use crate::verdict::{DropReason, Verdict};

/// Routers of a way at most; longer ones walk.
const STOPS: usize = 8;

/// A router on the way, as it is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    router: DatapathId,
    /// The port it is entered by; of a redirected packet the one that it entered elsewhere, if that is known.
    in_index: Option<u16>,
    /// The gateway port that a redirected packet is to leave by.
    bound_for: Option<u16>,
}

/// A place on ways that have a door and all steps so far in common.
#[derive(Clone, Copy, Debug)]
struct Stop {
    id: u64,
    place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Stop(Stop),
    Way(PathId),
}

impl Default for Next {
    fn default() -> Next {
        Next::Way(PathId::NONE)
    }
}

/// How packets come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DoorKey {
    gate: Gate,
    macs: Macs,
}

impl Key for DoorKey {
    #[inline]
    fn hash(&self) -> u64 {
        let gate = u64::from(self.gate.0);
        mix(self.macs.dst() ^ gate << 48, self.macs.src() ^ gate << 32)
    }
}

/// How they leave a stop: next hop, and the host when that is on the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StepKey {
    from: u64,
    group: u32,
    hop: u32,
    host: u32,
    /// Their source is translated here: of those whose is not, nothing can be known about these.
    translated: bool,
}

impl Key for StepKey {
    #[inline]
    fn hash(&self) -> u64 {
        let host = u64::from(self.host) << 32 | u64::from(self.hop);
        let translated = u64::from(self.translated) << 39;
        mix(self.from ^ translated ^ u64::from(self.group) << 40, host)
    }
}

/// What the last router does to a packet's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Translation {
    external: Ipv4Addr,
    /// Zone of the router: a connection may be known there.
    inside: Zone,
    /// Zone of the answers.
    outside: Zone,
}

/// A packet without a connection: its place in the burst, its key, and the key's hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) at: usize,
    pub(super) key: FlowKey4,
    pub(super) hash: u32,
}

impl Newcomer {
    #[inline]
    fn set(&self, plans: &mut [Option<Plan>; BURST], plan: Plan) {
        if let Some(slot) = plans.get_mut(self.at) {
            *slot = Some(plan);
        }
    }
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// Nothing but to go this way.
    Pass(PathId),
    /// To open a connection, and go this way.
    Open(Opening),
}

/// A connection to open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    path: PathId,
    original: FlowKey4,
    hash: u32,
    request: PortRequest,
    state: State,
    /// No connection may have this key, which the router would look up: the key and its hash.
    also: Option<(FlowKey4, u32)>,
}

/// All memos of a worker.
#[derive(Debug)]
pub(super) struct Openings {
    doors: Memory<DoorKey, Next>,
    steps: Memory<StepKey, Next>,
    /// Stops that were given a number.
    stops: u64,
    /// Connections opened.
    opened: u64,
}

impl Openings {
    pub(super) fn new() -> Self {
        Openings {
            doors: Memory::new(),
            steps: Memory::new(),
            stops: 0,
            opened: 0,
        }
    }

    /// How many connections were opened so far.
    #[inline]
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }
}

/// The part of a walk that says which routers a packet crossed.
#[derive(Debug, Default)]
pub(super) struct Trail {
    pub(super) landmarks: Landmarks,
    routers: ArrayVec<PortId, STOPS>,
    redirected: bool,
    /// Too many routers.
    lost: bool,
}

impl Recorder for Trail {
    #[inline]
    fn record(&mut self, event: Event) {
        match event {
            Event::RouterIngress { port } => self.lost |= self.routers.try_push(port).is_err(),
            Event::RouterEgress { port } => {
                self.redirected = true;
                self.lost |= self.routers.try_push(port).is_err();
            }
            _ => {}
        }
        self.landmarks.record(event);
    }
}

impl Trail {
    /// The routers, as they were come to.
    fn places(&self, tables: &Tables, entry: Entry) -> Option<ArrayVec<Place, STOPS>> {
        if self.lost {
            return None;
        }
        let place = |(number, &port): (usize, &PortId)| {
            let seat = tables.seat(port)?;
            if number > 0 || !self.redirected {
                return Some(Place {
                    router: seat.datapath,
                    in_index: Some(seat.index),
                    bound_for: None,
                });
            }
            let Entry::Keyed { in_key, .. } = entry else {
                return None;
            };
            let (_, router) = tables.router(seat.datapath)?;
            Some(Place {
                router: seat.datapath,
                in_index: router.by_key.get(&in_key).map(|key| key.port),
                bound_for: Some(seat.index),
            })
        };
        self.routers.iter().enumerate().map(place).collect()
    }
}

impl Place {
    /// The port whose networks a packet's addresses are compared with.
    fn port(self, tables: &Tables) -> Option<&RouterPort> {
        let (_, router) = tables.router(self.router)?;
        let index = self.bound_for.or(self.in_index)?;
        router.ports.get(usize::from(index))
    }
}

impl Stop {
    /// What the router does with an ordinary packet that it routes by `group`; `None` when it must walk.
    fn leave(
        self,
        tables: &Tables,
        learned: &Learned,
        glance: &Glance,
        group: u32,
    ) -> Option<(StepKey, Option<Translation>)> {
        let Place {
            router,
            in_index,
            bound_for,
        } = self.place;
        let Addresses::V4(both) = glance.addresses else {
            return None;
        };
        let (src, dst) = (both.src(), both.dst());
        let (piece, router) = tables.router(router)?;
        let (hop, next) = route::choose(router.hops(group), || glance.flow_hash())?;
        if bound_for.is_some_and(|gateway| gateway != next.port) {
            return None;
        }
        let out = router.ports.get(usize::from(next.port))?;
        let key = StepKey {
            from: self.id,
            group,
            hop,
            host: next.via.map_or(dst, |_| 0),
            translated: false,
        };
        if router.nat.is_empty() {
            return Some((key, None));
        }
        if let Seat::At(_) = gateway::egress(learned, out).continue_value()? {
            // It is translated there.
            return Some((key, None));
        }
        let (src, dst) = (Ipv4Addr::from_bits(src), Ipv4Addr::from_bits(dst));
        let nat = &router.nat;
        let Some((_, rule)) = nat.source_rule(src, dst, in_index, next.port) else {
            // An answer to it would be translated: it is tracked.
            let answered = |index| nat.source_rule(dst, src, Some(next.port), index).is_some();
            return (!in_index.is_some_and(answered)).then_some((key, None));
        };
        if !rule.is_plain() {
            return None;
        }
        let outside = tables.outside_zone(piece, out);
        let translation = Translation {
            external: rule.external,
            inside: piece.zone(),
            outside,
        };
        let key = StepKey {
            translated: true,
            ..key
        };
        (outside != Zone::NONE).then_some((key, Some(translation)))
    }
}

/// The switch that a packet enters by this port may choose another destination for it.
#[inline]
fn balanced(tables: &Tables, port: PortId, key: &FlowKey4) -> bool {
    tables
        .switch_port(port)
        .is_some_and(|(_, switch, _)| switch.balancers.want(key))
}

/// The switch chooses other destinations for some of what its VIFs send.
fn balances(tables: &Tables, switch: DatapathId) -> bool {
    tables
        .switch(switch)
        .is_some_and(|(_, switch)| !switch.balancers.is_empty())
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Finds out what is to be done with these packets; the plans of those that must walk stay as they are. Packets at
    /// the same router are routed together, and what [`Worker::begin`] will read is asked for.
    pub(super) fn plan(
        &self,
        newcomers: &[Newcomer],
        seen: &[Seen; BURST],
        plans: &mut [Option<Plan>; BURST],
    ) {
        let tables = self.tables.tables();
        let mut going: ArrayVec<(Newcomer, Stop), BURST> = ArrayVec::new();
        for newcomer in newcomers {
            // All else about the source is in the key of the door.
            let allowed = |seen: &&Seen| {
                let port = seen.door.port;
                port.is_none_or(|port| {
                    lane::allows(tables, port, &seen.glance)
                        && !balanced(tables, port, &newcomer.key)
                })
            };
            let Some(seen) = seen.get(newcomer.at).filter(allowed) else {
                continue;
            };
            let key = DoorKey {
                gate: seen.door.gate,
                macs: seen.glance.macs,
            };
            match self.openings.doors.get(&key, self.edition) {
                Some(Next::Way(path)) => newcomer.set(plans, Plan::Pass(*path)),
                Some(Next::Stop(stop)) => going.push((*newcomer, *stop)),
                None => {}
            }
        }
        for _ in 0..STOPS {
            if going.is_empty() {
                break;
            }
            let mut next = ArrayVec::new();
            for run in going.chunk_by(|a, b| a.1.place == b.1.place) {
                self.pass(run, seen, plans, &mut next);
            }
            going = next;
        }
        let table = self.connections.table();
        for newcomer in newcomers {
            let Some(Some(Plan::Open(opening))) = plans.get(newcomer.at) else {
                continue;
            };
            // Most keep their port.
            let reply = opening.request.reply_key(opening.request.original);
            table.warm(table.hash(&reply), prefetch);
            if let Some((_, hash)) = opening.also {
                table.warm(hash, prefetch);
            }
        }
    }

    /// Packets at one router: what is to be done with them, or where they come to next.
    fn pass(
        &self,
        run: &[(Newcomer, Stop)],
        seen: &[Seen; BURST],
        plans: &mut [Option<Plan>; BURST],
        going: &mut ArrayVec<(Newcomer, Stop), BURST>,
    ) {
        let tables = self.tables.tables();
        let Some((_, Stop { place, .. })) = run.first() else {
            return;
        };
        let (Some((_, router)), Some(port)) = (tables.router(place.router), place.port(tables))
        else {
            return;
        };
        let addresses: ArrayVec<(u32, u32), BURST> = run
            .iter()
            .map(|(newcomer, _)| (newcomer.key.src, newcomer.key.dst))
            .collect();
        let mut groups = [steer::WALK; BURST];
        router.steer_v4(port, &addresses, &mut groups);
        for ((newcomer, stop), group) in run.iter().zip(groups) {
            let seen = seen.get(newcomer.at).filter(|_| group != steer::WALK);
            let left = seen.and_then(|seen| {
                Some((
                    seen,
                    stop.leave(tables, &self.learned, &seen.glance, group)?,
                ))
            });
            let Some((seen, (step, translation))) = left else {
                continue;
            };
            match (self.openings.steps.get(&step, self.edition), translation) {
                (Some(Next::Stop(stop)), None) => going.push((*newcomer, *stop)),
                (Some(Next::Way(path)), None) => newcomer.set(plans, Plan::Pass(*path)),
                (Some(Next::Way(path)), Some(translation)) => {
                    if let Some(opening) = self.opening(*path, &seen.glance, newcomer, translation)
                    {
                        newcomer.set(plans, Plan::Open(opening));
                    }
                }
                // Translated before another router: rare.
                (Some(Next::Stop(_)), Some(_)) | (None, _) => {}
            }
        }
    }

    fn opening(
        &self,
        path: PathId,
        glance: &Glance,
        newcomer: &Newcomer,
        to: Translation,
    ) -> Option<Opening> {
        let Newcomer {
            key: original,
            hash,
            ..
        } = *newcomer;
        let state = State::open(original.proto, glance.flags, false)?;
        if !matches!(state, State::UdpNew | State::TcpSynSent) {
            // Of an echo it matters which way it goes.
            return None;
        }
        let request = PortRequest {
            proto: original.proto,
            external: to.external.to_bits(),
            original: original.src_port,
            remote: original.dst,
            remote_port: original.dst_port,
            zone: to.outside,
            source: original.src,
            now: self.now,
        };
        let known = FlowKey4 {
            zone: to.inside,
            ..original
        };
        let elsewhere = to.inside != original.zone && to.inside != Zone::NONE;
        Some(Opening {
            path,
            original,
            hash,
            request,
            state,
            also: elsewhere.then(|| (known, self.connections.table().hash(&known))),
        })
    }

    /// Opens a connection and edits its first packet.
    pub(super) fn begin(&mut self, frame: &mut P::Frame, seen: &Seen, opening: &Opening) -> Fate {
        let glance = &seen.glance;
        if !self.ready(opening.path) {
            return Fate::Walks;
        }
        let leg = match self.paths.leg(opening.path) {
            Some(leg) if leg.gate == seen.door.gate && leg.macs == glance.macs => leg,
            _ => return Fate::Walks,
        };
        if !leg.carries(glance.ttl, glance.total_len) {
            return Fate::Walks;
        }
        let exit = Exit::by(leg, opening.path, glance);
        let to = match self.open_planned(opening, u32::from(seen.len)) {
            Ok(Some(to)) => to,
            Ok(None) => return Fate::Walks,
            Err(reason) => {
                self.counters.dropped(reason);
                return Fate::Dropped;
            }
        };
        self.depart(frame, seen, exit, Some(&to))
    }

    /// Opens the connection and tells how its packets leave; `None` when the first one must walk.
    fn open_planned(
        &mut self,
        opening: &Opening,
        bytes: u32,
    ) -> Result<Option<Rewrite>, DropReason> {
        let table = self.connections.table();
        if let Some((key, hash)) = &opening.also
            && table.contains_hashed(key, *hash)
        {
            return Ok(None);
        }
        let chooser = self.chooser.clone();
        let (tables, request, ports) = (self.tables.tables(), &opening.request, &mut self.chooser);
        let mut choose = |accept: Accept<'_>| ports.choose(table, request, accept);
        let choice = self.homes.prefer(tables, request, &|_| true, &mut choose);
        let Some(choice) = choice else {
            return Err(DropReason::NatPortsExhausted);
        };
        let new = NewConnection {
            original: opening.original,
            reply: choice.reply,
            paths: [opening.path, PathId::NONE],
            state: opening.state,
            flags: Flags::default(),
        };
        let hashes = Hashes {
            original: opening.hash,
            reply: choice.hash,
        };
        let first = First { packets: 1, bytes };
        match self.connections.open(&new, hashes, first, self.now) {
            Ok(inserted) => {
                self.paths.share(opening.path);
                self.opened(inserted);
                Ok(Some(Rewrite::towards(&choice.reply)))
            }
            // A packet before it in the burst has opened it.
            Err(InsertError::DuplicateOriginal) => {
                self.chooser = chooser;
                Ok(None)
            }
            Err(error) => Err(nat::refusal(error)),
        }
    }

    /// Remembers the way of a packet of a zone that belonged to no connection.
    pub(super) fn remember_opening(
        &mut self,
        pending: &Pending<P::Frame>,
        outcome: &Outcome,
        trail: &Trail,
    ) {
        let entered = &pending.entered;
        let cacheable = matches!(outcome.verdict, Verdict::Transmit(_))
            && outcome.sightings.is_empty()
            && outcome.quoted.is_none()
            && outcome.assigned.is_none()
            && !outcome.close;
        let gate = self.doors.gates().get(&entered.entry);
        let (true, Some(gate), Some(glance)) = (cacheable, gate, Glance::of(&entered.headers))
        else {
            return;
        };
        let secured = |port: &SwitchPort| port.security.is_some();
        if let Entry::Keyless { switch, .. } = entered.entry
            && (lane::entry_port(self.tables.tables(), entered).is_some_and(secured)
                || balances(self.tables.tables(), switch))
        {
            // The door does not tell which port: its rules are for the walk.
            return;
        }
        let Some(steps) = self.retrace(entered, outcome, trail, &glance) else {
            return;
        };
        let (generation, changes, now) = (self.tables.tables().generation, self.changes, self.now);
        let path = outcome
            .way(entered)
            .and_then(|way| self.paths.take(way, generation, changes, now));
        let Some(path) = path else { return };
        let door = DoorKey {
            gate,
            macs: glance.macs,
        };
        let gone = self.openings.learn(door, &steps, path, self.edition);
        for path in gone {
            self.paths.release(path);
        }
    }

    /// The steps of a packet that walked, if they are what [`Worker::plan`] would find; the stops have no numbers yet.
    fn retrace(
        &self,
        entered: &Entered,
        outcome: &Outcome,
        trail: &Trail,
        glance: &Glance,
    ) -> Option<ArrayVec<(Place, StepKey), STOPS>> {
        let tables = self.tables.tables();
        let Addresses::V4(both) = glance.addresses else {
            return None;
        };
        let (src, dst) = (both.src(), both.dst());
        let places = trail.places(tables, entered.entry)?;
        let mut steps = ArrayVec::new();
        let mut translation = None;
        for place in places {
            if translation.is_some() {
                return None;
            }
            let (_, router) = tables.router(place.router)?;
            let mut group = [steer::WALK];
            router.steer_v4(place.port(tables)?, &[(src, dst)], &mut group);
            let [group] = group;
            if group == steer::WALK {
                return None;
            }
            let stop = Stop { id: 0, place };
            let (key, found) = stop.leave(tables, &self.learned, glance, group)?;
            translation = found;
            steps.push((place, key));
        }
        let external = translation.map(|translation| translation.external.to_bits());
        let proposed = match &outcome.proposal {
            Some(proposal) if proposal.reply_open => return None,
            proposal => proposal.map(|proposal| proposal.reply.dst),
        };
        (external == proposed).then_some(steps)
    }

    /// Edits a packet that wants no connection; it walks when it belongs to one that was opened since `opened` were.
    #[inline]
    pub(super) fn pass_by(
        &mut self,
        frame: &mut P::Frame,
        seen: &Seen,
        path: PathId,
        opened: u64,
    ) -> Fate {
        if self.openings.opened != opened && self.belongs(seen) {
            return Fate::Walks;
        }
        self.lane(frame, seen, path)
    }

    #[cold]
    fn belongs(&self, seen: &Seen) -> bool {
        let table = self.connections.table();
        let key = seen.glance.key(seen.door.zone);
        key.is_some_and(|key| table.contains_hashed(&key, table.hash(&key)))
    }

    /// Counts an opened connection and lets go of the one that made room for it.
    pub(super) fn opened(&mut self, inserted: crate::connections::Inserted) {
        if let Some(evicted) = inserted.evicted {
            self.release(&evicted);
            self.counters.count(Work::Closed, 1);
        }
        self.counters.count(Work::Opened, 1);
        self.openings.opened += 1;
    }
}

impl Openings {
    /// Puts the memos of a way in place; returns the paths that had to go.
    fn learn(
        &mut self,
        door: DoorKey,
        steps: &[(Place, StepKey)],
        path: PathId,
        edition: Edition,
    ) -> ArrayVec<PathId, { STOPS + 1 }> {
        let mut gone = ArrayVec::new();
        let mut lost = |old: Option<Next>| {
            if let Some(Next::Way(path)) = old {
                gone.push(path);
            }
        };
        // Where the next memo hangs: at the door first, then at a step.
        let mut last: Option<StepKey> = None;
        for (place, key) in steps {
            let held = match &last {
                None => self.doors.get(&door, edition),
                Some(step) => self.steps.get(step, edition),
            };
            let id = match held {
                Some(Next::Stop(stop)) if stop.place == *place => stop.id,
                _ => {
                    self.stops += 1;
                    let stop = Next::Stop(Stop {
                        id: self.stops,
                        place: *place,
                    });
                    lost(match last {
                        None => self.doors.put(door, edition, stop),
                        Some(step) => self.steps.put(step, edition, stop),
                    });
                    self.stops
                }
            };
            last = Some(StepKey { from: id, ..*key });
        }
        lost(match last {
            None => self.doors.put(door, edition, Next::Way(path)),
            Some(step) => self.steps.put(step, edition, Next::Way(path)),
        });
        gone
    }
}
