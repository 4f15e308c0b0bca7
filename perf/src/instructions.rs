//! Instructions per packet, counted by valgrind: the same on every run, so a slower fast path is seen before
//! it lands.
//!
//! Each scenario is replayed in memory by this program under callgrind, which counts inside the measured
//! function; what the generator's functions took in there is taken off.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::bench::scenario;
use crate::scenario::{ALL, Scenario};

/// A scenario that has grown by more than this share of its baseline fails.
const GROWTH: f64 = 0.03;
/// Packets counted.
const PACKETS: u64 = 16_384;

/// Counts instructions per packet and compares them with the baseline.
#[derive(Clone, Debug, Args)]
pub struct Instructions {
    /// Scenarios; all but the largest unless named.
    #[arg(long, value_delimiter = ',', value_parser = scenario)]
    pub scenario: Vec<&'static Scenario>,
    /// The baseline.
    #[arg(long, default_value = "perf/baselines/instructions.json")]
    pub baseline: PathBuf,
    /// Writes what was counted as the new baseline.
    #[arg(long)]
    pub write: bool,
}

/// Instructions per packet, by scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The compiler they were counted with.
    pub rustc: String,
    /// By scenario.
    pub instructions: BTreeMap<String, f64>,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// When it is not there or is no baseline.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Counts all scenarios wanted, or as many as can be.
