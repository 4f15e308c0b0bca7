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

mod place;
mod trail;

use arrayvec::ArrayVec;

use super::Worker;
use super::express::Exit;
use super::lane;
use super::memory::Memory;
use super::seen::{Fate, Seen};
use crate::connections::{
    First, Flags, FlowKey4, Hashes, InsertError, NewConnection, PortRequest, Rewrite, State,
};
use crate::counters::Work;
use crate::glance::Glance;
use crate::ids::{DatapathId, PathId, PortId, Zone};
use crate::io::{BURST, FramePool, Ports, prefetch};
use crate::spread::Accept;
use crate::stage::{nat, steer};
use crate::tables::Tables;
use crate::verdict::DropReason;

use place::{DoorKey, Next, STOPS, StepKey, Stop, Translation};

pub(super) use trail::Trail;

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
    request: PortRequest<u32>,
    state: State,
    /// The router, and the index of the rule that translates its source.
    rule: (DatapathId, u32),
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

/// The switch that a packet enters by this port may choose another destination for it.
#[inline]
fn balanced(tables: &Tables, port: PortId, key: &FlowKey4) -> bool {
    tables
        .switch_port(port)
        .is_some_and(|(_, switch, _)| switch.balancers.want(key))
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
        let table = self.connections.table().of::<u32>();
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
            external: to.external,
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
            rule: to.rule,
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
    ) -> Result<Option<Rewrite<u32>>, DropReason> {
        let table = self.connections.table().of::<u32>();
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
                self.count_source(opening.rule);
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
