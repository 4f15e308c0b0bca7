//! The way of a packet, top to bottom. This is the one place that states the order of the stages.
//!
//! ```text
//! enter ─┬─ local port, localnet, keyless tunnel ─► switch ingress
//!        ├─ keyed tunnel: switch ────────────────► switch egress (or flood)
//!        ├─ keyed tunnel: router ────────────────► router egress at a gateway port
//!        └─ slow path ───────────────────────────► switch forwarding, or routing
//!
//! switch ingress:  port security ► source MAC ► ACLs ► balancers ► ACLs ► ARP/ND answered ► forwarding by MAC ► switch egress
//! from a router:   ACLs ► forwarding by MAC ► switch egress
//! switch egress:   ACLs ► device | chassis | router ingress | gateway port: router ingress or its chassis
//! router ingress:  admission ► destination ► for the router itself? ► forward
//! forward:         route ► TTL ► gateway redirect ► MTU ► neighbor ► source ► the next switch or router
//!                    └ by a gateway port to an address of the router's own NAT rules: source ► router ingress
//!
//! destination:     that of an answer back to who asked ► by a balancer or a rule to the one inside
//! source:          that of an answer back to the one asked ► by a rule to the one outside
//! ```
//!
//! Most packets do not come here: the worker repeats for them what the walk of an earlier one decided, and nothing else
//! (`worker/express.rs`). A walk writes nothing. It works on a copy of the headers and returns an [`Outcome`]: the verdict, the
//! changed headers, a proposal for a new connection and what the decision rests on. The worker applies it.

use std::convert::Infallible;
use std::net::IpAddr;
use std::ops::ControlFlow::{Break, Continue};

use sluice_net::ids::{FIRST_MULTICAST_KEY, MC_UNKNOWN};
use sluice_net::{Headers, Inner, Ip, L3, L4, Mac};

use crate::connections::{Connection, ConnectionTable, Direction, Flags, PortChooser, Rewrite};
use crate::exchange::Sighting;
use crate::ids::{DatapathId, PortId, Tick, TunnelId, Zone};
use crate::learned::Learned;
use crate::path::{FdbUse, NeighborUse};
use crate::spread::Homes;
use crate::stage::bridge::{self, Forward, Source};
use crate::stage::enter::{self, Entered, Entry};
use crate::stage::gateway::{self, Seat};
use crate::stage::nat::{self, Proposal};
use crate::stage::{admission, neighbor, route, security};
use crate::tables::{
    AclDirection, Audience, Peer, Piece, PieceKind, Place, Router, RouterPort, Switch, SwitchPort,
    Tables, UNDERLAY_PORT,
};
use crate::trace::{Event, Recorder};
use crate::verdict::{DropReason, Egress, Flood, IcmpError, Punt, Step, Verdict};

mod acl;
mod balance;
mod destination;
mod distributed;
mod fragment;
mod health;
mod leave;
mod mapping;
mod outcome;
mod quoted;
mod stations;
mod translate;

pub use acl::Asked;
pub use balance::Assigned;
pub use outcome::Outcome;
pub use translate::TranslatedBy;

use translate::Translated;

/// Most switches and routers a packet may cross.
pub const MAX_HOPS: usize = 32;

/// Everything a walk reads.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Compiled tables of this burst.
    pub tables: &'a Tables,
    /// Neighbors, MACs, roles.
    pub learned: &'a Learned,
    /// Connections of all workers.
    pub connections: &'a ConnectionTable,
    /// The time of the burst.
    pub now: Tick,
    /// TCP connections may be picked up in the middle: the node has just started and may have known them.
    pub pick_up: bool,
    /// Where answers come to.
    pub homes: &'a Homes,
}

/// Walks a frame that has entered. `hit` is the connection it belongs to, if it was found.
pub fn walk<R: Recorder>(
    view: View<'_>,
    entered: &Entered,
    zone: Zone,
    hit: Option<(Connection, Direction)>,
    ports: &mut PortChooser,
    recorder: &mut R,
) -> Outcome {
    let mut walk = Walk {
        view,
        entered,
        zone,
        hit,
        ports,
        recorder,
        headers: entered.headers,
        from: From::Port,
        nat: Translated::default(),
        last_in: None,
        first_in: None,
        outcome: Outcome::new(entered.headers),
    };
    walk.outcome.deps.wiring = view.tables.wiring;
    let Break(verdict) = walk.run();
    walk.finish(verdict)
}

