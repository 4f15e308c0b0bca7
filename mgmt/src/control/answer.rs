//! From a command to its answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossbeam::channel::bounded;
use sluice_fastpath::ids::PortId;
use sluice_fastpath::pipeline::View;
use sluice_fastpath::spread::Homes;
use sluice_fastpath::tables::Tables;
use sluice_slowpath::AgentRequest;

use super::flush;
use super::protocol::{Command, Flush, Reply};
use crate::metrics;
use crate::reload::ReloadReport;
use crate::runtime::{State, limits};
use crate::show::show;
use crate::trace::{TraceError, TraceRequest, trace};

/// How long the slow path may take to forget something.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an answer goes, line by line.
type Out<'a> = &'a mut dyn FnMut(Reply) -> io::Result<()>;

/// Answers a command; the last line given to `out` ends the answer.
pub(super) fn answer(state: &State, command: Command, out: Out<'_>) -> io::Result<()> {
    match command {
        Command::Show(query) => show(state, &query, out),
        Command::Trace(request) => traced(state, &request, out),
        Command::Reload => report(state.reload.reload(), out),
        Command::Check { config } => report(state.reload.check(config.map(PathBuf::from)), out),
        Command::Flush(flush) => out(match forget(state, flush) {
            Ok(note) => Reply::Done { note: Some(note) },
            Err(refusal) => refusal,
        }),
        Command::Metrics => {
            out(Reply::Text {
                text: metrics::render(state),
            })?;
            out(Reply::done())
        }
    }
}

/// The walk runs here, on the client's thread.
fn traced(state: &State, request: &TraceRequest, out: Out<'_>) -> io::Result<()> {
    let tables = state.tables.current();
    let view = View {
        tables: &tables,
        learned: &state.learned,
        connections: &state.connections,
        now: state.now(),
        pick_up: state.now().0 < limits::pick_up(&state.configuration().node),
        homes: &Homes::NONE,
    };
    // Only where the chosen source port is concerned; a trace opens nothing.
    let seed = [u64::from(state.now().0), u64::from(std::process::id())];
    match trace(view, request, seed) {
        Ok(trace) => {
            out(Reply::Value {
                value: serde_json::to_value(&trace)?,
            })?;
            out(Reply::done())
        }
        Err(TraceError { message, help }) => out(Reply::Error { message, help }),
    }
}

fn report(report: Option<ReloadReport>, out: Out<'_>) -> io::Result<()> {
    let Some(report) = report else {
        return out(Reply::error("the daemon is ending"));
    };
    out(Reply::Value {
        value: serde_json::to_value(&report)?,
    })?;
    out(Reply::done())
}

/// Has something forgotten; the sentence to answer with.
fn forget(state: &State, flush: Flush) -> Result<String, Reply> {
    let tables = state.tables.current();
    match flush {
        Flush::Neighbors { port, ip } => {
            let port = port.map(|name| router_port(&tables, &name)).transpose()?;
            let forgotten = ask(state, |done| AgentRequest::FlushNeighbors {
                port,
                ip,
                done: Some(done),
            })?;
            Ok(format!("{forgotten} neighbors forgotten"))
        }
        Flush::Fdb { switch: None } => {
            let forgotten = ask(state, |done| AgentRequest::FlushFdb {
                domain: None,
                done: Some(done),
            })?;
            Ok(format!("{forgotten} MACs forgotten"))
        }
        Flush::Fdb { switch: Some(name) } => {
            let mut forgotten = 0;
            for domain in domains(&tables, &name)? {
                forgotten += ask(state, |done| AgentRequest::FlushFdb {
                    domain: Some(domain),
                    done: Some(done),
                })?;
            }
            Ok(format!("{forgotten} MACs forgotten"))
        }
        Flush::Connections { filter } => flush::connections(state, *filter),
    }
}

/// Sends the slow path a request and waits for its number.
fn ask(
    state: &State,
    request: impl FnOnce(crossbeam::channel::Sender<usize>) -> AgentRequest,
) -> Result<usize, Reply> {
    let (done, count) = bounded(1);
    let sent = state.requests.send(request(done)).is_ok();
    let answered = if sent {
        count.recv_timeout(PATIENCE).ok()
    } else {
        None
    };
    answered.ok_or_else(|| {
        Reply::error("the slow path does not answer; see `sluicectl show workers` and the log")
    })
}

fn router_port(tables: &Tables, name: &str) -> Result<PortId, Reply> {
    let routers = tables
        .datapaths
        .iter()
        .flatten()
        .filter_map(|piece| tables.router(piece.id));
    let mut ports = routers.flat_map(|(_, router)| &router.ports);
    let found = ports.find(|port| port.name == name).map(|port| port.id);
    found.ok_or_else(|| {
        Reply::refuse(
            format!("no router of this node has a port `{name}`"),
            "`sluicectl show ports` lists them",
        )
    })
}

fn domains(tables: &Tables, name: &str) -> Result<Vec<u32>, Reply> {
    let mut switches = tables
        .datapaths
        .iter()
        .flatten()
        .filter(|piece| piece.name == name)
        .filter_map(|piece| tables.switch(piece.id));
    let found = switches
        .next()
        .map(|(_, switch)| switch.domains.iter().map(|domain| domain.id).collect());
    found.ok_or_else(|| {
        Reply::refuse(
            format!("this node has no switch `{name}`"),
            "`sluicectl show switches` lists them",
        )
    })
}
