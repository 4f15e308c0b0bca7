use super::lab::*;
use crate::agent::{AgentRequest, Settings};
use crossbeam::channel::unbounded;
use sluice_fastpath::exchange::{InjectTo, Origin, Sighting, Work};
use sluice_fastpath::ids::{DatapathId, PortId, Tick, WorkerId};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::neighbors::NeighborState;
use sluice_fastpath::verdict::Punt;
use sluice_net::wire::nd::{FLAG_OVERRIDE, FLAG_ROUTER, FLAG_SOLICITED};
use sluice_net::{Arp, Builder, L4, Mac};

fn arp_request(from: Mac, sender: &str, target: &str) -> Vec<u8> {
    Builder::ethernet(from, Mac::BROADCAST)
        .arp_request(v4(sender), v4(target))
        .build()
}

fn arp_reply(from: Mac, sender: &str, to: Mac, target: &str) -> Vec<u8> {
    Builder::ethernet(from, to)
        .arp_reply(v4(sender), v4(target))
        .build()
}

#[test]
fn a_known_address_is_answered_in_its_name() {
    let mut lab = Lab::new();
    let request = arp_request(OTHER, "10.0.0.20", "10.0.0.10");
    lab.punt(
        &request,
        Punt::AnswerNeighbor {
            from: VM_PORT,
            mac: VM,
        },
    );
    let sent = lab.only_sent();
    assert_eq!((sent.worker, sent.to), (WORKER, from_switch(VM_PORT)));
    let expected = Arp {
        op: 2,
        sender_mac: VM,
        sender_ip: v4("10.0.0.10"),
        target_mac: OTHER,
        target_ip: v4("10.0.0.20"),
    };
    assert_eq!(sent.headers().arp(), Some(&expected));
    assert_eq!(sent.headers().eth_dst, OTHER);
    assert_eq!(lab.moved(), [("answered", 1)]);
    assert_eq!(
        lab.mac(R1_SW, "10.0.0.20"),
        None,
        "the router was not asked"
    );
}

#[test]
fn a_router_address_is_answered_and_the_asker_learned() {
    let mut lab = Lab::new();
    let request = arp_request(OTHER, "10.0.0.20", "10.0.0.254");
    lab.punt(
        &request,
        Punt::AnswerNeighbor {
            from: SW_R1,
            mac: INNER,
        },
    );
    assert_eq!(lab.only_sent().to, from_switch(SW_R1));
    assert_eq!(lab.mac(R1_SW, "10.0.0.20"), Some(OTHER));
    assert_eq!(lab.moved(), [("answered", 1), ("neighbors-learned", 1)]);
}

#[test]
fn a_question_in_a_tunnel_is_found_behind_its_outer_headers() {
    let mut lab = Lab::new();
    let mut frame = vec![0xab; 58];
    frame.extend(arp_request(OTHER, "10.0.0.20", "10.0.0.10"));
    let work = Work::Punt(Punt::AnswerNeighbor {
        from: VM_PORT,
        mac: VM,
    });
    lab.hand_inner(&frame, 58, Origin::Device(UNDERLAY_DEVICE), work);
    assert_eq!(lab.only_sent().headers().eth_dst, OTHER);
}

#[test]
fn solicitations_are_answered_with_the_flags_of_their_owner() {
    for (from, mac, router) in [(VM_PORT, VM, 0), (SW_R1, INNER, FLAG_ROUTER)] {
        let mut lab = Lab::new();
        let frame = crate::nd::solicit(OTHER, v6("2001:db8::20"), v6("2001:db8::ff"), None);
        lab.punt(&frame, Punt::AnswerNeighbor { from, mac });
        let sent = lab.only_sent();
        let flags = FLAG_SOLICITED | FLAG_OVERRIDE | router;
        let expected = L4::NeighborAdvert {
            target: v6("2001:db8::ff"),
            target_mac: Some(mac),
            flags,
        };
        assert_eq!(
            sent.headers().ip().map(|ip| (ip.dst, ip.l4)),
            Some((ip("2001:db8::20"), expected))
        );
        assert_eq!(lab.mac(R1_SW, "2001:db8::20").is_some(), from == SW_R1);
    }
}

