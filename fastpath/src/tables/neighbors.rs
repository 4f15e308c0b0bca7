//! Resolved next hops of all router ports and of the underlay.
//!
//! One [`Neighbors`] of fixed capacity lives as long as the daemon. Its one [`NeighborWriter`] belongs to
//! the slow path, which runs ARP (RFC 826) and neighbor discovery (RFC 4861 section 7.3); workers read
//! without locks. A neighbor stays in one slot until it is removed: cached decisions hold the [`Slot`] and
//! read the MAC through it, so a new MAC or state takes effect everywhere at once, in place.
//!
//! **What a reader may rely on.** A MAC never comes from another key than the one asked for, and it is
//! never torn. A [`Slot`] carries the generation of its slot: after the neighbor was removed it reads
//! nothing, even when the slot has been given to another. [`Neighbors::changes`] is raised after every
//! removal, so that those who hold slots can look again, and after a MAC was given, changed or lost, so that those
//! who hold MACs can.
//!
//! ```text
//!  slot:  word = MAC (48) | state (3) | generation (13)     state 0: free
//!         port | family, IP                                 written while free
//! ```

#[cfg(test)]
mod tests;
mod writer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use sluice_net::Mac;

use super::chains::Chains;
use super::fdb::mark;
use crate::ids::{PortId, Tick};

pub use writer::{Full, NeighborWriter};

/// State of a neighbor. Names as in RFC 4861 section 7.3.2; DELAY is part of [`NeighborState::Stale`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighborState {
    /// Asked for, no answer yet: no MAC.
    Incomplete,
    /// Known to answer.
    Reachable,
    /// Not heard of for a while; usable, and to be asked when used.
    Stale,
    /// Usable, and being asked.
    Probe,
    /// Did not answer: no MAC.
    Failed,
    /// Declared in the topology; never asked, never ages.
    Static,
}

impl NeighborState {
    const ALL: [NeighborState; 6] = [
        NeighborState::Incomplete,
        NeighborState::Reachable,
        NeighborState::Stale,
        NeighborState::Probe,
        NeighborState::Failed,
        NeighborState::Static,
    ];

    /// True when packets may be sent to the neighbor's MAC.
    #[inline]
    pub fn has_mac(self) -> bool {
        !matches!(self, NeighborState::Incomplete | NeighborState::Failed)
    }
}

/// Where a neighbor is. Stays good until it is removed; then everything read through it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    index: u32,
    generation: u16,
}

/// A neighbor, as shown to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The router port behind which it is, or the underlay.
    pub port: PortId,
    /// Its address there.
    pub ip: IpAddr,
    /// Its MAC, in states that have one.
    pub mac: Option<Mac>,
    /// Its state.
    pub state: NeighborState,
    /// When it was added or its MAC was last confirmed or changed.
    pub updated: Tick,
    /// When a packet last went to it.
    pub used: Tick,
}

/// The table. See the module's text for what readers may rely on.
#[derive(Debug)]
pub struct Neighbors {
    slots: Box<[Entry]>,
    chains: Chains,
    changes: AtomicU64,
    claimed: AtomicBool,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Entry {
    word: AtomicU64,
    key: [AtomicU64; 3],
    used: AtomicU32,
    updated: AtomicU32,
}

impl Neighbors {
    /// A table for at most `capacity` neighbors; all memory is taken at once.
    ///
    /// # Panics
    /// When `capacity` does not fit 31 bits.
    pub fn new(capacity: usize) -> Neighbors {
        Neighbors {
            slots: (0..capacity).map(|_| Entry::default()).collect(),
            chains: Chains::new(capacity),
            changes: AtomicU64::new(0),
            claimed: AtomicBool::new(false),
        }
    }

    /// The one writer: `None` for all but the first who ask.
    pub fn writer(this: &Arc<Neighbors>) -> Option<NeighborWriter> {
        if this.claimed.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(NeighborWriter::new(Arc::clone(this)))
    }

    /// The slot of a neighbor in any state.
    #[inline]
    pub fn lookup(&self, port: PortId, ip: IpAddr) -> Option<Slot> {
        Some(self.find(port, ip)?.0)
    }

    /// The slot and MAC of a neighbor that packets may be sent to.
    #[inline]
    pub fn resolve(&self, port: PortId, ip: IpAddr) -> Option<(Slot, Mac)> {
        let (slot, word) = self.find(port, ip)?;
        Some((slot, word.mac()?))
    }

    /// The MAC to send to; `None` when the neighbor has none now or was removed.
    #[inline]
    pub fn mac(&self, slot: Slot) -> Option<Mac> {
        self.word(slot)?.mac()
    }

    /// The neighbor's state; `None` when it was removed.
    #[inline]
    pub fn state(&self, slot: Slot) -> Option<NeighborState> {
        self.word(slot)?.state()
    }

    /// Notes that a packet went to the neighbor at `now`.
    #[inline]
    pub fn mark_used(&self, slot: Slot, now: Tick) {
        if self.word(slot).is_some()
            && let Some(entry) = self.slots.get(slot.index as usize)
        {
            mark(&entry.used, now);
        }
    }

