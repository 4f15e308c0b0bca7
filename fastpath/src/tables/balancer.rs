//! Load balancers: addresses that stand for many, and which of these a new connection goes to.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use hashbrown::HashMap;
use sluice_net::wire::ip_proto;

use super::affinity::Affinity;
use super::health::{HealthCheck, Liveness, Mapping};
use crate::connections::{Address, Connection, FlowKey};
use crate::ids::Tick;

/// The load balancers of a switch or router.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Balancers {
    vips: Vec<Arc<Vip>>,
    by_service: HashMap<Service, u32>,
    /// Some virtual IP is of IPv4, of IPv6.
    families: [bool; 2],
}

/// What packets come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// The address.
    pub ip: IpAddr,
    /// IP protocol and port; `None`: all packets to the address.
    pub port: Option<(u8, u16)>,
}

/// A virtual IP.
#[derive(Debug, PartialEq, Eq)]
pub struct Vip {
    /// Name of the load balancer.
    pub balancer: String,
    /// What packets come for.
    pub service: Service,
    /// Who serves them; those that are draining keep what they have.
    pub backends: Vec<Backend>,
    /// What new connections are told apart by.
    pub selection: Selection,
    /// Clients stay with their backend.
    pub affinity: Option<Arc<Affinity>>,
    /// The source of connections from a backend to itself; `None`: the address of the service.
    pub hairpin: Option<IpAddr>,
    /// Sources of its connections are not translated.
    pub skip_snat: bool,
    /// Who sends when nobody serves is told; else it hears nothing.
    pub reject: bool,
    /// How its backends are checked.
    pub check: Option<HealthCheck>,
    maglev: Maglev,
}

/// Who serves packets to a virtual IP.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; `None`: that of the packet.
    pub port: Option<u16>,
    /// Its share of new connections, against those of the others.
    pub weight: u16,
    /// It gets no new connections.
    pub draining: bool,
    /// New connections it was given.
    pub hits: Hits,
    /// Where it is checked; `None`: it is not, and serves.
    pub mapping: Option<Mapping>,
    /// What the checks found.
    pub liveness: Liveness,
}

impl Backend {
    /// New connections may be given to it.
    pub fn serves(&self) -> bool {
        !self.draining && self.weight > 0 && self.liveness.get().health.serves()
    }

    /// One of weight 1.
    pub fn new(ip: IpAddr, port: Option<u16>) -> Self {
        Backend {
            ip,
            port,
            weight: 1,
            draining: false,
            hits: Hits::default(),
            mapping: None,
            liveness: Liveness::default(),
        }
    }
}

/// What a backend was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choosing {
    /// The connection has it.
    Connection,
    /// The client had it before.
    Affinity,
    /// The hash of the flow.
    Hash,
}

/// A count that goes with what it counts and is no part of it.
#[derive(Debug, Default)]
pub struct Hits(AtomicU64);

impl Hits {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many until now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on from where another count is.
    pub fn go_on_from(&self, other: &Hits) {
        self.0.store(other.get(), Ordering::Relaxed);
    }
}

impl PartialEq for Hits {
    fn eq(&self, _: &Hits) -> bool {
        true
    }
}

impl Eq for Hits {}

/// What of a packet chooses its backend: connections that are equal in it go to the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Its source address.
    pub ip_src: bool,
    /// Its destination address.
    pub ip_dst: bool,
    /// Its source port.
    pub tp_src: bool,
    /// Its destination port.
    pub tp_dst: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Selection {
            ip_src: true,
            ip_dst: true,
            tp_src: true,
            tp_dst: true,
        }
    }
}

impl Selection {
    /// The same on every node, so that a gateway that takes over chooses as the one before did.
    fn hash(self, flow: &FlowKey) -> u64 {
        let word = |wanted: bool, value: u64| if wanted { value } else { 0 };
        let (src, dst) = (short(flow.src), short(flow.dst));
        let ips = word(self.ip_src, src).rotate_left(32) ^ word(self.ip_dst, dst);
        let ports =
            word(self.tp_src, flow.src_port.into()) << 16 | word(self.tp_dst, flow.dst_port.into());
        mix(mix(ips) ^ (ports << 8 | u64::from(flow.proto)))
    }
}

impl Vip {
    /// A virtual IP with its look-up table.
    pub fn new(balancer: String, service: Service, backends: Vec<Backend>) -> Self {
        let maglev = Maglev::of(&backends);
        Vip {
            balancer,
            service,
            backends,
            selection: Selection::default(),
            affinity: None,
            hairpin: None,
            skip_snat: false,
            reject: false,
            check: None,
            maglev,
        }
    }

