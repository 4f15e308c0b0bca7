//! The traced packet: what was left out is what the machine behind the port would send.

use std::net::IpAddr;

use sluice_fastpath::pipeline::View;
use sluice_fastpath::tables::{Place, Switch, SwitchPort};
use sluice_net::builder::Echo;
use sluice_net::wire::{ip_proto, tcp};
use sluice_net::{Builder, Mac};

use super::TraceError;
use super::request::{FragmentSpec, PacketSpec};
use crate::show::query::protocol;

/// Bytes of IP that ping sends.
const PING: u16 = 84;

/// Where a later fragment begins: where one does that follows a packet of 1500 bytes.
const LATER: u16 = 1480;

/// A port of the range that systems give to clients.
const CLIENT_PORT: u16 = 49152;

/// The addresses at one end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) mac: Option<Mac>,
    pub(super) ip: Option<IpAddr>,
}

/// Who is behind a switch port, in the family of `like`: declared, or learned.
pub(super) fn of_port(
    view: View<'_>,
    switch: &Switch,
    index: u16,
    port: &SwitchPort,
    like: Option<IpAddr>,
) -> Ends {
    let family = |ip: &IpAddr| like.is_none_or(|like| like.is_ipv4() == ip.is_ipv4());
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let owned = switch
        .known
        .iter()
        .filter(|(ip, known)| known.port == index && family(ip));
    let known = owned.min_by_key(|(ip, _)| (link_local(ip), ip.is_ipv6(), **ip));
    if let Some((ip, known)) = known {
        return Ends {
            mac: Some(known.mac),
            ip: Some(*ip),
        };
    }
    let declared = switch
        .by_mac
        .iter()
        .filter(|(_, at)| **at == index)
        .map(|(mac, _)| *mac)
        .min();
    let learned = || {
        view.learned
            .fdb
            .iter()
            .filter(|entry| entry.port == port.id)
            .map(|entry| entry.mac)
            .min()
    };
    Ends {
        mac: declared.or_else(learned),
        ip: None,
    }
}

/// The MAC that the machine behind a port sends packets for `dst` to: that of `dst` on its own switch, else that
/// of its router.
pub(super) fn gateway_mac(
    view: View<'_>,
    switch: &Switch,
    index: u16,
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
) -> Option<Mac> {
    let dst = dst?;
    if let Some(known) = switch.known.get(&dst).filter(|known| known.port != index) {
        return Some(known.mac);
    }
    let mut fallback = None;
    for (at, port) in switch
        .ports
        .iter()
        .enumerate()
        .filter(|(_, port)| port.router)
    {
        let (Place::Router(id) | Place::Gateway { port: id, .. }) = port.place else {
            // A gateway router on another chassis: only its MAC is known here.
            let declared = switch
                .by_mac
                .iter()
                .find(|(_, owner)| usize::from(**owner) == at);
            fallback = fallback.or(declared.map(|(mac, _)| *mac));
            continue;
        };
        let Some((_, _, router_port)) = view.tables.router_port(id) else {
            continue;
        };
        let holds = |ip: &IpAddr| router_port.networks.iter().any(|net| net.contains(ip));
        if holds(&dst) {
            return view.learned.neighbors.resolve(id, dst).map(|(_, mac)| mac);
        }
        if src.as_ref().is_some_and(holds) {
            return Some(router_port.mac);
        }
        fallback = fallback.or(Some(router_port.mac));
    }
    fallback
}

