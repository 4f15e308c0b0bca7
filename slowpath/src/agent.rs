//! The agent: takes what the workers hand over, lets the machines decide, writes what is learned, and gives frames
//! back. The only part of the slow path that knows the packet path.
//!
//! ```text
//!   step(now):  new tables? -> roles, vanished ports, announcements
//!               requests    -> flush, liveness
//!               punts       -> underlay, neighbors, resolve, icmp: in this order, so many of each
//!               sightings   -> neighbors, MACs
//!               timers      -> resolver, announcements, ageing, health checks
//! ```
//!
//! Nothing blocks and every step is bounded; what is left over makes the step's deadline "now".

mod acl;
mod answer;
mod collect;
mod counters;
mod generation;
mod health;
mod reply;
mod resolve;
mod switch;
mod thread;
mod underlay;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crossbeam::channel::{Receiver, Sender, unbounded};
use hashbrown::{HashMap, HashSet};
use sluice_fastpath::exchange::{Exchange, InjectTo, Injected, Punted, Sighting, Work};
use sluice_fastpath::ids::{DatapathId, PortId, Tick, WorkerId};
use sluice_fastpath::io::{Frame, FramePool};
use sluice_fastpath::learned::{Learned, Role};
use sluice_fastpath::snapshot::TablesReader;
use sluice_fastpath::tables::fdb::{Fdb, FdbWriter};
use sluice_fastpath::tables::neighbors::{NeighborWriter, Neighbors};
use sluice_fastpath::tables::{RoleId, RouterPort, SERVICE_MAC, Tables};
use sluice_fastpath::verdict::{Punt, PuntClass};
use sluice_net::{Headers, Mac};

use crate::announce::Announcer;
use crate::health::Monitors;
use crate::limit::{Bucket, ErrorLimit, Rate};
use crate::neighbor::{self, Effect, Resolver};
use crate::reassembly::{self, Reassembler};
use crate::role::{Alive, RoleMachine};
use crate::time::Time;
use counters::count;
use health::Checks;
use switch::DomainPolicy;

pub use counters::AgentCounters;
pub use thread::spawn;

/// A neighbor: router port (or the underlay) and address.
type Key = (PortId, IpAddr);

/// Bounds of the slow path.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Times and bounds of neighbor resolution.
    pub neighbor: neighbor::Settings,
    /// Neighbors of one router port at most.
    pub port_neighbors: u32,
    /// ICMP errors of one router port.
    pub port_errors: Rate,
    /// ICMP errors to one source.
    pub source_errors: Rate,
    /// Announcements of this node.
    pub announcements: Rate,
    /// Health checks of backends that this node begins.
    pub health_checks: Rate,
    /// Fragments to this node's own addresses.
    pub reassembly: reassembly::Settings,
    /// Log messages a second of an ACL without a meter.
    pub acl_logs: u32,
    /// Frames taken from one queue of one worker in a step.
    pub frames_per_step: usize,
    /// Timers served and MACs looked at in a step.
    pub timers_per_step: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            neighbor: neighbor::Settings::default(),
            port_neighbors: 8_192,
            port_errors: Rate {
                per_second: 500,
                burst: 100,
            },
            source_errors: Rate {
                per_second: 50,
                burst: 20,
            },
            announcements: Rate {
                per_second: 1_000,
                burst: 500,
            },
            health_checks: Rate {
                per_second: 2_000,
                burst: 200,
            },
            reassembly: reassembly::Settings::default(),
            acl_logs: 100,
            frames_per_step: 64,
            timers_per_step: 1_024,
        }
    }
}

/// What an agent is made of.
#[derive(Debug)]
pub struct AgentConfig<P: FramePool> {
    /// Where its frames come from.
    pub pool: Arc<P>,
    /// The queues of every worker, by [`WorkerId`].
    pub exchanges: Vec<Arc<Exchange<P::Frame>>>,
    /// What it writes. It must be the only writer.
    pub learned: Arc<Learned>,
    /// The compiled tables.
    pub reader: TablesReader,
    /// Bounds.
    pub settings: Settings,
}

/// Something an operator, or a watcher of chassis, asks for.
#[derive(Debug)]
pub enum AgentRequest {
    /// Forget learned neighbors; those still needed are asked for again.
    FlushNeighbors {
        /// Only of this router port.
        port: Option<PortId>,
        /// Only this address.
        ip: Option<IpAddr>,
        /// Told how many were forgotten.
        done: Option<Sender<usize>>,
    },
    /// Forget learned MACs.
    FlushFdb {
        /// Only of this FDB domain.
        domain: Option<u32>,
        /// Told how many were forgotten.
        done: Option<Sender<usize>>,
    },
    /// Other chassis are alive now than before.
    Alive(Alive),
}

/// Why there is no agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentError {
    /// Another agent writes the learned tables.
    LearnedTaken,
}

impl std::fmt::Display for AgentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AgentError::LearnedTaken => "the learned tables have a writer already",
        })
    }
}

impl std::error::Error for AgentError {}

