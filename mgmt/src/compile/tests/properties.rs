//! Properties of all topologies: small random ones, one after another.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use proptest::collection::vec;
use proptest::prelude::*;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::{Choice, FloodMember, Peer, PieceKind, Place, Tables};
use sluice_net::Mac;

use super::super::{Compiler, NodeView};
use super::{build, node};
use crate::topology::{
    Chassis, Encap, EncapKind, Nat, NatKind, Nexthop, PortAddress, Resolved, Route, RoutePolicy,
    Router, RouterPort, Switch, SwitchPort, SwitchPortKind, Topology, resolve,
};

const SWITCHES: usize = 3;
const ROUTERS: usize = 3;
const VIFS: usize = 3;
const CHASSIS: [&str; 3] = ["a", "b", "c"];

/// What a random network is made of.
#[derive(Clone, Debug)]
struct Seed {
    switches: Vec<SwitchSeed>,
    routers: Vec<RouterSeed>,
    chassis: usize,
    /// The first two routers are linked, if they can be.
    linked: bool,
}

#[derive(Clone, Debug)]
struct SwitchSeed {
    localnet: bool,
    mapped: bool,
    vifs: Vec<VifSeed>,
}

#[derive(Clone, Debug)]
struct VifSeed {
    present: bool,
    chassis: Option<usize>,
    here: bool,
    enabled: bool,
    unknown: bool,
    vlan: bool,
}

#[derive(Clone, Debug)]
struct RouterSeed {
    attached: Vec<bool>,
    chassis: Option<usize>,
    gateway: Vec<bool>,
    disabled_port: bool,
    nat: bool,
    routes: usize,
}

fn seeds() -> impl Strategy<Value = Seed> {
    let vif = (
        any::<bool>(),
        proptest::option::of(0..3usize),
        any::<[bool; 4]>(),
    );
    let vif = vif.prop_map(
        |(present, chassis, [here, enabled, unknown, vlan])| VifSeed {
            present,
            chassis,
            here,
            enabled,
            unknown,
            vlan,
        },
    );
    let switch = (any::<[bool; 2]>(), vec(vif, VIFS));
    let switch = switch.prop_map(|([localnet, mapped], vifs)| SwitchSeed {
        localnet,
        mapped,
        vifs,
    });
    let router = (
        vec(any::<bool>(), SWITCHES),
        proptest::option::weighted(0.3, 0..3usize),
        vec(any::<bool>(), CHASSIS.len()),
        any::<[bool; 2]>(),
        0..4usize,
    );
    let router = router.prop_map(
        |(attached, chassis, gateway, [disabled_port, nat], routes)| RouterSeed {
            attached,
            chassis,
            gateway,
            disabled_port,
            nat,
            routes,
        },
    );
    (
        vec(switch, SWITCHES),
        vec(router, ROUTERS),
        1..=CHASSIS.len(),
        any::<bool>(),
    )
        .prop_map(|(switches, routers, chassis, linked)| Seed {
            switches,
            routers,
            chassis,
            linked,
        })
}

/// Networks one after another, each the one before with one thing taken from elsewhere: what a piece
/// rests on changes while its own declaration stays.
fn histories() -> impl Strategy<Value = Vec<Seed>> {
    let steps = vec((seeds(), 0..10usize, 0..ROUTERS), 1..6);
    (seeds(), steps).prop_map(|(first, steps)| {
        let mut history = vec![first.clone()];
        let mut now = first;
        for (other, what, at) in steps {
            now.take(&other, what, at);
            history.push(now.clone());
        }
        history
    })
}

impl Seed {
    /// Takes one thing from another network.
    fn take(&mut self, other: &Seed, what: usize, at: usize) {
        let (router, from) = (&mut self.routers[at], &other.routers[at]);
        match what {
            0 => router.nat = !router.nat,
            1 => router.chassis = from.chassis,
            2 => router.gateway.clone_from(&from.gateway),
            3 => router.routes = from.routes,
            4 => *router = from.clone(),
            5 => self.switches[at].mapped = !self.switches[at].mapped,
            6 => self.switches[at] = other.switches[at].clone(),
            7 => self.chassis = other.chassis,
            8 => self.linked = !self.linked,
            _ => *self = other.clone(),
        }
    }

    fn chassis(&self, index: Option<usize>) -> Option<String> {
        index
            .filter(|index| *index < self.chassis)
            .map(|index| CHASSIS[index].to_owned())
    }

