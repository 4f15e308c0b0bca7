//! The kernel's forwarding, on a rig of its own: it does not forward between ports of DPDK.
//!
//! ```text
//!  packet socket ─► a0 ══ a1 ─► routes, nftables ─► b0 ══ b1, which takes no frame
//! ```
//!
//! All in a network namespace, all on one CPU: sending, forwarding and dropping happen in the call that sends, or in
//! the CPU's softirq thread. What sending costs is measured by dropping frames where they enter, and taken off.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use core_affinity::CoreId;
use serde::{Deserialize, Serialize};

use crate::bench::{Scratch, median, place, scenario, site};
use crate::contestant::run as tool;
use crate::rig::{follow, kernel_send};
use crate::scenario::{KernelRules, SIDE_MACS, Scenario, kernel_rules};
use crate::traffic::{Load, Order, Records, Size, TAPE, parse_flows};

/// What is measured.
const WINDOW: Duration = Duration::from_millis(250);
/// A window in which sender and softirq thread had the CPU for a smaller share is taken again.
const LEAST_SHARE: f64 = 0.97;
/// Windows tried for one that counts.
const TRIES: usize = 6;

/// Measures forwarding in the kernel, on another rig than the others.
#[derive(Clone, Debug, Args)]
pub struct Linux {
    /// Scenarios.
    #[arg(long, value_delimiter = ',', default_value = "l3,snat", value_parser = scenario)]
    pub scenario: Vec<&'static Scenario>,
    /// Flows, in one direction, which is the only one here.
    #[arg(long, default_value = "100k", value_parser = parse_flows)]
    pub flows: u32,
    /// Windows of each.
    #[arg(long, default_value_t = 5, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub runs: usize,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<std::path::PathBuf>,
}

/// What was measured of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The scenario.
    pub scenario: String,
    /// Why nothing was.
    pub failed: Option<String>,
    /// Nanoseconds of CPU time for a packet forwarded, sending included.
    pub whole_ns: f64,
    /// Of these, for sending.
    pub sending_ns: f64,
    /// Share of the packets that did not arrive.
    pub loss: f64,
    /// The time stamp counter's frequency in GHz.
    pub tsc_ghz: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<18}", self.scenario)?;
        if let Some(why) = &self.failed {
            return write!(f, " FAILED: {why}");
        }
        let forwarding = self.whole_ns - self.sending_ns;
        write!(
            f,
            "{:>10.0}{:>10.0}{:>12.0}{:>10.2}{:>9.2}",
            self.whole_ns * self.tsc_ghz,
            self.sending_ns * self.tsc_ghz,
            forwarding * self.tsc_ghz,
            1e3 / self.whole_ns,
            self.loss * 100.0
        )
    }
}

/// Above the rows.
pub const HEADING: &str = "kernel, own rig        cycles   sending  forwarding      Mpps   loss %";

/// Measures all scenarios, each in a process and a namespace of its own. Who fails is part of the results.
///
/// # Errors
/// When this program cannot be started again.
pub fn run(wanted: &Linux) -> anyhow::Result<Vec<Measured>> {
    let program = std::env::current_exe()?;
    let one = |scenario: &&Scenario| {
        let mut command = Command::new("unshare");
        command.arg("--net").arg("--").arg(&program).arg("kernel");
        command.args([
            scenario.name,
            &wanted.flows.to_string(),
            &wanted.runs.to_string(),
        ]);
        let measured = tool(follow(&mut command))
            .and_then(|text| serde_json::from_str(&text).context("what it measured"));
        measured.unwrap_or_else(|error| Measured {
            scenario: scenario.name.to_owned(),
            failed: Some(format!("{error:#}")),
            ..Measured::default()
        })
    };
    Ok(wanted.scenario.iter().map(one).collect())
}

/// One scenario, in the namespace that this process is in.
///
/// # Errors
/// When the kernel or its tools cannot do it.
pub fn measure(scenario: &Scenario, flows: u32, runs: usize) -> anyhow::Result<Measured> {
    let rules = kernel_rules(scenario).context("it has no rules for the kernel")?;
    let site = site(None)?;
    let _scratch = Scratch::of(&site);
    let load = Load {
        flows,
        size: Size::Bytes(64),
        order: Order::Uniform,
    };
    let network = scenario.network(&place(&site, scenario, &load));
    let [records, _] = network.records(&load, TAPE)?;
    let records = records.context("side A sends nothing")?;
    set_up(&rules)?;
    core_affinity::set_for_current(CoreId { id: site.cpu });
    let softirq = softirq_thread(site.cpu)?;
    // All flows once: translations are there, and what must be learned is.
    kernel_send("a0", &records, 4 * WINDOW)?;
    let whole = windows(runs, &records, softirq, true)?;
    tool(
        Command::new("nft").args(["add table netdev t; add chain netdev t c \
         { type filter hook ingress device a1 priority 0; policy drop; }"]),
    )?;
    let sending = windows(runs, &records, softirq, false)?;
    Ok(Measured {
        scenario: scenario.name.to_owned(),
        failed: None,
        whole_ns: whole.0,
        sending_ns: sending.0,
        loss: whole.1,
        tsc_ghz: tsc_ghz(),
    })
}

