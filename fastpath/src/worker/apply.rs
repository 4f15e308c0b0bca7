//! Applying what was decided: the cached way of an established connection, or the outcome of a walk.

use std::net::IpAddr;

use sluice_net::{Headers, Ip};

use super::opening::Trail;
use super::{Pending, Worker};
use crate::connections::{ConnRef, Connection, Direction, Held, Hit, NewConnection, Rewrite};
use crate::counters::Work;
use crate::exchange::{Logged, Origin, Punted, Work as SlowWork};
use crate::fragments::First;
use crate::ids::{DatapathId, PathId, PortId, Zone};
use crate::io::{FramePool, Ports};
use crate::path::Way;
use crate::pipeline::{self, Assigned, Outcome, TranslatedBy};
use crate::rewrite::Edit;
use crate::stage::enter::{Entered, Entry};
use crate::stage::nat::{self, Proposal};
use crate::tables::{AclDirection, AclVerdict, Acls, Decision, Piece, Snat};
use crate::verdict::{DropReason, IcmpError, Punt, Verdict};

/// What the slow path is told of a frame beside what to do with it; see [`Punted`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Whence {
    pub(super) inner: u16,
    pub(super) origin: Origin,
    pub(super) first: Option<First>,
    pub(super) home: Option<DatapathId>,
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Sends a packet of a known connection by its cached way. Gives the packet back when it must walk: no
    /// way cached, stale, or the packet is not what the way expects.
    pub(super) fn established(
        &mut self,
        pending: Pending<P::Frame>,
        hit: Hit,
    ) -> Option<Pending<P::Frame>> {
        let Some(ip) = pending.entered.headers.ip() else {
            return Some(pending);
        };
        let tables = self.tables.tables();
        let Some(way) = self
            .paths
            .fresh(hit.path, tables, &self.learned, self.changes, self.now)
        else {
            return Some(pending);
        };
        if !expected(way, &pending.entered, ip) {
            return Some(pending);
        }
        let edit = Edit {
            eth_dst: way.eth_dst,
            eth_src: way.eth_src,
            ttl: (way.ttl_steps > 0).then(|| ip.ttl - way.ttl_steps),
            tos: pending.entered.tos(ip),
            tuple: translated(ip, &hit.rewrite).then_some(hit.rewrite),
            quoted: None,
        };
        let egress = way.egress;
        if !self.touch_parsed(&pending.frame, &pending.entered, hit.conn, hit.direction) {
            return Some(pending);
        }
        self.counters.count(Work::Established, 1);
        self.emit(pending.frame, &pending.entered, &edit, egress);
        None
    }

    /// Walks a packet and does what the walk decided.
    pub(super) fn walk(&mut self, pending: Pending<P::Frame>, hit: Option<Hit>) {
        self.walk_as(pending, hit, true);
    }

    /// As [`Worker::walk`]; once more where another worker was faster, if it may be `again`.
    fn walk_as(&mut self, pending: Pending<P::Frame>, hit: Option<Hit>, again: bool) {
        let connection =
            hit.and_then(|hit| Some((self.connections.table().read(hit.conn)?, hit.direction)));
        let mut chooser = self.chooser.clone();
        let mut trail = Trail::default();
        let outcome = pipeline::walk(
            self.view(),
            &pending.entered,
            pending.zone,
            connection,
            &mut chooser,
            &mut trail,
        );
        if outcome.verdict == Verdict::Reassemble {
            return self.ask_first(pending);
        }
        self.counters.count(Work::Walk, 1);
        self.chooser = chooser;
        for sighting in &outcome.sightings {
            self.sight(*sighting);
        }
        if let Verdict::Transmit(_) | Verdict::Flood(_) = outcome.verdict {
            outcome.mark_used(&self.learned, self.now);
        }
        let v6 = pending.entered.headers.ip().is_some_and(Ip::is_v6);
        // A way of IPv6 without a connection is for all flows, so nothing on it may choose among them.
        let laned =
            pending.zone == Zone::NONE || v6 && !self.minds_flows_v6(&pending.entered, &outcome);
        self.count_decisions(&pending.entered, &outcome, connection.is_none());
        if outcome.asked.any {
            // What ACLs said of it they say of no other flow.
        } else if laned && connection.is_none() {
            self.remember(&pending.entered, &outcome, &trail.landmarks);
        } else if !v6 && connection.is_none() {
            self.remember_opening(&pending, &outcome, &trail);
        }
        if let Some((connection, direction)) = &connection
            && (outcome.close
                || outcome.asked.ends && self.comes_by(connection, *direction, &pending.entered))
        {
            self.close(connection.conn);
        }
        match (&outcome.proposal, connection) {
            (Some(proposal), None) => match self.open(proposal, &pending.entered, &outcome) {
                Ok(()) => {
                    self.tell_assigned(proposal.original.src, outcome.assigned);
                    self.count_translated(&outcome.translated);
                    self.finish(pending, &outcome);
                }
                // Another worker has mapped the source meanwhile.
                Err(DropReason::NatRace) if again && !proposal.rests.on_nothing() => {
                    self.walk_as(pending, None, false);
                }
                Err(reason) => self.unopened(pending, &outcome, reason),
            },
            (_, Some((connection, direction)))
                if !outcome.close
                    && !outcome.aside
                    && !pending.entered.headers.eth_dst.is_multicast() =>
            {
                self.keep(&connection, direction, &pending, &outcome);
                self.finish(pending, &outcome);
            }
            _ => self.finish(pending, &outcome),
        }
    }

    /// A router on the way has NAT or balancers of IPv6, or the switch that it entered has, and the entry does not tell
    /// by which port.
    fn minds_flows_v6(&self, entered: &Entered, outcome: &Outcome) -> bool {
        let tables = self.tables.tables();
        let router = |(id, _): &(DatapathId, u64)| {
            tables
                .router(*id)
                .is_some_and(|(_, router)| router.nat.has_v6() || router.balancers.serve(true))
        };
        let entry = match entered.entry {
            Entry::Keyless { switch, .. } => tables.switch(switch),
            _ => None,
        };
        outcome.deps.datapaths.iter().any(router)
            || entry.is_some_and(|(_, switch)| switch.balancers.serve(true))
    }

    /// Counts and logs what ACLs said of a packet without a connection, and of one that may not pass.
    fn count_decisions(&self, entered: &Entered, outcome: &Outcome, unknown: bool) {
        for (switch, decision) in &outcome.asked.decisions {
            let found = self.tables.tables().switch(*switch);
            if let Some(acls) = found.and_then(|(_, switch)| switch.acls.as_deref())
                && (unknown || decision.verdict != AclVerdict::Allow)
            {
                acls.count(*decision);
                let seen = match (
                    decision.verdict,
                    decision.acl.and_then(|acl| acls.rule(acl)),
                ) {
                    // It may have been routed since.
                    (AclVerdict::Allow, Some(acl)) if acl.direction != AclDirection::ToLport => {
                        &entered.headers
                    }
                    _ => &outcome.headers,
                };
                self.log(acls, *switch, *decision, seen);
            }
        }
    }

    /// Tells the slow path of a decision of an ACL that logs.
    pub(super) fn log(
        &self,
        acls: &Acls,
        switch: DatapathId,
        decision: Decision,
        headers: &Headers,
    ) {
        let Some(acl) = decision.acl.filter(|acl| acls.logs(*acl)) else {
            return;
        };
        let logged = Logged {
            generation: self.tables.tables().generation,
            switch,
            acl,
            headers: *headers,
        };
        let own = self.exchanges.get(usize::from(self.id.0));
        if !own.is_some_and(|own| own.log(logged)) {
            self.counters.count(Work::LogLost, 1);
        }
    }

    /// Counts a new connection of the rules that translate it; once for one that translates both ends.
    pub(super) fn count_translated(&self, by: &TranslatedBy) {
        let tables = self.tables.tables();
        let source = by.source.and_then(|rule| self.source_rule(rule));
        let destination = by.destination.and_then(|(router, external)| {
            let (_, router) = tables.router(router)?;
            router.nat.destination(external)
        });
        let source = source.map(|rule| &rule.hits);
        let destination = destination.map(|rule| &rule.hits);
        if let Some(hits) = source {
            hits.add();
        }
        if let Some(hits) = destination
            && source.is_none_or(|other| !std::sync::Arc::ptr_eq(other, hits))
        {
            hits.add();
        }
    }

    /// The rule with this index in those of a router that translate sources.
    #[inline]
    fn source_rule(&self, (router, index): (DatapathId, u32)) -> Option<&Snat> {
        let (_, router) = self.tables.tables().router(router)?;
        router.nat.snat().get(index as usize)
    }

    /// Tells a balancer that the connection it gave a backend is open.
    pub(super) fn tell_assigned(&self, client: IpAddr, assigned: Option<Assigned>) {
        let Some(Assigned {
            datapath,
            vip,
            backend,
        }) = assigned
        else {
            return;
        };
        let balancers = self.tables.tables().piece(datapath).map(Piece::balancers);
        let vip = balancers.and_then(|balancers| balancers.vips().get(vip as usize));
        if let Some(vip) = vip
            && let Some(backend) = vip.backends.get(usize::from(backend))
        {
            vip.given(client, backend, self.now);
        }
    }

    fn finish(&mut self, pending: Pending<P::Frame>, outcome: &Outcome) {
        let Pending {
            frame,
            origin,
            entered,
            ..
        } = pending;
        let whence = Whence {
            inner: entered.inner,
            origin,
            first: entered.first,
            home: outcome.home,
        };
        match outcome.verdict {
            Verdict::Transmit(egress) => {
                let edit = Edit::between(&entered.headers, &outcome.headers, outcome.quoted);
                self.emit(frame, &entered, &edit, egress);
            }
            Verdict::Flood(flood) => {
                let edit = Edit::between(&entered.headers, &outcome.headers, outcome.quoted);
                self.flood(&frame, &entered, &edit, flood);
            }
            Verdict::Punt(punt) => self.punt(frame, whence, punt),
            Verdict::Reject {
                reason,
                error,
                port,
            } => self.reject(frame, whence, reason, error, port),
            Verdict::Refuse { port, by, macs } => {
                self.counters.dropped(DropReason::AclReject);
                let work = SlowWork::Refuse { port, by, macs };
                if !self.give_slow_path(frame, whence, work) {
                    self.counters.count(Work::ErrorPoliced, 1);
                }
            }
            Verdict::Drop(reason) => self.counters.dropped(reason),
            // Asked before anything is done.
            Verdict::Reassemble => {}
        }
    }

    /// Drops a frame by name, and lets its sender be told.
    fn reject(
        &mut self,
        frame: P::Frame,
        whence: Whence,
        reason: DropReason,
        error: IcmpError,
        port: PortId,
    ) {
        self.counters.dropped(reason);
        let work = SlowWork::Error { error, port };
        if !self.give_slow_path(frame, whence, work) {
            self.counters.count(Work::ErrorPoliced, 1);
        }
    }

    /// A packet whose connection cannot be opened. Where it is for want of room, or a limit, the sender is told
    /// (RFC 6888 REQ-11).
    fn unopened(&mut self, pending: Pending<P::Frame>, outcome: &Outcome, reason: DropReason) {
        match (reason, outcome.last_in) {
            (DropReason::ConnectionsFull | DropReason::SourceLimit, Some(port)) => {
                let whence = Whence {
                    inner: pending.entered.inner,
                    origin: pending.origin,
                    first: pending.entered.first,
                    home: outcome.home,
                };
                self.reject(
                    pending.frame,
                    whence,
                    reason,
                    IcmpError::HostUnreachable,
                    port,
                );
            }
            _ => self.counters.dropped(reason),
        }
    }

    /// Gives a frame to the slow path, or drops it by name.
    pub(super) fn punt(&mut self, frame: P::Frame, whence: Whence, punt: Punt) {
        if self.give_slow_path(frame, whence, SlowWork::Punt(punt)) {
            self.counters.punt(punt.class());
        } else {
            self.counters.dropped(DropReason::PuntPoliced);
        }
    }

    fn give_slow_path(&mut self, frame: P::Frame, whence: Whence, work: SlowWork) -> bool {
        if !self.police.pass(work.class(), self.now) {
            return false;
        }
        let Some(exchange) = self.exchanges.get(usize::from(self.id.0)) else {
            return false;
        };
        let Whence {
            inner,
            origin,
            first,
            home,
        } = whence;
        exchange
            .punt(Punted {
                frame,
                inner,
                origin,
                first,
                home,
                work,
                worker: self.id,
            })
            .is_ok()
    }

    fn sight(&mut self, sighting: crate::exchange::Sighting) {
        let taken = self
            .exchanges
            .get(usize::from(self.id.0))
            .is_some_and(|own| own.sight(sighting));
        if !taken {
            self.counters.count(Work::SightingLost, 1);
        }
    }

    // ---- connections ----

    fn path_for(&mut self, entered: &Entered, outcome: &Outcome) -> PathId {
        let generation = self.tables.tables().generation;
        outcome
            .way(entered)
            .and_then(|way| self.paths.take(way, generation, self.changes, self.now))
            .unwrap_or(PathId::NONE)
    }

    /// Opens the proposed connection.
    fn open(
        &mut self,
        proposal: &Proposal,
        entered: &Entered,
        outcome: &Outcome,
    ) -> Result<(), DropReason> {
        let rests = &proposal.rests;
        let held = match rests.on_nothing() {
            true => Ok(Held::default()),
            false => self.connections.hold(rests, self.now),
        };
        let held = held.map_err(nat::refusal)?;
        let path = self.path_for(entered, outcome);
        let new = NewConnection {
            original: proposal.original,
            reply: proposal.reply,
            paths: [path, PathId::NONE],
            state: proposal.state,
            flags: proposal.flags,
        };
        match self.connections.insert(&new, self.now) {
            Ok(inserted) => {
                if !rests.on_nothing() {
                    self.connections.rest(inserted.conn, held);
                }
                self.opened(inserted);
                let bytes = u32::from(entered.len);
                let flags = entered.headers.ip().map(nat::tcp_flags).unwrap_or_default();
                self.connections
                    .touch(inserted.conn, Direction::Original, bytes, flags, self.now);
                Ok(())
            }
            Err(error) => {
                self.paths.release(path);
                if !rests.on_nothing() {
                    self.connections.release(held, self.now);
                }
                Err(nat::refusal(error))
            }
        }
    }

    /// Counts a packet of a connection that walked, and caches its way when it left by one.
    fn keep(
        &mut self,
        connection: &Connection,
        direction: Direction,
        pending: &Pending<P::Frame>,
        outcome: &Outcome,
    ) {
        let (Verdict::Transmit(_) | Verdict::Flood(_)) = outcome.verdict else {
            return;
        };
        let entered = &pending.entered;
        self.touch_parsed(&pending.frame, entered, connection.conn, direction);
        if direction == Direction::Original {
            self.renew_flags(connection, outcome);
        }
        let before = connection.paths[direction.index()];
        let path = self.path_for(entered, outcome);
        if self.connections.set_path(connection.conn, direction, path) {
            self.paths.release(before);
        } else {
            self.paths.release(path);
        }
    }

    /// The packet comes the way that those of the connection do.
    fn comes_by(&self, connection: &Connection, direction: Direction, entered: &Entered) -> bool {
        let way = self.paths.way(connection.paths[direction.index()]);
        way.is_some_and(|way| {
            way.entry == entered.entry
                && way.macs == (entered.headers.eth_dst, entered.headers.eth_src)
        })
    }

    /// ACLs may track more ends of the connection than before. What they do not track any more stays known: this packet
    /// need not be one of the connection, only of its addresses.
    pub(super) fn renew_flags(&mut self, connection: &Connection, outcome: &Outcome) {
        let flags = connection.flags.and(outcome.asked.tracked);
        if flags != connection.flags {
            self.connections.set_flags(connection.conn, flags);
        }
    }

    pub(super) fn close(&mut self, conn: ConnRef) {
        if let Some(connection) = self.connections.close(conn) {
            self.release(&connection);
            self.counters.count(Work::Closed, 1);
        }
    }

    pub(super) fn release(&mut self, connection: &Connection) {
        for path in connection.paths {
            self.paths.release(path);
        }
    }
}

/// The packet comes as those the way was made for, lives long enough for it and fits.
#[inline]
fn expected(way: &Way, entered: &Entered, ip: &Ip) -> bool {
    !way.each
        && way.entry == entered.entry
        && way.macs == (entered.headers.eth_dst, entered.headers.eth_src)
        && way.carries(ip.ttl, ip.total_len)
}

/// The connection changes the packet's tuple.
#[inline]
fn translated(ip: &Ip, to: &Rewrite) -> bool {
    let (src_port, dst_port) = ip.ports().unwrap_or((0, 0));
    *to != Rewrite {
        src: ip.src,
        dst: ip.dst,
        src_port,
        dst_port,
    }
}
