//! The queues between a worker, the slow path and other workers. Bounded; a full one is a counted drop.

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::Unparker;
use sluice_net::{Headers, Mac};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fragments::First;
use crate::ids::{DatapathId, PortId, WorkerId};
use crate::io::{DeviceId, Frame};
use crate::verdict::{IcmpError, Punt, PuntClass};

/// Where a frame enters the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Received on a device (first time or again after a resolution).
    Device(DeviceId),
    /// Made by the slow path in the name of a switch port: it goes to that switch's forwarding as if it
    /// had come in by the port, without port security and without being answered here.
    SwitchPort(PortId),
    /// Made by the slow path for a station of a switch, in nobody's name: it goes to that switch's forwarding.
    Switch(DatapathId),
    /// Made by a router itself (ICMP errors, echo replies): routed, translated by nothing, TTL kept.
    /// Its Ethernet addresses do not matter.
    Router(DatapathId),
}

/// A frame for the slow path, unmodified since it was received or injected.
#[derive(Debug)]
pub struct Punted<F> {
    /// The frame, outer headers included.
    pub frame: F,
    /// Where the logical frame starts in it: behind the tunnel headers, else 0.
    pub inner: u16,
    /// How it entered; injecting the frame with this walks it again.
    pub origin: Origin,
    /// What the first fragment of its datagram says, if it is a fragment and has been told.
    pub first: Option<First>,
    /// The router that had translated its source, if one had: the frame is as it came, so what its sender is told goes by that
    /// router, which knows it by the address in the frame.
    pub home: Option<DatapathId>,
    /// What is to be done.
    pub work: Work,
    /// The worker that met it; it is the one to walk the frame again.
    pub worker: WorkerId,
}

impl<F> Punted<F> {
    /// How to walk the frame again, or a piece of it.
    #[must_use]
    pub fn again(&self) -> InjectTo {
        match self.first {
            None => InjectTo::Walk(self.origin),
            Some(first) => InjectTo::Known(self.origin, first),
        }
    }
}

/// What the slow path is to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A punt.
    Punt(Punt),
    /// Tell the sender why its packet was dropped.
    Error {
        /// What to tell.
        error: IcmpError,
        /// Router port the packet came in by.
        port: PortId,
    },
    /// Tell the sender that an ACL rejects its packet.
    Refuse {
        /// The switch port in whose name: its share of what may be said.
        port: PortId,
        /// The switch port that the answer comes by.
        by: PortId,
        /// Ethernet addresses that the packet had there: destination, source.
        macs: (Mac, Mac),
    },
}

impl Work {
    /// The queue it travels in.
    pub fn class(&self) -> PuntClass {
        match self {
            Work::Punt(punt) => punt.class(),
            Work::Error { .. } | Work::Refuse { .. } => PuntClass::Icmp,
        }
    }
}

/// A frame from the slow path.
#[derive(Debug)]
pub struct Injected<F> {
    /// The frame.
    pub frame: F,
    /// What to do with it.
    pub to: InjectTo,
}

/// What the worker does with an injected frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InjectTo {
    /// Walk it from there.
    Walk(Origin),
    /// Walk it from there: a fragment that was told what the first of its datagram says, and need not ask again.
    Known(Origin, First),
    /// Send it out of a device as it is.
    Device(DeviceId),
}

/// Something a worker saw in passing. No frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A source MAC that the FDB does not hold at this port.
    Mac {
        /// FDB domain.
        domain: u32,
        /// The MAC.
        mac: Mac,
        /// The switch port it was seen on.
        port: PortId,
    },
    /// An ARP or ND message passed a switch with a router port on it.
    Neighbor {
        /// The router port.
        port: PortId,
        /// Sender's address.
        ip: IpAddr,
        /// Sender's MAC.
        mac: Mac,
        /// A reply or advertisement (RFC 826 / RFC 4861 7.2.5), not a request.
        reply: bool,
    },
}

/// What an ACL that logs decided about a packet. No frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Generation of the tables that the next two are of.
    pub generation: u64,
    /// The switch.
    pub switch: DatapathId,
    /// Index of the ACL in those of the switch.
    pub acl: u32,
    /// The packet as the ACL saw it.
    pub headers: Headers,
}