#[test]
fn a_routers_nat_address_is_answered_at_its_port() {
    let mut lab = Lab::new();
    for (target, answered) in [
        ("203.0.113.1", true),
        ("203.0.113.50", true),
        ("203.0.113.51", false),
        ("10.0.0.254", false),
    ] {
        lab.punt(
            &arp_request(PEER, "203.0.113.9", target),
            Punt::LearnNeighbor { port: R1_EXT },
        );
        let sent = lab.sent();
        assert_eq!(sent.len(), usize::from(answered), "{target}");
        if let Some(sent) = sent.first() {
            assert_eq!(sent.to, from_switch(EXT_R1));
            assert_eq!(
                sent.headers()
                    .arp()
                    .map(|arp| (arp.sender_mac, arp.sender_ip)),
                Some((OUTER, v4(target)))
            );
        }
    }
    assert_eq!(lab.mac(R1_EXT, "203.0.113.9"), Some(PEER));
}

#[test]
fn a_frame_waits_for_its_next_hop_and_goes_on_unchanged() {
    let mut lab = Lab::new();
    let frame = packet("10.0.0.10", "203.0.113.9").build();
    lab.resolve(&frame, R1_EXT, "203.0.113.9");
    let request = lab.only_sent();
    assert_eq!(
        (request.worker, request.to),
        (WorkerId(0), from_switch(EXT_R1))
    );
    let expected = arp_request(OUTER, "203.0.113.1", "203.0.113.9");
    assert_eq!(request.bytes, expected);
    assert_eq!(lab.moved(), [("asked", 1)]);

    // More frames wait without another question.
    lab.resolve(&frame, R1_EXT, "203.0.113.9");
    assert_eq!((lab.sent(), lab.moved()), (vec![], vec![]));

    lab.punt(
        &arp_reply(PEER, "203.0.113.9", OUTER, "203.0.113.1"),
        Punt::LearnNeighbor { port: R1_EXT },
    );
    let sent = lab.sent();
    assert_eq!(sent.len(), 2);
    for sent in sent {
        assert_eq!(
            (sent.worker, sent.to),
            (WORKER, InjectTo::Walk(Origin::Device(DeviceId(0))))
        );
        assert_eq!(sent.bytes, frame);
    }
    assert_eq!(lab.mac(R1_EXT, "203.0.113.9"), Some(PEER));
    assert_eq!(lab.moved(), [("neighbors-learned", 1), ("resolved", 2)]);
    assert_eq!(lab.pool.in_use(), 0, "every buffer came back");
}

#[test]
fn a_v6_next_hop_is_solicited_from_a_fitting_address() {
    for (next_hop, source) in [("2001:db8::9", "2001:db8::ff"), ("fe80::9", "fe80::ff")] {
        let mut lab = Lab::new();
        lab.resolve(
            &packet("2001:db8::10", "2001:db8:9::1").build(),
            R1_SW,
            next_hop,
        );
        let sent = lab.only_sent();
        assert_eq!(
            sent.bytes,
            crate::nd::solicit(INNER, v6(source), v6(next_hop), None)
        );
        let advert = crate::nd::advert(PEER, v6(next_hop), Some((INNER, v6(source))), false);
        lab.punt(&advert, Punt::LearnNeighbor { port: R1_SW });
        assert_eq!(
            lab.moved(),
            [("asked", 1), ("neighbors-learned", 1), ("resolved", 1)]
        );
        let slot = lab.learned.neighbors.lookup(R1_SW, ip(next_hop)).unwrap();
        assert_eq!(
            lab.learned.neighbors.state(slot),
            Some(NeighborState::Reachable)
        );
    }
}

