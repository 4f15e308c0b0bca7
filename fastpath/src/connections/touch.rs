//! Packets of open connections, counted by their owner: what they do to the state.

use super::address::Address;
use super::connection::ConnRef;
use super::entry::{Control, Entry};
use super::key::Direction;
use super::line::Line;
use super::sequence::Segment;
use super::state::{State, TcpFlags};
use super::writer::Writer;
use crate::ids::Tick;

/// What a packet did to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Counted; the state is as it was.
    Same,
    /// Counted, and the protocol state changed.
    Changed {
        /// Before the packet.
        from: State,
        /// After it.
        to: State,
    },
    /// Its sequence number decides: [`Writer::touch_segment`]; nothing was written.
    Unread,
    /// Counted; a RST or FIN that cannot come from the side it claims to come from changed nothing.
    Disbelieved,
    /// The connection belongs to another worker or to nobody; nothing was written.
    NotOwner,
    /// The connection is gone; nothing was written.
    Gone,
}

impl<A: Address> Writer<A> {
    /// Counts a packet of `bytes` bytes and moves state and deadline. `flags` are those of a TCP segment,
    /// [`TcpFlags::NONE`] for all else.
    ///
    /// Writes one cache line, two lines more only when the state changes. Packets of both directions keep a
    /// connection alive (RFC 4787 REQ-6).
    #[inline]
    pub fn touch(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        bytes: u32,
        flags: TcpFlags,
        now: Tick,
    ) -> Touch {
        let Some(entry) = self.table.entry(conn.slot::<A>()) else {
            return Touch::Gone;
        };
        let line = entry.line(direction);
        let control = line.control();
        if control.generation() != conn.generation {
            return Touch::Gone;
        }
        if control.owner_bits() != self.id.0 {
            return Touch::NotOwner;
        }
        if flags.any(Self::TELLING) {
            return self.touch_telling(conn, direction, bytes, flags, now);
        }
        line.count(bytes, now);
        if control.steady() {
            return Touch::Same;
        }
        let from = control.state();
        let to = from.next(direction, flags);
        if to == from {
            return Touch::Same;
        }
        self.change_state(conn.slot::<A>(), from, to, now);
        Touch::Changed { from, to }
    }

    /// Flags of segments that may tell, or may have to tell, a sequence number.
    const TELLING: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

    #[cold]
    fn touch_telling(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        bytes: u32,
        flags: TcpFlags,
        now: Tick,
    ) -> Touch {
        let control = self.own(conn).map(|e| e.line(direction).control());
        match control {
            Some(control) if tells(control, direction, flags) => Touch::Unread,
            _ => self.touch_segment(conn, direction, (bytes, flags, None), now),
        }
    }

    /// As [`Writer::touch`], with the sequence numbers of the segment. A RST, and a FIN that would leave
    /// the connection the short time after both, are believed only from where the stream of that side is
    /// (RFC 9293 section 3.5.3, RFC 5961 section 3); where that is not known, because the handshake was not
    /// seen, and where there are no numbers, from anywhere.
    pub fn touch_segment(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        (bytes, flags, segment): (u32, TcpFlags, Option<Segment>),
        now: Tick,
    ) -> Touch {
        let Some(entry) = self.table.entry(conn.slot::<A>()) else {
            return Touch::Gone;
        };
        let line = entry.line(direction);
        let control = line.control();
        if control.generation() != conn.generation {
            return Touch::Gone;
        }
        if control.owner_bits() != self.id.0 {
            return Touch::NotOwner;
        }
        line.count(bytes, now);
        let from = control.state();
        let to = from.next(direction, flags);
        if let Some(segment) = segment {
            let known = control.marks() & Control::ANCHORED[direction.index()] != 0;
            if from.is_ended_by(to, flags) && known && !line.believes(segment.seq) {
                return Touch::Disbelieved;
            }
            if from.is_opening() && flags.any(TcpFlags::SYN) && !flags.any(TcpFlags::RST) {
                anchor(entry, direction, flags, segment);
            }
        }
        if to == State::TcpSynSent && from != to {
            // Another stream, in the same place.
            entry.set_marks(control.marks() & Control::COUNTED);
        }
        if to == from {
            return Touch::Same;
        }
        self.change_state(conn.slot::<A>(), from, to, now);
        Touch::Changed { from, to }
    }
}

/// The numbers of such a segment are needed.
fn tells(control: Control, direction: Direction, flags: TcpFlags) -> bool {
    let from = control.state();
    if from.is_opening() && flags.any(TcpFlags::SYN) && !flags.any(TcpFlags::RST) {
        // The opener's own SYN is told by the answer to it.
        return direction == Direction::Reply || flags.any(TcpFlags::ACK);
    }
    let known = control.marks() & Control::ANCHORED[direction.index()] != 0;
    known && from.is_ended_by(from.next(direction, flags), flags)
}

/// Notes where the streams begin that a SYN, and the SYN that it acknowledges, open.
fn anchor<L: Line>(entry: &Entry<L>, direction: Direction, flags: TcpFlags, segment: Segment) {
    let mut marks = entry.line(direction).control().marks();
    entry.line(direction).anchor(segment.seq.wrapping_add(1));
    marks |= Control::ANCHORED[direction.index()];
    if flags.any(TcpFlags::ACK) {
        let other = direction.opposite();
        entry.line(other).anchor(segment.ack);
        marks |= Control::ANCHORED[other.index()];
    }
    entry.set_marks(marks);
}
