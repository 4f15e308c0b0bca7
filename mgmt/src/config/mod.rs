//! TOML in, checked configuration out.
//!
//! ```text
//! node.toml -----> Node -------+
//!     |                        +--> checks --> Loaded
//!     +--> topology.toml --> Topology --> Resolved
//!              +--> routes files
//!
//! whatever is wrong, all at once --> Diagnostics
//! ```
//!
//! Every key is said in exactly one way, and an unknown key is an error. What a key means is in
//! `configs/README.md`.

mod diagnostic;
mod host;
mod load;
mod locate;
mod node;
mod node_check;
mod node_file;
mod router_file;
mod routes_file;
mod section;
mod topology_file;
mod values;

pub use diagnostic::{Diagnostics, Finding, Severity};
pub use host::Host;
pub use load::{Loaded, load, load_on, parse_topology};
pub use node::{
    Control, Dataplane, Hugepages, Idle, Interface, Log, LogFormat, LogLevel, Node, Underlay,
};
