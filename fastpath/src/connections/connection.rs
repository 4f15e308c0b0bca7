//! One connection: a reference to it, what a look-up finds, a copy.

use std::net::IpAddr;

use super::address::{Address, Width};
use super::key::{Direction, FlowKey, Rewrite, is_echo};
use super::state::{State, Timeouts};
use crate::ids::{PathId, Tick, WorkerId};

/// One connection, as long as it lives: a family, a slot and the generation of its tenant.
///
/// A reference to a connection that is gone is noticed wherever it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnRef {
    /// With the family's mark ([`Width::MARK`]): in the table of the other family there is no such slot.
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ConnRef {
    /// Of IPv6.
    #[inline]
    #[must_use]
    pub const fn is_v6(self) -> bool {
        self.slot & <u128 as Width>::MARK != 0
    }

    #[inline]
    pub(super) fn new<A: Width>(slot: u32, generation: u32) -> ConnRef {
        let slot = slot | A::MARK;
        ConnRef { slot, generation }
    }

    /// Its slot in the table of this family; of the other one there is none of this number.
    #[inline]
    pub(super) fn slot<A: Width>(self) -> u32 {
        self.slot ^ A::MARK
    }
}

/// Eight bits that the opener of a connection sets and that come back with each copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// The connection was opened in the middle of a TCP stream.
    pub const PICKED_UP: Flags = Flags(1);
    /// Its destination was chosen by a load balancer.
    pub const BALANCED: Flags = Flags(2);
    /// That is one of the switch that it entered.
    pub const BY_SWITCH: Flags = Flags(4);
    /// ACLs of the switch port that its first packet came from let answers and errors pass.
    pub const TRACKED_FROM: Flags = Flags(8);
    /// Those of the switch port that it went to do.
    pub const TRACKED_TO: Flags = Flags(16);
    /// Its source has the port outside that it has towards all remote ends.
    pub const MAPPED_FROM: Flags = Flags(32);
    /// So has its destination.
    pub const MAPPED_TO: Flags = Flags(64);
    /// Of a mapping: it ends when nothing rests on it.
    pub const CONDEMNED: Flags = Flags(128);

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// True when all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The connection rests on mappings.
    #[must_use]
    pub const fn mapped(self) -> bool {
        self.0 & (Flags::MAPPED_FROM.0 | Flags::MAPPED_TO.0) != 0
    }
}

/// What a look-up finds: all that a packet of this direction needs, read from one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<A = IpAddr> {
    /// The connection.
    pub conn: ConnRef,
    /// Which of its flows the key is.
    pub direction: Direction,
    /// Who may write it; `None` while nobody has claimed a synced entry.
    pub owner: Option<WorkerId>,
    /// The way of this direction.
    pub path: PathId,
    /// The translated tuple of this direction.
    pub rewrite: Rewrite<A>,
}

/// A consistent copy of a connection, for show, trace, sync and revalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<A = IpAddr> {
    /// Where it is.
    pub conn: ConnRef,
    /// Key of the packets that go the way of the first.
    pub original: FlowKey<A>,
    /// Key under which answers arrive.
    pub reply: FlowKey<A>,
    /// Protocol state.
    pub state: State,
    /// Who may write it.
    pub owner: Option<WorkerId>,
    /// As set by the opener.
    pub flags: Flags,
    /// Path by direction.
    pub paths: [PathId; 2],
    /// Packets by direction.
    pub packets: [u64; 2],
    /// Bytes by direction, as counted by the worker.
    pub bytes: [u64; 2],
    /// Time of the last packet by direction; the time of opening where there was none.
    pub last_seen: [Tick; 2],
    /// Time of opening.
    pub created: Tick,
}

impl<A: Copy + Eq> Connection<A> {
    /// What packets of a direction carry when they leave.
    #[must_use]
    pub fn rewrite(&self, direction: Direction) -> Rewrite<A> {
        match direction {
            Direction::Original => Rewrite::towards(&self.reply),
            Direction::Reply => Rewrite::towards(&self.original),
        }
    }

    /// The source of original packets is translated.
    #[must_use]
    pub fn is_snat(&self) -> bool {
        let Rewrite { src, src_port, .. } = self.rewrite(Direction::Original);
        (src, src_port) != (self.original.src, self.original.src_port)
    }

    /// The destination of original packets is translated. An echo's identifier counts as its source.
    #[must_use]
    pub fn is_dnat(&self) -> bool {
        let Rewrite { dst, dst_port, .. } = self.rewrite(Direction::Original);
        let port_counts = !is_echo(self.original.proto);
        dst != self.original.dst || (port_counts && dst_port != self.original.dst_port)
    }

    /// Who opened it is also who answers, and both addresses are translated.
    #[must_use]
    pub fn is_to_itself(&self) -> bool {
        self.original.src == self.reply.src && self.is_snat() && self.is_dnat()
    }

    /// Of the source only the port is translated: the one it came with was taken, by a connection of the same client to
    /// another address that leads to the same host.
    #[must_use]
    pub fn moves_port(&self) -> bool {
        self.original.src == self.reply.dst && self.original.src_port != self.reply.dst_port
    }

    /// Time of the last packet of either direction.
    #[must_use]
    pub fn last_packet(&self) -> Tick {
        let [there, back] = self.last_seen;
        if there.reached(back) { there } else { back }
    }

    /// Milliseconds until it ends if no packet comes; 0 when it is due.
    #[must_use]
    pub fn remaining(&self, timeouts: &Timeouts, now: Tick) -> u32 {
        let idle = now.since(self.last_packet());
        timeouts.of(self.state).saturating_sub(idle)
    }
}

impl<A: Address> Hit<A> {
    /// The same in the terms of both families.
    #[inline]
    #[must_use]
    pub fn widen(&self) -> Hit {
        Hit {
            conn: self.conn,
            direction: self.direction,
            owner: self.owner,
            path: self.path,
            rewrite: self.rewrite.widen(),
        }
    }
}

impl<A: Address> Connection<A> {
    /// The same in the terms of both families.
    #[must_use]
    pub fn widen(&self) -> Connection {
        Connection {
            conn: self.conn,
            original: self.original.widen(),
            reply: self.reply.widen(),
            state: self.state,
            owner: self.owner,
            flags: self.flags,
            paths: self.paths,
            packets: self.packets,
            bytes: self.bytes,
            last_seen: self.last_seen,
            created: self.created,
        }
    }
}
