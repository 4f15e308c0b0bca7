//! Contestants on their wires, and trials of them.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use core_affinity::CoreId;
use serde::Serialize;

use super::probe::Probe;
use crate::bench::{Scratch, Window, begin, place, playing, site};
use crate::contestant::{Contestant, Kind, Site};
use crate::rig::{Feed, Playing, Reading, Schedule, Wire};
use crate::scenario::{Network, Scenario, Side};
use crate::traffic::{Load, Records, TAPE, Tape};
use crate::workers::Priority;

/// Slots of a ring, as many as descriptors in a network card.
const SLOTS: u32 = 2_048;
/// Before a trial, until the contestant runs.
const START: Duration = Duration::from_millis(5);
/// After a trial, for all others on both CPUs: the kernel gives them 50 ms of each second, if need be within a trial.
const BREATH: Duration = Duration::from_millis(60);
/// Seconds of the same load before a trial: caches are the contestant's again, and whoever slept is awake.
const WARM: f64 = 10e-3;
/// Nothing more comes from the trial before after so many seconds of silence.
const QUIET: f64 = 200e-6;
/// Seconds to wait for the last frames.
const PATIENCE: f64 = 5e-3;
/// Trials for one that counts.
const TRIES: usize = 8;
/// A window in which the contestant had its CPU for a smaller share does not count.
const LEAST_SHARE: f64 = 0.99;
/// Nor does one in which the host took a CPU, or
/// in which the generator did not look at its schedule for so many seconds,
const LONGEST_GAP: f64 = 500e-6;
/// nor one around which a probe took so many times what it takes at best.
const PROBE: f64 = 1.5;

/// Who is on a wire.
#[derive(Debug)]
struct Plugged {
    contestant: Contestant,
    wire: Wire,
    stamps: [(usize, usize); 2],
}

/// All contestants of one scenario, with their wires.
#[derive(Debug)]
pub struct Bed {
    plugged: Vec<(Kind, Result<Plugged, String>)>,
    records: [Option<Records>; 2],
    tsc_ghz: f64,
    probe: Probe,
    /// The least that a probe took, in nanoseconds.
    pub probe_best: f64,
    // Dropped after all who have files there.
    _scratch: Scratch,
    // Dropped last: what stops the contestants must not wait for them.
    _priority: Option<Priority>,
}

/// One trial.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// Million frames offered a second, both sides together.
    pub offered: f64,
    /// Million frames that came back a second.
    pub forwarded: f64,
    /// Share of the frames offered that did not come back.
    pub loss: f64,
    /// Share of the time that the contestant had its CPU.
    pub share: f64,
    /// Microseconds that the generator did not look at its schedule, at most.
    pub gap_us: f64,
    /// Nanoseconds of the probes before and after.
    pub probes: [f64; 2],
    /// Nothing from outside disturbed it.
    pub accepted: bool,
    /// Nanoseconds from when each frame was due until it was back.
    #[serde(skip)]
    pub latencies: Vec<u32>,
}

impl Bed {
    /// Starts all contestants, lets them meet their flows and puts them on their wires. Who fails is remembered.
    ///
    /// # Errors
    /// When there are no two CPUs.
    pub fn new(
        kinds: &[Kind],
        devices: &[String],
        scenario: &Scenario,
        load: &Load,
    ) -> anyhow::Result<Self> {
        let site = Site {
            devices: devices.to_vec(),
            ..site(None)?
        };
        let scratch = Scratch::of(&site);
        let kinds = if devices.is_empty() {
            kinds
        } else {
            &[Kind::Outside]
        };
        ensure!(site.cpu != site.other_cpu, "this needs two CPUs");
        let place = place(&site, scenario, load);
        let network = scenario.network(&place);
        let records = network.records(load, TAPE)?;
        ensure!(
            network.lap_at.is_none(),
            "records must come again as they are"
        );
        let [a, b] = &records;
        let tape = Tape::write(&site.file("tape"), [a.as_ref(), b.as_ref()])?;
        let first = playing(&tape, &network);
        let plug_in = |kind: Kind| -> Result<Plugged, String> {
            plug(&site, kind, scenario, &network, &first).map_err(|error| format!("{error:#}"))
        };
        let plugged: Vec<_> = kinds.iter().map(|&kind| (kind, plug_in(kind))).collect();
        core_affinity::set_for_current(CoreId { id: site.other_cpu });
        let mut bed = Self {
            plugged,
            records,
            tsc_ghz: 0.0,
            probe: Probe::new(site.cpu),
            probe_best: f64::INFINITY,
            _scratch: scratch,
            _priority: Priority::raise().ok(),
        };
        bed.tsc_ghz = bed.measure_tsc()?;
        Ok(bed)
    }

