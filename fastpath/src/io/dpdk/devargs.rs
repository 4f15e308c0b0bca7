//! What the operator wrote for a device: understood, checked against this machine, and completed.

use std::fs;
use std::path::Path;

use super::error::DeviceProblem;
use super::kernel;

/// The driver a device needs, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A PCI device, whatever its driver.
    Pci,
    /// A Linux interface through packet sockets.
    AfPacket,
    /// A Linux interface through AF_XDP sockets.
    AfXdp,
    /// A tap, whose other end is a new Linux interface.
    Tap,
    /// Capture files, or a Linux interface through libpcap.
    Pcap,
    /// Any other virtual device.
    Virtual,
}

/// A device's arguments, `name[,key=value]...`, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devargs {
    name: String,
    pairs: Vec<(String, String)>,
}

/// Kernel drivers that leave a PCI device to DPDK, or that share it with DPDK's own driver (mlx).
const PCI_DRIVERS: &[&str] = &[
    "vfio-pci",
    "uio_pci_generic",
    "igb_uio",
    "mlx5_core",
    "mlx4_core",
];

/// What a packet socket's ring keeps beside a frame: its header, the address and alignment; generous.
const RING_OVERHEAD: u32 = 128;

/// Frames of a packet socket's ring in each direction: 4 MB at the usual length.
const RING_FRAMES: u32 = 2048;

/// The arguments that shape that ring. Who writes one of them shapes it all.
const RING_ARGUMENTS: [&str; 3] = ["framesz", "blocksz", "framecnt"];

impl Devargs {
    /// Understands what the operator wrote.
    ///
    /// # Errors
    /// [`DeviceProblem::Syntax`].
    pub fn parse(text: &str) -> Result<Self, DeviceProblem> {
        let syntax = |what: &str| DeviceProblem::Syntax(what.to_owned());
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(syntax("it contains white space"));
        }
        let mut pieces = text.split(',');
        let name = pieces.next().unwrap_or_default();
        if name.is_empty() {
            return Err(syntax("its name is empty"));
        }
        let pair = |piece: &str| match piece.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(syntax(&format!("`{piece}` is not key=value"))),
        };
        Ok(Self {
            name: name.to_owned(),
            pairs: pieces.map(pair).collect::<Result<_, _>>()?,
        })
    }

    /// The device's name: a PCI address, or a driver with a number.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The driver it needs.
    #[must_use]
    pub fn driver(&self) -> Driver {
        let name = self.name.as_str();
        let starts = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if pci_address(name).is_some() {
            Driver::Pci
        } else if starts(["net_af_packet", "eth_af_packet"]) {
            Driver::AfPacket
        } else if starts(["net_af_xdp", "eth_af_xdp"]) {
            Driver::AfXdp
        } else if starts(["net_tap", "eth_tap"]) {
            Driver::Tap
        } else if starts(["net_pcap", "eth_pcap"]) {
            Driver::Pcap
        } else {
            Driver::Virtual
        }
    }

    /// The value of an argument.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// The Linux interface that carries the packets (not the other end of a tap).
    #[must_use]
    pub fn carrier(&self) -> Option<&str> {
        match self.driver() {
            Driver::AfPacket | Driver::AfXdp | Driver::Pcap => self.get("iface"),
            Driver::Pci | Driver::Tap | Driver::Virtual => None,
        }
    }

    /// Looks whether this machine has the device, for the mistakes about which drivers say little.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn check(&self) -> Result<(), DeviceProblem> {
        match self.driver() {
            Driver::Pci => check_pci(&self.name, Path::new("/sys/bus/pci/devices")),
            Driver::AfPacket | Driver::AfXdp => {
                let interface = self
                    .get("iface")
                    .ok_or(DeviceProblem::MissingArgument("iface"))?;
                let exists = kernel::interface_exists(interface);
                exists
                    .then_some(())
                    .ok_or_else(|| DeviceProblem::NoInterface(interface.to_owned()))
            }
            Driver::Tap => match fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/net/tun")
            {
                Ok(_) => Ok(()),
                Err(e) => Err(DeviceProblem::Tun(e.to_string())),
            },
            Driver::Pcap | Driver::Virtual => Ok(()),
        }
    }

    /// Adds the arguments that the driver needs for this MTU and number of queues, unless they were written.
    ///
    /// A packet socket's ring has 512 frames of 2,048 bytes unless told otherwise, cuts what is longer, and overflows in
    /// the few milliseconds for which a busy machine may take a worker off its CPU. It has one queue. Rings are
    /// addressed as one array of frames, so a block must hold a whole number of them.
    pub fn complete(&mut self, mtu: u16, queues: u16) {
        if self.driver() != Driver::AfPacket {
            return;
        }
        let untouched = RING_ARGUMENTS.iter().all(|key| self.get(key).is_none());
        if untouched {
            self.add("framecnt", RING_FRAMES);
        }
        if untouched && mtu > 1500 {
            let frame = (u32::from(mtu) + LINK_OVERHEAD + RING_OVERHEAD).next_multiple_of(1024);
            self.add("framesz", frame);
            // Four frames of whole KiB are whole pages.
            self.add("blocksz", frame * 4);
        }
        if queues > 1 && self.get("qpairs").is_none() {
            self.add("qpairs", u32::from(queues));
        }
    }

    /// The longest frame that a ring of the driver holds, in bytes; buffers must hold as much.
    #[must_use]
    pub fn ring_frame(&self) -> u32 {
        let written = self.get("framesz").and_then(|size| size.parse().ok());
        written.unwrap_or(0)
    }

    fn add(&mut self, key: &str, value: u32) {
        self.pairs.push((key.to_owned(), value.to_string()));
    }
}

