//! `sluice-perf`: measures, and says whether the bars are met.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use sluice_perf::attack::{self, Attack};
use sluice_perf::bench::{self, Bench, Outcome};
use sluice_perf::connections::{self, Connections};
use sluice_perf::contestant::{self, Kind};
use sluice_perf::instructions::{self, Baseline, Instructions};
#[cfg(feature = "dpdk")]
use sluice_perf::linux;
use sluice_perf::mutate::{self, Mutate};
use sluice_perf::replay::{self, Replay};
use sluice_perf::report::{self, Machine};
use sluice_perf::routes::{self, Routes};
use sluice_perf::scale::{self, Scale};
use sluice_perf::scenario::Scenario;
use sluice_perf::stages::{self, Stages};
#[cfg(feature = "dpdk")]
use sluice_perf::wire;
use sluice_perf::workers::{self, Measured, Workers};

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
    /// Counts instructions per packet by valgrind and compares them with the baseline.
    Instructions(Instructions),
    /// Plays a scenario in memory: what `instructions` counts.
    Replay(Replay),
    /// Says where the cycles of our worker go, by part, function and line.
    Stages(Stages),
    /// Measures two workers on shared tables beside one alone.
    Workers(Workers),
    /// Measures forwarding in the kernel, with nftables, on a rig of its own.
    #[cfg(feature = "dpdk")]
    Linux(linux::Linux),
    /// One scenario in the kernel of this namespace: what `linux` starts.
    #[cfg(feature = "dpdk")]
    #[command(hide = true)]
    Kernel {
        /// Which scenario.
        #[arg(value_parser = bench::scenario)]
        scenario: &'static Scenario,
        /// Flows.
        flows: u32,
        /// Windows.
        runs: usize,
    },
    /// Searches the highest rates without loss and with half a percent of it.
    #[cfg(feature = "dpdk")]
    Throughput(wire::Throughput),
    /// Measures latency at half load.
    #[cfg(feature = "dpdk")]
    Latency(wire::Latency),
    /// Measures established connections beside an attack that opens others.
    Attack(Attack),
    /// Opens millions of connections in one worker, lets them time out, and times every loop.
    Connections(Connections),
    /// Writes a scenario's node, for a machine of its own with two network cards.
    Files {
        /// Which scenario.
        #[arg(long, value_parser = bench::scenario)]
        scenario: &'static Scenario,
        /// A network card of the machine as DPDK names it: side A's, and given again, side B's.
        #[arg(long = "device", required = true)]
        devices: Vec<String>,
        /// CPUs of the workers.
        #[arg(long, value_delimiter = ',', default_value = "1")]
        cpus: Vec<usize>,
        /// Where to write them.
        directory: PathBuf,
    },
    /// Prints the bars of all reports in a directory: exits with 1 when one is not met, with 2 when a report cannot
    /// be read.
    Report {
        /// Where reports were written.
        directory: PathBuf,
    },
    /// Reads, checks, compiles and publishes a large topology, then reloads it with one switch changed.
    Scale(Scale),
    /// Loads a full routing table of both families, reloads it, and times look-ups.
    Routes(Routes),
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
    let given = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    // A contestant is ended by who started it.
    if !matches!(arguments.what, What::Play { .. }) {
        contestant::clear_when_interrupted()?;
    }
    match arguments.what {
        What::Bench(bench) => compare(&bench, named(&given)),
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
        What::Routes(wanted) => {
            let report = routes::run(&wanted)?;
            print!("{report}");
            if let Some(directory) = &wanted.out {
                let bars = report.bars();
                report::store(directory, "routes", &Machine::detect(), &bars, &report)?;
            }
            Ok(verdict(report.met()))
        }
        What::Instructions(wanted) => count(&wanted),
        What::Replay(replay) => {
            let played = replay::run(&replay)?;
            println!(
                "{} packets, {} of them compared",
                played.packets, played.verified
            );
            Ok(ExitCode::SUCCESS)
        }
        What::Stages(stages) => {
            print!("{}", stages::run(&stages)?);
            Ok(ExitCode::SUCCESS)
        }
        What::Workers(wanted) => {
            anyhow::ensure!(wanted.runs > 0, "--runs: at least 1");
            let measured = workers::run(&wanted)?;
            measured.iter().for_each(|measured| println!("{measured}"));
            let bars: Vec<report::Bar> = measured.iter().map(Measured::bar).collect();
            print!("{}", report::bars(&bars));
            if let Some(directory) = &wanted.out {
                report::store(directory, "workers", &Machine::detect(), &bars, &measured)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "dpdk")]
        What::Linux(wanted) => kernel(&wanted),
        #[cfg(feature = "dpdk")]
        What::Kernel {
            scenario,
            flows,
            runs,
        } => {
            let measured = linux::measure(scenario, flows, runs)?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "dpdk")]
        What::Throughput(wanted) => rates(&wanted, named(&given)),
        #[cfg(feature = "dpdk")]
        What::Latency(wanted) => latencies(&wanted, named(&given)),
        What::Attack(wanted) => {
            let measured = attack::run(&wanted)?;
            let bars = measured.bars();
            print!("{measured}\n{}", report::bars(&bars));
            if let Some(directory) = &wanted.out {
                report::store(directory, "attack", &Machine::detect(), &bars, &measured)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Connections(wanted) => {
            let report = connections::run(&wanted)?;
            let bars = report.bars();
            print!("{report}\n{}", report::bars(&bars));
            if let Some(directory) = &wanted.out {
                report::store(directory, "connections", &Machine::detect(), &bars, &report)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        What::Files {
            scenario,
            devices,
            cpus,
            directory,
        } => {
            scenario.write(&directory, &devices, cpus)?;
            Ok(ExitCode::SUCCESS)
        }
        What::Report { directory } => Ok(bars(&directory)),
        What::Play { node } => play(&node),
    }
}

fn compare(bench: &Bench, named: bool) -> anyhow::Result<ExitCode> {
    bench.check()?;
    let results = bench::run(bench, |cell| {
        let cycles = cell
            .cycles()
            .map_or("failed".to_owned(), |cycles| format!("{cycles:.1}"));
        eprintln!(
            "{:<16} {:>8} flows {:>5} bytes  {:<16} {cycles:>8}",
            cell.scenario, cell.flows, cell.size, cell.contestant
        );
    })?;
    print!(
        "{}\n{}\n{}",
        report::table(&results),
        report::comparison(&results),
        report::bars(&report::aims(&results))
    );
    if let Some(directory) = &bench.out {
        report::write(&results, directory)?;
    }
    let failed = results.cells.iter().filter_map(|cell| match &cell.outcome {
        Outcome::Failed(why) => {
            let load = format!(
                "{}, {} flows, {} bytes",
                cell.scenario, cell.flows, cell.size
            );
            Some((cell.contestant.as_str(), format!("{load}: {why}")))
        }
        Outcome::Measured { .. } => None,
    });
    Ok(whole(failed, named))
}

#[cfg(feature = "dpdk")]
fn kernel(wanted: &linux::Linux) -> anyhow::Result<ExitCode> {
    let all = linux::run(wanted)?;
    println!("{}", linux::HEADING);
    all.iter().for_each(|measured| println!("{measured}"));
    if let Some(directory) = &wanted.out {
        report::store(directory, "linux", &Machine::detect(), &[], &all)?;
    }
    Ok(verdict(all.iter().all(|one| one.failed.is_none())))
}

#[cfg(feature = "dpdk")]
fn rates(wanted: &wire::Throughput, named: bool) -> anyhow::Result<ExitCode> {
    let (all, probe) = wire::throughput(wanted)?;
    println!(
        "{}, {} flows, {} bytes, two processes; a cache line takes {probe:.0} ns",
        wanted.scenario.name, wanted.flows, wanted.size
    );
    println!("Mpps                 flooded       NDR       PDR   trials  disturbed");
    all.iter().for_each(|measured| println!("{measured}"));
    if let Some(directory) = &wanted.out {
        report::store(directory, "throughput", &Machine::detect(), &[], &all)?;
    }
    let failed = all
        .iter()
        .filter_map(|one| Some((one.contestant.as_str(), one.failed.clone()?)));
    Ok(whole(failed, named))
}

#[cfg(feature = "dpdk")]
fn latencies(wanted: &wire::Latency, named: bool) -> anyhow::Result<ExitCode> {
    let (all, probe) = wire::latency(wanted)?;
    println!(
        "{}, {} flows, {} bytes, two processes; a cache line takes {probe:.0} ns",
        wanted.scenario.name, wanted.flows, wanted.size
    );
    println!("{}", wire::HEADING);
    all.iter().for_each(|measured| println!("{measured}"));
    let bars: Vec<report::Bar> = wire::bar(&all).into_iter().collect();
    if !bars.is_empty() {
        print!("{}", report::bars(&bars));
    }
    if let Some(directory) = &wanted.out {
        report::store(directory, "latency", &Machine::detect(), &bars, &all)?;
    }
    let failed = all
        .iter()
        .filter_map(|one| Some((one.contestant.as_str(), one.failed.clone()?)));
    Ok(whole(failed, named))
}

/// Whether contestants were asked for by name.
fn named(given: &ArgMatches) -> bool {
    given.subcommand().is_some_and(|(_, given)| {
        let has = given.try_contains_id("contestants").unwrap_or(false);
        has && given.value_source("contestants") == Some(ValueSource::CommandLine)
    })
}

/// Tells which contestants failed, with why, that must not.
fn whole<'a>(failed: impl Iterator<Item = (&'a str, String)>, named: bool) -> ExitCode {
    let mut good = true;
    for (name, why) in failed {
        if name.parse().is_ok_and(|kind: Kind| kind.needed(named)) {
            eprintln!("{name} failed: {why}");
            good = false;
        }
    }
    verdict(good)
}

