use std::collections::{BTreeMap, HashMap};
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;

const NO_LIMIT: u32 = u32::MAX;

fn table(capacity: usize) -> (Arc<Fdb>, FdbWriter) {
    let fdb = Arc::new(Fdb::new(capacity));
    let writer = Fdb::writer(&fdb).unwrap();
    (fdb, writer)
}

fn mac(number: u64) -> Mac {
    Mac::from_u64(0x0200_0000_0000 | number)
}

fn port_of(fdb: &Fdb, domain: u32, number: u64) -> Option<u32> {
    fdb.lookup(domain, mac(number)).map(|hit| hit.port.0)
}

#[test]
fn there_is_one_writer() {
    let (fdb, writer) = table(1);
    assert!(Fdb::writer(&fdb).is_none());
    drop(writer);
    assert!(Fdb::writer(&fdb).is_none());
}

#[test]
fn learns_per_domain() {
    let (fdb, mut writer) = table(8);
    assert_eq!(port_of(&fdb, 1, 1), None);
    assert_eq!(
        writer.learn(1, mac(1), PortId(10), Tick(5), NO_LIMIT),
        Learned::New
    );
    assert_eq!(
        writer.learn(2, mac(1), PortId(20), Tick(6), NO_LIMIT),
        Learned::New
    );
    assert_eq!(port_of(&fdb, 1, 1), Some(10));
    assert_eq!(port_of(&fdb, 2, 1), Some(20));
    assert_eq!(port_of(&fdb, 3, 1), None);
    assert_eq!(port_of(&fdb, 1, 2), None);
    assert_eq!(fdb.changes(), 0);
    assert_eq!(
        (writer.len(), writer.domain_len(1), writer.domain_len(3)),
        (2, 1, 0)
    );
}

#[test]
fn all_bits_of_key_and_port_are_kept() {
    let (fdb, mut writer) = table(8);
    let (broad, port) = (Mac([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]), PortId(u32::MAX));
    writer.learn(u32::MAX, broad, port, Tick(7), NO_LIMIT);
    writer.learn(0, Mac([0; 6]), PortId(0), Tick(8), NO_LIMIT);
    assert_eq!(fdb.lookup(u32::MAX, broad).unwrap().port, port);
    let mut shown: Vec<_> = fdb.iter().collect();
    shown.sort_by_key(|entry| entry.domain);
    let entry = |domain, mac, port, tick| FdbEntry {
        domain,
        mac,
        port,
        since: Tick(tick),
        used: Tick(tick),
    };
    assert_eq!(
        shown,
        [
            entry(0, Mac([0; 6]), PortId(0), 8),
            entry(u32::MAX, broad, port, 7)
        ]
    );
}

#[test]
fn a_move_keeps_the_slot_and_is_a_change() {
    let (fdb, mut writer) = table(8);
    writer.learn(1, mac(1), PortId(10), Tick(5), NO_LIMIT);
    let slot = fdb.lookup(1, mac(1)).unwrap().slot;
    assert!(fdb.slot_matches(slot, 1, mac(1), PortId(10)));
    assert_eq!(
        writer.learn(1, mac(1), PortId(10), Tick(6), NO_LIMIT),
        Learned::Refreshed
    );
    assert_eq!(fdb.changes(), 0);
    let moved = writer.learn(1, mac(1), PortId(11), Tick(7), NO_LIMIT);
    assert_eq!(moved, Learned::Moved { from: PortId(10) });
    assert_eq!(fdb.changes(), 1);
    assert_eq!(
        fdb.lookup(1, mac(1)),
        Some(FdbHit {
            port: PortId(11),
            slot
        })
    );
    assert!(!fdb.slot_matches(slot, 1, mac(1), PortId(10)));
    assert!(fdb.slot_matches(slot, 1, mac(1), PortId(11)));
    assert!(!fdb.slot_matches(slot, 2, mac(1), PortId(11)));
    assert!(!fdb.slot_matches(slot, 1, mac(2), PortId(11)));
    assert!(!fdb.slot_matches(u32::MAX, 1, mac(1), PortId(11)));
    let shown = fdb.iter().next().unwrap();
    assert_eq!((shown.since, shown.used), (Tick(7), Tick(7)));
}

