//! Finds libdpdk, generates the bindings and says what to link.
//!
//! Static by default: only the drivers listed here are linked, and calls into the library are direct.
//! `DPDK_SHARED=1` links the shared libraries instead; EAL then loads every driver installed on the machine.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Buses, the mempool and the drivers that register themselves in constructors, which nothing else refers to.
const DRIVERS: &[&str] = &[
    "bus_vdev",
    "bus_pci",
    "mempool_ring",
    AF_PACKET,
    "net_af_xdp",
    "net_e1000",
    "net_ena",
    "net_i40e",
    "net_iavf",
    "net_ice",
    "net_ixgbe",
    "net_memif",
    "net_null",
    "net_pcap",
    "net_ring",
    "net_tap",
    "net_vhost",
    "net_virtio",
    "net_vmxnet3",
];

/// The driver that is linked in a mended copy.
const AF_PACKET: &str = "net_af_packet";

/// What the feature `mlx5` adds.
const MLX5_DRIVERS: &[&str] = &["bus_auxiliary", "common_mlx5", "net_mlx5"];

/// Libraries the drivers above need from outside DPDK.
const SYSTEM_LIBRARIES: &[&str] = &[
    "bsd", "numa", "xdp", "bpf", "pcap", "elf", "z", "crypto", "jansson", "fdt", "m", "dl",
    "pthread",
];

/// The functions and variables used, as regular expressions.
const FUNCTIONS: &[&str] = &[
    "sluice_(rte_errno|eth_link)",
    "rte_version",
    "rte_strerror",
    "rte_log_set_(global_level|level_pattern)",
    "rte_openlog_stream",
    "rte_eal_(init|cleanup|has_hugepages|iova_mode|process_type)",
    "rte_thread_(un)?register",
    "rte_(lcore|socket)_(id|count)",
    "rte_get_(tsc|timer)_(hz|cycles)",
    "rte_rdtsc",
    "rte_dev_(probe|remove|name)",
    "rte_mempool_(avail_count|in_use_count|free|lookup)",
    "rte_pktmbuf_(pool_create|alloc|alloc_bulk|free|free_bulk|linearize|mtod_offset)",
    "rte_eth_(rx|tx)_burst",
    "rte_eth_dev_(info_get|configure|start|stop|close|set_mtu|get_mtu|get_port_by_name|get_name_by_port|adjust_nb_rx_tx_desc|is_valid_port|count_avail|socket_id|rss_.*)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_eth_(promiscuous|allmulticast)_enable",
    "rte_eth_macaddr_get",
    "rte_eth_stats_(get|reset)",
    "rte_eth_find_next",
];

const TYPES: &[&str] = &["rte_eth_conf", "rte_eth_rss_.*", "rte_mbuf", "rte_mempool"];

const VARIABLES: &[&str] = &[
    "SLUICE_.*",
    "RTE_ETH_.*",
    "RTE_MBUF_.*",
    "RTE_PKTMBUF_.*",
    "RTE_MAX_(ETHPORTS|LCORE)",
    "RTE_MEMPOOL_CACHE_MAX_SIZE",
    "RTE_LOG_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG)",
    "RTE_ETHER_.*",
    "SOCKET_ID_ANY",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=shim.h");
    println!("cargo:rerun-if-changed=af_packet.c");
    for variable in ["DPDK_SHARED", "DPDK_MARCH"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let shared = env::var("DPDK_SHARED").is_ok_and(|v| v == "1");
    let library = find_library(shared);
    if !shared {
        link_static(&library, &source, &out);
    }
    let flags = compiler_flags();
    let wrappers = out.join("wrap_static.c");
    generate(&source.join("shim.h"), &wrappers, &out, &flags);
    compile(&wrappers, &source, &flags);
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| stop(&format!("cargo did not set {name}")))
}

/// Ends the build with a message that says how to mend it.
fn stop(message: &str) -> ! {
    eprintln!("\nerror: {message}\n");
    exit(1)
}

fn missing(what: &str) -> ! {
    stop(&format!(
        "{what}\n\nBuilding with DPDK needs these packages (Debian, Ubuntu):\n\n    \
         apt-get install libdpdk-dev libclang-dev clang pkg-config\n\n\
         or build the libraries without it: leave the cargo feature `dpdk` off (--no-default-features)."
    ))
}

fn find_library(shared: bool) -> pkg_config::Library {
    let probe = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(shared)
        .probe("libdpdk");
    probe.unwrap_or_else(|e| missing(&format!("libdpdk 22.11 or newer was not found: {e}")))
}

