//! The end of a walk in words.

use serde_json::{Value, json};
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::pipeline::View;
use sluice_fastpath::stage::enter;
use sluice_fastpath::tables::{Audience, FloodMember, PieceKind, Tables, UNDERLAY_PORT};
use sluice_fastpath::verdict::{DropReason, Egress, Flood, IcmpError, Punt, Verdict};

use sluice_net::Headers;

use super::narrate::noun;
use crate::show::encap_kind;

/// One word for each kind of verdict.
pub(super) fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Transmit(_) => "transmit",
        Verdict::Flood(_) => "flood",
        Verdict::Punt(_) => "punt",
        Verdict::Reject { .. } | Verdict::Refuse { .. } => "reject",
        Verdict::Drop(_) => "drop",
        Verdict::Reassemble => "reassemble",
    }
}

/// A verdict for machines.
pub(super) fn fields(tables: &Tables, verdict: &Verdict) -> Value {
    let mut fields = match verdict {
        Verdict::Transmit(Egress::Device { device, vlan, port }) => json!({
            "interface": tables.devices.get(device.index()).map(|device| &device.name),
            "vlan": vlan,
            "port": tables.port_name(*port),
        }),
        Verdict::Transmit(Egress::Tunnel { tunnel, vni, keys }) => json!({
            "chassis": tables.tunnel(*tunnel).map(|tunnel| &tunnel.chassis),
            "vni": vni.get(),
            "in_key": keys.map(|(in_key, _)| in_key),
            "out_key": keys.map(|(_, out_key)| out_key),
        }),
        Verdict::Flood(flood) => json!({ "copies": copies(tables, flood) }),
        Verdict::Punt(_) | Verdict::Reassemble => json!({}),
        Verdict::Reject {
            reason,
            error,
            port,
        } => json!({
            "reason": reason.name(), "error": error_name(error), "from_port": tables.port_name(*port),
        }),
        Verdict::Refuse { port, .. } => json!({
            "reason": DropReason::AclReject.name(), "from_port": tables.port_name(*port),
        }),
        Verdict::Drop(reason) => json!({ "reason": reason.name() }),
    };
    if let Value::Object(fields) = &mut fields {
        fields.insert("verdict".into(), kind(verdict).into());
    }
    fields
}

/// A verdict for people. `why` explains a drop, and `first` are the headers that the packet came with.
pub(super) fn text(
    view: View<'_>,
    verdict: &Verdict,
    why: Option<&str>,
    first: &Headers,
) -> String {
    let tables = view.tables;
    match verdict {
        Verdict::Transmit(egress) => transmit(view, egress),
        Verdict::Flood(flood) => {
            let copies = copies(tables, flood);
            let why = match flood.audience {
                Audience::Nodes => ", whose part of the router may have asked",
                Audience::Checkers => ", which may have asked",
                Audience::All | Audience::Unknown => "",
            };
            match copies.is_empty() {
                true => "drop flood-empty: nobody is left to get a copy".to_owned(),
                false => format!("flood: a copy to {}{why}", copies.join(", to ")),
            }
        }
        Verdict::Punt(punt) => punted(view, punt),
        Verdict::Reject {
            reason,
            error,
            port,
        } => {
            let dropped = dropped(*reason, why);
            let found = tables.router_port(*port).map(|(_, _, port)| port);
            let name = found.map_or("?", |port| &port.name);
            let address = found
                .zip(first.ip())
                .and_then(|(port, ip)| port.address_for(ip.src));
            let address = address.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
            let error = error_name(error);
            format!(
                "{dropped}; the sender is told \"{error}\" by ICMP from {address}, router port {name}"
            )
        }
        Verdict::Refuse { port, .. } => format!(
            "{}; the sender is told in the name of port {}",
            dropped(DropReason::AclReject, why),
            tables.port_name(*port)
        ),
        Verdict::Drop(reason) => dropped(*reason, why),
        Verdict::Reassemble => {
            "waits until the first fragment of its datagram has told the ports, then walks again"
                .to_owned()
        }
    }
}

fn dropped(reason: DropReason, why: Option<&str>) -> String {
    let description = lower(reason.description());
    format!("drop {}: {}", reason.name(), why.unwrap_or(&description))
}

fn transmit(view: View<'_>, egress: &Egress) -> String {
    let tables = view.tables;
    match *egress {
        Egress::Device { device, vlan, port } => {
            let interface = tables
                .devices
                .get(device.index())
                .map_or("?", |device| &device.name);
            let tag = vlan
                .map(|vlan| format!(" with VLAN tag {vlan}"))
                .unwrap_or_default();
            let switch = tables
                .switch_port(port)
                .map_or("?", |(piece, _, _)| &piece.name);
            format!(
                "out of port {} of switch {switch}, on interface {interface}{tag}",
                tables.port_name(port)
            )
        }
        Egress::Tunnel { tunnel, vni, keys } => {
            let Some(tunnel) = tables.tunnel(tunnel) else {
                return "into a tunnel that has gone".to_owned();
            };
            let datapath = tables.by_vni.get(&vni).copied();
            let name = datapath.map_or_else(|| "?".to_owned(), |id| noun(tables, id));
            let keys = keys.map(|(in_key, out_key)| {
                let key =
                    |key| datapath.map_or_else(|| key_text(key), |id| key_name(tables, id, key));
                format!(", in by {}, out by {}", key(in_key), key(out_key))
            });
            let mac = view
                .learned
                .neighbors
                .resolve(UNDERLAY_PORT, tunnel.next_hop.into());
            let mac = mac.map_or_else(|| "not resolved".to_owned(), |(_, mac)| mac.to_string());
            format!(
                "to chassis {} by {} to {}, VNI {} ({name}){}, next hop {} at {mac}",
                tunnel.chassis,
                encap_kind(tunnel.kind),
                tunnel.remote,
                vni.get(),
                keys.unwrap_or_default(),
                tunnel.next_hop,
            )
        }
    }
}