#[test]
fn limits_refuse_new_macs_only() {
    let (fdb, mut writer) = table(3);
    let mut learn = |domain, number, port, limit| {
        writer.learn(domain, mac(number), PortId(port), Tick(0), limit)
    };
    assert_eq!(learn(1, 1, 1, 2), Learned::New);
    assert_eq!(learn(1, 2, 1, 2), Learned::New);
    assert_eq!(learn(1, 3, 1, 2), Learned::DomainFull);
    assert_eq!(learn(1, 2, 1, 2), Learned::Refreshed);
    assert_eq!(learn(1, 2, 2, 1), Learned::Moved { from: PortId(1) });
    assert_eq!(learn(2, 9, 1, 0), Learned::DomainFull);
    assert_eq!(learn(2, 1, 1, 2), Learned::New);
    assert_eq!(learn(2, 2, 1, 2), Learned::Full);
    assert_eq!(learn(2, 1, 1, 2), Learned::Refreshed);
    assert_eq!(port_of(&fdb, 2, 2), None);
    assert!(writer.forget(1, mac(1)));
    assert_eq!(writer.learn(2, mac(2), PortId(5), Tick(0), 2), Learned::New);
    assert_eq!(port_of(&fdb, 2, 2), Some(5));
}

#[test]
fn a_table_without_room_learns_nothing() {
    let (fdb, mut writer) = table(0);
    assert_eq!(
        writer.learn(1, mac(1), PortId(1), Tick(0), NO_LIMIT),
        Learned::Full
    );
    assert_eq!(fdb.lookup(1, mac(1)), None);
    assert_eq!(writer.expire(Tick(9), |_| 1, 10), 0);
}

#[test]
fn a_forgotten_slot_matches_nothing() {
    let (fdb, mut writer) = table(1);
    writer.learn(1, mac(1), PortId(10), Tick(0), NO_LIMIT);
    let slot = fdb.lookup(1, mac(1)).unwrap().slot;
    assert!(writer.forget(1, mac(1)));
    assert!(!writer.forget(1, mac(1)));
    assert_eq!(fdb.changes(), 1);
    assert!(!fdb.slot_matches(slot, 1, mac(1), PortId(10)));
    assert_eq!(fdb.iter().count(), 0);
    writer.learn(1, mac(2), PortId(10), Tick(0), NO_LIMIT);
    assert!(!fdb.slot_matches(slot, 1, mac(1), PortId(10)));
    assert!(fdb.slot_matches(slot, 1, mac(2), PortId(10)));
}

#[test]
fn a_read_beside_a_writer_is_whole_or_nothing() {
    let (fdb, mut writer) = table(1);
    writer.learn(1, mac(1), PortId(10), Tick(0), NO_LIMIT);
    let moved = fdb.slots[0].read_between(|| {
        writer.learn(1, mac(1), PortId(11), Tick(0), NO_LIMIT);
    });
    assert_eq!(moved, Some((1, mac(1), PortId(11))));
    let refilled = fdb.slots[0].read_between(|| {
        writer.forget(1, mac(1));
        writer.learn(2, mac(2), PortId(20), Tick(0), NO_LIMIT);
    });
    assert_eq!(refilled, None);
    // The same MAC in another domain: only the generation tells.
    let refilled = fdb.slots[0].read_between(|| {
        writer.forget(2, mac(2));
        writer.learn(3, mac(2), PortId(30), Tick(0), NO_LIMIT);
    });
    assert_eq!(refilled, None);
    let forgotten = fdb.slots[0].read_between(|| {
        writer.forget(3, mac(2));
    });
    assert_eq!(forgotten, None);
    let filled = fdb.slots[0].read_between(|| {
        writer.learn(1, mac(1), PortId(10), Tick(0), NO_LIMIT);
    });
    assert_eq!(filled, None);
}

