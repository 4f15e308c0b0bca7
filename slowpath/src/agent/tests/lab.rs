//! Tables, queues and frames for the tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam::sync::Parker;
use hashbrown::HashMap;
use sluice_fastpath::exchange::{Exchange, InjectTo, Origin, Punted, Sighting, Work};
use sluice_fastpath::ids::{DatapathId, PortId, Tick, TunnelId, WorkerId};
use sluice_fastpath::io::memory::{MemoryPool, VecFrame};
use sluice_fastpath::io::{DeviceId, Frame, FramePool};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::tables::{
    Device, DeviceEntry, Domain, EncapKind, FloodMember, Gateway, Known, Local, NextHop, Peer,
    Piece, PieceKind, Place, PortSeat, RoleId, Route, RouteSource, Router, RouterPort, Routing,
    Switch, SwitchPort, Tables, Tunnel, Underlay,
};
use sluice_fastpath::verdict::Punt;
use sluice_net::{Builder, Headers, Mac, Vni, parse};

use crate::agent::{Agent, AgentConfig, AgentRequest, Settings};

pub(super) const SW: DatapathId = DatapathId(0);
pub(super) const R1: DatapathId = DatapathId(1);
pub(super) const EXT: DatapathId = DatapathId(2);

pub(super) const VM_PORT: PortId = PortId(0);
pub(super) const SW_R1: PortId = PortId(1);
pub(super) const R1_SW: PortId = PortId(2);
pub(super) const WIRE: PortId = PortId(3);
pub(super) const EXT_R1: PortId = PortId(4);
pub(super) const R1_EXT: PortId = PortId(5);

pub(super) const VM: Mac = Mac([2, 0, 0, 0, 0, 0x10]);
pub(super) const PEER: Mac = Mac([2, 0, 0, 0, 0, 0x20]);
pub(super) const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x30]);
pub(super) const INNER: Mac = Mac([0, 0, 0, 0, 1, 1]);
pub(super) const OUTER: Mac = Mac([0, 0, 0, 0, 1, 2]);
pub(super) const UNDERLAY: Mac = Mac([2, 0, 0, 0, 9, 9]);

pub(super) const DOMAIN_SW: u32 = 7;
pub(super) const DOMAIN_EXT: u32 = 8;
pub(super) const UNDERLAY_DEVICE: DeviceId = DeviceId(2);
/// The worker that hands frames over in the tests.
pub(super) const WORKER: WorkerId = WorkerId(1);

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(super) fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn switch_port(id: PortId, name: &str, key: u16, place: Place) -> SwitchPort {
    SwitchPort {
        id,
        name: name.to_owned(),
        key,
        place,
        domain: 0,
        security: None,
        learning: matches!(place, Place::Device { .. }),
        localnet: id == WIRE,
        router: matches!(place, Place::Router(_) | Place::Gateway { .. }),
        enabled: true,
    }
}

fn device(device: u16) -> Place {
    Place::Device {
        device: DeviceId(device),
        vlan: None,
    }
}

fn switch(domain: u32, ports: [SwitchPort; 2], mac: Mac, router_port: PortId) -> Switch {
    let index = ports.iter().position(|port| port.router).unwrap() as u16;
    let member = |port: &SwitchPort| match port.place {
        Place::Device { device, vlan } => Some(FloodMember::Device {
            port: port.id,
            device,
            vlan,
        }),
        _ => None,
    };
    let flood: Vec<FloodMember> = ports.iter().filter_map(member).collect();
    Switch {
        by_mac: HashMap::from([(mac, index)]),
        domains: vec![Domain {
            id: domain,
            flood: flood.clone(),
            unknown: flood,
            ..Domain::default()
        }],
        router_ports: vec![router_port],
        mac_limit: 3,
        mac_age: 60_000,
        ports: ports.into(),
        ..Switch::default()
    }
}

