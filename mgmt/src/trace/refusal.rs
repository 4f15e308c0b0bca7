//! Why a packet is dropped, with the names of port, router and rule.

use std::net::IpAddr;

use ipnet::IpNet;

use sluice_fastpath::connections::InsertError;
use sluice_fastpath::ids::{DatapathId, PortId};
use sluice_fastpath::pipeline::View;
use sluice_fastpath::stage::nat;
use sluice_fastpath::tables::{AclDirection, Decision, Snat, SwitchPort, Tables};
use sluice_fastpath::verdict::{DropReason, IcmpError, Verdict};
use sluice_net::{Headers, Ip};

use super::acl;
use super::narrate::{claim, noun, rule_text};
use super::translation::{ill, snat_text};
use super::verdict::lower;
use crate::show::{query::protocol_name, role};

/// What would keep a connection from being opened, which comes after the walk.
pub(super) fn foreseen(error: InsertError) -> String {
    let reason = nat::refusal(error);
    let but = match error {
        InsertError::TableFull => ", unless an unanswered or ended one makes room",
        _ => "",
    };
    let (name, text) = (reason.name(), lower(reason.description()));
    format!("its connection would not be opened now and the packet dropped as {name}{but}: {text}")
}

/// Where the walk was when it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Headers as the packet came.
    pub(super) first: Headers,
    /// Headers at the end.
    pub(super) last: Headers,
    /// Bytes of the frame.
    len: u16,
    /// The last switch.
    pub(super) switch: Option<DatapathId>,
    /// The port it came in by.
    pub(super) in_port: Option<PortId>,
    /// The port it was to leave by.
    pub(super) out_port: Option<PortId>,
    /// The last router.
    pub(super) router: Option<DatapathId>,
    /// The router port it came in by.
    pub(super) router_port: Option<PortId>,
    /// The route.
    pub(super) route: Option<IpNet>,
    /// The router port of the route.
    pub(super) route_port: Option<PortId>,
    /// The gateway port that it was redirected to.
    pub(super) gateway_port: Option<PortId>,
    /// What ACLs said last.
    pub(super) acl: Option<(DatapathId, AclDirection, Decision)>,
}

impl Context {
    pub(super) fn new(first: Headers, last: Headers, len: u16) -> Self {
        Self {
            first,
            last,
            len,
            switch: None,
            in_port: None,
            out_port: None,
            router: None,
            router_port: None,
            route: None,
            route_port: None,
            gateway_port: None,
            acl: None,
        }
    }
}

/// Why a packet was dropped; `None` when it was not.
pub(super) fn explain(view: View<'_>, context: &Context, verdict: &Verdict) -> Option<String> {
    let (reason, error) = match *verdict {
        Verdict::Drop(reason) => (reason, None),
        Verdict::Reject { reason, error, .. } => (reason, Some(error)),
        Verdict::Refuse { .. } => (DropReason::AclReject, None),
        _ => return None,
    };
    let why = Why {
        view,
        tables: view.tables,
        context,
    };
    Some(
        why.in_switch(reason)
            .or_else(|| why.in_router(reason))
            .or_else(|| why.in_forwarding(reason, error))
            .or_else(|| why.in_nat(reason))
            .unwrap_or_else(|| lower(reason.description())),
    )
}

struct Why<'a> {
    view: View<'a>,
    tables: &'a Tables,
    context: &'a Context,
}

