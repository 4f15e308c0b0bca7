//! `sluiced check`.

use std::io::{ErrorKind, IsTerminal};
use std::path::Path;

use sluice_mgmt::config::{Host, load};
use sluice_mgmt::control::{Client, ClientError, Command, Reply};
use sluice_mgmt::reload::{ReloadReport, compare};

/// Prints what a configuration would change against another file, the running daemon, or nothing.
pub(super) fn run(config: &Path, against: Option<&Path>) -> Result<(), String> {
    let loaded = load(config).map_err(|errors| errors.render(std::io::stderr().is_terminal()))?;
    let absent = loaded.absent_interfaces(Host::has_interface);
    eprint!("{}", absent.render(std::io::stderr().is_terminal()));
    if let Some(against) = against {
        let report = compare(config, Some(against))?;
        return tell(&format!("against {}", against.display()), &report);
    }
    let socket = &loaded.node.control.socket;
    let nobody = match Client::connect(socket) {
        Ok(client) => {
            let report = ask(client, config)?;
            return tell(
                &format!("against the sluiced on {}", socket.display()),
                &report,
            );
        }
        Err(ClientError::Connect { reason, .. })
            if reason.kind() == ErrorKind::PermissionDenied =>
        {
            format!(
                "the sluiced on {} may not be asked (use sudo)",
                socket.display()
            )
        }
        Err(_) => format!("no sluiced answers on {}", socket.display()),
    };
    let report = compare(config, None)?;
    tell(&format!("{nobody}, so everything is new"), &report)
}

/// What the running daemon says.
fn ask(mut client: Client, config: &Path) -> Result<ReloadReport, String> {
    let absolute = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let config = Some(absolute.display().to_string());
    let mut report = None;
    let asked = client.ask(Command::Check { config }, |reply| {
        if let Reply::Value { value } = reply {
            report = serde_json::from_value(value).ok();
        }
        Ok(())
    });
    asked.map_err(|error| error.to_string())?;
    report
        .ok_or_else(|| "the answer of sluiced has no report; is it of another version?".to_owned())
}

fn tell(against: &str, report: &ReloadReport) -> Result<(), String> {
    if let Some(errors) = &report.errors {
        return Err(errors.clone());
    }
    print!("{report}");
    println!("{against}: {}", report.summary());
    Ok(())
}
