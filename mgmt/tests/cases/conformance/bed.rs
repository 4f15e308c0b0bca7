//! A gateway with one SNAT rule and two clients behind it, whichever way the rule maps.
//!
//! ```text
//!   10.0.0.10 vm ─┐
//!                 ├─ g ─ 203.0.113.1 ── up ── the world
//!   10.0.0.11 vm2 ┘
//! ```

use sluice_fastpath::connections::{Connection, Mapping, Timeouts};
use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, tcp};
use sluice_net::{Builder, Inner, L4, parse};

use crate::cases::nat::{self, G_IN, G_OUT, UP, VM, VM2};
use crate::support::{IntoFrame, Network, NodeOptions, packet};

/// The address that both clients share outside.
pub const EXTERNAL: &str = "203.0.113.1";
/// A client.
pub const A: &str = "10.0.0.10";
/// The other one.
pub const B: &str = "10.0.0.11";

/// What a rule says of mapping and filtering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub name: &'static str,
    /// Keys of the rule.
    pub keys: &'static str,
}

/// By address and port of the other side.
pub const PLAIN: Mode = Mode {
    name: "default",
    keys: "",
};

/// By the source alone; whom it was used for may answer.
pub const FILTERED: Mode = Mode {
    name: "filtered",
    keys: "mapping = \"endpoint-independent\"",
};

/// By the source alone; addresses it was used for may send to it.
pub const RESTRICTED: Mode = Mode {
    name: "restricted",
    keys: "mapping = \"endpoint-independent\"\nfiltering = \"address-dependent\"",
};

/// By the source alone; anybody may send to it.
pub const OPEN: Mode = Mode {
    name: "open",
    keys: "mapping = \"endpoint-independent\"\nfiltering = \"endpoint-independent\"",
};

/// All modes.
pub const MODES: &[Mode] = &[PLAIN, FILTERED, RESTRICTED, OPEN];

/// Those that map by the source alone.
pub const INDEPENDENT: &[Mode] = &[FILTERED, RESTRICTED, OPEN];

/// A protocol whose flows are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Udp,
    Tcp,
    Sctp,
    Echo,
}

/// Address and port, or identifier of an echo.
pub type End = (String, u16);

/// A packet that reached somebody.
#[derive(Clone, Debug)]
pub struct Seen {
    pub host: String,
    pub src: End,
    pub dst: End,
    pub l4: L4,
    pub frame: Vec<u8>,
}

impl Seen {
    /// Kind, code and quoted packet of an ICMP error.
    pub fn error(&self) -> Option<(u8, u8, Inner)> {
        match self.l4 {
            L4::IcmpError { kind, code, inner } => Some((kind, code, inner?)),
            _ => None,
        }
    }
}

/// The gateway and its surroundings.
pub struct Bed {
    pub net: Network,
}

impl Bed {
    pub fn new(mode: Mode) -> Bed {
        Bed::with(mode, &NodeOptions::default())
    }

    pub fn with(mode: Mode, options: &NodeOptions) -> Bed {
        Bed::of(&rule(mode.keys), options)
    }

    /// With these rules.
    pub fn of(rules: &str, options: &NodeOptions) -> Bed {
        let topology = [nat::TOPOLOGY, rules].concat();
        Bed {
            net: nat::nat_on(&topology, nat::gw(), options),
        }
    }

    pub fn timed(mode: Mode, timeouts: Timeouts) -> Bed {
        let options = NodeOptions {
            timeouts,
            ..NodeOptions::default()
        };
        Bed::with(mode, &options)
    }

    /// Sends a frame; what reached whom.
    pub fn send(&mut self, host: &str, frame: impl IntoFrame) -> Vec<Seen> {
        self.net.send(host, frame);
        let names: Vec<String> = self.net.hosts.keys().cloned().collect();
        let mut seen = Vec::new();
        for host in names {
            for frame in self.net.take(&host) {
                let headers = parse(&frame).unwrap();
                let Some(ip) = headers.ip() else { continue };
                let (src, dst) = ip.ports().unwrap_or((0, 0));
                seen.push(Seen {
                    host: host.clone(),
                    src: (ip.src.to_string(), src),
                    dst: (ip.dst.to_string(), dst),
                    l4: ip.l4,
                    frame,
                });
            }
        }
        seen
    }

    /// A client's packet to the world: whence it comes, seen from there. `None` when it did not get out.
    pub fn out(&mut self, kind: Kind, from: (&str, u16), to: (&str, u16)) -> Option<End> {
        self.out_as(from, to, |frame| first(kind, frame, from.1, to.1))
    }

