//! The other chassis: which encapsulation, how to get there, what fits.

use std::net::{IpAddr, Ipv4Addr};

use hashbrown::HashMap;
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::tables::{EncapKind, Tunnel, Underlay};

use super::node::{NodeView, UnderlayView};
use super::registry::Registry;
use crate::topology::{self, Encap, Place, Problem, Resolved};

/// Bytes of the inner Ethernet header, which travels with each packet.
const INNER_ETHERNET: u16 = 14;

/// This node's tunnel end and the ways to all chassis it can reach.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tunnels {
    pub(super) underlay: Option<Underlay>,
    pub(super) by_id: Vec<Option<Tunnel>>,
    by_chassis: HashMap<String, TunnelId>,
}

impl Tunnels {
    /// Chooses for every other chassis the encapsulation that both ends speak, Geneve first as OVN does.
    pub(super) fn compile(
        resolved: &Resolved,
        node: &NodeView,
        registry: &mut Registry,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let Some(view) = &node.underlay else {
            return Self::default();
        };
        let own = resolved
            .chassis
            .get(&node.chassis)
            .map_or(&[][..], |chassis| &chassis.encaps);
        let mut tunnels = Self {
            underlay: Some(underlay(node, view, own)),
            ..Self::default()
        };
        for (name, chassis) in &resolved.chassis {
            if *name == node.chassis {
                continue;
            }
            match choose(own, &chassis.encaps) {
                Choice::Speak(mine, theirs, remote) => {
                    if let Some(tunnel) = tunnel(name, view, mine, theirs, remote, problems) {
                        tunnels.insert(tunnel, registry);
                    }
                }
                Choice::OnlyIpv6(index) => problems.push(
                    Problem::new(
                        Place::at(["chassis", name, "encap", "ip"]).nth(index),
                        "tunnels over IPv6 are not supported",
                    )
                    .mend("give the chassis an encap with an IPv4 address"),
                ),
                Choice::Nothing => {}
            }
        }
        tunnels.by_id.resize(registry.tunnels(), None);
        tunnels
    }

    fn insert(&mut self, tunnel: Tunnel, registry: &mut Registry) {
        let id = registry.tunnel(&tunnel.chassis, tunnel.kind, tunnel.remote);
        self.by_chassis.insert(tunnel.chassis.clone(), id);
        let index = id.0 as usize;
        if self.by_id.len() <= index {
            self.by_id.resize(index + 1, None);
        }
        if let Some(slot) = self.by_id.get_mut(index) {
            *slot = Some(tunnel);
        }
    }

    /// The way to a chassis, if there is one.
    pub(super) fn to(&self, chassis: &str) -> Option<TunnelId> {
        self.by_chassis.get(chassis).copied()
    }

    /// The tunnel with this index.
    pub(super) fn get(&self, id: TunnelId) -> Option<&Tunnel> {
        self.by_id.get(id.0 as usize)?.as_ref()
    }

    /// Bytes of inner IP packet that fit on the way to a chassis.
    pub(super) fn inner_mtu(&self, chassis: &str) -> Option<u16> {
        Some(self.get(self.to(chassis)?)?.inner_mtu)
    }

    /// Index by the peer's encapsulation.
    pub(super) fn peers(&self) -> HashMap<(EncapKind, Ipv4Addr), TunnelId> {
        let known = self.by_chassis.values().filter_map(|id| {
            let tunnel = self.get(*id)?;
            Some(((tunnel.kind, tunnel.remote), *id))
        });
        known.collect()
    }
}

/// The encapsulation two chassis use between them.
enum Choice<'t> {
    Speak(&'t Encap, &'t Encap, Ipv4Addr),
    /// All that both speak is over IPv6; the index of the first such encap of the peer.
    OnlyIpv6(usize),
    Nothing,
}

fn choose<'t>(own: &'t [Encap], theirs: &'t [Encap]) -> Choice<'t> {
    let mut over_ipv6 = None;
    let mut best: Option<(&Encap, &Encap, Ipv4Addr)> = None;
    for (index, encap) in theirs.iter().enumerate() {
        let Some(mine) = own
            .iter()
            .find(|mine| mine.kind == encap.kind && mine.ip.is_ipv4())
        else {
            if own.iter().any(|mine| mine.kind == encap.kind) {
                over_ipv6.get_or_insert(index);
            }
            continue;
        };
        match encap.ip {
            IpAddr::V4(remote) => {
                if best.is_none_or(|(_, best, _)| encap.kind < best.kind) {
                    best = Some((mine, encap, remote));
                }
            }
            IpAddr::V6(_) => _ = over_ipv6.get_or_insert(index),
        }
    }
    match (best, over_ipv6) {
        (Some((mine, encap, remote)), _) => Choice::Speak(mine, encap, remote),
        (None, Some(index)) => Choice::OnlyIpv6(index),
        (None, None) => Choice::Nothing,
    }
}

fn kind(kind: topology::EncapKind) -> EncapKind {
    match kind {
        topology::EncapKind::Geneve => EncapKind::Geneve,
        topology::EncapKind::Vxlan => EncapKind::Vxlan,
    }
}

fn udp_port(encap: &Encap) -> u16 {
    encap.port.unwrap_or(encap.kind.default_port())
}

fn underlay(node: &NodeView, view: &UnderlayView, own: &[Encap]) -> Underlay {
    let listens = |kind: topology::EncapKind| {
        let encap = own.iter().find(|encap| encap.kind == kind);
        encap.map_or(kind.default_port(), udp_port)
    };
    Underlay {
        device: view.device,
        vlan: view.vlan,
        mac: node
            .device(view.device)
            .map(|device| device.mac)
            .unwrap_or_default(),
        address: view.address,
        gateway: view.gateway,
        mtu: view.mtu,
        geneve_port: listens(topology::EncapKind::Geneve),
        vxlan_port: listens(topology::EncapKind::Vxlan),
    }
}

fn tunnel(
    chassis: &str,
    view: &UnderlayView,
    mine: &Encap,
    theirs: &Encap,
    remote: Ipv4Addr,
    problems: &mut Vec<Problem>,
) -> Option<Tunnel> {
    let place = || Place::at(["chassis", chassis, "encap"]);
    let on_link = view.address.contains(&remote).then_some(remote);
    let Some(next_hop) = on_link.or(view.gateway) else {
        problems.push(
            Problem::new(
                place(),
                format!(
                    "{remote} is not on this node's underlay link {}, and the underlay has no gateway",
                    view.address
                ),
            )
            .mend("add `gateway` to [underlay] in the node file"),
        );
        return None;
    };
    let kind = kind(theirs.kind);
    // Both ends must agree, and each knows both encaps.
    let port_keys = kind == EncapKind::Geneve && mine.port_keys && theirs.port_keys;
    let overhead = Tunnel::overhead(kind, port_keys) + INNER_ETHERNET;
    let Some(inner_mtu) = view.mtu.checked_sub(overhead).filter(|mtu| *mtu > 0) else {
        problems.push(Problem::new(
            place(),
            format!(
                "nothing fits a tunnel: {overhead} of the underlay's {} bytes are headers",
                view.mtu
            ),
        ));
        return None;
    };
    Some(Tunnel {
        chassis: chassis.to_owned(),
        kind,
        remote,
        port: udp_port(theirs),
        port_keys,
        checksum: theirs.checksum,
        next_hop,
        inner_mtu,
    })
}
