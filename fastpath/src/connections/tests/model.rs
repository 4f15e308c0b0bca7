//! The table against a map that is right by being simple.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::connections::state::Standing;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Original and reply keys from a small set, so that conflicts are common.
    Insert(u32, u32, State),
    Touch(u32, Direction, u8),
    Close(u32),
    Expire(u32),
    Look(u32),
}

struct Life {
    new: NewConnection,
    state: State,
    last: Tick,
    packets: [u64; 2],
}

struct Model {
    table: Arc<Table<Addr>>,
    worker: Writer<Addr>,
    now: Tick,
    lives: HashMap<ConnRef, Life>,
    keys: HashMap<FlowKey<Addr>, (ConnRef, Direction)>,
}

impl Model {
    fn new(capacity: usize) -> Model {
        let table = table(capacity, 1);
        let worker = worker(&table, 0);
        Model {
            table,
            worker,
            now: START,
            lives: HashMap::new(),
            keys: HashMap::new(),
        }
    }

    fn apply(&mut self, op: Op) {
        self.now = self.now.plus(7);
        match op {
            Op::Insert(original, reply, state) => self.insert(original, reply, state),
            Op::Touch(n, direction, flags) => self.touch(n, direction, TcpFlags(flags)),
            Op::Close(n) => self.close(n),
            Op::Expire(ms) => self.expire(ms),
            Op::Look(n) => {
                self.look(&snat(n, State::UdpNew).original);
                self.look(&snat(n, State::UdpNew).reply);
            }
        }
        assert_eq!(self.table.len(), self.lives.len());
    }

    fn forget(keys: &mut HashMap<FlowKey<Addr>, (ConnRef, Direction)>, life: &Life) {
        assert!(
            keys.remove(&life.new.original).is_some() && keys.remove(&life.new.reply).is_some()
        );
    }

