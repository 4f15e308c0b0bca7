//! Which worker a packet comes to: receive-side scaling of the devices, as far as it is known.
//!
//! A card hashes the addresses and ports of each packet (Toeplitz, with a key) and looks the queue up in a table by the hash's
//! low bits. Queue *i* belongs to worker *i* ([`QueueMap`](crate::io::queues::QueueMap)). Whoever knows key and
//! table can choose the port of a translation so that the answers come to the worker that keeps the connection.

use std::sync::Arc;

use sluice_net::wire::ip_proto;

use crate::connections::{Address, Choice, FlowKey, PortRequest};
use crate::ids::{WorkerId, Zone};
use crate::tables::Tables;

/// Bytes that are hashed of an IPv4 packet with ports: addresses, ports.
const INPUT: usize = 12;
/// Those of an IPv6 packet.
const INPUT_V6: usize = 36;
/// Bytes of ports.
const PORTS: usize = 4;
/// Least bytes of a key: those hashed, and the 32 bits behind the last of them. For IPv6 it takes 40.
pub const KEY: usize = INPUT + 4;

/// How a device spreads packets over its receive queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// By byte hashed and its value: what that adds to the hash.
    parts: Box<[[u32; 256]]>,
    /// Queue by the hash's low bits; a power of two of them.
    table: Box<[u16]>,
    /// TCP, UDP: ports are hashed too, not the addresses alone.
    ports: (bool, bool),
}

impl Spread {
    /// With this key and table; whether ports of TCP and UDP are hashed. `None` for a key that is too short, and for
    /// a table whose size is no power of two.
    pub fn new(key: &[u8], table: &[u16], ports: (bool, bool)) -> Option<Spread> {
        if !table.len().is_power_of_two() {
            return None;
        }
        let inputs = key.len().saturating_sub(4).min(INPUT_V6);
        if inputs < INPUT {
            return None;
        }
        let mut parts = vec![[0; 256]; inputs].into_boxed_slice();
        for (at, part) in parts.iter_mut().enumerate() {
            let window = key.get(at..at + 5)?;
            let window = window
                .iter()
                .fold(0_u64, |all, &byte| all << 8 | u64::from(byte));
            for (value, sum) in part.iter_mut().enumerate() {
                // A set bit adds the 32 bits of the key that begin where it stands.
                *sum = (0..8)
                    .filter(|bit| value >> (7 - bit) & 1 != 0)
                    .fold(0, |sum, bit| sum ^ (window >> (8 - bit)) as u32);
            }
        }
        Some(Spread {
            parts,
            table: table.into(),
            ports,
        })
    }

    /// The queue that a packet of this flow arrives on.
    pub fn queue<A: Address>(&self, flow: &FlowKey<A>) -> u16 {
        let ports = match flow.proto {
            ip_proto::TCP => self.ports.0,
            ip_proto::UDP => self.ports.1,
            _ => false,
        };
        let both = u32::from(flow.src_port) << 16 | u32::from(flow.dst_port);
        let (mut bytes, len) = ([0; INPUT_V6], 2 * flow.src.octets().as_ref().len());
        let addresses = bytes.chunks_exact_mut(len / 2);
        for (to, address) in addresses.zip([flow.src, flow.dst]) {
            to.copy_from_slice(address.octets().as_ref());
        }
        let behind = bytes
            .get_mut(len..)
            .and_then(|b| b.first_chunk_mut::<PORTS>());
        if let Some(behind) = behind {
            *behind = both.to_be_bytes();
        }
        let hashed = if ports { len + PORTS } else { len };
        let hash = bytes
            .iter()
            .zip(self.parts.iter())
            .take(hashed)
            .fold(0, |hash, (byte, part)| hash ^ part[usize::from(*byte)]);
        let slot = hash as usize & (self.table.len() - 1);
        self.table.get(slot).copied().unwrap_or(0)
    }
}

/// Which ports may be chosen.
pub type Accept<'a> = &'a dyn Fn(u16) -> bool;

/// What a worker knows of where packets come to.
#[derive(Clone, Debug, Default)]
pub struct Homes {
    worker: WorkerId,
    /// By device; `None` where nothing is known, or there is one queue. Empty when that is so of all.
    devices: Vec<Option<Arc<Spread>>>,
}

impl Homes {
    /// Nothing is known, or there is one worker.
    pub const NONE: Homes = Homes {
        worker: WorkerId(0),
        devices: Vec::new(),
    };

