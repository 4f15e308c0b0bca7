//! The node's devices, as far as people ask about them.

use sluice_net::Mac;

/// Whatever moves the packets, seen from outside the packet path.
pub trait Interfaces: Send + Sync + 'static {
    /// All devices now, in the order of their ids; none once closed.
    fn status(&self) -> Vec<InterfaceStatus>;

    /// Gives the devices back, once no worker uses them. Clients may still hold the state of the node then.
    fn close(&self);
}

/// A device now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its driver.
    pub driver: String,
    /// Its MAC.
    pub mac: Mac,
    /// Packets can pass.
    pub up: bool,
    /// Speed in Mbit/s, when known.
    pub speed_mbps: Option<u32>,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Packets lost because workers were too slow.
    pub rx_missed: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets lost because no buffer was free.
    pub rx_no_buffer: u64,
    /// Packets that came in several segments and did not fit into one.
    pub rx_unjoined: u64,
    /// Packets the driver failed to send.
    pub tx_errors: u64,
}
