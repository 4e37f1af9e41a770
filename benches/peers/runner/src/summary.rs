//! Medians and spread of what was measured.

use crate::figure::{Figure, Results};
use crate::peers::{PEERS, Part, Peer, Usage};
use crate::verdict::Verdict;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Append { writers: usize },
    CatchUp,
    VisibleHalf,
    VisibleMost,
    Read { clients: usize },
    Enumerate,
}

impl Column {
    pub(crate) const ALL: [Self; 9] = [
        Self::Append { writers: 1 },
        Self::Append { writers: 8 },
        Self::Append { writers: 64 },
        Self::CatchUp,
        Self::VisibleHalf,
        Self::VisibleMost,
        Self::Read { clients: 1 },
        Self::Read { clients: 8 },
        Self::Enumerate,
    ];

    pub(crate) fn title(self) -> String {
        match self {
            Self::Append { writers: 1 } => "append, events/s: 1 writer".to_owned(),
            Self::Append { writers } => format!("{writers} writers"),
            Self::CatchUp => "catch up, events/s".to_owned(),
            Self::VisibleHalf => "visible after, ms: p50".to_owned(),
            Self::VisibleMost => "p99".to_owned(),
            Self::Read { clients: 1 } => "streams read/s: 1 client".to_owned(),
            Self::Read { clients } => format!("{clients} clients"),
            Self::Enumerate => "whole log, events/s".to_owned(),
        }
    }

    fn part(self) -> Part {
        match self {
            Self::Append { .. } => Part::Append,
            Self::CatchUp => Part::CatchUp,
            Self::VisibleHalf | Self::VisibleMost => Part::Live,
            Self::Read { .. } => Part::Read,
            Self::Enumerate => Part::Enumerate,
        }
    }

    fn clients(self) -> usize {
        match self {
            Self::Append { writers } => writers,
            Self::Read { clients } => clients,
            _ => 1,
        }
    }

    fn value(self, figure: &Figure) -> Option<f64> {
        let report = &figure.report;
        match self {
            Self::VisibleHalf => report.p50_ms,
            Self::VisibleMost => report.p99_ms,
            Self::Read { .. } => report.calls.map(|calls| calls as f64 / report.seconds),
            _ => Some(report.events as f64 / report.seconds),
        }
    }
}

pub(crate) enum Cell {
    /// Not measured.
    Empty,
    Measured(Spread),
    /// In some round the state was not what it should be: so no rate counts.
    Wrong,
}

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// In some round the time was over before all was done.
    pub(crate) is_unfinished: bool,
}

/// A peer in one of its usages.
pub(crate) struct Row {
    pub(crate) peer: &'static Peer,
    pub(crate) usage: &'static Usage,
    pub(crate) cells: Vec<(Column, Cell)>,
    /// The smallest idle share before a turn, in percent.
    pub(crate) idle: Option<f64>,
}

/// The rows that have a figure, in the order of the peers.
pub(crate) fn rows(results: &Results) -> Vec<Row> {
    let mut rows = Vec::new();
    for peer in PEERS {
        for usage in peer.usages {
            let figures: Vec<&Figure> = results
                .figures()
                .filter(|figure| figure.peer == peer.name && figure.usage == usage.name)
                .collect();
            if figures.is_empty() {
                continue;
            }
            let cells = Column::ALL.map(|column| (column, cell(column, &figures))).into();
            let idle = figures.iter().filter_map(|figure| figure.idle).reduce(f64::min);
            rows.push(Row { peer, usage, cells, idle });
        }
    }
    rows
}

fn cell(column: Column, figures: &[&Figure]) -> Cell {
    let is_of_column = |figure: &&&Figure| figure.part == column.part() && figure.clients == column.clients();
    let figures: Vec<&&Figure> = figures.iter().filter(is_of_column).collect();
    if figures.iter().any(|figure| matches!(figure.verdict, Verdict::Wrong(_))) {
        return Cell::Wrong;
    }
    let mut values: Vec<f64> = figures.iter().filter_map(|figure| column.value(figure)).collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first().copied(), values.last().copied()) else {
        return Cell::Empty;
    };
    let middle = values.len() / 2;
    let median =
        if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
    let is_unfinished = figures.iter().any(|figure| figure.verdict == Verdict::Unfinished);
    Cell::Measured(Spread { median, least, most, is_unfinished })
}

/// A number with two significant digits, as in `63,000`, `840`, `1.4` or `0.31`.
pub(crate) fn rounded(value: f64) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let unit = 10_f64.powi(value.log10().floor() as i32 - 1);
    let value = (value / unit).round() * unit;
    // Once more: 9.97 has become 10.
    let decimals = 1 - (value * (1.0 + f64::EPSILON)).log10().floor() as i32;
    if decimals > 0 {
        return format!("{value:.*}", decimals as usize);
    }
    let whole = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn numbers_have_two_significant_digits() {
        let numbers = [63_421.0, 999_600.0, 842.0, 99.6, 12.2, 9.97, 1.44, 0.314, 0.05, 0.0];
        let expected = ["63,000", "1,000,000", "840", "100", "12", "10", "1.4", "0.31", "0.050", "0"];
        assert_eq!(numbers.map(rounded), expected);
    }
}
