//! A scenario in memory, without DPDK and without threads: every run executes the same instructions.
//!
//! What the generator does stands in functions named `uncounted_*`, what is measured in `measured_*`, both
//! never inlined: a tool that counts by function tells them apart.

mod frames;
mod node;

use anyhow::{bail, ensure};
use clap::{Args, value_parser};

use crate::bench::scenario;
use crate::scenario::{Place, Scenario};
use crate::traffic::{Load, Order, Size, parse_flows};
pub(crate) use node::Node;

/// Connections of the node, at least; where every packet opens one so many that there is room for all.
const CONNECTIONS: u32 = 1 << 14;
const OPENED: u32 = 1 << 17;
/// Bursts between two milliseconds of the node's time.
const BURSTS_A_TICK: u32 = 64;
/// Bursts after which all addresses must be known.
const WARM: u32 = 20_000;

/// Plays a scenario in memory.
#[derive(Clone, Debug, Args)]
pub struct Replay {
    /// Which scenario.
    #[arg(long, value_parser = scenario)]
    pub scenario: &'static Scenario,
    /// Flows in one direction.
    #[arg(long, default_value = "1k", value_parser = parse_flows)]
    pub flows: u32,
    /// Frame size on the wire, or IMIX.
    #[arg(long, default_value = "64")]
    pub size: Size,
    /// Packets that are counted.
    #[arg(long, default_value_t = 16_384, value_parser = value_parser!(u64).range(1..))]
    pub packets: u64,
}

/// What was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// Packets received while counting.
    pub packets: u64,
    /// Of all sent, sampled ones found right.
    pub verified: u64,
}

/// Plays it.
///
/// # Errors
/// When the node loses packets, or sends wrong ones.
pub fn run(replay: &Replay) -> anyhow::Result<Played> {
    let least = if replay.scenario.opens() {
        OPENED
    } else {
        CONNECTIONS
    };
    let place = Place {
        cpus: vec![0],
        connections: least.max(replay.flows.saturating_mul(2)),
    };
    let load = Load {
        flows: replay.flows,
        size: replay.size,
        order: Order::Uniform,
    };
    let network = replay.scenario.network(&place);
    let mut node = Node::new(&network, &load)?;
    warm(&mut node)?;
    let before = node.counts();
    measured_bursts(&mut node, replay.packets);
    let after = node.counts();
    let packets = after.received - before.received;
    ensure!(
        after.sent - before.sent == packets,
        "{} of {packets} packets left",
        after.sent - before.sent
    );
    let mut verified = 0;
    for (side, frame) in node.samples() {
        if let Err(why) = network.verify(side, &frame) {
            bail!("wrong packet out of side {side}: {why}");
        }
        verified += 1;
    }
    ensure!(verified > 0, "no packet was sampled");
    Ok(Played { packets, verified })
}

/// Until every flow has been met and nothing is lost any more.
fn warm(node: &mut Node) -> anyhow::Result<()> {
    for burst in 0..WARM {
        let before = node.counts();
        node.burst(burst % BURSTS_A_TICK == 0);
        let after = node.counts();
        let whole = after.received - before.received == after.sent - before.sent;
        // What the slow path had to send has left: it does not step in between.
        if whole && node.met_all() {
            node.quiet();
            return Ok(());
        }
        node.slow_path();
    }
    bail!("packets are still lost after {WARM} bursts")
}

#[inline(never)]
fn measured_bursts(node: &mut Node, packets: u64) {
    let end = node.counts().received + packets;
    let mut burst = 0;
    while node.counts().received < end {
        burst += 1;
        node.burst(burst % BURSTS_A_TICK == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ALL;

    #[test]
    fn few_flows_are_enough() {
        for scenario in ["l3", "snat", "new-connections"] {
            for flows in [1, 2, 3] {
                let replay = Replay {
                    scenario: Scenario::named(scenario).unwrap(),
                    flows,
                    size: Size::Bytes(64),
                    packets: 2_000,
                };
                let played = run(&replay).unwrap_or_else(|error| panic!("{scenario}: {error:#}"));
                assert!(played.packets >= 2_000, "{scenario}: {played:?}");
            }
        }
    }

    #[test]
    fn every_scenario_comes_out_right() {
        // A million routes take too long here.
        for scenario in ALL
            .iter()
            .filter(|scenario| scenario.name != "l3-full-table")
        {
            for size in [Size::Bytes(64), Size::Imix] {
                let replay = Replay {
                    scenario,
                    flows: 200,
                    size,
                    packets: 2_000,
                };
                let played =
                    run(&replay).unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name));
                assert!(played.packets >= 2_000, "{}: {played:?}", scenario.name);
                assert!(played.verified > 20, "{}: {played:?}", scenario.name);
            }
        }
    }
}
