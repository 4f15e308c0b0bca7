//! Frames for the kernel, through a packet socket.

use std::ffi::{CString, c_char};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::traffic::Records;

unsafe extern "C" {
    fn sluice_kernel_send(
        device: *const c_char,
        records: *const u8,
        count: u32,
        stride: u32,
        nanoseconds: u64,
        cpu: *mut u64,
    ) -> i64;
}

/// Sends records out of a device for some time; how many frames, and the CPU time of this thread.
///
/// # Errors
/// When there is no such device, or no permission.
pub fn kernel_send(
    device: &str,
    records: &Records,
    time: Duration,
) -> anyhow::Result<(u64, Duration)> {
    ensure!(!records.is_empty(), "nothing to send");
    let name = CString::new(device).context("the device's name")?;
    let mut cpu = 0;
    // SAFETY: a terminated string, records with their count and stride, and a number, which all outlive the call.
    let sent = unsafe {
        sluice_kernel_send(
            name.as_ptr(),
            records.bytes().as_ptr(),
            records.len() as u32,
            records.stride as u32,
            time.as_nanos() as u64,
            &mut cpu,
        )
    };
    let sent = u64::try_from(sent).ok();
    let sent = sent.with_context(|| format!("nothing can be sent out of {device}"))?;
    Ok((sent, Duration::from_nanos(cpu)))
}
