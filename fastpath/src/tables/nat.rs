//! The address translation of a router, as packets look it up.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::balancer::Hits;
use crate::connections::key::is_by_address;

/// The NAT rules of a router.
#[derive(Debug, Default, PartialEq)]
pub struct Nat {
    /// Rules that translate sources: longest logical prefix first, a floating IP before others of its prefix.
    snat: Vec<Snat>,
    /// Those of single addresses.
    hosts: HashMap<IpAddr, Range<usize>>,
    /// Where those of networks begin.
    networks: usize,
    /// Rules that translate destinations, by external address.
    dnat: HashMap<IpAddr, Dnat>,
    /// Some rule for IPv4, for IPv6, is not stateless.
    keeps_state: [bool; 2],
    /// Some are of IPv6.
    v6: bool,
}

/// A rule that translates sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snat {
    /// Sources it translates.
    pub logical: IpNet,
    /// What they become.
    pub external: IpAddr,
    /// Only packets leaving by this port; `None`: by any port but the one they came in by.
    pub port: Option<u16>,
    /// What it is part of.
    pub kind: SnatKind,
    /// How it chooses source ports; `None`: any, for each remote end anew.
    pub ports: Option<PortRule>,
    /// Destinations it is for.
    pub remotes: Remotes,
    /// New connections that it translated; those of a floating IP's two halves are counted together.
    pub hits: Arc<Hits>,
}

/// How a rule chooses source ports, where it is choosy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRule {
    /// First and last; `None`: all.
    pub range: Option<(u16, u16)>,
    /// Even ports become even ones, odd ones odd ones.
    pub parity: bool,
    /// One port for all remote ends; who may send to it.
    pub mapping: Option<Filtering>,
}

/// Who outside may send to a mapped port (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// Everybody.
    EndpointIndependent,
    /// Addresses that were sent to.
    AddressDependent,
    /// Ends that were sent to: those of the connections that there are.
    AddressAndPortDependent,
}

/// What a rule that translates sources is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnatKind {
    /// A rule of type snat: addresses share the external one, so ports change.
    Snat,
    /// A floating IP: ports stay.
    Floating,
    /// A stateless floating IP: nothing is remembered.
    Stateless,
}

/// A rule that translates the destination of packets to its external address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnat {
    /// The address outside.
    pub external: IpAddr,
    /// The address inside.
    pub logical: IpAddr,
    /// The gateway port that it acts at; `None`: all ports.
    pub port: Option<u16>,
    /// What it is part of.
    pub kind: DnatKind,
    /// Sources it is for.
    pub remotes: Remotes,
    /// New connections that it translated.
    pub hits: Arc<Hits>,
}

/// What a rule that translates destinations is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnatKind {
    /// A rule of type dnat.
    Dnat,
    /// A floating IP.
    Floating,
    /// A stateless floating IP: nothing is remembered.
    Stateless,
}

/// The addresses at the other end for which a rule is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Remotes {
    /// All.
    #[default]
    All,
    /// These; for others the next rule decides (OVN's allowed_ext_ips).
    Allowed(Vec<IpNet>),
    /// All but these, which are not translated at all (OVN's exempted_ext_ips).
    Exempted(Vec<IpNet>),
}

/// What a rule says of an address at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Translate,
    Leave,
    Nothing,
}

impl Remotes {
    fn says(&self, remote: IpAddr) -> Says {
        let holds = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&remote));
        match self {
            Remotes::All => Says::Translate,
            Remotes::Allowed(nets) if holds(nets) => Says::Translate,
            Remotes::Allowed(_) => Says::Nothing,
            Remotes::Exempted(nets) if holds(nets) => Says::Leave,
            Remotes::Exempted(_) => Says::Translate,
        }
    }
}