    fn topology(&self) -> Topology {
        let mut topology = Topology::default();
        for (name, last) in CHASSIS.iter().zip(1..).take(self.chassis) {
            let encap = Encap {
                kind: if last == 3 {
                    EncapKind::Vxlan
                } else {
                    EncapKind::Geneve
                },
                ip: IpAddr::V4(Ipv4Addr::new(10, 255, 0, last)),
                port: None,
                port_keys: last != 3,
                checksum: true,
            };
            topology.chassis.insert(
                (*name).to_owned(),
                Chassis {
                    encaps: vec![encap],
                },
            );
        }
        for (s, seed) in self.switches.iter().enumerate() {
            topology
                .switches
                .insert(format!("s{s}"), self.switch(s, seed));
        }
        for (r, seed) in self.routers.iter().enumerate() {
            topology
                .routers
                .insert(format!("r{r}"), self.router(r, seed));
        }
        self.link(&mut topology);
        topology
    }

    fn link(&self, topology: &mut Topology) {
        let chassis = |name| topology.routers.get(name).map(|router| &router.chassis);
        if !self.linked || chassis("r0") != chassis("r1") {
            return;
        }
        for (name, peer, last) in [("r0", "r1", 1), ("r1", "r0", 2)] {
            let port = RouterPort {
                networks: vec![IpNet::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, last)), 30).unwrap()],
                peer: Some(format!("{peer}-{name}")),
                ..RouterPort::default()
            };
            if let Some(router) = topology.routers.get_mut(name) {
                router.ports.insert(format!("{name}-{peer}"), port);
            }
        }
    }

    fn switch(&self, s: usize, seed: &SwitchSeed) -> Switch {
        let mut ports = BTreeMap::new();
        if seed.localnet {
            let kind = SwitchPortKind::Localnet {
                network: format!("n{s}"),
                tag: Some(10 + s as u16),
            };
            ports.insert(
                format!("s{s}-wire"),
                SwitchPort {
                    kind,
                    ..SwitchPort::default()
                },
            );
        }
        for (v, vif) in seed.vifs.iter().enumerate().filter(|(_, vif)| vif.present) {
            let mac = Mac([2, 0, 0, 0, s as u8, v as u8]);
            let mut addresses = vec![PortAddress::Static {
                mac,
                ips: vec![host(s, 100 + v)],
            }];
            if vif.unknown {
                addresses.push(PortAddress::Unknown);
            }
            let port = SwitchPort {
                addresses,
                chassis: self.chassis(vif.chassis),
                enabled: vif.enabled,
                vlan: vif.vlan.then_some(7),
                ..SwitchPort::default()
            };
            ports.insert(vif_name(s, v), port);
        }
        for (r, router) in self.routers.iter().enumerate() {
            if router.attached[s] {
                let kind = SwitchPortKind::Router {
                    router_port: format!("r{r}-s{s}"),
                };
                let addresses = vec![PortAddress::Router];
                ports.insert(
                    format!("s{s}-r{r}"),
                    SwitchPort {
                        kind,
                        addresses,
                        ..SwitchPort::default()
                    },
                );
            }
        }
        Switch {
            ports,
            ..Switch::default()
        }
    }

    fn router(&self, r: usize, seed: &RouterSeed) -> Router {
        let chassis = self.chassis(seed.chassis);
        let switches: Vec<usize> = (0..SWITCHES).filter(|s| seed.attached[*s]).collect();
        let mut router = Router {
            chassis: chassis.clone(),
            ..Router::default()
        };
        for (at, s) in switches.iter().enumerate() {
            let IpAddr::V4(address) = host(*s, r + 1) else {
                continue;
            };
            let mut port = RouterPort {
                networks: vec![IpNet::V4(Ipv4Net::new(address, 24).unwrap())],
                enabled: !(seed.disabled_port && at == 1),
                ..RouterPort::default()
            };
            if at == 0 && chassis.is_none() {
                let members = (0..self.chassis).filter(|c| seed.gateway[*c]);
                port.gateway_chassis = members
                    .map(|c| (CHASSIS[c].to_owned(), c as u16 + 1))
                    .collect();
            }
            router.ports.insert(format!("r{r}-s{s}"), port);
        }
        let routes =
            switches
                .iter()
                .cycle()
                .take(if switches.is_empty() { 0 } else { seed.routes });
        let routes = routes.enumerate().map(|(n, s)| Route {
            prefix: IpNet::new(IpAddr::V4(Ipv4Addr::new(172, 16 + (n % 2) as u8, 0, 0)), 16)
                .unwrap(),
            nexthop: Nexthop::Ip(host(*s, 200 + n)),
            output_port: None,
            policy: if n == 3 {
                RoutePolicy::SrcIp
            } else {
                RoutePolicy::DstIp
            },
        });
        router.routes = routes.collect();
        let translates = router
            .ports
            .values()
            .any(|port| !port.gateway_chassis.is_empty())
            || chassis.is_some();
        if let Some(s) = switches.first().filter(|_| seed.nat && translates) {
            let inside = "10.0.0.0/8".parse().unwrap();
            let nat = Nat::new(NatKind::Snat, host(*s, 50 + r), inside);
            router.nat.push(nat);
        }
        router
    }

    fn node(&self) -> NodeView {
        let mut view = node("a", Some("10.255.0.1/24"));
        for (s, switch) in self.switches.iter().enumerate() {
            if switch.localnet && switch.mapped {
                view.bridge_mappings.insert(format!("n{s}"), DeviceId(1));
            }
            for (v, vif) in switch.vifs.iter().enumerate() {
                let ours = vif.chassis.is_none_or(|c| c == 0 || c >= self.chassis);
                if vif.present && vif.here && ours {
                    bind(&mut view, s, v);
                }
            }
        }
        view
    }

    /// Another chassis, with the VIFs that the topology says it has.
    fn node_of(&self, chassis: &str, last: usize) -> NodeView {
        let mut view = node(chassis, Some(&format!("10.255.0.{last}/24")));
        for (s, switch) in self.switches.iter().enumerate() {
            for (v, vif) in switch.vifs.iter().enumerate() {
                if vif.present && self.chassis(vif.chassis).as_deref() == Some(chassis) {
                    bind(&mut view, s, v);
                }
            }
        }
        view
    }

    fn resolved(&self) -> Resolved {
        resolve(&self.topology()).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }
}

