//! The control socket: how `sluicectl` talks to a running `sluiced`.
//!
//! ```text
//!  sluicectl ── one JSON request a line ──►  server ── thread a client
//!            ◄─ one or more JSON replies ──     │
//!               a line each; the last one       ├─ show, trace, metrics: read shared, lock-free state
//!               is `done` or `error`            ├─ reload, check: the reload thread, one at a time
//!                                               └─ flush: the slow path's and the workers' queues
//! ```
//!
//! Nothing here is waited for by a worker or by the slow path.

pub mod client;
pub mod protocol;
pub mod server;

mod answer;
pub(crate) mod flush;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientError};
pub use protocol::{Command, PROTOCOL, Reply, Request};
pub use server::{Server, ServerError};