#[test]
fn who_does_not_answer_is_unreachable_and_asked_again_later() {
    let mut lab = Lab::new();
    let frame = packet("10.0.0.10", "203.0.113.9").build();
    lab.resolve(&frame, R1_EXT, "203.0.113.9");
    lab.sleep(2_999);
    assert_eq!(lab.moved(), [("asked", 3)]);
    assert_eq!(lab.sent().len(), 3);
    lab.sleep(1);
    let error = lab.only_sent();
    assert_eq!(
        (error.worker, error.to),
        (WORKER, InjectTo::Walk(Origin::Router(R1)))
    );
    let packet = *error.headers().ip().unwrap();
    assert_eq!(
        (packet.src, packet.dst),
        (ip("10.0.0.254"), ip("10.0.0.10")),
        "from the port towards the sender"
    );
    assert!(matches!(
        packet.l4,
        L4::IcmpError {
            kind: 3,
            code: 1,
            ..
        }
    ));
    assert_eq!(
        lab.moved(),
        [
            ("icmp-errors-sent", 1),
            ("neighbors-failed", 1),
            ("unreachable-dropped", 1)
        ]
    );
    let slot = lab
        .learned
        .neighbors
        .lookup(R1_EXT, ip("203.0.113.9"))
        .unwrap();
    assert_eq!(
        lab.learned.neighbors.state(slot),
        Some(NeighborState::Failed)
    );

    // While it counts as failed, nobody is asked.
    lab.resolve(&frame, R1_EXT, "203.0.113.9");
    assert_eq!(
        lab.moved(),
        [("icmp-errors-sent", 1), ("unreachable-dropped", 1)]
    );
    lab.sent();
    lab.sleep(5_000);
    assert_eq!(
        lab.learned.neighbors.lookup(R1_EXT, ip("203.0.113.9")),
        None
    );
    lab.resolve(&frame, R1_EXT, "203.0.113.9");
    assert_eq!(lab.moved(), [("asked", 1)]);
}

#[test]
fn a_used_neighbor_is_asked_before_it_is_forgotten() {
    let mut lab = Lab::new();
    lab.punt(
        &arp_request(OTHER, "10.0.0.20", "10.0.0.254"),
        Punt::LearnNeighbor { port: R1_SW },
    );
    lab.sent();
    let slot = lab
        .learned
        .neighbors
        .lookup(R1_SW, ip("10.0.0.20"))
        .unwrap();
    lab.now += 1_000;
    lab.learned.neighbors.mark_used(slot, Tick(lab.now));
    lab.sleep(4_000);
    let probe = lab.only_sent();
    assert_eq!(
        (probe.headers().eth_dst, probe.to),
        (OTHER, from_switch(SW_R1))
    );
    lab.sleep(1_500);
    assert_eq!(lab.sent().len(), 1, "again after a second");
    assert_eq!(lab.mac(R1_SW, "10.0.0.20"), Some(OTHER), "in use meanwhile");
    lab.punt(
        &arp_reply(OTHER, "10.0.0.20", INNER, "10.0.0.254"),
        Punt::LearnNeighbor { port: R1_SW },
    );
    assert_eq!(
        lab.learned.neighbors.state(slot),
        Some(NeighborState::Reachable)
    );
    lab.sleep(20_000);
    assert_eq!(lab.sent(), []);
}

/// The clocks of workers are read at other moments than the agent's.
#[test]
fn a_use_a_moment_ahead_of_the_agent_counts() {
    let mut lab = Lab::new();
    let sender = Sighting::Neighbor {
        port: R1_SW,
        ip: ip("10.0.0.20"),
        mac: OTHER,
        reply: false,
    };
    lab.sight(sender);
    let slot = lab
        .learned
        .neighbors
        .lookup(R1_SW, ip("10.0.0.20"))
        .unwrap();
    lab.sleep(4_999);
    lab.learned.neighbors.mark_used(slot, Tick(lab.now + 3));
    lab.sleep(1);
    assert_eq!(lab.only_sent().headers().eth_dst, OTHER);
}

#[test]
fn a_disabled_port_says_and_learns_nothing() {
    let mut r1 = router();
    r1.ports[0].enabled = false;
    let mut tables = tables(1, inner_switch(), r1, outer_switch());
    tables.underlay = None;
    let mut lab = Lab::with(tables, Settings::default());
    lab.sleep(60_000);
    lab.sent();
    lab.moved();
    let question = arp_request(OTHER, "10.0.0.20", "10.0.0.254");
    lab.punt(&question, Punt::LearnNeighbor { port: R1_SW });
    lab.resolve(
        &packet("203.0.113.9", "10.0.0.30").build(),
        R1_SW,
        "10.0.0.30",
    );
    assert_eq!((lab.sent(), lab.moved()), (vec![], vec![("stale", 2)]));
    assert_eq!(lab.learned.neighbors.iter().count(), 0);
}

