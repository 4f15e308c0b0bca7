//! Neighbors of router ports and of the underlay: asking, learning, and what waits meanwhile.

use std::net::IpAddr;

use sluice_fastpath::exchange::{InjectTo, Origin, Punted};
use sluice_fastpath::ids::{PortId, Tick, WorkerId};
use sluice_fastpath::io::FramePool;
use sluice_fastpath::tables::neighbors::NeighborState;
use sluice_fastpath::tables::{Peer, Router, RouterPort, Tables, UNDERLAY_PORT};
use sluice_net::Mac;

use super::counters::count;
use super::{Agent, Key};
use crate::discovery::{self, Station, is_station};
use crate::neighbor::{Effect, Heard, Lesson, State};
use crate::time::Time;

/// The worker that gets frames nobody asked for.
pub(super) const ANY_WORKER: WorkerId = WorkerId(0);

impl<P: FramePool> Agent<P> {
    /// A frame waits for a neighbor of a router port.
    pub(super) fn resolve(&mut self, tables: &Tables, punted: Punted<P::Frame>, key: Key) {
        let found = tables.router_port(key.0);
        let able = found.is_some_and(|(_, router, port)| {
            self.voice(tables, router, port, key.1).is_some() && switch_side(tables, port).is_some()
        });
        if able {
            self.need(key, Some(punted));
        } else {
            count(&self.counters.stale);
        }
    }

    /// A neighbor is needed; takes it in when it is not known yet.
    pub(super) fn need(&mut self, key: Key, waiting: Option<Punted<P::Frame>>) {
        if self.admit(key) {
            self.resolver
                .need(key, waiting, self.now, &mut self.effects);
        }
    }

    /// Makes room for a neighbor in the table that workers read. False when there is none.
    fn admit(&mut self, (port, ip): Key) -> bool {
        let room = self.resolver.state(&(port, ip)).is_some()
            || self
                .neighbors
                .insert_incomplete(port, ip, self.tick)
                .is_ok();
        if !room {
            count(&self.counters.neighbors_refused);
        }
        room
    }

    /// A worker saw ARP or ND pass a switch with a router port on it.
    pub(super) fn see_neighbor(&mut self, tables: &Tables, key: Key, mac: Mac, reply: bool) {
        let heard = if reply {
            Heard::Reply { mac }
        } else {
            Heard::Request { mac }
        };
        self.learn(tables, key, heard);
        self.apply_effects(tables);
    }

    /// Learns from a message heard at a router port. Answers update only what is known or asked for; questions teach
    /// a new neighbor too, when it is in a network of the port (as OVN's `always_learn_from_arp_request`).
    pub(super) fn learn(&mut self, tables: &Tables, key: Key, heard: Heard) {
        let Some((_, router, port)) = tables.router_port(key.0) else {
            return count(&self.counters.stale);
        };
        if self.voice(tables, router, port, key.1).is_none() {
            return;
        }
        if owns(tables, router, port, key.1) {
            let own = mac_of(router, port, key.1);
            if heard.mac().is_some_and(|mac| mac != own) {
                count(&self.counters.conflicts);
            }
            return;
        }
        let given = is_given(tables, router, port, key.1);
        let own_mac = heard.mac() == Some(port.mac);
        if !given && !own_mac {
            self.note(
                key,
                heard,
                port.networks.iter().any(|net| net.contains(&key.1)),
            );
        }
    }

    /// Passes on what was heard. `on_link` says whether the address may be a neighbor here at all.
    pub(super) fn note(&mut self, key: Key, heard: Heard, on_link: bool) {
        let known = self.resolver.state(&key).is_some();
        let create = on_link && matches!(heard, Heard::Request { .. });
        let station =
            heard.mac().is_none_or(is_station) && !key.1.is_multicast() && !key.1.is_unspecified();
        if !station || !(known || create) || !self.admit(key) {
            return;
        }
        match self
            .resolver
            .heard(key, heard, create, self.now, &mut self.effects)
        {
            Lesson::Learned => count(&self.counters.learned),
            Lesson::Moved => {
                count(&self.counters.moved);
                tracing::debug!(ip = %key.1, ?heard, "neighbor has another MAC");
            }
            Lesson::Confirmed | Lesson::Ignored => {}
        }
    }

    /// Lets the resolver's timers fire.
    pub(super) fn poll_resolver(&mut self) {
        let (table, tick, now, kept) = (&self.learned.neighbors, self.tick, self.now, &self.kept);
        let used = |key: &Key| {
            if kept.contains(key) {
                return Some(now);
            }
            let used = table.used(table.lookup(key.0, key.1)?)?;
            Some(moment(used, tick, now))
        };
        self.resolver
            .poll(now, used, self.settings.timers_per_step, &mut self.effects);
    }

    /// Does what the resolver asks for.
    pub(super) fn apply_effects(&mut self, tables: &Tables) {
        while !self.effects.is_empty() {
            // Effects may lead to others: a kept neighbor that was removed is asked for again.
            for effect in std::mem::take(&mut self.effects) {
                self.apply(tables, effect);
            }
        }
    }