impl Snat {
    /// Every packet opens a connection, with any port: what the cached ways of first packets know of.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.kind == SnatKind::Snat && self.ports.is_none()
    }

    /// The ports it chooses from, both inclusive; `None`: all.
    pub fn range(&self) -> Option<(u16, u16)> {
        self.ports?.range
    }

    /// It translates what goes to this address.
    pub fn is_for(&self, remote: IpAddr) -> bool {
        self.remotes.says(remote) == Says::Translate
    }

    /// It gives a source one port for all remote ends; who may send to that.
    pub fn mapping(&self) -> Option<Filtering> {
        self.ports?.mapping
    }

    /// It does so for sources of this protocol: those without ports are told apart by their remote ends alone.
    pub fn maps(&self, proto: u8) -> bool {
        self.mapping().is_some() && !is_by_address(proto)
    }

    /// `port` may stand for the source port `original`.
    pub fn keeps_parity(&self, original: u16, port: u16) -> bool {
        let parity = self.ports.is_some_and(|ports| ports.parity);
        !parity || (original ^ port) & 1 == 0
    }

    /// Its logical address is a single one.
    pub fn is_of_host(&self) -> bool {
        self.logical.prefix_len() == self.logical.max_prefix_len()
    }
}

impl Nat {
    /// The rules of a router, in any order. Of several for one external address the first in order of logical
    /// addresses translates destinations (`check` lets no such pass).
    pub fn new(mut snat: Vec<Snat>, mut dnat: Vec<Dnat>) -> Self {
        snat.sort_by_key(|rule| {
            (
                !rule.is_of_host(),
                std::cmp::Reverse(rule.logical.prefix_len()),
                rule.logical,
                rule.kind == SnatKind::Snat,
                rule.external,
                rule.port,
            )
        });
        snat.dedup();
        let networks = snat.partition_point(Snat::is_of_host);
        let mut hosts: HashMap<IpAddr, Range<usize>> = HashMap::new();
        for (index, rule) in snat.iter().take(networks).enumerate() {
            let range = hosts.entry(rule.logical.addr()).or_insert(index..index);
            range.end = index + 1;
        }
        let keeps_state = [false, true].map(|v6| {
            let source =
                |rule: &Snat| rule.external.is_ipv6() == v6 && rule.kind != SnatKind::Stateless;
            let destination =
                |rule: &Dnat| rule.external.is_ipv6() == v6 && rule.kind != DnatKind::Stateless;
            snat.iter().any(source) || dnat.iter().any(destination)
        });
        dnat.sort_by_key(|rule| std::cmp::Reverse((rule.external, rule.logical)));
        let dnat = dnat.into_iter().map(|rule| (rule.external, rule));
        let dnat: HashMap<IpAddr, Dnat> = dnat.collect();
        let v6 = snat.iter().map(|rule| rule.external);
        let v6 = v6.chain(dnat.keys().copied()).any(|ip| ip.is_ipv6());
        Nat {
            snat,
            hosts,
            networks,
            dnat,
            v6,
            keeps_state,
        }
    }

