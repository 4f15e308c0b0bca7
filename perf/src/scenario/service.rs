//! Servers behind side A that clients outside, behind side B, reach by other addresses: floating IPs, a load balancer.

use std::net::Ipv4Addr;

use super::names::{ROUTER_MACS, list, station};
use super::nat::{Between, PORT, network, outside_host, outside_mac};
use super::{Expected, Free, Network, Openflow, Packet, Place, Side};

/// Servers with a floating IP.
const SERVERS: u32 = 1_000;
/// Backends of the load balancer.
const BACKENDS: u32 = 100;
/// Clients.
const CLIENTS: u32 = 4_096;

/// The first floating IP.
const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 20, 4, 0);
/// The virtual IP.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 200);
/// The first server, and the port that backends listen on.
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 0);
const BACKEND_PORT: u16 = 8_009;

/// An address so many behind another one.
fn behind(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + number)
}

/// A client's packet to such an address.
fn asked(flow: u32, to: Ipv4Addr) -> Packet {
    Packet {
        eth_src: outside_mac(),
        eth_dst: ROUTER_MACS[1],
        src: outside_host(flow % CLIENTS).into(),
        dst: to.into(),
        ports: (1_024 + (flow / CLIENTS) as u16, PORT),
        ttl: 64,
        checksum: true,
    }
}

/// The same as the server gets it by side A.
fn delivered(before: &Packet, server: Ipv4Addr, port: u16) -> Packet {
    Packet {
        eth_src: ROUTER_MACS[0],
        eth_dst: station(0, 0),
        dst: server.into(),
        ports: (before.ports.0, port),
        ttl: before.ttl - 1,
        ..*before
    }
}

/// Its answer as it leaves by side B.
fn answered(before: &Packet) -> Expected {
    let after = Packet {
        eth_src: before.eth_dst,
        eth_dst: before.eth_src,
        src: before.dst,
        dst: before.src,
        ports: (before.ports.1, before.ports.0),
        ttl: before.ttl - 2,
        checksum: before.checksum,
    };
    Expected::of(after, before)
}

fn frames(to: fn(u32) -> Ipv4Addr) -> [Side; 2] {
    let asks = Side::Frames {
        headers: asked(0, VIP).headers(),
        tunnel: 0,
        frame: Box::new(move |flow, length| asked(flow, to(flow)).frame(flow, length)),
    };
    [Side::Turned, asks]
}

fn floating(flow: u32) -> Ipv4Addr {
    behind(FLOATING, flow % SERVERS)
}

/// The rule of the first floating IP.
pub(super) fn floating_rule() -> String {
    rule(0)
}

/// What a client of the first floating IP sends. Without a checksum, as its port is to change.
fn client(flow: u32) -> Packet {
    Packet {
        src: outside_host(flow).into(),
        checksum: false,
        ..asked(0, FLOATING)
    }
}

/// Clients of the first floating IP, a flow each.
pub(super) fn clients() -> Side {
    Side::Frames {
        headers: client(0).headers(),
        tunnel: 0,
        frame: Box::new(|flow, length| client(flow).frame(flow, length)),
    }
}

/// What the server gets of a client, whatever its port.
pub(super) fn asked_by(flow: u32) -> Expected {
    let before = client(flow);
    Expected {
        free: Free::SourcePort,
        ..Expected::of(delivered(&before, SERVER, PORT), &before)
    }
}

fn rule(number: u32) -> String {
    format!(
        "[[router.last.nat]]\ntype = \"dnat_and_snat\"\nlogical_ip = \"{}\"\nexternal_ip = \"{}\"\n",
        behind(SERVER, number),
        behind(FLOATING, number)
    )
}

pub(super) fn dnat(place: &Place) -> Network {
    let rules: String = (0..SERVERS).map(rule).collect();
    Network {
        sides: frames(floating),
        expected: Box::new(|side, flow| {
            let before = asked(flow, floating(flow));
            let server = behind(SERVER, flow % SERVERS);
            Some(match side {
                0 => Expected::of(delivered(&before, server, PORT), &before),
                _ => answered(&before),
            })
        }),
        openflow: Openflow::Rules(openflow()),
        ..network(place, Between::NOTHING, "", &rules)
    }
}

/// What gives the balancer to the router.
const KEY: &str = "load_balancers = [\"service\"]\n";

pub(super) fn balanced(place: &Place) -> Network {
    let backends = (0..BACKENDS).map(|n| format!("{}:{BACKEND_PORT}", behind(SERVER, n)));
    let balancer = format!(
        "[load_balancer.service]\nprotocol = \"udp\"\nvips = {{ \"{VIP}:{PORT}\" = {} }}\n",
        list(backends)
    );
    Network {
        sides: frames(|_| VIP),
        expected: Box::new(|side, flow| {
            let before = asked(flow, VIP);
            if side == 1 {
                return Some(answered(&before));
            }
            let packet = delivered(&before, SERVER, BACKEND_PORT);
            Some(Expected {
                free: Free::Destination(SERVER, BACKENDS),
                ..Expected::of(packet, &before)
            })
        }),
        openflow: Openflow::Not("its rules are written for one server behind an address"),
        ..network(place, Between::NOTHING, KEY, &balancer)
    }
}

/// Each floating IP by rules of its own.
fn openflow() -> Vec<String> {
    let [inner, outer] = ROUTER_MACS;
    let to_server = format!(
        "dec_ttl,mod_dl_src:{inner},mod_dl_dst:{},output:1",
        station(0, 0)
    );
    let mut rules = vec![
        format!("table=0,in_port=1,udp,dl_dst={inner},actions=ct(table=1,zone=1,nat)"),
        format!("table=0,in_port=2,udp,dl_dst={outer},actions=ct(table=1,zone=1,nat)"),
        format!(
            "table=1,in_port=1,ct_state=+trk+est,udp,actions=dec_ttl,mod_dl_src:{outer},mod_dl_dst:{},output:2",
            outside_mac()
        ),
        format!("table=1,in_port=2,ct_state=+trk+est,udp,actions={to_server}"),
    ];
    for number in 0..SERVERS {
        rules.push(format!(
            "table=1,in_port=2,ct_state=+trk+new,udp,nw_dst={},actions=ct(commit,zone=1,nat(dst={})),{to_server}",
            behind(FLOATING, number),
            behind(SERVER, number)
        ));
    }
    rules
}