fn router_port(
    id: PortId,
    name: &str,
    mac: Mac,
    networks: &[&str],
    peer: (DatapathId, u16),
) -> RouterPort {
    RouterPort {
        id,
        name: name.to_owned(),
        key: id.0 as u16,
        mac,
        networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
        peer: Peer::Switch {
            switch: peer.0,
            port: peer.1,
        },
        gateway: None,
        mtu: 1_500,
        enabled: true,
    }
}

pub(super) fn router() -> Router {
    let mut inner = router_port(
        R1_SW,
        "r1-sw",
        INNER,
        &["10.0.0.254/24", "2001:db8::ff/64", "fe80::ff/64"],
        (SW, 1),
    );
    inner.mtu = 1_400;
    let mut outer = router_port(R1_EXT, "r1-ext", OUTER, &["203.0.113.1/24"], (EXT, 1));
    let candidates = vec![
        ("gw1".to_owned(), None),
        ("gw2".to_owned(), Some(TunnelId(0))),
    ];
    outer.gateway = Some(Gateway {
        redirect_key: 9,
        role: RoleId(0),
        candidates,
    });
    let route = |prefix: &str, group| Route {
        prefix: prefix.parse().unwrap(),
        source: RouteSource::Connected,
        group: Some(group),
    };
    let routes = vec![
        route("10.0.0.0/24", 0),
        route("203.0.113.0/24", 1),
        route("2001:db8::/64", 0),
    ];
    let own = |port| Local {
        port: Some(port),
        nat: false,
        dnat: false,
        own: true,
    };
    Router {
        ports: vec![inner, outer],
        routing: Arc::new(Routing::new(
            routes,
            [0, 1].map(|port| vec![NextHop { port, via: None }]).into(),
        )),
        local: HashMap::from([
            (ip("10.0.0.254"), own(0)),
            (ip("2001:db8::ff"), own(0)),
            (ip("fe80::ff"), own(0)),
            (ip("203.0.113.1"), own(1)),
            (
                ip("203.0.113.50"),
                Local {
                    port: Some(1),
                    nat: true,
                    dnat: false,
                    own: false,
                },
            ),
        ]),
        neighbors: HashMap::from([((0, ip("10.0.0.77")), OTHER)]),
        enabled: true,
        ..Router::default()
    }
}

pub(super) fn inner_switch() -> Switch {
    let ports = [
        switch_port(VM_PORT, "vm", 1, device(0)),
        switch_port(SW_R1, "sw-r1", 2, Place::Router(R1_SW)),
    ];
    let mut switch = switch(DOMAIN_SW, ports, INNER, R1_SW);
    switch.known = known(&[
        ("10.0.0.254", INNER, 1),
        ("2001:db8::ff", INNER, 1),
        ("fe80::ff", INNER, 1),
        ("10.0.0.10", VM, 0),
        ("2001:db8::10", VM, 0),
    ]);
    switch
}

pub(super) fn outer_switch() -> Switch {
    let place = Place::Gateway {
        port: R1_EXT,
        role: RoleId(0),
    };
    let ports = [
        switch_port(WIRE, "wire", 1, device(1)),
        switch_port(EXT_R1, "ext-r1", 2, place),
    ];
    let mut switch = switch(DOMAIN_EXT, ports, OUTER, R1_EXT);
    switch.known = known(&[("203.0.113.1", OUTER, 1), ("203.0.113.50", OUTER, 1)]);
    switch
}

fn known(addresses: &[(&str, Mac, u16)]) -> HashMap<IpAddr, Known> {
    addresses
        .iter()
        .map(|&(address, mac, port)| {
            (
                ip(address),
                Known {
                    mac,
                    port,
                    here: false,
                },
            )
        })
        .collect()
}

fn tunnel(remote: &str, next_hop: &str) -> Option<Tunnel> {
    Some(Tunnel {
        chassis: "gw2".to_owned(),
        kind: EncapKind::Geneve,
        remote: v4(remote),
        port: 6_081,
        port_keys: true,
        checksum: true,
        next_hop: v4(next_hop),
        inner_mtu: 1_400,
    })
}

