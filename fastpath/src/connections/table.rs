//! The table of one family that all workers share: look-ups, consistent copies, scans.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use crossbeam::utils::CachePadded;

use super::address::Address;
use super::connection::{ConnRef, Connection, Flags, Hit};
use super::entry::{Control, Entry, Side};
use super::hash::HashKeys;
use super::holds::Holds;
use super::index::{Index, Reference, Tagged};
use super::key::{Direction, FlowKey};
use super::line::{Glance, Line};
use super::memory::Slab;
use super::slots::FreeStack;
use super::sources::Sources;
use super::state::Timeouts;
use super::ties::Ties;
use super::writer::{InsertError, Writer};
use crate::ids::{Tick, WorkerId};

/// Keys that go through the stages of [`ConnectionTable::lookup_burst`] together.
const BURST: usize = 32;

/// Per-worker counts on lines of their own.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    /// Set while a [`Writer`] of this worker exists.
    pub(super) taken: AtomicBool,
}

impl Tally {
    pub(super) fn bump(count: &AtomicU64) {
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// All connections of one family.
#[derive(Debug)]
pub struct Table<A: Address> {
    keys: HashKeys,
    pub(super) index: Index,
    entries: Slab<Entry<A::Line>>,
    pub(super) sides: Slab<Side>,
    pub(super) ties: Ties,
    pub(super) free: FreeStack,
    pub(super) sources: Sources,
    pub(super) holds: Holds,
    pub(super) tallies: Box<[CachePadded<Tally>]>,
    /// Slots that insertions found wanting since somebody last evicted for others.
    pub(super) wanted: AtomicU32,
}

impl<A: Address> Table<A> {
    /// A table of fixed size for `capacity` connections, written by at most `workers` workers (255 at most;
    /// count a synchronising thread as one). `seed` keys the hash: draw it from the system's entropy.
    ///
    /// All memory is taken and touched here. A `capacity` of 0 counts as 1, and 2^30 is the most.
    #[must_use]
    pub fn new(capacity: usize, workers: usize, seed: u64) -> Arc<Table<A>> {
        let capacity = capacity.clamp(1, 1 << 30);
        let workers = workers.clamp(1, usize::from(u8::MAX));
        let sides = Slab::<Side>::zeroed(capacity);
        let entries = Slab::<Entry<A::Line>>::zeroed(capacity);
        for entry in entries.iter() {
            entry.begin();
        }
        let free = FreeStack::new(&sides, workers);
        Arc::new(Table {
            keys: HashKeys::new(seed),
            index: Index::new(2 * capacity),
            entries,
            sides,
            ties: Ties::new(capacity),
            free,
            sources: Sources::new(capacity, seed ^ 0x5bd1_e995),
            holds: Holds::new(capacity),
            tallies: (0..workers).map(|_| CachePadded::default()).collect(),
            wanted: AtomicU32::new(0),
        })
    }

    /// The writing end of one worker; `None` when there is no such worker or its end is out already.
    ///
    /// When it is dropped, its connections belong to nobody and can be claimed.
    #[must_use]
    pub fn writer(
        self: &Arc<Self>,
        id: WorkerId,
        timeouts: Timeouts,
        now: Tick,
    ) -> Option<Writer<A>> {
        let tally = self.tallies.get(usize::from(id.0))?;
        tally
            .taken
            .compare_exchange(false, true, AcqRel, Relaxed)
            .ok()?;
        Some(Writer::new(self.clone(), id, timeouts, now))
    }

    /// Most connections that one source address of a zone may have open; 0 means any number (the default).
    ///
    /// Counts are kept in shared cells: a source may be counted too high, never too low. Connections from
    /// before a limit was first set are not counted.
    pub fn set_source_limit(&self, limit: u32) {
        self.sources.set_limit(limit);
    }

    /// Takes the memory that mappings need, 8 bytes a slot; before, none can be made. For good: to call it again changes nothing.
    pub fn keep_mappings(&self) {
        self.ties.make();
    }

    /// A connection with this original key would now be refused, or open only if another makes room. As of this moment:
    /// for those who tell what would happen.
    #[must_use]
    pub fn foresees(&self, original: &FlowKey<A>) -> Option<InsertError> {
        if self.sources.at_limit(original) {
            return Some(InsertError::SourceLimit);
        }
        (self.len() >= self.capacity()).then_some(InsertError::TableFull)
    }

    /// How long, in milliseconds, a source port that was given back is given to no other source for the same
    /// remote address and port; 0 (the default) is not at all. Bounded: when ports are given back faster than there is
    /// room for, some are free sooner.
    pub fn set_hold_down(&self, time: u32) {
        self.holds.set_time(time);
    }

    /// Source ports that are held down at `now`; whose, is not known.
    #[must_use]
    pub fn held_down(&self, now: Tick) -> usize {
        self.holds.count(now)
    }

    /// The hash of a key in this table.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey<A>) -> u32 {
        A::hash_words(&self.keys, A::pack(key))
    }

    /// Finds the connection of which `key` is one direction; `hash` is [`Table::hash`] of it.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: &FlowKey<A>, hash: u32) -> Option<Hit<A>> {
        let words = A::pack(key);
        self.index
            .find(hash, |reference| self.hit(reference, words))
    }

