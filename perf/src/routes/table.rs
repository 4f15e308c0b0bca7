//! A routing table like that of the internet, made up.
//!
//! The space is cut into blocks of all lengths, some of which nobody announces. Other routes are parts of these
//! blocks, half of which go another way than the block (the other half are there for other reasons). Next hops
//! are taken unevenly, as a router with a few upstreams and many peers does.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Next hops of each family.
const NEXT_HOPS: u64 = 64;

/// One route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// First address; of IPv4 in the upper 32 bits.
    first: u128,
    length: u8,
    hop: u64,
}

/// The routes of one family.
#[derive(Debug)]
pub(super) struct Table {
    v6: bool,
    /// The blocks first.
    rows: Vec<Row>,
    blocks: usize,
}

/// Numbers that are the same in every run (xorshift64*).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// One of a few lengths by weight.
    fn length(&mut self, weights: &[(u8, u64)]) -> u8 {
        let mut left = self.below(weights.iter().map(|(_, weight)| weight).sum());
        for (length, weight) in weights {
            if left < *weight {
                return *length;
            }
            left -= weight;
        }
        0
    }

    /// A next hop: the first ones far more often than the last.
    fn hop(&mut self) -> u64 {
        let a = self.below(NEXT_HOPS);
        let b = self.below(NEXT_HOPS);
        a * b / NEXT_HOPS * self.below(NEXT_HOPS) / NEXT_HOPS
    }
}

/// Lengths of parts of IPv4 blocks.
const PARTS_V4: &[(u8, u64)] = &[
    (24, 75),
    (23, 8),
    (22, 8),
    (21, 3),
    (20, 3),
    (19, 2),
    (18, 1),
];
/// Lengths of IPv6 blocks, and of their parts.
const BLOCKS_V6: &[(u8, u64)] = &[
    (28, 2),
    (29, 18),
    (32, 60),
    (36, 3),
    (40, 5),
    (44, 2),
    (48, 10),
];
const PARTS_V6: &[(u8, u64)] = &[
    (33, 2),
    (34, 2),
    (36, 6),
    (40, 8),
    (44, 6),
    (46, 3),
    (47, 3),
    (48, 69),
    (64, 1),
];
/// Where IPv6 blocks lie: one region of each registry.
const REGIONS: [u128; 5] = [0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00];

impl Table {
    pub(super) fn v4(count: usize) -> Self {
        let mut dice = Dice::new(4);
        let mut rows = Vec::with_capacity(count);
        for first in 1..224u32 {
            if !matches!(first, 10 | 100 | 127) {
                cut(first << 24, 8, &mut dice, &mut rows);
            }
        }
        // A smaller table has the same lengths.
        let blocks = count / 2;
        let keep = |index: usize| index * blocks / rows.len() != (index + 1) * blocks / rows.len();
        let kept = rows.iter().enumerate().filter(|(index, _)| keep(*index));
        let rows = kept.map(|(_, row)| *row).collect();
        Self {
            v6: false,
            blocks: 0,
            rows,
        }
        .with_parts(count, PARTS_V4, &mut dice)
    }

    pub(super) fn v6(count: usize) -> Self {
        let mut dice = Dice::new(6);
        let blocks = count * 3 / 10;
        let block = |n: usize| {
            let slot = (n / REGIONS.len()) as u128;
            let region = REGIONS.get(n % REGIONS.len()).copied().unwrap_or_default();
            // A few operators have very large ones; they lie apart.
            let large = n % 500 < REGIONS.len();
            let (length, first) = if large {
                (
                    20 + dice.below(5) as u8,
                    region << 112 | slot << 108 | 1 << 115,
                )
            } else {
                (dice.length(BLOCKS_V6), region << 112 | slot << 100)
            };
            Row {
                first,
                length,
                hop: dice.hop(),
            }
        };
        let rows = (0..blocks).map(block).collect();
        Self {
            v6: true,
            blocks: 0,
            rows,
        }
        .with_parts(count, PARTS_V6, &mut dice)
    }

