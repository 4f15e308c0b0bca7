//! Health checks of backends as they are declared.

use std::net::IpAddr;
use std::str::FromStr;

/// How the backends of a virtual IP are checked (OVN's Load_Balancer_Health_Check).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent, and what must come back.
    pub probe: Probe,
    /// Seconds from the beginning of one check to that of the next.
    pub interval: u16,
    /// Seconds to wait for the answer.
    pub timeout: u16,
    /// Good checks in a row after which a backend is online.
    pub success_count: u16,
    /// Bad checks in a row after which a backend is offline.
    pub failure_count: u16,
}

/// What is sent to a backend, and what must come back. OVN has TCP and UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A connection that is accepted.
    Tcp,
    /// The answer to a request for `path`, with a status of `status`.
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

/// Where a backend is, and from where it is checked: an entry of OVN's `ip_port_mappings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// Its switch port.
    pub logical_port: String,
    /// The source of checks, an address of the port's network that is nobody's.
    pub source_ip: IpAddr,
}

/// The text is not `PORT:ADDRESS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a port and an address")]
pub struct NotAMapping;

/// `PORT:ADDRESS`, an IPv6 address in brackets, as in OVN.
impl FromStr for PortMapping {
    type Err = NotAMapping;

    fn from_str(text: &str) -> Result<Self, NotAMapping> {
        let bracketed = text
            .strip_suffix(']')
            .and_then(|text| text.split_once(":["));
        let (port, ip) = bracketed
            .or_else(|| text.rsplit_once(':'))
            .ok_or(NotAMapping)?;
        let source_ip: IpAddr = ip.parse().map_err(|_| NotAMapping)?;
        if port.is_empty() || source_ip.is_ipv6() != bracketed.is_some() {
            return Err(NotAMapping);
        }
        Ok(Self {
            logical_port: port.to_owned(),
            source_ip,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings() {
        for (text, port, ip) in [
            ("vm1:10.0.0.254", "vm1", "10.0.0.254"),
            ("a:b:10.0.0.254", "a:b", "10.0.0.254"),
            ("vm1:[fd00::fe]", "vm1", "fd00::fe"),
        ] {
            let mapping: PortMapping = text.parse().unwrap();
            assert_eq!(
                (mapping.logical_port.as_str(), mapping.source_ip.to_string()),
                (port, ip.to_owned())
            );
        }
        for text in [
            "",
            "vm1",
            ":10.0.0.1",
            "vm1:",
            "vm1:10.0.0",
            "vm1:fd00::fe",
            "vm1:[10.0.0.1]",
        ] {
            assert_eq!(text.parse::<PortMapping>(), Err(NotAMapping), "{text}");
        }
    }
}
