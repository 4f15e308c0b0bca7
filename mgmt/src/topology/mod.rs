//! The declared network, and what follows from it.
//!
//! ```text
//! TOML, later a database --> Topology --resolve--> Resolved --> compile
//!                                        |
//!                                        +--> Problem, Problem, ... (all at once)
//! ```
//!
//! [`Topology`] holds only what was said. [`resolve()`] checks it and fills in what was left out.
//! Nodes read the same topology at different moments, so whatever is filled in is a function of
//! *names* alone: a key that depended on order would, between two reloads, carry one tenant's
//! packets into another's network.

mod acl;
mod balancer;
mod check;
mod digest;
mod dynamic;
pub mod expression;
mod hash;
mod health;
mod keys;
mod model;
mod names;
mod problem;
mod resolve;
mod resolve_acl;
mod resolved;

pub use acl::{Acl, AclAction, AclDirection, AclLog, PortGroup, Severity};
pub use balancer::{
    Backend, Endpoint, LoadBalancer, NotAnEndpoint, NotSourceIps, Protocol, SelectionField,
    SourceIps,
};
pub use health::{HealthCheck, NotAMapping, PortMapping, Probe};
pub use model::{
    Chassis, Encap, EncapKind, Nat, NatFiltering, NatKind, NatMapping, Nexthop, PortAddress, Route,
    RoutePolicy, Router, RouterPort, SecurityAddresses, StaticNeighbor, Switch, SwitchPort,
    SwitchPortKind, Topology,
};
pub(crate) use names::nearest;
pub use problem::{Place, Problem, Within};
pub use resolve::resolve;
pub use resolved::{
    Attachment, DEFAULT_MAC_AGE_SECONDS, DEFAULT_MAC_LIMIT, KnownAddress, Peer, Resolved,
    ResolvedAcl, ResolvedPortGroup, ResolvedRouter, ResolvedRouterPort, ResolvedSwitch,
    ResolvedSwitchPort,
};

#[cfg(test)]
mod tests;