    /// Adds parts of the blocks until there are `count` routes.
    fn with_parts(mut self, count: usize, lengths: &[(u8, u64)], dice: &mut Dice) -> Self {
        self.blocks = self.rows.len();
        let mut known: HashSet<(u128, u8)> = self
            .rows
            .iter()
            .map(|row| (row.first, row.length))
            .collect();
        while self.rows.len() < count {
            let block = self.rows[dice.below(self.blocks as u64) as usize];
            let length = dice.length(lengths);
            if length <= block.length {
                continue;
            }
            let first = within(&block, dice) & !(u128::MAX >> length);
            if known.insert((first, length)) {
                let hop = if dice.below(2) == 0 {
                    block.hop
                } else {
                    dice.hop()
                };
                self.rows.push(Row { first, length, hop });
            }
        }
        self
    }

    /// One line of the routes file each.
    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        for row in &self.rows {
            let hop = 16 + row.hop;
            if self.v6 {
                let first = Ipv6Addr::from_bits(row.first);
                writeln!(text, "{first}/{} via fd00::{hop:x}", row.length)?;
            } else {
                let first = Ipv4Addr::from_bits((row.first >> 96) as u32);
                writeln!(text, "{first}/{} via 100.64.0.{hop}", row.length)?;
            }
        }
        Ok(())
    }

    /// Addresses uniform over the announced space.
    pub(super) fn by_space(&self, count: usize) -> Vec<u128> {
        let mut dice = Dice::new(7);
        let blocks = self.rows.get(..self.blocks).unwrap_or_default();
        // Counted in /64; no block is smaller.
        let mut sum = 0;
        let ends = blocks.iter().map(|row| {
            sum += 1u128 << (64 - row.length.min(64));
            sum
        });
        let ends: Vec<u128> = ends.collect();
        let mut address = || {
            let at = dice.wide() % sum;
            let block = blocks.get(ends.partition_point(|end| *end <= at));
            block.map_or(0, |block| within(block, &mut dice))
        };
        (0..count).map(|_| address()).collect()
    }

    /// Addresses by which every route is as likely as any other, but for what its parts take.
    pub(super) fn by_route(&self, count: usize) -> Vec<u128> {
        let mut dice = Dice::new(8);
        let mut address = || {
            let row = self.rows.get(dice.below(self.rows.len() as u64) as usize);
            row.map_or(0, |row| within(row, &mut dice))
        };
        (0..count).map(|_| address()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_v6(&self) -> bool {
        self.v6
    }
}

/// Some address of a route.
fn within(row: &Row, dice: &mut Dice) -> u128 {
    row.first | dice.wide() >> row.length
}

/// Announces a block, leaves it alone, or cuts it in two.
fn cut(first: u32, length: u8, dice: &mut Dice, rows: &mut Vec<Row>) {
    // Of a hundred: announced, and left alone.
    let (announced, alone) = match length {
        8..12 => (4, 2),
        12..16 => (8, 2),
        16 => (35, 5),
        17..20 => (20, 5),
        20..24 => (35, 5),
        _ => (75, 25),
    };
    let throw = dice.below(100);
    if throw < announced {
        let hop = dice.hop();
        rows.push(Row {
            first: u128::from(first) << 96,
            length,
            hop,
        });
    } else if throw >= announced + alone {
        cut(first, length + 1, dice, rows);
        cut(first | 1 << (31 - length), length + 1, dice, rows);
    }
}

/// The address of an IPv4 table as such.
pub(super) fn v4(address: u128) -> u32 {
    (address >> 96) as u32
}

/// An address of a table.
pub(super) fn ip(v6: bool, address: u128) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(address).into()
    } else {
        Ipv4Addr::from_bits(v4(address)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::LEAST;
    use super::*;

    #[test]
    fn the_smallest_table_is_whole() {
        for count in (LEAST as usize..).take(20) {
            for table in [Table::v4(count), Table::v6(count)] {
                let routes: HashSet<_> = table.rows.iter().map(|r| (r.first, r.length)).collect();
                assert_eq!((table.len(), routes.len()), (count, count));
                assert_eq!(table.by_space(3).len(), 3);
            }
        }
    }
}