    /// Everybody, and why one does not run.
    pub fn contestants(&self) -> Vec<(Kind, Option<String>)> {
        let why = |result: &Result<Plugged, String>| result.as_ref().err().cloned();
        self.plugged
            .iter()
            .map(|(kind, result)| (*kind, why(result)))
            .collect()
    }

    /// The time stamp counter's frequency, as a contestant reads it.
    fn measure_tsc(&mut self) -> anyhow::Result<f64> {
        let plugged = self
            .plugged
            .iter_mut()
            .find_map(|(_, plugged)| plugged.as_mut().ok());
        let Some(plugged) = plugged else {
            let whys: Vec<String> = self
                .contestants()
                .into_iter()
                .filter_map(|(_, why)| why)
                .collect();
            bail!("nobody runs: {}", whys.join("; "));
        };
        let process = plugged.contestant.process().context("it does not run")?;
        process.go()?;
        sleep(START);
        let before = process.reading()?;
        sleep(20 * START);
        let after = process.reading()?;
        process.stop()?;
        let wall = after.wall_ns - before.wall_ns;
        ensure!(wall > 0, "the contestant does not run");
        Ok((after.tsc - before.tsc) as f64 / wall as f64)
    }

    /// A trial of a contestant with so many million frames a second, both sides together; again when something
    /// disturbed it, and then the least disturbed.
    ///
    /// # Errors
    /// When the contestant does not run, or wrong frames come back.
    pub fn trial(&mut self, kind: Kind, mpps: f64, seconds: f64) -> anyhow::Result<Trial> {
        let mut best: Option<Trial> = None;
        for _ in 0..TRIES {
            let trial = self.one(kind, mpps, seconds)?;
            let better = best.as_ref().is_none_or(|best| worth(&trial) > worth(best));
            if better {
                best = Some(trial);
            }
            if best.as_ref().is_some_and(|best| best.accepted) {
                break;
            }
        }
        best.context("no trial")
    }

