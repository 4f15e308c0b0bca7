//! The client's end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::protocol::{Command, Reply, Request};

/// Where daemons put their sockets unless told otherwise.
pub const DEFAULT_DIRECTORY: &str = "/run/sluice";

/// How long an answer may take; a reload of a large topology is the longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No socket in the default directory.
    #[error(
        "no sluiced runs here: there is no socket in {directory}\nhelp: start one with `sluiced --config node.toml`, or name its socket with --socket"
    )]
    NoDaemon {
        /// The directory.
        directory: String,
    },
    /// More than one socket in the default directory.
    #[error("several sluiced run here: {}\nhelp: say which one is meant with --socket", list(.0))]
    Several(Vec<PathBuf>),
    /// The socket is there, the daemon is not.
    #[error("sluiced does not answer on {socket}: {reason}\nhelp: {help}")]
    Connect {
        /// Path of the socket.
        socket: String,
        /// What the system says.
        reason: io::Error,
        /// What would mend it.
        help: &'static str,
    },
    /// The conversation broke off.
    #[error("sluiced on {socket} broke off: {reason}")]
    Broken {
        /// Path of the socket.
        socket: String,
        /// What happened.
        reason: String,
    },
    /// The daemon refused.
    #[error("{message}{}", .help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default())]
    Refused {
        /// Why.
        message: String,
        /// What would mend it.
        help: Option<String>,
    },
    /// The caller's own sink failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    names.join(", ")
}

/// A connection to a daemon.
#[derive(Debug)]
pub struct Client {
    socket: String,
    stream: BufReader<UnixStream>,
}

/// The only socket in a directory.
///
/// # Errors
/// [`ClientError::NoDaemon`], [`ClientError::Several`].
pub fn find_socket(directory: &Path) -> Result<PathBuf, ClientError> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_socket = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "sock")
    };
    let mut sockets: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(is_socket)
        .collect();
    sockets.sort();
    match (sockets.pop(), sockets.is_empty()) {
        (None, _) => Err(ClientError::NoDaemon {
            directory: directory.display().to_string(),
        }),
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            sockets.push(last);
            Err(ClientError::Several(sockets))
        }
    }
}

impl Client {
    /// Connects to the daemon behind `socket`.
    ///
    /// # Errors
    /// [`ClientError::Connect`] with the mend for the usual causes.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let name = socket.display().to_string();
        let stream = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        match stream {
            Ok(stream) => Ok(Self {
                socket: name,
                stream: BufReader::new(stream),
            }),
            Err(reason) => {
                let help = match reason.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "the socket belongs to the user that runs sluiced: use sudo"
                    }
                    io::ErrorKind::NotFound => {
                        "start sluiced, or name its socket ([control] socket) with --socket"
                    }
                    io::ErrorKind::ConnectionRefused => {
                        "sluiced has ended without removing its socket; starting it again replaces it"
                    }
                    _ => "is it the control socket of a sluiced?",
                };
                Err(ClientError::Connect {
                    socket: name,
                    reason,
                    help,
                })
            }
        }
    }

    /// Sends a command and gives every line of the answer but a refusal to `take`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the daemon refuses, [`ClientError::Broken`] when it goes away, and what `take`
    /// fails with.
    pub fn ask(
        &mut self,
        command: Command,
        mut take: impl FnMut(Reply) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut request =
            serde_json::to_string(&Request::new(command)).map_err(|error| self.broken(&error))?;
        request.push('\n');
        let sent = self.stream.get_mut().write_all(request.as_bytes());
        sent.map_err(|error| self.broken(&error))?;
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) => return Err(self.broken(&"it closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.broken(&error)),
            }
            let reply = serde_json::from_str(&line).map_err(|error| {
                self.broken(&format!(
                    "its answer cannot be read ({error}); is it of another version?"
                ))
            })?;
            if let Reply::Error { message, help } = reply {
                return Err(ClientError::Refused { message, help });
            }
            let last = Reply::is_last(&reply);
            take(reply)?;
            if last {
                return Ok(());
            }
        }
    }

    fn broken(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Broken {
            socket: self.socket.clone(),
            reason: reason.to_string(),
        }
    }
}