/// Where the walk stands.
enum At {
    SwitchIngress {
        switch: DatapathId,
        port: Option<u16>,
    },
    Bridge {
        switch: DatapathId,
        port: Option<u16>,
    },
    SwitchEgress {
        switch: DatapathId,
        from: Option<u16>,
        port: u16,
    },
    RouterIngress {
        router: DatapathId,
        port: u16,
    },
    RouterEgress {
        router: DatapathId,
        from: Option<u16>,
        port: u16,
    },
    RouterAgain {
        router: DatapathId,
        port: u16,
    },
    Forward {
        router: DatapathId,
    },
}

/// Where a frame in a switch comes from, for split horizon.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Port,
    Localnet,
    Tunnel,
    Router,
}

struct Walk<'a, R> {
    view: View<'a>,
    entered: &'a Entered,
    zone: Zone,
    hit: Option<(Connection, Direction)>,
    ports: &'a mut PortChooser,
    recorder: &'a mut R,
    headers: Headers,
    from: From,
    nat: Translated,
    /// Router port the packet last came in by: errors are sent in its name.
    last_in: Option<PortId>,
    /// The switch port by which it went into a router first, and its Ethernet addresses there: destination, source. Who is
    /// told from there, in terms of the packet as it entered, needs no translation back.
    first_in: Option<(PortId, (Mac, Mac))>,
    outcome: Outcome,
}

fn drop<T>(reason: DropReason) -> Step<T> {
    Break(Verdict::Drop(reason))
}

impl<'a, R: Recorder> Walk<'a, R> {
    fn run(&mut self) -> Step<Infallible> {
        let entry = self.entered.entry;
        self.recorder.record(Event::Enter(entry));
        if let Some(first) = self.entered.first {
            self.recorder.record(Event::Fragment(first));
        }
        let mut at = self.enter(entry)?;
        for _ in 0..MAX_HOPS {
            at = match at {
                At::SwitchIngress { switch, port } => self.switch_ingress(switch, port)?,
                At::Bridge { switch, port } => self.bridge(switch, port)?,
                At::SwitchEgress { switch, from, port } => {
                    self.switch_egress(switch, from, port)?
                }
                At::RouterIngress { router, port } => self.router_ingress(router, port)?,
                At::RouterEgress { router, from, port } => {
                    self.router_egress(router, from, port)?
                }
                At::RouterAgain { router, port } => self.router_again(router, port)?,
                At::Forward { router } => self.forward(router, None, None)?,
            };
        }
        drop(DropReason::TooManyHops)
    }

    // ---- entering ----

    fn enter(&mut self, entry: Entry) -> Step<At> {
        let tables = self.view.tables;
        match entry {
            Entry::Port(id) => {
                let (piece, _, port) = gone(tables.switch_port(id))?;
                self.from = if port.localnet {
                    From::Localnet
                } else {
                    From::Port
                };
                Continue(At::SwitchIngress {
                    switch: piece.id,
                    port: tables.seat(id).map(|seat| seat.index),
                })
            }
            Entry::Owner(id) => {
                let (piece, _, port) = gone(tables.switch_port(id))?;
                self.from = if port.router {
                    From::Router
                } else {
                    From::Port
                };
                Continue(At::Bridge {
                    switch: piece.id,
                    port: tables.seat(id).map(|seat| seat.index),
                })
            }
            Entry::Originated(router) => Continue(At::Forward { router }),
            Entry::Made(switch) => Continue(At::Bridge { switch, port: None }),
            Entry::Keyless { tunnel, switch } => {
                self.from = From::Tunnel;
                let (_, table) = gone(tables.switch(switch))?;
                Continue(At::SwitchIngress {
                    switch,
                    port: table.keyless_port(tunnel, self.headers.eth_src),
                })
            }
            Entry::Keyed {
                datapath,
                in_key,
                out_key,
                ..
            } => {
                self.from = From::Tunnel;
                self.enter_keyed(datapath, in_key, out_key)
            }
        }
    }

