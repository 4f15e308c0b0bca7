//! What is seen of a network: frames, counters, connections.

use std::collections::BTreeMap;
use std::fmt::Write;

use sluice_fastpath::connections::Connection;
use sluice_fastpath::counters::Work;
use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::verdict::{DropReason, PuntClass};
use sluice_net::show;

use crate::support::{Network, Node};

/// Packets that took a cached way, without and with a connection, and those that walked.
pub fn ways(net: &Network) -> [u64; 3] {
    [Work::Lane, Work::Established, Work::Walk].map(|work| work_done(net, work))
}

pub fn work_done(net: &Network, work: Work) -> u64 {
    net.node("gw").counters[0].work(work)
}

/// All that may not differ: frames at hosts, counters, connections.
pub struct Seen {
    pub got: Vec<(String, Vec<u8>)>,
    counts: BTreeMap<String, u64>,
    connections: Vec<String>,
}

pub fn seen(net: &mut Network) -> Seen {
    let hosts: Vec<String> = net.hosts.keys().cloned().collect();
    let mut got = Vec::new();
    for name in hosts {
        got.extend(
            net.take(&name)
                .into_iter()
                .map(|frame| (name.clone(), frame)),
        );
    }
    Seen {
        got,
        counts: counts(net.node("gw")),
        connections: connections(net.node("gw")),
    }
}

/// What differs between what was seen of a network and of one in which every packet walked.
pub fn differences(found: &Seen, walked: &Seen) -> Vec<String> {
    let mut all = Vec::new();
    if found.got != walked.got {
        let lines = |seen: &Seen| -> Vec<String> {
            let line = |(host, frame): &(String, Vec<u8>)| {
                let mut line = format!("{host}: {} ", show(frame));
                frame
                    .iter()
                    .for_each(|byte| write!(line, "{byte:02x}").unwrap());
                line
            };
            seen.got.iter().map(line).collect()
        };
        all.push(format!(
            "frames {:#?}\nwalked {:#?}",
            lines(found),
            lines(walked)
        ));
    }
    for (name, value) in &walked.counts {
        let found = found.counts.get(name);
        if found != Some(value) {
            all.push(format!("{name} {found:?}, walked {value}"));
        }
    }
    if found.connections != walked.connections {
        let (found, walked) = (&found.connections, &walked.connections);
        let only = |some: &[String], others: &[String]| -> Vec<String> {
            some.iter()
                .filter(|one| !others.contains(one))
                .cloned()
                .collect()
        };
        let both = (only(found, walked), only(walked, found));
        all.push(format!("connections {:#?}\nwalked {:#?}", both.0, both.1));
    }
    all
}

fn counts(node: &Node) -> BTreeMap<String, u64> {
    let counters = &node.counters[0];
    let mut all = BTreeMap::new();
    let mut count = |name: String, value| *all.entry(name).or_insert(0) += value;
    for &reason in DropReason::ALL {
        count(format!("drop:{}", reason.name()), counters.drops(reason));
    }
    for class in PuntClass::ALL {
        count(format!("punt:{}", class.name()), counters.punts(class));
    }
    for work in Work::ALL {
        let name = match work {
            Work::Busy | Work::Empty | Work::Sleep => continue,
            Work::Walk | Work::Lane | Work::Established => "by a way",
            _ => work.name(),
        };
        count(name.to_owned(), counters.work(work));
    }
    for device in 0..node.view.devices.len() {
        let (rx, tx) = counters.device(DeviceId(device as u16));
        for (name, value) in [("in", rx), ("out", tx)] {
            count(format!("device {device} {name}"), value.packets);
            count(format!("device {device} {name} bytes"), value.bytes);
        }
    }
    let tables = node.cell.current();
    for port in (0..tables.ports.len() as u32).map(PortId) {
        let (rx, tx) = counters.port(port);
        let name = tables.port_name(port);
        for (way, value) in [("in", rx), ("out", tx)] {
            count(format!("port {name} {way}"), value.packets);
            count(format!("port {name} {way} bytes"), value.bytes);
        }
    }
    for (name, _, value) in node.agent_counters.iter() {
        count(format!("slow:{name}"), value);
    }
    all
}

fn connections(node: &Node) -> Vec<String> {
    let mut all = Vec::new();
    node.connections
        .scan(0, usize::MAX, |connection: Connection| {
            all.push(format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                connection.original,
                connection.reply,
                connection.state,
                connection.flags,
                connection.packets,
                connection.bytes,
                connection.last_seen,
            ));
        });
    all.sort();
    all
}
