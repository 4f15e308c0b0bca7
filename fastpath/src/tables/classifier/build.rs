//! Building a classifier: one sweep along the numbers of each dimension.
//!
//! The sweep meets the borders of all sets in order. Between two borders the same sets hold, and what holds is known
//! by a signature, the exclusive or of a number drawn for each set: a signature that was met before has its row
//! already. For a new one the bits of the rules concerned by what changed since the last row are turned over.

use hashbrown::HashMap;
use thiserror::Error;

use super::ranges::ones;
use super::ranks::Ranks;
use super::{
    BLOCK, Begins, Block, Classifier, Dimension, MAX_DIMENSIONS, MAX_RULES, Part, Ranges, Rows,
};

/// Most blocks of a classifier: 64 MiB.
const MAX_BLOCKS: usize = 1 << 20;
/// Most words of all its rows: 64 MiB.
const MAX_WORDS: usize = 1 << 24;

/// A set of numbers that rules may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(u32);

/// What a rule asks of one part of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The part.
    pub part: Part,
    /// Its number is in one of these sets; or, if `negated`, in none.
    pub sets: Vec<SetId>,
    /// Which of the two.
    pub negated: bool,
}

/// Why rules cannot be put into one classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TooComplex {
    /// More than [`MAX_RULES`].
    #[error("more than {MAX_RULES} conjunctions")]
    Rules,
    /// More than [`MAX_DIMENSIONS`].
    #[error("more than {MAX_DIMENSIONS} different parts of packets are compared")]
    Dimensions,
    /// The rows would take more than 128 MiB.
    #[error("the rules overlap too much: their tables would take more than 128 MiB")]
    Memory,
}

/// Gathers rules in the order of precedence.
#[derive(Debug, Default)]
pub struct Builder {
    sets: Vec<Ranges>,
    known: HashMap<Ranges, SetId>,
    dimensions: Vec<Gathered>,
    by_part: HashMap<(Part, usize), usize>,
    rules: usize,
}

/// What rules ask of one part.
#[derive(Debug)]
struct Gathered {
    part: Part,
    demands: Vec<Demand>,
    known: HashMap<(Vec<SetId>, bool), usize>,
}

/// A condition and the rules that have it.
#[derive(Debug)]
struct Demand {
    sets: Vec<SetId>,
    negated: bool,
    rules: Vec<u32>,
}

impl Builder {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// A set for conditions. Equal ones are the same.
    pub fn set(&mut self, ranges: Ranges) -> SetId {
        let next = SetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        if let Some(known) = self.known.get(&ranges) {
            return *known;
        }
        self.sets.push(ranges.clone());
        self.known.insert(ranges, next);
        next
    }

    /// Adds a rule after all others: every condition must hold. Two conditions may ask for the same part.
    ///
    /// # Errors
    /// [`TooComplex::Rules`] or [`TooComplex::Dimensions`].
    pub fn rule(&mut self, conditions: &[Condition]) -> Result<(), TooComplex> {
        if self.rules == MAX_RULES {
            return Err(TooComplex::Rules);
        }
        let rule = self.rules as u32;
        self.rules += 1;
        for (at, condition) in conditions.iter().enumerate() {
            let before = conditions.get(..at).unwrap_or_default();
            let nth = before.iter().filter(|c| c.part == condition.part).count();
            let dimension = self.dimension(condition.part, nth)?;
            dimension.demand(condition, rule);
        }
        Ok(())
    }

    /// The dimension of the `nth` condition that a rule has for a part.
    fn dimension(&mut self, part: Part, nth: usize) -> Result<&mut Gathered, TooComplex> {
        let next = self.dimensions.len();
        let at = *self.by_part.entry((part, nth)).or_insert(next);
        if at == next {
            if next == MAX_DIMENSIONS {
                return Err(TooComplex::Dimensions);
            }
            self.dimensions.push(Gathered {
                part,
                demands: Vec::new(),
                known: HashMap::new(),
            });
        }
        self.dimensions.get_mut(at).ok_or(TooComplex::Dimensions)
    }

    /// Makes the classifier.
    ///
    /// # Errors
    /// [`TooComplex::Memory`].
    pub fn build(self) -> Result<Classifier, TooComplex> {
        let mut store = Store::new(self.rules);
        let mut dimensions = Vec::with_capacity(self.dimensions.len());
        let all = store.everything();
        store.push(&all)?;
        for gathered in &self.dimensions {
            dimensions.push(Sweep::new(&self.sets, gathered, self.rules).run(&mut store)?);
        }
        Ok(Classifier {
            dimensions: dimensions.into(),
            rows: store.rows(),
            rules: self.rules,
        })
    }
}

impl Gathered {
    fn demand(&mut self, condition: &Condition, rule: u32) {
        let mut sets = condition.sets.clone();
        sets.sort_unstable();
        sets.dedup();
        let next = self.demands.len();
        let key = (sets, condition.negated);
        let at = *self.known.entry_ref(&key).or_insert(next);
        if let Some(demand) = self.demands.get_mut(at) {
            demand.rules.push(rule);
            return;
        }
        let (sets, negated) = key;
        self.demands.push(Demand {
            sets,
            negated,
            rules: vec![rule],
        });
    }
}

