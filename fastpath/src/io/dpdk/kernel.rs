//! The few things about Linux interfaces that DPDK neither asks nor does.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// `ETHTOOL_GGRO`, `ETHTOOL_SGRO`, `ETHTOOL_GFLAGS`, `ETHTOOL_SFLAGS` and the LRO flag of `linux/ethtool.h`.
const GET_GRO: u32 = 0x2b;
const SET_GRO: u32 = 0x2c;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const FLAG_LRO: u32 = 1 << 15;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    value: u32,
}

/// Is there such an interface in this process's network namespace?
#[must_use]
pub fn interface_exists(name: &str) -> bool {
    let Ok(name) = CString::new(name) else {
        return false;
    };
    // SAFETY: a terminated string.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// A Linux interface of this process's network namespace.
#[derive(Debug)]
pub struct Interface {
    socket: OwnedFd,
    request: [libc::c_char; libc::IFNAMSIZ],
}

impl Interface {
    /// The interface of that name.
    ///
    /// # Errors
    /// The name is too long, there is no such interface, or no socket can be had.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut request = [0; libc::IFNAMSIZ];
        if name.len() >= request.len() || !interface_exists(name) {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        // SAFETY: plain arguments; the descriptor is checked and then owned here alone.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { socket, request })
    }

    /// Is it up, with a carrier?
    ///
    /// # Errors
    /// The interface is gone.
    pub fn running(&self) -> io::Result<bool> {
        let mut request = self.request();
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has just filled this member.
        let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok(flags & libc::IFF_RUNNING != 0)
    }

    /// Brings it up, for a driver that would wait for the operator to do so.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bring_up(&self) -> io::Result<()> {
        let mut request = self.request();
        self.ioctl(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has just filled this member.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        let up = libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
        request.ifr_ifru.ifru_flags = flags | up;
        self.ioctl(libc::SIOCSIFFLAGS, &mut request)
    }

    /// Sees to it that the interface carries packets of `mtu` bytes: raises its MTU when it is smaller.
    ///
    /// # Errors
    /// The kernel's: the interface cannot, or this process may not.
    pub fn raise_mtu(&self, mtu: u16) -> io::Result<()> {
        let mut request = self.request();
        self.ioctl(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the kernel has just filled this member.
        if unsafe { request.ifr_ifru.ifru_mtu } >= i32::from(mtu) {
            return Ok(());
        }
        request.ifr_ifru.ifru_mtu = i32::from(mtu);
        self.ioctl(libc::SIOCSIFMTU, &mut request)
    }

    /// Turns off what merges received packets into longer ones (GRO, LRO): a router must see each as it was sent.
    ///
    /// # Errors
    /// The kernel's, when one of them is on and stays on.
    pub fn stop_merging(&self) -> io::Result<()> {
        if self.ethtool(GET_GRO, 0).unwrap_or(0) != 0 {
            self.ethtool(SET_GRO, 0)?;
        }
        let flags = self.ethtool(GET_FLAGS, 0).unwrap_or(0);
        if flags & FLAG_LRO != 0 {
            self.ethtool(SET_FLAGS, flags & !FLAG_LRO)?;
        }
        Ok(())
    }

    fn ethtool(&self, command: u32, value: u32) -> io::Result<u32> {
        let mut argument = EthtoolValue { command, value };
        let mut request = self.request();
        request.ifr_ifru.ifru_data = (&raw mut argument).cast();
        self.ioctl(libc::SIOCETHTOOL, &mut request)?;
        Ok(argument.value)
    }

    fn request(&self) -> libc::ifreq {
        // SAFETY: all-zero is valid for this plain C structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_name = self.request;
        request
    }

    fn ioctl(&self, number: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: all requests used here take an `ifreq`, which is live and, where it points on, points to a live
        // `ethtool_value`, which is what the commands used here read and write.
        let code =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), number, std::ptr::from_mut(request)) };
        if code < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// The packet sockets through which this process receives from an interface.
///
/// Their driver does not tell what it loses, but the kernel does. The descriptors are duplicates, so that their numbers
/// stay ours; they must be dropped for the driver's closing of its own to take effect.
#[derive(Debug, Default)]
pub struct PacketSockets {
    sockets: Vec<OwnedFd>,
    dropped: AtomicU64,
}

impl PacketSockets {
    /// Finds this process's packet sockets that are bound to the interface.
    #[must_use]
    pub fn of_interface(name: &str) -> Self {
        let mut found = Self::default();
        let (Ok(name), Ok(entries)) = (CString::new(name), fs::read_dir("/proc/self/fd")) else {
            return found;
        };
        // SAFETY: a terminated string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        let numbers = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let bound: Vec<i32> = numbers
            .filter(|fd| packet_socket_interface(*fd) == Some(index))
            .collect();
        for fd in bound {
            // SAFETY: duplicates a descriptor, which is checked and then owned here alone.
            let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
            if copy >= 0 {
                // SAFETY: just made, and known to nobody else.
                found.sockets.push(unsafe { OwnedFd::from_raw_fd(copy) });
            }
        }
        found
    }

    /// Packets that the kernel has dropped since then because the receive rings were full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        let lost: u64 = self.sockets.iter().map(take_drops).sum();
        self.dropped.fetch_add(lost, Ordering::Relaxed) + lost
    }
}

/// The interface a descriptor is bound to, if it is a packet socket.
fn packet_socket_interface(fd: i32) -> Option<u32> {
    // SAFETY: all-zero is valid for this plain C structure, of which the kernel fills at most the size given. Any
    // number may be asked about.
    let (code, address, length) = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let code = libc::getsockname(fd, (&raw mut address).cast(), &raw mut length);
        (code, address, length as usize)
    };
    let filled = code == 0 && length >= std::mem::offset_of!(libc::sockaddr_ll, sll_hatype);
    let packet = filled && i32::from(address.sll_family) == libc::AF_PACKET;
    packet
        .then(|| u32::try_from(address.sll_ifindex).ok())
        .flatten()
}

/// Drops since the last call: the kernel starts again from zero each time.
fn take_drops(socket: &OwnedFd) -> u64 {
    // `struct tpacket_stats`: packets, drops.
    let mut counters = [0u32; 2];
    let mut length = size_of_val(&counters) as libc::socklen_t;
    // SAFETY: the kernel fills at most the size given of a live array.
    let code = unsafe {
        let value = counters.as_mut_ptr().cast();
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            value,
            &raw mut length,
        )
    };
    if code == 0 { u64::from(counters[1]) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name() {
        assert!(interface_exists("lo"));
        assert!(!interface_exists("no-such-if"));
        assert!(!interface_exists("lo\0"));
        let error = Interface::open("a-name-that-is-far-too-long").map(|_| ());
        assert_eq!(error.map_err(|e| e.raw_os_error()), Err(Some(libc::ENODEV)));
    }

    #[test]
    fn other_sockets_are_not_packet_sockets() -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        assert_eq!(packet_socket_interface(socket.as_raw_fd()), None);
        assert_eq!(packet_socket_interface(-1), None);
        Ok(())
    }

    #[test]
    fn an_mtu_that_is_large_enough_stays() -> io::Result<()> {
        let loopback = Interface::open("lo")?;
        loopback.running()?;
        loopback.raise_mtu(1)
    }
}
