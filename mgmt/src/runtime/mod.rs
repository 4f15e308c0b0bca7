//! What runs: workers, slow path, and the state that everybody outside the packet path reads.
//!
//! ```text
//!   sluiced ── hardware (DPDK or memory) ──► start ──► Running: threads, ended by stop
//!                                              │
//!                                              └─► State: shared by control, reload, supervisor
//! ```

mod interfaces;
pub(crate) mod limits;
mod start;
mod state;
mod supervisor;

#[cfg(feature = "dpdk")]
pub mod dpdk;
#[cfg(test)]
pub(crate) mod testing;

pub use interfaces::{InterfaceStatus, Interfaces};
pub use start::{Hardware, Running, StartError, start};
pub use state::{Configuration, State, WorkerState};
