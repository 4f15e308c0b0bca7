//! Hosts behind side A, the outside behind side B, a gateway router that translates between them; behind more routers,
//! routes and ACLs, if wanted.
//!
//! ```text
//!  side A ── inside (VIF, ACLs) ── r0 ── r1 ... the last one translates ── outside (localnet) ── side B
//! ```

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sluice_net::Mac;

use super::names::{ROUTER_MACS, Use, node, station};
use super::rules::Rules;
use super::service;
use super::{Expected, Free, KernelRules, Network, Openflow, Packet, Place, Side};

/// Hosts inside.
const HOSTS: u32 = 4_096;

/// The address that everything is translated to.
pub(super) const EXTERNAL: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 100);
/// The next hop outside.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);

/// The port outside that everything is sent to.
pub(super) const PORT: u16 = 9;

/// What the last router translates.
const RULE: &str = "[[router.last.nat]]\ntype = \"snat\"\nlogical_ip = \"192.168.0.0/16\"\nexternal_ip = \"10.20.0.100\"\n";

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

/// What lies between inside and outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    /// Routers.
    routers: u8,
    /// Routes of the last one that nobody takes.
    routes: u32,
    /// ACLs of the switch inside.
    rules: Rules,
}

impl Between {
    pub(super) const NOTHING: Between = Between {
        routers: 1,
        routes: 0,
        rules: Rules::NONE,
    };
    const MUCH: Between = Between {
        routers: 5,
        routes: 1_000,
        rules: Rules::SOME,
    };
    const MANY_RULES: Between = Between {
        rules: Rules::MANY,
        ..Between::NOTHING
    };
}

fn outbound(flow: u32, checksum: bool) -> Packet {
    Packet {
        eth_src: station(0, 0),
        eth_dst: ROUTER_MACS[0],
        src: Ipv4Addr::from_bits(0xc0a8_0000 + flow % HOSTS).into(),
        dst: outside_host(flow).into(),
        ports: (1_024 + (flow / HOSTS) as u16, PORT),
        ttl: 64,
        checksum,
    }
}

/// An outbound packet as it leaves by side B.
fn translated(before: &Packet, routers: u8) -> Expected {
    let after = Packet {
        eth_src: ROUTER_MACS[1],
        eth_dst: outside_mac(),
        src: EXTERNAL.into(),
        ttl: before.ttl - routers,
        ..*before
    };
    Expected {
        free: Free::SourcePort,
        ..Expected::of(after, before)
    }
}

/// The answer to an outbound packet as it leaves by side A.
fn answer(before: &Packet, routers: u8) -> Expected {
    let after = Packet {
        eth_src: ROUTER_MACS[0],
        eth_dst: station(0, 0),
        src: before.dst,
        dst: before.src,
        ports: (before.ports.1, before.ports.0),
        ttl: before.ttl - 2 * routers,
        checksum: before.checksum,
    };
    Expected::of(after, before)
}

pub(super) fn snat(place: &Place) -> Network {
    Network {
        openflow: Openflow::Rules(openflow()),
        ..both_ways(place, Between::NOTHING)
    }
}

/// The same through many rules, routes and routers.
pub(super) fn snat_rules(place: &Place) -> Network {
    both_ways(place, Between::MUCH)
}

fn both_ways(place: &Place, between: Between) -> Network {
    Network {
        expected: Box::new(move |side, flow| {
            let before = outbound(flow, true);
            Some(if side == 1 {
                translated(&before, between.routers)
            } else {
                answer(&before, between.routers)
            })
        }),
        sides: [frames(true), Side::Turned],
        ..network(place, between, "", RULE)
    }
}

/// Source NAT of what side A sends, while side B asks for a floating IP, every packet another client or from another port.
pub fn attacked(place: &Place) -> Network {
    let rules = format!("{RULE}{}", service::floating_rule());
    Network {
        sides: [frames(true), service::clients()],
        expected: Box::new(|side, flow| {
            Some(match side {
                1 => translated(&outbound(flow, true), 1),
                _ => service::asked_by(flow),
            })
        }),
        lap_at: Some(SOURCE_PORT_AT),
        ..network(place, Between::NOTHING, "", &rules)
    }
}

pub(super) fn new_connections(place: &Place) -> Network {
    Network {
        openflow: Openflow::Rules(openflow()),
        ..opening(place, Between::NOTHING)
    }
}

