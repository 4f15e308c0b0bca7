//! The poll-mode loop: receive, look connections up burst-wise, apply cached ways or walk, send.
//!
//! ```text
//! burst:  handed over, injected ─┐
//!         rx burst of a device ─► glance ─► lookup_burst, lanes, openings (all frames together)
//!             else │                ├─ connection ─────────────► express: fresh way? ─► edit ─► emit
//!                  │                ├─ none, and none wanted ──► lane: known way? ────► edit ─► emit
//!                  │                └─ none yet ───────────────► opening: known way? open ─► edit ─► emit
//!                  ▼
//!             enter (parse, decap) ─► look-up ─► established: fresh way? ─► edit ─► emit
//!             else walk ─► commit the proposal ─► edit ─► emit | flood | punt | hand over | drop
//!         flush tx, expire, sweep after a reload or or when asked to close some
//! ```

mod apply;
mod door;
mod emit;
mod express;
mod fragment;
mod idle;
mod lane;
mod memory;
mod opening;
mod places;
mod police;
mod seen;
mod segment;
mod sweep;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::connections::{Direction, Hit, PortChooser, WorkerConnections};
use crate::counters::{Counters, Work};
use crate::exchange::{Exchange, HandedTo, InjectTo, Origin};
use crate::ids::{Tick, WorkerId, Zone};
use crate::io::{BURST, Burst, DeviceId, FramePool, Ports};
use crate::learned::Learned;
use crate::path::Paths;
use crate::pipeline::View;
use crate::snapshot::TablesReader;
use crate::spread::{Homes, Spread};
use crate::stage::enter::{self, Entered};
use crate::stage::nat;
use crate::verdict::{Step, Verdict};

pub use fragment::FragmentSetup;
pub use idle::IdleMode;

use apply::Whence;
use door::Doors;
use emit::Outbox;
use express::{Receipt, Sheet};
use fragment::UnderWay;
use idle::Idle;
use lane::Lanes;
use memory::Edition;
use opening::Openings;
use police::Police;
use sweep::Sweep;
use tally::Tally;

/// Cached ways a worker holds at most; connections beyond walk every packet.
const PATHS: usize = 1 << 16;
/// Connections looked at for expiry in one loop: more than a burst opens, and few enough that a loop takes less than
/// 50 us when each of them ends and none is in the cache.
const EXPIRE_BUDGET: usize = BURST + BURST / 2;
/// Frames of other workers dealt with in a loop at most.
const MOST_HANDED: usize = 4 * BURST;

/// What a worker is made of.
pub struct WorkerSetup<P: Ports, Q: FramePool<Frame = P::Frame>> {
    /// Which worker.
    pub id: WorkerId,
    /// Its queues.
    pub ports: P,
    /// Frames for flood copies.
    pub pool: Arc<Q>,
    /// Devices of the node.
    pub devices: u16,
    /// The tables.
    pub tables: TablesReader,
    /// Neighbors, MACs, roles.
    pub learned: Arc<Learned>,
    /// Its connections.
    pub connections: WorkerConnections,
    /// Queues of all workers, by id.
    pub exchanges: Arc<[Arc<Exchange<P::Frame>>]>,
    /// By device: who sends when this worker has no transmit queue there.
    pub tx_workers: Vec<WorkerId>,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// What it does without traffic.
    pub idle: IdleMode,
    /// Entropy for source ports.
    pub seed: [u64; 2],
    /// Time zero of ticks.
    pub start: Instant,
    /// Milliseconds from the start in which TCP connections may be picked up in the middle.
    pub pick_up: u32,
    /// By device: how it spreads packets over the workers; `None` where that is not known, or there is one queue.
    pub spreads: Vec<Option<Arc<Spread>>>,
    /// Fragments under way.
    pub fragments: FragmentSetup,
}

/// A poll-mode worker.
pub struct Worker<P: Ports, Q: FramePool<Frame = P::Frame>> {
    id: WorkerId,
    ports: P,
    pool: Arc<Q>,
    devices: u16,
    tables: TablesReader,
    learned: Arc<Learned>,
    connections: WorkerConnections,
    exchanges: Arc<[Arc<Exchange<P::Frame>>]>,
    tx_workers: Vec<WorkerId>,
    counters: Arc<Counters>,
    idle: Idle,
    start: Instant,
    pick_up: u32,
    paths: Paths,
    doors: Doors,
    lanes: Lanes,
    /// Away while a burst is dealt with.
    sheet: Option<Box<Sheet>>,
    openings: Openings,
    fragments: UnderWay<P::Frame>,
    homes: Homes,
    chooser: PortChooser,
    police: Police,
    sweep: Sweep,
    out: Vec<Outbox<P::Frame>>,
    received: Tally,
    sent: Tally,
    changes: u64,
    now: Tick,
    /// Another one whenever tables or learned changes are others; never 0.
    stamp: u32,
    /// Another one whenever the tables are others.
    edition: Edition,
    flood_budget: u32,
}

