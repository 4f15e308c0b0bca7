//! What a source is called outside whatever the remote end (RFC 4787 section 4.1), and who has leave to send to it.
//!
//! Both are entries of the table like connections, under keys that no packet has:
//!
//! ```text
//!   mapping   (router's zone, apart)  host:port     -> external:0      original
//!                                     external:0    -> external:port   reply
//!   leave                             external:port -> remote:0        original
//!                                     remote:0      -> external:port   reply
//! ```
//!
//! That keys are unique makes a source have one port and a port one source, whichever worker asks. A connection *holds* what it
//! rests on: a mapping, or a leave, which itself holds its mapping. What is held does not end; the last user gone, it
//! lives on for as long as the least that the RFCs allow after that user's last packet, and then its owner ends it.
//! The count of users is in a word beside the entry (`ties.rs`), which any worker changes by CAS.

use std::net::IpAddr;

use super::address::Address;
use super::connection::{ConnRef, Connection, Flags, Hit};
use super::entry::Control;
use super::key::{Direction, FlowKey, is_echo};
use super::line::Line;
use super::state::{State, TcpFlags};
use super::table::Table;
use super::ties::Tie;
use super::writer::{First, InsertError, NewConnection, Writer};
use crate::ids::{PathId, Tick, Zone};

/// The bit of a zone in which no packet is looked up.
const APART: u32 = 1 << 23;
/// How often, in milliseconds, the owner looks whether a mapping is in use.
const LOOK: u32 = 16_000;
/// Tries to count a user: each that fails is one that another worker counted.
const TRIES: usize = 64;

/// A source and what it is called outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<A = IpAddr> {
    /// Address and port (or identifier) inside.
    pub inside: (A, u16),
    /// Those outside.
    pub outside: (A, u16),
    /// IP protocol: each has ports of its own (RFC 7857 section 5).
    pub proto: u8,
    /// Zone of the router that maps.
    pub zone: Zone,
}

/// What a connection rests on: held as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rests<A = IpAddr> {
    /// The mapping of its source; made where there is none.
    pub source: Option<Mapping<A>>,
    /// This remote address gets leave to send to that source, from any port.
    pub leave: Option<A>,
    /// The mapping of its destination, which there must be.
    pub destination: Option<Mapping<A>>,
}

/// What was held for a connection that is to be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    source: Option<u32>,
    destination: Option<u32>,
    v6: bool,
}

impl Held {
    /// What it is of.
    pub(super) const fn is_v6(self) -> bool {
        self.v6
    }
}

impl Zone {
    /// Where the mappings of a router of this zone are.
    #[must_use]
    pub const fn apart(self) -> Zone {
        Zone(self.0 | APART)
    }

    /// Undoes [`Zone::apart`].
    #[must_use]
    pub const fn together(self) -> Zone {
        Zone(self.0 & !APART)
    }
}

impl<A: Copy> Mapping<A> {
    /// The key by which the mapping of a source is found.
    #[must_use]
    pub fn key_of(inside: (A, u16), external: A, proto: u8, zone: Zone) -> FlowKey<A> {
        FlowKey {
            src: inside.0,
            dst: external,
            src_port: inside.1,
            dst_port: 0,
            proto,
            zone: zone.apart(),
        }
    }

    /// The key by which it is found from outside.
    #[must_use]
    pub fn key_at(outside: (A, u16), proto: u8, zone: Zone) -> FlowKey<A> {
        FlowKey {
            src: outside.0,
            dst: outside.0,
            // As `PortRequest::reply_key` has it.
            src_port: if is_echo(proto) { outside.1 } else { 0 },
            dst_port: outside.1,
            proto,
            zone: zone.apart(),
        }
    }

    /// The key of the leave of a remote address.
    #[must_use]
    pub fn leave(&self, remote: A) -> FlowKey<A> {
        FlowKey {
            src: remote,
            ..Self::key_at(self.outside, self.proto, self.zone)
        }
    }

    fn entry(&self) -> NewConnection<A> {
        NewConnection {
            original: Self::key_of(self.inside, self.outside.0, self.proto, self.zone),
            reply: Self::key_at(self.outside, self.proto, self.zone),
            paths: [PathId::NONE; 2],
            state: State::Mapping,
            flags: Flags::default(),
        }
    }

    fn entry_of_leave(&self, remote: A) -> NewConnection<A> {
        let reply = self.leave(remote);
        NewConnection {
            original: reply.reversed(reply.zone),
            reply,
            ..self.entry()
        }
    }
}

impl<A: Address> Mapping<A> {
    /// The same in the terms of both families.
    #[must_use]
    pub fn widen(&self) -> Mapping {
        Mapping {
            inside: (self.inside.0.ip(), self.inside.1),
            outside: (self.outside.0.ip(), self.outside.1),
            proto: self.proto,
            zone: self.zone,
        }
    }
}

