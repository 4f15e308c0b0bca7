//! Cached ways through the node, shared by the connections that take them.
//!
//! A path remembers what a walk decided about one kind of packet but for its addresses and ports, and what
//! the decision rested on. It is fresh while its generation and the count of learned changes are the current
//! ones; when either has moved on, the few things it rests on are compared, once for all its connections.
//!
//! What a packet needs of a path is its [`Leg`]: one cache line, good for as long as neither tables nor anything
//! learned changes. It is made anew from the path when something has.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use sluice_net::Mac;

use crate::encap::Head;
use crate::glance::Macs;
use crate::ids::{DatapathId, PathId, PortId, Tick};
use crate::io::DeviceId;
use crate::learned::{Learned, Role};
use crate::stage::enter::Entry;
use crate::tables::neighbors::Slot;
use crate::tables::{RoleId, Tables, UNDERLAY_PORT};
use crate::verdict::Egress;

/// Most datapaths a cached way may cross; longer ways walk every packet.
pub const MAX_DATAPATHS: usize = 12;

/// Milliseconds from one mark of use to the next. Ages and refreshes count in seconds.
pub const MARK: u32 = 128;

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

/// A learned neighbor that packets go to.
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

    /// Notes that a packet goes to these neighbors, from and to the learned MACs.
    pub fn mark_used(&self, neighbors: [&Option<NeighborUse>; 2], learned: &Learned, now: Tick) {
        for neighbor in neighbors.into_iter().flatten() {
            learned.neighbors.mark_used(neighbor.slot, now);
        }
        for fdb in &self.fdb {
            learned.fdb.mark_used(fdb.slot, now);
        }
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
    /// Ethernet destination to write.
    pub eth_dst: Mac,
    /// Ethernet source to write.
    pub eth_src: Mac,
    /// Routers crossed.
    pub ttl_steps: u8,
    /// Bytes of IP that fit all the way.
    pub mtu: u16,
    /// Each packet walks all the same: ACLs look at more of it than what makes a flow.
    pub each: bool,
    /// The way out.
    pub egress: Egress,
    /// Learned neighbor whose MAC that is.
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

/// The number of an entry that packets come by, for as long as a generation lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate(pub u32);

impl Gate {
    /// No packet has come by the entry.
    const NONE: Gate = Gate(u32::MAX);
}

/// The entries that packets came by in this generation.
#[derive(Debug, Default)]
pub struct Gates(HashMap<Entry, Gate>);

impl Gates {
    /// The gate of an entry, a new one if need be.
    pub fn open(&mut self, entry: Entry) -> Gate {
        let next = Gate(self.0.len() as u32);
        *self.0.entry(entry).or_insert(next)
    }

    /// The gate of an entry, if a packet has come by it.
    pub fn get(&self, entry: &Entry) -> Option<Gate> {
        self.0.get(entry).copied()
    }

    /// Another generation begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What freshness is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The tables of now.
    pub tables: &'a Tables,
    /// Neighbors, MACs, roles.
    pub learned: &'a Learned,
    /// Entries that packets came by.
    pub gates: &'a Gates,
    /// Count of learned changes.
    pub changes: u64,
    /// The time.
    pub now: Tick,
    /// Another number whenever tables or learned changes are others; never 0.
    pub stamp: u32,
}

/// What a packet needs of a path.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Leg {
    /// Of the moment it was made in.
    stamp: u32,
    /// When what it uses was last marked as used.
    marked: Tick,
    /// What packets of it come by.
    pub gate: Gate,
    /// Routers crossed.
    pub ttl_steps: u8,
    /// The Ethernet addresses to write are those that packets come with.
    pub bridged: bool,
    /// Bytes of IP that fit all the way.
    pub mtu: u16,
    /// Ethernet addresses that packets of it come with.
    pub macs: Macs,
    /// Ethernet addresses to write.
    pub write: Macs,
    /// The way out.
    pub egress: Egress,
}

const _: () = assert!(size_of::<Leg>() == 64, "one cache line");

impl Leg {
    /// A packet with this TTL and length, in bytes of IP, gets to the end.
    #[inline]
    pub fn carries(&self, ttl: u8, total_len: u16) -> bool {
        ttl > self.ttl_steps && total_len <= self.mtu
    }
}

/// The legs of a worker's paths at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Legs<'a> {
    legs: &'a [Leg],
    stamp: u32,
    now: Tick,
}

impl<'a> Legs<'a> {
    /// The leg of a path, if it is of this moment and no mark of use is due.
    #[inline]
    pub fn ready(&self, id: PathId) -> Option<&'a Leg> {
        self.legs
            .get(id.0 as usize)
            .filter(|leg| leg.stamp == self.stamp && self.now.since(leg.marked) < MARK)
    }
}

/// The paths of one worker.
#[derive(Debug)]
pub struct Paths {
    slots: Vec<Option<Path>>,
    /// By slot.
    legs: Vec<Leg>,
    /// By slot, with meaning for those that leave by a tunnel.
    heads: Vec<Head>,
    /// Slots that were given back in this burst: what was looked up in it stands for nothing else before the next.
    resting: Vec<u32>,
    free: Vec<u32>,
    by_way: HashMap<Way, u32>,
    capacity: usize,
}

