//! What is measured: a network, what arrives in it, and what must come out.
//!
//! ```text
//!   side A  ── net_null0 ──┐        ┌── net_null1 ──  side B
//!                          contestant
//! ```
//!
//! Every scenario gives the files of a node that does it, the frames of both sides by flow, and for each flow
//! what must leave by which side. The latter is written by hand, not derived from our own code.

mod gateway;
mod names;
mod nat;
mod packet;
mod routed;
mod rules;
mod service;
mod switched;
mod tunnel;

pub use names::{SIDE_MACS, chassis_mac, peers, underlay_address};
pub use nat::attacked;
pub use packet::{Expected, Free, Keys, Outer, Packet, flow_of};

use std::path::Path;

use anyhow::{Context, ensure};
use sluice_net::Mac;

use crate::rig::DEVICES;
use crate::traffic::{Load, Records, once, sequence};

/// What a side receives.
pub enum Side {
    /// Frames, by flow and length.
    Frames {
        /// Bytes before the payload.
        headers: usize,
        /// Of those, how many a tunnel takes; they do not count for the frame's size.
        tunnel: usize,
        /// The frame, by flow and its length.
        frame: Box<dyn Fn(u32, usize) -> Vec<u8>>,
    },
    /// What it sent, source and destination swapped.
    Turned,
    /// Nothing.
    Silent,
}

/// A network to be measured.
pub struct Network {
    /// Files of a node that does it, `node.toml` among them.
    pub files: Vec<(&'static str, String)>,
    /// What arrives.
    pub sides: [Side; 2],
    /// What must leave by a side for a flow; `None` when nothing may.
    pub expected: Box<dyn Fn(usize, u32) -> Option<Expected>>,
    /// Offset of the field that makes each lap's flows new ones; then a lap has every flow once.
    pub lap_at: Option<u32>,
    /// The same for Open vSwitch.
    pub openflow: Openflow,
}

/// How Open vSwitch does a scenario.
pub enum Openflow {
    /// Its rules; ports 1 and 2 are the sides.
    Rules(Vec<String>),
    /// Its rules, where one side is the underlay and port 3 the tunnel; rules name the remote end.
    Tunnels {
        /// The rules.
        rules: Vec<String>,
        /// The side that is on the underlay.
        underlay: usize,
        /// `geneve` or `vxlan`.
        kind: &'static str,
        /// Remote ends.
        peers: u32,
    },
    /// It cannot, and why.
    Not(&'static str),
}

/// How the kernel does a scenario between its devices a1, where side A's frames enter, and b0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRules {
    /// MACs of both devices.
    pub macs: [Mac; 2],
    /// Lines for `ip -batch`.
    pub ip: Vec<String>,
    /// What `nft` is told.
    pub nft: Option<String>,
}

/// How the kernel does a scenario; `None` when it cannot, or not in one way.
pub fn kernel_rules(scenario: &Scenario) -> Option<KernelRules> {
    match scenario.name {
        "l3" => Some(routed::kernel_rules()),
        "snat" => Some(nat::kernel_rules()),
        _ => None,
    }
}

/// What a node's files depend on beside the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// CPUs of the workers.
    pub cpus: Vec<usize>,
    /// Most connections.
    pub connections: u32,
}

/// A scenario by name.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Flows that it is measured with unless told otherwise.
    pub flows: &'static [u32],
    /// Cycles per packet above `testpmd io` that it may take, by flows, 64-byte frames.
    pub bars: &'static [(u32, f64)],
    network: fn(&Place) -> Network,
}

impl Scenario {
    /// Its network.
    pub fn network(&self, place: &Place) -> Network {
        (self.network)(place)
    }

    /// Every packet opens a connection.
    pub fn opens(&self) -> bool {
        self.name.starts_with("new-connections")
    }

