//! UDP (RFC 768).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`UdpHeader`] in bytes.
pub const LEN: usize = 8;
/// Offset of the checksum within the header.
pub const CHECKSUM_OFFSET: usize = 6;
/// Destination port of Geneve (RFC 8926).
pub const PORT_GENEVE: u16 = 6081;
/// Destination port of VXLAN (RFC 7348).
pub const PORT_VXLAN: u16 = 4789;

/// A UDP header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UdpHeader {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Header and payload in bytes.
    pub len: U16,
    /// Checksum with pseudo-header; 0 means none (never over IPv6 except in tunnels, RFC 6935).
    pub checksum: U16,
}
