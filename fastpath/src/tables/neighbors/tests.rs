use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;

use proptest::prelude::*;

use super::*;
use NeighborState::{Failed, Incomplete, Probe, Reachable, Stale, Static};

const PORT: PortId = PortId(7);

fn table(capacity: usize) -> (Arc<Neighbors>, NeighborWriter) {
    let neighbors = Arc::new(Neighbors::new(capacity));
    let writer = Neighbors::writer(&neighbors).unwrap();
    (neighbors, writer)
}

fn mac(number: u64) -> Mac {
    Mac::from_u64(0x0200_0000_0000 | number)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Half of them IPv4.
fn nth_ip(number: u32) -> IpAddr {
    if number.is_multiple_of(2) {
        Ipv4Addr::from_bits(0x0a00_0000 | number).into()
    } else {
        Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(number)).into()
    }
}

#[test]
fn there_is_one_writer() {
    let (neighbors, writer) = table(1);
    assert!(Neighbors::writer(&neighbors).is_none());
    drop(writer);
    assert!(Neighbors::writer(&neighbors).is_none());
}

#[test]
fn resolves_only_in_states_with_a_mac() {
    let (neighbors, mut writer) = table(4);
    let addr = ip("10.0.0.1");
    let slot = writer.insert_incomplete(PORT, addr, Tick(3)).unwrap();
    assert_eq!(neighbors.lookup(PORT, addr), Some(slot));
    assert_eq!(neighbors.state(slot), Some(Incomplete));
    for (state, usable) in [
        (Reachable, true),
        (Incomplete, false),
        (Stale, true),
        (Failed, false),
        (Probe, true),
        (Static, true),
    ] {
        assert_eq!(
            writer.set(PORT, addr, mac(1), state, Tick(4)),
            Ok(slot),
            "{state:?}"
        );
        let expected = usable.then_some(mac(1));
        assert_eq!(state.has_mac(), usable, "{state:?}");
        assert_eq!(neighbors.lookup(PORT, addr), Some(slot), "{state:?}");
        assert_eq!(neighbors.state(slot), Some(state));
        assert_eq!(neighbors.mac(slot), expected, "{state:?}");
        assert_eq!(
            neighbors.resolve(PORT, addr),
            expected.map(|mac| (slot, mac)),
            "{state:?}"
        );
    }
    assert_eq!(neighbors.changes(), 5, "given three times, lost twice");
}