impl Paths {
    /// No path yet; at most `capacity` (beyond it connections walk).
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: Vec::new(),
            legs: Vec::new(),
            heads: Vec::new(),
            resting: Vec::new(),
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
                self.legs.push(STALE);
                self.heads.push(Head::default());
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

    /// One more use of a path that is in use.
    #[inline]
    pub fn share(&mut self, id: PathId) {
        if let Some(Some(path)) = self.slots.get_mut(id.0 as usize) {
            path.users += 1;
        }
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
            self.resting.push(id.0);
            if let Some(leg) = self.legs.get_mut(id.0 as usize) {
                *leg = STALE;
            }
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

    /// The path's leg is of this moment, and no mark of use is due; else it is to be [renewed](Paths::renew).
    #[inline]
    pub fn ready(&self, id: PathId, stamp: u32, now: Tick) -> bool {
        self.legs(stamp, now).ready(id).is_some()
    }

    /// The legs of all paths, at this moment.
    #[inline]
    pub fn legs(&self, stamp: u32, now: Tick) -> Legs<'_> {
        Legs {
            legs: &self.legs,
            stamp,
            now,
        }
    }

    /// The path's leg, with meaning only when it is [`Paths::ready`].
    #[inline]
    pub fn leg(&self, id: PathId) -> Option<&Leg> {
        self.legs.get(id.0 as usize)
    }

    /// The outer headers of a path that leaves by a tunnel, with meaning only when its leg is [`Paths::ready`].
    #[inline]
    pub fn head(&self, id: PathId) -> Option<&Head> {
        self.heads.get(id.0 as usize)
    }

    /// A burst begins: slots given back in the last one may be taken.
    #[inline]
    pub fn settle(&mut self) {
        if !self.resting.is_empty() {
            self.free.append(&mut self.resting);
        }
    }

    /// Makes the path's leg anew; `None` when what the path rests on does not hold any more.
    #[cold]
    pub fn renew(&mut self, id: PathId, moment: &Moment<'_>) -> Option<()> {
        let Moment {
            tables,
            learned,
            gates,
            changes,
            now,
            stamp,
        } = *moment;
        let at = id.0 as usize;
        if let Some(leg) = self.legs.get_mut(at)
            && leg.stamp == stamp
        {
            leg.marked = now;
            self.slots.get(at)?.as_ref()?.way.mark_used(learned, now);
            return Some(());
        }
        let way = self.fresh(id, tables, learned, changes, now)?;
        if way.each {
            return None;
        }
        let leg = Leg {
            stamp,
            marked: now,
            gate: gates.get(&way.entry).unwrap_or(Gate::NONE),
            ttl_steps: way.ttl_steps,
            bridged: way.macs == (way.eth_dst, way.eth_src),
            mtu: way.mtu,
            macs: Macs::new(way.macs.0, way.macs.1),
            write: Macs::new(way.eth_dst, way.eth_src),
            egress: way.egress,
        };
        if let Egress::Tunnel { tunnel, vni, keys } = way.egress {
            let (underlay, tunnel) = (tables.underlay.as_ref()?, tables.tunnel(tunnel)?);
            let next_hop = tunnel.next_hop.into();
            let (_, mac) = learned.neighbors.resolve(UNDERLAY_PORT, next_hop)?;
            let head = Head::new(underlay, tunnel, mac, vni, keys);
            *self.heads.get_mut(id.0 as usize)? = head.around(leg.write);
        }
        *self.legs.get_mut(id.0 as usize)? = leg;
        Some(())
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

/// The leg of no path. No moment has the stamp 0.
const STALE: Leg = Leg {
    stamp: 0,
    marked: Tick(0),
    gate: Gate::NONE,
    ttl_steps: 0,
    bridged: false,
    mtu: 0,
    macs: Macs::NONE,
    write: Macs::NONE,
    egress: Egress::Device {
        device: DeviceId(0),
        vlan: None,
        port: PortId(0),
    },
};

impl Way {
    /// A packet with this TTL and length, in bytes of IP, gets to the end.
    #[inline]
    pub fn carries(&self, ttl: u8, total_len: u16) -> bool {
        ttl > self.ttl_steps && total_len <= self.mtu
    }

    /// The next hop has the MAC that it had: another one may be behind another port of the switch. That of the underlay
    /// is read anew.
    fn neighbors_hold(&self, learned: &Learned) -> bool {
        let neighbors = &learned.neighbors;
        let there = |n: &NeighborUse| neighbors.lookup(n.port, n.ip) == Some(n.slot);
        self.underlay.as_ref().is_none_or(there)
            && self
                .neighbor
                .as_ref()
                .is_none_or(|n| there(n) && neighbors.mac(n.slot) == Some(self.eth_dst))
    }

    fn mark_used(&self, learned: &Learned, now: Tick) {
        self.deps
            .mark_used([&self.neighbor, &self.underlay], learned, now);
    }
}
