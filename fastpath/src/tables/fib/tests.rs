use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

fn fib(routes: &[(&str, u32)]) -> Fib {
    Fib::build(routes.iter().map(|(net, id)| (net.parse().unwrap(), *id)))
}

#[track_caller]
fn assert_lookups(fib: &Fib, cases: &[(&str, Option<u32>)]) {
    for (addr, expected) in cases {
        let addr: IpAddr = addr.parse().unwrap();
        assert_eq!(fib.lookup(addr), expected.unwrap_or(Fib::NONE), "{addr}");
    }
}

/// The definition: of all routes that hold the address, the longest; of equal ones, the last.
fn naive(routes: &[(IpNet, u32)], addr: IpAddr) -> u32 {
    routes
        .iter()
        .filter(|(net, _)| net.contains(&addr))
        .max_by_key(|(net, _)| net.prefix_len())
        .map_or(Fib::NONE, |(_, answer)| *answer)
}

#[test]
fn empty_has_no_route() {
    let empty = fib(&[]);
    assert!(empty.is_empty());
    assert_lookups(
        &empty,
        &[("0.0.0.0", None), ("255.255.255.255", None), ("::", None)],
    );
    assert_eq!(empty, Fib::default());
}

#[test]
fn longest_prefix_wins() {
    let fib = fib(&[
        ("0.0.0.0/0", 0),
        ("10.0.0.0/8", 1),
        ("10.1.0.0/16", 2),
        ("10.1.2.0/24", 3),
        ("10.1.2.3/32", 4),
        ("10.1.2.128/25", 5),
    ]);
    assert_lookups(
        &fib,
        &[
            ("9.255.255.255", Some(0)),
            ("11.0.0.0", Some(0)),
            ("10.0.0.0", Some(1)),
            ("10.255.255.255", Some(1)),
            ("10.1.0.0", Some(2)),
            ("10.1.1.255", Some(2)),
            ("10.1.3.0", Some(2)),
            ("10.1.2.2", Some(3)),
            ("10.1.2.3", Some(4)),
            ("10.1.2.4", Some(3)),
            ("10.1.2.127", Some(3)),
            ("10.1.2.128", Some(5)),
            ("10.1.2.255", Some(5)),
            ("::ffff:10.1.2.3", None),
        ],
    );
}

