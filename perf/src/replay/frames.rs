//! Frames and devices whose cost does not vary: buffers are made once and go round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_fastpath::io::{BURST, Burst, DeviceId, Frame, FramePool, Ports};

use crate::scenario::chassis_mac;
use crate::traffic::Records;

/// Bytes before the data of a new frame, as in DPDK's buffers.
const HEADROOM: usize = 128;
/// Bytes of a buffer.
const ROOM: usize = 2048;
/// One of so many frames sent is kept.
const SAMPLE: u64 = 61;
/// Samples kept.
const SAMPLES: usize = 512;

/// A frame in a buffer of its own.
#[derive(Debug)]
pub(super) struct PlayFrame {
    bytes: Box<[u8; ROOM]>,
    start: usize,
    end: usize,
}

impl PlayFrame {
    fn new() -> Self {
        Self {
            bytes: Box::new([0; ROOM]),
            start: HEADROOM,
            end: HEADROOM,
        }
    }

    fn fill(&mut self, record: &[u8], length: usize) {
        self.start = HEADROOM;
        self.end = (HEADROOM + length).min(ROOM);
        if let Some(place) = self.bytes.get_mut(HEADROOM..HEADROOM + record.len()) {
            place.copy_from_slice(record);
        }
    }
}

impl Frame for PlayFrame {
    #[inline]
    fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    fn push(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.data_mut().get_mut(..n)
    }

    #[inline]
    fn pull(&mut self, n: usize) -> bool {
        let fits = n <= self.end - self.start;
        if fits {
            self.start += n;
        }
        fits
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let before = self.end;
        self.end = before.checked_add(n).filter(|&end| end <= ROOM)?;
        self.bytes.get_mut(before..self.end)
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }
}

/// Frames for the slow path.
#[derive(Debug)]
pub(super) struct PlayPool;

impl FramePool for PlayPool {
    type Frame = PlayFrame;

    fn alloc(&self, data: &[u8]) -> Option<PlayFrame> {
        let mut frame = PlayFrame::new();
        frame.end = HEADROOM;
        frame.append(data.len())?.copy_from_slice(data);
        Some(frame)
    }
}

/// What a side receives.
#[derive(Debug)]
pub(super) enum Source {
    /// Records, over and over; the field at this offset grows each time.
    Records(Records, Option<u32>),
    /// What it sent.
    Turned,
    /// Nothing but answers.
    Silent,
}

#[derive(Debug)]
struct Side {
    source: Source,
    next: usize,
    laps: u16,
    waiting: VecDeque<PlayFrame>,
}

/// Counts of all devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) laps: u64,
}

/// Both sides, and the buffers.
#[derive(Debug)]
pub(super) struct World {
    sides: [Side; 2],
    free: Vec<PlayFrame>,
    pub(super) counts: Counts,
    /// ARP requests are answered.
    pub(super) answers: bool,
    pub(super) samples: VecDeque<(usize, Vec<u8>)>,
}

impl World {
    pub(super) fn new(sources: [Source; 2]) -> Self {
        let side = |source| Side {
            source,
            next: 0,
            laps: 0,
            waiting: VecDeque::with_capacity(4 * BURST),
        };
        Self {
            sides: sources.map(side),
            free: (0..16 * BURST).map(|_| PlayFrame::new()).collect(),
            counts: Counts::default(),
            answers: true,
            samples: VecDeque::with_capacity(SAMPLES + 1),
        }
    }

    pub(super) fn play(&mut self, side: usize, source: Source) {
        if let Some(side) = self.sides.get_mut(side) {
            side.source = source;
            side.next = 0;
        }
    }

