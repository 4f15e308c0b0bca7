//! TCP by segments with numbers: the machine against one that is right by being simple, and what forged ones do.

use Direction::{Original, Reply};

use super::*;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

/// What a segment means, whatever the numbers of bytes and words that say so.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Opening { answered: bool },
    Open { finished: Option<Direction> },
    Closing { first: Direction },
    Waiting,
    Reset { by: Direction },
    Refused,
}

/// The whole connection as one would tell it.
#[derive(Clone, Copy, Debug)]
struct Reference {
    phase: Phase,
    /// Where the stream of a side is is known.
    known: [bool; 2],
}

impl Reference {
    const NEW: Reference = Reference {
        phase: Phase::Opening { answered: false },
        known: [false; 2],
    };

    /// `true_number`: the segment comes from where the stream is.
    fn take(&mut self, from: Direction, flags: TcpFlags, true_number: bool) {
        let (syn, ack, fin) = (flags.any(SYN), flags.any(ACK), flags.any(FIN));
        let believed = true_number || !self.known[from.index()];
        let finished = |by: Direction| Phase::Open {
            finished: fin.then_some(by),
        };
        if flags.any(RST) {
            match self.phase {
                Phase::Opening { .. } if believed => self.phase = Phase::Refused,
                Phase::Open { .. } | Phase::Closing { .. } if believed => {
                    self.phase = Phase::Reset { by: from };
                }
                _ => {}
            }
            return;
        }
        if let Phase::Opening { .. } = self.phase
            && syn
            && (from == Reply || ack)
        {
            self.known[from.index()] = true;
            self.known[from.opposite().index()] |= ack;
        }
        let again = from == Original && syn && !ack;
        self.phase = match self.phase {
            Phase::Opening { answered: false } if from == Reply && syn => {
                Phase::Opening { answered: true }
            }
            Phase::Opening { answered: true } if from == Original && ack => finished(from),
            Phase::Opening { answered: true } if from == Reply && fin => finished(from),
            Phase::Open { finished: None } => finished(from),
            Phase::Open {
                finished: Some(first),
            } if fin && from != first && believed => Phase::Closing { first },
            Phase::Closing { first } if from == first && ack && !fin => Phase::Waiting,
            Phase::Waiting | Phase::Reset { .. } | Phase::Refused if again => {
                *self = Reference::NEW;
                return;
            }
            Phase::Reset { by } if by == from && (fin || !syn) => finished(from),
            same => same,
        };
    }

    fn state(&self) -> State {
        let by = |side, original, reply| match side {
            Original => original,
            Reply => reply,
        };
        match self.phase {
            Phase::Opening { answered: false } => State::TcpSynSent,
            Phase::Opening { answered: true } => State::TcpSynReceived,
            Phase::Open { finished: None } => State::TcpEstablished,
            Phase::Open {
                finished: Some(side),
            } => by(side, State::TcpFinOriginal, State::TcpFinReply),
            Phase::Closing { first } => {
                by(first, State::TcpLastAckOriginal, State::TcpLastAckReply)
            }
            Phase::Waiting => State::TcpTimeWait,
            Phase::Reset { by: side } => by(side, State::TcpResetOriginal, State::TcpResetReply),
            Phase::Refused => State::TcpRefused,
        }
    }
}

/// Two hosts, and somebody who forges segments of both without seeing any.
struct Stream {
    worker: Writer<Addr>,
    conn: ConnRef,
    reference: Reference,
    /// Number of the next byte of each side.
    next: [u32; 2],
}

impl Stream {
    fn new(dice: &mut Dice) -> Stream {
        let table = table(4, 1);
        let mut worker = worker(&table, 0);
        let conn = worker
            .insert(&snat(1, State::TcpSynSent), START)
            .unwrap()
            .conn;
        Stream {
            worker,
            conn,
            reference: Reference::NEW,
            next: [dice.roll(u32::MAX), dice.roll(u32::MAX)],
        }
    }

