//! The stations of a switch on the walk: who sends, who is asked for, who answers.

use super::*;

impl<R: Recorder> Walk<'_, R> {
    pub(super) fn look_at_source(&mut self, switch: &Switch, port: &SwitchPort) {
        let Some(domain) = switch.domains.get(usize::from(port.domain)) else {
            return;
        };
        let mac = self.headers.eth_src;
        match bridge::source(switch, self.view.learned, port, domain.id, mac) {
            Source::Static => {}
            Source::Learned(slot) => {
                let learned = FdbUse {
                    slot,
                    domain: domain.id,
                    mac,
                    port: port.id,
                };
                self.outcome.source = Some(learned);
                self.outcome.deps.learned_mac(learned);
            }
            Source::New(sighting) => {
                let _ = self.outcome.sightings.try_push(sighting);
                // Not to be cached before the MAC is learned, or its move would go unseen.
                self.outcome.deps.overflow = true;
            }
        }
    }

    /// ARP and ND tell the router ports of the switch who has an address.
    pub(super) fn sight_sender(&mut self, switch: &Switch, port: Option<&SwitchPort>) {
        if switch.router_ports.is_empty() || port.is_some_and(|port| port.router) {
            return;
        }
        let Some((ip, mac, reply)) = bridge::sender(&self.headers) else {
            return;
        };
        if switch.known.contains_key(&ip) {
            return;
        }
        let mut on_link = switch.router_ports.iter().filter_map(|&id| {
            let (_, _, port) = self.view.tables.router_port(id)?;
            let near = port.networks.iter().any(|net| net.contains(&ip));
            near.then_some(port)
        });
        // Of several routers on the link, the one that it is said to.
        let addressed = on_link
            .clone()
            .find(|port| port.mac == self.headers.eth_dst);
        if let Some(port) = addressed.or_else(|| on_link.next()) {
            let _ = self.outcome.sightings.try_push(Sighting::Neighbor {
                port: port.id,
                ip,
                mac,
                reply,
            });
        }
    }

    /// Addresses known from the topology are answered here, but those of VIFs not towards the wire or
    /// tunnels: there the VIF, or its own chassis, answers.
    pub(super) fn answer_neighbor(&mut self, switch: &Switch, index: Option<u16>) -> Step<()> {
        let Some((owner, known)) = bridge::known_answer(switch, index, &self.headers) else {
            return Continue(());
        };
        let answered = match owner.place {
            Place::Router(_) | Place::Gateway { .. } => {
                known.here
                    || self.holds_router(owner)
                    || self.from == From::Port && self.reaches_gateway(owner)
            }
            _ => self.from == From::Port && owner.enabled && owner.place != Place::Unbound,
        };
        if answered {
            return Break(Verdict::Punt(Punt::AnswerNeighbor {
                from: owner.id,
                mac: known.mac,
            }));
        }
        Continue(())
    }

    /// The router behind this switch port is processed on this node now.
    pub(super) fn holds_router(&self, port: &SwitchPort) -> bool {
        match port.place {
            Place::Router(_) => true,
            Place::Gateway { role, .. } => {
                matches!(gateway::seat(self.view.learned, role), Continue(Seat::Here))
            }
            _ => false,
        }
    }

    /// The gateway port is held by another chassis that this node can reach.
    pub(super) fn reaches_gateway(&self, port: &SwitchPort) -> bool {
        match port.place {
            Place::Gateway { role, .. } => gateway::seat(self.view.learned, role).is_continue(),
            _ => false,
        }
    }
}
