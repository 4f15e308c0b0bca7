//! Connections counted by source, for the limit per source.

use std::sync::{
    OnceLock,
    atomic::{
        AtomicU32,
        Ordering::{Relaxed, Release},
    },
};

use super::address::Width;
use super::hash::split_mix;
use super::key::FlowKey;

/// Two rows of counters; a source is counted in one cell of each, and the smaller one is believed. Sources
/// that share both cells with busy ones are counted too high, never too low.
#[derive(Debug)]
pub(super) struct Sources {
    limit: AtomicU32,
    seed: u64,
    cells_a_row: usize,
    /// Made when a limit is first set: most tables never count.
    rows: OnceLock<Box<[AtomicU32]>>,
}

impl Sources {
    pub(super) fn new(capacity: usize, seed: u64) -> Sources {
        let cells_a_row = (capacity / 2).max(1024);
        Sources {
            limit: AtomicU32::new(0),
            seed,
            cells_a_row,
            rows: OnceLock::new(),
        }
    }

    /// 0 turns the limit off. Connections made before it was first set are not counted.
    pub(super) fn set_limit(&self, limit: u32) {
        if limit > 0 {
            self.rows.get_or_init(|| {
                (0..2 * self.cells_a_row)
                    .map(|_| AtomicU32::new(0))
                    .collect()
            });
        }
        self.limit.store(limit, Release);
    }

    /// Counts one more connection of the key's source: `Some(true)` when counted, `Some(false)` when there is
    /// no limit, `None` when the limit is reached.
    #[inline]
    pub(super) fn admit<A: Width>(&self, key: &FlowKey<A>) -> Option<bool> {
        let limit = self.limit.load(Relaxed);
        if limit == 0 {
            return Some(false);
        }
        let Some([first, second]) = self.cells(key) else {
            return Some(false);
        };
        let before = first
            .fetch_add(1, Relaxed)
            .min(second.fetch_add(1, Relaxed));
        if before >= limit {
            first.fetch_sub(1, Relaxed);
            second.fetch_sub(1, Relaxed);
            return None;
        }
        Some(true)
    }

    /// The key's source has as many as it may.
    pub(super) fn at_limit<A: Width>(&self, key: &FlowKey<A>) -> bool {
        let limit = self.limit.load(Relaxed);
        let counted = self
            .cells(key)
            .map(|cells| cells.map(|cell| cell.load(Relaxed)));
        limit > 0 && counted.is_some_and(|[first, second]| first.min(second) >= limit)
    }

    /// Takes back one that [`Sources::admit`] counted.
    pub(super) fn release<A: Width>(&self, key: &FlowKey<A>) {
        if let Some([first, second]) = self.cells(key) {
            first.fetch_sub(1, Relaxed);
            second.fetch_sub(1, Relaxed);
        }
    }

    fn cells<A: Width>(&self, key: &FlowKey<A>) -> Option<[&AtomicU32; 2]> {
        let rows = self.rows.get()?;
        let mut state = self.seed ^ (u64::from(key.zone.0).rotate_left(32) ^ key.src.source());
        let hash = split_mix(&mut state);
        let cell = |half: u64| (((half & 0xffff_ffff) * self.cells_a_row as u64) >> 32) as usize;
        let first = rows.get(cell(hash))?;
        let second = rows.get(self.cells_a_row + cell(hash >> 32))?;
        Some([first, second])
    }
}