/// Rows as they are made.
struct Store {
    rules: usize,
    blocks: Vec<Block>,
    known: HashMap<Block, u32>,
    words: Vec<u32>,
}

impl Store {
    fn new(rules: usize) -> Self {
        Self {
            rules,
            blocks: Vec::new(),
            known: HashMap::new(),
            words: Vec::new(),
        }
    }

    /// Words of 64 bits of a summary.
    fn width(&self) -> usize {
        self.rules.div_ceil(BLOCK).div_ceil(64)
    }

    /// The number of a block; `None` of an empty one.
    fn block(&mut self, block: &Block) -> Option<u32> {
        if block.0 == [0; BLOCK / 64] {
            return None;
        }
        let next = self.blocks.len() as u32;
        let id = *self.known.entry(*block).or_insert(next);
        if id == next {
            self.blocks.push(*block);
        }
        Some(id)
    }

    /// Every rule.
    fn everything(&mut self) -> Vec<Option<u32>> {
        let mut bits = Bits::new(self.rules);
        (0..self.rules as u32).for_each(|rule| bits.flip(rule));
        let blocks = bits.blocks;
        blocks.iter().map(|block| self.block(block)).collect()
    }

    /// Adds a row, given by its blocks, and returns where it begins.
    fn push(&mut self, blocks: &[Option<u32>]) -> Result<u32, TooComplex> {
        let row = self.words.len();
        self.words.resize(row + 2 * self.width(), 0);
        for (number, id) in blocks.iter().enumerate() {
            let Some(id) = id else { continue };
            self.words.push(*id);
            if let Some(half) = self.words.get_mut(row + number / 32) {
                *half |= 1 << (number % 32);
            }
        }
        if self.blocks.len() > MAX_BLOCKS || self.words.len() > MAX_WORDS {
            return Err(TooComplex::Memory);
        }
        Ok(row as u32)
    }

    fn rows(self) -> Rows {
        Rows {
            width: self.width(),
            words: self.words.into(),
            blocks: self.blocks.into(),
        }
    }
}

/// One bit a rule.
struct Bits {
    blocks: Vec<Block>,
    /// Blocks that changed since they were last stored.
    dirty: Vec<bool>,
}

impl Bits {
    fn new(rules: usize) -> Self {
        let blocks = rules.div_ceil(BLOCK);
        Self {
            blocks: vec![Block::default(); blocks],
            dirty: vec![true; blocks],
        }
    }

    fn flip(&mut self, rule: u32) {
        let rule = rule as usize;
        let block = self.blocks.get_mut(rule / BLOCK);
        if let Some(word) = block.and_then(|block| block.0.get_mut(rule % BLOCK / 64)) {
            *word ^= 1 << (rule % 64);
        }
        if let Some(dirty) = self.dirty.get_mut(rule / BLOCK) {
            *dirty = true;
        }
    }

    fn flip_all(&mut self, others: &[Block]) {
        for ((block, other), dirty) in self.blocks.iter_mut().zip(others).zip(&mut self.dirty) {
            for (word, other) in block.0.iter_mut().zip(&other.0) {
                *word ^= other;
                *dirty |= *other != 0;
            }
        }
    }
}

/// The rules of a demand: few by number, many as bits.
enum Concerned<'g> {
    Few(&'g [u32]),
    Many(Vec<Block>),
}

/// One dimension, from its least number to its greatest.
struct Sweep<'g> {
    part: Part,
    demands: Vec<(Concerned<'g>, u32)>,
    /// Demands that use a set, by the set's place in this dimension.
    users: Vec<Vec<u32>>,
    /// Begin and end of every range: the number, and the place of its set.
    borders: Vec<(u128, u32)>,
    /// Bits as of the last new row.
    bits: Bits,
    stored: Vec<Option<u32>>,
    /// Sets that begin or end after that row, and whether they still differ.
    turned: Vec<u32>,
    differs: Vec<bool>,
    holds: Vec<bool>,
    signature: u128,
    rows: HashMap<u128, u32>,
}

impl<'g> Sweep<'g> {
    fn new(sets: &[Ranges], gathered: &'g Gathered, rules: usize) -> Self {
        let mut places: HashMap<SetId, u32> = HashMap::new();
        let mut users: Vec<Vec<u32>> = Vec::new();
        let mut borders = Vec::new();
        let mut bits = Bits::new(rules);
        // Rules that do not ask for this part, and those that ask for what is outside their sets.
        let mut asked = vec![false; rules];
        for demand in gathered.demands.iter().filter(|demand| !demand.negated) {
            for rule in &demand.rules {
                if let Some(asked) = asked.get_mut(*rule as usize) {
                    *asked = true;
                }
            }
        }
        let free = (0..).zip(&asked).filter(|(_, asked)| !**asked);
        free.for_each(|(rule, _)| bits.flip(rule));
        for (number, demand) in (0..).zip(&gathered.demands) {
            for id in &demand.sets {
                let next = users.len() as u32;
                let place = *places.entry(*id).or_insert(next);
                if place == next {
                    users.push(Vec::new());
                    let ranges = sets.get(id.0 as usize);
                    push_borders(ranges, place, gathered.part.bits(), &mut borders);
                }
                if let Some(users) = users.get_mut(place as usize) {
                    users.push(number);
                }
            }
        }
        borders.sort_unstable();
        let demands = gathered.demands.iter();
        Self {
            part: gathered.part,
            demands: demands
                .map(|d| (Concerned::of(&d.rules, rules), 0))
                .collect(),
            borders,
            stored: vec![None; bits.blocks.len()],
            bits,
            turned: Vec::new(),
            differs: vec![false; users.len()],
            holds: vec![false; users.len()],
            users,
            signature: 0,
            rows: HashMap::new(),
        }
    }

