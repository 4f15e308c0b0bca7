//! Protocols without ports: connections by address, in either family.

use sluice_net::Builder;
use sluice_net::wire::{icmpv4, ip_proto};

use super::balancers;
use super::dnat::all;
use super::nat::{self, G_IN, G_OUT, UP, VM, VM2, back, out};
use crate::support::family::{Error, both_families, is_v6};
use crate::support::{Network, NodeOptions, cut, join, packet};

/// Tunnels of IPv4, GRE, ESP, and one that nobody has heard of.
const PROTOCOLS: [u8; 4] = [ip_proto::IPIP, ip_proto::GRE, ip_proto::ESP, 200];

const SHARED: &str = r#"
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "203.0.113.1"
"#;

/// Both VMs have the same address outside.
fn shared(more: &str) -> Network {
    let rule = SHARED.trim_end();
    let topology = format!("{}{rule}\n{more}", nat::TOPOLOGY);
    nat::nat_on(&topology, nat::gw(), &NodeOptions::default())
}

fn of(base: Builder, proto: u8) -> Builder {
    base.protocol(proto).payload(&[7; 32])
}

/// From vm2 to the world.
fn out2(dst: &str) -> Builder {
    packet((VM2, G_IN), ("10.0.0.11", dst))
}

fn sources_are_translated_and_answers_find_back() {
    let mut net = shared("");
    for (count, proto) in PROTOCOLS.into_iter().enumerate() {
        let there = format!("up: {G_OUT} > {UP} 203.0.113.1 > 8.8.8.8 proto {proto} ttl 63 len 52");
        let again = format!("vm: {G_IN} > {VM} 8.8.8.8 > 10.0.0.10 proto {proto} ttl 63 len 52");
        for moved in ["gw: opened 1, walk 1", "gw: established 1"] {
            net.probe("vm", of(out("8.8.8.8"), proto))
                .expect("out", &[&there], &[moved]);
        }
        for moved in ["gw: walk 1", "gw: established 1"] {
            let answer = of(back("8.8.8.8", "203.0.113.1"), proto);
            net.probe("up", answer).expect("back", &[&again], &[moved]);
        }
        assert_eq!(net.node("gw").connections.len(), count + 1);
    }
    // Nobody asked for these.
    for (from, proto) in [("8.8.4.4", ip_proto::GRE), ("8.8.8.8", 201)] {
        net.send("up", of(back(from, "203.0.113.1"), proto));
        let moved = net.moved().concat();
        assert!(moved.contains("drop:router-local 1"), "{moved}");
        assert!(net.take("vm").is_empty());
    }
}

/// Nothing tells two hosts apart that share an address towards the same remote: the second is refused, and told.
fn an_address_is_one_hosts_towards_a_remote() {
    let mut net = shared("");
    let gre = |base| of(base, ip_proto::GRE);
    net.send("vm", gre(out("8.8.8.8")));
    net.take("up");
    net.forget();
    net.probe("vm2", gre(out2("8.8.8.8"))).expect(
        "the second",
        &[&format!("vm2: {G_IN} > {VM2} 10.0.0.1 > 10.0.0.11 icmp error 3/1 about 10.0.0.11.0 > 8.8.8.8.0 proto 47 ttl 254 tos 0xc0 len 80")],
        &["gw: drop:nat-address-taken 1, injected 1, slow:icmp-errors-sent 1, slow:punts 1, walk 2"],
    );
    // To another remote, or of another protocol, it may.
    for (dst, proto) in [("8.8.4.4", ip_proto::GRE), ("8.8.8.8", ip_proto::ESP)] {
        let wanted = format!("up: {G_OUT} > {UP} 203.0.113.1 > {dst} proto {proto} ttl 63 len 52");
        net.probe("vm2", of(out2(dst), proto))
            .expect(dst, &[&wanted], &["gw: opened 1, walk 1"]);
    }
    // Each has its own answers.
    for (from, proto, host) in [
        ("8.8.8.8", ip_proto::GRE, "vm"),
        ("8.8.4.4", ip_proto::GRE, "vm2"),
        ("8.8.8.8", ip_proto::ESP, "vm2"),
    ] {
        net.send("up", of(back(from, "203.0.113.1"), proto));
        assert_eq!(net.take(host).len(), 1, "{from} {proto}");
    }
    // The first is silent for longer than its connection lives.
    net.run(11 * 60_000);
    net.forget();
    net.send("vm2", gre(out2("8.8.8.8")));
    assert_eq!(net.take("up").len(), 1, "{:?}", net.moved());
}

