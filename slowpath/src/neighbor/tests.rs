use super::*;
use proptest::prelude::*;

const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const KEY: u32 = 1;

type Machine = Resolver<u32, u32>;
type Effects = Vec<Effect<u32, u32>>;

/// A machine with one neighbor in a state: `-` none, `I`ncomplete with frame 0 waiting, `R`eachable, `S`tale and
/// `P`robe with MAC A, `F`ailed. The last event was at the returned time.
fn machine(state: char) -> (Machine, Time) {
    let (mut machine, mut out) = (Machine::new(Settings::default()), Vec::new());
    let solicited = Heard::Advert {
        mac: Some(A),
        solicited: true,
        replace: true,
    };
    let now = match state {
        '-' => Time(0),
        'I' => {
            machine.need(KEY, Some(0), Time(0), &mut out);
            Time(0)
        }
        'F' => {
            machine.need(KEY, None, Time(0), &mut out);
            for at in [1_000, 2_000, 3_000] {
                machine.poll(Time(at), |_| None, 1, &mut out);
            }
            Time(3_000)
        }
        'R' | 'P' => {
            machine.heard(KEY, solicited, true, Time(0), &mut out);
            if state == 'P' {
                machine.poll(Time(30_000), |_| Some(Time(1)), 1, &mut out);
            }
            Time(if state == 'P' { 30_000 } else { 0 })
        }
        'S' => {
            machine.heard(KEY, Heard::Request { mac: A }, true, Time(0), &mut out);
            Time(0)
        }
        other => panic!("no state {other}"),
    };
    (machine, now)
}

/// State and MAC of the neighbor, then effects: `A`sk everyone, ask one (`U`nicast), `W`rite a MAC, se`T` a state,
/// remove (`X`), re`L`ease, `E`rror, `D`iscard.
fn show(machine: &Machine, effects: &Effects) -> String {
    let mut text = String::new();
    match machine.entries.get(&KEY) {
        None => text.push('-'),
        Some(entry) => {
            text.push(match entry.state {
                State::Incomplete => 'I',
                State::Reachable => 'R',
                State::Stale => 'S',
                State::Probe => 'P',
                State::Failed => 'F',
            });
            text.extend(entry.mac.map(|mac| if mac == A { 'a' } else { 'b' }));
        }
    }
    text.push(' ');
    text.extend(effects.iter().map(|effect| match effect {
        Effect::Ask { unicast: None, .. } => 'A',
        Effect::Ask {
            unicast: Some(_), ..
        } => 'U',
        Effect::Set { .. } => 'W',
        Effect::SetState { .. } => 'T',
        Effect::Remove { .. } => 'X',
        Effect::Release { .. } => 'L',
        Effect::Unreachable { .. } => 'E',
        Effect::Discard { .. } => 'D',
    }));
    text.trim_end().to_owned()
}

enum Event {
    Need,
    Hear(Heard),
    /// The timer fires; the neighbor was used since, or not.
    Timer(bool),
}

