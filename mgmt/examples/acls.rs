//! How long ten thousand ACLs take: to read, to compile, again, and to ask.
//!
//! ```text
//! cargo run --release -p sluice-mgmt --no-default-features --example acls [RULES [ENTRIES]]
//! ```
//!
//! The rules are those of security groups: to the ports of one of 16 groups, from one of 8 address sets of so many entries,
//! to a port of its own.

use std::fmt::Write;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use sluice_fastpath::ids::PortId;
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::tables::classifier::Packet;
use sluice_fastpath::tables::{AclDirection, Acls, PieceKind, Tables};
use sluice_mgmt::compile::{Compiler, DeviceView, NodeView};
use sluice_mgmt::config::parse_topology;
use sluice_mgmt::topology::Problem;
use sluice_net::{Builder, Headers, Mac, parse};

const GROUPS: usize = 16;
const SETS: usize = 8;
const PACKETS: u32 = 65_536;

/// Different numbers, spread over 17 bits.
fn scattered(number: usize) -> Ipv4Addr {
    let spread = (number as u32).wrapping_mul(0x9e37_79b9) >> 15;
    Ipv4Addr::from_bits((10 << 24) + spread)
}

fn topology(rules: usize, entries: usize) -> Result<String, std::fmt::Error> {
    let mut text = String::from("default_acl_drop = true\n");
    for group in 0..GROUPS {
        writeln!(text, "[switch.ls.port.vm{group}]")?;
        writeln!(text, "[port_group.pg{group}]\nports = [\"vm{group}\"]")?;
    }
    for set in 0..SETS {
        let all = (0..entries).map(|n| format!("\"{}\"", scattered(n * SETS + set)));
        let all: Vec<String> = all.collect();
        writeln!(
            text,
            "[address_set.as{set}]\naddresses = [{}]",
            all.join(", ")
        )?;
    }
    for rule in 0..rules {
        let (group, set) = (rule % GROUPS, rule % SETS);
        writeln!(
            text,
            "[[switch.ls.acl]]\ndirection = \"to-lport\"\npriority = {}\naction = \"allow-related\"\n\
             match = 'outport == @pg{group} && ip4.src == $as{set} && tcp.dst == {rule}'",
            rule % 32_768
        )?;
    }
    Ok(text)
}

fn packets() -> Vec<(Headers, PortId)> {
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let packet = |number: u32| {
        let src = scattered(number as usize).into();
        let frame = Builder::ethernet(mac, mac).ip(src, [10, 0, 0, 1].into());
        let frame = frame.tcp(1000, (number * 7919 % 10_000) as u16, 2).build();
        let port = PortId(number % GROUPS as u32);
        parse(&frame).map(|headers| (headers, port))
    };
    (0..PACKETS)
        .filter_map(|number| packet(number).ok())
        .collect()
}

fn acls(tables: &Tables) -> Option<&Acls> {
    tables
        .datapaths
        .iter()
        .flatten()
        .find_map(|piece| match &piece.kind {
            PieceKind::Switch(switch) => switch.acls.as_deref(),
            PieceKind::Router(_) => None,
        })
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    println!("{what:<34} {:>8.1} ms", began.elapsed().as_secs_f64() * 1e3);
    done
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        let given = arguments.next().and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (rules, entries) = (number(10_000), number(10_000));
    let text = topology(rules, entries)?;
    println!(
        "{rules} ACLs, {SETS} sets of {entries} addresses, {} KiB of text",
        text.len() >> 10
    );
    let device = DeviceView {
        name: "eth0".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, 2]),
        mtu: 1500,
    };
    let mut node = NodeView {
        devices: [device].into(),
        ..NodeView::default()
    };
    node.iface_id.insert("vm0".to_owned(), DeviceId(0));
    let resolved = timed("read, checked, resolved", || {
        parse_topology("topology.toml", &text, Path::new("."))
    })?;
    let mut compiler = Compiler::new();
    let refused =
        |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<String>();
    let compiled = timed("compiled", || compiler.compile(&resolved, &node)).map_err(refused)?;
    let tables = compiler.commit(compiled);
    let compiled = timed("compiled again, unchanged", || {
        compiler.compile(&resolved, &node)
    });
    black_box(compiled.map_err(refused)?);
    let acls = acls(&tables).ok_or("no ACLs")?;
    println!("tables {} KiB", acls.to_lport.classifier().memory() >> 10);
    let packets = packets();
    let (mut best, mut found) = (f64::MAX, 0);
    for _ in 0..8 {
        let began = Instant::now();
        found = packets.iter().filter(|packet| passes(acls, packet)).count();
        best = best.min(began.elapsed().as_nanos() as f64 / packets.len() as f64);
    }
    println!(
        "a decision {best:.0} ns, {found} of {} packets pass",
        packets.len()
    );
    Ok(())
}

fn passes(acls: &Acls, (headers, port): &(Headers, PortId)) -> bool {
    let packet = Packet {
        headers,
        in_port: Some(*port),
        out_port: Some(*port),
    };
    black_box(acls.decide(AclDirection::ToLport, &packet))
        .acl
        .is_some()
}
