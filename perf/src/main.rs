//! `sluice-perf`: measures, and says whether the bars are met.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
}

fn main() -> anyhow::Result<ExitCode> {
    let Scenario::Scale(scale) = Arguments::parse().scenario;
    let report = scale::run(&scale)?;
    print!("{report}");
    Ok(if report.met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
