//! Files of one test, removed with it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of its own.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// Makes the directory.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("packets-{}-{number}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory }
    }

    /// Writes a file and says where it is.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in the target directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A node file, put together.
#[derive(Clone, Debug)]
pub struct NodeFile {
    pub name: String,
    interfaces: Vec<(String, String)>,
    mappings: Vec<(String, String)>,
    underlay: Option<String>,
}

impl NodeFile {
    /// A node without any device.
    pub fn new(chassis: &str) -> Self {
        Self {
            name: chassis.to_owned(),
            interfaces: Vec::new(),
            mappings: Vec::new(),
            underlay: None,
        }
    }

    /// A tunnel end on the interface `eth0`, which carries 1600 bytes.
    pub fn underlay(self, address: &str) -> Self {
        self.underlay_with(address, "mtu = 1600")
    }

    /// A tunnel end on the interface `eth0` with further keys.
    pub fn underlay_with(mut self, address: &str, keys: &str) -> Self {
        self.interfaces
            .push(("eth0".to_owned(), "mtu = 1600".to_owned()));
        self.underlay = Some(format!(
            "interface = \"eth0\"\naddress = \"{address}\"\n{keys}\n"
        ));
        self
    }

    /// VIFs, each on an interface of its name.
    pub fn vifs(mut self, ports: &[&str]) -> Self {
        for port in ports {
            self.interfaces
                .push(((*port).to_owned(), format!("iface_id = \"{port}\"")));
        }
        self
    }

    /// A physical network on an interface.
    pub fn network(mut self, network: &str, interface: &str) -> Self {
        if !self.interfaces.iter().any(|(name, _)| name == interface) {
            self.interfaces.push((interface.to_owned(), String::new()));
        }
        self.mappings
            .push((network.to_owned(), interface.to_owned()));
        self
    }

    /// The text.
    pub fn text(&self, topology: &str) -> String {
        let mut text = format!("chassis = \"{}\"\ntopology = \"{topology}\"\n", self.name);
        for (number, (name, keys)) in self.interfaces.iter().enumerate() {
            write!(
                text,
                "[interface.{name}]\ndevice = \"net_af_packet{number},iface={name}\"\n{keys}\n"
            )
            .unwrap();
        }
        if !self.mappings.is_empty() {
            text.push_str("[bridge_mappings]\n");
            for (network, interface) in &self.mappings {
                writeln!(text, "{network} = \"{interface}\"").unwrap();
            }
        }
        if let Some(underlay) = &self.underlay {
            write!(text, "[underlay]\n{underlay}").unwrap();
        }
        text
    }
}
