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

use crate::compile::{Compiled, Compiler, NodeView};
use crate::config::{Loaded, Node, explain, load};
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

/// Problems that only showed when the topology met this node, rendered with their places in the files.
#[must_use]
pub fn render_problems(file: &Path, loaded: &Loaded, problems: Vec<Problem>) -> String {
    explain(file, &loaded.node.topology, problems).render(false)
}

/// What a configuration would change against another one, or against nothing. For machines where no daemon runs:
/// devices are not opened, so their MACs are made up.
///
/// # Errors
/// Everything that is wrong with either, rendered.
pub fn compare(new_file: &Path, old_file: Option<&Path>) -> Result<ReloadReport, String> {
    let new = read(new_file)?;
    let mut compiler = Compiler::new();
    let mut restart = Vec::new();
    if let Some(file) = old_file {
        let old = read(file).and_then(|old| {
            let compiled = compile(&mut compiler, file, &old)?;
            compiler.commit(compiled);
            Ok(old)
        });
        let old = old.map_err(|error| {
            format!(
                "{}, which is to be compared with, is not right:\n{error}",
                file.display()
            )
        })?;
        restart = needs_restart(&old.node, &new.node);
    }
    let compiled = compile(&mut compiler, new_file, &new)?;
    let mut report = ReloadReport::of(&compiled.changes, restart);
    let warnings = new.warnings.findings();
    report
        .warnings
        .extend(warnings.map(|finding| finding.message.to_owned()));
    Ok(report)
}

fn read(path: &Path) -> Result<Loaded, String> {
    load(path).map_err(|diagnostics| diagnostics.render(false))
}

fn compile(compiler: &mut Compiler, file: &Path, loaded: &Loaded) -> Result<Compiled, String> {
    let count = loaded.node.interfaces.len() as u64;
    let macs: Vec<Mac> = (0..count)
        .map(|n| Mac::from_u64(0x0a00_0000_0000 + n))
        .collect();
    let compiled =
        node_view(&loaded.node, &macs).and_then(|view| compiler.compile(&loaded.topology, &view));
    compiled.map_err(|problems| render_problems(file, loaded, problems))
}
