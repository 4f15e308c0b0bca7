//! Traces of whole packets through small networks, word by word.

use sluice_fastpath::pipeline::View;
use sluice_fastpath::spread::Homes;
use sluice_net::{Builder, Mac};

use super::{FragmentSpec, PacketSpec, Start, Trace, TraceError, TraceRequest, trace};
use crate::runtime::testing::{Bench, Scratch};

/// The third part of N4: two switches and a router between them, all on one node.
const N4: &str = r#"
[chassis.n4]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.far]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.sw0.port.sw0-vm]
addresses = ["50:54:00:00:00:01 192.168.0.2"]
port_security = ["50:54:00:00:00:01 192.168.0.2"]
[switch.sw0.port.sw0-far]
addresses = ["50:54:00:00:00:09 192.168.0.9"]
chassis = "far"
[switch.sw0.port.sw0-lr0]
type = "router"
router_port = "lr0-sw0"
[switch.sw1.port.sw1-vm]
addresses = ["50:54:00:00:00:03 11.0.0.2"]
[switch.sw1.port.sw1-nobody]
addresses = ["50:54:00:00:00:04 11.0.0.4"]
[switch.sw1.port.sw1-lr0]
type = "router"
router_port = "lr0-sw1"
[router.lr0.port.lr0-sw0]
mac = "00:00:00:00:ff:01"
networks = ["192.168.0.1/24"]
[router.lr0.port.lr0-sw1]
mac = "00:00:00:00:ff:02"
networks = ["11.0.0.1/24"]
[[router.lr0.route]]
ip_prefix = "10.66.0.0/16"
nexthop = "discard"
"#;

const N4_NODE: &str = r#"
chassis = "n4"
topology = "topology.toml"
[dataplane]
connections = 1024
neighbors = 1024
fdb = 1024
[interface.eth0]
device = "net_null0"
[interface.tap0]
device = "net_null1"
iface_id = "sw0-vm"
[interface.tap1]
device = "net_null2"
iface_id = "sw1-vm"
[underlay]
interface = "eth0"
address = "172.16.0.1/24"
"#;

fn n4() -> (Scratch, Bench) {
    let scratch = Scratch::new();
    scratch.write("topology.toml", N4);
    let node = scratch.write("node.toml", N4_NODE);
    let bench = Bench::new(&node);
    (scratch, bench)
}

fn run(bench: &Bench, start: Start, packet: PacketSpec) -> Result<Trace, TraceError> {
    let tables = bench.state.tables.current();
    let view = View {
        tables: &tables,
        learned: &bench.state.learned,
        connections: &bench.state.connections,
        now: bench.state.now(),
        pick_up: false,
        homes: &Homes::NONE,
    };
    trace(view, &TraceRequest { start, packet }, [1, 2])
}

