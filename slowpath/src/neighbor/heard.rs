//! What messages say about neighbors, and what comes of it.

use sluice_net::Mac;

use super::State;

/// What a message says about a neighbor's MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It asked for something (ARP request, neighbor solicitation): tells the MAC, proves nothing
    /// (RFC 4861 section 7.2.3).
    Request {
        /// Its MAC.
        mac: Mac,
    },
    /// An ARP reply, which does not say whether it was asked for; replaces what is known (RFC 826).
    Reply {
        /// Its MAC.
        mac: Mac,
    },
    /// A neighbor advertisement (RFC 4861 section 7.2.5).
    Advert {
        /// Its MAC, if the option was there.
        mac: Option<Mac>,
        /// It answers a solicitation.
        solicited: bool,
        /// It replaces what is known.
        replace: bool,
    },
}

/// What a message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A MAC where there was none.
    Learned,
    /// Another MAC than before.
    Moved,
    /// The known MAC was confirmed.
    Confirmed,
    /// Nothing.
    Ignored,
}

impl Heard {
    /// The MAC it tells, if it does.
    pub(crate) const fn mac(self) -> Option<Mac> {
        match self {
            Heard::Request { mac } | Heard::Reply { mac } => Some(mac),
            Heard::Advert { mac, .. } => mac,
        }
    }

    /// Does it prove that the neighbor hears us?
    pub(super) const fn proves(self, state: State) -> bool {
        match self {
            Heard::Request { .. } => false,
            // Only a reply that was waited for proves both directions.
            Heard::Reply { .. } => {
                matches!(state, State::Incomplete | State::Probe | State::Failed)
            }
            Heard::Advert { solicited, .. } => solicited,
        }
    }

    /// Does it replace another MAC than its own?
    pub(super) const fn replaces(self) -> bool {
        match self {
            Heard::Request { .. } | Heard::Reply { .. } => true,
            Heard::Advert { replace, .. } => replace,
        }
    }
}
