//! Millions of connections in one worker: what they take, and whether ending them holds it up.
//!
//! ```text
//!  open: every packet a connection     wait: nothing arrives      end: all time out, while traffic goes on
//!  ├── until there are enough ────────┼── 1 ms a loop ──────────┼── each loop timed ──────────────────────►
//! ```
//!
//! The node is played in memory, so every run does the same in the same loop. A pause that the program makes it
//! makes in all runs; one that the machine makes, in one. What is judged is the shortest time of each loop.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::builder::RangedU64ValueParser;
use clap::{Args, value_parser};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::replay::Node;
use crate::report::Bar;
use crate::scenario::{Network, Place, Scenario};
use crate::traffic::{Load, Order, Size};
use crate::workers::Priority;

/// Flows of one lap of the tape; each lap's connections are new ones.
const FLOWS: u32 = 100_000;
/// Flows that go on while all others end.
const LASTING: u32 = 1_024;
/// Loops in a millisecond: of a worker that has something to do in each.
const LOOPS_A_TICK: u32 = 64;
/// The node's time, in milliseconds, until which none is over: the first was opened after the first tick.
const QUIET_UNTIL: u32 = 119_990;
/// Loops by which all must have ended.
const MOST_LOOPS: usize = 20_000_000;
/// Room for connections that are opened while others end.
const SPARE: u32 = 1 << 16;

const MEMORY_BAR: f64 = 3.0;
const BYTES_BAR: f64 = 128.0;
const PAUSE_BAR: f64 = 50.0;

/// Opens millions of connections in one worker, lets them all time out, and times every loop.
#[derive(Clone, Debug, Args)]
pub struct Connections {
    /// Connections.
    #[arg(long, default_value_t = 10_000_000, value_parser = value_parser!(u32).range(1..=1_000_000_000))]
    pub connections: u32,
    /// Runs that are compared loop by loop.
    #[arg(long, default_value_t = 2, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub runs: usize,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<std::path::PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Connections that were open at once.
    pub connections: usize,
    /// Bytes of memory of the process with all of them.
    pub memory: u64,
    /// Bytes of the table by part: connections, lists by deadline and age, index.
    pub table: [usize; 3],
    /// Most connections that fit in it.
    pub capacity: usize,
    /// Nanoseconds to open one, traffic included.
    pub open_ns: f64,
    /// Loops in which connections ended.
    pub loops: u64,
    /// Microseconds that loops took: percentile and time.
    pub pauses: Vec<(f64, f64)>,
    /// The longest of all loops of a single run, the machine's own pauses included, in microseconds.
    pub single_longest: f64,
}

