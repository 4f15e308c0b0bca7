//! Connections counted: by who opened them, by protocol and state.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;

use serde_json::json;
use sluice_fastpath::connections::{Connection, Standing};
use sluice_fastpath::ids::Zone;

use super::flows::{state_name, zone};
use super::query::{Filter, Query, protocol_name};
use super::rows::Rows;
use super::selection::{SCAN, Selection};
use crate::runtime::State;

/// Sources that are told apart: who forges sources shall not have the daemon's memory.
const SOURCES: usize = 1 << 18;

/// Connections, and what went through them in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Sum {
    connections: u64,
    half_open: u64,
    packets: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, connection: &Connection) {
        self.connections += 1;
        self.half_open += u64::from(connection.state.standing() == Standing::HalfOpen);
        self.packets += connection.packets.iter().sum::<u64>();
        self.bytes += connection.bytes.iter().sum::<u64>();
    }
}

/// Sources with the most connections first.
pub(super) fn talkers(state: &State, query: &Query, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut sources: HashMap<(Zone, IpAddr), Sum> = HashMap::new();
    let mut others = Sum::default();
    visit(state, &query.filter, |connection| {
        let key = (connection.original.zone, connection.original.src);
        let room = sources.len() < SOURCES;
        match sources.get_mut(&key) {
            Some(sum) => sum.add(connection),
            None if room => sources.entry(key).or_default().add(connection),
            None => others.add(connection),
        }
    });
    let mut sources: Vec<_> = sources.into_iter().collect();
    sources.sort_unstable_by_key(|(key, sum)| (Reverse(*sum), *key));
    let tables = state.tables.current();
    let row = |src: String, zone: Option<String>, sum: Sum| {
        json!({
            "src": src,
            "zone": zone,
            "connections": sum.connections,
            "half_open": sum.half_open,
            "packets": sum.packets,
            "bytes": sum.bytes,
        })
    };
    if others != Sum::default() {
        rows.extend([row("others".to_owned(), None, others)])?;
    }
    rows.extend(
        sources
            .into_iter()
            .map(|((of, src), sum)| row(src.to_string(), Some(zone(&tables, of)), sum)),
    )
}

/// A row for each protocol and state that there is.
pub(super) fn totals(state: &State, filter: &Filter, rows: &mut Rows<'_>) -> io::Result<()> {
    let mut sums: BTreeMap<(u8, &'static str), Sum> = BTreeMap::new();
    visit(state, filter, |connection| {
        let key = (connection.original.proto, state_name(connection.state));
        sums.entry(key).or_default().add(connection);
    });
    rows.extend(sums.into_iter().map(|((proto, state), sum)| {
        json!({
            "proto": protocol_name(proto),
            "state": state,
            "connections": sum.connections,
            "packets": sum.packets,
            "bytes": sum.bytes,
        })
    }))
}

fn visit(state: &State, filter: &Filter, mut each: impl FnMut(&Connection)) {
    let selection = Selection::of(filter, &state.tables.current());
    let mut next = Some(0);
    while let Some(from) = next {
        next = state.connections.scan(from, SCAN, |connection| {
            if selection.has(&connection) {
                each(&connection);
            }
        });
    }
}
