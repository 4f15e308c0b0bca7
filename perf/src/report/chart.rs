//! Bar charts as SVG, by hand: a label, a bar, a number.

use std::fmt::Write as _;

use crate::bench::{Cell, Results};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 18.0;
const STEP: f64 = 24.0;
const TOP: f64 = 46.0;
const GAP: f64 = 10.0;

/// Colour of a contestant; dark enough on white, distinct without colour vision by its place and label.
fn colour(contestant: &str) -> &'static str {
    match contestant {
        "sluice" => "#0b6e4f",
        "sluice-shared" => "#6ba792",
        "ovs" => "#b5471b",
        "linux" => "#c78a1a",
        "vpp" => "#5b4a9e",
        _ => "#8a93a0",
    }
}

/// All charts of a run, by file name: cycles by contestant for each frame size, and, where a scenario was run under
/// several, by flows and by size.
pub fn charts(results: &Results) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let (measured, never): (Vec<String>, Vec<String>) =
        distinct(&results.cells, |cell| cell.contestant.clone())
            .into_iter()
            .partition(|contestant| {
                let mut own = results.cells.iter();
                own.any(|cell| cell.contestant == *contestant && cell.cycles().is_some())
            });
    for size in distinct(&results.cells, |cell| cell.size.clone()) {
        let cells: Vec<&Cell> = results
            .cells
            .iter()
            .filter(|cell| cell.size == size && measured.contains(&cell.contestant))
            .collect();
        let mut title = format!(
            "cycles per packet, {size} bytes, one worker, on {}",
            results.machine.cpu
        );
        if !never.is_empty() {
            title += &format!("; not measured: {}", never.join(", "));
        }
        all.push((
            format!("cycles-{}.svg", size.to_lowercase()),
            chart(&title, &cells),
        ));
    }
    for scenario in distinct(&results.cells, |cell| cell.scenario.clone()) {
        let of = |cell: &&Cell| cell.scenario == scenario && cell.order == "uniform";
        let cells: Vec<&Cell> = results.cells.iter().filter(of).collect();
        let small: Vec<&Cell> = cells.iter().copied().filter(|c| c.size == "64").collect();
        let title = format!("{scenario}: cycles per packet by flows, 64 bytes");
        let by = lines(&title, &small, |cell| cell.flows.to_string());
        all.extend(by.map(|svg| (format!("flows-{scenario}.svg"), svg)));
        let Some(flows) = cells.iter().map(|cell| cell.flows).max() else {
            continue;
        };
        let cells: Vec<&Cell> = cells.into_iter().filter(|c| c.flows == flows).collect();
        let title = format!("{scenario}: cycles per packet by frame size, {flows} flows");
        let by = lines(&title, &cells, |cell| cell.size.clone());
        all.extend(by.map(|svg| (format!("sizes-{scenario}.svg"), svg)));
    }
    all
}

/// The values of a field, each once, as they come.
fn distinct<'a>(
    cells: impl IntoIterator<Item = &'a Cell>,
    of: impl Fn(&Cell) -> String,
) -> Vec<String> {
    let mut found = Vec::new();
    for cell in cells {
        let value = of(cell);
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// A line for each contestant over the values of a field; `None` when there are not two values.
fn lines(title: &str, cells: &[&Cell], of: impl Fn(&Cell) -> String) -> Option<String> {
    const HEIGHT: f64 = 380.0;
    const BOTTOM: f64 = 44.0;
    let values = distinct(cells.iter().copied(), &of);
    if values.len() < 2 {
        return None;
    }
    let most = cells
        .iter()
        .filter_map(|cell| cell.cycles())
        .fold(1.0, f64::max);
    let (left, right) = (56.0, WIDTH - 160.0);
    let x = |n: usize| left + 24.0 + (right - left - 48.0) * n as f64 / (values.len() - 1) as f64;
    let y = |cycles: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * cycles / most;
    let mut svg = String::new();
    text(&mut svg, 8.0, 24.0, "start", "600", title);
    for quarter in 0..=4 {
        let cycles = most * f64::from(quarter) / 4.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{0:.1}\" x2=\"{right}\" y2=\"{0:.1}\" stroke=\"#d5d9df\"/>",
            y(cycles)
        );
        let label = format!("{cycles:.0}");
        text(&mut svg, left - 8.0, y(cycles) + 4.0, "end", "400", &label);
    }
    for (n, value) in values.iter().enumerate() {
        text(&mut svg, x(n), HEIGHT - 16.0, "middle", "400", value);
    }
    let mut labels: Vec<f64> = Vec::new();
    for contestant in distinct(cells.iter().copied(), |cell| cell.contestant.clone()) {
        let fill = colour(&contestant);
        let points: Vec<(f64, f64)> = cells
            .iter()
            .filter(|cell| cell.contestant == contestant)
            .filter_map(|cell| {
                let at = values.iter().position(|value| *value == of(cell))?;
                Some((x(at), y(cell.cycles()?)))
            })
            .collect();
        if points.is_empty() {
            continue;
        }
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{fill}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (x, y) in &points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{fill}\"/>"
            );
        }
        if let Some((_, last)) = points.last() {
            // Labels of lines that end close together go one above the other.
            let mut at = last + 4.0;
            while labels.iter().any(|taken| (taken - at).abs() < 14.0) {
                at -= 1.0;
            }
            labels.push(at);
            text(&mut svg, right + 4.0, at, "start", "400", &contestant);
        }
    }
    Some(framed(HEIGHT, &svg))
}

