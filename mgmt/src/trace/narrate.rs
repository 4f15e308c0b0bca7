//! Events of a walk in words.

use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use sluice_fastpath::connections::{Connection, Direction};
use sluice_fastpath::fragments::{First, Upper};
use sluice_fastpath::ids::{DatapathId, PortId};
use sluice_fastpath::pipeline::View;
use sluice_fastpath::stage::bridge::Forward;
use sluice_fastpath::stage::enter::{Entered, Entry};
use sluice_fastpath::tables::{PieceKind, SecurityRule, Tables};
use sluice_fastpath::trace::Event;
use sluice_net::{Headers, L3, L4, Mac};

use super::Step;
use super::acl;
use super::refusal::{Context, explain};
use super::verdict;
use crate::show::{connection_state, place, role, route_source};

/// Turns the events of one walk into steps.
pub(super) struct Narrator<'a> {
    view: View<'a>,
    pub(super) steps: Vec<Step>,
    pub(super) context: Context,
    ttl: Option<u8>,
    /// The entry has no port to tell of twice.
    entry: Entry,
}

impl<'a> Narrator<'a> {
    /// A narrator of the walk of `entered`, which ended with the headers `last`.
    pub(super) fn new(view: View<'a>, entered: &Entered, last: Headers) -> Self {
        Self {
            view,
            steps: Vec::new(),
            context: Context::new(entered.headers, last, entered.len),
            ttl: entered.headers.ip().map(|ip| ip.ttl),
            entry: entered.entry,
        }
    }

