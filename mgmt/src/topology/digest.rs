//! A number that says whether two nodes run the same topology.
//!
//! Nodes of different builds compare it, so every field is written out by hand: neither the order
//! of a struct's fields nor the standard library's `Hash` may change it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::acl::AclDirection;
use super::balancer::{Endpoint, LoadBalancer, SourceIps};
use super::expression::Addresses;
use super::hash::Fnv;
use super::health::{HealthCheck, Probe};
use super::model::{Chassis, Nat, Nexthop, Route, RoutePolicy, SecurityAddresses, StaticNeighbor};
use super::resolved::{
    Attachment, Peer, Resolved, ResolvedAcl, ResolvedPortGroup, ResolvedRouter, ResolvedRouterPort,
    ResolvedSwitch, ResolvedSwitchPort,
};

impl Resolved {
    /// The digest of everything in the topology. It does not depend on comments, on order in the
    /// file, or on whether a derived value was written down.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest(Fnv::new());
        digest.map(&self.chassis, Digest::chassis);
        digest.map(&self.switches, Digest::switch);
        digest.map(&self.routers, Digest::router);
        digest.map(&self.load_balancers, Digest::load_balancer);
        digest.map(&self.port_groups, Digest::port_group);
        digest.map(&self.address_sets, Digest::addresses);
        digest.number(self.default_acl_drop);
        digest.0.finish()
    }
}

/// Writes values so that no two different ones read the same: lengths first, options tagged.
struct Digest(Fnv);

