//! What a walk may tell while it goes: the same walk serves first packets (nobody listens) and `trace`.

use std::net::IpAddr;

use sluice_net::Mac;

use crate::fragments::First;
use crate::ids::{DatapathId, PortId, TunnelId};
use crate::stage::bridge::Forward;
use crate::stage::enter::Entry;
use crate::tables::Choosing;
use crate::tables::{AclDirection, Decision};
use crate::verdict::Verdict;

/// Listens to a walk.
pub trait Recorder {
    /// One thing that happened.
    fn record(&mut self, event: Event);
}

/// Nobody listens; compiles to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Recorder for Silent {
    #[inline(always)]
    fn record(&mut self, _: Event) {}
}

impl Recorder for Vec<Event> {
    fn record(&mut self, event: Event) {
        self.push(event);
    }
}

/// One thing that happened on a walk, by indices; whoever shows it looks the names up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The frame entered.
    Enter(Entry),
    /// It is a fragment that has been told what the first of its datagram says.
    Fragment(First),
    /// It is looked at by a switch, having come in by `port`.
    SwitchIngress {
        /// The switch.
        switch: DatapathId,
        /// The port; `None` behind a tunnel without port keys.
        port: Option<PortId>,
    },
    /// Port security let it pass; `checked` when the port has any.
    PortSecurity {
        /// The port.
        port: PortId,
        /// The port has rules.
        checked: bool,
    },
    /// ACLs were asked.
    Acl {
        /// The switch.
        switch: DatapathId,
        /// Which of its lists.
        direction: AclDirection,
        /// What they say.
        decision: Decision,
    },
    /// The switch chose where it goes.
    Forward {
        /// The switch.
        switch: DatapathId,
        /// By this MAC.
        dst: Mac,
        /// To there.
        to: Forward,
    },
    /// It leaves a switch by a port.
    SwitchEgress {
        /// The port.
        port: PortId,
    },
    /// It enters a router by a port.
    RouterIngress {
        /// The port.
        port: PortId,
    },
    /// It was redirected here by another chassis, to leave by a gateway port.
    RouterEgress {
        /// The gateway port.
        port: PortId,
    },
    /// It belongs to a connection.
    Connection {
        /// In the direction of the answer.
        reply: bool,
        /// The connection translates.
        translated: bool,
    },
    /// The destination was translated back.
    Untranslate {
        /// The router.
        router: DatapathId,
        /// From the external address and port.
        from: (IpAddr, u16),
        /// To the inner ones.
        to: (IpAddr, u16),
    },
    /// The destination was translated.
    TranslateDestination {
        /// The router.
        router: DatapathId,
        /// As the connection has it; else by a rule.
        known: bool,
        /// From the external address and port.
        from: (IpAddr, u16),
        /// To the inner ones.
        to: (IpAddr, u16),
    },
    /// The destination was chosen among the backends of a virtual IP.
    Balance {
        /// The switch or router.
        datapath: DatapathId,
        /// Index of the virtual IP in its balancers.
        vip: u32,
        /// What chose it.
        by: Choosing,
        /// From the service's address and port.
        from: (IpAddr, u16),
        /// To the backend's.
        to: (IpAddr, u16),
    },
    /// The source of an answer was translated back.
    UntranslateSource {
        /// The switch or router.
        datapath: DatapathId,
        /// From the inner address and port.
        from: (IpAddr, u16),
        /// To the external ones.
        to: (IpAddr, u16),
    },
    /// It would leave by a gateway port for an address of the router's own NAT rules: it is back in by that port.
    Turn {
        /// The gateway port.
        port: PortId,
    },
    /// A route was chosen.
    Route {
        /// The router.
        router: DatapathId,
        /// Source and destination it was chosen for.
        packet: (IpAddr, IpAddr),
        /// The port it leaves by.
        port: PortId,
        /// The address on the link.
        next_hop: IpAddr,
    },
    /// The TTL went down to this.
    Ttl(u8),
    /// The chassis that holds the gateway port gets it.
    Redirect {
        /// The gateway port.
        port: PortId,
        /// The chassis.
        tunnel: TunnelId,
    },
    /// The next hop's MAC.
    Neighbor {
        /// The router port.
        port: PortId,
        /// The address.
        next_hop: IpAddr,
        /// Its MAC.
        mac: Mac,
        /// Learned, not from the topology.
        learned: bool,
    },
    /// The source was translated by a rule.
    Translate {
        /// The router.
        router: DatapathId,
        /// Index of the SNAT rule; `None` when the connection's own translation is used.
        rule: Option<usize>,
        /// From the inner address and port.
        from: (IpAddr, u16),
        /// To the external ones.
        to: (IpAddr, u16),
    },
    /// A rule calls the source the same whatever the remote end.
    Map {
        /// The router.
        router: DatapathId,
        /// Index of the SNAT rule.
        rule: usize,
        /// It was not called anything before.
        made: bool,
        /// Address and port inside.
        inside: (IpAddr, u16),
        /// What they are called.
        outside: (IpAddr, u16),
    },
    /// A packet that no connection expects was let in to a mapped port.
    EnterMapping {
        /// The router.
        router: DatapathId,
        /// Address and port outside.
        outside: (IpAddr, u16),
        /// Those of the host inside.
        inside: (IpAddr, u16),
    },
    /// A new connection is tracked, so that its replies are known.
    Track {
        /// The router.
        router: DatapathId,
    },
    /// The end.
    End(Verdict),
}