impl Why<'_> {
    fn switch_name(&self) -> String {
        self.context
            .switch
            .map_or_else(|| "the switch".to_owned(), |id| noun(self.tables, id))
    }

    /// `router r1, in by port p1`
    fn router_name(&self) -> String {
        let router = self
            .context
            .router
            .map_or_else(|| "the router".to_owned(), |id| noun(self.tables, id));
        match (self.context.router_port, self.context.gateway_port) {
            (Some(port), _) => format!("{router}, in by port {}", self.tables.port_name(port)),
            (None, Some(port)) => format!(
                "{router}, out by gateway port {}",
                self.tables.port_name(port)
            ),
            (None, None) => router,
        }
    }

    fn port(&self, id: Option<PortId>) -> Option<&SwitchPort> {
        self.tables.switch_port(id?).map(|(_, _, port)| port)
    }

    fn ip(&self) -> Option<&Ip> {
        self.context.last.ip()
    }

    fn in_switch(&self, reason: DropReason) -> Option<String> {
        let switch = self.switch_name();
        let source = self.context.first.eth_src;
        let in_name = self
            .port(self.context.in_port)
            .map_or("?", |port| &port.name);
        let out_name = self
            .context
            .out_port
            .map_or("?", |port| self.tables.port_name(port));
        let target = self.context.last.eth_dst;
        Some(match reason {
            DropReason::PortSecurityMac => {
                let security = self.port(self.context.in_port)?.security.as_ref()?;
                let rules: Vec<String> = security
                    .rules
                    .iter()
                    .map(|rule| format!("\"{}\"", rule_text(rule)))
                    .collect();
                format!(
                    "port {in_name} of {switch} may not send from MAC {source}; its port_security is {}",
                    rules.join(", ")
                )
            }
            DropReason::PortSecurityIp | DropReason::PortSecurityNeighbor => {
                let rule = self
                    .port(self.context.in_port)?
                    .security
                    .as_ref()?
                    .rule(source)
                    .map(rule_text)?;
                let what = match (reason, self.context.first.ip()) {
                    (DropReason::PortSecurityIp, Some(ip)) => {
                        format!("may not send from {}", ip.src)
                    }
                    _ => format!("may not say that {}", claim(&self.context.first)),
                };
                format!(
                    "port {in_name} of {switch} {what}; its port_security for this MAC is \"{rule}\""
                )
            }
            DropReason::AclDrop | DropReason::AclReject | DropReason::AclDefault => {
                acl::refusal(self.tables, self.context.acl?)
            }
            DropReason::PortSecurityVlan => {
                format!(
                    "port {in_name} of {switch} has port_security and may not send frames with two VLAN tags"
                )
            }
            DropReason::PortDisabled => {
                let disabled = self
                    .port(self.context.out_port)
                    .filter(|port| !port.enabled)
                    .map_or(in_name, |port| &port.name);
                format!("port {disabled} of {switch} is disabled")
            }
            DropReason::SourceMulticast => {
                format!("port {in_name} of {switch}: {source} is a multicast address and no sender")
            }
            DropReason::ReservedGroup => {
                format!(
                    "{switch}: {target} is for the neighbor on the wire and forwarded by no bridge"
                )
            }
            DropReason::UnknownDestination => {
                format!(
                    "{switch}, in by port {in_name}: no port has MAC {target}, and none takes unknown MACs"
                )
            }
            DropReason::Hairpin => format!("{switch}: port {out_name} is the port it came in by"),
            DropReason::OtherVlan => {
                format!("{switch}: ports {in_name} and {out_name} are in different VLANs")
            }
            DropReason::PortUnbound => format!("{switch}: port {out_name} is bound to no chassis"),
            DropReason::TunnelPortNotHere => {
                format!("{switch}: port {out_name} is on another chassis, and it came by a tunnel")
            }
            DropReason::TunnelMtu => format!(
                "{switch}, out by port {out_name}: {} bytes are more than the tunnel carries",
                self.context.len
            ),
            DropReason::FloodEmpty => format!("{switch}: nobody is left to get a copy"),
            _ => return None,
        })
    }

    fn in_router(&self, reason: DropReason) -> Option<String> {
        let router = self.router_name();
        let target = self.context.last.eth_dst;
        let (src, dst) = self
            .ip()
            .map_or((None, None), |ip| (Some(ip.src), Some(ip.dst)));
        let text = |ip: Option<IpAddr>| ip.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
        Some(match reason {
            DropReason::RouterNotForUs => {
                let own = self
                    .context
                    .router_port
                    .and_then(|port| self.tables.router_port(port));
                let own = own.map_or_else(String::new, |(_, _, port)| {
                    format!(", which has MAC {}", port.mac)
                });
                format!("{router}{own}: it is for MAC {target}")
            }
            DropReason::RouterNotIp => format!("{router}: it is no IP packet"),
            DropReason::RouterDisabled => format!("{router}: the router or the port is disabled"),
            DropReason::MartianSource => format!("{router}: {} cannot be a source here", text(src)),
            DropReason::MartianDestination => format!("{router}: {} is never routed", text(dst)),
            DropReason::RouterLocal => {
                let proto = self
                    .ip()
                    .map_or_else(String::new, |ip| protocol_name(ip.proto));
                format!(
                    "{router}: {} is the router's own address, and nothing there takes {proto}",
                    text(dst)
                )
            }
            _ => return None,
        })
    }

    fn in_forwarding(&self, reason: DropReason, error: Option<IcmpError>) -> Option<String> {
        let router = self.router_name();
        let (src, dst) = self
            .ip()
            .map_or((None, None), |ip| (Some(ip.src), Some(ip.dst)));
        let text = |ip: Option<IpAddr>| ip.map_or_else(|| "?".to_owned(), |ip| ip.to_string());
        Some(match reason {
            DropReason::NoRoute => self.no_route(&router, src, dst),
            DropReason::Blackhole => {
                let route = self
                    .context
                    .router
                    .and_then(|id| self.tables.router(id))
                    .zip(src.zip(dst));
                let prefix = route
                    .and_then(|((_, router), (src, dst))| router.route(src, dst))
                    .map(|(_, route)| route.prefix);
                format!(
                    "{router}: route {} for {} is a discard route",
                    prefix.map_or_else(|| "?".to_owned(), |p| p.to_string()),
                    text(dst)
                )
            }
            DropReason::TtlExceeded => {
                let ttl = self.ip().map_or(0, |ip| ip.ttl);
                let route = self
                    .context
                    .route
                    .map_or_else(|| "?".to_owned(), |route| route.to_string());
                let port = self
                    .context
                    .route_port
                    .map_or("?", |port| self.tables.port_name(port));
                format!(
                    "{router}: TTL {ttl} is used up, route {route} out of port {port} is not taken"
                )
            }
            DropReason::TooBig => {
                let port = self
                    .context
                    .route_port
                    .map_or("?", |port| self.tables.port_name(port));
                let size = self.ip().map_or(0, |ip| ip.total_len);
                let mtu = match error {
                    Some(IcmpError::TooBig(mtu)) => format!("{mtu} bytes"),
                    _ => "less".to_owned(),
                };
                format!(
                    "{router}: {size} bytes may not be fragmented, and {mtu} is what fits out of port {port}"
                )
            }
            DropReason::GatewayInactive | DropReason::GatewayMismatch => {
                self.gateway(&router, reason)
            }
            _ => return None,
        })
    }

    fn no_route(&self, router: &str, src: Option<IpAddr>, dst: Option<IpAddr>) -> String {
        let found = self
            .context
            .router
            .and_then(|id| self.tables.router(id))
            .zip(src.zip(dst));
        let route = found.and_then(|((_, table), (src, dst))| table.route(src, dst));
        let dst = dst.map_or_else(|| "?".to_owned(), |dst| dst.to_string());
        match route {
            Some((_, route)) => format!(
                "{router}: route {} for {dst} leads out of a port that is disabled or gone",
                route.prefix
            ),
            None => format!("{router}: no route to {dst}"),
        }
    }

    fn gateway(&self, router: &str, reason: DropReason) -> String {
        let id = self.context.route_port.or(self.context.gateway_port);
        let port = id
            .and_then(|id| self.tables.router_port(id))
            .map(|(_, _, port)| port);
        let name = port.map_or("?", |port| &port.name);
        if reason == DropReason::GatewayMismatch {
            return format!(
                "{router}: its route leads out of port {name}, not of the gateway port"
            );
        }
        let gateway = port.and_then(|port| port.gateway.as_ref());
        let holder = gateway.map_or_else(
            || "held elsewhere".to_owned(),
            |gateway| role(self.view.learned, self.tables, gateway.role),
        );
        format!("{router}: gateway port {name} is {holder}")
    }

    /// Which of the backends of a virtual IP would serve if they were well.
    fn nobody_serves(&self) -> Option<String> {
        let ip = self.ip()?;
        let port = ip.ports().map_or(0, |(_, port)| port);
        let places = [self.context.router, self.context.switch];
        let found = places.into_iter().flatten().find_map(|id| {
            let piece = self.tables.piece(id)?;
            Some((id, piece.balancers().find(ip.dst, ip.proto, port)?.1))
        });
        let (id, vip) = found?;
        let ill: Vec<String> = ill(vip).iter().map(|one| format!("; {one}")).collect();
        Some(format!(
            "{}: load balancer {} has nobody who serves{}",
            noun(self.tables, id),
            vip.balancer,
            ill.concat()
        ))
    }

    fn in_nat(&self, reason: DropReason) -> Option<String> {
        if reason == DropReason::NoBackend {
            return self.nobody_serves();
        }
        let nat = matches!(
            reason,
            DropReason::NatFragment
                | DropReason::NatTwice
                | DropReason::NatProtocol
                | DropReason::NatPortsExhausted
                | DropReason::NatAddressTaken
                | DropReason::NatFiltered
                | DropReason::NatRuleGone
                | DropReason::IcmpErrorUnrelated
                | DropReason::TcpNoSyn
        );
        if !nat {
            return None;
        }
        let (_, router) = self.context.router.and_then(|id| self.tables.router(id))?;
        let source = self.ip().map(|ip| ip.src);
        let of_source = |rule: &&Snat| source.is_some_and(|ip| rule.logical.contains(&ip));
        let rule = router.nat.snat().iter().find(of_source);
        let rule = rule.map_or_else(String::new, |rule| {
            format!(", rule \"{}\"", snat_text(rule))
        });
        Some(format!(
            "{}{rule}: {}",
            self.router_name(),
            lower(reason.description())
        ))
    }
}
