use proptest::prelude::*;

use std::net::Ipv4Addr;

use super::*;
use crate::ids::Zone;

fn backend(ip: u32, weight: u16) -> Backend {
    Backend {
        weight,
        ..Backend::new(Ipv4Addr::from_bits(ip).into(), Some(80))
    }
}

fn flow(n: u32) -> FlowKey {
    FlowKey {
        src: Ipv4Addr::from_bits(0x0a00_0000 + n / 1000).into(),
        dst: Ipv4Addr::new(203, 0, 113, 5).into(),
        src_port: (n % 1000 + 1024) as u16,
        dst_port: 80,
        proto: 6,
        zone: Zone(1),
    }
}

fn vip(backends: Vec<Backend>) -> Vip {
    let service = Service {
        ip: Ipv4Addr::new(203, 0, 113, 5).into(),
        port: Some((6, 80)),
    };
    Vip::new("lb".to_owned(), service, backends)
}

fn chosen(vip: &Vip, n: u32) -> Option<IpAddr> {
    vip.choose(&flow(n), Tick(0))
        .map(|(_, backend, _)| backend.ip)
}

#[test]
fn each_backend_has_an_order_of_all_slots() {
    for n in 0..20 {
        let turn = Turn::of(n, &backend(u32::from(n), 1));
        let mut order: Vec<usize> = (0..SLOTS).map(|place| turn.slot(place)).collect();
        let unsorted = order.clone();
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..SLOTS) && order != unsorted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each has the share of its weight: of the slots within 3 %, or two of them.
    #[test]
    fn shares_are_those_of_the_weights(
        ips in prop::collection::btree_set(any::<u32>(), 1..40),
        weights in prop::collection::vec(1u16..5, 40),
    ) {
        let backends: Vec<Backend> =
            ips.iter().zip(&weights).map(|(ip, weight)| backend(*ip, *weight)).collect();
        let total: u32 = backends.iter().map(|backend| u32::from(backend.weight)).sum();
        let table = Maglev::of(&backends);
        prop_assert_eq!(table.slots.len(), SLOTS);
        for (index, backend) in (0u16..).zip(&backends) {
            let has = table.slots.iter().filter(|slot| slot.load(Ordering::Relaxed) == index).count() as f64;
            let due = SLOTS as f64 * f64::from(backend.weight) / f64::from(total);
            prop_assert!((has - due).abs() <= (due * 0.03).max(f64::from(total)), "{} of {}", has, due);
        }
    }

    /// When one goes, what it had goes to the others, and next to nothing else moves; the other way round when one comes.
    #[test]
    fn one_that_comes_or_goes_disturbs_little_but_its_own_share(
        ips in prop::collection::btree_set(any::<u32>(), 2..30),
        which in any::<prop::sample::Index>(),
    ) {
        let ips: Vec<u32> = ips.into_iter().collect();
        let gone = ips[which.index(ips.len())];
        let all = vip(ips.iter().map(|ip| backend(*ip, 1)).collect());
        let rest = ips.iter().filter(|ip| **ip != gone);
        let fewer = vip(rest.map(|ip| backend(*ip, 1)).collect());
        let gone = Some(IpAddr::V4(Ipv4Addr::from_bits(gone)));
        let (mut its, mut moved) = (0, 0);
        const FLOWS: u32 = 4000;
        for n in 0..FLOWS {
            let (before, after) = (chosen(&all, n), chosen(&fewer, n));
            prop_assert!(after.is_some() && after != gone);
            if before == gone {
                its += 1;
            } else if before != after {
                moved += 1;
            }
        }
        let share = f64::from(FLOWS) / ips.len() as f64;
        prop_assert!(f64::from(its) < share * 1.5 + 40.0, "{} of {} were its", its, FLOWS);
        // The paper finds some few percent.
        prop_assert!(f64::from(moved) < f64::from(FLOWS) * 0.08, "{} of {} moved", moved, FLOWS);
    }

    /// Neither the order nor who drains changes what the others get.
    #[test]
    fn a_draining_one_is_as_one_that_is_gone(
        ips in prop::collection::btree_set(any::<u32>(), 2..20),
        which in any::<prop::sample::Index>(),
    ) {
        let ips: Vec<u32> = ips.into_iter().collect();
        let at = which.index(ips.len());
        let mut backends: Vec<Backend> = ips.iter().map(|ip| backend(*ip, 1)).collect();
        backends[at].draining = true;
        let draining = vip(backends);
        let rest = ips.iter().enumerate().filter(|(n, _)| *n != at);
        let gone = vip(rest.map(|(_, ip)| backend(*ip, 1)).collect());
        for n in 0..500 {
            prop_assert_eq!(chosen(&draining, n), chosen(&gone, n));
        }
        prop_assert!(draining.backend(Ipv4Addr::from_bits(ips[at]).into(), 80).is_some());
    }
}