    fn state(&self) -> State {
        self.worker.table().read(self.conn).unwrap().state
    }

    /// As the packet path does it.
    fn send(&mut self, from: Direction, flags: TcpFlags, bytes: u32, seq: u32) -> Touch {
        let ack = self.next[from.opposite().index()];
        let segment = Some(Segment { seq, ack });
        match self.worker.touch(self.conn, from, bytes, flags, START) {
            Touch::Unread => {
                self.worker
                    .touch_segment(self.conn, from, (bytes, flags, segment), START)
            }
            other => other,
        }
    }

    /// A segment from where the stream is; a SYN is the byte before the next one.
    fn genuine(&mut self, from: Direction, flags: TcpFlags, data: u32, headers: u32) -> Touch {
        let next = self.next[from.index()];
        let opening = matches!(self.reference.phase, Phase::Opening { .. });
        let seq = next.wrapping_sub(u32::from(opening && flags.any(SYN)));
        let touch = self.send(from, flags, headers + data, seq);
        self.next[from.index()] = next.wrapping_add(data);
        self.reference.take(from, flags, true);
        touch
    }

    /// One from anywhere else.
    fn forged(&mut self, dice: &mut Dice, from: Direction, flags: TcpFlags) -> Touch {
        let far = (1 << 27) + dice.roll(u32::MAX - (1 << 28));
        let seq = self.next[from.index()].wrapping_add(far);
        let touch = self.send(from, flags, HEADERS, seq);
        self.reference.take(from, flags, false);
        touch
    }

    fn random(&mut self, dice: &mut Dice) {
        let from = [Original, Reply][dice.roll(2) as usize];
        let flags = match dice.roll(64) {
            0..40 => ACK,
            40..46 => SYN,
            46..52 => SYN.and(ACK),
            52..56 => FIN.and(ACK),
            56..58 => RST,
            58 => RST.and(ACK),
            _ => TcpFlags(dice.roll(64) as u8),
        };
        // Nobody who forges a handshake without seeing it gets past it; that is not asked here.
        let forged = dice.roll(4) == 0 && !flags.any(SYN);
        if forged {
            self.forged(dice, from, flags);
        } else {
            let data = if flags == ACK { dice.roll(1461) } else { 0 };
            self.genuine(from, flags, data, HEADERS + 4 * dice.roll(11));
            if data > 0 && dice.roll(32) == 0 {
                self.send(
                    from,
                    flags,
                    HEADERS + data,
                    self.next[from.index()].wrapping_sub(data),
                );
                self.reference.take(from, flags, true);
            }
        }
    }
}

fn random_segments(count: u32, seed: u64) {
    let mut dice = Dice(seed);
    let mut stream = Stream::new(&mut dice);
    let mut seen = [0u32; 17];
    for n in 0..count {
        if n % 1_000 == 0 {
            stream = Stream::new(&mut dice);
        }
        let before = stream.reference;
        stream.random(&mut dice);
        let state = stream.state();
        assert_eq!(state, stream.reference.state(), "segment {n}, {before:?}");
        seen[state as usize] += 1;
    }
    let tcp = &seen[..=State::TcpRefused as usize];
    assert!(tcp.iter().all(|n| *n > count / 1_000), "{seen:?}");
}

#[test]
fn random_segments_equal_the_reference() {
    random_segments(300_000, 1);
}

#[test]
#[ignore = "a minute without optimisation"]
fn ten_million_random_segments_equal_the_reference() {
    random_segments(10_000_000, 2);
}

/// A handshake, and some data both ways.
fn established(dice: &mut Dice, segments: u32) -> Stream {
    let mut stream = Stream::new(dice);
    stream.genuine(Original, SYN, 0, HEADERS + 20);
    stream.genuine(Reply, SYN.and(ACK), 0, HEADERS + 20);
    stream.genuine(Original, ACK, 0, HEADERS + 12);
    for _ in 0..segments {
        stream.genuine(Reply, ACK, 1448, HEADERS + 12);
        stream.genuine(Original, ACK, 0, HEADERS + 12);
    }
    assert_eq!(stream.state(), State::TcpEstablished);
    stream
}

