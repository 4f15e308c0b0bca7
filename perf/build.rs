//! Compiles the rig twice: into this program, and as an object that is preloaded into other programs.

#[cfg(not(feature = "dpdk"))]
fn main() {}

#[cfg(feature = "dpdk")]
fn main() {
    dpdk::build();
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use std::path::{Path, PathBuf};
    use std::process::{Command, exit};

    const SOURCES: [&str; 6] = [
        "rig/rig.c",
        "rig/preload.c",
        "rig/rig.h",
        "rig/wire.c",
        "rig/wire.h",
        "rig/kernel.c",
    ];

    pub(super) fn build() {
        for source in SOURCES {
            println!("cargo:rerun-if-changed={source}");
        }
        let flags = dpdk_flags();
        let mut linked = compiler(&flags);
        linked
            .file("rig/rig.c")
            .file("rig/wire.c")
            .file("rig/kernel.c")
            .compile("sluice_rig");
        let preloaded =
            PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("rig.so");
        share(&compiler(&flags), &preloaded);
    }

    fn compiler(flags: &[String]) -> cc::Build {
        let mut build = cc::Build::new();
        build
            .opt_level(3)
            .pic(true)
            .warnings(true)
            .extra_warnings(true);
        for flag in flags {
            build.flag(flag);
        }
        build
    }

    fn share(build: &cc::Build, to: &Path) {
        let mut command = build.get_compiler().to_command();
        command
            .args(["-shared", "rig/rig.c", "rig/preload.c", "-ldl", "-o"])
            .arg(to);
        if !command.status().is_ok_and(|status| status.success()) {
            stop("the rig could not be linked");
        }
    }

    /// All of pkg-config's flags: `-include rte_config.h` and `-march` belong to the ABI of the inline functions.
    fn dpdk_flags() -> Vec<String> {
        let output = Command::new("pkg-config")
            .args(["--cflags", "libdpdk"])
            .output();
        match output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            _ => stop("pkg-config knows no libdpdk: apt-get install libdpdk-dev pkg-config"),
        }
    }

    fn stop(message: &str) -> ! {
        eprintln!("\nerror: {message}\n");
        exit(1)
    }
}
