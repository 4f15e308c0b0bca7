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
//! - A port that was given back may be held down for a while: until then only the source that had it gets it for the same
//!   destination ([`Table::set_hold_down`], RFC 6888 REQ-8).
//! - Protocols without ports have one "port", 0: an external address serves one source for each remote address.
//! - Echo identifiers are chosen from all 65,536 (RFC 5508 section 3.1 has none reserved).

use std::hash::Hasher;
use std::net::IpAddr;

use super::address::Address;
use super::key::{FlowKey, is_by_address, is_echo};
use super::table::Table;
use crate::ids::{Tick, Zone};

/// Random ports that are tried.
const RANDOM: usize = 64;
/// Ports that are tried in a row, beginning where the last row ended.
const ROW: usize = 256;
/// The first port that is not well-known.
const FIRST_ORDINARY: u16 = 1024;

/// What a port is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct PortRequest<A = IpAddr> {
    /// IP protocol.
    pub proto: u8,
    /// The external address that packets shall come from.
    pub external: A,
    /// The port or identifier that the packet came with.
    pub original: u16,
    /// Where the packet goes.
    pub remote: A,
    /// The port that it goes to; not used for an echo.
    pub remote_port: u16,
    /// The zone in which answers arrive.
    pub zone: Zone,
    /// Who wants it, before translation: a port that is held down goes to the source that had it.
    pub source: A,
    /// Now: ports are held down until some time.
    pub now: Tick,
}

impl<A: Address> PortRequest<A> {
    /// The port as a choice, when nobody has it and it is not held down.
    fn free(&self, table: &Table<A>, port: u16) -> Option<Choice<A>> {
        let reply = self.reply_key(port);
        let hash = table.hash(&reply);
        let held = table.holds.on() && table.holds.holds(hash, self.source.host(), self.now);
        (!held && !table.contains_hashed(&reply, hash)).then_some(Choice { port, reply, hash })
    }
}

impl PortRequest {
    /// The same in the terms of a family; `None` when it is not of that.
    #[must_use]
    pub fn narrow<A: Address>(&self) -> Option<PortRequest<A>> {
        Some(PortRequest {
            proto: self.proto,
            external: A::of(self.external)?,
            original: self.original,
            remote: A::of(self.remote)?,
            remote_port: self.remote_port,
            zone: self.zone,
            source: A::of(self.source)?,
            now: self.now,
        })
    }
}

impl<A: Copy> PortRequest<A> {
    /// The key of answers when `port` is chosen.
    #[must_use]
    pub fn reply_key(&self, port: u16) -> FlowKey<A> {
        let src_port = if is_echo(self.proto) {
            port
        } else {
            self.remote_port
        };
        FlowKey {
            src: self.remote,
            dst: self.external,
            src_port,
            dst_port: port,
            proto: self.proto,
            zone: self.zone,
        }
    }
}

/// A port that is free, and what answers to it look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<A = IpAddr> {
    /// The port or identifier.
    pub port: u16,
    /// The key of answers.
    pub reply: FlowKey<A>,
    /// [`Table::hash`] of that key.
    pub hash: u32,
}

/// A worker's source of ports. A clone chooses the same ones: for a trace that must not change the original.
#[derive(Clone, Debug)]
pub struct PortChooser {
    generator: Generator,
    well_known: Run,
    ordinary: Run,
    identifiers: Run,
}

impl PortChooser {
    /// Unpredictable as far as `seed` is: draw it from the system's entropy, one for each worker.
    #[must_use]
    pub fn new(seed: [u64; 2]) -> PortChooser {
        let mut generator = Generator {
            keys: seed,
            count: 0,
        };
        let well_known = Run::new(1, 1023, &mut generator);
        let ordinary = Run::new(FIRST_ORDINARY, 64_512, &mut generator);
        let identifiers = Run::new(0, 65_536, &mut generator);
        PortChooser {
            generator,
            well_known,
            ordinary,
            identifiers,
        }
    }

