//! Address translation: which packets belong to which connection, which may open one, and what they become.

use sluice_net::wire::icmpv4;
use sluice_net::{Fragment, Inner, Ip, L4};

use crate::connections::key::{is_by_address, is_echo};
use crate::connections::{
    Connection, ConnectionTable, Direction, Flags, FlowKey, InsertError, Rests, Rewrite, State,
    TcpFlags,
};
use crate::ids::Zone;
use crate::verdict::DropReason;

/// A connection to open once the packet is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Key of this packet as it came in.
    pub original: FlowKey,
    /// Key of the answer.
    pub reply: FlowKey,
    /// State after this packet.
    pub state: State,
    /// Kept with the connection.
    pub flags: Flags,
    /// The mappings that it rests on.
    pub rests: Rests,
    /// The reply key is that of the answer to the packet as it leaves, in the zone of its way out: known at the end of
    /// the walk.
    pub reply_open: bool,
}

/// The flow of a packet can be tracked: by ports or an echo identifier, or of a protocol other than ICMP by its addresses. So
/// neighbor discovery and all else that ICMP says without being asked has no connections (as in OVN).
#[inline]
fn is_tracked(ip: &Ip) -> bool {
    match ip.l4 {
        L4::Tcp { .. } | L4::Udp { .. } | L4::Sctp { .. } | L4::Echo { .. } => true,
        // Or a later fragment of one with ports, that has not been told.
        L4::None => is_by_address(ip.proto),
        _ => false,
    }
}

/// The key of a packet whose flow can be tracked, whole or a fragment that has been told of its first if it needs to be.
#[inline]
pub fn flow_key(ip: &Ip, zone: Zone) -> Option<FlowKey> {
    if zone == Zone::NONE {
        return None;
    }
    is_tracked(ip).then(|| FlowKey::of(&sluice_net::FlowKey::of_datagram(ip), zone))
}

/// TCP flags of a packet, none for other protocols. A later fragment is none of the segments that change a connection: its
/// first is.
#[inline]
pub fn tcp_flags(ip: &Ip) -> TcpFlags {
    match ip.l4 {
        L4::Tcp { flags, .. } if ip.fragment != Fragment::Later => TcpFlags(flags),
        _ => TcpFlags::NONE,
    }
}

/// The key of the packet that the quoted packet of an ICMP error *answers*: the other direction's key.
pub fn quoted_key(inner: &Inner, zone: Zone) -> Option<FlowKey> {
    if zone == Zone::NONE {
        return None;
    }
    let quoted = quoted_tuple(inner)?;
    Some(FlowKey {
        src: quoted.dst,
        dst: quoted.src,
        src_port: quoted.dst_port,
        dst_port: quoted.src_port,
        proto: inner.proto,
        zone,
    })
}

fn quoted_ports(inner: &Inner) -> (u16, u16) {
    if is_echo(inner.proto) {
        (inner.src_port, inner.src_port)
    } else {
        (inner.src_port, inner.dst_port)
    }
}

/// Finds the connection of a key.
pub fn find(table: &ConnectionTable, key: &FlowKey) -> Option<(Connection, Direction)> {
    let hit = table.find(key)?;
    Some((table.read(hit.conn)?, hit.direction))
}

/// Writes a translated source into the headers of the walk.
pub fn rewrite_source(ip: &mut Ip, to: &Rewrite) {
    ip.src = to.src;
    match &mut ip.l4 {
        L4::Tcp { src, .. } | L4::Udp { src, .. } | L4::Sctp { src, .. } => *src = to.src_port,
        L4::Echo { id, .. } => *id = to.src_port,
        _ => {}
    }
}

/// Writes a translated destination into the headers of the walk. An echo has one identifier, which goes with both.
pub fn rewrite_destination(ip: &mut Ip, to: &Rewrite) {
    ip.dst = to.dst;
    match &mut ip.l4 {
        L4::Tcp { dst, .. } | L4::Udp { dst, .. } | L4::Sctp { dst, .. } => *dst = to.dst_port,
        L4::Echo { id, .. } => *id = to.dst_port,
        _ => {}
    }
}

/// The addresses and ports of the packet that an ICMP error quotes.
pub fn quoted_tuple(inner: &Inner) -> Option<Rewrite> {
    let (src_port, dst_port) = quoted_ports(inner);
    Some(Rewrite {
        src: inner.src,
        dst: inner.dst,
        src_port,
        dst_port,
    })
}

/// What the packet quoted in an ICMP error must say after translation: what the error's receiver sent.
///
/// `direction` is that of the error: one that travels in reply direction quotes an original packet, which
/// its sender knows by the connection's original key.
pub fn quoted_rewrite(connection: &Connection, direction: Direction) -> Rewrite {
    let seen = match direction {
        Direction::Reply => &connection.original,
        Direction::Original => &connection.reply,
    };
    Rewrite {
        src: seen.src,
        dst: seen.dst,
        src_port: seen.src_port,
        dst_port: seen.dst_port,
    }
}

/// An ICMP message that quotes a packet and is no error about it: source quench (RFC 5508 REQ-10c, RFC 6633) and redirect,
/// which is for a host on the link of whoever sends it.
pub fn is_advice(ip: &Ip) -> bool {
    let advice = matches!(
        ip.l4,
        L4::IcmpError {
            kind: icmpv4::SOURCE_QUENCH | icmpv4::REDIRECT,
            ..
        }
    );
    advice && !ip.is_v6()
}

/// What a packet that a rule wants to translate lacks for it.
pub fn untranslatable(ip: &Ip) -> Option<DropReason> {
    (!is_tracked(ip)).then_some(DropReason::NatProtocol)
}

/// A TCP segment that opens no connection by itself.
pub fn in_the_middle(ip: &Ip) -> bool {
    matches!(ip.l4, L4::Tcp { .. }) && !tcp_flags(ip).any(TcpFlags::SYN)
}

/// Why a packet is dropped whose connection cannot be opened.
pub fn refusal(error: InsertError) -> DropReason {
    match error {
        InsertError::TableFull | InsertError::IndexFull | InsertError::Families => {
            DropReason::ConnectionsFull
        }
        InsertError::DuplicateOriginal | InsertError::DuplicateReply => DropReason::NatRace,
        InsertError::SourceLimit => DropReason::SourceLimit,
    }
}

/// The state a first packet opens, or why it may not.
pub fn open(ip: &Ip, pick_up: bool) -> Result<State, DropReason> {
    match ip.l4 {
        L4::Echo { reply: true, .. } if !pick_up => Err(DropReason::NatProtocol),
        _ => State::open(ip.proto, tcp_flags(ip), pick_up).ok_or(DropReason::TcpNoSyn),
    }
}
