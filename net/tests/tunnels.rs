//! Geneve and VXLAN headers, and the one-line show that follows them.

mod frames;

use frames::*;
use sluice_net::builder::Echo;
use sluice_net::wire::geneve::{self, Geneve, GeneveError, OvnOption};
use sluice_net::wire::vxlan::{self, Vxlan, VxlanError};
use sluice_net::wire::{nd, tcp};
use sluice_net::{Builder, Mac, Vni, parse, show};

fn vni(value: u32) -> Vni {
    Vni::new(value).unwrap()
}

const OVN: [u8; 16] = [2, 0x40, 0x65, 0x58, 0, 0, 4, 0, 1, 2, 0x80, 1, 0, 1, 0, 4];

#[test]
fn geneve_as_chassis_write_it() {
    let mut header = [0xff; 16];
    geneve::write_ovn(&mut header, vni(4), 1, 4);
    assert_eq!(header, OVN);
    let mut plain = [0xff; 8];
    geneve::write_plain(&mut plain, vni(0));
    assert_eq!(plain, [0, 0, 0x65, 0x58, 0, 0, 0, 0]);

    let ovn = Some(OvnOption {
        in_key: 1,
        out_key: 4,
    });
    let expected = Geneve {
        vni: vni(4),
        protocol: 0x6558,
        ovn,
        header_len: 16,
    };
    assert_eq!(geneve::parse(&OVN), Ok(expected));
    assert_eq!(geneve::parse(&[&OVN[..], &[1; 60]].concat()), Ok(expected));
    let expected = Geneve {
        vni: vni(0),
        ovn: None,
        header_len: 8,
        ..expected
    };
    assert_eq!(geneve::parse(&plain), Ok(expected));

    // The reserved bit is neither written nor read.
    geneve::write_ovn(&mut header, vni(0xff_ffff), 0xffff, 0xffff);
    assert_eq!(header[12..], [0x7f, 0xff, 0xff, 0xff]);
    header[12] = 0xff;
    let parsed = geneve::parse(&header).unwrap();
    assert_eq!(
        parsed.ovn,
        Some(OvnOption {
            in_key: 0x7fff,
            out_key: 0xffff
        })
    );
    assert_eq!(parsed.vni.get(), 0xff_ffff);
}

#[test]
fn geneve_refusals() {
    let with = |at: usize, value: u8| {
        let mut header = OVN;
        header[at] = value;
        geneve::parse(&header).map(|g| g.ovn.is_some())
    };
    assert_eq!(with(0, 0x42), Err(GeneveError::Version));
    assert_eq!(with(0, 3), Err(GeneveError::Truncated));
    assert_eq!(
        with(0, 1),
        Err(GeneveError::OptionLength),
        "option beyond the options"
    );
    assert_eq!(with(1, 0xc0), Err(GeneveError::Control));
    assert_eq!(with(11, 2), Err(GeneveError::OptionLength));
    assert_eq!(
        with(11, 0),
        Err(GeneveError::OptionLength),
        "OVN's option has 4 bytes"
    );
    assert_eq!(with(11, 0xe1), Ok(true), "reserved bits are ignored");
    assert_eq!(with(10, 0x81), Err(GeneveError::UnknownCriticalOption));
    assert_eq!(with(9, 3), Err(GeneveError::UnknownCriticalOption));
    assert_eq!(with(10, 0x00), Ok(false), "unknown, not critical: skipped");
    for len in 0..OVN.len() {
        assert_eq!(
            geneve::parse(&OVN[..len]),
            Err(GeneveError::Truncated),
            "{len} bytes"
        );
    }
    // Forgetting the critical bit of the base header does not hide an option.
    let mut header = OVN;
    (header[1], header[10]) = (0, 0x81);
    assert_eq!(
        geneve::parse(&header),
        Err(GeneveError::UnknownCriticalOption)
    );
}

#[test]
fn geneve_with_several_options() {
    let base = |words: u8| [words, 0x40, 0x65, 0x58, 0, 0, 4, 0];
    let (unknown, ovn) = ([0, 9, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0], &OVN[8..]);
    let empty = [0, 9, 2, 0];
    let header = [&base(6)[..], &unknown, ovn, &empty].concat();
    let parsed = geneve::parse(&header).unwrap();
    assert_eq!(
        parsed.ovn,
        Some(OvnOption {
            in_key: 1,
            out_key: 4
        })
    );
    assert_eq!(parsed.header_len, 32);
    let twice = [&base(4)[..], ovn, ovn].concat();
    assert_eq!(geneve::parse(&twice), Err(GeneveError::OptionRepeated));
    let critical_last = [&base(3)[..], ovn, &[0, 9, 0x82, 0]].concat();
    assert_eq!(
        geneve::parse(&critical_last),
        Err(GeneveError::UnknownCriticalOption)
    );
    let most = [&base(63)[..], &empty.repeat(63)].concat();
    assert_eq!(geneve::parse(&most).map(|g| g.header_len), Ok(260));
}

