//! One DPDK device: probed, configured, started; stopped and closed when dropped.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU64, Ordering};

use std::sync::Arc;

use dpdk_sys::{
    rte_device, rte_eth_conf, rte_eth_dev_info, rte_eth_rss_conf, rte_eth_rss_reta_entry64,
    rte_eth_stats, rte_ether_addr,
};

use super::devargs::{Devargs, Driver};
use super::devices::DeviceConfig;
use super::error::{DeviceProblem, Errno};
use super::kernel::{Interface, PacketSockets};
use super::mbuf::Pool;
use super::stats::{DeviceStats, Link};
use crate::io::queues::QueueCounts;
use crate::spread::Spread;

/// Descriptors of a queue unless the configuration says otherwise.
pub(super) const DESCRIPTORS: u16 = 1024;

/// Repeated over the whole hash key, these two bytes make Toeplitz symmetric: both directions of a connection
/// have the same hash.
const SYMMETRIC_KEY: [u8; 2] = [0x6d, 0x5a];

/// Packets that came in several segments. Written by the workers, rarely.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) joined: AtomicU64,
    pub(super) unjoined: AtomicU64,
}

/// An open device.
#[derive(Debug)]
pub struct Device {
    name: String,
    driver: String,
    port: u16,
    handle: *mut rte_device,
    mac: [u8; 6],
    mtu: u16,
    queues: QueueCounts,
    spread: Option<Arc<Spread>>,
    kind: Driver,
    interface: Option<Interface>,
    sockets: Option<PacketSockets>,
    pub(super) chains: Chains,
}

// SAFETY: `handle` is only used by `drop`; DPDK's control calls used by the other methods only read the device's state
// or lock it.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// A probed port that is closed again unless it becomes a [`Device`].
struct Port {
    id: u16,
    handle: *mut rte_device,
}

impl Drop for Port {
    fn drop(&mut self) {
        close(self.id, self.handle);
    }
}

fn close(port: u16, handle: *mut rte_device) {
    // SAFETY: the port is ours and open; nobody polls it any more (the workers' ports keep the device alive); `handle` was
    // the port's own and is removed once.
    unsafe {
        dpdk_sys::rte_eth_dev_stop(port);
        dpdk_sys::rte_eth_dev_close(port);
        if !handle.is_null() {
            dpdk_sys::rte_dev_remove(handle);
        }
    }
}

/// A C function's return value as a result.
fn step(step: &'static str, code: i32) -> Result<(), DeviceProblem> {
    let reason = Errno::from_return(code);
    if code < 0 {
        Err(DeviceProblem::Step { step, reason })
    } else {
        Ok(())
    }
}

impl Device {
    /// Opens a device with up to `queues` queues in each direction. What could not be done but does not hinder goes to
    /// `warnings`.
    pub(super) fn open(
        config: &DeviceConfig,
        devargs: &Devargs,
        queues: QueueCounts,
        pool: &Pool,
        warnings: &mut Vec<String>,
    ) -> Result<Self, DeviceProblem> {
        devargs.check()?;
        let interface = devargs.carrier().map(Interface::open).transpose();
        let interface = interface.map_err(|_| {
            DeviceProblem::NoInterface(devargs.carrier().unwrap_or_default().into())
        })?;
        if let Some(interface) = &interface {
            prepare(interface, config, warnings);
        }
        let port = probe(devargs)?;
        let information = information(port.id)?;
        let queues = agree_queues(&information, devargs.driver(), queues);
        configure(
            port.id,
            &information,
            devargs.driver(),
            config,
            queues,
            warnings,
        )?;
        set_up_queues(port.id, &information, config, queues, pool)?;
        start(port.id, config, devargs.driver(), warnings)?;
        let packet_sockets = devargs.driver() == Driver::AfPacket;
        let sockets = devargs
            .carrier()
            .filter(|_| packet_sockets)
            .map(PacketSockets::of_interface);
        // SAFETY: drivers give a terminated string in static storage.
        let driver = unsafe { CStr::from_ptr(information.driver_name) }
            .to_string_lossy()
            .into_owned();
        let mac = mac_address(port.id)?;
        let (id, handle) = (port.id, port.handle);
        std::mem::forget(port);
        Ok(Self {
            name: config.name.clone(),
            driver,
            port: id,
            handle,
            mac,
            mtu: config.mtu,
            queues,
            spread: spread(id, &information, queues).map(Arc::new),
            kind: devargs.driver(),
            interface,
            sockets,
            chains: Chains::default(),
        })
    }

