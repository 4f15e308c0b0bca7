//! Nodes, wires and hosts, run until nothing moves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashbrown::HashMap;
use sluice_fastpath::ids::Tick;
use sluice_fastpath::io::DeviceId;
use sluice_net::builder::Echo;
use sluice_net::{Builder, L3, L4, Mac, pcap, show};

use super::IntoFrame;
use super::checks::verify;
use super::family;
use super::host::Host;
use super::node::{Node, NodeOptions};
use super::scratch::{NodeFile, Scratch};

/// Turns in one settling before something is said to run in a circle.
const TURNS: usize = 20_000;

/// An end of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Device(String, DeviceId),
    Host(String),
}

#[derive(Debug, Default)]
struct Wire {
    ends: Vec<End>,
    learned: HashMap<Mac, usize>,
}

struct Passed {
    at: Tick,
    wire: String,
    frame: Vec<u8>,
}

/// Nodes and what joins them.
pub struct Network {
    pub nodes: BTreeMap<String, Node>,
    pub hosts: BTreeMap<String, Host>,
    wires: BTreeMap<String, Wire>,
    pub now: Tick,
    /// Frames with wrong checksums are meant: the test feeds such.
    pub wrong_checksums: bool,
    /// The queue a frame arrives on, by its bytes; a node with one worker has queue 0 only.
    pub queue: fn(&[u8]) -> u16,
    /// Done to every node before each of its turns.
    pub before_turn: fn(&mut Node),
    /// Keep what passes the wires; off where there is very much.
    pub record: bool,
    passed: Vec<Passed>,
    scratch: Option<Scratch>,
}

impl Network {
    /// Nodes of one of the reference networks, from the files that users get.
    pub fn reference(network: &str, nodes: &[&str]) -> Network {
        Self::reference_with(network, nodes, &NodeOptions::default())
    }

    /// The same with options.
    pub fn reference_with(network: &str, nodes: &[&str], options: &NodeOptions) -> Network {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../configs")
            .join(network);
        let files = nodes.iter().map(|node| root.join(format!("{node}.toml")));
        Self::start(files.collect(), options, None)
    }

    /// Nodes of a topology of the test's own.
    pub fn new(topology: &str, nodes: &[NodeFile]) -> Network {
        Self::with(topology, nodes, &NodeOptions::default())
    }

    /// The same with options.
    pub fn with(topology: &str, nodes: &[NodeFile], options: &NodeOptions) -> Network {
        let scratch = Scratch::new();
        scratch.write("topology.toml", &family::topology(topology));
        let files = nodes
            .iter()
            .map(|node| scratch.write(&format!("{}.toml", node.name), &node.text("topology.toml")));
        let files = files.collect();
        Self::start(files, options, Some(scratch))
    }

    fn start(files: Vec<PathBuf>, options: &NodeOptions, scratch: Option<Scratch>) -> Network {
        let now = Tick(1000);
        let mut network = Network {
            nodes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            wires: BTreeMap::new(),
            now,
            wrong_checksums: false,
            queue: |_| 0,
            before_turn: |_| {},
            record: true,
            passed: Vec::new(),
            scratch,
        };
        for file in files {
            network.add(Node::start(file, options, now));
        }
        network
    }

    /// Adds a node and ties its devices to wires: the underlay, one wire a physical network, one a VIF.
    fn add(&mut self, node: Node) {
        let mut ends = Vec::new();
        if let Some(underlay) = &node.view.underlay {
            ends.push(("underlay".to_owned(), underlay.device));
        }
        let mappings = node.view.bridge_mappings.iter();
        ends.extend(mappings.map(|(network, device)| (network.clone(), *device)));
        for (port, device) in node.vifs() {
            ends.push((port.to_owned(), device));
            self.hosts
                .entry(port.to_owned())
                .or_insert_with(|| Host::hands(Mac::ZERO));
        }
        for (wire, device) in ends {
            let vif = node.vifs().any(|(port, _)| port == wire);
            let entry = self.wires.entry(wire.clone()).or_default();
            entry.ends.push(End::Device(node.name.clone(), device));
            if vif {
                entry.ends.push(End::Host(wire));
            }
        }
        self.nodes.insert(node.name.clone(), node);
    }

    /// Puts a host on a wire (`underlay` or a physical network), or makes the host behind a VIF.
    pub fn host(&mut self, name: &str, wire: &str, host: Host) {
        let end = End::Host(name.to_owned());
        let entry = self.wires.entry(wire.to_owned()).or_default();
        if !entry.ends.contains(&end) {
            entry.ends.push(end);
        }
        self.hosts.insert(name.to_owned(), host);
    }

    /// Another chassis, played by a test: answers ARP for its tunnel address and takes what is sent to it.
    pub fn chassis(&mut self, name: &str, address: &str) -> Mac {
        let mac = super::device_mac(name, "underlay");
        self.host(name, "underlay", Host::station(mac, &[address], None));
        mac
    }

