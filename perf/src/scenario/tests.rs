//! What scenarios say must hold together before anything is measured by them.

use sluice_mgmt::config::{Host, load_on};

use super::*;
use crate::traffic::{Order, Size};

fn place() -> Place {
    Place {
        cpus: vec![0],
        connections: 1 << 16,
    }
}

/// All but the one with a million routes, which takes too long here; its routes have a test of their own.
fn quick() -> impl Iterator<Item = &'static Scenario> {
    ALL.iter()
        .filter(|scenario| scenario.name != "l3-full-table")
}

#[test]
fn every_node_is_accepted() {
    for scenario in quick() {
        let network = scenario.network(&place());
        let directory = std::env::temp_dir().join(format!(
            "sluice-perf-{}-{}",
            scenario.name,
            std::process::id()
        ));
        std::fs::create_dir_all(&directory).unwrap();
        for (name, text) in &network.files {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let loaded = load_on(&directory.join("node.toml"), &Host { cpus: vec![0] });
        std::fs::remove_dir_all(&directory).unwrap();
        if let Err(errors) = loaded {
            panic!("{}: {}", scenario.name, errors.render(false));
        }
    }
}

#[test]
fn files_for_another_machine_name_its_cards() {
    let directory = std::env::temp_dir().join(format!("sluice-perf-files-{}", std::process::id()));
    let scenario = Scenario::named("l3").unwrap();
    let cards = ["0000:01:00.0".to_owned(), "0000:01:00.1".to_owned()];
    scenario.write(&directory, &cards, vec![2]).unwrap();
    let node = std::fs::read_to_string(directory.join("node.toml")).unwrap();
    let one = scenario.write(&directory, &cards[..1], vec![2]);
    std::fs::remove_dir_all(&directory).unwrap();
    for card in &cards {
        assert!(node.contains(&format!("device = \"{card}\"")), "{node}");
    }
    assert!(
        node.contains("workers = [2]") && !node.contains("net_null"),
        "{node}"
    );
    assert!(one.is_err());
}

#[test]
fn every_flow_gives_a_frame_that_parses_and_says_which() {
    for scenario in quick() {
        let network = scenario.network(&place());
        for size in [Size::Bytes(64), Size::Imix] {
            let load = Load {
                flows: 300,
                size,
                order: Order::Uniform,
            };
            for records in network.records(&load, 0).unwrap().iter().flatten() {
                for number in 0..300 {
                    let frame = records.frame(number);
                    let flow = flow_of(&frame).unwrap();
                    assert!(flow < 300, "{}", scenario.name);
                    assert!(
                        frame.len() <= 1514 + 58 && frame.len() >= 60,
                        "{}",
                        frame.len()
                    );
                }
            }
        }
    }
}

#[test]
fn a_buffer_that_carried_the_other_sides_frames_has_nothing_of_them() {
    for scenario in quick() {
        let network = scenario.network(&place());
        for size in ["64", "128", "512", "1518"] {
            let load = Load {
                flows: 50,
                size: size.parse().unwrap(),
                order: Order::Uniform,
            };
            let records = network.records(&load, 0).unwrap();
            // As the rig does it: the record is written, what follows is as it was.
            let mut buffer = vec![0; 2048];
            for number in 0..50 {
                for records in records.iter().flatten() {
                    let (record, length) = records.record(number).unwrap();
                    buffer[..record.len()].copy_from_slice(record);
                    let about = format!("{}, {size} bytes", scenario.name);
                    assert_eq!(buffer[..length], records.frame(number), "{about}");
                }
            }
        }
    }
}

#[test]
fn what_comes_out_is_compared_byte_by_byte() {
    for scenario in quick() {
        let network = scenario.network(&place());
        let side = (0..2)
            .find(|&side| (network.expected)(side, 5).is_some())
            .unwrap();
        let expected = (network.expected)(side, 5).unwrap();
        let length = 20 + expected.entered;
        let packet = expected.packet;
        let right = match &expected.outer {
            Some(outer) => {
                // The payload is that of the frame as it came in.
                let inner = packet.frame(5, length - expected.entered + packet.headers());
                let mut frame = packet.tunnelled(outer, 5, outer.headers() + inner.len());
                let at = frame.len() - inner.len();
                frame[at..].copy_from_slice(&inner);
                frame[40..42].fill(0);
                frame
            }
            None => packet.frame(5, length - expected.entered + packet.headers()),
        };
        assert_eq!(network.verify(side, &right), Ok(()), "{}", scenario.name);
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 0x40;
            // A source port that is free to choose, fields of the outer header that the sender chooses.
            let outer = expected.outer.is_some() && (18..42).contains(&at);
            let port =
                (34..36).contains(&at) && expected.free == Free::SourcePort && !packet.checksum;
            if !outer && !port {
                assert!(
                    network.verify(side, &wrong).is_err(),
                    "{}: byte {at}",
                    scenario.name
                );
            }
        }
    }
}
