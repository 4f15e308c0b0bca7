//! Strangers who send more than there is room for: who is connected does not notice, the table stays as it is, and
//! every packet is accounted for. Of fragments see [`super::fragments`], of forged segments [`super::nat`].

use sluice_net::wire::tcp;
use sluice_net::{Builder, parse};

use super::nat::{self, G_IN, UP, VM, VM2, back, out};
use crate::support::family::both_families;
use crate::support::{Network, NodeOptions, packet};

/// A virtual IP in front of vm, and a floating IP of vm2.
const RULES: &str = r#"
[load_balancer.web]
vips = { "203.0.113.5" = ["10.0.0.10"] }
[[router.g.nat]]
type = "snat"
logical_ip = "10.0.0.0/8"
external_ip = "203.0.113.1"
[[router.g.nat]]
type = "dnat_and_snat"
logical_ip = "10.0.0.11"
external_ip = "203.0.113.11"
"#;
const VIP: &str = "203.0.113.5";
const FLOATING: &str = "203.0.113.11";
/// Connections that fit.
const ROOM: usize = 256;
/// How many of them are good people's.
const GOOD: u16 = 64;
/// Strangers' packets, in waves.
const WAVES: u32 = 4;
const WAVE: u32 = 1000;
/// Milliseconds after which a client asks again whose first SYN found no room (RFC 6298).
const PATIENCE: u32 = 1000;

fn network() -> Network {
    let balanced = "[router.g]\nload_balancers = [\"web\"]\n";
    let topology = [&nat::TOPOLOGY.replace("[router.g]\n", balanced), RULES].concat();
    let options = NodeOptions {
        connections: ROOM,
        ..NodeOptions::default()
    };
    let mut net = nat::nat_on(&topology, nat::gw(), &options);
    net.record = false;
    net
}

/// A service inside that people outside use.
struct Service {
    /// The address outside.
    address: &'static str,
    /// The host inside, its MAC and address.
    host: (&'static str, &'static str, &'static str),
}

const BALANCED: Service = Service {
    address: VIP,
    host: ("vm", VM, "10.0.0.10"),
};
const FLOATED: Service = Service {
    address: FLOATING,
    host: ("vm2", VM2, "10.0.0.11"),
};

impl Service {
    fn answer(&self, port: u16, flags: u8) -> Builder {
        let (_, its_mac, inside) = self.host;
        packet((its_mac, G_IN), (inside, "8.8.8.8")).tcp(80, port, flags)
    }

    /// A client's handshake, or what of it comes through.
    fn open(&self, net: &mut Network, port: u16) -> [usize; 3] {
        let (host, ..) = self.host;
        let syn = back("8.8.8.8", self.address).tcp(port, 80, tcp::SYN);
        let ack = back("8.8.8.8", self.address).tcp(port, 80, tcp::ACK);
        [
            through(net, ("up", syn), host),
            through(net, (host, self.answer(port, tcp::SYN | tcp::ACK)), "up"),
            through(net, ("up", ack), host),
        ]
    }

    /// All good people are heard and answered, by a look-up and nothing more.
    fn serves(&self, net: &mut Network) {
        let (host, ..) = self.host;
        net.forget();
        for port in 1000..1000 + GOOD {
            let asked = back("8.8.8.8", self.address).tcp(port, 80, tcp::ACK);
            assert_eq!(through(net, ("up", asked), host), 1, "client {port}");
            let answered = self.answer(port, tcp::ACK);
            assert_eq!(through(net, (host, answered), "up"), 1, "client {port}");
        }
        assert_eq!(net.moved(), [format!("gw: established {}", 2 * GOOD)]);
    }

