//! Translation on the walk: which connection a packet belongs to, and what it becomes.

use super::*;
use crate::connections::{FlowKey4, PortRequest};

impl<'a, R: Recorder> Walk<'a, R> {
    /// A packet to a SNAT address: the destination of the connection it answers.
    pub(super) fn translate_back(
        &mut self,
        piece: &Piece,
        router: &Router,
        port: &RouterPort,
    ) -> Step<()> {
        let L3::Ip(ip) = self.headers.l3 else {
            return Continue(());
        };
        let IpAddr::V4(external) = ip.dst else {
            return Continue(());
        };
        if !router.local.get(&ip.dst).is_some_and(|local| local.nat) {
            return Continue(());
        }
        if ip.fragment != Fragment::None {
            return drop(DropReason::NatFragment);
        }
        let zone = self.view.tables.outside_zone(piece, port);
        let error = match ip.l4 {
            L4::IcmpError {
                inner: Some(inner), ..
            } => Some(inner),
            _ => None,
        };
        let found = match &error {
            Some(inner) => {
                nat::quoted_key(inner, zone).and_then(|key| nat::find(self.view.connections, &key))
            }
            None => nat::flow_key(&ip, zone).and_then(|key| self.find(&key)),
        };
        let Some((connection, Direction::Reply)) = found else {
            return if error.is_some() {
                drop(DropReason::IcmpErrorUnrelated)
            } else {
                Continue(())
            };
        };
        let inside = connection.original.source();
        if !router
            .snat
            .iter()
            .any(|rule| rule.external == external && rule.logical.contains(&inside))
        {
            self.outcome.close = error.is_none();
            return drop(DropReason::NatRuleGone);
        }
        let to = connection.rewrite(Direction::Reply);
        self.translated_back = true;
        self.nat_zone = piece.zone();
        if let L3::Ip(ip) = &mut self.headers.l3 {
            match &error {
                // Only the destination: the error comes from whichever router sent it.
                Some(_) => {
                    ip.dst = IpAddr::V4(inside);
                    self.outcome.quoted = Some(nat::quoted_rewrite(&connection, Direction::Reply));
                }
                None => nat::rewrite(ip, &to),
            }
        }
        self.recorder.record(Event::Untranslate {
            router: piece.id,
            from: (external, connection.reply.dst_port),
            to: (inside, connection.original.src_port),
        });
        Continue(())
    }

    /// The connection of a key: the one found at the entry, if it is of this key, else by a look-up.
    pub(super) fn find(&self, key: &FlowKey4) -> Option<(Connection, Direction)> {
        match &self.hit {
            Some((connection, Direction::Reply)) if connection.reply == *key => self.hit,
            Some((connection, Direction::Original)) if connection.original == *key => self.hit,
            _ => nat::find(self.view.connections, key),
        }
    }

