//! Devices that cannot start are refused where they are written.

use super::Files;
use crate::config::{Diagnostics, Severity};

const TOPOLOGY: &str = "[chassis.a]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n";

fn node(devices: &[&str]) -> Files {
    let mut text = "chassis = \"a\"\ntopology = \"topology.toml\"\n".to_owned();
    for (device, number) in devices.iter().zip(0..) {
        text.push_str(&format!("[interface.i{number}]\ndevice = \"{device}\"\n"));
    }
    Files::new(&[("node.toml", &text), ("topology.toml", TOPOLOGY)])
}

/// Severity, position and message of what is said about devices.
fn found(diagnostics: &Diagnostics) -> Vec<(Severity, (usize, usize), String)> {
    let findings = diagnostics.findings();
    findings
        .filter(|finding| !finding.message.starts_with("nothing uses"))
        .inspect(|finding| assert!(finding.help.is_some_and(|help| !help.is_empty())))
        .map(|finding| {
            let at = finding.position.expect("a place");
            (finding.severity, at, finding.message.to_owned())
        })
        .collect()
}

fn errors(devices: &[&str]) -> Vec<((usize, usize), String)> {
    let errors = node(devices).load().expect_err("refused");
    let errors = found(&errors)
        .into_iter()
        .filter(|(severity, ..)| *severity == Severity::Error);
    errors.map(|(_, at, message)| (at, message)).collect()
}

#[test]
fn one_device_is_wrong() {
    let long = format!("net_tap0,iface={}", "x".repeat(16));
    for (device, message) in [
        ("net_af_packet0", "does not say which Linux interface"),
        ("net_af_xdp3,x=1", "does not say which Linux interface"),
        (
            "net_af_packet0,iface=",
            "does not say which Linux interface",
        ),
        (&long, "has 16 bytes; Linux takes 15"),
        ("eth0", "neither a PCI address nor a driver"),
        ("0000:03:00", "neither a PCI address nor a driver"),
        ("net_tap0,iface", "is not key=value"),
    ] {
        let [(at, told)] = &errors(&[device])[..] else {
            panic!("{device}: one error");
        };
        assert_eq!(*at, (4, 10), "{device}");
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn two_devices_collide() {
    for (devices, message) in [
        (
            ["net_tap0,iface=a", "net_tap0,iface=b"],
            "interfaces `i0` and `i1` have the same device name `net_tap0`",
        ),
        (
            ["net_null0", "net_null0"],
            "interfaces `i0` and `i1` have the same device",
        ),
        (
            ["0000:AF:00.0", "af:00.0,x=1"],
            "interfaces `i0` and `i1` have the same device",
        ),
        (
            ["net_af_packet0,iface=e", "net_af_packet1,iface=e"],
            "interfaces `i0` and `i1` both use `e` of Linux",
        ),
        (
            ["net_af_packet0,iface=e", "net_af_xdp0,iface=e"],
            "interfaces `i0` and `i1` both use `e` of Linux",
        ),
        (
            ["net_tap0,iface=e", "net_tap1,iface=e"],
            "interfaces `i0` and `i1` both use `e` of Linux",
        ),
    ] {
        assert_eq!(errors(&devices), [((6, 10), message.to_owned())]);
    }
}

#[test]
fn devices_that_differ_are_taken_and_unknown_drivers_are_doubted() {
    let devices = [
        "net_tap0,iface=a",
        "net_tap1,iface=b",
        "net_vhost0,iface=a",
        "net_memif0",
        "net_memif1",
        "03:00.0",
        "03:00.1",
    ];
    let loaded = node(&devices).load().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found(&loaded.warnings), []);
    let loaded = node(&["net_bonding0"])
        .load()
        .unwrap_or_else(|e| panic!("{e}"));
    let message = "no driver for `net_bonding0` is known here".to_owned();
    assert_eq!(
        found(&loaded.warnings),
        [(Severity::Warning, (4, 10), message)]
    );
}

#[test]
fn interfaces_that_may_come_later_are_a_warning() {
    let devices = [
        "net_af_packet0,iface=here",
        "net_af_xdp0,iface=gone",
        "net_tap0,iface=new",
    ];
    let loaded = node(&devices).load().unwrap_or_else(|e| panic!("{e}"));
    let absent = loaded.absent_interfaces(|name| name == "here");
    let message = "this machine has no interface `gone` now".to_owned();
    assert_eq!(found(&absent), [(Severity::Warning, (6, 10), message)]);
    assert!(absent.to_string().contains("net_af_xdp0,iface=gone"));
    assert!(loaded.absent_interfaces(|_| true).is_empty());
}
