//! Where the cycles of a scenario go: samples of the polling thread by the clock, seen through inlining.
//!
//! `perf record` takes the samples (its software clock works in virtual machines, where counters often do
//! not); each address gives the stack of functions inlined there, and the innermost one that is ours names
//! the part of the program.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

use addr2line::Loader;
use anyhow::{Context, anyhow, bail};
use clap::{Args, value_parser};

use crate::bench::{alone, scenario};
use crate::contestant::{Process, Site};
use crate::scenario::Scenario;
use crate::traffic::{Load, Order, Size, parse_flows};

/// Samples a second.
const FREQUENCY: &str = "9973";
/// Lines of each list.
const LINES: usize = 30;

/// Says where the cycles of our worker go.
#[derive(Clone, Debug, Args)]
pub struct Stages {
    /// Which scenario.
    #[arg(long, value_parser = scenario)]
    pub scenario: &'static Scenario,
    /// Flows in one direction; the scenario's own unless given.
    #[arg(long, value_parser = parse_flows)]
    pub flows: Option<u32>,
    /// Frame size on the wire, or IMIX.
    #[arg(long, default_value = "64")]
    pub size: Size,
    /// Seconds to look.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..))]
    pub seconds: u32,
}

/// Takes the samples and returns the report.
///
/// # Errors
/// When our worker does not start or `perf` is not installed.
pub fn run(stages: &Stages) -> anyhow::Result<String> {
    let flows = stages.flows.or(stages.scenario.flows.first().copied());
    let load = Load {
        flows: flows.context("the scenario has no flows")?,
        size: stages.size,
        order: Order::Uniform,
    };
    alone(stages.scenario, &load, |site, process| {
        process.go()?;
        let before = process.reading()?;
        let seen = record(site, process, before.tid, stages.seconds)?;
        let after = process.reading()?;
        process.stop()?;
        let window = crate::bench::Window::between(&before, &after).context("no packet moved")?;
        let places = Places::new(process.id())?;
        Ok(report(&Profile::new(&seen, &places), window.cycles))
    })
}

/// Where the thread was seen: the address, and the function's name as `perf` knows it.
type Seen = (u64, String);

