//! Which worker serves which queue: one rule, the same for real and for in-memory devices.

use super::DeviceId;

/// How many queues a device has in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCounts {
    /// Receive queues; never more than there are workers.
    pub rx: u16,
    /// Transmit queues; never more than there are workers.
    pub tx: u16,
}

/// The queues of all devices dealt to the workers.
///
/// Queue *i* of every device belongs to worker *i*. A device with a single queue gives it to the worker whose number
/// is the device's index modulo the number of workers, so that several such devices spread. A worker that has
/// no queue of a device neither receives from it nor sends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMap {
    workers: u16,
    devices: Vec<QueueCounts>,
}

impl QueueMap {
    /// The map for `workers` workers (at least one is assumed) and the given devices, in the order of their ids.
    /// Queues beyond the number of workers are left out: nobody would poll them.
    #[must_use]
    pub fn new(workers: usize, devices: &[QueueCounts]) -> Self {
        let workers = u16::try_from(workers).unwrap_or(u16::MAX).max(1);
        let clamp = |counts: &QueueCounts| QueueCounts {
            rx: counts.rx.min(workers),
            tx: counts.tx.min(workers),
        };
        Self {
            workers,
            devices: devices.iter().map(clamp).collect(),
        }
    }

    /// How many workers the queues are dealt to.
    #[must_use]
    pub fn workers(&self) -> usize {
        usize::from(self.workers)
    }

    /// How many devices the map knows.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// The queue counts of a device.
    #[must_use]
    pub fn counts(&self, device: DeviceId) -> Option<QueueCounts> {
        self.devices.get(device.index()).copied()
    }

    /// The queue that `worker` receives from, if it has one.
    #[must_use]
    pub fn rx_queue(&self, device: DeviceId, worker: usize) -> Option<u16> {
        self.dealt(device, worker, self.counts(device)?.rx)
    }

    /// The queue that `worker` sends on, if it has one.
    #[must_use]
    pub fn tx_queue(&self, device: DeviceId, worker: usize) -> Option<u16> {
        self.dealt(device, worker, self.counts(device)?.tx)
    }

    /// The worker that sends for `worker` on this device: itself when it has a queue, else the one it hands its frames to
    /// (always the same one, which keeps the order of a flow). `None` when the device is unknown or cannot send.
    #[must_use]
    pub fn tx_worker(&self, device: DeviceId, worker: usize) -> Option<usize> {
        match self.counts(device)?.tx {
            0 => None,
            1 => Some(self.single_queue_worker(device)),
            queues => Some(worker % usize::from(queues)),
        }
    }

    fn dealt(&self, device: DeviceId, worker: usize, queues: u16) -> Option<u16> {
        let worker_id = u16::try_from(worker).ok()?;
        match queues {
            0 => None,
            1 => (worker == self.single_queue_worker(device)).then_some(0),
            _ => (worker_id < queues).then_some(worker_id),
        }
    }

    fn single_queue_worker(&self, device: DeviceId) -> usize {
        usize::from(device.0 % self.workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn counts(rx: u16, tx: u16) -> QueueCounts {
        QueueCounts { rx, tx }
    }

    #[test]
    fn queue_i_belongs_to_worker_i() {
        let map = QueueMap::new(3, &[counts(3, 3)]);
        for worker in 0..3 {
            assert_eq!(map.rx_queue(DeviceId(0), worker), Some(worker as u16));
            assert_eq!(map.tx_worker(DeviceId(0), worker), Some(worker));
        }
        assert_eq!(map.rx_queue(DeviceId(0), 3), None);
    }

    #[test]
    fn single_queues_spread_over_the_workers() {
        let map = QueueMap::new(2, &[counts(1, 1); 3]);
        let owners: Vec<_> = (0..3)
            .map(|d| (0..2).find(|w| map.rx_queue(DeviceId(d), *w).is_some()))
            .collect();
        assert_eq!(owners, [Some(0), Some(1), Some(0)]);
        assert_eq!(map.tx_queue(DeviceId(1), 0), None);
        assert_eq!(map.tx_worker(DeviceId(1), 0), Some(1));
    }

    #[test]
    fn surplus_queues_are_left_out_and_unknown_devices_have_none() {
        let map = QueueMap::new(2, &[counts(8, 4), counts(2, 0)]);
        assert_eq!(map.counts(DeviceId(0)), Some(counts(2, 2)));
        assert_eq!(map.tx_worker(DeviceId(1), 0), None);
        assert_eq!(map.rx_queue(DeviceId(2), 0), None);
        assert_eq!(map.tx_worker(DeviceId(2), 0), None);
    }

    proptest! {
        /// Every queue has exactly one worker, and whoever sends for another really has a queue.
        #[test]
        fn every_queue_has_one_worker(workers in 1usize..20, rx in 0u16..24, tx in 1u16..24, device in 0u16..8) {
            let map = QueueMap::new(workers, &[counts(rx, tx); 8]);
            let device = DeviceId(device);
            let mut served: Vec<_> = (0..workers).filter_map(|w| map.rx_queue(device, w)).collect();
            served.sort_unstable();
            prop_assert_eq!(served, (0..rx.min(workers as u16)).collect::<Vec<_>>());
            for worker in 0..workers {
                let sender = map.tx_worker(device, worker);
                prop_assert!(sender.is_some_and(|w| map.tx_queue(device, w).is_some()));
                if map.tx_queue(device, worker).is_some() {
                    prop_assert_eq!(sender, Some(worker));
                }
            }
        }
    }
}
