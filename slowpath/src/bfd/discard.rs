//! Why a packet has no effect.

use std::fmt;

use hashbrown::HashMap;
use sluice_net::wire::bfd::BfdError;

/// Why a packet has no effect (RFC 5880 section 6.8.6, in its order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// The checksum of UDP is wrong.
    Checksum,
    /// It crossed more routers than it may have (RFC 5881 section 5, RFC 5883 section 6).
    Ttl,
    /// It is no good packet.
    Malformed(BfdError),
    /// No session has the discriminator it names.
    UnknownDiscriminator,
    /// It names a session, but came from elsewhere.
    WrongPath,
    /// It names no session, but its sender claims to know one.
    StateWithoutDiscriminator,
    /// It names no session, and none is wanted with its sender.
    UnknownPeer,
    /// It is authenticated; the session is not.
    AuthenticationUnexpected,
    /// It is not authenticated; the session is.
    AuthenticationMissing,
    /// It is authenticated by another method.
    AuthenticationType,
    /// There is no key of its number.
    AuthenticationKey,
    /// The password or the digest is wrong.
    AuthenticationFailed,
    /// Its sequence number was seen before, or is too far off.
    Sequence,
    /// The session is held down.
    AdminDown,
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Discard::Checksum => "checksum",
            Discard::Ttl => "ttl",
            Discard::Malformed(BfdError::Truncated) => "truncated",
            Discard::Malformed(BfdError::Version) => "version",
            Discard::Malformed(BfdError::LengthTooSmall) => "length-too-small",
            Discard::Malformed(BfdError::LengthTooLarge) => "length-too-large",
            Discard::Malformed(BfdError::DetectMultZero) => "detect-mult-zero",
            Discard::Malformed(BfdError::Multipoint) => "multipoint",
            Discard::Malformed(BfdError::MyDiscriminatorZero) => "my-discriminator-zero",
            Discard::Malformed(BfdError::AuthenticationType) => "authentication-type-unknown",
            Discard::Malformed(BfdError::AuthenticationLength) => "authentication-length",
            Discard::Malformed(BfdError::PollAndFinal) => "poll-and-final",
            Discard::UnknownDiscriminator => "unknown-discriminator",
            Discard::WrongPath => "wrong-path",
            Discard::StateWithoutDiscriminator => "state-without-discriminator",
            Discard::UnknownPeer => "unknown-peer",
            Discard::AuthenticationUnexpected => "authentication-unexpected",
            Discard::AuthenticationMissing => "authentication-missing",
            Discard::AuthenticationType => "authentication-type",
            Discard::AuthenticationKey => "authentication-key",
            Discard::AuthenticationFailed => "authentication-failed",
            Discard::Sequence => "sequence",
            Discard::AdminDown => "admin-down",
        })
    }
}

/// How many packets were discarded, by reason.
#[derive(Clone, Debug, Default)]
pub struct Discards(HashMap<Discard, u64>);

impl Discards {
    pub(super) fn count(&mut self, discard: Discard) {
        *self.0.entry(discard).or_default() += 1;
    }

    /// So many for this reason.
    #[must_use]
    pub fn of(&self, discard: Discard) -> u64 {
        self.0.get(&discard).copied().unwrap_or_default()
    }

    /// Reasons that were met, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        self.0.iter().map(|(discard, count)| (*discard, *count))
    }
}
