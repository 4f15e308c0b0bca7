//! Bars: numbers that are aimed at, with what was measured beside them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Which side of the bar is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Aim {
    /// At most the bar.
    AtMost,
    /// At least the bar.
    AtLeast,
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The group it belongs to: 1 is cycles, 2 hops, 3 connections, 4 Open vSwitch, 5 sizes, 6 workers, 7 routes,
    /// 8 latency.
    pub group: u8,
    /// What is measured.
    pub what: String,
    /// What it is measured in.
    pub unit: String,
    /// Which side is good.
    pub aim: Aim,
    /// The bar.
    pub bar: f64,
    /// What was measured; `None` when that failed.
    pub measured: Option<f64>,
}

impl Bar {
    /// A bar of which the good side is below.
    pub fn at_most(
        group: u8,
        what: impl Into<String>,
        unit: &str,
        bar: f64,
        measured: Option<f64>,
    ) -> Self {
        Self {
            group,
            what: what.into(),
            unit: unit.to_owned(),
            aim: Aim::AtMost,
            bar,
            measured,
        }
    }

    /// A bar of which the good side is above.
    pub fn at_least(
        group: u8,
        what: impl Into<String>,
        unit: &str,
        bar: f64,
        measured: Option<f64>,
    ) -> Self {
        Self {
            aim: Aim::AtLeast,
            ..Self::at_most(group, what, unit, bar, measured)
        }
    }

    /// What was measured is on the good side; nothing measured is not.
    pub fn met(&self) -> bool {
        self.measured.is_some_and(|measured| match self.aim {
            Aim::AtMost => measured <= self.bar,
            Aim::AtLeast => measured >= self.bar,
        })
    }
}

/// A table of bars, in order of their groups, with how many are met.
pub fn bars(bars: &[Bar]) -> String {
    let mut sorted: Vec<&Bar> = bars.iter().collect();
    sorted.sort_by_key(|bar| bar.group);
    let mut text = format!("{:<52}{:>10}{:>12}\n", "bar", "measured", "aim");
    for bar in &sorted {
        let measured = bar.measured.map_or("failed".to_owned(), number);
        let sign = match bar.aim {
            Aim::AtMost => "<=",
            Aim::AtLeast => ">=",
        };
        let what = format!("{}. {}, {}", bar.group, bar.what, bar.unit);
        let aim = format!("{sign} {}", number(bar.bar));
        let met = if bar.met() { "met" } else { "NOT met" };
        let _ = writeln!(text, "{what:<52}{measured:>10}{aim:>12}  {met}");
    }
    let met = sorted.iter().filter(|bar| bar.met()).count();
    let _ = writeln!(text, "{met} of {} bars met", sorted.len());
    text
}

fn number(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { 1 };
    format!("{value:.digits$}")
}

/// The part of every report file that this module reads.
#[derive(Deserialize)]
struct Reported {
    #[serde(default)]
    bars: Vec<Bar>,
}

/// The bars of all report files below a directory, by name of the files. What was measured more than once counts
/// as it was the first time.
///
/// # Errors
/// When a file cannot be read, or is no report.
pub fn collect(directory: &Path) -> anyhow::Result<Vec<Bar>> {
    let mut bars = Vec::new();
    for bar in all(directory)? {
        let again = |other: &Bar| (other.group, &other.what) == (bar.group, &bar.what);
        if !bars.iter().any(again) {
            bars.push(bar);
        }
    }
    Ok(bars)
}

fn all(directory: &Path) -> anyhow::Result<Vec<Bar>> {
    let mut bars = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(directory)
        .with_context(|| directory.display().to_string())?
        .collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            bars.extend(all(&path)?);
        } else if path.extension().is_some_and(|name| name == "json") {
            let text = std::fs::read_to_string(&path)?;
            let reported: Reported =
                serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            bars.extend(reported.bars);
        }
    }
    Ok(bars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_not_met() {
        for (measured, below, above) in [
            (None, false, false),
            (Some(9.0), true, false),
            (Some(10.0), true, true),
            (Some(11.0), false, true),
        ] {
            assert_eq!(
                Bar::at_most(1, "x", "cycles", 10.0, measured).met(),
                below,
                "{measured:?}"
            );
            assert_eq!(
                Bar::at_least(1, "x", "M/s", 10.0, measured).met(),
                above,
                "{measured:?}"
            );
        }
    }

    #[test]
    fn the_table_says_all_of_it() {
        let all = [
            Bar::at_least(4, "l3", "x", 2.5, Some(1.25)),
            Bar::at_most(1, "l2", "cycles", 34.0, Some(30.0)),
            Bar::at_most(8, "p99", "x", 1.5, None),
        ];
        let text = bars(&all);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            ["1.", "l2,", "cycles", "30.0", "<=", "34.0", "met"]
        );
        assert_eq!(
            lines[2],
            ["4.", "l3,", "x", "1.25", ">=", "2.50", "NOT", "met"]
        );
        assert_eq!(
            lines[3],
            ["8.", "p99,", "x", "failed", "<=", "1.50", "NOT", "met"]
        );
        assert_eq!(lines[4], ["1", "of", "3", "bars", "met"]);
    }

    #[test]
    fn bars_are_found_in_all_reports() {
        let directory =
            std::env::temp_dir().join(format!("sluice-perf-bars-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("sizes")).unwrap();
        let bar = Bar::at_most(5, "l3", "x", 1.3, Some(1.0));
        let again = Bar::at_most(5, "l3", "x", 1.3, Some(1.1));
        for (name, bar) in [("sizes/bench.json", &bar), ("workers.json", &again)] {
            let report = serde_json::json!({ "bars": [bar], "results": [] }).to_string();
            std::fs::write(directory.join(name), report).unwrap();
        }
        std::fs::write(directory.join("other.json"), "{\"machine\": {}}").unwrap();
        std::fs::write(directory.join("cycles.svg"), "<svg/>").unwrap();
        let found = collect(&directory);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found.unwrap(), [bar]);
    }
}
