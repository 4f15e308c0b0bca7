//! One connection in memory: a 64-byte line per direction, guarded by a generation.
//!
//! All words are atomics written by one thread at a time (the owner, or who holds the free slot); on x86 the
//! loads and stores here are plain moves.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::key::{Direction, FlowKey4, Rewrite};
use super::sequence::Sent;
use super::state::State;
use super::worker::First;
use crate::ids::{PathId, Tick, WorkerId};

/// Owner field of an entry that belongs to nobody.
pub(super) const NOBODY: u8 = u8::MAX;

/// The word that says whether a line is valid, whose it is and where the protocol stands:
/// generation (32 bits, even while published), owner (8), state (8), flags of the caller (8), marks (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control(pub(super) u64);

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
    const fn with_flags(self, flags: u8) -> Control {
        Control(self.0 & !(0xff << 8) | (flags as u64) << 8)
    }

    /// The same word with the next generation: odd when it was published, even when it was not.
    #[inline]
    const fn stepped(self) -> Control {
        Control(self.0.wrapping_add(1 << 32))
    }
}

/// One direction: what a packet of it needs, in one cache line.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub(super) struct Line {
    addresses: AtomicU64,
    /// Ports, protocol, zone.
    rest: AtomicU64,
    new_addresses: AtomicU64,
    /// Translated ports in the high half, path in the low half.
    new_ports_path: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    control: AtomicU64,
    /// Tick of the last packet.
    seen: AtomicU32,
    /// TCP: what [`Sent::anchor`] gave at the handshake, when the marks say so.
    anchor: AtomicU32,
}

/// A consistent copy of a [`Line`].
#[derive(Clone, Copy, Debug)]
pub(super) struct LineCopy {
    pub(super) key: FlowKey4,
    pub(super) path: PathId,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) control: Control,
    pub(super) seen: Tick,
}

/// What a look-up takes along from the line that it had to read anyway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) control: Control,
    pub(super) rewrite: Rewrite,
    pub(super) path: PathId,
}

impl Line {
    /// The control word, ordered before later reads of the line.
    #[inline]
    pub(super) fn control(&self) -> Control {
        Control(self.control.load(Acquire))
    }

    /// A word in the line.
    #[inline]
    pub(super) fn word(&self) -> &AtomicU64 {
        &self.control
    }

    /// Compares the key whether or not the line is published.
    #[inline]
    pub(super) fn holds(&self, key: [u64; 2]) -> bool {
        [self.addresses.load(Relaxed), self.rest.load(Relaxed)] == key
    }

    /// Rewrite and path when the line is published under `key`; `None` when it is not or changed meanwhile.
    #[inline]
    pub(super) fn glance(&self, key: [u64; 2]) -> Option<Glance> {
        let control = self.control();
        if !self.holds(key) || !control.published() {
            return None;
        }
        let rewrite = self.rewrite();
        let path = self.path();
        self.unchanged(control).then_some(Glance {
            control,
            rewrite,
            path,
        })
    }

    /// A copy of everything when the line is published and did not change meanwhile.
    pub(super) fn copy(&self) -> Option<LineCopy> {
        let control = self.control();
        if !control.published() {
            return None;
        }
        let copy = LineCopy {
            key: self.key(),
            path: self.path(),
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            control,
            seen: self.seen(),
        };
        self.unchanged(control).then_some(copy)
    }

    #[inline]
    fn unchanged(&self, before: Control) -> bool {
        // Pairs with the fence in `write`: had one of the words above been of the next tenant, the odd
        // generation would be visible here.
        fence(Acquire);
        Control(self.control.load(Relaxed)).generation() == before.generation()
    }

    #[inline]
    fn rewrite(&self) -> Rewrite {
        let addresses = self.new_addresses.load(Relaxed);
        let ports = self.new_ports_path.load(Relaxed) >> 32;
        Rewrite {
            src: (addresses >> 32) as u32,
            dst: addresses as u32,
            src_port: (ports >> 16) as u16,
            dst_port: ports as u16,
        }
    }

