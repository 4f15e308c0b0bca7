//! Changing the table: the slow path's side.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_net::Mac;

use super::{Entry, Fdb, idle, mark};
use crate::ids::{PortId, Tick};

/// What [`FdbWriter::learn`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// An entry was added.
    New,
    /// The MAC was known behind another port.
    Moved {
        /// That port.
        from: PortId,
    },
    /// The MAC was known here already.
    Refreshed,
    /// Not learned: the table has no room.
    Full,
    /// Not learned: the domain has as many as it may.
    DomainFull,
}

/// The one writer of an [`Fdb`]. Counts and free slots are its own.
#[derive(Debug)]
pub struct FdbWriter {
    fdb: Arc<Fdb>,
    /// Slots from here on were never filled.
    unused: u32,
    /// Slots to fill again, the longest free first: readers have then long left them.
    freed: VecDeque<u32>,
    /// Entries per domain; none is zero.
    domains: HashMap<u32, u32>,
    /// The generation last given.
    generation: u16,
    /// Where [`FdbWriter::expire`] goes on.
    cursor: u32,
}

impl FdbWriter {
    pub(super) fn new(fdb: Arc<Fdb>) -> FdbWriter {
        FdbWriter {
            fdb,
            unused: 0,
            freed: VecDeque::new(),
            domains: HashMap::new(),
            generation: 0,
            cursor: 0,
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Fdb> {
        &self.fdb
    }

    /// Entries in all domains.
    pub fn len(&self) -> u32 {
        self.unused - self.freed.len() as u32
    }

    /// True without entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries of one domain.
    pub fn domain_len(&self, domain: u32) -> u32 {
        self.domains.get(&domain).copied().unwrap_or(0)
    }

    /// Notes that unicast `mac` was a source behind `port` of `domain`. A new entry is refused when the
    /// domain has `limit` already; entries that are there move and refresh all the same.
    pub fn learn(&mut self, domain: u32, mac: Mac, port: PortId, now: Tick, limit: u32) -> Learned {
        if let Some(hit) = self.fdb.lookup(domain, mac) {
            return self.refresh(hit.slot, domain, hit.port, port, now);
        }
        if self.domain_len(domain) >= limit {
            return Learned::DomainFull;
        }
        if self.fill(domain, mac, port, now).is_none() {
            return Learned::Full;
        }
        *self.domains.entry(domain).or_insert(0) += 1;
        Learned::New
    }

    fn refresh(&self, slot: u32, domain: u32, from: PortId, port: PortId, now: Tick) -> Learned {
        let Some(entry) = self.fdb.slots.get(slot as usize) else {
            return Learned::Full;
        };
        mark(&entry.used, now);
        if from == port {
            return Learned::Refreshed;
        }
        entry.place.store(place(domain, port), Ordering::Release);
        entry.since.store(now.0, Ordering::Relaxed);
        self.changed();
        Learned::Moved { from }
    }

    /// Takes a free slot and links it; `None` when there is none or the chain is full.
    fn fill(&mut self, domain: u32, mac: Mac, port: PortId, now: Tick) -> Option<()> {
        let fresh = self.unused < self.fdb.capacity();
        let slot = if fresh {
            self.unused
        } else {
            *self.freed.front()?
        };
        let entry = self.fdb.slots.get(slot as usize)?;
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        // The name last, see the module's text.
        entry.place.store(place(domain, port), Ordering::Release);
        entry.used.store(now.0, Ordering::Relaxed);
        entry.since.store(now.0, Ordering::Relaxed);
        let name = mac.to_u64() << 16 | u64::from(self.generation);
        entry.name.store(name, Ordering::Release);
        if !self.fdb.chains.link(self.fdb.hash(domain, mac), slot) {
            entry.name.store(0, Ordering::Release);
            return None;
        }
        if fresh {
            self.unused += 1;
        } else {
            self.freed.pop_front();
        }
        Some(())
    }

    /// Forgets one MAC; false when it was not known.
    pub fn forget(&mut self, domain: u32, mac: Mac) -> bool {
        let Some(hit) = self.fdb.lookup(domain, mac) else {
            return false;
        };
        self.free(hit.slot)
    }

    /// Forgets all that was learned behind `port`; returns how many.
    pub fn forget_port(&mut self, port: PortId) -> u32 {
        self.forget_if(|_, at| at == port)
    }

    /// Forgets the domains that `keep` refuses; returns how many MACs that were.
    pub fn retain_domains(&mut self, keep: impl Fn(u32) -> bool) -> u32 {
        self.forget_if(|domain, _| !keep(domain))
    }

    fn forget_if(&mut self, forget: impl Fn(u32, PortId) -> bool) -> u32 {
        let mut forgotten = 0;
        for slot in 0..self.unused {
            let entry = self.fdb.slots.get(slot as usize).and_then(Entry::read);
            if entry.is_some_and(|(domain, _, port)| forget(domain, port)) {
                forgotten += u32::from(self.free(slot));
            }
        }
        forgotten
    }

    /// Forgets entries not seen for `age_ms(domain)` milliseconds, where zero means never. Looks at
    /// `budget` slots at most and goes on from there the next time; returns how many it forgot.
    pub fn expire(&mut self, now: Tick, age_ms: impl Fn(u32) -> u32, budget: usize) -> u32 {
        let mut forgotten = 0;
        for _ in 0..budget.min(self.unused as usize) {
            let slot = self.cursor;
            self.cursor = (slot + 1) % self.unused;
            let Some(entry) = self.fdb.slots.get(slot as usize).and_then(Entry::show) else {
                continue;
            };
            let age = age_ms(entry.domain);
            if age > 0 && idle(entry.used, now) >= age {
                forgotten += u32::from(self.free(slot));
            }
        }
        forgotten
    }

    fn free(&mut self, slot: u32) -> bool {
        let Some(entry) = self.fdb.slots.get(slot as usize) else {
            return false;
        };
        let Some((domain, mac, _)) = entry.read() else {
            return false;
        };
        self.fdb.chains.unlink(self.fdb.hash(domain, mac), slot);
        entry.name.store(0, Ordering::Release);
        self.changed();
        self.freed.push_back(slot);
        if let Some(count) = self.domains.get_mut(&domain) {
            *count -= 1;
            if *count == 0 {
                self.domains.remove(&domain);
            }
        }
        true
    }

    fn changed(&self) {
        self.fdb.changes.fetch_add(1, Ordering::Release);
    }
}

fn place(domain: u32, port: PortId) -> u64 {
    u64::from(domain) << 32 | u64::from(port.0)
}
