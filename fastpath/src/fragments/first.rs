//! What the first fragment says of all of a datagram.

use sluice_net::{Fragment, Ip, L4};

/// The upper layer of a datagram, as its first fragment has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// The protocol, after all IPv6 extension headers.
    pub proto: u8,
    /// The rest of it.
    pub upper: Upper,
}

/// What an upper-layer header says, as far as it is the same for all fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// TCP.
    Tcp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
        /// Flags.
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// SCTP.
    Sctp {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// Echo of either family.
    Echo {
        /// Reply or request.
        reply: bool,
        /// Identifier.
        id: u16,
    },
    /// Another ICMP message. What an error quotes only its first fragment tells.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// None that is known.
    Other,
}

impl First {
    /// What a packet says.
    pub fn of(ip: &Ip) -> First {
        let upper = match ip.l4 {
            L4::Tcp { src, dst, flags } => Upper::Tcp { src, dst, flags },
            L4::Udp { src, dst } => Upper::Udp { src, dst },
            L4::Sctp { src, dst } => Upper::Sctp { src, dst },
            L4::Echo { reply, id } => Upper::Echo { reply, id },
            L4::IcmpError { kind, code, .. } | L4::Icmp { kind, code } => {
                Upper::Icmp { kind, code }
            }
            // Discovery is never fragmented (RFC 6980).
            L4::None
            | L4::NeighborSolicit { .. }
            | L4::NeighborAdvert { .. }
            | L4::RouterSolicit
            | L4::RouterAdvert => Upper::Other,
        };
        First {
            proto: ip.proto,
            upper,
        }
    }

    /// Writes it into the headers of a later fragment. A first one has its own.
    pub fn tell(&self, ip: &mut Ip) {
        if ip.fragment != Fragment::Later {
            return;
        }
        ip.proto = self.proto;
        ip.l4 = match self.upper {
            Upper::Tcp { src, dst, flags } => L4::Tcp { src, dst, flags },
            Upper::Udp { src, dst } => L4::Udp { src, dst },
            Upper::Sctp { src, dst } => L4::Sctp { src, dst },
            Upper::Echo { reply, id } => L4::Echo { reply, id },
            Upper::Icmp { kind, code } => L4::Icmp { kind, code },
            Upper::Other => L4::None,
        };
    }
}
