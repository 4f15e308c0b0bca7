//! Bidirectional forwarding detection: control packets (RFC 5880 section 4).
//!
//! [`parse`] makes the checks of section 6.8.6 that need no session; those that do belong to who has the sessions.
//! Intervals are microseconds, as on the wire.

use std::fmt;

use thiserror::Error;
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a packet without authentication in bytes.
pub const LEN: usize = 24;
/// Length of the longest packet, SHA1 digest included, in bytes.
pub const MAX_LEN: usize = LEN + SHA1_SECTION_LEN;
/// Destination port over one hop (RFC 5881 section 4), and inside tunnels of OVN's chassis.
pub const PORT: u16 = 3784;
/// Destination port over several hops (RFC 5883 section 5).
pub const PORT_MULTIHOP: u16 = 4784;
/// The lowest source port (RFC 5881 section 4); the highest is 65535.
pub const FIRST_SOURCE_PORT: u16 = 49_152;
/// Offset of the digest of [`Authentication::Digest`] within the packet.
pub const DIGEST_OFFSET: usize = LEN + DIGEST_HEADER_LEN;
/// The longest password (section 4.2), in bytes; the shortest has one.
pub const MAX_PASSWORD_LEN: usize = 16;

/// Flag: answer with [`FINAL`].
pub const POLL: u8 = 0x20;
/// Flag: the answer to [`POLL`].
pub const FINAL: u8 = 0x10;
/// Flag: the sender's BFD does not share the fate of its control plane.
pub const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
/// Flag: an authentication section follows. [`Control::write`] sets it by itself.
pub const AUTHENTICATION: u8 = 0x04;
/// Flag: the sender wants no periodic packets while both sides are up.
pub const DEMAND: u8 = 0x02;
/// Flag: reserved for point-to-multipoint, always 0.
pub const MULTIPOINT: u8 = 0x01;

const VERSION: u8 = 1;
const FLAGS: u8 = 0x3f;
/// The smallest length with an authentication section: its type and its length (section 6.8.6).
const MIN_AUTHENTICATED_LEN: usize = LEN + 2;
const PASSWORD_HEADER_LEN: usize = 3;
const DIGEST_HEADER_LEN: usize = 8;
const SHA1_SECTION_LEN: usize = 28;
const TYPE_PASSWORD: u8 = 1;

/// The mandatory section (section 4.1).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ControlHeader {
    /// Version in the high 3 bits, diagnostic in the low 5.
    pub version_diagnostic: u8,
    /// State in the high 2 bits, flags in the low 6.
    pub state_flags: u8,
    /// How many packets may be lost before the session is.
    pub detect_mult: u8,
    /// Length of the packet in bytes, the authentication section included.
    pub len: u8,
    /// The sender's name for the session; not 0.
    pub my_discriminator: U32,
    /// The receiver's name for the session as the sender knows it, or 0.
    pub your_discriminator: U32,
    /// The sender wants to send no more often than this.
    pub desired_min_tx: U32,
    /// The sender wants to receive no more often than this; 0: nothing periodic at all.
    pub required_min_rx: U32,
    /// The same for echo packets; 0: none.
    pub required_min_echo_rx: U32,
}

/// State of a session (section 4.1, Sta).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Held down by its operator.
    AdminDown = 0,
    /// Down, or just created.
    #[default]
    Down = 1,
    /// The other side is heard, and is down.
    Init = 2,
    /// Both sides hear each other.
    Up = 3,
}

impl State {
    /// By the number on the wire; the high bits are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::AdminDown => "admin-down",
            State::Down => "down",
            State::Init => "init",
            State::Up => "up",
        })
    }
}

/// Why the sender's session last left up, or what ails the path (section 4.1, Diag). 9 to 31 are reserved and
/// let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to tell.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// No packet within the detection time.
    pub const DETECTION_TIME_EXPIRED: Diagnostic = Diagnostic(1);
    /// Echo packets do not come back.
    pub const ECHO_FAILED: Diagnostic = Diagnostic(2);
    /// The other side said that it is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Diagnostic = Diagnostic(3);
    /// The sender's forwarding state was lost.
    pub const FORWARDING_PLANE_RESET: Diagnostic = Diagnostic(4);
    /// The path is known to be down from elsewhere.
    pub const PATH_DOWN: Diagnostic = Diagnostic(5);
    /// A path behind this one is down.
    pub const CONCATENATED_PATH_DOWN: Diagnostic = Diagnostic(6);
    /// Its operator holds it down.
    pub const ADMINISTRATIVELY_DOWN: Diagnostic = Diagnostic(7);
    /// A path behind this one is down in the other direction.
    pub const REVERSE_CONCATENATED_PATH_DOWN: Diagnostic = Diagnostic(8);

    /// By the number on the wire; the high 3 bits are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Diagnostic {
        Diagnostic(bits & 0x1f)
    }

    /// The number on the wire, 0 to 31.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "none",
            1 => "detection-time-expired",
            2 => "echo-failed",
            3 => "neighbor-signaled-down",
            4 => "forwarding-plane-reset",
            5 => "path-down",
            6 => "concatenated-path-down",
            7 => "administratively-down",
            8 => "reverse-concatenated-path-down",
            code => return write!(f, "reserved-{code}"),
        })
    }
}

