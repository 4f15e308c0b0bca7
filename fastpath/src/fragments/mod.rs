//! Fragments whose ports somebody wants to know: virtual reassembly (RFC 4787 REQ-14, RFC 6146 section 3.4).
//!
//! ```text
//!   fragment ─► walk ── nobody looks at ports ────────────────► as any packet
//!                 └─ somebody does ─► the worker of its datagram ─► Fragments
//!                         first ────── tells its upper layer ─► walks on, with those that waited
//!                         later ────── first known ───────────► walks on as the first did
//!                                      first to come ─────────► held
//! ```
//!
//! Nothing is put together: each fragment goes on as it came, with its own size. What is kept of a datagram is what its first
//! fragment says, and which pieces have come by; once all have, it is forgotten. What overlaps is dropped, and so are all that
//! come after it, in both families (RFC 5722, RFC 8200 section 4.5): no sender makes such pieces, and receivers disagree on what
//! they mean. A piece that is exactly one that has come is a copy, and passes.
//!
//! Everything is bounded: datagrams, frames that are held, both of one source, pieces of one datagram, time. When the table is full the oldest
//! gives way, one that belongs to a connection last, so that a flood displaces its like.

mod first;
mod held;
mod key;
mod pieces;
mod table;

#[cfg(test)]
mod tests;

pub use first::{First, Upper};
pub use held::Released;
pub use key::{Key, Secret};
pub use pieces::{MOST_PIECES, Pieces};
pub use table::{Arrival, Fragments};

/// Share of the table, and of what is held, that one source may have: one in so many.
pub const SOURCE_SHARE: u32 = 8;

/// Bounds of one worker's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Datagrams under way.
    pub datagrams: u32,
    /// Frames that wait for their first.
    pub held: u32,
    /// Milliseconds for which the first fragment is waited for, and after it for the others.
    pub timeout: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            datagrams: 4096,
            held: 512,
            // RFC 6146 section 3.4: at least two seconds.
            timeout: 2000,
        }
    }
}

impl Limits {
    /// Bytes that a table takes at most, the buffers of held frames not counted.
    #[must_use]
    pub const fn memory(&self) -> u64 {
        // What a worker keeps of a frame is not larger.
        Fragments::<[u64; 6]>::memory(self)
    }
}
