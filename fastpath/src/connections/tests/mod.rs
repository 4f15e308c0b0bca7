//! What the table promises, from the outside; each file asks one question.

mod burst;
mod concurrency;
mod eviction;
mod expiry;
mod hashing;
mod interleaving;
mod lifecycle;
mod model;
mod ports;
mod segments;
mod states;

use std::sync::Arc;

use super::*;
use crate::ids::{PathId, Tick, WorkerId, Zone};

const START: Tick = Tick(1_000_000);
const INSIDE: Zone = Zone(7);
const OUTSIDE: Zone = Zone(0xab_cdef);

fn table(capacity: usize, workers: usize) -> Arc<ConnectionTable> {
    ConnectionTable::new(capacity, workers, 0x5eed)
}

fn worker(table: &Arc<ConnectionTable>, id: u8) -> WorkerConnections {
    table
        .worker(WorkerId(id), Timeouts::default(), START)
        .expect("the end of this worker is free")
}

fn key(proto: u8, src: u32, src_port: u16, dst: u32, dst_port: u16, zone: Zone) -> FlowKey4 {
    FlowKey4 {
        src,
        dst,
        src_port,
        dst_port,
        proto,
        zone,
    }
}

/// Client `n` behind 10.20.0.100, going to 198.51.100.7:53.
fn snat(n: u32, state: State) -> NewConnection {
    let proto = match state {
        State::UdpNew | State::UdpAssured => key::UDP,
        State::EchoNew | State::EchoReplied => key::ICMP,
        State::OtherNew | State::OtherAssured => 47,
        _ => key::TCP,
    };
    let (client, external, remote) = (0x0a00_0000 + n, 0x0a14_0064, 0xc633_6407);
    NewConnection {
        original: key(proto, client, 5000, remote, 53, INSIDE),
        reply: key(proto, remote, 53, external + (n >> 16), n as u16, OUTSIDE),
        paths: [PathId(2 * n), PathId(2 * n + 1)],
        state,
        flags: Flags(n as u8),
    }
}

/// Touches with a segment whose numbers cannot be read.
fn touch(
    worker: &mut WorkerConnections,
    conn: ConnRef,
    direction: Direction,
    bytes: u32,
    flags: TcpFlags,
    now: Tick,
) -> Touch {
    match worker.touch(conn, direction, bytes, flags, now) {
        Touch::Unread => worker.touch_segment(conn, direction, (bytes, flags, None), now),
        other => other,
    }
}

fn find(table: &ConnectionTable, key: &FlowKey4) -> Option<Hit> {
    table.lookup(key, table.hash(key))
}

/// A sequence of numbers for tests that want many cases at a fixed cost.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        (((key::split_mix(&mut self.0) >> 32) * u64::from(sides)) >> 32) as u32
    }
}
