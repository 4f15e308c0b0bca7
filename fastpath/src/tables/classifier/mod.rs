//! The first of many rules that a packet fits.
//!
//! A rule is a conjunction: each *part* of the packet that it names (a field, some bits of one, a logical port)
//! must be in a set of numbers. Every part that any rule names is one dimension, and is looked at once a packet:
//!
//! ```text
//!  part of the packet ── Ranks ──► interval ──► row: one bit a rule, set where this part does not speak against it
//!       ip4.src     10.0.0.7          412          0000 0100 ...
//!       tcp.dst     443                17          0110 0101 ...
//!       inport      vm1                 3          1110 0100 ...
//!                                          and:    0000 0100 ...   the lowest bit is the first rule that fits
//! ```
//!
//! Rules are in the order of precedence. Rows are kept in blocks of 512 bits: a summary has one bit a block, equal
//! blocks are stored once, empty ones not at all, so a row of ten thousand rules where three fit takes a few
//! words, and only blocks that no part rules out are read. A set of addresses is looked up in place: rules
//! that use it share its ranges, however many they are.
//!
//! The work for a packet is one look-up a dimension and, at worst, one pass over the rows.

mod build;
mod ranges;
mod ranks;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;
use sluice_net::{Field, Headers};

use crate::ids::PortId;

pub use build::{Builder, Condition, SetId, TooComplex};
pub use ranges::{Range, Ranges, ones};
use ranks::Ranks;

/// Most different parts of packets that the rules of one classifier may look at.
pub const MAX_DIMENSIONS: usize = 32;
/// Most rules of a classifier.
pub const MAX_RULES: usize = 1 << 16;

/// Where a number that rules look at comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The logical port the packet came in by.
    InPort,
    /// The logical port it is to leave by.
    OutPort,
    /// A field of its headers.
    Header(Field),
}

impl Subject {
    /// How many bits it has.
    pub const fn bits(self) -> u8 {
        match self {
            Self::InPort | Self::OutPort => 32,
            Self::Header(field) => field.bits(),
        }
    }
}

/// Some bits of a subject: their number is what is left when the others are dropped and the zeros below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// Where it is.
    pub subject: Subject,
    /// Which bits; not zero.
    pub mask: u128,
}

impl Part {
    /// The whole of a subject.
    pub const fn whole(subject: Subject) -> Self {
        Self {
            subject,
            mask: ones(subject.bits()),
        }
    }

    /// How many bits its numbers have.
    pub const fn bits(self) -> u8 {
        let used = 128 - self.mask.leading_zeros() - self.mask.trailing_zeros();
        used as u8
    }

    /// The number of these bits in a number of the subject.
    #[inline]
    pub const fn of(self, value: u128) -> u128 {
        (value & self.mask) >> (self.mask.trailing_zeros() & 127)
    }
}

/// A packet as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'h> {
    /// Its headers.
    pub headers: &'h Headers,
    /// The logical port it came in by, if it is known.
    pub in_port: Option<PortId>,
    /// The logical port it is to leave by, if that is decided.
    pub out_port: Option<PortId>,
}

impl Packet<'_> {
    /// What is there; `None` when the packet is of another protocol. No port is a number that no port has.
    #[inline]
    fn read(&self, subject: Subject) -> Option<u128> {
        let port = |port: Option<PortId>| Some(port.map_or(u32::MAX, |port| port.0).into());
        match subject {
            Subject::InPort => port(self.in_port),
            Subject::OutPort => port(self.out_port),
            Subject::Header(field) => field.read(self.headers),
        }
    }
}

/// Rules, made to be looked up. See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classifier {
    dimensions: Box<[Dimension]>,
    rows: Rows,
    rules: usize,
}

/// A part that rules look at.
#[derive(Clone, Debug, PartialEq)]
struct Dimension {
    part: Part,
    /// Where the intervals begin, but the first, which begins at zero.
    begins: Begins,
    /// Where the row of each interval begins.
    rows: Box<[u32]>,
}

/// By width, so that narrow parts take less memory and time.
#[derive(Clone, Debug, PartialEq)]
enum Begins {
    Narrow(Ranks<u32>),
    Middle(Ranks<u64>),
    Wide(Ranks<u128>),
}

impl Begins {
    #[inline]
    fn rank(&self, value: u128) -> usize {
        match self {
            Self::Narrow(ranks) => ranks.rank(value as u32),
            Self::Middle(ranks) => ranks.rank(value as u64),
            Self::Wide(ranks) => ranks.rank(value),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Narrow(ranks) => ranks.memory(),
            Self::Middle(ranks) => ranks.memory(),
            Self::Wide(ranks) => ranks.memory(),
        }
    }
}

/// Bits of a block.
const BLOCK: usize = 512;

/// One bit for each of [`BLOCK`] rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Block([u64; BLOCK / 64]);

/// All rows of a classifier. The first one, at 0, has a bit for every rule.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rows {
    /// Words of 64 bits of a summary.
    width: usize,
    /// Row after row, so that one cache line most often has all of it: the summary, with one bit for each block that
    /// is not empty, lower halves of its words first; then the numbers of these blocks.
    words: Box<[u32]>,
    blocks: Box<[Block]>,
}