    /// Lets all announcements of the start go by, and forgets what was seen.
    pub fn quiet(mut self) -> Network {
        self.run(20_000);
        self.forget();
        self
    }

    /// Forgets frames received and marks all counters.
    pub fn forget(&mut self) {
        for host in self.hosts.values_mut() {
            host.inbox.clear();
        }
        for node in self.nodes.values_mut() {
            node.mark = node.counts();
        }
    }

    /// A host sends a frame; everything runs until it is quiet.
    pub fn send(&mut self, host: &str, frame: impl IntoFrame) {
        self.send_later(host, frame);
        self.settle();
    }

    /// A host sends a frame, which waits until the next settling.
    pub fn send_later(&mut self, host: &str, frame: impl IntoFrame) {
        self.hosts
            .get_mut(host)
            .unwrap_or_else(|| panic!("no host {host}"))
            .outbox
            .push(frame.into_frame());
    }

    /// The frames a host got, as they were on the wire.
    pub fn take(&mut self, host: &str) -> Vec<Vec<u8>> {
        let host = self
            .hosts
            .get_mut(host)
            .unwrap_or_else(|| panic!("no host {host}"));
        std::mem::take(&mut host.inbox)
    }

    /// The one frame a host got.
    #[track_caller]
    pub fn take_one(&mut self, host: &str) -> Vec<u8> {
        let mut frames = self.take(host);
        assert_eq!(
            frames.len(),
            1,
            "{host} got {:#?}",
            frames.iter().map(|f| show(f)).collect::<Vec<_>>()
        );
        frames.remove(0)
    }

    /// Runs at this moment until nothing moves, then checks every node.
    pub fn settle(&mut self) {
        for _ in 0..TURNS {
            let mut moved = self.carry();
            let now = self.now;
            for node in self.nodes.values_mut() {
                (self.before_turn)(node);
                moved |= node.turn(now);
            }
            if !moved {
                for node in self.nodes.values() {
                    node.check();
                }
                return;
            }
        }
        panic!("no end of it after {TURNS} turns");
    }

    /// Lets time pass.
    pub fn run(&mut self, ms: u32) {
        let end = self.now.plus(ms);
        self.settle();
        while self.now != end {
            let dues = self.nodes.values().map(|node| node.due.since(self.now));
            // A deadline that has gone by reads as one far ahead: it was served just now.
            let step = dues
                .filter(|due| (1..1 << 31).contains(due))
                .min()
                .unwrap_or(1000);
            self.now = self.now.plus(step.clamp(1, 1000).min(end.since(self.now)));
            self.settle();
        }
    }

    /// Moves all frames that were sent to the other ends of their wires. True when there were any.
    fn carry(&mut self) -> bool {
        let mut moved = false;
        let names: Vec<String> = self.wires.keys().cloned().collect();
        for name in names {
            for index in 0..self.wires[&name].ends.len() {
                let end = self.wires[&name].ends[index].clone();
                let frames = match &end {
                    End::Device(node, device) => match self.nodes.get(node) {
                        Some(node) => node.devices.sent(*device),
                        None => Vec::new(),
                    },
                    End::Host(host) => {
                        std::mem::take(&mut self.hosts.get_mut(host).unwrap().outbox)
                    }
                };
                for frame in frames {
                    moved = true;
                    self.pass(&name, index, &end, frame);
                }
            }
        }
        moved
    }

