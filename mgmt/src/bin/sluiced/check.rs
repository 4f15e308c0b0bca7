//! `sluiced check`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use sluice_mgmt::config::load;
use sluice_mgmt::control::{Client, Command, Reply};
use sluice_mgmt::reload::{ReloadReport, compare};

/// Prints what a configuration would change against another file, the running daemon, or nothing.
pub(super) fn run(config: &Path, against: Option<&Path>) -> Result<(), String> {
    let loaded = load(config).map_err(|errors| errors.render(std::io::stderr().is_terminal()))?;
    if let Some(against) = against {
        let report = compare(config, Some(against))?;
        return tell(&format!("against {}", against.display()), &report);
    }
    let socket = &loaded.node.control.socket;
    match ask(socket, config) {
        Some(report) => tell(
            &format!("against the sluiced on {}", socket.display()),
            &report?,
        ),
        None => {
            let report = compare(config, None)?;
            tell(
                &format!(
                    "no sluiced answers on {}, so everything is new",
                    socket.display()
                ),
                &report,
            )
        }
    }
}

/// What the running daemon says; `None` when none answers.
fn ask(socket: &Path, config: &Path) -> Option<Result<ReloadReport, String>> {
    let mut client = Client::connect(socket).ok()?;
    let absolute: PathBuf = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let command = Command::Check {
        config: Some(absolute.display().to_string()),
    };
    let mut report = None;
    let asked = client.ask(command, |reply| {
        if let Reply::Value { value } = reply {
            report = serde_json::from_value(value).ok();
        }
        Ok(())
    });
    Some(match (asked, report) {
        (Ok(()), Some(report)) => Ok(report),
        (Ok(()), None) => {
            Err("the answer of sluiced has no report; is it of another version?".to_owned())
        }
        (Err(error), _) => Err(error.to_string()),
    })
}

fn tell(against: &str, report: &ReloadReport) -> Result<(), String> {
    if let Some(errors) = &report.errors {
        return Err(errors.clone());
    }
    print!("{report}");
    println!("{against}: {}", report.summary());
    Ok(())
}
