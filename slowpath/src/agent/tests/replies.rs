use super::lab::*;
use crate::agent::Settings;
use crate::limit::Rate;
use sluice_fastpath::exchange::{InjectTo, Origin, Work};
use sluice_fastpath::ids::DatapathId;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::verdict::{IcmpError, Punt};
use sluice_net::builder::Echo;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::{Builder, Fragment, L4, Vni, parse};

fn error(error: IcmpError, port: sluice_fastpath::ids::PortId) -> Work {
    Work::Error { error, port }
}

#[test]
fn eight_thousand_bytes_are_echoed() {
    for (src, dst) in [
        ("10.0.0.10", "10.0.0.254"),
        ("2001:db8::10", "2001:db8::ff"),
    ] {
        let mut lab = Lab::new();
        let data = vec![0x5a; 8_000];
        let request = Builder::ethernet(VM, INNER)
            .ip(ip(src), ip(dst))
            .icmp_echo(Echo::Request, 3, 4)
            .payload(&data);
        lab.punt(&request.build(), Punt::Echo { port: R1_SW });
        let sent = lab.only_sent();
        assert_eq!(
            (sent.worker, sent.to),
            (WORKER, InjectTo::Walk(Origin::Router(R1)))
        );
        let packet = *sent.headers().ip().unwrap();
        assert_eq!(
            (packet.src, packet.dst, packet.ttl),
            (ip(dst), ip(src), 255)
        );
        assert_eq!(packet.l4, L4::Echo { reply: true, id: 3 });
        assert_eq!(sent.bytes[usize::from(packet.l4_offset) + 8..], data);
        assert_eq!(lab.moved(), [("echo-replies", 1)]);
    }
}

#[test]
fn link_local_echoes_go_back_by_the_port_they_came_in_by() {
    for (src, dst) in [
        ("fe80::10", "fe80::ff"),
        ("fe80::10", "2001:db8::ff"),
        ("2001:db8::10", "fe80::ff"),
        ("febf::10", "fe80::ff"),
    ] {
        let mut lab = Lab::new();
        let request = Builder::ethernet(VM, INNER)
            .ip(ip(src), ip(dst))
            .ttl(64)
            .icmp_echo(Echo::Request, 3, 4);
        lab.punt(&request.build(), Punt::Echo { port: R1_SW });
        let sent = lab.only_sent();
        assert_eq!((sent.worker, sent.to), (WORKER, from_switch(SW_R1)));
        let headers = sent.headers();
        assert_eq!((headers.eth_src, headers.eth_dst), (INNER, VM));
        let packet = *headers.ip().unwrap();
        assert_eq!(
            (packet.src, packet.dst, packet.ttl),
            (ip(dst), ip(src), 255)
        );
        assert_eq!(packet.l4, L4::Echo { reply: true, id: 3 });
        assert_eq!(lab.moved(), [("echo-replies", 1)]);
    }
}

#[test]
fn a_link_local_echo_without_a_switch_behind_the_port_is_refused() {
    let mut alone = router();
    for port in &mut alone.ports {
        port.peer = sluice_fastpath::tables::Peer::None;
    }
    let mut tables = tables(1, inner_switch(), alone, outer_switch());
    tables.underlay = None;
    let mut lab = Lab::with(tables, Settings::default());
    lab.sleep(60_000);
    lab.sent();
    lab.moved();
    let request = Builder::ethernet(VM, INNER)
        .ip(ip("fe80::10"), ip("fe80::ff"))
        .icmp_echo(Echo::Request, 3, 4);
    lab.punt(&request.build(), Punt::Echo { port: R1_SW });
    assert_eq!(
        (lab.moved(), lab.sent()),
        (vec![("echo-refused", 1)], vec![])
    );
}

#[test]
fn what_is_no_echo_request_is_refused_by_name() {
    let mut lab = Lab::new();
    lab.punt(
        &packet("10.0.0.10", "10.0.0.254").build(),
        Punt::Echo { port: R1_SW },
    );
    assert_eq!(
        (lab.moved(), lab.sent()),
        (vec![("echo-refused", 1)], vec![])
    );
}

