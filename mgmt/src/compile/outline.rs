//! What the neighbors of a switch need to know of it.

use std::collections::BTreeMap;

use sluice_fastpath::io::DeviceId;

use super::node::NodeView;
use super::reach::is_elsewhere;
use super::tunnels::Tunnels;
use crate::topology::{Attachment, Resolved, ResolvedSwitch, ResolvedSwitchPort};

/// A switch in short.
///
/// Ports of type router and localnet come first in a compiled switch, so that VMs that come and go do not
/// move them: their index is part of what the routers around are compiled from.
#[derive(Debug)]
pub(super) struct Outline<'t> {
    /// Names of the ports that are no VIFs, sorted.
    fixed: Vec<&'t str>,
    /// The localnet by which this node reaches the switch's physical network.
    pub(super) localnet: Option<Localnet<'t>>,
    /// Bytes of IP that fit on the way to every other chassis with ports of the switch; `None` without any.
    pub(super) remote_mtu: Option<u16>,
}

/// A localnet port that this node can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Localnet<'t> {
    /// Name of the port.
    pub(super) port: &'t str,
    /// The device of the physical network.
    pub(super) device: DeviceId,
    /// 802.1Q tag on the wire.
    pub(super) tag: Option<u16>,
}

impl<'t> Outline<'t> {
    /// Outlines a switch, and counts the ports whose chassis cannot be reached.
    pub(super) fn of(
        resolved: &'t Resolved,
        node: &NodeView,
        tunnels: &Tunnels,
        switch: &'t ResolvedSwitch,
        unreachable: &mut BTreeMap<&'t str, usize>,
    ) -> Self {
        let localnet = usable_localnet(node, switch);
        let mut remote_mtu = None;
        let mut fixed = Vec::new();
        for (name, port) in &switch.ports {
            if port.attachment != Attachment::Vif {
                fixed.push(name.as_str());
            }
            if bridged(localnet, port) {
                continue;
            }
            let Some(chassis) = remote_chassis(resolved, node, name, port) else {
                continue;
            };
            match tunnels.inner_mtu(chassis) {
                Some(mtu) => remote_mtu = Some(remote_mtu.map_or(mtu, |least: u16| least.min(mtu))),
                None => *unreachable.entry(chassis).or_default() += 1,
            }
        }
        Self {
            fixed,
            localnet,
            remote_mtu,
        }
    }

    /// Index of a port of type router or localnet in the compiled switch.
    pub(super) fn index(&self, port: &str) -> Option<u16> {
        u16::try_from(self.fixed.binary_search(&port).ok()?).ok()
    }
}

/// The localnet port that this node reaches the physical network by: the first by name.
fn usable_localnet<'t>(node: &NodeView, switch: &'t ResolvedSwitch) -> Option<Localnet<'t>> {
    switch
        .ports
        .iter()
        .find_map(|(name, port)| match &port.attachment {
            Attachment::Localnet { network, tag } if port.enabled => Some(Localnet {
                port: name,
                device: *node.bridge_mappings.get(network)?,
                tag: *tag,
            }),
            _ => None,
        })
}

/// True when the port's packets take the physical network if they leave this node. An access VLAN is a
/// segment of its own, which the localnet is no part of.
pub(super) fn bridged(localnet: Option<Localnet<'_>>, port: &ResolvedSwitchPort) -> bool {
    localnet.is_some() && port.vlan.is_none()
}

/// The other chassis on which a switch port is bound: a VIF's, or that of the gateway router behind it.
pub(super) fn remote_chassis<'t>(
    resolved: &'t Resolved,
    node: &NodeView,
    name: &str,
    port: &'t ResolvedSwitchPort,
) -> Option<&'t str> {
    match &port.attachment {
        Attachment::Vif if node.iface_id.contains_key(name) => None,
        Attachment::Vif => port
            .chassis
            .as_deref()
            .filter(|chassis| *chassis != node.chassis),
        Attachment::Router { router, .. } => {
            let router = resolved
                .routers
                .get(router)
                .filter(|router| is_elsewhere(node, router))?;
            router.chassis.as_deref()
        }
        Attachment::Localnet { .. } => None,
    }
}