    /// The backend for the first packet of a flow, with its index and what chose it; `None` when no one serves.
    #[inline]
    pub fn choose(&self, flow: &FlowKey, now: Tick) -> Option<(u16, &Backend, Choosing)> {
        if let Some(affinity) = &self.affinity
            && let Some((ip, port)) = affinity.find(flow.src, now)
            && let Some((index, backend)) = self.stays(ip, port)
        {
            return Some((index, backend, Choosing::Affinity));
        }
        let index = self.maglev.at(self.selection.hash(flow))?;
        let backend = self.backends.get(usize::from(index))?;
        Some((index, backend, Choosing::Hash))
    }

    /// The backend that is exactly this, if it takes new connections.
    fn stays(&self, ip: IpAddr, port: u16) -> Option<(u16, &Backend)> {
        (0..).zip(&self.backends).find(|(_, backend)| {
            (backend.ip, backend.port.unwrap_or(0)) == (ip, port) && backend.serves()
        })
    }

    /// The health of a backend has changed: new connections are shared out anew, among those that serve now. What one
    /// had that is gone goes to the others, and comes back to it; little else moves. Nobody waits: a packet
    /// meanwhile takes a slot as it was or as it will be. One thread does this.
    pub fn renew(&self) {
        self.maglev.fill(&self.backends);
    }

    /// A client's connection was opened to this backend.
    pub fn given(&self, client: IpAddr, backend: &Backend, now: Tick) {
        backend.hits.add();
        if let Some(affinity) = &self.affinity {
            affinity.remember(client, backend.ip, backend.port.unwrap_or(0), now);
        }
    }

    /// The backend with this address and port, draining or not.
    pub fn backend(&self, ip: IpAddr, port: u16) -> Option<(usize, &Backend)> {
        let is = |backend: &Backend| backend.ip == ip && backend.port.is_none_or(|own| own == port);
        self.backends
            .iter()
            .enumerate()
            .find(|(_, backend)| is(backend))
    }

    /// What a backend's own packets to the service come from when they are given to itself.
    pub fn hairpin_source(&self) -> IpAddr {
        self.hairpin.unwrap_or(self.service.ip)
    }
}

impl Balancers {
    /// Those with these virtual IPs. Of two for one service the first is asked (`check` lets no such pass).
    pub fn new(vips: Vec<Arc<Vip>>) -> Self {
        let mut by_service = HashMap::with_capacity(vips.len());
        for (vip, index) in vips.iter().zip(0..) {
            by_service.entry(vip.service).or_insert(index);
        }
        let of = |v6| vips.iter().any(|vip| vip.service.ip.is_ipv6() == v6);
        let families = [of(false), of(true)];
        Balancers {
            vips,
            by_service,
            families,
        }
    }

    /// There is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.vips.is_empty()
    }

    /// Some virtual IP is of IPv6, or of IPv4.
    #[inline]
    pub fn serve(&self, v6: bool) -> bool {
        self.families[usize::from(v6)]
    }

    /// All of them.
    pub fn vips(&self) -> &[Arc<Vip>] {
        &self.vips
    }

    /// The virtual IP that a packet is for, with its index: by protocol and port, else by the address alone.
    #[inline]
    pub fn find(&self, ip: IpAddr, proto: u8, port: u16) -> Option<(u32, &Vip)> {
        let of = |port| self.by_service.get(&Service { ip, port });
        let with_port = match proto {
            ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP => of(Some((proto, port))),
            _ => None,
        };
        let index = *with_port.or_else(|| of(None))?;
        Some((index, self.vips.get(index as usize)?))
    }

    /// The virtual IP and the backend that translate a connection, if they still stand.
    pub fn of_connection(&self, connection: &Connection) -> Option<(&Vip, &Backend)> {
        let (original, reply) = (&connection.original, &connection.reply);
        let (_, vip) = self.find(original.dst, original.proto, original.dst_port)?;
        let (_, backend) = vip.backend(reply.src, reply.src_port)?;
        Some((vip, backend))
    }

    /// One of them has this address.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.vips.iter().any(|vip| vip.service.ip == ip)
    }

    /// The first packet of a flow may be for one of them.
    #[inline]
    pub fn want<A: Address>(&self, flow: &FlowKey<A>) -> bool {
        !self.is_empty()
            && self
                .find(flow.dst.ip(), flow.proto, flow.dst_port)
                .is_some()
    }
}

