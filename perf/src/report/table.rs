//! The table.

use std::fmt::Write as _;

use super::verdict;
use crate::bench::{Cell, Outcome, Results};
use crate::scenario::Scenario;

/// All cells, with what testpmd io costs under the same load taken off, and the bars.
pub fn table(results: &Results) -> String {
    let machine = &results.machine;
    let tsc = results
        .cells
        .iter()
        .find_map(|cell| cell.median(|window| window.tsc_ghz));
    let mut text = format!(
        "{}, {} CPUs{}, {}, Linux {}; TSC {:.2} GHz\nsluice {}, DPDK {}, Open vSwitch {}; {} UTC\n",
        machine.cpu,
        machine.cpus,
        if machine.virtual_machine {
            " (virtual)"
        } else {
            ""
        },
        machine.system,
        machine.kernel,
        tsc.unwrap_or_default(),
        machine.sluice,
        machine.dpdk,
        machine.ovs,
        machine.date
    );
    text += "cycles: of the TSC, on the CPU, per packet received; medians; +- half the quartile distance\n";
    let mut load = String::new();
    for cell in &results.cells {
        let this = heading(cell);
        if this != load {
            let about = Scenario::named(&cell.scenario).map_or("", |scenario| scenario.about);
            let _ = write!(
                text,
                "\n{this}  {about}\n{:<18}{:>9}{:>7}{:>10}{:>8}{:>9}{:>10}\n",
                "", "cycles", "+-%", "above io", "Mpps", "bar", "verified"
            );
            load = this;
        }
        text += &row(results, cell);
    }
    text
}

fn heading(cell: &Cell) -> String {
    let order = if cell.order == "uniform" {
        String::new()
    } else {
        format!(", {}", cell.order)
    };
    format!(
        "{}, {} flows, {} bytes{order}",
        cell.scenario, cell.flows, cell.size
    )
}

fn row(results: &Results, cell: &Cell) -> String {
    let windows = match &cell.outcome {
        Outcome::Failed(why) => return format!("{:<18}   FAILED: {why}\n", cell.contestant),
        Outcome::Measured { windows, verified } => (windows, verified),
    };
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let disturbed = windows
        .0
        .iter()
        .filter(|window| !window.undisturbed)
        .count();
    let above = results.above_io(cell);
    let bar = verdict::cycles(cell);
    let verdict = match (bar, above) {
        (Some(bar), Some(above)) => format!("{} {bar:.0}", if above <= bar { "<=" } else { ">" }),
        _ => String::new(),
    };
    format!(
        "{:<18}{:>9}{:>7}{:>10}{:>8}{:>9}{:>10}{}\n",
        cell.contestant,
        number(cell.cycles()),
        number(cell.spread()),
        number(above),
        number(cell.median(|window| window.mpps)),
        verdict,
        if *windows.1 > 0 {
            windows.1.to_string()
        } else {
            String::new()
        },
        if disturbed > 0 {
            format!("  {disturbed} of {} windows disturbed", windows.0.len())
        } else {
            String::new()
        },
    )
}
