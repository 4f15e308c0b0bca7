//! `sluice-perf`: measures, and says whether the bars are met.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_perf::bench::{self, Bench};
use sluice_perf::mutate::{self, Mutate};
use sluice_perf::report;
use sluice_perf::scale::{self, Scale};
use sluice_perf::stages::{self, Stages};

/// Benchmarks of Sluice.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Compares our worker with others on one core: cycles per packet.
    Bench(Bench),
    /// Says where the cycles of our worker go, by part, function and line.
    Stages(Stages),
    /// Reads, checks, compiles and publishes a large topology, then reloads it with one switch changed.
    Scale(Scale),
    /// Feeds damaged frames to a whole gateway in memory: no crash, no buffer lost, every frame counted.
    Mutate(Mutate),
    /// A node on the rig: what `bench` starts as the contestant.
    #[command(hide = true)]
    Play {
        /// Its node file.
        node: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().what {
        What::Bench(bench) => compare(&bench),
        What::Mutate(mutate) => {
            let report = mutate::run(&mutate)?;
            print!("{report}");
            Ok(verdict(report.met()))
        }
        What::Scale(scale) => {
            let report = scale::run(&scale)?;
            print!("{report}");
            Ok(verdict(report.met()))
        }
        What::Stages(stages) => {
            print!("{}", stages::run(&stages)?);
            Ok(ExitCode::SUCCESS)
        }
        What::Play { node } => play(&node),
    }
}

fn compare(bench: &Bench) -> anyhow::Result<ExitCode> {
    let results = bench::run(bench, |cell| {
        let cycles = cell
            .cycles()
            .map_or("failed".to_owned(), |cycles| format!("{cycles:.1}"));
        eprintln!(
            "{:<16} {:>8} flows {:>5} bytes  {:<16} {cycles:>8}",
            cell.scenario, cell.flows, cell.size, cell.contestant
        );
    })?;
    print!("{}", report::table(&results));
    if let Some(directory) = &bench.out {
        report::write(&results, directory)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "dpdk")]
fn play(node: &std::path::Path) -> anyhow::Result<ExitCode> {
    sluice_perf::contestant::play(node)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "dpdk"))]
fn play(_: &std::path::Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("sluice-perf was built without DPDK")
}

fn verdict(met: bool) -> ExitCode {
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
