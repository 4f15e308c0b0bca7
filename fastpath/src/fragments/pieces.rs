//! Which pieces of a datagram have come by.

use sluice_net::Extent;

/// Pieces of one datagram at most: the largest datagram, cut for the smallest MTU of IPv6, has 54.
pub const MOST_PIECES: usize = 64;

/// What a piece is beside those that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A new one.
    New,
    /// Exactly one that has come.
    Again,
    /// It overlaps one, or contradicts where the datagram ends.
    Overlaps,
    /// One too many.
    TooMany,
}

/// The pieces of a datagram that have come by.
#[derive(Clone, Debug)]
pub struct Pieces {
    list: [(u16, u16); MOST_PIECES],
    count: u8,
    bytes: u32,
    /// Where the datagram ends; 0 until the last piece has come.
    end: u32,
}

impl Default for Pieces {
    fn default() -> Self {
        Pieces {
            list: [(0, 0); MOST_PIECES],
            count: 0,
            bytes: 0,
            end: 0,
        }
    }
}

/// RFC 791 section 3.2, RFC 8200 section 4.5: all but the last have whole units of 8 bytes, and all have some.
pub(super) const fn is_possible(extent: &Extent) -> bool {
    extent.len > 0 && (!extent.more || extent.len.is_multiple_of(8))
}

impl Pieces {
    /// All of the datagram has come by.
    pub fn is_whole(&self) -> bool {
        self.end > 0 && self.bytes == self.end
    }

    /// Notes a piece; one that overlaps, or is one too many, is not noted.
    pub fn add(&mut self, extent: &Extent) -> Piece {
        let (from, to) = (u32::from(extent.offset), extent.end());
        let known = self.list.get(..usize::from(self.count)).unwrap_or_default();
        let is_end = |to| to == self.end;
        let mut again = false;
        for &(offset, len) in known {
            let (start, stop) = (u32::from(offset), u32::from(offset) + u32::from(len));
            if (start, stop) == (from, to) {
                again = true;
            } else if from < stop && start < to || !extent.more && stop > to {
                return Piece::Overlaps;
            }
        }
        match (again, extent.more) {
            (true, more) if more != is_end(to) => return Piece::Again,
            (true, _) => return Piece::Overlaps,
            (false, true) if self.end > 0 && to >= self.end => return Piece::Overlaps,
            (false, false) if self.end > 0 => return Piece::Overlaps,
            (false, _) => {}
        }
        let Some(place) = self.list.get_mut(usize::from(self.count)) else {
            return Piece::TooMany;
        };
        *place = (extent.offset, extent.len);
        self.count += 1;
        self.bytes += u32::from(extent.len);
        if !extent.more {
            self.end = to;
        }
        Piece::New
    }
}
