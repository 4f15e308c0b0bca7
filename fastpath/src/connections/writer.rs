//! What one worker may do with the connections of one family: open, use, expire and close those that it owns.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use arrayvec::ArrayVec;

use super::address::Address;
use super::connection::{ConnRef, Connection, Flags};
use super::entry::{Control, Entry, NOBODY};
use super::index::{Reference, Refusal};
use super::key::{Direction, FlowKey};
use super::line::Line;
use super::slots::Hand;
use super::state::{Standing, State, Timeouts};
use super::table::{Table, Tally};
use super::ties::Tie;
use super::timers::{QUEUES, Queues, Wheel};
use crate::ids::{PathId, Tick, WorkerId};

/// Queue of those that are finished; the ones before it are half-open, by protocol.
const ENDED: usize = QUEUES - 1;
/// A half-open connection with a packet this recent (milliseconds) is passed over by the eviction, ...
const FRESH: u32 = 1_000;
/// ... but no more than this many of them in a row.
const PASSED_OVER: usize = 4;
/// Of so many half-open connections one a millisecond makes room: whoever floods the table does not push out at once who has
/// just begun and waits for an answer.
const SHARE: usize = 256;
/// So far ahead of an eviction are the buckets asked for, and the entries so far ahead of that.
const SOON: usize = 3;
/// Connections whose memory is asked for together when they end.
const ROUND: usize = 16;
/// Connections that one call of [`Writer::expire`] evicts for other workers at most.
const EVICTED_FOR_OTHERS: u32 = 64;

/// A connection to open. The two keys say the whole translation: an original packet leaves as the mirror of
/// `reply`, an answer as the mirror of `original`.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection<A = IpAddr> {
    /// Key of the first packet as it came.
    pub original: FlowKey<A>,
    /// Key under which answers arrive.
    pub reply: FlowKey<A>,
    /// Path by direction.
    pub paths: [PathId; 2],
    /// State after the first packet: [`State::open`], or what the peer said of a synced one.
    pub state: State,
    /// Kept for the opener.
    pub flags: Flags,
}

/// The hashes of a connection's keys, see [`Table::hash`].
#[derive(Clone, Copy, Debug)]
pub struct Hashes {
    /// Of the original key.
    pub original: u32,
    /// Of the reply key.
    pub reply: u32,
}

/// What is counted of the packet that opens a connection; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct First {
    /// Packets: 1, or 0 when it is counted later.
    pub packets: u32,
    /// Its bytes.
    pub bytes: u32,
}

/// An opened connection.
#[derive(Clone, Copy, Debug)]
pub struct Inserted<A = IpAddr> {
    /// The new one.
    pub conn: ConnRef,
    /// The half-open or ended one that had to make room.
    pub evicted: Option<Connection<A>>,
}

/// Why a connection could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InsertError {
    /// Every slot is taken by a confirmed connection, or by half-open ones of other workers (which give
    /// some back at their next [`Writer::expire`]).
    #[error("connection table is full")]
    TableFull,
    /// A connection has the original key already, maybe opened by another worker this moment: look up again.
    #[error("a connection with the original key exists")]
    DuplicateOriginal,
    /// A connection has the reply key already: choose another port.
    #[error("a connection with the reply key exists")]
    DuplicateReply,
    /// All buckets of a key are full; with keys that are not chosen by knowing the seed this does not
    /// happen.
    #[error("connection index is full for this key")]
    IndexFull,
    /// The source address, of IPv6 its /64, has as many connections as one may have.
    #[error("too many connections of one source")]
    SourceLimit,
    /// One key is of IPv4, the other of IPv6.
    #[error("the two keys of a connection are not of one family")]
    Families,
}

impl NewConnection {
    /// The same in the terms of a family; `None` when it is not of that.
    #[must_use]
    pub fn narrow<A: Address>(&self) -> Option<NewConnection<A>> {
        Some(NewConnection {
            original: self.original.narrow()?,
            reply: self.reply.narrow()?,
            paths: self.paths,
            state: self.state,
            flags: self.flags,
        })
    }
}

impl<A: Address> Inserted<A> {
    /// The same in the terms of both families.
    #[inline]
    #[must_use]
    pub fn widen(&self) -> Inserted {
        Inserted {
            conn: self.conn,
            evicted: self.evicted.map(|copy| copy.widen()),
        }
    }
}

