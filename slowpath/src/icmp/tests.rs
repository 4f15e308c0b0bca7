use super::*;
use sluice_net::{Mac, parse};
use std::net::{Ipv4Addr, Ipv6Addr};

const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ROUTER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn udp(src: &str, dst: &str, len: usize) -> Builder {
    Builder::ethernet(HOST, ROUTER)
        .ip(ip(src), ip(dst))
        .udp(4_000, 53)
        .payload(&vec![7; len])
}

fn say(frame: &[u8], trouble: Trouble, address: &str) -> Result<Vec<u8>, Silence> {
    let networks = [
        "10.0.0.254/24".parse().unwrap(),
        "10.9.0.0/31".parse().unwrap(),
    ];
    error(
        frame,
        &parse(frame).unwrap(),
        trouble,
        Reporter {
            address: ip(address),
            networks: &networks,
        },
    )
}

fn echo(src: &str, dst: &str, data: &[u8]) -> Builder {
    Builder::ethernet(HOST, ROUTER)
        .ip(ip(src), ip(dst))
        .ttl(3)
        .tos(0x28)
        .icmp_echo(Echo::Request, 77, 5)
        .payload(data)
}

#[test]
fn echo_is_answered_with_its_data() {
    for (src, dst) in [("10.0.0.1", "10.0.0.254"), ("2001:db8::1", "2001:db8::ff")] {
        for len in [0, 1, 56, 1_472, 8_000, 8_972] {
            let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let request = echo(src, dst, &data).build();
            let reply = echo_reply(&request, &parse(&request).unwrap()).unwrap();
            let headers = parse(&reply).unwrap();
            assert_eq!((headers.eth_src, headers.eth_dst), (ROUTER, HOST));
            let packet = headers.ip().unwrap();
            assert_eq!((packet.src, packet.dst), (ip(dst), ip(src)));
            assert_eq!((packet.ttl, packet.tos), (255, 0x28));
            assert_eq!(
                packet.l4,
                L4::Echo {
                    reply: true,
                    id: 77
                }
            );
            let message = &reply[usize::from(packet.l4_offset)..];
            assert_eq!(message[6..8], [0, 5], "sequence number");
            assert_eq!(message[8..], data, "{len} bytes");
            let initial = if packet.is_v6() {
                pseudo(packet.src, packet.dst, 58, message.len() as u32)
            } else {
                0
            };
            assert_eq!(finish(ones_complement_sum(message, initial)), 0, "checksum");
        }
    }
}

#[test]
fn ethernet_padding_is_not_echoed() {
    let mut request = echo("10.0.0.1", "10.0.0.254", b"ab").build();
    let len = request.len();
    request.resize(60.max(len + 16), 0xee);
    let reply = echo_reply(&request, &parse(&request).unwrap()).unwrap();
    assert_eq!(parse(&reply).unwrap().ip().unwrap().total_len, 20 + 8 + 2);
}

#[test]
fn echo_refusals() {
    let mut damaged = echo("10.0.0.1", "10.0.0.254", b"abcd").build();
    *damaged.last_mut().unwrap() ^= 1;
    let mut damaged_v6 = echo("fe80::1", "fe80::2", b"abcd").build();
    *damaged_v6.last_mut().unwrap() ^= 1;
    let reply = Builder::ethernet(HOST, ROUTER)
        .ip(ip("10.0.0.1"), ip("10.0.0.254"))
        .icmp_echo(Echo::Reply, 1, 1);
    let cases = [
        ("damaged", damaged, EchoRefusal::Checksum),
        ("damaged v6", damaged_v6, EchoRefusal::Checksum),
        ("a reply", reply.build(), EchoRefusal::NotAnEcho),
        (
            "udp",
            udp("10.0.0.1", "10.0.0.254", 1).build(),
            EchoRefusal::NotAnEcho,
        ),
        (
            "first fragment",
            echo("10.0.0.1", "10.0.0.254", &[0; 8])
                .fragment(0, true)
                .build(),
            EchoRefusal::Fragment,
        ),
        (
            "from a group",
            echo("224.0.0.1", "10.0.0.254", &[]).build(),
            EchoRefusal::Address,
        ),
        (
            "from nobody",
            echo("0.0.0.0", "10.0.0.254", &[]).build(),
            EchoRefusal::Address,
        ),
        (
            "to a group",
            echo("10.0.0.1", "224.0.0.1", &[]).build(),
            EchoRefusal::Address,
        ),
        (
            "from v6 nobody",
            echo("::", "2001:db8::1", &[]).build(),
            EchoRefusal::Address,
        ),
    ];
    for (name, frame, expected) in cases {
        assert_eq!(
            echo_reply(&frame, &parse(&frame).unwrap()),
            Err(expected),
            "{name}"
        );
    }
}

