//! Distributed floating IPs on the walk: what is from or to one goes by the wire of this node, whoever holds the
//! gateway port.

use super::*;
use crate::connections::Flags;
use crate::learned::Role;
use crate::tables::FloatingIp;

impl<R: Recorder> Walk<'_, R> {
    /// A frame to the MAC of a floating IP that is translated here enters the router by its gateway port here.
    pub(super) fn is_for_floating(&self, switch: &Switch) -> bool {
        switch.distributed.contains(&self.headers.eth_dst)
    }

    /// Packets to this address outside come back into the router on this node.
    pub(super) fn has_outside(&mut self, router: &Router, port: &RouterPort, ip: IpAddr) -> bool {
        if router.distributed.outside(ip).is_some() {
            return true;
        }
        let Some(gateway) = &port.gateway else {
            return false;
        };
        let role = self.view.learned.roles.get(gateway.role);
        self.outcome.deps.role(gateway.role, role);
        role == Role::Active
    }

    /// From a router port to itself, which is a hairpin; but a floating IP's packet to the gateway port goes over the
    /// wire to the chassis that holds it.
    pub(super) fn past_gateway(&self, switch: &Switch, id: DatapathId, out: u16) -> Step<At> {
        let floats = switch.distributed.contains(&self.headers.eth_src);
        let wire = (0..).zip(&switch.ports).find(|(_, port)| port.localnet);
        match wire.filter(|_| floats) {
            Some((wire, _)) if wire != out => Continue(At::SwitchEgress {
                switch: id,
                from: Some(out),
                port: wire,
            }),
            _ => drop(DropReason::Hairpin),
        }
    }

    /// The floating IP that a packet which leaves by port `out` has or gets: it leaves from here.
    pub(super) fn carried(
        &self,
        router: &Router,
        in_index: Option<u16>,
        out: u16,
        ip: &Ip,
    ) -> Option<FloatingIp> {
        if router.distributed.is_empty() {
            return None;
        }
        let floating = router.distributed.inside(ip.src)?;
        if floating.port != out {
            return None;
        }
        let outside = floating.outside;
        let by_rule = || {
            let rule = router.nat.source_rule(ip.src, ip.dst, in_index, out);
            rule.is_some_and(|(_, rule)| rule.external == outside)
        };
        // Answers to what came in by it leave by it, whatever rules say of their sources.
        let answers = match self
            .hit
            .or(self.nat.answers.map(|found| (found, Direction::Reply)))
        {
            Some((connection, Direction::Reply)) => {
                connection.is_dnat()
                    && !connection.flags.has(Flags::BY_SWITCH)
                    && connection.original.dst == outside
            }
            _ => false,
        };
        (answers || by_rule()).then_some(*floating)
    }
}
