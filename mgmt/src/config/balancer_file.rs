//! The topology file: load balancers.

use std::net::IpAddr;

use super::section::Section;
use super::values::{Fault, Value};
use crate::topology::{
    Backend, Endpoint, HealthCheck, LoadBalancer, PortMapping, Probe, Protocol, SelectionField,
    SourceIps,
};

pub(super) const LOAD_BALANCER: &[&str] = &[
    "protocol",
    "vips",
    "selection_fields",
    "affinity_timeout",
    "hairpin_snat_ip",
    "skip_snat",
    "reject",
    "backend",
    "health_check",
    "ip_port_mappings",
];
const BACKEND: &[&str] = &["weight", "draining"];
const HEALTH_CHECK: &[&str] = &[
    "type",
    "path",
    "status",
    "interval",
    "timeout",
    "success_count",
    "failure_count",
];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[LOAD_BALANCER, BACKEND, HEALTH_CHECK];

/// Largest weight of a backend.
const LARGEST_WEIGHT: u64 = 1000;
/// Seconds from check to check, and for an answer, where nothing is said; as in OVN.
const INTERVAL: u16 = 5;
const TIMEOUT: u16 = 3;
/// Longest interval and timeout, in seconds.
const LONGEST: u64 = 3600;
/// Most checks in a row that a judgement takes.
const MOST_IN_A_ROW: u64 = 1000;
/// HTTP statuses that are good where nothing is said: success and redirection.
const GOOD_STATUS: (u16, u16) = (200, 399);

impl Value for PortMapping {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            Fault::new(format!("`{text}` is not a port and an address"))
                .help("the switch port of the backend and the source of checks, such as \"vm1:10.0.0.254\"")
        })
    }
}

/// HTTP statuses from the first to the last: `"200-299"`, or one, `"204"`.
struct StatusRange((u16, u16));

impl Value for StatusRange {
    fn read(text: &str) -> Result<Self, Fault> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if 100 <= first && first <= last && last <= 999 => {
                Ok(Self((first, last)))
            }
            _ => Err(
                Fault::new(format!("`{text}` is not a range of HTTP statuses"))
                    .help("first and last, such as \"200-299\""),
            ),
        }
    }
}

/// The path of a request, as it stands in it.
struct RequestPath(String);

impl Value for RequestPath {
    fn read(text: &str) -> Result<Self, Fault> {
        if text.starts_with('/')
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.len() <= 512
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{text}` is not the path of a request"))
            .help("such as \"/health\"; what is not ASCII is written %XX"))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Tcp,
    Http,
    Udp,
    Icmp,
}

fn health_check(section: Section<'_, '_>, protocol: Protocol) -> HealthCheck {
    let words = [
        ("tcp", Kind::Tcp),
        ("http", Kind::Http),
        ("udp", Kind::Udp),
        ("icmp", Kind::Icmp),
    ];
    let of_protocol = match protocol {
        Protocol::Tcp => Kind::Tcp,
        Protocol::Udp => Kind::Udp,
        Protocol::Sctp => Kind::Icmp,
    };
    let kind = match section.has("type") {
        true => section.choice("type", &words),
        false => Some(of_protocol),
    };
    let probe = match kind.unwrap_or(of_protocol) {
        Kind::Http => Probe::Http {
            path: section
                .value::<RequestPath>("path")
                .map_or("/".to_owned(), |path| path.0),
            status: section
                .value::<StatusRange>("status")
                .map_or(GOOD_STATUS, |range| range.0),
        },
        other => {
            section.refuse(
                &["path", "status"],
                "only type = \"http\" asks for something",
            );
            match other {
                Kind::Udp => Probe::Udp,
                Kind::Icmp => Probe::Icmp,
                Kind::Tcp | Kind::Http => Probe::Tcp,
            }
        }
    };
    HealthCheck {
        probe,
        interval: section.number("interval", 1..=LONGEST).unwrap_or(INTERVAL),
        timeout: section.number("timeout", 1..=LONGEST).unwrap_or(TIMEOUT),
        success_count: section
            .number("success_count", 1..=MOST_IN_A_ROW)
            .unwrap_or(1),
        failure_count: section
            .number("failure_count", 1..=MOST_IN_A_ROW)
            .unwrap_or(1),
    }
}

impl Value for Endpoint {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            Fault::new(format!(
                "`{text}` is neither an address nor an address with a port"
            ))
            .help("such as \"10.0.0.10\", \"10.0.0.10:80\" or \"[fd00::10]:80\"")
        })
    }
}

impl Value for SourceIps {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            Fault::new(format!(
                "`{text}` is neither an address nor one of IPv4 and one of IPv6"
            ))
            .help("such as \"192.168.1.1\" or \"192.168.1.1 fd00::1\"")
        })
    }
}

impl Value for SelectionField {
    fn read(text: &str) -> Result<Self, Fault> {
        let named = Self::ALL.into_iter().find(|field| field.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Fault::new(format!(
                "`{text}` is no field that backends are selected by"
            ))
            .help(format!("one of {names}"))
        })
    }
}

pub(super) fn load_balancer(section: Section<'_, '_>) -> LoadBalancer {
    section.require("vips", "{ \"10.0.0.10:80\" = [\"10.0.0.2:8080\"] }");
    let words = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let words = words.map(|protocol| (protocol.name(), protocol));
    let protocol = match section.has("protocol") {
        true => section.choice("protocol", &words),
        false => None,
    };
    let vips = section.map("vips", "vips", |section, vip| {
        let backends = section.list::<Endpoint>(vip);
        Some((section.name::<Endpoint>(vip)?, backends))
    });
    let backends = section.named("backend", "a backend", BACKEND);
    let protocol = protocol.unwrap_or_default();
    let checks = section.named("health_check", "a health check", HEALTH_CHECK);
    let mappings = section.map("ip_port_mappings", "ip_port_mappings", |section, ip| {
        Some((section.name::<IpAddr>(ip)?, section.value(ip)?))
    });
    LoadBalancer {
        protocol,
        health_checks: checks
            .filter_map(|(name, check)| {
                Some((
                    check.is_named::<Endpoint>(name)?,
                    health_check(check, protocol),
                ))
            })
            .collect(),
        ip_port_mappings: mappings.map(|(_, mapping)| mapping).collect(),
        vips: vips.map(|(_, vip)| vip).collect(),
        backends: backends
            .filter_map(|(name, backend)| {
                let body = Backend {
                    weight: backend.number("weight", 1..=LARGEST_WEIGHT).unwrap_or(1),
                    draining: backend.flag("draining", false),
                };
                Some((backend.is_named::<Endpoint>(name)?, body))
            })
            .collect(),
        selection_fields: section.list("selection_fields"),
        affinity_timeout: section.number("affinity_timeout", 1..=65535),
        hairpin_snat_ip: section.value("hairpin_snat_ip").unwrap_or_default(),
        skip_snat: section.flag("skip_snat", false),
        reject: section.flag("reject", false),
    }
}