#[test]
fn vxlan_header() {
    let mut header = [0xff; 8];
    vxlan::write(&mut header, vni(0x01_0203));
    assert_eq!(header, [8, 0, 0, 0, 1, 2, 3, 0]);
    assert_eq!(
        vxlan::parse(&header),
        Ok(Vxlan {
            vni: vni(0x01_0203)
        })
    );
    assert_eq!(
        vxlan::parse(&[0xff; 8]),
        Ok(Vxlan {
            vni: vni(0xff_ffff)
        })
    );
    header[0] = 0xf7;
    assert_eq!(vxlan::parse(&header), Err(VxlanError::NoVni));
    assert_eq!(vxlan::parse(&[8; 7]), Err(VxlanError::Truncated));
}

#[test]
fn encapsulated_frames_come_out_again() {
    let inner = v4().vlan(7).tcp(40000, 80, tcp::SYN);
    let frames = [
        inner.clone().encap_geneve(
            v4(),
            vni(4),
            Some(OvnOption {
                in_key: 1,
                out_key: 4,
            }),
        ),
        inner.clone().encap_geneve(v6(), vni(4), None),
        inner
            .clone()
            .encap_vxlan(v4().udp(40000, 4789).without_udp_checksum(), vni(4)),
    ];
    for (frame, header_len) in frames.iter().zip([16, 8, 8]) {
        let outer = frame.build();
        let headers = parse(&outer).unwrap();
        let ip = headers.ip().unwrap();
        let (src_port, _) = ip.ports().unwrap();
        assert!((32768..=61000).contains(&src_port));
        let at = usize::from(ip.l4_offset) + 8 + header_len;
        assert_eq!(outer[at..], inner.build());
    }
}

#[test]
fn lines() {
    let about = v4().udp(1000, 2000).build();
    let ovn = Some(OvnOption {
        in_key: 1,
        out_key: 4,
    });
    let cases = [
        (
            Builder::ethernet(MAC_A, Mac::BROADCAST).arp_request(IP_A, IP_B),
            "02:ac:10:ff:00:10 > ff:ff:ff:ff:ff:ff arp who-has 8.8.8.8 tell 172.18.100.10 \
             sender 02:ac:10:ff:00:10",
        ),
        (
            v4().vlan(0x6064)
                .tos(0xb8)
                .dont_fragment(true)
                .tcp(40000, 80, tcp::SYN | tcp::ACK),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 vlan 100 prio 3 172.18.100.10.40000 > 8.8.8.8.80 \
             tcp [S.] ttl 64 tos 0xb8 df len 40",
        ),
        (
            v6().ttl(9).icmp_echo(Echo::Request, 7, 1),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 2001:db8:0:1::10 > 2001:db8:ffff::8888:8888 \
             icmp6 echo request id 7 ttl 9 len 48",
        ),
        (
            v4().icmp(11, 0, [0; 4]).payload(quote(&about)),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 172.18.100.10 > 8.8.8.8 icmp error 11/0 about \
             172.18.100.10.1000 > 8.8.8.8.2000 udp ttl 64 len 56",
        ),
        (
            v6().neighbor_advert(IP6_A, Some(MAC_A), nd::FLAG_OVERRIDE),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 2001:db8:0:1::10 > 2001:db8:ffff::8888:8888 \
             icmp6 neighbor 2001:db8:0:1::10 is 02:ac:10:ff:00:10 override ttl 255 len 72",
        ),
        (
            v4().protocol(17)
                .fragment(1480, false)
                .ip_id(0xbeef)
                .payload(&[0; 4]),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 172.18.100.10 > 8.8.8.8 udp ttl 64 later fragment \
             of 0xbeef len 24",
        ),
        (
            v4().udp(1, 2)
                .encap_geneve(v4().udp(40000, 6081), vni(4), ovn),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 172.18.100.10.40000 > 8.8.8.8.6081 udp ttl 64 \
             len 86 geneve vni 4 in 1 out 4 [02:ac:10:ff:00:10 > 02:00:00:00:06:01 \
             172.18.100.10.1 > 8.8.8.8.2 udp ttl 64 len 28]",
        ),
        (
            v4().udp(1, 4789).payload(&[0; 8]),
            "02:ac:10:ff:00:10 > 02:00:00:00:06:01 172.18.100.10.1 > 8.8.8.8.4789 udp ttl 64 len 36 \
             (VXLAN header without VNI)",
        ),
    ];
    for (builder, expected) in cases {
        assert_eq!(show(&builder.build()), expected);
    }
    assert_eq!(
        show(&[0; 5]),
        "bad frame of 5 bytes: frame shorter than an Ethernet header"
    );
}

#[test]
fn a_line_follows_three_tunnels_and_no_more() {
    let mut frame = v4().udp(1, 2);
    for _ in 0..5 {
        frame = frame.encap_vxlan(v4(), vni(1));
    }
    let line = show(&frame.build());
    assert_eq!(line.matches("vxlan vni").count(), 4, "{line}");
    assert!(line.ends_with(" [..]]]]"), "{line}");
}
