//! Connections to test with.

use super::*;

pub(super) fn table(capacity: usize, workers: usize) -> Arc<Table<Addr>> {
    Table::new(capacity, workers, 0x5eed)
}

pub(super) fn worker(table: &Arc<Table<Addr>>, id: u8) -> Writer<Addr> {
    table
        .writer(WorkerId(id), Timeouts::default(), START)
        .expect("the end of this worker is free")
}

pub(super) fn key(
    proto: u8,
    src: u32,
    src_port: u16,
    dst: u32,
    dst_port: u16,
    zone: Zone,
) -> FlowKey<Addr> {
    FlowKey {
        src: at(src),
        dst: at(dst),
        src_port,
        dst_port,
        proto,
        zone,
    }
}

/// Client `n` behind 10.20.0.100, going to 198.51.100.7:53.
pub(super) fn snat(n: u32, state: State) -> NewConnection {
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
pub(super) fn touch(
    worker: &mut Writer<Addr>,
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

pub(super) fn find(table: &Table<Addr>, key: &FlowKey<Addr>) -> Option<Hit> {
    table.lookup(key, table.hash(key))
}
