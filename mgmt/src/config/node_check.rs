//! What a node file must fulfil, by itself and with its topology.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use toml::de::DeTable;

use super::device::{self, DeviceText};
use super::diagnostic::{Diagnostic, Location};
use super::locate::locate;
use super::node::{Interface, Node};
use crate::topology::{SwitchPort, SwitchPortKind, Topology, nearest};

/// Longest path of a unix socket, without its final zero.
const LONGEST_SOCKET: usize = 107;

/// Errors and warnings of a node file; `source` and `table` are where it was read from.
pub(super) fn check(
    node: &Node,
    topology: &Topology,
    source: usize,
    table: &DeTable<'_>,
) -> Vec<Diagnostic> {
    let mut check = Check {
        node,
        topology,
        source,
        table,
        found: Vec::new(),
    };
    check.chassis();
    check.devices();
    check.bindings();
    check.mappings();
    check.underlay();
    check.sharing();
    check.gateways();
    check.unused();
    check.socket();
    check.timeouts();
    check.found
}

struct Check<'a> {
    node: &'a Node,
    topology: &'a Topology,
    source: usize,
    table: &'a DeTable<'a>,
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn push(&mut self, mut diagnostic: Diagnostic, path: &[&str]) {
        diagnostic.at = self.location(path);
        self.found.push(diagnostic);
    }

    fn location(&self, path: &[&str]) -> Option<Location> {
        let span = locate(self.table, path, None)?;
        Some(Location {
            source: self.source,
            span: span.into(),
        })
    }

    fn error(&mut self, path: &[&str], message: String, help: impl Into<String>) {
        self.push(Diagnostic::error(message).help(help), path);
    }

    fn warning(&mut self, path: &[&str], message: String, help: impl Into<String>) {
        self.push(Diagnostic::warning(message).help(help), path);
    }

    fn chassis(&mut self) {
        let chassis = self.node.chassis.as_str();
        if self.topology.chassis.contains_key(chassis) {
            return;
        }
        let known = self.topology.chassis.keys().map(String::as_str);
        let help = match nearest(chassis, known.clone()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => {
                let known: Vec<_> = known.collect();
                (!known.is_empty()).then(|| format!("the topology has: {}", known.join(", ")))
            }
        };
        let mut error = Diagnostic::error(format!("the topology has no chassis `{chassis}`"));
        error.help = help;
        self.push(error, &["chassis"]);
    }

    fn timeouts(&mut self) {
        for (timeout, seconds) in &self.node.timeouts {
            if let Some((least, rfc)) = timeout.least()
                && *seconds < least
            {
                let key = timeout.key();
                let message =
                    format!("`{key}` is {seconds} seconds: {rfc} asks for {least} at least");
                let help =
                    "connections that are still in use may end; leave it out for the default";
                self.warning(&["timeouts", key], message, help);
            }
        }
    }

    fn devices(&mut self) {
        let node = self.node;
        let mut names: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, interface) in &node.interfaces {
            let path = ["interface", name, "device"];
            let device = match DeviceText::read(&interface.device) {
                Ok(device) => device,
                Err((message, help)) => {
                    self.error(&path, message, help);
                    continue;
                }
            };
            if let Err((message, help)) = device.check() {
                self.error(&path, message, help);
            }
            if !device.is_known() {
                let message = format!("no driver for `{}` is known here", device.name);
                self.warning(&path, message, format!("known are {}", device::drivers()));
            }
            let first = names.insert(device.name.to_string(), (name, &interface.device));
            if let Some((other, text)) = first {
                self.same_device(&path, (other, text), (name, &device));
                continue;
            }
            if let Some(linux) = device.interface()
                && let Some(other) = taken.insert(linux, name)
            {
                let message =
                    format!("interfaces `{other}` and `{name}` both use `{linux}` of Linux");
                self.error(
                    &path,
                    message,
                    "remove one, or give it another iface; a device can be underlay and localnet \
                     at once, by VLAN",
                );
            }
        }
    }

    /// Two interfaces whose devices DPDK would not tell apart.
    fn same_device(
        &mut self,
        path: &[&str],
        (other, text): (&str, &str),
        (name, device): (&str, &DeviceText<'_>),
    ) {
        let same = self
            .node
            .interfaces
            .get(name)
            .is_some_and(|interface| interface.device == text);
        let (message, help) = match device.driver {
            Some(driver) if !same => (
                format!(
                    "interfaces `{other}` and `{name}` have the same device name `{}`",
                    device.name
                ),
                format!("number them apart: net_{driver}0, net_{driver}1"),
            ),
            _ => (
                format!("interfaces `{other}` and `{name}` have the same device"),
                "remove one; a device can be underlay and localnet at once, by VLAN".to_owned(),
            ),
        };
        self.error(path, message, help);
    }

    fn bindings(&mut self) {
        let ports: BTreeMap<&str, &SwitchPort> = self
            .topology
            .switches
            .values()
            .flat_map(|switch| &switch.ports)
            .map(|(name, port)| (name.as_str(), port))
            .collect();
        let mut bound: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, interface) in &self.node.interfaces {
            let Some(id) = interface.iface_id.as_deref() else {
                continue;
            };
            let path = ["interface", name, "iface_id"];
            if let Some(other) = bound.insert(id, name) {
                self.error(
                    &path,
                    format!("port `{id}` is bound to both `{other}` and `{name}`"),
                    "a port is bound to one interface",
                );
            }
            self.binding(id, ports.get(id).copied(), &ports, &path);
        }
    }

    fn binding(
        &mut self,
        id: &str,
        port: Option<&SwitchPort>,
        ports: &BTreeMap<&str, &SwitchPort>,
        path: &[&str],
    ) {
        let Some(port) = port else {
            let vifs = ports
                .iter()
                .filter(|(_, port)| port.kind == SwitchPortKind::Vif);
            let help = match nearest(id, vifs.map(|(name, _)| *name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "declare it as a port of a switch in the topology".to_owned(),
            };
            let message = format!("the topology has no switch port `{id}`");
            return self.error(path, message, help);
        };
        if port.kind != SwitchPortKind::Vif {
            let message = format!("port `{id}` is not a VIF, so no interface is bound to it");
            return self.error(
                path,
                message,
                "a localnet port is reached by bridge_mappings; a router's needs nothing",
            );
        }
        if let Some(other) = port
            .chassis
            .as_deref()
            .filter(|other| *other != self.node.chassis)
        {
            let message = format!(
                "port `{id}` is bound here, but in the topology others look for it on `{other}`"
            );
            let help = format!(
                "chassis = \"{}\" in the topology, or unbind it",
                self.node.chassis
            );
            self.error(path, message, help);
        }
    }

    /// An interface that is named somewhere must be declared.
    fn interface_exists(&mut self, name: &str, path: &[&str]) -> bool {
        if self.node.interfaces.contains_key(name) {
            return true;
        }
        let known = self.node.interfaces.keys().map(String::as_str);
        let help = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare [interface.{name}] with its device"),
        };
        self.error(path, format!("there is no interface `{name}`"), help);
        false
    }

    fn mappings(&mut self) {
        let node = self.node;
        for (network, interface) in &node.bridge_mappings {
            let path = ["bridge_mappings", network];
            self.interface_exists(interface, &path);
            if self.tags_of(network).is_empty() {
                let known: Vec<&str> = self.localnets().map(|(network, _)| network).collect();
                let help = match nearest(network, known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "it serves no purpose until one has".to_owned(),
                };
                let message = format!("no localnet port has the network `{network}`");
                self.warning(&path, message, help);
            }
        }
    }

    /// Network and tag of all localnet ports.
    fn localnets(&self) -> impl Iterator<Item = (&'a str, Option<u16>)> {
        let ports = self
            .topology
            .switches
            .values()
            .flat_map(|switch| switch.ports.values());
        ports.filter_map(|port| match &port.kind {
            SwitchPortKind::Localnet { network, tag } => Some((network.as_str(), *tag)),
            _ => None,
        })
    }

    fn tags_of(&self, network: &str) -> Vec<Option<u16>> {
        let of_it = self.localnets().filter(|(name, _)| *name == network);
        of_it.map(|(_, tag)| tag).collect()
    }

    fn underlay(&mut self) {
        let Some(underlay) = &self.node.underlay else {
            if self.topology.chassis.len() > 1 {
                let message = "without [underlay] no other chassis can be reached".to_owned();
                self.warning(
                    &["chassis"],
                    message,
                    "add [underlay] interface and address",
                );
            }
            return;
        };
        if self.interface_exists(&underlay.interface, &["underlay", "interface"])
            && let Some(interface) = self.node.interfaces.get(&underlay.interface)
            && underlay.mtu > interface.mtu
        {
            let message = format!(
                "the underlay's MTU {} is above {} of interface `{}`",
                underlay.mtu, interface.mtu, underlay.interface
            );
            self.error(&["underlay", "mtu"], message, "raise the interface's mtu");
        }
        let ip = underlay.address.addr();
        let encaps = self
            .topology
            .chassis
            .get(&self.node.chassis)
            .map(|own| &own.encaps);
        if let Some(encaps) = encaps
            && !encaps.is_empty()
            && encaps.iter().all(|encap| encap.ip != ip)
        {
            let known: Vec<_> = encaps.iter().map(|encap| encap.ip.to_string()).collect();
            let message = format!(
                "{ip} is not an encap address of chassis `{}`, so others would not find it",
                self.node.chassis
            );
            let help = format!("the topology has {}", known.join(", "));
            self.error(&["underlay", "address"], message, help);
        }
        if let Some(gateway) = underlay.gateway
            && (gateway == ip || !underlay.address.contains(&gateway))
        {
            let network = underlay.address.trunc();
            let message = format!("{gateway} is not another host of the underlay's network");
            self.error(
                &["underlay", "gateway"],
                message,
                format!("an address in {network}"),
            );
        }
    }

    /// On one wire, what belongs to whom is told by the tag; a VIF has its wire for itself.
    fn sharing(&mut self) {
        let node = self.node;
        let mut users: Vec<(&str, Option<u16>, String, Vec<&str>)> = Vec::new();
        if let Some(underlay) = &node.underlay {
            let path = vec!["underlay", "interface"];
            users.push((
                &underlay.interface,
                underlay.vlan,
                "the underlay".to_owned(),
                path,
            ));
        }
        for (network, interface) in &node.bridge_mappings {
            let mut tags = self.tags_of(network);
            if tags.is_empty() {
                tags.push(None);
            }
            for tag in tags {
                let path = vec!["bridge_mappings", network];
                users.push((interface, tag, format!("network `{network}`"), path));
            }
        }
        let mut taken: BTreeMap<(&str, Option<u16>), String> = BTreeMap::new();
        for (interface, tag, user, path) in users {
            let id = node
                .interfaces
                .get(interface)
                .and_then(|i| i.iface_id.as_deref());
            if let Some(id) = id {
                let message = format!("interface `{interface}` is port `{id}` and {user} at once");
                self.error(&path, message, "a port has its interface for itself");
            }
            let tagged = tag.map_or("untagged".to_owned(), |tag| format!("with tag {tag}"));
            if let Some(other) = taken.insert((interface, tag), user.clone()) {
                let message = format!("{other} and {user} are both on `{interface}`, {tagged}");
                self.error(&path, message, "give them different tags, or interfaces");
            }
        }
    }

    /// A gateway that cannot reach the outside would draw traffic and lose it.
    fn gateways(&mut self) {
        let node = self.node;
        for switch in self.topology.switches.values() {
            let unmapped = switch.ports.values().find_map(|port| match &port.kind {
                SwitchPortKind::Localnet { network, .. }
                    if !node.bridge_mappings.contains_key(network) =>
                {
                    Some(network)
                }
                _ => None,
            });
            let Some(network) = unmapped else { continue };
            for port in switch.ports.values() {
                if let SwitchPortKind::Router { router_port } = &port.kind
                    && let Some(router) = self.gateway_here(router_port)
                {
                    let message = format!(
                        "this node can be the gateway of router `{router}`, but does not map its \
                         outer network `{network}`"
                    );
                    let help = format!("add {network} = \"INTERFACE\" to [bridge_mappings]");
                    self.warning(&["chassis"], message, help);
                }
            }
        }
    }

    /// The router of a port that can be active on this node.
    fn gateway_here(&self, router_port: &str) -> Option<&'a str> {
        let own = self.node.chassis.as_str();
        let routers = &self.topology.routers;
        routers.iter().find_map(|(name, router)| {
            let port = router.ports.get(router_port)?;
            let here =
                router.chassis.as_deref() == Some(own) || port.gateway_chassis.contains_key(own);
            here.then_some(name.as_str())
        })
    }

    fn unused(&mut self) {
        let node = self.node;
        let underlay = node.underlay.as_ref().map(|underlay| &underlay.interface);
        let unused = |(name, interface): &(&String, &Interface)| {
            interface.iface_id.is_none()
                && underlay != Some(*name)
                && !node.bridge_mappings.values().any(|mapped| mapped == *name)
        };
        for (name, _) in node.interfaces.iter().filter(unused) {
            self.warning(
                &["interface", name],
                format!("nothing uses interface `{name}`"),
                "bind a port with iface_id, or name it in [underlay] or [bridge_mappings]",
            );
        }
    }

    fn socket(&mut self) {
        let length = self.node.control.socket.as_os_str().as_bytes().len();
        if length > LONGEST_SOCKET {
            let message = format!(
                "the control socket's path has {length} bytes; the system takes {LONGEST_SOCKET}"
            );
            self.error(&["control", "socket"], message, "choose a shorter path");
        }
    }
}
