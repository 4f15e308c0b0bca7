//! IPv6 header and extension headers (RFC 8200).

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`Ipv6Header`] in bytes.
pub const LEN: usize = 40;
/// Offset of the hop limit within the header.
pub const HOP_LIMIT_OFFSET: usize = 7;
/// Offset of the source address within the header.
pub const SRC_OFFSET: usize = 8;
/// Offset of the destination address within the header.
pub const DST_OFFSET: usize = 24;
/// More fragments, in [`FragmentHeader::offset_flags`].
pub const MORE_FRAGMENTS: u16 = 0x0001;
/// Fragment offset in bytes, in [`FragmentHeader::offset_flags`].
pub const OFFSET_MASK: u16 = 0xfff8;

/// The IPv6 header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_flow: U32,
    /// Bytes after this header.
    pub payload_len: U16,
    /// What follows this header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
}

impl Ipv6Header {
    /// The version number.
    #[must_use]
    pub fn version(&self) -> u8 {
        (self.version_class_flow.get() >> 28) as u8
    }

    /// DSCP and ECN.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }

    /// The 20-bit flow label (RFC 6437).
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & 0x000f_ffff
    }

    /// Replaces the traffic class and keeps the flow label.
    pub fn set_traffic_class(&mut self, class: u8) {
        let rest = self.version_class_flow.get() & 0xf00f_ffff;
        self.version_class_flow = (rest | u32::from(class) << 20).into();
    }

    /// Source address.
    #[must_use]
    pub fn src_addr(&self) -> Ipv6Addr {
        self.src.into()
    }

    /// Destination address.
    #[must_use]
    pub fn dst_addr(&self) -> Ipv6Addr {
        self.dst.into()
    }
}

/// How hop-by-hop, routing, destination, authentication and mobility headers begin.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ExtensionHeader {
    /// What follows this extension header.
    pub next_header: u8,
    /// Length in units of 8 bytes, the first 8 not counted (authentication header: 4 bytes, first 8 not counted).
    pub len: u8,
}

/// The fragment header (RFC 8200 section 4.5).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FragmentHeader {
    /// What the fragmented part begins with.
    pub next_header: u8,
    /// Zero when sent, ignored when received.
    pub reserved: u8,
    /// Offset in bytes (a multiple of 8) and the more-fragments bit.
    pub offset_flags: U16,
    /// Identification.
    pub id: U32,
}
