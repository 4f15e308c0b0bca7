//! Access control lists of a switch, as OVN evaluates them.
//!
//! A direction is one classifier over the rules of all tiers: tier by tier, in a tier by falling priority. The first
//! rule that a packet fits decides; `pass` goes on with the next tier.

use std::sync::Arc;

use sluice_net::Field;

use crate::tables::Hits;
use crate::tables::classifier::{Classifier, Packet, Subject};

/// Number of tiers.
pub const TIERS: usize = 4;

/// The rules that hold in a switch: its own and those of port groups with a port in it.
#[derive(Debug, Default, PartialEq)]
pub struct Acls {
    /// All of them. Decisions name them by index.
    pub rules: Box<[Acl]>,
    /// When a packet comes from a port.
    pub from_lport: AclList,
    /// The same, after load balancing.
    pub from_lport_after_lb: AclList,
    /// When a packet goes to a port.
    pub to_lport: AclList,
    /// A rule is `allow-related`: then `allow` tracks connections as well, and so does what no rule is for.
    pub stateful: bool,
    /// What no rule is for is dropped.
    pub default_drop: bool,
    /// New connections and untracked packets that no rule was for.
    pub unmatched: Hits,
}

/// A rule, for whoever counts, logs or shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Acl {
    /// The port group it comes from; `None` is the switch itself.
    pub port_group: Option<Arc<str>>,
    /// Which one it is in the list of the switch or port group, from 0.
    pub position: u32,
    /// What the operator calls it.
    pub name: Option<String>,
    /// Where it is applied.
    pub direction: AclDirection,
    /// Tier, from 0.
    pub tier: u8,
    /// Priority within the tier.
    pub priority: u16,
    /// What it is for, in OVN's expression language.
    pub matches: String,
    /// What becomes of packets.
    pub action: AclAction,
    /// Stays with the connections that it lets in; 0 is none.
    pub label: u32,
    /// How packets that it decides are logged.
    pub log: Option<AclLog>,
    /// New connections and untracked packets that it decided.
    pub hits: Hits,
}

/// How packets are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclLog {
    /// How grave a message is, in OVN's words.
    pub severity: &'static str,
    /// Most messages a second.
    pub meter: Option<u32>,
}

/// OVN's actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclAction {
    /// It passes, tracked where the switch tracks.
    Allow,
    /// It passes, and so do answers and errors about it.
    AllowRelated,
    /// It passes and is not tracked.
    AllowStateless,
    /// It is dropped.
    Drop,
    /// It is dropped and the sender is told.
    Reject,
    /// The next tier decides.
    Pass,
}

impl AclAction {
    /// OVN's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::AllowRelated => "allow-related",
            Self::AllowStateless => "allow-stateless",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Pass => "pass",
        }
    }
}

/// Where rules are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclDirection {
    /// When a packet comes from a port.
    FromLport,
    /// The same, after load balancing.
    FromLportAfterLb,
    /// When a packet goes to a port.
    ToLport,
}

impl AclDirection {
    /// OVN's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FromLport => "from-lport",
            Self::FromLportAfterLb => "from-lport after load balancing",
            Self::ToLport => "to-lport",
        }
    }
}

/// The rules of one direction.
#[derive(Debug, Default, PartialEq)]
pub struct AclList {
    classifier: Classifier,
    /// The ACL of each rule of the classifier.
    acls: Box<[u32]>,
    /// Where the tiers end in the classifier.
    ends: [u32; TIERS],
    /// Rules of the classifier that are `allow-stateless`, one bit each; empty without any.
    stateless: Box<[u64]>,
    /// Rules look at more than what makes a flow.
    beyond_flows: bool,
    /// Rules look at what only the first fragment of a datagram has.
    upper_layers: bool,
    /// Rules look at protocols.
    protocols: bool,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclVerdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Drop,
    /// It is dropped and the sender is told.
    Reject,
}

/// What a switch's ACLs say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rule that decided, an index into [`Acls::rules`]; `None` when none is for the packet.
    pub acl: Option<u32>,
    /// Its fate.
    pub verdict: AclVerdict,
    /// It is to open a connection, or belongs to one, so that answers pass.
    pub tracked: bool,
}

impl AclList {
    /// A list whose rules are those of `classifier`. `acls` has the index of the ACL of each, in order of tiers.
    pub fn new(classifier: Classifier, acls: Vec<u32>, rules: &[Acl]) -> Self {
        let of = |index: &u32| rules.get(*index as usize);
        let mut ends = [0; TIERS];
        for (tier, end) in ends.iter_mut().enumerate() {
            let until = acls
                .partition_point(|acl| of(acl).is_some_and(|acl| usize::from(acl.tier) <= tier));
            *end = until as u32;
        }
        let mut stateless = vec![0; acls.len().div_ceil(64)];
        let mut any = false;
        for (at, acl) in acls.iter().enumerate() {
            if of(acl).is_some_and(|acl| acl.action == AclAction::AllowStateless)
                && let Some(word) = stateless.get_mut(at / 64)
            {
                *word |= 1 << (at % 64);
                any = true;
            }
        }
        let beyond_flows = classifier.subjects().any(|subject| !is_of_flow(subject));
        let upper_layers = classifier.subjects().any(is_of_upper_layer);
        let protocols = classifier
            .subjects()
            .any(|subject| subject == Subject::Header(Field::IpProto));
        Self {
            beyond_flows,
            upper_layers,
            protocols,
            classifier,
            acls: acls.into(),
            ends,
            stateless: if any {
                stateless.into()
            } else {
                Box::default()
            },
        }
    }

