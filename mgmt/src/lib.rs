//! Topology, configuration, compile, reload, control socket: the daemon sluiced and the command sluicectl

pub mod compile;
pub mod config;
pub mod topology;
