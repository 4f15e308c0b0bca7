//! The slow path: ARP, neighbor discovery, ICMP, fragmentation, announcements and roles as machines without
//! socket or clock, and the [`agent`] that feeds them.
//!
//! ```text
//!   workers ==punts, sightings==> agent ==frames==> workers
//!                                 |    \
//!             discovery (arp, nd) |     +--> learned neighbors, MACs, roles (read by workers)
//!             neighbor  icmp  fragment, reassembly
//!             announce  role  limit  bfd  time comes in as an argument
//! ```
//!
//! Only [`agent`] knows the packet path; everything else imports addresses and headers alone.

pub mod acl_log;
pub mod agent;
pub mod announce;
pub mod arp;
pub mod bfd;
pub mod discovery;
pub mod fragment;
pub mod health;
pub mod icmp;
pub mod limit;
pub mod nd;
pub mod neighbor;
pub mod random;
pub mod reassembly;
pub mod refusal;
pub mod role;
pub mod time;

pub use agent::{Agent, AgentConfig, AgentCounters, AgentRequest, Settings, spawn};
pub use role::Alive;
pub use time::{Micros, Time};