    /// There is no rule.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.snat.is_empty() && self.dnat.is_empty()
    }

    /// Some rule for IPv6, or for IPv4, remembers connections, so that ports matter.
    #[inline]
    pub fn keeps_state(&self, v6: bool) -> bool {
        self.keeps_state[usize::from(v6)]
    }

    /// Some rules are of IPv6.
    pub fn has_v6(&self) -> bool {
        self.v6
    }

    /// Some rule translates destinations.
    #[inline]
    pub fn has_destinations(&self) -> bool {
        !self.dnat.is_empty()
    }

    /// The rules that translate sources, in the order in which they are asked.
    pub fn snat(&self) -> &[Snat] {
        &self.snat
    }

    /// The rules that translate destinations, by external address.
    pub fn dnat(&self) -> impl Iterator<Item = &Dnat> {
        let mut rules: Vec<&Dnat> = self.dnat.values().collect();
        rules.sort_unstable_by_key(|rule| rule.external);
        rules.into_iter()
    }

    /// Rules with this source in their logical address, the most specific first, each with its index.
    #[inline]
    fn of_source(&self, src: IpAddr) -> impl Iterator<Item = (usize, &Snat)> {
        let hosts = match self.hosts.is_empty() {
            true => 0..0,
            false => self.hosts.get(&src).cloned().unwrap_or(0..0),
        };
        let first = hosts.start;
        let hosts = self.snat.get(hosts).unwrap_or_default();
        let networks = self.snat.get(self.networks..).unwrap_or_default();
        let networks = (self.networks..).zip(networks);
        (first..)
            .zip(hosts)
            .chain(networks)
            .filter(move |(_, rule)| rule.logical.contains(&src))
    }

    #[inline]
    fn first<'n>(
        remote: IpAddr,
        mut rules: impl Iterator<Item = (usize, &'n Snat)>,
    ) -> Option<(usize, &'n Snat)> {
        let (index, rule, says) = rules.find_map(|(index, rule)| {
            let says = rule.remotes.says(remote);
            (says != Says::Nothing).then_some((index, rule, says))
        })?;
        (says == Says::Translate).then_some((index, rule))
    }

    /// The rule for a source that talks to `remote`, came in by `in_port` and leaves by `out`.
    #[inline]
    pub fn source_rule(
        &self,
        src: IpAddr,
        remote: IpAddr,
        in_port: Option<u16>,
        out: u16,
    ) -> Option<(usize, &Snat)> {
        let leaves = |rule: &Snat| rule.port.map_or(in_port != Some(out), |port| port == out);
        let rules = self.of_source(src);
        Self::first(remote, rules.filter(|(_, rule)| leaves(rule)))
    }

    /// The rule for a source whose packet goes back inside, its destination having been translated: it would
    /// have left by the rule's port, so it did not come in by it.
    pub fn turning_rule(
        &self,
        src: IpAddr,
        remote: IpAddr,
        in_port: Option<u16>,
    ) -> Option<(usize, &Snat)> {
        let turns = |rule: &Snat| rule.port.is_none_or(|port| in_port != Some(port));
        let rules = self.of_source(src);
        Self::first(remote, rules.filter(|(_, rule)| turns(rule)))
    }

    /// Some rule makes `external` of this source of a protocol, and one port for all remote ends if `mapped`.
    pub fn has_source(&self, src: IpAddr, external: IpAddr, proto: u8, mapped: bool) -> bool {
        self.of_source(src)
            .any(|(_, rule)| rule.external == external && rule.maps(proto) == mapped)
    }

    /// The rule that gives this source a port of `external` for all remote ends, and who may send to that.
    pub fn mapping_rule(&self, src: IpAddr, external: IpAddr) -> Option<(&Snat, Filtering)> {
        self.of_source(src).find_map(|(_, rule)| {
            let mapping = rule.mapping().filter(|_| rule.external == external)?;
            Some((rule, mapping))
        })
    }

    /// The rule that translates packets to `external`, whoever they are from.
    pub fn destination(&self, external: IpAddr) -> Option<&Dnat> {
        self.dnat.get(&external)
    }

    /// The rule for packets to `external` from `remote` that come in by `in_port`.
    pub fn destination_rule(
        &self,
        external: IpAddr,
        remote: IpAddr,
        in_port: u16,
    ) -> Option<&Dnat> {
        self.dnat
            .get(&external)
            .filter(|rule| rule.port.is_none_or(|port| port == in_port))
            .filter(|rule| rule.remotes.says(remote) == Says::Translate)
    }

    /// A rule that makes `logical` of `external` stands. It may be stateless: a connection translates by it when its source
    /// is translated too.
    pub fn has_destination(&self, external: IpAddr, logical: IpAddr) -> bool {
        self.dnat
            .get(&external)
            .is_some_and(|rule| rule.logical == logical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn snat(logical: &str, external: &str, kind: SnatKind) -> Snat {
        Snat {
            logical: logical.parse().unwrap(),
            external: ip(external),
            port: Some(1),
            kind,
            ports: None,
            remotes: Remotes::All,
            hits: Arc::default(),
        }
    }

    fn externals(nat: &Nat, src: &str) -> Option<String> {
        let rule = nat.source_rule(ip(src), ip("8.8.8.8"), Some(0), 1);
        rule.map(|(index, rule)| {
            assert_eq!(nat.snat().get(index), Some(rule));
            rule.external.to_string()
        })
    }

    #[test]
    fn the_most_specific_rule_wins_and_a_floating_ip_before_its_like() {
        let nat = Nat::new(
            vec![
                snat("10.0.0.0/8", "203.0.113.1", SnatKind::Snat),
                snat("10.0.0.5/32", "203.0.113.2", SnatKind::Snat),
                snat("10.0.0.5/32", "203.0.113.9", SnatKind::Floating),
                snat("10.0.0.6/32", "203.0.113.3", SnatKind::Snat),
                snat("10.0.0.0/24", "203.0.113.4", SnatKind::Snat),
            ],
            vec![],
        );
        for (src, external) in [
            ("10.0.0.5", Some("203.0.113.9")),
            ("10.0.0.6", Some("203.0.113.3")),
            ("10.0.0.7", Some("203.0.113.4")),
            ("10.1.0.7", Some("203.0.113.1")),
            ("11.0.0.1", None),
        ] {
            assert_eq!(externals(&nat, src).as_deref(), external, "{src}");
        }
        assert!(nat.has_source(ip("10.0.0.5"), ip("203.0.113.1"), 17, false));
        assert!(!nat.has_source(ip("10.0.0.7"), ip("203.0.113.9"), 17, false));
    }

    #[test]
    fn allowed_leaves_to_the_next_rule_and_exempted_to_none() {
        let only = |nets: &str| vec![nets.parse().unwrap()];
        let mut first = snat("10.0.0.5/32", "203.0.113.2", SnatKind::Snat);
        let wide = snat("10.0.0.0/8", "203.0.113.1", SnatKind::Snat);
        first.remotes = Remotes::Allowed(only("9.9.9.0/24"));
        let nat = Nat::new(vec![first.clone(), wide.clone()], vec![]);
        assert_eq!(externals(&nat, "10.0.0.5").as_deref(), Some("203.0.113.1"));
        first.remotes = Remotes::Exempted(only("8.8.8.0/24"));
        let nat = Nat::new(vec![first, wide], vec![]);
        assert_eq!(externals(&nat, "10.0.0.5"), None);
        assert_eq!(externals(&nat, "10.0.0.6").as_deref(), Some("203.0.113.1"));
    }

    #[test]
    fn a_packet_turns_only_where_it_did_not_come_from() {
        let nat = Nat::new(
            vec![snat("10.0.0.0/8", "203.0.113.1", SnatKind::Snat)],
            vec![],
        );
        let turning = |in_port| nat.turning_rule(ip("10.0.0.5"), ip("10.0.0.6"), in_port);
        assert!(turning(Some(0)).is_some() && turning(Some(1)).is_none());
        assert!(
            nat.source_rule(ip("10.0.0.5"), ip("10.0.0.6"), Some(1), 0)
                .is_none()
        );
    }

    #[test]
    fn destinations_by_port_and_remote() {
        let rule = Dnat {
            external: ip("203.0.113.5"),
            logical: ip("10.0.0.5"),
            port: Some(1),
            kind: DnatKind::Floating,
            remotes: Remotes::Exempted(vec!["9.9.9.0/24".parse().unwrap()]),
            hits: Arc::default(),
        };
        let nat = Nat::new(vec![], vec![rule]);
        let found = |remote, port| {
            nat.destination_rule(ip("203.0.113.5"), ip(remote), port)
                .is_some()
        };
        assert!(found("8.8.8.8", 1));
        assert!(!found("8.8.8.8", 0) && !found("9.9.9.9", 1));
        assert!(nat.has_destination(ip("203.0.113.5"), ip("10.0.0.5")));
        assert!(!nat.has_destination(ip("203.0.113.5"), ip("10.0.0.6")));
    }
}
