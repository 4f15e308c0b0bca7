//! Frames and devices in memory, for tests and simulation: no DPDK, no privileges, every byte in sight.
//!
//! ```
//! use sluice_fastpath::io::{Burst, DeviceId, Frame, Ports, memory::MemoryDevices};
//! let devices = MemoryDevices::new(2, 1); // two devices, one worker
//! devices.feed(DeviceId(0), &[0u8; 60]);
//! let (mut worker, mut burst) = (devices.ports(0), Burst::new());
//! worker.rx_burst(DeviceId(0), &mut burst);
//! assert_eq!(worker.tx_burst(DeviceId(1), &mut burst), 1);
//! assert_eq!(devices.sent(DeviceId(1)), [vec![0u8; 60]]);
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::queue::SegQueue;

use super::queues::{QueueCounts, QueueMap};
use super::{Burst, DeviceId, Frame, FramePool, Ports};

/// Bytes free before the data of a new frame, as in DPDK's buffers.
pub const HEADROOM: usize = 128;

/// The longest packet a [`VecFrame`] holds, in bytes.
pub const FRAME_ROOM: usize = 9728;

/// A frame on the heap.
#[derive(Debug)]
pub struct VecFrame {
    bytes: Vec<u8>,
    start: usize,
    pool: Option<Arc<Budget>>,
}

#[derive(Debug)]
struct Budget {
    free: AtomicUsize,
}

impl Budget {
    fn take(&self) -> bool {
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(1)
            })
            .is_ok()
    }
}

impl VecFrame {
    /// A frame that belongs to no pool, with a copy of `data`.
    #[must_use]
    pub fn new(data: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADROOM + data.len());
        bytes.resize(HEADROOM, 0);
        bytes.extend_from_slice(data);
        Self {
            bytes,
            start: HEADROOM,
            pool: None,
        }
    }
}

impl Drop for VecFrame {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.free.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Frame for VecFrame {
    fn data(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.data_mut().get_mut(..n)
    }

    fn pull(&mut self, n: usize) -> bool {
        let fits = n <= self.data().len();
        if fits {
            self.start += n;
        }
        fits
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.bytes.len();
        let longer = end
            .checked_add(n)
            .filter(|len| *len <= HEADROOM + FRAME_ROOM)?;
        self.bytes.resize(longer, 0);
        self.bytes.get_mut(end..)
    }

    fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }
}

/// A pool with a fixed number of frames, so that a test sees one that is lost.
#[derive(Clone, Debug)]
pub struct MemoryPool {
    budget: Arc<Budget>,
    capacity: usize,
}

impl MemoryPool {
    /// A pool of `capacity` frames.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let free = AtomicUsize::new(capacity);
        Self {
            budget: Arc::new(Budget { free }),
            capacity,
        }
    }

    /// Frames handed out and not yet dropped.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.capacity - self.budget.free.load(Ordering::Relaxed)
    }
}

impl FramePool for MemoryPool {
    type Frame = VecFrame;

    fn alloc(&self, data: &[u8]) -> Option<VecFrame> {
        if data.len() > FRAME_ROOM || !self.budget.take() {
            return None;
        }
        let mut frame = VecFrame::new(data);
        frame.pool = Some(Arc::clone(&self.budget));
        Some(frame)
    }
}

#[derive(Debug)]
struct MemoryDevice {
    rx: Vec<SegQueue<VecFrame>>,
    sent: SegQueue<VecFrame>,
    tx_room: AtomicUsize,
}

/// In-memory devices: the outside's handle. Clones are the same devices.
#[derive(Clone, Debug)]
pub struct MemoryDevices {
    devices: Arc<[MemoryDevice]>,
    map: Arc<QueueMap>,
}

impl MemoryDevices {
    /// `devices` devices with a queue for each of `workers` workers.
    #[must_use]
    pub fn new(devices: usize, workers: usize) -> Self {
        let each = u16::try_from(workers).unwrap_or(u16::MAX);
        Self::with_queues(workers, &vec![QueueCounts { rx: each, tx: each }; devices])
    }

    /// One device for each entry of `counts`, dealt to `workers` workers as [`QueueMap`] says.
    #[must_use]
    pub fn with_queues(workers: usize, counts: &[QueueCounts]) -> Self {
        let map = QueueMap::new(workers, counts);
        let device = |counts: &QueueCounts| MemoryDevice {
            rx: (0..counts.rx).map(|_| SegQueue::new()).collect(),
            sent: SegQueue::new(),
            tx_room: AtomicUsize::new(usize::MAX),
        };
        Self {
            devices: counts.iter().map(device).collect(),
            map: Arc::new(map),
        }
    }