/// Two addresses outside that lead to one host: a client cannot use both at once.
fn a_client_reaches_a_host_by_one_address_at_a_time() {
    let mut net = shared(
        r#"
[[router.g.nat]]
type = "dnat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.20"
[[router.g.nat]]
type = "dnat"
logical_ip = "10.0.0.10"
external_ip = "203.0.113.21"
"#,
    );
    net.send("up", of(back("8.8.8.8", "203.0.113.20"), ip_proto::GRE));
    assert_eq!(net.take("vm").len(), 1);
    net.forget();
    net.send("up", of(back("8.8.8.8", "203.0.113.21"), ip_proto::GRE));
    assert!(net.take("vm").is_empty());
    let moved = net.moved().concat();
    assert!(moved.contains("drop:nat-address-taken 1"), "{moved}");
}

/// A rule with endpoint-independent mapping gives the address towards each remote to one host, not to one host at all.
fn mappings_are_for_ports() {
    let mapped = SHARED.trim_end().to_owned() + "\nmapping = \"endpoint-independent\"\n";
    let topology = nat::TOPOLOGY.to_owned() + &mapped;
    let mut net = nat::nat_on(&topology, nat::gw(), &NodeOptions::default());
    for (host, base, remote) in [
        ("vm", out("8.8.8.8"), "8.8.8.8"),
        ("vm2", out2("8.8.4.4"), "8.8.4.4"),
    ] {
        let wanted = format!("up: {G_OUT} > {UP} 203.0.113.1 > {remote} proto 47 ttl 63 len 52");
        for moved in ["gw: opened 1, walk 1", "gw: established 1"] {
            net.probe(host, of(base.clone(), ip_proto::GRE))
                .expect(remote, &[&wanted], &[moved]);
        }
        net.send("up", of(back(remote, "203.0.113.1"), ip_proto::GRE));
        assert_eq!(net.take(host).len(), 1);
        net.forget();
        // As the sweep, and what walks after it, see it.
        net.reload(&topology);
        net.run(200);
        net.send(host, of(base, ip_proto::GRE));
        assert_eq!(net.take("up").len(), 1, "{:?}", net.moved());
        net.forget();
    }
}

/// Floating both ways, a destination's one way; errors about either.
fn destinations_and_errors() {
    for proto in PROTOCOLS {
        let mut net = all();
        net.hosts.get_mut("up").unwrap().answers = false;
        let cases = [
            ("203.0.113.20", "vm", VM, "10.0.0.10"),
            ("203.0.113.11", "vm2", VM2, "10.0.0.11"),
        ];
        for (external, host, its_mac, inside) in cases {
            let there = format!(
                "{host}: {G_IN} > {its_mac} 8.8.8.8 > {inside} proto {proto} ttl 63 len 52"
            );
            let again =
                format!("up: {G_OUT} > {UP} {external} > 8.8.8.8 proto {proto} ttl 63 len 52");
            let ask = of(back("8.8.8.8", external), proto);
            let answer = of(packet((its_mac, G_IN), (inside, "8.8.8.8")), proto);
            for moved in ["gw: opened 1, walk 1", "gw: established 1"] {
                net.probe("up", ask.clone())
                    .expect(external, &[&there], &[moved]);
            }
            for moved in ["gw: walk 1", "gw: established 1"] {
                net.probe(host, answer.clone())
                    .expect(external, &[&again], &[moved]);
            }
            // The host inside says that it does not know the protocol.
            let quoted = of(packet((G_IN, its_mac), ("8.8.8.8", inside)), proto).build();
            let error = packet((its_mac, G_IN), (inside, "8.8.8.8"))
                .error(icmpv4::UNREACHABLE, 1)
                .payload(&quoted[14..]);
            net.send(host, error);
            let told = sluice_net::show(&net.take_one("up"));
            let told = crate::support::family::told(told);
            let about = format!(
                "{external} > 8.8.8.8 icmp error 3/1 about 8.8.8.8.0 > {external}.0 proto {proto}"
            );
            assert!(told.contains(&about), "{told}");
        }
        // Of its own accord, a floating IP is the same.
        let wanted =
            format!("up: {G_OUT} > {UP} 203.0.113.11 > 8.8.4.4 proto {proto} ttl 63 len 52");
        net.probe("vm2", of(out2("8.8.4.4"), proto)).expect(
            "out",
            &[&wanted],
            &["gw: opened 1, walk 1"],
        );
    }
}

