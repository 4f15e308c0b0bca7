//! The agent and a worker together, from device to device: what the one hands over, the other understands.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::sync::Parker;
use sluice_fastpath::connections::{Capacity, ConnectionTable, Timeouts};
use sluice_fastpath::counters::Counters;
use sluice_fastpath::exchange::Exchange;
use sluice_fastpath::ids::{Tick, WorkerId};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::io::memory::{MemoryDevices, MemoryPool, MemoryPorts};
use sluice_fastpath::learned::Learned;
use sluice_fastpath::snapshot::TablesCell;
use sluice_fastpath::verdict::DropReason;
use sluice_fastpath::worker::{IdleMode, Worker, WorkerSetup};
use sluice_net::builder::Echo;
use sluice_net::{Builder, Fragment, Headers, L4, Mac, parse};

use super::lab::*;
use crate::agent::{Agent, AgentConfig, Settings};

const VM_SIDE: DeviceId = DeviceId(0);
const OUTSIDE: DeviceId = DeviceId(1);

struct Node {
    agent: Agent<MemoryPool>,
    worker: Worker<MemoryPorts, MemoryPool>,
    devices: MemoryDevices,
    counters: Arc<Counters>,
    now: u32,
}

impl Node {
    /// The node of the picture; what it announces at the start has been sent.
    fn new() -> Node {
        let cell = TablesCell::new();
        cell.publish(Arc::new(tables(
            1,
            inner_switch(),
            router(),
            outer_switch(),
        )));
        let learned = Arc::new(Learned::new(64, 64, 4));
        let pool = Arc::new(MemoryPool::new(512));
        let devices = MemoryDevices::new(3, 1);
        let counters = Arc::new(Counters::new(3));
        let unparker = Parker::new().unparker().clone();
        let exchange = Arc::new(Exchange::new(128, unparker, Arc::default()));
        let table = ConnectionTable::new(Capacity::of_each(64), 1, 7);
        let worker = Worker::new(WorkerSetup {
            id: WorkerId(0),
            ports: devices.ports(0),
            pool: Arc::clone(&pool),
            devices: 3,
            tables: cell.reader(),
            learned: Arc::clone(&learned),
            connections: table
                .worker(WorkerId(0), Timeouts::default(), Tick(0))
                .expect("a free end"),
            exchanges: Arc::from([Arc::clone(&exchange)]),
            tx_workers: vec![WorkerId(0); 3],
            counters: Arc::clone(&counters),
            idle: IdleMode::Poll,
            seed: [1, 2],
            start: Instant::now(),
            pick_up: 0,
            spreads: Vec::new(),
            fragments: Default::default(),
        });
        let config = AgentConfig {
            pool,
            exchanges: vec![exchange],
            learned,
            reader: cell.reader(),
            settings: Settings::default(),
        };
        let agent = Agent::new(config).expect("the learned tables are free");
        Node {
            agent,
            worker,
            devices,
            counters,
            now: 1_000,
        }
    }

    /// Both take turns until neither has anything to do.
    fn run(&mut self) {
        loop {
            let taken = self.worker.burst(Tick(self.now));
            self.agent.step(Tick(self.now));
            if taken == 0 && self.agent.is_drained() && self.worker.burst(Tick(self.now)) == 0 {
                return;
            }
        }
    }

    /// Announcements and the like are over.
    fn settled() -> Node {
        let mut node = Node::new();
        node.sleep(20_000);
        for device in [VM_SIDE, OUTSIDE, UNDERLAY_DEVICE] {
            drop(node.devices.sent(device));
        }
        node
    }

    fn sleep(&mut self, ms: u32) {
        for _ in 0..ms / 100 {
            self.now += 100;
            self.run();
        }
    }

    fn receive(&mut self, device: DeviceId, frame: &Builder) {
        assert!(self.devices.feed(device, &frame.build()));
        self.run();
    }

    fn sent(&self, device: DeviceId) -> Vec<Headers> {
        self.devices
            .sent(device)
            .iter()
            .map(|frame| parse(frame).expect("it parses"))
            .collect()
    }