    /// Which worker serves which queue.
    #[must_use]
    pub fn queues(&self) -> &QueueMap {
        &self.map
    }

    /// What `worker` polls and sends on.
    #[must_use]
    pub fn ports(&self, worker: usize) -> MemoryPorts {
        MemoryPorts {
            devices: self.clone(),
            worker,
        }
    }

    /// Lets a packet arrive on queue 0 of a device. `false` when there is no such device or queue.
    pub fn feed(&self, device: DeviceId, data: &[u8]) -> bool {
        self.feed_frame(device, 0, VecFrame::new(data))
    }

    /// Lets a frame arrive on a queue of a device, as if RSS had chosen it. `false`, and the frame is dropped, when there
    /// is no such device or queue.
    pub fn feed_frame(&self, device: DeviceId, queue: u16, frame: VecFrame) -> bool {
        let device = self.devices.get(device.index());
        let queue = device.and_then(|d| d.rx.get(usize::from(queue)));
        queue.map(|q| q.push(frame)).is_some()
    }

    /// Takes all packets sent on a device since the last call, oldest first.
    #[must_use]
    pub fn sent(&self, device: DeviceId) -> Vec<Vec<u8>> {
        let queue = self.devices.get(device.index()).map(|d| &d.sent);
        std::iter::from_fn(|| queue?.pop())
            .map(|f| f.data().to_vec())
            .collect()
    }

    /// Lets a device take only `frames` more frames, as a driver with a full ring would.
    pub fn limit_tx(&self, device: DeviceId, frames: usize) {
        if let Some(device) = self.devices.get(device.index()) {
            device.tx_room.store(frames, Ordering::Relaxed);
        }
    }
}

/// One worker's view of [`MemoryDevices`].
#[derive(Debug)]
pub struct MemoryPorts {
    devices: MemoryDevices,
    worker: usize,
}

impl Ports for MemoryPorts {
    type Frame = VecFrame;

    fn rx_burst(&mut self, device: DeviceId, out: &mut Burst<VecFrame>) {
        let Some(queue) = self.devices.map.rx_queue(device, self.worker) else {
            return;
        };
        let device = self.devices.devices.get(device.index());
        let Some(queue) = device.and_then(|d| d.rx.get(usize::from(queue))) else {
            return;
        };
        while !out.is_full() {
            let Some(frame) = queue.pop() else { return };
            out.push(frame);
        }
    }