fn from_port(bench: &Bench, port: &str, packet: PacketSpec) -> Trace {
    run(
        bench,
        Start::Port {
            name: port.to_owned(),
        },
        packet,
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

fn to(dst: &str) -> PacketSpec {
    PacketSpec {
        dst: Some(dst.parse().expect("an address")),
        ..PacketSpec::default()
    }
}

fn mac(text: &str) -> Option<Mac> {
    Some(text.parse().expect("a MAC"))
}

/// The last line: what becomes of the packet, and why.
fn verdict(trace: &Trace) -> &str {
    &trace.steps.last().expect("a verdict").text
}

#[test]
fn n4_reads_as_a_story() {
    let (_scratch, bench) = n4();
    let trace = from_port(&bench, "sw0-vm", to("11.0.0.2"));
    let expected = "\
packet     50:54:00:00:00:01 > 00:00:00:00:ff:01 192.168.0.2 > 11.0.0.2 icmp echo request id 1 ttl 64 len 84
note       destination MAC 00:00:00:00:ff:01: what the sender would find by ARP or ND
enter      port sw0-vm of switch sw0 (interface tap0)
security   port sw0-vm lets it in by rule \"50:54:00:00:00:01 192.168.0.2\"
bridge     switch sw0: 00:00:00:00:ff:01 is at port sw0-lr0 (static)
out        switch sw0, out by port sw0-lr0 (router lr0 port lr0-sw0)
router     router lr0, in by port lr0-sw0
route      router lr0: 11.0.0.0/24 on the link out of port lr0-sw1, connected
ttl        router lr0: TTL 64 -> 63
neighbor   router lr0: 11.0.0.2 behind port lr0-sw1 is 50:54:00:00:00:03 (from the topology); \
Ethernet source 00:00:00:00:ff:02, destination 50:54:00:00:00:03
bridge     switch sw1: 50:54:00:00:00:03 is at port sw1-vm (static)
out        switch sw1, out by port sw1-vm (interface tap1)
verdict    out of port sw1-vm of switch sw1, on interface tap1
leaves as  Ethernet source 00:00:00:00:ff:02, destination 50:54:00:00:00:03; \
icmp id 1 from 192.168.0.2 to 11.0.0.2, TTL 63
";
    assert_eq!(trace.to_string(), expected);
    assert_eq!((trace.verdict.as_str(), trace.reason), ("transmit", None));
}

#[test]
fn the_json_of_n4_names_what_a_program_looks_for() {
    let (_scratch, bench) = n4();
    let trace = from_port(&bench, "sw0-vm", to("11.0.0.2"));
    let json = serde_json::to_value(&trace).expect("JSON");
    let step = |stage: &str| {
        let steps = json["steps"].as_array().expect("steps");
        steps
            .iter()
            .find(|step| step["stage"] == stage)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(
        (&step("ttl")["before"], &step("ttl")["after"]),
        (&64.into(), &63.into())
    );
    assert_eq!(step("route")["prefix"], "11.0.0.0/24");
    assert_eq!(step("verdict")["port"], "sw1-vm");
    assert_eq!(json["headers"]["eth_src"], "00:00:00:00:ff:02");
    assert_eq!(json["headers"]["eth_dst"], "50:54:00:00:00:03");
    let back: Trace = serde_json::from_value(json).expect("the same trace");
    assert_eq!(back, trace);
}

#[test]
fn drops_name_port_router_and_rule() {
    let (_scratch, bench) = n4();
    let spec = |dst| to(dst);
    let cases = [
        (
            PacketSpec {
                eth_src: mac("00:00:00:00:00:07"),
                ..spec("11.0.0.2")
            },
            "drop port-security-mac: port sw0-vm of switch sw0 may not send from MAC 00:00:00:00:00:07; \
             its port_security is \"50:54:00:00:00:01 192.168.0.2\"",
        ),
        (
            PacketSpec {
                src: Some("1.2.3.4".parse().expect("an address")),
                ..spec("11.0.0.2")
            },
            "drop port-security-ip: port sw0-vm of switch sw0 may not send from 1.2.3.4; \
             its port_security for this MAC is \"50:54:00:00:00:01 192.168.0.2\"",
        ),
        (
            PacketSpec {
                src: Some("192.168.0.7".parse().expect("an address")),
                proto: Some("arp".to_owned()),
                ..spec("192.168.0.1")
            },
            "drop port-security-neighbor: port sw0-vm of switch sw0 may not say that 192.168.0.7 is \
             50:54:00:00:00:01; its port_security for this MAC is \"50:54:00:00:00:01 192.168.0.2\"",
        ),
        (
            spec("8.8.8.8"),
            "drop no-route: router lr0, in by port lr0-sw0: no route to 8.8.8.8; the sender is told \
             \"network unreachable\" by ICMP from 192.168.0.1, router port lr0-sw0",
        ),
        (
            PacketSpec {
                ttl: Some(1),
                ..spec("11.0.0.2")
            },
            "drop ttl-exceeded: router lr0, in by port lr0-sw0: TTL 1 is used up, route 11.0.0.0/24 out of \
             port lr0-sw1 is not taken; the sender is told \"time exceeded\" by ICMP from 192.168.0.1, \
             router port lr0-sw0",
        ),
        (
            spec("10.66.1.1"),
            "drop blackhole: router lr0, in by port lr0-sw0: route 10.66.0.0/16 for 10.66.1.1 is a discard route",
        ),
        (
            spec("11.0.0.4"),
            "drop port-unbound: switch sw1: port sw1-nobody is bound to no chassis",
        ),
        (
            PacketSpec {
                eth_dst: mac("02:02:02:02:02:02"),
                ..spec("192.168.0.77")
            },
            "drop unknown-destination: switch sw0, in by port sw0-vm: no port has MAC 02:02:02:02:02:02, and \
             none takes unknown MACs",
        ),
        (
            PacketSpec {
                proto: Some("tcp".to_owned()),
                dport: Some(22),
                ..spec("192.168.0.1")
            },
            "drop router-local: router lr0, in by port lr0-sw0: 192.168.0.1 is the router's own address, and \
             nothing there takes tcp",
        ),
        (
            PacketSpec {
                len: Some(1600),
                dont_fragment: true,
                ..spec("11.0.0.2")
            },
            "drop too-big: router lr0, in by port lr0-sw0: 1600 bytes may not be fragmented, and 1500 bytes is \
             what fits out of port lr0-sw1; the sender is told \"too big, MTU 1500\" by ICMP from 192.168.0.1, \
             router port lr0-sw0",
        ),
        (
            spec("224.0.0.9"),
            "drop martian-destination: router lr0, in by port lr0-sw0: 224.0.0.9 is never routed",
        ),
    ];
    for (packet, expected) in cases {
        let trace = from_port(&bench, "sw0-vm", packet);
        assert_eq!(verdict(&trace), expected);
        let reason = expected
            .strip_prefix("drop ")
            .and_then(|rest| rest.split(':').next());
        assert_eq!(trace.reason.as_deref(), reason, "{expected}");
        assert!(trace.headers.is_none(), "{expected}");
    }
}

#[test]
fn what_the_slow_path_would_do_is_said() {
    let (_scratch, bench) = n4();
    let cases = [
        (
            PacketSpec {
                proto: Some("arp".to_owned()),
                ..to("192.168.0.1")
            },
            "answered here in the name of port sw0-lr0: the address is at 00:00:00:00:ff:01",
        ),
        (
            to("192.168.0.1"),
            "echo request to an address of router port lr0-sw0 of router lr0: answered",
        ),
        (
            to("11.0.0.77"),
            "waits until 11.0.0.77 behind router port lr0-sw1 of router lr0 says its MAC, then goes on",
        ),
        (
            to("192.168.0.9"),
            "waits until the underlay next hop 172.16.0.2 says its MAC, then goes on",
        ),
    ];
    for (packet, expected) in cases {
        let trace = from_port(&bench, "sw0-vm", packet);
        assert_eq!(
            (verdict(&trace), trace.verdict.as_str()),
            (expected, "punt")
        );
    }
}

#[test]
fn a_tunnel_says_chassis_keys_and_next_hop() {
    let (_scratch, mut bench) = n4();
    let mac = Mac::from_u64(0x0200_0000_00aa);
    let own = Mac::from_u64(0x0200_0000_0001);
    let reply = Builder::ethernet(mac, own)
        .arp_reply([172, 16, 0, 2].into(), [172, 16, 0, 1].into())
        .build();
    bench.devices.feed(sluice_fastpath::io::DeviceId(0), &reply);
    bench.settle();
    let trace = from_port(&bench, "sw0-vm", to("192.168.0.9"));
    let tables = bench.state.tables.current();
    let piece = tables
        .datapaths
        .iter()
        .flatten()
        .find(|piece| piece.name == "sw0")
        .expect("sw0");
    let (_, switch) = tables.switch(piece.id).expect("a switch");
    let key = |name: &str| {
        switch
            .ports
            .iter()
            .find(|port| port.name == name)
            .map_or(0, |port| port.key)
    };
    let expected = format!(
        "to chassis far by geneve to 172.16.0.2, VNI {} (switch sw0), in by sw0-vm (key {}), out by sw0-far (key {}), \
         next hop 172.16.0.2 at {mac}",
        piece.vni.get(),
        key("sw0-vm"),
        key("sw0-far"),
    );
    assert_eq!(verdict(&trace), expected);
}

#[test]
fn a_packet_out_of_a_tunnel_starts_where_its_keys_say() {
    let (_scratch, bench) = n4();
    let start = Start::Tunnel {
        chassis: "far".to_owned(),
        datapath: "sw0".to_owned(),
        in_port: Some("sw0-far".to_owned()),
        out_port: Some("sw0-vm".to_owned()),
    };
    let trace = run(&bench, start, to("192.168.0.2")).expect("a trace");
    let stages: Vec<&str> = trace.steps.iter().map(|step| step.stage.as_str()).collect();
    assert_eq!(stages, ["enter", "out", "verdict"]);
    assert!(
        trace.steps[0]
            .text
            .starts_with("tunnel from chassis far: sw0, in by sw0-far (key "),
        "{}",
        trace.steps[0].text
    );
    assert_eq!(
        verdict(&trace),
        "out of port sw0-vm of switch sw0, on interface tap0"
    );
    // The sender behind the in port is taken from the topology.
    assert!(
        trace
            .packet
            .starts_with("50:54:00:00:00:09 > 50:54:00:00:00:01 192.168.0.9 > 192.168.0.2 "),
        "{}",
        trace.packet
    );
}

#[test]
fn a_frame_is_taken_as_it_is() {
    let (_scratch, bench) = n4();
    let frame = |hex: &str| {
        run(
            &bench,
            Start::Frame {
                interface: "tap0".to_owned(),
                hex: hex.to_owned(),
            },
            PacketSpec::default(),
        )
    };
    let whole = Builder::ethernet(Mac::from_u64(0x5054_0000_0001), Mac::from_u64(0xff01))
        .ip([192, 168, 0, 2].into(), [11, 0, 0, 2].into())
        .udp(1, 2)
        .build();
    let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(frame(&hex).expect("a trace").verdict, "transmit");
    let cut = frame(&hex[..30]).expect("a trace");
    assert_eq!(
        verdict(&cut),
        "drop malformed-ip: IPv4 packet longer than its frame"
    );
    assert!(frame("xyz").is_err_and(|e| e.message == "the frame is not hex"));
    let nowhere = run(
        &bench,
        Start::Frame {
            interface: "eth7".to_owned(),
            hex,
        },
        PacketSpec::default(),
    );
    assert_eq!(
        nowhere.expect_err("no such interface").help.as_deref(),
        Some("it has eth0, tap0, tap1")
    );
}

#[test]
fn an_answer_to_the_router_says_who_else_gets_it() {
    let (_scratch, bench) = n4();
    let answer = Builder::ethernet(Mac::from_u64(0x5054_0000_0077), Mac::from_u64(0xff02))
        .arp_reply([11, 0, 0, 77].into(), [11, 0, 0, 1].into())
        .build();
    let start = Start::Frame {
        interface: "tap1".to_owned(),
        hex: answer.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let trace = run(&bench, start, PacketSpec::default()).expect("a trace");
    assert_eq!(trace.verdict, "flood");
    assert_eq!(
        verdict(&trace),
        "flood: a copy to chassis far, whose part of the router may have asked"
    );
}

#[test]
fn requests_that_cannot_be_traced_say_what_is_missing() {
    let (_scratch, bench) = n4();
    let refused = |port: &str, packet| {
        let error = run(
            &bench,
            Start::Port {
                name: port.to_owned(),
            },
            packet,
        )
        .expect_err("refused");
        (error.message, error.help.unwrap_or_default())
    };
    let cases = [
        (
            refused("sw0-vn", to("11.0.0.2")),
            "no switch of this node has a port `sw0-vn`",
            "there is a port `sw0-vm`",
        ),
        (
            refused("sw0-vm", PacketSpec::default()),
            "the packet has no destination",
            "say it with --dst",
        ),
        (
            refused("sw0-vm", to("192.168.0.78")),
            "the topology does not say the destination MAC",
            "say it with --eth-dst",
        ),
        (
            refused(
                "sw0-vm",
                PacketSpec {
                    proto: Some("tpc".to_owned()),
                    ..to("11.0.0.2")
                },
            ),
            "`tpc` is no protocol",
            "icmp, tcp, udp, arp, or a number",
        ),
        (
            refused(
                "sw0-vm",
                PacketSpec {
                    proto: Some("tcp".to_owned()),
                    flags: Some("sin".to_owned()),
                    ..to("11.0.0.2")
                },
            ),
            "`sin` is no TCP flag",
            "fin, syn, rst, psh, ack, urg",
        ),
    ];
    for ((message, help), expected, mend) in cases {
        assert_eq!((message.as_str(), help.as_str()), (expected, mend));
    }
}

#[test]
fn a_port_of_another_node_is_traced_as_if_it_were_here() {
    let (_scratch, bench) = n4();
    let trace = from_port(&bench, "sw0-far", to("192.168.0.2"));
    assert!(trace.notes.iter().any(|note| note == "port sw0-far of switch sw0 is not on this node (chassis far): traced as if it were"), "{:?}", trace.notes);
    assert_eq!(
        verdict(&trace),
        "out of port sw0-vm of switch sw0, on interface tap0"
    );
}

/// From web, which has a floating IP, to the same: out by the gateway port, in again by it, and back.
#[test]
fn a_hairpin_is_told_step_by_step() {
    let bench = Bench::example("examples/floating-ips/node.toml");
    let packet = PacketSpec {
        proto: Some("udp".to_owned()),
        sport: Some(4000),
        dport: Some(53),
        ..to("203.0.113.10")
    };
    let trace = from_port(&bench, "web", packet);
    let told: Vec<&str> = trace
        .steps
        .iter()
        .filter(|step| ["nat", "turn"].contains(&step.stage.as_str()))
        .map(|step| step.text.as_str())
        .collect();
    let rule = "rule \"dnat_and_snat 10.0.0.10 <-> 203.0.113.10\"";
    let source = format!("router r1: source 10.0.0.10:4000 to 203.0.113.10:4000 by {rule}");
    let destination = format!("router r1: destination 203.0.113.10:53 to 10.0.0.10:53 by {rule}");
    assert_eq!(
        told,
        [
            "back in by gateway port r1-outside: it is for an address of its own rules",
            &destination,
            &source,
        ]
    );
    assert_eq!(bench.connections(), 0, "a trace opens nothing");
}

#[test]
fn a_later_fragment_has_the_ports_of_its_first() {
    let bench = Bench::example("examples/floating-ips/node.toml");
    let spec = |fragment| PacketSpec {
        proto: Some("udp".to_owned()),
        sport: Some(5000),
        dport: Some(53),
        fragment,
        ..to("203.0.113.10")
    };
    for (fragment, told) in [
        (None, false),
        (Some(FragmentSpec::First), true),
        (Some(FragmentSpec::Later), true),
    ] {
        let trace = from_port(&bench, "web", spec(fragment));
        let text = trace.to_string();
        let says = "the first fragment of its datagram tells for all: source port 5000, destination port 53";
        assert_eq!(text.contains(says), told, "{text}");
        assert_eq!(trace.verdict, "transmit", "{text}");
    }
}

#[test]
fn n1_names_the_snat_rule_and_leaves_no_connection() {
    let bench = Bench::example("n1/node1.toml");
    let start = Start::Tunnel {
        chassis: "node2".to_owned(),
        datapath: "ls3".to_owned(),
        in_port: Some("ls3-router1".to_owned()),
        out_port: Some("ls3-gw1".to_owned()),
    };
    let packet = PacketSpec {
        src: Some("172.18.100.10".parse().expect("an address")),
        proto: Some("tcp".to_owned()),
        sport: Some(4000),
        ..to("192.168.209.161")
    };
    // Before the next hop is known the packet would wait.
    let trace = run(&bench, start.clone(), packet.clone()).expect("a trace");
    assert_eq!(trace.verdict, "punt");
    let mut bench = bench;
    let reply = Builder::ethernet(
        Mac::from_u64(0x0200_0000_0161),
        mac("02:0a:7f:18:01:02").expect("a MAC"),
    )
    .arp_reply([192, 168, 209, 161].into(), [192, 168, 209, 120].into())
    .build();
    // The worker asks once; then the answer is believed.
    let ask = Builder::ethernet(Mac::from_u64(0x0200_0000_0161), Mac::BROADCAST)
        .arp_request([192, 168, 209, 161].into(), [192, 168, 209, 120].into())
        .build();
    for frame in [ask, reply] {
        bench.devices.feed(sluice_fastpath::io::DeviceId(1), &frame);
        bench.settle();
    }
    let trace = run(&bench, start, packet).expect("a trace");
    let nat = trace
        .steps
        .iter()
        .find(|step| step.stage == "nat")
        .expect("a translation");
    assert_eq!(
        nat.text,
        "router gw1: source 172.18.100.10:4000 to 192.168.209.120:4000 by rule \"snat 172.18.0.0/16 -> 192.168.209.120\""
    );
    assert_eq!(
        verdict(&trace),
        "out of port outside-localnet of switch outside, on interface eth1"
    );
    assert!(
        trace
            .to_string()
            .ends_with("tcp from 192.168.209.120 port 4000 to 192.168.209.161 port 80, TTL 63\n"),
        "{trace}"
    );
    let balanced = PacketSpec {
        src: Some("192.168.209.161".parse().expect("an address")),
        eth_src: Some(Mac::from_u64(0x0200_0000_0161)),
        eth_dst: Some(mac("02:0a:7f:18:01:02").expect("a MAC")),
        proto: Some("tcp".to_owned()),
        ..to("192.168.209.55")
    };
    let trace = from_port(&bench, "outside-localnet", balanced);
    let chosen = trace.steps.iter().find(|step| step.stage == "balance");
    let told = &chosen.expect("a backend").text;
    let (start, end) = (
        "router gw1: load balancer web sends 192.168.209.55:80 to 172.18.",
        ":80, one of 2 that serve",
    );
    assert!(told.starts_with(start) && told.ends_with(end), "{told}");
    assert_eq!(bench.connections(), 0, "a trace opens nothing");
    assert!(
        bench
            .devices
            .sent(sluice_fastpath::io::DeviceId(1))
            .iter()
            .all(|frame| !sluice_net::show(frame).contains("tcp"))
    );
}

#[test]
fn ends_of_ipv6_have_brackets_and_rules_their_names() {
    let bench = Bench::example("examples/nat66/node.toml");
    let packet = |dst: &str, dport| PacketSpec {
        src: Some("fd00:10::12".parse().expect("an address")),
        proto: Some("tcp".to_owned()),
        sport: Some(5555),
        dport: Some(dport),
        ..to(dst)
    };
    let text = |stage: &str, trace: &Trace| {
        let mut steps = trace.steps.iter();
        let step = steps.find(|step| step.stage == stage);
        step.unwrap_or_else(|| panic!("{stage}: {trace}"))
            .text
            .clone()
    };
    let trace = from_port(&bench, "web2", packet("2001:db8:1::80", 80));
    let balanced = text("balance", &trace);
    assert!(
        balanced
            .starts_with("router r: load balancer web sends [2001:db8:1::80]:80 to [fd00:10::1")
            && balanced.ends_with("]:8080, one of 2 that serve"),
        "{balanced}"
    );
    assert_eq!(
        text("nat", &trace),
        "router r: source [fd00:10::12]:5555 to [fd00:10::1]:5555 by the connection's translation"
    );
    assert!(
        trace
            .to_string()
            .contains("tcp from fd00:10::1 port 5555 to fd00:10::1"),
        "{trace}"
    );
    // What another rule of the same router does for the other server.
    let trace = from_port(&bench, "web2", packet("2001:db8:1::11", 8080));
    assert_eq!(
        text("nat", &trace),
        "router r: destination [2001:db8:1::11]:8080 to [fd00:10::11]:8080 by rule \"dnat_and_snat fd00:10::11 <-> 2001:db8:1::11\""
    );
}
