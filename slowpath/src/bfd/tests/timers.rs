//! Intervals: negotiation, polls, jitter, and who may not speak (RFC 5880 sections 6.5, 6.6, 6.8.2 to 6.8.4, 6.8.7).

use super::*;

fn up(settings: Settings) -> Bench {
    Bench::at(State::Up, settings)
}

/// Microseconds between packets.
fn gaps(sent: &[(Micros, Control<'_>)]) -> Vec<u64> {
    sent.windows(2)
        .map(|two| two[1].0.since(two[0].0))
        .collect()
}

#[test]
fn bounds() {
    assert_eq!(Interval::from_micros(9_999), None);
    assert_eq!(Interval::from_micros(10_000), Some(Interval::MIN));
    assert_eq!(Interval::from_micros(10_000_000), Some(Interval::MAX));
    assert_eq!(Interval::from_micros(10_000_001), None);
}

/// Section 6.8.2: the slower wish counts. Section 6.8.4: theirs is the multiplier.
#[test]
fn negotiation() {
    // Own tx, rx (ms); their tx, rx (microseconds), multiplier; interval, detection time.
    for (tx, rx, their_tx, their_rx, detect_mult, interval, detection) in [
        (100, 100, 100_000, 100_000, 3, 100_000, 300_000),
        (10, 10, 10_000, 10_000, 3, 10_000, 30_000),
        (10, 10, 1_000_000, 1_000_000, 3, 1_000_000, 3_000_000),
        (10, 1_000, 100_000, 1_000_000, 3, 1_000_000, 3_000_000),
        (10_000, 10, 50_000, 1, 5, 10_000_000, 250_000),
        (50, 300, 20_000, 49_999, 1, 50_000, 300_000),
        (10, 10, u32::MAX, 0, 255, 10_000, u64::from(u32::MAX) * 255),
    ] {
        let mut bench = up(Settings {
            min_tx: ms(tx),
            min_rx: ms(rx),
            ..settings()
        });
        bench.says.desired_min_tx = their_tx;
        bench.says.required_min_rx = their_rx;
        bench.says.detect_mult = detect_mult;
        bench.hear(State::Up, 0).unwrap();
        let status = bench.status();
        assert_eq!(status.transmit_interval, interval);
        assert_eq!(status.detection_time, detection);
    }
}

/// Section 6.8.3: a second at least until up.
#[test]
fn slow_until_up() {
    let mut bench = Bench::new(settings());
    let sent = bench.run(Micros(60 * SECOND), false);
    assert!(sent[0].0 < Micros(100_000));
    assert!((59..=81).contains(&sent.len()), "{}", sent.len());
    for gap in gaps(&sent) {
        assert!((750_000..=SECOND).contains(&gap), "{gap}");
    }
    assert!(sent.iter().all(|(_, sent)| sent.desired_min_tx == 1_000_000
        && sent.required_min_rx == 100_000
        && sent.flags == 0));
    bench.hear(State::Init, 0).unwrap();
    assert_eq!(bench.sent()[0].desired_min_tx, 100_000);
    // Slower than a second is not made faster.
    let mut slow = Bench::new(Settings {
        min_tx: ms(5_000),
        ..settings()
    });
    let sent = slow.run(Micros(60 * SECOND), false);
    assert!(gaps(&sent).iter().all(|gap| *gap >= 3_750_000));
}

/// Section 6.8.7, packet by packet.
#[test]
fn jitter() {
    for (times, least, most) in [
        (3, 75_000, 100_000),
        (2, 75_000, 100_000),
        (1, 75_000, 90_000),
    ] {
        let mut bench = up(Settings {
            detect_mult: mult(times),
            ..settings()
        });
        let end = bench.now.plus(60 * SECOND);
        let gaps = gaps(&bench.run(end, true));
        assert!(gaps.len() > 590);
        let (min, max) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(least <= *min && *max <= most, "{times}: {min} to {max}");
        // The whole range is used.
        let tenth = (most - least) / 10;
        assert!(
            *min < least + tenth && *max > most - tenth,
            "{times}: {min} to {max}"
        );
    }
}

/// Section 6.8.3, while up: what is put off until the other side has confirmed, and what is not.
#[test]
fn changes_while_up() {
    // Tx, rx (ms); interval and detection time at once, and after F.
    for (tx, rx, at_once, confirmed) in [
        (200, 100, (100_000, 300_000), (200_000, 300_000)),
        (50, 100, (50_000, 300_000), (50_000, 300_000)),
        (100, 200, (100_000, 600_000), (100_000, 600_000)),
        (100, 50, (100_000, 300_000), (100_000, 150_000)),
        (200, 50, (100_000, 300_000), (200_000, 150_000)),
    ] {
        let mut bench = up(settings());
        bench.says.desired_min_tx = 10_000;
        bench.says.required_min_rx = 10_000;
        bench.hear(State::Up, 0).unwrap();
        assert_eq!(bench.sent(), []);
        bench.change(|settings| (settings.min_tx, settings.min_rx) = (ms(tx), ms(rx)));
        let timers = |bench: &Bench| {
            let status = bench.status();
            (status.transmit_interval, status.detection_time)
        };
        let sent = bench.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(brief(&sent[0]), "UP");
        assert_eq!(sent[0].desired_min_tx, tx * 1_000);
        assert_eq!(sent[0].required_min_rx, rx * 1_000);
        // Polls go on as packets do, until one is answered.
        let end = bench.now.plus(40_000);
        bench.run(end, false);
        bench.hear(State::Up, 0).unwrap();
        assert_eq!(timers(&bench), at_once, "{tx} {rx}");
        let end = bench.now.plus(140_000);
        let again = bench.run(end, false);
        assert!(!again.is_empty() && again.iter().all(|(_, sent)| brief(sent) == "UP"));
        bench.hear(State::Up, FINAL).unwrap();
        assert_eq!(timers(&bench), confirmed, "{tx} {rx}");
        let end = bench.now.plus(140_000);
        let after = bench.run(end, false);
        assert!(after.iter().all(|(_, sent)| brief(sent) == "U"));
    }
}

/// Section 6.8.3: the second change waits for the end of the first poll.
#[test]
fn one_change_at_a_time() {
    let mut bench = up(settings());
    bench.change(|settings| settings.min_tx = ms(200));
    assert_eq!(bench.sent()[0].desired_min_tx, 200_000);
    bench.change(|settings| settings.min_tx = ms(400));
    assert_eq!(bench.sent(), []);
    bench.hear(State::Up, FINAL).unwrap();
    assert_eq!(bench.status().transmit_interval, 200_000);
    let next = bench.soon();
    assert_eq!(
        (next[0].desired_min_tx, brief(&next[0])),
        (400_000, "UP".to_owned())
    );
    bench.hear(State::Up, FINAL).unwrap();
    assert_eq!(bench.status().transmit_interval, 400_000);
    assert_eq!(bench.sent(), []);
    // Down meanwhile: the last wish counts, and at once.
    bench.change(|settings| settings.min_rx = ms(50));
    bench.change(|settings| settings.min_rx = ms(20));
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(bench.status().detection_time, 300_000);
    assert_eq!(bench.soon()[0].required_min_rx, 20_000);
    bench.says.desired_min_tx = 10_000;
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(bench.status().detection_time, 60_000);
}

/// Section 6.8.12: no poll, but told at once.
#[test]
fn multiplier() {
    let mut bench = up(settings());
    bench.change(|settings| settings.detect_mult = mult(7));
    let sent = bench.sent();
    assert_eq!((sent[0].detect_mult, brief(&sent[0])), (7, "U".to_owned()));
}

/// Section 6.8.3: the other side listens more often; the interval counts from the packet before.
#[test]
fn a_shorter_interval_is_honored_at_once() {
    let mut bench = up(Settings {
        min_tx: ms(10),
        ..settings()
    });
    bench.says.required_min_rx = 2_000_000;
    bench.hear(State::Up, 0).unwrap();
    let end = bench.now.plus(10_000);
    let last = bench
        .run(end, false)
        .last()
        .map_or(Micros(0), |(at, _)| *at);
    let end = bench.now.plus(140_000);
    assert_eq!(bench.run(end, false), []);
    bench.hear(State::Up, 0).unwrap();
    bench.says.required_min_rx = 200_000;
    bench.hear(State::Up, 0).unwrap();
    let due = bench.sessions.next_deadline().unwrap();
    assert!((150_000..=200_000).contains(&due.since(last)), "{due:?}");
    bench.says.required_min_rx = 20_000;
    bench.hear(State::Up, 0).unwrap();
    assert_eq!(bench.sent().len(), 1);
}

/// A poll is answered at once, whatever else holds packets back, and moves no timer.
#[test]
fn polls_are_answered() {
    let mut bench = up(settings());
    let due = bench.sessions.next_deadline().unwrap();
    for _ in 0..3 {
        bench.hear(State::Up, POLL).unwrap();
        let sent = bench.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(brief(&sent[0]), "UF");
    }
    let sent = bench.run(due, false);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0, brief(&sent[0].1)), (due, "U".to_owned()));
    bench.says.required_min_rx = 0;
    bench.hear(State::Up, POLL).unwrap();
    assert_eq!(brief(&bench.sent()[0]), "UF");
}

