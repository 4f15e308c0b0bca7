//! How long a mapping lives.

use sluice_fastpath::connections::Timeouts;
use sluice_net::wire::tcp;

use super::bed::*;

const SECOND: u32 = 1000;
const MINUTE: u32 = 60 * SECOND;
const REMOTE: (&str, u16) = ("8.8.8.8", 80);

/// An answer still finds the client: the mapping lives. Asking for it refreshes it.
fn lives(bed: &mut Bed, kind: Kind) -> bool {
    bed.back(kind, REMOTE, (EXTERNAL, 4000)) == Some((A.into(), 4000))
}

/// A UDP mapping lives two minutes after its only packet, five after one that was answered.
#[test]
pub fn udp() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        bed.net.run(2 * MINUTE - SECOND);
        assert!(lives(&mut bed, Kind::Udp), "{} unreplied", mode.name);
        bed.net.run(5 * MINUTE - SECOND);
        assert!(lives(&mut bed, Kind::Udp), "{} replied", mode.name);
        bed.net.run(12 * MINUTE);
        assert!(!lives(&mut bed, Kind::Udp), "{} for ever", mode.name);
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}

/// Each packet from inside begins the time anew, and so does each that is let in.
#[test]
pub fn packets_of_both_directions_refresh() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let external = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
        for _ in 0..5 {
            bed.net.run(110 * SECOND);
            let again = bed.out(Kind::Udp, (A, 4000), REMOTE).unwrap();
            assert_eq!(again, external, "{}", mode.name);
        }
        assert!(lives(&mut bed, Kind::Udp), "{}", mode.name);
        for _ in 0..5 {
            bed.net.run(4 * MINUTE);
            assert!(lives(&mut bed, Kind::Udp), "{}", mode.name);
        }
    }
}

/// The times are those that are set.
#[test]
pub fn times_can_be_set() {
    for mode in MODES {
        let timeouts = Timeouts {
            udp_unreplied: 5 * MINUTE,
            udp: 10 * MINUTE,
            icmp_unreplied: 2 * MINUTE,
            icmp: 2 * MINUTE,
            tcp_established: 3 * 60 * MINUTE,
            tcp_syn_sent: 6 * MINUTE,
            tcp_last_ack: 7 * MINUTE,
            tcp_time_wait: 8 * MINUTE,
            ..Timeouts::default()
        };
        let mut bed = Bed::timed(*mode, timeouts);
        for (kind, time) in [
            (Kind::Udp, 5 * MINUTE),
            (Kind::Echo, 2 * MINUTE),
            (Kind::Tcp, 6 * MINUTE),
        ] {
            bed.out(kind, (A, 4000), REMOTE).unwrap();
            bed.net.run(time - SECOND);
            assert!(lives(&mut bed, kind), "{} {kind:?}", mode.name);
        }
        bed.net.run(10 * MINUTE - SECOND);
        assert!(!lives(&mut bed, Kind::Echo), "{}", mode.name);
    }
}

/// A mapping of ICMP queries lives a minute.
#[test]
pub fn icmp_queries() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        for _ in 0..2 {
            bed.out(Kind::Echo, (A, 4000), REMOTE).unwrap();
            bed.net.run(MINUTE - SECOND);
            assert!(lives(&mut bed, Kind::Echo), "{}", mode.name);
        }
        bed.net.run(5 * MINUTE);
        assert!(!lives(&mut bed, Kind::Echo), "{}", mode.name);
    }
}

fn from_client_tcp(bed: &mut Bed, flags: u8) {
    bed.out_as((A, 4000), REMOTE, |frame| frame.tcp(4000, REMOTE.1, flags))
        .unwrap();
}

fn from_server(bed: &mut Bed, flags: u8) -> bool {
    bed.back_as(REMOTE, (EXTERNAL, 4000), |frame| {
        frame.tcp(REMOTE.1, 4000, flags)
    }) == Some((A.into(), 4000))
}

fn established(mode: Mode) -> Bed {
    let mut bed = Bed::new(mode);
    from_client_tcp(&mut bed, tcp::SYN);
    assert!(from_server(&mut bed, tcp::SYN | tcp::ACK));
    from_client_tcp(&mut bed, tcp::ACK);
    bed
}

/// An established connection may be silent for two hours and four minutes.
#[test]
pub fn established_tcp() {
    for mode in MODES {
        let mut bed = established(*mode);
        bed.net.run(124 * MINUTE - SECOND);
        assert!(from_server(&mut bed, tcp::ACK), "{}", mode.name);
        bed.net.run(140 * MINUTE);
        assert!(!from_server(&mut bed, tcp::ACK), "{}", mode.name);
    }
}

/// One that is being opened, or has ended, may be silent for four minutes.
#[test]
pub fn transitory_tcp() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        from_client_tcp(&mut bed, tcp::SYN);
        bed.net.run(4 * MINUTE - SECOND);
        assert!(from_server(&mut bed, tcp::SYN | tcp::ACK), "{}", mode.name);
        bed.net.run(4 * MINUTE - SECOND);
        assert!(from_server(&mut bed, tcp::SYN | tcp::ACK), "{}", mode.name);
        bed.net.run(10 * MINUTE);
        assert_eq!(bed.connections(), 0, "{} half open", mode.name);
        let mut bed = established(*mode);
        from_client_tcp(&mut bed, tcp::FIN | tcp::ACK);
        assert!(from_server(&mut bed, tcp::FIN | tcp::ACK));
        from_client_tcp(&mut bed, tcp::ACK);
        bed.net.run(4 * MINUTE - SECOND);
        assert!(from_server(&mut bed, tcp::FIN | tcp::ACK), "{}", mode.name);
        bed.net.run(10 * MINUTE);
        assert_eq!(bed.connections(), 0, "{} closed", mode.name);
    }
}

/// A RST passes and leaves the connection four minutes for what it may not have reset.
#[test]
pub fn a_rst_passes_and_leaves_four_minutes() {
    for mode in MODES {
        let mut bed = established(*mode);
        assert!(from_server(&mut bed, tcp::RST), "{}", mode.name);
        bed.net.run(4 * MINUTE - SECOND);
        assert!(from_server(&mut bed, tcp::ACK), "{}", mode.name);
        // It goes on: whoever sent the RST was not the server.
        bed.net.run(60 * MINUTE);
        assert!(from_server(&mut bed, tcp::ACK), "{}", mode.name);
        assert!(from_server(&mut bed, tcp::RST), "{}", mode.name);
        bed.net.run(10 * MINUTE);
        assert_eq!(bed.connections(), 0, "{}", mode.name);
    }
}
