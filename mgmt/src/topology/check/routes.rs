//! Static routes: next hops that can be reached. Made for hundreds of thousands of them.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use super::super::dynamic::{bounds, number};
use super::super::model::{Nexthop, Route, Router};
use super::super::names::push_missing;
use super::super::problem::{Place, Problem};
use super::port::{check_prefix, is_link_local};

/// A routes file made for another router is wrong in every line: that need not be told of all.
const MOST_PROBLEMS: usize = 50;

pub(super) fn check(name: &str, router: &Router, problems: &mut Vec<Problem>) {
    let connected = Connected::of(router);
    let mut seen: HashSet<&Route> = HashSet::with_capacity(router.routes.len());
    // Many routes share few next hops.
    let mut verdicts: HashMap<IpAddr, Option<Fault>> = HashMap::new();
    let before = problems.len();
    for (index, route) in router.routes.iter().enumerate() {
        if problems.len() - before >= MOST_PROBLEMS {
            return;
        }
        let place = |field| Place::at(["router", name, "route", field]).nth(index);
        check_prefix(&route.prefix, || place("ip_prefix"), problems);
        if !seen.insert(route) {
            problems.push(
                Problem::new(
                    place("ip_prefix"),
                    format!("this route to {} is there twice", route.prefix),
                )
                .mend("remove one; equal-cost paths differ in their next hop"),
            );
        }
        if let Some(port) = &route.output_port
            && !router.ports.contains_key(port)
        {
            let message = format!("router `{name}` has no port `{port}`");
            let ports = router.ports.keys().map(String::as_str);
            let problem = Problem::new(place("output_port"), message);
            push_missing(problem, port, ports, problems);
        }
        let Nexthop::Ip(nexthop) = route.nexthop else {
            if route.output_port.is_some() {
                problems.push(
                    Problem::new(place("output_port"), "a discarded packet leaves by no port")
                        .mend("remove output_port"),
                );
            }
            continue;
        };
        if nexthop.is_ipv4() != route.prefix.addr().is_ipv4() {
            problems.push(Problem::new(
                place("nexthop"),
                format!(
                    "next hop {nexthop} is not of the family of {}",
                    route.prefix
                ),
            ));
            continue;
        }
        let verdict = verdicts
            .entry(nexthop)
            .or_insert_with(|| connected.fault(nexthop));
        if let Some(fault) = verdict
            && (route.output_port.is_none() || !fault.cured_by_port())
        {
            problems.push(fault.problem(nexthop, name, place("nexthop")));
        }
    }
}

/// Why a next hop cannot be one.
#[derive(Clone, Copy)]
enum Fault {
    OffLink,
    LinkLocal,
    Own,
    NotAHost,
}

impl Fault {
    /// With the port named, the next hop may be outside its networks.
    fn cured_by_port(self) -> bool {
        matches!(self, Self::OffLink | Self::LinkLocal)
    }

    fn problem(self, nexthop: IpAddr, router: &str, place: Place) -> Problem {
        let (message, mend) = match self {
            Self::OffLink => (
                format!("next hop {nexthop} is in no connected network of router `{router}`"),
                "give output_port when it is on a link all the same",
            ),
            Self::LinkLocal => (
                format!("{nexthop} is link-local, so it could be on any link"),
                "give output_port",
            ),
            Self::Own => (
                format!("next hop {nexthop} is an address of router `{router}` itself"),
                "a next hop is another router's address",
            ),
            Self::NotAHost => (
                format!("next hop {nexthop} is not a host's address"),
                "to drop packets, write nexthop = \"discard\"",
            ),
        };
        Problem::new(place, message).mend(mend)
    }
}

/// A router's connected networks, for many look-ups.
struct Connected {
    /// (IPv4, first, last) of networks, sorted; overlapping ones are merged.
    ranges: Vec<(bool, u128, u128)>,
    own: HashSet<IpAddr>,
}

impl Connected {
    fn of(router: &Router) -> Self {
        let networks = router.ports.values().flat_map(|port| &port.networks);
        let mut sorted: Vec<_> = networks
            .clone()
            .map(|network| {
                let (first, last) = bounds(network);
                (matches!(network, IpNet::V4(_)), first, last)
            })
            .collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(bool, u128, u128)> = Vec::with_capacity(sorted.len());
        for (v4, first, last) in sorted {
            match ranges.last_mut() {
                Some(before) if before.0 == v4 && first <= before.2 => {
                    before.2 = before.2.max(last);
                }
                _ => ranges.push((v4, first, last)),
            }
        }
        Self {
            ranges,
            own: networks.map(IpNet::addr).collect(),
        }
    }

    fn fault(&self, nexthop: IpAddr) -> Option<Fault> {
        if self.own.contains(&nexthop) {
            return Some(Fault::Own);
        }
        if nexthop.is_multicast() || nexthop.is_unspecified() || nexthop.is_loopback() {
            return Some(Fault::NotAHost);
        }
        if is_link_local(nexthop) {
            return Some(Fault::LinkLocal);
        }
        let wanted = (nexthop.is_ipv4(), number(nexthop));
        let after = self
            .ranges
            .partition_point(|(v4, first, _)| (*v4, *first) <= wanted);
        let holds = after
            .checked_sub(1)
            .and_then(|before| self.ranges.get(before))
            .is_some_and(|(v4, _, last)| *v4 == wanted.0 && wanted.1 <= *last);
        (!holds).then_some(Fault::OffLink)
    }
}
