//! Longest-prefix match for IPv4 and IPv6.
//!
//! A [`Fib`] maps prefixes to small numbers, its answers, which mean nothing to it: what the packet path must know
//! of a route, so that a look-up needs no other table after it. It is built once, when the topology is compiled,
//! and never changes. Equal routes give equal values, whatever order they came in.
//!
//! ```text
//!  key   10.1.2.3 ─► array, 10 bits ─► run, 8 bits ─► array, 6 bits ─► answer
//!                     2^10 entries      equal or not     64 entries, runs of equal ones stored once
//! ```
//!
//! Each family is a trie of nodes in one array of words (`trie`). What kind a node is and how many bits it resolves is said by
//! the entry that leads to it, so every step is one load or two of the same line. `build` chooses the kind by
//! what lies below: arrays where prefixes are dense or few in all, compressed arrays in large tables, runs where all
//! routes agree. Routes that lead where the shorter one around them leads leave no trace. So three
//! routes take a few hundred bytes and two steps, a thousand about 30 KiB, and a full table four to five bytes a route.

mod build;
#[cfg(test)]
mod tests;
mod trie;

use std::net::IpAddr;

use ipnet::IpNet;

use build::Prefix;
use trie::{Entry, Trie};

/// The longest-prefix match of one router, both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fib {
    v4: Trie,
    v6: Trie,
}

impl Fib {
    /// The largest answer.
    pub const MAX: u32 = Self::NONE - 1;
    /// In place of an answer: no prefix holds the address.
    pub const NONE: u32 = Entry::NONE.0;

    /// Builds the table. Bits past the prefix length are ignored; of two routes with the same prefix the
    /// later one counts.
    ///
    /// # Panics
    /// When an answer is larger than [`Fib::MAX`], or the table would need more than 2 GiB.
    pub fn build(routes: impl Iterator<Item = (IpNet, u32)>) -> Fib {
        let mut v4: Vec<Prefix<u32>> = Vec::new();
        let mut v6: Vec<Prefix<u128>> = Vec::new();
        for (net, answer) in routes {
            assert!(answer <= Self::MAX, "answer out of range");
            let answer = Entry(answer);
            match net.trunc() {
                IpNet::V4(net) => v4.push(Prefix {
                    bits: net.addr().to_bits(),
                    len: net.prefix_len(),
                    answer,
                }),
                IpNet::V6(net) => v6.push(Prefix {
                    bits: net.addr().to_bits(),
                    len: net.prefix_len(),
                    answer,
                }),
            }
        }
        Fib {
            v4: Trie::build(v4),
            v6: Trie::build(v6),
        }
    }

    /// The answer of the longest prefix that holds `addr`, [`Fib::NONE`] if none does. IPv4-mapped IPv6 addresses
    /// are IPv6.
    #[inline]
    pub fn lookup(&self, addr: IpAddr) -> u32 {
        match addr {
            IpAddr::V4(addr) => self.lookup_v4(addr.to_bits()),
            IpAddr::V6(addr) => self.lookup_v6(addr.to_bits()),
        }
    }

    /// As [`Fib::lookup`], for an IPv4 address in host order.
    #[inline]
    pub fn lookup_v4(&self, addr: u32) -> u32 {
        self.v4.lookup(addr.into())
    }

    /// As [`Fib::lookup`], for an IPv6 address in host order.
    #[inline]
    pub fn lookup_v6(&self, addr: u128) -> u32 {
        self.v6.lookup(addr.into())
    }

    /// Looks up many IPv4 addresses together, so that their cache misses overlap: that of each item. Fills as
    /// many answers as the shorter of the two slices has.
    #[inline]
    pub fn lookup_v4_burst<T>(
        &self,
        items: &[T],
        address: impl Fn(&T) -> u32,
        answers: &mut [u32],
    ) {
        self.v4
            .lookup_burst(items, |item| address(item).into(), answers);
    }

    /// As [`Fib::lookup_v4_burst`], for IPv6.
    #[inline]
    pub fn lookup_v6_burst<T>(
        &self,
        items: &[T],
        address: impl Fn(&T) -> u128,
        answers: &mut [u32],
    ) {
        self.v6
            .lookup_burst(items, |item| address(item).into(), answers);
    }

    /// True without any route.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Bytes of memory held, the value itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Fib>() + self.v4.heap_bytes() + self.v6.heap_bytes()
    }
}