/// Looks at the thread for some seconds.
fn record(site: &Site, process: &Process, thread: u32, seconds: u32) -> anyhow::Result<Vec<Seen>> {
    let file = site.file("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "-t"])
        .arg(thread.to_string())
        .arg("-o")
        .arg(&file)
        .args(["--", "sleep", &seconds.to_string()]);
    let status = perf.stdin(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.context("perf: apt-get install linux-perf")?;
    if !status.success() {
        bail!("perf record {status}, of process {}", process.id());
    }
    let output = Command::new("perf")
        .args(["script", "-F", "ip,sym", "-i"])
        .arg(&file)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seen: Vec<Seen> = text.lines().filter_map(sample).collect();
    if seen.is_empty() {
        bail!(
            "perf saw nothing: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(seen)
}

/// A line of `perf script`: an address and what stands there.
fn sample(line: &str) -> Option<Seen> {
    let (address, symbol) = line.trim().split_once(' ')?;
    Some((
        u64::from_str_radix(address, 16).ok()?,
        symbol.trim().to_owned(),
    ))
}

/// What stands at the addresses of a process that runs this very program.
struct Places {
    loader: Loader,
    /// Where the program is mapped, and what to take off to get an address of its file.
    mapped: Vec<(std::ops::Range<u64>, u64)>,
}

impl Places {
    fn new(process: u32) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
        let own = program.to_string_lossy().into_owned();
        let mut base = None;
        let mut mapped = Vec::new();
        for line in maps.lines().filter(|line| line.ends_with(&own)) {
            let (range, _) = line.split_once(' ').context("a line of maps")?;
            let (start, end) = range.split_once('-').context("a range of maps")?;
            let (start, end) = (
                u64::from_str_radix(start, 16)?,
                u64::from_str_radix(end, 16)?,
            );
            // The first mapping is that of the file's beginning, whose address in the file is 0.
            let base = *base.get_or_insert(start);
            mapped.push((start..end, base));
        }
        let loader = Loader::new(&program).map_err(|error| anyhow!("{error}"))?;
        Ok(Self { loader, mapped })
    }

    fn place(&self, address: u64, symbol: &str) -> Place {
        let (part, base) = match self
            .mapped
            .iter()
            .find(|(range, _)| range.contains(&address))
        {
            Some((_, base)) if symbol.contains("::") => ("other crates", *base),
            Some((_, base)) => ("DPDK", *base),
            None if address >> 63 == 1 => ("kernel", address),
            None => ("libraries", address),
        };
        let mut place = Place {
            part: part.to_owned(),
            function: short(symbol),
            line: short(symbol),
        };
        let probe = address - base;
        if probe == 0 {
            return place;
        }
        let Ok(mut frames) = self.loader.find_frames(probe) else {
            return place;
        };
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else {
                continue;
            };
            let Some((part, file)) = location.file.and_then(part_of) else {
                continue;
            };
            let name = frame
                .function
                .and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
            place.part = part;
            place.function = name.map_or(short(symbol), |name| short(&name));
            place.line = format!("{file}:{}", location.line.unwrap_or(0));
            break;
        }
        place
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    part: String,
    function: String,
    line: String,
}

/// Part and short file name of a source file that is ours.
fn part_of(file: &str) -> Option<(String, String)> {
    if file.ends_with("rig/rig.c") {
        return Some(("rig".into(), "rig.c".into()));
    }
    for tree in ["net", "fastpath", "slowpath", "mgmt"] {
        let Some(at) = file.rfind(&format!("{tree}/src/")) else {
            continue;
        };
        let inside = &file[at + tree.len() + 5..];
        let module = inside
            .trim_end_matches(".rs")
            .trim_end_matches("/mod")
            .replace('/', "::");
        return Some((format!("{tree}::{module}"), format!("{tree}/{inside}")));
    }
    None
}

/// A function's name without crates' hashes and generic arguments.
fn short(name: &str) -> String {
    let mut depth = 0_i32;
    let mut out = String::new();
    for char in name.chars() {
        match char {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth == 0 => out.push(char),
            _ => {}
        }
    }
    let out = out.trim_start_matches("::").to_owned();
    let cut = out
        .rfind("::h")
        .filter(|at| out.len() - at == 19)
        .unwrap_or(out.len());
    let whole = &out[..cut];
    if whole.is_empty() {
        name.to_owned()
    } else {
        whole.to_owned()
    }
}

/// Shares by part, function and line.
struct Profile {
    samples: usize,
    parts: Vec<(String, usize)>,
    functions: Vec<(String, usize)>,
    lines: Vec<(String, usize)>,
}

impl Profile {
    fn new(seen: &[Seen], places: &Places) -> Self {
        let mut known: HashMap<u64, Place> = HashMap::new();
        let (mut parts, mut functions, mut lines) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for (address, symbol) in seen {
            let place = known
                .entry(*address)
                .or_insert_with(|| places.place(*address, symbol));
            *parts.entry(place.part.clone()).or_insert(0) += 1;
            *functions
                .entry(format!("{}  {}", place.part, place.function))
                .or_insert(0) += 1;
            *lines.entry(place.line.clone()).or_insert(0) += 1;
        }
        Self {
            samples: seen.len(),
            parts: sorted(parts),
            functions: sorted(functions),
            lines: sorted(lines),
        }
    }
}

fn sorted(counts: HashMap<String, usize>) -> Vec<(String, usize)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

fn report(profile: &Profile, cycles: f64) -> String {
    let mut text = format!(
        "{cycles:.0} cycles per packet, {} samples\n",
        profile.samples
    );
    let lists = [
        ("part", &profile.parts),
        ("function", &profile.functions),
        ("line", &profile.lines),
    ];
    for (title, list) in lists {
        let _ = writeln!(text, "\n{:>8} {:>6}  by {title}", "cycles", "%");
        for (name, count) in list.iter().take(LINES) {
            let share = *count as f64 / profile.samples as f64;
            let _ = writeln!(
                text,
                "{:>8.1} {:>6.1}  {name}",
                share * cycles,
                share * 100.0
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_parts() {
        let part = |file| part_of(file).map(|(part, _)| part);
        assert_eq!(
            part("/x/fastpath/src/stage/route.rs"),
            Some("fastpath::stage::route".into())
        );
        assert_eq!(
            part("fastpath/src/worker/mod.rs"),
            Some("fastpath::worker".into())
        );
        assert_eq!(part("/y/net/src/parse.rs"), Some("net::parse".into()));
        assert_eq!(part("/y/perf/rig/rig.c"), Some("rig".into()));
        assert_eq!(part("/rustc/1/library/core/src/slice/index.rs"), None);
    }

    #[test]
    fn samples_are_read() {
        let seen = |address, symbol: &str| Some((address, symbol.to_owned()));
        assert_eq!(sample("    55d0c1 a::b::c"), seen(0x55d0c1, "a::b::c"));
        assert_eq!(
            sample(" ffffffff81000000 [unknown]"),
            seen(0xffff_ffff_8100_0000, "[unknown]")
        );
        assert_eq!(sample(""), None);
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short("a::b::c::h0123456789abcdef"), "a::b::c");
        assert_eq!(short("<a::B<c::D> as e::F>::g"), "g");
        assert_eq!(short("x::y"), "x::y");
    }
}
