//! Cached ways for packets of a zone that have no connection: those that open one, and those that want none.
//!
//! ```text
//!  door   by entry and both MACs: a way, or the first router                                     (from the walk)
//!  stop   a router: destination rule or balancer, ordinary? next hop, source rule                (for each packet)
//!  step   by stop and next hop (or host on the link): a way, or the next router                  (from the walk)
//!  ─────► nothing to translate: along the way
//!         a destination, or the source at the last router: choose a port, open the connection, along the way
//! ```
//! As with [lanes](super::lane) nothing is decided here that the walk does not decide. Each memo is of a packet that
//! walked; what depends on the packet itself is decided for each, by the functions that the walk calls. Whatever is
//! out of the ordinary walks: echoes, the middle of a TCP stream, packets from outside that are to be tracked.

mod destination;
mod place;
mod trail;

use arrayvec::ArrayVec;

use super::Worker;
use super::express::Exit;
use super::lane;
use super::memory::Memory;
use super::seen::{Fate, Seen};
use crate::connections::{
    Address, First, Flags, FlowKey4, Hashes, InsertError, NewConnection, PortRequest, Rewrite,
    State,
};
use crate::counters::Work;
use crate::glance::Glance;
use crate::ids::{PathId, PortId, Zone};
use crate::io::{BURST, FramePool, Ports, prefetch};
use crate::pipeline::{Assigned, TranslatedBy};
use crate::spread::Accept;
use crate::stage::{nat, steer};
use crate::tables::Tables;
use crate::verdict::{DropReason, PuntClass};

use destination::{Arrival, Led};
use place::{DoorKey, Next, Packet, STOPS, StepKey, Stop, Translation};

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
    /// The rules that translate it.
    by: TranslatedBy,
    /// Its port must not make the answers look like the packet itself, as those of a host that talks to itself would.
    apart: bool,
    flags: Flags,
    /// The backend that it was given.
    assigned: Option<Assigned>,
    /// No connection may have this key, which the router would look up: the key and its hash.
    also: Option<(FlowKey4, u32)>,
}

/// A packet at a router.
#[derive(Clone, Copy, Debug)]
struct Going {
    newcomer: Newcomer,
    stop: Stop,
    /// Where its destination has become another one.
    led: Option<Led>,
}