/// What Ethernet adds to an IP packet: its header and two VLAN tags.
pub(super) const LINK_OVERHEAD: u32 = 14 + 8;

impl std::fmt::Display for Devargs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.pairs
            .iter()
            .try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// The full address of a PCI device, of which the domain may be left out.
fn pci_address(name: &str) -> Option<String> {
    let name = name
        .strip_prefix("pci:")
        .unwrap_or(name)
        .to_ascii_lowercase();
    let full = if name.matches(':').count() == 1 {
        format!("0000:{name}")
    } else {
        name
    };
    let (domain, rest) = full.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex =
        |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1);
    fits.then_some(full)
}

fn check_pci(name: &str, devices: &Path) -> Result<(), DeviceProblem> {
    let Some(address) = pci_address(name) else {
        return Err(DeviceProblem::Syntax(format!("{name} is no PCI address")));
    };
    let device = devices.join(&address);
    if !device.exists() {
        return Err(DeviceProblem::NoPciDevice(address));
    }
    let Ok(driver) = fs::read_link(device.join("driver")) else {
        return Err(DeviceProblem::Unbound(address));
    };
    let driver = driver
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if PCI_DRIVERS.contains(&driver.as_str()) {
        Ok(())
    } else {
        Err(DeviceProblem::KernelDriver { address, driver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Devargs {
        Devargs::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn completed(text: &str, mtu: u16, queues: u16) -> String {
        let mut devargs = parsed(text);
        devargs.complete(mtu, queues);
        devargs.to_string()
    }

    #[test]
    fn drivers_are_known_by_name() {
        let cases = [
            ("0000:03:00.0", Driver::Pci),
            ("03:00.1,arg=1", Driver::Pci),
            ("pci:0000:af:1F.7", Driver::Pci),
            ("net_af_packet0,iface=eth1", Driver::AfPacket),
            ("eth_af_packet1,iface=eth1", Driver::AfPacket),
            ("net_af_xdp0,iface=eth1", Driver::AfXdp),
            ("net_tap0,iface=vm1", Driver::Tap),
            ("net_pcap0,rx_pcap=in.pcap", Driver::Pcap),
            ("net_memif0,role=server", Driver::Virtual),
            ("0000:03:00", Driver::Virtual),
            ("zz:00.0", Driver::Virtual),
        ];
        for (text, driver) in cases {
            assert_eq!(parsed(text).driver(), driver, "{text}");
        }
    }

    #[test]
    fn what_is_no_devargs_is_refused() {
        for text in [
            "",
            ",iface=eth1",
            "net_tap0,iface",
            "net_tap0,,",
            "net_tap0,=x",
            "net_tap0, iface=x",
            "a\nb",
        ] {
            assert!(
                matches!(Devargs::parse(text), Err(DeviceProblem::Syntax(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_packet_socket_gets_rings_for_its_mtu() {
        let plain = "net_af_packet0,iface=eth1";
        assert_eq!(completed(plain, 1500, 1), format!("{plain},framecnt=2048"));
        assert_eq!(
            completed(plain, 9000, 1),
            format!("{plain},framecnt=2048,framesz=9216,blocksz=36864")
        );
        assert_eq!(
            completed(plain, 1500, 3),
            format!("{plain},framecnt=2048,qpairs=3")
        );
        let written = "net_af_packet0,iface=eth1,framesz=16384,blocksz=65536,qpairs=2";
        assert_eq!(completed(written, 9000, 4), written);
        assert_eq!(
            completed("net_tap0,iface=vm1", 9000, 4),
            "net_tap0,iface=vm1"
        );
    }

    #[test]
    fn every_ring_is_an_array_of_frames() {
        for mtu in 1501..=9216 {
            let mut devargs = parsed("net_af_packet0,iface=eth1");
            devargs.complete(mtu, 1);
            let block: u32 = devargs
                .get("blocksz")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            let frame = devargs.ring_frame();
            assert!(
                frame >= u32::from(mtu) + LINK_OVERHEAD + 80,
                "mtu {mtu}: frame {frame}"
            );
            assert!(
                block.is_multiple_of(frame) && block.is_multiple_of(4096),
                "mtu {mtu}: block {block}"
            );
            assert!(
                RING_FRAMES.is_multiple_of(block / frame),
                "mtu {mtu}: block {block}"
            );
        }
    }

    #[test]
    fn missing_devices_are_named() {
        let absent = parsed("net_af_packet0,iface=no-such-if");
        assert_eq!(
            absent.check(),
            Err(DeviceProblem::NoInterface("no-such-if".into()))
        );
        assert_eq!(
            parsed("net_af_xdp0").check(),
            Err(DeviceProblem::MissingArgument("iface"))
        );
        assert_eq!(parsed("net_af_packet0,iface=lo").check(), Ok(()));
        let pci = parsed("ffff:ff:1f.7").check();
        assert_eq!(pci, Err(DeviceProblem::NoPciDevice("ffff:ff:1f.7".into())));
    }

    #[test]
    fn a_pci_device_must_be_bound_to_a_userspace_driver() -> std::io::Result<()> {
        let root = std::env::temp_dir().join(format!("sluice-pci-{}", std::process::id()));
        for (address, driver) in [("0000:01:00.0", "ixgbe"), ("0000:02:00.0", "vfio-pci")] {
            fs::create_dir_all(root.join(address))?;
            std::os::unix::fs::symlink(
                format!("../../drivers/{driver}"),
                root.join(address).join("driver"),
            )?;
        }
        fs::create_dir_all(root.join("0000:03:00.0"))?;
        let held = check_pci("01:00.0", &root);
        let free = check_pci("0000:02:00.0", &root);
        let unbound = check_pci("0000:03:00.0", &root);
        fs::remove_dir_all(&root)?;
        let (address, driver) = ("0000:01:00.0".into(), "ixgbe".into());
        assert_eq!(held, Err(DeviceProblem::KernelDriver { address, driver }));
        assert_eq!(free, Ok(()));
        assert_eq!(unbound, Err(DeviceProblem::Unbound("0000:03:00.0".into())));
        Ok(())
    }
}