#[test]
fn a_forged_rst_or_pair_of_fins_ends_nothing() {
    let mut dice = Dice(3);
    let mut stream = established(&mut dice, 5_000);
    for from in [Original, Reply] {
        for flags in [RST, RST.and(ACK)] {
            assert_eq!(stream.forged(&mut dice, from, flags), Touch::Disbelieved);
        }
        stream.forged(&mut dice, from, FIN.and(ACK));
        assert_ne!(stream.state(), State::TcpLastAckOriginal);
    }
    assert_eq!(
        stream.state(),
        State::TcpFinOriginal,
        "as long as established"
    );
    let touch = stream.genuine(Reply, RST, 0, HEADERS);
    assert!(matches!(
        touch,
        Touch::Changed {
            to: State::TcpResetReply,
            ..
        }
    ));
}

#[test]
fn how_much_of_all_numbers_is_believed() {
    for (segments, one_in) in [
        (0u64, 30_000),
        (100, 18_000),
        (5_000, 4_000),
        (100_000, 250),
    ] {
        let sent = sequence::Sent {
            packets: segments + 2,
            bytes: segments * 1514 + 2 * u64::from(HEADERS) + 32,
            headers: HEADERS.into(),
        };
        let anchor = sent.anchor(0xdead_beef);
        let believed = (0..1 << 20)
            .filter(|n| sent.believes(anchor, n << 12))
            .count();
        assert!(
            believed > 0 && (1 << 20) / believed >= one_in,
            "{segments}: {believed}"
        );
        assert!(sent.believes(anchor, 0xdead_beef), "{segments}");
    }
}

#[test]
fn a_stream_that_was_picked_up_is_believed() {
    let table = table(4, 1);
    let mut worker = worker(&table, 0);
    let conn = worker
        .insert(&snat(1, State::TcpEstablished), START)
        .unwrap()
        .conn;
    let touch = worker.touch(conn, Reply, HEADERS, RST, START);
    assert!(matches!(
        touch,
        Touch::Changed {
            to: State::TcpResetReply,
            ..
        }
    ));
}

#[test]
fn another_stream_in_the_same_place_has_numbers_of_its_own() {
    let mut dice = Dice(5);
    let mut stream = established(&mut dice, 10);
    stream.genuine(Original, RST, 0, HEADERS);
    stream.next = [7, 0x8000_0000];
    stream.genuine(Original, SYN, 0, HEADERS + 20);
    assert_eq!(stream.state(), State::TcpSynSent);
    stream.genuine(Reply, SYN.and(ACK), 0, HEADERS + 20);
    stream.genuine(Original, ACK, 0, HEADERS);
    assert_eq!(stream.forged(&mut dice, Reply, RST), Touch::Disbelieved);
    let touch = stream.genuine(Original, RST, 0, HEADERS);
    assert!(matches!(
        touch,
        Touch::Changed {
            to: State::TcpResetOriginal,
            ..
        }
    ));
}

#[test]
fn a_long_stream_with_options_and_repetitions_still_ends_by_its_rst() {
    let mut dice = Dice(6);
    let mut stream = established(&mut dice, 0);
    for n in 0..100_000u32 {
        stream.genuine(Reply, ACK, 1448, HEADERS + 12);
        if n % 20 == 0 {
            let seq = stream.next[1].wrapping_sub(1448);
            stream.send(Reply, ACK, HEADERS + 12 + 1448, seq);
        }
        stream.genuine(Original, ACK, 0, HEADERS + 40);
    }
    let touch = stream.genuine(Original, RST, 0, HEADERS);
    assert!(matches!(touch, Touch::Changed { .. }), "{touch:?}");
}
