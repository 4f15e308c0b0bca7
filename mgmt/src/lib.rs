//! Topology, configuration, compile, reload, control socket: the daemon sluiced and the command sluicectl

pub mod compile;
pub mod config;
pub mod control;
pub mod logging;
pub mod metrics;
pub mod reload;
pub mod runtime;
pub mod show;
pub mod topology;
pub mod trace;
