//! The comparison: every contestant's turn after the other's, again and again, on one core.

mod result;
mod run;
mod window;

pub use result::{Cell, Outcome, Results, median};
pub use run::{Bench, alone, run, scenario};
pub use window::Window;