fn bars(directory: &Path) -> ExitCode {
    let told = report::collect(directory).and_then(|collected| {
        if collected.is_empty() {
            let directory = directory.display();
            eprintln!("Error: {directory}: no reports; commands write them with --out");
            return Ok(false);
        }
        print!("{}", report::bars(&collected.bars));
        collected.whole()?;
        Ok(collected.bars.iter().all(report::Bar::met))
    });
    match told {
        Ok(met) => verdict(met),
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::from(2)
        }
    }
}

fn count(wanted: &Instructions) -> anyhow::Result<ExitCode> {
    let counted = instructions::count(wanted)?;
    let baseline = Baseline::read(&wanted.baseline);
    // On a build machine the compiler is the one that was asked for.
    let strict = std::env::var_os("CI").is_some();
    if wanted.write {
        // A file that is there but cannot be read is not written over.
        let mut new = if wanted.baseline.exists() {
            baseline?
        } else {
            Baseline::default()
        };
        new.rustc.clone_from(&counted.rustc);
        new.instructions.extend(counted.instructions);
        new.instructions
            .retain(|name, _| Scenario::named(name).is_some());
        // More digits do not survive being read and written again, and would be changes in the file.
        for count in new.instructions.values_mut() {
            *count = (*count * 100.0).round() / 100.0;
        }
        let text = serde_json::to_string_pretty(&new)? + "\n";
        std::fs::write(&wanted.baseline, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (text, good) = instructions::compare(&counted, &baseline?, strict);
    print!("{text}");
    Ok(verdict(good))
}

#[cfg(feature = "dpdk")]
fn play(node: &Path) -> anyhow::Result<ExitCode> {
    sluice_perf::contestant::play(node)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "dpdk"))]
