//! Authentication of packets (RFC 5880 section 6.7).

use md5::Md5;
use sha1::{Digest, Sha1};
use sluice_net::wire::bfd::{self, Control, DIGEST_OFFSET, DigestType};
use subtle::ConstantTimeEq;

use super::discard::Discard;
use super::settings::{Authentication, Key, Method};

/// The longest digest.
const MAX_DIGEST: usize = 20;

impl Authentication {
    /// Appends the packet, signed, to `out`.
    pub(super) fn write(&self, control: Control<'_>, sequence: u32, out: &mut Vec<u8>) {
        let Some(Key { id, secret }) = self.sending() else {
            return;
        };
        match self.method() {
            Method::Password => {
                let section = bfd::Authentication::Password {
                    key_id: *id,
                    password: secret,
                };
                let authentication = Some(section);
                Control {
                    authentication,
                    ..control
                }
                .write(out);
            }
            Method::Digest(kind) => {
                let section = bfd::Authentication::Digest {
                    kind,
                    key_id: *id,
                    sequence,
                    digest: &padded(secret)[..kind.digest_len()],
                };
                let authentication = Some(section);
                let start = out.len();
                Control {
                    authentication,
                    ..control
                }
                .write(out);
                let digest = digest(kind, out.get(start..).unwrap_or_default());
                if let Some(place) = out.get_mut(start + DIGEST_OFFSET..) {
                    place.copy_from_slice(&digest[..kind.digest_len()]);
                }
            }
        }
    }

    /// Is `control`, read from `packet`, from who has the key? Its sequence number, if the method has one, which is to
    /// be looked at next. The steps are in the order of sections 6.7.2 to 6.7.4, but the digest comes before the
    /// sequence number: nobody without the key is to learn what number would do.
    pub(super) fn verify(
        &self,
        control: &Control<'_>,
        packet: &[u8],
    ) -> Result<Option<u32>, Discard> {
        match (self.method(), control.authentication) {
            (_, None) => Err(Discard::AuthenticationMissing),
            (Method::Password, Some(bfd::Authentication::Password { key_id, password })) => {
                let key = self.key(key_id).ok_or(Discard::AuthenticationKey)?;
                match bool::from(key.secret.ct_eq(password)) {
                    true => Ok(None),
                    false => Err(Discard::AuthenticationFailed),
                }
            }
            (
                Method::Digest(wanted),
                Some(bfd::Authentication::Digest {
                    kind,
                    key_id,
                    sequence,
                    digest: said,
                }),
            ) if kind == wanted => {
                let key = self.key(key_id).ok_or(Discard::AuthenticationKey)?;
                let mut unsigned = packet
                    .get(..control.wire_len())
                    .unwrap_or_default()
                    .to_vec();
                unsigned.truncate(DIGEST_OFFSET);
                unsigned.extend_from_slice(&padded(&key.secret)[..kind.digest_len()]);
                let right = digest(kind, &unsigned);
                match bool::from(right[..kind.digest_len()].ct_eq(said)) {
                    true => Ok(Some(sequence)),
                    false => Err(Discard::AuthenticationFailed),
                }
            }
            _ => Err(Discard::AuthenticationType),
        }
    }
}

/// The key with zeros behind it, as many as the longest digest has room for.
fn padded(secret: &[u8]) -> [u8; MAX_DIGEST] {
    let mut key = [0; MAX_DIGEST];
    key.iter_mut()
        .zip(secret)
        .for_each(|(place, byte)| *place = *byte);
    key
}

/// The digest of a packet that has the key where the digest belongs.
fn digest(kind: DigestType, packet: &[u8]) -> [u8; MAX_DIGEST] {
    match kind {
        DigestType::Md5 | DigestType::MeticulousMd5 => padded(&Md5::digest(packet)),
        DigestType::Sha1 | DigestType::MeticulousSha1 => padded(&Sha1::digest(packet)),
    }
}