/// Why a connection ended in [`Writer::expire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No packet for as long as its state allows.
    Idle,
    /// It made room: for a connection of another worker, or for one that then could not be opened.
    Evicted,
}

/// The writing end of one worker in the table of one family.
#[derive(Debug)]
pub struct Writer<A: Address> {
    pub(super) table: Arc<Table<A>>,
    pub(super) id: WorkerId,
    timeouts: Timeouts,
    /// Time of the last [`Writer::expire`].
    pub(super) now: Tick,
    /// It had time for all that were due then.
    settled: bool,
    /// No connection was ever this worker's.
    unused: bool,
    hand: Hand,
    pub(super) wheel: Wheel,
    queues: Queues,
    /// Evicted for an insertion that then failed, so that nobody was told yet.
    pub(super) untold: Option<Connection<A>>,
    /// Half-open connections that made room in the millisecond of the last one that did.
    made_room: (Tick, usize),
    /// When somebody was last refused for want of room, if none has become free since.
    refused: Option<Tick>,
}

impl<A: Address> Writer<A> {
    pub(super) fn new(table: Arc<Table<A>>, id: WorkerId, timeouts: Timeouts, now: Tick) -> Self {
        let hand = Hand::new(&table.free);
        let (wheel, queues) = (Wheel::new(now), Queues::new());
        Writer {
            now,
            settled: false,
            unused: true,
            table,
            id,
            timeouts,
            hand,
            wheel,
            queues,
            untold: None,
            made_room: (now, 0),
            refused: None,
        }
    }

    /// The table that this is an end of.
    #[must_use]
    pub fn table(&self) -> &Arc<Table<A>> {
        &self.table
    }

