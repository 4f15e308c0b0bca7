//! Our own worker, in the daemon's own frame: configuration, compiler, agent and reload threads as shipped.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::process::{Process, Site};
use crate::scenario::Network;

/// Starts this program again as the contestant.
pub(super) fn start(site: &Site, scenario: &str, network: &Network) -> anyhow::Result<Process> {
    run(
        &std::env::current_exe()?,
        "sluice",
        site,
        scenario,
        network,
        1,
    )
}

/// Starts it under a name of its own, with so many workers.
///
/// # Errors
/// When it does not start.
pub fn start_workers(
    site: &Site,
    name: &str,
    scenario: &str,
    network: &Network,
    workers: u32,
) -> anyhow::Result<Process> {
    let program = std::env::current_exe()?;
    run(&program, name, site, scenario, network, workers)
}

/// Starts this program as it is linked with DPDK's shared libraries.
pub(super) fn start_shared(
    site: &Site,
    scenario: &str,
    network: &Network,
) -> anyhow::Result<Process> {
    let program = site
        .shared
        .as_deref()
        .context("--shared names no program: one built with DPDK_SHARED=1")?;
    run(program, "sluice-shared", site, scenario, network, 1)
}

fn run(
    program: &Path,
    name: &str,
    site: &Site,
    scenario: &str,
    network: &Network,
    workers: u32,
) -> anyhow::Result<Process> {
    let directory = site.file(&format!("{name}-{scenario}"));
    std::fs::create_dir_all(&directory)?;
    for (file, text) in &network.files {
        std::fs::write(directory.join(file), text)?;
    }
    let mut command = Command::new(program);
    command.arg("play").arg(directory.join("node.toml"));
    // Its last words are why it does not start, not from where that came.
    command.env("RUST_LIB_BACKTRACE", "0");
    let mut process = Process::start(site, name, "TERM", command)?;
    process.queues = workers;
    process.wait_until_polling()?;
    Ok(process)
}

/// The contestant: a node on the rig's devices, until this process is ended.
///
/// # Errors
/// When the node does not start.
#[cfg(feature = "dpdk")]
pub fn play(node: &std::path::Path) -> anyhow::Result<()> {
    use anyhow::anyhow;
    use sluice_mgmt::config::load;
    use sluice_mgmt::runtime;

    let control = std::env::var_os("SLUICE_RIG").context("SLUICE_RIG names no control file")?;
    let loaded = load(node).map_err(|errors| anyhow!("{}", errors.render(false)))?;
    let (mut hardware, warnings) = runtime::dpdk::open(&loaded.node, false)?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    hardware.macs = crate::scenario::SIDE_MACS.to_vec();
    crate::rig::attach::attach(control.as_ref())?;
    let running = runtime::start(node.to_owned(), loaded, hardware)?;
    while !running.state.workers.is_empty() {
        std::thread::park();
    }
    Ok(())
}
