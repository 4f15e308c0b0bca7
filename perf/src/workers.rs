//! Two workers on shared tables, each beside one that is alone on the same CPU.
//!
//! ```text
//!  one alone on each CPU        two alone at the same time        two workers of one node
//!  ├── what a packet costs ────┼── what the machine adds ────────┼── what sharing tables adds ──►
//! ```
//!
//! Queues play different flows, as a network card would spread them. Then every second packet from inside is
//! one of the other worker's: with the answers, which come to their owner, a quarter of all is handed over.

use std::fmt::{self, Write as _};
use std::process::Command;
use std::thread::sleep;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Serialize;

use crate::bench::{
    LENGTH, TRIES, WARM, Window, first_lap, median, place, playing, scenario, site, verify,
};
use crate::contestant::{self, Process, Site};
use crate::report::Bar;
use crate::rig::{Playing, Reading};
use crate::scenario::{Network, Place, Scenario};
use crate::traffic::{Load, Order, Size, TAPE, Tape, parse_flows, parted};

/// Workers.
const WORKERS: u32 = 2;
/// What each of them may take, times one alone.
const BAR: f64 = 1.05;
/// Above the polling threads, which have both CPUs.
const PRIORITY: &str = "30";

/// Measures two workers on shared tables beside one alone.
#[derive(Clone, Debug, Args)]
pub struct Workers {
    /// Scenarios.
    #[arg(long, value_delimiter = ',', default_value = "l3,snat", value_parser = scenario)]
    pub scenario: Vec<&'static Scenario>,
    /// Flows in one direction, of both workers together.
    #[arg(long, default_value = "100k", value_parser = parse_flows)]
    pub flows: u32,
    /// Windows of each.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<std::path::PathBuf>,
}

/// What was measured of one scenario; of each CPU, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The scenario.
    pub scenario: String,
    /// The CPUs.
    pub cpus: Vec<usize>,
    /// Cycles per packet of one worker alone.
    pub alone: Vec<f64>,
    /// Of two that share nothing but the machine.
    pub apart: Vec<f64>,
    /// Of two on shared tables.
    pub shared: Vec<f64>,
    /// The same with a quarter of the packets handed over; `None` where no packet has an owner.
    pub handed: Option<Vec<f64>>,
    /// Share of the packets that did not leave then.
    pub handed_loss: Option<f64>,
    /// Windows of all kinds in which a thread had to wait for its CPU.
    pub disturbed: usize,
    /// Sampled frames that were compared byte by byte.
    pub verified: usize,
}

impl Measured {
    /// What is aimed at.
    pub fn bar(&self) -> Bar {
        let ratios = self
            .shared
            .iter()
            .zip(&self.alone)
            .map(|(two, one)| two / one);
        let what = format!("each of two workers, {}", self.scenario);
        Bar::at_most(6, what, "x one alone", BAR, ratios.max_by(f64::total_cmp))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = format!("{:<32}", self.scenario);
        for cpu in &self.cpus {
            let _ = write!(head, "{:>16}", format!("CPU {cpu}"));
        }
        writeln!(f, "{head}")?;
        let row = |what: &str, cycles: &[f64]| {
            let mut text = format!("{what:<32}");
            for (cycles, alone) in cycles.iter().zip(&self.alone) {
                let _ = write!(text, "{cycles:>8.1} {:>6.3}x", cycles / alone);
            }
            text
        };
        writeln!(f, "{}", row("one worker alone", &self.alone))?;
        writeln!(f, "{}", row("two that share only the machine", &self.apart))?;
        writeln!(f, "{}", row("two on shared tables", &self.shared))?;
        if let (Some(handed), Some(loss)) = (&self.handed, self.handed_loss) {
            let row = row("a quarter handed over", handed);
            writeln!(f, "{row}, {:.2} % lost", loss * 100.0)?;
        }
        let Self {
            disturbed,
            verified,
            ..
        } = self;
        writeln!(
            f,
            "{verified} frames verified, {disturbed} windows disturbed"
        )
    }
}

/// Measures all scenarios.
///
/// # Errors
/// When there are no two CPUs, or a worker does not do its work.
pub fn run(wanted: &Workers) -> anyhow::Result<Vec<Measured>> {
    let site = site(None)?;
    let result = wanted
        .scenario
        .iter()
        .map(|scenario| measure(wanted, &site, scenario))
        .collect();
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_dir_all(&site.directory);
    result
}