///
/// # Errors
/// When valgrind is not installed, or a replay fails.
pub fn count(wanted: &Instructions) -> anyhow::Result<Baseline> {
    let all: Vec<&Scenario> = ALL
        .iter()
        .filter(|scenario| scenario.name != "l3-full-table")
        .collect();
    let scenarios = if wanted.scenario.is_empty() {
        &all
    } else {
        &wanted.scenario
    };
    let mut counted = Baseline {
        rustc: rustc(),
        instructions: BTreeMap::new(),
    };
    for scenario in scenarios {
        counted
            .instructions
            .insert(scenario.name.to_owned(), callgrind(scenario)?);
    }
    Ok(counted)
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// One scenario under callgrind.
fn callgrind(scenario: &Scenario) -> anyhow::Result<f64> {
    let out = std::env::temp_dir().join(format!(
        "sluice-perf-{}-{}",
        scenario.name,
        std::process::id()
    ));
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*measured_bursts*",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args([
            "replay",
            "--scenario",
            scenario.name,
            "--packets",
            &PACKETS.to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .context("valgrind: apt-get install valgrind")?;
    let text = std::fs::read_to_string(&out).unwrap_or_default();
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_file(&out);
    if !output.status.success() {
        bail!(
            "{}: {}",
            scenario.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let packets = String::from_utf8_lossy(&output.stdout);
    let packets: f64 = packets
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .context("the replay does not say how many packets it played")?;
    let counted =
        counted(&text).with_context(|| format!("{}: callgrind counted nothing", scenario.name))?;
    Ok(counted as f64 / packets)
}

/// All instructions but those of calls to the generator.
fn counted(text: &str) -> Option<u64> {
    let total = total(text)?;
    let generator = inclusive(text, "uncounted_");
    total
        .checked_sub(generator)
        .filter(|&rest| rest > 0 && generator > 0)
}

/// What the calls of functions took whose name has `part` in it, by callgrind's file format: a name is written
/// once, with a number that stands for it later; the line behind `calls=` has the cost of the call.
fn inclusive(text: &str, part: &str) -> u64 {
    let mut matching = HashSet::new();
    let (mut called, mut counts, mut sum) = (false, false, 0);
    for line in text.lines() {
        if counts {
            counts = false;
            let cost = line
                .split(' ')
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            sum += cost.unwrap_or(0);
        }
        let (name, callee) = match (line.strip_prefix("cfn="), line.strip_prefix("fn=")) {
            (Some(name), _) => (name, true),
            (None, Some(name)) => (name, false),
            (None, None) => {
                counts = called && line.starts_with("calls=");
                called &= !counts;
                continue;
            }
        };
        let number = name.split(' ').next().unwrap_or_default();
        if name.contains(part) {
            matching.insert(number);
        }
        called = callee && matching.contains(number);
    }
    sum
}

/// The sum that callgrind writes at the end.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("totals:"))?;
    line.trim().parse().ok()
}

/// A comparison for people, and whether all is well: nothing has grown too much, and every name is a scenario's. Against a
/// baseline of another compiler growth is shown but fails nothing, because it may be the compiler's; there it is the other
/// compiler that fails, if `strict`.
pub fn compare(counted: &Baseline, baseline: &Baseline, strict: bool) -> (String, bool) {
    let mut text = format!(
        "{:<18}{:>14}{:>12}{:>9}\n",
        "instructions", "per packet", "baseline", "change"
    );
    let same_compiler = counted.rustc == baseline.rustc;
    let mut good = true;
    for (name, &now) in &counted.instructions {
        let Some(&before) = baseline.instructions.get(name) else {
            good = false;
            let _ = writeln!(text, "{name:<18}{now:>14.1}{:>12}", "none");
            continue;
        };
        let change = now / before - 1.0;
        let verdict = if change > GROWTH {
            good &= !same_compiler;
            "  GROWN"
        } else if change < -GROWTH {
            "  less: write a new baseline"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{name:<18}{now:>14.1}{before:>12.1}{:>8.1}%{verdict}",
            change * 100.0
        );
    }
    let names = baseline.instructions.keys();
    for name in names.filter(|name| Scenario::named(name).is_none()) {
        good = false;
        let _ = writeln!(text, "{name:<18} is in the baseline, but no scenario");
    }
    if !same_compiler {
        good &= !strict;
        let _ = writeln!(
            text,
            "\nNOT COMPARED: ANOTHER COMPILER\nThe baseline was counted with {}, this with {}. Growth fails nothing here.\n\
             Use that compiler, or write a new baseline.",
            baseline.rustc, counted.rustc
        );
    }
    (text, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(pairs: &[(&str, f64)]) -> Baseline {
        let instructions = pairs
            .iter()
            .map(|&(name, count)| (name.to_owned(), count))
            .collect();
        Baseline {
            rustc: "rustc 1".into(),
            instructions,
        }
    }

    #[test]
    fn growth_beyond_the_limit_fails() {
        let before = baseline(&[("l2", 100.0), ("l3", 200.0)]);
        assert!(compare(&baseline(&[("l2", 102.9), ("l3", 150.0)]), &before, true).1);
        let (text, good) = compare(&baseline(&[("l2", 103.1)]), &before, false);
        assert!(!good && text.contains("GROWN"), "{text}");
        assert!(!compare(&baseline(&[("snat", 1.0)]), &before, false).1);
        let other = Baseline {
            rustc: "rustc 2".into(),
            ..baseline(&[("l2", 110.0)])
        };
        let (text, good) = compare(&other, &before, false);
        assert!(good && text.contains("rustc 2"), "{text}");
        assert!(!compare(&other, &before, true).1);
        let gone = baseline(&[("l2", 100.0), ("l4", 200.0)]);
        let (text, good) = compare(&baseline(&[("l2", 100.0)]), &gone, false);
        assert!(!good && text.contains("l4"), "{text}");
    }

    #[test]
    fn what_the_generator_took_is_taken_off() {
        let text = "fn=(1) measured\n5 10\ncfn=(2) x::uncounted_send\ncalls=3 7\n6 40\n7 5\n\
                    cfn=(3) y\ncalls=1 1\n8 20\n\nfn=(2)\n1 40\nfn=(3)\n2 20\ncfn=(2)\ncalls=1 7\n9 2\n\
                    totals: 137\n";
        assert_eq!(inclusive(text, "uncounted_"), 42);
        assert_eq!(counted(text), Some(95));
        assert_eq!(
            counted("totals: 137\n"),
            None,
            "a generator that was not found"
        );
        assert_eq!(counted(""), None);
    }
}
