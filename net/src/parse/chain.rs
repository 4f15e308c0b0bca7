//! The chain of IPv6 extension headers (RFC 8200 section 4).

use zerocopy::FromBytes;

use super::MAX_EXTENSIONS;
use crate::wire::ip_proto;
use crate::wire::ipv6::{self, ExtensionHeader, FragmentHeader};

/// Where a chain of extension headers leads.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    /// The first protocol that is no extension header; in a later fragment, what the fragmented part begins with.
    pub(super) proto: u8,
    /// Bytes of extension headers.
    pub(super) len: usize,
    /// The fragment header, if there is one.
    pub(super) fragment: Option<FragmentPart>,
}

/// What the fragment header says.
#[derive(Clone, Copy)]
pub(super) struct FragmentPart {
    /// Of this part in the fragmentable part, in bytes.
    pub(super) offset: u32,
    pub(super) more: bool,
    pub(super) id: u32,
    /// Bytes of extension headers up to the end of the fragment header.
    pub(super) before: usize,
    /// Bytes of fixed and fragment header that do not count in the reassembled payload.
    pub(super) header_end: usize,
}

impl Chain {
    /// Walks from the next header of the fixed header through `payload`. `None` for a malformed chain.
    pub(super) fn walk(next_header: u8, payload: &[u8]) -> Option<Chain> {
        let mut chain = Chain {
            proto: next_header,
            len: 0,
            fragment: None,
        };
        for position in 0..=MAX_EXTENSIONS {
            let rest = payload.get(chain.len..)?;
            let len = match chain.proto {
                // Only right after the fixed header (RFC 8200 section 4.1).
                ip_proto::HOP_BY_HOP if position > 0 => return None,
                ip_proto::FRAGMENT => {
                    chain.enter_fragment(rest)?;
                    if chain.fragment.is_some_and(|f| f.offset != 0) {
                        return Some(chain);
                    }
                    continue;
                }
                ip_proto::HOP_BY_HOP
                | ip_proto::ROUTING
                | ip_proto::DESTINATION_OPTIONS
                | ip_proto::MOBILITY
                | ip_proto::HIP
                | ip_proto::SHIM6 => 8 + usize::from(rest.get(1).copied()?) * 8,
                ip_proto::AUTHENTICATION => 8 + usize::from(rest.get(1).copied()?) * 4,
                _ => return Some(chain),
            };
            let (extension, _) = ExtensionHeader::ref_from_prefix(rest.get(..len)?).ok()?;
            chain.proto = extension.next_header;
            chain.len += len;
        }
        None
    }

    fn enter_fragment(&mut self, rest: &[u8]) -> Option<()> {
        let (header, _) = FragmentHeader::ref_from_prefix(rest).ok()?;
        if self.fragment.is_some() {
            return None;
        }
        let offset_flags = header.offset_flags.get();
        self.proto = header.next_header;
        self.len += size_of::<FragmentHeader>();
        self.fragment = Some(FragmentPart {
            offset: u32::from(offset_flags & ipv6::OFFSET_MASK),
            more: offset_flags & ipv6::MORE_FRAGMENTS != 0,
            id: header.id.get(),
            before: self.len,
            header_end: ipv6::LEN + size_of::<FragmentHeader>(),
        });
        Some(())
    }
}