#[test]
fn forgets_by_port_and_by_domain() {
    let (fdb, mut writer) = table(20);
    for number in 0..12u32 {
        let (domain, port) = (number % 3, PortId(number % 4));
        writer.learn(domain, mac(number.into()), port, Tick(0), NO_LIMIT);
    }
    assert_eq!(writer.forget_port(PortId(2)), 3);
    assert_eq!(writer.forget_port(PortId(2)), 0);
    assert!(fdb.iter().all(|entry| entry.port != PortId(2)));
    assert_eq!(writer.retain_domains(|domain| domain == 1), 6);
    assert_eq!(fdb.changes(), 9);
    let mut left: Vec<_> = fdb.iter().map(|e| e.mac.to_u64() & 0xff).collect();
    left.sort();
    assert_eq!(left, [1, 4, 7]);
    assert_eq!(
        (writer.len(), writer.domain_len(1), writer.domain_len(0)),
        (3, 3, 0)
    );
}

#[test]
fn ages_by_domain_from_the_last_use() {
    let (fdb, mut writer) = table(8);
    let start = Tick(u32::MAX - 50); // ages across the wrap
    for (domain, number) in [(1, 1), (1, 2), (2, 3), (3, 4)] {
        writer.learn(domain, mac(number), PortId(1), start, NO_LIMIT);
    }
    let age = |domain| match domain {
        1 => 100,
        2 => 200,
        _ => 0,
    };
    assert_eq!(writer.expire(start.plus(99), age, 8), 0);
    fdb.mark_used(fdb.lookup(1, mac(2)).unwrap().slot, start.plus(60));
    assert_eq!(writer.expire(start.plus(100), age, 8), 1);
    assert_eq!(port_of(&fdb, 1, 1), None);
    assert_eq!(writer.expire(start.plus(159), age, 8), 0);
    assert_eq!(writer.expire(start.plus(160), age, 8), 1);
    assert_eq!(writer.expire(start.plus(200), age, 8), 1);
    assert_eq!(writer.expire(start.plus(1 << 30), age, 8), 0);
    assert_eq!(port_of(&fdb, 3, 4), Some(1));
    assert_eq!(fdb.changes(), 3);
}

#[test]
fn a_use_in_the_near_future_is_not_old() {
    let (fdb, mut writer) = table(1);
    writer.learn(1, mac(1), PortId(1), Tick(1_000), NO_LIMIT);
    assert_eq!(writer.expire(Tick(990), |_| 100, 1), 0);
    // A worker whose clock is behind does not turn the use back.
    fdb.mark_used(0, Tick(995));
    assert_eq!(fdb.iter().next().unwrap().used, Tick(1_000));
    // Far from it, the record is older than half the clock's range and does not count.
    fdb.mark_used(0, Tick(1_000 + (1 << 31) + 5));
    assert_eq!(fdb.iter().next().unwrap().used, Tick(1_000 + (1 << 31) + 5));
}

#[test]
fn expiry_keeps_to_its_budget_and_gets_around() {
    let (_, mut writer) = table(100);
    for number in 0..90 {
        writer.learn(1, mac(number), PortId(1), Tick(0), NO_LIMIT);
    }
    let forgotten: Vec<u32> = (0..10)
        .map(|_| writer.expire(Tick(500), |_| 100, 10))
        .collect();
    assert_eq!(forgotten, [10, 10, 10, 10, 10, 10, 10, 10, 10, 0]);
    assert!(writer.is_empty());
}

