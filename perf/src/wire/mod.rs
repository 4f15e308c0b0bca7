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

use crate::scenario::Scenario;

pub use bed::{Bed, Trial};
pub use latency::{HEADING, Latency, Measured as LatencyMeasured, bar, run as latency};
pub use search::{Goal, Tried, search};
pub use throughput::{Measured as ThroughputMeasured, Throughput, run as throughput};

/// A scenario of this rig by the name that people write.
///
/// # Errors
/// All names when it is none, or why it is not on this rig.
fn scenario(name: &str) -> Result<&'static Scenario, String> {
    let scenario = crate::bench::scenario(name)?;
    if scenario.opens() {
        return Err("not on this rig, whose records come again as they are; see `bench`".into());
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use crate::scenario::{ALL, Place};

    #[test]
    fn only_records_that_come_again_as_they_are_are_on_this_rig() {
        // A million routes take too long here.
        for one in ALL.iter().filter(|one| one.name != "l3-full-table") {
            let network = one.network(&Place {
                cpus: vec![0],
                connections: 1 << 16,
            });
            let steady = network.lap_at.is_none();
            assert_eq!(super::scenario(one.name).is_ok(), steady, "{}", one.name);
        }
        assert!(super::scenario("nonsense").is_err());
    }
}
