//! Distributed gateway ports: N0's and N2's, with compute nodes of ours and with packets as OVN's hosts send them.

use sluice_fastpath::learned::Role;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, Vni, parse};
use sluice_slowpath::{AgentRequest, Alive};

use crate::support::{BROADCAST, Host, Network, device_mac, mac, packet, v4};

const EXT: &str = "00:00:01:01:02:05";
const UP: &str = "02:00:00:00:00:99";

/// N0 with the given nodes; the world answers.
fn n0(nodes: &[&str]) -> Network {
    let mut net = Network::reference("n0", nodes);
    for (vm, its_mac, address, gateway) in [
        ("vm1", "02:ac:10:ff:00:01", "192.168.1.10/24", "192.168.1.1"),
        ("vm2", "02:ac:10:ff:00:02", "192.168.2.20/24", "192.168.2.1"),
        ("vm3", "02:ac:10:ff:00:03", "192.168.1.30/24", "192.168.1.1"),
        ("vm4", "02:ac:10:ff:00:04", "192.168.2.40/24", "192.168.2.1"),
    ] {
        if net.hosts.contains_key(vm) {
            net.host(
                vm,
                vm,
                Host::station(mac(its_mac), &[address], Some(gateway)),
            );
        }
    }
    let world = Host::station(
        mac(UP),
        &["10.20.0.1/24", "8.8.8.8/32"],
        Some("10.20.0.100"),
    );
    net.host("world", "physnet", world);
    net
}

/// A gateway alone, between a compute node played by the test and the world.
fn gateway_and_ovn_host() -> Network {
    let mut net = n0(&["gw1"]);
    net.chassis("hv1", "172.16.0.11/24");
    net.chassis("gw2", "172.16.0.22/24");
    let mut net = net.quiet();
    assert_eq!(net.ping("world", "10.20.0.100"), Some(254));
    net.forget();
    net
}

/// A packet of vm1 as an OVN host redirects it: VNI of the router, output key of the cr- port, TTL stepped, MAC of the next hop.
fn redirected(net: &Network, eth_dst: &str, inner: impl FnOnce(Builder) -> Builder) -> Builder {
    let gw1 = net.node("gw1");
    let (vni, out_key) = gw1.keys("R1", "cr-R1-ext");
    let (_, in_key) = gw1.keys("R1", "R1-sw1");
    let frame = inner(Builder::ethernet(mac(EXT), mac(eth_dst)));
    from_hv1(frame, vni, in_key, out_key)
}

fn from_hv1(frame: Builder, vni: Vni, in_key: u16, out_key: u16) -> Builder {
    let outer = Builder::ethernet(device_mac("hv1", "underlay"), device_mac("gw1", "eth0"))
        .ipv4(v4("172.16.0.11"), v4("172.16.0.21"))
        .dont_fragment(true);
    frame.encap_geneve(outer, vni, Some(OvnOption { in_key, out_key }))
}

#[test]
fn a_redirected_packet_leaves_with_the_ttl_it_came_with() {
    let mut net = gateway_and_ovn_host();
    net.hosts.get_mut("world").unwrap().answers = false;
    // Both the next hop's MAC (as OVN's hosts write it) and the port's own (as ours do).
    for (port, eth_dst) in [(4000, UP), (4001, EXT)] {
        for (ttl, moved) in [(64, "gw1: opened 1, walk 1"), (1, "gw1: established 1")] {
            let frame = redirected(&net, eth_dst, |frame| {
                frame
                    .ipv4(v4("192.168.1.10"), v4("8.8.8.8"))
                    .ttl(ttl)
                    .udp(port, 53)
            });
            let wanted =
                format!("world: {EXT} > {UP} 10.20.0.100.{port} > 8.8.8.8.53 udp ttl {ttl} len 28");
            net.probe("hv1", frame)
                .expect("redirected", &[&wanted], &[moved]);
        }
        // The answer is routed here: one step, and then by the switch of the VM.
        let (vni, out_key) = net.node("gw1").keys("sw1", "vm1");
        let (_, in_key) = net.node("gw1").keys("sw1", "sw1-R1");
        let answer = packet((UP, EXT), ("8.8.8.8", "10.20.0.100"))
            .ttl(64)
            .udp(53, port);
        let outcome = net.probe("world", answer);
        let inner = format!(
            "geneve vni {vni} in {in_key} out {out_key} [00:00:01:01:02:03 > 02:ac:10:ff:00:01 8.8.8.8.53 > 192.168.1.10.{port} udp ttl 63 len 28]"
        );
        assert!(outcome.got[0].ends_with(&inner), "{outcome:#?}");
        assert_eq!(outcome.moved, ["gw1: walk 1"]);
    }
}

