//! `sluiced`: the virtual router of one node.

mod check;
mod daemon;
mod notify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A virtual router for overlay networks.
#[derive(Debug, Parser)]
#[command(name = "sluiced", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Option<Run>,
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration anew.
#[derive(Debug, Args)]
struct Run {
    /// The node file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// DPDK and its drivers tell what they do.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Validates a configuration and says what it would change.
    Check {
        /// The node file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Compare with another node file instead of the running daemon.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match (cli.command, cli.run) {
        (Some(Command::Check { config, against }), _) => check::run(&config, against.as_deref()),
        (None, Some(run)) => daemon::run(&run.config, run.verbose),
        (None, None) => {
            // Shows the usage and ends with clap's exit code.
            <Cli as clap::CommandFactory>::command()
                .error(
                    clap::error::ErrorKind::MissingRequiredArgument,
                    "--config FILE is missing",
                )
                .exit()
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        let parse = |words: &[&str]| Cli::try_parse_from(["sluiced"].iter().chain(words));
        let run = parse(&["--config", "n.toml"]).expect("runs");
        assert!(run.command.is_none() && run.run.is_some());
        let check = parse(&["check", "--config", "n.toml", "--against", "o.toml"]).expect("checks");
        assert!(matches!(
            check.command,
            Some(Command::Check {
                against: Some(_),
                ..
            })
        ));
        assert!(parse(&[]).is_err());
        assert!(parse(&["--config", "n.toml", "check", "--config", "n.toml"]).is_err());
    }
}
