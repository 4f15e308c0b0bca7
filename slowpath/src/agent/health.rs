//! Health checks of the backends of this node's balancers: who is to be checked, the checks' way out and back, and what
//! they say to the balancers.
//!
//! A node checks the backends that it sends new connections to: those of its gateway routers, of the gateway ports that
//! it is a candidate for (so that it knows when it takes over), and of switches with clients here. In OVN the chassis of
//! the backend does it and tells the others by the southbound database, which there is none of here.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use sluice_fastpath::exchange::{InjectTo, Origin, Punted};
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::io::FramePool;
use sluice_fastpath::tables::{
    self, Ailment, Condition, Health, HealthCheck, Mapping, Piece, PieceKind, Router, Tables, Vip,
};
use sluice_net::Mac;

use super::Agent;
use super::counters::count;
use super::resolve::ANY_WORKER;
use crate::health::{Failure, Monitors, Pace, Probe, Sent, State, Status, Target};
use crate::time::Time;

/// A backend of a virtual IP, by its index.
type Backing = (Arc<Vip>, u16);

/// What is checked, and whom it concerns.
#[derive(Debug)]
pub(super) struct Checks {
    monitors: Monitors<DatapathId>,
    backed: HashMap<Target<DatapathId>, Vec<Backing>>,
}

impl Checks {
    pub(super) fn new(monitors: Monitors<DatapathId>) -> Self {
        Self {
            monitors,
            backed: HashMap::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.monitors.next_deadline()
    }
}

impl<P: FramePool> Agent<P> {
    /// Takes the checks of a new generation; what is known of backends that stay is told to their new tables.
    pub(super) fn take_checks(&mut self, tables: &Tables) {
        let vips = checked(tables);
        self.checks.backed.clear();
        if vips.is_empty() {
            return self.checks.monitors.set([], self.now);
        }
        let seats = Seats::of(tables);
        let mut wanted = Vec::new();
        let mut renewed = Vec::new();
        for vip in vips {
            for (index, backend) in (0..).zip(&vip.backends) {
                let (Some(check), Some(mapping)) = (&vip.check, &backend.mapping) else {
                    continue;
                };
                let ip = backend.ip;
                let seat = seats.find(mapping, ip);
                let network = seat.map_or(DatapathId(u32::MAX), |(switch, _)| switch);
                let target = target(network, check, mapping, (ip, backend.port.unwrap_or(0)));
                wanted.push((target.clone(), seat.and_then(|(_, mac)| mac)));
                let backed = self.checks.backed.entry(target).or_default();
                backed.push((Arc::clone(vip), index));
            }
            renewed.push(vip);
        }
        self.checks.monitors.set(wanted, self.now);
        for (target, backed) in &self.checks.backed {
            if let Some(status) = self.checks.monitors.status(target) {
                tell(backed, status);
            }
        }
        for vip in renewed {
            vip.renew();
        }
    }

    /// Begins and ends checks whose time has come.
    pub(super) fn run_checks(&mut self) {
        for _ in 0..self.settings.timers_per_step {
            let Some(sent) = self.checks.monitors.poll(self.now) else {
                break;
            };
            self.send_check(&sent);
        }
        self.apply_checks();
    }

    fn send_check(&self, sent: &Sent<DatapathId>) {
        let to = InjectTo::Walk(Origin::Switch(sent.network));
        self.send(ANY_WORKER, &sent.frame, to, &self.counters.checks_sent);
    }

    /// What somebody said to who checks backends. What is no answer to this node, and came from a port of it, may be one
    /// to another chassis.
    pub(super) fn check_answered(&mut self, punted: &Punted<P::Frame>, switch: DatapathId) {
        let Some((frame, headers)) = self.inner(punted) else {
            return;
        };
        let mut answers = Vec::new();
        let ours = self
            .checks
            .monitors
            .receive(switch, frame, &headers, self.now, &mut answers);
        if ours {
            count(&self.counters.checks_answered);
            for sent in &answers {
                self.send_check(sent);
            }
            return self.apply_checks();
        }
        let known = self.reader.tables().switch(switch);
        let others = known
            .and_then(|(_, switch)| switch.monitored.as_ref())
            .is_some_and(|monitored| !monitored.nodes.is_empty());
        if others && punted.inner == 0 && headers.vlan.is_none() {
            let to = InjectTo::Walk(Origin::Switch(switch));
            self.send(punted.worker, frame, to, &self.counters.checks_relayed);
        }
    }

