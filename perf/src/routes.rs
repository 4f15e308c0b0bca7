//! A router with a full table of both families: memory with a reload, and the time of a look-up.
//!
//! The table is read and compiled as the daemon does it, then one route changes and the node reloads, the old tables being
//! in use until the new ones are published. Look-ups are timed one by one, each address depending on the answer before, and in bursts
//! as the worker makes them; once with addresses uniform over the announced space, once over the routes.

mod table;

use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use sluice_fastpath::tables::{Choice, PieceKind, Router, Routing};

use crate::report::Bar;
use crate::scale::{Directory, Node, Steps, on_cpu, peak_memory};
use table::Table;

/// Routes of a family that the made-up table needs to have its shape,
const LEAST: u64 = 100;
/// and for which its space has room.
const MOST_V4: u64 = 2_000_000;
/// The same of IPv6.
const MOST_V6: u64 = 200_000;

/// How large the table is.
#[derive(Clone, Debug, Args)]
pub struct Routes {
    /// IPv4 routes.
    #[arg(long, default_value_t = 1_000_000, value_parser = RangedU64ValueParser::<usize>::new().range(LEAST..=MOST_V4))]
    pub v4: usize,
    /// IPv6 routes.
    #[arg(long, default_value_t = 200_000, value_parser = RangedU64ValueParser::<usize>::new().range(LEAST..=MOST_V6))]
    pub v6: usize,
    /// Addresses looked up.
    #[arg(long, default_value_t = 250_000, value_parser = RangedU64ValueParser::<usize>::new().range(1..=100_000_000))]
    pub lookups: usize,
    /// Runs of each kind; the median counts.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub runs: usize,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Nanoseconds of a look-up that waits for the one before.
const DEPENDENT_BAR: f64 = 40.0;
/// Nanoseconds of a look-up in a burst.
const BURST_BAR: f64 = 12.0;
/// Most memory the process ever held, in bytes.
const MEMORY_BAR: u64 = 1 << 30;
/// A run goes over all addresses so often: the clock of CPU time is coarse.
const PASSES: usize = 32;
/// Packets of a burst.
const BURST: usize = 32;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The first load.
    pub first: Steps,
    /// The reload with one route changed.
    pub reload: Steps,
    /// Most bytes of memory the process held until the reload was done.
    pub peak_memory: u64,
    /// Bytes of the look-up tables.
    pub fib_bytes: usize,
    rows: Vec<Timing>,
}

/// Look-ups of one family and one choice of addresses.
#[derive(Clone, Debug, Serialize)]
struct Timing {
    what: String,
    /// The bars are about these.
    judged: bool,
    /// Nanoseconds of CPU time.
    dependent: f64,
    burst: f64,
    steer: f64,
}

impl Report {
    /// True when every bar is met.
    pub fn met(&self) -> bool {
        self.peak_memory < MEMORY_BAR && self.rows.iter().all(Timing::met)
    }

    /// What is aimed at.
    pub fn bars(&self) -> Vec<Bar> {
        let slowest = |of: fn(&Timing) -> f64| {
            let judged = self.rows.iter().filter(|row| row.judged);
            judged.map(of).max_by(f64::total_cmp)
        };
        let memory = self.peak_memory as f64 / f64::from(1 << 20);
        vec![
            Bar::at_most(7, "full table with a reload", "MiB", 1024.0, Some(memory)),
            Bar::at_most(
                7,
                "dependent look-up",
                "ns",
                DEPENDENT_BAR,
                slowest(|row| row.dependent),
            ),
            Bar::at_most(
                7,
                "look-up in bursts of 32",
                "ns",
                BURST_BAR,
                slowest(|row| row.burst),
            ),
        ]
    }
}

impl Timing {
    fn met(&self) -> bool {
        !self.judged || self.dependent < DEPENDENT_BAR && self.burst < BURST_BAR
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let ms = |steps: &Steps| steps.total().as_millis();
        writeln!(
            f,
            "first load {} ms, reload {} ms; peak memory {} MiB, bar {}; FIB {:.1} MiB\n",
            ms(&self.first),
            ms(&self.reload),
            mib(self.peak_memory),
            mib(MEMORY_BAR),
            self.fib_bytes as f64 / f64::from(1 << 20)
        )?;
        let columns = ["dependent", "burst of 32", "steered"];
        writeln!(
            f,
            "{:<28}{:>12}{:>12}{:>12}",
            "nanoseconds of CPU time", columns[0], columns[1], columns[2]
        )?;
        for row in &self.rows {
            write!(
                f,
                "{:<28}{:>12.1}{:>12.1}{:>12.1}",
                row.what, row.dependent, row.burst, row.steer
            )?;
            writeln!(f, "{}", if row.met() { "" } else { "  over" })?;
        }
        writeln!(
            f,
            "{:<28}{DEPENDENT_BAR:>12.1}{BURST_BAR:>12.1}",
            "bar, over the space"
        )?;
        writeln!(f, "{}", if self.met() { "met" } else { "NOT met" })
    }
}