/// The slow path of a node. See the module's text.
#[derive(Debug)]
pub struct Agent<P: FramePool> {
    pool: Arc<P>,
    exchanges: Vec<Arc<Exchange<P::Frame>>>,
    learned: Arc<Learned>,
    reader: TablesReader,
    settings: Settings,
    counters: Arc<AgentCounters>,
    requests: (Sender<AgentRequest>, Receiver<AgentRequest>),

    tick: Tick,
    now: Time,
    started: bool,

    resolver: Resolver<Key, Punted<P::Frame>>,
    effects: Vec<Effect<Key, Punted<P::Frame>>>,
    neighbors: NeighborWriter,
    /// Neighbors kept resolved without traffic: the next hops of all tunnels.
    kept: HashSet<Key>,
    fdb: FdbWriter,
    domains: HashMap<u32, DomainPolicy>,
    next_ageing: Time,
    roles: RoleMachine<RoleId, u32>,
    alive: Alive,
    /// What comes in fragments to addresses of routers and of the underlay.
    reassembler: Reassembler<PortId>,
    announcer: Announcer<Key>,
    /// What is being or was announced, and with which MAC.
    announced: HashMap<Key, Mac>,
    limit: ErrorLimit<PortId>,
    checks: Checks,
    /// Of ACLs that log, by switch and index.
    meters: HashMap<(DatapathId, u32), Bucket>,
}

impl<P: FramePool> Agent<P> {
    /// An agent that has not looked at its tables yet; the first [`step`](Self::step) does.
    ///
    /// # Errors
    /// When the learned tables have a writer already.
    pub fn new(config: AgentConfig<P>) -> Result<Self, AgentError> {
        let AgentConfig {
            pool,
            exchanges,
            learned,
            reader,
            settings,
        } = config;
        let mut neighbors =
            Neighbors::writer(&learned.neighbors).ok_or(AgentError::LearnedTaken)?;
        let fdb = Fdb::writer(&learned.fdb).ok_or(AgentError::LearnedTaken)?;
        neighbors.set_port_limit(settings.port_neighbors);
        let now = Time::default();
        Ok(Self {
            pool,
            exchanges,
            learned,
            reader,
            counters: Arc::default(),
            requests: unbounded(),
            tick: Tick::default(),
            now,
            started: false,
            resolver: Resolver::new(settings.neighbor),
            effects: Vec::new(),
            neighbors,
            kept: HashSet::new(),
            fdb,
            domains: HashMap::new(),
            next_ageing: now,
            roles: RoleMachine::default(),
            alive: Alive::All,
            reassembler: Reassembler::new(settings.reassembly),
            announcer: Announcer::new(settings.announcements, now),
            announced: HashMap::new(),
            limit: ErrorLimit::new(settings.port_errors, settings.source_errors, now),
            checks: Checks::new(Monitors::new(
                SERVICE_MAC,
                settings.health_checks,
                RandomState::new().build_hasher().finish(),
                now,
            )),
            meters: HashMap::new(),
            settings,
        })
    }

    /// Its counters, for other threads to read.
    #[must_use]
    pub fn counters(&self) -> Arc<AgentCounters> {
        Arc::clone(&self.counters)
    }

    /// Where requests are sent; served in the next step.
    #[must_use]
    pub fn requests(&self) -> Sender<AgentRequest> {
        self.requests.0.clone()
    }

