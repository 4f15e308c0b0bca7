//! After a reload: idle connections whose rule has gone are ended, a few each loop. When an operator asks for
//! it, all that are open are, or those that were named.
//!
//! Connections with traffic are checked by their next packet; this finds the silent ones. The packet that
//! opened the connection is made up from its key and its cached way and walked again.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use sluice_net::wire::ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6};
use sluice_net::wire::{ip_proto, tcp};
use sluice_net::{Extent, Fragment, Headers, Ip, L3, L4};

use super::Worker;
use crate::connections::{ConnRef, Connection, Direction, FlowKey};
use crate::ids::{DatapathId, Tick};
use crate::io::{FramePool, Ports};
use crate::path::Way;
use crate::pipeline;
use crate::stage::enter::{self, Entered};
use crate::tables::Tables;
use crate::trace::Silent;
use crate::verdict::{DropReason, Verdict};

/// Slots looked at in one loop.
const SLOTS: usize = 64;

/// How far a sweep is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// There is something to do.
    busy: bool,
    next: Option<usize>,
    /// Orders that were heeded.
    orders: u32,
    /// Single connections are to be closed.
    condemned: bool,
    /// How often everything was asked to close.
    closings: u32,
    /// What was opened until then goes, whether or not it stands.
    close_until: Option<Tick>,
}

impl Sweep {
    /// Starts over.
    pub(super) fn begin(&mut self) {
        self.next = Some(0);
        self.busy = true;
    }

    fn closes(&self, connection: &Connection) -> bool {
        self.close_until
            .is_some_and(|until| until.reached(connection.created))
    }

    pub(super) fn active(&self) -> bool {
        self.busy
    }
}

impl<P: Ports, Q: FramePool<Frame = P::Frame>> Worker<P, Q> {
    /// Takes note of what management has asked for since the last loop.
    #[inline]
    pub(super) fn heed_orders(&mut self, now: Tick) {
        let orders = self.connections.table().orders();
        if orders != self.sweep.orders {
            self.sweep.orders = orders;
            self.heed(now);
        }
    }

    #[cold]
    fn heed(&mut self, now: Tick) {
        self.connections.heed();
        self.sweep.condemned = true;
        self.sweep.busy = true;
        let closings = self.connections.table().closings();
        if closings != self.sweep.closings {
            self.sweep.closings = closings;
            self.sweep.close_until = Some(now);
            self.sweep.begin();
        }
    }

    /// Closes some of what was asked for, and looks at the next slots of the table.
    #[inline]
    pub(super) fn sweep_some(&mut self) {
        if self.sweep.busy {
            self.close_condemned();
            self.sweep_slots();
            self.sweep.busy = self.sweep.condemned || self.sweep.next.is_some();
        }
    }

    fn close_condemned(&mut self) {
        for _ in 0..SLOTS {
            if !self.sweep.condemned {
                return;
            }
            match self.connections.next_condemned(self.now) {
                Some(conn) => self.close(conn),
                None => self.sweep.condemned = false,
            }
        }
    }

    fn sweep_slots(&mut self) {
        let Some(from) = self.sweep.next else {
            return;
        };
        let mut own: ArrayVec<Connection, SLOTS> = ArrayVec::new();
        let id = self.id;
        self.sweep.next = self.connections.table().scan(from, SLOTS, |connection| {
            if connection.owner == Some(id) {
                let _ = own.try_push(connection);
            }
        });
        let doomed: ArrayVec<ConnRef, SLOTS> = own
            .iter()
            .filter(|connection| self.sweep.closes(connection) || !self.stands(connection))
            .map(|connection| connection.conn)
            .collect();
        for conn in doomed {
            self.close(conn);
        }
        if self.sweep.next.is_none() {
            self.sweep.close_until = None;
        }
    }

    /// The tables would still carry the connection. One without a cached way is left to its next packet.
    fn stands(&mut self, connection: &Connection) -> bool {
        let path = connection.paths[Direction::Original.index()];
        let tables = self.tables.tables();
        if connection.is_apart() {
            return maps(tables, connection);
        }
        if !tables.has_zone(connection.original.zone) || !tables.has_zone(connection.reply.zone) {
            // No packet of it would be looked up.
            return false;
        }
        if self
            .paths
            .fresh(path, tables, &self.learned, self.changes, self.now)
            .is_some()
        {
            return true;
        }
        let Some(way) = self.paths.way(path) else {
            return true;
        };
        let entered = first_packet(way, &connection.original);
        let zone = enter::zone(tables, &entered.entry);
        let hit = Some((*connection, Direction::Original));
        let mut chooser = self.chooser.clone();
        let outcome = pipeline::walk(self.view(), &entered, zone, hit, &mut chooser, &mut Silent);
        match outcome.verdict {
            // The way in has gone: nothing of it can come or go any more.
            Verdict::Drop(DropReason::InjectStale) => false,
            Verdict::Transmit(_) if !outcome.close && !outcome.aside => {
                self.renew_flags(connection, &outcome);
                true
            }
            // Rules about flags, TTL and the like do not know a packet that is made up.
            Verdict::Drop(DropReason::AclDrop | DropReason::AclDefault)
            | Verdict::Refuse { .. }
                if outcome.asked.each =>
            {
                true
            }
            // A way that leads past its router is none.
            _ => !outcome.close && !outcome.aside && !outcome.asked.ends,
        }
    }
}

/// A rule still makes this mapping. Leave to use one ends by itself.
fn maps(tables: &Tables, connection: &Connection) -> bool {
    let Some(mapping) = connection.mapping() else {
        return true;
    };
    let router = mapping.zone.0.checked_sub(1).map(DatapathId);
    let router = router.and_then(|id| tables.router(id));
    router.is_some_and(|(_, router)| {
        let rule = router.nat.mapping_rule(mapping.inside.0, mapping.outside.0);
        rule.is_some()
    })
}

/// The packet that opened the connection, as far as a walk looks at it.
fn first_packet(way: &Way, key: &FlowKey) -> Entered {
    let (src, dst) = (key.src_port, key.dst_port);
    let l4 = match key.proto {
        ip_proto::TCP => L4::Tcp {
            src,
            dst,
            flags: tcp::SYN,
        },
        ip_proto::UDP => L4::Udp { src, dst },
        ip_proto::SCTP => L4::Sctp { src, dst },
        ip_proto::ICMP | ip_proto::ICMPV6 => L4::Echo {
            reply: false,
            id: src,
        },
        _ => L4::None,
    };
    let (ethertype, header) = match key.src {
        IpAddr::V4(_) => (ETHERTYPE_IPV4, 20),
        IpAddr::V6(_) => (ETHERTYPE_IPV6, 40),
    };
    let ip = Ip {
        src: key.src,
        dst: key.dst,
        proto: key.proto,
        tos: 0,
        ttl: 64,
        total_len: header + 20,
        l4_offset: 14 + header,
        fragment: Fragment::None,
        extent: Extent::default(),
        fragment_id: 0,
        dont_fragment: true,
        l4,
    };
    let headers = Headers {
        eth_dst: way.macs.0,
        eth_src: way.macs.1,
        vlan: None,
        ethertype,
        l3_offset: 14,
        l3: L3::Ip(ip),
    };
    Entered {
        entry: way.entry,
        inner: 0,
        headers,
        len: 14 + header + 20,
        ecn: None,
        first: None,
    }
}
