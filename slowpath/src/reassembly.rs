//! Reassembly of what is for this node itself (RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722).
//!
//! Bounded: datagrams, bytes, those of one source, and time. When there is no room the oldest gives way. What overlaps is dropped, and all
//! that follows of its datagram until its time is over; an exact copy is passed over.

use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;
use sluice_net::checksum::checksum;
use sluice_net::wire::ipv4;
use sluice_net::wire::ipv6::{self, FragmentHeader};
use sluice_net::{Fragment, Headers, Ip};

use crate::time::Time;

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Datagrams under way.
    pub datagrams: usize,
    /// Datagrams under way of one source.
    pub of_source: usize,
    /// Bytes of all fragments that are kept.
    pub bytes: usize,
    /// Milliseconds from the first fragment that comes to the last.
    pub lifetime: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            datagrams: 128,
            of_source: 16,
            bytes: 1 << 20,
            lifetime: 5_000,
        }
    }
}

/// Where the fixed header of IPv6 says what follows it.
const NEXT_HEADER: usize = 6;

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was the last one that was missing.
    Whole(Whole),
    /// Others are missing.
    Waiting,
    /// It is dropped.
    Refused(Refusal),
}

/// A datagram put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The frame, as if it had come whole: what stood before the packet of the first fragment stands before it. DF is clear.
    pub frame: Vec<u8>,
    /// Bytes of the largest of its fragments, as IP packets: as much passes between the two.
    pub largest: u16,
}

/// Why a fragment is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none, has no data, or no whole units of 8 bytes though others follow.
    Malformed,
    /// It overlaps another one of its datagram, or one has.
    Overlap,
    /// The frame would be longer than 65,535 bytes.
    TooLong,
    /// Its source has too many datagrams under way.
    SourceLimit,
    /// There is no room for it alone.
    NoRoom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key<K> {
    at: K,
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// 0 for IPv6.
    proto: u8,
}

#[derive(Debug)]
struct Datagram {
    since: Time,
    /// Which of two that began at the same time is older.
    number: u64,
    spoiled: bool,
    /// What stands before the payload of the first fragment.
    head: Option<Vec<u8>>,
    /// Pieces by where they begin.
    parts: Vec<(usize, Vec<u8>)>,
    end: Option<usize>,
    bytes: usize,
    largest: u16,
}

/// Datagrams under way; `K` is where they came in.
#[derive(Debug)]
pub struct Reassembler<K> {
    settings: Settings,
    under_way: HashMap<Key<K>, Datagram>,
    bytes: usize,
    begun: u64,
}

impl<K: Copy + Eq + Hash> Reassembler<K> {
    /// Nothing is under way.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            under_way: HashMap::new(),
            bytes: 0,
            begun: 0,
        }
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A fragment came in at `at`.
    pub fn receive(&mut self, at: K, frame: &[u8], headers: &Headers, now: Time) -> Outcome {
        let Some(piece) = Piece::of(frame, headers) else {
            return Outcome::Refused(Refusal::Malformed);
        };
        let ip = piece.ip;
        let key = Key {
            at,
            src: ip.src,
            dst: ip.dst,
            id: ip.fragment_id,
            proto: if ip.is_v6() { 0 } else { ip.proto },
        };
        if let Err(refusal) = self.find_room(&key, piece.data.len(), now) {
            return Outcome::Refused(refusal);
        }
        self.begun += 1;
        let datagram = self
            .under_way
            .entry(key)
            .or_insert_with(|| Datagram::new(now, self.begun));
        let before = datagram.bytes;
        let outcome = datagram.add(&piece);
        self.bytes = self.bytes + datagram.bytes - before;
        if let Err(refusal) = outcome {
            return Outcome::Refused(refusal);
        }
        if !datagram.is_whole() {
            return Outcome::Waiting;
        }
        let Some(datagram) = self.forget(&key) else {
            return Outcome::Waiting;
        };
        match datagram.join(ip.is_v6(), usize::from(headers.l3_offset)) {
            Some(whole) => Outcome::Whole(whole),
            None => Outcome::Refused(Refusal::TooLong),
        }
    }

    /// Forgets what is too old; how many datagrams that were.
    pub fn expire(&mut self, now: Time) -> usize {
        let before = self.under_way.len();
        let lifetime = u64::from(self.settings.lifetime);
        let bytes = &mut self.bytes;
        self.under_way.retain(|_, datagram| {
            let stays = now.since(datagram.since) < lifetime;
            if !stays {
                *bytes -= datagram.bytes;
            }
            stays
        });
        before - self.under_way.len()
    }

    /// When [`Reassembler::expire`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let oldest = self.under_way.values().map(|datagram| datagram.since).min();
        oldest.map(|since| since.plus(self.settings.lifetime))
    }

    /// Room for a piece: the oldest of other datagrams give way.
    fn find_room(&mut self, key: &Key<K>, len: usize, now: Time) -> Result<(), Refusal> {
        self.expire(now);
        if len > self.settings.bytes {
            return Err(Refusal::NoRoom);
        }
        let new = !self.under_way.contains_key(key);
        let same = |other: &&Key<K>| (other.at, other.src) == (key.at, key.src);
        if new && self.under_way.keys().filter(same).count() >= self.settings.of_source {
            return Err(Refusal::SourceLimit);
        }
        while self.bytes + len > self.settings.bytes
            || new && self.under_way.len() >= self.settings.datagrams
        {
            let others = self.under_way.iter().filter(|(other, _)| *other != key);
            let oldest = others.min_by_key(|(_, datagram)| datagram.number);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                return Err(Refusal::NoRoom);
            };
            self.forget(&oldest);
        }
        Ok(())
    }

    fn forget(&mut self, key: &Key<K>) -> Option<Datagram> {
        let datagram = self.under_way.remove(key)?;
        self.bytes -= datagram.bytes;
        Some(datagram)
    }
}

