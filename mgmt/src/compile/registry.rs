//! Names and their indices.

use hashbrown::HashMap;
use sluice_fastpath::ids::{DatapathId, PortId, TunnelId};
use sluice_fastpath::tables::{EncapKind, RoleId};
use std::net::Ipv4Addr;

use super::reach::Owner;

/// Gives indices to names.
///
/// An index stays with its name across reloads, also while the name is gone, and is never given to
/// another: connections, neighbors and learned MACs are filed under indices and must not pass from one
/// tenant to the next. Nothing is ever compacted; a forgotten port costs about a hundred bytes until the
/// daemon restarts.
#[derive(Debug, Default)]
pub struct Registry {
    switches: HashMap<String, Entry>,
    routers: HashMap<String, Entry>,
    tunnels: HashMap<(String, EncapKind, Ipv4Addr), TunnelId>,
    next_datapath: u32,
    next_port: u32,
    next_domain: u32,
    next_role: u32,
}

/// A datapath and what is filed under its name.
#[derive(Debug, Default)]
struct Entry {
    id: DatapathId,
    ports: HashMap<String, PortId>,
    domains: HashMap<u16, u32>,
    roles: HashMap<String, RoleId>,
}

impl Registry {
    fn entry(&mut self, owner: Owner<'_>) -> &mut Entry {
        let (map, name) = match owner {
            Owner::Switch(name) => (&mut self.switches, name),
            Owner::Router(name) => (&mut self.routers, name),
        };
        let next = &mut self.next_datapath;
        map.entry_ref(name).or_insert_with(|| Entry {
            id: DatapathId(take(next)),
            ..Entry::default()
        })
    }

    /// The index of a switch or router.
    pub(super) fn datapath(&mut self, owner: Owner<'_>) -> DatapathId {
        self.entry(owner).id
    }

    /// The index of a port. A port that moves to another datapath gets another one.
    pub(super) fn port(&mut self, owner: Owner<'_>, port: &str) -> PortId {
        let known = self.entry(owner).ports.get(port).copied();
        known.unwrap_or_else(|| {
            let id = PortId(take(&mut self.next_port));
            self.entry(owner).ports.insert(port.to_owned(), id);
            id
        })
    }

    /// The number of a bridging domain: a switch and an access VLAN, 0 for none.
    pub(super) fn domain(&mut self, switch: &str, vlan: u16) -> u32 {
        let known = self
            .entry(Owner::Switch(switch))
            .domains
            .get(&vlan)
            .copied();
        known.unwrap_or_else(|| {
            let id = take(&mut self.next_domain);
            self.entry(Owner::Switch(switch)).domains.insert(vlan, id);
            id
        })
    }

    /// The index of the role of a gateway port.
    pub(super) fn role(&mut self, router: &str, port: &str) -> RoleId {
        let known = self.entry(Owner::Router(router)).roles.get(port).copied();
        known.unwrap_or_else(|| {
            let id = RoleId(take(&mut self.next_role));
            self.entry(Owner::Router(router))
                .roles
                .insert(port.to_owned(), id);
            id
        })
    }

    /// The index of a chassis reached by one of its encapsulations.
    pub(super) fn tunnel(&mut self, chassis: &str, kind: EncapKind, remote: Ipv4Addr) -> TunnelId {
        let next = TunnelId(u32::try_from(self.tunnels.len()).unwrap_or(u32::MAX));
        *self
            .tunnels
            .entry((chassis.to_owned(), kind, remote))
            .or_insert(next)
    }

    /// Datapaths named so far: one more than the largest index.
    pub(super) fn datapaths(&self) -> usize {
        self.next_datapath as usize
    }

    /// Ports named so far: one more than the largest index.
    pub(super) fn ports(&self) -> usize {
        self.next_port as usize
    }

    /// Tunnels named so far: one more than the largest index.
    pub(super) fn tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// Gateway ports named so far: one more than the largest index.
    pub(super) fn roles(&self) -> usize {
        self.next_role as usize
    }
}

fn take(next: &mut u32) -> u32 {
    let id = *next;
    *next += 1;
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_stays_with_its_name() {
        let mut registry = Registry::default();
        let a = registry.datapath(Owner::Switch("a"));
        let b = registry.datapath(Owner::Switch("b"));
        assert_ne!(a, b);
        assert_eq!(registry.datapath(Owner::Switch("a")), a);
        assert_ne!(
            registry.datapath(Owner::Router("a")),
            a,
            "a switch and a router of one name"
        );
        assert_eq!(registry.datapaths(), 3);
    }

    #[test]
    fn a_port_belongs_to_its_datapath() {
        let mut registry = Registry::default();
        let here = registry.port(Owner::Switch("a"), "p");
        let there = registry.port(Owner::Switch("b"), "p");
        assert_ne!(here, there);
        assert_eq!(registry.port(Owner::Switch("a"), "p"), here);
        assert_eq!(registry.ports(), 2);
    }

    #[test]
    fn domains_roles_and_tunnels_are_dense_and_stable() {
        let mut registry = Registry::default();
        let ids = [
            registry.domain("a", 0),
            registry.domain("a", 7),
            registry.domain("b", 0),
        ];
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(registry.domain("a", 7), 1);
        assert_eq!(registry.role("r", "p"), RoleId(0));
        assert_eq!(registry.role("r", "q"), RoleId(1));
        assert_eq!(registry.role("r", "p"), RoleId(0));
        let ip = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(registry.tunnel("hv1", EncapKind::Geneve, ip), TunnelId(0));
        assert_eq!(registry.tunnel("hv1", EncapKind::Vxlan, ip), TunnelId(1));
        assert_eq!(registry.tunnel("hv1", EncapKind::Geneve, ip), TunnelId(0));
        assert_eq!((registry.tunnels(), registry.roles()), (2, 2));
    }
}