/// Every state and every event. RFC 4861 appendix C and section 7.2.5 for ND, RFC 826 for ARP.
#[test]
fn every_state_and_event() {
    let request = |mac| Event::Hear(Heard::Request { mac });
    let reply = |mac| Event::Hear(Heard::Reply { mac });
    let advert = |mac, solicited, replace| {
        Event::Hear(Heard::Advert {
            mac,
            solicited,
            replace,
        })
    };
    let (no, yes) = (false, true);
    #[rustfmt::skip]
    let table = [
        //                                        none   Incomplete Reachable Stale    Probe    Failed
        ("need",             Event::Need,              ["I A",  "I",      "Ra L",  "Sa L",  "Pa L",  "F E"]),
        ("request a",        request(A),               ["-",    "Sa WL",  "Ra",    "Sa",    "Pa",    "Sa W"]),
        ("request b",        request(B),               ["-",    "Sb WL",  "Sb W",  "Sb W",  "Sb W",  "Sb W"]),
        ("reply a",          reply(A),                 ["-",    "Ra WL",  "Ra",    "Sa",    "Ra W",  "Ra W"]),
        ("reply b",          reply(B),                 ["-",    "Rb WL",  "Sb W",  "Sb W",  "Rb W",  "Rb W"]),
        ("advert -   ",      advert(None, no, no),     ["-",    "I",      "Ra",    "Sa",    "Pa",    "F"]),
        ("advert -  O",      advert(None, no, yes),    ["-",    "I",      "Ra",    "Sa",    "Pa",    "F"]),
        ("advert - S ",      advert(None, yes, no),    ["-",    "I",      "Ra W",  "Ra W",  "Ra W",  "F"]),
        ("advert - SO",      advert(None, yes, yes),   ["-",    "I",      "Ra W",  "Ra W",  "Ra W",  "F"]),
        ("advert a   ",      advert(Some(A), no, no),  ["-",    "Sa WL",  "Ra",    "Sa",    "Pa",    "Sa W"]),
        ("advert a  O",      advert(Some(A), no, yes), ["-",    "Sa WL",  "Ra",    "Sa",    "Pa",    "Sa W"]),
        ("advert a S ",      advert(Some(A), yes, no), ["-",    "Ra WL",  "Ra W",  "Ra W",  "Ra W",  "Ra W"]),
        ("advert a SO",      advert(Some(A), yes, yes),["-",    "Ra WL",  "Ra W",  "Ra W",  "Ra W",  "Ra W"]),
        ("advert b   ",      advert(Some(B), no, no),  ["-",    "Sb WL",  "Sa T",  "Sa",    "Pa",    "Sb W"]),
        ("advert b  O",      advert(Some(B), no, yes), ["-",    "Sb WL",  "Sb W",  "Sb W",  "Sb W",  "Sb W"]),
        ("advert b S ",      advert(Some(B), yes, no), ["-",    "Rb WL",  "Sa T",  "Sa",    "Pa",    "Rb W"]),
        ("advert b SO",      advert(Some(B), yes, yes),["-",    "Rb WL",  "Rb W",  "Rb W",  "Rb W",  "Rb W"]),
        ("timer, unused",    Event::Timer(no),         ["-",    "I A",    "Sa T",  "Sa",    "Pa U",  "- X"]),
        ("timer, used",      Event::Timer(yes),        ["-",    "I A",    "Pa TU", "Pa TU", "Pa U",  "- X"]),
    ];
    for (name, event, expected) in table {
        for (state, expected) in ['-', 'I', 'R', 'S', 'P', 'F'].into_iter().zip(expected) {
            let (mut machine, start) = machine(state);
            let mut out = Vec::new();
            match event {
                Event::Need => machine.need(KEY, Some(9), start, &mut out),
                Event::Hear(heard) => {
                    machine.heard(KEY, heard, false, start, &mut out);
                }
                Event::Timer(used) => {
                    let due = machine.next_deadline().unwrap_or_default();
                    let when = used.then_some(start.plus(1));
                    machine.poll(Time(due.0.saturating_sub(1)), |_| when, 9, &mut out);
                    assert_eq!(out, [], "{name} in {state}: before it is due");
                    machine.poll(due, |_| when, 1, &mut out);
                }
            }
            assert_eq!(show(&machine, &out), expected, "{name} in {state}");
        }
    }
}

#[test]
fn unknown_neighbors_are_taken_in_only_when_told_to() {
    #[rustfmt::skip]
    let cases = [
        (Heard::Request { mac: B }, "Sb W"),
        (Heard::Reply { mac: B }, "Sb W"),
        (Heard::Advert { mac: Some(B), solicited: true, replace: false }, "Rb W"),
        (Heard::Advert { mac: Some(B), solicited: false, replace: true }, "Sb W"),
        (Heard::Advert { mac: None, solicited: true, replace: true }, "-"),
    ];
    for (heard, expected) in cases {
        let (mut machine, mut out) = (Machine::new(Settings::default()), Vec::new());
        machine.heard(KEY, heard, true, Time(5), &mut out);
        assert_eq!(show(&machine, &out), expected, "{heard:?}");
    }
}

/// Runs from deadline to deadline up to `end` and notes when what happened.
fn run(machine: &mut Machine, end: u64, used: Option<Time>) -> Vec<(u64, String)> {
    let mut log = Vec::new();
    while let Some(now) = machine.next_deadline().filter(|due| due.0 <= end) {
        let mut out = Vec::new();
        machine.poll(now, |_| used, 1, &mut out);
        if !out.is_empty() {
            log.push((now.0, show(machine, &out)));
        }
    }
    log
}

