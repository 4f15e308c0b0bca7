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

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::traffic::body;

    const SLOTS: u64 = 256;
    const SLOT: u64 = 128;
    const RING: u64 = 256 + SLOTS * SLOT;
    const TAKEN_AT: u64 = 128;
    const SLOTS_AT: u64 = 256;

    fn records() -> Records {
        let frame = |flow: u32| [vec![0xee; 42], body(flow, 42, 0, 60)].concat();
        Records::new(42, &[1, 2, 3], |_, flow| frame(flow)).unwrap()
    }

    fn schedule(records: &Records, frames: u64) -> Schedule<'_> {
        Schedule {
            sides: [Some(records), None],
            stamps: [(46, 46); 2],
            interval: 20_000.0,
            frames,
            patience: 400_000_000,
        }
    }

    fn wire(name: &str) -> (std::path::PathBuf, Wire) {
        let path = std::env::temp_dir().join(format!("sluice-perf-{name}-{}", std::process::id()));
        let wire = Wire::create(&path, SLOTS as u32).unwrap();
        (path, wire)
    }

    fn word(file: &File, at: u64) -> u64 {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// A contestant that passes side A's frames on to side B, but for every tenth.
    fn pass_on(file: &File, stop: &AtomicBool) -> Vec<Vec<u8>> {
        let (from, to) = (0, 3 * RING);
        let mut seen = Vec::new();
        let mut taken = word(file, from + TAKEN_AT);
        while !stop.load(Ordering::Relaxed) {
            while taken < word(file, from) {
                let mut slot = vec![0; SLOT as usize];
                let at = SLOTS_AT + taken % SLOTS * SLOT;
                file.read_exact_at(&mut slot, from + at).unwrap();
                taken += 1;
                if !taken.is_multiple_of(10) {
                    let put = word(file, to);
                    let at = SLOTS_AT + put % SLOTS * SLOT;
                    file.write_all_at(&slot, to + at).unwrap();
                    file.write_all_at(&(put + 1).to_ne_bytes(), to).unwrap();
                }
                seen.push(slot);
            }
            file.write_all_at(&taken.to_ne_bytes(), from + TAKEN_AT)
                .unwrap();
        }
        seen
    }

    #[test]
    fn frames_are_sent_by_schedule_counted_and_timed() {
        let (path, mut wire) = wire("wire");
        let records = records();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let stop = AtomicBool::new(false);
        let (first, second, seen) = std::thread::scope(|scope| {
            let contestant = scope.spawn(|| pass_on(&file, &stop));
            let first = wire.run(&schedule(&records, 1_000));
            let second = wire.run(&schedule(&records, 100));
            stop.store(true, Ordering::Relaxed);
            (first, second, contestant.join().unwrap())
        });
        std::fs::remove_file(&path).unwrap();
        // A ring may be full for a moment when the other thread does not get a CPU.
        for (sent, frames) in [(&first, 1_000), (&second, 100)] {
            assert_eq!(sent.sent + sent.refused, frames);
            assert_eq!(sent.latencies.len() as u64, sent.received);
            assert!(sent.latencies.iter().all(|&cycles| cycles > 0));
            assert!(sent.cycles >= (frames - 1) * 20_000, "{}", sent.cycles);
            assert_eq!(sent.strangers, 0);
        }
        let lost = first.sent + second.sent - first.received - second.received;
        assert_eq!(lost, (first.sent + second.sent) / 10);
        // Records in turn, each with its number and the same inverted.
        if first.refused == 0 {
            for (n, slot) in seen.iter().take(1_000).enumerate() {
                assert_eq!(slot[..2], 60_u16.to_ne_bytes());
                assert_eq!(slot[4 + 42..4 + 46], (n as u32 % 3 + 1).to_be_bytes());
                let stamp = |at: usize| u32::from_ne_bytes(*slot[4 + at..].first_chunk().unwrap());
                assert_eq!((stamp(46) & 0x0fff_ffff, !stamp(46)), (n as u32, stamp(50)));
            }
        }
    }

    #[test]
    fn what_finds_no_room_is_lost() {
        let (path, mut wire) = wire("full");
        let records = records();
        let all = Schedule {
            interval: 100.0,
            patience: 1_000,
            ..schedule(&records, 1_000)
        };
        let sent = wire.run(&all);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            (sent.sent, sent.refused, sent.received),
            (SLOTS, 1_000 - SLOTS, 0)
        );
    }
}
