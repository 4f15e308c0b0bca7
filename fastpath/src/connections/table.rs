//! The table that all workers share: look-ups, consistent copies, scans.

use std::sync::{
    Arc,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use crossbeam::utils::CachePadded;

use super::entry::{Control, Entry, Glance, Side};
use super::holds::Holds;
use super::index::{Index, Reference, Tagged};
use super::key::{Direction, FlowKey4, HashKeys, Rewrite};
use super::memory::Slab;
use super::orders::Orders;
use super::slots::FreeStack;
use super::sources::Sources;
use super::state::{State, Timeouts};
use super::worker::{InsertError, WorkerConnections};
use crate::ids::{PathId, Tick, WorkerId};

/// Keys that go through the stages of [`ConnectionTable::lookup_burst`] together.
const BURST: usize = 32;

/// One connection, as long as it lives: a slot and the generation of its tenant.
///
/// A reference to a connection that is gone is noticed wherever it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnRef {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ConnRef {
    /// The slot: a number below the capacity that no other open connection has.
    #[inline]
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Eight bits that the opener of a connection sets and that come back with each copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The connection was opened in the middle of a TCP stream.
    pub const PICKED_UP: Flags = Flags(1);
    /// Its destination was chosen by a load balancer.
    pub const BALANCED: Flags = Flags(2);
    /// That is one of the switch that it entered.
    pub const BY_SWITCH: Flags = Flags(4);
    /// ACLs of the switch port that its first packet came from let answers and errors pass.
    pub const TRACKED_FROM: Flags = Flags(8);
    /// Those of the switch port that it went to do.
    pub const TRACKED_TO: Flags = Flags(16);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// True when all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a look-up finds: all that a packet of this direction needs, read from one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The connection.
    pub conn: ConnRef,
    /// Which of its flows the key is.
    pub direction: Direction,
    /// Who may write it; `None` while nobody has claimed a synced entry.
    pub owner: Option<WorkerId>,
    /// The way of this direction.
    pub path: PathId,
    /// The translated tuple of this direction.
    pub rewrite: Rewrite,
}

/// A consistent copy of a connection, for show, trace, sync and revalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Where it is.
    pub conn: ConnRef,
    /// Key of the packets that go the way of the first.
    pub original: FlowKey4,
    /// Key under which answers arrive.
    pub reply: FlowKey4,
    /// Protocol state.
    pub state: State,
    /// Who may write it.
    pub owner: Option<WorkerId>,
    /// As set by the opener.
    pub flags: Flags,
    /// Path by direction.
    pub paths: [PathId; 2],
    /// Packets by direction.
    pub packets: [u64; 2],
    /// Bytes by direction, as counted by the worker.
    pub bytes: [u64; 2],
    /// Time of the last packet by direction; the time of opening where there was none.
    pub last_seen: [Tick; 2],
    /// Time of opening.
    pub created: Tick,
}

impl Connection {
    /// What packets of a direction carry when they leave.
    #[must_use]
    pub fn rewrite(&self, direction: Direction) -> Rewrite {
        match direction {
            Direction::Original => Rewrite::towards(&self.reply),
            Direction::Reply => Rewrite::towards(&self.original),
        }
    }

    /// The source of original packets is translated.
    #[must_use]
    pub fn is_snat(&self) -> bool {
        let Rewrite { src, src_port, .. } = self.rewrite(Direction::Original);
        (src, src_port) != (self.original.src, self.original.src_port)
    }

    /// The destination of original packets is translated. An echo's identifier counts as its source.
    #[must_use]
    pub fn is_dnat(&self) -> bool {
        let Rewrite { dst, dst_port, .. } = self.rewrite(Direction::Original);
        let port_counts = self.original.proto != super::key::ICMP;
        dst != self.original.dst || (port_counts && dst_port != self.original.dst_port)
    }

    /// Who opened it is also who answers, and both addresses are translated.
    #[must_use]
    pub fn is_to_itself(&self) -> bool {
        self.original.src == self.reply.src && self.is_snat() && self.is_dnat()
    }

