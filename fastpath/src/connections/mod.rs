//! The connection table: every translated or tracked flow of the node, found from either direction by one
//! look-up, shared by all workers without locks.
//!
//! Identity is `(zone, 5-tuple)` per direction; both keys of a connection are indexed. Readers are any
//! thread; the one writer of a connection is the worker that owns it. `README.md` in this folder draws the
//! memory layout and says what a reader may see and why.
//!
//! IPv4 and IPv6 have a table each, of one make; a number's type tells which ([`Address`]).
//!
//! - [`key`]: flow keys, directions, rewrites
//! - [`connection`]: what is known of one
//! - [`state`]: protocol states and timeouts as pure functions
//! - [`sequence`]: where a TCP stream is
//! - [`families`]: both tables of a node, and a worker's ends of them
//! - [`table`]: the shared table of a family: look-ups, consistent copies, scans
//! - [`writer`]: what one worker may do with it: insert, expire, close
//! - [`touch`]: what a packet does to its connection
//! - [`ports`]: the choice of source ports and echo identifiers for SNAT

mod address;
pub mod connection;
mod entry;
pub mod families;
mod hash;
mod holds;
mod index;
pub mod key;
mod line;
pub mod mapping;
mod memory;
mod orders;
pub mod ports;
pub mod sequence;
mod slots;
mod sources;
pub mod state;
pub mod table;
mod ties;
mod timers;
pub mod touch;
pub mod writer;

pub use address::Address;
pub use connection::{ConnRef, Connection, Flags, Hit};
pub use families::{Capacity, ConnectionTable, WorkerConnections};
pub(crate) use hash::{fold, split_mix};
pub use key::{Direction, FlowKey, FlowKey4, FlowKey6, Rewrite};
pub use mapping::{Held, Mapping, Rests};
pub use ports::{Choice, PortChooser, PortRequest};
pub use sequence::Segment;
pub use state::{Standing, State, TcpFlags, Timeouts};
pub use table::Table;
pub use touch::Touch;
pub use writer::{Ending, First, Hashes, InsertError, Inserted, NewConnection, Writer};

#[cfg(test)]
mod tests;