    fn tx_burst(&mut self, device: DeviceId, frames: &mut Burst<VecFrame>) -> usize {
        if !self.can_tx(device) {
            return 0;
        }
        let Some(device) = self.devices.devices.get(device.index()) else {
            return 0;
        };
        let wanted = frames.len();
        let take = |room: usize| (room != usize::MAX).then(|| room - room.min(wanted));
        let room = match device
            .tx_room
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(room) | Err(room) => room,
        };
        let taken = wanted.min(room);
        for frame in frames.drain(..taken) {
            device.sent.push(frame);
        }
        taken
    }

    fn can_rx(&self, device: DeviceId) -> bool {
        self.devices.map.rx_queue(device, self.worker).is_some()
    }

    fn can_tx(&self, device: DeviceId) -> bool {
        self.devices.map.tx_queue(device, self.worker).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headroom_ends_after_128_bytes() {
        let mut frame = VecFrame::new(b"payload");
        assert!(frame.push(HEADROOM + 1).is_none());
        assert_eq!(frame.data(), b"payload");
        assert_eq!(frame.push(HEADROOM).map(|new| new.len()), Some(HEADROOM));
        assert!(frame.push(1).is_none());
        assert_eq!(frame.data().len(), HEADROOM + 7);
    }

    #[test]
    fn room_ends_at_the_longest_packet() {
        let mut frame = VecFrame::new(&[1; FRAME_ROOM - 1]);
        assert!(frame.append(2).is_none());
        assert!(frame.append(usize::MAX).is_none());
        assert_eq!(frame.append(1).map(|new| new.len()), Some(1));
        assert!(MemoryPool::new(1).alloc(&[0; FRAME_ROOM + 1]).is_none());
    }

    #[test]
    fn a_pool_counts_its_frames() {
        let pool = MemoryPool::new(2);
        let first = pool.alloc(b"a");
        let second = pool.alloc(b"b");
        assert!(first.is_some() && second.is_some());
        assert!(pool.alloc(b"c").is_none());
        assert_eq!(pool.in_use(), 2);
        drop(first);
        assert_eq!(pool.in_use(), 1);
        assert!(pool.alloc(b"c").is_some());
    }

    #[test]
    fn a_full_driver_leaves_the_rest_in_order() {
        let devices = MemoryDevices::new(1, 1);
        devices.limit_tx(DeviceId(0), 2);
        let mut burst: Burst<_> = [b"1", b"2", b"3"]
            .iter()
            .map(|b| VecFrame::new(*b))
            .collect();
        let mut ports = devices.ports(0);
        assert_eq!(ports.tx_burst(DeviceId(0), &mut burst), 2);
        assert_eq!(ports.tx_burst(DeviceId(0), &mut burst), 0);
        assert_eq!(burst.len(), 1);
        assert_eq!(burst.first().map(Frame::data), Some(b"3".as_slice()));
        assert_eq!(devices.sent(DeviceId(0)), [b"1", b"2"]);
        assert!(devices.sent(DeviceId(0)).is_empty());
    }

    #[test]
    fn a_burst_takes_its_capacity_and_leaves_the_rest() {
        let devices = MemoryDevices::new(1, 1);
        for n in 0..40u8 {
            assert!(devices.feed(DeviceId(0), &[n]));
        }
        let (mut ports, mut burst) = (devices.ports(0), Burst::new());
        ports.rx_burst(DeviceId(0), &mut burst);
        assert_eq!(burst.len(), super::super::BURST);
        burst.clear();
        ports.rx_burst(DeviceId(0), &mut burst);
        let rest: Vec<u8> = burst.iter().map(|f| f.data()[0]).collect();
        assert_eq!(rest, (32..40).collect::<Vec<u8>>());
    }

    #[test]
    fn a_worker_without_queues_moves_nothing() {
        let one = QueueCounts { rx: 1, tx: 1 };
        let devices = MemoryDevices::with_queues(2, &[one]);
        assert!(devices.feed(DeviceId(0), b"x"));
        assert!(!devices.feed(DeviceId(1), b"x"));
        let (mut other, mut burst) = (devices.ports(1), Burst::new());
        assert!(!other.can_rx(DeviceId(0)) && !other.can_tx(DeviceId(0)));
        other.rx_burst(DeviceId(0), &mut burst);
        assert!(burst.is_empty());
        burst.push(VecFrame::new(b"y"));
        assert_eq!(other.tx_burst(DeviceId(0), &mut burst), 0);
        assert_eq!(burst.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Push(usize),
        Pull(usize),
        Append(usize),
        Truncate(usize),
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let edit = prop_oneof![
            (0usize..200).prop_map(Edit::Push),
            (0usize..200).prop_map(Edit::Pull),
            (0usize..12_000).prop_map(Edit::Append),
            (0usize..300).prop_map(Edit::Truncate),
        ];
        prop::collection::vec(edit, 0..40)
    }

    proptest! {
        /// A frame behaves like a plain vector that is edited at its two ends.
        #[test]
        fn a_frame_is_a_vector_with_two_ends(edits in edits()) {
            let (mut frame, mut model) = (VecFrame::new(&[7; 100]), vec![7u8; 100]);
            for (n, edit) in edits.into_iter().enumerate() {
                let fill = n as u8;
                match edit {
                    Edit::Push(n) => if let Some(new) = frame.push(n) {
                        new.fill(fill);
                        model.splice(0..0, std::iter::repeat_n(fill, n));
                    },
                    Edit::Pull(n) => {
                        prop_assert_eq!(frame.pull(n), n <= model.len());
                        if n <= model.len() { model.drain(..n); }
                    }
                    Edit::Append(n) => if let Some(new) = frame.append(n) {
                        new.fill(fill);
                        model.resize(model.len() + n, fill);
                    },
                    Edit::Truncate(len) => { frame.truncate(len); model.truncate(len); }
                }
                prop_assert_eq!(frame.data(), model.as_slice());
                prop_assert_eq!(frame.data_mut(), model.as_mut_slice());
            }
        }
    }
}
