//! The rates as a picture: of the smallest log's rate, over the size of the log. Solid lines are ees, dashed ones are plain
//! statements.

use std::fmt::Write;

use crate::measure::{Figures, Rates};

const COLORS: [&str; 3] = ["#1f5fbf", "#c2571a", "#2f8f4f"];

// In pixels.
const PANEL: f64 = 330.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 34.0;
const GAP: f64 = 40.0;
const FOOT: f64 = 84.0;
/// What the upper edge stands for.
const RATIO_MAX: f64 = 1.5;

pub(crate) fn svg(measured: &[(&str, Vec<Figures>)]) -> String {
    let width = LEFT + measured.len() as f64 * (PANEL + GAP);
    let height = TOP + HEIGHT + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <title>Rates of logs of growing size, as ratios to the smallest log</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (number, (backend, figures)) in measured.iter().enumerate() {
        panel(&mut svg, backend, figures, LEFT + number as f64 * (PANEL + GAP));
    }
    if let Some(figures) = measured.iter().find_map(|(_, figures)| figures.first()) {
        legend(&mut svg, figures);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, backend: &str, figures: &[Figures], left: f64) {
    let _ = writeln!(
        svg,
        "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{backend}, of the smallest log's rate</text>",
        TOP - 14.0
    );
    for ratio in [0.0, 0.5, 1.0, 1.5] {
        let y = height_of(ratio);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"#ccc\"/>",
            left + PANEL
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#666\">{ratio}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    for (number, figures) in figures.iter().enumerate() {
        let (x, y) = (left + across(number), TOP + HEIGHT + 16.0);
        let events = figures.events;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#666\">{events} events</text>"
        );
    }
    for (line, color) in COLORS.iter().enumerate() {
        let dash = " stroke-dasharray=\"5 4\"";
        for (rate, dash) in
            [((|rates: Rates| rates.ees) as fn(Rates) -> f64, ""), (|rates| rates.plain, dash)]
        {
            let rate_at = |figures: &Figures| rate(figures.rates()[line].1);
            let Some(smallest) = figures.first().map(rate_at) else { continue };
            let points: Vec<_> = (figures.iter().enumerate())
                .map(|(number, figures)| {
                    let y = height_of((rate_at(figures) / smallest).min(RATIO_MAX));
                    format!("{:.1},{y:.1}", left + across(number))
                })
                .collect();
            let points = points.join(" ");
            let _ = writeln!(
                svg,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{dash}/>"
            );
        }
    }
}

fn legend(svg: &mut String, figures: &Figures) {
    for (line, ((what, _), color)) in figures.rates().iter().zip(COLORS).enumerate() {
        let y = TOP + HEIGHT + 38.0 + line as f64 * 15.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{0}\" x2=\"{1}\" y2=\"{0}\" stroke=\"{color}\" stroke-width=\"2\"/>",
            y - 4.0,
            LEFT + 26.0
        );
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\">{what} (dashed: plain SQL)</text>", LEFT + 34.0);
    }
}

/// The sizes are ten times the one before.
fn across(number: usize) -> f64 {
    40.0 + number as f64 * (PANEL - 80.0) / 2.0
}

fn height_of(ratio: f64) -> f64 {
    TOP + HEIGHT * (1.0 - ratio / RATIO_MAX)
}
