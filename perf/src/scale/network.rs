//! The files of the large network.
//!
//! ```text
//!  vm.. ── s0 ── r0 ──┐
//!  vm.. ── s1 ── r1 ──┼── public ── localnet
//!          ...        ┘      (gateway ports, SNAT)
//! ```

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use super::Scale;

/// Compute nodes that have the VMs.
const HOSTS: usize = 50;
/// Ports of a router: its inner and outer one and the two switch ports opposite.
const PORTS_OF_A_ROUTER: usize = 4;

/// Writes all files.
pub(super) fn write(directory: &Path, scale: &Scale) -> anyhow::Result<()> {
    fs::write(directory.join("node.toml"), NODE)?;
    fs::write(
        directory.join("routes.txt"),
        routes_file(scale.routes.saturating_sub(scale.inline_routes)),
    )?;
    write_topology(directory, scale, false)
}

/// Writes the topology, with one more VM in one switch if `extra`.
pub(super) fn write_topology(directory: &Path, scale: &Scale, extra: bool) -> anyhow::Result<()> {
    Ok(fs::write(
        directory.join("topology.toml"),
        topology(scale, extra)?,
    )?)
}

const NODE: &str = r#"
chassis = "gw"
topology = "topology.toml"
[dataplane]
workers = [0]
[interface.eth0]
device = "net_null0"
[interface.eth1]
device = "net_null1"
[bridge_mappings]
physnet = "eth1"
[underlay]
interface = "eth0"
address = "172.16.0.1/16"
"#;

fn topology(scale: &Scale, extra: bool) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "[chassis.gw]\nencap = {{ type = \"geneve\", ip = \"172.16.0.1\" }}"
    )?;
    for host in 0..HOSTS {
        let (high, low) = (1 + host / 250, 1 + host % 250);
        writeln!(
            text,
            "[chassis.hv{host}]\nencap = {{ type = \"geneve\", ip = \"172.16.{high}.{low}\" }}"
        )?;
    }
    let vms = scale
        .ports
        .saturating_sub(1 + PORTS_OF_A_ROUTER * scale.routers);
    for switch in 0..scale.switches {
        let more = usize::from(switch < vms % scale.switches.max(1));
        let here = vms / scale.switches.max(1) + more;
        let here = here + usize::from(extra && switch == scale.switches / 2);
        write_switch(&mut text, switch, here)?;
    }
    writeln!(
        text,
        "[switch.public]\nkey = 16000000\n[switch.public.port.wire]\nkey = 32767\ntype = \"localnet\"\nnetwork = \"physnet\""
    )?;
    let inline = scale.inline_routes.min(scale.routes);
    for router in 0..scale.routers {
        let more = usize::from(router < inline % scale.routers);
        write_router(
            &mut text,
            router,
            scale.switches,
            inline / scale.routers + more,
        )?;
    }
    Ok(text)
}

/// Keys are given: at this size, derived ones would meet (a thousand 24-bit keys in one case of 30, more than
/// a hundred 15-bit ones soon).
fn write_switch(text: &mut String, switch: usize, vms: usize) -> std::fmt::Result {
    writeln!(text, "[switch.s{switch}]\nkey = {}", 1 + switch)?;
    for vm in 0..vms {
        let mac = format!(
            "02:01:{:02x}:{:02x}:{:02x}:{:02x}",
            switch >> 8,
            switch & 255,
            vm >> 8,
            vm & 255
        );
        let ip = inner(switch, 10 + vm);
        writeln!(
            text,
            "[switch.s{switch}.port.s{switch}-vm{vm}]\nkey = {}\naddresses = [\"{mac} {ip}\"]\nport_security = [\"{mac} {ip}\"]\nchassis = \"hv{}\"",
            10 + vm,
            (switch + vm) % HOSTS
        )?;
    }
    Ok(())
}

