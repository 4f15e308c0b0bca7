//! Routes of one router: longest-prefix match for IPv4 and IPv6.
//!
//! A [`Fib`] is built once, when the topology is compiled, and never changes: generations share it or
//! replace it. Equal route sets give equal values, whatever order the routes came in.
//!
//! Each family is a multibit trie with six bits a step (`trie`). A node says by one 64-bit map which of
//! its 64 slots lead on and by another where runs of equal answers begin; counting bits gives the index
//! into two flat arrays, so a step costs one cache line and no pointer. Stretches where all routes agree
//! are one node, which keeps a router of three routes in a few hundred bytes and host routes of IPv6
//! shallow. Large IPv4 tables start with an array over the first 16 bits.
//!
//! ```text
//!  key  10.1.2.3   ->  [direct root: 16 bits]  ->  node, 6 bits  ->  node, 6 bits  ->  answer
//!                       only in large tables        ...slots: answer | next node
//! ```

mod build;
#[cfg(test)]
mod tests;
mod trie;

use std::net::IpAddr;

use ipnet::IpNet;

use build::Prefix;
use trie::Trie;

/// Index of a route in its router's route array. At most [`RouteId::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub u32);

impl RouteId {
    /// The largest index a [`Fib`] can hold.
    pub const MAX: RouteId = RouteId((1 << 31) - 2);
}

/// The longest-prefix match of one router, both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fib {
    v4: Trie<u32>,
    v6: Trie<u128>,
}

impl Fib {
    /// Builds the table. Bits past the prefix length are ignored; of two routes with the same prefix the
    /// later one counts.
    ///
    /// # Panics
    /// When a route index is larger than [`RouteId::MAX`].
    pub fn build(routes: impl Iterator<Item = (IpNet, RouteId)>) -> Fib {
        let mut v4: Vec<Prefix<u32>> = Vec::new();
        let mut v6: Vec<Prefix<u128>> = Vec::new();
        for (net, route) in routes {
            assert!(route <= RouteId::MAX, "route index out of range");
            match net.trunc() {
                IpNet::V4(net) => v4.push(Prefix {
                    bits: net.addr().to_bits(),
                    len: net.prefix_len(),
                    route,
                }),
                IpNet::V6(net) => v6.push(Prefix {
                    bits: net.addr().to_bits(),
                    len: net.prefix_len(),
                    route,
                }),
            }
        }
        Fib {
            v4: Trie::build(v4),
            v6: Trie::build(v6),
        }
    }

    /// The route with the longest prefix that holds `addr`. IPv4-mapped IPv6 addresses are IPv6.
    #[inline]
    pub fn lookup(&self, addr: IpAddr) -> Option<RouteId> {
        match addr {
            IpAddr::V4(addr) => self.lookup_v4(addr.to_bits()),
            IpAddr::V6(addr) => self.lookup_v6(addr.to_bits()),
        }
    }

    /// As [`Fib::lookup`], for an IPv4 address in host order.
    #[inline]
    pub fn lookup_v4(&self, addr: u32) -> Option<RouteId> {
        self.v4.lookup(addr)
    }

    /// As [`Fib::lookup`], for an IPv6 address in host order.
    #[inline]
    pub fn lookup_v6(&self, addr: u128) -> Option<RouteId> {
        self.v6.lookup(addr)
    }

    /// Looks up many IPv4 addresses together, step by step, so that their cache misses overlap. Fills as
    /// many results as the shorter of the two slices has.
    pub fn lookup_v4_burst(&self, addrs: &[u32], routes: &mut [Option<RouteId>]) {
        self.v4.lookup_burst(addrs, routes);
    }

    /// As [`Fib::lookup_v4_burst`], for IPv6.
    pub fn lookup_v6_burst(&self, addrs: &[u128], routes: &mut [Option<RouteId>]) {
        self.v6.lookup_burst(addrs, routes);
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