#[test]
fn fills_to_capacity_and_again() {
    let (fdb, mut writer) = table(5_000);
    for round in 0..3u32 {
        for number in 0..5_000 {
            let learned = writer.learn(round, mac(number), PortId(7), Tick(0), NO_LIMIT);
            assert_eq!(learned, Learned::New);
        }
        let learned = writer.learn(round, mac(5_000), PortId(7), Tick(0), NO_LIMIT);
        assert_eq!(learned, Learned::Full);
        assert!((0..5_000).all(|number| port_of(&fdb, round, number) == Some(7)));
        assert_eq!(writer.retain_domains(|_| false), 5_000);
        assert!((0..5_000).all(|number| port_of(&fdb, round, number).is_none()));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Learn { domain: u32, number: u64, port: u32 },
    Forget { domain: u32, number: u64 },
    ForgetPort(u32),
    RetainDomain(u32),
    Use { domain: u32, number: u64 },
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    let (domain, number, port) = (0..3u32, 0..12u64, 0..4u32);
    prop_oneof![
        12 => (domain.clone(), number.clone(), port.clone())
            .prop_map(|(domain, number, port)| Op::Learn { domain, number, port }),
        4 => (domain.clone(), number.clone())
            .prop_map(|(domain, number)| Op::Forget { domain, number }),
        1 => port.prop_map(Op::ForgetPort),
        1 => domain.clone().prop_map(Op::RetainDomain),
        4 => (domain, number).prop_map(|(domain, number)| Op::Use { domain, number }),
        2 => Just(Op::Expire),
    ]
}

const MODEL_CAPACITY: usize = 10;
const MODEL_LIMIT: u32 = 5;
const MODEL_AGE: u32 = 12;

/// What the table should hold, said in the plainest way.
#[derive(Default)]
struct Model {
    entries: HashMap<(u32, u64), (u32, u32)>,
    changes: u64,
}

impl Model {
    fn learn(&mut self, domain: u32, number: u64, port: u32, now: u32) -> Learned {
        let (size, in_domain) = (
            self.entries.len(),
            self.entries.keys().filter(|key| key.0 == domain).count(),
        );
        match self.entries.get_mut(&(domain, number)) {
            Some(entry) => {
                let from = std::mem::replace(entry, (port, now)).0;
                if from == port {
                    return Learned::Refreshed;
                }
                self.changes += 1;
                return Learned::Moved { from: PortId(from) };
            }
            None if in_domain >= MODEL_LIMIT as usize => return Learned::DomainFull,
            None if size >= MODEL_CAPACITY => return Learned::Full,
            None => self.entries.insert((domain, number), (port, now)),
        };
        Learned::New
    }

    fn retain(&mut self, keep: impl Fn(u32, u64, u32, u32) -> bool) -> u32 {
        let before = self.entries.len();
        self.entries
            .retain(|key, value| keep(key.0, key.1, value.0, value.1));
        let gone = before - self.entries.len();
        self.changes += gone as u64;
        gone as u32
    }
}

fn apply(op: Op, now: u32, fdb: &Fdb, writer: &mut FdbWriter, model: &mut Model) {
    match op {
        Op::Learn {
            domain,
            number,
            port,
        } => {
            let tick = Tick(now);
            let learned = writer.learn(domain, mac(number), PortId(port), tick, MODEL_LIMIT);
            assert_eq!(learned, model.learn(domain, number, port, now));
        }
        Op::Forget { domain, number } => {
            let gone = model.retain(|d, n, _, _| (d, n) != (domain, number));
            assert_eq!(writer.forget(domain, mac(number)), gone == 1);
        }
        Op::ForgetPort(port) => {
            let gone = model.retain(|_, _, p, _| p != port);
            assert_eq!(writer.forget_port(PortId(port)), gone);
        }
        Op::RetainDomain(domain) => {
            let gone = model.retain(|d, _, _, _| d == domain);
            assert_eq!(writer.retain_domains(|d| d == domain), gone);
        }
        Op::Use { domain, number } => {
            if let Some(hit) = fdb.lookup(domain, mac(number)) {
                fdb.mark_used(hit.slot, Tick(now));
            }
            if let Some(entry) = model.entries.get_mut(&(domain, number)) {
                entry.1 = now;
            }
        }
        Op::Expire => {
            let gone = model.retain(|_, _, _, used| now - used < MODEL_AGE);
            assert_eq!(
                writer.expire(Tick(now), |_| MODEL_AGE, MODEL_CAPACITY),
                gone
            );
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map(ops in prop::collection::vec(op(), 1..150)) {
        let (fdb, mut writer) = table(MODEL_CAPACITY);
        let mut model = Model::default();
        for (now, op) in (0..).zip(ops) {
            apply(op, now, &fdb, &mut writer, &mut model);
            prop_assert_eq!(fdb.changes(), model.changes);
            prop_assert_eq!(writer.len() as usize, model.entries.len());
            for domain in 0..3 {
                let count = model.entries.keys().filter(|key| key.0 == domain).count();
                prop_assert_eq!(writer.domain_len(domain) as usize, count);
                for number in 0..12 {
                    let expected = model.entries.get(&(domain, number)).map(|entry| entry.0);
                    prop_assert_eq!(port_of(&fdb, domain, number), expected);
                }
            }
        }
        let shown: BTreeMap<_, _> = fdb
            .iter()
            .map(|e| ((e.domain, e.mac), (e.port.0, e.used.0)))
            .collect();
        let expected: BTreeMap<_, _> = model
            .entries
            .iter()
            .map(|(key, value)| ((key.0, mac(key.1)), *value))
            .collect();
        prop_assert_eq!(shown, expected);
    }
}

/// A port that tells whose it is: readers can check every answer. The lowest bit is free for moves.
fn own_port(domain: u32, number: u64, variant: u32) -> PortId {
    PortId(domain << 16 | (number as u32) << 1 | variant & 1)
}

/// Looks up everything until told to stop, and once at least.
fn read_all(fdb: &Fdb, residents: u64, stop: &AtomicBool) {
    let mut done = false;
    while !done {
        done = stop.load(Ordering::Relaxed);
        for number in 0..residents {
            assert!(
                fdb.lookup(9, mac(number)).is_some(),
                "resident {number} missed"
            );
        }
        for (domain, number) in (0..3).flat_map(|d| (0..40).map(move |n| (d, n))) {
            if let Some(hit) = fdb.lookup(domain, mac(number)) {
                let own = own_port(domain, number, 0).0;
                assert_eq!(hit.port.0 & !1, own, "{domain} {number}");
                fdb.mark_used(hit.slot, Tick(1));
            }
        }
        for entry in fdb.iter() {
            let number = entry.mac.to_u64() & 0xffff;
            assert_eq!(entry.port.0 & !1, own_port(entry.domain, number, 0).0);
        }
    }
}

/// Stops the readers when the writer is done, also when it panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_never_see_mixed_entries() {
    const RESIDENTS: u64 = 16;
    // Few more slots than residents, so that slots are filled again at once.
    let (fdb, mut writer) = table(RESIDENTS as usize + 6);
    for number in 0..RESIDENTS {
        writer.learn(9, mac(number), own_port(9, number, 0), Tick(0), NO_LIMIT);
    }
    let stop = AtomicBool::new(false);
    let start = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                read_all(&fdb, RESIDENTS, &stop);
            });
        }
        start.wait();
        let _stop = Stop(&stop);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..200_000u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (domain, number) = ((random % 3) as u32, random >> 8 & 0x1f);
            if random >> 40 & 3 == 0 {
                writer.forget(domain, mac(number));
            } else {
                let port = own_port(domain, number, round);
                if writer.learn(domain, mac(number), port, Tick(0), NO_LIMIT) == Learned::Full {
                    writer.retain_domains(|domain| domain == 9);
                }
            }
        }
    });
    assert!(fdb.changes() > 1_000);
}
