//! Bidirectional forwarding detection (RFC 5880) in asynchronous mode: is the other side there, and does it hear us?
//!
//! ```text
//!   frame -> datagram (UDP, TTL) -> which session? -> authentication -> session -> packets, status
//!            RFC 5881, 5883         6.3, 6.8.6        6.7               6.8
//!
//!              hears Down                   hears Init, Up
//!   +------+ -------------> +------+ -------------------------> +----+
//!   | Down |                | Init |                            | Up |
//!   +------+ <------------- +------+                            +----+
//!      ^  | detection time;                                      ^  |
//!      |  |   hears AdminDown          hears Init                |  |
//!      |  +------------------------------------------------------+  |
//!      +------------------------------------------------------------+
//!                detection time; hears Down or AdminDown
//! ```
//!
//! Time is microseconds. What came is given to [`Sessions::receive`] before [`Sessions::poll`] is asked what is due, so
//! that a packet that waited in a queue of this node counts, though the detection time has passed meanwhile.
//!
//! Not here: the echo function, and wanting demand mode; the other side's demand mode is heeded.

mod authentication;
mod datagram;
mod discard;
mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::IpAddr;

use hashbrown::HashMap;
use sluice_net::Headers;
use sluice_net::wire::bfd::{self, Control, Diagnostic, State};

use crate::random::Random;
use crate::time::Micros;
use session::Session;

pub use datagram::{Datagram, Path, Reach, Sent, TTL, TUNNEL_MAC};
pub use discard::{Discard, Discards};
pub use session::Status;
pub use settings::{Authentication, Interval, Key, KeyError, Method, Settings};

#[derive(Debug)]
struct Entry<N> {
    path: Path<N>,
    source_port: u16,
    session: Session,
    /// When it is looked at next. Often earlier than there is something to do: every packet moves the end of the
    /// detection time, and moving this each time would cost more than a look now and then.
    due: Option<Micros>,
}

/// All sessions of a node. `N` names a network or an interface; see [`Path`].
#[derive(Debug)]
pub struct Sessions<N> {
    /// By the discriminator of this side.
    entries: HashMap<u32, Entry<N>>,
    by_path: HashMap<Path<N>, u32>,
    deadlines: BTreeSet<(Micros, u32)>,
    /// Sessions whose state is another than when it was last asked for.
    changed: BTreeSet<u32>,
    discards: Discards,
    /// Source ports in use, and the one to try next.
    ports: BTreeSet<u16>,
    next_port: u32,
    random: Random,
}

