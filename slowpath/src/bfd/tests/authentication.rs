//! Authentication (RFC 5880 sections 4.2 to 4.4 and 6.7).

use sluice_net::wire::bfd::{self, DigestType};

use super::*;
use crate::random::Random;

const METHODS: [Method; 5] = [
    Method::Password,
    Method::Digest(DigestType::Md5),
    Method::Digest(DigestType::MeticulousMd5),
    Method::Digest(DigestType::Sha1),
    Method::Digest(DigestType::MeticulousSha1),
];

fn key(id: u8, secret: &str) -> Key {
    Key {
        id,
        secret: secret.as_bytes().to_vec(),
    }
}

fn with(method: Method, keys: &[(u8, &str)]) -> Settings {
    let keys = keys.iter().map(|(id, secret)| key(*id, secret)).collect();
    Settings {
        authentication: Some(Authentication::new(method, keys).unwrap()),
        ..settings()
    }
}

impl Bench {
    /// Hears a packet that the owner of `settings` signed.
    fn hear_signed(&mut self, settings: &Settings, sequence: u32) -> Result<(), Discard> {
        let mut packet = Vec::new();
        let authentication = settings.authentication.as_ref().unwrap();
        authentication.write(self.says, sequence, &mut packet);
        self.sessions.accept(&PATH, TTL, &packet, self.now)
    }

    /// The next packet, and its sequence number.
    fn next_signed(&mut self) -> (Vec<u8>, Option<u32>) {
        let sent = loop {
            if let Some(sent) = self.sessions.poll(self.now) {
                break sent.payload;
            }
            self.now = self.sessions.next_deadline().unwrap();
        };
        let sequence = match bfd::parse(&sent).unwrap().authentication {
            Some(bfd::Authentication::Digest { sequence, .. }) => Some(sequence),
            _ => None,
        };
        (sent, sequence)
    }
}

/// Digests worked out apart from this code: md5sum and sha1sum of the packet with the padded key in place.
#[test]
fn known_digests() {
    let control = Control {
        your_discriminator: 0,
        ..Bench::new(settings()).says
    };
    for (kind, expected) in [
        (
            DigestType::MeticulousMd5,
            "b51dc61f61386822268d7846bf5a6c40",
        ),
        (DigestType::Sha1, "0b1a3c358bd316d785e9f841ab32e76d9970daee"),
    ] {
        let settings = with(Method::Digest(kind), &[(9, "sesame")]);
        let mut packet = Vec::new();
        let authentication = settings.authentication.unwrap();
        authentication.write(control, 0x0102_0304, &mut packet);
        let hex: String = packet[bfd::DIGEST_OFFSET..]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, expected, "{kind:?}");
    }
}

#[test]
fn keys() {
    let method = Method::Digest(DigestType::Md5);
    let long = "seventeen bytes !";
    for (method, keys, error) in [
        (method, vec![], KeyError::None),
        (
            method,
            vec![key(1, "")],
            KeyError::Length { id: 1, max: 16 },
        ),
        (
            method,
            vec![key(1, "a"), key(2, long)],
            KeyError::Length { id: 2, max: 16 },
        ),
        (
            Method::Password,
            vec![key(3, long)],
            KeyError::Length { id: 3, max: 16 },
        ),
        (
            method,
            vec![key(1, "a"), key(1, "b")],
            KeyError::Repeated { id: 1 },
        ),
    ] {
        assert_eq!(Authentication::new(method, keys), Err(error));
    }
    let sha1 = Method::Digest(DigestType::Sha1);
    assert!(Authentication::new(sha1, vec![key(1, long)]).is_ok());
    assert_eq!(format!("{:?}", key(1, "sesame")), "Key(1)");
}

/// Each method against each, none included: only its own is taken.
#[test]
fn methods() {
    for ours in METHODS {
        let mut bench = Bench::new(with(ours, &[(1, "sesame")]));
        assert_eq!(
            bench.hear(State::Down, 0),
            Err(Discard::AuthenticationMissing)
        );
        for theirs in METHODS {
            let mut bench = Bench::new(with(ours, &[(1, "sesame")]));
            let heard = bench.hear_signed(&with(theirs, &[(1, "sesame")]), 5);
            match ours == theirs {
                true => assert_eq!(heard, Ok(())),
                false => assert_eq!(heard, Err(Discard::AuthenticationType)),
            }
            let mut open = Bench::new(settings());
            let heard = open.hear_signed(&with(theirs, &[(1, "sesame")]), 5);
            assert_eq!(heard, Err(Discard::AuthenticationUnexpected));
        }
        let mut bench = Bench::new(with(ours, &[(1, "sesame"), (2, "new")]));
        for (id, secret, error) in [
            (1, "sesamy", Some(Discard::AuthenticationFailed)),
            (1, "sesam", Some(Discard::AuthenticationFailed)),
            (2, "sesame", Some(Discard::AuthenticationFailed)),
            (3, "sesame", Some(Discard::AuthenticationKey)),
            (1, "sesame", None),
            (2, "new", None),
        ] {
            let heard = bench.hear_signed(&with(ours, &[(id, secret)]), 5 + u32::from(id));
            assert_eq!(heard.err(), error, "{ours:?} {id} {secret}");
        }
    }
}

