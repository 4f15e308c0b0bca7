//! What the numbers mean: our worker beside its peers, and beside what is aimed at.

use std::fmt::Write as _;

use super::Bar;
use super::bar::RIG;
use crate::bench::{Cell, Results};
use crate::scenario::Scenario;

/// Cycles that the rig itself may cost.
const RIG_BAR: f64 = 40.0;

/// Whole cycles of Open vSwitch for each of ours, by scenario.
const OVS: &[(&str, f64)] = &[
    ("l3", 2.5),
    ("geneve-encap", 2.5),
    ("geneve-decap", 2.5),
    ("snat", 5.0),
];

/// What our worker may take of one scenario for what it takes of another, under the same load: group, scenarios, bar.
const BESIDE: &[(u8, &str, &str, f64)] = &[
    (2, "hops", "gateway", 1.1),
    (9, "dnat", "snat", 1.1),
    (9, "balanced", "snat", 1.1),
    (9, "snat-rules", "snat", 1.25),
];

/// Connections that a worker opens in a second: group, scenario, what they are, millions.
const OPENED: &[(u8, &str, &str, f64)] = &[
    (3, "new-connections", "new SNAT connections", 2.0),
    (
        9,
        "new-connections-rules",
        "new connections, 10000 ACLs",
        0.5,
    ),
];

/// Loads, and how our worker compares under each.
pub fn comparison(results: &Results) -> String {
    let mut text = format!(
        "{:<18}{:>8}{:>7}{:>9}{:>10}{:>11}{:>12}{:>13}\n",
        "our worker",
        "flows",
        "bytes",
        "order",
        "above io",
        "x macswap",
        "OVS takes x",
        "M packets/s"
    );
    for cell in ours(results) {
        let times = |other: Option<&Cell>| Some(cell.cycles()? / other?.cycles()?);
        let _ = writeln!(
            text,
            "{:<18}{:>8}{:>7}{:>9}{:>10}{:>11}{:>12}{:>13}",
            cell.scenario,
            cell.flows,
            cell.size,
            cell.order,
            number(results.above_io(cell), 0),
            number(times(results.beside(cell, "testpmd-macswap")), 1),
            number(ovs(results, cell), 1),
            number(cell.median(|window| window.mpps), 1),
        );
    }
    text
}

/// What is aimed at under the loads that were run.
pub fn aims(results: &Results) -> Vec<Bar> {
    let mut bars = Vec::new();
    bars.extend(rig(results));
    for cell in ours(results).filter(|cell| cell.order == "uniform") {
        let what = format!("{}, {} flows", cell.scenario, cell.flows);
        if let Some(bar) = cycles(cell) {
            let above = results.above_io(cell);
            let tried = failed(cell) || results.beside(cell, "testpmd-io").is_some();
            bars.push(Bar::at_most(1, &what, "cycles above io", bar, above).tried(tried));
        }
        if cell.size == "64"
            && let Some((_, bar)) = OVS.iter().find(|(name, _)| *name == cell.scenario)
            && results.beside(cell, "ovs").is_some()
        {
            bars.push(Bar::at_least(
                4,
                &what,
                "x of ours in OVS",
                *bar,
                ovs(results, cell),
            ));
        }
        if cell.size == "1500" && ["l3", "snat"].contains(&cell.scenario.as_str()) {
            let small = sibling(results, cell, &cell.scenario, "64");
            let what = format!("{what}, 1500 bytes");
            let bar = Bar::at_most(5, what, "x of 64", 1.3, ratio(cell, small));
            bars.push(bar.tried(failed(cell) || small.is_some()));
        }
        if cell.size == "64" {
            bars.extend(beside(results, cell, &what));
            bars.extend(opened(cell));
        }
    }
    bars
}

/// Beside the scenarios that this one is judged by.
fn beside(results: &Results, cell: &Cell, what: &str) -> Vec<Bar> {
    let of_cell = BESIDE.iter().filter(|(_, name, ..)| *name == cell.scenario);
    let bar = |&(group, _, other, bar): &(u8, &str, &str, f64)| {
        let unit = format!("x {other}");
        let other = sibling(results, cell, other, "64");
        let bar = Bar::at_most(group, what, &unit, bar, ratio(cell, other));
        bar.tried(failed(cell) || other.is_some())
    };
    of_cell.map(bar).collect()
}

fn opened(cell: &Cell) -> Option<Bar> {
    let (group, _, what, bar) = OPENED.iter().find(|(_, name, ..)| *name == cell.scenario)?;
    let rate = cell.median(|window| window.mpps);
    Some(Bar::at_least(*group, *what, "M/s", *bar, rate))
}

