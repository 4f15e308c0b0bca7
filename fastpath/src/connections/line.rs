//! One direction of a connection in memory, guarded by a generation: a cache line of IPv4, two of IPv6.
//!
//! All words are atomics written by one thread at a time (the owner, or who holds the free slot); on x86 the
//! loads and stores here are plain moves.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::address::{Width, halves, joined};
use super::entry::Control;
use super::key::{FlowKey, Rewrite};
use super::sequence::Sent;
use super::writer::First;
use crate::ids::{PathId, Tick};

/// What does not depend on the width of addresses.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Rest {
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

/// What a packet of IPv4 needs, in one cache line.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(64))]
pub struct Line4 {
    /// Addresses; ports, protocol, zone.
    key: [AtomicU64; 2],
    new_addresses: AtomicU64,
    rest: Rest,
}

/// The same of IPv6, in two.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout)]
#[repr(C, align(128))]
pub struct Line6 {
    rest: Rest,
    /// Source, destination; ports, protocol, zone.
    key: [AtomicU64; 5],
    new_addresses: [AtomicU64; 4],
    spare: [AtomicU64; 2],
}

/// A consistent copy of a [`Line`].
#[derive(Clone, Copy, Debug)]
pub struct LineCopy<A> {
    pub(super) key: FlowKey<A>,
    pub(super) path: PathId,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) control: Control,
    pub(super) seen: Tick,
}

/// What a look-up takes along from the line that it had to read anyway.
#[derive(Clone, Copy, Debug)]
pub struct Glance<A> {
    pub(super) control: Control,
    pub(super) rewrite: Rewrite<A>,
    pub(super) path: PathId,
}

#[inline]
fn load<const N: usize>(words: &[AtomicU64; N]) -> [u64; N] {
    words.each_ref().map(|word| word.load(Relaxed))
}

#[inline]
fn store<const N: usize>(words: &[AtomicU64; N], values: [u64; N]) {
    for (word, value) in words.iter().zip(values) {
        word.store(value, Relaxed);
    }
}

impl Line for Line4 {
    type Addr = u32;

    #[inline]
    fn rest(&self) -> &Rest {
        &self.rest
    }

    #[inline]
    fn words(&self) -> [u64; 2] {
        load(&self.key)
    }

    #[inline]
    fn set_words(&self, words: [u64; 2]) {
        store(&self.key, words);
    }

