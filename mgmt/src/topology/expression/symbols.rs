//! Everything that an expression may name: one table.
//!
//! The names, widths, prerequisites and expansions are OVN's (ovn-sb(5), `match` of Logical_Flow, Symbols). What
//! OVN has and this table has not, is in [`ABSENT`] with the reason.

use sluice_net::Field;

use super::Subject;

/// A field, some bits of one, or a predicate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub name: &'static str,
    pub meaning: Meaning,
    /// What else is true of a packet that has it.
    pub needs: Option<&'static str>,
    /// Its values have no order, and only equality can be asked for; of a predicate, only that it holds.
    pub nominal: bool,
}

/// What a symbol stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `bits` bits of a subject from bit `low` on.
    Bits { of: Subject, low: u8, bits: u8 },
    /// An expression.
    Predicate(&'static str),
}

impl Symbol {
    /// How many bits it has; a predicate has one.
    pub(super) fn bits(&self) -> u8 {
        match self.meaning {
            Meaning::Bits { bits, .. } => bits,
            Meaning::Predicate(_) => 1,
        }
    }

    /// A logical port.
    pub(super) fn is_port(&self) -> bool {
        matches!(
            self.meaning,
            Meaning::Bits {
                of: Subject::InPort | Subject::OutPort,
                ..
            }
        )
    }
}

const fn port(name: &'static str, of: Subject) -> Symbol {
    Symbol {
        name,
        meaning: Meaning::Bits {
            of,
            low: 0,
            bits: 32,
        },
        needs: None,
        nominal: true,
    }
}

const fn field(name: &'static str, field: Field, needs: &'static str) -> Symbol {
    bits(name, field, 0, field.bits(), needs)
}

const fn nominal(name: &'static str, of: Field, needs: &'static str) -> Symbol {
    let mut symbol = field(name, of, needs);
    symbol.nominal = true;
    symbol
}

const fn bits(name: &'static str, field: Field, low: u8, bits: u8, needs: &'static str) -> Symbol {
    Symbol {
        name,
        meaning: Meaning::Bits {
            of: Subject::Header(field),
            low,
            bits,
        },
        needs: if needs.is_empty() { None } else { Some(needs) },
        nominal: false,
    }
}

/// True or false of a packet, and both can be asked for.
const fn boolean(name: &'static str, expansion: &'static str) -> Symbol {
    Symbol {
        name,
        meaning: Meaning::Predicate(expansion),
        needs: None,
        nominal: false,
    }
}

/// Only that it holds can be asked for.
const fn predicate(name: &'static str, expansion: &'static str) -> Symbol {
    let mut symbol = boolean(name, expansion);
    symbol.nominal = true;
    symbol
}