impl Rows {
    /// A word of the summary of the row that begins at `row`.
    #[inline]
    fn summary(&self, row: u32, word: usize) -> u64 {
        let at = row as usize + 2 * word;
        match self.words.get(at..at + 2) {
            Some(&[low, high]) => u64::from(low) | u64::from(high) << 32,
            _ => 0,
        }
    }

    /// A block of a row. `before` is the number of blocks in earlier words of the row's summary.
    #[inline]
    fn block(&self, row: u32, before: u32, summary: u64, bit: u32) -> Option<&Block> {
        let rank = before + (summary & ((1 << bit) - 1)).count_ones();
        let at = row as usize + 2 * self.width + rank as usize;
        self.blocks.get(*self.words.get(at)? as usize)
    }
}

/// The row of one part of a packet.
#[derive(Clone, Copy)]
struct Seen {
    row: u32,
    /// Blocks in the words of the summary that have been passed.
    before: u32,
    /// The word at hand.
    summary: u64,
}

impl Classifier {
    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules
    }

    /// How many parts of a packet are looked at.
    pub fn dimensions(&self) -> usize {
        self.dimensions.len()
    }

    /// Where the numbers come from that rules look at, one a dimension.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        self.dimensions
            .iter()
            .map(|dimension| dimension.part.subject)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let rows = &self.rows;
        let of_dimension = |d: &Dimension| d.begins.memory() + size_of_val(&*d.rows);
        self.dimensions.iter().map(of_dimension).sum::<usize>()
            + size_of_val(&*rows.words)
            + size_of_val(&*rows.blocks)
    }

    /// The rows of a packet: to be asked which rules it fits.
    #[inline]
    pub fn look(&self, packet: &Packet<'_>) -> Look<'_> {
        let mut rows = ArrayVec::new();
        // Where nothing is looked at, every rule fits.
        rows.push(0);
        for dimension in &self.dimensions {
            // A part that the packet does not have: whoever names it also names what it is a part of, and that
            // rules him out.
            let Some(value) = packet.read(dimension.part.subject) else {
                continue;
            };
            let interval = dimension.begins.rank(dimension.part.of(value));
            let row = dimension.rows.get(interval).copied().unwrap_or(0);
            let _ = rows.try_push(row);
        }
        Look {
            rows: &self.rows,
            seen: rows,
        }
    }
}

/// What one packet fits.
#[derive(Clone, Debug)]
pub struct Look<'c> {
    rows: &'c Rows,
    seen: ArrayVec<u32, { MAX_DIMENSIONS + 1 }>,
}

impl Look<'_> {
    /// The first rule from number `from` on that fits.
    #[inline]
    pub fn first(&self, from: usize) -> Option<usize> {
        self.find(from, |_| u64::MAX)
    }

    /// The first rule that fits and is marked in `wanted`, which has one bit a rule.
    pub fn first_of(&self, wanted: &[u64]) -> Option<usize> {
        self.find(0, |word| wanted.get(word).copied().unwrap_or(0))
    }

    #[inline]
    fn find(&self, from: usize, wanted: impl Fn(usize) -> u64) -> Option<usize> {
        let rows = self.rows;
        let mut seen: ArrayVec<Seen, { MAX_DIMENSIONS + 1 }> = ArrayVec::new();
        for &row in &self.seen {
            let _ = seen.try_push(Seen {
                row,
                before: 0,
                summary: 0,
            });
        }
        for word in 0..rows.width {
            let mut candidates = u64::MAX;
            for seen in &mut seen {
                seen.before += seen.summary.count_ones();
                seen.summary = rows.summary(seen.row, word);
                candidates &= seen.summary;
            }
            while candidates != 0 {
                let bit = candidates.trailing_zeros();
                candidates &= candidates - 1;
                let number = word * 64 + bit as usize;
                if (number + 1) * BLOCK <= from {
                    continue;
                }
                let common = common(rows, &seen, bit);
                if let Some(rule) = lowest(&common, number, from, &wanted) {
                    return Some(rule);
                }
            }
        }
        None
    }
}

/// The rules of a block that all parts of the packet leave.
#[inline]
fn common(rows: &Rows, seen: &[Seen], bit: u32) -> [u64; BLOCK / 64] {
    let mut common = [u64::MAX; BLOCK / 64];
    for seen in seen {
        let Some(block) = rows.block(seen.row, seen.before, seen.summary, bit) else {
            return [0; BLOCK / 64];
        };
        for (word, other) in common.iter_mut().zip(&block.0) {
            *word &= other;
        }
    }
    common
}

/// The first rule in block `number` that is set, wanted, and not before `from`.
#[inline]
fn lowest(
    block: &[u64; BLOCK / 64],
    number: usize,
    from: usize,
    wanted: &impl Fn(usize) -> u64,
) -> Option<usize> {
    for (word, at) in block.iter().zip(number * (BLOCK / 64)..) {
        let skipped = from.saturating_sub(at * 64);
        if *word == 0 || skipped >= 64 {
            continue;
        }
        let left = word & wanted(at) & (u64::MAX << skipped);
        if left != 0 {
            return Some(at * 64 + left.trailing_zeros() as usize);
        }
    }
    None
}
