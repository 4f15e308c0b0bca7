//! What everybody outside the packet path may read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::Sender;
use sluice_fastpath::connections::ConnectionTable;
use sluice_fastpath::counters::Counters;
use sluice_fastpath::ids::{Tick, WorkerId};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_slowpath::{AgentCounters, AgentRequest};

use super::Interfaces;
use crate::config::Node;
use crate::reload::ReloadHandle;
use crate::topology::Resolved;

/// The configuration in effect.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The node file.
    pub file: PathBuf,
    /// What it says, as far as it is in effect.
    pub node: Node,
    /// The topology.
    pub topology: Resolved,
    /// Equal on nodes that run the same topology.
    pub digest: u64,
    /// When it was put into effect.
    pub since: SystemTime,
}

/// A worker, seen from outside.
#[derive(Debug)]
pub struct WorkerState {
    /// Which one.
    pub id: WorkerId,
    /// Its CPU.
    pub cpu: usize,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// It has not begun a loop for a second.
    pub stalled: AtomicBool,
}

/// A running node. Reading it disturbs nobody; nothing here is waited for by a worker.
pub struct State {
    /// Name of this chassis.
    pub chassis: String,
    /// Zero of all ticks.
    pub start: Instant,
    /// The same moment on the calendar.
    pub started: SystemTime,
    /// Compiled tables.
    pub tables: Arc<TablesCell>,
    /// Neighbors, MACs and roles.
    pub learned: Arc<Learned>,
    /// Connections.
    pub connections: Arc<ConnectionTable>,
    /// The workers, by id.
    pub workers: Vec<WorkerState>,
    /// What the slow path counts.
    pub agent: Arc<AgentCounters>,
    /// Where the slow path takes requests.
    pub requests: Sender<AgentRequest>,
    /// The devices.
    pub interfaces: Box<dyn Interfaces>,
    /// Where reloads are asked for.
    pub reload: ReloadHandle,
    /// The configuration in effect; the reload thread replaces it.
    pub(crate) configuration: Mutex<Arc<Configuration>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("chassis", &self.chassis)
            .finish_non_exhaustive()
    }
}

impl State {
    /// The configuration in effect.
    #[must_use]
    pub fn configuration(&self) -> Arc<Configuration> {
        Arc::clone(
            &self
                .configuration
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn configure(&self, configuration: Configuration) {
        *self
            .configuration
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(configuration);
    }

    /// Now, as the workers count it.
    #[must_use]
    pub fn now(&self) -> Tick {
        Tick(self.start.elapsed().as_millis() as u32)
    }

    /// Time since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }

    /// The sum of a counter over all workers.
    pub fn sum(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.workers
            .iter()
            .map(|worker| counter(&worker.counters))
            .sum()
    }
}

impl WorkerState {
    /// Notes whether the worker is stalled at `now`; true when that changed.
    pub(crate) fn judge(&self, now: Tick, patience: u32) -> bool {
        // A heartbeat from a moment after `now` was read counts as now.
        let age = now.since(self.counters.heartbeat());
        let stalled = age > patience && age < u32::MAX / 2;
        self.stalled.swap(stalled, Ordering::AcqRel) != stalled
    }
}