/// A frame that has entered, with what the connection look-up needs.
struct Pending<F> {
    frame: F,
    origin: Origin,
    entered: Entered,
    zone: Zone,
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// A worker that has not run yet.
    pub fn new(setup: WorkerSetup<P, Q>) -> Self {
        let outbox = |device| Outbox::new(setup.ports.can_tx(DeviceId(device)));
        let out = (0..setup.devices).map(outbox).collect();
        Worker {
            id: setup.id,
            ports: setup.ports,
            pool: setup.pool,
            devices: setup.devices,
            tables: setup.tables,
            learned: setup.learned,
            connections: setup.connections,
            exchanges: setup.exchanges,
            tx_workers: setup.tx_workers,
            counters: setup.counters,
            idle: Idle::new(setup.idle),
            start: setup.start,
            pick_up: setup.pick_up,
            paths: Paths::new(PATHS),
            doors: Doors::new(setup.devices),
            lanes: Lanes::new(),
            sheet: Some(Box::default()),
            openings: Openings::new(),
            fragments: UnderWay::new(setup.fragments),
            homes: Homes::new(setup.id, setup.spreads),
            chooser: PortChooser::new(setup.seed),
            police: Police::new(),
            sweep: Sweep::default(),
            out,
            received: Tally::default(),
            sent: Tally::default(),
            changes: 0,
            now: Tick(0),
            stamp: 1,
            edition: Edition::FIRST,
            flood_budget: 0,
        }
    }

    /// Its queues, for harnesses that make and check traffic between bursts.
    pub fn ports_mut(&mut self) -> &mut P {
        &mut self.ports
    }

