//! Compiled tables: what the packet path reads.
//!
//! ```text
//!  Tables (one generation, published by one pointer swap)
//!   ├─ datapaths[DatapathId] ── Arc<Piece> ─ Switch | Router     shared between generations,
//!   ├─ ports[PortId] ── (datapath, index in it)                  an unchanged piece keeps its epoch
//!   ├─ devices[DeviceId] ── what enters here: underlay, VIF or localnet by VLAN
//!   └─ tunnels[TunnelId] ── another chassis' encapsulation
//!  Learned (lives across generations): neighbors, fdb, roles
//! ```

mod acl;
mod affinity;
mod balancer;
mod chains;
pub mod classifier;
mod distributed;
pub mod fdb;
pub mod fib;
mod health;
mod nat;
pub mod neighbors;
mod router;
mod routing;
mod suspects;
mod switch;
mod underlay;

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use sluice_net::Vni;

use crate::connections::ConnectionTable;
use crate::ids::{DatapathId, PortId, TunnelId, Zone};

pub use acl::{
    Acl, AclAction, AclDirection, AclList, AclLog, AclVerdict, Acls, Decision, TIERS as ACL_TIERS,
};
pub use affinity::Affinity;
pub use balancer::{Backend, Balancers, Choosing, Hits, Selection, Service, Vip};
pub use distributed::{Distributed, FloatingIp};
pub use health::{
    Ailment, Condition, Health, HealthCheck, Liveness, Mapping, Monitored, Probe, SERVICE_MAC,
};
pub use nat::{Dnat, DnatKind, Filtering, Nat, PortRule, Remotes, Snat, SnatKind};
pub use router::{Gateway, Local, Peer, RoleId, Router, RouterKey, RouterPort};
pub use routing::{Choice, GroupKind, NextHop, Route, RouteId, RouteSource, Routing};
pub use suspects::Suspects;
pub(crate) use suspects::broadcast;
pub use switch::{
    Audience, Domain, FloodMember, Known, Place, PortSecurity, SecurityRule, Switch, SwitchPort,
};
pub use underlay::{Device, DeviceEntry, EncapKind, Tunnel, UNDERLAY_PORT, Underlay};

/// One generation of compiled tables. Immutable once published.
#[derive(Debug, Default)]
pub struct Tables {
    /// Raised by one with every publish.
    pub generation: u64,
    /// Generation in which devices, tunnels or the underlay last changed.
    pub wiring: u64,
    /// By [`DatapathId`]; `None` where a datapath has gone.
    pub datapaths: Vec<Option<Arc<Piece>>>,
    /// By [`PortId`]: where the port is declared; `None` where it has gone.
    pub ports: Vec<Option<PortSeat>>,
    /// Datapath by tunnel key.
    pub by_vni: HashMap<Vni, DatapathId>,
    /// By [`crate::io::DeviceId`].
    pub devices: Vec<Device>,
    /// By [`TunnelId`]; `None` where a chassis has gone.
    pub tunnels: Vec<Option<Tunnel>>,
    /// Tunnel by the peer's encapsulation.
    pub peers: HashMap<(EncapKind, std::net::Ipv4Addr), TunnelId>,
    /// This node's own tunnel end.
    pub underlay: Option<Underlay>,
}

/// Where a logical port is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSeat {
    /// Its switch or router.
    pub datapath: DatapathId,
    /// Index in the ports of the switch or router.
    pub index: u16,
}

/// A compiled datapath. An unchanged one is shared by the next generation with its epoch.
#[derive(Debug)]
pub struct Piece {
    /// Generation in which this content first appeared.
    pub epoch: u64,
    /// Its index.
    pub id: DatapathId,
    /// Name in the topology.
    pub name: String,
    /// Tunnel key.
    pub vni: Vni,
    /// The tables.
    pub kind: PieceKind,
}

/// Switch or router.
// Behind one Arc each: the size of a small router's spare bytes does not matter, a second pointer would.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, PartialEq)]
pub enum PieceKind {
    /// A logical switch.
    Switch(Switch),
    /// A logical router.
    Router(Router),
}

impl Piece {
    /// The load balancers of the switch or router.
    pub fn balancers(&self) -> &Balancers {
        match &self.kind {
            PieceKind::Switch(switch) => &switch.balancers,
            PieceKind::Router(router) => &router.balancers,
        }
    }

