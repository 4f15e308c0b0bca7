use proptest::prelude::*;
use sluice_net::builder::Echo;
use sluice_net::wire::icmpv4;
use sluice_net::wire::tcp::{self, TcpHeader};
use sluice_net::{Builder, parse};
use zerocopy::FromBytes;

use super::*;

const ASKS: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
const BACKEND: Mac = Mac([2, 0, 0, 0, 0, 1]);
const FAST: Rate = Rate {
    per_second: 1_000,
    burst: 1_000,
};

fn pace() -> Pace {
    Pace {
        interval: 5_000,
        timeout: 3_000,
        success_count: 2,
        failure_count: 3,
    }
}

fn target(probe: Probe) -> Target<u32> {
    Target {
        network: 7,
        logical_port: "vm1".to_owned(),
        ip: "10.0.0.1".parse().unwrap(),
        port: if probe == Probe::Icmp { 0 } else { 80 },
        source: "10.0.0.254".parse().unwrap(),
        probe,
        pace: pace(),
    }
}

fn http() -> Probe {
    Probe::Http {
        path: "/up".to_owned(),
        status: (200, 299),
    }
}

/// What a backend does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// As it should.
    Serve,
    /// HTTP with this status.
    Say(&'static str),
    /// A reset.
    Refuse,
    /// ICMP: unreachable, with this code.
    Report(u8),
    Nothing,
}

/// One target, and a backend at the other side of a wire.
struct Bench {
    monitors: Monitors<u32>,
    target: Target<u32>,
    now: Time,
    sent: u32,
}

impl Bench {
    fn of(probe: Probe) -> Self {
        let mut monitors = Monitors::new(ASKS, FAST, 1, Time(0));
        let target = target(probe);
        monitors.set([(target.clone(), Some(BACKEND))], Time(0));
        Self {
            monitors,
            target,
            now: Time(0),
            sent: 0,
        }
    }

    /// Runs until `end`, from deadline to deadline.
    fn run(&mut self, end: u64, does: Does) {
        while let Some(due) = self.monitors.next_deadline().filter(|due| due.0 <= end) {
            self.now = self.now.max(due);
            let mut wire = Vec::new();
            while let Some(sent) = self.monitors.poll(self.now) {
                wire.push(sent);
            }
            while let Some(sent) = wire.pop() {
                self.sent += 1;
                assert_eq!(sent.network, 7);
                for answer in backend(&sent.frame, does) {
                    let headers = parse(&answer).unwrap();
                    assert!(
                        self.monitors
                            .receive(7, &answer, &headers, self.now, &mut wire)
                            || does != Does::Serve
                    );
                }
            }
        }
        self.now = Time(end);
    }

    fn status(&self) -> Status {
        self.monitors.status(&self.target).unwrap()
    }
}

