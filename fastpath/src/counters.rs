//! What a worker counts. One set a worker, written by it alone, summed by readers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use zerocopy::FromZeros;

use crate::ids::{PortId, Tick};
use crate::io::DeviceId;
use crate::verdict::{DropReason, PuntClass};

/// Logical ports that are counted one by one; ports with higher indices are not.
pub const COUNTED_PORTS: usize = 1 << 18;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames.
    pub packets: u64,
    /// Bytes of Ethernet, without preamble and checksum.
    pub bytes: u64,
}

impl std::ops::Add for Traffic {
    type Output = Traffic;
    fn add(self, other: Traffic) -> Traffic {
        Traffic {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Events of the worker's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Work {
    /// Loops that found something to do.
    Busy,
    /// Loops that found nothing.
    Empty,
    /// Times the worker slept.
    Sleep,
    /// Packets that walked the pipeline.
    Walk,
    /// Packets that took a cached path.
    Established,
    /// Packets without a connection that took a cached way.
    Lane,
    /// Connections opened.
    Opened,
    /// Connections ended by time, eviction, a vanished rule or a flush.
    Closed,
    /// Frames handed to the worker that owns their connection.
    HandOff,
    /// Frames handed to a worker that has a transmit queue.
    TxHandOff,
    /// Frames flooded to at least one member (each once, however many copies).
    Flood,
    /// Copies made by floods, those dropped for want of a buffer or budget included.
    Copy,
    /// Frames taken from the slow path.
    Injected,
    /// Sightings lost because the queue was full.
    SightingLost,
    /// ICMP errors not asked for because the class was policed.
    ErrorPoliced,
    /// What an ACL decided was not logged: the slow path's queue was full.
    LogLost,
    /// RST and FIN that passed but did not end their connection: their sequence numbers are not where the stream is.
    Disbelieved,
    /// Fragments whose ports somebody wanted to know.
    Fragment,
    /// Those of them that had to wait for the first of their datagram.
    FragmentHeld,
    /// Datagrams whose fragments were under way and that gave way to others.
    FragmentDisplaced,
}

impl Work {
    /// All, in counter order.
    pub const ALL: [Work; 20] = [
        Work::Busy,
        Work::Empty,
        Work::Sleep,
        Work::Walk,
        Work::Established,
        Work::Lane,
        Work::Opened,
        Work::Closed,
        Work::HandOff,
        Work::TxHandOff,
        Work::Flood,
        Work::Copy,
        Work::Injected,
        Work::SightingLost,
        Work::ErrorPoliced,
        Work::LogLost,
        Work::Disbelieved,
        Work::Fragment,
        Work::FragmentHeld,
        Work::FragmentDisplaced,
    ];

    /// Name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Work::Busy => "busy",
            Work::Empty => "empty",
            Work::Sleep => "sleep",
            Work::Walk => "walk",
            Work::Established => "established",
            Work::Lane => "lane",
            Work::Opened => "opened",
            Work::Closed => "closed",
            Work::HandOff => "hand-off",
            Work::TxHandOff => "tx-hand-off",
            Work::Flood => "flood",
            Work::Copy => "copy",
            Work::Injected => "injected",
            Work::SightingLost => "sighting-lost",
            Work::ErrorPoliced => "error-policed",
            Work::LogLost => "log-lost",
            Work::Disbelieved => "rst-disbelieved",
            Work::Fragment => "fragment",
            Work::FragmentHeld => "fragment-held",
            Work::FragmentDisplaced => "fragment-displaced",
        }
    }
}

/// Counters of one worker.
#[derive(Debug)]
pub struct Counters {
    drops: Box<[AtomicU64]>,
    work: Box<[AtomicU64]>,
    punts: Box<[AtomicU64]>,
    devices: Box<[AtomicU64]>,
    ports: Vec<AtomicU64>,
    heartbeat: AtomicU32,
    datagrams: AtomicU32,
    held: AtomicU32,
}

/// Words per device or port: packets and bytes received, packets and bytes sent.
const WORDS: usize = 4;

fn zeroed(n: usize) -> Box<[AtomicU64]> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

