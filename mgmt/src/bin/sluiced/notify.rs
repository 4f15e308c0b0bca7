//! Tells the service manager that the daemon is ready (sd_notify(3)).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state such as `READY=1` to the service manager, if there is one.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let bytes = path.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    if let Err(error) = address.and_then(|address| send(state, &address)) {
        tracing::warn!("the service manager cannot be told {state}: {error}");
    }
}

fn send(state: &str, address: &SocketAddr) -> io::Result<()> {
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), address)
        .map(|_| ())
}
