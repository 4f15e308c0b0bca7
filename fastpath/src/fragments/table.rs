//! The datagrams of which fragments are under way, of one worker.

use sluice_net::Extent;

use super::held::{Chain, Held, Released};
use super::pieces::{Piece, Pieces, is_possible};
use super::{First, Key, Limits, SOURCE_SHARE, Secret};
use crate::ids::Tick;
use crate::verdict::DropReason;

const NONE: u32 = u32::MAX;
/// Sources are counted by hash, in so many counters.
const SOURCES: usize = 1024;
/// Datagrams and frames that one call of [`Fragments::expire`] lets go.
const EXPIRE_BUDGET: u32 = 64;

/// What became of a fragment.
#[derive(Debug)]
pub enum Arrival<T> {
    /// It goes on, and after it those that waited for it.
    Goes(T, Released),
    /// It waits for the first.
    Held,
    /// It is dropped.
    Refused(DropReason),
}

/// How much is known of a datagram; each kind has a queue, the oldest in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Standing {
    /// Its first fragment has not come.
    Waiting,
    /// It has, or the datagram is spoiled.
    Known,
    /// It has, and it is of a connection.
    Trusted,
}

const STANDINGS: [Standing; 3] = [Standing::Waiting, Standing::Known, Standing::Trusted];

#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    hash: u32,
    /// Its source's counters.
    source: u32,
    /// The next of its bucket, or of the free ones.
    chain: u32,
    older: u32,
    younger: u32,
    standing: Standing,
    /// Pieces overlapped: nothing more of it passes.
    spoiled: bool,
    since: Tick,
    first: Option<First>,
    held: Chain,
    pieces: Pieces,
}

/// Datagrams and frames of the sources that share a counter.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    datagrams: u32,
    held: u32,
}

/// The datagrams of which fragments are under way. `T` is what is held of a fragment that came before the first.
#[derive(Debug)]
pub struct Fragments<T> {
    secret: Secret,
    limits: Limits,
    buckets: Box<[u32]>,
    datagrams: Vec<Datagram>,
    free: u32,
    len: u32,
    queues: [Queue; STANDINGS.len()],
    held: Held<T>,
    sources: Box<[Share; SOURCES]>,
    displaced: u64,
}

impl<T> Fragments<T> {
    /// An empty table. What it needs is reserved here; pages are touched as they are used.
    #[must_use]
    pub fn new(limits: Limits, secret: Secret) -> Self {
        let limits = Limits {
            datagrams: limits.datagrams.max(1),
            ..limits
        };
        let buckets = Self::bucket_count(&limits);
        Fragments {
            secret,
            limits,
            buckets: vec![NONE; buckets].into(),
            datagrams: Vec::with_capacity(limits.datagrams as usize),
            free: NONE,
            len: 0,
            queues: [Queue {
                head: NONE,
                tail: NONE,
            }; STANDINGS.len()],
            held: Held::new(limits.held),
            sources: Box::new([Share::default(); SOURCES]),
            displaced: 0,
        }
    }

    const fn bucket_count(limits: &Limits) -> usize {
        (limits.datagrams as usize).next_power_of_two()
    }

    pub(super) const fn memory(limits: &Limits) -> u64 {
        let each = limits.datagrams as usize * size_of::<Datagram>()
            + limits.held as usize * Held::<T>::PLACE;
        (each + Self::bucket_count(limits) * size_of::<u32>() + SOURCES * size_of::<Share>()) as u64
    }

