//! VXLAN (RFC 7348).

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ids::Vni;

/// Length of the header in bytes.
pub const LEN: usize = 8;
/// The I flag: the VNI is valid.
pub const FLAG_VNI: u8 = 0x08;

/// The header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VxlanHeader {
    /// [`FLAG_VNI`]; the other bits are reserved.
    pub flags: u8,
    /// Reserved.
    pub reserved: [u8; 3],
    /// Virtual network identifier.
    pub vni: [u8; 3],
    /// Reserved.
    pub reserved2: u8,
}

/// A parsed VXLAN header; the frame follows after [`LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// Virtual network identifier.
    pub vni: Vni,
}

/// Why a VXLAN header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum VxlanError {
    /// Fewer than 8 bytes.
    #[error("VXLAN header cut short")]
    Truncated,
    /// The I flag is not set (RFC 7348 section 5).
    #[error("VXLAN header without VNI")]
    NoVni,
}

/// Parses the header at the start of a UDP payload. Reserved bits are ignored, as RFC 7348 asks.
///
/// # Errors
/// One [`VxlanError`] per cause; the packet is then dropped.
pub fn parse(bytes: &[u8]) -> Result<Vxlan, VxlanError> {
    let (header, _) = VxlanHeader::ref_from_prefix(bytes).map_err(|_| VxlanError::Truncated)?;
    if header.flags & FLAG_VNI == 0 {
        return Err(VxlanError::NoVni);
    }
    Ok(Vxlan {
        vni: Vni::from_bytes(header.vni),
    })
}

/// Writes the header.
pub fn write(header: &mut [u8; LEN], vni: Vni) {
    let [a, b, c] = vni.to_bytes();
    *header = [FLAG_VNI, 0, 0, 0, a, b, c, 0];
}
