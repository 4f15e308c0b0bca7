//! In which order flows come: precomputed, so that the generator costs the same whatever the order.

use super::Order;

/// Records of a tape at least: more than the caches next to a core hold, so that reading them costs the same
/// for few flows as for many.
pub const TAPE: u32 = 1 << 18;

/// The flow of each record, `least` of them or more. Uniform orders are random permutations one after the
/// other, so that one lap meets every flow.
pub fn sequence(flows: u32, order: Order, seed: u64, least: u32) -> Vec<u32> {
    let mut random = Random(seed);
    match order {
        Order::Uniform => {
            let laps = least.div_ceil(flows).max(2);
            (0..laps)
                .flat_map(|_| permutation(flows, &mut random))
                .collect()
        }
        Order::Zipf => zipf(flows, least.max(flows.saturating_mul(2)), &mut random),
    }
}

/// As many sequences one after the other, equally long, each of its own part of the flows. With `mixed`, every
/// second flow of a part is exchanged for one of the next part.
pub fn parted(flows: u32, parts: u32, seed: u64, least: u32, mixed: bool) -> Vec<u32> {
    let each = (flows / parts).max(1);
    let own: Vec<Vec<u32>> = (0..parts)
        .map(|part| {
            let order = sequence(
                each,
                Order::Uniform,
                seed ^ u64::from(part) << 8,
                least / parts,
            );
            order.into_iter().map(|flow| flow + part * each).collect()
        })
        .collect();
    let mut all = Vec::new();
    for part in 0..own.len() {
        let (here, next) = (&own[part], &own[(part + 1) % own.len()]);
        let pick = |(n, (here, next))| if mixed && n % 2 == 1 { next } else { here };
        all.extend(
            here.iter()
                .copied()
                .zip(next.iter().copied())
                .enumerate()
                .map(pick),
        );
    }
    all
}

/// Every flow once, in random order.
pub fn once(flows: u32, seed: u64) -> Vec<u32> {
    permutation(flows, &mut Random(seed))
}

fn permutation(flows: u32, random: &mut Random) -> Vec<u32> {
    let mut all: Vec<u32> = (0..flows).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last as u64 + 1) as usize);
    }
    all
}

/// Zipf with exponent 1: the nth flow with weight 1/n. Flows of one rank are strewn over the numbers.
fn zipf(flows: u32, count: u32, random: &mut Random) -> Vec<u32> {
    let ranks = permutation(flows, random);
    let mut sum = 0.0;
    let weights: Vec<f64> = (1..=flows)
        .map(|n| {
            sum += 1.0 / f64::from(n);
            sum
        })
        .collect();
    (0..count)
        .map(|_| {
            let at = random.unit() * sum;
            let rank = weights
                .partition_point(|&weight| weight <= at)
                .min(ranks.len() - 1);
            ranks[rank]
        })
        .collect()
}

/// splitmix64: small, and the same on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flow_comes_in_each_lap_of_a_uniform_order() {
        let order = sequence(1_000, Order::Uniform, 1, TAPE);
        assert!(order.len() >= TAPE as usize);
        for lap in order.chunks(1_000) {
            let mut flows = lap.to_vec();
            flows.sort_unstable();
            assert!(flows.into_iter().eq(0..1_000));
        }
        assert_ne!(order[..1_000], order[1_000..2_000]);
        assert_eq!(order, sequence(1_000, Order::Uniform, 1, TAPE));
        assert_ne!(order, sequence(1_000, Order::Uniform, 2, TAPE));
    }

    #[test]
    fn once_is_once() {
        let mut flows = once(1_000, 5);
        assert!(!flows.is_sorted());
        flows.sort_unstable();
        assert!(flows.into_iter().eq(0..1_000));
    }

    #[test]
    fn parts_have_flows_of_their_own_unless_mixed() {
        let strangers = |mixed: bool, part: usize| {
            let order = parted(1_000, 2, 1, 4_000, mixed);
            assert_eq!(order.len(), 4_000);
            let own = 500 * part as u32..500 * (part as u32 + 1);
            let here = &order[2_000 * part..2_000 * (part + 1)];
            here.iter().filter(|flow| !own.contains(flow)).count()
        };
        assert_eq!([strangers(false, 0), strangers(false, 1)], [0, 0]);
        assert_eq!([strangers(true, 0), strangers(true, 1)], [1_000, 1_000]);
    }

    #[test]
    fn one_flow_is_one_flow() {
        assert!(
            sequence(1, Order::Zipf, 3, TAPE)
                .into_iter()
                .all(|flow| flow == 0)
        );
        assert!(
            sequence(1, Order::Uniform, 3, TAPE)
                .into_iter()
                .all(|flow| flow == 0)
        );
    }

    #[test]
    fn zipf_prefers_few() {
        let mut counts = vec![0_u32; 1_000];
        for flow in sequence(1_000, Order::Zipf, 4, TAPE) {
            counts[flow as usize] += 1;
        }
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total: u32 = counts.iter().sum();
        let share = |n: usize| f64::from(counts[..n].iter().sum::<u32>()) / f64::from(total);
        // H(1) / H(1000) = 0.134, H(10) / H(1000) = 0.391
        assert!((0.12..0.15).contains(&share(1)), "{}", share(1));
        assert!((0.37..0.41).contains(&share(10)), "{}", share(10));
    }
}