    /// Idle times for decisions from now on. A shorter time takes effect when a connection next comes up on
    /// the wheel: within 131 s.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.timeouts = timeouts;
    }

    /// Idle times in force.
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    // ---- opening ----

    /// Opens a connection that this worker owns. Readers see it whole or not at all.
    ///
    /// When no slot is free, the oldest half-open connection of this worker makes room, else the oldest ended
    /// one; confirmed ones never do. Of 256 half-open ones no more than one does in a millisecond.
    ///
    /// # Errors
    /// See [`InsertError`]. The table is then as it was before, but for a connection that may have been
    /// evicted in vain; the next [`Writer::expire`] tells of it.
    pub fn insert(
        &mut self,
        new: &NewConnection<A>,
        now: Tick,
    ) -> Result<Inserted<A>, InsertError> {
        let hashes = self.hashes(&new.original, &new.reply);
        self.table.index.warm(hashes.original);
        self.table.index.warm(hashes.reply);
        self.open(new, hashes, First::default(), now)
    }

    /// A connection may be opened now. `false` when one was refused this millisecond for want of room and nobody has made
    /// any since: whoever asks need not look for a port.
    #[inline]
    pub fn has_room(&self, now: Tick) -> bool {
        self.refused != Some(now)
    }

    /// As [`Writer::insert`], with the hashes of both keys ([`Table::hash`]), and with the
    /// first packet counted as by [`Writer::touch`]. `new.state` is the state after that packet.
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub fn open(
        &mut self,
        new: &NewConnection<A>,
        hashes: Hashes,
        first: First,
        now: Tick,
    ) -> Result<Inserted<A>, InsertError> {
        let counted = self
            .table
            .sources
            .admit(&new.original)
            .ok_or(InsertError::SourceLimit)?;
        let marks = if counted { Control::COUNTED } else { 0 };
        let result = self.enter(new, hashes, first, (self.id.0, marks), false, now);
        match &result {
            Ok(inserted) => {
                let slot = inserted.conn.slot::<A>();
                let deadline = now.plus(self.timeouts.of(new.state));
                self.place(slot, deadline, now);
                self.enqueue(slot, new.state);
            }
            Err(_) if counted => self.table.sources.release(&new.original),
            Err(_) => {}
        }
        result
    }

    /// Opens a connection that belongs to nobody: it does not expire, and the first worker that gets a packet
    /// of it claims it. For entries that a peer told of.
    ///
    /// # Errors
    /// As [`Writer::insert`], without the limit per source.
    pub fn insert_unowned(
        &mut self,
        new: &NewConnection<A>,
        now: Tick,
    ) -> Result<Inserted<A>, InsertError> {
        let hashes = self.hashes(&new.original, &new.reply);
        self.enter(new, hashes, First::default(), (NOBODY, 0), false, now)
    }

    pub(super) fn hashes(&self, original: &FlowKey<A>, reply: &FlowKey<A>) -> Hashes {
        Hashes {
            original: self.table.hash(original),
            reply: self.table.hash(reply),
        }
    }

    /// `apart`: it is a mapping, which one rests on.
    pub(super) fn enter(
        &mut self,
        new: &NewConnection<A>,
        hashes: Hashes,
        first: First,
        (owner, marks): (u8, u8),
        apart: bool,
        now: Tick,
    ) -> Result<Inserted<A>, InsertError> {
        let (slot, evicted) = self.slot_for(new, now)?;
        let table = &*self.table;
        let (Some(entry), Some(side)) = (table.entry(slot), table.sides.get(slot as usize)) else {
            return Err(InsertError::TableFull);
        };
        entry.write(&new.original, &new.reply, new.paths, first, now);
        side.set_created(now);
        let next = || entry.line(Direction::Original).control().stepped();
        if let Some(tie) = table.ties.of(slot) {
            tie.set(if apart {
                Tie::held(next().generation())
            } else {
                0
            });
        }
        if let Err(error) = index_both(table, slot, new, hashes) {
            self.hand.give(&table.free, &table.sides, slot);
            self.untold = self.untold.or(evicted);
            return Err(error);
        }
        let generation = entry.publish(owner, new.state, new.flags.0, marks);
        if let Some(tally) = table.tallies.get(usize::from(self.id.0)) {
            Tally::bump(&tally.opened);
        }
        Ok(Inserted {
            conn: ConnRef::new::<A>(slot, generation),
            evicted,
        })
    }

    /// A free slot, if need be that of an evicted connection.
    fn slot_for(
        &mut self,
        new: &NewConnection<A>,
        now: Tick,
    ) -> Result<(u32, Option<Connection<A>>), InsertError> {
        if let Some(slot) = self.hand.take(&self.table.free, &self.table.sides) {
            return Ok((slot, None));
        }
        // Nobody shall go for a connection that will not be opened.
        if self.table.contains(&new.reply) {
            return Err(InsertError::DuplicateReply);
        }
        if self.table.contains(&new.original) {
            return Err(InsertError::DuplicateOriginal);
        }
        let evicted = if self.untold.is_none() {
            self.evict(now)
        } else {
            None
        };
        if evicted.is_none() {
            self.table.wanted.fetch_add(1, Relaxed);
        }
        match self.hand.take(&self.table.free, &self.table.sides) {
            Some(slot) => Ok((slot, evicted)),
            None => {
                self.refused = Some(now);
                Err(InsertError::TableFull)
            }
        }
    }

    // ---- using ----

    #[cold]
    pub(super) fn change_state(&mut self, slot: u32, from: State, to: State, now: Tick) {
        let Some(entry) = self.table.entry(slot) else {
            return;
        };
        entry.set_state(to);
        let deadline = now.plus(self.timeouts.of(to));
        self.wheel.remove(&self.table.sides, slot);
        self.wheel.place(&self.table.sides, slot, deadline);
        if queue_of(from) != queue_of(to) {
            self.dequeue(slot, from);
            self.enqueue(slot, to);
        }
    }

    /// The path of one direction; `None` when the connection is gone.
    #[inline]
    #[must_use]
    pub fn path(&self, conn: ConnRef, direction: Direction) -> Option<PathId> {
        let line = self.table.entry(conn.slot::<A>())?.line(direction);
        let path = line.path();
        (line.control().generation() == conn.generation).then_some(path)
    }

    /// Sets the path of one direction; false when the connection is gone or not this worker's.
    pub fn set_path(&mut self, conn: ConnRef, direction: Direction, path: PathId) -> bool {
        let Some(entry) = self.own(conn) else {
            return false;
        };
        entry.line(direction).set_path(path);
        true
    }

    /// Sets its flags anew. False when the connection is not this worker's.
    pub fn set_flags(&mut self, conn: ConnRef, flags: Flags) -> bool {
        let Some(entry) = self.own(conn) else {
            return false;
        };
        entry.set_flags(flags.0);
        true
    }

    /// Takes a connection that belongs to nobody; its idle time begins anew and it has no paths
    /// ([`PathId::NONE`], also where a [`Hit`](super::Hit) from before says otherwise). True when it is this
    /// worker's now; false when another was faster or it is gone.
    pub fn claim(&mut self, conn: ConnRef, now: Tick) -> bool {
        let Some(entry) = self.table.entry(conn.slot::<A>()) else {
            return false;
        };
        let original = entry.line(Direction::Original);
        let seen = original.control();
        if seen.generation() != conn.generation || seen.owner_bits() != NOBODY {
            return false;
        }
        if !original.claim(seen, self.id.0) {
            return false;
        }
        entry.set_owner(self.id.0);
        for direction in [Direction::Original, Direction::Reply] {
            let line = entry.line(direction);
            line.mark_seen(now);
            // A path is of the worker that had the connection before.
            line.set_path(PathId::NONE);
        }
        let deadline = now.plus(self.timeouts.of(seen.state()));
        self.place(conn.slot::<A>(), deadline, now);
        self.enqueue(conn.slot::<A>(), seen.state());
        true
    }

    // ---- ending ----

    /// Closes a connection of this worker and returns what it was; `None` when it is gone or another's.
    /// A mapping in use ends when nothing rests on it any more.
    pub fn close(&mut self, conn: ConnRef) -> Option<Connection<A>> {
        let entry = self.own(conn)?;
        if entry.line(Direction::Original).control().state() == State::Mapping {
            let tie = self.table.ties.of(conn.slot::<A>())?;
            if !tie.end_unused() {
                self.condemn(conn);
                return None;
            }
        }
        let hashes = self.warm_buckets(entry);
        self.wheel.remove(&self.table.sides, conn.slot::<A>());
        self.end(conn.slot::<A>(), hashes)
    }

    /// Ends connections whose time is over and, where another worker found the table full, half-open ones.
    ///
    /// Looks at `budget` connections at most, so that no burst waits for it; call it between bursts, often
    /// enough that the budget covers the connections opened meanwhile. `ended` gets each with the reason.
    /// Returns how many ended.
    pub fn expire(
        &mut self,
        now: Tick,
        budget: usize,
        mut ended: impl FnMut(&Connection<A>, Ending),
    ) -> usize {
        self.now = now;
        let mut count = 0;
        if let Some(connection) = self.untold.take() {
            ended(&connection, Ending::Evicted);
            count += 1;
        }
        let mut left = budget;
        self.settled = false;
        while left > 0 {
            let due = self.due(now, left.min(ROUND));
            if due.is_empty() {
                self.settled = true;
                break;
            }
            left -= due.len();
            for (slot, hashes) in self.over(&due, now) {
                if let Some(connection) = self.end(slot, hashes) {
                    ended(&connection, Ending::Idle);
                    count += 1;
                }
            }
        }
        count + self.evict_for_others(now, ended)
    }

    /// Nothing is due that was not looked at: there never was a connection, or the last [`Writer::expire`] was of this moment and had time for all.
    #[inline]
    pub(super) fn settled(&self, now: Tick) -> bool {
        self.unused || self.now == now && self.settled
    }

    /// Enters a connection into the wheel, which stood still while there was none.
    fn place(&mut self, slot: u32, deadline: Tick, now: Tick) {
        if self.unused {
            self.unused = false;
            self.wheel.begin(now);
        }
        self.wheel.place(&self.table.sides, slot, deadline);
    }

    /// Takes connections out of the wheel whose bucket has come, and asks for their entries.
    fn due(&mut self, now: Tick, limit: usize) -> ArrayVec<u32, ROUND> {
        let mut due = ArrayVec::new();
        while due.len() < limit
            && let Some(slot) = self.wheel.due(&self.table.sides, now)
        {
            due.push(slot);
        }
        for entry in due.iter().filter_map(|slot| self.table.entry(*slot)) {
            entry.warm();
        }
        due
    }

    /// Of these, the ones whose time is over, their buckets asked for; the others go back into the wheel.
    fn over(&mut self, due: &[u32], now: Tick) -> ArrayVec<(u32, Hashes), ROUND> {
        let mut over = ArrayVec::new();
        for slot in due {
            let Some(entry) = self.table.entry(*slot) else {
                continue;
            };
            let state = entry.line(Direction::Original).control().state();
            if state == State::Mapping {
                match self.next_look(*slot, now) {
                    Some(deadline) => self.wheel.place(&self.table.sides, *slot, deadline),
                    None => over.push((*slot, self.warm_buckets(entry))),
                }
                continue;
            }
            let deadline = entry.last_seen().plus(self.timeouts.of(state));
            if !now.reached(deadline) {
                self.wheel.place(&self.table.sides, *slot, deadline);
                continue;
            }
            over.push((*slot, self.warm_buckets(entry)));
        }
        over
    }

    /// Asks for the buckets of both keys of an entry of this worker.
    fn warm_buckets(&self, entry: &Entry<A::Line>) -> Hashes {
        let [original, reply] =
            [Direction::Original, Direction::Reply].map(|d| entry.line(d).key());
        let hashes = self.hashes(&original, &reply);
        self.table.index.warm(hashes.original);
        self.table.index.warm(hashes.reply);
        hashes
    }

    fn evict_for_others(
        &mut self,
        now: Tick,
        mut ended: impl FnMut(&Connection<A>, Ending),
    ) -> usize {
        if self.table.wanted.load(Relaxed) == 0 || self.victim_queue(now).is_none() {
            return 0;
        }
        let wanted = self.table.wanted.swap(0, AcqRel).min(EVICTED_FOR_OTHERS);
        let mut count = 0;
        for _ in 0..wanted {
            let Some(connection) = self.evict(now) else {
                break;
            };
            ended(&connection, Ending::Evicted);
            count += 1;
        }
        self.hand.give_all(&self.table.free, &self.table.sides);
        count
    }

    /// Ends the oldest connection of the longest half-open queue that is not fresh, else the oldest ended one.
    fn evict(&mut self, now: Tick) -> Option<Connection<A>> {
        let (queue, slot) = self.victim(now)?;
        if queue != ENDED {
            self.made_room = (now, self.room_made(now) + 1);
        }
        self.foresee(slot);
        self.wheel.remove(&self.table.sides, slot);
        let hashes = self.warm_buckets(self.table.entry(slot)?);
        self.end(slot, hashes)
    }

    /// Who makes room next, and its queue.
    fn victim(&mut self, now: Tick) -> Option<(usize, u32)> {
        let queue = self.victim_queue(now)?;
        let mut slot = self.queues.first(queue)?;
        for _ in 0..PASSED_OVER {
            if queue == ENDED || !self.is_fresh(slot, now) {
                return Some((queue, slot));
            }
            // A one-way stream in use: behind those that only knocked.
            self.queues.remove(&self.table.sides, queue, slot);
            self.queues.push(&self.table.sides, queue, slot);
            slot = self.queues.first(queue)?;
        }
        // Answers to them may be under way: who has ended goes before them.
        let ended = self.queues.first(ENDED);
        let ended = ended.filter(|_| self.is_fresh(slot, now));
        Some(ended.map_or((queue, slot), |ended| (ENDED, ended)))
    }

    fn is_fresh(&self, slot: u32, now: Tick) -> bool {
        let entry = self.table.entry(slot);
        entry.is_some_and(|entry| now.since(entry.last_seen()) < FRESH)
    }

    /// Asks for the memory of those that are likely to be evicted next.
    fn foresee(&self, slot: u32) {
        let next = |slot: &u32| self.queues.after(&self.table.sides, *slot);
        let mut coming = std::iter::successors(next(&slot), next);
        if let Some(entry) = coming.nth(SOON).and_then(|slot| self.table.entry(slot)) {
            self.warm_buckets(entry);
        }
        if let Some(entry) = coming.nth(SOON).and_then(|slot| self.table.entry(slot)) {
            entry.warm();
        }
    }

    /// The queue whose oldest makes room next.
    fn victim_queue(&self, now: Tick) -> Option<usize> {
        let length = |queue: &usize| self.queues.length(*queue);
        let half_open: usize = (0..ENDED).map(|queue| length(&queue)).sum();
        let longest = (0..ENDED)
            .max_by_key(length)
            .filter(|_| self.room_made(now) < (half_open / SHARE).max(1));
        longest
            .into_iter()
            .chain([ENDED])
            .find(|queue| length(queue) > 0)
    }

    /// Half-open connections that made room in this millisecond.
    fn room_made(&self, now: Tick) -> usize {
        let (when, count) = self.made_room;
        if when == now { count } else { 0 }
    }

    /// Takes a connection of this worker, already out of the wheel, out of everything else.
    fn end(&mut self, slot: u32, hashes: Hashes) -> Option<Connection<A>> {
        let connection = self.table.copy(slot)?;
        self.dequeue(slot, connection.state);
        let table = &*self.table;
        let entry = table.entry(slot)?;
        let marks = entry.line(Direction::Original).control().marks();
        entry.retire();
        for (hash, direction) in [
            (hashes.original, Direction::Original),
            (hashes.reply, Direction::Reply),
        ] {
            table.index.remove(hash, Reference { slot, direction });
        }
        if marks & Control::COUNTED != 0 {
            table.sources.release(&connection.original);
        }
        if (connection.flags.mapped() || connection.is_apart())
            && let Some(tie) = table.ties.of(slot)
        {
            self.unrest(slot, &connection, tie);
        }
        if table.holds.on() && connection.is_snat() {
            let source = connection.original.src.host();
            table.holds.hold(hashes.reply, source, self.now);
        }
        if let Some(tally) = table.tallies.get(usize::from(self.id.0)) {
            Tally::bump(&tally.closed);
        }
        self.hand.give(&table.free, &table.sides, slot);
        self.refused = None;
        Some(connection)
    }

    /// The entry when it is alive and this worker's.
    #[inline]
    pub(super) fn own(&self, conn: ConnRef) -> Option<&Entry<A::Line>> {
        let entry = self.table.entry(conn.slot::<A>())?;
        let control = entry.line(Direction::Original).control();
        (control.generation() == conn.generation && control.owner_bits() == self.id.0)
            .then_some(entry)
    }

    fn enqueue(&mut self, slot: u32, state: State) {
        if let Some(queue) = queue_of(state) {
            self.queues.push(&self.table.sides, queue, slot);
        }
    }

    fn dequeue(&mut self, slot: u32, state: State) {
        if let Some(queue) = queue_of(state) {
            self.queues.remove(&self.table.sides, queue, slot);
        }
    }
}

