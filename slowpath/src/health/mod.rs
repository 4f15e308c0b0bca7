//! Health checks of backends (OVN's service monitors): who is asked when, and what follows from the answers.
//!
//! ```text
//!            checks in a row
//!   unknown --- success_count good ---> online  --- failure_count bad ---> offline
//!      \------- failure_count bad ----> offline --- success_count good --> online
//!   any --- its port is not known here ---> error --- it is ---> as the next checks say
//! ```
//!
//! A check begins every `interval`, is over when it is answered or after `timeout`, and is one of four
//! ([`Probe`]). No two checks of one target overlap. Checks of all targets together are bounded by a rate.

mod attempt;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;
use sluice_net::wire::ip_proto;
use sluice_net::{Headers, L4, Mac};

use crate::limit::{Bucket, Rate};
use crate::random::Random;
use crate::time::Time;
use attempt::{Attempt, Outcome};

/// What is sent to a backend, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A SYN; an answer that accepts it, which is reset.
    Tcp,
    /// A GET for `path`; a status from the first to the last of `status`.
    Http {
        /// The path.
        path: String,
        /// The first and the last status that is good.
        status: (u16, u16),
    },
    /// A datagram; no ICMP error within the timeout (a reply ends the wait).
    Udp,
    /// An echo request; its reply.
    Icmp,
}

/// How often, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Milliseconds from the beginning of one check to that of the next.
    pub interval: u32,
    /// Milliseconds to wait for the answer.
    pub timeout: u32,
    /// Good checks in a row that make it online.
    pub success_count: u16,
    /// Bad checks in a row that make it offline.
    pub failure_count: u16,
}

/// Who is checked, and how. `N` names the network in which its addresses mean something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target<N> {
    /// The network.
    pub network: N,
    /// Name of the switch port.
    pub logical_port: String,
    /// The backend's address.
    pub ip: IpAddr,
    /// Its port; 0 for [`Probe::Icmp`].
    pub port: u16,
    /// The address that asks.
    pub source: IpAddr,
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub pace: Pace,
}

/// How a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not judged yet.
    #[default]
    Unknown,
    /// As many good checks as it takes.
    Online,
    /// As many bad checks as it takes.
    Offline,
    /// It cannot be asked.
    Error,
}

/// Why a check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// Nobody listens.
    PortUnreachable,
    /// Not reachable, says somebody on the way.
    Unreachable,
    /// The answer was no HTTP.
    NotHttp,
    /// The answer had this status.
    Status(u16),
    /// Its MAC is not known.
    NoPort,
}

/// What is known of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// Why the last check that failed did.
    pub failure: Option<Failure>,
}

/// A frame to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent<N> {
    /// In which network.
    pub network: N,
    /// The frame.
    pub frame: Vec<u8>,
}

/// What makes the answers of a check its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow<N> {
    network: N,
    ip: IpAddr,
    proto: u8,
    port: u16,
    own: u16,
}

#[derive(Debug)]
struct Monitor<N> {
    target: Target<N>,
    mac: Option<Mac>,
    status: Status,
    /// Checks in a row that ended alike: good ones count up, bad ones down.
    row: i32,
    attempt: Option<Attempt>,
    due: Time,
}

/// All targets of a node. See the module's text.
#[derive(Debug)]
pub struct Monitors<N> {
    /// The MAC that asks.
    mac: Mac,
    monitors: HashMap<u64, Monitor<N>>,
    by_target: HashMap<Target<N>, u64>,
    flows: HashMap<Flow<N>, u64>,
    /// When checks are to begin.
    starts: BTreeSet<(Time, u64)>,
    /// When checks that are under way are to be looked at.
    timers: BTreeSet<(Time, u64)>,
    /// Targets whose status is another than when it was last asked for.
    changed: BTreeSet<u64>,
    bucket: Bucket,
    next: u64,
    random: Random,
}

/// First of the ports that checks come from (RFC 6335 section 6: those that nobody is given).
const FIRST_PORT: u16 = 49_152;
/// Tries to find a port that no check of the same target's address has.
const PORT_TRIES: usize = 8;

impl<N: Copy + Eq + Hash> Monitors<N> {
    /// No targets. Checks come from `mac` and begin at `rate` at most; `seed` makes their ports and sequence
    /// numbers hard to guess.
    #[must_use]
    pub fn new(mac: Mac, rate: Rate, seed: u64, now: Time) -> Self {
        Self {
            mac,
            monitors: HashMap::new(),
            by_target: HashMap::new(),
            flows: HashMap::new(),
            starts: BTreeSet::new(),
            timers: BTreeSet::new(),
            changed: BTreeSet::new(),
            bucket: Bucket::new(rate, now),
            next: 0,
            random: Random::new(seed),
        }
    }

