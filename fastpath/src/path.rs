//! Cached ways through the node, shared by the connections that take them.
//!
//! A path remembers what a walk decided about one kind of packet but for its addresses and ports, and what
//! the decision rested on. It is fresh while its generation and the count of learned changes are the current
//! ones; when either has moved on, the few things it rests on are compared, once for all its connections.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use sluice_net::Mac;

use crate::ids::{DatapathId, PathId, PortId, Tick};
use crate::learned::{Learned, Role};
use crate::stage::enter::Entry;
use crate::tables::neighbors::Slot;
use crate::tables::{RoleId, Tables};
use crate::verdict::Egress;

/// Most datapaths a cached way may cross; longer ways walk every packet.
pub const MAX_DATAPATHS: usize = 12;

/// An FDB entry a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FdbUse {
    /// Slot in the FDB.
    pub slot: u32,
    /// Domain of the entry.
    pub domain: u32,
    /// MAC of the entry.
    pub mac: Mac,
    /// Port of the entry.
    pub port: PortId,
}

/// A neighbor whose MAC is read from its slot for every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighborUse {
    /// Slot in the neighbor table.
    pub slot: Slot,
    /// Router port, or the underlay.
    pub port: PortId,
    /// Address of the neighbor.
    pub ip: IpAddr,
}

/// What a decision rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deps {
    /// Generation in which devices and tunnels last changed.
    pub wiring: u64,
    /// Datapaths crossed, with the epoch of their tables.
    pub datapaths: ArrayVec<(DatapathId, u64), MAX_DATAPATHS>,
    /// FDB entries: of the source at the entry and of the destination.
    pub fdb: ArrayVec<FdbUse, 2>,
    /// Gateway roles.
    pub roles: ArrayVec<(RoleId, u32), 2>,
    /// More than fits was used: not to be cached.
    pub overflow: bool,
}

impl Deps {
    /// Notes a datapath.
    pub fn crosses(&mut self, id: DatapathId, epoch: u64) {
        if !self.datapaths.contains(&(id, epoch)) && self.datapaths.try_push((id, epoch)).is_err() {
            self.overflow = true;
        }
    }

    /// Notes an FDB entry.
    pub fn learned_mac(&mut self, fdb: FdbUse) {
        self.overflow |= self.fdb.try_push(fdb).is_err();
    }

    /// Notes a role.
    pub fn role(&mut self, id: RoleId, role: Role) {
        self.overflow |= self.roles.try_push((id, role_word(role))).is_err();
    }

    fn hold(&self, tables: &Tables, learned: &Learned) -> bool {
        let tables_hold = self
            .datapaths
            .iter()
            .all(|&(id, epoch)| tables.piece(id).is_some_and(|piece| piece.epoch == epoch));
        tables_hold
            && tables.wiring == self.wiring
            && self
                .fdb
                .iter()
                .all(|u| learned.fdb.slot_matches(u.slot, u.domain, u.mac, u.port))
            && self
                .roles
                .iter()
                .all(|&(id, word)| role_word(learned.roles.get(id)) == word)
    }
}

fn role_word(role: Role) -> u32 {
    match role {
        Role::Nobody => 0,
        Role::Active => 1,
        Role::Backup(tunnel) => tunnel.0 + 2,
    }
}

/// What makes two paths the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// How packets of it come in.
    pub entry: Entry,
    /// Their Ethernet addresses when they do: destination, source.
    pub macs: (Mac, Mac),
    /// Ethernet destination to write, unless `neighbor` gives it.
    pub eth_dst: Mac,
    /// Ethernet source to write.
    pub eth_src: Mac,
    /// Routers crossed.
    pub ttl_steps: u8,
    /// Bytes of IP that fit all the way.
    pub mtu: u16,
    /// The way out.
    pub egress: Egress,
    /// Learned neighbor whose MAC is written as destination.
    pub neighbor: Option<NeighborUse>,
    /// Learned underlay neighbor, behind a tunnel egress.
    pub underlay: Option<NeighborUse>,
    /// What the decision rests on.
    pub deps: Deps,
}

