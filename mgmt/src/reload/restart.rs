//! What of a node file can change while packets flow.

use crate::config::Node;

/// The keys whose values differ and that only a restart puts into effect.
#[must_use]
pub fn needs_restart(running: &Node, new: &Node) -> Vec<String> {
    let mut keys = Vec::new();
    let mut differ = |key: &str, differs: bool| {
        if differs {
            keys.push(key.to_owned());
        }
    };
    let (a, b) = (&running.dataplane, &new.dataplane);
    differ("chassis", running.chassis != new.chassis);
    differ("dataplane.workers", a.workers != b.workers);
    differ("dataplane.idle", a.idle != b.idle);
    differ("dataplane.hugepages", a.hugepages != b.hugepages);
    differ("dataplane.memory", a.memory != b.memory);
    differ("dataplane.connections", a.connections != b.connections);
    differ("dataplane.neighbors", a.neighbors != b.neighbors);
    differ("dataplane.fdb", a.fdb != b.fdb);
    differ(
        "connections.pick_up",
        running.connections.pick_up != new.connections.pick_up,
    );
    let (a, b) = (&running.fragments, &new.fragments);
    differ("fragments.datagrams", a.datagrams != b.datagrams);
    differ("fragments.held", a.held != b.held);
    differ("fragments.timeout", a.timeout != b.timeout);
    differ(
        "control.socket",
        running.control.socket != new.control.socket,
    );
    differ("log.level", running.log.level != new.log.level);
    differ("log.format", running.log.format != new.log.format);
    for (name, old) in &running.interfaces {
        match new.interfaces.get(name) {
            None => keys.push(format!("interface.{name} (removed)")),
            Some(new) => {
                if old.device != new.device {
                    keys.push(format!("interface.{name}.device"));
                }
                if old.mtu != new.mtu {
                    keys.push(format!("interface.{name}.mtu"));
                }
            }
        }
    }
    let added = new
        .interfaces
        .keys()
        .filter(|name| !running.interfaces.contains_key(*name));
    keys.extend(added.map(|name| format!("interface.{name} (added)")));
    keys
}

/// The new node file with the values that only a restart changes as they run now. What is bound to an interface
/// that is not open waits with it.
#[must_use]
pub fn in_effect(running: &Node, new: &Node) -> Node {
    let mut node = new.clone();
    node.chassis.clone_from(&running.chassis);
    node.dataplane.clone_from(&running.dataplane);
    node.connections.pick_up = running.connections.pick_up;
    node.fragments = running.fragments;
    node.control.clone_from(&running.control);
    node.log.clone_from(&running.log);
    node.interfaces.clone_from(&running.interfaces);
    for (name, interface) in &mut node.interfaces {
        interface.iface_id = new
            .interfaces
            .get(name)
            .and_then(|new| new.iface_id.clone());
    }
    node.bridge_mappings
        .retain(|_, interface| running.interfaces.contains_key(interface));
    if node
        .underlay
        .as_ref()
        .is_some_and(|underlay| !running.interfaces.contains_key(&underlay.interface))
    {
        node.underlay.clone_from(&running.underlay);
    }
    node
}
