//! Cached ways decide nothing: of two equal networks one forgets all its ways before every turn, so that every packet
//! walks; what comes out, what is counted and what is remembered of connections is the same in both.
//!
//! More and longer runs: `SLUICE_DIFFERENTIAL_CASES=5000`, another sequence: `SLUICE_DIFFERENTIAL_SEED=7`.

mod found;
mod network;
mod seen;
mod topology;
mod traffic;

use std::fmt::Write;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use sluice_fastpath::counters::Work;
use sluice_fastpath::tables::UNDERLAY_PORT;
use sluice_net::show;
use sluice_net::wire::tcp;
use sluice_slowpath::{AgentRequest, Alive};

use crate::support::{Network, Node, ip};
use network::network;
use seen::{differences, seen, ways, work_done};
use topology::{CHANGES, NEIGHBORS, TOPOLOGY};
use traffic::{Sent, WIRES};

/// A frame: which one of the deck, varied in what by which.
type Frame = (usize, u16, Sent);

/// Frames that are sent again and again, each with its wire.
type Deck = Vec<(usize, Sent)>;

/// What is done to both networks.
#[derive(Clone, Debug)]
enum Step {
    /// Frames on one wire at once, that of the first: each one of those that are sent again and again, varied.
    Burst(Vec<Frame>),
    /// The last burst again.
    Again,
    /// The receiver of the last UDP or TCP packets answers, with these TCP flags.
    Answer(u8),
    /// Time passes, in units of 250 ms.
    Wait(u32),
    /// The other gateway lives, or not.
    Alive(bool),
    /// Another topology: which changes are in force.
    Reload(u32),
    /// A neighbor is forgotten, or all learned MACs are. One neighbor, since the order in which several are asked for
    /// again is that of a hash table.
    Flush(Option<usize>),
    /// All connections are asked to close.
    Close,
    /// A host answers nothing any more, or does again.
    Silence(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        20 => Just(0u16),
        6 => (0u16..9).prop_map(|bit| 1 << bit),
        1 => 0u16..512,
    ];
    let frame = || (any::<usize>(), what.clone(), traffic::sent());
    let one = frame().prop_map(|frame| vec![frame]);
    let several = prop::collection::vec(frame(), 2..32);
    let flags = prop_oneof![
        Just(tcp::SYN | tcp::ACK),
        Just(tcp::ACK),
        Just(tcp::FIN | tcp::ACK),
        Just(tcp::RST),
    ];
    let all = 0..1u32 << CHANGES.len();
    let changes = prop_oneof![Just(0u32), (0..CHANGES.len()).prop_map(|bit| 1 << bit), all];
    prop_oneof![
        60 => one.prop_map(Step::Burst),
        12 => several.prop_map(Step::Burst),
        40 => Just(Step::Again),
        20 => flags.prop_map(Step::Answer),
        3 => (1u32..20).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(Step::Alive),
        1 => changes.prop_map(Step::Reload),
        1 => prop::option::of(0..NEIGHBORS.len()).prop_map(Step::Flush),
        1 => Just(Step::Close),
        1 => (0..WIRES.len(), any::<bool>()).prop_map(|(wire, silent)| Step::Silence(wire, silent)),
    ]
}

/// The wire and the frames of a burst.
fn burst(deck: &Deck, frames: &[Frame]) -> (usize, Vec<Vec<u8>>) {
    let card = |at: usize| &deck[at % deck.len()];
    let wire = card(frames[0].0).0;
    // Of those of this wire, if not of it then what its stations would make of it.
    let frame = |(at, what, other): &Frame| traffic::frame(wire, &card(*at).1.varied(other, *what));
    (wire, frames.iter().map(frame).collect())
}

fn take(net: &mut Network, deck: &Deck, last: &[(String, Vec<u8>)], step: &Step) {
    match step {
        // There was none.
        Step::Again => {}
        Step::Answer(flags) => {
            for (host, frame) in last {
                // One wire after the other: what one brings in may not be known when the next comes.
                if let Some(answer) = traffic::answer(frame, *flags) {
                    net.send(host, answer);
                }
            }
        }
        Step::Burst(frames) => {
            let (wire, frames) = burst(deck, frames);
            for frame in frames {
                net.send_later(WIRES[wire], frame);
            }
            net.settle();
        }
        Step::Wait(quarters) => net.run(quarters * 250),
        Step::Alive(other) => {
            let names = ["hv", "hv2", "vx"]
                .into_iter()
                .chain(other.then_some("gw2"));
            let alive = Alive::Only(names.map(str::to_owned).collect());
            net.node("gw").request(AgentRequest::Alive(alive));
            net.settle();
            // A sweep closes what the node translates no more.
            let before_turn = std::mem::replace(&mut net.before_turn, Node::forget_ways);
            net.settle();
            net.before_turn = before_turn;
        }
        Step::Reload(changes) => {
            let in_force = CHANGES.iter().enumerate();
            let in_force = in_force.filter(|(bit, _)| changes >> bit & 1 == 1);
            let text = in_force.fold(TOPOLOGY.to_owned(), |text, (_, (from, to))| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            });
            net.reload(&text);
        }
        Step::Flush(neighbor) => {
            let request = match neighbor {
                Some(at) => {
                    let (port, address) = NEIGHBORS[*at];
                    let port = match port {
                        "" => UNDERLAY_PORT,
                        name => net.node("gw").port(name),
                    };
                    AgentRequest::FlushNeighbors {
                        port: Some(port),
                        ip: Some(ip(address)),
                        done: None,
                    }
                }
                None => AgentRequest::FlushFdb {
                    domain: None,
                    done: None,
                },
            };
            net.node("gw").request(request);
            net.settle();
        }
        Step::Close => {
            net.node("gw").connections.ask_to_close_all();
            // What is opened in the same moment is closed too; both are to be through with it.
            let before_turn = std::mem::replace(&mut net.before_turn, Node::wake);
            net.settle();
            net.settle();
            net.before_turn = before_turn;
        }
        Step::Silence(wire, silent) => {
            net.hosts.get_mut(WIRES[*wire]).unwrap().answers = !silent;
        }
    }
}

