//! Routes of one router: connected networks and static routes, equal next hops gathered.
//!
//! At equal prefix a connected network wins over static routes, which then do not appear at all. Several
//! static routes of one prefix are one set of next hops, ordered by port name and address so that every node
//! spreads flows alike; a discard among them has no say. Routes by disabled ports are left out, so a less
//! specific one takes over. IPv6 link-local networks are never routed (RFC 4291 section 2.5.6).

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use sluice_fastpath::tables::{NextHop, Route, RouteSource, Router, Routing};

use super::router::{index_of, indexed};
use crate::topology::{self, Nexthop, Place, Problem, ResolvedRouter, RoutePolicy};

/// The routes of a router in the order of their ids: those by destination first, each kind by prefix.
#[derive(Debug, Default)]
pub(super) struct Plan {
    routes: Vec<Route>,
    groups: Vec<Vec<NextHop>>,
}

/// One way to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    by_source: bool,
    prefix: IpNet,
    source: RouteSource,
    /// `None` discards. Port and next hop; ports are numbered in the order of their names.
    hop: Option<(u16, Option<IpAddr>)>,
}

impl Plan {
    pub(super) fn of(name: &str, router: &ResolvedRouter, problems: &mut Vec<Problem>) -> Self {
        let mut rows = connected(router);
        rows.reserve(router.routes.len());
        let mut ways = Ways {
            router,
            found: HashMap::new(),
        };
        for (index, route) in router.routes.iter().enumerate() {
            match ways.hop(route) {
                Way::By(hop) => rows.push(row(route, hop)),
                Way::Disabled => {}
                Way::None(what) => problems.push(unresolvable(name, index, what)),
            }
        }
        rows.sort_unstable();
        rows.dedup();
        gather(&rows)
    }

    /// The tables of the plan; those of `before` when its routes are the same.
    pub(super) fn routing(self, before: Option<&Router>) -> Arc<Routing> {
        let same = |routing: &&Arc<Routing>| {
            routing.routes() == self.routes && routing.groups() == self.groups
        };
        match before.map(|before| &before.routing).filter(same) {
            Some(routing) => Arc::clone(routing),
            None => Arc::new(Routing::new(self.routes, self.groups)),
        }
    }
}

fn connected(router: &ResolvedRouter) -> Vec<Row> {
    let ports = indexed(router).filter(|(_, _, body)| body.enabled);
    let networks =
        ports.flat_map(|(port, _, body)| body.networks.iter().map(move |net| (port, net.trunc())));
    let routed = networks.filter(|(_, net)| !is_link_local(net.addr()));
    let rows = routed.map(|(port, prefix)| Row {
        by_source: false,
        prefix,
        source: RouteSource::Connected,
        hop: Some((port, None)),
    });
    rows.collect()
}

fn row(route: &topology::Route, hop: Option<(u16, IpAddr)>) -> Row {
    let (by_source, source) = match route.policy {
        RoutePolicy::DstIp => (false, RouteSource::Static),
        RoutePolicy::SrcIp => (true, RouteSource::StaticBySource),
    };
    let hop = hop.map(|(port, via)| (port, Some(via)));
    Row {
        by_source,
        prefix: route.prefix.trunc(),
        source,
        hop,
    }
}

/// Makes one route of the rows of each prefix. `rows` are sorted.
fn gather(rows: &[Row]) -> Plan {
    let mut plan = Plan::default();
    let mut known: HashMap<Vec<NextHop>, u32> = HashMap::new();
    let mut hops = Vec::new();
    for rows in rows.chunk_by(|a, b| (a.by_source, a.prefix) == (b.by_source, b.prefix)) {
        let Some(first) = rows.first() else { continue };
        let preferred = rows.iter().take_while(|row| row.source == first.source);
        hops.clear();
        hops.extend(
            preferred
                .filter_map(|row| row.hop)
                .map(|(port, via)| NextHop { port, via }),
        );
        let group = (!hops.is_empty()).then(|| {
            known.get(hops.as_slice()).copied().unwrap_or_else(|| {
                let group = u32::try_from(plan.groups.len()).unwrap_or(u32::MAX);
                plan.groups.push(hops.clone());
                known.insert(hops.clone(), group);
                group
            })
        });
        plan.routes.push(Route {
            prefix: first.prefix,
            source: first.source,
            group,
        });
    }
    plan
}

/// Which way a route takes.
enum Way {
    By(Option<(u16, IpAddr)>),
    /// The port it would take is disabled.
    Disabled,
    /// There is none; why.
    None(String),
}

/// Finds the ports of next hops; most routes share few of them.
struct Ways<'t> {
    router: &'t ResolvedRouter,
    /// By next hop and output port.
    found: HashMap<(IpAddr, Option<&'t str>), Option<Out>>,
}

/// A port, and whether it is enabled.
type Out = (u16, bool);

impl<'t> Ways<'t> {
    fn hop(&mut self, route: &'t topology::Route) -> Way {
        let Nexthop::Ip(ip) = route.nexthop else {
            return Way::By(None);
        };
        let router = self.router;
        let output = route.output_port.as_deref();
        let found = self
            .found
            .entry((ip, output))
            .or_insert_with(|| match output {
                Some(name) => Some((
                    index_of(router, name)?,
                    router.ports.get(name).is_some_and(|port| port.enabled),
                )),
                None => holding(router, ip),
            });
        match (*found, output) {
            (Some((port, true)), _) => Way::By(Some((port, ip))),
            (Some((_, false)), _) => Way::Disabled,
            (None, Some(output)) => Way::None(format!("the router has no port `{output}`")),
            (None, None) => Way::None(format!("next hop {ip} is on no network of the router")),
        }
    }
}

/// The port whose network holds an address, and whether it is enabled. An enabled one goes before.
fn holding(router: &ResolvedRouter, ip: IpAddr) -> Option<Out> {
    let networks = indexed(router).flat_map(|(port, _, body)| {
        body.networks
            .iter()
            .map(move |net| (net, port, body.enabled))
    });
    let holding = networks.filter(|(net, _, _)| net.contains(&ip) && !is_link_local(ip));
    holding
        .max_by_key(|(net, port, enabled)| (*enabled, net.prefix_len(), u16::MAX - port))
        .map(|(_, port, enabled)| (port, enabled))
}

fn unresolvable(name: &str, index: usize, what: String) -> Problem {
    Problem::new(
        Place::at(["router", name, "route", "nexthop"]).nth(index),
        what,
    )
    .mend("give `output_port`, or a next hop on the network of a port")
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
