//! What a new generation of tables, or another set of live chassis, means for the slow path: roles, announcements,
//! and neighbors whose port has gone.

use hashbrown::HashMap;
use sluice_fastpath::exchange::{InjectTo, Origin};
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::io::FramePool;
use sluice_fastpath::learned::Role;
use sluice_fastpath::tables::{
    Gateway, Peer, PieceKind, Place, Router, RouterPort, Tables, UNDERLAY_PORT,
};
use sluice_net::Mac;

use super::resolve::{ANY_WORKER, is_given, switch_side};
use super::{Agent, Key};
use crate::discovery::{self, Station};
use crate::role::{Candidate, Holder, decide};

impl<P: FramePool> Agent<P> {
    /// Takes a new generation.
    pub(super) fn take_generation(&mut self, tables: &Tables) {
        self.take_domains(tables);
        // Indices of ACLs are those of a generation.
        self.meters.clear();
        self.limit.retain(|port| tables.seat(port).is_some());
        self.take_roles(tables);
        self.take_checks(tables);
        let next_hops = tables
            .tunnels
            .iter()
            .flatten()
            .map(|tunnel| (UNDERLAY_PORT, tunnel.next_hop.into()));
        self.kept = next_hops.filter(|_| tables.underlay.is_some()).collect();
        let wanted: Vec<Key> = self
            .kept
            .iter()
            .filter(|key| self.resolver.state(key).is_none())
            .copied()
            .collect();
        for key in wanted {
            self.need(key, None);
        }
        self.apply_effects(tables);
    }

    /// Decides anew who holds each gateway port, and acts on it.
    pub(super) fn take_roles(&mut self, tables: &Tables) {
        let gateways =
            router_ports(tables).filter_map(|(_, port)| Some((port, port.gateway.as_ref()?)));
        let mut names = HashMap::new();
        let decisions: Vec<_> = gateways
            .map(|(port, gateway)| {
                names.insert(gateway.role, port.name.as_str());
                (gateway.role, decide(candidates(gateway), &self.alive))
            })
            .collect();
        for change in self.roles.update(decisions) {
            let role = match change.after {
                Holder::Nobody => Role::Nobody,
                Holder::Here => Role::Active,
                Holder::There(tunnel) => Role::Backup(TunnelId(tunnel)),
            };
            self.learned.roles.set(change.role, role);
            tracing::info!(
                port = names.get(&change.role).copied().unwrap_or("?"),
                ?role,
                "gateway port"
            );
        }
        self.forget_neighbors(tables);
        self.take_announcements(tables);
    }

    /// Forgets neighbors of ports that have gone, are not ours to speak for, or have the neighbor given now.
    fn forget_neighbors(&mut self, tables: &Tables) {
        let stays = |&(id, ip): &Key| {
            if id == UNDERLAY_PORT {
                return tables.underlay.is_some();
            }
            let Some((_, router, port)) = tables.router_port(id) else {
                return false;
            };
            let active = |gateway: &Gateway| self.learned.roles.get(gateway.role) == Role::Active;
            let index = tables.seat(id).map(|seat| seat.index);
            let mut floating = router.distributed.iter();
            (port.gateway.as_ref().is_none_or(active)
                || floating.any(|floating| Some(floating.port) == index))
                && switch_side(tables, port).is_some()
                && !is_given(tables, router, port, ip)
        };
        self.resolver.retain(stays, &mut self.effects);
        self.apply_effects(tables);
    }