    pub(super) fn tables(&self) -> &'a Tables {
        self.view.tables
    }

    pub(super) fn step(&mut self, stage: &str, text: impl Into<String>, fields: serde_json::Value) {
        self.steps.push(Step::new(stage, text, fields));
    }

    /// The packet belongs to a connection.
    pub(super) fn known(&mut self, connection: &Connection, direction: Direction) {
        let (original, reply) = (&connection.original, &connection.reply);
        let way = match direction {
            Direction::Original => "original",
            Direction::Reply => "reply",
        };
        let state = connection_state(connection.state);
        let text = format!(
            "of a connection, {way} direction: {} to {}, answered from {} to {}, {state}",
            SocketAddr::new(original.src, original.src_port),
            SocketAddr::new(original.dst, original.dst_port),
            SocketAddr::new(reply.src, reply.src_port),
            SocketAddr::new(reply.dst, reply.dst_port),
        );
        self.step(
            "connection",
            text,
            json!({ "direction": way, "state": state }),
        );
    }

    /// The packet is a fragment that has been told of its first.
    fn fragment(&mut self, first: &First) {
        let said = match first.upper {
            Upper::Tcp { src, dst, .. } | Upper::Udp { src, dst } | Upper::Sctp { src, dst } => {
                format!("source port {src}, destination port {dst}")
            }
            Upper::Echo { id, .. } => format!("echo identifier {id}"),
            Upper::Icmp { kind, code } => format!("ICMP type {kind}, code {code}"),
            Upper::Other => "no ports".to_owned(),
        };
        let text = format!("the first fragment of its datagram tells for all: {said}");
        self.step("fragment", text, json!({ "proto": first.proto }));
    }

    /// One event.
    pub(super) fn tell(&mut self, event: &Event) {
        match *event {
            Event::Enter(entry) => self.enter(entry),
            Event::Fragment(first) => self.fragment(&first),
            Event::SwitchIngress { switch, port } => self.switch_ingress(switch, port),
            Event::PortSecurity { port, checked } => self.security(port, checked),
            Event::Acl {
                switch,
                direction,
                decision,
            } => {
                self.context.acl = Some((switch, direction, decision));
                let (text, fields) = acl::told(self.tables(), switch, direction, decision);
                self.step("acl", text, fields);
            }
            Event::Forward { switch, dst, to } => self.forward(switch, dst, to),
            Event::SwitchEgress { port } => self.switch_egress(port),
            Event::RouterIngress { port } => self.router_ingress(port),
            Event::RouterEgress { port } => self.router_egress(port),
            Event::Connection { reply, translated } => self.connection(reply, translated),
            Event::Untranslate { router, from, to } => self.untranslate(router, from, to),
            Event::TranslateDestination {
                router,
                known,
                from,
                to,
            } => self.translate_destination(router, known, from, to),
            Event::UntranslateSource { datapath, from, to } => {
                self.untranslate_source(datapath, from, to);
            }
            Event::Balance {
                datapath,
                vip,
                by,
                from,
                to,
            } => self.balance(datapath, vip, by, from, to),
            Event::Turn { port } => {
                let name = self.tables().port_name(port);
                let text = format!(
                    "back in by gateway port {name}: it is for an address of its own rules"
                );
                self.step("turn", text, json!({ "port": name }));
            }
            Event::Route {
                router,
                packet,
                port,
                next_hop,
            } => self.route(router, packet, port, next_hop),
            Event::Ttl(ttl) => self.time_to_live(ttl),
            Event::Redirect { port, tunnel } => {
                let chassis = self
                    .tables()
                    .tunnel(tunnel)
                    .map_or("?", |tunnel| &tunnel.chassis);
                let name = self.tables().port_name(port);
                let text =
                    format!("gateway port {name} is held by chassis {chassis}: redirected there");
                self.step(
                    "redirect",
                    text,
                    json!({ "port": name, "chassis": chassis }),
                );
            }
            Event::Neighbor {
                port,
                next_hop,
                mac,
                learned,
            } => self.neighbor(port, next_hop, mac, learned),
            Event::Translate {
                router,
                rule,
                from,
                to,
            } => self.translate(router, rule, from, to),
            Event::Map {
                router,
                rule,
                made,
                inside,
                outside,
            } => self.map(router, (rule, made), inside, outside),
            Event::EnterMapping {
                router,
                outside,
                inside,
            } => self.enter_mapping(router, outside, inside),
            Event::Track { router } => {
                let name = self.datapath(router);
                let text = format!(
                    "router {name} tracks the connection, so that its answers are not translated"
                );
                self.step("track", text, json!({ "router": name }));
            }
            Event::End(verdict) => {
                let why = explain(self.view, &self.context, &verdict);
                let text = verdict::text(self.view, &verdict, why.as_deref(), &self.context.first);
                self.step("verdict", text, verdict::fields(self.tables(), &verdict));
            }
        }
    }

    pub(super) fn datapath(&self, id: DatapathId) -> &'a str {
        self.tables().piece(id).map_or("?", |piece| &piece.name)
    }

    fn enter(&mut self, entry: Entry) {
        let tables = self.tables();
        let chassis = |tunnel| tables.tunnel(tunnel).map_or("?", |tunnel| &tunnel.chassis);
        let (text, fields) = match entry {
            Entry::Port(port) | Entry::Owner(port) => {
                let Some((piece, _, port)) = tables.switch_port(port) else {
                    return;
                };
                let place = place(tables, port.place);
                (
                    format!("port {} of switch {} ({place})", port.name, piece.name),
                    json!({ "port": port.name, "switch": piece.name }),
                )
            }
            Entry::Keyed {
                tunnel,
                datapath,
                in_key,
                out_key,
            } => {
                let (from, name) = (chassis(tunnel), self.datapath(datapath));
                let (input, output) = (
                    verdict::key_name(tables, datapath, in_key),
                    verdict::key_name(tables, datapath, out_key),
                );
                (
                    format!("tunnel from chassis {from}: {name}, in by {input}, out by {output}"),
                    json!({ "chassis": from, "datapath": name, "in_key": in_key, "out_key": out_key }),
                )
            }
            Entry::Keyless { tunnel, switch } => {
                let (from, name) = (chassis(tunnel), self.datapath(switch));
                (
                    format!("tunnel from chassis {from}: switch {name}, without port keys"),
                    json!({ "chassis": from, "datapath": name }),
                )
            }
            Entry::Made(switch) => {
                let name = self.datapath(switch);
                (
                    format!("made for a station of switch {name}"),
                    json!({ "switch": name }),
                )
            }
            Entry::Originated(router) => {
                let name = self.datapath(router);
                (format!("made by router {name}"), json!({ "router": name }))
            }
        };
        self.step("enter", text, fields);
    }

    fn switch_ingress(&mut self, switch: DatapathId, port: Option<PortId>) {
        self.context.switch = Some(switch);
        self.context.in_port = port;
        let name = self.datapath(switch);
        if self.entry == port.map_or(Entry::Originated(switch), Entry::Port) {
            return;
        }
        let port_name = port.map(|port| self.tables().port_name(port));
        let text = match port_name {
            Some(port) => format!("switch {name}, in by port {port}"),
            None => format!("switch {name}, in by no known port"),
        };
        self.step("switch", text, json!({ "switch": name, "port": port_name }));
    }

    fn security(&mut self, id: PortId, checked: bool) {
        let Some((_, _, port)) = self.tables().switch_port(id) else {
            return;
        };
        let rule = port
            .security
            .as_ref()
            .and_then(|security| security.rule(self.context.first.eth_src));
        let rule = rule.map(rule_text);
        let text = match &rule {
            Some(rule) if checked => format!("port {} lets it in by rule \"{rule}\"", port.name),
            _ => format!("port {} has no port security", port.name),
        };
        self.step("security", text, json!({ "port": port.name, "rule": rule }));
    }

    fn forward(&mut self, switch: DatapathId, dst: Mac, to: Forward) {
        self.context.switch = Some(switch);
        let name = self.datapath(switch);
        let ports = self
            .tables()
            .switch(switch)
            .map(|(_, switch)| &switch.ports);
        match to {
            Forward::Port { port, slot } => {
                let port = ports
                    .and_then(|ports| ports.get(usize::from(port)))
                    .map_or("?", |port| &port.name);
                let how = if slot.is_some() { "learned" } else { "static" };
                let text = format!("switch {name}: {dst} is at port {port} ({how})");
                self.step(
                    "bridge",
                    text,
                    json!({ "switch": name, "mac": dst, "port": port, "kind": how }),
                );
            }
            Forward::Flood { unknown_only } => {
                let text = match unknown_only {
                    true => format!(
                        "switch {name}: {dst} is unknown, flooded to the ports that take unknown MACs"
                    ),
                    false => format!("switch {name}: {dst} goes to all ports"),
                };
                self.step(
                    "bridge",
                    text,
                    json!({ "switch": name, "mac": dst, "unknown": unknown_only }),
                );
            }
        }
    }

    fn switch_egress(&mut self, id: PortId) {
        self.context.out_port = Some(id);
        let Some((piece, _, port)) = self.tables().switch_port(id) else {
            return;
        };
        let place = place(self.tables(), port.place);
        let text = format!("switch {}, out by port {} ({place})", piece.name, port.name);
        self.step(
            "out",
            text,
            json!({ "switch": piece.name, "port": port.name, "place": place }),
        );
    }

    fn router_ingress(&mut self, id: PortId) {
        self.context.router_port = Some(id);
        let Some((piece, _, port)) = self.tables().router_port(id) else {
            return;
        };
        self.context.router = Some(piece.id);
        let text = format!("router {}, in by port {}", piece.name, port.name);
        self.step(
            "router",
            text,
            json!({ "router": piece.name, "port": port.name }),
        );
    }

    fn router_egress(&mut self, id: PortId) {
        self.context.gateway_port = Some(id);
        let Some((piece, _, port)) = self.tables().router_port(id) else {
            return;
        };
        self.context.router = Some(piece.id);
        let holder = port.gateway.as_ref().map_or_else(String::new, |gateway| {
            format!(", {}", role(self.view.learned, self.tables(), gateway.role))
        });
        let text = format!(
            "router {}, redirected here to leave by gateway port {}{holder}",
            piece.name, port.name
        );
        self.step(
            "router",
            text,
            json!({ "router": piece.name, "port": port.name, "redirected": true }),
        );
    }

    fn route(
        &mut self,
        router: DatapathId,
        (src, dst): (IpAddr, IpAddr),
        port: PortId,
        next_hop: IpAddr,
    ) {
        self.context.router = Some(router);
        self.context.route_port = Some(port);
        self.context.route = None;
        let Some((piece, table)) = self.tables().router(router) else {
            return;
        };
        let Some((_, route)) = table.route(src, dst) else {
            return;
        };
        self.context.route = Some(route.prefix);
        let hops = route
            .group
            .map_or(0, |group| table.routing.hops(group).len());
        let choice = if hops > 1 {
            format!(" (one of {hops} equal next hops)")
        } else {
            String::new()
        };
        let source = route_source(route.source);
        let port = self.tables().port_name(port);
        let via = match self.context.last.ip() {
            Some(_) if route.source == sluice_fastpath::tables::RouteSource::Connected => {
                "on the link".to_owned()
            }
            _ => format!("via {next_hop}"),
        };
        let text = format!(
            "router {}: {} {via} out of port {port}, {source}{choice}",
            piece.name, route.prefix
        );
        let fields = json!({
            "router": piece.name, "prefix": route.prefix, "source": source, "next_hop": next_hop, "port": port,
        });
        self.step("route", text, fields);
    }

    fn time_to_live(&mut self, ttl: u8) {
        let before = self.ttl.replace(ttl);
        let name = self
            .context
            .router
            .map_or("?", |router| self.datapath(router));
        let text = match before {
            Some(before) => format!("router {name}: TTL {before} -> {ttl}"),
            None => format!("router {name}: TTL -> {ttl}"),
        };
        self.step(
            "ttl",
            text,
            json!({ "router": name, "before": before, "after": ttl }),
        );
    }

    fn neighbor(&mut self, id: PortId, next_hop: IpAddr, mac: Mac, learned: bool) {
        let tables = self.tables();
        let Some((piece, _, port)) = tables.router_port(id) else {
            return;
        };
        let how = if learned {
            "learned"
        } else {
            "from the topology"
        };
        let text = format!(
            "router {}: {next_hop} behind port {} is {mac} ({how}); Ethernet source {}, destination {mac}",
            piece.name, port.name, port.mac
        );
        let fields = json!({
            "router": piece.name, "port": port.name, "next_hop": next_hop, "mac": mac, "learned": learned,
            "eth_src": port.mac, "eth_dst": mac,
        });
        self.step("neighbor", text, fields);
    }
}

