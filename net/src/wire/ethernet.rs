//! Ethernet II.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::addr::Mac;

/// Length of [`EtherHeader`] in bytes.
pub const LEN: usize = 14;
/// IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// Transparent Ethernet bridging: a whole frame inside a tunnel.
pub const ETHERTYPE_TEB: u16 = 0x6558;
/// 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1ad service tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;

/// The header of an Ethernet II frame.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct EtherHeader {
    /// Destination.
    pub dst: Mac,
    /// Source.
    pub src: Mac,
    /// EtherType of what follows.
    pub ethertype: U16,
}