    /// Those of a worker: how each device spreads packets.
    pub fn new(worker: WorkerId, mut devices: Vec<Option<Arc<Spread>>>) -> Homes {
        if devices.iter().all(Option::is_none) {
            devices.clear();
        }
        Homes { worker, devices }
    }

    /// Chooses a port with which answers come to this worker; if there is none, one with which they come to another, which
    /// hands them over. `choose` gets what to accept, `accept` is what is acceptable at all.
    pub fn prefer<A: Address>(
        &self,
        tables: &Tables,
        request: &PortRequest<A>,
        accept: Accept<'_>,
        choose: &mut dyn FnMut(Accept<'_>) -> Option<Choice<A>>,
    ) -> Option<Choice<A>> {
        if let Some(spread) = self.spread(tables, request.zone) {
            let here = |port| spread.queue(&request.reply_key(port)) == u16::from(self.worker.0);
            let choice = choose(&|port| accept(port) && here(port));
            if choice.is_some() {
                return choice;
            }
        }
        choose(accept)
    }

    /// How the packets spread that come in from outside in this zone.
    fn spread(&self, tables: &Tables, zone: Zone) -> Option<&Spread> {
        if self.devices.is_empty() {
            return None;
        }
        let device = tables.wire(zone)?;
        self.devices.get(device.index())?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the sums that Microsoft gives to verify an implementation with ("Verifying the RSS hash calculation").
    const GIVEN: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn flow(src: [u8; 4], src_port: u16, dst: [u8; 4], dst_port: u16, proto: u8) -> FlowKey<u32> {
        FlowKey {
            src: u32::from_be_bytes(src),
            dst: u32::from_be_bytes(dst),
            src_port,
            dst_port,
            proto,
            zone: Zone(1),
        }
    }

    #[test]
    fn hashes_are_those_that_cards_compute() {
        // A table as large as 16 bits tells the low half of the hash.
        let table: Vec<u16> = (0..=u16::MAX).collect();
        let spread = Spread::new(&GIVEN, &table, (true, false)).unwrap();
        let one = |proto| flow([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, proto);
        let two = |proto| flow([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, proto);
        assert_eq!(spread.queue(&one(ip_proto::TCP)), 0x51cc_c178_u32 as u16);
        assert_eq!(spread.queue(&one(ip_proto::UDP)), 0x323e_8fc2_u32 as u16);
        assert_eq!(spread.queue(&two(ip_proto::TCP)), 0xc626_b0ea_u32 as u16);
        assert_eq!(spread.queue(&two(ip_proto::UDP)), 0xd718_262a_u32 as u16);
    }

    #[test]
    fn hashes_of_ipv6_are_those_that_cards_compute() {
        let table: Vec<u16> = (0..=u16::MAX).collect();
        let spread = Spread::new(&GIVEN, &table, (true, false)).unwrap();
        let flow = |proto| FlowKey {
            src: "3ffe:2501:200:1fff::7"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .to_bits(),
            dst: "3ffe:2501:200:3::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .to_bits(),
            src_port: 2794,
            dst_port: 1766,
            proto,
            zone: Zone(1),
        };
        assert_eq!(spread.queue(&flow(ip_proto::TCP)), 0x4020_7d3d_u32 as u16);
        assert_eq!(spread.queue(&flow(ip_proto::UDP)), 0x2cc1_8cd5_u32 as u16);
    }

    #[test]
    fn a_key_of_two_bytes_over_and_over_does_not_tell_directions_apart() {
        let key: Vec<u8> = [0x6d, 0x5a].into_iter().cycle().take(40).collect();
        let spread = Spread::new(&key, &[0, 1, 2, 3], (true, true)).unwrap();
        for port in 0..500 {
            let there = flow([10, 0, 0, 1], port, [8, 8, 8, 8], 53, ip_proto::UDP);
            let back = flow([8, 8, 8, 8], 53, [10, 0, 0, 1], port, ip_proto::UDP);
            assert_eq!(spread.queue(&there), spread.queue(&back));
        }
    }

    #[test]
    fn what_is_no_key_or_table_is_refused() {
        assert_eq!(Spread::new(&GIVEN[..KEY - 1], &[0, 1], (true, true)), None);
        assert_eq!(Spread::new(&GIVEN, &[0, 1, 2], (true, true)), None);
        assert_eq!(Spread::new(&GIVEN, &[], (true, true)), None);
        assert!(Spread::new(&GIVEN[..KEY], &[0], (true, true)).is_some());
    }
}
