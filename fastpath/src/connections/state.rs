//! Protocol states of a connection and their timeouts, as pure functions.
//!
//! TCP follows RFC 9293 as a translator in the middle sees it, with the states and lifetimes of RFC 5382 and
//! RFC 7857 (which takes them from RFC 6146 section 3.5.2). Whether a RST, or the second FIN, is believed at all
//! is decided before, by its sequence number (`sequence.rs`).

use super::key::{Direction, TCP, UDP, is_echo};

/// The flags of a TCP header that move the state (RFC 9293 section 3.1), at their place in the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender has no more data.
    pub const FIN: TcpFlags = TcpFlags(0x01);
    /// Synchronise sequence numbers: opens a connection.
    pub const SYN: TcpFlags = TcpFlags(0x02);
    /// Abort.
    pub const RST: TcpFlags = TcpFlags(0x04);
    /// The acknowledgment number counts.
    pub const ACK: TcpFlags = TcpFlags(0x10);
    /// Nothing set: what protocols other than TCP pass.
    pub const NONE: TcpFlags = TcpFlags(0);

    /// True when any flag of `other` is set.
    #[inline]
    #[must_use]
    pub const fn any(self, other: TcpFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets.
    #[inline]
    #[must_use]
    pub const fn and(self, other: TcpFlags) -> TcpFlags {
        TcpFlags(self.0 | other.0)
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// The opener's SYN was seen.
    TcpSynSent = 0,
    /// The other side answered with SYN (simultaneous open, RFC 5382 REQ-2) or SYN+ACK.
    TcpSynReceived,
    /// The opener acknowledged; data flows.
    TcpEstablished,
    /// The opener has sent FIN; the other side may go on sending.
    TcpFinOriginal,
    /// The other side has sent FIN; the opener may go on sending.
    TcpFinReply,
    /// Both have sent FIN; the acknowledgment of the opener is missing.
    TcpLastAckOriginal,
    /// Both have sent FIN; the acknowledgment of the other side is missing.
    TcpLastAckReply,
    /// Both FINs are acknowledged.
    TcpTimeWait,
    /// A RST was seen from the opener.
    TcpResetOriginal,
    /// A RST was seen from the other side.
    TcpResetReply,
    /// A RST ended the handshake.
    TcpRefused,
    /// UDP, no answer yet.
    UdpNew,
    /// UDP, answered.
    UdpAssured,
    /// ICMP echo, no answer yet.
    EchoNew,
    /// ICMP echo, answered.
    EchoReplied,
    /// Another protocol, no answer yet.
    OtherNew,
    /// Another protocol, answered.
    OtherAssured,
    /// No connection: what a source is called outside, or leave to send to it.
    Mapping,
}

/// How much a connection may be asked to give way when the table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// Never confirmed by the other side: goes first.
    HalfOpen,
    /// Finished, kept for late packets (RFC 9293 section 3.4.1): goes when nothing is half-open.
    Ended,
    /// Confirmed and alive: never goes for another.
    Confirmed,
}

const STATES: [State; 18] = [
    State::TcpSynSent,
    State::TcpSynReceived,
    State::TcpEstablished,
    State::TcpFinOriginal,
    State::TcpFinReply,
    State::TcpLastAckOriginal,
    State::TcpLastAckReply,
    State::TcpTimeWait,
    State::TcpResetOriginal,
    State::TcpResetReply,
    State::TcpRefused,
    State::UdpNew,
    State::UdpAssured,
    State::EchoNew,
    State::EchoReplied,
    State::OtherNew,
    State::OtherAssured,
    State::Mapping,
];

impl State {
    /// Every state of a connection, in the order of its number: all but [`State::Mapping`].
    pub const ALL: [State; 17] = {
        let [connections @ .., _] = STATES;
        connections
    };

    /// A bit for each state that only a FIN or RST changes.
    pub(super) const STEADY: u32 = 1 << State::TcpEstablished as u32
        | 1 << State::UdpAssured as u32
        | 1 << State::EchoReplied as u32
        | 1 << State::OtherAssured as u32;