    /// A port that is free and that `accept` agrees to (a slice of the ports, or those whose answers come to
    /// this worker); `None` when it found none.
    ///
    /// The work is bounded: the original port, 64 random ones, and 256 in a row (twice that for an original
    /// port below 1024). The row goes on where it ended last time, so 256 calls that found none have
    /// together seen every port.
    pub fn choose<A: Address>(
        &mut self,
        table: &Table<A>,
        request: &PortRequest<A>,
        mut accept: impl FnMut(u16) -> bool,
    ) -> Option<Choice<A>> {
        let mut free = |port: u16| accept(port).then(|| request.free(table, port)).flatten();
        let echo = is_echo(request.proto);
        // Port 0 is reserved; identifier 0 is not.
        if (echo || request.original != 0)
            && let Some(choice) = free(request.original)
        {
            return Some(choice);
        }
        if is_by_address(request.proto) {
            return free(0);
        }
        let PortChooser {
            generator,
            well_known,
            ordinary,
            identifiers,
        } = self;
        if echo {
            return identifiers.search(generator, &mut free);
        }
        if request.original < FIRST_ORDINARY
            && let Some(choice) = well_known.search(generator, &mut free)
        {
            return Some(choice);
        }
        ordinary.search(generator, &mut free)
    }
}

impl PortChooser {
    /// As [`PortChooser::choose`], of the ports from the first to the last of `range` only: the original one, 64 random
    /// ones, and 256 in a row from a random one on. `None` too when the range is empty. Protocols without ports have no range.
    pub fn choose_in<A: Address>(
        &mut self,
        table: &Table<A>,
        request: &PortRequest<A>,
        (first, last): (u16, u16),
        accept: impl Fn(u16) -> bool,
    ) -> Option<Choice<A>> {
        let free = |port: u16| accept(port).then(|| request.free(table, port)).flatten();
        let count = (u32::from(last) + 1).checked_sub(u32::from(first))?;
        if (first..=last).contains(&request.original)
            && let Some(choice) = free(request.original)
        {
            return Some(choice);
        }
        if is_by_address(request.proto) {
            return free(0);
        }
        Run::new(first, count.max(1), &mut self.generator).search(&mut self.generator, free)
    }
}

/// Ports that serve the same purpose.
#[derive(Clone, Debug)]
struct Run {
    first: u16,
    count: u32,
    cursor: u32,
}

impl Run {
    fn new(first: u16, count: u32, generator: &mut Generator) -> Run {
        Run {
            first,
            count,
            cursor: generator.below(count),
        }
    }

    fn port(&self, index: u32) -> u16 {
        self.first.wrapping_add(index as u16)
    }

    fn search<C>(
        &mut self,
        generator: &mut Generator,
        mut free: impl FnMut(u16) -> Option<C>,
    ) -> Option<C> {
        for _ in 0..RANDOM {
            let choice = free(self.port(generator.below(self.count)));
            if choice.is_some() {
                return choice;
            }
        }
        for _ in 0..ROW {
            let port = self.port(self.cursor);
            self.cursor = (self.cursor + 1) % self.count;
            let choice = free(port);
            if choice.is_some() {
                return choice;
            }
        }
        None
    }
}

/// SipHash-2-4 of a counter: who sees the ports cannot tell the next ones.
#[derive(Clone, Debug)]
struct Generator {
    keys: [u64; 2],
    count: u64,
}

impl Generator {
    /// A number below `limit`.
    // The type is deprecated as a hasher for maps; as a keyed function it is what is wanted here.
    #[allow(deprecated)]
    fn below(&mut self, limit: u32) -> u32 {
        let [k0, k1] = self.keys;
        let mut hasher = std::hash::SipHasher::new_with_keys(k0, k1);
        hasher.write_u64(self.count);
        self.count = self.count.wrapping_add(1);
        (((hasher.finish() >> 32) * u64::from(limit)) >> 32) as u32
    }
}
