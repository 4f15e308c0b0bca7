//! Steering agrees with what the walk asks packet by packet.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use proptest::prelude::*;
use sluice_net::Mac;

use super::*;
use crate::ids::PortId;
use crate::stage::route;
use crate::tables::{GroupKind, Local, Peer, Route, RouteSource};

/// Addresses near each other and near all that is special.
fn v4_address() -> impl Strategy<Value = u32> {
    let first = prop::sample::select(vec![0u8, 1, 10, 127, 128, 223, 224, 239, 240, 255]);
    let octet = || prop::sample::select(vec![0u8, 1, 2, 7, 254, 255]);
    (first, octet(), octet(), octet()).prop_map(|(a, b, c, d)| u32::from_be_bytes([a, b, c, d]))
}

fn v6_address() -> impl Strategy<Value = u128> {
    let first = prop::sample::select(vec![
        0u128, 0x2001, 0xfd00, 0xfe7f, 0xfe80, 0xfebf, 0xfec0, 0xff02,
    ]);
    let group = || prop::sample::select(vec![0u128, 1, 2, 0xffff]);
    (first, group(), group(), group()).prop_map(|(a, b, c, d)| a << 112 | b << 80 | c << 64 | d)
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        v4_address().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        v6_address().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

/// A network, host bits kept.
fn network() -> impl Strategy<Value = IpNet> {
    (
        address(),
        prop::sample::select(vec![0u8, 1, 8, 15, 16, 24, 30, 31, 32, 64, 128]),
    )
        .prop_map(|(address, length)| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            IpNet::new(address, length.min(most)).unwrap()
        })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let source = prop_oneof![
        Just(RouteSource::Connected),
        Just(RouteSource::Static),
        Just(RouteSource::StaticBySource),
    ];
    // Groups 0 to 2 have as many hops; there is no group 3.
    let route = (network(), source, prop::option::weighted(0.9, 0..4u32));
    let unique = |route: &Route| (route.source == RouteSource::StaticBySource, route.prefix);
    prop::collection::vec(route, 0..30).prop_map(move |routes| {
        let routes = routes.into_iter().map(|(prefix, source, group)| Route {
            prefix: prefix.trunc(),
            source,
            group,
        });
        let mut routes: Vec<Route> = routes.collect();
        routes.sort_by_key(unique);
        routes.dedup_by_key(|route| unique(route));
        routes
    })
}

prop_compose! {
    fn router()(
        ports in prop::collection::vec(prop::collection::vec(network(), 0..4), 1..4),
        locals in prop::collection::vec((address(), prop::option::of(0..4u16), any::<bool>()), 0..6),
        routes in routes(),
        by_destination in any::<bool>(),
        suspects in any::<bool>(),
    ) -> Router {
        let hop = NextHop { port: 0, via: None };
        let groups = (0..3).map(|hops| vec![hop; hops]).collect();
        let wanted = |route: &Route| !by_destination || route.source != RouteSource::StaticBySource;
        let routes = routes.into_iter().filter(wanted).collect();
        let mut local: HashMap<IpAddr, Local> = HashMap::new();
        for (address, port, nat) in locals {
            local.insert(
                address,
                Local {
                    port,
                    nat,
                    dnat: false,
                    own: !nat,
                },
            );
        }
        let ports = (0..).zip(ports).map(|(index, networks)| RouterPort {
            id: PortId(index),
            name: format!("p{index}"),
            key: 1,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            networks,
            peer: Peer::None,
            gateway: None,
            mtu: 1500,
            enabled: true,
        });
        let mut router = Router {
            ports: ports.collect(),
            routing: Arc::new(Routing::new(routes, groups)),
            local,
            ..Router::default()
        };
        if suspects {
            router.suspects = router.suspicious();
        }
        router
    }
}

