//! BFD as frames: RFC 5881 sections 3 to 5, RFC 5883, and Geneve as OVN's chassis have it.

use sluice_net::wire::bfd::FIRST_SOURCE_PORT;
use sluice_net::{Builder, L4, Mac, parse};

use super::*;

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const FAR: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn v6(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn first(path: Path<u32>) -> Sent<u32> {
    let mut sessions = Sessions::new(1);
    sessions.set([(path, settings())], Micros(0));
    let due = sessions.next_deadline().unwrap();
    let sent = sessions.poll(due).unwrap();
    assert_eq!(sent.path, path);
    assert!(sent.source_port >= FIRST_SOURCE_PORT);
    sent
}

#[test]
fn plain() {
    let multihop = Path {
        reach: Reach::Multihop,
        ..PATH
    };
    let six = Path {
        local: v6("fe80::1"),
        peer: v6("fe80::2"),
        ..PATH
    };
    for (path, port) in [(PATH, 3784), (six, 3784), (multihop, 4784)] {
        let sent = first(path);
        let frame = sent.frame(OWN, FAR);
        let headers = parse(&frame).unwrap();
        assert_eq!((headers.eth_src, headers.eth_dst), (OWN, FAR));
        let ip = headers.ip().unwrap();
        assert_eq!((ip.src, ip.dst), (path.local, path.peer));
        assert_eq!((ip.ttl, ip.tos), (255, 0xc0));
        let ports = L4::Udp {
            src: sent.source_port,
            dst: port,
        };
        assert_eq!(ip.l4, ports);
        let datagram = Datagram::read(&frame, &headers).unwrap().unwrap();
        assert_eq!(datagram.payload, sent.payload);
        // The other side's path is the mirror image.
        let there = datagram.path(path.network, None);
        assert_eq!((there.local, there.peer), (path.peer, path.local));
        assert_eq!(there.reach, path.reach);
    }
}

/// Byte for byte what a chassis of OVN puts behind the Geneve header (VNI 0, no option).
#[test]
fn inside_geneve() {
    let path = Path {
        reach: Reach::Tunnel,
        ..PATH
    };
    let sent = first(path);
    let frame = sent.frame(OWN, FAR);
    let [p0, p1] = sent.source_port.to_be_bytes();
    #[rustfmt::skip]
    let head = [
        0x00, 0x23, 0x20, 0x00, 0x00, 0x01, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        0x45, 0xc0, 0, 52, 0, 0, 0, 0, 255, 17,
    ];
    assert_eq!(frame[..24], head);
    #[rustfmt::skip]
    let addresses_and_udp = [
        169, 254, 1, 1, 169, 254, 1, 0,
        p0, p1, 0x0e, 0xc8, 0, 32, 0, 0,
    ];
    assert_eq!(frame[26..42], addresses_and_udp);
    assert_eq!(frame[42..], sent.payload);

    let headers = parse(&frame).unwrap();
    let mut other = Sessions::new(2);
    let there = Path {
        local: PEER,
        peer: LOCAL,
        ..path
    };
    other.set([(there, settings())], Micros(0));
    let tunnel = Some((PEER, LOCAL));
    assert_eq!(
        other.receive(7, tunnel, &frame, &headers, Micros(0)),
        Ok(true)
    );
    assert_eq!(other.status(&there).unwrap().state, State::Init);
    // From another chassis, and outside of a tunnel.
    let strange = Some((PEER, v6("::1")));
    for tunnel in [strange, None] {
        let heard = other.receive(7, tunnel, &frame, &headers, Micros(0));
        assert_eq!(heard, Err(Discard::UnknownPeer));
    }
}

#[test]
fn what_is_no_bfd() {
    let mut sessions = Sessions::new(1);
    sessions.set([(PATH, settings())], Micros(0));
    let udp = |port| {
        Builder::ethernet(FAR, OWN)
            .ip(PEER, LOCAL)
            .udp(50_000, port)
    };
    let multihop = udp(4784).build();
    for (frame, tunnel) in [
        (udp(3785).build(), None),
        (udp(3784).fragment(0, true).build(), None),
        (
            Builder::ethernet(FAR, OWN)
                .ip(PEER, LOCAL)
                .tcp(1, 3784, 2)
                .build(),
            None,
        ),
        (Builder::ethernet(FAR, OWN).build(), None),
        (multihop, Some((LOCAL, PEER))),
    ] {
        let headers = parse(&frame).unwrap();
        assert_eq!(
            sessions.receive(7, tunnel, &frame, &headers, Micros(0)),
            Ok(false)
        );
    }
    assert_eq!(sessions.discards().iter().count(), 0);
}

/// Source ports and discriminators are each session's own, and given back.
#[test]
fn every_session_has_its_own() {
    let path = |n: u32| Path {
        peer: IpAddr::from([10, 1, (n >> 8) as u8, n as u8]),
        ..PATH
    };
    let mut sessions = Sessions::new(3);
    let all = |range: std::ops::Range<u32>| range.map(|n| (path(n), settings()));
    sessions.set(all(0..16_384), Micros(0));
    let mut ports = BTreeSet::new();
    while let Some(sent) = sessions.poll(Micros(SECOND)) {
        assert!(ports.insert(sent.source_port));
    }
    assert_eq!(ports.len(), 16_384);
    sessions.set(all(1..16_385), Micros(0));
    let kept = sessions.status(&path(1)).unwrap();
    assert_eq!((kept.sent, sessions.status(&path(0))), (1, None));
    // The only free port is that of the session that went.
    let sent = sessions.poll(Micros(SECOND)).unwrap();
    assert_eq!(sent.path, path(16_384));
    sessions.set([], Micros(0));
    assert_eq!(sessions.next_deadline(), None);
}