/// Binds a VIF to a device of its own.
fn bind(view: &mut NodeView, s: usize, v: usize) {
    let device = DeviceId(view.devices.len() as u16);
    let mut more = view.devices[2].clone();
    more.name = vif_name(s, v);
    view.devices.push(more);
    view.iface_id.insert(vif_name(s, v), device);
}

fn vif_name(s: usize, v: usize) -> String {
    format!("v{v}-s{s}")
}

fn host(s: usize, last: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, s as u8, 0, last as u8))
}

/// What holds in all tables.
fn check(tables: &Tables, resolved: &Resolved, view: &NodeView) {
    for piece in tables.datapaths.iter().flatten() {
        assert_eq!(
            tables.piece(piece.id).map(|found| &found.name),
            Some(&piece.name)
        );
        assert_eq!(tables.by_vni.get(&piece.vni), Some(&piece.id));
        assert!(piece.epoch <= tables.generation);
        match &piece.kind {
            PieceKind::Switch(switch) => {
                assert_eq!(
                    switch.ports.len(),
                    resolved.switches[&piece.name].ports.len()
                );
                for (index, port) in switch.ports.iter().enumerate() {
                    let seat = tables.seat(port.id).unwrap();
                    assert_eq!((seat.datapath, usize::from(seat.index)), (piece.id, index));
                    assert_eq!(usize::from(switch.by_key[&port.key]), index);
                    assert!(usize::from(port.domain) < switch.domains.len());
                    check_place(tables, view, port.place, &port.name);
                }
                assert!(
                    switch
                        .known
                        .values()
                        .all(|known| usize::from(known.port) < switch.ports.len())
                );
                for id in &switch.router_ports {
                    assert!(
                        tables.router_port(*id).is_some(),
                        "a router port that is not here"
                    );
                }
            }
            PieceKind::Router(router) => {
                assert_eq!(
                    router.ports.len(),
                    resolved.routers[&piece.name].ports.len()
                );
                for (index, port) in router.ports.iter().enumerate() {
                    let seat = tables.seat(port.id).unwrap();
                    assert_eq!((seat.datapath, usize::from(seat.index)), (piece.id, index));
                    check_peer(tables, port.peer, &port.name);
                }
                for route in router.routing.routes() {
                    let hops = route.group.map(|group| router.routing.hops(group)).unwrap();
                    assert!(!hops.is_empty());
                    assert!(
                        hops.iter()
                            .all(|hop| router.ports[usize::from(hop.port)].enabled)
                    );
                    assert!(hops.is_sorted_by_key(|hop| (hop.port, hop.via)));
                    let found =
                        router.route(IpAddr::V4(Ipv4Addr::UNSPECIFIED), route.prefix.addr());
                    let by_source =
                        router.route(route.prefix.addr(), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                    assert!(
                        found
                            .or(by_source)
                            .is_some_and(|(_, found)| found.prefix == route.prefix)
                    );
                    let choice = router
                        .routing
                        .choose(IpAddr::V4(Ipv4Addr::UNSPECIFIED), route.prefix.addr());
                    let told = found.map_or(Choice::Nothing, |(_, found)| {
                        found.group.map_or(Choice::Discard, Choice::Group)
                    });
                    assert_eq!(choice, told);
                }
            }
        }
    }
    for device in &tables.devices {
        let vlans: std::collections::BTreeSet<_> =
            device.entries.iter().map(|(vlan, _)| vlan).collect();
        assert_eq!(vlans.len(), device.entries.len());
    }
    for port in view.iface_id.keys() {
        let bound = tables
            .datapaths
            .iter()
            .flatten()
            .any(|piece| match &piece.kind {
                PieceKind::Switch(switch) => switch
                    .ports
                    .iter()
                    .any(|p| p.name == *port && matches!(p.place, Place::Device { .. })),
                PieceKind::Router(_) => false,
            });
        assert!(bound, "{port} is bound here");
    }
}

fn check_place(tables: &Tables, view: &NodeView, place: Place, name: &str) {
    match place {
        Place::Unbound => {}
        Place::Device { device, .. } => assert!(device.index() < view.devices.len(), "{name}"),
        Place::Chassis(tunnel) => assert!(tables.tunnel(tunnel).is_some(), "{name}"),
        Place::Router(id) => {
            let (_, router, port) = tables.router_port(id).expect(name);
            assert!(port.gateway.is_none() && !router.ports.is_empty(), "{name}");
        }
        Place::Gateway { port, role } => {
            let gateway = tables.router_port(port).expect(name).2.gateway.as_ref();
            assert_eq!(gateway.map(|gateway| gateway.role), Some(role), "{name}");
        }
    }
}

fn check_peer(tables: &Tables, peer: Peer, name: &str) {
    match peer {
        Peer::Switch { switch, port } => {
            // The switch behind a gateway port of other chassis is not compiled.
            let Some((_, switch)) = tables.switch(switch) else {
                return;
            };
            let far = &switch.ports[usize::from(port)];
            let (Place::Router(id) | Place::Gateway { port: id, .. }) = far.place else {
                panic!("{name}")
            };
            assert_eq!(tables.port_name(id), name);
        }
        Peer::Router { router, port } => {
            let (_, router) = tables.router(router).expect(name);
            let far = &router.ports[usize::from(port)];
            let parts: Vec<&str> = name.split('-').rev().collect();
            assert_eq!(far.name, parts.join("-"));
        }
        Peer::None => panic!("{name} leads nowhere"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A generation compiled after others equals one compiled from nothing.
    #[test]
    fn what_is_kept_is_what_would_be_compiled(seeds in histories()) {
        let mut compiler = Compiler::new();
        for seed in seeds {
            let (resolved, view) = (seed.resolved(), seed.node());
            let compiled = compiler.compile(&resolved, &view).unwrap();
            let tables = compiler.commit(compiled);
            check(&tables, &resolved, &view);
            // Forget what the pieces rest on: all are compiled again, and equal ones taken.
            compiler.state.sources.clear();
            let again = compiler.compile(&resolved, &view).unwrap();
            prop_assert!(again.changes.is_empty(), "{}", again.changes);
            for (old, new) in tables.datapaths.iter().flatten().zip(again.tables().datapaths.iter().flatten()) {
                prop_assert!(Arc::ptr_eq(old, new), "{}", old.name);
            }
            compiler.commit(again);
        }
    }

    /// What is sent to a chassis because it runs a switch's routers arrives: it has compiled the switch.
    #[test]
    fn whoever_runs_the_routers_has_the_switch(seed in seeds()) {
        let resolved = seed.resolved();
        let tables = build(&resolved, &seed.node()).tables;
        for (name, last) in CHASSIS.iter().zip(1..).take(seed.chassis).skip(1) {
            let there = build(&resolved, &seed.node_of(name, last));
            for piece in tables.datapaths.iter().flatten() {
                let Some((_, switch)) = tables.switch(piece.id) else { continue };
                let told = switch.routers_at.iter().any(|member| match member {
                    FloodMember::Chassis { tunnel, .. } => tables.tunnel(*tunnel).unwrap().chassis == *name,
                    FloodMember::Device { .. } => false,
                });
                prop_assert!(!told || there.names().contains(&piece.name.as_str()), "{name}: {}", piece.name);
            }
        }
    }

    /// A name has one index as long as the compiler lives, and no two names share one.
    #[test]
    fn indices_stay_with_names(seeds in histories()) {
        let mut compiler = Compiler::new();
        let mut names: BTreeMap<u32, (String, String)> = BTreeMap::new();
        for seed in seeds {
            let compiled = compiler.compile(&seed.resolved(), &seed.node()).unwrap();
            let tables = compiler.commit(compiled);
            for (id, seat) in (0..).zip(&tables.ports).filter_map(|(id, seat)| Some((id, (*seat)?))) {
                let piece = tables.piece(seat.datapath).unwrap();
                let port = tables.port_name(sluice_fastpath::ids::PortId(id)).to_owned();
                let name = (piece.name.clone(), port);
                prop_assert_eq!(names.entry(id).or_insert(name.clone()), &name);
            }
        }
        let distinct: std::collections::BTreeSet<_> = names.values().collect();
        prop_assert_eq!(distinct.len(), names.len());
    }
}
