//! What a device reports about itself.

/// A device's counters since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received, as the driver counts them (without the frame check sequence).
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets lost because the receive queue was full: workers were too slow.
    pub rx_missed: u64,
    /// Packets that arrived broken.
    pub rx_errors: u64,
    /// Packets lost because no buffer was free.
    pub rx_no_buffer: u64,
    /// Packets the driver failed to send.
    pub tx_errors: u64,
    /// Packets that came in several segments and were joined.
    pub rx_joined: u64,
    /// Packets that came in several segments and were dropped, because they did not fit into one.
    pub rx_unjoined: u64,
}

/// The state of a device's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Can packets pass?
    pub up: bool,
    /// Speed in Mbit/s; `None` when the driver does not know.
    pub speed_mbps: Option<u32>,
}