    /// Of the source only the port is translated: the one it came with was taken, by a connection of the same client to
    /// another address that leads to the same host.
    #[must_use]
    pub fn moves_port(&self) -> bool {
        self.original.src == self.reply.dst && self.original.src_port != self.reply.dst_port
    }

    /// Time of the last packet of either direction.
    #[must_use]
    pub fn last_packet(&self) -> Tick {
        let [there, back] = self.last_seen;
        if there.reached(back) { there } else { back }
    }

    /// Milliseconds until it ends if no packet comes; 0 when it is due.
    #[must_use]
    pub fn remaining(&self, timeouts: &Timeouts, now: Tick) -> u32 {
        let idle = now.since(self.last_packet());
        timeouts.of(self.state).saturating_sub(idle)
    }
}

/// Per-worker counts on lines of their own.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) opened: AtomicU64,
    pub(super) closed: AtomicU64,
    /// Set while a [`WorkerConnections`] of this worker exists.
    pub(super) taken: AtomicBool,
}

impl Tally {
    pub(super) fn bump(count: &AtomicU64) {
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// All connections of the node.
#[derive(Debug)]
pub struct ConnectionTable {
    keys: HashKeys,
    pub(super) index: Index,
    entries: Slab<Entry>,
    pub(super) sides: Slab<Side>,
    pub(super) free: FreeStack,
    pub(super) sources: Sources,
    pub(super) holds: Holds,
    pub(super) orders: Orders,
    pub(super) tallies: Box<[CachePadded<Tally>]>,
    /// Slots that insertions found wanting since somebody last evicted for others.
    pub(super) wanted: AtomicU32,
}

impl ConnectionTable {
    /// A table of fixed size for `capacity` connections, written by at most `workers` workers (255 at most;
    /// count a synchronising thread as one). `seed` keys the hash: draw it from the system's entropy.
    ///
    /// All memory is taken and touched here. A `capacity` of 0 counts as 1, and 2^30 is the most.
    #[must_use]
    pub fn new(capacity: usize, workers: usize, seed: u64) -> Arc<ConnectionTable> {
        let capacity = capacity.clamp(1, 1 << 30);
        let workers = workers.clamp(1, usize::from(u8::MAX));
        let sides = Slab::<Side>::zeroed(capacity);
        let entries = Slab::<Entry>::zeroed(capacity);
        for entry in entries.iter() {
            entry.begin();
        }
        let free = FreeStack::new(&sides, workers);
        Arc::new(ConnectionTable {
            keys: HashKeys::new(seed),
            index: Index::new(2 * capacity),
            entries,
            sides,
            free,
            sources: Sources::new(capacity, seed ^ 0x5bd1_e995),
            holds: Holds::new(capacity),
            orders: Orders::new(workers),
            tallies: (0..workers).map(|_| CachePadded::default()).collect(),
            wanted: AtomicU32::new(0),
        })
    }

    /// The writing end of one worker; `None` when there is no such worker or its end is out already.
    ///
    /// When it is dropped, its connections belong to nobody and can be claimed.
    #[must_use]
    pub fn worker(
        self: &Arc<Self>,
        id: WorkerId,
        timeouts: Timeouts,
        now: Tick,
    ) -> Option<WorkerConnections> {
        let tally = self.tallies.get(usize::from(id.0))?;
        tally
            .taken
            .compare_exchange(false, true, AcqRel, Relaxed)
            .ok()?;
        Some(WorkerConnections::new(self.clone(), id, timeouts, now))
    }

    /// Most connections that one source address of a zone may have open; 0 means any number (the default).
    ///
    /// Counts are kept in shared cells: a source may be counted too high, never too low. Connections from
    /// before a limit was first set are not counted.
    pub fn set_source_limit(&self, limit: u32) {
        self.sources.set_limit(limit);
    }

    /// A connection with this original key would now be refused, or open only if another makes room. As of this moment:
    /// for those who tell what would happen.
    #[must_use]
    pub fn foresees(&self, original: &FlowKey4) -> Option<InsertError> {
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

    /// The hash of a key in this table.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey4) -> u32 {
        self.keys.hash(key)
    }

    /// Finds the connection of which `key` is one direction; `hash` is [`ConnectionTable::hash`] of it.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: &FlowKey4, hash: u32) -> Option<Hit> {
        let words = key.pack();
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
        keys: &[FlowKey4],
        hashes: &mut [u32],
        out: &mut [Option<Hit>],
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
        keys: &[FlowKey4],
        hashes: &mut [u32],
        out: &mut [Option<Hit>],
        ask: impl Fn(&AtomicU64),
    ) {
        let mut all = [[0; 2]; BURST];
        for ((key, hash), words) in keys.iter().zip(hashes.iter_mut()).zip(&mut all) {
            *words = key.pack();
            *hash = self.keys.hash_words(*words);
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
                ask(entry.line(*direction).word());
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
    fn hit(&self, reference: Reference, words: [u64; 2]) -> Option<Hit> {
        let Reference { slot, direction } = reference;
        let Glance {
            control,
            rewrite,
            path,
        } = self.entry(slot)?.line(direction).glance(words)?;
        Some(Hit {
            conn: ConnRef {
                slot,
                generation: control.generation(),
            },
            direction,
            owner: control.owner(),
            path,
            rewrite,
        })
    }

    /// True when a connection, or one that is being entered this very moment, has `key` in either direction.
    #[must_use]
    pub fn contains(&self, key: &FlowKey4) -> bool {
        self.contains_hashed(key, self.hash(key))
    }

    /// As [`ConnectionTable::contains`]; `hash` is [`ConnectionTable::hash`] of the key.
    #[must_use]
    pub fn contains_hashed(&self, key: &FlowKey4, hash: u32) -> bool {
        let words = key.pack();
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
    pub(super) fn has_key(&self, reference: Reference, words: [u64; 2]) -> bool {
        self.entry(reference.slot)
            .is_some_and(|entry| entry.line(reference.direction).holds(words))
    }

    /// A consistent copy; `None` when the connection is gone.
    #[must_use]
    pub fn read(&self, conn: ConnRef) -> Option<Connection> {
        self.copy(conn.slot).filter(|copy| copy.conn == conn)
    }

    pub(super) fn copy(&self, slot: u32) -> Option<Connection> {
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
            conn: ConnRef { slot, generation },
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
        mut visit: impl FnMut(Connection),
    ) -> Option<usize> {
        let end = from.saturating_add(budget).min(self.capacity());
        for slot in from..end {
            if let Some(connection) = self.copy(slot as u32) {
                visit(connection);
            }
        }
        (end < self.capacity()).then_some(end)
    }

    /// Idle times that the owners take over, each before its next loop. A shorter one takes effect when a connection
    /// next comes up on the wheel: within 131 s.
    pub fn set_timeouts(&self, timeouts: &Timeouts) {
        self.orders.set_timeouts(timeouts);
    }

    /// Idle times as they were set last; the defaults until then.
    #[must_use]
    pub fn timeouts(&self) -> Timeouts {
        self.orders.timeouts()
    }

    /// Asks the owners to close all connections that are open now. Each does so beside its packets, some at a
    /// time.
    pub fn ask_to_close_all(&self) {
        self.orders.close_all();
    }

    /// Asks the owner to close one connection; one that belongs to nobody is left to the first worker. False when
    /// the owner has too many to close already: ask again later.
    pub fn ask_to_close(&self, connection: &Connection) -> bool {
        let owner = connection.owner.unwrap_or(WorkerId(0));
        self.orders.condemn(owner, connection.conn)
    }

    /// Another number when something was asked since.
    #[inline]
    #[must_use]
    pub fn orders(&self) -> u32 {
        self.orders.count()
    }

    /// How often [`ConnectionTable::ask_to_close_all`] was called, wrapping.
    #[must_use]
    pub fn closings(&self) -> u32 {
        self.orders.closings()
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

    /// The same by part: the connections themselves, the lists by deadline and age, the index.
    #[must_use]
    pub fn memory_by_part(&self) -> [usize; 3] {
        [
            size_of_val(&*self.entries),
            size_of_val(&*self.sides),
            self.index.bytes(),
        ]
    }

    #[inline]
    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)
    }

    pub(super) fn release_worker(&self, id: WorkerId) {
        if let Some(tally) = self.tallies.get(usize::from(id.0)) {
            tally.taken.store(false, Release);
        }
    }
}
