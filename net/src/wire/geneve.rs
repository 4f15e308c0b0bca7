//! Geneve (RFC 8926) with OVN's option.

use thiserror::Error;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::ETHERTYPE_TEB;
use crate::ids::{PortKey, Vni};

/// Length of the base header in bytes.
pub const LEN: usize = 8;
/// Length of the header with OVN's option in bytes.
pub const OVN_LEN: usize = 16;
/// Option class of OVN.
pub const OVN_CLASS: u16 = 0x0102;
/// Type of OVN's option, the critical bit included.
pub const OVN_TYPE: u8 = 0x80;

const FLAG_CONTROL: u8 = 0x80;
const FLAG_CRITICAL: u8 = 0x40;
const OPTION_CRITICAL: u8 = 0x80;

/// The base header.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct GeneveHeader {
    /// Version in the high 2 bits, length of the options in 32-bit words in the low 6.
    pub version_len: u8,
    /// Control bit, critical bit, 6 reserved.
    pub flags: u8,
    /// EtherType of the payload.
    pub protocol: U16,
    /// Virtual network identifier.
    pub vni: [u8; 3],
    /// Reserved.
    pub reserved: u8,
}

/// How every option begins.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Unaligned, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OptionHeader {
    /// Who defines the type.
    pub class: U16,
    /// Type; the highest bit says that it is critical.
    pub kind: u8,
    /// Length of the data in 32-bit words in the low 5 bits; 3 reserved.
    pub len: u8,
}

/// OVN's option: the logical ports between which the packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OvnOption {
    /// Key of the logical port by which the packet entered; 15 bits.
    pub in_key: u16,
    /// Key of the logical port or multicast group it goes to.
    pub out_key: u16,
}

/// A parsed Geneve header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geneve {
    /// Virtual network identifier.
    pub vni: Vni,
    /// EtherType of the payload; 0x6558 for an Ethernet frame.
    pub protocol: u16,
    /// OVN's option, if present.
    pub ovn: Option<OvnOption>,
    /// Base header and options in bytes; the payload follows.
    pub header_len: usize,
}

/// Why a Geneve header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum GeneveError {
    /// Shorter than base header and announced options.
    #[error("Geneve header cut short")]
    Truncated,
    /// A version other than 0 (RFC 8926 section 3.4).
    #[error("unknown Geneve version")]
    Version,
    /// A control message, whose payload must not be forwarded (RFC 8926 section 3.4).
    #[error("Geneve control message")]
    Control,
    /// An option ends beyond the options, or OVN's has another length than 4 bytes.
    #[error("malformed Geneve option")]
    OptionLength,
    /// OVN's option comes twice: which port is meant?
    #[error("repeated Geneve option")]
    OptionRepeated,
    /// An option that is critical and not known (RFC 8926 section 3.5).
    #[error("unknown critical Geneve option")]
    UnknownCriticalOption,
}

/// Parses the header at the start of a UDP payload. At most 63 options are looked at, as many as fit.
///
/// # Errors
/// One [`GeneveError`] per cause; the packet is then dropped.
pub fn parse(bytes: &[u8]) -> Result<Geneve, GeneveError> {
    let (base, rest) = GeneveHeader::ref_from_prefix(bytes).map_err(|_| GeneveError::Truncated)?;
    if base.version_len >> 6 != 0 {
        return Err(GeneveError::Version);
    }
    let options_len = usize::from(base.version_len & 0x3f) * 4;
    let options = rest.get(..options_len).ok_or(GeneveError::Truncated)?;
    if base.flags & FLAG_CONTROL != 0 {
        return Err(GeneveError::Control);
    }
    Ok(Geneve {
        vni: Vni::from_bytes(base.vni),
        protocol: base.protocol.get(),
        ovn: parse_options(options)?,
        header_len: LEN + options_len,
    })
}

/// Every option is looked at even when the base header's critical bit is clear: a sender that forgot
/// it still must not have a critical option ignored.
fn parse_options(mut options: &[u8]) -> Result<Option<OvnOption>, GeneveError> {
    let mut ovn = None;
    while !options.is_empty() {
        let (header, rest) =
            OptionHeader::ref_from_prefix(options).map_err(|_| GeneveError::OptionLength)?;
        let (data, rest) = rest
            .split_at_checked(usize::from(header.len & 0x1f) * 4)
            .ok_or(GeneveError::OptionLength)?;
        if header.class.get() == OVN_CLASS && header.kind == OVN_TYPE {
            let &[a, b, c, d] = data else {
                return Err(GeneveError::OptionLength);
            };
            let option = OvnOption {
                in_key: u16::from_be_bytes([a, b]) & PortKey::MAX,
                out_key: u16::from_be_bytes([c, d]),
            };
            if ovn.replace(option).is_some() {
                return Err(GeneveError::OptionRepeated);
            }
        } else if header.kind & OPTION_CRITICAL != 0 {
            return Err(GeneveError::UnknownCriticalOption);
        }
        options = rest;
    }
    Ok(ovn)
}

/// Writes the header that chassis use for tenants' packets. Bit 15 of `in_key` is reserved and written as 0.
pub fn write_ovn(header: &mut [u8; OVN_LEN], vni: Vni, in_key: u16, out_key: u16) {
    let [v0, v1, v2] = vni.to_bytes();
    let [p0, p1] = ETHERTYPE_TEB.to_be_bytes();
    let [c0, c1] = OVN_CLASS.to_be_bytes();
    let [i0, i1] = (in_key & PortKey::MAX).to_be_bytes();
    let [o0, o1] = out_key.to_be_bytes();
    *header = [
        2,
        FLAG_CRITICAL,
        p0,
        p1,
        v0,
        v1,
        v2,
        0,
        c0,
        c1,
        OVN_TYPE,
        1,
        i0,
        i1,
        o0,
        o1,
    ];
}

/// Writes a header without options: towards Linux and OVS without port keys, and for BFD.
pub fn write_plain(header: &mut [u8; LEN], vni: Vni) {
    let [v0, v1, v2] = vni.to_bytes();
    let [p0, p1] = ETHERTYPE_TEB.to_be_bytes();
    *header = [0, 0, p0, p1, v0, v1, v2, 0];
}
