//! Packet I/O: the few traits between the workers and whatever moves frames.
//!
//! ```text
//!            worker (generic over Ports)                    slow path
//!   rx_burst |                     ^ tx_burst                   | FramePool::alloc
//!            v                     |                            v
//!   +-------------------- Ports: one value a worker ------------------------+
//!   | memory::MemoryPorts (tests, simulation)   dpdk::DpdkPorts (the daemon) |
//!   +------------------------------------------------------------------------+
//! ```
//!
//! [`memory`] is always there. The `dpdk` module comes with the cargo feature `dpdk`; it and the `dpdk-sys`
//! crate are the only places with `unsafe`. Which worker serves which queue is one rule for both
//! ([`queues::QueueMap`]).

use arrayvec::ArrayVec;

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod memory;
pub mod queues;

#[cfg(feature = "dpdk")]
pub use dpdk::prefetch;

/// Asks for a cache line; without DPDK, whose code is the only one with `unsafe`, nothing does.
#[cfg(not(feature = "dpdk"))]
#[inline(always)]
pub fn prefetch<T>(_: &T) {}

/// Frames a worker takes from one queue at a time.
pub const BURST: usize = 32;

/// Up to [`BURST`] frames on their way together, without allocation.
pub type Burst<F> = ArrayVec<F, BURST>;

/// A device of this node: the dense index of its `[interface]` entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u16);

impl DeviceId {
    /// The index into tables that hold one entry a device.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One packet in one contiguous segment, with headroom. Dropping it gives the buffer back.
pub trait Frame: Send + 'static + Sized {
    /// The packet's bytes, from the Ethernet destination address on.
    fn data(&self) -> &[u8];

    /// The packet's bytes, to be rewritten in place.
    fn data_mut(&mut self) -> &mut [u8];

    /// Grows the packet by `n` bytes at the front and returns the new bytes, whose content is unspecified.
    /// `None`, and no change, when there is not enough headroom.
    fn push(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Takes `n` bytes off the front. `false`, and no change, when the packet is shorter than that.
    fn pull(&mut self, n: usize) -> bool;

    /// Grows the packet by `n` bytes at the end and returns the new bytes, whose content is unspecified.
    /// `None`, and no change, when there is not enough room.
    fn append(&mut self, n: usize) -> Option<&mut [u8]>;

    /// Cuts the packet to `len` bytes; a packet that is not longer stays as it is.
    fn truncate(&mut self, len: usize);
}

/// Where new frames come from (slow path, flood copies). Shared between threads.
pub trait FramePool: Send + Sync + 'static {
    /// The frames it hands out.
    type Frame: Frame;

    /// A frame with a copy of `data` and headroom before it. `None` when no buffer is free or `data` is longer
    /// than a buffer.
    fn alloc(&self, data: &[u8]) -> Option<Self::Frame>;
}

/// What one worker polls and sends on.
pub trait Ports: Send {
    /// The frames it moves.
    type Frame: Frame;

    /// Appends received frames to `out`, up to its capacity. Nothing, when this worker has no receive queue there.
    fn rx_burst(&mut self, device: DeviceId, out: &mut Burst<Self::Frame>);

    /// Sends from the front of `frames` and returns how many went; they are gone from `frames`. What the driver
    /// cannot take now stays, in order. Takes none when this worker has no transmit queue there.
    fn tx_burst(&mut self, device: DeviceId, frames: &mut Burst<Self::Frame>) -> usize;

    /// Does this worker have a receive queue of the device?
    fn can_rx(&self, device: DeviceId) -> bool;

    /// Does this worker have a transmit queue of the device? If not, hand the frame to a worker that has one
    /// ([`queues::QueueMap::tx_worker`]).
    fn can_tx(&self, device: DeviceId) -> bool;
}
