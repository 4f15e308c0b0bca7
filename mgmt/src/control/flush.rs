//! The end of connections that an operator names. Who asks goes over the table, piece by piece, and gives each worker the
//! ones that are its own; the workers close some each loop, and a bounded number waits for them.

use std::time::{Duration, Instant};

use sluice_fastpath::connections::Connection;

use super::protocol::Reply;
use crate::runtime::State;
use crate::show::{Filter, Query, SCAN, Selection, What, known};

/// How long a worker that has much to close may go without closing any.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is given before it is asked again.
const PAUSE: Duration = Duration::from_millis(1);

/// Has the workers close connections; the sentence to answer with.
pub(crate) fn connections(state: &State, filter: Filter) -> Result<String, Reply> {
    let closing = |count: usize| format!("{count} connections are being closed");
    if filter == Filter::default() {
        let open = state.connections.len();
        state.connections.ask_to_close_all();
        return Ok(closing(open));
    }
    let query = Query {
        filter,
        ..Query::all(What::Connections)
    };
    query.check().map_err(Reply::error)?;
    known(state, &query).map_err(|unknown| Reply::refuse(unknown.message, unknown.help))?;
    let selection = Selection::of(&query.filter, &state.tables.current());
    let (mut count, mut next) = (0, Some(0));
    while let Some(from) = next {
        let mut found = Vec::new();
        next = state.connections.scan(from, SCAN, |connection| {
            if selection.has(&connection) {
                found.push(connection);
            }
        });
        for connection in &found {
            condemn(state, connection, count)?;
            count += 1;
        }
    }
    Ok(closing(count))
}

/// Gives a connection to its worker to close, when that has room.
fn condemn(state: &State, connection: &Connection, before: usize) -> Result<(), Reply> {
    let begin = Instant::now();
    while !state.connections.ask_to_close(connection) {
        if begin.elapsed() > PATIENCE {
            return Err(Reply::error(format!(
                "the workers do not close any more, after {before} connections; see `sluicectl show workers`"
            )));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
