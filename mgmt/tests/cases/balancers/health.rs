//! Health checks: a gateway router on `gw`, backends there and behind the tunnel.
//!
//! ```text
//!   in 10.0.0.0/24: b1 .11, b2 .12 on gw, b3 .13 on hv; checked from .254
//!        | 10.0.0.1
//!        g  on gw, 203.0.113.1      web 203.0.113.5:80: b1, b2, b3, port 80
//!        |
//!       up 203.0.113.254
//! ```

use std::collections::BTreeMap;

use sluice_fastpath::tables::{Ailment, Condition, Health, SERVICE_MAC};
use sluice_net::wire::tcp;

use super::*;
use crate::support::family::both_families;
use crate::support::ip;

const TOPOLOGY: &str = r#"
[chassis.gw]
encap = { type = "geneve", ip = "172.16.0.1" }
[chassis.hv]
encap = { type = "geneve", ip = "172.16.0.2" }
[switch.in.port.b1]
addresses = ["02:00:00:00:00:11 10.0.0.11"]
port_security = ["02:00:00:00:00:11 10.0.0.11"]
chassis = "gw"
[switch.in.port.b2]
addresses = ["02:00:00:00:00:12 10.0.0.12"]
chassis = "gw"
[switch.in.port.b3]
addresses = ["02:00:00:00:00:13 10.0.0.13"]
port_security = ["02:00:00:00:00:13 10.0.0.13"]
chassis = "hv"
[switch.in.port.in-g]
type = "router"
router_port = "g-in"
[switch.out.port.ln]
type = "localnet"
network = "wire"
[switch.out.port.out-g]
type = "router"
router_port = "g-out"
[router.g]
chassis = "gw"
load_balancers = ["web"]
[router.g.port.g-in]
mac = "02:00:00:00:02:01"
networks = ["10.0.0.1/24"]
[router.g.port.g-out]
mac = "02:00:00:00:02:05"
networks = ["203.0.113.1/24"]
[[router.g.route]]
ip_prefix = "0.0.0.0/0"
nexthop = "203.0.113.254"
[load_balancer.web]
vips = { "203.0.113.5:80" = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80"] }
ip_port_mappings = { "10.0.0.11" = "b1:10.0.0.254", "10.0.0.12" = "b2:10.0.0.254", "10.0.0.13" = "b3:10.0.0.254" }
[load_balancer.web.health_check."203.0.113.5:80"]
interval = 2
timeout = 1
failure_count = 2
"#;

const BACKENDS: [(&str, &str, &str); 3] = [B1, B2, ("b3", "02:00:00:00:00:13", "10.0.0.13")];

/// In an entry with a colon before it, IPv6 has brackets.
fn mapped(topology: &str) -> String {
    match family::is_v6() {
        true => topology.replace(":10.0.0.254", ":[10.0.0.254]"),
        false => topology.to_owned(),
    }
}

fn balanced(topology: &str) -> Network {
    let gw = NodeFile::new("gw")
        .underlay("172.16.0.1/24")
        .vifs(&["b1", "b2"])
        .network("wire", "eth1");
    let hv = NodeFile::new("hv").underlay("172.16.0.2/24").vifs(&["b3"]);
    let mut net = Network::new(&mapped(topology), &[gw, hv]);
    net.host(
        "up",
        "wire",
        Host::station(mac(UP), &["203.0.113.254/24"], Some("203.0.113.1")),
    );
    for (name, address, ip) in BACKENDS {
        let mut host = Host::station(mac(address), &[&format!("{ip}/24")], Some("10.0.0.1"));
        host.listens = Some(vec![80]);
        net.hosts.insert(name.to_owned(), host);
    }
    net.run(4_000);
    net.forget();
    net
}

/// What the gateway knows of each backend.
fn conditions(net: &Network) -> Vec<Condition> {
    let tables = net.node("gw").cell.current();
    let mut pieces = tables.datapaths.iter().flatten();
    let router = pieces.find(|piece| piece.name == "g").unwrap();
    let vip = &router.balancers().vips()[0];
    let backends = vip.backends.iter();
    backends.map(|backend| backend.liveness.get()).collect()
}

fn healths(net: &Network) -> Vec<Health> {
    conditions(net).iter().map(|known| known.health).collect()
}

fn listen(net: &mut Network, host: &str, listens: Option<Vec<u16>>) {
    net.hosts.get_mut(host).unwrap().listens = listens;
}

/// Which backend each of these clients' ports gets.
fn given(net: &mut Network, ports: std::ops::Range<u16>) -> BTreeMap<u16, &'static str> {
    let mut all = BTreeMap::new();
    for port in ports {
        for (name, _, _) in BACKENDS {
            net.take(name);
        }
        net.send("up", ask("203.0.113.5").tcp(port, 80, tcp::SYN));
        for (name, _, _) in BACKENDS {
            if !net.take(name).is_empty() {
                assert_eq!(all.insert(port, name), None);
            }
        }
    }
    all
}

