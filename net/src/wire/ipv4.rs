//! IPv4 header (RFC 791), without options.

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`Ipv4Header`] in bytes; options may follow.
pub const LEN: usize = 20;
/// Don't fragment, in `flags_offset`.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, in `flags_offset`.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Fragment offset in units of 8 bytes, in `flags_offset`.
pub const OFFSET_MASK: u16 = 0x1fff;
/// Offset of the TTL within the header; the protocol follows it.
pub const TTL_OFFSET: usize = 8;
/// Offset of the header checksum within the header.
pub const CHECKSUM_OFFSET: usize = 10;
/// Offset of the source address within the header.
pub const SRC_OFFSET: usize = 12;
/// Offset of the destination address within the header.
pub const DST_OFFSET: usize = 16;

/// The fixed part of an IPv4 header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version in the high half, header length in 32-bit words in the low half.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Header and payload in bytes.
    pub total_len: U16,
    /// Identification.
    pub id: U16,
    /// Flags and fragment offset.
    pub flags_offset: U16,
    /// Time to live.
    pub ttl: u8,
    /// Upper-layer protocol.
    pub proto: u8,
    /// Header checksum.
    pub checksum: U16,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Ipv4Header {
    /// The version number.
    #[must_use]
    pub const fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Header length in bytes, options included: 0 to 60.
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    /// Fragment offset in bytes.
    #[must_use]
    pub fn fragment_offset(&self) -> u32 {
        u32::from(self.flags_offset.get() & OFFSET_MASK) * 8
    }

    /// Source address.
    #[must_use]
    pub fn src_addr(&self) -> Ipv4Addr {
        self.src.into()
    }

    /// Destination address.
    #[must_use]
    pub fn dst_addr(&self) -> Ipv4Addr {
        self.dst.into()
    }
}
