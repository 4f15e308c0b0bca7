//! Two sides and a link between them that loses, delays, repeats and reorders.

use proptest::prelude::*;

use super::*;
use crate::random::Random;

/// What the link does to packets.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// Lost, of 100.
    loss: u64,
    /// Sent twice, of 100.
    twice: u64,
    /// Longest delay, microseconds; every packet has its own.
    delay: u64,
}

struct Side {
    sessions: Option<Sessions<u32>>,
    path: Path<u32>,
    settings: Settings,
    /// When it last heard something that counts.
    heard: Option<Micros>,
    /// When it last said that it is down.
    said_down: Option<Micros>,
    detection_time: u64,
    downs: u64,
}

impl Side {
    fn new(path: Path<u32>, settings: Settings) -> Self {
        Self {
            sessions: None,
            path,
            settings,
            heard: None,
            said_down: None,
            detection_time: 0,
            downs: 0,
        }
    }

    fn start(&mut self, seed: u64, now: Micros) {
        let mut sessions = Sessions::new(seed);
        sessions.set([(self.path, self.settings.clone())], now);
        self.sessions = Some(sessions);
        (self.heard, self.downs) = (None, 0);
    }

    fn status(&self) -> Option<Status> {
        self.sessions.as_ref()?.status(&self.path)
    }

    fn is_up(&self) -> bool {
        self.status()
            .is_some_and(|status| status.state == State::Up)
    }
}

struct World {
    sides: [Side; 2],
    link: Link,
    /// Arrival, to whom, what.
    wire: Vec<(Micros, usize, Vec<u8>)>,
    random: Random,
    now: Micros,
}

impl World {
    fn new(seed: u64, link: Link, settings: [Settings; 2]) -> Self {
        let [first, second] = settings;
        let mirror = Path {
            local: PEER,
            peer: LOCAL,
            ..PATH
        };
        let mut world = Self {
            sides: [Side::new(PATH, first), Side::new(mirror, second)],
            link,
            wire: Vec::new(),
            random: Random::new(seed),
            now: Micros(0),
        };
        for side in &mut world.sides {
            side.start(world.random.draw(), Micros(0));
        }
        world
    }

    fn deadline(&self) -> Micros {
        let due = |side: &Side| side.sessions.as_ref()?.next_deadline();
        let wire = self.wire.iter().map(|(at, ..)| *at);
        let dues = self.sides.iter().filter_map(due);
        wire.chain(dues).min().unwrap_or(Micros(u64::MAX))
    }