fn key_text(key: u16) -> String {
    format!("key {key}")
}

/// The port that a key names in a datapath.
pub(super) fn key_name(tables: &Tables, id: DatapathId, key: u16) -> String {
    if key >= sluice_net::ids::FIRST_MULTICAST_KEY {
        return format!("multicast group {key}");
    }
    let name = tables.piece(id).and_then(|piece| match &piece.kind {
        PieceKind::Switch(switch) => {
            let port = switch
                .by_key
                .get(&key)
                .and_then(|index| switch.ports.get(usize::from(*index)));
            port.map(|port| port.name.clone())
        }
        PieceKind::Router(router) => {
            let found = router.by_key.get(&key)?;
            let port = router.ports.get(usize::from(found.port))?;
            Some(if found.redirect {
                format!("cr-{}", port.name)
            } else {
                port.name.clone()
            })
        }
    });
    name.map_or_else(|| key_text(key), |name| format!("{name} (key {key})"))
}

/// Who gets a copy of a flood.
fn copies(tables: &Tables, flood: &Flood) -> Vec<String> {
    let members = tables
        .switch(flood.switch)
        .and_then(|(_, switch)| switch.members(flood.domain, flood.audience));
    let copy = |member: &FloodMember| match *member {
        FloodMember::Device { port, .. } if Some(port) == flood.except => None,
        FloodMember::Device { port, .. } => Some(format!("port {}", tables.port_name(port))),
        FloodMember::Chassis { .. } if flood.local_only => None,
        FloodMember::Chassis { tunnel, .. } => Some(format!(
            "chassis {}",
            tables.tunnel(tunnel).map_or("?", |tunnel| &tunnel.chassis)
        )),
    };
    members.into_iter().flatten().filter_map(copy).collect()
}

fn punted(view: View<'_>, punt: &Punt) -> String {
    let tables = view.tables;
    let port = |id| {
        tables.router_port(id).map_or_else(
            || "?".to_owned(),
            |(piece, _, port)| format!("{} of router {}", port.name, piece.name),
        )
    };
    match *punt {
        Punt::AnswerNeighbor { from, mac } => {
            format!(
                "answered here in the name of port {}: the address is at {mac}",
                tables.port_name(from)
            )
        }
        Punt::LearnNeighbor { port: id } => {
            format!(
                "taken by router port {}: it answers if asked for, and learns the sender",
                port(id)
            )
        }
        Punt::ResolveNeighbor { port: id, next_hop } => {
            format!(
                "waits until {next_hop} behind router port {} says its MAC, then goes on",
                port(id)
            )
        }
        Punt::ResolveUnderlay { next_hop } => {
            format!("waits until the underlay next hop {next_hop} says its MAC, then goes on")
        }
        Punt::Echo { port: id } => format!(
            "echo request to an address of router port {}: answered",
            port(id)
        ),
        Punt::Fragment { port: id, mtu } => {
            format!(
                "fragmented to {mtu} bytes by the slow path, then each piece goes on as if it came in by router port {}",
                port(id)
            )
        }
        Punt::Health { switch } => format!(
            "to who checks backends of switch {}: taken by the slow path, or sent on to the chassis that asked",
            tables.piece(switch).map_or("?", |piece| &piece.name)
        ),
        Punt::Underlay => {
            "for the underlay address of this node: taken by the slow path".to_owned()
        }
    }
}

/// Name of an ICMP error.
pub(super) fn error_name(error: &IcmpError) -> String {
    match error {
        IcmpError::TimeExceeded => "time exceeded".to_owned(),
        IcmpError::NetUnreachable => "network unreachable".to_owned(),
        IcmpError::HostUnreachable => "host unreachable".to_owned(),
        IcmpError::PortUnreachable => "port unreachable".to_owned(),
        IcmpError::Refused => "a reset, or port unreachable".to_owned(),
        IcmpError::TooBig(mtu) => format!("too big, MTU {mtu}"),
    }
}

/// A verdict on a frame that never entered the logical network.
pub(super) fn early(view: View<'_>, frame: &[u8], verdict: &Verdict) -> String {
    match sluice_net::parse(frame) {
        Ok(headers) => text(view, verdict, None, &headers),
        Err(error) => format!("drop {}: {error}", enter::parse_failure(error).name()),
    }
}

/// A sentence in the middle of another.
pub(super) fn lower(sentence: &str) -> String {
    let mut letters = sentence.trim_end_matches('.').chars();
    let first = letters.next();
    let keep = letters.clone().next().is_none_or(char::is_uppercase);
    match first {
        Some(first) if !keep => first.to_lowercase().chain(letters).collect(),
        Some(first) => std::iter::once(first).chain(letters).collect(),
        None => String::new(),
    }
}
