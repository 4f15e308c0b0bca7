//! One node: everything the daemon is made of but for threads, DPDK and sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crossbeam::sync::Parker;
use sluice_fastpath::connections::{Capacity, ConnectionTable, Timeouts};
use sluice_fastpath::counters::Counters;
use sluice_fastpath::exchange::Exchange;
use sluice_fastpath::fragments::{Limits, Secret};
use sluice_fastpath::ids::{PortId, Tick, WorkerId};
use sluice_fastpath::io::memory::{MemoryDevices, MemoryPool, MemoryPorts, VecFrame};
use sluice_fastpath::io::queues::QueueCounts;
use sluice_fastpath::io::{DeviceId, FramePool};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::spread::Spread;
use sluice_fastpath::tables::{PieceKind, Tables};
use sluice_fastpath::worker::{FragmentSetup, IdleMode, Worker, WorkerSetup};
use sluice_mgmt::compile::{Changes, Compiler, NodeView, ROLE_CAPACITY};
use sluice_mgmt::config::{Host, Loaded, load_on};
use sluice_net::Mac;
use sluice_slowpath::{Agent, AgentConfig, AgentCounters, AgentRequest, Settings};

use super::counts::{Counts, conserved};

/// What a test chooses about a node.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Workers; each has a queue of every device unless `queues` says otherwise.
    pub workers: usize,
    /// Receive and transmit queues of every device.
    pub queues: Option<(u16, u16)>,
    /// Connections it can hold.
    pub connections: usize,
    /// Times of connections.
    pub timeouts: Timeouts,
    /// Buffers for copies and for the slow path.
    pub buffers: usize,
    /// Depth of the queues to the slow path.
    pub depth: usize,
    /// Bounds of the slow path.
    pub settings: Settings,
    /// Milliseconds from time zero in which TCP connections are picked up in the middle.
    pub pick_up: u32,
    /// How its devices spread packets over its workers, as far as it knows.
    pub spreads: Vec<Option<Arc<Spread>>>,
    /// Fragments under way, of each worker.
    pub fragments: Limits,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            queues: None,
            connections: 4096,
            timeouts: Timeouts::default(),
            buffers: 65_536,
            depth: 1024,
            settings: Settings::default(),
            pick_up: 0,
            spreads: Vec::new(),
            fragments: Limits::default(),
        }
    }
}

/// A node.
pub struct Node {
    pub name: String,
    file: PathBuf,
    pub view: NodeView,
    compiler: Compiler,
    pub cell: Arc<TablesCell>,
    retired: Vec<Arc<Tables>>,
    /// How often its ways were forgotten.
    forgotten: u64,
    pub devices: MemoryDevices,
    pub pool: Arc<MemoryPool>,
    pub learned: Arc<Learned>,
    pub connections: Arc<ConnectionTable>,
    exchanges: Vec<Arc<Exchange<VecFrame>>>,
    workers: Vec<Worker<MemoryPorts, MemoryPool>>,
    pub counters: Vec<Arc<Counters>>,
    agent: Agent<MemoryPool>,
    pub agent_counters: Arc<AgentCounters>,
    /// When the agent wants to be called again.
    pub due: Tick,
    /// The counters as they were when a test last looked.
    pub mark: Counts,
}