    #[inline]
    fn new_addresses(&self) -> (u32, u32) {
        let both = self.new_addresses.load(Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    #[inline]
    fn set_new_addresses(&self, src: u32, dst: u32) {
        let both = u64::from(src) << 32 | u64::from(dst);
        self.new_addresses.store(both, Relaxed);
    }

    #[inline]
    fn ask(&self, ask: impl Fn(&AtomicU64)) {
        ask(&self.rest.control);
    }
}

impl Line for Line6 {
    type Addr = u128;

    #[inline]
    fn rest(&self) -> &Rest {
        &self.rest
    }

    #[inline]
    fn words(&self) -> [u64; 5] {
        load(&self.key)
    }

    #[inline]
    fn set_words(&self, words: [u64; 5]) {
        store(&self.key, words);
    }

    #[inline]
    fn new_addresses(&self) -> (u128, u128) {
        let [a, b, c, d] = load(&self.new_addresses);
        (joined([a, b]), joined([c, d]))
    }

    #[inline]
    fn set_new_addresses(&self, src: u128, dst: u128) {
        let ([a, b], [c, d]) = (halves(src), halves(dst));
        store(&self.new_addresses, [a, b, c, d]);
    }

    #[inline]
    fn ask(&self, ask: impl Fn(&AtomicU64)) {
        let [last, ..] = &self.spare;
        ask(&self.rest.control);
        ask(last);
    }
}

/// One direction: what a packet of it needs.
pub trait Line {
    /// An address of its family.
    type Addr: Width<Line = Self>;

    /// What does not depend on the family.
    fn rest(&self) -> &Rest;

    /// The key as words.
    fn words(&self) -> <Self::Addr as Width>::Words;

    /// Stores them.
    fn set_words(&self, words: <Self::Addr as Width>::Words);

    /// The addresses that packets leave with.
    fn new_addresses(&self) -> (Self::Addr, Self::Addr);

    /// Stores them.
    fn set_new_addresses(&self, src: Self::Addr, dst: Self::Addr);

    /// Asks for its cache lines, by a word in each.
    fn ask(&self, ask: impl Fn(&AtomicU64));

    /// The control word, ordered before later reads of the line.
    #[inline]
    fn control(&self) -> Control {
        Control(self.rest().control.load(Acquire))
    }

    /// Compares the key whether or not the line is published.
    #[inline]
    fn holds(&self, key: <Self::Addr as Width>::Words) -> bool {
        self.words() == key
    }

    /// Rewrite and path when the line is published under `key`; `None` when it is not or changed meanwhile.
    #[inline]
    fn glance(&self, key: <Self::Addr as Width>::Words) -> Option<Glance<Self::Addr>> {
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
    fn copy(&self) -> Option<LineCopy<Self::Addr>> {
        let control = self.control();
        if !control.published() {
            return None;
        }
        let copy = LineCopy {
            key: self.key(),
            path: self.path(),
            packets: self.rest().packets.load(Relaxed),
            bytes: self.rest().bytes.load(Relaxed),
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
        Control(self.rest().control.load(Relaxed)).generation() == before.generation()
    }

    #[inline]
    fn rewrite(&self) -> Rewrite<Self::Addr> {
        let (src, dst) = self.new_addresses();
        let ports = self.rest().new_ports_path.load(Relaxed) >> 32;
        Rewrite {
            src,
            dst,
            src_port: (ports >> 16) as u16,
            dst_port: ports as u16,
        }
    }

    /// The key, of a line that cannot change meanwhile.
    #[inline]
    fn key(&self) -> FlowKey<Self::Addr> {
        <Self::Addr>::unpack(self.words())
    }

    #[inline]
    fn path(&self) -> PathId {
        PathId(self.rest().new_ports_path.load(Relaxed) as u32)
    }

    #[inline]
    fn seen(&self) -> Tick {
        Tick(self.rest().seen.load(Relaxed))
    }

    // ---- the writer's side: the owner, or the holder of the free slot ----

    /// Fills an unpublished line; readers go on seeing nothing.
    fn write(
        &self,
        key: &FlowKey<Self::Addr>,
        other: &FlowKey<Self::Addr>,
        path: PathId,
        first: First,
        now: Tick,
    ) {
        fence(Release);
        let rewrite = Rewrite::towards(other);
        let ports = u64::from(rewrite.src_port) << 16 | u64::from(rewrite.dst_port);
        self.set_words(<Self::Addr>::pack(key));
        self.set_new_addresses(rewrite.src, rewrite.dst);
        self.rest()
            .new_ports_path
            .store(ports << 32 | u64::from(path.0), Relaxed);
        self.rest().packets.store(u64::from(first.packets), Relaxed);
        self.rest().bytes.store(u64::from(first.bytes), Relaxed);
        self.rest().seen.store(now.0, Relaxed);
    }

    /// Counts one packet and notes its time.
    #[inline]
    fn count(&self, bytes: u32, now: Tick) {
        self.rest()
            .packets
            .store(self.rest().packets.load(Relaxed).wrapping_add(1), Relaxed);
        self.rest().bytes.store(
            self.rest()
                .bytes
                .load(Relaxed)
                .wrapping_add(u64::from(bytes)),
            Relaxed,
        );
        self.mark_seen(now);
    }

    fn sent(&self) -> Sent {
        Sent {
            packets: self.rest().packets.load(Relaxed),
            bytes: self.rest().bytes.load(Relaxed),
            headers: <Self::Addr>::HEADERS,
        }
    }

    /// Notes the number of the next byte that this side sends.
    fn anchor(&self, next: u32) {
        self.rest().anchor.store(self.sent().anchor(next), Relaxed);
    }

    /// A segment with this number may come from this side, whose stream is anchored.
    fn believes(&self, seq: u32) -> bool {
        self.sent().believes(self.rest().anchor.load(Relaxed), seq)
    }

    #[inline]
    fn mark_seen(&self, now: Tick) {
        self.rest().seen.store(now.0, Relaxed);
    }

    #[inline]
    fn set_path(&self, path: PathId) {
        let old = self.rest().new_ports_path.load(Relaxed);
        self.rest()
            .new_ports_path
            .store(old & !0xffff_ffff | u64::from(path.0), Relaxed);
    }

    #[inline]
    fn set_control(&self, control: Control) {
        self.rest().control.store(control.0, Release);
    }

    /// Takes the line for `owner` when it still is as `seen` and nobody's.
    fn claim(&self, seen: Control, owner: u8) -> bool {
        self.rest()
            .control
            .compare_exchange(seen.0, seen.with_owner(owner).0, Acquire, Relaxed)
            .is_ok()
    }
}