/// Whatever is changed in a packet with a digest is noticed, and changes nothing.
#[test]
fn damage() {
    for method in &METHODS[1..] {
        let settings = with(*method, &[(1, "sesame")]);
        let mut bench = Bench::new(settings.clone());
        let mut packet = Vec::new();
        let authentication = settings.authentication.as_ref().unwrap();
        authentication.write(bench.says, 5, &mut packet);
        let before = bench.status();
        for bit in 0..packet.len() * 8 {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let heard = bench.sessions.accept(&PATH, TTL, &damaged, bench.now);
            assert!(heard.is_err(), "{method:?}, bit {bit}");
        }
        let status = bench.status();
        assert_eq!(
            Status {
                discarded: 0,
                ..status
            },
            before
        );
    }
}

/// Sections 6.7.3 and 6.7.4: which numbers are taken after which; circular.
#[test]
fn sequence_windows() {
    for method in &METHODS[1..] {
        let least = match method {
            Method::Digest(kind) => u32::from(kind.is_meticulous()),
            Method::Password => continue,
        };
        let settings = with(*method, &[(1, "sesame")]);
        for last in [5, 0, u32::MAX - 3, u32::MAX] {
            for (ahead, taken) in [
                (u32::MAX, false),
                (0, least == 0),
                (1, true),
                (9, true),
                (10, false),
                (1 << 31, false),
            ] {
                let mut bench = Bench::new(settings.clone());
                bench.hear_signed(&settings, last).unwrap();
                let heard = bench.hear_signed(&settings, last.wrapping_add(ahead));
                let expected = (!taken).then_some(Discard::Sequence);
                assert_eq!(heard.err(), expected, "{method:?} {last} {ahead}");
            }
        }
        // bfd.AuthSeqKnown: a side that began anew is taken after twice the detection time, not before.
        let mut bench = Bench::new(settings.clone());
        bench.hear_signed(&settings, 500).unwrap();
        bench.now = Micros(599_999);
        assert_eq!(bench.hear_signed(&settings, 7), Err(Discard::Sequence));
        bench.now = Micros(600_000);
        bench.hear_signed(&settings, 7).unwrap();
    }
}

/// Numbers that this side sends: with every packet, or with every change; a receiver takes them all.
#[test]
fn sequence_numbers_sent() {
    for method in &METHODS[1..] {
        let settings = with(*method, &[(1, "sesame"), (2, "new")]);
        let mut bench = Bench::new(settings.clone());
        let numbers: Vec<u32> = (0..5).filter_map(|_| bench.next_signed().1).collect();
        assert_eq!(numbers.len(), 5);
        let steps = |numbers: &[u32]| -> Vec<u32> {
            let step = |two: &[u32]| two[1].wrapping_sub(two[0]);
            numbers.windows(2).map(step).collect()
        };
        match method {
            Method::Digest(kind) if kind.is_meticulous() => assert_eq!(steps(&numbers), [1; 4]),
            _ => assert_eq!(steps(&numbers), [0; 4]),
        }
        bench.hear_signed(&settings, 1).unwrap();
        let (packet, next) = bench.next_signed();
        assert_eq!(next, Some(numbers[4].wrapping_add(1)));
        // Signed with the first key.
        let control = bfd::parse(&packet).unwrap();
        let first = with(*method, &[(1, "sesame")]).authentication.unwrap();
        assert_eq!(first.verify(&control, &packet), Ok(next));
    }
    // They begin anywhere.
    let first = |seed| {
        let session = super::super::session::Session::new(
            with(METHODS[1], &[(1, "a")]),
            1,
            &mut Random::new(seed),
            Micros(0),
        );
        format!("{session:?}")
    };
    assert_ne!(first(1), first(2));
}

/// A new key on both sides, one side after the other, without a flap.
#[test]
fn keys_are_exchanged() {
    for method in METHODS {
        let (old, new) = ((1, "old"), (2, "new"));
        let mut bench = Bench::new(with(method, &[old]));
        bench.hear_signed(&with(method, &[old]), 1).unwrap();
        bench.says.state = State::Init;
        bench.hear_signed(&with(method, &[old]), 2).unwrap();
        bench.says.state = State::Up;
        bench.change(|settings| *settings = with(method, &[old, new]));
        bench.hear_signed(&with(method, &[new]), 3).unwrap();
        bench.hear_signed(&with(method, &[old]), 4).unwrap();
        bench.change(|settings| *settings = with(method, &[new]));
        bench.hear_signed(&with(method, &[new]), 5).unwrap();
        let gone = bench.hear_signed(&with(method, &[old]), 6);
        assert_eq!(gone, Err(Discard::AuthenticationKey));
        assert_eq!((bench.status().state, bench.status().downs), (State::Up, 0));
    }
}
