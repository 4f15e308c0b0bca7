//! All devices of a node: opened together, with one buffer pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::devargs::{Devargs, Driver, LINK_OVERHEAD};
use super::device::{DESCRIPTORS, Device};
use super::eal::Eal;
use super::error::{DeviceProblem, DpdkError};
use super::mbuf::{CACHE, Pool};
use super::ports::DpdkPorts;
use crate::io::queues::{QueueCounts, QueueMap};
use crate::io::{BURST, DeviceId};
use crate::spread::Spread;

/// A device as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// The name it has in the configuration and in messages.
    pub name: String,
    /// DPDK's words for it: `0000:03:00.0` or `net_af_packet0,iface=eth1`.
    pub devargs: String,
    /// The longest IP packet, in bytes.
    pub mtu: u16,
    /// Receive queues wanted; 0 means one for each worker. Never more than workers, nor more than the device has.
    pub rx_queues_wanted: u16,
    /// Transmit queues wanted; 0 means one for each worker. Never more than workers, nor more than the device has.
    pub tx_queues_wanted: u16,
    /// Descriptors of each queue; 0 means 1,024. The driver may round.
    pub descriptors: u16,
}

/// Buffers for everything that is neither in a driver's queue nor in a worker's hands: slow path, queues between
/// threads, packets that wait for a neighbor.
const SPARE_FRAMES: u32 = 8192;

/// Buffers that one AF_XDP queue keeps: its fill and completion rings.
const XDP_QUEUE_FRAMES: u32 = 6144;

/// DPDK's usual bytes before the data of a buffer.
const HEADROOM: u32 = 128;

/// The smallest buffer: 2 KiB of data, which many NICs ask for.
const SMALLEST_ROOM: u32 = 2048 + HEADROOM;

/// What DPDK and drivers take beside buffers, in MB.
const OTHER_MB: u32 = 48;

#[derive(Clone, Debug)]
struct Plan {
    devargs: Vec<Devargs>,
    wanted: Vec<QueueCounts>,
    frames: u32,
    room: u16,
}

impl Plan {
    fn new(configs: &[DeviceConfig], workers: usize) -> Result<Self, DpdkError> {
        let workers = u16::try_from(workers).unwrap_or(u16::MAX).max(1);
        let (mut devargs, mut wanted) = (Vec::new(), Vec::new());
        let mut frames =
            SPARE_FRAMES + u32::from(workers) * (u32::from(CACHE) * 2 + 4 * BURST as u32);
        let mut room = SMALLEST_ROOM;
        for config in configs {
            let counts = wanted_queues(config, workers);
            let mut parsed =
                Devargs::parse(&config.devargs).map_err(|problem| blame(config, problem))?;
            parsed.complete(config.mtu, counts.rx.max(counts.tx));
            let descriptors = if config.descriptors == 0 {
                DESCRIPTORS
            } else {
                config.descriptors
            };
            frames += (u32::from(counts.rx) + u32::from(counts.tx)) * u32::from(descriptors);
            if parsed.driver() == Driver::AfXdp {
                frames += u32::from(counts.rx) * XDP_QUEUE_FRAMES;
            }
            let longest = (u32::from(config.mtu) + LINK_OVERHEAD + 4).max(parsed.ring_frame());
            room = room.max((longest + HEADROOM).next_multiple_of(64));
            devargs.push(parsed);
            wanted.push(counts);
        }
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        Ok(Self {
            devargs,
            wanted,
            frames,
            room,
        })
    }

    fn memory_mb(&self) -> u32 {
        // A buffer with its two headers. Without hugepages none crosses a page unless it is longer than one.
        let buffer = (u64::from(self.room) + 128 + 64).next_multiple_of(4096);
        let bytes = buffer * u64::from(self.frames);
        u32::try_from(bytes.div_ceil(1 << 20))
            .unwrap_or(u32::MAX)
            .saturating_add(OTHER_MB)
    }
}

fn wanted_queues(config: &DeviceConfig, workers: u16) -> QueueCounts {
    let clamp = |wanted: u16| {
        if wanted == 0 {
            workers
        } else {
            wanted.min(workers)
        }
    };
    QueueCounts {
        rx: clamp(config.rx_queues_wanted),
        tx: clamp(config.tx_queues_wanted),
    }
}

fn blame(config: &DeviceConfig, problem: DeviceProblem) -> DpdkError {
    DpdkError::Device {
        device: config.name.clone(),
        devargs: config.devargs.clone(),
        problem,
    }
}

/// What the workers' [`DpdkPorts`] share with [`Devices`]: the last of them closes the devices.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) devices: Vec<Device>,
    pub(super) map: QueueMap,
    pub(super) taken: Vec<AtomicBool>,
}

/// The open devices of this node, in the order of their [`DeviceId`]s.
///
/// They close when this value and every [`DpdkPorts`] taken from it are gone.
#[derive(Debug)]
pub struct Devices {
    opened: Arc<Opened>,
    pool: Pool,
    warnings: Vec<String>,
}

