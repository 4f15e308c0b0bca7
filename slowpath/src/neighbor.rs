//! The resolver: who has an address, is it still there, and what waits for the answer.
//!
//! One machine for ARP (RFC 826, RFC 1122 section 2.3.2) and neighbor discovery (RFC 4861 section 7.3).
//! It knows neither packets nor tables: it is told of needs, messages and time, and says what is to be done.
//!
//! ```text
//!            need                  answer                 30 s unused
//!  (none) --------> INCOMPLETE -----------> REACHABLE ------------------> STALE --20 min unused--> (none)
//!                    3 asks |               ^      | 30 s, used            | used, at most 5 s later
//!                           v        answer |      v                       v
//!                         FAILED            +---- PROBE <------------------+
//!                           | 5 s                  | 3 unicast asks
//!                           v                      v
//!                         (none)                 (none)
//! ```
//!
//! DELAY of RFC 4861 is the time between a use and the check that notices it. An entry in use goes to PROBE
//! without a stop in STALE, so that a busy neighbor is confirmed before it is needed.

mod heard;

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;

use hashbrown::HashMap;
use sluice_net::Mac;

use crate::time::Time;

pub use heard::{Heard, Lesson};

/// Reachability of a neighbor, names of RFC 4861 section 7.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Asked for; no MAC yet.
    Incomplete,
    /// Confirmed not long ago.
    Reachable,
    /// Known, not confirmed of late; used all the same.
    Stale,
    /// Being confirmed; used all the same.
    Probe,
    /// Did not answer; not asked again for a while.
    Failed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<K, W> {
    /// Ask for the address: everyone, or only the station that had it.
    Ask {
        /// The neighbor.
        key: K,
        /// Its last MAC; `None` asks everyone.
        unicast: Option<Mac>,
    },
    /// Store a MAC and a state.
    Set {
        /// The neighbor.
        key: K,
        /// Its MAC.
        mac: Mac,
        /// Its state.
        state: State,
    },
    /// Store a state; the MAC, if there is one, stays.
    SetState {
        /// The neighbor.
        key: K,
        /// Its state.
        state: State,
    },
    /// Forget the neighbor.
    Remove {
        /// The neighbor.
        key: K,
    },
    /// Resolved: send what waited.
    Release {
        /// What waited.
        waiting: W,
    },
    /// Not resolved: tell the sender of what waited.
    Unreachable {
        /// The neighbor.
        key: K,
        /// What waited.
        waiting: W,
    },
    /// No room, or the neighbor was forgotten: drop what waited.
    Discard {
        /// What waited.
        waiting: W,
    },
}

/// Times and bounds of the resolver. The defaults are those of RFC 4861 section 10 where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Milliseconds between two requests for one address (RFC 1122 section 2.3.2.1: no more than one a second).
    pub retransmit: u32,
    /// Requests to everyone before an address counts as failed.
    pub multicast_tries: u8,
    /// Requests to the known MAC before an entry is forgotten.
    pub unicast_tries: u8,
    /// Milliseconds a confirmation holds.
    pub reachable: u32,
    /// Milliseconds between two looks at whether a stale entry is used.
    pub delay: u32,
    /// Milliseconds an entry may stay unused before it is forgotten.
    pub unused: u32,
    /// Milliseconds before a failed address is asked for again.
    pub failed: u32,
    /// Frames that wait for one neighbor at most; the newest are kept.
    pub waiting_each: usize,
    /// Frames that wait in all at most.
    pub waiting_total: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retransmit: 1_000,
            multicast_tries: 3,
            unicast_tries: 3,
            reachable: 30_000,
            delay: 5_000,
            unused: 1_200_000,
            failed: 5_000,
            waiting_each: 8,
            waiting_total: 1_024,
        }
    }
}

#[derive(Debug)]
struct Entry<W> {
    state: State,
    mac: Option<Mac>,
    /// Requests sent in this state.
    tries: u8,
    /// When the state began or was confirmed.
    since: Time,
    /// When the timer fires; stands in `timers` too.
    due: Time,
    waiting: VecDeque<W>,
}

/// All neighbors that are being resolved or kept fresh. `K` names a neighbor, `W` is what waits for one.
#[derive(Debug)]
pub struct Resolver<K, W> {
    settings: Settings,
    entries: HashMap<K, Entry<W>>,
    timers: BTreeSet<(Time, K)>,
    waiting: usize,
}

