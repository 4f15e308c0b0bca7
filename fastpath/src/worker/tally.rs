//! Packets in a row often have a port in common: they are counted together.

use crate::counters::Traffic;
use crate::ids::PortId;

/// What went through one port since another one was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    port: PortId,
    traffic: Traffic,
}

impl Tally {
    /// Counts a frame; what was counted of another port is written.
    #[inline]
    pub(super) fn add(&mut self, port: PortId, bytes: u64, write: impl FnOnce(PortId, Traffic)) {
        if self.port != port {
            self.end(write);
            self.port = port;
        }
        self.traffic.packets += 1;
        self.traffic.bytes += bytes;
    }

    /// Writes what was counted.
    #[inline]
    pub(super) fn end(&mut self, write: impl FnOnce(PortId, Traffic)) {
        if self.traffic.packets > 0 {
            write(self.port, std::mem::take(&mut self.traffic));
        }
    }
}
