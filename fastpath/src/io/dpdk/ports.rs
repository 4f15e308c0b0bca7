//! A worker's queues of the open devices.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::devices::Opened;
use super::eal;
use super::mbuf::Mbuf;
use crate::io::{Burst, DeviceId, Ports};

/// A worker's queues of one device.
#[derive(Clone, Copy, Debug)]
struct Queues {
    port: u16,
    rx: Option<u16>,
    tx: Option<u16>,
}

/// What one worker polls and sends on.
#[derive(Debug)]
pub struct DpdkPorts {
    queues: Vec<Queues>,
    registered: bool,
    worker: usize,
    opened: Arc<Opened>,
}

impl DpdkPorts {
    /// The caller has taken `worker`'s mark, so that these queues have one user.
    pub(super) fn new(opened: Arc<Opened>, worker: usize) -> Self {
        let queues = opened.devices.iter().zip(0..).map(|(device, id)| Queues {
            port: device.port(),
            rx: opened.map.rx_queue(DeviceId(id), worker),
            tx: opened.map.tx_queue(DeviceId(id), worker),
        });
        Self {
            queues: queues.collect(),
            registered: false,
            worker,
            opened,
        }
    }

    /// The first call on the worker's thread registers it with EAL.
    #[cold]
    fn register(&mut self) {
        self.registered = true;
        eal::register_thread();
    }

    /// Joins the packets of several segments among those received; what does not fit into one buffer is dropped.
    #[cold]
    fn join(&self, device: DeviceId, out: &mut Burst<Mbuf>) {
        let Some(chains) = self
            .opened
            .devices
            .get(device.index())
            .map(|device| &device.chains)
        else {
            return;
        };
        out.retain(|mbuf| {
            if mbuf.segments() == 1 {
                return true;
            }
            let joined = mbuf.linearise();
            let counter = if joined {
                &chains.joined
            } else {
                &chains.unjoined
            };
            counter.fetch_add(1, Ordering::Relaxed);
            joined
        });
    }
}

impl Drop for DpdkPorts {
    fn drop(&mut self) {
        if let Some(taken) = self.opened.taken.get(self.worker) {
            taken.store(false, Ordering::Release);
        }
    }
}

impl Ports for DpdkPorts {
    type Frame = Mbuf;

    #[inline]
    fn rx_burst(&mut self, device: DeviceId, out: &mut Burst<Mbuf>) {
        if !self.registered {
            self.register();
        }
        let Some(Queues {
            port,
            rx: Some(queue),
            ..
        }) = self.queues.get(device.index()).copied()
        else {
            return;
        };
        let held = out.len();
        let room = out.remaining_capacity() as u16;
        // SAFETY: the port is started and has this queue, of which this value is the only user. There is room for `room`
        // pointers behind the `held` ones; an `Mbuf` is such a pointer; the driver hands over as many live buffers
        // as it says.
        unsafe {
            let free = out.as_mut_ptr().add(held).cast();
            let received = dpdk_sys::rte_eth_rx_burst(port, queue, free, room);
            out.set_len(held + usize::from(received.min(room)));
        }
        // The headers are asked for while the next buffers are looked at.
        let mut segments = 1;
        for mbuf in out.get(held..).unwrap_or_default() {
            segments |= mbuf.segments();
            mbuf.ask();
        }
        if segments != 1 {
            self.join(device, out);
        }
    }

    #[inline]
    fn tx_burst(&mut self, device: DeviceId, frames: &mut Burst<Mbuf>) -> usize {
        let Some(Queues {
            port,
            tx: Some(queue),
            ..
        }) = self.queues.get(device.index()).copied()
        else {
            return 0;
        };
        let count = frames.len();
        // SAFETY: the port is started and has this queue, of which this value is the only user. `frames` holds `count`
        // live buffers in one segment each, and an `Mbuf` is a pointer to one.
        let taken = unsafe {
            dpdk_sys::rte_eth_tx_burst(port, queue, frames.as_mut_ptr().cast(), count as u16)
        };
        let taken = usize::from(taken).min(count);
        if taken == count {
            // SAFETY: the driver owns all of them now.
            unsafe { frames.set_len(0) };
        } else {
            // The driver owns the first ones now.
            frames.drain(..taken).for_each(std::mem::forget);
        }
        taken
    }

    #[inline]
    fn can_rx(&self, device: DeviceId) -> bool {
        self.queues
            .get(device.index())
            .is_some_and(|queues| queues.rx.is_some())
    }

    #[inline]
    fn can_tx(&self, device: DeviceId) -> bool {
        self.queues
            .get(device.index())
            .is_some_and(|queues| queues.tx.is_some())
    }
}

const _: () = assert!(size_of::<Mbuf>() == size_of::<*mut dpdk_sys::rte_mbuf>());