fn link_static(library: &pkg_config::Library, source: &Path, out: &Path) {
    let directory = pkg_config::get_variable("libdpdk", "libdir")
        .unwrap_or_else(|e| missing(&format!("pkg-config does not know libdpdk's libdir: {e}")));
    println!("cargo:rustc-link-search=native={directory}");
    let mlx5 = env::var_os("CARGO_FEATURE_MLX5").is_some();
    let extra: &[&str] = if mlx5 { MLX5_DRIVERS } else { &[] };
    let mut named = BTreeSet::new();
    for driver in DRIVERS.iter().chain(extra) {
        named.insert(format!("rte_{driver}"));
        if *driver == AF_PACKET && mend_af_packet(Path::new(&directory), source, out) {
            continue;
        }
        if Path::new(&directory)
            .join(format!("librte_{driver}.a"))
            .exists()
        {
            println!("cargo:rustc-link-lib=static:+whole-archive,-bundle=rte_{driver}");
        } else {
            println!(
                "cargo:warning=this libdpdk has no static {driver}: devices of that kind will not work"
            );
        }
    }
    // A library named twice with different modifiers is an error, hence the set.
    let others = library
        .libs
        .iter()
        .map(String::as_str)
        .chain(["rte_common_iavf"]);
    for name in others.filter(|name| name.starts_with("rte_")) {
        if named.insert(name.to_owned()) {
            println!("cargo:rustc-link-lib=static:-bundle={name}");
        }
    }
    let verbs: &[&str] = if mlx5 { &["mlx5", "ibverbs"] } else { &[] };
    for name in SYSTEM_LIBRARIES.iter().chain(verbs) {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}

/// Links a copy of the packet-socket driver in which `setsockopt` is the function in `af_packet.c`. `false` when that
/// is not possible here; the driver then works as DPDK ships it.
fn mend_af_packet(directory: &Path, source: &Path, out: &Path) -> bool {
    let (name, hook) = ("sluice_net_af_packet", "sluice_af_packet_hook");
    let status = Command::new("objcopy")
        .arg("--redefine-sym=setsockopt=sluice_af_packet_setsockopt")
        .arg(directory.join(format!("librte_{AF_PACKET}.a")))
        .arg(out.join(format!("lib{name}.a")))
        .status();
    if !status.is_ok_and(|status| status.success()) {
        println!(
            "cargo:warning=objcopy (binutils) does not run: af_packet devices will deliver IPv4 fragments reassembled"
        );
        return false;
    }
    let mut build = cc::Build::new();
    build
        .file(source.join("af_packet.c"))
        .cargo_metadata(false)
        .compile(hook);
    println!("cargo:rustc-link-search=native={}", out.display());
    for library in [name, hook] {
        println!("cargo:rustc-link-lib=static:+whole-archive,-bundle={library}");
    }
    true
}

/// All flags of pkg-config: its crate keeps only the include paths, but `-include rte_config.h` and `-march` belong
/// to the ABI of the inline functions.
fn compiler_flags() -> Vec<String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = Command::new(&program)
        .args(["--cflags", "libdpdk"])
        .output()
        .unwrap_or_else(|e| missing(&format!("{program} does not run: {e}")));
    let flags = String::from_utf8_lossy(&output.stdout);
    let mut flags: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    flags.push("-DALLOW_EXPERIMENTAL_API".to_owned());
    if let Ok(march) = env::var("DPDK_MARCH") {
        flags.push(format!("-march={march}"));
    }
    flags
}

fn generate(header: &Path, wrappers: &Path, out: &Path, flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header(header.to_string_lossy())
        .clang_args(flags)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .wrap_unsafe_ops(true)
        .use_core()
        .derive_debug(false)
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .wrap_static_fns(true)
        .wrap_static_fns_path(wrappers)
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(out)
        // Thread-local in C, which bindgen would silently turn into a plain static.
        .blocklist_var("per_lcore_.*")
        // Packed structures that contain an aligned one, which Rust refuses.
        .opaque_type("rte_arp_ipv4|rte_arp_hdr");
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in VARIABLES {
        builder = builder.allowlist_var(name);
    }
    // bindgen panics, rather than returning an error, when libclang cannot be loaded.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let generated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| builder.generate()));
    std::panic::set_hook(hook);
    let bindings = match generated {
        Ok(Ok(bindings)) => bindings,
        Ok(Err(e)) => missing(&format!("bindgen could not read DPDK's headers: {e}")),
        Err(_) => missing("libclang could not be loaded"),
    };
    if let Err(e) = bindings.write_to_file(out.join("bindings.rs")) {
        stop(&format!("the bindings cannot be written: {e}"));
    }
}

fn compile(wrappers: &Path, source: &Path, flags: &[String]) {
    let mut build = cc::Build::new();
    build
        .file(wrappers)
        .include(source)
        .opt_level(3)
        .warnings(false);
    for flag in flags {
        build.flag(flag);
    }
    build.compile("sluice_dpdk_wrappers");
}
