//! Random traffic through whole networks. Conservation and checksums are checked by the network itself.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sluice_net::builder::Echo;
use sluice_net::wire::tcp;
use sluice_net::{Builder, Headers, L4, Mac, parse};

use super::reference::n1;
use crate::support::{Network, mac, packet};

const VMS: [(&str, &str, &str, &str); 4] = [
    (
        "vm1",
        "02:ac:10:ff:00:10",
        "172.18.100.10",
        "02:ac:10:ff:00:01",
    ),
    (
        "vm2",
        "02:ac:10:ff:00:20",
        "172.18.100.20",
        "02:ac:10:ff:00:01",
    ),
    (
        "vm3",
        "02:ac:10:ff:10:10",
        "172.18.200.10",
        "02:ac:10:ff:10:01",
    ),
    (
        "vm4",
        "02:ac:10:ff:10:20",
        "172.18.200.20",
        "02:ac:10:ff:10:01",
    ),
];
const GW1: &str = "02:0a:7f:18:01:02";
const OUTSIDE: &str = "02:00:00:00:01:61";

/// One packet of one kind.
#[derive(Clone, Debug)]
enum Kind {
    Udp(u16, u16),
    UdpWithoutChecksum(u16, u16),
    Tcp(u16, u16, u8),
    Echo(u16, bool),
    Sctp,
    Other(u8),
    Arp,
}

fn kind() -> impl Strategy<Value = Kind> {
    let port = || prop_oneof![1u16..6, any::<u16>()];
    let flags = prop_oneof![
        Just(tcp::SYN),
        Just(tcp::ACK),
        Just(tcp::SYN | tcp::ACK),
        Just(tcp::FIN | tcp::ACK),
        Just(tcp::RST),
        any::<u8>()
    ];
    prop_oneof![
        4 => (port(), port()).prop_map(|(src, dst)| Kind::Udp(src, dst)),
        1 => (port(), port()).prop_map(|(src, dst)| Kind::UdpWithoutChecksum(src, dst)),
        4 => (port(), port(), flags).prop_map(|(src, dst, flags)| Kind::Tcp(src, dst, flags)),
        2 => (port(), any::<bool>()).prop_map(|(id, reply)| Kind::Echo(id, reply)),
        1 => Just(Kind::Sctp),
        1 => any::<u8>().prop_map(Kind::Other),
        1 => Just(Kind::Arp),
    ]
}

#[derive(Clone, Debug)]
struct Sent {
    from: usize,
    to: usize,
    kind: Kind,
    ttl: u8,
    tos: u8,
    len: usize,
    dont_fragment: bool,
    fragment: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let ttl = prop_oneof![4 => Just(64u8), 2 => 0u8..4, 1 => any::<u8>()];
    let len = prop_oneof![4 => 0usize..64, 1 => 1300usize..1472];
    (
        0usize..5,
        0usize..9,
        kind(),
        ttl,
        any::<u8>(),
        len,
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |(from, to, kind, ttl, tos, len, dont_fragment, fragment)| Sent {
                from,
                to,
                kind,
                ttl,
                tos,
                len,
                dont_fragment,
                fragment,
            },
        )
}

/// Where packets go: VMs, routers, the NAT address, the outside, the world, nowhere.
const TARGETS: [&str; 9] = [
    "172.18.100.10",
    "172.18.200.20",
    "172.18.100.1",
    "192.168.209.120",
    "192.168.209.161",
    "8.8.8.8",
    "172.19.255.1",
    "192.168.209.99",
    "127.0.0.1",
];

