//! The difference between two generations, in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_fastpath::tables::{
    Device, Piece, PieceKind, Route, RouteSource, Router, Switch, Tables, Tunnel,
};

use super::changes::{Action, Change, Noun};

/// Names told of one kind of change; beyond that a number.
const NAMES_TOLD: usize = 3;

/// All that differs, in the order of the nouns, then of the names.
pub(super) fn changes(old: &Tables, new: &Tables) -> Vec<Change> {
    let mut items = Vec::new();
    compare(
        Noun::Interface,
        devices(old),
        devices(new),
        |_, _| vec!["what enters by it".to_owned()],
        &mut items,
    );
    underlay(old, new, &mut items);
    compare(
        Noun::Tunnel,
        tunnels(old),
        tunnels(new),
        tunnel_details,
        &mut items,
    );
    for noun in [Noun::Switch, Noun::Router] {
        compare(
            noun,
            pieces(old, noun),
            pieces(new, noun),
            piece_details,
            &mut items,
        );
    }
    items
}

/// A thing that has a name in its generation.
type Named<'t, T> = BTreeMap<&'t str, &'t T>;

fn devices(tables: &Tables) -> Named<'_, Device> {
    tables
        .devices
        .iter()
        .map(|device| (device.name.as_str(), device))
        .collect()
}

fn tunnels(tables: &Tables) -> Named<'_, Tunnel> {
    tables
        .tunnels
        .iter()
        .flatten()
        .map(|tunnel| (tunnel.chassis.as_str(), tunnel))
        .collect()
}

fn pieces(tables: &Tables, noun: Noun) -> Named<'_, Arc<Piece>> {
    let pieces = tables.datapaths.iter().flatten();
    let pieces = pieces.filter(|piece| match piece.kind {
        PieceKind::Switch(_) => noun == Noun::Switch,
        PieceKind::Router(_) => noun == Noun::Router,
    });
    pieces.map(|piece| (piece.name.as_str(), piece)).collect()
}

/// Things compare by content; pieces by identity, which the compiler keeps while the content stays.
trait Same {
    fn same(&self, other: &Self) -> bool;
}