/// News is told at once, but not again within 5 ms.
#[test]
fn news() {
    let mut bench = up(settings());
    let began = bench.now;
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(brief(&bench.sent()[0]), "DP");
    for state in [
        State::Down,
        State::Init,
        State::Down,
        State::Down,
        State::Init,
    ] {
        bench.hear(state, 0).unwrap();
        assert_eq!(bench.sent(), []);
    }
    let sent = bench.run(began.plus(20_000), false);
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (sent[0].0, brief(&sent[0].1)),
        (began.plus(5_000), "UP".to_owned())
    );
}

/// Section 6.8.7: an other side that wants no packets gets none, up or not.
#[test]
fn none_wanted() {
    let mut bench = up(settings());
    bench.says.required_min_rx = 0;
    bench.hear(State::Up, 0).unwrap();
    let end = bench.now.plus(10 * SECOND);
    let sent = bench.run(end, true);
    assert_eq!(sent, []);
    // It goes; who comes after it is spoken to.
    let end = bench.now.plus(10 * SECOND);
    let sent = bench.run(end, false);
    assert!(sent.len() > 5);
    assert_eq!(bench.status().state, State::Down);
}

/// Section 6.1.
#[test]
fn passive() {
    let mut bench = Bench::new(Settings {
        passive: true,
        ..settings()
    });
    assert_eq!(bench.sessions.next_deadline(), None);
    assert_eq!(bench.run(Micros(10 * SECOND), false), []);
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(brief(&bench.sent()[0]), "I");
    let end = bench.now.plus(10 * SECOND);
    bench.run(end, false);
    assert_eq!(bench.sessions.next_deadline(), None);
}