/// The MAC of a device: by chassis and interface.
pub fn device_mac(chassis: &str, interface: &str) -> Mac {
    let hash = chassis
        .bytes()
        .chain(*b"/")
        .chain(interface.bytes())
        .fold(0x811c_9dc5u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    let [a, b, c, d] = hash.to_be_bytes();
    Mac([0x0e, 0xaa, a, b, c, d])
}

fn read(file: &Path) -> (Loaded, NodeView) {
    let host = Host {
        cpus: (0..8).collect(),
    };
    let loaded = load_on(file, &host).unwrap_or_else(|errors| panic!("{errors}"));
    let view = NodeView::new(&loaded.node, |name| device_mac(&loaded.node.chassis, name))
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    (loaded, view)
}

impl Node {
    /// Starts a node from its file.
    pub fn start(file: PathBuf, options: &NodeOptions, now: Tick) -> Node {
        let (loaded, view) = read(&file);
        let count = u16::try_from(view.devices.len()).unwrap();
        let each = u16::try_from(options.workers).unwrap();
        let (rx, tx) = options.queues.unwrap_or((each, each));
        let queues = vec![QueueCounts { rx, tx }; usize::from(count)];
        let devices = MemoryDevices::with_queues(options.workers, &queues);
        let pool = Arc::new(MemoryPool::new(options.buffers));
        let learned = Arc::new(Learned::new(4096, 4096, ROLE_CAPACITY));
        let cell = TablesCell::new();
        let connections =
            ConnectionTable::new(Capacity::of_each(options.connections), options.workers, 7);
        let parker = Parker::new();
        let asleep = Arc::new(AtomicBool::new(false));
        let exchanges: Vec<_> = (0..options.workers)
            .map(|_| {
                let exchange = Exchange::new(
                    options.depth,
                    parker.unparker().clone(),
                    Arc::clone(&asleep),
                );
                Arc::new(exchange)
            })
            .collect();
        let counters: Vec<_> = (0..options.workers)
            .map(|_| Arc::new(Counters::new(count.into())))
            .collect();
        let setup = |index: usize| WorkerSetup {
            id: WorkerId(index as u8),
            ports: devices.ports(index),
            pool: Arc::clone(&pool),
            devices: count,
            tables: cell.reader(),
            learned: Arc::clone(&learned),
            connections: connections
                .worker(WorkerId(index as u8), options.timeouts, now)
                .unwrap(),
            exchanges: exchanges.clone().into(),
            tx_workers: (0..count)
                .map(|device| {
                    let worker = devices.queues().tx_worker(DeviceId(device), index);
                    WorkerId(worker.unwrap() as u8)
                })
                .collect(),
            counters: Arc::clone(&counters[index]),
            idle: IdleMode::Poll,
            seed: [11, index as u64],
            start: Instant::now(),
            pick_up: options.pick_up,
            spreads: options.spreads.clone(),
            fragments: FragmentSetup {
                limits: options.fragments,
                secret: Secret(5),
            },
        };
        let workers = (0..options.workers)
            .map(|index| Worker::new(setup(index)))
            .collect();
        let agent = Agent::new(AgentConfig {
            pool: Arc::clone(&pool),
            exchanges: exchanges.clone(),
            learned: Arc::clone(&learned),
            reader: cell.reader(),
            settings: options.settings.clone(),
        })
        .unwrap();
        let mut node = Node {
            name: loaded.node.chassis.clone(),
            file,
            view,
            compiler: Compiler::new(),
            cell,
            retired: Vec::new(),
            forgotten: 0,
            devices,
            pool,
            learned,
            connections,
            exchanges,
            workers,
            agent_counters: agent.counters(),
            agent,
            counters,
            due: now,
            mark: Counts::default(),
        };
        node.publish(&loaded);
        node
    }

    fn publish(&mut self, loaded: &Loaded) -> Changes {
        let compiled = self
            .compiler
            .compile(&loaded.topology, &self.view)
            .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let changes = compiled.changes.clone();
        let tables = self.compiler.commit(compiled);
        tables.prepare(&self.connections);
        let old = self.cell.publish(tables);
        self.retired.push(old);
        changes
    }

    /// Reads its files again and publishes what they say, as the daemon does.
    pub fn reload(&mut self) -> Changes {
        let (loaded, view) = read(&self.file);
        self.view = view;
        self.due = Tick(0);
        self.publish(&loaded)
    }

    /// Publishes the tables as they are as another generation, in which every cached way is stale.
    pub fn forget_ways(&mut self) {
        let tables = self.cell.current();
        self.forgotten += 1;
        // Far from the numbers that the compiler gives.
        let generation = (1 << 32) + self.forgotten;
        let old = self.cell.publish(Arc::new(Tables {
            generation,
            wiring: generation,
            datapaths: tables.datapaths.clone(),
            ports: tables.ports.clone(),
            by_vni: tables.by_vni.clone(),
            devices: tables.devices.clone(),
            tunnels: tables.tunnels.clone(),
            peers: tables.peers.clone(),
            underlay: tables.underlay.clone(),
        }));
        self.retired.push(old);
        self.wake();
    }

    /// Lets the slow path look around in the next turn, as it does in another generation.
    pub fn wake(&mut self) {
        self.due = Tick(0);
    }

    /// The device of an interface.
    pub fn device(&self, interface: &str) -> DeviceId {
        let mut names = self.view.devices.iter();
        let index = names.position(|device| device.name == interface);
        DeviceId(index.unwrap_or_else(|| panic!("{} has no {interface}", self.name)) as u16)
    }

    /// Lets a frame arrive.
    pub fn feed(&self, device: DeviceId, queue: u16, bytes: &[u8]) {
        let frame = self.pool.alloc(bytes).expect("a buffer");
        assert!(
            self.devices.feed_frame(device, queue, frame),
            "no such queue"
        );
    }

    /// Worker loops and one step of the slow path. True when anything was done.
    pub fn turn(&mut self, now: Tick) -> bool {
        let mut taken = 0;
        for worker in &mut self.workers {
            taken += worker.burst(now);
        }
        let waiting = !self.agent.is_drained();
        if waiting || now.reached(self.due) {
            self.due = self.agent.step(now);
        }
        if self.cell.all_passed() {
            self.retired.clear();
        }
        taken > 0 || waiting || self.exchanges.iter().any(|exchange| exchange.has_work())
    }

    /// The slow path is asked for something.
    pub fn request(&self, request: AgentRequest) {
        self.agent.requests().send(request).unwrap();
    }

    /// All counters.
    pub fn counts(&self) -> Counts {
        Counts::read(&self.counters, &self.agent_counters)
    }

    /// Panics when a frame is neither here nor there, or old tables are held.
    pub fn check(&self) {
        let devices = u16::try_from(self.view.devices.len()).unwrap();
        if let Err(sums) = conserved(&self.counters, devices) {
            panic!("{}: {sums}; {}", self.name, self.counts().since(&self.mark));
        }
        assert!(
            self.retired.is_empty(),
            "{}: a reader holds old tables",
            self.name
        );
    }

    /// Names of the switch ports bound here, with their devices.
    pub fn vifs(&self) -> impl Iterator<Item = (&str, DeviceId)> {
        let bound = self.view.iface_id.iter();
        bound.map(|(port, device)| (port.as_str(), *device))
    }

    /// The index of a logical port by its name.
    pub fn port(&self, name: &str) -> PortId {
        let tables = self.cell.current();
        let ids = (0..tables.ports.len() as u32).map(PortId);
        let mut found = ids.filter(|id| tables.port_name(*id) == name);
        found
            .next()
            .unwrap_or_else(|| panic!("{} has no port {name}", self.name))
    }

    /// The tunnel keys of a switch or router and of one of its ports (the redirect key, for a `cr-` name).
    pub fn keys(&self, datapath: &str, port: &str) -> (sluice_net::Vni, u16) {
        let tables = self.cell.current();
        let mut pieces = tables.datapaths.iter().flatten();
        let piece = pieces
            .find(|piece| piece.name == datapath)
            .unwrap_or_else(|| panic!("{} has no {datapath}", self.name));
        let key = match &piece.kind {
            PieceKind::Switch(switch) => switch
                .ports
                .iter()
                .find(|found| found.name == port)
                .map(|port| port.key),
            PieceKind::Router(router) => router
                .ports
                .iter()
                .find(|found| port.trim_start_matches("cr-") == found.name)
                .and_then(|found| {
                    if port.starts_with("cr-") {
                        found.gateway.as_ref().map(|gateway| gateway.redirect_key)
                    } else {
                        Some(found.key)
                    }
                }),
        };
        (
            piece.vni,
            key.unwrap_or_else(|| panic!("{datapath} has no port {port}")),
        )
    }
}
