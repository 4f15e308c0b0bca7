//! What is told: a table for people, JSON for programs, charts for the README.

mod chart;
mod machine;
mod table;
mod verdict;

pub use chart::{chart, charts};
pub use machine::Machine;
pub use table::table;
pub use verdict::comparison;

use std::path::Path;

use anyhow::Context;

use crate::bench::Results;

/// Writes the JSON and the charts into a directory.
///
/// # Errors
/// When it cannot be written.
pub fn write(results: &Results, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    std::fs::write(
        directory.join("bench.json"),
        serde_json::to_string_pretty(results)? + "\n",
    )?;
    for (name, svg) in charts(results) {
        std::fs::write(directory.join(name), svg)?;
    }
    Ok(())
}
