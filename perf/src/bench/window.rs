//! One measurement of one contestant.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde::Serialize;

use crate::contestant::Process;
use crate::rig::Reading;

/// Run before a window, so that caches are the contestant's again.
pub(crate) const WARM: Duration = Duration::from_millis(60);
/// What is measured.
pub(crate) const LENGTH: Duration = Duration::from_millis(250);
/// A window in which the thread had its CPU for a smaller share does not count.
const LEAST_SHARE: f64 = 0.99;
/// Windows tried for one that counts.
pub(crate) const TRIES: usize = 6;
/// Packets that a contestant may hold back at the end of a window: some bursts of each port.
const UNDER_WAY: i64 = 512;
/// How often it is looked how far a contestant is.
const STEP: Duration = Duration::from_millis(20);
/// How long addresses may take to be learned.
const LEARNING: Duration = Duration::from_secs(6);
/// How long all flows may take to be met once.
const FIRST_LAP: Duration = Duration::from_secs(30);

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Cycles of the time stamp counter, while on the CPU, for each packet received.
    pub cycles: f64,
    /// Million packets received for each second on the CPU.
    pub mpps: f64,
    /// Share of the packets received that did not leave.
    pub loss: f64,
    /// Packets received, less those sent; below zero when more were sent. What was under way at both ends is in it.
    pub missing: i64,
    /// Share of the time that the thread had its CPU.
    pub share: f64,
    /// The time stamp counter's frequency in GHz.
    pub tsc_ghz: f64,
    /// False when no window was undisturbed and this is merely the best.
    pub undisturbed: bool,
}

impl Window {
    /// As many packets left as came, but for those under way at both ends.
    ///
    /// # Errors
    /// How many are missing, or too many.
    pub fn conserved(&self) -> anyhow::Result<()> {
        let Self { missing, loss, .. } = *self;
        ensure!(
            missing <= UNDER_WAY,
            "{missing} packets ({:.3} %) did not leave",
            loss * 100.0
        );
        ensure!(
            missing >= -UNDER_WAY,
            "{} packets more left than came",
            -missing
        );
        Ok(())
    }

    /// Between two readings; `None` when nothing was received or no time passed.
    pub fn between(before: &Reading, after: &Reading) -> Option<Window> {
        let wall = after
            .wall_ns
            .checked_sub(before.wall_ns)
            .filter(|&ns| ns > 0)? as f64;
        let cpu = after
            .cpu_ns
            .checked_sub(before.cpu_ns)
            .filter(|&ns| ns > 0)? as f64;
        let tsc_ghz = after.tsc.checked_sub(before.tsc)? as f64 / wall;
        let count = |of: fn(&Reading) -> [u64; 2]| {
            let (before, after) = (of(before), of(after));
            (after[0] + after[1]).checked_sub(before[0] + before[1])
        };
        let received = count(|reading| reading.rx).filter(|&n| n > 0)? as f64;
        let sent = count(|reading| reading.tx)? as f64;
        let share = cpu / wall;
        Some(Window {
            cycles: cpu * tsc_ghz / received,
            mpps: received / cpu * 1e3,
            loss: (1.0 - sent / received).max(0.0),
            missing: (received - sent) as i64,
            share,
            tsc_ghz,
            undisturbed: share >= LEAST_SHARE,
        })
    }
}

/// Lets a contestant meet all flows and learn all addresses, then stops it.
///
/// # Errors
/// When it ends or does not get through.
pub(crate) fn first_lap(process: &mut Process, epoch: u32) -> anyhow::Result<()> {
    process.control.answer(true)?;
    // Whoever resolves addresses for the polling thread may wait for its CPU.
    let urgent = std::mem::replace(&mut process.urgent, false);
    process.go()?;
    all_flows(process, epoch)?;
    until_nothing_is_lost(process)?;
    process.urgent = urgent;
    process.control.answer(false)?;
    process.stop()
}

fn all_flows(process: &mut Process, epoch: u32) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut laps = None;
    loop {
        sleep(STEP);
        let readings = process.readings()?;
        if readings.iter().all(|reading| reading.epoch == epoch) {
            let now: Vec<u64> = readings.iter().map(|reading| reading.laps).collect();
            let before = laps.get_or_insert_with(|| now.clone());
            // Two sides that wrap once each, or one that wraps twice.
            if now
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= *before + 2)
            {
                return Ok(());
            }
        }
        if begin.elapsed() > FIRST_LAP {
            bail!(
                "it did not get through all flows in {} s",
                FIRST_LAP.as_secs()
            );
        }
    }
}

/// Whoever cannot do without losing is found out by the windows.
fn until_nothing_is_lost(process: &mut Process) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut before = process.reading()?;
    while begin.elapsed() < LEARNING {
        sleep(5 * STEP);
        let after = process.reading()?;
        if Window::between(&before, &after).is_some_and(|window| window.loss == 0.0) {
            break;
        }
        before = after;
    }
    Ok(())
}

/// Measures once; tries again when others took the CPU.
///
/// # Errors
/// When the contestant ends or nothing moves.
pub(super) fn measure(process: &mut Process) -> anyhow::Result<Window> {
    let mut best: Option<Window> = None;
    for _ in 0..TRIES {
        process.go()?;
        sleep(WARM);
        let before = process.reading()?;
        sleep(LENGTH);
        let after = process.reading()?;
        process.stop()?;
        let Some(window) = Window::between(&before, &after) else {
            continue;
        };
        if best.is_none_or(|best| window.share > best.share) {
            best = Some(window);
        }
        if window.undisturbed {
            break;
        }
    }
    match best {
        Some(window) => Ok(window),
        None => bail!("no packet moved: {}", process.last_words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(tsc: u64, cpu_ns: u64, wall_ns: u64, rx: [u64; 2], tx: [u64; 2]) -> Reading {
        Reading {
            tsc,
            cpu_ns,
            wall_ns,
            rx,
            tx,
            ..Reading::default()
        }
    }

    #[test]
    fn cycles_are_those_on_the_cpu() {
        let before = reading(1_000, 0, 0, [0, 0], [0, 0]);
        let after = reading(
            3_001_000,
            500_000,
            1_000_000,
            [5_000, 5_000],
            [4_000, 5_000],
        );
        let window = Window::between(&before, &after).unwrap();
        assert_eq!((window.tsc_ghz, window.share), (3.0, 0.5));
        assert_eq!((window.cycles, window.mpps), (150.0, 20.0));
        assert!((window.loss - 0.1).abs() < 1e-9);
        assert_eq!(window.missing, 1_000);
        assert!(!window.undisturbed);
    }

    #[test]
    fn lost_and_doubled_packets_are_told() {
        let between = |sent| {
            let before = reading(0, 0, 0, [0, 0], [0, 0]);
            let after = reading(3_000, 500, 1_000, [500_000, 500_000], sent);
            Window::between(&before, &after).unwrap().conserved()
        };
        assert!(between([500_000, 499_900]).is_ok());
        let lost = between([499_000, 499_900]).unwrap_err().to_string();
        assert_eq!(lost, "1100 packets (0.110 %) did not leave");
        let more = between([501_000, 500_000]).unwrap_err().to_string();
        assert_eq!(more, "1000 packets more left than came");
    }

    #[test]
    fn a_window_without_packets_is_none() {
        let one = reading(0, 0, 0, [7, 0], [7, 0]);
        let two = reading(10, 10, 10, [7, 0], [7, 0]);
        assert_eq!(Window::between(&one, &two), None);
        assert_eq!(Window::between(&two, &one), None);
    }
}
