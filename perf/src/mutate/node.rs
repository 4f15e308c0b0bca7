//! A whole gateway in memory: one worker, the slow path, and tables compiled from a topology.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, anyhow};
use sluice_fastpath::connections::{Capacity, ConnectionTable, Timeouts};
use sluice_fastpath::counters::Counters;
use sluice_fastpath::exchange::Exchange;
use sluice_fastpath::ids::{Tick, WorkerId};
use sluice_fastpath::io::memory::{MemoryDevices, MemoryPool, MemoryPorts, VecFrame};
use sluice_fastpath::io::{DeviceId, FramePool};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::worker::{IdleMode, Worker, WorkerSetup};
use sluice_mgmt::compile::{Compiler, DeviceView, NodeView, ROLE_CAPACITY, UnderlayView};
use sluice_mgmt::config::parse_topology;
use sluice_net::Mac;
use sluice_slowpath::{Agent, AgentConfig, Settings};

const TOPOLOGY: &str = include_str!("topology.toml");

/// A switch more, for every second reload.
const MORE: &str = "\n[switch.more.port.m]\naddresses = [\"02:00:00:00:00:77\"]\n";

/// The devices, in the order of their ids: the underlay, the wire, and VIFs.
pub(super) const DEVICES: [&str; 6] = ["eth0", "eth1", "a", "b", "v", "w"];

/// MAC of the underlay device.
pub(super) const UNDERLAY_MAC: Mac = Mac([0x0e, 0, 0, 0, 0, 1]);

const BUFFERS: usize = 16_384;

/// The node.
pub(super) struct Gateway {
    compiler: Compiler,
    cell: Arc<TablesCell>,
    devices: MemoryDevices,
    pool: Arc<MemoryPool>,
    exchange: Arc<Exchange<VecFrame>>,
    worker: Worker<MemoryPorts, MemoryPool>,
    counters: Arc<Counters>,
    agent: Agent<MemoryPool>,
    now: Tick,
    reloads: u32,
}

fn view() -> NodeView {
    let device = |(index, name): (usize, &&str)| DeviceView {
        name: (*name).to_owned(),
        mac: Mac([0x0e, 0, 0, 0, 0, index as u8 + 1]),
        mtu: 1600,
    };
    let vifs = ["a", "b", "v", "w"].into_iter().zip(2..);
    NodeView {
        chassis: "gw".to_owned(),
        devices: DEVICES.iter().enumerate().map(device).collect(),
        iface_id: vifs
            .map(|(name, device)| (name.to_owned(), DeviceId(device)))
            .collect(),
        bridge_mappings: [("wire".to_owned(), DeviceId(1))].into(),
        underlay: Some(UnderlayView {
            device: DeviceId(0),
            vlan: None,
            address: ipnet(),
            gateway: None,
            mtu: 1600,
        }),
    }
}

/// 172.16.0.1/24.
fn ipnet() -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new_assert([172, 16, 0, 1].into(), 24)
}

impl Gateway {
    /// A node that has its first tables.
    pub(super) fn new() -> anyhow::Result<Self> {
        let count = DEVICES.len();
        let devices = MemoryDevices::new(count, 1);
        let pool = Arc::new(MemoryPool::new(BUFFERS));
        let learned = Arc::new(Learned::new(4096, 4096, ROLE_CAPACITY));
        let cell = TablesCell::new();
        let connections = ConnectionTable::new(Capacity::of_each(8192), 1, 1);
        let parker = crossbeam::sync::Parker::new();
        let exchange = Arc::new(Exchange::new(
            1024,
            parker.unparker().clone(),
            Arc::new(AtomicBool::new(false)),
        ));
        let counters = Arc::new(Counters::new(count));
        let now = Tick(1);
        let worker = Worker::new(WorkerSetup {
            id: WorkerId(0),
            ports: devices.ports(0),
            pool: Arc::clone(&pool),
            devices: count as u16,
            tables: cell.reader(),
            learned: Arc::clone(&learned),
            connections: connections
                .worker(WorkerId(0), Timeouts::default(), now)
                .context("the table has one worker")?,
            exchanges: [Arc::clone(&exchange)].into(),
            tx_workers: vec![WorkerId(0); count],
            counters: Arc::clone(&counters),
            idle: IdleMode::Poll,
            seed: [1, 2],
            start: Instant::now(),
            pick_up: 0,
            spreads: Vec::new(),
            fragments: Default::default(),
        });
        let agent = Agent::new(AgentConfig {
            pool: Arc::clone(&pool),
            exchanges: vec![Arc::clone(&exchange)],
            learned,
            reader: cell.reader(),
            settings: Settings::default(),
        })?;
        let mut gateway = Self {
            compiler: Compiler::new(),
            cell,
            devices,
            pool,
            exchange,
            worker,
            counters,
            agent,
            now,
            reloads: 0,
        };
        gateway.reload()?;
        Ok(gateway)
    }

    /// Compiles and publishes; every second time with a switch more.
    pub(super) fn reload(&mut self) -> anyhow::Result<()> {
        let mut text = TOPOLOGY.to_owned();
        if self.reloads % 2 == 1 {
            text.push_str(MORE);
        }
        self.reloads += 1;
        let resolved = parse_topology("topology.toml", &text, Path::new("."))
            .map_err(|errors| anyhow!("{errors}"))?;
        let compiled = self
            .compiler
            .compile(&resolved, &view())
            .map_err(|problems| anyhow!("{problems:#?}"))?;
        self.cell.publish(self.compiler.commit(compiled));
        Ok(())
    }

    /// How many devices there are.
    pub(super) fn devices(&self) -> u16 {
        DEVICES.len() as u16
    }

    /// Lets a frame arrive.
    pub(super) fn feed(&self, device: DeviceId, bytes: &[u8]) {
        match self.pool.alloc(bytes) {
            Some(frame) => {
                self.devices.feed_frame(device, 0, frame);
            }
            None => panic!("no buffer for a frame of {} bytes", bytes.len()),
        }
    }

    /// Runs worker and slow path until both have nothing to do. Returns how many of the frames sent do not parse.
    pub(super) fn settle(&mut self) -> u64 {
        let mut unparsable = 0;
        self.now = self.now.plus(1);
        loop {
            let taken = self.worker.burst(self.now);
            let waiting = !self.agent.is_drained();
            self.agent.step(self.now);
            for device in 0..self.devices() {
                let sent = self.devices.sent(DeviceId(device));
                unparsable += sent
                    .iter()
                    .filter(|frame| sluice_net::parse(frame).is_err())
                    .count() as u64;
            }
            if taken == 0 && !waiting && !self.exchange.has_work() {
                return unparsable;
            }
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: u32) {
        self.now = self.now.plus(ms);
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn buffers_in_use(&self) -> usize {
        self.pool.in_use()
    }
}