    /// The rules, as they are looked up.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// No rule.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.acls.is_empty()
    }

    /// Packets of one flow (that came in by one port, with the same MACs, addresses, protocol and ports) may fare
    /// differently: a rule looks at flags, TTL, code points or the like.
    #[inline]
    pub fn sees_more_than_flows(&self) -> bool {
        self.beyond_flows
    }

    /// A rule looks at what only the first fragment of a datagram has: ports, types of ICMP, TCP flags; of IPv6 the protocol, too.
    #[inline]
    pub fn sees_upper_layers(&self, v6: bool) -> bool {
        self.upper_layers || v6 && self.protocols
    }

    /// Some `allow-stateless` rule is for the packet, whatever others say.
    fn is_stateless(&self, packet: &Packet<'_>) -> bool {
        !self.stateless.is_empty()
            && self
                .classifier
                .look(packet)
                .first_of(&self.stateless)
                .is_some()
    }
}

/// All packets of an IPv4 flow that come in by the same port with the same MACs have the same there.
const fn is_of_flow(subject: Subject) -> bool {
    use Field::*;
    match subject {
        Subject::InPort | Subject::OutPort => true,
        Subject::Header(field) => matches!(
            field,
            EthSrc
                | EthDst
                | EthType
                | IpProto
                | Ip4Src
                | Ip4Dst
                | Ip6Src
                | Ip6Dst
                | TcpSrc
                | TcpDst
                | UdpSrc
                | UdpDst
                | SctpSrc
                | SctpDst
        ),
    }
}

/// Only the first fragment of a datagram has it.
const fn is_of_upper_layer(subject: Subject) -> bool {
    use Field::*;
    match subject {
        Subject::InPort | Subject::OutPort => false,
        Subject::Header(field) => matches!(
            field,
            TcpSrc
                | TcpDst
                | TcpFlags
                | UdpSrc
                | UdpDst
                | SctpSrc
                | SctpDst
                | Icmp4Type
                | Icmp4Code
                | Icmp6Type
                | Icmp6Code
        ),
    }
}

impl Acls {
    /// The rules of a direction.
    pub fn list(&self, direction: AclDirection) -> &AclList {
        match direction {
            AclDirection::FromLport => &self.from_lport,
            AclDirection::FromLportAfterLb => &self.from_lport_after_lb,
            AclDirection::ToLport => &self.to_lport,
        }
    }

    /// The other list of packets from ports says what becomes of them, this one has no rule.
    #[inline]
    pub fn is_left_out(&self, direction: AclDirection) -> bool {
        match direction {
            AclDirection::FromLport => {
                self.from_lport.is_empty() && !self.from_lport_after_lb.is_empty()
            }
            AclDirection::FromLportAfterLb => self.from_lport_after_lb.is_empty(),
            AclDirection::ToLport => false,
        }
    }

    /// What the rules of a direction say of a packet. It is tracked as far as they are concerned: the switch port
    /// may be of a kind that does not track.
    #[inline]
    pub fn decide(&self, direction: AclDirection, packet: &Packet<'_>) -> Decision {
        let list = self.list(direction);
        let look = list.classifier.look(packet);
        let mut from = 0;
        for _ in 0..TIERS {
            let Some(rule) = look.first(from) else { break };
            let Some(index) = list.acls.get(rule).copied() else {
                break;
            };
            let Some(acl) = self.rules.get(index as usize) else {
                break;
            };
            let verdict = match acl.action {
                AclAction::Allow | AclAction::AllowRelated | AclAction::AllowStateless => {
                    AclVerdict::Allow
                }
                AclAction::Drop => AclVerdict::Drop,
                AclAction::Reject => AclVerdict::Reject,
                AclAction::Pass => {
                    let end = list.ends.get(usize::from(acl.tier));
                    from = end.map_or(usize::MAX, |end| *end as usize);
                    continue;
                }
            };
            let may_track = acl.action != AclAction::AllowStateless;
            return self.decision(direction, packet, Some(index), verdict, may_track);
        }
        let verdict = match self.default_drop {
            true => AclVerdict::Drop,
            false => AclVerdict::Allow,
        };
        self.decision(direction, packet, None, verdict, true)
    }

    /// The rule with this index.
    pub fn rule(&self, index: u32) -> Option<&Acl> {
        self.rules.get(index as usize)
    }

    /// Packets that the rule decides are logged.
    pub fn logs(&self, index: u32) -> bool {
        self.rule(index).is_some_and(|acl| acl.log.is_some())
    }

    /// Counts a decision: for each new connection, and for each packet that opens none.
    pub fn count(&self, decision: Decision) {
        let rule = decision.acl.map(|acl| self.rules.get(acl as usize));
        match rule {
            Some(Some(rule)) => rule.hits.add(),
            Some(None) => {}
            None => self.unmatched.add(),
        }
    }

    fn decision(
        &self,
        direction: AclDirection,
        packet: &Packet<'_>,
        acl: Option<u32>,
        verdict: AclVerdict,
        may_track: bool,
    ) -> Decision {
        let tracked = may_track
            && self.stateful
            && verdict == AclVerdict::Allow
            && packet.headers.ip().is_some()
            && !self.is_stateless(direction, packet);
        Decision {
            acl,
            verdict,
            tracked,
        }
    }

    /// OVN asks before connections are looked up, and before load balancing, whose rules are asked with the others.
    fn is_stateless(&self, direction: AclDirection, packet: &Packet<'_>) -> bool {
        match direction {
            AclDirection::ToLport => self.to_lport.is_stateless(packet),
            AclDirection::FromLport | AclDirection::FromLportAfterLb => {
                self.from_lport.is_stateless(packet)
                    || self.from_lport_after_lb.is_stateless(packet)
            }
        }
    }
}