/// A rule of port security as it is written in a topology.
pub(super) fn rule_text(rule: &SecurityRule) -> String {
    let addresses =
        rule.addresses
            .iter()
            .map(|net| match net.prefix_len() == net.max_prefix_len() {
                true => net.addr().to_string(),
                false => net.to_string(),
            });
    [rule.mac.to_string()]
        .into_iter()
        .chain(addresses)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The switch or router of an id, with its noun.
pub(super) fn noun(tables: &Tables, id: DatapathId) -> String {
    match tables.piece(id) {
        Some(piece) => match piece.kind {
            PieceKind::Switch(_) => format!("switch {}", piece.name),
            PieceKind::Router(_) => format!("router {}", piece.name),
        },
        None => "a datapath that has gone".to_owned(),
    }
}

/// The sender that an ARP or ND message claims.
pub(super) fn claim(headers: &Headers) -> String {
    match &headers.l3 {
        L3::Arp(arp) => format!("{} is {}", arp.sender_ip, arp.sender_mac),
        L3::Ip(ip) => match ip.l4 {
            L4::NeighborAdvert {
                target,
                target_mac: Some(mac),
                ..
            } => format!("{target} is {mac}"),
            L4::NeighborAdvert { target, .. } => format!("{target} is {}", headers.eth_src),
            _ => format!("{} is {}", ip.src, headers.eth_src),
        },
        L3::Other => "nothing".to_owned(),
    }
}
