//! What can go wrong, each with its mend.

use std::ffi::CStr;
use std::fmt;

use thiserror::Error;

/// An error number of DPDK or the kernel, shown in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// From a C function's return value, in which an error is negative.
    #[must_use]
    pub fn from_return(code: i32) -> Self {
        Self(code.saturating_abs())
    }

    /// The calling thread's `rte_errno`.
    #[must_use]
    pub fn current() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { dpdk_sys::sluice_rte_errno() })
    }

    /// Is it this `errno` value?
    #[must_use]
    pub fn is(self, errno: i32) -> bool {
        self.0 == errno
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: returns a terminated string in static or thread-local storage for every number; it is copied out
        // before this thread can call again.
        let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

/// Why DPDK or one of its devices cannot be used.
#[derive(Debug, Error)]
pub enum DpdkError {
    /// DPDK starts once per process.
    #[error("DPDK was already started in this process")]
    AlreadyStarted,
    /// An argument for EAL holds a zero byte.
    #[error("an EAL argument contains a zero byte")]
    Argument,
    /// Hugepages were asked for and there are too few.
    #[error(
        "not enough hugepages: {wanted_mb} MB wanted, {free_mb} MB free; reserve some (scripts/setup --hugepages {wanted_mb}) \
         or do without (hugepages = \"off\")"
    )]
    Hugepages {
        /// What the devices need, in MB.
        wanted_mb: u32,
        /// What is free now, in MB.
        free_mb: u64,
    },
    /// EAL refused to start; it has said more on standard error.
    #[error("DPDK did not start: {reason}; its own message is above, `verbose` shows more")]
    Start {
        /// EAL's error number.
        reason: Errno,
    },
    /// Too little memory for the packet buffers.
    #[error(
        "no memory for {frames} packet buffers of {room} bytes: {reason}; raise the memory given to DPDK"
    )]
    Pool {
        /// Buffers wanted.
        frames: u32,
        /// Bytes in each.
        room: u16,
        /// DPDK's error number.
        reason: Errno,
    },
    /// More devices than DPDK was built for.
    #[error("{wanted} interfaces, but this DPDK is built for at most {limit}")]
    TooManyDevices {
        /// Devices configured.
        wanted: usize,
        /// DPDK's limit.
        limit: usize,
    },
    /// One device cannot be used.
    #[error("interface {device} ({devargs}): {problem}")]
    Device {
        /// The device's configured name.
        device: String,
        /// What the operator wrote.
        devargs: String,
        /// What is wrong with it.
        problem: DeviceProblem,
    },
}

/// Why one device cannot be used, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceProblem {
    /// Nothing before the first comma, or a piece that is not `key=value`.
    #[error(
        "not a DPDK device: {0}; write a PCI address (0000:03:00.0) or a driver with a number (net_tap0,iface=tap0)"
    )]
    Syntax(String),
    /// The driver needs an argument.
    #[error("the driver needs {0}=...")]
    MissingArgument(&'static str),
    /// No such interface in the network namespace of this process.
    #[error("there is no interface {0} in this network namespace (`ip link` lists them)")]
    NoInterface(String),
    /// No such PCI device.
    #[error("there is no PCI device {0} (`lspci -D` lists them)")]
    NoPciDevice(String),
    /// A kernel driver holds the PCI device.
    #[error(
        "PCI device {address} is held by the kernel driver {driver}; give it to DPDK: dpdk-devbind.py -b vfio-pci {address}"
    )]
    KernelDriver {
        /// The PCI address.
        address: String,
        /// The driver that holds it.
        driver: String,
    },
    /// No driver at all.
    #[error("PCI device {0} has no driver; give it to DPDK: dpdk-devbind.py -b vfio-pci {0}")]
    Unbound(String),
    /// `/dev/net/tun` is missing or may not be opened.
    #[error("/dev/net/tun cannot be opened ({0}): load the kernel module tun and run as root")]
    Tun(String),
    /// The driver refused the device; it may have said more on standard error.
    #[error("the driver refused it: {0}; its own messages are above, all of them when verbose")]
    Probe(Errno),
    /// The same device twice.
    #[error("another interface already uses it")]
    Twice,
    /// The device came up without a port.
    #[error("no driver made a network port of it; is its driver linked into this build?")]
    NoPort,
    /// The driver cannot carry packets that long.
    #[error("MTU {wanted} is outside of what the driver can ({min} to {max})")]
    Mtu {
        /// The MTU configured.
        wanted: u16,
        /// The driver's smallest.
        min: u16,
        /// The driver's largest.
        max: u16,
    },
    /// A step of the set-up failed.
    #[error("{step} failed: {reason}")]
    Step {
        /// Which one.
        step: &'static str,
        /// DPDK's error number.
        reason: Errno,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_value_reads_as_words() {
        let errno = Errno::from_return(-libc::ENODEV);
        assert!(errno.is(libc::ENODEV));
        assert_eq!(errno.to_string(), "No such device");
        assert_eq!(Errno::from_return(libc::ENODEV), errno);
    }

    #[test]
    fn messages_name_the_device_and_the_mend() {
        let error = DpdkError::Device {
            device: "eth1".into(),
            devargs: "0000:03:00.0".into(),
            problem: DeviceProblem::KernelDriver {
                address: "0000:03:00.0".into(),
                driver: "ixgbe".into(),
            },
        };
        assert_eq!(
            error.to_string(),
            "interface eth1 (0000:03:00.0): PCI device 0000:03:00.0 is held by the kernel driver ixgbe; \
             give it to DPDK: dpdk-devbind.py -b vfio-pci 0000:03:00.0"
        );
    }
}
