//! The time of the protocol machines.

/// Milliseconds since the daemon started.
///
/// The packet path counts in 32 bits, which wrap; the machines order their timers, so theirs do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// `self` plus `ms` milliseconds.
    #[must_use]
    pub const fn plus(self, ms: u32) -> Time {
        Time(self.0.saturating_add(ms as u64))
    }

    /// Milliseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Microseconds since the daemon started, for what a millisecond is too coarse for: BFD every 10 ms is to vary by up
/// to 2.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// `self` plus `us` microseconds.
    #[must_use]
    pub const fn plus(self, us: u64) -> Micros {
        Micros(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to `self`; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Micros) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
