//! How long frames take through contestants at half of what they forward.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::bed::{Bed, Trial};
use super::{scenario, throughput};
use crate::bench::median;
use crate::contestant::Kind;
use crate::report::Bar;
use crate::scenario::Scenario;
use crate::traffic::{Load, Order, Size, parse_flows, parse_seconds};

/// Seconds of a trial while the rate is searched.
const SEARCH: f64 = 0.05;
/// Rounds until all have their windows, or too many were disturbed.
const TRIES: usize = 25;
/// What ours may take, times macswap's.
const BAR: f64 = 1.5;
/// Which percentiles are told; the last is the longest.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];
/// Of these, the one that is judged.
const JUDGED: usize = 2;

/// Measures latency at half load, from a process of its own.
#[derive(Clone, Debug, Args)]
pub struct Latency {
    /// Which scenario; of those with translation only the way out.
    #[arg(long, value_parser = scenario, default_value = "l3")]
    pub scenario: &'static Scenario,
    /// Flows in one direction.
    #[arg(long, default_value = "1k", value_parser = parse_flows)]
    pub flows: u32,
    /// Frame size on the wire, or IMIX.
    #[arg(long, default_value = "64")]
    pub size: Size,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', default_value = "testpmd-macswap,sluice")]
    pub contestants: Vec<Kind>,
    /// Windows of each that count.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub windows: usize,
    /// Seconds of a window.
    #[arg(long, default_value_t = 0.2, value_parser = parse_seconds)]
    pub seconds: f64,
    /// A network card of this machine as DPDK names it, given twice; then what is behind them is measured instead.
    #[arg(long = "device")]
    pub devices: Vec<String>,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What was measured of one contestant at one rate.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Who.
    pub contestant: String,
    /// Why nothing was.
    pub failed: Option<String>,
    /// Million frames a second offered.
    pub rate: f64,
    /// Whose half load that is.
    pub half_of: String,
    /// Percentiles in microseconds, of each window that counts.
    pub windows: Vec<[f64; 5]>,
    /// Share of the frames that was lost, the worst window's.
    pub loss: f64,
    /// Windows that something disturbed.
    pub rejected: usize,
}

impl Measured {
    fn new(contestant: Kind, half_of: Kind, rate: f64) -> Self {
        Self {
            contestant: contestant.name().to_owned(),
            failed: None,
            rate,
            half_of: half_of.name().to_owned(),
            windows: Vec::new(),
            loss: 0.0,
            rejected: 0,
        }
    }

    /// The median of a percentile over all windows.
    fn median(&self, percentile: usize) -> Option<f64> {
        median(
            self.windows
                .iter()
                .filter_map(|window| window.get(percentile).copied())
                .collect(),
        )
    }

    fn take(&mut self, trial: &Trial) -> anyhow::Result<()> {
        if trial.accepted {
            self.windows.push(percentiles(&trial.latencies)?);
            self.loss = self.loss.max(trial.loss);
        } else {
            self.rejected += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}", self.contestant)?;
        if let Some(why) = &self.failed {
            return write!(f, " FAILED: {why}");
        }
        write!(
            f,
            "{:>7.2} {:<20}",
            self.rate,
            format!("half of {}", self.half_of)
        )?;
        for percentile in 0..PERCENTILES.len() {
            let value = self.median(percentile);
            write!(
                f,
                "{:>9}",
                value.map_or("-".to_owned(), |us| format!("{us:.1}"))
            )?;
        }
        write!(
            f,
            "{:>9.4}{:>8}/{}",
            self.loss * 100.0,
            self.windows.len(),
            self.rejected
        )
    }
}

/// The heading of the table.
pub const HEADING: &str = "microseconds         Mpps                             p50      p90      p99    p99.9      max   loss %  windows/rejected";

/// What is aimed at: our 99th percentile beside macswap's, each at half of its own load; `None` where neither was
/// on the bed.
pub fn bar(all: &[Measured]) -> Option<Bar> {
    let both = [Kind::Sluice, Kind::TestpmdMacswap];
    let there = |kind: &Kind| all.iter().any(|one| one.contestant == kind.name());
    if !both.iter().all(there) {
        return None;
    }
    let own = |kind: Kind| {
        let mut own = all.iter();
        let own = own.find(|one| one.contestant == kind.name() && one.half_of == kind.name());
        own.filter(|one| one.failed.is_none())
            .and_then(|one| one.median(JUDGED))
    };
    let ratio = own(Kind::Sluice)
        .zip(own(Kind::TestpmdMacswap))
        .map(|(a, b)| a / b);
    let what = "p99 latency at half load";
    Some(Bar::at_most(8, what, "x macswap", BAR, ratio))
}