/// A cached way.
#[derive(Debug)]
pub struct Path {
    /// The way.
    pub way: Way,
    generation: u64,
    changes: u64,
    users: u32,
    marked: Tick,
}

/// The paths of one worker.
#[derive(Debug)]
pub struct Paths {
    slots: Vec<Option<Path>>,
    free: Vec<u32>,
    by_way: HashMap<Way, u32>,
    capacity: usize,
}

impl Paths {
    /// No path yet; at most `capacity` (beyond it connections walk).
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_way: HashMap::new(),
            capacity,
        }
    }

    /// The path for `way`, shared with all connections that go the same way. `None` when it may not be
    /// cached. The caller holds one use of it.
    pub fn take(&mut self, way: Way, generation: u64, changes: u64, now: Tick) -> Option<PathId> {
        if way.deps.overflow {
            return None;
        }
        if let Some(&slot) = self.by_way.get(&way) {
            let path = self.slots.get_mut(slot as usize)?.as_mut()?;
            path.users += 1;
            path.generation = generation;
            path.changes = changes;
            return Some(PathId(slot));
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.capacity => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
            None => return None,
        };
        self.by_way.insert(way.clone(), slot);
        self.slots[slot as usize] = Some(Path {
            way,
            generation,
            changes,
            users: 1,
            marked: now,
        });
        Some(PathId(slot))
    }

    /// Gives one use back.
    pub fn release(&mut self, id: PathId) {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        let Some(path) = slot else { return };
        path.users = path.users.saturating_sub(1);
        if path.users == 0
            && let Some(path) = slot.take()
        {
            self.by_way.remove(&path.way);
            self.free.push(id.0);
        }
    }

    /// The path, if what it rests on still holds.
    #[inline]
    pub fn fresh(
        &mut self,
        id: PathId,
        tables: &Tables,
        learned: &Learned,
        changes: u64,
        now: Tick,
    ) -> Option<&Way> {
        let path = self.slots.get_mut(id.0 as usize)?.as_mut()?;
        if path.generation != tables.generation || path.changes != changes {
            if !path.way.deps.hold(tables, learned) || !path.way.neighbors_hold(learned) {
                return None;
            }
            path.generation = tables.generation;
            path.changes = changes;
        }
        if path.marked != now {
            path.marked = now;
            path.way.mark_used(learned, now);
        }
        Some(&path.way)
    }

    /// The way as it was cached, fresh or not.
    pub fn way(&self, id: PathId) -> Option<&Way> {
        Some(&self.slots.get(id.0 as usize)?.as_ref()?.way)
    }

    /// Paths in use.
    pub fn len(&self) -> usize {
        self.by_way.len()
    }

    /// No path in use.
    pub fn is_empty(&self) -> bool {
        self.by_way.is_empty()
    }
}

impl Way {
    /// A packet with this TTL and length, in bytes of IP, gets to the end.
    #[inline]
    pub fn carries(&self, ttl: u8, total_len: u16) -> bool {
        ttl > self.ttl_steps && total_len <= self.mtu
    }

    /// The Ethernet destination to write: where the neighbor was learned, its MAC of now. `None` when it has
    /// none any more.
    #[inline]
    pub fn destination(&self, learned: &Learned) -> Option<Mac> {
        match &self.neighbor {
            None => Some(self.eth_dst),
            Some(neighbor) => learned.neighbors.mac(neighbor.slot),
        }
    }

    fn neighbors_hold(&self, learned: &Learned) -> bool {
        [&self.neighbor, &self.underlay]
            .into_iter()
            .flatten()
            .all(|n| learned.neighbors.lookup(n.port, n.ip) == Some(n.slot))
    }

    fn mark_used(&self, learned: &Learned, now: Tick) {
        for neighbor in [&self.neighbor, &self.underlay].into_iter().flatten() {
            learned.neighbors.mark_used(neighbor.slot, now);
        }
        for fdb in &self.deps.fdb {
            learned.fdb.mark_used(fdb.slot, now);
        }
    }
}
