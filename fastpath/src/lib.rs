//! Worker loop, pipeline, stages, tables, connections and packet I/O.

pub mod connections;
pub mod counters;
mod encap;
pub mod exchange;
pub mod fragments;
pub mod glance;
pub mod ids;
pub mod io;
pub mod learned;
pub mod path;
pub mod pipeline;
pub mod rewrite;
pub mod snapshot;
pub mod spread;
pub mod stage;
pub mod tables;
pub mod trace;
pub mod verdict;
pub mod worker;
