//! Endpoint-independent mapping on the walk: a source that is called the same by all, and what comes to it unasked.

use super::*;
use crate::connections::{FlowKey, Mapping, PortRequest};
use crate::tables::{Filtering, Snat};

impl<'a, R: Recorder> Walk<'a, R> {
    /// What a source, as `now` has it, is called outside by a rule that maps it for all remote ends: what it is called
    /// already, or by a port that is free. The proposal is to rest on it.
    pub(super) fn map_source(
        &mut self,
        piece: &Piece,
        router: &Router,
        (index, rule): (usize, &Snat),
        now: &FlowKey,
        keeps: bool,
    ) -> Step<(Mapping, Option<IpAddr>)> {
        let (inside, proto, zone) = ((now.src, now.src_port), now.proto, piece.zone());
        let key = Mapping::key_of(inside, rule.external, proto, zone);
        let known = self.view.connections.find(&key);
        let port = match known {
            Some(hit) => hit.rewrite.src_port,
            None => {
                let request = PortRequest {
                    proto,
                    external: rule.external,
                    original: now.src_port,
                    remote: rule.external,
                    remote_port: 0,
                    zone: zone.apart(),
                    source: now.src,
                    now: self.view.now,
                };
                let balanced = |port| router.balancers.find(rule.external, proto, port).is_some();
                let accept = |port| {
                    (!keeps || port == now.src_port)
                        && rule.keeps_parity(now.src_port, port)
                        && !balanced(port)
                };
                match self.choose(&request, rule.range(), accept) {
                    Some(reply) => reply.dst_port,
                    None => return self.exhausted(),
                }
            }
        };
        let outside = (rule.external, port);
        self.recorder.record(Event::Map {
            router: piece.id,
            rule: index,
            made: known.is_none(),
            inside,
            outside,
        });
        let mapping = Mapping {
            inside,
            outside,
            proto,
            zone,
        };
        let leaves = rule.mapping() == Some(Filtering::AddressDependent);
        Continue((mapping, leaves.then_some(now.dst)))
    }

    /// As [`Walk::turn_as`], by a rule that maps the source: its port is known now.
    pub(super) fn turn_mapped(
        &mut self,
        piece: &Piece,
        router: &Router,
        ip: &Ip,
        rule: (usize, &Snat),
    ) -> Step<()> {
        let Some(now) = nat::flow_key(ip, piece.zone()) else {
            return drop(nat::untranslatable(ip).unwrap_or(DropReason::NatProtocol));
        };
        self.turn_as(piece, ip, Some(rule), rule.1.external)?;
        let (mapping, _) = self.map_source(piece, router, rule, &now, false)?;
        let (src, src_port) = mapping.outside;
        if let Some(proposal) = &mut self.outcome.proposal {
            proposal.flags = proposal.flags.and(Flags::MAPPED_FROM);
            proposal.rests.source = Some(mapping);
        }
        if let Some(turned) = &mut self.nat.turned {
            turned.mapped = Some(src_port);
        }
        if let L3::Ip(ip) = &mut self.headers.l3 {
            let to = Rewrite {
                src,
                dst: now.dst,
                src_port,
                dst_port: now.dst_port,
            };
            nat::rewrite_source(ip, &to);
        }
        Continue(())
    }

    /// A source that goes back inside by the name it has outside: its answers must be nobody else's.
    pub(super) fn complete_mapped(
        &mut self,
        mut proposal: Proposal,
        reply: FlowKey,
        apart: bool,
    ) -> Step<()> {
        if apart && self.view.connections.find(&reply).is_some() {
            return drop(DropReason::NatRace);
        }
        let own = (self.nat.turned.map_or(reply.dst, |turned| turned.from.0), 0);
        self.tell_turned(&reply, own);
        proposal.reply = reply;
        // An end that sends to itself is its own answer: each packet walks.
        self.outcome.proposal = apart.then_some(proposal);
        Continue(())
    }

    /// A packet to a mapped port that no connection expects, from an end that may send to it, goes to the host inside.
    pub(super) fn enter_mapping(
        &mut self,
        piece: &Piece,
        router: &Router,
        in_index: u16,
        ip: &Ip,
    ) -> Step<()> {
        let Some(now) = nat::flow_key(ip, piece.zone()) else {
            return Continue(());
        };
        if self.hit.is_some() || self.nat.destination.is_some() || matches!(ip.l4, L4::Echo { .. })
        {
            return Continue(());
        }
        let outside = (now.dst, now.dst_port);
        let key = Mapping::key_at(outside, now.proto, now.zone);
        let Some(hit) = self.view.connections.find(&key) else {
            return Continue(());
        };
        let inside = (hit.rewrite.dst, hit.rewrite.dst_port);
        let Some((rule, filtering)) = router.nat.mapping_rule(inside.0, outside.0) else {
            return Continue(());
        };
        let mapping = Mapping {
            inside,
            outside,
            proto: now.proto,
            zone: now.zone,
        };
        // Hosts inside reach each other without this router's filter anyway (RFC 4787 REQ-9).
        let turns = || router.nat.turning_rule(now.src, inside.0, Some(in_index));
        let hairpin = self.nat.source == Some(piece.id) || turns().is_some();
        let admitted = hairpin
            || rule.is_for(now.src)
                && match filtering {
                    Filtering::EndpointIndependent => true,
                    Filtering::AddressDependent => self
                        .view
                        .connections
                        .find(&mapping.leave(now.src))
                        .is_some(),
                    Filtering::AddressAndPortDependent => false,
                };
        if !admitted {
            return drop(DropReason::NatFiltered);
        }
        self.propose(piece, ip, false)?;
        if let Some(proposal) = &mut self.outcome.proposal {
            proposal.flags = proposal.flags.and(Flags::MAPPED_TO);
            proposal.rests.destination = Some(mapping);
        }
        self.nat.zone = piece.zone();
        self.nat.destination = Some(piece.id);
        self.recorder.record(Event::EnterMapping {
            router: piece.id,
            outside,
            inside,
        });
        if let L3::Ip(ip) = &mut self.headers.l3 {
            let to = Rewrite {
                src: now.src,
                dst: inside.0,
                src_port: now.src_port,
                dst_port: inside.1,
            };
            nat::rewrite_destination(ip, &to);
        }
        Continue(())
    }

    /// The rule gives the source of this connection a port in the way that the connection was made.
    pub(super) fn maps_as(rule: &Snat, connection: &Connection) -> bool {
        rule.maps(connection.original.proto) == connection.flags.has(Flags::MAPPED_FROM)
    }
}