impl<A: Address> Drop for Writer<A> {
    /// Leaves the connections to whoever claims them.
    fn drop(&mut self) {
        let table = &*self.table;
        self.wheel.drain(&table.sides, |slot| {
            if let Some(entry) = table.entry(slot) {
                entry.set_owner(NOBODY);
            }
        });
        self.hand.give_all(&self.table.free, &self.table.sides);
        self.table.release_worker(self.id);
    }
}

/// Both keys into the index, or neither.
fn index_both<A: Address>(
    table: &Table<A>,
    slot: u32,
    new: &NewConnection<A>,
    hashes: Hashes,
) -> Result<(), InsertError> {
    let enter = |key: &FlowKey<A>, hash: u32, direction| {
        let words = A::pack(key);
        let reference = Reference { slot, direction };
        table
            .index
            .insert(hash, reference, |other| table.has_key(other, words))
    };
    enter(&new.reply, hashes.reply, Direction::Reply).map_err(|refusal| match refusal {
        Refusal::Duplicate => InsertError::DuplicateReply,
        Refusal::Full => InsertError::IndexFull,
    })?;
    enter(&new.original, hashes.original, Direction::Original).map_err(|refusal| {
        table.index.remove(
            hashes.reply,
            Reference {
                slot,
                direction: Direction::Reply,
            },
        );
        match refusal {
            Refusal::Duplicate => InsertError::DuplicateOriginal,
            Refusal::Full => InsertError::IndexFull,
        }
    })
}

fn queue_of(state: State) -> Option<usize> {
    match (state.standing(), state) {
        (Standing::Confirmed, _) => None,
        (Standing::Ended, _) => Some(ENDED),
        (Standing::HalfOpen, State::UdpNew) => Some(1),
        (Standing::HalfOpen, State::EchoNew) => Some(2),
        (Standing::HalfOpen, State::OtherNew) => Some(3),
        (Standing::HalfOpen, _) => Some(0),
    }
}
