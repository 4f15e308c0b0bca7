//! Puts a node together and starts its threads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use crossbeam::sync::Parker;
use sluice_fastpath::connections::{Capacity, ConnectionTable};
use sluice_fastpath::counters::Counters;
use sluice_fastpath::exchange::Exchange;
use sluice_fastpath::fragments::Secret;
use sluice_fastpath::ids::{Tick, WorkerId};
use sluice_fastpath::io::queues::QueueMap;
use sluice_fastpath::io::{DeviceId, FramePool, Ports};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::spread::Spread;
use sluice_fastpath::worker::{FragmentSetup, IdleMode, Worker, WorkerSetup};
use sluice_net::Mac;
use sluice_slowpath::{Agent, AgentConfig, Settings};
use thiserror::Error;

use super::state::{Configuration, State, WorkerState};
use super::{Interfaces, limits, supervisor};
use crate::compile::{Compiler, ROLE_CAPACITY};
use crate::config::{Idle, Loaded, Node};
use crate::reload::{Reloader, node_view, render_problems};

/// Frames that wait in one queue between a worker and the slow path.
const QUEUE_DEPTH: usize = 512;

/// The devices of a node, opened.
pub struct Hardware<P: Ports, Q: FramePool<Frame = P::Frame>> {
    /// What each worker polls and sends on.
    pub ports: Vec<P>,
    /// Where frames come from.
    pub pool: Arc<Q>,
    /// Which worker serves which queue.
    pub queues: QueueMap,
    /// How each device spreads packets over the queues, as far as it tells.
    pub spreads: Vec<Option<Arc<Spread>>>,
    /// MACs, by [`DeviceId`]; the order is that of the names in the node file.
    pub macs: Vec<Mac>,
    /// For reports.
    pub interfaces: Box<dyn Interfaces>,
}

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The topology cannot be carried out on this node.
    #[error("{0}")]
    Compile(String),
    /// The system gives no thread or no entropy.
    #[error("{what}: {reason}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
    /// The parts do not fit: a mistake in the program.
    #[error("{0}")]
    Parts(&'static str),
}

/// A running node. [`Running::stop`] ends its threads.
#[derive(Debug)]
pub struct Running {
    /// For everybody outside the packet path.
    pub state: Arc<State>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Ends all threads, waits for them and closes the devices.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.thread().unpark();
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        self.state.interfaces.close();
    }
}

/// Compiles the configuration and starts the node on its devices.
///
/// # Errors
/// [`StartError`]; then nothing runs.
pub fn start<P, Q>(
    file: PathBuf,
    loaded: Loaded,
    hardware: Hardware<P, Q>,
) -> Result<Running, StartError>
where
    P: Ports + 'static,
    Q: FramePool<Frame = P::Frame>,
{
    Assembled::new(file, loaded, hardware)?.launch()
}

/// A node whose threads do not run yet.
pub(crate) struct Assembled<P: Ports, Q: FramePool<Frame = P::Frame>> {
    pub(crate) state: Arc<State>,
    pub(crate) reloader: Reloader,
    pub(crate) agent: Agent<Q>,
    pub(crate) workers: Vec<WorkerSetup<P, Q>>,
    parker: Parker,
    asleep: Arc<AtomicBool>,
}

impl<P, Q> Assembled<P, Q>
where
    P: Ports + 'static,
    Q: FramePool<Frame = P::Frame>,
{
    pub(crate) fn new(
        file: PathBuf,
        loaded: Loaded,
        hardware: Hardware<P, Q>,
    ) -> Result<Self, StartError> {
        let (start, started) = (Instant::now(), SystemTime::now());
        let (compiler, cell) = first_generation(&file, &loaded, &hardware.macs)?;
        let stores = Stores::new(&loaded.node, hardware.queues.devices())?;
        cell.current().prepare(&stores.connections);
        let asleep = Arc::new(AtomicBool::new(false));
        let parker = Parker::new();
        let exchange = || {
            Arc::new(Exchange::new(
                QUEUE_DEPTH,
                parker.unparker().clone(),
                Arc::clone(&asleep),
            ))
        };
        let exchanges: Arc<[Arc<Exchange<P::Frame>>]> =
            hardware.ports.iter().map(|_| exchange()).collect();
        let agent = Agent::new(AgentConfig {
            pool: Arc::clone(&hardware.pool),
            exchanges: exchanges.to_vec(),
            learned: Arc::clone(&stores.learned),
            reader: cell.reader(),
            settings: Settings::default(),
        })
        .map_err(|_| StartError::Parts("the learned tables have a writer already"))?;
        let (reload, reloader) = Reloader::new(compiler, hardware.macs);
        let state = Arc::new(State {
            chassis: loaded.node.chassis.clone(),
            start,
            started,
            tables: cell,
            learned: stores.learned,
            connections: stores.connections,
            workers: stores.workers,
            agent: agent.counters(),
            requests: agent.requests(),
            interfaces: hardware.interfaces,
            reload,
            configuration: Mutex::new(Arc::new(Configuration {
                file,
                node: loaded.node,
                topology: loaded.topology,
                digest: loaded.digest,
                since: started,
            })),
        });
        let with = Shared {
            pool: &hardware.pool,
            queues: &hardware.queues,
            spreads: &hardware.spreads,
            exchanges: &exchanges,
            secret: Secret(entropy()?),
        };
        let workers = hardware.ports.into_iter().zip(&state.workers);
        let workers = workers
            .map(|(ports, worker)| set_up(&state, worker, ports, &with))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            state,
            reloader,
            agent,
            workers,
            parker,
            asleep,
        })
    }

    fn launch(self) -> Result<Running, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let state = self.state;
        let mut running = Running {
            state: Arc::clone(&state),
            stop: Arc::clone(&stop),
            threads: Vec::new(),
        };
        let threads = &mut running.threads;
        let slow_path = sluice_slowpath::spawn(
            self.agent,
            Arc::clone(&stop),
            self.parker,
            self.asleep,
            state.start,
        );
        threads.push(slow_path.map_err(thread_refused)?);
        for (setup, worker) in self.workers.into_iter().zip(&state.workers) {
            threads.push(spawn_worker(setup, worker.cpu, Arc::clone(&stop))?);
        }
        let watched = (Arc::clone(&state), Arc::clone(&stop));
        let watch = move || supervisor::watch(&watched.0, &watched.1);
        let supervisor = thread::Builder::new()
            .name("supervisor".into())
            .spawn(watch);
        threads.push(supervisor.map_err(thread_refused)?);
        threads.push(self.reloader.spawn(state, stop).map_err(thread_refused)?);
        Ok(running)
    }
}

