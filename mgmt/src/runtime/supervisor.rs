//! Looks after workers and links once a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sluice_fastpath::ids::Tick;

use super::State;

/// Milliseconds without a new loop after which a worker counts as stalled.
const PATIENCE: u32 = 1_000;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks until `stop`; its thread is unparked to end at once.
pub(super) fn watch(state: &State, stop: &AtomicBool) {
    let mut links = Vec::new();
    while !stop.load(Ordering::Acquire) {
        // Workers after the pause: at the start they have had no time to poll.
        look_at_links(state, &mut links);
        std::thread::park_timeout(PERIOD);
        if !stop.load(Ordering::Acquire) {
            look_at_workers(state, state.now());
        }
    }
}

/// Tells of workers that stall or go on.
fn look_at_workers(state: &State, now: Tick) {
    for worker in &state.workers {
        if !worker.judge(now, PATIENCE) {
            continue;
        }
        let (id, cpu) = (worker.id.0, worker.cpu);
        if worker.stalled.load(Ordering::Acquire) {
            tracing::error!(
                "worker {id} on CPU {cpu} has not polled for over a second: is another program bound to that CPU?"
            );
        } else {
            tracing::warn!("worker {id} on CPU {cpu} polls again");
        }
    }
}

/// Tells of links that go down or come up; `links` is how they were.
fn look_at_links(state: &State, links: &mut Vec<bool>) {
    let configuration: Arc<super::Configuration> = state.configuration();
    let now: Vec<bool> = state
        .interfaces
        .status()
        .iter()
        .map(|status| status.up)
        .collect();
    for (index, (name, up)) in configuration.node.interfaces.keys().zip(&now).enumerate() {
        match (links.get(index), up) {
            (Some(true) | None, false) => tracing::warn!("interface {name}: link down"),
            (Some(false), true) => tracing::info!("interface {name}: link up"),
            _ => {}
        }
    }
    *links = now;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::testing::Bench;

    #[test]
    fn a_worker_without_a_new_loop_is_stalled_until_it_has_one() {
        let mut bench = Bench::example("n1/node1.toml");
        let state = Arc::clone(&bench.state);
        let [worker] = &state.workers[..] else {
            panic!("one worker")
        };
        let stalled = || worker.stalled.load(Ordering::Acquire);
        let beat = worker.counters.heartbeat();
        look_at_workers(&state, beat.plus(PATIENCE));
        assert!(!stalled());
        look_at_workers(&state, beat.plus(PATIENCE + 1));
        assert!(stalled());
        assert!(
            !worker.judge(beat.plus(PATIENCE + 2), PATIENCE),
            "told once"
        );
        bench.settle();
        look_at_workers(&state, worker.counters.heartbeat().plus(1));
        assert!(!stalled());
        // A heartbeat from a moment after the look.
        look_at_workers(&state, Tick(worker.counters.heartbeat().0.wrapping_sub(5)));
        assert!(!stalled());
    }
}