/// One fragment.
struct Piece<'a> {
    ip: &'a Ip,
    /// What stands before its part of the payload.
    head: &'a [u8],
    data: &'a [u8],
}

impl<'a> Piece<'a> {
    fn of(frame: &'a [u8], headers: &'a Headers) -> Option<Piece<'a>> {
        let ip = headers.ip()?;
        let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
        let len = usize::from(ip.extent.len);
        let (head, data) = frame.get(..end)?.split_at_checked(end.checked_sub(len)?)?;
        let units = !ip.extent.more || len.is_multiple_of(8);
        (ip.fragment != Fragment::None && len > 0 && units).then_some(Piece { ip, head, data })
    }
}

impl Datagram {
    fn new(since: Time, number: u64) -> Self {
        Self {
            since,
            number,
            spoiled: false,
            head: None,
            parts: Vec::new(),
            end: None,
            bytes: 0,
            largest: 0,
        }
    }

    fn add(&mut self, piece: &Piece<'_>) -> Result<(), Refusal> {
        if self.spoiled {
            return Err(Refusal::Overlap);
        }
        let from = usize::from(piece.ip.extent.offset);
        let to = from + piece.data.len();
        let more = piece.ip.extent.more;
        let copy = self
            .parts
            .iter()
            .any(|(start, data)| (*start, data.as_slice()) == (from, piece.data));
        if copy && (self.end == Some(to)) != more {
            return Ok(());
        }
        let overlaps = |(start, data): &(usize, Vec<u8>)| from < start + data.len() && *start < to;
        let beyond = self.end.is_some_and(|end| to > end || to == end && more);
        let cuts = !more
            && (self.end.is_some()
                || self
                    .parts
                    .iter()
                    .any(|(start, data)| start + data.len() > to));
        if self.parts.iter().any(overlaps) || beyond || cuts {
            self.spoiled = true;
            self.bytes = 0;
            self.parts = Vec::new();
            return Err(Refusal::Overlap);
        }
        if from == 0 {
            self.head = Some(piece.head.to_vec());
        }
        if !more {
            self.end = Some(to);
        }
        self.largest = self.largest.max(piece.ip.total_len);
        self.bytes += piece.data.len();
        self.parts.push((from, piece.data.to_vec()));
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.end == Some(self.bytes)
    }

    fn join(mut self, v6: bool, l3: usize) -> Option<Whole> {
        let mut frame = self.head?;
        match v6 {
            false => header_v4(frame.get_mut(l3..)?, self.bytes)?,
            true => frame = header_v6(&frame, l3, self.bytes)?,
        }
        self.parts.sort_unstable_by_key(|(start, _)| *start);
        for (_, data) in &self.parts {
            frame.extend_from_slice(data);
        }
        (frame.len() <= usize::from(u16::MAX)).then_some(Whole {
            frame,
            largest: self.largest,
        })
    }
}

/// Makes the header of the first fragment that of a packet with a payload of `len` bytes.
fn header_v4(header: &mut [u8], len: usize) -> Option<()> {
    let total = u16::try_from(header.len() + len).ok()?;
    header.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
    header.get_mut(6..8)?.fill(0);
    header
        .get_mut(ipv4::CHECKSUM_OFFSET..ipv4::CHECKSUM_OFFSET + 2)?
        .fill(0);
    let sum = checksum(header);
    header
        .get_mut(ipv4::CHECKSUM_OFFSET..ipv4::CHECKSUM_OFFSET + 2)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(())
}

/// The headers of the first fragment without the fragment header, with a payload of `len` bytes behind them.
fn header_v6(head: &[u8], l3: usize, len: usize) -> Option<Vec<u8>> {
    let at = head.len().checked_sub(size_of::<FragmentHeader>())?;
    let (before, fragment) = head.split_at_checked(at)?;
    let mut frame = before.to_vec();
    // Who announces the fragment header: the fixed header, or the last extension header before it.
    let mut announces = l3 + NEXT_HEADER;
    let mut next = l3 + ipv6::LEN;
    while next < at {
        announces = next;
        next += 8 + usize::from(*before.get(next + 1)?) * 8;
    }
    *frame.get_mut(announces)? = *fragment.first()?;
    let payload = at.checked_sub(l3 + ipv6::LEN)? + len;
    let payload = u16::try_from(payload).ok()?;
    frame
        .get_mut(l3 + 4..l3 + 6)?
        .copy_from_slice(&payload.to_be_bytes());
    Some(frame)
}

#[cfg(test)]
mod tests;
