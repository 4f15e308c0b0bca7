//! What holds for addresses and MACs wherever they stand.

use std::net::IpAddr;

use ipnet::IpNet;
use sluice_net::addr::Mac;

use super::super::problem::{Place, Problem};

/// Reports a MAC that cannot be one station's.
pub(super) fn check_mac(mac: Mac, place: impl FnOnce() -> Place, problems: &mut Vec<Problem>) {
    let wrong = if mac.is_multicast() {
        "is a multicast MAC: the lowest bit of its first byte is set"
    } else if mac == Mac::ZERO {
        "is nobody's MAC"
    } else {
        return;
    };
    problems.push(
        Problem::new(place(), format!("{mac} {wrong}"))
            .mend("use a unicast MAC, such as 02:00:00:00:00:01"),
    );
}

/// Reports an address that cannot be one host's.
pub(super) fn check_host(ip: IpAddr, place: impl FnOnce() -> Place, problems: &mut Vec<Problem>) {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let wrong = if ip.is_multicast() {
        "a multicast address"
    } else if ip.is_unspecified() {
        "the unspecified address"
    } else if ip.is_loopback() {
        "a loopback address"
    } else if broadcast {
        "the broadcast address"
    } else {
        return;
    };
    problems.push(Problem::new(
        place(),
        format!("{ip} is {wrong}, not a host's"),
    ));
}

/// The family of an address in words.
pub(super) fn family(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// Reports an address that means something on one link only (RFC 4291 section 2.5.6): no router forwards its packets.
pub(super) fn check_routed(ip: IpAddr, place: impl FnOnce() -> Place, problems: &mut Vec<Problem>) {
    if let IpAddr::V6(v6) = ip
        && v6.is_unicast_link_local()
    {
        let problem = Problem::new(place(), format!("{ip} is of one link, and not routed"));
        problems.push(problem.mend("use a unique local or a global address"));
    }
}

/// Reports an interface address that is its network's own or broadcast address.
pub(super) fn check_network(
    network: &IpNet,
    place: impl Fn() -> Place,
    problems: &mut Vec<Problem>,
) {
    check_host(network.addr(), &place, problems);
    let IpNet::V4(v4) = network else { return };
    if v4.prefix_len() >= 31 {
        return;
    }
    let wrong = if v4.addr() == v4.network() {
        "network"
    } else if v4.addr() == v4.broadcast() {
        "broadcast"
    } else {
        return;
    };
    let first = v4.hosts().next().unwrap_or_else(|| v4.addr());
    problems.push(
        Problem::new(
            place(),
            format!("{} is the {wrong} address of {}", v4.addr(), v4.trunc()),
        )
        .mend(format!(
            "a host's address is meant, such as {first}/{}",
            v4.prefix_len()
        )),
    );
}

/// Reports a prefix whose host bits are set.
pub(super) fn check_prefix(
    prefix: &IpNet,
    place: impl FnOnce() -> Place,
    problems: &mut Vec<Problem>,
) {
    if prefix.addr() != prefix.network() {
        problems.push(
            Problem::new(place(), format!("{prefix} has host bits set"))
                .mend(format!("the network is {}", prefix.trunc())),
        );
    }
}

/// Reports an 802.1Q tag out of range.
pub(super) fn check_vlan(
    vlan: Option<u16>,
    place: impl FnOnce() -> Place,
    problems: &mut Vec<Problem>,
) {
    if let Some(vlan) = vlan
        && !(1..=4094).contains(&vlan)
    {
        problems.push(Problem::new(
            place(),
            format!("{vlan} is not a VLAN: 1 to 4094"),
        ));
    }
}

/// Is it a link-local address (RFC 4291 2.5.6)?
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
