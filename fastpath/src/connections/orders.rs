//! What management asks of the owners of connections: other idle times, connections to close.
//!
//! A worker reads one word each loop; only when that has changed does it look at the rest.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crossbeam::queue::ArrayQueue;

use super::connection::ConnRef;
use super::state::Timeouts;
use crate::ids::WorkerId;

/// Connections that wait for one worker to close them.
const CONDEMNED: usize = 4096;

/// One for all workers.
#[derive(Debug)]
pub(super) struct Orders {
    /// Another one after each order.
    count: AtomicU32,
    /// How often everything was asked to close.
    closings: AtomicU32,
    /// How often the idle times were set.
    timings: AtomicU32,
    timeouts: [AtomicU32; Timeouts::COUNT],
    /// Connections that are to be closed, by worker.
    condemned: Box<[ArrayQueue<ConnRef>]>,
}

impl Orders {
    pub(super) fn new(workers: usize) -> Orders {
        Orders {
            count: AtomicU32::new(0),
            closings: AtomicU32::new(0),
            timings: AtomicU32::new(0),
            timeouts: Timeouts::default().values().map(AtomicU32::new),
            condemned: (0..workers).map(|_| ArrayQueue::new(CONDEMNED)).collect(),
        }
    }

    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.count.load(Acquire)
    }

    fn given(&self) {
        self.count.fetch_add(1, Release);
    }

    pub(super) fn close_all(&self) {
        self.closings.fetch_add(1, Release);
        self.given();
    }

    pub(super) fn closings(&self) -> u32 {
        self.closings.load(Acquire)
    }

    pub(super) fn set_timeouts(&self, timeouts: &Timeouts) {
        for (word, value) in self.timeouts.iter().zip(timeouts.values()) {
            word.store(value, Relaxed);
        }
        self.timings.fetch_add(1, Release);
        self.given();
    }

    pub(super) fn timings(&self) -> u32 {
        self.timings.load(Acquire)
    }

    /// Who reads them while they are set may see some old ones; the count of orders then changes once more.
    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts::of_values(self.timeouts.each_ref().map(|word| word.load(Relaxed)))
    }

    /// False when the worker has too many to close already, or there is no such worker.
    pub(super) fn condemn(&self, worker: WorkerId, conn: ConnRef) -> bool {
        let queue = self.condemned.get(usize::from(worker.0));
        let taken = queue.is_some_and(|queue| queue.push(conn).is_ok());
        if taken {
            self.given();
        }
        taken
    }

    pub(super) fn next_condemned(&self, worker: WorkerId) -> Option<ConnRef> {
        self.condemned.get(usize::from(worker.0))?.pop()
    }
}
