//! ICMP errors on the walk: they and what they quote are translated as the connection's packets are.

use super::*;
use crate::tables::{Dnat, SnatKind};

impl<'a, R: Recorder> Walk<'a, R> {
    /// The connection that an error is about, in the direction in which the error travels.
    pub(super) fn quoted(
        &self,
        inner: &Inner,
        zones: [Zone; 3],
    ) -> Option<(Connection, Direction)> {
        zones
            .into_iter()
            .filter_map(|zone| nat::quoted_key(inner, zone))
            .find_map(|key| nat::find(self.view.connections, &key))
    }

    /// An error to an external address: for the host inside, about what that sent.
    pub(super) fn deliver_error(
        &mut self,
        piece: &Piece,
        router: &Router,
        outside: Zone,
        external: IpAddr,
        inner: &Inner,
        stateless: Option<&Dnat>,
    ) -> Step<()> {
        if self.headers.ip().is_some_and(nat::is_advice) {
            return drop(DropReason::IcmpErrorUnrelated);
        }
        let found = self.quoted(inner, [outside, self.zone, piece.zone()]);
        let (connection, direction) = match (found, stateless) {
            (Some(found), _) => found,
            (None, Some(rule)) => return self.deliver_stateless_error(piece, rule, inner),
            (None, None) => return drop(DropReason::IcmpErrorUnrelated),
        };
        // Who sent to the address has it, and whom an answer came from has it too.
        let (ours, stands) = match direction {
            Direction::Reply => (
                connection.is_snat() && connection.reply.dst == external,
                router.gives_source(&connection, external),
            ),
            Direction::Original => (
                connection.is_dnat() && connection.original.dst == external,
                router.leads(&connection),
            ),
        };
        if !ours {
            return drop(DropReason::IcmpErrorUnrelated);
        }
        if !stands {
            return drop(DropReason::NatRuleGone);
        }
        let to = connection.rewrite(direction);
        self.nat.back = true;
        self.nat.zone = piece.zone();
        self.outcome.quoted = Some(nat::quoted_rewrite(&connection, direction));
        let inside = to.dst;
        self.recorder.record(Event::Untranslate {
            router: piece.id,
            from: (external, 0),
            to: (inside, 0),
        });
        // Only the destination: the error comes from whichever router sent it.
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.dst = inside;
        }
        Continue(())
    }

    fn deliver_stateless_error(&mut self, piece: &Piece, rule: &Dnat, inner: &Inner) -> Step<()> {
        let quoted = self.outcome.quoted.or_else(|| nat::quoted_tuple(inner));
        self.outcome.quoted = quoted.map(|quoted| Rewrite {
            src: rule.logical,
            ..quoted
        });
        self.nat.back = true;
        self.recorder.record(Event::Untranslate {
            router: piece.id,
            from: (rule.external, 0),
            to: (rule.logical, 0),
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.dst = rule.logical;
        }
        Continue(())
    }

    /// An error from inside: its source, and what it quotes, become what the other side knows.
    pub(super) fn translate_error(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        inner: &Inner,
        (in_index, out): (Option<u16>, u16),
    ) -> Step<()> {
        let (src, dst) = (ip.src, ip.dst);
        let found = self.quoted(inner, [self.zone, piece.zone(), Zone::NONE]);
        let Some((connection, direction)) = found else {
            let rule = router.nat.source_rule(src, dst, in_index, out);
            return match rule {
                Some((index, rule)) if rule.kind == SnatKind::Stateless => {
                    self.send_stateless_error(piece, index, (src, rule.external), inner)
                }
                Some(_) if !self.nat.back => drop(DropReason::IcmpErrorUnrelated),
                _ => Continue(()),
            };
        };
        let (changes, external) = match direction {
            Direction::Original => (connection.is_snat(), connection.reply.dst),
            Direction::Reply => (connection.is_dnat(), connection.original.dst),
        };
        let local = router.local.get(&external);
        let switchs = direction == Direction::Reply && connection.flags.has(Flags::BY_SWITCH);
        if !changes || switchs || !local.is_some_and(|local| local.nat) {
            return Continue(());
        }
        if nat::is_advice(ip) {
            return drop(DropReason::IcmpErrorUnrelated);
        }
        self.outcome.quoted = Some(nat::quoted_rewrite(&connection, direction));
        self.send_error_as(piece, None, (src, external))
    }

    fn send_stateless_error(
        &mut self,
        piece: &Piece,
        index: usize,
        (src, external): (IpAddr, IpAddr),
        inner: &Inner,
    ) -> Step<()> {
        let quoted = self.outcome.quoted.or_else(|| nat::quoted_tuple(inner));
        self.outcome.quoted = quoted.map(|quoted| Rewrite {
            dst: external,
            ..quoted
        });
        self.send_error_as(piece, Some(index), (src, external))
    }

    fn send_error_as(
        &mut self,
        piece: &Piece,
        rule: Option<usize>,
        (src, external): (IpAddr, IpAddr),
    ) -> Step<()> {
        if src != external {
            self.recorder.record(Event::Translate {
                router: piece.id,
                rule,
                from: (src, 0),
                to: (external, 0),
            });
        }
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.src = external;
        }
        Continue(())
    }
}
