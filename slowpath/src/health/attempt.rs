//! One check of one target: what is sent, and what an answer says.
//!
//! For TCP this is as little of a client as does: it opens, asks once, reads the first line of the answer in order,
//! acknowledges, and resets. What is lost is sent again every second until the timeout, which is all the congestion
//! control that one segment at a time needs.

use std::net::SocketAddr;

use sluice_net::builder::Echo;
use sluice_net::wire::tcp::{self, TcpHeader};
use sluice_net::wire::{icmpv4, icmpv6};
use sluice_net::{Builder, Fragment, Headers, L4, Mac};
use zerocopy::FromBytes;

use super::{Failure, Probe, Target};
use crate::time::Time;

/// Milliseconds until what was not answered is sent again (RFC 6298 section 2.1).
const RESEND: u32 = 1_000;
/// TTL of checks.
const TTL: u8 = 64;
/// Bytes of an answer in which its first line must end.
const LINE: usize = 1_024;
/// Bytes the peer may send at once.
const WINDOW: u16 = 4_096;
/// ICMP destination unreachable, and its code for ports (RFC 792).
const UNREACHABLE_V4: (u8, u8) = (icmpv4::UNREACHABLE, icmpv4::CODE_PORT_UNREACHABLE);
/// The same of ICMPv6 (RFC 4443 section 3.1).
const UNREACHABLE_V6: (u8, u8) = (icmpv6::UNREACHABLE, icmpv6::CODE_PORT_UNREACHABLE);

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad(Failure),
}

/// A check that is under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) own: u16,
    pub(super) began: Time,
    pub(super) deadline: Time,
    last: Time,
    /// Number of the SYN.
    isn: u32,
    /// The next number of the peer, once it has accepted.
    next: Option<u32>,
    line: Vec<u8>,
}

/// Ethernet addresses: who asks, who is asked.
type Macs = (Mac, Mac);

impl Attempt {
    pub(super) fn new<N>(target: &Target<N>, own: u16, isn: u32, now: Time) -> Self {
        Self {
            own,
            began: now,
            deadline: now.plus(target.pace.timeout),
            last: now,
            isn,
            next: None,
            line: Vec::new(),
        }
    }

    /// When it is to be looked at next.
    pub(super) fn due(&self) -> Time {
        self.deadline.min(self.last.plus(RESEND))
    }

    /// What it begins with.
    pub(super) fn first<N>(&self, target: &Target<N>, macs: Macs) -> Vec<u8> {
        let packet = packet(target, macs);
        let packet = match target.probe {
            Probe::Tcp | Probe::Http { .. } => {
                let syn = packet.tcp(self.own, target.port, tcp::SYN);
                syn.tcp_state(self.isn, 0, WINDOW)
            }
            Probe::Udp => packet.udp(self.own, target.port),
            Probe::Icmp => packet.icmp_echo(Echo::Request, self.own, 1),
        };
        packet.build()
    }

    /// What was not answered, once more.
    pub(super) fn again<N>(&mut self, target: &Target<N>, macs: Macs, now: Time) -> Vec<u8> {
        self.last = now;
        match (self.next, &target.probe) {
            (Some(next), Probe::Http { path, .. }) => self.request(target, macs, path, next),
            _ => self.first(target, macs),
        }
    }

    /// An answer: what is said to it, and how the check ended if it did.
    pub(super) fn heard<N>(
        &mut self,
        target: &Target<N>,
        macs: Macs,
        frame: &[u8],
        headers: &Headers,
    ) -> (Option<Vec<u8>>, Option<Outcome>) {
        let Some(ip) = headers.ip() else {
            return (None, None);
        };
        match ip.l4 {
            L4::IcmpError { kind, code, .. } => {
                let unreachable = match ip.is_v6() {
                    true => UNREACHABLE_V6,
                    false => UNREACHABLE_V4,
                };
                let failure = match (kind == unreachable.0, code == unreachable.1) {
                    (true, true) => Failure::PortUnreachable,
                    (true, false) => Failure::Unreachable,
                    (false, _) => return (None, None),
                };
                (None, Some(Outcome::Bad(failure)))
            }
            L4::Echo { .. } | L4::Udp { .. } => (None, Some(Outcome::Good)),
            L4::Tcp { .. } if ip.fragment == Fragment::None => {
                let end = usize::from(headers.l3_offset) + usize::from(ip.total_len);
                let segment = frame.get(usize::from(ip.l4_offset)..end);
                match segment.and_then(Segment::read) {
                    Some(segment) => self.segment(target, macs, &segment),
                    None => (None, None),
                }
            }
            _ => (None, None),
        }
    }

