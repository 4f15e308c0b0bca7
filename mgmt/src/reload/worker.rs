//! The reload thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use sluice_fastpath::tables::Tables;
use sluice_net::Mac;

use super::report::ReloadReport;
use super::restart::{in_effect, needs_restart};
use super::{node_view, render_problems};
use crate::compile::{Compiled, Compiler};
use crate::config::{Loaded, Loader, Node};
use crate::runtime::{Configuration, State, limits};

/// How often the thread looks whether old tables can go, or whether it is to end.
const PERIOD: Duration = Duration::from_millis(100);

/// What the thread is asked for.
enum Job {
    /// Put the node file into effect. The reply may be wanted by nobody.
    Reload(Option<Sender<ReloadReport>>),
    /// Say what a file would change.
    Check(Option<PathBuf>, Sender<ReloadReport>),
}

/// Where reloads are asked for.
#[derive(Clone)]
pub struct ReloadHandle(Sender<Job>);

impl ReloadHandle {
    /// Asks for a reload and does not wait for it. The log tells what came of it.
    pub fn request(&self) {
        // Without the thread the daemon is ending.
        let _ = self.0.send(Job::Reload(None));
    }

    /// Reloads; `None` when the daemon is ending.
    #[must_use]
    pub fn reload(&self) -> Option<ReloadReport> {
        let (reply, report) = bounded(1);
        self.0.send(Job::Reload(Some(reply))).ok()?;
        report.recv().ok()
    }

    /// Says what `file`, or the daemon's own, would change; `None` when the daemon is ending.
    #[must_use]
    pub fn check(&self, file: Option<PathBuf>) -> Option<ReloadReport> {
        let (reply, report) = bounded(1);
        self.0.send(Job::Check(file, reply)).ok()?;
        report.recv().ok()
    }
}

/// The reload thread before it runs: it owns the compiler and the tables that are on their way out.
pub struct Reloader {
    jobs: Receiver<Job>,
    loader: Loader,
    compiler: Compiler,
    macs: Vec<Mac>,
    retired: Vec<Arc<Tables>>,
}

impl Reloader {
    /// A reloader that goes on from what `compiler` has committed, on devices with these MACs.
    #[must_use]
    pub fn new(compiler: Compiler, macs: Vec<Mac>) -> (ReloadHandle, Self) {
        let (sender, jobs) = unbounded();
        (
            ReloadHandle(sender),
            Self {
                jobs,
                loader: Loader::default(),
                compiler,
                macs,
                retired: Vec::new(),
            },
        )
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        mut self,
        state: Arc<State>,
        stop: Arc<AtomicBool>,
    ) -> std::io::Result<JoinHandle<()>> {
        let run = move || {
            // What it says is running already. Having read it once, the first reload is as quick as the others.
            let _ = self.loader.load(&state.configuration().file);
            while !stop.load(Ordering::Acquire) {
                if let Ok(job) = self.jobs.recv_timeout(PERIOD) {
                    self.serve(&state, job);
                }
                self.release(&state);
            }
        };
        std::thread::Builder::new().name("reload".into()).spawn(run)
    }

    /// Does what is asked for now, and nothing more; for tests without threads.
    #[cfg(test)]
    pub(crate) fn serve_waiting(&mut self, state: &State) {
        while let Ok(job) = self.jobs.try_recv() {
            self.serve(state, job);
        }
        self.release(state);
    }

    fn serve(&mut self, state: &State, job: Job) {
        // Whoever asked may have gone.
        match job {
            Job::Reload(reply) => {
                let report = self.reload(state);
                log(&report);
                let _ = reply.map(|reply| reply.send(report));
            }
            Job::Check(file, reply) => {
                let file = file.unwrap_or_else(|| state.configuration().file.clone());
                let _ = reply.send(self.check(state, &file));
            }
        }
    }

    fn reload(&mut self, state: &State) -> ReloadReport {
        let begin = Instant::now();
        let running = state.configuration();
        let (loaded, node, compiled) = match self.compile(&running.node, &running.file) {
            Ok(found) => found,
            Err(errors) => return self.refused(errors),
        };
        let restart = needs_restart(&running.node, &loaded.node);
        let mut report = ReloadReport::of(&compiled.changes, restart);
        report.warnings.extend(
            loaded
                .warnings
                .findings()
                .map(|finding| finding.message.to_owned()),
        );
        let tables = self.compiler.commit(compiled);
        tables.prepare(&state.connections);
        let old = state.tables.publish(tables);
        self.retired.push(old);
        limits::apply(&node, &state.connections);
        state.configure(Configuration {
            file: running.file.clone(),
            node,
            topology: loaded.topology,
            digest: loaded.digest,
            since: SystemTime::now(),
        });
        report.generation = self.compiler.tables().generation;
        report.seconds = begin.elapsed().as_secs_f64();
        report
    }

    fn check(&mut self, state: &State, file: &Path) -> ReloadReport {
        let running = state.configuration();
        let (loaded, _, compiled) = match self.compile(&running.node, file) {
            Ok(found) => found,
            Err(errors) => return self.refused(errors),
        };
        let mut report = ReloadReport::of(
            &compiled.changes,
            needs_restart(&running.node, &loaded.node),
        );
        report.warnings.extend(
            loaded
                .warnings
                .findings()
                .map(|finding| finding.message.to_owned()),
        );
        report.generation = self.compiler.tables().generation;
        report
    }

    /// Reads and compiles a file for this node as it runs. On an error nothing has changed.
    fn compile(&mut self, running: &Node, file: &Path) -> Result<(Loaded, Node, Compiled), String> {
        let loaded = self
            .loader
            .load(file)
            .map_err(|diagnostics| diagnostics.render(false))?;
        let node = in_effect(running, &loaded.node);
        let compiled = node_view(&node, &self.macs)
            .and_then(|view| self.compiler.compile(&loaded.topology, &view))
            .map_err(|problems| render_problems(file, &loaded, problems))?;
        Ok((loaded, node, compiled))
    }

    fn refused(&self, errors: String) -> ReloadReport {
        let generation = self.compiler.tables().generation;
        ReloadReport {
            generation,
            ..ReloadReport::refused(errors)
        }
    }

    /// Frees old tables here, once no worker reads them any more.
    fn release(&mut self, state: &State) {
        if !self.retired.is_empty() && state.tables.all_passed() {
            self.retired.clear();
        }
    }
}

fn log(report: &ReloadReport) {
    if let Some(errors) = &report.errors {
        tracing::error!(
            "reload refused, nothing has changed:\n{}",
            errors.trim_end()
        );
        return;
    }
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    for key in &report.restart {
        tracing::warn!("{key} takes effect after a restart");
    }
    tracing::info!(
        "reloaded: {}; generation {}, {:.0} ms",
        report.summary(),
        report.generation,
        report.seconds * 1e3
    );
}