/// The tables of the picture, with these three datapaths.
pub(super) fn tables(generation: u64, sw: Switch, r1: Router, ext: Switch) -> Tables {
    let piece = |id: DatapathId, kind| {
        let vni = Vni::new(id.0 + 1).unwrap();
        Some(Arc::new(Piece {
            epoch: generation,
            id,
            name: format!("dp{}", id.0),
            vni,
            kind,
        }))
    };
    let seat = |datapath, index| Some(PortSeat { datapath, index });
    let enters = |name: &str, vlan, entry| Device {
        name: name.to_owned(),
        entries: vec![(vlan, entry)],
    };
    Tables {
        generation,
        datapaths: vec![
            piece(SW, PieceKind::Switch(sw)),
            piece(R1, PieceKind::Router(r1)),
            piece(EXT, PieceKind::Switch(ext)),
        ],
        ports: vec![
            seat(SW, 0),
            seat(SW, 1),
            seat(R1, 0),
            seat(EXT, 0),
            seat(EXT, 1),
            seat(R1, 1),
        ],
        devices: vec![
            enters("eth0", None, DeviceEntry::Port(VM_PORT)),
            enters("eth1", None, DeviceEntry::Port(WIRE)),
            enters("eth2", Some(30), DeviceEntry::Underlay),
        ],
        tunnels: vec![
            tunnel("172.16.0.2", "172.16.0.2"),
            None,
            tunnel("172.17.0.9", "172.16.0.254"),
        ],
        underlay: Some(Underlay {
            device: UNDERLAY_DEVICE,
            vlan: Some(30),
            mac: UNDERLAY,
            address: "172.16.0.1/24".parse().unwrap(),
            gateway: Some(v4("172.16.0.254")),
            mtu: 1_500,
            geneve_port: 6_081,
            vxlan_port: 4_789,
        }),
        ..Tables::default()
    }
}

/// What the agent gave a worker: which worker, where to, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) worker: WorkerId,
    pub(super) to: InjectTo,
    pub(super) bytes: Vec<u8>,
}

impl Sent {
    pub(super) fn headers(&self) -> Headers {
        parse(&self.bytes).expect("the agent sends frames that parse")
    }
}

/// An agent and both ends of its queues.
pub(super) struct Lab {
    pub(super) agent: Agent<MemoryPool>,
    pub(super) learned: Arc<Learned>,
    pub(super) cell: Arc<TablesCell>,
    pub(super) pool: Arc<MemoryPool>,
    pub(super) exchanges: Vec<Arc<Exchange<VecFrame>>>,
    pub(super) now: u32,
    counters: HashMap<&'static str, u64>,
}

impl Lab {
    /// The network of the picture without underlay, so that nothing is sent unasked; announcements are over.
    pub(super) fn new() -> Lab {
        let mut tables = tables(1, inner_switch(), router(), outer_switch());
        tables.underlay = None;
        let mut lab = Lab::with(tables, Settings::default());
        lab.sleep(60_000);
        lab.sent();
        lab.moved();
        lab
    }

    /// An agent that has not taken a step.
    pub(super) fn with(tables: Tables, settings: Settings) -> Lab {
        let cell = TablesCell::new();
        cell.publish(Arc::new(tables));
        let learned = Arc::new(Learned::new(64, 64, 4));
        let pool = Arc::new(MemoryPool::new(512));
        let parker = Parker::new();
        let asleep = Arc::new(AtomicBool::new(false));
        let exchange = || {
            Arc::new(Exchange::new(
                128,
                parker.unparker().clone(),
                Arc::clone(&asleep),
            ))
        };
        let exchanges = vec![exchange(), exchange()];
        let config = AgentConfig {
            pool: Arc::clone(&pool),
            exchanges: exchanges.clone(),
            learned: Arc::clone(&learned),
            reader: cell.reader(),
            settings,
        };
        let agent = Agent::new(config).expect("the learned tables are free");
        Lab {
            agent,
            learned,
            cell,
            pool,
            exchanges,
            now: 1_000,
            counters: HashMap::new(),
        }
    }

