//! The end of the walk: by a device, by a tunnel, and what the outcome is made of.

use super::*;
use crate::tables::FloodMember;

impl<'a, R: Recorder> Walk<'a, R> {
    /// The verdict with all that belongs to it.
    pub(super) fn finish(mut self, verdict: Verdict) -> Outcome {
        let verdict = match self.settle(verdict) {
            Continue(()) => verdict,
            Break(other) => other,
        };
        self.recorder.record(Event::End(verdict));
        if let L3::Ip(ip) = &mut self.headers.l3
            && let Some(tos) = self.entered.tos(ip)
        {
            ip.tos = tos;
        }
        self.outcome.verdict = verdict;
        self.outcome.headers = self.headers;
        self.outcome.last_in = self.last_in;
        let is_router = |id: &DatapathId| self.view.tables.router(*id).is_some();
        self.outcome.home = self.nat.source.filter(is_router);
        if !matches!(verdict, Verdict::Transmit(_) | Verdict::Flood(_)) {
            self.outcome.proposal = None;
        }
        self.outcome
    }

    /// What the way out decides of connections; another verdict when the packet may not go it.
    fn settle(&mut self, verdict: Verdict) -> Step<()> {
        let tables = self.view.tables;
        if matches!(verdict, Verdict::Transmit(_) | Verdict::Flood(_)) {
            self.track_by_acls();
        }
        let zone = match verdict {
            Verdict::Transmit(egress) => reply_zone(tables, &egress, self.nat.zone),
            Verdict::Flood(flood) => flood_zone(tables, &flood, self.nat.zone),
            Verdict::Punt(Punt::ResolveNeighbor { .. })
            | Verdict::Reject {
                reason: DropReason::NoRoute,
                ..
            } if self.missed_its_rule() => return self.rule_gone(),
            _ => return Continue(()),
        };
        self.complete(zone)?;
        if self.went_as_recorded() {
            return Continue(());
        }
        let before = &self.entered.headers;
        if (self.headers.eth_dst, self.headers.eth_src) == (before.eth_dst, before.eth_src) {
            // Bridged, with the addresses of a connection that is translated elsewhere: none of its packets.
            self.outcome.aside = true;
        } else {
            // Another rule, or none, or another way: the connection must not translate what comes next.
            self.outcome.close = true;
            if self.hit.is_some_and(|(connection, _)| connection.is_dnat()) {
                return drop(DropReason::NatRuleGone);
            }
        }
        Continue(())
    }

    /// The packet of a connection whose destination was translated is on its way to the address that it came for.
    fn missed_its_rule(&self) -> bool {
        let (Some((connection, Direction::Original)), Some(ip)) = (&self.hit, self.headers.ip())
        else {
            return false;
        };
        connection.is_dnat() && ip.dst == connection.original.dst
    }

    /// The packet of a known connection has the addresses and ports that the connection gives it.
    fn went_as_recorded(&self) -> bool {
        let (Some((connection, direction)), L3::Ip(ip)) = (&self.hit, &self.headers.l3) else {
            return true;
        };
        let to = connection.rewrite(*direction);
        let (src_port, dst_port) = ip.ports().unwrap_or((0, 0));
        ip.src == to.src && ip.dst == to.dst && (src_port, dst_port) == (to.src_port, to.dst_port)
    }

    pub(super) fn leave(&mut self, egress: Egress) -> Step<At> {
        Break(Verdict::Transmit(egress))
    }

    pub(super) fn tunnel(
        &mut self,
        id: TunnelId,
        piece: &Piece,
        in_key: u16,
        out_key: u16,
    ) -> Step<At> {
        let tunnel = gone(self.view.tables.tunnel(id))?;
        let bytes = self.entered.packet_len();
        self.outcome.mtu = self.outcome.mtu.min(tunnel.inner_mtu);
        if bytes > tunnel.inner_mtu {
            return self.too_big_for_tunnel(tunnel.inner_mtu);
        }
        let adjacent = neighbor::resolve_underlay(self.view.learned, tunnel.next_hop)?;
        self.outcome.underlay = adjacent.slot.map(|slot| NeighborUse {
            slot,
            port: UNDERLAY_PORT,
            ip: IpAddr::V4(tunnel.next_hop),
        });
        let keys = tunnel.port_keys.then_some((in_key, out_key));
        self.leave(Egress::Tunnel {
            tunnel: id,
            vni: piece.vni,
            keys,
        })
    }

    /// Routed packets are answered or fragmented; a bridged one can only be dropped.
    pub(super) fn too_big_for_tunnel(&mut self, mtu: u16) -> Step<At> {
        match self.headers.ip() {
            Some(ip) if self.outcome.ttl_steps > 0 || self.last_in.is_some() => {
                match route::fit(ip, mtu, self.last_in) {
                    Break(verdict) => Break(verdict),
                    Continue(()) => drop(DropReason::TunnelMtu),
                }
            }
            _ => drop(DropReason::TunnelMtu),
        }
    }
}

/// The zone in which the answer to a flooded packet will be looked for first: that of the switch when one of its
/// local ports may answer, else that of the tunnels.
fn flood_zone(tables: &Tables, flood: &Flood, nat_zone: Zone) -> Zone {
    let Some((piece, switch)) = tables.switch(flood.switch) else {
        return Zone::NONE;
    };
    let members = switch.members(flood.domain, flood.audience);
    match members.and_then(<[FloodMember]>::first) {
        Some(FloodMember::Chassis { group: Some(_), .. }) => nat_zone,
        _ => piece.zone(),
    }
}

/// The zone in which the answer to a packet that leaves by `egress` will be looked for first.
fn reply_zone(tables: &Tables, egress: &Egress, nat_zone: Zone) -> Zone {
    match *egress {
        Egress::Device { port, .. } => enter::zone(tables, &Entry::Port(port)),
        Egress::Tunnel { keys: Some(_), .. } => nat_zone,
        Egress::Tunnel {
            keys: None, vni, ..
        } => tables
            .by_vni
            .get(&vni)
            .and_then(|&id| tables.piece(id))
            .map_or(Zone::NONE, Piece::zone),
    }
}