    /// The state in which a first packet opens a connection; `None` when it may not.
    ///
    /// Only a SYN without ACK, RST or FIN opens TCP. `pick_up` also lets any segment but RST open an
    /// established connection mid-stream (after a takeover, for a bounded time).
    #[must_use]
    pub fn open(proto: u8, flags: TcpFlags, pick_up: bool) -> Option<State> {
        match proto {
            TCP => {
                let others = TcpFlags::ACK.and(TcpFlags::RST).and(TcpFlags::FIN);
                if flags.any(TcpFlags::SYN) {
                    (!flags.any(others)).then_some(State::TcpSynSent)
                } else {
                    (pick_up && !flags.any(TcpFlags::RST)).then_some(State::TcpEstablished)
                }
            }
            UDP => Some(State::UdpNew),
            proto if is_echo(proto) => Some(State::EchoNew),
            _ => Some(State::OtherNew),
        }
    }

    /// The state after a packet of `direction`; the same state when nothing changes.
    #[inline]
    #[must_use]
    pub fn next(self, direction: Direction, flags: TcpFlags) -> State {
        match self {
            State::TcpEstablished => {
                if flags.any(TcpFlags::FIN.and(TcpFlags::RST)) {
                    self.next_tcp(direction, flags)
                } else {
                    self
                }
            }
            State::UdpAssured | State::EchoReplied | State::OtherAssured | State::Mapping => self,
            State::UdpNew if direction == Direction::Reply => State::UdpAssured,
            State::EchoNew if direction == Direction::Reply => State::EchoReplied,
            State::OtherNew if direction == Direction::Reply => State::OtherAssured,
            State::UdpNew | State::EchoNew | State::OtherNew => self,
            _ => self.next_tcp(direction, flags),
        }
    }

    fn next_tcp(self, direction: Direction, flags: TcpFlags) -> State {
        use Direction::{Original, Reply};
        use State::*;
        if flags.any(TcpFlags::RST) {
            return self.reset_by(direction);
        }
        let (syn, ack, fin) = (
            flags.any(TcpFlags::SYN),
            flags.any(TcpFlags::ACK),
            flags.any(TcpFlags::FIN),
        );
        match (self, direction) {
            (TcpSynSent, Reply) if syn => TcpSynReceived,
            (TcpSynReceived, Original) if fin && ack => TcpFinOriginal,
            (TcpSynReceived, Original) if ack => TcpEstablished,
            (TcpSynReceived | TcpEstablished, Reply) if fin => TcpFinReply,
            (TcpEstablished, Original) if fin => TcpFinOriginal,
            // Half-closed (RFC 9293 section 3.6): only the FIN of the other side goes on. Without sequence
            // numbers an acknowledgment that was under way counts as that of the last FIN; both states live
            // equally long.
            (TcpFinOriginal, Reply) if fin => TcpLastAckOriginal,
            (TcpFinReply, Original) if fin => TcpLastAckReply,
            (TcpLastAckOriginal, Original) | (TcpLastAckReply, Reply) if ack && !fin => TcpTimeWait,
            // RFC 9293 section 3.6.1: a SYN may reopen what was in TIME-WAIT; the binding serves again.
            (TcpTimeWait | TcpResetOriginal | TcpResetReply | TcpRefused, Original)
                if syn && !ack =>
            {
                TcpSynSent
            }
            // RFC 6146 section 3.5.2.2: traffic after a RST shows that it was not taken (or forged). Here
            // only from the side that is said to have sent it: what the other side had under way proves
            // nothing.
            (TcpResetOriginal, Original) if fin => TcpFinOriginal,
            (TcpResetReply, Reply) if fin => TcpFinReply,
            (TcpResetOriginal, Original) | (TcpResetReply, Reply) if !syn => TcpEstablished,
            _ => self,
        }
    }