    /// From now on these are checked, each by its MAC (`None`: it is not known). What is known of those that stay is
    /// kept; new ones are checked as soon as the rate lets them.
    pub fn set(&mut self, wanted: impl IntoIterator<Item = (Target<N>, Option<Mac>)>, now: Time) {
        let mut left = std::mem::take(&mut self.by_target);
        for (target, mac) in wanted {
            if self.by_target.contains_key(&target) {
                continue;
            }
            let id = left.remove(&target).unwrap_or_else(|| {
                self.next += 1;
                self.starts.insert((now, self.next));
                self.next
            });
            let monitor = self.monitors.entry(id).or_insert_with(|| Monitor {
                target: target.clone(),
                mac,
                status: Status {
                    since: now,
                    ..Status::default()
                },
                row: 0,
                attempt: None,
                due: now,
            });
            monitor.mac = mac;
            self.by_target.insert(target, id);
        }
        for id in left.into_values() {
            self.unschedule(id);
            self.end_attempt(id);
            self.monitors.remove(&id);
            self.changed.remove(&id);
        }
    }

    /// What is known of a target.
    #[must_use]
    pub fn status(&self, target: &Target<N>) -> Option<Status> {
        let id = self.by_target.get(target)?;
        Some(self.monitors.get(id)?.status)
    }

    /// A target whose status has changed since it was last told. Call until `None`.
    pub fn next_change(&mut self) -> Option<(Target<N>, Status)> {
        let monitor = self.monitors.get(&self.changed.pop_first()?)?;
        Some((monitor.target.clone(), monitor.status))
    }

