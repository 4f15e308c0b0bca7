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
        "ovs" => "#b5471b",
        _ => "#8a93a0",
    }
}

/// All charts of a run: cycles by contestant for each frame size.
pub fn charts(results: &Results) -> Vec<(String, String)> {
    let mut sizes: Vec<&str> = results
        .cells
        .iter()
        .map(|cell| cell.size.as_str())
        .collect();
    sizes.dedup();
    sizes.sort_unstable();
    sizes.dedup();
    let one = |size: &&str| {
        let cells: Vec<&Cell> = results
            .cells
            .iter()
            .filter(|cell| cell.size == **size)
            .collect();
        let title = format!(
            "cycles per packet, {size} bytes, one worker, on {}",
            results.machine.cpu
        );
        (
            format!("cycles-{}.svg", size.to_lowercase()),
            chart(&title, &cells),
        )
    };
    sizes.iter().map(one).collect()
}

/// One chart, its bars in groups of equal loads.
pub fn chart(title: &str, cells: &[&Cell]) -> String {
    let longest = cells
        .iter()
        .filter_map(|cell| cell.cycles())
        .fold(1.0, f64::max);
    let mut body = String::new();
    let mut y = TOP;
    let mut load = String::new();
    for cell in cells {
        let this = format!("{}, {} flows", cell.scenario, cell.flows);
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
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{head}{body}</svg>\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, weight: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-weight=\"{weight}\" fill=\"#1d2530\">{words}</text>"
    );
}