fn log(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected
        .iter()
        .map(|(at, text)| (*at, (*text).to_owned()))
        .collect()
}

#[test]
fn three_requests_a_second_apart_then_failed_then_forgotten() {
    let (mut machine, _) = machine('I');
    let expected = log(&[
        (1_000, "I A"),
        (2_000, "I A"),
        (3_000, "F TE"),
        (8_000, "- X"),
    ]);
    assert_eq!(run(&mut machine, 100_000, None), expected);
    assert!(machine.is_empty());
    assert_eq!((machine.waiting(), machine.next_deadline()), (0, None));
}

#[test]
fn a_used_neighbor_is_probed_and_forgotten_when_silent() {
    let (mut machine, _) = machine('R');
    let expected = log(&[
        (30_000, "Pa TU"),
        (31_000, "Pa U"),
        (32_000, "Pa U"),
        (33_000, "- X"),
    ]);
    assert_eq!(run(&mut machine, 100_000, Some(Time(10))), expected);
}

#[test]
fn an_unused_neighbor_grows_stale_and_is_forgotten_after_twenty_minutes() {
    let (mut machine, _) = machine('R');
    let expected = log(&[(30_000, "Sa T"), (1_230_000, "- X")]);
    assert_eq!(run(&mut machine, 10_000_000, None), expected);
}

#[test]
fn use_of_a_stale_neighbor_is_noticed_within_five_seconds() {
    let (mut machine, _) = machine('S');
    assert_eq!(run(&mut machine, 60_000, None), []);
    assert_eq!(
        run(&mut machine, 66_000, Some(Time(60_001)))[0],
        (65_000, "Pa TU".to_owned())
    );
}

/// A neighbor that was used later than it grew stale lives twenty minutes from that use.
#[test]
fn a_probe_that_is_answered_starts_over() {
    let (mut machine, now) = machine('P');
    let mut out = Vec::new();
    assert_eq!(
        machine.heard(KEY, Heard::Reply { mac: A }, false, now.plus(5), &mut out),
        Lesson::Confirmed
    );
    assert_eq!(machine.next_deadline(), Some(now.plus(30_005)));
}

#[test]
fn the_newest_frames_wait() {
    let settings = Settings {
        waiting_each: 3,
        waiting_total: 5,
        ..Settings::default()
    };
    let (mut machine, mut out) = (Machine::new(settings), Vec::new());
    for frame in 0..5 {
        machine.need(1, Some(frame), Time(0), &mut out);
    }
    let discarded = |out: &Effects| -> Vec<u32> {
        out.iter()
            .filter_map(|effect| {
                if let Effect::Discard { waiting } = effect {
                    Some(*waiting)
                } else {
                    None
                }
            })
            .collect()
    };
    assert_eq!(discarded(&out), [0, 1]);
    machine.need(2, Some(10), Time(0), &mut out);
    machine.need(2, Some(11), Time(0), &mut out);
    assert_eq!((discarded(&out).len(), machine.waiting()), (2, 5));
    // In all there are as many as may be: a new neighbor's frame finds no room, a known one's pushes its oldest out.
    machine.need(3, Some(20), Time(0), &mut out);
    machine.need(2, Some(12), Time(0), &mut out);
    assert_eq!(discarded(&out), [0, 1, 20, 10]);
    out.clear();
    machine.heard(1, Heard::Reply { mac: A }, false, Time(1), &mut out);
    let released = [2, 3, 4].map(|waiting| Effect::Release { waiting });
    assert_eq!(out[1..], released, "in order of arrival");
    assert_eq!(machine.waiting(), 2);
}

#[test]
fn a_budget_leaves_the_rest_due() {
    let (mut machine, mut out) = (Machine::new(Settings::default()), Vec::new());
    for key in 0..10 {
        machine.need(key, None, Time(0), &mut out);
    }
    out.clear();
    machine.poll(Time(1_000), |_| None, 4, &mut out);
    assert_eq!(out.len(), 4);
    assert_eq!(machine.next_deadline(), Some(Time(1_000)));
    machine.poll(Time(1_000), |_| None, 100, &mut out);
    assert_eq!(
        (out.len(), machine.next_deadline()),
        (10, Some(Time(2_000)))
    );
}

