//! What is told: a table for people, JSON for programs, charts for the README.

mod bar;
mod chart;
mod machine;
mod table;
mod verdict;

pub use bar::{Aim, Bar, Collected, bars, collect};
pub use chart::charts;
pub use machine::Machine;
pub use table::table;
pub use verdict::{aims, comparison};

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::bench::Results;

/// A report file: who measured, what came of it, and what is aimed at.
#[derive(Serialize)]
struct File<'a, T> {
    machine: &'a Machine,
    bars: &'a [Bar],
    results: &'a T,
}

/// Writes a report into a directory as JSON under a name.
///
/// # Errors
/// When it cannot be written.
pub fn store<T: Serialize>(
    directory: &Path,
    name: &str,
    machine: &Machine,
    bars: &[Bar],
    results: &T,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let file = File {
        machine,
        bars,
        results,
    };
    let path = directory.join(format!("{name}.json"));
    std::fs::write(&path, serde_json::to_string_pretty(&file)? + "\n")
        .with_context(|| path.display().to_string())
}

/// Writes the comparison as JSON, and its charts, into a directory.
///
/// # Errors
/// When it cannot be written.
pub fn write(results: &Results, directory: &Path) -> anyhow::Result<()> {
    let bars = aims(results);
    store(directory, "bench", &results.machine, &bars, &results.cells)?;
    for (name, svg) in charts(results) {
        std::fs::write(directory.join(name), svg)?;
    }
    Ok(())
}
