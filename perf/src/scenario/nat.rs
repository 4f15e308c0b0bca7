//! Hosts behind side A, the outside behind side B, a gateway router that translates between them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sluice_net::Mac;

use super::names::{ROUTER_MACS, Use, node, station};
use super::{Expected, KernelRules, Network, Openflow, Packet, Place, Side};

/// Hosts inside.
const HOSTS: u32 = 4_096;

/// The address that everything is translated to.
pub(super) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 100);
/// The next hop outside.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);

/// Offset of the UDP source port.
const SOURCE_PORT_AT: u32 = 34;

/// The MAC of the next hop outside.
pub(super) fn outside_mac() -> Mac {
    station(1, 0)
}

/// The destination of a flow: a host outside.
pub(super) fn outside_host(flow: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0808_0000 + flow.wrapping_mul(0x9e37_79b1) % 0x00ff_ffff)
}

fn outbound(flow: u32, checksum: bool) -> Packet {
    Packet {
        eth_src: station(0, 0),
        eth_dst: ROUTER_MACS[0],
        src: Ipv4Addr::from_bits(0xc0a8_0000 + flow % HOSTS).into(),
        dst: outside_host(flow).into(),
        ports: (1_024 + (flow / HOSTS) as u16, 9),
        ttl: 64,
        checksum,
    }
}

/// An outbound packet as it leaves by side B.
fn translated(before: &Packet) -> Expected {
    let after = Packet {
        eth_src: ROUTER_MACS[1],
        eth_dst: outside_mac(),
        src: EXTERNAL.into(),
        ttl: before.ttl - 1,
        ..*before
    };
    Expected {
        any_source_port: true,
        ..Expected::of(after, before)
    }
}

/// The answer to an outbound packet as it leaves by side A.
fn answer(before: &Packet) -> Expected {
    let after = Packet {
        eth_src: ROUTER_MACS[0],
        eth_dst: station(0, 0),
        src: before.dst,
        dst: before.src,
        ports: (before.ports.1, before.ports.0),
        ttl: before.ttl - 2,
        checksum: before.checksum,
    };
    Expected::of(after, before)
}

pub(super) fn snat(place: &Place) -> Network {
    Network {
        expected: Box::new(|side, flow| {
            let before = outbound(flow, true);
            Some(if side == 1 {
                translated(&before)
            } else {
                answer(&before)
            })
        }),
        sides: [frames(true), Side::Turned],
        ..network(place)
    }
}

pub(super) fn new_connections(place: &Place) -> Network {
    Network {
        // The field that grows is in the checksum's range, so these have none.
        expected: Box::new(|side, flow| (side == 1).then(|| translated(&outbound(flow, false)))),
        sides: [frames(false), Side::Silent],
        lap_at: Some(SOURCE_PORT_AT),
        ..network(place)
    }
}

fn frames(checksum: bool) -> Side {
    Side::Frames {
        headers: outbound(0, checksum).headers(),
        tunnel: 0,
        frame: Box::new(move |flow, length| outbound(flow, checksum).frame(flow, length)),
    }
}

fn network(place: &Place) -> Network {
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Vif, Use::Localnet])),
            ("topology.toml", topology()),
        ],
        sides: [Side::Silent, Side::Silent],
        expected: Box::new(|_, _| None),
        lap_at: None,
        openflow: Openflow::Rules(rules()),
    }
}

fn topology() -> String {
    let [inner, outer] = ROUTER_MACS;
    let mut text =
        "[chassis.node]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    let _ = write!(
        text,
        "[switch.inside.port.a]\naddresses = [\"{} 10.255.0.2\"]\nchassis = \"node\"\n\
         [switch.inside.port.inside-r]\ntype = \"router\"\nrouter_port = \"r-inside\"\n\
         [switch.outside.port.outside-b]\ntype = \"localnet\"\nnetwork = \"b\"\n\
         [switch.outside.port.outside-r]\ntype = \"router\"\nrouter_port = \"r-outside\"\n\
         [router.r]\nchassis = \"node\"\n\
         [router.r.port.r-inside]\nmac = \"{inner}\"\nnetworks = [\"10.255.0.1/24\"]\n\
         [router.r.port.r-outside]\nmac = \"{outer}\"\nnetworks = [\"{EXTERNAL}/24\"]\n\
         [[router.r.route]]\nip_prefix = \"192.168.0.0/16\"\nnexthop = \"10.255.0.2\"\n\
         [[router.r.route]]\nip_prefix = \"0.0.0.0/0\"\nnexthop = \"{OUTSIDE}\"\n\
         [[router.r.neighbor]]\nport = \"r-outside\"\nip = \"{OUTSIDE}\"\nmac = \"{}\"\n\
         [[router.r.nat]]\ntype = \"snat\"\nlogical_ip = \"192.168.0.0/16\"\nexternal_ip = \"{EXTERNAL}\"\n",
        station(0, 0),
        outside_mac(),
    );
    text
}

pub(super) fn kernel_rules() -> KernelRules {
    KernelRules {
        macs: ROUTER_MACS,
        ip: vec![
            "address add 10.255.0.1/24 dev a1".into(),
            format!("address add {EXTERNAL}/24 dev b0"),
            format!("neighbor add {OUTSIDE} lladdr {} dev b0", outside_mac()),
            format!("route add default via {OUTSIDE} dev b0"),
        ],
        nft: Some(format!(
            "add table ip n; \
             add chain ip n out {{ type nat hook postrouting priority 100; }}; \
             add rule ip n out oifname b0 snat to {EXTERNAL}"
        )),
    }
}

fn rules() -> Vec<String> {
    let [inner, outer] = ROUTER_MACS;
    let out = format!(
        "dec_ttl,mod_dl_src:{outer},mod_dl_dst:{},output:2",
        outside_mac()
    );
    vec![
        format!("table=0,in_port=1,udp,dl_dst={inner},actions=ct(table=1,zone=1,nat)"),
        format!(
            "table=0,in_port=2,udp,dl_dst={outer},nw_dst={EXTERNAL},actions=ct(table=1,zone=1,nat)"
        ),
        format!(
            "table=1,in_port=1,ct_state=+trk+new,udp,actions=ct(commit,zone=1,nat(src={EXTERNAL})),{out}"
        ),
        format!("table=1,in_port=1,ct_state=+trk+est,udp,actions={out}"),
        format!(
            "table=1,in_port=2,ct_state=+trk+est,udp,actions=dec_ttl,mod_dl_src:{inner},mod_dl_dst:{},output:1",
            station(0, 0)
        ),
    ]
}