#[test]
fn families_do_not_mix() {
    let fib = fib(&[("::/0", 6), ("fe80::/64", 7), ("10.0.0.0/8", 1)]);
    assert_lookups(
        &fib,
        &[
            ("11.0.0.0", None),
            ("::", Some(6)),
            ("fe80::1", Some(7)),
            ("fe80:0:0:1::", Some(6)),
            ("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(6)),
            ("::ffff:10.0.0.1", Some(6)),
        ],
    );
}

#[test]
fn long_runs_keep_shorter_routes() {
    // Each route ends inside what would be one run for the longest.
    let fib = fib(&[
        ("2001:db8::/32", 1),
        ("2001:db8:0:0:8000::/65", 2),
        ("2001:db8::8000:0:0:1/128", 3),
        ("2001:db8::8000:0:0:0/127", 4),
    ]);
    assert_lookups(
        &fib,
        &[
            ("2001:db7:ffff::", None),
            ("2001:db8::1", Some(1)),
            ("2001:db8::8000:0:0:0", Some(4)),
            ("2001:db8::8000:0:0:1", Some(3)),
            ("2001:db8::8000:0:0:2", Some(2)),
            ("2001:db8::ffff:0:0:1", Some(2)),
            ("2001:db8:0:1::", Some(1)),
        ],
    );
}

#[test]
fn every_prefix_length_has_exact_edges() {
    for len in 0..=128u8 {
        let addr = Ipv6Addr::from_bits(0xfdb9_7531_0246_8ace_fdb9_7531_0246_8ace);
        let net = Ipv6Net::new(addr, len).unwrap().trunc();
        let fib = Fib::build([(IpNet::V6(net), 9)].into_iter());
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        assert_eq!(fib.lookup_v6(first), 9, "{net}");
        assert_eq!(fib.lookup_v6(last), 9, "{net}");
        if len > 0 {
            assert_eq!(fib.lookup_v6(first.wrapping_sub(1)), Fib::NONE, "{net}");
            assert_eq!(fib.lookup_v6(last.wrapping_add(1)), Fib::NONE, "{net}");
        }
    }
    for len in 0..=32u8 {
        let net = Ipv4Net::new(Ipv4Addr::from_bits(0xc0a8_d5b3), len)
            .unwrap()
            .trunc();
        let fib = Fib::build([(IpNet::V4(net), 9)].into_iter());
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        assert_eq!(fib.lookup_v4(first), 9, "{net}");
        assert_eq!(fib.lookup_v4(last), 9, "{net}");
        if len > 0 {
            assert_eq!(fib.lookup_v4(first.wrapping_sub(1)), Fib::NONE, "{net}");
            assert_eq!(fib.lookup_v4(last.wrapping_add(1)), Fib::NONE, "{net}");
        }
    }
}

#[test]
fn host_bits_are_ignored_and_the_last_of_equals_counts() {
    let fib = fib(&[("10.1.2.3/8", 1), ("10.0.0.0/8", 2), ("10.9.9.9/8", 3)]);
    assert_lookups(
        &fib,
        &[
            ("10.0.0.0", Some(3)),
            ("10.1.2.3", Some(3)),
            ("11.1.2.3", None),
        ],
    );
}

#[test]
fn largest_answer_is_told_from_no_route() {
    let fib = fib(&[("0.0.0.0/1", Fib::MAX), ("::/1", Fib::MAX)]);
    assert_lookups(
        &fib,
        &[
            ("1.1.1.1", Some(Fib::MAX)),
            ("128.0.0.0", None),
            ("1::", Some(Fib::MAX)),
        ],
    );
}

#[test]
#[should_panic(expected = "out of range")]
fn larger_answer_is_refused() {
    fib(&[("0.0.0.0/0", Fib::MAX + 1)]);
}

#[test]
fn small_routers_stay_small() {
    let v4 = fib(&[("0.0.0.0/0", 0), ("192.168.1.0/24", 1), ("10.20.0.0/24", 2)]);
    assert!(v4.memory_bytes() < 1024, "{}", v4.memory_bytes());
    let both = fib(&[
        ("0.0.0.0/0", 0),
        ("192.168.1.0/24", 1),
        ("::/0", 2),
        ("fe80::/64", 3),
        ("2001:db8:1:2::/64", 4),
        ("2001:db8:7:8::5/128", 5),
    ]);
    assert!(both.memory_bytes() < 1024, "{}", both.memory_bytes());
}

#[test]
fn order_does_not_show() {
    for count in [1, 100, 6_000] {
        let mut routes: Vec<(IpNet, u32)> = (0..count)
            .map(|i: u32| {
                let addr = Ipv4Addr::from_bits(i.wrapping_mul(0x9e37_79b1));
                let net = IpNet::new(addr.into(), 20 + (i % 13) as u8).unwrap();
                (net.trunc(), i % 50)
            })
            .collect();
        routes.sort();
        routes.dedup_by_key(|(net, _)| *net);
        let forward = Fib::build(routes.iter().copied());
        routes.reverse();
        assert_eq!(forward, Fib::build(routes.iter().copied()));
        routes.pop();
        assert_ne!(forward, Fib::build(routes.iter().copied()));
    }
}

/// Addresses drawn from few values per byte, so that prefixes nest and lookups hit.
fn bits(bytes: usize) -> impl Strategy<Value = u128> {
    let byte = prop_oneof![Just(0u8), Just(0xff), Just(10), Just(0x80), any::<u8>()];
    prop::collection::vec(byte, bytes).prop_map(|bytes| {
        bytes
            .iter()
            .fold(0, |bits, byte| bits << 8 | u128::from(*byte))
    })
}

fn v4_net() -> impl Strategy<Value = IpNet> {
    (bits(4), 0..=32u8)
        .prop_map(|(addr, len)| IpNet::new(Ipv4Addr::from_bits(addr as u32).into(), len).unwrap())
}

fn v6_net() -> impl Strategy<Value = IpNet> {
    (bits(16), 0..=128u8)
        .prop_map(|(addr, len)| IpNet::new(Ipv6Addr::from_bits(addr).into(), len).unwrap())
}

/// The addresses to ask for: at and just past the edges of every route, and others.
fn probes(routes: &[(IpNet, u32)], others: &[u128]) -> (Vec<u32>, Vec<u128>) {
    let mut v4: Vec<u32> = others.iter().map(|bits| *bits as u32).collect();
    let mut v6 = others.to_vec();
    for (net, _) in routes {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                v4.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                v6.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
            }
        }
    }
    (v4, v6)
}