/// Fragments of IPv4 need nobody to tell them anything; of IPv6 the first says what they are.
fn fragments_pass_in_any_order() {
    let mut net = shared("");
    let whole = out("8.8.8.8").protocol(ip_proto::ESP).payload(&[9; 2800]);
    let mut pieces = cut(&whole.build(), 5, &[1000, 2000]);
    pieces.reverse();
    for piece in &pieces {
        net.send("vm", piece.clone());
    }
    let sent = net.take("up");
    assert_eq!(sent.len(), 3, "{:?}", net.moved());
    let held = net.moved().concat().contains("fragment-held 2");
    assert_eq!(held, is_v6());
    let wanted = packet((G_OUT, UP), ("203.0.113.1", "8.8.8.8"))
        .ttl(63)
        .protocol(ip_proto::ESP)
        .payload(&[9; 2800]);
    assert_eq!(join(&sent), join(&cut(&wanted.build(), 0, &[])));
    let answer = back("8.8.8.8", "203.0.113.1")
        .protocol(ip_proto::ESP)
        .payload(&[8; 2000]);
    for piece in cut(&answer.build(), 6, &[1000]) {
        net.send("up", piece);
    }
    assert_eq!(net.take("vm").len(), 2);
    assert_eq!(net.node("gw").connections.len(), 1);
    net.assert_no_buffer_lost();
}

/// A virtual IP of all ports is one of all protocols.
fn a_virtual_ip_without_a_port() {
    let mut net = balancers::network(&balancers::topology(""));
    let gre = of(balancers::ask("203.0.113.5"), ip_proto::GRE);
    let backends = [balancers::B1, balancers::B2];
    net.send("up", gre.clone());
    let chosen = backends.into_iter().find(|b| net.take(b.0).len() == 1);
    let chosen = chosen.expect("one of them");
    assert_eq!(net.moved(), ["gw: opened 1, walk 1"]);
    net.probe("up", gre).expect(
        "the same",
        &[&format!(
            "{}: {} > {} 8.8.8.8 > {} proto 47 ttl 62 len 52",
            chosen.0,
            balancers::R_IN,
            chosen.1,
            chosen.2
        )],
        &["gw: established 1"],
    );
    let answer = of(balancers::from(chosen, "8.8.8.8"), ip_proto::GRE);
    net.probe(chosen.0, answer).expect(
        "answer",
        &[&format!(
            "up: {} > {UP} 203.0.113.5 > 8.8.8.8 proto 47 ttl 62 len 52",
            balancers::G_OUT
        )],
        &["gw: walk 1"],
    );
    // That of a port is not.
    net.forget();
    net.send("up", of(balancers::ask("203.0.113.6"), ip_proto::GRE));
    assert!(backends.iter().all(|b| net.take(b.0).is_empty()));
}

/// What a reload takes the rule of ends, all else goes on.
fn a_reload_ends_what_has_no_rule() {
    let rule = |ip| SHARED.replace("10.0.0.0/8", ip);
    let both = nat::TOPOLOGY.to_owned() + &rule("10.0.0.10") + &rule("10.0.0.11");
    let mut net = nat::nat_on(&both, nat::gw(), &NodeOptions::default());
    net.send("vm", of(out("8.8.8.8"), ip_proto::GRE));
    net.send("vm2", of(out2("8.8.4.4"), ip_proto::GRE));
    assert_eq!(net.take("up").len(), 2);
    net.reload(&(nat::TOPOLOGY.to_owned() + &rule("10.0.0.10")));
    net.run(500);
    assert_eq!(net.node("gw").connections.len(), 1);
    net.forget();
    net.send("vm", of(out("8.8.8.8"), ip_proto::GRE));
    assert_eq!(net.moved(), ["gw: walk 1"]);
}

both_families! {
    sources_are_translated_and_answers_find_back,
    an_address_is_one_hosts_towards_a_remote,
    a_client_reaches_a_host_by_one_address_at_a_time,
    mappings_are_for_ports,
    destinations_and_errors,
    fragments_pass_in_any_order,
    a_virtual_ip_without_a_port,
    a_reload_ends_what_has_no_rule,
}
