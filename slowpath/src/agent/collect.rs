//! Echo requests that come in fragments, and their replies, which leave in fragments.

use std::sync::atomic::AtomicU64;

use sluice_fastpath::exchange::InjectTo;
use sluice_fastpath::ids::{PortId, WorkerId};
use sluice_fastpath::io::FramePool;
use sluice_net::{Fragment, Headers};

use super::Agent;
use super::counters::count;
use crate::fragment::{fragment, fragment_own_v6};
use crate::reassembly::{Outcome, Whole};

impl<P: FramePool> Agent<P> {
    /// A packet to one of our own addresses that came in by `at`: itself when it is whole, the datagram when it is the last
    /// fragment that was missing, else nothing.
    pub(super) fn collect(
        &mut self,
        at: PortId,
        frame: &[u8],
        headers: &Headers,
    ) -> Option<(Whole, Headers)> {
        let ip = headers.ip()?;
        if ip.fragment == Fragment::None {
            let whole = Whole {
                frame: frame.to_vec(),
                largest: u16::MAX,
            };
            return Some((whole, *headers));
        }
        match self.reassembler.receive(at, frame, headers, self.now) {
            Outcome::Waiting => None,
            Outcome::Refused(_) => {
                count(&self.counters.reassembly_refused);
                None
            }
            Outcome::Whole(whole) => {
                count(&self.counters.reassembled);
                let parsed = sluice_net::parse(&whole.frame);
                if parsed.is_err() {
                    count(&self.counters.malformed);
                }
                Some((whole, parsed.ok()?))
            }
        }
    }

    /// Forgets datagrams that did not become whole in time.
    pub(super) fn expire_datagrams(&mut self) {
        for _ in 0..self.reassembler.expire(self.now) {
            count(&self.counters.reassembly_expired);
        }
    }

    /// Sends a reply to `asked`, in pieces if it has more than `mtu` bytes of IP. Those of IPv6 have the identification of the
    /// request, which nobody else uses between these two.
    pub(super) fn send_in_pieces(
        &self,
        (worker, to): (WorkerId, InjectTo),
        reply: &[u8],
        (asked, mtu): (u32, u16),
        what: &AtomicU64,
    ) {
        let pieces = sluice_net::parse(reply).ok().and_then(|headers| {
            let v6 = headers.ip()?.is_v6();
            let pieces = match v6 {
                false => fragment(reply, &headers, mtu),
                true => fragment_own_v6(reply, &headers, mtu, asked),
            };
            pieces.ok()
        });
        let Some(pieces) = pieces else {
            return count(&self.counters.fragment_refused);
        };
        for (index, piece) in pieces.iter().enumerate() {
            let what = if index == 0 {
                what
            } else {
                &self.counters.pieces
            };
            self.send(worker, piece, to, what);
        }
    }
}