    /// Polls until `stop` is set.
    pub fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let now = Tick(self.start.elapsed().as_millis() as u32);
            let frames = self.burst(now);
            let waiting = self
                .exchanges
                .get(usize::from(self.id.0))
                .is_some_and(|own| own.has_work());
            if self
                .idle
                .after(frames > 0 || waiting || self.sweep.active(), now)
            {
                self.counters.count(Work::Sleep, 1);
            }
        }
    }

    /// One loop: a burst from every queue. Returns the frames it took.
    pub fn burst(&mut self, now: Tick) -> usize {
        self.counters.beat(now);
        let fresh = self.tables.refresh();
        if fresh {
            self.sweep.begin();
            self.doors.close();
            self.edition = self.edition.next();
        }
        self.heed_orders(now);
        let changes = self.learned.changes();
        if fresh || changes != self.changes {
            self.stamp = self.stamp.wrapping_add(1).max(1);
        }
        (self.changes, self.now) = (changes, now);
        self.paths.settle();
        self.flood_budget = emit::FLOOD_COPIES;
        let mut taken = self.take_handed() + self.take_injected();
        for device in 0..self.devices {
            let device = DeviceId(device);
            if !self.ports.can_rx(device) {
                continue;
            }
            let mut frames = Burst::new();
            self.ports.rx_burst(device, &mut frames);
            if !frames.is_empty() {
                taken += frames.len();
                self.receive(device, &mut frames, Receipt::Device);
            }
        }
        self.tend_fragments();
        self.flush();
        self.expire();
        self.sweep_some();
        self.counters
            .count(if taken > 0 { Work::Busy } else { Work::Empty }, 1);
        taken
    }

    /// Deals with a frame that is not on the express way: looked up alone, then by its cached way or walked.
    fn admit(&mut self, frame: P::Frame, origin: Origin, entered: Step<Entered>) {
        let entered = match entered {
            Step::Continue(entered) => entered,
            Step::Break(verdict) => return self.end_early(frame, origin, verdict),
        };
        let zone = enter::zone(self.tables.tables(), &entered.entry);
        let key = entered.datagram().and_then(|ip| nat::flow_key(ip, zone));
        let hit = key.and_then(|key| self.connections.table().find(&key));
        let pending = Pending {
            frame,
            origin,
            entered,
            zone,
        };
        self.deal(pending, hit);
    }

    fn deal(&mut self, mut pending: Pending<P::Frame>, mut hit: Option<Hit>) {
        if let Some(found) = &hit {
            match found.owner {
                Some(owner) if owner != self.id => {
                    let to = match pending.entered.first {
                        None => HandedTo::Owner(pending.origin),
                        Some(first) => HandedTo::Known(pending.origin, first),
                    };
                    return self.hand_over(owner, pending.frame, to);
                }
                None if !self.connections.claim(found.conn, self.now) => hit = None,
                _ => {}
            }
        }
        if let Some(found) = hit {
            match self.established(pending, found) {
                None => return,
                Some(back) => pending = back,
            }
        }
        self.walk(pending, hit);
    }

    fn view(&self) -> View<'_> {
        View {
            tables: self.tables.tables(),
            learned: &self.learned,
            connections: self.connections.table(),
            now: self.now,
            pick_up: self.now.0 < self.pick_up,
            homes: &self.homes,
        }
    }

    // ---- frames from elsewhere ----

    fn take_injected(&mut self) -> usize {
        let exchanges = Arc::clone(&self.exchanges);
        let Some(own) = exchanges.get(usize::from(self.id.0)) else {
            return 0;
        };
        let mut count = 0;
        while count < BURST
            && let Some(injected) = own.next_injected()
        {
            count += 1;
            self.counters.count(Work::Injected, 1);
            match injected.to {
                InjectTo::Device(device) => self.send(device, injected.frame),
                InjectTo::Walk(origin) => self.enter_again(injected.frame, origin),
                InjectTo::Known(origin, first) => {
                    self.fragment_known(injected.frame, origin, first);
                }
            }
        }
        count
    }

    fn take_handed(&mut self) -> usize {
        let exchanges = Arc::clone(&self.exchanges);
        let Some(own) = exchanges.get(usize::from(self.id.0)) else {
            return 0;
        };
        // Those in a row that came by one device are dealt with together.
        let (mut from, mut frames) = (DeviceId(0), Burst::new());
        let mut count = 0;
        while count < MOST_HANDED
            && let Some(handed) = own.next_handed()
        {
            count += 1;
            if let HandedTo::Owner(Origin::Device(device)) = handed.to {
                if device != from || frames.is_full() {
                    self.receive_handed(from, &mut frames);
                }
                from = device;
                frames.push(handed.frame);
                continue;
            }
            self.receive_handed(from, &mut frames);
            match handed.to {
                HandedTo::Transmit(device) => self.send(device, handed.frame),
                HandedTo::Owner(origin) => self.enter_again(handed.frame, origin),
                HandedTo::Known(origin, first) => self.fragment_known(handed.frame, origin, first),
                HandedTo::Fragment(origin) => self.fragment_handed(handed.frame, origin),
            }
        }
        self.receive_handed(from, &mut frames);
        count
    }

    fn receive_handed(&mut self, device: DeviceId, frames: &mut Burst<P::Frame>) {
        if !frames.is_empty() {
            self.receive(device, frames, Receipt::Worker);
        }
    }

    fn enter_again(&mut self, frame: P::Frame, origin: Origin) {
        let entered = self.enter(&frame, origin);
        self.admit(frame, origin, entered);
    }

    fn end_early(&mut self, frame: P::Frame, origin: Origin, verdict: Verdict) {
        match verdict {
            Verdict::Punt(punt) => {
                let whence = Whence {
                    inner: 0,
                    origin,
                    first: None,
                    home: None,
                };
                self.punt(frame, whence, punt);
            }
            Verdict::Drop(reason) | Verdict::Reject { reason, .. } => self.counters.dropped(reason),
            // Entering decides nothing else.
            Verdict::Transmit(_)
            | Verdict::Flood(_)
            | Verdict::Refuse { .. }
            | Verdict::Reassemble => {}
        }
    }

    fn expire(&mut self) {
        let (paths, counters) = (&mut self.paths, &self.counters);
        let closed = self
            .connections
            .expire(self.now, EXPIRE_BUDGET, |connection, _| {
                for direction in [Direction::Original, Direction::Reply] {
                    paths.release(connection.paths[direction.index()]);
                }
            });
        counters.count(Work::Closed, closed as u64);
    }
}
