//! The swap of compiled tables: one pointer, no packet lost.
//!
//! The problem: workers read the tables for every packet and may not lock; management replaces them while
//! they read; the last reader must not be the one who frees megabytes.
//!
//! ```text
//! publisher:  current = new (lock) -> generation := new -> wait until every reader's seen == new -> free old
//! reader:     each burst: generation != mine ? take current (lock, once per publish), seen := generation
//! ```
//!
//! The guarantee: a burst sees one generation from its first packet to its last; the publisher keeps the old
//! generation until every reader has passed, so no reader frees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tables::Tables;

/// Where the current tables stand.
#[derive(Debug)]
pub struct TablesCell {
    current: Mutex<Arc<Tables>>,
    generation: AtomicU64,
    readers: Mutex<Vec<Arc<AtomicU64>>>,
}

/// One reader's view; refreshed once a burst.
#[derive(Debug)]
pub struct TablesReader {
    cell: Arc<TablesCell>,
    seen: Arc<AtomicU64>,
    tables: Arc<Tables>,
}

impl TablesCell {
    /// Starts with empty tables of generation 0.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            current: Mutex::new(Arc::new(Tables::default())),
            generation: AtomicU64::new(0),
            readers: Mutex::new(Vec::new()),
        })
    }

    /// A new reader, for a worker or the slow path.
    pub fn reader(self: &Arc<Self>) -> TablesReader {
        let tables = self.current();
        let seen = Arc::new(AtomicU64::new(tables.generation));
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&seen));
        TablesReader {
            cell: Arc::clone(self),
            seen,
            tables,
        }
    }

    /// The current tables, for readers outside the packet path.
    pub fn current(&self) -> Arc<Tables> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `tables` the current ones and returns those before; the caller keeps them until
    /// [`all_passed`](Self::all_passed) says that no reader holds them.
    pub fn publish(&self, tables: Arc<Tables>) -> Arc<Tables> {
        let generation = tables.generation;
        let old = std::mem::replace(
            &mut *self.current.lock().unwrap_or_else(PoisonError::into_inner),
            tables,
        );
        self.generation.store(generation, Ordering::Release);
        old
    }

    /// True when every reader has taken the current generation.
    pub fn all_passed(&self) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|seen| Arc::strong_count(seen) > 1);
        readers
            .iter()
            .all(|seen| seen.load(Ordering::Acquire) == generation)
    }
}

impl TablesReader {
    /// Takes the newest generation; call once a burst. Returns true when it changed.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        let generation = self.cell.generation.load(Ordering::Acquire);
        if generation == self.tables.generation {
            return false;
        }
        self.tables = self.cell.current();
        self.seen.store(self.tables.generation, Ordering::Release);
        true
    }

    /// The tables of this burst.
    #[inline]
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }
}
