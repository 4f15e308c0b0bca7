//! The comparison: every contestant's turn after the other's, again and again, on one core.

mod result;
mod run;
mod window;

pub use result::{Cell, Outcome, Results, median};
#[cfg(feature = "dpdk")]
pub(crate) use run::begin;
pub use run::{Bench, alone, run, scenario};
pub(crate) use run::{place, playing, site, verify};
pub use window::Window;
pub(crate) use window::{LENGTH, TRIES, WARM, first_lap};
