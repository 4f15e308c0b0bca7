//! Who gets a broadcast: ports of this node first, then one copy for every other chassis.

use std::collections::BTreeMap;

use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::tables::{Domain, FloodMember, Place, SwitchPort};
use sluice_net::ids::{MC_FLOOD, MC_UNKNOWN};

use super::View;
use super::outline::{Outline, bridged, remote_chassis};
use super::registry::Registry;
use super::switch::Port;

/// The bridging domains of a switch, one for each of `vlans`.
pub(super) fn domains(
    view: &View<'_>,
    registry: &mut Registry,
    switch: &str,
    vlans: &[u16],
    ordered: &[Port<'_>],
    ports: &[SwitchPort],
    outline: &Outline<'_>,
) -> Vec<Domain> {
    let mut domains: Vec<Domain> = vlans
        .iter()
        .map(|vlan| Domain {
            id: registry.domain(switch, *vlan),
            vlan: *vlan,
            ..Domain::default()
        })
        .collect();
    // Per domain: the chassis that get a copy, and whether one of their ports learns.
    let mut chassis: Vec<BTreeMap<TunnelId, bool>> = vec![BTreeMap::new(); domains.len()];
    for (port, compiled) in ordered.iter().zip(ports) {
        if !compiled.enabled {
            continue;
        }
        let index = usize::from(compiled.domain);
        if let Some(member) = local_member(view, port, compiled)
            && let Some(domain) = domains.get_mut(index)
        {
            domain.flood.push(member);
            if compiled.learning {
                domain.unknown.push(member);
            }
        } else if !bridged(outline.localnet, port.declared)
            && let Some(name) = remote_chassis(view.resolved, view.node, port.name, port.declared)
            && let Some(tunnel) = view.tunnels.to(name)
            && let Some(chassis) = chassis.get_mut(index)
        {
            *chassis.entry(tunnel).or_default() |= compiled.learning;
        }
    }
    for (domain, chassis) in domains.iter_mut().zip(chassis) {
        for (tunnel, learns) in chassis {
            let keyed = view
                .tunnels
                .get(tunnel)
                .is_some_and(|tunnel| tunnel.port_keys);
            let copy = |group| FloodMember::Chassis {
                tunnel,
                group: keyed.then_some(group),
            };
            domain.flood.push(copy(MC_FLOOD));
            if learns {
                domain.unknown.push(copy(MC_UNKNOWN));
            }
        }
    }
    domains
}

/// A VIF bound here or a localnet of a mapped network.
fn local_member(view: &View<'_>, port: &Port<'_>, compiled: &SwitchPort) -> Option<FloodMember> {
    let here = compiled.localnet || view.node.iface_id.contains_key(port.name);
    match compiled.place {
        Place::Device { device, vlan } if here => Some(FloodMember::Device {
            port: compiled.id,
            device,
            vlan,
        }),
        _ => None,
    }
}
