//! 802.1Q tag.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`VlanTag`] in bytes.
pub const LEN: usize = 4;
/// The VLAN identifier within the tag control information; above it one bit DEI and three of priority.
pub const ID_MASK: u16 = 0x0fff;

/// What follows EtherType 0x8100.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VlanTag {
    /// Priority, DEI and VLAN identifier.
    pub tci: U16,
    /// EtherType of what follows.
    pub ethertype: U16,
}