fn check_against_naive(routes: &[(IpNet, u32)], others: &[u128]) {
    let fib = Fib::build(routes.iter().copied());
    let (v4, v6) = probes(routes, others);
    let mut v4_burst = vec![12_345; v4.len()];
    let mut v6_burst = vec![12_345; v6.len()];
    fib.lookup_v4_burst(&v4, |addr| *addr, &mut v4_burst);
    fib.lookup_v6_burst(&v6, |addr| *addr, &mut v6_burst);
    for (addr, burst) in v4.into_iter().zip(v4_burst) {
        let expected = naive(routes, Ipv4Addr::from_bits(addr).into());
        assert_eq!(
            fib.lookup_v4(addr),
            expected,
            "{}",
            Ipv4Addr::from_bits(addr)
        );
        assert_eq!(burst, expected, "burst, {}", Ipv4Addr::from_bits(addr));
    }
    for (addr, burst) in v6.into_iter().zip(v6_burst) {
        let expected = naive(routes, Ipv6Addr::from_bits(addr).into());
        assert_eq!(
            fib.lookup_v6(addr),
            expected,
            "{}",
            Ipv6Addr::from_bits(addr)
        );
        assert_eq!(burst, expected, "burst, {}", Ipv6Addr::from_bits(addr));
    }
}

proptest! {
    #[test]
    fn equals_naive_scan(
        nets in prop::collection::vec(prop_oneof![v4_net(), v6_net()], 0..60),
        others in prop::collection::vec(bits(16), 0..20),
    ) {
        let routes: Vec<_> = nets.into_iter().zip(0..).collect();
        check_against_naive(&routes, &others);
    }

    #[test]
    fn burst_fills_the_shorter_side(addrs in 0..40usize, results in 0..40usize) {
        let fib = fib(&[("10.0.0.0/8", 1)]);
        let mut routes = vec![12_345; results];
        fib.lookup_v4_burst(&vec![0x0a00_0001; addrs], |addr| *addr, &mut routes);
        let filled = addrs.min(results);
        prop_assert!(routes[..filled].iter().all(|r| *r == 1));
        prop_assert!(routes[filled..].iter().all(|r| *r == 12_345));
    }
}

/// Nested routes in one corner of the space, and others of every length everywhere.
fn many(bits: u8, net: impl Fn(u128, u8) -> IpNet) -> Vec<(IpNet, u32)> {
    let mut routes: Vec<(IpNet, u32)> = (0..8_000u32)
        .map(|i| {
            let strewn = u128::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let (addr, len) = if i % 2 == 0 {
                (10 << 120 | strewn >> 8, 8 + i / 2 % u32::from(bits - 7))
            } else {
                (strewn, 1 + i / 2 % u32::from(bits))
            };
            (net(addr, len as u8).trunc(), i)
        })
        .collect();
    routes.sort();
    routes.dedup_by_key(|(net, _)| *net);
    assert!(routes.len() > 4_096, "{}", routes.len());
    routes
}

#[test]
fn large_tables_equal_naive_scan() {
    let v4 = |addr: u128, len| {
        let addr = Ipv4Addr::from_bits((addr >> 96) as u32);
        IpNet::new(addr.into(), len).unwrap()
    };
    let v6 = |addr, len| IpNet::new(Ipv6Addr::from_bits(addr).into(), len).unwrap();
    for routes in [many(32, v4), many(128, v6)] {
        let fib = Fib::build(routes.iter().copied());
        assert!(
            fib.memory_bytes() > 4 << 15,
            "no root: {}",
            fib.memory_bytes()
        );
        let few: Vec<_> = routes.iter().copied().step_by(50).collect();
        let (v4, v6) = probes(&few, &[0, 1, u128::MAX]);
        let (mut v4_burst, mut v6_burst) = (vec![0; v4.len()], vec![0; v6.len()]);
        fib.lookup_v4_burst(&v4, |addr| *addr, &mut v4_burst);
        fib.lookup_v6_burst(&v6, |addr| *addr, &mut v6_burst);
        for (addr, burst) in v4.into_iter().zip(v4_burst) {
            let expected = naive(&routes, Ipv4Addr::from_bits(addr).into());
            assert_eq!(
                (fib.lookup_v4(addr), burst),
                (expected, expected),
                "{addr:x}"
            );
        }
        for (addr, burst) in v6.into_iter().zip(v6_burst) {
            let expected = naive(&routes, Ipv6Addr::from_bits(addr).into());
            assert_eq!(
                (fib.lookup_v6(addr), burst),
                (expected, expected),
                "{addr:x}"
            );
        }
    }
}

#[test]
fn routes_that_change_nothing_leave_no_trace() {
    let plain = fib(&[("10.0.0.0/8", 1), ("2001:db8::/32", 2)]);
    let nested = fib(&[
        ("10.0.0.0/8", 1),
        ("10.1.0.0/16", 1),
        ("10.1.2.3/32", 1),
        ("2001:db8::/32", 2),
        ("2001:db8::/48", 2),
        ("2001:db8::1/128", 2),
    ]);
    assert_eq!(plain, nested);
}
