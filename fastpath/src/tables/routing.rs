//! The routes of a router, as they are told and as packets look them up.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::tables::fib::Fib;

/// Index of a route in its router's routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The prefix.
    pub prefix: IpNet,
    /// Where it comes from.
    pub source: RouteSource,
    /// Index into the groups; `None` for a blackhole.
    pub group: Option<u32>,
}

/// Where a route comes from, in order of preference at equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteSource {
    /// A network of a router port.
    Connected,
    /// A static route by destination.
    Static,
    /// A static route by source.
    StaticBySource,
}

/// One way out of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Index of the router port.
    pub port: u16,
    /// The next router; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
}

/// What a group is like, as far as most packets need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// One next router.
    Via,
    /// One port, on whose link the destination is.
    OnLink,
    /// Several hops, of which the flow's hash takes one; or none, or no such group.
    Other,
}

impl GroupKind {
    fn of(hops: &[NextHop]) -> Self {
        match hops {
            [NextHop { via: Some(_), .. }] => Self::Via,
            [NextHop { via: None, .. }] => Self::OnLink,
            _ => Self::Other,
        }
    }
}

/// What the routes say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It goes by this group, which has a next hop.
    Group(u32),
    /// Its route discards.
    Discard,
    /// It has no route, or one without a next hop.
    Nothing,
}

/// All routes of a router; never changed, shared by generations while they stay the same.
///
/// Packets meet only the FIBs, whose answers are groups: no table with an entry for each route is touched. Which
/// route it was is looked up apart ([`Routing::route`]), for those who tell people.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    routes: Vec<Route>,
    groups: Vec<Vec<NextHop>>,
    /// Of each group.
    kinds: Vec<GroupKind>,
    /// Routes before this one are by destination.
    split: usize,
    by_destination: Fib,
    by_source: Option<Fib>,
}

/// The FIBs follow from the rest.
impl PartialEq for Routing {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes && self.groups == other.groups
    }
}

impl Eq for Routing {}

/// A choice as an answer of a FIB. Where routes by source are to be compared with routes by destination, the prefix length
/// stands above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code(u32);

impl Code {
    const BITS: u32 = 23;
    const NOTHING: Code = Code((1 << Self::BITS) - 1);
    const DISCARD: Code = Code(Self::NOTHING.0 - 1);

    fn of(route: &Route, groups: &[Vec<NextHop>]) -> Code {
        let Some(group) = route.group else {
            return Code::DISCARD;
        };
        match groups.get(group as usize) {
            Some(hops) if !hops.is_empty() && group < Code::DISCARD.0 => Code(group),
            _ => Code::NOTHING,
        }
    }

    fn ranked(self, length: u8) -> u32 {
        u32::from(length) << Self::BITS | self.0
    }

    /// The choice in an answer, with or without a length, or in none at all.
    #[inline]
    fn in_answer(answer: u32) -> Code {
        Code(answer & Code::NOTHING.0)
    }

    #[inline]
    fn choice(self) -> Choice {
        match self {
            Code::NOTHING => Choice::Nothing,
            Code::DISCARD => Choice::Discard,
            Code(group) => Choice::Group(group),
        }
    }
}

impl Routing {
    /// In place of a group: there is none ([`Choice::Discard`] or [`Choice::Nothing`]).
    pub const NO_GROUP: u32 = u32::MAX;

    /// Routes in any order, of which no two of one kind (by destination, by source) have the same prefix; the
    /// groups they lead to. They are kept in the order of kind and prefix.
    pub fn new(mut routes: Vec<Route>, groups: Vec<Vec<NextHop>>) -> Self {
        let by_source = |route: &Route| route.source == RouteSource::StaticBySource;
        let key = |route: &Route| (by_source(route), route.prefix);
        if !routes.is_sorted_by_key(key) {
            routes.sort_by_key(key);
        }
        let split = routes.partition_point(|route| !by_source(route));
        let (destinations, sources) = routes.split_at(split);
        let ranked = |route: &Route| {
            let answer = Code::of(route, &groups).ranked(route.prefix.prefix_len());
            (route.prefix, answer)
        };
        let plain = |route: &Route| (route.prefix, Code::of(route, &groups).0);
        let (by_destination, by_source) = if sources.is_empty() {
            (Fib::build(destinations.iter().map(plain)), None)
        } else {
            let by_source = Fib::build(sources.iter().map(ranked));
            (Fib::build(destinations.iter().map(ranked)), Some(by_source))
        };
        let kinds = groups.iter().map(|hops| GroupKind::of(hops)).collect();
        Self {
            routes,
            groups,
            kinds,
            split,
            by_destination,
            by_source,
        }
    }