/// A table by which new connections find a backend: each has its share of the slots, and when one comes or goes
/// nearly only its own slots change hands (Eisenbud and others, Maglev, NSDI 2016, section 3.4). It follows from the
/// backends and their health, so any two are equal.
#[derive(Debug)]
struct Maglev {
    /// By slot the index of a backend, or [`NOBODY`].
    slots: Box<[AtomicU16]>,
}

impl PartialEq for Maglev {
    fn eq(&self, _: &Maglev) -> bool {
        true
    }
}

impl Eq for Maglev {}

/// Slots of a table. The same for all tables, or a backend more would reshuffle them. Shares of some forty equal backends
/// are within a percent or so.
const SLOTS: usize = 1 << (2 * HALF);
/// Half of a slot's bits.
const HALF: u32 = 6;
/// Rounds by which a backend's order of the slots is made.
const ROUNDS: u64 = 4;
/// In all slots when nobody serves.
const NOBODY: u16 = u16::MAX;

impl Maglev {
    fn of(backends: &[Backend]) -> Maglev {
        let maglev = Maglev {
            slots: (0..SLOTS).map(|_| AtomicU16::new(NOBODY)).collect(),
        };
        maglev.fill(backends);
        maglev
    }

    fn fill(&self, backends: &[Backend]) {
        let filled = Self::shares(backends);
        let values = filled.into_iter().map(|slot| slot.unwrap_or(NOBODY));
        for (slot, value) in self.slots.iter().zip(values) {
            slot.store(value, Ordering::Relaxed);
        }
    }

    fn shares(backends: &[Backend]) -> Vec<Option<u16>> {
        let mut slots = vec![None; SLOTS];
        let serving: Vec<(u16, &Backend)> = (0..)
            .zip(backends)
            .filter(|(_, backend)| backend.serves())
            .collect();
        let Some(heaviest) = serving.iter().map(|(_, backend)| backend.weight).max() else {
            return slots;
        };
        // Where each stands in its own order of all slots, and what it has saved up for its next turn.
        let mut turns: Vec<Turn> = serving
            .iter()
            .map(|(index, backend)| Turn::of(*index, backend))
            .collect();
        let mut left = SLOTS;
        while left > 0 {
            for turn in &mut turns {
                turn.credit += u32::from(turn.weight);
                if turn.credit < u32::from(heaviest) || left == 0 {
                    continue;
                }
                turn.credit -= u32::from(heaviest);
                turn.take(&mut slots);
                left -= 1;
            }
        }
        slots
    }

    #[inline]
    fn at(&self, hash: u64) -> Option<u16> {
        let slot = (u128::from(hash) * self.slots.len() as u128) >> 64;
        let index = self.slots.get(slot as usize)?.load(Ordering::Relaxed);
        (index != NOBODY).then_some(index)
    }
}

/// A backend that takes its slots.
struct Turn {
    backend: u16,
    weight: u16,
    credit: u32,
    identity: u64,
    /// How many of its slots it has asked for.
    next: usize,
}

impl Turn {
    fn of(index: u16, backend: &Backend) -> Turn {
        let port = u64::from(backend.port.unwrap_or(0));
        let identity = short(backend.ip).rotate_left(16) ^ port;
        Turn {
            backend: index,
            weight: backend.weight,
            credit: 0,
            identity,
            next: 0,
        }
    }

    /// The slot at a place of its order: a permutation of all by a Feistel network. With the paper's steps of a fixed length two
    /// backends of equal steps follow each other through the table, and a third of it may change hands when one goes.
    fn slot(&self, place: usize) -> usize {
        let low = (1 << HALF) - 1;
        let place = place as u64;
        let (mut left, mut right) = (place >> HALF & low, place & low);
        for round in 0..ROUNDS {
            let shuffled = mix(self.identity ^ mix(round << HALF | right));
            (left, right) = (right, left ^ shuffled & low);
        }
        (left << HALF | right) as usize
    }

    /// Takes the first slot in its order that is free; there is one.
    fn take(&mut self, slots: &mut [Option<u16>]) {
        for _ in 0..SLOTS {
            let at = self.slot(self.next);
            self.next = (self.next + 1) % SLOTS;
            if let Some(slot @ None) = slots.get_mut(at) {
                *slot = Some(self.backend);
                return;
            }
        }
    }
}

/// An address as a word: of IPv4 the address itself.
pub(super) const fn short(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits() as u64,
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix(mix((bits >> 64) as u64) ^ bits as u64)
        }
    }
}

/// A permutation of words in which near ones give far ones (the finalizer of SplitMix64).
#[inline]
pub(super) const fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
