//! The topology file: load balancers.

use super::section::Section;
use super::values::{Fault, Value};
use crate::topology::{Backend, Endpoint, LoadBalancer, Protocol, SelectionField};

pub(super) const LOAD_BALANCER: &[&str] = &[
    "protocol",
    "vips",
    "selection_fields",
    "affinity_timeout",
    "hairpin_snat_ip",
    "skip_snat",
    "reject",
    "backend",
];
const BACKEND: &[&str] = &["weight", "draining"];

#[cfg(test)]
pub(super) const KEYS: &[&[&str]] = &[LOAD_BALANCER, BACKEND];

/// Largest weight of a backend.
const LARGEST_WEIGHT: u64 = 1000;

impl Value for Endpoint {
    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_| {
            Fault::new(format!(
                "`{text}` is neither an address nor an address with a port"
            ))
            .help("such as \"10.0.0.10\" or \"10.0.0.10:80\"")
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
    LoadBalancer {
        protocol: protocol.unwrap_or_default(),
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
        hairpin_snat_ip: section.value("hairpin_snat_ip"),
        skip_snat: section.flag("skip_snat", false),
        reject: section.flag("reject", false),
    }
}