/// Measures all contestants at half of their own load, and macswap at half of ours as well.
///
/// # Errors
/// When nobody can be measured.
pub fn run(wanted: &Latency) -> anyhow::Result<(Vec<Measured>, f64)> {
    let load = Load {
        flows: wanted.flows,
        size: wanted.size,
        order: Order::Uniform,
    };
    let mut bed = Bed::new(&wanted.contestants, &wanted.devices, wanted.scenario, &load)?;
    let mut all = Vec::new();
    for (kind, why) in bed.contestants() {
        let mut measured = Measured::new(kind, kind, 0.0);
        match why.map_or_else(|| half(&mut bed, kind), |why| Err(anyhow::anyhow!(why))) {
            Ok(rate) => measured.rate = rate,
            Err(error) => measured.failed = Some(format!("{error:#}")),
        }
        all.push((kind, measured));
    }
    let ours = all
        .iter()
        .find(|(kind, one)| *kind == Kind::Sluice && one.failed.is_none());
    let macswap = all
        .iter()
        .any(|(kind, one)| *kind == Kind::TestpmdMacswap && one.failed.is_none());
    if let Some(rate) = ours.map(|(_, ours)| ours.rate).filter(|_| macswap) {
        let kind = Kind::TestpmdMacswap;
        all.push((kind, Measured::new(kind, Kind::Sluice, rate)));
    }
    for _ in 0..TRIES {
        for round in 0..wanted.windows {
            for (kind, measured) in &mut all {
                let enough = measured.windows.len() > round;
                if enough || measured.failed.is_some() {
                    continue;
                }
                let trial = bed.one(*kind, measured.rate, wanted.seconds);
                if let Err(error) = trial.and_then(|trial| measured.take(&trial)) {
                    measured.failed = Some(format!("{error:#}"));
                }
            }
        }
    }
    let mut all: Vec<Measured> = all.into_iter().map(|(_, measured)| measured).collect();
    for measured in all
        .iter_mut()
        .filter(|one| one.windows.len() < wanted.windows)
    {
        measured.failed.get_or_insert(format!(
            "{} of {} windows were not disturbed",
            measured.windows.len(),
            measured.windows.len() + measured.rejected
        ));
    }
    Ok((all, bed.probe_best))
}

/// Half of the rate at which it loses half a percent; at none at all a guest would measure its host.
fn half(bed: &mut Bed, kind: Kind) -> anyhow::Result<f64> {
    let mut measured = throughput::Measured::new(kind, None);
    throughput::one(bed, kind, SEARCH, &mut measured)?;
    let pdr = measured.found.last().copied().flatten();
    Ok(pdr.context("it loses too much at any rate")? / 2.0)
}

/// [`PERCENTILES`] of nanoseconds, in microseconds.
fn percentiles(latencies: &[u32]) -> anyhow::Result<[f64; 5]> {
    let mut histogram = Histogram::<u64>::new(3)?;
    for &nanoseconds in latencies {
        histogram.record(u64::from(nanoseconds))?;
    }
    Ok(PERCENTILES.map(|percent| histogram.value_at_percentile(percent) as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_microseconds() {
        let latencies: Vec<u32> = (1..=10_000).map(|n| n * 1_000).collect();
        let found = percentiles(&latencies).unwrap();
        for (found, wanted) in found
            .iter()
            .zip([5_000.0, 9_000.0, 9_900.0, 9_990.0, 10_000.0])
        {
            assert!((found - wanted).abs() < wanted * 0.002, "{found} {wanted}");
        }
    }

    #[test]
    fn medians_of_own_half_loads_are_judged() {
        let one = |kind, half_of, p99s: &[f64]| Measured {
            windows: p99s
                .iter()
                .map(|&p99| [1.0, 2.0, p99, 50.0, 90.0])
                .collect(),
            ..Measured::new(kind, half_of, 5.0)
        };
        let (ours, theirs) = (Kind::Sluice, Kind::TestpmdMacswap);
        let all = [
            one(theirs, ours, &[1.0]),
            one(theirs, theirs, &[10.0, 8.0, 900.0]),
            one(ours, ours, &[14.0, 13.0, 12.0]),
        ];
        let judged = bar(&all).unwrap();
        assert_eq!((judged.measured, judged.met()), (Some(1.3), true));
        assert_eq!(bar(&all[..2]), None);
    }
}
