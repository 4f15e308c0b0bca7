//! A large topology from its files to published tables: time and memory.
//!
//! The node is a gateway of every router, so it needs every datapath. What is timed is what the daemon does:
//! read and check both files, compile, publish. Then VMs come to and go from one switch, and each time the
//! node is told to reload.

mod network;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::tables::Tables;
use sluice_mgmt::compile::{Compiler, NodeView};
use sluice_mgmt::config::{Host, Loaded, Loader};
use sluice_net::Mac;

/// How large the topology is.
#[derive(Clone, Debug, Args)]
pub struct Scale {
    /// Logical switches with VMs; one more is the external switch.
    #[arg(long, default_value_t = 1_000)]
    pub switches: usize,
    /// Logical routers, each with a gateway port on the external switch.
    #[arg(long, default_value_t = 1_000)]
    pub routers: usize,
    /// Ports of switches and routers together.
    #[arg(long, default_value_t = 20_000)]
    pub ports: usize,
    /// Static routes.
    #[arg(long, default_value_t = 50_000)]
    pub routes: usize,
    /// How many of them are in the topology file, spread over all routers; the others are in the routes file
    /// of the first router.
    #[arg(long, default_value_t = 25_000)]
    pub inline_routes: usize,
    /// Reloads with one switch changed; the median counts.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub reloads: usize,
}

/// First load: read, checked, compiled and published.
const FIRST_BAR: Duration = Duration::from_secs(2);
/// A reload that changes one switch.
const RELOAD_BAR: Duration = Duration::from_millis(200);
/// Most memory the process ever held, in bytes.
const MEMORY_BAR: u64 = 1 << 30;

/// Time of each step of one load.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Steps {
    /// Files read, parsed, checked and resolved.
    pub load: Duration,
    /// Tables compiled.
    pub compile: Duration,
    /// Committed and published.
    pub publish: Duration,
    /// Of all this, the time on a CPU; the rest waited for one.
    pub on_cpu: Duration,
}

impl Steps {
    /// From the files to the published tables.
    pub fn total(&self) -> Duration {
        self.load + self.compile + self.publish
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    scale: Scale,
    /// The first load.
    pub first: Steps,
    /// The reload in the middle.
    pub reload: Steps,
    /// Most bytes of memory the process held.
    pub peak_memory: u64,
    pieces: usize,
    file_bytes: u64,
}

impl Report {
    /// True when every bar is met.
    pub fn met(&self) -> bool {
        self.first.total() < FIRST_BAR
            && self.reload.total() < RELOAD_BAR
            && self.peak_memory < MEMORY_BAR
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scale {
            switches,
            routers,
            ports,
            routes,
            inline_routes,
            reloads,
        } = &self.scale;
        writeln!(
            f,
            "{switches} switches, {routers} routers, {ports} ports, {routes} routes, {inline_routes} of them inline"
        )?;
        writeln!(
            f,
            "{} datapaths compiled from {} KiB of files",
            self.pieces,
            self.file_bytes >> 10
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "milliseconds", "load", "compile", "publish", "total", "bar", "on cpu"
        )?;
        let row = |f: &mut fmt::Formatter<'_>, what: &str, steps: &Steps, bar: Duration| {
            let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            let times = [
                steps.load,
                steps.compile,
                steps.publish,
                steps.total(),
                bar,
                steps.on_cpu,
            ];
            write!(f, "{what:<24}")?;
            for time in times {
                write!(f, "{:>10}", ms(time))?;
            }
            writeln!(f)
        };
        row(f, "first load", &self.first, FIRST_BAR)?;
        row(
            f,
            &format!("median of {reloads} reloads"),
            &self.reload,
            RELOAD_BAR,
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "peak memory {} MiB, bar {} MiB",
            self.peak_memory >> 20,
            MEMORY_BAR >> 20
        )?;
        writeln!(f, "{}", if self.met() { "met" } else { "NOT met" })
    }
}

/// Runs the scenario in a directory of its own, which is removed afterwards.
///
/// # Errors
/// When the files cannot be written or, a bug of this scenario, are refused.
pub fn run(scale: &Scale) -> anyhow::Result<Report> {
    let directory = Directory::new()?;
    network::write(&directory.path, scale)?;
    let mut node = Node::new(directory.path.join("node.toml"));
    let first = node.load()?;
    let mut reloads = Vec::with_capacity(scale.reloads);
    for round in 0..scale.reloads {
        network::write_topology(&directory.path, scale, round % 2 == 0)?;
        reloads.push(node.load()?);
    }
    reloads.sort_by_key(Steps::total);
    let reload = reloads
        .get(reloads.len() / 2)
        .copied()
        .context("without reloads")?;
    let tables = node.cell.current();
    Ok(Report {
        scale: scale.clone(),
        first,
        reload,
        peak_memory: peak_memory()?,
        pieces: tables.datapaths.iter().flatten().count(),
        file_bytes: directory.bytes()?,
    })
}

/// The part of the daemon that is measured.
pub(crate) struct Node {
    file: PathBuf,
    loader: Loader,
    compiler: Compiler,
    pub(crate) cell: Arc<TablesCell>,
    /// The daemon shows what it runs, so it keeps it.
    running: Option<Loaded>,
}

impl Node {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self {
            file,
            loader: Loader::default(),
            compiler: Compiler::new(),
            cell: TablesCell::new(),
            running: None,
        }
    }

    /// One load or reload.
    pub(crate) fn load(&mut self) -> anyhow::Result<Steps> {
        let on_cpu = on_cpu()?;
        let start = Instant::now();
        let host = Host { cpus: vec![0] };
        let loaded = self.loader.load_on(&self.file, &host);
        let loaded = loaded.map_err(|errors| anyhow!("{errors}"))?;
        let load = start.elapsed();
        let view = NodeView::new(&loaded.node, |_| Mac([2, 0, 0, 0, 0, 1])).map_err(refused)?;
        let compiled = self
            .compiler
            .compile(&loaded.topology, &view)
            .map_err(refused)?;
        let compile = start.elapsed() - load;
        let before: Arc<Tables> = self.cell.publish(self.compiler.commit(compiled));
        let publish = start.elapsed() - load - compile;
        let on_cpu = self::on_cpu()? - on_cpu;
        self.running = Some(loaded);
        drop(before);
        Ok(Steps {
            load,
            compile,
            publish,
            on_cpu,
        })
    }
}

fn refused(problems: Vec<sluice_mgmt::topology::Problem>) -> anyhow::Error {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    anyhow!("{}", told.join("\n"))
}

/// How long this thread has been on a CPU; on a busy machine the wall clock says less.
pub(crate) fn on_cpu() -> anyhow::Result<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = times
        .split_whitespace()
        .next()
        .context("no scheduler statistics")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// The most memory this process ever held, in bytes.
pub(crate) fn peak_memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes << 10)
}

/// A directory that goes when it is dropped.
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
}

impl Directory {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("sluice-perf-scale-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }

    fn bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(Path::new(&self.path))? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed stays behind in the temporary directory.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
