//! One session: the state variables and the rules of RFC 5880 section 6.8, asynchronous mode.

use sluice_net::wire::bfd::{self, Control, Diagnostic, State};

use super::discard::Discard;
use super::settings::{Authentication, Settings};
use crate::random::Random;
use crate::time::Micros;

/// The least interval while a session is not up (section 6.8.3), microseconds.
const SLOW: u32 = 1_000_000;
/// News is told at once, but not more often than this, microseconds: two sides whose packets overtake each other on a
/// long way could otherwise answer each packet with a change, and each change with a packet. Half the least interval.
const NEWS: u64 = 5_000;
/// Sessions that are created together do not speak at the same moment but within this time, microseconds.
const SPREAD: u64 = 100_000;

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// State of this side.
    pub state: State,
    /// Since when.
    pub since: Micros,
    /// Why this side last changed its state, or what it tells the other.
    pub diagnostic: Diagnostic,
    /// State of the other side, as it last said.
    pub remote_state: State,
    /// What it last said is wrong.
    pub remote_diagnostic: Diagnostic,
    /// This side's discriminator.
    pub discriminator: u32,
    /// The other side's; 0 when it is not known.
    pub remote_discriminator: u32,
    /// Microseconds between packets of this side, without jitter.
    pub transmit_interval: u32,
    /// Microseconds of silence after which the other side is gone; 0 when nothing was heard of it.
    pub detection_time: u64,
    /// How often it came up.
    pub ups: u64,
    /// How often it went from up to another state.
    pub downs: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets taken.
    pub received: u64,
    /// Packets discarded that named the session, or came by its path.
    pub discarded: u64,
}

/// A session. The variables are those of section 6.8.1, in its order.
#[derive(Debug)]
pub(super) struct Session {
    settings: Settings,
    state: State,
    remote_state: State,
    local_discriminator: u32,
    remote_discriminator: u32,
    diagnostic: Diagnostic,
    remote_diagnostic: Diagnostic,
    /// What packets say (bfd.DesiredMinTxInterval), and what this side does until the other has confirmed.
    desired_min_tx: u32,
    tx_in_use: u32,
    /// What packets say (bfd.RequiredMinRxInterval), and what this side counts on until the other has confirmed.
    required_min_rx: u32,
    rx_in_use: u32,
    remote_min_rx: u32,
    remote_demand: bool,
    /// bfd.RcvAuthSeq, and whether it is known.
    received_sequence: Option<u32>,
    sent_sequence: u32,
    /// Of the last packet.
    remote_min_tx: u32,
    remote_mult: u8,
    heard: Micros,
    /// When the other's sequence number is to be forgotten.
    forget: Micros,
    /// A poll sequence is under way (section 6.5).
    polling: bool,
    /// A packet with F is owed.
    final_owed: bool,
    /// What packets say has changed.
    urgent: bool,
    first: Micros,
    last: Option<Micros>,
    last_packet: Option<Control<'static>>,
    /// By how much the next interval is shorter, in 65536ths of what it may be.
    jitter: u16,
    since: Micros,
    ups: u64,
    downs: u64,
    sent: u64,
    received: u64,
    pub(super) discarded: u64,
}

