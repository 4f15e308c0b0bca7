//! All counters of a node under their names, and what moved between two looks.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_fastpath::counters::{Counters, Work};
use sluice_fastpath::io::DeviceId;
use sluice_fastpath::verdict::{DropReason, PuntClass};
use sluice_slowpath::AgentCounters;

/// Counters by name. Those of devices and ports, and of the loop itself, are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Reads the counters of all workers, and of the slow path.
    pub fn read(workers: &[Arc<Counters>], agent: &AgentCounters) -> Self {
        let sum = |of: &dyn Fn(&Counters) -> u64| workers.iter().map(|worker| of(worker)).sum();
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for &reason in DropReason::ALL {
            let name = format!("drop:{}", reason.name());
            all.insert(name, sum(&|worker| worker.drops(reason)));
        }
        for class in PuntClass::ALL {
            let name = format!("punt:{}", class.name());
            all.insert(name, sum(&|worker| worker.punts(class)));
        }
        for work in Work::ALL {
            // A lane repeats what a walk decided: whether a packet walked itself is for the cases on lanes.
            let name = match work {
                Work::Busy | Work::Empty | Work::Sleep => continue,
                Work::Lane => Work::Walk.name(),
                _ => work.name(),
            };
            *all.entry(name.to_owned()).or_default() += sum(&|worker| worker.work(work));
        }
        for (name, _, value) in agent.iter() {
            all.insert(format!("slow:{name}"), value);
        }
        Self(all)
    }

    /// What moved since `before`: names and by how much, in alphabetical order.
    pub fn since(&self, before: &Counts) -> String {
        let moved = self.0.iter().filter_map(|(name, value)| {
            let step = value - before.0.get(name).copied().unwrap_or(0);
            (step > 0).then(|| format!("{name} {step}"))
        });
        moved.collect::<Vec<_>>().join(", ")
    }
}

/// Every frame that came into the workers must have come out: sent, given to the slow path, copied, or dropped by name.
///
/// # Errors
/// The sums, when they differ.
pub(super) fn conserved(workers: &[Arc<Counters>], devices: u16) -> Result<(), String> {
    let mut came = 0;
    let mut went = 0;
    for worker in workers {
        for device in 0..devices {
            let (rx, tx) = worker.device(DeviceId(device));
            came += rx.packets;
            went += tx.packets;
        }
        came += worker.work(Work::Injected) + worker.work(Work::Copy);
        went += worker.work(Work::Flood);
        // They wait for the first fragment of their datagram.
        went += u64::from(worker.fragments().1);
        went += PuntClass::ALL
            .iter()
            .map(|&class| worker.punts(class))
            .sum::<u64>();
        went += DropReason::ALL
            .iter()
            .map(|&reason| worker.drops(reason))
            .sum::<u64>();
    }
    if came == went {
        Ok(())
    } else {
        Err(format!("{came} frames came in, {went} went"))
    }
}