fn frame(sent: &Sent) -> (&'static str, Vec<u8>) {
    let (host, macs, src) = match VMS.get(sent.from) {
        Some((host, its_mac, ip, router)) => (*host, (*its_mac, *router), *ip),
        None => ("outside", (OUTSIDE, GW1), "192.168.209.161"),
    };
    let base = packet(macs, (src, TARGETS[sent.to]))
        .ttl(sent.ttl)
        .tos(sent.tos)
        .dont_fragment(sent.dont_fragment);
    let payload = vec![0x5a; sent.len & !7];
    let frame = match sent.kind {
        Kind::Udp(src, dst) => base.udp(src, dst),
        Kind::UdpWithoutChecksum(src, dst) => base.udp(src, dst).without_udp_checksum(),
        Kind::Tcp(src, dst, flags) => base.tcp(src, dst, flags),
        Kind::Echo(id, reply) => {
            base.icmp_echo(if reply { Echo::Reply } else { Echo::Request }, id, 1)
        }
        Kind::Sctp => base.sctp(1, 2),
        Kind::Other(proto) if ![1, 6, 17, 58, 132].contains(&proto) => base.protocol(proto),
        Kind::Other(_) => base.protocol(47),
        Kind::Arp => {
            let target = TARGETS[sent.to].parse().unwrap();
            let arp = Builder::ethernet(mac(macs.0), Mac::BROADCAST)
                .arp_request(src.parse().unwrap(), target);
            return (host, arp.build());
        }
    };
    let frame = if sent.fragment {
        frame.fragment(0, true)
    } else {
        frame
    };
    (host, frame.payload(&payload).build())
}

fn config() -> ProptestConfig {
    let found = FileFailurePersistence::Direct(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/cases/properties.regressions"
    ));
    ProptestConfig {
        cases: 48,
        failure_persistence: Some(Box::new(found)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Every frame that leaves any node has right checksums, every frame that came in is accounted for, and no
    /// buffer is lost, whatever is sent in whatever order and at whatever pace.
    #[test]
    fn anything_through_n1(traffic in prop::collection::vec((sent(), 0u32..3), 1..120)) {
        let mut net = n1();
        for (sent, pause) in &traffic {
            let (host, frame) = frame(sent);
            net.send_later(host, frame);
            match pause {
                0 => {}
                1 => net.settle(),
                _ => net.run(700),
            }
        }
        net.settle();
        net.run(10_000);
        net.assert_no_buffer_lost();
    }

    /// What the world answers to a translated packet comes back to who sent it, as an answer to what it sent.
    #[test]
    fn there_and_back_is_the_identity(flows in prop::collection::vec((0usize..4, service(), service(), 0usize..3, 0usize..1400), 1..40)) {
        let mut net = n1();
        // The gateway knows the world's MAC from now on.
        net.ping("vm1", "8.8.8.8");
        net.hosts.get_mut("outside").unwrap().answers = false;
        for round in 0..2 {
            for (vm, src, dst, protocol, len) in &flows {
                let reply = there(&mut net, VMS[*vm], (*src, *dst), (*protocol, *len), round);
                and_back(&mut net, VMS[*vm], reply)?;
            }
        }
    }
}

/// A port of a service, but for those at which tunnels are looked for.
fn service() -> impl Strategy<Value = u16> {
    (1u16..).prop_filter("of a tunnel", |port| ![6081, 4789].contains(port))
}

/// Packets of VMs and of the outside host to the balancer, answered by whoever gets them.
fn balanced() -> impl Strategy<Value = Vec<(usize, u16, u16, bool, usize)>> {
    prop::collection::vec(
        (0usize..5, service(), service(), any::<bool>(), 0usize..1400),
        1..40,
    )
}

proptest! {
    #![proptest_config(config())]

    /// Whoever sends to a balancer hears from it, whichever backend it was, itself included; and each packet of a
    /// connection goes to the same one.
    #[test]
    fn to_a_balancer_and_back_is_the_identity(flows in balanced()) {
        let mut net = n1();
        net.ping("vm1", "8.8.8.8");
        for host in ["outside", "vm1", "vm2", "vm3", "vm4"] {
            net.hosts.get_mut(host).unwrap().answers = false;
        }
        let mut chosen = std::collections::HashMap::new();
        for round in 0..2 {
            for flow in &flows {
                let backend = ask_balancer(&mut net, flow, round)?;
                let before = *chosen.entry((flow.0, flow.1, flow.2, flow.3)).or_insert(backend);
                prop_assert_eq!(before, backend);
            }
        }
    }
}

fn ask_balancer(
    net: &mut Network,
    &(from, src, dst, udp, len): &(usize, u16, u16, bool, usize),
    round: usize,
) -> Result<&'static str, TestCaseError> {
    const VIP: &str = "192.168.209.55";
    let (client, its_mac, ip, router) =
        VMS.get(from)
            .copied()
            .unwrap_or(("outside", OUTSIDE, "192.168.209.161", GW1));
    let base = packet((its_mac, router), (ip, VIP)).payload(&vec![0x77; len]);
    let flags = if round == 0 { tcp::SYN } else { tcp::ACK };
    let frame = match udp {
        true => base.udp(src, dst),
        false => base.tcp(src, dst, flags),
    };
    net.take("vm1");
    net.take("vm3");
    net.send(client, frame);
    let got = ["vm1", "vm3"].map(|vm| net.take(vm));
    prop_assert_eq!(got.iter().map(Vec::len).sum::<usize>(), 1);
    let at = usize::from(got[0].is_empty());
    let (backend, backend_mac, backend_ip, backend_router) = VMS[2 * at];
    let headers = parse(&got[at][0]).unwrap();
    let seen = headers.ip().unwrap();
    prop_assert_eq!(seen.dst.to_string(), backend_ip);
    prop_assert_eq!(ports(&headers).1, dst);
    let inside = from < VMS.len();
    prop_assert_eq!(
        seen.src.to_string(),
        if inside { "192.168.209.120" } else { ip }
    );
    let answer = packet(
        (backend_mac, backend_router),
        (backend_ip, &seen.src.to_string()),
    );
    let answer = match udp {
        true => answer.udp(dst, ports(&headers).0),
        false => answer.tcp(dst, ports(&headers).0, tcp::SYN | tcp::ACK),
    };
    net.take(client);
    net.send(backend, answer);
    let back = net.take_one(client);
    let back = parse(&back).unwrap();
    prop_assert_eq!(back.ip().unwrap().src.to_string(), VIP);
    prop_assert_eq!(back.ip().unwrap().dst.to_string(), ip);
    prop_assert_eq!(ports(&back), (dst, src));
    Ok(backend)
}

