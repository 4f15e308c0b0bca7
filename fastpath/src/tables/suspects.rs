//! Which addresses of packets need a closer look.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use ipnet::IpNet;

/// A set of addresses that may answer yes where it should say no, never the other way: one load and no branch for
/// almost every packet. An empty value says yes to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    words: Box<[u64]>,
    /// The IPv4 addresses, when they are so few that a burst is compared with each sooner.
    few_v4: Option<ArrayVec<u32, FEW>>,
}

/// Comparing a burst with an address costs three instructions a packet, looking its two up in the words 25.
const FEW: usize = 4;
/// Bits for each address: one in so many others passes for one of the set.
const BITS_EACH: usize = 128;
/// Least number of words: one cache line.
const WORDS: usize = 8;

impl Suspects {
    /// The set of these addresses.
    pub fn of(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let mut addresses: Vec<IpAddr> = addresses.collect();
        // They come from a hash table; equal sets must be equal, or a reload would think that the router has changed.
        addresses.sort_unstable();
        let mut few_v4 = Some(ArrayVec::new());
        for address in &addresses {
            if let IpAddr::V4(address) = address {
                few_v4 = few_v4.take().and_then(|mut few| {
                    few.try_push(address.to_bits()).ok()?;
                    Some(few)
                });
            }
        }
        let words = (addresses.len() * BITS_EACH / 64).next_power_of_two();
        let mut words = vec![0u64; words.max(WORDS)];
        for address in addresses {
            let hash = match address {
                IpAddr::V4(address) => hash_v4(address.to_bits()),
                IpAddr::V6(address) => hash_v6(address.to_bits()),
            };
            let (word, bit) = place(hash, words.len());
            if let Some(word) = words.get_mut(word) {
                *word |= 1 << bit;
            }
        }
        Self {
            words: words.into(),
            few_v4,
        }
    }

    /// One of these addresses, of sources and destinations, may be one of the set.
    #[inline]
    pub fn hold_any_v4(&self, flows: &[(u32, u32)]) -> bool {
        let Some(few) = &self.few_v4 else {
            return true;
        };
        let meets = |own: &u32| {
            // Without a branch, so that several are compared at a time.
            let found = |found: u32, flow: &(u32, u32)| {
                found | u32::from(flow.0 == *own) | u32::from(flow.1 == *own)
            };
            flows.iter().fold(0, found) != 0
        };
        few.iter().any(meets)
    }

    /// `address` may be one of the set.
    #[inline]
    pub fn hold_v4(&self, address: u32) -> bool {
        self.hold(hash_v4(address))
    }

    /// As [`Suspects::hold_v4`], for IPv6.
    #[inline]
    pub fn hold_v6(&self, address: u128) -> bool {
        self.hold(hash_v6(address))
    }

    #[inline]
    fn hold(&self, hash: u64) -> bool {
        let (word, bit) = place(hash, self.words.len());
        self.words.get(word).is_none_or(|word| word >> bit & 1 != 0)
    }
}

/// The address of the last host of a network, to which no host may answer: RFC 1812 section 5.3.5.
pub(crate) fn broadcast(network: &IpNet) -> Option<std::net::Ipv4Addr> {
    match network {
        IpNet::V4(network) if network.prefix_len() < 31 => Some(network.broadcast()),
        _ => None,
    }
}

#[inline]
fn hash_v4(address: u32) -> u64 {
    u64::from(address).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
fn hash_v6(address: u128) -> u64 {
    let folded = (address >> 64) as u64 ^ (address as u64).rotate_left(29);
    folded.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Word and bit, of a power of two of words: the well-mixed upper half of the hash.
#[inline]
fn place(hash: u64, words: usize) -> (usize, u32) {
    let word = (hash >> 32) as usize & words.wrapping_sub(1);
    (word, (hash >> 58) as u32)
}
