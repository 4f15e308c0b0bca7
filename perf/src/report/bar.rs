//! Bars: numbers that are aimed at, with what was measured beside them.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, ensure};
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
    /// 8 latency, 9 stateful services, 10 attacks.
    pub group: u8,
    /// What is measured.
    pub what: String,
    /// What it is measured in.
    pub unit: String,
    /// Which side is good.
    pub aim: Aim,
    /// The bar.
    pub bar: f64,
    /// What was measured; `None` when that failed, or nobody tried.
    pub measured: Option<f64>,
    /// Somebody tried and failed.
    #[serde(default)]
    pub failed: bool,
}

/// What the bar about the rig itself is called, before the scenario: there is one of all reports.
pub(super) const RIG: &str = "the rig itself where it costs most";

impl Bar {
    /// A bar of which the good side is below. Without a number it failed, unless told [otherwise](Bar::tried).
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
            failed: measured.is_none(),
        }
    }

    /// Says whether all that it needs was part of the run: without that a missing number is no failure.
    pub fn tried(self, tried: bool) -> Self {
        Self {
            failed: self.failed && tried,
            ..self
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

    /// It says something: a number, or that there should be one.
    pub fn judged(&self) -> bool {
        self.failed || self.measured.is_some()
    }

    /// What was measured is on the good side; nothing measured is not.
    pub fn met(&self) -> bool {
        self.measured.is_some_and(|measured| match self.aim {
            Aim::AtMost => measured <= self.bar,
            Aim::AtLeast => measured >= self.bar,
        })
    }
}

/// A table of bars, in order of their groups, with how many are met of those that were measured.
pub fn bars(bars: &[Bar]) -> String {
    let mut sorted: Vec<&Bar> = bars.iter().collect();
    sorted.sort_by_key(|bar| bar.group);
    let mut text = format!("{:<52}{:>10}{:>12}\n", "bar", "measured", "aim");
    for bar in &sorted {
        let none = if bar.failed { "failed" } else { "-" };
        let measured = bar.measured.map_or(none.to_owned(), number);
        let sign = match bar.aim {
            Aim::AtMost => "<=",
            Aim::AtLeast => ">=",
        };
        let what = format!("{}. {}, {}", bar.group, bar.what, bar.unit);
        let aim = format!("{sign} {}", number(bar.bar));
        let met = match bar.judged() {
            true if bar.met() => "met",
            true => "NOT met",
            false => "not measured",
        };
        let _ = writeln!(text, "{what:<52}{measured:>10}{aim:>12}  {met}");
    }
    let met = sorted.iter().filter(|bar| bar.met()).count();
    let judged = sorted.iter().filter(|bar| bar.judged()).count();
    let _ = write!(text, "{met} of {judged} bars met");
    let _ = match sorted.len() - judged {
        0 => writeln!(text),
        missing => writeln!(text, ", {missing} not measured"),
    };
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

/// What the reports of a directory say.
#[derive(Debug, Default)]
pub struct Collected {
    /// The bars of all of them.
    pub bars: Vec<Bar>,
    reports: usize,
    unreadable: Vec<String>,
}

impl Collected {
    /// There was not one report.
    pub fn is_empty(&self) -> bool {
        self.reports == 0
    }

    /// # Errors
    /// The names of files that could not be read, when there are any.
    pub fn whole(&self) -> anyhow::Result<()> {
        ensure!(
            self.unreadable.is_empty(),
            "not read: {}",
            self.unreadable.join("; ")
        );
        Ok(())
    }

    /// Takes a bar: what was measured more than once counts as it was the first time, but of the rig itself the worst.
    fn take(&mut self, bar: Bar) {
        let subject = |bar: &Bar| {
            let rig = bar.what.starts_with(RIG);
            (bar.group, if rig { RIG.into() } else { bar.what.clone() })
        };
        let again = |other: &&mut Bar| subject(other) == subject(&bar);
        let Some(before) = self.bars.iter_mut().find(again) else {
            self.bars.push(bar);
            return;
        };
        let worse = bar.what.starts_with(RIG) && cost(&bar) > cost(before);
        if worse || !before.judged() {
            *before = bar;
        }
    }

    fn read(&mut self, directory: &Path) -> anyhow::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(directory)
            .with_context(|| directory.display().to_string())?
            .collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            if path.is_dir() {
                self.read(&path)?;
            } else if path.extension().is_some_and(|name| name == "json") {
                self.reports += 1;
                match report(&path) {
                    Ok(bars) => bars.into_iter().for_each(|bar| self.take(bar)),
                    Err(error) => {
                        let why = format!("{}: {error:#}", path.display());
                        self.unreadable.push(why);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A failure costs more than anything, what was not measured nothing.
fn cost(bar: &Bar) -> f64 {
    let none = if bar.failed { f64::INFINITY } else { 0.0 };
    bar.measured.unwrap_or(none)
}

fn report(path: &Path) -> anyhow::Result<Vec<Bar>> {
    let reported: Reported = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(reported.bars)
}

/// The bars of all report files below a directory, by name of the files. Files that cannot be read, or are no
/// reports, do not keep others from being read: [`Collected::whole`] tells of them.
///
/// # Errors
/// When a directory cannot be read.
pub fn collect(directory: &Path) -> anyhow::Result<Collected> {
    let mut collected = Collected::default();
    collected.read(directory)?;
    Ok(collected)
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
            Bar::at_most(8, "p50", "x", 1.5, None).tried(false),
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
        assert_eq!(
            lines[4],
            ["8.", "p50,", "x", "-", "<=", "1.50", "not", "measured"]
        );
        assert!(
            text.ends_with("\n1 of 3 bars met, 1 not measured\n"),
            "{text}"
        );
        assert!(super::bars(&all[..3]).ends_with("\n1 of 3 bars met\n"));
    }

    fn directory(name: &str) -> std::path::PathBuf {
        let name = format!("sluice-perf-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(directory.join("sizes")).unwrap();
        directory
    }

    #[test]
    fn bars_are_found_in_all_reports() {
        let directory = directory("bars");
        assert!(collect(&directory).unwrap().is_empty());
        let bar = Bar::at_most(5, "l3", "x", 1.3, Some(1.0));
        let again = Bar::at_most(5, "l3", "x", 1.3, Some(1.1));
        for (name, bar) in [("sizes/bench.json", &bar), ("workers.json", &again)] {
            let report = serde_json::json!({ "bars": [bar], "results": [] }).to_string();
            std::fs::write(directory.join(name), report).unwrap();
        }
        std::fs::write(directory.join("other.json"), "{\"machine\": {}}").unwrap();
        std::fs::write(directory.join("cycles.svg"), "<svg/>").unwrap();
        let whole = collect(&directory).unwrap();
        std::fs::write(directory.join("a.json"), "{").unwrap();
        let damaged = collect(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(whole.whole().is_ok() && !whole.is_empty());
        assert_eq!((whole.bars, damaged.bars.len()), (vec![bar], 1));
        let why = damaged.whole().unwrap_err().to_string();
        assert!(why.contains("a.json"), "{why}");
    }

    #[test]
    fn of_several_reports_the_dearest_rig_and_the_first_number_count() {
        let rig = |scenario: &str, measured| {
            Bar::at_most(1, format!("{RIG}, {scenario}"), "cycles", 40.0, measured)
        };
        let l3 = |measured| Bar::at_most(1, "l3", "cycles", 40.0, measured);
        let mut collected = Collected::default();
        for bar in [
            rig("l3", Some(31.2)),
            l3(None).tried(false),
            rig("l3-v6", Some(43.0)),
            l3(Some(50.0)),
            rig("snat", Some(41.0)),
            l3(Some(30.0)),
        ] {
            collected.take(bar);
        }
        assert_eq!(collected.bars, [rig("l3-v6", Some(43.0)), l3(Some(50.0))]);
        collected.take(rig("l2", None));
        assert_eq!(collected.bars, [rig("l2", None), l3(Some(50.0))]);
    }
}
