//! A VM here and 1,000 VMs on 100 other chassis.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Mac, Vni};

use super::names::{NODE_IP, SIDE_MACS, Use, chassis, chassis_ip, chassis_mac, node, station};
use super::{Expected, Keys, Network, Openflow, Outer, Packet, Place, Side};

/// VMs elsewhere.
pub(super) const VMS: u32 = 1_000;
/// Chassis that they are on.
pub(super) const CHASSIS: u32 = 100;

/// Keys of the network of the VM here and of that of the others.
const HERE: u32 = 1;
const THERE: u32 = 2;
/// Key of the router's port in each, and of the VM here.
const ROUTER_KEY: u16 = 1;
const VM_KEY: u16 = 2;

/// MACs of the router's ports towards the VM here and the others.
const TO_HERE: Mac = Mac([2, 0, 0, 0, 0xf1, 1]);
const TO_THERE: Mac = Mac([2, 0, 0, 0, 0xf1, 2]);

/// The side that the VM here is on, and its address.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 10);

/// The number that VMs' keys begin with.
pub(super) const FIRST_VM_KEY: u16 = 100;

/// The VM that a flow comes from or goes to.
pub(super) fn vm_of(flow: u32) -> u32 {
    flow % VMS
}

/// The chassis of a VM.
pub(super) fn chassis_of(vm: u32) -> u32 {
    vm % CHASSIS
}

/// A VM elsewhere.
pub(super) fn vm_ip(network: u8, vm: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, network, 1, 0]) + vm)
}

/// Its key.
pub(super) fn vm_key(vm: u32) -> u16 {
    FIRST_VM_KEY + vm as u16
}

/// A datapath key.
pub(super) fn vni(key: u32) -> Vni {
    Vni::new(key).unwrap_or_else(|| unreachable!("{key} has 24 bits"))
}

/// Ports of a flow's transport header.
pub(super) fn ports(flow: u32) -> (u16, u16) {
    (1_024 + (flow / VMS) as u16, 9)
}

/// The outer headers to the chassis of a VM, out of a side.
pub(super) fn outer_to(side: usize, vm: u32, key: u32, keys: Keys) -> Outer {
    let dst = chassis_ip(chassis_of(vm));
    Outer {
        eth_src: SIDE_MACS[side],
        eth_dst: chassis_mac(dst),
        src: NODE_IP,
        dst,
        vni: vni(key),
        keys,
    }
}

/// The outer headers from the chassis of a VM, into a side.
pub(super) fn outer_from(side: usize, vm: u32, key: u32, keys: Keys) -> Outer {
    let back = outer_to(side, vm, key, keys);
    Outer {
        eth_src: back.eth_dst,
        eth_dst: back.eth_src,
        src: back.dst,
        dst: back.src,
        ..back
    }
}

/// The ports of the VMs elsewhere, in a switch.
pub(super) fn vms(switch: &str, network: u8) -> String {
    let mut text = String::new();
    for vm in 0..VMS {
        let _ = write!(
            text,
            "[switch.{switch}.port.vm{vm}]\nkey = {}\naddresses = [\"{} {}\"]\nchassis = \"c{}\"\n",
            vm_key(vm),
            vm_mac(vm),
            vm_ip(network, vm),
            chassis_of(vm)
        );
    }
    text
}

/// A VM's MAC.
pub(super) fn vm_mac(vm: u32) -> Mac {
    station(2, vm)
}

fn geneve_topology(vif: &str) -> String {
    let mut text = chassis("geneve", CHASSIS);
    let _ = write!(
        text,
        "[switch.here]\nkey = {HERE}\n\
         [switch.here.port.{vif}]\nkey = {VM_KEY}\naddresses = [\"{} {LOCAL}\"]\nchassis = \"node\"\n\
         [switch.here.port.here-r]\nkey = {ROUTER_KEY}\ntype = \"router\"\nrouter_port = \"r-here\"\n\
         [switch.there]\nkey = {THERE}\n\
         [switch.there.port.there-r]\nkey = {ROUTER_KEY}\ntype = \"router\"\nrouter_port = \"r-there\"\n\
         [router.r.port.r-here]\nmac = \"{TO_HERE}\"\nnetworks = [\"10.1.0.1/16\"]\n\
         [router.r.port.r-there]\nmac = \"{TO_THERE}\"\nnetworks = [\"10.2.0.1/16\"]\n",
        station(0, 0),
    );
    text + &vms("there", 2)
}

/// What the VM here sends to the router.
fn outbound(flow: u32) -> Packet {
    Packet {
        eth_src: station(0, 0),
        eth_dst: TO_HERE,
        src: LOCAL.into(),
        dst: vm_ip(2, vm_of(flow)).into(),
        ports: ports(flow),
        ttl: 64,
        checksum: true,
    }
}

pub(super) fn geneve_encap(place: &Place) -> Network {
    let expected = |side, flow| {
        let (before, vm) = (outbound(flow), vm_of(flow));
        let after = Packet {
            eth_src: TO_THERE,
            eth_dst: vm_mac(vm),
            ttl: 63,
            ..before
        };
        let keys = Keys::Geneve(OvnOption {
            in_key: ROUTER_KEY,
            out_key: vm_key(vm),
        });
        let outer = Some(outer_to(side, vm, THERE, keys));
        (side == 1).then_some(Expected {
            outer,
            ..Expected::of(after, &before)
        })
    };
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Vif, Use::Underlay])),
            ("topology.toml", geneve_topology("a")),
        ],
        sides: [
            Side::Frames {
                headers: outbound(0).headers(),
                tunnel: 0,
                frame: Box::new(|flow, length| outbound(flow).frame(flow, length)),
            },
            Side::Silent,
        ],
        expected: Box::new(expected),
        lap_at: None,
        openflow: Openflow::Tunnels {
            rules: encap_rules(),
            underlay: 1,
            kind: "geneve",
            peers: CHASSIS,
        },
    }
}