    /// Tells the balancers what has changed.
    fn apply_checks(&mut self) {
        let mut renewed: Vec<Arc<Vip>> = Vec::new();
        while let Some((target, status)) = self.checks.monitors.next_change() {
            let Some(backed) = self.checks.backed.get(&target) else {
                continue;
            };
            if status.since == self.now {
                log(&target, status, backed);
                count(match status.state {
                    State::Online => &self.counters.backends_up,
                    _ => &self.counters.backends_down,
                });
                for (vip, _) in backed {
                    if !renewed.iter().any(|other| Arc::ptr_eq(other, vip)) {
                        renewed.push(Arc::clone(vip));
                    }
                }
            }
            tell(backed, status);
        }
        for vip in renewed {
            vip.renew();
        }
    }
}

/// Virtual IPs with checks whose new connections this node gives to backends.
fn checked(tables: &Tables) -> Vec<&Arc<Vip>> {
    let gives = |piece: &&Arc<Piece>| match &piece.kind {
        PieceKind::Switch(_) => true,
        PieceKind::Router(router) => may_balance(router),
    };
    let mut seen = HashSet::new();
    let pieces = tables.datapaths.iter().flatten().filter(gives);
    let vips = pieces.flat_map(|piece| piece.balancers().vips());
    vips.filter(|vip| vip.check.is_some() && seen.insert(Arc::as_ptr(vip)))
        .collect()
}

/// A gateway router of this node, or one with a gateway port that this node may hold.
fn may_balance(router: &Router) -> bool {
    let gateways = router.ports.iter().filter_map(|port| port.gateway.as_ref());
    let mut candidates = gateways.flat_map(|gateway| &gateway.candidates);
    router.bound || candidates.any(|(_, tunnel)| tunnel.is_none())
}

/// Switch ports by name.
struct Seats<'t>(HashMap<&'t str, (DatapathId, &'t tables::Switch, u16)>);

impl<'t> Seats<'t> {
    fn of(tables: &'t Tables) -> Self {
        let mut seats = HashMap::new();
        for piece in tables.datapaths.iter().flatten() {
            if let PieceKind::Switch(switch) = &piece.kind
                && switch.monitored.is_some()
            {
                for (index, port) in (0..).zip(&switch.ports) {
                    seats.insert(port.name.as_str(), (piece.id, switch, index));
                }
            }
        }
        Self(seats)
    }

    /// The switch of a backend's port, and its MAC: the one that has its address, else one of the port.
    fn find(&self, mapping: &Mapping, ip: IpAddr) -> Option<(DatapathId, Option<Mac>)> {
        let (id, switch, index) = *self.0.get(mapping.logical_port.as_str())?;
        let known = switch.known.get(&ip).filter(|known| known.port == index);
        let of_port = || {
            let macs = switch.by_mac.iter().filter(|(_, port)| **port == index);
            macs.map(|(mac, _)| *mac).min_by_key(|mac| mac.0)
        };
        Some((id, known.map(|known| known.mac).or_else(of_port)))
    }
}

fn target(
    network: DatapathId,
    check: &HealthCheck,
    mapping: &Mapping,
    (ip, port): (IpAddr, u16),
) -> Target<DatapathId> {
    let probe = match &check.probe {
        tables::Probe::Tcp => Probe::Tcp,
        tables::Probe::Http { path, status } => Probe::Http {
            path: path.clone(),
            status: *status,
        },
        tables::Probe::Udp => Probe::Udp,
        tables::Probe::Icmp => Probe::Icmp,
    };
    Target {
        network,
        logical_port: mapping.logical_port.clone(),
        ip,
        port: if probe == Probe::Icmp { 0 } else { port },
        source: mapping.source,
        probe,
        pace: Pace {
            interval: check.interval,
            timeout: check.timeout,
            success_count: check.success_count,
            failure_count: check.failure_count,
        },
    }
}

fn tell(backed: &[Backing], status: Status) {
    let condition = condition(status);
    for (vip, index) in backed {
        if let Some(backend) = vip.backends.get(usize::from(*index)) {
            backend.liveness.set(condition);
        }
    }
}

fn condition(status: Status) -> Condition {
    Condition {
        health: match status.state {
            State::Unknown => Health::Unknown,
            State::Online => Health::Online,
            State::Offline => Health::Offline,
            State::Error => Health::Error,
        },
        since: u32::try_from(status.since.0 / 1000).unwrap_or(u32::MAX),
        ailment: status.failure.map(|failure| match failure {
            Failure::Timeout => Ailment::Timeout,
            Failure::Reset => Ailment::Reset,
            Failure::PortUnreachable => Ailment::PortUnreachable,
            Failure::Unreachable => Ailment::Unreachable,
            Failure::NotHttp => Ailment::NotHttp,
            Failure::Status(status) => Ailment::Status(status),
            Failure::NoPort => Ailment::NoPort,
        }),
    }
}

fn log(target: &Target<DatapathId>, status: Status, backed: &[Backing]) {
    let balancer = backed.first().map_or("?", |(vip, _)| &vip.balancer);
    let Condition {
        health, ailment, ..
    } = condition(status);
    let why = ailment.filter(|_| !health.serves());
    tracing::info!(
        load_balancer = balancer,
        port = target.logical_port,
        ip = %target.ip,
        service = target.port,
        why = why.map(tracing::field::display),
        "backend is {}",
        health.name()
    );
}
