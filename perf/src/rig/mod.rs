//! The test bed inside a contestant's process, seen from both ends.
//!
//! ```text
//!  this process                    control file            the contestant's process
//!  Control::play ── feeds ──────► /dev/shm/... ──────────► rig/rig.c: receives and sends in place of a driver
//!  Control::reading, samples ◄───────────────── counts ──┘
//! ```
//!
//! A second rig has the generator in this process: [`Wire`] sends by schedule over rings of shared memory, and the
//! object in the contestant's process takes frames off them.
//!
//! The rig replaces the receive and transmit functions of two `net_null` ports, so a packet costs the same
//! in every contestant before it gets it and after it gave it back. It is linked into this program
//! ([`attach`]) and preloaded into others ([`OBJECT`]).

mod control;

#[allow(unsafe_code)]
mod follow;

#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
pub mod attach;

#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
mod wire;

#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
mod kernel;

#[cfg(feature = "dpdk")]
pub use kernel::kernel_send;
#[cfg(feature = "dpdk")]
pub use wire::{Schedule, Sent, Wire, time_stamp};

pub use control::{Control, Feed, Playing, Reading, Sample};
pub use follow::follow;

/// The rig as an object to be preloaded with `LD_PRELOAD`; `SLUICE_RIG` names the control file.
#[cfg(feature = "dpdk")]
pub const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rig.so"));

/// DPDK's name of the device of each side.
pub const DEVICES: [&str; 2] = ["net_null0", "net_null1"];
