//! Which connections a filter is for.

use std::net::IpAddr;

use sluice_fastpath::connections::{Connection, State};
use sluice_fastpath::ids::Zone;
use sluice_fastpath::tables::Tables;

use super::flows::state_name;
use super::query::{Filter, protocol};

/// Slots of the table looked at between two pieces of an answer.
pub(crate) const SCAN: usize = 4096;

/// A filter of connections, made ready for millions of them.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    sport: Option<u16>,
    dport: Option<u16>,
    /// Of a protocol that there is not: nothing.
    proto: Option<Option<u8>>,
    /// A bit for each state.
    states: u32,
    zones: Option<Vec<Zone>>,
}

impl Selection {
    /// Names were [checked](super::known): one that nothing has selects nothing.
    pub(crate) fn of(filter: &Filter, tables: &Tables) -> Selection {
        let of_state = |state: &State| {
            let wanted = filter.state.as_deref();
            wanted.is_none_or(|wanted| state_name(*state) == wanted)
        };
        let states = State::ALL.into_iter().filter(of_state);
        let zones = filter.zone.as_ref().map(|name| {
            let pieces = tables.datapaths.iter().flatten();
            let named = pieces.filter(|piece| piece.name == *name);
            named.map(|piece| piece.zone()).collect()
        });
        Selection {
            src: filter.src,
            dst: filter.dst,
            sport: filter.sport,
            dport: filter.dport,
            proto: filter.proto.as_deref().map(protocol),
            states: states.fold(0, |bits, state| bits | 1 << state as u32),
            zones,
        }
    }

    /// Sources and destinations count as they are before translation and after.
    pub(crate) fn has(&self, connection: &Connection) -> bool {
        let (original, reply) = (&connection.original, &connection.reply);
        let address = |wanted: Option<IpAddr>, before: IpAddr, after: IpAddr| {
            wanted.is_none_or(|wanted| [before, after].contains(&wanted))
        };
        let port = |wanted: Option<u16>, before: u16, after: u16| {
            wanted.is_none_or(|wanted| [before, after].contains(&wanted))
        };
        let zones = [original.zone, reply.zone];
        address(self.src, original.src, reply.dst)
            && address(self.dst, original.dst, reply.src)
            && port(self.sport, original.src_port, reply.dst_port)
            && port(self.dport, original.dst_port, reply.src_port)
            && self.proto.is_none_or(|proto| proto == Some(original.proto))
            && self.states & 1 << connection.state as u32 != 0
            && self
                .zones
                .as_ref()
                .is_none_or(|wanted| zones.iter().any(|zone| wanted.contains(zone)))
    }
}
