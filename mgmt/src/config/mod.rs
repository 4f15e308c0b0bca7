//! TOML in, checked configuration out.

mod node;

pub use node::{
    Control, Dataplane, Hugepages, Idle, Interface, Log, LogFormat, LogLevel, Node, Underlay,
};
