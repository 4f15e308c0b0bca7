//! `dpdk-testpmd`, DPDK's own test program, as the distribution builds it.

use std::process::Command;

use anyhow::{bail, ensure};

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
    let mut command = command(site)?;
    command.arg("--no-pci");
    for device in DEVICES {
        command.args(["--vdev", device]);
    }
    run(site, kind, command, &[&format!("--forward-mode={mode}")])
}

/// Has it carry frames between the rig and two network cards: side A's to the first, side B's to the second.
pub(super) fn start_pump(site: &Site) -> anyhow::Result<Process> {
    let [a, b] = &site.devices[..] else {
        bail!("--device names two network cards, each once");
    };
    let mut command = command(site)?;
    let mut virtual_ones = Vec::new();
    for device in [a, b] {
        // Virtual devices are numbered in the order of their names here, cards before them.
        let card = device.contains(':') && !device.starts_with("net_");
        command.args([if card { "-a" } else { "--vdev" }, device]);
        virtual_ones.push(!card);
    }
    for device in DEVICES {
        command.args(["--vdev", device]);
    }
    if virtual_ones.contains(&true) {
        ensure!(
            virtual_ones == [true, true],
            "one card and one virtual device"
        );
        command.arg("--no-pci");
    }
    // Pairs are neighbours in the list: a card and a side each.
    run(
        site,
        Kind::Outside,
        command,
        &["--forward-mode=io", "--portlist=0,2,1,3"],
    )
}

/// One core for its main thread, one that polls.
fn command(site: &Site) -> anyhow::Result<Command> {
    let mut command = Command::new("dpdk-testpmd");
    command.env("LD_PRELOAD", preload(site)?);
    command.args(["--lcores", &format!("0@{},1@{}", site.other_cpu, site.cpu)]);
    command.args(["--main-lcore", "0", "--in-memory", "--no-telemetry"]);
    command.args(["-m", "256"]);
    Ok(command)
}

fn run(
    site: &Site,
    kind: Kind,
    mut command: Command,
    arguments: &[&str],
) -> anyhow::Result<Process> {
    command.arg("--").args(arguments);
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