#[test]
fn types_and_codes() {
    use Trouble::*;
    let cases = [
        (TimeExceeded, (11, 0, [0; 4]), (3, 0, [0; 4])),
        (NetUnreachable, (3, 0, [0; 4]), (1, 0, [0; 4])),
        (HostUnreachable, (3, 1, [0; 4]), (1, 3, [0; 4])),
        (PortUnreachable, (3, 3, [0; 4]), (1, 4, [0; 4])),
        (
            TooBig { mtu: 1_442 },
            (3, 4, [0, 0, 5, 0xa2]),
            (2, 0, [0, 0, 5, 0xa2]),
        ),
    ];
    for (trouble, v4, v6) in cases {
        for (src, dst, from, expected) in [
            ("10.0.0.1", "8.8.8.8", "10.0.0.254", v4),
            ("2001:db8::1", "2001:db8:1::1", "2001:db8::ff", v6),
        ] {
            let about = udp(src, dst, 20).build();
            let frame = say(&about, trouble, from).unwrap();
            let headers = parse(&frame).unwrap();
            let packet = headers.ip().unwrap();
            assert_eq!(
                (packet.src, packet.dst, packet.ttl),
                (ip(from), ip(src), 255)
            );
            let message = &frame[usize::from(packet.l4_offset)..];
            assert_eq!(
                (
                    message[0],
                    message[1],
                    <[u8; 4]>::try_from(&message[4..8]).unwrap()
                ),
                expected,
                "{trouble:?}"
            );
            assert_eq!(message[8..], about[14..], "the whole packet is quoted");
            // The quotation names the flow, so that the sender finds its socket.
            let L4::IcmpError {
                inner: Some(inner), ..
            } = packet.l4
            else {
                panic!("no quotation")
            };
            assert_eq!(
                (inner.src, inner.dst, inner.src_port, inner.dst_port),
                (ip(src), ip(dst), 4_000, 53)
            );
            let initial = if packet.is_v6() {
                pseudo(packet.src, packet.dst, 58, message.len() as u32)
            } else {
                0
            };
            assert_eq!(finish(ones_complement_sum(message, initial)), 0, "checksum");
        }
    }
}

#[test]
fn errors_stay_short() {
    let v4 = say(
        &udp("10.0.0.1", "8.8.8.8", 8_900).build(),
        Trouble::TimeExceeded,
        "10.0.0.254",
    )
    .unwrap();
    assert_eq!(v4.len(), 14 + 576);
    let v6 = say(
        &udp("2001:db8::1", "2001:db8::2", 8_900).build(),
        Trouble::TimeExceeded,
        "2001:db8::ff",
    )
    .unwrap();
    assert_eq!(v6.len(), 14 + 1_280);
}

