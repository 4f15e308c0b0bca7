//! A gateway node: tenants behind Geneve on side A, the outside on side B.
//!
//! ```text
//!  VMs on 100 chassis ── ls1 ── router1 ── join ── g0 ─ g1 ... ── outside (localnet)
//!                               distributed        gateway routers, the last one translates
//! ```

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sluice_net::Mac;
use sluice_net::wire::geneve::OvnOption;

use super::names::{Use, chassis, chassis_ip, node};
use super::nat::{EXTERNAL, OUTSIDE, outside_host, outside_mac};
use super::tunnel::{
    CHASSIS, VMS, chassis_of, outer_from, outer_to, ports, vm_ip, vm_key, vm_mac, vm_of, vms,
};
use super::{Expected, Free, Keys, Network, Openflow, Outer, Packet, Place, Side};

/// Keys of the tenants' switch and of the one between the routers.
const LS1: u32 = 1;
const JOIN: u32 = 2;
/// Keys of router1's port in both, and of the first gateway router's in the latter.
const ROUTER1_KEY: u16 = 1;
const GATEWAY_KEY: u16 = 2;

const ROUTER1_LS1: Mac = Mac([2, 0, 0, 0, 0xf2, 1]);
const ROUTER1_JOIN: Mac = Mac([2, 0, 0, 0, 0xf2, 2]);
const GATEWAY_JOIN: Mac = Mac([2, 0, 0, 0, 0xf2, 3]);
const GATEWAY_OUTSIDE: Mac = Mac([2, 0, 0, 0, 0xf2, 4]);

/// router1 on the VM's chassis has taken one step.
const ARRIVING_TTL: u8 = 63;

pub(super) fn gateway(place: &Place) -> Network {
    network(place, 1)
}

pub(super) fn hops(place: &Place) -> Network {
    network(place, 4)
}

fn network(place: &Place, gateways: u8) -> Network {
    let tunnel = outer(0).headers();
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Underlay, Use::Localnet])),
            ("topology.toml", topology(gateways)),
        ],
        sides: [
            Side::Frames {
                headers: arriving(0).headers() + tunnel,
                tunnel,
                frame: Box::new(|flow, length| {
                    arriving(flow).tunnelled(&outer(flow), flow, length)
                }),
            },
            Side::Turned,
        ],
        expected: Box::new(move |side, flow| Some(expected(side, flow, gateways))),
        lap_at: None,
        openflow: Openflow::Tunnels {
            rules: rules(gateways),
            underlay: 0,
            kind: "geneve",
            peers: CHASSIS,
        },
    }
}

/// What router1 on a VM's chassis sends to the gateway.
fn arriving(flow: u32) -> Packet {
    Packet {
        eth_src: ROUTER1_JOIN,
        eth_dst: GATEWAY_JOIN,
        src: vm_ip(1, vm_of(flow)).into(),
        dst: outside_host(flow).into(),
        ports: ports(flow),
        ttl: ARRIVING_TTL,
        checksum: true,
    }
}

fn outer(flow: u32) -> Outer {
    let keys = OvnOption {
        in_key: ROUTER1_KEY,
        out_key: GATEWAY_KEY,
    };
    outer_from(0, vm_of(flow), JOIN, Keys::Geneve(keys))
}

fn expected(side: usize, flow: u32, gateways: u8) -> Expected {
    let (before, vm) = (arriving(flow), vm_of(flow));
    let entered = before.headers() + outer(flow).headers();
    if side == 1 {
        let packet = Packet {
            eth_src: GATEWAY_OUTSIDE,
            eth_dst: outside_mac(),
            src: EXTERNAL.into(),
            ttl: ARRIVING_TTL - gateways,
            ..before
        };
        return Expected {
            packet,
            outer: None,
            free: Free::SourcePort,
            entered,
            beside: 0,
        };
    }
    let packet = Packet {
        eth_src: ROUTER1_LS1,
        eth_dst: vm_mac(vm),
        src: before.dst,
        dst: before.src,
        ports: (before.ports.1, before.ports.0),
        ttl: ARRIVING_TTL - 2 * gateways - 1,
        checksum: true,
    };
    let keys = OvnOption {
        in_key: ROUTER1_KEY,
        out_key: vm_key(vm),
    };
    let outer = Some(outer_to(0, vm, LS1, Keys::Geneve(keys)));
    Expected {
        packet,
        outer,
        free: Free::Nothing,
        entered,
        beside: 0,
    }
}