/// Section 6.6: the other side wants no periodic packets while both are up, but polls.
#[test]
fn demanded() {
    let mut bench = up(settings());
    let quiet = |bench: &mut Bench| {
        bench.hear(State::Up, bfd::DEMAND).unwrap();
        let end = bench.now.plus(200_000);
        bench.run(end, false)
    };
    quiet(&mut bench);
    assert_eq!(quiet(&mut bench), []);
    bench.change(|settings| settings.min_tx = ms(200));
    let sent = quiet(&mut bench);
    assert!(sent.len() > 1 && sent.iter().all(|(_, sent)| brief(sent) == "UP"));
    bench.hear(State::Up, bfd::DEMAND | FINAL).unwrap();
    assert_eq!(quiet(&mut bench), []);
    bench
        .sessions
        .tell(&PATH, Diagnostic::CONCATENATED_PATH_DOWN);
    assert_eq!(brief(&bench.sent()[0]), "UP");
    bench.hear(State::Up, bfd::DEMAND | FINAL).unwrap();
    // Gone all the same.
    let end = bench.now.plus(300_000);
    let sent = bench.run(end, false);
    assert_eq!(brief(&sent[0].1), "D");
}

/// To the microsecond, and a packet that waited in a queue of this node counts.
#[test]
fn detection_time() {
    let mut bench = up(settings());
    bench.hear(State::Up, 0).unwrap();
    let heard = bench.now;
    bench.run(heard.plus(299_999), false);
    assert_eq!(bench.status().state, State::Up);
    bench.run(heard.plus(300_000), false);
    assert_eq!(bench.status().state, State::Down);
    assert_eq!(
        bench.status().diagnostic,
        Diagnostic::DETECTION_TIME_EXPIRED
    );

    let mut late = up(settings());
    late.now = late.now.plus(5 * SECOND);
    late.hear(State::Up, 0).unwrap();
    late.sent();
    assert_eq!(late.status().state, State::Up);
}

/// An operator's hold, and the way back.
#[test]
fn held_down() {
    let mut bench = up(settings());
    bench.change(|settings| settings.admin_down = true);
    let end = bench.now.plus(10 * SECOND);
    let sent = bench.run(end, false);
    // Told for as long as it lasts.
    assert!(sent.len() >= 10);
    assert!(sent.iter().all(|(_, sent)| sent.state == State::AdminDown
        && sent.diagnostic == Diagnostic::ADMINISTRATIVELY_DOWN));
    assert_eq!(bench.hear(State::Up, 0), Err(Discard::AdminDown));
    bench.change(|settings| settings.admin_down = false);
    bench.hear(State::Down, 0).unwrap();
    bench.hear(State::Init, 0).unwrap();
    assert_eq!(bench.status().state, State::Up);
}

/// Held down from the beginning: what a node says that cannot forward yet.
#[test]
fn begins_held_down() {
    let mut bench = Bench::at(State::AdminDown, settings());
    let sent = bench.run(Micros(SECOND), false);
    assert_eq!(brief(&sent[0].1), "A");
    assert_eq!(bench.hear(State::Init, 0), Err(Discard::AdminDown));
}