fn play(_: &Path) -> anyhow::Result<ExitCode> {
    anyhow::bail!("sluice-perf was built without DPDK")
}

fn verdict(met: bool) -> ExitCode {
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(line: &[&str]) -> bool {
        super::named(&Arguments::command().get_matches_from(line))
    }

    #[test]
    fn contestants_are_named_on_the_command_line_only() {
        assert!(!named(&["sluice-perf", "bench"]));
        assert!(named(&["sluice-perf", "bench", "--contestants", "vpp"]));
        assert!(!named(&["sluice-perf", "workers"]));
    }

    #[test]
    fn a_run_fails_by_ours_and_by_who_was_named() {
        let run = |name, named| whole([(name, "why".to_owned())].into_iter(), named);
        assert_eq!(run("vpp", false), ExitCode::SUCCESS);
        assert_eq!(run("vpp", true), ExitCode::FAILURE);
        assert_eq!(run("sluice", false), ExitCode::FAILURE);
        assert_eq!(run("outside", false), ExitCode::FAILURE);
        assert_eq!(whole(std::iter::empty(), true), ExitCode::SUCCESS);
    }

    #[test]
    fn a_report_that_cannot_be_read_is_not_a_bar_that_is_not_met() {
        assert_eq!(bars(Path::new("/nowhere")), ExitCode::from(2));
    }
}
