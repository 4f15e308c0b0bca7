//! Learned MACs of switches: learning, moves, limits, ageing.

use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::FramePool;
use sluice_fastpath::tables::fdb::Learned;
use sluice_fastpath::tables::{PieceKind, Switch, SwitchPort, Tables};
use sluice_net::Mac;

use super::Agent;
use super::counters::{add, count};
use crate::discovery::is_station;

/// Milliseconds between two looks at the age of MACs.
const AGEING: u32 = 1_000;

/// What an FDB domain allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct DomainPolicy {
    /// Milliseconds a MAC lives without traffic.
    age: u32,
    /// MACs at most.
    limit: u32,
}

impl<P: FramePool> Agent<P> {
    /// A worker saw a source MAC that is not in the FDB at that port.
    pub(super) fn see_mac(&mut self, tables: &Tables, domain: u32, mac: Mac, port: PortId) {
        let Some((_, switch, switch_port)) = tables.switch_port(port) else {
            return count(&self.counters.stale);
        };
        let Some(policy) = self.domains.get(&domain) else {
            return count(&self.counters.stale);
        };
        if !learns(switch, switch_port, domain, mac) {
            return count(&self.counters.stale);
        }
        match self.fdb.learn(domain, mac, port, self.tick, policy.limit) {
            Learned::New => count(&self.counters.macs_learned),
            Learned::Moved { from } => {
                count(&self.counters.macs_moved);
                tracing::debug!(%mac, from = tables.port_name(from), to = switch_port.name, "MAC moved");
            }
            Learned::Refreshed => {}
            Learned::Full | Learned::DomainFull => count(&self.counters.macs_refused),
        }
    }

    /// Forgets MACs that were silent for their age, some at a time.
    pub(super) fn age_macs(&mut self) {
        if self.now < self.next_ageing || self.fdb.is_empty() {
            return;
        }
        self.next_ageing = self.now.plus(AGEING);
        let domains = &self.domains;
        let age = |domain| domains.get(&domain).map_or(0, |policy| policy.age);
        let expired = self
            .fdb
            .expire(self.tick, age, self.settings.timers_per_step);
        add(&self.counters.macs_expired, expired.into());
    }

    /// Takes the domains of a new generation and forgets what it forbids.
    pub(super) fn take_domains(&mut self, tables: &Tables) {
        self.domains.clear();
        for piece in tables.datapaths.iter().flatten() {
            let PieceKind::Switch(switch) = &piece.kind else {
                continue;
            };
            let policy = DomainPolicy {
                age: switch.mac_age,
                limit: switch.mac_limit,
            };
            self.domains
                .extend(switch.domains.iter().map(|domain| (domain.id, policy)));
        }
        let stays = |domain, mac, port| {
            tables
                .switch_port(port)
                .is_some_and(|(_, switch, port)| learns(switch, port, domain, mac))
        };
        let entries = self
            .learned
            .fdb
            .iter()
            .filter(|entry| !stays(entry.domain, entry.mac, entry.port));
        let gone: Vec<(u32, Mac)> = entries.map(|entry| (entry.domain, entry.mac)).collect();
        for (domain, mac) in gone {
            self.fdb.forget(domain, mac);
        }
    }
}

/// May `port` have a learned MAC in `domain`?
fn learns(switch: &Switch, port: &SwitchPort, domain: u32, mac: Mac) -> bool {
    let in_domain = switch
        .domains
        .get(usize::from(port.domain))
        .is_some_and(|own| own.id == domain);
    in_domain
        && port.enabled
        && (port.learning || port.localnet)
        && is_station(mac)
        && !switch.by_mac.contains_key(&mac)
}