#[test]
fn silence() {
    let to = |mac: Mac, dst: &str| {
        Builder::ethernet(HOST, mac)
            .ip(ip("10.0.0.1"), ip(dst))
            .udp(1, 2)
            .build()
    };
    let v4 = |kind, code| {
        let quoted = udp("10.0.0.1", "8.8.8.8", 0).build();
        Builder::ethernet(HOST, ROUTER)
            .ip(ip("10.0.0.1"), ip("8.8.8.8"))
            .icmp(kind, code, [0; 4])
            .payload(&quoted[14..])
            .build()
    };
    let from = |src: &str| udp(src, "8.8.8.8", 0).build();
    let later = Builder::ethernet(HOST, ROUTER)
        .ip(ip("10.0.0.1"), ip("8.8.8.8"))
        .protocol(17)
        .fragment(8, false);
    let cases = [
        ("about unreachable", v4(3, 1), Some(Silence::AboutError)),
        ("about time exceeded", v4(11, 0), Some(Silence::AboutError)),
        ("about redirect", v4(5, 0), Some(Silence::AboutError)),
        (
            "about parameter problem",
            v4(12, 0),
            Some(Silence::AboutError),
        ),
        (
            "about an echo request",
            echo("10.0.0.1", "8.8.8.8", &[]).build(),
            None,
        ),
        ("about a timestamp request", v4(13, 0), None),
        (
            "later fragment",
            later.payload(&[0; 8]).build(),
            Some(Silence::LaterFragment),
        ),
        (
            "first fragment",
            udp("10.0.0.1", "8.8.8.8", 8).fragment(0, true).build(),
            None,
        ),
        (
            "link broadcast",
            to(Mac::BROADCAST, "8.8.8.8"),
            Some(Silence::ToMany),
        ),
        (
            "link multicast",
            to(Mac([1, 0, 0x5e, 0, 0, 1]), "8.8.8.8"),
            Some(Silence::ToMany),
        ),
        ("to a group", to(ROUTER, "239.1.1.1"), Some(Silence::ToMany)),
        (
            "to everyone",
            to(ROUTER, "255.255.255.255"),
            Some(Silence::ToMany),
        ),
        (
            "to the network",
            to(ROUTER, "10.0.0.255"),
            Some(Silence::ToMany),
        ),
        ("to a /31's upper end", to(ROUTER, "10.9.0.1"), None),
        ("from loopback", from("127.0.0.1"), Some(Silence::Source)),
        ("from nobody", from("0.0.0.0"), Some(Silence::Source)),
        ("from class E", from("240.0.0.1"), Some(Silence::Source)),
        ("from a group", from("224.1.1.1"), Some(Silence::Source)),
        (
            "from the network's broadcast",
            from("10.0.0.255"),
            Some(Silence::Source),
        ),
    ];
    for (name, frame, expected) in cases {
        assert_eq!(
            say(&frame, Trouble::NetUnreachable, "10.0.0.254").err(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn silence_v6() {
    let icmp = |kind| {
        let quoted = udp("2001:db8::1", "2001:db8:1::1", 0).build();
        Builder::ethernet(HOST, ROUTER)
            .ip(ip("2001:db8::1"), ip("2001:db8:1::1"))
            .icmp(kind, 0, [0; 4])
            .payload(&quoted[14..])
            .build()
    };
    let cases = [
        ("about unreachable", icmp(1), Some(Silence::AboutError)),
        ("about too big", icmp(2), Some(Silence::AboutError)),
        (
            "about an unknown error",
            icmp(100),
            Some(Silence::AboutError),
        ),
        (
            "about an echo request",
            echo("2001:db8::1", "2001:db8:1::1", &[]).build(),
            None,
        ),
        (
            "to a group",
            udp("2001:db8::1", "ff0e::1", 0).build(),
            Some(Silence::ToMany),
        ),
        (
            "from nobody",
            udp("::", "2001:db8:1::1", 0).build(),
            Some(Silence::Source),
        ),
        (
            "from loopback",
            udp("::1", "2001:db8:1::1", 0).build(),
            Some(Silence::Source),
        ),
        (
            "of the other family",
            udp("10.0.0.1", "8.8.8.8", 0).build(),
            Some(Silence::NotIp),
        ),
    ];
    for (name, frame, expected) in cases {
        assert_eq!(
            say(&frame, Trouble::NetUnreachable, "2001:db8::ff").err(),
            expected,
            "{name}"
        );
    }
    let arp = Builder::ethernet(HOST, Mac::BROADCAST)
        .arp_request(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST)
        .build();
    assert_eq!(
        say(&arp, Trouble::TimeExceeded, "10.0.0.254"),
        Err(Silence::NotIp)
    );
    assert!(is_single(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into()));
}

#[test]
fn a_tagged_packet_is_quoted_without_its_tag() {
    let about = udp("10.0.0.1", "8.8.8.8", 4).vlan(100).build();
    let frame = say(&about, Trouble::TimeExceeded, "10.0.0.254").unwrap();
    let headers = parse(&frame).unwrap();
    assert_eq!(headers.vlan, None);
    assert_eq!(frame[14 + 28..], about[18..]);
}
