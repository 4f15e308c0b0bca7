//! What a device's arguments must fulfil before DPDK sees them: drivers say little about such mistakes.

use std::borrow::Cow;

/// What is wrong with a device, and what would mend it.
pub(super) type Trouble = (String, String);

/// Longest name of a Linux interface, without its final zero.
const LONGEST_INTERFACE: usize = 15;

/// What may be written as a device.
const ACCEPTED: &str = "a PCI address (\"0000:03:00.0\"), or a driver with a number and its arguments \
                        (\"net_af_packet0,iface=eth0\", \"net_tap0,iface=vm1\")";

/// Virtual drivers that we link, without the `net_` before them.
const DRIVERS: &[&str] = &[
    "virtio_user",
    "af_packet",
    "af_xdp",
    "tap",
    "memif",
    "vhost",
    "ring",
    "null",
    "pcap",
];

/// A device as the operator wrote it, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeviceText<'a> {
    /// Name by which DPDK knows it; PCI addresses in full.
    pub name: Cow<'a, str>,
    /// The driver, without `net_` and number; `None` for a PCI device.
    pub driver: Option<&'a str>,
    /// What `iface` says.
    iface: Option<&'a str>,
}

impl<'a> DeviceText<'a> {
    /// Takes a device apart.
    ///
    /// # Errors
    /// When it cannot be one.
    pub(super) fn read(text: &'a str) -> Result<Self, Trouble> {
        let wrong = |what: String| Err((what, format!("write {ACCEPTED}")));
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong(format!("device {text:?} contains white space"));
        }
        let (name, arguments) = match text.split_once(',') {
            Some((name, arguments)) => (name, Some(arguments)),
            None => (text, None),
        };
        let mut iface = None;
        for argument in arguments.into_iter().flat_map(|all| all.split(',')) {
            match argument.split_once('=') {
                Some((key, value)) if !key.is_empty() => {
                    if key == "iface" {
                        iface = iface.or(Some(value));
                    }
                }
                _ => return wrong(format!("`{argument}` of device `{text}` is not key=value")),
            }
        }
        if let Some(address) = pci_address(name) {
            return Ok(Self {
                name: address.into(),
                driver: None,
                iface: None,
            });
        }
        match driver(name) {
            Some(driver) => Ok(Self {
                name: name.into(),
                driver: Some(driver),
                iface,
            }),
            None => wrong(format!(
                "`{name}` is neither a PCI address nor a driver with a number"
            )),
        }
    }

    /// What keeps it from starting on any machine.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let name = &self.name;
        let argument = self.iface.unwrap_or_default();
        if self.carrier_driver() && argument.is_empty() {
            let message = format!("device `{name}` does not say which Linux interface it uses");
            return Err((message, format!("write \"{name},iface=eth0\"")));
        }
        let Some(interface) = self.interface() else {
            return Ok(());
        };
        if interface.len() > LONGEST_INTERFACE {
            let message = format!(
                "the interface name `{interface}` has {} bytes; Linux takes {LONGEST_INTERFACE}",
                interface.len()
            );
            return Err((message, "choose a shorter name".to_owned()));
        }
        Ok(())
    }

    /// Is the driver one that we link, as far as its name tells?
    pub(super) fn is_known(&self) -> bool {
        self.driver.is_none_or(|driver| DRIVERS.contains(&driver))
    }

    /// The Linux interface that it takes or makes.
    pub(super) fn interface(&self) -> Option<&'a str> {
        let makes = matches!(self.driver, Some("tap" | "virtio_user"));
        self.iface
            .filter(|name| !name.is_empty() && (makes || self.carrier_driver()))
    }

    /// The Linux interface that must be there before it starts.
    pub(super) fn carrier(&self) -> Option<&'a str> {
        self.interface().filter(|_| self.carrier_driver())
    }

    fn carrier_driver(&self) -> bool {
        matches!(self.driver, Some("af_packet" | "af_xdp"))
    }
}

