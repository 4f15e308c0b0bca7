//! Whatever the file, there is an answer, and it can be shown.

use std::path::Path;

use proptest::prelude::*;

use super::{Files, configs};
use crate::config::parse_topology;

const PIECES: [&str; 20] = [
    "\n",
    "\r\n",
    "[",
    "]]",
    "\"",
    "'''",
    "=",
    "{",
    "}",
    ",",
    ".",
    "#",
    "é",
    "\u{1f980}",
    "key",
    "-1",
    "router",
    "\t",
    "\u{0}",
    "0x",
];

fn examples() -> Vec<String> {
    let names = [
        "n1",
        "n2",
        "examples/static-routes-ecmp",
        "examples/routes-file",
    ];
    let path = |name: &&str| configs().join(name).join("topology.toml");
    names
        .iter()
        .map(|name| std::fs::read_to_string(path(name)).unwrap())
        .collect()
}

/// Replaces a stretch of characters, so that what remains is text.
fn damage(text: &str, at: usize, length: usize, piece: &str) -> String {
    let at = at % (text.chars().count() + 1);
    let kept = text.chars().skip(at + length);
    text.chars()
        .take(at)
        .chain(piece.chars())
        .chain(kept)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damaged_files_are_answered(
        example in 0..4_usize,
        cuts in prop::collection::vec((any::<usize>(), 0..40_usize, 0..PIECES.len()), 1..5),
    ) {
        let mut text = examples()[example].clone();
        for (at, length, piece) in cuts {
            text = damage(&text, at, length, PIECES[piece]);
        }
        let directory = configs().join("examples/routes-file");
        if let Err(errors) = parse_topology("t", &text, &directory) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.render(true).contains("error"));
            for finding in errors.findings() {
                let (line, column) = finding.position.unwrap_or((1, 1));
                prop_assert!(line >= 1 && column >= 1);
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}(\n|\r\n|\t|\\PC){0,60}") {
        if let Err(errors) = parse_topology("t", &text, Path::new("")) {
            prop_assert!(errors.render(false).contains("error"));
        }
    }

    #[test]
    fn any_routes_file_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let topology = "[chassis.gw1]\nencap = { type = \"geneve\", ip = \"172.16.0.1\" }\n\
                        [router.r]\nroutes_file = \"r\"\n";
        let files = Files::new(&[
            ("node.toml", "chassis = \"gw1\"\ntopology = \"topology.toml\"\n"),
            ("topology.toml", topology),
        ]);
        files.write("r", &bytes);
        if let Err(errors) = files.load() {
            prop_assert!(errors.render(false).contains("error"));
        }
    }
}
