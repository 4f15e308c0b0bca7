//! Open vSwitch with DPDK, as the distribution builds it, with rules that do the same.

use crate::scenario::{Network, Openflow, Place};

use super::process::{Process, Site};

pub(super) fn start(_: &Site, network: &Network, _: &Place) -> anyhow::Result<Process> {
    match &network.openflow {
        Openflow::Not(why) => anyhow::bail!("{why}"),
        _ => anyhow::bail!("not yet"),
    }
}