    /// Writes the files of its node into a directory, for network cards of this name on each side.
    ///
    /// # Errors
    /// When there are not two cards, or a file cannot be written.
    pub fn write(
        &self,
        directory: &Path,
        devices: &[String],
        cpus: Vec<usize>,
    ) -> anyhow::Result<()> {
        ensure!(devices.len() == DEVICES.len(), "two network cards");
        let network = self.network(&Place {
            cpus,
            connections: 1 << 22,
        });
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        for (name, text) in &network.files {
            let mut text = text.clone();
            for (device, card) in DEVICES.into_iter().zip(devices) {
                text = text.replace(
                    &format!("device = \"{device}\""),
                    &format!("device = \"{card}\""),
                );
            }
            std::fs::write(directory.join(name), text)?;
        }
        Ok(())
    }

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<&'static Scenario> {
        ALL.iter().find(|scenario| scenario.name == name)
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All scenarios, in the order of the report.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "l2",
        about: "switching, 1,000 MACs, both directions",
        flows: &[1_000],
        bars: &[(1_000, 34.0)],
        network: switched::network,
    },
    Scenario {
        name: "l3",
        about: "routing by 1,000 IPv4 routes, both directions",
        flows: &[100_000],
        bars: &[(100_000, 40.0)],
        network: routed::l3,
    },
    Scenario {
        name: "l3-full-table",
        about: "routing by 1,000,000 IPv4 routes, both directions",
        flows: &[1_000_000],
        bars: &[(1_000_000, 63.0)],
        network: routed::full_table,
    },
    Scenario {
        name: "l3-v6",
        about: "routing by 1,000 IPv6 routes, both directions",
        flows: &[100_000],
        bars: &[(100_000, 51.0)],
        network: routed::l3_v6,
    },
    Scenario {
        name: "geneve-encap",
        about: "a VM to 1,000 VMs on 100 chassis: routed and put into Geneve",
        flows: &[1_000],
        bars: &[(1_000, 60.0)],
        network: tunnel::geneve_encap,
    },
    Scenario {
        name: "geneve-decap",
        about: "1,000 VMs on 100 chassis to a VM: out of Geneve",
        flows: &[1_000],
        bars: &[(1_000, 56.0)],
        network: tunnel::geneve_decap,
    },
    Scenario {
        name: "vxlan",
        about: "a VM and 1,000 VMs on 100 chassis in one network: VXLAN, both directions",
        flows: &[1_000],
        bars: &[],
        network: tunnel::vxlan,
    },
    Scenario {
        name: "snat",
        about: "source NAT, both directions",
        flows: &[1_000, 100_000, 1_000_000],
        bars: &[(1_000, 110.0), (100_000, 155.0), (1_000_000, 235.0)],
        network: nat::snat,
    },
    Scenario {
        name: "gateway",
        about: "Geneve in, two routers, source NAT, localnet out, and back",
        flows: &[100_000],
        bars: &[(100_000, 210.0)],
        network: gateway::gateway,
    },
    Scenario {
        name: "hops",
        about: "as gateway, with five routers",
        flows: &[100_000],
        bars: &[],
        network: gateway::hops,
    },
    Scenario {
        name: "dnat",
        about: "1,000 floating IPs, asked from outside, both directions",
        flows: &[100_000],
        bars: &[],
        network: service::dnat,
    },
    Scenario {
        name: "balanced",
        about: "a load balancer with 100 backends, asked from outside, both directions",
        flows: &[100_000],
        bars: &[],
        network: service::balanced,
    },
    Scenario {
        name: "snat-rules",
        about: "as snat, with five routers, 1,000 routes and 1,000 ACLs",
        flows: &[100_000],
        bars: &[],
        network: nat::snat_rules,
    },
    Scenario {
        name: "new-connections",
        about: "every packet opens a connection through source NAT",
        flows: &[100_000],
        bars: &[],
        network: nat::new_connections,
    },
    Scenario {
        name: "new-connections-rules",
        about: "as new-connections, through 10,000 ACLs with sets of 10,000 addresses",
        flows: &[100_000],
        bars: &[],
        network: nat::new_connections_rules,
    },
];

/// Seeds of the order of flows on each side.
const SEEDS: [u64; 2] = [0xa, 0xb];

impl Network {
    /// The records of both sides, `least` or more of each. Sizes are those of the frames that tenants send and get.
    ///
    /// # Errors
    /// When a frame does not fit into a record.
    pub fn records(&self, load: &Load, least: u32) -> anyhow::Result<[Option<Records>; 2]> {
        // Where laps make new flows, none may come twice in one.
        self.records_by(load, |seed| match self.lap_at {
            Some(_) => once(load.flows, seed),
            None => sequence(load.flows, load.order, seed, least),
        })
    }

    /// The records of both sides in an order of one's own, which is made from a seed.
    ///
    /// # Errors
    /// When a frame does not fit into a record.
    pub fn records_by(
        &self,
        load: &Load,
        order: impl Fn(u64) -> Vec<u32>,
    ) -> anyhow::Result<[Option<Records>; 2]> {
        let bytes = |side: &Side| match side {
            Side::Frames { headers, .. } => *headers,
            Side::Turned | Side::Silent => 0,
        };
        // Both sides take their buffers from one pool: see `Records`.
        let longest = self.sides.iter().map(bytes).max().unwrap_or_default();
        let mut all = [None, None];
        for ((records, side), seed) in all.iter_mut().zip(&self.sides).zip(SEEDS) {
            let Side::Frames {
                headers,
                tunnel,
                frame,
            } = side
            else {
                continue;
            };
            let shortest = headers - tunnel + LEAST_PAYLOAD;
            let made = Records::new(longest, &order(seed), |number, flow| {
                frame(flow, load.size.frame(number, shortest) + tunnel)
            });
            *records = Some(made?);
        }
        Ok(all)
    }

    /// Compares a frame that left by a side with what should have.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, side: usize, frame: &[u8]) -> Result<(), String> {
        let flow = flow_of(frame)?;
        match (self.expected)(side, flow) {
            Some(expected) => expected.compare(flow, frame),
            None => Err(format!("a packet of flow {flow} left by side {side}")),
        }
    }
}

/// The number of the flow.
const LEAST_PAYLOAD: usize = 4;

#[cfg(test)]
mod tests;