#[test]
fn errors_come_from_the_port_the_packet_came_in_by() {
    let cases = [
        (IcmpError::TimeExceeded, (11, 0), (3, 0)),
        (IcmpError::NetUnreachable, (3, 0), (1, 0)),
        (IcmpError::HostUnreachable, (3, 1), (1, 3)),
        (IcmpError::PortUnreachable, (3, 3), (1, 4)),
        (IcmpError::TooBig(1_400), (3, 4), (2, 0)),
    ];
    for (what, v4, v6) in cases {
        for (src, dst, from, expected) in [
            ("10.0.0.10", "8.8.8.8", "10.0.0.254", v4),
            ("2001:db8::10", "2001:db8:9::1", "2001:db8::ff", v6),
        ] {
            let mut lab = Lab::new();
            let frame = packet(src, dst).build();
            lab.hand(&frame, Origin::Device(DeviceId(0)), error(what, R1_SW));
            let sent = lab.only_sent();
            assert_eq!(
                (sent.worker, sent.to),
                (WORKER, InjectTo::Walk(Origin::Router(R1)))
            );
            let packet = *sent.headers().ip().unwrap();
            assert_eq!((packet.src, packet.dst), (ip(from), ip(src)));
            let L4::IcmpError {
                kind,
                code,
                inner: Some(inner),
            } = packet.l4
            else {
                panic!("{what:?}")
            };
            assert_eq!((kind, code), expected, "{what:?}");
            assert_eq!((inner.src_port, inner.dst_port), (5_000, 53));
            assert_eq!(lab.moved(), [("icmp-errors-sent", 1)]);
        }
    }
}

#[test]
fn errors_are_withheld_limited_and_counted() {
    let mut tables = tables(1, inner_switch(), router(), outer_switch());
    tables.underlay = None;
    let slow = Rate {
        per_second: 2,
        burst: 3,
    };
    let mut lab = Lab::with(
        tables,
        Settings {
            source_errors: slow,
            ..Settings::default()
        },
    );
    lab.sleep(60_000);
    lab.moved();
    let origin = Origin::Device(DeviceId(0));
    let ttl = error(IcmpError::TimeExceeded, R1_SW);
    for _ in 0..10 {
        lab.hand(&packet("10.0.0.10", "8.8.8.8").build(), origin, ttl);
    }
    assert_eq!(
        lab.moved(),
        [("icmp-errors-limited", 7), ("icmp-errors-sent", 3)]
    );
    // What must not be answered costs no token.
    for _ in 0..10 {
        lab.hand(&packet("10.0.0.10", "10.0.0.255").build(), origin, ttl);
        lab.hand(
            &packet("2001:db8::10", "2001:db8:9::1").build(),
            origin,
            error(IcmpError::TimeExceeded, R1_EXT),
        );
    }
    assert_eq!(lab.moved(), [("icmp-errors-withheld", 20)]);
    lab.now += 500;
    for _ in 0..10 {
        lab.hand(&packet("10.0.0.10", "8.8.8.8").build(), origin, ttl);
    }
    assert_eq!(
        lab.moved(),
        [("icmp-errors-limited", 9), ("icmp-errors-sent", 1)]
    );
}

#[test]
fn pieces_enter_as_the_packet_did() {
    let mut lab = Lab::new();
    let frame = Builder::ethernet(VM, INNER)
        .vlan(5)
        .ip(ip("10.0.0.10"), ip("203.0.113.9"))
        .udp(1, 2)
        .payload(&[9; 2_000]);
    lab.punt(
        &frame.build(),
        Punt::Fragment {
            port: R1_SW,
            mtu: 1_400,
        },
    );
    let sent = lab.sent();
    let pieces: Vec<_> = sent.iter().map(|sent| sent.headers()).collect();
    for (sent, headers) in sent.iter().zip(&pieces) {
        assert_eq!(
            (sent.worker, sent.to),
            (WORKER, InjectTo::Walk(Origin::Device(DeviceId(0))))
        );
        assert_eq!(
            (headers.eth_dst, headers.eth_src, headers.vlan_id()),
            (INNER, VM, Some(5))
        );
    }
    let shape: Vec<_> = pieces
        .iter()
        .filter_map(|headers| headers.ip())
        .map(|ip| (ip.fragment, ip.total_len))
        .collect();
    assert_eq!(shape, [(Fragment::First, 1_396), (Fragment::Later, 652)]);
    assert_eq!(lab.moved(), [("fragmented", 1), ("fragments-sent", 2)]);
}