/// All queues of one worker.
#[derive(Debug)]
pub struct Exchange<F> {
    punts: [ArrayQueue<Punted<F>>; PuntClass::ALL.len()],
    sightings: ArrayQueue<Sighting>,
    logs: ArrayQueue<Logged>,
    injected: ArrayQueue<Injected<F>>,
    handed: ArrayQueue<HandedOff<F>>,
    slow_path: Unparker,
    asleep: std::sync::Arc<AtomicBool>,
}

/// A frame handed from one worker to another.
#[derive(Debug)]
pub struct HandedOff<F> {
    /// The frame.
    pub frame: F,
    /// What the other worker does with it.
    pub to: HandedTo,
}

/// Why a frame was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedTo {
    /// The connection is the other worker's.
    Owner(Origin),
    /// The same, of a fragment that has been told what the first of its datagram says.
    Known(Origin, First),
    /// A fragment: the other worker knows about its datagram.
    Fragment(Origin),
    /// Only the other worker has a transmit queue there; the frame is ready to send.
    Transmit(DeviceId),
}

impl<F: Frame> Exchange<F> {
    /// Queues of `depth` frames; `slow_path` wakes the slow path when `asleep` says that it sleeps.
    pub fn new(depth: usize, slow_path: Unparker, asleep: std::sync::Arc<AtomicBool>) -> Self {
        Self {
            punts: std::array::from_fn(|_| ArrayQueue::new(depth)),
            sightings: ArrayQueue::new(depth * 4),
            logs: ArrayQueue::new(depth),
            injected: ArrayQueue::new(depth * 4),
            handed: ArrayQueue::new(depth * 8),
            slow_path,
            asleep,
        }
    }

    /// Hands a frame to the slow path; it comes back when the queue is full.
    pub fn punt(&self, punted: Punted<F>) -> Result<(), Punted<F>> {
        self.punts[punted.work.class() as usize].push(punted)?;
        self.wake();
        Ok(())
    }

    /// Tells the slow path of a sighting; `false` when the queue is full (it will be seen again).
    pub fn sight(&self, sighting: Sighting) -> bool {
        let taken = self.sightings.push(sighting).is_ok();
        self.wake();
        taken
    }

    /// Tells the slow path what is to be logged; `false` when the queue is full.
    pub fn log(&self, logged: Logged) -> bool {
        let taken = self.logs.push(logged).is_ok();
        self.wake();
        taken
    }

    /// What is to be logged next; called by the slow path.
    pub fn next_logged(&self) -> Option<Logged> {
        self.logs.pop()
    }

    /// The next punted frame of a class; called by the slow path.
    pub fn next_punt(&self, class: PuntClass) -> Option<Punted<F>> {
        self.punts[class as usize].pop()
    }

    /// The next sighting; called by the slow path.
    pub fn next_sighting(&self) -> Option<Sighting> {
        self.sightings.pop()
    }

    /// Gives the worker a frame; it comes back when the queue is full.
    pub fn inject(&self, injected: Injected<F>) -> Result<(), Injected<F>> {
        self.injected.push(injected)
    }

    /// The next injected frame; called by the worker.
    pub fn next_injected(&self) -> Option<Injected<F>> {
        self.injected.pop()
    }

    /// Gives this worker a frame of another; it comes back when the ring is full.
    pub fn hand_over(&self, handed: HandedOff<F>) -> Result<(), HandedOff<F>> {
        self.handed.push(handed)
    }

    /// The next frame of another worker; called by the worker.
    pub fn next_handed(&self) -> Option<HandedOff<F>> {
        self.handed.pop()
    }

    /// True when frames wait for the worker.
    pub fn has_work(&self) -> bool {
        !self.injected.is_empty() || !self.handed.is_empty()
    }

    /// True when the slow path has nothing to take from here.
    pub fn is_drained(&self) -> bool {
        self.sightings.is_empty()
            && self.logs.is_empty()
            && self.punts.iter().all(ArrayQueue::is_empty)
    }

    fn wake(&self) {
        // What was handed over must be seen by a slow path that goes to sleep now.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Acquire) && self.asleep.swap(false, Ordering::AcqRel) {
            self.slow_path.unpark();
        }
    }
}
