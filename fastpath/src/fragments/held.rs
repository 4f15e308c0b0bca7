//! What waits for the first fragment of its datagram: chains in one slab.

use super::First;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Place<T> {
    item: Option<T>,
    next: u32,
}

/// One datagram's chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    head: u32,
    tail: u32,
    pub(super) len: u32,
}

impl Chain {
    pub(super) const EMPTY: Chain = Chain {
        head: NONE,
        tail: NONE,
        len: 0,
    };
}

/// What waited for a first fragment that has come: to be taken out, in the order in which it came.
#[derive(Debug)]
#[must_use = "what is not taken out stays for ever"]
pub struct Released {
    pub(super) chain: Chain,
    /// What the first fragment says.
    pub first: First,
}

/// All chains.
#[derive(Debug)]
pub(super) struct Held<T> {
    places: Vec<Place<T>>,
    free: u32,
    len: u32,
    most: u32,
}

impl<T> Held<T> {
    pub(super) fn new(most: u32) -> Self {
        Held {
            places: Vec::with_capacity(most as usize),
            free: NONE,
            len: 0,
            most,
        }
    }

    /// Bytes of one place.
    pub(super) const PLACE: usize = size_of::<Place<T>>();

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.len >= self.most
    }

    /// Appends to a chain; gives back what there is no place for.
    pub(super) fn push(&mut self, chain: &mut Chain, item: T) -> Result<(), T> {
        if self.is_full() {
            return Err(item);
        }
        let place = Place {
            item: Some(item),
            next: NONE,
        };
        let at = self.free;
        let at = match self.places.get_mut(at as usize) {
            Some(free) => {
                self.free = free.next;
                *free = place;
                at
            }
            None => {
                // Within the capacity: as many as are held at most.
                self.places.push(place);
                (self.places.len() - 1) as u32
            }
        };
        match self.places.get_mut(chain.tail as usize) {
            Some(last) => last.next = at,
            None => chain.head = at,
        }
        chain.tail = at;
        chain.len += 1;
        self.len += 1;
        Ok(())
    }

    /// Takes the first of a chain.
    pub(super) fn pop(&mut self, chain: &mut Chain) -> Option<T> {
        let at = chain.head;
        let place = self.places.get_mut(at as usize)?;
        let item = place.item.take();
        chain.head = place.next;
        chain.len = chain.len.saturating_sub(1);
        if chain.head == NONE {
            chain.tail = NONE;
        }
        place.next = self.free;
        self.free = at;
        self.len -= 1;
        item
    }
}