impl Session {
    /// A new session (section 6.8.1).
    pub(super) fn new(
        settings: Settings,
        discriminator: u32,
        random: &mut Random,
        now: Micros,
    ) -> Self {
        let state = match settings.admin_down {
            true => State::AdminDown,
            false => State::Down,
        };
        let diagnostic = match settings.admin_down {
            true => Diagnostic::ADMINISTRATIVELY_DOWN,
            false => Diagnostic::NONE,
        };
        let tx = settings.min_tx.micros().max(SLOW);
        let rx = settings.min_rx.micros();
        Self {
            settings,
            state,
            remote_state: State::Down,
            local_discriminator: discriminator,
            remote_discriminator: 0,
            diagnostic,
            remote_diagnostic: Diagnostic::NONE,
            desired_min_tx: tx,
            tx_in_use: tx,
            required_min_rx: rx,
            rx_in_use: rx,
            remote_min_rx: 1,
            remote_demand: false,
            received_sequence: None,
            sent_sequence: random.draw() as u32,
            remote_min_tx: 0,
            remote_mult: 0,
            heard: now,
            forget: now,
            polling: false,
            final_owed: false,
            urgent: false,
            first: now.plus(random.draw() % SPREAD),
            last: None,
            last_packet: None,
            jitter: 0,
            since: now,
            ups: 0,
            downs: 0,
            sent: 0,
            received: 0,
            discarded: 0,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn status(&self) -> Status {
        Status {
            state: self.state,
            since: self.since,
            diagnostic: self.diagnostic,
            remote_state: self.remote_state,
            remote_diagnostic: self.remote_diagnostic,
            discriminator: self.local_discriminator,
            remote_discriminator: self.remote_discriminator,
            transmit_interval: self.transmit_interval(),
            detection_time: match self.remote_discriminator {
                0 => 0,
                _ => self.detection_time(),
            },
            ups: self.ups,
            downs: self.downs,
            sent: self.sent,
            received: self.received,
            discarded: self.discarded,
        }
    }

    /// The operator's new wishes. The multiplier needs no poll (section 6.8.12); intervals do.
    pub(super) fn set(&mut self, settings: Settings, now: Micros) {
        let before = std::mem::replace(&mut self.settings, settings);
        if before.authentication.as_ref().map(Authentication::method)
            != self
                .settings
                .authentication
                .as_ref()
                .map(Authentication::method)
        {
            self.received_sequence = None;
        }
        // Section 6.8.16.
        match (before.admin_down, self.settings.admin_down) {
            (false, true) => self.change(
                State::AdminDown,
                Some(Diagnostic::ADMINISTRATIVELY_DOWN),
                now,
            ),
            (true, false) => self.change(State::Down, None, now),
            _ => {}
        }
        self.apply_intervals(false);
        self.urgent |= before.detect_mult != self.settings.detect_mult;
    }

    /// The path is known to be down from elsewhere, or the forwarding state was lost (section 6.8.15).
    pub(super) fn fail(&mut self, diagnostic: Diagnostic, now: Micros) {
        if matches!(self.state, State::Init | State::Up) {
            self.change(State::Down, Some(diagnostic), now);
        }
    }

    /// Tells the other side something without going down (section 6.8.17). It is forgotten when the session goes down.
    pub(super) fn tell(&mut self, diagnostic: Diagnostic) {
        if self.state == State::Up && self.diagnostic != diagnostic {
            self.diagnostic = diagnostic;
            self.urgent = true;
            self.polling |= self.is_demanded();
        }
    }

    // Section 6.5: the poll sequence.

    fn end_poll(&mut self) {
        self.polling = false;
        self.tx_in_use = self.desired_min_tx;
        self.rx_in_use = self.required_min_rx;
        self.apply_intervals(false);
    }

    // Section 6.8.2: timer negotiation.

    fn transmit_interval(&self) -> u32 {
        self.tx_in_use.max(self.remote_min_rx)
    }

    /// Section 6.8.3: timer manipulation. While a session is up one change is confirmed before the next is begun,
    /// so that it is clear what a packet with F confirms; `at_once` when the state has changed, since nothing is
    /// put off then.
    fn apply_intervals(&mut self, at_once: bool) {
        let up = self.state == State::Up;
        if up && self.polling && !at_once {
            return;
        }
        let rx = self.settings.min_rx.micros();
        let tx = match up {
            true => self.settings.min_tx.micros(),
            false => self.settings.min_tx.micros().max(SLOW),
        };
        if (tx, rx) == (self.desired_min_tx, self.required_min_rx) && !at_once {
            return;
        }
        if (tx, rx) != (self.desired_min_tx, self.required_min_rx) {
            // Without another side there is nobody to confirm.
            self.polling = self.remote_discriminator != 0;
            self.urgent = true;
        }
        (self.desired_min_tx, self.required_min_rx) = (tx, rx);
        // Slower than the other side knows, or waiting less long for it than it knows: not before it has confirmed.
        if !up || at_once || tx < self.tx_in_use {
            self.tx_in_use = tx;
        }
        if !up || at_once || rx > self.rx_in_use {
            self.rx_in_use = rx;
        }
    }

    /// Section 6.8.4: the detection time, microseconds.
    fn detection_time(&self) -> u64 {
        let interval = self.rx_in_use.max(self.remote_min_tx);
        u64::from(self.remote_mult) * u64::from(interval)
    }

    /// Section 6.8.4: has the detection time passed? Then the session goes down, and the other side's discriminator
    /// and wishes are forgotten (section 6.8.1): whoever comes next may be another.
    pub(super) fn expire(&mut self, now: Micros) {
        if self.remote_discriminator == 0 || now.since(self.heard) < self.detection_time() {
            return;
        }
        self.remote_discriminator = 0;
        self.remote_state = State::Down;
        self.remote_min_rx = 1;
        self.remote_min_tx = 0;
        self.remote_demand = false;
        self.polling = false;
        self.urgent = true;
        if matches!(self.state, State::Init | State::Up) {
            let diagnostic = Diagnostic::DETECTION_TIME_EXPIRED;
            self.change(State::Down, Some(diagnostic), now);
        }
        self.apply_intervals(true);
    }

    // Section 6.8.6: reception of control packets.

    /// The checks that need the session: TTL, authentication. `packet` is what `control` was read from.
    pub(super) fn admit(
        &mut self,
        control: &Control<'_>,
        packet: &[u8],
        now: Micros,
    ) -> Result<(), Discard> {
        let sequence = match (&self.settings.authentication, control.authentication) {
            (None, None) => return Ok(()),
            (None, Some(_)) => return Err(Discard::AuthenticationUnexpected),
            (Some(authentication), _) => authentication.verify(control, packet)?,
        };
        let Some(sequence) = sequence else {
            return Ok(());
        };
        // bfd.AuthSeqKnown (section 6.8.1).
        if now >= self.forget {
            self.received_sequence = None;
        }
        if let Some(last) = self.received_sequence {
            // Sections 6.7.3 and 6.7.4: circular.
            let ahead = sequence.wrapping_sub(last);
            let least = u32::from(self.is_meticulous());
            if !(least..=3 * u32::from(control.detect_mult)).contains(&ahead) {
                return Err(Discard::Sequence);
            }
        }
        self.received_sequence = Some(sequence);
        Ok(())
    }

    /// What an admitted packet does.
    pub(super) fn receive(&mut self, control: &Control<'_>, now: Micros) -> Result<(), Discard> {
        let acquainted = self.remote_discriminator == control.my_discriminator;
        self.remote_discriminator = control.my_discriminator;
        self.remote_state = control.state;
        self.remote_diagnostic = control.diagnostic;
        self.remote_demand = control.has(bfd::DEMAND);
        self.remote_min_rx = control.required_min_rx;
        self.remote_min_tx = control.desired_min_tx;
        self.remote_mult = control.detect_mult;
        if self.polling && control.has(bfd::FINAL) {
            self.end_poll();
        }
        self.heard = now;
        self.forget = now.plus(2 * self.detection_time());
        if self.state == State::AdminDown {
            return Err(Discard::AdminDown);
        }
        self.received += 1;
        self.urgent |= !acquainted;
        match (self.state, control.state) {
            (State::Down, State::Down) => self.change(State::Init, None, now),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.change(State::Up, None, now);
            }
            (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => {
                let diagnostic = Diagnostic::NEIGHBOR_SIGNALED_DOWN;
                self.change(State::Down, Some(diagnostic), now);
            }
            (State::AdminDown, _)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
        self.final_owed |= control.has(bfd::POLL);
        Ok(())
    }

    fn change(&mut self, state: State, diagnostic: Option<Diagnostic>, now: Micros) {
        match (self.state == State::Up, state == State::Up) {
            (false, true) => self.ups += 1,
            (true, false) => self.downs += 1,
            _ => {}
        }
        self.state = state;
        self.since = now;
        self.diagnostic = diagnostic.unwrap_or(self.diagnostic);
        self.urgent = true;
        self.apply_intervals(true);
    }

    // Section 6.8.7: transmission of control packets.

    /// The other side wants no periodic packets while both are up (section 6.6).
    fn is_demanded(&self) -> bool {
        self.remote_demand && self.state == State::Up && self.remote_state == State::Up
    }

    fn may_transmit(&self) -> bool {
        let spoken_to = self.remote_discriminator != 0 || !self.settings.passive;
        spoken_to && self.remote_min_rx != 0 && (!self.is_demanded() || self.polling)
    }

    /// When the next packet is due: the interval less a quarter at most; with a multiplier of one less a
    /// tenth at least, for the other side waits no longer than the interval. The interval is looked at anew every
    /// time, so that one that has become shorter counts from the packet before (section 6.8.3).
    fn transmit_at(&self) -> Micros {
        let Some(last) = self.last else {
            return match self.urgent {
                true => Micros(0),
                false => self.first,
            };
        };
        let interval = u64::from(self.transmit_interval());
        let least = match self.settings.detect_mult.get() {
            1 => interval.div_ceil(10),
            _ => 0,
        };
        let room = (interval / 4).saturating_sub(least);
        let shorter = least + ((room * u64::from(self.jitter)) >> 16);
        let periodic = interval - shorter;
        // Section 6.8.7: between two packets when there is something new to tell.
        last.plus(match self.urgent {
            true => periodic.min(NEWS),
            false => periodic,
        })
    }

    /// When something is to be done next.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let detect = match self.remote_discriminator {
            0 => None,
            _ => Some(self.heard.plus(self.detection_time())),
        };
        let transmit = match (self.final_owed, self.may_transmit()) {
            (true, _) => Some(Micros(0)),
            (false, true) => Some(self.transmit_at()),
            (false, false) => None,
        };
        detect.into_iter().chain(transmit).min()
    }

    /// The packet to send now, if there is one: the answer to a poll first, which nothing holds back; then what is
    /// due, or has something new to tell.
    pub(super) fn transmit(&mut self, random: &mut Random, now: Micros) -> Option<Vec<u8>> {
        if self.final_owed {
            self.final_owed = false;
            return Some(self.packet(bfd::FINAL));
        }
        if !self.may_transmit() || now < self.transmit_at() {
            return None;
        }
        self.urgent = false;
        self.last = Some(now);
        self.jitter = random.draw() as u16;
        Some(self.packet(match self.polling {
            true => bfd::POLL,
            false => 0,
        }))
    }

    /// What packets say.
    fn packet(&mut self, flags: u8) -> Vec<u8> {
        let control = Control {
            diagnostic: self.diagnostic,
            state: self.state,
            flags,
            detect_mult: self.settings.detect_mult.get(),
            my_discriminator: self.local_discriminator,
            your_discriminator: self.remote_discriminator,
            desired_min_tx: self.desired_min_tx,
            required_min_rx: self.required_min_rx,
            required_min_echo_rx: 0,
            authentication: None,
        };
        self.sent += 1;
        let mut packet = Vec::with_capacity(bfd::MAX_LEN);
        let news = self.last_packet != Some(control);
        match &self.settings.authentication {
            None => control.write(&mut packet),
            Some(authentication) => {
                // bfd.XmitAuthSeq: with every packet, or with every one that differs.
                if news || self.is_meticulous() {
                    self.sent_sequence = self.sent_sequence.wrapping_add(1);
                }
                authentication.write(control, self.sent_sequence, &mut packet);
            }
        }
        self.last_packet = Some(control);
        packet
    }

    fn is_meticulous(&self) -> bool {
        let method = self
            .settings
            .authentication
            .as_ref()
            .map(Authentication::method);
        matches!(method, Some(super::Method::Digest(kind)) if kind.is_meticulous())
    }
}