fn encap_rules() -> Vec<String> {
    let rule = |vm: u32| {
        format!(
            "in_port=1,ip,dl_dst={TO_HERE},nw_dst={},actions=dec_ttl,mod_dl_src:{TO_THERE},mod_dl_dst:{},\
             set_field:{THERE}->tun_id,set_field:{:#x}->tun_metadata0,set_field:{}->tun_dst,output:3",
            vm_ip(2, vm),
            vm_mac(vm),
            u32::from(ROUTER_KEY) << 16 | u32::from(vm_key(vm)),
            chassis_ip(chassis_of(vm)),
        )
    };
    (0..VMS).map(rule).collect()
}

/// What a VM elsewhere sends here, after the router, which is on its own chassis.
fn inbound(flow: u32) -> Packet {
    Packet {
        eth_src: TO_HERE,
        eth_dst: station(0, 0),
        src: vm_ip(2, vm_of(flow)).into(),
        dst: LOCAL.into(),
        ports: ports(flow),
        ttl: 63,
        checksum: true,
    }
}

fn inbound_outer(flow: u32) -> Outer {
    let keys = Keys::Geneve(OvnOption {
        in_key: ROUTER_KEY,
        out_key: VM_KEY,
    });
    outer_from(0, vm_of(flow), HERE, keys)
}

pub(super) fn geneve_decap(place: &Place) -> Network {
    let tunnel = inbound_outer(0).headers();
    let expected = move |side, flow| {
        let packet = inbound(flow);
        let entered = packet.headers() + tunnel;
        (side == 1).then_some(Expected {
            entered,
            ..Expected::of(packet, &packet)
        })
    };
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Underlay, Use::Vif])),
            ("topology.toml", geneve_topology("b")),
        ],
        sides: [
            Side::Frames {
                headers: inbound(0).headers() + tunnel,
                tunnel,
                frame: Box::new(|flow, length| {
                    inbound(flow).tunnelled(&inbound_outer(flow), flow, length)
                }),
            },
            Side::Silent,
        ],
        expected: Box::new(expected),
        lap_at: None,
        openflow: Openflow::Tunnels {
            rules: vec![format!(
                "in_port=3,tun_id={HERE},tun_metadata0={:#x},actions=output:2",
                u32::from(ROUTER_KEY) << 16 | u32::from(VM_KEY)
            )],
            underlay: 0,
            kind: "geneve",
            peers: CHASSIS,
        },
    }
}

/// Between the VM here (side A) and one elsewhere, in one network.
fn flat(flow: u32) -> Packet {
    Packet {
        eth_src: station(0, 0),
        eth_dst: vm_mac(vm_of(flow)),
        src: LOCAL.into(),
        dst: vm_ip(1, vm_of(flow)).into(),
        ports: ports(flow),
        ttl: 64,
        checksum: true,
    }
}

fn flat_back(flow: u32) -> Packet {
    let there = flat(flow);
    Packet {
        eth_src: there.eth_dst,
        eth_dst: there.eth_src,
        src: there.dst,
        dst: there.src,
        ..there
    }
}

pub(super) fn vxlan(place: &Place) -> Network {
    let outer = |flow| outer_from(1, vm_of(flow), HERE, Keys::Vxlan);
    let tunnel = outer(0).headers();
    let beside = flat_back(0).headers() + tunnel;
    let expected = move |side, flow| {
        if side == 0 {
            let packet = flat_back(flow);
            let entered = packet.headers() + tunnel;
            return Some(Expected {
                entered,
                ..Expected::of(packet, &packet)
            });
        }
        let packet = flat(flow);
        let outer = Some(outer_to(1, vm_of(flow), HERE, Keys::Vxlan));
        Some(Expected {
            outer,
            beside,
            ..Expected::of(packet, &packet)
        })
    };
    let mut topology = chassis("vxlan", CHASSIS);
    let _ = write!(
        topology,
        "[switch.s]\nkey = {HERE}\n\
         [switch.s.port.a]\nkey = {VM_KEY}\naddresses = [\"{} {LOCAL}\"]\nchassis = \"node\"\n",
        station(0, 0)
    );
    topology += &vms("s", 1);
    Network {
        files: vec![
            ("node.toml", node(place, [Use::Vif, Use::Underlay])),
            ("topology.toml", topology),
        ],
        sides: [
            Side::Frames {
                headers: flat(0).headers(),
                tunnel: 0,
                frame: Box::new(move |flow, length| flat(flow).frame_beside(flow, length, beside)),
            },
            Side::Frames {
                headers: beside,
                tunnel,
                frame: Box::new(move |flow, length| {
                    flat_back(flow).tunnelled(&outer(flow), flow, length)
                }),
            },
        ],
        expected: Box::new(expected),
        lap_at: None,
        openflow: Openflow::Tunnels {
            rules: vxlan_rules(),
            underlay: 1,
            kind: "vxlan",
            peers: CHASSIS,
        },
    }
}

fn vxlan_rules() -> Vec<String> {
    let rule = |vm: u32| {
        format!(
            "in_port=1,dl_dst={},actions=set_field:{HERE}->tun_id,set_field:{}->tun_dst,output:3",
            vm_mac(vm),
            chassis_ip(chassis_of(vm)),
        )
    };
    let mut rules: Vec<String> = (0..VMS).map(rule).collect();
    rules.push(format!(
        "in_port=3,tun_id={HERE},dl_dst={},actions=output:1",
        station(0, 0)
    ));
    rules
}