/// One writer: a plain load and store, no locked instruction.
#[inline]
fn add(counter: Option<&AtomicU64>, n: u64) {
    if let Some(counter) = counter {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

fn traffic(words: &[AtomicU64], at: usize) -> Traffic {
    let read = |i: usize| words.get(i).map_or(0, |word| word.load(Relaxed));
    Traffic {
        packets: read(at),
        bytes: read(at + 1),
    }
}

impl Counters {
    /// All zero, for a node of `devices` devices. The memory of the port counters is touched as they are used.
    pub fn new(devices: usize) -> Counters {
        // Falls back to no port counters when the address space is that full.
        let ports = AtomicU64::new_vec_zeroed(COUNTED_PORTS * WORDS).unwrap_or_default();
        Counters {
            drops: zeroed(DropReason::ALL.len()),
            work: zeroed(Work::ALL.len()),
            punts: zeroed(PuntClass::ALL.len()),
            devices: zeroed(devices * WORDS),
            ports,
            heartbeat: AtomicU32::new(0),
            datagrams: AtomicU32::new(0),
            held: AtomicU32::new(0),
        }
    }

    /// Counts one dropped packet.
    #[inline]
    pub fn dropped(&self, reason: DropReason) {
        add(self.drops.get(reason as usize), 1);
    }

    /// Packets dropped for this reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops
            .get(reason as usize)
            .map_or(0, |counter| counter.load(Relaxed))
    }

    /// Counts events.
    #[inline]
    pub fn count(&self, work: Work, n: u64) {
        add(self.work.get(work as usize), n);
    }

    /// Events counted.
    pub fn work(&self, work: Work) -> u64 {
        self.work
            .get(work as usize)
            .map_or(0, |counter| counter.load(Relaxed))
    }

    /// Counts one frame given to the slow path.
    #[inline]
    pub fn punt(&self, class: PuntClass) {
        add(self.punts.get(class as usize), 1);
    }

    /// Frames given to the slow path in this class.
    pub fn punts(&self, class: PuntClass) -> u64 {
        self.punts
            .get(class as usize)
            .map_or(0, |counter| counter.load(Relaxed))
    }

    /// Counts frames received on a device.
    #[inline]
    pub fn device_rx(&self, device: DeviceId, packets: u64, bytes: u64) {
        let at = device.index() * WORDS;
        add(self.devices.get(at), packets);
        add(self.devices.get(at + 1), bytes);
    }

    /// Counts frames that a device took.
    #[inline]
    pub fn device_tx(&self, device: DeviceId, packets: u64, bytes: u64) {
        let at = device.index() * WORDS + 2;
        add(self.devices.get(at), packets);
        add(self.devices.get(at + 1), bytes);
    }

    /// Received and sent by a device.
    pub fn device(&self, device: DeviceId) -> (Traffic, Traffic) {
        let at = device.index() * WORDS;
        (traffic(&self.devices, at), traffic(&self.devices, at + 2))
    }

    /// Counts frames that came in by a logical port.
    #[inline]
    pub fn port_rx(&self, port: PortId, traffic: Traffic) {
        let at = port.0 as usize * WORDS;
        add(self.ports.get(at), traffic.packets);
        add(self.ports.get(at + 1), traffic.bytes);
    }

    /// Counts frames that left by a logical port.
    #[inline]
    pub fn port_tx(&self, port: PortId, traffic: Traffic) {
        let at = port.0 as usize * WORDS + 2;
        add(self.ports.get(at), traffic.packets);
        add(self.ports.get(at + 1), traffic.bytes);
    }

    /// In and out by a logical port, as seen from the network: in from the port, out to it.
    pub fn port(&self, port: PortId) -> (Traffic, Traffic) {
        let at = port.0 as usize * WORDS;
        (traffic(&self.ports, at), traffic(&self.ports, at + 2))
    }

    /// Tells how many datagrams are under way in fragments, and how many fragments wait for their first.
    #[inline]
    pub fn set_fragments(&self, datagrams: u32, held: u32) {
        self.datagrams.store(datagrams, Relaxed);
        self.held.store(held, Relaxed);
    }

    /// Datagrams under way in fragments, and fragments that wait for their first.
    pub fn fragments(&self) -> (u32, u32) {
        (self.datagrams.load(Relaxed), self.held.load(Relaxed))
    }

    /// The worker lives.
    #[inline]
    pub fn beat(&self, now: Tick) {
        self.heartbeat.store(now.0, Relaxed);
    }

    /// When the worker last began a loop.
    pub fn heartbeat(&self) -> Tick {
        Tick(self.heartbeat.load(Relaxed))
    }
}
