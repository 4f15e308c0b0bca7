//! The order of a run.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::result::{Cell, Outcome, Results};
use super::window::{Window, first_lap, measure};
use crate::contestant::{Contestant, Kind, Process, Site};
use crate::report::Machine;
use crate::rig::Playing;
use crate::scenario::{ALL, Network, Place, Scenario, Side};
use crate::traffic::{Load, Order, Size, TAPE, Tape, parse_flows};

/// Frames on each line of the rig.
const DELAY: u32 = 1_000;

/// Compares contestants on the rig in one process, on one core.
#[derive(Clone, Debug, Args)]
pub struct Bench {
    /// Scenarios; all unless named.
    #[arg(long, value_delimiter = ',', value_parser = scenario)]
    pub scenario: Vec<&'static Scenario>,
    /// Flows in one direction: 1, 1k, 100k, 1M; each scenario's own unless given.
    #[arg(long, value_delimiter = ',', value_parser = parse_flows)]
    pub flows: Vec<u32>,
    /// Frame sizes on the wire, or IMIX.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    pub size: Vec<Size>,
    /// Order of flows: uniform, zipf.
    #[arg(long, value_delimiter = ',', default_value = "uniform")]
    pub order: Vec<Order>,
    /// Who is measured.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "testpmd-io,testpmd-macswap,testpmd-5tswap,sluice,ovs,vpp,linux"
    )]
    pub contestants: Vec<Kind>,
    /// Windows of each contestant under each load.
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// CPU to measure on; the last one that we may use unless given.
    #[arg(long)]
    pub cpu: Option<usize>,
    /// This program, linked with DPDK's shared libraries: what runs as sluice-shared.
    #[arg(long)]
    pub shared: Option<PathBuf>,
    /// Directory for the report as JSON and the charts.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// A scenario by the name that people write.
///
/// # Errors
/// All names, when it is none.
pub fn scenario(name: &str) -> Result<&'static Scenario, String> {
    let names: Vec<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    Scenario::named(name).ok_or_else(|| format!("one of {}", names.join(", ")))
}

/// Runs the comparison; `told` hears of each cell as it is done.
///
/// # Errors
/// When the run as a whole is not possible. A contestant that fails is part of the results.
pub fn run(bench: &Bench, mut told: impl FnMut(&Cell)) -> anyhow::Result<Results> {
    let site = Site {
        shared: bench.shared.clone(),
        ..site(bench.cpu)?
    };
    let directory = site.directory.clone();
    let result = Run {
        bench,
        site,
        contestants: bench
            .contestants
            .iter()
            .copied()
            .map(Contestant::new)
            .collect(),
        cells: Vec::new(),
    }
    .all(&mut told);
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_dir_all(directory);
    Ok(Results {
        machine: Machine::detect(),
        cells: result?,
    })
}

/// A directory in memory, and CPUs: the polling thread's (the last one unless given) and another.
///
/// # Errors
/// When the directory cannot be made.
pub(crate) fn site(cpu: Option<usize>) -> anyhow::Result<Site> {
    let cpus = sluice_mgmt::config::Host::detect().cpus;
    let cpu = cpu.or(cpus.last().copied()).context("no CPU")?;
    let other_cpu = cpus
        .iter()
        .copied()
        .find(|&other| other != cpu)
        .unwrap_or(cpu);
    let directory = PathBuf::from(format!("/dev/shm/sluice-perf-{}", std::process::id()));
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(Site {
        directory,
        cpu,
        other_cpu,
        shared: None,
        devices: Vec::new(),
    })
}

/// Runs our own worker alone under a load, once it has met all flows, and lets `look` at it, stopped.
///
/// # Errors
/// When it does not start, or what `look` says.
pub fn alone<T>(
    scenario: &Scenario,
    load: &Load,
    look: impl FnOnce(&Site, &mut Process) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let site = site(None)?;
    let under = || -> anyhow::Result<(Tape, Contestant)> {
        let place = place(&site, scenario, load);
        let network = scenario.network(&place);
        let [a, b] = network.records(load, TAPE)?;
        let tape = Tape::write(&site.file("tape"), [a.as_ref(), b.as_ref()])?;
        let mut contestant = Contestant::new(Kind::Sluice);
        let process = contestant.prepare(&site, scenario, &network)?;
        begin(process, &playing(&tape, &network))?;
        Ok((tape, contestant))
    };
    let result = under().and_then(|(_tape, mut contestant)| {
        look(&site, contestant.process().context("it does not run")?)
    });
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_dir_all(&site.directory);
    result
}

struct Run<'a> {
    bench: &'a Bench,
    site: Site,
    contestants: Vec<Contestant>,
    cells: Vec<Cell>,
}