    fn segment<N>(
        &mut self,
        target: &Target<N>,
        macs: Macs,
        segment: &Segment<'_>,
    ) -> (Option<Vec<u8>>, Option<Outcome>) {
        let Some(next) = self.next else {
            return self.opened(target, macs, segment);
        };
        let Probe::Http { path, status } = &target.probe else {
            return (None, None);
        };
        if segment.has(tcp::RST) {
            let reset = (segment.seq == next).then_some(Outcome::Bad(Failure::Reset));
            return (None, reset);
        }
        if segment.has(tcp::SYN) {
            // Our answer to it was lost.
            return (Some(self.request(target, macs, path, next)), None);
        }
        if segment.seq != next {
            return (Some(self.say(target, macs, tcp::ACK, next)), None);
        }
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend(segment.data.iter().take(room));
        let end = u32::from(segment.has(tcp::FIN));
        let next = next.wrapping_add(segment.data.len() as u32 + end);
        self.next = Some(next);
        let judged = match status_of(&self.line) {
            Line::Status(found) if (status.0..=status.1).contains(&found) => Some(Outcome::Good),
            Line::Status(found) => Some(Outcome::Bad(Failure::Status(found))),
            Line::Wrong => Some(Outcome::Bad(Failure::NotHttp)),
            Line::Partial if segment.has(tcp::FIN) => Some(Outcome::Bad(Failure::NotHttp)),
            Line::Partial => None,
        };
        let flags = match judged {
            Some(_) => tcp::RST | tcp::ACK,
            None => tcp::ACK,
        };
        (Some(self.say(target, macs, flags, next)), judged)
    }

    /// The answer to a SYN (RFC 9293 section 3.10.7.3). One that acknowledges something else is an old one, or forged.
    fn opened<N>(
        &mut self,
        target: &Target<N>,
        macs: Macs,
        segment: &Segment<'_>,
    ) -> (Option<Vec<u8>>, Option<Outcome>) {
        if !segment.has(tcp::ACK) || segment.ack != self.isn.wrapping_add(1) {
            return (None, None);
        }
        if segment.has(tcp::RST) {
            return (None, Some(Outcome::Bad(Failure::Reset)));
        }
        if !segment.has(tcp::SYN) {
            return (None, None);
        }
        let next = segment.seq.wrapping_add(1);
        match &target.probe {
            Probe::Http { path, .. } => {
                self.next = Some(next);
                (Some(self.request(target, macs, path, next)), None)
            }
            _ => {
                let reset = self.say(target, macs, tcp::RST | tcp::ACK, next);
                (Some(reset), Some(Outcome::Good))
            }
        }
    }

    /// The request in one segment (RFC 9112 section 3). It has no number but the first: until it is answered it is
    /// all that was sent.
    fn request<N>(&self, target: &Target<N>, macs: Macs, path: &str, next: u32) -> Vec<u8> {
        packet(target, macs)
            .tcp(self.own, target.port, tcp::ACK | tcp::PSH)
            .tcp_state(self.isn.wrapping_add(1), next, WINDOW)
            .payload(request_text(target, path).as_bytes())
            .build()
    }

    /// A segment without data, after the request if there was one.
    fn say<N>(&self, target: &Target<N>, macs: Macs, flags: u8, next: u32) -> Vec<u8> {
        let sent = match (&target.probe, self.next) {
            (Probe::Http { path, .. }, Some(_)) => request_text(target, path).len() as u32,
            _ => 0,
        };
        let seq = self.isn.wrapping_add(1).wrapping_add(sent);
        packet(target, macs)
            .tcp(self.own, target.port, flags)
            .tcp_state(seq, next, WINDOW)
            .build()
    }
}

fn packet<N>(target: &Target<N>, (own, far): Macs) -> Builder {
    Builder::ethernet(own, far)
        .ip(target.source, target.ip)
        .ttl(TTL)
        .dont_fragment(true)
}

fn request_text<N>(target: &Target<N>, path: &str) -> String {
    let host = SocketAddr::new(target.ip, target.port);
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sluice-health\r\nConnection: close\r\n\r\n"
    )
}

/// A TCP segment.
struct Segment<'f> {
    seq: u32,
    ack: u32,
    flags: u8,
    data: &'f [u8],
}

impl<'f> Segment<'f> {
    fn read(bytes: &'f [u8]) -> Option<Self> {
        let (header, _) = TcpHeader::ref_from_prefix(bytes).ok()?;
        Some(Self {
            seq: header.seq.get(),
            ack: header.ack.get(),
            flags: header.flags,
            data: bytes.get(header.header_len()..)?,
        })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What the beginning of an answer says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Status(u16),
    Partial,
    Wrong,
}

/// `HTTP/1.` digit, space, three digits (RFC 9112 section 4).
fn status_of(bytes: &[u8]) -> Line {
    let pattern = b"HTTP/1.# ###";
    let fits = |(byte, wanted): (&u8, &u8)| match wanted {
        b'#' => byte.is_ascii_digit(),
        _ => byte == wanted,
    };
    if !bytes.iter().zip(pattern).all(fits) {
        return Line::Wrong;
    }
    match bytes.get(9..12) {
        Some(digits) => Line::Status(
            digits
                .iter()
                .fold(0, |status, digit| status * 10 + u16::from(digit - b'0')),
        ),
        None => Line::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (text, line) in [
            ("", Line::Partial),
            ("HTTP/1", Line::Partial),
            ("HTTP/1.1 20", Line::Partial),
            ("HTTP/1.1 200", Line::Status(200)),
            ("HTTP/1.0 503 Service Unavailable\r\n", Line::Status(503)),
            ("SSH-2.0-", Line::Wrong),
            ("HTTP/2.0 200", Line::Wrong),
            ("HTTP/1.1 2x0", Line::Wrong),
        ] {
            assert_eq!(status_of(text.as_bytes()), line, "{text}");
        }
    }
}
