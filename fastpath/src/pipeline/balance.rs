//! Load balancers on the walk: a router's at its gateway, a switch's where the packets of its VIFs come in.

use super::*;
use crate::tables::{Balancers, Choosing, Vip};

/// A backend that a new connection was given: datapath, index of the virtual IP, index in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The switch or router.
    pub datapath: DatapathId,
    /// Index of the virtual IP in its balancers.
    pub vip: u32,
    /// Index of the backend in the virtual IP.
    pub backend: u16,
}

/// What a balancer wants of the source of a new connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    /// It stays as it is.
    pub(super) skip_snat: bool,
    /// The backend is who asks: its packets must seem to come from here.
    pub(super) hairpin: Option<IpAddr>,
}

impl<'a, R: Recorder> Walk<'a, R> {
    /// A new connection to a virtual IP goes to one of its backends.
    pub(super) fn assign(
        &mut self,
        piece: &Piece,
        (index, vip): (u32, &Vip),
        ip: &Ip,
        flags: Flags,
    ) -> Step<()> {
        if self.nat.destination.is_some() {
            return drop(DropReason::NatTwice);
        }
        if let Some(reason) = nat::untranslatable(ip) {
            return drop(reason);
        }
        let Some(flow) = nat::flow_key(ip, piece.zone()) else {
            return drop(DropReason::NatProtocol);
        };
        let port = flow.dst_port;
        let Some((chosen, backend, by)) = vip.choose(&flow, self.view.now) else {
            return match vip.reject {
                true => route::refuse(
                    self.refuser(piece),
                    DropReason::NoBackend,
                    IcmpError::Refused,
                ),
                false => drop(DropReason::NoBackend),
            };
        };
        self.propose(piece, ip, self.view.pick_up)?;
        if let Some(proposal) = &mut self.outcome.proposal {
            proposal.flags = proposal.flags.and(flags);
        }
        let itself = flow.src == backend.ip;
        self.nat.zone = piece.zone();
        self.nat.destination = Some(piece.id);
        self.nat.wants = Some(Wants {
            skip_snat: vip.skip_snat,
            hairpin: itself.then(|| vip.hairpin_source()),
        });
        self.outcome.assigned = Some(Assigned {
            datapath: piece.id,
            vip: index,
            backend: chosen,
        });
        let to_port = backend.port.unwrap_or(port);
        self.recorder.record(Event::Balance {
            datapath: piece.id,
            vip: index,
            by,
            from: (flow.dst, port),
            to: (backend.ip, to_port),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            let to = Rewrite {
                dst: backend.ip,
                dst_port: to_port,
                ..Rewrite::towards(&flow.reversed(Zone::NONE))
            };
            nat::rewrite_destination(ip, &to);
        }
        Continue(())
    }

    /// The router port that tells who sends that nobody serves: of a switch the first that it is attached to.
    fn refuser(&self, piece: &Piece) -> Option<PortId> {
        self.last_in.or_else(|| match &piece.kind {
            PieceKind::Switch(switch) => switch.router_ports.first().copied(),
            PieceKind::Router(_) => None,
        })
    }

    /// What a VIF sends to a virtual IP of its switch; of a connection from a VIF to itself the answers too.
    pub(super) fn balance(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        port: Option<&SwitchPort>,
    ) -> Step<()> {
        let vif = port.is_some_and(|port| !port.router && !port.localnet);
        let (false, true, L3::Ip(ip)) = (switch.balancers.is_empty(), vif, self.headers.l3) else {
            return Continue(());
        };
        let dst = ip.dst;
        self.balancers_want_ports(switch)?;
        if let L4::IcmpError {
            inner: Some(inner), ..
        } = ip.l4
        {
            self.balance_error(piece, &inner);
            return Continue(());
        }
        match self.hit {
            Some((connection, direction)) if self.is_switchs(piece, &connection) => {
                return self.keep_balanced(piece, switch, &connection, direction);
            }
            Some((_, Direction::Reply)) => return Continue(()),
            _ => {}
        }
        let port = ip.ports().map_or(0, |(_, dst)| dst);
        let Some(found) = switch.balancers.find(dst, ip.proto, port) else {
            return Continue(());
        };
        if self.hit.is_some() {
            // It was opened when there was no such virtual IP.
            return self.rule_gone();
        }
        self.assign(piece, found, &ip, Flags::BALANCED.and(Flags::BY_SWITCH))?;
        if let Some(Wants {
            hairpin: Some(source),
            ..
        }) = self.nat.wants
        {
            self.turn_as(piece, &ip, None, source)?;
        }
        Continue(())
    }

    /// The connection is balanced by this switch.
    fn is_switchs(&self, piece: &Piece, connection: &Connection) -> bool {
        connection.flags.has(Flags::BY_SWITCH) && connection.original.zone == piece.zone()
    }

    fn keep_balanced(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        connection: &Connection,
        direction: Direction,
    ) -> Step<()> {
        let itself = connection.is_to_itself();
        if direction == Direction::Reply && !itself {
            // Its source becomes the virtual IP where it leaves for the client.
            return Continue(());
        }
        let source = connection.reply.dst;
        let stands = |balancers: &Balancers| {
            let (vip, _) = balancers.of_connection(connection)?;
            (!itself || vip.hairpin_source() == source).then_some(())
        };
        if stands(&switch.balancers).is_none() {
            return self.rule_gone();
        }
        let to = connection.rewrite(direction);
        self.nat.zone = piece.zone();
        self.tell_balanced(piece, switch, connection, direction);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_destination(ip, &to);
            if itself || connection.moves_port() {
                nat::rewrite_source(ip, &to);
            }
        }
        match direction {
            Direction::Original => self.nat.destination = Some(piece.id),
            Direction::Reply => self.nat.back = true,
        }
        if itself {
            self.nat.source = Some(piece.id);
        }
        Continue(())
    }