#[test]
fn redirected_packets_that_do_not_belong_here() {
    let mut net = gateway_and_ovn_host();
    // Its route leads inside.
    let inside = redirected(&net, EXT, |frame| {
        frame.ipv4(v4("192.168.1.10"), v4("192.168.2.20")).udp(1, 2)
    });
    net.probe("hv1", inside)
        .expect("inside", &[], &["gw1: drop:gateway-mismatch 1, walk 1"]);
    let not_ip = redirected(&net, EXT, |frame| frame.payload(&[0; 46]));
    net.probe("hv1", not_ip)
        .expect("not IP", &[], &["gw1: drop:router-not-ip 1, walk 1"]);
    // To the router port itself, not to its redirect key.
    let (vni, out_key) = net.node("gw1").keys("R1", "R1-ext");
    let frame = packet((EXT, UP), ("192.168.1.10", "8.8.8.8")).udp(1, 2);
    net.probe("hv1", from_hv1(frame, vni, 1, out_key)).expect(
        "not the redirect key",
        &[],
        &["gw1: drop:tunnel-unknown-port 1, walk 1"],
    );
}

/// Without a MAC_Binding an OVN host asks for the next hop through the tunnel.
#[test]
fn arp_of_an_ovn_host_goes_out_on_the_external_switch() {
    let mut net = gateway_and_ovn_host();
    net.hosts.get_mut("world").unwrap().answers = false;
    let ask = redirected(&net, BROADCAST, |frame| {
        frame.arp_request(v4("10.20.0.100"), v4("10.20.0.1"))
    });
    net.probe("hv1", ask).expect(
        "request",
        &["world: 00:00:01:01:02:05 > ff:ff:ff:ff:ff:ff arp who-has 10.20.0.1 tell 10.20.0.100 sender 00:00:01:01:02:05"],
        &["gw1: copy 1, flood 1, walk 1"],
    );
}

#[test]
fn a_gateway_that_does_not_hold_the_port() {
    let mut net = n0(&["gw2"]);
    net.chassis("hv1", "172.16.0.11/24");
    net.chassis("gw1", "172.16.0.21/24");
    let mut net = net.quiet();
    let gw2 = net.node("gw2");
    let tables = gw2.cell.current();
    let (_, _, port) = tables.router_port(gw2.port("R1-ext")).unwrap();
    let role = port.gateway.as_ref().unwrap().role;
    assert!(matches!(gw2.learned.roles.get(role), Role::Backup(_)));
    let (vni, out_key) = gw2.keys("R1", "cr-R1-ext");
    let outer = Builder::ethernet(device_mac("hv1", "underlay"), device_mac("gw2", "eth0"))
        .ipv4(v4("172.16.0.11"), v4("172.16.0.22"));
    let option = OvnOption { in_key: 1, out_key };
    let frame = packet((EXT, EXT), ("192.168.1.10", "8.8.8.8"))
        .udp(4000, 53)
        .encap_geneve(outer, vni, Some(option));
    net.probe("hv1", frame.clone()).expect(
        "backup",
        &[],
        &["gw2: drop:gateway-inactive 1, walk 1"],
    );
    // From the world nothing is taken or answered by it.
    let ask =
        Builder::ethernet(mac(UP), mac(BROADCAST)).arp_request(v4("10.20.0.1"), v4("10.20.0.100"));
    net.probe("world", ask).expect(
        "ARP",
        &[],
        &["gw2: drop:flood-empty 1, slow:macs-learned 1, walk 1"],
    );
    let packet = packet((UP, EXT), ("8.8.8.8", "192.168.1.10")).udp(1, 2);
    net.probe("world", packet)
        .expect("in", &[], &["gw2: drop:gateway-inactive 1, walk 1"]);
    // The other gateway dies: this one takes over, and says so on the wire.
    net.node("gw2")
        .request(AgentRequest::Alive(Alive::Only(Default::default())));
    net.run(1);
    assert_eq!(net.node("gw2").learned.roles.get(role), Role::Active);
    let announced = "00:00:01:01:02:05 > ff:ff:ff:ff:ff:ff arp who-has 10.20.0.100 tell 10.20.0.100 sender 00:00:01:01:02:05";
    let seen: Vec<String> = net
        .take("world")
        .iter()
        .map(|frame| sluice_net::show(frame))
        .collect();
    assert!(seen.contains(&announced.to_owned()), "{seen:#?}");
    assert_eq!(net.ping("world", "10.20.0.100"), Some(254));
    let outcome = net.probe("hv1", frame);
    assert_eq!(outcome.moved, ["gw2: opened 1, walk 1"]);
}