    fn receive(&mut self, side: usize, out: &mut Burst<PlayFrame>) {
        let Some(side) = self.sides.get_mut(side) else {
            return;
        };
        while !out.is_full()
            && let Some(frame) = side.waiting.pop_front()
        {
            out.push(frame);
            self.counts.received += 1;
        }
        let Source::Records(records, lap_at) = &side.source else {
            return;
        };
        while !out.is_full() {
            let mut frame = self.free.pop().unwrap_or_else(PlayFrame::new);
            if side.next == records.len() {
                side.next = 0;
                side.laps = side.laps.wrapping_add(1);
                self.counts.laps += 1;
            }
            let Some((record, length)) = records.record(side.next) else {
                return;
            };
            side.next += 1;
            frame.fill(record, length);
            if let Some(at) = *lap_at
                && let Some(field) = frame.data_mut().get_mut(at as usize..)
                && let Some(bytes) = field.first_chunk_mut::<2>()
            {
                *bytes = u16::from_be_bytes(*bytes)
                    .wrapping_add(side.laps)
                    .to_be_bytes();
            }
            out.push(frame);
            self.counts.received += 1;
        }
    }

    fn send(&mut self, index: usize, frames: &mut Burst<PlayFrame>) -> usize {
        let count = frames.len();
        let Some(side) = self.sides.get_mut(index) else {
            return 0;
        };
        for mut frame in frames.drain(..) {
            if self.answers && answer(frame.data_mut()) {
                side.waiting.push_back(frame);
                // An answer is not a packet of the scenario.
                self.counts.received = self.counts.received.wrapping_sub(1);
                continue;
            }
            self.counts.sent += 1;
            if self.counts.sent.is_multiple_of(SAMPLE) {
                self.samples.push_back((index, frame.data().to_vec()));
                if self.samples.len() > SAMPLES {
                    self.samples.pop_front();
                }
            }
            match side.source {
                Source::Turned if turn(frame.data_mut()) => side.waiting.push_back(frame),
                _ => self.free.push(frame),
            }
        }
        count
    }
}

/// An ARP request becomes its reply, as the rig answers.
fn answer(frame: &mut [u8]) -> bool {
    let request = frame.get(12..14) == Some(&[0x08, 0x06]) && frame.get(20..22) == Some(&[0, 1]);
    let Some(ip) = frame
        .get(38..42)
        .and_then(|ip| ip.first_chunk::<4>())
        .copied()
    else {
        return false;
    };
    if !request {
        return false;
    }
    let mac = chassis_mac(ip.into()).0;
    frame.copy_within(6..12, 0);
    frame.copy_within(22..32, 32);
    for (at, bytes) in [(6, &mac[..]), (20, &[0, 2]), (22, &mac), (28, &ip)] {
        if let Some(place) = frame.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    true
}

/// A UDP packet over IPv4 becomes its answer.
fn turn(frame: &mut [u8]) -> bool {
    let Some(headers) = frame.first_chunk_mut::<42>() else {
        return false;
    };
    if headers[12..15] != [0x08, 0x00, 0x45] {
        return false;
    }
    for (a, b, n) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        for i in 0..n {
            headers.swap(a + i, b + i);
        }
    }
    true
}

/// What the worker polls and sends on.
#[derive(Clone, Debug)]
pub(super) struct PlayPorts(Arc<Mutex<World>>);

impl PlayPorts {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline(never)]
    fn uncounted_receive(&self, side: usize, out: &mut Burst<PlayFrame>) {
        self.world().receive(side, out);
    }

    #[inline(never)]
    fn uncounted_send(&self, side: usize, frames: &mut Burst<PlayFrame>) -> usize {
        self.world().send(side, frames)
    }
}

impl Ports for PlayPorts {
    type Frame = PlayFrame;

    #[inline]
    fn rx_burst(&mut self, device: DeviceId, out: &mut Burst<PlayFrame>) {
        self.uncounted_receive(device.index(), out);
    }

    #[inline]
    fn tx_burst(&mut self, device: DeviceId, frames: &mut Burst<PlayFrame>) -> usize {
        self.uncounted_send(device.index(), frames)
    }

    #[inline]
    fn can_rx(&self, _: DeviceId) -> bool {
        true
    }

    #[inline]
    fn can_tx(&self, _: DeviceId) -> bool {
        true
    }
}