    /// When a packet last went to the neighbor, or it was added.
    #[inline]
    pub fn used(&self, slot: Slot) -> Option<Tick> {
        self.word(slot)?;
        let entry = self.slots.get(slot.index as usize)?;
        Some(Tick(entry.used.load(Ordering::Relaxed)))
    }

    /// The neighbor in `slot`; `None` when it was removed.
    pub fn get(&self, slot: Slot) -> Option<Neighbor> {
        let (found, neighbor) = self.show(slot.index)?;
        (found == slot).then_some(neighbor)
    }

    /// How often a neighbor was removed. Read it before the look-up whose slot is to be kept.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// All neighbors in no particular order. Those that come or go meanwhile may be missed.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Neighbor)> {
        (0..self.capacity()).filter_map(|index| self.show(index))
    }

    /// Most neighbors it can hold.
    pub fn capacity(&self) -> u32 {
        // Chains::new has checked that it fits.
        self.slots.len() as u32
    }

    #[inline]
    fn find(&self, port: PortId, ip: IpAddr) -> Option<(Slot, Word)> {
        let key = key(port, ip);
        let mut word = Word(0);
        let index = self.chains.find(self.chains.hash(key), |index| {
            let entry = self.slots.get(index as usize).and_then(Entry::read);
            entry.is_some_and(|(w, k)| {
                word = w;
                k == key
            })
        })?;
        Some((word.slot(index), word))
    }

    #[inline]
    fn word(&self, slot: Slot) -> Option<Word> {
        let entry = self.slots.get(slot.index as usize)?;
        let word = Word(entry.word.load(Ordering::Acquire));
        (word.state().is_some() && word.generation() == slot.generation).then_some(word)
    }

    fn show(&self, index: u32) -> Option<(Slot, Neighbor)> {
        let entry = self.slots.get(index as usize)?;
        let updated = Tick(entry.updated.load(Ordering::Relaxed));
        let used = Tick(entry.used.load(Ordering::Relaxed));
        let (word, key) = entry.read()?;
        let (port, ip) = unkey(key);
        let neighbor = Neighbor {
            port,
            ip,
            mac: word.mac(),
            state: word.state()?,
            updated,
            used,
        };
        Some((word.slot(index), neighbor))
    }
}

impl Entry {
    /// Word and key as they were together at one moment; `None` when free.
    #[inline]
    fn read(&self) -> Option<(Word, [u64; 3])> {
        self.read_between(|| ())
    }

    /// As [`Entry::read`]; `between` runs where a writer hurts most.
    #[inline]
    fn read_between(&self, between: impl FnOnce()) -> Option<(Word, [u64; 3])> {
        let before = Word(self.word.load(Ordering::Acquire));
        between();
        let [port, high, low] = &self.key;
        let key = [port, high, low].map(|part| part.load(Ordering::Acquire));
        // A key that belongs to a later filling was written after the slot was freed, and having read
        // the one we read the other. MAC and state may be newer than before: then the newer count.
        let after = Word(self.word.load(Ordering::Acquire));
        after.state()?;
        (before.state().is_some() && before.generation() == after.generation())
            .then_some((after, key))
    }
}

/// MAC, state and generation in one atomic word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    const GENERATION_BITS: u32 = 13;
    const GENERATION: u64 = (1 << Self::GENERATION_BITS) - 1;

    /// In a state without MAC, `mac` is left out.
    fn new(mac: Mac, state: NeighborState, generation: u16) -> Word {
        let mac = if state.has_mac() { mac.to_u64() } else { 0 };
        let generation = u64::from(generation) & Self::GENERATION;
        Word(mac << 16 | (state as u64 + 1) << Self::GENERATION_BITS | generation)
    }

    /// The same slot, free.
    fn free(generation: u16) -> Word {
        Word(u64::from(generation) & Self::GENERATION)
    }

    #[inline]
    fn generation(self) -> u16 {
        (self.0 & Self::GENERATION) as u16
    }

    #[inline]
    fn state(self) -> Option<NeighborState> {
        let code = (self.0 >> Self::GENERATION_BITS & 7) as usize;
        NeighborState::ALL.get(code.checked_sub(1)?).copied()
    }

    #[inline]
    fn mac(self) -> Option<Mac> {
        self.state()?.has_mac().then(|| Mac::from_u64(self.0 >> 16))
    }

    fn slot(self, index: u32) -> Slot {
        Slot {
            index,
            generation: self.generation(),
        }
    }
}

/// Marks an IPv4 address in the first word of a key.
const V4: u64 = 1 << 32;

#[inline]
fn key(port: PortId, ip: IpAddr) -> [u64; 3] {
    let port = u64::from(port.0);
    match ip {
        IpAddr::V4(ip) => [port | V4, 0, u64::from(ip.to_bits())],
        IpAddr::V6(ip) => [port, (ip.to_bits() >> 64) as u64, ip.to_bits() as u64],
    }
}

fn unkey([port, high, low]: [u64; 3]) -> (PortId, IpAddr) {
    let ip = if port & V4 != 0 {
        Ipv4Addr::from_bits(low as u32).into()
    } else {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    };
    (PortId(port as u32), ip)
}