/// The first tables, published before anybody reads.
fn first_generation(
    file: &Path,
    loaded: &Loaded,
    macs: &[Mac],
) -> Result<(Compiler, Arc<TablesCell>), StartError> {
    let mut compiler = Compiler::new();
    let compiled = node_view(&loaded.node, macs)
        .and_then(|view| compiler.compile(&loaded.topology, &view))
        .map_err(|problems| StartError::Compile(render_problems(file, loaded, problems)))?;
    for warning in &compiled.changes.warnings {
        tracing::warn!("{warning}");
    }
    let cell = TablesCell::new();
    cell.publish(compiler.commit(compiled));
    Ok((compiler, cell))
}

/// What is allocated once, for as long as the daemon runs.
struct Stores {
    learned: Arc<Learned>,
    connections: Arc<ConnectionTable>,
    workers: Vec<WorkerState>,
}

impl Stores {
    fn new(node: &Node, devices: usize) -> Result<Self, StartError> {
        let plane = &node.dataplane;
        let workers = plane.workers.iter().zip(0..).map(|(&cpu, id)| WorkerState {
            id: WorkerId(id),
            cpu,
            counters: Arc::new(Counters::new(devices)),
            stalled: AtomicBool::new(false),
        });
        let workers: Vec<WorkerState> = workers.collect();
        Ok(Self {
            learned: Arc::new(Learned::new(
                plane.neighbors as usize,
                plane.fdb as usize,
                ROLE_CAPACITY,
            )),
            connections: {
                let capacity = Capacity {
                    v4: plane.connections as usize,
                    v6: plane.connections_ipv6 as usize,
                };
                let table = ConnectionTable::new(capacity, workers.len(), entropy()?);
                limits::apply(node, &table);
                table
            },
            workers,
        })
    }
}

/// What the workers have in common: frames, queues, and the rings between threads.
struct Shared<'a, Q, F> {
    pool: &'a Arc<Q>,
    queues: &'a QueueMap,
    spreads: &'a [Option<Arc<Spread>>],
    exchanges: &'a Arc<[Arc<Exchange<F>>]>,
    secret: Secret,
}

fn set_up<P, Q>(
    state: &State,
    worker: &WorkerState,
    ports: P,
    shared: &Shared<'_, Q, P::Frame>,
) -> Result<WorkerSetup<P, Q>, StartError>
where
    P: Ports,
    Q: FramePool<Frame = P::Frame>,
{
    let Shared {
        pool,
        queues,
        spreads,
        exchanges,
        secret,
    } = *shared;
    let index = usize::from(worker.id.0);
    let devices = u16::try_from(queues.devices()).unwrap_or(u16::MAX);
    let sender = |device| queues.tx_worker(DeviceId(device), index).unwrap_or(index) as u8;
    let connections = state
        .connections
        .worker(worker.id, state.connections.timeouts(), Tick(0));
    Ok(WorkerSetup {
        id: worker.id,
        ports,
        pool: Arc::clone(pool),
        devices,
        tables: state.tables.reader(),
        learned: Arc::clone(&state.learned),
        connections: connections.ok_or(StartError::Parts("the worker's connections are taken"))?,
        exchanges: Arc::clone(exchanges),
        tx_workers: (0..devices)
            .map(|device| WorkerId(sender(device)))
            .collect(),
        counters: Arc::clone(&worker.counters),
        idle: match state.configuration().node.dataplane.idle {
            Idle::Poll => IdleMode::Poll,
            Idle::Adaptive => IdleMode::Adaptive,
        },
        seed: [entropy()?, entropy()?],
        start: state.start,
        pick_up: limits::pick_up(&state.configuration().node),
        spreads: spreads.to_vec(),
        fragments: FragmentSetup {
            limits: limits::fragments(&state.configuration().node),
            secret,
        },
    })
}

fn spawn_worker<P, Q>(
    setup: WorkerSetup<P, Q>,
    cpu: usize,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, StartError>
where
    P: Ports + 'static,
    Q: FramePool<Frame = P::Frame>,
{
    let id = setup.id.0;
    let run = move || {
        if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
            tracing::warn!(
                "worker {id} cannot be pinned to CPU {cpu}: it runs wherever the system puts it"
            );
        }
        Worker::new(setup).run(&stop);
    };
    thread::Builder::new()
        .name(format!("worker-{id}"))
        .spawn(run)
        .map_err(thread_refused)
}

fn thread_refused(reason: io::Error) -> StartError {
    StartError::System {
        what: "the system gives no thread",
        reason,
    }
}

/// 64 bits that nobody can guess.
fn entropy() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut bytes));
    read.map_err(|reason| StartError::System {
        what: "the system gives no entropy",
        reason,
    })?;
    Ok(u64::from_ne_bytes(bytes))
}
