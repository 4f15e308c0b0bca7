//! TCP: which sequences of segments pass.

use sluice_net::wire::tcp;

use super::bed::*;

const REMOTE: (&str, u16) = ("8.8.8.8", 80);

/// One step: from inside or not, flags, whether it passes.
type Step = (bool, u8, bool);

fn play(mode: Mode, name: &str, steps: &[Step]) -> Bed {
    let mut bed = Bed::new(mode);
    for (number, (inside, flags, passes)) in steps.iter().enumerate() {
        let passed = if *inside {
            bed.out_as((A, 4000), REMOTE, |f| f.tcp(4000, REMOTE.1, *flags))
                == Some((EXTERNAL.into(), 4000))
        } else {
            bed.back_as(REMOTE, (EXTERNAL, 4000), |f| f.tcp(REMOTE.1, 4000, *flags))
                == Some((A.into(), 4000))
        };
        assert_eq!(passed, *passes, "{} {name} step {number}", mode.name);
    }
    bed
}

fn states(bed: &Bed) -> Vec<&'static str> {
    bed.entries(|entry| (!entry.is_apart()).then(|| entry.state.name()))
}

const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
const FIN_ACK: u8 = tcp::FIN | tcp::ACK;

/// Three-way handshake, data, an orderly end from either side, half-closed in between.
#[test]
pub fn handshake_data_and_end() {
    for mode in MODES {
        let opened = [
            (true, tcp::SYN, true),
            (false, SYN_ACK, true),
            (true, tcp::ACK, true),
        ];
        let inside_ends = [
            (true, FIN_ACK, true),
            (false, tcp::ACK, true),
            (false, tcp::ACK | tcp::PSH, true),
            (true, tcp::ACK, true),
            (false, FIN_ACK, true),
            (true, tcp::ACK, true),
        ];
        let bed = play(*mode, "client ends", &[&opened[..], &inside_ends].concat());
        assert_eq!(states(&bed), ["time-wait"]);
        let outside_ends = inside_ends.map(|(inside, flags, passes)| (!inside, flags, passes));
        let bed = play(*mode, "server ends", &[&opened[..], &outside_ends].concat());
        assert_eq!(states(&bed), ["time-wait"]);
    }
}

/// Both send a SYN before they see the other's.
#[test]
pub fn simultaneous_open() {
    for mode in MODES {
        let steps = [
            (true, tcp::SYN, true),
            (false, tcp::SYN, true),
            (true, SYN_ACK, true),
            (false, SYN_ACK, true),
            (true, tcp::ACK, true),
            (false, tcp::ACK | tcp::PSH, true),
        ];
        let bed = play(*mode, "simultaneous", &steps);
        assert_eq!(states(&bed), ["established"], "{}", mode.name);
    }
}

/// A SYN that nobody asked for gets no answer, ever; if the client sends one meanwhile, it is as if it had not come.
#[test]
pub fn an_unsolicited_syn_gets_no_answer() {
    for mode in MODES {
        let mut bed = Bed::new(*mode);
        let syn = |bed: &mut Bed| {
            let frame = crate::cases::nat::back(REMOTE.0, EXTERNAL);
            bed.send("up", frame.tcp(REMOTE.1, 4000, tcp::SYN))
        };
        assert!(syn(&mut bed).is_empty(), "{}", mode.name);
        bed.net.run(7_000);
        assert!(bed.net.take("up").is_empty(), "{}: an answer", mode.name);
        assert!(syn(&mut bed).is_empty(), "{}", mode.name);
        bed.net.run(3_000);
        let end = bed.out(Kind::Tcp, (A, 4000), REMOTE);
        assert_eq!(end, Some((EXTERNAL.into(), 4000)), "{}", mode.name);
        // The SYN comes again, as SYNs do: now it is a simultaneous open.
        assert_eq!(syn(&mut bed).len(), 1, "{}", mode.name);
        bed.net.run(7_000);
        let answers = bed.net.take("up");
        assert!(answers.is_empty(), "{}: {}", mode.name, answers.len());
    }
}