    /// Announces addresses that are new here or have another MAC; falls silent about those that went.
    fn take_announcements(&mut self, tables: &Tables) {
        let mut addresses: HashMap<Key, Mac> = HashMap::new();
        for (router, port) in
            router_ports(tables).filter(|(router, port)| self.announces(tables, router, port))
        {
            addresses
                .extend(addresses_of(tables, router, port).map(|ip| ((port.id, ip), port.mac)));
        }
        for (router, port) in
            router_ports(tables).filter(|(_, port)| port.enabled && wired(tables, port))
        {
            let index = tables.seat(port.id).map(|seat| seat.index);
            let here = router.distributed.iter();
            let here = here.filter(|floating| Some(floating.port) == index);
            addresses.extend(here.map(|one| ((port.id, one.outside), one.mac)));
        }
        if let Some(underlay) = &tables.underlay {
            addresses.insert(
                (UNDERLAY_PORT, underlay.address.addr().into()),
                underlay.mac,
            );
        }
        let before = std::mem::replace(&mut self.announced, addresses);
        for key in before
            .keys()
            .filter(|key| !self.announced.contains_key(*key))
        {
            self.announcer.stop(*key);
        }
        for (key, mac) in &self.announced {
            if before.get(key) != Some(mac) {
                self.announcer.start(*key, self.now);
            }
        }
    }

    /// Is the port this node's to announce: active here, on a switch that a physical network is attached to here?
    /// Elsewhere the MAC of a router port is known from the topology.
    fn announces(&self, tables: &Tables, router: &Router, port: &RouterPort) -> bool {
        // A port that every node has is announced by none: the wire would see its MAC everywhere.
        if !router.bound && port.gateway.is_none() {
            return false;
        }
        self.speaks_for(port) && wired(tables, port)
    }

    /// Sends one announcement.
    pub(super) fn announce(&mut self, tables: &Tables, (id, ip): Key) {
        if id == UNDERLAY_PORT {
            return self.announce_underlay(tables);
        }
        let Some((_, _, port)) = tables.router_port(id) else {
            return;
        };
        let Some(via) = switch_side(tables, port) else {
            return;
        };
        let Some(&mac) = self.announced.get(&(id, ip)) else {
            return;
        };
        let frame = discovery::announcement(Station { mac, ip }, true);
        self.send(
            ANY_WORKER,
            &frame,
            InjectTo::Walk(Origin::SwitchPort(via)),
            &self.counters.announced,
        );
    }
}

/// The port is on a switch that a physical network is attached to here.
fn wired(tables: &Tables, port: &RouterPort) -> bool {
    let Peer::Switch { switch, port: side } = port.peer else {
        return false;
    };
    let Some((_, switch)) = tables.switch(switch) else {
        return false;
    };
    let here = switch.ports.get(usize::from(side)).is_some_and(|side| {
        side.enabled && matches!(side.place, Place::Router(_) | Place::Gateway { .. })
    });
    let wired = |port: &sluice_fastpath::tables::SwitchPort| {
        port.localnet && port.enabled && matches!(port.place, Place::Device { .. })
    };
    here && switch.ports.iter().any(wired)
}

fn router_ports(tables: &Tables) -> impl Iterator<Item = (&Router, &RouterPort)> {
    tables
        .datapaths
        .iter()
        .flatten()
        .flat_map(|piece| match &piece.kind {
            PieceKind::Router(router) if router.enabled => {
                router.ports.iter().map(|port| (router, port)).collect()
            }
            _ => Vec::new(),
        })
}

fn candidates(gateway: &Gateway) -> impl Iterator<Item = Candidate<'_, u32>> {
    gateway
        .candidates
        .iter()
        .map(|(chassis, tunnel)| Candidate {
            chassis,
            tunnel: tunnel.map(|id| id.0),
        })
}

/// The port's own addresses and those of NAT rules that are reached by it.
fn addresses_of<'a>(
    tables: &'a Tables,
    router: &'a Router,
    port: &'a RouterPort,
) -> impl Iterator<Item = std::net::IpAddr> + 'a {
    let index = tables.seat(port.id).map(|seat| seat.index);
    let of_rules = router
        .local
        .iter()
        .filter(move |(_, local)| local.nat && local.port.is_some() && local.port == index);
    port.networks
        .iter()
        .map(|net| net.addr())
        .chain(of_rules.map(|(ip, _)| *ip))
}