    /// The configured name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// DPDK's driver, as in `net_ixgbe`.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.driver
    }

    /// The device's own MAC address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The longest IP packet it carries, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Its queues.
    #[must_use]
    pub fn queues(&self) -> QueueCounts {
        self.queues
    }

    /// How it spreads packets over its receive queues; `None` with one queue, and when the driver does not tell.
    #[must_use]
    pub fn spread(&self) -> Option<&Arc<Spread>> {
        self.spread.as_ref()
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The link's state now, without waiting. A tap's link is up: its other end may be in another namespace, which
    /// nobody here can see.
    #[must_use]
    pub fn link(&self) -> Link {
        if self.kind == Driver::Tap {
            return Link {
                up: true,
                speed_mbps: None,
            };
        }
        let (mut up, mut speed) = (0, 0);
        // SAFETY: the port is open; both variables are live.
        let code = unsafe { dpdk_sys::sluice_eth_link(self.port, &raw mut up, &raw mut speed) };
        let carrier = self.interface.as_ref().map(Interface::running);
        let known = speed != 0 && speed != dpdk_sys::RTE_ETH_SPEED_NUM_UNKNOWN && carrier.is_none();
        Link {
            up: carrier.map_or(code == 0 && up != 0, |running| running.unwrap_or(false)),
            speed_mbps: known.then_some(speed),
        }
    }

    /// The counters now. Drivers that cannot tell leave zeroes.
    #[must_use]
    pub fn stats(&self) -> DeviceStats {
        let mut driver = rte_eth_stats::default();
        // SAFETY: the port is open and the structure live; on failure it stays zero.
        unsafe { dpdk_sys::rte_eth_stats_get(self.port, &raw mut driver) };
        DeviceStats {
            rx_packets: driver.ipackets,
            rx_bytes: driver.ibytes,
            tx_packets: driver.opackets,
            tx_bytes: driver.obytes,
            rx_missed: driver.imissed + self.sockets.as_ref().map_or(0, PacketSockets::dropped),
            rx_errors: driver.ierrors,
            rx_no_buffer: driver.rx_nombuf,
            tx_errors: driver.oerrors,
            rx_joined: self.chains.joined.load(Ordering::Relaxed),
            rx_unjoined: self.chains.unjoined.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Our duplicates would keep the driver's sockets open.
        self.sockets = None;
        close(self.port, self.handle);
    }
}

/// What the Linux interface below a device needs; the device works without, less well.
fn prepare(interface: &Interface, config: &DeviceConfig, warnings: &mut Vec<String>) {
    let name = &config.name;
    if let Err(e) = interface.bring_up() {
        warnings.push(format!(
            "interface {name}: it is down and cannot be brought up: {e}"
        ));
    }
    if let Err(e) = interface.raise_mtu(config.mtu) {
        warnings.push(format!(
            "interface {name}: the kernel's MTU stays below {}: {e}",
            config.mtu
        ));
    }
    if let Err(e) = interface.stop_merging() {
        warnings.push(format!(
            "interface {name}: GRO or LRO stays on and merges received packets: {e}; ethtool -K ... gro off lro off"
        ));
    }
}

fn probe(devargs: &Devargs) -> Result<Port, DeviceProblem> {
    let zero = |_| DeviceProblem::Syntax("it contains a zero byte".into());
    let text = CString::new(devargs.to_string()).map_err(zero)?;
    let name = CString::new(devargs.name()).map_err(zero)?;
    let mut id = 0;
    let before = ports();
    // SAFETY: EAL runs (the pool proves it); terminated strings and a live variable.
    unsafe {
        if dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) == 0 {
            return Err(DeviceProblem::Twice);
        }
        let code = dpdk_sys::rte_dev_probe(text.as_ptr());
        if code < 0 {
            let reason = Errno::from_return(code);
            let twice = reason.is(libc::EEXIST);
            return Err(if twice {
                DeviceProblem::Twice
            } else {
                DeviceProblem::Probe(reason)
            });
        }
        if dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) != 0 {
            // Some drivers name their ports otherwise.
            id = ports()
                .into_iter()
                .find(|port| !before.contains(port))
                .ok_or(DeviceProblem::NoPort)?;
        }
    }
    let handle = information(id).map_or(std::ptr::null_mut(), |information| information.device);
    Ok(Port { id, handle })
}

fn ports() -> Vec<u16> {
    let limit = dpdk_sys::RTE_MAX_ETHPORTS as u16;
    // SAFETY: any number may be asked about.
    (0..limit)
        .filter(|id| unsafe { dpdk_sys::rte_eth_dev_is_valid_port(*id) } != 0)
        .collect()
}

