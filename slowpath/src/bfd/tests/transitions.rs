//! Every state and every event (RFC 5880 sections 6.8.4, 6.8.6, 6.8.15 to 6.8.17).

use super::*;

const STATES: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];

enum Event {
    Hear(State, u8),
    Silence,
    Disable,
    Enable,
    Fail,
    Tell,
}

/// State, diagnostic, and what is sent at once.
fn after(bench: &mut Bench) -> String {
    let status = bench.status();
    let state = Control {
        state: status.state,
        flags: 0,
        ..bench.says
    };
    let mut text = format!("{}{}", brief(&state), status.diagnostic.code());
    for control in bench.sent() {
        assert_eq!(control.diagnostic, status.diagnostic);
        text += " ";
        text += &brief(&control);
    }
    text
}

#[test]
fn every_state_and_event() {
    use State::{AdminDown, Down, Init, Up};
    let hear = |state| Event::Hear(state, 0);
    let poll = |state| Event::Hear(state, POLL);
    #[rustfmt::skip]
    let table = [
        //                                    AdminDown   Down        Init        Up
        ("hears AdminDown",  hear(AdminDown), ["A7",      "D0 D",     "D3 D",     "D3 DP"]),
        ("hears Down",       hear(Down),      ["A7",      "I0 I",     "I0",       "D3 DP"]),
        ("hears Init",       hear(Init),      ["A7",      "U0 UP",    "U0 UP",    "U0"]),
        ("hears Up",         hear(Up),        ["A7",      "D0 D",     "U0 UP",    "U0"]),
        ("polled AdminDown", poll(AdminDown), ["A7",      "D0 DF D",  "D3 DF D",  "D3 DF DP"]),
        ("polled Down",      poll(Down),      ["A7",      "I0 IF I",  "I0 IF",    "D3 DF DP"]),
        ("polled Init",      poll(Init),      ["A7",      "U0 UF UP", "U0 UF UP", "U0 UF"]),
        ("polled Up",        poll(Up),        ["A7",      "D0 DF D",  "U0 UF UP", "U0 UF"]),
        ("silence",          Event::Silence,  ["A7 A",    "D0 D",     "D1 D",     "D1 D"]),
        ("disabled",         Event::Disable,  ["A7",      "A7 A",     "A7 A",     "A7 AP"]),
        ("enabled",          Event::Enable,   ["D7 D",    "D0",       "I0",       "U0"]),
        ("path down",        Event::Fail,     ["A7",      "D0",       "D5 D",     "D5 DP"]),
        ("path behind",      Event::Tell,     ["A7",      "D0",       "I0",       "U6 U"]),
    ];
    for (name, event, expected) in table {
        for (state, expected) in STATES.into_iter().zip(expected) {
            let mut bench = Bench::at(state, settings());
            while bench.sessions.next_change().is_some() {}
            match event {
                Event::Hear(heard, flags) => {
                    let discard = (state == AdminDown).then_some(Discard::AdminDown);
                    assert_eq!(bench.hear(heard, flags).err(), discard, "{name}");
                }
                Event::Silence => {
                    bench.now = bench.now.plus(SECOND);
                    // Transmission and detection at one moment.
                    let mut last = None;
                    while let Some(sent) = bench.sessions.poll(bench.now) {
                        assert_eq!(last.replace(sent), None);
                    }
                    let payload = last.unwrap().payload;
                    let sent = brief(&bfd::parse(&payload).unwrap());
                    assert_eq!(format!("{} {sent}", after(&mut bench)), expected, "{name}");
                    continue;
                }
                Event::Disable => bench.change(|settings| settings.admin_down = true),
                Event::Enable => bench.change(|settings| settings.admin_down = false),
                Event::Fail => bench.sessions.fail(&PATH, Diagnostic::PATH_DOWN, bench.now),
                Event::Tell => {
                    let diagnostic = Diagnostic::CONCATENATED_PATH_DOWN;
                    bench.sessions.tell(&PATH, diagnostic);
                }
            }
            assert_eq!(after(&mut bench), expected, "{name} in {state}");
            let told = bench.sessions.next_change().map(|(_, status)| status.state);
            let now = bench.status().state;
            assert_eq!(told, (now != state).then_some(now), "{name} in {state}");
        }
    }
}

/// Section 6.8.1: the other side's discriminator is forgotten with it, in every state.
#[test]
fn silence_forgets_the_other_side() {
    for state in STATES {
        let mut bench = Bench::at(state, settings());
        let _ = bench.hear(State::AdminDown, 0);
        bench.sent();
        assert_eq!(bench.status().remote_discriminator, REMOTE, "{state}");
        let gone = bench.now.plus(300_000);
        bench.run(Micros(gone.0 - 1), false);
        assert_eq!(bench.status().remote_discriminator, REMOTE, "{state}");
        bench.run(gone, false);
        let status = bench.status();
        assert_eq!(status.remote_discriminator, 0, "{state}");
        assert_eq!(status.remote_state, State::Down, "{state}");
        assert_eq!(status.detection_time, 0, "{state}");
    }
}

/// Both sides named as soon as they are known.
#[test]
fn discriminators() {
    let mut bench = Bench::new(settings());
    let own = bench.status().discriminator;
    assert_ne!(own, 0);
    let sent = bench.run(Micros(SECOND), false);
    assert_eq!(sent[0].1.my_discriminator, own);
    assert_eq!(sent[0].1.your_discriminator, 0);
    bench.says.your_discriminator = 0;
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(bench.soon()[0].your_discriminator, REMOTE);
    // It restarts, under another name.
    bench.says.my_discriminator = 5;
    bench.hear(State::Down, 0).unwrap();
    assert_eq!(bench.soon()[0].your_discriminator, 5);
}

#[test]
fn counts() {
    let mut bench = Bench::at(State::Up, settings());
    bench.hear(State::Down, 0).unwrap();
    bench.hear(State::Down, 0).unwrap();
    bench.hear(State::Init, 0).unwrap();
    bench.says.detect_mult = 0;
    assert!(bench.hear(State::Up, 0).is_err());
    let status = bench.status();
    assert_eq!((status.ups, status.downs, status.received), (2, 1, 6));
    // News that has waited.
    bench.sent();
    assert!(bench.status().sent > status.sent);
}
