//! ACLs on the walk: which list is asked where, and what a connection has to do with it.
//!
//! A switch with an `allow-related` rule tracks what its VIFs send and get. One connection covers both ends of a
//! packet's way through this node: the VIF that it comes from ([`Flags::TRACKED_FROM`]) and the one that it goes to
//! ([`Flags::TRACKED_TO`]). Packets in the direction of the first are asked about whenever they walk, answers pass at
//! an end that tracks, and so do errors about either.

use arrayvec::ArrayVec;

use super::*;
use crate::connections::Rests;
use crate::stage::acl::{admit, decide};
use crate::tables::{AclDirection, Acls, Decision};

/// What ACLs said of a packet that walked, and what follows from it beside its fate.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The decisions, with the switch that took them, in order.
    pub decisions: ArrayVec<(DatapathId, Decision), 4>,
    /// It met a switch with ACLs: packets of other flows may fare otherwise.
    pub any: bool,
    /// The next packet of the same flow may fare otherwise: rules look at more than what makes a flow.
    pub each: bool,
    /// The ends of its way that track it.
    pub tracked: Flags,
    /// It may not pass; if it is one of the connection that was found, and not one with the same addresses on another
    /// way, that must end.
    pub ends: bool,
}

/// The end of a packet's way at which a list is asked, of packets in the direction of the first.
fn end_of(direction: AclDirection) -> Flags {
    match direction {
        AclDirection::FromLport | AclDirection::FromLportAfterLb => Flags::TRACKED_FROM,
        AclDirection::ToLport => Flags::TRACKED_TO,
    }
}

/// The same of packets in the direction of answers.
fn end_of_answer(direction: AclDirection) -> Flags {
    match direction {
        AclDirection::FromLport | AclDirection::FromLportAfterLb => Flags::TRACKED_TO,
        AclDirection::ToLport => Flags::TRACKED_FROM,
    }
}

impl<'a, R: Recorder> Walk<'a, R> {
    /// Asks the ACLs of a switch about the packet, which came in by port `from` and, in direction `to-lport`, is to leave
    /// by `to`. What this node itself says in the name of a port is not asked about.
    pub(super) fn ask(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        direction: AclDirection,
        from: Option<&SwitchPort>,
        to: Option<&SwitchPort>,
    ) -> Step<()> {
        let Some(acls) = switch.acls.as_deref() else {
            return Continue(());
        };
        self.outcome.asked.any = true;
        if matches!(self.entered.entry, Entry::Owner(_)) || self.is_check() {
            return Continue(());
        }
        self.acls_want_ports(acls, direction)?;
        if self.is_expected(piece, acls, direction) {
            return Continue(());
        }
        if acls.is_left_out(direction) {
            return Continue(());
        }
        self.outcome.asked.each |= acls.list(direction).sees_more_than_flows();
        let Some(decision) = decide(switch, direction, from, to, &self.headers) else {
            return Continue(());
        };
        if direction == AclDirection::FromLportAfterLb
            && decision.acl.is_none()
            && !acls.from_lport.is_empty()
        {
            // Those before the balancers have let it pass.
            return Continue(());
        }
        self.recorder.record(Event::Acl {
            switch: piece.id,
            direction,
            decision,
        });
        let _ = self.outcome.asked.decisions.try_push((piece.id, decision));
        if decision.tracked {
            self.outcome.asked.tracked = self.outcome.asked.tracked.and(end_of(direction));
        }
        match admit(decision) {
            Continue(_) => Continue(()),
            Break(verdict) => self.refuse(verdict, direction, from.map(|p| p.id), to.map(|p| p.id)),
        }
    }

    /// What may not pass ends the connection that it belongs to, if that was let in before.
    fn refuse(
        &mut self,
        verdict: Verdict,
        direction: AclDirection,
        from: Option<PortId>,
        to: Option<PortId>,
    ) -> Step<()> {
        if let Some((connection, Direction::Original)) = self.hit {
            let tracked = connection.flags.has(end_of(direction));
            self.outcome.asked.ends = tracked || !self.outcome.asked.each;
        }
        let speaker = match direction {
            AclDirection::ToLport => to,
            AclDirection::FromLport | AclDirection::FromLportAfterLb => from,
        };
        match (verdict, speaker) {
            (Verdict::Drop(DropReason::AclReject), Some(port)) => {
                let here = (port, (self.headers.eth_dst, self.headers.eth_src));
                let (by, macs) = self.first_in.unwrap_or(here);
                Break(Verdict::Refuse { port, by, macs })
            }
            (verdict, _) => Break(verdict),
        }
    }

    /// An answer, or an error about a packet, of a connection that this end tracks.
    fn is_expected(&self, piece: &Piece, acls: &Acls, direction: AclDirection) -> bool {
        if !acls.stateful {
            return false;
        }
        let answers = self
            .nat
            .answers
            .map(|answered| (answered, Direction::Reply));
        if let Some((connection, Direction::Reply)) = self.hit.or(answers) {
            return connection.flags.has(end_of_answer(direction));
        }
        let L3::Ip(Ip {
            l4: L4::IcmpError {
                inner: Some(inner), ..
            },
            ..
        }) = &self.headers.l3
        else {
            return false;
        };
        let found = self.quoted(inner, [self.zone, piece.zone(), self.nat.zone]);
        found.is_some_and(|(connection, way)| {
            connection.flags.has(match way {
                Direction::Original => end_of(direction),
                Direction::Reply => end_of_answer(direction),
            })
        })
    }

    /// A packet that ACLs want to be tracked, and that opens no connection for another reason, opens one for that.
    /// Nothing is refused for the state that it is in: the connection may be older than this node.
    pub(super) fn track_by_acls(&mut self) {
        if self.outcome.asked.tracked == Flags::default() || self.hit.is_some() {
            return;
        }
        if let Some(proposal) = &mut self.outcome.proposal {
            proposal.flags = proposal.flags.and(self.outcome.asked.tracked);
            return;
        }
        let (Some(entered), L3::Ip(ip)) = (self.entered.headers.ip(), self.headers.l3) else {
            return;
        };
        let known = self.nat.back || self.nat.known;
        let keys = nat::flow_key(entered, self.zone).zip(nat::flow_key(&ip, self.zone));
        let (false, Some((original, now)), Ok(state)) = (known, keys, nat::open(entered, true))
        else {
            return;
        };
        // Answers by a tunnel have the key of the port that the packet came in by.
        self.nat.zone = self.zone;
        let middle = match nat::in_the_middle(entered) {
            true => Flags::PICKED_UP,
            false => Flags::default(),
        };
        self.outcome.proposal = Some(Proposal {
            rests: Rests::default(),
            original,
            reply: now.reversed(Zone::NONE),
            state,
            flags: middle.and(self.outcome.asked.tracked),
            reply_open: true,
        });
    }
}