    /// The sending chassis has decided: deliver, fan out, or leave by a gateway port.
    fn enter_keyed(&mut self, datapath: DatapathId, in_key: u16, out_key: u16) -> Step<At> {
        let piece = gone(self.view.tables.piece(datapath))?;
        self.outcome.deps.crosses(datapath, piece.epoch);
        match &piece.kind {
            PieceKind::Switch(switch) => {
                let from = switch.by_key.get(&in_key).copied();
                if out_key >= FIRST_MULTICAST_KEY {
                    return self.fan_out(piece, switch, from, in_key, out_key);
                }
                match switch.by_key.get(&out_key) {
                    Some(_) if in_key == out_key => drop(DropReason::Hairpin),
                    Some(&port) => Continue(At::SwitchEgress {
                        switch: datapath,
                        from,
                        port,
                    }),
                    None => drop(DropReason::TunnelUnknownPort),
                }
            }
            PieceKind::Router(router) => match router.by_key.get(&out_key) {
                Some(key) if key.redirect => {
                    let from = router.by_key.get(&in_key).map(|key| key.port);
                    Continue(At::RouterEgress {
                        router: datapath,
                        from,
                        port: key.port,
                    })
                }
                _ => drop(DropReason::TunnelUnknownPort),
            },
        }
    }

    /// A flood by the sending chassis: this node serves its own members. Router ports answer and learn; what
    /// answers one of them is for nobody else.
    fn fan_out(
        &mut self,
        piece: &Piece,
        switch: &Switch,
        from: Option<u16>,
        in_key: u16,
        group: u16,
    ) -> Step<At> {
        self.check_answered(piece, switch, None)?;
        if let Some(port) = self.answered_router(switch) {
            return Continue(At::SwitchEgress {
                switch: piece.id,
                from,
                port,
            });
        }
        self.sight_sender(switch, None);
        let asked = bridge::known_answer(switch, from, &self.headers);
        if let Some((owner, known)) = asked
            && self.holds_router(owner)
        {
            return Break(Verdict::Punt(Punt::AnswerNeighbor {
                from: owner.id,
                mac: known.mac,
            }));
        }
        self.flood_wants_ports(switch)?;
        let port = from.and_then(|index| switch.ports.get(usize::from(index)));
        Break(Verdict::Flood(Flood {
            switch: piece.id,
            domain: port.map_or(0, |port| port.domain),
            audience: match group {
                MC_UNKNOWN => Audience::Unknown,
                _ => Audience::All,
            },
            local_only: true,
            except: port.map(|port| port.id),
            in_key,
        }))
    }

    // ---- switches ----

    fn switch_ingress(&mut self, id: DatapathId, index: Option<u16>) -> Step<At> {
        let (piece, switch) = self.cross_switch(id)?;
        let port = index.and_then(|index| switch.ports.get(usize::from(index)));
        self.recorder.record(Event::SwitchIngress {
            switch: id,
            port: port.map(|port| port.id),
        });
        if bridge::is_reserved(self.headers.eth_dst) {
            return drop(DropReason::ReservedGroup);
        }
        if let Some(port) = port {
            security::check(port, &self.headers)?;
            self.recorder.record(Event::PortSecurity {
                port: port.id,
                checked: port.security.is_some(),
            });
            self.look_at_source(switch, port);
        }
        self.check_answered(piece, switch, port)?;
        self.ask(piece, switch, AclDirection::FromLport, port, None)?;
        self.sight_sender(switch, port);
        self.balance(piece, switch, port)?;
        self.ask(piece, switch, AclDirection::FromLportAfterLb, port, None)?;
        self.answer_neighbor(switch, index)?;
        Continue(At::Bridge {
            switch: id,
            port: index,
        })
    }

    fn bridge(&mut self, id: DatapathId, index: Option<u16>) -> Step<At> {
        let (piece, switch) = self.cross_switch(id)?;
        let port = index.and_then(|index| switch.ports.get(usize::from(index)));
        let domain_index = port.map_or(0, |port| port.domain);
        let Some(domain) = switch.domains.get(usize::from(domain_index)) else {
            return drop(DropReason::FloodEmpty);
        };
        let tables = self.view.tables;
        let index_of = |port: PortId| {
            tables
                .seat(port)
                .filter(|seat| seat.datapath == id)
                .map(|seat| seat.index)
        };
        let dst = self.headers.eth_dst;
        self.relay_check(piece, switch)?;
        let from = port.map(|port| port.id);
        let to = bridge::forward(switch, self.view.learned, index_of, domain, from, dst)?;
        self.recorder.record(Event::Forward {
            switch: id,
            dst,
            to,
        });
        match to {
            Forward::Port { port: out, slot } => {
                if let (Some(slot), Some(out)) = (slot, switch.ports.get(usize::from(out))) {
                    self.outcome.deps.learned_mac(FdbUse {
                        slot,
                        domain: domain.id,
                        mac: dst,
                        port: out.id,
                    });
                }
                Continue(At::SwitchEgress {
                    switch: id,
                    from: index,
                    port: out,
                })
            }
            Forward::Flood { unknown_only } => {
                self.unbalance(piece, switch)?;
                self.flood_wants_ports(switch)?;
                Break(Verdict::Flood(Flood {
                    switch: piece.id,
                    domain: domain_index,
                    audience: match unknown_only {
                        true => Audience::Unknown,
                        false => Audience::All,
                    },
                    local_only: matches!(self.from, From::Tunnel | From::Localnet),
                    except: port.map(|port| port.id),
                    in_key: port.map_or(0, |port| port.key),
                }))
            }
        }
    }