    /// RFC 7857 section 2.2: a RST shortens the life to the transitory time, it does not end the mapping.
    ///
    /// A handshake that a RST ended is not revived: its opener alone could make it pass for established.
    fn reset_by(self, direction: Direction) -> State {
        use State::{
            TcpRefused, TcpResetOriginal, TcpResetReply, TcpSynReceived, TcpSynSent, TcpTimeWait,
        };
        match (self, direction) {
            (TcpTimeWait | TcpResetOriginal | TcpResetReply | TcpRefused, _) => self,
            (TcpSynSent | TcpSynReceived, _) => TcpRefused,
            (_, Direction::Original) => TcpResetOriginal,
            (_, Direction::Reply) => TcpResetReply,
        }
    }

    /// The handshake is not complete.
    pub(super) const fn is_opening(self) -> bool {
        matches!(self, State::TcpSynSent | State::TcpSynReceived)
    }

    /// Becoming `to` by a segment with these flags cuts its life short.
    pub(super) const fn is_ended_by(self, to: State, flags: TcpFlags) -> bool {
        let by = match to {
            State::TcpLastAckOriginal | State::TcpLastAckReply => TcpFlags::FIN,
            State::TcpResetOriginal | State::TcpResetReply | State::TcpRefused => TcpFlags::RST,
            _ => TcpFlags::NONE,
        };
        to as u8 != self as u8 && flags.any(by)
    }

    /// What may be asked of it when the table is full.
    #[inline]
    #[must_use]
    pub const fn standing(self) -> Standing {
        match self {
            State::TcpSynSent
            | State::TcpSynReceived
            | State::UdpNew
            | State::EchoNew
            | State::OtherNew => Standing::HalfOpen,
            State::TcpTimeWait
            | State::TcpResetOriginal
            | State::TcpResetReply
            | State::TcpRefused => Standing::Ended,
            _ => Standing::Confirmed,
        }
    }

    /// The name that `show connections` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::TcpSynSent => "syn-sent",
            State::TcpSynReceived => "syn-received",
            State::TcpEstablished => "established",
            State::TcpFinOriginal => "fin-original",
            State::TcpFinReply => "fin-reply",
            State::TcpLastAckOriginal => "last-ack-original",
            State::TcpLastAckReply => "last-ack-reply",
            State::TcpTimeWait => "time-wait",
            State::TcpResetOriginal => "reset-original",
            State::TcpResetReply => "reset-reply",
            State::TcpRefused => "refused",
            State::UdpNew => "udp-new",
            State::UdpAssured => "udp-assured",
            State::EchoNew => "echo-new",
            State::EchoReplied => "echo-replied",
            State::OtherNew => "other-new",
            State::OtherAssured => "other-assured",
            State::Mapping => "mapping",
        }
    }

    #[inline]
    pub(super) fn from_bits(bits: u8) -> Option<State> {
        STATES.get(usize::from(bits)).copied()
    }
}

/// How long a connection may be idle, in milliseconds, by state.
///
/// The defaults are the least that the RFCs allow or what they recommend. Values above [`Timeouts::LONGEST`] count
/// as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP when the opener's SYN was seen (RFC 5382 REQ-5: at least 4 minutes).
    pub tcp_syn_sent: u32,
    /// TCP when the other side answered and the opener did not acknowledge (the same).
    pub tcp_syn_received: u32,
    /// Established TCP (RFC 5382 REQ-5: at least 2 hours 4 minutes).
    pub tcp_established: u32,
    /// TCP after one FIN (RFC 6146 section 3.5.2.2 treats it as established).
    pub tcp_fin_wait: u32,
    /// TCP after both FINs, the last not acknowledged (RFC 5382 REQ-5: at least 4 minutes).
    pub tcp_last_ack: u32,
    /// TCP after both FINs and their acknowledgments (the same).
    pub tcp_time_wait: u32,
    /// TCP after a RST (RFC 7857 section 2.2: 4 minutes).
    pub tcp_reset: u32,
    /// UDP that was answered (RFC 4787 REQ-5: at least 2 minutes, 5 recommended).
    pub udp: u32,
    /// UDP without an answer (RFC 4787 REQ-5: at least 2 minutes).
    pub udp_unreplied: u32,
    /// ICMP echo that was answered (RFC 5508 REQ-1: at least 60 seconds).
    pub icmp: u32,
    /// ICMP echo without an answer (the same).
    pub icmp_unreplied: u32,
    /// Every other protocol, SCTP among them, answered; no RFC speaks of it.
    pub other: u32,
    /// Every other protocol without an answer.
    pub other_unreplied: u32,
}

