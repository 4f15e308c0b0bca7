//! Where a traced packet enters.

use std::ops::ControlFlow;

use sluice_fastpath::fragments::First;
use sluice_fastpath::ids::{DatapathId, PortId, TunnelId};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::pipeline::View;
use sluice_fastpath::stage::enter::{self, Entered, Entry};
use sluice_fastpath::tables::{DeviceEntry, Piece, PieceKind, Place, Tables};
use sluice_fastpath::verdict::Verdict;
use sluice_net::Fragment;

use super::TraceError;
use super::packet::{self, Ends};
use super::request::{PacketSpec, Start, TraceRequest};
use crate::show::place;

/// The frame, how it entered (or why it did not), and what was assumed.
pub(super) type EnteredFrame = (Vec<u8>, Result<Entered, Verdict>, Vec<String>);

/// Makes the frame and lets it in.
pub(super) fn enter(view: View<'_>, request: &TraceRequest) -> Result<EnteredFrame, TraceError> {
    let spec = &request.packet;
    match &request.start {
        Start::Port { name } => from_port(view, name, spec),
        Start::Tunnel {
            chassis,
            datapath,
            in_port,
            out_port,
        } => from_tunnel(
            view,
            (chassis, datapath),
            in_port.as_deref(),
            out_port.as_deref(),
            spec,
        ),
        Start::Frame { interface, hex } => from_wire(view.tables, interface, hex),
    }
}

/// What the first fragment says of the datagram of the traced one; `None` when the request does not tell.
pub(super) fn first_fragment(view: View<'_>, request: &TraceRequest) -> Option<First> {
    let whole = TraceRequest {
        packet: PacketSpec {
            fragment: None,
            ..request.packet.clone()
        },
        ..request.clone()
    };
    let (_, entered, _) = enter(view, &whole).ok()?;
    let entered = entered.ok()?;
    let ip = entered.headers.ip()?;
    (ip.fragment != Fragment::Later).then(|| First::of(ip))
}

fn result<T>(step: ControlFlow<Verdict, T>) -> Result<T, Verdict> {
    match step {
        ControlFlow::Continue(entered) => Ok(entered),
        ControlFlow::Break(verdict) => Err(verdict),
    }
}

fn from_port(view: View<'_>, name: &str, spec: &PacketSpec) -> Result<EnteredFrame, TraceError> {
    let tables = view.tables;
    let id = switch_port(tables, name)?;
    let found = tables.switch_port(id).zip(tables.seat(id));
    let Some(((piece, switch, port), seat)) = found else {
        return Err(TraceError::new(format!(
            "port `{name}` has gone this moment"
        )));
    };
    let device = match port.place {
        Place::Device { device, .. } => Some(device),
        _ => None,
    };
    // The wire of a localnet has a tag.
    let spec = PacketSpec {
        vlan: spec.vlan.or_else(|| wire_tag(tables, device?, id)),
        ..spec.clone()
    };
    let mut notes = Vec::new();
    let source = packet::of_port(view, switch, seat.index, port, spec.dst);
    let next = |src, dst| packet::gateway_mac(view, switch, seat.index, src, dst);
    let frame = packet::build(&spec, source, next, &mut notes)?;
    let entered = match device {
        Some(device) => enter::from_device(tables, device, &frame),
        None => {
            let place = place(tables, port.place);
            let switch = &piece.name;
            notes.push(format!(
                "port {name} of switch {switch} is not on this node ({place}): traced as if it were"
            ));
            enter::from_slow_path(Entry::Port(id), &frame)
        }
    };
    Ok((frame, result(entered), notes))
}

/// The VLAN tag with which frames of a device are those of a port.
fn wire_tag(tables: &Tables, device: DeviceId, port: PortId) -> Option<u16> {
    let entries = &tables.devices.get(device.index())?.entries;
    entries
        .iter()
        .find(|(_, entry)| *entry == DeviceEntry::Port(port))?
        .0
}

fn from_wire(tables: &Tables, interface: &str, hex: &str) -> Result<EnteredFrame, TraceError> {
    let Some(device) = tables
        .devices
        .iter()
        .position(|device| device.name == interface)
    else {
        let names: Vec<&str> = tables
            .devices
            .iter()
            .map(|device| device.name.as_str())
            .collect();
        return Err(
            TraceError::new(format!("this node has no interface `{interface}`"))
                .help(format!("it has {}", names.join(", "))),
        );
    };
    let frame = bytes(hex)?;
    let device = DeviceId(u16::try_from(device).unwrap_or(u16::MAX));
    let entered = result(enter::from_device(tables, device, &frame));
    Ok((frame, entered, Vec::new()))
}

fn bytes(hex: &str) -> Result<Vec<u8>, TraceError> {
    let digits: Vec<u32> = hex
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .unwrap_or_default();
    if digits.is_empty() || digits.len() % 2 == 1 {
        return Err(TraceError::new("the frame is not hex")
            .help("two digits a byte, as in 0200000000010200000000020800..."));
    }
    Ok(digits
        .chunks_exact(2)
        .map(|pair| {
            pair.iter()
                .fold(0, |byte, digit| (byte << 4) | *digit as u8)
        })
        .collect())
}

