//! What operators ask a running node, as rows of tables. Everything is read from shared, lock-free state on the
//! thread of the client that asks; nothing is waited for by a worker.
//!
//! - [`query`]: what can be asked, and which filters it knows
//! - [`columns`]: the tables as people see them
//! - `selection`: which connections a filter is for
//! - `node`, `switching`, `routing`, `flows`, `translation`, `mappings`, `talkers`, `balancing`, `access`, `fragments`: the rows

pub mod columns;
pub mod query;

mod access;
mod balancing;
mod flows;
mod fragments;
mod known;
mod mappings;
mod node;
mod routing;
mod rows;
mod selection;
mod switching;
mod talkers;
#[cfg(test)]
mod tests;
mod translation;

use std::io;

pub(crate) use flows::state_name as connection_state;
pub(crate) use known::check as known;
pub(crate) use node::device_traffic;
pub use query::{Filter, Query, What};
pub(crate) use routing::{kind as encap_kind, role, source as route_source};
pub(crate) use selection::{SCAN, Selection};
pub(crate) use switching::place;

use crate::control::Reply;
use crate::runtime::State;
use rows::Rows;

/// Gives the rows of a query to `out`, in pieces, and the end of the answer last.
///
/// # Errors
/// What `out` fails with.
pub fn show(
    state: &State,
    query: &Query,
    out: &mut dyn FnMut(Reply) -> io::Result<()>,
) -> io::Result<()> {
    if let Err(message) = query.check() {
        return out(Reply::error(message));
    }
    if let Err(unknown) = known::check(state, query) {
        return out(Reply::refuse(unknown.message, unknown.help));
    }
    let mut rows = Rows::new(out, query.limit);
    let filter = &query.filter;
    match query.what {
        What::Version => node::version(state, &mut rows)?,
        What::Topology => node::topology(state, filter, &mut rows)?,
        What::Interfaces => node::interfaces(state, filter, &mut rows)?,
        What::Workers => node::workers(state, &mut rows)?,
        What::Fragments => fragments::fragments(state, &mut rows)?,
        What::Drops => node::drops(state, filter, &mut rows)?,
        What::Slowpath => node::slow_path(state, &mut rows)?,
        What::Switches => switching::switches(state, filter, &mut rows)?,
        What::Ports => switching::ports(state, filter, &mut rows)?,
        What::Fdb => switching::fdb(state, filter, &mut rows)?,
        What::Routers => routing::routers(state, filter, &mut rows)?,
        What::Routes => routing::routes(state, filter, &mut rows)?,
        What::Neighbors => routing::neighbors(state, filter, &mut rows)?,
        What::Tunnels => routing::tunnels(state, filter, &mut rows)?,
        What::Connections => flows::connections(state, filter, &mut rows)?,
        What::Talkers => talkers::talkers(state, query, &mut rows)?,
        What::Totals => talkers::totals(state, filter, &mut rows)?,
        What::Nat => translation::nat(state, filter, &mut rows)?,
        What::Pools => translation::pools(state, filter, &mut rows)?,
        What::Mappings => mappings::mappings(state, filter, &mut rows)?,
        What::Lb => balancing::balancers(state, filter, &mut rows)?,
        What::Acl => access::acls(state, filter, &mut rows)?,
    }
    let note = rows.finish()?;
    out(Reply::Done { note })
}
