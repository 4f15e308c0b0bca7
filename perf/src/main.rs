//! `sluice-perf`: measures, and says whether the bars are met.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_perf::mutate::{self, Mutate};
use sluice_perf::scale::{self, Scale};

/// Benchmarks of Sluice.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Reads, checks, compiles and publishes a large topology, then reloads it with one switch changed.
    Scale(Scale),
    /// Feeds damaged frames to a whole gateway in memory: no crash, no buffer lost, every frame counted.
    Mutate(Mutate),
}

fn main() -> anyhow::Result<ExitCode> {
    let met = match Arguments::parse().scenario {
        Scenario::Scale(scale) => {
            let report = scale::run(&scale)?;
            print!("{report}");
            report.met()
        }
        Scenario::Mutate(mutate) => {
            let report = mutate::run(&mutate)?;
            print!("{report}");
            report.met()
        }
    };
    Ok(if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