    /// No datagram is under way.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Datagrams under way.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Fragments that wait for their first.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held.len()
    }

    /// Datagrams that gave way to others since this was last asked.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }

    /// A fragment has come. `first` is what it says if it is a first one, `trusted` that this is of a connection. `lose` is told of
    /// each held fragment that goes.
    pub fn arrive(
        &mut self,
        key: &Key,
        extent: &Extent,
        first: Option<(First, bool)>,
        item: T,
        now: Tick,
        mut lose: impl FnMut(DropReason),
    ) -> Arrival<T> {
        if !is_possible(extent) {
            return Arrival::Refused(DropReason::FragmentMalformed);
        }
        let (hash, source) = self.secret.hash(key);
        let source = source % SOURCES as u32;
        let at = match self.find(key, hash, now, &mut lose) {
            Some(at) => at,
            None => {
                if self.share(source).datagrams >= self.limits.datagrams.div_ceil(SOURCE_SHARE) {
                    return Arrival::Refused(DropReason::FragmentSourceLimit);
                }
                self.begin(key, (hash, source), now, &mut lose)
            }
        };
        let Some(datagram) = self.datagrams.get_mut(at as usize) else {
            return Arrival::Refused(DropReason::FragmentTableFull);
        };
        if datagram.spoiled {
            return Arrival::Refused(DropReason::FragmentOverlap);
        }
        let piece = datagram.pieces.add(extent);
        let differs = |(said, _): (First, bool)| datagram.first.is_some_and(|known| known != said);
        match piece {
            Piece::New => {}
            Piece::TooMany => return Arrival::Refused(DropReason::FragmentPieces),
            Piece::Again if !first.is_some_and(differs) => {
                if datagram.first.is_none() {
                    return Arrival::Refused(DropReason::FragmentDuplicate);
                }
            }
            Piece::Again | Piece::Overlaps => {
                self.spoil(at, now, &mut lose);
                return Arrival::Refused(DropReason::FragmentOverlap);
            }
        }
        match first {
            Some(first) => self.resolve(at, first, item, now),
            None => self.follow(at, item, &mut lose),
        }
    }

    /// The first fragment: it goes on with those that waited.
    fn resolve(
        &mut self,
        at: u32,
        (first, trusted): (First, bool),
        item: T,
        now: Tick,
    ) -> Arrival<T> {
        let standing = match trusted {
            true => Standing::Trusted,
            false => Standing::Known,
        };
        // A copy of it does not lengthen the life of the datagram.
        let known = |datagram: &Datagram| datagram.first.is_some();
        if !self.datagrams.get(at as usize).is_some_and(known) {
            self.requeue(at, standing, now);
        }
        let Some(datagram) = self.datagrams.get_mut(at as usize) else {
            return Arrival::Refused(DropReason::FragmentTableFull);
        };
        datagram.first = Some(first);
        let chain = std::mem::replace(&mut datagram.held, Chain::EMPTY);
        let (whole, source) = (datagram.pieces.is_whole(), datagram.source);
        if let Some(share) = self.sources.get_mut(source as usize) {
            share.held = share.held.saturating_sub(chain.len);
        }
        if whole {
            self.end(at);
        }
        Arrival::Goes(item, Released { chain, first })
    }

    /// A later fragment: it goes on when the first has come.
    fn follow(&mut self, at: u32, item: T, lose: &mut impl FnMut(DropReason)) -> Arrival<T> {
        let Some(datagram) = self.datagrams.get(at as usize) else {
            return Arrival::Refused(DropReason::FragmentTableFull);
        };
        let (source, whole) = (datagram.source, datagram.pieces.is_whole());
        if let Some(first) = datagram.first {
            if whole {
                self.end(at);
            }
            let chain = Chain::EMPTY;
            return Arrival::Goes(item, Released { chain, first });
        }
        let reason = match self.hold(at, source, item, lose) {
            Ok(()) => return Arrival::Held,
            Err(reason) => reason,
        };
        // Without this piece the others are of no use.
        self.forget(at, reason, lose);
        Arrival::Refused(reason)
    }

    fn hold(
        &mut self,
        at: u32,
        source: u32,
        item: T,
        lose: &mut impl FnMut(DropReason),
    ) -> Result<(), DropReason> {
        if self.share(source).held >= self.limits.held.div_ceil(SOURCE_SHARE) {
            return Err(DropReason::FragmentSourceLimit);
        }
        let oldest = self.queues[Standing::Waiting as usize].head;
        if self.held.is_full() && oldest != at {
            self.displaced += 1;
            self.forget(oldest, DropReason::FragmentTableFull, lose);
        }
        let datagram = self.datagrams.get_mut(at as usize);
        let datagram = datagram.ok_or(DropReason::FragmentTableFull)?;
        self.held
            .push(&mut datagram.held, item)
            .map_err(|_| DropReason::FragmentTableFull)?;
        if let Some(share) = self.sources.get_mut(source as usize) {
            share.held += 1;
        }
        Ok(())
    }

    /// Takes out the next of those that waited, in the order in which they came.
    pub fn release(&mut self, released: &mut Released) -> Option<T> {
        self.held.pop(&mut released.chain)
    }

    /// Lets go, some at a time, of what is older than the timeout. `lose` is told of each fragment that was held.
    pub fn expire(&mut self, now: Tick, mut lose: impl FnMut(DropReason)) {
        let mut left = EXPIRE_BUDGET;
        for standing in STANDINGS {
            while left > 0
                && let Some(datagram) = self
                    .datagrams
                    .get(self.queues[standing as usize].head as usize)
                && now.since(datagram.since) >= self.limits.timeout
            {
                let cost = 1 + datagram.held.len;
                left = left.saturating_sub(cost);
                let at = self.queues[standing as usize].head;
                self.forget(at, DropReason::FragmentTimeout, &mut lose);
            }
        }
    }

    // ---- one datagram ----

    fn share(&self, source: u32) -> Share {
        self.sources
            .get(source as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The datagram of the key, unless its time is over.
    fn find(
        &mut self,
        key: &Key,
        hash: u32,
        now: Tick,
        lose: &mut impl FnMut(DropReason),
    ) -> Option<u32> {
        let mut at = *self.buckets.get(self.bucket(hash))?;
        // A chain has no more places than the table.
        while let Some(datagram) = self.datagrams.get(at as usize) {
            if datagram.hash == hash && datagram.key == *key {
                if now.since(datagram.since) < self.limits.timeout {
                    return Some(at);
                }
                self.forget(at, DropReason::FragmentTimeout, lose);
                return None;
            }
            at = datagram.chain;
        }
        None
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn begin(
        &mut self,
        key: &Key,
        (hash, source): (u32, u32),
        now: Tick,
        lose: &mut impl FnMut(DropReason),
    ) -> u32 {
        if self.len >= self.limits.datagrams {
            self.make_room(lose);
        }
        let bucket = self.bucket(hash);
        let datagram = Datagram {
            key: *key,
            hash,
            source,
            chain: self.buckets.get(bucket).copied().unwrap_or(NONE),
            older: NONE,
            younger: NONE,
            standing: Standing::Waiting,
            spoiled: false,
            since: now,
            first: None,
            held: Chain::EMPTY,
            pieces: Pieces::default(),
        };
        let at = self.free;
        let at = match self.datagrams.get_mut(at as usize) {
            Some(free) => {
                self.free = free.chain;
                *free = datagram;
                at
            }
            None => {
                // Within the capacity: there are never more.
                self.datagrams.push(datagram);
                (self.datagrams.len() - 1) as u32
            }
        };
        if let Some(head) = self.buckets.get_mut(bucket) {
            *head = at;
        }
        if let Some(share) = self.sources.get_mut(source as usize) {
            share.datagrams += 1;
        }
        self.len += 1;
        self.push_back(at, Standing::Waiting, now);
        at
    }

    /// The oldest gives way, of those without a connection if there are any.
    fn make_room(&mut self, lose: &mut impl FnMut(DropReason)) {
        let [waiting, known, trusted] = self.queues.map(|queue| queue.head);
        let since = |at: u32| self.datagrams.get(at as usize).map(|it| it.since);
        let oldest = match (since(waiting), since(known)) {
            (Some(one), Some(other)) if other.reached(one) => waiting,
            (Some(_), None) => waiting,
            (_, Some(_)) => known,
            (None, None) => trusted,
        };
        self.displaced += 1;
        self.forget(oldest, DropReason::FragmentTableFull, lose);
    }

    /// Nothing more of the datagram passes until its time is over.
    fn spoil(&mut self, at: u32, now: Tick, lose: &mut impl FnMut(DropReason)) {
        self.empty(at, DropReason::FragmentOverlap, lose);
        self.requeue(at, Standing::Known, now);
        if let Some(datagram) = self.datagrams.get_mut(at as usize) {
            datagram.spoiled = true;
        }
    }

    /// Drops what is held of a datagram, and forgets it.
    fn forget(&mut self, at: u32, reason: DropReason, lose: &mut impl FnMut(DropReason)) {
        self.empty(at, reason, lose);
        self.end(at);
    }

    fn empty(&mut self, at: u32, reason: DropReason, lose: &mut impl FnMut(DropReason)) {
        let Some(datagram) = self.datagrams.get_mut(at as usize) else {
            return;
        };
        if let Some(share) = self.sources.get_mut(datagram.source as usize) {
            share.held = share.held.saturating_sub(datagram.held.len);
        }
        while self.held.pop(&mut datagram.held).is_some() {
            lose(reason);
        }
    }

    /// Takes a datagram of which nothing is held out of the table.
    fn end(&mut self, at: u32) {
        let Some(datagram) = self.datagrams.get(at as usize) else {
            return;
        };
        let (bucket, next) = (self.bucket(datagram.hash), datagram.chain);
        if let Some(share) = self.sources.get_mut(datagram.source as usize) {
            share.datagrams = share.datagrams.saturating_sub(1);
        }
        match self.buckets.get_mut(bucket) {
            Some(head) if *head == at => *head = next,
            head => {
                let mut before = head.map_or(NONE, |head| *head);
                while let Some(datagram) = self.datagrams.get_mut(before as usize) {
                    if datagram.chain == at {
                        datagram.chain = next;
                        break;
                    }
                    before = datagram.chain;
                }
            }
        }
        self.unlink(at);
        if let Some(datagram) = self.datagrams.get_mut(at as usize) {
            datagram.chain = self.free;
            self.free = at;
            self.len -= 1;
        }
    }

    // ---- queues ----

    fn requeue(&mut self, at: u32, standing: Standing, now: Tick) {
        self.unlink(at);
        self.push_back(at, standing, now);
    }

    fn unlink(&mut self, at: u32) {
        let Some(datagram) = self.datagrams.get(at as usize) else {
            return;
        };
        let (older, younger, standing) = (datagram.older, datagram.younger, datagram.standing);
        let queue = &mut self.queues[standing as usize];
        match self.datagrams.get_mut(older as usize) {
            Some(older) => older.younger = younger,
            None => queue.head = younger,
        }
        match self.datagrams.get_mut(younger as usize) {
            Some(younger) => younger.older = older,
            None => queue.tail = older,
        }
    }

    fn push_back(&mut self, at: u32, standing: Standing, now: Tick) {
        let queue = &mut self.queues[standing as usize];
        let last = queue.tail;
        queue.tail = at;
        match self.datagrams.get_mut(last as usize) {
            Some(last) => last.younger = at,
            None => queue.head = at,
        }
        if let Some(datagram) = self.datagrams.get_mut(at as usize) {
            datagram.older = last;
            datagram.younger = NONE;
            datagram.standing = standing;
            datagram.since = now;
        }
    }
}
