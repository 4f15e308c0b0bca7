//! Whole nodes in memory: configuration, compiler, workers and slow path, joined by wires, with an injected clock.
//!
//! ```text
//!   topology + node files ─► compile ─► TablesCell ─► Worker(s)<MemoryPorts> + Agent      one a node
//!   wires:  the underlay switch, one wire a physical network, one wire a VIF
//!   hosts:  a test's hands on a wire, or a small station that answers ARP, ND and ping
//! ```
//!
//! After every settling each node is checked: every frame that came in was forwarded, handed to the slow path or
//! dropped by name, and every frame on every wire has right checksums. A failing test leaves a capture of all wires in
//! the target directory and prints what was on them last.

mod checks;
mod counts;
pub mod family;
mod fragments;
mod host;
mod network;
mod node;
mod scratch;

pub use checks::verify;
pub use fragments::{cut, join};
pub use host::Host;
pub use network::Network;
pub use node::{Node, NodeOptions, device_mac};
pub use scratch::NodeFile;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_net::{Builder, Mac};

/// A MAC from its text.
pub fn mac(text: &str) -> Mac {
    text.parse().unwrap_or_else(|_| panic!("no MAC: {text}"))
}

/// An address from its text; in a case that runs with IPv6 the one that stands for it.
pub fn ip(text: &str) -> IpAddr {
    let ip = text.parse();
    family::address(ip.unwrap_or_else(|_| panic!("no address: {text}")))
}

/// An IPv4 address from its text.
pub fn v4(text: &str) -> Ipv4Addr {
    text.parse()
        .unwrap_or_else(|_| panic!("no IPv4 address: {text}"))
}

/// An IPv6 address from its text.
pub fn v6(text: &str) -> Ipv6Addr {
    text.parse()
        .unwrap_or_else(|_| panic!("no IPv6 address: {text}"))
}

/// An IP packet between two MACs, nothing in it yet.
pub fn packet(macs: (&str, &str), ips: (&str, &str)) -> Builder {
    Builder::ethernet(mac(macs.0), mac(macs.1)).ip(ip(ips.0), ip(ips.1))
}

/// The broadcast MAC, as text.
pub const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// Something to put on a wire.
pub trait IntoFrame {
    /// The bytes.
    fn into_frame(self) -> Vec<u8>;
}

impl IntoFrame for Vec<u8> {
    fn into_frame(self) -> Vec<u8> {
        self
    }
}

impl IntoFrame for Builder {
    fn into_frame(self) -> Vec<u8> {
        self.build()
    }
}
