//! Fragments whose ports somebody on their way wants to know: the worker that knows about their datagram, what it holds, and
//! what it lets go on.

use std::ops::ControlFlow::{Break, Continue};

use sluice_net::Fragment;

use super::{Pending, Worker};
use crate::counters::Work;
use crate::exchange::{HandedTo, Origin};
use crate::fragments::{Arrival, First, Fragments, Key, Limits, Secret};
use crate::io::{Frame, FramePool, Ports};
use crate::stage::enter::{self, Entered, Entry};
use crate::stage::nat;
use crate::verdict::Step;

/// Bounds of the fragments that wait for their first, and what all workers of a node choose by.
#[derive(Clone, Copy, Debug, Default)]
pub struct FragmentSetup {
    /// Bounds of this worker.
    pub limits: Limits,
    /// The same for all workers of the node.
    pub secret: Secret,
}

/// A worker's fragments under way.
#[derive(Debug)]
pub(super) struct UnderWay<F> {
    table: Fragments<(F, Origin)>,
    secret: Secret,
    /// It is not as it was told last.
    touched: bool,
}

impl<F> UnderWay<F> {
    pub(super) fn new(setup: FragmentSetup) -> Self {
        UnderWay {
            table: Fragments::new(setup.limits, setup.secret),
            secret: setup.secret,
            touched: false,
        }
    }
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// A fragment that walked until somebody wanted to know its ports: to the worker that knows about its datagram. Which that is
    /// no card decides: what it hashes of fragments is not what it hashes of whole packets.
    #[cold]
    pub(super) fn ask_first(&mut self, pending: Pending<P::Frame>) {
        let Some(key) = Key::of(&pending.entered.entry, &pending.entered.headers) else {
            return;
        };
        let worker = self.fragments.secret.worker(&key, self.exchanges.len());
        if worker != self.id {
            let to = HandedTo::Fragment(pending.origin);
            return self.hand_over(worker, pending.frame, to);
        }
        self.take_fragment(pending, &key);
    }

    /// A fragment of a datagram that this worker knows about.
    pub(super) fn fragment_handed(&mut self, frame: P::Frame, origin: Origin) {
        let entered = match self.enter(&frame, origin) {
            Continue(entered) => entered,
            Break(verdict) => return self.end_early(frame, origin, verdict),
        };
        if let Some(key) = Key::of(&entered.entry, &entered.headers) {
            let zone = enter::zone(self.tables.tables(), &entered.entry);
            let pending = Pending {
                frame,
                origin,
                entered,
                zone,
            };
            self.take_fragment(pending, &key);
        }
    }

    fn take_fragment(&mut self, pending: Pending<P::Frame>, key: &Key) {
        let Some(ip) = pending.entered.headers.ip() else {
            return;
        };
        let extent = ip.extent;
        let first = (ip.fragment == Fragment::First).then(|| {
            let found = nat::flow_key(ip, pending.zone)
                .is_some_and(|key| self.connections.table().find(&key).is_some());
            (First::of(ip), found)
        });
        self.counters.count(Work::Fragment, 1);
        self.fragments.touched = true;
        let counters = &self.counters;
        let arrival = self.fragments.table.arrive(
            key,
            &extent,
            first,
            (pending.frame, pending.origin),
            self.now,
            |reason| counters.dropped(reason),
        );
        let ((frame, origin), mut released) = match arrival {
            Arrival::Goes(item, released) => (item, released),
            Arrival::Held => return self.counters.count(Work::FragmentHeld, 1),
            Arrival::Refused(reason) => return self.counters.dropped(reason),
        };
        self.go_on(frame, origin, pending.entered, released.first);
        while let Some((frame, origin)) = self.fragments.table.release(&mut released) {
            self.fragment_known(frame, origin, released.first);
        }
    }

    /// A fragment that is told what the first of its datagram says.
    pub(super) fn fragment_known(&mut self, frame: P::Frame, origin: Origin, first: First) {
        match self.enter(&frame, origin) {
            Continue(entered) => self.go_on(frame, origin, entered, first),
            Break(verdict) => self.end_early(frame, origin, verdict),
        }
    }

    fn go_on(&mut self, frame: P::Frame, origin: Origin, mut entered: Entered, first: First) {
        entered.tell(first);
        self.admit(frame, origin, Continue(entered));
    }

    /// What a frame from elsewhere enters.
    pub(super) fn enter(&self, frame: &P::Frame, origin: Origin) -> Step<Entered> {
        match origin {
            Origin::Device(device) => {
                enter::from_device(self.tables.tables(), device, frame.data())
            }
            Origin::SwitchPort(port) => enter::from_slow_path(Entry::Owner(port), frame.data()),
            Origin::Switch(switch) => enter::from_slow_path(Entry::Made(switch), frame.data()),
            Origin::Router(router) => {
                enter::from_slow_path(Entry::Originated(router), frame.data())
            }
        }
    }

    /// Lets go what has waited too long, and tells how many are under way.
    #[inline]
    pub(super) fn tend_fragments(&mut self) {
        if self.fragments.touched || !self.fragments.table.is_empty() {
            self.expire_fragments();
        }
    }

    #[cold]
    fn expire_fragments(&mut self) {
        let (table, counters) = (&mut self.fragments.table, &self.counters);
        table.expire(self.now, |reason| counters.dropped(reason));
        counters.count(Work::FragmentDisplaced, table.take_displaced());
        counters.set_fragments(table.len(), table.held());
        self.fragments.touched = false;
    }
}