#[test]
fn a_host_whose_gateways_are_all_dead() {
    let mut net = n0(&["hv1"]);
    net.chassis("gw1", "172.16.0.21/24");
    net.chassis("gw2", "172.16.0.22/24");
    let mut net = net.quiet();
    let only = |names: &[&str]| Alive::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let frame = packet(
        ("02:ac:10:ff:00:01", "00:00:01:01:02:03"),
        ("192.168.1.10", "8.8.8.8"),
    )
    .udp(1, 2);
    for (alive, got) in [
        (&["gw1", "gw2"][..], Some("gw1")),
        (&["gw2"][..], Some("gw2")),
        (&["gw1"][..], Some("gw1")),
    ] {
        net.node("hv1").request(AgentRequest::Alive(only(alive)));
        net.settle();
        let outcome = net.probe("vm1", frame.clone());
        assert_eq!(outcome.got[0].split(':').next(), got, "{alive:?}");
        assert_eq!(outcome.moved, ["hv1: walk 1"]);
    }
    net.node("hv1").request(AgentRequest::Alive(only(&[])));
    net.settle();
    net.probe("vm1", frame)
        .expect("nobody", &[], &["hv1: drop:gateway-inactive 1, walk 1"]);
}

#[test]
fn n0_goes_out_by_the_first_gateway_only() {
    let mut net = n0(&["hv1", "hv2", "gw1", "gw2"]).quiet();
    for vm in ["vm1", "vm2", "vm3", "vm4"] {
        assert_eq!(net.ping(vm, "8.8.8.8"), Some(63), "{vm}");
        assert_eq!(
            net.ping(vm, "10.20.0.100"),
            Some(254),
            "{vm} to the gateway"
        );
    }
    assert_eq!(net.ping("vm1", "192.168.2.40"), Some(63));
    assert_eq!(net.ping("world", "10.20.0.100"), Some(254));
    assert_eq!(
        net.ping("world", "192.168.1.10"),
        Some(63),
        "in, untranslated"
    );
    let sent_by_gw2 = net.node("gw2").counters[0]
        .device(net.node("gw2").device("eth1"))
        .1;
    assert_eq!(
        sent_by_gw2.packets, 0,
        "the backup's external wire is silent"
    );
    net.assert_no_buffer_lost();
}

#[test]
fn traceroute_shows_the_router_and_the_world() {
    let mut net = n0(&["hv1", "hv2", "gw1", "gw2"]).quiet();
    net.ping("vm1", "8.8.8.8");
    net.hosts.get_mut("vm1").unwrap().answers = false;
    let vm1 = |ttl| {
        packet(
            ("02:ac:10:ff:00:01", "00:00:01:01:02:03"),
            ("192.168.1.10", "8.8.8.8"),
        )
        .ttl(ttl)
        .udp(33_434, 33_434)
    };
    let first = net.probe("vm1", vm1(1));
    assert_eq!(
        first.got,
        [
            "vm1: 00:00:01:01:02:03 > 02:ac:10:ff:00:01 192.168.1.1 > 192.168.1.10 icmp error 11/0 about 192.168.1.10.33434 > 8.8.8.8.33434 udp ttl 254 tos 0xc0 len 56"
        ]
    );
    // TTL 2: one step at the host that redirects, none at the gateway.
    let second = net.probe("vm1", vm1(2));
    assert_eq!(
        second.got,
        [
            "world: 00:00:01:01:02:05 > 02:00:00:00:00:99 10.20.0.100.33434 > 8.8.8.8.33434 udp ttl 1 len 28"
        ]
    );
}

/// Takes what stands between two texts out of a topology file, or replaces it.
fn n2_topology(gateways: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/n2/topology.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let line = "gateway_chassis = { gw1 = 10, gw2 = 20, gw3 = 15 }";
    assert!(text.contains(line));
    text.replace(line, gateways)
}