fn framed(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// One chart, its bars in groups of equal loads.
fn chart(title: &str, cells: &[&Cell]) -> String {
    let longest = cells
        .iter()
        .filter_map(|cell| cell.cycles())
        .fold(1.0, f64::max);
    let mut body = String::new();
    let mut y = TOP;
    let mut load = String::new();
    for cell in cells {
        let mut this = format!("{}, {} flows", cell.scenario, cell.flows);
        if cell.order != "uniform" {
            this = format!("{this}, {}", cell.order);
        }
        if this != load {
            y += GAP;
            text(&mut body, 8.0, y + BAR - 5.0, "start", "600", &this);
            y += STEP;
            load = this;
        }
        text(
            &mut body,
            LEFT - 8.0,
            y + BAR - 5.0,
            "end",
            "400",
            &cell.contestant,
        );
        match cell.cycles() {
            Some(cycles) => {
                let width = (WIDTH - LEFT - RIGHT) * cycles / longest;
                let fill = colour(&cell.contestant);
                let _ = writeln!(
                    body,
                    "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>"
                );
                text(
                    &mut body,
                    LEFT + width + 6.0,
                    y + BAR - 5.0,
                    "start",
                    "400",
                    &format!("{cycles:.0}"),
                );
            }
            None => text(&mut body, LEFT, y + BAR - 5.0, "start", "400", "failed"),
        }
        y += STEP;
    }
    let height = y + 12.0;
    let mut head = String::new();
    text(&mut head, 8.0, 24.0, "start", "600", title);
    framed(height, &(head + &body))
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, weight: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" fill=\"#1d2530\">{words}</text>"
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::{Outcome, Window};
    use crate::report::Machine;

    pub(in crate::report) fn cell(
        scenario: &str,
        flows: u32,
        size: &str,
        contestant: &str,
        cycles: Option<f64>,
    ) -> Cell {
        let window = |cycles| Window {
            cycles,
            mpps: 1.0,
            loss: 0.0,
            missing: 0,
            share: 1.0,
            tsc_ghz: 2.6,
            undisturbed: true,
        };
        Cell {
            scenario: scenario.to_owned(),
            flows,
            size: size.to_owned(),
            order: "uniform".to_owned(),
            contestant: contestant.to_owned(),
            outcome: match cycles {
                Some(cycles) => Outcome::Measured {
                    windows: vec![window(cycles)],
                    verified: 1,
                },
                None => Outcome::Failed("it does not".into()),
            },
        }
    }

    pub(in crate::report) fn results(cells: Vec<Cell>) -> Results {
        Results {
            machine: Machine::detect(),
            cells,
        }
    }

    #[test]
    fn there_is_a_chart_for_each_thing_that_varies() {
        let all = results(vec![
            cell("l3", 100_000, "64", "sluice", Some(60.0)),
            cell("l3", 100_000, "1500", "sluice", Some(66.0)),
            cell("snat", 1_000, "64", "sluice", Some(100.0)),
            cell("snat", 1_000, "64", "ovs", Some(800.0)),
            cell("snat", 1_000_000, "64", "sluice", Some(200.0)),
            cell("snat", 1_000_000, "64", "ovs", None),
            cell("snat", 1_000_000, "64", "vpp", None),
        ]);
        let charts = charts(&all);
        let names: Vec<&str> = charts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "cycles-64.svg",
                "cycles-1500.svg",
                "sizes-l3.svg",
                "flows-snat.svg"
            ]
        );
        let svg = |name: &str| &charts.iter().find(|(found, _)| found == name).unwrap().1;
        // One rectangle is the background; who failed has none.
        assert_eq!(svg("cycles-64.svg").matches("<rect").count(), 1 + 4);
        assert_eq!(svg("cycles-64.svg").matches(">failed<").count(), 1);
        assert!(svg("cycles-64.svg").contains("not measured: vpp"));
        assert_eq!(svg("flows-snat.svg").matches("<circle").count(), 3);
        assert_eq!(svg("flows-snat.svg").matches("<polyline").count(), 2);
    }
}
