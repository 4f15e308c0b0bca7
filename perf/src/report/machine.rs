//! Where and with what something was measured.

use std::process::Command;

use serde::Serialize;

/// The machine and the versions.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// CPU model.
    pub cpu: String,
    /// CPUs of the machine.
    pub cpus: usize,
    /// Kernel.
    pub kernel: String,
    /// Distribution.
    pub system: String,
    /// Whether a hypervisor is below.
    pub virtual_machine: bool,
    /// Date, UTC.
    pub date: String,
    /// This program.
    pub sluice: String,
    /// DPDK.
    pub dpdk: String,
    /// Open vSwitch.
    pub ovs: String,
}

impl Machine {
    /// The machine we are on.
    pub fn detect() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map_or("", |(_, value)| value.trim())
        };
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Self {
            cpu: field("model name").to_owned(),
            cpus: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            virtual_machine: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            kernel: said("uname", &["-r"]),
            system: system.unwrap_or_default().trim_matches('"').to_owned(),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            sluice: env!("CARGO_PKG_VERSION").to_owned(),
            dpdk: package("dpdk"),
            ovs: package("openvswitch-switch-dpdk"),
        }
    }
}

/// The version of an installed package.
fn package(name: &str) -> String {
    let version = said("dpkg-query", &["-W", "-f", "${Version}", name]);
    if version.is_empty() {
        "not installed".into()
    } else {
        version
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}