/// By what a digest is made (sections 4.3 and 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DigestType {
    /// Keyed MD5; the sequence number may stand still.
    Md5 = 2,
    /// Keyed MD5; the sequence number grows with every packet.
    MeticulousMd5 = 3,
    /// Keyed SHA1; the sequence number may stand still.
    Sha1 = 4,
    /// Keyed SHA1; the sequence number grows with every packet.
    MeticulousSha1 = 5,
}

impl DigestType {
    /// Length of the digest, and of the longest key, in bytes.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            DigestType::Md5 | DigestType::MeticulousMd5 => 16,
            DigestType::Sha1 | DigestType::MeticulousSha1 => 20,
        }
    }

    /// Whether the sequence number grows with every packet.
    #[must_use]
    pub const fn is_meticulous(self) -> bool {
        matches!(self, DigestType::MeticulousMd5 | DigestType::MeticulousSha1)
    }

    const fn from_wire(kind: u8) -> Option<DigestType> {
        Some(match kind {
            2 => DigestType::Md5,
            3 => DigestType::MeticulousMd5,
            4 => DigestType::Sha1,
            5 => DigestType::MeticulousSha1,
            _ => return None,
        })
    }
}

/// The authentication section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'p> {
    /// The password itself (section 4.2).
    Password {
        /// Which of several passwords.
        key_id: u8,
        /// 1 to 16 bytes.
        password: &'p [u8],
    },
    /// A digest of packet and key (sections 4.3 and 4.4).
    Digest {
        /// How it is made.
        kind: DigestType,
        /// Which of several keys.
        key_id: u8,
        /// Sequence number.
        sequence: u32,
        /// As many bytes as [`DigestType::digest_len`] says.
        digest: &'p [u8],
    },
}

/// Passwords do not belong into logs.
impl fmt::Debug for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authentication::Password { key_id, .. } => write!(f, "Password(key {key_id})"),
            Authentication::Digest {
                kind,
                key_id,
                sequence,
                ..
            } => write!(f, "{kind:?}(key {key_id}, sequence {sequence})"),
        }
    }
}

impl Authentication<'_> {
    /// Length of the section in bytes.
    #[must_use]
    pub const fn section_len(&self) -> usize {
        match self {
            Authentication::Password { password, .. } => PASSWORD_HEADER_LEN + password.len(),
            Authentication::Digest { digest, .. } => DIGEST_HEADER_LEN + digest.len(),
        }
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'p> {
    /// Why the sender's session last left up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// [`POLL`], [`FINAL`], [`CONTROL_PLANE_INDEPENDENT`], [`DEMAND`]; the others follow from the rest.
    pub flags: u8,
    /// How many packets may be lost before the session is; not 0.
    pub detect_mult: u8,
    /// The sender's name for the session; not 0.
    pub my_discriminator: u32,
    /// The receiver's name for the session as the sender knows it, or 0.
    pub your_discriminator: u32,
    /// The sender wants to send no more often than this, microseconds.
    pub desired_min_tx: u32,
    /// The sender wants to receive no more often than this, microseconds; 0: nothing periodic at all.
    pub required_min_rx: u32,
    /// The same for echo packets; 0: none.
    pub required_min_echo_rx: u32,
    /// The authentication section.
    pub authentication: Option<Authentication<'p>>,
}

/// Why a packet is refused, in the order of section 6.8.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum BfdError {
    /// Fewer bytes than the mandatory section.
    #[error("BFD packet cut short")]
    Truncated,
    /// A version other than 1.
    #[error("unknown BFD version")]
    Version,
    /// Its length is less than that of what it must contain.
    #[error("BFD length too small")]
    LengthTooSmall,
    /// Its length is more than the datagram has.
    #[error("BFD length beyond the datagram")]
    LengthTooLarge,
    /// A multiplier of zero.
    #[error("BFD detection multiplier is zero")]
    DetectMultZero,
    /// The multipoint bit is set.
    #[error("BFD multipoint bit is set")]
    Multipoint,
    /// The sender has no name for the session.
    #[error("BFD discriminator of the sender is zero")]
    MyDiscriminatorZero,
    /// An authentication type that is not known.
    #[error("unknown BFD authentication type")]
    AuthenticationType,
    /// The authentication section has another length than its type asks for, or than the packet has room for.
    #[error("malformed BFD authentication section")]
    AuthenticationLength,
    /// Poll and final at once (section 6.5).
    #[error("BFD packet with both poll and final")]
    PollAndFinal,
}

