//! One connection in memory: a line per direction, and the word that guards them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::key::{Direction, FlowKey};
use super::line::Line;
use super::state::State;
use super::writer::First;
use crate::ids::{PathId, Tick, WorkerId};

/// Owner field of an entry that belongs to nobody.
pub(super) const NOBODY: u8 = u8::MAX;

/// The word that says whether a line is valid, whose it is and where the protocol stands:
/// generation (32 bits, even while published), owner (8), state (8), flags of the caller (8), marks (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub(super) u64);

impl Control {
    /// Mark: the source of this connection was counted against its limit.
    pub(super) const COUNTED: u8 = 1;
    /// Marks: where the stream of this direction began is known.
    pub(super) const ANCHORED: [u8; 2] = [2, 4];

    #[inline]
    pub(super) fn new(generation: u32, owner: u8, state: State, flags: u8, marks: u8) -> Control {
        Control(
            u64::from(generation) << 32
                | u64::from(u32::from_be_bytes([owner, state as u8, flags, marks])),
        )
    }

    #[inline]
    pub(super) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    pub(super) const fn published(self) -> bool {
        self.generation() & 1 == 0
    }

    #[inline]
    pub(super) const fn owner_bits(self) -> u8 {
        (self.0 >> 24) as u8
    }

    #[inline]
    pub(super) fn owner(self) -> Option<WorkerId> {
        let bits = self.owner_bits();
        (bits != NOBODY).then_some(WorkerId(bits))
    }

    /// Its state stays as it is whatever comes, but for a TCP segment that ends the stream.
    #[inline]
    pub(super) const fn steady(self) -> bool {
        1u32.wrapping_shl((self.0 >> 16) as u32 & 0xff) & State::STEADY != 0
    }

    /// Total, so that no packet path has to answer for bits that cannot occur.
    #[inline]
    pub(super) fn state(self) -> State {
        State::from_bits((self.0 >> 16) as u8).unwrap_or(State::OtherNew)
    }

    #[inline]
    pub(super) const fn flags(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline]
    pub(super) const fn marks(self) -> u8 {
        self.0 as u8
    }

    #[inline]
    pub(super) const fn with_owner(self, owner: u8) -> Control {
        Control(self.0 & !(0xff << 24) | (owner as u64) << 24)
    }

    #[inline]
    pub(super) const fn with_state(self, state: State) -> Control {
        Control(self.0 & !(0xff << 16) | (state as u64) << 16)
    }

    #[inline]
    pub(super) const fn with_marks(self, marks: u8) -> Control {
        Control(self.0 & !0xff | marks as u64)
    }

    #[inline]
    pub(super) const fn with_flags(self, flags: u8) -> Control {
        Control(self.0 & !(0xff << 8) | (flags as u64) << 8)
    }

    /// The same word with the next generation: odd when it was published, even when it was not.
    #[inline]
    pub(super) const fn stepped(self) -> Control {
        Control(self.0.wrapping_add(1 << 32))
    }
}

/// Both directions of one connection: 128 bytes of IPv4, 256 of IPv6. Large tables begin at a page, so that the
/// adjacent-line prefetch of the processor stays within the connection.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(transparent)]
pub(super) struct Entry<L> {
    lines: [L; 2],
}

impl<L> Entry<L> {
    #[inline]
    pub(super) fn line(&self, direction: Direction) -> &L {
        let [original, reply] = &self.lines;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }
}

impl<L: Line> Entry<L> {
    /// Makes zeroed memory an entry that was never published.
    pub(super) fn begin(&self) {
        for line in &self.lines {
            // Odd: nothing is published yet.
            line.set_control(Control(1 << 32));
        }
    }

    /// Writes a free entry; it stays invisible until [`Entry::publish`].
    pub(super) fn write(
        &self,
        original: &FlowKey<L::Addr>,
        reply: &FlowKey<L::Addr>,
        paths: [PathId; 2],
        first: First,
        now: Tick,
    ) {
        let [there, back] = paths;
        self.line(Direction::Original)
            .write(original, reply, there, first, now);
        self.line(Direction::Reply)
            .write(reply, original, back, First::default(), now);
    }

    /// Starts the load of both lines; nothing waits for it.
    #[inline]
    pub(super) fn warm(&self) {
        for line in &self.lines {
            line.ask(|word| {
                word.load(Relaxed);
            });
        }
    }

    /// Makes a written entry visible; returns its generation.
    pub(super) fn publish(&self, owner: u8, state: State, flags: u8, marks: u8) -> u32 {
        let [original, reply] = &self.lines;
        let generation = original.control().stepped().generation();
        let control = Control::new(generation, owner, state, flags, marks);
        reply.set_control(control);
        original.set_control(control);
        generation
    }

    /// Makes a published entry invisible.
    pub(super) fn retire(&self) {
        let [original, reply] = &self.lines;
        let control = original.control().stepped();
        original.set_control(control);
        reply.set_control(control);
    }

    /// Writes the state into both lines.
    pub(super) fn set_state(&self, state: State) {
        for line in &self.lines {
            line.set_control(line.control().with_state(state));
        }
    }

    /// Writes the marks into both lines.
    pub(super) fn set_marks(&self, marks: u8) {
        for line in &self.lines {
            line.set_control(line.control().with_marks(marks));
        }
    }

    /// Writes the caller's flags into both lines.
    pub(super) fn set_flags(&self, flags: u8) {
        for line in &self.lines {
            line.set_control(line.control().with_flags(flags));
        }
    }

    /// Writes the owner into both lines.
    pub(super) fn set_owner(&self, owner: u8) {
        for line in &self.lines {
            line.set_control(line.control().with_owner(owner));
        }
    }

    /// The later of the last packets of both directions.
    #[inline]
    pub(super) fn last_seen(&self) -> Tick {
        let [original, reply] = &self.lines;
        let (a, b) = (original.seen(), reply.seen());
        if a.reached(b) { a } else { b }
    }
}

/// What the packets of a connection do not need: its places in the lists of its owner and its birth.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(super) struct Side {
    links: [AtomicU64; 2],
    created: AtomicU64,
}

/// Which of the two lists of a connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// By deadline; in a free slot the chain of free slots.
    Wheel,
    /// By age, for those that may be evicted.
    Eviction,
}

impl Side {
    /// Neighbors in a list: (previous, next).
    #[inline]
    pub(super) fn links(&self, chain: Chain) -> (u32, u32) {
        let links = self.word(chain).load(Relaxed);
        ((links >> 32) as u32, links as u32)
    }

    #[inline]
    pub(super) fn set_links(&self, chain: Chain, previous: u32, next: u32) {
        self.word(chain)
            .store(u64::from(previous) << 32 | u64::from(next), Relaxed);
    }

    #[inline]
    fn word(&self, chain: Chain) -> &AtomicU64 {
        let [wheel, eviction] = &self.links;
        match chain {
            Chain::Wheel => wheel,
            Chain::Eviction => eviction,
        }
    }

    pub(super) fn created(&self) -> Tick {
        Tick(self.created.load(Relaxed) as u32)
    }

    pub(super) fn set_created(&self, now: Tick) {
        self.created.store(u64::from(now.0), Relaxed);
    }
}