    /// The key, of a line that cannot change meanwhile.
    #[inline]
    pub(super) fn key(&self) -> FlowKey4 {
        FlowKey4::unpack([self.addresses.load(Relaxed), self.rest.load(Relaxed)])
    }

    #[inline]
    pub(super) fn path(&self) -> PathId {
        PathId(self.new_ports_path.load(Relaxed) as u32)
    }

    #[inline]
    pub(super) fn seen(&self) -> Tick {
        Tick(self.seen.load(Relaxed))
    }

    // ---- the writer's side: the owner, or the holder of the free slot ----

    /// Fills an unpublished line; readers go on seeing nothing.
    fn write(&self, key: &FlowKey4, other: &FlowKey4, path: PathId, first: First, now: Tick) {
        fence(Release);
        let [addresses, rest] = key.pack();
        let rewrite = Rewrite::towards(other);
        let ports = u64::from(rewrite.src_port) << 16 | u64::from(rewrite.dst_port);
        self.addresses.store(addresses, Relaxed);
        self.rest.store(rest, Relaxed);
        self.new_addresses.store(
            u64::from(rewrite.src) << 32 | u64::from(rewrite.dst),
            Relaxed,
        );
        self.new_ports_path
            .store(ports << 32 | u64::from(path.0), Relaxed);
        self.packets.store(u64::from(first.packets), Relaxed);
        self.bytes.store(u64::from(first.bytes), Relaxed);
        self.seen.store(now.0, Relaxed);
    }

    /// Counts one packet and notes its time.
    #[inline]
    pub(super) fn count(&self, bytes: u32, now: Tick) {
        self.packets
            .store(self.packets.load(Relaxed).wrapping_add(1), Relaxed);
        self.bytes.store(
            self.bytes.load(Relaxed).wrapping_add(u64::from(bytes)),
            Relaxed,
        );
        self.mark_seen(now);
    }

    fn sent(&self) -> Sent {
        Sent {
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }

    /// Notes the number of the next byte that this side sends.
    pub(super) fn anchor(&self, next: u32) {
        self.anchor.store(self.sent().anchor(next), Relaxed);
    }

    /// A segment with this number may come from this side, whose stream is anchored.
    pub(super) fn believes(&self, seq: u32) -> bool {
        self.sent().believes(self.anchor.load(Relaxed), seq)
    }

    #[inline]
    pub(super) fn mark_seen(&self, now: Tick) {
        self.seen.store(now.0, Relaxed);
    }

    #[inline]
    pub(super) fn set_path(&self, path: PathId) {
        let old = self.new_ports_path.load(Relaxed);
        self.new_ports_path
            .store(old & !0xffff_ffff | u64::from(path.0), Relaxed);
    }

    #[inline]
    pub(super) fn set_control(&self, control: Control) {
        self.control.store(control.0, Release);
    }

    /// Takes the line for `owner` when it still is as `seen` and nobody's.
    pub(super) fn claim(&self, seen: Control, owner: u8) -> bool {
        self.control
            .compare_exchange(seen.0, seen.with_owner(owner).0, Acquire, Relaxed)
            .is_ok()
    }
}

/// Both directions of one connection: 128 bytes, so that the adjacent-line prefetch of the processor stays
/// within the connection.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(128))]
pub(super) struct Entry {
    lines: [Line; 2],
}

impl Entry {
    /// Makes zeroed memory an entry that was never published.
    pub(super) fn begin(&self) {
        for line in &self.lines {
            // Odd: nothing is published yet.
            line.set_control(Control(1 << 32));
        }
    }

    #[inline]
    pub(super) fn line(&self, direction: Direction) -> &Line {
        let [original, reply] = &self.lines;
        match direction {
            Direction::Original => original,
            Direction::Reply => reply,
        }
    }

    /// Writes a free entry; it stays invisible until [`Entry::publish`].
    pub(super) fn write(
        &self,
        original: &FlowKey4,
        reply: &FlowKey4,
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
            line.control();
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
