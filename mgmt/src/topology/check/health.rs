//! Health checks: of virtual IPs that are there, of backends whose port is known, from addresses that are free.

use std::net::IpAddr;

use super::super::balancer::{Endpoint, LoadBalancer, Protocol};
use super::super::health::{HealthCheck, PortMapping, Probe};
use super::super::model::{PortAddress, SwitchPort, SwitchPortKind, Topology};
use super::super::names::{Names, Owner, push_missing};
use super::super::problem::{Place, Problem};
use super::nat::Holders;
use super::port::check_host;

pub(super) fn check(topology: &Topology, names: &Names<'_>, problems: &mut Vec<Problem>) {
    let balancers = topology.load_balancers.iter();
    let mut checked = balancers
        .filter(|(_, balancer)| {
            !balancer.health_checks.is_empty() || !balancer.ip_port_mappings.is_empty()
        })
        .peekable();
    if checked.peek().is_none() {
        return;
    }
    let holders = Holders::of(topology, names);
    for (name, balancer) in checked {
        for (vip, check) in &balancer.health_checks {
            check_vip(name, balancer, (vip, check), problems);
        }
        let around = Around {
            name,
            topology,
            names,
            holders: &holders,
        };
        for (ip, mapping) in &balancer.ip_port_mappings {
            around.check_mapping(balancer, *ip, mapping, problems);
        }
    }
}

fn check_vip(
    name: &str,
    balancer: &LoadBalancer,
    (vip, check): (&Endpoint, &HealthCheck),
    problems: &mut Vec<Problem>,
) {
    let place = Place::at(["load_balancer", name, "health_check", &vip.to_string()]);
    let Some(backends) = balancer.vips.get(vip) else {
        let message = format!("`{name}` has no virtual IP {vip}");
        problems.push(Problem::new(place, message).mend("write it as in vips, or remove this"));
        return;
    };
    let of_port = !matches!(check.probe, Probe::Icmp);
    if of_port && vip.port.is_none() {
        let message = format!("{vip} has no port that could be checked");
        problems.push(
            Problem::new(place, message).mend("type = \"icmp\", or give the virtual IP a port"),
        );
        return;
    }
    let http = matches!(check.probe, Probe::Http { .. });
    if http && balancer.protocol != Protocol::Tcp {
        let message = format!(
            "HTTP is over TCP, `{name}` is for {}",
            balancer.protocol.name()
        );
        problems.push(Problem::new(place, message).mend("type = \"udp\" or \"icmp\""));
        return;
    }
    let mapped = |backend: &Endpoint| balancer.ip_port_mappings.contains_key(&backend.ip);
    if !backends.is_empty() && !backends.iter().any(mapped) {
        let message = format!("none of the backends of {vip} is in ip_port_mappings");
        let mend = backends.first().map_or(String::new(), |first| {
            format!(
                "ip_port_mappings = {{ \"{}\" = \"PORT:SOURCE\" }}, with its switch port and a free address there",
                first.ip
            )
        });
        problems.push(Problem::new(place, message).mend(mend));
    }
}

/// A load balancer and the network around it.
#[derive(Clone, Copy)]
struct Around<'a, 't> {
    name: &'t str,
    topology: &'t Topology,
    names: &'a Names<'t>,
    holders: &'a Holders<'t>,
}

impl<'t> Around<'_, 't> {
    fn check_mapping(
        self,
        balancer: &LoadBalancer,
        ip: IpAddr,
        mapping: &PortMapping,
        problems: &mut Vec<Problem>,
    ) {
        let place = || {
            let ip = ip.to_string();
            Place::at(["load_balancer", self.name, "ip_port_mappings", &ip])
        };
        let mut endpoints = balancer.vips.values().flatten();
        if !endpoints.any(|backend| backend.ip == ip) {
            let message = format!("no virtual IP of `{}` has the backend {ip}", self.name);
            problems.push(Problem::new(place(), message).mend("remove it, or correct the address"));
        }
        let (port, source) = (mapping.logical_port.as_str(), mapping.source_ip);
        check_host(source, place, problems);
        if source.is_ipv4() != ip.is_ipv4() {
            let message = format!("{source} is not of the family of {ip}");
            problems.push(Problem::new(place(), message).mend("an address that it can answer"));
        }
        let Some((switch, body)) = self.vif(port) else {
            let problem = Problem::new(place(), format!("there is no VIF `{port}`"))
                .mend("the switch port of the backend");
            let switches = self.topology.switches.values();
            let all = switches.flat_map(|switch| switch.ports.keys());
            return push_missing(problem, port, all.map(String::as_str), problems);
        };
        let has = |address: &PortAddress| match address {
            PortAddress::Static { ips, .. } => ips.contains(&ip) || ips.is_empty(),
            // What it gets is known later.
            PortAddress::Dynamic { .. } => true,
            PortAddress::Unknown | PortAddress::Router => false,
        };
        if !body.addresses.iter().any(has) {
            let message = format!("port `{port}` has no MAC for {ip}");
            let at = Place::at(["switch", switch, "port", port, "addresses"]);
            problems.push(
                Problem::new(place(), message)
                    .mend("name the port that has the address")
                    .also(at, "its addresses"),
            );
        }
        if let Some((holder, _)) = self.holders.0.get(&(switch, source)) {
            let message = format!("{source} is the address of port `{holder}`");
            problems.push(
                Problem::new(place(), message)
                    .mend("choose an address of the same network that is nobody's"),
            );
        }
    }

    fn vif(self, port: &str) -> Option<(&'t str, &'t SwitchPort)> {
        let Some(Owner::Switch(switch)) = self.names.owner(port) else {
            return None;
        };
        let body = self.topology.switches.get(switch)?.ports.get(port)?;
        (body.kind == SwitchPortKind::Vif).then_some((switch, body))
    }
}