    pub(super) fn step(&mut self) -> Tick {
        self.agent.step(Tick(self.now))
    }

    /// Lets time pass, from deadline to deadline.
    pub(super) fn sleep(&mut self, ms: u32) {
        let end = self.now + ms;
        loop {
            let due = self.step().0;
            if due > end {
                break;
            }
            assert!(due > self.now, "the agent spins at {}", self.now);
            self.now = due;
        }
        self.now = end;
        self.step();
    }

    /// Hands a frame over as worker 1 would, and steps.
    pub(super) fn hand(&mut self, bytes: &[u8], origin: Origin, work: Work) {
        self.hand_inner(bytes, 0, origin, work);
    }

    pub(super) fn hand_inner(&mut self, bytes: &[u8], inner: u16, origin: Origin, work: Work) {
        self.queue(bytes, inner, origin, work);
        self.step();
    }

    /// Hands a frame over and lets it wait.
    pub(super) fn queue(&mut self, bytes: &[u8], inner: u16, origin: Origin, work: Work) {
        let frame = self.pool.alloc(bytes).expect("a buffer");
        let punted = Punted {
            frame,
            inner,
            origin,
            first: None,
            home: None,
            work,
            worker: WORKER,
        };
        self.exchanges[1].punt(punted).expect("room in the queue");
    }

    pub(super) fn punt(&mut self, bytes: &[u8], punt: Punt) {
        self.hand(bytes, Origin::Device(DeviceId(0)), Work::Punt(punt));
    }

    pub(super) fn sight(&mut self, sighting: Sighting) {
        assert!(self.exchanges[1].sight(sighting));
        self.step();
    }

    pub(super) fn request(&mut self, request: AgentRequest) {
        self.agent.requests().send(request).unwrap();
        self.step();
    }

    pub(super) fn publish(&mut self, tables: Tables) {
        self.cell.publish(Arc::new(tables));
        self.step();
    }

    /// All that was sent since the last call.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (worker, exchange) in self.exchanges.iter().enumerate() {
            while let Some(injected) = exchange.next_injected() {
                let bytes = injected.frame.data().to_vec();
                sent.push(Sent {
                    worker: WorkerId(worker as u8),
                    to: injected.to,
                    bytes,
                });
            }
        }
        sent
    }

    /// The one frame that was sent.
    pub(super) fn only_sent(&mut self) -> Sent {
        let sent = self.sent();
        assert_eq!(
            sent.len(),
            1,
            "{:?}",
            sent.iter()
                .map(|sent| sluice_net::show(&sent.bytes))
                .collect::<Vec<_>>()
        );
        sent.into_iter().next().unwrap()
    }

    /// The counters that moved since the last call, all of them, but for the count of punts.
    pub(super) fn moved(&mut self) -> Vec<(&'static str, u64)> {
        let counters = self.agent.counters();
        let now = counters.iter().map(|(name, _, value)| (name, value));
        let mut moved: Vec<_> = now
            .filter(|(name, _)| *name != "punts")
            .map(|(name, value)| (name, value - self.counters.insert(name, value).unwrap_or(0)))
            .filter(|(_, by)| *by > 0)
            .collect();
        moved.sort_unstable();
        moved
    }

    pub(super) fn mac(&self, port: PortId, address: &str) -> Option<Mac> {
        self.learned
            .neighbors
            .resolve(port, ip(address))
            .map(|(_, mac)| mac)
    }

    pub(super) fn resolve(&mut self, bytes: &[u8], port: PortId, next_hop: &str) {
        self.punt(
            bytes,
            Punt::ResolveNeighbor {
                port,
                next_hop: ip(next_hop),
            },
        );
    }
}

/// A UDP packet from the VM's side to the router.
pub(super) fn packet(src: &str, dst: &str) -> Builder {
    Builder::ethernet(VM, INNER)
        .ip(ip(src), ip(dst))
        .udp(5_000, 53)
        .payload(b"question")
}

pub(super) fn from_switch(port: PortId) -> InjectTo {
    InjectTo::Walk(Origin::SwitchPort(port))
}