    fn insert(&mut self, original: u32, reply: u32, state: State) {
        // One protocol for all, so that keys of different states meet.
        let keys = (
            snat(original, State::UdpNew).original,
            snat(reply, State::UdpNew).reply,
        );
        let new = NewConnection {
            original: keys.0,
            reply: keys.1,
            ..snat(original, state)
        };
        let (has_original, has_reply) = (
            self.keys.contains_key(&keys.0),
            self.keys.contains_key(&keys.1),
        );
        let full = self.lives.len() == self.table.capacity();
        let standings = self.lives.values().map(|life| life.state.standing());
        let lowest = if full { standings.min() } else { None };
        match self.worker.insert(&new, self.now) {
            Ok(Inserted { conn, evicted }) => {
                assert!(!has_original && !has_reply);
                assert_eq!(evicted.is_some(), full);
                if let Some(gone) = evicted {
                    let life = self.lives.remove(&gone.conn).unwrap();
                    // Half-open ones first, but for those whose answer may be under way while others have ended.
                    let now = self.now;
                    let fresh = |life: &Life| {
                        life.state.standing() == Standing::HalfOpen && now.since(life.last) < 1_000
                    };
                    let ended = life.state.standing() == Standing::Ended;
                    assert!(
                        Some(life.state.standing()) == lowest
                            || ended && self.lives.values().any(fresh)
                    );
                    assert_ne!(life.state.standing(), Standing::Confirmed);
                    Model::forget(&mut self.keys, &life);
                }
                self.keys.insert(keys.0, (conn, Direction::Original));
                self.keys.insert(keys.1, (conn, Direction::Reply));
                let life = Life {
                    new,
                    state,
                    last: self.now,
                    packets: [0, 0],
                };
                assert!(self.lives.insert(conn, life).is_none());
            }
            Err(InsertError::DuplicateReply) => assert!(has_reply),
            Err(InsertError::DuplicateOriginal) => assert!(has_original && !has_reply),
            Err(InsertError::TableFull) => {
                assert!(full && !has_reply && !has_original && lowest == Some(Standing::Confirmed));
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn conn(&self, n: u32) -> Option<ConnRef> {
        self.keys
            .get(&snat(n, State::UdpNew).original)
            .map(|(conn, _)| *conn)
    }

    fn touch(&mut self, n: u32, direction: Direction, flags: TcpFlags) {
        let Some(conn) = self.conn(n) else { return };
        let life = self.lives.get_mut(&conn).unwrap();
        let to = life.state.next(direction, flags);
        let touch = touch(&mut self.worker, conn, direction, 10, flags, self.now);
        let expected = if to == life.state {
            Touch::Same
        } else {
            Touch::Changed {
                from: life.state,
                to,
            }
        };
        assert_eq!(touch, expected);
        (life.state, life.last) = (to, self.now);
        life.packets[direction.index()] += 1;
    }

    fn close(&mut self, n: u32) {
        let Some(conn) = self.conn(n) else { return };
        let life = self.lives.remove(&conn).unwrap();
        let copy = self.worker.close(conn).unwrap();
        assert_eq!(
            (copy.original, copy.reply, copy.state),
            (life.new.original, life.new.reply, life.state)
        );
        Model::forget(&mut self.keys, &life);
        assert_eq!(self.worker.close(conn), None);
    }

    fn expire(&mut self, ms: u32) {
        self.now = self.now.plus(ms);
        let Model {
            worker,
            lives,
            keys,
            now,
            ..
        } = self;
        worker.expire(*now, usize::MAX, |gone, why| {
            let life = lives.remove(&gone.conn).unwrap();
            // A refused insertion asks all workers, this one too, to make room.
            match why {
                Ending::Idle => assert!(now.since(life.last) >= Timeouts::default().of(life.state)),
                Ending::Evicted => assert_ne!(life.state.standing(), Standing::Confirmed),
            }
            Model::forget(keys, &life);
        });
        let overdue =
            |life: &Life| now.since(life.last) >= Timeouts::default().of(life.state) + 128;
        assert!(!lives.values().any(overdue));
    }

    fn look(&self, key: &FlowKey<Addr>) {
        let hit = find(&self.table, key);
        assert_eq!(
            hit.map(|hit| (hit.conn, hit.direction)),
            self.keys.get(key).copied()
        );
        assert_eq!(hit.is_some(), self.table.contains(key));
        let Some(hit) = hit else { return };
        let life = &self.lives[&hit.conn];
        assert_eq!(hit.path, life.new.paths[hit.direction.index()]);
        let copy = self.table.read(hit.conn).unwrap();
        assert_eq!(copy.state, life.state);
        assert_eq!(
            (copy.packets, copy.bytes),
            (life.packets, life.packets.map(|count| 10 * count))
        );
        assert_eq!(copy.rewrite(hit.direction), hit.rewrite);
    }

    fn look_at_all(&self) {
        for key in self.keys.keys() {
            self.look(key);
        }
        let mut count = 0;
        self.table.scan(0, usize::MAX, |copy| {
            assert_eq!(copy.original, self.lives[&copy.conn].new.original);
            count += 1;
        });
        assert_eq!(count, self.lives.len());
    }
}

fn state() -> impl Strategy<Value = State> {
    proptest::sample::select(State::ALL.to_vec())
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Original), Just(Direction::Reply)]
}

fn op(keys: u32) -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..keys, 0..keys, state()).prop_map(|(a, b, state)| Op::Insert(a, b, state)),
        4 => (0..keys, direction(), any::<u8>()).prop_map(|(n, d, flags)| Op::Touch(n, d, flags)),
        2 => (0..keys).prop_map(Op::Close),
        1 => (0u32..400_000).prop_map(Op::Expire),
        3 => (0..keys).prop_map(Op::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_equals_the_map(
        capacity in 1usize..20,
        ops in proptest::collection::vec(op(24), 1..300),
    ) {
        let mut model = Model::new(capacity);
        for op in ops {
            model.apply(op);
        }
        model.look_at_all();
    }
}

#[test]
fn a_million_operations_equal_the_map() {
    let mut model = Model::new(3_000);
    let mut dice = Dice(77);
    const KEYS: u32 = 4_000;
    for round in 0..1_000_000 {
        let (n, m) = (dice.roll(KEYS), dice.roll(KEYS));
        let direction = [Direction::Original, Direction::Reply][dice.roll(2) as usize];
        model.apply(match dice.roll(1_000) {
            0..400 => Op::Insert(n, m, State::ALL[dice.roll(17) as usize]),
            400..600 => Op::Touch(n, direction, dice.roll(32) as u8),
            600..750 => Op::Close(n),
            750 => Op::Expire(dice.roll(20_000)),
            _ => Op::Look(n),
        });
        if round % 100_000 == 0 {
            model.look_at_all();
        }
    }
    model.look_at_all();
}
