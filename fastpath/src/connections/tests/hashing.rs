use std::collections::HashMap;

use super::*;
use crate::connections::address::Width;
use crate::connections::hash::HashKeys;
use crate::connections::index::{Index, Reference};

type Family = (&'static str, fn(u32) -> FlowKey<Addr>);

/// Tuples as real networks make them: hardly anything differs from one to the next.
fn families() -> [Family; 5] {
    [
        ("ports of one client", |n| {
            key(
                6,
                0x0a00_0001,
                n as u16,
                0xc000_0201 + (n >> 16),
                443,
                INSIDE,
            )
        }),
        ("clients of one server", |n| {
            key(6, 0x0a00_0000 + n, 40_000, 0xc000_0201, 443, INSIDE)
        }),
        ("every 256th address", |n| {
            key(17, n << 8, 53, 0xc000_0201, 53, INSIDE)
        }),
        ("zones of equal tenants", |n| {
            key(6, 0x0a00_0001, 1000, 0x0a00_0002, 80, Zone(n))
        }),
        ("both addresses", |n| {
            key(
                6,
                0x0a00_0000 | n >> 8,
                1,
                0x0a01_0000 | n & 0xff,
                2,
                INSIDE,
            )
        }),
    ]
}

/// Chi-square over its degrees of freedom: near 1 for balls thrown at random.
fn evenness(hashes: &[u32], cell: impl Fn(u32) -> usize, cells: usize) -> f64 {
    let mut counts = vec![0u32; cells];
    for hash in hashes {
        counts[cell(*hash)] += 1;
    }
    let expected = hashes.len() as f64 / cells as f64;
    let sum: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    sum / (cells - 1) as f64
}

#[test]
fn structured_tuples_spread_in_high_and_low_bits() {
    let table = table(1, 1);
    for (name, family) in families() {
        let hashes: Vec<u32> = (0..1 << 18).map(|n| table.hash(&family(n))).collect();
        let high = evenness(&hashes, |hash| (hash >> 18) as usize, 1 << 14);
        let low = evenness(&hashes, |hash| (hash & 0x3fff) as usize, 1 << 14);
        assert!(
            (0.95..1.05).contains(&high) && (0.95..1.05).contains(&low),
            "{name}: {high} {low}"
        );
        let distinct: std::collections::HashSet<&u32> = hashes.iter().collect();
        assert!(
            hashes.len() - distinct.len() < 30,
            "{name}: expected about 8 collisions of 32 bits"
        );
    }
}

#[test]
fn every_bit_of_a_key_moves_every_bit_of_the_hash() {
    let table = table(1, 1);
    let mut dice = Dice(1);
    let bits = size_of::<<Addr as Width>::Words>() * 8;
    let mut flips = vec![[0u32; 32]; bits];
    const ROUNDS: u32 = 2000;
    for _ in 0..ROUNDS {
        let words: <Addr as Width>::Words = std::array::from_fn(|_| hash::split_mix(&mut dice.0));
        let base = table.hash(&Addr::unpack(words));
        for (bit, counts) in flips.iter_mut().enumerate() {
            let mut other = words;
            other[bit / 64] ^= 1 << (bit % 64);
            let difference = base ^ table.hash(&Addr::unpack(other));
            for (out, count) in counts.iter_mut().enumerate() {
                *count += difference >> out & 1;
            }
        }
    }
    for (bit, counts) in flips.iter().enumerate() {
        for (out, count) in counts.iter().enumerate() {
            let share = f64::from(*count) / f64::from(ROUNDS);
            assert!(
                (0.42..0.58).contains(&share),
                "key bit {bit}, hash bit {out}: {share}"
            );
        }
    }
}

#[test]
fn collisions_of_one_seed_are_none_of_another_and_xor_does_not_carry_over() {
    let keys = [HashKeys::new(1), HashKeys::new(2)];
    let [one, other] =
        keys.map(|keys| move |key: &FlowKey<Addr>| Addr::hash_words(&keys, Addr::pack(key)));
    let mut seen = HashMap::new();
    let mut pairs = Vec::new();
    for n in 0..1 << 18 {
        let key = families()[0].1(n);
        if let Some(before) = seen.insert(one(&key), key) {
            pairs.push((before, key));
        }
    }
    assert!(pairs.len() > 1);
    assert!(pairs.iter().all(|(a, b)| other(a) != other(b)));

    // A linear hash (CRC) gives the same difference for every base.
    let difference = |base: u32| one(&families()[1].1(base)) ^ one(&families()[1].1(base ^ 1));
    let distinct: std::collections::HashSet<u32> = (0..1000).map(|n| difference(2 * n)).collect();
    assert!(distinct.len() > 990);
}

#[test]
fn a_full_table_spills_little_and_refuses_nothing() {
    const CAPACITY: u32 = 1 << 16;
    let table = table(CAPACITY as usize, 1);
    let mut worker = worker(&table, 0);
    for n in 0..CAPACITY {
        worker.insert(&snat(n, State::UdpAssured), START).unwrap();
    }
    let (near, far) = table.index.spilled();
    let keys = u64::from(2 * CAPACITY);
    assert!(
        near + far < keys / 30,
        "{near} + {far} of {keys} keys are not at home"
    );
    assert!(far < keys / 500, "{far} of {keys} keys are far from home");
    assert!((0..CAPACITY).all(|n| find(&table, &snat(n, State::UdpAssured).reply).is_some()));
    for n in 0..CAPACITY {
        let conn = find(&table, &snat(n, State::UdpAssured).original)
            .unwrap()
            .conn;
        worker.close(conn).unwrap();
    }
    assert_eq!(
        table.index.spilled(),
        (0, 0),
        "what spilled has been counted back"
    );
}

#[test]
fn keys_of_one_bucket_fill_it_and_what_is_behind_and_then_are_refused() {
    let index = Index::new(4_000_000);
    let reference = |slot| Reference {
        slot,
        direction: Direction::Original,
    };
    let find = |slot: u32| index.find(42, |found| (found.slot == slot).then_some(found));
    // 7 at home, 7 in the secondary, 56 far.
    for slot in 0..70 {
        index.insert(42, reference(slot), |_| false).unwrap();
    }
    assert_eq!(index.spilled(), (7, 56));
    assert_eq!(
        index.insert(42, reference(70), |_| false),
        Err(crate::connections::index::Refusal::Full)
    );
    assert!((0..70).all(|slot| find(slot) == Some(reference(slot))) && find(70).is_none());
    let duplicate = index.insert(42, reference(70), |other| other.slot == 69);
    assert_eq!(
        duplicate,
        Err(crate::connections::index::Refusal::Duplicate),
        "found far from home"
    );
    for slot in (0..70).rev() {
        assert!(index.remove(42, reference(slot)) && !index.remove(42, reference(slot)));
        assert!(find(slot).is_none() && (0..slot).all(|slot| find(slot).is_some()));
    }
    assert_eq!(index.spilled(), (0, 0));
}
