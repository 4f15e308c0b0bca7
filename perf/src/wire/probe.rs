//! What a cache line takes from one core to the other and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use crossbeam::utils::CachePadded;

use crate::bench::median;
use crate::workers::Priority;

/// Round trips that are timed together.
const BATCH: u64 = 50;
/// Batches of a probe.
const BATCHES: u64 = 60;
/// A probe that takes longer has failed: the other thread does not get its CPU.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Shared {
    ping: CachePadded<AtomicU64>,
    pong: CachePadded<AtomicU64>,
    /// The number that `ping` will have at the end of the probe that is asked for.
    until: CachePadded<AtomicU64>,
    stop: AtomicBool,
}

/// A thread on another core that answers.
#[derive(Debug)]
pub(super) struct Probe {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    next: u64,
}

impl Probe {
    /// Starts the thread on a CPU.
    pub(super) fn new(cpu: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let other = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            core_affinity::set_for_current(CoreId { id: cpu });
            // Without it others on that CPU make probes fail, and windows are not accepted.
            let _priority = Priority::raise();
            answer(&other);
        });
        Self {
            shared,
            thread: Some(thread),
            next: 0,
        }
    }

    /// Nanoseconds one way, median; `None` when the other thread does not get its CPU.
    pub(super) fn measure(&mut self) -> Option<f64> {
        let begin = Instant::now();
        let shared = &self.shared;
        shared
            .until
            .store(self.next + BATCH * BATCHES, Ordering::Release);
        self.thread.as_ref()?.thread().unpark();
        let mut batches = Vec::new();
        for _ in 0..BATCHES {
            let batch = Instant::now();
            for _ in 0..BATCH {
                self.next += 1;
                shared.ping.store(self.next, Ordering::Release);
                let mut spins = 0_u32;
                while shared.pong.load(Ordering::Acquire) != self.next {
                    std::hint::spin_loop();
                    spins = spins.wrapping_add(1);
                    if spins.is_multiple_of(1 << 12) && begin.elapsed() > PATIENCE {
                        return self.give_up();
                    }
                }
            }
            batches.push(batch.elapsed().as_nanos() as f64 / (2 * BATCH) as f64);
        }
        median(batches)
    }

    /// The other thread finds its way to the end by itself.
    fn give_up(&mut self) -> Option<f64> {
        self.next = self.shared.until.load(Ordering::Relaxed);
        self.shared.ping.store(self.next, Ordering::Release);
        None
    }
}

fn answer(shared: &Shared) {
    let mut done = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let until = shared.until.load(Ordering::Acquire);
        if done >= until {
            std::thread::park();
            continue;
        }
        let ping = shared.ping.load(Ordering::Acquire);
        if ping > done {
            done = ping;
            shared.pong.store(ping, Ordering::Release);
        }
        std::hint::spin_loop();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_says_nanoseconds_or_fails() {
        let mut probe = Probe::new(0);
        for _ in 0..3 {
            // On a machine with one CPU, or a busy one, it fails; it does not hang.
            if let Some(nanoseconds) = probe.measure() {
                assert!((1.0..1e6).contains(&nanoseconds), "{nanoseconds}");
            }
        }
    }
}