/// What a backend answers to a frame.
fn backend(frame: &[u8], does: Does) -> Vec<Vec<u8>> {
    let headers = parse(frame).unwrap();
    assert_eq!((headers.eth_src, headers.eth_dst), (ASKS, BACKEND));
    let ip = *headers.ip().unwrap();
    assert_eq!(ip.src.to_string(), "10.0.0.254");
    let back = Builder::ethernet(BACKEND, ASKS).ip(ip.dst, ip.src);
    match (ip.l4, does) {
        (_, Does::Nothing) | (L4::Udp { .. }, Does::Serve) => Vec::new(),
        (_, Does::Report(code)) => {
            let quoted = &frame[usize::from(headers.l3_offset)..];
            vec![
                back.icmp(icmpv4::UNREACHABLE, code, [0; 4])
                    .payload(quoted)
                    .build(),
            ]
        }
        (L4::Echo { id, .. }, _) => vec![back.icmp_echo(Echo::Reply, id, 1).build()],
        (L4::Tcp { src, dst, flags }, does) => {
            let l4 = &frame[usize::from(ip.l4_offset)..];
            let (header, _) = TcpHeader::ref_from_prefix(l4).unwrap();
            let data = (l4.len() - header.header_len()) as u32;
            let (seq, ack) = (header.ack.get(), header.seq.get().wrapping_add(data));
            let say = |flags, seq, ack, text: &str| {
                let segment = back.clone().tcp(dst, src, flags).tcp_state(seq, ack, 9);
                segment.payload(text.as_bytes()).build()
            };
            if flags & tcp::RST != 0 {
                return Vec::new();
            }
            let syn = flags & tcp::SYN != 0;
            match does {
                Does::Refuse if syn => {
                    vec![say(tcp::RST | tcp::ACK, 0, ack.wrapping_add(1), "")]
                }
                _ if syn => vec![say(
                    tcp::SYN | tcp::ACK,
                    0xffff_fff0,
                    ack.wrapping_add(1),
                    "",
                )],
                Does::Serve if data > 0 => vec![
                    say(tcp::ACK, seq, ack, ""),
                    say(tcp::ACK, seq, ack, "HTTP/1."),
                    say(tcp::ACK | tcp::FIN, seq.wrapping_add(7), ack, "1 204 \r\n"),
                ],
                Does::Say(text) if data > 0 => vec![say(tcp::ACK | tcp::FIN, seq, ack, text)],
                _ => Vec::new(),
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_becomes_of_a_backend() {
    use Does::*;
    let cases: [(Probe, Does, State, Option<Failure>); 17] = [
        (Probe::Tcp, Serve, State::Online, None),
        (Probe::Tcp, Refuse, State::Offline, Some(Failure::Reset)),
        (Probe::Tcp, Nothing, State::Offline, Some(Failure::Timeout)),
        (
            Probe::Tcp,
            Report(3),
            State::Offline,
            Some(Failure::PortUnreachable),
        ),
        (
            Probe::Tcp,
            Report(1),
            State::Offline,
            Some(Failure::Unreachable),
        ),
        (http(), Serve, State::Online, None),
        (http(), Say("HTTP/1.1 200 OK\r\n"), State::Online, None),
        (
            http(),
            Say("HTTP/1.1 503 No\r\n"),
            State::Offline,
            Some(Failure::Status(503)),
        ),
        (
            http(),
            Say("HTTP/1.1 302 Go\r\n"),
            State::Offline,
            Some(Failure::Status(302)),
        ),
        (
            http(),
            Say("SSH-2.0"),
            State::Offline,
            Some(Failure::NotHttp),
        ),
        (http(), Say("HTTP"), State::Offline, Some(Failure::NotHttp)),
        (http(), Refuse, State::Offline, Some(Failure::Reset)),
        (http(), Nothing, State::Offline, Some(Failure::Timeout)),
        (Probe::Udp, Nothing, State::Online, None),
        (
            Probe::Udp,
            Report(3),
            State::Offline,
            Some(Failure::PortUnreachable),
        ),
        (Probe::Icmp, Serve, State::Online, None),
        (Probe::Icmp, Nothing, State::Offline, Some(Failure::Timeout)),
    ];
    for (probe, does, state, failure) in cases {
        let mut bench = Bench::of(probe.clone());
        bench.run(30_000, does);
        let status = bench.status();
        assert_eq!(
            (status.state, status.failure),
            (state, failure),
            "{probe:?} {does:?}"
        );
    }
}

#[test]
fn it_takes_as_many_in_a_row_as_declared() {
    let mut bench = Bench::of(Probe::Tcp);
    bench.run(4_999, Does::Serve);
    assert_eq!(bench.status().state, State::Unknown);
    bench.run(5_000, Does::Serve);
    assert_eq!(
        (bench.status().state, bench.status().since),
        (State::Online, Time(5_000))
    );
    assert!(bench.monitors.next_change().is_some());
    assert_eq!(bench.monitors.next_change(), None);
    // Checks at 10 s, 15 s and 20 s; a good one in between begins anew.
    bench.run(19_999, Does::Refuse);
    bench.run(24_999, Does::Serve);
    bench.run(34_999, Does::Refuse);
    assert_eq!(bench.status().state, State::Online);
    bench.run(35_000, Does::Refuse);
    assert_eq!(bench.status().state, State::Offline);
    assert_eq!(bench.status().since, Time(35_000));
    bench.run(45_000, Does::Serve);
    assert_eq!(bench.status().state, State::Online);
    // Why it was offline stays known.
    assert_eq!(bench.status().failure, Some(Failure::Reset));
}

#[test]
fn what_is_lost_is_sent_again_until_the_timeout() {
    let mut bench = Bench::of(Probe::Tcp);
    bench.run(999, Does::Nothing);
    assert_eq!(bench.sent, 1);
    bench.run(2_999, Does::Nothing);
    assert_eq!(bench.sent, 3);
    bench.run(4_999, Does::Nothing);
    assert_eq!(bench.sent, 3);
    // The second check is answered at its second SYN.
    bench.run(5_500, Does::Nothing);
    bench.run(6_100, Does::Serve);
    assert_eq!(bench.sent, 6, "SYN, SYN, RST");
    assert_eq!(bench.status().state, State::Unknown);
}

#[test]
fn forged_answers_change_nothing() {
    let mut bench = Bench::of(Probe::Tcp);
    let sent = bench.monitors.poll(Time(0)).unwrap();
    let ip = *parse(&sent.frame).unwrap().ip().unwrap();
    let (own, _) = ip.ports().unwrap();
    let back = Builder::ethernet(BACKEND, ASKS).ip(ip.dst, ip.src);
    let mut out = Vec::new();
    let mut hear = |network, frame: Builder| {
        let bytes = frame.build();
        let headers = parse(&bytes).unwrap();
        let ours = bench
            .monitors
            .receive(network, &bytes, &headers, Time(1), &mut out);
        (ours, bench.monitors.flows.len())
    };
    for flags in [tcp::RST, tcp::RST | tcp::ACK, tcp::SYN | tcp::ACK, tcp::ACK] {
        let forged = back.clone().tcp(80, own, flags).tcp_state(1, 2, 3);
        assert_eq!(hear(7, forged), (true, 1), "{flags:x}");
    }
    let elsewhere = back.clone().tcp(80, own ^ 1, tcp::RST);
    assert_eq!(hear(7, elsewhere), (false, 1));
    let another_network = back.clone().tcp(80, own, tcp::RST);
    assert_eq!(hear(8, another_network), (false, 1));
    assert_eq!(hear(7, back.icmp_echo(Echo::Reply, own, 1)), (false, 1));
    assert_eq!(out, []);
}

#[test]
fn a_port_that_is_not_known_is_an_error_until_it_is() {
    let mut bench = Bench::of(Probe::Tcp);
    bench.monitors.set([(bench.target.clone(), None)], Time(0));
    bench.run(1_000, Does::Serve);
    assert_eq!(bench.status().state, State::Error);
    assert_eq!(bench.status().failure, Some(Failure::NoPort));
    bench
        .monitors
        .set([(bench.target.clone(), Some(BACKEND))], Time(1_000));
    bench.run(10_000, Does::Serve);
    assert_eq!(bench.status().state, State::Online);
    // It goes while a check is under way.
    bench.run(15_100, Does::Nothing);
    bench
        .monitors
        .set([(bench.target.clone(), None)], Time(15_100));
    bench.run(16_000, Does::Nothing);
    assert_eq!(bench.status().state, State::Error);
    assert!(bench.monitors.flows.is_empty());
}

#[test]
fn states_are_kept_for_those_that_stay() {
    let mut bench = Bench::of(Probe::Tcp);
    bench.run(6_000, Does::Serve);
    let other = Target {
        ip: "10.0.0.2".parse().unwrap(),
        ..target(Probe::Tcp)
    };
    let both = [
        (bench.target.clone(), Some(BACKEND)),
        (other.clone(), Some(BACKEND)),
    ];
    bench.monitors.set(both, Time(6_000));
    assert_eq!(bench.status().state, State::Online);
    assert_eq!(bench.monitors.status(&other).unwrap().state, State::Unknown);
    bench
        .monitors
        .set([(other.clone(), Some(BACKEND))], Time(6_001));
    assert_eq!(bench.monitors.status(&bench.target), None);
    let queued = bench.monitors.timers.len() + bench.monitors.starts.len();
    assert_eq!(queued, 1);
    bench.monitors.set([], Time(6_002));
    assert!(bench.monitors.timers.is_empty() && bench.monitors.starts.is_empty());
    assert!(bench.monitors.flows.is_empty());
}

#[test]
fn thousands_are_checked_at_the_rate() {
    let rate = Rate {
        per_second: 1_000,
        burst: 100,
    };
    let mut monitors = Monitors::new(ASKS, rate, 1, Time(0));
    let targets = (0..5_000u32).map(|n| Target {
        ip: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
        ..target(Probe::Udp)
    });
    monitors.set(targets.map(|target| (target, Some(BACKEND))), Time(0));
    let mut begun = Vec::new();
    while let Some(due) = monitors.next_deadline().filter(|due| due.0 < 6_000) {
        let mut seen = std::collections::BTreeSet::new();
        while let Some(sent) = monitors.poll(due) {
            let ip = *parse(&sent.frame).unwrap().ip().unwrap();
            if seen.insert(ip.dst) {
                begun.push((due.0, ip.dst));
            }
        }
    }
    let first: std::collections::BTreeSet<_> = begun.iter().map(|(_, ip)| ip).collect();
    assert_eq!(first.len(), 5_000);
    // Datagrams are repeated each second while nobody says anything; the first ones keep to the rate.
    let mut earliest = HashMap::new();
    for (at, ip) in &begun {
        earliest.entry(*ip).or_insert(*at);
    }
    for second in 0..5u64 {
        let window = second * 1_000..(second + 1) * 1_000;
        let count = earliest.values().filter(|at| window.contains(at)).count();
        assert!(count <= 1_100, "{count} in second {second}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The state is that of the last run of equal results that was long enough.
    #[test]
    fn the_state_follows_the_runs(results in prop::collection::vec(any::<bool>(), 1..40)) {
        let mut bench = Bench::of(Probe::Tcp);
        let (mut state, mut run) = (State::Unknown, 0i32);
        for (good, n) in results.into_iter().zip(0u64..) {
            let does = if good { Does::Serve } else { Does::Refuse };
            bench.run(n * 5_000, does);
            run = if good { run.max(0) + 1 } else { run.min(0) - 1 };
            if run >= 2 {
                state = State::Online;
            } else if run <= -3 {
                state = State::Offline;
            }
            prop_assert_eq!(bench.status().state, state);
            prop_assert!(bench.monitors.flows.is_empty());
        }
    }

    /// No segment, however damaged, makes it panic or leaves a check that never ends.
    #[test]
    fn any_segment_is_survived(
        segments in prop::collection::vec((any::<u8>(), any::<u32>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..30)), 0..20),
    ) {
        let mut bench = Bench::of(http());
        let sent = bench.monitors.poll(Time(0)).unwrap();
        let ip = *parse(&sent.frame).unwrap().ip().unwrap();
        let (own, _) = ip.ports().unwrap();
        let (header, _) = TcpHeader::ref_from_prefix(&sent.frame[usize::from(ip.l4_offset)..]).unwrap();
        let isn = header.seq.get();
        for (flags, seq, ack, data) in segments {
            let ack = if ack % 2 == 0 { isn.wrapping_add(1) } else { ack };
            let segment = Builder::ethernet(BACKEND, ASKS).ip(ip.dst, ip.src)
                .tcp(80, own, flags).tcp_state(seq % 3, ack, 0).payload(&data).build();
            let headers = parse(&segment).unwrap();
            bench.monitors.receive(7, &segment, &headers, Time(1), &mut Vec::new());
        }
        bench.run(3_000, Does::Nothing);
        prop_assert!(bench.monitors.flows.is_empty());
    }
}
