//! Sources on the walk: what leaves a router gets the address that it has outside, answers the one they were sent to.

use super::*;
use crate::connections::key::is_by_address;
use crate::connections::{Address, FlowKey, PortRequest, Rests};
use crate::pipeline::balance::Wants;
use crate::spread::Accept;
use crate::tables::{Snat, SnatKind};

/// The rules that translate a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranslatedBy {
    /// Its source: the router, and the index of the rule.
    pub source: Option<(DatapathId, u32)>,
    /// Its destination: the router, and the address of the rule.
    pub destination: Option<(DatapathId, IpAddr)>,
}

/// What became of a packet's addresses so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Translated {
    /// The switch or router that translated the source.
    pub(super) source: Option<DatapathId>,
    /// The switch or router that translated the destination.
    pub(super) destination: Option<DatapathId>,
    /// What the balancer that did wants of the source.
    pub(super) wants: Option<Wants>,
    /// The destination was translated back: this is an answer, its source is not translated by a rule.
    pub(super) back: bool,
    /// The connection that the packet answers, where it was not found at the entry.
    pub(super) answers: Option<Connection>,
    /// It belongs to a connection that was not found at the entry.
    pub(super) known: bool,
    /// A source port that is chosen at the end of the walk.
    pub(super) turned: Option<Turned>,
    /// Where answers to the packet come by: zone of the switch or router that chose its destination, that tracks it, or
    /// the last gateway router behind that.
    pub(super) zone: Zone,
}

/// The source of a packet that goes back inside: its port must be free where the answers enter, and that the end
/// of the walk tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    pub(super) router: DatapathId,
    pub(super) rule: Option<usize>,
    pub(super) from: (IpAddr, u16),
    pub(super) keeps_port: bool,
    pub(super) range: Option<(u16, u16)>,
    /// The port is chosen already, for all remote ends.
    pub(super) mapped: Option<u16>,
}

impl<'a, R: Recorder> Walk<'a, R> {
    /// The rule of the connection is gone.
    pub(super) fn rule_gone<T>(&mut self) -> Step<T> {
        self.outcome.close = true;
        drop(DropReason::NatRuleGone)
    }

    /// No port is free, or the address itself where there are no ports: the sender is told (RFC 6888 REQ-11; with its code instead of that of RFC 5508 REQ-8, which hosts
    /// take for final).
    pub(super) fn exhausted<T>(&self) -> Step<T> {
        let proto = self.headers.ip().map(|ip| ip.proto);
        let reason = match proto.is_some_and(is_by_address) {
            true => DropReason::NatAddressTaken,
            false => DropReason::NatPortsExhausted,
        };
        route::refuse(self.last_in, reason, IcmpError::HostUnreachable)
    }

