//! Bindings to libdpdk, generated at build time from the headers that are installed.
//!
//! No logic lives here. Functions keep their C names and their C contracts, which are documented by DPDK itself;
//! `static inline` functions are reachable through a compiled wrapper. The safe layer over them is
//! `sluice_fastpath::io::dpdk`.
#![no_std]

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    unused_qualifications,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    rustdoc::all
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