impl Digest {
    fn number(&mut self, value: impl Into<u64>) {
        self.0.bytes(&value.into().to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.bytes(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<'a, T: 'a>(
        &mut self,
        values: impl ExactSizeIterator<Item = &'a T>,
        write: impl Fn(&mut Self, &'a T),
    ) {
        self.number(values.len() as u64);
        values.for_each(|value| write(self, value));
    }

    fn map<'a, T>(
        &mut self,
        values: &'a std::collections::BTreeMap<String, T>,
        write: impl Fn(&mut Self, &'a T),
    ) {
        self.number(values.len() as u64);
        for (name, value) in values {
            self.text(name);
            write(self, value);
        }
    }

    fn source_ips(&mut self, ips: &SourceIps) {
        let ips: Vec<IpAddr> = ips.iter().collect();
        self.list(ips.iter(), Self::ip);
    }

    fn ip(&mut self, ip: &IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                self.0.bytes(&[4]);
                self.0.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.0.bytes(&[6]);
                self.0.bytes(&ip.octets());
            }
        }
    }

    fn net(&mut self, net: &IpNet) {
        self.ip(&net.addr());
        self.0.bytes(&[net.prefix_len()]);
    }

    fn chassis(&mut self, chassis: &Chassis) {
        self.list(chassis.encaps.iter(), |d, encap| {
            d.text(encap.kind.name());
            d.ip(&encap.ip);
            d.number(encap.port.unwrap_or(encap.kind.default_port()));
            d.number(encap.port_keys);
            d.number(encap.checksum);
        });
    }

    fn switch(&mut self, switch: &ResolvedSwitch) {
        self.number(switch.key.get());
        self.option(switch.subnet.as_ref(), Self::net);
        self.number(switch.mac_limit);
        self.number(switch.mac_age_seconds);
        self.map(&switch.ports, Self::switch_port);
        self.list(switch.load_balancers.iter(), |d, name| d.text(name));
        self.list(switch.acls.iter(), Self::acl);
    }

    fn switch_port(&mut self, port: &ResolvedSwitchPort) {
        self.number(port.key.get());
        match &port.attachment {
            Attachment::Vif => self.number(0_u8),
            Attachment::Router { router, port } => {
                self.number(1_u8);
                self.text(router);
                self.text(port);
            }
            Attachment::Localnet { network, tag } => {
                self.number(2_u8);
                self.text(network);
                self.option(*tag, Self::number);
            }
        }
        self.list(port.addresses.iter(), |d, known| {
            d.0.bytes(&known.mac.0);
            d.list(known.ips.iter(), Self::ip);
        });
        self.number(port.unknown);
        self.list(port.port_security.iter(), Self::security_addresses);
        self.option(port.chassis.as_deref(), Self::text);
        self.number(port.enabled);
        self.option(port.vlan, Self::number);
    }

    fn security_addresses(&mut self, set: &SecurityAddresses) {
        self.0.bytes(&set.mac.0);
        self.list(set.ips.iter(), Self::net);
    }

    fn acl(&mut self, acl: &ResolvedAcl) {
        let acl = &acl.acl;
        self.number(match acl.direction {
            AclDirection::FromLport => 0_u8,
            AclDirection::FromLportAfterLb => 1,
            AclDirection::ToLport => 2,
        });
        self.number(acl.tier);
        self.number(acl.priority);
        self.text(&acl.matches);
        self.text(acl.action.name());
        self.option(acl.name.as_deref(), Self::text);
        self.option(acl.label, Self::number);
        self.option(acl.log, |d, log| {
            d.text(log.severity.name());
            d.option(log.meter, Self::number);
        });
    }

    fn port_group(&mut self, group: &ResolvedPortGroup) {
        self.map(&group.ports, |d, ports| {
            d.list(ports.iter(), |d, port| d.text(port));
        });
        self.list(group.acls.iter(), Self::acl);
    }

    fn addresses(&mut self, addresses: &Addresses) {
        self.list(addresses.iter(), |d, address| {
            d.number(address.form.bits().unwrap_or(0));
            d.0.bytes(&address.value.to_be_bytes());
            d.option(address.mask, |d, mask| d.0.bytes(&mask.to_be_bytes()));
        });
    }

    fn router(&mut self, router: &ResolvedRouter) {
        self.number(router.key.get());
        self.option(router.chassis.as_deref(), Self::text);
        self.number(router.enabled);
        self.map(&router.ports, Self::router_port);
        self.list(router.routes.iter(), Self::route);
        self.list(router.nat.iter(), Self::nat);
        self.list(router.load_balancers.iter(), |d, name| d.text(name));
        self.source_ips(&router.lb_force_snat_ip);
        self.number(router.lb_force_router_ip);
        self.list(router.neighbors.iter(), Self::neighbor);
    }

    fn router_port(&mut self, port: &ResolvedRouterPort) {
        self.number(port.key.get());
        self.0.bytes(&port.mac.0);
        self.list(port.networks.iter(), Self::net);
        self.option(port.peer.as_ref(), |d, peer| match peer {
            Peer::Switch { switch, port } => {
                d.number(0_u8);
                d.text(switch);
                d.text(port);
            }
            Peer::Router { router, port } => {
                d.number(1_u8);
                d.text(router);
                d.text(port);
            }
        });
        self.list(port.gateway_chassis.iter(), |d, (chassis, priority)| {
            d.text(chassis);
            d.number(*priority);
        });
        self.option(port.redirect_key, |d, key| d.number(key.get()));
        self.option(port.gateway_mtu, Self::number);
        self.number(port.enabled);
    }

    fn route(&mut self, route: &Route) {
        self.net(&route.prefix);
        match &route.nexthop {
            Nexthop::Ip(ip) => self.ip(ip),
            Nexthop::Discard => self.0.bytes(&[0]),
        }
        self.option(route.output_port.as_deref(), Self::text);
        self.number(route.policy == RoutePolicy::SrcIp);
    }

    fn nat(&mut self, nat: &Nat) {
        self.text(nat.kind.name());
        self.ip(&nat.external_ip);
        self.net(&nat.logical_ip);
        self.option(nat.external_port_range, |d, (first, last)| {
            d.number(first);
            d.number(last);
        });
        self.list(nat.allowed_ext_ips.iter(), Self::net);
        self.list(nat.exempted_ext_ips.iter(), Self::net);
        self.option(nat.gateway_port.as_deref(), Self::text);
        self.number(nat.mapping as u8);
        self.number(nat.filtering as u8);
        self.number(nat.port_parity);
        self.number(nat.stateless);
        self.option(nat.external_mac, |d, mac| d.0.bytes(&mac.0));
        self.option(nat.logical_port.as_deref(), Self::text);
    }

    fn load_balancer(&mut self, balancer: &LoadBalancer) {
        self.text(balancer.protocol.name());
        self.number(balancer.vips.len() as u64);
        for (vip, backends) in &balancer.vips {
            self.endpoint(vip);
            self.list(backends.iter(), Self::endpoint);
        }
        self.number(balancer.backends.len() as u64);
        for (backend, body) in &balancer.backends {
            self.endpoint(backend);
            self.number(body.weight);
            self.number(body.draining);
        }
        let fields = balancer.selection_fields.iter();
        self.list(fields, |d, field| d.text(field.name()));
        self.option(balancer.affinity_timeout, Self::number);
        self.source_ips(&balancer.hairpin_snat_ip);
        self.number(balancer.skip_snat);
        self.number(balancer.reject);
        self.number(balancer.health_checks.len() as u64);
        for (vip, check) in &balancer.health_checks {
            self.endpoint(vip);
            self.health_check(check);
        }
        self.number(balancer.ip_port_mappings.len() as u64);
        for (ip, mapping) in &balancer.ip_port_mappings {
            self.ip(ip);
            self.text(&mapping.logical_port);
            self.ip(&mapping.source_ip);
        }
    }

    fn health_check(&mut self, check: &HealthCheck) {
        match &check.probe {
            Probe::Tcp => self.number(0_u8),
            Probe::Http { path, status } => {
                self.number(1_u8);
                self.text(path);
                self.number(status.0);
                self.number(status.1);
            }
            Probe::Udp => self.number(2_u8),
            Probe::Icmp => self.number(3_u8),
        }
        for number in [
            check.interval,
            check.timeout,
            check.success_count,
            check.failure_count,
        ] {
            self.number(number);
        }
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.ip(&endpoint.ip);
        self.option(endpoint.port, Self::number);
    }

    fn neighbor(&mut self, neighbor: &StaticNeighbor) {
        self.text(&neighbor.port);
        self.ip(&neighbor.ip);
        self.0.bytes(&neighbor.mac.0);
    }
}
