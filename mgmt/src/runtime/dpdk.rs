//! The node's devices by DPDK.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_fastpath::io::dpdk::{
    DeviceConfig, Devices, DpdkError, DpdkPorts, Eal, EalOptions, Hugepages, Pool,
};
use sluice_net::Mac;

use super::{Hardware, InterfaceStatus, Interfaces};
use crate::config::{self, Node};

/// Starts DPDK and opens the devices of a node file.
///
/// # Errors
/// What DPDK or a device refuses, with the mend.
pub fn open(
    node: &Node,
    verbose: bool,
) -> Result<(Hardware<DpdkPorts, Pool>, Vec<String>), DpdkError> {
    let configs: Vec<DeviceConfig> = node
        .interfaces
        .iter()
        .map(|(name, interface)| device(name, interface))
        .collect();
    let workers = node.dataplane.workers.len();
    let memory_mb = match node.dataplane.memory {
        Some(bytes) => u32::try_from(bytes >> 20).unwrap_or(u32::MAX),
        None => Devices::memory_mb(&configs, workers)?,
    };
    let eal = Eal::init(&EalOptions {
        hugepages: match node.dataplane.hugepages {
            config::Hugepages::Auto => Hugepages::Auto,
            config::Hugepages::On => Hugepages::On,
            config::Hugepages::Off => Hugepages::Off,
        },
        memory_mb,
        verbose,
        extra: Vec::new(),
    })?;
    let devices = Arc::new(Devices::open(eal, &configs, workers)?);
    let pages = if eal.hugepages() {
        "hugepages"
    } else {
        "no hugepages"
    };
    tracing::info!(
        "{}, {memory_mb} MB of packet memory, {pages}",
        Eal::version()
    );
    let warnings = devices.warnings().to_vec();
    let hardware = Hardware {
        spreads: devices.spreads(),
        ports: (0..workers)
            .filter_map(|worker| devices.ports(worker))
            .collect(),
        pool: Arc::new(devices.pool().clone()),
        queues: devices.queues().clone(),
        macs: devices
            .devices()
            .iter()
            .map(|device| Mac(device.mac()))
            .collect(),
        interfaces: Box::new(DpdkInterfaces(Mutex::new(Some(devices)))),
    };
    Ok((hardware, warnings))
}

fn device(name: &str, interface: &config::Interface) -> DeviceConfig {
    DeviceConfig {
        name: name.to_owned(),
        devargs: interface.device.clone(),
        mtu: interface.mtu,
        rx_queues_wanted: 0,
        tx_queues_wanted: 0,
        descriptors: 0,
    }
}

/// The devices until they are closed.
struct DpdkInterfaces(Mutex<Option<Arc<Devices>>>);

impl DpdkInterfaces {
    fn devices(&self) -> MutexGuard<'_, Option<Arc<Devices>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interfaces for DpdkInterfaces {
    fn status(&self) -> Vec<InterfaceStatus> {
        let status = |device: &sluice_fastpath::io::dpdk::Device| {
            let (link, stats, queues) = (device.link(), device.stats(), device.queues());
            InterfaceStatus {
                driver: device.driver().to_owned(),
                mac: Mac(device.mac()),
                up: link.up,
                speed_mbps: link.speed_mbps,
                rx_queues: queues.rx,
                tx_queues: queues.tx,
                rx_missed: stats.rx_missed,
                rx_errors: stats.rx_errors,
                rx_no_buffer: stats.rx_no_buffer,
                rx_unjoined: stats.rx_unjoined,
                tx_errors: stats.tx_errors,
            }
        };
        let devices = self.devices();
        let devices = devices.iter().flat_map(|devices| devices.devices());
        devices.map(status).collect()
    }

    fn close(&self) {
        *self.devices() = None;
    }
}