    /// Finds the connections of many keys and tells their hashes, overlapping the memory accesses: the lines of all
    /// buckets are asked for before the first is looked at, and so are the entries. `ask` asks the processor for the
    /// line of a word, best without waiting for it.
    ///
    /// Answers as many keys as the shortest of the three slices holds.
    #[inline]
    pub fn lookup_burst(
        &self,
        keys: &[FlowKey<A>],
        hashes: &mut [u32],
        out: &mut [Option<Hit<A>>],
        ask: impl Fn(&AtomicU64) + Copy,
    ) {
        let chunks = keys
            .chunks(BURST)
            .zip(hashes.chunks_mut(BURST))
            .zip(out.chunks_mut(BURST));
        for ((keys, hashes), out) in chunks {
            self.lookup_chunk(keys, hashes, out, ask);
        }
    }

    #[inline]
    fn lookup_chunk(
        &self,
        keys: &[FlowKey<A>],
        hashes: &mut [u32],
        out: &mut [Option<Hit<A>>],
        ask: impl Fn(&AtomicU64),
    ) {
        let mut all = [A::Words::default(); BURST];
        for ((key, hash), words) in keys.iter().zip(hashes.iter_mut()).zip(&mut all) {
            *words = A::pack(key);
            *hash = A::hash_words(&self.keys, *words);
        }
        // Loops of nothing but this: the more of them fit into the processor's window, the more misses overlap.
        for word in hashes.iter().filter_map(|hash| self.index.home(*hash)) {
            ask(word);
        }
        let mut candidates = [(Tagged::default(), None); BURST];
        for (hash, candidate) in hashes.iter().zip(&mut candidates) {
            *candidate = self.index.candidates(*hash);
        }
        for (_, first) in candidates.iter().take(keys.len()) {
            if let Some(Reference { slot, direction }) = first
                && let Some(entry) = self.entry(*slot)
            {
                entry.line(*direction).ask(&ask);
            }
        }
        let found = all.iter().zip(&candidates).zip(hashes).zip(out);
        for (((words, (tagged, first)), hash), out) in found.take(keys.len()) {
            let hit = |reference| self.hit(reference, *words);
            // Written in either place: a value that comes from two is made elsewhere first, and copied.
            if let Some(hit) = first.and_then(hit) {
                *out = Some(hit);
            } else {
                *out = self.index.find_among(*hash, tagged.rest(), hit);
            }
        }
    }

    #[inline]
    fn hit(&self, reference: Reference, words: A::Words) -> Option<Hit<A>> {
        let Reference { slot, direction } = reference;
        let Glance {
            control,
            rewrite,
            path,
        } = self.entry(slot)?.line(direction).glance(words)?;
        Some(Hit {
            conn: ConnRef::new::<A>(slot, control.generation()),
            direction,
            owner: control.owner(),
            path,
            rewrite,
        })
    }

    /// True when a connection, or one that is being entered this very moment, has `key` in either direction.
    #[must_use]
    pub fn contains(&self, key: &FlowKey<A>) -> bool {
        self.contains_hashed(key, self.hash(key))
    }