    /// True when no worker has handed over anything that is not yet taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.requests.1.is_empty() && self.exchanges.iter().all(|exchange| exchange.is_drained())
    }

    /// Does what there is to do at `now`, a bounded amount of it, and says when to come again; sooner when
    /// a worker hands over something.
    pub fn step(&mut self, now: Tick) -> Tick {
        self.now = Time(self.now.0.saturating_add(now.since(self.tick).into()));
        self.tick = now;
        let renewed = self.reader.refresh();
        let tables = Arc::clone(self.reader.tables());
        if renewed || !self.started {
            self.started = true;
            self.take_generation(&tables);
        }
        while let Ok(request) = self.requests.1.try_recv() {
            self.serve(&tables, request);
        }
        let more =
            self.take_punts(&tables) | self.take_sightings(&tables) | self.take_logs(&tables);
        self.run_timers(&tables);
        self.apply_effects(&tables);
        if more { now } else { self.deadline() }
    }

    fn deadline(&self) -> Tick {
        let ageing = (!self.fdb.is_empty()).then_some(self.next_ageing);
        let due = [
            self.resolver.next_deadline(),
            self.announcer.next_deadline(),
            self.reassembler.next_deadline(),
            self.checks.next_deadline(),
            ageing,
        ];
        let wait = due
            .into_iter()
            .flatten()
            .min()
            .map_or(u64::from(u16::MAX), |due| due.since(self.now));
        self.tick.plus(wait.min(u16::MAX.into()) as u32)
    }

    /// Serves the queues in order of their class; true when one may hold more.
    fn take_punts(&mut self, tables: &Tables) -> bool {
        let mut more = false;
        for class in PuntClass::ALL {
            for index in 0..self.exchanges.len() {
                let Some(exchange) = self.exchanges.get(index).cloned() else {
                    continue;
                };
                let mut left = self.settings.frames_per_step;
                while left > 0
                    && let Some(punted) = exchange.next_punt(class)
                {
                    left -= 1;
                    self.work(tables, punted);
                }
                more |= left == 0;
            }
        }
        more
    }

    fn work(&mut self, tables: &Tables, punted: Punted<P::Frame>) {
        count(&self.counters.punts);
        match punted.work {
            Work::Punt(Punt::Underlay) => self.underlay_frame(tables, &punted),
            Work::Punt(Punt::AnswerNeighbor { from, mac }) => {
                self.answer_known(tables, &punted, from, mac)
            }
            Work::Punt(Punt::LearnNeighbor { port }) => self.answer_own(tables, &punted, port),
            Work::Punt(Punt::ResolveNeighbor { port, next_hop }) => {
                self.resolve(tables, punted, (port, next_hop))
            }
            Work::Punt(Punt::ResolveUnderlay { next_hop }) => {
                self.resolve_underlay(punted, next_hop)
            }
            Work::Punt(Punt::Echo { port }) => self.echo(tables, &punted, port),
            Work::Punt(Punt::Health { switch }) => self.check_answered(&punted, switch),
            Work::Punt(Punt::Fragment { mtu, .. }) => self.fragment(&punted, mtu),
            Work::Error { error, port } => self.error(tables, &punted, error, port),
            Work::Refuse { port, by, macs } => self.refuse(tables, &punted, port, (by, macs)),
        }
        self.apply_effects(tables);
    }

    fn take_sightings(&mut self, tables: &Tables) -> bool {
        let mut more = false;
        for index in 0..self.exchanges.len() {
            let Some(exchange) = self.exchanges.get(index).cloned() else {
                continue;
            };
            let mut left = self.settings.frames_per_step * 4;
            while left > 0
                && let Some(sighting) = exchange.next_sighting()
            {
                left -= 1;
                match sighting {
                    Sighting::Mac { domain, mac, port } => self.see_mac(tables, domain, mac, port),
                    Sighting::Neighbor {
                        port,
                        ip,
                        mac,
                        reply,
                    } => self.see_neighbor(tables, (port, ip), mac, reply),
                }
            }
            more |= left == 0;
        }
        more
    }

    fn run_timers(&mut self, tables: &Tables) {
        self.poll_resolver();
        self.apply_effects(tables);
        while let Some(key) = self.announcer.poll(self.now) {
            self.announce(tables, key);
        }
        self.age_macs();
        self.expire_datagrams();
        self.run_checks();
    }

    fn serve(&mut self, tables: &Tables, request: AgentRequest) {
        // Nobody may be waiting for the number any more; that is fine.
        let tell = |done: Option<Sender<usize>>, count| done.map(|done| done.send(count));
        match request {
            AgentRequest::FlushNeighbors { port, ip, done } => {
                let other = |key: &Key| {
                    port.is_some_and(|port| port != key.0) || ip.is_some_and(|ip| ip != key.1)
                };
                let forgotten = self.resolver.retain(other, &mut self.effects);
                tell(done, forgotten);
                self.apply_effects(tables);
            }
            AgentRequest::FlushFdb { domain, done } => {
                let forgotten = self
                    .fdb
                    .retain_domains(|id| domain.is_some_and(|domain| domain != id));
                tell(done, forgotten as usize);
            }
            AgentRequest::Alive(alive) => {
                self.alive = alive;
                self.take_roles(tables);
            }
        }
    }

    /// May this node speak for the router port? Not for a gateway port that another chassis holds.
    fn speaks_for(&self, port: &RouterPort) -> bool {
        let active = |role| self.learned.roles.get(role) == Role::Active;
        port.enabled
            && port
                .gateway
                .as_ref()
                .is_none_or(|gateway| active(gateway.role))
    }

    /// The logical frame of a punt and its headers. A frame that does not parse is counted.
    fn inner<'a>(&self, punted: &'a Punted<P::Frame>) -> Option<(&'a [u8], Headers)> {
        let frame = punted.frame.data().get(usize::from(punted.inner)..);
        let parsed = frame.and_then(|frame| Some((frame, sluice_net::parse(frame).ok()?)));
        if parsed.is_none() {
            count(&self.counters.malformed);
        }
        parsed
    }

    /// Gives a worker a new frame; counted in `what` when it took it.
    fn send(&self, worker: WorkerId, bytes: &[u8], to: InjectTo, what: &AtomicU64) {
        match self.pool.alloc(bytes) {
            Some(frame) => self.inject(worker, frame, to, what),
            None => count(&self.counters.no_buffer),
        }
    }

    fn inject(&self, worker: WorkerId, frame: P::Frame, to: InjectTo, what: &AtomicU64) {
        let exchange = self.exchanges.get(usize::from(worker.0));
        match exchange.map(|exchange| exchange.inject(Injected { frame, to })) {
            Some(Ok(())) => count(what),
            _ => count(&self.counters.inject_full),
        }
    }
}
