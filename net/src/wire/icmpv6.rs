//! ICMPv6 types and codes (RFC 4443, RFC 4861). The layout is [`super::icmpv4::IcmpHeader`].

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big; the MTU fills the second word.
pub const PACKET_TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Types below this are errors (RFC 4443 section 2.1).
pub const FIRST_INFORMATIONAL: u8 = 128;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Type: router solicitation.
pub const ROUTER_SOLICIT: u8 = 133;
/// Type: router advertisement.
pub const ROUTER_ADVERT: u8 = 134;
/// Type: neighbor solicitation.
pub const NEIGHBOR_SOLICIT: u8 = 135;
/// Type: neighbor advertisement.
pub const NEIGHBOR_ADVERT: u8 = 136;
/// Type: redirect.
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: no route.
pub const CODE_NO_ROUTE: u8 = 0;
/// Code of [`UNREACHABLE`]: administratively prohibited.
pub const CODE_PROHIBITED: u8 = 1;
/// Code of [`UNREACHABLE`]: beyond the scope of the source address.
pub const CODE_BEYOND_SCOPE: u8 = 2;
/// Code of [`UNREACHABLE`]: address.
pub const CODE_ADDRESS_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: port.
pub const CODE_PORT_UNREACHABLE: u8 = 4;
/// Code of [`TIME_EXCEEDED`]: in transit.
pub const CODE_HOP_LIMIT_EXCEEDED: u8 = 0;
/// Code of [`PARAMETER_PROBLEM`]: unrecognized next header.
pub const CODE_UNKNOWN_NEXT_HEADER: u8 = 1;
