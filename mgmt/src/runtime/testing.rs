//! A whole node in memory, for tests: its threads do not run, so that nothing happens by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_fastpath::ids::Tick;
use sluice_fastpath::io::memory::{MemoryDevices, MemoryPool, MemoryPorts};
use sluice_fastpath::worker::Worker;
use sluice_net::Mac;
use sluice_slowpath::Agent;

use super::start::Assembled;
use super::{Hardware, InterfaceStatus, Interfaces, State};
use crate::config::{Loaded, load};
use crate::reload::{ReloadHandle, ReloadReport, Reloader};

/// Files of one test, removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-mgmt-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        Self(directory)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file of the test");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A later run has another directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct InMemory(Vec<Mac>);

impl Interfaces for InMemory {
    fn status(&self) -> Vec<InterfaceStatus> {
        let status = |mac: &Mac| InterfaceStatus {
            driver: "memory".to_owned(),
            mac: *mac,
            up: true,
            speed_mbps: None,
            rx_queues: 1,
            tx_queues: 1,
            rx_missed: 0,
            rx_errors: 0,
            rx_no_buffer: 0,
            rx_unjoined: 0,
            tx_errors: 0,
        };
        self.0.iter().map(status).collect()
    }

    fn close(&self) {}
}

/// A node that does what it is told to, step by step.
pub(crate) struct Bench {
    pub(crate) state: Arc<State>,
    pub(crate) reloader: Reloader,
    pub(crate) devices: MemoryDevices,
    pub(crate) worker: Worker<MemoryPorts, MemoryPool>,
    pub(crate) agent: Agent<MemoryPool>,
    now: Tick,
}

impl Bench {
    /// The node of a node file with one worker. Its devices have the MACs 02:00:00:00:00:01, :02 and so on,
    /// in the order of their names.
    pub(crate) fn new(file: &Path) -> Self {
        Self::of(file, load(file).unwrap_or_else(|errors| panic!("{errors}")))
    }

    /// A node file below `configs/`, with small tables.
    pub(crate) fn example(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../configs")
            .join(name);
        let mut loaded = load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        let plane = &mut loaded.node.dataplane;
        (plane.connections, plane.neighbors, plane.fdb) = (1024, 1024, 1024);
        Self::of(&file, loaded)
    }

    fn of(file: &Path, loaded: Loaded) -> Self {
        let count = loaded.node.interfaces.len();
        let macs: Vec<Mac> = (1..=count as u64)
            .map(|n| Mac::from_u64(0x0200_0000_0000 + n))
            .collect();
        let devices = MemoryDevices::new(count, 1);
        let hardware = Hardware {
            spreads: Vec::new(),
            ports: vec![devices.ports(0)],
            pool: Arc::new(MemoryPool::new(4096)),
            queues: devices.queues().clone(),
            macs: macs.clone(),
            interfaces: Box::new(InMemory(macs)),
        };
        let assembled = Assembled::new(file.to_owned(), loaded, hardware);
        let Assembled {
            state,
            reloader,
            agent,
            workers,
            ..
        } = assembled.unwrap_or_else(|e| panic!("{e}"));
        let setup = workers.into_iter().next().expect("one worker");
        let mut bench = Self {
            state,
            reloader,
            devices,
            worker: Worker::new(setup),
            agent,
            now: Tick(1),
        };
        bench.settle();
        bench
    }

    /// Lets worker and slow path run until neither has anything to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..16 {
            self.now = self.now.plus(1);
            self.agent.step(self.now);
            self.worker.burst(self.now);
        }
    }

    /// Reloads as the reload thread does.
    pub(crate) fn reload(&mut self) -> ReloadReport {
        self.serve(|handle| handle.reload())
    }

    /// Checks as the reload thread does.
    pub(crate) fn check(&mut self, file: Option<PathBuf>) -> ReloadReport {
        self.serve(|handle| handle.check(file))
    }

    fn serve(
        &mut self,
        ask: impl FnOnce(&ReloadHandle) -> Option<ReloadReport> + Send,
    ) -> ReloadReport {
        let state = Arc::clone(&self.state);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&state.reload));
            while !asked.is_finished() {
                self.reloader.serve_waiting(&self.state);
                std::thread::yield_now();
            }
            asked.join().expect("it does not panic").expect("a report")
        })
    }

    /// Whole connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.len()
    }
}
