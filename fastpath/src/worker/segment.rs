//! Segments whose sequence numbers decide what becomes of their connection: few, so they are read only when asked for.

use super::Worker;
use super::seen::Seen;
use crate::connections::{Address, ConnRef, Direction, Hit, Segment, TcpFlags, Touch};
use crate::counters::Work;
use crate::glance::Addresses;
use crate::io::{Frame, FramePool, Ports};
use crate::stage::enter::Entered;
use crate::stage::nat;

/// Ethernet and IP headers of a packet taken at a glance.
const BEFORE_TCP: usize = 34;
const BEFORE_TCP_V6: usize = 54;

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Counts a packet taken at a glance whose numbers its connection wants. False when it must walk.
    #[cold]
    pub(super) fn touch_glanced<A: Address>(
        &mut self,
        frame: &P::Frame,
        seen: &Seen,
        hit: &Hit<A>,
    ) -> bool {
        let headers = match seen.glance.addresses {
            Addresses::V4(_) => BEFORE_TCP,
            Addresses::V6(..) => BEFORE_TCP_V6,
        };
        let at = usize::from(seen.skip) + headers;
        let segment = frame.data().get(at..).and_then(Segment::read);
        let packet = (u32::from(seen.len), seen.glance.flags, segment);
        self.touch_segment(hit.conn, hit.direction, packet)
    }

    /// Counts a parsed packet of a connection. False when the connection is gone or another worker's.
    pub(super) fn touch_parsed(
        &mut self,
        frame: &P::Frame,
        entered: &Entered,
        conn: ConnRef,
        direction: Direction,
    ) -> bool {
        let flags = entered.headers.ip().map(nat::tcp_flags).unwrap_or_default();
        let bytes = u32::from(entered.len);
        let touch = self
            .connections
            .touch(conn, direction, bytes, flags, self.now);
        match touch {
            Touch::Unread => {
                let segment = segment(frame.data(), entered);
                self.touch_segment(conn, direction, (bytes, flags, segment))
            }
            touch => !matches!(touch, Touch::NotOwner | Touch::Gone),
        }
    }

    #[cold]
    fn touch_segment(
        &mut self,
        conn: ConnRef,
        direction: Direction,
        packet: (u32, TcpFlags, Option<Segment>),
    ) -> bool {
        let touch = self
            .connections
            .touch_segment(conn, direction, packet, self.now);
        if touch == Touch::Disbelieved {
            self.counters.count(Work::Disbelieved, 1);
        }
        !matches!(touch, Touch::NotOwner | Touch::Gone)
    }
}

/// The numbers of a parsed segment.
fn segment(frame: &[u8], entered: &Entered) -> Option<Segment> {
    let ip = entered.headers.ip()?;
    let at = usize::from(entered.inner) + usize::from(ip.l4_offset);
    Segment::read(frame.get(at..)?)
}
