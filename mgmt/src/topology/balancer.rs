//! Load balancers as they are declared.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::health::{HealthCheck, PortMapping};

/// Most backends that a virtual IP may have: each gets a few slots of its look-up table.
pub(super) const MOST_BACKENDS: usize = 1000;

/// A load balancer: virtual IPs and who stands behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Protocol of the virtual IPs that have a port.
    pub protocol: Protocol,
    /// Backends by virtual IP.
    pub vips: BTreeMap<Endpoint, Vec<Endpoint>>,
    /// What is said of single backends.
    pub backends: BTreeMap<Endpoint, Backend>,
    /// What of a packet chooses its backend; empty is all fields.
    pub selection_fields: Vec<SelectionField>,
    /// Seconds for which a client stays with its backend after its last new connection; `None` is not at all.
    pub affinity_timeout: Option<u16>,
    /// The source of what a backend sends to itself by the virtual IP; `None` is the virtual IP.
    pub hairpin_snat_ip: SourceIps,
    /// Routers do not translate the sources of its connections.
    pub skip_snat: bool,
    /// Who sends when nobody serves is told.
    pub reject: bool,
    /// How backends are checked, by virtual IP.
    pub health_checks: BTreeMap<Endpoint, HealthCheck>,
    /// Where backends are checked, by their address; those that are not here are not checked.
    pub ip_port_mappings: BTreeMap<IpAddr, PortMapping>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 9293.
    #[default]
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The number in IP headers.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => sluice_net::wire::ip_proto::TCP,
            Self::Udp => sluice_net::wire::ip_proto::UDP,
            Self::Sctp => sluice_net::wire::ip_proto::SCTP,
        }
    }
}

/// What sources become: an address of each family at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceIps {
    /// Of IPv4.
    pub v4: Option<Ipv4Addr>,
    /// Of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl SourceIps {
    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let (v4, v6) = (self.v4.map(IpAddr::V4), self.v6.map(IpAddr::V6));
        v4.into_iter().chain(v6)
    }

    /// The one of this address' family.
    pub fn like(&self, ip: IpAddr) -> Option<IpAddr> {
        self.iter().find(|own| own.is_ipv6() == ip.is_ipv6())
    }
}

/// The text is neither an address nor one of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor one of IPv4 and one of IPv6")]
pub struct NotSourceIps;

impl FromStr for SourceIps {
    type Err = NotSourceIps;

    fn from_str(text: &str) -> Result<Self, NotSourceIps> {
        let mut ips = Self::default();
        for word in text.split(' ') {
            let before = match word.parse().map_err(|_| NotSourceIps)? {
                IpAddr::V4(ip) => ips.v4.replace(ip).map(IpAddr::V4),
                IpAddr::V6(ip) => ips.v6.replace(ip).map(IpAddr::V6),
            };
            if before.is_some() {
                return Err(NotSourceIps);
            }
        }
        Ok(ips)
    }
}

/// An address with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The port; `None` is any.
    pub port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// The text is neither `ADDRESS` nor `ADDRESS:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor an address with a port")]
pub struct NotAnEndpoint;

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        match text.parse::<SocketAddr>() {
            Ok(socket) if socket.port() != 0 => Ok(Self {
                ip: socket.ip(),
                port: Some(socket.port()),
            }),
            _ => Err(NotAnEndpoint),
        }
    }
}

/// What is said of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its share of new connections, against those of the others.
    pub weight: u16,
    /// It keeps its connections and gets no new ones.
    pub draining: bool,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            weight: 1,
            draining: false,
        }
    }
}

/// A field of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectionField {
    /// Source address.
    IpSrc,
    /// Destination address.
    IpDst,
    /// Source port.
    TpSrc,
    /// Destination port.
    TpDst,
}

impl SelectionField {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::IpSrc, Self::IpDst, Self::TpSrc, Self::TpDst];

    /// The name used in topology files and by OVN.
    pub fn name(self) -> &'static str {
        match self {
            Self::IpSrc => "ip_src",
            Self::IpDst => "ip_dst",
            Self::TpSrc => "tp_src",
            Self::TpDst => "tp_dst",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_they_are_written() {
        for text in ["10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "10.0.0.1:0",
            "10.0.0.1:",
            "10.0.0.1:70000",
            "web:80",
            "fd00::1:80:",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(NotAnEndpoint), "{text}");
        }
    }
}
