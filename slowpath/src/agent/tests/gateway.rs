use super::lab::*;
use crate::agent::{AgentRequest, Settings};
use crate::role::Alive;
use sluice_fastpath::exchange::Sighting;
use sluice_fastpath::ids::TunnelId;
use sluice_fastpath::learned::Role;
use sluice_fastpath::tables::{RoleId, Router, Tables};
use sluice_fastpath::verdict::Punt;
use sluice_net::{Builder, Mac};

/// A node with these candidates for the gateway port, and no underlay.
fn node(generation: u64, candidates: &[(&str, Option<u32>)]) -> Tables {
    let mut r1 = router();
    let list = candidates
        .iter()
        .map(|(name, tunnel)| ((*name).to_owned(), tunnel.map(TunnelId)))
        .collect();
    gateway_of(&mut r1).candidates = list;
    without_underlay(tables(generation, inner_switch(), r1, outer_switch()))
}

fn gateway_of(router: &mut Router) -> &mut sluice_fastpath::tables::Gateway {
    router.ports[1].gateway.as_mut().unwrap()
}

fn without_underlay(mut tables: Tables) -> Tables {
    tables.underlay = None;
    tables
}

fn alive(names: &[&str]) -> AgentRequest {
    AgentRequest::Alive(Alive::Only(
        names.iter().map(|name| (*name).to_owned()).collect(),
    ))
}

/// Addresses announced, each checked to be a gratuitous ARP of the gateway port on the external switch.
fn announced(lab: &mut Lab) -> Vec<String> {
    let address = |sent: Sent| {
        assert_eq!(sent.to, from_switch(EXT_R1));
        let headers = sent.headers();
        let arp = *headers.arp().expect("gratuitous ARP");
        assert_eq!((headers.eth_dst, headers.eth_src), (Mac::BROADCAST, OUTER));
        assert_eq!(
            (arp.op, arp.sender_mac, arp.sender_ip),
            (1, OUTER, arp.target_ip)
        );
        arp.sender_ip.to_string()
    };
    let mut addresses: Vec<String> = lab.sent().into_iter().map(address).collect();
    addresses.sort();
    addresses
}

const BOTH: [&str; 2] = ["203.0.113.1", "203.0.113.50"];

#[test]
fn the_active_node_announces_at_once_and_four_times_more() {
    let mut lab = Lab::with(
        node(1, &[("gw1", None), ("gw2", Some(0))]),
        Settings::default(),
    );
    lab.step();
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Active);
    assert_eq!(announced(&mut lab), BOTH);
    for gap in [1_000, 2_000, 4_000, 8_000] {
        lab.sleep(gap - 1);
        assert_eq!(announced(&mut lab), [""; 0]);
        lab.sleep(1);
        assert_eq!(announced(&mut lab), BOTH);
    }
    lab.sleep(1_000_000);
    assert_eq!(announced(&mut lab), [""; 0]);
}

#[test]
fn a_backup_is_silent_until_the_holder_dies() {
    let mut lab = Lab::with(
        node(1, &[("gw2", Some(0)), ("gw1", None)]),
        Settings::default(),
    );
    lab.sleep(60_000);
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Backup(TunnelId(0)));
    // It neither asks, nor answers, nor learns with the shared MAC.
    let question = Builder::ethernet(PEER, Mac::BROADCAST)
        .arp_request(v4("203.0.113.9"), v4("203.0.113.1"))
        .build();
    lab.punt(&question, Punt::LearnNeighbor { port: R1_EXT });
    lab.resolve(
        &packet("10.0.0.10", "203.0.113.9").build(),
        R1_EXT,
        "203.0.113.9",
    );
    lab.sight(Sighting::Neighbor {
        port: R1_EXT,
        ip: ip("203.0.113.9"),
        mac: PEER,
        reply: false,
    });
    assert_eq!((lab.sent(), lab.moved()), (vec![], vec![("stale", 2)]));

    lab.request(alive(&["gw1"]));
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Active);
    assert_eq!(announced(&mut lab), BOTH);
    lab.sight(Sighting::Neighbor {
        port: R1_EXT,
        ip: ip("203.0.113.9"),
        mac: PEER,
        reply: false,
    });
    assert_eq!(lab.mac(R1_EXT, "203.0.113.9"), Some(PEER));

    lab.request(alive(&["gw1", "gw2"]));
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Backup(TunnelId(0)));
    assert_eq!(
        lab.mac(R1_EXT, "203.0.113.9"),
        None,
        "forgotten with the role"
    );
    lab.sleep(60_000);
    assert_eq!(announced(&mut lab), [""; 0], "not a word more");
}

#[test]
fn nobody_is_left() {
    let mut lab = Lab::with(
        node(1, &[("gw2", Some(0)), ("gw3", Some(2))]),
        Settings::default(),
    );
    lab.step();
    lab.request(alive(&["gw3"]));
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Backup(TunnelId(2)));
    lab.request(alive(&[]));
    assert_eq!(lab.learned.roles.get(RoleId(0)), Role::Nobody);
}

#[test]
fn a_new_address_is_announced_alone_and_a_new_mac_with_all() {
    let here = [("gw1", None), ("gw2", Some(0))];
    let mut lab = Lab::with(node(1, &here), Settings::default());
    lab.sleep(60_000);
    announced(&mut lab);
    let mut r1 = router();
    r1.ports[1]
        .networks
        .push("203.0.113.99/24".parse().unwrap());
    lab.publish(without_underlay(tables(
        2,
        inner_switch(),
        r1,
        outer_switch(),
    )));
    assert_eq!(announced(&mut lab), ["203.0.113.99"]);
    lab.publish(node(3, &here));
    lab.sleep(60_000);
    assert_eq!(
        announced(&mut lab),
        [""; 0],
        "an address that went is not announced any more"
    );
    let mut r1 = router();
    r1.ports[1].mac = PEER;
    lab.publish(without_underlay(tables(
        4,
        inner_switch(),
        r1,
        outer_switch(),
    )));
    assert!(lab.sent().iter().all(|sent| sent.headers().eth_src == PEER));
    assert_eq!(
        lab.moved()
            .iter()
            .find(|(name, _)| *name == "announced")
            .map(|(_, by)| *by),
        Some(2 * 5 + 1 + 2)
    );
}

#[test]
fn without_a_wire_nothing_is_announced() {
    let mut ext = outer_switch();
    ext.ports[0].place = sluice_fastpath::tables::Place::Unbound;
    let mut lab = Lab::with(
        without_underlay(tables(1, inner_switch(), router(), ext)),
        Settings::default(),
    );
    lab.sleep(60_000);
    assert_eq!((lab.sent(), lab.moved()), (vec![], vec![]));
}
