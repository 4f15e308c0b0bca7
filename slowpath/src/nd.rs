//! Neighbor discovery for Ethernet (RFC 4861 section 7). The parser has already refused invalid messages
//! (sections 7.1.1 and 7.1.2).

use std::net::Ipv6Addr;

use sluice_net::addr::{mac_for_ipv6_multicast, solicited_node};
use sluice_net::wire::nd::{FLAG_OVERRIDE, FLAG_ROUTER, FLAG_SOLICITED};
use sluice_net::{Builder, Ip, L4, Mac};

use crate::discovery::{Message, Question, is_station};
use crate::neighbor::Heard;

/// All nodes on the link, RFC 4291 section 2.7.1.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Reads a solicitation or advertisement that came from the station `eth_src`.
#[must_use]
pub fn read(eth_src: Mac, ip: &Ip) -> Option<Message> {
    match ip.l4 {
        L4::NeighborSolicit { target, source_mac } => {
            let reply_to = source_mac.unwrap_or(eth_src);
            is_station(reply_to).then_some(Message::Question(Question {
                target: target.into(),
                asker: (!ip.src.is_unspecified()).then_some(ip.src),
                asker_mac: source_mac,
                reply_to,
            }))
        }
        L4::NeighborAdvert {
            target,
            target_mac,
            flags,
        } => Some(Message::Answer {
            ip: target.into(),
            heard: Heard::Advert {
                mac: target_mac.filter(|mac| is_station(*mac)),
                solicited: flags & FLAG_SOLICITED != 0,
                replace: flags & FLAG_OVERRIDE != 0,
            },
        }),
        _ => None,
    }
}

/// A solicitation of `mac`, which has `ip`, for `target`: to its solicited-node group, or to the station `to`
/// (RFC 4861 sections 7.2.2 and 7.3.3).
#[must_use]
pub fn solicit(mac: Mac, ip: Ipv6Addr, target: Ipv6Addr, to: Option<Mac>) -> Vec<u8> {
    let (eth_dst, dst) = match to {
        Some(station) => (station, target),
        None => {
            let group = solicited_node(target);
            (mac_for_ipv6_multicast(group), group)
        }
    };
    Builder::ethernet(mac, eth_dst)
        .ipv6(ip, dst)
        .neighbor_solicit(target, Some(mac))
        .build()
}

/// An advertisement that `mac` has `target`: solicited by the station `to`, or to all nodes
/// (RFC 4861 sections 7.2.4 and 7.2.6).
#[must_use]
pub fn advert(mac: Mac, target: Ipv6Addr, to: Option<(Mac, Ipv6Addr)>, router: bool) -> Vec<u8> {
    let (eth_dst, dst, solicited) = match to {
        Some((station, address)) => (station, address, FLAG_SOLICITED),
        None => (mac_for_ipv6_multicast(ALL_NODES), ALL_NODES, 0),
    };
    let flags = FLAG_OVERRIDE | solicited | if router { FLAG_ROUTER } else { 0 };
    Builder::ethernet(mac, eth_dst)
        .ipv6(target, dst)
        .neighbor_advert(target, Some(mac), flags)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery;
    use sluice_net::parse;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn a_solicitation_goes_to_the_group_or_the_station() {
        let headers = parse(&solicit(MAC, ip("2001:db8::1"), ip("2001:db8::a:b"), None)).unwrap();
        assert_eq!(headers.eth_dst, Mac([0x33, 0x33, 0xff, 0x0a, 0, 0x0b]));
        let packet = headers.ip().unwrap();
        assert_eq!(packet.dst, ip("ff02::1:ff0a:b"));
        assert_eq!(packet.ttl, 255);
        assert_eq!(
            packet.l4,
            L4::NeighborSolicit {
                target: ip("2001:db8::a:b"),
                source_mac: Some(MAC)
            }
        );

        let headers = parse(&solicit(
            MAC,
            ip("2001:db8::1"),
            ip("2001:db8::2"),
            Some(PEER),
        ))
        .unwrap();
        assert_eq!(headers.eth_dst, PEER);
        assert_eq!(
            headers.ip().map(|ip| ip.dst),
            Some(ip("2001:db8::2").into())
        );
    }

    #[test]
    fn a_question_is_answered_to_the_asker() {
        let frame = solicit(MAC, ip("2001:db8::1"), ip("2001:db8::2"), None);
        let Some(Message::Question(question)) = discovery::read(&parse(&frame).unwrap()) else {
            panic!("no question")
        };
        let headers = parse(&discovery::answer(&question, PEER, true).unwrap()).unwrap();
        assert_eq!((headers.eth_src, headers.eth_dst), (PEER, MAC));
        let packet = headers.ip().unwrap();
        assert_eq!(
            (packet.src, packet.dst),
            (ip("2001:db8::2").into(), ip("2001:db8::1").into())
        );
        let flags = FLAG_ROUTER | FLAG_SOLICITED | FLAG_OVERRIDE;
        let expected = L4::NeighborAdvert {
            target: ip("2001:db8::2"),
            target_mac: Some(PEER),
            flags,
        };
        assert_eq!(packet.l4, expected);
    }

    /// RFC 4861 section 7.2.4: the answer to a probe for duplicates goes to all nodes, not solicited.
    #[test]
    fn duplicate_detection_is_answered_to_all_nodes() {
        let target = ip("2001:db8::2");
        let group = solicited_node(target);
        let frame = Builder::ethernet(MAC, mac_for_ipv6_multicast(group))
            .ipv6(Ipv6Addr::UNSPECIFIED, group)
            .neighbor_solicit(target, None)
            .build();
        let message = discovery::read(&parse(&frame).unwrap()).unwrap();
        assert_eq!(message.lesson(), None);
        let Message::Question(question) = message else {
            panic!("no question")
        };
        let headers = parse(&discovery::answer(&question, PEER, false).unwrap()).unwrap();
        assert_eq!(headers.eth_dst, Mac([0x33, 0x33, 0, 0, 0, 1]));
        let packet = headers.ip().unwrap();
        assert_eq!(packet.dst, ALL_NODES);
        assert_eq!(
            packet.l4,
            L4::NeighborAdvert {
                target,
                target_mac: Some(PEER),
                flags: FLAG_OVERRIDE
            }
        );
    }

    #[test]
    fn flags_of_an_advertisement_are_told_apart() {
        for (flags, solicited, replace) in [
            (0, false, false),
            (FLAG_SOLICITED, true, false),
            (FLAG_OVERRIDE | FLAG_ROUTER, false, true),
        ] {
            let frame = Builder::ethernet(MAC, PEER)
                .ipv6(ip("2001:db8::1"), ip("2001:db8::2"))
                .neighbor_advert(ip("2001:db8::1"), Some(MAC), flags)
                .build();
            let heard = Heard::Advert {
                mac: Some(MAC),
                solicited,
                replace,
            };
            let expected = Message::Answer {
                ip: ip("2001:db8::1").into(),
                heard,
            };
            assert_eq!(discovery::read(&parse(&frame).unwrap()), Some(expected));
        }
    }

    #[test]
    fn a_solicitation_without_option_is_answered_but_teaches_nothing() {
        let frame = Builder::ethernet(MAC, PEER)
            .ipv6(ip("fe80::1"), ip("fe80::2"))
            .neighbor_solicit(ip("fe80::2"), None)
            .build();
        let message = discovery::read(&parse(&frame).unwrap()).unwrap();
        assert_eq!(message.lesson(), None);
        let Message::Question(question) = message else {
            panic!("no question")
        };
        assert_eq!(question.reply_to, MAC);
    }
}
