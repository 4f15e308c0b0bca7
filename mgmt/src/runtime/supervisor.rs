//! Looks after the workers once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::State;

/// Milliseconds without a new loop after which a worker counts as stalled.
const PATIENCE: u32 = 1_000;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at the workers until `stop`; its thread is unparked to end at once.
pub(super) fn watch(state: &Arc<State>, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        look(state);
        std::thread::park_timeout(PERIOD);
    }
}

/// Tells of workers that stall or go on.
fn look(state: &State) {
    let now = state.now();
    for worker in &state.workers {
        if !worker.judge(now, PATIENCE) {
            continue;
        }
        let (id, cpu) = (worker.id.0, worker.cpu);
        if worker.stalled.load(Ordering::Acquire) {
            tracing::error!(
                worker = id,
                cpu,
                "worker {id} on CPU {cpu} has not polled for over a second: is another program bound to that CPU?"
            );
        } else {
            tracing::warn!(worker = id, cpu, "worker {id} on CPU {cpu} polls again");
        }
    }
}
