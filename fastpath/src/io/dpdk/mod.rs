//! Packet I/O by DPDK: any device that `libdpdk` has a driver for.
//!
//! ```text
//! Eal::init ──> Devices::open ──> Devices::ports(worker) ──> a worker's thread polls and sends
//!                    │ pool() ──> the slow path's frames
//!                    └ device(id): MAC, link, counters, driver
//! ```
//!
//! - [`eal`]: the process-wide start of DPDK, with or without hugepages, next to other DPDK processes.
//! - [`mbuf`]: packet buffers and their pool.
//! - [`devargs`]: what the operator wrote, checked before a driver sees it and completed where a driver has a trap.
//! - [`device`], [`devices`]: one device and all of them, opened, configured and closed.
//! - [`ports`]: a worker's queues.
//! - [`kernel`]: the few questions about Linux interfaces that DPDK does not ask.
//!
//! What an operator should know about the drivers is in the README beside this module.
#![allow(unsafe_code)]

pub mod devargs;
pub mod device;
pub mod devices;
pub mod eal;
pub mod error;
pub mod kernel;
pub mod mbuf;
pub mod ports;
mod prefetch;
pub mod stats;

pub use device::Device;
pub use devices::{DeviceConfig, Devices};
pub use eal::{Eal, EalOptions, Hugepages};
pub use error::{DeviceProblem, DpdkError};
pub use mbuf::{Mbuf, Pool};
pub use ports::DpdkPorts;
pub use prefetch::prefetch;
pub use stats::{DeviceStats, Link};