    fn tell_balanced(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        connection: &Connection,
        direction: Direction,
    ) {
        let original = &connection.original;
        let vip = switch
            .balancers
            .find(original.dst, original.proto, original.dst_port);
        let (service, backend) = (
            (original.dst, original.dst_port),
            (connection.reply.src, connection.reply.src_port),
        );
        self.recorder.record(match (direction, vip) {
            (Direction::Original, Some((vip, _))) => Event::Balance {
                datapath: piece.id,
                vip,
                by: Choosing::Connection,
                from: service,
                to: backend,
            },
            _ => Event::UntranslateSource {
                datapath: piece.id,
                from: backend,
                to: service,
            },
        });
    }

    /// An answer that leaves for the client of a virtual IP comes from that.
    pub(super) fn unbalance(&mut self, piece: &Piece, switch: &Switch) -> Step<()> {
        let (false, L3::Ip(ip)) = (switch.balancers.is_empty(), self.headers.l3) else {
            return Continue(());
        };
        self.balancers_want_ports(switch)?;
        if let L4::IcmpError {
            inner: Some(inner), ..
        } = ip.l4
        {
            self.unbalance_error(piece, &inner);
            return Continue(());
        }
        let Some((connection, Direction::Reply)) = self.hit else {
            return Continue(());
        };
        if !self.is_switchs(piece, &connection) || self.nat.source.is_some() {
            return Continue(());
        }
        if switch.balancers.of_connection(&connection).is_none() {
            return self.rule_gone();
        }
        self.nat.source = Some(piece.id);
        self.tell_balanced(piece, switch, &connection, Direction::Reply);
        let to = connection.rewrite(Direction::Reply);
        if let L3::Ip(ip) = &mut self.headers.l3 {
            nat::rewrite_source(ip, &to);
            if connection.moves_port() {
                nat::rewrite_destination(ip, &to);
            }
        }
        Continue(())
    }

    /// An error of a client about an answer goes to the backend that sent it.
    fn balance_error(&mut self, piece: &Piece, inner: &Inner) {
        let found = self.quoted(inner, [piece.zone(), Zone::NONE, Zone::NONE]);
        let Some((connection, direction)) = found else {
            return;
        };
        let itself = connection.is_to_itself();
        if !self.is_switchs(piece, &connection) || direction == Direction::Reply && !itself {
            return;
        }
        let to = connection.rewrite(direction);
        self.outcome.quoted = Some(nat::quoted_rewrite(&connection, direction));
        self.nat.back = true;
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.dst = to.dst;
            if itself {
                ip.src = to.src;
            }
        }
    }

    /// An error about what a client sent quotes the virtual IP, and comes from it if it is the backend's.
    fn unbalance_error(&mut self, piece: &Piece, inner: &Inner) {
        let found = self.quoted(inner, [self.zone, piece.zone(), self.nat.zone]);
        let Some((connection, Direction::Reply)) = found else {
            return;
        };
        if !self.is_switchs(piece, &connection) {
            return;
        }
        self.outcome.quoted = Some(nat::quoted_rewrite(&connection, Direction::Reply));
        if let L3::Ip(ip) = &mut self.headers.l3
            && ip.src == connection.reply.src
        {
            ip.src = connection.original.dst;
        }
    }
}