fn the_dead_get_nothing_new_and_others_keep_what_they_have() {
    let mut net = balanced(TOPOLOGY);
    assert_eq!(healths(&net), [Health::Online; 3]);
    let before = given(&mut net, 1..400);
    assert_eq!(before.len(), 399);
    // The one behind the tunnel is refused at its port, twice.
    listen(&mut net, "b3", Some(vec![]));
    net.run(2_100);
    assert_eq!(healths(&net), [Health::Online; 3]);
    net.run(2_100);
    assert_eq!(
        healths(&net),
        [Health::Online, Health::Online, Health::Offline]
    );
    assert_eq!(conditions(&net)[2].ailment, Some(Ailment::Reset));
    let after = given(&mut net, 1001..1400);
    assert!(after.values().all(|name| *name != "b3"));
    assert_eq!(after.len(), 399);
    // What it has goes on.
    let (&port, _) = before.iter().find(|(_, name)| **name == "b3").unwrap();
    net.take("b3");
    net.send("up", ask("203.0.113.5").tcp(port, 80, tcp::ACK));
    assert!(!net.take("b3").is_empty());
    // A hash gives its share to the others and nothing else moves.
    let mut net = balanced(TOPOLOGY);
    let whole = given(&mut net, 1..400);
    let mut net = balanced(TOPOLOGY);
    listen(&mut net, "b3", Some(vec![]));
    net.run(4_200);
    let without = given(&mut net, 1..400);
    let moved = whole
        .iter()
        .filter(|(port, name)| **name != "b3" && without[*port] != **name);
    assert!(moved.count() < 399 * 5 / 100);
    // It comes back with the first good check.
    listen(&mut net, "b3", Some(vec![80]));
    net.run(2_100);
    assert_eq!(healths(&net), [Health::Online; 3]);
    let again = given(&mut net, 2001..2400);
    assert!(again.values().filter(|name| **name == "b3").count() > 60);
}

fn silence_is_a_timeout_and_a_reload_keeps_what_is_known() {
    let mut net = balanced(TOPOLOGY);
    listen(&mut net, "b1", None);
    net.run(6_000);
    let known = conditions(&net)[0];
    assert_eq!(
        (known.health, known.ailment),
        (Health::Offline, Some(Ailment::Timeout))
    );
    // The list is another, so the balancer's tables are.
    let fewer = TOPOLOGY.replace(", \"10.0.0.13:80\"]", "]");
    let fewer = fewer.replace(", \"10.0.0.13\" = \"b3:10.0.0.254\"", "");
    net.reload(&mapped(&fewer));
    assert_eq!(conditions(&net).len(), 2);
    assert_eq!(conditions(&net)[0], known);
    assert_eq!(
        given(&mut net, 1..100)
            .values()
            .filter(|name| **name == "b2")
            .count(),
        99
    );
    // Without a check they all serve again.
    let unchecked = TOPOLOGY.split("[load_balancer.web.health_check").next();
    let unchecked = unchecked
        .unwrap()
        .replace("ip_port_mappings", "# ip_port_mappings");
    net.reload(&mapped(&unchecked));
    assert_eq!(healths(&net), [Health::Unknown; 3]);
    assert!(given(&mut net, 201..300).values().any(|name| *name == "b1"));
    let asked = |net: &Network| {
        let frames = net.frames();
        frames
            .filter(|(_, frame)| parse(frame).unwrap().eth_src == SERVICE_MAC)
            .count()
    };
    let before = asked(&net);
    net.run(5_000);
    assert_eq!(asked(&net), before);
}

fn with_all_dead_clients_hear_what_the_balancer_says() {
    let rejecting = TOPOLOGY.replace("[load_balancer.web]", "[load_balancer.web]\nreject = true");
    for (topology, told) in [(TOPOLOGY, false), (&rejecting, true)] {
        let mut net = balanced(topology);
        for (name, _, _) in BACKENDS {
            listen(&mut net, name, Some(vec![]));
        }
        net.run(4_200);
        assert_eq!(healths(&net), [Health::Offline; 3]);
        net.moved();
        net.take("up");
        net.send("up", ask("203.0.113.5").tcp(7, 80, tcp::SYN));
        assert_eq!(!net.take("up").is_empty(), told);
        let moved = net.moved();
        assert!(
            moved
                .iter()
                .any(|moved| moved.contains("drop:no-backend 1")),
            "{moved:?}"
        );
    }
}

/// A backend asks who 10.0.0.254 is on its own chassis; what it says to it reaches the gateway, whatever its ACLs say.
fn a_backend_behind_a_tunnel_finds_who_checks_it() {
    let strict = TOPOLOGY.replace(
        "[switch.in.port.b1]",
        "[[switch.in.acl]]\ndirection = \"to-lport\"\npriority = 1\nmatch = \"ip4\"\naction = \"drop\"\n\
         [[switch.in.acl]]\ndirection = \"from-lport\"\npriority = 1\nmatch = \"ip4\"\naction = \"drop\"\n\
         [switch.in.port.b1]",
    );
    let mut net = balanced(&strict);
    assert_eq!(healths(&net), [Health::Online; 3]);
    let (_, own, _) = BACKENDS[2];
    let question = family::question(mac(own), ip("10.0.0.13"), ip("10.0.0.254"));
    net.probe("b3", question).expect(
        "who checks",
        &[&format!(
            "b3: {SERVICE_MAC} > {own} arp reply 10.0.0.254 to 10.0.0.13 sender {SERVICE_MAC}"
        )],
        &["hv: injected 1, punt:neighbor 1, slow:answered 1, slow:punts 1, walk 2"],
    );
    // What is no answer to anybody's check ends at the gateway.
    let stray = Builder::ethernet(mac(own), SERVICE_MAC)
        .ip(ip("10.0.0.13"), ip("10.0.0.254"))
        .udp(1, 2);
    let outcome = net.probe("b3", stray);
    assert!(outcome.got.is_empty(), "{outcome:?}");
}

both_families! {
    the_dead_get_nothing_new_and_others_keep_what_they_have,
    silence_is_a_timeout_and_a_reload_keeps_what_is_known,
    with_all_dead_clients_hear_what_the_balancer_says,
    a_backend_behind_a_tunnel_finds_who_checks_it,
}