fn topology(gateways: u8) -> String {
    let last = gateways - 1;
    let mut text = chassis("geneve", CHASSIS);
    let _ = write!(
        text,
        "[switch.ls1]\nkey = {LS1}\n\
         [switch.ls1.port.ls1-router1]\nkey = {ROUTER1_KEY}\ntype = \"router\"\nrouter_port = \"router1-ls1\"\n\
         [switch.join]\nkey = {JOIN}\n\
         [switch.join.port.join-router1]\nkey = {ROUTER1_KEY}\ntype = \"router\"\nrouter_port = \"router1-join\"\n\
         [switch.join.port.join-g0]\nkey = {GATEWAY_KEY}\ntype = \"router\"\nrouter_port = \"g0-in\"\n\
         [switch.outside.port.outside-b]\ntype = \"localnet\"\nnetwork = \"b\"\n\
         [switch.outside.port.outside-g]\ntype = \"router\"\nrouter_port = \"g{last}-out\"\n\
         [router.router1.port.router1-ls1]\nmac = \"{ROUTER1_LS1}\"\nnetworks = [\"10.1.0.1/16\"]\n\
         [router.router1.port.router1-join]\nmac = \"{ROUTER1_JOIN}\"\nnetworks = [\"10.255.0.2/24\"]\n\
         [[router.router1.route]]\nip_prefix = \"0.0.0.0/0\"\nnexthop = \"10.255.0.1\"\n"
    );
    for number in 0..gateways {
        text += &gateway_router(number, last);
    }
    let _ = write!(
        text,
        "[[router.g{last}.neighbor]]\nport = \"g{last}-out\"\nip = \"{OUTSIDE}\"\nmac = \"{}\"\n\
         [[router.g{last}.nat]]\ntype = \"snat\"\nlogical_ip = \"10.1.0.0/16\"\nexternal_ip = \"{EXTERNAL}\"\n",
        outside_mac()
    );
    text + &vms("ls1", 1)
}

/// One router of the chain: in from the join switch or from the one before, out to the one behind or outside.
fn gateway_router(number: u8, last: u8) -> String {
    let link = |between: u8, end: u8| Ipv4Addr::new(10, 254, between, end);
    let mut text = format!("[router.g{number}]\nchassis = \"node\"\n");
    let (back, forth);
    if number == 0 {
        back = Ipv4Addr::new(10, 255, 0, 2);
        let _ = write!(
            text,
            "[router.g0.port.g0-in]\nmac = \"{GATEWAY_JOIN}\"\nnetworks = [\"10.255.0.1/24\"]\n"
        );
    } else {
        back = link(number - 1, 1);
        let before = number - 1;
        let _ = write!(
            text,
            "[router.g{number}.port.g{number}-in]\nnetworks = [\"{}/30\"]\npeer = \"g{before}-out\"\n",
            link(before, 2)
        );
    }
    if number == last {
        forth = OUTSIDE;
        let _ = write!(
            text,
            "[router.g{number}.port.g{number}-out]\nmac = \"{GATEWAY_OUTSIDE}\"\nnetworks = [\"{EXTERNAL}/24\"]\n"
        );
    } else {
        forth = link(number, 2);
        let behind = number + 1;
        let _ = write!(
            text,
            "[router.g{number}.port.g{number}-out]\nnetworks = [\"{}/30\"]\npeer = \"g{behind}-in\"\n",
            link(number, 1)
        );
    }
    let _ = write!(
        text,
        "[[router.g{number}.route]]\nip_prefix = \"10.1.0.0/16\"\nnexthop = \"{back}\"\n\
         [[router.g{number}.route]]\nip_prefix = \"0.0.0.0/0\"\nnexthop = \"{forth}\"\n"
    );
    text
}

fn rules(gateways: u8) -> Vec<String> {
    let steps = |count: u8| "dec_ttl,".repeat(usize::from(count));
    let out = format!(
        "{}mod_dl_src:{GATEWAY_OUTSIDE},mod_dl_dst:{},output:2",
        steps(gateways),
        outside_mac()
    );
    let mut rules = vec![
        format!(
            "table=0,in_port=3,tun_id={JOIN},udp,dl_dst={GATEWAY_JOIN},actions=ct(table=1,zone=1,nat)"
        ),
        format!(
            "table=0,in_port=2,udp,dl_dst={GATEWAY_OUTSIDE},nw_dst={EXTERNAL},actions=ct(table=1,zone=1,nat)"
        ),
        format!(
            "table=1,in_port=3,ct_state=+trk+new,udp,actions=ct(commit,zone=1,nat(src={EXTERNAL})),{out}"
        ),
        format!("table=1,in_port=3,ct_state=+trk+est,udp,actions={out}"),
    ];
    for vm in 0..VMS {
        rules.push(format!(
            "table=1,in_port=2,ct_state=+trk+est,udp,nw_dst={},actions={}mod_dl_src:{ROUTER1_LS1},mod_dl_dst:{},\
             set_field:{LS1}->tun_id,set_field:{:#x}->tun_metadata0,set_field:{}->tun_dst,output:3",
            vm_ip(1, vm),
            steps(gateways + 1),
            vm_mac(vm),
            u32::from(ROUTER1_KEY) << 16 | u32::from(vm_key(vm)),
            chassis_ip(chassis_of(vm)),
        ));
    }
    rules
}
