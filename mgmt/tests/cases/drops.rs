//! Every reason to drop a packet, each provoked by a packet; nothing else may be counted with it.

use std::collections::BTreeMap;

use sluice_fastpath::verdict::DropReason::{self, *};
use sluice_net::wire::ethernet::{ETHERTYPE_QINQ, ETHERTYPE_VLAN};
use sluice_net::wire::{ip_proto, tcp};
use sluice_net::{Builder, Mac, Vni, show};

use super::lab::*;
use crate::support::{BROADCAST, IntoFrame, mac, packet, v4};

/// One frame from a host of the lab. Entering drops before the walk; `walks` says that it does not.
struct Case {
    reason: DropReason,
    host: &'static str,
    frame: Vec<u8>,
    walks: bool,
}

fn early(reason: DropReason, host: &'static str, frame: impl IntoFrame) -> Case {
    Case {
        reason,
        host,
        frame: frame.into_frame(),
        walks: false,
    }
}

fn walked(reason: DropReason, host: &'static str, frame: Builder) -> Case {
    Case {
        reason,
        host,
        frame: frame.build(),
        walks: true,
    }
}

/// The frame with bytes replaced.
fn patched(frame: Builder, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.build();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn a_to_b() -> Builder {
    packet((A, B), ("10.1.0.10", "10.1.0.11")).udp(1000, 2000)
}

/// What follows the EtherType of a tag: the tag, and an IPv4 packet with an address that port security forbids.
fn behind_tag(tci: u16) -> Vec<u8> {
    let forged = packet((A, B), ("10.1.0.99", "10.1.0.11")).udp(1, 2).build();
    [&tci.to_be_bytes(), &forged[12..]].concat()
}

fn underlay_cases() -> Vec<Case> {
    let geneve = 14 + 20 + 8;
    let plain = |frame: Builder| frame.without_udp_checksum();
    let far = || tunneled(from_far(), 1, 14, 11);
    vec![
        early(
            UnderlayNotForUs,
            "hv",
            outer_to("172.16.0.9").udp(1, 6081).build(),
        ),
        early(
            UnderlayNotForUs,
            "hv",
            Builder::ethernet(mac(FAR), gw_mac())
                .arp_request(v4("172.16.0.2"), v4("172.16.0.9"))
                .build(),
        ),
        early(UnderlayUnknownProtocol, "hv", outer().udp(1, 9999).build()),
        early(
            UnderlayUnknownProtocol,
            "hv",
            outer().tcp(1, 6081, tcp::SYN).build(),
        ),
        early(
            TunnelFragment,
            "hv",
            far().dont_fragment(false).fragment(0, true).build(),
        ),
        early(
            TunnelFragment,
            "hv",
            outer()
                .protocol(ip_proto::UDP)
                .fragment(64, false)
                .payload(&[0; 64])
                .build(),
        ),
        early(TunnelChecksum, "hv", patched(far(), 40, &[0x12, 0x34])),
        early(
            TunnelUnknownPeer,
            "hv",
            from_far()
                .encap_geneve(
                    Builder::ethernet(mac(FAR), gw_mac()).ipv4(v4("172.16.0.77"), v4("172.16.0.1")),
                    Vni::new(1).unwrap(),
                    None,
                )
                .build(),
        ),
        early(
            TunnelMalformed,
            "hv",
            patched(plain(far()), geneve, &[0x42]),
        ),
        early(
            TunnelMalformed,
            "hv",
            outer().udp(40_000, 6081).payload(&[0; 7]).build(),
        ),
        early(
            TunnelUnknownOption,
            "hv",
            patched(plain(far()), geneve + 8, &[0xff, 0xff]),
        ),
        early(
            TunnelProtocol,
            "hv",
            patched(plain(far()), geneve + 2, &[0x08, 0x00]),
        ),
        early(
            TunnelUnknownVni,
            "hv",
            tunneled(from_far(), 999, 14, 11).build(),
        ),
        early(
            TunnelNoKeys,
            "hv",
            from_far()
                .encap_geneve(outer(), Vni::new(1).unwrap(), None)
                .build(),
        ),
        early(
            TunnelEcn,
            "hv",
            tunneled(from_far(), 1, 14, 11).tos(0b11).build(),
        ),
        early(
            MalformedL2,
            "hv",
            outer()
                .udp(40_000, 6081)
                .payload(&far().build()[geneve..geneve + 20])
                .build(),
        ),
        walked(TunnelUnknownPort, "hv", tunneled(from_far(), 1, 14, 999)),
        walked(TunnelUnknownPort, "hv", tunneled(from_far(), 100, 1, 2)),
        walked(TunnelPortNotHere, "hv", tunneled(from_far(), 1, 11, 14)),
        walked(Hairpin, "hv", tunneled(from_far(), 1, 11, 11)),
        walked(PortDisabled, "hv", tunneled(from_far(), 1, 14, 15)),
        walked(PortUnbound, "hv", tunneled(from_far(), 1, 14, 16)),
        walked(RouterNotForUs, "hv", tunneled(from_far(), 1, 14, 1)),
        walked(RouterDisabled, "hv", tunneled(from_far(), 1, 14, 2)),
    ]
}

fn outer_to(address: &str) -> Builder {
    Builder::ethernet(mac(FAR), gw_mac()).ipv4(v4("172.16.0.2"), v4(address))
}

fn switch_cases() -> Vec<Case> {
    let b_to = |dst: &str| Builder::ethernet(mac(B), mac(dst)).payload(&[0; 46]);
    let big = Builder::ethernet(mac(B), mac(FAR)).payload(&[0; 1560]);
    vec![
        early(MalformedL2, "b", vec![0; 13]),
        early(
            MalformedL2,
            "b",
            Builder::ethernet(mac(B), mac(A)).vlan(5).build()[..15].to_vec(),
        ),
        early(
            MalformedL2,
            "b",
            Builder::ethernet(mac(B), mac(A))
                .arp_request(v4("10.1.0.11"), v4("10.1.0.10"))
                .build()[..40]
                .to_vec(),
        ),
        early(MalformedIp, "a", a_to_b().build()[..30].to_vec()),
        early(MalformedIp, "a", patched(a_to_b(), 14, &[0x55])),
        early(Ipv4Checksum, "a", patched(a_to_b(), 22, &[63])),
        early(MalformedL4, "a", patched(a_to_b(), 38, &[0xff, 0xff])),
        early(NoPortForVlan, "a", a_to_b().vlan(7).build()),
        walked(
            PortSecurityMac,
            "a",
            packet((B, B), ("10.1.0.10", "10.1.0.11")).udp(1, 2),
        ),
        walked(
            PortSecurityIp,
            "a",
            packet((A, B), ("10.1.0.99", "10.1.0.11")).udp(1, 2),
        ),
        walked(
            PortSecurityIp,
            "a",
            packet((A, B), ("fd00:1::99", "fd00:1::11")).udp(1, 2),
        ),
        walked(
            PortSecurityNeighbor,
            "a",
            Builder::ethernet(mac(A), Mac::BROADCAST).arp_request(v4("10.1.0.99"), v4("10.1.0.11")),
        ),
        walked(
            PortSecurityNeighbor,
            "a",
            Builder::ethernet(mac(A), Mac::BROADCAST).arp(
                1,
                mac(B),
                v4("10.1.0.10"),
                Mac::ZERO,
                v4("10.1.0.11"),
            ),
        ),
        walked(
            PortSecurityVlan,
            "a",
            Builder::ethernet(mac(A), mac(B))
                .ethertype(ETHERTYPE_QINQ)
                .payload(&behind_tag(0)),
        ),
        walked(
            PortSecurityVlan,
            "a",
            Builder::ethernet(mac(A), mac(B))
                .vlan(0)
                .ethertype(ETHERTYPE_VLAN)
                .payload(&behind_tag(0)),
        ),
        walked(
            SourceMulticast,
            "b",
            Builder::ethernet(Mac([3; 6]), mac(A)).payload(&[0; 46]),
        ),
        walked(ReservedGroup, "b", b_to("01:80:c2:00:00:0e")),
        walked(PortDisabled, "off", b_to(A)),
        walked(PortDisabled, "b", b_to("02:00:00:00:00:0f")),
        walked(UnknownDestination, "b", b_to("02:00:00:00:00:77")),
        walked(PortUnbound, "b", b_to("02:00:00:00:00:1f")),
        walked(Hairpin, "b", b_to(B)),
        walked(
            OtherVlan,
            "v1",
            Builder::ethernet(mac("02:00:00:00:00:a1"), mac("02:00:00:00:00:a2")),
        ),
        walked(
            FloodEmpty,
            "e",
            Builder::ethernet(mac(B), mac(BROADCAST)).payload(&[0; 46]),
        ),
        walked(TunnelMtu, "b", big),
    ]
}

fn router_cases() -> Vec<Case> {
    let to_router = |src: &str, dst: &str| {
        Builder::ethernet(mac(B), mac(R_LEFT))
            .ipv4(v4(src), v4(dst))
            .udp(1, 2)
    };
    vec![
        walked(
            RouterNotIp,
            "b",
            Builder::ethernet(mac(B), mac(R_LEFT)).payload(&[0; 46]),
        ),
        walked(
            RouterDisabled,
            "b",
            packet((B, "02:00:00:00:02:01"), ("10.1.0.11", "10.2.0.10")).udp(1, 2),
        ),
        walked(MartianSource, "b", to_router("127.0.0.1", "10.2.0.10")),
        walked(MartianSource, "b", to_router("224.0.0.1", "10.2.0.10")),
        walked(MartianSource, "b", to_router("0.0.0.0", "10.2.0.10")),
        walked(
            MartianSource,
            "b",
            to_router("255.255.255.255", "10.2.0.10"),
        ),
        walked(MartianSource, "b", to_router("10.1.0.255", "10.2.0.10")),
        walked(MartianSource, "b", to_router("10.2.0.1", "10.2.0.10")),
        walked(
            MartianSource,
            "b",
            packet((B, R_LEFT), ("fe80::b", "fd00:2::10")).udp(1, 2),
        ),
        walked(MartianDestination, "b", to_router("10.1.0.11", "127.0.0.1")),
        walked(MartianDestination, "b", to_router("10.1.0.11", "224.0.0.5")),
        walked(
            MartianDestination,
            "b",
            to_router("10.1.0.11", "255.255.255.255"),
        ),
        walked(
            MartianDestination,
            "b",
            packet((B, R_LEFT), ("fd00:1::11", "fe80::1")).udp(1, 2),
        ),
        walked(
            RouterLocal,
            "b",
            packet((B, R_LEFT), ("10.1.0.11", "10.1.0.1")).tcp(1, 22, tcp::SYN),
        ),
        walked(Blackhole, "b", to_router("10.1.0.11", "10.66.1.1")),
    ]
}

#[test]
fn one_frame_one_reason_and_no_other_counter() {
    let mut net = lab();
    net.wrong_checksums = true;
    let cases = [underlay_cases(), switch_cases(), router_cases()].concat_all();
    let mut wrong = Vec::new();
    for case in &cases {
        let outcome = net.probe(case.host, case.frame.clone());
        let name = case.reason.name();
        let walk = if case.walks { ", walk 1" } else { "" };
        if !outcome.got.is_empty() || outcome.moved != [format!("gw: drop:{name} 1{walk}")] {
            wrong.push((name, show(&case.frame), outcome));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    net.assert_no_buffer_lost();
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> ConcatAll for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

/// Where each reason has its case; a new one must be added here with a test, or with the reason why not.
#[test]
fn every_reason_has_a_case() {
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for case in [underlay_cases(), switch_cases(), router_cases()].concat_all() {
        places.insert(case.reason.name(), "here");
    }
    for (reason, test) in ELSEWHERE {
        let before = places.insert(reason.name(), test);
        assert_eq!(before, None, "{} has two places", reason.name());
    }
    let missing: Vec<&str> = DropReason::ALL
        .iter()
        .map(|reason| reason.name())
        .filter(|name| !places.contains_key(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Reasons that take more than one frame, by the test that asserts their counter, or why none can.
const ELSEWHERE: &[(DropReason, &str)] = &[
    (
        NoRoute,
        "routing::errors_come_from_the_port_the_packet_came_in_by",
    ),
    (
        TtlExceeded,
        "routing::errors_come_from_the_port_the_packet_came_in_by",
    ),
    (
        TooBig,
        "routing::errors_come_from_the_port_the_packet_came_in_by",
    ),
    (
        GatewayInactive,
        "gateway::a_gateway_that_does_not_hold_the_port",
    ),
    (
        GatewayMismatch,
        "gateway::redirected_packets_that_do_not_belong_here",
    ),
    (
        NeighborFailed,
        "limits::a_chassis_whose_address_does_not_answer",
    ),
    (TooManyHops, "limits::routers_that_send_in_a_circle"),
    (NatFragment, "fragments::sctp_passes_where_its_ports_stay"),
    (
        FragmentMalformed,
        "fragments::attacks::fragments_that_are_attacks",
    ),
    (
        FragmentOverlap,
        "fragments::attacks::fragments_that_are_attacks",
    ),
    (
        FragmentPieces,
        "fragments::attacks::too_many_pieces_of_one_datagram",
    ),
    (
        FragmentDuplicate,
        "fragments::what_waits_in_vain_is_dropped_by_name",
    ),
    (
        FragmentTimeout,
        "fragments::what_waits_in_vain_is_dropped_by_name",
    ),
    (
        FragmentTableFull,
        "fragments::attacks::floods_of_fragments_hurt_nobody_who_is_connected",
    ),
    (
        FragmentSourceLimit,
        "fragments::attacks::floods_of_fragments_hurt_nobody_who_is_connected",
    ),
    (
        NatProtocol,
        "nat::what_cannot_be_translated_is_dropped_by_name",
    ),
    (
        TcpNoSyn,
        "nat::what_cannot_be_translated_is_dropped_by_name",
    ),
    (
        IcmpErrorUnrelated,
        "nat::what_cannot_be_translated_is_dropped_by_name",
    ),
    (NatTwice, "limits::two_routers_that_would_translate"),
    (
        NatFiltered,
        "conformance::independent::who_may_send_to_a_mapped_port",
    ),
    (NatPortsExhausted, "limits::nat_ports_exhausted"),
    (
        NatAddressTaken,
        "protocols::an_address_is_one_hosts_towards_a_remote",
    ),
    (
        NatRuleGone,
        "nat::a_reload_keeps_connections_and_closes_those_whose_rule_is_gone",
    ),
    (NoBackend, "balancers::router::nobody_serves"),
    (ConnectionsFull, "limits::connections_full"),
    (SourceLimit, "limits::source_limit"),
    (PuntPoliced, "limits::punts_are_policed"),
    (HandOffFull, "workers::the_ring_to_the_owner_is_full"),
    (TxFull, "limits::a_full_driver"),
    (NoBuffer, "limits::no_buffer_for_a_copy"),
    (FloodBudget, "limits::floods_are_bounded_in_a_burst"),
    (InjectStale, "limits::an_injected_frame_whose_port_is_gone"),
    (
        NatRace,
        "nat::a_direct_connection_that_clashes_with_a_translated_one",
    ),
    (AclDrop, "acl::every_action_without_connections"),
    (AclReject, "acl::senders_of_rejected_packets_are_told"),
    (
        AclDefault,
        "acl::what_no_rule_is_for_is_dropped_where_that_is_said",
    ),
    (
        NoHeadroom,
        "none: buffers have 128 bytes of headroom, outer headers take 62; the encapsulation has its own test",
    ),
];
