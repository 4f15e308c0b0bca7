//! The rig in this very process.

use std::ffi::{CString, c_char, c_int};
use std::path::Path;

use anyhow::{Context, bail};

use super::DEVICES;

unsafe extern "C" {
    fn sluice_rig_open(path: *const c_char) -> c_int;
    fn sluice_rig_attach(device: *const c_char, side: u32) -> c_int;
}

/// Lets both devices, which are open, play what the control file says. Call it before anyone polls them.
///
/// # Errors
/// When the control file or a device is not there.
pub fn attach(control: &Path) -> anyhow::Result<()> {
    let path =
        CString::new(control.to_string_lossy().as_bytes()).context("the control file's name")?;
    // SAFETY: a terminated string that lives through the call.
    if unsafe { sluice_rig_open(path.as_ptr()) } != 0 {
        bail!("{} is no control file", control.display());
    }
    for (device, side) in DEVICES.into_iter().zip(0..) {
        let name = CString::new(device)?;
        // SAFETY: a terminated string that lives through the call; DPDK runs and nobody polls the device yet.
        if unsafe { sluice_rig_attach(name.as_ptr(), side) } != 0 {
            bail!("the rig cannot be attached to {device}");
        }
    }
    Ok(())
}