#[test]
fn pieces_of_a_tunnelled_packet_stay_in_the_tunnel() {
    let option = OvnOption {
        in_key: 3,
        out_key: 9,
    };
    let inner = Builder::ethernet(VM, INNER)
        .ip(ip("10.0.0.10"), ip("203.0.113.9"))
        .udp(1, 2)
        .payload(&[9; 2_000]);
    for tag in [None, Some(30)] {
        let mut lab = Lab::new();
        let mut outer = Builder::ethernet(PEER, UNDERLAY)
            .ip(ip("172.16.0.2"), ip("172.16.0.1"))
            .tos(0x28)
            .ip_id(7);
        if let Some(tag) = tag {
            outer = outer.vlan(tag);
        }
        let frame = inner
            .clone()
            .encap_geneve(outer, Vni::new(42).unwrap(), Some(option))
            .build();
        let at = (frame.len() - inner.build().len()) as u16;
        let work = Work::Punt(Punt::Fragment {
            port: R1_SW,
            mtu: 1_400,
        });
        lab.hand_inner(&frame, at, Origin::Device(UNDERLAY_DEVICE), work);
        let sent = lab.sent();
        assert_eq!(sent.len(), 2);
        for (sent, len) in sent.iter().zip([1_396, 652]) {
            assert_eq!(sent.to, InjectTo::Walk(Origin::Device(UNDERLAY_DEVICE)));
            let headers = sent.headers();
            let outer = headers.ip().unwrap();
            assert_eq!(
                (headers.vlan_id(), outer.src, outer.tos),
                (tag, ip("172.16.0.2"), 0x28)
            );
            let piece = &sent.bytes[at.into()..];
            assert_eq!(parse(piece).unwrap().ip().unwrap().total_len, len);
            let l4 = usize::from(outer.l4_offset);
            assert_eq!(
                usize::from(outer.total_len),
                sent.bytes.len() - usize::from(headers.l3_offset)
            );
            assert_eq!(
                sent.bytes[l4 + 4..l4 + 6],
                (piece.len() as u16 + 24).to_be_bytes(),
                "UDP length"
            );
            assert_eq!(
                sent.bytes[l4 + 8..at.into()],
                frame[l4 + 8..at.into()],
                "the Geneve header"
            );
        }
    }
}

#[test]
fn what_must_not_be_fragmented_is_not() {
    let mut lab = Lab::new();
    let frame = packet("10.0.0.10", "203.0.113.9")
        .dont_fragment(true)
        .payload(&[9; 2_000])
        .build();
    lab.punt(
        &frame,
        Punt::Fragment {
            port: R1_SW,
            mtu: 1_400,
        },
    );
    assert_eq!(
        (lab.moved(), lab.sent()),
        (vec![("fragment-refused", 1)], vec![])
    );
}

#[test]
fn without_buffers_nothing_breaks() {
    let mut lab = Lab::new();
    let pool = std::sync::Arc::clone(&lab.pool);
    let mut hoard: Vec<_> =
        std::iter::from_fn(|| sluice_fastpath::io::FramePool::alloc(&*pool, b"")).collect();
    hoard.pop();
    // One buffer is left, and the request itself takes it.
    let request = Builder::ethernet(VM, INNER)
        .ip(ip("10.0.0.10"), ip("10.0.0.254"))
        .icmp_echo(Echo::Request, 3, 4);
    lab.punt(&request.build(), Punt::Echo { port: R1_SW });
    assert_eq!((lab.moved(), lab.sent()), (vec![("no-buffer", 1)], vec![]));
    drop(hoard);
    assert_eq!(lab.pool.in_use(), 0);
}

#[test]
fn a_full_worker_is_counted() {
    let mut lab = Lab::new();
    let room = 128 * 4;
    for n in 0..room + 3 {
        let source = format!("10.0.{}.{}", n / 250, n % 250 + 1);
        let frame = Builder::ethernet(VM, INNER)
            .ip(ip(&source), ip("10.0.0.254"))
            .icmp_echo(Echo::Request, 3, 4)
            .build();
        let origin = Origin::Router(DatapathId(1));
        let punted = sluice_fastpath::exchange::Punted {
            frame: sluice_fastpath::io::memory::VecFrame::new(&frame),
            inner: 0,
            origin,
            first: None,
            home: None,
            work: Work::Punt(Punt::Echo { port: R1_SW }),
            worker: WORKER,
        };
        assert!(lab.exchanges[1].punt(punted).is_ok());
        lab.step();
    }
    let moved = lab.moved();
    let of = |name| {
        moved
            .iter()
            .find(|(counter, _)| *counter == name)
            .map_or(0, |(_, by)| *by)
    };
    // The pool has 512 buffers, the queue room for as many.
    assert_eq!(
        (of("echo-replies"), of("inject-full") + of("no-buffer")),
        (room, 3),
        "{moved:?}"
    );
}
