//! Dense identifiers and the clock unit of the packet path.
//!
//! Indices are given by the compiler of the topology, stay with a *name* across reloads and are not
//! reused while a cached decision may still hold them.

/// A logical switch or router known to this node: index into [`Tables::datapaths`](crate::tables::Tables).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatapathId(pub u32);

/// A logical port of a switch or router known to this node: index into [`Tables::ports`](crate::tables::Tables).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// Another chassis with one encapsulation: index into [`Tables::tunnels`](crate::tables::Tables).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u32);

/// A cached way through the node, in the slab of the worker that owns the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(pub u32);

impl PathId {
    /// No way is cached.
    pub const NONE: PathId = PathId(u32::MAX);
}

/// Where connection state lives (below 2^24); the same tuple may exist once per zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(pub u32);

impl Zone {
    /// Traffic of this zone can meet no stateful stage: no look-up is made.
    pub const NONE: Zone = Zone(0);
}

/// A poll-mode worker of this node, dense from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// Milliseconds since the daemon started; wraps after 49 days, so compare with [`Tick::since`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tick(pub u32);

impl Tick {
    /// Milliseconds from `earlier` to `self`, right across the wrap.
    #[inline]
    pub fn since(self, earlier: Tick) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// `self` plus `ms` milliseconds.
    #[inline]
    pub fn plus(self, ms: u32) -> Tick {
        Tick(self.0.wrapping_add(ms))
    }

    /// True when `self` is at or past `deadline` (which lies within 24 days).
    #[inline]
    pub fn reached(self, deadline: Tick) -> bool {
        (self.0.wrapping_sub(deadline.0) as i32) >= 0
    }
}