#[test]
fn keys_are_told_apart() {
    let (neighbors, mut writer) = table(8);
    let keys = [
        (PortId(1), ip("10.0.0.1")),
        (PortId(2), ip("10.0.0.1")),
        (PortId(1), ip("10.0.0.2")),
        (PortId(1), ip("::ffff:10.0.0.1")),
        (PortId(1), ip("::10.0.0.1")),
        (PortId(u32::MAX), ip("10.0.0.1")),
        (PortId(1), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
    ];
    for (number, (port, addr)) in (0..).zip(keys) {
        assert_eq!(neighbors.resolve(port, addr), None);
        writer
            .set(port, addr, mac(number), Reachable, Tick(9))
            .unwrap();
    }
    for (number, (port, addr)) in (0..).zip(keys) {
        let (slot, found) = neighbors.resolve(port, addr).unwrap();
        assert_eq!(found, mac(number), "{port:?} {addr}");
        let neighbor = neighbors.get(slot).unwrap();
        assert_eq!((neighbor.port, neighbor.ip), (port, addr));
    }
    assert_eq!(neighbors.lookup(PortId(1), ip("::")), None);
    assert_eq!(writer.len(), 7);
    assert_eq!(writer.port_len(PortId(1)), 5);
}

#[test]
fn a_mac_is_edited_in_place() {
    let (neighbors, mut writer) = table(4);
    let addr = ip("fe80::1");
    let slot = writer.set(PORT, addr, mac(1), Reachable, Tick(1)).unwrap();
    assert_eq!(writer.set(PORT, addr, mac(1), Probe, Tick(2)), Ok(slot));
    assert_eq!(neighbors.changes(), 0, "the MAC is the same");
    assert_eq!(writer.set(PORT, addr, mac(2), Stale, Tick(5)), Ok(slot));
    assert_eq!(neighbors.mac(slot), Some(mac(2)));
    assert_eq!(neighbors.changes(), 1, "those who hold the MAC look again");
    assert!(writer.set_state(slot, Probe));
    let expected = Neighbor {
        port: PORT,
        ip: addr,
        mac: Some(mac(2)),
        state: Probe,
        updated: Tick(5),
        used: Tick(1),
    };
    assert_eq!(neighbors.get(slot), Some(expected));
    assert_eq!(neighbors.iter().collect::<Vec<_>>(), [(slot, expected)]);
    assert_eq!(writer.iter().collect::<Vec<_>>(), [(slot, expected)]);
}

#[test]
fn no_state_makes_up_a_mac() {
    let (neighbors, mut writer) = table(4);
    let addr = ip("10.0.0.1");
    let slot = writer.insert_incomplete(PORT, addr, Tick(0)).unwrap();
    for state in [Reachable, Stale, Probe, Static] {
        assert!(!writer.set_state(slot, state), "{state:?}");
        assert_eq!(neighbors.state(slot), Some(Incomplete));
    }
    writer.set(PORT, addr, mac(1), Reachable, Tick(1)).unwrap();
    assert!(writer.set_state(slot, Failed));
    assert!(!writer.set_state(slot, Reachable));
    assert!(writer.set_state(slot, Incomplete));
    assert_eq!(neighbors.mac(slot), None);
}

#[test]
fn inserting_again_changes_nothing() {
    let (neighbors, mut writer) = table(4);
    let addr = ip("10.0.0.1");
    let slot = writer.set(PORT, addr, mac(1), Static, Tick(1)).unwrap();
    let before = neighbors.get(slot);
    assert_eq!(writer.insert_incomplete(PORT, addr, Tick(9)), Ok(slot));
    assert_eq!(neighbors.get(slot), before);
    assert_eq!(writer.len(), 1);
}

#[test]
fn a_removed_slot_reads_nothing_even_when_given_again() {
    let (neighbors, mut writer) = table(1);
    let (first, second) = (ip("10.0.0.1"), ip("10.0.0.2"));
    let old = writer.set(PORT, first, mac(1), Reachable, Tick(1)).unwrap();
    assert!(writer.remove(old));
    assert_eq!(neighbors.changes(), 1);
    for filled in [false, true] {
        if filled {
            let new = writer
                .set(PORT, second, mac(2), Reachable, Tick(2))
                .unwrap();
            assert_ne!(new, old);
        }
        assert_eq!(neighbors.lookup(PORT, first), None);
        assert_eq!(neighbors.mac(old), None);
        assert_eq!(neighbors.state(old), None);
        assert_eq!(neighbors.get(old), None);
        assert_eq!(neighbors.used(old), None);
        neighbors.mark_used(old, Tick(99));
        assert!(!writer.set_state(old, Stale));
        assert!(!writer.remove(old));
    }
    assert_eq!(neighbors.resolve(PORT, second).unwrap().1, mac(2));
    assert_eq!(neighbors.iter().next().unwrap().1.used, Tick(2));
    assert_eq!((neighbors.changes(), writer.len()), (1, 1));
}

#[test]
fn a_read_beside_a_writer_is_whole_or_nothing() {
    let (neighbors, mut writer) = table(1);
    let (first, second) = (ip("10.0.0.1"), ip("fe80::1"));
    let old = writer.set(PORT, first, mac(1), Reachable, Tick(0)).unwrap();
    let entry = &neighbors.slots[0];
    let edited = entry.read_between(|| {
        writer.set(PORT, first, mac(2), Stale, Tick(0)).unwrap();
    });
    let (word, read_key) = edited.unwrap();
    assert_eq!((word.mac(), read_key), (Some(mac(2)), key(PORT, first)));
    let refilled = entry.read_between(|| {
        writer.remove(old);
        writer.set(PORT, second, mac(2), Stale, Tick(0)).unwrap();
    });
    assert_eq!(refilled, None);
    let removed = entry.read_between(|| {
        writer.retain(|_, _| false);
    });
    assert_eq!(removed, None);
    let filled = entry.read_between(|| {
        writer.set(PORT, first, mac(1), Reachable, Tick(0)).unwrap();
    });
    assert_eq!(filled, None);
}

#[test]
fn generations_wrap() {
    let (neighbors, mut writer) = table(1);
    let mut last = None;
    for number in 0..20_000u32 {
        let slot = writer
            .set(PORT, nth_ip(number), mac(5), Stale, Tick(0))
            .unwrap();
        assert_ne!(last, Some(slot));
        assert_eq!(neighbors.mac(slot), Some(mac(5)));
        assert_eq!(neighbors.state(slot), Some(Stale));
        assert!(writer.remove(slot));
        last = Some(slot);
    }
}

#[test]
fn use_is_recorded() {
    let (neighbors, mut writer) = table(2);
    let slot = writer
        .insert_incomplete(PORT, ip("10.0.0.1"), Tick(100))
        .unwrap();
    assert_eq!(neighbors.used(slot), Some(Tick(100)));
    neighbors.mark_used(slot, Tick(101));
    assert_eq!(neighbors.used(slot), Some(Tick(101)));
    neighbors.mark_used(slot, Tick(99));
    assert_eq!(
        neighbors.used(slot),
        Some(Tick(101)),
        "a worker behind turns nothing back"
    );
    neighbors.mark_used(slot, Tick(50_000));
    assert_eq!(neighbors.used(slot), Some(Tick(50_000)));
    // Unused for more than half the clock's range.
    neighbors.mark_used(slot, Tick(50_000 + (3 << 30)));
    assert_eq!(neighbors.used(slot), Some(Tick(50_000 + (3 << 30))));
}

#[test]
fn limits_are_per_port_and_spare_static_neighbors() {
    let (_, mut writer) = table(6);
    writer.set_port_limit(2);
    let now = Tick(0);
    let slot = writer.insert_incomplete(PORT, nth_ip(0), now).unwrap();
    writer.set(PORT, nth_ip(1), mac(1), Reachable, now).unwrap();
    assert_eq!(
        writer.insert_incomplete(PORT, nth_ip(2), now),
        Err(Full::Port)
    );
    assert_eq!(
        writer.set(PORT, nth_ip(2), mac(1), Stale, now),
        Err(Full::Port)
    );
    assert_eq!(writer.set(PORT, nth_ip(0), mac(1), Stale, now), Ok(slot));
    writer.set(PORT, nth_ip(3), mac(1), Static, now).unwrap();
    writer.insert_incomplete(PortId(8), nth_ip(2), now).unwrap();
    assert!(writer.remove(slot));
    assert_eq!(writer.port_len(PORT), 2);
    assert_eq!(
        writer.insert_incomplete(PORT, nth_ip(2), now),
        Err(Full::Port)
    );
    writer.set_port_limit(9);
    writer.insert_incomplete(PORT, nth_ip(2), now).unwrap();
    writer.insert_incomplete(PORT, nth_ip(4), now).unwrap();
    writer.insert_incomplete(PORT, nth_ip(5), now).unwrap();
    assert_eq!(
        writer.insert_incomplete(PORT, nth_ip(6), now),
        Err(Full::Table)
    );
    assert_eq!(
        writer.set(PORT, nth_ip(6), mac(1), Static, now),
        Err(Full::Table)
    );
}

#[test]
fn retain_removes_what_is_refused() {
    let (neighbors, mut writer) = table(10);
    for number in 0..10 {
        let port = PortId(number % 3);
        writer
            .set(port, nth_ip(number), mac(number.into()), Stale, Tick(0))
            .unwrap();
    }
    assert_eq!(writer.retain(|_, neighbor| neighbor.port == PortId(1)), 7);
    assert_eq!(neighbors.changes(), 7);
    assert_eq!(
        (writer.port_len(PortId(0)), writer.port_len(PortId(1))),
        (0, 3)
    );
    for number in 0..10 {
        let found = neighbors.resolve(PortId(number % 3), nth_ip(number));
        assert_eq!(
            found.map(|(_, mac)| mac),
            (number % 3 == 1).then_some(mac(number.into()))
        );
    }
    assert!(!writer.is_empty());
    assert_eq!(writer.retain(|slot, _| neighbors.get(slot).is_none()), 3);
    assert!(writer.is_empty());
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u32),
    Set(u32, u32, u64, NeighborState),
    SetState(u32, u32, NeighborState),
    Remove(u32, u32),
    Use(u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let (port, number) = (0..3u32, 0..6u32);
    let key = (port, number);
    let state = prop::sample::select(NeighborState::ALL.as_slice());
    prop_oneof![
        key.clone().prop_map(|(port, ip)| Op::Insert(port, ip)),
        (key.clone(), any::<u64>(), state.clone()).prop_map(|((port, ip), mac, state)| Op::Set(
            port,
            ip,
            mac >> 16,
            state
        )),
        (key.clone(), state).prop_map(|((port, ip), state)| Op::SetState(port, ip, state)),
        key.clone().prop_map(|(port, ip)| Op::Remove(port, ip)),
        key.prop_map(|(port, ip)| Op::Use(port, ip)),
    ]
}

const MODEL_CAPACITY: usize = 9;
const MODEL_LIMIT: u32 = 4;

/// What the table should hold, said in the plainest way.
#[derive(Default)]
struct Model(HashMap<(u32, u32), Neighbor>);

impl Model {
    fn room(&self, port: u32, state: NeighborState) -> Result<(), Full> {
        let on_port = self.0.keys().filter(|key| key.0 == port).count() as u32;
        if state != Static && on_port >= MODEL_LIMIT {
            return Err(Full::Port);
        }
        if self.0.len() >= MODEL_CAPACITY {
            return Err(Full::Table);
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: (u32, u32),
        mac: u64,
        state: NeighborState,
        now: Tick,
    ) -> Result<(), Full> {
        let used = match self.0.get(&key) {
            Some(neighbor) => neighbor.used,
            None => self.room(key.0, state).map(|()| now)?,
        };
        let neighbor = Neighbor {
            port: PortId(key.0),
            ip: nth_ip(key.1),
            mac: state.has_mac().then_some(Mac::from_u64(mac)),
            state,
            updated: now,
            used,
        };
        self.0.insert(key, neighbor);
        Ok(())
    }

    fn set_state(&mut self, key: (u32, u32), state: NeighborState) -> bool {
        match self.0.get_mut(&key) {
            Some(neighbor) if neighbor.mac.is_some() || !state.has_mac() => {
                neighbor.state = state;
                neighbor.mac = neighbor.mac.filter(|_| state.has_mac());
                true
            }
            _ => false,
        }
    }
}

fn apply(op: Op, now: Tick, writer: &mut NeighborWriter, model: &mut Model) {
    let neighbors = Arc::clone(writer.table());
    let slot = |port, number| neighbors.lookup(PortId(port), nth_ip(number));
    match op {
        Op::Insert(port, number) => {
            let done = writer.insert_incomplete(PortId(port), nth_ip(number), now);
            let expected = match model.0.contains_key(&(port, number)) {
                true => Ok(()),
                false => model.set((port, number), 0, Incomplete, now),
            };
            assert_eq!(done.map(|_| ()), expected);
        }
        Op::Set(port, number, mac, state) => {
            let done = writer.set(PortId(port), nth_ip(number), Mac::from_u64(mac), state, now);
            assert_eq!(done.map(|_| ()), model.set((port, number), mac, state, now));
        }
        Op::SetState(port, number, state) => {
            let done = slot(port, number).is_some_and(|slot| writer.set_state(slot, state));
            assert_eq!(done, model.set_state((port, number), state));
        }
        Op::Remove(port, number) => {
            let done = slot(port, number).is_some_and(|slot| writer.remove(slot));
            assert_eq!(done, model.0.remove(&(port, number)).is_some());
        }
        Op::Use(port, number) => {
            if let Some(slot) = slot(port, number) {
                neighbors.mark_used(slot, now);
            }
            if let Some(neighbor) = model.0.get_mut(&(port, number)) {
                neighbor.used = now;
            }
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map(ops in prop::collection::vec(op(), 1..150)) {
        let (neighbors, mut writer) = table(MODEL_CAPACITY);
        writer.set_port_limit(MODEL_LIMIT);
        let mut model = Model::default();
        let mut slots: HashMap<(u32, u32), Slot> = HashMap::new();
        for (now, op) in (0..).zip(ops) {
            apply(op, Tick(now), &mut writer, &mut model);
            prop_assert_eq!(writer.len() as usize, model.0.len());
            for key in (0..3).flat_map(|port| (0..6).map(move |ip| (port, ip))) {
                let slot = neighbors.lookup(PortId(key.0), nth_ip(key.1));
                let expected = model.0.get(&key).copied();
                prop_assert_eq!(slot.and_then(|slot| neighbors.get(slot)), expected);
                let usable = neighbors.resolve(PortId(key.0), nth_ip(key.1));
                prop_assert_eq!(usable.map(|(_, mac)| mac), expected.and_then(|n| n.mac));
                match slot {
                    Some(slot) => {
                        // It never moves while it is there.
                        prop_assert_eq!(*slots.entry(key).or_insert(slot), slot);
                    }
                    None => if let Some(old) = slots.remove(&key) {
                        prop_assert_eq!(neighbors.get(old), None);
                    }
                }
            }
        }
        prop_assert_eq!(neighbors.iter().count(), model.0.len());
    }
}

/// A MAC that tells whose it is, both halves alike so that a torn one shows; `variant` is below 4.
fn own_mac(port: u32, number: u32, variant: u32) -> Mac {
    let half = u64::from(variant << 16 | port << 8 | number);
    Mac::from_u64(half << 24 | half)
}

fn assert_own(mac: Mac, port: u32, number: u32) {
    let whole = mac.to_u64();
    assert_eq!(whole >> 24, whole & 0xff_ffff, "torn {mac:?}");
    assert_eq!(
        whole & 0xffff,
        u64::from(port << 8 | number),
        "of another: {mac:?}"
    );
}

/// Reads by key and by slots held from before, until told to stop, and once at least.
fn read_all(neighbors: &Neighbors, residents: u32, stop: &AtomicBool) {
    let mut held: HashMap<(u32, u32), Slot> = HashMap::new();
    let mut done = false;
    while !done {
        done = stop.load(Ordering::Relaxed);
        for number in 0..residents {
            let found = neighbors.resolve(PortId(9), nth_ip(number));
            assert_own(found.expect("resident missed").1, 9, number);
        }
        for key in (0..3).flat_map(|port| (0..16).map(move |number| (port, number))) {
            if let Some(mac) = held.get(&key).and_then(|slot| neighbors.mac(*slot)) {
                assert_own(mac, key.0, key.1);
            }
            if let Some((slot, mac)) = neighbors.resolve(PortId(key.0), nth_ip(key.1)) {
                assert_own(mac, key.0, key.1);
                neighbors.mark_used(slot, Tick(1));
                held.insert(key, slot);
            }
        }
        for (_, neighbor) in neighbors.iter() {
            if let Some(mac) = neighbor.mac {
                assert_own(mac, neighbor.port.0, (mac.to_u64() & 0xff) as u32);
                assert_eq!(neighbor.ip, nth_ip((mac.to_u64() & 0xff) as u32));
            }
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
fn readers_never_see_mixed_neighbors() {
    const RESIDENTS: u32 = 8;
    // Few more slots than residents, so that slots are filled again at once.
    let (neighbors, mut writer) = table(RESIDENTS as usize + 5);
    for number in 0..RESIDENTS {
        let mac = own_mac(9, number, 0);
        writer
            .set(PortId(9), nth_ip(number), mac, Static, Tick(0))
            .unwrap();
    }
    let stop = AtomicBool::new(false);
    let start = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                read_all(&neighbors, RESIDENTS, &stop);
            });
        }
        start.wait();
        let _stop = Stop(&stop);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        // Fewer than bring a slot its generation again, however long a reader is kept from the processor.
        for round in 0..30_000u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (port, number) = ((random % 3) as u32, (random >> 8 & 0xf) as u32);
            let mac = own_mac(port, number, round & 3);
            let set = writer.set(PortId(port), nth_ip(number), mac, Reachable, Tick(0));
            match set {
                Ok(slot) if random >> 40 & 3 == 0 => assert!(writer.remove(slot)),
                Ok(slot) if random >> 40 & 3 == 1 => assert!(writer.set_state(slot, Failed)),
                Ok(_) => {}
                Err(_) => assert!(writer.retain(|_, n| n.port == PortId(9)) > 0),
            }
        }
    });
    assert!(neighbors.changes() > 1_000);
}