    /// A packet that leaves by port `out`: the source that it has outside, by its connection or by the first rule that
    /// wants it; tracked when its answer would otherwise be translated.
    pub(super) fn translate(
        &mut self,
        piece: &Piece,
        router: &Router,
        in_index: Option<u16>,
        out: u16,
    ) -> Step<()> {
        if router.bound && self.outcome.proposal.is_some() {
            // What answers comes by this router again, wherever it comes from.
            self.nat.zone = piece.zone();
        }
        let idle = router.nat.is_empty() && router.balancers.is_empty();
        if idle || matches!(self.entered.entry, Entry::Originated(_)) {
            return Continue(());
        }
        let L3::Ip(ip) = self.headers.l3 else {
            return Continue(());
        };
        let (src, dst) = (ip.src, ip.dst);
        self.router_wants_ports(router, &ip, in_index, out)?;
        if let L4::IcmpError {
            inner: Some(inner), ..
        } = ip.l4
        {
            return self.translate_error(piece, router, &ip, &inner, (in_index, out));
        }
        if self.translate_source_back(piece, router)? || self.nat.back {
            return Continue(());
        }
        if self.nat.source == Some(piece.id) {
            return Continue(());
        }
        if self.nat.destination == Some(piece.id) {
            return self.turn(piece, router, &ip, (in_index, out));
        }
        let rule = router.nat.source_rule(src, dst, in_index, out);
        let answered = || {
            let of_answer = |index| router.nat.source_rule(dst, src, Some(out), index);
            in_index.is_some_and(|index| of_answer(index).is_some())
        };
        if rule.is_none() && self.hit.is_none() && !answered() {
            return Continue(());
        }
        let known = self.hit.or_else(|| {
            nat::flow_key(&ip, piece.zone()).and_then(|key| nat::find(self.view.connections, &key))
        });
        match (known, rule) {
            (Some((connection, direction)), rule) => {
                self.nat.known = true;
                self.recorder.record(Event::Connection {
                    reply: direction == Direction::Reply,
                    translated: connection.is_snat() || connection.is_dnat(),
                });
                if direction == Direction::Reply {
                    return Continue(());
                }
                if rule.is_some_and(|(_, rule)| !Self::maps_as(rule, &connection))
                    && connection.is_snat()
                {
                    return self.rule_gone();
                }
                let external = rule.map(|(_, rule)| rule.external);
                if external.is_none() && router.source_of_balanced(&connection).is_some() {
                    // Its destination comes first, when it is back in.
                    return Continue(());
                }
                self.keep_source(piece, router, &connection, external)
            }
            (None, Some((index, rule))) if rule.kind == SnatKind::Stateless => {
                self.replace_source(piece, index, rule, &ip);
                Continue(())
            }
            (None, Some(rule)) if self.turns(router, out, dst) => {
                self.turn_by(piece, router, &ip, rule)
            }
            (None, Some((index, rule))) => self.translate_new(piece, router, &ip, out, index, rule),
            (None, None) => self.track(piece, &ip),
        }
    }

    /// A packet that leaves by a gateway port for an address of the router's own rules comes back in by it.
    pub(super) fn turns(&self, router: &Router, out: u16, dst: IpAddr) -> bool {
        let gateway = |port: &RouterPort| port.gateway.is_some();
        router.ports.get(usize::from(out)).is_some_and(gateway)
            && router.local.get(&dst).is_some_and(|local| local.nat)
    }

