//! The results as Markdown, as docs/benchmarks.md shows them.

use std::fmt::Write;

use crate::figure::Results;
use crate::peers::{PEERS, Peer};
use crate::summary::{Cell, Column, Row, Spread, rounded, rows};
use crate::verdict::Verdict;
use crate::versions;

pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for machine in results.machines() {
        let _ = writeln!(
            text,
            "Measured on {} at {}: {} processors ({}), {} GB, {}; PostgreSQL: {}. {} events in {} streams, {} rounds. Medians, \
             and in brackets the smallest and largest figure.",
            machine.day,
            machine.commit,
            machine.processors,
            machine.processor,
            machine.memory_gb,
            machine.system,
            machine.postgresql,
            machine.events,
            machine.streams,
            machine.rounds
        );
        text.push('\n');
    }
    let rows = rows(results);
    let titles: Vec<String> = Column::ALL.iter().map(|column| column.title()).collect();
    let _ = writeln!(text, "| | {} | idle before, % |", titles.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(titles.len() + 2));
    for row in &rows {
        let cells: Vec<String> = row.cells.iter().map(|(_, cell)| written(cell)).collect();
        let idle = row.idle.map_or_else(String::new, |idle| format!("{idle:.0}"));
        let _ = writeln!(text, "| {} | {} | {idle} |", label(row), cells.join(" | "));
    }
    text.push('\n');
    notes(results, &rows, &mut text);
    text
}

fn label(row: &Row) -> String {
    let name = versions::title(row.peer);
    let name = if row.peer.name.starts_with("ees") { format!("**{name}**") } else { name };
    format!("{name}: {}", row.usage.title)
}

fn written(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Wrong => "wrong".to_owned(),
        Cell::Measured(Spread { median, least, most, is_unfinished }) => {
            let mark = if *is_unfinished { "\\*" } else { "" };
            let spread = if least == most {
                String::new()
            } else {
                format!(" ({} to {})", rounded(*least), rounded(*most))
            };
            format!("{}{mark}{spread}", rounded(*median))
        }
    }
}

/// What a reader has to know of single cells.
fn notes(results: &Results, rows: &[Row], text: &mut String) {
    let cells = || rows.iter().flat_map(|row| &row.cells);
    if cells().any(|(_, cell)| matches!(cell, Cell::Measured(Spread { is_unfinished: true, .. }))) {
        text.push_str("\\* Not done when the time was over: the rate up to then.\n\n");
    }
    let mut notes: Vec<String> = Vec::new();
    for figure in results.figures() {
        if let Verdict::Wrong(why) = &figure.verdict {
            let part = figure.part.name();
            notes.push(format!(
                "{}, {}, {part} by {}: wrong: {why}.",
                title(&figure.peer),
                figure.usage,
                figure.clients
            ));
        }
    }
    for (peer, usage, part, why) in results.failed() {
        notes.push(format!("{}, {usage}, {}: not measured: {why}.", title(peer), part.name()));
    }
    for (peer, why) in results.left_out() {
        notes.push(format!("{}: not measured: {why}.", title(peer)));
    }
    notes.sort();
    notes.dedup();
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
}

fn title(name: &str) -> String {
    let peer: Option<&Peer> = PEERS.iter().find(|peer| peer.name == name);
    peer.map_or_else(|| name.to_owned(), versions::title)
}
