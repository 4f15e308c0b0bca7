//! From the command line to the daemon, and back to the terminal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use sluice_mgmt::control::client::{DEFAULT_DIRECTORY, find_socket};
use sluice_mgmt::control::protocol::Flush;
use sluice_mgmt::control::{Client, ClientError, Command, Reply};
use sluice_mgmt::reload::ReloadReport;
use sluice_mgmt::show::{Query, What};
use sluice_mgmt::trace::{Trace, TraceRequest};

use super::args::{Action, Cli, End, Forget};
use super::print::{JsonRows, Tables};

/// Does what the command line says.
pub(super) fn run(cli: Cli) -> Result<ExitCode, ClientError> {
    let Cli {
        socket,
        json,
        command,
    } = cli;
    let ask = || Client::connect(&socket_path(socket)?);
    match command {
        Action::Completion { shell } => {
            // Into memory: it panics where the reader goes away.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sluicectl", &mut script);
            io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Show(show) => {
            let show = *show;
            let query = Query {
                what: show.what,
                filter: show.filter,
                limit: show.limit,
            };
            rows(&mut ask()?, show.what, query, json)
        }
        Action::Connections(mut connections) => match connections.end.take() {
            Some(End::Flush(doomed)) => {
                let filter = Box::new(doomed.flows.into());
                let flush = Flush::Connections { filter };
                plain(&mut ask()?, Command::Flush(flush))
            }
            None => {
                let query = connections.query();
                rows(&mut ask()?, query.what, query, json)
            }
        },
        Action::Lb(places) => rows(&mut ask()?, What::Lb, places.query(What::Lb), json),
        Action::Nat(rules) => {
            let query = rules.query();
            rows(&mut ask()?, query.what, query, json)
        }
        Action::Trace(request) => traced(&mut ask()?, (*request).into(), json),
        Action::Reload => report(&mut ask()?, Command::Reload, json, "reloaded"),
        Action::Check { config } => {
            let absolute = config.map(std::path::absolute).transpose()?;
            let config = absolute.map(|path| path.display().to_string());
            report(&mut ask()?, Command::Check { config }, json, "would change")
        }
        Action::Flush(forget) => plain(&mut ask()?, Command::Flush(flush(forget))),
        Action::Metrics => plain(&mut ask()?, Command::Metrics),
    }
}

fn socket_path(given: Option<PathBuf>) -> Result<PathBuf, ClientError> {
    given.map_or_else(|| find_socket(Path::new(DEFAULT_DIRECTORY)), Ok)
}

fn flush(forget: Forget) -> Flush {
    match forget {
        Forget::Neighbors { port, ip } => Flush::Neighbors { port, ip },
        Forget::Fdb { switch } => Flush::Fdb { switch },
        Forget::Connections(flows) => Flush::Connections {
            filter: Box::new((*flows).into()),
        },
    }
}

/// Rows as they come: a table, or one JSON array.
fn rows(
    client: &mut Client,
    what: What,
    query: Query,
    json: bool,
) -> Result<ExitCode, ClientError> {
    let mut out = io::stdout().lock();
    let (mut array, mut tables) = (JsonRows::default(), Tables::new(what));
    let mut note = None;
    client.ask(Command::Show(query), |reply| {
        match reply {
            Reply::Rows { rows } if json => array.rows(&mut out, &rows)?,
            Reply::Rows { rows } => tables.rows(&mut out, rows)?,
            Reply::Done { note: told } => note = told,
            _ => {}
        }
        Ok(())
    })?;
    if json {
        array.end(&mut out)?
    } else {
        tables.end(&mut out)?
    }
    if let Some(note) = note {
        eprintln!("{note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// A trace, as text or as one JSON object.
fn traced(client: &mut Client, request: TraceRequest, json: bool) -> Result<ExitCode, ClientError> {
    let mut out = io::stdout().lock();
    client.ask(Command::Trace(request), |reply| {
        let Reply::Value { value } = reply else {
            return Ok(());
        };
        if json {
            writeln!(out, "{value}")?;
        } else {
            let trace: Trace = serde_json::from_value(value).map_err(io::Error::other)?;
            write!(out, "{trace}")?;
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What a reload did or a check found; a refused configuration is a failure.
fn report(
    client: &mut Client,
    command: Command,
    json: bool,
    verb: &str,
) -> Result<ExitCode, ClientError> {
    let mut out = io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    client.ask(command, |reply| {
        let Reply::Value { value } = reply else {
            return Ok(());
        };
        let report: ReloadReport =
            serde_json::from_value(value.clone()).map_err(io::Error::other)?;
        if report.errors.is_some() {
            code = ExitCode::FAILURE;
        }
        match (json, &report.errors) {
            (true, _) => writeln!(out, "{value}")?,
            (false, Some(errors)) => eprintln!("{}\nnothing has changed", errors.trim_end()),
            (false, None) => writeln!(out, "{report}{verb}: {}", report.summary())?,
        }
        Ok(())
    })?;
    Ok(code)
}

/// An answer of text or one sentence.
fn plain(client: &mut Client, command: Command) -> Result<ExitCode, ClientError> {
    let mut out = io::stdout().lock();
    client.ask(command, |reply| {
        match reply {
            Reply::Text { text } => out.write_all(text.as_bytes())?,
            Reply::Done { note: Some(note) } => writeln!(out, "{note}")?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}
