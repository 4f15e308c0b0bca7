//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::addr::Mac;

/// Length of [`ArpHeader`] in bytes.
pub const LEN: usize = 28;
/// Hardware type Ethernet.
pub const HARDWARE_ETHERNET: u16 = 1;
/// Operation: who has the target address?
pub const REQUEST: u16 = 1;
/// Operation: the sender has the sender address.
pub const REPLY: u16 = 2;

/// A whole ARP packet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ArpHeader {
    /// Hardware type, [`HARDWARE_ETHERNET`].
    pub hardware: U16,
    /// Protocol type, the EtherType of IPv4.
    pub protocol: U16,
    /// Bytes of a hardware address, 6.
    pub hardware_len: u8,
    /// Bytes of a protocol address, 4.
    pub protocol_len: u8,
    /// [`REQUEST`] or [`REPLY`].
    pub op: U16,
    /// Sender's hardware address.
    pub sender_mac: Mac,
    /// Sender's protocol address.
    pub sender_ip: [u8; 4],
    /// Target's hardware address.
    pub target_mac: Mac,
    /// Target's protocol address.
    pub target_ip: [u8; 4],
}

impl ArpHeader {
    /// An ARP packet with the constant fields filled in.
    #[must_use]
    pub fn new(
        op: u16,
        sender_mac: Mac,
        sender_ip: Ipv4Addr,
        target_mac: Mac,
        target_ip: Ipv4Addr,
    ) -> ArpHeader {
        ArpHeader {
            hardware: HARDWARE_ETHERNET.into(),
            protocol: super::ethernet::ETHERTYPE_IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            op: op.into(),
            sender_mac,
            sender_ip: sender_ip.octets(),
            target_mac,
            target_ip: target_ip.octets(),
        }
    }

    /// Are the constant fields those of IPv4 over Ethernet?
    #[must_use]
    pub fn is_ipv4_over_ethernet(&self) -> bool {
        self.hardware.get() == HARDWARE_ETHERNET
            && self.protocol.get() == super::ethernet::ETHERTYPE_IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }
}
