//! Who is measured. Each is a process of its own with the rig inside, stopped except while its turn is.

mod leftover;
mod ovs;
mod process;
mod sluice;
mod testpmd;

pub use leftover::clear_when_interrupted;
pub(crate) use process::run;
pub use process::{Process, Site};
#[cfg(feature = "dpdk")]
pub use sluice::play;
pub use sluice::{socket, start_workers};

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::bail;

use crate::scenario::{Network, Scenario};

/// Where its packages put it.
const VPP: &str = "/usr/bin/vpp";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `dpdk-testpmd` passes frames on unseen: what the rig itself costs.
    TestpmdIo,
    /// It swaps the MACs.
    TestpmdMacswap,
    /// It swaps MACs, addresses and ports.
    Testpmd5tswap,
    /// This repository's worker, as the daemon runs it.
    Sluice,
    /// The same, linked with DPDK's shared libraries as the distribution links testpmd.
    SluiceShared,
    /// Open vSwitch with DPDK, from the distribution.
    Ovs,
    /// VPP.
    Vpp,
    /// Forwarding in the kernel, with nftables.
    Linux,
    /// Whatever is behind two network cards of this machine, on the rig of two processes.
    Outside,
}

impl Kind {
    /// All, in the order of the report.
    pub const ALL: [Kind; 9] = [
        Kind::TestpmdIo,
        Kind::TestpmdMacswap,
        Kind::Testpmd5tswap,
        Kind::Sluice,
        Kind::SluiceShared,
        Kind::Ovs,
        Kind::Vpp,
        Kind::Linux,
        Kind::Outside,
    ];

    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::TestpmdIo => "testpmd-io",
            Kind::TestpmdMacswap => "testpmd-macswap",
            Kind::Testpmd5tswap => "testpmd-5tswap",
            Kind::Sluice => "sluice",
            Kind::SluiceShared => "sluice-shared",
            Kind::Ovs => "ovs",
            Kind::Vpp => "vpp",
            Kind::Linux => "linux",
            Kind::Outside => "outside",
        }
    }

    /// Does what comes out tell whether it works? testpmd routes nothing.
    pub const fn routes(self) -> bool {
        matches!(
            self,
            Kind::Sluice | Kind::SluiceShared | Kind::Ovs | Kind::Outside
        )
    }

    /// Has a run failed when this one has? Ours must not, nor who was asked for by name; others may not be installed,
    /// or not be for this rig.
    pub const fn needed(self, named: bool) -> bool {
        named || matches!(self, Kind::Sluice | Kind::SluiceShared | Kind::Outside)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Kind::ALL.map(Kind::name).join(", ");
        Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("one of {}", names()))
    }
}

/// A contestant and, while it runs, its process.
#[derive(Debug)]
pub struct Contestant {
    /// Who it is.
    pub kind: Kind,
    running: Option<Process>,
}

impl Contestant {
    /// One that does not run yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            running: None,
        }
    }

    /// Gets it ready for a scenario, stopped. What can go on from the scenario before does.
    ///
    /// # Errors
    /// Why it cannot do this one.
    pub fn prepare(
        &mut self,
        site: &Site,
        scenario: &Scenario,
        network: &Network,
    ) -> anyhow::Result<&mut Process> {
        let running = match self.kind {
            Kind::Sluice => {
                self.running = None;
                sluice::start(site, scenario.name, network)?
            }
            Kind::SluiceShared => {
                self.running = None;
                sluice::start_shared(site, scenario.name, network)?
            }
            Kind::Ovs => {
                self.running = None;
                ovs::start(site, network)?
            }
            Kind::Vpp if !Path::new(VPP).exists() => bail!("not installed"),
            Kind::Vpp => bail!(
                "not on this rig: it carries DPDK inside its plugin, where the rig cannot replace functions"
            ),
            Kind::Linux => {
                bail!("not on this rig, but on one of its own: sluice-perf linux")
            }
            Kind::Outside => {
                self.running = None;
                testpmd::start_pump(site)?
            }
            kind => {
                let mut running = self.running.take();
                let lives = running.as_mut().is_some_and(Process::lives);
                match running.filter(|_| lives) {
                    Some(process) => process,
                    None => testpmd::start(site, kind)?,
                }
            }
        };
        Ok(self.running.insert(running))
    }

    /// Its process, if it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.running.as_mut()
    }
}