#[test]
fn what_the_topology_gives_from_now_on_is_not_learned_any_more() {
    let mut lab = Lab::new();
    for last in 20..22 {
        let ip = ip(&format!("10.0.0.{last}"));
        lab.sight(Sighting::Neighbor {
            port: R1_SW,
            ip,
            mac: OTHER,
            reply: false,
        });
    }
    let mut r1 = router();
    r1.neighbors.insert((0, ip("10.0.0.20")), PEER);
    let mut next = tables(2, inner_switch(), r1, outer_switch());
    next.underlay = None;
    lab.publish(next);
    assert_eq!(lab.mac(R1_SW, "10.0.0.20"), None);
    assert_eq!(lab.mac(R1_SW, "10.0.0.21"), Some(OTHER));
}

#[test]
fn a_step_takes_so_many_frames_and_comes_back_at_once_for_the_rest() {
    let mut lab = Lab::new();
    let question = arp_request(OTHER, "10.0.0.20", "10.0.0.10");
    for _ in 0..100 {
        let work = Work::Punt(Punt::AnswerNeighbor {
            from: VM_PORT,
            mac: VM,
        });
        lab.queue(&question, 0, Origin::Device(DeviceId(0)), work);
    }
    assert_eq!(lab.step(), Tick(lab.now));
    assert_eq!(lab.sent().len(), 64);
    assert!(!lab.agent.is_drained());
    assert!(lab.step().since(Tick(lab.now)) > 100);
    assert_eq!(lab.sent().len(), 36);
}

#[test]
fn what_teaches_and_what_does_not() {
    let sighting = |ip_: &str, mac, reply| Sighting::Neighbor {
        port: R1_SW,
        ip: ip(ip_),
        mac,
        reply,
    };
    type Moved = &'static [(&'static str, u64)];
    let cases: &[(&str, Sighting, Option<Mac>, Moved)] = &[
        (
            "a request on the link",
            sighting("10.0.0.20", OTHER, false),
            Some(OTHER),
            &[("neighbors-learned", 1)],
        ),
        (
            "a reply nobody asked for",
            sighting("10.0.0.20", OTHER, true),
            None,
            &[],
        ),
        (
            "a request of another network",
            sighting("10.0.1.20", OTHER, false),
            None,
            &[],
        ),
        (
            "a neighbor given in the topology",
            sighting("10.0.0.77", PEER, false),
            None,
            &[],
        ),
        (
            "a VM known in the topology",
            sighting("10.0.0.10", PEER, false),
            None,
            &[],
        ),
        (
            "another with our address",
            sighting("10.0.0.254", PEER, false),
            None,
            &[("address-conflicts", 1)],
        ),
        ("ourselves", sighting("10.0.0.254", INNER, false), None, &[]),
        (
            "our MAC with another address",
            sighting("10.0.0.20", INNER, false),
            None,
            &[],
        ),
        (
            "a group's MAC",
            sighting("10.0.0.20", Mac([1, 0, 0x5e, 0, 0, 1]), false),
            None,
            &[],
        ),
        ("nobody", sighting("0.0.0.0", OTHER, false), None, &[]),
    ];
    for (name, sighting, mac, moved) in cases {
        let mut lab = Lab::new();
        lab.sight(*sighting);
        let Sighting::Neighbor { ip, .. } = sighting else {
            unreachable!()
        };
        assert_eq!(lab.mac(R1_SW, &ip.to_string()), *mac, "{name}");
        assert_eq!(lab.moved(), *moved, "{name}");
        assert_eq!(lab.sent(), [], "{name}");
    }
}

#[test]
fn a_moved_address_is_followed() {
    let mut lab = Lab::new();
    for mac in [OTHER, PEER] {
        lab.sight(Sighting::Neighbor {
            port: R1_SW,
            ip: ip("10.0.0.20"),
            mac,
            reply: false,
        });
        assert_eq!(lab.mac(R1_SW, "10.0.0.20"), Some(mac));
    }
    assert_eq!(
        lab.moved(),
        [("neighbors-learned", 1), ("neighbors-moved", 1)]
    );
}

