//! The fate of a packet: a small closed set, every drop with a name.

use std::net::IpAddr;
use std::ops::ControlFlow;

use sluice_net::{Mac, Vni};

use crate::ids::{DatapathId, PortId, TunnelId};
use crate::io::DeviceId;
use crate::tables::Audience;

/// A stage either goes on with `T` or ends the walk with a verdict.
pub type Step<T> = ControlFlow<Verdict, T>;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave the node by one way.
    Transmit(Egress),
    /// Copies to several members of a switch.
    Flood(Flood),
    /// The slow path has work to do with the frame.
    Punt(Punt),
    /// Dropped, and the sender is told by an ICMP error of router port `port` (rate limited).
    Reject {
        /// Why it was dropped; counted as any other drop.
        reason: DropReason,
        /// What the sender is told.
        error: IcmpError,
        /// The router port the packet came in by; its address is the error's source.
        port: PortId,
    },
    /// Dropped by an ACL, and the sender is told in the name of a switch port (rate limited): TCP is reset, all else is
    /// unreachable. Counted as [`DropReason::AclReject`].
    Refuse {
        /// Who refuses it: the port that it came from, or was to go to.
        port: PortId,
        /// The switch port that the answer comes by: `port`, or where the packet went into its first router. What was done to
        /// its addresses behind that, the sender does not know, and the answer is not of a connection.
        by: PortId,
        /// Ethernet addresses that the packet had there: destination, source.
        macs: (Mac, Mac),
    },
    /// A fragment whose upper layer somebody on its way wants to know: it walks again once its first fragment has told.
    Reassemble,
    /// Dropped.
    Drop(DropReason),
}

/// One way out of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Egress {
    /// A device of this node: a VIF bound here or a localnet's wire.
    Device {
        /// The DPDK device.
        device: DeviceId,
        /// 802.1Q VLAN id to send with, `None` for untagged.
        vlan: Option<u16>,
        /// The logical port it leaves by.
        port: PortId,
    },
    /// Another chassis.
    Tunnel {
        /// The chassis and its encapsulation.
        tunnel: TunnelId,
        /// Tunnel key of the datapath.
        vni: Vni,
        /// Logical input and output port keys; `None` towards peers without port keys.
        keys: Option<(u16, u16)>,
    },
}

/// Replication inside one switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// The switch.
    pub switch: DatapathId,
    /// Index of the VLAN domain inside the switch.
    pub domain: u16,
    /// Whom it is for.
    pub audience: Audience,
    /// Never to other chassis: the frame came from a tunnel or from a localnet with tunnels barred.
    pub local_only: bool,
    /// The port it came in by; it gets no copy. `None` when not known.
    pub except: Option<PortId>,
    /// Logical input port key for the tunnel copies.
    pub in_key: u16,
}

/// ICMP errors a router sends, RFC 792, RFC 1812 section 4.3, RFC 4443 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpError {
    /// TTL or hop limit ran out.
    TimeExceeded,
    /// No route: network unreachable.
    NetUnreachable,
    /// The next hop does not answer: host or address unreachable.
    HostUnreachable,
    /// No one listens: port unreachable.
    PortUnreachable,
    /// Nobody serves: TCP is reset and SCTP aborted in the name of whom it was sent to, all else is told by port
    /// unreachable.
    Refused,
    /// Fragmentation needed / packet too big, with the next hop's MTU in bytes of IP.
    TooBig(u16),
}

/// Work for the slow path that needs the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Punt {
    /// An ARP request or neighbor solicitation for an address known from the topology: answer with
    /// `mac` in the name of switch port `from`.
    AnswerNeighbor {
        /// The switch port that owns the address.
        from: PortId,
        /// Its MAC.
        mac: Mac,
    },
    /// ARP or ND addressed to router port `port`: learn the sender.
    LearnNeighbor {
        /// The router port.
        port: PortId,
    },
    /// The next hop's MAC is not known: resolve it, then walk the frame again.
    ResolveNeighbor {
        /// The router port the packet would leave by.
        port: PortId,
        /// The address to resolve.
        next_hop: IpAddr,
    },
    /// The underlay next hop's MAC is not known: resolve it, then walk the frame again.
    ResolveUnderlay {
        /// The address to resolve.
        next_hop: IpAddr,
    },
    /// An echo request to an address of router port `port`: answer it.
    Echo {
        /// The router port the request came in by.
        port: PortId,
    },
    /// An IPv4 packet without DF that is larger than `mtu`: fragment it and send the pieces on.
    Fragment {
        /// The router port the packet came in by.
        port: PortId,
        /// Bytes of IP per fragment at most.
        mtu: u16,
    },
    /// ARP, ICMP or BFD for this node's own underlay address.
    Underlay,
    /// To the MAC that asks backends how they are: what one of them answered.
    Health {
        /// The switch it came in by.
        switch: DatapathId,
    },
}

