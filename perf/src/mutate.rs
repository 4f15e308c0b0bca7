//! Damaged frames into a whole gateway in memory: nothing may crash, no buffer be lost, every frame be counted.
//!
//! ```text
//!   corpus (right frames of all kinds) ─► mutation ─► every device of a node ─► worker, slow path ─► frames out
//!                                                          │                                          │
//!                      came in = sent + given to the slow path + flooded + dropped by name      must all parse
//! ```
//!
//! A frame follows from the seed and its number alone, so what was found once is found again.

mod corpus;
mod mutation;
mod node;
mod random;

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sluice_fastpath::counters::{Counters, Work};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::verdict::{DropReason, PuntClass};

use corpus::Corpus;
use node::Gateway;
use random::Random;

/// Frames fed before the node gets to run.
const BATCH: u64 = 64;

/// What to do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Mutate {
    /// Frames to feed.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: u64,
    /// Where the frames come from; another seed, other frames.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Frames fed.
    pub fed: u64,
    /// Frames the slow path gave the workers.
    pub injected: u64,
    /// Copies made of flooded frames.
    pub copies: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames flooded.
    pub flooded: u64,
    /// Frames given to the slow path, by class.
    pub punted: Vec<(&'static str, u64)>,
    /// Frames dropped, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Connections opened.
    pub opened: u64,
    /// Packets that took a cached way.
    pub established: u64,
    /// Frames sent that do not parse.
    pub unparsable: u64,
    /// Buffers still out when nothing moved and nothing waited any more.
    pub lost: usize,
    /// Time on the wall clock.
    pub took: Duration,
}

/// The frame fed last, for whoever looks at a crash.
static LAST: Mutex<(u64, Vec<u8>)> = Mutex::new((0, Vec::new()));

/// The hook that shows it is set once, however many runs there are.
static TELL: std::sync::Once = std::sync::Once::new();

/// Feeds the frames.
///
/// # Errors
/// When the node's own configuration is refused.
pub fn run(mutate: &Mutate) -> anyhow::Result<Report> {
    TELL.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Never waits: another test may be at it.
            if let Ok(last) = LAST.try_lock() {
                eprintln!("at frame {}: {}", last.0, hex(&last.1));
            }
            hook(info);
        }));
    });
    let mut gateway = Gateway::new()?;
    let corpus = Corpus::new();
    let start = Instant::now();
    let mut unparsable = gateway.settle();
    for number in 0..mutate.frames {
        let mut random = Random::new(mutate.seed, number);
        let (device, frame) = mutation::frame(&corpus, &mut random);
        let device = DeviceId((device % u64::from(gateway.devices())) as u16);
        gateway.feed(device, &frame);
        *LAST
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = (number, frame);
        if number % BATCH == BATCH - 1 {
            unparsable += gateway.settle();
        }
        if number % 100_000 == 99_999 {
            gateway.reload()?;
        }
    }
    unparsable += gateway.settle();
    // What waits for a neighbor is given up.
    for _ in 0..60 {
        gateway.pass(1_000);
        unparsable += gateway.settle();
    }
    Ok(report(&gateway, mutate.frames, unparsable, start.elapsed()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn report(gateway: &Gateway, fed: u64, unparsable: u64, took: Duration) -> Report {
    let counters: &Counters = gateway.counters();
    let sent = (0..gateway.devices()).map(|device| counters.device(DeviceId(device)).1.packets);
    let seen = |(_, count): &(&str, u64)| *count > 0;
    let punted = PuntClass::ALL.map(|class| (class.name(), counters.punts(class)));
    let dropped = DropReason::ALL
        .iter()
        .map(|&reason| (reason.name(), counters.drops(reason)));
    Report {
        fed,
        injected: counters.work(Work::Injected),
        copies: counters.work(Work::Copy),
        sent: sent.sum(),
        flooded: counters.work(Work::Flood),
        punted: punted.into_iter().filter(seen).collect(),
        dropped: dropped.filter(seen).collect(),
        opened: counters.work(Work::Opened),
        established: counters.work(Work::Established),
        unparsable,
        lost: gateway.buffers_in_use(),
        took,
    }
}

impl Report {
    /// Frames that came into the worker.
    fn came(&self) -> u64 {
        self.fed + self.injected + self.copies
    }

    /// Frames that went, one way or another.
    fn went(&self) -> u64 {
        let sum = |list: &[(&str, u64)]| list.iter().map(|(_, count)| count).sum::<u64>();
        self.sent + self.flooded + sum(&self.punted) + sum(&self.dropped)
    }

    /// Every frame counted, none sent that does not parse, no buffer lost.
    #[must_use]
    pub fn met(&self) -> bool {
        self.came() == self.went() && self.unparsable == 0 && self.lost == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, count: u64| writeln!(f, "{name:<32}{count:>12}");
        row("fed", self.fed)?;
        row("injected by the slow path", self.injected)?;
        row("copies of floods", self.copies)?;
        row("came in", self.came())?;
        row("  sent", self.sent)?;
        row("  flooded", self.flooded)?;
        for (class, count) in &self.punted {
            row(&format!("  punted: {class}"), *count)?;
        }
        for (reason, count) in &self.dropped {
            row(&format!("  dropped: {reason}"), *count)?;
        }
        row("went", self.went())?;
        row("connections opened", self.opened)?;
        row("by a cached way", self.established)?;
        row("sent and do not parse", self.unparsable)?;
        row("buffers lost", self.lost as u64)?;
        let rate = self.fed as f64 / self.took.as_secs_f64();
        writeln!(f, "{rate:.0} frames a second, {:.1?}", self.took)?;
        writeln!(f, "{}", if self.met() { "PASS" } else { "FAIL" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With overflow checks on. Seeds that once found something stay here.
    #[test]
    fn every_frame_is_counted() {
        for seed in [1, 2, 3] {
            let report = run(&Mutate {
                frames: 20_000,
                seed,
            })
            .unwrap();
            assert!(report.met(), "seed {seed}\n{report}");
            // Not all is refused at the door.
            assert!(
                report.sent > 1_000 && report.opened > 100 && report.established > 10,
                "{report}"
            );
            assert!(report.dropped.len() > 25, "{report}");
        }
    }
}