    /// One trial, disturbed or not.
    ///
    /// # Errors
    /// When the contestant does not run, or wrong frames come back.
    pub fn one(&mut self, kind: Kind, mpps: f64, seconds: f64) -> anyhow::Result<Trial> {
        let before = self.probed();
        let hertz = self.tsc_ghz * 1e9;
        let sides = self.records.iter().flatten().count().max(1) as f64;
        let each = mpps * 1e6 / sides;
        let plugged = self.plugged.iter_mut().find(|(other, _)| *other == kind);
        let plugged = match plugged {
            Some((_, Ok(plugged))) => plugged,
            Some((_, Err(why))) => bail!("{why}"),
            None => bail!("{kind} is not on this bed"),
        };
        let schedule = Schedule {
            sides: [0, 1].map(|side: usize| self.records[side].as_ref()),
            stamps: plugged.stamps,
            interval: hertz / each,
            frames: ((each * seconds) as u64).max(1),
            patience: (PATIENCE * hertz) as u64,
        };
        let process = plugged.contestant.process().context("it does not run")?;
        process.go()?;
        sleep(START);
        plugged.wire.drain((QUIET * hertz) as u64);
        plugged.wire.run(&Schedule {
            frames: ((each * WARM) as u64).max(1),
            patience: 0,
            ..schedule
        });
        let stolen = stolen();
        let first = process.reading()?;
        let sent = plugged.wire.run(&schedule);
        let last = process.reading()?;
        process.stop()?;
        let stolen = self::stolen() - stolen;
        sleep(BREATH);
        let after = self.probed();
        let offered = sent.sent + sent.refused;
        let nanoseconds = sent.cycles as f64 / self.tsc_ghz;
        let share = share(&first, &last);
        let gap_us = sent.longest_gap as f64 / self.tsc_ghz / 1e3;
        let steady = [before, after]
            .iter()
            .all(|&took| took <= self.probe_best * PROBE);
        Ok(Trial {
            offered: offered as f64 / nanoseconds * 1e3,
            forwarded: sent.received as f64 / nanoseconds * 1e3,
            loss: 1.0 - sent.received.min(offered) as f64 / offered as f64,
            share,
            gap_us,
            probes: [before, after],
            accepted: steady && stolen == 0 && share >= LEAST_SHARE && gap_us <= LONGEST_GAP * 1e6,
            latencies: sent
                .latencies
                .iter()
                .map(|&cycles| (f64::from(cycles) / self.tsc_ghz) as u32)
                .collect(),
        })
    }

    /// What a cache line takes now; everything, when that cannot be said.
    fn probed(&mut self) -> f64 {
        let took = self.probe.measure().unwrap_or(f64::INFINITY);
        self.probe_best = self.probe_best.min(took);
        took
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.plugged.clear();
    }
}

/// Of two disturbed trials the one to keep: what disturbed it less.
fn worth(trial: &Trial) -> f64 {
    f64::from(u8::from(trial.accepted)) * 10.0 + trial.share - trial.gap_us / 1e6
}

/// Ticks that the host has taken from all CPUs, as far as it says so.
fn stolen() -> u64 {
    let all = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut words = all.lines().next().unwrap_or_default().split_whitespace();
    words.nth(8).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Of the time between, how much the contestant had its CPU.
fn share(before: &Reading, after: &Reading) -> f64 {
    Window::between(before, after).map_or(0.0, |window| window.share)
}

fn plug(
    site: &Site,
    kind: Kind,
    scenario: &Scenario,
    network: &Network,
    first: &Playing,
) -> anyhow::Result<Plugged> {
    let mut contestant = Contestant::new(kind);
    let process = contestant.prepare(site, scenario, network)?;
    begin(process, first)?;
    let path: PathBuf = site.file(&format!("{}.wire", kind.name()));
    let wire = Wire::create(&path, SLOTS)?;
    let feed = Feed {
        wire: SLOTS,
        ..Feed::default()
    };
    process.control.play(&Playing {
        records: PathBuf::new(),
        feeds: [feed; 2],
        delay: 0,
        wire: path,
    })?;
    Ok(Plugged {
        contestant,
        wire,
        stamps: stamps(network, kind)?,
    })
}

/// Where stamps are in the frames that each side sends and in those that arrive at it: behind the flow's number.
fn stamps(network: &Network, kind: Kind) -> anyhow::Result<[(usize, usize); 2]> {
    const NUMBER: usize = 4;
    let sent = |side: usize| match &network.sides[side] {
        Side::Frames { headers, .. } => headers + NUMBER,
        _ => 0,
    };
    let arriving = |side: usize| {
        let expected = (network.expected)(side, 0)?;
        let outer = expected.outer.map_or(0, |outer| outer.headers());
        Some(outer + expected.packet.headers() + NUMBER)
    };
    let stamps = [0, 1].map(|side| {
        let arrives = match arriving(side) {
            Some(at) if kind.routes() => at,
            _ => sent(1 - side),
        };
        (sent(side), arrives)
    });
    ensure!(
        stamps.iter().all(|(a, b)| a.max(b) + 8 <= 124),
        "its headers leave no room for stamps"
    );
    Ok(stamps)
}
