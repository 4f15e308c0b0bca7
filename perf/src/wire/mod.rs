//! Two processes: a generator of its own on one core, a contestant on the other, rings of shared memory between.
//!
//! ```text
//!  this process, CPU 0               /dev/shm                     the contestant's process, CPU 1
//!  schedule ─► frames, numbered ──► rings of 2,048 slots ──► rig.c instead of a driver ─► worker
//!  when due ─► latency, loss  ◄──── rings of 2,048 slots ◄── rig.c ◄──────────────────────┘
//! ```
//!
//! Frames are sent when they are due whatever the contestant does, and latency counts from then. A frame for
//! which a ring has no room is lost, as in a network card. Between windows the contestant is stopped and a
//! probe measures what a cache line takes from one core to the other; windows around which that was not what
//! it is at best do not count.

mod bed;
mod latency;
mod probe;
mod search;
mod throughput;

pub use bed::{Bed, Trial};
pub use latency::{HEADING, Latency, Measured as LatencyMeasured, bar, run as latency};
pub use search::{Goal, Tried, search};
pub use throughput::{Measured as ThroughputMeasured, Throughput, run as throughput};