/// The same through many rules.
pub(super) fn new_connections_rules(place: &Place) -> Network {
    opening(place, Between::MANY_RULES)
}

fn opening(place: &Place, between: Between) -> Network {
    Network {
        // The field that grows is in the checksum's range, so these have none.
        expected: Box::new(|side, flow| (side == 1).then(|| translated(&outbound(flow, false), 1))),
        sides: [frames(false), Side::Silent],
        lap_at: Some(SOURCE_PORT_AT),
        ..network(place, between, "", RULE)
    }
}

fn frames(checksum: bool) -> Side {
    Side::Frames {
        headers: outbound(0, checksum).headers(),
        tunnel: 0,
        frame: Box::new(move |flow, length| outbound(flow, checksum).frame(flow, length)),
    }
}

/// The network; the last router, `last`, has these keys of its own and these tables beside its ports and routes.
pub(super) fn network(place: &Place, between: Between, keys: &str, tables: &str) -> Network {
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Vif, Use::Localnet])),
            ("topology.toml", topology(between, keys, tables)),
        ],
        sides: [Side::Silent, Side::Silent],
        expected: Box::new(|_, _| None),
        lap_at: None,
        openflow: Openflow::Not("its rules are written for one router and no ACL"),
    }
}

fn topology(between: Between, keys: &str, tables: &str) -> String {
    let [inner, outer] = ROUTER_MACS;
    let mut text =
        "[chassis.node]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    let last = between.routers - 1;
    let name = |number: u8| match number == last {
        true => "last".to_owned(),
        false => format!("r{number}"),
    };
    let _ = write!(
        text,
        "[switch.inside.port.a]\naddresses = [\"{} 10.255.0.2\"]\nchassis = \"node\"\n\
         [switch.inside.port.inside-r]\ntype = \"router\"\nrouter_port = \"inner\"\n\
         [switch.outside.port.outside-b]\ntype = \"localnet\"\nnetwork = \"b\"\n\
         [switch.outside.port.outside-r]\ntype = \"router\"\nrouter_port = \"outer\"\n",
        station(0, 0),
    );
    let link = |between: u8, end: u8| Ipv4Addr::new(10, 254, between, end);
    for number in 0..=last {
        let own = name(number);
        let keys = if number == last { keys } else { "" };
        let _ = write!(text, "[router.{own}]\nchassis = \"node\"\n{keys}");
        let back = match number.checked_sub(1) {
            None => {
                let _ = write!(
                    text,
                    "[router.{own}.port.inner]\nmac = \"{inner}\"\nnetworks = [\"10.255.0.1/24\"]\n"
                );
                Ipv4Addr::new(10, 255, 0, 2)
            }
            Some(before) => {
                let _ = write!(
                    text,
                    "[router.{own}.port.in{number}]\nnetworks = [\"{}/30\"]\npeer = \"out{before}\"\n",
                    link(before, 2)
                );
                link(before, 1)
            }
        };
        let forth = if number == last {
            let _ = write!(
                text,
                "[router.{own}.port.outer]\nmac = \"{outer}\"\nnetworks = [\"{EXTERNAL}/24\"]\n"
            );
            OUTSIDE
        } else {
            let _ = write!(
                text,
                "[router.{own}.port.out{number}]\nnetworks = [\"{}/30\"]\npeer = \"in{}\"\n",
                link(number, 1),
                number + 1
            );
            link(number, 2)
        };
        let _ = write!(
            text,
            "[[router.{own}.route]]\nip_prefix = \"192.168.0.0/16\"\nnexthop = \"{back}\"\n\
             [[router.{own}.route]]\nip_prefix = \"0.0.0.0/0\"\nnexthop = \"{forth}\"\n"
        );
    }
    for route in 0..between.routes {
        // Outside, but nowhere near the hosts there.
        let prefix = Ipv4Addr::from_bits(0x6400_0000 + (route << 8));
        let _ = write!(
            text,
            "[[router.last.route]]\nip_prefix = \"{prefix}/24\"\nnexthop = \"{OUTSIDE}\"\n"
        );
    }
    let _ = write!(
        text,
        "[[router.last.neighbor]]\nport = \"outer\"\nip = \"{OUTSIDE}\"\nmac = \"{}\"\n",
        outside_mac()
    );
    text += tables;
    text + &between.rules.text("inside", PORT)
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

fn openflow() -> Vec<String> {
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