#[derive(Clone, Debug)]
enum Act {
    Need(u32),
    Hear(u32, Heard, bool),
    Wait(u32, bool),
    Forget(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = 0u32..3;
    let mac = prop_oneof![Just(A), Just(B)];
    let heard = prop_oneof![
        mac.clone().prop_map(|mac| Heard::Request { mac }),
        mac.clone().prop_map(|mac| Heard::Reply { mac }),
        (prop::option::of(mac), any::<bool>(), any::<bool>()).prop_map(
            |(mac, solicited, replace)| Heard::Advert {
                mac,
                solicited,
                replace
            }
        ),
    ];
    let act = prop_oneof![
        4 => key.clone().prop_map(Act::Need),
        3 => (key.clone(), heard, any::<bool>()).prop_map(|(key, heard, create)| Act::Hear(key, heard, create)),
        4 => (0u32..40_000, any::<bool>()).prop_map(|(ms, used)| Act::Wait(ms, used)),
        1 => key.prop_map(Act::Forget),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    /// No frame is lost or comes out twice, the effects keep a table equal to the machine's own state, and nobody is
    /// asked more than once a second.
    #[test]
    fn frames_and_states_are_conserved(acts in acts()) {
        let settings = Settings { waiting_each: 2, waiting_total: 4, ..Settings::default() };
        let mut machine = Machine::new(settings);
        let (mut now, mut next_frame) = (Time(0), 0u32);
        let mut table: HashMap<u32, (State, Option<Mac>)> = HashMap::new();
        let mut asked: HashMap<u32, Time> = HashMap::new();
        let mut came_out: Vec<u32> = Vec::new();
        for act in acts {
            let mut out = Vec::new();
            match act {
                Act::Need(key) => {
                    table.entry(key).or_insert((State::Incomplete, None));
                    machine.need(key, Some(next_frame), now, &mut out);
                    next_frame += 1;
                }
                Act::Hear(key, heard, create) => { machine.heard(key, heard, create, now, &mut out); }
                Act::Wait(ms, used) => {
                    now = now.plus(ms);
                    machine.poll(now, |_| used.then_some(now), 100, &mut out);
                }
                Act::Forget(key) => machine.remove(key, &mut out),
            }
            for effect in out {
                match effect {
                    Effect::Ask { key, .. } => {
                        let before = asked.insert(key, now);
                        let gap = before.map(|before| now.since(before));
                        // Forgetting a neighbor forgets when it was asked.
                        prop_assert!(gap.is_none_or(|gap| gap >= 1_000), "asked {key} again after {gap:?}");
                    }
                    Effect::Set { key, mac, state } => { table.insert(key, (state, Some(mac))); }
                    Effect::SetState { key, state } => {
                        let row = table.get_mut(&key);
                        prop_assert!(row.is_some());
                        row.unwrap().0 = state;
                    }
                    Effect::Remove { key } => {
                        prop_assert!(table.remove(&key).is_some());
                        asked.remove(&key);
                    }
                    Effect::Release { waiting } | Effect::Unreachable { waiting, .. } | Effect::Discard { waiting } => {
                        came_out.push(waiting);
                    }
                }
            }
            for key in 0..3 {
                prop_assert_eq!(machine.state(&key), table.get(&key).map(|row| row.0));
                prop_assert_eq!(machine.entries.get(&key).and_then(|e| e.mac), table.get(&key).and_then(|row| row.1));
            }
            prop_assert_eq!(machine.entries.len(), machine.timers.len());
            let waiting: usize = machine.entries.values().map(|entry| entry.waiting.len()).sum();
            prop_assert_eq!(machine.waiting(), waiting);
            prop_assert!(waiting <= 4);
        }
        let mut out = Vec::new();
        machine.retain(|_| false, &mut out);
        came_out.extend(out.iter().filter_map(|e| if let Effect::Discard { waiting } = e { Some(*waiting) } else { None }));
        came_out.sort_unstable();
        prop_assert_eq!(came_out, (0..next_frame).collect::<Vec<_>>());
    }
}
