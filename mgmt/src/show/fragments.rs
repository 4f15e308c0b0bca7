//! Fragments whose ports somebody looks at.

use std::io;

use serde_json::json;
use sluice_fastpath::counters::Work;
use sluice_fastpath::verdict::DropReason;

use super::rows::Rows;
use crate::runtime::{State, limits};

/// What is under way at each worker, its bounds, and what it has counted.
pub(super) fn fragments(state: &State, rows: &mut Rows<'_>) -> io::Result<()> {
    let limits = limits::fragments(&state.configuration().node);
    rows.extend(state.workers.iter().map(|worker| {
        let counters = &worker.counters;
        let (datagrams, held) = counters.fragments();
        json!({
            "worker": worker.id.0,
            "datagrams": datagrams,
            "datagrams_most": limits.datagrams,
            "held": held,
            "held_most": limits.held,
            "timeout_ms": limits.timeout,
            "memory": limits.memory(),
            "fragments": counters.work(Work::Fragment),
            "waited": counters.work(Work::FragmentHeld),
            "displaced": counters.work(Work::FragmentDisplaced),
            "timeout": counters.drops(DropReason::FragmentTimeout),
            "overlap": counters.drops(DropReason::FragmentOverlap),
        })
    }))
}