#[test]
fn nobody_serves() {
    assert_eq!(chosen(&vip(vec![]), 1), None);
    let mut only = backend(1, 1);
    only.draining = true;
    assert_eq!(chosen(&vip(vec![only]), 1), None);
    assert_eq!(chosen(&vip(vec![backend(1, 0)]), 1), None);
}

#[test]
fn selection_by_source_keeps_a_client_with_its_backend() {
    let mut vip = vip((1..=8).map(|ip| backend(ip, 1)).collect());
    let of_client = |vip: &Vip| {
        let mut chosen: Vec<_> = (0..1000).filter_map(|n| chosen(vip, n)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.len()
    };
    assert_eq!(of_client(&vip), 8);
    vip.selection = Selection {
        ip_dst: false,
        tp_src: false,
        tp_dst: false,
        ..Selection::default()
    };
    assert_eq!(of_client(&vip), 1);
}

/// As long as the backend serves, whatever comes or goes beside it.
#[test]
fn a_client_stays_with_its_backend() {
    let mut few = vip((1..=4).map(|ip| backend(ip, 1)).collect());
    few.affinity = Some(Arc::new(Affinity::new(60_000, false)));
    let client = flow(0);
    let (index, first, how) = few.choose(&client, Tick(0)).unwrap();
    assert_eq!(how, Choosing::Hash);
    few.given(client.src, first, Tick(0));
    let ip = first.ip;
    // From other ports too, and when there are more.
    let mut more = vip((1..=40).rev().map(|ip| backend(ip, 1)).collect());
    more.affinity = few.affinity.clone();
    for n in 0..1000 {
        let (_, chosen, how) = more.choose(&flow(n), Tick(59_999)).unwrap();
        assert_eq!((chosen.ip, how), (ip, Choosing::Affinity));
    }
    let hashed = (0..1000).filter_map(|n| more.choose(&flow(n), Tick(60_000)));
    assert!(hashed.filter(|(_, chosen, _)| chosen.ip != ip).count() > 900);
    // Not when it drains.
    let mut draining = vip((1..=4).map(|ip| backend(ip, 1)).collect());
    draining.backends[usize::from(index)].draining = true;
    let mut draining = vip(draining.backends);
    draining.affinity = few.affinity.clone();
    assert_ne!(chosen(&draining, 0), Some(ip));
    assert_eq!(first.hits.get(), 1);
}

#[test]
fn a_service_with_a_port_goes_before_one_without() {
    let ip = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));
    let make = |name: &str, port| {
        let vip = Vip::new(name.to_owned(), Service { ip, port }, vec![backend(1, 1)]);
        Arc::new(vip)
    };
    let balancers = Balancers::new(vec![make("all", None), make("web", Some((6, 80)))]);
    let found = |proto, port| {
        let found = balancers.find(ip, proto, port);
        found.map(|(_, vip)| vip.balancer.as_str())
    };
    assert_eq!(found(6, 80), Some("web"));
    assert_eq!(found(6, 81), Some("all"));
    assert_eq!(found(17, 80), Some("all"));
    assert_eq!(found(1, 80), Some("all"));
    assert!(
        balancers
            .find(Ipv4Addr::new(203, 0, 113, 6).into(), 6, 80)
            .is_none()
    );
}
