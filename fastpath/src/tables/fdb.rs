//! Learned MAC addresses of all switches of this node.
//!
//! One [`Fdb`] of fixed capacity lives as long as the daemon. Its one [`FdbWriter`] belongs to the slow
//! path; workers read without locks. An entry says behind which port of a *domain* (one switch and VLAN)
//! a MAC was last seen as a source. It stays in one slot until it is forgotten, so a worker may keep the
//! slot beside a cached decision and mark it as used without another look-up.
//!
//! **What a reader may rely on.** A look-up never pairs one entry's key with another's port. Whoever keeps
//! an answer reads [`Fdb::changes`] *before* the look-up and compares later: the count is raised after an
//! entry moved or went, not when one is added or refreshed.
//!
//! ```text
//!  slot:  name = MAC (48) | generation (16)     generation 0: free
//!         place = domain (32) | port (32)
//! ```
//! A slot is given a new generation whenever it is filled. Readers take name, place, name and believe the
//! place when both names are equal; a move writes the place alone.

#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use sluice_net::Mac;

use super::chains::Chains;
use crate::ids::{PortId, Tick};

pub use writer::{FdbWriter, Learned};

/// A recorded time of use that is this many milliseconds ahead is another worker's and stands.
const CLOCK_SKEW_MS: u32 = 1_000;

/// Writes `now` unless it is there already or a worker with a slightly later clock was faster.
#[inline]
pub(super) fn mark(used: &AtomicU32, now: Tick) {
    let recorded = Tick(used.load(Ordering::Relaxed));
    if recorded.since(now) >= CLOCK_SKEW_MS {
        used.store(now.0, Ordering::Relaxed);
    }
}

/// Milliseconds from the last recorded use to `now`.
fn idle(used: Tick, now: Tick) -> u32 {
    let ahead = used.since(now) < CLOCK_SKEW_MS;
    if ahead { 0 } else { now.since(used) }
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbHit {
    /// The port behind which the MAC was last seen.
    pub port: PortId,
    /// Where the entry is, for [`Fdb::mark_used`] and [`Fdb::slot_matches`].
    pub slot: u32,
}

/// A learned MAC, as shown to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// The switch and VLAN it was seen in.
    pub domain: u32,
    /// The MAC.
    pub mac: Mac,
    /// The port behind which it was last seen.
    pub port: PortId,
    /// When it was learned or moved here.
    pub since: Tick,
    /// When it was last seen.
    pub used: Tick,
}

/// The table. See the module's text for what readers may rely on.
#[derive(Debug)]
pub struct Fdb {
    slots: Box<[Entry]>,
    chains: Chains,
    changes: AtomicU64,
    claimed: AtomicBool,
}

#[derive(Debug, Default)]
#[repr(align(32))]
struct Entry {
    name: AtomicU64,
    place: AtomicU64,
    used: AtomicU32,
    since: AtomicU32,
}

impl Fdb {
    /// A table for at most `capacity` MACs; all memory is taken at once.
    ///
    /// # Panics
    /// When `capacity` does not fit 31 bits.
    pub fn new(capacity: usize) -> Fdb {
        Fdb {
            slots: (0..capacity).map(|_| Entry::default()).collect(),
            chains: Chains::new(capacity),
            changes: AtomicU64::new(0),
            claimed: AtomicBool::new(false),
        }
    }

    /// The one writer: `None` for all but the first who ask.
    pub fn writer(this: &Arc<Fdb>) -> Option<FdbWriter> {
        if this.claimed.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(FdbWriter::new(Arc::clone(this)))
    }

    /// Where `mac` was last seen in `domain`.
    #[inline]
    pub fn lookup(&self, domain: u32, mac: Mac) -> Option<FdbHit> {
        let mut port = PortId(0);
        let slot = self.chains.find(self.hash(domain, mac), |slot| {
            let entry = self.slots.get(slot as usize).and_then(Entry::read);
            entry.is_some_and(|(d, m, p)| {
                port = p;
                (d, m) == (domain, mac)
            })
        })?;
        Some(FdbHit { port, slot })
    }

    /// True when `slot` still says that `mac` is behind `port` of `domain`.
    #[inline]
    pub fn slot_matches(&self, slot: u32, domain: u32, mac: Mac, port: PortId) -> bool {
        let entry = self.slots.get(slot as usize).and_then(Entry::read);
        entry == Some((domain, mac, port))
    }

    /// Notes that the MAC in `slot` was seen as a source at `now`. Harmless when the slot has changed.
    #[inline]
    pub fn mark_used(&self, slot: u32, now: Tick) {
        if let Some(entry) = self.slots.get(slot as usize) {
            mark(&entry.used, now);
        }
    }

    /// How often an entry moved or went. Read it before the look-up whose answer is to be kept.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// All entries in no particular order. Those that change meanwhile may be missed or seen twice.
    pub fn iter(&self) -> impl Iterator<Item = FdbEntry> {
        self.slots.iter().filter_map(Entry::show)
    }

    /// Most MACs it can hold.
    pub fn capacity(&self) -> u32 {
        // Chains::new has checked that it fits.
        self.slots.len() as u32
    }

    #[inline]
    fn hash(&self, domain: u32, mac: Mac) -> u64 {
        self.chains.hash([mac.to_u64(), u64::from(domain)])
    }
}

impl Entry {
    const GENERATION: u64 = 0xffff;

    /// Domain, MAC and port as they were together at one moment.
    #[inline]
    fn read(&self) -> Option<(u32, Mac, PortId)> {
        self.read_between(|| ())
    }

    /// As [`Entry::read`]; `between` runs where a writer hurts most.
    #[inline]
    fn read_between(&self, between: impl FnOnce()) -> Option<(u32, Mac, PortId)> {
        let name = self.name.load(Ordering::Acquire);
        between();
        let place = self.place.load(Ordering::Acquire);
        // A place that belongs to a later filling was written after the name was cleared, and having
        // read the one we read the other.
        if name & Self::GENERATION == 0 || self.name.load(Ordering::Relaxed) != name {
            return None;
        }
        Some((
            (place >> 32) as u32,
            Mac::from_u64(name >> 16),
            PortId(place as u32),
        ))
    }

    fn show(&self) -> Option<FdbEntry> {
        let since = Tick(self.since.load(Ordering::Relaxed));
        let used = Tick(self.used.load(Ordering::Relaxed));
        let (domain, mac, port) = self.read()?;
        Some(FdbEntry {
            domain,
            mac,
            port,
            since,
            used,
        })
    }
}