/// The frame of a request.
pub(super) fn build(
    spec: &PacketSpec,
    source: Ends,
    next: impl Fn(Option<IpAddr>, Option<IpAddr>) -> Option<Mac>,
    notes: &mut Vec<String>,
) -> Result<Vec<u8>, TraceError> {
    let missing = |what: &str, option: &str| {
        TraceError::new(format!("the topology does not say {what}"))
            .help(format!("say it with {option}"))
    };
    let eth_src = spec
        .eth_src
        .or(source.mac)
        .ok_or_else(|| missing("the source MAC", "--eth-src"))?;
    let dst = spec.dst.ok_or_else(|| {
        TraceError::new("the packet has no destination").help("say it with --dst")
    })?;
    let src = spec
        .src
        .or(source.ip)
        .ok_or_else(|| missing(&family("source address", dst), "--src"))?;
    if src.is_ipv4() != dst.is_ipv4() {
        return Err(TraceError::new(format!(
            "{src} and {dst} are of different families"
        )));
    }
    let proto = spec.proto.as_deref().unwrap_or("icmp");
    if proto == "arp" {
        return arp(spec, eth_src, src, dst);
    }
    let eth_dst = match spec.eth_dst {
        Some(mac) => mac,
        None => {
            let mac = next(Some(src), Some(dst))
                .ok_or_else(|| missing("the destination MAC", "--eth-dst"))?;
            notes.push(format!(
                "destination MAC {mac}: what the sender would find by ARP or ND"
            ));
            mac
        }
    };
    let builder = Builder::ethernet(eth_src, eth_dst)
        .ip(src, dst)
        .ttl(spec.ttl.unwrap_or(64));
    let builder = tag(builder, spec.vlan).dont_fragment(spec.dont_fragment);
    let builder = upper(builder, spec, proto)?;
    let frame = builder.build();
    let header = frame.len() - if spec.vlan.is_some() { 18 } else { 14 };
    let ping = matches!(protocol(proto), Some(ip_proto::ICMP | ip_proto::ICMPV6));
    let wanted = usize::from(spec.len.unwrap_or(if ping { PING } else { 0 }));
    if spec.len.is_some() && wanted < header {
        return Err(
            TraceError::new(format!("its headers alone are {header} bytes"))
                .help("leave --len out, or say more"),
        );
    }
    let builder = builder.payload(&vec![0; wanted.saturating_sub(header)]);
    let builder = match spec.fragment {
        None => builder,
        Some(FragmentSpec::First) => builder.fragment(0, true),
        Some(FragmentSpec::Later) => builder.fragment(LATER, false),
    };
    Ok(builder.build())
}

fn family(what: &str, like: IpAddr) -> String {
    format!("an {} {what}", if like.is_ipv4() { "IPv4" } else { "IPv6" })
}

fn tag(builder: Builder, vlan: Option<u16>) -> Builder {
    vlan.map_or(builder.clone(), |vlan| builder.vlan(vlan))
}

fn arp(spec: &PacketSpec, eth_src: Mac, src: IpAddr, dst: IpAddr) -> Result<Vec<u8>, TraceError> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (src, dst) else {
        return Err(TraceError::new("ARP is for IPv4"));
    };
    let eth_dst = spec.eth_dst.unwrap_or(Mac::BROADCAST);
    Ok(tag(Builder::ethernet(eth_src, eth_dst), spec.vlan)
        .arp_request(src, dst)
        .build())
}

fn upper(builder: Builder, spec: &PacketSpec, proto: &str) -> Result<Builder, TraceError> {
    let (sport, dport) = (spec.sport.unwrap_or(CLIENT_PORT), spec.dport);
    match protocol(proto) {
        // Of the family of the addresses, whichever was said.
        Some(ip_proto::ICMP | ip_proto::ICMPV6) => {
            Ok(builder.icmp_echo(Echo::Request, spec.sport.unwrap_or(1), 1))
        }
        Some(ip_proto::TCP) => Ok(builder.tcp(
            sport,
            dport.unwrap_or(80),
            tcp_flags(spec.flags.as_deref().unwrap_or("syn"))?,
        )),
        Some(ip_proto::UDP) => Ok(builder.udp(sport, dport.unwrap_or(53))),
        Some(number) => Ok(builder.protocol(number)),
        None => Err(TraceError::new(format!("`{proto}` is no protocol"))
            .help("icmp, tcp, udp, arp, or a number")),
    }
}

fn tcp_flags(text: &str) -> Result<u8, TraceError> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .try_fold(0, |flags, name| {
            let flag = match name.to_ascii_lowercase().as_str() {
                "fin" => tcp::FIN,
                "syn" => tcp::SYN,
                "rst" => tcp::RST,
                "psh" => tcp::PSH,
                "ack" => tcp::ACK,
                "urg" => tcp::URG,
                _ => {
                    return Err(TraceError::new(format!("`{name}` is no TCP flag"))
                        .help("fin, syn, rst, psh, ack, urg"));
                }
            };
            Ok(flags | flag)
        })
}
