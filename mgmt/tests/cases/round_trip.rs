//! Random packets of all kinds there and back through translations, in either family: who sent hears what is an answer to
//! what it sent, and errors quote what it sent, to the byte. That all checksums hold by full recomputation is checked by
//! the network itself.

use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, Headers, L4, parse};

use super::dnat::all;
use super::nat::{G_IN, G_OUT, UP, VM, VM2};
use crate::support::family::{Error, with_family};
use crate::support::{Network, packet};

const WORLD: &str = "8.8.8.8";

/// Who sends to whom: host, its MAC, that of its router, its address, and the address it sends to.
type Way = (
    &'static str,
    (&'static str, &'static str),
    (&'static str, &'static str),
);

/// Host, its MAC and that of its router.
type Receiver = (&'static str, (&'static str, &'static str));

/// Source translated with ports, floating both ways, destination translated; with who gets it and how that answers.
const WAYS: [(Way, Receiver); 4] = [
    (
        ("vm", (VM, G_IN), ("10.0.0.10", WORLD)),
        ("up", (UP, G_OUT)),
    ),
    (
        ("vm2", (VM2, G_IN), ("10.0.0.11", WORLD)),
        ("up", (UP, G_OUT)),
    ),
    (
        ("up", (UP, G_OUT), (WORLD, "203.0.113.11")),
        ("vm2", (VM2, G_IN)),
    ),
    (
        ("up", (UP, G_OUT), (WORLD, "203.0.113.20")),
        ("vm", (VM, G_IN)),
    ),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Udp,
    Tcp,
    Echo,
    Sctp,
    /// A protocol without ports.
    Other(u8),
}

#[derive(Clone, Debug)]
struct Flow {
    way: usize,
    kind: Kind,
    ports: (u16, u16),
    payload: Vec<u8>,
}

/// Tunnels would be looked for at some.
fn port() -> impl Strategy<Value = u16> {
    (1u16..).prop_filter("of a tunnel", |port| ![6081, 4789].contains(port))
}

fn flow() -> impl Strategy<Value = Flow> {
    let kind = prop_oneof![
        Just(Kind::Udp),
        Just(Kind::Tcp),
        Just(Kind::Echo),
        Just(Kind::Sctp),
        prop::sample::select(vec![4, 47, 50, 97, 253]).prop_map(Kind::Other),
    ];
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    let flow = (0..WAYS.len(), kind, (port(), port()), payload);
    flow.prop_map(|(way, mut kind, ports, mut payload)| {
        if let Kind::Other(proto) = &mut kind {
            // Errors quote at least so much of it.
            payload.resize(payload.len().max(8), 0);
            // From the same host to the same place there is one connection of a protocol, and the last way would be another.
            *proto -= u8::from(way == WAYS.len() - 1);
        }
        Flow {
            way,
            kind,
            ports,
            payload,
        }
    })
}

impl Kind {
    fn build(self, base: Builder, ports: (u16, u16), answer: bool, round: usize) -> Builder {
        let flags = match (round, answer) {
            (0, false) => tcp::SYN,
            (0, true) => tcp::SYN | tcp::ACK,
            _ => tcp::ACK,
        };
        let echo = if answer { Echo::Reply } else { Echo::Request };
        match self {
            Kind::Udp => base.udp(ports.0, ports.1),
            Kind::Tcp => base.tcp(ports.0, ports.1, flags),
            Kind::Echo => base.icmp_echo(echo, ports.0, 7),
            Kind::Sctp => base.sctp(ports.0, ports.1),
            Kind::Other(proto) => base.protocol(proto),
        }
    }
}

/// Who, to whom, with which ports.
fn tuple(headers: &Headers) -> (String, String, (u16, u16)) {
    let ip = headers.ip().unwrap();
    (
        ip.src.to_string(),
        ip.dst.to_string(),
        ip.ports().unwrap_or_default(),
    )
}

/// From the IP header to the end of the packet.
fn bytes<'f>(frame: &'f [u8], headers: &Headers) -> &'f [u8] {
    let start = usize::from(headers.l3_offset);
    &frame[start..start + usize::from(headers.ip().unwrap().total_len)]
}

fn there_and_back(net: &mut Network, flow: &Flow, round: usize) -> Result<(), TestCaseError> {
    let ((host, macs, ips), (other, other_macs)) = WAYS[flow.way];
    let base = packet(macs, ips).payload(&flow.payload);
    let sent = flow.kind.build(base, flow.ports, false, round).build();
    net.take(other);
    net.send(host, sent.clone());
    let got = net.take_one(other);
    let (was, is) = (parse(&sent).unwrap(), parse(&got).unwrap());
    let (from, to, ports) = tuple(&was);
    let (seen_from, seen_to, seen_ports) = tuple(&is);
    prop_assert!((&from, &to) != (&seen_from, &seen_to), "not translated");
    let upper = |frame, headers: &Headers| {
        let all: &[u8] = bytes(frame, headers);
        all[all.len() - flow.payload.len()..].to_vec()
    };
    prop_assert_eq!(upper(&sent, &was), upper(&got, &is));

    // What answers is the mirror of what came.
    let mirror = || {
        let (src, dst) = (is.ip().unwrap().dst, is.ip().unwrap().src);
        packet(other_macs, ("0.0.0.0", "0.0.0.0")).ip(src, dst)
    };
    let answer = mirror().payload(&flow.payload);
    let answer = flow
        .kind
        .build(answer, (seen_ports.1, seen_ports.0), true, round);
    net.take(host);
    net.send(other, answer);
    let back = net.take_one(host);
    let back = tuple(&parse(&back).unwrap());
    prop_assert_eq!(back, (to, from, (ports.1, ports.0)));

    // So does what tells of trouble.
    let quoted = bytes(&got, &is);
    let error = mirror()
        .error(icmpv4::UNREACHABLE, 3)
        .payload(&quoted[..quoted.len().min(600)]);
    net.send(other, error);
    let told = net.take_one(host);
    let headers = parse(&told).unwrap();
    let L4::IcmpError {
        inner: Some(inner), ..
    } = headers.ip().unwrap().l4
    else {
        panic!("an error");
    };
    let said = &told[usize::from(inner.l3_offset)..];
    let mut meant = bytes(&sent, &was).to_vec();
    // It has crossed the router once.
    let step = if was.ip().unwrap().is_v6() { 7 } else { 8 };
    meant[step] -= 1;
    if !was.ip().unwrap().is_v6() {
        meant[10..12].copy_from_slice(&[0, 0]);
        let sum = sluice_net::checksum::checksum(&meant[..20]);
        meant[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let len = said.len().min(meant.len());
    prop_assert_eq!(&said[..len], &meant[..len]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back_is_the_identity(v6: bool, flows in prop::collection::vec(flow(), 1..30)) {
        with_family(v6, || {
            let mut net = all();
            net.hosts.get_mut("up").unwrap().answers = false;
            for round in 0..3 {
                for flow in &flows {
                    there_and_back(&mut net, flow, round)?;
                }
            }
            net.assert_no_buffer_lost();
            Ok::<(), TestCaseError>(())
        })?;
    }
}