    fn switch_egress(&mut self, id: DatapathId, from: Option<u16>, out: u16) -> Step<At> {
        let (piece, switch) = self.cross_switch(id)?;
        let Some(port) = switch.ports.get(usize::from(out)) else {
            return drop(DropReason::TunnelUnknownPort);
        };
        self.recorder.record(Event::SwitchEgress { port: port.id });
        if !port.enabled {
            return drop(DropReason::PortDisabled);
        }
        // An ACL's answer to a port is said in its own name.
        if from == Some(out) && !matches!(self.entered.entry, Entry::Owner(_)) {
            return self.past_gateway(switch, id, out);
        }
        let source = from.and_then(|index| switch.ports.get(usize::from(index)));
        if source.is_some_and(|source| source.domain != port.domain) {
            return drop(DropReason::OtherVlan);
        }
        let in_key = source.map_or(0, |source| source.key);
        if !port.router {
            self.unbalance(piece, switch)?;
        }
        if self.leaves_here(switch, port) {
            self.ask(piece, switch, AclDirection::ToLport, source, Some(port))?;
        }
        match port.place {
            Place::Unbound => drop(DropReason::PortUnbound),
            Place::Device { device, vlan } => self.leave(Egress::Device {
                device,
                vlan,
                port: port.id,
            }),
            Place::Chassis(_) if self.from == From::Tunnel => drop(DropReason::TunnelPortNotHere),
            Place::Chassis(tunnel) => self.tunnel(tunnel, piece, in_key, port.key),
            Place::Router(_) if self.answers_other_nodes(switch) => Break(Verdict::Flood(Flood {
                switch: id,
                domain: port.domain,
                audience: Audience::Nodes,
                local_only: false,
                except: None,
                in_key,
            })),
            Place::Router(router_port) => self.enter_router(router_port, port.id),
            Place::Gateway {
                port: router_port, ..
            } if self.is_for_floating(switch) => self.enter_router(router_port, port.id),
            Place::Gateway {
                port: router_port,
                role,
            } => match gateway::seat(self.view.learned, role)? {
                Seat::Here => {
                    self.outcome
                        .deps
                        .role(role, self.view.learned.roles.get(role));
                    self.enter_router(router_port, port.id)
                }
                Seat::At(_) if matches!(self.from, From::Localnet | From::Tunnel) => {
                    drop(DropReason::GatewayInactive)
                }
                Seat::At(tunnel) => {
                    self.outcome
                        .deps
                        .role(role, self.view.learned.roles.get(role));
                    self.tunnel(tunnel, piece, in_key, port.key)
                }
            },
        }
    }

    /// The port is of this node: its ACLs are asked here, those of other ports where these are.
    fn leaves_here(&self, switch: &Switch, port: &SwitchPort) -> bool {
        match port.place {
            // A VIF of another chassis is reached over the wire of the switch's localnet port.
            Place::Device { device, .. } => port.localnet || switch.wire != Some(device),
            Place::Router(_) | Place::Gateway { .. } => self.holds_router(port),
            Place::Chassis(_) | Place::Unbound => false,
        }
    }

    /// A local port answers a distributed router for an address that the topology does not know: the question
    /// may have come from any node that runs the router, so all get it. This one has learned from its sighting.
    fn answers_other_nodes(&self, switch: &Switch) -> bool {
        self.from == From::Port
            && !switch.routers_at.is_empty()
            && bridge::sender(&self.headers)
                .is_some_and(|(ip, _, reply)| reply && !switch.known.contains_key(&ip))
    }

