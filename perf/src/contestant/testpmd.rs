//! `dpdk-testpmd`, DPDK's own test program, as the distribution builds it.

use std::process::Command;

use super::Kind;
use super::process::{Process, Site, preload};
use crate::rig::DEVICES;

/// Starts it in the mode of its kind.
pub(super) fn start(site: &Site, kind: Kind) -> anyhow::Result<Process> {
    let mode = match kind {
        Kind::TestpmdMacswap => "macswap",
        Kind::Testpmd5tswap => "5tswap",
        _ => "io",
    };
    let mut command = Command::new("dpdk-testpmd");
    command.env("LD_PRELOAD", preload(site)?);
    // One core for its main thread, one that polls.
    command.args(["--lcores", &format!("0@{},1@{}", site.other_cpu, site.cpu)]);
    command.args([
        "--main-lcore",
        "0",
        "--in-memory",
        "--no-pci",
        "--no-telemetry",
        "-m",
        "256",
    ]);
    for device in DEVICES {
        command.args(["--vdev", device]);
    }
    command.arg("--").arg(format!("--forward-mode={mode}"));
    // A report every hour, which is the only way not to wait for a terminal.
    command.args([
        "--nb-cores=1",
        "--total-num-mbufs=16384",
        "--mbcache=512",
        "--stats-period=3600",
    ]);
    let mut process = Process::start(site, kind.name(), "INT", command)?;
    process.wait_until_polling()?;
    Ok(process)
}
