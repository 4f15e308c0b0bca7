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
//! A daemon reads the same topology again and again, and most of it has not changed: its [`Loader`] remembers what
//! each switch, router and chassis said.
//!
//! Every key is said in exactly one way, and an unknown key is an error. What a key means is in
//! `configs/README.md`.

mod acl_file;
mod balancer_file;
mod device;
mod diagnostic;
mod entities;
mod host;
mod load;
mod locate;
mod memo;
mod node;
mod node_check;
mod node_file;
mod places;
mod quoted;
mod router_file;
mod routes_file;
mod section;
mod topology_file;
mod values;

pub use diagnostic::{Diagnostics, Finding, Severity};
pub use host::Host;
pub use load::{Loaded, Loader, explain, load, load_on, parse_topology};
pub use node::{
    Connections, Control, Dataplane, Fragments, Hugepages, Idle, Interface, Log, LogFormat,
    LogLevel, Node, Timeout, Underlay,
};

/// Every key that the files know, for tests of what is written about them.
#[cfg(test)]
fn keys() -> std::collections::BTreeSet<&'static str> {
    let all = [
        topology_file::KEYS,
        acl_file::KEYS,
        router_file::KEYS,
        balancer_file::KEYS,
        node_file::KEYS,
    ];
    all.iter()
        .flat_map(|file| file.iter().flat_map(|keys| keys.iter().copied()))
        .collect()
}

#[cfg(test)]
mod tests;
