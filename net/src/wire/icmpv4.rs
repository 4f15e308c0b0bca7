//! ICMP (RFC 792).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of [`IcmpHeader`] in bytes.
pub const LEN: usize = 8;
/// Offset of the checksum within the header, the same in ICMPv6.
pub const CHECKSUM_OFFSET: usize = 2;
/// Offset of an echo's identifier within the header, the same in ICMPv6.
pub const ECHO_ID_OFFSET: usize = 4;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: source quench, deprecated by RFC 6633.
pub const SOURCE_QUENCH: u8 = 4;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Code of [`UNREACHABLE`]: network.
pub const CODE_NET_UNREACHABLE: u8 = 0;
/// Code of [`UNREACHABLE`]: host.
pub const CODE_HOST_UNREACHABLE: u8 = 1;
/// Code of [`UNREACHABLE`]: protocol.
pub const CODE_PROTOCOL_UNREACHABLE: u8 = 2;
/// Code of [`UNREACHABLE`]: port.
pub const CODE_PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: fragmentation needed and DF set; the MTU is in the last two bytes of `rest` (RFC 1191).
pub const CODE_FRAGMENTATION_NEEDED: u8 = 4;
/// Code of [`UNREACHABLE`]: administratively prohibited (RFC 1812 section 5.2.7.1).
pub const CODE_PROHIBITED: u8 = 13;
/// Code of [`TIME_EXCEEDED`]: in transit.
pub const CODE_TTL_EXCEEDED: u8 = 0;

/// The first 8 bytes of every ICMP and ICMPv6 message.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct IcmpHeader {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum; over the message alone in ICMP, with pseudo-header in ICMPv6.
    pub checksum: U16,
    /// Depends on the type; identifier and sequence number in an echo.
    pub rest: [u8; 4],
}