    /// The port of the router that an ARP or ND answer is addressed to, when it is processed on this node.
    fn answered_router(&self, switch: &Switch) -> Option<u16> {
        let index = *switch.by_mac.get(&self.headers.eth_dst)?;
        let port = switch.ports.get(usize::from(index))?;
        let answer = bridge::sender(&self.headers).is_some_and(|(_, _, reply)| reply);
        (answer && matches!(port.place, Place::Router(_))).then_some(index)
    }

    fn cross_switch(&mut self, id: DatapathId) -> Step<(&'a Piece, &'a Switch)> {
        let (piece, switch) = gone(self.view.tables.switch(id))?;
        self.outcome.deps.crosses(id, piece.epoch);
        Continue((piece, switch))
    }

    /// From a router, by its port of the switch.
    fn enter_switch(&mut self, id: DatapathId, index: u16) -> Step<At> {
        let (piece, switch) = self.cross_switch(id)?;
        let port = switch.ports.get(usize::from(index));
        self.ask(piece, switch, AclDirection::FromLport, port, None)?;
        self.ask(piece, switch, AclDirection::FromLportAfterLb, port, None)?;
        Continue(At::Bridge {
            switch: id,
            port: Some(index),
        })
    }

    /// Into a router by port `id`, from port `by` of a switch.
    fn enter_router(&mut self, id: PortId, by: PortId) -> Step<At> {
        let seat = gone(self.view.tables.seat(id))?;
        let macs = (self.headers.eth_dst, self.headers.eth_src);
        self.first_in = self.first_in.or(Some((by, macs)));
        Continue(At::RouterIngress {
            router: seat.datapath,
            port: seat.index,
        })
    }

    // ---- routers ----

    fn cross_router(&mut self, id: DatapathId) -> Step<(&'a Piece, &'a Router)> {
        let (piece, router) = gone(self.view.tables.router(id))?;
        self.outcome.deps.crosses(id, piece.epoch);
        Continue((piece, router))
    }

    fn router_ingress(&mut self, id: DatapathId, index: u16) -> Step<At> {
        let (piece, router) = self.cross_router(id)?;
        let port = gone(router.ports.get(usize::from(index)))?;
        self.recorder.record(Event::RouterIngress { port: port.id });
        self.last_in = Some(port.id);
        admission::admit(router, port, &self.headers)?;
        self.translate_destination(piece, router, index, port)?;
        self.gateway_wants_ports(router, port)?;
        if let Some(ip) = self.headers.ip()
            && !self.gateway_translates(router, port, ip)
        {
            admission::local(router, port, ip)?;
        }
        self.forward(id, Some(index), None)
    }

    /// What left by a gateway port for an address of the router's own NAT rules is back in by that port, as if the
    /// wire had returned it.
    fn router_again(&mut self, id: DatapathId, index: u16) -> Step<At> {
        let (piece, router) = self.cross_router(id)?;
        let port = gone(router.ports.get(usize::from(index)))?;
        self.recorder.record(Event::Turn { port: port.id });
        self.translate_destination(piece, router, index, port)?;
        if let Some(ip) = self.headers.ip() {
            admission::local(router, port, ip)?;
        }
        self.forward(id, Some(index), None)
    }

    /// Redirected by another chassis: its router has been crossed there, TTL included.
    fn router_egress(&mut self, id: DatapathId, from: Option<u16>, index: u16) -> Step<At> {
        let (_, router) = self.cross_router(id)?;
        let port = gone(router.ports.get(usize::from(index)))?;
        self.recorder.record(Event::RouterEgress { port: port.id });
        self.last_in = from
            .and_then(|from| router.ports.get(usize::from(from)))
            .map(|port| port.id);
        if !router.enabled || !port.enabled {
            return drop(DropReason::RouterDisabled);
        }
        if let Some(gateway) = &port.gateway {
            let Seat::Here = gateway::seat(self.view.learned, gateway.role)? else {
                return drop(DropReason::GatewayInactive);
            };
            self.outcome
                .deps
                .role(gateway.role, self.view.learned.roles.get(gateway.role));
        }
        match (&self.headers.l3, port.peer) {
            (L3::Ip(_), _) => self.forward(id, from, Some(index)),
            // A host that asks for the next hop: out on the external switch as it is.
            (L3::Arp(_), Peer::Switch { switch, port }) => {
                self.from = From::Router;
                self.enter_switch(switch, port)
            }
            _ => drop(DropReason::RouterNotIp),
        }
    }

