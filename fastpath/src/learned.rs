//! What is learned at run time and lives across generations: neighbors, MACs and roles.
//! One writer, the slow path; workers read without locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ids::TunnelId;
use crate::tables::RoleId;
use crate::tables::fdb::Fdb;
use crate::tables::neighbors::Neighbors;

/// Readers' side of everything learned.
#[derive(Debug)]
pub struct Learned {
    /// Resolved next hops.
    pub neighbors: Arc<Neighbors>,
    /// Learned MACs.
    pub fdb: Arc<Fdb>,
    /// Who is active per gateway port.
    pub roles: Roles,
}

impl Learned {
    /// Empty tables of the given capacities.
    pub fn new(neighbors: usize, fdb: usize, roles: usize) -> Self {
        Self {
            neighbors: Arc::new(Neighbors::new(neighbors)),
            fdb: Arc::new(Fdb::new(fdb)),
            roles: Roles::new(roles),
        }
    }

    /// A number that grows whenever a cached decision might have gone stale because something
    /// learned was moved, removed or changed its role.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.neighbors
            .changes()
            .wrapping_add(self.fdb.changes())
            .wrapping_add(self.roles.changes.load(Ordering::Acquire))
    }
}

/// Who holds a gateway port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No chassis of the list is alive.
    Nobody,
    /// This node.
    Active,
    /// Another chassis, reached by this tunnel.
    Backup(TunnelId),
}

/// Roles by [`RoleId`], one atomic each.
#[derive(Debug)]
pub struct Roles {
    slots: Box<[AtomicU32]>,
    changes: AtomicU64,
}

impl Roles {
    const NOBODY: u32 = 0;
    const ACTIVE: u32 = 1;
    const FIRST_TUNNEL: u32 = 2;

    /// Room for `capacity` gateway ports.
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity)
                .map(|_| AtomicU32::new(Self::NOBODY))
                .collect(),
            changes: AtomicU64::new(0),
        }
    }

    /// The role of this node for a gateway port.
    #[inline]
    pub fn get(&self, id: RoleId) -> Role {
        match self
            .slots
            .get(id.0 as usize)
            .map_or(Self::NOBODY, |slot| slot.load(Ordering::Acquire))
        {
            Self::NOBODY => Role::Nobody,
            Self::ACTIVE => Role::Active,
            tunnel => Role::Backup(TunnelId(tunnel - Self::FIRST_TUNNEL)),
        }
    }

    /// Changes a role; returns the one before. Only the role machine calls this.
    pub fn set(&self, id: RoleId, role: Role) -> Role {
        let before = self.get(id);
        if before != role
            && let Some(slot) = self.slots.get(id.0 as usize)
        {
            let word = match role {
                Role::Nobody => Self::NOBODY,
                Role::Active => Self::ACTIVE,
                Role::Backup(tunnel) => tunnel.0 + Self::FIRST_TUNNEL,
            };
            slot.store(word, Ordering::Release);
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
        before
    }
}