    fn populate(&self, net: &mut Network) {
        for port in 1000..1000 + GOOD {
            assert_eq!(self.open(net, port), [1, 1, 1]);
        }
        self.serves(net);
        net.forget();
    }
}

/// How many packets come out at a host for one that is sent.
fn through(net: &mut Network, (from, frame): (&str, Builder), to: &str) -> usize {
    net.send(from, frame);
    net.take(to).len()
}

/// Sends strangers' packets; each must come through or be dropped for want of room, and the table must not grow.
fn flood(net: &mut Network, from: &str, to: &str, frame: impl Fn(u32) -> Builder) {
    for wave in 0..WAVES {
        for n in wave * WAVE..(wave + 1) * WAVE {
            net.send_later(from, frame(n));
        }
        net.settle();
        // Hosts of IPv6 are told of what was refused.
        net.take(from);
        let passed = net.take(to).len() as u64;
        assert!(net.node("gw").connections.len() <= ROOM);
        let refused = dropped(net, "connections-full");
        assert_eq!(passed + refused, u64::from(WAVE), "wave {wave}");
        net.run(10);
    }
    net.forget();
}

/// Packets dropped for this reason since this was last asked; fails when there is another reason.
fn dropped(net: &mut Network, reason: &str) -> u64 {
    let moved = net.moved().join(", ");
    let drops = moved.split(", ").filter_map(|count| {
        let (name, number) = count.trim_start_matches("gw: ").rsplit_once(' ')?;
        Some((name.strip_prefix("drop:")?, number))
    });
    drops
        .map(|(name, number)| {
            assert_eq!(name, reason, "{moved}");
            number.parse::<u64>().unwrap()
        })
        .sum()
}

/// An address and a port that no other number gives.
fn stranger(n: u32) -> (String, u16) {
    let address = format!("198.18.{}.{}", n / 200 % 200, n % 200 + 1);
    (address, 1024 + (n % 50_000) as u16)
}

/// SYNs of strangers whom nobody answers, to a balancer. A client who comes meanwhile is served too.
fn a_syn_flood() {
    let mut net = network();
    BALANCED.populate(&mut net);
    flood(&mut net, "up", "vm", |n| {
        let (address, port) = stranger(n);
        back(&address, VIP).tcp(port, 80, tcp::SYN)
    });
    BALANCED.serves(&mut net);
    net.run(PATIENCE);
    assert_eq!(BALANCED.open(&mut net, 2000), [1, 1, 1]);
    net.assert_no_buffer_lost();
}

/// The same with answers, which nobody acknowledges: half-open ones give way to new ones, though not all at once.
fn an_answered_syn_flood() {
    let mut net = network();
    BALANCED.populate(&mut net);
    let mut reached = 0;
    for n in 0..WAVES * WAVE {
        let (address, port) = stranger(n);
        let syn = back(&address, VIP).tcp(port, 80, tcp::SYN);
        if through(&mut net, ("up", syn), "vm") == 1 {
            reached += 1;
            let (_, its_mac, inside) = BALANCED.host;
            let answer = packet((its_mac, G_IN), (inside, &address));
            let answer = answer.tcp(80, port, tcp::SYN | tcp::ACK);
            assert_eq!(through(&mut net, ("vm", answer), "up"), 1, "{n}");
        }
        assert!(net.node("gw").connections.len() <= ROOM);
        net.run(1);
    }
    assert_eq!(
        reached + dropped(&mut net, "connections-full"),
        u64::from(WAVES * WAVE)
    );
    assert!(reached > 2 * ROOM as u64, "{reached}");
    BALANCED.serves(&mut net);
    net.run(PATIENCE);
    assert_eq!(BALANCED.open(&mut net, 2000), [1, 1, 1]);
    net.assert_no_buffer_lost();
}

/// A client inside sends datagrams to everywhere, by source NAT.
fn random_datagrams_through_source_nat() {
    let mut net = network();
    let ports = 4000..4000 + GOOD;
    let ask = |port| out("8.8.8.8").udp(port, 53);
    let answer = |port| back("8.8.8.8", "203.0.113.1").udp(53, port);
    for port in ports.clone() {
        assert_eq!(through(&mut net, ("vm", ask(port)), "up"), 1);
        assert_eq!(through(&mut net, ("up", answer(port)), "vm"), 1);
        assert_eq!(through(&mut net, ("vm", ask(port)), "up"), 1);
    }
    net.forget();
    flood(&mut net, "vm", "up", |n| {
        let (address, port) = stranger(n);
        out(&address).udp(port, 1024 + (n.wrapping_mul(7919) % 60_000) as u16)
    });
    for port in ports {
        assert_eq!(through(&mut net, ("up", answer(port)), "vm"), 1, "{port}");
        assert_eq!(through(&mut net, ("vm", ask(port)), "up"), 1, "{port}");
    }
    let all = format!("gw: established {}", 2 * GOOD);
    assert_eq!(net.moved(), [all]);
    net.assert_no_buffer_lost();
}

/// One scans the ports of a floating IP, and each is answered by a RST.
fn a_port_scan() {
    let mut net = network();
    FLOATED.populate(&mut net);
    for n in 0..WAVES * WAVE {
        let target = 1 + n as u16;
        let syn = back("8.8.4.4", FLOATING).tcp(40_000, target, tcp::SYN);
        assert_eq!(through(&mut net, ("up", syn), "vm2"), 1, "port {target}");
        let (_, its_mac, inside) = FLOATED.host;
        let no = packet((its_mac, G_IN), (inside, "8.8.4.4"));
        let no = no.tcp(target, 40_000, tcp::RST | tcp::ACK);
        assert_eq!(through(&mut net, ("vm2", no), "up"), 1, "port {target}");
        assert!(net.node("gw").connections.len() <= ROOM);
    }
    FLOATED.serves(&mut net);
    assert_eq!(FLOATED.open(&mut net, 2000), [1, 1, 1]);
    net.assert_no_buffer_lost();
}

/// With a limit the scanner fills no table: it has its share, and nobody else is asked to make room.
#[test]
fn one_source_has_its_share() {
    const LIMIT: u32 = 100;
    let mut net = network();
    net.node("gw").connections.set_source_limit(LIMIT);
    FLOATED.populate(&mut net);
    for n in 0..WAVE as u16 {
        let scan = back("8.8.4.4", FLOATING).tcp(40_000, 1 + n, tcp::SYN);
        net.send_later("up", scan);
    }
    net.settle();
    assert_eq!(net.take("vm2").len(), LIMIT as usize);
    let refused = dropped(&mut net, "source-limit");
    assert_eq!(refused, u64::from(WAVE - LIMIT));
    let all = usize::from(GOOD) + LIMIT as usize;
    assert_eq!(net.node("gw").connections.len(), all);
    FLOATED.serves(&mut net);
    assert_eq!(FLOATED.open(&mut net, 2000), [1, 1, 1]);
}

/// Errors about a stream that a stranger makes up: those that quote it pass and end nothing, others reach nobody.
#[test]
fn forged_errors() {
    let mut net = network();
    FLOATED.populate(&mut net);
    let quote = |src: &str, dst: &str, ports: (u16, u16)| {
        let about = packet((UP, UP), (src, dst)).tcp(ports.0, ports.1, tcp::ACK);
        about.build()[14..].to_vec()
    };
    let (mine, client) = (FLOATING, "8.8.8.8");
    // What is quoted; whether it passes.
    let cases = [
        ("the stream", quote(mine, client, (80, 1000)), true),
        ("another port", quote(mine, client, (81, 1000)), false),
        ("another client", quote(mine, client, (80, 999)), false),
        ("another host", quote(mine, "8.8.8.9", (80, 1000)), false),
        (
            "an inner address",
            quote("10.0.0.11", client, (80, 1000)),
            false,
        ),
        (
            "the other direction",
            quote(client, mine, (1000, 80)),
            false,
        ),
        (
            "ports cut off",
            quote(mine, client, (80, 1000))[..20].to_vec(),
            false,
        ),
        ("nothing", Vec::new(), false),
    ];
    for (name, quoted, passes) in cases {
        for (kind, code) in [
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 3),
            (3, 4),
            (3, 13),
            (4, 0),
            (11, 0),
            (12, 0),
        ] {
            net.forget();
            let error = back("198.18.0.1", mine).icmp(kind, code, [0, 0, 0, 68]);
            let came = through(&mut net, ("up", error.payload(&quoted)), "vm2");
            // RFC 6633: nobody heeds source quench.
            let expected = usize::from(passes && kind != 4);
            let moved = net.moved().join(", ");
            assert_eq!(came, expected, "{name} {kind}/{code}: {moved}");
            assert!(
                expected == 1 || moved.contains("drop:"),
                "{name} {kind}/{code}: {moved}"
            );
        }
    }
    assert_eq!(net.node("gw").connections.len(), usize::from(GOOD));
    FLOATED.serves(&mut net);
}

/// The quoted packet is looked at as far as it goes: what it is about is told by name.
#[test]
fn forged_errors_have_a_name() {
    let mut net = network();
    FLOATED.populate(&mut net);
    let about = packet((UP, UP), (FLOATING, "8.8.8.8")).tcp(81, 1000, tcp::ACK);
    let error = back("198.18.0.1", FLOATING).icmp(3, 3, [0; 4]);
    let seen = net.probe("up", error.payload(&about.build()[14..]));
    assert!(parse(&about.build()).is_ok());
    assert_eq!(seen.moved, ["gw: drop:icmp-error-unrelated 1, walk 1"]);
}

both_families! {
    a_syn_flood,
    an_answered_syn_flood,
    random_datagrams_through_source_nat,
    a_port_scan,
}