fn write_router(
    text: &mut String,
    router: usize,
    switches: usize,
    routes: usize,
) -> std::fmt::Result {
    let switch = router % switches.max(1);
    let order = router / switches.max(1);
    let outside = Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + 10 + router as u32);
    writeln!(text, "[router.r{router}]\nkey = {}", 8_000_000 + router)?;
    if router == 0 {
        writeln!(text, "routes_file = \"routes.txt\"")?;
    }
    writeln!(
        text,
        "[router.r{router}.port.r{router}-in]\nkey = 1\nmac = \"02:02:00:00:{:02x}:{:02x}\"\nnetworks = [\"{}/16\"]",
        router >> 8,
        router & 255,
        inner(switch, 1 + order)
    )?;
    writeln!(
        text,
        "[router.r{router}.port.r{router}-out]\nkey = 2\nredirect_key = 3\nmac = \"02:03:00:00:{:02x}:{:02x}\"\nnetworks = [\"{outside}/10\"]\ngateway_chassis = {{ gw = 20, hv0 = 10 }}",
        router >> 8,
        router & 255
    )?;
    writeln!(
        text,
        "[switch.s{switch}.port.s{switch}-r{router}]\nkey = {}\ntype = \"router\"\nrouter_port = \"r{router}-in\"",
        1 + order
    )?;
    writeln!(
        text,
        "[switch.public.port.public-r{router}]\nkey = {}\ntype = \"router\"\nrouter_port = \"r{router}-out\"",
        1 + router
    )?;
    writeln!(
        text,
        "[[router.r{router}.nat]]\ntype = \"snat\"\nlogical_ip = \"10.0.0.0/8\"\nexternal_ip = \"{outside}\""
    )?;
    for route in 0..routes {
        let prefix = if route == 0 {
            "0.0.0.0/0".to_owned()
        } else {
            format!("{}/24", far(route))
        };
        writeln!(
            text,
            "[[router.r{router}.route]]\nip_prefix = \"{prefix}\"\nnexthop = \"100.64.0.{}\"",
            1 + route % 4
        )?;
    }
    Ok(())
}

/// A host of the network that a switch's router has; routers translate, so networks may be equal.
fn inner(switch: usize, host: usize) -> Ipv4Addr {
    let network = Ipv4Addr::new(10, (switch % 256) as u8, 0, 0);
    Ipv4Addr::from_bits(network.to_bits() + host as u32)
}

/// The n-th far network, a /24.
fn far(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + ((n as u32) << 8))
}

fn routes_file(routes: usize) -> String {
    let line = |n: usize| format!("{}/24 via 100.64.0.{}\n", far(1_000 + n), 1 + n % 4);
    (0..routes).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_mgmt::config::parse_topology;

    fn scale() -> Scale {
        Scale {
            switches: 4,
            routers: 6,
            ports: 60,
            routes: 50,
            inline_routes: 20,
            reloads: 1,
        }
    }

    #[test]
    fn the_topology_is_as_large_as_asked_for() {
        let directory = super::super::Directory::new().unwrap();
        write(&directory.path, &scale()).unwrap();
        let text = fs::read_to_string(directory.path.join("topology.toml")).unwrap();
        let resolved = parse_topology("topology.toml", &text, &directory.path)
            .unwrap_or_else(|errors| panic!("{errors}"));
        let ports = resolved
            .switches
            .values()
            .map(|switch| switch.ports.len())
            .sum::<usize>()
            + resolved
                .routers
                .values()
                .map(|router| router.ports.len())
                .sum::<usize>();
        let routes = resolved
            .routers
            .values()
            .map(|router| router.routes.len())
            .sum::<usize>();
        assert_eq!((resolved.switches.len(), resolved.routers.len()), (5, 6));
        assert_eq!((ports, routes), (60, 50));
    }

    #[test]
    fn a_reload_changes_one_switch() {
        let (before, after) = (
            topology(&scale(), false).unwrap(),
            topology(&scale(), true).unwrap(),
        );
        assert_eq!(after.lines().count(), before.lines().count() + 5);
        assert!(after.contains("[switch.s2.port.s2-vm"));
    }
}