    /// The same with a packet of the test's own making.
    pub fn out_as(
        &mut self,
        from: (&str, u16),
        to: (&str, u16),
        make: impl FnOnce(Builder) -> Builder,
    ) -> Option<End> {
        let (host, frame) = from_client(from.0, to.0);
        let seen = self.send(host, make(frame));
        seen.into_iter()
            .find(|seen| seen.host == "up" && seen.dst.0 == to.0)
            .map(|seen| seen.src)
    }

    /// A packet from the world to an outer address: which client's end it reaches, `None` when none.
    pub fn back(&mut self, kind: Kind, from: (&str, u16), to: (&str, u16)) -> Option<End> {
        self.back_as(from, to, |frame| answer(kind, frame, from.1, to.1))
    }

    /// The same with a packet of the test's own making.
    pub fn back_as(
        &mut self,
        from: (&str, u16),
        to: (&str, u16),
        make: impl FnOnce(Builder) -> Builder,
    ) -> Option<End> {
        let frame = packet((UP, G_OUT), (from.0, to.0));
        let seen = self.send("up", make(frame));
        let inside = seen.into_iter().find(|seen| seen.host != "up")?;
        assert_eq!(inside.src.0, from.0, "who sent it is not changed");
        Some(inside.dst)
    }

    /// An error of `reporter` outside about a packet that came from the outer end `about`.
    pub fn error_from_outside(
        &mut self,
        (reporter, kind, code): (&str, u8, u8),
        quoted: &[u8],
    ) -> Vec<Seen> {
        let frame = packet((UP, G_OUT), (reporter, EXTERNAL)).icmp(kind, code, [0; 4]);
        self.send("up", frame.payload(quoted))
    }

    /// What of the table `keep` says.
    pub fn entries<T>(&self, mut keep: impl FnMut(&Connection) -> Option<T>) -> Vec<T> {
        let mut kept = Vec::new();
        let table = &self.net.node("gw").connections;
        table.scan(0, usize::MAX, |entry| kept.extend(keep(&entry)));
        kept
    }

    /// The mappings.
    pub fn mappings(&self) -> Vec<Mapping> {
        self.entries(Connection::mapping)
    }

    /// How many connections and mappings there are.
    pub fn connections(&self) -> usize {
        self.net.node("gw").connections.len()
    }
}

/// An SNAT rule for all clients.
pub fn rule(keys: &str) -> String {
    format!(
        "[[router.g.nat]]\ntype = \"snat\"\nlogical_ip = \"10.0.0.0/8\"\nexternal_ip = \"{EXTERNAL}\"\n{keys}\n"
    )
}

/// From a client: the wire it sends on, and its packet without what is in it.
pub fn from_client(address: &str, to: &str) -> (&'static str, Builder) {
    let (host, mac) = match address {
        B => ("vm2", VM2),
        _ => ("vm", VM),
    };
    (host, packet((mac, G_IN), (address, to)))
}

/// What a packet that left quotes as when somebody outside tells of it: all of it from the IP header on.
pub fn quoted(from: (&str, u16), to: (&str, u16), kind: Kind) -> Vec<u8> {
    let frame = packet((UP, UP), (from.0, to.0)).ttl(1);
    first(kind, frame, from.1, to.1).payload(&[7; 24]).build()[14..].to_vec()
}

/// What opens a flow.
pub fn first(kind: Kind, frame: Builder, src: u16, dst: u16) -> Builder {
    match kind {
        Kind::Udp => frame.udp(src, dst),
        Kind::Tcp => frame.tcp(src, dst, tcp::SYN),
        Kind::Sctp => frame.sctp(src, dst),
        Kind::Echo => frame.icmp_echo(Echo::Request, src, 1),
    }
}

/// What answers it.
pub fn answer(kind: Kind, frame: Builder, src: u16, dst: u16) -> Builder {
    match kind {
        Kind::Tcp => frame.tcp(src, dst, tcp::SYN | tcp::ACK),
        Kind::Echo => frame.icmp_echo(Echo::Reply, dst, 1),
        Kind::Udp | Kind::Sctp => first(kind, frame, src, dst),
    }
}

/// Kinds of ICMP errors, with a code of each.
pub const ERRORS: [(u8, u8); 5] = [
    (icmpv4::UNREACHABLE, icmpv4::CODE_HOST_UNREACHABLE),
    (icmpv4::UNREACHABLE, icmpv4::CODE_PORT_UNREACHABLE),
    (icmpv4::UNREACHABLE, icmpv4::CODE_PROHIBITED),
    (icmpv4::TIME_EXCEEDED, icmpv4::CODE_TTL_EXCEEDED),
    (icmpv4::PARAMETER_PROBLEM, 0),
];
