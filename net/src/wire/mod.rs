//! Header layouts as they are on the wire, one file a protocol.
//!
//! The structures are views: `ref_from_prefix` and `mut_from_prefix` (of `zerocopy`) give a reference into
//! a frame or fail on a short one. They check nothing else; [`crate::parse()`] does.

pub mod arp;
pub mod bfd;
pub mod ethernet;
pub mod geneve;
pub mod icmpv4;
pub mod icmpv6;
pub mod ip_proto;
pub mod ipv4;
pub mod ipv6;
pub mod nd;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod vxlan;
