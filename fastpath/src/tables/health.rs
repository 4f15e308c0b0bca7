//! Health of backends: what is to be checked, as compiled, and how they are, as the slow path finds out.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_net::Mac;

use crate::tables::FloodMember;

/// Who asks backends how they are: the MAC behind the source addresses of checks, the same on every node (OVN's
/// svc_monitor_mac).
pub const SERVICE_MAC: Mac = Mac([0x0a, 0x73, 0x76, 0x63, 0x6d, 0x6e]);

/// How the backends of a virtual IP are checked (OVN's Load_Balancer_Health_Check).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// What is sent, and what must come back.
    pub probe: Probe,
    /// Milliseconds from the beginning of one check to that of the next.
    pub interval: u32,
    /// Milliseconds to wait for the answer.
    pub timeout: u32,
    /// Good checks in a row after which a backend is online.
    pub success_count: u16,
    /// Bad checks in a row after which a backend is offline.
    pub failure_count: u16,
}

/// What is sent to a backend, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// A connection that is accepted.
    Tcp,
    /// The answer to a request for `path`, with a status of `status` (first and last).
    Http {
        /// The path.
        path: String,
        /// The first and the last status that is good.
        status: (u16, u16),
    },
    /// A datagram, to which no ICMP error comes.
    Udp,
    /// The reply to an echo request.
    Icmp,
}

/// Where a backend is found (OVN's ip_port_mappings).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Name of its switch port.
    pub logical_port: String,
    /// The address from which it is checked.
    pub source: IpAddr,
}

/// Switch ports behind which backends are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Monitored {
    /// The addresses from which they are checked; the switch answers for them.
    pub sources: BTreeSet<IpAddr>,
    /// The other chassis that may check them: what is not this node's may be theirs.
    pub nodes: Arc<[FloodMember]>,
}

/// How a backend is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Health {
    /// Not known, or nobody checks it: it serves.
    #[default]
    Unknown = 0,
    /// It serves.
    Online = 1,
    /// It does not.
    Offline = 2,
    /// It cannot be checked from this node, so it does not serve.
    Error = 3,
}

impl Health {
    /// New connections may be given to it.
    pub fn serves(self) -> bool {
        matches!(self, Health::Unknown | Health::Online)
    }

    /// The name used on the command line and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Online => "online",
            Health::Offline => "offline",
            Health::Error => "error",
        }
    }
}

/// Why the last check that failed did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// No answer in time.
    Timeout,
    /// The connection was reset.
    Reset,
    /// Nobody listens on the port.
    PortUnreachable,
    /// Not reachable, says somebody on the way.
    Unreachable,
    /// The answer was no HTTP.
    NotHttp,
    /// The answer had this HTTP status.
    Status(u16),
    /// The switch port or its MAC is not known here.
    NoPort,
}

impl std::fmt::Display for Ailment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ailment::Timeout => f.write_str("no answer in time"),
            Ailment::Reset => f.write_str("connection reset"),
            Ailment::PortUnreachable => f.write_str("port unreachable"),
            Ailment::Unreachable => f.write_str("unreachable"),
            Ailment::NotHttp => f.write_str("answer is not HTTP"),
            Ailment::Status(status) => write!(f, "HTTP status {status}"),
            Ailment::NoPort => f.write_str("logical port not known on this node"),
        }
    }
}

impl Ailment {
    fn code(self) -> u64 {
        match self {
            Ailment::Timeout => 1,
            Ailment::Reset => 2,
            Ailment::PortUnreachable => 3,
            Ailment::Unreachable => 4,
            Ailment::NotHttp => 5,
            Ailment::NoPort => 6,
            Ailment::Status(status) => 0x1_0000 | u64::from(status),
        }
    }

    fn of(code: u64) -> Option<Self> {
        Some(match code {
            1 => Ailment::Timeout,
            2 => Ailment::Reset,
            3 => Ailment::PortUnreachable,
            4 => Ailment::Unreachable,
            5 => Ailment::NotHttp,
            6 => Ailment::NoPort,
            0x1_0000..=0x1_ffff => Ailment::Status(code as u16),
            _ => return None,
        })
    }
}

/// What is known of the health of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// How it is.
    pub health: Health,
    /// Since when, in seconds after the start of the daemon.
    pub since: u32,
    /// Why the last check that failed did.
    pub ailment: Option<Ailment>,
}

/// A condition that one writes and others read. It is no part of what a table is.
#[derive(Debug, Default)]
pub struct Liveness(AtomicU64);

impl Liveness {
    /// What is known.
    pub fn get(&self) -> Condition {
        let word = self.0.load(Ordering::Relaxed);
        Condition {
            health: match word & 0b11 {
                0 => Health::Unknown,
                1 => Health::Online,
                2 => Health::Offline,
                _ => Health::Error,
            },
            since: (word >> 32) as u32,
            ailment: Ailment::of(word >> 8 & 0x1_ffff),
        }
    }

    /// Something else is known.
    pub fn set(&self, condition: Condition) {
        let ailment = condition.ailment.map_or(0, Ailment::code);
        let word = u64::from(condition.since) << 32 | ailment << 8 | condition.health as u64;
        self.0.store(word, Ordering::Relaxed);
    }
}

impl PartialEq for Liveness {
    fn eq(&self, _: &Liveness) -> bool {
        true
    }
}

impl Eq for Liveness {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let liveness = Liveness::default();
        assert_eq!(liveness.get(), Condition::default());
        for ailment in [
            None,
            Some(Ailment::Timeout),
            Some(Ailment::Reset),
            Some(Ailment::PortUnreachable),
            Some(Ailment::Unreachable),
            Some(Ailment::NotHttp),
            Some(Ailment::NoPort),
            Some(Ailment::Status(0)),
            Some(Ailment::Status(503)),
            Some(Ailment::Status(u16::MAX)),
        ] {
            for health in [
                Health::Unknown,
                Health::Online,
                Health::Offline,
                Health::Error,
            ] {
                for since in [0, 7, u32::MAX] {
                    let condition = Condition {
                        health,
                        since,
                        ailment,
                    };
                    liveness.set(condition);
                    assert_eq!(liveness.get(), condition);
                }
            }
        }
    }
}
