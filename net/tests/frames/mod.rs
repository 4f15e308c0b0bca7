//! Addresses and frames that the tests of this crate share.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_net::builder::Echo;
use sluice_net::checksum::checksum;
use sluice_net::wire::geneve::OvnOption;
use sluice_net::wire::{icmpv4, icmpv6, ip_proto, nd, tcp};
use sluice_net::{Builder, Mac, Vni};

pub const MAC_A: Mac = Mac([0x02, 0xac, 0x10, 0xff, 0x00, 0x10]);
pub const MAC_B: Mac = Mac([0x02, 0, 0, 0, 0x06, 0x01]);
pub const IP_A: Ipv4Addr = Ipv4Addr::new(172, 18, 100, 10);
pub const IP_B: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);
pub const IP6_A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x10);
pub const IP6_B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0x8888, 0x8888);
/// Where IP begins in a frame without tag.
pub const L3: usize = 14;

pub fn ether() -> Builder {
    Builder::ethernet(MAC_A, MAC_B)
}

pub fn v4() -> Builder {
    ether().ipv4(IP_A, IP_B)
}

pub fn v6() -> Builder {
    ether().ipv6(IP6_A, IP6_B)
}

pub fn both() -> [(IpAddr, IpAddr); 2] {
    [(IP_A.into(), IP_B.into()), (IP6_A.into(), IP6_B.into())]
}

/// The IP packet without its Ethernet header, as an ICMP error quotes it.
pub fn quote(frame: &[u8]) -> &[u8] {
    &frame[L3..]
}

/// Writes a 16-bit field of an IPv4 header and mends the header checksum.
pub fn set_ipv4_u16(frame: &mut [u8], at: usize, value: u16) {
    frame[L3 + at..L3 + at + 2].copy_from_slice(&value.to_be_bytes());
    mend_ipv4(frame);
}

/// Mends the checksum of an untagged IPv4 header of whatever length it claims.
pub fn mend_ipv4(frame: &mut [u8]) {
    let len = usize::from(frame.get(L3).copied().unwrap_or(0) & 15) * 4;
    if let Some(header) = frame.get_mut(L3..L3 + len)
        && len >= 20
    {
        header[10..12].fill(0);
        let sum = checksum(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// One good frame of every kind the parser knows.
pub fn every_kind() -> Vec<Vec<u8>> {
    let about = v4().udp(1000, 2000).payload(&[7; 30]).build();
    let about6 = v6().tcp(1000, 2000, tcp::SYN).build();
    let builders = [
        ether().payload(&[1; 50]),
        Builder::ethernet(MAC_A, Mac::BROADCAST).arp_request(IP_A, IP_B),
        ether().vlan(0x2064).arp_reply(IP_A, IP_B),
        v4().tcp(40000, 80, tcp::SYN | tcp::ACK).payload(b"x"),
        v4().vlan(100).udp(40000, 53).payload(&[3; 9]),
        v4().sctp(1, 2),
        v4().ip_options(&[7, 7, 4, 0, 0, 0, 0])
            .icmp_echo(Echo::Request, 9, 1),
        v4().icmp(icmpv4::TIME_EXCEEDED, 0, [0; 4])
            .payload(quote(&about)),
        v4().protocol(ip_proto::UDP)
            .fragment(1480, true)
            .ip_id(77)
            .payload(&[0; 64]),
        v4().udp(1, 2).fragment(0, true).ip_id(77).payload(&[0; 64]),
        v6().tcp(40000, 80, tcp::FIN).payload(b"x"),
        v6().udp(40000, 53),
        v6().icmp_echo(Echo::Reply, 9, 1).payload(&[0; 56]),
        v6().icmp(icmpv6::PACKET_TOO_BIG, 0, [0, 0, 5, 0])
            .payload(quote(&about6)),
        v6().extension(ip_proto::HOP_BY_HOP, &[5, 2, 0, 0])
            .extension(ip_proto::DESTINATION_OPTIONS, &[1; 20])
            .udp(1, 2)
            .fragment(0, true),
        v6().protocol(ip_proto::UDP)
            .fragment(1448, false)
            .ip_id(1 << 20)
            .payload(&[5; 100]),
        v6().neighbor_solicit(IP6_B, Some(MAC_A)),
        v6().neighbor_advert(IP6_A, Some(MAC_A), nd::FLAG_SOLICITED | nd::FLAG_OVERRIDE),
        v4().udp(5, 6).encap_geneve(
            v4(),
            Vni::new(4).unwrap(),
            Some(OvnOption {
                in_key: 1,
                out_key: 4,
            }),
        ),
        v6().udp(5, 6).encap_vxlan(v6(), Vni::new(99).unwrap()),
    ];
    builders.iter().map(Builder::build).collect()
}