impl Timeouts {
    /// The longest idle time that the wrapping clock lets one measure with certainty: one week.
    pub const LONGEST: u32 = 7 * 24 * 3_600_000;

    /// How many there are.
    pub(super) const COUNT: usize = 13;

    /// Idle time after which a connection in `state` ends, in milliseconds.
    #[inline]
    #[must_use]
    pub fn of(&self, state: State) -> u32 {
        let timeout = match state {
            State::TcpSynSent => self.tcp_syn_sent,
            State::TcpSynReceived => self.tcp_syn_received,
            State::TcpEstablished => self.tcp_established,
            State::TcpFinOriginal | State::TcpFinReply => self.tcp_fin_wait,
            State::TcpLastAckOriginal | State::TcpLastAckReply => self.tcp_last_ack,
            State::TcpTimeWait => self.tcp_time_wait,
            State::TcpResetOriginal | State::TcpResetReply | State::TcpRefused => self.tcp_reset,
            State::UdpNew => self.udp_unreplied,
            State::UdpAssured => self.udp,
            State::EchoNew => self.icmp_unreplied,
            State::EchoReplied => self.icmp,
            State::OtherNew => self.other_unreplied,
            State::OtherAssured => self.other,
            // The owner looks itself.
            State::Mapping => 0,
        };
        timeout.min(Self::LONGEST)
    }

    /// All of them, in the order in which they are declared.
    pub(super) const fn values(&self) -> [u32; Self::COUNT] {
        [
            self.tcp_syn_sent,
            self.tcp_syn_received,
            self.tcp_established,
            self.tcp_fin_wait,
            self.tcp_last_ack,
            self.tcp_time_wait,
            self.tcp_reset,
            self.udp,
            self.udp_unreplied,
            self.icmp,
            self.icmp_unreplied,
            self.other,
            self.other_unreplied,
        ]
    }

    /// Undoes [`Timeouts::values`].
    pub(super) const fn of_values(values: [u32; Self::COUNT]) -> Timeouts {
        let [
            tcp_syn_sent,
            tcp_syn_received,
            tcp_established,
            tcp_fin_wait,
            tcp_last_ack,
            tcp_time_wait,
            tcp_reset,
            udp,
            udp_unreplied,
            icmp,
            icmp_unreplied,
            other,
            other_unreplied,
        ] = values;
        Timeouts {
            tcp_syn_sent,
            tcp_syn_received,
            tcp_established,
            tcp_fin_wait,
            tcp_last_ack,
            tcp_time_wait,
            tcp_reset,
            udp,
            udp_unreplied,
            icmp,
            icmp_unreplied,
            other,
            other_unreplied,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        const MINUTE: u32 = 60_000;
        Timeouts {
            tcp_syn_sent: 4 * MINUTE,
            tcp_syn_received: 4 * MINUTE,
            tcp_established: 124 * MINUTE,
            tcp_fin_wait: 124 * MINUTE,
            tcp_last_ack: 4 * MINUTE,
            tcp_time_wait: 4 * MINUTE,
            tcp_reset: 4 * MINUTE,
            udp: 5 * MINUTE,
            udp_unreplied: 2 * MINUTE,
            icmp: MINUTE,
            icmp_unreplied: MINUTE,
            other: 10 * MINUTE,
            other_unreplied: 10 * MINUTE,
        }
    }
}
