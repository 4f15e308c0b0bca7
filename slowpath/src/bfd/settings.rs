//! What an operator says about a session.

use std::fmt;
use std::num::NonZeroU8;

use sluice_net::wire::bfd::{DigestType, MAX_PASSWORD_LEN};

/// Time between packets, 10 ms to 10 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

impl Interval {
    /// The shortest.
    pub const MIN: Interval = Interval(10_000);
    /// The longest.
    pub const MAX: Interval = Interval(10_000_000);

    /// So many microseconds; `None` when it is less than [`MIN`](Self::MIN) or more than [`MAX`](Self::MAX).
    #[must_use]
    pub const fn from_micros(micros: u32) -> Option<Interval> {
        if micros < Self::MIN.0 || micros > Self::MAX.0 {
            return None;
        }
        Some(Interval(micros))
    }

    /// In microseconds.
    #[must_use]
    pub const fn micros(self) -> u32 {
        self.0
    }
}

/// One of several passwords or keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its number, the same on both sides.
    pub id: u8,
    /// The bytes.
    pub secret: Vec<u8>,
}

/// Secrets do not belong into logs.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// How packets are authenticated (RFC 5880 section 6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a password that everybody on the way can read (section 6.7.2).
    Password,
    /// By a digest (sections 6.7.3 and 6.7.4).
    Digest(DigestType),
}

/// Why passwords or keys do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// There is none.
    None,
    /// The one of this number is empty, or longer than the method has room for.
    Length {
        /// Its number.
        id: u8,
        /// The most bytes it may have.
        max: usize,
    },
    /// Two have this number.
    Repeated {
        /// The number.
        id: u8,
    },
}

/// Method and keys. Packets are sent with the first key and taken with each of them, so that a new one can be
/// added on both sides before the old one goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    method: Method,
    keys: Vec<Key>,
}

impl Authentication {
    /// Method and keys.
    ///
    /// # Errors
    /// One [`KeyError`] per cause.
    pub fn new(method: Method, keys: Vec<Key>) -> Result<Self, KeyError> {
        let max = match method {
            Method::Password => MAX_PASSWORD_LEN,
            Method::Digest(kind) => kind.digest_len(),
        };
        for (at, Key { id, secret }) in keys.iter().enumerate() {
            if secret.is_empty() || secret.len() > max {
                return Err(KeyError::Length { id: *id, max });
            }
            if keys.iter().take(at).any(|other| other.id == *id) {
                return Err(KeyError::Repeated { id: *id });
            }
        }
        match keys.is_empty() {
            true => Err(KeyError::None),
            false => Ok(Self { method, keys }),
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The key that packets are sent with.
    pub(super) fn sending(&self) -> Option<&Key> {
        self.keys.first()
    }

    /// The key of this number.
    pub(super) fn key(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// What an operator says about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This side wants to send no more often while it is up (bfd.DesiredMinTxInterval). Until then it is a second at least.
    pub min_tx: Interval,
    /// This side wants to receive no more often (bfd.RequiredMinRxInterval).
    pub min_rx: Interval,
    /// How many packets of this side may be lost before the other takes it for gone (bfd.DetectMult).
    pub detect_mult: NonZeroU8,
    /// Does not speak before it is spoken to (section 6.1).
    pub passive: bool,
    /// Held down by the operator, and says so (section 6.8.16).
    pub admin_down: bool,
    /// How packets are authenticated.
    pub authentication: Option<Authentication>,
    /// Over several hops: the least TTL of packets (RFC 5883 section 6). Over one hop it is 255.
    pub min_ttl: u8,
}

impl Default for Settings {
    /// What OVS does: sends every 100 ms, receives every second, three times.
    fn default() -> Self {
        Self {
            min_tx: Interval(100_000),
            min_rx: Interval(1_000_000),
            detect_mult: const { NonZeroU8::new(3).unwrap() },
            passive: false,
            admin_down: false,
            authentication: None,
            min_ttl: 1,
        }
    }
}