impl Going {
    /// Its flow as it is now.
    fn flow(&self) -> FlowKey4 {
        let key = self.newcomer.key;
        self.led.map_or(key, |led| led.of(key))
    }
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

/// The state that a packet opens a connection in; `None` when that takes a walk: of an echo it matters which way it goes.
fn first_state(proto: u8, glance: &Glance) -> Option<State> {
    let state = State::open(proto, glance.flags, false)?;
    matches!(state, State::UdpNew | State::TcpSynSent).then_some(state)
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
        let mut going: ArrayVec<Going, BURST> = ArrayVec::new();
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
                Some(Next::Way(path, _)) => newcomer.set(plans, Plan::Pass(*path)),
                Some(Next::Stop(stop)) => going.push(Going {
                    newcomer: *newcomer,
                    stop: *stop,
                    led: None,
                }),
                None => {}
            }
        }
        for _ in 0..STOPS {
            if going.is_empty() {
                break;
            }
            let mut next = ArrayVec::new();
            for run in going.chunk_by_mut(|a, b| a.stop.place == b.stop.place) {
                self.pass(run, seen, plans, &mut next);
            }
            going = next;
        }
        let table = self.connections.table().of::<u32>();
        let room = self.connections.has_room::<u32>(self.now);
        for newcomer in newcomers {
            let Some(Some(Plan::Open(opening))) = plans.get(newcomer.at) else {
                continue;
            };
            if room {
                // Most keep their port.
                let reply = opening.request.reply_key(opening.request.original);
                table.warm(table.hash(&reply), prefetch);
            }
            if let Some((_, hash)) = opening.also {
                table.warm(hash, prefetch);
            }
        }
    }

    /// Packets at one router: what is to be done with them, or where they come to next.
    fn pass(
        &self,
        run: &mut [Going],
        seen: &[Seen; BURST],
        plans: &mut [Option<Plan>; BURST],
        going: &mut ArrayVec<Going, BURST>,
    ) {
        let tables = self.tables.tables();
        let Some(place) = run.first().map(|first| first.stop.place) else {
            return;
        };
        let (Some((_, router)), Some(port)) = (tables.router(place.router), place.port(tables))
        else {
            return;
        };
        let mut walks = [false; BURST];
        if router.leads_elsewhere() {
            for (one, walks) in run.iter_mut().zip(&mut walks) {
                match place.arrival(tables, &one.newcomer.key, self.now) {
                    Arrival::Stays => {}
                    Arrival::Led(led) if one.led.is_none() => one.led = Some(led),
                    Arrival::Led(_) | Arrival::Walks => *walks = true,
                }
            }
        }
        let addresses: ArrayVec<(u32, u32), BURST> = run
            .iter()
            .map(|one| (one.newcomer.key.src, one.flow().dst))
            .collect();
        let mut groups = [steer::WALK; BURST];
        router.steer_v4(port, &addresses, &mut groups);
        for ((one, group), walks) in run.iter().zip(groups).zip(walks) {
            if group == steer::WALK || walks {
                continue;
            }
            if let Some(seen) = seen.get(one.newcomer.at) {
                self.leave_for(one, &seen.glance, group, plans, going);
            }
        }
    }

    /// A packet leaves a router that routes it by `group`.
    fn leave_for(
        &self,
        one: &Going,
        glance: &Glance,
        group: u32,
        plans: &mut [Option<Plan>; BURST],
        going: &mut ArrayVec<Going, BURST>,
    ) {
        let Going {
            newcomer,
            stop,
            led,
        } = one;
        let packet = Packet {
            glance,
            flow: one.flow(),
            led: *led,
        };
        let left = stop.leave(self.tables.tables(), &self.learned, &packet, group);
        let Some((step, translation)) = left else {
            return;
        };
        let plan = match (
            self.openings.steps.get(&step, self.edition),
            translation,
            led,
        ) {
            (Some(Next::Stop(stop)), None, _) => {
                going.push(Going {
                    stop: *stop,
                    ..*one
                });
                return;
            }
            (Some(Next::Way(path, _)), None, None) => Some(Plan::Pass(*path)),
            (Some(Next::Way(path, _)), Some(to), None) => {
                self.opening(*path, glance, newcomer, to).map(Plan::Open)
            }
            (Some(Next::Way(path, zone)), None, Some(led)) => {
                let opening = self.opening_led(*path, glance, newcomer, led, *zone);
                opening.map(Plan::Open)
            }
            // Translated before another router, or both ends: rare.
            (Some(_), Some(_), _) | (None, ..) => None,
        };
        if let Some(plan) = plan {
            newcomer.set(plans, plan);
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
        let state = first_state(original.proto, glance)?;
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
        Some(Opening {
            path,
            original,
            hash,
            request,
            state,
            by: to.by,
            apart: false,
            flags: Flags::default(),
            assigned: None,
            also: self.also(original, to.inside),
        })
    }

    /// The same of a packet whose destination has become another one.
    fn opening_led(
        &self,
        path: PathId,
        glance: &Glance,
        newcomer: &Newcomer,
        led: &Led,
        zone: Zone,
    ) -> Option<Opening> {
        let original = newcomer.key;
        let now = led.of(original);
        let request = PortRequest {
            proto: now.proto,
            external: now.src,
            original: now.src_port,
            remote: now.dst,
            remote_port: now.dst_port,
            zone,
            source: original.src,
            now: self.now,
        };
        Some(Opening {
            path,
            original,
            hash: newcomer.hash,
            request,
            state: first_state(original.proto, glance)?,
            apart: true,
            flags: led.flags,
            assigned: led.assigned,
            by: led.by,
            also: self.also(original, led.inside),
        })
    }

    /// The key that a router would look up in its zone, unless that has been done.
    fn also(&self, original: FlowKey4, zone: Zone) -> Option<(FlowKey4, u32)> {
        let known = FlowKey4 { zone, ..original };
        let elsewhere = zone != original.zone && zone != Zone::NONE;
        elsewhere.then(|| (known, self.connections.table().hash(&known)))
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
            Err(_) if self.police.would_pass(PuntClass::Icmp, self.now) => {
                // It is refused once more, and told so (RFC 6888 REQ-11). Each such walk takes from what may be told, so a
                // flood makes no more of them.
                return Fate::Walks;
            }
            Err(reason) => {
                self.counters.dropped(reason);
                self.counters.count(Work::ErrorPoliced, 1);
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
        if !self.connections.has_room::<u32>(self.now) {
            // Under a flood this is what happens most: no memory is touched for it but where its key would be.
            let known = table.contains_hashed(&opening.original, opening.hash);
            return if known {
                Ok(None)
            } else {
                Err(DropReason::ConnectionsFull)
            };
        }
        let chooser = self.chooser.clone();
        let (tables, request, ports) = (self.tables.tables(), &opening.request, &mut self.chooser);
        let mut choose = |accept: Accept<'_>| ports.choose(table, request, accept);
        let itself = FlowKey4 {
            zone: request.zone,
            ..opening.original
        };
        let accept = |port| !opening.apart || request.reply_key(port) != itself;
        let choice = self.homes.prefer(tables, request, &accept, &mut choose);
        let Some(choice) = choice else {
            return Err(DropReason::NatPortsExhausted);
        };
        let new = NewConnection {
            original: opening.original,
            reply: choice.reply,
            paths: [opening.path, PathId::NONE],
            state: opening.state,
            flags: opening.flags,
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
                self.tell_assigned(opening.original.src.ip(), opening.assigned);
                self.count_translated(&opening.by);
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