pub(super) const SYMBOLS: &[Symbol] = &[
    port("inport", Subject::InPort),
    port("outport", Subject::OutPort),
    field("eth.src", Field::EthSrc, ""),
    field("eth.dst", Field::EthDst, ""),
    nominal("eth.type", Field::EthType, ""),
    boolean("eth.bcast", "eth.dst == ff:ff:ff:ff:ff:ff"),
    bits("eth.mcast", Field::EthDst, 40, 1, ""),
    boolean("eth.mcastv6", "eth.dst[32..47] == 0x3333"),
    field("vlan.tci", Field::VlanTci, ""),
    boolean("vlan.present", "vlan.tci[12]"),
    bits("vlan.pcp", Field::VlanTci, 13, 3, "vlan.present"),
    bits("vlan.vid", Field::VlanTci, 0, 12, "vlan.present"),
    predicate("ip4", "eth.type == 0x800"),
    predicate("ip6", "eth.type == 0x86dd"),
    predicate("ip", "ip4 || ip6"),
    nominal("ip.proto", Field::IpProto, "ip"),
    field("ip.dscp", Field::IpDscp, "ip"),
    field("ip.ecn", Field::IpEcn, "ip"),
    field("ip.ttl", Field::IpTtl, "ip"),
    field("ip.frag", Field::IpFrag, "ip"),
    boolean("ip.is_frag", "ip.frag[0]"),
    boolean("ip.later_frag", "ip.frag[1]"),
    boolean("ip.first_frag", "ip.is_frag && !ip.later_frag"),
    field("ip4.src", Field::Ip4Src, "ip4"),
    field("ip4.dst", Field::Ip4Dst, "ip4"),
    boolean("ip4.src_mcast", "ip4.src[28..31] == 0xe"),
    boolean("ip4.mcast", "eth.mcast && ip4.dst[28..31] == 0xe"),
    field("ip6.src", Field::Ip6Src, "ip6"),
    field("ip6.dst", Field::Ip6Dst, "ip6"),
    boolean("ip6.mcast", "eth.mcastv6 && ip6.dst[120..127] == 0xff"),
    boolean(
        "ip6.mcast_rsvd",
        "ip6.dst[116..127] == 0xff0 && ip6.dst[0..111] == 0",
    ),
    boolean(
        "ip6.mcast_all_nodes",
        "ip6.dst == ff01::1 || ip6.dst == ff02::1",
    ),
    boolean(
        "ip6.mcast_all_rtrs",
        "ip6.dst == ff01::2 || ip6.dst == ff02::2 || ip6.dst == ff05::2",
    ),
    boolean("ip6.mcast_sol_node", "ip6.dst == ff02::1:ff00:0/104"),
    boolean(
        "ip6.mcast_flood",
        "eth.mcastv6 && (ip6.mcast_rsvd || ip6.mcast_all_nodes || ip6.mcast_all_rtrs || ip6.mcast_sol_node)",
    ),
    predicate("icmp4", "ip4 && ip.proto == 1"),
    field("icmp4.type", Field::Icmp4Type, "icmp4"),
    field("icmp4.code", Field::Icmp4Code, "icmp4"),
    predicate("icmp6", "ip6 && ip.proto == 58"),
    nominal("icmp6.type", Field::Icmp6Type, "icmp6"),
    nominal("icmp6.code", Field::Icmp6Code, "icmp6"),
    predicate("icmp", "icmp4 || icmp6"),
    predicate("igmp", "ip4.mcast && ip.proto == 2"),
    predicate("arp", "eth.type == 0x806"),
    field("arp.op", Field::ArpOp, "arp"),
    field("arp.spa", Field::ArpSpa, "arp"),
    field("arp.tpa", Field::ArpTpa, "arp"),
    field("arp.sha", Field::ArpSha, "arp"),
    field("arp.tha", Field::ArpTha, "arp"),
    predicate("rarp", "eth.type == 0x8035"),
    predicate(
        "nd",
        "icmp6.type == {135, 136} && icmp6.code == 0 && ip.ttl == 255",
    ),
    predicate(
        "nd_ns",
        "icmp6.type == 135 && icmp6.code == 0 && ip.ttl == 255",
    ),
    predicate(
        "nd_ns_mcast",
        "ip6.mcast && icmp6.type == 135 && icmp6.code == 0 && ip.ttl == 255",
    ),
    predicate(
        "nd_na",
        "icmp6.type == 136 && icmp6.code == 0 && ip.ttl == 255",
    ),
    predicate(
        "nd_rs",
        "icmp6.type == 133 && icmp6.code == 0 && ip.ttl == 255",
    ),
    predicate(
        "nd_ra",
        "icmp6.type == 134 && icmp6.code == 0 && ip.ttl == 255",
    ),
    field("nd.target", Field::NdTarget, "nd"),
    field("nd.sll", Field::NdSll, "nd_ns"),
    field("nd.tll", Field::NdTll, "nd_na"),
    predicate(
        "mldv1",
        "eth.mcastv6 && ip6.src == fe80::/10 && icmp6.type == {130, 131, 132}",
    ),
    predicate(
        "mldv2",
        "eth.mcastv6 && ip6.dst == ff02::16 && icmp6.type == 143",
    ),
    predicate("tcp", "ip.proto == 6"),
    field("tcp.src", Field::TcpSrc, "tcp"),
    field("tcp.dst", Field::TcpDst, "tcp"),
    field("tcp.flags", Field::TcpFlags, "tcp"),
    predicate("udp", "ip.proto == 17"),
    field("udp.src", Field::UdpSrc, "udp"),
    field("udp.dst", Field::UdpDst, "udp"),
    predicate("sctp", "ip.proto == 132"),
    field("sctp.src", Field::SctpSrc, "sctp"),
    field("sctp.dst", Field::SctpDst, "sctp"),
];

/// Beginnings of names that OVN has, why they are not here, and what to do instead.
pub(super) const ABSENT: &[(&str, &str, &str)] = &[
    (
        "ct.",
        "the state of a connection cannot be matched",
        "actions allow and allow-related track connections; answers are then let in by themselves",
    ),
    (
        "ct_",
        "the state of a connection cannot be matched",
        "actions allow and allow-related track connections; answers are then let in by themselves",
    ),
    (
        "flags",
        "flags are between the stages of OVN's pipeline",
        "remove it",
    ),
    (
        "reg",
        "registers are between the stages of OVN's pipeline",
        "remove it",
    ),
    (
        "xreg",
        "registers are between the stages of OVN's pipeline",
        "remove it",
    ),
    (
        "xxreg",
        "registers are between the stages of OVN's pipeline",
        "remove it",
    ),
    ("pkt.mark", "packets have no mark", "remove it"),
    (
        "rarp.",
        "RARP packets are not looked into",
        "`rarp` alone is known",
    ),
    (
        "ip6.label",
        "the flow label is not looked at",
        "match addresses and ports",
    ),
    (
        "is_chassis_resident",
        "a rule is the same on every chassis",
        "remove it",
    ),
];

/// The symbol of a name.
pub(super) fn symbol(name: &str) -> Option<&'static Symbol> {
    SYMBOLS.iter().find(|symbol| symbol.name == name)
}