impl<K: Copy + Ord + Hash, W> Resolver<K, W> {
    /// An empty resolver.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            entries: HashMap::new(),
            timers: BTreeSet::new(),
            waiting: 0,
        }
    }

    /// State of a neighbor; `None` when nothing is known of it.
    #[must_use]
    pub fn state(&self, key: &K) -> Option<State> {
        self.entries.get(key).map(|entry| entry.state)
    }

    /// Neighbors known or asked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Frames that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// When [`poll`](Self::poll) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Someone needs the address; `waiting` is what waits for it.
    pub fn need(&mut self, key: K, waiting: Option<W>, now: Time, out: &mut Vec<Effect<K, W>>) {
        match self.state(&key) {
            None => {
                self.insert(key, State::Incomplete, None, now);
                self.ask(key, now, out);
                self.queue(key, waiting, out);
            }
            Some(State::Incomplete) => self.queue(key, waiting, out),
            Some(State::Reachable | State::Stale | State::Probe) => {
                out.extend(waiting.map(|waiting| Effect::Release { waiting }));
            }
            Some(State::Failed) => {
                out.extend(waiting.map(|waiting| Effect::Unreachable { key, waiting }));
            }
        }
    }

    /// A message told something about a neighbor. An unknown neighbor is taken in only when `create` says so.
    pub fn heard(
        &mut self,
        key: K,
        heard: Heard,
        create: bool,
        now: Time,
        out: &mut Vec<Effect<K, W>>,
    ) -> Lesson {
        let Some(entry) = self.entries.get(&key) else {
            let (Some(mac), true) = (heard.mac(), create) else {
                return Lesson::Ignored;
            };
            self.insert(key, State::Incomplete, None, now);
            self.settle(key, mac, heard.proves(State::Stale), now, out);
            return Lesson::Learned;
        };
        let (state, known) = (entry.state, entry.mac);
        let proof = heard.proves(state);
        match (known, heard.mac()) {
            // RFC 4861 section 7.2.5: without a MAC there is nothing to record yet.
            (None, None) => Lesson::Ignored,
            (None, Some(mac)) => {
                self.settle(key, mac, proof, now, out);
                Lesson::Learned
            }
            (Some(old), Some(mac)) if old != mac => self.contradict(key, mac, heard, now, out),
            (Some(mac), _) if proof => {
                self.settle(key, mac, true, now, out);
                Lesson::Confirmed
            }
            (Some(_), _) => Lesson::Ignored,
        }
    }

    /// Another MAC than the known one was claimed.
    fn contradict(
        &mut self,
        key: K,
        mac: Mac,
        heard: Heard,
        now: Time,
        out: &mut Vec<Effect<K, W>>,
    ) -> Lesson {
        let state = self.state(&key);
        if heard.replaces() {
            self.settle(
                key,
                mac,
                state.is_some_and(|state| heard.proves(state)),
                now,
                out,
            );
            return Lesson::Moved;
        }
        // RFC 4861 section 7.2.5 item I: keep the MAC, but no longer trust it.
        if state == Some(State::Reachable) {
            self.enter(key, State::Stale, now);
            out.push(Effect::SetState {
                key,
                state: State::Stale,
            });
        }
        Lesson::Ignored
    }

    /// Does what is due. `used` says when the packet path last used a neighbor; at most `budget` timers
    /// are served, the others stay due.
    pub fn poll(
        &mut self,
        now: Time,
        mut used: impl FnMut(&K) -> Option<Time>,
        budget: usize,
        out: &mut Vec<Effect<K, W>>,
    ) {
        for _ in 0..budget {
            let Some(&(due, key)) = self.timers.first() else {
                return;
            };
            if due > now {
                return;
            }
            self.fire(key, now, &mut used, out);
        }
    }

    fn fire(
        &mut self,
        key: K,
        now: Time,
        used: &mut impl FnMut(&K) -> Option<Time>,
        out: &mut Vec<Effect<K, W>>,
    ) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        let used = used(&key);
        let in_use = used.is_some_and(|used| used > entry.since);
        let last = used.unwrap_or(entry.since).max(entry.since);
        match entry.state {
            State::Incomplete if entry.tries >= self.settings.multicast_tries => {
                self.fail(key, now, out)
            }
            State::Incomplete => self.ask(key, now, out),
            State::Probe if entry.tries >= self.settings.unicast_tries => self.remove(key, out),
            State::Probe => self.ask(key, now, out),
            State::Reachable | State::Stale if in_use => {
                self.enter(key, State::Probe, now);
                out.push(Effect::SetState {
                    key,
                    state: State::Probe,
                });
                self.ask(key, now, out);
            }
            State::Reachable => {
                self.enter(key, State::Stale, now);
                out.push(Effect::SetState {
                    key,
                    state: State::Stale,
                });
            }
            State::Stale if now.since(last) >= self.settings.unused.into() => self.remove(key, out),
            State::Stale => self.schedule(key, now.plus(self.settings.delay)),
            State::Failed => self.remove(key, out),
        }
    }

    /// Forgets a neighbor; what waited for it is discarded.
    pub fn remove(&mut self, key: K, out: &mut Vec<Effect<K, W>>) {
        let Some(entry) = self.entries.remove(&key) else {
            return;
        };
        self.timers.remove(&(entry.due, key));
        self.waiting -= entry.waiting.len();
        out.push(Effect::Remove { key });
        out.extend(
            entry
                .waiting
                .into_iter()
                .map(|waiting| Effect::Discard { waiting }),
        );
    }

    /// Forgets all neighbors but those that `keep` names, and returns how many.
    pub fn retain(
        &mut self,
        mut keep: impl FnMut(&K) -> bool,
        out: &mut Vec<Effect<K, W>>,
    ) -> usize {
        let gone: Vec<K> = self
            .entries
            .keys()
            .filter(|key| !keep(key))
            .copied()
            .collect();
        for key in &gone {
            self.remove(*key, out);
        }
        gone.len()
    }

    fn insert(&mut self, key: K, state: State, mac: Option<Mac>, now: Time) {
        let entry = Entry {
            state,
            mac,
            tries: 0,
            since: now,
            due: now,
            waiting: VecDeque::new(),
        };
        self.entries.insert(key, entry);
        self.timers.insert((now, key));
    }

    /// Begins a state and its timer.
    fn enter(&mut self, key: K, state: State, now: Time) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        (entry.state, entry.tries, entry.since) = (state, 0, now);
        let wait = match state {
            State::Incomplete | State::Probe => self.settings.retransmit,
            State::Reachable => self.settings.reachable,
            State::Stale => self.settings.delay,
            State::Failed => self.settings.failed,
        };
        self.schedule(key, now.plus(wait));
    }

    fn schedule(&mut self, key: K, due: Time) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        self.timers.remove(&(entry.due, key));
        entry.due = due;
        self.timers.insert((due, key));
    }

    fn ask(&mut self, key: K, now: Time, out: &mut Vec<Effect<K, W>>) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.tries += 1;
        out.push(Effect::Ask {
            key,
            unicast: entry.mac,
        });
        self.schedule(key, now.plus(self.settings.retransmit));
    }

    /// A MAC is known or confirmed: what waited may go.
    fn settle(&mut self, key: K, mac: Mac, proof: bool, now: Time, out: &mut Vec<Effect<K, W>>) {
        let state = if proof {
            State::Reachable
        } else {
            State::Stale
        };
        self.enter(key, state, now);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.mac = Some(mac);
        self.waiting -= entry.waiting.len();
        out.push(Effect::Set { key, mac, state });
        out.extend(
            entry
                .waiting
                .drain(..)
                .map(|waiting| Effect::Release { waiting }),
        );
    }

    fn fail(&mut self, key: K, now: Time, out: &mut Vec<Effect<K, W>>) {
        self.enter(key, State::Failed, now);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        self.waiting -= entry.waiting.len();
        out.push(Effect::SetState {
            key,
            state: State::Failed,
        });
        out.extend(
            entry
                .waiting
                .drain(..)
                .map(|waiting| Effect::Unreachable { key, waiting }),
        );
    }

    fn queue(&mut self, key: K, waiting: Option<W>, out: &mut Vec<Effect<K, W>>) {
        let (Some(newest), Some(entry)) = (waiting, self.entries.get_mut(&key)) else {
            return;
        };
        // RFC 1122 section 2.3.2.2 and RFC 4861 section 7.2.2: the newest packets are the ones to keep.
        entry.waiting.push_back(newest);
        let full = entry.waiting.len() > self.settings.waiting_each
            || self.waiting >= self.settings.waiting_total;
        let oldest = if full {
            entry.waiting.pop_front()
        } else {
            None
        };
        match oldest {
            Some(waiting) => out.push(Effect::Discard { waiting }),
            None => self.waiting += 1,
        }
    }
}

#[cfg(test)]
mod tests;