impl Mapping {
    fn narrow<A: Address>(&self) -> Option<Mapping<A>> {
        Some(Mapping {
            inside: (A::of(self.inside.0)?, self.inside.1),
            outside: (A::of(self.outside.0)?, self.outside.1),
            proto: self.proto,
            zone: self.zone,
        })
    }
}

impl<A> Default for Rests<A> {
    /// On nothing.
    fn default() -> Rests<A> {
        Rests {
            source: None,
            leave: None,
            destination: None,
        }
    }
}

impl<A: Copy> Rests<A> {
    /// It rests on nothing.
    #[must_use]
    pub const fn on_nothing(&self) -> bool {
        self.source.is_none() && self.destination.is_none()
    }
}

impl Rests {
    /// The same in the terms of a family; `None` when it is not of that.
    #[must_use]
    pub fn narrow<A: Address>(&self) -> Option<Rests<A>> {
        let narrow = |mapping: Option<Mapping>| match mapping {
            Some(mapping) => mapping.narrow().map(Some),
            None => Some(None),
        };
        Some(Rests {
            source: narrow(self.source)?,
            leave: self.leave.and_then(A::of),
            destination: narrow(self.destination)?,
        })
    }
}

impl<A: Copy + Eq> Connection<A> {
    /// It is no connection but a mapping, or leave to use one.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.state == State::Mapping
    }

    /// The mapping that it is.
    #[must_use]
    pub fn mapping(&self) -> Option<Mapping<A>> {
        (self.is_apart() && self.reply.src == self.reply.dst).then_some(Mapping {
            inside: (self.original.src, self.original.src_port),
            outside: (self.reply.dst, self.reply.dst_port),
            proto: self.original.proto,
            zone: self.original.zone.together(),
        })
    }
}

impl<A: Address> Table<A> {
    /// How many connections, and leaves, rest on a mapping.
    #[must_use]
    pub fn users(&self, mapping: ConnRef) -> u32 {
        self.ties.of(mapping.slot::<A>()).map_or(0, Tie::users)
    }

    /// One user less. Its last packet came at `last`.
    fn let_go(&self, slot: u32, last: Tick) {
        if let Some(line) = self
            .entry(slot)
            .map(|entry| entry.line(Direction::Original))
            && last.reached(line.seen())
        {
            line.mark_seen(last);
        }
        if let Some(tie) = self.ties.of(slot) {
            tie.drop_user();
        }
    }
}

impl<A: Address> Writer<A> {
    /// Holds what a connection is to rest on, and makes what is to be made.
    ///
    /// # Errors
    /// [`InsertError::DuplicateReply`] when another worker has mapped the source, or taken the port, meanwhile, or a mapping
    /// has just ended: walk again. [`InsertError::TableFull`] also without [`Table::keep_mappings`]. Else as
    /// [`Writer::insert`]. Nothing is held then.
    pub fn hold(&mut self, rests: &Rests<A>, now: Tick) -> Result<Held, InsertError> {
        let mut held = Held {
            v6: A::MARK != 0,
            ..Held::default()
        };
        if let Some(mapping) = &rests.destination {
            let found = self.find(&mapping.entry().reply);
            let same = |hit: &Hit<A>| (hit.rewrite.dst, hit.rewrite.dst_port) == mapping.inside;
            let found = found.filter(same).and_then(|hit| self.hold_found(hit, now));
            held.destination = Some(found.ok_or(InsertError::DuplicateReply)?);
        }
        if let Some(mapping) = &rests.source {
            match self.hold_source(mapping, rests.leave, now) {
                Ok(slot) => held.source = Some(slot),
                Err(error) => {
                    self.release(held, now);
                    return Err(error);
                }
            }
        }
        Ok(held)
    }

    fn hold_source(
        &mut self,
        mapping: &Mapping<A>,
        leave: Option<A>,
        now: Tick,
    ) -> Result<u32, InsertError> {
        let entry = mapping.entry();
        let slot = match self.find(&entry.original) {
            Some(hit) if hit.rewrite.src_port != mapping.outside.1 => None,
            Some(hit) => self.hold_found(hit, now),
            None => Some(self.make(&entry, true, now)?),
        };
        let slot = slot.ok_or(InsertError::DuplicateReply)?;
        // An end outside is no remote one: hairpinned packets need no leave.
        let Some(remote) = leave.filter(|remote| *remote != mapping.outside.0) else {
            return Ok(slot);
        };
        let entry = mapping.entry_of_leave(remote);
        let known = self.find(&entry.reply);
        if let Some(found) = known.and_then(|hit| self.hold_found(hit, now)) {
            self.table.let_go(slot, now);
            return Ok(found);
        }
        self.make(&entry, false, now)
            .inspect_err(|_| self.table.let_go(slot, now))
    }