impl Same for Device {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Same for Tunnel {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Same for Arc<Piece> {
    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }
}

fn compare<T: Same>(
    noun: Noun,
    old: Named<'_, T>,
    new: Named<'_, T>,
    details: impl Fn(&T, &T) -> Vec<String>,
    items: &mut Vec<Change>,
) {
    let from = items.len();
    let mut add = |action, name: &str, details| {
        items.push(Change {
            action,
            noun,
            name: name.to_owned(),
            details,
        });
    };
    for (name, before) in &old {
        match new.get(name) {
            None => add(Action::Removed, name, Vec::new()),
            Some(after) if before.same(after) => {}
            Some(after) => add(Action::Changed, name, details(before, after)),
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        add(Action::Added, name, Vec::new());
    }
    if let Some(added) = items.get_mut(from..) {
        added.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

fn underlay(old: &Tables, new: &Tables, items: &mut Vec<Change>) {
    let (action, address) = match (&old.underlay, &new.underlay) {
        (None, Some(new)) => (Action::Added, new.address),
        (Some(old), None) => (Action::Removed, old.address),
        (Some(old), Some(new)) if old != new => (Action::Changed, new.address),
        _ => return,
    };
    items.push(Change {
        action,
        noun: Noun::Underlay,
        name: address.to_string(),
        details: Vec::new(),
    });
}

fn tunnel_details(old: &Tunnel, new: &Tunnel) -> Vec<String> {
    let mut details = Vec::new();
    if (old.kind, old.remote, old.port) != (new.kind, new.remote, new.port) {
        details.push(format!("now to {} port {}", new.remote, new.port));
    }
    if old.inner_mtu != new.inner_mtu {
        details.push(format!("inner MTU {} -> {}", old.inner_mtu, new.inner_mtu));
    }
    if details.is_empty() {
        details.push("its encapsulation".to_owned());
    }
    details
}

fn piece_details(old: &Arc<Piece>, new: &Arc<Piece>) -> Vec<String> {
    let mut details = Vec::new();
    if old.vni != new.vni {
        details.push(format!("key {} -> {}", old.vni, new.vni));
    }
    match (&old.kind, &new.kind) {
        (PieceKind::Switch(old), PieceKind::Switch(new)) => switch_details(old, new, &mut details),
        (PieceKind::Router(old), PieceKind::Router(new)) => router_details(old, new, &mut details),
        _ => {}
    }
    if details.is_empty() {
        details.push("what surrounds it".to_owned());
    }
    details
}

fn switch_details(old: &Switch, new: &Switch, details: &mut Vec<String>) {
    let named = |switch: &'_ Switch| -> Vec<String> {
        switch.ports.iter().map(|port| port.name.clone()).collect()
    };
    let changed = |name: &str| {
        let find = |switch: &'_ Switch| switch.ports.iter().position(|port| port.name == name);
        find(old)
            .zip(find(new))
            .is_some_and(|(a, b)| old.ports.get(a) != new.ports.get(b))
    };
    parts("port", &named(old), &named(new), changed, details);
    if old.known != new.known && details.is_empty() {
        details.push("addresses changed".to_owned());
    }
    if old.routers_at != new.routers_at && details.is_empty() {
        details.push("chassis that run its routers changed".to_owned());
    }
    if old.acls != new.acls {
        details.push("acls changed".to_owned());
    }
    if (old.mac_limit, old.mac_age) != (new.mac_limit, new.mac_age) {
        details.push("limits of learned MACs changed".to_owned());
    }
    if old.balancers != new.balancers {
        details.push("load balancers changed".to_owned());
    }
    tracking(old.stateful, new.stateful, details);
}

fn router_details(old: &Router, new: &Router, details: &mut Vec<String>) {
    if old.enabled != new.enabled {
        details.push(if new.enabled { "enabled" } else { "disabled" }.to_owned());
    }
    let named = |router: &'_ Router| -> Vec<String> {
        router.ports.iter().map(|port| port.name.clone()).collect()
    };
    let changed = |name: &str| {
        let find = |router: &'_ Router| router.ports.iter().position(|port| port.name == name);
        find(old)
            .zip(find(new))
            .is_some_and(|(a, b)| old.ports.get(a) != new.ports.get(b))
    };
    parts("port", &named(old), &named(new), changed, details);
    routes(old, new, details);
    if old.nat != new.nat {
        details.push("nat changed".to_owned());
    }
    let of = |router: &Router| (router.lb_force_snat.clone(), router.lb_force_router_ip);
    if old.balancers != new.balancers || of(old) != of(new) {
        details.push("load balancers changed".to_owned());
    }
    if old.neighbors != new.neighbors {
        details.push("static neighbors changed".to_owned());
    }
    tracking(old.stateful, new.stateful, details);
}

fn tracking(old: bool, new: bool, details: &mut Vec<String>) {
    if old != new {
        let state = if new { "on" } else { "off" };
        details.push(format!("connection tracking {state}"));
    }
}

/// What came, went and changed among named parts.
fn parts(
    noun: &str,
    old: &[String],
    new: &[String],
    changed: impl Fn(&str) -> bool,
    details: &mut Vec<String>,
) {
    let sorted = |names: &[String]| -> std::collections::BTreeSet<String> {
        names.iter().cloned().collect()
    };
    let (old, new) = (sorted(old), sorted(new));
    let added: Vec<&str> = new.difference(&old).map(String::as_str).collect();
    let removed: Vec<&str> = old.difference(&new).map(String::as_str).collect();
    let changed: Vec<&str> = new
        .intersection(&old)
        .map(String::as_str)
        .filter(|name| changed(name))
        .collect();
    for (names, what) in [(added, "added"), (removed, "removed"), (changed, "changed")] {
        match names.len() {
            0 => {}
            1 => details.push(format!("{noun} {} {what}", names.join(""))),
            2..=NAMES_TOLD => details.push(format!("{noun}s {} {what}", names.join(", "))),
            many => details.push(format!("{many} {noun}s {what}")),
        }
    }
}

/// Counts routes that came, went or lead elsewhere, by one walk along both sorted lists.
fn routes(old: &Router, new: &Router, details: &mut Vec<String>) {
    if std::sync::Arc::ptr_eq(&old.routing, &new.routing) {
        return;
    }
    let key = |route: &Route| (route.source == RouteSource::StaticBySource, route.prefix);
    let ways = |router: &Router, route: &Route| -> Vec<_> {
        let hops = route
            .group
            .map(|group| router.routing.hops(group))
            .unwrap_or_default()
            .iter();
        let name = |port: u16| {
            router
                .ports
                .get(usize::from(port))
                .map(|port| port.name.clone())
        };
        hops.map(|hop| (name(hop.port), hop.via)).collect()
    };
    let (mut added, mut removed, mut changed) = (0u64, 0u64, 0u64);
    let (mut a, mut b) = (
        old.routing.routes().iter().peekable(),
        new.routing.routes().iter().peekable(),
    );
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
        };
        match order {
            std::cmp::Ordering::Less => {
                removed += 1;
                a.next();
            }
            std::cmp::Ordering::Greater => {
                added += 1;
                b.next();
            }
            std::cmp::Ordering::Equal => {
                let moved = a.next().zip(b.next()).is_some_and(|(before, after)| {
                    before.source != after.source
                        || before.group.is_some() != after.group.is_some()
                        || ways(old, before) != ways(new, after)
                });
                changed += u64::from(moved);
            }
        }
    }
    let counts = [(added, "added"), (removed, "removed"), (changed, "changed")];
    let told: Vec<String> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    if !told.is_empty() {
        details.push(format!("routes: {}", told.join(", ")));
    }
}