/// The processes of one scenario.
struct Stage {
    /// One worker on each CPU.
    alone: Vec<Process>,
    /// Two workers.
    both: Process,
    disturbed: usize,
}

fn measure(wanted: &Workers, site: &Site, scenario: &Scenario) -> anyhow::Result<Measured> {
    let cpus = vec![site.other_cpu, site.cpu];
    ensure!(site.cpu != site.other_cpu, "this needs two CPUs");
    let load = Load {
        flows: wanted.flows,
        size: Size::Bytes(64),
        order: Order::Uniform,
    };
    let node = |cpus: &[usize]| {
        scenario.network(&Place {
            cpus: cpus.to_vec(),
            ..place(site, scenario, &load)
        })
    };
    let network = node(&cpus);
    let tape = |name: &str, mixed: bool| -> anyhow::Result<(Tape, Playing)> {
        let records =
            network.records_by(&load, |seed| parted(load.flows, WORKERS, seed, TAPE, mixed))?;
        let [a, b] = &records;
        let tape = Tape::write(&site.file(name), [a.as_ref(), b.as_ref()])?;
        let mut playing = playing(&tape, &network);
        playing
            .feeds
            .iter_mut()
            .for_each(|feed| feed.parts = WORKERS);
        Ok((tape, playing))
    };
    let (_own, own) = tape("own", false)?;
    let (_mixed, mixed) = tape("mixed", true)?;
    let start = |name: String, network: &Network, workers| {
        contestant::start_workers(site, &name, scenario.name, network, workers)
    };
    let mut stage = Stage {
        alone: cpus
            .iter()
            .map(|&cpu| start(format!("alone-{cpu}"), &node(&[cpu]), 1))
            .collect::<anyhow::Result<_>>()?,
        both: start("both".into(), &network, WORKERS)?,
        disturbed: 0,
    };
    let epoch = begin(&mut stage, &own)?;
    let _priority = Priority::raise()?;
    let mut measured = stage.rounds(wanted.runs, scenario.name, cpus)?;
    measured.verified =
        verify(&mut stage.both, epoch, &network, true).map_err(anyhow::Error::msg)?;
    if owns_connections(&network) {
        let (cycles, loss) = stage.handed(wanted.runs, &mixed)?;
        measured.handed = Some(cycles);
        measured.handed_loss = Some(loss);
    }
    measured.disturbed = stage.disturbed;
    Ok(measured)
}

/// Whether packets have an owner: translations do.
fn owns_connections(network: &Network) -> bool {
    let mut files = network.files.iter();
    files.any(|(_, text)| text.contains(".nat]]"))
}

/// Lets all meet their flows; the epoch in which two workers do.
fn begin(stage: &mut Stage, playing: &Playing) -> anyhow::Result<u32> {
    let mut epoch = 0;
    for process in stage.alone.iter_mut().chain([&mut stage.both]) {
        epoch = process.control.play(playing)?;
        first_lap(process, epoch)?;
    }
    Ok(epoch)
}

impl Stage {
    fn rounds(
        &mut self,
        runs: usize,
        scenario: &str,
        cpus: Vec<usize>,
    ) -> anyhow::Result<Measured> {
        let mut all: [Vec<Vec<Window>>; 3] = Default::default();
        for _ in 0..runs {
            let mut alone = Vec::new();
            for process in &mut self.alone {
                alone.extend(together(&mut [process], &mut self.disturbed)?);
            }
            let mut apart: Vec<&mut Process> = self.alone.iter_mut().collect();
            let apart = together(&mut apart, &mut self.disturbed)?;
            let shared = together(&mut [&mut self.both], &mut self.disturbed)?;
            shared.iter().try_for_each(Window::conserved)?;
            for (all, now) in all.iter_mut().zip([alone, apart, shared]) {
                all.push(now);
            }
        }
        let [alone, apart, shared] = all.map(|windows| medians(&windows));
        Ok(Measured {
            scenario: scenario.to_owned(),
            cpus,
            alone,
            apart,
            shared,
            handed: None,
            handed_loss: None,
            disturbed: 0,
            verified: 0,
        })
    }