    /// A packet that leaves by port `out`: translated by its connection or by the first rule that wants it;
    /// tracked when its answer would otherwise be.
    pub(super) fn translate(
        &mut self,
        piece: &Piece,
        router: &Router,
        in_index: Option<u16>,
        out: u16,
    ) -> Step<()> {
        if router.snat.is_empty()
            || self.translated_back
            || matches!(self.entered.entry, Entry::Originated(_))
        {
            return Continue(());
        }
        let L3::Ip(ip) = self.headers.l3 else {
            return Continue(());
        };
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ip.src, ip.dst) else {
            return Continue(());
        };
        self.nat_zone = piece.zone();
        if let L4::IcmpError {
            inner: Some(inner), ..
        } = ip.l4
        {
            return self.translate_error(piece, router, &ip, &inner, in_index, out);
        }
        let rule = router.snat_rule(src, in_index, out);
        let answered =
            in_index.is_some_and(|in_index| router.snat_rule(dst, Some(out), in_index).is_some());
        if rule.is_none() && !answered && self.hit.is_none() {
            return Continue(());
        }
        let known = self.hit.or_else(|| {
            nat::flow_key(&ip, piece.zone()).and_then(|key| nat::find(self.view.connections, &key))
        });
        match known {
            Some((connection, direction)) => {
                self.recorder.record(Event::Connection {
                    reply: direction == Direction::Reply,
                    translated: connection.is_snat(),
                });
                self.keep_translation(
                    piece,
                    &connection,
                    direction,
                    rule.map(|(_, rule)| rule.external),
                )
            }
            None => match rule {
                Some((index, rule)) => {
                    self.translate_new(piece, router, &ip, out, (index, rule.external))
                }
                None => self.track(piece, &ip),
            },
        }
    }

    /// An established connection keeps its translation as long as the rule stands.
    pub(super) fn keep_translation(
        &mut self,
        piece: &Piece,
        connection: &Connection,
        direction: Direction,
        external: Option<Ipv4Addr>,
    ) -> Step<()> {
        let to = connection.rewrite(Direction::Original);
        if direction == Direction::Reply || !connection.is_snat() {
            return Continue(());
        }
        if external != Some(Ipv4Addr::from_bits(to.src)) {
            self.outcome.close = true;
            return drop(DropReason::NatRuleGone);
        }
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: None,
            from: (connection.original.source(), connection.original.src_port),
            to: (Ipv4Addr::from_bits(to.src), to.src_port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite(ip, &to);
        }
        Continue(())
    }

    pub(super) fn translate_new(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        out: u16,
        (index, external): (usize, Ipv4Addr),
    ) -> Step<()> {
        if let Some(reason) = nat::untranslatable(ip) {
            return drop(reason);
        }
        if self.outcome.proposal.is_some() {
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
            external: external.to_bits(),
            original: now.src_port,
            remote: now.dst,
            remote_port: now.dst_port,
            zone,
        };
        // The other side knows a stream in its middle by the port it had: most likely its own.
        let accept = |port| !middle || port == now.src_port;
        let Some(chosen) = self.ports.choose(self.view.connections, &request, accept) else {
            return drop(DropReason::NatPortsExhausted);
        };
        let reply = chosen.reply;
        let to = Rewrite::towards(&reply);
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: Some(index),
            from: (now.source(), now.src_port),
            to: (external, chosen.port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite(ip, &to);
        }
        self.outcome.proposal = Some(Proposal {
            original,
            reply,
            state,
            flags: if middle {
                Flags::PICKED_UP
            } else {
                Flags::default()
            },
            reply_zone_open: false,
        });
        Continue(())
    }

    /// A packet from outside to an inner address, untranslated: remembered, so that its answers stay so too.
    pub(super) fn track(&mut self, piece: &Piece, ip: &Ip) -> Step<()> {
        if self.outcome.proposal.is_some() {
            return Continue(());
        }
        let (Some(original), Some(now)) = (self.entry_key(piece), nat::flow_key(ip, piece.zone()))
        else {
            return Continue(());
        };
        // Never refused: without a SYN it may be older than this node.
        let Ok(state) = nat::open(ip, true) else {
            return Continue(());
        };
        self.recorder.record(Event::Track { router: piece.id });
        let reply = now.reversed(Zone::NONE);
        self.outcome.proposal = Some(Proposal {
            original,
            reply,
            state,
            flags: Flags::default(),
            reply_zone_open: true,
        });
        Continue(())
    }

    /// The key of the packet as it entered the node.
    pub(super) fn entry_key(&self, piece: &Piece) -> Option<FlowKey4> {
        let zone = if self.zone == Zone::NONE {
            piece.zone()
        } else {
            self.zone
        };
        nat::flow_key(self.entered.headers.ip()?, zone)
    }

    /// An ICMP error from inside about an answer: quoted and outer source become the external address.
    pub(super) fn translate_error(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        inner: &Inner,
        in_index: Option<u16>,
        out: u16,
    ) -> Step<()> {
        let found = [self.zone, piece.zone()]
            .into_iter()
            .filter_map(|zone| nat::quoted_key(inner, zone))
            .find_map(|key| nat::find(self.view.connections, &key));
        let (IpAddr::V4(src), Some((connection, direction))) = (ip.src, found) else {
            let wanted =
                matches!(ip.src, IpAddr::V4(src) if router.snat_rule(src, in_index, out).is_some());
            return if wanted {
                drop(DropReason::IcmpErrorUnrelated)
            } else {
                Continue(())
            };
        };
        if direction == Direction::Reply || !connection.is_snat() {
            return Continue(());
        }
        let external = connection.rewrite(Direction::Original).src;
        self.outcome.quoted = Some(nat::quoted_rewrite(&connection, Direction::Original));
        self.recorder.record(Event::Translate {
            router: piece.id,
            rule: None,
            from: (src, 0),
            to: (Ipv4Addr::from_bits(external), 0),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.src = IpAddr::V4(Ipv4Addr::from_bits(external));
        }
        Continue(())
    }
}