/// Runs the scenario in a directory of its own, which is removed afterwards.
///
/// # Errors
/// When the files cannot be written or, a bug of this scenario, are refused.
pub fn run(routes: &Routes) -> anyhow::Result<Report> {
    let directory = Directory::new()?;
    {
        let tables = [Table::v4(routes.v4), Table::v6(routes.v6)];
        write(&directory.path, &tables)?;
    }
    let mut node = Node::new(directory.path.join("node.toml"));
    let first = node.load()?;
    change(&directory.path.join("routes.txt"))?;
    let reload = node.load()?;
    let peak_memory = peak_memory()?;
    let tables = node.cell.current();
    let router = tables
        .datapaths
        .iter()
        .flatten()
        .find_map(|piece| match &piece.kind {
            PieceKind::Router(router) => Some(router),
            PieceKind::Switch(_) => None,
        });
    let router = router.context("the router is not compiled")?;
    let mut rows = Vec::new();
    for table in [Table::v4(routes.v4), Table::v6(routes.v6)] {
        let family = if table.is_v6() { "IPv6" } else { "IPv4" };
        let addresses = [
            ("space", table.by_space(routes.lookups)),
            ("routes", table.by_route(routes.lookups)),
        ];
        for (over, addresses) in addresses {
            let what = format!("{} {family}, over the {over}", table.len());
            rows.push(Timing {
                what,
                judged: over == "space",
                ..time(router, table.is_v6(), &addresses, routes.runs)?
            });
        }
    }
    Ok(Report {
        first,
        reload,
        peak_memory,
        fib_bytes: router.routing.fib_bytes(),
        rows,
    })
}

const NODE: &str = r#"
chassis = "node"
topology = "topology.toml"
[dataplane]
workers = [0]
[interface.eth0]
device = "net_null0"
[bridge_mappings]
physnet = "eth0"
"#;

const TOPOLOGY: &str = r#"
[chassis.node]
encap = { type = "geneve", ip = "172.16.0.1" }
[switch.s.port.wire]
type = "localnet"
network = "physnet"
[switch.s.port.s-r]
type = "router"
router_port = "r-s"
[router.r]
chassis = "node"
routes_file = "routes.txt"
[router.r.port.r-s]
networks = ["100.64.0.1/16", "fd00::1/64"]
"#;

fn write(directory: &Path, tables: &[Table]) -> anyhow::Result<()> {
    std::fs::write(directory.join("node.toml"), NODE)?;
    std::fs::write(directory.join("topology.toml"), TOPOLOGY)?;
    let mut text = String::new();
    for table in tables {
        table.write(&mut text)?;
    }
    Ok(std::fs::write(directory.join("routes.txt"), text)?)
}

/// Sends the last route of the file elsewhere.
fn change(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (rest, _) = text.trim_end().rsplit_once(' ').context("no route")?;
    Ok(std::fs::write(file, format!("{rest} fd00::f0\n"))?)
}

/// Median times of a look-up.
fn time(router: &Router, v6: bool, addresses: &[u128], runs: usize) -> anyhow::Result<Timing> {
    let routing = &*router.routing;
    let port = router.ports.first().context("no port")?;
    let v4: Vec<u32> = addresses
        .iter()
        .map(|address| table::v4(*address))
        .collect();
    let ips = addresses.iter().map(|address| table::ip(v6, *address));
    let missed = ips.filter(|ip| routing.choose(*ip, *ip) == Choice::Nothing);
    anyhow::ensure!(missed.count() == 0, "announced addresses without a route");
    let mut groups = [0; BURST];
    let dependent = || one_by_one(routing, &v4, addresses, v6);
    let count = addresses.len();
    let dependent = median(runs, count, dependent)?;
    let (burst, steer) = if v6 {
        let flows: Vec<(u128, u128)> = addresses.iter().map(|dst| (1 << 120, *dst)).collect();
        let mut burst = |round: &[(u128, u128)]| {
            routing.groups_v6(round, &mut groups);
            black_box(&mut groups);
        };
        let burst = median(runs, count, || flows.chunks(BURST).for_each(&mut burst))?;
        let mut steer = |round: &[(u128, u128)]| {
            router.steer_v6(port, round, &mut groups);
            black_box(&mut groups);
        };
        let steer = median(runs, count, || flows.chunks(BURST).for_each(&mut steer))?;
        (burst, steer)
    } else {
        let flows: Vec<(u32, u32)> = v4.iter().map(|dst| (1 << 24, *dst)).collect();
        let mut burst = |round: &[(u32, u32)]| {
            routing.groups_v4(round, &mut groups);
            black_box(&mut groups);
        };
        let burst = median(runs, count, || flows.chunks(BURST).for_each(&mut burst))?;
        let mut steer = |round: &[(u32, u32)]| {
            router.steer_v4(port, round, &mut groups);
            black_box(&mut groups);
        };
        let steer = median(runs, count, || flows.chunks(BURST).for_each(&mut steer))?;
        (burst, steer)
    };
    Ok(Timing {
        what: String::new(),
        judged: false,
        dependent,
        burst,
        steer,
    })
}

/// Each address is known only when the answer before is.
fn one_by_one(routing: &Routing, v4: &[u32], v6: &[u128], is_v6: bool) {
    // The compiler must not see that nothing is carried over.
    let nothing = black_box(0);
    let next = |ip: IpAddr| match routing.choose(ip, ip) {
        Choice::Group(group) => group & nothing,
        Choice::Discard | Choice::Nothing => 0,
    };
    let mut carry = 0;
    if is_v6 {
        for address in v6 {
            carry = next(Ipv6Addr::from_bits(address ^ u128::from(carry)).into());
        }
    } else {
        for address in v4 {
            carry = next(Ipv4Addr::from_bits(address ^ carry).into());
        }
    }
    black_box(carry);
}

/// Median time of a look-up, of `count` in a run.
fn median(runs: usize, count: usize, mut run: impl FnMut()) -> anyhow::Result<f64> {
    let mut times: Vec<Duration> = Vec::with_capacity(runs);
    run();
    for _ in 0..runs {
        let start = on_cpu()?;
        (0..PASSES).for_each(|_| run());
        times.push(on_cpu()? - start);
    }
    times.sort();
    let median = times.get(times.len() / 2).context("without runs")?;
    Ok(median.as_secs_f64() * 1e9 / (count * PASSES) as f64)
}