/// Sends a packet of a VM to the world; what the VM sent, what the world saw.
fn there(
    net: &mut Network,
    (vm, its_mac, ip, router): (&'static str, &str, &str, &str),
    (src, dst): (u16, u16),
    (protocol, len): (usize, usize),
    round: usize,
) -> (Vec<u8>, Vec<u8>) {
    let base = packet((its_mac, router), (ip, "8.8.8.8")).payload(&vec![0x77; len]);
    let frame = match protocol {
        0 => base.udp(src, dst),
        1 => base.tcp(src, dst, if round == 0 { tcp::SYN } else { tcp::ACK }),
        _ => base.icmp_echo(Echo::Request, src, dst),
    };
    let frame = frame.build();
    net.take("outside");
    net.send(vm, frame.clone());
    (frame, net.take_one("outside"))
}

fn ports(headers: &Headers) -> (u16, u16) {
    headers.ip().unwrap().ports().unwrap()
}

fn and_back(
    net: &mut Network,
    (vm, ..): (&'static str, &str, &str, &str),
    (sent, seen): (Vec<u8>, Vec<u8>),
) -> Result<(), TestCaseError> {
    let (before, after) = (parse(&sent).unwrap(), parse(&seen).unwrap());
    let (was, is) = (before.ip().unwrap(), after.ip().unwrap());
    prop_assert_eq!(is.src.to_string(), "192.168.209.120");
    prop_assert_eq!((is.dst, is.ttl, is.total_len), (was.dst, 62, was.total_len));
    let base = packet((OUTSIDE, GW1), ("8.8.8.8", "192.168.209.120")).payload(&[0x33; 20]);
    let (src, dst) = ports(&after);
    let answer = match is.l4 {
        L4::Udp { .. } => base.udp(dst, src),
        L4::Tcp { .. } => base.tcp(dst, src, tcp::SYN | tcp::ACK),
        _ => base.icmp_echo(Echo::Reply, src, 1),
    };
    net.take(vm);
    net.send("outside", answer);
    let got = net.take_one(vm);
    let got = parse(&got).unwrap();
    let ip = got.ip().unwrap();
    let (src, dst) = ports(&got);
    prop_assert_eq!((ip.src, ip.dst), (was.dst, was.src));
    prop_assert_eq!((dst, src), ports(&before));
    prop_assert_eq!(ip.ttl, 62);
    Ok(())
}
