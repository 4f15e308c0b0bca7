//! The comparison: every contestant's turn after the other's, again and again, on one core.

mod result;
mod run;
mod scratch;
mod window;

pub use result::{Cell, Outcome, Results, median};
#[cfg(feature = "dpdk")]
pub(crate) use run::begin;
pub use run::{Bench, alone, run, scenario};
pub(crate) use run::{place, playing, site, verify};
pub(crate) use scratch::Scratch;
pub use window::Window;
pub(crate) use window::{LENGTH, TRIES, WARM, first_lap};

impl Bench {
    /// Whether this machine can do what is asked for.
    ///
    /// # Errors
    /// What is not possible, and what is.
    pub fn check(&self) -> anyhow::Result<()> {
        let cpus = sluice_mgmt::config::Host::detect().cpus;
        anyhow::ensure!(self.runs > 0, "--runs: at least 1");
        if let Some(cpu) = self.cpu {
            anyhow::ensure!(cpus.contains(&cpu), "--cpu {cpu}: one of {cpus:?}");
        }
        Ok(())
    }
}
