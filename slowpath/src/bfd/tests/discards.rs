//! Every reason to discard a packet, each named and counted, and none with an effect (RFC 5880 section 6.8.6).

use sluice_net::Mac;
use sluice_net::wire::bfd::BfdError;

use super::*;

/// A packet in a frame that is right but for what a case changes.
struct Case {
    path: Path<u32>,
    ttl: u8,
    control: Control<'static>,
    /// Bytes of the packet: place and value.
    poke: Option<(usize, u8)>,
    network: u32,
    tunnel: Option<(IpAddr, IpAddr)>,
}

impl Case {
    fn of(bench: &Bench) -> Self {
        Self {
            path: Path {
                local: PEER,
                peer: LOCAL,
                ..PATH
            },
            ttl: TTL,
            control: Control {
                state: State::Up,
                ..bench.says
            },
            poke: None,
            network: PATH.network,
            tunnel: None,
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.control.write(&mut payload);
        if let Some((at, byte)) = self.poke {
            payload[at] = byte;
        }
        let sent = Sent {
            path: self.path,
            source_port: 50_000,
            payload,
        };
        let mut frame = sent.frame(Mac([2, 0, 0, 0, 0, 2]), Mac([2, 0, 0, 0, 0, 1]));
        // TTL, and the sum of the header with it.
        let gone = u16::from(TTL - self.ttl) << 8;
        let sum = u16::from_be_bytes([frame[24], frame[25]]);
        let ttl = u16::from_be_bytes([frame[22], frame[23]]);
        let sum = sluice_net::checksum::update16(sum, ttl, ttl - gone);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame[22] = self.ttl;
        frame
    }
}

#[test]
fn each_by_name() {
    let malformed = Discard::Malformed;
    let other: IpAddr = "10.0.0.3".parse().unwrap();
    type Change = Box<dyn Fn(&mut Case)>;
    let poke =
        |at: usize, byte: u8| -> Change { Box::new(move |case| case.poke = Some((at, byte))) };
    let cases: Vec<(&str, Discard, Change)> = vec![
        ("ttl", Discard::Ttl, Box::new(|case| case.ttl = 254)),
        ("version", malformed(BfdError::Version), poke(0, 0x40)),
        (
            "length-too-small",
            malformed(BfdError::LengthTooSmall),
            poke(3, 23),
        ),
        (
            "length-too-large",
            malformed(BfdError::LengthTooLarge),
            poke(3, 25),
        ),
        (
            "detect-mult-zero",
            malformed(BfdError::DetectMultZero),
            poke(2, 0),
        ),
        ("multipoint", malformed(BfdError::Multipoint), poke(1, 0xc1)),
        (
            "my-discriminator-zero",
            malformed(BfdError::MyDiscriminatorZero),
            Box::new(|case| case.control.my_discriminator = 0),
        ),
        (
            "poll-and-final",
            malformed(BfdError::PollAndFinal),
            poke(1, 0xf0),
        ),
        (
            "unknown-discriminator",
            Discard::UnknownDiscriminator,
            Box::new(|case| case.control.your_discriminator ^= 1),
        ),
        (
            "wrong-path",
            Discard::WrongPath,
            Box::new(|case| case.network = 8),
        ),
        (
            "wrong-path",
            Discard::WrongPath,
            Box::new(move |case| case.path.local = other),
        ),
        (
            "wrong-path",
            Discard::WrongPath,
            Box::new(move |case| case.path.peer = other),
        ),
        (
            "wrong-path",
            Discard::WrongPath,
            Box::new(|case| case.path.reach = Reach::Multihop),
        ),
        (
            "wrong-path",
            Discard::WrongPath,
            Box::new(|case| case.tunnel = Some((LOCAL, PEER))),
        ),
        (
            "state-without-discriminator",
            Discard::StateWithoutDiscriminator,
            Box::new(|case| case.control.your_discriminator = 0),
        ),
        (
            "unknown-peer",
            Discard::UnknownPeer,
            Box::new(move |case| {
                case.control.your_discriminator = 0;
                case.control.state = State::Down;
                case.path.local = other;
            }),
        ),
    ];
    for (name, discard, change) in cases {
        let mut bench = Bench::at(State::Init, settings());
        let before = bench.status();
        let mut case = Case::of(&bench);
        change(&mut case);
        let frame = case.frame();
        let headers = sluice_net::parse(&frame).unwrap();
        let heard = bench
            .sessions
            .receive(case.network, case.tunnel, &frame, &headers, bench.now);
        assert_eq!(heard, Err(discard), "{name}");
        assert_eq!(discard.to_string(), name);
        assert_eq!(bench.sessions.discards().of(discard), 1);
        assert_eq!(bench.sessions.discards().iter().count(), 1);
        assert_eq!(bench.sent(), [], "{name}");
        assert_eq!(
            Status {
                discarded: 0,
                ..bench.status()
            },
            before,
            "{name}"
        );

        // Nothing but the change is wrong.
        let right = Case::of(&bench);
        let frame = right.frame();
        let headers = sluice_net::parse(&frame).unwrap();
        assert_eq!(
            bench.sessions.receive(7, None, &frame, &headers, bench.now),
            Ok(true)
        );
        assert_eq!(bench.status().state, State::Up);
    }
}

#[test]
fn damaged_datagrams() {
    let mut bench = Bench::at(State::Init, settings());
    let good = Case::of(&bench).frame();
    let mut receive = |frame: &[u8]| {
        let headers = sluice_net::parse(frame).unwrap();
        bench.sessions.receive(7, None, frame, &headers, Micros(0))
    };
    let mut flipped = good.clone();
    flipped[50] ^= 1;
    assert_eq!(receive(&flipped), Err(Discard::Checksum));
    // No checksum is none, over IPv4.
    let mut without = good.clone();
    without[40..42].fill(0);
    assert_eq!(receive(&without), Ok(true));
    // UDP ends before the packet does.
    let mut short = good.clone();
    short[38..40].copy_from_slice(&20_u16.to_be_bytes());
    short[40..42].fill(0);
    let truncated = Discard::Malformed(BfdError::Truncated);
    assert_eq!(receive(&short), Err(truncated));
    assert_eq!(truncated.to_string(), "truncated");
    for len in [0_u16, 7, 33, 0xffff] {
        let mut wrong = good.clone();
        wrong[38..40].copy_from_slice(&len.to_be_bytes());
        if let Ok(headers) = sluice_net::parse(&wrong) {
            let heard = bench.sessions.receive(7, None, &wrong, &headers, Micros(0));
            assert!(heard.is_err(), "{len}");
        }
    }
}

/// Over several hops the least TTL is the session's.
#[test]
fn multihop_ttl() {
    let path = Path {
        reach: Reach::Multihop,
        ..PATH
    };
    for (min_ttl, ttl, result) in [
        (1, 1, Ok(())),
        (250, 250, Ok(())),
        (250, 249, Err(Discard::Ttl)),
    ] {
        let mut sessions = Sessions::new(1);
        let settings = Settings {
            min_ttl,
            ..settings()
        };
        sessions.set([(path, settings)], Micros(0));
        let mut packet = Vec::new();
        Bench::new(super::settings()).says.write(&mut packet);
        packet[8..12].fill(0);
        assert_eq!(sessions.accept(&path, ttl, &packet, Micros(0)), result);
    }
}

proptest::proptest! {
    /// Whatever bytes come: no panic, and a session that is up stays so unless they were let in.
    #[test]
    fn any_bytes(
        packet in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
        near in proptest::prelude::any::<bool>(),
    ) {
        let mut bench = Bench::at(State::Up, settings());
        let before = bench.status();
        let mut bytes = Vec::new();
        bench.says.write(&mut bytes);
        if near {
            bytes.iter_mut().zip(&packet).take(2).for_each(|(byte, new)| *byte = *new);
            bytes.extend(&packet);
        } else {
            bytes = packet;
        }
        let heard = bench.sessions.accept(&PATH, TTL, &bytes, bench.now);
        bench.sent();
        if heard.is_err() {
            let after = Status { discarded: 0, ..bench.status() };
            proptest::prop_assert_eq!(after, before);
        }
    }
}
