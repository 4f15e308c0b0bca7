//! Load balancers: their virtual IPs with look-up tables, one for all datapaths that have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_fastpath::tables::{self, Affinity, Selection, Service, Vip};

use super::health;
use crate::topology::{Backend, Endpoint, LoadBalancer, Resolved, SelectionField};

/// The virtual IPs of a load balancer.
type Vips = Vec<Arc<Vip>>;

/// The virtual IPs of each load balancer, with what they were compiled from.
#[derive(Clone, Debug, Default)]
pub(super) struct Balancers {
    by_name: BTreeMap<String, (LoadBalancer, Vips)>,
}

impl Balancers {
    /// Compiles all; what was the same in the last generation is taken from there, and counts go on.
    pub(super) fn compile(resolved: &Resolved, last: &Balancers) -> Self {
        let compile = |(name, declared): (&String, &LoadBalancer)| {
            let before = last.by_name.get(name);
            let vips = match before {
                Some((same, vips)) if same == declared => vips.clone(),
                _ => {
                    let before = before.map_or(&[][..], |(_, vips)| vips);
                    vips_of(name, declared, before)
                }
            };
            (name.clone(), (declared.clone(), vips))
        };
        Self {
            by_name: resolved.load_balancers.iter().map(compile).collect(),
        }
    }

    /// The virtual IPs of these load balancers.
    pub(super) fn of(&self, names: &[String]) -> Vips {
        let known = names.iter().filter_map(|name| self.by_name.get(name));
        known.flat_map(|(_, vips)| vips.iter().cloned()).collect()
    }
}

fn vips_of(name: &str, declared: &LoadBalancer, before: &[Arc<Vip>]) -> Vips {
    let compile = |(endpoint, backends): (&Endpoint, &Vec<Endpoint>)| {
        let service = Service {
            ip: endpoint.ip,
            port: endpoint.port.map(|port| (declared.protocol.number(), port)),
        };
        let vip_of = endpoint;
        let backends = backends.iter().map(|endpoint| {
            let Backend { weight, draining } =
                declared.backends.get(endpoint).copied().unwrap_or_default();
            tables::Backend {
                weight,
                draining,
                mapping: health::mapping(declared, vip_of, endpoint.ip),
                ..tables::Backend::new(endpoint.ip, endpoint.port)
            }
        });
        let mut vip = Vip::new(name.to_owned(), service, backends.collect());
        vip.selection = selection(&declared.selection_fields);
        vip.hairpin = declared.hairpin_snat_ip.like(service.ip);
        vip.skip_snat = declared.skip_snat;
        vip.reject = declared.reject;
        vip.check = health::check(declared, endpoint);
        let affinity = declared.affinity_timeout.map(|s| u32::from(s) * 1000);
        let affinity =
            affinity.map(|timeout| Arc::new(Affinity::new(timeout, service.ip.is_ipv6())));
        vip.affinity = affinity;
        if let Some(before) = before.iter().find(|before| before.service == service) {
            go_on(&mut vip, before);
        }
        Arc::new(vip)
    };
    declared.vips.iter().map(compile).collect()
}

/// Counts go on with the backends that stay, and clients stay with these.
fn go_on(vip: &mut Vip, before: &Vip) {
    if vip.affinity == before.affinity {
        vip.affinity.clone_from(&before.affinity);
    }
    for backend in &vip.backends {
        let same = |other: &&tables::Backend| (other.ip, other.port) == (backend.ip, backend.port);
        if let Some(other) = before.backends.iter().find(same) {
            backend.hits.go_on_from(&other.hits);
            if vip.check.is_some() && backend.mapping == other.mapping {
                backend.liveness.set(other.liveness.get());
            }
        }
    }
    vip.renew();
}

fn selection(fields: &[SelectionField]) -> Selection {
    if fields.is_empty() {
        return Selection::default();
    }
    Selection {
        ip_src: fields.contains(&SelectionField::IpSrc),
        ip_dst: fields.contains(&SelectionField::IpDst),
        tp_src: fields.contains(&SelectionField::TpSrc),
        tp_dst: fields.contains(&SelectionField::TpDst),
    }
}