#[test]
fn a_port_has_so_many_neighbors_and_no_more() {
    let mut tables = tables(1, inner_switch(), router(), outer_switch());
    tables.underlay = None;
    let mut lab = Lab::with(
        tables,
        Settings {
            port_neighbors: 2,
            ..Settings::default()
        },
    );
    lab.sleep(60_000);
    lab.sent();
    lab.moved();
    for last in 20..24 {
        lab.sight(Sighting::Neighbor {
            port: R1_SW,
            ip: ip(&format!("10.0.0.{last}")),
            mac: OTHER,
            reply: false,
        });
    }
    lab.resolve(
        &packet("203.0.113.9", "10.0.0.30").build(),
        R1_SW,
        "10.0.0.30",
    );
    assert_eq!(
        lab.moved(),
        [("neighbors-learned", 2), ("neighbors-refused", 3)]
    );
    assert_eq!((lab.sent(), lab.pool.in_use()), (vec![], 0));
    lab.resolve(
        &packet("10.0.0.20", "203.0.113.9").build(),
        R1_EXT,
        "203.0.113.9",
    );
    assert_eq!(lab.moved(), [("asked", 1)], "another port has room");
}

#[test]
fn flushing_forgets_and_says_how_many() {
    let mut lab = Lab::new();
    for last in 20..24 {
        lab.sight(Sighting::Neighbor {
            port: R1_SW,
            ip: ip(&format!("10.0.0.{last}")),
            mac: OTHER,
            reply: false,
        });
    }
    lab.sight(Sighting::Neighbor {
        port: R1_EXT,
        ip: ip("203.0.113.9"),
        mac: PEER,
        reply: false,
    });
    let (done, told) = unbounded();
    let flush = |port, ip| AgentRequest::FlushNeighbors {
        port,
        ip,
        done: Some(done.clone()),
    };
    lab.request(flush(Some(R1_SW), Some(ip("10.0.0.21"))));
    lab.request(flush(Some(R1_SW), None));
    assert_eq!((told.try_recv(), told.try_recv()), (Ok(1), Ok(3)));
    assert_eq!(lab.mac(R1_EXT, "203.0.113.9"), Some(PEER));
    lab.request(flush(None, None));
    assert_eq!(told.try_recv(), Ok(1));
    assert_eq!(lab.learned.neighbors.iter().count(), 0);
}

#[test]
fn neighbors_go_with_their_port_and_frames_that_waited_too() {
    let mut lab = Lab::new();
    lab.sight(Sighting::Neighbor {
        port: R1_SW,
        ip: ip("10.0.0.20"),
        mac: OTHER,
        reply: false,
    });
    lab.resolve(
        &packet("203.0.113.9", "10.0.0.30").build(),
        R1_SW,
        "10.0.0.30",
    );
    lab.moved();
    let mut without = tables(2, inner_switch(), router(), outer_switch());
    without.underlay = None;
    without.ports[R1_SW.0 as usize] = None;
    lab.publish(without);
    assert_eq!(lab.learned.neighbors.iter().count(), 0);
    assert_eq!(lab.moved(), [("waiting-dropped", 1)]);
    assert_eq!(lab.pool.in_use(), 1, "only the question on its way");
}

#[test]
fn work_for_what_has_gone_is_counted() {
    let mut lab = Lab::new();
    let frame = packet("10.0.0.10", "203.0.113.9").build();
    let request = arp_request(OTHER, "10.0.0.20", "10.0.0.10");
    let gone = PortId(99);
    lab.resolve(&frame, gone, "203.0.113.9");
    lab.resolve(&frame, R1_EXT, "2001:db8::9");
    lab.punt(&request, Punt::LearnNeighbor { port: gone });
    lab.punt(
        &request,
        Punt::AnswerNeighbor {
            from: gone,
            mac: VM,
        },
    );
    lab.punt(&frame, Punt::Echo { port: gone });
    lab.sight(Sighting::Mac {
        domain: DOMAIN_SW,
        mac: VM,
        port: gone,
    });
    assert_eq!(lab.moved(), [("stale", 6)]);
    lab.punt(&frame, Punt::LearnNeighbor { port: R1_SW });
    lab.punt(&[1, 2, 3], Punt::LearnNeighbor { port: R1_SW });
    lab.hand_inner(
        &frame,
        9_999,
        Origin::Router(DatapathId(1)),
        Work::Punt(Punt::Echo { port: R1_SW }),
    );
    assert_eq!(lab.moved(), [("malformed", 3)]);
    assert_eq!((lab.sent(), lab.pool.in_use()), (vec![], 0));
}
