//! The generator's end of the wires: frames sent by schedule, and when they came back.

use std::ffi::{CString, c_char};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::traffic::Records;

/// Latencies that are kept of one run.
const ROOM: usize = 1 << 24;

#[repr(C)]
struct Side {
    records: *const u8,
    total: u64,
    count: u32,
    stride: u32,
    stamp_in: u32,
    stamp_out: u32,
}

#[repr(C)]
struct Load {
    sides: [Side; 2],
    interval: u64,
    patience: u64,
    latencies: *mut u32,
    room: u64,
    tag: u32,
    reserved: u32,
    begin: u64,
    end: u64,
    sent: u64,
    refused: u64,
    received: u64,
    strangers: u64,
    longest_gap: u64,
}

/// The rings, as the other side sees them.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

unsafe extern "C" {
    safe fn sluice_time_stamp() -> u64;
    fn sluice_wire_open(path: *const c_char, slots: u32) -> *mut Opaque;
    fn sluice_wire_close(wire: *mut Opaque);
    fn sluice_wire_drain(wire: *mut Opaque, quiet: u64);
    fn sluice_wire_run(wire: *mut Opaque, load: *mut Load);
}

/// The time stamp counter now.
pub fn time_stamp() -> u64 {
    sluice_time_stamp()
}

/// What is sent in one run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<'a> {
    /// The records of each side that sends.
    pub sides: [Option<&'a Records>; 2],
    /// Offset of the stamp in what each side sends, and in what arrives at it.
    pub stamps: [(usize, usize); 2],
    /// Cycles between two frames of a side.
    pub interval: f64,
    /// Frames of each side that sends.
    pub frames: u64,
    /// Cycles to wait for the last frames.
    pub patience: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Cycles from the first frame to the last.
    pub cycles: u64,
    /// Frames put on the wire.
    pub sent: u64,
    /// Frames that found no room: lost.
    pub refused: u64,
    /// Frames that came back.
    pub received: u64,
    /// Frames of no run, or of another.
    pub strangers: u64,
    /// Cycles in which the generator did not look at its schedule, at most.
    pub longest_gap: u64,
    /// Cycles from when each frame was due to when it came back, in the order of arrival.
    pub latencies: Vec<u32>,
}

/// A wire for each side, to one contestant.
#[derive(Debug)]
pub struct Wire {
    wire: *mut Opaque,
    tag: u32,
}

impl Wire {
    /// Makes the wire file, with rings of `slots` (a power of two) frames.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, slots: u32) -> anyhow::Result<Self> {
        ensure!(slots.is_power_of_two(), "{slots} slots");
        let name =
            CString::new(path.to_string_lossy().as_bytes()).context("the wire file's name")?;
        // SAFETY: a terminated string that lives through the call.
        let wire = unsafe { sluice_wire_open(name.as_ptr(), slots) };
        ensure!(!wire.is_null(), "{} cannot be made", path.display());
        Ok(Self { wire, tag: 0 })
    }

    /// Throws away what is on its way, until nothing came for as many cycles.
    pub fn drain(&mut self, quiet: u64) {
        // SAFETY: open until it is dropped, and borrowed by nobody else.
        unsafe { sluice_wire_drain(self.wire, quiet) }
    }

    /// Sends by schedule and waits for what comes back.
    pub fn run(&mut self, schedule: &Schedule<'_>) -> Sent {
        self.tag = (self.tag + 1) % 16;
        let side = |n: usize| {
            let records = schedule.sides[n].filter(|records| !records.is_empty());
            let (stamp_in, stamp_out) = schedule.stamps[n];
            Side {
                records: records.map_or(std::ptr::null(), |records| records.bytes().as_ptr()),
                total: records.map_or(0, |_| schedule.frames),
                count: records.map_or(0, Records::len) as u32,
                stride: records.map_or(0, |records| records.stride) as u32,
                stamp_in: stamp_in.min(STAMP_MOST) as u32,
                stamp_out: stamp_out.min(STAMP_MOST) as u32,
            }
        };
        let mut latencies = vec![0_u32; ROOM.min(2 * schedule.frames as usize)];
        let mut load = Load {
            sides: [side(0), side(1)],
            interval: (schedule.interval * 65_536.0) as u64,
            patience: schedule.patience,
            latencies: latencies.as_mut_ptr(),
            room: latencies.len() as u64,
            tag: self.tag,
            reserved: 0,
            begin: 0,
            end: 0,
            sent: 0,
            refused: 0,
            received: 0,
            strangers: 0,
            longest_gap: 0,
        };
        // SAFETY: the wire is open and borrowed by nobody else; records and latencies outlive the call, counts
        // and strides are theirs, and stamps stay within a slot.
        unsafe { sluice_wire_run(self.wire, &mut load) };
        latencies.truncate(load.received as usize);
        Sent {
            cycles: load.end.saturating_sub(load.begin),
            sent: load.sent,
            refused: load.refused,
            received: load.received,
            strangers: load.strangers,
            longest_gap: load.longest_gap,
            latencies,
        }
    }
}

/// The last place in a slot for a stamp.
const STAMP_MOST: usize = 128 - 4 - 8;

impl Drop for Wire {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once.
        unsafe { sluice_wire_close(self.wire) }
    }
}
