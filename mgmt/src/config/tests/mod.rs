//! Files in, configuration or messages out.

mod again;
mod configs;
mod devices;
mod garbage;
mod golden;
mod large;
mod load;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Diagnostics, Host, Loaded, load_on};

/// A machine of four CPUs.
fn host() -> Host {
    Host {
        cpus: vec![0, 1, 2, 3],
    }
}

/// A directory of files that goes when it is dropped.
struct Files(PathBuf);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-config-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let files_of = Self(directory);
        for (name, text) in files {
            files_of.write(name, text);
        }
        files_of
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn load(&self) -> Result<Loaded, Diagnostics> {
        load_on(&self.0.join("node.toml"), &host())
    }

    /// A rendering without the name of the directory.
    fn without_directory(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The repository's `configs` directory.
fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}
