//! Both tables of a node, and what one worker may do with them.
//!
//! Whoever has many packets of one family goes to the table of that ([`Address::table`], [`Address::writer_mut`]); whoever
//! has one packet, or none, finds both behind the same calls here.

use std::sync::Arc;

use super::address::Address;
use super::connection::{ConnRef, Connection, Hit};
use super::key::{Direction, FlowKey};
use super::mapping::{Held, Rests};
use super::orders::Orders;
use super::sequence::Segment;
use super::state::{TcpFlags, Timeouts};
use super::table::Table;
use super::touch::Touch;
use super::writer::{Ending, First, Hashes, InsertError, Inserted, NewConnection, Writer};
use crate::ids::{PathId, Tick, WorkerId};

/// All connections of the node.
#[derive(Debug)]
pub struct ConnectionTable {
    pub(super) v4: Arc<Table<u32>>,
    pub(super) v6: Arc<Table<u128>>,
    orders: Orders,
}

/// How many connections of each family there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Of IPv4.
    pub v4: usize,
    /// Of IPv6.
    pub v6: usize,
}

impl Capacity {
    /// As many of either.
    #[must_use]
    pub const fn of_each(count: usize) -> Capacity {
        Capacity {
            v4: count,
            v6: count,
        }
    }
}

impl ConnectionTable {
    /// Tables of fixed size, written by at most `workers` workers; see [`Table::new`].
    #[must_use]
    pub fn new(capacity: Capacity, workers: usize, seed: u64) -> Arc<ConnectionTable> {
        Arc::new(ConnectionTable {
            v4: Table::new(capacity.v4, workers, seed),
            v6: Table::new(capacity.v6, workers, !seed),
            orders: Orders::new(workers),
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
        Some(WorkerConnections {
            v4: self.v4.writer(id, timeouts, now)?,
            v6: self.v6.writer(id, timeouts, now)?,
            table: self.clone(),
            id,
            timings: self.orders.timings(),
        })
    }

    /// The table of one family.
    #[inline]
    #[must_use]
    pub fn of<A: Address>(&self) -> &Table<A> {
        A::table(self)
    }

    /// As [`Table::set_source_limit`], in both families.
    pub fn set_source_limit(&self, limit: u32) {
        self.v4.set_source_limit(limit);
        self.v6.set_source_limit(limit);
    }

    /// As [`Table::set_hold_down`], in both families.
    pub fn set_hold_down(&self, time: u32) {
        self.v4.set_hold_down(time);
        self.v6.set_hold_down(time);
    }

    /// As [`Table::held_down`], of both families.
    #[must_use]
    pub fn held_down(&self, now: Tick) -> usize {
        self.v4.held_down(now) + self.v6.held_down(now)
    }

    /// A connection with this original key would now be refused, or open only if another makes room. As of this moment:
    /// for those who tell what would happen.
    #[must_use]
    pub fn foresees(&self, original: &FlowKey) -> Option<InsertError> {
        match (original.narrow(), original.narrow()) {
            (Some(key), _) => self.v4.foresees(&key),
            (_, Some(key)) => self.v6.foresees(&key),
            (None, None) => None,
        }
    }

    /// The hash of a key in the table of its family.
    #[inline]
    #[must_use]
    pub fn hash<A: Address>(&self, key: &FlowKey<A>) -> u32 {
        A::table(self).hash(key)
    }

    /// Finds the connection of which `key` is one direction.
    #[must_use]
    pub fn find(&self, key: &FlowKey) -> Option<Hit> {
        fn find<A: Address>(table: &Table<A>, key: &FlowKey<A>) -> Option<Hit> {
            table.lookup(key, table.hash(key)).map(|hit| hit.widen())
        }
        match (key.narrow(), key.narrow()) {
            (Some(key), _) => find(&self.v4, &key),
            (_, Some(key)) => find(&self.v6, &key),
            (None, None) => None,
        }
    }

    /// As [`Table::contains_hashed`].
    #[must_use]
    pub fn contains_hashed<A: Address>(&self, key: &FlowKey<A>, hash: u32) -> bool {
        A::table(self).contains_hashed(key, hash)
    }

    /// A consistent copy; `None` when the connection is gone.
    #[must_use]
    pub fn read(&self, conn: ConnRef) -> Option<Connection> {
        if conn.is_v6() {
            self.v6.read(conn).map(|copy| copy.widen())
        } else {
            self.v4.read(conn).map(|copy| copy.widen())
        }
    }

    /// As [`Table::users`].
    #[must_use]
    pub fn users(&self, mapping: ConnRef) -> u32 {
        if mapping.is_v6() {
            self.v6.users(mapping)
        } else {
            self.v4.users(mapping)
        }
    }

    /// Visits the connections of `budget` slots beginning with number `from`, IPv4 first; returns where to go on, `None`
    /// at the end.
    ///
    /// What is open during the whole scan is visited exactly once; what opens or closes meanwhile may or may
    /// not be.
    pub fn scan(
        &self,
        from: usize,
        budget: usize,
        mut visit: impl FnMut(Connection),
    ) -> Option<usize> {
        let first = self.v4.capacity();
        let end = from.saturating_add(budget);
        if from < first && self.v4.is_empty() {
            // Nothing in it is open during the whole scan.
            return self.scan(first, budget, visit);
        }
        if from < first {
            self.v4.scan(from, budget, |copy| visit(copy.widen()));
        }
        let start = from.saturating_sub(first);
        let budget = end.saturating_sub(first).saturating_sub(start);
        if budget > 0 {
            self.v6.scan(start, budget, |copy| visit(copy.widen()));
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

    /// Connections now open, of both families.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// True when no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Most connections that can be open at once, of both families.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.v4.capacity() + self.v6.capacity()
    }

    /// Bytes of memory that the tables take, indices included.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.v4.memory() + self.v6.memory()
    }
}

/// The writing end of one worker: of both tables.
#[derive(Debug)]
pub struct WorkerConnections {
    pub(super) v4: Writer<u32>,
    pub(super) v6: Writer<u128>,
    table: Arc<ConnectionTable>,
    id: WorkerId,
    /// As many times were idle times set when these were taken over.
    timings: u32,
}

impl WorkerConnections {
    /// The tables that these are ends of.
    #[inline]
    #[must_use]
    pub fn table(&self) -> &Arc<ConnectionTable> {
        &self.table
    }

    /// The end of one family.
    #[inline]
    pub fn of<A: Address>(&mut self) -> &mut Writer<A> {
        A::writer_mut(self)
    }

    /// As [`Writer::has_room`], in the table of one family.
    #[inline]
    pub fn has_room<A: Address>(&self, now: Tick) -> bool {
        A::writer(self).has_room(now)
    }

    /// Takes over idle times that were set for all workers ([`ConnectionTable::set_timeouts`]) since this was last
    /// called.
    pub fn heed(&mut self) {
        let timings = self.table.orders.timings();
        if timings != self.timings {
            self.timings = timings;
            let timeouts = self.table.timeouts();
            self.v4.set_timeouts(timeouts);
            self.v6.set_timeouts(timeouts);
        }
    }

    /// The next connection that this worker was asked to close ([`ConnectionTable::ask_to_close`]), its own now if
    /// it was nobody's; `None` when there is none left.
    pub fn next_condemned(&mut self, now: Tick) -> Option<ConnRef> {
        let conn = self.table.orders.next_condemned(self.id)?;
        self.claim(conn, now);
        Some(conn)
    }

    /// As [`Writer::insert`].
    ///
    /// # Errors
    /// As [`Writer::insert`]. [`InsertError::Families`] when the keys are not of one family.
    pub fn insert(&mut self, new: &NewConnection, now: Tick) -> Result<Inserted, InsertError> {
        if let Some(new) = new.narrow() {
            return self.v4.insert(&new, now).map(|inserted| inserted.widen());
        }
        let new = new.narrow().ok_or(InsertError::Families)?;
        self.v6.insert(&new, now).map(|inserted| inserted.widen())
    }

    /// As [`Writer::open`].
    ///
    /// # Errors
    /// As [`Writer::insert`].
    pub fn open<A: Address>(
        &mut self,
        new: &NewConnection<A>,
        hashes: Hashes,
        first: First,
        now: Tick,
    ) -> Result<Inserted, InsertError> {
        let inserted = self.of::<A>().open(new, hashes, first, now)?;
        Ok(inserted.widen())
    }

    /// As [`Writer::hold`].
    ///
    /// # Errors
    /// As [`Writer::hold`]. [`InsertError::Families`] when what it rests on is not of one family.
    pub fn hold(&mut self, rests: &Rests, now: Tick) -> Result<Held, InsertError> {
        if let Some(rests) = rests.narrow() {
            return self.v4.hold(&rests, now);
        }
        let rests = rests.narrow().ok_or(InsertError::Families)?;
        self.v6.hold(&rests, now)
    }

    /// As [`Writer::rest`].
    pub fn rest(&mut self, conn: ConnRef, held: Held) {
        if conn.is_v6() {
            self.v6.rest(conn, held);
        } else {
            self.v4.rest(conn, held);
        }
    }

    /// As [`Writer::release`].
    pub fn release(&mut self, held: Held, now: Tick) {
        if held.is_v6() {
            self.v6.release(held, now);
        } else {
            self.v4.release(held, now);
        }
    }

    /// As [`Writer::touch`].
    #[inline]
    pub fn touch(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        bytes: u32,
        flags: TcpFlags,
        now: Tick,
    ) -> Touch {
        if conn.is_v6() {
            self.v6.touch(conn, direction, bytes, flags, now)
        } else {
            self.v4.touch(conn, direction, bytes, flags, now)
        }
    }

    /// As [`Writer::touch_segment`].
    pub fn touch_segment(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        told: (u32, TcpFlags, Option<Segment>),
        now: Tick,
    ) -> Touch {
        if conn.is_v6() {
            self.v6.touch_segment(conn, direction, told, now)
        } else {
            self.v4.touch_segment(conn, direction, told, now)
        }
    }

    /// As [`Writer::set_path`].
    pub fn set_path(&mut self, conn: ConnRef, direction: Direction, path: PathId) -> bool {
        if conn.is_v6() {
            self.v6.set_path(conn, direction, path)
        } else {
            self.v4.set_path(conn, direction, path)
        }
    }

    /// As [`Writer::set_flags`].
    pub fn set_flags(&mut self, conn: ConnRef, flags: super::Flags) -> bool {
        if conn.is_v6() {
            self.v6.set_flags(conn, flags)
        } else {
            self.v4.set_flags(conn, flags)
        }
    }

    /// As [`Writer::claim`].
    pub fn claim(&mut self, conn: ConnRef, now: Tick) -> bool {
        if conn.is_v6() {
            self.v6.claim(conn, now)
        } else {
            self.v4.claim(conn, now)
        }
    }

    /// As [`Writer::close`].
    pub fn close(&mut self, conn: ConnRef) -> Option<Connection> {
        if conn.is_v6() {
            self.v6.close(conn).map(|copy| copy.widen())
        } else {
            self.v4.close(conn).map(|copy| copy.widen())
        }
    }

    /// As [`Writer::expire`], with a budget for each family.
    pub fn expire(
        &mut self,
        now: Tick,
        budget: usize,
        mut ended: impl FnMut(&Connection, Ending),
    ) -> usize {
        let count = self
            .v4
            .expire(now, budget, |copy, why| ended(&copy.widen(), why));
        if self.v6.settled(now) {
            return count;
        }
        count
            + self
                .v6
                .expire(now, budget, |copy, why| ended(&copy.widen(), why))
    }
}