    fn run(&mut self, end: Micros) {
        loop {
            let due = self.deadline();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.deliver();
            for side in 0..2 {
                self.speak(side);
                self.judge(side);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let now = self.now;
        let arrived: Vec<_> = self.wire.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, to, packet) in arrived {
            let side = &mut self.sides[to];
            let Some(sessions) = &mut side.sessions else {
                continue;
            };
            if sessions.accept(&side.path, TTL, &packet, now).is_ok() {
                side.heard = Some(now);
            }
            self.judge(to);
            let side = &mut self.sides[to];
            let status = side.status().unwrap();
            if status.remote_discriminator != 0 {
                side.detection_time = status.detection_time;
            }
        }
    }

    fn speak(&mut self, from: usize) {
        let side = &mut self.sides[from];
        let Some(sessions) = &mut side.sessions else {
            return;
        };
        while let Some(sent) = sessions.poll(self.now) {
            let control = bfd::parse(&sent.payload).unwrap();
            if matches!(control.state, State::Down | State::AdminDown) {
                side.said_down = Some(self.now);
            }
            let copies = 1 + u64::from(self.random.draw() % 100 < self.link.twice);
            for _ in 0..copies {
                if self.random.draw() % 100 >= self.link.loss {
                    let delay = self.random.draw() % (self.link.delay + 1);
                    let at = self.now.plus(delay);
                    self.wire.push((at, 1 - from, sent.payload.clone()));
                }
            }
        }
    }

    /// What must hold at every moment.
    fn judge(&mut self, at: usize) {
        let now = self.now;
        let [side, other] = match at {
            0 => [0, 1],
            _ => [1, 0],
        };
        let said_down = self.sides[other].said_down;
        let late = 2 * self.link.delay;
        let side = &mut self.sides[side];
        let Some(status) = side.status() else {
            return;
        };
        if status.state == State::Up {
            let silent = now.since(side.heard.expect("up without a word"));
            assert!(
                silent <= status.detection_time,
                "up after {silent} of silence"
            );
        }
        if status.downs == side.downs {
            return;
        }
        side.downs = status.downs;
        match status.diagnostic {
            Diagnostic::DETECTION_TIME_EXPIRED => {
                let silent = now.since(side.heard.unwrap());
                assert!(silent >= side.detection_time, "down after {silent}");
            }
            Diagnostic::NEIGHBOR_SIGNALED_DOWN => {
                let said = said_down.expect("nobody said so");
                assert!(now.since(said) <= late, "nobody said so of late");
            }
            other => panic!("down for {other}"),
        }
    }

    fn are_up(&self) -> bool {
        self.sides.iter().all(Side::is_up)
    }
}

fn wishes() -> impl Strategy<Value = Settings> {
    (10_u32..300, 10_u32..300, 2_u8..6).prop_map(|(tx, rx, times)| Settings {
        min_tx: ms(tx),
        min_rx: ms(rx),
        detect_mult: mult(times),
        ..Settings::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Nothing lost: up within three seconds, and never down again. Less than an interval of delay cannot make the
    /// silence as long as two.
    #[test]
    fn a_good_link(seed in any::<u64>(), a in wishes(), b in wishes(), delay in 0_u64..9_000) {
        let link = Link { loss: 0, twice: 10, delay };
        let mut world = World::new(seed, link, [a, b]);
        world.run(Micros(3 * SECOND));
        prop_assert!(world.are_up());
        // Packets that overtake each other at the beginning may cost a start or two; silence there was none.
        let downs = world.sides.each_ref().map(|side| side.downs);
        for (side, downs) in world.sides.iter().zip(downs) {
            let diagnostic = side.status().unwrap().diagnostic;
            prop_assert_ne!(diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
            prop_assert!(downs == 0 || delay > 0);
        }
        world.run(Micros(10 * SECOND));
        prop_assert!(world.are_up());
        prop_assert_eq!(world.sides.each_ref().map(|side| side.downs), downs);
    }

    /// Whatever the link does: see `judge`; and when it is good again both come up.
    #[test]
    fn a_bad_link(
        seed in any::<u64>(),
        (a, b) in (wishes(), wishes()),
        loss in 0_u64..=100,
        twice in 0_u64..50,
        delay in 0_u64..400_000,
    ) {
        let mut world = World::new(seed, Link { loss, twice, delay }, [a, b]);
        world.run(Micros(10 * SECOND));
        world.wire.clear();
        world.link = Link { loss: 0, twice: 0, delay: 0 };
        world.run(Micros(16 * SECOND));
        prop_assert!(world.are_up());
    }

    /// One side is killed and comes back under other names: the other is down after its detection time and no sooner, and
    /// up again.
    #[test]
    fn a_restart(
        seed in any::<u64>(),
        (a, b) in (wishes(), wishes()),
        loss in 0_u64..20,
        delay in 0_u64..5_000,
        away in 0_u64..4_000_000,
    ) {
        let mut world = World::new(seed, Link { loss, twice: 5, delay }, [a, b]);
        world.run(Micros(5 * SECOND));
        let killed = world.now;
        world.sides[1].sessions = None;
        let gone = world.sides[0].status().unwrap().detection_time;
        let back = killed.plus(away);
        let down = killed.plus(delay + gone.max(1));
        if down < back {
            world.run(down);
            prop_assert!(!world.sides[0].is_up());
        }
        world.run(back);
        let seed = world.random.draw();
        world.sides[1].start(seed, back);
        world.link.loss = 0;
        world.run(back.plus(5 * SECOND));
        prop_assert!(world.are_up());
    }
}

/// A thousand sessions at 50 ms: what a node of a large network has. Work is in proportion to packets.
#[test]
fn a_thousand() {
    let path = |n: u32, mirror: bool| {
        let peer = IpAddr::from([10, 1, (n >> 8) as u8, n as u8]);
        match mirror {
            false => Path { peer, ..PATH },
            true => Path {
                local: peer,
                peer: LOCAL,
                ..PATH
            },
        }
    };
    let wishes = Settings {
        min_tx: ms(50),
        min_rx: ms(50),
        ..Settings::default()
    };
    let mut sides = [Sessions::new(1), Sessions::new(2)];
    for (side, mirror) in sides.iter_mut().zip([false, true]) {
        let all = (0..1_000).map(|n| (path(n, mirror), wishes.clone()));
        side.set(all, Micros(0));
    }
    let (mut now, mut packets, mut turns) = (Micros(0), 0_u64, 0_u64);
    while now < Micros(4 * SECOND) {
        let next = |side: &Sessions<u32>| side.next_deadline().unwrap();
        now = now.max(next(&sides[0]).min(next(&sides[1])));
        turns += 1;
        for from in 0..2 {
            while let Some(sent) = sides[from].poll(now) {
                packets += 1;
                let there = Path {
                    local: sent.path.peer,
                    peer: sent.path.local,
                    ..sent.path
                };
                sides[1 - from]
                    .accept(&there, TTL, &sent.payload, now)
                    .unwrap();
            }
        }
    }
    for (side, mirror) in sides.iter_mut().zip([false, true]) {
        for n in 0..1_000 {
            let status = side.status(&path(n, mirror)).unwrap();
            assert_eq!((status.state, status.ups, status.downs), (State::Up, 1, 0));
        }
        let mut told = 0;
        while side.next_change().is_some() {
            told += 1;
        }
        assert_eq!(told, 1_000);
    }
    // 37.5 to 50 ms for nearly four seconds, both sides.
    assert!((150_000..220_000).contains(&packets), "{packets}");
    assert!(
        turns < packets * 3 / 2,
        "{turns} turns for {packets} packets"
    );
}
