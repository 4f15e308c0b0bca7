//! What the numbers mean: our worker beside its peers.

use std::fmt::Write as _;

use crate::bench::{Cell, Results};

/// Loads, and how our worker compares under each; and what scenarios say about each other.
pub fn comparison(results: &Results) -> String {
    let ours = || {
        results
            .cells
            .iter()
            .filter(|cell| cell.contestant == "sluice")
    };
    let mut text = format!(
        "{:<18}{:>7}{:>7}{:>12}{:>12}{:>12}{:>16}\n",
        "our worker", "flows", "bytes", "above io", "x macswap", "OVS takes x", "M packets/s"
    );
    for cell in ours() {
        let times = |other: Option<&Cell>, over: bool| {
            let (a, b) = (cell.cycles()?, other?.cycles()?);
            Some(if over { b / a } else { a / b })
        };
        let _ = writeln!(
            text,
            "{:<18}{:>7}{:>7}{:>12}{:>12}{:>12}{:>16}",
            cell.scenario,
            cell.flows,
            cell.size,
            number(results.above_io(cell), 0),
            number(times(results.beside(cell, "testpmd-macswap"), false), 1),
            number(times(results.beside(cell, "ovs"), true), 1),
            number(cell.median(|window| window.mpps), 1),
        );
    }
    let find = |scenario: &str, flows: u32, size: &str| {
        ours().find(|cell| {
            (cell.scenario.as_str(), cell.flows, cell.size.as_str()) == (scenario, flows, size)
        })
    };
    let ratio = |a: Option<&Cell>, b: Option<&Cell>| Some(a?.cycles()? / b?.cycles()?);
    let facts = [
        (
            "hops / gateway, bar 1.10",
            ratio(find("hops", 100_000, "64"), find("gateway", 100_000, "64")),
        ),
        (
            "l3 1500 / 64 bytes, bar 1.30",
            ratio(find("l3", 100_000, "1500"), find("l3", 100_000, "64")),
        ),
        (
            "snat 1500 / 64 bytes, bar 1.30",
            ratio(find("snat", 100_000, "1500"), find("snat", 100_000, "64")),
        ),
        (
            "new connections, M/s, bar 2.0",
            find("new-connections", 100_000, "64")
                .and_then(|cell| cell.median(|window| window.mpps)),
        ),
    ];
    for (what, value) in facts {
        if value.is_some() {
            let _ = writeln!(text, "{what:<34}{:>8}", number(value, 2));
        }
    }
    text
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}
