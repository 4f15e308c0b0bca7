//! A node of one worker and its slow path, stepped by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, anyhow};
use sluice_fastpath::connections::{Capacity, ConnectionTable, Timeouts};
use sluice_fastpath::counters::Counters;
use sluice_fastpath::exchange::Exchange;
use sluice_fastpath::ids::{Tick, WorkerId};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::worker::{IdleMode, Worker, WorkerSetup};
use sluice_mgmt::compile::{Compiler, ROLE_CAPACITY};
use sluice_mgmt::config::{Host, Loaded, load_on};
use sluice_mgmt::reload::node_view;
use sluice_slowpath::{Agent, AgentConfig, Settings};

use super::frames::{Counts, PlayPool, PlayPorts, Source, World};
use crate::scenario::{Network, SIDE_MACS, Side};
use crate::traffic::{Load, Records};

/// Frames that wait in one queue between worker and slow path.
const QUEUE_DEPTH: usize = 512;

/// The node.
pub(crate) struct Node {
    ports: PlayPorts,
    worker: Worker<PlayPorts, PlayPool>,
    agent: Agent<PlayPool>,
    connections: Arc<ConnectionTable>,
    now: Tick,
    /// Laps after which all flows were met.
    laps: u64,
}

impl Node {
    pub(crate) fn new(network: &Network, load: &Load) -> anyhow::Result<Self> {
        let loaded = loaded(network)?;
        let cell = published(&loaded)?;
        let sources = sources(network, load)?;
        let laps = sources
            .iter()
            .filter(|source| matches!(source, Source::Records(..)))
            .count();
        let ports = PlayPorts::new(World::new(sources));
        let plane = &loaded.node.dataplane;
        let learned = Arc::new(Learned::new(
            plane.neighbors as usize,
            plane.fdb as usize,
            ROLE_CAPACITY,
        ));
        let capacity = Capacity {
            v4: plane.connections as usize,
            v6: plane.connections_ipv6 as usize,
        };
        let table = ConnectionTable::new(capacity, 1, 1);
        cell.current().prepare(&table);
        let parker = crossbeam::sync::Parker::new();
        let asleep = Arc::new(AtomicBool::new(false));
        let exchange = Arc::new(Exchange::new(
            QUEUE_DEPTH,
            parker.unparker().clone(),
            asleep,
        ));
        let now = Tick(1);
        let connections = table.worker(WorkerId(0), Timeouts::default(), now);
        let worker = Worker::new(WorkerSetup {
            id: WorkerId(0),
            ports: ports.clone(),
            pool: Arc::new(PlayPool),
            devices: 2,
            tables: cell.reader(),
            learned: Arc::clone(&learned),
            connections: connections.context("the table has one worker")?,
            exchanges: [Arc::clone(&exchange)].into(),
            tx_workers: vec![WorkerId(0); 2],
            counters: Arc::new(Counters::new(2)),
            idle: IdleMode::Poll,
            seed: [1, 2],
            start: Instant::now(),
            pick_up: 0,
            spreads: Vec::new(),
            fragments: Default::default(),
        });
        let agent = Agent::new(AgentConfig {
            pool: Arc::new(PlayPool),
            exchanges: vec![exchange],
            learned,
            reader: cell.reader(),
            settings: Settings::default(),
        })?;
        Ok(Self {
            ports,
            worker,
            agent,
            connections: table,
            now,
            laps: laps as u64,
        })
    }

    /// One loop of the worker; a millisecond later than the one before, if `tick`.
    pub(crate) fn burst(&mut self, tick: bool) {
        if tick {
            self.now = self.now.plus(1);
        }
        self.worker.burst(self.now);
    }

    /// Lets the slow path do what there is to do.
    pub(crate) fn slow_path(&mut self) {
        self.agent.step(self.now);
    }

    /// Every flow has come by.
    pub(super) fn met_all(&self) -> bool {
        self.counts().laps >= self.laps
    }

    /// From now on nothing is answered and samples are new.
    pub(super) fn quiet(&mut self) {
        let mut world = self.ports.world();
        world.answers = false;
        world.samples.clear();
    }

    /// The node's time.
    pub(crate) fn now(&self) -> Tick {
        self.now
    }

    /// All connections.
    pub(crate) fn connections(&self) -> &ConnectionTable {
        &self.connections
    }

    /// From now on one side receives these records, or nothing.
    pub(crate) fn receive(&mut self, side: usize, records: Option<Records>) {
        let source = records.map_or(Source::Silent, |records| Source::Records(records, None));
        self.ports.world().play(side, source);
    }

    pub(super) fn counts(&self) -> Counts {
        self.ports.world().counts
    }

    pub(super) fn samples(&self) -> Vec<(usize, Vec<u8>)> {
        self.ports.world().samples.iter().cloned().collect()
    }
}

/// The scenario's files as the daemon reads them.
fn loaded(network: &Network) -> anyhow::Result<Loaded> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("sluice-perf-replay-{}-{number}", std::process::id());
    let directory: PathBuf = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory)?;
    let written = network
        .files
        .iter()
        .try_for_each(|(name, text)| std::fs::write(directory.join(name), text));
    let host = Host { cpus: vec![0] };
    let loaded = written.map(|()| load_on(&directory.join("node.toml"), &host));
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_dir_all(&directory);
    loaded?.map_err(|errors| anyhow!("{}", errors.render(false)))
}

fn published(loaded: &Loaded) -> anyhow::Result<Arc<TablesCell>> {
    let mut compiler = Compiler::new();
    let compiled = node_view(&loaded.node, &SIDE_MACS)
        .and_then(|view| compiler.compile(&loaded.topology, &view))
        .map_err(|problems| anyhow!("{problems:?}"))?;
    let cell = TablesCell::new();
    cell.publish(compiler.commit(compiled));
    Ok(cell)
}

fn sources(network: &Network, load: &Load) -> anyhow::Result<[Source; 2]> {
    let mut sources = [Source::Silent, Source::Silent];
    let records = network.records(load, 0)?;
    for ((source, side), records) in sources.iter_mut().zip(&network.sides).zip(records) {
        *source = match (side, records) {
            (Side::Turned, _) => Source::Turned,
            (_, Some(records)) => Source::Records(records, network.lap_at),
            (_, None) => Source::Silent,
        };
    }
    Ok(sources)
}
