//! How much contestants forward.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::bed::Bed;
use super::scenario;
use super::search::{Goal, Tried, search};
use crate::contestant::Kind;
use crate::scenario::Scenario;
use crate::traffic::{Load, Order, Size, parse_flows, parse_seconds};

/// More than any generator makes, in million frames a second.
const FLOOD: f64 = 80.0;
/// Frames for which the search begins above what was forwarded under a flood.
const ABOVE: f64 = 1.1;

/// Searches the highest rates without loss (NDR) and with half a percent of loss (PDR), from a process of its own.
#[derive(Clone, Debug, Args)]
pub struct Throughput {
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
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "testpmd-io,testpmd-macswap,sluice,ovs"
    )]
    pub contestants: Vec<Kind>,
    /// Seconds of a trial; RFC 2544 has 60.
    #[arg(long, default_value_t = 0.06, value_parser = parse_seconds)]
    pub trial: f64,
    /// A network card of this machine as DPDK names it, given twice; then what is behind them is measured instead.
    #[arg(long = "device")]
    pub devices: Vec<String>,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What was measured of one contestant.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Who.
    pub contestant: String,
    /// Why nothing was.
    pub failed: Option<String>,
    /// Million frames a second that it forwards when flooded.
    pub flooded: f64,
    /// Million frames a second up to which was searched, for want of more from the generator or by what is forwarded when flooded.
    pub ceiling: f64,
    /// Million frames a second with no loss and with half a percent, as [`Goal::ALL`].
    pub found: Vec<Option<f64>>,
    /// All rates that were tried.
    pub tried: Vec<Tried>,
    /// Of the trials, how many something disturbed however often they were repeated.
    pub disturbed: usize,
}

impl Measured {
    /// Nothing yet.
    pub(super) fn new(contestant: Kind, failed: Option<String>) -> Self {
        Self {
            contestant: contestant.name().to_owned(),
            failed,
            flooded: 0.0,
            ceiling: 0.0,
            found: Vec::new(),
            tried: Vec::new(),
            disturbed: 0,
        }
    }

    /// A rate for people: where the search could not go higher, it is no more than a lower bound.
    fn rate(&self, found: Option<f64>) -> String {
        match found {
            None => "-".to_owned(),
            Some(rate) if rate >= self.ceiling => format!(">= {rate:.2}"),
            Some(rate) => format!("{rate:.2}"),
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.failed {
            return write!(f, "{:<18} FAILED: {why}", self.contestant);
        }
        write!(f, "{:<18}{:>10.2}", self.contestant, self.flooded)?;
        for found in &self.found {
            write!(f, "{:>10}", self.rate(*found))?;
        }
        write!(f, "{:>9}{:>11}", self.tried.len(), self.disturbed)
    }
}

/// Searches for all contestants; the measurements and the best probe in nanoseconds.
///
/// # Errors
/// When nobody can be measured.
pub fn run(wanted: &Throughput) -> anyhow::Result<(Vec<Measured>, f64)> {
    let load = Load {
        flows: wanted.flows,
        size: wanted.size,
        order: Order::Uniform,
    };
    let mut bed = Bed::new(&wanted.contestants, &wanted.devices, wanted.scenario, &load)?;
    let all = bed.contestants().into_iter().map(|(kind, why)| {
        let mut measured = Measured::new(kind, why);
        if measured.failed.is_none()
            && let Err(error) = one(&mut bed, kind, wanted.trial, &mut measured)
        {
            measured.failed = Some(format!("{error:#}"));
        }
        measured
    });
    let all: Vec<Measured> = all.collect();
    Ok((all, bed.probe_best))
}

/// Searches for one contestant.
pub(super) fn one(
    bed: &mut Bed,
    kind: Kind,
    seconds: f64,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    // The rate cannot be known: enough frames for the time at a rate that somebody reaches.
    let flood = bed.trial(kind, FLOOD, seconds / 4.0)?;
    measured.flooded = flood.forwarded;
    let most = (flood.forwarded * ABOVE).min(flood.offered);
    measured.ceiling = most;
    let mut disturbed = 0;
    let (found, tried) = search(&Goal::ALL, most, |rate| {
        let trial = bed.trial(kind, rate, seconds)?;
        disturbed += usize::from(!trial.accepted);
        // What the generator did not manage to offer was not forwarded either.
        let short = 1.0 - trial.offered / rate;
        let loss = if short > 0.01 {
            trial.loss.max(short)
        } else {
            trial.loss
        };
        anyhow::Ok(Tried { rate, loss })
    })?;
    measured.found = found;
    measured.tried = tried;
    measured.disturbed = disturbed;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_of_a_search_is_a_lower_bound() {
        let measured = Measured {
            flooded: 33.91,
            ceiling: 34.32,
            found: vec![Some(34.0), Some(34.32), None],
            ..Measured::new(Kind::TestpmdIo, None)
        };
        let text = measured.to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        let expected = ["testpmd-io", "33.91", "34.00", ">=", "34.32", "-", "0", "0"];
        assert_eq!(words, expected);
    }
}
