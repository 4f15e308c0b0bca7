//! Neighbor discovery messages and options (RFC 4861 section 4).

use std::net::Ipv6Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::icmpv4::IcmpHeader;
use crate::addr::Mac;

/// Length of [`NeighborMessage`] in bytes; options may follow.
pub const LEN: usize = 24;
/// Flag of an advertisement: the sender is a router.
pub const FLAG_ROUTER: u8 = 0x80;
/// Flag of an advertisement: it answers a solicitation.
pub const FLAG_SOLICITED: u8 = 0x40;
/// Flag of an advertisement: replace what is cached.
pub const FLAG_OVERRIDE: u8 = 0x20;
/// Option: source link-layer address.
pub const OPTION_SOURCE_MAC: u8 = 1;
/// Option: target link-layer address.
pub const OPTION_TARGET_MAC: u8 = 2;
/// Hop limit of every valid message (RFC 4861 section 7.1).
pub const HOP_LIMIT: u8 = 255;

/// A neighbor solicitation or advertisement without options.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct NeighborMessage {
    /// Type, code, checksum; the flags of an advertisement are the first byte of `rest`.
    pub icmp: IcmpHeader,
    /// The address asked or spoken for.
    pub target: [u8; 16],
}

impl NeighborMessage {
    /// The target as an address.
    #[must_use]
    pub fn target_addr(&self) -> Ipv6Addr {
        self.target.into()
    }
}

/// A link-layer address option for Ethernet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct MacOption {
    /// [`OPTION_SOURCE_MAC`] or [`OPTION_TARGET_MAC`].
    pub kind: u8,
    /// Length in units of 8 bytes, 1.
    pub len: u8,
    /// The address.
    pub mac: Mac,
}

/// The link-layer address options among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacOptions {
    /// Source link-layer address.
    pub source: Option<Mac>,
    /// Target link-layer address.
    pub target: Option<Mac>,
}

/// Walks the options of a message. The first option of a kind counts; unknown ones are skipped.
/// `None` when an option has length zero or ends beyond the message: the message is then invalid
/// (RFC 4861 section 4.6). Work is bounded by the length of `options`.
#[must_use]
pub fn mac_options(mut options: &[u8]) -> Option<MacOptions> {
    let mut found = MacOptions::default();
    while let [kind, units, ..] = *options {
        let len = usize::from(units) * 8;
        if len == 0 {
            return None;
        }
        let (option, rest) = options.split_at_checked(len)?;
        if len == size_of::<MacOption>() {
            let mac = MacOption::ref_from_bytes(option).ok()?.mac;
            match kind {
                OPTION_SOURCE_MAC => found.source = found.source.or(Some(mac)),
                OPTION_TARGET_MAC => found.target = found.target.or(Some(mac)),
                _ => {}
            }
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}