/// By the definitions: what admission lets pass, and the group of the longest prefix among all routes.
fn expected(router: &Router, in_port: &RouterPort, src: IpAddr, dst: IpAddr) -> u32 {
    if !admission::ordinary(router, in_port, src, dst) {
        return WALK;
    }
    let selected = route::select(router, src, dst, || 0).map(|(group, _, _)| group);
    let best = router
        .routing
        .routes()
        .iter()
        .filter(|route| match route.source {
            RouteSource::StaticBySource => route.prefix.contains(&src),
            _ => route.prefix.contains(&dst),
        })
        .max_by_key(|route| {
            let by_source = route.source == RouteSource::StaticBySource;
            (route.prefix.prefix_len(), !by_source)
        });
    assert_eq!(router.route(src, dst).map(|(_, route)| route), best);
    let group = best
        .and_then(|route| route.group)
        .filter(|group| !router.hops(*group).is_empty());
    let link_local = |ip| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let barred = dst.is_multicast()
        || dst.is_loopback()
        || dst.is_unspecified()
        || matches!(dst, IpAddr::V4(dst) if dst.octets()[0] == 0 || dst.is_broadcast());
    if barred || link_local(src) || link_local(dst) {
        assert_eq!(selected, None);
    } else {
        assert_eq!(selected, group);
    }
    selected.unwrap_or(WALK)
}

proptest! {
    #[test]
    fn steering_is_what_the_walk_would_find(
        router in router(),
        v4 in prop::collection::vec((v4_address(), v4_address()), 0..70),
        v6 in prop::collection::vec((v6_address(), v6_address()), 0..70),
    ) {
        let mut groups = [12_345; 70];
        for port in &router.ports {
            router.steer_v4(port, &v4, &mut groups);
            for ((src, dst), group) in v4.iter().zip(groups) {
                let (src, dst) = (Ipv4Addr::from_bits(*src), Ipv4Addr::from_bits(*dst));
                let expected = expected(&router, port, src.into(), dst.into());
                prop_assert_eq!(group, expected, "{} > {} in by {}", src, dst, &port.name);
            }
            router.steer_v6(port, &v6, &mut groups);
            for ((src, dst), group) in v6.iter().zip(groups) {
                let (src, dst) = (Ipv6Addr::from_bits(*src), Ipv6Addr::from_bits(*dst));
                let expected = expected(&router, port, src.into(), dst.into());
                prop_assert_eq!(group, expected, "{} > {} in by {}", src, dst, &port.name);
            }
        }
        prop_assert!(groups.iter().skip(v4.len().max(v6.len())).all(|group| *group == 12_345));
    }

    #[test]
    fn suspects_miss_none(
        addresses in prop_oneof![
            prop::collection::vec(address(), 0..6),
            prop::collection::vec(address(), 0..40),
        ],
        others in prop::collection::vec(any::<(u32, u32)>(), 0..32),
    ) {
        let suspects = crate::tables::Suspects::of(addresses.iter().copied());
        for address in addresses {
            let held = match address {
                IpAddr::V4(address) => {
                    let address = address.to_bits();
                    for flow in [(address, 1), (1, address)] {
                        let mut flows = others.clone();
                        flows.insert(flows.len() / 2, flow);
                        prop_assert!(suspects.hold_any_v4(&flows));
                    }
                    suspects.hold_v4(address)
                }
                IpAddr::V6(address) => suspects.hold_v6(address.to_bits()),
            };
            prop_assert!(held);
        }
    }
}

#[test]
fn few_others_pass_for_suspects() {
    let addresses = (0..20).map(|n| Ipv4Addr::new(10, 0, n, 1).into());
    let suspects = crate::tables::Suspects::of(addresses);
    let others = (0..10_000u32).filter(|n| suspects.hold_v4(0x1400_0000 + (n << 8)));
    assert!(others.count() < 300);
    let few = (0..4).map(|n| Ipv4Addr::new(10, 0, n, 1).into());
    let few = crate::tables::Suspects::of(few);
    assert!(!few.hold_any_v4(&[(0x1400_0000, 0x0a00_0002), (1, 2)]));
    let others = (0..10_000u128).filter(|n| suspects.hold_v6(0x2001_0db8 << 96 | n << 64));
    assert!(others.count() < 300);
}

#[test]
fn the_kind_of_a_group_says_what_its_hops_are() {
    let on_link = NextHop { port: 0, via: None };
    let via = NextHop {
        port: 0,
        via: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
    };
    let groups = vec![vec![on_link], vec![via], vec![via, on_link], vec![]];
    let routing = Routing::new(Vec::new(), groups);
    let kinds = [0, 1, 2, 3, 4, WALK].map(|group| routing.kind(group));
    let other = GroupKind::Other;
    assert_eq!(
        kinds,
        [
            GroupKind::OnLink,
            GroupKind::Via,
            other,
            other,
            other,
            other
        ]
    );
}