    /// The rules of a router that translate sources.
    fn sources(&self) -> &[Snat] {
        match &self.kind {
            PieceKind::Switch(_) => &[],
            PieceKind::Router(router) => router.nat.snat(),
        }
    }

    /// Connection zone of what enters this datapath; see [`Switch::stateful`].
    pub fn zone(&self) -> Zone {
        let stateful = match &self.kind {
            PieceKind::Switch(switch) => switch.stateful,
            PieceKind::Router(router) => router.stateful,
        };
        if stateful {
            Zone(self.id.0 + 1)
        } else {
            Zone::NONE
        }
    }
}

impl Tables {
    /// The piece of a datapath.
    #[inline]
    pub fn piece(&self, id: DatapathId) -> Option<&Piece> {
        self.datapaths.get(id.0 as usize)?.as_deref()
    }

    /// Takes the memory that these tables need of connections: to be called before they are published, never by who handles
    /// packets.
    pub fn prepare(&self, connections: &ConnectionTable) {
        let routers = self.datapaths.iter().flatten();
        for rule in routers.flat_map(|piece| piece.sources()) {
            match (rule.mapping(), rule.external) {
                (Some(_), IpAddr::V4(_)) => connections.of::<u32>().keep_mappings(),
                (Some(_), IpAddr::V6(_)) => connections.of::<u128>().keep_mappings(),
                (None, _) => {}
            }
        }
    }

    /// The datapath of this connection zone is still there, and connections are still looked up in it.
    pub fn has_zone(&self, zone: Zone) -> bool {
        let id = zone.0.checked_sub(1).map(DatapathId);
        id.and_then(|id| self.piece(id))
            .is_some_and(|piece| piece.zone() == zone)
    }

    /// The device that packets of this connection zone come in by from a physical network; `None` for a router, and for a switch
    /// without one here.
    pub fn wire(&self, zone: Zone) -> Option<crate::io::DeviceId> {
        let id = zone.0.checked_sub(1).map(DatapathId)?;
        self.switch(id)?.1.wire
    }

    /// Zone in which answers that come in by `port` of the router `piece` are found.
    pub fn outside_zone(&self, piece: &Piece, port: &RouterPort) -> Zone {
        match port.peer {
            Peer::Switch { switch, .. } => self.piece(switch).map_or(Zone::NONE, Piece::zone),
            _ => piece.zone(),
        }
    }

    /// The switch with this id.
    #[inline]
    pub fn switch(&self, id: DatapathId) -> Option<(&Piece, &Switch)> {
        let piece = self.piece(id)?;
        match &piece.kind {
            PieceKind::Switch(switch) => Some((piece, switch)),
            PieceKind::Router(_) => None,
        }
    }

    /// The router with this id.
    #[inline]
    pub fn router(&self, id: DatapathId) -> Option<(&Piece, &Router)> {
        let piece = self.piece(id)?;
        match &piece.kind {
            PieceKind::Router(router) => Some((piece, router)),
            PieceKind::Switch(_) => None,
        }
    }

    /// Where port `id` is declared.
    #[inline]
    pub fn seat(&self, id: PortId) -> Option<PortSeat> {
        *self.ports.get(id.0 as usize)?
    }

    /// The switch port with this id.
    pub fn switch_port(&self, id: PortId) -> Option<(&Piece, &Switch, &SwitchPort)> {
        let seat = self.seat(id)?;
        let (piece, switch) = self.switch(seat.datapath)?;
        Some((piece, switch, switch.ports.get(seat.index as usize)?))
    }

    /// The router port with this id.
    pub fn router_port(&self, id: PortId) -> Option<(&Piece, &Router, &RouterPort)> {
        let seat = self.seat(id)?;
        let (piece, router) = self.router(seat.datapath)?;
        Some((piece, router, router.ports.get(seat.index as usize)?))
    }

    /// The tunnel with this id.
    #[inline]
    pub fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(id.0 as usize)?.as_ref()
    }

    /// Name of a port for people, `?` when it has gone.
    pub fn port_name(&self, id: PortId) -> &str {
        let Some(seat) = self.seat(id) else {
            return "?";
        };
        match self.piece(seat.datapath).map(|piece| &piece.kind) {
            Some(PieceKind::Switch(switch)) => switch
                .ports
                .get(seat.index as usize)
                .map_or("?", |port| &port.name),
            Some(PieceKind::Router(router)) => router
                .ports
                .get(seat.index as usize)
                .map_or("?", |port| &port.name),
            None => "?",
        }
    }
}
