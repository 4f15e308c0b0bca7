//! The daemon's end: accepts clients, reads requests, writes answers.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;

use super::answer::answer;
use super::protocol::{MAX_REQUEST, Reply, Request};
use crate::runtime::State;

/// Clients served at a time.
const MAX_CLIENTS: usize = 16;

/// How long a client may take to read a part of its answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may stay without asking anything.
const IDLE_PATIENCE: Duration = Duration::from_secs(300);

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Another daemon answers on it.
    #[error("another sluiced answers on {0}: stop it, or give this one its own [control] socket")]
    InUse(String),
    /// Something else than a socket is in its place.
    #[error("{0} is there and is no socket: remove it, or choose another [control] socket")]
    NotASocket(String),
    /// The system refused.
    #[error("cannot make the control socket {path}: {reason}")]
    System {
        /// Its path.
        path: String,
        /// What the system says.
        reason: io::Error,
    },
}

/// The control socket. Removed when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
}

impl Server {
    /// Makes the socket, for its owner alone (mode 0600). One that a dead daemon left is replaced.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let name = || path.display().to_string();
        let system = |reason| ServerError::System {
            path: name(),
            reason,
        };
        if let Some(directory) = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty())
        {
            fs::create_dir_all(directory).map_err(system)?;
        }
        if let Ok(there) = fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(ServerError::NotASocket(name()));
            }
            if UnixStream::connect(path).is_ok() {
                return Err(ServerError::InUse(name()));
            }
            fs::remove_file(path).map_err(system)?;
        }
        let listener = bind_private(path).map_err(system)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }

    /// Serves clients on a thread of its own for as long as the process runs.
    ///
    /// # Errors
    /// When the system gives no thread or no second descriptor of the socket.
    pub fn serve(&self, state: Arc<State>) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || accept(&listener, &state))?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.path);
    }
}

/// The socket appears under its name only after its mode is set, so that nobody connects before.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    let _ = fs::remove_file(&unfinished);
    let listener = UnixListener::bind(&unfinished)?;
    let moved = fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&unfinished, path));
    if let Err(error) = moved {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    Ok(listener)
}

fn accept(listener: &UnixListener, state: &Arc<State>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: let those that are open end.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let place = Place::take(&clients);
        let state = Arc::clone(state);
        let Some(place) = place else {
            refuse(stream);
            continue;
        };
        let serve = move || {
            let _place = place;
            if let Err(error) = converse(&stream, &state) {
                tracing::debug!("a control client went away: {error}");
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("client".into())
            .spawn(serve)
        {
            tracing::warn!("a control client cannot be served: {error}");
        }
    }
}

/// One of the [`MAX_CLIENTS`].
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let room = |taken: usize| (taken < MAX_CLIENTS).then_some(taken + 1);
        clients
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .ok()?;
        Some(Self(Arc::clone(clients)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn refuse(mut stream: UnixStream) {
    let reply = Reply::error(format!("{MAX_CLIENTS} clients are being served already"));
    let _ = stream.set_write_timeout(Some(WRITE_PATIENCE));
    let _ = write_reply(&mut stream, &reply);
}

/// Requests and answers until the client hangs up.
fn converse(stream: &UnixStream, state: &State) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_PATIENCE))?;
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = MAX_REQUEST as u64 + 1;
        let mut bounded = (&mut reader).take(limit);
        if bounded.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let mut writer = BufWriter::new(stream);
        if line.len() > MAX_REQUEST {
            write_reply(
                &mut writer,
                &Reply::error(format!("a request has at most {MAX_REQUEST} bytes")),
            )?;
            return writer.flush();
        }
        match Request::parse(&String::from_utf8_lossy(&line)) {
            Ok(request) => answer(state, request.command, &mut |reply| {
                write_reply(&mut writer, &reply)
            })?,
            Err(reply) => write_reply(&mut writer, &reply)?,
        }
        writer.flush()?;
    }
}

fn write_reply(writer: &mut impl Write, reply: &Reply) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, reply)?;
    writer.write_all(b"\n")
}