    /// Two workers, each with packets of the other's connections: cycles of each, and the loss.
    fn handed(&mut self, runs: usize, mixed: &Playing) -> anyhow::Result<(Vec<f64>, f64)> {
        self.both.control.play(mixed)?;
        let mut all = Vec::new();
        for _ in 0..runs {
            all.push(together(&mut [&mut self.both], &mut self.disturbed)?);
        }
        let loss = all.iter().flatten().map(|window| window.loss).collect();
        Ok((medians(&all), median(loss).context("no window")?))
    }
}

/// Of each thread the median of its windows.
fn medians(windows: &[Vec<Window>]) -> Vec<f64> {
    let threads = windows.first().map_or(0, Vec::len);
    let of = |thread: usize| {
        let cycles = windows
            .iter()
            .filter_map(|all| Some(all.get(thread)?.cycles));
        median(cycles.collect())
    };
    (0..threads).filter_map(of).collect()
}

/// A window in which these processes run at the same time, by process and queue; taken again when others took a CPU.
fn together(processes: &mut [&mut Process], disturbed: &mut usize) -> anyhow::Result<Vec<Window>> {
    let mut best: Option<Vec<Window>> = None;
    let share = |windows: &[Window]| {
        windows
            .iter()
            .map(|window| window.share)
            .fold(1.0, f64::min)
    };
    for _ in 0..TRIES {
        for process in processes.iter_mut() {
            process.go()?;
        }
        sleep(WARM);
        let before = readings(processes)?;
        sleep(LENGTH);
        let after = readings(processes)?;
        for process in processes.iter_mut() {
            process.stop()?;
        }
        // Other programs get what the polling threads took from them.
        sleep(WARM);
        let windows: Option<Vec<Window>> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| Window::between(before, after))
            .collect();
        let Some(windows) = windows else { continue };
        let good = windows.iter().all(|window| window.undisturbed);
        if best
            .as_ref()
            .is_none_or(|best| share(best) < share(&windows))
        {
            best = Some(windows);
        }
        if good {
            break;
        }
    }
    let Some(best) = best else {
        bail!("no packet moved");
    };
    *disturbed += usize::from(!best.iter().all(|window| window.undisturbed));
    Ok(best)
}

fn readings(processes: &mut [&mut Process]) -> anyhow::Result<Vec<Reading>> {
    let mut all = Vec::new();
    for process in processes.iter_mut() {
        all.extend(process.readings()?);
    }
    Ok(all)
}

/// This thread goes before the polling threads, which leave no CPU for anybody else.
#[derive(Debug)]
pub(crate) struct Priority(String);

impl Priority {
    pub(crate) fn raise() -> anyhow::Result<Self> {
        let link = std::fs::read_link("/proc/thread-self")?;
        let thread = link.file_name().context("no thread")?;
        let thread = thread.to_string_lossy().into_owned();
        contestant::run(Command::new("chrt").args(["-f", "-p", PRIORITY, &thread]))?;
        Ok(Self(thread))
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        // A thread that keeps it ends soon after.
        let _ = contestant::run(Command::new("chrt").args(["-o", "-p", "0", &self.0]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(cycles: f64) -> Window {
        Window {
            cycles,
            mpps: 1.0,
            loss: 0.0,
            missing: 0,
            share: 1.0,
            tsc_ghz: 2.6,
            undisturbed: true,
        }
    }

    #[test]
    fn medians_are_by_thread() {
        let windows = [[1.0, 30.0], [3.0, 10.0], [2.0, 20.0]].map(|both| both.map(window).to_vec());
        assert_eq!(medians(&windows), [2.0, 20.0]);
        assert_eq!(medians(&[]), [0.0; 0]);
    }

    #[test]
    fn the_slower_of_both_is_judged() {
        let measured = Measured {
            scenario: "snat".into(),
            cpus: vec![0, 1],
            alone: vec![100.0, 100.0],
            apart: vec![101.0, 102.0],
            shared: vec![104.0, 107.0],
            handed: None,
            handed_loss: None,
            disturbed: 0,
            verified: 1,
        };
        let bar = measured.bar();
        assert_eq!((bar.measured, bar.met()), (Some(1.07), false));
        assert!(measured.to_string().contains("1.070x"), "{measured}");
    }
}