#[test]
fn n2_the_highest_listed_chassis_holds_the_port() {
    use crate::support::NodeFile;
    let gateway = |name: &str, address: &str| {
        NodeFile::new(name)
            .underlay(address)
            .network("public", "eth1")
    };
    let nodes = [
        NodeFile::new("hv1")
            .underlay("172.16.2.11/24")
            .vifs(&["sw0-port1", "sw1-port1"]),
        gateway("gw1", "172.16.2.21/24"),
        gateway("gw2", "172.16.2.22/24"),
        gateway("gw3", "172.16.2.23/24"),
    ];
    let list = |list: &str| n2_topology(&format!("gateway_chassis = {{ {list} }}"));
    let mut net = Network::new(&list("gw1 = 10, gw2 = 20, gw3 = 15"), &nodes);
    let vm = Host::station(mac("00:00:01:00:00:03"), &["10.0.0.3/24"], Some("10.0.0.1"));
    net.host("sw0-port1", "sw0-port1", vm);
    let vm = Host::station(mac("00:00:02:00:00:03"), &["20.0.0.3/24"], Some("20.0.0.1"));
    net.host("sw1-port1", "sw1-port1", vm);
    let outside = Host::station(mac(UP), &["172.168.0.50/24"], Some("172.168.0.200"));
    net.host("outside", "public", outside);
    let mut net = net.quiet();
    assert_eq!(
        net.ping("sw0-port1", "20.0.0.3"),
        Some(63),
        "between the switches"
    );
    // Those whose external wire is not silent.
    let holder = |net: &mut Network| {
        let sent = |net: &Network| {
            ["gw1", "gw2", "gw3"].map(|name| {
                let node = net.node(name);
                let (_, tx) = node.counters[0].device(node.device("eth1"));
                (name, tx.packets)
            })
        };
        let before = sent(net);
        assert_eq!(net.ping("outside", "10.0.0.3"), Some(63));
        assert_eq!(net.ping("sw0-port1", "172.168.0.50"), Some(63));
        let pairs = sent(net).into_iter().zip(before);
        let busy = pairs.filter(|(now, before)| now != before);
        busy.map(|((name, _), _)| name).collect::<Vec<_>>()
    };
    assert_eq!(holder(&mut net), ["gw2"]);
    net.reload(&list("gw1 = 10, gw3 = 15"));
    net.run(20_000);
    assert_eq!(holder(&mut net), ["gw3"]);
    net.reload(&list("gw1 = 10"));
    net.run(20_000);
    assert_eq!(holder(&mut net), ["gw1"]);
    net.reload(&list("gw1 = 10, gw2 = 20, gw3 = 15"));
    net.run(20_000);
    assert_eq!(holder(&mut net), ["gw2"]);
}

/// The watcher of chassis is played by the test: it tells every node who is alive.
fn tell(net: &mut Network, alive: &[&str]) {
    for node in net.nodes.values() {
        let names = alive.iter().map(|name| (*name).to_owned()).collect();
        node.request(AgentRequest::Alive(Alive::Only(names)));
    }
    net.settle();
}

#[test]
fn n0_goes_on_through_the_second_gateway_and_returns() {
    let mut net = n0(&["hv1", "hv2", "gw1", "gw2"]).quiet();
    let all = ["hv1", "hv2", "gw1", "gw2"];
    let by = |net: &Network| {
        let last = net.frames().filter(|(wire, _)| *wire == "underlay");
        let redirected = last.filter_map(|(_, frame)| {
            let headers = parse(frame).ok()?;
            let ip = *headers.ip()?;
            (ip.src == "172.16.0.11".parse::<std::net::IpAddr>().unwrap()).then_some(ip.dst)
        });
        redirected.last().unwrap().to_string()
    };
    assert_eq!(net.ping("vm1", "8.8.8.8"), Some(63));
    assert_eq!(by(&net), "172.16.0.21");
    net.kill("gw1");
    tell(&mut net, &["hv1", "hv2", "gw2"]);
    for vm in ["vm1", "vm2", "vm3", "vm4"] {
        assert_eq!(net.ping(vm, "8.8.8.8"), Some(63), "{vm} without gw1");
    }
    assert_eq!(by(&net), "172.16.0.22");
    net.restart("n0", "gw1");
    net.run(1_000);
    tell(&mut net, &all);
    for vm in ["vm1", "vm2", "vm3", "vm4"] {
        assert_eq!(net.ping(vm, "8.8.8.8"), Some(63), "{vm} with gw1 again");
    }
    assert_eq!(by(&net), "172.16.0.21");
}