fn information(port: u16) -> Result<rte_eth_dev_info, DeviceProblem> {
    let mut information = rte_eth_dev_info::default();
    // SAFETY: a live structure; an unknown port is an error.
    step("asking the driver", unsafe {
        dpdk_sys::rte_eth_dev_info_get(port, &raw mut information)
    })?;
    Ok(information)
}

fn agree_queues(
    information: &rte_eth_dev_info,
    driver: Driver,
    wanted: QueueCounts,
) -> QueueCounts {
    let rx = wanted.rx.min(information.max_rx_queues).max(1);
    let tx = wanted.tx.min(information.max_tx_queues).max(1);
    if driver == Driver::Tap {
        // Each queue of a tap is one descriptor for both directions.
        let both = rx.min(tx);
        return QueueCounts { rx: both, tx: both };
    }
    QueueCounts { rx, tx }
}

/// The largest MTU the driver says it can: some say it as such, some as the length of a frame.
fn longest_mtu(information: &rte_eth_dev_info) -> u16 {
    let said = if information.max_mtu == 0 {
        u16::MAX
    } else {
        information.max_mtu
    };
    // Ethernet's header and check sequence, which is what DPDK itself takes off.
    let frame = information.max_rx_pktlen.saturating_sub(14 + 4);
    let by_frame = u16::try_from(frame).unwrap_or(u16::MAX);
    if said == u16::MAX && frame > 0 {
        by_frame
    } else {
        said
    }
}

fn configure(
    port: u16,
    information: &rte_eth_dev_info,
    driver: Driver,
    config: &DeviceConfig,
    queues: QueueCounts,
    warnings: &mut Vec<String>,
) -> Result<(), DeviceProblem> {
    let mut conf = rte_eth_conf::default();
    // A packet socket's driver claims 1,518 bytes whatever its rings hold and refuses more here.
    if driver != Driver::AfPacket {
        let (min, max, wanted) = (information.min_mtu, longest_mtu(information), config.mtu);
        if !(min..=max).contains(&wanted) {
            return Err(DeviceProblem::Mtu { wanted, min, max });
        }
        conf.rxmode.mtu = u32::from(config.mtu);
    }
    let mut key = Vec::new();
    if queues.rx > 1 {
        let kinds = dpdk_sys::RTE_ETH_RSS_IP as u64
            | dpdk_sys::RTE_ETH_RSS_TCP as u64
            | dpdk_sys::RTE_ETH_RSS_UDP as u64;
        let can = kinds & information.flow_type_rss_offloads;
        if can != 0 {
            conf.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = can;
            key.extend(
                SYMMETRIC_KEY
                    .iter()
                    .cycle()
                    .take(usize::from(information.hash_key_size)),
            );
        } else if driver == Driver::Pci {
            warnings.push(format!(
                "interface {}: the driver cannot spread packets over queues",
                config.name
            ));
        }
    }
    if !key.is_empty() {
        conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
        conf.rx_adv_conf.rss_conf.rss_key_len = information.hash_key_size;
    }
    let fast_free = dpdk_sys::RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE as u64;
    // All frames come from one pool and have one owner, which is what this asks for.
    conf.txmode.offloads = information.tx_offload_capa & fast_free;
    // SAFETY: the port is open and stopped; `conf` and the key it points to are live and copied.
    let code =
        unsafe { dpdk_sys::rte_eth_dev_configure(port, queues.rx, queues.tx, &raw const conf) };
    step("configuring", code)
}

/// What the started device says of its receive-side scaling: the key and the table in use, whoever chose them.
fn spread(port: u16, information: &rte_eth_dev_info, queues: QueueCounts) -> Option<Spread> {
    if queues.rx < 2 || information.reta_size == 0 {
        return None;
    }
    // Most drivers write the 40 bytes of their key whatever room is said to be there.
    let length = information.hash_key_size.max(40);
    let mut key = vec![0; usize::from(length)];
    let mut conf = rte_eth_rss_conf {
        rss_key: key.as_mut_ptr(),
        rss_key_len: length,
        ..rte_eth_rss_conf::default()
    };
    // SAFETY: the port is open; the key has room for as many bytes as the structure says, and as drivers write at least.
    let told = unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(port, &raw mut conf) };
    let size = usize::from(information.reta_size);
    let mut groups: Vec<rte_eth_rss_reta_entry64> = Vec::new();
    groups.resize_with(size.div_ceil(64), || rte_eth_rss_reta_entry64 {
        mask: u64::MAX,
        ..rte_eth_rss_reta_entry64::default()
    });
    // SAFETY: the port is open; there is a group for each 64 of the entries asked for.
    let listed = unsafe {
        dpdk_sys::rte_eth_dev_rss_reta_query(port, groups.as_mut_ptr(), information.reta_size)
    };
    if told != 0 || listed != 0 {
        return None;
    }
    let table: Vec<u16> = groups
        .iter()
        .flat_map(|group| group.reta)
        .take(size)
        .collect();
    let hashed = |kind: u64| conf.rss_hf & kind != 0;
    let ports = (
        hashed(u64::from(dpdk_sys::SLUICE_RSS_IPV4_TCP)),
        hashed(u64::from(dpdk_sys::SLUICE_RSS_IPV4_UDP)),
    );
    Spread::new(&key, &table, ports)
}