    /// The routes: by destination, then by source, each kind by prefix.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Next-hop sets, shared by routes; more than one member is ECMP.
    pub fn groups(&self) -> &[Vec<NextHop>] {
        &self.groups
    }

    /// The hops of a group: one, or several of which the flow's hash takes one. Empty when there is no such group.
    #[inline]
    pub fn hops(&self, group: u32) -> &[NextHop] {
        self.groups.get(group as usize).map_or(&[], Vec::as_slice)
    }

    /// What a group is like: a byte, where [`Routing::hops`] reads two structures.
    #[inline]
    pub fn kind(&self, group: u32) -> GroupKind {
        let kind = self.kinds.get(group as usize).copied();
        kind.unwrap_or(GroupKind::Other)
    }

    /// Where a packet goes. Longest prefix first; at equal length connected, static by destination, static by source.
    #[inline]
    pub fn choose(&self, src: IpAddr, dst: IpAddr) -> Choice {
        let mut answer = self.by_destination.lookup(dst);
        if let Some(by_source) = &self.by_source {
            answer = longer(answer, by_source.lookup(src));
        }
        Code::in_answer(answer).choice()
    }

    /// The group of each IPv4 packet (source, destination; host order), or [`Routing::NO_GROUP`]. As many as the shorter
    /// of the slices has.
    #[inline]
    pub fn groups_v4(&self, flows: &[(u32, u32)], groups: &mut [u32]) {
        self.by_destination
            .lookup_v4_burst(flows, |flow| flow.1, groups);
        self.finish(flows, groups, |fib, flows, answers| {
            fib.lookup_v4_burst(flows, |flow| flow.0, answers);
        });
    }

    /// As [`Routing::groups_v4`], for IPv6.
    #[inline]
    pub fn groups_v6(&self, flows: &[(u128, u128)], groups: &mut [u32]) {
        self.by_destination
            .lookup_v6_burst(flows, |flow| flow.1, groups);
        self.finish(flows, groups, |fib, flows, answers| {
            fib.lookup_v6_burst(flows, |flow| flow.0, answers);
        });
    }

    /// Makes groups of the answers by destination, by `lookup` of the sources where these have a say.
    #[inline]
    fn finish<F>(&self, flows: &[F], answers: &mut [u32], lookup: impl Fn(&Fib, &[F], &mut [u32])) {
        if let Some(by_source) = &self.by_source {
            const ROUND: usize = 32;
            let mut others = [Fib::NONE; ROUND];
            for (flows, answers) in flows.chunks(ROUND).zip(answers.chunks_mut(ROUND)) {
                lookup(by_source, flows, &mut others);
                for (answer, other) in answers.iter_mut().zip(others).take(flows.len()) {
                    *answer = longer(*answer, other);
                }
            }
        }
        for (answer, _) in answers.iter_mut().zip(flows) {
            let code = Code::in_answer(*answer);
            *answer = if code.0 < Code::DISCARD.0 {
                code.0
            } else {
                Self::NO_GROUP
            };
        }
    }

    /// The route by which a packet goes, in the order of [`Routing::choose`]. Slow: some searches among all routes.
    pub fn route(&self, src: IpAddr, dst: IpAddr) -> Option<(RouteId, &Route)> {
        let (destinations, sources) = self.routes.split_at(self.split);
        let by_destination =
            longest(destinations, dst).map(|index| (index, self.routes.get(index)));
        let by_source = longest(sources, src)
            .map(|index| (index + self.split, self.routes.get(index + self.split)));
        let length = |found: &(usize, Option<&Route>)| found.1.map(|r| r.prefix.prefix_len());
        let (index, route) = match (by_destination, by_source) {
            (Some(d), Some(s)) if length(&s) > length(&d) => s,
            (Some(d), _) => d,
            (None, s) => s?,
        };
        Some((RouteId(index as u32), route?))
    }

    /// Bytes of memory the FIBs hold.
    pub fn fib_bytes(&self) -> usize {
        self.by_destination.memory_bytes() + self.by_source.as_ref().map_or(0, Fib::memory_bytes)
    }
}

/// Of two answers with their lengths that of the longer prefix; at equal length the first.
#[inline]
fn longer(first: u32, second: u32) -> u32 {
    if second == Fib::NONE {
        return first;
    }
    if first == Fib::NONE || second >> Code::BITS > first >> Code::BITS {
        return second;
    }
    first
}

/// Index of the longest prefix that holds `addr` in `routes`, sorted by prefix.
fn longest(routes: &[Route], addr: IpAddr) -> Option<usize> {
    let host = IpNet::from(addr);
    (0..=host.prefix_len()).rev().find_map(|length| {
        let wanted = IpNet::new(addr, length).ok()?.trunc();
        routes
            .binary_search_by_key(&wanted, |route| route.prefix)
            .ok()
    })
}
