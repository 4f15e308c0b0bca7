//! Announcements: telling the neighbors of a link that an address is here now.
//!
//! At once when it comes, then again after 1, 2, 4 and 8 seconds: the first frame may be lost, and a switch that
//! was just restarted hears a later one (RFC 5227 section 2.3, RFC 4861 section 7.2.6). Many addresses at the
//! same moment go one after the other, as fast as a bucket allows.

use std::collections::BTreeSet;
use std::hash::Hash;

use hashbrown::HashMap;

use crate::limit::{Bucket, Rate};
use crate::time::Time;

/// Milliseconds from one announcement to the next.
const GAPS: [u32; 4] = [1_000, 2_000, 4_000, 8_000];

/// What is to be announced when. `K` names an address.
#[derive(Debug)]
pub struct Announcer<K> {
    entries: HashMap<K, (Time, usize)>,
    timers: BTreeSet<(Time, K)>,
    bucket: Bucket,
}

impl<K: Copy + Ord + Hash> Announcer<K> {
    /// Nothing to announce yet; frames go at `rate` at most.
    #[must_use]
    pub fn new(rate: Rate, now: Time) -> Self {
        Self {
            entries: HashMap::new(),
            timers: BTreeSet::new(),
            bucket: Bucket::new(rate, now),
        }
    }

    /// An address came: announce it from now on. Begins anew when it is being announced.
    pub fn start(&mut self, key: K, now: Time) {
        self.stop(key);
        self.entries.insert(key, (now, 0));
        self.timers.insert((now, key));
    }

    /// An address went: not a word more.
    pub fn stop(&mut self, key: K) {
        if let Some((due, _)) = self.entries.remove(&key) {
            self.timers.remove(&(due, key));
        }
    }

    /// The next address to announce now, if one is due and the rate allows it. Call until `None`.
    pub fn poll(&mut self, now: Time) -> Option<K> {
        let &(due, key) = self.timers.first()?;
        if due > now || !self.bucket.take(now) {
            return None;
        }
        self.timers.remove(&(due, key));
        let sent = self.entries.get(&key).map_or(0, |(_, sent)| *sent);
        match GAPS.get(sent) {
            Some(gap) => {
                self.entries.insert(key, (now.plus(*gap), sent + 1));
                self.timers.insert((now.plus(*gap), key));
            }
            None => {
                self.entries.remove(&key);
            }
        }
        Some(key)
    }

    /// When [`poll`](Self::poll) has something to say next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let due = self.timers.first()?.0;
        Some(due.max(self.bucket.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Rate = Rate {
        per_second: 1_000,
        burst: 1_000,
    };

    /// Everything said up to `end`, as (when, what), by sleeping from deadline to deadline.
    fn run(announcer: &mut Announcer<u32>, end: u64) -> Vec<(u64, u32)> {
        let mut said = Vec::new();
        while let Some(now) = announcer.next_deadline().filter(|due| due.0 <= end) {
            let before = said.len();
            said.extend(std::iter::from_fn(|| announcer.poll(now)).map(|key| (now.0, key)));
            assert!(said.len() > before, "woken for nothing at {now:?}");
        }
        said
    }

    #[test]
    fn at_once_then_at_growing_intervals() {
        let mut announcer = Announcer::new(FAST, Time(0));
        announcer.start(7, Time(100));
        let said = run(&mut announcer, 1_000_000);
        assert_eq!(said, [100, 1_100, 3_100, 7_100, 15_100].map(|at| (at, 7)));
        assert_eq!(announcer.next_deadline(), None);
    }

    #[test]
    fn a_gone_address_is_silent_and_a_returned_one_begins_anew() {
        let mut announcer = Announcer::new(FAST, Time(0));
        announcer.start(1, Time(0));
        announcer.start(2, Time(0));
        assert_eq!(
            run(&mut announcer, 1_500),
            [(0, 1), (0, 2), (1_000, 1), (1_000, 2)]
        );
        announcer.stop(1);
        announcer.start(2, Time(2_000));
        assert_eq!(run(&mut announcer, 4_000), [(2_000, 2), (3_000, 2)]);
        announcer.stop(2);
        assert_eq!(announcer.next_deadline(), None);
    }

    #[test]
    fn many_go_at_the_rate() {
        let mut announcer = Announcer::new(
            Rate {
                per_second: 100,
                burst: 10,
            },
            Time(0),
        );
        for key in 0..50 {
            announcer.start(key, Time(0));
        }
        let said = run(&mut announcer, 999);
        assert_eq!(said.iter().filter(|(at, _)| *at == 0).count(), 10);
        assert_eq!(said.last().map(|(at, _)| *at), Some(400));
        let mut keys: Vec<u32> = said.iter().map(|(_, key)| *key).collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..50).collect::<Vec<_>>(), "each once");
    }
}
