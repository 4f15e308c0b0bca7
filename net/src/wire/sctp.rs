//! SCTP common header (RFC 9260). Ports are not covered by a pseudo-header, but the CRC32c covers the ports.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`SctpHeader`] in bytes.
pub const LEN: usize = 12;

/// Offset of the CRC32c in the header.
pub const CHECKSUM_OFFSET: usize = 8;

/// The common header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SctpHeader {
    /// Source port.
    pub src: U16,
    /// Destination port.
    pub dst: U16,
    /// Verification tag.
    pub tag: U32,
    /// CRC32c over the SCTP packet.
    pub checksum: U32,
}
