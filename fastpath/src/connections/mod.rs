//! The connection table: every translated or tracked flow of the node, found from either direction by one
//! look-up, shared by all workers without locks.
//!
//! Identity is `(zone, 5-tuple)` per direction; both keys of a connection are indexed. Readers are any
//! thread; the one writer of a connection is the worker that owns it. `README.md` in this folder draws the
//! memory layout and says what a reader may see and why.
//!
//! - [`key`]: flow keys, directions, rewrites, the keyed hash
//! - [`state`]: protocol states and timeouts as pure functions
//! - [`sequence`]: where a TCP stream is
//! - [`table`]: the shared table: look-ups, consistent copies, scans
//! - [`worker`]: what one worker may do: insert, expire, close
//! - [`touch`]: what a packet does to its connection
//! - [`ports`]: the choice of source ports and echo identifiers for SNAT

mod entry;
mod holds;
mod index;
pub mod key;
mod memory;
mod orders;
pub mod ports;
pub mod sequence;
mod slots;
mod sources;
pub mod state;
pub mod table;
mod timers;
pub mod touch;
pub mod worker;

pub use key::{Direction, FlowKey4, Rewrite};
pub use ports::{Choice, PortChooser, PortRequest};
pub use sequence::Segment;
pub use state::{Standing, State, TcpFlags, Timeouts};
pub use table::{ConnRef, Connection, ConnectionTable, Flags, Hit};
pub use touch::Touch;
pub use worker::{Ending, First, Hashes, InsertError, Inserted, NewConnection, WorkerConnections};

#[cfg(test)]
mod tests;
