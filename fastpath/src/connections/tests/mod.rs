//! What a table promises, from the outside; each file asks one question, of either family.

mod families;
mod states;
mod v4;
mod v6;

use std::sync::Arc;

use super::*;
use crate::ids::{PathId, Tick, WorkerId, Zone};

const START: Tick = Tick(1_000_000);
const INSIDE: Zone = Zone(7);
const OUTSIDE: Zone = Zone(0xab_cdef);

/// A sequence of numbers for tests that want many cases at a fixed cost.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        (((hash::split_mix(&mut self.0) >> 32) * u64::from(sides)) >> 32) as u32
    }
}
