//! Established connections while the table is full and every second packet wants to open one more.
//!
//! ```text
//!  fill: side A opens all connections, side B answers
//!  quiet:  ── A's packets ───────────────────────── again ──►  cycles of A's packets
//!  attack: ── A's packets, as many of B's, all new ─ again ──►  cycles of A's packets, those of B's
//! ```
//! The rig tells apart what each side's packets take. Nobody answers any more, so an established connection that had to go
//! would be opened again by its next packet and never be answered: the number of answered ones tells.

use std::fmt;
use std::thread::sleep;

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use sluice_mgmt::control::{Client, Command, Reply};
use sluice_mgmt::show::{Query, What};

use crate::bench::{
    LENGTH, Scratch, TRIES, WARM, Window, first_lap, median, playing, site, verify,
};
use crate::contestant::{self, Process};
use crate::report::Bar;
use crate::rig::{Feed, Playing, Reading};
use crate::scenario::{Place, attacked};
use crate::traffic::{Load, Order, Size, Tape, parse_flows};
use crate::workers::Priority;

/// What established packets may take, times what they take undisturbed.
const BAR: f64 = 1.15;
/// Room for connections that are not answered, as a part of the table.
const SPARE: u32 = 32;
/// Under this name our worker runs.
const NAME: &str = "sluice";
const SCENARIO: &str = "attack";

/// Measures established connections beside new ones for which there is no room.
#[derive(Clone, Debug, Args)]
pub struct Attack {
    /// Established connections.
    #[arg(long, default_value = "100k", value_parser = parse_flows)]
    pub flows: u32,
    /// Windows of each kind.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Directory for the report as JSON.
    #[arg(long)]
    pub out: Option<std::path::PathBuf>,
}

/// What was measured; medians.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Established connections.
    pub flows: u32,
    /// Connections that fit.
    pub capacity: u32,
    /// Cycles of a packet of an established connection, the rig's part included, alone.
    pub quiet: f64,
    /// The same beside the attack.
    pub attacked: f64,
    /// Cycles of a packet that wants to open a connection.
    pub new: f64,
    /// Of these, millions a second.
    pub new_mpps: f64,
    /// Share of all packets that were new.
    pub share: f64,
    /// Answered connections before and after.
    pub answered: [u64; 2],
    /// Packets of established connections that did not leave, in all windows; less those under way.
    pub missing: i64,
    /// What packets were dropped for.
    pub drops: Vec<(String, u64)>,
    /// Frames compared byte by byte.
    pub verified: usize,
}

impl Measured {
    /// What is aimed at.
    pub fn bars(&self) -> Vec<Bar> {
        let what = format!("{} established, table full, attacked", self.flows);
        let [before, after] = self.answered;
        let lost = before.saturating_sub(after) as f64;
        vec![
            Bar::at_most(10, what, "x quiet", BAR, Some(self.attacked / self.quiet)),
            Bar::at_most(10, "of them gone", "connections", 0.0, Some(lost)),
        ]
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flows,
            capacity,
            quiet,
            attacked,
            ..
        } = self;
        writeln!(f, "{flows} established connections, room for {capacity}")?;
        writeln!(
            f,
            "a packet of theirs: {quiet:.1} cycles alone, {attacked:.1} attacked"
        )?;
        writeln!(
            f,
            "a new one: {:.0} cycles; {:.2} M/s, {:.0} % of all packets",
            self.new,
            self.new_mpps,
            self.share * 100.0
        )?;
        let [before, after] = self.answered;
        writeln!(f, "answered connections: {before} before, {after} after")?;
        writeln!(f, "packets of theirs that did not leave: {}", self.missing)?;
        for (reason, count) in &self.drops {
            writeln!(f, "dropped, {reason}: {count}")?;
        }
        writeln!(f, "{} frames verified", self.verified)
    }
}

/// Measures it.
///
/// # Errors
/// When the worker does not start, loses packets, or sends wrong ones.
pub fn run(wanted: &Attack) -> anyhow::Result<Measured> {
    let site = site(None)?;
    let _scratch = Scratch::of(&site);
    let capacity = wanted.flows + wanted.flows.div_ceil(SPARE);
    let network = attacked(&Place {
        cpus: vec![site.cpu],
        connections: capacity,
    });
    let load = Load {
        flows: wanted.flows,
        size: Size::Bytes(64),
        order: Order::Uniform,
    };
    let [a, b] = network.records(&load, 0)?;
    let tape = Tape::write(&site.file("tape"), [a.as_ref(), b.as_ref()])?;
    let phases = Phases::new(playing(&tape, &network));
    let mut process = contestant::start_workers(&site, NAME, SCENARIO, &network, 1)?;
    let mut client = Client::connect(&contestant::socket(&site, NAME, SCENARIO))?;

    let epoch = process.control.play(&phases.fill)?;
    first_lap(&mut process, epoch)?;
    let before = answered(&mut process, &mut client)?;
    ensure!(
        before == u64::from(wanted.flows),
        "{before} of {} connections were answered",
        wanted.flows
    );

    process.control.time(true)?;
    let _priority = Priority::raise()?;
    let (mut quiet, mut attacked) = (Vec::new(), Vec::new());
    let mut verified = 0;
    for _ in 0..wanted.runs {
        process.control.play(&phases.quiet)?;
        quiet.push(window(&mut process)?);
        let epoch = process.control.play(&phases.attack)?;
        attacked.push(window(&mut process)?);
        verified += verify(&mut process, epoch, &network, true).map_err(anyhow::Error::msg)?;
    }
    let of = |parts: &[Part], value: fn(&Part) -> f64| {
        median(parts.iter().map(value).collect()).context("no window")
    };
    let after = answered(&mut process, &mut client)?;
    Ok(Measured {
        flows: wanted.flows,
        capacity,
        quiet: of(&quiet, |part| part.cycles[0])?,
        attacked: of(&attacked, |part| part.cycles[0])?,
        new: of(&attacked, |part| part.cycles[1])?,
        new_mpps: of(&attacked, |part| part.new_mpps)?,
        share: of(&attacked, |part| part.share)?,
        answered: [before, after],
        missing: quiet.iter().chain(&attacked).map(|part| part.missing).sum(),
        drops: drops(&mut process, &mut client)?,
        verified,
    })
}