impl<N: Copy + Eq + Hash> Sessions<N> {
    /// No sessions. `seed` makes discriminators, sequence numbers and jitter hard to guess.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            entries: HashMap::new(),
            by_path: HashMap::new(),
            deadlines: BTreeSet::new(),
            changed: BTreeSet::new(),
            discards: Discards::default(),
            ports: BTreeSet::new(),
            next_port: 0,
            random: Random::new(seed),
        }
    }

    /// From now on these are wanted; of two with the same path the first counts. Those that stay go on with their new
    /// settings; those that go say nothing more: who wants the other side told sets them admin down first.
    pub fn set(&mut self, wanted: impl IntoIterator<Item = (Path<N>, Settings)>, now: Micros) {
        let mut left = std::mem::take(&mut self.by_path);
        for (path, settings) in wanted {
            if self.by_path.contains_key(&path) {
                continue;
            }
            let id = match left.remove(&path) {
                Some(id) => {
                    self.with(id, |session| session.set(settings, now));
                    id
                }
                None => self.create(path, settings, now),
            };
            self.by_path.insert(path, id);
        }
        for id in left.into_values() {
            self.changed.remove(&id);
            if let Some(entry) = self.entries.remove(&id) {
                self.ports.remove(&entry.source_port);
                if let Some(due) = entry.due {
                    self.deadlines.remove(&(due, id));
                }
            }
        }
    }

    fn create(&mut self, path: Path<N>, settings: Settings, now: Micros) -> u32 {
        // Random, unique, not 0 (section 6.8.1).
        let id = loop {
            let id = self.random.draw() as u32;
            if id != 0 && !self.entries.contains_key(&id) {
                break id;
            }
        };
        let session = Session::new(settings, id, &mut self.random, now);
        let source_port = self.free_port();
        self.entries.insert(
            id,
            Entry {
                path,
                source_port,
                session,
                due: None,
            },
        );
        self.schedule(id, true);
        id
    }

    /// A source port that no other session has, as long as there are any (RFC 5881 section 4).
    fn free_port(&mut self) -> u16 {
        for _ in 0..datagram::SOURCE_PORTS {
            let port = datagram::source_port(self.next_port);
            self.next_port = self.next_port.wrapping_add(1);
            if self.ports.insert(port) {
                return port;
            }
        }
        datagram::source_port(self.next_port)
    }

    /// The path of a session is known to be down from elsewhere ([`Diagnostic::PATH_DOWN`]), or what is forwarded by it
    /// was lost ([`Diagnostic::FORWARDING_PLANE_RESET`]): it goes down and comes up anew.
    pub fn fail(&mut self, path: &Path<N>, diagnostic: Diagnostic, now: Micros) {
        if let Some(&id) = self.by_path.get(path) {
            self.with(id, |session| session.fail(diagnostic, now));
        }
    }

    /// Tells the other side of a path behind this one that is down ([`Diagnostic::CONCATENATED_PATH_DOWN`] and its
    /// reverse), or no more ([`Diagnostic::NONE`]). The session stays up (section 6.8.17).
    pub fn tell(&mut self, path: &Path<N>, diagnostic: Diagnostic) {
        if let Some(&id) = self.by_path.get(path) {
            self.with(id, |session| session.tell(diagnostic));
        }
    }

    /// Something happens to a session; what follows is noted.
    fn with<T>(&mut self, id: u32, event: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let before = entry.session.state();
        let outcome = event(&mut entry.session);
        if entry.session.state() != before {
            self.changed.insert(id);
        }
        self.schedule(id, false);
        Some(outcome)
    }

    /// Notes when a session has something to do; unless `exactly`, an earlier note stays.
    fn schedule(&mut self, id: u32, exactly: bool) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let due = entry.session.deadline();
        let later = match (entry.due, due) {
            (Some(noted), Some(due)) => due >= noted,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if later && !exactly {
            return;
        }
        if let Some(noted) = std::mem::replace(&mut entry.due, due) {
            self.deadlines.remove(&(noted, id));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, id));
        }
    }

    /// A frame that came from `network`; `tunnel` has this node's and the other's address when it was inside a tunnel,
    /// with VNI 0. False when it is no BFD.
    ///
    /// # Errors
    /// Why it has no effect; counted.
    pub fn receive(
        &mut self,
        network: N,
        tunnel: Option<(IpAddr, IpAddr)>,
        frame: &[u8],
        headers: &Headers,
        now: Micros,
    ) -> Result<bool, Discard> {
        let result = match Datagram::read(frame, headers) {
            Ok(None) => return Ok(false),
            Ok(Some(datagram)) if tunnel.is_some() && datagram.reach == Reach::Multihop => {
                return Ok(false);
            }
            Ok(Some(datagram)) => {
                let path = datagram.path(network, tunnel);
                self.accept(&path, datagram.ttl, datagram.payload, now)
            }
            Err(discard) => Err(discard),
        };
        if let Err(discard) = result {
            self.discards.count(discard);
        }
        result.map(|()| true)
    }

    /// Section 6.8.6.
    fn accept(
        &mut self,
        path: &Path<N>,
        ttl: u8,
        packet: &[u8],
        now: Micros,
    ) -> Result<(), Discard> {
        // RFC 5881 section 5, with authentication too: nobody on the link has a reason to send less.
        if path.reach != Reach::Multihop && ttl != TTL {
            return Err(Discard::Ttl);
        }
        let control = bfd::parse(packet).map_err(Discard::Malformed)?;
        let id = self.select(path, &control)?;
        let outcome = self.with(id, |session| {
            let result = match path.reach == Reach::Multihop && ttl < session.settings().min_ttl {
                true => Err(Discard::Ttl),
                false => session
                    .admit(&control, packet, now)
                    .and_then(|()| session.receive(&control, now)),
            };
            session.discarded += u64::from(result.is_err());
            result
        });
        outcome.unwrap_or(Err(Discard::UnknownPeer))
    }

    /// Which session a packet is for: by its discriminator; as long as the sender knows none, by its path (section 6.3).
    fn select(&self, path: &Path<N>, control: &Control<'_>) -> Result<u32, Discard> {
        let id = control.your_discriminator;
        if id == 0 {
            if matches!(control.state, State::Init | State::Up) {
                return Err(Discard::StateWithoutDiscriminator);
            }
            return self.by_path.get(path).copied().ok_or(Discard::UnknownPeer);
        }
        let entry = self.entries.get(&id);
        let entry = entry.ok_or(Discard::UnknownDiscriminator)?;
        match entry.path == *path {
            true => Ok(id),
            false => Err(Discard::WrongPath),
        }
    }

    /// When [`poll`](Self::poll) is to be called next, at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Micros> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// Does what is due; a packet to send, if there is one. Call until `None`.
    pub fn poll(&mut self, now: Micros) -> Option<Sent<N>> {
        loop {
            let &(_, id) = self.deadlines.first().filter(|(due, _)| *due <= now)?;
            let entry = self.entries.get_mut(&id)?;
            let before = entry.session.state();
            entry.session.expire(now);
            let payload = entry.session.transmit(&mut self.random, now);
            let sent = payload.map(|payload| Sent {
                path: entry.path,
                source_port: entry.source_port,
                payload,
            });
            if entry.session.state() != before {
                self.changed.insert(id);
            }
            self.schedule(id, true);
            if sent.is_some() {
                return sent;
            }
        }
    }

    /// A session whose state has changed since it was last told. Call until `None`.
    pub fn next_change(&mut self) -> Option<(Path<N>, Status)> {
        let entry = self.entries.get(&self.changed.pop_first()?)?;
        Some((entry.path, entry.session.status()))
    }

    /// What is known of a session.
    #[must_use]
    pub fn status(&self, path: &Path<N>) -> Option<Status> {
        let entry = self.entries.get(self.by_path.get(path)?)?;
        Some(entry.session.status())
    }

    /// Packets without effect, by reason.
    #[must_use]
    pub const fn discards(&self) -> &Discards {
        &self.discards
    }
}
