use std::net::{IpAddr, Ipv4Addr};

use sluice_net::builder::Echo;
use sluice_net::wire::{icmpv4, icmpv6};
use sluice_net::{Mac, parse};

use super::*;

const HOST: Mac = Mac([2, 0, 0, 0, 0, 1]);
const SERVER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn v4() -> Builder {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    Builder::ethernet(HOST, SERVER).ip(address(1), address(2))
}

fn v6() -> Builder {
    Builder::ethernet(HOST, SERVER).ip("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn told(packet: Builder) -> Result<Vec<u8>, Silence> {
    let frame = packet.build();
    refusal(&frame, &parse(&frame).unwrap())
}

/// The answer goes back with all addresses exchanged; its TCP header.
fn reset_of(packet: Builder) -> (u8, u32, u32) {
    let answer = told(packet).unwrap();
    let headers = parse(&answer).unwrap();
    assert_eq!((headers.eth_src, headers.eth_dst), (SERVER, HOST));
    let ip = headers.ip().unwrap();
    let L4::Tcp { src, dst, flags } = ip.l4 else {
        panic!("{ip:?}");
    };
    assert_eq!((src, dst), (80, 4000));
    let header = TcpHeader::ref_from_prefix(&answer[usize::from(ip.l4_offset)..])
        .unwrap()
        .0;
    (flags, header.seq.get(), header.ack.get())
}

#[test]
fn resets_have_the_numbers_of_the_standard() {
    let segment = |packet: Builder, flags, len| {
        packet
            .tcp(4000, 80, flags)
            .tcp_state(1000, 7000, 100)
            .payload(&[9; 20][..len])
    };
    let both = tcp::RST | tcp::ACK;
    for packet in [v4, v6] {
        let cases = [
            (tcp::SYN, 0, (both, 0, 1001)),
            (tcp::SYN, 20, (both, 0, 1021)),
            (tcp::FIN, 5, (both, 0, 1006)),
            (tcp::ACK, 5, (tcp::RST, 7000, 0)),
            (tcp::SYN | tcp::ACK, 0, (tcp::RST, 7000, 0)),
        ];
        for (flags, len, expected) in cases {
            assert_eq!(reset_of(segment(packet(), flags, len)), expected, "{flags}");
        }
        let reset = told(segment(packet(), tcp::RST, 0));
        assert_eq!(reset, Err(Silence::AboutError));
    }
}

#[test]
fn others_are_unreachable_as_ovn_tells_it() {
    let unreachable = |packet: Builder| {
        let answer = told(packet).unwrap();
        let headers = parse(&answer).unwrap();
        let at = usize::from(headers.ip().unwrap().l4_offset);
        (answer[at], answer[at + 1])
    };
    let v4_host = (icmpv4::UNREACHABLE, icmpv4::CODE_HOST_UNREACHABLE);
    assert_eq!(
        unreachable(v4().udp(1, 2)),
        (icmpv4::UNREACHABLE, icmpv4::CODE_PORT_UNREACHABLE)
    );
    assert_eq!(unreachable(v4().icmp_echo(Echo::Request, 1, 1)), v4_host);
    assert_eq!(unreachable(v4().protocol(47).payload(&[0; 8])), v4_host);
    assert_eq!(
        unreachable(v6().udp(1, 2)),
        (icmpv6::UNREACHABLE, icmpv6::CODE_PORT_UNREACHABLE)
    );
    assert_eq!(
        unreachable(v6().icmp_echo(Echo::Request, 1, 1)),
        (icmpv6::UNREACHABLE, icmpv6::CODE_PROHIBITED)
    );
}

#[test]
fn associations_are_aborted_with_the_tag_that_the_sender_knows() {
    // An initiation asks for its tag; all else has it.
    let init = [&[SCTP_INIT, 0, 0, 20][..], &[1, 2, 3, 4], &[0; 12]].concat();
    let data = [0, 3, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let cases = [(&init[..], 0x0102_0304, 0), (&data[..], 0, SCTP_REFLECTED)];
    for (chunks, tag, flags) in cases {
        let answer = told(v4().sctp(4000, 80).payload(chunks)).unwrap();
        let headers = parse(&answer).unwrap();
        let ip = headers.ip().unwrap();
        assert!(matches!(ip.l4, L4::Sctp { src: 80, dst: 4000 }));
        let mut packet = upper(&answer, &headers, ip).unwrap().to_vec();
        let header = *SctpHeader::ref_from_prefix(&packet).unwrap().0;
        assert_eq!(header.tag.get(), tag);
        assert_eq!(packet[sctp::LEN..], [SCTP_ABORT, flags, 0, 4]);
        packet[sctp::CHECKSUM_OFFSET..sctp::LEN].fill(0);
        assert_eq!(header.checksum.as_bytes(), crc32c(&packet).to_le_bytes());
    }
    let abort = v4().sctp(4000, 80).payload(&[SCTP_ABORT, 0, 0, 4]);
    assert_eq!(told(abort), Err(Silence::AboutError));
}

#[test]
fn errors_and_groups_get_no_answer() {
    let error = v4()
        .icmp(icmpv4::UNREACHABLE, 1, [0; 4])
        .payload(&v4().udp(1, 2).build()[14..]);
    assert_eq!(told(error), Err(Silence::AboutError));
    let all = Builder::ethernet(HOST, Mac([0xff; 6]))
        .ip("10.0.0.1".parse().unwrap(), "10.0.0.255".parse().unwrap())
        .udp(1, 2);
    assert_eq!(told(all), Err(Silence::ToMany));
    assert_eq!(
        told(Builder::ethernet(HOST, SERVER).arp_request(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST)),
        Err(Silence::NotIp)
    );
}