/// The time stamp counter's frequency in GHz.
fn tsc_ghz() -> f64 {
    let read = crate::rig::time_stamp;
    let (begin, before) = (Instant::now(), read());
    while begin.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    let cycles = read() - before;
    cycles as f64 / begin.elapsed().as_nanos() as f64
}

/// Nanoseconds of CPU time a packet, and the loss: medians.
fn windows(
    runs: usize,
    records: &Records,
    softirq: u32,
    arrive: bool,
) -> anyhow::Result<(f64, f64)> {
    let (mut times, mut losses) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for tried in 1.. {
            let (begin, before) = (arrived()?, thread_time(softirq)?);
            let (sent, cpu) = kernel_send("a0", records, WINDOW)?;
            let cpu = cpu + thread_time(softirq)?.saturating_sub(before);
            ensure!(sent > 0, "nothing was sent");
            let arrived = if arrive { arrived()? - begin } else { sent };
            let share = cpu.as_secs_f64() / WINDOW.as_secs_f64();
            if share < LEAST_SHARE && tried < TRIES {
                continue;
            }
            ensure!(arrived > 0, "nothing was forwarded");
            times.push(cpu.as_nanos() as f64 / arrived as f64);
            losses.push(1.0 - arrived.min(sent) as f64 / sent as f64);
            break;
        }
    }
    Ok((
        median(times).context("no window")?,
        median(losses).context("no window")?,
    ))
}

/// Devices, addresses, routes, rules.
fn set_up(rules: &KernelRules) -> anyhow::Result<()> {
    let [a, b] = rules.macs;
    let mut batch = vec![
        format!(
            "link add a0 address {} type veth peer name a1 address {a}",
            SIDE_MACS[0]
        ),
        format!(
            "link add b0 address {b} type veth peer name b1 address {}",
            SIDE_MACS[1]
        ),
    ];
    batch.extend(["a0", "a1", "b0", "b1", "lo"].map(|device| format!("link set {device} up")));
    batch.extend(rules.ip.iter().cloned());
    let file = std::env::temp_dir().join(format!("sluice-perf-ip-{}", std::process::id()));
    std::fs::write(&file, batch.join("\n") + "\n")?;
    let done = tool(Command::new("ip").arg("-batch").arg(&file));
    // What cannot be removed stays behind in the temporary directory.
    let _ = std::fs::remove_file(&file);
    done?;
    for (name, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/a1/rp_filter", "0"),
        ("net/ipv4/conf/b0/send_redirects", "0"),
    ] {
        std::fs::write(format!("/proc/sys/{name}"), value).context(name)?;
    }
    if let Some(nft) = &rules.nft {
        tool(Command::new("nft").arg(nft)).context("nft: apt-get install nftables")?;
    }
    Ok(())
}

/// Frames that have arrived behind the forwarder.
fn arrived() -> anyhow::Result<u64> {
    let text = tool(Command::new("ip").args(["-s", "-j", "link", "show", "b1"]))?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let count = links.pointer("/0/stats64/rx/packets");
    count
        .and_then(serde_json::Value::as_u64)
        .context("no count of b1")
}

/// The thread that does what softirqs leave over on a CPU.
fn softirq_thread(cpu: usize) -> anyhow::Result<u32> {
    let name = format!("ksoftirqd/{cpu}");
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        // One that has ended meanwhile is not it.
        let found = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if found.trim() == name {
            return Ok(id);
        }
    }
    bail!("there is no {name}")
}

/// CPU time of a thread so far.
fn thread_time(id: u32) -> anyhow::Result<Duration> {
    let times = std::fs::read_to_string(format!("/proc/{id}/schedstat"))?;
    let nanoseconds = times
        .split_whitespace()
        .next()
        .context("no scheduler statistics")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ALL;

    #[test]
    fn the_kernel_has_rules_where_it_can_do_the_same() {
        let can: Vec<&str> = ALL
            .iter()
            .filter(|scenario| kernel_rules(scenario).is_some())
            .map(|scenario| scenario.name)
            .collect();
        assert_eq!(can, ["l3", "snat"]);
        let l3 = kernel_rules(Scenario::named("l3").unwrap()).unwrap();
        let routes = l3.ip.iter().filter(|line| line.starts_with("route add "));
        assert_eq!(routes.count(), 1_000);
    }

    #[test]
    fn rows_take_sending_off() {
        let measured = Measured {
            scenario: "l3".into(),
            whole_ns: 900.0,
            sending_ns: 400.0,
            tsc_ghz: 2.0,
            ..Measured::default()
        };
        let row = measured.to_string();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words, ["l3", "1800", "800", "1000", "1.11", "0.00"]);
    }
}