fn from_tunnel(
    view: View<'_>,
    (chassis, datapath): (&str, &str),
    in_port: Option<&str>,
    out_port: Option<&str>,
    spec: &PacketSpec,
) -> Result<EnteredFrame, TraceError> {
    let tables = view.tables;
    let tunnel = tunnel(tables, chassis)?;
    let piece = piece(tables, datapath)?;
    let keyed = tables.tunnel(tunnel).is_some_and(|tunnel| tunnel.port_keys);
    let mut notes = Vec::new();
    let entry = match (&piece.kind, keyed) {
        (_, true) => {
            let missing = || {
                TraceError::new(format!(
                    "chassis {chassis} sends port keys with each packet"
                ))
                .help("say --in-key and --out-key")
            };
            let in_key = key(piece, in_port.ok_or_else(missing)?)?;
            let out_key = key(piece, out_port.ok_or_else(missing)?)?;
            Entry::Keyed {
                tunnel,
                datapath: piece.id,
                in_key,
                out_key,
            }
        }
        (PieceKind::Switch(_), false) => {
            if in_port.or(out_port).is_some() {
                notes.push(format!(
                    "chassis {chassis} sends no port keys: they are left out"
                ));
            }
            Entry::Keyless {
                tunnel,
                switch: piece.id,
            }
        }
        (PieceKind::Router(_), false) => {
            return Err(TraceError::new(format!(
                "chassis {chassis} sends no port keys, so it sends nothing to a router"
            )));
        }
    };
    let (source, target) = ends(view, piece, &entry, spec);
    let frame = packet::build(spec, source, |_, _| target.mac, &mut notes)?;
    Ok((
        frame.clone(),
        result(enter::from_slow_path(entry, &frame)),
        notes,
    ))
}

/// The addresses behind the ports that the keys name.
fn ends(view: View<'_>, piece: &Piece, entry: &Entry, spec: &PacketSpec) -> (Ends, Ends) {
    let Entry::Keyed {
        in_key, out_key, ..
    } = *entry
    else {
        return Default::default();
    };
    match &piece.kind {
        PieceKind::Switch(switch) => {
            let of = |key: u16| {
                let index = switch.by_key.get(&key).copied();
                let port =
                    index.and_then(|index| Some((index, switch.ports.get(usize::from(index))?)));
                port.map_or_else(Ends::default, |(index, port)| {
                    packet::of_port(view, switch, index, port, spec.dst)
                })
            };
            (of(in_key), of(out_key))
        }
        PieceKind::Router(router) => {
            let of = |key: u16| {
                let port = router
                    .by_key
                    .get(&key)
                    .and_then(|key| router.ports.get(usize::from(key.port)));
                Ends {
                    mac: port.map(|port| port.mac),
                    ip: None,
                }
            };
            // The chassis that redirects writes the gateway port's MAC into both.
            (
                Ends {
                    mac: of(out_key).mac,
                    ip: None,
                },
                of(out_key),
            )
        }
    }
}

fn switch_port(tables: &Tables, name: &str) -> Result<PortId, TraceError> {
    let switches = tables
        .datapaths
        .iter()
        .flatten()
        .filter_map(|piece| tables.switch(piece.id));
    let mut names = Vec::new();
    for (_, switch) in switches {
        for port in &switch.ports {
            if port.name == name {
                return Ok(port.id);
            }
            names.push(port.name.as_str());
        }
    }
    let error = TraceError::new(format!("no switch of this node has a port `{name}`"));
    Err(error.help(match nearest(name, &names) {
        Some(near) => format!("there is a port `{near}`"),
        None => "`sluicectl show ports` lists them".to_owned(),
    }))
}

fn nearest<'n>(name: &str, names: &[&'n str]) -> Option<&'n str> {
    let close = names
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), *other));
    close
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, near)| near)
}

fn tunnel(tables: &Tables, chassis: &str) -> Result<TunnelId, TraceError> {
    let tunnels = tables
        .tunnels
        .iter()
        .zip(0..)
        .filter_map(|(tunnel, id)| Some((tunnel.as_ref()?, TunnelId(id))));
    let mut names = Vec::new();
    for (tunnel, id) in tunnels {
        if tunnel.chassis == chassis {
            return Ok(id);
        }
        names.push(tunnel.chassis.as_str());
    }
    Err(
        TraceError::new(format!("no tunnel leads to a chassis `{chassis}`")).help(format!(
            "there are tunnels to {}",
            if names.is_empty() {
                "nobody".to_owned()
            } else {
                names.join(", ")
            }
        )),
    )
}

/// A datapath by name or tunnel key.
fn piece<'t>(tables: &'t Tables, text: &str) -> Result<&'t Piece, TraceError> {
    let id: Option<DatapathId> = match text.parse::<u32>() {
        Ok(key) => tables
            .by_vni
            .iter()
            .find(|(vni, _)| vni.get() == key)
            .map(|(_, id)| *id),
        Err(_) => tables
            .datapaths
            .iter()
            .flatten()
            .find(|piece| piece.name == text)
            .map(|piece| piece.id),
    };
    id.and_then(|id| tables.piece(id)).ok_or_else(|| {
        TraceError::new(format!("this node has no switch or router `{text}`"))
            .help("`sluicectl show switches` and `show routers` list names and keys")
    })
}

/// A port key by name or number.
fn key(piece: &Piece, text: &str) -> Result<u16, TraceError> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    let found = match &piece.kind {
        PieceKind::Switch(switch) => switch
            .ports
            .iter()
            .find(|port| port.name == text)
            .map(|port| port.key),
        PieceKind::Router(router) => {
            let redirect = |port: &&sluice_fastpath::tables::RouterPort| {
                text.strip_prefix("cr-")
                    .is_some_and(|name| port.name == name)
            };
            let redirected = router
                .ports
                .iter()
                .find(redirect)
                .and_then(|port| port.gateway.as_ref());
            let own = router
                .ports
                .iter()
                .find(|port| port.name == text)
                .map(|port| port.key);
            redirected.map(|gateway| gateway.redirect_key).or(own)
        }
    };
    found.ok_or_else(|| {
        TraceError::new(format!("`{}` has no port `{text}`", piece.name))
            .help("`sluicectl show ports` lists names and keys")
    })
}
