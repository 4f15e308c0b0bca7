//! Changing the table: the slow path's side.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_net::Mac;

use super::{Neighbor, NeighborState, Neighbors, Slot, Word, key};
use crate::ids::{PortId, Tick};

/// Why a neighbor was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// No slot is free.
    #[error("the neighbor table is full")]
    Table,
    /// The port has as many neighbors as it may.
    #[error("the port has as many neighbors as it may have")]
    Port,
}

/// The one writer of [`Neighbors`]. Counts and free slots are its own.
#[derive(Debug)]
pub struct NeighborWriter {
    neighbors: Arc<Neighbors>,
    /// Slots from here on were never filled.
    unused: u32,
    /// Slots to fill again, the longest free first: readers have then long left them.
    freed: VecDeque<u32>,
    /// Neighbors per port; none is zero.
    ports: HashMap<PortId, u32>,
    /// Most neighbors of one port, static ones excepted.
    port_limit: u32,
}

impl NeighborWriter {
    pub(super) fn new(neighbors: Arc<Neighbors>) -> NeighborWriter {
        NeighborWriter {
            neighbors,
            unused: 0,
            freed: VecDeque::new(),
            ports: HashMap::new(),
            port_limit: u32::MAX,
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Neighbors> {
        &self.neighbors
    }

    /// Neighbors behind all ports.
    pub fn len(&self) -> u32 {
        self.unused - self.freed.len() as u32
    }

    /// True without neighbors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Neighbors behind one port, static ones included.
    pub fn port_len(&self, port: PortId) -> u32 {
        self.ports.get(&port).copied().unwrap_or(0)
    }

    /// Sets how many neighbors a port may have before further ones, static ones excepted, are refused.
    /// There is no limit before this is called. Those that are there stay.
    pub fn set_port_limit(&mut self, limit: u32) {
        self.port_limit = limit;
    }

    /// Adds a neighbor that is yet to be resolved. One that is there already stays as it is.
    ///
    /// # Errors
    /// When there is no room in the table or behind the port.
    pub fn insert_incomplete(&mut self, port: PortId, ip: IpAddr, now: Tick) -> Result<Slot, Full> {
        match self.neighbors.lookup(port, ip) {
            Some(slot) => Ok(slot),
            None => self.fill(port, ip, Mac::default(), NeighborState::Incomplete, now),
        }
    }

    /// Gives a neighbor this MAC and state, in place when it is there and else as a new one. In a state
    /// without MAC, `mac` is not kept.
    ///
    /// # Errors
    /// When it is new and there is no room in the table or behind the port.
    pub fn set(
        &mut self,
        port: PortId,
        ip: IpAddr,
        mac: Mac,
        state: NeighborState,
        now: Tick,
    ) -> Result<Slot, Full> {
        let Some(slot) = self.neighbors.lookup(port, ip) else {
            return self.fill(port, ip, mac, state, now);
        };
        self.write(slot, Word::new(mac, state, slot.generation));
        if let Some(entry) = self.neighbors.slots.get(slot.index as usize) {
            entry.updated.store(now.0, Ordering::Relaxed);
        }
        Ok(slot)
    }

    /// Changes the state alone. False, and nothing is changed, when the neighbor was removed or when it
    /// has no MAC and the state needs one. A state without MAC drops the MAC.
    pub fn set_state(&mut self, slot: Slot, state: NeighborState) -> bool {
        let Some(word) = self.neighbors.word(slot) else {
            return false;
        };
        let mac = match word.mac() {
            None if state.has_mac() => return false,
            mac => mac.unwrap_or_default(),
        };
        self.write(slot, Word::new(mac, state, slot.generation));
        true
    }

    /// Writes MAC and state in place; another MAC, or none any more, is a change.
    fn write(&self, slot: Slot, word: Word) {
        let Some(entry) = self.neighbors.slots.get(slot.index as usize) else {
            return;
        };
        let before = Word(entry.word.swap(word.0, Ordering::AcqRel));
        if before.mac() != word.mac() {
            self.neighbors.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Removes a neighbor; false when it was removed before.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let (Some(word), Some(entry)) = (
            self.neighbors.word(slot),
            self.neighbors.slots.get(slot.index as usize),
        ) else {
            return false;
        };
        let Some((_, key)) = entry.read() else {
            return false;
        };
        let (port, _) = super::unkey(key);
        let chains = &self.neighbors.chains;
        chains.unlink(chains.hash(key), slot.index);
        let free = Word::free(word.generation());
        entry.word.store(free.0, Ordering::Release);
        self.neighbors.changes.fetch_add(1, Ordering::Release);
        self.freed.push_back(slot.index);
        if let Some(count) = self.ports.get_mut(&port) {
            *count -= 1;
            if *count == 0 {
                self.ports.remove(&port);
            }
        }
        true
    }

    /// Removes the neighbors that `keep` refuses; returns how many.
    pub fn retain(&mut self, mut keep: impl FnMut(Slot, &Neighbor) -> bool) -> u32 {
        let mut removed = 0;
        for index in 0..self.unused {
            if let Some((slot, neighbor)) = self.neighbors.show(index)
                && !keep(slot, &neighbor)
            {
                removed += u32::from(self.remove(slot));
            }
        }
        removed
    }

    /// All neighbors, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, Neighbor)> {
        (0..self.unused).filter_map(|index| self.neighbors.show(index))
    }

    /// Takes a free slot and links it.
    fn fill(
        &mut self,
        port: PortId,
        ip: IpAddr,
        mac: Mac,
        state: NeighborState,
        now: Tick,
    ) -> Result<Slot, Full> {
        if state != NeighborState::Static && self.port_len(port) >= self.port_limit {
            return Err(Full::Port);
        }
        let fresh = self.unused < self.neighbors.capacity();
        let index = match self.freed.front() {
            _ if fresh => self.unused,
            Some(index) => *index,
            None => return Err(Full::Table),
        };
        let Some(entry) = self.neighbors.slots.get(index as usize) else {
            return Err(Full::Table);
        };
        let key = key(port, ip);
        // The word last, see the module's text.
        for (part, value) in entry.key.iter().zip(key) {
            part.store(value, Ordering::Release);
        }
        entry.used.store(now.0, Ordering::Relaxed);
        entry.updated.store(now.0, Ordering::Relaxed);
        let last = Word(entry.word.load(Ordering::Relaxed)).generation();
        let word = Word::new(mac, state, last.wrapping_add(1));
        entry.word.store(word.0, Ordering::Release);
        let chains = &self.neighbors.chains;
        if !chains.link(chains.hash(key), index) {
            let free = Word::free(word.generation());
            entry.word.store(free.0, Ordering::Release);
            return Err(Full::Table);
        }
        if fresh {
            self.unused += 1;
        } else {
            self.freed.pop_front();
        }
        *self.ports.entry(port).or_insert(0) += 1;
        Ok(word.slot(index))
    }
}
