//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use sluice_mgmt::show::{Filter, What};

/// Asks a running sluiced, and tells it what to do.
#[derive(Debug, Parser)]
#[command(version)]
pub(super) struct Cli {
    /// Control socket of the daemon; by default the only one in /run/sluice.
    #[arg(long, value_name = "PATH", global = true)]
    pub(super) socket: Option<PathBuf>,
    /// JSON instead of tables and text.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Action,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Shows a table.
    Show(Show),
    /// Reads the configuration anew and puts it into effect, or says what is wrong with it.
    Reload,
    /// Says what a configuration would change in the running daemon.
    Check {
        /// Node file; by default the one the daemon was started with.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Forgets what was learned.
    #[command(subcommand)]
    Flush(Forget),
    /// All counters as text that Prometheus reads.
    Metrics,
    /// A script that completes this command in a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The table.
    pub(super) what: What,
    #[command(flatten)]
    pub(super) filter: Filter,
    /// Rows at most.
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Forget {
    /// Resolved next hops; those still needed are asked for again.
    Neighbors {
        /// Only of this router port.
        #[arg(long, value_name = "NAME")]
        port: Option<String>,
        /// Only this address.
        #[arg(long, value_name = "IP")]
        ip: Option<IpAddr>,
    },
    /// Learned MACs.
    Fdb {
        /// Only of this switch.
        #[arg(long, value_name = "NAME")]
        switch: Option<String>,
    },
}
