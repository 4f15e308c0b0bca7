//! BFD control packets: bytes as RFC 5880 section 4 draws them, every refusal, and what holds for all bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use sluice_net::wire::bfd::{
    self, Authentication, BfdError, Control, Diagnostic, DigestType, State, parse,
};

/// What an OVS host sends first: down, knows nobody, 1 s, three times.
const DOWN: [u8; 24] = [
    0x20, 0x40, 3, 24, //
    0x11, 0x22, 0x33, 0x44, //
    0, 0, 0, 0, //
    0x00, 0x0f, 0x42, 0x40, //
    0x00, 0x0f, 0x42, 0x40, //
    0, 0, 0, 0,
];

fn down() -> Control<'static> {
    Control {
        diagnostic: Diagnostic::NONE,
        state: State::Down,
        flags: 0,
        detect_mult: 3,
        my_discriminator: 0x1122_3344,
        your_discriminator: 0,
        desired_min_tx: 1_000_000,
        required_min_rx: 1_000_000,
        required_min_echo_rx: 0,
        authentication: None,
    }
}

fn bytes_of(control: &Control<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    control.write(&mut bytes);
    bytes
}

#[test]
fn layout() {
    assert_eq!(parse(&DOWN), Ok(down()));
    assert_eq!(bytes_of(&down()), DOWN);
    let control = Control {
        diagnostic: Diagnostic::NEIGHBOR_SIGNALED_DOWN,
        state: State::Up,
        flags: bfd::FINAL | bfd::DEMAND | bfd::CONTROL_PLANE_INDEPENDENT,
        detect_mult: 255,
        my_discriminator: 1,
        your_discriminator: 0xffff_fffe,
        desired_min_tx: 10_000,
        required_min_rx: 0,
        required_min_echo_rx: 7,
        authentication: Some(Authentication::Password {
            key_id: 9,
            password: b"sesame",
        }),
    };
    let bytes = bytes_of(&control);
    assert_eq!(
        bytes[..4],
        [0x23, 0xc0 | 0x10 | 0x08 | 0x04 | 0x02, 255, 33]
    );
    assert_eq!(bytes[4..12], [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(bytes[12..24], [0, 0, 0x27, 0x10, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(bytes[24..], *b"\x01\x09\x09sesame");
    assert_eq!(parse(&bytes), Ok(control));
}

#[test]
fn digest_sections() {
    for (kind, wire, len) in [
        (DigestType::Md5, 2, 24),
        (DigestType::MeticulousMd5, 3, 24),
        (DigestType::Sha1, 4, 28),
        (DigestType::MeticulousSha1, 5, 28),
    ] {
        let digest: Vec<u8> = (100..).take(kind.digest_len()).collect();
        let control = Control {
            authentication: Some(Authentication::Digest {
                kind,
                key_id: 200,
                sequence: 0x0102_0304,
                digest: &digest,
            }),
            ..down()
        };
        let mut bytes = bytes_of(&control);
        assert_eq!(usize::from(bytes[3]), bytes.len());
        assert_eq!(bytes[24..32], [wire, len, 200, 0, 1, 2, 3, 4], "{kind:?}");
        assert_eq!(bytes[bfd::DIGEST_OFFSET..], digest);
        assert!(bytes.len() <= bfd::MAX_LEN);
        // Reserved, and what follows the packet: ignored.
        bytes[27] = 0xff;
        bytes.extend([1, 2, 3]);
        assert_eq!(parse(&bytes), Ok(control), "{kind:?}");
    }
}

/// Every reason that needs no session (section 6.8.6), each by the smallest change of a good packet.
#[test]
fn refusals() {
    let signed = |kind: u8, own_len: u8, section: usize| {
        let mut bytes = DOWN.to_vec();
        bytes[1] |= bfd::AUTHENTICATION;
        bytes[3] = (24 + section) as u8;
        bytes.extend([kind, own_len]);
        bytes.resize(24 + section.max(2), 1);
        bytes
    };
    let with = |at: usize, byte: u8| {
        let mut bytes = DOWN.to_vec();
        bytes[at] = byte;
        bytes
    };
    let nameless = [&DOWN[..4], &[0; 20]].concat();
    for (name, bytes, error) in [
        ("empty", vec![], BfdError::Truncated),
        ("a byte short", DOWN[..23].to_vec(), BfdError::Truncated),
        ("version 0", with(0, 0x00), BfdError::Version),
        ("version 2", with(0, 0x40), BfdError::Version),
        ("length 23", with(3, 23), BfdError::LengthTooSmall),
        (
            "length 25, authenticated",
            signed(1, 1, 1),
            BfdError::LengthTooSmall,
        ),
        ("length 25 of 24", with(3, 25), BfdError::LengthTooLarge),
        ("multiplier 0", with(2, 0), BfdError::DetectMultZero),
        ("multipoint", with(1, 0x41), BfdError::Multipoint),
        ("no discriminator", nameless, BfdError::MyDiscriminatorZero),
        ("type 0", signed(0, 8, 8), BfdError::AuthenticationType),
        ("type 6", signed(6, 24, 24), BfdError::AuthenticationType),
        (
            "no password",
            signed(1, 3, 3),
            BfdError::AuthenticationLength,
        ),
        ("no key id", signed(1, 2, 2), BfdError::AuthenticationLength),
        (
            "password of 17",
            signed(1, 20, 20),
            BfdError::AuthenticationLength,
        ),
        (
            "password, too short",
            signed(1, 8, 9),
            BfdError::AuthenticationLength,
        ),
        (
            "password, too long",
            signed(1, 10, 9),
            BfdError::AuthenticationLength,
        ),
        (
            "MD5 of 15",
            signed(2, 23, 23),
            BfdError::AuthenticationLength,
        ),
        (
            "MD5 of 20",
            signed(3, 28, 28),
            BfdError::AuthenticationLength,
        ),
        (
            "SHA1 of 16",
            signed(4, 24, 24),
            BfdError::AuthenticationLength,
        ),
        (
            "SHA1 says 24",
            signed(5, 24, 28),
            BfdError::AuthenticationLength,
        ),
        (
            "MD5, type alone",
            signed(2, 2, 2),
            BfdError::AuthenticationLength,
        ),
        ("poll and final", with(1, 0x70), BfdError::PollAndFinal),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{name}");
    }
}

#[test]
fn reserved_values_pass() {
    let mut bytes = DOWN;
    bytes[0] = 0x3f;
    let control = parse(&bytes).unwrap();
    assert_eq!(control.diagnostic.code(), 31);
    assert_eq!(control.diagnostic.to_string(), "reserved-31");
    // Longer than it needs to be, without authentication.
    let mut long = DOWN.to_vec();
    long[3] = 28;
    long.extend([0; 4]);
    assert_eq!(parse(&long), Ok(down()));
}

#[test]
fn passwords_are_not_shown() {
    let shown = format!(
        "{:?}",
        Authentication::Password {
            key_id: 1,
            password: b"sesame"
        }
    );
    assert_eq!(shown, "Password(key 1)");
}

/// A section as its owned parts: type, key, sequence, bytes.
fn section() -> impl Strategy<Value = Option<(u8, u8, u32, Vec<u8>)>> {
    let password = (Just(1), any::<u8>(), Just(0), vec(any::<u8>(), 1..=16));
    let md5 = (2_u8..=3, any::<u8>(), any::<u32>(), vec(any::<u8>(), 16));
    let sha1 = (4_u8..=5, any::<u8>(), any::<u32>(), vec(any::<u8>(), 20));
    proptest::option::of(prop_oneof![password, md5, sha1])
}

fn authentication((kind, key_id, sequence, bytes): &(u8, u8, u32, Vec<u8>)) -> Authentication<'_> {
    let kind = match kind {
        1 => {
            return Authentication::Password {
                key_id: *key_id,
                password: bytes,
            };
        }
        2 => DigestType::Md5,
        3 => DigestType::MeticulousMd5,
        4 => DigestType::Sha1,
        _ => DigestType::MeticulousSha1,
    };
    Authentication::Digest {
        kind,
        key_id: *key_id,
        sequence: *sequence,
        digest: bytes,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (diagnostic, state, flags, detect_mult) in (0_u8..32, 0_u8..4, 0_u8..64, 1_u8..),
        (my_discriminator, your_discriminator) in (1_u32.., any::<u32>()),
        (desired_min_tx, required_min_rx, required_min_echo_rx) in any::<(u32, u32, u32)>(),
        section in section(),
        cut in any::<prop::sample::Index>(),
    ) {
        let flags = flags & !(bfd::AUTHENTICATION | bfd::MULTIPOINT);
        prop_assume!(flags & (bfd::POLL | bfd::FINAL) != bfd::POLL | bfd::FINAL);
        let control = Control {
            diagnostic: Diagnostic::from_bits(diagnostic),
            state: State::from_bits(state),
            flags,
            detect_mult,
            my_discriminator,
            your_discriminator,
            desired_min_tx,
            required_min_rx,
            required_min_echo_rx,
            authentication: section.as_ref().map(authentication),
        };
        let bytes = bytes_of(&control);
        prop_assert_eq!(bytes.len(), control.wire_len());
        prop_assert_eq!(parse(&bytes), Ok(control));
        prop_assert!(parse(&bytes[..cut.index(bytes.len())]).is_err());
    }

    /// Whatever is accepted can be written again and means the same.
    #[test]
    fn any_bytes(head in vec(any::<u8>(), 2), bytes in vec(any::<u8>(), 0..60)) {
        let mut near = DOWN.to_vec();
        near[1..3].copy_from_slice(&head);
        near.extend(&bytes);
        near[3] = near.len() as u8;
        for bytes in [bytes, near] {
            if let Ok(control) = parse(&bytes) {
                let again = bytes_of(&control);
                prop_assert_eq!(parse(&again), Ok(control));
                prop_assert!(again.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn damaged_packets(at in 0_usize..24, to in any::<u8>(), section in section()) {
        let control = Control { authentication: section.as_ref().map(authentication), ..down() };
        let mut bytes = bytes_of(&control);
        bytes[at] = to;
        if let Ok(read) = parse(&bytes) {
            prop_assert!(read.detect_mult != 0 && read.my_discriminator != 0);
            prop_assert!(read.wire_len() <= bytes.len());
        }
    }
}
