//! The choice of the translated source port (or echo identifier) for SNAT.
//!
//! A port is free when the key under which answers would arrive is in no connection. So one external port
//! serves many connections as long as they go to different places (endpoint-dependent mapping), and each
//! destination can be reached by every port at once.
//!
//! - The original port is kept when it is free (RFC 4787 section 4.2.1, port preservation).
//! - Otherwise the choice is unpredictable (RFC 6056): a keyed generator, no system call.
//! - Well-known ports (1 to 1023) are given to original ports of that range first, and then ordinary ones; a
//!   port above is never turned into a well-known one, which some servers trust (RFC 4787 REQ-3a).
//! - Echo identifiers are chosen from all 65,536 (RFC 5508 section 3.1 has none reserved).

use super::key::{FlowKey4, ICMP, split_mix};
use super::table::ConnectionTable;
use crate::ids::Zone;

/// Ports that are looked up together.
const ROUND: usize = 16;
/// Rounds with random ports: 64 in all.
const RANDOM_ROUNDS: usize = 4;
/// Rounds that go on where the last sweep ended: 256 ports a call.
const SWEEP_ROUNDS: usize = 16;

/// The first port that is not well-known.
const FIRST_ORDINARY: u16 = 1024;

/// What a port is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct PortRequest {
    /// IP protocol.
    pub proto: u8,
    /// The external address that packets shall come from.
    pub external: u32,
    /// The port or identifier that the packet came with.
    pub original: u16,
    /// Where the packet goes.
    pub remote: u32,
    /// The port that it goes to; not used for an echo.
    pub remote_port: u16,
    /// The zone in which answers arrive.
    pub zone: Zone,
}

impl PortRequest {
    /// The key of answers when `port` is chosen.
    #[must_use]
    pub fn reply_key(&self, port: u16) -> FlowKey4 {
        let src_port = if self.proto == ICMP { port } else { self.remote_port };
        FlowKey4 {
            src: self.remote,
            dst: self.external,
            src_port,
            dst_port: port,
            proto: self.proto,
            zone: self.zone,
        }
    }
}

/// A run of ports.
#[derive(Clone, Debug)]
struct Run {
    first: u16,
    count: u32,
    /// Where the next sweep begins.
    cursor: u32,
}

impl Run {
    fn new(first: u16, count: u32, state: &mut u64) -> Run {
        Run { first, count, cursor: split_mix(state) as u32 % count }
    }

    fn port(&self, index: u32) -> u16 {
        self.first.wrapping_add((index % self.count) as u16)
    }

    fn random(&self, state: &mut u64) -> [u16; ROUND] {
        std::array::from_fn(|_| self.port((split_mix(state) >> 32) as u32))
    }

    fn in_a_row(&mut self) -> [u16; ROUND] {
        let start = self.cursor;
        self.cursor = (start + ROUND as u32) % self.count;
        std::array::from_fn(|step| self.port(start + step as u32))
    }
}

/// A worker's source of ports.
#[derive(Clone, Debug)]
pub struct PortChooser {
    state: u64,
    well_known: Run,
    ordinary: Run,
    identifiers: Run,
}

impl PortChooser {
    /// Unpredictable as far as `seed` is: draw it from the system's entropy, one for each worker.
    #[must_use]
    pub fn new(seed: u64) -> PortChooser {
        let mut state = seed;
        let well_known = Run::new(1, 1023, &mut state);
        let ordinary = Run::new(FIRST_ORDINARY, 64_512, &mut state);
        let identifiers = Run::new(0, 65_536, &mut state);
        PortChooser { state, well_known, ordinary, identifiers }
    }

    /// A port that is free and that `accept` agrees to (a slice of the ports, or those whose answers come to
    /// this worker); `None` when it found none.
    ///
    /// The work is bounded: the original port, 64 random ones, and 256 in a row. The row goes on where it
    /// ended last time, so 256 calls that found none have together seen every port.
    pub fn choose(
        &mut self,
        table: &ConnectionTable,
        request: &PortRequest,
        mut accept: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let echo = request.proto == ICMP;
        if (echo || request.original != 0) && free(table, request, &mut accept, [request.original]).is_some() {
            return Some(request.original);
        }
        let PortChooser { state, well_known, ordinary, identifiers } = self;
        if echo {
            return search(table, request, &mut accept, state, identifiers);
        }
        if request.original < FIRST_ORDINARY {
            let found = search(table, request, &mut accept, state, well_known);
            if found.is_some() {
                return found;
            }
        }
        search(table, request, &mut accept, state, ordinary)
    }
}

fn search(
    table: &ConnectionTable,
    request: &PortRequest,
    accept: &mut impl FnMut(u16) -> bool,
    state: &mut u64,
    run: &mut Run,
) -> Option<u16> {
    for _ in 0..RANDOM_ROUNDS {
        if let Some(port) = free(table, request, accept, run.random(state)) {
            return Some(port);
        }
    }
    for _ in 0..SWEEP_ROUNDS {
        if let Some(port) = free(table, request, accept, run.in_a_row()) {
            return Some(port);
        }
    }
    None
}

/// The first accepted port without a connection.
fn free<const N: usize>(
    table: &ConnectionTable,
    request: &PortRequest,
    accept: &mut impl FnMut(u16) -> bool,
    ports: [u16; N],
) -> Option<u16> {
    ports.into_iter().find(|port| accept(*port) && !table.contains(&request.reply_key(*port)))
}