impl Report {
    /// What is aimed at.
    pub fn bars(&self) -> Vec<Bar> {
        let per = |bytes: usize| bytes as f64 / self.capacity as f64;
        let [connections, lists, _] = self.table;
        vec![
            Bar::at_most(
                3,
                "IPv4 connection with its lists, without index",
                "bytes",
                BYTES_BAR,
                Some(per(connections + lists)),
            ),
            Bar::at_most(
                3,
                format!("{} live connections", self.connections),
                "GiB resident",
                MEMORY_BAR,
                Some(self.memory as f64 / f64::from(1 << 30)),
            ),
            Bar::at_most(
                3,
                "longest loop while they end",
                "us",
                PAUSE_BAR,
                self.pauses.last().map(|(_, pause)| *pause),
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |bytes: usize| bytes as f64 / self.capacity as f64;
        let [connections, lists, index] = self.table.map(per);
        writeln!(
            f,
            "{} connections open at once; {:.0} MiB resident",
            self.connections,
            self.memory as f64 / f64::from(1 << 20)
        )?;
        writeln!(
            f,
            "bytes a connection: {connections:.0}, its lists {lists:.0}, its index {index:.1}"
        )?;
        writeln!(f, "{:.0} ns to open one, in memory", self.open_ns)?;
        writeln!(
            f,
            "all ended in {} loops, each with packets of {LASTING} lasting flows; a loop took",
            self.loops
        )?;
        for (percentile, pause) in &self.pauses {
            writeln!(f, "{percentile:>12} % {pause:>9.1} us at most")?;
        }
        writeln!(
            f,
            "longest loop of a single run, pauses of the machine included: {:.1} us",
            self.single_longest
        )
    }
}

/// Runs it.
///
/// # Errors
/// When connections are refused, or do not end.
pub fn run(wanted: &Connections) -> anyhow::Result<Report> {
    ensure!(wanted.runs > 0, "at least one run");
    let mut least: Vec<u32> = Vec::new();
    let mut report: Option<Report> = None;
    for _ in 0..wanted.runs {
        let (found, loops) = one(wanted.connections)?;
        if least.is_empty() {
            least = loops;
        } else {
            ensure!(
                least.len() == loops.len(),
                "two runs took {} and {} loops",
                least.len(),
                loops.len()
            );
            least
                .iter_mut()
                .zip(loops)
                .for_each(|(a, b)| *a = b.min(*a));
        }
        // Memory is that of the first run: nothing was there before.
        report = Some(match report {
            None => found,
            Some(first) => Report {
                single_longest: found.single_longest.max(first.single_longest),
                ..first
            },
        });
    }
    let mut report = report.context("no run")?;
    report.loops = least.len() as u64;
    report.pauses = percentiles(&least)?;
    Ok(report)
}

/// One run: what it found, and the nanoseconds of each loop in which connections ended.
fn one(connections: u32) -> anyhow::Result<(Report, Vec<u32>)> {
    let scenario = Scenario::named("new-connections").context("the scenario is gone")?;
    let network = scenario.network(&Place {
        cpus: vec![0],
        connections: connections + SPARE,
    });
    let load = load(FLOWS.min(connections));
    let mut node = Node::new(&network, &load)?;
    let open_ns = open(&mut node, connections as usize)?;
    let memory = resident()?;
    let live = node.connections().len();
    quieten(&mut node, &network)?;
    let loops = end(&mut node)?;
    let longest = loops.iter().max().copied().unwrap_or_default();
    let report = Report {
        connections: live,
        memory,
        table: node.connections().of::<u32>().memory_by_part(),
        capacity: node.connections().of::<u32>().capacity(),
        open_ns,
        loops: 0,
        pauses: Vec::new(),
        single_longest: f64::from(longest) / 1e3,
    };
    Ok((report, loops))
}

const fn load(flows: u32) -> Load {
    Load {
        flows,
        size: Size::Bytes(64),
        order: Order::Uniform,
    }
}

/// Opens as many; nanoseconds for each.
fn open(node: &mut Node, connections: usize) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut loops = 0_u32;
    let mut before = 0;
    while node.connections().len() < connections {
        node.burst(loops.is_multiple_of(LOOPS_A_TICK));
        if loops.is_multiple_of(LOOPS_A_TICK * 16) {
            node.slow_path();
        }
        loops = loops.wrapping_add(1);
        if loops.is_multiple_of(1 << 16) {
            let open = node.connections().len();
            ensure!(open > before, "no more than {open} connections open");
            before = open;
        }
    }
    Ok(begin.elapsed().as_nanos() as f64 / connections as f64)
}

/// Nothing arrives until the first connections are nearly over; then some flows go on.
fn quieten(node: &mut Node, network: &Network) -> anyhow::Result<()> {
    node.receive(0, None);
    while node.now().0 < QUIET_UNTIL {
        node.burst(true);
    }
    let [lasting, _] = network.records(&load(LASTING), 0)?;
    node.receive(0, lasting);
    Ok(())
}

/// Loops until only the lasting flows are left; nanoseconds of each.
fn end(node: &mut Node) -> anyhow::Result<Vec<u32>> {
    // Without the privilege there are more pauses of the machine's to tell apart.
    let _priority = Priority::raise().ok();
    let mut loops = Vec::new();
    while node.connections().len() > LASTING as usize {
        ensure!(
            loops.len() < MOST_LOOPS,
            "{} connections do not end",
            node.connections().len()
        );
        let tick = (loops.len() as u32).is_multiple_of(LOOPS_A_TICK);
        let begin = Instant::now();
        node.burst(tick);
        let took: Duration = begin.elapsed();
        loops.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
    }
    Ok(loops)
}

/// Microseconds below which this share of the loops stayed.
fn percentiles(loops: &[u32]) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for &nanoseconds in loops {
        histogram.record(u64::from(nanoseconds))?;
    }
    let at = |percent: f64| (percent, histogram.value_at_percentile(percent) as f64 / 1e3);
    Ok([50.0, 99.0, 99.9, 99.99, 99.999, 100.0].map(at).to_vec())
}

/// Bytes of memory that this process has now.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.context("no VmRSS")?.trim().trim_end_matches("kB");
    Ok(kilobytes.trim().parse::<u64>()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_open_and_end() {
        let wanted = Connections {
            connections: 20_000,
            runs: 2,
            out: None,
        };
        let report = run(&wanted).unwrap();
        assert!((20_000..20_032).contains(&report.connections), "{report}");
        assert!(report.memory > report.table.iter().sum::<usize>() as u64);
        assert_eq!(report.capacity, 20_000 + SPARE as usize);
        // Each loop ends some; none ends all.
        assert!((100..MOST_LOOPS as u64).contains(&report.loops), "{report}");
        let pauses: Vec<f64> = report.pauses.iter().map(|(_, pause)| *pause).collect();
        assert!(pauses.is_sorted() && pauses[0] > 0.0, "{report}");
        assert_eq!(report.bars().len(), 3);
    }

    #[test]
    fn percentiles_are_those_of_the_loops() {
        let mut loops = vec![1_000; 9_999];
        loops.push(60_000);
        let found = percentiles(&loops).unwrap();
        let near = |percent: f64, us: f64| {
            let (_, found) = found.iter().find(|(at, _)| *at == percent).unwrap();
            assert!((found - us).abs() < us * 0.01, "{percent} %: {found}");
        };
        near(50.0, 1.0);
        near(99.99, 1.0);
        near(100.0, 60.0);
    }
}
