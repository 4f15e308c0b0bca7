mod authentication;
mod discards;
mod frames;
mod pair;
mod timers;
mod transitions;

use std::num::NonZeroU8;

use sluice_net::wire::bfd::{Control, Diagnostic, FINAL, POLL, State};

use super::*;

const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const PATH: Path<u32> = Path {
    network: 7,
    reach: Reach::SingleHop,
    local: LOCAL,
    peer: PEER,
};
/// The other side's discriminator.
const REMOTE: u32 = 0xbeef;
const SECOND: u64 = 1_000_000;

/// 100 ms both ways, three times.
fn settings() -> Settings {
    Settings {
        min_tx: ms(100),
        min_rx: ms(100),
        ..Settings::default()
    }
}

fn ms(ms: u32) -> Interval {
    Interval::from_micros(ms * 1_000).unwrap()
}

fn mult(mult: u8) -> NonZeroU8 {
    NonZeroU8::new(mult).unwrap()
}

/// One session, and a hand that writes what the other side says.
struct Bench {
    sessions: Sessions<u32>,
    settings: Settings,
    now: Micros,
    /// What the other side says, but for state and flags.
    says: Control<'static>,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let mut sessions = Sessions::new(1);
        sessions.set([(PATH, settings.clone())], Micros(0));
        let says = Control {
            diagnostic: Diagnostic::NONE,
            state: State::Down,
            flags: 0,
            detect_mult: 3,
            my_discriminator: REMOTE,
            your_discriminator: sessions.status(&PATH).unwrap().discriminator,
            desired_min_tx: 100_000,
            required_min_rx: 100_000,
            required_min_echo_rx: 0,
            authentication: None,
        };
        Self {
            sessions,
            settings,
            now: Micros(0),
            says,
        }
    }

    /// A session in this state, with nothing left to say.
    fn at(state: State, mut settings: Settings) -> Self {
        settings.admin_down = state == State::AdminDown;
        let mut bench = Self::new(settings);
        if matches!(state, State::Init | State::Up) {
            bench.hear(State::Down, 0).unwrap();
        }
        if state == State::Up {
            bench.hear(State::Init, 0).unwrap();
            bench.hear(State::Up, FINAL).unwrap();
        }
        // Whatever comes next is told at once.
        for _ in 0..3 {
            bench.sent();
            bench.now = bench.now.plus(5_000);
        }
        assert_eq!(bench.status().state, state);
        bench
    }

    fn hear(&mut self, state: State, flags: u8) -> Result<(), Discard> {
        let control = Control {
            state,
            flags,
            ..self.says
        };
        self.hear_control(&control)
    }

    fn hear_control(&mut self, control: &Control<'_>) -> Result<(), Discard> {
        let mut packet = Vec::new();
        control.write(&mut packet);
        self.sessions.accept(&PATH, TTL, &packet, self.now)
    }

    fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        self.sessions.set([(PATH, self.settings.clone())], self.now);
    }

    fn status(&self) -> Status {
        self.sessions.status(&PATH).unwrap()
    }

    /// What is sent now.
    fn sent(&mut self) -> Vec<Control<'static>> {
        let mut sent = Vec::new();
        while let Some(packet) = self.sessions.poll(self.now) {
            let control = bfd::parse(&packet.payload).unwrap();
            sent.push(Control {
                authentication: None,
                ..control
            });
        }
        sent
    }

    /// What is sent as soon as news may be.
    fn soon(&mut self) -> Vec<Control<'static>> {
        self.now = self.now.plus(5_000);
        self.sent()
    }

    /// Runs until `end`, from deadline to deadline; when what was sent. The other side says that it is up as often as it
    /// must, when `lives`.
    fn run(&mut self, end: Micros, lives: bool) -> Vec<(Micros, Control<'static>)> {
        let mut sent = Vec::new();
        loop {
            let due = self.sessions.next_deadline().unwrap_or(Micros(u64::MAX));
            let due = due.max(self.now);
            let speak = self.now.plus(50_000);
            if due > end && !(lives && speak <= end) {
                break;
            }
            if lives && speak < due {
                self.now = speak;
                self.hear(State::Up, 0).unwrap();
            } else {
                self.now = due;
            }
            let now = self.now;
            sent.extend(self.sent().into_iter().map(|control| (now, control)));
        }
        self.now = end;
        sent
    }
}

/// A letter for the state, `P` or `F`.
fn brief(control: &Control<'_>) -> String {
    let mut text = String::from(match control.state {
        State::AdminDown => "A",
        State::Down => "D",
        State::Init => "I",
        State::Up => "U",
    });
    text.extend(control.has(POLL).then_some('P'));
    text.extend(control.has(FINAL).then_some('F'));
    text
}
