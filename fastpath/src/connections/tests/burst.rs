use super::*;

#[test]
fn a_burst_answers_as_single_look_ups_do() {
    let table = table(5000, 1);
    let mut worker = worker(&table, 0);
    for n in 0..5000 {
        worker.insert(&snat(n, State::UdpNew), START).unwrap();
    }
    for n in (0..5000).step_by(3) {
        let conn = find(&table, &snat(n, State::UdpNew).original).unwrap().conn;
        worker.close(conn).unwrap();
    }
    let keys: Vec<FlowKey<Addr>> = (0..5100)
        .flat_map(|n| {
            let new = snat(n, State::UdpNew);
            [new.original, new.reply]
        })
        .collect();
    let hashes: Vec<u32> = keys.iter().map(|key| table.hash(key)).collect();
    let single: Vec<Option<Hit>> = keys
        .iter()
        .zip(&hashes)
        .map(|(key, hash)| table.lookup(key, *hash))
        .collect();
    assert_eq!(single.iter().flatten().count(), 2 * (5000 - 1667));
    for size in [1, 2, 31, 32, 33, 64, 257] {
        let mut out = vec![None; keys.len()];
        let mut told = vec![0; keys.len()];
        for ((keys, hashes), out) in keys
            .chunks(size)
            .zip(told.chunks_mut(size))
            .zip(out.chunks_mut(size))
        {
            table.lookup_burst(keys, hashes, out, |_| {});
        }
        assert!(out == single, "bursts of {size}");
        assert!(told == hashes, "hashes of bursts of {size}");
    }
    let mut short = [None; 3];
    table.lookup_burst(&keys[2..], &mut [0; 3], &mut short, |_| {});
    assert_eq!(short, single[2..5]);
}
