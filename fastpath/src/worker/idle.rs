//! What a worker does when there is nothing to do.
//!
//! Adaptive: poll on for a while, then sleep. Short sleeps while traffic was there a moment ago keep the
//! first packet's delay under 100 us; long ones after that keep the cost low and the delay under 1 ms.

use std::fs;
use std::time::Duration;

use crate::ids::Tick;

/// What a worker does without traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleMode {
    /// Polls without pause.
    Poll,
    /// Sleeps between polls when idle.
    Adaptive,
}

/// Empty polls in a row before the first sleep.
const SPIN: u32 = 64;
/// Sleep while traffic came within `RECENT`.
const SHORT: Duration = Duration::from_micros(40);
/// Milliseconds of recent traffic.
const RECENT: u32 = 10;
/// Sleep after that.
const MIDDLE: Duration = Duration::from_micros(200);
/// Milliseconds without traffic before the long sleep.
const QUIET: u32 = 1000;
/// Sleep after that.
const LONG: Duration = Duration::from_micros(850);

#[derive(Debug)]
pub(super) struct Idle {
    mode: IdleMode,
    empty: u32,
    last_busy: Tick,
    slack_set: bool,
}

impl Idle {
    pub(super) fn new(mode: IdleMode) -> Self {
        Idle {
            mode,
            empty: 0,
            last_busy: Tick(0),
            slack_set: false,
        }
    }

    /// After a loop that was `busy` or not; true when it slept.
    pub(super) fn after(&mut self, busy: bool, now: Tick) -> bool {
        if busy {
            self.empty = 0;
            self.last_busy = now;
            return false;
        }
        if self.mode == IdleMode::Poll {
            return false;
        }
        self.empty = self.empty.saturating_add(1);
        if self.empty < SPIN {
            std::hint::spin_loop();
            return false;
        }
        if !self.slack_set {
            self.slack_set = true;
            tighten_timer_slack();
        }
        std::thread::sleep(self.pause(now));
        true
    }

    fn pause(&self, now: Tick) -> Duration {
        match now.since(self.last_busy) {
            quiet if quiet <= RECENT => SHORT,
            quiet if quiet < QUIET => MIDDLE,
            _ => LONG,
        }
    }
}

/// The kernel rounds sleeps up by 50 us unless the thread asks for less (proc(5), timerslack_ns). Where
/// it may not be set, sleeps are that much longer.
fn tighten_timer_slack() {
    let Ok(own) = fs::read_link("/proc/thread-self") else {
        return;
    };
    if let Some(tid) = own.file_name().and_then(|name| name.to_str()) {
        let _ = fs::write(format!("/proc/{tid}/timerslack_ns"), "1000");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_grow_with_silence_and_polling_never_sleeps() {
        let mut idle = Idle::new(IdleMode::Adaptive);
        idle.after(true, Tick(5_000));
        assert_eq!(idle.pause(Tick(5_003)), SHORT);
        assert_eq!(idle.pause(Tick(5_100)), MIDDLE);
        assert_eq!(idle.pause(Tick(6_100)), LONG);
        let mut poll = Idle::new(IdleMode::Poll);
        assert!((0..1_000).all(|_| !poll.after(false, Tick(0))));
    }

    #[test]
    fn spins_before_it_sleeps() {
        let mut idle = Idle::new(IdleMode::Adaptive);
        idle.after(true, Tick(0));
        assert!((1..SPIN).all(|_| !idle.after(false, Tick(0))));
        assert!(idle.after(false, Tick(0)));
        assert!(!idle.after(true, Tick(0)));
        assert!(!idle.after(false, Tick(0)));
    }
}