/// Takes the steps in both networks; an error names the first step after which they differ. Returns how many packets
/// took which way in the one that remembers, and how often a connection of IPv6 was open after a step.
fn compare(deck: &Deck, steps: &[Step]) -> Result<[u64; 4], String> {
    let (mut quick, mut walking) = (network(), network());
    quick.before_turn = Node::wake;
    walking.before_turn = Node::forget_ways;
    let start = ways(&quick);
    let (mut last, mut known) = (Vec::new(), 0);
    let mut sent = None;
    for step in steps {
        let step = match (step, sent) {
            (Step::Again, Some(burst)) => burst,
            _ => step,
        };
        if let Step::Burst(_) = step {
            sent = Some(step);
        }
        let before = ways(&walking);
        let injected = work_done(&walking, Work::Injected);
        take(&mut quick, deck, &last, step);
        take(&mut walking, deck, &last, step);
        let [lane, established, _] = ways(&walking);
        // Packets that waited for a neighbor come together.
        let alone = matches!(step, Step::Burst(frames) if frames.len() == 1)
            && injected == work_done(&walking, Work::Injected);
        if lane != before[0] || alone && established != before[1] {
            return Err("a packet did not walk".to_owned());
        }
        let (found, walked) = (seen(&mut quick), seen(&mut walking));
        let differences = differences(&found, &walked);
        if !differences.is_empty() {
            return Err(differences.join("\n"));
        }
        if matches!(step, Step::Burst(_)) && !found.got.is_empty() {
            last = found.got;
        }
        known += quick.node("gw").connections.of::<u128>().len() as u64;
    }
    let end = ways(&quick);
    let [lane, established, walk] = [0, 1, 2].map(|way| end[way] - start[way]);
    Ok([lane, established, walk, known])
}

/// The steps, one a line, with the frames as they are sent.
fn tell(deck: &Deck, steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Burst(frames) => {
                let (wire, frames) = burst(deck, frames);
                writeln!(text, "{} frames at {}", frames.len(), WIRES[wire]).unwrap();
                for frame in frames {
                    writeln!(text, "  {} ({} bytes)", show(&frame), frame.len()).unwrap();
                }
            }
            step => writeln!(text, "{step:?}").unwrap(),
        }
    }
    text
}

fn number(variable: &str, otherwise: u32) -> u32 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: no number"))
    })
}

#[test]
fn nothing_is_decided_that_the_walk_would_not_decide() {
    let config = ProptestConfig {
        cases: number("SLUICE_DIFFERENTIAL_CASES", 20),
        failure_persistence: None,
        max_shrink_iters: 3_000,
        ..ProptestConfig::default()
    };
    let seed = [number("SLUICE_DIFFERENTIAL_SEED", 1) as u8; 32];
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let total = std::cell::Cell::new([0; 4]);
    let card = (0..WIRES.len(), traffic::card());
    let deck = prop::collection::vec(card, 1..7);
    let steps = prop::collection::vec(step(), 1..160);
    let result = runner.run(&(deck, steps), |(deck, steps)| {
        let ways = compare(&deck, &steps).map_err(TestCaseError::fail)?;
        let before = total.get();
        total.set([0, 1, 2, 3].map(|way| before[way] + ways[way]));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, (deck, steps))) => {
            panic!("{reason}\nafter\n{}", tell(&deck, &steps))
        }
    }
    let [lane, established, walk, known] = total.get();
    println!(
        "{lane} by lane, {established} by connection, {walk} walked; {known} times one of IPv6 was open"
    );
    // Otherwise the traffic is so mixed that nothing is compared.
    let cached = lane + established;
    assert!(
        cached * 10 > walk && established > 0 && known > 0,
        "{:?}",
        total.get()
    );
}