    fn pass(&mut self, name: &str, from: usize, end: &End, frame: Vec<u8>) {
        if let (End::Device(node, _), false) = (end, self.wrong_checksums)
            && let Err(error) = verify(&frame)
        {
            panic!("{node} sent {}: {error}", show(&frame));
        }
        let wire = self.wires.get_mut(name).unwrap();
        let source = frame.get(6..12).map(|mac| Mac(mac.try_into().unwrap()));
        let target = frame.get(..6).map(|mac| Mac(mac.try_into().unwrap()));
        if let Some(source) = source.filter(|mac| !mac.is_multicast()) {
            wire.learned.insert(source, from);
        }
        // Two ends need no switch.
        let known = target
            .filter(|_| wire.ends.len() > 2)
            .and_then(|target| wire.learned.get(&target).copied());
        let ends: Vec<End> = wire
            .ends
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != from && known.is_none_or(|known| known == *index))
            .map(|(_, end)| end.clone())
            .collect();
        for end in ends {
            match end {
                End::Device(node, device) => {
                    if let Some(node) = self.nodes.get(&node) {
                        node.feed(device, (self.queue)(&frame), &frame);
                    }
                }
                End::Host(host) => self.hosts.get_mut(&host).unwrap().receive(frame.clone()),
            }
        }
        if self.record {
            self.passed.push(Passed {
                at: self.now,
                wire: name.to_owned(),
                frame,
            });
        }
    }

    /// What moved at each node since the counters were marked: one line a node that did anything.
    pub fn moved(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for node in self.nodes.values_mut() {
            let counts = node.counts();
            let moved = counts.since(&node.mark);
            node.mark = counts;
            if !moved.is_empty() {
                lines.push(format!("{}: {moved}", node.name));
            }
        }
        lines
    }

    /// Sends a frame and says what came of it: who got which frame, and which counters moved where.
    pub fn probe(&mut self, host: &str, frame: impl IntoFrame) -> Outcome {
        self.forget();
        self.send(host, frame);
        let hosts: Vec<String> = self.hosts.keys().cloned().collect();
        let mut got = Vec::new();
        for name in hosts {
            got.extend(
                self.take(&name)
                    .iter()
                    .map(|frame| format!("{name}: {}", family::told(show(frame)))),
            );
        }
        Outcome {
            got,
            moved: self.moved(),
        }
    }

    /// Echo requests from one host to an address; the TTL of the reply, when one came within three seconds.
    pub fn ping(&mut self, from: &str, to: &str) -> Option<u8> {
        let to = super::ip(to);
        let id = (self.passed.len() % 60_000) as u16 + 1;
        self.take(from);
        let ask = |builder: Builder| builder.icmp_echo(Echo::Request, id, 1).payload(&[0xa5; 56]);
        self.hosts.get_mut(from).unwrap().send_ip(to, ask);
        for _ in 0..31 {
            self.settle();
            let replies = self.take(from);
            let mut parsed = replies
                .iter()
                .filter_map(|frame| sluice_net::parse(frame).ok());
            let ttl = parsed.find_map(|headers| match headers.l3 {
                L3::Ip(ip) if ip.l4 == (L4::Echo { reply: true, id }) && ip.src == to => {
                    Some(ip.ttl)
                }
                _ => None,
            });
            if ttl.is_some() {
                return ttl;
            }
            self.run(100);
        }
        None
    }

    /// Ends a node as kill -9 does: it neither sends nor receives.
    pub fn kill(&mut self, node: &str) {
        self.nodes.remove(node).expect("a node to kill");
    }

    /// Starts a node of a reference network again, with nothing learned.
    pub fn restart(&mut self, network: &str, node: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
        let file = root.join(network).join(format!("{node}.toml"));
        let started = Node::start(file, &NodeOptions::default(), self.now);
        self.nodes.insert(node.to_owned(), started);
    }

    /// Writes another topology and lets all nodes reload.
    pub fn reload(&mut self, topology: &str) {
        let scratch = self.scratch.as_ref().expect("a topology of its own");
        scratch.write("topology.toml", &family::topology(topology));
        for node in self.nodes.values_mut() {
            node.reload();
        }
        self.settle();
    }

    /// A node.
    pub fn node(&self, name: &str) -> &Node {
        &self.nodes[name]
    }

    /// Every frame that passed a wire so far.
    pub fn frames(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.passed
            .iter()
            .map(|passed| (passed.wire.as_str(), passed.frame.as_slice()))
    }

    /// No buffer may be out when nothing moves and nothing waits.
    pub fn assert_no_buffer_lost(&self) {
        for node in self.nodes.values() {
            assert_eq!(node.pool.in_use(), 0, "{}: buffers in use", node.name);
        }
    }
}

/// What came of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Host and frame, for every frame that reached one.
    pub got: Vec<String>,
    /// Node and counters.
    pub moved: Vec<String>,
}

impl Outcome {
    /// Panics unless exactly these frames reached hosts and exactly these counters moved.
    #[track_caller]
    pub fn expect(&self, case: &str, got: &[&str], moved: &[&str]) {
        assert_eq!(self.got, got, "{case}: frames at hosts");
        assert_eq!(self.moved, moved, "{case}: counters");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let name = std::thread::current()
            .name()
            .unwrap_or("test")
            .replace("::", "-");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcap"));
        match self.capture(&path) {
            Ok(()) => eprintln!("all wires: {}", path.display()),
            Err(error) => eprintln!("no capture: {error}"),
        }
        let first = self.passed.len().saturating_sub(40);
        for passed in &self.passed[first..] {
            eprintln!(
                "{:>8} {:<12} {}",
                passed.at.0,
                passed.wire,
                show(&passed.frame)
            );
        }
    }
}

impl Network {
    fn capture(&self, path: &Path) -> std::io::Result<()> {
        let mut writer = pcap::Writer::new(std::fs::File::create(path)?, pcap::Precision::Micro)?;
        for passed in &self.passed {
            writer.write(Duration::from_millis(u64::from(passed.at.0)), &passed.frame)?;
        }
        writer.finish().map(drop)
    }
}