/// What the rig itself costs, where that is most; failed when it could not be measured somewhere.
fn rig(results: &Results) -> Option<Bar> {
    let dear = |cell: &&Cell| cell.cycles().unwrap_or(f64::INFINITY);
    let cells = results.cells.iter().filter(|cell| {
        cell.contestant == "testpmd-io" && cell.size == "64" && cell.order == "uniform"
    });
    let cell = cells.max_by(|a, b| dear(a).total_cmp(&dear(b)))?;
    let what = format!("{RIG}, {}", cell.scenario);
    Some(Bar::at_most(1, what, "cycles", RIG_BAR, cell.cycles()))
}

fn failed(cell: &Cell) -> bool {
    cell.cycles().is_none()
}

/// The bar for our own worker under this load, in cycles above `testpmd io`.
pub(super) fn cycles(cell: &Cell) -> Option<f64> {
    if cell.contestant != "sluice" || cell.size != "64" || cell.order != "uniform" {
        return None;
    }
    let bars = Scenario::named(&cell.scenario)?.bars;
    bars.iter()
        .find(|(flows, _)| *flows == cell.flows)
        .map(|(_, bar)| *bar)
}

fn ours(results: &Results) -> impl Iterator<Item = &Cell> {
    results
        .cells
        .iter()
        .filter(|cell| cell.contestant == "sluice")
}

/// Our cell of another scenario or size under the same load.
fn sibling<'a>(results: &'a Results, cell: &Cell, scenario: &str, size: &str) -> Option<&'a Cell> {
    ours(results).find(|other| {
        (other.scenario.as_str(), other.size.as_str()) == (scenario, size)
            && (other.flows, &other.order) == (cell.flows, &cell.order)
    })
}

fn ratio(cell: &Cell, other: Option<&Cell>) -> Option<f64> {
    Some(cell.cycles()? / other?.cycles()?)
}

fn ovs(results: &Results, cell: &Cell) -> Option<f64> {
    ratio(results.beside(cell, "ovs")?, Some(cell))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::super::chart::tests::{cell, results};
    use super::*;

    #[test]
    fn every_aim_is_judged_by_its_own_cells() {
        let all = results(vec![
            cell("l3", 100_000, "64", "testpmd-io", Some(20.0)),
            cell("l3", 100_000, "64", "sluice", Some(60.0)),
            cell("l3", 100_000, "64", "ovs", Some(180.0)),
            cell("l3", 100_000, "1500", "sluice", Some(90.0)),
            cell("snat", 1_000, "64", "testpmd-io", Some(41.0)),
            cell("snat", 1_000, "64", "sluice", None),
            cell("gateway", 100_000, "64", "sluice", Some(200.0)),
            cell("hops", 100_000, "64", "sluice", Some(230.0)),
        ]);
        let aims = aims(&all);
        let found: Vec<(u8, Option<f64>, &str)> = aims
            .iter()
            .map(|bar| (bar.group, bar.measured, said(bar)))
            .collect();
        assert_eq!(
            found,
            [
                (1, Some(41.0), "missed"),
                (1, Some(40.0), "met"),
                (4, Some(3.0), "met"),
                (5, Some(1.5), "missed"),
                (1, None, "failed"),
                (1, None, "not measured"),
                (2, Some(1.15), "missed"),
            ]
        );
    }

    fn said(bar: &Bar) -> &'static str {
        match (bar.failed, bar.measured, bar.met()) {
            (true, None, false) => "failed",
            (false, None, false) => "not measured",
            (false, Some(_), true) => "met",
            (false, Some(_), false) => "missed",
            _ => "a contradiction",
        }
    }

    #[test]
    fn a_rig_that_fails_is_told() {
        let all = results(vec![
            cell("l2", 1_000, "64", "testpmd-io", Some(60.0)),
            cell("l3", 100_000, "64", "testpmd-io", None),
            cell("l3", 100_000, "64", "sluice", Some(60.0)),
            cell("hops", 100_000, "64", "sluice", Some(230.0)),
        ]);
        let found: Vec<(String, &str)> = aims(&all)
            .iter()
            .map(|bar| (bar.what.clone(), said(bar)))
            .collect();
        assert_eq!(
            found,
            [
                (format!("{RIG}, l3"), "failed"),
                ("l3, 100000 flows".into(), "failed"),
                ("hops, 100000 flows".into(), "not measured"),
            ]
        );
    }
}
