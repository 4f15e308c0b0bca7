//! ARP for IPv4 over Ethernet (RFC 826), probes and announcements (RFC 5227).

use std::net::Ipv4Addr;

use sluice_net::wire::arp::{REPLY, REQUEST};
use sluice_net::{Arp, Builder, Mac};

use crate::discovery::{Message, Question, is_station};
use crate::neighbor::Heard;

/// Reads an ARP packet. `None` for operations that are not known and senders that are no station.
#[must_use]
pub fn read(packet: &Arp) -> Option<Message> {
    if !is_station(packet.sender_mac)
        || packet.sender_ip.is_multicast()
        || packet.sender_ip.is_broadcast()
    {
        return None;
    }
    let sender = (!packet.sender_ip.is_unspecified()).then_some(packet.sender_ip.into());
    match packet.op {
        REQUEST => Some(Message::Question(Question {
            target: packet.target_ip.into(),
            asker: sender,
            asker_mac: Some(packet.sender_mac),
            reply_to: packet.sender_mac,
        })),
        REPLY => Some(Message::Answer {
            ip: sender?,
            heard: Heard::Reply {
                mac: packet.sender_mac,
            },
        }),
        _ => None,
    }
}

/// A request of `mac`, which has `ip`, for `target`. With target and sender alike it is an announcement.
#[must_use]
pub fn request(mac: Mac, ip: Ipv4Addr, target: Ipv4Addr, to: Option<Mac>) -> Vec<u8> {
    Builder::ethernet(mac, to.unwrap_or(Mac::BROADCAST))
        .arp_request(ip, target)
        .build()
}

/// The reply that `mac` has `ip`, to the station that asked.
#[must_use]
pub fn reply(mac: Mac, ip: Ipv4Addr, to: Mac, asker: Ipv4Addr) -> Vec<u8> {
    Builder::ethernet(mac, to).arp_reply(ip, asker).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery;
    use sluice_net::parse;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const PEER: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const TARGET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn packet(op: u16, mac: Mac, ip: Ipv4Addr) -> Arp {
        Arp {
            op,
            sender_mac: mac,
            sender_ip: ip,
            target_mac: Mac::ZERO,
            target_ip: TARGET,
        }
    }

    #[test]
    fn reads_what_is_said() {
        let question = |asker: Option<Ipv4Addr>| {
            Some(Message::Question(Question {
                target: TARGET.into(),
                asker: asker.map(Into::into),
                asker_mac: Some(MAC),
                reply_to: MAC,
            }))
        };
        let answer = Some(Message::Answer {
            ip: IP.into(),
            heard: Heard::Reply { mac: MAC },
        });
        let cases = [
            ("request", packet(1, MAC, IP), question(Some(IP))),
            (
                "probe",
                packet(1, MAC, Ipv4Addr::UNSPECIFIED),
                question(None),
            ),
            ("reply", packet(2, MAC, IP), answer),
            (
                "reply of nobody",
                packet(2, MAC, Ipv4Addr::UNSPECIFIED),
                None,
            ),
            ("reverse request", packet(3, MAC, IP), None),
            (
                "group as sender",
                packet(1, Mac([1, 0, 0x5e, 0, 0, 1]), IP),
                None,
            ),
            ("zero as sender", packet(2, Mac::ZERO, IP), None),
            (
                "multicast address",
                packet(1, MAC, Ipv4Addr::new(224, 0, 0, 1)),
                None,
            ),
            (
                "broadcast address",
                packet(2, MAC, Ipv4Addr::BROADCAST),
                None,
            ),
        ];
        for (name, packet, expected) in cases {
            assert_eq!(read(&packet), expected, "{name}");
        }
    }

    #[test]
    fn a_probe_teaches_nothing() {
        assert_eq!(
            read(&packet(1, MAC, Ipv4Addr::UNSPECIFIED)).and_then(|m| m.lesson()),
            None
        );
        let lesson = read(&packet(1, MAC, IP)).and_then(|m| m.lesson());
        assert_eq!(lesson, Some((IP.into(), Heard::Request { mac: MAC })));
    }

    #[test]
    fn request_and_reply_on_the_wire() {
        let frame = request(MAC, IP, TARGET, None);
        let expected: [u8; 42] = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
        ];
        assert_eq!(frame.get(..42), Some(expected.as_slice()));
        let headers = parse(&request(MAC, IP, TARGET, Some(PEER))).unwrap();
        assert_eq!(headers.eth_dst, PEER);

        let Some(Message::Question(question)) = discovery::read(&parse(&frame).unwrap()) else {
            panic!("no question")
        };
        let reply = parse(&discovery::answer(&question, PEER, false).unwrap()).unwrap();
        assert_eq!((reply.eth_src, reply.eth_dst), (PEER, MAC));
        let expected = Arp {
            op: 2,
            sender_mac: PEER,
            sender_ip: TARGET,
            target_mac: MAC,
            target_ip: IP,
        };
        assert_eq!(reply.arp(), Some(&expected));
    }

    #[test]
    fn a_probe_is_answered_to_the_prober() {
        let Some(Message::Question(question)) = read(&packet(1, MAC, Ipv4Addr::UNSPECIFIED)) else {
            panic!("no question")
        };
        let reply = parse(&discovery::answer(&question, PEER, false).unwrap()).unwrap();
        assert_eq!(reply.eth_dst, MAC);
        assert_eq!(
            reply.arp().map(|arp| arp.target_ip),
            Some(Ipv4Addr::UNSPECIFIED)
        );
    }

    #[test]
    fn an_announcement_is_a_broadcast_request_for_oneself() {
        let station = discovery::Station {
            mac: MAC,
            ip: IP.into(),
        };
        let headers = parse(&discovery::announcement(station, true)).unwrap();
        assert_eq!(headers.eth_dst, Mac::BROADCAST);
        let expected = Arp {
            op: 1,
            sender_mac: MAC,
            sender_ip: IP,
            target_mac: Mac::ZERO,
            target_ip: IP,
        };
        assert_eq!(headers.arp(), Some(&expected));
    }
}