fn set_up_queues(
    port: u16,
    information: &rte_eth_dev_info,
    config: &DeviceConfig,
    queues: QueueCounts,
    pool: &Pool,
) -> Result<(), DeviceProblem> {
    let wanted = if config.descriptors == 0 {
        DESCRIPTORS
    } else {
        config.descriptors
    };
    let (mut rx, mut tx) = (wanted, wanted);
    // SAFETY: the port is open; live variables.
    let code =
        unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(port, &raw mut rx, &raw mut tx) };
    step("choosing the number of descriptors", code)?;
    // SAFETY: the port is open.
    let socket =
        u32::try_from(unsafe { dpdk_sys::rte_eth_dev_socket_id(port) }).unwrap_or(u32::MAX);
    let rx_conf = information.default_rxconf;
    for queue in 0..queues.rx {
        // SAFETY: the port is configured with this many queues and stopped; the pool lives as long as the process.
        let code = unsafe {
            dpdk_sys::rte_eth_rx_queue_setup(
                port,
                queue,
                rx,
                socket,
                &raw const rx_conf,
                pool.as_ptr(),
            )
        };
        step("setting up a receive queue", code)?;
    }
    let mut tx_conf = information.default_txconf;
    tx_conf.offloads =
        information.tx_offload_capa & dpdk_sys::RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE as u64;
    for queue in 0..queues.tx {
        // SAFETY: the port is configured with this many queues and stopped.
        let code = unsafe {
            dpdk_sys::rte_eth_tx_queue_setup(port, queue, tx, socket, &raw const tx_conf)
        };
        step("setting up a transmit queue", code)?;
    }
    Ok(())
}

fn start(
    port: u16,
    config: &DeviceConfig,
    driver: Driver,
    warnings: &mut Vec<String>,
) -> Result<(), DeviceProblem> {
    // The kernel's MTU of a packet socket's interface is set already; its driver's own check is wrong.
    if driver != Driver::AfPacket {
        // SAFETY: the port is configured.
        let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(port, config.mtu) };
        // A driver without this call has no limit to set.
        if code != -libc::ENOTSUP {
            step("setting the MTU", code)?;
        }
    }
    // SAFETY: the port is configured and its queues are set up.
    step("starting", unsafe { dpdk_sys::rte_eth_dev_start(port) })?;
    // SAFETY: the port runs.
    let (promiscuous, multicast) = unsafe {
        (
            dpdk_sys::rte_eth_promiscuous_enable(port),
            dpdk_sys::rte_eth_allmulticast_enable(port),
        )
    };
    // Software drivers deliver everything anyway and do not know these calls. One of both is enough for multicast.
    let failed = |code: i32| code < 0 && code != -libc::ENOTSUP;
    if failed(promiscuous) {
        let reason = Errno::from_return(promiscuous);
        warnings.push(format!(
            "interface {}: no promiscuous mode ({reason}): only packets to its own MAC arrive",
            config.name
        ));
        if failed(multicast) {
            let reason = Errno::from_return(multicast);
            warnings.push(format!(
                "interface {}: not all multicast packets arrive ({reason})",
                config.name
            ));
        }
    }
    Ok(())
}

fn mac_address(port: u16) -> Result<[u8; 6], DeviceProblem> {
    let mut address = rte_ether_addr::default();
    // SAFETY: the port is open; a live structure.
    step("reading the MAC address", unsafe {
        dpdk_sys::rte_eth_macaddr_get(port, &raw mut address)
    })?;
    Ok(address.addr_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_say_their_mtu_in_two_ways() {
        let cases = [
            (u16::MAX, 1522, 1504),         // tap
            (3542, u32::MAX, 3542),         // af_xdp
            (9702, 9728, 9702),             // ice
            (u16::MAX, u32::MAX, u16::MAX), // null
            (0, 0, u16::MAX),
        ];
        for (max_mtu, max_rx_pktlen, longest) in cases {
            let information = rte_eth_dev_info {
                max_mtu,
                max_rx_pktlen,
                ..rte_eth_dev_info::default()
            };
            assert_eq!(
                longest_mtu(&information),
                longest,
                "{max_mtu} {max_rx_pktlen}"
            );
        }
    }
}
