//! Destinations on the walk: what comes in for an address outside goes to the one inside.

use super::*;
use crate::tables::{Choosing, Dnat, DnatKind, Local};

impl<'a, R: Recorder> Walk<'a, R> {
    /// A packet to an address of a NAT rule that has come in by `port`: to the source of the connection that it
    /// answers, else to where a rule says.
    pub(super) fn translate_destination(
        &mut self,
        piece: &Piece,
        router: &Router,
        index: u16,
        port: &RouterPort,
    ) -> Step<()> {
        let L3::Ip(ip) = self.headers.l3 else {
            return Continue(());
        };
        let external = ip.dst;
        let local = router.local.get(&ip.dst);
        if !local.is_some_and(|local| local.nat) || !router.translates_at(port) {
            return Continue(());
        }
        let rule = router.nat.destination_rule(external, ip.src, index);
        let stateless = rule.filter(|rule| rule.kind == DnatKind::Stateless);
        if stateless.is_none() {
            self.want_ports()?;
        }
        let outside = self.view.tables.outside_zone(piece, port);
        if let L4::IcmpError {
            inner: Some(inner), ..
        } = ip.l4
        {
            return self.deliver_error(piece, router, outside, external, &inner, stateless);
        }
        if let (L4::IcmpError { inner: None, .. }, None) = (ip.l4, stateless) {
            // What it quotes is damaged, or a later fragment: nobody can tell whose it is.
            return drop(DropReason::IcmpErrorUnrelated);
        }
        if let Some(connection) = self.answered(&ip, external, [outside, piece.zone()]) {
            return self.translate_back(piece, router, external, connection);
        }
        if let Some((connection, Direction::Original)) = self.hit
            && connection.is_dnat()
            && connection.original.dst == external
        {
            return self.keep_destination(piece, router, &connection);
        }
        let port = ip.ports().map_or(0, |(_, dst)| dst);
        let vip = router.balancers.find(external, ip.proto, port);
        if self.hit.is_some() && (vip.is_some() || rule.is_some() && stateless.is_none()) {
            // It was opened when there was no such rule.
            return self.rule_gone();
        }
        match (vip, rule) {
            (Some(vip), _) => self.assign(piece, vip, &ip, Flags::BALANCED),
            (None, Some(rule)) => self.new_destination(piece, rule, &ip),
            (None, None) => self.enter_mapping(piece, router, index, &ip),
        }
    }

    /// The connection whose translated source is `external` and that this packet answers.
    fn answered(&self, ip: &Ip, external: IpAddr, zones: [Zone; 2]) -> Option<Connection> {
        let answered = |found: Option<(Connection, Direction)>| match found {
            Some((connection, Direction::Reply))
                if connection.is_snat() && connection.reply.dst == external =>
            {
                Some(connection)
            }
            _ => None,
        };
        if self.hit.is_some() {
            return answered(self.hit);
        }
        zones
            .into_iter()
            .filter_map(|zone| nat::flow_key(ip, zone))
            .find_map(|key| answered(nat::find(self.view.connections, &key)))
    }

    fn translate_back(
        &mut self,
        piece: &Piece,
        router: &Router,
        external: IpAddr,
        connection: Connection,
    ) -> Step<()> {
        let inside = connection.original.src;
        if !router.gives_source(&connection, external) {
            return self.rule_gone();
        }
        self.nat.back = true;
        self.nat.zone = piece.zone();
        self.nat.answers = Some(connection);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_destination(ip, &connection.rewrite(Direction::Reply));
        }
        self.recorder.record(Event::Untranslate {
            router: piece.id,
            from: (external, connection.reply.dst_port),
            to: (inside, connection.original.src_port),
        });
        Continue(())
    }

    /// An established connection keeps its destination as long as the rule stands.
    fn keep_destination(
        &mut self,
        piece: &Piece,
        router: &Router,
        connection: &Connection,
    ) -> Step<()> {
        if !router.leads(connection) {
            return self.rule_gone();
        }
        self.nat.zone = piece.zone();
        self.nat.destination = Some(piece.id);
        let original = &connection.original;
        let (from, to) = (
            (original.dst, original.dst_port),
            (connection.reply.src, connection.reply.src_port),
        );
        let vip = router.balancers.find(from.0, original.proto, from.1);
        let vip = vip.filter(|_| connection.flags.has(Flags::BALANCED));
        self.recorder.record(match vip {
            Some((vip, _)) => Event::Balance {
                datapath: piece.id,
                vip,
                by: Choosing::Connection,
                from,
                to,
            },
            None => Event::TranslateDestination {
                router: piece.id,
                known: true,
                from,
                to,
            },
        });
        let to = connection.rewrite(Direction::Original);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_destination(ip, &to);
            if connection.moves_port() {
                nat::rewrite_source(ip, &to);
            }
        }
        Continue(())
    }

    fn new_destination(&mut self, piece: &Piece, rule: &Dnat, ip: &Ip) -> Step<()> {
        let stateless = rule.kind == DnatKind::Stateless;
        if self.nat.destination.is_some() {
            return drop(DropReason::NatTwice);
        }
        if !stateless {
            if let Some(reason) = nat::untranslatable(ip) {
                return drop(reason);
            }
            self.propose(piece, ip, self.view.pick_up)?;
            self.outcome.translated.destination = Some((piece.id, rule.external));
        }
        self.nat.zone = piece.zone();
        self.nat.destination = Some(piece.id);
        let port = ip.ports().map_or(0, |(_, dst)| dst);
        self.recorder.record(Event::TranslateDestination {
            router: piece.id,
            known: false,
            from: (rule.external, port),
            to: (rule.logical, port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.dst = rule.logical;
        }
        Continue(())
    }

    /// Of a fragment the first tells whether the router here answers it.
    pub(super) fn gateway_wants_ports(&self, router: &Router, port: &RouterPort) -> Step<()> {
        let Some(ip) = self.headers.ip() else {
            return Continue(());
        };
        let unsure = |local: &Local| local.nat && !local.dnat;
        if !router.translates_at(port) && router.local.get(&ip.dst).is_some_and(unsure) {
            return self.want_ports();
        }
        Continue(())
    }

    /// A packet to an address of the router that is not for the router here: the gateway port translates it, on
    /// whichever chassis that is.
    pub(super) fn gateway_translates(&self, router: &Router, port: &RouterPort, ip: &Ip) -> bool {
        let asks = matches!(ip.l4, L4::Echo { reply: false, .. });
        let wants = |local: &Local| local.nat && (local.dnat || !asks);
        !router.translates_at(port)
            && router.local.get(&ip.dst).is_some_and(wants)
            && router.ports.iter().any(|port| port.gateway.is_some())
    }
}