impl Devices {
    /// The memory that EAL should take for these devices, in MB.
    ///
    /// # Errors
    /// [`DpdkError::Device`] for devargs that cannot be understood.
    pub fn memory_mb(configs: &[DeviceConfig], workers: usize) -> Result<u32, DpdkError> {
        Ok(Plan::new(configs, workers)?.memory_mb())
    }

    /// Opens all devices and deals their queues to `workers` workers. On an error those already open are closed.
    ///
    /// # Errors
    /// [`DpdkError::TooManyDevices`], [`DpdkError::Pool`], [`DpdkError::Device`].
    pub fn open(eal: Eal, configs: &[DeviceConfig], workers: usize) -> Result<Self, DpdkError> {
        let limit = dpdk_sys::RTE_MAX_ETHPORTS as usize;
        if configs.len() > limit {
            let wanted = configs.len();
            return Err(DpdkError::TooManyDevices { wanted, limit });
        }
        let plan = Plan::new(configs, workers)?;
        let pool = Pool::new(eal, plan.frames, plan.room)?;
        let (mut devices, mut warnings) = (Vec::new(), Vec::new());
        for ((config, devargs), wanted) in configs.iter().zip(&plan.devargs).zip(&plan.wanted) {
            let device = Device::open(config, devargs, *wanted, &pool, &mut warnings);
            devices.push(device.map_err(|problem| blame(config, problem))?);
        }
        let counts: Vec<QueueCounts> = devices.iter().map(Device::queues).collect();
        let map = QueueMap::new(workers, &counts);
        let taken = (0..map.workers()).map(|_| AtomicBool::new(false)).collect();
        let opened = Arc::new(Opened {
            devices,
            map,
            taken,
        });
        Ok(Self {
            opened,
            pool,
            warnings,
        })
    }

    /// What `worker` polls and sends on. `None` while another value for this worker exists, because a queue has one user, and
    /// for a worker beyond the number given to [`Devices::open`].
    #[must_use]
    pub fn ports(&self, worker: usize) -> Option<DpdkPorts> {
        let taken = self.opened.taken.get(worker)?.swap(true, Ordering::Acquire);
        (!taken).then(|| DpdkPorts::new(Arc::clone(&self.opened), worker))
    }

    /// The pool that all frames come from.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How each device spreads packets over its queues, as far as it tells.
    #[must_use]
    pub fn spreads(&self) -> Vec<Option<Arc<Spread>>> {
        let devices = self.opened.devices.iter();
        devices.map(|device| device.spread().cloned()).collect()
    }

    /// Which worker serves which queue.
    #[must_use]
    pub fn queues(&self) -> &QueueMap {
        &self.opened.map
    }

    /// One device.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<&Device> {
        self.opened.devices.get(device.index())
    }

    /// All devices, in the order of their ids.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.opened.devices
    }

    /// What could not be done when they were opened, but does not hinder: for the log.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(devargs: &str, mtu: u16) -> DeviceConfig {
        DeviceConfig {
            name: "eth1".into(),
            devargs: devargs.into(),
            mtu,
            rx_queues_wanted: 0,
            tx_queues_wanted: 0,
            descriptors: 0,
        }
    }

    fn plan(configs: &[DeviceConfig], workers: usize) -> Plan {
        Plan::new(configs, workers).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn buffers_hold_the_longest_frame_of_any_device() {
        assert_eq!(plan(&[config("net_null0", 1500)], 1).room, 2176);
        let mixed = [config("net_null0", 1500), config("net_null1", 9000)];
        assert!(plan(&mixed, 1).room >= 9000 + 14 + 8 + 4 + 128);
        let ring = plan(&[config("net_af_packet0,iface=lo", 9000)], 1);
        assert!(ring.room >= 9216 + 128, "{}", ring.room);
    }

    #[test]
    fn queues_follow_the_workers_unless_told() {
        let mut told = config("net_null0", 1500);
        told.rx_queues_wanted = 2;
        told.tx_queues_wanted = 9;
        let plan = plan(&[config("net_null1", 1500), told], 4);
        assert_eq!(
            plan.wanted,
            [QueueCounts { rx: 4, tx: 4 }, QueueCounts { rx: 2, tx: 4 }]
        );
    }

    #[test]
    fn more_queues_need_more_frames_and_memory() {
        let one = plan(&[config("net_null0", 1500)], 1);
        let two = plan(&[config("net_null0", 1500)], 2);
        assert!(two.frames >= one.frames + 2048);
        assert!(two.memory_mb() > one.memory_mb());
    }

    #[test]
    fn bad_devargs_blame_their_device() {
        let error = Plan::new(&[config("net_tap0,iface", 1500)], 1);
        let text = error.map(|_| ()).map_err(|e| e.to_string());
        let text = text.err().unwrap_or_default();
        assert!(
            text.starts_with("interface eth1 (net_tap0,iface): not a DPDK device"),
            "{text}"
        );
    }
}