/// Queues to the slow path, each policed on its own; served in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PuntClass {
    /// This node's underlay: BFD and underlay ARP.
    Underlay,
    /// ARP and ND.
    Neighbor,
    /// Frames that wait for a next hop.
    Resolve,
    /// Echo requests, ICMP errors, fragmentation.
    Icmp,
    /// Answers of backends to health checks.
    Health,
}

impl PuntClass {
    /// All classes, in order of service.
    pub const ALL: [PuntClass; 5] = [
        Self::Underlay,
        Self::Neighbor,
        Self::Resolve,
        Self::Icmp,
        Self::Health,
    ];

    /// Name used in counters and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Underlay => "underlay",
            Self::Neighbor => "neighbor",
            Self::Resolve => "resolve",
            Self::Icmp => "icmp",
            Self::Health => "health",
        }
    }
}

impl Punt {
    /// The queue this goes to.
    pub const fn class(&self) -> PuntClass {
        match self {
            Punt::AnswerNeighbor { .. } | Punt::LearnNeighbor { .. } => PuntClass::Neighbor,
            Punt::ResolveNeighbor { .. } | Punt::ResolveUnderlay { .. } => PuntClass::Resolve,
            Punt::Echo { .. } | Punt::Fragment { .. } => PuntClass::Icmp,
            Punt::Underlay => PuntClass::Underlay,
            Punt::Health { .. } => PuntClass::Health,
        }
    }
}

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped. One declaration makes the counter, the name and the text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in counter order.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)+];

            /// Name used in counters, traces and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }

            /// What it means, in a sentence.
            pub fn description(self) -> &'static str {
                match self { $(DropReason::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The Ethernet, VLAN or ARP header is cut short or malformed.
    MalformedL2 = "malformed-l2",
    /// The IPv4 or IPv6 header is malformed.
    MalformedIp = "malformed-ip",
    /// The IPv4 header checksum is wrong.
    Ipv4Checksum = "ipv4-checksum",
    /// The TCP, UDP, ICMP or ND header is malformed.
    MalformedL4 = "malformed-l4",
    /// The device has no logical port, localnet or underlay for this frame's VLAN.
    NoPortForVlan = "no-port-for-vlan",
    /// Not for this node's underlay address.
    UnderlayNotForUs = "underlay-not-for-us",
    /// An underlay packet that is neither a tunnel packet nor a protocol this node speaks.
    UnderlayUnknownProtocol = "underlay-unknown-protocol",
    /// A fragmented tunnel packet.
    TunnelFragment = "tunnel-fragment",
    /// The tunnel packet's UDP checksum is wrong.
    TunnelChecksum = "tunnel-checksum",
    /// A tunnel packet from an address that is no chassis' encapsulation.
    TunnelUnknownPeer = "tunnel-unknown-peer",
    /// The Geneve or VXLAN header is malformed.
    TunnelMalformed = "tunnel-malformed",
    /// A Geneve option that is critical and not known.
    TunnelUnknownOption = "tunnel-unknown-option",
    /// The tunnel packet carries no Ethernet frame.
    TunnelProtocol = "tunnel-protocol",
    /// The VNI is the key of no datapath here.
    TunnelUnknownVni = "tunnel-unknown-vni",
    /// The output port key is the key of no port of the datapath.
    TunnelUnknownPort = "tunnel-unknown-port",
    /// Port keys are missing from a peer that must send them.
    TunnelNoKeys = "tunnel-no-keys",
    /// The output port of the tunnel packet is not on this node.
    TunnelPortNotHere = "tunnel-port-not-here",
    /// ECN: the outer packet says congestion experienced, the inner is not capable (RFC 6040).
    TunnelEcn = "tunnel-ecn",
    /// Input and output port of the packet are the same.
    Hairpin = "hairpin",
    /// The logical port is disabled.
    PortDisabled = "port-disabled",
    /// Port security: the source MAC is not allowed on this port.
    PortSecurityMac = "port-security-mac",
    /// Port security: the source IP address is not allowed on this port.
    PortSecurityIp = "port-security-ip",
    /// Port security: ARP or ND claims an address that is not allowed on this port.
    PortSecurityNeighbor = "port-security-neighbor",
    /// Port security: a second VLAN tag hides which addresses the frame uses.
    PortSecurityVlan = "port-security-vlan",
    /// An ACL drops it.
    AclDrop = "acl-drop",
    /// An ACL rejects it.
    AclReject = "acl-reject",
    /// No ACL of the switch is for it, and by default such packets are dropped.
    AclDefault = "acl-default",
    /// The source MAC is a multicast address.
    SourceMulticast = "source-multicast",
    /// To a group address that no bridge forwards (spanning tree, pause, LACP, LLDP).
    ReservedGroup = "reserved-group",
    /// No port has the destination MAC and no port takes unknown ones.
    UnknownDestination = "unknown-destination",
    /// The destination is in another VLAN of the switch.
    OtherVlan = "other-vlan",
    /// The destination port is bound to no chassis.
    PortUnbound = "port-unbound",
    /// A flood with no member left to get a copy.
    FloodEmpty = "flood-empty",
    /// Bridged frame larger than the tunnel carries.
    TunnelMtu = "tunnel-mtu",
    /// The router does not own the destination MAC.
    RouterNotForUs = "router-not-for-us",
    /// The router does not take this kind of frame.
    RouterNotIp = "router-not-ip",
    /// The router or router port is disabled.
    RouterDisabled = "router-disabled",
    /// The source address cannot be one (multicast, loopback, zero, link-local, the router's own).
    MartianSource = "martian-source",
    /// The destination address cannot be routed (loopback, zero, link-local, multicast).
    MartianDestination = "martian-destination",
    /// To an address of the router, where no service listens.
    RouterLocal = "router-local",
    /// No route to the destination.
    NoRoute = "no-route",
    /// A blackhole (discard) route.
    Blackhole = "blackhole",
    /// TTL or hop limit ran out.
    TtlExceeded = "ttl-exceeded",
    /// Larger than the next link's MTU, and may not be fragmented.
    TooBig = "too-big",
    /// No chassis is active for the gateway port.
    GatewayInactive = "gateway-inactive",
    /// A redirected packet whose route does not lead out of the gateway port.
    GatewayMismatch = "gateway-mismatch",
    /// The next hop did not answer.
    NeighborFailed = "neighbor-failed",
    /// Too many logical hops: the topology has a loop.
    TooManyHops = "too-many-hops",
    /// The first fragment of an SCTP packet whose port is to be translated: its checksum is over all fragments.
    NatFragment = "nat-fragment",
    /// A fragment without data, or one that is not the last and has no whole units of 8 bytes.
    FragmentMalformed = "fragment-malformed",
    /// Fragments of a datagram overlap, or disagree on its ports or its end; all that follow are dropped too.
    FragmentOverlap = "fragment-overlap",
    /// The datagram has more fragments than are kept account of.
    FragmentPieces = "fragment-pieces",
    /// A copy of a fragment that waits for the first one of its datagram.
    FragmentDuplicate = "fragment-duplicate",
    /// The first fragment of the datagram did not come in time.
    FragmentTimeout = "fragment-timeout",
    /// It waited for its first fragment and gave way to others: the table of fragments is full.
    FragmentTableFull = "fragment-table-full",
    /// This source has too many datagrams under way, or too many fragments that wait.
    FragmentSourceLimit = "fragment-source-limit",
    /// Two routers of this node would translate the packet.
    NatTwice = "nat-twice",
    /// A message that no connection can be opened by: an ICMP message other than an echo, or an echo reply.
    NatProtocol = "nat-protocol",
    /// To a port that a rule maps to a host inside, from an end that may not send to it.
    NatFiltered = "nat-filtered",
    /// No free source port for the SNAT address towards this destination.
    NatPortsExhausted = "nat-ports-exhausted",
    /// Another host has the SNAT address towards this destination, with the same protocol; it has no ports that could tell the two
    /// apart. Or it had it until a moment ago, and the address is held down for it.
    NatAddressTaken = "nat-address-taken",
    /// Nobody serves the virtual IP of a load balancer.
    NoBackend = "no-backend",
    /// The connection's addresses and ports, or those of its answers, are another connection's.
    NatRace = "nat-race",
    /// The first packet of a TCP connection was no SYN.
    TcpNoSyn = "tcp-no-syn",
    /// The connection table is full.
    ConnectionsFull = "connections-full",
    /// This source has too many connections.
    SourceLimit = "source-limit",
    /// The rule that translated the connection is gone.
    NatRuleGone = "nat-rule-gone",
    /// An ICMP error that quotes no connection of this NAT.
    IcmpErrorUnrelated = "icmp-error-unrelated",
    /// The slow path's queue for this class is full or its rate is used up.
    PuntPoliced = "punt-policed",
    /// The ring to the owning worker is full.
    HandOffFull = "hand-off-full",
    /// The device did not take the frame.
    TxFull = "tx-full",
    /// No headroom left for an outer header.
    NoHeadroom = "no-headroom",
    /// No buffer for a copy.
    NoBuffer = "no-buffer",
    /// The replication budget of this burst is used up.
    FloodBudget = "flood-budget",
    /// A frame of the slow path that has no way out any more.
    InjectStale = "inject-stale",
}