    fn run(mut self, store: &mut Store) -> Result<Dimension, TooComplex> {
        let borders = std::mem::take(&mut self.borders);
        let mut begins: Vec<u128> = Vec::new();
        let mut rows: Vec<u32> = Vec::new();
        let mut left = borders.as_slice();
        let mut at = 0;
        loop {
            let here = left.partition_point(|(number, _)| *number == at);
            let (crossed, rest) = left.split_at(here);
            crossed.iter().for_each(|(_, place)| self.turn(*place));
            let row = self.row(store)?;
            if rows.last() != Some(&row) {
                if !rows.is_empty() {
                    begins.push(at);
                }
                rows.push(row);
            }
            left = rest;
            match left.first() {
                Some((number, _)) => at = *number,
                None => break,
            }
        }
        Ok(Dimension {
            part: self.part,
            begins: Begins::of(self.part.bits(), &begins),
            rows: rows.into(),
        })
    }

    /// A set begins or ends.
    fn turn(&mut self, place: u32) {
        self.signature ^= drawn(place);
        if let Some(differs) = self.differs.get_mut(place as usize) {
            *differs = !*differs;
            self.turned.push(place);
        }
    }

    /// The row of what holds now.
    fn row(&mut self, store: &mut Store) -> Result<u32, TooComplex> {
        if let Some(row) = self.rows.get(&self.signature) {
            return Ok(*row);
        }
        self.catch_up();
        let blocks = self.bits.blocks.iter().zip(&mut self.bits.dirty);
        for ((block, dirty), stored) in blocks.zip(&mut self.stored) {
            if std::mem::take(dirty) {
                *stored = store.block(block);
            }
        }
        let row = store.push(&self.stored)?;
        self.rows.insert(self.signature, row);
        Ok(row)
    }

    /// Carries what changed since the last new row into the bits.
    fn catch_up(&mut self) {
        for place in std::mem::take(&mut self.turned) {
            let at = place as usize;
            let (Some(differs), Some(holds)) = (self.differs.get_mut(at), self.holds.get_mut(at))
            else {
                continue;
            };
            if !std::mem::take(differs) {
                continue;
            }
            *holds = !*holds;
            for demand in self.users.get(at).into_iter().flatten() {
                let Some((concerned, holding)) = self.demands.get_mut(*demand as usize) else {
                    continue;
                };
                let before = *holding;
                *holding = if *holds { before + 1 } else { before - 1 };
                if (before == 0) != (*holding == 0) {
                    concerned.flip(&mut self.bits);
                }
            }
        }
    }
}

impl<'g> Concerned<'g> {
    fn of(rules: &'g [u32], all: usize) -> Self {
        if rules.len() <= all.div_ceil(64) {
            return Self::Few(rules);
        }
        let mut bits = Bits::new(all);
        rules.iter().for_each(|rule| bits.flip(*rule));
        Self::Many(bits.blocks)
    }

    fn flip(&self, bits: &mut Bits) {
        match self {
            Self::Few(rules) => rules.iter().for_each(|rule| bits.flip(*rule)),
            Self::Many(blocks) => bits.flip_all(blocks),
        }
    }
}

impl Begins {
    fn of(bits: u8, begins: &[u128]) -> Self {
        let cast = |number: &u128| *number as u64;
        match bits {
            0..=32 => Self::Narrow(Ranks::of(
                &begins.iter().map(|b| *b as u32).collect::<Vec<_>>(),
            )),
            33..=64 => Self::Middle(Ranks::of(&begins.iter().map(cast).collect::<Vec<_>>())),
            _ => Self::Wide(Ranks::of(begins)),
        }
    }
}

fn push_borders(ranges: Option<&Ranges>, place: u32, bits: u8, borders: &mut Vec<(u128, u32)>) {
    for range in ranges.into_iter().flat_map(Ranges::iter) {
        if range.first > ones(bits) {
            continue;
        }
        borders.push((range.first, place));
        if let Some(after) = range.last.checked_add(1).filter(|a| *a <= ones(bits)) {
            borders.push((after, place));
        }
    }
}

/// A number for a set, the same in every build: splitmix64, twice.
fn drawn(place: u32) -> u128 {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let seed = u64::from(place) * 2 + 1;
    u128::from(mix(seed)) << 64 | u128::from(mix(seed + 1))
}
