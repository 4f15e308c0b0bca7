//! Benchmarks and load tools.
//!
//! ```text
//!  scenario ──► traffic ──► rig (in each contestant) ──► bench ──► report
//!  a network    records     net_null, replaced           windows   table, JSON, charts
//! ```
//!
//! - [`mod@bench`] compares our worker with others on one core; [`scenario`] says what they do, [`traffic`] what
//!   arrives, [`rig`] how it gets in and out, [`contestant`] who they are, [`report`] what is told.
//! - [`stages`] says where the cycles of our worker go; [`instructions`] counts those of a [`replay`] in memory.
//! - [`scale`] measures how long a node needs for a large topology, from the files to the published tables,
//!   and how much memory.
//! - [`connections`] opens millions of connections in one worker and lets them end.
//! - [`attack`] fills the table of connections and measures established ones while others knock.
//! - [`routes`] measures a router with a full table: memory with a reload, and look-ups.
//! - `wire` is the rig of two processes: throughput and latency.
//! - `linux` measures forwarding in the kernel, on a rig of its own.
//! - [`workers`] compares two workers on shared tables with one alone.
//! - [`mutate`] feeds damaged frames to a whole gateway in memory.

pub mod attack;
pub mod bench;
pub mod connections;
pub mod contestant;
pub mod instructions;
#[cfg(feature = "dpdk")]
pub mod linux;
pub mod mutate;
pub mod replay;
pub mod report;
pub mod rig;
pub mod routes;
pub mod scale;
pub mod scenario;
pub mod stages;
pub mod traffic;
#[cfg(feature = "dpdk")]
pub mod wire;
pub mod workers;