    /// As [`Table::contains`]; `hash` is [`Table::hash`] of the key.
    #[must_use]
    pub fn contains_hashed(&self, key: &FlowKey<A>, hash: u32) -> bool {
        let words = A::pack(key);
        self.index
            .find(hash, |reference| {
                self.has_key(reference, words).then_some(())
            })
            .is_some()
    }

    /// Asks for the bucket of a key with this hash, for a look-up or an insertion that is to come.
    #[inline]
    pub fn warm(&self, hash: u32, ask: impl Fn(&AtomicU64)) {
        if let Some(word) = self.index.home(hash) {
            ask(word);
        }
    }

    #[inline]
    pub(super) fn has_key(&self, reference: Reference, words: A::Words) -> bool {
        self.entry(reference.slot)
            .is_some_and(|entry| entry.line(reference.direction).holds(words))
    }

    /// A consistent copy; `None` when the connection is gone.
    #[must_use]
    pub fn read(&self, conn: ConnRef) -> Option<Connection<A>> {
        self.copy(conn.slot::<A>()).filter(|copy| copy.conn == conn)
    }

    pub(super) fn copy(&self, slot: u32) -> Option<Connection<A>> {
        let entry = self.entry(slot)?;
        let original = entry.line(Direction::Original).copy()?;
        let created = self.sides.get(slot as usize)?.created();
        let reply = entry.line(Direction::Reply).copy()?;
        // The reply line is retired last and published first: when both lines and again the first agree,
        // all was of one tenant.
        let control: Control = entry.line(Direction::Original).control();
        let generation = original.control.generation();
        if reply.control.generation() != generation || control.generation() != generation {
            return None;
        }
        Some(Connection {
            conn: ConnRef::new::<A>(slot, generation),
            original: original.key,
            reply: reply.key,
            state: original.control.state(),
            owner: original.control.owner(),
            flags: Flags(original.control.flags()),
            paths: [original.path, reply.path],
            packets: [original.packets, reply.packets],
            bytes: [original.bytes, reply.bytes],
            last_seen: [original.seen, reply.seen],
            created,
        })
    }

    /// Visits the connections of `budget` slots beginning with slot `from`; returns where to go on, `None` at
    /// the end.
    ///
    /// What is open during the whole scan is visited exactly once; what opens or closes meanwhile may or may
    /// not be.
    pub fn scan(
        &self,
        from: usize,
        budget: usize,
        mut visit: impl FnMut(Connection<A>),
    ) -> Option<usize> {
        let end = from.saturating_add(budget).min(self.capacity());
        for slot in from..end {
            if let Some(connection) = self.copy(slot as u32) {
                visit(connection);
            }
        }
        (end < self.capacity()).then_some(end)
    }

    /// Connections now open.
    #[must_use]
    pub fn len(&self) -> usize {
        // Closings first: a connection opened and closed between the two sums must not count as minus one.
        let closed = self.tallies.iter().fold(0u64, |sum, tally| {
            sum.wrapping_add(tally.closed.load(Acquire))
        });
        let opened = self.tallies.iter().fold(0u64, |sum, tally| {
            sum.wrapping_add(tally.opened.load(Acquire))
        });
        usize::try_from(opened.wrapping_sub(closed))
            .unwrap_or(0)
            .min(self.capacity())
    }

    /// True when no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Most connections that can be open at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of memory that the table takes, index included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory_by_part().into_iter().sum()
    }

    /// The same by part: the connections themselves, the lists by deadline and age with the ties of mappings, the index.
    #[must_use]
    pub fn memory_by_part(&self) -> [usize; 3] {
        [
            size_of_val(&*self.entries),
            size_of_val(&*self.sides) + self.ties.bytes(),
            self.index.bytes(),
        ]
    }

    #[inline]
    pub(super) fn entry(&self, slot: u32) -> Option<&Entry<A::Line>> {
        self.entries.get(slot as usize)
    }

    pub(super) fn release_worker(&self, id: WorkerId) {
        if let Some(tally) = self.tallies.get(usize::from(id.0)) {
            tally.taken.store(false, Release);
        }
    }
}
