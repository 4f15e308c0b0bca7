//! Benchmarks and load tools.
//!
//! [`scale`] measures how long a node needs for a large topology, from the files to the published tables,
//! and how much memory.
//! - [`mutate`] feeds damaged frames to a whole gateway in memory.

pub mod mutate;
pub mod scale;