    #[track_caller]
    fn only(&self, device: DeviceId) -> Headers {
        let sent = self.sent(device);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0]
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let all = DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), self.counters.drops(*reason)));
        all.filter(|(_, n)| *n > 0).collect()
    }
}

fn to_outside(ttl: u8) -> Builder {
    packet("10.0.0.10", "203.0.113.9").ttl(ttl)
}

#[test]
fn the_vm_finds_its_router_and_pings_it() {
    let mut node = Node::settled();
    node.receive(
        VM_SIDE,
        &Builder::ethernet(VM, Mac::BROADCAST).arp_request(v4("10.0.0.10"), v4("10.0.0.254")),
    );
    let reply = node.only(VM_SIDE);
    assert_eq!(
        reply.arp().map(|arp| (arp.op, arp.sender_mac)),
        Some((2, INNER))
    );

    let solicit = crate::nd::solicit(VM, v6("2001:db8::10"), v6("2001:db8::ff"), None);
    node.devices.feed(VM_SIDE, &solicit);
    node.run();
    let advert = node.only(VM_SIDE);
    assert_eq!(advert.eth_src, INNER);
    assert!(matches!(
        advert.ip().map(|ip| ip.l4),
        Some(L4::NeighborAdvert { .. })
    ));

    for (src, dst) in [
        ("10.0.0.10", "10.0.0.254"),
        ("2001:db8::10", "2001:db8::ff"),
    ] {
        let ping = Builder::ethernet(VM, INNER)
            .ip(ip(src), ip(dst))
            .icmp_echo(Echo::Request, 1, 1);
        node.receive(VM_SIDE, &ping.payload(&[1; 1_300]));
        let reply = node.only(VM_SIDE);
        assert_eq!((reply.eth_src, reply.eth_dst), (INNER, VM));
        let packet = reply.ip().unwrap();
        assert_eq!(
            (packet.src, packet.l4),
            (ip(dst), L4::Echo { reply: true, id: 1 })
        );
    }
    assert_eq!(node.drops(), []);
}

#[test]
fn packets_wait_for_the_next_hop_outside() {
    let mut node = Node::settled();
    node.receive(VM_SIDE, &to_outside(64));
    node.receive(VM_SIDE, &to_outside(64));
    let question = node.only(OUTSIDE);
    assert_eq!(
        question.arp().map(|arp| (arp.sender_mac, arp.target_ip)),
        Some((OUTER, v4("203.0.113.9")))
    );
    node.receive(
        OUTSIDE,
        &Builder::ethernet(PEER, OUTER).arp_reply(v4("203.0.113.9"), v4("203.0.113.1")),
    );
    for sent in [node.sent(OUTSIDE), {
        node.receive(VM_SIDE, &to_outside(64));
        node.sent(OUTSIDE)
    }]
    .concat()
    {
        assert_eq!((sent.eth_src, sent.eth_dst), (OUTER, PEER));
        assert_eq!(
            sent.ip().map(|ip| (ip.ttl, ip.dst)),
            Some((63, ip("203.0.113.9")))
        );
    }
    assert_eq!(node.drops(), []);
}

#[test]
fn who_is_not_there_is_reported_to_the_vm() {
    let mut node = Node::settled();
    node.receive(VM_SIDE, &to_outside(64));
    node.sleep(3_100);
    let error = node.only(VM_SIDE);
    assert_eq!((error.eth_src, error.eth_dst), (INNER, VM));
    let packet = error.ip().unwrap();
    assert_eq!(
        (packet.src, packet.dst),
        (ip("10.0.0.254"), ip("10.0.0.10"))
    );
    assert!(matches!(
        packet.l4,
        L4::IcmpError {
            kind: 3,
            code: 1,
            inner: Some(_)
        }
    ));
    assert_eq!(node.sent(OUTSIDE).len(), 3);
}

