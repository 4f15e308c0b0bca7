//! A large network: that it is read rightly, and (asked for by name, in a release build) fast.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::Files;
use crate::config::Loaded;

const NODE: &str = "chassis = \"gw1\"\ntopology = \"topology.toml\"\n";

/// So many switches and routers, each switch with 19 VIFs and a router, each router with 50 routes.
fn topology(count: u32) -> String {
    let mut text = "[chassis.gw1]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n".to_owned();
    for n in 0..count {
        let (high, low) = (n >> 8, n & 255);
        write!(text, "[switch.s{n}]\nkey = {}\n", 2 * n + 1).unwrap();
        for p in 10..29 {
            write!(
                text,
                "[switch.s{n}.port.s{n}-p{p}]\nkey = {p}\nchassis = \"gw1\"\n\
                 addresses = [\"02:00:00:{high:02x}:{low:02x}:{p:02x} 10.{high}.{low}.{p}\"]\n\
                 port_security = [\"02:00:00:{high:02x}:{low:02x}:{p:02x} 10.{high}.{low}.{p}\"]\n"
            )
            .unwrap();
        }
        write!(
            text,
            "[switch.s{n}.port.s{n}-r]\nkey = 1\ntype = \"router\"\nrouter_port = \"r{n}-s\"\n\
             [router.r{n}]\nkey = {}\n[router.r{n}.port.r{n}-s]\nkey = 1\n\
             networks = [\"10.{high}.{low}.1/24\"]\n",
            2 * n + 2
        )
        .unwrap();
        for route in 0..50 {
            write!(
                text,
                "[[router.r{n}.route]]\nip_prefix = \"192.{route}.0.0/16\"\n\
                 nexthop = \"10.{high}.{low}.{}\"\n",
                10 + route % 19
            )
            .unwrap();
        }
    }
    text
}

fn load(count: u32, routes: u32) -> (Loaded, Duration) {
    let mut topology = topology(count);
    let mut lines = String::new();
    for n in 0..routes {
        let (a, b, c) = (n >> 16, (n >> 8) & 255, n & 255);
        writeln!(lines, "{}.{b}.{c}.0/24 via 10.0.0.10", 100 + a).unwrap();
    }
    topology = topology.replacen(
        "[router.r0]\n",
        "[router.r0]\nroutes_file = \"routes\"\n",
        1,
    );
    let files = [
        ("node.toml", NODE),
        ("topology.toml", &topology),
        ("routes", &lines),
    ];
    let files = Files::new(&files);
    let start = Instant::now();
    let loaded = files.load().unwrap_or_else(|errors| panic!("{errors}"));
    (loaded, start.elapsed())
}

#[test]
fn nothing_is_lost() {
    let (loaded, _) = load(30, 1000);
    let topology = loaded.topology;
    assert_eq!((topology.switches.len(), topology.routers.len()), (30, 30));
    let ports: usize = topology
        .switches
        .values()
        .map(|switch| switch.ports.len())
        .sum();
    assert_eq!(ports, 600);
    let routes: usize = topology
        .routers
        .values()
        .map(|router| router.routes.len())
        .sum();
    assert_eq!(routes, 30 * 50 + 1000);
}

#[test]
#[ignore = "measures: cargo test --release -p sluice-mgmt -- --ignored large"]
fn large_networks_load_in_under_a_second() {
    let (_, wide) = load(1000, 0);
    let (_, long) = load(1, 500_000);
    println!("1000 switches and routers: {wide:?}; 500,000 routes: {long:?}");
    assert!(wide < Duration::from_secs(1) && long < Duration::from_secs(1));
}
