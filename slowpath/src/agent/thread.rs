//! The agent's thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::sync::Parker;
use sluice_fastpath::ids::Tick;
use sluice_fastpath::io::FramePool;

use super::Agent;

/// The longest sleep: how late a request, a new generation or the end may be noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Runs the agent on a thread of its own until `stop`; ticks count from `start`, as those of the workers do.
///
/// `asleep` tells the workers that the agent sleeps on `parker`; they wake it when they hand something over.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<P: FramePool>(
    mut agent: Agent<P>,
    stop: Arc<AtomicBool>,
    parker: Parker,
    asleep: Arc<AtomicBool>,
    start: Instant,
) -> io::Result<JoinHandle<()>> {
    let tick = move || Tick(start.elapsed().as_millis() as u32);
    let run = move || {
        while !stop.load(Ordering::Acquire) {
            let deadline = agent.step(tick());
            let now = tick();
            if now.reached(deadline) || !agent.is_drained() {
                continue;
            }
            asleep.store(true, Ordering::Release);
            // A worker hands over first and looks at `asleep` then; we the other way round.
            fence(Ordering::SeqCst);
            if agent.is_drained() {
                let wait = Duration::from_millis(deadline.since(now).into());
                parker.park_timeout(wait.min(LONGEST_SLEEP));
            }
            asleep.store(false, Ordering::Release);
        }
    };
    std::thread::Builder::new()
        .name("slowpath".to_owned())
        .spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{AgentConfig, Settings};
    use crossbeam::channel::bounded;
    use sluice_fastpath::exchange::Exchange;
    use sluice_fastpath::io::memory::MemoryPool;
    use sluice_fastpath::learned::Learned;
    use sluice_fastpath::snapshot::TablesCell;

    /// The thread serves what comes while it sleeps, and ends when told to.
    #[test]
    fn wakes_serves_and_ends() {
        let (parker, stop, asleep) = (Parker::new(), Arc::default(), Arc::default());
        let exchange = Arc::new(Exchange::new(
            8,
            parker.unparker().clone(),
            Arc::clone(&asleep),
        ));
        let agent = Agent::new(AgentConfig {
            pool: Arc::new(MemoryPool::new(8)),
            exchanges: vec![Arc::clone(&exchange)],
            learned: Arc::new(Learned::new(8, 8, 1)),
            reader: TablesCell::new().reader(),
            settings: Settings::default(),
        })
        .expect("the learned tables are free");
        let (requests, unparker) = (agent.requests(), parker.unparker().clone());
        let thread = spawn(
            agent,
            Arc::clone(&stop),
            parker,
            Arc::clone(&asleep),
            Instant::now(),
        );
        let thread = thread.expect("a thread");

        while !asleep.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let (done, told) = bounded(1);
        let flush = crate::agent::AgentRequest::FlushFdb {
            domain: None,
            done: Some(done),
        };
        requests.send(flush).expect("the agent lives");
        unparker.unpark();
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(0));

        stop.store(true, Ordering::Release);
        unparker.unpark();
        thread.join().expect("the thread ends without panic");
        assert!(!asleep.load(Ordering::Acquire));
    }
}