#[test]
fn traceroute_sees_the_router() {
    let mut node = Node::settled();
    node.receive(VM_SIDE, &to_outside(1));
    let error = node.only(VM_SIDE);
    assert_eq!(error.ip().map(|ip| ip.src), Some(ip("10.0.0.254")));
    assert!(matches!(
        error.ip().unwrap().l4,
        L4::IcmpError {
            kind: 11,
            code: 0,
            inner: Some(_)
        }
    ));
    assert_eq!(node.drops(), [("ttl-exceeded", 1)]);
}

#[test]
fn large_packets_are_fragmented_or_refused() {
    let mut node = Node::settled();
    node.receive(
        VM_SIDE,
        &Builder::ethernet(VM, Mac::BROADCAST).arp_request(v4("10.0.0.10"), v4("10.0.0.254")),
    );
    node.receive(
        OUTSIDE,
        &Builder::ethernet(PEER, Mac::BROADCAST).arp_request(v4("203.0.113.9"), v4("203.0.113.1")),
    );
    node.sent(VM_SIDE);
    node.sent(OUTSIDE);
    let large = Builder::ethernet(PEER, OUTER)
        .ip(ip("203.0.113.9"), ip("10.0.0.10"))
        .udp(1, 2)
        .payload(&[3; 1_450]);
    node.receive(OUTSIDE, &large.clone().ttl(9));
    let pieces = node.sent(VM_SIDE);
    let shape: Vec<_> = pieces
        .iter()
        .filter_map(Headers::ip)
        .map(|ip| (ip.fragment, ip.total_len, ip.ttl))
        .collect();
    assert_eq!(
        shape,
        [(Fragment::First, 1_396, 8), (Fragment::Later, 102, 8)]
    );

    node.receive(OUTSIDE, &large.dont_fragment(true));
    let error = node.only(OUTSIDE);
    assert_eq!(
        (error.eth_dst, error.ip().map(|ip| ip.src)),
        (PEER, Some(ip("203.0.113.1")))
    );
    assert!(matches!(
        error.ip().unwrap().l4,
        L4::IcmpError {
            kind: 3,
            code: 4,
            ..
        }
    ));
    assert_eq!(node.drops(), [("too-big", 1)]);
}

#[test]
fn the_node_makes_itself_known() {
    let mut node = Node::new();
    node.run();
    let mut announced: Vec<_> = node
        .sent(OUTSIDE)
        .iter()
        .filter_map(Headers::arp)
        .map(|arp| (arp.op, arp.sender_mac, arp.target_ip))
        .collect();
    announced.sort();
    assert_eq!(
        announced,
        [
            (1, OUTER, v4("203.0.113.1")),
            (1, OUTER, v4("203.0.113.50"))
        ]
    );
    assert_eq!(node.sent(VM_SIDE), [], "inside, its MAC is known");
    let mut underlay: Vec<_> = node
        .sent(UNDERLAY_DEVICE)
        .iter()
        .filter_map(Headers::arp)
        .map(|arp| arp.target_ip.to_string())
        .collect();
    underlay.sort();
    assert_eq!(underlay, ["172.16.0.1", "172.16.0.2", "172.16.0.254"]);
    assert_eq!(node.drops(), []);
}

#[test]
fn the_underlay_address_answers() {
    let mut node = Node::settled();
    let question = Builder::ethernet(PEER, Mac::BROADCAST)
        .vlan(30)
        .arp_request(v4("172.16.0.2"), v4("172.16.0.1"));
    node.receive(UNDERLAY_DEVICE, &question);
    let reply = node.only(UNDERLAY_DEVICE);
    assert_eq!(
        (reply.vlan_id(), reply.arp().map(|arp| arp.sender_mac)),
        (Some(30), Some(UNDERLAY))
    );
    let ping = Builder::ethernet(PEER, UNDERLAY)
        .vlan(30)
        .ip(ip("172.16.0.2"), ip("172.16.0.1"));
    node.receive(UNDERLAY_DEVICE, &ping.icmp_echo(Echo::Request, 1, 1));
    assert_eq!(
        node.only(UNDERLAY_DEVICE).ip().map(|ip| ip.l4),
        Some(L4::Echo { reply: true, id: 1 })
    );
    assert_eq!(node.drops(), []);
}
