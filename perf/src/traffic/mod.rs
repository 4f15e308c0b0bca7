//! What arrives: which flows in which order, how long the frames are, and their bytes.

mod load;
mod order;
mod records;

pub use load::{Load, Order, Size, parse_flows, parse_seconds};
pub use order::{TAPE, once, parted, sequence};
pub use records::{Records, Tape, body};
