//! Where a TCP stream is, without a look at its segments.
//!
//! The handshake tells the first sequence number of each side. What a side has sent since follows from the packets and
//! bytes that are counted of it anyway, within bounds: a segment carries at most what its frame has beyond the shortest
//! headers, and what is sent again is counted again. So the estimate is never less than the truth by more than
//! what was lost before it came here, and it is more by headers and repetitions. `README.md` says what that is good for.

/// The numbers of a TCP segment (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of its first byte.
    pub seq: u32,
    /// Acknowledgment number; means something with ACK only.
    pub ack: u32,
}

impl Segment {
    /// Reads the numbers of a TCP header; `None` when it is shorter than both.
    #[must_use]
    pub fn read(tcp: &[u8]) -> Option<Segment> {
        let [_, _, _, _, seq @ .., _, _, _, _] = tcp.first_chunk::<12>()?;
        let ack = tcp.get(8..)?.first_chunk::<4>()?;
        Some(Segment {
            seq: u32::from_be_bytes(*seq),
            ack: u32::from_be_bytes(*ack),
        })
    }
}

/// What a packet may have counted beyond its data at most: options of IP and TCP, a tag, padding.
const OPTIONS: u64 = 60;
/// A window without scaling (RFC 9293 section 3.1): so far the estimate may be from the truth in a short stream.
const WINDOW: u64 = 65_536;
/// One of so many bytes may have been sent again.
const REPEATED: u64 = 16;

/// What one side has sent, as it was counted.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Bytes of Ethernet, IP and TCP headers without options.
    pub(super) headers: u64,
}

impl Sent {
    /// Bytes of data at most.
    fn data(self) -> u64 {
        self.bytes
            .wrapping_sub(self.packets.wrapping_mul(self.headers))
    }

    /// What is to be remembered when the next byte of this side has the number `next`.
    pub(super) fn anchor(self, next: u32) -> u32 {
        next.wrapping_sub(self.data() as u32)
    }

    /// A segment with this number may come from the side that has sent this since the anchor.
    pub(super) fn believes(self, anchor: u32, seq: u32) -> bool {
        let next = anchor.wrapping_add(self.data() as u32);
        let before = u64::from(next.wrapping_sub(seq));
        let after = u64::from(seq.wrapping_sub(next));
        after <= WINDOW || before <= self.uncertain()
    }

    /// How far behind the estimate the truth may be.
    fn uncertain(self) -> u64 {
        let repeated = self.data() / REPEATED;
        WINDOW
            .saturating_add(self.packets.saturating_mul(OPTIONS))
            .saturating_add(repeated)
            .min(1 << 31)
    }
}