/// What is played.
struct Phases {
    fill: Playing,
    quiet: Playing,
    attack: Playing,
}

impl Phases {
    fn new(both: Playing) -> Self {
        let [mut established, new] = both.feeds;
        established.lap_at = None;
        let with = |other: Feed| Playing {
            feeds: [established, other],
            ..both.clone()
        };
        let turned = Feed {
            turned: true,
            ..Feed::default()
        };
        Self {
            fill: with(turned),
            quiet: with(Feed::default()),
            attack: with(new),
        }
    }
}

/// A window by side.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Of a packet of each side; 0 where none came.
    cycles: [f64; 2],
    /// Side B's packets, millions a second.
    new_mpps: f64,
    /// Their share.
    share: f64,
    /// Packets of side A that did not leave by side B.
    missing: i64,
}

impl Part {
    fn between(before: &Reading, after: &Reading) -> Option<Part> {
        let spent = [0, 1].map(|side| after.spent[side] - before.spent[side]);
        let came = [0, 1].map(|side| after.rx[side] - before.rx[side]);
        let seconds = (after.wall_ns - before.wall_ns) as f64 / 1e9;
        let each = |side: usize| spent[side] as f64 / came[side].max(1) as f64;
        (came[0] > 0).then(|| Part {
            cycles: [each(0), each(1)],
            new_mpps: came[1] as f64 / seconds / 1e6,
            share: came[1] as f64 / (came[0] + came[1]) as f64,
            missing: came[0] as i64 - (after.tx[1] - before.tx[1]) as i64,
        })
    }
}

/// Measures once; tries again when others took the CPU, as what is spent is told by the clock.
fn window(process: &mut Process) -> anyhow::Result<Part> {
    let mut best: Option<(f64, Part)> = None;
    for _ in 0..TRIES {
        process.go()?;
        sleep(WARM);
        let before = process.reading()?;
        sleep(LENGTH);
        let after = process.reading()?;
        process.stop()?;
        let window = Window::between(&before, &after).zip(Part::between(&before, &after));
        let Some((window, part)) = window else {
            continue;
        };
        if best.is_none_or(|(share, _)| window.share > share) {
            best = Some((window.share, part));
        }
        if window.undisturbed {
            break;
        }
    }
    let (_, part) = best.with_context(|| format!("no packet moved: {}", process.last_words()))?;
    Ok(part)
}

/// Rows of a table of the worker's daemon.
fn rows(process: &mut Process, client: &mut Client, what: What) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    process.go()?;
    let asked = client.ask(Command::Show(Query::all(what)), |reply| {
        if let Reply::Rows { rows } = reply {
            all.extend(rows);
        }
        Ok(())
    });
    process.stop()?;
    asked?;
    Ok(all)
}

/// Connections with packets both ways.
fn answered(process: &mut Process, client: &mut Client) -> anyhow::Result<u64> {
    let rows = rows(process, client, What::Totals)?;
    let replied = rows.iter().filter(|row| row["state"] == "replied");
    Ok(replied.filter_map(|row| row["connections"].as_u64()).sum())
}

fn drops(process: &mut Process, client: &mut Client) -> anyhow::Result<Vec<(String, u64)>> {
    let rows = rows(process, client, What::Drops)?;
    let drop = |row: &Value| {
        let count = row["packets"].as_u64().filter(|&count| count > 0)?;
        Some((row["reason"].as_str()?.to_owned(), count))
    };
    Ok(rows.iter().filter_map(drop).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_packet_takes_is_told_by_side() {
        let before = Reading::default();
        let after = Reading {
            wall_ns: 1_000_000_000,
            rx: [1_000, 3_000],
            tx: [2_500, 990],
            spent: [200_000, 900_000],
            ..before
        };
        let part = Part::between(&before, &after).unwrap();
        assert_eq!((part.cycles, part.missing), ([200.0, 300.0], 10));
        assert_eq!((part.share, part.new_mpps), (0.75, 0.003));
        assert!(Part::between(&after, &after).is_none());
    }

    #[test]
    fn connections_that_are_gone_are_told() {
        let measured = Measured {
            flows: 1_000,
            capacity: 1_100,
            quiet: 100.0,
            attacked: 114.0,
            new: 1_000.0,
            new_mpps: 1.0,
            share: 0.5,
            answered: [1_000, 999],
            missing: 0,
            drops: vec![("connections-full".into(), 7)],
            verified: 3,
        };
        let met: Vec<bool> = measured.bars().iter().map(Bar::met).collect();
        assert_eq!(met, [true, false]);
        assert!(measured.to_string().contains("connections-full: 7"));
    }
}
