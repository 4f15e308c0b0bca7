//! `sluiced --config`: the daemon.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sluice_mgmt::config::{Loaded, load};
use sluice_mgmt::control::Server;
use sluice_mgmt::logging;
use sluice_mgmt::runtime::{Running, StartError, dpdk, start};

use super::notify::notify;

/// Runs until a signal ends it.
pub(super) fn run(config: &Path, verbose: bool) -> Result<(), String> {
    let loaded = load(config).map_err(|errors| errors.render(std::io::stderr().is_terminal()))?;
    logging::init(&loaded.node.log);
    tracing::info!(
        "sluiced {} as chassis {}",
        env!("CARGO_PKG_VERSION"),
        loaded.node.chassis
    );
    for warning in loaded.warnings.findings() {
        tracing::warn!("{}", warning.message);
    }
    // Before any thread is there, so that none takes a signal meant for us.
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| format!("no signals: {error}"))?;
    let server =
        Server::bind(&loaded.node.control.socket).map_err(|error| format!("error: {error}"))?;
    let running = open(config, loaded, verbose)?;
    server
        .serve(Arc::clone(&running.state))
        .map_err(|error| format!("no control socket: {error}"))?;
    ready(&running);
    let ending = AtomicBool::new(false);
    for signal in signals.forever() {
        match signal {
            SIGHUP => running.state.reload.request(),
            _ if ending.swap(true, Ordering::AcqRel) => {}
            _ => break,
        }
    }
    tracing::info!("ending");
    notify("STOPPING=1");
    drop(server);
    running.stop();
    tracing::info!("ended");
    Ok(())
}

fn open(config: &Path, loaded: Loaded, verbose: bool) -> Result<Running, String> {
    let file =
        std::path::absolute(config).map_err(|error| format!("{}: {error}", config.display()))?;
    let (hardware, warnings) =
        dpdk::open(&loaded.node, verbose).map_err(|error| format!("error: {error}"))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    start(file, loaded, hardware).map_err(|error| match error {
        StartError::Compile(rendered) => rendered,
        other => format!("error: {other}"),
    })
}

fn ready(running: &Running) {
    let state = &running.state;
    let configuration = state.configuration();
    let tables = state.tables.current();
    let cpus: Vec<String> = state
        .workers
        .iter()
        .map(|worker| worker.cpu.to_string())
        .collect();
    tracing::info!(
        "{} datapaths, {} tunnels, {} interfaces; workers on CPUs {}; topology {:016x}",
        tables.datapaths.iter().flatten().count(),
        tables.tunnels.iter().flatten().count(),
        configuration.node.interfaces.len(),
        cpus.join(", "),
        configuration.digest,
    );
    tracing::info!(
        "ready; control socket {}",
        configuration.node.control.socket.display()
    );
    notify("READY=1");
}