impl Run<'_> {
    fn all(mut self, told: &mut impl FnMut(&Cell)) -> anyhow::Result<Vec<Cell>> {
        let every: Vec<&Scenario> = ALL.iter().collect();
        let scenarios = if self.bench.scenario.is_empty() {
            &every
        } else {
            &self.bench.scenario
        };
        for scenario in scenarios.clone() {
            let flows = if self.bench.flows.is_empty() {
                scenario.flows
            } else {
                &self.bench.flows
            };
            for &flows in flows {
                for &size in &self.bench.size {
                    for &order in &self.bench.order {
                        let load = Load { flows, size, order };
                        let from = self.cells.len();
                        self.load(scenario, &load)?;
                        self.cells[from..].iter().for_each(&mut *told);
                    }
                }
            }
        }
        Ok(self.cells)
    }

    /// All contestants under one load.
    fn load(&mut self, scenario: &Scenario, load: &Load) -> anyhow::Result<()> {
        let place = place(&self.site, scenario, load);
        let network = scenario.network(&place);
        let records = network.records(load, TAPE)?;
        let [a, b] = &records;
        let tape = Tape::write(&self.site.file("tape"), [a.as_ref(), b.as_ref()])?;
        drop(records);
        let playing = playing(&tape, &network);
        let mut turns: Vec<Turn> = Vec::new();
        for contestant in &mut self.contestants {
            let ready = contestant
                .prepare(&self.site, scenario, &network)
                .and_then(|process| begin(process, &playing));
            turns.push(Turn::new(ready));
        }
        for _ in 0..self.bench.runs {
            for (contestant, turn) in self.contestants.iter_mut().zip(&mut turns) {
                turn.take(contestant, &network);
            }
        }
        for (contestant, turn) in self.contestants.iter_mut().zip(turns) {
            self.cells.push(Cell {
                scenario: scenario.name.to_owned(),
                flows: load.flows,
                size: load.size.to_string(),
                order: load.order.to_string(),
                contestant: contestant.kind.name().to_owned(),
                outcome: turn.outcome(contestant),
            });
        }
        Ok(())
    }
}

/// Connections are as many as the default, or as the load needs.
pub(crate) fn place(site: &Site, scenario: &Scenario, load: &Load) -> Place {
    let wanted = if scenario.opens() {
        1 << 23
    } else {
        load.flows.saturating_mul(2)
    };
    Place {
        cpus: vec![site.cpu],
        connections: wanted.max(1 << 20),
    }
}

pub(crate) fn playing(tape: &Tape, network: &Network) -> Playing {
    let mut feeds = tape.feeds;
    for (feed, side) in feeds.iter_mut().zip(&network.sides) {
        feed.turned = matches!(side, Side::Turned);
        if feed.count > 0 {
            feed.lap_at = network.lap_at;
        }
    }
    Playing {
        records: tape.path().to_owned(),
        feeds,
        delay: DELAY,
        wire: PathBuf::new(),
    }
}

/// Has a contestant play a tape and meet all its flows; the epoch.
pub(crate) fn begin(process: &mut Process, playing: &Playing) -> anyhow::Result<u32> {
    let epoch = process.control.play(playing)?;
    first_lap(process, epoch)?;
    Ok(epoch)
}

/// One contestant's part under one load.
struct Turn {
    epoch: Result<u32, String>,
    windows: Vec<Window>,
    /// Frames found right.
    verified: usize,
}

impl Turn {
    fn new(ready: anyhow::Result<u32>) -> Self {
        Self {
            epoch: ready.map_err(|error| format!("{error:#}")),
            windows: Vec::new(),
            verified: 0,
        }
    }

    /// Measures once, and verifies what was sampled since the last time.
    fn take(&mut self, contestant: &mut Contestant, network: &Network) {
        let Ok(epoch) = self.epoch else {
            return;
        };
        let routes = contestant.kind.routes();
        let Some(process) = contestant.process() else {
            return;
        };
        let window = measure(process)
            .and_then(|window| window.conserved().map(|()| window))
            .map_err(|error| format!("{error:#}"));
        let verified = verify(process, epoch, network, routes);
        match (window, verified) {
            (Ok(window), Ok(verified)) => {
                self.windows.push(window);
                self.verified += verified;
            }
            (Err(why), _) | (_, Err(why)) => self.epoch = Err(why),
        }
    }

    fn outcome(self, contestant: &mut Contestant) -> Outcome {
        match self.epoch {
            Ok(_) if contestant.process().is_none() => Outcome::Failed("it does not run".into()),
            Ok(_) => Outcome::Measured {
                windows: self.windows,
                verified: self.verified,
            },
            Err(why) => Outcome::Failed(why),
        }
    }
}

/// Compares what was sampled with what should have come out.
pub(crate) fn verify(
    process: &mut Process,
    epoch: u32,
    network: &Network,
    routes: bool,
) -> Result<usize, String> {
    if !routes {
        return Ok(0);
    }
    let samples = process
        .control
        .samples()
        .map_err(|error| error.to_string())?;
    let mut verified = 0;
    // Whoever resolves addresses asks; that is not what is measured.
    let asks = |frame: &[u8]| frame.get(12..14) == Some(&[0x08, 0x06]);
    for sample in samples
        .iter()
        .filter(|sample| sample.epoch == epoch && !asks(&sample.frame))
    {
        network
            .verify(sample.side, &sample.frame)
            .map_err(|why| format!("wrong packet out of side {}: {why}", sample.side))?;
        verified += 1;
    }
    if verified == 0 {
        return Err("no packet was sampled".into());
    }
    Ok(verified)
}