    /// When [`poll`](Self::poll) has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let start = self.starts.first().map(|(due, _)| *due);
        let start = start.map(|due| due.max(self.bucket.next()));
        let under_way = self.timers.first().map(|(due, _)| *due);
        start.into_iter().chain(under_way).min()
    }

    /// Does what is due; a frame to send, if there is one. Call until `None`.
    pub fn poll(&mut self, now: Time) -> Option<Sent<N>> {
        loop {
            let due = |first: Option<&(Time, u64)>| first.filter(|(due, _)| *due <= now).copied();
            let id = match due(self.timers.first()) {
                Some((_, id)) => id,
                None => {
                    let (_, id) = due(self.starts.first())?;
                    if !self.bucket.take(now) {
                        return None;
                    }
                    id
                }
            };
            self.unschedule(id);
            let sent = self.turn(id, now);
            self.schedule(id);
            if sent.is_some() {
                return sent;
            }
        }
    }

    /// A target's time has come: to begin a check, to send something again, or to end a check.
    fn turn(&mut self, id: u64, now: Time) -> Option<Sent<N>> {
        let monitor = self.monitors.get_mut(&id)?;
        let Some(attempt) = &mut monitor.attempt else {
            return self.begin(id, now);
        };
        if now >= attempt.deadline {
            // Who has nothing against a datagram says nothing.
            let outcome = match monitor.target.probe {
                Probe::Udp => Outcome::Good,
                _ => Outcome::Bad(Failure::Timeout),
            };
            self.conclude(id, outcome, now);
            return None;
        }
        let Some(mac) = monitor.mac else {
            self.end_attempt(id);
            self.unknown_port(id, now);
            return None;
        };
        let frame = attempt.again(&monitor.target, (self.mac, mac), now);
        monitor.due = attempt.due();
        Some(Sent {
            network: monitor.target.network,
            frame,
        })
    }

    fn schedule(&mut self, id: u64) {
        if let Some(monitor) = self.monitors.get(&id) {
            let queue = match monitor.attempt {
                Some(_) => &mut self.timers,
                None => &mut self.starts,
            };
            queue.insert((monitor.due, id));
        }
    }

    fn unschedule(&mut self, id: u64) {
        if let Some(monitor) = self.monitors.get(&id) {
            self.timers.remove(&(monitor.due, id));
            self.starts.remove(&(monitor.due, id));
        }
    }

    fn begin(&mut self, id: u64, now: Time) -> Option<Sent<N>> {
        let monitor = self.monitors.get(&id)?;
        let Some(mac) = monitor.mac else {
            self.unknown_port(id, now);
            return None;
        };
        let flow = self.free_flow(id)?;
        let isn = self.random.draw() as u32;
        let monitor = self.monitors.get_mut(&id)?;
        let attempt = Attempt::new(&monitor.target, flow.own, isn, now);
        let frame = attempt.first(&monitor.target, (self.mac, mac));
        monitor.due = attempt.due();
        monitor.attempt = Some(attempt);
        let network = monitor.target.network;
        self.flows.insert(flow, id);
        Some(Sent { network, frame })
    }

    /// A port to ask from that no other check of the same backend has.
    fn free_flow(&mut self, id: u64) -> Option<Flow<N>> {
        let mut flow = self.monitors.get(&id)?.target.flow(0);
        for _ in 0..PORT_TRIES {
            flow.own = FIRST_PORT | self.random.draw() as u16;
            if !self.flows.contains_key(&flow) {
                break;
            }
        }
        Some(flow)
    }

    /// What somebody answered to the MAC that asks; frames to send are added to `out`. False when it is no answer to a
    /// check of this node.
    pub fn receive(
        &mut self,
        network: N,
        frame: &[u8],
        headers: &Headers,
        now: Time,
        out: &mut Vec<Sent<N>>,
    ) -> bool {
        let Some(flow) = answered(network, headers) else {
            return false;
        };
        let Some(&id) = self.flows.get(&flow) else {
            return false;
        };
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return false;
        };
        let (Some(attempt), Some(mac)) = (&mut monitor.attempt, monitor.mac) else {
            return false;
        };
        let (answer, outcome) = attempt.heard(&monitor.target, (self.mac, mac), frame, headers);
        out.extend(answer.map(|frame| Sent { network, frame }));
        if let Some(outcome) = outcome {
            self.unschedule(id);
            self.conclude(id, outcome, now);
            self.schedule(id);
        }
        true
    }

    /// A check is over.
    fn conclude(&mut self, id: u64, outcome: Outcome, now: Time) {
        let began = self.end_attempt(id);
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return;
        };
        let pace = monitor.target.pace;
        let next = began.unwrap_or(now).plus(pace.interval);
        monitor.due = next.max(now);
        let before = monitor.status;
        match outcome {
            Outcome::Good => {
                monitor.row = monitor.row.max(0).saturating_add(1);
                if monitor.row >= pace.success_count.into() {
                    monitor.status.state = State::Online;
                }
            }
            Outcome::Bad(failure) => {
                monitor.row = monitor.row.min(0).saturating_sub(1);
                monitor.status.failure = Some(failure);
                if -monitor.row >= pace.failure_count.into() {
                    monitor.status.state = State::Offline;
                }
            }
        }
        self.note(id, before, now);
    }

    fn unknown_port(&mut self, id: u64, now: Time) {
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return;
        };
        let before = monitor.status;
        monitor.due = now.plus(monitor.target.pace.interval);
        monitor.row = 0;
        monitor.status.state = State::Error;
        monitor.status.failure = Some(Failure::NoPort);
        self.note(id, before, now);
    }

    fn note(&mut self, id: u64, before: Status, now: Time) {
        let Some(monitor) = self.monitors.get_mut(&id) else {
            return;
        };
        if monitor.status.state != before.state {
            monitor.status.since = now;
        }
        if monitor.status != before {
            self.changed.insert(id);
        }
    }

    /// Ends the check of a target, if there is one; when it began.
    fn end_attempt(&mut self, id: u64) -> Option<Time> {
        let monitor = self.monitors.get_mut(&id)?;
        let attempt = monitor.attempt.take()?;
        self.flows.remove(&monitor.target.flow(attempt.own));
        Some(attempt.began)
    }
}

impl<N: Copy> Target<N> {
    fn flow(&self, own: u16) -> Flow<N> {
        let proto = match self.probe {
            Probe::Tcp | Probe::Http { .. } => ip_proto::TCP,
            Probe::Udp => ip_proto::UDP,
            Probe::Icmp if self.ip.is_ipv4() => ip_proto::ICMP,
            Probe::Icmp => ip_proto::ICMPV6,
        };
        Flow {
            network: self.network,
            ip: self.ip,
            proto,
            port: self.port,
            own,
        }
    }
}

/// The flow of the check that a packet answers, or that the packet is about which an error quotes.
fn answered<N>(network: N, headers: &Headers) -> Option<Flow<N>> {
    let ip = headers.ip()?;
    let (ip, proto, port, own) = match ip.l4 {
        L4::Tcp { src, dst, .. } | L4::Udp { src, dst } => (ip.src, ip.proto, src, dst),
        L4::Echo { reply: true, id } => (ip.src, ip.proto, 0, id),
        L4::IcmpError {
            inner: Some(inner), ..
        } => (inner.dst, inner.proto, inner.dst_port, inner.src_port),
        _ => return None,
    };
    Some(Flow {
        network,
        ip,
        proto,
        port,
        own,
    })
}
