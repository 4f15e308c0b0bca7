//! Addresses, tunnel keys, header layouts, checksums, flow keys, and a packet builder: everything that is
//! about bytes on a wire and nothing else. No I/O, no unsafe code, and no allocation on the parsing side.
//!
//! ```text
//!   bytes ---- parse ----> Headers ---- FlowKey, flow_hash
//!     |                       ^
//!     |  wire::*  (views)     |  every field checked once
//!     |  checksum (RFC 1624)  |
//!   Builder --- build ---> bytes ---- show (one line), pcap (a file)
//! ```
//!
//! - [`parse()`] never panics, whatever the bytes; each refusal is one [`ParseError`].
//! - [`wire`] has the layouts and constants, for code that rewrites a frame in place.
//! - [`builder`] makes right frames for tests, for the slow path and for traces.

pub mod addr;
pub mod builder;
pub mod checksum;
pub mod crc32c;
pub mod field;
pub mod flow;
pub mod headers;
pub mod ids;
pub mod parse;
pub mod pcap;
pub mod show;
pub mod wire;

pub use addr::Mac;
pub use builder::Builder;
pub use field::Field;
pub use flow::{FlowKey, flow_hash, flow_hash_v4, flow_hash_v6, geneve_source_port};
pub use headers::{Arp, Extent, Fragment, Headers, Inner, Ip, L3, L4, ParseError};
pub use ids::{PortKey, Vni};
pub use parse::parse;
pub use show::show;