/// Parses the packet at the start of a UDP payload. What follows it is ignored.
///
/// # Errors
/// One [`BfdError`] per cause; the packet is then discarded.
pub fn parse(bytes: &[u8]) -> Result<Control<'_>, BfdError> {
    let (header, _) = ControlHeader::ref_from_prefix(bytes).map_err(|_| BfdError::Truncated)?;
    let (flags, len) = (header.state_flags & FLAGS, usize::from(header.len));
    if header.version_diagnostic >> 5 != VERSION {
        return Err(BfdError::Version);
    }
    let least = match flags & AUTHENTICATION {
        0 => LEN,
        _ => MIN_AUTHENTICATED_LEN,
    };
    if len < least {
        return Err(BfdError::LengthTooSmall);
    }
    let section = bytes.get(LEN..len).ok_or(BfdError::LengthTooLarge)?;
    if header.detect_mult == 0 {
        return Err(BfdError::DetectMultZero);
    }
    if flags & MULTIPOINT != 0 {
        return Err(BfdError::Multipoint);
    }
    if header.my_discriminator.get() == 0 {
        return Err(BfdError::MyDiscriminatorZero);
    }
    let authentication = match flags & AUTHENTICATION {
        0 => None,
        _ => Some(parse_authentication(section)?),
    };
    if flags & (POLL | FINAL) == POLL | FINAL {
        return Err(BfdError::PollAndFinal);
    }
    Ok(Control {
        diagnostic: Diagnostic::from_bits(header.version_diagnostic),
        state: State::from_bits(header.state_flags >> 6),
        flags: flags & !AUTHENTICATION,
        detect_mult: header.detect_mult,
        my_discriminator: header.my_discriminator.get(),
        your_discriminator: header.your_discriminator.get(),
        desired_min_tx: header.desired_min_tx.get(),
        required_min_rx: header.required_min_rx.get(),
        required_min_echo_rx: header.required_min_echo_rx.get(),
        authentication,
    })
}

/// The section is all that follows the mandatory one; its own length must say so too.
fn parse_authentication(section: &[u8]) -> Result<Authentication<'_>, BfdError> {
    let &[kind, len, ..] = section else {
        return Err(BfdError::AuthenticationLength);
    };
    let fits = usize::from(len) == section.len();
    if kind == TYPE_PASSWORD {
        return match section {
            [_, _, key_id, password @ ..]
                if fits && (1..=MAX_PASSWORD_LEN).contains(&password.len()) =>
            {
                Ok(Authentication::Password {
                    key_id: *key_id,
                    password,
                })
            }
            _ => Err(BfdError::AuthenticationLength),
        };
    }
    let kind = DigestType::from_wire(kind).ok_or(BfdError::AuthenticationType)?;
    match section {
        // The reserved byte is ignored.
        [_, _, key_id, _, s0, s1, s2, s3, digest @ ..]
            if fits && digest.len() == kind.digest_len() =>
        {
            Ok(Authentication::Digest {
                kind,
                key_id: *key_id,
                sequence: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
                digest,
            })
        }
        _ => Err(BfdError::AuthenticationLength),
    }
}

impl Control<'_> {
    /// Length on the wire in bytes.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        LEN + self
            .authentication
            .map_or(0, |section| section.section_len())
    }

    /// Whether one of `flags` is set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Appends the packet to `out`. A digest is written as it is given: who signs puts the key there first.
    pub fn write(&self, out: &mut Vec<u8>) {
        let authentication = match self.authentication {
            Some(_) => AUTHENTICATION,
            None => 0,
        };
        let header = ControlHeader {
            version_diagnostic: VERSION << 5 | self.diagnostic.code(),
            state_flags: (self.state as u8) << 6
                | self.flags & FLAGS & !(AUTHENTICATION | MULTIPOINT)
                | authentication,
            detect_mult: self.detect_mult,
            len: self.wire_len() as u8,
            my_discriminator: self.my_discriminator.into(),
            your_discriminator: self.your_discriminator.into(),
            desired_min_tx: self.desired_min_tx.into(),
            required_min_rx: self.required_min_rx.into(),
            required_min_echo_rx: self.required_min_echo_rx.into(),
        };
        out.extend_from_slice(header.as_bytes());
        let Some(section) = self.authentication else {
            return;
        };
        let len = section.section_len() as u8;
        match section {
            Authentication::Password { key_id, password } => {
                out.extend_from_slice(&[TYPE_PASSWORD, len, key_id]);
                out.extend_from_slice(password);
            }
            Authentication::Digest {
                kind,
                key_id,
                sequence,
                digest,
            } => {
                out.extend_from_slice(&[kind as u8, len, key_id, 0]);
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(digest);
            }
        }
    }
}
