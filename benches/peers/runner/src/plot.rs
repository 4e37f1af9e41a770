//! The results as a picture: a point for each median, a line from the smallest to the largest figure, on
//! logarithmic axes.

use std::fmt::Write;

use crate::figure::Results;
use crate::summary::{Cell, Column, Row, Spread, rows};
use crate::versions;

const PANELS: [(Column, &str); 4] = [
    (Column::Append { writers: 1 }, "append by 1 writer, events/s"),
    (Column::Append { writers: 64 }, "append by 64 writers, events/s"),
    (Column::CatchUp, "catch up, events/s"),
    (Column::VisibleHalf, "visible after (p50), ms: less is better"),
];

// In pixels.
const LABELS: f64 = 400.0;
const PANEL: f64 = 200.0;
const GAP: f64 = 26.0;
const ROW: f64 = 19.0;
const HEAD: f64 = 34.0;
const FOOT: f64 = 26.0;
const MARGIN: f64 = 12.0;

pub(crate) fn svg(results: &Results) -> String {
    let rows = rows(results);
    let width = LABELS + PANELS.len() as f64 * (PANEL + GAP) + MARGIN;
    let height = HEAD + rows.len() as f64 * ROW + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <title>ees beside its peers: medians, with the smallest and largest figures</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let y = HEAD + (number as f64 + 0.5) * ROW;
        if number % 2 == 0 {
            let _ = writeln!(
                svg,
                "<rect y=\"{:.1}\" width=\"{width}\" height=\"{ROW}\" fill=\"#f4f4f4\"/>",
                y - ROW / 2.0
            );
        }
        let label = escaped(&format!("{}: {}", versions::title(row.peer), row.usage.title));
        let weight = if row.peer.name.starts_with("ees") { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{:.1}\"{weight}>{label}</text>", y + 4.0);
    }
    for (number, (column, title)) in PANELS.iter().enumerate() {
        panel(&mut svg, &rows, *column, title, LABELS + number as f64 * (PANEL + GAP));
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, rows: &[Row], column: Column, title: &str, left: f64) {
    let spreads: Vec<Option<Spread>> = rows.iter().map(|row| spread(row, column)).collect();
    let Some(axis) = Axis::over(spreads.iter().flatten(), left) else { return };
    let bottom = HEAD + rows.len() as f64 * ROW;
    let _ =
        writeln!(svg, "<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>", HEAD - 16.0);
    for decade in axis.first..=axis.last {
        let (x, value) = (axis.x(10_f64.powi(decade)), decade_name(decade));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{HEAD}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ccc\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{value}</text>",
            bottom + 15.0
        );
    }
    for (number, (row, spread)) in rows.iter().zip(&spreads).enumerate() {
        let Some(Spread { median, least, most, is_unfinished }) = spread else { continue };
        let y = HEAD + (number as f64 + 0.5) * ROW;
        let color = if row.peer.is_limit {
            "#888"
        } else if row.peer.name.starts_with("ees") {
            "#1f5fbf"
        } else {
            "#c2571a"
        };
        let (from, at, to) = (axis.x(*least), axis.x(*median), axis.x(*most));
        let fill = if *is_unfinished { "#fff" } else { color };
        let _ = writeln!(
            svg,
            "<line x1=\"{from:.1}\" y1=\"{y:.1}\" x2=\"{to:.1}\" y2=\"{y:.1}\" stroke=\"{color}\" stroke-width=\"2\"/>"
        );
        let _ = writeln!(
            svg,
            "<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{color}\" stroke-width=\"1.5\"/>"
        );
    }
}

fn spread(row: &Row, column: Column) -> Option<Spread> {
    row.cells.iter().find_map(|(of, cell)| match cell {
        Cell::Measured(spread) if *of == column => Some(*spread),
        _ => None,
    })
}

/// A logarithmic axis over whole decades.
struct Axis {
    first: i32,
    last: i32,
    left: f64,
}

impl Axis {
    fn over<'a>(spreads: impl Iterator<Item = &'a Spread> + Clone, left: f64) -> Option<Self> {
        let least = spreads.clone().map(|spread| spread.least).reduce(f64::min)?;
        let most = spreads.map(|spread| spread.most).reduce(f64::max)?;
        let first = least.log10().floor() as i32;
        let last = (most.log10().ceil() as i32).max(first + 1);
        Some(Self { first, last, left })
    }

    fn x(&self, value: f64) -> f64 {
        self.left + PANEL * (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }
}

fn decade_name(decade: i32) -> String {
    match decade {
        6.. => format!("{}M", 10_u64.pow(decade.unsigned_abs() - 6)),
        3..6 => format!("{}k", 10_u64.pow(decade.unsigned_abs() - 3)),
        _ => format!("{}", 10_f64.powi(decade)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