    fn apply(&mut self, tables: &Tables, effect: Effect<Key, Punted<P::Frame>>) {
        match effect {
            Effect::Ask { key, unicast } => self.ask(tables, key, unicast),
            Effect::Set {
                key: (port, ip),
                mac,
                state,
            } => {
                if self
                    .neighbors
                    .set(port, ip, mac, table_state(state), self.tick)
                    .is_err()
                {
                    count(&self.counters.neighbors_refused);
                }
            }
            Effect::SetState {
                key: (port, ip),
                state,
            } => {
                if state == State::Failed {
                    count(&self.counters.failed);
                    tracing::debug!(port = tables.port_name(port), %ip, "neighbor does not answer");
                }
                if let Some(slot) = self.learned.neighbors.lookup(port, ip) {
                    self.neighbors.set_state(slot, table_state(state));
                }
            }
            Effect::Remove { key } => {
                if let Some(slot) = self.learned.neighbors.lookup(key.0, key.1) {
                    self.neighbors.remove(slot);
                }
                if self.kept.contains(&key) {
                    self.need(key, None);
                }
            }
            Effect::Release { waiting } => {
                let to = waiting.again();
                let Punted { frame, worker, .. } = waiting;
                self.inject(worker, frame, to, &self.counters.resolved);
            }
            Effect::Unreachable { key, waiting } => {
                count(&self.counters.unreachable);
                self.unreachable(tables, &waiting, key.0);
            }
            Effect::Discard { .. } => count(&self.counters.waiting_dropped),
        }
    }

    /// As who this node asks for `to` on the link of a router port: as the port, or where another chassis holds that, as
    /// one of the floating IPs that this node has there.
    pub(super) fn voice(
        &self,
        tables: &Tables,
        router: &Router,
        port: &RouterPort,
        to: IpAddr,
    ) -> Option<Station> {
        if self.speaks_for(port) {
            let ip = port.address_for(to)?;
            return Some(Station { mac: port.mac, ip });
        }
        let index = tables.seat(port.id).map(|seat| seat.index);
        let mut floating = router.distributed.iter();
        let floating = floating.find(|floating| {
            Some(floating.port) == index && floating.outside.is_ipv4() == to.is_ipv4()
        })?;
        (router.enabled && port.enabled).then_some(Station {
            mac: floating.mac,
            ip: floating.outside,
        })
    }

    fn ask(&mut self, tables: &Tables, (port, ip): Key, unicast: Option<Mac>) {
        if port == UNDERLAY_PORT {
            return self.ask_underlay(tables, ip, unicast);
        }
        let Some((_, router, router_port)) = tables.router_port(port) else {
            return;
        };
        let (Some(station), Some(via)) = (
            self.voice(tables, router, router_port, ip),
            switch_side(tables, router_port),
        ) else {
            return;
        };
        if let Some(frame) = discovery::ask(station, ip, unicast) {
            let to = InjectTo::Walk(Origin::SwitchPort(via));
            self.send(ANY_WORKER, &frame, to, &self.counters.asked);
        }
    }
}

/// The switch port a router port is attached by.
pub(super) fn switch_side(tables: &Tables, port: &RouterPort) -> Option<PortId> {
    let Peer::Switch { switch, port } = port.peer else {
        return None;
    };
    let (_, switch) = tables.switch(switch)?;
    Some(switch.ports.get(usize::from(port))?.id)
}

/// Does the router answer for this address at this port: the port's own, or that of a NAT rule reached by it?
pub(super) fn owns(tables: &Tables, router: &Router, port: &RouterPort, ip: IpAddr) -> bool {
    let index = tables.seat(port.id).map(|seat| seat.index);
    port.networks.iter().any(|net| net.addr() == ip)
        || router
            .local
            .get(&ip)
            .is_some_and(|local| local.nat && local.port.is_some() && local.port == index)
}

/// The MAC by which a router has an address of its own on the link of a port.
pub(super) fn mac_of(router: &Router, port: &RouterPort, ip: IpAddr) -> Mac {
    let floating = router.distributed.outside(ip);
    floating.map_or(port.mac, |floating| floating.mac)
}

/// Does the topology say which MAC has this address on the port's link? Nothing is learned about it then.
pub(super) fn is_given(tables: &Tables, router: &Router, port: &RouterPort, ip: IpAddr) -> bool {
    let index = tables.seat(port.id).map_or(u16::MAX, |seat| seat.index);
    let switch = match port.peer {
        Peer::Switch { switch, .. } => tables.switch(switch).map(|(_, switch)| switch),
        _ => None,
    };
    router.neighbors.contains_key(&(index, ip))
        || switch.is_some_and(|switch| switch.known.contains_key(&ip))
}

fn table_state(state: State) -> NeighborState {
    match state {
        State::Incomplete => NeighborState::Incomplete,
        State::Reachable => NeighborState::Reachable,
        State::Stale => NeighborState::Stale,
        State::Probe => NeighborState::Probe,
        State::Failed => NeighborState::Failed,
    }
}

/// A worker's tick, which may be a little ahead of ours, on the machines' clock.
fn moment(used: Tick, tick: Tick, now: Time) -> Time {
    if used.reached(tick) {
        now
    } else {
        Time(now.0.saturating_sub(tick.since(used).into()))
    }
}
