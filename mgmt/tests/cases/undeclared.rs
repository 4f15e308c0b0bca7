//! VMs whose addresses are not declared, behind a distributed router: every node that runs the router asks for them by
//! itself, also one that has no port on their switch, while they answer to the router of their own node.

use sluice_net::{Builder, wire::nd};

use crate::support::{Host, Network, NodeFile, ip, mac, v4, v6};

const X: &str = "02:00:00:00:00:0d";
const Y: &str = "02:00:00:00:00:0e";
const W: &str = "02:00:00:00:00:0f";
const R_S1: &str = "02:00:00:00:01:01";

/// `x` and `w` on s1 and n1, `v` on s1 and n3, `y` on s2 and n2; `gw` has the gateway port and no port on either.
fn net(addresses: &str, encap: &str) -> Network {
    let chassis = ["n1", "n2", "n3", "gw"]
        .iter()
        .zip(1..)
        .map(|(name, last)| {
            format!(
                "[chassis.{name}]\nencap = {{ type = \"{encap}\", ip = \"172.16.0.{last}\" }}\n"
            )
        });
    let rest = r#"
[switch.s1]
key = 7
[switch.s1.port.x]
key = 1
addresses = ["ADDRESSES"]
chassis = "n1"
[switch.s1.port.w]
addresses = ["02:00:00:00:00:0f 10.1.0.15"]
chassis = "n1"
[switch.s1.port.v]
addresses = ["02:00:00:00:00:10"]
chassis = "n3"
[switch.s1.port.s1-r]
key = 4
type = "router"
router_port = "r-s1"
[switch.s2.port.y]
addresses = ["02:00:00:00:00:0e 10.2.0.10 fd00:2::10"]
chassis = "n2"
[switch.s2.port.s2-r]
type = "router"
router_port = "r-s2"
[switch.ext.port.wire]
type = "localnet"
network = "wire"
[switch.ext.port.ext-r]
type = "router"
router_port = "r-ext"
[router.r.port.r-s1]
mac = "02:00:00:00:01:01"
networks = ["10.1.0.1/24", "fd00:1::1/64"]
[router.r.port.r-s2]
mac = "02:00:00:00:01:02"
networks = ["10.2.0.1/24", "fd00:2::1/64"]
[router.r.port.r-ext]
mac = "02:00:00:00:01:03"
networks = ["198.51.100.1/24"]
gateway_chassis = { gw = 1 }
[[router.r.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "198.51.100.1"
"#;
    let topology = chassis.collect::<String>() + &rest.replace("ADDRESSES", addresses);
    let node = |name, last| NodeFile::new(name).underlay(&format!("172.16.0.{last}/24"));
    let nodes = [
        node("n1", 1).vifs(&["x", "w"]),
        node("n2", 2).vifs(&["y"]),
        node("n3", 3).vifs(&["v"]),
        node("gw", 4).network("wire", "eth1"),
    ];
    let mut net = Network::new(&topology, &nodes);
    let station = |its, ips: &[&str], gateway| Host::station(mac(its), ips, Some(gateway));
    let x = station(X, &["10.1.0.10/24", "fd00:1::10/64"], "10.1.0.1");
    let y = station(Y, &["10.2.0.10/24", "fd00:2::10/64"], "10.2.0.1");
    let world = station("02:00:00:00:00:99", &["198.51.100.9/24"], "198.51.100.1");
    net.host("x", "x", x);
    net.host("y", "y", y);
    net.host("world", "wire", world);
    net.quiet()
}

#[test]
fn a_gateway_without_ports_on_their_switch_finds_them() {
    for addresses in [X, "unknown"] {
        let mut inwards = net(addresses, "geneve");
        let mut outwards = net(addresses, "geneve");
        for round in ["first", "long after"] {
            let ttl = inwards.ping("world", "10.1.0.10");
            assert_eq!(ttl, Some(63), "{addresses}: from outside, {round}");
            let ttl = outwards.ping("x", "198.51.100.9");
            assert_eq!(ttl, Some(63), "{addresses}: answers to SNAT, {round}");
            inwards.run(400_000);
            outwards.run(400_000);
        }
        inwards.assert_no_buffer_lost();
    }
}

#[test]
fn a_host_with_vms_on_another_switch_finds_them() {
    for (addresses, encap) in [
        (X, "geneve"),
        ("unknown", "geneve"),
        (X, "vxlan"),
        ("unknown", "vxlan"),
    ] {
        let mut net = net(addresses, encap);
        let case = format!("{addresses} by {encap}");
        assert_eq!(net.ping("y", "10.1.0.10"), Some(63), "{case}");
        net.run(400_000);
        assert_eq!(net.ping("y", "10.1.0.10"), Some(63), "{case}, later");
        for (vm, gateway) in [("x", "fd00:1::1"), ("y", "fd00:2::1")] {
            net.hosts.get_mut(vm).unwrap().gateway = Some(ip(gateway));
        }
        assert_eq!(net.ping("y", "fd00:1::10"), Some(63), "{case}, IPv6");
        net.assert_no_buffer_lost();
    }
}

/// An answer goes once to each node that runs the router, and to no machine.
#[test]
fn their_answers_are_for_routers_only() {
    let mut net = net(X, "geneve");
    let answers = [
        Builder::ethernet(mac(X), mac(R_S1)).arp_reply(v4("10.1.0.10"), v4("10.1.0.1")),
        Builder::ethernet(mac(X), mac(R_S1))
            .ipv6(v6("fd00:1::10"), v6("fd00:1::1"))
            .neighbor_advert(v6("fd00:1::10"), Some(mac(X)), nd::FLAG_SOLICITED),
    ];
    for answer in answers {
        net.probe("x", answer).expect(
            "undeclared",
            &[],
            &[
                "gw: punt:neighbor 1, slow:punts 1, walk 1",
                "n1: copy 3, flood 1, walk 1",
                "n2: punt:neighbor 1, slow:punts 1, walk 1",
                "n3: punt:neighbor 1, slow:punts 1, walk 1",
            ],
        );
    }
    // The topology says where w is: nobody asks for it.
    let declared = Builder::ethernet(mac(W), mac(R_S1)).arp_reply(v4("10.1.0.15"), v4("10.1.0.1"));
    net.probe("w", declared).expect(
        "declared",
        &[],
        &["n1: punt:neighbor 1, slow:punts 1, walk 1"],
    );
    // To another machine it goes as it always does.
    let other = Builder::ethernet(mac(X), mac(W)).arp_reply(v4("10.1.0.10"), v4("10.1.0.15"));
    net.probe("x", other).expect(
        "to a machine",
        &["w: 02:00:00:00:00:0d > 02:00:00:00:00:0f arp reply 10.1.0.10 to 10.1.0.15 sender 02:00:00:00:00:0d"],
        &["n1: walk 1"],
    );
}

/// Two routers on one switch: the one that asked learns, though the other has a port on the same network.
#[test]
fn of_two_routers_on_the_link_the_asking_one_learns() {
    let text = |n: u8| {
        format!(
            r#"
[switch.s.port.s-r{n}]
type = "router"
router_port = "r{n}-s"
[switch.t{n}.port.t{n}-r{n}]
type = "router"
router_port = "r{n}-t"
[switch.t{n}.port.y{n}]
addresses = ["02:00:00:00:02:0{n} 10.2.{n}.10"]
chassis = "n1"
[router.r{n}.port.r{n}-s]
networks = ["10.1.0.{n}/24"]
[router.r{n}.port.r{n}-t]
networks = ["10.2.{n}.1/24"]
"#
        )
    };
    let topology = r#"
[chassis.n1]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.n2]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.s.port.x]
addresses = ["02:00:00:00:00:0d"]
chassis = "n1"
[switch.s.port.z]
addresses = ["02:00:00:00:00:0e"]
chassis = "n2"
"#;
    let topology = topology.to_owned() + &text(1) + &text(2);
    let nodes = [
        NodeFile::new("n1")
            .underlay("172.16.0.1/24")
            .vifs(&["x", "y1", "y2"]),
        NodeFile::new("n2").underlay("172.16.0.2/24").vifs(&["z"]),
    ];
    for n in [1, 2] {
        let mut net = Network::new(&topology, &nodes);
        let gateway = format!("10.1.0.{n}");
        net.host(
            "x",
            "x",
            Host::station(mac(X), &["10.1.0.10/24"], Some(&gateway)),
        );
        let (own, gateway) = (format!("10.2.{n}.10/24"), format!("10.2.{n}.1"));
        let its_mac = mac(&format!("02:00:00:00:02:0{n}"));
        let vm = format!("y{n}");
        net.host(&vm, &vm, Host::station(its_mac, &[&own], Some(&gateway)));
        let mut net = net.quiet();
        assert_eq!(net.ping(&vm, "10.1.0.10"), Some(63), "by router r{n}");
    }
}