    /// Route, TTL, redirect, neighbor, MTU, translation, and on to what the port is attached to.
    /// `bound_for` is the gateway port of a redirected packet, whose TTL was stepped where it was redirected.
    fn forward(
        &mut self,
        id: DatapathId,
        in_index: Option<u16>,
        bound_for: Option<u16>,
    ) -> Step<At> {
        let (piece, router) = self.cross_router(id)?;
        let L3::Ip(ip) = self.headers.l3 else {
            return drop(DropReason::RouterNotIp);
        };
        let in_port = self.last_in;
        let routed = route::lookup(router, &ip, &self.headers, in_port)?;
        let (port, next_hop) = (routed.port, routed.next_hop);
        self.recorder.record(Event::Route {
            router: id,
            packet: (ip.src, ip.dst),
            port: port.id,
            next_hop,
        });
        match bound_for {
            None => {
                let ttl = route::step_ttl(&ip, in_port)?;
                self.outcome.ttl_steps += 1;
                self.set_ttl(ttl);
                self.recorder.record(Event::Ttl(ttl));
            }
            Some(gateway) if gateway != routed.index => return drop(DropReason::GatewayMismatch),
            Some(_) => {}
        }
        self.headers.eth_src = port.mac;
        let mut turns = self.turns(router, routed.index, ip.dst);
        if let Some(floating) = self.carried(router, in_index, routed.index, &ip) {
            self.headers.eth_src = floating.mac;
            turns &= self.has_outside(router, port, ip.dst);
        } else if let Seat::At(tunnel) = gateway::egress(self.view.learned, port)? {
            return self.redirect(piece, router, in_index, port, tunnel);
        } else if let Some(gateway) = &port.gateway {
            self.outcome
                .deps
                .role(gateway.role, self.view.learned.roles.get(gateway.role));
        }
        if turns {
            self.translate(piece, router, in_index, routed.index)?;
            return Continue(At::RouterAgain {
                router: id,
                port: routed.index,
            });
        }
        self.fit(port.mtu)?;
        let adjacent = neighbor::resolve(
            self.view.tables,
            self.view.learned,
            router,
            routed.index,
            port,
            next_hop,
        )?;
        self.recorder.record(Event::Neighbor {
            port: port.id,
            next_hop,
            mac: adjacent.mac,
            learned: adjacent.slot.is_some(),
        });
        self.outcome.neighbor = adjacent.slot.map(|slot| NeighborUse {
            slot,
            port: port.id,
            ip: next_hop,
        });
        self.headers.eth_dst = adjacent.mac;
        self.translate(piece, router, in_index, routed.index)?;
        self.from = From::Router;
        match port.peer {
            Peer::Switch { switch, port } => self.enter_switch(switch, port),
            Peer::Router { router, port } => Continue(At::RouterIngress { router, port }),
            Peer::None => drop(DropReason::PortUnbound),
        }
    }

    fn set_ttl(&mut self, ttl: u8) {
        if let L3::Ip(ip) = &mut self.headers.l3 {
            ip.ttl = ttl;
        }
    }

    fn fit(&mut self, mtu: u16) -> Step<()> {
        self.outcome.mtu = self.outcome.mtu.min(mtu);
        match self.headers.ip() {
            Some(ip) => route::fit(ip, mtu, self.last_in),
            None => Continue(()),
        }
    }

    /// The chassis that holds the gateway port does the rest; it knows the next hop's MAC, so the frame
    /// carries the port's own.
    fn redirect(
        &mut self,
        piece: &Piece,
        router: &Router,
        in_index: Option<u16>,
        port: &RouterPort,
        tunnel: TunnelId,
    ) -> Step<At> {
        let Some(gateway) = &port.gateway else {
            return drop(DropReason::GatewayInactive);
        };
        self.outcome
            .deps
            .role(gateway.role, self.view.learned.roles.get(gateway.role));
        self.recorder.record(Event::Redirect {
            port: port.id,
            tunnel,
        });
        self.fit(port.mtu)?;
        self.outcome.neighbor = None;
        self.headers.eth_dst = port.mac;
        let in_key = in_index
            .and_then(|index| router.ports.get(usize::from(index)))
            .map_or(0, |port| port.key);
        self.tunnel(tunnel, piece, in_key, gateway.redirect_key)
    }
}

/// A piece that the tables no longer have: the frame came by an index of an older generation.
fn gone<T>(found: Option<T>) -> Step<T> {
    match found {
        Some(found) => Continue(found),
        None => Break(Verdict::Drop(DropReason::InjectStale)),
    }
}