    fn find(&self, key: &FlowKey<A>) -> Option<Hit<A>> {
        self.table.lookup(key, self.table.hash(key))
    }

    /// Counts a user of a mapping or leave that was found, unless it has ended since.
    fn hold_found(&mut self, hit: Hit<A>, now: Tick) -> Option<u32> {
        let slot = hit.conn.slot::<A>();
        let tie = self.table.ties.of(slot)?;
        if !tie.add_user(hit.conn.generation, TRIES) {
            return None;
        }
        if hit.owner.is_none() {
            self.claim(hit.conn, now);
        }
        Some(slot)
    }

    /// Makes a mapping or leave that has one user. A mapping counts against the limit of its source, apart from that
    /// source's connections.
    fn make(
        &mut self,
        new: &NewConnection<A>,
        counts: bool,
        now: Tick,
    ) -> Result<u32, InsertError> {
        if !self.table.ties.made() {
            return Err(InsertError::TableFull);
        }
        let admitted = match counts {
            true => self.table.sources.admit(&new.original),
            false => Some(false),
        };
        let counted = admitted.ok_or(InsertError::SourceLimit)?;
        let marks = if counted { Control::COUNTED } else { 0 };
        let hashes = self.hashes(&new.original, &new.reply);
        let owner = (self.id.0, marks);
        let made = self.enter(new, hashes, First::default(), owner, true, now);
        let inserted = made.inspect_err(|_| {
            if counted {
                self.table.sources.release(&new.original);
            }
        });
        // Whose mapping it is now, whoever was faster knows.
        let inserted = inserted.map_err(|error| match error {
            InsertError::DuplicateOriginal => InsertError::DuplicateReply,
            other => other,
        })?;
        if inserted.evicted.is_some() {
            self.untold = self.untold.or(inserted.evicted);
        }
        let slot = inserted.conn.slot::<A>();
        self.wheel.place(&self.table.sides, slot, now.plus(LOOK));
        Ok(slot)
    }

    /// Lets an open connection keep what was held for it.
    pub fn rest(&mut self, conn: ConnRef, held: Held) {
        if let Some(tie) = self.table.ties.of(conn.slot::<A>()) {
            tie.set_rests([held.source, held.destination]);
        }
    }

    /// Lets go of what was held for a connection that was not opened.
    pub fn release(&mut self, held: Held, now: Tick) {
        for slot in [held.source, held.destination].into_iter().flatten() {
            self.table.let_go(slot, now);
        }
    }

    /// Lets go of what a connection rested on that has ended, or a leave.
    pub(super) fn unrest(&self, slot: u32, connection: &Connection<A>, tie: &Tie) {
        let last = connection.last_packet();
        if connection.is_apart() {
            if connection.mapping().is_none() {
                let at = FlowKey {
                    src: connection.reply.dst,
                    ..connection.reply
                };
                // It is there: the leave held it.
                if let Some(mapping) = self.find(&at) {
                    self.table.let_go(mapping.conn.slot::<A>(), last);
                }
            }
            return;
        }
        for mapping in tie.rests().into_iter().flatten() {
            debug_assert_ne!(mapping, slot, "rests on itself");
            self.table.let_go(mapping, last);
        }
    }

    /// When the owner is to look at a mapping again; `None` when it has ended: it can get no user any more.
    pub(super) fn next_look(&self, slot: u32, now: Tick) -> Option<Tick> {
        let later = now.plus(LOOK);
        let (entry, tie) = (self.table.entry(slot)?, self.table.ties.of(slot)?);
        if tie.users() > 0 {
            return Some(later);
        }
        let line = entry.line(Direction::Original);
        let condemned = Flags(line.control().flags()).has(Flags::CONDEMNED);
        let deadline = line.seen().plus(self.idle(line.key().proto));
        if !condemned && !now.reached(deadline) {
            return Some(deadline);
        }
        (!tie.end_unused()).then_some(later)
    }

    /// The least that a mapping lives after a packet: as long as a connection that was not answered.
    fn idle(&self, proto: u8) -> u32 {
        let state = State::open(proto, TcpFlags::SYN, false);
        self.timeouts().of(state.unwrap_or(State::OtherNew))
    }

    /// Ends a mapping of this worker as soon as nothing rests on it.
    pub(super) fn condemn(&mut self, conn: ConnRef) {
        if self.set_flags(conn, Flags::CONDEMNED) {
            let slot = conn.slot::<A>();
            self.wheel.remove(&self.table.sides, slot);
            self.wheel.place(&self.table.sides, slot, self.now);
        }
    }
}