/// All drivers that we link, for people.
pub(super) fn drivers() -> String {
    let names: Vec<String> = DRIVERS.iter().map(|name| format!("net_{name}")).collect();
    names.join(", ")
}

/// The driver of `net_tap0` is `tap`; DPDK takes `eth_tap0` too.
fn driver(name: &str) -> Option<&str> {
    let rest = name
        .strip_prefix("net_")
        .or_else(|| name.strip_prefix("eth_"))?;
    let driver = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (driver.len() < rest.len() && !driver.is_empty() && driver.chars().all(fits)).then_some(driver)
}

/// A PCI address in full; its domain may be left out.
fn pci_address(name: &str) -> Option<String> {
    let name = name.strip_prefix("pci:").unwrap_or(name);
    let full = match name.matches(':').count() {
        1 => format!("0000:{name}"),
        _ => name.to_owned(),
    };
    let (domain, rest) = full.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let fits = hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1);
    fits.then(|| full.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> DeviceText<'_> {
        DeviceText::read(text).unwrap_or_else(|(message, _)| panic!("{text}: {message}"))
    }

    #[test]
    fn devices_have_a_name_a_driver_and_perhaps_an_interface() {
        let cases = [
            ("0000:03:00.0", "0000:03:00.0", None, None),
            ("AF:1f.7,x=1", "0000:af:1f.7", None, None),
            ("pci:03:00.1,iface=a", "0000:03:00.1", None, None),
            ("net_tap0,iface=vm1", "net_tap0", Some("tap"), Some("vm1")),
            ("net_tap12", "net_tap12", Some("tap"), None),
            (
                "net_af_packet0,iface=e,iface=f",
                "net_af_packet0",
                Some("af_packet"),
                Some("e"),
            ),
            (
                "net_vhost0,iface=/run/v.sock",
                "net_vhost0",
                Some("vhost"),
                None,
            ),
            (
                "net_virtio_user0,iface=v",
                "net_virtio_user0",
                Some("virtio_user"),
                Some("v"),
            ),
        ];
        for (text, name, driver, interface) in cases {
            let device = read(text);
            assert_eq!(device.name, name, "{text}");
            assert_eq!(device.driver, driver, "{text}");
            assert_eq!(device.interface(), interface, "{text}");
            assert!(device.is_known(), "{text}");
            assert_eq!(device.check(), Ok(()), "{text}");
        }
        assert!(!read("net_i2c0").is_known());
        assert!(read("net_af_xdp0").check().is_err());
        assert!(read("net_af_packet0,iface=").check().is_err());
    }

    #[test]
    fn what_cannot_be_a_device_is_refused_with_what_can() {
        let wrong = [
            "",
            "eth0",
            "tap0",
            "net_",
            "net_0",
            "net_tap",
            "net_Tap0",
            "0000:03:00",
            "03:00.g",
            "00000:03:00.0",
            "net_tap0,",
            "net_tap0,iface",
            "net_tap0,=x",
            "net_tap0, iface=x",
            "net_täp0",
        ];
        for text in wrong {
            let (message, help) = DeviceText::read(text).expect_err(text);
            assert!(!message.is_empty() && help.contains(ACCEPTED), "{text}");
        }
    }

    #[test]
    fn interface_names_have_a_limit() {
        for driver in ["tap", "af_packet", "af_xdp", "virtio_user"] {
            let fits = format!("net_{driver}0,iface={}", "x".repeat(LONGEST_INTERFACE));
            assert_eq!(read(&fits).check(), Ok(()));
            let (message, _) = read(&format!("{fits}y")).check().expect_err(driver);
            assert!(message.contains("16 bytes"), "{message}");
        }
        let socket = format!("net_vhost0,iface=/{}", "x".repeat(40));
        assert_eq!(read(&socket).check(), Ok(()));
    }
}
