//! Reading the configuration anew while packets flow.
//!
//! ```text
//!  SIGHUP ─────────┐
//!  sluicectl ──────┴─► reload thread: read ► validate ► compile ► publish ► keep the old until all have passed
//!                          │ any error: nothing changes, the reply and the log tell all of them
//! ```
//!
//! One thread, so reloads and checks come one after another. Keys that need a restart keep the value they run
//! with; the rest of the file takes effect and the report names them.

mod report;
mod restart;
#[cfg(test)]
mod tests;
mod worker;

pub use report::ReloadReport;
pub use restart::{in_effect, needs_restart};
pub use worker::{ReloadHandle, Reloader};

use std::path::Path;

use sluice_net::Mac;

use crate::compile::{Compiler, NodeView};
use crate::config::{Loaded, Node, load};
use crate::topology::Problem;

/// The node as the compiler sees it, its devices having these MACs (in the order of their names).
///
/// # Errors
/// What the node file says and cannot be carried out.
pub fn node_view(node: &Node, macs: &[Mac]) -> Result<NodeView, Vec<Problem>> {
    let position = |name: &str| node.interfaces.keys().position(|other| other == name);
    NodeView::new(node, |name| {
        position(name)
            .and_then(|at| macs.get(at))
            .copied()
            .unwrap_or_default()
    })
}

/// Problems that have no excerpt, a line each.
#[must_use]
pub fn render_problems(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let help = problem
            .mend
            .as_ref()
            .map(|mend| format!("\n  = help: {mend}"))
            .unwrap_or_default();
        format!("error: {}: {}{help}\n\n", problem.place(), problem.message)
    };
    problems.iter().map(line).collect()
}

/// What a configuration would change against another one, or against nothing. For machines where no daemon runs:
/// devices are not opened, so their MACs are made up.
///
/// # Errors
/// Everything that is wrong with either, rendered.
pub fn compare(new: &Path, old: Option<&Path>) -> Result<ReloadReport, String> {
    let new = read(new)?;
    let mut compiler = Compiler::new();
    let mut restart = Vec::new();
    if let Some(path) = old {
        let old = read(path).map_err(|error| {
            format!(
                "{}, which is to be compared with, is not right:\n{error}",
                path.display()
            )
        })?;
        let compiled = compile(&mut compiler, &old)?;
        compiler.commit(compiled);
        restart = needs_restart(&old.node, &new.node);
    }
    let compiled = compile(&mut compiler, &new)?;
    let mut report = ReloadReport::of(&compiled.changes, restart);
    report.warnings.extend(
        new.warnings
            .findings()
            .map(|finding| finding.message.to_owned()),
    );
    Ok(report)
}

fn read(path: &Path) -> Result<Loaded, String> {
    load(path).map_err(|diagnostics| diagnostics.render(false))
}

fn compile(compiler: &mut Compiler, loaded: &Loaded) -> Result<crate::compile::Compiled, String> {
    let macs: Vec<Mac> = (0..loaded.node.interfaces.len() as u64)
        .map(|n| Mac::from_u64(0x0a00_0000_0000 + n))
        .collect();
    let view = node_view(&loaded.node, &macs).map_err(|problems| render_problems(&problems))?;
    compiler
        .compile(&loaded.topology, &view)
        .map_err(|problems| render_problems(&problems))
}