    /// An answer of a connection whose destination this router translates leaves with the address that the first
    /// packet was sent to. False when it is none.
    fn translate_source_back(&mut self, piece: &Piece, router: &Router) -> Step<bool> {
        let answered = match self.hit {
            Some((connection, Direction::Reply)) => Some(connection),
            Some(_) => None,
            None => self.nat.answers,
        };
        let of_router = |connection: &Connection| {
            connection.is_dnat() && !connection.flags.has(Flags::BY_SWITCH)
        };
        let Some(connection) = answered.filter(of_router) else {
            return Continue(false);
        };
        let external = connection.original.dst;
        let local = router.local.get(&external);
        if !local.is_some_and(|local| local.nat) || self.nat.source.is_some() {
            return Continue(false);
        }
        let inside = connection.reply.src;
        if !router.leads(&connection) {
            return self.rule_gone();
        }
        self.nat.source = Some(piece.id);
        self.recorder.record(Event::UntranslateSource {
            datapath: piece.id,
            from: (inside, connection.reply.src_port),
            to: (external, connection.original.dst_port),
        });
        let to = connection.rewrite(Direction::Reply);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_source(ip, &to);
            if connection.moves_port() {
                nat::rewrite_destination(ip, &to);
            }
        }
        Continue(true)
    }

    /// An established connection keeps its source as long as the rule stands.
    fn keep_source(
        &mut self,
        piece: &Piece,
        router: &Router,
        connection: &Connection,
        wanted: Option<IpAddr>,
    ) -> Step<()> {
        let to = connection.rewrite(Direction::Original);
        let external = to.src;
        if connection.original.src == to.src && connection.original.src_port == to.src_port {
            return Continue(());
        }
        match wanted {
            Some(wanted) if wanted == external => {}
            // Another router's.
            None if !router.local.contains_key(&external) => return Continue(()),
            _ => return self.rule_gone(),
        }
        self.nat.source = Some(piece.id);
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: None,
            from: (connection.original.src, connection.original.src_port),
            to: (external, to.src_port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_source(ip, &to);
        }
        Continue(())
    }

    /// A stateless rule: the address and nothing else, and nothing is remembered.
    fn replace_source(&mut self, piece: &Piece, index: usize, rule: &Snat, ip: &Ip) {
        let port = ip.ports().map_or(0, |(src, _)| src);
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: Some(index),
            from: (ip.src, port),
            to: (rule.external, port),
        });
        self.nat.source = Some(piece.id);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.src = rule.external;
        }
    }

    fn translate_new(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        out: u16,
        index: usize,
        rule: &Snat,
    ) -> Step<()> {
        if let Some(reason) = nat::untranslatable(ip) {
            return drop(reason);
        }
        if self.nat.source.is_some() {
            return drop(DropReason::NatTwice);
        }
        let middle = nat::in_the_middle(ip);
        let state = match nat::open(ip, middle && self.view.pick_up) {
            Ok(state) => state,
            Err(reason) => return drop(reason),
        };
        let port = gone(router.ports.get(usize::from(out)))?;
        let zone = self.view.tables.outside_zone(piece, port);
        let (Some(original), Some(now)) = (self.entry_key(piece), nat::flow_key(ip, zone)) else {
            return drop(DropReason::NatProtocol);
        };
        let request = PortRequest {
            proto: now.proto,
            external: rule.external,
            original: now.src_port,
            remote: now.dst,
            remote_port: now.dst_port,
            zone,
            source: original.src,
            now: self.view.now,
        };
        // The other side knows a stream in its middle by the port it had: most likely its own.
        let keeps = middle || rule.kind != SnatKind::Snat;
        let (reply, rests) = if rule.maps(now.proto) {
            let (mapping, leave) = self.map_source(piece, router, (index, rule), &now, keeps)?;
            let rests = Rests {
                source: Some(mapping),
                leave,
                destination: None,
            };
            (request.reply_key(mapping.outside.1), rests)
        } else {
            let parity = |port| rule.keeps_parity(now.src_port, port);
            let accept = |port| (!keeps || port == now.src_port) && parity(port);
            let Some(reply) = self.choose(&request, rule.range(), accept) else {
                return self.exhausted();
            };
            (reply, Rests::default())
        };
        self.outcome.translated.source = Some((piece.id, index as u32));
        self.nat.source = Some(piece.id);
        let to = Rewrite::towards(&reply);
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: Some(index),
            from: (now.src, now.src_port),
            to: (rule.external, to.src_port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_source(ip, &to);
        }
        let flags = if middle {
            Flags::PICKED_UP
        } else {
            Flags::default()
        };
        let mapped = match rests.on_nothing() {
            true => Flags::default(),
            false => Flags::MAPPED_FROM,
        };
        let before = self.outcome.proposal.map(|proposal| proposal.flags);
        let flags = flags.and(mapped).and(before.unwrap_or_default());
        self.outcome.proposal = Some(Proposal {
            original,
            reply,
            state,
            flags,
            rests,
            reply_open: false,
        });
        Continue(())
    }

    /// The key of the answers with a port that is free.
    pub(super) fn choose(
        &mut self,
        request: &PortRequest,
        ports: Option<(u16, u16)>,
        accept: impl Fn(u16) -> bool,
    ) -> Option<FlowKey> {
        match (request.narrow::<u32>(), request.narrow::<u128>()) {
            (Some(request), _) => self.choose_of(&request, ports, accept),
            (_, Some(request)) => self.choose_of(&request, ports, accept),
            (None, None) => None,
        }
    }

    fn choose_of<A: Address>(
        &mut self,
        request: &PortRequest<A>,
        ports: Option<(u16, u16)>,
        accept: impl Fn(u16) -> bool,
    ) -> Option<FlowKey> {
        let (table, homes) = (self.view.connections.of::<A>(), self.view.homes);
        let mut choose = |accept: Accept<'_>| match ports {
            None => self.ports.choose(table, request, accept),
            Some(range) => self.ports.choose_in(table, request, range, accept),
        };
        let choice = homes.prefer(self.view.tables, request, &accept, &mut choose)?;
        Some(choice.reply.widen())
    }

    /// The source of a packet whose destination this router has translated: it may go back inside.
    fn turn(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        (in_index, out): (Option<u16>, u16),
    ) -> Step<()> {
        let rule = router.nat.turning_rule(ip.src, ip.dst, in_index);
        if let Some((connection, Direction::Original)) = self.hit {
            let balanced = router.source_of_balanced(&connection);
            let mapped = rule.is_none_or(|(_, rule)| Self::maps_as(rule, &connection));
            if balanced.is_none() && !mapped && connection.is_snat() {
                return self.rule_gone();
            }
            let by_rule = rule.map(|(_, rule)| rule.external);
            return self.keep_source(piece, router, &connection, balanced.or(by_rule));
        }
        let forced = match (
            router.lb_force_router_ip,
            router.ports.get(usize::from(out)),
        ) {
            (true, Some(port)) => port.address_for(ip.dst),
            _ => router.forced_source(ip.dst),
        };
        match (self.nat.wants, forced, rule) {
            (
                Some(Wants {
                    skip_snat: false, ..
                }),
                Some(forced),
                _,
            ) => self.turn_as(piece, ip, None, forced),
            (
                Some(Wants {
                    skip_snat: false, ..
                })
                | None,
                _,
                Some(rule),
            ) => self.turn_by(piece, router, ip, rule),
            (
                Some(Wants {
                    hairpin: Some(source),
                    ..
                }),
                ..,
            ) => self.turn_as(piece, ip, None, source),
            _ => Continue(()),
        }
    }

    fn turn_by(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        (index, rule): (usize, &Snat),
    ) -> Step<()> {
        if rule.kind == SnatKind::Stateless {
            self.replace_source(piece, index, rule, ip);
            return Continue(());
        }
        if rule.maps(ip.proto) {
            return self.turn_mapped(piece, router, ip, (index, rule));
        }
        self.turn_as(piece, ip, Some((index, rule)), rule.external)
    }

    /// The source of a packet whose answer comes from inside. It is rewritten now, its port at the end.
    pub(super) fn turn_as(
        &mut self,
        piece: &Piece,
        ip: &Ip,
        rule: Option<(usize, &Snat)>,
        external: IpAddr,
    ) -> Step<()> {
        if let Some(reason) = nat::untranslatable(ip) {
            return drop(reason);
        }
        if self.nat.source.is_some() {
            return drop(DropReason::NatTwice);
        }
        self.propose(piece, ip, self.view.pick_up)?;
        let Some(now) = nat::flow_key(ip, piece.zone()) else {
            return drop(DropReason::NatProtocol);
        };
        self.nat.zone = piece.zone();
        self.outcome.translated.source = rule.map(|(index, _)| (piece.id, index as u32));
        self.nat.source = Some(piece.id);
        self.nat.turned = Some(Turned {
            router: piece.id,
            rule: rule.map(|(index, _)| index),
            from: (ip.src, now.src_port),
            keeps_port: rule.is_some_and(|(_, rule)| rule.kind != SnatKind::Snat),
            range: rule.and_then(|(_, rule)| rule.range()),
            mapped: None,
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.src = external;
        }
        Continue(())
    }

    /// Proposes a connection whose answers are as the packet is at the end of the walk, unless one is proposed.
    pub(super) fn propose(&mut self, piece: &Piece, ip: &Ip, pick_up: bool) -> Step<()> {
        if let Some(proposal) = &mut self.outcome.proposal {
            proposal.reply_open = true;
            return Continue(());
        }
        let state = match nat::open(ip, pick_up) {
            Ok(state) => state,
            Err(reason) => return drop(reason),
        };
        let (Some(original), Some(now)) = (self.entry_key(piece), nat::flow_key(ip, piece.zone()))
        else {
            return drop(DropReason::NatProtocol);
        };
        self.outcome.proposal = Some(Proposal {
            original,
            reply: now.reversed(Zone::NONE),
            state,
            flags: Flags::default(),
            rests: Rests::default(),
            reply_open: true,
        });
        Continue(())
    }

    /// A packet from outside to an inner address, untranslated: remembered, so that its answers stay so too.
    fn track(&mut self, piece: &Piece, ip: &Ip) -> Step<()> {
        if self.outcome.proposal.is_some() {
            return Continue(());
        }
        // Never refused: without a SYN it may be older than this node.
        if let Continue(()) = self.propose(piece, ip, true) {
            self.nat.zone = piece.zone();
            self.recorder.record(Event::Track { router: piece.id });
        }
        Continue(())
    }

    /// The key of the packet as it entered the node.
    pub(super) fn entry_key(&self, piece: &Piece) -> Option<FlowKey> {
        let zone = if self.zone == Zone::NONE {
            piece.zone()
        } else {
            self.zone
        };
        nat::flow_key(self.entered.headers.ip()?, zone)
    }

    /// The answers to a proposed connection come from where its packets go, into `zone`; a port that was left open is
    /// chosen there.
    pub(super) fn complete(&mut self, zone: Zone) -> Step<()> {
        let Some(mut proposal) = self.outcome.proposal.filter(|proposal| proposal.reply_open)
        else {
            return Continue(());
        };
        let L3::Ip(ip) = self.headers.l3 else {
            return Continue(());
        };
        let Some(now) = nat::flow_key(&ip, zone) else {
            self.outcome.proposal = None;
            return Continue(());
        };
        proposal.reply = now.reversed(zone);
        let port = match (self.nat.turned, self.nat.destination) {
            (Some(turned), _) => turned.from.1,
            (None, Some(_)) => now.src_port,
            // Nothing is translated.
            (None, None) => {
                self.outcome.proposal = Some(proposal);
                return Continue(());
            }
        };
        let request = PortRequest {
            proto: now.proto,
            external: now.src,
            original: port,
            remote: now.dst,
            remote_port: now.dst_port,
            zone,
            source: proposal.original.src,
            now: self.view.now,
        };
        // A host that talks to itself may not seem to be its own answer, wherever that enters.
        let original = FlowKey {
            zone,
            ..proposal.original
        };
        let apart = |port| request.reply_key(port) != original;
        if let Some(port) = self.nat.turned.and_then(|turned| turned.mapped) {
            return self.complete_mapped(proposal, request.reply_key(port), apart(port));
        }
        let (keeps, ports) = match self.nat.turned {
            Some(turned) => (turned.keeps_port && apart(port), turned.range),
            None => (proposal.flags.has(Flags::MAPPED_TO), None),
        };
        let accept = |chosen| apart(chosen) && (!keeps || chosen == port);
        let Some(reply) = self.choose(&request, ports, accept) else {
            return self.exhausted();
        };
        proposal.reply = reply;
        self.tell_turned(&reply, (now.src, port));
        self.outcome.proposal = Some(proposal);
        Continue(())
    }

    /// Writes the source that was chosen at the end. Where nothing but the destination is translated it is the packet's
    /// own, but for the port if another client of the backend has that already, by another address.
    pub(super) fn tell_turned(&mut self, reply: &FlowKey, own: (IpAddr, u16)) {
        let to = Rewrite::towards(reply);
        let (router, rule, from) = match (self.nat.turned, self.nat.destination) {
            (Some(turned), _) => (turned.router, turned.rule, turned.from),
            (None, Some(datapath)) if own.1 != to.src_port => (datapath, None, own),
            _ => return,
        };
        self.recorder.record(Event::Translate {
            router,
            rule,
            from,
            to: (reply.dst, to.src_port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_source(ip, &to);
        }
    }
}
