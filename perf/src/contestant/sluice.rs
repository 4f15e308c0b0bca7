//! Our own worker, in the daemon's own frame: configuration, compiler, agent and reload threads as shipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::process::{Process, Site};
use crate::scenario::Network;

/// The control socket of a contestant, beside its node file.
const SOCKET: &str = "control.sock";

/// The control socket of what [`start_workers`] has started under this name.
pub fn socket(site: &Site, name: &str, scenario: &str) -> PathBuf {
    home(site, name, scenario).join(SOCKET)
}

/// Where its files are.
fn home(site: &Site, name: &str, scenario: &str) -> PathBuf {
    site.file(&format!("{name}-{scenario}"))
}

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
    let directory = home(site, name, scenario);
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
    use sluice_mgmt::control::Server;
    use sluice_mgmt::runtime;

    let control = std::env::var_os("SLUICE_RIG").context("SLUICE_RIG names no control file")?;
    let loaded = load(node).map_err(|errors| anyhow!("{}", errors.render(false)))?;
    let (mut hardware, warnings) = runtime::dpdk::open(&loaded.node, false)?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    hardware.macs = crate::scenario::SIDE_MACS.to_vec();
    crate::rig::attach::attach(control.as_ref())?;
    // Before the first poll, after which it may be stopped.
    let server = Server::bind(&node.with_file_name(SOCKET))?;
    let running = runtime::start(node.to_owned(), loaded, hardware)?;
    server.serve(std::sync::Arc::clone(&running.state))?;
    while !running.state.workers.is_empty() {
        std::thread::park();
    }
    Ok(())
}
